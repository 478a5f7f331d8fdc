//! A path as its decoded segments. Only the one spelling that an honest client sends is read; inside
//! the subpath of a `proxy` subresource, which belongs to an application, more is let through.

use std::borrow::Cow;

use super::percent::{self, Byte};
use super::{ParseError, Resource};

/// The most segments of a path.
const MAX_SEGMENTS: usize = 256;

/// The decoded segments of a path, without the empty one before its first slash and after its last.
#[derive(Debug)]
pub(super) struct Segments<'a> {
    names: Vec<Cow<'a, str>>,
    trailing_slash: bool,
}

impl Segments<'_> {
    /// The segments, decoded.
    pub(super) fn names(&self) -> &[Cow<'_, str>] {
        &self.names
    }

    /// Whether a slash follows the last segment, outside of a proxy subpath.
    pub(super) const fn trailing_slash(&self) -> bool {
        self.trailing_slash
    }

    /// The decoded path.
    pub(super) fn join(&self) -> String {
        let length: usize = self.names.iter().map(|name| name.len() + 1).sum();
        let mut path = String::with_capacity(length + 1);
        for name in &self.names {
            path.push('/');
            path.push_str(name);
        }
        if self.trailing_slash {
            path.push('/');
        }
        path
    }
}

/// Reads a raw path.
pub(super) fn read(raw: &str) -> Result<Segments<'_>, ParseError> {
    let Some(mut rest) = raw.strip_prefix('/') else {
        return Err(ParseError::new("the path does not begin with a slash"));
    };
    for byte in raw.bytes() {
        match byte {
            b'\\' | b';' | b'#' | b'?' => {
                return Err(ParseError::new(
                    "the path has one of the characters `\\ ; # ?`, which programs read differently",
                ));
            }
            b'!'..=b'~' => {}
            _ => {
                return Err(ParseError::new(
                    "the path has a space, a control character or a byte outside of ASCII: escape it",
                ));
            }
        }
    }
    let mut names = Vec::with_capacity(8);
    loop {
        let (segment, tail) = match rest.split_once('/') {
            Some((segment, tail)) => (segment, Some(tail)),
            None => (rest, None),
        };
        if segment.is_empty() && tail.is_none() {
            return Ok(Segments {
                names,
                trailing_slash: true,
            });
        }
        names.push(decode_segment(segment)?);
        bound(&names)?;
        let Some(tail) = tail else {
            return Ok(Segments {
                names,
                trailing_slash: false,
            });
        };
        if segment == "proxy" && is_proxy_path(&names) {
            push_subpath(&mut names, tail)?;
            return Ok(Segments {
                names,
                trailing_slash: false,
            });
        }
        rest = tail;
    }
}

/// Whether a request goes on to an application behind a pod, service or node.
pub(super) fn is_proxied(resource: &Resource) -> bool {
    resource.prefix == "api" && resource.subresource == "proxy" && has_proxy(&resource.resource)
}

/// Resources whose `proxy` subresource takes a path of its own.
fn has_proxy(resource: &str) -> bool {
    matches!(resource, "pods" | "services" | "nodes")
}

/// Whether the segments read so far are those of a `proxy` subresource.
fn is_proxy_path(names: &[Cow<'_, str>]) -> bool {
    match names {
        [prefix, _, resource, _, _] => prefix == "api" && has_proxy(resource),
        [prefix, _, scope, _, resource, _, _] => {
            prefix == "api" && scope == "namespaces" && has_proxy(resource)
        }
        _ => false,
    }
}

fn bound(names: &[Cow<'_, str>]) -> Result<(), ParseError> {
    if names.len() > MAX_SEGMENTS {
        return Err(ParseError::new("the path has more than 256 segments"));
    }
    Ok(())
}

/// One segment outside of a proxy subpath.
fn decode_segment(raw: &str) -> Result<Cow<'_, str>, ParseError> {
    match raw {
        "" => {
            return Err(ParseError::new(
                "the path has an empty segment (two slashes in a row)",
            ));
        }
        "." | ".." => return Err(dot_segment()),
        _ => {}
    }
    if !raw.contains('%') {
        return Ok(Cow::Borrowed(raw));
    }
    let mut decoded = Vec::with_capacity(raw.len());
    for byte in percent::bytes(raw) {
        decoded.push(match byte {
            Byte::Plain(byte) => byte,
            Byte::Escaped(byte) => refuse_escape(byte)?,
            Byte::Bad => return Err(bad_escape()),
        });
    }
    let decoded = String::from_utf8(decoded).map_err(|_| not_utf8())?;
    refuse_invisible(&decoded)?;
    Ok(Cow::Owned(decoded))
}

/// Refuses escapes that no honest client sends, and those whose decoding changes what a path is.
fn refuse_escape(byte: u8) -> Result<u8, ParseError> {
    match byte {
        b'/' | b'\\' | b'%' | b';' => Err(ParseError::new(
            "the path has an escaped `/`, `\\`, `%` or `;`, which programs read differently",
        )),
        0..=0x1f | 0x7f => Err(invisible()),
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            Err(ParseError::new(
                "the path has an escaped letter, digit, `-`, `.`, `_` or `~`: write it plainly",
            ))
        }
        _ => Ok(byte),
    }
}

/// The rest of a path behind `proxy/`, split as kube-apiserver does after decoding it.
///
/// kube-apiserver resolves `..` in it before it goes on, and the application behind may decode it once
/// more: neither may lead out of where the path seems to point.
fn push_subpath<'a>(names: &mut Vec<Cow<'a, str>>, raw: &'a str) -> Result<(), ParseError> {
    if !raw.contains('%') {
        refuse_detours(raw.as_bytes())?;
        return push_all(names, raw.trim_end_matches('/').split('/'), Cow::Borrowed);
    }
    let mut once = Vec::with_capacity(raw.len());
    for byte in percent::bytes(raw) {
        match byte {
            Byte::Plain(byte) | Byte::Escaped(byte) => once.push(byte),
            Byte::Bad => return Err(bad_escape()),
        }
    }
    let once = String::from_utf8(once).map_err(|_| not_utf8())?;
    refuse_detours(once.as_bytes())?;
    refuse_invisible(&once)?;
    let twice: Vec<u8> = percent::bytes(&once)
        .map(|byte| match byte {
            Byte::Plain(byte) | Byte::Escaped(byte) => byte,
            Byte::Bad => b'%',
        })
        .collect();
    refuse_detours(&twice)?;
    push_all(names, once.trim_end_matches('/').split('/'), |name| {
        Cow::Owned(name.to_owned())
    })
}

fn push_all<'a, 'b>(
    names: &mut Vec<Cow<'a, str>>,
    subpath: std::str::Split<'b, char>,
    own: impl Fn(&'b str) -> Cow<'a, str>,
) -> Result<(), ParseError> {
    let before = names.len();
    for name in subpath {
        names.push(own(name));
        bound(names)?;
    }
    // `"".split('/')` gives one empty segment where there is none.
    if names.len() == before + 1 && names.last().is_some_and(|name| name.is_empty()) {
        names.pop();
    }
    Ok(())
}

/// Refuses dot segments (also with parameters behind, `..;x`), backslashes and control characters.
fn refuse_detours(path: &[u8]) -> Result<(), ParseError> {
    if path.iter().any(u8::is_ascii_control) {
        return Err(invisible());
    }
    if path.contains(&b'\\') {
        return Err(ParseError::new(
            "the path has a backslash, which programs read differently",
        ));
    }
    for segment in path.split(|byte| *byte == b'/') {
        let name = segment.split(|byte| *byte == b';').next();
        if matches!(name, Some(b"." | b"..")) {
            return Err(dot_segment());
        }
    }
    Ok(())
}

/// Refuses characters that a reader cannot see, or that make the text read in another order.
fn refuse_invisible(text: &str) -> Result<(), ParseError> {
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}'
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    if text.chars().any(hides) {
        return Err(invisible());
    }
    Ok(())
}

fn invisible() -> ParseError {
    ParseError::new("the path has a control character or one that cannot be seen")
}

fn dot_segment() -> ParseError {
    ParseError::new("the path has a segment `.` or `..`: write the path that is meant")
}

fn bad_escape() -> ParseError {
    ParseError::new("the path has a `%` that two hexadecimal digits do not follow")
}

fn not_utf8() -> ParseError {
    ParseError::new("the path is not UTF-8 once its escapes are decoded")
}
