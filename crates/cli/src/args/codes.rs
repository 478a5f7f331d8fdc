//! Which exit codes a command has of its own, for its help, its manual page and the reference.

use clap::Command;

/// A code, and what it means here.
type Code = (u8, &'static str);

/// Every code that a command can end with beside 0, 1 and 2; or one of these that means more than elsewhere.
const OWN: &[(&str, &[Code])] = &[
    ("up", SERVES),
    ("server", SERVES),
    ("config check", &[WRONG_CONFIG]),
    ("login", GATE),
    ("logout", GATE),
    ("whoami", GATE),
    ("sessions list", GATE),
    ("sessions end", GATE),
    ("credential", GATE),
    ("approvals", GATE),
    ("approvals list", GATE),
    ("approvals show", GATE),
    ("approvals withdraw", GATE),
    ("approvals stats", GATE),
    ("approve", GATE),
    ("deny", GATE),
    ("request", &[(4, DENIED), OTHER_GATE, NO_GATE]),
    ("grants list", GATE),
    ("grants show", GATE),
    ("grants revoke", GATE),
    ("grants extend", GATE),
    ("grants review", GATE),
    ("access", GATE),
    ("break-glass", GATE),
    ("people add", &[NO_SOCKET]),
    ("people list", &[NO_SOCKET]),
    ("people remove", &[NO_SOCKET]),
    ("people functions", &[NO_SOCKET]),
    ("people code", &[NO_SOCKET]),
    ("cluster add", &[NO_SOCKET]),
    ("cluster remove", &[NO_SOCKET]),
    ("cluster list", &[NO_SOCKET]),
    ("cluster sync", &[NO_SOCKET]),
    (
        "cluster check",
        &[
            (65, "the gate's account can do more than it should"),
            (
                69,
                "no gate runs on this machine, or the cluster does not answer",
            ),
        ],
    ),
    ("policy check", &[WRONG_POLICY]),
    (
        "policy test",
        &[WRONG_POLICY, (65, "a test does not hold, or none ran")],
    ),
    (
        "policy explain",
        &[(1, "it would be refused, or held"), WRONG_POLICY],
    ),
    ("policy list", &[WRONG_POLICY]),
    ("audit verify", &[(65, "anything does not hold")]),
    (
        "audit prove",
        &[(65, "the log does not hold: nothing is proved")],
    ),
    (
        "audit check",
        &[(65, "the proof, its signature or its key does not hold")],
    ),
    ("audit search", &[BROKEN_LOG]),
    (
        "audit import",
        &[(65, "a file changed while it was read"), NO_SOCKET],
    ),
    ("audit tail", &[BROKEN_LOG]),
    (
        "assess",
        &[
            (3, "the cluster stands below the stage of --fail-below"),
            (
                64,
                "a kubeconfig, snapshot, log or list of exceptions is missing or not as it must be",
            ),
            NO_CLUSTER,
        ],
    ),
    (
        "assess explain",
        &[(64, "the list of exceptions is not as it must be")],
    ),
    (
        "assess diff",
        &[(64, "a snapshot is missing or not as it must be")],
    ),
    ("rbac who-can", RIGHTS),
    ("rbac can", RIGHTS),
    (
        "rbac rightsize",
        &[
            WRONG_RIGHTS,
            (
                65,
                "for somebody the proof does not hold: their roles are not written",
            ),
            NO_CLUSTER,
        ],
    ),
    ("rbac mine", &[WRONG_RIGHTS]),
    ("rbac privilege", RIGHTS),
    ("rbac paths", RIGHTS),
    ("advance plan", ADVANCE),
    ("advance apply", ADVANCE),
    (
        "advance rollback",
        &[
            (
                64,
                "the journal, a kubeconfig or a file of the control plane is not as it must be",
            ),
            NO_CLUSTER,
        ],
    ),
];

const DENIED: &str = "it was denied, expired or was taken back";
const OTHER_GATE: Code = (65, "what answers is not the gate that it should be");
const NO_GATE: Code = (69, "the gate does not answer");
const NO_SOCKET: Code = (69, "no gate runs on this machine, or it does not answer");
const GATE: &[Code] = &[OTHER_GATE, NO_GATE];
const NO_CLUSTER: Code = (69, "the cluster does not answer");
const WRONG_CONFIG: Code = (64, "the configuration or a policy is not as it must be");
const SERVES: &[Code] = &[
    WRONG_CONFIG,
    (69, "the address or the state directory is in use"),
];
const WRONG_POLICY: Code = (64, "a policy is not as it must be");
const BROKEN_LOG: Code = (65, "the log does not hold");
const WRONG_RIGHTS: Code = (
    64,
    "a kubeconfig, snapshot or log is missing or not as it must be",
);
const RIGHTS: &[Code] = &[WRONG_RIGHTS, NO_CLUSTER];
const ADVANCE: &[Code] = &[
    (
        64,
        "a kubeconfig, snapshot or file of the control plane is not as it must be",
    ),
    NO_CLUSTER,
];

/// Adds them to the help of each command.
pub(super) fn document(command: Command) -> Command {
    walk(command, "")
}

fn walk(command: Command, path: &str) -> Command {
    let command = command.mut_subcommands(|sub| {
        let path = format!("{path} {}", sub.get_name());
        walk(sub, path.trim_start())
    });
    let Some((_, codes)) = OWN.iter().find(|(of, _)| *of == path) else {
        return command;
    };
    let text = match command.get_after_help() {
        Some(before) => format!("{before}\n\n{}", section(codes)),
        None => section(codes),
    };
    command.after_help(text)
}

fn section(codes: &[Code]) -> String {
    let lines: Vec<String> = codes
        .iter()
        .map(|(code, words)| format!("  {code:>2}  {words}"))
        .collect();
    format!(
        "Exit codes, beside 0, 1 (it failed) and 2 (wrong usage):\n{}",
        lines.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::command;
    use crate::exit::CODES;

    /// Commands that end with 0, 1 or 2 and nothing else.
    const NONE: [&str; 8] = [
        "break-glass seal",
        "break-glass open",
        "break-glass drill",
        "break-glass unseal",
        "roles render",
        "completion",
        "man",
        "version",
    ];

    #[test]
    fn every_command_documents_its_exit_codes() {
        fn walk(command: &Command, path: &str, seen: &mut Vec<String>) {
            for sub in command.get_subcommands().filter(|c| !c.is_hide_set()) {
                let path = format!("{path} {}", sub.get_name()).trim().to_owned();
                let help = sub.clone().render_long_help().to_string();
                let own = OWN.iter().find(|(of, _)| *of == path);
                if let Some((_, codes)) = own {
                    for (code, words) in *codes {
                        let words: Vec<&str> = words.split(' ').collect();
                        let shown = help.split_whitespace().collect::<Vec<_>>().join(" ");
                        assert!(
                            shown.contains(&format!("{code} {}", words.join(" "))),
                            "{path}"
                        );
                    }
                } else if !sub.has_subcommands() {
                    assert!(NONE.contains(&path.as_str()), "`{path}` documents no codes");
                }
                seen.push(path.clone());
                walk(sub, &path, seen);
            }
        }
        let mut seen = Vec::new();
        let mut all = command(&[]);
        all.build();
        walk(&all, "", &mut seen);
        for (path, codes) in OWN {
            assert!(seen.iter().any(|s| s == path), "there is no `{path}`");
            assert!(codes.is_sorted_by(|a, b| a.0 < b.0), "{path}");
            for (code, words) in *codes {
                assert!(
                    CODES.contains(&format!("\n  {code:>2}  ")),
                    "{path}: {code}"
                );
                assert!(
                    words.len() <= 90 && !words.ends_with('.'),
                    "{path}: {words}"
                );
            }
        }
    }
}
