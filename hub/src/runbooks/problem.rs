//! What is wrong with a runbook: where, and what should stand there.

use cmdr_link::settings::nearest;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::runbooks::Problem;
use serde_saphyr::{Error, Location};

/// Problems that are told at once; who mends these sees the rest.
pub(super) const MOST: usize = 50;

/// Something wrong at a place of the text.
pub(super) fn at(location: Location, what: impl Into<String>) -> Problem {
    Problem {
        line: u32::try_from(location.line()).unwrap_or(u32::MAX),
        column: u32::try_from(location.column()).unwrap_or(u32::MAX),
        what: what.into(),
    }
}

/// Something wrong in a text that stands in the document: `line` and `column` of it are counted from 1.
pub(super) fn within(
    document: &str,
    place: Location,
    line: u32,
    column: u32,
    what: String,
) -> Problem {
    let begin = at(place, what);
    let first = document.lines().nth(begin.line.saturating_sub(1) as usize).unwrap_or_default();
    let (before, here): (String, String) = {
        let column = begin.column.saturating_sub(1) as usize;
        (first.chars().take(column).collect(), first.chars().skip(column).collect())
    };
    if before.trim().is_empty() {
        // A block: all its lines begin as far to the right as its first.
        let indent = first.len() - first.trim_start().len();
        let column = u32::try_from(indent).unwrap_or_default() + column;
        return Problem { line: begin.line + line - 1, column, ..begin };
    }
    let quote = u32::from(here.starts_with(['"', '\'']));
    let column = if line == 1 { begin.column + quote + column - 1 } else { column };
    Problem { line: begin.line + line - 1, column, ..begin }
}

/// What the reader of YAML did not understand, in our words.
pub(super) fn of_reader(error: &Error) -> Problem {
    let inner = error.without_snippet();
    let location = inner.location().unwrap_or(Location::UNKNOWN);
    let what = match inner {
        Error::SerdeUnknownField { field, expected, .. } => {
            let near = nearest(field, expected.iter().copied());
            let known = expected.join(", ");
            let hint = if near.is_empty() { format!("; here may stand: {known}") } else { near };
            format!("unknown key '{}'{hint}", clean_to_width(field, 60))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            let near = nearest(variant, expected.iter().copied());
            let known = expected.join(", ");
            let hint = if near.is_empty() { format!("; it is one of: {known}") } else { near };
            format!("unknown word '{}'{hint}", clean_to_width(variant, 60))
        }
        Error::SerdeMissingField { field, .. } => format!("the key '{field}' is missing"),
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            format!("here should be {}", plain(expected))
        }
        Error::Unexpected { expected, .. } => format!("here should be {}", plain(expected)),
        Error::InvalidScalar { ty, .. } => format!("here should be {}", plain(ty)),
        Error::InvalidBooleanStrict { .. } => "here should be true or false".to_owned(),
        Error::DuplicateMappingKey { .. } => "this key stands here twice".to_owned(),
        Error::MergeKeyNotAllowed { .. } => {
            "'<<' is not understood here; write the keys out".to_owned()
        }
        Error::MultipleDocuments { .. } => {
            "a second document begins here; a runbook is one document".to_owned()
        }
        Error::Eof { .. } => "the text ends where something should stand".to_owned(),
        other => {
            let text = other.to_string();
            let line = text.lines().next().unwrap_or("not understood");
            clean_to_width(line.trim_start_matches("error: "), 200)
        }
    };
    at(location, what)
}

/// What serde and the reader call a kind of value, for people.
fn plain(kind: &str) -> &str {
    match kind {
        "bool" | "a boolean" | "boolean" => "true or false",
        "string" | "a string" | "string scalar" | "a string scalar" => "a text",
        "a sequence" | "sequence start" | "sequence" => "a list",
        "a map" | "mapping start" | "mapping" | "map start" => "keys with values",
        "u16" | "u32" | "u64" | "usize" | "unsigned integer" => "a whole number",
        kind if kind.starts_with("struct ") => "keys with values",
        kind => kind,
    }
}
