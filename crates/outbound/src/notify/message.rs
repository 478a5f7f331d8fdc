//! What is told.

use serde::{Deserialize, Serialize};

use crate::line::line;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A request waits for an approval.
    Waiting,
    /// It was approved.
    Approved,
    /// It was denied.
    Denied,
    /// Nobody decided in time.
    Expired,
    /// A grant started.
    GrantStarted,
    /// A grant ended.
    GrantEnded,
    /// Somebody took access without waiting.
    BreakGlass,
    /// Such access has not been reviewed.
    ReviewDue,
}

impl Kind {
    /// A heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Waiting => "Approval wanted",
            Self::Approved => "Approved",
            Self::Denied => "Denied",
            Self::Expired => "Nobody decided in time",
            Self::GrantStarted => "Grant started",
            Self::GrantEnded => "Grant ended",
            Self::BreakGlass => "BREAK-GLASS access taken",
            Self::ReviewDue => "Break-glass access waits for its review",
        }
    }

    /// The word in a signed webhook.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::GrantStarted => "grant-started",
            Self::GrantEnded => "grant-ended",
            Self::BreakGlass => "break-glass",
            Self::ReviewDue => "review-due",
        }
    }
}

/// A message. Its texts come from people and are escaped for each medium; none is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// An id of the gate's own that is the same when the message is sent again.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// Who asks, or did it.
    pub who: String,
    /// What: the command.
    pub what: String,
    /// Where: cluster and namespace.
    pub place: String,
    /// Why: the reason given, the ticket.
    pub why: Option<String>,
    /// How dangerous, and what would be lost.
    pub risk: Option<String>,
    /// The page of the gate where one can see more and, after login, decide. It is left out if it does
    /// not start with `https://` (or lead to this machine).
    pub link: Option<String>,
}

/// Longest text in a message, in characters.
const TEXT: usize = 500;

impl Message {
    /// The texts with their headings, those that are there, each on one line and bounded.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let facts = [
            ("Who", Some(&self.who)),
            ("What", Some(&self.what)),
            ("Where", Some(&self.place)),
            ("Why", self.why.as_ref()),
            ("Risk", self.risk.as_ref()),
        ];
        let present = facts
            .into_iter()
            .filter_map(|(name, text)| Some((name, line(text?, TEXT))));
        present.filter(|(_, text)| !text.is_empty()).collect()
    }

    /// The link, if it is one of ours by its form.
    pub(crate) fn safe_link(&self) -> Option<&str> {
        let link = self.link.as_deref()?;
        let _: crate::client::ServiceUrl = link.parse().ok()?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?=&%[]+".contains(&b);
        link.bytes().all(plain).then_some(link)
    }
}
