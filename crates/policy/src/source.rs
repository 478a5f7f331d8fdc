//! The files that policies are made of, and the ones that are built in.

/// One file: policies (`.cedar`) or their tests (`.md`). Whoever reads the disk makes these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name as errors show it (`base/discovery.cedar`); the ending tells what it is.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// A file with this name and text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }

    /// Whether it holds policies.
    pub(crate) fn is_policies(&self) -> bool {
        self.name.ends_with(".cedar")
    }

    /// Whether it holds tests.
    pub(crate) fn is_tests(&self) -> bool {
        self.name.ends_with(".md")
    }
}

/// The schema that every policy is validated against.
pub const SCHEMA: &str = include_str!("../../../policies/schema.cedarschema");

macro_rules! base {
    ($($name:literal,)*) => {
        /// The policies of the base pack, as built in.
        pub fn base_sources() -> Vec<Source> {
            vec![$(Source::new(
                concat!("base/", $name, ".cedar"),
                include_str!(concat!("../../../policies/base/", $name, ".cedar")),
            ),)*]
        }

        /// The tests of the base pack, one file beside each policy.
        pub fn base_tests() -> Vec<Source> {
            vec![$(Source::new(
                concat!("base/", $name, ".md"),
                include_str!(concat!("../../../policies/base/", $name, ".md")),
            ),)*]
        }
    };
}

base! {
    "admin-manages-access",
    "admin-uses-secrets",
    "admission-is-not-changed",
    "aggregated-apis-are-not-changed",
    "approvers-answer",
    "break-glass",
    "certificates-are-not-requested",
    "certificates-are-not-signed",
    "cluster-access-is-not-changed",
    "collection-delete-needs-approval",
    "controller-fields-are-not-written",
    "crown-jewels-need-two-approvals",
    "custom-types-are-not-deleted",
    "delete-needs-approval",
    "discovery",
    "grants-need-a-reason",
    "grants-need-approval",
    "health",
    "namespace-access-needs-approval",
    "namespaces-are-not-deleted",
    "nodes-are-not-proxied",
    "only-people-answer",
    "operator-changes",
    "operator-deletes",
    "operator-proxies",
    "operator-streams",
    "people-ask-to-read",
    "proxy-only-reads",
    "secret-lists-need-approval",
    "secret-writes-need-approval",
    "secrets-are-for-admins",
    "self-review",
    "streams-need-fresh-session",
    "system-is-not-impersonated",
    "tokens-are-not-minted",
    "viewer-reads",
    "viewer-reads-logs",
    "viewers-ask-for-more",
    "volumes-are-not-changed",
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No forgotten file: what lies in `policies/base` is what is built in.
    #[test]
    fn the_base_pack_is_whole() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies/base");
        let mut on_disk: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| format!("base/{}", entry.unwrap().file_name().to_str().unwrap()))
            .collect();
        let mut built_in: Vec<String> = base_sources()
            .into_iter()
            .chain(base_tests())
            .map(|source| source.name)
            .collect();
        on_disk.sort();
        built_in.sort();
        assert_eq!(on_disk, built_in);
    }
}
