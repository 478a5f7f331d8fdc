//! A kubeconfig as a tree in which unknown fields stay what they are.

use serde_json::{Map, Value, json};

use crate::exit::Outcome;

/// Marks a user entry as one of ours.
const PLUGIN: &str = "credential";
/// The API of exec credential plugins that we speak.
const EXEC_API: &str = "client.authentication.k8s.io/v1";

/// One kubeconfig.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    root: Map<String, Value>,
}

/// What a login adds for one cluster.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The context's name, and the cluster entry's.
    pub(crate) context: String,
    /// `https://gate/clusters/NAME`.
    pub(crate) server: String,
}

/// The user entry of one login: which program gives the credential.
#[derive(Debug, Clone)]
pub(crate) struct Plugin {
    /// The user entry's name.
    pub(crate) user: String,
    /// Absolute path of our binary.
    pub(crate) program: String,
    /// Absolute path of the login's directory.
    pub(crate) login: String,
    /// Where to log in again.
    pub(crate) url: String,
}

impl Document {
    /// Reads a kubeconfig; an empty text is an empty one.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self {
                root: Map::from_iter([
                    ("apiVersion".to_owned(), json!("v1")),
                    ("kind".to_owned(), json!("Config")),
                ]),
            });
        }
        // Values that only look like numbers (a token `0123`) must not change by being rewritten.
        let options = serde_saphyr::options! {
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
        };
        let root: Value =
            serde_saphyr::from_str_with_options(text, options).map_err(|e| first_line(&e))?;
        let Value::Object(root) = root else {
            return Err("it is not a mapping".to_owned());
        };
        for list in ["clusters", "contexts", "users"] {
            if !matches!(root.get(list), None | Some(Value::Null | Value::Array(_))) {
                return Err(format!("`{list}` is not a list"));
            }
        }
        Ok(Self { root })
    }

    /// The text, with keys in kubectl's own (alphabetical) order.
    pub(crate) fn text(&self) -> Outcome<String> {
        let options = serde_saphyr::ser_options! {
            prefer_block_scalars: false,
        };
        Ok(serde_saphyr::to_string_with_options(&self.root, options)?)
    }

    /// The current context, if one is set.
    pub(crate) fn current_context(&self) -> Option<&str> {
        self.root
            .get("current-context")
            .and_then(Value::as_str)
            .filter(|c| !c.is_empty())
    }

    /// Sets the current context.
    pub(crate) fn set_current_context(&mut self, context: &str) {
        self.root
            .insert("current-context".to_owned(), json!(context));
    }

    /// Whether any entry is ours.
    pub(crate) fn has_ours(&self) -> bool {
        self.list("users").iter().any(is_ours)
    }

    /// The user of a context.
    pub(crate) fn user_of(&self, context: &str) -> Option<&str> {
        let entry = self
            .list("contexts")
            .iter()
            .find(|e| name(e) == Some(context))?;
        entry.get("context")?.get("user")?.as_str()
    }

    /// The directory of the login that a context uses, if the context is ours.
    pub(crate) fn login_of(&self, context: &str) -> Option<&str> {
        let user = self.user_of(context)?;
        let entry = self.list("users").iter().find(|e| name(e) == Some(user))?;
        login_directory(entry)
    }

    /// Writes the user entry of a login. Nothing in it is a secret.
    pub(crate) fn set_plugin(&mut self, plugin: &Plugin) {
        let user = json!({
            "exec": {
                "apiVersion": EXEC_API,
                "command": plugin.program,
                "args": [PLUGIN, "--login", plugin.login],
                "env": null,
                "interactiveMode": "IfAvailable",
                "provideClusterInfo": false,
                "installHint": format!(
                    "kubestile gives the credential for {}. Install it, then run: kubestile login {}",
                    plugin.url, plugin.url
                ),
            }
        });
        self.put("users", &plugin.user, "user", user, true);
    }

    /// Writes the cluster and context entries of one cluster behind a gate. A context's other fields
    /// (its namespace) stay.
    pub(crate) fn set_cluster(&mut self, entry: &Entry, user: &str, ca_base64: &str) {
        let cluster = json!({
            "server": entry.server,
            "certificate-authority-data": ca_base64,
        });
        self.put("clusters", &entry.context, "cluster", cluster, true);
        let context = json!({ "cluster": entry.context, "user": user });
        self.put("contexts", &entry.context, "context", context, false);
    }

    /// Removes the contexts of `user` whose names are not in `keep`, with their clusters; gives their
    /// names. A current context among them is unset.
    pub(crate) fn remove_contexts(&mut self, user: &str, keep: &[String]) -> Vec<String> {
        let mut gone = Vec::new();
        for entry in self.list("contexts") {
            let of_user = entry
                .get("context")
                .and_then(|c| c.get("user"))
                .and_then(Value::as_str);
            if let (Some(context), true) = (name(entry), of_user == Some(user))
                && !keep.iter().any(|k| k == context)
            {
                gone.push(context.to_owned());
            }
        }
        let is_gone = |entry: &Value| name(entry).is_some_and(|n| gone.iter().any(|g| g == n));
        for list in ["contexts", "clusters"] {
            if let Some(Value::Array(entries)) = self.root.get_mut(list) {
                entries.retain(|e| !is_gone(e));
            }
        }
        if self
            .current_context()
            .is_some_and(|c| gone.iter().any(|g| g == c))
        {
            self.set_current_context("");
        }
        gone
    }

    /// Removes a user entry.
    pub(crate) fn remove_user(&mut self, user: &str) {
        if let Some(Value::Array(entries)) = self.root.get_mut("users") {
            entries.retain(|e| name(e) != Some(user));
        }
    }

    /// Contexts of that name which are not of `user`: somebody else's, or another gate's.
    pub(crate) fn is_foreign(&self, context: &str, user: &str) -> bool {
        let taken = |list: &str| self.list(list).iter().any(|e| name(e) == Some(context));
        match self.user_of(context) {
            Some(other) => other != user,
            None => taken("contexts") || taken("clusters"),
        }
    }

    fn list(&self, list: &str) -> &[Value] {
        match self.root.get(list) {
            Some(Value::Array(entries)) => entries,
            _ => &[],
        }
    }

    /// Replaces (`whole`) or merges the `field` of the entry `name` of a list; appends a new one.
    fn put(&mut self, list: &str, entry: &str, field: &str, value: Value, whole: bool) {
        let slot = self.root.entry(list).or_insert_with(|| json!([]));
        if !slot.is_array() {
            *slot = json!([]);
        }
        let Value::Array(entries) = slot else { return };
        let Some(found) = entries.iter_mut().find(|e| name(e) == Some(entry)) else {
            entries.push(json!({ "name": entry, field: value }));
            return;
        };
        let Value::Object(found) = found else { return };
        match (found.get_mut(field), value) {
            (Some(Value::Object(old)), Value::Object(new)) if !whole => old.extend(new),
            (_, value) => {
                found.insert(field.to_owned(), value);
            }
        }
    }
}

fn name(entry: &Value) -> Option<&str> {
    entry.get("name")?.as_str()
}

fn is_ours(user: &Value) -> bool {
    login_directory(user).is_some()
}

/// `[credential, --login, DIRECTORY]` of a user entry.
fn login_directory(user: &Value) -> Option<&str> {
    let args = user.get("user")?.get("exec")?.get("args")?.as_array()?;
    match args.as_slice() {
        [verb, flag, dir] if verb == PLUGIN && flag == "--login" => dir.as_str(),
        _ => None,
    }
}

fn first_line(error: &serde_saphyr::Error) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or("unreadable")
        .to_owned()
}
