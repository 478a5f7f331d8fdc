//! `rbac paths`.

use kubestile_rbac::escalation::{Graph, Node, Path, Sink};
use kubestile_rbac::{Identity, Policy};
use serde::Serialize;

use super::{identity, policy, snapshot};
use crate::args::rbac::Paths;
use crate::exit::Outcome;
use crate::output::{self, Table};

/// Ends, the worst first.
const ENDS: [Sink; 6] = [
    Sink::ClusterAdmin,
    Sink::ControlPlane,
    Sink::SystemSecrets,
    Sink::NodeRoot,
    Sink::Interception,
    Sink::CloudRole,
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    subject: String,
    reaches: String,
    confidence: String,
    steps: Vec<Step>,
    /// The fewest bindings without which no way is left; none if there is no such set.
    cut: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    does: String,
    mitre: String,
    becomes: String,
}

/// Ways up.
pub(super) fn run(args: &Paths) -> Outcome {
    let snapshot = snapshot(&args.rights)?;
    let policy = policy(&snapshot)?;
    let graph = Graph::new(&policy, &snapshot.escalation_facts());
    let only = match &args.subject {
        Some(text) => Some(identity(text)?),
        None => None,
    };
    let chosen = graph.nodes().filter_map(|(id, node)| match node {
        Node::Identity(who) if only.as_ref().map_or(!is_system(who), |o| o == who) => {
            Some((id, who))
        }
        _ => None,
    });
    let mut rows = Vec::new();
    for (start, who) in chosen {
        for end in ENDS {
            let Some(to) = graph.id(&Node::Sink(end)) else {
                continue;
            };
            let Some(path) = graph.paths(start, to, 1).into_iter().next() else {
                continue;
            };
            let cut = graph.cut(start, to, &|_| Some(1)).map(|cut| {
                let bindings = cut.bindings.iter().filter_map(|id| policy.binding(*id));
                bindings.map(ToString::to_string).collect()
            });
            rows.push(Row {
                subject: who.to_string(),
                reaches: end.to_string(),
                confidence: format!("{:?}", path.confidence()).to_lowercase(),
                steps: steps(&graph, &policy, &path),
                cut,
            });
            // Whoever has the worst has the rest.
            break;
        }
    }
    show(&rows, args)
}

fn show(rows: &[Row], args: &Paths) -> Outcome {
    if args.output.format.is_data() {
        return output::value(args.output.format, &rows);
    }
    let mut table = Table::new(&["SUBJECT", "REACHES", "CONFIDENCE", "BY", "CUT"]);
    for row in rows {
        let by: Vec<String> = row
            .steps
            .iter()
            .map(|s| match s.becomes.is_empty() {
                true => s.does.clone(),
                false => format!("{} ({})", s.does, s.becomes),
            })
            .collect();
        table.row([
            row.subject.clone(),
            row.reaches.clone(),
            row.confidence.clone(),
            by.join(", then "),
            row.cut
                .as_ref()
                .map_or_else(|| "nothing closes it".to_owned(), |c| c.join(", ")),
        ]);
    }
    table.print("nobody below the administrators has a way up")
}

/// Parts of Kubernetes have such ways by their nature.
fn is_system(who: &Identity) -> bool {
    match who {
        Identity::User { name } | Identity::Group { name } => name.starts_with("system:"),
        Identity::ServiceAccount { namespace, .. } => namespace == "kube-system",
    }
}

fn steps(graph: &Graph, policy: &Policy, path: &Path<'_>) -> Vec<Step> {
    let shown = path.steps.iter().filter(|s| !s.needs.is_empty());
    shown
        .map(|step| Step {
            does: step.technique.says().to_owned(),
            mitre: step.technique.mitre().to_owned(),
            becomes: graph
                .node(step.to)
                .map(|n| words(n, policy))
                .unwrap_or_default(),
        })
        .collect()
}

fn words(node: &Node, policy: &Policy) -> String {
    match node {
        Node::Identity(who) => who.to_string(),
        Node::Accounts(namespace) => format!("any account of {namespace}"),
        Node::AnyAccount => "any account".to_owned(),
        Node::AnyUser => "any user".to_owned(),
        Node::Namespace(namespace) => format!("everything in {namespace}"),
        Node::Role(role, scope) => {
            let role = policy.role(*role).map(ToString::to_string);
            format!("{} in {scope}", role.unwrap_or_default())
        }
        Node::Part(_) | Node::Sink(_) => String::new(),
    }
}
