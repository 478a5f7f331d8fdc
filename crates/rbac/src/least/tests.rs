use super::*;

fn did(attributes: Attributes) -> Operation {
    Operation {
        attributes,
        allowed: true,
        count: 3,
        command: None,
    }
}

fn by(command: &str, attributes: Attributes) -> Operation {
    Operation {
        command: Some(command.to_owned()),
        ..did(attributes)
    }
}

fn pods(verb: &str, namespace: &str, name: &str) -> Attributes {
    Attributes::resource(verb, "", "pods", namespace).named(name)
}

/// Everything in the cluster, for alice.
fn admin() -> Policy {
    let everything = vec![
        Rule::resources(&["*"], &["*"], &["*"]),
        Rule::paths(&["*"], &["*"]),
    ];
    Policy::new(Objects {
        cluster_roles: vec![ClusterRole {
            metadata: Metadata::named("admin"),
            rules: everything,
            aggregation_rule: None,
        }],
        cluster_role_bindings: vec![ClusterRoleBinding {
            metadata: Metadata::named("admin"),
            subjects: vec![Subject::user("alice")],
            role_ref: RoleRef::cluster_role("admin"),
        }],
        ..Objects::default()
    })
}

/// Each rule with where it is bound, and that it is proved.
fn proposed(operations: &[Operation]) -> Vec<String> {
    let alice = User::new("alice", &[]);
    let today = admin();
    let proposal = propose(&today, &alice, operations, "least", Options::default());
    let policy = Policy::new(proposal.objects);
    let proof = prove(&today, &policy, &alice, operations);
    assert!(proof.holds(), "{proof:?}");
    rules(&policy, &alice)
        .into_iter()
        .flat_map(|(scope, rules)| rules.into_iter().map(move |r| format!("{scope}: {r}")))
        .collect()
}

#[test]
fn two_namespaces_never_become_the_cluster() {
    let found = proposed(&[
        did(pods("get", "shop", "web")),
        did(pods("get", "bank", "web")),
        did(pods("delete", "bank", "web")),
    ]);
    assert_eq!(
        found,
        [
            "namespace `bank`: delete,get pods named web",
            "namespace `shop`: get pods named web"
        ]
    );
}

#[test]
fn the_same_rules_in_two_namespaces_are_one_role() {
    let alice = User::new("alice", &[]);
    let operations = [did(pods("list", "shop", "")), did(pods("list", "bank", ""))];
    let proposal = propose(&admin(), &alice, &operations, "least", Options::default());
    assert_eq!(proposal.objects.cluster_roles.len(), 1);
    assert_eq!(proposal.objects.role_bindings.len(), 2);
    assert!(proposal.objects.cluster_role_bindings.is_empty());
    let added: Vec<String> = proposal.added.iter().map(|(_, r)| r.to_string()).collect();
    assert_eq!(added, ["watch pods", "watch pods"]);
}

#[test]
fn generated_names_are_dropped_and_said() {
    let alice = User::new("alice", &[]);
    let operations = [
        did(pods("get", "shop", "web-7d4b9c6f5d-x2x8k")),
        did(pods("get", "shop", "db-0")),
        did(Attributes::resource("get", "", "secrets", "shop").named("till")),
    ];
    assert_eq!(
        proposed(&operations),
        [
            "namespace `shop`: get pods",
            "namespace `shop`: get secrets named till"
        ]
    );
    let proposal = propose(&admin(), &alice, &operations, "least", Options::default());
    let names: Vec<&String> = proposal.generated_names.iter().collect();
    assert_eq!(names, ["web-* of pods"]);
}

#[test]
fn what_was_refused_is_set_apart() {
    let alice = User::new("alice", &[]);
    let refused = Operation {
        allowed: false,
        ..did(Attributes::resource("get", "", "secrets", "bank"))
    };
    let operations = [did(pods("get", "shop", "web")), refused.clone()];
    let proposal = propose(&admin(), &alice, &operations, "least", Options::default());
    assert_eq!(proposal.requested, [refused.attributes]);
    assert_eq!(
        proposed(&operations),
        ["namespace `shop`: get pods named web"]
    );
}

#[test]
fn a_command_keeps_its_verbs_together() {
    let deployment = Attributes::resource("patch", "apps", "deployments", "shop").named("web");
    assert_eq!(
        proposed(&[by("kubectl apply", deployment)]),
        [
            "namespace `shop`: create deployments of apps",
            "namespace `shop`: get,patch deployments of apps named web"
        ]
    );
    let logs = Attributes::resource("get", "", "pods/log", "shop").named("web-0");
    assert_eq!(
        proposed(&[by("logs", logs)]),
        ["namespace `shop`: get pods,pods/log named web-0"]
    );
}

#[test]
fn a_command_adds_nothing_that_is_not_held() {
    let alice = User::new("alice", &[]);
    let operations = [by(
        "delete",
        Attributes::resource("get", "", "secrets", "shop").named("till"),
    )];
    let proposal = propose(&admin(), &alice, &operations, "a", Options::default());
    let narrow = Policy::new(proposal.objects.clone());
    assert!(!proposal.added.is_empty());
    let claims = [by(
        "apply",
        Attributes::resource("get", "", "secrets", "shop").named("till"),
    )];
    let again = propose(&narrow, &alice, &claims, "b", Options::default());
    let policy = Policy::new(again.objects);
    assert!(prove(&narrow, &policy, &alice, &claims).holds());
    let create = Attributes::resource("create", "", "secrets", "shop");
    assert!(!authorize(&policy, &alice, &create).allowed);
}

#[test]
fn paths_lose_their_query_and_never_become_patterns() {
    let found = proposed(&[did(Attributes::path("get", "/metrics"))]);
    assert_eq!(found, ["the cluster: get /metrics"]);
    let alice = User::new("alice", &[]);
    let odd = [did(Attributes::path("get", "/logs/*"))];
    let proposal = propose(&admin(), &alice, &odd, "x", Options::default());
    assert!(proposal.objects.cluster_roles.is_empty());
}

#[test]
fn a_proof_finds_what_is_missing_and_what_is_more() {
    let alice = User::new("alice", &[]);
    let operations = [did(pods("get", "shop", "web"))];
    let narrow = propose(&admin(), &alice, &operations, "a", Options::default());
    let narrow = Policy::new(narrow.objects);
    let proof = prove(&narrow, &admin(), &alice, &operations);
    assert_eq!(proof.more.len(), 2);
    let proof = prove(
        &admin(),
        &narrow,
        &alice,
        &[did(pods("delete", "shop", "web"))],
    );
    assert_eq!(proof.refused.len(), 1);
    assert!(!proof.holds());
}

#[test]
fn coverage_counts_what_was_seen_once() {
    let once = |name: &str| Operation {
        count: 1,
        ..did(Attributes::resource("get", "", name, "shop"))
    };
    let many = Operation {
        count: 98,
        ..did(pods("get", "shop", "web"))
    };
    let coverage = Coverage::of(&[many, once("secrets"), once("events")]);
    assert_eq!(
        (coverage.seen, coverage.different, coverage.once),
        (100, 3, 2)
    );
    assert!((coverage.share() - 0.98).abs() < 1e-9);
    assert_eq!(coverage.days_more(30, 0.95), None);
    assert_eq!(coverage.days_more(30, 0.99), Some(30));
    assert_eq!(Coverage::default().days_more(30, 0.99), None);
    assert!(Coverage::default().share() < f64::EPSILON);
}

mod for_any_log {
    use proptest::prelude::*;

    use super::*;

    fn operation() -> impl Strategy<Value = Operation> {
        let verbs = [
            "get",
            "list",
            "watch",
            "create",
            "patch",
            "delete",
            "deletecollection",
        ];
        let resources = ["pods", "pods/exec", "secrets", "nodes"];
        let names = ["", "web", "till", "web-x2x8k"];
        let commands = [
            None,
            Some("apply"),
            Some("delete"),
            Some("exec"),
            Some("nonsense"),
        ];
        (
            prop::sample::select(verbs.to_vec()),
            prop::sample::select(resources.to_vec()),
            prop::sample::select(vec!["", "shop", "bank"]),
            prop::sample::select(names.to_vec()),
            prop::sample::select(commands.to_vec()),
            any::<bool>(),
            1_u64..5,
        )
            .prop_map(
                |(verb, resource, namespace, name, command, allowed, count)| Operation {
                    attributes: Attributes::resource(verb, "", resource, namespace).named(name),
                    allowed,
                    count,
                    command: command.map(str::to_owned),
                },
            )
    }

    proptest! {
        /// Whatever was done, the proposal allows it and is no more than what there was, also when it is made
        /// again from what it gave.
        #[test]
        fn a_proposal_is_enough_and_not_more(log in prop::collection::vec(operation(), 0..20)) {
            let alice = User::new("alice", &[]);
            let today = admin();
            let first = Policy::new(propose(&today, &alice, &log, "a", Options::default()).objects);
            let proof = prove(&today, &first, &alice, &log);
            prop_assert!(proof.holds(), "{:?}", proof);
            let second = Policy::new(propose(&first, &alice, &log, "b", Options::default()).objects);
            let proof = prove(&first, &second, &alice, &log);
            prop_assert!(proof.holds(), "{:?}", proof);
            for operation in log.iter().filter(|o| !o.allowed) {
                let elsewhere = matches!(&operation.attributes.target, Target::Resource(t)
                    if !log.iter().any(|o| o.allowed && matches!(&o.attributes.target, Target::Resource(u)
                        if u.namespace == t.namespace || u.namespace.is_empty())));
                if elsewhere {
                    prop_assert!(!authorize(&first, &alice, &operation.attributes).allowed);
                }
            }
        }
    }
}

/// kubectl opens streams with GET, and since 1.35 the API server wants `create` as well: no log says so.
#[test]
fn streams_keep_the_right_that_no_log_shows() {
    for stream in ["exec", "attach", "portforward"] {
        let resource = format!("pods/{stream}");
        let open = Attributes::resource("get", "", &resource, "shop").named("till");
        let found = proposed(&[did(open.clone())]);
        let expected = format!("namespace `shop`: create,get {resource} named till");
        assert_eq!(found, [expected]);
    }
    let log = Attributes::resource("get", "", "pods/log", "shop").named("till");
    let found = proposed(&[did(log)]);
    assert_eq!(found, ["namespace `shop`: get pods/log named till"]);
}
