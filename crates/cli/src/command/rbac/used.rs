//! `rbac mine` and `rbac privilege`: what people do, and what they hold beside it.

use std::collections::{BTreeMap, BTreeSet};

use kubestile_assess::rightsize::atoms;
use kubestile_rbac::discovery::Discovery;
use kubestile_rbac::mine::{self as mining, Options};
use kubestile_rbac::privilege::{Atom, Privilege as Measured, measure};
use kubestile_rbac::{Attributes, Identity, User};
use serde::Serialize;

use super::super::assess::read;
use super::{percent, policy, snapshot, traffic};
use crate::args::rbac::{Mine, Privilege};
use crate::exit::Outcome;
use crate::output::{self, Table};

/// Job functions, from what people did.
pub(super) fn mine(args: &Mine) -> Outcome {
    let snapshot = match &args.snapshot {
        Some(path) => Some(read(path)?),
        None => None,
    };
    let traffic = traffic(&args.from, snapshot.as_ref())?;
    let used: BTreeMap<Identity, BTreeSet<Atom>> = traffic
        .people()
        .map(|who| (who.identity(), atoms(&who.operations())))
        .collect();
    let found = mining::mine(&used, Options::default());
    if args.output.format.is_data() {
        return output::value(args.output.format, &found);
    }
    let mut table = Table::new(&[
        "JOB FUNCTION",
        "PEOPLE",
        "RIGHTS",
        "PRECISION",
        "RECALL",
        "COHESION",
        "CONFLICTS",
        "MEMBERS",
    ]);
    for function in &found {
        let mut members: Vec<String> = function
            .members
            .iter()
            .take(4)
            .map(ToString::to_string)
            .collect();
        if function.members.len() > members.len() {
            members.push(format!(
                "and {} more",
                function.members.len() - members.len()
            ));
        }
        let conflicts: Vec<String> = function
            .conflicts
            .iter()
            .map(|c| format!("{c:?}"))
            .collect();
        table.row([
            function.name.clone(),
            function.members.len().to_string(),
            function.atoms.len().to_string(),
            percent(function.precision),
            percent(function.recall),
            percent(function.cohesion),
            conflicts.join(", "),
            members.join(", "),
        ]);
    }
    table.print("nobody did anything in this log")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    subject: String,
    excess: f64,
    weighted_excess: f64,
    #[serde(flatten)]
    measured: Measured,
}

/// How much more people hold than they use.
pub(super) fn privilege(args: &Privilege) -> Outcome {
    let snapshot = snapshot(&args.rights)?;
    let traffic = traffic(&args.from, Some(&snapshot))?;
    let policy = policy(&snapshot)?;
    let discovery = Discovery::well_known();
    let mut people: BTreeMap<Identity, (User, Vec<Attributes>)> = BTreeMap::new();
    for (_, binding) in policy.bindings() {
        let named = binding
            .identities()
            .filter(|who| matches!(who, Identity::User { name } if !name.starts_with("system:")));
        for who in named {
            let user = User::of(&who);
            people.entry(who).or_insert_with(|| (user, Vec::new()));
        }
    }
    for who in traffic.people() {
        let done = who.operations().into_iter().filter(|o| o.allowed);
        let done = done.map(|o| o.attributes).collect();
        people.insert(who.identity(), (who.user(), done));
    }
    let mut rows: Vec<Row> = people
        .into_iter()
        .map(|(who, (user, done))| {
            let measured = measure(&policy, &user, &done, &discovery, &weight);
            Row {
                subject: who.to_string(),
                excess: measured.excess(),
                weighted_excess: measured.weighted_excess(),
                measured,
            }
        })
        .collect();
    rows.sort_by_key(|r| std::cmp::Reverse(r.measured.granted_weight - r.measured.used_weight));
    if args.output.format.is_data() {
        return output::value(args.output.format, &rows);
    }
    let mut table = Table::new(&[
        "SUBJECT",
        "HELD",
        "USED",
        "UNUSED",
        "BY WEIGHT",
        "NAMESPACES",
        "HEAVIEST UNUSED",
    ]);
    for row in &rows {
        let heaviest = row.measured.unused.first();
        let heaviest = heaviest.map(|a| format!("{} {}", a.verb, a.resource));
        table.row([
            row.subject.clone(),
            match row.measured.unlimited {
                true => "everything".to_owned(),
                false => row.measured.granted.to_string(),
            },
            row.measured.used.to_string(),
            percent(row.excess),
            percent(row.weighted_excess),
            row.measured.namespaces.to_string(),
            heaviest.unwrap_or_default(),
        ]);
    }
    table.print("nobody is bound")
}

/// How much harm a right can do: reading, reading what is secret, writing, and what leads to more.
fn weight(atom: &Atom) -> u64 {
    let reads = matches!(atom.verb.as_str(), "get" | "list" | "watch");
    let kind = atom.resource.split('/').next().unwrap_or_default();
    let sub = atom.resource.split('/').nth(1).unwrap_or_default();
    let of_rights = atom.group == "rbac.authorization.k8s.io"
        || atom.group == "certificates.k8s.io"
        || atom.group == "admissionregistration.k8s.io";
    match (reads, kind, sub) {
        (_, _, "exec" | "attach" | "portforward" | "proxy" | "token") => 20,
        (_, "secrets", _) => 20,
        (false, _, _)
            if of_rights || matches!(atom.verb.as_str(), "impersonate" | "bind" | "escalate") =>
        {
            50
        }
        (false, _, _) => 5,
        (true, _, _) => 1,
    }
}
