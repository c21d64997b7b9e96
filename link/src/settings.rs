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

/// Reads `path`. `T` must be declared with `serde(deny_unknown_fields)` at every level.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, SettingsError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// As [`read`], of a text at hand; `path` is only for the error.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, SettingsError> {
    toml::from_str(text).map_err(|e: toml::de::Error| {
        let at = e.span().map_or(0, |s| s.start).min(text.len());
        let line = text[..at].matches('\n').count() + 1;
        SettingsError::Content { path: path.to_owned(), line, what: explain(e.message()) }
    })
}

/// Turns serde's words for an unknown key into a question that helps.
fn explain(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    match (message.starts_with("unknown field"), quoted.next()) {
        (true, Some(unknown)) => {
            let unknown = cmdr_protocol::display::clean_to_width(unknown, 60);
            let nearest = quoted.max_by(|a, b| {
                let near = |known: &str| strsim::jaro_winkler(&unknown, known);
                near(a).total_cmp(&near(b))
            });
            match nearest {
                Some(known) => format!("unknown key '{unknown}'; did you mean '{known}'?"),
                None => format!("unknown key '{unknown}'"),
            }
        }
        _ => message.lines().next().unwrap_or("not understood").to_owned(),
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
        assert!(error("\n\nlisten = 7\n").starts_with("hub.toml:3: invalid type"));
        assert!(error("listen = \n").starts_with("hub.toml:1: "));
    }

    #[test]
    fn a_right_file_is_read() {
        let sample: Sample =
            parse(Path::new("x"), "listen = 'a'\n[limits]\nstreams = 3\n").unwrap();
        assert_eq!((sample.listen.as_str(), sample.limits.streams), ("a", 3));
    }
}
