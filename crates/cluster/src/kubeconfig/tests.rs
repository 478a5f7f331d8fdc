use std::fs;

use rustls::pki_types::ServerName;

use super::*;

const CA: &str = "LS0tLS1CRUdJTg=="; // base64 of "-----BEGIN"

/// A kubeconfig with one context `c` of cluster `k` and user `u`, with these fields.
fn file(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         clusters: [{{name: k, cluster: {{{cluster}}}}}]\n\
         users: [{{name: u, user: {{{user}}}}}]\n"
    )
}

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    fs::write(&path, text).unwrap();
    (dir, path)
}

fn read(text: &str) -> Result<Resolved, ClusterError> {
    let (_dir, path) = written(text);
    resolve(Some(&path), None)
}

fn refused(text: &str) -> String {
    let error = read(text).err().unwrap();
    let message = crate::error::chain(&error);
    assert!(!message.contains("hunter2"), "a secret in `{message}`");
    message
}

#[test]
fn the_namespace_is_the_contexts_as_with_kubectl() {
    let two = |namespace: &str| {
        file("server: https://a.example", "token: t").replace(
            "cluster: k, user: u}}",
            &format!("cluster: k, user: u{namespace}}}}}, {{name: d, context: {{cluster: k, namespace: bank}}}}"),
        )
    };
    for (written_as, expected) in [
        (", namespace: shop", "shop"),
        (", namespace: \"\"", "default"),
        ("", "default"),
    ] {
        let (_dir, path) = written(&two(written_as));
        assert_eq!(namespace(Some(&path), None).unwrap(), expected);
        assert_eq!(namespace(Some(&path), Some("d")).unwrap(), "bank");
        assert!(namespace(Some(&path), Some("x")).is_err());
    }
}

#[test]
fn a_whole_context_is_read() {
    let text = file(
        "server: https://a.example:6443/base, tls-server-name: kubernetes, certificate-authority: pki/ca.crt",
        "tokenFile: ../token",
    );
    let (dir, path) = written(&text);
    let resolved = resolve(Some(&path), Some("c")).unwrap();
    assert_eq!(resolved.context, "c");
    assert_eq!(resolved.endpoint.authority(), "a.example:6443");
    assert_eq!(resolved.endpoint.base_path, "/base");
    assert_eq!(
        resolved.endpoint.server_name,
        ServerName::try_from("kubernetes").unwrap()
    );
    let Authority::Pem(Pem::File(ca)) = &resolved.source.authority else {
        panic!("a file")
    };
    assert_eq!(
        *ca,
        dir.path().join("pki/ca.crt"),
        "relative to the kubeconfig"
    );
    let Identity::TokenFile(token) = &resolved.source.identity else {
        panic!("a token file")
    };
    assert_eq!(*token, dir.path().join("../token"));
}

#[test]
fn contradictions_and_what_we_do_not_do_are_refused_with_a_remedy() {
    let server = "server: https://a.example";
    for (cluster, user, says) in [
        ("", "token: hunter2", "no `server`"),
        ("server: ''", "token: hunter2", "no `server`"),
        (
            "server: http://a.example",
            "token: hunter2",
            "must be https",
        ),
        (
            "server: https://a.example, proxy-url: http://proxy.example",
            "token: hunter2",
            "proxy-url",
        ),
        (
            "server: https://a.example, certificate-authority-data: '%%%'",
            "token: hunter2",
            "`certificate-authority-data` is not base64",
        ),
        (
            "server: https://a.example, insecure-skip-tls-verify: true, certificate-authority: ca.crt",
            "token: hunter2",
            "remove one",
        ),
        (server, "", "no credential"),
        (server, "token: ''", "no credential"),
        (server, "username: ana", "without a password"),
        (server, "password: hunter2", "password alone"),
        (server, "client-certificate: a.crt", "without its key"),
        (
            server,
            "client-key-data: aHVudGVyMg==",
            "without its certificate",
        ),
        (
            server,
            "client-certificate-data: '%', client-key-data: aHVudGVyMg==",
            "`client-certificate-data` is not base64",
        ),
        (
            server,
            "token: hunter2, client-certificate: a.crt, client-key: a.key",
            "a token and a client certificate",
        ),
        (
            server,
            "username: ana, password: hunter2, token: hunter2",
            "a token and a password",
        ),
        (
            server,
            "token: hunter2, exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Never}",
            "a token and a credential plugin",
        ),
        (server, "token: hunter2, as: admin", "acts as somebody else"),
        (
            server,
            "token: hunter2, as-groups: [a]",
            "acts as somebody else",
        ),
        (
            server,
            "auth-provider: {name: gcp}",
            "`exec` credential plugin",
        ),
        (
            server,
            "exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}",
            "v1 and v1beta1",
        ),
        (
            server,
            "exec: {apiVersion: client.authentication.k8s.io/v1, command: x}",
            "no `interactiveMode`",
        ),
        (
            server,
            "exec: {apiVersion: client.authentication.k8s.io/v1beta1}",
            "no `command`",
        ),
    ] {
        let message = refused(&file(cluster, user));
        assert!(message.contains(says), "{cluster} {user}: {message}");
    }
}

#[test]
fn what_is_not_a_kubeconfig_is_named_by_its_place_only() {
    for text in [
        "users: hunter2",
        "clusters: [hunter2]",
        "{",
        "a: [hunter2",
        "users:\n- name: u\n  user:\n    token: [hunter2]\n",
        "current-context: c\ncurrent-context: hunter2\n",
    ] {
        let message = refused(text);
        assert!(message.contains("is not a kubeconfig"), "{text}: {message}");
    }
    // Empty is a kubeconfig, without contexts.
    assert!(refused("").contains("no current context"));
    let (_dir, path) = written(&file("server: https://a.example", "token: t"));
    fs::write(&path, [0xff, 0xfe, 0x41]).unwrap();
    assert!(matches!(
        resolve(Some(&path), None),
        Err(ClusterError::Read { .. })
    ));
    let missing = path.with_file_name("not-there");
    let error = resolve(Some(&missing), None).err().unwrap();
    assert!(error.to_string().contains("not-there"), "{error}");
}

#[test]
fn a_bomb_of_aliases_ends_early() {
    let mut text = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (this, last) in "bcdefghijk".chars().zip("abcdefghij".chars()) {
        let all = [format!("*{last}"); 1].join("").to_string();
        text.push_str(&format!("{this}: &{this} [{}]\n", vec![all; 10].join(",")));
    }
    text.push_str("contexts: *k\n");
    assert!(refused(&text).contains("is not a kubeconfig"));
}

#[test]
fn names_that_are_not_there_come_with_those_that_are() {
    let text = "current-context: gone\n\
         contexts: [{name: c, context: {cluster: k2, user: u2}}, {name: d, context: {cluster: k, user: u2}}]\n\
         clusters: [{name: k, cluster: {server: https://a.example}}]\n\
         users: [{name: u, user: {token: t}}]\n";
    let (_dir, path) = written(text);
    for (context, says) in [
        (None, "no context `gone`: it has `c`, `d`"),
        (Some("c"), "no cluster `k2`: it has `k`"),
        (Some("d"), "no user `u2`: it has `u`"),
    ] {
        let error = resolve(Some(&path), context).err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
    }
    let all = contexts(Some(&path)).unwrap();
    assert_eq!(all.names, ["c", "d"]);
    assert_eq!(all.current.as_deref(), Some("gone"));
}

#[test]
fn the_first_file_and_document_that_define_a_name_win() {
    let (_one_dir, one) = written(&file("server: https://one.example", "token: t"));
    let (_two_dir, two) = written(&format!(
        "{}---\n{}",
        file("server: https://two.example", "token: t").replace("name: k", "name: k2"),
        file("server: https://three.example", "token: t"),
    ));
    let merged = Merged::read(&[one, two]).unwrap();
    let server = |name: &str| merged.clusters[name].1.server.clone().unwrap();
    assert_eq!(server("k"), "https://one.example");
    assert_eq!(server("k2"), "https://two.example");
    assert_eq!(merged.contexts.len(), 1);
}

#[test]
fn a_plugin_is_found_as_kubectl_finds_it_and_is_told_the_cluster() {
    let user = |command: &str| {
        format!(
            "exec: {{apiVersion: client.authentication.k8s.io/v1, command: {command}, args: [a], interactiveMode: IfAvailable, \
             provideClusterInfo: true, env: [{{name: N, value: v}}], installHint: hint}}"
        )
    };
    let cluster = format!(
        "server: https://a.example, tls-server-name: kubernetes, certificate-authority-data: {CA}, \
         extensions: [{{name: client.authentication.k8s.io/exec, extension: {{audience: x}}}}]"
    );
    let (dir, path) = written(&file(&cluster, &user("./plugin")));
    let exec = |path: &Path| match resolve(Some(path), None).unwrap().source.identity {
        Identity::Exec(exec) => *exec,
        _ => panic!("a plugin"),
    };
    let found = exec(&path);
    assert_eq!(found.command, dir.path().join("./plugin"));
    assert_eq!(found.args, ["a"]);
    assert_eq!(found.env, [("N".to_owned(), "v".to_owned())]);
    assert_eq!(found.interactive, Interactive::IfAvailable);
    assert_eq!(
        found.cluster,
        Some(json!({
            "server": "https://a.example",
            "tls-server-name": "kubernetes",
            "certificate-authority-data": CA,
            "config": { "audience": "x" },
        }))
    );
    fs::write(&path, file(&cluster, &user("aws"))).unwrap();
    assert_eq!(exec(&path).command, PathBuf::from("aws"), "from PATH");
}

proptest::proptest! {
    /// Whatever a file holds, reading it gives an answer.
    #[test]
    fn no_text_makes_reading_fall_over(
        at in 0..400_usize,
        cut in 0..40_usize,
        piece in "[ -~\n\t]{0,12}",
    ) {
        let whole = file(
            "server: https://a.example, certificate-authority-data: LS0t",
            "exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Never}",
        );
        let start = at.min(whole.len());
        let end = (start + cut).min(whole.len());
        let (head, tail) = (whole.get(..start).unwrap(), whole.get(end..).unwrap());
        let text = format!("{head}{piece}{tail}");
        let _either = read(&text);
    }
}
