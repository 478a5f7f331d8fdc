//! Roles, bindings, people and requests for RBAC evaluators: few words, so that they meet often, and
//! every odd form that an API server stores.

use kubestile_rbac::evaluate::{Attributes, User};
use kubestile_rbac::model::{
    AggregationRule, ClusterRole, ClusterRoleBinding, Metadata, Operator, Requirement, RoleBinding,
    RoleRef, Selector,
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
/// No more than words to an evaluator, whatever they look like.
const ODD_RESOURCES: [&str; 8] = [
    "*/",
    "pods/",
    "/log",
    "pods/log/more",
    "*/log/more",
    "pods*",
    "*/*/*",
    "",
];
/// Names that rules have, and requests.
pub const NAMES: [&str; 7] = ["web", "till", "*", "web-0", "web*", "Web", "\u{fc} 1"];
const PATHS: [&str; 18] = [
    "/",
    "/healthz",
    "/healthz/etcd",
    "/healthz?verbose",
    "/metrics",
    "/metrics/",
    "/apis/x",
    "/apis/",
    "/apis",
    "/apis*",
    "/APIs/x",
    "",
    "*",
    "**",
    "//",
    "/a*b",
    "/a%2a b",
    "/\u{fc}/etcd",
];
const PATTERNS: [&str; 17] = [
    "/",
    "/healthz",
    "/healthz*",
    "/metrics/",
    "/metrics/*",
    "/apis/*",
    "/apis**",
    "/api*s/*",
    "/*",
    "*",
    "**",
    "//*",
    "/a*b",
    "/a%2a*",
    "/*/etcd",
    "/h*z",
    "/\u{fc}*",
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
const ODD_USERS: [&str; 14] = [
    "*",
    "alice ",
    "alice@example.com",
    "oidc#b\u{f6}b \u{2603}",
    "\"quoted\\\"",
    "a/b:c",
    "system:anonymous",
    "system:masters",
    "system:serviceaccount:rbac-a",
    "system:serviceaccount:rbac-a:",
    "system:serviceaccount:RBAC-A:web",
    "system:serviceaccount: rbac-a:web",
    "system:serviceaccounts:rbac-a",
    "SYSTEM:serviceaccount:rbac-a:web",
];
const TEAMS: [&str; 6] = [
    "dev",
    "ops",
    "system:serviceaccounts",
    "system:serviceaccounts:rbac-a",
    "alice",
    "system:serviceaccount:rbac-a:web",
];
const ODD_TEAMS: [&str; 9] = [
    "*",
    "Dev",
    "dev ",
    "oidc:b\u{fc}ro",
    "system:serviceaccounts:rbac-a-b",
    "system:serviceaccounts:rbac-b:",
    "system:serviceaccounts:",
    "system:unauthenticated",
    "system:authenticated",
];
const ACCOUNTS: [&str; 3] = ["web", "default", "robot"];
/// The label that aggregated roles select by: its value is the level of a role.
const LABEL: &str = "rbac.kubestile.test/to";
/// One beside it.
const TEAM: &str = "rbac.kubestile.test/team";
/// Roles on these levels are selected by those of higher ones; what selects everything is above them.
const LEVELS: usize = 3;

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
        objects.cluster_roles.push(self.cluster_role_of_all());
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
        objects.cluster_role_bindings.push(ClusterRoleBinding {
            metadata: Metadata::named(&format!("{}-whole", self.prefix)),
            subjects: vec![Subject::user("whole")],
            role_ref: RoleRef::cluster_role(&self.whole()),
        });
        for number in 0..size.bindings.saturating_mul(2) {
            let role_ref = match self.random.below(10) {
                0..5 => RoleRef::cluster_role(&self.cluster_role_name(size.roles)),
                // There is a role of this name, of the other kind.
                5 => RoleRef::role(&self.cluster_role_name(size.roles)),
                6 => RoleRef::cluster_role(&format!("r{}", self.random.below(size.roles))),
                _ => RoleRef::role(&format!("r{}", self.random.below(size.roles + 1))),
            };
            // The same names in every namespace, and those of the cluster's bindings.
            let namespace = self.random.pick(&BOUND);
            let number = number / BOUND.len();
            let metadata = Metadata::namespaced(namespace, &format!("{}-{number}", self.prefix));
            let is_there = |b: &RoleBinding| b.metadata == metadata;
            if objects.role_bindings.iter().any(is_there) {
                continue;
            }
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

    /// The role that has the rules of all others, those of the API server's own roles too.
    fn whole(&self) -> String {
        format!("{}-whole", self.prefix)
    }

    fn cluster_role_of_all(&self) -> ClusterRole {
        let mut metadata = Metadata::named(&self.whole());
        metadata.labels.insert(LABEL.to_owned(), self.level(LEVELS));
        ClusterRole {
            metadata,
            rules: Vec::new(),
            aggregation_rule: Some(AggregationRule {
                cluster_role_selectors: vec![Selector::default()],
            }),
        }
    }

    fn level(&self, number: usize) -> String {
        format!("{}-{number}", self.prefix)
    }

    fn cluster_role(&mut self, number: usize) -> ClusterRole {
        let mut metadata = Metadata::named(&format!("{}-{number}", self.prefix));
        let level = self.random.chance(60).then(|| self.random.below(LEVELS));
        if let Some(level) = level {
            let value = self.level(level);
            metadata.labels.insert(LABEL.to_owned(), value);
        }
        if self.random.chance(50) {
            let value = self.random.pick(&["a", "b"]).to_owned();
            metadata.labels.insert(TEAM.to_owned(), value);
        }
        // Levels select lower ones only: what a circle holds depends on its history.
        let lower = level.unwrap_or(LEVELS);
        if lower > 0 && self.random.chance(25) {
            let count = 1 + self.random.below(2);
            let selectors = (0..count).map(|_| self.selector(lower)).collect();
            return ClusterRole {
                metadata,
                rules: Vec::new(),
                aggregation_rule: Some(AggregationRule {
                    cluster_role_selectors: selectors,
                }),
            };
        }
        let count = 1 + self.random.below(3);
        let mut rules: Vec<Rule> = (0..count).map(|_| self.rule()).collect();
        if self.random.chance(10) {
            rules.extend(rules.first().cloned());
        }
        ClusterRole {
            metadata,
            rules,
            aggregation_rule: None,
        }
    }

    /// Of roles below a level.
    fn selector(&mut self, below: usize) -> Selector {
        let mut selector = Selector::default();
        if self.random.chance(40) {
            let value = self.random.below(below);
            let value = self.level(value);
            selector.match_labels.insert(LABEL.to_owned(), value);
        } else {
            let most = 1 + self.random.below(below);
            selector.match_expressions.push(Requirement {
                key: LABEL.to_owned(),
                operator: Operator::In,
                values: (0..most).map(|n| self.level(n)).collect(),
            });
        }
        let (operator, values): (Operator, &[&str]) = match self.random.below(6) {
            0 => (Operator::In, &["a"]),
            1 => (Operator::In, &["a", "b"]),
            2 => (Operator::NotIn, &["a"]),
            3 => (Operator::Exists, &[]),
            4 => (Operator::DoesNotExist, &[]),
            _ => return selector,
        };
        selector.match_expressions.push(Requirement {
            key: TEAM.to_owned(),
            operator,
            values: values.iter().map(|&v| v.to_owned()).collect(),
        });
        selector
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
        let mut api_groups = if self.random.chance(10) {
            vec!["*".to_owned()]
        } else {
            self.some(&GROUPS, 2)
        };
        if self.random.chance(3) {
            api_groups.push(self.random.pick(&["*", "*.k8s.io", "apps/v1"]).to_owned());
        }
        let count = 1 + self.random.below(3);
        let mut resource_names = if self.random.chance(30) {
            self.some(&NAMES, 2)
        } else {
            Vec::new()
        };
        if self.random.chance(3) {
            resource_names.push(String::new());
        }
        Rule {
            verbs: self.verbs(),
            api_groups,
            resources: (0..count).map(|_| self.resource_of_rule()).collect(),
            resource_names,
            non_resource_urls: Vec::new(),
        }
    }

    fn verbs(&mut self) -> Vec<String> {
        let mut verbs = if self.random.chance(15) {
            Vec::new()
        } else {
            self.some(&VERBS, 4)
        };
        if verbs.is_empty() || self.random.chance(3) {
            verbs.push("*".to_owned());
        }
        if self.random.chance(3) {
            verbs.push(self.random.pick(&["", "GET", "get ", "get*"]).to_owned());
        }
        verbs
    }

    fn resource_of_rule(&mut self) -> String {
        let subresource = self.random.pick(&SUBRESOURCES);
        match self.random.below(20) {
            0 => "*".to_owned(),
            1 => format!("*/{subresource}"),
            2 => self.random.pick(&ODD_RESOURCES).to_owned(),
            3..7 => format!("{}/{subresource}", self.random.pick(&RESOURCES)),
            _ => self.random.pick(&RESOURCES).to_owned(),
        }
    }

    fn subjects(&mut self, of_cluster: bool) -> Vec<Subject> {
        let count = self.random.below(4);
        let mut found: Vec<Subject> = (0..count).map(|_| self.subject(of_cluster)).collect();
        if self.random.chance(10) {
            found.extend(found.first().cloned());
        }
        found
    }

    fn subject(&mut self, of_cluster: bool) -> Subject {
        let mut subject = match self.random.below(3) {
            0 => Subject::user(self.user_name()),
            1 => Subject::group(self.team()),
            _ => {
                let unqualified = !of_cluster && self.random.chance(50);
                let namespace = if unqualified {
                    ""
                } else {
                    self.random.pick(&NAMESPACES)
                };
                return Subject::service_account(namespace, self.random.pick(&ACCOUNTS));
            }
        };
        // It says nothing of users and groups.
        if self.random.chance(10) {
            self.random
                .pick(&NAMESPACES)
                .clone_into(&mut subject.namespace);
        }
        subject
    }

    fn user_name(&mut self) -> &'static str {
        if self.random.chance(25) {
            self.random.pick(&ODD_USERS)
        } else {
            self.random.pick(&USERS)
        }
    }

    fn team(&mut self) -> &'static str {
        if self.random.chance(25) {
            self.random.pick(&ODD_TEAMS)
        } else {
            self.random.pick(&TEAMS)
        }
    }

    /// Somebody in some groups, not always those that the API server would add.
    pub fn user(&mut self) -> User {
        let name = match self.random.below(16) {
            0..4 => format!(
                "system:serviceaccount:{}:{}",
                self.random.pick(&NAMESPACES),
                self.random.pick(&ACCOUNTS)
            ),
            4..7 => "nobody".to_owned(),
            7 => "whole".to_owned(),
            8 => String::new(),
            _ => self.user_name().to_owned(),
        };
        let mut groups = Vec::new();
        // Whoever has neither a name nor a group cannot be asked about.
        if name.is_empty() || self.random.chance(60) {
            let count = 1 + self.random.below(2);
            groups.extend((0..count).map(|_| self.team().to_owned()));
        }
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
            3 => "",
            _ => self.random.pick(&VERBS),
        };
        if self.random.chance(20) {
            return Attributes::path(verb, self.random.pick(&PATHS));
        }
        let group = match self.random.below(16) {
            0 => "example.com",
            1 => "*",
            2 => self.random.pick(&["policy.k8s.io", "apps/v1", "Apps"]),
            _ => self.random.pick(&GROUPS),
        };
        let mut resource = match self.random.below(25) {
            0 => "things".to_owned(),
            1 => "*".to_owned(),
            2 => String::new(),
            3 => self.random.pick(&ODD_RESOURCES).to_owned(),
            _ => self.random.pick(&RESOURCES).to_owned(),
        };
        if self.random.chance(30) {
            resource = format!("{resource}/{}", self.random.pick(&SUBRESOURCES));
        } else if self.random.chance(2) {
            resource.push_str("/log/more");
        }
        let namespace = match self.random.below(40) {
            0..10 => "",
            10 => self.random.pick(&["*", "RBAC-A", "rbac-gone", "rbac-a/"]),
            _ => self.random.pick(&NAMESPACES),
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
