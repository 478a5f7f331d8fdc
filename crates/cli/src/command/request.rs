//! `kubestile request`: asks for a grant and waits for the answer.

use std::time::{Duration, Instant};

use http::Method;
use kubestile_control::api::{AccessEntry, AccessList, AskAnswer, AskRequest, Empty, GrantEntry};
use kubestile_core::{AccessId, GrantId};

use super::approvals::WAIT_SECS;
use super::{block_on, grants, left, own};
use crate::args::access::{Request, Terms};
use crate::args::client::Gate;
use crate::clock::now;
use crate::companion::notices::{GiveUp, approved, waiting};
use crate::exit::{Fail, Kind, Outcome};
use crate::output;
use crate::output::{Format, Spinner};

/// Calls start at least this far apart, whatever the gate answers.
const APART: Duration = Duration::from_millis(300);
/// How long a grant may take to start once it is approved: as long as its ticket's system may take to answer.
const START: Duration = Duration::from_secs(15);
/// After a call that failed.
const PAUSE: Duration = Duration::from_secs(2);

/// Asks, waits, prints the grant.
pub(super) fn run(args: &Request) -> Outcome {
    let body = body(&args.terms, &args.reason)?;
    block_on(async {
        let door = own(&args.gate).await?;
        let answer: AskAnswer = door.send(Method::POST, "/v1/access", &body).await?;
        settle(&args.gate, answer, args.no_wait, args.output.format).await
    })
}

/// What is asked for, as the gate reads it.
pub(super) fn body(terms: &Terms, reason: &str) -> Outcome<AskRequest> {
    Ok(AskRequest {
        role: terms.role.clone(),
        cluster: terms.cluster.clone(),
        namespaces: terms.namespaces.clone(),
        objects: terms.objects.clone(),
        seconds: seconds(terms.length)?,
        ticket: terms.ticket.clone(),
        reason: reason.to_owned(),
    })
}

/// A length of time, as the gate reads it.
pub(super) fn seconds(length: Duration) -> Outcome<u32> {
    u32::try_from(length.as_secs()).map_err(|_| Fail::usage("--for is too long"))
}

/// Prints the grant, once there is one.
pub(super) async fn settle(
    gate: &Gate,
    answer: AskAnswer,
    no_wait: bool,
    format: Format,
) -> Outcome {
    let asked = match (answer.grant.as_ref(), answer.request.as_ref()) {
        (Some(grant), _) => return show(grant, format),
        (None, Some(asked)) => asked,
        (None, None) => {
            return Err(
                Fail::failure("the gate gave neither a grant nor a request").hint(
                    "are the gate and this client of the same version? see `kubestile version`",
                ),
            );
        }
    };
    if no_wait {
        if format.is_data() {
            return output::value(format, &answer);
        }
        output::talk(&waiting(asked, GiveUp::Command));
        return output::line(&asked.id.to_string());
    }
    let answered = tokio::select! {
        answered = wait(gate, asked) => answered?,
        _ = tokio::signal::ctrl_c() => return withdraw(gate, asked.id).await,
    };
    not_denied(&answered)?;
    show(&started(gate, asked.id).await?, format)
}

/// The grant of a request that was approved. Before it starts it is judged once more and its ticket is asked
/// for, which takes a moment, and may come to nothing.
async fn started(gate: &Gate, id: AccessId) -> Outcome<GrantEntry> {
    let path = format!("/v1/grants/{}", GrantId::of(id));
    let deadline = Instant::now() + START;
    loop {
        let found: Outcome<GrantEntry> = own(gate).await?.get(&path).await;
        match found {
            Ok(grant) => return Ok(grant),
            Err(_) if Instant::now() < deadline => tokio::time::sleep(APART).await,
            Err(fail) => {
                return Err(fail
                    .during(&format!("request {id} is approved, but no grant started"))
                    .hint("whoever approved it was told why; ask again"));
            }
        }
    }
}

/// Waits until the request waits no more.
async fn wait(gate: &Gate, asked: &AccessEntry) -> Outcome<AccessEntry> {
    let spinner = Spinner::start("waiting");
    spinner.say(&waiting(asked, GiveUp::CtrlC));
    let (mut after, mut told) = (None, 0);
    loop {
        let start = Instant::now();
        match poll(gate, asked.id, after).await {
            Ok((entry, seen)) => {
                for (nth, name) in entry.approved_by.iter().enumerate().skip(told) {
                    spinner.say(&approved(&entry, name, nth + 1));
                }
                told = entry.approved_by.len();
                if entry.state != "waiting" {
                    return Ok(entry);
                }
                after = Some(seen);
                tokio::time::sleep(APART.saturating_sub(start.elapsed())).await;
            }
            // A gate that starts anew still knows what waited.
            Err(fail) if fail.of_kind() == Kind::Unavailable && now() < asked.expires => {
                spinner.show("the gate does not answer; still trying");
                after = None;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(fail) => return Err(fail),
        }
        spinner.show(&format!("waiting, {} left", left(asked.expires)));
    }
}

/// The request as it stands, when there is news or a while has passed.
async fn poll(gate: &Gate, id: AccessId, after: Option<u64>) -> Outcome<(AccessEntry, u64)> {
    // A certificate may end while we wait: it is looked at each time.
    let door = own(gate).await?;
    let path = match after {
        Some(seen) => format!("/v1/access?mine&after={seen}&wait={WAIT_SECS}"),
        None => "/v1/access?mine".to_owned(),
    };
    let list: AccessList = door.get(&path).await?;
    let seen = list.seen;
    match list.requests.into_iter().find(|r| r.id == id) {
        Some(entry) => Ok((entry, seen)),
        None => Ok((door.get(&format!("/v1/access/{id}")).await?, seen)),
    }
}

/// Takes the request back after Ctrl-C. It may have been answered in the same moment.
async fn withdraw(gate: &Gate, id: AccessId) -> Outcome {
    let path = format!("/v1/access/{id}/withdraw");
    let door = own(gate).await?;
    let done: Outcome<AccessEntry> = door.send(Method::POST, &path, &Empty {}).await;
    match done {
        Ok(entry) => not_denied(&entry),
        Err(fail) => Err(fail
            .during(&format!("request {id} could not be taken back"))
            .hint(format!("see `kubestile approvals show {id}`"))),
    }
}

/// The error of a request that came to nothing.
fn not_denied(entry: &AccessEntry) -> Outcome {
    let (id, why) = (entry.id, &entry.outcome);
    let fail = |message: String| Err(Fail::new(Kind::Denied, message));
    match entry.state.as_str() {
        "approved" => Ok(()),
        "denied" => match why.split_once(": ") {
            Some((by, reason)) => fail(format!("denied by {by}: {reason}")),
            None => fail(format!("denied {why}")),
        },
        "expired" => Err(Fail::new(
            Kind::Denied,
            format!("nobody answered request {id} in time"),
        )
        .hint("ask again when somebody can look at it")),
        _ if why.is_empty() => fail(format!("request {id} was withdrawn")),
        _ => fail(format!("request {id} was withdrawn: {why}")),
    }
}

fn show(grant: &GrantEntry, format: Format) -> Outcome {
    if format.is_data() {
        return output::value(format, grant);
    }
    output::line(&grants::granted(grant))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::approvals::tests::entry;

    #[test]
    fn how_a_request_that_came_to_nothing_is_said() {
        for (state, outcome, said) in [
            (
                "denied",
                "ana: not now: backup",
                "denied by ana: not now: backup",
            ),
            (
                "withdrawn",
                "the requester took it back",
                "was withdrawn: the requester took it back",
            ),
            ("expired", "", "in time"),
        ] {
            let mut entry = entry(1);
            entry.state = state.to_owned();
            entry.outcome = outcome.to_owned();
            let fail = not_denied(&entry).unwrap_err();
            assert_eq!(fail.of_kind(), Kind::Denied);
            assert!(fail.message().ends_with(said), "{fail}");
        }
        let mut approved = entry(1);
        approved.state = "approved".to_owned();
        not_denied(&approved).unwrap();
    }

    #[test]
    fn no_length_is_cut_short() {
        assert_eq!(seconds(Duration::from_secs(7200)).unwrap(), 7200);
        assert!(seconds(Duration::from_secs(1 << 32)).is_err());
    }
}
