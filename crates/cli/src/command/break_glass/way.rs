//! `kubestile break-glass open` and `drill`: on the day, with nothing but the sealed file, its shares and
//! the API server.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kubestile_authn::ClientKey;
use kubestile_authn::seal::Sealed;
use kubestile_cluster::break_glass::{self, Certified, LONGEST};
use kubestile_cluster::{Upstream, advance};
use kubestile_core::event::OPENED_BY;
use kubestile_core::{Secret, Ttl};
use serde::Serialize;
use serde_json::{Value, json};

use super::seal::{About, Credential, check_age, failed, ttl};
use crate::args::break_glass::{Drill, Open, Shares};
use crate::clock::now;
use crate::command::{block_on, left};
use crate::exit::{During as _, Fail, Outcome, chain};
use crate::{files, output};

/// The shortest that a cluster signs for.
const SHORTEST: Ttl = Ttl::from_secs(600);

/// What is written down beside the sealed file, first before anything is opened.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Note<'a> {
    time: String,
    cluster: String,
    what: &'static str,
    user: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

/// A way in that is open.
struct Way {
    about: About,
    user: String,
    certified: Certified,
    key: Secret<String>,
    upstream: Upstream,
}

/// Opens a sealed way in.
pub(super) fn open(args: &Open) -> Outcome {
    if args.reason.trim().is_empty() {
        return Err(Fail::usage("say why with --reason: it is written down"));
    }
    let life = ttl(args.length)?;
    if life < SHORTEST || life > LONGEST {
        return Err(Fail::usage("--for must be 10m to 8h"));
    }
    let (sealed, about) = sealed(&args.shares.sealed)?;
    let kubeconfig = args.kubeconfig.clone().unwrap_or_else(|| {
        let name = format!("{}.kubeconfig", about.cluster);
        args.shares.sealed.with_file_name(name)
    });
    let credential = credential(&sealed, &args.shares)?;
    let user = user(&args.shares)?;
    let mut notes = Notes::open(&args.shares.sealed, &about, &user, &args.reason)?;
    notes.write("opening", None)?;
    let (way, _) = block_on(way(about, &credential, user.clone(), life))?;
    notes.write("opened", Some(&way.certified))?;
    files::replace(&kubeconfig, kubeconfig_of(&way)?.as_bytes())?;
    output::talk(&format!(
        "OPEN until {} ({} left). All that you do as {} is in the API server's own log only.",
        way.certified.ends,
        left(way.certified.ends),
        way.user
    ));
    if args.output.format.is_data() {
        let value = json!({
            "kubeconfig": kubeconfig, "user": way.user, "until": way.certified.ends.rfc3339(),
        });
        return output::value(args.output.format, &value);
    }
    output::line(&format!("export KUBECONFIG={}", kubeconfig.display()))
}

/// Does all that opening does, and keeps nothing.
pub(super) fn drill(args: &Drill) -> Outcome {
    let (sealed, about) = sealed(&args.shares.sealed)?;
    let credential = credential(&sealed, &args.shares)?;
    let user = user(&args.shares)?;
    let mut notes = Notes::open(&args.shares.sealed, &about, &user, "a drill")?;
    notes.write("opening", None)?;
    let (way, rights) = block_on(async {
        let (way, rights) = way(about, &credential, user.clone(), SHORTEST).await?;
        let noted = break_glass::note_drill(&way.upstream, now()).await;
        noted.map_err(failed)?;
        Ok((way, rights))
    })?;
    notes.write("drilled", Some(&way.certified))?;
    if args.output.format.is_data() {
        let value = json!({
            "cluster": way.about.cluster, "user": rights.user, "groups": rights.groups,
            "sealedUntil": way.about.expires.rfc3339(), "drilled": now().rfc3339(),
        });
        return output::value(args.output.format, &value);
    }
    output::line(&format!(
        "the way into {} works: {} was its administrator; it can be opened for {} more",
        way.about.cluster,
        rights.user,
        left(way.about.expires)
    ))
}

fn sealed(path: &Path) -> Outcome<(Sealed, About)> {
    let wrong =
        |why: String| Fail::failure(format!("`{}` is no sealed file: {why}", path.display()));
    let text = files::read_existing(path)?;
    let sealed: Sealed = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let about: About =
        serde_json::from_value(sealed.about().clone()).map_err(|e| wrong(e.to_string()))?;
    check_age(&about)?;
    Ok((sealed, about))
}

/// What comes out of the seal.
fn credential(sealed: &Sealed, args: &Shares) -> Outcome<Credential> {
    let mut shares = Vec::new();
    for path in &args.shares {
        shares.push(Secret::new(files::read_existing(path)?));
    }
    let asked = args.shares.is_empty();
    while asked && shares.len() < usize::from(sealed.needed()) {
        let question = format!("share {} of {}:", shares.len() + 1, sealed.needed());
        let line = output::prompt_hidden(&question).ok_or_else(|| {
            Fail::usage("there is no terminal to ask on").hint("name files with --share")
        })?;
        shares.push(Secret::new(line));
    }
    let text = sealed.open(&shares).map_err(|e| {
        Fail::failure(e.to_string()).hint("each share is one line: kubestile-share-1.…")
    })?;
    serde_json::from_str(text.expose())
        .map_err(|_| Fail::failure("what was sealed is of another version"))
}

/// Has a certificate signed, and tries that it gives everything.
async fn way(
    about: About,
    credential: &Credential,
    user: String,
    life: Ttl,
) -> Outcome<(Way, kubestile_assess::plan::BreakGlass)> {
    let place = about.place();
    let sealed_key = Secret::new(credential.key.clone());
    let sealed = Upstream::with_certificate(&place, &credential.certificate, &sealed_key);
    let sealed = sealed.await.map_err(|e| Fail::failure(chain(&e)))?;
    let key = ClientKey::generate()?;
    let csr = key.csr_pem_for(&user, Some(&about.names()?.opened()))?;
    let certified = break_glass::certify(&sealed, &csr, life).await;
    let certified = certified.map_err(|error| {
        failed(error).hint("is it the latest seal of this cluster? An earlier one gives nothing")
    })?;
    let key = key.key_pem();
    let upstream = Upstream::with_certificate(&place, &certified.pem, &key)
        .await
        .map_err(|e| Fail::failure(chain(&e)))?;
    let rights = advance::break_glass(&upstream).await?.ok_or_else(|| {
        Fail::failure("a certificate was signed, but it does not give everything")
            .hint("is the ClusterRoleBinding kubestile-break-glass still there?")
    })?;
    let way = Way {
        about,
        user,
        certified,
        key,
        upstream,
    };
    Ok((way, rights))
}

/// The user of whoever opens it: the name that they say stands in the certificate.
fn user(args: &Shares) -> Outcome<String> {
    let variable = || std::env::var("USER").ok();
    let name = args.person.clone().or_else(variable).unwrap_or_default();
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    if (1..=48).contains(&name.len()) && name.chars().all(fine) {
        return Ok(format!("{OPENED_BY}{name}"));
    }
    Err(Fail::usage(
        "say who you are with --as: it stands in the API server's log",
    ))
}

/// `NAME.sealed.log`, beside the sealed file. What is done then stands in the API server's own log.
struct Notes<'a> {
    file: File,
    cluster: String,
    user: &'a str,
    reason: &'a str,
}

impl<'a> Notes<'a> {
    fn open(sealed: &Path, about: &About, user: &'a str, reason: &'a str) -> Outcome<Self> {
        let mut name = sealed.as_os_str().to_owned();
        name.push(".log");
        let path = PathBuf::from(name);
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| {
                Fail::failure(format!("cannot write `{}`: {error}", path.display()))
                    .hint("what is opened is written down first: copy the sealed file to where there is room")
            })?;
        Ok(Self {
            file,
            cluster: about.cluster.to_string(),
            user,
            reason,
        })
    }

    fn write(&mut self, what: &'static str, certified: Option<&Certified>) -> Outcome {
        let note = Note {
            time: now().rfc3339(),
            cluster: self.cluster.clone(),
            what,
            user: self.user,
            reason: self.reason,
            serial: certified.map(|c| c.serial.as_str()),
            until: certified.map(|c| c.ends.rfc3339()),
        };
        let mut line = serde_json::to_string(&note).during("the note")?;
        line.push('\n');
        self.file.write_all(line.as_bytes())?;
        self.file.sync_all()?;
        Ok(())
    }
}

fn kubeconfig_of(way: &Way) -> Outcome<String> {
    let name = format!("break-glass-{}", way.about.cluster);
    let mut cluster = json!({ "server": way.about.server });
    let mut put = |key: &str, value: Option<String>| {
        if let (Some(map), Some(value)) = (cluster.as_object_mut(), value) {
            map.insert(key.to_owned(), Value::String(value));
        }
    };
    put(
        "certificate-authority-data",
        way.about.ca.as_ref().map(|pem| STANDARD.encode(pem)),
    );
    put("tls-server-name", way.about.tls_server_name.clone());
    let config = json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{ "name": name, "cluster": cluster }],
        "users": [{ "name": name, "user": {
            "client-certificate-data": STANDARD.encode(&way.certified.pem),
            "client-key-data": STANDARD.encode(way.key.expose()),
        }}],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
        "current-context": name,
    });
    serde_saphyr::to_string(&config).during("the kubeconfig")
}
