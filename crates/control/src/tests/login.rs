use kubestile_authn::ClientCertificate;

use super::*;

fn body(code: &str) -> Value {
    let key = ClientKey::generate().unwrap();
    json!({ "code": code, "csr": key.csr_pem().unwrap(), "client": "kubestile 0.1 on laptop" })
}

#[tokio::test]
async fn a_code_opens_a_session_and_the_log_says_so() {
    let gate = Gate::new().await;
    let id = gate.person("ana@example.com", &["viewer"]).await;
    let put_cluster = json!({ "server": "https://10.0.0.1:6443", "mode": "legacy" });
    gate.admin(put("/v1/clusters/prod", &put_cluster)).await;
    let code = gate.code("ana@example.com").await;

    let answer = gate.public(post("/v1/login", &body(&code))).await;

    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert_eq!(answer.body["person"], "ana@example.com");
    assert_eq!(answer.body["ca"], gate.authority.pem());
    assert_eq!(answer.at("not_after"), gate.now().plus(secs(3600)));
    assert_eq!(
        answer.at("session_expires"),
        gate.now().plus(secs(8 * 3600))
    );
    let cluster = json!([{ "name": "prod", "url": "https://gate.example:8443/clusters/prod" }]);
    assert_eq!(answer.body["clusters"], cluster);
    let certificate = ClientCertificate::read(&answer.certificate()).unwrap();
    let session = gate.store.session(certificate.session).unwrap();
    let session = session.session();
    assert_eq!(session.identity.id, id);
    assert_eq!(session.key_digest, certificate.key_digest);
    assert_eq!(session.client, "kubestile 0.1 on laptop");
    let log = gate.log();
    assert!(log.contains("\"change\":\"started\"") && log.contains(&session.id.to_string()));
    assert!(log.contains("192.0.2.1") && log.contains("login code created"));
    assert!(!log.contains(&code), "no code in the log");
}

#[tokio::test]
async fn a_code_works_once_however_it_is_typed() {
    let gate = Gate::new().await;
    gate.person("ana", &[]).await;
    let code = gate.code("ana").await;
    let typed = code.to_lowercase().replace('-', " ");
    assert_eq!(
        gate.public(post("/v1/login", &body(&typed))).await.status,
        StatusCode::OK
    );
    let again = gate.public(post("/v1/login", &body(&code))).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
    assert_eq!(gate.store.sessions().len(), 1);
    let log = gate.log();
    assert!(log.contains("\"kind\":\"refusal\"") && !log.contains(&code));
}

#[tokio::test]
async fn of_many_who_show_one_code_at_once_one_gets_in() {
    let gate = Gate::new().await;
    gate.person("ana", &[]).await;
    let code = gate.code("ana").await;
    let body = body(&code);
    let attempts = (0..8).map(|_| gate.public(post("/v1/login", &body)));
    let answers = futures(attempts).await;
    let got_in = answers
        .iter()
        .filter(|a| a.status == StatusCode::OK)
        .count();
    assert_eq!(got_in, 1);
    assert_eq!(gate.store.sessions().len(), 1);
}

/// All at once, without another dependency.
async fn futures<F: Future<Output = Answer>>(all: impl Iterator<Item = F>) -> Vec<Answer> {
    let mut pending: Vec<_> = all.map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(|context| {
        let mut ready = true;
        for (future, answer) in &mut pending {
            if answer.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(done) => *answer = Some(done),
                    std::task::Poll::Pending => ready = false,
                }
            }
        }
        if ready {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    pending
        .into_iter()
        .filter_map(|(_, answer)| answer)
        .collect()
}

#[tokio::test]
async fn a_code_expires_and_dies_with_its_person() {
    let gate = Gate::new().await;
    gate.person("ana", &[]).await;
    let late = gate.code("ana").await;
    gate.pass(600);
    let expired = gate.public(post("/v1/login", &body(&late))).await;
    let orphaned = gate.code("ana").await;
    assert_eq!(
        gate.admin(delete("/v1/people/ana")).await.status,
        StatusCode::OK
    );
    let removed = gate.public(post("/v1/login", &body(&orphaned))).await;
    let never = gate
        .public(post("/v1/login", &body("0000-0000-0000-0000-0000")))
        .await;
    let malformed = gate.public(post("/v1/login", &body("x"))).await;
    for refused in [&expired, &removed, &never, &malformed] {
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        // One answer for all: who guesses does not learn which it was.
        assert_eq!(refused.error(), never.error());
    }
    assert!(gate.store.sessions().is_empty());
}

#[tokio::test]
async fn a_bad_request_does_not_use_the_code_up() {
    let gate = Gate::new().await;
    gate.person("ana", &[]).await;
    let code = gate.code("ana").await;
    let bad = json!({ "code": code, "csr": "-----BEGIN CERTIFICATE REQUEST-----" });
    let answer = gate.public(post("/v1/login", &bad)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        gate.public(post("/v1/login", &body(&code))).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn failed_logins_make_a_source_wait() {
    let gate = Gate::new().await;
    gate.person("ana", &[]).await;
    let guess = body("0000-0000-0000-0000-0000");
    for _ in 0..10 {
        let answer = gate.public(post("/v1/login", &guess)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let code = gate.code("ana").await;
    let told_to_wait = gate.public(post("/v1/login", &body(&code))).await;
    assert_eq!(told_to_wait.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(told_to_wait.headers["retry-after"], "61");
    let size = gate.audit.size();
    gate.public(post("/v1/login", &guess)).await;
    assert_eq!(gate.audit.size(), size, "a flood does not fill the log");
    // Others are not affected, nor the same source after a while.
    let elsewhere = post("/v1/login", &guess).from("198.51.100.7:1");
    assert_eq!(
        gate.public(elsewhere).await.status,
        StatusCode::UNAUTHORIZED
    );
    gate.pass(60);
    assert_eq!(
        gate.public(post("/v1/login", &body(&code))).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn successful_logins_behind_one_address_do_not_count() {
    let gate = Gate::new().await;
    gate.person("ana", &[]).await;
    for _ in 0..12 {
        gate.login("ana").await;
    }
}

#[tokio::test]
async fn no_session_starts_unrecorded() {
    let gate = Gate::new().await;
    gate.person("ana", &[]).await;
    let code = gate.code("ana").await;
    gate.break_log().await;
    let answer = gate.public(post("/v1/login", &body(&code))).await;
    assert_eq!(
        answer.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{:?}",
        answer.body
    );
    assert!(gate.store.sessions().is_empty());
}

#[tokio::test]
async fn what_a_client_says_of_itself_is_made_harmless() {
    let gate = Gate::new().await;
    gate.person("ana", &[]).await;
    let mut body = body(&gate.code("ana").await);
    body["client"] = json!(format!("  \u{1b}[31mred\r\n{}", "x".repeat(500)));
    assert_eq!(
        gate.public(post("/v1/login", &body)).await.status,
        StatusCode::OK
    );
    let client = gate.store.sessions()[0].client.clone();
    assert!(
        client.starts_with("[31mredxxx") && client.len() <= 128,
        "{client}"
    );
}
