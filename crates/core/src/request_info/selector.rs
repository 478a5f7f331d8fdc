//! Field and label selectors as `k8s.io/apimachinery/pkg/{fields,labels}` parse them.

use std::borrow::Cow;

use super::ParseError;

/// The name that a field selector requires (`metadata.name=X`), if X can be a path segment.
///
/// # Errors
/// [`ParseError`] when `fields.ParseSelector` refuses the selector.
pub(super) fn required_name(selector: &str) -> Result<Option<String>, ParseError> {
    // The terms are sorted before they are looked at: of several names, the term that is first in
    // byte order counts.
    let mut first: Option<(&str, Cow<'_, str>)> = None;
    for term in terms(selector).filter(|term| !term.is_empty()) {
        let (field, equal, value) = split_term(term)?;
        let value = unescape(value)?;
        if equal && field == "metadata.name" && first.as_ref().is_none_or(|(t, _)| term < *t) {
            first = Some((term, value));
        }
    }
    Ok(first
        .map(|(_, name)| name.into_owned())
        .filter(|name| is_path_segment(name)))
}

/// `content.IsPathSegmentName`.
fn is_path_segment(name: &str) -> bool {
    name != "." && name != ".." && !name.contains(['/', '%'])
}

/// The terms between commas that no backslash escapes.
fn terms(selector: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    selector.split(move |c| {
        let was_escaped = escaped;
        escaped = !was_escaped && c == '\\';
        c == ',' && !was_escaped
    })
}

/// Field, whether the operator is one of equality, and the value, still escaped.
fn split_term(term: &str) -> Result<(&str, bool, &str), ParseError> {
    // The first operator splits: `!=`, `==` or `=`, whichever comes first. A `!` alone is data.
    let Some((left, right)) = term.split_once('=') else {
        return Err(field_error("has a term without an operator"));
    };
    if let Some(field) = left.strip_suffix('!') {
        return Ok((field, false, right));
    }
    Ok((left, true, right.strip_prefix('=').unwrap_or(right)))
}

/// `fields.UnescapeValue`.
fn unescape(value: &str) -> Result<Cow<'_, str>, ParseError> {
    if !value.contains(['\\', ',', '=']) {
        return Ok(Cow::Borrowed(value));
    }
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('\\' | ',' | '=')) => text.push(escaped),
                _ => return Err(field_error("has a backslash before what needs none")),
            },
            ',' | '=' => return Err(field_error("has an unescaped `=` in a value")),
            other => text.push(other),
        }
    }
    Ok(Cow::Owned(text))
}

fn field_error(what: &str) -> ParseError {
    ParseError::new(format!("the field selector {what}"))
}

/// Checks a label selector.
///
/// # Errors
/// [`ParseError`] when `labels.Parse` refuses the selector.
pub(super) fn check_labels(selector: &str) -> Result<(), ParseError> {
    let mut parser = Labels::new(selector);
    if parser.peek() == Token::End {
        return Ok(());
    }
    loop {
        parser.requirement()?;
        match parser.next() {
            Token::End => return Ok(()),
            Token::Comma if matches!(parser.peek(), Token::Word(_) | Token::Not) => {}
            Token::Comma => return Err(label_error("has a comma without a term after it")),
            _ => return Err(label_error("has something other than a comma after a term")),
        }
    }
}

fn label_error(what: &str) -> ParseError {
    ParseError::new(format!("the label selector {what}"))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    End,
    Open,
    Close,
    Comma,
    Not,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    /// A key, a value, or one of the words `in` and `notin`, which are operators only where an
    /// operator must stand.
    Word(&'a str),
}

/// `labels.Parser` with one token of lookahead.
struct Labels<'a> {
    rest: &'a str,
    ahead: Token<'a>,
}

impl<'a> Labels<'a> {
    fn new(selector: &'a str) -> Self {
        let mut parser = Self {
            rest: selector,
            ahead: Token::End,
        };
        parser.next();
        parser
    }

    const fn peek(&self) -> Token<'a> {
        self.ahead
    }

    fn next(&mut self) -> Token<'a> {
        let next = self.lex();
        std::mem::replace(&mut self.ahead, next)
    }

    fn lex(&mut self) -> Token<'a> {
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let is_special = |byte: &u8| matches!(byte, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<');
        // Cuts are made before or after ASCII bytes only, so always between characters.
        let spaces = self.rest.bytes().take_while(|b| is_space(b)).count();
        self.rest = self.rest.split_at(spaces).1;
        let (token, length) = match self.rest.as_bytes() {
            [] => return Token::End,
            [b'=', b'=', ..] => (Token::DoubleEquals, 2),
            [b'!', b'=', ..] => (Token::NotEquals, 2),
            [b'=', ..] => (Token::Equals, 1),
            [b'!', ..] => (Token::Not, 1),
            [b'(', ..] => (Token::Open, 1),
            [b')', ..] => (Token::Close, 1),
            [b',', ..] => (Token::Comma, 1),
            [b'>', ..] => (Token::Greater, 1),
            [b'<', ..] => (Token::Less, 1),
            word => {
                let ends = |byte: &u8| is_space(byte) || is_special(byte);
                let end = word.iter().position(ends).unwrap_or(word.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                return Token::Word(word);
            }
        };
        self.rest = self.rest.split_at(length).1;
        token
    }

    /// One term: `key`, `!key`, `key=value`, `key in (a,b)`, `key>1`, …
    fn requirement(&mut self) -> Result<(), ParseError> {
        let absent = self.peek() == Token::Not;
        if absent {
            self.next();
        }
        let Token::Word(key) = self.next() else {
            return Err(label_error("has a term without a key"));
        };
        if !is_label_key(key) {
            return Err(label_error("has a key that no label can have"));
        }
        if absent || matches!(self.peek(), Token::End | Token::Comma) {
            return Ok(());
        }
        match self.next() {
            Token::Word("in" | "notin") => self.values(),
            Token::Equals | Token::DoubleEquals | Token::NotEquals => {
                check_label_value(self.value()?)
            }
            Token::Greater | Token::Less => {
                let value = self.value()?;
                if value.parse::<i64>().is_err() {
                    return Err(label_error("compares with what is not a whole number"));
                }
                check_label_value(value)
            }
            _ => Err(label_error("has a key without an operator after it")),
        }
    }

    fn value(&mut self) -> Result<&'a str, ParseError> {
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Ok("");
        }
        match self.next() {
            Token::Word(value) => Ok(value),
            _ => Err(label_error("has an operator where a value should stand")),
        }
    }

    /// `(a,b)`; values may be missing, `(,)` and `()` stand for the empty value.
    fn values(&mut self) -> Result<(), ParseError> {
        if self.next() != Token::Open {
            return Err(label_error("has no `(` after `in` or `notin`"));
        }
        loop {
            match self.next() {
                Token::Close => return Ok(()),
                Token::Comma => {}
                Token::Word(value) => {
                    check_label_value(value)?;
                    if !matches!(self.peek(), Token::Comma | Token::Close) {
                        return Err(label_error("has neither `,` nor `)` after a value"));
                    }
                }
                _ => return Err(label_error("has no `)` after its values")),
            }
        }
    }
}

/// `content.IsLabelKey`: a name of at most 63 characters, with a DNS subdomain before it or not.
fn is_label_key(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    !name.is_empty() && is_label_name(name) && prefix.is_none_or(is_dns_subdomain)
}

/// `content.IsLabelValue`.
fn check_label_value(value: &str) -> Result<(), ParseError> {
    if value.is_empty() || is_label_name(value) {
        return Ok(());
    }
    Err(label_error("has a value that no label can have"))
}

fn is_label_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let bytes = name.as_bytes();
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    name.len() <= 63 && ends(bytes.first()) && ends(bytes.last()) && name.bytes().all(inner)
}

/// `content.IsDNS1123Subdomain`.
fn is_dns_subdomain(name: &str) -> bool {
    let outer = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        outer(bytes.first())
            && outer(bytes.last())
            && bytes.iter().all(|byte| outer(Some(byte)) || *byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}
