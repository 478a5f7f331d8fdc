//! What the API server's own configuration says about who may come in.

use serde_json::Value;

use crate::exception::instant;
use crate::facts::Facts;
use crate::snapshot::{ApiServer, ConfigFile};
use crate::verdict::{Change, Class, Evidence, Fix, Judged, Undecided, Verdict, quoted, undecided};

use super::{NEEDS_AUDIT, traffic};

/// The longest life of a person's token, in seconds.
const HOUR: i64 = 3600;
/// The longest life of a signed client certificate, in seconds.
const DAY: i64 = 86_400;

fn flag(server: &ApiServer, name: &str, text: &str) -> Evidence {
    let line = server.flag(name).map_or(0, |f| f.line);
    let line = u32::try_from(line).unwrap_or(0);
    Evidence::named(Class::Flag, &server.place, format!("--{name}"), text).at(line)
}

fn set(name: &str, value: &str) -> Change {
    Change::Flag {
        name: name.to_owned(),
        value: Some(value.to_owned()),
    }
}

fn unset(name: &str) -> Change {
    Change::Flag {
        name: name.to_owned(),
        value: None,
    }
}

/// S0-07
pub(super) fn token_file(facts: &Facts<'_>) -> Judged {
    let server = facts.api_server()?;
    let name = "token-auth-file";
    let Some(value) = server.value(name) else {
        return Ok(Verdict::pass(
            "the API server reads no file of static tokens",
        ));
    };
    let seen = flag(
        server,
        name,
        &format!("static tokens are read from `{value}`"),
    );
    Ok(
        Verdict::fail("the API server accepts static tokens from a file")
            .seen(seen)
            .mend(|| Fix::changes("remove the flag", vec![unset(name)])),
    )
}

/// S0-08
pub(super) fn always_allow(facts: &Facts<'_>) -> Judged {
    if let Ok(true) = facts.snapshot.nobody.get() {
        let seen = Evidence::named(
            Class::Probe,
            "SubjectAccessReview",
            "status.allowed",
            "an invented user with no binding may delete nodes",
        );
        return Ok(Verdict::fail("the API server allows everybody everything")
            .seen(seen)
            .mend(|| by_roles(facts)));
    }
    if let Ok(modes) = authorizers(facts) {
        let list = modes.join(", ");
        return Ok(match modes.iter().any(|m| m == "AlwaysAllow") {
            false => Verdict::pass(format!("requests are judged by {list}")),
            true => Verdict::fail("the API server allows everybody everything")
                .seen(flag(facts.api_server()?, "authorization-mode", &list))
                .mend(|| by_roles(facts)),
        });
    }
    let _denied = facts.snapshot.nobody.get()?;
    Ok(Verdict::pass("an invented user with no binding is refused").sure(90))
}

/// Roles and nothing else: the flag, unless a file says who judges.
pub(super) fn by_roles(facts: &Facts<'_>) -> Fix {
    let file = facts.api_server().ok();
    match file.and_then(|s| s.value("authorization-config")) {
        Some(path) => Fix::changes(
            format!(
                "let the authorizers in {path} be of type Node and RBAC, and none AlwaysAllow or ABAC"
            ),
            vec![Change::Command(format!("sudoedit {}", quoted(path)))],
        ),
        None => {
            // A webhook that is there stays.
            let known = authorizers(facts).unwrap_or_default();
            let others = known.iter().map(String::as_str);
            let others = others.filter(|m| !["Node", "RBAC", "ABAC", "AlwaysAllow"].contains(m));
            let modes: Vec<&str> = ["Node", "RBAC"].into_iter().chain(others).collect();
            Fix::changes(
                "judge by roles",
                vec![set("authorization-mode", &modes.join(","))],
            )
        }
    }
}

/// The authorizers in their order, from the flags or the file they name.
pub(super) fn authorizers(facts: &Facts<'_>) -> Result<Vec<String>, crate::verdict::Undecided> {
    let server = facts.api_server()?;
    if server.value("authorization-config").is_some() {
        let file = facts.snapshot.control_plane.authorization.get()?;
        let list = file.content.get("authorizers").and_then(Value::as_array);
        let kinds = list.into_iter().flatten();
        return Ok(kinds
            .filter_map(|a| a.get("type").and_then(Value::as_str))
            .map(str::to_owned)
            .collect());
    }
    // Nothing said means AlwaysAllow; so upstream's own default.
    let modes = server.value("authorization-mode").unwrap_or("AlwaysAllow");
    Ok(modes.split(',').map(|m| m.trim().to_owned()).collect())
}

/// S0-13
pub(super) fn audit_on(facts: &Facts<'_>) -> Judged {
    let server = match facts.api_server() {
        Ok(server) => server,
        // Nobody sees the flags of a managed cluster; everybody sees a log that grows.
        Err(hidden) => return traffic::is_written(facts).unwrap_or(Err(hidden)),
    };
    let policy = server.value("audit-policy-file");
    let sink = server
        .value("audit-log-path")
        .or(server.value("audit-webhook-config-file"));
    let missing = match (policy, sink) {
        (Some(_), Some(sink)) => {
            return Ok(Verdict::pass(format!("requests are written to `{sink}`")));
        }
        (None, Some(_)) => (
            "audit-policy-file",
            "there is a log, and no policy that fills it",
        ),
        (Some(_), None) => (
            "audit-log-path",
            "there is a policy, and no log that it fills",
        ),
        (None, None) => ("audit-policy-file", "there is neither a policy nor a log"),
    };
    let (name, text) = missing;
    Ok(Verdict::fail("the API server keeps no audit log")
        .seen(flag(server, name, text))
        .mend(|| {
            Fix::changes(
                "write what is asked of the API server to a log",
                vec![
                    set("audit-policy-file", "/etc/kubernetes/audit-policy.yaml"),
                    set("audit-log-path", "/var/log/kubernetes/audit.log"),
                ],
            )
        }))
}

/// S1-01: whether there is an identity provider; who goes past it is S1-08's and S1-09's.
pub(super) fn federated(facts: &Facts<'_>) -> Judged {
    let distribution = facts.snapshot.cluster.distribution;
    if distribution.is_managed() {
        return Ok(Verdict::pass(format!(
            "{distribution} logs people in through its cloud's identities"
        ))
        .sure(70));
    }
    let server = facts.api_server()?;
    for name in [
        "oidc-issuer-url",
        "authentication-token-webhook-config-file",
    ] {
        if server.value(name).is_some() {
            return Ok(
                Verdict::pass("people can log in through an identity provider")
                    .seen(flag(server, name, "federated login"))
                    .sure(70),
            );
        }
    }
    if server.value("authentication-config").is_some() {
        let file = facts.authentication()?;
        if let [issuer, ..] = issuers(file).as_slice() {
            let url = issuer.pointer("/issuer/url").and_then(Value::as_str);
            return Ok(
                Verdict::pass("people can log in through an identity provider")
                    .seen(config(file, "jwt[0].issuer.url", url.unwrap_or_default()))
                    .sure(70),
            );
        }
    }
    Ok(Verdict::fail("the API server knows no identity provider")
        .seen(flag(
            server,
            "authentication-config",
            "not set, nor --oidc-issuer-url",
        ))
        .mend(federate))
}

fn federate() -> Fix {
    Fix::changes(
        "name your identity provider in an AuthenticationConfiguration, or put a gate before the cluster (`kubestile up`)",
        vec![set(
            "authentication-config",
            "/etc/kubernetes/authentication.yaml",
        )],
    )
}

fn config(file: &ConfigFile, field: &str, text: &str) -> Evidence {
    Evidence::named(Class::Config, &file.place, field, text)
}

fn issuers(file: &ConfigFile) -> Vec<&Value> {
    let list = file.content.get("jwt").and_then(Value::as_array);
    list.into_iter().flatten().collect()
}

/// All CEL expressions under a list of rules of an issuer.
fn expressions<'v>(issuer: &'v Value, list: &str) -> Vec<&'v str> {
    let rules = issuer.get(list).and_then(Value::as_array);
    rules
        .into_iter()
        .flatten()
        .filter_map(|r| r.get("expression").and_then(Value::as_str))
        .collect()
}

/// The issuers, or why controls about them cannot be decided. Without the file there is no rule about
/// tokens at all: OIDC by flags has none for these controls, beside its prefixes.
fn known_issuers<'a>(facts: &Facts<'a>) -> Result<(&'a ConfigFile, Vec<&'a Value>), Judged> {
    const NAME: &str = "authentication-config";
    let server = facts.api_server().map_err(Err)?;
    if server.value(NAME).is_none() {
        let (summary, text) = match server.value("oidc-issuer-url") {
            Some(_) => (
                "OIDC by flags cannot ask for this",
                "not set; --oidc-issuer-url is",
            ),
            None => (
                "the API server knows no identity provider",
                "not set, nor --oidc-issuer-url",
            ),
        };
        return Err(Ok(Verdict::fail(summary)
            .seen(flag(server, NAME, text))
            .mend(federate)));
    }
    let file = facts.authentication().map_err(Err)?;
    let list = issuers(file);
    match list.is_empty() {
        true => Err(Ok(Verdict::fail("no identity provider is configured")
            .seen(config(file, "jwt", "it lists no issuer"))
            .mend(federate))),
        false => Ok((file, list)),
    }
}

/// Every issuer must satisfy `holds`; those that do not are the evidence.
fn every_issuer(
    facts: &Facts<'_>,
    pass: &str,
    fail: &str,
    holds: impl Fn(&Value) -> Result<(), String>,
) -> Judged {
    let (file, list) = match known_issuers(facts) {
        Ok(found) => found,
        Err(judged) => return judged,
    };
    let mut evidence = Vec::new();
    for (index, issuer) in list.iter().enumerate() {
        if let Err(text) = holds(issuer) {
            evidence.push(config(file, &format!("jwt[{index}]"), &text));
        }
    }
    let sure = if file.proved { 100 } else { 80 };
    Ok(Verdict::of(evidence, pass, |_| fail.to_owned()).sure(sure))
}

/// S1-02
pub(super) fn multi_factor(facts: &Facts<'_>) -> Judged {
    if let Some(verdict) = super::gate::factors(facts) {
        return Ok(verdict);
    }
    every_issuer(
        facts,
        "every issuer's tokens must say that more than one factor was used",
        "tokens of a login with one factor are accepted",
        |issuer| {
            let mut rules = expressions(issuer, "claimValidationRules");
            rules.extend(expressions(issuer, "userValidationRules"));
            let claim = |name: &str| {
                let list = issuer.get("claimValidationRules").and_then(Value::as_array);
                let text = |r: &Value, field: &str| {
                    let value = r.get(field).and_then(Value::as_str);
                    value.unwrap_or_default().to_owned()
                };
                // Without a value it asks for an empty one.
                list.into_iter()
                    .flatten()
                    .any(|r| text(r, "claim") == name && !text(r, "requiredValue").is_empty())
            };
            match rules.iter().any(|r| asks_for_factors(r)) || claim("acr") || claim("amr") {
                true => Ok(()),
                false => Err("no rule asks for `amr` or `acr`".to_owned()),
            }
        },
    )
    .map(|v| {
        v.mend(|| {
            Fix::text(
                "add to claimValidationRules: expression `'mfa' in claims.amr` (the claim's name is your provider's)",
            )
        })
    })
}

/// Whether a rule looks at what `amr` or `acr` says. That there is one at all says nothing of it.
fn asks_for_factors(rule: &str) -> bool {
    let mut text: String = rule.chars().filter(|c| !c.is_whitespace()).collect();
    for claim in ["amr", "acr"] {
        text = text.replace(&format!("has(claims.{claim})"), "");
    }
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .any(|word| word == "amr" || word == "acr")
}

/// S1-03
pub(super) fn token_lifetime(facts: &Facts<'_>) -> Judged {
    every_issuer(
        facts,
        "no issuer's token is accepted that lives longer than an hour",
        "tokens of any lifetime are accepted",
        |issuer| {
            let rules = expressions(issuer, "claimValidationRules");
            match rules.iter().filter_map(|r| bound(r)).min() {
                Some(seconds) if seconds <= HOUR => Ok(()),
                Some(seconds) => Err(format!("tokens may live {seconds} s")),
                None => Err("no rule limits `claims.exp`".to_owned()),
            }
        },
    )
    .map(|v| {
        v.mend(|| {
            Fix::text("add to claimValidationRules: expression `claims.exp - claims.nbf <= 3600`")
        })
    })
}

/// The number of `claims.exp - claims.nbf <= N` (or `iat`, or `<`), if that is what the rule says, or a part of it
/// that must hold.
fn bound(rule: &str) -> Option<i64> {
    let compact: String = rule.chars().filter(|c| !c.is_whitespace()).collect();
    if compact.contains("||") || compact.contains('?') {
        return None;
    }
    let one = |part: &str| {
        let rest = part
            .strip_prefix("claims.exp-claims.nbf<")
            .or(part.strip_prefix("claims.exp-claims.iat<"))?;
        match rest.strip_prefix('=') {
            Some(most) => most.parse::<i64>().ok(),
            None => rest.parse::<i64>().ok()?.checked_sub(1),
        }
    };
    compact.split("&&").filter_map(one).min()
}

/// S1-04
pub(super) fn audience(facts: &Facts<'_>) -> Judged {
    every_issuer(
        facts,
        "every issuer is reached over https and has its audience",
        "an issuer is not pinned to this cluster",
        |issuer| {
            let url = issuer.pointer("/issuer/url").and_then(Value::as_str);
            if !url.is_some_and(|u| u.starts_with("https://")) {
                return Err("the issuer is not reached over https".to_owned());
            }
            let audiences = issuer
                .pointer("/issuer/audiences")
                .and_then(Value::as_array);
            match audiences.is_some_and(|a| !a.is_empty()) {
                true => Ok(()),
                false => Err("it names no audience".to_owned()),
            }
        },
    )
    .map(|v| {
        v.mend(|| {
            Fix::text("register this cluster as a client of its own, and name it in audiences")
        })
    })
}

/// S1-05
pub(super) fn system_names(facts: &Facts<'_>) -> Judged {
    if let Ok(server) = facts.api_server()
        && server.value("authentication-config").is_none()
        && server.value("oidc-issuer-url").is_some()
    {
        // Names get the issuer as prefix unless the flag says `-`; groups get one only from the flag.
        let names = server.value("oidc-username-prefix") != Some("-");
        let groups = server.value("oidc-groups-claim").is_none()
            || server.value("oidc-groups-prefix").is_some();
        return Ok(match names && groups {
            true => Verdict::pass("names and groups of the identity provider carry a prefix"),
            false => {
                Verdict::fail("an identity provider could make somebody part of the control plane")
                    .seen(flag(
                        server,
                        "oidc-groups-prefix",
                        "names or groups carry no prefix",
                    ))
                    .mend(|| {
                        Fix::changes(
                            "give them a prefix",
                            vec![set("oidc-groups-prefix", "oidc:")],
                        )
                    })
            }
        });
    }
    every_issuer(
        facts,
        "no issuer can give a name or group that begins with `system:`",
        "an identity provider could make somebody part of the control plane",
        |issuer| {
            let compact = |r: &str| r.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            let rules: Vec<String> = expressions(issuer, "userValidationRules")
                .into_iter()
                .map(|r| compact(r).replace('"', "'"))
                .collect();
            let refuses = |of: &str| {
                rules
                    .iter()
                    .any(|r| r.contains(of) && r.contains('!') && r.contains("startsWith('system:')"))
            };
            let text = |path: String| issuer.pointer(&path).and_then(Value::as_str);
            // A prefix that begins as the cluster's own names do makes such names.
            let sound = |p: &str| !p.is_empty() && !p.starts_with("system:");
            let prefixed = |of: &str| {
                let by_expression = text(format!("/claimMappings/{of}/expression"));
                let begun = by_expression.map(|e| compact(e).replace('"', "'"));
                let begun = begun.as_deref().and_then(|e| {
                    let inner = e.split_once(".map(").and_then(|(_, rest)| rest.split_once(','));
                    inner.map_or(e, |(_, rest)| rest).strip_prefix('\'')?.split_once("'+")
                });
                text(format!("/claimMappings/{of}/prefix")).is_some_and(sound)
                    || begun.is_some_and(|(prefix, _)| sound(prefix))
            };
            let groups = issuer.pointer("/claimMappings/groups").is_none();
            if !(prefixed("username") || refuses("user.username")) {
                return Err("names have no prefix, and no rule refuses `system:`".to_owned());
            }
            match groups || prefixed("groups") || refuses("user.groups") {
                true => Ok(()),
                false => Err("groups have no prefix, and no rule refuses `system:`".to_owned()),
            }
        },
    )
    .map(|v| {
        v.mend(|| {
            Fix::text(
                "add to userValidationRules: `!user.username.startsWith('system:')` and `user.groups.all(g, !g.startsWith('system:'))`",
            )
        })
    })
}

/// S1-16: where the API server tells people by a claim that the provider can give to somebody else. A name by `sub`
/// needs no uid beside it (OpenID Connect Core 5.7: `iss` and `sub` together are the only stable identifier).
pub(super) fn reassigned(facts: &Facts<'_>) -> Result<Vec<Evidence>, Undecided> {
    // Nobody sees how a provider does it, and it is the provider's.
    let Ok(server) = facts.api_server() else {
        return Ok(Vec::new());
    };
    if server.value("authentication-config").is_none() {
        let by_sub = server
            .value("oidc-username-claim")
            .is_none_or(|c| c == "sub");
        let bad = server.value("oidc-issuer-url").is_some() && !by_sub;
        let text = "a name by this claim, and OIDC by flags maps no uid";
        let seen = bad.then(|| flag(server, "oidc-username-claim", text));
        return Ok(seen.into_iter().collect());
    }
    let file = facts.authentication()?;
    let mut evidence = Vec::new();
    for (index, issuer) in issuers(file).into_iter().enumerate() {
        let text = |path: &str| {
            let value = issuer.pointer(&format!("/claimMappings/{path}"));
            value.and_then(Value::as_str).filter(|t| !t.is_empty())
        };
        const GIVEN_AGAIN: [&str; 5] = ["email", "preferred_username", "upn", "name", "nickname"];
        let uid = text("uid/claim").or(text("uid/expression"));
        let by_sub = text("username/claim") == Some("sub")
            || text("username/expression").is_some_and(|e| e.contains("claims.sub"));
        let wrong = match uid {
            _ if by_sub => continue,
            None => {
                "no uid is mapped: a name that is given to somebody else is the same person here"
            }
            Some(claim) if GIVEN_AGAIN.contains(&claim.trim_start_matches("claims.")) => {
                "the uid is a claim that can be given to somebody else"
            }
            Some(_) => continue,
        };
        evidence.push(config(
            file,
            &format!("jwt[{index}].claimMappings.uid"),
            wrong,
        ));
    }
    Ok(evidence)
}

/// S1-10
pub(super) fn bootstrap_tokens(facts: &Facts<'_>) -> Judged {
    let secrets = facts.snapshot.token_secrets.get()?;
    let now = facts.snapshot.taken;
    let mut old = Vec::new();
    let mut young = 0_usize;
    for secret in secrets
        .iter()
        .filter(|s| s.kind == "bootstrap.kubernetes.io/token")
    {
        let made = secret
            .metadata
            .creation_timestamp
            .as_deref()
            .and_then(instant);
        let age = made.map(|m| now.since(m));
        // kubeadm gives a day; the cleaner removes what has ended.
        if age.is_some_and(|a| a.as_secs() <= DAY) {
            young += 1;
            continue;
        }
        let age = age.map_or("of unknown age".to_owned(), |a| format!("{a} old"));
        let object = crate::snapshot::ObjectRef::new(
            "secret",
            &secret.metadata.namespace,
            &secret.metadata.name,
        );
        old.push((
            Evidence::object(&object, "type", format!("a bootstrap token, {age}")),
            Change::Delete(object),
        ));
    }
    let (evidence, changes): (Vec<_>, Vec<_>) = old.into_iter().unzip();
    let pass = match young {
        0 => "there is no bootstrap token".to_owned(),
        n => format!("{n} bootstrap token(s), none older than a day"),
    };
    Ok(Verdict::of(evidence, &pass, |n| {
        format!("{n} bootstrap token(s) outlived the joining of a node")
    })
    .mend(|| {
        Fix::changes(
            "delete them; `kubeadm token create` makes new ones",
            changes,
        )
    }))
}

/// S1-11
pub(super) fn account_token_life(facts: &Facts<'_>) -> Judged {
    let server = facts.api_server()?;
    let extend = "service-account-extend-token-expiration";
    let longest = "service-account-max-token-expiration";
    let mut evidence = Vec::new();
    if server.value(extend) != Some("false") {
        let text = "tokens in pods are extended to a year";
        evidence.push(flag(server, extend, text));
    }
    if server.value(longest).is_none_or(|v| v == "0") {
        let text = "whoever may ask for a token may ask for one without end";
        evidence.push(flag(server, longest, text));
    }
    Ok(Verdict::of(
        evidence,
        "tokens of service accounts end in good time",
        |_| "tokens of service accounts can live very long".to_owned(),
    )
    .mend(|| {
        Fix::changes(
            "limit them; clients older than client-go 0.22 do not renew theirs",
            vec![set(extend, "false"), set(longest, "24h0m0s")],
        )
    }))
}

/// S1-12
pub(super) fn anonymous(facts: &Facts<'_>) -> Judged {
    const HEALTH: [&str; 3] = ["/livez", "/readyz", "/healthz"];
    if let Ok(probes) = facts.snapshot.anonymous.get() {
        let others = || probes.iter().filter(|p| !HEALTH.contains(&p.path.as_str()));
        let open: Vec<Evidence> = others()
            .filter(|p| p.status != 401)
            .map(|p| {
                let text = format!("{} without a credential", p.status);
                Evidence::named(Class::Probe, format!("GET {}", p.path), "", text)
            })
            .collect();
        if others().next().is_some() {
            return Ok(
                Verdict::of(open, "who shows no credential is turned away (401)", |_| {
                    "the API server gives anonymous requests an identity".to_owned()
                })
                .mend(anonymous_fix),
            );
        }
    }
    let server = facts.api_server()?;
    if server.value("anonymous-auth") == Some("false") {
        return Ok(Verdict::pass("anonymous requests are off"));
    }
    if server.value("authentication-config").is_some() {
        let file = facts.authentication()?;
        let anonymous = file.content.get("anonymous");
        let enabled = anonymous
            .and_then(|a| a.get("enabled"))
            .and_then(Value::as_bool);
        let conditions = anonymous
            .and_then(|a| a.get("conditions"))
            .and_then(Value::as_array);
        let health = |c: &Value| {
            c.get("path")
                .and_then(Value::as_str)
                .is_some_and(|p| HEALTH.contains(&p))
        };
        match (enabled, conditions) {
            (Some(false), _) => return Ok(Verdict::pass("anonymous requests are off")),
            (Some(true), Some(list)) if !list.is_empty() && list.iter().all(health) => {
                return Ok(Verdict::pass("anonymous requests reach health checks only"));
            }
            _ => {}
        }
    }
    Ok(
        Verdict::fail("the API server gives anonymous requests an identity")
            .seen(flag(server, "anonymous-auth", "on, as by default"))
            .mend(anonymous_fix),
    )
}

fn anonymous_fix() -> Fix {
    Fix::text(
        "AuthenticationConfiguration: anonymous.enabled true with conditions for /livez, /readyz and /healthz only (GA in 1.34)",
    )
}

/// S1-13
pub(super) fn signed_certificates(facts: &Facts<'_>) -> Judged {
    let mut evidence = Vec::new();
    for csr in facts.snapshot.csrs.get()? {
        let has = |kind: &str| csr.status.conditions.iter().any(|c| c.kind == kind);
        // What failed was given to nobody.
        let approved = has("Approved") && !has("Denied") && !has("Failed");
        if csr.spec.signer_name != "kubernetes.io/kube-apiserver-client" || !approved {
            continue;
        }
        let object = crate::snapshot::ObjectRef::new("csr", "", &csr.metadata.name);
        let mut say =
            |field: &str, text: String| evidence.push(Evidence::object(&object, field, text));
        let name = csr.spec.common_name.as_deref().unwrap_or_default();
        if name.starts_with("system:") {
            say(
                "spec.request",
                format!("a certificate in the name of `{name}` was approved"),
            );
        }
        for group in csr
            .spec
            .organizations
            .iter()
            .filter(|o| o.starts_with("system:"))
        {
            say(
                "spec.request",
                format!("a certificate for the group `{group}` was approved"),
            );
        }
        match csr.spec.expiration_seconds {
            Some(seconds) if seconds <= DAY => {}
            Some(seconds) => say(
                "spec.expirationSeconds",
                format!("a certificate for {seconds} s"),
            ),
            None => say(
                "spec.expirationSeconds",
                "a certificate for as long as the signer likes (a year)".to_owned(),
            ),
        }
    }
    Ok(Verdict::of(
        evidence,
        "no approved request gave out a long-lived client certificate",
        |n| format!("{n} thing(s) about approved client certificates are unsound"),
    )
    .sure(80)
    .mend(|| {
        Fix::text("refuse requests for this signer by admission, and let people log in instead")
    }))
}

/// S1-17
pub(super) fn pipelines(facts: &Facts<'_>) -> Judged {
    if facts.gate_facts().is_ok_and(|gate| gate.pipelines) {
        let text = "pipelines log in at the gate with the identity of their run";
        return Ok(super::gate::vouched(
            facts.gate()?,
            Verdict::pass(text).sure(80),
        ));
    }
    let (file, list) = match known_issuers(facts) {
        Ok(found) => found,
        Err(judged) => return judged,
    };
    const CI: [&str; 6] = [
        "token.actions.githubusercontent.com",
        "gitlab",
        "buildkite",
        "circleci",
        "bitbucket",
        "dev.azure.com",
    ];
    let is_ci = |issuer: &&&Value| {
        let url = issuer
            .pointer("/issuer/url")
            .and_then(Value::as_str)
            .unwrap_or_default();
        CI.iter().any(|c| url.contains(c))
    };
    let Some(issuer) = list.iter().find(is_ci) else {
        return undecided(format!(
            "no issuer of a known pipeline is configured; whether pipelines use static secrets, {NEEDS_AUDIT}"
        ));
    };
    let bound = expressions(issuer, "claimValidationRules")
        .iter()
        .any(|r| r.contains("sub") || r.contains("ref") || r.contains("repository"));
    Ok(match bound {
        true => Verdict::pass("pipelines come with their own identity").sure(80),
        false => Verdict::fail("any run of the pipeline's provider may come in")
            .seen(config(
                file,
                "jwt",
                "no rule binds `sub`, `ref` or `repository`",
            ))
            .mend(|| Fix::text("bind the issuer to your repositories in claimValidationRules")),
    })
}
