//! `rbac who-can` and `rbac can`.

use kubestile_rbac::discovery::Discovery;
use kubestile_rbac::effective::{held, who_can};
use kubestile_rbac::model::MASTERS;
use kubestile_rbac::{Attributes, Grant, Identity, Policy, Scope, User};
use serde::Serialize;

use super::{identity, namespace, place, policy, snapshot};
use crate::args::rbac::{Can, WhoCan};
use crate::exit::{Fail, Outcome};
use crate::output::{self, Format, Table};

/// One way by which somebody may.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    binding: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    role: String,
    rule: String,
    namespace: String,
}

/// Who may.
pub(super) fn run(args: &WhoCan) -> Outcome {
    let namespace = namespace(&args.place, &args.rights)?;
    let asked = attributes(args, namespace.as_deref())?;
    let policy = policy(&snapshot(&args.rights)?)?;
    let mut rows = Vec::new();
    for (who, grants) in who_can(&policy, &asked).holders {
        if grants.is_empty() {
            rows.push(Row {
                subject: who.to_string(),
                binding: String::new(),
                role: String::new(),
                rule: "everything, whatever the roles say".to_owned(),
                namespace: "*".to_owned(),
            });
        }
        rows.extend(grants.iter().filter_map(|g| row(&policy, &who, *g)));
    }
    rows.sort_by(|a, b| (&a.subject, &a.binding).cmp(&(&b.subject, &b.binding)));
    print(&rows, args.output.format, &nothing("nobody may", &asked))
}

/// With the namespace, which may be one that nobody typed.
fn nothing(words: &str, asked: &Attributes) -> String {
    match asked.scope() {
        Scope::Cluster => words.to_owned(),
        Scope::Namespace(namespace) => format!("{words}, in namespace `{namespace}`"),
    }
}

/// What somebody may.
pub(super) fn can(args: &Can) -> Outcome {
    let who = identity(&args.subject)?;
    let policy = policy(&snapshot(&args.rights)?)?;
    let mut user = User::of(&who);
    user.groups.extend(args.groups.iter().cloned());
    if user.groups.iter().any(|g| g == MASTERS) {
        output::talk("whoever is in system:masters may do everything, whatever the roles say");
    }
    let wanted = namespace(&args.place, &args.rights)?;
    let is_here = |n: &str| wanted.as_deref().is_none_or(|w| n == w || n == "*");
    let (here, elsewhere): (Vec<Row>, Vec<Row>) = held(&policy, &user)
        .filter_map(|h| row(&policy, &who, h.grant))
        .partition(|row| is_here(&row.namespace));
    let mut rows = here;
    rows.sort_by(|a, b| (&a.namespace, &a.binding).cmp(&(&b.namespace, &b.binding)));
    let none = match &wanted {
        Some(namespace) => format!("nothing, in namespace `{namespace}`"),
        None => "nothing".to_owned(),
    };
    print(&rows, args.output.format, &none)?;
    if !elsewhere.is_empty() {
        output::talk(&format!(
            "and {} rules in other namespaces: -A shows them",
            elsewhere.len()
        ));
    }
    Ok(())
}

fn row(policy: &Policy, who: &Identity, grant: Grant) -> Option<Row> {
    let binding = policy.binding(grant.binding)?;
    let role = policy.role(grant.role)?;
    let position = usize::try_from(grant.rule).ok()?;
    Some(Row {
        subject: who.to_string(),
        binding: binding.to_string(),
        role: role.to_string(),
        rule: format!("{} (rules[{position}])", role.rules.get(position)?),
        namespace: place(&binding.scope()),
    })
}

fn print(rows: &[Row], format: Format, nothing: &str) -> Outcome {
    if format.is_data() {
        return output::value(format, &rows);
    }
    let mut table = Table::new(&["SUBJECT", "NAMESPACE", "BINDING", "ROLE", "RULE"]);
    for row in rows {
        table.row([
            row.subject.clone(),
            row.namespace.clone(),
            row.binding.clone(),
            row.role.clone(),
            row.rule.clone(),
        ]);
    }
    table.print(nothing)
}

/// What is asked for, as the API server would see it.
fn attributes(args: &WhoCan, namespace: Option<&str>) -> Outcome<Attributes> {
    if args.resource.starts_with('/') {
        return Ok(Attributes::path(&args.verb, &args.resource));
    }
    let (resource, subresource) = args
        .resource
        .split_once('/')
        .map_or((args.resource.as_str(), ""), |(r, s)| (r, s));
    let (resource, group) = match resource.split_once('.') {
        Some((resource, group)) => (resource.to_owned(), group.to_owned()),
        None => known(resource)?,
    };
    let discovery = Discovery::well_known();
    let namespace = match namespace {
        Some(namespace) if !discovery.is_cluster_scoped(&group, &resource) => namespace,
        _ => "",
    };
    let whole = match subresource {
        "" => resource,
        sub => format!("{resource}/{sub}"),
    };
    let asked = Attributes::resource(&args.verb, &group, &whole, namespace);
    Ok(asked.named(args.name.as_deref().unwrap_or_default()))
}

/// The resource and its group, by its name or one that kubectl knows.
fn known(name: &str) -> Outcome<(String, String)> {
    const SHORT: [(&str, &str); 20] = [
        ("cj", "cronjobs"),
        ("cm", "configmaps"),
        ("crd", "customresourcedefinitions"),
        ("csr", "certificatesigningrequests"),
        ("deploy", "deployments"),
        ("ds", "daemonsets"),
        ("ep", "endpoints"),
        ("ev", "events"),
        ("hpa", "horizontalpodautoscalers"),
        ("ing", "ingresses"),
        ("netpol", "networkpolicies"),
        ("no", "nodes"),
        ("ns", "namespaces"),
        ("po", "pods"),
        ("pv", "persistentvolumes"),
        ("pvc", "persistentvolumeclaims"),
        ("rs", "replicasets"),
        ("sa", "serviceaccounts"),
        ("sts", "statefulsets"),
        ("svc", "services"),
    ];
    let lower = name.to_ascii_lowercase();
    let long = SHORT.iter().find(|(short, _)| *short == lower);
    let wanted = long.map_or(lower.as_str(), |(_, long)| long);
    // Not objects of the API, but what rights are for.
    let rights = ["users", "groups"];
    if rights.contains(&wanted) {
        return Ok((wanted.to_owned(), String::new()));
    }
    let discovery = Discovery::well_known();
    let plurals = [
        wanted.to_owned(),
        format!("{wanted}s"),
        format!("{wanted}es"),
    ];
    let kind = discovery
        .kinds()
        .iter()
        .find(|kind| plurals.contains(&kind.resource) && kind.group != "metrics.k8s.io");
    kind.map(|k| (k.resource.clone(), k.group.clone()))
        .ok_or_else(|| {
            Fail::usage(format!("`{name}` is no resource that every cluster has"))
                .hint("name one of your own with its group: RESOURCE.GROUP")
        })
}
