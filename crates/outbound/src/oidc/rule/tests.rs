use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000_000);

fn claims(texts: &[(&str, &str)]) -> Claims {
    Claims {
        issuer: "github".to_owned(),
        subject: "x".to_owned(),
        audience: "kubestile".to_owned(),
        token_id: None,
        expires: NOW.plus(Ttl::from_secs(600)),
        texts: texts
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
    }
}

fn github(repository: &str, reference: &str) -> Claims {
    claims(&[
        ("repository", repository),
        ("ref", reference),
        ("environment", "production"),
    ])
}

fn rule(over: Value) -> PipelineRule {
    let mut rule = json!({
        "issuer": "github",
        "match": { "repository": "acme/shop", "ref": "refs/heads/main" },
        "name": "ci-{repository}",
        "functions": ["operator:shop@prod"],
        "maxTtlSeconds": 300,
    });
    for (name, value) in over.as_object().unwrap() {
        rule[name] = value.clone();
    }
    serde_json::from_value(rule).unwrap()
}

fn rules(over: Value) -> Result<Rules, RuleError> {
    Rules::new(vec![rule(over)], &["github", "gitlab"])
}

#[test]
fn a_pipeline_gets_what_its_rule_says() {
    let rules = rules(json!({ "approval": true })).unwrap();
    let found = rules
        .find(&github("acme/shop", "refs/heads/main"), NOW)
        .unwrap();
    assert_eq!(found.name, "ci-acme+shop");
    assert_eq!(found.functions[0].to_string(), "operator:shop@prod");
    assert_eq!(found.ends, NOW.plus(Ttl::from_secs(300)));
    assert!(found.approval);
    assert_eq!(found.rule, 0);
}

#[test]
fn it_ends_with_the_token_at_the_latest() {
    let rules = rules(json!({ "maxTtlSeconds": 3600 })).unwrap();
    let token = github("acme/shop", "refs/heads/main");
    assert_eq!(rules.find(&token, NOW).unwrap().ends, token.expires());
}

#[test]
fn everything_must_match_as_a_whole() {
    let exact = rules(json!({})).unwrap();
    for (repository, reference) in [
        ("acme/shop2", "refs/heads/main"),
        ("acme/sho", "refs/heads/main"),
        ("evil/acme/shop", "refs/heads/main"),
        ("Acme/shop", "refs/heads/main"),
        ("acme/shop", "refs/heads/main2"),
        ("acme/shop", "refs/tags/main"),
        ("acme/shop", "refs/pull/7/merge"),
        ("acme/shop", ""),
    ] {
        assert_eq!(
            exact.find(&github(repository, reference), NOW),
            None,
            "{repository} {reference}"
        );
    }
    assert_eq!(
        exact.find(&claims(&[("repository", "acme/shop")]), NOW),
        None,
        "no ref"
    );
    let mut other = github("acme/shop", "refs/heads/main");
    other.issuer = "gitlab".to_owned();
    assert_eq!(exact.find(&other, NOW), None, "another issuer");
    let audience = rules(json!({ "audience": "second" })).unwrap();
    assert_eq!(
        audience.find(&github("acme/shop", "refs/heads/main"), NOW),
        None
    );
}

#[test]
fn patterns_do_not_cross_slashes() {
    let matches = json!({ "repository": "acme/*", "ref": "refs/heads/release-*" });
    let rules = rules(json!({ "match": matches })).unwrap();
    assert!(
        rules
            .find(&github("acme/cart", "refs/heads/release-1"), NOW)
            .is_some()
    );
    for (repository, reference) in [
        ("acme/cart", "refs/heads/release-1/x"),
        ("acme/a/b", "refs/heads/release-1"),
        ("acme-evil/cart", "refs/heads/release-1"),
    ] {
        assert_eq!(rules.find(&github(repository, reference), NOW), None);
    }
}

#[test]
fn the_first_rule_counts() {
    let first = rule(json!({ "match": { "repository": "acme/shop", "ref": "refs/heads/x" } }));
    let second = rule(json!({ "name": "two-{repository}" }));
    let third = rule(json!({ "name": "three-{repository}" }));
    let rules = Rules::new(vec![first, second, third], &["github"]).unwrap();
    let found = rules
        .find(&github("acme/shop", "refs/heads/main"), NOW)
        .unwrap();
    assert_eq!((found.rule, found.name.as_str()), (1, "two-acme+shop"));
}

#[test]
fn no_two_projects_have_one_name() {
    let rules = rules(json!({ "match": { "repository": "acme/**" } })).unwrap();
    let name = |repository: &str| {
        rules
            .find(&github(repository, "x"), NOW)
            .map(|found| found.name)
    };
    assert_eq!(name("acme/a/b").as_deref(), Some("ci-acme+a+b"));
    for repository in ["acme/a+b", "acme/a b", "acme/ü", "acme/a\u{0}", "acme/a:b"] {
        assert_eq!(name(repository), None, "{repository}");
    }
    assert_eq!(name(&format!("acme/{}", "a".repeat(200))), None);
    let missing = self::rules(json!({ "name": "ci-{nothing}" })).unwrap();
    assert_eq!(
        missing.find(&github("acme/shop", "refs/heads/main"), NOW),
        None
    );
}

#[test]
fn two_issuers_never_make_one_name() {
    let github = || rule(json!({ "name": "ci-{repository}" }));
    let gitlab = |name: &str| {
        rule(json!({
            "issuer": "gitlab", "name": name, "match": { "project_path": "acme/shop" },
        }))
    };
    for name in ["ci-{project_path}", "ci-x-{project_path}", "ci-acme+shop"] {
        for rules in [vec![github(), gitlab(name)], vec![gitlab(name), github()]] {
            let refused = Rules::new(rules, &["github", "gitlab"]);
            assert!(refused.is_err(), "{name}");
        }
    }
    let apart = vec![github(), gitlab("gl-{project_path}"), github()];
    assert!(Rules::new(apart, &["github", "gitlab"]).is_ok());
}

#[test]
fn rules_that_are_refused() {
    for (what, over) in [
        (
            "no project",
            json!({ "match": { "ref": "refs/heads/main" } }),
        ),
        ("nothing", json!({ "match": {} })),
        ("any project", json!({ "match": { "repository": "*" } })),
        (
            "any project at all",
            json!({ "match": { "repository": "**" } }),
        ),
        ("any owner", json!({ "match": { "repository": "*/shop" } })),
        (
            "part of an owner",
            json!({ "match": { "repository": "acme*/shop" } }),
        ),
        (
            "an owner alone",
            json!({ "match": { "repository": "acme" } }),
        ),
        ("no owner", json!({ "match": { "project_path": "/shop" } })),
        ("any id", json!({ "match": { "repository_id": "7*" } })),
        (
            "an empty pattern",
            json!({ "match": { "repository": "acme/shop", "ref": "" } }),
        ),
        (
            "a long pattern",
            json!({ "match": { "repository": "acme/shop", "ref": "a".repeat(600) } }),
        ),
        ("another issuer", json!({ "issuer": "jenkins" })),
        ("no functions", json!({ "functions": [] })),
        ("for ever", json!({ "maxTtlSeconds": 100_000 })),
        ("for nothing", json!({ "maxTtlSeconds": 0 })),
        ("a name that is all claim", json!({ "name": "{actor}" })),
        ("a name with nearly no word", json!({ "name": "a{actor}" })),
        (
            "a name of Kubernetes",
            json!({ "name": "system:{repository}" }),
        ),
        ("a brace left open", json!({ "name": "ci-{repository" })),
    ] {
        assert!(rules(over).is_err(), "{what}");
    }
    for ids in ["repository_id", "project_id"] {
        assert!(rules(json!({ "match": { ids: "74" } })).is_ok());
    }
    let typo = serde_json::from_value::<PipelineRule>(json!({ "matches": {} }));
    assert!(typo.is_err());
    let many = vec![rule(json!({})); RULES + 1];
    assert!(Rules::new(many, &["github"]).is_err());
}
