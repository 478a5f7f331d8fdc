//! What the origin says of the gate's account: what a cluster says in which it is as
//! `kubestile cluster add` makes it. It may impersonate, renew its own token, and nothing else.

use http::HeaderMap;
use serde_json::{Map, Value, json};

/// The answer to a review that is asked with `headers`; none if it is no review.
pub(super) fn answer(path: &str, headers: &HeaderMap, asked: &Value) -> Option<Value> {
    let status = match path.rsplit('/').next()? {
        "selfsubjectaccessreviews" => json!({ "allowed": is_own_right(asked) }),
        "selfsubjectrulesreviews" => {
            json!({ "incomplete": true, "resourceRules": [], "nonResourceRules": [] })
        }
        "selfsubjectreviews" => json!({ "userInfo": impersonated(headers) }),
        _ => return None,
    };
    Some(json!({ "status": status }))
}

fn is_own_right(asked: &Value) -> bool {
    let text = |key: &str| {
        let found = asked.pointer(&format!("/spec/resourceAttributes/{key}"));
        found.and_then(Value::as_str).unwrap_or_default()
    };
    match (text("verb"), text("resource")) {
        ("impersonate", "groups") => text("name").starts_with("kubestile:"),
        ("impersonate", "uids") => true,
        ("impersonate", "userextras") => text("subresource").starts_with("kubestile.dev/"),
        ("create", "serviceaccounts") => {
            text("subresource") == "token" && text("name").starts_with("kubestile")
        }
        _ => false,
    }
}

/// As whom a request acts, as the API server reads it.
fn impersonated(headers: &HeaderMap) -> Value {
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let one = |name: &str| headers.get(name).map(text).unwrap_or_default();
    let mut groups: Vec<String> = headers
        .get_all("impersonate-group")
        .iter()
        .map(text)
        .collect();
    groups.push("system:authenticated".to_owned());
    let mut extra = Map::new();
    for (name, value) in headers {
        if let Some(key) = name.as_str().strip_prefix("impersonate-extra-") {
            extra.insert(key.replace("%2f", "/"), json!([text(value)]));
        }
    }
    json!({
        "username": one("impersonate-user"),
        "uid": one("impersonate-uid"),
        "groups": groups,
        "extra": extra,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_may_impersonate_people_and_nobody_else() {
        let ask = |verb: &str, resource: &str, name: &str| {
            is_own_right(&json!({ "spec": { "resourceAttributes": {
                "verb": verb, "resource": resource, "name": name,
            }}}))
        };
        assert!(ask("impersonate", "groups", "kubestile:viewer"));
        assert!(!ask("impersonate", "groups", "system:masters"));
        assert!(!ask("impersonate:user-info", "uids", "x"));
        assert!(!ask("get", "secrets", ""));
        assert!(!ask("*", "*", ""));
    }

    #[test]
    fn a_person_is_seen_as_the_headers_say() {
        let mut headers = HeaderMap::new();
        headers.insert("impersonate-user", "ana".parse().unwrap());
        headers.insert("impersonate-group", "kubestile:viewer".parse().unwrap());
        headers.insert(
            "impersonate-extra-kubestile.dev%2fsession",
            "s".parse().unwrap(),
        );
        let seen = impersonated(&headers);
        assert_eq!(seen["username"], "ana");
        assert_eq!(
            seen["groups"],
            json!(["kubestile:viewer", "system:authenticated"])
        );
        assert_eq!(seen["extra"]["kubestile.dev/session"], json!(["s"]));
    }
}
