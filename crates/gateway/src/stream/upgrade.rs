//! exec, attach, port-forward and proxied upgrades: the handshake is made anew towards the API
//! server, its answer is checked, and only a proper 101 joins the two connections. Every other answer
//! is passed on as the ordinary answer it is, and ends both connections (CVE-2018-1002105).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::relay::{self, Framing};
use super::websocket::{ErrorChannel, Frames};
use super::{Trust, spdy};
use crate::body::{Body, ClientBody};
use crate::forward::{self, Judged};
use crate::gate::Gate;
use crate::record::Ending;
use crate::refusal::Refusal;

const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// A token in the subprotocol list is how browsers send a credential; it is never passed on.
const BEARER: &str = "base64url.bearer.authorization.k8s.io.";

/// The protocol that a client asks to switch to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 6455.
    WebSocket,
    /// What kubectl spoke before 1.31, and falls back to.
    Spdy,
}

impl Protocol {
    const fn token(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Spdy => "SPDY/3.1",
        }
    }
}

/// Whether a request asks for an upgrade. kube-apiserver takes any `Connection` that contains
/// "upgrade" for one; what is not plainly one of the two known protocols is refused.
///
/// # Errors
/// 400 for an upgrade that is not understood.
pub fn requested(headers: &HeaderMap) -> Result<Option<Protocol>, Refusal> {
    let connection: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .map(|v| String::from_utf8_lossy(v.as_bytes()).to_ascii_lowercase())
        .collect();
    let mentioned = connection.iter().any(|v| v.contains("upgrade"));
    let mut tokens = headers.get_all(header::UPGRADE).iter();
    let (first, second) = (tokens.next(), tokens.next());
    if !mentioned && first.is_none() {
        return Ok(None);
    }
    let listed = connection
        .iter()
        .flat_map(|v| v.split(','))
        .any(|token| token.trim() == "upgrade");
    let named = first
        .filter(|_| listed && second.is_none())
        .and_then(|v| v.to_str().ok());
    [Protocol::WebSocket, Protocol::Spdy]
        .into_iter()
        .find(|p| named.is_some_and(|n| n.eq_ignore_ascii_case(p.token())))
        .map(Some)
        .ok_or_else(|| {
            Refusal::bad_request("only upgrades to websocket and SPDY/3.1 are understood")
        })
}

/// Opens the stream upstream and joins it with the client's connection.
///
/// # Errors
/// A refusal when the handshake is not in order on either side, or there is no answer.
pub async fn open(
    gate: &Arc<Gate>,
    judged: Judged,
    mut request: Request<ClientBody>,
    mut headers: HeaderMap,
    protocol: Protocol,
    mut trust: Trust,
    mut ending: Ending,
) -> Result<Response<Body>, Refusal> {
    if !request.body().is_end_stream() {
        return Err(Refusal::bad_request("an upgrade request has a body"));
    }
    let offer = Offer::read(request.headers(), protocol)?;
    offer.write(&mut headers);
    let mut upstream = Request::new(Body::empty());
    *upstream.method_mut() = request.method().clone();
    *upstream.headers_mut() = headers;
    let target = judged.target.below(judged.cluster.upstream().base_path());
    let name = judged.cluster.name().as_str().to_owned();
    ending.sending();
    let sent = judged.cluster.pool().send_own(&target, upstream);
    let sent = trust
        .outlasts(sent)
        .await
        .map_err(|over| forward::cut(&mut ending, &over))?;
    let mut response = sent.map_err(|error| {
        tracing::warn!(cluster = %name, request = %judged.id, error = %error, "no stream");
        ending.ended("upstream-failed", &error.to_string());
        Refusal::bad_upstream(&name, "the API server cannot be reached")
    })?;
    ending.answered(response.status().as_u16());
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return ordinary(&judged, response, trust, ending);
    }
    let accepted = offer.check(response.headers()).map_err(|why| {
        ending.ended("upstream-failed", why);
        Refusal::bad_upstream(&name, why)
    })?;
    let answer = offer.answer(&accepted);
    let framing = framing(&judged, protocol, &accepted);
    let client = hyper::upgrade::on(&mut request);
    let upstream = hyper::upgrade::on(&mut response);
    gate.open.clone().spawn(async move {
        let both = trust
            .outlasts(async { tokio::join!(client, upstream) })
            .await;
        let (client, upstream) = match both {
            Ok((Ok(client), Ok(upstream))) => (client, upstream),
            Ok(_) => {
                return ending.ended("client-closed", "the connection broke during the upgrade");
            }
            Err(over) => return ending.ended(over.word(), &over.to_string()),
        };
        let (client, upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        relay::join(client, upstream, framing, trust, judged.id, ending).await;
        drop(judged.place);
    });
    Ok(answer)
}

/// An answer that is not a 101: its body goes to the client, and nothing else ever goes over either
/// connection.
fn ordinary(
    judged: &Judged,
    response: Response<Incoming>,
    trust: Trust,
    mut ending: Ending,
) -> Result<Response<Body>, Refusal> {
    let (head, body) = response.into_parts();
    forward::check_our_credential(judged, head.status, &mut ending)?;
    // A success here would be an API server that did not understand the upgrade.
    let resource = judged.action.resource();
    let streams = resource.is_none_or(|r| r.subresource != "proxy");
    if head.status.is_redirection()
        || head.status.is_informational()
        || (streams && head.status.is_success())
    {
        ending.ended("upstream-failed", "neither a stream nor an error");
        let why = "it did not answer an upgrade with a stream or an error";
        return Err(Refusal::bad_upstream(judged.cluster.name().as_str(), why).closing());
    }
    Ok(forward::closing_answer(judged, head, body, trust, ending))
}

fn framing(judged: &Judged, protocol: Protocol, accepted: &str) -> Framing {
    let subresource = judged
        .action
        .resource()
        .map_or("", |r| r.subresource.as_str());
    match (protocol, subresource) {
        (_, "proxy") => Framing::Opaque,
        (Protocol::WebSocket, _) => {
            Framing::WebSocket(Frames::default(), ErrorChannel::of(accepted))
        }
        (Protocol::Spdy, _) => Framing::Spdy(Box::new(spdy::Follower::new(accepted))),
    }
}

/// What a client offers in its handshake, read strictly and written anew.
struct Offer {
    protocol: Protocol,
    key: Option<String>,
    subprotocols: Vec<String>,
}

impl Offer {
    fn read(headers: &HeaderMap, protocol: Protocol) -> Result<Self, Refusal> {
        let bad = |why| Refusal::bad_request(why);
        let (name, key) = match protocol {
            Protocol::Spdy => (STREAM_PROTOCOL, None),
            Protocol::WebSocket => {
                let version = headers
                    .get(header::SEC_WEBSOCKET_VERSION)
                    .map(|v| v.as_bytes());
                if version != Some(b"13") {
                    return Err(bad("only version 13 of WebSocket is spoken here"));
                }
                let key = headers
                    .get(header::SEC_WEBSOCKET_KEY)
                    .and_then(|v| v.to_str().ok())
                    .filter(|k| STANDARD.decode(k).is_ok_and(|raw| raw.len() == 16))
                    .ok_or_else(|| bad("the Sec-WebSocket-Key is not 16 bytes in base64"))?;
                (header::SEC_WEBSOCKET_PROTOCOL, Some(key.to_owned()))
            }
        };
        let mut subprotocols = Vec::new();
        for value in headers.get_all(name) {
            let text = value
                .to_str()
                .map_err(|_| bad("a subprotocol is not plain text"))?;
            for token in text.split(',').map(str::trim).filter(|t| !t.is_empty()) {
                if !token.starts_with(BEARER) {
                    subprotocols.push(token.to_owned());
                }
            }
        }
        if subprotocols.len() > 16 || subprotocols.iter().any(|t| t.len() > 128) {
            return Err(bad("it offers too many subprotocols"));
        }
        Ok(Self {
            protocol,
            key,
            subprotocols,
        })
    }

    /// The handshake towards the API server, from scratch: no extension, no other token.
    fn write(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(
            header::UPGRADE,
            HeaderValue::from_static(self.protocol.token()),
        );
        let values = self
            .subprotocols
            .iter()
            .filter_map(|t| HeaderValue::from_str(t).ok());
        match &self.key {
            None => values.for_each(|value| {
                headers.append(STREAM_PROTOCOL, value);
            }),
            Some(key) => {
                headers.insert(
                    header::SEC_WEBSOCKET_VERSION,
                    HeaderValue::from_static("13"),
                );
                if let Ok(value) = HeaderValue::from_str(key) {
                    headers.insert(header::SEC_WEBSOCKET_KEY, value);
                }
                if let Ok(value) = HeaderValue::from_str(&self.subprotocols.join(", "))
                    && !self.subprotocols.is_empty()
                {
                    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
                }
            }
        }
    }

    /// The subprotocol that the API server chose, if its 101 is in order.
    fn check(&self, headers: &HeaderMap) -> Result<String, &'static str> {
        let text = |name: &HeaderName| {
            let mut values = headers.get_all(name).iter();
            match (values.next(), values.next()) {
                (None, _) => Ok(""),
                (Some(value), None) => value
                    .to_str()
                    .map_err(|_| "its upgrade answer is not plain text"),
                _ => Err("its upgrade answer repeats a header"),
            }
        };
        if !text(&header::UPGRADE)?.eq_ignore_ascii_case(self.protocol.token()) {
            return Err("it switched to another protocol than was asked for");
        }
        let chosen = match &self.key {
            None => text(&STREAM_PROTOCOL)?,
            Some(key) => {
                if text(&header::SEC_WEBSOCKET_ACCEPT)? != accept_value(key) {
                    return Err("its Sec-WebSocket-Accept does not fit the key");
                }
                if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS) {
                    return Err("it chose an extension that was not offered");
                }
                text(&header::SEC_WEBSOCKET_PROTOCOL)?
            }
        };
        if !chosen.is_empty() && !self.subprotocols.iter().any(|t| t == chosen) {
            return Err("it chose a subprotocol that was not offered");
        }
        Ok(chosen.to_owned())
    }

    /// The 101 to the client, from scratch.
    fn answer(&self, chosen: &str) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(
            header::UPGRADE,
            HeaderValue::from_static(self.protocol.token()),
        );
        let name = match &self.key {
            None => STREAM_PROTOCOL,
            Some(key) => {
                if let Ok(value) = HeaderValue::from_str(&accept_value(key)) {
                    headers.insert(header::SEC_WEBSOCKET_ACCEPT, value);
                }
                header::SEC_WEBSOCKET_PROTOCOL
            }
        };
        if let Ok(value) = HeaderValue::from_str(chosen)
            && !chosen.is_empty()
        {
            headers.insert(name, value);
        }
        response
    }
}

/// RFC 6455 §4.2.2: proof that the server has read the key. SHA-1 is the protocol's, not a safeguard.
fn accept_value(key: &str) -> String {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    let joined = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, joined.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn upgrades_are_plain_or_refused() {
        assert_eq!(
            requested(&headers(&[("connection", "keep-alive")])).unwrap(),
            None
        );
        let ws = headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
        ]);
        assert_eq!(requested(&ws).unwrap(), Some(Protocol::WebSocket));
        for bad in [
            &[("connection", "xupgrade"), ("upgrade", "websocket")][..],
            &[("connection", "Upgrade")],
            &[("upgrade", "websocket")],
            &[("connection", "Upgrade"), ("upgrade", "h2c")],
            &[
                ("connection", "Upgrade"),
                ("upgrade", "websocket"),
                ("upgrade", "SPDY/3.1"),
            ],
            &[
                ("connection", "Upgrade"),
                ("upgrade", "websocket, SPDY/3.1"),
            ],
        ] {
            assert!(requested(&headers(bad)).is_err(), "{bad:?}");
        }
    }

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn offer() -> Offer {
        let read = headers(&[
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
            (
                "sec-websocket-protocol",
                &format!("{BEARER}dG9r, v5.channel.k8s.io"),
            ),
            ("sec-websocket-extensions", "permessage-deflate"),
        ]);
        Offer::read(&read, Protocol::WebSocket).unwrap()
    }

    #[test]
    fn a_bearer_in_the_subprotocols_and_extensions_stay_behind() {
        let mut out = HeaderMap::new();
        offer().write(&mut out);
        assert_eq!(out["sec-websocket-protocol"], "v5.channel.k8s.io");
        assert!(!out.contains_key("sec-websocket-extensions"));
    }

    #[test]
    fn a_101_must_fit_the_offer() {
        // The accept value of RFC 6455 §1.3.
        let good = [
            ("upgrade", "websocket"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("sec-websocket-protocol", "v5.channel.k8s.io"),
        ];
        assert_eq!(offer().check(&headers(&good)).unwrap(), "v5.channel.k8s.io");
        for (at, other) in [(0, "SPDY/3.1"), (1, "AAAA"), (2, "v4.channel.k8s.io")] {
            let mut bad = good;
            bad[at].1 = other;
            assert!(offer().check(&headers(&bad)).is_err(), "{other}");
        }
        let mut extended = headers(&good);
        extended.insert("sec-websocket-extensions", HeaderValue::from_static("x"));
        assert!(offer().check(&extended).is_err());
    }
}
