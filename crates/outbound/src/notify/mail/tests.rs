//! A small SMTP server (RFC 5321) takes the mail.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::notify::{Kind, Message};
use crate::testing::{Pki, file};

/// How a server behaves.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// STARTTLS is offered.
    StartTls,
    /// It is not.
    Plain,
    /// TLS from the first byte.
    Tls,
    /// STARTTLS, then it refuses the recipient with this code.
    Refuses(u16),
    /// It says nothing.
    Silent,
}

/// All that a server was told, with `TLS` where the encryption began.
type Told = Arc<Mutex<Vec<String>>>;

async fn server(pki: &Pki, manner: Manner) -> (u16, Told) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let told: Told = Arc::default();
    let (acceptor, heard) = (TlsAcceptor::from(pki.server.clone()), told.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, heard) = (acceptor.clone(), heard.clone());
            // The look at the address before the mail hangs up without a word.
            tokio::spawn(async move { serve(stream, acceptor, manner, heard).await });
        }
    });
    (port, told)
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, manner: Manner, told: Told) -> Option<()> {
    match manner {
        Manner::Silent => std::future::pending().await,
        Manner::Tls => {
            let stream = tls.accept(stream).await.ok()?;
            told.lock().unwrap().push("TLS".to_owned());
            talk(stream, manner, true, true, &told).await?;
        }
        _ => {
            let stream = talk(stream, manner, true, false, &told).await?;
            let stream = tls.accept(stream).await.ok()?;
            told.lock().unwrap().push("TLS".to_owned());
            talk(stream, manner, false, true, &told).await?;
        }
    }
    Some(())
}

/// Talks until STARTTLS or the end; gives the stream back for the former.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    manner: Manner,
    greets: bool,
    encrypted: bool,
    told: &Told,
) -> Option<S> {
    let mut stream = BufReader::new(stream);
    if greets {
        stream.write_all(b"220 here ESMTP\r\n").await.ok()?;
    }
    let mut in_data = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.strip_suffix("\r\n")?.to_owned();
        told.lock().unwrap().push(line.clone());
        let answer = match line.split(' ').next()? {
            _ if in_data && line != "." => continue,
            "." => {
                in_data = false;
                "250 taken\r\n".to_owned()
            }
            "EHLO" if encrypted => "250-here\r\n250 AUTH PLAIN\r\n".to_owned(),
            "EHLO" if manner == Manner::Plain => "250-here\r\n250 AUTH PLAIN\r\n".to_owned(),
            "EHLO" => "250-here\r\n250 STARTTLS\r\n".to_owned(),
            "STARTTLS" => {
                stream.write_all(b"220 go on\r\n").await.ok()?;
                return Some(stream.into_inner());
            }
            "AUTH" => "235 welcome\r\n".to_owned(),
            "RCPT" => match manner {
                Manner::Refuses(code) => format!("{code} no hunter2 here\r\n"),
                _ => "250 fine\r\n".to_owned(),
            },
            "DATA" => {
                in_data = true;
                "354 go on\r\n".to_owned()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await.ok()?;
                return None;
            }
            _ => "250 fine\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

fn config(port: u16, tls: MailTls, password: &Path) -> MailConfig {
    MailConfig {
        server: "localhost".to_owned(),
        port: Some(port),
        tls,
        user: Some("gate".to_owned()),
        password_file: Some(password.to_owned()),
        from: "gate@example.com".to_owned(),
        to: vec!["ana@example.com".to_owned(), "ben@example.com".to_owned()],
    }
}

fn message() -> Message {
    Message {
        id: "7K2P-1\r\nX: y".to_owned(),
        kind: Kind::BreakGlass,
        who: "ana\r\nBcc: eve@evil.example".to_owned(),
        what: "delete ns/shop\r\n.\r\nQUIT\r\n日本語 🙂 ".repeat(20),
        place: "prod".to_owned(),
        why: Some(".".to_owned()),
        risk: None,
        link: Some("https://gate.example.com/r/1".to_owned()),
    }
}

async fn send(pki: &Pki, manner: Manner, tls: MailTls) -> (Delivery, Vec<String>) {
    let (port, told) = server(pki, manner).await;
    let password = file("hunter2\n");
    let mailer = Mailer::new(
        config(port, tls, password.path()),
        Some(pki.authority.path()),
    );
    let delivery = mailer.unwrap().deliver(&message()).await;
    let told = told.lock().unwrap().clone();
    (delivery, told)
}

/// Value of a header with its continuation lines.
fn header(lines: &[String], name: &str) -> String {
    let start = format!("{name}: ");
    let mut lines = lines.iter().skip_while(|line| !line.starts_with(&start));
    let first = lines.next().unwrap_or_else(|| panic!("no {name}"));
    let mut value = first.replacen(&start, "", 1);
    let more = lines.take_while(|line| line.starts_with(' '));
    more.for_each(|line| value.push_str(line));
    value
}

#[tokio::test]
async fn mail_goes_out_encrypted_and_says_what_it_should() {
    let pki = Pki::new();
    for (manner, tls) in [
        (Manner::StartTls, MailTls::StartTls),
        (Manner::Tls, MailTls::Tls),
    ] {
        let (delivery, told) = send(&pki, manner, tls).await;
        assert_eq!(delivery, Delivery::Done, "{told:?}");
        let encrypted = told.iter().position(|l| l == "TLS").unwrap();
        let first = |word: &str| told.iter().position(|l| l.starts_with(word)).unwrap();
        assert!(first("AUTH") > encrypted && first("MAIL") > encrypted);
        // `\0gate\0hunter2`
        assert_eq!(told[first("AUTH")], "AUTH PLAIN AGdhdGUAaHVudGVyMg==");
        let recipients: Vec<&String> = told.iter().filter(|l| l.starts_with("RCPT")).collect();
        assert_eq!(
            recipients,
            ["RCPT TO:<ana@example.com>", "RCPT TO:<ben@example.com>"]
        );

        let data = first("DATA") + 1;
        let end = told.iter().position(|l| l == ".").unwrap();
        let text = &told[data..end];
        assert!(
            text.iter().all(|l| l.is_ascii() && l.len() <= 76),
            "{text:?}"
        );
        let blank = text.iter().position(String::is_empty).unwrap();
        let (head, body) = text.split_at(blank);
        assert_eq!(header(head, "From"), "<gate@example.com>");
        assert_eq!(header(head, "To"), "<ana@example.com>, <ben@example.com>");
        assert_eq!(header(head, "Message-ID"), "<7K2P-1Xy@example.com>");
        assert!(header(head, "Date").ends_with(" +0000"));
        assert!(
            head.iter()
                .all(|l| !l.starts_with("Bcc") && !l.starts_with("X:"))
        );
        let subject: String = header(head, "Subject")
            .split_whitespace()
            .map(|word| {
                let word = word
                    .strip_prefix("=?utf-8?B?")
                    .unwrap()
                    .strip_suffix("?=")
                    .unwrap();
                String::from_utf8(STANDARD.decode(word).unwrap()).unwrap()
            })
            .collect();
        assert!(
            subject.starts_with(
                "BREAK-GLASS access taken: ana  Bcc: eve@evil.example: delete ns/shop"
            ),
            "{subject}"
        );
        let body = String::from_utf8(STANDARD.decode(body.concat()).unwrap()).unwrap();
        assert!(
            body.contains("Why: .\n") && body.contains("日本語 🙂"),
            "{body}"
        );
        assert!(body.ends_with("\nhttps://gate.example.com/r/1\n"), "{body}");
        assert_eq!(told.iter().filter(|l| *l == ".").count(), 1);
    }
}

#[tokio::test]
async fn without_tls_nothing_is_told() {
    let pki = Pki::new();
    let stranger = Pki::new();
    let (delivery, told) = send(&pki, Manner::Plain, MailTls::StartTls).await;
    assert!(matches!(delivery, Delivery::Again { .. }), "{delivery:?}");
    assert!(
        told.iter()
            .all(|l| !l.starts_with("AUTH") && !l.starts_with("MAIL")),
        "{told:?}"
    );

    let (port, told) = server(&stranger, Manner::StartTls).await;
    let password = file("hunter2");
    let config = config(port, MailTls::StartTls, password.path());
    let mailer = Mailer::new(config, Some(pki.authority.path())).unwrap();
    let delivery = mailer.deliver(&message()).await;
    assert!(matches!(delivery, Delivery::Again { .. }), "{delivery:?}");
    assert!(told.lock().unwrap().iter().all(|l| !l.starts_with("AUTH")));
}

#[tokio::test]
async fn a_refusal_is_told_apart_from_a_delay_and_repeats_nothing() {
    let pki = Pki::new();
    let (delivery, _) = send(&pki, Manner::Refuses(550), MailTls::StartTls).await;
    assert_eq!(
        delivery,
        Delivery::Never("the mail server refuses (550)".to_owned())
    );
    let (delivery, _) = send(&pki, Manner::Refuses(451), MailTls::StartTls).await;
    assert_eq!(
        delivery,
        Delivery::again("the mail server asks to wait (451)")
    );
}

#[tokio::test]
async fn a_password_that_is_missing_stops_it() {
    let pki = Pki::new();
    let (port, told) = server(&pki, Manner::StartTls).await;
    let config = config(port, MailTls::StartTls, "/nonexistent".as_ref());
    let mailer = Mailer::new(config, Some(pki.authority.path())).unwrap();
    assert!(matches!(
        mailer.deliver(&message()).await,
        Delivery::Again { .. }
    ));
    assert!(told.lock().unwrap().iter().all(|l| !l.starts_with("MAIL")));
}

#[tokio::test]
async fn a_silent_server_is_left() {
    let pki = Pki::new();
    let (port, _) = server(&pki, Manner::Silent).await;
    let password = file("hunter2");
    let config = config(port, MailTls::StartTls, password.path());
    let mailer = Mailer::new(config, Some(pki.authority.path())).unwrap();
    let patience = std::time::Duration::from_millis(300);
    let message = message();
    let limited = tokio::time::timeout(patience, mailer.deliver(&message)).await;
    assert!(limited.is_err(), "it waits, and can be dropped");
}
