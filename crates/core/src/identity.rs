//! Who asks: the person as the store knows them, and the proof that a request really comes from them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{ClusterName, Namespace, PersonId, SessionId};
use crate::time::Timestamp;

/// A person, pipeline or service account that the gate knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The stable name: goes upstream as `Impersonate-User`.
    pub name: String,
    /// Our id for them: goes upstream as `Impersonate-Uid`, so that a name given anew is someone else.
    pub id: PersonId,
    /// What kind of holder it is.
    pub kind: IdentityKind,
    /// Groups of the identity provider. They are for policy; they do not go upstream.
    pub groups: Vec<String>,
    /// Standing job functions: what the person may do without a grant.
    pub functions: Vec<JobFunction>,
}

/// What kind of holder an identity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityKind {
    /// A human being.
    Person,
    /// A CI run.
    Pipeline,
    /// A machine account of the gate itself.
    ServiceAccount,
}

/// Whether `name` may be the stable name of a person: what could be taken for an identity of
/// Kubernetes itself (`system:…`) or break a header is refused.
///
/// # Errors
/// What is wrong with it, as a sentence without a full stop.
pub fn check_person_name(name: &str) -> Result<(), InvalidName> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@' | b'+');
    let reason = if name.is_empty() || name.len() > 128 {
        "it must have 1 to 128 characters"
    } else if !name.bytes().all(fine) {
        "only letters, digits and . _ - @ + are allowed"
    } else if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        "it must start with a letter or digit"
    } else {
        return Ok(());
    };
    Err(InvalidName {
        name: name.chars().take(80).collect(),
        reason,
    })
}

/// A name that cannot be a person's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` cannot be the name of a person: {reason}")]
pub struct InvalidName {
    name: String,
    reason: &'static str,
}

/// A job function and where it holds: `viewer`, `operator:shop`, `operator:shop@prod`.
///
/// The gate turns it into a group that it adds to one request at a time (`kubestile:viewer`,
/// `kubestile:operator:shop`), only where the scope covers that request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobFunction {
    role: String,
    namespace: Option<Namespace>,
    cluster: Option<ClusterName>,
}

impl JobFunction {
    /// The role's name (`viewer`, `operator`, `admin`, or one of your own).
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The one namespace it holds in; `None` means cluster-wide.
    pub fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// The one cluster it holds on; `None` means every cluster.
    pub fn cluster(&self) -> Option<&ClusterName> {
        self.cluster.as_ref()
    }

    /// Whether it counts for a request to `cluster` in `namespace` (empty: cluster-scoped).
    pub fn covers(&self, cluster: &ClusterName, namespace: &str) -> bool {
        self.cluster.as_ref().is_none_or(|c| c == cluster)
            && self
                .namespace
                .as_ref()
                .is_none_or(|n| n.as_str() == namespace)
    }

    /// Whether it is about the gate alone (approving, looking after security, emergencies, keeping releases): then
    /// no cluster knows it, and it does not go upstream. The gate's account may not even name such a group there.
    pub fn is_for_the_gate(&self) -> bool {
        role_is_for_the_gate(&self.role)
    }

    /// The group that carries it upstream.
    pub fn upstream_group(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("kubestile:{}:{namespace}", self.role),
            None => format!("kubestile:{}", self.role),
        }
    }
}

/// Whether the role of a job function means something at the gate only.
pub(crate) fn role_is_for_the_gate(role: &str) -> bool {
    matches!(role, "approver" | "break-glass" | "deployer" | "security")
}

impl fmt::Display for JobFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.role)?;
        if let Some(namespace) = &self.namespace {
            write!(f, ":{namespace}")?;
        }
        if let Some(cluster) = &self.cluster {
            write!(f, "@{cluster}")?;
        }
        Ok(())
    }
}

/// A text that is not a job function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a job function: write `viewer`, `operator:NAMESPACE` or `operator:NAMESPACE@CLUSTER`"
)]
pub struct InvalidFunction {
    text: String,
}

impl FromStr for JobFunction {
    type Err = InvalidFunction;

    fn from_str(text: &str) -> Result<Self, InvalidFunction> {
        let invalid = || InvalidFunction {
            text: text.chars().take(80).collect(),
        };
        let (rest, cluster) = match text.split_once('@') {
            Some((rest, cluster)) => (rest, Some(cluster.parse().map_err(|_| invalid())?)),
            None => (text, None),
        };
        let (role, namespace) = match rest.split_once(':') {
            Some((role, namespace)) => (role, Some(namespace.parse().map_err(|_| invalid())?)),
            None => (rest, None),
        };
        if !crate::ids::is_dns_label(role) {
            return Err(invalid());
        }
        Ok(Self {
            role: role.to_owned(),
            namespace,
            cluster,
        })
    }
}

impl TryFrom<String> for JobFunction {
    type Error = InvalidFunction;

    fn try_from(text: String) -> Result<Self, InvalidFunction> {
        text.parse()
    }
}

impl From<JobFunction> for String {
    fn from(function: JobFunction) -> Self {
        function.to_string()
    }
}

/// How strongly the person proved who they are (NIST SP 800-63 calls it an assurance level).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assurance {
    /// A one-time code handed over by an administrator.
    Code,
    /// One factor at an identity provider.
    Single,
    /// Two factors.
    Multi,
    /// A phishing-resistant second factor (passkey).
    PhishingResistant,
}

impl Assurance {
    /// 1 (code) to 4 (phishing-resistant): what policies compare.
    pub const fn level(self) -> i64 {
        match self {
            Self::Code => 1,
            Self::Single => 2,
            Self::Multi => 3,
            Self::PhishingResistant => 4,
        }
    }
}

/// By which means a request proved its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credential {
    /// A client certificate of our own authority.
    Certificate,
    /// A bearer token of ours, for load balancers that end TLS.
    BearerToken,
    /// The cookie of a browser that was signed in with the session; for the gate's own pages only.
    Browser,
}

/// Proof that a request comes from this identity, in this session, now.
///
/// INVARIANT: made only by [`VerifiedIdentity::assertion`], whose call sites `cargo xtask tidy` lists.
#[derive(Debug, Clone)]
pub struct VerifiedIdentity {
    identity: Arc<Identity>,
    session: SessionId,
    session_created: Timestamp,
    session_expires: Timestamp,
    assurance: Assurance,
    credential: Credential,
}

impl VerifiedIdentity {
    /// Asserts that `session` was looked up and holds, and that the request showed `credential`
    /// for it. The identity is the session's person as they stand now, not as of the login.
    pub fn assertion(
        identity: impl Into<Arc<Identity>>,
        session: &crate::session::Session,
        credential: Credential,
    ) -> Self {
        Self {
            identity: identity.into(),
            session: session.id,
            session_created: session.created,
            session_expires: session.expires,
            assurance: session.assurance,
            credential,
        }
    }

    /// The person.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// When the session began.
    pub fn session_created(&self) -> Timestamp {
        self.session_created
    }

    /// When the session ends by itself.
    pub fn session_expires(&self) -> Timestamp {
        self.session_expires
    }

    /// How strongly the person proved who they are.
    pub fn assurance(&self) -> Assurance {
        self.assurance
    }

    /// By which means.
    pub fn credential(&self) -> Credential {
        self.credential
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_functions_round_trip_and_scope() {
        let shop: JobFunction = "operator:shop@prod".parse().unwrap();
        assert_eq!(shop.to_string(), "operator:shop@prod");
        assert_eq!(shop.upstream_group(), "kubestile:operator:shop");
        let (prod, dev) = ("prod".parse().unwrap(), "dev".parse().unwrap());
        assert!(shop.covers(&prod, "shop"));
        assert!(!shop.covers(&dev, "shop"));
        assert!(!shop.covers(&prod, "shop2"));
        assert!(
            !shop.covers(&prod, ""),
            "a namespace's function gives nothing cluster-wide"
        );
        for ours in [
            "approver",
            "approver:shop",
            "security",
            "deployer:shop",
            "break-glass@prod",
        ] {
            assert!(
                ours.parse::<JobFunction>().unwrap().is_for_the_gate(),
                "{ours}"
            );
        }
        assert!(!shop.is_for_the_gate());
        let viewer: JobFunction = "viewer".parse().unwrap();
        assert!(viewer.covers(&prod, "") && viewer.covers(&dev, "x"));
        for bad in [
            "",
            ":shop",
            "operator:",
            "operator:a:b",
            "o@",
            "system:masters@",
            "Op",
        ] {
            assert!(bad.parse::<JobFunction>().is_err(), "{bad}");
        }
    }

    #[test]
    fn person_names_cannot_pose_as_kubernetes_identities() {
        assert!(check_person_name("ana@example.com").is_ok());
        for bad in [
            "",
            "system:admin",
            "a b",
            "..",
            "-v",
            "a\r\nb",
            "ä",
            &"a".repeat(129),
        ] {
            assert!(check_person_name(bad).is_err(), "{bad}");
        }
    }
}
