use kubestile_assess::traffic::event::Who;
use kubestile_core::event::Imported;

use super::*;

const GATE: &str = "system:serviceaccount:kubestile-system:kubestile-gate";

fn picker() -> Picker {
    Picker {
        wanted: Wanted {
            cluster: "prod".parse().unwrap(),
            from: Timestamp::from_secs(100),
            until: Timestamp::from_secs(200),
            gate: Some(GATE.to_owned()),
            components: false,
        },
        of_gate: HashSet::from(["of-gate".to_owned()]),
        there: HashMap::new(),
        last: HashMap::new(),
        left_out: LeftOut::default(),
    }
}

fn event(user: &'static str, id: &'static str, second: i64) -> Event<'static> {
    Event {
        id,
        at: Some(second * 1_000_000),
        stage: "ResponseComplete",
        uri: "/api/v1/namespaces/shop/pods/web",
        verb: "delete",
        target: Target::Resource {
            group: "",
            resource: "pods",
            subresource: "",
            namespace: "shop",
            name: "web",
        },
        user: Who {
            name: user,
            ..Who::default()
        },
        impersonated: None,
        address: "192.0.2.1",
        agent: "",
        code: 200,
        authorized: None,
        command: None,
    }
}

/// The events that become records, by their place.
fn both(picker: &mut Picker, events: &[Event<'_>]) -> (Vec<usize>, u64, LeftOut) {
    for event in events {
        picker.count(event).unwrap();
    }
    let (records, left_out) = picker.counted(0);
    let picked = events.iter().enumerate();
    let picked = picked
        .filter(|(_, e)| picker.pick(e).is_some())
        .map(|(n, _)| n);
    (picked.collect(), records, left_out)
}

#[test]
fn the_last_word_on_each_request_of_that_time_once() {
    let started = Event {
        stage: "ResponseStarted",
        code: 101,
        ..event("ana", "1", 150)
    };
    let open = Event {
        id: "2",
        ..started.clone()
    };
    let events = [
        event("ana", "0", 99),
        Event {
            stage: "RequestReceived",
            ..event("ana", "1", 150)
        },
        started,
        event("ana", "1", 150),
        event("ana", "1", 150),
        open,
        event("ana", "3", 100),
        event("ana", "4", 200),
        event("ana", "5", 201),
        Event {
            at: None,
            ..event("ana", "6", 150)
        },
        Event {
            stage: "Later",
            ..event("ana", "7", 150)
        },
    ];
    let (picked, records, left_out) = both(&mut picker(), &events);
    assert_eq!(picked, [3, 5, 6, 7]);
    assert_eq!(records, 4);
    let expected = LeftOut {
        malformed: 2,
        outside: 2,
        duplicates: 1,
        other_stages: 2,
        ..LeftOut::default()
    };
    assert_eq!(left_out, expected);
}

#[test]
fn an_id_that_a_client_chose_hides_nothing() {
    let one = event("ana", "same", 150);
    let events = [
        one.clone(),
        Event {
            verb: "get",
            ..one.clone()
        },
        Event {
            uri: "/api/v1/namespaces/shop/pods/other",
            ..one.clone()
        },
        Event {
            at: Some(150_000_001),
            ..one.clone()
        },
        event("bo", "same", 150),
    ];
    assert_eq!(both(&mut picker(), &events).0, [0, 1, 2, 3, 4]);
}

#[test]
fn only_what_the_gate_itself_knows_came_through_it() {
    let events = [
        event(GATE, "of-gate", 150),
        // Somebody else with the id of one of their earlier requests, and the account without the gate.
        event("ana", "of-gate", 150),
        event(GATE, "not of the gate", 150),
    ];
    let (picked, _, left_out) = both(&mut picker(), &events);
    assert_eq!((picked, left_out.through_gate), (vec![1, 2], 1));
    let mut all = picker();
    all.wanted.gate = None;
    assert_eq!(both(&mut all, &events).0, [0, 1, 2]);
}

#[test]
fn of_components_only_what_they_do_all_day_is_left_out() {
    let node = |verb, resource| Event {
        verb,
        target: Target::Resource {
            group: "",
            resource,
            subresource: "",
            namespace: "kube-system",
            name: "",
        },
        ..event("system:node:a", "1", 150)
    };
    let events = [
        node("list", "pods"),
        node("update", "leases"),
        node("list", "secrets"),
        node("create", "pods"),
        Event {
            verb: "list",
            ..event("system:nodes", "1", 150)
        },
    ];
    let (picked, _, left_out) = both(&mut picker(), &events);
    assert_eq!((picked, left_out.components), (vec![2, 3, 4], 2));
}

#[test]
fn what_an_earlier_import_has_is_not_there_twice_and_an_end_that_came_later_is_added() {
    let open = Event {
        stage: "ResponseStarted",
        ..event("ana", "1", 150)
    };
    let mut first = picker();
    for event in [&open, &event("ana", "2", 160)] {
        first.count(event).unwrap();
    }
    let import = kubestile_core::ImportId::from_uuid(uuid::Uuid::from_u128(1));
    let mut second = picker();
    for (key, rank) in &first.last {
        let record = Imported::new(import, &first.wanted.cluster, *key, &seen(&open).unwrap());
        second.there.insert(key_of(&record.key).unwrap(), *rank);
    }
    let events = [
        open,
        event("ana", "1", 150),
        event("ana", "2", 160),
        event("ana", "3", 170),
    ];
    let (picked, records, left_out) = both(&mut second, &events);
    assert_eq!((picked, records), (vec![1, 3], 2));
    assert_eq!((left_out.duplicates, left_out.other_stages), (1, 1));
}

#[test]
fn keys_are_read_as_they_are_written() {
    for bad in ["", "0g", &"0".repeat(63), &"é".repeat(32)] {
        assert_eq!(key_of(bad), None, "{bad}");
    }
    assert_eq!(key_of(&"0f".repeat(32)), Some([15; 32]));
}
