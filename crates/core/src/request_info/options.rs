//! What the query of an API request may say: options that kube-apiserver reads (`ListOptions`,
//! `dryRun`, …), each of them once and well formed.

use super::selector;
use super::{ParseError, Query, Resource, Verb};

/// Parameters of which kube-apiserver reads the first value only. Whoever reads the last one would
/// see another request, so two different values are refused.
const SINGLE: [&str; 31] = [
    // ListOptions
    "watch",
    "fieldSelector",
    "labelSelector",
    "limit",
    "continue",
    "resourceVersion",
    "resourceVersionMatch",
    "timeoutSeconds",
    "allowWatchBookmarks",
    "sendInitialEvents",
    "shardSelector",
    // options of writes
    "dryRun",
    "fieldManager",
    "fieldValidation",
    "force",
    "gracePeriodSeconds",
    "propagationPolicy",
    "orphanDependents",
    "uid",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    // exec, attach and log
    "container",
    "stdin",
    "stdout",
    "stderr",
    "tty",
    "follow",
    "previous",
    "stream",
    "tailLines",
    "insecureSkipTLSVerifyBackend",
    // proxy
    "path",
];

/// Refuses a parameter that is given twice with different values where only one counts.
pub(super) fn refuse_conflicts(query: &Query) -> Result<(), ParseError> {
    // Few parameters, which is almost always: look for any repeated key before looking at the list.
    let pairs = query.pairs();
    let repeats = |(at, (key, _)): (usize, &(String, String))| {
        pairs.iter().take(at).any(|(earlier, _)| earlier == key)
    };
    if pairs.len() <= 16 && !pairs.iter().enumerate().any(repeats) {
        return Ok(());
    }
    let mut seen: [Option<&str>; SINGLE.len()] = [None; SINGLE.len()];
    for (key, value) in pairs {
        let known = SINGLE.iter().zip(seen.iter_mut()).find(|(k, _)| *k == key);
        let Some((key, first)) = known else { continue };
        if *first.get_or_insert(value.as_str()) != value {
            return Err(ParseError::new(format!(
                "the query has `{key}` twice, with different values"
            )));
        }
    }
    Ok(())
}

/// Refuses a `dryRun` that is not one: a person who reads it must not take a write for a rehearsal.
pub(super) fn check_dry_run(
    verb: Verb,
    resource: &Resource,
    query: &Query,
) -> Result<(), ParseError> {
    let mut values = query.all("dryRun").peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    // `handlers/rest.go` ConnectResource
    if matches!(
        resource.subresource.as_str(),
        "exec" | "attach" | "portforward" | "proxy"
    ) {
        return Err(ParseError::new(
            "`dryRun` is not supported for exec, attach, portforward and proxy",
        ));
    }
    let reads = matches!(
        verb,
        Verb::Get | Verb::List | Verb::Watch | Verb::Proxy | Verb::None
    );
    if !reads && values.any(|value| value != "All") {
        return Err(ParseError::new("`dryRun` must be `All` or absent"));
    }
    Ok(())
}

/// Checks the `ListOptions` of a list, watch or deletecollection as kube-apiserver decodes them, and
/// gives the name that the field selector requires.
///
/// kube-apiserver falls back to a request without selectors when one of them does not parse, and
/// refuses it later; here it is refused at once.
pub(super) fn check_list(query: &Query) -> Result<Option<String>, ParseError> {
    for key in ["limit", "timeoutSeconds"] {
        if let Some(value) = query.first(key)
            && value.parse::<i64>().is_err()
        {
            return Err(ParseError::new(format!("`{key}` is not a whole number")));
        }
    }
    if let Some(text) = query.first("labelSelector") {
        selector::check_labels(text)?;
    }
    match query.first("fieldSelector") {
        Some(text) => selector::required_name(text),
        None => Ok(None),
    }
}
