//! A snapshot made easy to ask: who holds what, by which binding, and whether that is stock.

use std::collections::BTreeMap;

use kubestile_rbac::Rule;

use crate::snapshot::{
    ApiServer, Binding, ClusterEntry, ClusterFacts, ConfigFile, Gate, GateCluster, GateFacts,
    Kubeconfig, ObjectRef, Role, Snapshot, Subject, UserEntry,
};
use crate::stock;
use crate::verdict::{Change, Evidence, Undecided};

/// What checks ask.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What was collected.
    pub snapshot: &'a Snapshot,
    grants: Result<Vec<Grant<'a>>, Undecided>,
    /// Subject → which of the grants are its own.
    held: BTreeMap<Key<'a>, Vec<usize>>,
}

/// What a subject is told from all others by: kind, namespace, name.
type Key<'a> = (&'a str, &'a str, &'a str);

fn key<'a>(grant: &Grant<'a>) -> Key<'a> {
    match grant.account() {
        Some((namespace, name)) => ("ServiceAccount", namespace, name),
        None => (&grant.subject.kind, "", &grant.subject.name),
    }
}

/// What one binding gives to one subject.
#[derive(Debug, Clone)]
pub struct Grant<'a> {
    /// The binding.
    pub binding: &'a Binding,
    /// The subject.
    pub subject: &'a Subject,
    /// Which of the binding's subjects it is.
    pub index: usize,
    /// What kind of subject it is.
    pub who: Who,
    /// Where it holds; none for the whole cluster.
    pub namespace: Option<&'a str>,
    /// The role, if it exists.
    pub role: Option<&'a Role>,
    /// Whether a fresh cluster has it as it is.
    pub stock: bool,
}

/// Kinds of subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Anybody at all: anonymous requests.
    Anonymous,
    /// Whoever has any credential, or every service account.
    Everyone,
    /// A person or pipeline by name.
    Person,
    /// A group of people.
    Group,
    /// A service account.
    Workload,
    /// Part of Kubernetes or its distribution, bound as it is when fresh.
    Component,
    /// A group that only the gate gives, or the gate's own account.
    Gate,
}

impl Who {
    /// Whether people (or pipelines that act for them) stand behind it.
    pub const fn is_human(self) -> bool {
        matches!(
            self,
            Self::Person | Self::Group | Self::Everyone | Self::Anonymous
        )
    }

    /// Whether somebody chose to give it this.
    pub const fn is_chosen(self) -> bool {
        !matches!(self, Self::Component | Self::Gate)
    }
}

/// Verbs on resources of one group that a check looks for.
#[derive(Debug, Clone, Copy)]
pub struct Want {
    /// Any of these verbs.
    pub verbs: &'static [&'static str],
    /// In this API group.
    pub group: &'static str,
    /// On any of these resources.
    pub resources: &'static [&'static str],
    /// Whether they exist beside namespaces only, so that a RoleBinding cannot give them.
    pub cluster: bool,
}

/// A rule that gives what was looked for.
#[derive(Debug, Clone)]
pub struct Hit<'f, 'a> {
    /// By which grant.
    pub grant: &'f Grant<'a>,
    /// Which rule of the role.
    pub rule: usize,
    /// Verbs and resource, in words.
    pub what: String,
}

impl<'a> Facts<'a> {
    /// Of a snapshot.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let grants = grants(snapshot);
        let mut held: BTreeMap<Key<'a>, Vec<usize>> = BTreeMap::new();
        for (index, grant) in grants.iter().flatten().enumerate() {
            held.entry(key(grant)).or_default().push(index);
        }
        Self {
            snapshot,
            grants,
            held,
        }
    }

    /// What the subject of a grant is given by name; none if roles and bindings are not known.
    pub fn held_by(&self, grant: &Grant<'a>) -> Vec<&Grant<'a>> {
        let grants = self.grants.as_deref().unwrap_or_default();
        let mine = self.held.get(&key(grant)).map_or(&[][..], Vec::as_slice);
        mine.iter().filter_map(|index| grants.get(*index)).collect()
    }

    /// Every grant, stock or not.
    ///
    /// # Errors
    /// What of the roles and bindings is missing.
    pub fn grants(&self) -> Result<&[Grant<'a>], Undecided> {
        self.grants.as_deref().map_err(Clone::clone)
    }

    /// Who of `whom` holds any of `wants`, one hit for each grant. Those who hold everything anyway are
    /// left out: they are counted in S0-11.
    ///
    /// # Errors
    /// As [`Facts::grants`].
    pub fn holders(
        &self,
        whom: impl Fn(Who) -> bool,
        wants: &[Want],
    ) -> Result<Vec<Hit<'_, 'a>>, Undecided> {
        self.holders_by(whom, wants, |_| true)
    }

    /// The same by rules that `counts` lets count.
    ///
    /// # Errors
    /// As [`Facts::grants`].
    pub fn holders_by(
        &self,
        whom: impl Fn(Who) -> bool,
        wants: &[Want],
        counts: impl Fn(&Rule) -> bool,
    ) -> Result<Vec<Hit<'_, 'a>>, Undecided> {
        let chosen = self
            .grants()?
            .iter()
            .filter(|g| whom(g.who) && !g.is_admin());
        Ok(chosen.filter_map(|g| g.hit_by(wants, &counts)).collect())
    }

    /// The API server's command line.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn api_server(&self) -> Result<&'a ApiServer, Undecided> {
        Ok(self.snapshot.control_plane.api_server.get()?)
    }

    /// The AuthenticationConfiguration.
    ///
    /// # Errors
    /// Why it is not known.
    pub fn authentication(&self) -> Result<&'a ConfigFile, Undecided> {
        Ok(self.snapshot.control_plane.authentication.get()?)
    }

    /// The gate, if one serves this cluster.
    ///
    /// # Errors
    /// Why there is none.
    pub fn gate(&self) -> Result<&'a Gate, Undecided> {
        let gate = self.snapshot.gate.get()?;
        let served = |c: &&GateCluster| c.served && self.is_this(&c.url, &c.server);
        if gate.clusters.iter().any(|c| served(&c)) {
            self.is_plausible(gate)?;
            return Ok(gate);
        }
        Err(Undecided(match gate.clusters_more {
            0 => "the gate does not serve this cluster: `kubestile cluster add` puts it before the cluster"
                .to_owned(),
            more => format!("the gate names {} of its clusters, this one is not among them, and {more} more", gate.clusters.len()),
        }))
    }

    /// Whether a cluster of the gate is this one. A kubeconfig of a login leads to the gate, one of an
    /// administrator to the API server.
    fn is_this(&self, url: &str, server: &str) -> bool {
        let this = self.snapshot.cluster.server.trim_end_matches('/');
        [url, server]
            .iter()
            .any(|u| !u.is_empty() && u.trim_end_matches('/') == this)
    }

    /// A gate elsewhere can say what it likes. It cannot serve a cluster where nobody may act as somebody else.
    fn is_plausible(&self, gate: &Gate) -> Result<(), Undecided> {
        let Ok(grants) = self.grants() else {
            return Ok(());
        };
        let acts = |g: &Grant<'_>| {
            let verbs = g.rules().iter().flat_map(|r| &r.verbs);
            g.who != Who::Component
                && verbs
                    .into_iter()
                    .any(|v| v == "*" || v.starts_with("impersonate"))
        };
        if !gate.remote || grants.iter().any(acts) {
            return Ok(());
        }
        Err(Undecided(format!(
            "the gate at {} says that it serves this cluster, but the cluster lets nobody act as somebody else, as a gate must",
            gate.place
        )))
    }

    /// What the gate says of itself, if it serves this cluster.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn gate_facts(&self) -> Result<&'a GateFacts, Undecided> {
        let shown = self.gate()?.facts.as_ref();
        shown.ok_or_else(|| {
            Undecided(
                "the gate did not show its facts: `kubestile assess --gate DIR` on its machine, or as somebody with the job function `security`"
                    .to_owned(),
            )
        })
    }

    /// What the gate says of this cluster.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn gate_cluster(&self) -> Result<&'a ClusterFacts, Undecided> {
        let all = &self.gate_facts()?.clusters;
        all.iter()
            .find(|c| self.is_this(&c.url, &c.server))
            .ok_or_else(|| Undecided("the gate says nothing of this cluster".to_owned()))
    }

    /// Users of kubeconfigs on this machine that lead to this cluster, with their files.
    ///
    /// # Errors
    /// If there is none, or they could not be read.
    pub fn users(&self) -> Result<Vec<(&'a Kubeconfig, &'a UserEntry)>, Undecided> {
        let mut found = Vec::new();
        for (file, cluster) in self.clusters()? {
            let named = file.contexts.iter().filter(|c| c.cluster == cluster.name);
            for context in named {
                let users = file.users.iter().filter(|u| u.name == context.user);
                found.extend(users.map(|u| (file, u)));
            }
        }
        found.dedup_by(|a, b| std::ptr::eq(a.1, b.1));
        match found.is_empty() {
            true => Err(nothing_leads_here()),
            false => Ok(found),
        }
    }

    /// Clusters of kubeconfigs on this machine that are this one.
    ///
    /// # Errors
    /// As [`Facts::users`].
    pub fn clusters(&self) -> Result<Vec<(&'a Kubeconfig, &'a ClusterEntry)>, Undecided> {
        let files = self.snapshot.machine.kubeconfigs.get()?;
        let server = self.snapshot.cluster.server.trim_end_matches('/');
        let mut found = Vec::new();
        for file in files {
            let mine = file
                .clusters
                .iter()
                .filter(|c| c.server.trim_end_matches('/') == server);
            found.extend(mine.map(|c| (file, c)));
        }
        match found.is_empty() {
            true => Err(nothing_leads_here()),
            false => Ok(found),
        }
    }
}

fn nothing_leads_here() -> Undecided {
    Undecided("no kubeconfig on this machine leads to this cluster".to_owned())
}

fn grants(snapshot: &Snapshot) -> Result<Vec<Grant<'_>>, Undecided> {
    let rbac = &snapshot.rbac;
    let key = |r: &'_ Role| (r.metadata.namespace.clone(), r.metadata.name.clone());
    let cluster_roles = rbac.cluster_roles.get()?;
    let roles = rbac.roles.get()?;
    let by_name: BTreeMap<_, &Role> = cluster_roles
        .iter()
        .chain(roles)
        .map(|r| (key(r), r))
        .collect();
    let bindings = rbac.cluster_role_bindings.get()?.iter();
    let mut all = Vec::new();
    for binding in bindings.chain(rbac.role_bindings.get()?) {
        let namespace = match binding.role_ref.kind == "Role" {
            true => binding.metadata.namespace.clone(),
            false => String::new(),
        };
        let role = by_name
            .get(&(namespace, binding.role_ref.name.clone()))
            .copied();
        let scope = binding.metadata.namespace.as_str();
        for (index, subject) in binding.subjects.iter().enumerate() {
            let distribution = snapshot.cluster.distribution;
            let stock = stock::is_stock(distribution, binding, subject);
            all.push(Grant {
                binding,
                subject,
                index,
                who: who(subject, stock, distribution.is_managed()),
                namespace: (!scope.is_empty()).then_some(scope),
                role,
                stock,
            });
        }
    }
    Ok(all)
}

fn who(subject: &Subject, stock: bool, managed: bool) -> Who {
    let name = subject.name.as_str();
    let machines = |name: &str| {
        name == "system:nodes"
            || name == "system:bootstrappers"
            || name.starts_with("system:bootstrappers:")
    };
    let account = name.strip_prefix("system:serviceaccount:");
    match (subject.kind.as_str(), name) {
        _ if stock => Who::Component,
        ("User", "system:anonymous") | ("Group", "system:unauthenticated") => Who::Anonymous,
        ("Group", "system:authenticated" | "system:serviceaccounts") => Who::Everyone,
        ("ServiceAccount", "kubestile-gate") if subject.namespace == "kubestile-system" => {
            Who::Gate
        }
        ("ServiceAccount", _) => Who::Workload,
        ("User", _) if account.is_some() => Who::Workload,
        ("Group", _) if name.starts_with("system:serviceaccounts:") => Who::Workload,
        ("Group", _) if name.starts_with("kubestile:") => Who::Gate,
        // What somebody gives to every machine is somebody's choice.
        ("Group", _) if machines(name) => Who::Workload,
        // Only the API server's own authenticators give these names; S1-05 asks for that. A provider has more of
        // them, in bindings of its own; elsewhere whoever has one beside the control plane's was made by somebody.
        (_, _) if name.starts_with("system:") => match managed || stock::is_control_plane(name) {
            true => Who::Component,
            false => Who::Workload,
        },
        ("Group", _) => Who::Group,
        _ => Who::Person,
    }
}

impl<'a> Grant<'a> {
    /// The binding, for a command.
    pub fn object(&self) -> ObjectRef {
        let meta = &self.binding.metadata;
        let kind = match self.namespace {
            Some(_) => "rolebinding",
            None => "clusterrolebinding",
        };
        ObjectRef::new(kind, &meta.namespace, &meta.name)
    }

    /// Namespace and name, if it is a service account, also by its user name. One without a namespace is of its
    /// binding's.
    pub fn account(&self) -> Option<(&'a str, &'a str)> {
        let subject = self.subject;
        if subject.kind == "ServiceAccount" {
            let namespace = match subject.namespace.is_empty() {
                true => self.namespace.unwrap_or_default(),
                false => &subject.namespace,
            };
            return Some((namespace, &subject.name));
        }
        let user = (subject.kind == "User").then_some(subject.name.as_str())?;
        user.strip_prefix("system:serviceaccount:")?.split_once(':')
    }

    /// The subject in words: "group `dev`".
    pub fn subject_words(&self) -> String {
        match self.account() {
            Some((namespace, name)) => format!("service account `{namespace}/{name}`"),
            None => format!(
                "{} `{}`",
                self.subject.kind.to_lowercase(),
                self.subject.name
            ),
        }
    }

    /// Where it holds, in words.
    pub fn scope_words(&self) -> String {
        match self.namespace {
            Some(namespace) => format!("in `{namespace}`"),
            None => "in the whole cluster".to_owned(),
        }
    }

    /// The rules that it gives.
    pub fn rules(&self) -> &'a [Rule] {
        self.role.map_or(&[], |r| r.rules.as_slice())
    }

    /// Whether it gives everything in the whole cluster.
    pub fn is_admin(&self) -> bool {
        self.namespace.is_none() && self.rules().iter().any(Rule::is_everything)
    }

    /// The first rule that counts and gives any of `wants`.
    pub fn hit_by(&self, wants: &[Want], counts: &impl Fn(&Rule) -> bool) -> Option<Hit<'_, 'a>> {
        let counting = |(_, rule): &(usize, &Rule)| counts(rule);
        for (index, rule) in self.rules().iter().enumerate().filter(counting) {
            for want in wants {
                if want.cluster && self.namespace.is_some() {
                    continue;
                }
                if let Some(what) = rule.gives(want) {
                    return Some(Hit {
                        grant: self,
                        rule: index,
                        what,
                    });
                }
            }
        }
        None
    }

    /// That this subject stands in this binding.
    pub fn evidence(&self, text: impl Into<String>) -> Evidence {
        Evidence::object(&self.object(), format!("subjects[{}]", self.index), text)
    }

    /// The smallest change that takes it away.
    pub fn removal(&self) -> Change {
        if self.binding.subjects.len() == 1 {
            return Change::Delete(self.object());
        }
        let path = format!("/subjects/{}", self.index);
        // The test keeps a list that has changed meanwhile from losing somebody else.
        let mut value = serde_json::json!({
            "kind": self.subject.kind,
            "name": self.subject.name,
        });
        if let Some(fields) = value.as_object_mut() {
            if self.subject.kind == "ServiceAccount" {
                if !self.subject.namespace.is_empty() {
                    fields.insert("namespace".into(), self.subject.namespace.clone().into());
                }
            } else {
                fields.insert("apiGroup".into(), "rbac.authorization.k8s.io".into());
            }
        }
        Change::Patch {
            object: self.object(),
            patch: serde_json::json!([
                { "op": "test", "path": path, "value": value },
                { "op": "remove", "path": path },
            ]),
        }
    }
}

impl Hit<'_, '_> {
    /// What was found, and where.
    pub fn evidence(&self) -> Evidence {
        let grant = self.grant;
        let role = &grant.binding.role_ref;
        grant.evidence(format!(
            "{} may {} {}, by rules[{}] of {} `{}`",
            grant.subject_words(),
            self.what,
            grant.scope_words(),
            self.rule,
            role.kind.to_lowercase(),
            role.name
        ))
    }
}

/// What a rule gives, asked one part at a time.
pub(crate) trait Gives {
    /// Whether its verbs have this one.
    fn has_verb(&self, verb: &str) -> bool;
    /// Whether its groups have this one.
    fn has_group(&self, group: &str) -> bool;
    /// Whether its resources have this one (`pods/log`).
    fn has_resource(&self, resource: &str) -> bool;
    /// Whether it gives this action on something of any name.
    fn gives_action(&self, verb: &str, group: &str, resource: &str) -> bool;
    /// What it gives of `want`, in words.
    fn gives(&self, want: &Want) -> Option<String>;
    /// Whether it can change anything.
    fn writes(&self) -> bool;
}

impl Gives for Rule {
    fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == "*" || v == verb)
    }

    fn has_group(&self, group: &str) -> bool {
        self.api_groups.iter().any(|g| g == "*" || g == group)
    }

    fn has_resource(&self, resource: &str) -> bool {
        let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
        self.allows_resource(resource, sub)
    }

    fn gives_action(&self, verb: &str, group: &str, resource: &str) -> bool {
        self.has_verb(verb) && self.has_group(group) && self.has_resource(resource)
    }

    fn gives(&self, want: &Want) -> Option<String> {
        if !self.has_group(want.group) {
            return None;
        }
        let verbs: Vec<&str> = want
            .verbs
            .iter()
            .copied()
            .filter(|v| self.has_verb(v))
            .collect();
        let resources = want.resources.iter().copied();
        let resources: Vec<&str> = resources.filter(|r| self.has_resource(r)).collect();
        // A collection has no name to match.
        let named = !self.resource_names.is_empty();
        let verbs: Vec<&str> = verbs
            .into_iter()
            .filter(|v| !(named && *v == "create" && resources.iter().all(|r| !r.contains('/'))))
            .collect();
        if verbs.is_empty() || resources.is_empty() {
            return None;
        }
        let mut what = format!("{} {}", verbs.join(", "), resources.join(", "));
        if named {
            let names: Vec<&str> = self
                .resource_names
                .iter()
                .take(3)
                .map(String::as_str)
                .collect();
            what.push_str(&format!(" named {}", names.join(", ")));
        }
        Some(what)
    }

    fn writes(&self) -> bool {
        const READS: [&str; 3] = ["get", "list", "watch"];
        // A get of these is a connection, through which everything goes.
        const ENTERS: [&str; 4] = ["exec", "attach", "portforward", "proxy"];
        let asks = |r: &String| {
            r.starts_with("selfsubject")
                || matches!(
                    r.as_str(),
                    "subjectaccessreviews" | "localsubjectaccessreviews" | "tokenreviews"
                )
        };
        let enters = |r: &String| {
            r.split_once('/')
                .is_some_and(|(_, sub)| ENTERS.contains(&sub))
        };
        let changes = self.verbs.iter().any(|v| !READS.contains(&v.as_str()));
        (changes && !self.resources.is_empty() && !self.resources.iter().all(asks))
            || (self.has_verb("get") && self.resources.iter().any(enters))
    }
}
