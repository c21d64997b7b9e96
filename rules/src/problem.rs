//! What is wrong with a rule: where, and what should stand there.

use serde::{Deserialize, Serialize};

/// Something wrong at a place of a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// In words, with what was expected.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.what)
    }
}

/// Something wrong in an expression: how many characters stand before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Wrong {
    /// Characters before the place, counted over the whole expression.
    pub at: usize,
    /// In words, with what was expected.
    pub what: String,
}

impl Wrong {
    pub(crate) fn new(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }

    /// Line and column within the expression, both from 1.
    pub fn place(&self, expression: &str) -> (u32, u32) {
        let before: String = expression.chars().take(self.at).collect();
        let line = before.matches('\n').count();
        let column = before.chars().rev().take_while(|c| *c != '\n').count();
        (u32::try_from(line + 1).unwrap_or(u32::MAX), u32::try_from(column + 1).unwrap_or(u32::MAX))
    }
}

/// `; did you mean …?` with the known name that is nearest, or nothing.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let name = cut(name, 60);
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(&name, k), k))
        .min()
        .filter(|(distance, k)| *distance <= k.len().max(name.len()) / 2)
        .map_or_else(String::new, |(_, k)| format!("; did you mean `{k}`?"))
}

/// A word out of somebody's text as it may stand in ours: short, and without control characters.
pub(crate) fn cut(word: &str, most: usize) -> String {
    let mut out: String =
        word.chars().take(most).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if word.chars().nth(most).is_some() {
        out.push('…');
    }
    out
}
