//! What is said about the requests of a kubectl, each thing once. No clock, no terminal.

use std::collections::HashMap;

use kubestile_control::api::AccessEntry;
use kubestile_core::AccessId;

/// So many requests are kept in mind; of more nothing is said.
const MOST: usize = 4096;

/// What ends the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GiveUp {
    /// Ctrl-C.
    CtrlC,
    /// A command elsewhere: the terminal is raw.
    Command,
}

/// What has been said.
#[derive(Debug, Default)]
pub(super) struct Notices {
    told: HashMap<AccessId, Told>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    /// Whether it is said in this terminal at all.
    shown: bool,
    /// How many approvals have been said.
    approvals: usize,
    /// Whether its end has been seen.
    over: bool,
}

impl Notices {
    /// Whether [`Notices::observe`] could say something about it.
    pub(super) fn is_news(&self, entry: &AccessEntry) -> bool {
        if entry.kind != "request" {
            return false;
        }
        match self.told.get(&entry.id) {
            // What is over when we first look was over before anybody waited for it.
            None => entry.state == "waiting" && self.told.len() < MOST,
            Some(told) => {
                told.shown
                    && !told.over
                    && (entry.state != "waiting" || entry.approved_by.len() > told.approvals)
            }
        }
    }

    /// The lines to say now. Whether it is `shown` in this terminal counts when it is seen for the first
    /// time. Denied, expired and withdrawn requests get no line: kubectl prints the gate's refusal.
    pub(super) fn observe(
        &mut self,
        entry: &AccessEntry,
        shown: bool,
        give_up: GiveUp,
    ) -> Vec<String> {
        if !self.is_news(entry) {
            return Vec::new();
        }
        let mut lines = Vec::new();
        let told = self.told.entry(entry.id).or_insert_with(|| {
            if shown {
                lines.push(waiting(entry, give_up));
            }
            Told {
                shown,
                approvals: 0,
                over: false,
            }
        });
        if !told.shown {
            return Vec::new();
        }
        told.over = entry.state != "waiting";
        for (nth, name) in entry.approved_by.iter().enumerate().skip(told.approvals) {
            lines.push(approved(entry, name, nth + 1));
        }
        told.approvals = told.approvals.max(entry.approved_by.len());
        lines
    }
}

/// That it waits.
pub(crate) fn waiting(entry: &AccessEntry, give_up: GiveUp) -> String {
    let what = entry.what.strip_prefix("kubectl ").unwrap_or(&entry.what);
    let may = match (entry.approvers.as_slice(), entry.quorum) {
        ([], 0 | 1) => String::new(),
        ([], n) => format!(", needs {n} approvals"),
        (who, 0 | 1) => format!(", {} may approve", who.join(" or ")),
        (who, n) => format!(", {n} of {} must approve", who.join(" or ")),
    };
    let give_up = match give_up {
        GiveUp::CtrlC => "Ctrl-C gives up".to_owned(),
        GiveUp::Command => format!(
            "to give up, elsewhere: kubestile approvals withdraw {}",
            entry.id
        ),
    };
    format!(
        "kubestile: waiting for approval of \"{what}\" (request {}{may}): {}  {give_up}",
        entry.id, entry.url
    )
}

/// That this person approved it, as the `nth`.
pub(crate) fn approved(entry: &AccessEntry, name: &str, nth: usize) -> String {
    let more = usize::from(entry.quorum.max(1)).saturating_sub(nth);
    if more == 0 || entry.state == "approved" {
        return format!("kubestile: approved by {name}");
    }
    format!("kubestile: approved by {name}, {more} more needed")
}

#[cfg(test)]
mod tests {
    use kubestile_core::Timestamp;

    use super::*;

    fn entry(id: u64, state: &str, approved_by: &[&str], quorum: u8) -> AccessEntry {
        AccessEntry {
            id: AccessId::from_random(id),
            state: state.to_owned(),
            requester: "ben".to_owned(),
            source: "192.0.2.1:40000".to_owned(),
            kind: "request".to_owned(),
            what: "kubectl delete deployments.apps/web -n shop".to_owned(),
            cluster: None,
            risk: "R3".to_owned(),
            risk_meaning: String::new(),
            ticket: None,
            reason: None,
            policies: Vec::new(),
            approvers: vec!["sre".to_owned()],
            quorum,
            approved_by: approved_by.iter().map(|n| (*n).to_owned()).collect(),
            impact: None,
            command: None,
            invocation: None,
            group: None,
            request: None,
            digest: String::new(),
            function: None,
            created: Timestamp::from_secs(0),
            expires: Timestamp::from_secs(900),
            outcome: String::new(),
            own: true,
            may_answer: false,
            url: "https://gate/r/0".to_owned(),
        }
    }

    fn tell(notices: &mut Notices, entry: &AccessEntry) -> Vec<String> {
        notices.observe(entry, true, GiveUp::CtrlC)
    }

    #[test]
    fn a_request_is_said_once_and_so_is_its_approval() {
        let mut notices = Notices::default();
        let waiting = entry(1, "waiting", &[], 1);
        assert_eq!(
            tell(&mut notices, &waiting),
            [
                "kubestile: waiting for approval of \"delete deployments.apps/web -n shop\" \
                 (request 0000-0000-0001, sre may approve): https://gate/r/0  Ctrl-C gives up"
            ]
        );
        assert!(tell(&mut notices, &waiting).is_empty());
        let approved = entry(1, "approved", &["ana"], 1);
        assert_eq!(
            tell(&mut notices, &approved),
            ["kubestile: approved by ana"]
        );
        assert!(tell(&mut notices, &approved).is_empty());
        assert!(!notices.is_news(&waiting), "an end stays");
    }

    #[test]
    fn of_several_approvals_each_is_said() {
        let mut notices = Notices::default();
        let first = tell(&mut notices, &entry(1, "waiting", &["ana"], 2));
        assert!(first[0].contains("2 of sre must approve"), "{first:?}");
        assert_eq!(first[1..], ["kubestile: approved by ana, 1 more needed"]);
        assert!(tell(&mut notices, &entry(1, "waiting", &["ana"], 2)).is_empty());
        let last = tell(&mut notices, &entry(1, "approved", &["ana", "eva"], 2));
        assert_eq!(last, ["kubestile: approved by eva"]);
    }

    #[test]
    fn what_kubectl_says_itself_is_not_said_twice() {
        for state in ["denied", "expired", "withdrawn"] {
            let mut notices = Notices::default();
            assert_eq!(tell(&mut notices, &entry(1, "waiting", &[], 1)).len(), 1);
            assert!(tell(&mut notices, &entry(1, state, &[], 1)).is_empty());
        }
    }

    #[test]
    fn what_was_over_before_we_looked_and_grants_are_not_said() {
        let mut notices = Notices::default();
        assert!(tell(&mut notices, &entry(1, "approved", &["ana"], 1)).is_empty());
        let mut grant = entry(2, "waiting", &[], 1);
        grant.kind = "grant".to_owned();
        assert!(tell(&mut notices, &grant).is_empty());
    }

    #[test]
    fn what_another_terminal_says_is_not_said_here_nor_later() {
        let mut notices = Notices::default();
        let waiting = entry(1, "waiting", &[], 1);
        assert!(notices.observe(&waiting, false, GiveUp::CtrlC).is_empty());
        assert!(tell(&mut notices, &waiting).is_empty());
        assert!(tell(&mut notices, &entry(1, "approved", &["ana"], 1)).is_empty());
    }

    #[test]
    fn a_raw_terminal_is_told_the_command() {
        let lines = Notices::default().observe(&entry(1, "waiting", &[], 1), true, GiveUp::Command);
        assert!(
            lines[0].ends_with("elsewhere: kubestile approvals withdraw 0000-0000-0001"),
            "{lines:?}"
        );
    }
}
