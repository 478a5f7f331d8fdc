//! The gate's own account in a cluster, and the job functions that only the gate can give.

pub(crate) mod token;

/// The namespace that holds the account.
pub const NAMESPACE: &str = "kubestile-system";
/// The service account.
pub const NAME: &str = "kubestile-gate";
