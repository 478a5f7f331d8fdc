//! Counts events as they come by. Memory is bounded: every table has a limit, and what comes after it is counted.
//!
//! Several of these can work side by side, each on its own part of a log, and be joined at the end.

mod accounts;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::sync::Arc;

use kubestile_core::Timestamp;
use kubestile_rbac::least::template;
use kubestile_rbac::{Attributes, ResourceTarget, Target as Judged};

use super::event::{Event, Target, Who};
use super::{Overflow, Read, Subject, Traffic, Trials, Use};
use accounts::{Account, Room};

/// Subjects that are kept.
const SUBJECTS: usize = 20_000;
/// Different uses that are kept, of all subjects together.
const USES: usize = 200_000;
/// Different names of one resource in one place that are kept for one verb of one subject. Beyond, every name
/// counts: the generator of roles does so much earlier.
const NAMES: u32 = 64;
/// Credentials and places that are kept, of all subjects together: some hundred bytes each.
const ENTRIES: usize = 500_000;
/// Slots of time at those places that are kept, of all together: some ten bytes each.
const MOMENTS: usize = 8_000_000;
/// Groups of one subject that are kept.
const GROUPS: usize = 200;
/// Access policies of one subject that are kept; a name is at most 64 bytes.
const POLICIES: usize = 20;
/// Hours that are told apart: ten years.
const HOURS: usize = 90_000;
/// The longest name that is kept whole; Kubernetes allows 253 bytes.
const LONGEST: usize = 1024;

/// What Stratus Red Team calls itself (`useragent.StratusUserAgentPrefix` of DataDog/stratus-red-team), and what its
/// namespaces begin with.
const TRIAL: &str = "stratus-red-team";

/// What uids and extra keys of those who are impersonated belong to.
const AUTHENTICATION: &str = "authentication.k8s.io";
/// The gate's own account.
const GATE: &str = "system:serviceaccount:kubestile-system:kubestile-gate";

/// Which events to count.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only what came in at this time or later.
    pub since: Option<Timestamp>,
    /// Ids of requests in a gate's log, hashed by [`Options::request_hash`]; none if no such log was read.
    pub of_gate: Option<Arc<HashSet<u64>>>,
    /// Hashes are of this run alone: a client chooses the id of its request, and could look for two with the same
    /// hash, to hide one behind the other. Those who count together have the same.
    pub keys: RandomState,
}

impl Options {
    /// A request's id, as [`Options::of_gate`] takes it.
    #[must_use]
    pub fn request_hash(&self, id: &str) -> u64 {
        self.keys.hash_one(id)
    }
}

/// Counts so far.
#[derive(Debug, Default)]
pub struct Fold {
    options: Options,
    subjects: HashMap<String, Account>,
    uses: usize,
    room: Room,
    key: String,
    from: Option<i64>,
    until: Option<i64>,
    hours: BTreeSet<i64>,
    requests: u64,
    unauthenticated: u64,
    of_nodes: u64,
    overflow: Overflow,
    trials: Trials,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It was allowed, and answered as commands expect it.
    Used,
    /// An authorizer refused it.
    Refused,
    /// It was allowed, and went wrong.
    Failed,
    /// Nobody knows who it was.
    Unauthenticated,
}

impl Fold {
    /// Nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// Counts one event. `is_new` says whether it is the first with this hash: a stream's request has two events, and
    /// logs overlap. It is asked only for what would be counted.
    pub fn add(&mut self, event: &Event<'_>, is_new: &mut dyn FnMut(u64) -> bool) {
        let early = |since: Timestamp| event.at.is_some_and(|at| at < since.as_micros());
        if self.options.since.is_some_and(early) || !is_new(self.hash(event)) {
            return;
        }
        self.requests += 1;
        self.at(event.at);
        self.trial(event);
        let outcome = outcome(event);
        if outcome == Outcome::Unauthenticated || event.user.name.is_empty() {
            self.unauthenticated += 1;
        } else if event.user.name.starts_with("system:node:") {
            self.of_nodes += 1;
        } else {
            self.count(event, outcome);
        }
    }

    /// A request, whatever event tells of it. The id alone would not do: a client may choose it, and could hide one
    /// request behind another.
    fn hash(&self, event: &Event<'_>) -> u64 {
        let mut hasher = self.options.keys.build_hasher();
        (event.id, event.at, event.verb, event.user.name).hash(&mut hasher);
        match event.target {
            Target::Resource {
                group,
                resource,
                subresource,
                namespace,
                name,
            } => (group, resource, subresource, namespace, name).hash(&mut hasher),
            Target::Path(path) => path.hash(&mut hasher),
        }
        hasher.finish()
    }

    /// That it was no longer looked whether an event had been read before.
    pub const fn unchecked(&mut self) {
        self.overflow.unchecked += 1;
    }

    fn at(&mut self, at: Option<i64>) {
        self.from = [self.from, at].into_iter().flatten().min();
        self.until = [self.until, at].into_iter().flatten().max();
        let hour = at.map(|at| at.div_euclid(3_600_000_000));
        if self.hours.len() < HOURS {
            self.hours.extend(hour);
        }
    }

    /// Counts an attack that is one for trial.
    fn trial(&mut self, event: &Event<'_>) {
        let placed = matches!(event.target, Target::Resource { namespace, .. } if namespace.starts_with(TRIAL));
        if placed || event.agent.starts_with(TRIAL) {
            let at = event.at.map(Timestamp::from_micros);
            self.trials.join(Trials {
                requests: 1,
                first: at,
                last: at,
            });
        }
    }

    fn count(&mut self, event: &Event<'_>, outcome: Outcome) {
        let by_gate = is_gate(&event.user)
            && event
                .impersonated
                .as_ref()
                .is_some_and(|w| !w.request.is_empty());
        let effective = event.impersonated.as_ref().unwrap_or(&event.user);
        // The gate's log tells of the same request, and more of it.
        let known = self.options.of_gate.as_ref().map(|known| {
            let id = event.impersonated.as_ref().map_or("", |w| w.request);
            by_gate && known.contains(&self.options.request_hash(id))
        });
        if event.impersonated.is_some() && !by_gate {
            self.impersonation(event, effective);
        }
        if !self.knows(effective, event.at) {
            return;
        }
        let Some(account) = self.subjects.get_mut(effective.name) else {
            return;
        };
        account.requests += 1;
        account.by_gate += u64::from(by_gate);
        account.unlogged += u64::from(by_gate && known == Some(false));
        match outcome {
            Outcome::Refused => account.refused += 1,
            Outcome::Failed => account.failed += 1,
            Outcome::Used | Outcome::Unauthenticated => {}
        }
        if event.impersonated.is_none() && event.command.is_none() {
            let kept = account.came(event, &mut self.room);
            self.overflow.of_credentials += u64::from(!kept);
        }
        if known != Some(true) && matches!(outcome, Outcome::Used | Outcome::Refused) {
            let allowed = outcome == Outcome::Used;
            self.used(
                effective.name,
                &event.target,
                event.verb,
                allowed,
                event.command,
            );
        }
    }

    /// Counts a request of a gate's own log. `is_alone` says that there is no API server's log to tell of the same
    /// request once more.
    pub fn add_of_gate(&mut self, event: &Event<'_>, is_alone: bool) {
        let early = |since: Timestamp| event.at.is_some_and(|at| at < since.as_micros());
        if self.options.since.is_some_and(early) {
            return;
        }
        let outcome = outcome(event);
        if is_alone {
            self.requests += 1;
            self.at(event.at);
            self.trial(event);
        }
        if !self.knows(&event.user, event.at) {
            return;
        }
        if is_alone && let Some(account) = self.subjects.get_mut(event.user.name) {
            account.requests += 1;
            account.by_gate += 1;
            account.refused += u64::from(outcome == Outcome::Refused);
        }
        if matches!(outcome, Outcome::Used | Outcome::Refused) {
            let allowed = outcome == Outcome::Used;
            self.used(
                event.user.name,
                &event.target,
                event.verb,
                allowed,
                event.command,
            );
        }
    }

    /// The right to be somebody else, which they used too, whatever became of the request: only who may be somebody
    /// is them in a log.
    fn impersonation(&mut self, event: &Event<'_>, whom: &Who<'_>) {
        if !self.knows(&event.user, event.at) {
            return;
        }
        // The plain right is for users of the core group, any other for those of another.
        let (verb, of) = match whom.constraint {
            "" => ("impersonate", ""),
            constraint => (constraint, AUTHENTICATION),
        };
        let mut uses =
            |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
                let target = Target::Resource {
                    group,
                    resource,
                    subresource,
                    namespace,
                    name,
                };
                self.used(event.user.name, &target, verb, true, None);
            };
        match kubestile_rbac::Identity::from_user_name(whom.name) {
            kubestile_rbac::Identity::ServiceAccount { namespace, name } => {
                uses(of, "serviceaccounts", "", &namespace, &name);
            }
            _ => uses(of, "users", "", "", whom.name),
        }
        // The API server adds these by itself.
        let implicit = ["system:authenticated", "system:serviceaccounts"];
        let named = |g: &&&str| !implicit.iter().any(|i| g.starts_with(i));
        for group in whom.groups.iter().filter(named) {
            uses(of, "groups", "", "", group);
        }
        if !whom.uid.is_empty() {
            uses(AUTHENTICATION, "uids", "", "", whom.uid);
        }
        for (key, value) in &whom.extras {
            uses(AUTHENTICATION, "userextras", key, "", value);
        }
        if let Some(mode) = whom.constraint.strip_prefix("impersonate:") {
            let verb = format!("impersonate-on:{mode}:{}", event.verb);
            self.used(event.user.name, &event.target, &verb, true, None);
        }
    }

    /// Whether there is an account of them, or room for one.
    fn knows(&mut self, who: &Who<'_>, at: Option<i64>) -> bool {
        if who.name.len() > LONGEST
            || (!self.subjects.contains_key(who.name) && self.subjects.len() >= SUBJECTS)
        {
            self.overflow.of_subjects += 1;
            return false;
        }
        if !self.subjects.contains_key(who.name) {
            self.subjects
                .insert(who.name.to_owned(), Account::default());
        }
        let Some(account) = self.subjects.get_mut(who.name) else {
            return false;
        };
        account.seen(at);
        let room = account.policies.len() < POLICIES && who.policy.len() <= 64;
        if room && !who.policy.is_empty() && !account.policies.contains(who.policy) {
            account.policies.insert(who.policy.to_owned());
        }
        for group in &who.groups {
            let fits = account.groups.len() < GROUPS && group.len() <= LONGEST;
            if fits && !account.groups.contains(*group) {
                account.groups.insert((*group).to_owned());
            }
        }
        true
    }

    fn used(
        &mut self,
        who: &str,
        target: &Target<'_>,
        verb: &str,
        allowed: bool,
        command: Option<&str>,
    ) {
        let Some(account) = self.subjects.get_mut(who) else {
            return;
        };
        let (parts, name) = match target {
            Target::Resource {
                group,
                resource,
                subresource,
                namespace,
                name,
            } => ([*group, *resource, *subresource, *namespace], *name),
            Target::Path(path) => (["", "", "", path], ""),
        };
        // No name of Kubernetes has a zero byte, which parts keys here.
        let odd = |part: &&str| part.len() > LONGEST || part.contains('\0');
        if parts.iter().chain([&verb, &name]).any(odd) {
            self.overflow.of_uses += 1;
            return;
        }
        let key = &mut self.key;
        key.clear();
        key.push(if allowed { '+' } else { '-' });
        for part in [verb, command.unwrap_or_default()].into_iter().chain(parts) {
            key.push_str(part);
            key.push('\0');
        }
        let prefix = key.len();
        if !name.is_empty() {
            key.push_str(&template(name));
        }
        if let Some(count) = account.uses.get_mut(key.as_str()) {
            count.count += 1;
            return;
        }
        // Before anything of it is kept.
        if self.uses >= USES {
            self.overflow.of_uses += 1;
            return;
        }
        let mut kept = name;
        if !name.is_empty() {
            let (place, _) = key.split_at_checked(prefix).unwrap_or_default();
            if !account.room_for_name(place, NAMES) {
                key.truncate(prefix);
                kept = "";
                if let Some(count) = account.uses.get_mut(key.as_str()) {
                    count.count += 1;
                    return;
                }
            }
        }
        self.uses += 1;
        let found = Use {
            attributes: attributes(verb, target, kept),
            allowed,
            count: 1,
            command: command.map(str::to_owned),
        };
        account.uses.insert(key.as_str().into(), found);
    }

    /// Both together.
    pub fn join(&mut self, other: Self) {
        self.requests += other.requests;
        self.unauthenticated += other.unauthenticated;
        self.of_nodes += other.of_nodes;
        self.from = [self.from, other.from].into_iter().flatten().min();
        self.until = [self.until, other.until].into_iter().flatten().max();
        self.hours.extend(other.hours);
        self.overflow.of_subjects += other.overflow.of_subjects;
        self.overflow.of_uses += other.overflow.of_uses;
        self.overflow.of_credentials += other.overflow.of_credentials;
        self.overflow.unchecked += other.overflow.unchecked;
        self.trials.join(other.trials);
        for (name, account) in other.subjects {
            if !self.subjects.contains_key(&name) && self.subjects.len() >= SUBJECTS {
                self.overflow.of_subjects += account.requests;
                continue;
            }
            let mine = self.subjects.entry(name).or_default();
            self.overflow.of_credentials +=
                mine.join(account, &mut self.uses, &mut self.room, (USES, NAMES));
        }
    }

    /// What came out, of these sources.
    #[must_use]
    pub fn finish(self, sources: Vec<Read>) -> Traffic {
        let stamp = |at: Option<i64>| at.map(Timestamp::from_micros);
        let mut subjects: Vec<Subject> = self
            .subjects
            .into_iter()
            .map(|(name, account)| account.finish(name))
            .collect();
        subjects.sort_by(|a, b| a.name.cmp(&b.name));
        Traffic {
            sources,
            from: stamp(self.from),
            until: stamp(self.until),
            hours: u32::try_from(self.hours.len()).unwrap_or(u32::MAX),
            requests: self.requests,
            unauthenticated: self.unauthenticated,
            of_nodes: self.of_nodes,
            with_gate_log: self.options.of_gate.is_some(),
            overflow: self.overflow,
            trials: self.trials,
            subjects,
        }
    }
}

fn is_gate(user: &Who<'_>) -> bool {
    user.name == GATE
}

/// Who may, may. What was not found, or was there already, is an answer that commands go on from: `apply` looks
/// first. Anything else that failed shows no need.
const fn outcome(event: &Event<'_>) -> Outcome {
    match (event.authorized, event.code) {
        (Some(false), _) | (None, 403) => Outcome::Refused,
        (None, 401) => Outcome::Unauthenticated,
        (_, 0..=399 | 404 | 409) => Outcome::Used,
        _ => Outcome::Failed,
    }
}

fn attributes(verb: &str, target: &Target<'_>, name: &str) -> Attributes {
    let target = match target {
        Target::Resource {
            group,
            resource,
            subresource,
            namespace,
            ..
        } => Judged::Resource(ResourceTarget {
            group: (*group).to_owned(),
            resource: (*resource).to_owned(),
            subresource: (*subresource).to_owned(),
            namespace: (*namespace).to_owned(),
            name: name.to_owned(),
        }),
        Target::Path(path) => Judged::Path((*path).to_owned()),
    };
    Attributes {
        verb: verb.to_owned(),
        target,
    }
}

#[cfg(test)]
mod tests;
