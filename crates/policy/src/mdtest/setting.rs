//! Who asks, and under which conditions: what the `key: value` lines of a test say.

use std::str::FromStr;

use kubestile_core::action::Impersonates;
use kubestile_core::approval::About;
use kubestile_core::context::{Approved, Invocation};
use kubestile_core::identity::IdentityKind;
use kubestile_core::{
    Absence, AccessId, Action, Assurance, ClusterName, Context, Identity, JobFunction, Known,
    PersonId, RiskClass, Timestamp, Ttl,
};

use crate::ask::Asking;
use crate::decide::Question;

/// Who asks, and under which conditions.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    identity: Identity,
    session_age_s: i64,
    assurance: Assurance,
    context: Context,
    pub(super) cluster: ClusterName,
    pub(super) impersonates: Option<Impersonates>,
    ticket: bool,
    reason: bool,
    risk: RiskClass,
    lasts: Ttl,
}

impl Default for Setting {
    /// Ana, without a job function, an hour after a login with two factors, on a Tuesday at noon.
    fn default() -> Self {
        Self {
            identity: Identity {
                name: "ana".to_owned(),
                id: person_id(),
                kind: IdentityKind::Person,
                groups: Vec::new(),
                functions: Vec::new(),
            },
            session_age_s: 3600,
            assurance: Assurance::Multi,
            context: Context {
                now: Timestamp::from_secs(1_795_521_600),
                source: std::net::IpAddr::from([192, 0, 2, 7]),
                invocation: Known::Absent(Absence::NotSent),
                approval: Known::Absent(Absence::NotNeeded),
                grants: Vec::new(),
            },
            cluster: cluster(),
            impersonates: None,
            ticket: false,
            reason: false,
            risk: RiskClass::R3,
            lasts: Ttl::from_secs(3600),
        }
    }
}

impl Setting {
    /// The question that `action` is in this setting.
    pub(super) fn question<'a>(&'a self, action: &'a Action) -> Question<'a> {
        Question {
            identity: &self.identity,
            session_age_s: self.session_age_s,
            assurance: self.assurance,
            action,
            context: &self.context,
        }
    }

    /// What an `ask` or `answer` is about: `ask [grant|request|break-glass] ROLE [-n NAMESPACE]`. `None`
    /// for any other request.
    pub(super) fn about(&self, request: &str) -> Result<Option<About>, String> {
        let mut words = request.split_whitespace().peekable();
        if !matches!(words.next(), Some("ask" | "answer")) {
            return Ok(None);
        }
        let kinds = ["grant", "request", "break-glass"];
        let kind = words
            .peek()
            .and_then(|word| kinds.into_iter().find(|k| k == word));
        if kind.is_some() {
            words.next();
        }
        let role = words.next().ok_or("name a job function")?;
        let namespace = match (words.next(), words.next(), words.next()) {
            (None, ..) => None,
            (Some("-n"), Some(namespace), None) => Some(one(namespace)?),
            _ => return Err("write `ask ROLE -n NAMESPACE`".to_owned()),
        };
        Ok(Some(About {
            kind: kind.unwrap_or("grant"),
            cluster: self.cluster.clone(),
            namespace,
            role: role.to_owned(),
            action: String::new(),
            group: String::new(),
            resource: String::new(),
            risk: self.risk,
            duration: self.lasts,
            ticket: self.ticket,
            reason: self.reason,
            policies: Vec::new(),
            requester: "ana".to_owned(),
        }))
    }

    /// Who asks or answers in this setting.
    pub(super) fn asking<'a>(&'a self, about: &'a About) -> Asking<'a> {
        Asking {
            identity: &self.identity,
            session_age_s: self.session_age_s,
            assurance: self.assurance,
            now: self.context.now,
            source: self.context.source,
            about,
            approvals: self.context.approval.present().map_or(0, |a| a.count),
        }
    }

    /// Reads one line; the error says what the value can be.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "who" => self.identity.name = value.to_owned(),
            "kind" => {
                self.identity.kind = match value {
                    "person" => IdentityKind::Person,
                    "pipeline" => IdentityKind::Pipeline,
                    "service-account" => IdentityKind::ServiceAccount,
                    _ => return Err("write person, pipeline or service-account".to_owned()),
                }
            }
            "groups" => self.identity.groups = words(value)?,
            "functions" => self.identity.functions = words::<JobFunction>(value)?,
            "cluster" => self.cluster = one(value)?,
            "session-age" => {
                self.session_age_s =
                    duration(value).ok_or("write a length of time, as in `7h30m`")?;
            }
            "assurance" => {
                self.assurance = match value {
                    "code" => Assurance::Code,
                    "single" => Assurance::Single,
                    "multi" => Assurance::Multi,
                    "phishing-resistant" => Assurance::PhishingResistant,
                    _ => return Err("write code, single, multi or phishing-resistant".to_owned()),
                }
            }
            "source" => self.context.source = one(value)?,
            "time" => {
                self.context.now = time(value).ok_or("write it as in `2026-11-24T10:30:00Z`")?;
            }
            "approval" => {
                self.context.approval = match yes_or_no(value)? {
                    true => approved(1),
                    false => Known::Absent(Absence::NotNeeded),
                }
            }
            "approvals" => self.context.approval = approved(one(value)?),
            "ticket" => self.ticket = yes_or_no(value)?,
            "reason" => self.reason = yes_or_no(value)?,
            "risk" => {
                let class = RiskClass::ALL.into_iter().find(|c| c.as_str() == value);
                self.risk = class.ok_or("write R0 to R5")?;
            }
            "for" => {
                let secs = duration(value).and_then(|s| u32::try_from(s).ok());
                self.lasts = Ttl::from_secs(secs.ok_or("write a length of time, as in `1h30m`")?);
            }
            "invocation" => {
                self.context.invocation = Known::Present(Invocation {
                    session: "00000000-0000-0000-0000-000000000000".to_owned(),
                    command: value.to_owned(),
                });
            }
            "as" => self.impersonated().user = value.to_owned(),
            "as-group" => self.impersonated().groups = words(value)?,
            _ => {
                return Err(
                    "the key can be who, kind, groups, functions, cluster, session-age, assurance, \
                     source, time, approval, invocation, as or as-group"
                        .to_owned(),
                );
            }
        }
        Ok(())
    }

    fn impersonated(&mut self) -> &mut Impersonates {
        self.impersonates.get_or_insert_with(|| Impersonates {
            user: String::new(),
            groups: Vec::new(),
        })
    }
}

fn yes_or_no(value: &str) -> Result<bool, String> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("write yes or no".to_owned()),
    }
}

fn approved(count: u8) -> Known<Approved> {
    Known::Present(Approved {
        access: AccessId::from_random(0),
        count,
        function: None,
    })
}

fn one<T: FromStr>(value: &str) -> Result<T, String>
where
    T::Err: std::fmt::Display,
{
    value.parse().map_err(|error: T::Err| error.to_string())
}

/// Words, or `none`.
fn words<T: FromStr>(value: &str) -> Result<Vec<T>, String>
where
    T::Err: std::fmt::Display,
{
    let words = value
        .split([',', ' '])
        .filter(|word| !word.is_empty() && *word != "none");
    words.map(one).collect()
}

/// `7h59m`, `90s`, `1d`.
fn duration(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(unit_at)?;
        let unit = after.chars().next()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(seconds)?)?;
        rest = after.get(unit.len_utf8()..)?;
    }
    (!text.is_empty()).then_some(total)
}

fn time(text: &str) -> Option<Timestamp> {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(Timestamp::from_secs(at.unix_timestamp()))
}

fn person_id() -> PersonId {
    PersonId::from_uuid(uuid::Uuid::nil())
}

/// The cluster of tests that name none.
#[expect(clippy::expect_used, reason = "a literal that a test parses")]
fn cluster() -> ClusterName {
    "prod".parse().expect("`prod` is a DNS label")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_or_refused() {
        let mut setting = Setting::default();
        for (key, value) in [
            ("functions", "operator:shop, viewer"),
            ("functions", "none"),
            ("session-age", "7h59m"),
            ("time", "2026-11-24T10:30:00Z"),
            ("source", "::1"),
            ("kind", "pipeline"),
        ] {
            assert_eq!(setting.set(key, value), Ok(()), "{key}: {value}");
        }
        assert_eq!(setting.session_age_s, 28_740);
        for (key, value) in [
            ("functions", "operator:"),
            ("session-age", "8"),
            ("session-age", ""),
            ("session-age", "h"),
            ("session-age", "99999999999999999999d"),
            ("time", "noon"),
            ("source", "here"),
            ("approval", "maybe"),
            ("cluster", "Prod"),
            ("colour", "red"),
        ] {
            assert!(setting.set(key, value).is_err(), "{key}: {value}");
        }
    }
}
