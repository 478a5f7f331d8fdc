use super::*;
use crate::name::Name;

fn layout() -> Layout {
    Layout::of(&name()).unwrap()
}

fn name() -> Name {
    "dev".parse().unwrap()
}

fn value_of(flags: &[OsString], name: &str) -> Option<String> {
    let prefix = format!("--{name}=");
    flags
        .iter()
        .rev()
        .find_map(|flag| flag.to_str()?.strip_prefix(&prefix).map(str::to_owned))
}

#[test]
fn nothing_listens_beyond_loopback() {
    let ports = Ports {
        api_server: 1,
        etcd: 2,
        etcd_peer: 3,
    };
    let api_server = api_server_flags(&layout(), ports, &[]);
    assert_eq!(value_of(&api_server, "bind-address").unwrap(), "127.0.0.1");
    let etcd = etcd_flags(&layout(), ports);
    for flag in ["listen-client-urls", "listen-peer-urls"] {
        assert!(
            value_of(&etcd, flag)
                .unwrap()
                .starts_with("https://127.0.0.1:"),
            "{flag}"
        );
    }
    for manager in [
        controller_manager_flags(&layout()),
        scheduler_flags(&layout()),
    ] {
        assert_eq!(value_of(&manager, "secure-port").unwrap(), "0");
    }
    let kubelet = kubelet(&layout(), 4);
    assert_eq!(kubelet["address"], "127.0.0.1");
    assert_eq!(kubelet["readOnlyPort"], 0);
    assert_eq!(kubelet["healthzPort"], 0);
}

#[test]
fn the_api_server_is_as_strict_as_kubeadms() {
    let ports = Ports {
        api_server: 1,
        etcd: 2,
        etcd_peer: 3,
    };
    let flags = api_server_flags(&layout(), ports, &["--v=4".to_owned()]);
    assert_eq!(value_of(&flags, "authorization-mode").unwrap(), "Node,RBAC");
    assert_eq!(
        value_of(&flags, "requestheader-allowed-names").unwrap(),
        FRONT_PROXY_CLIENT
    );
    assert_eq!(
        value_of(&flags, "anonymous-auth"),
        None,
        "left at its default, as kubeadm does"
    );
    assert_eq!(value_of(&flags, "token-auth-file"), None);
    assert_ne!(
        value_of(&flags, "client-ca-file"),
        value_of(&flags, "requestheader-client-ca-file"),
        "a client certificate must not be able to set identity headers"
    );
    assert_eq!(
        flags.last().unwrap(),
        "--v=4",
        "a caller's flag comes last and wins"
    );
}

#[test]
fn every_file_of_containerd_is_below_the_clusters_directory() {
    let layout = layout();
    let text = Containerd {
        layout: &layout,
        snapshotter: "overlayfs",
        cni_plugins: Path::new("/usr/lib/cni"),
        runc: Path::new("/usr/sbin/runc"),
        pause_image: "pause:1",
    }
    .render();
    for key in ["root", "state", "address", "conf_dir", "Root"] {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{key} = ")))
            .unwrap();
        assert!(line.contains(layout.dir().to_str().unwrap()), "{line}");
    }
    assert!(text.contains("restrict_oom_score_adj = true"));
}

#[test]
fn a_path_with_quotes_stays_one_text() {
    assert_eq!(toml_text(Path::new(r#"/a "b"\c"#)), r#""/a \"b\"\\c""#);
}

#[test]
fn a_kubeconfig_holds_what_it_needs() {
    let config = kubeconfig("https://127.0.0.1:1", "ca", "cert", "key", "kubestile-dev");
    assert_eq!(config["current-context"], "kubestile-dev");
    assert_eq!(
        config["users"][0]["user"]["client-key-data"],
        BASE64.encode("key")
    );
}

#[test]
fn pods_of_two_clusters_do_not_meet() {
    let one = name();
    let two: Name = "e2e".parse().unwrap();
    let first = PodNetwork::choose(&one, &[]).unwrap();
    let second = PodNetwork::choose(&two, &[first]).unwrap();
    let render = |name: &Name, pods| cni(name, pods, &Layout::of(name).unwrap());
    let (a, b) = (render(&one, first), render(&two, second));
    assert_ne!(a["name"], b["name"]);
    assert_ne!(
        a["plugins"][0]["ipam"]["ranges"],
        b["plugins"][0]["ipam"]["ranges"]
    );
    assert_ne!(
        a["plugins"][0]["ipam"]["dataDir"],
        b["plugins"][0]["ipam"]["dataDir"]
    );
}
