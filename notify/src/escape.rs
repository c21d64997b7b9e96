//! Makes texts from hosts harmless in the markup of a place.

use cmdr_protocol::display;

/// The markups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Markup {
    /// None.
    Plain,
    /// That of mail and of Telegram.
    Html,
    /// That of Slack, which has three characters that mean something before all else.
    Slack,
    /// That of Chinese robots, which have a dialect of Markdown each and no way to escape.
    Dialect,
}

/// The text as it may stand in that markup: one line, nothing that steers a terminal, nothing that is markup.
pub(crate) fn escape(text: &str, markup: Markup) -> String {
    let text = text.replace(['\n', '\r', '\t'], " ");
    let text = display::clean(&text);
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match (markup, c) {
            (Markup::Html | Markup::Slack, '&') => out.push_str("&amp;"),
            (Markup::Html | Markup::Slack, '<') => out.push_str("&lt;"),
            (Markup::Html | Markup::Slack, '>') => out.push_str("&gt;"),
            (Markup::Html, '"') => out.push_str("&quot;"),
            (Markup::Html, '\'') => out.push_str("&#39;"),
            // Looks the same and means nothing: an entity or a backslash would be shown as it stands.
            (
                Markup::Dialect,
                '<' | '>' | '[' | ']' | '*' | '`' | '#' | '~' | '|' | '!' | '@' | '\\',
            ) => {
                out.push(char::from_u32(c as u32 + 0xfee0).unwrap_or(c));
            }
            (_, c) => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_a_host_is_no_markup_anywhere() {
        let evil = "<!channel> [x](http://y) **a** <at id=all></at> @all \u{1b}[2J\n# big";
        assert_eq!(
            escape(evil, Markup::Slack),
            "&lt;!channel&gt; [x](http://y) **a** &lt;at id=all&gt;&lt;/at&gt; @all ␛[2J # big"
        );
        let dialect = escape(evil, Markup::Dialect);
        assert!(
            !dialect.contains(['<', '>', '[', ']', '*', '#', '@', '\n', '\u{1b}']),
            "{dialect}"
        );
        assert_eq!(escape("<b a='\"&", Markup::Html), "&lt;b a=&#39;&quot;&amp;");
        assert_eq!(escape("a\u{202e}b", Markup::Plain), "a‹202e›b");
    }
}
