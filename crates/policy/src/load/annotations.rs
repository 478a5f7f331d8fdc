//! The annotations of a policy: `@id`, `@reason`, `@satisfy`, `@approvals`, `@remedy`, and no other.

use cedar_policy::{Effect as CedarEffect, Policy};
use kubestile_core::{Obligation, PolicyId};

use super::{Effect, PolicySummary};

/// Reads the annotations; what is wrong with them goes to `problems`. `None` when there is no usable id.
pub(super) fn read(
    policy: &Policy,
    file: &str,
    line: usize,
    problems: &mut Vec<String>,
) -> Option<PolicySummary> {
    let effect = match policy.effect() {
        CedarEffect::Permit => Effect::Permit,
        CedarEffect::Forbid => Effect::Forbid,
    };
    for (name, _) in policy.annotations() {
        let known = matches!(name, "id" | "reason" | "satisfy" | "approvals" | "remedy");
        if !known {
            problems.push(format!(
                "has the annotation `@{name}`, which nothing reads; use @id, @reason, @satisfy, \
                 @approvals, @remedy"
            ));
        }
    }
    let reason = policy.annotation("reason").unwrap_or_default();
    if let Some(wrong) = wrong_sentence(reason) {
        problems.push(format!(
            "needs `@reason(\"…\")`, what people read when it decides: {wrong}"
        ));
    }
    let remedy = policy.annotation("remedy");
    if let Some(wrong) = remedy.and_then(wrong_sentence) {
        problems.push(format!(
            "has a `@remedy` that people cannot be shown: {wrong}"
        ));
    }
    if remedy.is_some() && effect == Effect::Permit {
        problems.push("is a permit with `@remedy`, which is for forbids".to_owned());
    }
    let satisfy = satisfy(policy, effect, problems);
    let approvals = approvals(policy, &satisfy, problems);
    let id = id(policy, problems)?;
    Some(PolicySummary {
        id,
        reason: reason.to_owned(),
        effect,
        satisfy,
        approvals,
        remedy: remedy.map(str::to_owned),
        file: file.to_owned(),
        line,
    })
}

fn id(policy: &Policy, problems: &mut Vec<String>) -> Option<PolicyId> {
    let id = policy.annotation("id").unwrap_or_default();
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if id.is_empty() || id.len() > 64 || !id.bytes().all(fine) {
        problems.push(
            "needs `@id(\"…\")` of 1 to 64 lower-case letters, digits and hyphens".to_owned(),
        );
        return None;
    }
    if crate::decide::BUILT_IN.iter().any(|(name, _)| *name == id) {
        problems.push(format!(
            "has the id `{id}`, which the program itself uses; give it another"
        ));
        return None;
    }
    Some(PolicyId::new(id))
}

fn satisfy(policy: &Policy, effect: Effect, problems: &mut Vec<String>) -> Vec<Obligation> {
    let Some(text) = policy.annotation("satisfy") else {
        return Vec::new();
    };
    if effect == Effect::Permit {
        problems.push("is a permit with `@satisfy`; only a forbid can be satisfied".to_owned());
        return Vec::new();
    }
    let mut found = Vec::new();
    for word in text.split(',').map(str::trim) {
        match Obligation::parse(word) {
            Some(obligation) if !found.contains(&obligation) => found.push(obligation),
            Some(_) => problems.push(format!("names `{word}` twice in `@satisfy`")),
            None => problems.push(format!(
                "has `{word}` in `@satisfy`; it can be approval, mfa, ticket, reason or grant"
            )),
        }
    }
    found
}

/// How many people must approve: one, unless the policy says more.
fn approvals(policy: &Policy, satisfy: &[Obligation], problems: &mut Vec<String>) -> u8 {
    let asks = satisfy.contains(&Obligation::Approval);
    match policy.annotation("approvals") {
        None => u8::from(asks),
        Some(_) if !asks => {
            problems.push("has `@approvals` without `@satisfy(\"approval\")`".to_owned());
            0
        }
        Some(text) => match text.parse() {
            Ok(count @ 1..=9) => count,
            _ => {
                problems.push("has an `@approvals` that is not a number from 1 to 9".to_owned());
                1
            }
        },
    }
}

/// What keeps a text from being a sentence that kubectl can print after a colon.
fn wrong_sentence(text: &str) -> Option<&'static str> {
    if text.is_empty() || text.len() > 240 {
        return Some("write 1 to 240 bytes");
    }
    if !text.trim().contains(' ') {
        return Some("write a sentence");
    }
    if text.ends_with('.') {
        return Some("leave out the full stop");
    }
    // kube-apiserver takes <>& out of messages; control characters do not belong on a terminal.
    if text.chars().any(|c| c.is_control() || "<>&".contains(c)) {
        return Some("leave out <, >, & and control characters");
    }
    None
}
