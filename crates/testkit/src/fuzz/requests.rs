//! What a client asks: request line, names, headers.

use http::{HeaderMap, HeaderName, HeaderValue};
use kubestile_core::event::Kube;
use kubestile_core::identity::check_person_name;
use kubestile_core::impersonate::{self, Impersonation, Passage, carries_identity, is_hop_by_hop};
use kubestile_core::{
    AccessId, Action, ActionKind, ClusterName, GrantId, JobFunction, Namespace, RequestId,
    RequestInfo, SessionId, Verb, kubectl_line,
};
use kubestile_gateway::stream::upgrade;

/// `METHOD /path?query`. What is accepted names plain segments, and all that is made of it for people
/// is printable.
pub(super) fn request_info(data: &[u8]) -> bool {
    let Some((method, target)) = text(data).and_then(|line| line.split_once(' ')) else {
        return false;
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let info = match RequestInfo::parse(method, path, query) {
        Ok(info) => info,
        Err(error) => {
            assert!(
                is_plain(&error.to_string()),
                "an error repeats what it was given"
            );
            return false;
        }
    };
    if let Some(resource) = info.resource() {
        assert!(!resource.resource.is_empty() && !resource.version.is_empty());
        // What stands behind a proxy is the application's; the rest of the path is ours to judge.
        for part in resource.parts.iter().take(3) {
            assert!(part != "." && part != ".." && !part.is_empty(), "{part:?}");
            assert!(!part.contains('/') && super::is_printable(part), "{part:?}");
        }
    }
    let is_streamless = !info.query.all("command").any(|_| true);
    let action = Action::new(cluster(), info, None);
    assert_eq!(
        action.kind == ActionKind::Unknown,
        action.resource().is_some() && action.info.verb == Verb::None
    );
    assert!(!(action.kind == ActionKind::Copy && is_streamless));
    assert!(!action.dry_run || !matches!(action.info.method.as_str(), "DELETE" | "GET"));
    assert!(
        super::is_printable(&kubectl_line::of(&action)),
        "the log's line steers a terminal"
    );
    assert_eq!(Kube::new(&action).verb, action.info.verb.as_str());
    true
}

/// Names and ids: what is accepted has one spelling.
pub(super) fn names(data: &[u8]) -> bool {
    let Some(text) = text(data) else {
        return false;
    };
    let spelt = [
        text.parse::<ClusterName>().map(|n| n.to_string()).ok(),
        text.parse::<Namespace>().map(|n| n.to_string()).ok(),
        text.parse::<JobFunction>().map(|f| f.to_string()).ok(),
        text.parse::<SessionId>().map(|id| id.to_string()).ok(),
    ];
    for again in spelt.iter().flatten() {
        assert_eq!(again, text, "two spellings of one name");
    }
    if let Ok(function) = text.parse::<JobFunction>() {
        assert!(function.upstream_group().starts_with("kubestile:"));
    }
    let is_person = check_person_name(text).is_ok();
    assert!(
        !is_person || !text.contains(':'),
        "a person may pose as Kubernetes' own"
    );
    is_person || spelt.iter().flatten().next().is_some()
}

/// The id of an access request or a grant, as somebody typed it. Every spelling that is forgiven is of one
/// id, and one id has one spelling of ours.
pub(super) fn short_ids(data: &[u8]) -> bool {
    let Some(text) = text(data) else {
        return false;
    };
    let access = text.parse::<AccessId>().ok();
    let grant = text.parse::<GrantId>().ok();
    assert!(access.is_none() || grant.is_none(), "one text is two ids");
    if let Some(id) = access {
        assert_eq!(id.to_string().parse().ok(), Some(id));
        assert_eq!(format!("G-{id}").parse().ok(), Some(GrantId::of(id)));
    }
    if let Some(id) = grant {
        assert_eq!(id.to_string().parse().ok(), Some(id));
    }
    access.is_some() || grant.is_some()
}

/// Header lines of a request that may ask for an upgrade. One that hides the word is refused, so that
/// the API server never upgrades what the gate takes for an ordinary request.
pub(super) fn upgrade(data: &[u8]) -> bool {
    let headers = headers(data);
    let says_upgrade = headers.get_all("connection").iter().any(|value| {
        value
            .as_bytes()
            .to_ascii_lowercase()
            .windows(7)
            .any(|w| w == b"upgrade")
    });
    let answer = upgrade::requested(&headers);
    if matches!(answer, Ok(None)) {
        assert!(
            !says_upgrade && !headers.contains_key("upgrade"),
            "a hidden upgrade"
        );
    }
    matches!(answer, Ok(Some(_)))
}

/// The first byte says how the request passes, the rest are header lines. Whatever the client sent,
/// exactly one identity goes upstream, and it is ours.
pub(super) fn impersonate(data: &[u8]) -> bool {
    let Some((first, rest)) = data.split_first() else {
        return false;
    };
    let passage = if first & 1 == 0 {
        Passage::Api
    } else {
        Passage::Proxied
    };
    let mut kept = impersonate::strip(&headers(rest), passage);
    for name in kept.keys() {
        assert!(!carries_identity(name.as_str()), "{name} came through");
        assert!(!is_hop_by_hop(name.as_str()), "{name} came through");
    }
    let client_headers = kept.len();
    let id = RequestId::from_uuid(uuid::Uuid::from_u128(7));
    let session = SessionId::from_uuid(uuid::Uuid::from_u128(8));
    let who = Impersonation {
        user: "ana@example.com".to_owned(),
        uid: Some("u1".to_owned()),
        groups: vec![
            "kubestile:viewer".to_owned(),
            "kubestile:operator:shop".to_owned(),
        ],
        extra: Impersonation::our_extra(session, id),
    };
    let source = std::net::IpAddr::from([192, 0, 2, 1]);
    let set = impersonate::set(&mut kept, &who, id, source);
    assert!(set.is_ok(), "our own identity could not be written");
    let all = |name: &str| {
        kept.get_all(name)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .collect::<Vec<_>>()
    };
    assert_eq!(all("impersonate-user"), ["ana@example.com"]);
    assert_eq!(all("impersonate-uid"), ["u1"]);
    assert_eq!(
        all("impersonate-group"),
        ["kubestile:viewer", "kubestile:operator:shop"]
    );
    assert_eq!(all("audit-id"), [id.to_string()]);
    assert_eq!(all("x-forwarded-for"), ["192.0.2.1"]);
    // user, uid, two groups, two extra keys, the audit id and the address: nothing else was added.
    assert_eq!(kept.len(), client_headers + 8);
    client_headers > 0
}

/// `name: value` lines, as far as HTTP can carry them.
fn headers(data: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(200) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            map.append(name, value);
        }
    }
    map
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

fn is_plain(text: &str) -> bool {
    text.is_ascii() && super::is_printable(text)
}

#[expect(clippy::expect_used, reason = "a literal that is a DNS label")]
fn cluster() -> ClusterName {
    "prod".parse().expect("a cluster's name")
}
