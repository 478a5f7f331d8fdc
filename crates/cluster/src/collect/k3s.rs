//! The flags of k3s' API server, which runs in no pod and in no process of its own: k3s writes the arguments of each
//! of its servers, also those of its configuration file, on the server's Node (`k3s.io/node-args`, as JSON; secrets
//! are masked).

use kubestile_assess::snapshot::{ApiServer, Source, Why};
use serde_json::Value;

use super::get;
use crate::upstream::Upstream;

/// The directory of a server's files.
pub(super) const SERVER: &str = "/var/lib/rancher/k3s/server";
const NODES: &str = "/api/v1/nodes?labelSelector=node-role.kubernetes.io%2Fcontrol-plane&limit=100";
/// What k3s gives its API server before anything that an administrator adds ("CIS Self-Assessment Guide", K3s' docs).
const DEFAULTS: [&str; 3] = [
    "--anonymous-auth=false",
    "--authorization-mode=Node,RBAC",
    "--profiling=false",
];
/// Arguments of a server that are read.
const MOST: usize = 10_000;

/// None where no node says; not known where its servers are set up differently.
pub(super) async fn api_server(upstream: &Upstream) -> Option<Source<ApiServer>> {
    let nodes = get(upstream, NODES).await.ok()?;
    let nodes = nodes.get("items").and_then(Value::as_array)?;
    of_nodes(nodes)
}

fn of_nodes(nodes: &[Value]) -> Option<Source<ApiServer>> {
    let mut all = nodes.iter().filter_map(of_node);
    let first = all.next()?;
    if all.any(|other| other.flags != first.flags) {
        let text = "the servers of k3s have different arguments for the API server: give each the same configuration";
        return Some(Source::absent(Why::Failed, text));
    }
    Some(Source::Known(first))
}

fn of_node(node: &Value) -> Option<ApiServer> {
    let text = node.pointer("/metadata/annotations/k3s.io~1node-args")?;
    let words: Vec<String> = serde_json::from_str(text.as_str()?).ok()?;
    if words.first().is_none_or(|w| w != "server") || words.len() > MOST {
        return None;
    }
    let name = node.pointer("/metadata/name").and_then(Value::as_str)?;
    let mut flags: Vec<String> = DEFAULTS.iter().map(|f| (*f).to_owned()).collect();
    for (index, word) in words.iter().enumerate() {
        let value = match word.split_once('=') {
            Some(("--kube-apiserver-arg", value)) => value,
            None if word == "--kube-apiserver-arg" => words.get(index + 1)?,
            _ => continue,
        };
        add(&mut flags, value.trim_start_matches('-'));
    }
    let place = format!("node/{name} k3s.io/node-args");
    Some(ApiServer::from_command(&place, &flags))
}

/// One `name=value`; `name-=value` takes the flag away and `name+=value` gives it once more.
fn add(flags: &mut Vec<String>, argument: &str) {
    let (name, value) = argument.split_once('=').unwrap_or((argument, "true"));
    if let Some(name) = name.strip_suffix('-') {
        let mark = format!("--{name}=");
        flags.retain(|f| !f.starts_with(&mark));
        return;
    }
    let name = name.trim_end_matches('+');
    flags.push(format!("--{name}={value}"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, args: &[&str]) -> Value {
        let text = serde_json::to_string(args).unwrap();
        json!({ "metadata": { "name": name, "annotations": { "k3s.io/node-args": text } } })
    }

    #[test]
    fn flags_are_read_from_the_arguments_of_a_server() {
        let nodes = [node(
            "one",
            &[
                "server",
                "--token",
                "********",
                "--kube-apiserver-arg",
                "audit-log-path=/var/log/audit.log",
                "--kube-apiserver-arg=anonymous-auth=true",
                "--kube-apiserver-arg",
                "--token-auth-file=/etc/tokens",
                "--kube-apiserver-arg=profiling-=false",
            ],
        )];
        let found = of_nodes(&nodes).unwrap();
        let server = found.known().unwrap();
        assert_eq!(server.value("audit-log-path"), Some("/var/log/audit.log"));
        assert_eq!(
            server.value("anonymous-auth"),
            Some("true"),
            "the last wins"
        );
        assert_eq!(server.value("token-auth-file"), Some("/etc/tokens"));
        assert_eq!(server.value("authorization-mode"), Some("Node,RBAC"));
        assert_eq!(server.value("profiling"), None);
        assert_eq!(server.place, "node/one k3s.io/node-args");
    }

    #[test]
    fn agents_say_nothing_and_servers_must_agree() {
        let agent = node("a", &["agent", "--kube-apiserver-arg=anonymous-auth=true"]);
        assert!(of_nodes(std::slice::from_ref(&agent)).is_none());
        assert!(of_nodes(&[json!({ "metadata": { "name": "x" } })]).is_none());
        let one = node("one", &["server"]);
        let two = node("two", &["server", "--kube-apiserver-arg=audit-log-path=/x"]);
        let both = [agent, one.clone(), two];
        assert!(of_nodes(&both).unwrap().get().is_err());
        assert!(of_nodes(&[one.clone(), one]).unwrap().known().is_some());
    }
}
