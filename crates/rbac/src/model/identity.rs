//! Whom bindings speak of, whatever way they are written.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The group whose members no authorizer judges: not RBAC, not a webhook.
pub const MASTERS: &str = "system:masters";
/// What a service account's user name starts with.
pub const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
/// The group of everybody who has logged in.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of everybody who has not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user name of everybody who has not logged in.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of all service accounts; with `:` and a namespace, of those in the namespace.
pub const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";

/// Somebody whom bindings speak of. A user whose name is a service account's is that service account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Identity {
    /// A user.
    User {
        /// Its name.
        name: String,
    },
    /// Everybody in a group.
    Group {
        /// Its name.
        name: String,
    },
    /// A service account.
    ServiceAccount {
        /// Where it lives.
        namespace: String,
        /// Its name there.
        name: String,
    },
}

impl Identity {
    /// A user, or the service account that has this user name.
    #[must_use]
    pub fn from_user_name(name: &str) -> Self {
        match split_service_account(name) {
            Some((namespace, account)) => Self::service_account(namespace, account),
            None => Self::User {
                name: name.to_owned(),
            },
        }
    }

    /// A group.
    #[must_use]
    pub fn group(name: &str) -> Self {
        Self::Group {
            name: name.to_owned(),
        }
    }

    /// A service account.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self::ServiceAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The name that the API server knows it by; none for a group, which is not somebody.
    #[must_use]
    pub fn user_name(&self) -> Option<String> {
        match self {
            Self::User { name } => Some(name.clone()),
            Self::Group { .. } => None,
            Self::ServiceAccount { namespace, name } => {
                Some(format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"))
            }
        }
    }

    /// The groups that it is in whatever else it is in, as the API server adds them when somebody logs in.
    /// A member of a group has logged in, unless the group says otherwise.
    #[must_use]
    pub fn implicit_groups(&self) -> Vec<String> {
        let mut groups = Vec::new();
        match self {
            Self::User { name } if name == ANONYMOUS => return vec![UNAUTHENTICATED.to_owned()],
            Self::User { .. } => {}
            Self::Group { name } => {
                groups.push(name.clone());
                if name == UNAUTHENTICATED || name == AUTHENTICATED {
                    return groups;
                }
                let of_namespace = name.strip_prefix(SERVICE_ACCOUNTS);
                if of_namespace.is_some_and(|rest| rest.starts_with(':')) {
                    groups.push(SERVICE_ACCOUNTS.to_owned());
                }
            }
            Self::ServiceAccount { namespace, .. } => {
                groups.push(SERVICE_ACCOUNTS.to_owned());
                groups.push(format!("{SERVICE_ACCOUNTS}:{namespace}"));
            }
        }
        groups.push(AUTHENTICATED.to_owned());
        groups
    }
}

/// As `kubectl` names subjects: `user/alice`, `group/dev`, `serviceaccount/shop/web`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { name } => write!(f, "user/{name}"),
            Self::Group { name } => write!(f, "group/{name}"),
            Self::ServiceAccount { namespace, name } => {
                write!(f, "serviceaccount/{namespace}/{name}")
            }
        }
    }
}

/// Namespace and name, if this is the user name of a service account: exactly two parts, each as such names are. Any
/// other user of this prefix is a user, and in no group of service accounts.
fn split_service_account(user_name: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user_name
        .strip_prefix(SERVICE_ACCOUNT_PREFIX)?
        .split_once(':')?;
    let fine = namespace.len() <= 63
        && name.len() <= 253
        && is_label(namespace)
        && name.split('.').all(is_label);
    fine.then_some((namespace, name))
}

/// Letters, digits and dashes, with no dash at either end (RFC 1123, in lower case).
fn is_label(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.bytes().all(fits) && !text.starts_with('-') && !text.ends_with('-')
}
