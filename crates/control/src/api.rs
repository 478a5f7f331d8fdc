//! The wire types, for both sides. Times are RFC 3339; unknown fields of requests are refused.

mod access;
mod browser;
mod exchange;
mod facts;
mod import;

use kubestile_core::identity::{Assurance, Credential, IdentityKind};
use kubestile_core::{ClusterName, JobFunction, PersonId, Secret, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

pub use access::{
    AccessEntry, AccessList, AccessStats, ApproveRequest, AskAnswer, AskRequest, Askable,
    DenyRequest, ExtendRequest, GrantEntry, GrantList, ReviewRequest, Rights,
};
pub use browser::{BrowserAnswer, BrowserRequest};
pub use exchange::{EXCHANGE, ExchangeAnswer, ExchangePending, ExchangeRequest, TOKEN_TYPE};
pub use facts::{
    ClusterFacts, GateFacts, GrantFacts, GrantFault, LogFacts, PolicyFacts, SessionFacts,
    StandingFacts,
};
pub use import::{
    BATCH_BYTES, BATCH_RECORDS, BeginImport, EndImport, ImportBegun, ImportEnded, ImportRecords,
    ImportWritten, SOURCES,
};

/// `POST /v1/login`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    /// The login code, as the person typed it.
    #[serde(with = "secret_text")]
    pub code: Secret<String>,
    /// A signing request for the key made on the client, PEM.
    pub csr: String,
    /// What the client says of itself: `kubestile 0.1 on laptop`.
    #[serde(default)]
    pub client: String,
}

/// The answer to a login.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoginAnswer {
    /// The new session.
    pub session: SessionId,
    /// The person's name.
    pub person: String,
    /// The client certificate, PEM.
    pub certificate: String,
    /// Until when the certificate holds.
    #[serde(with = "rfc3339")]
    pub not_after: Timestamp,
    /// Until when the session holds.
    #[serde(with = "rfc3339")]
    pub session_expires: Timestamp,
    /// The clusters behind the gate.
    pub clusters: Vec<ClusterEntry>,
    /// The gate's authority, PEM: what the kubeconfig trusts.
    pub ca: String,
}

/// A cluster, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterEntry {
    /// Its name.
    pub name: ClusterName,
    /// The URL for a kubeconfig: the gate's, never the API server's own.
    pub url: String,
}

/// `POST /v1/renew`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// The session.
    pub session: SessionId,
    /// A signing request for the session's key, PEM.
    pub csr: String,
    /// The client's time, in seconds since the Unix epoch.
    pub timestamp: i64,
    /// From [`kubestile_authn::proof::sign`].
    pub proof: String,
}

/// The answer to a renewal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenewAnswer {
    /// The new client certificate, PEM.
    pub certificate: String,
    /// Until when it holds.
    #[serde(with = "rfc3339")]
    pub not_after: Timestamp,
    /// Until when the session holds.
    #[serde(with = "rfc3339")]
    pub session_expires: Timestamp,
    /// The gate's authority, PEM.
    pub ca: String,
}

/// A request without further words (`POST /v1/token`, `POST /v1/logout`): `{}`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// The answer to `POST /v1/token`.
#[derive(Debug, Serialize, Deserialize)]
pub struct TokenAnswer {
    /// The bearer token; it is shown this once.
    #[serde(with = "secret_text")]
    pub token: Secret<String>,
    /// Until when it holds.
    #[serde(with = "rfc3339")]
    pub expires: Timestamp,
}

/// The answer to `GET /v1/whoami`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WhoAmI {
    /// Stable name.
    pub person: String,
    /// Our id.
    pub id: PersonId,
    /// Person, pipeline or service account.
    pub kind: IdentityKind,
    /// Standing job functions.
    pub functions: Vec<JobFunction>,
    /// Groups of the identity provider.
    pub groups: Vec<String>,
    /// The session.
    pub session: SessionId,
    /// How strongly the login proved the person.
    pub assurance: Assurance,
    /// How this request proved the session.
    pub credential: Credential,
    /// When the session began.
    #[serde(with = "rfc3339")]
    pub session_created: Timestamp,
    /// Until when the session holds.
    #[serde(with = "rfc3339")]
    pub session_expires: Timestamp,
    /// The address that this request came from.
    pub source: String,
}

/// The answer to `GET /v1/sessions`, the latest login first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionList {
    /// The sessions.
    pub sessions: Vec<SessionEntry>,
    /// Whether there are more than are shown.
    pub truncated: bool,
}

/// A session, as people see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionEntry {
    /// Its id.
    pub id: SessionId,
    /// The person's name.
    pub person: String,
    /// What the client said of itself.
    pub client: String,
    /// How strongly the login proved the person.
    pub assurance: Assurance,
    /// When it began.
    #[serde(with = "rfc3339")]
    pub created: Timestamp,
    /// When it ends, or would have ended, by itself.
    #[serde(with = "rfc3339")]
    pub expires: Timestamp,
    /// Why it holds no longer; absent while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Whether it is the one that asks.
    #[serde(default)]
    pub current: bool,
}

/// `POST /v1/sessions/{id}/end`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndRequest {
    /// Why; the person is shown it.
    #[serde(default)]
    pub reason: String,
}

/// The answer to an end of a session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EndAnswer {
    /// Whether it held until now.
    pub ended: bool,
}

/// The answer to `GET /v1/clusters`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClusterList {
    /// The clusters behind the gate.
    pub clusters: Vec<ClusterEntry>,
}

/// Admin: `POST /v1/people`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddPerson {
    /// Stable name.
    pub name: String,
    /// Standing job functions.
    #[serde(default)]
    pub functions: Vec<JobFunction>,
    /// Groups for policy.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// Admin: a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonEntry {
    /// Stable name.
    pub name: String,
    /// Our id.
    pub id: PersonId,
    /// Person, pipeline or service account.
    pub kind: IdentityKind,
    /// Standing job functions.
    pub functions: Vec<JobFunction>,
    /// Groups for policy.
    pub groups: Vec<String>,
    /// How many of their sessions hold.
    pub live_sessions: usize,
}

/// Admin: the answer to `GET /v1/people`, sorted by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PersonList {
    /// Everybody.
    pub people: Vec<PersonEntry>,
}

/// Admin: `PUT /v1/people/{name}/functions`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetFunctions {
    /// The standing job functions from now on.
    pub functions: Vec<JobFunction>,
}

/// Admin: the answer to `POST /v1/people/{name}/codes`.
#[derive(Debug, Serialize, Deserialize)]
pub struct CodeAnswer {
    /// The login code; it is shown this once and works once.
    #[serde(with = "secret_text")]
    pub code: Secret<String>,
    /// Until when it works.
    #[serde(with = "rfc3339")]
    pub expires: Timestamp,
    /// Where to log in.
    pub url: String,
    /// SHA-256 of the authority's certificate, hex: how a client that logs in for the first time
    /// knows the gate.
    pub authority: String,
}

/// Admin: `PUT /v1/clusters/{name}/mode`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutMode {
    /// `legacy` or `constrained`.
    pub mode: String,
}

/// Admin: `PUT /v1/clusters/{name}`. Holds at most one of `token` and `kubeconfig`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutCluster {
    /// The API server's URL.
    pub server: String,
    /// Certificates of the authority that signed the API server's, PEM; absent: the system's.
    #[serde(default)]
    pub ca_pem: Option<String>,
    /// The name that the API server's certificate must carry, if it is not the URL's host.
    #[serde(default)]
    pub tls_server_name: Option<String>,
    /// The gate's own credential there.
    #[serde(default, with = "secret_option")]
    pub token: Option<Secret<String>>,
    /// When that credential expires, in seconds since the Unix epoch.
    #[serde(default)]
    pub token_expires: Option<i64>,
    /// Path of the kubeconfig, on the gate's machine, whose credential is used instead.
    #[serde(default)]
    pub kubeconfig: Option<String>,
    /// The context in that kubeconfig.
    #[serde(default)]
    pub context: Option<String>,
    /// How the gate impersonates: `legacy` or `constrained`.
    pub mode: String,
}

/// Admin: a cluster, without its credential.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClusterDetails {
    /// Its name.
    pub name: ClusterName,
    /// The URL for a kubeconfig.
    pub url: String,
    /// The API server's URL.
    pub server: String,
    /// `token`, `kubeconfig`, or `in-cluster`.
    pub credential: String,
    /// The context that it was added by, as a hint to whoever administers it next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// How the gate impersonates.
    pub mode: String,
    /// When it was added.
    #[serde(with = "rfc3339")]
    pub added: Timestamp,
}

/// Admin: the answer to `GET /v1/clusters`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClusterDetailsList {
    /// The clusters behind the gate.
    pub clusters: Vec<ClusterDetails>,
}

/// Admin: the answer to `GET /v1/status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The gate's version.
    pub version: String,
    /// The gate's time.
    #[serde(with = "rfc3339")]
    pub now: Timestamp,
    /// The gate's URL.
    pub public_url: String,
    /// How many people there are.
    pub people: usize,
    /// How many sessions hold.
    pub live_sessions: usize,
    /// How many clusters there are.
    pub clusters: usize,
    /// SHA-256 of the authority's certificate, hex.
    pub authority: String,
    /// Until when the authority holds.
    #[serde(with = "rfc3339")]
    pub authority_not_after: Timestamp,
    /// What came in from, and went out to, other people's services.
    #[serde(default)]
    pub outside: OutsideStatus,
    /// What the running process says of itself.
    pub process: serde_json::Value,
}

/// What came in from, and went out to, other people's services, since the gate started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutsideStatus {
    /// Webhooks that were signed as configured.
    pub webhooks_taken: u64,
    /// Webhooks that were not.
    pub webhooks_refused: u64,
    /// Tickets asked for that grants hang on.
    pub tickets_asked: u64,
    /// How many of those gave no clear answer.
    pub tickets_unclear: u64,
    /// What became of notifications.
    pub notifications: Vec<ChannelStatus>,
}

/// What became of the messages of one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelStatus {
    /// Its name.
    pub channel: String,
    /// Delivered.
    pub sent: u64,
    /// Attempts that failed and were followed by another.
    pub retried: u64,
    /// Given up.
    pub failed: u64,
    /// Dropped because newer ones filled the queue.
    pub dropped: u64,
}

/// A failure, as every path answers it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// What happened.
    pub error: String,
    /// What to do.
    #[serde(default)]
    pub hint: Option<String>,
}

/// Times as RFC 3339 text.
mod rfc3339 {
    use kubestile_core::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&at.rfc3339())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        let at = OffsetDateTime::parse(&text, &Rfc3339).map_err(serde::de::Error::custom)?;
        let micros = i64::try_from(at.unix_timestamp_nanos() / 1000);
        Ok(Timestamp::from_micros(
            micros.map_err(serde::de::Error::custom)?,
        ))
    }
}

/// Secrets on the wire. Each is in TLS or on the local socket, and nowhere else.
mod secret_text {
    use kubestile_core::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        secret: &Secret<String>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Secret<String>, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}

/// As `secret_text`, where there may be none.
mod secret_option {
    use kubestile_core::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        secret: &Option<Secret<String>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match secret {
            Some(secret) => to.serialize_some(secret.expose()),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Secret<String>>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }
}
