//! Rows of lists by the patterns that somebody asks with. Processes, ports and services use it.

use cmdr_protocol::CallError;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::sift::{MAX_PATTERN, MAX_PATTERNS, Sift};
use regex::{Regex, RegexBuilder};

/// Memory that one pattern may take.
const PATTERN_MEMORY: usize = 1 << 20;

/// Patterns that are ready.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sifted {
    fits: Vec<Regex>,
    not: Vec<Regex>,
    before: String,
}

impl Sifted {
    /// Reads the patterns; says which one makes no sense.
    pub(crate) fn new(sift: &Sift) -> Result<Self, CallError> {
        let all = || sift.fits.iter().chain(&sift.not);
        if all().count() > MAX_PATTERNS || all().any(|pattern| pattern.len() > MAX_PATTERN) {
            return Err(CallError::malformed(format!(
                "at most {MAX_PATTERNS} patterns of at most {MAX_PATTERN} bytes are looked for"
            )));
        }
        let read = |patterns: &[String]| -> Result<Vec<Regex>, CallError> {
            patterns.iter().map(|one| pattern(one)).collect()
        };
        Ok(Self { fits: read(&sift.fits)?, not: read(&sift.not)?, before: sift.before.clone() })
    }

    /// Whether every row is wanted.
    pub(crate) fn is_empty(&self) -> bool {
        self.fits.is_empty() && self.not.is_empty()
    }

    /// Whether a row that shows these, from left to right, is wanted.
    pub(crate) fn keeps(&self, shown: &[&str]) -> bool {
        if self.is_empty() {
            return true;
        }
        let mut text = self.before.clone();
        for one in shown.iter().filter(|one| !one.is_empty()) {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(one);
        }
        self.fits.iter().all(|fits| fits.is_match(&text))
            && !self.not.iter().any(|not| not.is_match(&text))
    }
}

fn pattern(text: &str) -> Result<Regex, CallError> {
    let built =
        RegexBuilder::new(text).size_limit(PATTERN_MEMORY).dfa_size_limit(PATTERN_MEMORY).build();
    built.map_err(|e| {
        let why = e.to_string();
        let why = why.lines().last().unwrap_or("it is no regular expression");
        let why = clean_to_width(why.trim_start_matches("error: "), 200);
        CallError::malformed(format!("'{}' cannot be looked for: {why}", clean_to_width(text, 80)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::ErrorKind;

    fn sift(fits: &[&str], not: &[&str]) -> Sift {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Sift { fits: texts(fits), not: texts(not), before: "web1".into() }
    }

    fn keeps(fits: &[&str], not: &[&str]) -> bool {
        Sifted::new(&sift(fits, not)).unwrap().keeps(&["8080", "tcp", "", "java -jar x"])
    }

    #[test]
    fn every_pattern_must_fit_the_row_with_its_host_and_none_that_is_not_wanted_may() {
        assert!(keeps(&[], &[]) && keeps(&["^web1 8080 tcp java"], &[]));
        assert!(keeps(&["8080", "(?i)JAVA"], &["nginx"]));
        assert!(!keeps(&["8080", "JAVA"], &[]) && !keeps(&["8080"], &["java"]));
    }

    #[test]
    fn patterns_that_are_none_or_too_many_or_too_large_are_refused_with_a_reason() {
        for sift in [
            sift(&["("], &[]),
            sift(&["x".repeat(2000).as_str()], &[]),
            sift(&["x"; 20], &[]),
            sift(&[], &["(\\w{900}){900}"]),
        ] {
            let error = Sifted::new(&sift).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Malformed, "{error}");
        }
    }
}
