//! Techniques on what belongs to the cluster: rights there count only if they are held everywhere.

use super::super::deputies::DEPUTIES;
use super::super::needs::N;
use super::super::rights::Roles;
use super::super::{Confidence, Node, Part, Sink, Support, Technique};
use super::{BOOTSTRAPPERS, Builder, From, SYSTEM};
use crate::model::{Identity, MASTERS};
use crate::policy::Scope;

const CLUSTER: &Scope = &Scope::Cluster;
/// What signs certificates that the API server takes as a login.
const CLIENT_SIGNERS: [&str; 2] = ["kubernetes.io/kube-apiserver-client", "kubernetes.io/*"];

impl Builder<'_> {
    pub(super) fn of_cluster(&mut self, from: &From<'_, '_, '_>, roles: &Roles<'_>) {
        if let Some(everything) = from.rights.everything(CLUSTER) {
            let to = Node::Sink(Sink::ClusterAdmin);
            let needs = vec![everything];
            self.edge(from, to, Technique::Everything, Confidence::Certain, needs);
        }
        self.impersonation(from);
        self.kubelet(from);
        self.certificates(from);
        self.admission(from);
        self.traffic(from);
        self.deputies(from, roles);
        if let Some(needs) = from.all(&[N::ChangeNodes], CLUSTER) {
            let to = Node::Part(Part::SpoilNodes);
            self.edge(from, to, Technique::StealPods, Confidence::Certain, needs);
        }
    }

    /// Users and groups belong to the cluster. A group can be impersonated only together with a user or a
    /// service account.
    fn impersonation(&mut self, from: &From<'_, '_, '_>) {
        let rights = from.rights;
        let technique = Technique::Impersonate;
        if let Some(users) = rights.whole(N::ImpersonateUsers, CLUSTER) {
            self.edge(
                from,
                Node::AnyUser,
                technique,
                Confidence::Certain,
                vec![users],
            );
        }
        for (name, support) in rights.named(N::ImpersonateUsers, CLUSTER) {
            // `impersonate users` never makes a service account: that is another right.
            let user = Identity::User { name };
            let to = Node::Identity(user);
            self.edge(from, to, technique, Confidence::Certain, vec![support]);
        }
        let Some(somebody) = somebody(from) else {
            return;
        };
        if let Some(groups) = rights.fitting(N::ImpersonateGroups, CLUSTER, |n| n == MASTERS) {
            let to = Node::Sink(Sink::ClusterAdmin);
            let needs = vec![groups, somebody.clone()];
            self.edge(from, to, technique, Confidence::Certain, needs);
        }
        for (name, support) in rights.named(N::ImpersonateGroups, CLUSTER) {
            let to = Node::Identity(Identity::group(&name));
            let needs = vec![support, somebody.clone()];
            self.edge(from, to, technique, Confidence::Certain, needs);
        }
    }

    fn kubelet(&mut self, from: &From<'_, '_, '_>) {
        let Some(needs) = from.all(&[N::ProxyNodes], CLUSTER) else {
            return;
        };
        let technique = Technique::Kubelet;
        for to in [Node::AnyAccount, Node::Sink(Sink::NodeRoot)] {
            self.edge(from, to, technique, Confidence::Likely, needs.clone());
        }
    }

    fn certificates(&mut self, from: &From<'_, '_, '_>) {
        let technique = Technique::Certificate;
        if let Some(needs) = from.all(&[N::CreateRequests], CLUSTER) {
            let to = Node::Part(Part::RequestCertificate);
            self.edge(from, to, technique, Confidence::Certain, needs);
        }
        let signers = from.rights.fitting(N::ApproveSigners, CLUSTER, |name| {
            CLIENT_SIGNERS.contains(&name)
        });
        let approve = from.rights.any(N::ApproveRequests, CLUSTER);
        if let (Some(signers), Some(approve)) = (signers, approve) {
            let to = Node::Part(Part::ApproveCertificate);
            let needs = vec![approve, signers];
            self.edge(from, to, technique, Confidence::Certain, needs);
        }
    }

    fn admission(&mut self, from: &From<'_, '_, '_>) {
        let mutating: [&[N]; 2] = [
            &[N::WriteMutatingWebhooks],
            &[N::WriteMutatingPolicies, N::WriteMutatingPolicyBindings],
        ];
        let technique = Technique::Admission;
        for needs in mutating {
            if let Some(needs) = from.all(needs, CLUSTER) {
                let to = Node::Sink(Sink::ClusterAdmin);
                self.edge(from, to, technique, Confidence::Likely, needs);
            }
        }
        if let Some(needs) = from.all(&[N::WriteValidatingWebhooks], CLUSTER) {
            let to = Node::Sink(Sink::SystemSecrets);
            self.edge(from, to, technique, Confidence::Likely, needs);
        }
    }

    fn traffic(&mut self, from: &From<'_, '_, '_>) {
        for need in [N::WriteApiServices, N::ChangeDefinitions] {
            if let Some(needs) = from.all(&[need], CLUSTER) {
                let to = Node::Sink(Sink::Interception);
                self.edge(from, to, Technique::Intercept, Confidence::Likely, needs);
            }
        }
    }

    /// Operators act on resources of any namespace, so a right in one of them is enough.
    fn deputies(&mut self, from: &From<'_, '_, '_>, roles: &Roles<'_>) {
        for deputy in DEPUTIES {
            let (namespace, name) = deputy.account;
            let is_there = self
                .accounts
                .get(namespace)
                .is_some_and(|names| names.contains(name));
            if !is_there {
                continue;
            }
            if let Some(support) = roles.support(&deputy.write, from.rights) {
                let to = Node::Identity(Identity::service_account(namespace, name));
                let needs = vec![support];
                self.edge(from, to, Technique::Deputy, Confidence::Likely, needs);
            }
        }
    }

    /// What only `kube-system` has.
    pub(super) fn of_system(&mut self, from: &From<'_, '_, '_>, scope: &Scope) {
        let system = &Scope::Namespace(SYSTEM.to_owned());
        if *scope != Scope::Cluster && scope != system {
            return;
        }
        let rights = from.rights;
        for need in [N::GetSecrets, N::ListSecrets] {
            if let Some(support) = rights.whole(need, scope) {
                let to = Node::Sink(Sink::SystemSecrets);
                let technique = Technique::SecretRead;
                self.edge(from, to, technique, Confidence::Certain, vec![support]);
            }
        }
        if let Some(needs) = from.all(&[N::CreateSecrets], scope) {
            let to = Node::Identity(Identity::group(BOOTSTRAPPERS));
            let technique = Technique::BootstrapToken;
            self.edge(from, to, technique, Confidence::Likely, needs);
        }
        let maps = |name: &str| rights.fitting(N::ChangeConfigMaps, scope, |n| n == name);
        if self.facts.aws_auth
            && let Some(support) = maps("aws-auth")
        {
            let needs = vec![support];
            for to in [Sink::ClusterAdmin, Sink::CloudRole] {
                let to = Node::Sink(to);
                let technique = Technique::AwsAuth;
                self.edge(from, to, technique, Confidence::Certain, needs.clone());
            }
        }
        if let Some(support) = maps("coredns") {
            let to = Node::Sink(Sink::Interception);
            let technique = Technique::Intercept;
            self.edge(from, to, technique, Confidence::Possible, vec![support]);
        }
    }
}

/// The right to impersonate somebody at all, without which no group can be.
fn somebody(from: &From<'_, '_, '_>) -> Option<Support> {
    let rights = from.rights;
    let users = rights.any(N::ImpersonateUsers, CLUSTER);
    let here = |scope| rights.any(N::ImpersonateAccounts, scope);
    let accounts = rights
        .scopes
        .keys()
        .flat_map(|scope| [here(scope), rights.everything(scope)])
        .flatten();
    let grants: Vec<_> = users
        .into_iter()
        .chain(accounts)
        .flat_map(|support| support.grants)
        .collect();
    let right = "impersonate users or serviceaccounts";
    (!grants.is_empty()).then_some(Support { right, grants })
}
