//! `kubestile sessions`.

use http::Method;
use kubestile_control::api::{EndAnswer, EndRequest, SessionEntry, SessionList};
use kubestile_core::SessionId;

use super::{admin, age, block_on, left, own};
use crate::args::client::Sessions;
use crate::client::Door;
use crate::exit::{Fail, Outcome};
use crate::output;
use crate::output::{Format, Table};

/// Lists or ends sessions.
pub(super) fn run(args: &Sessions) -> Outcome {
    match args {
        Sessions::List {
            all,
            gate,
            state,
            output,
        } => {
            let list: SessionList = block_on(async {
                let door = if *all {
                    admin(state)?
                } else {
                    own(gate).await?
                };
                door.get("/v1/sessions").await
            })?;
            show(&list, output.format)
        }
        Sessions::End {
            session,
            all,
            person,
            gate,
            state,
        } => block_on(async {
            let door = if *all {
                admin(state)?
            } else {
                own(gate).await?
            };
            match (session, person) {
                (Some(session), _) => end(&door, *session).await,
                (None, Some(person)) => end_all_of(&door, person).await,
                (None, None) => Err(Fail::usage("say which session")),
            }
        }),
    }
}

async fn end(door: &Door, session: SessionId) -> Outcome {
    let path = format!("/v1/sessions/{session}/end");
    let answer: EndAnswer = door
        .send(Method::POST, &path, &EndRequest::default())
        .await?;
    output::talk(&match answer.ended {
        true => format!("session {session} ended"),
        false => format!("session {session} had ended already"),
    });
    Ok(())
}

async fn end_all_of(door: &Door, person: &str) -> Outcome {
    let list: SessionList = door.get("/v1/sessions").await?;
    let live: Vec<SessionId> = list
        .sessions
        .iter()
        .filter(|s| s.person == person && s.ended.is_none())
        .map(|s| s.id)
        .collect();
    if live.is_empty() {
        output::talk(&format!("{person} has no session"));
    }
    for session in live {
        end(door, session).await?;
    }
    Ok(())
}

fn show(list: &SessionList, format: Format) -> Outcome {
    if format.is_data() {
        return output::value(format, list);
    }
    let mut table = Table::new(&["SESSION", "PERSON", "AGE", "STATE", "CLIENT"]);
    for session in &list.sessions {
        table.row([
            session.id.to_string(),
            session.person.clone(),
            age(session.created),
            state(session),
            session.client.clone(),
        ]);
    }
    table.print("no sessions")?;
    if list.truncated {
        output::talk("there are more; -o json shows as many as the gate tells");
    }
    Ok(())
}

fn state(session: &SessionEntry) -> String {
    let this = if session.current { " (this one)" } else { "" };
    match &session.ended {
        Some(why) => format!("over: {why}"),
        None => format!("{} left{this}", left(session.expires)),
    }
}
