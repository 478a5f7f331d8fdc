//! Pipelines that log in with the token of their job.

use super::outside::{Place, keep, until};
use super::*;

fn rules(over: Value) -> Value {
    let mut rule = json!({
        "issuer": "ci", "match": { "repository": "acme/shop", "ref": "refs/heads/main" },
        "name": "ci-{repository}", "functions": ["operator:shop@prod", "operator:cart@prod"],
        "maxTtlSeconds": 900,
    });
    for (name, value) in over.as_object().unwrap() {
        rule[name] = value.clone();
    }
    json!([rule])
}

fn exchange(token: &str, csr: Option<&str>) -> Builder {
    let escape = |text: &str| -> String { text.bytes().map(|b| format!("%{b:02X}")).collect() };
    let mut form = format!(
        "grant_type={}&subject_token={token}&subject_token_type={}&scope=ignored",
        escape(crate::api::EXCHANGE),
        escape(crate::api::TOKEN_TYPE),
    );
    if let Some(csr) = csr {
        form.push_str(&format!("&csr={}", escape(csr)));
    }
    let request = Request::post("/v1/token-exchange")
        .header("content-type", "application/x-www-form-urlencoded");
    build(request, Body::from(form))
}

#[tokio::test]
async fn a_job_gets_a_session_and_a_grant_that_end_with_its_token() {
    let place = Place::new().await;
    let gate = place.gate_with(rules(json!({}))).await;
    let _kept = keep(&gate);
    let key = ClientKey::generate().unwrap();
    let csr = key.csr_pem().unwrap();
    let token = place.token(&json!({}));
    let answer = gate.public(exchange(&token, Some(&csr))).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    assert_eq!(answer.body["token_type"], "N_A");
    assert_eq!(answer.body["person"], "ci-acme+shop");
    assert_eq!(
        answer.at("session_expires"),
        Timestamp::from_secs(START + 600)
    );
    let pem = answer.body["access_token"].as_str().unwrap();
    let job = Client {
        key,
        session: answer.body["session"].as_str().unwrap().parse().unwrap(),
        certificate: CertificateDer::from_pem_slice(pem.as_bytes()).unwrap(),
    };
    let who = gate.public(get("/v1/whoami").by(&job)).await;
    assert_eq!(who.body["person"], "ci-acme+shop", "{:?}", who.body);
    let person = gate.store.person_by_name("ci-acme+shop").unwrap();
    assert_eq!(person.kind, IdentityKind::Pipeline);
    assert!(person.functions.is_empty(), "nothing stands");

    let grants = gate
        .store
        .live_grants_of(person.id, job.session, gate.now());
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0].terms.words(), "operator in shop, cart on prod");
    assert_eq!(grants[0].expires, Timestamp::from_secs(START + 600));
    assert_eq!(grants[0].reason, "acme/shop@refs/heads/main run 77");

    // Another run of the same pipeline has nothing of it.
    let other = gate
        .public(exchange(&place.token(&json!({ "run_id": 78 })), None))
        .await;
    assert_eq!(other.body["token_type"], "Bearer");
    let session: SessionId = other.body["session"].as_str().unwrap().parse().unwrap();
    let of_other = gate.store.live_grants_of(person.id, session, gate.now());
    assert_eq!(of_other.len(), 1);
    assert_ne!(of_other[0].id, grants[0].id);
    let bearer = other.body["access_token"].as_str().unwrap();
    let who = gate.public(get("/v1/whoami").bearer(bearer)).await;
    assert_eq!(who.status, StatusCode::OK);

    // A run that logs out leaves nothing.
    let out = gate
        .public(post("/v1/logout", &json!({})).bearer(bearer))
        .await;
    assert_eq!(out.status, StatusCode::OK);
    let over = || gate.store.grant(of_other[0].id).unwrap().ended.is_some();
    until("the end of its grant", over).await;
    let log = gate.log();
    for word in [
        "the run that the grant was for is over",
        "pipeline added",
        "\"started\"",
    ] {
        assert!(log.contains(word), "{word}");
    }
    assert!(!log.contains(&token), "no token in the log");
    gate.pass(600);
    let who = gate.public(get("/v1/whoami").by(&job)).await;
    assert_eq!(who.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_starts_one_session() {
    let place = Place::new().await;
    let gate = place.gate_with(rules(json!({}))).await;
    let token = place.token(&json!({}));
    let first = gate.public(exchange(&token, None)).await;
    assert_eq!(first.status, StatusCode::OK);
    let again = gate.public(exchange(&token, None)).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
    assert_eq!(again.error(), "the token was used before");
    // The same id in another token is the same use.
    let id = json!({ "jti": "one" });
    assert_eq!(
        gate.public(exchange(&place.token(&id), None)).await.status,
        StatusCode::OK
    );
    let twin = place.token(&json!({ "jti": "one", "run_id": 99 }));
    assert_eq!(
        gate.public(exchange(&twin, None)).await.error(),
        "the token was used before"
    );
    assert_eq!(gate.store.sessions().len(), 2);
}

#[tokio::test]
async fn tokens_that_give_nothing() {
    let place = Place::new().await;
    let gate = place.gate_with(rules(json!({}))).await;
    gate.person("ci-acme+web", &[]).await;
    for (over, status, word) in [
        (
            json!({ "repository": "evil/shop" }),
            403,
            "no rule permits evil/shop",
        ),
        (
            json!({ "repository": "acme/shop2" }),
            403,
            "no rule permits",
        ),
        (
            json!({ "ref": "refs/heads/feature" }),
            403,
            "no rule permits",
        ),
        (
            json!({ "exp": START - 100, "iat": START - 700 }),
            401,
            "expired",
        ),
        (
            json!({ "exp": START - 1, "iat": START - 700 }),
            401,
            "expired",
        ),
        (
            json!({ "iat": START + 300, "exp": START + 900 }),
            401,
            "not hold yet",
        ),
        (json!({ "aud": "somebody" }), 401, "audience"),
        (json!({ "iss": "https://evil.example" }), 401, "issuer"),
        (json!({ "jti": null }), 401, "must be a text"),
    ] {
        let answer = gate
            .public(exchange(&place.token(&over), None).from("192.0.2.5:1"))
            .await;
        assert_eq!(answer.status.as_u16(), status, "{over}: {:?}", answer.body);
        assert!(answer.error().contains(word), "{over}: {}", answer.error());
        gate.pass(0);
        gate.store.sessions().is_empty().then_some(()).unwrap();
    }
    let forged = place.token(&json!({})) + "A";
    let answer = gate
        .public(exchange(&forged, None).from("192.0.2.6:1"))
        .await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let words = post("/v1/token-exchange", &json!({ "grant_type": "x" }));
    let answer = gate.public(words.from("192.0.2.7:1")).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(gate.store.grants().is_empty());
}

#[tokio::test]
async fn a_pipeline_never_has_the_name_of_a_person() {
    let place = Place::new().await;
    let gate = place.gate_with(rules(json!({}))).await;
    gate.person("CI-acme+shop", &["admin"]).await;
    let answer = gate.public(exchange(&place.token(&json!({})), None)).await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{:?}", answer.body);
    assert!(gate.store.sessions().is_empty());

    let gate = place.gate_with(rules(json!({}))).await;
    let answer = gate.public(exchange(&place.token(&json!({})), None)).await;
    assert_eq!(answer.status, StatusCode::OK);
    let add = post(
        "/v1/people",
        &json!({ "name": "ci-ACME+shop", "functions": [] }),
    );
    assert_eq!(gate.admin(add).await.status, StatusCode::CONFLICT);
    // Nor a login code, nor a standing function.
    let code = post("/v1/people/ci-acme+shop/codes", &json!({}));
    assert_eq!(gate.admin(code).await.status, StatusCode::BAD_REQUEST);
    let set = put(
        "/v1/people/ci-acme+shop/functions",
        &json!({ "functions": ["admin"] }),
    );
    assert_eq!(gate.admin(set).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_protected_pipeline_waits_for_somebody_else() {
    let place = Place::new().await;
    let gate = place.gate_with(rules(json!({ "approval": true }))).await;
    // ana set it off: at the issuer she is called ana-h.
    let ana = gate.client("ana", &["approver"]).await;
    let cleo = gate.client("cleo", &["approver"]).await;
    let (key, thief) = (
        ClientKey::generate().unwrap(),
        ClientKey::generate().unwrap(),
    );
    let (csr, stolen) = (key.csr_pem().unwrap(), thief.csr_pem().unwrap());
    let token = place.token(&json!({}));
    let waits = gate.public(exchange(&token, Some(&csr))).await;
    assert_eq!(waits.status, StatusCode::ACCEPTED, "{:?}", waits.body);
    let id = waits.body["request"].as_str().unwrap().to_owned();
    assert!(
        waits.body["url"]
            .as_str()
            .unwrap()
            .ends_with(&format!("8443/r/{id}"))
    );
    let again = gate.public(exchange(&token, Some(&csr))).await;
    assert_eq!(
        again.body["request"], waits.body["request"],
        "one request, however often"
    );
    let other = gate.public(exchange(&token, Some(&stolen))).await;
    assert_eq!(other.status, StatusCode::CONFLICT, "another key");

    let shown = gate
        .public(get(&format!("/v1/access/{id}")).by(&cleo))
        .await;
    assert_eq!(shown.body["reason"], "acme/shop@refs/heads/main run 77");
    let approve = || {
        post(
            &format!("/v1/access/{id}/approve"),
            &json!({ "digest": shown.body["digest"] }),
        )
    };
    let own = gate.public(approve().by(&ana)).await;
    assert_eq!(own.status, StatusCode::FORBIDDEN, "{:?}", own.body);
    let approved = gate.public(approve().by(&cleo)).await;
    assert_eq!(approved.status, StatusCode::OK, "{:?}", approved.body);
    assert!(gate.store.grants().is_empty(), "it comes for it");

    let done = gate.public(exchange(&token, Some(&csr))).await;
    assert_eq!(done.status, StatusCode::OK, "{:?}", done.body);
    let grants = gate.store.grants();
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0].approvers, ["cleo"]);
    assert_eq!(grants[0].access.unwrap().to_string(), id);
    let replayed = gate.public(exchange(&token, Some(&csr))).await;
    assert_eq!(replayed.error(), "the token was used before");
}

#[tokio::test]
async fn people_may_take_longer_than_a_token_lives_and_what_they_approve_is_used_once() {
    let place = Place::new().await;
    let gate = place.gate_with(rules(json!({ "approval": true }))).await;
    let cleo = gate.client("cleo", &["approver"]).await;
    let csr = || ClientKey::generate().unwrap().csr_pem().unwrap();
    let (own, stranger) = (csr(), csr());
    let ask = async |over: serde_json::Value, csr: Option<&String>| {
        let token = place.token(&over);
        let answer = gate.public(exchange(&token, csr.map(String::as_str)));
        let answer = answer.await;
        (answer.status, answer.body["request"].clone())
    };
    let first = ask(json!({}), Some(&own)).await;
    assert_eq!(first.0, StatusCode::ACCEPTED);
    let same = ask(json!({ "exp": START + 900 }), Some(&own)).await;
    assert_eq!(same, first, "a newer token of the same run, with the key");
    for (over, csr) in [
        (json!({}), Some(&stranger)),
        (json!({}), None),
        (json!({ "run_id": 78 }), Some(&own)),
    ] {
        let other = ask(over.clone(), csr).await;
        assert_eq!(other.0, StatusCode::ACCEPTED);
        assert_ne!(other.1, first.1, "{over} {}", csr.is_some());
    }

    let path = format!("/v1/access/{}", first.1.as_str().unwrap());
    let shown = gate.public(get(&path).by(&cleo)).await;
    let digest = json!({ "digest": shown.body["digest"] });
    let approve = post(&format!("{path}/approve"), &digest).by(&cleo);
    assert_eq!(gate.public(approve).await.status, StatusCode::OK);
    let thief = ask(json!({}), Some(&stranger)).await;
    assert_eq!(thief.0, StatusCode::ACCEPTED, "its own request, unanswered");
    let started = ask(json!({}), Some(&own)).await;
    assert_eq!(started.0, StatusCode::OK);
    assert_eq!(gate.store.grants().len(), 1);
    let again = ask(json!({}), Some(&own)).await;
    assert_eq!(again.0, StatusCode::ACCEPTED, "it was used");
    assert_ne!(again.1, first.1);
    assert_eq!(gate.store.grants().len(), 1);
}

#[tokio::test]
async fn what_is_denied_or_not_fetched_in_time_gives_nothing() {
    let place = Place::new().await;
    let gate = place.gate_with(rules(json!({ "approval": true }))).await;
    let cleo = gate.client("cleo", &["approver"]).await;
    let (denied, late) = (place.token(&json!({})), place.token(&json!({})));
    let open = async |token: &str| {
        let waits = gate.public(exchange(token, None)).await;
        let id = waits.body["request"].as_str().unwrap().to_owned();
        let shown = gate
            .public(get(&format!("/v1/access/{id}")).by(&cleo))
            .await;
        (id, shown.body["digest"].clone())
    };
    let (id, _) = open(&denied).await;
    let deny = post(
        &format!("/v1/access/{id}/deny"),
        &json!({ "reason": "freeze" }),
    )
    .by(&cleo);
    assert_eq!(gate.public(deny).await.status, StatusCode::OK);
    let answer = gate.public(exchange(&denied, None)).await;
    assert_eq!(answer.error(), "denied by cleo: freeze");

    let (id, digest) = open(&late).await;
    let approve = post(
        &format!("/v1/access/{id}/approve"),
        &json!({ "digest": digest }),
    )
    .by(&cleo);
    assert_eq!(gate.public(approve).await.status, StatusCode::OK);
    gate.pass(121);
    let answer = gate.public(exchange(&late, None)).await;
    assert_eq!(answer.error(), "the approval was not used in time");
    assert!(gate.store.grants().is_empty());
}

#[test]
fn rules_whose_functions_cannot_be_given_are_refused() {
    for (functions, approval, fine) in [
        (
            json!(["operator:shop@prod", "operator:cart@prod"]),
            true,
            true,
        ),
        (json!(["operator:shop@prod", "viewer"]), false, true),
        (json!(["operator:shop@prod", "viewer@prod"]), true, false),
        (json!(["operator:shop"]), true, false),
    ] {
        let over = json!({ "functions": functions, "approval": approval });
        let rules = serde_json::from_value::<Vec<_>>(rules(over)).unwrap();
        assert_eq!(
            crate::pipelines::check_rules(&rules).is_ok(),
            fine,
            "{functions}"
        );
    }
}
