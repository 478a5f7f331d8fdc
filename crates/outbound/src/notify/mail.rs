//! E-mail by SMTP, encrypted or not at all.
//!
//! The message is written here, ASCII only: the subject as encoded words, the body as base64. So there
//! is no character of a person's in it that could end a header or the message.

use std::path::Path;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::address::Envelope;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use super::config::{MailConfig, MailTls};
use super::message::Message;
use super::queue::Delivery;
use crate::client::{TrustError, address, certificates};
use crate::file;

/// Recipients of a channel at most.
const RECIPIENTS: usize = 16;
/// The whole delivery.
const LIMIT: Duration = Duration::from_secs(30);

/// A server, checked and ready.
pub(super) struct Mailer {
    config: MailConfig,
    envelope: Envelope,
    tls: TlsParameters,
}

/// What is wrong with a configuration, if anything is.
pub(super) fn check(mail: &MailConfig) -> Result<(), String> {
    if mail.to.is_empty() || mail.to.len() > RECIPIENTS {
        return Err(format!("`to` must have 1 to {RECIPIENTS} addresses"));
    }
    if mail.user.is_some() != mail.password_file.is_some() {
        return Err("`user` and `passwordFile` belong together".to_owned());
    }
    if rustls_pki_types::ServerName::try_from(mail.server.as_str()).is_err() {
        return Err("`server` must be a host name".to_owned());
    }
    envelope(mail).map(|_| ())
}

/// Addresses of plain ASCII: they go into headers as they are.
fn envelope(mail: &MailConfig) -> Result<Envelope, String> {
    let address = |text: &String| -> Result<Address, String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"@.!#$%&'*+/=?^_`{|}~-".contains(&b);
        let parsed = text.parse::<Address>().ok();
        parsed
            .filter(|_| text.bytes().all(plain) && text.len() <= 254)
            .ok_or_else(|| format!("`{text}` is no e-mail address"))
    };
    let to: Vec<Address> = mail.to.iter().map(address).collect::<Result<_, _>>()?;
    Envelope::new(Some(address(&mail.from)?), to).map_err(|e| e.to_string())
}

impl Mailer {
    pub(super) fn new(config: MailConfig, ca_file: Option<&Path>) -> Result<Self, TrustError> {
        let unusable = |what: &str| TrustError::Empty {
            place: what.to_owned(),
        };
        let mut tls = TlsParameters::builder(config.server.clone());
        if let Some(path) = ca_file {
            tls = tls.certificate_store(CertificateStore::None);
            for certificate in certificates(Some(path))? {
                let certificate = Certificate::from_der(certificate.to_vec())
                    .map_err(|_| unusable("the file of certificates"))?;
                tls = tls.add_root_certificate(certificate);
            }
        }
        Ok(Self {
            tls: tls
                .build_rustls()
                .map_err(|_| unusable("the operating system"))?,
            envelope: envelope(&config).map_err(|_| unusable("the list of addresses"))?,
            config,
        })
    }

    pub(super) async fn deliver(&self, message: &Message) -> Delivery {
        match tokio::time::timeout(LIMIT, self.attempt(message)).await {
            Ok(delivery) => delivery,
            Err(_) => Delivery::again("the mail server did not answer in time"),
        }
    }

    async fn attempt(&self, message: &Message) -> Delivery {
        let mail = &self.config;
        let usual = match mail.tls {
            MailTls::StartTls => 587,
            MailTls::Tls => 465,
        };
        let port = mail.port.unwrap_or(usual);
        // Which of its addresses answers, and whether it is one to connect to at all; the library
        // would look at nothing.
        let peer = match address::connect(&mail.server, port, true).await {
            Ok(stream) => stream.peer_addr(),
            Err(error) => return Delivery::again(error.to_string()),
        };
        let Ok(peer) = peer else {
            return Delivery::again("the mail server hung up");
        };
        let tls = match mail.tls {
            MailTls::StartTls => Tls::Required(self.tls.clone()),
            MailTls::Tls => Tls::Wrapper(self.tls.clone()),
        };
        let host = peer.ip().to_string();
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(port)
            .timeout(Some(LIMIT))
            .tls(tls);
        if let (Some(user), Some(path)) = (&mail.user, &mail.password_file) {
            let password = match file::secret(path) {
                Ok(password) => password,
                Err(error) => return Delivery::again(error.to_string()),
            };
            let credentials = Credentials::new(user.clone(), password.expose().clone());
            builder = builder.credentials(credentials);
        }
        let date = httpdate::fmt_http_date(SystemTime::now());
        let text = text(mail, message, &date);
        match builder.build().send_raw(&self.envelope, &text).await {
            Ok(_) => Delivery::Done,
            Err(error) => failure(&error),
        }
    }
}

/// What a server writes in its answer is not repeated: only its code.
fn failure(error: &lettre::transport::smtp::Error) -> Delivery {
    match error.status() {
        Some(code) if error.is_permanent() => {
            Delivery::Never(format!("the mail server refuses ({code})"))
        }
        Some(code) => Delivery::again(format!("the mail server asks to wait ({code})")),
        None if error.is_tls() => Delivery::again("the mail server offers no TLS that is trusted"),
        None => Delivery::again("the exchange with the mail server broke off"),
    }
}

/// RFC 5322, with MIME.
fn text(mail: &MailConfig, message: &Message, date: &str) -> Vec<u8> {
    let domain = mail.from.rsplit('@').next().unwrap_or_default();
    let mut subject = message.kind.title().to_owned();
    let mut body = format!("{subject}\n\n");
    for (name, text) in message.facts() {
        if name == "Who" || name == "What" {
            subject.push_str(": ");
            subject.push_str(&text);
        }
        body.push_str(&format!("{name}: {text}\n"));
    }
    if let Some(link) = message.safe_link() {
        body.push_str(&format!("\n{link}\n"));
    }
    let headers = [
        ("From", format!("<{}>", mail.from)),
        ("To", addresses(&mail.to)),
        // The zone of HTTP's dates is an obsolete one here.
        ("Date", date.replace("GMT", "+0000")),
        ("Message-ID", format!("<{}@{domain}>", token(&message.id))),
        ("Subject", encoded_words(&subject)),
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("MIME-Version", "1.0".to_owned()),
        ("Content-Type", "text/plain; charset=utf-8".to_owned()),
        ("Content-Transfer-Encoding", "base64".to_owned()),
    ];
    let mut text = String::new();
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    for line in STANDARD.encode(body).as_bytes().chunks(76) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push_str("\r\n");
    }
    text.into_bytes()
}

fn addresses(addresses: &[String]) -> String {
    let addresses: Vec<String> = addresses.iter().map(|a| format!("<{a}>")).collect();
    addresses.join(",\r\n ")
}

/// RFC 2047: words, a line each, each with whole characters in it.
fn encoded_words(text: &str) -> String {
    /// Bytes of text whose word fits in a line of 76 characters, behind `Subject: ` too.
    const BYTES: usize = 39;
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for c in text.chars().take(160) {
        if word.len() + c.len_utf8() > BYTES {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let words: Vec<String> = words
        .iter()
        .map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word)))
        .collect();
    words.join("\r\n ")
}

/// Letters, digits and hyphens only.
fn token(id: &str) -> String {
    id.chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(80)
        .collect()
}

#[cfg(test)]
mod tests;
