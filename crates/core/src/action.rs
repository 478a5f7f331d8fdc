//! What a request would do, in the words that policies use: one kind per verb, and one each for the
//! things that a verb hides (exec behind `get`, a token behind `create`).

use std::fmt;

use crate::ids::ClusterName;
use crate::request_info::{RequestInfo, Resource, Target, Verb};

/// What a request would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// On which cluster.
    pub cluster: ClusterName,
    /// The kind, which is the action of the policy schema.
    pub kind: ActionKind,
    /// The parsed request.
    pub info: RequestInfo,
    /// `dryRun=All` that the API server will honour; never true for DELETE, whose body could
    /// overrule the query.
    pub dry_run: bool,
    /// The command of an exec or cp, word by word.
    pub command: Vec<String>,
    /// The container that exec, attach and log name.
    pub container: Option<String>,
    /// Whom the client asks to be (`--as`), if it does.
    pub impersonates: Option<Impersonates>,
}

/// The identity that a client asks for with `--as`, `--as-group`, `--as-uid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impersonates {
    /// `Impersonate-User`.
    pub user: String,
    /// `Impersonate-Group`, in order.
    pub groups: Vec<String>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The kind of an action: the action's name in the policy schema.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ActionKind {
            $($(#[$doc])* $name,)*
        }

        impl ActionKind {
            /// Every kind, in the order of the schema.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As policies write it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

kinds! {
    /// Read one object.
    Get = "get",
    /// Read a collection.
    List = "list",
    /// Follow a collection or object.
    Watch = "watch",
    /// Read a container's log.
    Log = "log",
    /// Make an object.
    Create = "create",
    /// Replace an object.
    Update = "update",
    /// Change an object (apply, label, scale, …); may create it.
    Patch = "patch",
    /// Delete one object.
    Delete = "delete",
    /// Delete a collection.
    DeleteCollection = "deletecollection",
    /// Evict a pod (drain).
    Evict = "evict",
    /// Run a command in a container.
    Exec = "exec",
    /// Attach to a running container.
    Attach = "attach",
    /// Copy files out of or into a container: an exec of exactly the commands of `kubectl cp`.
    Copy = "cp",
    /// Forward ports of a pod.
    PortForward = "portforward",
    /// Add an ephemeral container (`kubectl debug`).
    Debug = "debug",
    /// Reach a pod or service through the API server's proxy.
    Proxy = "proxy",
    /// Reach a node's kubelet through the API server's proxy: root on that node.
    NodeProxy = "nodeproxy",
    /// Mint a service account token.
    Token = "token",
    /// Approve or sign a certificate signing request.
    Approve = "approve",
    /// Act as somebody else (`--as`): judged beside the action itself.
    Impersonate = "impersonate",
    /// Ask for a job function, for a while or for one request: not a request to Kubernetes.
    Ask = "ask",
    /// Approve or deny what somebody else asks for: not a request to Kubernetes.
    Answer = "answer",
    /// Discovery: API groups, versions, OpenAPI, `/version`.
    Discover = "discover",
    /// Any other path that is not a resource (`/metrics`, `/logs`, `/debug/pprof`).
    NonResource = "nonresource",
    /// A request without a verb. No policy can permit it.
    Unknown = "unknown",
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ActionKind {
    /// Whether it only reads, so that its record may become durable while the answer streams.
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::List | Self::Discover)
    }

    /// Whether it is discovery, which is never held and answered fast.
    pub const fn is_discovery(self) -> bool {
        matches!(self, Self::Discover)
    }
}

impl Action {
    /// The action that a parsed request is.
    pub fn new(
        cluster: ClusterName,
        info: RequestInfo,
        impersonates: Option<Impersonates>,
    ) -> Self {
        let kind = kind_of(&info);
        let streams = matches!(kind, ActionKind::Exec | ActionKind::Copy);
        let command = if streams {
            info.query.all("command").map(str::to_owned).collect()
        } else {
            Vec::new()
        };
        let writes = matches!(info.verb, Verb::Create | Verb::Update | Verb::Patch);
        let dry_run = writes && info.query.first("dryRun") == Some("All");
        let container = info
            .resource()
            .filter(|r| r.resource == "pods" && !r.subresource.is_empty())
            .and_then(|_| info.query.first("container"))
            .map(str::to_owned);
        Self {
            cluster,
            kind,
            info,
            dry_run,
            command,
            container,
            impersonates,
        }
    }

    /// The resource, if it is a resource request.
    pub fn resource(&self) -> Option<&Resource> {
        self.info.resource()
    }

    /// The namespace; empty for cluster-scoped and non-resource requests.
    pub fn namespace(&self) -> &str {
        self.info.namespace()
    }

    /// Whether the API server sets no deadline on it (`filters/longrunning.go`): such a request has a
    /// connection of its own and ends with its session.
    pub fn is_long_running(&self) -> bool {
        if matches!(self.info.verb, Verb::Watch | Verb::Proxy) {
            return true;
        }
        self.resource().is_some_and(|r| {
            matches!(
                r.subresource.as_str(),
                "attach" | "exec" | "proxy" | "log" | "portforward"
            )
        })
    }

    /// Whether the path may be followed by an `Upgrade` (exec, attach, port-forward, proxies).
    pub fn may_upgrade(&self) -> bool {
        self.resource().is_some_and(|r| {
            matches!(
                r.subresource.as_str(),
                "attach" | "exec" | "proxy" | "portforward"
            )
        })
    }
}

/// Paths of API discovery, which every client reads before anything else.
fn is_discovery(path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    if matches!(
        path,
        "/api" | "/apis" | "/version" | "/openapi/v2" | "/openapi/v3"
    ) {
        return true;
    }
    if path.starts_with("/openapi/v3/") {
        return true;
    }
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    matches!(
        segments.as_slice(),
        ["api", _] | ["apis", _] | ["apis", _, _]
    )
}

/// The kind of a request: the more dangerous reading wins.
fn kind_of(info: &RequestInfo) -> ActionKind {
    let resource = match &info.target {
        Target::NonResource { path } => {
            let reads = matches!(info.verb, Verb::Get | Verb::Head);
            return match (reads, is_discovery(path)) {
                (true, true) => ActionKind::Discover,
                _ => ActionKind::NonResource,
            };
        }
        Target::Resource(resource) => resource,
    };
    if info.verb == Verb::None {
        return ActionKind::Unknown;
    }
    if let Some(kind) = kind_of_subresource(info, resource) {
        return kind;
    }
    match info.verb {
        Verb::Get | Verb::Head => ActionKind::Get,
        Verb::List => ActionKind::List,
        Verb::Watch => ActionKind::Watch,
        Verb::Create => ActionKind::Create,
        Verb::Update => ActionKind::Update,
        Verb::Patch => ActionKind::Patch,
        Verb::Delete => ActionKind::Delete,
        Verb::DeleteCollection => ActionKind::DeleteCollection,
        Verb::Proxy if resource.resource == "nodes" => ActionKind::NodeProxy,
        Verb::Proxy => ActionKind::Proxy,
        Verb::Post | Verb::Put | Verb::Options | Verb::None => ActionKind::Unknown,
    }
}

/// What a subresource makes of a request, if it makes something else of it than its verb says.
fn kind_of_subresource(info: &RequestInfo, resource: &Resource) -> Option<ActionKind> {
    let writes = !matches!(info.verb, Verb::Get | Verb::List | Verb::Watch);
    // Aggregated APIs may name their subresources alike; the group is not looked at, so that a
    // virtual machine's `exec` is judged as an exec too.
    let kind = match (resource.resource.as_str(), resource.subresource.as_str()) {
        ("nodes", "proxy") => ActionKind::NodeProxy,
        (_, "proxy") => ActionKind::Proxy,
        (_, "exec") if is_copy(info) => ActionKind::Copy,
        (_, "exec") => ActionKind::Exec,
        (_, "attach") => ActionKind::Attach,
        (_, "portforward") => ActionKind::PortForward,
        (_, "log") if !writes => ActionKind::Log,
        (_, "ephemeralcontainers") if writes => ActionKind::Debug,
        (_, "eviction") if writes => ActionKind::Evict,
        ("serviceaccounts", "token") => ActionKind::Token,
        ("certificatesigningrequests", "approval" | "status") if writes => ActionKind::Approve,
        _ => return None,
    };
    Some(kind)
}

/// Whether an exec runs exactly one of the commands that `kubectl cp` runs
/// (`kubectl/pkg/cmd/cp/cp.go`). `tar` can run programs by its options, so every word is checked.
fn is_copy(info: &RequestInfo) -> bool {
    let words: Vec<&str> = info.query.all("command").collect();
    let plain = |w: &&str| !w.is_empty() && !w.starts_with('-');
    match words.as_slice() {
        ["test", "-d", path] | ["tar", "cf", "-", path] => plain(path),
        ["tar", "-xmf", "-"]
        | [
            "tar",
            "--no-same-permissions",
            "--no-same-owner",
            "-xmf",
            "-",
        ] => true,
        ["tar", "-xmf", "-", "-C", dir]
        | [
            "tar",
            "--no-same-permissions",
            "--no-same-owner",
            "-xmf",
            "-",
            "-C",
            dir,
        ] => plain(dir),
        _ => false,
    }
}
