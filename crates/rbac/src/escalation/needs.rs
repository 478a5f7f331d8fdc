//! The single rights that techniques are made of.

use crate::evaluate::is_in_or_star;
use crate::model::Rule;

const RBAC: &str = "rbac.authorization.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
const WRITE: &[&str] = &["create", "update", "patch"];
const CHANGE: &[&str] = &["update", "patch"];
/// Every verb of the API.
const ANY: &[&str] = &[
    "get", "list", "watch", "create", "update", "patch", "delete",
];

/// Any of the verbs on any of the resources (group, `resource[/sub]`).
pub(super) struct Need {
    /// As one would say it.
    pub(super) says: &'static str,
    pub(super) verbs: &'static [&'static str],
    pub(super) on: &'static [(&'static str, &'static str)],
}

macro_rules! needs {
    ($($name:ident = $says:expr, $verbs:expr, $on:expr;)*) => {
        /// A single right; the position of its [`Need`] in [`NEEDS`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum N { $($name),* }

        /// In the order of [`N`].
        pub(super) const NEEDS: &[Need] = &[$(Need { says: $says, verbs: $verbs, on: &$on }),*];

        /// All rights.
        pub(super) const ALL: &[N] = &[$(N::$name),*];
    };
}

needs! {
    WriteRoleBindings = "write rolebindings", WRITE, [(RBAC, "rolebindings")];
    WriteClusterRoleBindings = "write clusterrolebindings", WRITE, [(RBAC, "clusterrolebindings")];
    BindRoles = "bind roles", &["bind"], [(RBAC, "roles")];
    BindClusterRoles = "bind clusterroles", &["bind"], [(RBAC, "clusterroles")];
    ChangeRoles = "change roles", CHANGE, [(RBAC, "roles")];
    ChangeClusterRoles = "change clusterroles", CHANGE, [(RBAC, "clusterroles")];
    CreateRoles = "create roles", &["create"], [(RBAC, "roles")];
    CreateClusterRoles = "create clusterroles", &["create"], [(RBAC, "clusterroles")];
    EscalateRoles = "escalate roles", &["escalate"], [(RBAC, "roles")];
    EscalateClusterRoles = "escalate clusterroles", &["escalate"], [(RBAC, "clusterroles")];
    ImpersonateUsers = "impersonate users", &["impersonate"], [("", "users")];
    ImpersonateGroups = "impersonate groups", &["impersonate"], [("", "groups")];
    ImpersonateAccounts = "impersonate serviceaccounts", &["impersonate"], [("", "serviceaccounts")];
    CreateTokens = "create serviceaccounts/token", &["create"], [("", "serviceaccounts/token")];
    CreateSecrets = "create secrets", &["create"], [("", "secrets")];
    GetSecrets = "get secrets", &["get"], [("", "secrets")];
    ListSecrets = "list or watch secrets", &["list", "watch"], [("", "secrets")];
    RunPods = "create pods or workloads", &["create"], [("", "pods"), ("", "replicationcontrollers"), ("apps", "deployments"),
        ("apps", "daemonsets"), ("apps", "statefulsets"), ("apps", "replicasets"), ("batch", "jobs"),
        ("batch", "cronjobs"), ("tekton.dev", "taskruns"), ("tekton.dev", "pipelineruns"),
        ("argoproj.io", "workflows"), ("argoproj.io", "rollouts")];
    ChangeWorkloads = "change workloads", CHANGE, [("", "replicationcontrollers"), ("", "podtemplates"), ("apps", "deployments"),
        ("apps", "daemonsets"), ("apps", "statefulsets"), ("apps", "replicasets"), ("batch", "cronjobs"),
        ("argoproj.io", "rollouts")];
    CreateExec = "create pods/exec or pods/attach", &["create"], [("", "pods/exec"), ("", "pods/attach")];
    GetExec = "get pods/exec or pods/attach", &["get"], [("", "pods/exec"), ("", "pods/attach")];
    ChangePods = "change pods or pods/ephemeralcontainers", CHANGE, [("", "pods"), ("", "pods/ephemeralcontainers")];
    ProxyNodes = "any verb on nodes/proxy", ANY, [("", "nodes/proxy")];
    CreateRequests = "create certificatesigningrequests", &["create"], [(CERTIFICATES, "certificatesigningrequests")];
    ApproveRequests = "change certificatesigningrequests/approval", CHANGE, [(CERTIFICATES, "certificatesigningrequests/approval")];
    ApproveSigners = "approve signers of client certificates", &["approve"], [(CERTIFICATES, "signers")];
    WriteMutatingWebhooks = "write mutatingwebhookconfigurations", WRITE, [(ADMISSION, "mutatingwebhookconfigurations")];
    WriteValidatingWebhooks = "write validatingwebhookconfigurations", WRITE, [(ADMISSION, "validatingwebhookconfigurations")];
    WriteMutatingPolicies = "write mutatingadmissionpolicies", WRITE, [(ADMISSION, "mutatingadmissionpolicies")];
    WriteMutatingPolicyBindings = "write mutatingadmissionpolicybindings", WRITE, [(ADMISSION, "mutatingadmissionpolicybindings")];
    DeletePods = "delete pods", &["delete", "deletecollection"], [("", "pods")];
    EvictPods = "create pods/eviction", &["create"], [("", "pods/eviction")];
    ChangePodStatus = "change pods/status", CHANGE, [("", "pods/status")];
    ChangeNodes = "change nodes or nodes/status", CHANGE, [("", "nodes"), ("", "nodes/status")];
    CreateVolumes = "create persistentvolumes", &["create"], [("", "persistentvolumes")];
    CreateClaims = "create persistentvolumeclaims", &["create"], [("", "persistentvolumeclaims")];
    ChangeNamespaces = "change the namespace", CHANGE, [("", "namespaces")];
    ChangeConfigMaps = "change configmaps", CHANGE, [("", "configmaps")];
    WriteApiServices = "write apiservices", WRITE, [("apiregistration.k8s.io", "apiservices")];
    ChangeDefinitions = "change customresourcedefinitions", CHANGE, [("apiextensions.k8s.io", "customresourcedefinitions")];
    WriteEndpoints = "write endpoints or endpointslices", WRITE, [("", "endpoints"), ("discovery.k8s.io", "endpointslices")];
}

impl N {
    pub(super) fn need(self) -> &'static Need {
        // `ALL` and `NEEDS` are written by one macro, in one order.
        NEEDS.get(self as usize).unwrap_or(&NOTHING)
    }

    /// Its place in a set of rights.
    pub(super) const fn bit(self) -> u64 {
        1 << (self as u64)
    }
}

/// No right.
const NOTHING: Need = Need {
    says: "",
    verbs: &[],
    on: &[],
};

impl Need {
    /// Whether a rule gives it, for all names or for some.
    pub(super) fn is_given_by(&self, rule: &Rule) -> bool {
        let verb = self.verbs.iter().find(|v| is_in_or_star(&rule.verbs, v));
        let Some(verb) = verb else { return false };
        // What is created at the top has no name when it is judged.
        let only_creates = !rule.resource_names.is_empty() && *verb == "create";
        self.on.iter().any(|(group, resource)| {
            let (top, sub) = resource.split_once('/').unwrap_or((resource, ""));
            let verb_fits = !only_creates
                || !sub.is_empty()
                || self
                    .verbs
                    .iter()
                    .any(|v| *v != "create" && is_in_or_star(&rule.verbs, v));
            verb_fits && is_in_or_star(&rule.api_groups, group) && rule.allows_resource(top, sub)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_right_has_its_need_and_its_bit() {
        assert_eq!(ALL.len(), NEEDS.len());
        assert!(ALL.len() <= 64);
        let mut seen = 0;
        for n in ALL {
            assert_eq!(seen & n.bit(), 0);
            seen |= n.bit();
            assert!(!n.need().verbs.is_empty());
        }
    }

    #[test]
    fn a_named_rule_does_not_create_at_the_top() {
        let named = |verbs: &[&str], resource: &str| {
            Rule::resources(verbs, &["*"], &[resource]).named(&["x"])
        };
        assert!(!N::RunPods.need().is_given_by(&named(&["create"], "pods")));
        assert!(
            N::CreateTokens
                .need()
                .is_given_by(&named(&["create"], "serviceaccounts/token"))
        );
        let webhooks = N::WriteMutatingWebhooks.need();
        let resource = "mutatingwebhookconfigurations";
        assert!(!webhooks.is_given_by(&named(&["create"], resource)));
        assert!(webhooks.is_given_by(&named(&["create", "patch"], resource)));
        assert!(webhooks.is_given_by(&named(&["*"], resource)));
    }

    #[test]
    fn the_group_counts() {
        let need = N::RunPods.need();
        assert!(need.is_given_by(&Rule::resources(&["create"], &["apps"], &["deployments"])));
        assert!(!need.is_given_by(&Rule::resources(&["create"], &[""], &["deployments"])));
        assert!(!need.is_given_by(&Rule::resources(&["create"], &[""], &["pods/*"])));
        assert!(!need.is_given_by(&Rule::resources(&["patch"], &[""], &["pods"])));
    }
}
