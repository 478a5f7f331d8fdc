//! Texts of people, made fit to be shown on one line.

/// At most `limit` characters: control characters, line separators and what turns the direction of text round
/// become spaces.
pub(crate) fn line(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for (count, c) in text.trim().chars().enumerate() {
        if count == limit {
            shown.push('…');
            break;
        }
        shown.push(if is_invisible(c) { ' ' } else { c });
    }
    shown.trim().to_owned()
}

fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hides_in_a_line() {
        assert_eq!(line(" a\r\nBcc: b\tc ", 100), "a  Bcc: b c");
        assert_eq!(
            line("delete \u{202e}gpj.exe\u{200b}", 100),
            "delete  gpj.exe"
        );
        assert_eq!(line("é".repeat(9).as_str(), 3), "ééé…");
        assert_eq!(line("\u{feff}\u{2028}\u{0}", 100), "");
        assert_eq!(line("naïve 日本語 🙂", 100), "naïve 日本語 🙂");
    }
}
