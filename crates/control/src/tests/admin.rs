use super::*;

#[tokio::test]
async fn people_come_change_and_go() {
    let gate = Gate::new().await;
    let ana = json!({ "name": "ana@example.com", "functions": ["viewer"], "groups": ["sre"] });
    let added = gate.admin(post("/v1/people", &ana)).await;
    assert_eq!(added.status, StatusCode::CREATED, "{:?}", added.body);
    let again = gate.admin(post("/v1/people", &ana)).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    let functions = json!({ "functions": ["viewer", "operator:shop@prod"] });
    let path = "/v1/people/ana@example.com/functions";
    let changed = gate.admin(put(path, &functions)).await;
    assert_eq!(changed.body["functions"], functions["functions"]);
    gate.login("ana@example.com").await;
    let list = gate.admin(get("/v1/people")).await;
    assert_eq!(list.body["people"][0]["live_sessions"], 1);
    assert_eq!(list.body["people"][0]["functions"], functions["functions"]);
    let removed = gate.admin(delete("/v1/people/ana@example.com")).await;
    assert_eq!(removed.status, StatusCode::OK);
    assert_eq!(
        gate.admin(get("/v1/people")).await.body,
        json!({ "people": [] })
    );
    let log = gate.log();
    for what in [
        "person added",
        "job functions set",
        "viewer operator:shop@prod; before: viewer",
        "person removed",
        "local administrator",
    ] {
        assert!(log.contains(what), "{what}");
    }
}

#[tokio::test]
async fn impossible_people_are_refused_before_they_are_recorded() {
    let gate = Gate::new().await;
    for (bad, status) in [
        (json!({ "name": "system:admin" }), StatusCode::BAD_REQUEST),
        (json!({ "name": "" }), StatusCode::BAD_REQUEST),
        (json!({ "name": "a\nb" }), StatusCode::BAD_REQUEST),
        (
            json!({ "name": "ana", "functions": ["Admin"] }),
            StatusCode::BAD_REQUEST,
        ),
        (
            json!({ "name": "ana", "functions": vec!["viewer"; 101] }),
            StatusCode::BAD_REQUEST,
        ),
        (json!({ "name": "ana", "id": "x" }), StatusCode::BAD_REQUEST),
    ] {
        let answer = gate.admin(post("/v1/people", &bad)).await;
        assert_eq!(answer.status, status, "{bad}");
    }
    for request in [
        delete("/v1/people/nobody"),
        put("/v1/people/nobody/functions", &json!({ "functions": [] })),
        post("/v1/people/nobody/codes", &json!({})),
    ] {
        assert_eq!(gate.admin(request).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(gate.audit.size(), 0);
    assert!(gate.store.people().is_empty());
}

#[tokio::test]
async fn a_login_code_comes_with_what_a_first_login_needs() {
    let gate = Gate::new().await;
    gate.person("ana", &[]).await;
    let answer = gate.admin(post("/v1/people/ana/codes", &json!({}))).await;
    assert_eq!(answer.body["url"], "https://gate.example:8443/");
    assert_eq!(answer.body["authority"], gate.authority.fingerprint());
    assert_eq!(answer.at("expires"), gate.now().plus(secs(600)));
    let code = answer.body["code"].as_str().unwrap();
    assert_eq!(code.len(), 24);
    assert_ne!(gate.code("ana").await, code);
}

#[tokio::test]
async fn clusters_come_and_go_and_keep_their_secrets() {
    let gate = Gate::new().await;
    let prod = json!({
        "server": "https://10.0.0.1:6443",
        "ca_pem": "-----BEGIN CERTIFICATE-----",
        "token": "the-upstream-token",
        "token_expires": START + 3600,
        "mode": "constrained",
    });
    let answer = gate.admin(put("/v1/clusters/prod", &prod)).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert_eq!(
        answer.body["url"],
        "https://gate.example:8443/clusters/prod"
    );
    assert_eq!(answer.body["credential"], "token");
    let stored = &gate.store.clusters()[0];
    assert_eq!(
        stored.token.as_ref().unwrap().expose(),
        "the-upstream-token"
    );
    let first = stored.added;
    gate.pass(60);
    gate.admin(put("/v1/clusters/prod", &prod)).await;
    assert_eq!(gate.store.clusters()[0].added, first);
    let list = gate.admin(get("/v1/clusters")).await;
    assert_eq!(list.body["clusters"][0]["server"], "https://10.0.0.1:6443");
    // People see the gate's URL and not the API server's.
    let ana = gate.client("ana", &[]).await;
    let seen = gate.public(get("/v1/clusters").by(&ana)).await;
    let url = "https://gate.example:8443/clusters/prod";
    assert_eq!(
        seen.body["clusters"],
        json!([{ "name": "prod", "url": url }])
    );
    assert_eq!(
        gate.admin(delete("/v1/clusters/prod")).await.status,
        StatusCode::OK
    );
    let gone = gate.admin(delete("/v1/clusters/prod")).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    let name = || "prod".parse().unwrap();
    assert_eq!(
        *gate.changes.lock().unwrap(),
        [
            ClusterChange::Put(name()),
            ClusterChange::Put(name()),
            ClusterChange::Removed(name())
        ]
    );
    let log = gate.log();
    assert!(log.contains("cluster added") && log.contains("cluster replaced"));
    assert!(log.contains("cluster removed") && !log.contains("the-upstream-token"));
}

#[tokio::test]
async fn clusters_that_cannot_be_are_refused() {
    let gate = Gate::new().await;
    let with = |field: &str, value: Value| {
        let mut body = json!({ "server": "https://a", "mode": "legacy" });
        body[field] = value;
        body
    };
    for (path, body) in [
        ("/v1/clusters/prod", with("server", json!("http://a"))),
        ("/v1/clusters/prod", with("mode", json!("any"))),
        ("/v1/clusters/prod", with("insecure", json!(true))),
        ("/v1/clusters/Prod", with("mode", json!("legacy"))),
        ("/v1/clusters/a%2Fb", with("mode", json!("legacy"))),
        (
            "/v1/clusters/prod",
            json!({ "server": "https://a", "mode": "legacy", "token": "t", "kubeconfig": "/k" }),
        ),
    ] {
        let answer = gate.admin(put(path, &body)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {body}");
    }
    assert!(gate.store.clusters().is_empty() && gate.audit.size() == 0);
    let broken = gate
        .admin(put("/v1/clusters/broken", &with("mode", json!("legacy"))))
        .await;
    assert_eq!(broken.status, StatusCode::BAD_GATEWAY);
    assert!(broken.error().ends_with("its authority is no certificate"));
}

#[tokio::test]
async fn status_tells_what_there_is() {
    let gate = Gate::new().await;
    gate.client("ana", &[]).await;
    let status = gate.admin(get("/v1/status")).await;
    assert_eq!(status.body["people"], 1);
    assert_eq!(status.body["live_sessions"], 1);
    assert_eq!(status.body["authority"], gate.authority.fingerprint());
    assert_eq!(status.body["process"]["connections"], 3);
    gate.pass(8 * 3600);
    let status = gate.admin(get("/v1/status")).await;
    assert_eq!(status.body["live_sessions"], 0);
}

#[tokio::test]
async fn nothing_is_changed_unrecorded() {
    let gate = Gate::new().await;
    gate.person("ana", &["viewer"]).await;
    gate.break_log().await;
    let cluster = json!({ "server": "https://a", "mode": "legacy" });
    for request in [
        post("/v1/people", &json!({ "name": "bo" })),
        put(
            "/v1/people/ana/functions",
            &json!({ "functions": ["admin"] }),
        ),
        post("/v1/people/ana/codes", &json!({})),
        put("/v1/clusters/prod", &cluster),
    ] {
        let answer = gate.admin(request).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(gate.store.people().len(), 1);
    let ana = gate.store.person_by_name("ana").unwrap();
    assert_eq!(ana.functions, ["viewer".parse().unwrap()]);
    assert!(gate.store.clusters().is_empty());
}

#[tokio::test]
async fn the_administrator_ends_any_session() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    let list = gate.admin(get("/v1/sessions")).await;
    assert_eq!(list.body["sessions"][0]["person"], "ana");
    let path = format!("/v1/sessions/{}/end", ana.session);
    let ended = gate.admin(post(&path, &json!({}))).await;
    assert_eq!(ended.body["ended"], true);
    let list = gate.admin(get("/v1/sessions")).await;
    let ended = &list.body["sessions"][0]["ended"];
    assert_eq!(ended, "the session was ended by local administrator");
}

#[tokio::test]
async fn a_change_that_fails_is_not_left_standing_in_the_log() {
    let gate = Gate::new().await;
    let app = crate::state::App::new(gate.state.clone());
    let full = || Err::<(), _>(kubestile_store::StoreError::InvalidCode);
    let answer = app.changed("person added", "ana", full()).await;
    assert_eq!(answer.unwrap_err().status(), StatusCode::UNAUTHORIZED);
    assert!(gate.log().contains("person added: failed"));

    gate.client("ana", &[]).await;
    let session = gate.store.sessions().remove(0);
    let answer = app.session_changed(&session, "renewed", full()).await;
    assert!(answer.is_err());
    assert!(gate.log().contains("renewed-failed"));

    gate.break_log().await;
    let answer = app.changed("person added", "ana", full()).await;
    assert_eq!(
        answer.unwrap_err().status(),
        StatusCode::UNAUTHORIZED,
        "the failure itself is told"
    );
}

#[tokio::test]
async fn the_mode_of_a_cluster_changes_and_nothing_else_of_it() {
    let gate = Gate::new().await;
    let prod = json!({ "server": "https://a", "token": "upstream-token", "mode": "legacy" });
    gate.admin(put("/v1/clusters/prod", &prod)).await;
    let path = "/v1/clusters/prod/mode";
    let bad = gate.admin(put(path, &json!({ "mode": "any" }))).await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    let answer = gate
        .admin(put(path, &json!({ "mode": "constrained" })))
        .await;
    assert_eq!(answer.body["mode"], "constrained", "{:?}", answer.body);
    let stored = &gate.store.clusters()[0];
    assert_eq!(stored.token.as_ref().unwrap().expose(), "upstream-token");
    assert!(gate.log().contains("constrained; before: legacy"));
    let none = "/v1/clusters/none/mode";
    let none = gate.admin(put(none, &json!({ "mode": "legacy" }))).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
}
