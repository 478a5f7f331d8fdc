use super::*;

#[tokio::test]
async fn the_gate_says_what_it_can_prove_and_no_secret() {
    let gate = Gate::new().await;
    gate.person("ana@example.com", &["viewer", "operator:shop"])
        .await;
    gate.login("ana@example.com").await;
    let answer = gate.admin(get("/v1/facts")).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    let facts = &answer.body;
    assert_eq!(facts["sessions"]["people"], json!([["code", 1]]));
    assert_eq!(facts["sessions"]["certificateSeconds"], 3600);
    assert_eq!(
        facts["standing"]["functions"],
        json!([
            ["ana@example.com", "viewer"],
            ["ana@example.com", "operator:shop"]
        ])
    );
    assert_eq!(facts["streamsJudgedEvery"], 30);
    assert_eq!(facts["policies"]["own"], 0);
    let looked_at = facts["policies"]["context"].as_array().unwrap();
    assert!(looked_at.contains(&json!("risk")), "{looked_at:?}");
    assert!(!looked_at.contains(&json!("weekday")), "{looked_at:?}");
    let holds = facts["policies"]["holds"].as_array().unwrap();
    assert!(holds.contains(&json!("delete-needs-approval")), "{holds:?}");
    assert!(!facts.to_string().contains("PRIVATE"), "{facts}");
}

#[tokio::test]
async fn facts_are_for_those_who_look_after_security() {
    let gate = Gate::new().await;
    gate.person("ana@example.com", &["admin"]).await;
    gate.person("sam@example.com", &["security"]).await;
    gate.person("tom@example.com", &["security:shop"]).await;
    for (name, status) in [
        ("ana@example.com", StatusCode::FORBIDDEN),
        ("sam@example.com", StatusCode::OK),
        ("tom@example.com", StatusCode::FORBIDDEN),
    ] {
        let session = gate.login(name).await;
        let answer = gate.public(get("/v1/facts").by(&session)).await;
        assert_eq!(answer.status, status, "{name}: {:?}", answer.body);
    }
    assert_eq!(
        gate.public(get("/v1/facts")).await.status,
        StatusCode::UNAUTHORIZED
    );
}
