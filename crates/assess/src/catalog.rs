//! The controls of the maturity model: every one has an id, a stage, a weight, and one pure function
//! from what was collected to a verdict. One file per stage, in [`crate::check`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::check;
use crate::facts::Facts;
use crate::verdict::{Judged, Severity, Undecided, Verdict};

/// A step of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Stage(u8);

impl Stage {
    /// The lowest.
    pub const FIRST: Self = Self(0);
    /// The highest.
    pub const LAST: Self = Self(4);
    /// All, in order.
    pub const ALL: [Self; 5] = [Self(0), Self(1), Self(2), Self(3), Self(4)];

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "Uncontrolled Access",
            1 => "Strong Authentication",
            2 => "Granular Authorization",
            3 => "Continuous Verification",
            _ => "Adaptive Trust",
        }
    }

    /// The one above it.
    pub const fn next(self) -> Option<Self> {
        match self.0 {
            0..=3 => Some(Self(self.0 + 1)),
            _ => None,
        }
    }
}

impl TryFrom<u8> for Stage {
    type Error = StageError;

    fn try_from(number: u8) -> Result<Self, StageError> {
        match number {
            0..=4 => Ok(Self(number)),
            _ => Err(StageError(number.to_string())),
        }
    }
}

impl std::str::FromStr for Stage {
    type Err = StageError;

    fn from_str(text: &str) -> Result<Self, StageError> {
        let number: u8 = text.parse().map_err(|_| StageError(text.to_owned()))?;
        Self::try_from(number)
    }
}

impl From<Stage> for u8 {
    fn from(stage: Stage) -> Self {
        stage.0
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// There is no such stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no stage `{0}`: it is a number from 0 to 4")]
pub struct StageError(String);

/// A control of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Control {
    /// `S2-09`.
    pub id: &'static str,
    /// Whether it is a gate: without it the stage is not reached, whatever the score.
    pub gate: bool,
    /// How much it weighs.
    pub severity: Severity,
    /// What it is called.
    pub title: &'static str,
    /// What must hold for it to pass.
    pub requires: &'static str,
    /// What happens to those who do not have it.
    pub why: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// What others call it: CIS Benchmark v1.12, OWASP Kubernetes Top 10 2025, MITRE ATT&CK, the
    /// Microsoft threat matrix, the CISA model's functions, KEPs.
    pub maps: &'static [&'static str],
    /// The judgement.
    pub check: fn(&Facts<'_>) -> Judged,
}

impl Control {
    /// The stage that it belongs to: the digit of its id.
    pub fn stage(&self) -> Stage {
        let digit = self.id.chars().nth(1).and_then(|c| c.to_digit(10));
        let number = digit.and_then(|d| u8::try_from(d).ok()).unwrap_or(0);
        Stage::try_from(number).unwrap_or(Stage::FIRST)
    }

    /// The judgement; what is not decided is unknown.
    pub fn judge(&self, facts: &Facts<'_>) -> Verdict {
        match (self.check)(facts) {
            Ok(verdict) => verdict,
            Err(Undecided(reason)) => Verdict::unknown(reason),
        }
    }
}

/// Every control, by stage and number.
pub fn controls() -> impl Iterator<Item = &'static Control> {
    check::ALL.iter().flat_map(|stage| stage.iter())
}

/// The control with this id, in any case.
pub fn control(id: &str) -> Option<&'static Control> {
    controls().find(|c| c.id.eq_ignore_ascii_case(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_whole() {
        let counts: Vec<usize> = check::ALL.iter().map(|stage| stage.len()).collect();
        assert_eq!(counts, [15, 18, 24, 20, 14]);
        for (stage, list) in Stage::ALL.iter().zip(check::ALL) {
            for (index, control) in list.iter().enumerate() {
                assert_eq!(control.id, format!("S{stage}-{:02}", index + 1));
                assert_eq!(control.stage(), *stage);
                for text in [control.title, control.requires, control.why, control.remedy] {
                    assert!(
                        !text.is_empty() && !text.ends_with('.'),
                        "{}: `{text}`",
                        control.id
                    );
                }
            }
        }
        assert_eq!(control("s2-09").map(|c| c.id), Some("S2-09"));
        assert!(control("S9-01").is_none());
    }

    #[test]
    fn stages_are_numbers_from_0_to_4() {
        assert_eq!(
            "3".parse::<Stage>().unwrap().name(),
            "Continuous Verification"
        );
        assert!("5".parse::<Stage>().is_err() && "x".parse::<Stage>().is_err());
        assert_eq!(Stage::LAST.next(), None);
    }
}
