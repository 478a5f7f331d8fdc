//! What the kubeconfigs of this machine say about how people reach the cluster. They are one machine's:
//! a pass here is no proof for everybody's.

use std::collections::{BTreeMap, BTreeSet};

use kubestile_core::Timestamp;

use crate::facts::Facts;
use crate::snapshot::{Certificate, Credential, Kubeconfig, Token, UserEntry};
use crate::verdict::{Change, Class, Evidence, Fix, Judged, Verdict, quoted, undecided};

use super::{NEEDS_AUDIT, traffic};

/// How sure one machine's files make us of everybody's.
const ONE_MACHINE: u8 = 60;
/// A token that a person keeps may live this long, in seconds.
const HOUR: i64 = 3600;

fn entry(file: &Kubeconfig, user: &UserEntry, field: &str, text: String) -> Evidence {
    let field = format!("users[{}].{field}", user.name);
    Evidence::named(Class::Kubeconfig, &file.path, field, text).at(user.line)
}

fn login() -> Fix {
    Fix::changes(
        "log in at a gate: it writes a context that holds no secret, then remove this user",
        vec![Change::Command(
            "kubestile login URL --code CODE".to_owned(),
        )],
    )
}

/// Removes a user from a kubeconfig.
fn removal(file: &Kubeconfig, user: &UserEntry) -> Change {
    Change::Command(format!(
        "kubectl config --kubeconfig {} delete-user {}",
        quoted(&file.path),
        quoted(&user.name)
    ))
}

/// S0-01
pub(super) fn shared(facts: &Facts<'_>) -> Judged {
    let mut owners: BTreeMap<&str, Vec<(&Kubeconfig, &UserEntry)>> = BTreeMap::new();
    for (file, user) in traffic::or_users(facts)? {
        for credential in &user.credentials {
            let fingerprint = match credential {
                Credential::Token(token) => &token.fingerprint,
                Credential::Certificate(certificate) => &certificate.fingerprint,
                _ => continue,
            };
            owners.entry(fingerprint).or_default().push((file, user));
        }
    }
    let mut evidence = Vec::new();
    for places in owners.values().filter(|p| p.len() > 1) {
        let differs = |a: &Kubeconfig| places.iter().any(|(b, _)| a.owner != b.owner);
        for (file, user) in places.iter().filter(|(file, _)| differs(file)) {
            let text = "the same credential lies in files of several owners".to_owned();
            evidence.push(entry(file, user, "user", text));
        }
    }
    if let Some(judged) = traffic::shared(facts, &mut evidence) {
        return judged;
    }
    if evidence.is_empty() {
        return undecided(format!(
            "no credential on this machine has two owners; whether one is used from several places, {NEEDS_AUDIT}"
        ));
    }
    Ok(Verdict::fail("a credential is shared by several people")
        .because(evidence)
        .mend(login))
}

/// S0-02
pub(super) fn static_token(facts: &Facts<'_>) -> Judged {
    let mut evidence = Vec::new();
    let mut first = None;
    for (file, user) in facts.users()? {
        for credential in &user.credentials {
            if let Credential::Token(token) = credential
                && let Some(text) = is_static(token)
            {
                let field = if token.in_file { "tokenFile" } else { "token" };
                evidence.push(entry(file, user, field, text));
                first = first.or(Some((file, user)));
            }
        }
    }
    let verdict = Verdict::of(
        evidence,
        "no kubeconfig on this machine holds a long-lived token for this cluster",
        |n| format!("{n} long-lived token(s) lie in kubeconfigs on this machine"),
    );
    Ok(with_removal(verdict, first))
}

fn with_removal(verdict: Verdict, first: Option<(&Kubeconfig, &UserEntry)>) -> Verdict {
    let sure = if first.is_some() { 100 } else { ONE_MACHINE };
    verdict.sure(sure).mend(|| match first {
        Some((file, user)) => Fix::changes(
            "log in at a gate (`kubestile login`), then remove this user and revoke what it held",
            vec![removal(file, user)],
        ),
        None => login(),
    })
}

/// Why a token is static; none if it is a JWT that lives an hour or less.
fn is_static(token: &Token) -> Option<String> {
    let (Some(issued), Some(expires)) = (token.issued, token.expires) else {
        return Some("a bearer token that does not say when it ends".to_owned());
    };
    let seconds = expires.since(issued).as_secs();
    (seconds > HOUR).then(|| format!("a bearer token that lives {}", expires.since(issued)))
}

/// S0-03
pub(super) fn legacy(facts: &Facts<'_>) -> Judged {
    let mut evidence = Vec::new();
    let mut first = None;
    for (file, user) in facts.users()? {
        for credential in &user.credentials {
            let (field, text) = match credential {
                Credential::Password => ("password", "a user name and a password".to_owned()),
                Credential::AuthProvider(name) => (
                    "auth-provider",
                    format!("the auth-provider `{name}`, a form that kubectl gave up"),
                ),
                _ => continue,
            };
            evidence.push(entry(file, user, field, text));
            first = first.or(Some((file, user)));
        }
    }
    let verdict = Verdict::of(
        evidence,
        "no kubeconfig on this machine holds a password or an auth-provider for this cluster",
        |n| format!("{n} legacy credential(s) lie in kubeconfigs on this machine"),
    );
    Ok(with_removal(verdict, first))
}

/// S0-04
pub(super) fn masters(facts: &Facts<'_>) -> Judged {
    let mut evidence = Vec::new();
    let mut first = None;
    for (file, user) in traffic::or_users(facts)? {
        for credential in &user.credentials {
            if let Credential::Certificate(certificate) = credential
                && certificate
                    .organizations
                    .iter()
                    .any(|o| o == "system:masters")
                && !is_break_glass(facts, file)
            {
                let text = format!(
                    "the certificate of `{}` carries system:masters, which no role and no policy can limit or revoke{}",
                    certificate.common_name,
                    until(certificate, facts.snapshot.taken)
                );
                evidence.push(entry(file, user, "client-certificate", text));
                first = first.or(Some((file, user)));
            }
        }
    }
    traffic::masters(facts, &mut evidence);
    let shown = traffic::would_show(facts);
    if evidence.is_empty() && shown.is_none() {
        // Without a log there must at least be a file; one log of an hour shows nothing.
        facts.users()?;
    }
    let certain = match (first.is_some(), evidence.is_empty()) {
        (true, _) => 100,
        (false, false) => 90,
        (false, true) => shown.unwrap_or(ONE_MACHINE),
    };
    let pass = match shown {
        Some(_) => {
            "neither a kubeconfig on this machine nor a request in the log carries system:masters"
        }
        None => "no kubeconfig on this machine carries system:masters outside break-glass",
    };
    let verdict = Verdict::of(evidence, pass, |_| {
        "a certificate with system:masters is used for daily work".to_owned()
    });
    Ok(verdict.sure(certain).mend(|| {
        Fix::changes(
            "give administrators a certificate of a group that can be unbound, and lock this one away",
            vec![Change::Command(
                "kubeadm kubeconfig user --org kubeadm:cluster-admins --client-name NAME".to_owned(),
            )],
        )
    }))
}

fn until(certificate: &Certificate, now: Timestamp) -> String {
    match certificate.not_after {
        Some(end) if end > now => format!(", for {} more", end.since(now)),
        _ => String::new(),
    }
}

/// Where kubeadm keeps what is meant for emergencies: `super-admin.conf`; before 1.29 `admin.conf`.
pub(super) fn is_break_glass(facts: &Facts<'_>, file: &Kubeconfig) -> bool {
    let old = facts.snapshot.minor().is_some_and(|minor| minor < 29);
    let place = file.path == "/etc/kubernetes/super-admin.conf"
        || (old && file.path == "/etc/kubernetes/admin.conf");
    place && file.mode.is_some_and(|mode| mode & 0o077 == 0)
}

/// S0-05
pub(super) fn hygiene(facts: &Facts<'_>) -> Judged {
    let files = facts.snapshot.machine.kubeconfigs.get()?;
    let mut evidence = Vec::new();
    let mut changes = Vec::new();
    for file in files.iter().filter(|f| !f.users.is_empty()) {
        let mut say = |field: &str, text: String| {
            evidence.push(Evidence::named(Class::Kubeconfig, &file.path, field, text));
        };
        if let Some(mode) = file.mode
            && mode & 0o077 != 0
        {
            say(
                "mode",
                format!(
                    "others on this machine can reach it (mode {:04o})",
                    mode & 0o7777
                ),
            );
            changes.push(Change::Command(format!("chmod 600 {}", quoted(&file.path))));
        }
        if file.foreign_owner {
            say(
                "owner",
                "it belongs to somebody else, who can change where it leads".to_owned(),
            );
        }
        if let Some(tree) = &file.repository {
            say("", format!("it lies in the version control of `{tree}`"));
        }
    }
    if files.is_empty() {
        return undecided("there is no kubeconfig on this machine");
    }
    Ok(Verdict::of(
        evidence,
        "the kubeconfigs on this machine are their owner's alone",
        |n| format!("{n} thing(s) about kubeconfigs on this machine let others in"),
    )
    .sure(if changes.is_empty() { ONE_MACHINE } else { 100 })
    .mend(|| {
        Fix::changes(
            "make the file its owner's alone, and rotate what it held",
            changes,
        )
    }))
}

/// S0-06
pub(super) fn tls(facts: &Facts<'_>) -> Judged {
    let mut evidence = Vec::new();
    for (file, cluster) in facts.clusters()? {
        let mut say = |field: &str, text: &str| {
            let field = format!("clusters[{}].{field}", cluster.name);
            let seen = Evidence::named(Class::Kubeconfig, &file.path, field, text);
            evidence.push(seen.at(cluster.line));
        };
        if !cluster.server.starts_with("https://") {
            say("server", "the connection is not encrypted");
        }
        if cluster.insecure {
            say(
                "insecure-skip-tls-verify",
                "anybody on the way can pose as the API server and take the credential",
            );
        }
        if cluster
            .proxy
            .as_deref()
            .is_some_and(|p| p.starts_with("http://"))
        {
            say("proxy-url", "the proxy is reached without encryption");
        }
    }
    Ok(Verdict::of(
        evidence,
        "every kubeconfig on this machine verifies this API server",
        |_| "a kubeconfig does not verify the API server".to_owned(),
    )
    .mend(|| {
        Fix::changes(
            "name the cluster's certificate authority and remove the exception",
            vec![Change::Command(
                "kubectl config set-cluster NAME --certificate-authority=ca.crt --embed-certs=true --insecure-skip-tls-verify=false"
                    .to_owned(),
            )],
        )
    }))
}

/// S1-06
pub(super) fn exec_only(facts: &Facts<'_>) -> Judged {
    let mut evidence = Vec::new();
    for (file, user) in facts.users()? {
        for credential in &user.credentials {
            match credential {
                Credential::Exec(exec) => {
                    if exec.api_version != "client.authentication.k8s.io/v1" {
                        let text = format!("the plugin speaks `{}`, not v1", exec.api_version);
                        evidence.push(entry(file, user, "exec.apiVersion", text));
                    }
                    if exec.interactive_mode.is_none() {
                        let text = "the plugin does not say whether it may ask".to_owned();
                        evidence.push(entry(file, user, "exec.interactiveMode", text));
                    }
                    for name in &exec.secrets {
                        let text = format!("`{name}` looks like a secret");
                        evidence.push(entry(file, user, "exec", text));
                    }
                }
                Credential::Token(_) => {
                    evidence.push(entry(
                        file,
                        user,
                        "token",
                        "a token, not a plugin".to_owned(),
                    ));
                }
                Credential::Certificate(_) => {
                    let text = "a certificate with its key, not a plugin".to_owned();
                    evidence.push(entry(file, user, "client-certificate", text));
                }
                Credential::Password | Credential::AuthProvider(_) => {
                    let text = "a legacy credential, not a plugin".to_owned();
                    evidence.push(entry(file, user, "user", text));
                }
            }
        }
    }
    let sure = if evidence.is_empty() {
        ONE_MACHINE
    } else {
        100
    };
    Ok(Verdict::of(
        evidence,
        "every credential on this machine comes from a plugin that keeps no secret in the file",
        |n| format!("{n} credential(s) on this machine do not come from a sound plugin"),
    )
    .sure(sure)
    .mend(login))
}

/// S1-07
pub(super) fn plugin_allowlist(facts: &Facts<'_>) -> Judged {
    let Some(kuberc) = facts.snapshot.machine.kuberc.get()? else {
        return Ok(Verdict::fail(
            "there is no kuberc: kubectl runs any plugin that a kubeconfig names",
        )
        .seen(Evidence::named(
            Class::Kubeconfig,
            "~/.kube/kuberc",
            "credentialPluginPolicy",
            "there is no such file",
        ))
        .mend(|| {
            let mut lines = vec![
                "apiVersion: kubectl.config.k8s.io/v1beta1".to_owned(),
                "kind: Preference".to_owned(),
            ];
            lines.extend(plugins(facts));
            write_kuberc(
                "say which plugins kubectl may run",
                &lines,
                ">",
                "~/.kube/kuberc",
            )
        }));
    };
    let seen = |text: String| {
        Evidence::named(
            Class::Kubeconfig,
            &kuberc.path,
            "credentialPluginPolicy",
            text,
        )
    };
    Ok(match kuberc.plugin_policy.as_deref() {
        // kubectl refuses to run at all with such a file: it is in use by nobody.
        Some("Allowlist") if kuberc.plugin_allowlist.is_empty() => {
            Verdict::fail("the kuberc lists no plugin, and kubectl takes it for a mistake")
                .seen(seen(
                    "Allowlist, without credentialPluginAllowlist".to_owned(),
                ))
                .mend(|| {
                    edit_kuberc(
                        "list your plugins, or set credentialPluginPolicy: DenyAll",
                        &kuberc.path,
                    )
                })
        }
        Some("Allowlist") => Verdict::pass("kubectl runs listed plugins only")
            .seen(seen(kuberc.plugin_allowlist.join(", ")))
            .sure(ONE_MACHINE),
        Some("DenyAll") => Verdict::pass("kubectl runs no plugins at all")
            .seen(seen("DenyAll".to_owned()))
            .sure(ONE_MACHINE),
        other => Verdict::fail("kubectl runs any plugin that a kubeconfig names")
            .seen(seen(other.unwrap_or("it is not set").to_owned()))
            .mend(|| match other {
                None => write_kuberc(
                    "say which plugins kubectl may run",
                    &plugins(facts),
                    ">>",
                    &quoted(&kuberc.path),
                ),
                Some(_) => edit_kuberc(
                    "set credentialPluginPolicy: Allowlist and list your plugins",
                    &kuberc.path,
                ),
            }),
    })
}

fn write_kuberc(text: &str, lines: &[String], how: &str, path: &str) -> Fix {
    let words: Vec<String> = lines.iter().map(|l| quoted(l)).collect();
    let command = format!("printf '%s\\n' {} {how} {path}", words.join(" "));
    Fix::changes(text, vec![Change::Command(command)])
}

fn edit_kuberc(text: &str, path: &str) -> Fix {
    Fix::changes(
        text,
        vec![Change::Command(format!("${{EDITOR:-vi}} {}", quoted(path)))],
    )
}

/// The lines of a kuberc that let kubectl run the plugins that kubeconfigs here name, and no others. Where none is
/// named, a gate's is about to be: with `DenyAll` nobody could log in at it. kubectl finds the name in the search path,
/// and compares what it found.
fn plugins(facts: &Facts<'_>) -> Vec<String> {
    let files = facts.snapshot.machine.kubeconfigs.known();
    let users = files.into_iter().flatten().flat_map(|f| &f.users);
    let mut names: BTreeSet<&str> = users
        .flat_map(|u| &u.credentials)
        .filter_map(|c| match c {
            Credential::Exec(exec) => Some(exec.command.as_str()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        names.insert("kubestile");
    }
    let mut lines = vec![
        "credentialPluginPolicy: Allowlist".to_owned(),
        "credentialPluginAllowlist:".to_owned(),
    ];
    // A JSON string is one of YAML, too.
    lines.extend(
        names
            .iter()
            .map(|n| format!("- command: {}", serde_json::Value::from(*n))),
    );
    lines
}

/// S1-08
pub(super) fn client_certificates(facts: &Facts<'_>) -> Judged {
    let mut evidence = Vec::new();
    for (file, user) in traffic::or_users(facts)? {
        for credential in &user.credentials {
            if let Credential::Certificate(certificate) = credential
                && !is_break_glass(facts, file)
            {
                let text = format!(
                    "a client certificate of `{}`{}; it cannot be revoked",
                    certificate.common_name,
                    until(certificate, facts.snapshot.taken)
                );
                evidence.push(entry(file, user, "client-certificate", text));
            }
        }
    }
    if let Some(judged) = traffic::by_certificate(facts, &mut evidence) {
        return judged;
    }
    if evidence.is_empty() {
        return undecided(format!(
            "no kubeconfig on this machine holds a client certificate for this cluster; for everybody else, {NEEDS_AUDIT}"
        ));
    }
    Ok(
        Verdict::fail("people use client certificates of the cluster")
            .because(evidence)
            .mend(login),
    )
}

/// S1-09
pub(super) fn account_tokens(facts: &Facts<'_>) -> Judged {
    let mut evidence = Vec::new();
    for (file, user) in traffic::or_users(facts)? {
        for credential in &user.credentials {
            if let Credential::Token(token) = credential
                && let Some(subject) = &token.subject
                && subject.starts_with("system:serviceaccount:")
            {
                let text = format!("a token of `{subject}` outside the cluster");
                evidence.push(entry(file, user, "token", text));
            }
        }
    }
    if let Some(judged) = traffic::accounts_outside(facts, &mut evidence) {
        return judged;
    }
    if evidence.is_empty() {
        return undecided(format!(
            "no kubeconfig on this machine holds a service account's token; for everybody else, {NEEDS_AUDIT}"
        ));
    }
    Ok(
        Verdict::fail("a service account's token is used from outside the cluster")
            .because(evidence)
            .mend(login),
    )
}
