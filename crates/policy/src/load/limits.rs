//! How big and how deep a policy may be. Cedar's parser recurses without a limit of its own; a gate that
//! reloads its policies must refuse a file that is too deep and not fall over it.

/// Bytes of one file.
const MAX_BYTES: usize = 8 << 20;
/// Brackets inside brackets.
const MAX_DEPTH: usize = 32;
/// Operators of one policy, each of which can make the expression one deeper.
const MAX_OPERATORS: usize = 512;

/// The line of a character that nobody sees, or that shows others in another order: what a reader sees
/// must be what is judged. As an escape in a string (`\u{200b}`) it can be seen.
pub(super) fn hidden(text: &str) -> Option<usize> {
    let mut line = 1;
    for c in text.chars() {
        match c {
            '\n' => line += 1,
            '\t' | '\r' => {}
            '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' => return Some(line),
            c if c.is_control() => return Some(line),
            _ => {}
        }
    }
    None
}

/// What is too big or too deep in a file, and on which line.
pub(super) fn exceeded(text: &str) -> Option<(usize, &'static str)> {
    if text.len() > MAX_BYTES {
        return Some((1, "has more than 8 MiB; split it"));
    }
    let mut scan = Scan::default();
    let mut bytes = text.bytes().peekable();
    let mut line = 1;
    while let Some(byte) = bytes.next() {
        match byte {
            b'\n' => {
                line += 1;
                scan.in_comment = false;
            }
            _ if scan.in_comment => {}
            // What is escaped does not end the string.
            b'\\' if scan.in_string => _ = bytes.next_if(|next| *next != b'\n'),
            b'"' => scan.in_string = !scan.in_string,
            _ if scan.in_string => {}
            b'/' if bytes.peek() == Some(&b'/') => scan.in_comment = true,
            _ => scan.code(byte),
        }
        scan.last = byte;
        if scan.depth > MAX_DEPTH {
            return Some((
                line,
                "has more than 32 brackets inside each other; write it flatter",
            ));
        }
        if scan.operators > MAX_OPERATORS {
            return Some((
                line,
                "has a policy of more than 512 operators; split it, or compare with a set, as in \
                 `[\"a\", \"b\"].contains(…)`",
            ));
        }
    }
    None
}

#[derive(Default)]
struct Scan {
    in_string: bool,
    in_comment: bool,
    depth: usize,
    operators: usize,
    last: u8,
}

impl Scan {
    fn code(&mut self, byte: u8) {
        match byte {
            b'(' | b'[' | b'{' => self.depth += 1,
            b')' | b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            b'&' | b'|' | b'.' | b'+' | b'-' | b'*' | b'!' | b'?' => self.operators += 1,
            // The end of `if`, of which each makes one deeper, and of whatever ends like it.
            b'f' if self.last == b'i' => self.operators += 1,
            b';' => (self.operators, self.depth) = (0, 0),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_and_length_are_bounded() {
        let flat =
            "permit(principal, action, resource) when { [\"(((\", \"\\\"((\"].contains(\"a\") };\n";
        assert_eq!(
            exceeded(&flat.repeat(1000)),
            None,
            "each policy counts for itself"
        );
        let deep = format!("\n{}", "(".repeat(33));
        assert_eq!(exceeded(&deep).map(|(line, _)| line), Some(2));
        assert_eq!(
            exceeded(&format!("// {}\n\"{}\"", "(".repeat(99), "[".repeat(99))),
            None
        );
        assert!(exceeded(&"a && ".repeat(257)).is_some());
        assert!(exceeded(&"if a then ".repeat(513)).is_some());
        assert!(exceeded(&" ".repeat(MAX_BYTES + 1)).is_some());
        // A `;` in a string or a comment ends nothing.
        assert!(exceeded(&"a && \";\" // ;\n".repeat(257)).is_some());
    }
}
