//! Roles, bindings, people and requests for RBAC evaluators: few words, so that they meet often, and
//! every odd form that an API server stores.

use kubestile_rbac::evaluate::{Attributes, User};
use kubestile_rbac::model::{
    AggregationRule, ClusterRole, ClusterRoleBinding, Metadata, RoleBinding, RoleRef, Selector,
};
use kubestile_rbac::{Objects, Role, Rule, Subject};

use crate::random::Random;

/// The namespaces; one name starts with another, and one has no bindings.
pub const NAMESPACES: [&str; 4] = ["rbac-a", "rbac-a-b", "rbac-b", "rbac-empty"];
const BOUND: [&str; 3] = ["rbac-a", "rbac-a-b", "rbac-b"];
const VERBS: [&str; 9] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "impersonate",
];
const GROUPS: [&str; 4] = ["", "apps", "batch", "rbac.authorization.k8s.io"];
const RESOURCES: [&str; 6] = ["pods", "nodes", "deployments", "secrets", "roles", "po"];
const SUBRESOURCES: [&str; 5] = ["log", "scale", "exec", "status", "*"];
const NAMES: [&str; 4] = ["web", "till", "*", "web-0"];
const PATHS: [&str; 9] = [
    "/",
    "/healthz",
    "/healthz/etcd",
    "/metrics",
    "/apis/x",
    "/apis",
    "",
    "*",
    "/a*b",
];
const PATTERNS: [&str; 10] = [
    "/",
    "/healthz",
    "/healthz*",
    "/metrics/",
    "/apis/*",
    "/apis**",
    "*",
    "/a*b",
    "/*/etcd",
    "/h*z",
];
const USERS: [&str; 7] = [
    "alice",
    "bob",
    "Alice",
    "system:serviceaccount:rbac-a:web",
    "system:serviceaccount:rbac-a-b:web",
    "system:serviceaccount:rbac-a:web:more",
    "system:serviceaccount::web",
];
const TEAMS: [&str; 6] = [
    "dev",
    "ops",
    "system:serviceaccounts",
    "system:serviceaccounts:rbac-a",
    "alice",
    "system:serviceaccount:rbac-a:web",
];
const ACCOUNTS: [&str; 3] = ["web", "default", "robot"];
/// The label that aggregated roles select by.
const LABEL: &str = "rbac.kubestile.test/to";

/// Makes policies and requests; the seed determines all of them.
#[derive(Debug, Clone)]
pub struct Policies {
    random: Random,
    /// In every name of an object that belongs to the cluster.
    prefix: String,
}

/// How many objects of each kind.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// ClusterRoles and Roles, each.
    pub roles: usize,
    /// ClusterRoleBindings, and twice as many RoleBindings.
    pub bindings: usize,
}

impl Policies {
    /// The sequence of `seed`; names of cluster-wide objects start with `prefix`.
    pub fn new(seed: u64, prefix: &str) -> Self {
        Self {
            random: Random::new(seed),
            prefix: prefix.to_owned(),
        }
    }

    /// A policy that an API server takes. Rules of aggregated roles are left to the controller.
    pub fn objects(&mut self, size: Size) -> Objects {
        let mut objects = Objects::default();
        for number in 0..size.roles {
            let cluster_role = self.cluster_role(number);
            objects.cluster_roles.push(cluster_role);
            for namespace in BOUND {
                let count = 1 + self.random.below(3);
                objects.roles.push(Role {
                    metadata: Metadata::namespaced(namespace, &format!("r{number}")),
                    rules: (0..count).map(|_| self.resource_rule()).collect(),
                });
            }
        }
        for number in 0..size.bindings {
            objects.cluster_role_bindings.push(ClusterRoleBinding {
                metadata: Metadata::named(&format!("{}-{number}", self.prefix)),
                subjects: self.subjects(true),
                role_ref: RoleRef::cluster_role(&self.cluster_role_name(size.roles)),
            });
        }
        for number in 0..size.bindings.saturating_mul(2) {
            let role_ref = if self.random.chance(50) {
                RoleRef::cluster_role(&self.cluster_role_name(size.roles))
            } else {
                RoleRef::role(&format!("r{}", self.random.below(size.roles + 1)))
            };
            let metadata = Metadata::namespaced(self.random.pick(&BOUND), &format!("b{number}"));
            objects.role_bindings.push(RoleBinding {
                metadata,
                subjects: self.subjects(false),
                role_ref,
            });
        }
        objects
    }

    /// One more than there are: a binding may refer to a role that does not exist.
    fn cluster_role_name(&mut self, roles: usize) -> String {
        format!("{}-{}", self.prefix, self.random.below(roles + 1))
    }

    fn cluster_role(&mut self, number: usize) -> ClusterRole {
        let mut metadata = Metadata::named(&format!("{}-{number}", self.prefix));
        if self.random.chance(40) {
            let value = format!("{}-{}", self.prefix, self.random.below(3));
            metadata.labels.insert(LABEL.to_owned(), value);
        }
        if self.random.chance(15) {
            // Levels select lower ones only: what a circle holds depends on its history.
            let own = metadata.labels.get(LABEL).cloned();
            let values = (0..3).map(|n| format!("{}-{n}", self.prefix));
            let lower: Vec<String> = values
                .filter(|v| own.as_ref().is_none_or(|own| v < own))
                .collect();
            if let Some(value) = lower.get(self.random.below(lower.len())) {
                return ClusterRole {
                    metadata,
                    rules: Vec::new(),
                    aggregation_rule: Some(AggregationRule {
                        cluster_role_selectors: vec![Selector {
                            match_labels: [(LABEL.to_owned(), value.clone())].into(),
                            match_expressions: Vec::new(),
                        }],
                    }),
                };
            }
        }
        let count = 1 + self.random.below(3);
        ClusterRole {
            metadata,
            rules: (0..count).map(|_| self.rule()).collect(),
            aggregation_rule: None,
        }
    }

    fn rule(&mut self) -> Rule {
        if self.random.chance(25) {
            let urls = self.some(&PATTERNS, 2);
            return Rule {
                verbs: self.verbs(),
                non_resource_urls: urls,
                ..Rule::default()
            };
        }
        self.resource_rule()
    }

    fn resource_rule(&mut self) -> Rule {
        let api_groups = if self.random.chance(10) {
            vec!["*".to_owned()]
        } else {
            self.some(&GROUPS, 2)
        };
        let count = 1 + self.random.below(3);
        let resource_names = if self.random.chance(30) {
            self.some(&NAMES, 2)
        } else if self.random.chance(3) {
            vec![String::new()]
        } else {
            Vec::new()
        };
        Rule {
            verbs: self.verbs(),
            api_groups,
            resources: (0..count).map(|_| self.resource_of_rule()).collect(),
            resource_names,
            non_resource_urls: Vec::new(),
        }
    }

    fn verbs(&mut self) -> Vec<String> {
        if self.random.chance(15) {
            return vec!["*".to_owned()];
        }
        self.some(&VERBS, 4)
    }

    fn resource_of_rule(&mut self) -> String {
        let subresource = self.random.pick(&SUBRESOURCES);
        match self.random.below(20) {
            0 => "*".to_owned(),
            1 => format!("*/{subresource}"),
            2 => "*/".to_owned(),
            3..7 => format!("{}/{subresource}", self.random.pick(&RESOURCES)),
            _ => self.random.pick(&RESOURCES).to_owned(),
        }
    }

    fn subjects(&mut self, of_cluster: bool) -> Vec<Subject> {
        let count = self.random.below(4);
        (0..count).map(|_| self.subject(of_cluster)).collect()
    }

    fn subject(&mut self, of_cluster: bool) -> Subject {
        match self.random.below(3) {
            0 => Subject::user(self.random.pick(&USERS)),
            1 => Subject::group(self.random.pick(&TEAMS)),
            _ => {
                let unqualified = !of_cluster && self.random.chance(50);
                let namespace = if unqualified {
                    ""
                } else {
                    self.random.pick(&NAMESPACES)
                };
                Subject::service_account(namespace, self.random.pick(&ACCOUNTS))
            }
        }
    }

    /// Somebody in some groups, not always those that the API server would add.
    pub fn user(&mut self) -> User {
        let name = match self.random.below(4) {
            0 => format!(
                "system:serviceaccount:{}:{}",
                self.random.pick(&NAMESPACES),
                self.random.pick(&ACCOUNTS)
            ),
            1 => "nobody".to_owned(),
            _ => self.random.pick(&USERS).to_owned(),
        };
        let mut groups = if self.random.chance(60) {
            self.some(&TEAMS, 2)
        } else {
            Vec::new()
        };
        if self.random.chance(2) {
            groups.push("system:masters".to_owned());
        }
        User {
            name,
            uid: String::new(),
            groups,
        }
    }

    /// What somebody might ask for, and what nobody would.
    pub fn request(&mut self) -> Attributes {
        let verb = match self.random.below(30) {
            0 => "*",
            1 => "use",
            2 => "GET",
            _ => self.random.pick(&VERBS),
        };
        if self.random.chance(20) {
            return Attributes::path(verb, self.random.pick(&PATHS));
        }
        let group = match self.random.below(12) {
            0 => "example.com",
            1 => "*",
            _ => self.random.pick(&GROUPS),
        };
        let mut resource = match self.random.below(25) {
            0 => "things".to_owned(),
            1 => "*".to_owned(),
            2 => String::new(),
            _ => self.random.pick(&RESOURCES).to_owned(),
        };
        if self.random.chance(30) {
            resource = format!("{resource}/{}", self.random.pick(&SUBRESOURCES));
        } else if self.random.chance(2) {
            resource.push_str("/log/more");
        }
        let namespace = if self.random.chance(25) {
            ""
        } else {
            self.random.pick(&NAMESPACES)
        };
        let attributes = Attributes::resource(verb, group, &resource, namespace);
        if self.random.chance(50) {
            attributes.named(self.random.pick(&NAMES))
        } else {
            attributes
        }
    }

    /// One to `most` different ones.
    fn some(&mut self, choices: &[&str], most: usize) -> Vec<String> {
        let count = 1 + self.random.below(most);
        let mut found: Vec<String> = Vec::new();
        for _ in 0..count {
            let one = self.random.pick(choices).to_owned();
            if !found.contains(&one) {
                found.push(one);
            }
        }
        found
    }
}
