//! Makes texts fit: what a place takes at once is limited, and what is left out is said.

use crate::config::Lang;
use crate::content::Content;

/// A mark where something was left out.
pub(crate) fn mark(lang: Lang) -> &'static str {
    match lang {
        Lang::En => "… (cut)",
        Lang::Zh => "…(已截断)",
    }
}

/// How long a text is for a place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// In bytes of UTF-8.
    Bytes(usize),
    /// In characters.
    Chars(usize),
}

impl Limit {
    pub(crate) fn holds(self, text: &str) -> bool {
        match self {
            Self::Bytes(most) => text.len() <= most,
            Self::Chars(most) => text.chars().count() <= most,
        }
    }
}

/// The text, cut between characters and marked where it was too long.
pub(crate) fn cut(text: &str, limit: Limit, lang: Lang) -> String {
    if limit.holds(text) {
        return text.to_owned();
    }
    let mark = mark(lang);
    let size = |text: &str| match limit {
        Limit::Bytes(_) => text.len(),
        Limit::Chars(_) => text.chars().count(),
    };
    let (Limit::Bytes(most) | Limit::Chars(most)) = limit;
    let mut room = most.saturating_sub(size(mark));
    let mut out = String::new();
    for c in text.chars() {
        let one = if matches!(limit, Limit::Bytes(_)) { c.len_utf8() } else { 1 };
        if one > room {
            break;
        }
        room -= one;
        out.push(c);
    }
    out + mark
}

/// Renders as many alerts as fit, then with shorter messages. What even so does not fit comes back as too long.
pub(crate) fn fitting(
    content: &Content,
    limit: Limit,
    lang: Lang,
    render: impl Fn(&Content) -> Result<String, String>,
) -> Result<String, String> {
    let mut less = content.clone();
    loop {
        let text = render(&less)?;
        if limit.holds(&text) {
            return Ok(text);
        }
        let shown = less.entries.len();
        if shown <= 1 {
            break;
        }
        // What each takes is about the same: a first guess, and at least one fewer.
        let keep = (shown * 3 / 4).max(1).min(shown - 1);
        less.more += shown - keep;
        less.entries.truncate(keep);
    }
    for most in [400, 100, 30] {
        for entry in &mut less.entries {
            let texts = [
                &mut entry.message,
                &mut entry.host,
                &mut entry.value,
                &mut entry.instance,
                &mut entry.rule,
            ];
            for text in texts {
                *text = cut(text, Limit::Chars(most), lang);
            }
            entry.labels.clear();
        }
        less.group = cut(&less.group, Limit::Chars(most), lang);
        let text = render(&less)?;
        if limit.holds(&text) {
            return Ok(text);
        }
    }
    render(&less)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Entry;

    #[test]
    fn what_is_cut_fits_and_says_so() {
        let text = "ä".repeat(100);
        let short = cut(&text, Limit::Bytes(50), Lang::En);
        assert!(short.len() <= 50 && short.len() > 47 && short.ends_with("ä… (cut)"), "{short}");
        assert_eq!(cut(&text, Limit::Chars(100), Lang::En), text);
        assert_eq!(cut(&text, Limit::Chars(10), Lang::Zh), "ääää…(已截断)");
    }

    #[test]
    fn alerts_are_left_out_before_their_texts_are_cut() {
        let entry = |n| Entry { message: format!("{n:03}{}", "x".repeat(97)), ..Entry::default() };
        let content = Content { entries: (0..100).map(entry).collect(), ..Content::default() };
        let render = |content: &Content| {
            let all: String = content.entries.iter().map(|e| e.message.clone()).collect();
            Ok(format!("{all}+{}", content.more))
        };
        let text = fitting(&content, Limit::Bytes(1000), Lang::En, render).unwrap();
        let shown = text.matches('x').count() / 97;
        assert!(shown > 3 && text.ends_with(&format!("+{}", 100 - shown)), "{text}");
        let text = fitting(&content, Limit::Bytes(60), Lang::En, render).unwrap();
        assert!(text.starts_with("000xxx") && text.ends_with("… (cut)+99"), "{text}");
    }
}
