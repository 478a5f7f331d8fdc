//! Whatever a client sends, exactly one identity goes upstream, and it is ours.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use kubestile_core::ids::RequestId;
use kubestile_core::impersonate::{self, Impersonation, Passage};
use proptest::collection::vec;
use proptest::prelude::*;

/// Header names that carry identity to some program, spelt in every way that a name can be.
fn name() -> impl Strategy<Value = String> {
    let stem = prop::sample::select(vec![
        "impersonate-user",
        "impersonate-group",
        "impersonate-uid",
        "impersonate-extra-scopes%2fa",
        "impersonate-",
        "impersonate",
        "x-remote-user",
        "x-remote-group",
        "x-remote-uid",
        "x-remote-extra-a",
        "x-forwarded-for",
        "x-forwarded-user",
        "x-real-ip",
        "forwarded",
        "authorization",
        "proxy-authorization",
        "audit-id",
        "connection",
        "upgrade",
        "transfer-encoding",
        "te",
        "trailer",
        "sec-websocket-protocol",
        "x-http-method-override",
        "host",
    ]);
    let harmless =
        prop::sample::select(vec!["accept", "content-type", "user-agent", "cookie", "a"]);
    prop_oneof![
        6 => (stem, any::<u32>()).prop_map(|(stem, bits)| respell(stem, bits)),
        2 => harmless.prop_map(str::to_owned),
        1 => "[!#$%&'*+.^_`|~0-9a-zA-Z-]{1,24}",
    ]
}

/// Upper case here and there, and sometimes `_` for `-`.
fn respell(stem: &str, bits: u32) -> String {
    stem.chars()
        .enumerate()
        .map(|(i, c)| match (bits >> (i % 31)) & 1 {
            1 if c == '-' && bits >> 31 == 1 => '_',
            1 => c.to_ascii_uppercase(),
            _ => c,
        })
        .collect()
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,20}",
        Just("system:masters".to_owned()),
        Just("close, Impersonate-User, accept".to_owned()),
        Just("base64url.bearer.authorization.k8s.io.eA, v5.channel.k8s.io".to_owned()),
    ]
}

fn client() -> impl Strategy<Value = HeaderMap> {
    vec((name(), value()), 0..24).prop_map(|pairs| {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(&value).unwrap());
        }
        headers
    })
}

fn who() -> impl Strategy<Value = Impersonation> {
    let text = "[a-zA-Z0-9:@._-]{1,16}";
    (
        text,
        prop::option::of(text),
        vec(text, 0..5),
        vec(("[a-z.]{1,8}/[a-z%A-Z]{1,8}", text), 0..4),
    )
        .prop_map(|(user, uid, groups, extra)| Impersonation {
            user,
            uid,
            groups,
            extra,
        })
}

/// The test's own idea of an identity header, apart from the code's.
fn is_identity(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    name.starts_with("impersonate")
        || name.starts_with("x-remote")
        || name.contains("authorization")
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let values = headers.get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn exactly_one_identity_goes_upstream(client in client(), who in who(), number in any::<u128>()) {
        let request = RequestId::from_uuid(uuid::Uuid::from_u128(number));
        let source: IpAddr = "192.0.2.7".parse().unwrap();
        for passage in [Passage::Api, Passage::Proxied] {
            let mut headers = impersonate::strip(&client, passage);
            prop_assert!(headers.keys().all(|name| !is_identity(name.as_str())), "{headers:?}");
            impersonate::set(&mut headers, &who, request, source).unwrap();

            prop_assert_eq!(all(&headers, "impersonate-user"), [who.user.as_str()]);
            let uid: Vec<&str> = who.uid.as_deref().into_iter().collect();
            prop_assert_eq!(all(&headers, "impersonate-uid"), uid);
            prop_assert_eq!(all(&headers, "impersonate-group"), who.groups.clone());
            let extra = headers
                .iter()
                .filter(|(name, _)| name.as_str().starts_with("impersonate-extra-"))
                .count();
            prop_assert_eq!(extra, who.extra.len());
            let identities = headers.iter().filter(|(name, _)| is_identity(name.as_str())).count();
            let ours = 1 + usize::from(who.uid.is_some()) + who.groups.len() + who.extra.len();
            prop_assert_eq!(identities, ours);
            prop_assert_eq!(all(&headers, "audit-id"), [request.to_string()]);
            prop_assert_eq!(all(&headers, "x-forwarded-for"), ["192.0.2.7"]);
            for name in ["connection", "upgrade", "transfer-encoding", "te", "trailer", "host"] {
                prop_assert!(!headers.contains_key(name), "{name}");
            }
        }
    }

    #[test]
    fn an_identity_is_set_whole_or_not_at_all(user in any::<String>(), group in any::<String>()) {
        let who = Impersonation {
            user: user.clone(),
            uid: None,
            groups: vec![group.clone()],
            extra: Vec::new(),
        };
        let request = RequestId::from_uuid(uuid::Uuid::from_u128(1));
        let mut headers = HeaderMap::new();
        if impersonate::set(&mut headers, &who, request, "192.0.2.7".parse().unwrap()).is_ok() {
            prop_assert_eq!(all(&headers, "impersonate-user"), [user.as_str()]);
            prop_assert_eq!(all(&headers, "impersonate-group"), [group.as_str()]);
        }
    }
}
