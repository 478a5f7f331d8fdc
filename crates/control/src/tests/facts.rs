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
    assert_eq!(facts["policies"]["holdsMore"], 0);
    assert_eq!(facts["recordsStreams"], false);
    assert_eq!(facts["scoresRisk"], false);
    assert!(!facts.to_string().contains("PRIVATE"), "{facts}");
    let path = gate.dir.path().display().to_string();
    assert!(!facts.to_string().contains(&path), "{facts}");
}

#[tokio::test]
async fn each_cluster_is_tried_and_lists_end_somewhere() {
    let gate = Gate::new().await;
    for n in 0..60 {
        let cluster = json!({
            "server": "https://10.0.0.1:6443",
            "ca_pem": "-----BEGIN CERTIFICATE-----",
            "token": "the-upstream-token",
            "token_expires": START + 3600,
            "mode": "constrained",
        });
        let path = format!("/v1/clusters/c{n:02}");
        let put = gate.admin(put(&path, &cluster)).await;
        assert_eq!(put.status, StatusCode::OK, "{:?}", put.body);
    }
    let names: Vec<String> = (0..60).map(|n| format!("f{n}")).collect();
    let functions: Vec<&str> = names.iter().map(String::as_str).collect();
    gate.person("ana@example.com", &functions).await;
    let facts = gate.admin(get("/v1/facts")).await.body;
    assert!(!facts.to_string().contains("the-upstream-token"));
    let clusters = facts["clusters"].as_array().unwrap();
    assert_eq!((clusters.len(), &facts["clustersMore"]), (50, &json!(10)));
    for cluster in clusters {
        assert_eq!(cluster["hold"], "wait");
        // The process of this test says nothing of it.
        assert_eq!(cluster["served"], json!(null));
        assert!(cluster["trials"].as_u64().unwrap() > 10, "{cluster}");
        assert_eq!(cluster["weakestLogin"], "code");
        let unheld = cluster["unheld"].as_array().unwrap();
        assert!(
            unheld.contains(&json!("enter a pod in kube-system (R4)")),
            "{unheld:?}"
        );
        let standing = cluster["standing"].as_array().unwrap();
        assert!(standing.contains(&json!("enter a pod")), "{standing:?}");
        let loose = cluster["loose"].to_string();
        assert!(loose.contains("names no ticket"), "{loose}");
    }
    assert_eq!(facts["standing"]["functions"].as_array().unwrap().len(), 50);
    assert_eq!(facts["standing"]["more"], 10);
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
