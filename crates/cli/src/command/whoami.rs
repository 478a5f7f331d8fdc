//! `kubestile whoami`.

use kubestile_control::api::WhoAmI;

use super::{block_on, left, list};
use crate::args::client::Whoami;
use crate::exit::Outcome;
use crate::login::Login;
use crate::{credential, output};

/// Shows who the gate takes us for.
pub(super) fn run(args: &Whoami) -> Outcome {
    let login = Login::find(args.gate.url.as_ref())?;
    let me: WhoAmI = block_on(async {
        let certificate = credential::current(&login).await?;
        login.door(Some(&certificate))?.get("/v1/whoami").await
    })?;
    if args.output.format.is_data() {
        return output::value(args.output.format, &me);
    }
    let functions = if me.functions.is_empty() {
        "none".to_owned()
    } else {
        list(&me.functions)
    };
    let mut rows = vec![
        ("person", me.person),
        ("functions", functions),
        ("groups", list(&me.groups)),
        (
            "session",
            format!("{}, {} left", me.session, left(me.session_expires)),
        ),
        ("logged in with", word(&me.assurance)),
        ("gate", login.record().url.clone()),
        ("seen from", me.source),
    ];
    rows.retain(|(_, value)| !value.is_empty());
    for (name, value) in rows {
        output::line(&format!("{name:<16}{value}"))?;
    }
    Ok(())
}

/// An enumeration's word, as it stands in JSON.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
