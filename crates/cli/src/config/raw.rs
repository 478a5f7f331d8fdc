//! A configuration file as it is written, and how it becomes a [`Config`].

mod holds;
mod notifications;
mod pipelines;
mod tickets;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use kubestile_authn::TlsVersion;
use kubestile_control::{Outside, OutsideConfig};
use kubestile_core::ClusterName;
use kubestile_gateway::Settings;
use serde::{Deserialize, Serialize};

use self::holds::RawHolds;
pub(crate) use self::holds::RawMode;
use self::notifications::RawNotifications;
use self::pipelines::RawPipelines;
use self::tickets::RawTickets;
use super::{ClusterSource, Config, Lifetimes, StaticCluster};
use crate::client::GateUrl;
use crate::clock;
use crate::exit::chain;
use crate::files;
use crate::policies::PolicyFiles;

/// The file. Every key may be left out; what each means, its default and its range are said here.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawConfig {
    /// Where clients connect. Default `127.0.0.1:8443`. Port 0 takes a free one.
    pub(crate) listen: Option<SocketAddr>,
    /// The address that people use (`https://gate.example.com`), if it is not the one listened on. It
    /// is in the server certificate and in what `login` writes.
    pub(crate) public_url: Option<String>,
    /// Further DNS names and IP addresses in the server certificate.
    pub(crate) names: Vec<String>,
    /// Keys, people, sessions and the log. Default `$XDG_STATE_HOME/kubestile`. Made with mode 0700.
    pub(crate) state_directory: Option<PathBuf>,
    /// Where `/healthz`, `/readyz` and `/metrics` are; they need no credential, so keep it on
    /// loopback or behind a network policy. Default: nowhere.
    pub(crate) health_listen: Option<SocketAddr>,
    /// TLS towards clients.
    pub(crate) tls: RawTls,
    /// How long sessions, certificates and login codes last.
    pub(crate) sessions: RawSessions,
    /// Which policies apply.
    pub(crate) policies: RawPolicies,
    /// Clusters, beside those added with `kubestile cluster add`.
    pub(crate) clusters: Vec<RawCluster>,
    /// The check of the gate's own account in each cluster.
    pub(crate) accounts: RawAccounts,
    /// Limits of the data plane.
    pub(crate) limits: RawLimits,
    /// How requests are held that need an approval.
    pub(crate) holds: RawHolds,
    /// Tickets that grants hang on.
    pub(crate) tickets: RawTickets,
    /// Messages to people.
    pub(crate) notifications: RawNotifications,
    /// Pipelines that log in with the identity token of their job.
    pub(crate) pipelines: RawPipelines,
    /// How long things may take.
    pub(crate) timeouts: RawTimeouts,
    /// The server's own log (not the audit log).
    pub(crate) logging: RawLogging,
}

/// TLS towards clients.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawTls {
    /// The lowest version: `"1.3"` (default) or `"1.2"`.
    pub(crate) minimum: Option<String>,
}

/// How long sessions, certificates and login codes last.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawSessions {
    /// A session. Default `8h`; `1m` to `7d`.
    pub(crate) lifetime: Option<String>,
    /// A client certificate. Default `1h`; `1m` to `24h`, at most a session.
    pub(crate) certificate: Option<String>,
    /// A login code. Default `15m`; `1m` to `24h`.
    pub(crate) code: Option<String>,
    /// Live sessions of one person; with one more, the oldest ends. Default 50; at least 1.
    pub(crate) per_person: Option<usize>,
}

/// Which policies apply.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawPolicies {
    /// Whether the policies that come with Kubestile apply. Default `true`.
    pub(crate) base: Option<bool>,
    /// Ids of those that a policy of the same id in `directories` takes the place of.
    pub(crate) replace: Vec<String>,
    /// Directories of further policies (`*.cedar`). Changes are loaded as a whole; while there is an
    /// error, the last good set stays.
    pub(crate) directories: Vec<PathBuf>,
}

/// A cluster.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawCluster {
    /// Its name behind the gate: a DNS label.
    pub(crate) name: String,
    /// A kubeconfig with a context of the gate's own account.
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context. Default: the file's current one.
    pub(crate) context: Option<String>,
    /// The cluster that the gate runs in, as its own service account.
    pub(crate) in_cluster: bool,
}

/// The check of the gate's own account.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawAccounts {
    /// How often. Default `1m`; `10s` to `1h`.
    pub(crate) check: Option<String>,
    /// Clusters that are served although the account can do more than it should. Each start and each
    /// check says so in the log, and `kubestile_fail_open_total` counts it.
    pub(crate) serve_despite_excess_rights: Vec<String>,
}

/// Limits of the data plane.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawLimits {
    /// Largest body of an API request, in bytes. Default 3145728, the API server's own; at least 1024.
    pub(crate) body_bytes: Option<u64>,
    /// Open client connections. Default 20000.
    pub(crate) connections: Option<usize>,
    /// Open client connections per source address, an IPv6 /64 being one. Default 2000.
    pub(crate) connections_per_source: Option<usize>,
    /// Short requests in flight per person. Default 256.
    pub(crate) requests_per_person: Option<usize>,
    /// Open watches, logs and upgraded streams per person. Default 1000.
    pub(crate) streams_per_person: Option<usize>,
    /// Short requests in flight per cluster. Default 1000.
    pub(crate) requests_per_cluster: Option<usize>,
    /// Open watches, logs and upgraded streams per cluster. Default 10000.
    pub(crate) streams_per_cluster: Option<usize>,
}

/// How long things may take.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawTimeouts {
    /// Open requests after SIGTERM. Default `25s`; `0s` to `1h`.
    pub(crate) drain: Option<String>,
    /// A TLS handshake, and the head of a request. Default `10s`; `1s` to `5m`.
    pub(crate) handshake: Option<String>,
    /// After how long without an open request an HTTP/2 connection is closed. Default `5m`; `10s` to `1h`.
    pub(crate) idle: Option<String>,
    /// Connecting to an API server. Default `10s`; `1s` to `5m`.
    pub(crate) connect: Option<String>,
}

/// The server's own log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct RawLogging {
    /// `text` (default) or `json`, a line an event, on standard error.
    pub(crate) format: Option<LogFormat>,
    /// `error`, `warn`, `info` (default), `debug`, or a filter (`info,kubestile_gateway=debug`).
    pub(crate) level: Option<String>,
}

/// The form of the server's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

impl RawConfig {
    /// Reads a file's text. An empty one is all defaults.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| chain(error.without_snippet()))
    }

    /// The same file with every default written out.
    pub(crate) fn with_defaults(mut self, config: &Config) -> Self {
        let secs = |d: Duration| Some(format!("{}s", d.as_secs()));
        let settings = &config.settings;
        self.listen = Some(config.listen);
        self.state_directory = Some(config.state_dir.clone());
        self.tls.minimum = Some(match config.tls {
            TlsVersion::Tls13 => "1.3".to_owned(),
            TlsVersion::Tls12 => "1.2".to_owned(),
        });
        self.sessions = RawSessions {
            lifetime: secs(config.lifetimes.session),
            certificate: secs(config.lifetimes.certificate),
            code: secs(config.lifetimes.code),
            per_person: Some(config.sessions_per_person),
        };
        self.policies.base = Some(config.policies.base);
        self.accounts.check = secs(config.check_every);
        self.limits = RawLimits {
            body_bytes: Some(settings.body_limit),
            connections: Some(settings.max_connections),
            connections_per_source: Some(settings.connections_per_source),
            requests_per_person: Some(settings.requests_per_person),
            streams_per_person: Some(settings.streams_per_person),
            requests_per_cluster: Some(settings.requests_per_cluster),
            streams_per_cluster: Some(settings.streams_per_cluster),
        };
        self.holds.patience = Some(format!("{}s", settings.holds.patience.as_secs()));
        self.holds.per_person = Some(settings.holds.per_person);
        self.holds.per_cluster = Some(settings.holds.per_cluster);
        self.holds.memory_kib = Some(settings.holds.memory_kib);
        self.holds.mode = self.holds.mode.or_else(|| Some(Default::default()));
        self.tickets.silence = Some(format!("{}s", config.outside.ticket_silence.as_secs()));
        self.timeouts = RawTimeouts {
            drain: secs(settings.drain),
            handshake: secs(settings.handshake),
            idle: secs(settings.idle),
            connect: secs(settings.connect),
        };
        self.logging = RawLogging {
            format: Some(config.logging.0),
            level: Some(config.logging.1.clone()),
        };
        self
    }

    /// Checks every value.
    pub(crate) fn resolve(self) -> Result<Config, String> {
        let public_url = self
            .public_url
            .as_deref()
            .map(str::parse::<GateUrl>)
            .transpose();
        let lifetimes = self.sessions.resolve()?;
        let mut settings = self.limits.resolve()?;
        self.timeouts.apply(&mut settings)?;
        settings.holds = self.holds.resolve()?;
        let outside = outside(self.tickets, self.notifications, self.pipelines)?;
        let state_dir = match self.state_directory {
            Some(dir) if dir.is_absolute() => dir,
            Some(dir) => {
                return Err(format!(
                    "stateDirectory: `{}` is not an absolute path",
                    dir.display()
                ));
            }
            None => files::default_state_dir().map_err(|e| e.message().to_owned())?,
        };
        for dir in &self.policies.directories {
            if !dir.is_absolute() {
                return Err(format!(
                    "policies.directories: `{}` is not an absolute path",
                    dir.display()
                ));
            }
        }
        Ok(Config {
            listen: self
                .listen
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8443))),
            public_url: public_url.map_err(|e| format!("publicUrl: {e}"))?,
            names: names(self.names)?,
            state_dir,
            health: self.health_listen,
            tls: tls(self.tls.minimum.as_deref())?,
            lifetimes,
            sessions_per_person: match self.sessions.per_person {
                Some(0) => return Err("sessions.perPerson: it must be at least 1".to_owned()),
                set => set.unwrap_or(50),
            },
            policies: PolicyFiles {
                base: self.policies.base.unwrap_or(true),
                replace: self.policies.replace,
                dirs: self.policies.directories,
            },
            clusters: clusters(self.clusters)?,
            despite_excess: self
                .accounts
                .serve_despite_excess_rights
                .iter()
                .map(|name| {
                    name.parse()
                        .map_err(|e| format!("accounts.serveDespiteExcessRights: {e}"))
                })
                .collect::<Result<_, _>>()?,
            check_every: span(
                "accounts.check",
                self.accounts.check.as_deref(),
                60,
                10,
                3600,
            )?,
            settings,
            outside,
            logging: self.logging.resolve()?,
        })
    }
}

impl RawSessions {
    fn resolve(&self) -> Result<Lifetimes, String> {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 3600;
        let lifetime = self.lifetime.as_deref();
        let session = span(
            "sessions.lifetime",
            lifetime,
            8 * HOUR,
            MINUTE,
            7 * 24 * HOUR,
        )?;
        let certificate = self.certificate.as_deref();
        let certificate = span("sessions.certificate", certificate, HOUR, MINUTE, 24 * HOUR)?;
        let code = span(
            "sessions.code",
            self.code.as_deref(),
            15 * MINUTE,
            MINUTE,
            24 * HOUR,
        )?;
        if self.certificate.is_some() && certificate > session {
            return Err(
                "sessions.certificate: a certificate cannot last longer than its session"
                    .to_owned(),
            );
        }
        let certificate = certificate.min(session);
        Ok(Lifetimes {
            session,
            certificate,
            code,
        })
    }
}

impl RawLimits {
    fn resolve(&self) -> Result<Settings, String> {
        let default = Settings::default();
        let at_least = |key: &str, set: Option<usize>, default: usize| match set {
            Some(0) => Err(format!("limits.{key}: it must be at least 1")),
            Some(n) => Ok(n),
            None => Ok(default),
        };
        let body_limit = match self.body_bytes {
            Some(bytes) if bytes < 1024 => {
                return Err("limits.bodyBytes: it must be at least 1024".to_owned());
            }
            Some(bytes) => bytes,
            None => default.body_limit,
        };
        Ok(Settings {
            body_limit,
            max_connections: at_least("connections", self.connections, default.max_connections)?,
            connections_per_source: at_least(
                "connectionsPerSource",
                self.connections_per_source,
                default.connections_per_source,
            )?,
            requests_per_person: at_least(
                "requestsPerPerson",
                self.requests_per_person,
                default.requests_per_person,
            )?,
            streams_per_person: at_least(
                "streamsPerPerson",
                self.streams_per_person,
                default.streams_per_person,
            )?,
            requests_per_cluster: at_least(
                "requestsPerCluster",
                self.requests_per_cluster,
                default.requests_per_cluster,
            )?,
            streams_per_cluster: at_least(
                "streamsPerCluster",
                self.streams_per_cluster,
                default.streams_per_cluster,
            )?,
            ..default
        })
    }
}

impl RawTimeouts {
    fn apply(&self, settings: &mut Settings) -> Result<(), String> {
        settings.drain = span("timeouts.drain", self.drain.as_deref(), 25, 0, 3600)?;
        settings.handshake = span("timeouts.handshake", self.handshake.as_deref(), 10, 1, 300)?;
        settings.idle = span("timeouts.idle", self.idle.as_deref(), 300, 10, 3600)?;
        settings.connect = span("timeouts.connect", self.connect.as_deref(), 10, 1, 300)?;
        Ok(())
    }
}

impl RawLogging {
    fn resolve(self) -> Result<(LogFormat, String), String> {
        let level = self.level.unwrap_or_else(|| "info".to_owned());
        tracing_subscriber::EnvFilter::try_new(&level)
            .map_err(|e| format!("logging.level: `{level}`: {}", chain(&e)))?;
        Ok((self.format.unwrap_or_default(), level))
    }
}

/// Other people's services. What they are built from is tried here, so that a mistake is found before a
/// start: it reads certificate files and asks nobody.
fn outside(
    tickets: RawTickets,
    notifications: RawNotifications,
    pipelines: RawPipelines,
) -> Result<OutsideConfig, String> {
    let config = OutsideConfig {
        ticket_silence: tickets.silence()?,
        tickets: tickets.systems,
        channels: notifications.channels,
        issuers: pipelines.issuers,
        rules: pipelines.rules,
        people: pipelines.people,
    };
    Outside::new(config.clone()).map_err(|error| chain(&error))?;
    Ok(config)
}

/// A length of time with its default and range, in seconds.
fn span(
    key: &str,
    text: Option<&str>,
    default: u64,
    least: u64,
    most: u64,
) -> Result<Duration, String> {
    let Some(text) = text else {
        return Ok(Duration::from_secs(default));
    };
    let length = clock::duration(text).map_err(|e| format!("{key}: {e}"))?;
    if (least..=most).contains(&length.as_secs()) {
        return Ok(length);
    }
    let short = |secs: u64| {
        kubestile_core::Ttl::from_secs(u32::try_from(secs).unwrap_or(u32::MAX)).to_string()
    };
    Err(format!(
        "{key}: `{text}` is not between {} and {}",
        short(least),
        short(most)
    ))
}

fn tls(minimum: Option<&str>) -> Result<TlsVersion, String> {
    match minimum {
        None | Some("1.3") => Ok(TlsVersion::Tls13),
        Some("1.2") => Ok(TlsVersion::Tls12),
        Some(other) => Err(format!("tls.minimum: `{other}` is neither `1.3` nor `1.2`")),
    }
}

/// What may stand in a certificate: the URL type has the same rule for its host.
fn names(names: Vec<String>) -> Result<Vec<String>, String> {
    for name in &names {
        GateUrl::new(name, 443)
            .map_err(|_| format!("names: `{name}` is neither a DNS name nor an IP address"))?;
    }
    Ok(names)
}

fn clusters(raw: Vec<RawCluster>) -> Result<Vec<StaticCluster>, String> {
    let mut seen = HashSet::new();
    raw.into_iter()
        .map(|cluster| {
            let name: ClusterName =
                cluster.name.parse().map_err(|e| format!("clusters: {e}: it must be a DNS label"))?;
            if !seen.insert(name.clone()) {
                return Err(format!("clusters: `{name}` is there twice"));
            }
            let source = match (cluster.in_cluster, cluster.kubeconfig, cluster.context) {
                (true, None, None) => ClusterSource::InCluster,
                (false, Some(kubeconfig), context) if kubeconfig.is_absolute() => {
                    ClusterSource::Context { kubeconfig, context }
                }
                (false, Some(kubeconfig), _) => {
                    let path = kubeconfig.display();
                    return Err(format!("clusters: `{name}`: `{path}` is not an absolute path"));
                }
                _ => {
                    return Err(format!(
                        "clusters: `{name}` needs either `kubeconfig` (and `context`) or `inCluster: true`"
                    ));
                }
            };
            Ok(StaticCluster { name, source })
        })
        .collect()
}

#[cfg(test)]
mod tests;
