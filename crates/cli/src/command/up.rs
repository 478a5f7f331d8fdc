//! `kubestile up`: a gate before a cluster, from nothing.

use http::Method;
use kubestile_cluster::account::Installed;
use kubestile_control::api::{AddPerson, CodeAnswer, Empty, PersonEntry};
use kubestile_core::ClusterName;
use kubestile_core::identity::check_person_name;
use kubestile_store::Store;

use super::cluster::{self, administrator, name_from_context, not_installed};
use super::people::login_line;
use super::{left, list};
use crate::args::server::Up;
use crate::client::Door;
use crate::config::Config;
use crate::exit::{Fail, Outcome};
use crate::files;
use crate::kubeconfig;
use crate::output;
use crate::serve::{self, ADMIN_SOCKET, Server};

/// Where further policies are, in the state directory.
const POLICIES: &str = "policies";

/// Runs it, until a signal.
pub(super) fn run(args: Up) -> Outcome {
    let config = configure(&args)?;
    serve::start_logging(&config.logging)?;
    serve::block_on(up(&args, &config))
}

fn configure(args: &Up) -> Outcome<Config> {
    let mut config = Config::defaults(args.state.path()?)?;
    config.listen = args.listen;
    config.public_url = args.public_url.clone();
    config.health = args.health;
    config.settings.holds.usual = args.hold.into();
    config.policies.dirs = vec![match &args.policies {
        Some(dir) => std::path::absolute(dir)?,
        // A place for what `advance apply` writes, or who looks after the gate.
        None => {
            let dir = config.state_dir.join(POLICIES);
            files::private_dir(&config.state_dir)?;
            files::private_dir(&dir)?;
            dir
        }
    }];
    config.logging.1 = "warn,kubestile=info".to_owned();
    Ok(config)
}

async fn up(args: &Up, config: &Config) -> Outcome {
    if !config.state_dir.join("state.db").exists() {
        // Said before anything is made.
        wanted_context(args)?;
    }
    let server = Server::build(config).await?;
    let added = new_cluster(args, server.store()).await?;
    let person = new_person(args, server.store())?;
    let door = Door::Admin(config.state_dir.join(ADMIN_SOCKET));
    let (url, health, stop) = (server.url().clone(), server.health(), server.stopper());
    let store = server.store().clone();
    let running = tokio::spawn(server.run());
    let welcome = async {
        let code = introduce(&door, added, person).await?;
        output::talk("");
        output::talk(&format!("gate       {url}"));
        output::talk(&format!("clusters   {}", clusters(&store)));
        output::talk(&format!("state      {}", config.state_dir.display()));
        if let Some(address) = health {
            output::talk(&format!("health     http://{address}/readyz, /metrics"));
        }
        invite(args, code.as_ref(), &store)
    };
    if let Err(fail) = welcome.await {
        stop.cancel();
        running.await??;
        return Err(fail);
    }
    drop(store);
    running.await?
}

/// The cluster that is to be added, if there is one: on the first start, or when it is named.
async fn new_cluster(
    args: &Up,
    store: &Store,
) -> Outcome<Option<(ClusterName, String, Installed)>> {
    let wanted = args.context.is_some() || args.cluster.is_some() || store.clusters().is_empty();
    if !wanted {
        return Ok(None);
    }
    let context = wanted_context(args)?;
    let name = match &args.cluster {
        Some(name) => name.clone(),
        None => name_from_context(&context)?,
    };
    if store.cluster(&name).is_some() {
        return Ok(None);
    }
    let (context, upstream) = administrator(Some(&context)).await?;
    match cluster::install(&name, &upstream, args.yes).await? {
        Some(installed) => Ok(Some((name, context, installed))),
        None => Err(not_installed()),
    }
}

/// The context that was named, or the current one.
fn wanted_context(args: &Up) -> Outcome<String> {
    match &args.context {
        Some(context) => Ok(context.clone()),
        None => kubeconfig::current_context()?.ok_or_else(no_context),
    }
}

fn no_context() -> Fail {
    Fail::failure(
        "there is no cluster to put the gate before: your kubeconfig has no current context",
    )
    .hint("name a context: kubestile up --context CONTEXT")
    .hint("no cluster at hand? `cargo xtask quickstart` in Kubestile's repository starts one")
}

/// The person that is to be added, if there is one: on the first start, or when they are named.
fn new_person(args: &Up, store: &Store) -> Outcome<Option<AddPerson>> {
    let name = match &args.person {
        Some(name) => name.clone(),
        None if !store.people().is_empty() => return Ok(None),
        None => user_name(),
    };
    check_person_name(&name)
        .map_err(|e| Fail::usage(e.to_string()).hint("name one with --person"))?;
    if store.person_by_name(&name).is_some() {
        return Ok(None);
    }
    let functions = match args.functions.as_slice() {
        [] => vec!["viewer".parse()?],
        functions => functions.to_vec(),
    };
    Ok(Some(AddPerson {
        name,
        functions,
        groups: Vec::new(),
    }))
}

fn user_name() -> String {
    ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
        .unwrap_or_else(|| "me".to_owned())
}

/// Tells the running gate of its first cluster and person, as `cluster add` and `people add` do.
async fn introduce(
    door: &Door,
    added: Option<(ClusterName, String, Installed)>,
    person: Option<AddPerson>,
) -> Outcome<Option<CodeAnswer>> {
    if let Some((name, context, installed)) = added {
        cluster::put(door, &name, &context, installed).await?;
    }
    let Some(person) = person else {
        return Ok(None);
    };
    let path = format!("/v1/people/{}/codes", person.name);
    let entry: PersonEntry = door.send(Method::POST, "/v1/people", &person).await?;
    output::talk(&format!(
        "{} added as {}",
        entry.name,
        list(&entry.functions)
    ));
    let code: CodeAnswer = door.send(Method::POST, &path, &Empty {}).await?;
    Ok(Some(code))
}

fn clusters(store: &Store) -> String {
    let all: Vec<String> = store
        .clusters()
        .iter()
        .map(|c| format!("{} ({})", c.name, c.server))
        .collect();
    all.join(", ")
}

/// The exact next command, alone on stdout; what it is, on stderr.
fn invite(args: &Up, code: Option<&CodeAnswer>, store: &Store) -> Outcome {
    output::talk("");
    if let Some(code) = code {
        output::talk(&format!(
            "Log in from another terminal (the code works once, for {}):",
            left(code.expires)
        ));
        output::talk("");
        output::line(&login_line(code))?;
        output::talk("");
        output::talk(
            "then kubectl goes through the gate. Ctrl-C here stops it; `kubestile up` starts it again.",
        );
        return Ok(());
    }
    let now = crate::clock::now();
    let live = store
        .sessions()
        .iter()
        .filter(|s| s.check(now).is_ok())
        .count();
    output::talk(&match live {
        1 => "1 session holds.".to_owned(),
        n => format!("{n} sessions hold."),
    });
    if let Some(person) = store.people().first() {
        let dir = match &args.state.dir {
            Some(dir) => format!(" --dir {}", dir.display()),
            None => String::new(),
        };
        output::talk(&format!(
            "For a login code: kubestile people code {}{dir}",
            person.name
        ));
    }
    Ok(())
}
