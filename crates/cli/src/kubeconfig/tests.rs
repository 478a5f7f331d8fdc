use super::document::Plugin;
use super::*;

const THEIRS: &str = "\
apiVersion: v1
kind: Config
current-context: kind-dev
preferences: {}
x-unknown: {a: [1, 2], b: \"yes\"}
clusters:
- name: kind-dev
  cluster: {server: 'https://127.0.0.1:6443', extensions: [{name: x, extension: {y: 1}}]}
contexts:
- name: kind-dev
  context: {cluster: kind-dev, user: kind-dev, namespace: shop}
users:
- name: kind-dev
  user:
    token: \"0123\"
    client-certificate-data: |
      AAAA
      BBBB
";

fn plugin() -> Plugin {
    Plugin {
        user: "kubestile-127.0.0.1_8443".to_owned(),
        program: "/opt/kubestile".to_owned(),
        login: "/x/ana/.config/kubestile/gates/127.0.0.1_8443".to_owned(),
        url: "https://127.0.0.1:8443".to_owned(),
    }
}

fn add(document: &mut Document, clusters: &[&str]) {
    document.set_plugin(&plugin());
    for cluster in clusters {
        let entry = Entry {
            context: format!("kubestile-{cluster}"),
            server: format!("https://127.0.0.1:8443/clusters/{cluster}"),
        };
        document.set_cluster(&entry, &plugin().user, "Q0E=");
    }
}

fn value(text: &str) -> serde_json::Value {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn what_is_not_ours_stays_as_it_is() {
    let mut document = Document::parse(THEIRS).unwrap();
    add(&mut document, &["dev"]);
    let after = value(&document.text().unwrap());
    let before = value(THEIRS);
    for key in [
        "apiVersion",
        "kind",
        "preferences",
        "x-unknown",
        "current-context",
    ] {
        assert_eq!(after[key], before[key], "{key}");
    }
    for list in ["clusters", "contexts", "users"] {
        assert_eq!(after[list][0], before[list][0], "{list}");
        assert_eq!(after[list].as_array().unwrap().len(), 2, "{list}");
    }
}

#[test]
fn our_entries_hold_no_secret_and_name_the_plugin() {
    let mut document = Document::parse("").unwrap();
    add(&mut document, &["dev"]);
    let text = document.text().unwrap();
    let after = value(&text);
    let exec = &after["users"][0]["user"]["exec"];
    assert_eq!(exec["apiVersion"], "client.authentication.k8s.io/v1");
    assert_eq!(exec["interactiveMode"], "IfAvailable");
    assert_eq!(exec["command"], "/opt/kubestile");
    assert!(
        exec["installHint"]
            .as_str()
            .unwrap()
            .contains("kubestile login")
    );
    assert_eq!(
        after["users"][0]["user"].as_object().unwrap().len(),
        1,
        "nothing but exec"
    );
    assert_eq!(
        after["clusters"][0]["cluster"]["server"],
        "https://127.0.0.1:8443/clusters/dev"
    );
    for secret in ["token", "client-key", "password"] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert_eq!(
        document.login_of("kubestile-dev"),
        Some("/x/ana/.config/kubestile/gates/127.0.0.1_8443")
    );
    assert_eq!(document.login_of("other"), None);
}

#[test]
fn a_second_login_changes_nothing_and_keeps_the_namespace() {
    let mut document = Document::parse(THEIRS).unwrap();
    add(&mut document, &["dev", "prod"]);
    let once = document.clone();
    add(&mut document, &["dev", "prod"]);
    assert_eq!(document, once);

    let text = document.text().unwrap().replace(
        "cluster: kubestile-dev\n    user",
        "cluster: kubestile-dev\n    namespace: mine\n    user",
    );
    assert!(text.contains("namespace: mine"), "{text}");
    let mut document = Document::parse(&text).unwrap();
    add(&mut document, &["dev"]);
    assert!(document.text().unwrap().contains("namespace: mine"));
}

#[test]
fn contexts_of_clusters_that_are_gone_go_too() {
    let mut document = Document::parse(THEIRS).unwrap();
    add(&mut document, &["dev", "prod"]);
    document.set_current_context("kubestile-prod");
    let gone = document.remove_contexts(&plugin().user, &["kubestile-dev".to_owned()]);
    assert_eq!(gone, ["kubestile-prod"]);
    assert_eq!(document.current_context(), None);
    assert!(document.user_of("kind-dev").is_some());
    document.remove_contexts(&plugin().user, &[]);
    document.remove_user(&plugin().user);
    document.set_current_context("kind-dev");
    assert_eq!(value(&document.text().unwrap()), value(THEIRS));
}

#[test]
fn names_of_others_are_not_taken() {
    let mut document = Document::parse(THEIRS).unwrap();
    assert!(document.is_foreign("kind-dev", "kubestile-x"));
    assert!(!document.is_foreign("kubestile-dev", "kubestile-x"));
    add(&mut document, &["dev"]);
    assert!(!document.is_foreign("kubestile-dev", &plugin().user));
    assert!(document.is_foreign("kubestile-dev", "kubestile-other-gate"));
}

#[test]
fn kubectls_own_empty_lists_are_accepted_and_nonsense_is_not() {
    let empty = "apiVersion: v1\nclusters: null\ncontexts: null\nusers: null\nkind: Config\n";
    let mut document = Document::parse(empty).unwrap();
    add(&mut document, &["dev"]);
    assert!(document.has_ours());
    for bad in ["- a\n", "clusters: {}\n", "a: [\n", "a: 1\na: 2\n"] {
        assert!(Document::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_file_is_replaced_once_backed_up_once_and_unlocked() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    fs::write(&path, THEIRS).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    edit(&path, |_| ()).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        THEIRS,
        "an edit without a change writes nothing"
    );
    for cluster in ["dev", "prod"] {
        edit(&path, |document| add(document, &[cluster])).unwrap();
    }
    let copy = dir.path().join("config.before-kubestile");
    assert_eq!(fs::read_to_string(&copy).unwrap(), THEIRS);
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!dir.path().join("config.lock").exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_broken_file_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    fs::write(&path, "a: [").unwrap();
    let fail = edit(&path, |document| add(document, &["dev"])).unwrap_err();
    assert_eq!(fail.of_kind(), Kind::Config);
    assert_eq!(fs::read_to_string(&path).unwrap(), "a: [");
    assert!(!dir.path().join("config.lock").exists());
}
