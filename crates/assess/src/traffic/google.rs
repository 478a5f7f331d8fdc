//! What Cloud Logging makes of an audit event of GKE: a `LogEntry` with an `AuditLog` in `protoPayload`.
//!
//! The method's name has the API group backwards (`io.k8s.authorization.rbac.v1.clusterroles.list`), so the group
//! is taken from the resource's name (`rbac.authorization.k8s.io/v1/clusterroles`), and verb and sub-resource
//! from the method. Groups of the user are not written there.
//!
//! Who impersonates is `principalEmail`, who is impersonated `authoritySelector` (google.cloud.audit,
//! `AuthenticationInfo`; an entry of a proxy that impersonates is in kyma-project/kyma#2811).

use serde::Deserialize;

use super::event::{Event, Target, Who, authorized};
use super::text::{Text, micros, or_default};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Payload<'a> {
    #[serde(borrow, deserialize_with = "or_default")]
    authentication_info: Authentication<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    authorization_info: Vec<Authorization<'a>>,
    #[serde(borrow)]
    method_name: Text<'a>,
    #[serde(borrow)]
    resource_name: Text<'a>,
    #[serde(borrow, deserialize_with = "or_default")]
    request_metadata: Metadata<'a>,
    #[serde(deserialize_with = "or_default")]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Authentication<'a> {
    #[serde(borrow)]
    principal_email: Text<'a>,
    /// Whom the caller chose to be (`Impersonate-User`).
    #[serde(borrow)]
    authority_selector: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Authorization<'a> {
    granted: bool,
    #[serde(borrow)]
    resource: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata<'a> {
    #[serde(borrow)]
    caller_ip: Text<'a>,
    #[serde(borrow)]
    caller_supplied_user_agent: Text<'a>,
}

/// `google.rpc.Status`: 0 is fine.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

/// `labels` of the entry.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Labels<'a> {
    #[serde(borrow, rename = "authorization.k8s.io/decision")]
    decision: Text<'a>,
}

/// `operation` of the entry: the id is the API server's Audit-ID.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Operation<'a> {
    #[serde(borrow)]
    id: Text<'a>,
}

/// The request; none if the entry is about something else than the Kubernetes API.
pub(super) fn event<'a>(
    payload: &'a Payload<'a>,
    labels: &'a Labels<'a>,
    operation: &'a Operation<'a>,
    timestamp: &str,
) -> Option<Event<'a>> {
    let method = payload.method_name.strip_prefix("io.k8s.")?;
    let (rest, verb) = method.rsplit_once('.')?;
    let (resource, subresource) = resource_of(rest)?;
    let asked = payload.authorization_info.first();
    let name = match payload.resource_name.is_empty() {
        true => asked.map_or("", |a| &a.resource),
        false => &payload.resource_name,
    };
    let (group, namespace, name) = place(name, resource)?;
    let asks = asked.map(|a| a.granted);
    let chosen = &payload.authentication_info.authority_selector;
    let who = |name| Who {
        name,
        ..Who::default()
    };
    Some(Event {
        id: &operation.id,
        at: micros(timestamp),
        // There is an entry when there is an answer.
        stage: "ResponseComplete",
        uri: "",
        verb,
        target: Target::Resource {
            group,
            resource,
            subresource,
            namespace,
            name,
        },
        user: who(&payload.authentication_info.principal_email),
        impersonated: (!chosen.is_empty()).then(|| who(chosen)),
        address: &payload.request_metadata.caller_ip,
        agent: &payload.request_metadata.caller_supplied_user_agent,
        code: http(payload.status.code),
        authorized: authorized(&labels.decision).or(asks),
        command: None,
    })
}

/// Resource and sub-resource of `core.v1.pods.exec`.
fn resource_of(method: &str) -> Option<(&str, &str)> {
    let mut rest = method;
    // The version is a part of its own; groups may have dots, and parts that look like versions.
    loop {
        let (part, after) = rest.split_once('.')?;
        rest = after;
        if is_version(part) {
            break;
        }
    }
    Some(rest.split_once('.').unwrap_or((rest, "")))
}

fn is_version(part: &str) -> bool {
    let Some(rest) = part.strip_prefix('v') else {
        return false;
    };
    let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    digits.len() < rest.len()
        && (digits.is_empty() || digits.starts_with("alpha") || digits.starts_with("beta"))
}

/// Group, namespace and name of `core/v1/namespaces/shop/pods/web/exec`.
fn place<'a>(path: &'a str, resource: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let mut parts = path.split('/');
    let group = parts.next()?;
    let group = if group == "core" { "" } else { group };
    let _version = parts.next()?;
    let mut first = parts.next()?;
    let mut namespace = "";
    if first == "namespaces" && resource != "namespaces" {
        namespace = parts.next()?;
        first = parts.next()?;
    }
    (first == resource).then(|| (group, namespace, parts.next().unwrap_or_default()))
}

/// The HTTP status behind a code of `google.rpc.Code`.
const fn http(code: u16) -> u16 {
    match code {
        0 => 200,
        3 | 9 | 11 => 400,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        16 => 401,
        // Some entries have the HTTP status itself.
        100..=599 => code,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_names_are_taken_apart() {
        assert_eq!(resource_of("core.v1.pods"), Some(("pods", "")));
        assert_eq!(resource_of("core.v1.pods.exec"), Some(("pods", "exec")));
        assert_eq!(
            resource_of("authorization.rbac.v1beta1.clusterroles"),
            Some(("clusterroles", ""))
        );
        assert_eq!(resource_of("get"), None);
        assert_eq!(
            place("core/v1/namespaces/shop/pods/web/exec", "pods"),
            Some(("", "shop", "web"))
        );
        assert_eq!(
            place("core/v1/namespaces/shop", "namespaces"),
            Some(("", "", "shop"))
        );
        assert_eq!(
            place("rbac.authorization.k8s.io/v1/clusterroles", "clusterroles"),
            Some(("rbac.authorization.k8s.io", "", ""))
        );
        assert_eq!(place("core/v1/namespaces/shop/pods", "secrets"), None);
        assert_eq!(place("", "pods"), None);
    }
}
