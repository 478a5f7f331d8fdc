//! What somebody has accepted: an owner, a reason, an end. One that matches nothing, has ended, or
//! covers more than one finding could need is itself reported.

use kubestile_core::Timestamp;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::catalog;
use crate::verdict::{Evidence, Outcome, Verdict};

/// An accepted finding. Unknown fields are refused: a misspelt one would silently mean something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The control.
    pub control: String,
    /// The object that it is about, exactly as evidence names it.
    pub object: String,
    /// Which part of it, exactly as evidence names it (`subjects[1]`); none for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Whoever answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// Until when, RFC 3339.
    pub expires: String,
}

/// A file of exceptions.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exceptions {
    /// All of them.
    pub exceptions: Vec<Exception>,
}

/// What is wrong with an exception.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// The control that it names.
    pub control: String,
    /// The object that it names.
    pub object: String,
    /// What is wrong, and what to do.
    pub text: String,
}

/// The longest that somebody may accept something before looking at it again, in days.
const LONGEST_DAYS: i64 = 366;

impl Exceptions {
    /// Takes out of a verdict what is accepted; without evidence left it becomes a pass that says so.
    /// Says which exceptions matched, by index, once for each piece of evidence.
    pub fn apply(&self, control: &str, verdict: Verdict, now: Timestamp) -> (Verdict, Vec<usize>) {
        if verdict.outcome != Outcome::Fail || verdict.more_evidence > 0 {
            return (verdict, Vec::new());
        }
        let covers = |evidence: &Evidence| {
            self.exceptions.iter().position(|e| {
                let field = e.field.as_ref().is_none_or(|f| *f == evidence.field);
                e.control == control && e.object == evidence.object && field && e.is_sound(now)
            })
        };
        let mut used = Vec::new();
        let mut kept = Vec::new();
        for evidence in &verdict.evidence {
            match covers(evidence) {
                Some(index) => used.push(index),
                None => kept.push(evidence.clone()),
            }
        }
        used.sort_unstable();
        if used.is_empty() {
            return (verdict, used);
        }
        if kept.is_empty() {
            let mut once = used.clone();
            once.dedup();
            let owners: Vec<&str> = once
                .iter()
                .filter_map(|i| self.exceptions.get(*i))
                .map(|e| e.owner.as_str())
                .collect();
            let summary = format!("accepted by {}: {}", owners.join(", "), verdict.summary);
            return (Verdict::pass(summary).sure(verdict.confidence), used);
        }
        let verdict = Verdict {
            evidence: kept,
            ..verdict
        };
        (verdict, used)
    }

    /// What is wrong with them, given which of them matched something.
    pub fn remarks(&self, used: &[usize], now: Timestamp) -> Vec<Remark> {
        let remark = |(index, exception): (usize, &Exception)| {
            let matched = used.iter().filter(|u| **u == index).count();
            let text = exception
                .problem(now)
                .or_else(|| self.shadowed(index))
                .or_else(|| exception.fit(matched))?;
            Some(Remark {
                control: exception.control.clone(),
                object: exception.object.clone(),
                text,
            })
        };
        self.exceptions
            .iter()
            .enumerate()
            .filter_map(remark)
            .collect()
    }
}

impl Exceptions {
    /// What an earlier one accepts already, a later one does not.
    fn shadowed(&self, index: usize) -> Option<String> {
        let mine = self.exceptions.get(index)?;
        let same = |e: &Exception| {
            e.control == mine.control
                && e.object == mine.object
                && (e.field.is_none() || e.field == mine.field)
        };
        let first = self.exceptions.iter().position(same)?;
        (first < index).then(|| "an earlier exception accepts the same: remove one".to_owned())
    }
}

impl Exception {
    /// What is wrong with how much it matches.
    fn fit(&self, matched: usize) -> Option<String> {
        match matched {
            0 => Some(
                "it matches no evidence: the finding is gone, has more evidence than is kept, or its object is written differently; remove it"
                    .to_owned(),
            ),
            1 => None,
            n => Some(format!(
                "it is broad: it accepts {n} things about this object, and whatever comes; name each by `field`"
            )),
        }
    }

    fn is_sound(&self, now: Timestamp) -> bool {
        self.problem(now).is_none()
    }

    fn problem(&self, now: Timestamp) -> Option<String> {
        if catalog::control(&self.control).is_none_or(|c| c.id != self.control) {
            return Some(format!("there is no control `{}`", self.control));
        }
        if self.owner.trim().is_empty() || self.reason.trim().is_empty() {
            return Some("it has no owner or no reason: it counts for nothing".to_owned());
        }
        if self.object.trim().is_empty() || self.object.contains('*') {
            return Some("it is over-broad: name one object, exactly as evidence does".to_owned());
        }
        let Some(end) = instant(&self.expires) else {
            return Some(format!(
                "`{}` is no time in RFC 3339 (2027-01-31T00:00:00Z)",
                self.expires
            ));
        };
        if end <= now {
            return Some(format!(
                "it ended at {}: look at the finding again",
                self.expires
            ));
        }
        let days = end.since(now).as_secs() / 86_400;
        (days > LONGEST_DAYS).then(|| {
            format!("it is accepted for {days} days: name an end within {LONGEST_DAYS} days")
        })
    }
}

/// A point in time from RFC 3339.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(Timestamp::from_secs(at.unix_timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Class;

    fn exception(object: &str, expires: &str) -> Exception {
        Exception {
            control: "S0-11".to_owned(),
            object: object.to_owned(),
            field: None,
            owner: "ana".to_owned(),
            reason: "the installer needs it until March".to_owned(),
            expires: expires.to_owned(),
        }
    }

    fn failed() -> Verdict {
        let seen = |object: &str| Evidence::named(Class::Object, object, "", "x");
        Verdict::fail("two").because(vec![seen("a"), seen("b")])
    }

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    #[test]
    fn what_is_accepted_is_taken_out_and_named() {
        let all = Exceptions {
            exceptions: vec![
                exception("a", "2026-12-01T00:00:00Z"),
                exception("b", "2026-12-01T00:00:00Z"),
            ],
        };
        let (verdict, used) = all.apply("S0-11", failed(), NOW);
        assert_eq!((verdict.outcome, used), (Outcome::Pass, vec![0, 1]));
        assert!(verdict.summary.contains("ana"), "{}", verdict.summary);
        let (verdict, used) = all.apply("S0-12", failed(), NOW);
        assert_eq!((verdict.outcome, used), (Outcome::Fail, vec![]));
    }

    #[test]
    fn one_that_accepts_several_things_is_reported_and_a_field_narrows_it() {
        let seen = |field: &str| Evidence::named(Class::Object, "a", field, "x");
        let failed =
            || Verdict::fail("two").because(vec![seen("subjects[0]"), seen("subjects[1]")]);
        let texts = |all: &Exceptions| -> (Outcome, Vec<String>) {
            let (verdict, used) = all.apply("S0-11", failed(), NOW);
            let remarks = all.remarks(&used, NOW).into_iter();
            (verdict.outcome, remarks.map(|r| r.text).collect())
        };
        let broad = exception("a", "2026-12-01T00:00:00Z");
        let narrow = Exception {
            field: Some("subjects[1]".to_owned()),
            ..broad.clone()
        };
        let (outcome, text) = texts(&Exceptions {
            exceptions: vec![broad.clone()],
        });
        assert_eq!(outcome, Outcome::Pass);
        assert!(
            matches!(text.as_slice(), [t] if t.contains("broad")),
            "{text:?}"
        );
        let (outcome, text) = texts(&Exceptions {
            exceptions: vec![narrow.clone()],
        });
        assert_eq!((outcome, text.len()), (Outcome::Fail, 0));
        let (_, text) = texts(&Exceptions {
            exceptions: vec![broad, narrow],
        });
        assert!(text.iter().any(|t| t.contains("earlier")), "{text:?}");
    }

    #[test]
    fn expired_inert_and_broad_ones_count_for_nothing_and_are_reported() {
        let all = Exceptions {
            exceptions: vec![
                exception("a", "2026-01-01T00:00:00Z"),
                exception("*", "2026-12-01T00:00:00Z"),
                exception("a", "2126-12-01T00:00:00Z"),
                exception("gone", "2026-12-01T00:00:00Z"),
                exception("a", "soon"),
            ],
        };
        let (verdict, used) = all.apply("S0-11", failed(), NOW);
        assert_eq!(
            (verdict.outcome, verdict.evidence.len()),
            (Outcome::Fail, 2)
        );
        let texts: Vec<String> = all
            .remarks(&used, NOW)
            .into_iter()
            .map(|r| r.text)
            .collect();
        for (text, word) in texts
            .iter()
            .zip(["ended", "over-broad", "days", "matches no", "RFC"])
        {
            assert!(text.contains(word), "{text}");
        }
        assert_eq!(texts.len(), 5);
    }
}
