//! The shape of roles and bindings: how wide, to whom, and whether they still mean something.

use std::collections::BTreeSet;

use kubestile_rbac::Rule;

use crate::facts::{Facts, Gives, Grant, Who};
use crate::snapshot::ObjectRef;
use crate::stock;
use crate::verdict::{Change, Evidence, Fix, Judged, Verdict, undecided};

use super::removals;
use crate::check::kubeconfig;

/// Of what people may change, this much must be given in namespaces, in percent.
const NAMESPACED: usize = 95;
/// Of what people are given, this much must be given to groups, in percent.
const GROUPED: usize = 90;

/// S2-02
pub(crate) fn wildcards(facts: &Facts<'_>) -> Judged {
    let distribution = facts.snapshot.cluster.distribution;
    let bound = |g: &&Grant<'_>| {
        let role = &g.binding.role_ref;
        let stock = role.kind == "ClusterRole" && stock::is_stock_role(distribution, &role.name);
        g.who.is_chosen() && !g.is_admin() && !stock
    };
    let mut evidence = Vec::new();
    let mut seen = BTreeSet::new();
    let mut changes = Vec::new();
    for grant in facts.grants()?.iter().filter(bound) {
        let role = &grant.binding.role_ref;
        let namespace = match role.kind == "Role" {
            true => grant.namespace.unwrap_or_default(),
            false => "",
        };
        let object = ObjectRef::new(&role.kind.to_lowercase(), namespace, &role.name);
        if seen.contains(&object) {
            continue;
        }
        for (index, rule) in grant.rules().iter().enumerate() {
            if let Some(field) = wild(rule) {
                let text = format!(
                    "everything, also what is added tomorrow, to {}",
                    grant.subject_words()
                );
                evidence.push(Evidence::object(
                    &object,
                    format!("rules[{index}].{field}"),
                    text,
                ));
            }
        }
        changes.extend(super::spelled::change(&object, grant.rules()));
        seen.insert(object);
    }
    Ok(Verdict::of(
        evidence,
        "roles in use name what they give",
        |n| format!("{n} rule(s) of roles in use give `*`"),
    )
    .mend(|| {
        let text = match changes.is_empty() {
            true => "write out the verbs and resources that are used: `kubectl api-resources`, and the audit log",
            false => "write out what `*` gives of Kubernetes' own types; bind, impersonate, kubelets, tokens and types of others only by name",
        };
        Fix::changes(text, changes)
    }))
}

/// The field of a rule that gives everything of its kind; none if it names what it gives.
pub(super) fn wild(rule: &Rule) -> Option<&'static str> {
    let star = |list: &[String]| list.iter().any(|l| l == "*");
    if rule.resources.is_empty() {
        return None;
    }
    if star(&rule.verbs) {
        return Some("verbs");
    }
    // `*/scale` gives the scale of everything; `pods/*` gives nothing at all.
    if rule
        .resources
        .iter()
        .any(|r| r == "*" || r.starts_with("*/"))
    {
        return Some("resources");
    }
    star(&rule.api_groups).then_some("apiGroups")
}

/// S2-03
pub(crate) fn namespaced(facts: &Facts<'_>) -> Judged {
    let humans = || {
        facts
            .grants()
            .map(|all| all.iter().filter(|g| g.who.is_human()))
    };
    let (mut inside, mut outside) = (0_usize, 0_usize);
    let mut wide = Vec::new();
    for grant in humans()? {
        let writes = write_atoms(grant);
        match grant.namespace {
            Some(_) => inside += writes,
            None => outside += writes,
        }
        if grant.namespace.is_none() && writes > 0 {
            wide.push(grant);
        }
    }
    let share = (inside * 100).checked_div(inside + outside).unwrap_or(100);
    let evidence = wide.iter().map(|g| {
        g.evidence(format!(
            "{} may change things in every namespace, by `{}`",
            g.subject_words(),
            g.binding.role_ref.name
        ))
    });
    if share >= NAMESPACED {
        let text = format!("{share} % of what people may change is given in namespaces");
        return Ok(Verdict::pass(text).because(evidence.collect()));
    }
    Ok(Verdict::fail(format!(
        "{share} % of what people may change is given in namespaces; {NAMESPACED} % are needed"
    ))
    .because(evidence.collect())
    .mend(|| {
        Fix::changes(
            "bind the role in the namespaces where it is used (kubectl create rolebinding), then take the wide binding away",
            removals(wide.iter().copied()),
        )
    }))
}

/// How many verbs on resources a grant lets change.
fn write_atoms(grant: &Grant<'_>) -> usize {
    let writes = |r: &&Rule| r.writes();
    // About what `*` stands for in a cluster without custom resources.
    let all = |list: &[String], many: usize| match list.iter().any(|l| l == "*") {
        true => many,
        false => list.len().max(1),
    };
    let atoms = |r: &Rule| {
        let writes = |v: &&String| !["get", "list", "watch"].contains(&v.as_str());
        let verbs: Vec<String> = r.verbs.iter().filter(writes).cloned().collect();
        all(&verbs, 5) * all(&r.resources, 50)
    };
    grant.rules().iter().filter(writes).map(atoms).sum()
}

/// S2-16
pub(crate) fn aggregation(facts: &Facts<'_>) -> Judged {
    let roles = facts.snapshot.rbac.cluster_roles.get()?;
    let distribution = facts.snapshot.cluster.distribution;
    let mut evidence = Vec::new();
    let mut changes = Vec::new();
    for role in roles
        .iter()
        .filter(|r| !stock::is_stock_role(distribution, &r.metadata.name))
    {
        for aim in ["admin", "edit", "view"] {
            let label = format!("rbac.authorization.k8s.io/aggregate-to-{aim}");
            if role.metadata.labels.get(&label).is_none_or(|v| v != "true") {
                continue;
            }
            let object = ObjectRef::new("clusterrole", "", &role.metadata.name);
            let risky = role.rules.iter().any(|r| is_risky(r, aim));
            if risky {
                let text = format!("what it gives, every holder of `{aim}` has too");
                evidence.push(Evidence::object(
                    &object,
                    format!("metadata.labels[{label}]"),
                    text,
                ));
                changes.push(Change::Label {
                    object,
                    key: label,
                    value: "false".to_owned(),
                });
            }
        }
    }
    Ok(Verdict::of(
        evidence,
        "no role of others widens `view`, `edit` or `admin` with Secrets, roles or everything",
        |n| format!("{n} role(s) of others widen the built-in roles"),
    )
    .sure(90)
    .mend(|| {
        Fix::changes(
            "keep it out of the built-in roles, and bind it where it is needed",
            changes,
        )
    }))
}

/// Custom resources in `view` are what aggregation is for; this is not.
fn is_risky(rule: &Rule, aim: &str) -> bool {
    let star = |list: &[String]| list.iter().any(|l| l == "*");
    let core = rule.has_group("")
        && [
            "secrets",
            "nodes/proxy",
            "serviceaccounts/token",
            "pods/exec",
        ]
        .iter()
        .any(|r| rule.has_resource(r));
    star(&rule.resources)
        || core
        || rule.has_group("rbac.authorization.k8s.io")
        || rule.has_verb("impersonate")
        || (aim == "view" && rule.writes())
}

/// S2-17
pub(crate) fn built_in_roles(facts: &Facts<'_>) -> Judged {
    let chosen = |g: &&Grant<'_>| {
        // In the whole cluster, everything is S0-11's.
        let built_in = match g.binding.role_ref.name.as_str() {
            "edit" | "admin" => true,
            "cluster-admin" => g.namespace.is_some(),
            _ => false,
        };
        g.who.is_human() && g.binding.role_ref.kind == "ClusterRole" && built_in
    };
    let grants: Vec<&Grant<'_>> = facts.grants()?.iter().filter(chosen).collect();
    let evidence = grants.iter().map(|g| {
        g.evidence(format!(
            "{} has `{}` {}: with it every service account there, its tokens and all Secrets",
            g.subject_words(),
            g.binding.role_ref.name,
            g.scope_words()
        ))
    });
    Ok(Verdict::of(
        evidence.collect(),
        "people have roles of their own making, not the built-in `edit` and `admin`",
        |n| format!("{n} binding(s) give people the built-in `edit`, `admin` or `cluster-admin`"),
    )
    .mend(|| {
        Fix::changes(
            "bind a job function instead (`kubestile roles render`), then take this away",
            removals(grants.iter().copied()),
        )
    }))
}

/// S2-18
pub(crate) fn dangling(facts: &Facts<'_>) -> Judged {
    let accounts = facts.snapshot.service_accounts.get()?.iter();
    let accounts: BTreeSet<(&str, &str)> = accounts
        .map(|a| (a.metadata.namespace.as_str(), a.metadata.name.as_str()))
        .collect();
    let namespaces = facts.snapshot.namespaces.known();
    let namespaces: Option<BTreeSet<&str>> =
        namespaces.map(|all| all.iter().map(|n| n.metadata.name.as_str()).collect());
    let mut evidence = Vec::new();
    let mut gone = Vec::new();
    for grant in facts.grants()?.iter().filter(|g| g.who.is_chosen()) {
        let role = &grant.binding.role_ref;
        if grant.role.is_none() {
            let text = format!(
                "{} `{}` does not exist: whoever makes it decides what this gives",
                role.kind.to_lowercase(),
                role.name
            );
            evidence.push(Evidence::object(&grant.object(), "roleRef", text));
            gone.push(grant);
            continue;
        }
        let group = grant.subject.name.strip_prefix("system:serviceaccounts:");
        let lost = match (
            grant.account(),
            group.filter(|_| grant.subject.kind == "Group"),
        ) {
            (Some(account), _) => !accounts.contains(&account),
            (None, Some(namespace)) => namespaces.as_ref().is_some_and(|n| !n.contains(namespace)),
            (None, None) => false,
        };
        if lost {
            let text = format!(
                "{} does not exist: whoever makes it gets `{}`",
                grant.subject_words(),
                role.name
            );
            evidence.push(grant.evidence(text));
            gone.push(grant);
        }
    }
    evidence.dedup();
    Ok(Verdict::of(
        evidence,
        "every binding names a role and accounts that exist",
        |n| format!("{n} binding(s) name what does not exist"),
    )
    .mend(|| Fix::changes("delete what points nowhere", removals(gone.into_iter()))))
}

/// S2-19
pub(crate) fn groups(facts: &Facts<'_>) -> Judged {
    let people: Vec<&Grant<'_>> = facts
        .grants()?
        .iter()
        .filter(|g| matches!(g.who, Who::Person | Who::Group))
        .collect();
    let grouped = people.iter().filter(|g| g.who == Who::Group).count();
    let Some(share) = (grouped * 100).checked_div(people.len()) else {
        return Ok(Verdict::pass("nobody has a binding of their own"));
    };
    let alone = people.iter().filter(|g| g.who == Who::Person);
    let evidence = alone
        .map(|g| g.evidence(format!("{} is bound by name", g.subject_words())))
        .collect();
    let text = format!("{share} % of people's bindings are to groups; {GROUPED} % are needed");
    Ok(match share >= GROUPED {
        true => Verdict::pass(text).because(evidence),
        false => Verdict::fail(text).because(evidence).mend(|| {
            Fix::text("bind groups of the identity provider, so that leaving one ends the right")
        }),
    })
}

/// S2-23
pub(crate) fn token_mount(facts: &Facts<'_>) -> Judged {
    let accounts = facts.snapshot.service_accounts.get()?;
    let bound: Vec<&Grant<'_>> = facts
        .grants()?
        .iter()
        .filter(|g| g.who == Who::Workload && g.rules().iter().any(Gives::writes))
        .collect();
    let mut evidence = Vec::new();
    let mut changes = Vec::new();
    for account in accounts {
        let meta = &account.metadata;
        let default = meta.name == "default" && !stock::is_system_namespace(&meta.namespace);
        if !default || account.automount == Some(false) {
            continue;
        }
        let object = ObjectRef::new("serviceaccount", &meta.namespace, &meta.name);
        let strong = bound
            .iter()
            .any(|g| g.account() == Some((meta.namespace.as_str(), meta.name.as_str())));
        let text = match strong {
            true => "its token, which may change things, is put into every pod that says nothing",
            false => "its token is put into every pod that says nothing",
        };
        evidence.push(Evidence::object(
            &object,
            "automountServiceAccountToken",
            text,
        ));
        changes.push(Change::Patch {
            object,
            patch: serde_json::json!([
                { "op": "add", "path": "/automountServiceAccountToken", "value": false }
            ]),
        });
    }
    if accounts.is_empty() {
        return undecided("no service account was seen");
    }
    Ok(
        Verdict::of(evidence, "pods get no token unless they ask", |n| {
            format!("{n} namespace(s) put a token into every pod")
        })
        .mend(|| Fix::changes("turn it off; pods that need a token say so", changes)),
    )
}

/// S4-01
pub(crate) fn standing_writes(facts: &Facts<'_>) -> Judged {
    let writes = |g: &&Grant<'_>| g.who.is_human() && g.rules().iter().any(Gives::writes);
    let grants: Vec<&Grant<'_>> = facts.grants()?.iter().filter(writes).collect();
    let mut evidence: Vec<Evidence> = grants
        .iter()
        .map(|g| {
            g.evidence(format!(
                "{} may change things {} at any time, by `{}`",
                g.subject_words(),
                g.scope_words(),
                g.binding.role_ref.name
            ))
        })
        .collect();
    // Who is in system:masters needs no binding.
    if let Ok(masters) = kubeconfig::masters(facts) {
        evidence.extend(masters.evidence);
    }
    let functions = crate::check::gate::standing_functions(facts);
    let at_the_gate = !functions.is_empty();
    evidence.extend(functions);
    Ok(Verdict::of(
        evidence,
        "nobody holds a standing right to change anything",
        |n| format!("{n} binding(s) or job functions let people change things at any time"),
    )
    .mend(|| {
        let mut changes = removals(grants.iter().copied());
        if at_the_gate {
            changes.extend(crate::check::gate::written(facts, "S4-01").changes);
        }
        Fix::changes(
            "let people ask for it when they need it, for a time, and take the standing right away",
            changes,
        )
    }))
}
