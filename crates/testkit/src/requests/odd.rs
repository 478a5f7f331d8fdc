//! Grammatical requests that nobody sends: any word in any place, any value for any option.

use super::{Intent, Request, escape_query, escape_segment};
use crate::random::Random;

const METHODS: [&str; 12] = [
    "GET", "GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "DELETE", "OPTIONS",
    "TRACE",
];

/// Words that mean something somewhere in a path, and some that do not.
const WORDS: [&str; 30] = [
    "api",
    "apis",
    "API",
    "v1",
    "apps",
    "namespaces",
    "Namespaces",
    "watch",
    "proxy",
    "status",
    "finalize",
    "pods",
    "nodes",
    "services",
    "secrets",
    "exec",
    "log",
    "token",
    "a",
    "web-1",
    "system:node",
    "https:web:443",
    "a b",
    "ä",
    "x+y",
    "a,b",
    "a@b",
    "...",
    "..a",
    "a=b&c",
];

const KEYS: [&str; 22] = [
    "watch",
    "watch",
    "watch",
    "Watch",
    "fieldSelector",
    "fieldSelector",
    "labelSelector",
    "labelSelector",
    "limit",
    "timeoutSeconds",
    "continue",
    "resourceVersion",
    "sendInitialEvents",
    "dryRun",
    "command",
    "container",
    "stdin",
    "pretty",
    "name",
    "",
    "namespace",
    "FieldSelector",
];

pub(super) fn request(random: &mut Random) -> Request {
    if random.chance(35) {
        return selecting(random);
    }
    let mut target = match random.below(5) {
        0 => String::new(),
        1 | 2 => "/api/v1".to_owned(),
        3 => "/apis/apps/v1".to_owned(),
        _ => random
            .pick(&[
                "/api",
                "/apis",
                "/apis/apps",
                "/api/v1/watch",
                "/api/v1/nodes/n/proxy",
            ])
            .to_owned(),
    };
    for _ in 0..random.below(7) {
        target.push('/');
        target.push_str(&escape_segment(random.pick(&WORDS)));
    }
    if target.is_empty() {
        target.push('/');
    }
    for i in 0..random.below(5) {
        target.push(if i == 0 { '?' } else { '&' });
        target.push_str(&parameter(random));
    }
    Request {
        method: random.pick(&METHODS).to_owned(),
        target,
        intent: Intent::Odd,
    }
}

/// A collection with any selectors.
fn selecting(random: &mut Random) -> Request {
    let path = random.pick(&["/api/v1/pods", "/apis/apps/v1/namespaces/a/deployments"]);
    let names = ["a", "b", "web", "", "a/b", "..", r"a\,b"];
    let fields = match random.below(3) {
        0 => field_selector(random),
        // Several names, of which one counts.
        1 => {
            let mut terms = String::new();
            for _ in 0..=random.below(3) {
                terms.push_str("metadata.name");
                terms.push_str(random.pick(&["=", "==", "!="]));
                terms.push_str(random.pick(&names));
                terms.push(',');
            }
            terms
        }
        _ => format!("metadata.name={}", random.pick(&names)),
    };
    let labels = label_selector(random);
    Request {
        method: random.pick(&["GET", "GET", "DELETE"]).to_owned(),
        target: format!(
            "{path}?fieldSelector={}&labelSelector={}{}",
            escape_query(&fields),
            escape_query(&labels),
            random.pick(&["", "", "&watch=1", "&limit=500"])
        ),
        intent: Intent::Odd,
    }
}

fn parameter(random: &mut Random) -> String {
    let key = random.pick(&KEYS);
    let value = match key {
        "fieldSelector" => field_selector(random),
        "labelSelector" => label_selector(random),
        "limit" | "timeoutSeconds" => random
            .pick(&[
                "500",
                "0",
                "-1",
                "+1",
                "",
                "x",
                "1_0",
                "9223372036854775808",
                " 1",
                "007",
            ])
            .to_owned(),
        "dryRun" => random.pick(&["All", "All", "all", "", "None"]).to_owned(),
        _ => random
            .pick(&[
                "true",
                "false",
                "1",
                "0",
                "",
                "FALSE",
                "False",
                "no",
                "fal\u{17f}e",
                "F",
                "00",
                "a b",
                "ä",
                "\n",
            ])
            .to_owned(),
    };
    if value.is_empty() && random.chance(50) {
        return escape_query(key);
    }
    format!("{}={}", escape_query(key), escape_query(&value))
}

fn field_selector(random: &mut Random) -> String {
    let mut text = String::new();
    for i in 0..random.below(4) {
        if i > 0 {
            text.push(',');
        }
        text.push_str(random.pick(&[
            "metadata.name",
            "metadata.name",
            "metadata.name",
            "metadata.namespace",
            "spec.nodeName",
            "",
            r"metadata\.name",
            " metadata.name",
            "a!",
        ]));
        text.push_str(random.pick(&["=", "=", "=", "==", "!=", "", ">", "===", "=!"]));
        text.push_str(random.pick(&[
            "a", "b", "web", "", " a", r"\,", r"a\=b", r"a\\", r"a\x", r"\", "a/b", "a%b", "..",
            ".", "ä", "=", "a=b", "a!=b",
        ]));
    }
    text
}

fn label_selector(random: &mut Random) -> String {
    let mut text = String::new();
    if random.chance(40) {
        // Any tokens in any order.
        for _ in 0..random.below(8) {
            text.push_str(random.pick(&[
                "x", "in", "notin", "(", ")", ",", "=", "==", "!=", "!", ">", "<", " ", "\t", "\n",
                "a/b", "A.b/c", "1", "-1", "a_", "ä", "||",
            ]));
        }
        return text;
    }
    for i in 0..random.below(4) {
        if i > 0 {
            text.push_str(random.pick(&[",", ",", " , ", ",,"]));
        }
        let key = random.pick(&["x", "in", "app.kubernetes.io/name", "x-1", "a/b/c", "X/y"]);
        let term = random.pick(&[
            "",
            "=a",
            "==a",
            "!=a",
            "=",
            " = a ",
            ">1",
            "<a",
            " in (a,b)",
            " in ()",
            " in (,a,,)",
            " notin (in)",
            " in a",
            " in (a",
            "=-a",
            "=a b",
        ]);
        text.push_str(random.pick(&["", "", "", "!", "! "]));
        text.push_str(key);
        text.push_str(term);
    }
    text
}
