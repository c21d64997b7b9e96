//! A filter over rows of text: a regular expression, `!` before it inverts. Matching ignores case
//! unless the expression has a capital letter.

use cmdr_protocol::sift::Sift;
use regex::{Regex, RegexBuilder};

/// What is filtered for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    text: String,
    invert: bool,
    regex: Option<Regex>,
    error: Option<String>,
}

impl Filter {
    /// Reads the expression. One that does not parse keeps the last good one and tells why.
    pub fn set(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        let (invert, expression) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if expression.is_empty() {
            *self = Self { text: text.to_owned(), ..Self::default() };
            return;
        }
        let built = RegexBuilder::new(expression)
            .case_insensitive(!expression.chars().any(char::is_uppercase))
            .size_limit(1 << 20)
            .build();
        match built {
            Ok(regex) => {
                self.regex = Some(regex);
                self.invert = invert;
                self.error = None;
            }
            Err(error) => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                self.error = Some(last.trim_start_matches("error: ").to_owned());
            }
        }
    }

    /// As typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Why the expression does not parse.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Whether anything is filtered.
    pub fn is_on(&self) -> bool {
        self.regex.is_some()
    }

    /// The same for hosts to look for: `before` stands before the text of each row. Nothing when every row
    /// stays.
    pub fn sift(&self, before: &str) -> Sift {
        let Some(regex) = &self.regex else { return Sift::default() };
        let case = if regex.as_str().chars().any(char::is_uppercase) { "" } else { "(?i)" };
        let pattern = vec![format!("{case}{regex}")];
        let (fits, not) = if self.invert { (Vec::new(), pattern) } else { (pattern, Vec::new()) };
        Sift { fits, not, before: before.to_owned() }
    }

    /// Whether a row with this text stays.
    pub fn keeps(&self, row: &str) -> bool {
        self.regex.as_ref().is_none_or(|regex| regex.is_match(row) != self.invert)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclamation_mark_inverts_and_capitals_make_case_count() {
        let mut filter = Filter::default();
        filter.set("web");
        assert!(filter.keeps("WEB1") && !filter.keeps("db1"));
        filter.set("Web");
        assert!(!filter.keeps("WEB1"));
        filter.set("!web");
        assert!(!filter.keeps("web1") && filter.keeps("db1"));
    }

    #[test]
    fn hosts_look_for_the_same() {
        let mut filter = Filter::default();
        assert!(filter.sift("web1").is_empty());
        filter.set("java|jar");
        assert_eq!(filter.sift("web1").fits, ["(?i)java|jar"]);
        filter.set("!Java");
        let sift = filter.sift("web1");
        assert_eq!(
            (sift.fits.len(), &sift.not[0], sift.before.as_str()),
            (0, &"Java".into(), "web1")
        );
    }

    #[test]
    fn a_broken_expression_keeps_the_last_good_one_and_says_why() {
        let mut filter = Filter::default();
        filter.set("web");
        filter.set("web(");
        assert!(filter.keeps("web1") && !filter.keeps("db1"));
        assert_eq!(filter.error(), Some("unclosed group"));
    }
}
