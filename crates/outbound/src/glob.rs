//! Patterns over names with slashes: `*` stands for any characters but `/`, `**` for any at all. A
//! pattern is always about the whole text.

/// Longest pattern, in bytes: what a person writes, and a bound on the work.
pub(crate) const PATTERN_LIMIT: usize = 512;

/// Whether `text` as a whole has the form of `pattern`. Work is at most the product of the lengths.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let steps = steps(pattern);
    // reached[i]: the steps so far can end before byte i.
    let text = text.as_bytes();
    let mut reached = vec![false; text.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for step in steps {
        let mut next = vec![false; text.len() + 1];
        let mut open = false;
        for at in 0..=text.len() {
            let here = reached.get(at).copied().unwrap_or_default();
            let before = at.checked_sub(1);
            let byte = before.and_then(|b| text.get(b)).copied();
            let came = before.and_then(|b| reached.get(b)).copied();
            let value = match step {
                Step::Byte(wanted) => came == Some(true) && byte == Some(wanted),
                Step::Segment => {
                    open = here || (open && byte != Some(b'/'));
                    open
                }
                Step::Anything => {
                    open |= here;
                    open
                }
            };
            if let Some(place) = next.get_mut(at) {
                *place = value;
            }
        }
        reached = next;
    }
    reached.last().copied().unwrap_or_default()
}

/// Whether the pattern is only what it says: no `*`.
pub(crate) fn is_literal(pattern: &str) -> bool {
    !pattern.contains('*')
}

#[derive(Clone, Copy)]
enum Step {
    Byte(u8),
    /// `*`
    Segment,
    /// `**`, and more
    Anything,
}

fn steps(pattern: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::with_capacity(pattern.len());
    for byte in pattern.bytes() {
        match (byte, steps.last_mut()) {
            (b'*', Some(last @ (Step::Segment | Step::Anything))) => *last = Step::Anything,
            (b'*', _) => steps.push(Step::Segment),
            (byte, _) => steps.push(Step::Byte(byte)),
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_about_the_whole_text() {
        for (pattern, text) in [
            ("acme/shop", "acme/shop"),
            ("acme/*", "acme/shop"),
            ("acme/*", "acme/"),
            ("**", "a/b/c"),
            ("**", ""),
            ("refs/heads/release-*", "refs/heads/release-1.2"),
            ("refs/tags/**", "refs/tags/a/b"),
            ("a*b*c", "aXbYc"),
            ("a*b*c", "abbbc"),
            (
                "acme/*/.github/workflows/*@refs/heads/main",
                "acme/ci/.github/workflows/d.yml@refs/heads/main",
            ),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("acme/shop", "acme/shop2"),
            ("acme/shop", "evil/acme/shop"),
            ("acme/shop", "ACME/shop"),
            ("acme/*", "acme/shop/x"),
            ("acme/*", "acme"),
            ("acme/*", "acme-evil/shop"),
            ("*", "a/b"),
            ("refs/heads/release-*", "refs/heads/release-1/../main"),
            ("", "a"),
            ("a.c", "abc"),
            ("[a]", "a"),
            ("a?", "ab"),
            ("refs/heads/main", "refs/heads/main\n"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_nasty_pattern_costs_no_more_than_its_length() {
        let text = "a".repeat(2000);
        assert!(!matches(&"a*".repeat(250), &format!("{text}b/")));
    }

    /// The same, written plainly and slowly.
    fn slowly(pattern: &[u8], text: &[u8]) -> bool {
        let (rest, crosses) = match pattern {
            [] => return text.is_empty(),
            [b'*', b'*', ..] => {
                let stars = pattern.iter().take_while(|b| **b == b'*').count();
                (&pattern[stars..], true)
            }
            [b'*', rest @ ..] => (rest, false),
            [byte, rest @ ..] => return text.first() == Some(byte) && slowly(rest, &text[1..]),
        };
        (0..=text.len()).any(|at| {
            let taken = &text[..at];
            (crosses || !taken.contains(&b'/')) && slowly(rest, &text[at..])
        })
    }

    proptest::proptest! {
        #[test]
        fn it_means_what_the_plain_one_means(pattern in "[ab/*]{0,8}", text in "[ab/]{0,8}") {
            let wanted = slowly(pattern.as_bytes(), text.as_bytes());
            proptest::prop_assert_eq!(matches(&pattern, &text), wanted);
        }
    }
}
