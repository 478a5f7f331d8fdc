//! What an approval is for: a digest of everything of a request that could make it do something else.

use aws_lc_rs::digest::{Context, SHA256};
use http::{HeaderMap, header};

use crate::forward::Judged;

/// SHA-256, in lower-case hex, over cluster, method, path, query (an exec's command is in it), whom the
/// client asks to be, content types and encodings and body, each preceded by its length.
///
/// kubectl tries an exec over WebSocket (GET) and again over SPDY (POST) when that fails: to the API server
/// both are the same, and so they are here.
pub(super) fn of(judged: &Judged, headers: &HeaderMap, body: &[u8]) -> String {
    let method = match judged.upgrade {
        Some(_) => "CONNECT",
        None => judged.action.info.method.as_str(),
    };
    let mut sha = Context::new(&SHA256);
    let mut add = |part: &[u8]| {
        sha.update(&(part.len() as u64).to_be_bytes());
        sha.update(part);
    };
    add(judged.cluster.name().as_str().as_bytes());
    add(method.as_bytes());
    add(judged.target.path().as_bytes());
    add(judged.target.query().unwrap_or_default().as_bytes());
    // All that is said of the body: which of two content types is read is not ours to guess.
    for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING] {
        let values = headers.get_all(name);
        add(&(values.iter().count() as u64).to_be_bytes());
        for value in values {
            add(value.as_bytes());
        }
    }
    add(body);
    if let Some(asked) = &judged.action.impersonates {
        add(asked.user.as_bytes());
        for group in &asked.groups {
            add(group.as_bytes());
        }
    }
    crate::record::hex(sha.finish().as_ref())
}
