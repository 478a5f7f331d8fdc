//! `kubestile grants`.

use http::Method;
use kubestile_control::api::{
    AskAnswer, DenyRequest, ExtendRequest, GrantEntry, GrantList, ReviewRequest,
};
use kubestile_core::grant::Origin;

use super::approvals::block;
use super::{age, block_on, left, own, request};
use crate::args::access::Grants;
use crate::exit::Outcome;
use crate::output;
use crate::output::{Format, Table};

/// Lists, shows, ends, extends and reviews grants.
pub(super) fn run(args: &Grants) -> Outcome {
    match args {
        Grants::List {
            all,
            namespace,
            gate,
            output,
        } => {
            let path = if *all { "/v1/grants?all" } else { "/v1/grants" };
            let mut list: GrantList = block_on(async { own(gate).await?.get(path).await })?;
            if let Some(wanted) = namespace {
                list.grants
                    .retain(|g| g.namespaces.is_empty() || g.namespaces.contains(wanted));
            }
            show(&list, output.format)
        }
        Grants::Show { id, gate, output } => {
            let path = format!("/v1/grants/{id}");
            let grant: GrantEntry = block_on(async { own(gate).await?.get(&path).await })?;
            if output.format.is_data() {
                return output::value(output.format, &grant);
            }
            output::line_by_line(&detail(&grant))
        }
        Grants::Revoke { id, reason, gate } => {
            let body = DenyRequest {
                reason: reason.clone(),
            };
            let path = format!("/v1/grants/{id}/revoke");
            let grant: GrantEntry =
                block_on(async { own(gate).await?.send(Method::POST, &path, &body).await })?;
            output::talk(&format!("grant {} of {} has ended", grant.id, grant.holder));
            Ok(())
        }
        Grants::Extend {
            id,
            length,
            no_wait,
            gate,
            output,
        } => {
            let body = ExtendRequest {
                seconds: request::seconds(*length)?,
            };
            let path = format!("/v1/grants/{id}/extend");
            block_on(async {
                let door = own(gate).await?;
                let answer: AskAnswer = door.send(Method::POST, &path, &body).await?;
                request::settle(gate, answer, *no_wait, output.format).await
            })
        }
        Grants::Review { id, note, gate } => {
            let body = ReviewRequest { note: note.clone() };
            let path = format!("/v1/grants/{id}/review");
            let grant: GrantEntry =
                block_on(async { own(gate).await?.send(Method::POST, &path, &body).await })?;
            output::talk(&format!(
                "grant {} of {} is reviewed",
                grant.id, grant.holder
            ));
            Ok(())
        }
    }
}

fn show(list: &GrantList, format: Format) -> Outcome {
    if format.is_data() {
        return output::value(format, list);
    }
    let grants: Vec<&GrantEntry> = list.grants.iter().collect();
    table(&grants, format).print("no grants; `kubestile access` says what you may ask for")?;
    if list.truncated {
        output::talk("there are more; -o json shows as many as the gate tells");
    }
    Ok(())
}

/// Grants, one a row.
pub(super) fn table(grants: &[&GrantEntry], format: Format) -> Table {
    let mut head = vec!["GRANT", "HOLDER", "WHAT", "STATE", "TICKET", "APPROVED BY"];
    if format == Format::Wide {
        head.extend(["FROM", "AGE", "REASON"]);
    }
    let mut table = Table::new(&head);
    for grant in grants {
        let mut cells = vec![
            grant.id.to_string(),
            grant.holder.clone(),
            grant.what.clone(),
            state(grant),
            grant.ticket.clone().unwrap_or_default(),
            grant.approvers.join(","),
        ];
        if format == Format::Wide {
            cells.extend([
                origin(grant.origin).to_owned(),
                age(grant.starts),
                grant.reason.clone(),
            ]);
        }
        table.row(cells);
    }
    table
}

fn state(grant: &GrantEntry) -> String {
    let state = match &grant.ended {
        Some(why) => format!("over: {why}"),
        None => format!("{} left", left(grant.expires)),
    };
    match grant.needs_review {
        true => state + ", to be reviewed",
        false => state,
    }
}

const fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Request => "request",
        Origin::Pipeline => "pipeline",
        Origin::BreakGlass => "break-glass",
    }
}

/// A grant that has just been given.
pub(super) fn granted(grant: &GrantEntry) -> String {
    let until = grant.expires.rfc3339();
    // To the second; the fraction says nothing to a person.
    let until = until
        .split_once('.')
        .map_or(until.clone(), |(secs, _)| format!("{secs}Z"));
    format!(
        "granted: {}, for {} (until {until}), grant {}",
        grant.what,
        left(grant.expires),
        grant.id
    )
}

fn detail(grant: &GrantEntry) -> String {
    block(vec![
        ("grant", grant.id.to_string()),
        ("holder", grant.holder.clone()),
        ("gives", grant.what.clone()),
        ("state", state(grant)),
        ("from", origin(grant.origin).to_owned()),
        ("reason", grant.reason.clone()),
        ("ticket", grant.ticket.clone().unwrap_or_default()),
        ("approved by", grant.approvers.join(", ")),
        ("started", format!("{} ago", age(grant.starts))),
        ("until", grant.expires.rfc3339()),
        (
            "in the log",
            format!("kubestile audit search --grant {}", grant.id),
        ),
    ])
}
