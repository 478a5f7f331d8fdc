//! Tokens: JWTs (RFC 7519) as JWS in compact form (RFC 7515), read strictly.
//!
//! A header may say what the token is signed with (`alg`, `kid`) and what it is (`typ`). What asks the
//! reader to fetch or trust something (`jku`, `jwk`, `x5u`, `x5c`), to understand something (`crit`,
//! `b64`), or to look inside (`cty`, `enc`, `zip`) is refused.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kubestile_core::Timestamp;
use serde_json::{Map, Value};

use super::claims::Claims;
use super::config::IssuerConfig;
use super::error::OidcError;
use super::json;
use super::keys::Key;

/// The largest token, in bytes.
const TOKEN: usize = 16 * 1024;
/// The largest header, in bytes of base64.
const HEADER: usize = 2 * 1024;
/// Claims at most.
const CLAIMS: usize = 96;
/// Longest text of a claim, in bytes.
const TEXT: usize = 2048;
/// Between our clock and the issuer's.
const LEEWAY: i64 = 60;
/// Longest life where nothing else is configured.
const MAX_LIFE: u32 = 3600;
/// The last second of the year 9999; no honest time is later.
const LAST: i64 = 253_402_300_799;

const REFUSED: [&str; 9] = [
    "crit", "b64", "jku", "jwk", "x5u", "x5c", "cty", "enc", "zip",
];

/// An accepted algorithm (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// By its exact name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// A token that can be read. Nothing in it is true yet.
pub(super) struct Token<'t> {
    /// Header and claims as they were signed.
    signed: &'t str,
    signature: &'t str,
    algorithm: Algorithm,
    kid: String,
    issuer: String,
    claims: Map<String, Value>,
}

/// Claims whose signature holds.
pub(super) struct Signed(Map<String, Value>);

impl<'t> Token<'t> {
    pub(super) fn parse(text: &'t str) -> Result<Self, OidcError> {
        let malformed = OidcError::Malformed;
        if text.len() > TOKEN {
            return Err(malformed("it is larger than 16 KiB"));
        }
        let (signed, signature) = text
            .rsplit_once('.')
            .ok_or(malformed("it does not have three parts"))?;
        let (header, claims) = signed
            .split_once('.')
            .filter(|(_, claims)| !claims.contains('.'))
            .ok_or(malformed("it does not have three parts"))?;
        if header.len() > HEADER {
            return Err(malformed("its header is too large"));
        }
        let header = part(header).ok_or(malformed("its header is not JSON"))?;
        let algorithm = algorithm(&header)?;
        let kid = kid(&header)?;
        if signature.is_empty() || URL_SAFE_NO_PAD.decode(signature).is_err() {
            return Err(malformed("its signature is not base64url"));
        }
        let claims = part(claims).ok_or(malformed("its claims are not JSON"))?;
        if claims.len() > CLAIMS {
            return Err(malformed("it has too many claims"));
        }
        Ok(Self {
            signed,
            signature,
            algorithm,
            kid,
            issuer: text_claim(&claims, "iss")?.to_owned(),
            claims,
        })
    }

    /// `iss`: whose keys to ask for. Not verified.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `kid`: which of the keys.
    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    /// The claims of a token whose signature nobody has looked at; for fuzzers only.
    pub(super) fn unverified(self) -> Signed {
        Signed(self.claims)
    }

    /// Checks the signature.
    pub(super) fn verify(self, key: &Key) -> Result<Signed, OidcError> {
        match key.verifies(self.algorithm, self.signed.as_bytes(), self.signature) {
            true => Ok(Signed(self.claims)),
            false => Err(OidcError::Signature),
        }
    }
}

impl Signed {
    /// Checks to whom the token is made out and when it holds.
    pub(super) fn claims(self, config: &IssuerConfig, now: Timestamp) -> Result<Claims, OidcError> {
        let claims = self.0;
        // The caller chose the configuration by this claim; it is cheap to be sure.
        if text_claim(&claims, "iss")? != config.issuer {
            return Err(OidcError::UnknownIssuer);
        }
        let audience = audience(&claims, config)?;
        let life = config.max_life_seconds.unwrap_or(MAX_LIFE);
        let expires = times(&claims, i64::from(life), now)?;
        let token_id = match claims.get("jti") {
            None => None,
            Some(_) => Some(text_claim(&claims, "jti")?.to_owned()),
        };
        Ok(Claims {
            issuer: config.name.clone(),
            subject: text_claim(&claims, "sub")?.to_owned(),
            audience,
            token_id,
            expires,
            texts: texts(&claims)?,
        })
    }
}

fn part(text: &str) -> Option<Map<String, Value>> {
    // Without padding, and canonical: bits that stand for nothing must be zero.
    json::object(&URL_SAFE_NO_PAD.decode(text).ok()?)
}

fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, OidcError> {
    if REFUSED.iter().any(|name| header.contains_key(*name)) {
        return Err(OidcError::Malformed(
            "its header asks for what the gate does not do",
        ));
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(kind)) if kind.eq_ignore_ascii_case("JWT") => {}
        Some(_) => return Err(OidcError::Malformed("it is not of type JWT")),
    }
    let name = header.get("alg").and_then(Value::as_str);
    name.and_then(Algorithm::named).ok_or(OidcError::Algorithm)
}

fn kid(header: &Map<String, Value>) -> Result<String, OidcError> {
    let kid = header.get("kid").and_then(Value::as_str);
    kid.filter(|kid| (1..=256).contains(&kid.len()))
        .filter(|kid| kid.bytes().all(|b| b.is_ascii_graphic()))
        .map(str::to_owned)
        .ok_or(OidcError::Malformed("it names no key (`kid`)"))
}

fn text_claim<'c>(claims: &'c Map<String, Value>, name: &str) -> Result<&'c str, OidcError> {
    let missing = match name {
        "iss" => "it names no issuer",
        "sub" => "it names no subject",
        _ => "a claim that must be a text is not one",
    };
    let text = claims.get(name).and_then(Value::as_str);
    text.filter(|text| is_plain(text) && !text.is_empty())
        .ok_or(OidcError::Malformed(missing))
}

fn is_plain(text: &str) -> bool {
    text.len() <= TEXT && !text.chars().any(char::is_control)
}

/// The one audience. A token for several could be shown to us by any of the others.
fn audience(claims: &Map<String, Value>, config: &IssuerConfig) -> Result<String, OidcError> {
    let audience = match claims.get("aud") {
        Some(Value::String(audience)) => audience,
        Some(Value::Array(audiences)) => match audiences.as_slice() {
            [Value::String(audience)] => audience,
            _ => return Err(OidcError::Audience),
        },
        _ => return Err(OidcError::Audience),
    };
    match config.audiences.contains(audience) {
        true => Ok(audience.clone()),
        false => Err(OidcError::Audience),
    }
}

/// Checks `exp`, `iat` and `nbf`, and gives `exp`.
fn times(
    claims: &Map<String, Value>,
    max_life: i64,
    now: Timestamp,
) -> Result<Timestamp, OidcError> {
    let seconds = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_i64()
            .filter(|seconds| (0..=LAST).contains(seconds))
            .map(Some)
            .ok_or(OidcError::Malformed("a time in it is not a whole number")),
    };
    let must = OidcError::Malformed("it has no `exp` or no `iat`");
    let (Some(expires), Some(issued)) = (seconds("exp")?, seconds("iat")?) else {
        return Err(must);
    };
    let starts = seconds("nbf")?.unwrap_or(issued);
    if expires <= issued || expires <= starts {
        return Err(OidcError::Malformed("it ends before it begins"));
    }
    let now = now.as_secs();
    if now >= expires.saturating_add(LEEWAY) {
        return Err(OidcError::Expired);
    }
    if issued.max(starts) > now.saturating_add(LEEWAY) {
        return Err(OidcError::NotYet);
    }
    if expires - issued > max_life {
        return Err(OidcError::TooLong);
    }
    Ok(Timestamp::from_secs(expires))
}

/// All claims that are texts, whole numbers or truth values.
fn texts(claims: &Map<String, Value>) -> Result<BTreeMap<String, String>, OidcError> {
    let mut texts = BTreeMap::new();
    for (name, value) in claims {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
            _ => continue,
        };
        if !is_plain(&text) || !is_plain(name) {
            return Err(OidcError::Malformed(
                "a claim is too long or has control characters",
            ));
        }
        texts.insert(name.clone(), text);
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Whatever comes, reading it ends, and what is read says what it is signed with.
        #[test]
        fn reading_is_total(text in "\\PC*", header in "\\PC{0,60}", claims in "\\PC{0,60}") {
            let _ = Token::parse(&text);
            let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
            let text = format!("{}.{}.AAAA", parts[0], parts[1]);
            if let Ok(token) = Token::parse(&text) {
                proptest::prop_assert!(!token.kid().is_empty() && !token.issuer().is_empty());
            }
        }
    }
}
