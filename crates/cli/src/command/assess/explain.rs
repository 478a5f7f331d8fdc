//! `kubestile assess explain`: one control, and how it stands.

use kubestile_assess::catalog::{Control, control, controls};
use kubestile_assess::report::{command, terminal};
use kubestile_assess::score::Finding;
use serde::Serialize;

use super::{exceptions, paint, snapshot};
use crate::args::assess::Source;
use crate::exit::{Fail, Outcome};
use crate::output::{self, Format};

/// For programs.
#[derive(Serialize)]
struct Explained<'a> {
    control: &'static str,
    title: &'static str,
    stage: u8,
    gate: bool,
    severity: &'static str,
    requires: &'static str,
    why: &'static str,
    remedy: &'static str,
    maps: &'static [&'static str],
    /// How it stands; none if no cluster was looked at.
    finding: Option<&'a Finding>,
    /// The one command to run, of a control that fails.
    command: Option<String>,
}

/// Explains.
pub(super) fn run(id: &str, offline: bool, source: &Source, format: Format) -> Outcome {
    let control = control(id).ok_or_else(|| unknown(id))?;
    let assessment = match offline {
        true => None,
        false => {
            let exceptions = exceptions(source)?;
            match snapshot(source) {
                Ok(snapshot) => Some(kubestile_assess::assess(&snapshot, &exceptions)),
                // What was named must be there; without anything named it is enough to explain.
                Err(fail) if source.from.is_some() => return Err(fail),
                Err(fail) => {
                    output::talk(&format!("how it stands is not known: {fail}"));
                    None
                }
            }
        }
    };
    let finding = assessment.as_ref().and_then(|a| a.finding(control.id));
    if format.is_data() {
        return output::value(format, &explained(control, finding));
    }
    output::data(&terminal::explain(control, finding, paint()))
}

fn explained<'a>(control: &'static Control, finding: Option<&'a Finding>) -> Explained<'a> {
    let failed = finding.filter(|f| f.verdict.outcome == kubestile_assess::Outcome::Fail);
    Explained {
        control: control.id,
        title: control.title,
        stage: control.stage().number(),
        gate: control.gate,
        severity: control.severity.word(),
        requires: control.requires,
        why: control.why,
        remedy: control.remedy,
        maps: control.maps,
        finding,
        command: failed.map(command),
    }
}

/// Controls that are offered.
const OFFERED: usize = 3;

fn unknown(id: &str) -> Fail {
    let fail = Fail::usage(format!("there is no control `{id}`"));
    near(id)
        .into_iter()
        .map(|c| format!("did you mean {}, {}?", c.id, c.title))
        .fold(fail, Fail::hint)
        .hint("to see them all: kubestile assess -o wide")
}

/// The controls that were probably meant: `s04` and `S0-4` for S0-04, and words of a title.
fn near(id: &str) -> Vec<&'static Control> {
    let digits: Vec<u32> = id.chars().filter_map(|c| c.to_digit(10)).take(4).collect();
    let typed = match digits.as_slice() {
        [stage, number] => Some((*stage, *number)),
        [stage, tens, ones] => Some((*stage, tens * 10 + ones)),
        _ => None,
    };
    let letters: String = id.chars().filter(|c| c.is_alphabetic()).take(64).collect();
    if let Some((stage, number)) = typed
        && letters.len() <= 2
    {
        let id = format!("S{stage}-{number:02}");
        let exact: Vec<_> = controls().filter(|c| c.id == id).collect();
        if !exact.is_empty() {
            return exact;
        }
        let of_stage = |c: &&Control| u32::from(c.stage().number()) == stage;
        let last = controls().filter(of_stage).last();
        return last.into_iter().collect();
    }
    let word = id.trim().to_lowercase();
    let named = controls().filter(|c| word.len() >= 3 && c.title.to_lowercase().contains(&word));
    named.take(OFFERED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_nearly_typed_is_offered() {
        let first = |id: &str| near(id).first().map(|c| c.id);
        for typed in ["S0-4", "s04", "S004", "0-04", "S0_04", "SO-04"] {
            assert_eq!(first(typed), Some("S0-04"), "{typed}");
        }
        assert_eq!(first("S0-99"), Some("S0-15"), "the last one there is");
        let anonymous = near("anonymous");
        assert!(!anonymous.is_empty() && anonymous.len() <= OFFERED);
        for nothing in ["", "x", "S9-01", "\u{1b}[2J", "99999999999999999999"] {
            assert!(near(nothing).is_empty(), "{nothing}");
        }
        let hints = unknown("S0-4").hints().join("\n");
        assert!(hints.contains("did you mean S0-04"), "{hints}");
    }

    #[test]
    fn a_control_is_explained_to_programs() {
        let control = control("S0-04").unwrap();
        let value = serde_json::to_value(explained(control, None)).unwrap();
        assert_eq!(
            (&value["control"], &value["finding"]),
            (&"S0-04".into(), &serde_json::Value::Null)
        );
        assert!(value["requires"].as_str().is_some_and(|r| !r.is_empty()));
    }
}
