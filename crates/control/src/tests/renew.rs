use kubestile_authn::{ClientCertificate, proof};

use super::*;

/// A renewal of `session` by `key`, made at `at`.
fn renewal(key: &ClientKey, session: SessionId, at: Timestamp) -> Value {
    let csr = key.csr_pem().unwrap();
    json!({
        "session": session,
        "timestamp": at.as_secs(),
        "proof": proof::sign(key, session, at, &csr).unwrap(),
        "csr": csr,
    })
}

async fn renew(gate: &Gate, body: &Value) -> Answer {
    gate.public(post("/v1/renew", body)).await
}

#[tokio::test]
async fn a_live_session_is_renewed_also_after_its_certificate_expired() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    gate.pass(2 * 3600);
    let answer = renew(&gate, &renewal(&ana.key, ana.session, gate.now())).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert_eq!(answer.at("not_after"), gate.now().plus(secs(3600)));
    let read = ClientCertificate::read(&answer.certificate()).unwrap();
    assert_eq!(read.session, ana.session);
    assert!(gate.log().contains("\"change\":\"renewed\""));
    let fresh = Client {
        certificate: answer.certificate(),
        ..ana
    };
    assert_eq!(
        gate.public(get("/v1/whoami").by(&fresh)).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_certificate_never_outlives_its_session() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    gate.pass(8 * 3600 - 60);
    let answer = renew(&gate, &renewal(&ana.key, ana.session, gate.now())).await;
    assert_eq!(answer.at("not_after"), gate.now().plus(secs(60)));
    assert_eq!(answer.at("session_expires"), gate.now().plus(secs(60)));
    gate.pass(60);
    let answer = renew(&gate, &renewal(&ana.key, ana.session, gate.now())).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.error(), "the session expired");
}

#[tokio::test]
async fn only_the_enrolled_key_renews() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    let thief = ClientKey::generate().unwrap();
    let other_key = renew(&gate, &renewal(&thief, ana.session, gate.now())).await;
    assert_eq!(other_key.status, StatusCode::UNAUTHORIZED);
    // Ana's request, copied, with a proof by the thief's key.
    let mut body = renewal(&ana.key, ana.session, gate.now());
    let csr = body["csr"].as_str().unwrap();
    body["proof"] = json!(proof::sign(&thief, ana.session, gate.now(), csr).unwrap());
    assert_eq!(renew(&gate, &body).await.status, StatusCode::UNAUTHORIZED);
    // A stolen certificate does not help: renewal does not look at it.
    let mut request = post("/v1/renew", &renewal(&thief, ana.session, gate.now()));
    request = request.by(&ana);
    assert_eq!(gate.public(request).await.status, StatusCode::UNAUTHORIZED);
    assert!(!gate.log().contains("\"change\":\"renewed\""));
}

#[tokio::test]
async fn an_old_or_early_proof_is_refused() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    let body = renewal(&ana.key, ana.session, gate.now());
    gate.pass(301);
    assert_eq!(renew(&gate, &body).await.status, StatusCode::UNAUTHORIZED);
    let early = renewal(&ana.key, ana.session, gate.now().plus(secs(301)));
    assert_eq!(renew(&gate, &early).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_ended_session_is_not_renewed_and_says_why_to_its_holder_only() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    let path = format!("/v1/sessions/{}/end", ana.session);
    gate.admin(post(&path, &json!({ "reason": "laptop stolen" })))
        .await;
    let answer = renew(&gate, &renewal(&ana.key, ana.session, gate.now())).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        answer.error(),
        "the session was ended by local administrator: laptop stolen"
    );
    let stranger = ClientKey::generate().unwrap();
    let answer = renew(&gate, &renewal(&stranger, ana.session, gate.now())).await;
    assert!(!answer.error().contains("stolen"), "{}", answer.error());
}

#[tokio::test]
async fn a_removed_person_is_not_renewed() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    gate.admin(delete("/v1/people/ana")).await;
    // The same name given anew is someone else.
    gate.person("ana", &["admin"]).await;
    let answer = renew(&gate, &renewal(&ana.key, ana.session, gate.now())).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer.error(), "the person was removed");
}

#[tokio::test]
async fn nothing_is_renewed_unrecorded_and_unknown_sessions_are_not() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &[]).await;
    let unknown = SessionId::from_uuid(Uuid::new_v4());
    let answer = renew(&gate, &renewal(&ana.key, unknown, gate.now())).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    gate.break_log().await;
    let answer = renew(&gate, &renewal(&ana.key, ana.session, gate.now())).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.get("certificate").is_none());
}
