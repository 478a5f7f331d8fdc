//! The kubectl command that an action amounts to, for people who read the log or a refusal. Words
//! that need it are quoted for a shell; secrets in exec commands are hidden.

use crate::action::{Action, ActionKind};
use crate::request_info::{Resource, Target, Verb};
use crate::secret;

/// `kubectl delete deployments.apps/web -n shop`.
pub fn of(action: &Action) -> String {
    let mut line = String::from("kubectl ");
    match &action.info.target {
        Target::NonResource { path } => {
            let verb = match action.info.verb {
                Verb::Get | Verb::Head => "get",
                Verb::Post => "create",
                Verb::Put => "replace",
                Verb::Delete => "delete",
                _ => action.info.method.as_str(),
            };
            line.push_str(&format!("{verb} --raw {}", quote(path)));
        }
        Target::Resource(resource) => line.push_str(&of_resource(action, resource)),
    }
    if let Some(who) = &action.impersonates {
        line.push_str(&format!(" --as {}", quote(&who.user)));
        for group in &who.groups {
            line.push_str(&format!(" --as-group {}", quote(group)));
        }
    }
    line
}

fn of_resource(action: &Action, resource: &Resource) -> String {
    let object = object(resource);
    let scope = scope(action, resource);
    let container = match &action.container {
        Some(container) => format!(" -c {}", quote(container)),
        None => String::new(),
    };
    let flag = |name: &str, short: &str| {
        if action.info.query.flag(name) {
            format!(" {short}")
        } else {
            String::new()
        }
    };
    match action.kind {
        ActionKind::Exec | ActionKind::Copy => {
            let words: Vec<String> = secret::redact_command(&action.command)
                .iter()
                .map(|w| quote(w))
                .collect();
            let tty = flag("stdin", "-i") + &flag("tty", "-t");
            format!(
                "exec{tty} {}{scope}{container} -- {}",
                quote(&resource.name),
                words.join(" ")
            )
        }
        ActionKind::Attach => {
            let tty = flag("stdin", "-i") + &flag("tty", "-t");
            format!("attach{tty} {}{scope}{container}", quote(&resource.name))
        }
        ActionKind::PortForward => format!("port-forward {}{scope}", quote(&resource.name)),
        ActionKind::Log => {
            format!(
                "logs{} {}{scope}{container}",
                flag("follow", "-f"),
                quote(&resource.name)
            )
        }
        ActionKind::Debug => format!("debug {}{scope}", quote(&resource.name)),
        ActionKind::Token => format!("create token {}{scope}", quote(&resource.name)),
        ActionKind::Approve => format!("certificate approve {}", quote(&resource.name)),
        _ => format!("{} {object}{scope}{}", word(action), subresource(resource)),
    }
}

/// kubectl's word for a verb.
fn word(action: &Action) -> &'static str {
    match action.info.verb {
        Verb::Update => "replace",
        Verb::DeleteCollection => "delete",
        Verb::Watch => "get",
        Verb::List => "get",
        verb => verb.as_str(),
    }
}

/// `deployments.apps/web`, or `deployments.apps` for a collection.
fn object(resource: &Resource) -> String {
    let mut text = resource.resource.clone();
    if !resource.group.is_empty() {
        text.push('.');
        text.push_str(&resource.group);
    }
    if !resource.name.is_empty() {
        text.push('/');
        text.push_str(&resource.name);
    }
    quote(&text)
}

fn subresource(resource: &Resource) -> String {
    if resource.subresource.is_empty() {
        String::new()
    } else {
        format!(" --subresource={}", quote(&resource.subresource))
    }
}

/// Namespace, selectors, `--all`, `-w` and dry run.
fn scope(action: &Action, resource: &Resource) -> String {
    let mut text = String::new();
    // The API gives a namespace the namespace of its own name; kubectl has no such flag for it.
    let is_namespace = resource.group.is_empty() && resource.resource == "namespaces";
    if !resource.namespace.is_empty() && !is_namespace {
        text.push_str(&format!(" -n {}", quote(&resource.namespace)));
    }
    if !resource.label_selector.is_empty() {
        text.push_str(&format!(" -l {}", quote(&resource.label_selector)));
    }
    if !resource.field_selector.is_empty() && resource.name.is_empty() {
        text.push_str(&format!(
            " --field-selector {}",
            quote(&resource.field_selector)
        ));
    }
    if action.kind == ActionKind::DeleteCollection && resource.label_selector.is_empty() {
        text.push_str(" --all");
    }
    if action.kind == ActionKind::Watch {
        text.push_str(" -w");
    }
    if action.dry_run {
        text.push_str(" --dry-run=server");
    }
    text
}

/// A word as a shell would need it; control characters are shown, never sent to a terminal.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut text = String::from("'");
    for c in word.chars() {
        match c {
            '\'' => text.push_str("'\\''"),
            c if c.is_control() => text.extend(c.escape_default()),
            c => text.push(c),
        }
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request_info::RequestInfo;

    #[test]
    fn a_namespace_is_in_none() {
        let line = |method: &str, path: &str| {
            let info = RequestInfo::parse(method, path, None).unwrap();
            of(&Action::new("prod".parse().unwrap(), info, None))
        };
        assert_eq!(
            line("DELETE", "/api/v1/namespaces/shop"),
            "kubectl delete namespaces/shop"
        );
        assert_eq!(
            line("DELETE", "/api/v1/namespaces/shop/pods/web"),
            "kubectl delete pods/web -n shop"
        );
    }

    #[test]
    fn words_are_quoted_for_a_shell_and_never_reach_a_terminal_raw() {
        assert_eq!(quote("deployments.apps/web"), "deployments.apps/web");
        assert_eq!(quote("it's"), "'it'\\''s'");
        assert_eq!(quote("a\u{1b}[31m"), "'a\\u{1b}[31m'");
        assert_eq!(quote(""), "''");
    }
}
