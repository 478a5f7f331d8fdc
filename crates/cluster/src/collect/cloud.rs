//! The ConfigMap `aws-auth`: YAML in three of its keys.

use kubestile_assess::snapshot::{AwsAuth, CloudMap, Source};
use serde_json::Value;

use super::{absent, get};
use crate::upstream::Upstream;

const PATH: &str = "/api/v1/namespaces/kube-system/configmaps/aws-auth";
/// Entries of one key that are read; EKS itself gets slow far below.
const MOST: usize = 10_000;

/// None where there is no such object.
pub(super) async fn aws_auth(upstream: &Upstream) -> Source<Option<AwsAuth>> {
    match get(upstream, PATH).await {
        Ok(object) => Source::Known(Some(read(&object))),
        Err(error) if error.status() == Some(404) => Source::Known(None),
        Err(error) => absent(&error, "get the configmap `aws-auth` in kube-system"),
    }
}

fn read(object: &Value) -> AwsAuth {
    let mut found = AwsAuth::default();
    let mut unreadable = Vec::new();
    let mut list = |key: &str| {
        let text = object.pointer("/data").and_then(|d| d.get(key));
        let text = text.and_then(Value::as_str).unwrap_or_default();
        if text.trim().is_empty() {
            return Vec::new();
        }
        let options = serde_saphyr::options! { with_snippet: false };
        match serde_saphyr::from_str_with_options::<Value>(text, options) {
            Ok(Value::Array(items)) if items.len() <= MOST => items,
            Ok(Value::Null) => Vec::new(),
            _ => {
                unreadable.push(key.to_owned());
                Vec::new()
            }
        }
    };
    found.roles = list("mapRoles").iter().map(|e| map(e, "rolearn")).collect();
    found.users = list("mapUsers").iter().map(|e| map(e, "userarn")).collect();
    // Numbers where nobody has put them in quotation marks.
    let account = |v: &Value| match v {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    found.accounts = list("mapAccounts").iter().map(account).collect();
    found.unreadable = unreadable;
    found
}

/// An entry, whose keys the authenticator reads without regard to case.
fn map(entry: &Value, arn: &str) -> CloudMap {
    let field = |name: &str| {
        let fields = entry.as_object().into_iter().flatten();
        let mut same = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        same.next().map(|(_, value)| value)
    };
    let text = |name: &str| {
        let value = field(name).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let groups = field("groups").and_then(Value::as_array);
    let groups = groups.into_iter().flatten().filter_map(Value::as_str);
    CloudMap {
        arn: text(arn),
        username: text("username"),
        groups: groups.map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn roles_users_and_accounts_are_read_as_the_authenticator_does() {
        let found = read(&json!({ "data": {
            "mapRoles": "- rolearn: arn:aws:iam::111122223333:role/node\n  username: system:node:{{EC2PrivateDNSName}}\n  groups: [system:bootstrappers, system:nodes]\n- roleARN: arn:aws:iam::111122223333:role/admin\n  groups:\n  - system:masters\n",
            "mapUsers": "[{\"userarn\": \"arn:aws:iam::111122223333:user/ana\", \"username\": \"ana\"}]",
            "mapAccounts": "- 111122223333\n- \"444455556666\"\n",
        } }));
        assert_eq!(found.roles.len(), 2);
        assert_eq!(found.roles[1].arn, "arn:aws:iam::111122223333:role/admin");
        assert_eq!(found.roles[1].groups, ["system:masters"]);
        assert_eq!(
            (
                found.users[0].username.as_str(),
                found.users[0].groups.len()
            ),
            ("ana", 0)
        );
        assert_eq!(found.accounts, ["111122223333", "444455556666"]);
        assert!(found.unreadable.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let found =
            read(&json!({ "data": { "mapRoles": "{", "mapUsers": "a: b", "mapAccounts": "" } }));
        assert_eq!(found.unreadable, ["mapRoles", "mapUsers"]);
        assert_eq!(read(&json!({})), AwsAuth::default());
    }
}
