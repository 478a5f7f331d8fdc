//! Who may do what in the cluster, by its roles and bindings.

mod paths;
mod reach;
mod shape;

pub(super) use paths::paths;
pub(super) use reach::takeover;
pub(super) use shape::{
    aggregation, built_in_roles, dangling, groups, namespaced, standing_writes, token_mount,
    wildcards,
};

use kubestile_rbac::Rule;

use crate::facts::{Facts, Gives as _, Grant, Hit, Want, Who};
use crate::snapshot::ObjectRef;
use crate::verdict::{Change, Evidence, Fix, Judged, Verdict};

/// More administrators of everything than this is a finding.
const ADMINISTRATORS: usize = 2;
const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "update", "patch"];
const ANY: &[&str] = &[
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
];
const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";

const fn want(
    verbs: &'static [&'static str],
    group: &'static str,
    resources: &'static [&'static str],
) -> Want {
    Want {
        verbs,
        group,
        resources,
        cluster: false,
    }
}

const fn wide(
    verbs: &'static [&'static str],
    group: &'static str,
    resources: &'static [&'static str],
) -> Want {
    Want {
        verbs,
        group,
        resources,
        cluster: true,
    }
}

/// Evidence of every hit.
fn evidence(hits: &[Hit<'_, '_>]) -> Vec<Evidence> {
    hits.iter().map(Hit::evidence).collect()
}

/// Removes the subjects from their bindings. Of one binding's list the last go first, so that indexes
/// stay right.
pub(super) fn removals<'f, 'a: 'f>(grants: impl Iterator<Item = &'f Grant<'a>>) -> Vec<Change> {
    let mut grants: Vec<&Grant<'_>> = grants.collect();
    grants.sort_by_key(|g| (g.object(), std::cmp::Reverse(g.index)));
    grants.dedup_by(|a, b| std::ptr::eq(a.binding, b.binding) && a.index == b.index);
    let of_one = grants.chunk_by(|a, b| std::ptr::eq(a.binding, b.binding));
    let mut changes: Vec<Change> = Vec::new();
    for list in of_one {
        match list {
            [first, ..] if list.len() == first.binding.subjects.len() => {
                changes.push(Change::Delete(first.object()));
            }
            some => changes.extend(some.iter().map(|g| g.removal())),
        }
    }
    changes
}

fn take_away(text: &str, hits: &[Hit<'_, '_>]) -> Fix {
    Fix::changes(text, removals(hits.iter().map(|h| h.grant)))
}

/// Fails with every hit; their removal mends it.
fn none_may(hits: &[Hit<'_, '_>], pass: &str, fail: &str, mend: &str) -> Verdict {
    Verdict::of(evidence(hits), pass, |n| format!("{n} {fail}")).mend(|| take_away(mend, hits))
}

/// S0-09
pub(super) fn anonymous(facts: &Facts<'_>) -> Judged {
    let grants = facts.grants()?.iter().filter(|g| g.who == Who::Anonymous);
    let grants: Vec<&Grant<'_>> = grants.collect();
    let evidence = grants.iter().map(|g| {
        g.evidence(format!(
            "{} has {} `{}` {}",
            g.subject_words(),
            g.binding.role_ref.kind.to_lowercase(),
            g.binding.role_ref.name,
            g.scope_words()
        ))
    });
    Ok(Verdict::of(
        evidence.collect(),
        "anonymous requests have what a fresh cluster gives them, and nothing else",
        |n| format!("{n} binding(s) give rights to requests without any credential"),
    )
    .mend(|| {
        Fix::changes(
            "take the rights away from anonymous requests",
            removals(grants.iter().copied()),
        )
    }))
}

/// What a fresh cluster lets everybody do who has a credential.
fn is_discovery(rule: &Rule) -> bool {
    const URLS: [&str; 14] = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/",
        "/openid/v1/jwks",
    ];
    let url = |u: &String| URLS.contains(&u.as_str()) || u == "/openid/v1/jwks/";
    let review = |r: &String| {
        matches!(
            r.as_str(),
            "selfsubjectaccessreviews" | "selfsubjectrulesreviews" | "selfsubjectreviews"
        )
    };
    let reads = rule.verbs.iter().all(|v| v == "get");
    let reviews = !rule.resources.is_empty()
        && rule.resources.iter().all(review)
        && rule.verbs.iter().all(|v| v == "create");
    (rule.resources.is_empty() && reads && rule.non_resource_urls.iter().all(url)) || reviews
}

/// S0-10
pub(super) fn everyone(facts: &Facts<'_>) -> Judged {
    let is_everyone = |g: &&Grant<'_>| {
        matches!(
            g.subject.name.as_str(),
            "system:authenticated" | "system:serviceaccounts"
        ) && g.subject.kind == "Group"
    };
    let mut wide = Vec::new();
    for grant in facts.grants()?.iter().filter(is_everyone) {
        // Also a stock binding whose role was widened.
        let more = grant.rules().iter().position(|r| !is_discovery(r));
        if let Some(rule) = more {
            wide.push((grant, rule));
        }
    }
    let evidence = wide.iter().map(|(g, rule)| {
        g.evidence(format!(
            "{} has rules[{rule}] of {} `{}` {}",
            g.subject_words(),
            g.binding.role_ref.kind.to_lowercase(),
            g.binding.role_ref.name,
            g.scope_words()
        ))
    });
    Ok(Verdict::of(
        evidence.collect(),
        "being logged in gives discovery, and nothing else",
        |n| format!("{n} binding(s) give rights to everybody who has any credential"),
    )
    .mend(|| {
        Fix::changes(
            "bind the people who need it instead of everybody",
            removals(wide.iter().map(|(g, _)| *g)),
        )
    }))
}

/// S0-11
pub(super) fn administrators(facts: &Facts<'_>) -> Judged {
    let admins: Vec<&Grant<'_>> = facts
        .grants()?
        .iter()
        .filter(|g| g.who.is_chosen() && g.is_admin())
        .collect();
    let mut subjects: Vec<_> = admins.iter().map(|g| g.subject).collect();
    subjects.sort_unstable();
    subjects.dedup();
    let evidence: Vec<Evidence> = admins
        .iter()
        .map(|g| {
            g.evidence(format!(
                "{} may do everything, by clusterrole `{}`",
                g.subject_words(),
                g.binding.role_ref.name
            ))
        })
        .collect();
    let n = subjects.len();
    if n <= ADMINISTRATORS {
        let text = format!(
            "{n} subject(s) beside break-glass may do everything; {ADMINISTRATORS} are accepted"
        );
        return Ok(Verdict::pass(text).because(evidence));
    }
    Ok(Verdict::fail(format!(
        "{n} subjects may do everything in the whole cluster"
    ))
    .because(evidence)
    .mend(|| {
        // Accounts of installed software may need more care than a delete.
        let people = admins.iter().filter(|g| g.who.is_human());
        let mut changes = removals(people.copied());
        if changes.is_empty() {
            changes = removals(admins.iter().copied());
        }
        Fix::changes("give scoped roles instead, and take this one away", changes)
    }))
}

/// S0-14
pub(super) fn default_accounts(facts: &Facts<'_>) -> Judged {
    let bound = |g: &&Grant<'_>| {
        let user = g.subject.name.strip_prefix("system:serviceaccount:");
        g.who == Who::Workload
            && (g.subject.kind == "ServiceAccount" && g.subject.name == "default"
                || user.is_some_and(|u| u.ends_with(":default")))
    };
    let grants: Vec<&Grant<'_>> = facts.grants()?.iter().filter(bound).collect();
    let evidence = grants.iter().map(|g| {
        g.evidence(format!(
            "every pod of the namespace that names no account has `{}` {}",
            g.binding.role_ref.name,
            g.scope_words()
        ))
    });
    Ok(Verdict::of(
        evidence.collect(),
        "no `default` service account has a binding",
        |n| format!("{n} binding(s) give rights to a `default` service account"),
    )
    .mend(|| {
        Fix::changes(
            "give the workload an account of its own, and unbind `default`",
            removals(grants.iter().copied()),
        )
    }))
}

/// S2-04
pub(super) fn secrets(facts: &Facts<'_>) -> Judged {
    let hits = facts.holders(Who::is_human, &[want(READ, "", &["secrets"])])?;
    let wide: Vec<Hit<'_, '_>> = hits
        .into_iter()
        .filter(|h| h.grant.namespace.is_none())
        .collect();
    Ok(none_may(
        &wide,
        "nobody reads the Secrets of the whole cluster",
        "binding(s) let people read every Secret of the cluster",
        "read Secrets by name, in a namespace, for a time",
    ))
}

/// S2-05
pub(super) fn bind_escalate(facts: &Facts<'_>) -> Judged {
    const BIND: Want = want(&["bind"], RBAC, &["clusterroles", "roles"]);
    const ESCALATE: Want = want(&["escalate"], RBAC, &["clusterroles", "roles"]);
    let writes = |subject: &crate::snapshot::Subject, resources: &[&str]| {
        let gives = |rule: &Rule, verb: &&str| {
            let mut these = resources.iter();
            these.any(|r| rule.gives_action(verb, RBAC, r))
        };
        facts.held_by(subject).iter().any(|g| {
            g.rules()
                .iter()
                .any(|rule| WRITE.iter().any(|verb| gives(rule, verb)))
        })
    };
    let mut hits = facts.holders(Who::is_chosen, &[BIND])?;
    hits.retain(|h| writes(h.grant.subject, &["clusterrolebindings", "rolebindings"]));
    let mut escalate = facts.holders(Who::is_chosen, &[ESCALATE])?;
    escalate.retain(|h| writes(h.grant.subject, &["clusterroles", "roles"]));
    hits.extend(escalate);
    Ok(none_may(
        &hits,
        "nobody can give themselves more than they have",
        "binding(s) let somebody give themselves more than they have",
        "take `bind` and `escalate` away",
    ))
}

/// S2-06
pub(super) fn impersonation(facts: &Facts<'_>) -> Judged {
    const VERB: &[&str] = &["impersonate"];
    const WANTS: &[Want] = &[
        want(VERB, "", &["users", "groups", "serviceaccounts"]),
        want(VERB, "authentication.k8s.io", &["uids", "userextras"]),
    ];
    let mut hits = facts.holders(Who::is_chosen, WANTS)?;
    // A name that is listed bounds it.
    hits.retain(|h| {
        h.grant
            .rules()
            .get(h.rule)
            .is_none_or(|r| r.resource_names.is_empty())
    });
    Ok(none_may(
        &hits,
        "nobody can act as somebody else, beside a gate",
        "binding(s) let somebody act as somebody else",
        "list whom by resourceNames, or use constrained impersonation (1.36)",
    ))
}

/// S2-08
pub(super) fn shells(facts: &Facts<'_>) -> Judged {
    const WANTS: &[Want] = &[
        want(
            &["get", "create"],
            "",
            &["pods/exec", "pods/attach", "pods/portforward"],
        ),
        want(&["update", "patch"], "", &["pods/ephemeralcontainers"]),
    ];
    let hits = facts.holders(Who::is_human, WANTS)?;
    Ok(none_may(
        &hits,
        "nobody holds a standing right to enter pods",
        "binding(s) let people enter pods at any time",
        "give it for a time, when it is asked for",
    ))
}

/// S2-09
pub(super) fn nodes_proxy(facts: &Facts<'_>) -> Judged {
    let hits = facts.holders(Who::is_chosen, &[wide(ANY, "", &["nodes/proxy"])])?;
    Ok(none_may(
        &hits,
        "nobody reaches kubelets through the API server",
        "binding(s) reach kubelets through the API server: a shell in every pod, past audit and admission",
        "use nodes/metrics, nodes/stats, nodes/pods, nodes/healthz and nodes/configz (GA in 1.36)",
    ))
}

/// S2-10
pub(super) fn mint_tokens(facts: &Facts<'_>) -> Judged {
    let wants = [want(&["create"], "", &["serviceaccounts/token"])];
    let mut hits = facts.holders(Who::is_chosen, &wants)?;
    hits.retain(|h| {
        h.grant
            .rules()
            .get(h.rule)
            .is_none_or(|r| r.resource_names.is_empty())
    });
    Ok(none_may(
        &hits,
        "nobody makes tokens for any service account they like",
        "binding(s) let somebody make tokens for service accounts",
        "list the accounts by resourceNames",
    ))
}

/// S2-11
pub(super) fn sign_certificates(facts: &Facts<'_>) -> Judged {
    const CERTIFICATES: &str = "certificates.k8s.io";
    let approve = facts.holders(
        Who::is_chosen,
        &[wide(&["approve", "sign"], CERTIFICATES, &["signers"])],
    )?;
    let may = |subject: &crate::snapshot::Subject, resource: &str| {
        facts.grants().is_ok_and(|all| {
            all.iter()
                .filter(|g| g.subject == subject && g.namespace.is_none())
                .flat_map(|g| g.rules())
                .any(|r| {
                    ["update", "patch"]
                        .iter()
                        .any(|v| r.gives_action(v, CERTIFICATES, resource))
                })
        })
    };
    let hits: Vec<Hit<'_, '_>> = approve
        .into_iter()
        .filter(|h| {
            may(h.grant.subject, "certificatesigningrequests/approval")
                || may(h.grant.subject, "certificatesigningrequests/status")
        })
        .collect();
    Ok(none_may(
        &hits,
        "certificates are given out by controllers only",
        "binding(s) let somebody give out certificates in any name",
        "leave it to controllers",
    ))
}

/// S2-12 and S3-18
pub(super) fn admission_writers(facts: &Facts<'_>) -> Judged {
    const RESOURCES: &[&str] = &[
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    ];
    const VERBS: &[&str] = &["create", "update", "patch", "delete", "deletecollection"];
    let hits = facts.holders(Who::is_human, &[wide(VERBS, ADMISSION, RESOURCES)])?;
    Ok(none_may(
        &hits,
        "no person may change what admission checks",
        "binding(s) let people change or remove what admission checks",
        "leave it to those who may do everything, or to GitOps",
    ))
}

/// S2-13
pub(super) fn interception(facts: &Facts<'_>) -> Judged {
    const WANTS: &[Want] = &[
        wide(WRITE, "apiregistration.k8s.io", &["apiservices"]),
        wide(
            WRITE,
            "apiextensions.k8s.io",
            &["customresourcedefinitions"],
        ),
        want(WRITE, "", &["endpoints", "services/status"]),
        want(WRITE, "discovery.k8s.io", &["endpointslices"]),
    ];
    let hits = facts.holders(Who::is_human, WANTS)?;
    Ok(none_may(
        &hits,
        "no person may stand between others and a service",
        "binding(s) let people redirect what others send",
        "leave it to controllers and to those who may do everything",
    ))
}

/// S2-14
pub(super) fn volumes(facts: &Facts<'_>) -> Judged {
    const WANTS: &[Want] = &[
        wide(WRITE, "", &["persistentvolumes"]),
        wide(WRITE, "storage.k8s.io", &["storageclasses"]),
    ];
    let hits = facts.holders(Who::is_human, WANTS)?;
    Ok(none_may(
        &hits,
        "volumes are made by storage drivers only",
        "binding(s) let people make volumes, and so read any path of a node",
        "leave it to storage drivers",
    ))
}

/// S2-15
pub(super) fn relabel_namespaces(facts: &Facts<'_>) -> Judged {
    let hits = facts.holders(
        Who::is_human,
        &[want(&["update", "patch"], "", &["namespaces"])],
    )?;
    Ok(none_may(
        &hits,
        "no person may relabel a namespace",
        "binding(s) let people relabel a namespace, and so lift its pod security",
        "leave it to those who make namespaces",
    ))
}

/// S0-12
pub(super) fn legacy_tokens(facts: &Facts<'_>) -> Judged {
    const USED: &str = "kubernetes.io/legacy-token-last-used";
    let mut in_log = Vec::new();
    super::traffic::legacy_tokens(facts, &mut in_log);
    let secrets = match facts.snapshot.token_secrets.get() {
        Ok(secrets) => secrets.as_slice(),
        Err(absence) if in_log.is_empty() => return Err(absence.into()),
        Err(_) => &[],
    };
    let tokens = || {
        secrets
            .iter()
            .filter(|s| s.kind == "kubernetes.io/service-account-token")
    };
    let mut evidence = Vec::new();
    let mut changes = Vec::new();
    for secret in tokens() {
        let Some(day) = secret.metadata.labels.get(USED) else {
            continue;
        };
        let object = ObjectRef::new("secret", &secret.metadata.namespace, &secret.metadata.name);
        let account = secret.account.as_deref().unwrap_or("an account");
        let text = format!("a token of `{account}` that never ends, last used on {day}");
        evidence.push(Evidence::object(
            &object,
            format!("metadata.labels[{USED}]"),
            text,
        ));
        changes.push(Change::Delete(object));
    }
    if changes.is_empty() && !in_log.is_empty() {
        // The log says that one is used, and not which Secret it is.
        changes.push(Change::Command(
            "kubectl get secrets -A --field-selector type=kubernetes.io/service-account-token"
                .to_owned(),
        ));
    }
    evidence.extend(in_log);
    let pass = match tokens().count() {
        0 => "there is no token without an end".to_owned(),
        n => format!("{n} token(s) without an end, none seen in use"),
    };
    Ok(Verdict::of(evidence, &pass, |n| {
        format!("{n} token(s) of service accounts that never end are in use")
    })
    .mend(|| {
        Fix::changes(
            "ask for tokens with an end (`kubectl create token`), then delete these",
            changes,
        )
    }))
}
