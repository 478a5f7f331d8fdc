//! Lists, page by page, bounded.

use http::HeaderMap;
use http::HeaderValue;
use http::header::ACCEPT;
use kubestile_assess::snapshot::{Source, Why};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::absent;
use crate::call::Call;
use crate::error::CallError;
use crate::upstream::Upstream;

/// Objects on one page.
const PAGE: usize = 500;
/// More objects of one kind than this are not judged: a part would look like the whole.
const MOST: usize = 500_000;
/// Metadata, and nothing if the server cannot give it alone: never the whole object.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

/// Lists of one API server.
pub(super) struct Lists<'a> {
    pub(super) upstream: &'a Upstream,
    say: &'a mut (dyn FnMut(&str, usize) + Send),
}

/// A page of a list. Items are read one by one by the kind that is asked for.
#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: Continue,
    /// `null` where there is none.
    items: Option<Vec<T>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Continue {
    #[serde(rename = "continue")]
    token: Option<String>,
}

impl<'a> Lists<'a> {
    pub(super) fn new(
        upstream: &'a Upstream,
        say: &'a mut (dyn FnMut(&str, usize) + Send),
    ) -> Self {
        Self { upstream, say }
    }

    /// Everything at `path`, or why not.
    pub(super) async fn all<T: DeserializeOwned>(&mut self, path: &str) -> Source<Vec<T>> {
        self.read(path, HeaderMap::new()).await
    }

    /// As [`Lists::all`]; none where the server has no such kind.
    pub(super) async fn if_there<T: DeserializeOwned>(&mut self, path: &str) -> Source<Vec<T>> {
        match self.all(path).await {
            Source::Absent(absence) if absence.why == Why::Unsupported => Source::Known(Vec::new()),
            other => other,
        }
    }

    /// The metadata of everything at `path`.
    pub(super) async fn metadata<T: DeserializeOwned>(&mut self, path: &str) -> Source<Vec<T>> {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(METADATA))]);
        self.read(path, headers).await
    }

    async fn read<T: DeserializeOwned>(
        &mut self,
        path: &str,
        headers: HeaderMap,
    ) -> Source<Vec<T>> {
        let kind = kind_of(path).to_owned();
        let what = format!("list {kind}");
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        // A list that takes too long loses its place (410); it is begun again once.
        let mut again = true;
        loop {
            (self.say)(&kind, found.len());
            let call = Call::get(page_path(path, token.as_deref())).with_headers(headers.clone());
            let answer: Result<Page<T>, CallError> = self.upstream.request(&call).await;
            let page = match answer {
                Ok(page) => page,
                Err(error) if error.status() == Some(410) && again => {
                    again = false;
                    found.clear();
                    token = None;
                    continue;
                }
                Err(error) => return absent(&error, &what),
            };
            found.extend(page.items.unwrap_or_default());
            if found.len() > MOST {
                return Source::absent(Why::TooLarge, format!("there are more than {MOST} {kind}"));
            }
            token = page.metadata.token.filter(|t| !t.is_empty());
            if token.is_none() {
                return Source::Known(found);
            }
        }
    }
}

fn kind_of(path: &str) -> &str {
    let path = path.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

fn page_path(path: &str, token: Option<&str>) -> String {
    let join = if path.contains('?') { '&' } else { '?' };
    let mut text = format!("{path}{join}limit={PAGE}");
    if let Some(token) = token {
        text.push_str("&continue=");
        for byte in token.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(char::from(byte));
                }
                byte => text.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_cannot_add_to_the_query() {
        assert_eq!(page_path("/x", None), "/x?limit=500");
        assert_eq!(
            page_path("/x?a=b", Some("c&watch=1")),
            "/x?a=b&limit=500&continue=c%26watch%3D1"
        );
        assert_eq!(kind_of("/api/v1/secrets?fieldSelector=type%3Da"), "secrets");
    }
}
