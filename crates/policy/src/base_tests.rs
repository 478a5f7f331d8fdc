//! What the base pack must never do, over requests of every kind that a cluster has: its Markdown tests
//! show single requests, these sweep.

use kubestile_core::request_info::{RequestInfo, Target};
use kubestile_core::{Action, ActionKind, Known, Obligation};

use crate::decide::tests::{action, approved, context, identity, question};
use crate::decide::{Outcome, Question};
use crate::kubectl_words::known_resources;
use crate::{PolicySet, base_sources};

/// Subresources that mean something of their own somewhere.
const SUBRESOURCES: &[&str] = &[
    "approval",
    "attach",
    "binding",
    "ephemeralcontainers",
    "eviction",
    "exec",
    "finalize",
    "log",
    "portforward",
    "proxy",
    "proxy/x",
    "resize",
    "scale",
    "token",
    "console",
];

/// Every known resource with every method, in the namespaces shop and bank and in none, as collection and
/// by name, with the subresources where there are some.
fn requests() -> Vec<Action> {
    let mut all = Vec::new();
    for resource in known_resources() {
        let (plural, base) = match resource.split_once('.') {
            None => (resource.as_str(), "/api/v1".to_owned()),
            Some((plural, group)) => (plural, format!("/apis/{group}/v1")),
        };
        for scope in ["", "/namespaces/shop", "/namespaces/bank"] {
            let collection = format!("{base}{scope}/{plural}");
            let object = format!("{collection}/a");
            let mut paths = vec![collection, object.clone(), format!("{object}/status")];
            let subresources = match plural {
                "pods"
                | "nodes"
                | "services"
                | "serviceaccounts"
                | "namespaces"
                | "secrets"
                | "deployments"
                | "certificatesigningrequests" => SUBRESOURCES,
                _ => &[],
            };
            paths.extend(subresources.iter().map(|sub| format!("{object}/{sub}")));
            for path in paths {
                for (method, query) in [
                    ("GET", None),
                    ("GET", Some("watch=1")),
                    ("POST", None),
                    ("PUT", None),
                    ("PATCH", None),
                    ("PATCH", Some("dryRun=All")),
                    ("DELETE", None),
                ] {
                    // What the gate does not read cannot be allowed either.
                    let Ok(info) = RequestInfo::parse(method, &path, query) else {
                        continue;
                    };
                    all.push(Action::new("prod".parse().unwrap(), info, None));
                }
            }
        }
    }
    for path in [
        "/version",
        "/apis",
        "/metrics",
        "/healthz",
        "/logs/",
        "/debug/pprof/x",
    ] {
        all.push(action(&format!("GET {path}")));
        all.push(action(&format!("POST {path}")));
    }
    all
}

/// The answers to a request for somebody with these functions: without and with an approval.
fn answers(set: &PolicySet, functions: &[&str], action: &Action) -> (Outcome, Outcome) {
    let (identity, mut context) = (identity(functions), context());
    let before = set.evaluate(&question(&identity, action, &context));
    context.approval = approved(2);
    if let (Known::Present(approval), Outcome::Hold(hold)) = (&mut context.approval, &before) {
        approval.function.clone_from(&hold.function);
    }
    let after = set.evaluate(&question(&identity, action, &context));
    (before, after)
}

fn line(action: &Action) -> String {
    let target = match &action.info.target {
        Target::Resource(r) => format!("{} {} {}", r.qualified(), r.namespace, r.name),
        Target::NonResource { path } => path.clone(),
    };
    format!("{} ({}) {target}", action.info.method, action.kind)
}

fn width(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Deny(_) => 0,
        Outcome::Hold(_) => 1,
        Outcome::Allow(_) => 2,
    }
}

/// Whether it waits until somebody gives the job function that would permit it.
fn asks(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Hold(hold) if hold.function.is_some())
}

/// Whether a request only looks at something that is no secret and no stream.
fn only_looks(action: &Action) -> bool {
    let reads = [
        ActionKind::Get,
        ActionKind::List,
        ActionKind::Watch,
        ActionKind::Log,
    ];
    action.resource().is_some_and(|r| r.resource != "secrets") && reads.contains(&action.kind)
}

/// What is nobody's through the gate, whatever their job function and whoever approves.
fn is_nobodys(action: &Action) -> bool {
    let never = [
        ActionKind::NodeProxy,
        ActionKind::Token,
        ActionKind::Approve,
        ActionKind::Unknown,
    ];
    let Some(resource) = action.resource() else {
        return false;
    };
    let groups = [
        "admissionregistration.k8s.io",
        "apiregistration.k8s.io",
        "apiextensions.k8s.io",
        "certificates.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "storage.k8s.io",
        "node.k8s.io",
        "scheduling.k8s.io",
    ];
    let resources = [
        "bindings",
        "clusterrolebindings",
        "clusterroles",
        "endpoints",
        "endpointslices",
        "namespaces",
        "nodes",
        "persistentvolumes",
        "resourcequotas",
    ];
    let fields = ["status", "finalize", "binding", "console"];
    let writes = !only_looks(action) && resource.resource != "secrets";
    never.contains(&action.kind)
        || (writes && groups.contains(&resource.group.as_str()))
        || (writes && resources.contains(&resource.resource.as_str()))
        || (writes && fields.contains(&resource.subresource.as_str()))
        || (writes && resource.namespace.is_empty())
}

#[test]
fn job_functions_keep_to_what_they_are_for() {
    let set = PolicySet::load(&base_sources()).unwrap();
    let requests = requests();
    assert!(requests.len() > 4000, "only {}", requests.len());
    let (mut allowed, mut held) = (0, 0);
    for action in &requests {
        let what = line(action);
        let of = |functions: &[&str]| answers(&set, functions, action);
        let open = [ActionKind::Discover, ActionKind::NonResource].contains(&action.kind);

        let (nobody, approved) = of(&[]);
        assert!(width(&nobody) == 0 || open, "nobody may {what}");
        assert_eq!(
            width(&nobody),
            width(&approved),
            "an approval is no job function: {what}"
        );

        let (viewer, _) = of(&["viewer"]);
        assert!(
            width(&viewer) == 0 || open || only_looks(action) || asks(&viewer),
            "a viewer may {what}"
        );

        let (operator, _) = of(&["operator"]);
        let (admin, admin_approved) = of(&["admin"]);
        assert!(
            width(&viewer) <= width(&operator),
            "an operator is a viewer: {what}"
        );
        assert!(
            width(&operator) <= width(&admin),
            "an admin is an operator: {what}"
        );
        assert!(
            width(&admin_approved) == 0 || !is_nobodys(action),
            "an admin may {what}"
        );

        let (local, local_approved) = of(&["admin:shop"]);
        let inside = action.namespace() == "shop";
        assert!(
            inside || open || width(&local_approved) == 0,
            "admin:shop may {what}"
        );
        assert!(
            !inside || width(&local) == width(&admin),
            "admin:shop is admin there: {what}"
        );

        for (before, after) in [(&admin, &admin_approved), (&local, &local_approved)] {
            if let Outcome::Hold(hold) = before {
                assert_eq!(hold.obligations, [Obligation::Approval], "{what}");
                assert_eq!(after.name(), "allow", "an approval is enough to {what}");
                held += 1;
            }
        }
        allowed += usize::from(width(&admin) == 2);
    }
    assert!(allowed > 500 && held > 50, "{allowed} allowed, {held} held");
}

/// Whoever may delete or read all Secrets without a second person could do so by any spelling.
#[test]
fn dangerous_requests_are_never_allowed_at_once() {
    let set = PolicySet::load(&base_sources()).unwrap();
    for action in requests() {
        let (identity, context) = (identity(&["admin"]), context());
        let at_once = set.evaluate(&question(&identity, &action, &context)).name() == "allow";
        let Some(resource) = action.resource() else {
            continue;
        };
        let dangerous = match action.kind {
            ActionKind::Delete => resource.resource != "pods",
            ActionKind::DeleteCollection => true,
            ActionKind::List | ActionKind::Watch => resource.resource == "secrets",
            ActionKind::Create | ActionKind::Update | ActionKind::Patch => {
                resource.resource == "secrets"
                    || (!action.dry_run
                        && ["roles", "rolebindings"].contains(&resource.resource.as_str()))
            }
            _ => false,
        };
        assert!(
            !(at_once && dangerous),
            "an admin may at once {}",
            line(&action)
        );
    }
}

/// A stale session keeps reading and enters nothing.
#[test]
fn a_stale_session_enters_no_pod() {
    let set = PolicySet::load(&base_sources()).unwrap();
    for action in requests() {
        let (identity, context) = (identity(&["admin"]), context());
        let fresh = question(&identity, &action, &context);
        let stale = Question {
            session_age_s: 8 * 3600,
            ..fresh
        };
        let (fresh, stale) = (set.evaluate(&fresh), set.evaluate(&stale));
        let enters = [
            ActionKind::Exec,
            ActionKind::Attach,
            ActionKind::PortForward,
            ActionKind::Debug,
            ActionKind::Copy,
            ActionKind::Proxy,
        ];
        match enters.contains(&action.kind) {
            true => assert_eq!(stale.name(), "deny", "{}", line(&action)),
            false => assert_eq!(stale, fresh, "{}", line(&action)),
        }
    }
}
