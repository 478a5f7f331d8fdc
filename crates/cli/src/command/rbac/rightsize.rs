//! `rbac rightsize`.

use std::fmt::Write as _;
use std::path::Path;

use kubestile_assess::rightsize::{Rightsized, Wanted, rightsize};
use kubestile_assess::traffic::Traffic;
use kubestile_rbac::least::{Options, also_asked};
use serde::Serialize;
use serde_json::{Value, json};

use super::{identities, percent, policy, snapshot, traffic};
use crate::args::rbac::Rightsize;
use crate::exit::{During as _, Fail, Kind, Outcome};
use crate::output::{self, Table};

/// Share of future requests that should be of a kind that was seen.
const COVERED: f64 = 0.99;

/// Writes what is needed, and the proof.
pub(super) fn run(args: &Rightsize) -> Outcome {
    let wanted = Wanted {
        subjects: identities(&args.subjects)?,
        groups: args.groups,
        namespace: args.namespace.clone(),
    };
    let snapshot = snapshot(&args.rights)?;
    let traffic = traffic(&args.from, Some(&snapshot))?;
    let found = rightsize(&policy(&snapshot)?, &traffic, &wanted, Options::default());
    if args.output.format.is_data() {
        output::value(args.output.format, &found)?;
    } else if let Some(dir) = &args.write {
        write(dir, &found, &traffic)?;
        table(&found, &traffic)?;
    } else {
        for one in found.iter().filter(|one| one.proof.holds()) {
            output::data(&document(one, &traffic)?)?;
        }
        if found.is_empty() {
            output::talk("nobody did anything in this log");
        }
    }
    let doubtful: Vec<String> = found
        .iter()
        .filter(|one| !one.proof.holds())
        .map(|one| format!("{}: {}", one.subject, reason(one)))
        .collect();
    match doubtful.is_empty() {
        true => Ok(()),
        false => Err(Fail::new(
            Kind::Verification,
            format!(
                "no roles were written where the proof does not hold: {}",
                doubtful.join("; ")
            ),
        )),
    }
}

fn reason(one: &Rightsized) -> String {
    let more = one.proof.more.first();
    let refused = one.proof.refused.first();
    match (more, refused) {
        (Some((scope, rule)), _) => format!("{rule} in {scope} would be more than today"),
        (None, Some(asked)) => format!("{} would be refused", asked.verb),
        (None, None) => String::new(),
    }
}

fn write(dir: &Path, found: &[Rightsized], traffic: &Traffic) -> Outcome {
    let during = || format!("cannot write to `{}`", dir.display());
    std::fs::create_dir_all(dir).during_with(during)?;
    for one in found.iter().filter(|one| one.proof.holds() && has_any(one)) {
        let name = one.proposal.objects.cluster_roles.first();
        let name = name.map_or("none", |r| r.metadata.name.as_str());
        // The name is made of letters, digits and dashes.
        let path = dir.join(format!("{}.yaml", name.trim_end_matches("-1")));
        crate::files::replace(&path, document(one, traffic)?.as_bytes()).during_with(during)?;
    }
    output::talk(&format!(
        "written to {}: kubectl apply --dry-run=server -f {0}",
        dir.display()
    ));
    Ok(())
}

fn has_any(one: &Rightsized) -> bool {
    !one.proposal.objects.cluster_roles.is_empty()
}

fn table(found: &[Rightsized], traffic: &Traffic) -> Outcome {
    let mut table = Table::new(&[
        "SUBJECT",
        "SEEN",
        "ROLES",
        "BINDINGS",
        "WITHIN TODAY'S",
        "LOG PASSES",
        "COVERED",
        "REFUSED",
    ]);
    for one in found {
        let proposal = &one.proposal;
        let bindings =
            proposal.objects.role_bindings.len() + proposal.objects.cluster_role_bindings.len();
        let word = |holds: bool| if holds { "yes" } else { "NO" }.to_owned();
        table.row([
            one.subject.to_string(),
            proposal.coverage.seen.to_string(),
            proposal.objects.cluster_roles.len().to_string(),
            bindings.to_string(),
            word(one.proof.more.is_empty()),
            word(one.proof.refused.is_empty()),
            covered(one, traffic),
            proposal.requested.len().to_string(),
        ]);
    }
    table.print("nobody did anything in this log")
}

/// `97 %, 9 days more for 99 %`
fn covered(one: &Rightsized, traffic: &Traffic) -> String {
    let coverage = one.proposal.coverage;
    let share = percent(coverage.share());
    match coverage.days_more(traffic.days(), COVERED) {
        Some(days) => format!("{share}, {days} days more for {}", percent(COVERED)),
        None => share,
    }
}

/// The objects of one subject as YAML, with what is known of them in comments.
fn document(one: &Rightsized, traffic: &Traffic) -> Outcome<String> {
    let proposal = &one.proposal;
    let mut text = String::new();
    let mut say = |line: &str| {
        // What comes from a log ends no comment.
        let _fits = writeln!(text, "# {}", output::escape(line));
    };
    say(&format!(
        "{}: what they need, from {}",
        one.subject,
        traffic.span()
    ));
    say(&format!(
        "proved: within what they hold today; all {} requests that were allowed pass",
        proposal.coverage.seen
    ));
    say(&format!(
        "covers about {} of future requests",
        covered(one, traffic)
    ));
    for binding in &one.replaces {
        say(&format!("replaces: {binding}"));
    }
    for (scope, rule) in &proposal.added {
        say(&format!(
            "beside what was seen, for the same command: {rule} in {scope}"
        ));
    }
    for name in &proposal.generated_names {
        say(&format!("every name, because names are generated: {name}"));
    }
    for asked in &proposal.requested {
        say(&format!("was refused, and is not given: {}", words(asked)));
    }
    for asked in &one.also_asked {
        say(&format!(
            "the API server also asks for more than a log shows: {} takes {}",
            words(asked),
            also_asked(asked).unwrap_or_default()
        ));
    }
    for asked in &one.not_held {
        say(&format!(
            "was done, and no role of today gives it: {}",
            words(asked)
        ));
    }
    let objects = &proposal.objects;
    for role in &objects.cluster_roles {
        text.push_str(&yaml("ClusterRole", role)?);
    }
    for binding in &objects.cluster_role_bindings {
        text.push_str(&yaml("ClusterRoleBinding", binding)?);
    }
    for binding in &objects.role_bindings {
        text.push_str(&yaml("RoleBinding", binding)?);
    }
    Ok(text)
}

fn words(asked: &kubestile_rbac::Attributes) -> String {
    match &asked.target {
        kubestile_rbac::Target::Path(path) => format!("{} {path}", asked.verb),
        kubestile_rbac::Target::Resource(target) => {
            let mut text = format!("{} {}", asked.verb, target.resource);
            for (before, part) in [
                ("/", &target.subresource),
                (" of ", &target.group),
                (" named ", &target.name),
                (" in ", &target.namespace),
            ] {
                if !part.is_empty() {
                    text.push_str(before);
                    text.push_str(part);
                }
            }
            text
        }
    }
}

fn yaml<T: Serialize>(kind: &str, object: &T) -> Outcome<String> {
    let mut value = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind });
    if let (Some(fields), Value::Object(more)) =
        (value.as_object_mut(), serde_json::to_value(object)?)
    {
        fields.extend(more);
        let label = json!({ "app.kubernetes.io/managed-by": "kubestile-rightsize" });
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("labels".to_owned(), label);
        }
    }
    output::yaml(&value)
}
