//! `kubestile break-glass`: rights at once, for people whom a policy names, before everybody's eyes; and a
//! sealed way in for the day on which the gate is dead.

mod seal;
mod way;

use http::Method;
use kubestile_control::api::GrantEntry;
use kubestile_core::Ttl;

use super::{block_on, grants, list, own, request};
use crate::args::access::{BreakGlass, Terms};
use crate::args::break_glass::WithoutGate;
use crate::exit::{Fail, Outcome};
use crate::output;

/// Takes the rights from a gate that runs, or goes without one.
pub(super) fn run(args: &BreakGlass) -> Outcome {
    match (&args.without_gate, &args.terms, &args.reason) {
        (Some(WithoutGate::Seal(args)), ..) => seal::seal(args),
        (Some(WithoutGate::Unseal(args)), ..) => seal::unseal(args),
        (Some(WithoutGate::Open(args)), ..) => way::open(args),
        (Some(WithoutGate::Drill(args)), ..) => way::drill(args),
        (None, Some(terms), Some(reason)) => take(args, terms, reason),
        (None, ..) => Err(Fail::usage("say what you need: --role, --for and --reason")),
    }
}

/// Says what it means, asks, and takes the rights.
fn take(args: &BreakGlass, terms: &Terms, reason: &str) -> Outcome {
    if reason.trim().is_empty() {
        return Err(Fail::usage("say why with --reason: everybody is told"));
    }
    let body = request::body(terms, reason)?;
    output::talk(&warning(terms, reason)?);
    if !args.yes {
        match output::ask("break the glass?") {
            Some(true) => {}
            Some(false) => return Err(Fail::failure("nothing was done, and nobody is told")),
            None => {
                return Err(Fail::usage("there is no terminal to ask on")
                    .hint("--yes goes on without a question"));
            }
        }
    }
    let grant: GrantEntry = block_on(async {
        let door = own(&args.gate).await?;
        door.send(Method::POST, "/v1/break-glass", &body).await
    })?;
    if args.output.format.is_data() {
        return output::value(args.output.format, &grant);
    }
    output::talk("EVERYBODY HAS BEEN TOLD. End it as soon as you can:");
    output::talk(&format!(
        "  kubestile grants revoke {} --reason 'done'",
        grant.id
    ));
    output::line(&grants::granted(&grant))
}

fn warning(terms: &Terms, reason: &str) -> Outcome<String> {
    let place = match terms.namespaces.as_slice() {
        [] => "the whole cluster".to_owned(),
        names => list(names),
    };
    let cluster = match &terms.cluster {
        Some(cluster) => format!(" on {cluster}"),
        None => String::new(),
    };
    let length = Ttl::from_secs(request::seconds(terms.length)?);
    Ok(format!(
        "\
BREAK GLASS
  {} in {place}{cluster}, for {length}, at once and without an approval
  because: {}

  EVERYBODY IS TOLD: who you are, what you took, and why.
  EVERYTHING YOU DO with it is recorded.
  SOMEBODY ELSE REVIEWS IT within 24 hours.
",
        terms.role,
        output::escape(reason)
    ))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_says_plainly_what_it_means() {
        let terms = Terms {
            role: "admin".to_owned(),
            namespaces: vec!["shop".parse().unwrap()],
            cluster: Some("prod".parse().unwrap()),
            objects: Vec::new(),
            length: Duration::from_secs(1800),
            ticket: None,
        };
        let said = warning(&terms, "down\n  nothing is recorded").unwrap();
        assert!(said.contains("EVERYBODY IS TOLD"));
        assert!(
            said.contains("admin in shop on prod, for 30m0s, at once"),
            "{said}"
        );
        assert!(
            said.contains("because: down\\u{a}  nothing"),
            "one line: {said}"
        );
    }
}
