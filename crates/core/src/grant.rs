//! Grants: a job function for a while, for a reason. While one lives, the gate adds its group to the
//! requests that it covers; nothing in the cluster changes when it starts or ends.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::identity::{JobFunction, role_is_for_the_gate};
use crate::ids::{ClusterName, Namespace, PersonId, SessionId, is_dns_label};
use crate::short_id::{AccessId, GrantId};
use crate::time::{Timestamp, Ttl};

/// The longest that a grant may live, whatever anybody approves: one working day.
pub const LONGEST: Ttl = Ttl::from_secs(12 * 3600);

/// Namespaces and objects that one grant may name.
const MAX_NAMES: usize = 64;

/// What a grant gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// The job function's role.
    pub role: String,
    /// The one cluster it holds on; `None` means every cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterName>,
    /// The namespaces it holds in; empty means the whole cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<Namespace>,
    /// The objects it holds for; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectPattern>,
    /// How long it lives once it has started, in microseconds.
    pub duration: Ttl,
}

impl Terms {
    /// Whether these are terms that a grant can have.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), InvalidTerms> {
        if !is_dns_label(&self.role) {
            return Err(InvalidTerms::Role);
        }
        if self.namespaces.len() > MAX_NAMES || self.objects.len() > MAX_NAMES {
            return Err(InvalidTerms::TooMany);
        }
        if self.duration.as_secs() < 60 || self.duration > LONGEST {
            return Err(InvalidTerms::Duration);
        }
        Ok(())
    }

    /// Whether they cover a request.
    pub fn cover(&self, action: &Action) -> bool {
        self.cover_place(&action.cluster, action.namespace())
            && (self.objects.is_empty() || self.objects.iter().any(|o| o.matches(action)))
    }

    fn cover_place(&self, cluster: &ClusterName, namespace: &str) -> bool {
        self.cluster.as_ref().is_none_or(|c| c == cluster)
            && (self.namespaces.is_empty()
                || self.namespaces.iter().any(|n| n.as_str() == namespace))
    }

    /// `operator in shop, cart on prod`, for people.
    pub fn words(&self) -> String {
        let mut text = self.role.clone();
        if self.namespaces.is_empty() {
            text.push_str(" in the whole cluster");
        } else {
            let names: Vec<&str> = self.namespaces.iter().map(Namespace::as_str).collect();
            text.push_str(&format!(" in {}", names.join(", ")));
        }
        if !self.objects.is_empty() {
            let objects: Vec<String> = self.objects.iter().map(ToString::to_string).collect();
            text.push_str(&format!(" for {}", objects.join(", ")));
        }
        match &self.cluster {
            Some(cluster) => text.push_str(&format!(" on {cluster}")),
            None => text.push_str(" on every cluster"),
        }
        text
    }
}

/// Terms that no grant can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTerms {
    /// The role is not a name.
    #[error("the role must be a name like `operator`")]
    Role,
    /// Too many names.
    #[error("a grant names at most {MAX_NAMES} namespaces and {MAX_NAMES} objects")]
    TooMany,
    /// Too short or too long.
    #[error("a grant lives at least 1m and at most {LONGEST}: ask for less with --for")]
    Duration,
}

/// Objects by kind and, if one is meant, by name: `deployments.apps/web`, `pods`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectPattern {
    resource: String,
    group: String,
    name: Option<String>,
}

impl ObjectPattern {
    /// Whether a request is about one of these; subresources go with their object.
    pub fn matches(&self, action: &Action) -> bool {
        action.resource().is_some_and(|r| {
            r.resource == self.resource
                && r.group == self.group
                && self.name.as_ref().is_none_or(|name| *name == r.name)
        })
    }
}

impl fmt::Display for ObjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        match &self.name {
            Some(name) => write!(f, "/{name}"),
            None => Ok(()),
        }
    }
}

/// A text that names no objects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` names no objects: write `pods`, `deployments.apps` or `deployments.apps/web`")]
pub struct InvalidPattern {
    text: String,
}

impl FromStr for ObjectPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = || InvalidPattern {
            text: text.chars().take(80).collect(),
        };
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (kind, Some(name)),
            None => (text, None),
        };
        let (resource, group) = kind.split_once('.').unwrap_or((kind, ""));
        let fine = |part: &str| {
            let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
            part.len() <= 253 && part.bytes().all(known)
        };
        // Names of RBAC objects hold colons.
        let named = |name: &str| {
            let known = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
            !name.is_empty() && name.len() <= 253 && name.bytes().all(known)
        };
        if !is_dns_label(resource) || !fine(group) || !name.is_none_or(named) {
            return Err(invalid());
        }
        Ok(Self {
            resource: resource.to_owned(),
            group: group.to_owned(),
            name: name.map(str::to_owned),
        })
    }
}

impl TryFrom<String> for ObjectPattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        text.parse()
    }
}

impl From<ObjectPattern> for String {
    fn from(pattern: ObjectPattern) -> Self {
        pattern.to_string()
    }
}

/// Where a grant comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Asked for, and given by policy or approval.
    Request,
    /// A pipeline's run.
    Pipeline,
    /// Taken in an emergency; it must be reviewed.
    BreakGlass,
}

impl Origin {
    /// `request`, `pipeline`, `break-glass`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Pipeline => "pipeline",
            Self::BreakGlass => "break-glass",
        }
    }
}

/// A job function for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Who holds it.
    pub holder: PersonId,
    /// The holder's name.
    pub holder_name: String,
    /// For a pipeline: the one session that it is for. Another run of the same pipeline has nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// What it gives.
    pub terms: Terms,
    /// Where it comes from.
    pub origin: Origin,
    /// Why, in the holder's words.
    pub reason: String,
    /// The ticket it is tied to; it ends when that closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// The names of those who approved it; empty where policy needs nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<String>,
    /// The access request that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessId>,
    /// When it started.
    pub starts: Timestamp,
    /// From when on it gives nothing.
    pub expires: Timestamp,
    /// Set when it was ended before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<GrantEnd>,
    /// Who reviewed it, for one that must be reviewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed: Option<Review>,
}

/// When and why a grant was ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantEnd {
    /// When.
    pub at: Timestamp,
    /// Why, in words that the holder is shown.
    pub why: GrantEndReason,
}

/// Why a grant gives nothing any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantEndReason {
    /// Its time was up.
    Expired,
    /// Somebody took it away; the text says who and why.
    RevokedBy(String),
    /// The holder gave it back.
    GivenBack,
    /// Its ticket is not open any more; the text is the ticket.
    TicketClosed(String),
    /// The ticket that it was for is open, or may be, but does not carry it any more: why.
    TicketLost(String),
    /// The pipeline's run is over.
    RunEnded,
}

impl fmt::Display for GrantEndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("the grant expired"),
            Self::RevokedBy(who) => write!(f, "the grant was revoked by {who}"),
            Self::GivenBack => f.write_str("the grant was given back"),
            Self::TicketClosed(ticket) => write!(f, "the ticket {ticket} of the grant was closed"),
            Self::TicketLost(why) => {
                write!(f, "the ticket of the grant no longer carries it: {why}")
            }
            Self::RunEnded => f.write_str("the run that the grant was for is over"),
        }
    }
}

/// A look back at a grant that nobody approved beforehand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What they found.
    pub note: String,
}

impl Grant {
    /// Whether the grant gives anything at `now`, and if not, why not.
    ///
    /// # Errors
    /// The reason why it gives nothing any more.
    pub fn check(&self, now: Timestamp) -> Result<(), GrantEndReason> {
        match &self.ended {
            Some(end) => Err(end.why.clone()),
            None if now >= self.expires => Err(GrantEndReason::Expired),
            None => Ok(()),
        }
    }

    /// Whether it counts in this session of its holder.
    pub fn is_for(&self, session: SessionId) -> bool {
        self.session.is_none_or(|only| only == session)
    }

    /// Whether it gives `action` anything at `now`.
    pub fn covers(&self, action: &Action, now: Timestamp) -> bool {
        self.check(now).is_ok() && self.terms.cover(action)
    }

    /// Ends it; the first reason stays.
    #[must_use]
    pub fn end(mut self, why: GrantEndReason, now: Timestamp) -> Self {
        if self.ended.is_none() {
            self.ended = Some(GrantEnd { at: now, why });
        }
        self
    }

    /// Lets it live until `until`, at most [`LONGEST`] after its start. One that is over stays over.
    ///
    /// # Errors
    /// Why it is over.
    pub fn extend(mut self, until: Timestamp, now: Timestamp) -> Result<Self, GrantEndReason> {
        self.check(now)?;
        let most = self.starts.plus(LONGEST);
        self.expires = self.expires.max(until.min(most));
        Ok(self)
    }

    /// The groups that carry it upstream for a request to `namespace` (empty: cluster-scoped). The
    /// caller has asked [`Grant::covers`] first.
    pub fn upstream_groups(&self, namespace: &str) -> Vec<String> {
        upstream_groups(
            &self.terms.role,
            self.terms.namespaces.is_empty(),
            namespace,
        )
    }

    /// Whether it was taken in an emergency and nobody has looked at it since.
    pub fn needs_review(&self) -> bool {
        self.origin == Origin::BreakGlass && self.reviewed.is_none()
    }
}

/// The groups of a role: the cluster-wide one where it holds cluster-wide, and the namespace's own.
fn upstream_groups(role: &str, cluster_wide: bool, namespace: &str) -> Vec<String> {
    let mut groups = Vec::with_capacity(2);
    if role_is_for_the_gate(role) {
        return groups;
    }
    if cluster_wide {
        groups.push(format!("kubestile:{role}"));
    }
    if !namespace.is_empty() {
        groups.push(format!("kubestile:{role}:{namespace}"));
    }
    groups
}

/// The groups that carry a job function given for one request upstream.
pub fn groups_of_function(function: &JobFunction, namespace: &str) -> Vec<String> {
    upstream_groups(function.role(), function.namespace().is_none(), namespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request_info::RequestInfo;

    fn action(cluster: &str, method: &str, path: &str) -> Action {
        let info = RequestInfo::parse(method, path, None).unwrap();
        Action::new(cluster.parse().unwrap(), info, None)
    }

    pub(crate) fn grant(namespaces: &[&str], objects: &[&str]) -> Grant {
        Grant {
            id: GrantId::from_random(1),
            holder: PersonId::from_uuid(uuid::Uuid::from_u128(1)),
            holder_name: "ana".to_owned(),
            session: None,
            terms: Terms {
                role: "operator".to_owned(),
                cluster: Some("prod".parse().unwrap()),
                namespaces: namespaces.iter().map(|n| n.parse().unwrap()).collect(),
                objects: objects.iter().map(|o| o.parse().unwrap()).collect(),
                duration: Ttl::from_secs(600),
            },
            origin: Origin::Request,
            reason: "r".to_owned(),
            ticket: None,
            approvers: vec!["bob".to_owned()],
            access: None,
            starts: Timestamp::from_secs(100),
            expires: Timestamp::from_secs(700),
            ended: None,
            reviewed: None,
        }
    }

    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/web";

    #[test]
    fn a_grant_covers_its_scope_and_time_only() {
        let now = Timestamp::from_secs(200);
        let shop = grant(&["shop"], &[]);
        assert!(shop.covers(&action("prod", "DELETE", DEPLOYMENT), now));
        assert!(!shop.covers(&action("dev", "DELETE", DEPLOYMENT), now));
        let elsewhere = action(
            "prod",
            "DELETE",
            "/apis/apps/v1/namespaces/cart/deployments/web",
        );
        assert!(!shop.covers(&elsewhere, now));
        assert!(!shop.covers(&action("prod", "GET", "/api/v1/nodes"), now));
        assert!(!shop.covers(
            &action("prod", "GET", DEPLOYMENT),
            Timestamp::from_secs(700)
        ));
        let ended = shop.end(GrantEndReason::GivenBack, now);
        assert!(!ended.covers(&action("prod", "GET", DEPLOYMENT), now));
    }

    #[test]
    fn objects_are_matched_whole() {
        let now = Timestamp::from_secs(200);
        let one = grant(&["shop"], &["deployments.apps/web", "pods"]);
        assert!(one.covers(&action("prod", "DELETE", DEPLOYMENT), now));
        assert!(one.covers(
            &action("prod", "PATCH", &format!("{DEPLOYMENT}/scale")),
            now
        ));
        assert!(!one.covers(&action("prod", "DELETE", &format!("{DEPLOYMENT}2")), now));
        let all = "/apis/apps/v1/namespaces/shop/deployments";
        assert!(
            !one.covers(&action("prod", "DELETE", all), now),
            "a collection"
        );
        assert!(one.covers(
            &action("prod", "DELETE", "/api/v1/namespaces/shop/pods/a"),
            now
        ));
        let same_name = "/apis/x.example/v1/namespaces/shop/pods/a";
        assert!(!one.covers(&action("prod", "DELETE", same_name), now));
        for bad in ["", "/web", "Deployments", "a/", "a/b/c", "a b", "pods/*"] {
            assert!(bad.parse::<ObjectPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn groups_are_of_the_request_that_is_made() {
        assert_eq!(
            grant(&["shop"], &[]).upstream_groups("shop"),
            ["kubestile:operator:shop"]
        );
        let mut deployer = grant(&["shop"], &[]);
        deployer.terms.role = "deployer".to_owned();
        assert!(
            deployer.upstream_groups("shop").is_empty(),
            "no cluster knows it"
        );
        let wide = grant(&[], &[]);
        assert_eq!(wide.upstream_groups(""), ["kubestile:operator"]);
        let both = ["kubestile:operator", "kubestile:operator:cart"];
        assert_eq!(wide.upstream_groups("cart"), both);
    }

    #[test]
    fn what_is_over_stays_over() {
        let later = Timestamp::from_secs(10_000);
        let grant = grant(&["shop"], &[]);
        assert_eq!(
            grant.clone().extend(later, later),
            Err(GrantEndReason::Expired)
        );
        let longer = grant
            .clone()
            .extend(later, Timestamp::from_secs(200))
            .unwrap();
        assert_eq!(longer.expires, later);
        let longest = grant
            .clone()
            .extend(Timestamp::from_secs(1_000_000), Timestamp::from_secs(200));
        assert_eq!(longest.unwrap().expires, grant.starts.plus(LONGEST));
        let ended = grant.end(
            GrantEndReason::RevokedBy("bob".into()),
            Timestamp::from_secs(200),
        );
        let again = ended.end(GrantEndReason::GivenBack, Timestamp::from_secs(300));
        assert_eq!(
            again.check(later),
            Err(GrantEndReason::RevokedBy("bob".into()))
        );
    }

    #[test]
    fn terms_have_bounds() {
        let mut terms = grant(&["shop"], &[]).terms;
        assert!(terms.check().is_ok());
        terms.duration = Ttl::from_secs(13 * 3600);
        assert_eq!(terms.check(), Err(InvalidTerms::Duration));
        terms.duration = Ttl::from_secs(60);
        terms.role = "system:masters".into();
        assert_eq!(terms.check(), Err(InvalidTerms::Role));
    }
}
