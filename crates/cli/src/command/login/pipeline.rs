//! `kubestile login --pipeline`: the job's own identity token becomes a session that ends with it.

use std::time::{Duration, Instant};

use http::{StatusCode, header};
use kubestile_authn::ClientKey;
use kubestile_control::api::{EXCHANGE, ExchangeAnswer, ExchangePending, LoginAnswer, TOKEN_TYPE};
use kubestile_core::Secret;
use kubestile_outbound::client::{Call, Client, Limits, ServiceUrl};

use super::{check_prefix, keep, trust};
use crate::args::client::Login as Args;
use crate::client::Door;
use crate::clock::now;
use crate::command::block_on;
use crate::exit::{During as _, Fail, Outcome};
use crate::{files, kubeconfig, output};

/// Where the token of a GitLab job is looked for.
const VARIABLE: &str = "KUBESTILE_ID_TOKEN";
/// For how long the same token is shown. Those of GitHub Actions live for five minutes, and what a run is
/// given ends with the token.
const YOUNG: Duration = Duration::from_secs(60);
/// How often it is asked whether somebody has approved.
const AGAIN: Duration = Duration::from_secs(3);

/// Logs a job in.
pub(super) fn run(args: &Args) -> Outcome {
    check_prefix(&args.context_prefix)?;
    let kubeconfig = std::path::absolute(kubeconfig::path()?)?;
    kubeconfig::edit(&kubeconfig, |_| ())?;
    let trust = trust(args)?;
    let key = ClientKey::generate()?;
    let csr = key.csr_pem()?;
    let (answer, authority) = block_on(async {
        let door = Door::public(&args.url, &trust, None)?;
        let answer = exchange(args, &door, &csr).await?;
        let authority = trust.settle(&answer.ca)?;
        Ok((answer, authority))
    })?;
    let whom = format!("the pipeline {}", answer.person);
    let answer = LoginAnswer {
        session: answer.session,
        person: answer.person,
        certificate: answer.access_token.expose().clone(),
        not_after: answer.not_after,
        session_expires: answer.session_expires,
        clusters: answer.clusters,
        ca: answer.ca,
    };
    keep(args, kubeconfig, &key, (answer, authority), &whom)
}

/// Exchanges the token; where somebody must approve the run first, waits for them. That may take longer
/// than a token lives: another one of the same run is shown then, with the same key.
async fn exchange(args: &Args, door: &Door, csr: &str) -> Outcome<ExchangeAnswer> {
    let mut told = false;
    let mut shown = (token(args).await?, Instant::now());
    loop {
        if shown.1.elapsed() >= YOUNG {
            shown = (token(args).await?, Instant::now());
        }
        let form = form(&shown.0, csr);
        let answer = door.form("/v1/token-exchange", form).await?;
        match answer.status {
            StatusCode::OK => return answer.json(),
            StatusCode::ACCEPTED => {}
            _ => return Err(answer.fail()),
        }
        let pending: ExchangePending = answer.json()?;
        if now() >= pending.expires {
            return Err(Fail::failure(format!(
                "nobody approved the request {} in time",
                pending.request
            )));
        }
        if !std::mem::replace(&mut told, true) {
            let who = match pending.approvers.as_slice() {
                [] => String::new(),
                some => format!(", {} may approve", some.join(" or ")),
            };
            output::talk(&format!(
                "waiting for approval (request {}{who}): {}",
                pending.request, pending.url
            ));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn form(token: &Secret<String>, csr: &str) -> Vec<u8> {
    let fields = [
        ("grant_type", EXCHANGE),
        ("subject_token", token.expose().as_str()),
        ("subject_token_type", TOKEN_TYPE),
        ("csr", csr),
    ];
    let pairs = fields.map(|(name, value)| format!("{name}={}", escaped(value)));
    pairs.join("&").into_bytes()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => out.push(char::from(b)),
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

/// The job's identity token: from the file or the variable that is named, from GitHub Actions, or from
/// the usual variable.
async fn token(args: &Args) -> Outcome<Secret<String>> {
    if let Some(path) = &args.token_file {
        return checked(&files::read_existing(path)?, &path.display().to_string());
    }
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    if let Some(name) = &args.token_env {
        let text = variable(name).ok_or_else(|| {
            Fail::usage(format!("the variable `{name}` is not set"))
                .hint("in GitLab, `id_tokens` of the job names it")
        })?;
        return checked(&text, name);
    }
    let github = (
        variable("ACTIONS_ID_TOKEN_REQUEST_URL"),
        variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
    );
    if let (Some(url), Some(credential)) = github {
        let audience = args.audience.clone();
        let audience = audience.unwrap_or_else(|| args.url.host().to_owned());
        return of_github(&url, &Secret::new(credential), &audience).await;
    }
    match variable(VARIABLE) {
        Some(text) => checked(&text, VARIABLE),
        None => Err(Fail::usage("this job has no identity token")
            .hint("GitHub Actions: give the job `permissions: {id-token: write}`")
            .hint(format!("GitLab: `id_tokens: {{{VARIABLE}: {{aud: …}}}}`"))
            .hint("elsewhere: --token-file FILE, or --token-env NAME")),
    }
}

/// What is no token goes nowhere.
fn checked(text: &str, place: &str) -> Outcome<Secret<String>> {
    let text = text.trim();
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let three = text.split('.').count() == 3;
    if text.len() <= 16 * 1024 && three && text.bytes().all(fine) {
        return Ok(Secret::new(text.to_owned()));
    }
    Err(Fail::failure(format!(
        "in `{place}` is no identity token (JWT)"
    )))
}

/// Asks GitHub Actions for a token that is made out to the gate.
async fn of_github(
    url: &str,
    credential: &Secret<String>,
    audience: &str,
) -> Outcome<Secret<String>> {
    let joint = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{joint}audience={}", escaped(audience));
    let url: ServiceUrl = url.parse().during("the address of GitHub's tokens")?;
    let client = Client::new(None, Limits::USUAL).during("GitHub's tokens")?;
    let call = Call::get(&url, "").with_secret(header::AUTHORIZATION, "Bearer ", credential);
    let answer = client.call(call.during("GitHub's tokens")?).await;
    let answer = answer.during("GitHub gives no token")?;
    if answer.status != StatusCode::OK {
        return Err(Fail::failure(format!(
            "GitHub gives no token: it answers {}",
            answer.status
        )));
    }
    let answer = answer.json();
    let value = answer.as_ref().and_then(|a| a.get("value")?.as_str());
    checked(value.unwrap_or_default(), "GitHub's answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_says_what_was_meant() {
        let form = form(&Secret::new("a.b.c".to_owned()), "-----\nA+B/C=\n");
        let text = String::from_utf8(form).unwrap();
        assert!(text.ends_with("&csr=-----%0AA%2BB%2FC%3D%0A"), "{text}");
        assert!(text.contains("&subject_token=a.b.c&"), "{text}");
    }

    #[test]
    fn only_what_looks_like_a_token_is_sent() {
        assert!(checked(" aa.bb.cc\n", "here").is_ok());
        for bad in ["", "a.b", "a.b.c.d", "a.b.c d", "a.b.c&x=y", "<html>.."] {
            assert!(checked(bad, "here").is_err(), "{bad}");
        }
    }
}
