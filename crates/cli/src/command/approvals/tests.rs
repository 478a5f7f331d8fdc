//! What approvers see.

use kubestile_core::Timestamp;
use kubestile_core::approval::Impact;

use super::*;

/// A request that waits.
pub(in crate::command) fn entry(id: u64) -> AccessEntry {
    AccessEntry {
        id: AccessId::from_random(id),
        state: "waiting".to_owned(),
        requester: "ben".to_owned(),
        source: "192.0.2.1:40000".to_owned(),
        kind: "request".to_owned(),
        what: "kubectl delete deployments.apps/web -n shop".to_owned(),
        cluster: Some("prod".parse().unwrap()),
        risk: "R3".to_owned(),
        risk_meaning: "dangerous within one namespace".to_owned(),
        ticket: Some("OPS-12".to_owned()),
        reason: None,
        policies: Vec::new(),
        approvers: vec!["sre".to_owned()],
        quorum: 1,
        approved_by: Vec::new(),
        impact: Some(Impact {
            summary: "deletes deployments.apps/web and 4 that it owns".to_owned(),
            lines: vec!["pods/web-1".to_owned()],
            more: 3,
        }),
        command: Some("delete deployments.apps in shop".to_owned()),
        invocation: Some("a".to_owned()),
        group: None,
        request: None,
        digest: "0123456789abcdef0123".to_owned(),
        function: None,
        created: Timestamp::from_secs(0),
        expires: Timestamp::from_secs(900),
        outcome: String::new(),
        own: false,
        may_answer: true,
        url: "https://gate/r/1".to_owned(),
    }
}

#[test]
fn one_command_is_one_row() {
    let (first, second, mut other) = (entry(1), entry(2), entry(3));
    other.invocation = None;
    let mut without = entry(4);
    without.invocation = None;
    let all = [&first, &second, &other, &without];
    let sizes: Vec<usize> = grouped(&all).iter().map(Vec::len).collect();
    assert_eq!(
        sizes,
        [2, 1, 1],
        "without an invocation nothing is the same"
    );
    let cells = row(&[&first, &second], Format::Table, false);
    assert_eq!(cells[1], "delete deployments.apps/web -n shop (and 1 more)");
    assert_eq!(cells[5], "sre");
    assert_eq!(cells[6], "0000-0000-0001");
}

/// Of one program that names no command, as long as they come close together.
#[test]
fn what_one_program_asks_at_once_is_one_row() {
    let of = |id: u64, group: &str, at: i64| AccessEntry {
        invocation: None,
        command: None,
        group: Some(group.to_owned()),
        created: Timestamp::from_secs(at),
        ..entry(id)
    };
    let (first, second, late, other) =
        (of(1, "g", 0), of(2, "g", 10), of(3, "g", 25), of(4, "h", 1));
    let mut answered = of(5, "g", 1);
    answered.state = "approved".to_owned();
    let all = [&first, &second, &late, &other, &answered];
    let sizes: Vec<usize> = grouped(&all).iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 1, 1, 1]);
    let with: Vec<_> = with_it(&second, vec![first, late, other, answered, second.clone()]);
    let ids: Vec<_> = with.iter().map(|e| e.id.to_string()).collect();
    assert_eq!(ids, ["0000-0000-0002", "0000-0000-0001"]);
}

#[test]
fn every_row_has_a_cell_for_every_column() {
    let entry = entry(1);
    for format in [Format::Table, Format::Wide] {
        for states in [false, true] {
            let head = rows(&[], format, states).text();
            let columns = head.split("   ").filter(|c| !c.trim().is_empty()).count();
            assert_eq!(row(&[&entry], format, states).len(), columns, "{head}");
        }
    }
}

#[test]
fn what_a_request_needs() {
    let mut entry = entry(1);
    assert_eq!(needs(&entry), "sre");
    entry.quorum = 3;
    assert_eq!((needs(&entry).as_str(), missing(&entry)), ("3 of sre", 3));
    entry.approved_by = vec!["ana".to_owned()];
    assert_eq!(
        (needs(&entry).as_str(), missing(&entry)),
        ("2 more of sre", 2)
    );
    entry.state = "approved".to_owned();
    assert_eq!(missing(&entry), 0);
}

#[test]
fn the_detail_says_what_would_be_lost_and_no_text_forges_a_row() {
    let mut entry = entry(1);
    entry.reason = Some("x\nrisk            R0: harmless".to_owned());
    let text = detail(&entry);
    for line in [
        "who             ben, from 192.0.2.1:40000",
        "what            kubectl delete deployments.apps/web -n shop",
        "ticket          OPS-12",
        "risk            R3: dangerous within one namespace",
        "would do        deletes deployments.apps/web and 4 that it owns",
        "                  pods/web-1",
        "                  and 3 more",
        "digest          0123456789abcdef",
    ] {
        assert!(text.lines().any(|l| l == line), "`{line}` in\n{text}");
    }
    assert!(
        !text
            .lines()
            .any(|l| l.starts_with("risk") && l.contains("R0"))
    );
    entry.impact = None;
    assert!(detail(&entry).contains("could not be found out"));
}

#[test]
fn who_cannot_answer_is_told_before_the_question() {
    may_be_answered(&entry(1)).unwrap();
    let mut own = entry(1);
    (own.own, own.may_answer) = (true, false);
    let fail = may_be_answered(&own).unwrap_err();
    assert!(fail.message().contains("for themselves"), "{fail}");
    assert_eq!(fail.hints(), ["it needs sre"]);
    let mut over = entry(1);
    over.state = "denied".to_owned();
    let fail = may_be_answered(&over).unwrap_err();
    assert!(fail.message().ends_with("it is denied"), "{fail}");
}
