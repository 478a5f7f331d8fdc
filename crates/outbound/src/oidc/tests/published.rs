//! What an issuer publishes: rotated, missing, late, and hostile.

use super::*;

#[tokio::test]
async fn many_tokens_at_once_are_one_question() {
    let host = Host::new().await;
    let issuers = Arc::new(host.issuers());
    let token = honest(&host, &host.claims());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (issuers, token) = (issuers.clone(), token.clone());
        tasks.spawn(async move { verify(&issuers, &token, NOW).await.is_ok() });
    }
    while let Some(held) = tasks.join_next().await {
        assert!(held.unwrap());
    }
    assert_eq!(host.server.seen().len(), 2);
}

#[tokio::test]
async fn a_new_key_is_found_and_an_old_one_is_gone() {
    let host = Host::new().await;
    let issuers = host.issuers();
    let old = honest(&host, &host.claims());
    verify(&issuers, &old, NOW).await.unwrap();

    host.publishes(&json!({ "keys": [ec_jwk("new", "P-256", &KEYS.p256)] }));
    let header = json!({ "alg": "ES256", "kid": "new" });
    let new = token("ES256", header, host.claims());
    let early = verify(&issuers, &new, NOW + 59).await.unwrap_err();
    assert!(matches!(early, OidcError::UnknownKey), "{early:?}");
    assert_eq!(host.server.seen().len(), 2, "not yet");
    verify(&issuers, &new, NOW + 60).await.unwrap();
    assert_eq!(host.server.seen().len(), 4);
    let gone = verify(&issuers, &old, NOW + 61).await.unwrap_err();
    assert!(matches!(gone, OidcError::UnknownKey), "{gone:?}");
}

#[tokio::test]
async fn keys_are_not_used_for_ever() {
    let host = Host::new().await;
    let issuers = host.issuers_with(json!({ "keepSeconds": 300 }));
    let token = honest(&host, &host.claims());
    verify(&issuers, &token, NOW).await.unwrap();
    // The issuer takes its key back, and is then not to be reached.
    *host.keys.lock().unwrap() = Reply::status(503, &json!({}));
    verify(&issuers, &token, NOW + 299).await.unwrap();
    let error = verify(&issuers, &token, NOW + 300).await.unwrap_err();
    assert!(
        matches!(error, OidcError::Published { .. }) && error.is_temporary(),
        "{error:?}"
    );
    let asked = host.server.seen().len();
    let error = verify(&issuers, &token, NOW + 301).await.unwrap_err();
    assert!(matches!(error, OidcError::Published { .. }), "{error:?}");
    assert_eq!(host.server.seen().len(), asked, "not asked again at once");
    host.publishes(&all_keys());
    verify(&issuers, &token, NOW + 360).await.unwrap();
}

#[tokio::test]
async fn a_failed_look_does_not_harm_keys_that_still_hold() {
    let host = Host::new().await;
    let issuers = host.issuers();
    let good = honest(&host, &host.claims());
    verify(&issuers, &good, NOW).await.unwrap();
    *host.keys.lock().unwrap() = Reply::html();
    let header = json!({ "alg": "RS256", "kid": "nobody" });
    let forged = token("RS256", header, host.claims());
    assert!(verify(&issuers, &forged, NOW + 120).await.is_err());
    verify(&issuers, &good, NOW + 121).await.unwrap();
}

#[tokio::test]
async fn key_sets_that_are_refused() {
    let host = Host::new().await;
    let token = honest(&host, &host.claims());
    let good = rsa_jwk("rsa", &KEYS.rsa);
    let over = |changes: Value| {
        let mut key = good.clone();
        for (name, value) in changes.as_object().unwrap() {
            key[name] = value.clone();
        }
        json!({ "keys": [key] })
    };
    let (n, _) = rsa_numbers(&KEYS.rsa);
    let many: Vec<Value> = (0..65)
        .map(|i| over(json!({ "kid": i.to_string() }))["keys"][0].clone())
        .collect();
    let even = {
        let mut modulus = URL_SAFE_NO_PAD.decode(&n).unwrap();
        modulus.truncate(128);
        b64(modulus)
    };
    let whole = serde_json::to_string(&json!({ "keys": [good] })).unwrap();
    let twice = whole.replacen("{\"keys\"", "{\"keys\":[],\"keys\"", 1);
    let kind = || vec![("content-type", "application/json".to_owned())];
    for (what, reply) in [
        ("no keys", Reply::json(&json!({ "keys": [] }))),
        ("no list", Reply::json(&json!({ "keys": {} }))),
        ("nothing", Reply::json(&json!({}))),
        ("an array", Reply::json(&json!([good]))),
        ("65 keys", Reply::json(&json!({ "keys": many }))),
        (
            "one id twice",
            Reply::json(&json!({ "keys": [good, good] })),
        ),
        ("a private key", Reply::json(&over(json!({ "d": "AQAB" })))),
        (
            "for encryption",
            Reply::json(&over(json!({ "use": "enc" }))),
        ),
        (
            "no use that is known",
            Reply::json(&over(json!({ "use": null }))),
        ),
        (
            "for signing",
            Reply::json(&over(json!({ "key_ops": ["sign"] }))),
        ),
        (
            "for another algorithm",
            Reply::json(&over(json!({ "alg": "RS512" }))),
        ),
        (
            "for a symmetric algorithm",
            Reply::json(&over(json!({ "alg": "HS256" }))),
        ),
        (
            "symmetric",
            Reply::json(&over(json!({ "kty": "oct", "k": "AQAB" }))),
        ),
        ("no id", Reply::json(&over(json!({ "kid": null })))),
        ("1024 bits", Reply::json(&over(json!({ "n": even })))),
        ("exponent 1", Reply::json(&over(json!({ "e": "AQ" })))),
        ("exponent 2", Reply::json(&over(json!({ "e": "Ag" })))),
        ("no modulus", Reply::json(&over(json!({ "n": "" })))),
        (
            "a modulus of zeros",
            Reply::json(&over(json!({ "n": b64([0; 256]) }))),
        ),
        (
            "an odd alphabet",
            Reply::json(&over(json!({ "n": "+/==" }))),
        ),
        (
            "a key that is a text",
            Reply::json(&json!({ "keys": ["rsa"] })),
        ),
        ("a name twice", Reply::Whole(200, kind(), twice.into())),
        ("html", Reply::html()),
        ("no type", Reply::Whole(200, Vec::new(), whole.into())),
        ("404", Reply::status(404, &json!({ "keys": [good] }))),
        (
            "a redirect",
            Reply::status(302, &json!({ "keys": [good] })).with("location", "/x"),
        ),
        ("endless", Reply::Endless),
    ] {
        *host.keys.lock().unwrap() = reply;
        let issuers = host.issuers();
        let refused = verify(&issuers, &token, NOW).await;
        assert!(refused.is_err(), "{what}");
    }
    *host.keys.lock().unwrap() =
        Reply::json(&over(json!({ "alg": "RS256", "key_ops": ["verify"] })));
    verify(&host.issuers(), &token, NOW)
        .await
        .expect("the one they differ from");
}

#[tokio::test]
async fn discovery_documents_that_are_refused() {
    let host = Host::new().await;
    let url = host.server.url();
    let token = honest(&host, &host.claims());
    let port = url.rsplit_once(':').unwrap().1.to_owned();
    let document =
        |issuer: &str, keys: &str| Reply::json(&json!({ "issuer": issuer, "jwks_uri": keys }));
    for (what, reply) in [
        (
            "another issuer",
            document("https://a.example", &format!("{url}/jwks")),
        ),
        (
            "a slash more",
            document(&format!("{url}/"), &format!("{url}/jwks")),
        ),
        (
            "no issuer",
            Reply::json(&json!({ "jwks_uri": format!("{url}/jwks") })),
        ),
        ("no keys", Reply::json(&json!({ "issuer": url }))),
        (
            "keys elsewhere, in the clear",
            document(&url, "http://a.example/jwks"),
        ),
        (
            "another port of this machine",
            document(&url, "http://127.0.0.1:1/jwks"),
        ),
        (
            "this machine by name",
            document(&url, &format!("http://localhost:{port}/jwks")),
        ),
        (
            "this machine, with TLS",
            document(&url, &format!("https://127.0.0.1:{port}/jwks")),
        ),
        (
            "metadata",
            document(&url, "https://169.254.169.254/latest/meta-data"),
        ),
        ("a file", document(&url, "file:///etc/passwd")),
        ("a password", document(&url, "https://u:p@a.example/jwks")),
        ("a relative address", document(&url, "/jwks")),
        ("html", Reply::html()),
        (
            "500",
            Reply::status(
                500,
                &json!({ "issuer": url, "jwks_uri": format!("{url}/jwks") }),
            ),
        ),
        ("endless", Reply::Endless),
    ] {
        *host.discovery.lock().unwrap() = Some(reply);
        let refused = verify(&host.issuers(), &token, NOW).await;
        assert!(refused.is_err(), "{what}");
    }
    *host.discovery.lock().unwrap() = Some(document(&url, &format!("{url}/keys")));
    verify(&host.issuers(), &token, NOW)
        .await
        .expect("the one they differ from");
}

#[tokio::test]
async fn an_issuer_of_another_name_is_not_asked() {
    let host = Host::new().await;
    let other = Host::new().await;
    let token = honest(&other, &other.claims());
    let error = verify(&host.issuers(), &token, NOW).await.unwrap_err();
    assert!(matches!(error, OidcError::UnknownIssuer), "{error:?}");
    assert_eq!(host.server.seen().len() + other.server.seen().len(), 0);
}
