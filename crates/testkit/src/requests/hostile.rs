//! Spellings that two programs may read differently.

use super::{Intent, Request};
use crate::random::Random;

/// Bits that change what a path or query is to one program and not to another.
const BITS: [&str; 44] = [
    "/",
    "//",
    "/./",
    "/../",
    "/..",
    "..",
    ".",
    "%2e",
    "%2E%2e",
    "%2f",
    "%2F",
    "%5c",
    "\\",
    "%25",
    "%252e%252e",
    "%252f",
    "%00",
    "%0a",
    "%0d%0a",
    "%20",
    "%3b",
    ";",
    ";a=b",
    "#",
    "?",
    "&",
    "=",
    "+",
    "%",
    "%2",
    "%zz",
    "%FF",
    "%c0%ae",
    "%C3%A4",
    "ä",
    "%E2%80%AE",
    "%3f",
    "%23",
    "%26",
    "%3d",
    "&watch=1",
    "&watch=0",
    "%61",
    "*",
];

/// The request, spoilt in one to three places.
pub(super) fn spoil(random: &mut Random, plain: Request) -> Request {
    let mut request = plain;
    for _ in 0..=random.below(3) {
        match random.below(12) {
            0 => {
                request.method = random
                    .pick(&["get", "Get", "CONNECT", "FOO", "OPTIONS"])
                    .to_owned()
            }
            1 | 2 => escape_one(random, &mut request.target),
            3 => flip_case(random, &mut request.target),
            4 => remove_one(random, &mut request.target),
            5 => double_slash(random, &mut request.target),
            6 => request.target = request.target.replacen('?', "/?", 1),
            7 => repeat_parameter(random, &mut request.target),
            _ => {
                let at = boundary(random, &request.target);
                request.target.insert_str(at, random.pick(&BITS));
            }
        }
    }
    request.intent = Intent::Hostile;
    request
}

/// A place between two characters.
fn boundary(random: &mut Random, text: &str) -> usize {
    let at = random.below(text.len() + 1);
    (0..=at)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

/// Takes out the character after a random place.
fn take(random: &mut Random, text: &mut String) -> Option<(usize, char)> {
    let at = boundary(random, text);
    (at < text.len()).then(|| (at, text.remove(at)))
}

fn escape_one(random: &mut Random, text: &mut String) {
    if let Some((at, c)) = take(random, text) {
        let mut escaped = String::new();
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            if random.chance(50) {
                escaped.push_str(&format!("%{byte:02x}"));
            } else {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        }
        text.insert_str(at, &escaped);
    }
}

fn flip_case(random: &mut Random, text: &mut String) {
    if let Some((at, c)) = take(random, text) {
        let flipped = if c.is_ascii_lowercase() {
            c.to_ascii_uppercase()
        } else {
            c.to_ascii_lowercase()
        };
        text.insert(at, flipped);
    }
}

fn remove_one(random: &mut Random, text: &mut String) {
    take(random, text);
}

fn double_slash(random: &mut Random, text: &mut String) {
    let slashes = text.matches('/').count();
    let chosen = random.below(slashes);
    if let Some((at, _)) = text.match_indices('/').nth(chosen) {
        text.insert(at, '/');
    }
}

/// Gives a parameter once more, sometimes with another value.
fn repeat_parameter(random: &mut Random, text: &mut String) {
    let Some((_, query)) = text.split_once('?') else {
        text.push_str("?watch=0&watch=1");
        return;
    };
    let chosen = random.below(query.split('&').count());
    let parameter = query.split('&').nth(chosen).unwrap_or_default().to_owned();
    text.push('&');
    text.push_str(&parameter);
    if random.chance(50) {
        text.push('1');
    }
}
