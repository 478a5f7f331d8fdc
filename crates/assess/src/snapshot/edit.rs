//! A change made to a snapshot instead of to a cluster, so that its effect can be judged beforehand.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    Binding, ConfigFile, Flag, Meta, Namespace, ObjectRef, Policy, PolicyBinding, Role,
    ServiceAccount, Snapshot, Source, WebhookConfiguration, WebhookKind, Why,
};
use crate::verdict::Change;

/// Why a change cannot be tried on a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The object is not in the snapshot.
    #[error("`{0}` is not there (any more)")]
    Missing(String),
    /// The patch does not fit the object.
    #[error("the patch does not fit `{0}`")]
    Patch(String),
    /// What it would do cannot be seen in a snapshot.
    #[error("what `{0}` would do cannot be foreseen")]
    Unforeseen(String),
}

trait Named {
    fn meta(&self) -> &Meta;
}

macro_rules! named {
    ($($kind:ty),*) => {
        $(impl Named for $kind {
            fn meta(&self) -> &Meta {
                &self.metadata
            }
        })*
    };
}

named!(
    Binding,
    Role,
    ServiceAccount,
    Namespace,
    Policy,
    PolicyBinding,
    WebhookConfiguration
);

impl Snapshot {
    /// Makes a change, and gives the one that takes it back.
    ///
    /// # Errors
    /// [`EditError`] if it cannot be made here; then nothing has changed.
    pub fn edit(&mut self, change: &Change) -> Result<Change, EditError> {
        match change {
            Change::Delete(object) => {
                let before = self.replace(object, |_| Some(None))?;
                Ok(Change::Apply {
                    manifest: manifest(object, before),
                })
            }
            Change::Patch { object, patch } => {
                let before = self.replace(object, |value| patched(value, patch).map(Some))?;
                Ok(Change::Apply {
                    manifest: manifest(object, before),
                })
            }
            Change::Label { object, key, value } => self.label(object, key, value),
            Change::Flag { name, value } => self.flag(name, value.as_deref()),
            Change::File {
                flag,
                path,
                content,
            } => self.file(flag, path, content),
            Change::Apply { manifest } => self.bring_back(manifest),
            Change::Policy { path, shows, .. } => {
                let unforeseen = || EditError::Unforeseen(change.command());
                let gate = self.gate.known_mut().ok_or_else(unforeseen)?;
                let facts = gate.facts.as_mut().ok_or_else(unforeseen)?;
                let before = shows
                    .put(facts, &self.cluster.server)
                    .ok_or_else(unforeseen)?;
                Ok(Change::Policy {
                    path: path.clone(),
                    content: None,
                    shows: Box::new(before),
                })
            }
            Change::Command(_) => Err(EditError::Unforeseen(change.command())),
        }
    }

    /// An object as the snapshot has it; what the assessor does not look at is not in it. (It is found by
    /// putting it back in its own place.)
    pub fn manifest(&mut self, object: &ObjectRef) -> Option<Value> {
        let found = self.replace(object, |value| Some(Some(value))).ok()?;
        Some(manifest(object, found))
    }

    /// Puts an object in the place of the one of its name, or among the others if there is none.
    fn bring_back(&mut self, wanted: &Value) -> Result<Change, EditError> {
        let text = |path: &str| wanted.pointer(path).and_then(Value::as_str);
        let kind = text("/kind").unwrap_or_default().to_ascii_lowercase();
        let name = text("/metadata/name").unwrap_or_default();
        let object = ObjectRef::new(&kind, text("/metadata/namespace").unwrap_or_default(), name);
        match self.replace(&object, |_| Some(Some(wanted.clone()))) {
            Ok(before) => Ok(Change::Apply {
                manifest: manifest(&object, before),
            }),
            Err(EditError::Missing(_)) => {
                let rbac = &mut self.rbac;
                let admission = &mut self.admission;
                match kind.as_str() {
                    "clusterrolebinding" => push(&mut rbac.cluster_role_bindings, &object, wanted),
                    "rolebinding" => push(&mut rbac.role_bindings, &object, wanted),
                    "validatingadmissionpolicy" => push(&mut admission.policies, &object, wanted),
                    "validatingadmissionpolicybinding" => {
                        push(&mut admission.policy_bindings, &object, wanted)
                    }
                    _ => Err(EditError::Unforeseen(object.to_string())),
                }?;
                Ok(Change::Delete(object))
            }
            Err(other) => Err(other),
        }
    }

    fn label(&mut self, object: &ObjectRef, key: &str, value: &str) -> Result<Change, EditError> {
        let before = self.replace(object, |mut object| {
            let meta = object.get_mut("metadata")?.as_object_mut()?;
            let labels = meta.entry("labels").or_insert_with(|| json!({}));
            labels.as_object_mut()?.insert(key.to_owned(), json!(value));
            Some(Some(object))
        })?;
        let was = before
            .pointer("/metadata/labels")
            .and_then(|l| l.get(key)?.as_str());
        Ok(match was {
            Some(was) => Change::Label {
                object: object.clone(),
                key: key.to_owned(),
                value: was.to_owned(),
            },
            None => Change::Patch {
                object: object.clone(),
                patch: json!([{
                    "op": "remove",
                    "path": format!("/metadata/labels/{}", key.replace('~', "~0").replace('/', "~1")),
                }]),
            },
        })
    }

    fn flag(&mut self, name: &str, value: Option<&str>) -> Result<Change, EditError> {
        let server = self
            .control_plane
            .api_server
            .known_mut()
            .ok_or_else(|| EditError::Missing("kube-apiserver".to_owned()))?;
        let was = server.value(name).map(str::to_owned);
        server.flags.retain(|f| f.name != name);
        if let Some(value) = value {
            server.flags.push(Flag {
                name: name.to_owned(),
                value: value.to_owned(),
                line: 0,
            });
        }
        // What another file says cannot be foreseen.
        if let Some(file) = self.config(name) {
            *file = Source::absent(Why::Unsupported, format!("--{name} is not set"));
            self.ask_as_nobody();
        }
        Ok(Change::Flag {
            name: name.to_owned(),
            value: was,
        })
    }

    /// Writes a file and sets the flag that names it.
    fn file(&mut self, flag: &str, path: &str, content: &Value) -> Result<Change, EditError> {
        let unforeseen = || EditError::Unforeseen(format!("--{flag}={path}"));
        let before = self.config(flag).ok_or_else(unforeseen)?.known().cloned();
        let was = self.flag(flag, Some(path))?;
        let file = self.config(flag).ok_or_else(unforeseen)?;
        *file = Source::Known(ConfigFile {
            place: path.to_owned(),
            proved: false,
            content: content.clone(),
        });
        self.ask_as_nobody();
        match (before, was) {
            (
                Some(before),
                Change::Flag {
                    name,
                    value: Some(path),
                },
            ) => Ok(Change::File {
                flag: name,
                path,
                content: before.content,
            }),
            (_, was) => Ok(was),
        }
    }

    fn config(&mut self, flag: &str) -> Option<&mut Source<ConfigFile>> {
        match flag {
            "authentication-config" => Some(&mut self.control_plane.authentication),
            "authorization-config" => Some(&mut self.control_plane.authorization),
            "audit-policy-file" => Some(&mut self.control_plane.audit_policy),
            _ => None,
        }
    }

    /// What a request without a credential would get now: where the configuration names paths, it
    /// reaches these alone; else as in a fresh cluster.
    fn ask_as_nobody(&mut self) {
        let config = self.control_plane.authentication.known();
        let anonymous = config.and_then(|c| c.content.get("anonymous")).cloned();
        let Some(probes) = self.anonymous.known_mut() else {
            return;
        };
        let Some(anonymous) = anonymous else {
            for probe in probes {
                probe.status = if probe.path == "/api" { 403 } else { 200 };
            }
            return;
        };
        let on = anonymous.get("enabled").and_then(Value::as_bool) == Some(true);
        let paths = anonymous.get("conditions").and_then(Value::as_array);
        for probe in probes {
            let named = paths.is_none_or(|list| {
                list.iter()
                    .any(|c| c.get("path").and_then(Value::as_str) == Some(probe.path.as_str()))
            });
            if !(on && named) {
                probe.status = 401;
            }
        }
    }

    /// Puts what `edit` makes of an object in its place (nothing, if it makes none), and gives what was
    /// there.
    fn replace(
        &mut self,
        object: &ObjectRef,
        edit: impl FnOnce(Value) -> Option<Option<Value>>,
    ) -> Result<Value, EditError> {
        fn any<T>(_: &T) -> bool {
            true
        }
        match object.kind.as_str() {
            "clusterrolebinding" => one(&mut self.rbac.cluster_role_bindings, object, any, edit),
            "rolebinding" => one(&mut self.rbac.role_bindings, object, any, edit),
            "clusterrole" => one(&mut self.rbac.cluster_roles, object, any, edit),
            "role" => one(&mut self.rbac.roles, object, any, edit),
            "serviceaccount" => one(&mut self.service_accounts, object, any, edit),
            "namespace" => one(&mut self.namespaces, object, any, edit),
            "validatingadmissionpolicy" => one(&mut self.admission.policies, object, any, edit),
            "validatingadmissionpolicybinding" => {
                one(&mut self.admission.policy_bindings, object, any, edit)
            }
            "validatingwebhookconfiguration" => {
                let right = |w: &WebhookConfiguration| w.kind == WebhookKind::Validating;
                one(&mut self.admission.webhooks, object, right, edit)
            }
            _ => Err(EditError::Unforeseen(object.to_string())),
        }
    }
}

fn push<T: DeserializeOwned>(
    source: &mut Source<Vec<T>>,
    object: &ObjectRef,
    wanted: &Value,
) -> Result<(), EditError> {
    let item = T::deserialize(wanted).map_err(|_| EditError::Patch(object.to_string()))?;
    let missing = || EditError::Missing(object.to_string());
    source.known_mut().ok_or_else(missing)?.push(item);
    Ok(())
}

fn one<T: Named + Serialize + DeserializeOwned>(
    source: &mut Source<Vec<T>>,
    object: &ObjectRef,
    right: impl Fn(&T) -> bool,
    edit: impl FnOnce(Value) -> Option<Option<Value>>,
) -> Result<Value, EditError> {
    let missing = || EditError::Missing(object.to_string());
    let misfit = || EditError::Patch(object.to_string());
    let list = source.known_mut().ok_or_else(missing)?;
    let is_it = |item: &T| {
        right(item) && item.meta().name == object.name && item.meta().namespace == object.namespace
    };
    let index = list.iter().position(is_it).ok_or_else(missing)?;
    let slot = list.get_mut(index).ok_or_else(missing)?;
    let before = serde_json::to_value(&*slot).map_err(|_| misfit())?;
    match edit(before.clone()).ok_or_else(misfit)? {
        Some(after) => *slot = serde_json::from_value(after).map_err(|_| misfit())?,
        None => {
            list.remove(index);
        }
    }
    Ok(before)
}

/// A JSON Patch (RFC 6902) of `test`, `add`, `replace` and `remove`; none if it does not apply as a whole.
/// A `test` looks at the fields that it names: a snapshot leaves out what it does not need.
fn patched(mut value: Value, patch: &Value) -> Option<Value> {
    for step in patch.as_array()? {
        let path = step.get("path")?.as_str()?;
        let (parent, key) = path.rsplit_once('/')?;
        let key = key.replace("~1", "/").replace("~0", "~");
        match step.get("op")?.as_str()? {
            "test" => {
                let (there, wanted) = (value.pointer(path)?, step.get("value")?);
                let same = match (there, wanted) {
                    (Value::Object(there), Value::Object(wanted)) => wanted
                        .iter()
                        .all(|(k, v)| k == "apiGroup" || there.get(k) == Some(v)),
                    (there, wanted) => there == wanted,
                };
                same.then_some(())?;
            }
            "remove" => match value.pointer_mut(parent)? {
                Value::Array(list) => {
                    let index: usize = key.parse().ok()?;
                    (index < list.len()).then(|| list.remove(index))?;
                }
                Value::Object(map) => {
                    map.remove(&key)?;
                }
                _ => return None,
            },
            "add" | "replace" => match value.pointer_mut(parent)? {
                Value::Array(list) => {
                    *list.get_mut(key.parse::<usize>().ok()?)? = step.get("value")?.clone()
                }
                Value::Object(map) => {
                    map.insert(key, step.get("value")?.clone());
                }
                _ => return None,
            },
            _ => return None,
        }
    }
    Some(value)
}

fn manifest(object: &ObjectRef, mut value: Value) -> Value {
    let (version, kind) = match object.kind.as_str() {
        "clusterrolebinding" => ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
        "rolebinding" => ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        "clusterrole" => ("rbac.authorization.k8s.io/v1", "ClusterRole"),
        "role" => ("rbac.authorization.k8s.io/v1", "Role"),
        "serviceaccount" => ("v1", "ServiceAccount"),
        "namespace" => ("v1", "Namespace"),
        "validatingadmissionpolicy" => (
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicy",
        ),
        "validatingadmissionpolicybinding" => (
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicyBinding",
        ),
        _ => (
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
        ),
    };
    if let Some(map) = value.as_object_mut() {
        map.insert("apiVersion".to_owned(), json!(version));
        map.insert("kind".to_owned(), json!(kind));
    }
    value
}
