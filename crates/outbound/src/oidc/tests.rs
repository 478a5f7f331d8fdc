//! An issuer on this machine signs real tokens; it signs them itself, not with the library that
//! verifies them.

mod hostile;
mod published;

use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Reply, Server};

const NOW: i64 = 1_795_600_000;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

/// Keys of the issuer, and those of somebody else.
struct Keys {
    rsa: RsaKeyPair,
    other_rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
    other_rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
    p256: EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
    p384: EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
    ed25519: Ed25519KeyPair::generate().unwrap(),
});

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa_sign(key: &RsaKeyPair, algorithm: &str, message: &[u8]) -> Vec<u8> {
    let encoding: &dyn signature::RsaEncoding = match algorithm {
        "RS384" => &signature::RSA_PKCS1_SHA384,
        "RS512" => &signature::RSA_PKCS1_SHA512,
        "PS256" => &signature::RSA_PSS_SHA256,
        "PS384" => &signature::RSA_PSS_SHA384,
        "PS512" => &signature::RSA_PSS_SHA512,
        _ => &signature::RSA_PKCS1_SHA256,
    };
    let mut signed = vec![0; key.public_modulus_len()];
    key.sign(encoding, &SystemRandom::new(), message, &mut signed)
        .unwrap();
    signed
}

fn sign(algorithm: &str, message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    match algorithm {
        "ES256" => KEYS.p256.sign(&random, message).unwrap().as_ref().to_vec(),
        "ES384" => KEYS.p384.sign(&random, message).unwrap().as_ref().to_vec(),
        "EdDSA" => KEYS.ed25519.sign(message).as_ref().to_vec(),
        rsa => rsa_sign(&KEYS.rsa, rsa, message),
    }
}

fn kid(algorithm: &str) -> &'static str {
    match algorithm {
        "ES256" => "p256",
        "ES384" => "p384",
        "EdDSA" => "ed25519",
        _ => "rsa",
    }
}

/// Modulus and exponent of a public key, out of its `RSAPublicKey` in DER.
fn rsa_numbers(key: &RsaKeyPair) -> (String, String) {
    let der = key.public_key().as_ref();
    let modulus = der.len() - 5 - key.public_modulus_len();
    let modulus = &der[modulus..][..key.public_modulus_len()];
    (b64(modulus), b64(&der[der.len() - 3..]))
}

fn rsa_jwk(kid: &str, key: &RsaKeyPair) -> Value {
    let (n, e) = rsa_numbers(key);
    json!({ "kty": "RSA", "kid": kid, "use": "sig", "n": n, "e": e })
}

fn ec_jwk(kid: &str, curve: &str, key: &EcdsaKeyPair) -> Value {
    let point = &key.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    json!({ "kty": "EC", "crv": curve, "kid": kid, "x": b64(x), "y": b64(y) })
}

fn all_keys() -> Value {
    json!({ "keys": [
        rsa_jwk("rsa", &KEYS.rsa),
        ec_jwk("p256", "P-256", &KEYS.p256),
        ec_jwk("p384", "P-384", &KEYS.p384),
        { "kty": "OKP", "crv": "Ed25519", "kid": "ed25519", "key_ops": ["verify"],
          "x": b64(KEYS.ed25519.public_key().as_ref()) },
        { "kty": "oct", "kid": "secret", "k": b64("secret") },
        { "kty": "RSA", "kid": "encryption", "use": "enc", "n": "AQAB", "e": "AQAB" },
    ]})
}

/// An issuer whose documents can be changed.
struct Host {
    server: Server,
    keys: Arc<Mutex<Reply>>,
    discovery: Arc<Mutex<Option<Reply>>>,
}

impl Host {
    async fn new() -> Self {
        let keys = Arc::new(Mutex::new(Reply::json(&all_keys())));
        let discovery: Arc<Mutex<Option<Reply>>> = Arc::default();
        let (served, found) = (keys.clone(), discovery.clone());
        let server = Server::start(move |request| {
            if request.path != "/.well-known/openid-configuration" {
                return served.lock().unwrap().clone();
            }
            let usual = || {
                let issuer = format!("http://{}", request.header("host"));
                Reply::json(&json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/jwks") }))
            };
            found.lock().unwrap().clone().unwrap_or_else(usual)
        })
        .await;
        Self {
            server,
            keys,
            discovery,
        }
    }

    fn issuers(&self) -> Issuers {
        self.issuers_with(json!({}))
    }

    fn issuers_with(&self, over: Value) -> Issuers {
        let mut config = json!({
            "name": "ci", "issuer": self.server.url(), "audiences": ["kubestile", "second"],
        });
        for (name, value) in over.as_object().unwrap() {
            config[name] = value.clone();
        }
        Issuers::new(vec![serde_json::from_value(config).unwrap()]).unwrap()
    }

    fn publishes(&self, keys: &Value) {
        *self.keys.lock().unwrap() = Reply::json(keys);
    }

    /// Claims of an honest token, in the shape of GitHub's.
    fn claims(&self) -> Value {
        json!({
            "iss": self.server.url(),
            "sub": "repo:acme/shop:environment:production",
            "aud": "kubestile",
            "jti": "6f4762ed-0758-4ccb-808d-ee3af5d723a8",
            "exp": NOW + 600, "iat": NOW - 10, "nbf": NOW - 310,
            "repository": "acme/shop", "repository_id": "74",
            "ref": "refs/heads/main", "environment": "production",
            "job_workflow_ref": "acme/ci/.github/workflows/deploy.yml@refs/heads/main",
            "actor": "ana", "run_id": 30433642, "ref_protected": true,
            "groups_direct": ["acme"], "nothing": null,
        })
    }

    /// The claims with some changed.
    fn with(&self, over: Value) -> Value {
        let mut claims = self.claims();
        for (name, value) in over.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }
}

fn header(algorithm: &str) -> Value {
    json!({ "alg": algorithm, "kid": kid(algorithm), "typ": "JWT" })
}

/// A token of any header and claims, signed as `algorithm` says, whatever the header says.
fn token(algorithm: &str, header: impl ToString, claims: impl ToString) -> String {
    let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let signature = sign(algorithm, signed.as_bytes());
    format!("{signed}.{}", b64(signature))
}

fn honest(host: &Host, claims: &Value) -> String {
    let _ = host;
    token("RS256", header("RS256"), claims)
}

async fn verify(issuers: &Issuers, token: &str, now: i64) -> Result<Claims, OidcError> {
    issuers
        .verify(&Secret::new(token.to_owned()), at(now))
        .await
}

#[tokio::test]
async fn an_honest_token_holds_with_every_accepted_algorithm() {
    let host = Host::new().await;
    let issuers = host.issuers();
    for algorithm in [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
    ] {
        let token = token(algorithm, header(algorithm), host.claims());
        let claims = verify(&issuers, &token, NOW).await;
        let claims = claims.unwrap_or_else(|e| panic!("{algorithm}: {e}"));
        assert_eq!(claims.issuer(), "ci");
        assert_eq!(claims.subject(), "repo:acme/shop:environment:production");
        assert_eq!(claims.audience(), "kubestile");
        assert_eq!(claims.expires(), at(NOW + 600));
        assert_eq!(
            claims.token_id(),
            Some("6f4762ed-0758-4ccb-808d-ee3af5d723a8")
        );
        assert_eq!(claims.get("repository"), Some("acme/shop"));
        assert_eq!(claims.get("run_id"), Some("30433642"));
        assert_eq!(claims.get("ref_protected"), Some("true"));
        assert_eq!(claims.get("groups_direct"), None);
        assert_eq!(claims.get("nothing"), None);
    }
    assert_eq!(host.server.seen().len(), 2, "discovery and keys, once");
}

#[tokio::test]
async fn what_is_still_honest() {
    let host = Host::new().await;
    let issuers = host.issuers();
    for over in [
        json!({ "aud": ["kubestile"] }),
        json!({ "aud": "second" }),
        json!({ "exp": NOW - 59, "iat": NOW - 600, "nbf": NOW - 600 }),
        json!({ "iat": NOW + 60, "nbf": NOW + 60 }),
        json!({ "iat": NOW - 10, "exp": NOW + 3590 }),
    ] {
        let token = honest(&host, &host.with(over.clone()));
        verify(&issuers, &token, NOW)
            .await
            .unwrap_or_else(|e| panic!("{over}: {e}"));
    }
    let mut plain = host.claims();
    for claim in ["jti", "nbf"] {
        plain.as_object_mut().unwrap().remove(claim);
    }
    verify(&issuers, &honest(&host, &plain), NOW).await.unwrap();
    let untyped = json!({ "alg": "RS256", "kid": "rsa", "x5t": "abc" });
    verify(&issuers, &token("RS256", untyped, host.claims()), NOW)
        .await
        .unwrap();
}

#[test]
fn configurations_that_are_refused() {
    let good = json!({ "name": "ci", "issuer": "https://a.example", "audiences": ["kubestile"] });
    let parse = |value: &Value| serde_json::from_value::<IssuerConfig>(value.clone());
    assert!(Issuers::new(vec![parse(&good).unwrap()]).is_ok());
    for (name, value) in [
        ("issuer", json!("http://a.example")),
        ("issuer", json!("https://u:p@a.example")),
        ("issuer", json!("https://a.example?x=y")),
        ("issuer", json!("a.example")),
        ("audiences", json!([])),
        ("audiences", json!([""])),
        ("name", json!("Not A Label")),
        ("refreshSeconds", json!(0)),
        ("keepSeconds", json!(1_000_000)),
        ("maxLifeSeconds", json!(1)),
        ("caFile", json!("/nonexistent")),
    ] {
        let mut config = good.clone();
        config[name] = value.clone();
        assert!(
            Issuers::new(vec![parse(&config).unwrap()]).is_err(),
            "{name} {value}"
        );
    }
    let twice = vec![parse(&good).unwrap(), parse(&good).unwrap()];
    assert!(Issuers::new(twice).is_err());
    let mut typo = good;
    typo["audience"] = json!("kubestile");
    assert!(parse(&typo).is_err());
}
