//! Values that must not be seen: a wrapper that cannot print, and redacted views of what a request
//! carries beside its headers.

use std::fmt;

use zeroize::Zeroize;

/// A value that never reaches `Display`, `Debug` or serde, and is wiped when dropped.
///
/// Reading it is [`Secret::expose`], which one can grep for.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Every call is a place to look at in a review.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What stands in place of a value that is not shown.
pub const REDACTED: &str = "[redacted]";

/// The words of an exec command with what look like passwords and tokens replaced, for logs.
///
/// It errs on the side of hiding: the value after `--password`, `--token`, `-p` of the mysql family,
/// anything of the form `…PASSWORD=…`, URLs with user information, and bearer words.
pub fn redact_command(words: &[String]) -> Vec<String> {
    let mut hide_next = false;
    words
        .iter()
        .map(|word| redact_next(word, &mut hide_next))
        .collect()
}

/// The next word of a command; sets `hide_next` when it says that a secret follows.
fn redact_next(word: &str, hide_next: &mut bool) -> String {
    if std::mem::take(hide_next) {
        return REDACTED.to_owned();
    }
    if word.contains(char::is_whitespace) {
        return redact_script(word);
    }
    if names_secret(word.trim_start_matches('-')) && word.starts_with('-') && !word.contains('=') {
        *hide_next = true;
        return word.to_owned();
    }
    redact_word(word)
}

/// A word that is itself a command line or a whole shell script (`sh -c "…"`); its white space stays.
fn redact_script(script: &str) -> String {
    let mut text = String::with_capacity(script.len());
    let mut hide_next = false;
    for piece in script.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        if !word.is_empty() {
            text.push_str(&redact_next(word, &mut hide_next));
        }
        text.push_str(piece.strip_prefix(word).unwrap_or_default());
    }
    text
}

/// One word without white space.
fn redact_word(word: &str) -> String {
    if let Some((key, value)) = word.split_once('=')
        && !value.is_empty()
        && names_secret(key.trim_start_matches('-'))
    {
        return format!("{key}={REDACTED}");
    }
    if word.eq_ignore_ascii_case("bearer") || word.starts_with("eyJ") {
        return REDACTED.to_owned();
    }
    redact_user_info(word)
}

/// `scheme://user:password@host` without the password.
fn redact_user_info(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else {
        return word.to_owned();
    };
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{REDACTED}@{host}{path}"),
        None => word.to_owned(),
    }
}

/// Whether the name of a flag or variable says that its value is a secret.
pub fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    const MARKS: [&str; 9] = [
        "password",
        "passwd",
        "secret",
        "token",
        "apikey",
        "api-key",
        "api_key",
        "credential",
        "private-key",
    ];
    MARKS.iter().any(|mark| name.contains(mark)) || matches!(name.as_str(), "pass" | "pw" | "pwd")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(line: &[&str]) -> String {
        redact_command(&line.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()).join(" ")
    }

    #[test]
    fn debug_does_not_show_a_secret() {
        assert_eq!(
            format!("{:?}", Secret::new("hunter2".to_owned())),
            "[secret]"
        );
    }

    #[test]
    fn passwords_in_commands_are_hidden() {
        assert_eq!(redacted(&["ls", "-l"]), "ls -l");
        assert_eq!(
            redacted(&["psql", "--password", "x"]),
            "psql --password [redacted]"
        );
        assert_eq!(
            redacted(&["env", "DB_PASSWORD=x", "id"]),
            "env DB_PASSWORD=[redacted] id"
        );
        assert_eq!(
            redacted(&["sh", "-c", "PGPASSWORD=x psql -h db"]),
            "sh -c PGPASSWORD=[redacted] psql -h db"
        );
        assert_eq!(
            redacted(&[
                "sh",
                "-c",
                "set -e\nmysql --password  x\n\tDB_PASSWORD=x y\n"
            ]),
            "sh -c set -e\nmysql --password  [redacted]\n\tDB_PASSWORD=[redacted] y\n"
        );
        assert_eq!(
            redacted(&["curl", "https://u:p@h/x"]),
            "curl https://[redacted]@h/x"
        );
    }
}
