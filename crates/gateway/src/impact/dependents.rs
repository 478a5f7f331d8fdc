//! What is deleted with an object: whatever names it as an owner, and so on
//! (<https://kubernetes.io/docs/concepts/architecture/garbage-collection/>).

use std::collections::HashSet;

use kubestile_core::approval::Impact;
use kubestile_core::request_info::Resource;
use serde_json::Value;

use super::{Lookup, METADATA, METADATA_LIST, collection_path, object_path};

/// Objects of one kind that are looked at.
const MOST: usize = 500;
/// Names that an approver is shown.
const SHOWN: usize = 20;

/// Where what belongs to an object is found, by its kind: `(owner, group, version, resource)`.
const OWNED: &[(&str, &str, &str, &str)] = &[
    ("cronjobs", "batch", "v1", "jobs"),
    ("jobs", "", "v1", "pods"),
    ("deployments", "apps", "v1", "replicasets"),
    ("replicasets", "", "v1", "pods"),
    ("replicationcontrollers", "", "v1", "pods"),
    ("statefulsets", "", "v1", "pods"),
    ("daemonsets", "", "v1", "pods"),
];

/// Kinds that a custom resource's controller makes most often.
const OWNED_BY_OTHERS: &[(&str, &str, &str)] = &[
    ("apps", "v1", "deployments"),
    ("apps", "v1", "statefulsets"),
    ("", "v1", "pods"),
    ("", "v1", "services"),
    ("", "v1", "persistentvolumeclaims"),
];

/// An object, as far as owners go.
struct Known {
    resource: Resource,
    name: String,
    uid: String,
}

pub(super) async fn of(lookup: &Lookup<'_>) -> Option<Impact> {
    let resource = lookup.judged.action.resource()?;
    let mut owners = if resource.name.is_empty() {
        selected(lookup, resource).await?
    } else {
        let object = lookup.get(&object_path(resource)?, None, METADATA).await?;
        vec![known(resource, &object)?]
    };
    let collection = resource.name.is_empty();
    let mut lost: Vec<String> = if collection {
        owners.iter().map(words).collect()
    } else {
        Vec::new()
    };
    // No kind is found below itself, so that this ends.
    while !owners.is_empty() && lost.len() < MOST {
        let uids: HashSet<String> = owners.iter().map(|o| o.uid.clone()).collect();
        let mut next = Vec::new();
        for kind in kinds_below(&owners) {
            for child in list(lookup, &kind, None).await.unwrap_or_default() {
                if is_owned(&child, &uids)
                    && let Some(child) = known(&kind, &child)
                {
                    next.push(child);
                }
            }
        }
        lost.extend(next.iter().map(words));
        owners = next;
    }
    Some(impact(resource, lost))
}

fn impact(resource: &Resource, mut lost: Vec<String>) -> Impact {
    let more = lost.len().saturating_sub(SHOWN);
    let summary = match (resource.name.is_empty(), lost.len()) {
        (_, 0) => "nothing else is deleted with it".to_owned(),
        (true, count) => format!("{count} objects are deleted"),
        (false, count) => format!("{count} more objects are deleted with it"),
    };
    lost.truncate(SHOWN);
    Impact {
        summary,
        lines: lost,
        more,
    }
}

/// What a delete of a collection is about, by its selectors.
async fn selected(lookup: &Lookup<'_>, resource: &Resource) -> Option<Vec<Known>> {
    let query = lookup.judged.target.query().unwrap_or_default();
    let selectors: Vec<&str> = query
        .split('&')
        .filter(|pair| pair.starts_with("labelSelector=") || pair.starts_with("fieldSelector="))
        .collect();
    let found = list(lookup, resource, Some(&selectors.join("&"))).await?;
    Some(found.iter().filter_map(|o| known(resource, o)).collect())
}

async fn list(
    lookup: &Lookup<'_>,
    resource: &Resource,
    selectors: Option<&str>,
) -> Option<Vec<Value>> {
    let mut query = format!("limit={MOST}");
    if let Some(selectors) = selectors.filter(|s| !s.is_empty()) {
        query.push('&');
        query.push_str(selectors);
    }
    let path = collection_path(resource)?;
    let mut found = lookup.get(&path, Some(&query), METADATA_LIST).await?;
    match found.get_mut("items")?.take() {
        Value::Array(items) => Some(items),
        _ => None,
    }
}

fn kinds_below(owners: &[Known]) -> Vec<Resource> {
    let mut kinds: Vec<Resource> = Vec::new();
    let mut add = |owner: &Known, group: &str, version: &str, resource: &str| {
        let kind = Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: owner.resource.namespace.clone(),
            resource: resource.to_owned(),
            ..Resource::default()
        };
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    };
    for owner in owners {
        let of_kind = |(kind, ..): &&(&str, &str, &str, &str)| *kind == owner.resource.resource;
        for (_, group, version, resource) in OWNED.iter().filter(of_kind) {
            add(owner, group, version, resource);
        }
        // Built-in groups have no dots but those of Kubernetes itself.
        let group = &owner.resource.group;
        if group.contains('.') && !group.ends_with(".k8s.io") {
            for (group, version, resource) in OWNED_BY_OTHERS {
                add(owner, group, version, resource);
            }
        }
    }
    kinds
}

fn known(kind: &Resource, object: &Value) -> Option<Known> {
    let text = |pointer| object.pointer(pointer)?.as_str().map(str::to_owned);
    Some(Known {
        resource: kind.clone(),
        name: text("/metadata/name")?,
        uid: text("/metadata/uid")?,
    })
}

fn is_owned(object: &Value, by: &HashSet<String>) -> bool {
    let owners = object.pointer("/metadata/ownerReferences");
    owners.and_then(Value::as_array).is_some_and(|owners| {
        let uids = owners.iter().filter_map(|o| o.get("uid")?.as_str());
        uids.into_iter().any(|uid| by.contains(uid))
    })
}

fn words(known: &Known) -> String {
    let resource = &known.resource;
    if resource.group.is_empty() {
        format!("{}/{}", resource.resource, known.name)
    } else {
        format!("{}.{}/{}", resource.resource, resource.group, known.name)
    }
}
