use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A Kubernetes line that can be built and started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Kubernetes {
    /// The current line: create checks on exec, constrained impersonation.
    #[default]
    #[serde(rename = "1.36")]
    V1_36,
    /// The oldest line that Kubestile supports.
    #[serde(rename = "1.34")]
    V1_34,
}

impl Kubernetes {
    /// Every line, newest first.
    pub const ALL: [Self; 2] = [Self::V1_36, Self::V1_34];

    /// Major and minor version as users write them: `1.36`.
    pub fn line(self) -> &'static str {
        match self {
            Self::V1_36 => "1.36",
            Self::V1_34 => "1.34",
        }
    }
}

impl fmt::Display for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.line())
    }
}

impl FromStr for Kubernetes {
    type Err = UnknownKubernetes;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|known| known.line() == text)
            .ok_or_else(|| UnknownKubernetes {
                text: text.to_owned(),
            })
    }
}

/// A Kubernetes version that this crate has no module for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown Kubernetes version `{text}`: choose 1.36 or 1.34")]
pub struct UnknownKubernetes {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_parses_back() {
        for kubernetes in Kubernetes::ALL {
            assert_eq!(kubernetes.line().parse(), Ok(kubernetes));
        }
        assert!("1.35".parse::<Kubernetes>().is_err());
    }
}
