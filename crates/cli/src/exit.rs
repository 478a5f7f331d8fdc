//! How a command ends: the kind of its error gives the exit code, and hints say what to do next.

use std::fmt;
use std::process::ExitCode;

/// What a command that did not succeed ends with.
pub(crate) type Outcome<T = ()> = Result<T, Fail>;

/// Kinds of error, each with its documented exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something went wrong, or the gate said no.
    Failure,
    /// The command line is not one of ours.
    Usage,
    /// A cluster stands below the stage that was asked for.
    Below,
    /// A request for access was denied, expired or was taken back.
    Denied,
    /// A configuration, policy or kubeconfig file is not as it must be (`EX_USAGE` of sysexits).
    Config,
    /// Evidence does not hold: the log, a proof, a policy test (`EX_DATAERR`).
    Verification,
    /// A gate, cluster or socket does not answer (`EX_UNAVAILABLE`).
    Unavailable,
    /// Whoever read our output has closed it: `kubestile … | head` is no error.
    BrokenPipe,
}

impl Kind {
    /// The exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Below => 3,
            Self::Denied => 4,
            Self::Config => 64,
            Self::Verification => 65,
            Self::Unavailable => 69,
        }
    }
}

/// The exit codes, for `--help` and the manual.
pub(crate) const CODES: &str = "\
Exit codes:
   0  done
   1  failed, or refused by the gate
   2  wrong usage
   3  the cluster stands below the stage of `assess --fail-below`
   4  what `request` asked for was denied, expired or was taken back
  64  a configuration, policy or kubeconfig file is wrong
  65  verification failed: the log, a proof or a policy test does not hold
  69  a gate, cluster or socket does not answer";

/// An error as a person reads it: one line, then hints.
#[derive(Debug)]
pub(crate) struct Fail {
    kind: Kind,
    message: String,
    hints: Vec<String>,
}

impl Fail {
    /// An error of `kind`; the message is lower case, without a full stop.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// [`Kind::Failure`].
    pub(crate) fn failure(message: impl Into<String>) -> Self {
        Self::new(Kind::Failure, message)
    }

    /// [`Kind::Usage`].
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// [`Kind::Config`].
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// With what the person can do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// With another kind.
    #[must_use]
    pub(crate) fn kind(mut self, kind: Kind) -> Self {
        if self.kind != Kind::BrokenPipe {
            self.kind = kind;
        }
        self
    }

    /// What was being done when it happened, in front of the message.
    #[must_use]
    pub(crate) fn during(mut self, what: &str) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The kind.
    pub(crate) const fn of_kind(&self) -> Kind {
        self.kind
    }

    /// The one line.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What to do next, most useful first.
    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The exit code.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.kind.code())
    }
}

/// Every error of a library is a failure; its sources follow it, chained by colons.
impl<E: std::error::Error + 'static> From<E> for Fail {
    fn from(error: E) -> Self {
        let kind = match (&error as &dyn std::error::Error).downcast_ref::<std::io::Error>() {
            Some(io) if io.kind() == std::io::ErrorKind::BrokenPipe => Kind::BrokenPipe,
            _ => Kind::Failure,
        };
        Self::new(kind, chain(&error))
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// An error and its sources on one line. A source whose text its parent already shows is left out.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = inner.source();
    }
    // Parsers' messages have several lines; the first says it.
    text.trim_end().replace('\n', "; ")
}

/// Words that say what was being done.
pub(crate) trait During<T> {
    /// What was being done, in front of the error's message.
    fn during(self, what: &str) -> Outcome<T>;
    /// As [`During::during`], made only when needed.
    fn during_with(self, what: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: Into<Fail>> During<T> for Result<T, E> {
    fn during(self, what: &str) -> Outcome<T> {
        self.map_err(|e| e.into().during(what))
    }

    fn during_with(self, what: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|e| e.into().during(&what()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documented_ones() {
        for kind in [
            Kind::Failure,
            Kind::Usage,
            Kind::Below,
            Kind::Denied,
            Kind::Config,
            Kind::Verification,
            Kind::Unavailable,
            Kind::BrokenPipe,
        ] {
            assert!(
                CODES.contains(&format!("\n  {:>2}  ", kind.code())),
                "{kind:?} is not documented"
            );
        }
    }

    #[test]
    fn sources_are_chained_once() {
        #[derive(Debug)]
        struct Outer(std::io::Error);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("cannot read `x`")
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.0)
            }
        }
        let fail = Fail::from(Outer(std::io::Error::other("disk\non fire"))).during("login");
        assert_eq!(fail.message(), "login: cannot read `x`: disk; on fire");
        assert_eq!(fail.of_kind(), Kind::Failure);
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let closed = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let fail = Fail::from(closed).during("print").kind(Kind::Config);
        assert_eq!(fail.of_kind(), Kind::BrokenPipe);
    }
}
