//! How lines are looked at: wrapped or aside, with which times, with what lit up.

use crate::store::logs::Row;
use cmdr_protocol::logs::Level;
use regex::{Regex, RegexBuilder};

/// Which times stand before lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stamps {
    /// Where the line does not say it itself.
    #[default]
    Auto,
    Local,
    Utc,
    Off,
}

impl Stamps {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Auto => Self::Local,
            Self::Local => Self::Utc,
            Self::Utc => Self::Off,
            Self::Off => Self::Auto,
        }
    }

    /// Key of its name.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Auto => "logs.stamps.auto",
            Self::Local => "logs.stamps.local",
            Self::Utc => "logs.stamps.utc",
            Self::Off => "logs.stamps.off",
        }
    }
}

/// The look.
pub(super) struct Look {
    pub(super) wrap: bool,
    /// Cells that are left out at the left.
    pub(super) aside: usize,
    pub(super) stamps: Stamps,
    words: Option<(String, Regex)>,
    include: Option<Regex>,
    /// The row at the bottom of the screen, when the newest is not.
    pub(super) bottom: Option<u64>,
    /// The rows on the screen: where each begins.
    pub(super) shown: Vec<(u16, u64)>,
    pub(super) lines: u16,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            wrap: true,
            aside: 0,
            stamps: Stamps::Auto,
            words: None,
            include: None,
            bottom: None,
            shown: Vec::new(),
            lines: 10,
        }
    }
}

/// A pattern as people type it.
pub(super) fn pattern(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(text).size_limit(1 << 20).build();
    built.map_err(|error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

impl Look {
    pub(super) fn height(&self) -> u16 {
        self.lines
    }

    /// Lights these words up; empty for none.
    pub(super) fn set_words(&mut self, text: &str) {
        let built = RegexBuilder::new(text).case_insensitive(true).size_limit(1 << 20).build();
        self.words = built.ok().filter(|_| !text.is_empty()).map(|regex| (text.to_owned(), regex));
    }

    pub(super) fn words(&self) -> &str {
        self.words.as_ref().map_or("", |(text, _)| text)
    }

    /// What the hosts sift by, to light it up.
    pub(super) fn sought(&mut self, text: &str) {
        self.include = pattern(text).ok().filter(|_| !text.is_empty());
    }

    /// Parts of a text that are lit up.
    pub(super) fn hits(&self, text: &str) -> Vec<std::ops::Range<usize>> {
        let regexes = [self.words.as_ref().map(|(_, regex)| regex), self.include.as_ref()];
        let mut hits: Vec<_> = regexes
            .into_iter()
            .flatten()
            .flat_map(|regex| regex.find_iter(text).map(|hit| hit.range()).take(100))
            .filter(|hit| !hit.is_empty())
            .collect();
        hits.sort_by_key(|hit| (hit.start, hit.end));
        let mut end = 0;
        hits.retain(|hit| {
            let apart = hit.start >= end;
            end = if apart { hit.end } else { end };
            apart
        });
        hits
    }

    /// Whether one that looks for something stops at a row: at the words that are lit up, else at what is
    /// wrong.
    pub(super) fn is_hit(&self, row: &Row) -> bool {
        match &self.words {
            Some((_, regex)) => regex.is_match(&row.text),
            None => row.level <= Level::Warning,
        }
    }

    /// The row at this line of the screen.
    pub(super) fn row_at(&self, y: u16) -> Option<u64> {
        self.shown.iter().rfind(|(from, _)| *from <= y).map(|(_, id)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lit_up_does_not_overlap() {
        let mut look = Look::default();
        look.set_words("err.r|or");
        look.sought("rror: x");
        assert_eq!(look.hits("an error: x, or y"), [3..8, 13..15]);
        look.set_words("(");
        assert!(look.words().is_empty());
    }
}
