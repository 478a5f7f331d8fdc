use kubestile_assess::gate_policies::{ALL, GatePolicy};
use kubestile_core::event::{Actor, Decided, Event, Kube, Record};
use kubestile_core::identity::{Assurance, Credential, IdentityKind};
use kubestile_core::{AccessId, GrantId, PersonId, RequestId, SessionId, Timestamp};

use super::*;

const START: i64 = 1_795_521_600;

fn prod() -> ClusterName {
    "prod".parse().unwrap()
}

fn own(asked: Option<Vec<replay::Asked>>) -> Own {
    Own {
        cluster: prod(),
        sources: base_sources(),
        asked,
    }
}

fn file(policy: &GatePolicy) -> (String, String) {
    (policy.file(), policy.text.to_owned())
}

fn of(control: &str) -> Vec<(String, String)> {
    let all = ALL.iter().filter(|p| p.control == control);
    all.map(file).collect()
}

/// Alone and together they load with those that come with the gate, and none looks like a mistake.
#[test]
fn every_policy_loads_and_is_no_mistake() {
    let all: Vec<_> = ALL.iter().map(file).collect();
    let alone = all.iter().map(std::slice::from_ref);
    for files in alone.chain([all.as_slice()]) {
        let mut sources = base_sources();
        sources.extend(files.iter().map(|(n, t)| Source::new(n, t)));
        let set = PolicySet::load(&sources).unwrap_or_else(|e| panic!("{files:?}: {e}"));
        let warnings = set.lint();
        assert!(warnings.is_empty(), "{warnings:?}");
        own(None).with(files).unwrap();
    }
}

/// The file is `id.cedar`, and what a finding shows in one line is the same policy.
#[test]
fn a_policy_is_called_by_its_id() {
    for policy in ALL {
        let set = PolicySet::load(&[Source::new(policy.file(), policy.text)]).unwrap();
        let ids: Vec<String> = set.policies().map(|p| p.id.to_string()).collect();
        assert_eq!(ids, [policy.id]);
    }
}

/// The gate's own engine says that each does what its control asks for.
#[test]
fn each_turns_its_control_as_the_engine_judges_it() {
    let before = own(None).with(&[]).unwrap();
    assert!(before.trials >= 15 && !before.unheld.is_empty());
    let (standing, loose) = (before.standing.unwrap(), before.loose.unwrap());
    assert!(standing.contains(&"enter a pod".to_owned()), "{standing:?}");
    assert!(!loose.is_empty());

    let approved = own(None).with(&of("S4-03")).unwrap();
    assert_eq!(approved.unheld, [""; 0]);
    assert_ne!(approved.standing, Some(Vec::new()));

    let granted = own(None).with(&of("S4-01")).unwrap();
    assert_eq!(granted.standing, Some(Vec::new()));

    let explained = own(None).with(&of("S4-02")).unwrap();
    assert_eq!(explained.loose, Some(Vec::new()));
    let short = of("S4-02").into_iter().filter(|(n, _)| n.contains("short"));
    let short = own(None).with(&short.collect::<Vec<_>>()).unwrap();
    assert_eq!(
        short.loose.unwrap(),
        ["a grant of `admin` that names no ticket"]
    );

    let moment = own(None).with(&of("S3-11")).unwrap();
    for name in ["sessionAge", "ticket", "risk"] {
        assert!(moment.policies.context.iter().any(|c| c == name), "{name}");
    }
}

#[test]
fn a_policy_of_the_same_id_is_not_written_beside_another() {
    let mut own = own(None);
    own.sources.push(Source::new(
        "theirs.cedar",
        r#"@id("changes-need-a-grant") @reason("somebody's own") forbid(principal, action == Action::"evict", resource);"#,
    ));
    let why = own.with(&of("S4-01")).unwrap_err();
    assert!(why.contains("would not load"), "{why}");
    // The same file again is that file.
    let (name, text) = of("S4-03").remove(0);
    own.sources.push(Source::new(&name, &text));
    assert!(own.has(&name, &text) && !own.has(&name, ""));
    own.with(&[(name, text)]).unwrap();
}

fn decided(kubectl: &str, method: &str, kube: Kube) -> Decided {
    Decided {
        request: RequestId::from_uuid(uuid::Uuid::from_u128(7)),
        actor: Actor {
            name: "ana".to_owned(),
            id: PersonId::from_uuid(uuid::Uuid::nil()),
            kind: IdentityKind::Person,
            session: SessionId::from_uuid(uuid::Uuid::nil()),
            assurance: Assurance::Code,
            credential: Credential::Certificate,
            source: "192.0.2.7".to_owned(),
            user_agent: String::new(),
        },
        kube: Kube {
            method: method.to_owned(),
            ..kube
        },
        kubectl: kubectl.to_owned(),
        invocation: None,
        digest: String::new(),
        decision: "allow".to_owned(),
        policies: Vec::new(),
        policy_version: String::new(),
        obligations: Vec::new(),
        risk: "R3".to_owned(),
        approval: None,
        grants: Vec::new(),
        looked_up_for: None,
        upstream: None,
    }
}

fn kube(verb: &str, resource: &str, subresource: &str) -> Kube {
    Kube {
        cluster: prod(),
        action: String::new(),
        method: String::new(),
        verb: verb.to_owned(),
        group: String::new(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: "shop".to_owned(),
        name: "p".to_owned(),
        path: String::new(),
        field_selector: String::new(),
        label_selector: String::new(),
        container: String::new(),
        command: vec!["sh".to_owned()],
        dry_run: false,
        impersonates: String::new(),
    }
}

/// What people did of late is judged by the new policy alone, and each that it would have stopped is named.
#[test]
fn the_log_says_whom_it_would_have_stopped() {
    let exec = || {
        decided(
            "kubectl exec p -n shop -- sh",
            "POST",
            kube("create", "pods", "exec"),
        )
    };
    let read = decided("kubectl get pod p -n shop", "GET", kube("get", "pods", ""));
    let mut approved = exec();
    approved.approval = Some(AccessId::from_random(1));
    let mut granted = exec();
    granted.grants = vec![GrantId::from_random(2)];
    let mut other = exec();
    other.kube.cluster = "stage".parse().unwrap();
    let mut refused = exec();
    refused.decision = "deny".to_owned();
    let asked = replay::of(
        [exec(), read, approved, granted, other, refused]
            .into_iter()
            .enumerate()
            // A day lies between them: the session is one.
            .map(|(n, d)| {
                let at = Timestamp::from_secs(START + i64::try_from(n).unwrap() * 86_400);
                Record::new(at, Event::Decision(Box::new(d)))
            }),
        &prod(),
    );
    let own = own(Some(asked));
    let told = |control: &str| {
        let (name, text) = of(control).remove(0);
        let replay = own.replay(&name, &text).unwrap();
        assert_eq!(replay.requests, 4, "{replay:?}");
        (replay.held, replay.denied, replay.lines)
    };
    let line = "held 1 times: ana: kubectl exec p -n shop -- sh".to_owned();
    assert_eq!(told("S4-01"), (1, 0, vec![line.clone()]));
    // The first came with a fresh login, one of the others with an approval.
    assert_eq!(told("S3-11"), (1, 0, vec![line]));
    assert_eq!(told("S4-03"), (0, 0, Vec::new()));
    assert_eq!(told("S4-02"), (0, 0, Vec::new()));
    assert_eq!(self::own(None).replay("x.cedar", ""), None);
}
