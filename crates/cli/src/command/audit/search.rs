//! `audit search`.

use std::collections::VecDeque;

use kubestile_core::action::ActionKind;
use kubestile_core::event::{Event, Record};
use kubestile_store::audit::search::{self, Filter as Wanted, Found};

use super::rows::{self, Row};
use super::{directory, failed, settle};
use crate::args::audit::{Filter, Search};
use crate::clock;
use crate::exit::{Fail, Outcome};
use crate::output::{self, Format};

/// Searches.
pub(super) fn run(args: &Search) -> Outcome {
    let mut wanted = filter(&args.filter)?;
    let now = clock::now();
    let moment = |text: &Option<String>| match text {
        Some(text) => clock::moment(text, now).map(Some).map_err(Fail::usage),
        None => Ok(None),
    };
    (wanted.since, wanted.until) = (moment(&args.since)?, moment(&args.until)?);
    let mut found: VecDeque<Found> = VecDeque::new();
    let (mut discovery, mut more) = (0u64, 0u64);
    let dir = directory(&args.log)?;
    settle(&dir);
    for hit in search::search(&dir, &wanted).map_err(failed)? {
        let hit = hit.map_err(failed)?;
        if is_hidden(&args.filter, &hit.record) {
            discovery += 1;
            continue;
        }
        found.push_back(hit);
        if found.len() > args.limit {
            found.pop_front();
            more += 1;
        }
    }
    show(found.make_contiguous(), args.output.format)?;
    if more > 0 {
        output::talk(&format!(
            "{more} earlier ones are not shown; --limit shows more"
        ));
    }
    if discovery > 0 && !args.output.format.is_data() {
        output::talk(&format!(
            "{discovery} of discovery are not shown; --discovery shows them"
        ));
    }
    Ok(())
}

/// What was typed, as the log's own filter.
pub(super) fn filter(typed: &Filter) -> Outcome<Wanted> {
    let mut wanted = Wanted {
        person: typed.person.clone(),
        resource: typed.kind.clone(),
        name: typed.name.clone(),
        namespace: typed.namespace.clone(),
        cluster: typed.cluster.clone(),
        invocation: typed.invocation.clone(),
        request: typed.request,
        session: typed.session,
        access: typed.access,
        grant: typed.grant,
        import: typed.import,
        ..Wanted::default()
    };
    if let Some(verb) = &typed.verb {
        // An action says more than a verb (an exec is a `get` to RBAC), and most have the same name.
        if ActionKind::ALL.iter().any(|kind| kind.as_str() == verb) {
            wanted.action = Some(verb.clone());
        } else {
            wanted.verb = Some(verb.clone());
        }
    }
    wanted.decision = match typed.decision.as_deref() {
        None => None,
        Some("refused" | "refusal") => Some("refusal".to_owned()),
        Some(decision @ ("allow" | "deny" | "hold" | "imported")) => Some(decision.to_owned()),
        Some(other) => {
            return Err(Fail::usage(format!("`{other}` is not a decision")).hint(
                "allow, deny, hold, refused (before there was one), or imported (without the gate)",
            ));
        }
    };
    Ok(wanted)
}

/// Discovery drowns what people do; it is shown when it is asked for.
pub(super) fn is_hidden(typed: &Filter, record: &Record) -> bool {
    let asked = typed.discovery
        || typed.request.is_some()
        || typed.grant.is_some()
        || typed.import.is_some()
        || typed.verb.as_deref() == Some("discover");
    match &record.event {
        Event::Decision(decided) => {
            !asked && decided.decision == "allow" && decided.kube.action == "discover"
        }
        // Who was refused is worth a look, whatever it was.
        Event::Imported(imported) => {
            !asked && imported.status < 400 && imported.kube.action == "discover"
        }
        _ => false,
    }
}

fn show(found: &[Found], format: Format) -> Outcome {
    if format.is_data() {
        let rows: Vec<Row<'_>> = found.iter().map(Row::from).collect();
        return output::value(format, &rows);
    }
    let wide = format == Format::Wide;
    let mut table = rows::table(wide);
    for hit in found {
        table.row(rows::cells(hit, wide));
    }
    table.print("nothing found")
}
