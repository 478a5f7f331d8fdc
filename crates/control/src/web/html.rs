//! Pages are built of literals and of escaped text, and of nothing else: that is all that [`Html`] takes,
//! so text of unknown origin cannot become markup.

/// A piece of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Html(String);

impl Html {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Markup that is written in our own source.
    pub(super) fn lit(mut self, markup: &'static str) -> Self {
        self.0.push_str(markup);
        self
    }

    /// Text of whatever origin, as the content of an element or of an attribute in double quotes.
    pub(super) fn text(mut self, text: &str) -> Self {
        escape(text, &mut self.0);
        self
    }

    /// Another piece.
    pub(super) fn with(mut self, piece: Self) -> Self {
        self.0.push_str(&piece.0);
        self
    }

    /// Another piece for each item.
    pub(super) fn each<T>(
        self,
        items: impl IntoIterator<Item = T>,
        piece: impl Fn(T) -> Self,
    ) -> Self {
        items
            .into_iter()
            .fold(self, |html, item| html.with(piece(item)))
    }

    /// The bytes of the page.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// What means something in HTML becomes a reference; what a person would not see, or would read in another
/// place than it stands in, is shown as `\u{202e}`.
fn escape(text: &str, to: &mut String) {
    for c in text.chars() {
        match c {
            '&' => to.push_str("&amp;"),
            '<' => to.push_str("&lt;"),
            '>' => to.push_str("&gt;"),
            '"' => to.push_str("&quot;"),
            '\'' => to.push_str("&#39;"),
            c if deceives(c) => to.extend(c.escape_unicode()),
            c => to.push(c),
        }
    }
}

/// Control characters, line and paragraph separators, spaces that are not a space, characters without width
/// or without a shape of their own, and what turns the direction of writing (Unicode TR 36 and TR 39).
fn deceives(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{e000}'..='\u{f8ff}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{ffff}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{10ffff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Html::new().text(text).into_string()
    }

    #[test]
    fn markup_in_text_is_text() {
        assert_eq!(
            shown("<script>alert('&')</script>\""),
            "&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;&quot;"
        );
        assert_eq!(
            shown("&lt;"),
            "&amp;lt;",
            "twice is once too often, not too little"
        );
    }

    #[test]
    fn what_deceives_is_shown() {
        assert_eq!(shown("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(
            shown("a\nb\tc\r\u{0}\u{7f}\u{85}"),
            "a\\u{a}b\\u{9}c\\u{d}\\u{0}\\u{7f}\\u{85}"
        );
        for c in [
            '\u{200b}',
            '\u{2066}',
            '\u{feff}',
            '\u{a0}',
            '\u{2003}',
            '\u{3000}',
            '\u{3164}',
            '\u{e0041}',
            '\u{fe0f}',
            '\u{2028}',
            '\u{ad}',
            '\u{e000}',
            '\u{10ffff}',
        ] {
            assert_eq!(shown(&c.to_string()), c.escape_unicode().to_string());
        }
    }

    #[test]
    fn people_write_their_own_languages() {
        for text in ["naïve", "日本語", "Ωμέγα", "שלום", "é", "OPS-12 🙂 - ok?"] {
            assert_eq!(shown(text), text);
        }
    }

    /// Whatever comes in, no character that could end the text goes out.
    #[test]
    fn every_character_is_harmless() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let html = shown(&c.to_string());
            assert!(!html.contains(['<', '>', '"', '\'']), "{c:?}");
            assert!(!html.chars().any(deceives), "{c:?}");
            assert!(!html.contains('&') || html.ends_with(';'), "{c:?}");
        }
    }
}
