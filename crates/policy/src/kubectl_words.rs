//! From what a person types, `delete deployment web -n shop`, to the request that kubectl sends for it:
//! for explanations and tests, where no cluster can be asked what `deployment` is. What the built-in
//! tables do not know is written as method and path: `GET /api/v1/nodes/n/proxy/pods`.

mod flags;
mod resources;
mod verbs;

use kubestile_core::action::Impersonates;
use kubestile_core::request_info::RequestInfo;
use kubestile_core::{Action, ClusterName};

pub use resources::known_resources;

/// A request, as the gate sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// The HTTP method.
    pub method: String,
    /// The path, percent-encoded, without `/clusters/<name>`.
    pub path: String,
    /// The query, without `?`.
    pub query: Option<String>,
    /// `--as` and `--as-group`.
    pub impersonates: Option<Impersonates>,
}

/// Why words do not stand for one request: what to write instead, for the person who typed them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct WordsError {
    reason: String,
}

impl WordsError {
    fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
        }
    }
}

impl Typed {
    /// Reads a line: kubectl words, with or without `kubectl` before them and quoted as in a shell, or
    /// a method and a path. Where a command sends several requests, it is the one that it is about.
    ///
    /// # Errors
    /// [`WordsError`] if the line stands for no request, for several, or for one that cannot be known
    /// without a cluster.
    pub fn parse(line: &str) -> Result<Self, WordsError> {
        Self::from_words(&split(line)?)
    }

    /// As [`Typed::parse`], from words that a shell has split already.
    ///
    /// # Errors
    /// As [`Typed::parse`].
    pub fn from_words(words: &[String]) -> Result<Self, WordsError> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            [method, path] if path.starts_with('/') && is_method(method) => {
                let (path, query) = match path.split_once('?') {
                    Some((path, query)) => (path, Some(query.to_owned())),
                    None => (*path, None),
                };
                Ok(Self {
                    method: (*method).to_owned(),
                    path: path.to_owned(),
                    query,
                    impersonates: None,
                })
            }
            ["kubectl", verb, rest @ ..] | [verb, rest @ ..] => verbs::request(verb, rest),
            [] => Err(WordsError::new(
                "write a kubectl command, or a method and a path",
            )),
        }
    }

    /// The action that the request is on `cluster`, read by the one parser of requests.
    ///
    /// # Errors
    /// [`WordsError`] with the parser's reason, when the gate would answer 400.
    pub fn action(&self, cluster: ClusterName) -> Result<Action, WordsError> {
        let info = RequestInfo::parse(&self.method, &self.path, self.query.as_deref())
            .map_err(|error| WordsError::new(format!("the gate would answer 400: {error}")))?;
        Ok(Action::new(cluster, info, self.impersonates.clone()))
    }
}

fn is_method(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase())
}

/// Splits a line as a shell does, with `'…'`, `"…"` and `\`.
fn split(line: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => {
                let next = chars.next();
                let next = next.ok_or_else(|| WordsError::new("the line ends with a `\\`"))?;
                word.get_or_insert_default().push(next);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(WordsError::new("a quote is not closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests;
