//! A plan as files: for `kubectl`, and for Kustomize.

use serde_json::{Value, json};

use super::Plan;
use crate::snapshot::{ObjectRef, Snapshot};
use crate::verdict::{Change, quoted};

/// A file of a plan; what is data is written as YAML by whoever writes it.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanFile {
    /// Its path below the directory, made of safe words only.
    pub path: String,
    /// Its content.
    pub content: Content,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// An object, as YAML.
    Object(Value),
    /// A text as it is.
    Text(String),
}

/// Each change a file, in order, and `commands.sh`, which makes them with kubectl.
pub fn patches(plan: &Plan) -> Vec<PlanFile> {
    let mut files = Vec::new();
    let mut script = "#!/bin/sh\n# Written by `kubestile advance plan`. Each line is tried by the API server first.\nset -eu\ncd \"$(dirname \"$0\")\"\n".to_owned();
    for (number, step, change) in numbered(plan) {
        let name = format!("{number:03}-{}", safe(&step.control));
        let mut command = |text: &str| {
            script.push_str(&format!("{text} --dry-run=server\n{text}\n"));
        };
        match change {
            Change::Patch { object, patch } => {
                let kind = if patch.is_array() { "json" } else { "merge" };
                let path = format!("{name}.json");
                command(&format!(
                    "kubectl patch {} --type={kind} --patch-file {path}",
                    target(object)
                ));
                files.push(text(path, format!("{patch:#}\n")));
            }
            Change::Apply { manifest } => {
                let path = format!("{name}.yaml");
                command(&format!("kubectl apply --server-side -f {path}"));
                files.push(PlanFile {
                    path,
                    content: Content::Object(manifest.clone()),
                });
            }
            Change::Delete(_) | Change::Label { .. } => command(&change.command()),
            Change::Policy {
                path: place,
                content: Some(content),
                ..
            } => {
                let path = format!("{name}.cedar");
                script.push_str(&format!(
                    "# for the gate's machine: {path} is its {}\n",
                    one_line(place)
                ));
                files.push(text(path, content.clone()));
            }
            Change::Flag { .. }
            | Change::File { .. }
            | Change::Policy { .. }
            | Change::Command(_) => {
                script.push_str(&format!(
                    "# for the control plane: {}\n",
                    one_line(&change.command())
                ));
            }
        }
    }
    files.push(text("commands.sh".to_owned(), script));
    files
}

/// An overlay that Kustomize builds: what is there now as its base, each change as a patch, new objects
/// as resources.
pub fn kustomize(plan: &Plan, snapshot: &Snapshot) -> Vec<PlanFile> {
    let snapshot = &mut snapshot.clone();
    let mut overlay = Overlay::default();
    // What an object is after the changes so far is not the base of the next patch: Kustomize makes
    // them in order, too.
    for (number, step, change) in numbered(plan) {
        let name = format!("{number:03}-{}", safe(&step.control));
        match change {
            Change::Patch { object, patch } if patch.is_array() => {
                overlay.patch(snapshot, object, &name, Value::clone(&without_tests(patch)));
            }
            Change::Label { object, key, value } => {
                let merge = json!({ "metadata": { "labels": { key: value } } });
                overlay.merge(snapshot, object, &name, merge);
            }
            Change::Delete(object) => {
                overlay.merge(snapshot, object, &name, json!({ "$patch": "delete" }));
            }
            Change::Apply { manifest } => overlay.resource(&name, manifest),
            // No object: beside the overlay, for the gate's machine.
            Change::Policy {
                content: Some(content),
                ..
            } => overlay
                .files
                .push(text(format!("gate/{name}.cedar"), content.clone())),
            _ => {}
        }
    }
    overlay.files()
}

#[derive(Default)]
struct Overlay {
    base: Vec<ObjectRef>,
    resources: Vec<String>,
    patches: Vec<Value>,
    files: Vec<PlanFile>,
}

impl Overlay {
    /// The object as it is, once.
    fn base(&mut self, snapshot: &mut Snapshot, object: &ObjectRef) -> Option<Value> {
        let manifest = snapshot.manifest(object)?;
        if !self.base.contains(object) {
            self.base.push(object.clone());
            let path = format!("base/{:03}-{}.yaml", self.base.len(), safe(&object.kind));
            self.resources.push(path.clone());
            self.files.push(PlanFile {
                path,
                content: Content::Object(manifest.clone()),
            });
        }
        Some(manifest)
    }

    fn patch(&mut self, snapshot: &mut Snapshot, object: &ObjectRef, name: &str, patch: Value) {
        let Some(manifest) = self.base(snapshot, object) else {
            return;
        };
        let path = format!("patches/{name}.yaml");
        self.patches
            .push(json!({ "path": path, "target": selector(object, &manifest) }));
        self.files.push(PlanFile {
            path,
            content: Content::Object(patch),
        });
    }

    /// A strategic merge: it names its object itself.
    fn merge(&mut self, snapshot: &mut Snapshot, object: &ObjectRef, name: &str, mut patch: Value) {
        let Some(manifest) = self.base(snapshot, object) else {
            return;
        };
        if let Some(map) = patch.as_object_mut() {
            for field in ["apiVersion", "kind"] {
                map.insert(
                    field.to_owned(),
                    manifest.get(field).cloned().unwrap_or_default(),
                );
            }
            let meta = map.entry("metadata").or_insert_with(|| json!({}));
            if let Some(meta) = meta.as_object_mut() {
                meta.insert("name".to_owned(), json!(object.name));
                if !object.namespace.is_empty() {
                    meta.insert("namespace".to_owned(), json!(object.namespace));
                }
            }
        }
        let path = format!("patches/{name}.yaml");
        self.patches.push(json!({ "path": path }));
        self.files.push(PlanFile {
            path,
            content: Content::Object(patch),
        });
    }

    fn resource(&mut self, name: &str, manifest: &Value) {
        let path = format!("resources/{name}.yaml");
        self.resources.push(path.clone());
        self.files.push(PlanFile {
            path,
            content: Content::Object(manifest.clone()),
        });
    }

    fn files(mut self) -> Vec<PlanFile> {
        let kustomization = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": self.resources,
            "patches": self.patches,
        });
        self.files.push(PlanFile {
            path: "kustomization.yaml".to_owned(),
            content: Content::Object(kustomization),
        });
        self.files
    }
}

/// Kustomize reads names here as regular expressions: each character stands for itself.
fn selector(object: &ObjectRef, manifest: &Value) -> Value {
    let exact = |name: &str| {
        let mut text = String::new();
        for c in name.chars() {
            if !c.is_ascii_alphanumeric() && c != '-' && c != ':' {
                text.push('\\');
            }
            text.push(c);
        }
        text
    };
    let version = manifest
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let mut target = json!({
        "version": version,
        "kind": manifest.get("kind").cloned().unwrap_or_default(),
        "name": exact(&object.name),
    });
    if let Some(map) = target.as_object_mut() {
        if !group.is_empty() {
            map.insert("group".to_owned(), json!(group));
        }
        if !object.namespace.is_empty() {
            map.insert("namespace".to_owned(), json!(exact(&object.namespace)));
        }
    }
    target
}

/// The base is what the tests were made against; a snapshot leaves out fields that they name.
fn without_tests(patch: &Value) -> Value {
    let steps = patch.as_array().into_iter().flatten();
    let is_test = |s: &&Value| s.get("op").and_then(Value::as_str) == Some("test");
    Value::Array(steps.filter(|s| !is_test(s)).cloned().collect())
}

fn numbered(plan: &Plan) -> impl Iterator<Item = (usize, &super::Step, &Change)> {
    let all = plan
        .steps
        .iter()
        .flat_map(|s| s.changes.iter().map(move |c| (s, c)));
    all.enumerate()
        .map(|(index, (step, change))| (index + 1, step, change))
}

fn target(object: &ObjectRef) -> String {
    let namespace = match object.namespace.is_empty() {
        true => String::new(),
        false => format!(" -n {}", quoted(&object.namespace)),
    };
    format!("{} {}{namespace}", object.kind, quoted(&object.name))
}

fn text(path: String, content: String) -> PlanFile {
    PlanFile {
        path,
        content: Content::Text(content),
    }
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A name of a file: control ids and kinds have these characters only, and a plan that was read from
/// elsewhere has no others either.
fn safe(word: &str) -> String {
    word.chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect()
}
