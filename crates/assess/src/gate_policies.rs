//! Policies for a gate that close controls: the texts that a plan writes into the gate's own directory, and that a
//! finding shows where it cannot be written to.

/// A policy in a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatePolicy {
    /// The control that it is for.
    pub control: &'static str,
    /// Its id, and the name of its file without the ending.
    pub id: &'static str,
    /// What it does, in words.
    pub says: &'static str,
    /// The file.
    pub text: &'static str,
    /// Whether it asks for a ticket: without a system that knows tickets nobody could have one.
    pub needs_tickets: bool,
}

/// All of them; of one control, those before are for the same gate.
pub const ALL: &[GatePolicy] = &[
    GatePolicy {
        control: "S3-11",
        id: "harm-needs-a-fresh-login",
        says: "what can do harm (R3 and more) needs a login within the last 4 hours, a ticket or a second person",
        text: include_str!("../policies/harm-needs-a-fresh-login.cedar"),
        needs_tickets: false,
    },
    GatePolicy {
        control: "S4-01",
        id: "changes-need-a-grant",
        says: "what changes something needs a grant, which ends by itself, or the approval of a second person",
        text: include_str!("../policies/changes-need-a-grant.cedar"),
        needs_tickets: false,
    },
    GatePolicy {
        control: "S4-02",
        id: "grants-are-short",
        says: "a grant ends after 8 hours at most, a pipeline's after 1",
        text: include_str!("../policies/grants-are-short.cedar"),
        needs_tickets: false,
    },
    GatePolicy {
        control: "S4-02",
        id: "grants-name-a-ticket",
        says: "whoever asks for a grant names an open ticket",
        text: include_str!("../policies/grants-name-a-ticket.cedar"),
        needs_tickets: true,
    },
    GatePolicy {
        control: "S4-03",
        id: "dangerous-needs-approval",
        says: "a dangerous request (R4, R5) needs the approval of a second person",
        text: include_str!("../policies/dangerous-needs-approval.cedar"),
        needs_tickets: false,
    },
];

impl GatePolicy {
    /// The name of its file.
    pub fn file(&self) -> String {
        format!("{}.cedar", self.id)
    }

    /// The text in one line, as a finding shows it: comments left out.
    pub(crate) fn line(&self) -> String {
        let lines = self.text.lines().filter(|l| !l.starts_with("//"));
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        words.join(" ")
    }
}

/// Those for a control.
pub(crate) fn of(control: &str) -> impl Iterator<Item = &'static GatePolicy> {
    ALL.iter().filter(move |p| p.control == control)
}
