//! Rights that look small and add up: ways over several steps from somebody below the administrators to
//! what only administrators should have.

use std::collections::{BTreeMap, BTreeSet};

use kubestile_rbac::escalation::{Confidence, Graph, Node, NodeId, Path, Sink, Toward};
use kubestile_rbac::{Identity, Policy};

use super::removals;
use crate::facts::{Facts, Grant};
use crate::verdict::{Evidence, Fix, Judged, Undecided, Verdict};

/// Ends that nobody below the administrators may reach.
const ENDS: [Sink; 4] = [
    Sink::ClusterAdmin,
    Sink::ControlPlane,
    Sink::SystemSecrets,
    Sink::NodeRoot,
];
/// People and groups whose ways are followed; with more it is not decided.
const PEOPLE: usize = 5_000;
/// States that are looked at for the least cuts of all of them together.
const STATES: usize = 10 * PART;
/// And for one of them.
const PART: usize = 1_000;

/// S2-20
pub(crate) fn paths(facts: &Facts<'_>) -> Judged {
    let mut people: BTreeMap<Identity, Vec<&Grant<'_>>> = BTreeMap::new();
    for grant in facts.grants()?.iter().filter(|g| g.who.is_human()) {
        people.entry(identity(grant)).or_default().push(grant);
    }
    people.retain(|_, grants| !grants.iter().any(|g| g.is_admin()));
    if people.len() > PEOPLE {
        return Err(Undecided(format!(
            "more than {PEOPLE} people and groups are bound"
        )));
    }
    let policy = Policy::new(facts.snapshot.objects()?);
    let graph = Graph::new(&policy, &facts.snapshot.escalation_facts());
    let ends: Vec<(Sink, Toward<'_>)> = ENDS
        .iter()
        .filter_map(|end| Some((*end, graph.toward(graph.id(&Node::Sink(*end))?))))
        .collect();
    let mut budget = STATES;
    let mut evidence = Vec::new();
    let mut cut = Vec::new();
    for (who, grants) in &people {
        let Some(start) = graph.id(&Node::Identity(who.clone())) else {
            continue;
        };
        let Some((end, toward, path)) = surest(&ends, start) else {
            continue;
        };
        evidence.push(describe(&graph, &policy, grants, end, &path));
        let part = PART.min(budget);
        budget -= part;
        cut.extend(to_cut(toward, &policy, start, grants, part));
    }
    Ok(Verdict::of(
        evidence,
        "nobody below the administrators has a way to become one",
        |n| format!("{n} people or groups have a way to everything, step by step"),
    )
    .sure(80)
    .mend(|| {
        Fix::changes(
            "take away the bindings that the way depends on; those who need them ask for a time",
            removals(cut.into_iter()),
        )
    }))
}

fn identity(grant: &Grant<'_>) -> Identity {
    let subject = grant.subject;
    match subject.kind.as_str() {
        "Group" => Identity::group(&subject.name),
        _ => Identity::from_user_name(&subject.name),
    }
}

/// The way to the worst end that is at least likely to work.
fn surest<'e, 'g>(
    ends: &'e [(Sink, Toward<'g>)],
    start: NodeId,
) -> Option<(Sink, &'e Toward<'g>, Path<'g>)> {
    ends.iter().find_map(|(end, toward)| {
        let path = toward.any_path(start)?;
        let likely = path
            .steps
            .iter()
            .all(|s| s.confidence >= Confidence::Likely);
        likely.then_some((*end, toward, path))
    })
}

fn describe(
    graph: &Graph,
    policy: &Policy,
    grants: &[&Grant<'_>],
    end: Sink,
    path: &Path<'_>,
) -> Evidence {
    let steps: Vec<String> = path
        .steps
        .iter()
        .filter(|s| !s.needs.is_empty())
        .map(|s| {
            let to = graph.node(s.to).map(words).unwrap_or_default();
            match to.is_empty() {
                true => s.technique.says().to_owned(),
                false => format!("{} ({to})", s.technique.says()),
            }
        })
        .collect();
    // The binding of theirs that the first step stands on.
    let needed: BTreeSet<(&str, &str)> = path
        .steps
        .iter()
        .flat_map(|s| &s.needs)
        .flat_map(|n| &n.grants)
        .filter_map(|g| policy.binding(g.binding))
        .map(|b| (b.metadata.namespace.as_str(), b.metadata.name.as_str()))
        .collect();
    let stands_on = |g: &&&Grant<'_>| {
        let meta = &g.binding.metadata;
        needed.contains(&(meta.namespace.as_str(), meta.name.as_str()))
    };
    let grant = grants.iter().find(stands_on).or(grants.first());
    match grant {
        Some(grant) => grant.evidence(format!(
            "{}: {}, and so has {end}",
            grant.subject_words(),
            steps.join(", then ")
        )),
        None => Evidence::named(
            crate::verdict::Class::Object,
            "rbac",
            "",
            steps.join(", then "),
        ),
    }
}

fn words(node: &Node) -> String {
    match node {
        Node::Accounts(namespace) => format!("as any account of {namespace}"),
        Node::Namespace(namespace) => format!("everything in {namespace}"),
        Node::Identity(Identity::ServiceAccount { namespace, name }) => {
            format!("as {namespace}/{name}")
        }
        Node::Identity(Identity::User { name } | Identity::Group { name }) => format!("as {name}"),
        _ => String::new(),
    }
}

/// Of somebody's own bindings the fewest without which the way is closed, or few if that takes too long to
/// find.
fn to_cut<'f, 'a>(
    toward: &Toward<'_>,
    policy: &Policy,
    start: NodeId,
    grants: &[&'f Grant<'a>],
    budget: usize,
) -> Vec<&'f Grant<'a>> {
    let is_of = |grant: &Grant<'_>, meta: &kubestile_rbac::model::Metadata| {
        let mine = &grant.binding.metadata;
        mine.name == meta.name && mine.namespace == meta.namespace
    };
    let mine: BTreeSet<(&str, &str)> = grants
        .iter()
        .map(|g| &g.binding.metadata)
        .map(|m| (m.namespace.as_str(), m.name.as_str()))
        .collect();
    let own = |id| {
        let meta = &policy.binding(id)?.metadata;
        mine.contains(&(meta.namespace.as_str(), meta.name.as_str()))
            .then_some(1)
    };
    let least = |budget| toward.cut(start, budget, &own).map(|c| c.bindings);
    // A search for the fewest is worth it where there are few people.
    let cut = match budget {
        0 => toward.cut_first_steps(start, &own).or_else(|| least(0)),
        _ => least(budget),
    };
    let cut = cut.unwrap_or_default();
    let bindings = cut.iter().filter_map(|id| policy.binding(*id));
    bindings
        .flat_map(|b| grants.iter().filter(|g| is_of(g, &b.metadata)).copied())
        .collect()
}
