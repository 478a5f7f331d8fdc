//! The resources that every cluster has, by the names that people type.

use super::WordsError;

/// A resource of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    plural: &'static str,
    singular: &'static str,
    short: &'static [&'static str],
    group: &'static str,
    version: &'static str,
    namespaced: bool,
}

const NAMESPACED: bool = true;
const CLUSTER: bool = false;

macro_rules! table {
    ($($plural:literal $singular:literal $short:tt $group:literal $version:literal $scope:ident;)*) => {
        const TABLE: &[Known] = &[$(Known {
            plural: $plural,
            singular: $singular,
            short: &$short,
            group: $group,
            version: $version,
            namespaced: $scope,
        },)*];
    };
}

table! {
    "bindings" "binding" [] "" "v1" NAMESPACED;
    "componentstatuses" "componentstatus" ["cs"] "" "v1" CLUSTER;
    "configmaps" "configmap" ["cm"] "" "v1" NAMESPACED;
    "endpoints" "endpoint" ["ep"] "" "v1" NAMESPACED;
    "events" "event" ["ev"] "" "v1" NAMESPACED;
    "limitranges" "limitrange" ["limits"] "" "v1" NAMESPACED;
    "namespaces" "namespace" ["ns"] "" "v1" CLUSTER;
    "nodes" "node" ["no"] "" "v1" CLUSTER;
    "persistentvolumeclaims" "persistentvolumeclaim" ["pvc"] "" "v1" NAMESPACED;
    "persistentvolumes" "persistentvolume" ["pv"] "" "v1" CLUSTER;
    "pods" "pod" ["po"] "" "v1" NAMESPACED;
    "podtemplates" "podtemplate" [] "" "v1" NAMESPACED;
    "replicationcontrollers" "replicationcontroller" ["rc"] "" "v1" NAMESPACED;
    "resourcequotas" "resourcequota" ["quota"] "" "v1" NAMESPACED;
    "secrets" "secret" [] "" "v1" NAMESPACED;
    "serviceaccounts" "serviceaccount" ["sa"] "" "v1" NAMESPACED;
    "services" "service" ["svc"] "" "v1" NAMESPACED;
    "mutatingadmissionpolicies" "mutatingadmissionpolicy" [] "admissionregistration.k8s.io" "v1" CLUSTER;
    "mutatingadmissionpolicybindings" "mutatingadmissionpolicybinding" [] "admissionregistration.k8s.io" "v1" CLUSTER;
    "mutatingwebhookconfigurations" "mutatingwebhookconfiguration" [] "admissionregistration.k8s.io" "v1" CLUSTER;
    "validatingadmissionpolicies" "validatingadmissionpolicy" [] "admissionregistration.k8s.io" "v1" CLUSTER;
    "validatingadmissionpolicybindings" "validatingadmissionpolicybinding" [] "admissionregistration.k8s.io" "v1" CLUSTER;
    "validatingwebhookconfigurations" "validatingwebhookconfiguration" [] "admissionregistration.k8s.io" "v1" CLUSTER;
    "customresourcedefinitions" "customresourcedefinition" ["crd", "crds"] "apiextensions.k8s.io" "v1" CLUSTER;
    "apiservices" "apiservice" [] "apiregistration.k8s.io" "v1" CLUSTER;
    "controllerrevisions" "controllerrevision" [] "apps" "v1" NAMESPACED;
    "daemonsets" "daemonset" ["ds"] "apps" "v1" NAMESPACED;
    "deployments" "deployment" ["deploy"] "apps" "v1" NAMESPACED;
    "replicasets" "replicaset" ["rs"] "apps" "v1" NAMESPACED;
    "statefulsets" "statefulset" ["sts"] "apps" "v1" NAMESPACED;
    "horizontalpodautoscalers" "horizontalpodautoscaler" ["hpa"] "autoscaling" "v2" NAMESPACED;
    "cronjobs" "cronjob" ["cj"] "batch" "v1" NAMESPACED;
    "jobs" "job" [] "batch" "v1" NAMESPACED;
    "certificatesigningrequests" "certificatesigningrequest" ["csr"] "certificates.k8s.io" "v1" CLUSTER;
    "leases" "lease" [] "coordination.k8s.io" "v1" NAMESPACED;
    "endpointslices" "endpointslice" [] "discovery.k8s.io" "v1" NAMESPACED;
    "flowschemas" "flowschema" [] "flowcontrol.apiserver.k8s.io" "v1" CLUSTER;
    "prioritylevelconfigurations" "prioritylevelconfiguration" [] "flowcontrol.apiserver.k8s.io" "v1" CLUSTER;
    "ingressclasses" "ingressclass" [] "networking.k8s.io" "v1" CLUSTER;
    "ingresses" "ingress" ["ing"] "networking.k8s.io" "v1" NAMESPACED;
    "networkpolicies" "networkpolicy" ["netpol"] "networking.k8s.io" "v1" NAMESPACED;
    "runtimeclasses" "runtimeclass" [] "node.k8s.io" "v1" CLUSTER;
    "poddisruptionbudgets" "poddisruptionbudget" ["pdb"] "policy" "v1" NAMESPACED;
    "clusterrolebindings" "clusterrolebinding" [] "rbac.authorization.k8s.io" "v1" CLUSTER;
    "clusterroles" "clusterrole" [] "rbac.authorization.k8s.io" "v1" CLUSTER;
    "rolebindings" "rolebinding" [] "rbac.authorization.k8s.io" "v1" NAMESPACED;
    "roles" "role" [] "rbac.authorization.k8s.io" "v1" NAMESPACED;
    "priorityclasses" "priorityclass" ["pc"] "scheduling.k8s.io" "v1" CLUSTER;
    "csidrivers" "csidriver" [] "storage.k8s.io" "v1" CLUSTER;
    "csinodes" "csinode" [] "storage.k8s.io" "v1" CLUSTER;
    "storageclasses" "storageclass" ["sc"] "storage.k8s.io" "v1" CLUSTER;
    "volumeattachments" "volumeattachment" [] "storage.k8s.io" "v1" CLUSTER;
}

/// The resources of the table, as `deployments.apps`: for completion and for tests.
pub fn known_resources() -> impl Iterator<Item = String> {
    TABLE.iter().map(|known| match known.group {
        "" => known.plural.to_owned(),
        group => format!("{}.{group}", known.plural),
    })
}

/// Where a resource lies in the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) plural: String,
    group: String,
    version: String,
    /// Unknown for a custom resource, whose line says so by having a namespace or not.
    namespaced: Option<bool>,
}

impl Location {
    /// `pods`, `po`, `deployments.apps`, `deployments.v1.apps`, `widgets.v1.example.com`.
    pub(super) fn of(typed: &str) -> Result<Self, WordsError> {
        let lower = typed.to_ascii_lowercase();
        if let Some(known) = known(&lower) {
            return Ok(known);
        }
        let parts: Vec<&str> = lower.splitn(3, '.').collect();
        match parts.as_slice() {
            [plural, version, group] if is_version(version) && !group.is_empty() => Ok(Self {
                plural: (*plural).to_owned(),
                group: (*group).to_owned(),
                version: (*version).to_owned(),
                namespaced: None,
            }),
            _ => Err(WordsError::new(format!(
                "`{typed}` is not in the built-in table of resources; write it as \
                 RESOURCE.VERSION.GROUP (`widgets.v1.example.com`), or the request as method and path"
            ))),
        }
    }

    /// The path of the collection.
    pub(super) fn path(&self, namespace: Option<&str>, all_namespaces: bool) -> String {
        let mut path = match self.group.as_str() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        let namespace = match self.namespaced {
            Some(true) => Some(namespace.unwrap_or("default")),
            Some(false) => None,
            None => namespace,
        };
        if let Some(namespace) = namespace.filter(|_| !all_namespaces) {
            path.push_str("/namespaces/");
            path.push_str(&super::verbs::encode(namespace));
        }
        path.push('/');
        path.push_str(&self.plural);
        path
    }
}

fn known(typed: &str) -> Option<Location> {
    let matches = |known: &&Known| {
        let named = |name: &str| {
            name == known.plural || name == known.singular || known.short.contains(&name)
        };
        match typed.split_once('.') {
            None => named(typed),
            Some((name, group)) => {
                let versioned = format!("{}.{}", known.version, known.group);
                named(name)
                    && (group == known.group || group == versioned)
                    && !known.group.is_empty()
            }
        }
    };
    let known = TABLE.iter().find(matches)?;
    Some(Location {
        plural: known.plural.to_owned(),
        group: known.group.to_owned(),
        version: known.version.to_owned(),
        namespaced: Some(known.namespaced),
    })
}

/// `v1`, `v1beta1`, `v2alpha3`.
fn is_version(text: &str) -> bool {
    text.strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}
