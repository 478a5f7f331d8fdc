//! Tokens that must be refused. Each differs from an honest one in one thing.

use aws_lc_rs::hmac;

use super::*;

/// Signed with HMAC, whatever the key.
fn hmac_token(algorithm: &str, header: &Value, claims: &Value, key: &[u8]) -> String {
    let kind = match algorithm {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let signature = hmac::sign(&hmac::Key::new(kind, key), signed.as_bytes());
    format!("{signed}.{}", b64(signature.as_ref()))
}

fn resigned(token: &str, signature: &[u8]) -> String {
    let (signed, _) = token.rsplit_once('.').unwrap();
    format!("{signed}.{}", b64(signature))
}

fn signature_of(token: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD
        .decode(token.rsplit_once('.').unwrap().1)
        .unwrap()
}

/// What it is, and the token.
type Cases = Vec<(String, String)>;
/// Whether an error is the one.
type Expected = fn(&OidcError) -> bool;

fn headers(host: &Host) -> Cases {
    let claims = host.claims();
    let over = |name: &str, value: Value| {
        let mut header = header("RS256");
        header[name] = value;
        header
    };
    let mut cases: Cases = Vec::new();
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("None")),
        ("alg", json!("")),
        ("alg", json!(null)),
        ("alg", json!(256)),
        ("alg", json!(["RS256"])),
        ("alg", json!("rs256")),
        ("alg", json!("RS256 ")),
        ("alg", json!("RS1")),
        ("alg", json!("HS256")),
        ("alg", json!("ES512")),
        ("alg", json!("ES256K")),
        ("alg", json!("RS384")),
        ("alg", json!("PS256")),
        ("alg", json!("ES256")),
        ("alg", json!("EdDSA")),
        ("kid", json!(null)),
        ("kid", json!("")),
        ("kid", json!(1)),
        ("kid", json!("unknown")),
        ("kid", json!("RSA")),
        ("kid", json!("secret")),
        ("kid", json!("encryption")),
        ("kid", json!("../../dev/null")),
        ("kid", json!("rsa' OR '1'='1")),
        ("kid", json!("rsa\u{0}")),
        ("kid", json!("a".repeat(300))),
        ("kid", json!("p256")),
        ("jku", json!("https://evil.example/jwks")),
        ("jwk", rsa_jwk("rsa", &KEYS.other_rsa)),
        ("x5u", json!("https://evil.example/x")),
        ("x5c", json!(["MII="])),
        ("crit", json!([])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("cty", json!("JWT")),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("typ", json!("at+jwt")),
        ("typ", json!("secevent+jwt")),
        ("typ", json!("")),
        ("typ", json!(1)),
    ] {
        let forged = token("RS256", over(name, value.clone()), &claims);
        cases.push((format!("header {name} {value}"), forged));
    }
    let missing = json!({ "kid": "rsa" });
    cases.push(("no alg".to_owned(), token("RS256", missing, &claims)));
    let missing = json!({ "alg": "RS256" });
    cases.push(("no kid".to_owned(), token("RS256", missing, &claims)));
    for text in [
        r#"{"alg":"none","alg":"RS256","kid":"rsa"}"#,
        r#"{"alg":"RS256","alg":"none","kid":"rsa"}"#,
        r#"{"alg":"RS256","kid":"x","kid":"rsa"}"#,
        r#"{"alg":"RS256","\u006bid":"x","kid":"rsa"}"#,
        r#"[{"alg":"RS256","kid":"rsa"}]"#,
        r#"{"alg":"RS256","kid":"rsa"}{}"#,
        r#"{"alg":"RS256","kid":"rsa""#,
        "\u{feff}{\"alg\":\"RS256\",\"kid\":\"rsa\"}",
        "",
    ] {
        cases.push((format!("header {text}"), token("RS256", text, &claims)));
    }
    let padding = over("pad", json!("a".repeat(3000)));
    cases.push(("large header".to_owned(), token("RS256", padding, &claims)));
    cases
}

fn signatures(host: &Host) -> Cases {
    let claims = host.claims();
    let good = honest(host, &claims);
    let signature = signature_of(&good);
    let mut flipped = signature.clone();
    flipped[100] ^= 1;
    let other = honest(host, &host.with(json!({ "repository": "evil/shop" })));
    let (signed, _) = good.rsplit_once('.').unwrap();
    let stolen = rsa_sign(&KEYS.other_rsa, "RS256", signed.as_bytes());
    let elliptic = token("ES256", header("ES256"), &claims);
    let (n, _) = rsa_numbers(&KEYS.rsa);
    let der = KEYS.rsa.public_key().as_ref();
    let mut cases: Cases = vec![
        ("empty signature".to_owned(), format!("{signed}.")),
        ("short".to_owned(), resigned(&good, &signature[..255])),
        (
            "long".to_owned(),
            resigned(&good, &[signature.clone(), vec![0]].concat()),
        ),
        ("flipped".to_owned(), resigned(&good, &flipped)),
        (
            "of another token".to_owned(),
            resigned(&good, &signature_of(&other)),
        ),
        ("by another key".to_owned(), resigned(&good, &stolen)),
        ("zeros".to_owned(), resigned(&good, &[0; 256])),
        ("ones".to_owned(), resigned(&good, &[255; 256])),
        ("elliptic zeros".to_owned(), resigned(&elliptic, &[0; 64])),
        ("elliptic, empty".to_owned(), resigned(&elliptic, &[])),
        ("elliptic, flipped".to_owned(), {
            let mut signature = signature_of(&elliptic);
            signature[10] ^= 1;
            resigned(&elliptic, &signature)
        }),
        ("elliptic in DER".to_owned(), {
            let signature = signature_of(&elliptic);
            let (r, s) = signature.split_at(32);
            let der = [&[0x30, 0x44, 2, 32][..], r, &[2, 32], s].concat();
            resigned(&elliptic, &der)
        }),
        ("padded signature".to_owned(), format!("{good}==")),
    ];
    for algorithm in ["HS256", "HS384", "HS512"] {
        for (what, key) in [
            ("modulus", n.as_bytes()),
            ("DER", der),
            ("nothing", b""),
            ("kid", b"rsa"),
        ] {
            let forged = hmac_token(algorithm, &header(algorithm), &claims, key);
            cases.push((format!("{algorithm} with {what}"), forged));
            let confused = hmac_token(algorithm, &header("RS256"), &claims, key);
            cases.push((format!("{algorithm} as RS256 with {what}"), confused));
        }
    }
    let symmetric = json!({ "alg": "HS256", "kid": "secret", "typ": "JWT" });
    let forged = hmac_token("HS256", &symmetric, &claims, b"secret");
    cases.push(("a published symmetric key".to_owned(), forged));
    cases
}

fn forms(host: &Host) -> Cases {
    let good = honest(host, &host.claims());
    let parts: Vec<&str> = good.split('.').collect();
    let [header_part, claims_part, signature] = parts.as_slice() else {
        panic!("a token has three parts");
    };
    let case = |what: &str, token: String| (what.to_owned(), token);
    vec![
        case("nothing", String::new()),
        case("dots", "..".to_owned()),
        case("two parts", format!("{header_part}.{claims_part}")),
        case("four parts", format!("{good}.{signature}")),
        case("five parts", format!("{good}.{signature}.{signature}")),
        case("a scheme in front", format!("Bearer {good}")),
        case("a line feed behind", format!("{good}\n")),
        case("a space inside", good.replacen('.', ". ", 1)),
        case("a NUL behind", format!("{good}\0")),
        case(
            "padding",
            format!("{header_part}=.{claims_part}.{signature}"),
        ),
        case(
            "the other alphabet",
            format!("{header_part}.{claims_part}.{}", "+/".repeat(171)),
        ),
        case(
            "parts changed round",
            format!("{claims_part}.{header_part}.{signature}"),
        ),
        case(
            "json",
            json!({ "protected": header_part, "payload": claims_part, "signature": signature })
                .to_string(),
        ),
        case("nested", token("RS256", header("RS256"), &good)),
        case("a text", token("RS256", header("RS256"), json!(good))),
        case(
            "an array",
            token("RS256", header("RS256"), json!([host.claims()])),
        ),
        case(
            "large",
            honest(
                host,
                &host.with(json!({ "groups_direct": vec!["acme"; 4000] })),
            ),
        ),
        case("very large", "a".repeat(1 << 20)),
    ]
}

fn claims(host: &Host) -> Cases {
    let url = host.server.url();
    let mut cases: Cases = Vec::new();
    for over in [
        json!({ "iss": null }),
        json!({ "iss": "" }),
        json!({ "iss": [url] }),
        json!({ "iss": format!("{url}/") }),
        json!({ "iss": url.to_uppercase() }),
        json!({ "iss": url.replace("http:", "https:") }),
        json!({ "iss": "https://token.actions.githubusercontent.com" }),
        json!({ "sub": null }),
        json!({ "sub": "" }),
        json!({ "sub": 1 }),
        json!({ "sub": "a\u{0}b" }),
        json!({ "aud": null }),
        json!({ "aud": "" }),
        json!({ "aud": "other" }),
        json!({ "aud": "kubestile.evil.example" }),
        json!({ "aud": "Kubestile" }),
        json!({ "aud": "kubestile second" }),
        json!({ "aud": [] }),
        json!({ "aud": ["other"] }),
        json!({ "aud": ["kubestile", "other"] }),
        json!({ "aud": ["kubestile", "kubestile"] }),
        json!({ "aud": [["kubestile"]] }),
        json!({ "aud": { "kubestile": true } }),
        json!({ "aud": 1 }),
        json!({ "exp": null }),
        json!({ "exp": NOW - 60 }),
        json!({ "exp": NOW - 86_400 }),
        json!({ "exp": (NOW + 600).to_string() }),
        json!({ "exp": 1_795_600_600.5 }),
        json!({ "exp": 1e300 }),
        json!({ "exp": -1 }),
        json!({ "exp": true }),
        json!({ "exp": i64::MAX }),
        json!({ "exp": u64::MAX }),
        json!({ "exp": NOW + 86_400 }),
        json!({ "iat": NOW - 3000 , "exp": NOW + 601 }),
        json!({ "iat": null }),
        json!({ "iat": NOW + 61 }),
        json!({ "iat": NOW + 600 }),
        json!({ "iat": "yesterday" }),
        json!({ "iat": -5 }),
        json!({ "nbf": NOW + 61 }),
        json!({ "nbf": "x" }),
        json!({ "nbf": null }),
        json!({ "jti": 5 }),
        json!({ "jti": "" }),
        json!({ "actor": "a\nb" }),
        json!({ "actor": "a".repeat(3000) }),
    ] {
        cases.push((over.to_string(), honest(host, &host.with(over))));
    }
    for name in ["iss", "sub", "aud", "exp", "iat"] {
        let mut claims = host.claims();
        claims.as_object_mut().unwrap().remove(name);
        cases.push((format!("no {name}"), honest(host, &claims)));
    }
    let text = host.claims().to_string();
    let body = text.strip_suffix('}').unwrap();
    for twice in [
        format!("{body},\"iss\":{:?}}}", host.server.url()),
        format!("{body},\"aud\":\"kubestile\"}}"),
        format!("{body},\"exp\":{}}}", NOW + 600),
        format!("{body},\"repository\":\"acme/shop\"}}"),
        format!("{body},\"repo\\u0073itory\":\"acme/shop\"}}"),
        format!("{body},\"x\":{{\"a\":1,\"a\":1}}}}"),
        format!("{text} {text}"),
    ] {
        let token = token("RS256", header("RS256"), &twice);
        cases.push((format!("twice: {}", twice.trim_start_matches(body)), token));
    }
    let mut many = host.claims();
    for n in 0..100 {
        many[format!("claim{n}")] = json!("x");
    }
    cases.push(("many claims".to_owned(), honest(host, &many)));
    cases
}

#[tokio::test]
async fn every_hostile_token_is_refused() {
    let host = Host::new().await;
    let issuers = host.issuers();
    verify(&issuers, &honest(&host, &host.claims()), NOW)
        .await
        .expect("the one that all the others differ from");
    let cases = [
        headers(&host),
        signatures(&host),
        forms(&host),
        claims(&host),
    ]
    .concat();
    assert!(cases.len() >= 150, "{}", cases.len());
    for (what, token) in cases {
        let refused = verify(&issuers, &token, NOW).await;
        let Err(error) = refused else {
            panic!("{what} was accepted");
        };
        assert!(!error.is_temporary(), "{what}: {error}");
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains("eyJ") && !shown.contains("acme/shop"),
            "{what}: {shown}"
        );
    }
    let fetched = host.server.seen().len();
    assert_eq!(
        fetched, 2,
        "unknown keys right after a look are not looked for again"
    );
    assert!(
        host.server
            .seen()
            .iter()
            .all(|request| !request.path.contains("evil"))
    );
}

#[tokio::test]
async fn errors_say_which_it_was() {
    let host = Host::new().await;
    let issuers = host.issuers();
    let cases: Vec<(Value, Expected)> = vec![
        (json!({ "exp": NOW - 60, "iat": NOW - 600 }), |e| {
            matches!(e, OidcError::Expired)
        }),
        (json!({ "iat": NOW + 61 }), |e| {
            matches!(e, OidcError::NotYet)
        }),
        (json!({ "exp": NOW + 7200 }), |e| {
            matches!(e, OidcError::TooLong)
        }),
        (json!({ "aud": "other" }), |e| {
            matches!(e, OidcError::Audience)
        }),
        (json!({ "iss": "https://other.example" }), |e| {
            matches!(e, OidcError::UnknownIssuer)
        }),
    ];
    for (over, expected) in cases {
        let error = verify(&issuers, &honest(&host, &host.with(over.clone())), NOW)
            .await
            .unwrap_err();
        assert!(expected(&error), "{over}: {error:?}");
    }
}

#[tokio::test]
async fn a_time_far_from_that_of_the_token_refuses_it() {
    let host = Host::new().await;
    let issuers = host.issuers();
    let token = honest(&host, &host.claims());
    for now in [0, -1, NOW - 71, NOW + 660, i64::MAX / 2_000_000] {
        assert!(verify(&issuers, &token, now).await.is_err(), "{now}");
    }
}
