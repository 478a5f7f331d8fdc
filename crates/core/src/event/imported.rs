//! What was done while no gate stood in the way, as the API server's own audit log says it. Such a
//! record is of a kind of its own: the gate neither judged nor saw what it tells of.

use serde::{Deserialize, Serialize};

use super::{Kube, clip_to};
use crate::action::{Action, Impersonates};
use crate::ids::{ClusterName, ImportId};
use crate::kubectl_line;
use crate::request_info::{RequestInfo, Target};
use crate::time::Timestamp;

/// What stands in front of a person's name in the certificate of an opened way in.
pub const OPENED_BY: &str = "kubestile-break-glass:person:";

/// Longest name of a user, group, audit id, address or file, in bytes.
pub(super) const NAME: usize = 256;
/// Longest of the other texts, in bytes.
const TEXT: usize = 512;
/// Longest command line, in bytes.
const LINE: usize = 1024;
/// What the mark of a cut may add to a text, in bytes.
const MARK: usize = 40;
/// As many groups, and words of a command, as are kept.
const MANY: usize = 16;

/// A request that the API server answered while the gate was away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Imported {
    /// The import, whose marker says where this comes from.
    pub import: ImportId,
    /// What tells the request from every other: SHA-256 over its `auditID`, time, user, address, verb and
    /// URI; lower-case hex. It is the same in every import.
    pub key: String,
    /// The API server's `auditID`: no id of this gate's, and a client may have chosen it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub audit_id: String,
    /// When the API server received it, RFC 3339 with microseconds; the record's own time is that of
    /// the import.
    pub at: String,
    /// The last word on it in the files: `ResponseComplete` or `Panic`; `ResponseStarted` or
    /// `RequestReceived` if they do not say how it ended.
    pub stage: String,
    /// The API server's name of the user: no name of this gate's, whatever it looks like.
    pub user: String,
    /// Their groups.
    pub groups: Vec<String>,
    /// The address that connected to the API server.
    pub source: String,
    /// The client's own words on itself; not trusted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user_agent: String,
    /// HTTP status of the answer; 0 when there is none.
    pub status: u16,
    /// What.
    pub kube: Kube,
    /// The same as a kubectl command, for people.
    pub kubectl: String,
}

/// What an API server's audit log says of a request, in whatever form it was kept.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// The API server's id of the request; a client may have chosen it.
    pub id: &'a str,
    /// When the API server received it.
    pub at: Timestamp,
    /// `RequestReceived`, `ResponseStarted`, `ResponseComplete`, `Panic`.
    pub stage: &'a str,
    /// The API verb.
    pub verb: &'a str,
    /// Path and query; empty where the log has none.
    pub uri: &'a str,
    /// The object; none of a path that is none, and of what was refused before it was read.
    pub object: Option<Object<'a>>,
    /// Whose credential it came with.
    pub user: &'a str,
    /// Their groups.
    pub groups: &'a [&'a str],
    /// Whom they were for this request, if somebody else, and with which groups.
    pub impersonated: Option<(&'a str, &'a [&'a str])>,
    /// The address that connected.
    pub source: &'a str,
    /// The client's own words on itself.
    pub user_agent: &'a str,
    /// HTTP status of the answer; 0 when there is none.
    pub status: u16,
}

/// An object, as the API server says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Object<'a> {
    /// API group.
    pub group: &'a str,
    /// Plural, lower case.
    pub resource: &'a str,
    /// Empty for the resource itself.
    pub subresource: &'a str,
    /// Empty for what belongs to the cluster.
    pub namespace: &'a str,
    /// Empty where there is none.
    pub name: &'a str,
}

/// What cannot be imported, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub(super) &'static str);

impl Seen<'_> {
    /// How much is known of the request at this stage: the last word counts. None if it is no stage.
    pub fn rank(&self) -> Option<u8> {
        rank(self.stage)
    }

    /// What tells the request from every other, whatever its stage. Not its id alone: clients choose it.
    pub fn identity(&self) -> Vec<u8> {
        let object = self.object.unwrap_or_default();
        // What stands in the address says nothing new, and names are filled in between the stages.
        let object = match self.uri.is_empty() {
            true => [
                object.group,
                object.resource,
                object.subresource,
                object.namespace,
                object.name,
            ],
            false => [""; 5],
        };
        let at = self.at.as_micros().to_be_bytes();
        let mut bytes = at.to_vec();
        let texts = [self.id, self.user, self.source, self.verb, self.uri];
        for text in texts.into_iter().chain(object) {
            // With its length before it, no two lists of texts are the same bytes.
            bytes.extend((text.len() as u64).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes
    }
}

impl Imported {
    /// The record of what was `seen`, without secrets of its query, every text bounded. `key` is the
    /// SHA-256 of [`Seen::identity`].
    pub fn new(import: ImportId, cluster: &ClusterName, key: [u8; 32], seen: &Seen<'_>) -> Self {
        let action = action_of(cluster, seen);
        let (kube, kubectl) = match &action {
            Some(action) => (Kube::new(action), kubectl_line::of(action)),
            None => by_reference(cluster, seen),
        };
        let mut kube = fitted(kube);
        // The name of a new object stands in its body, which the API server has read.
        if let Some(object) = &seen.object
            && kube.name.is_empty()
        {
            kube.name = fit(object.name, TEXT);
        }
        Self {
            import,
            key: key.iter().map(|byte| format!("{byte:02x}")).collect(),
            audit_id: fit(seen.id, NAME),
            at: seen.at.rfc3339(),
            stage: fit(seen.stage, NAME),
            user: fit(seen.user, NAME),
            groups: fit_all(seen.groups),
            source: fit(seen.source, NAME),
            user_agent: fit(seen.user_agent, TEXT),
            status: seen.status,
            kube,
            kubectl: fit(&kubectl, LINE),
        }
    }

    /// How much is known of the request, as [`Seen::rank`] has it.
    pub fn rank(&self) -> Option<u8> {
        rank(&self.stage)
    }

    /// Whether it was done by `person`: as the API server names them, or after a sealed way in was
    /// opened by somebody who said that they are.
    pub fn is_of(&self, person: &str) -> bool {
        self.user == person || self.user.strip_prefix(OPENED_BY) == Some(person)
    }

    /// Whether it may be written as a record of that import: for whoever gets it from elsewhere.
    ///
    /// # Errors
    /// [`Unfit`] if it is of another import or cluster, or has texts as [`Imported::new`] makes
    /// none.
    pub fn check(&self, import: ImportId, cluster: &ClusterName) -> Result<(), Unfit> {
        if self.import != import || self.kube.cluster != *cluster {
            return Err(Unfit("a record belongs to another import or cluster"));
        }
        if moment(&self.at).is_none_or(|at| at.rfc3339() != self.at) {
            return Err(Unfit("a record's time is not as records have it"));
        }
        if self.rank().is_none() || !is_sha256(&self.key) {
            return Err(Unfit("a record's stage or key is none"));
        }
        let counts = [&self.groups, &self.kube.command];
        if counts.iter().any(|list| list.len() > MANY) || !self.texts_fit() {
            return Err(Unfit("a record's texts are longer than they may be"));
        }
        Ok(())
    }

    fn texts_fit(&self) -> bool {
        let kube = &self.kube;
        let names = [&self.audit_id, &self.user, &self.source].into_iter();
        let names = names.chain(&self.groups);
        let texts = [
            &self.user_agent,
            &kube.action,
            &kube.method,
            &kube.verb,
            &kube.group,
            &kube.version,
            &kube.resource,
            &kube.subresource,
            &kube.namespace,
            &kube.name,
            &kube.field_selector,
            &kube.label_selector,
            &kube.container,
            &kube.impersonates,
        ];
        let lines = [&kube.path, &self.kubectl];
        let lines = lines.into_iter().chain(&kube.command);
        names.into_iter().all(|t| fits(t, NAME))
            && texts.into_iter().all(|t| fits(t, TEXT))
            && lines.into_iter().all(|t| fits(t, LINE))
            && kube.command.iter().map(String::len).sum::<usize>() <= 2 * LINE
    }
}

/// The request as the gate would have read it, if that agrees with what the API server made of it.
fn action_of(cluster: &ClusterName, seen: &Seen<'_>) -> Option<Action> {
    let method = match seen.verb {
        "get" | "list" | "watch" => "GET",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" => "PATCH",
        "delete" | "deletecollection" => "DELETE",
        "head" => "HEAD",
        "options" => "OPTIONS",
        _ => return None,
    };
    let (path, query) = match seen.uri.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (seen.uri, None),
    };
    let info = RequestInfo::parse(method, path, query).ok()?;
    let same_object = match (&info.target, &seen.object) {
        (Target::NonResource { .. }, None) => true,
        (Target::Resource(resource), Some(object)) => {
            resource.resource == object.resource
                && resource.subresource == object.subresource
                && resource.group == object.group
                && resource.namespace == object.namespace
                && (resource.name == object.name || resource.name.is_empty())
        }
        _ => false,
    };
    let impersonates = seen.impersonated.map(|(user, groups)| Impersonates {
        user: user.to_owned(),
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
    });
    (same_object && info.verb.as_str() == seen.verb)
        .then(|| Action::new(cluster.clone(), info, impersonates))
}

/// What the API server says of a request that the gate would have read otherwise, or refused.
fn by_reference(cluster: &ClusterName, seen: &Seen<'_>) -> (Kube, String) {
    let object = seen.object.unwrap_or_default();
    let path = match (&seen.object, seen.uri.split_once('?')) {
        (Some(_), _) => "",
        (None, Some((path, _))) => path,
        (None, None) => seen.uri,
    };
    let action = match object.subresource {
        "exec" | "attach" | "portforward" | "proxy" => object.subresource,
        _ => seen.verb,
    };
    let words = [
        seen.verb,
        object.resource,
        object.subresource,
        object.namespace,
        object.name,
        path,
    ];
    let line: Vec<&str> = words.into_iter().filter(|w| !w.is_empty()).collect();
    let kube = Kube {
        cluster: cluster.clone(),
        action: action.to_owned(),
        method: String::new(),
        verb: seen.verb.to_owned(),
        group: object.group.to_owned(),
        version: String::new(),
        resource: object.resource.to_owned(),
        subresource: object.subresource.to_owned(),
        namespace: object.namespace.to_owned(),
        name: object.name.to_owned(),
        path: path.to_owned(),
        field_selector: String::new(),
        label_selector: String::new(),
        container: String::new(),
        command: Vec::new(),
        dry_run: false,
        impersonates: seen
            .impersonated
            .map_or_else(String::new, |(user, _)| user.to_owned()),
    };
    (kube, line.join(" "))
}

/// With shorter texts than the gate's own records may have: the API server has other limits.
fn fitted(kube: Kube) -> Kube {
    let total: usize = kube.command.iter().map(String::len).sum();
    let command = if kube.command.len() > MANY || total > LINE {
        vec![fit(&kube.command.join(" "), LINE)]
    } else {
        kube.command.iter().map(|w| fit(w, LINE)).collect()
    };
    Kube {
        cluster: kube.cluster,
        action: fit(&kube.action, TEXT),
        method: fit(&kube.method, TEXT),
        verb: fit(&kube.verb, TEXT),
        group: fit(&kube.group, TEXT),
        version: fit(&kube.version, TEXT),
        resource: fit(&kube.resource, TEXT),
        subresource: fit(&kube.subresource, TEXT),
        namespace: fit(&kube.namespace, TEXT),
        name: fit(&kube.name, TEXT),
        path: fit(&kube.path, LINE),
        field_selector: fit(&kube.field_selector, TEXT),
        label_selector: fit(&kube.label_selector, TEXT),
        container: fit(&kube.container, TEXT),
        command,
        dry_run: kube.dry_run,
        impersonates: fit(&kube.impersonates, TEXT),
    }
}

fn rank(stage: &str) -> Option<u8> {
    match stage {
        "RequestReceived" => Some(1),
        "ResponseStarted" => Some(2),
        "ResponseComplete" | "Panic" => Some(3),
        _ => None,
    }
}

/// Whether it is a SHA-256 in lower-case hex.
pub(super) fn is_sha256(text: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == 64 && text.bytes().all(hex)
}

/// A text of others, cut to `limit` bytes, with what could not be seen in it shown as U+FFFD.
pub(super) fn fit(text: &str, limit: usize) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    // What is cut is cut first: a text may be as long as a line.
    clip_to(text, limit).chars().map(shown).collect()
}

fn fit_all(texts: &[&str]) -> Vec<String> {
    let mut kept: Vec<String> = texts.iter().take(MANY).map(|t| fit(t, NAME)).collect();
    if let (Some(last), more @ 1..) = (kept.last_mut(), texts.len().saturating_sub(MANY)) {
        *last = format!("…[{} more]", more + 1);
    }
    kept
}

/// Whether a text may be one that [`fit`] made: it shows a control character as three bytes.
pub(super) fn fits(text: &str, limit: usize) -> bool {
    text.len() <= 3 * limit + MARK && !text.contains(char::is_control)
}

/// RFC 3339, to the microsecond.
fn moment(text: &str) -> Option<Timestamp> {
    use time::OffsetDateTime;
    use time::format_description::well_known::Rfc3339;
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let at = at.checked_to_offset(time::UtcOffset::UTC)?;
    let micros = i64::try_from(at.unix_timestamp_nanos().div_euclid(1000)).ok()?;
    // Times as texts sort as times do only while the year has four digits.
    (0..=9999)
        .contains(&at.year())
        .then(|| Timestamp::from_micros(micros))
}

#[cfg(test)]
mod tests;
