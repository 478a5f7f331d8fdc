//! How a change that refuses something is brought in: first it only writes down what it would refuse,
//! then it warns whoever does it, then it refuses.

use serde_json::{Value, json};

use crate::snapshot::ObjectRef;
use crate::verdict::Change;

/// How far a refusing change has come.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Rollout {
    /// What it would refuse is written to the API server's audit log.
    Audit,
    /// And whoever does it is warned.
    Warn,
    /// It refuses.
    Deny,
}

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

impl Rollout {
    /// All, in order.
    pub const ALL: [Self; 3] = [Self::Audit, Self::Warn, Self::Deny];

    /// In a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }

    /// The one after it.
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Audit => Some(Self::Warn),
            Self::Warn => Some(Self::Deny),
            Self::Deny => None,
        }
    }

    /// The label of Pod Security of this stage.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Audit => "pod-security.kubernetes.io/audit",
            Self::Warn => "pod-security.kubernetes.io/warn",
            Self::Deny => ENFORCE,
        }
    }

    /// `validationActions` of this stage. What is refused or warned of is written down, too; `Deny`
    /// beside `Warn` would say everything twice, and the API server takes no such binding.
    pub fn actions(self) -> Value {
        match self {
            Self::Audit => json!(["Audit"]),
            Self::Warn => json!(["Warn", "Audit"]),
            Self::Deny => json!(["Deny", "Audit"]),
        }
    }
}

/// The object of a change that is brought in by stages; none for a change that is made at once.
pub fn object(change: &Change) -> Option<ObjectRef> {
    match change {
        Change::Label { object, key, .. } if key == ENFORCE => Some(object.clone()),
        Change::Apply { manifest } if is_binding(manifest) => {
            let name = manifest.pointer("/metadata/name")?.as_str()?;
            Some(ObjectRef::new("validatingadmissionpolicybinding", "", name))
        }
        _ => None,
    }
}

fn is_binding(manifest: &Value) -> bool {
    manifest.get("kind").and_then(Value::as_str) == Some("ValidatingAdmissionPolicyBinding")
}

/// The change at a stage; a change that is made at once stays as it is.
pub fn at(change: &Change, stage: Rollout) -> Change {
    match change {
        Change::Label { object, key, value } if key == ENFORCE => Change::Label {
            object: object.clone(),
            key: stage.label().to_owned(),
            value: value.clone(),
        },
        Change::Apply { manifest } if is_binding(manifest) => {
            let mut manifest = manifest.clone();
            if let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) {
                spec.insert("validationActions".to_owned(), stage.actions());
            }
            Change::Apply { manifest }
        }
        other => other.clone(),
    }
}

/// How far the live object has come with a change; none if it has not begun.
pub fn reached(change: &Change, live: &Value) -> Option<Rollout> {
    let mut stages = Rollout::ALL.into_iter().rev();
    match change {
        Change::Label { value, .. } => {
            let labels = live.pointer("/metadata/labels")?;
            // Whoever enforces more than is asked has reached it, too.
            let set = |stage: &Rollout| {
                labels
                    .get(stage.label())
                    .and_then(Value::as_str)
                    .is_some_and(|v| v == value || v == "restricted")
            };
            stages.find(set)
        }
        Change::Apply { .. } => {
            let actions = live.pointer("/spec/validationActions")?.as_array()?;
            let set = |stage: &Rollout| {
                let first = stage.actions();
                first.get(0).is_some_and(|a| actions.contains(a))
            };
            stages.find(set)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_and_a_binding_come_in_by_three_stages() {
        let label = Change::Label {
            object: ObjectRef::new("namespace", "", "shop"),
            key: ENFORCE.to_owned(),
            value: "baseline".to_owned(),
        };
        let binding = Change::Apply {
            manifest: json!({
                "kind": "ValidatingAdmissionPolicyBinding",
                "metadata": { "name": "b" },
                "spec": { "policyName": "p", "validationActions": ["Deny", "Audit"] },
            }),
        };
        let mut namespace = json!({ "metadata": { "labels": {} } });
        for stage in Rollout::ALL {
            let Change::Label { key, value, .. } = at(&label, stage) else {
                panic!()
            };
            namespace["metadata"]["labels"][key] = json!(value);
            assert_eq!(reached(&label, &namespace), Some(stage));
            let Change::Apply { manifest } = at(&binding, stage) else {
                panic!()
            };
            assert_eq!(reached(&binding, &manifest), Some(stage));
        }
        assert_eq!(at(&binding, Rollout::Deny), binding);
        assert_eq!(reached(&label, &json!({})), None);
    }

    #[test]
    fn what_refuses_nothing_is_made_at_once() {
        let delete = Change::Delete(ObjectRef::new("rolebinding", "n", "x"));
        assert_eq!(object(&delete), None);
        assert_eq!(at(&delete, Rollout::Audit), delete);
        let other = Change::Label {
            object: ObjectRef::new("namespace", "", "shop"),
            key: "team".to_owned(),
            value: "a".to_owned(),
        };
        assert_eq!(object(&other), None);
    }
}
