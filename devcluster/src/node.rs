//! The node of a cluster: containerd with its images, then the kubelet.

use std::path::Path;

use serde_json::{Value, json};

use crate::config;
use crate::containerd::Ctr;
use crate::error::{Error, IoContext as _};
use crate::image;
use crate::machine::{self, NodeParts};
use crate::network;
use crate::pki::write_secret;
use crate::up::Startup;
use crate::wait::Wait;

/// Starts containerd and writes the images; they are imported by [`start_kubelet`],
/// when containerd has had the time to come up.
pub(crate) fn start_containerd(startup: &mut Startup<'_>, parts: &NodeParts) -> Result<(), Error> {
    let layout = startup.layout;
    let text = config::Containerd {
        layout,
        snapshotter: machine::snapshotter(layout.dir()),
        cni_plugins: &parts.cni,
        runc: &parts.runc,
        pause_image: image::PAUSE,
    }
    .render();
    let file = layout.config("containerd.toml");
    write_secret(&file, &text)?;
    if let Some(pods) = startup.state.pods {
        let network = config::cni(&startup.state.name, pods, layout);
        write_secret(&layout.cni().join("10-pods.conflist"), &network.to_string())?;
    }
    startup.launch("containerd", vec!["--config".into(), file.into_os_string()])?;
    image::write(&parts.busybox, &layout.images().join("busybox.tar"))
}

/// Starts the kubelet and waits until the node is Ready.
pub(crate) fn start_kubelet(startup: &mut Startup<'_>) -> Result<(), Error> {
    let layout = startup.layout;
    let name = startup.state.name.clone();
    import_images(startup)?;

    let binding = config::kubelet_client_binding().to_string();
    startup
        .kubectl
        .run_with(&["create", "--filename=-"], &binding)?;

    let [port] = network::free_ports().on("bind", Path::new("127.0.0.1"))?;
    let settings = config::kubelet(layout, port).to_string();
    write_secret(&layout.config("kubelet.json"), &settings)?;
    startup.launch("kubelet", config::kubelet_flags(layout, &name))?;

    let node = name.node();
    // The address would be set, and the taint removed, by a cloud's controller: the
    // kubelet runs in that mode so that it does not announce an address of the machine.
    let addresses = json!([
        { "type": "InternalIP", "address": "127.0.0.1" },
        { "type": "Hostname", "address": node },
    ]);
    let status = json!({ "status": { "addresses": addresses } }).to_string();
    startup.wait("node object", "kubelet", |kubectl| {
        let patch = [
            "patch",
            "node",
            &node,
            "--subresource=status",
            "--type=merge",
            "--patch",
        ];
        kubectl
            .run(&[patch.as_slice(), &[&status]].concat())
            .map(|_| true)
    })?;
    let taint = "node.cloudprovider.kubernetes.io/uninitialized-";
    startup.kubectl.run(&["taint", "node", &node, taint])?;
    startup.wait("Ready node", "kubelet", |kubectl| {
        let text = kubectl.run(&["get", "node", &node, "--output=json"])?;
        Ok(serde_json::from_str(&text).is_ok_and(|node: Value| is_ready(&node)))
    })
}

fn import_images(startup: &Startup<'_>) -> Result<(), Error> {
    let Some(program) = startup.binaries.node("ctr") else {
        return Ok(());
    };
    let ctr = Ctr {
        program,
        layout: startup.layout,
    };
    let (layout, processes) = (startup.layout, startup.state.processes.as_slice());
    let wait = Wait {
        layout,
        processes,
        what: "answer from containerd",
        program: "containerd",
    };
    wait.until(|| ctr.answers())?;
    ctr.import(&layout.images().join("busybox.tar"))
}

fn is_ready(node: &Value) -> bool {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    let field = |condition: &Value, name: &str, value: &str| {
        condition.get(name).and_then(Value::as_str) == Some(value)
    };
    conditions
        .into_iter()
        .flatten()
        .any(|condition| field(condition, "type", "Ready") && field(condition, "status", "True"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ready_condition_counts() {
        let node = |kind: &str, status: &str| json!({ "status": { "conditions": [{ "type": kind, "status": status }] } });
        assert!(is_ready(&node("Ready", "True")));
        assert!(!is_ready(&node("Ready", "Unknown")));
        assert!(!is_ready(&node("DiskPressure", "True")));
        assert!(!is_ready(&json!({})));
    }
}
