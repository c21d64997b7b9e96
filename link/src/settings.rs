//! Reads TOML files whose mistakes are named: file, line, and for an unknown key the nearest known one.

use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// What is wrong with a settings file.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("reading {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not mean anything here.
    #[error("{path}:{line}: {what}")]
    Content {
        /// Which.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why, with what to write instead where that is known.
        what: String,
    },
}

impl SettingsError {
    /// Something wrong with what stands at `offset` of a file's text.
    pub fn at(path: &Path, text: &str, offset: usize, what: String) -> Self {
        let line = text[..text.floor_char_boundary(offset)].matches('\n').count() + 1;
        Self::Content { path: path.to_owned(), line, what }
    }
}

/// Reads `path`. `T` must be declared with `serde(deny_unknown_fields)` at every level.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// As [`read`], of a text at hand; `path` is only for the error.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, SettingsError> {
    toml::from_str(text).map_err(|e: toml::de::Error| {
        let at = e.span().map_or(0, |s| s.start);
        SettingsError::at(path, text, at, explain(e.message()))
    })
}

/// `; did you mean 'x'?`, or nothing when no known name is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(name, k), k))
        .min()
        .filter(|(distance, k)| *distance <= k.len().max(name.len()) / 2)
        .map_or_else(String::new, |(_, k)| format!("; did you mean '{k}'?"))
}

/// Turns serde's words into ours: what should stand there, or what was probably meant.
fn explain(message: &str) -> String {
    let message = message.lines().next().unwrap_or("not understood");
    let mut quoted = message.split('`').skip(1).step_by(2);
    let expected = message.rsplit_once(", expected ").map(|(_, what)| what);
    match (message.split_once(' '), quoted.next(), expected) {
        (Some(("unknown", rest)), Some(unknown), _) => {
            let kind = if rest.starts_with("field") { "key" } else { "value" };
            let unknown = cmdr_protocol::display::clean_to_width(unknown, 60);
            format!("unknown {kind} '{unknown}'{}", nearest(&unknown, quoted))
        }
        (Some(("missing", _)), Some(missing), _) => format!("the key '{missing}' is missing"),
        (Some(("invalid", rest)), _, Some(what)) if !rest.starts_with("TOML") => {
            format!("here should be {}", plain(what))
        }
        _ => message.to_owned(),
    }
}

/// What serde calls a kind of value, for people.
fn plain(kind: &str) -> &str {
    match kind {
        "a boolean" => "true or false",
        "a string" => "a text in quotes",
        "a sequence" => "a list in brackets",
        "a map" => "a table",
        "u16" | "u32" | "u64" | "usize" => "a whole number",
        "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => "a whole number of at least 1",
        kind if kind.starts_with("struct ") => "a table",
        kind => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Sample {
        listen: String,
        limits: Limits,
    }
    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Limits {
        streams: u32,
    }

    fn error(text: &str) -> String {
        parse::<Sample>(Path::new("hub.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
        assert_eq!(
            error("# x\nlitsen = 'a'\n"),
            "hub.toml:2: unknown key 'litsen'; did you mean 'listen'?"
        );
        assert_eq!(
            error("[limits]\nsteams = 1\n"),
            "hub.toml:2: unknown key 'steams'; did you mean 'streams'?"
        );
    }

    #[test]
    fn a_wrong_type_and_broken_syntax_are_named_with_their_line() {
        assert_eq!(error("\n\nlisten = 7\n"), "hub.toml:3: here should be a text in quotes");
        assert_eq!(error("limits = 7\n"), "hub.toml:1: here should be a table");
        assert_eq!(error("[limits]\nstreams = -1\n"), "hub.toml:2: here should be a whole number");
        assert!(error("listen = \n").starts_with("hub.toml:1: "));
    }

    #[test]
    fn a_key_that_resembles_none_is_only_named() {
        assert_eq!(error("colour = 1\n"), "hub.toml:1: unknown key 'colour'");
    }

    #[test]
    fn a_right_file_is_read() {
        let sample: Sample =
            parse(Path::new("x"), "listen = 'a'\n[limits]\nstreams = 3\n").unwrap();
        assert_eq!((sample.listen.as_str(), sample.limits.streams), ("a", 3));
    }
}
