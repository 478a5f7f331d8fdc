//! Techniques in one scope: a namespace, or every namespace where the rights hold in the cluster.

use super::super::needs::N;
use super::super::{Confidence, Node, Part, Sink, Support, Technique};
use super::{Builder, From, SYSTEM, accounts_of, everything_of};
use crate::model::Identity;
use crate::policy::{RoleId, Scope};

impl Builder<'_> {
    pub(super) fn of_scope(&mut self, from: &From<'_, '_, '_>, scope: &Scope) {
        if let (Scope::Namespace(_), Some(everything)) = (scope, from.rights.everything(scope)) {
            let needs = vec![everything];
            let to = everything_of(scope);
            self.edge(from, to, Technique::Everything, Confidence::Certain, needs);
        }
        self.bind(from, scope);
        self.escalate(from, scope);
        self.accounts_by_name(from, scope);
        self.secrets(from, scope);
        self.workloads(from, scope);
        self.running_pods(from, scope);
        self.displace(from, scope);
        self.of_system(from, scope);
        if let Some(needs) = self.all_here(from, &[N::WriteEndpoints], scope) {
            let to = Node::Sink(Sink::Interception);
            self.edge(from, to, Technique::Intercept, Confidence::Possible, needs);
        }
    }

    /// All of these, at least one of them from this very scope: what the cluster's rights give alone is drawn
    /// once, there.
    fn all_here(
        &self,
        from: &From<'_, '_, '_>,
        needs: &[N],
        scope: &Scope,
    ) -> Option<Vec<Support>> {
        let here = needs.iter().any(|n| from.rights.has_in(*n, scope));
        here.then(|| from.all(needs, scope)).flatten()
    }

    /// Writes a binding for a role that it may `bind`. The new binding holds where it is written: rights to
    /// write RoleBindings everywhere are drawn as what they give in `kube-system`, which is most.
    fn bind(&mut self, from: &From<'_, '_, '_>, scope: &Scope) {
        let system = Scope::Namespace(SYSTEM.to_owned());
        let (write, holds_in) = match scope {
            Scope::Cluster => (N::WriteClusterRoleBindings, scope),
            Scope::Namespace(_) => (N::WriteRoleBindings, scope),
        };
        self.bind_by(from, write, scope, holds_in);
        if *scope == Scope::Cluster {
            self.bind_by(from, N::WriteRoleBindings, scope, &system);
        }
    }

    fn bind_by(&mut self, from: &From<'_, '_, '_>, write: N, scope: &Scope, holds_in: &Scope) {
        let rights = from.rights;
        let Some(write) = rights.any(write, scope) else {
            return;
        };
        if let Some(bind) = rights.whole(N::BindClusterRoles, scope) {
            let needs = vec![write.clone(), bind];
            let to = everything_of(holds_in);
            self.edge(from, to, Technique::Bind, Confidence::Certain, needs);
        }
        for (name, bind) in rights.named(N::BindClusterRoles, scope) {
            if let Some(role) = self.policy.cluster_role(&name) {
                let needs = vec![write.clone(), bind];
                self.bind_role(from, role, holds_in, needs);
            }
        }
        for (name, bind) in rights.named(N::BindRoles, scope) {
            if let Some(role) = self.policy.role_named(holds_in.namespace(), &name) {
                let needs = vec![write.clone(), bind];
                self.bind_role(from, role, holds_in, needs);
            }
        }
    }

    fn bind_role(
        &mut self,
        from: &From<'_, '_, '_>,
        role: RoleId,
        scope: &Scope,
        needs: Vec<Support>,
    ) {
        let to = Node::Role(role, scope.clone());
        if self.graph.id(&to).is_none() {
            let node = self.graph.add_node(to.clone());
            self.role_nodes.push((node, role, scope.clone()));
        }
        self.edge(from, to, Technique::Bind, Confidence::Certain, needs);
    }

    /// Impersonates service accounts or asks for their tokens.
    fn accounts_by_name(&mut self, from: &From<'_, '_, '_>, scope: &Scope) {
        let ways = [
            (N::ImpersonateAccounts, Technique::Impersonate),
            (N::CreateTokens, Technique::Token),
        ];
        for (need, technique) in ways {
            if !from.rights.has_in(need, scope) {
                continue;
            }
            if let Some(all) = from.rights.whole(need, scope) {
                let to = accounts_of(scope);
                self.edge(from, to, technique, Confidence::Certain, vec![all]);
            }
            for (name, support) in from.rights.named(need, scope) {
                for account in self.accounts_named(&name, scope) {
                    let to = Node::Identity(account);
                    let needs = vec![support.clone()];
                    self.edge(from, to, technique, Confidence::Certain, needs);
                }
            }
        }
    }

    fn accounts_named(&self, name: &str, scope: &Scope) -> Vec<Identity> {
        match scope {
            Scope::Namespace(namespace) => vec![Identity::service_account(namespace, name)],
            Scope::Cluster => self
                .accounts
                .iter()
                .filter(|(_, names)| names.contains(name))
                .map(|(namespace, _)| Identity::service_account(namespace, name))
                .collect(),
        }
    }

    fn secrets(&mut self, from: &From<'_, '_, '_>, scope: &Scope) {
        let accounts = accounts_of(scope);
        if let Some(needs) = self.all_here(from, &[N::CreateSecrets, N::GetSecrets], scope) {
            let to = accounts.clone();
            self.edge(from, to, Technique::SecretMint, Confidence::Certain, needs);
        }
        let technique = Technique::SecretRead;
        for need in [N::GetSecrets, N::ListSecrets] {
            if !from.rights.has_in(need, scope) {
                continue;
            }
            let Some(read) = from.rights.whole(need, scope) else {
                continue;
            };
            let known = self.facts.namespaces.get(scope.namespace());
            match known.and_then(|f| f.token_secrets.clone()) {
                Some(names) => {
                    for name in names {
                        let account = Identity::service_account(scope.namespace(), &name);
                        let (to, needs) = (Node::Identity(account), vec![read.clone()]);
                        self.edge(from, to, technique, Confidence::Certain, needs);
                    }
                }
                None => {
                    let (to, needs) = (accounts.clone(), vec![read]);
                    self.edge(from, to, technique, Confidence::Possible, needs);
                }
            }
        }
    }

    /// Runs pods: as any service account there, and on the node where nothing confines them.
    fn workloads(&mut self, from: &From<'_, '_, '_>, scope: &Scope) {
        for run in [N::RunPods, N::ChangeWorkloads] {
            if let Some(needs) = self.all_here(from, &[run], scope) {
                let to = accounts_of(scope);
                let technique = Technique::Workload;
                self.edge(from, to, technique, Confidence::Certain, needs.clone());
                if let Some(confidence) = self.unconfined(scope) {
                    let to = Node::Sink(Sink::NodeRoot);
                    self.edge(from, to, Technique::PrivilegedPod, confidence, needs);
                }
            }
            let more = [
                (vec![N::ChangeNamespaces, run], Technique::RelaxNamespace),
                (
                    vec![N::CreateVolumes, N::CreateClaims, run],
                    Technique::HostVolume,
                ),
            ];
            for (needs, technique) in more {
                // Volumes belong to the cluster; a namespace's own labels may be changed by a RoleBinding.
                let of_cluster = technique == Technique::HostVolume
                    && !from.rights.has_in(N::CreateVolumes, &Scope::Cluster);
                if of_cluster {
                    continue;
                }
                if let Some(needs) = self.all_here(from, &needs, scope) {
                    let to = Node::Sink(Sink::NodeRoot);
                    self.edge(from, to, technique, Confidence::Certain, needs);
                }
            }
        }
    }

    /// Runs commands in pods that are there.
    fn running_pods(&mut self, from: &From<'_, '_, '_>, scope: &Scope) {
        let mut ways = vec![N::CreateExec, N::ChangePods];
        if !self.facts.exec_needs_create {
            ways.push(N::GetExec);
        }
        for need in ways {
            let Some(needs) = self.all_here(from, &[need], scope) else {
                continue;
            };
            let technique = Technique::Exec;
            let known = self.facts.namespaces.get(scope.namespace());
            match known.and_then(|f| f.running.clone()) {
                Some(names) => {
                    for name in names {
                        let account = Identity::service_account(scope.namespace(), &name);
                        let to = Node::Identity(account);
                        self.edge(from, to, technique, Confidence::Certain, needs.clone());
                    }
                }
                None => {
                    self.edge(
                        from,
                        accounts_of(scope),
                        technique,
                        Confidence::Likely,
                        needs,
                    );
                }
            }
        }
    }

    fn displace(&mut self, from: &From<'_, '_, '_>, scope: &Scope) {
        for need in [N::DeletePods, N::EvictPods, N::ChangePodStatus] {
            if let Some(needs) = self.all_here(from, &[need], scope) {
                let to = Node::Part(Part::DisplacePods(scope.clone()));
                self.edge(from, to, Technique::StealPods, Confidence::Certain, needs);
            }
        }
    }
}
