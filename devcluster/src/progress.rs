use std::fmt;

/// What is being done just now, told to the caller as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Another process builds or starts the same thing; waiting for it.
    Waiting {
        /// What is waited for.
        what: String,
    },
    /// A step has begun.
    Step {
        /// The step, as a user would name it.
        what: String,
    },
    /// The Go compiler has finished one more package. The total is not known.
    Compiled {
        /// The group of programs under construction.
        component: String,
        /// Packages compiled so far in this group.
        packages: u32,
    },
}

impl Progress {
    pub(crate) fn step(what: impl Into<String>) -> Self {
        Self::Step { what: what.into() }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting { what } => write!(f, "waiting for {what}"),
            Self::Step { what } => f.write_str(what),
            Self::Compiled {
                component,
                packages,
            } => {
                write!(f, "building {component}: {packages} packages compiled")
            }
        }
    }
}
