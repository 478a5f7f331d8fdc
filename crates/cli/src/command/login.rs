//! `kubestile login`: a key made here, a code, a session; then contexts that hold no secret.

mod pipeline;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use kubestile_authn::ClientKey;
use kubestile_control::api::{
    ClusterEntry, ClusterList, Empty, EndAnswer, LoginAnswer, LoginRequest,
};
use kubestile_core::Secret;

use super::{block_on, left};
use crate::args::client::Login as Args;
use crate::client::{Door, GateUrl, Trust};
use crate::clock::now;
use crate::exit::{During as _, Fail, Outcome};
use crate::login::{self, Certificate, Login, Record};
use crate::{credential, files, kubeconfig, output};

/// Logs in; without a code, where a session holds already, only brings the contexts up to date.
pub(super) fn run(args: &Args) -> Outcome {
    if args.pipeline {
        return pipeline::run(args);
    }
    check_prefix(&args.context_prefix)?;
    // Looked at first: a code is used up by the attempt.
    let kubeconfig = std::path::absolute(kubeconfig::path()?)?;
    kubeconfig::edit(&kubeconfig, |_| ())?;
    if args.code.is_none()
        && let Some(login) = live(args)?
    {
        return refresh(args, &login, &kubeconfig);
    }
    let trust = trust(args)?;
    let code = code(args)?;
    let key = ClientKey::generate()?;
    let request = LoginRequest {
        code,
        csr: key.csr_pem()?,
        client: client_name(),
    };
    let (answer, authority) = block_on(exchange(&args.url, &trust, &request))?;
    let whom = answer.person.clone();
    keep(args, kubeconfig, &key, (answer, authority), &whom)
}

/// Keeps a new login in the place of an older one, with the authority that is trusted from now on, and
/// writes its contexts.
fn keep(
    args: &Args,
    kubeconfig: PathBuf,
    key: &ClientKey,
    (answer, authority): (LoginAnswer, String),
    whom: &str,
) -> Outcome {
    let certificate = Certificate {
        pem: answer.certificate,
        received: now(),
        not_after: answer.not_after,
        session_expires: answer.session_expires,
    };
    if !certificate.holds(now()) {
        output::talk("the certificate has expired already: check the clock of this machine");
    }
    let record = Record {
        url: args.url.to_string(),
        authority,
        session: answer.session,
        person: answer.person,
        expires: answer.session_expires,
        context_prefix: args.context_prefix.clone(),
        kubeconfig: kubeconfig.clone(),
    };
    let dir = Login::directory(&args.url)?;
    end_older(&dir);
    let login = Login::create(dir, record, &key.key_pem(), &certificate)?;
    let written = write_contexts(args, &answer.clusters, &login)?;
    let (url, left) = (&args.url, left(answer.session_expires));
    output::talk(&format!("logged in at {url} as {whom}, for {left}"));
    report(&written, &kubeconfig)
}

/// Ends the session of the login that is about to be replaced: its key is gone then. It ends by itself
/// too, so a failure is no reason to stop.
fn end_older(dir: &std::path::Path) {
    let Ok(older) = Login::open(dir) else { return };
    if now() >= older.record().expires {
        return;
    }
    let _ended: Outcome<EndAnswer> = block_on(async {
        let certificate = credential::current(&older).await?;
        let door = older.door(Some(&certificate))?;
        door.send(Method::POST, "/v1/logout", &Empty {}).await
    });
}

/// The login at this gate, if its session holds as far as this machine knows.
fn live(args: &Args) -> Outcome<Option<Login>> {
    let known = Login::open(&Login::directory(&args.url)?).ok();
    Ok(known.filter(|login| now() < login.record().expires))
}

/// Asks which clusters there are now, and writes their contexts.
fn refresh(args: &Args, login: &Login, kubeconfig: &std::path::Path) -> Outcome {
    let asked: Outcome<ClusterList> = block_on(async {
        let certificate = credential::current(login).await?;
        login.door(Some(&certificate))?.get("/v1/clusters").await
    });
    let list = asked.map_err(|fail| fail.hint("to log in anew, give a login code with --code"))?;
    let written = write_contexts(args, &list.clusters, login)?;
    let (person, expires) = (&login.record().person, login.record().expires);
    output::talk(&format!(
        "still logged in at {} as {person}, for {}",
        args.url,
        left(expires)
    ));
    report(&written, kubeconfig)
}

/// What a context's name may start with: it stands in shells and prompts.
fn check_prefix(prefix: &str) -> Outcome {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.@:/".contains(c);
    if prefix.len() <= 64 && prefix.chars().all(fine) {
        return Ok(());
    }
    Err(
        Fail::usage(format!("`{prefix}` cannot start the name of a context"))
            .hint("letters, digits and - _ . @ : / are fine"),
    )
}

/// Whom to trust as this gate. Nobody is trusted because they happen to answer.
fn trust(args: &Args) -> Outcome<Trust> {
    if let Some(path) = &args.ca {
        return Ok(Trust::Authority(files::read_existing(path)?));
    }
    if let Some(text) = &args.ca_fingerprint {
        return Trust::fingerprint(text);
    }
    if let Ok(known) = Login::open(&Login::directory(&args.url)?) {
        return Ok(Trust::Authority(known.record().authority.clone()));
    }
    Err(Fail::usage(format!("this machine does not know the gate {} yet", args.url))
        .hint("give --ca-fingerprint sha256:… or --ca FILE, as `kubestile up` or your administrator told you"))
}

fn code(args: &Args) -> Outcome<Secret<String>> {
    if let Some(code) = &args.code {
        return Ok(Secret::new(code.clone()));
    }
    match output::prompt("login code:") {
        Some(code) if !code.is_empty() => Ok(Secret::new(code)),
        _ => Err(Fail::usage("a login code is needed")
            .hint("your administrator makes one: kubestile people code NAME")),
    }
}

/// `kubestile 0.1.0 on laptop`: a hint for lists of sessions.
fn client_name() -> String {
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    format!("kubestile {} on {host}", env!("CARGO_PKG_VERSION"))
}

/// Asks the gate, and gives the authority (PEM) that it proved to be certified by.
async fn exchange(
    url: &GateUrl,
    trust: &Trust,
    request: &LoginRequest,
) -> Outcome<(LoginAnswer, String)> {
    let door = Door::public(url, trust, None)?;
    let answer: LoginAnswer = door.send(Method::POST, "/v1/login", request).await?;
    let authority = trust.settle(&answer.ca)?;
    Ok((answer, authority))
}

/// What was written to the kubeconfig.
struct Written {
    contexts: Vec<String>,
    taken: Vec<String>,
    gone: Vec<String>,
    before: Option<String>,
    current: Option<String>,
}

fn write_contexts(args: &Args, clusters: &[ClusterEntry], login: &Login) -> Outcome<Written> {
    let before = kubeconfig::current_context()?;
    let user = login::user(&args.url);
    let plugin = kubeconfig::Plugin {
        user: user.clone(),
        program: program()?.display().to_string(),
        login: login.dir().display().to_string(),
        url: args.url.to_string(),
    };
    let ca = STANDARD.encode(&login.record().authority);
    let (url, prefix) = (args.url.to_string(), args.context_prefix.as_str());
    let kubeconfig = std::path::absolute(kubeconfig::path()?)?;
    let mut written = kubeconfig::edit(&kubeconfig, |document| {
        document.set_plugin(&plugin);
        let mut contexts = Vec::new();
        let mut taken = Vec::new();
        for cluster in clusters {
            let context = format!("{prefix}{}", cluster.name);
            if document.is_foreign(&context, &user) {
                taken.push(context);
                continue;
            }
            let server = format!("{url}/clusters/{}", cluster.name);
            let entry = kubeconfig::Entry {
                context: context.clone(),
                server,
            };
            document.set_cluster(&entry, &user, &ca);
            contexts.push(context);
        }
        let gone = document.remove_contexts(&user, &contexts);
        let keep = before
            .as_ref()
            .filter(|b| contexts.contains(b))
            .or(contexts.first());
        let current = keep.filter(|_| !args.keep_context).cloned();
        if let Some(context) = &current {
            document.set_current_context(context);
        }
        Written {
            contexts,
            taken,
            gone,
            before: None,
            current,
        }
    })
    .during("logged in, but the kubeconfig was not changed")?;
    written.before = before.filter(|b| written.current.as_ref() != Some(b));
    Ok(written)
}

/// The path under which kubectl finds us: stable, and absolute.
fn program() -> Outcome<PathBuf> {
    let program = std::env::current_exe().during("cannot tell where this program is")?;
    if program.to_str().is_none() {
        return Err(Fail::failure(format!(
            "this program's path `{}` cannot stand in a kubeconfig",
            program.display()
        )));
    }
    Ok(program)
}

fn report(written: &Written, kubeconfig: &std::path::Path) -> Outcome {
    if written.contexts.is_empty() {
        output::talk(
            "no cluster is behind this gate yet; when there is one, run the same command again",
        );
    } else {
        let (many, path) = (written.contexts.join(", "), kubeconfig.display());
        output::talk(&format!("contexts in {path}: {many}"));
    }
    if !written.gone.is_empty() {
        output::talk(&format!(
            "removed, no longer behind this gate: {}",
            written.gone.join(", ")
        ));
    }
    if let Some(current) = &written.current {
        let was = match &written.before {
            Some(before) => format!(" (was {before}; back: kubectl config use-context {before})"),
            None => String::new(),
        };
        output::talk(&format!("current context: {current}{was}"));
        output::talk("try: kubectl get pods");
    }
    if let Some(taken) = written.taken.first() {
        return Err(Fail::failure(format!(
            "a context `{taken}` is there already and is not this gate's"
        ))
        .hint("log in again with another --context-prefix"));
    }
    Ok(())
}
