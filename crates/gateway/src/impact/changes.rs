//! What a write would change: the same bytes as a dry run, compared with the object as it is.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use kubestile_core::approval::Impact;
use serde_json::Value;

use super::{Lookup, object_path};

/// Changes that an approver is shown.
const SHOWN: usize = 20;
/// The longest value that is shown.
const VALUE: usize = 80;
/// What changes on every write and says nothing.
const NOISE: [&str; 4] = [
    "/metadata/managedFields",
    "/metadata/resourceVersion",
    "/metadata/generation",
    "/metadata/creationTimestamp",
];

pub(super) async fn of(lookup: &Lookup<'_>, headers: &HeaderMap, body: &Bytes) -> Option<Impact> {
    let judged = lookup.judged;
    let resource = judged.action.resource()?;
    // The data of Secrets is not shown to whoever approves.
    if resource.resource == "secrets" || !resource.subresource.is_empty() {
        return None;
    }
    let before = match object_path(resource) {
        Some(path) => lookup.get(&path, None, "application/json").await,
        None => None,
    };
    let query = match judged.target.query() {
        Some(query) if !query.is_empty() => format!("{query}&dryRun=All"),
        _ => "dryRun=All".to_owned(),
    };
    let mut sent = HeaderMap::new();
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        sent.insert(header::CONTENT_TYPE, kind.clone());
    }
    sent.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let method = Method::from_bytes(judged.action.info.method.as_bytes()).ok()?;
    let path = judged.target.path();
    let after = lookup
        .send(method, path, Some(&query), sent, body.clone())
        .await?;
    Some(compare(before.as_ref(), &after))
}

fn compare(before: Option<&Value>, after: &Value) -> Impact {
    let Some(before) = before else {
        return Impact {
            summary: "a new object is made".to_owned(),
            lines: Vec::new(),
            more: 0,
        };
    };
    let mut lines = Vec::new();
    differ("", Some(before), Some(after), &mut lines);
    let more = lines.len().saturating_sub(SHOWN);
    let summary = match lines.len() {
        0 => "nothing changes".to_owned(),
        1 => "1 field changes".to_owned(),
        count => format!("{count} fields change"),
    };
    lines.truncate(SHOWN);
    Impact {
        summary,
        lines,
        more,
    }
}

/// The leaves that differ, by their JSON pointers.
fn differ(at: &str, before: Option<&Value>, after: Option<&Value>, lines: &mut Vec<String>) {
    if before == after || NOISE.contains(&at) || at.starts_with("/status") {
        return;
    }
    let parts = |value: Option<&Value>| match value {
        Some(Value::Object(fields)) => fields.keys().map(|k| escaped(k)).collect(),
        Some(Value::Array(items)) => (0..items.len()).map(|i| i.to_string()).collect(),
        _ => Vec::new(),
    };
    let same_shape = match (before, after) {
        (Some(Value::Object(_)), Some(Value::Array(_)))
        | (Some(Value::Array(_)), Some(Value::Object(_))) => false,
        (Some(old), Some(new)) => is_whole(old) == is_whole(new),
        _ => true,
    };
    let mut below: Vec<String> = parts(before);
    below.extend(parts(after));
    if !same_shape || below.is_empty() {
        lines.push(line(at, before, after));
        return;
    }
    below.sort_unstable();
    below.dedup();
    for part in below {
        let pointer = format!("/{part}");
        let (old, new) = (part_of(before, &pointer), part_of(after, &pointer));
        differ(&format!("{at}{pointer}"), old, new, lines);
    }
}

fn part_of<'v>(whole: Option<&'v Value>, pointer: &str) -> Option<&'v Value> {
    whole.and_then(|value| value.pointer(pointer))
}

/// Whether a value has no parts.
fn is_whole(value: &Value) -> bool {
    !(value.is_object() || value.is_array())
}

/// A key as JSON pointers write it (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn line(at: &str, before: Option<&Value>, after: Option<&Value>) -> String {
    if is_private(at) {
        let what = match (before, after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        return format!("{at}: {what}");
    }
    format!("{at}: {} → {}", shown(before), shown(after))
}

/// Where passwords stand that should stand in Secrets: whoever approves need not be able to read them.
fn is_private(at: &str) -> bool {
    let in_env = at.contains("/env/") && at.ends_with("/value");
    let in_words = at.contains("/args/") || at.contains("/command/");
    in_env
        || in_words
        || at.starts_with("/data/")
        || at.starts_with("/binaryData/")
        || at.starts_with("/metadata/annotations/")
}

fn shown(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    if text.chars().count() <= VALUE {
        return text;
    }
    let kept: String = text.chars().take(VALUE).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_changes_is_shown() {
        let before = json!({"spec": {"replicas": 3, "paused": true, "list": [1, 2]},
            "metadata": {"resourceVersion": "1", "labels": {"a/b": "x"}}, "status": {"x": 1}});
        let after = json!({"spec": {"replicas": 0, "list": [1, 3]},
            "metadata": {"resourceVersion": "2", "labels": {"a/b": "y"}}, "status": {"x": 2}});
        let impact = compare(Some(&before), &after);
        assert_eq!(
            impact.lines,
            [
                "/metadata/labels/a~1b: \"x\" → \"y\"",
                "/spec/list/1: 2 → 3",
                "/spec/paused: true → nothing",
                "/spec/replicas: 3 → 0",
            ]
        );
        assert_eq!(impact.summary, "4 fields change");
        assert_eq!(compare(Some(&before), &before).summary, "nothing changes");
        let long = json!({"a": "x".repeat(10_000)});
        let impact = compare(Some(&json!({})), &long);
        assert!(impact.lines[0].len() < 200);
    }

    #[test]
    fn what_may_be_a_password_is_not_shown() {
        let container = |env: Value| json!({"spec": {"containers": [{"name": "a", "env": env}]}});
        let before = container(json!([]));
        let after = container(json!([{"name": "PASSWORD", "value": "hunter2"}]));
        let impact = compare(Some(&before), &after);
        assert_eq!(
            impact.lines,
            [
                "/spec/containers/0/env/0/name: nothing → \"PASSWORD\"",
                "/spec/containers/0/env/0/value: added",
            ]
        );
        for (before, after) in [
            (json!({}), json!({"data": {"pin": "hunter2"}})),
            (
                json!({"data": {"pin": "hunter2"}}),
                json!({"data": {"pin": "hunter3"}}),
            ),
            (json!({"data": {"pin": "hunter2"}}), json!({})),
            (
                json!({}),
                json!({"metadata": {"annotations": {"a": "hunter2"}}}),
            ),
            (
                json!({"args": ["a"]}),
                json!({"args": ["a", "--password=hunter2"]}),
            ),
        ] {
            let lines = compare(Some(&before), &after).lines.join("\n");
            assert!(!lines.is_empty() && !lines.contains("hunter"), "{lines}");
        }
        let shapes = compare(Some(&json!({"a": {"b": 1}})), &json!({"a": 1}));
        assert_eq!(shapes.lines, ["/a: {\"b\":1} → 1"]);
    }
}
