//! Flags and configuration files of the API server, and what it answers to nobody.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Source;

/// What is known of the control plane.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlPlane {
    /// The API server's command line.
    pub api_server: Source<ApiServer>,
    /// Its AuthenticationConfiguration (`--authentication-config`).
    pub authentication: Source<ConfigFile>,
    /// Its AuthorizationConfiguration (`--authorization-config`).
    pub authorization: Source<ConfigFile>,
    /// Its audit policy (`--audit-policy-file`).
    pub audit_policy: Source<ConfigFile>,
    /// The directory of its files as the API server sees it, if its manifest was read from there: where
    /// a plan puts files of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// An API server's command line.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ApiServer {
    /// Where it was read: `pod/kube-apiserver-x in kube-system`, or a file.
    pub place: String,
    /// Its flags in their order; the last of a name wins.
    pub flags: Vec<Flag>,
}

/// A flag.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Flag {
    /// Its name without dashes, `_` as `-`.
    pub name: String,
    /// Its value; `true` for a switch without one.
    pub value: String,
    /// Where in the command line, or on which line of the file, from 1.
    #[serde(default)]
    pub line: usize,
}

/// A configuration file of the API server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigFile {
    /// Where it was read.
    pub place: String,
    /// Whether the live server has proved to use exactly this file, by the hash in its metrics.
    pub proved: bool,
    /// Its content.
    pub content: Value,
}

/// A request without any credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The path.
    pub path: String,
    /// The answer's status.
    pub status: u16,
}

impl ApiServer {
    /// From a command line (`kube-apiserver --a=b --c d --e`); words that are no flags are passed over.
    pub fn from_command<S: AsRef<str>>(place: &str, words: &[S]) -> Self {
        let mut flags: Vec<Flag> = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let word = word.as_ref();
            let Some(text) = word.strip_prefix("--") else {
                // `--name value`: pflag takes the next word for every flag that is not a switch.
                if let Some(last) = flags.last_mut()
                    && last.line == index
                    && last.value == "true"
                {
                    last.value = word.to_owned();
                }
                continue;
            };
            let (name, value) = text.split_once('=').unwrap_or((text, "true"));
            flags.push(Flag {
                name: name.replace('_', "-"),
                value: value.to_owned(),
                line: index + 1,
            });
        }
        Self {
            place: place.to_owned(),
            flags,
        }
    }

    /// The flag that counts.
    pub fn flag(&self, name: &str) -> Option<&Flag> {
        self.flags.iter().rev().find(|f| f.name == name)
    }

    /// The value that counts, unless it is empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.flag(name)
            .map(|f| f.value.as_str())
            .filter(|v| !v.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_flag_counts_and_both_forms_are_read() {
        let words = [
            "kube-apiserver",
            "--anonymous-auth=true",
            "--audit_log_path",
            "/x",
            "--anonymous-auth=false",
            "--switch",
        ];
        let server = ApiServer::from_command("here", &words);
        assert_eq!(server.value("anonymous-auth"), Some("false"));
        assert_eq!(server.flag("anonymous-auth").unwrap().line, 5);
        assert_eq!(server.value("audit-log-path"), Some("/x"));
        assert_eq!(server.value("switch"), Some("true"));
        assert_eq!(server.value("none"), None);
    }
}
