use super::*;

fn binding(namespace: &str, name: &str, user: &str, role: &str) -> RoleBinding {
    RoleBinding {
        metadata: Metadata::namespaced(namespace, name),
        subjects: vec![Subject::user(user), Subject::user(user)],
        role_ref: RoleRef::cluster_role(role),
    }
}

#[test]
fn the_later_object_counts() {
    let policy = Policy::new(Objects {
        cluster_roles: vec![ClusterRole {
            metadata: Metadata::named("r"),
            ..ClusterRole::default()
        }],
        role_bindings: vec![
            binding("n", "b", "alice", "r"),
            binding("n", "b", "bob", "r"),
        ],
        ..Objects::default()
    });
    assert_eq!(policy.bindings().count(), 1);
    assert!(policy.bindings_of(&User::new("alice", &[])).is_empty());
    assert_eq!(policy.bindings_of(&User::new("bob", &[])).len(), 1);
}

#[test]
fn a_role_binding_without_a_namespace_is_not_the_clusters() {
    let policy = Policy::new(Objects {
        role_bindings: vec![binding("", "b", "alice", "r")],
        ..Objects::default()
    });
    assert_eq!(policy.bindings().count(), 0);
    assert!(policy.identities().is_empty());
}

#[test]
fn a_namespace_has_its_own_bindings_only() {
    let names = ["a", "a-b", "b", "c"];
    let policy = Policy::new(Objects {
        role_bindings: names
            .iter()
            .rev()
            .flat_map(|n| [binding(n, "y", "alice", "r"), binding(n, "x", "alice", "r")])
            .collect(),
        ..Objects::default()
    });
    assert_eq!(policy.namespaces().collect::<Vec<_>>(), names);
    let alice = User::new("alice", &[]);
    for name in names {
        let found: Vec<String> = policy
            .bindings_in(&alice, &Scope::of(name))
            .into_iter()
            .map(|id| policy.binding(id).unwrap().to_string())
            .collect();
        let expected = [
            format!("RoleBinding {name}/x"),
            format!("RoleBinding {name}/y"),
        ];
        assert_eq!(found, expected);
    }
    assert!(policy.bindings_in(&alice, &Scope::Cluster).is_empty());
    assert_eq!(policy.bindings_of(&alice).len(), 8);
}
