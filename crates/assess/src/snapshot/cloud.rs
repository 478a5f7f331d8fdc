//! What of a cloud's maps from its identities to the cluster's stands in the cluster itself.

use serde::{Deserialize, Serialize};

/// The ConfigMap `aws-auth` in `kube-system`, which the AWS IAM authenticator reads.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AwsAuth {
    /// `mapRoles`.
    pub roles: Vec<CloudMap>,
    /// `mapUsers`.
    pub users: Vec<CloudMap>,
    /// `mapAccounts`: everybody of these accounts is somebody here.
    pub accounts: Vec<String>,
    /// The keys whose value could not be read.
    pub unreadable: Vec<String>,
}

/// One identity of the cloud, and who it is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CloudMap {
    /// The role's or the user's name in AWS.
    pub arn: String,
    /// The user name here; may hold `{{…}}`.
    pub username: String,
    /// The groups here.
    pub groups: Vec<String>,
}
