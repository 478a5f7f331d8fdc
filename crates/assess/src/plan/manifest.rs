//! Edits of the API server's manifest as text, so that its comments and its order stay: flags of the
//! command line, and the mount without which a container does not see a file. What has an unusual form
//! is not guessed at.

/// Why a manifest is not edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// There is no list that begins with `- kube-apiserver`.
    #[error("the manifest has no `- kube-apiserver` with its flags below, a line each")]
    Command,
    /// A flag's value stands on a line of its own.
    #[error("the value of --{0} stands on a line of its own: write it as `--{0}=value`")]
    Apart(String),
    /// It would have to be quoted.
    #[error("the value of --{0} cannot be written without quotes")]
    Value(String),
    /// There are no mounts to add one to.
    #[error("the manifest has no `{0}:` with a list below")]
    Mounts(&'static str),
}

/// One line of the command.
struct Line<'t> {
    indent: &'t str,
    flag: &'t str,
    has_value: bool,
}

fn line(text: &str) -> Option<Line<'_>> {
    let trimmed = text.trim_start_matches(' ');
    let indent = text.get(..text.len() - trimmed.len())?;
    let item = trimmed.strip_prefix("- ")?.trim();
    let item = item.trim_matches(['"', '\'']);
    let body = item.strip_prefix("--")?;
    let (flag, has_value) = match body.split_once('=') {
        Some((flag, _)) => (flag, true),
        None => (body, false),
    };
    Some(Line {
        indent,
        flag,
        has_value,
    })
}

/// Sets a flag, or removes it if there is no value.
///
/// # Errors
/// [`ManifestError`]; then nothing is to be written.
pub fn set_flag(text: &str, name: &str, value: Option<&str>) -> Result<String, ManifestError> {
    let unsafe_value =
        |v: &str| v.contains(": ") || v.contains(" #") || v.contains(['\n', '"', '\'']);
    if value.is_some_and(unsafe_value) {
        return Err(ManifestError::Value(name.to_owned()));
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_program =
        |l: &String| l.trim() == "- kube-apiserver" || l.trim().ends_with("/kube-apiserver");
    let program = lines
        .iter()
        .position(is_program)
        .ok_or(ManifestError::Command)?;
    let mut last = program;
    let mut found = Vec::new();
    let mut indent = String::new();
    for (index, text) in lines.iter().enumerate().skip(program + 1) {
        let Some(flag) = line(text) else {
            // A comment between flags is no end.
            if text.trim_start().starts_with('#') {
                continue;
            }
            break;
        };
        if indent.is_empty() {
            flag.indent.clone_into(&mut indent);
        }
        last = index;
        if flag.flag.replace('_', "-") == name {
            let next = lines.get(index + 1).map(|l| l.trim().to_owned());
            let apart = next.is_some_and(|n| n.starts_with("- ") && !n.contains("--"));
            if !flag.has_value && apart {
                return Err(ManifestError::Apart(name.to_owned()));
            }
            found.push(index);
        }
    }
    if last == program {
        return Err(ManifestError::Command);
    }
    // The last of a name is the one that counts; with one left there is no doubt.
    let keep = value.and(found.last().copied());
    for index in found.iter().rev().filter(|i| Some(**i) != keep) {
        lines.remove(*index);
    }
    if let Some(value) = value {
        let written = format!("{indent}- --{name}={value}");
        let before = found.len().saturating_sub(1);
        match keep {
            Some(index) => {
                if let Some(slot) = lines.get_mut(index - before) {
                    *slot = written;
                }
            }
            None => lines.insert(last + 1, written),
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// Whether the API server runs in a container, which sees mounted files only.
pub fn is_container(text: &str) -> bool {
    text.lines().any(|l| {
        let l = l.trim();
        l.starts_with("image:") || l.starts_with("- image:")
    })
}

/// Mounts a directory of the host at the same path, if it is not mounted yet.
///
/// # Errors
/// [`ManifestError::Mounts`] if there is nowhere to write it.
pub fn mount(text: &str, name: &str, dir: &str) -> Result<String, ManifestError> {
    if text.lines().any(|l| {
        l.trim() == format!("mountPath: {dir}") || l.trim() == format!("- mountPath: {dir}")
    }) {
        return Ok(text.to_owned());
    }
    let text = insert(text, "volumeMounts", |indent| {
        vec![
            format!("{indent}- mountPath: {dir}"),
            format!("{indent}  name: {name}"),
        ]
    })?;
    insert(&text, "volumes", |indent| {
        vec![
            format!("{indent}- hostPath:"),
            format!("{indent}    path: {dir}"),
            format!("{indent}    type: DirectoryOrCreate"),
            format!("{indent}  name: {name}"),
        ]
    })
}

fn insert(
    text: &str,
    list: &'static str,
    entry: impl Fn(&str) -> Vec<String>,
) -> Result<String, ManifestError> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let head = format!("{list}:");
    let at = lines
        .iter()
        .position(|l| l.trim() == head)
        .ok_or(ManifestError::Mounts(list))?;
    let first = lines.get(at + 1).ok_or(ManifestError::Mounts(list))?;
    let trimmed = first.trim_start_matches(' ');
    let indent = first
        .get(..first.len() - trimmed.len())
        .filter(|_| trimmed.starts_with("- "))
        .ok_or(ManifestError::Mounts(list))?
        .to_owned();
    lines.splice(at + 1..at + 1, entry(&indent));
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KUBEADM: &str = "\
apiVersion: v1
kind: Pod
spec:
  containers:
  - command:
    - kube-apiserver
    - --advertise-address=10.0.0.1
    # ours
    - --authorization-mode=Node,RBAC
    - --authorization-mode=Node
    image: registry.k8s.io/kube-apiserver:v1.36.3
    volumeMounts:
    - mountPath: /etc/kubernetes/pki
      name: k8s-certs
  volumes:
  - hostPath:
      path: /etc/kubernetes/pki
    name: k8s-certs
";

    #[test]
    fn a_flag_is_set_changed_and_removed_and_the_rest_stays() {
        let set = set_flag(KUBEADM, "audit-log-maxage", Some("30")).unwrap();
        assert_eq!(
            set,
            KUBEADM.replace(
                "    - --authorization-mode=Node\n",
                "    - --authorization-mode=Node\n    - --audit-log-maxage=30\n"
            )
        );
        assert_eq!(set_flag(&set, "audit-log-maxage", None).unwrap(), KUBEADM);
        let one = set_flag(KUBEADM, "authorization-mode", Some("RBAC")).unwrap();
        assert_eq!(one.matches("authorization-mode").count(), 1);
        assert!(
            one.contains("# ours\n    - --authorization-mode=RBAC\n    image"),
            "{one}"
        );
        let none = set_flag(KUBEADM, "authorization-mode", None).unwrap();
        assert!(!none.contains("authorization-mode"));
    }

    #[test]
    fn an_unusual_form_is_not_guessed_at() {
        let apart = KUBEADM.replace("--advertise-address=10", "--x\n    - 10");
        assert_eq!(
            set_flag(&apart, "x", Some("1")),
            Err(ManifestError::Apart("x".to_owned()))
        );
        assert_eq!(set_flag("spec: {}", "x", None), Err(ManifestError::Command));
        for value in ["a: b", "a #b", "a\n- --anonymous-auth=true", "\"a"] {
            assert!(set_flag(KUBEADM, "x", Some(value)).is_err(), "{value}");
        }
    }

    #[test]
    fn a_directory_is_mounted_once() {
        let mounted = mount(KUBEADM, "kubestile", "/etc/kubernetes/kubestile").unwrap();
        assert!(mounted.contains(
            "    volumeMounts:\n    - mountPath: /etc/kubernetes/kubestile\n      name: kubestile\n"
        ));
        assert!(mounted.contains("  volumes:\n  - hostPath:\n      path: /etc/kubernetes/kubestile\n      type: DirectoryOrCreate\n    name: kubestile\n"));
        assert_eq!(
            mount(&mounted, "kubestile", "/etc/kubernetes/kubestile").unwrap(),
            mounted
        );
        assert!(mount("spec:\n", "x", "/x").is_err());
        assert!(is_container(KUBEADM) && !is_container("command:\n- kube-apiserver"));
    }
}
