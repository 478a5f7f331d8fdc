use super::*;

async fn token(gate: &Gate, client: &Client) -> String {
    let answer = gate.public(post("/v1/token", &json!({})).by(client)).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert_eq!(answer.at("expires"), gate.now().plus(secs(3600)));
    answer.body["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_certificate_or_a_token_says_who_one_is() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &["viewer", "operator:shop"]).await;
    let by_certificate = gate.public(get("/v1/whoami").by(&ana)).await;
    assert_eq!(by_certificate.status, StatusCode::OK);
    assert_eq!(by_certificate.body["person"], "ana");
    assert_eq!(by_certificate.body["credential"], "certificate");
    assert_eq!(
        by_certificate.body["functions"],
        json!(["viewer", "operator:shop"])
    );
    assert_eq!(by_certificate.body["source"], "192.0.2.1");
    let token = token(&gate, &ana).await;
    let by_token = gate.public(get("/v1/whoami").bearer(&token)).await;
    assert_eq!(by_token.body["credential"], "bearer-token");
    assert_eq!(by_token.body["session"], by_certificate.body["session"]);
    let log = gate.log();
    assert!(log.contains("token-issued") && !log.contains(&token));
}

#[tokio::test]
async fn never_both_and_never_neither() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    let token = token(&gate, &ana).await;
    for path in ["/v1/whoami", "/v1/sessions", "/v1/clusters"] {
        let neither = gate.public(get(path)).await;
        assert_eq!(neither.status, StatusCode::UNAUTHORIZED);
        assert!(neither.headers.contains_key("www-authenticate"));
        assert_eq!(neither.body["hint"], "run `kubestile login`");
        let both = gate.public(get(path).by(&ana).bearer(&token)).await;
        assert_eq!(both.status, StatusCode::BAD_REQUEST);
        let twice = gate.public(get(path).bearer(&token).bearer(&token)).await;
        assert_eq!(twice.status, StatusCode::BAD_REQUEST);
        let bad = gate.public(get(path).bearer("kst_x")).await;
        assert_eq!(bad.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_certificate_of_another_gate_is_nobody() {
    let (gate, other) = (Gate::new().await, Gate::new().await);
    gate.client("ana", &[]).await;
    let stranger = other.client("ana", &[]).await;
    let answer = gate.public(get("/v1/whoami").by(&stranger)).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert!(answer.error().contains("not one that this gate issues"));
}

#[tokio::test]
async fn credentials_grow_old() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    let token = token(&gate, &ana).await;
    gate.pass(3600);
    let certificate = gate.public(get("/v1/whoami").by(&ana)).await;
    assert_eq!(certificate.error(), "the client certificate has expired");
    let bearer = gate.public(get("/v1/whoami").bearer(&token)).await;
    assert_eq!(bearer.error(), "the bearer token has expired");
    gate.pass(7 * 3600);
    let over = gate.public(get("/v1/whoami").by(&ana)).await;
    assert_eq!(over.error(), "the session expired");
}

#[tokio::test]
async fn a_token_cannot_prolong_itself_and_dies_with_its_session() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    let token = token(&gate, &ana).await;
    let again = gate
        .public(post("/v1/token", &json!({})).bearer(&token))
        .await;
    assert_eq!(again.status, StatusCode::FORBIDDEN);
    let logout = gate
        .public(post("/v1/logout", &json!({})).bearer(&token))
        .await;
    assert_eq!(logout.body["ended"], true);
    for request in [get("/v1/whoami").bearer(&token), get("/v1/whoami").by(&ana)] {
        let answer = gate.public(request).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.error(), "the person logged out");
    }
}

#[tokio::test]
async fn tokens_are_not_made_without_end_or_unrecorded() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    for _ in 0..10 {
        token(&gate, &ana).await;
    }
    let more = gate.public(post("/v1/token", &json!({})).by(&ana)).await;
    assert_eq!(more.status, StatusCode::TOO_MANY_REQUESTS);
    gate.pass(60);
    gate.break_log().await;
    let unrecorded = gate.public(post("/v1/token", &json!({})).by(&ana)).await;
    assert_eq!(unrecorded.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(unrecorded.body.get("token").is_none());
}

/// A listener that forgot to say who is on the other side must not make everybody anonymous.
#[tokio::test]
async fn nobody_is_answered_when_the_listener_does_not_say_who_is_there() {
    let gate = Gate::new().await;
    let mut without = get("/v1/whoami");
    without.request.extensions_mut().clear();
    assert_eq!(
        gate.public(without).await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    let mut without = post("/v1/login", &json!({ "code": "x", "csr": "x" }));
    without.request.extensions_mut().clear();
    assert_eq!(
        gate.public(without).await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
}

#[tokio::test]
async fn headers_that_name_a_client_are_not_believed() {
    let gate = Gate::new().await;
    let mut request = get("/v1/whoami");
    for (name, value) in [
        ("x-remote-user", "ana"),
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-client-cert", "Subject=\"CN=ana\""),
        ("ssl-client-cert", "x"),
    ] {
        request
            .request
            .headers_mut()
            .insert(name, value.parse().unwrap());
    }
    assert_eq!(gate.public(request).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_is_not_the_expected_json_is_refused_in_json() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    let secret = "0101-0101-0101-0101-0101";
    let unknown_field = json!({ "code": secret, "csr": "", "admin": true });
    let answer = gate.public(post("/v1/login", &unknown_field)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(!answer.body.to_string().contains(secret));
    let wrong_type = json!({ "code": [secret], "csr": "" });
    let answer = gate.public(post("/v1/login", &wrong_type)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(!answer.body.to_string().contains(secret));
    // A form of another site, in a browser that holds a client certificate.
    let mut form = post("/v1/logout", &json!({})).by(&ana);
    let plain = "text/plain".parse().unwrap();
    form.request.headers_mut().insert("content-type", plain);
    let answer = gate.public(form).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(
        gate.public(get("/v1/whoami").by(&ana)).await.status,
        StatusCode::OK
    );
    let long = json!({ "code": "x", "csr": "x".repeat(65 * 1024) });
    let answer = gate.public(post("/v1/login", &long)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        gate.public(get("/v1/login")).await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    for path in ["/", "/v1", "/v1/people", "/v1/status", "/clusters/x"] {
        assert_eq!(
            gate.public(get(path).by(&ana)).await.status,
            StatusCode::NOT_FOUND
        );
    }
}
