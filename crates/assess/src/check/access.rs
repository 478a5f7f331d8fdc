//! Who may do what in the cluster, by its roles and bindings.

mod paths;
mod reach;
mod shape;
mod spelled;

pub(super) use paths::paths;
pub(super) use reach::{STARTS, takeover};
pub(super) use shape::{
    aggregation, built_in_roles, dangling, groups, namespaced, standing_writes, token_mount,
    wildcards,
};

use kubestile_rbac::Rule;
use kubestile_rbac::covers::covers;

use crate::facts::{Facts, Gives as _, Grant, Hit, Want, Who};
use crate::snapshot::ObjectRef;
use crate::verdict::{Change, Evidence, Fix, Judged, Verdict, undecided};

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

pub(super) const fn want(
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
    const NAMES: [&str; 2] = ["system:anonymous", "system:unauthenticated"];
    // Also a stock binding whose role was widened.
    let widened = |g: &&Grant<'_>| {
        g.stock
            && g.namespace.is_none()
            && NAMES.contains(&g.subject.name.as_str())
            && !g.rules().iter().all(is_discovery)
    };
    let grants = facts
        .grants()?
        .iter()
        .filter(|g| g.who == Who::Anonymous || widened(g));
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

/// A binding of somebody's making for a part of the control plane; `system:masters` needs none.
fn is_made(grant: &Grant<'_>) -> bool {
    !grant.stock && grant.who == Who::Component && grant.subject.name != "system:masters"
}

/// S0-11
pub(super) fn administrators(facts: &Facts<'_>) -> Judged {
    let admins: Vec<&Grant<'_>> = facts
        .grants()?
        .iter()
        .filter(|g| g.is_admin() && (g.who.is_chosen() || is_made(g)))
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
        // A group of all accounts of a namespace has its `default` in it.
        let all =
            g.subject.kind == "Group" && g.subject.name.starts_with("system:serviceaccounts:");
        g.who == Who::Workload && (all || g.account().is_some_and(|(_, name)| name == "default"))
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

/// Whether a rule is for objects of every name.
fn unnamed(rule: &Rule) -> bool {
    rule.resource_names.is_empty()
}

/// S2-04
pub(super) fn secrets(facts: &Facts<'_>) -> Judged {
    let hits = facts.holders_by(Who::is_human, &[want(READ, "", &["secrets"])], unnamed)?;
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
    const BINDINGS: &[&str] = &["clusterrolebindings", "rolebindings"];
    // A role of the cluster is changed in the cluster only.
    const ESCALATE: [(Want, &[&str]); 2] = [
        (want(&["escalate"], RBAC, &["roles"]), &["roles"]),
        (
            wide(&["escalate"], RBAC, &["clusterroles"]),
            &["clusterroles"],
        ),
    ];
    let writes = |hit: &Hit<'_, '_>, resources: &[&str]| {
        let gives = |rule: &Rule, verb: &&str| {
            let mut these = resources.iter();
            these.any(|r| rule.gives_action(verb, RBAC, r))
        };
        // Both in the same place.
        let meets = |g: &&&Grant<'_>| match (g.namespace, hit.grant.namespace) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => true,
        };
        facts.held_by(hit.grant).iter().filter(meets).any(|g| {
            g.rules()
                .iter()
                .any(|rule| WRITE.iter().any(|verb| gives(rule, verb)))
        })
    };
    let more = |hit: &Hit<'_, '_>| raises(facts, hit);
    let mut hits = facts.holders(Who::is_chosen, &[BIND])?;
    hits.retain(|h| writes(h, BINDINGS) && more(h));
    for (escalate, roles) in ESCALATE {
        let mut found = facts.holders(Who::is_chosen, &[escalate])?;
        found.retain(|h| writes(h, roles));
        hits.extend(found);
    }
    Ok(none_may(
        &hits,
        "nobody can give themselves more than they have",
        "binding(s) let somebody give themselves more than they have",
        "take `bind` and `escalate` away",
    ))
}

/// Whether one of the roles that may be bound has what the binder has not: of a list of names, those that exist.
fn raises(facts: &Facts<'_>, hit: &Hit<'_, '_>) -> bool {
    let own: Vec<Rule> = facts
        .held_by(hit.grant)
        .iter()
        .flat_map(|g| g.rules())
        .cloned()
        .collect();
    let binds = |r: &&Rule| {
        let kinds = ["clusterroles", "roles"];
        kinds.iter().any(|k| r.gives_action("bind", RBAC, k))
    };
    let rbac = &facts.snapshot.rbac;
    let roles = || {
        let cluster = rbac.cluster_roles.known().into_iter().flatten();
        cluster.chain(rbac.roles.known().into_iter().flatten())
    };
    let stronger = |name: &String| {
        roles().any(|r| {
            let gives = r.rules.iter().filter(|r| !r.resources.is_empty());
            r.metadata.name == *name && !covers(&own, &gives.cloned().collect::<Vec<Rule>>())
        })
    };
    let mut all = hit.grant.rules().iter().filter(binds);
    all.any(|rule| unnamed(rule) || rule.resource_names.iter().any(stronger))
}

/// S2-06
pub(super) fn impersonation(facts: &Facts<'_>) -> Judged {
    const VERB: &[&str] = &["impersonate"];
    // Users and groups are of no namespace, so that a binding in one gives nothing.
    const WHOM: &[Want] = &[
        wide(VERB, "", &["users"]),
        want(VERB, "", &["serviceaccounts"]),
    ];
    const BESIDE: &[Want] = &[
        wide(VERB, "", &["groups"]),
        wide(VERB, "authentication.k8s.io", &["uids", "userextras"]),
    ];
    // A name that is listed bounds it, if it is not one of the cluster's own.
    let open = |r: &Rule| unnamed(r) || r.resource_names.iter().any(|n| n.starts_with("system:"));
    let mut hits = facts.holders_by(Who::is_chosen, WHOM, open)?;
    // A group alone is nobody: a request must name a user or an account.
    let mut beside = facts.holders_by(Who::is_chosen, BESIDE, open)?;
    beside.retain(|h| {
        let mine = facts.held_by(h.grant);
        mine.iter().any(|g| g.hit_by(WHOM, &|_| true).is_some())
    });
    beside.retain(|h| !hits.iter().any(|k| std::ptr::eq(k.grant, h.grant)));
    hits.extend(beside);
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
    let hits = facts.holders_by(Who::is_chosen, &wants, unnamed)?;
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
    const APPROVAL: &str = "certificatesigningrequests/approval";
    const STATUS: &str = "certificatesigningrequests/status";
    // Signers whose certificates the API server takes for somebody.
    let trusted = |name: &String| {
        matches!(
            name.as_str(),
            "*" | "kubernetes.io/*"
                | "kubernetes.io/kube-apiserver-client"
                | "kubernetes.io/kube-apiserver-client-kubelet"
        )
    };
    let counts = |r: &Rule| unnamed(r) || r.resource_names.iter().any(trusted);
    let may = |grant: &Grant<'_>, resource: &str| {
        let mine = facts.held_by(grant);
        mine.iter()
            .filter(|g| g.namespace.is_none())
            .flat_map(|g| g.rules())
            .any(|r| {
                ["update", "patch"]
                    .iter()
                    .any(|v| r.gives_action(v, CERTIFICATES, resource))
            })
    };
    let mut hits = Vec::new();
    for (verb, part) in [
        (wide(&["approve"], CERTIFICATES, &["signers"]), APPROVAL),
        (wide(&["sign"], CERTIFICATES, &["signers"]), STATUS),
    ] {
        let found = facts.holders_by(Who::is_chosen, &[verb], counts)?;
        hits.extend(found.into_iter().filter(|h| may(h.grant, part)));
    }
    hits.dedup_by(|a, b| std::ptr::eq(a.grant, b.grant));
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
    const BELIEVED: [&str; 3] = ["coredns", "kube-dns", "kube-proxy"];
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
    let mut hits = facts.holders(Who::is_human, WANTS)?;
    // Whose answers everybody believes: the cluster's DNS, and where kube-proxy leads.
    let believed = |r: &Rule| {
        unnamed(r)
            || r.resource_names
                .iter()
                .any(|n| BELIEVED.contains(&n.as_str()))
    };
    let mut maps =
        facts.holders_by(Who::is_human, &[want(WRITE, "", &["configmaps"])], believed)?;
    maps.retain(|h| h.grant.namespace.is_none_or(|n| n == "kube-system"));
    maps.retain(|h| !hits.iter().any(|k| std::ptr::eq(k.grant, h.grant)));
    hits.extend(maps);
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
    const INVALID: &str = "kubernetes.io/legacy-token-invalid-since";
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
        let labels = &secret.metadata.labels;
        // Kubernetes' cleaner has taken it out of use; it deletes it later.
        if labels.contains_key(INVALID) {
            continue;
        }
        let Some(day) = labels.get(USED).filter(|day| of_late(day, facts)) else {
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
    // Older servers write down no use.
    let untracked = facts.snapshot.minor().is_some_and(|m| m < TRACKED);
    if evidence.is_empty() && untracked && tokens().next().is_some() {
        return undecided(format!(
            "there are tokens without an end, and Kubernetes before 1.{TRACKED} does not write down that one is used: an audit log shows it (--audit-log FILE)"
        ));
    }
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

/// From which minor version on the API server writes the day of last use on a token's Secret
/// (`LegacyServiceAccountTokenTracking`).
const TRACKED: u32 = 26;
/// Days after which a token is not in use any more: when Kubernetes' own cleaner takes it away.
const UNUSED: i64 = 365;

/// Whether a day (`2026-01-31`) is not long before the snapshot; so is one that cannot be read.
fn of_late(day: &str, facts: &Facts<'_>) -> bool {
    let at = crate::exception::instant(&format!("{day}T00:00:00Z"));
    at.is_none_or(|at| facts.snapshot.taken.as_secs() - at.as_secs() <= UNUSED * 86_400)
}
