use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000);

/// A request that waits for whoever looks.
pub(in crate::web) fn entry() -> AccessEntry {
    let json = serde_json::json!({
        "id": "7K2P-9QXD-M4TC",
        "state": "waiting",
        "requester": "bo",
        "source": "192.0.2.7:50123",
        "kind": "request",
        "what": "kubectl delete deployment web -n shop",
        "cluster": "prod",
        "risk": "R3",
        "riskMeaning": "dangerous within a namespace",
        "policies": ["base/delete-needs-approval"],
        "approvers": ["sre"],
        "quorum": 2,
        "approvedBy": [],
        "command": "delete deployments.apps in shop",
        "invocation": "6f1c",
        "digest": "a".repeat(64),
        "created": "1970-01-01T00:16:00Z",
        "expires": "1970-01-01T00:20:00Z",
        "own": false,
        "mayAnswer": true,
        "url": "https://gate.example:8443/r/7K2P-9QXD-M4TC",
    });
    serde_json::from_value(json).unwrap()
}

fn page(entry: &AccessEntry) -> String {
    let form = Html::new().lit("<input name=\"form\">");
    body(entry, "ana", &form, NOW).into_string()
}

#[test]
fn all_that_decides_is_shown() {
    let mut asked = entry();
    asked.ticket = Some("OPS-12".to_owned());
    asked.impact = Some(Impact {
        summary: "2 objects would be deleted".to_owned(),
        lines: vec!["replicasets.apps/web-1".to_owned()],
        more: 7,
    });
    let html = page(&asked);
    for text in [
        "bo asks to run",
        "kubectl delete deployment web -n shop",
        "prod",
        "192.0.2.7:50123",
        "OPS-12",
        "none given",
        "R3</span> dangerous within a namespace",
        "base/delete-needs-approval",
        "0 of 2 approved",
        "ends in 3m20s",
        "1970-01-01 00:20:00 UTC",
        "2 objects would be deleted",
        "replicasets.apps/web-1",
        "and 7 more",
        "aaaaaaaaaaaaaaaa</dd>",
        "Approve this request",
        "Approve the rest of this command for 5 min",
        "delete deployments.apps in shop",
        "Deny",
    ] {
        assert!(html.contains(text), "{text}: {html}");
    }
}

/// Every field that somebody else can choose, with what could be taken for markup or for other text.
#[test]
fn hostile_fields_are_text() {
    let bad = "\"><script>alert(1)</script>' onload=x \u{202e}\u{1b}[2J";
    let mut asked = entry();
    asked.requester = bad.to_owned();
    asked.source = bad.to_owned();
    asked.what = bad.to_owned();
    asked.risk = bad.to_owned();
    asked.risk_meaning = bad.to_owned();
    asked.ticket = Some(bad.to_owned());
    asked.reason = Some(bad.to_owned());
    asked.approvers = vec![bad.to_owned()];
    asked.approved_by = vec![bad.to_owned()];
    asked.command = Some(bad.to_owned());
    asked.digest = bad.to_owned();
    asked.impact = Some(Impact {
        summary: bad.to_owned(),
        lines: vec![bad.to_owned()],
        more: 0,
    });
    for state in ["waiting", "approved", "denied", bad] {
        asked.state = state.to_owned();
        asked.outcome = bad.to_owned();
        let html = page(&asked);
        assert!(
            !html.contains("<script") && !html.contains("alert(1)<"),
            "{html}"
        );
        assert!(!html.contains('\u{202e}') && !html.contains('\u{1b}'));
        assert!(html.contains("\\u{202e}\\u{1b}[2J"));
    }
}

#[test]
fn only_whoever_may_answer_has_buttons() {
    let buttons = |entry: &AccessEntry| page(entry).matches("<button").count();
    assert_eq!(buttons(&entry()), 3);
    let own = AccessEntry {
        own: true,
        ..entry()
    };
    let stranger = AccessEntry {
        may_answer: false,
        ..entry()
    };
    let twice = AccessEntry {
        approved_by: vec!["ana".to_owned()],
        ..entry()
    };
    for none in [own, stranger, twice] {
        assert_eq!(buttons(&none), 0);
    }
    for state in ["approved", "denied", "expired", "withdrawn"] {
        let over = AccessEntry {
            state: state.to_owned(),
            ..entry()
        };
        assert_eq!(buttons(&over), 0, "{state}");
    }
}

#[test]
fn the_rest_of_a_command_needs_a_command() {
    let nameless = AccessEntry {
        command: None,
        ..entry()
    };
    assert!(!page(&nameless).contains("scope\" value=\"command"));
    let grant = AccessEntry {
        kind: "grant".to_owned(),
        ..entry()
    };
    let html = page(&grant);
    assert!(!html.contains("scope\" value=\"command") && html.contains("Approve this grant"));
}
