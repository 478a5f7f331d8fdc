use super::*;

fn systems(kinds: &[(&str, &str, Value)]) -> Result<Tickets, ConfigError> {
    let configs = kinds.iter().map(|(name, kind, over)| {
        let mut over = over.clone();
        over["name"] = json!(name);
        config("https://a.example", "/nonexistent".as_ref(), kind, over)
    });
    Tickets::new(configs.collect())
}

fn one(kind: &str, over: Value) -> Tickets {
    systems(&[("here", kind, over)]).unwrap()
}

#[test]
fn ids_in_one_form() {
    let github = json!({ "accept": ["acme/*#*"], "project": "acme/shop" });
    let gitlab = json!({ "accept": ["acme/**"] });
    let fields = json!({
        "openStates": ["open"],
        "fields": { "path": "/{id}", "id": "/id", "state": "/s", "assignees": ["/a"] },
    });
    for (kind, over, text, key) in [
        ("jiraCloud", json!({}), "OPS-12", "OPS-12"),
        ("jiraCloud", json!({}), "here:ops_2-1", "OPS_2-1"),
        ("serviceNow", json!({}), "inc0010001", "INC0010001"),
        ("github", github.clone(), "Acme/Shop#7", "acme/shop#7"),
        ("github", github.clone(), "#7", "acme/shop#7"),
        ("github", github.clone(), "7", "acme/shop#7"),
        ("gitlab", gitlab.clone(), "acme/a/b/c#7", "acme/a/b/c#7"),
        ("pagerDuty", json!({}), "Q1A2B3C4D5E6F7", "Q1A2B3C4D5E6F7"),
        ("generic", fields.clone(), "a.b_c-1", "a.b_c-1"),
    ] {
        let id = one(kind, over).parse(text).unwrap();
        assert_eq!((id.system(), id.key()), ("here", key), "{text}");
        assert_eq!(serde_json::to_value(&id).unwrap(), format!("here:{key}"));
    }
}

#[test]
fn what_is_no_id_never_becomes_part_of_a_path() {
    let project = json!({ "accept": ["acme/**"] });
    let fields = json!({
        "openStates": ["open"],
        "fields": { "path": "/{id}", "id": "/id", "state": "/s", "assignees": ["/a"] },
    });
    let hostile: Vec<(&str, Value, &[&str])> = vec![
        (
            "jiraCloud",
            json!({}),
            &[
                "",
                "OPS",
                "OPS-",
                "-12",
                "OPS-0",
                "OPS-012",
                "OPS-12/../..",
                "OPS-12?x",
                "OPS-12#x",
                "OPS-12/transitions",
                "OPS-12%2F..",
                "OPS-1 2",
                " OPS-12",
                "OPS-12\n",
                "OPS-12\0",
                "1OPS-12",
                "OPS-12;x",
                "../OPS-12",
                "OPS-99999999999",
                "ÖPS-12",
                "OPS-１２",
                "here:",
                "here:OPS-12:x",
                "other:OPS-12",
                ":OPS-12",
                "Here:OPS-12",
            ],
        ),
        (
            "serviceNow",
            json!({}),
            &[
                "INC001^ORactive=true",
                "INC",
                "0010001",
                "INC0010001^x",
                "INC0010001&sysparm_limit=9",
                "USR0010001",
                "INC00100010010010",
                "javascript:gs.x()",
                "INC0010001 ",
            ],
        ),
        (
            "github",
            project.clone(),
            &[
                "evil/shop#7",
                "acme/shop",
                "acme/shop#",
                "acme/shop#0",
                "acme/shop#7?x",
                "acme/..#7",
                "acme/../evil#7",
                "acme/shop/x#7",
                "acme//shop#7",
                "/acme/shop#7",
                "acme/shop#7#8",
                "#7",
                "acme/sh%6fp#7",
                "acme/shop#-7",
                "acme/shop#+7",
                "acme/shop#7/comments",
                "7",
            ],
        ),
        (
            "gitlab",
            project,
            &[
                "acme#7",
                "acme/#7",
                "acme/./x#7",
                "acme%2Fshop#7",
                "evil/acme/x#7",
            ],
        ),
        (
            "pagerDuty",
            json!({}),
            &["pt4khlk", "PT4", "PT4KHLK/notes", "PT4KHLK?x", "../PT4KHLK"],
        ),
        (
            "generic",
            fields,
            &[
                ".", "..", "a/b", "a?b", "a#b", "a%2fb", "a..b", "-a", "{id}", "a&b",
            ],
        ),
    ];
    for (kind, over, texts) in hostile {
        let tickets = one(kind, over);
        for text in texts {
            assert!(tickets.parse(text).is_err(), "{kind} {text}");
        }
        assert!(tickets.parse(&"A".repeat(10_000)).is_err());
    }
}

#[test]
fn a_text_goes_to_the_one_system_that_takes_it() {
    let tickets = systems(&[
        ("jira", "jiraCloud", json!({ "accept": ["OPS-*", "SRE-*"] })),
        (
            "old-jira",
            "jiraDataCenter",
            json!({ "accept": ["LEG-*", "SRE-*"] }),
        ),
        ("snow", "serviceNow", json!({ "accept": ["CHG*"] })),
        ("gh", "github", json!({ "accept": ["acme/shop#*"] })),
    ])
    .unwrap();
    for (text, id) in [
        ("OPS-1", "jira:OPS-1"),
        ("LEG-1", "old-jira:LEG-1"),
        ("old-jira:SRE-1", "old-jira:SRE-1"),
        ("CHG0030001", "snow:CHG0030001"),
        ("acme/shop#7", "gh:acme/shop#7"),
    ] {
        let parsed = tickets.parse(text).unwrap();
        assert_eq!(parsed.to_string(), id);
        assert_eq!(tickets.parse(id), Ok(parsed), "it reads itself");
    }
    for text in [
        "SRE-1",
        "HR-1",
        "jira:LEG-1",
        "INC0010001",
        "gh:acme/cart#7",
    ] {
        let error = tickets.parse(text).unwrap_err();
        assert!(
            error.to_string().contains("is not a ticket here"),
            "{error}"
        );
    }
    let error = tickets.parse("SRE-1").unwrap_err().to_string();
    assert!(error.contains("`jira:SRE-1`"), "{error}");
}

#[test]
fn configurations_that_are_refused() {
    let fields = json!({ "path": "/{id}", "id": "/id", "state": "/s", "assignees": ["/a"] });
    let with = |name: &str, value: Value| {
        let mut fields = fields.clone();
        fields[name] = value;
        json!({ "openStates": ["open"], "fields": fields })
    };
    for (kind, over) in [
        ("github", json!({})),
        ("github", json!({ "accept": ["*"] })),
        ("github", json!({ "accept": ["*/shop#*"] })),
        ("github", json!({ "accept": ["**"] })),
        ("github", json!({ "accept": ["acme*/shop#*"] })),
        ("gitlab", json!({ "accept": [""] })),
        (
            "gitlab",
            json!({ "accept": ["acme/**"], "project": "acme/../x" }),
        ),
        ("jiraCloud", json!({ "project": "acme/shop" })),
        ("jiraCloud", json!({ "login": "ana@example.com" })),
        ("jiraCloud", json!({ "user": "a:b" })),
        ("jiraCloud", json!({ "pollSeconds": 1 })),
        ("jiraCloud", json!({ "timeoutSeconds": 0 })),
        ("jiraCloud", json!({ "namespaces": {} })),
        ("jiraCloud", json!({ "namespaces": { "pointer": "x" } })),
        ("jiraCloud", json!({ "cluster": { "label": "" } })),
        ("jiraCloud", json!({ "fields": fields })),
        ("jiraCloud", json!({ "caFile": "/nonexistent" })),
        ("generic", json!({})),
        ("generic", json!({ "fields": fields })),
        ("generic", with("path", json!("/x"))),
        ("generic", with("path", json!("{id}"))),
        ("generic", with("assignees", json!([]))),
        ("generic", with("state", json!("state"))),
    ] {
        assert!(
            systems(&[("here", kind, over.clone())]).is_err(),
            "{kind} {over}"
        );
    }
    let jira = || ("here", "jiraCloud", json!({}));
    assert!(systems(&[jira(), jira()]).is_err(), "one name twice");
    assert!(systems(&[("Not A Label", "jiraCloud", json!({}))]).is_err());
    let unknown: Result<TicketConfig, _> = serde_json::from_value(json!({
        "name": "a", "kind": "jiraCloud", "url": "https://a.example", "credentialFile": "/x", "typo": 1,
    }));
    assert!(unknown.is_err());
}
