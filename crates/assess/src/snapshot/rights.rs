//! Roles and bindings of a snapshot, as the evaluator takes them.

use std::collections::{BTreeMap, BTreeSet};

use kubestile_rbac::Objects;
use kubestile_rbac::escalation::{Facts, NamespaceFacts};
use serde_json::json;

use super::{Absence, Snapshot, Why};

impl Snapshot {
    /// Roles and bindings as they were listed.
    ///
    /// # Errors
    /// Why they are not known.
    pub fn objects(&self) -> Result<Objects, Absence> {
        let rbac = &self.rbac;
        let copied = |absence: &Absence| absence.clone();
        let value = json!({
            "clusterRoles": rbac.cluster_roles.get().map_err(copied)?,
            "roles": rbac.roles.get().map_err(copied)?,
            "clusterRoleBindings": rbac.cluster_role_bindings.get().map_err(copied)?,
            "roleBindings": rbac.role_bindings.get().map_err(copied)?,
        });
        serde_json::from_value(value).map_err(|_| Absence {
            why: Why::Failed,
            text: "the roles and bindings could not be understood".to_owned(),
        })
    }

    /// What is known beside roles: accounts, and where pods are kept from their node.
    pub fn escalation_facts(&self) -> Facts {
        let mut accounts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for account in self.service_accounts.known().into_iter().flatten() {
            let meta = &account.metadata;
            let names = accounts.entry(meta.namespace.clone()).or_default();
            names.insert(meta.name.clone());
        }
        let confined = |labels: &BTreeMap<String, String>| {
            let level = labels.get("pod-security.kubernetes.io/enforce");
            matches!(level.map(String::as_str), Some("baseline" | "restricted"))
        };
        let namespaces = self.namespaces.known().into_iter().flatten();
        Facts {
            service_accounts: accounts,
            namespaces: namespaces
                .map(|n| {
                    let facts = NamespaceFacts {
                        pods_confined: Some(confined(&n.metadata.labels)),
                        ..NamespaceFacts::default()
                    };
                    (n.metadata.name.clone(), facts)
                })
                .collect(),
            exec_needs_create: self.minor().is_some_and(|minor| minor >= 35),
            ..Facts::default()
        }
    }
}
