//! Which resources an API server serves, and where they live.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

/// One resource that is served.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Kind {
    /// The API group, empty for the core group.
    pub group: String,
    /// `pods` or `pods/log`.
    pub resource: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What can be done with it.
    pub verbs: Vec<String>,
}

/// What is served.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    kinds: Vec<Kind>,
    /// Group → resource → whether it lives in namespaces.
    by_name: HashMap<String, HashMap<String, bool>>,
    subresources: HashSet<String>,
    complete: bool,
}

impl Discovery {
    /// All that an API server says it serves.
    #[must_use]
    pub fn new(kinds: Vec<Kind>) -> Self {
        Self::of(kinds, true)
    }

    /// What every Kubernetes serves, for where nobody was asked. It knows no custom resources, so it is not
    /// complete.
    #[must_use]
    pub fn well_known() -> Self {
        let kinds = WELL_KNOWN.iter().flat_map(|&(group, namespaced, list)| {
            list.split(' ').map(move |resource| Kind {
                group: group.to_owned(),
                resource: resource.to_owned(),
                namespaced,
                verbs: verbs_of(resource),
            })
        });
        Self::of(kinds.collect(), false)
    }

    fn of(kinds: Vec<Kind>, complete: bool) -> Self {
        let mut found = Self {
            complete,
            ..Self::default()
        };
        for kind in &kinds {
            found
                .by_name
                .entry(kind.group.clone())
                .or_default()
                .insert(kind.resource.clone(), kind.namespaced);
            if let Some((_, sub)) = kind.resource.split_once('/') {
                found.subresources.insert(sub.to_owned());
            }
        }
        found.kinds = kinds;
        found
    }

    /// All resources.
    #[must_use]
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Whether what is not here is not served.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether a rule's group and resource (`*` and `*/scale` too) match anything that is served.
    #[must_use]
    pub fn serves(&self, group: &str, resource: &str) -> bool {
        if let Some(sub) = resource.strip_prefix("*/") {
            return self.subresources.contains(sub);
        }
        self.groups(group).any(|kinds| kinds.contains_key(resource))
    }

    /// Whether it is known to belong to the cluster; `*` as a group asks all of them.
    #[must_use]
    pub fn is_cluster_scoped(&self, group: &str, resource: &str) -> bool {
        let mut known = self
            .groups(group)
            .filter_map(|kinds| kinds.get(resource))
            .peekable();
        known.peek().is_some() && known.all(|namespaced| !namespaced)
    }

    fn groups<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a HashMap<String, bool>> {
        self.by_name
            .iter()
            .filter(move |(name, _)| group == "*" || *name == group)
            .map(|(_, kinds)| kinds)
    }
}

fn verbs_of(resource: &str) -> Vec<String> {
    let verbs = match resource {
        r if r.ends_with("/exec") || r.ends_with("/attach") || r.ends_with("/portforward") => {
            "create get"
        }
        r if r.ends_with("/log") => "get",
        r if r.ends_with("/eviction") || r.ends_with("/binding") || r.ends_with("/token") => {
            "create"
        }
        r if r.ends_with("/proxy") => "create delete get patch update",
        r if r.contains('/') => "get patch update",
        r if r.ends_with("reviews") || r == "bindings" => "create",
        _ => "create delete deletecollection get list patch update watch",
    };
    verbs.split(' ').map(str::to_owned).collect()
}

/// Group, whether in namespaces, resources. As served by Kubernetes 1.34 to 1.36.
const WELL_KNOWN: [(&str, bool, &str); 30] = [
    (
        "",
        true,
        "bindings configmaps endpoints events limitranges persistentvolumeclaims \
         persistentvolumeclaims/status pods pods/attach pods/binding pods/ephemeralcontainers \
         pods/eviction pods/exec pods/log pods/portforward pods/proxy pods/resize pods/status \
         podtemplates replicationcontrollers replicationcontrollers/scale \
         replicationcontrollers/status resourcequotas resourcequotas/status secrets \
         serviceaccounts serviceaccounts/token services services/proxy services/status",
    ),
    (
        "",
        false,
        "componentstatuses namespaces namespaces/finalize namespaces/status nodes nodes/proxy \
         nodes/status persistentvolumes persistentvolumes/status",
    ),
    (
        "apps",
        true,
        "controllerrevisions daemonsets daemonsets/status deployments deployments/scale \
         deployments/status replicasets replicasets/scale replicasets/status statefulsets \
         statefulsets/scale statefulsets/status",
    ),
    ("batch", true, "cronjobs cronjobs/status jobs jobs/status"),
    (
        "autoscaling",
        true,
        "horizontalpodautoscalers horizontalpodautoscalers/status",
    ),
    (
        "policy",
        true,
        "poddisruptionbudgets poddisruptionbudgets/status",
    ),
    (
        "networking.k8s.io",
        true,
        "ingresses ingresses/status networkpolicies",
    ),
    (
        "networking.k8s.io",
        false,
        "ingressclasses ipaddresses servicecidrs servicecidrs/status",
    ),
    ("rbac.authorization.k8s.io", true, "rolebindings roles"),
    (
        "rbac.authorization.k8s.io",
        false,
        "clusterrolebindings clusterroles",
    ),
    ("coordination.k8s.io", true, "leases"),
    ("discovery.k8s.io", true, "endpointslices"),
    ("events.k8s.io", true, "events"),
    ("storage.k8s.io", true, "csistoragecapacities"),
    (
        "storage.k8s.io",
        false,
        "csidrivers csinodes storageclasses volumeattachments volumeattachments/status \
         volumeattributesclasses",
    ),
    (
        "admissionregistration.k8s.io",
        false,
        "mutatingadmissionpolicies mutatingadmissionpolicybindings mutatingwebhookconfigurations \
         validatingadmissionpolicies validatingadmissionpolicies/status \
         validatingadmissionpolicybindings validatingwebhookconfigurations",
    ),
    (
        "apiextensions.k8s.io",
        false,
        "customresourcedefinitions customresourcedefinitions/status",
    ),
    (
        "apiregistration.k8s.io",
        false,
        "apiservices apiservices/status",
    ),
    (
        "authentication.k8s.io",
        false,
        "selfsubjectreviews tokenreviews",
    ),
    ("authorization.k8s.io", true, "localsubjectaccessreviews"),
    (
        "authorization.k8s.io",
        false,
        "selfsubjectaccessreviews selfsubjectrulesreviews subjectaccessreviews",
    ),
    (
        "certificates.k8s.io",
        false,
        "certificatesigningrequests certificatesigningrequests/approval \
         certificatesigningrequests/status signers",
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        false,
        "flowschemas flowschemas/status prioritylevelconfigurations \
         prioritylevelconfigurations/status",
    ),
    ("node.k8s.io", false, "runtimeclasses"),
    ("scheduling.k8s.io", false, "priorityclasses"),
    (
        "resource.k8s.io",
        true,
        "resourceclaims resourceclaims/status resourceclaimtemplates",
    ),
    ("resource.k8s.io", false, "deviceclasses resourceslices"),
    ("metrics.k8s.io", true, "pods"),
    ("metrics.k8s.io", false, "nodes"),
    ("internal.apiserver.k8s.io", false, "storageversions"),
];
