//! A large cluster that nobody runs: the stock one, and what thousands of people would have done to it.
//! The same numbers each time.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::{Value, json};

const NODES: u64 = 5_000;
const ROLES: u64 = 10_000;
const CLUSTER_ROLES: u64 = 2_000;
const BINDINGS: u64 = 50_000;
const CLUSTER_BINDINGS: u64 = 3_000;
const NAMESPACES: u64 = 1_000;
const PEOPLE: u64 = 3_000;
const GROUPS: u64 = 200;
const ACCOUNTS: u64 = 10;

/// How large it is.
#[derive(Debug, Serialize)]
pub(super) struct Size {
    pub(super) nodes: u64,
    pub(super) bindings: u64,
    pub(super) roles: u64,
    pub(super) namespaces: u64,
    pub(super) people: u64,
    pub(super) bytes: u64,
}

/// SplitMix64: numbers that look like chance and are the same on every machine.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        let index = usize::try_from(self.below(list.len() as u64)).unwrap_or(0);
        list.get(index).copied().unwrap_or("x")
    }
}

const RESOURCES: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "pods",
            "services",
            "configmaps",
            "endpoints",
            "pods/log",
            "persistentvolumeclaims",
        ],
    ),
    (
        "apps",
        &["deployments", "statefulsets", "daemonsets", "replicasets"],
    ),
    ("batch", &["jobs", "cronjobs"]),
    ("networking.k8s.io", &["ingresses", "networkpolicies"]),
    ("example.com", &["widgets", "gadgets", "gizmos"]),
];
/// What every large cluster has somewhere: rights that lead to others.
const RISKY: &[(&str, &[&str], &[&str])] = &[
    ("", &["secrets"], &["get", "list", "watch"]),
    ("", &["pods", "pods/exec"], &["create", "get"]),
    ("", &["serviceaccounts/token"], &["create"]),
    ("", &["nodes/proxy"], &["get", "create"]),
    ("", &["users", "groups"], &["impersonate"]),
    (
        "rbac.authorization.k8s.io",
        &["roles", "rolebindings"],
        &["create", "bind", "escalate"],
    ),
    ("apps", &["*"], &["*"]),
    ("*", &["*"], &["get", "list", "watch"]),
    ("*", &["*"], &["*"]),
];
/// One role of so many has one of them.
const SELDOM: u64 = 40;
const VERBS: &[&str] = &[
    "get", "list", "watch", "create", "update", "patch", "delete",
];

/// Writes the snapshot.
pub(super) fn snapshot(stock: &Path, path: &Path) -> Result<Size> {
    let text = std::fs::read(stock).with_context(|| format!("`{}`", stock.display()))?;
    let mut document: Value = serde_json::from_slice(&text)?;
    let mut numbers = Numbers(1);
    let roles = (0..CLUSTER_ROLES).map(|i| role(&mut numbers, i, None));
    extend(&mut document, "/rbac/clusterRoles/known", roles.collect())?;
    let roles = (CLUSTER_ROLES..ROLES).map(|i| role(&mut numbers, i, Some(i % NAMESPACES)));
    extend(&mut document, "/rbac/roles/known", roles.collect())?;
    let bindings = (0..CLUSTER_BINDINGS).map(|i| binding(&mut numbers, i, None));
    extend(
        &mut document,
        "/rbac/clusterRoleBindings/known",
        bindings.collect(),
    )?;
    let bindings =
        (CLUSTER_BINDINGS..BINDINGS).map(|i| binding(&mut numbers, i, Some(i % NAMESPACES)));
    extend(
        &mut document,
        "/rbac/roleBindings/known",
        bindings.collect(),
    )?;
    let namespaces = (0..NAMESPACES).map(|n| json!({ "metadata": { "name": namespace(n) } }));
    extend(&mut document, "/namespaces/known", namespaces.collect())?;
    let accounts = (0..NAMESPACES * ACCOUNTS).map(|i| {
        json!({ "metadata": { "name": format!("account-{}", i / NAMESPACES), "namespace": namespace(i % NAMESPACES) } })
    });
    extend(&mut document, "/serviceAccounts/known", accounts.collect())?;
    let text = serde_json::to_vec(&document)?;
    std::fs::write(path, &text)?;
    Ok(Size {
        nodes: NODES,
        bindings: BINDINGS,
        roles: ROLES,
        namespaces: NAMESPACES,
        people: PEOPLE,
        bytes: text.len() as u64,
    })
}

fn extend(document: &mut Value, pointer: &str, items: Vec<Value>) -> Result<()> {
    let list = document.pointer_mut(pointer).and_then(Value::as_array_mut);
    list.with_context(|| format!("the stock snapshot has no {pointer}"))?
        .extend(items);
    Ok(())
}

fn namespace(number: u64) -> String {
    format!("team-{number:04}")
}

fn role(numbers: &mut Numbers, index: u64, of: Option<u64>) -> Value {
    let mut rules: Vec<Value> = (0..1 + numbers.below(5))
        .map(|_| {
            let at = usize::try_from(numbers.below(RESOURCES.len() as u64)).unwrap_or(0);
            let (group, list) = RESOURCES.get(at).copied().unwrap_or(("", &["pods"]));
            let resources: Vec<&str> = (0..1 + numbers.below(3))
                .map(|_| numbers.of(list))
                .collect();
            let verbs: Vec<&str> = (0..1 + numbers.below(4))
                .map(|_| numbers.of(VERBS))
                .collect();
            json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
        })
        .collect();
    if numbers.below(SELDOM) == 0 {
        let at = usize::try_from(numbers.below(RISKY.len() as u64)).unwrap_or(0);
        rules.extend(RISKY.get(at).map(|(group, resources, verbs)| {
            json!({ "apiGroups": [group], "resources": resources, "verbs": verbs })
        }));
    }
    let mut metadata = json!({ "name": format!("role-{index}") });
    if let (Some(of), Some(map)) = (of, metadata.as_object_mut()) {
        map.insert("namespace".to_owned(), json!(namespace(of)));
    }
    json!({ "metadata": metadata, "rules": rules })
}

fn binding(numbers: &mut Numbers, index: u64, of: Option<u64>) -> Value {
    let subjects: Vec<Value> = (0..1 + numbers.below(3))
        .map(|_| match numbers.below(4) {
            0 => json!({ "kind": "User", "name": person(numbers.below(PEOPLE)) }),
            1 => json!({ "kind": "Group", "name": format!("group-{}", numbers.below(GROUPS)) }),
            _ => json!({
                "kind": "ServiceAccount",
                "name": format!("account-{}", numbers.below(ACCOUNTS)),
                "namespace": namespace(of.unwrap_or(numbers.below(NAMESPACES))),
            }),
        })
        .collect();
    let mut metadata = json!({ "name": format!("binding-{index}") });
    let (kind, role) = match of {
        Some(of) => {
            if let Some(map) = metadata.as_object_mut() {
                map.insert("namespace".to_owned(), json!(namespace(of)));
            }
            // Roles of a namespace are those whose number leaves its own.
            let own = CLUSTER_ROLES
                + of
                + NAMESPACES * numbers.below((ROLES - CLUSTER_ROLES) / NAMESPACES);
            match numbers.below(2) {
                0 => ("Role", own),
                _ => ("ClusterRole", numbers.below(CLUSTER_ROLES)),
            }
        }
        None => ("ClusterRole", numbers.below(CLUSTER_ROLES)),
    };
    json!({
        "metadata": metadata,
        "roleRef": { "kind": kind, "name": format!("role-{role}") },
        "subjects": subjects,
    })
}

fn person(number: u64) -> String {
    format!("person-{number:04}@example.com")
}

/// Writes an audit log of about so many bytes: half of it people, the rest nodes and pods.
pub(super) fn audit_log(path: &Path, bytes: u64) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut numbers = Numbers(2);
    let (mut written, mut index) = (0, 0_u64);
    while written < bytes {
        let line = event(&mut numbers, index).to_string();
        out.write_all(line.as_bytes())?;
        out.write_all(b"\n")?;
        written += line.len() as u64 + 1;
        index += 1;
    }
    out.flush().context("the audit log")
}

fn event(numbers: &mut Numbers, index: u64) -> Value {
    // Some 30 days, as fast as they come.
    let seconds = 1_790_000_000 + index * 3;
    let (user, groups, agent, extra) = match numbers.below(4) {
        0 => (
            format!("system:node:node-{}", numbers.below(NODES)),
            json!(["system:nodes", "system:authenticated"]),
            "kubelet/v1.36.3 (linux/amd64) kubernetes/abcdef0",
            json!({}),
        ),
        1 => {
            let space = namespace(numbers.below(NAMESPACES));
            (
                format!(
                    "system:serviceaccount:{space}:account-{}",
                    numbers.below(ACCOUNTS)
                ),
                json!([
                    "system:serviceaccounts",
                    format!("system:serviceaccounts:{space}"),
                    "system:authenticated"
                ]),
                "controller/v1.2.3 (linux/amd64) kubernetes/$Format",
                json!({ "authentication.kubernetes.io/pod-name": [format!("pod-{}", numbers.below(1000))] }),
            )
        }
        _ => {
            let number = numbers.below(PEOPLE);
            (
                person(number),
                json!([format!("group-{}", number % GROUPS), "system:authenticated"]),
                "kubectl/v1.36.3 (linux/amd64) kubernetes/abcdef0",
                json!({ "authentication.kubernetes.io/credential-id": [format!("JTI={:x}", numbers.next())] }),
            )
        }
    };
    let at = usize::try_from(numbers.below(RESOURCES.len() as u64)).unwrap_or(0);
    let (group, list) = RESOURCES.get(at).copied().unwrap_or(("", &["pods"]));
    let (resource, verb, space) = (
        numbers.of(list),
        numbers.of(VERBS),
        namespace(numbers.below(NAMESPACES)),
    );
    let name = format!("thing-{:x}", numbers.below(100_000));
    let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
    let mut object = json!({
        "resource": resource, "namespace": space, "name": name, "apiGroup": group, "apiVersion": "v1",
    });
    if let (false, Some(map)) = (sub.is_empty(), object.as_object_mut()) {
        map.insert("subresource".to_owned(), json!(sub));
    }
    let code = if numbers.below(20) == 0 { 403 } else { 200 };
    let time = time(seconds);
    json!({
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": format!("{:016x}-{:016x}", numbers.next(), numbers.next()),
        "stage": "ResponseComplete",
        "requestURI": format!("/api/v1/namespaces/{space}/{resource}/{name}"),
        "verb": verb,
        "user": { "username": user, "groups": groups, "extra": extra },
        "sourceIPs": [format!("10.{}.{}.{}", numbers.below(200), numbers.below(250), numbers.below(250))],
        "userAgent": agent,
        "objectRef": object,
        "responseStatus": { "metadata": {}, "code": code },
        "requestReceivedTimestamp": time,
        "stageTimestamp": time,
        "annotations": {
            "authorization.k8s.io/decision": if code == 200 { "allow" } else { "forbid" },
            "authorization.k8s.io/reason": "RBAC: allowed by RoleBinding \"binding-1/team-0001\"",
        },
    })
}

/// RFC 3339, by the days of a Gregorian year.
fn time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.000000Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(time(1_790_000_000), "2026-09-21T14:13:20.000000Z");
        assert_eq!(time(951_826_154), "2000-02-29T12:09:14.000000Z");
    }

    #[test]
    fn it_is_the_same_cluster_each_time() {
        let text = || event(&mut Numbers(2), 7).to_string();
        assert_eq!(text(), text());
        assert!(text().contains("\"stage\":\"ResponseComplete\""));
    }
}
