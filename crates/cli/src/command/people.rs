//! `kubestile people`.

use http::Method;
use kubestile_control::api::{AddPerson, CodeAnswer, Empty, PersonEntry, PersonList, SetFunctions};
use kubestile_core::JobFunction;
use kubestile_core::identity::check_person_name;

use super::{admin, block_on, left, list};
use crate::args::admin::People;
use crate::client::Door;
use crate::exit::{Fail, Outcome};
use crate::output;
use crate::output::{Format, Table};

/// Manages people through the admin socket.
pub(super) fn run(args: People) -> Outcome {
    match args {
        People::Add {
            name,
            functions,
            groups,
            no_code,
            state,
            output,
        } => {
            let door = admin(&state)?;
            block_on(async {
                add(&door, &name, functions, groups).await?;
                if no_code {
                    return Ok(());
                }
                code(&door, &name, output.format).await
            })
        }
        People::List { state, output } => {
            let people: PersonList = block_on(admin(&state)?.get("/v1/people"))?;
            show(&people, output.format)
        }
        People::Remove { name, state } => {
            let path = path(&name)?;
            let _gone: serde_json::Value =
                block_on(admin(&state)?.send(Method::DELETE, &path, &Empty {}))?;
            output::talk(&format!("{name} removed; their sessions have ended"));
            Ok(())
        }
        People::Functions {
            name,
            functions,
            none: _,
            state,
        } => {
            let path = format!("{}/functions", path(&name)?);
            let body = SetFunctions { functions };
            let person: PersonEntry = block_on(admin(&state)?.send(Method::PUT, &path, &body))?;
            output::talk(&match person.functions.is_empty() {
                true => format!("{name} has no job function now"),
                false => format!("{name} is now {}", list(&person.functions)),
            });
            Ok(())
        }
        People::Code {
            name,
            state,
            output,
        } => block_on(code(&admin(&state)?, &name, output.format)),
    }
}

/// Adds a person; without a job function they can do nothing, so the default is to look.
async fn add(
    door: &Door,
    name: &str,
    mut functions: Vec<JobFunction>,
    groups: Vec<String>,
) -> Outcome {
    check_person_name(name).map_err(|e| Fail::usage(e.to_string()))?;
    if functions.is_empty() {
        functions.push("viewer".parse()?);
    }
    let body = AddPerson {
        name: name.to_owned(),
        functions,
        groups,
    };
    let person: PersonEntry = door.send(Method::POST, "/v1/people", &body).await?;
    output::talk(&format!(
        "{} added as {}",
        person.name,
        list(&person.functions)
    ));
    Ok(())
}

/// Prints a new login code as the command to type.
async fn code(door: &Door, name: &str, format: Format) -> Outcome {
    let path = format!("{}/codes", path(name)?);
    let code: CodeAnswer = door.send(Method::POST, &path, &Empty {}).await?;
    if format.is_data() {
        return output::value(format, &code);
    }
    output::talk(&format!("for {name}, once, within {}:", left(code.expires)));
    output::line(&login_line(&code))
}

/// The exact next command.
pub(super) fn login_line(code: &CodeAnswer) -> String {
    format!(
        "kubestile login {} --code {} --ca-fingerprint sha256:{}",
        code.url,
        code.code.expose(),
        code.authority
    )
}

/// A name that is a person's needs no escaping in a path but for `@` and `+`, which may stand there.
fn path(name: &str) -> Outcome<String> {
    check_person_name(name).map_err(|e| Fail::usage(e.to_string()))?;
    if matches!(name, "." | "..") {
        return Err(Fail::usage(format!(
            "`{name}` cannot be the name of a person"
        )));
    }
    Ok(format!("/v1/people/{name}"))
}

fn show(people: &PersonList, format: Format) -> Outcome {
    if format.is_data() {
        return output::value(format, people);
    }
    let mut table = Table::new(&["NAME", "FUNCTIONS", "GROUPS", "SESSIONS"]);
    for person in &people.people {
        table.row([
            person.name.clone(),
            list(&person.functions),
            list(&person.groups),
            person.live_sessions.to_string(),
        ]);
    }
    table.print("nobody yet; `kubestile people add NAME` adds somebody")
}
