//! What the operator chose and the client remembers: `$XDG_CONFIG_HOME/cmdr/tui.toml`.

use crate::i18n::Lang;
use crate::widgets::chart::Glyphs;
use cmdr_link::settings;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use std::path::{Path, PathBuf};

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub theme: Option<String>,
    #[serde(deserialize_with = "lang")]
    pub lang: Option<Lang>,
    #[serde(deserialize_with = "chart")]
    pub chart: Option<Glyphs>,
}

fn lang<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Lang>, D::Error> {
    one_of(deserializer, Lang::parse, "en or zh")
}

fn chart<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Glyphs>, D::Error> {
    one_of(deserializer, Glyphs::parse, "braille, block or ascii")
}

/// A text that stands for something; `known` says which there are.
fn one_of<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl Fn(&str) -> Option<T>,
    known: &'static str,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || D::Error::invalid_value(Unexpected::Str(&text), &known);
    parse(&text).map(Some).ok_or_else(wrong)
}

/// Where the file is.
pub fn path(var: impl Fn(&str) -> Option<String>) -> PathBuf {
    let set = |name| var(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = set("XDG_CONFIG_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".config")))
        .unwrap_or_else(|| PathBuf::from("."));
    base.join("cmdr/tui.toml")
}

/// Reads the file; a missing one is an empty one. Errors name file, line and nearest key.
pub fn load(path: &Path) -> Result<Config, String> {
    match settings::read(path) {
        Err(settings::SettingsError::Read { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(Config::default())
        }
        read => read.map_err(|error| error.to_string()),
    }
}

/// Remembers a theme; what else the file holds stays, comments included.
pub fn save_theme(path: &Path, theme: &str) -> std::io::Result<()> {
    let old = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(e),
    };
    let entry = format!("theme = \"{theme}\"");
    let is_theme = |line: &str| {
        line.trim_start().strip_prefix("theme").is_some_and(|r| r.trim_start().starts_with('='))
    };
    let mut lines: Vec<&str> = old.lines().collect();
    match lines.iter_mut().find(|line| is_theme(line)) {
        Some(line) => *line = &entry,
        None => lines.insert(0, &entry),
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Written beside and renamed, so that a full disk cannot leave half a file.
    let beside = path.with_extension("toml.new");
    std::fs::write(&beside, lines.join("\n") + "\n")?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_names_file_line_and_nearest_key() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("tui.toml");
        std::fs::write(&path, "lang = \"zh\"\ntehme = \"nord\"\n").expect("write");
        let error = load(&path).expect_err("unknown key");
        assert!(
            error.ends_with("tui.toml:2: unknown key 'tehme'; did you mean 'theme'?"),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_value_names_line_and_what_should_stand_there() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("tui.toml");
        for (text, end) in [
            ("theme = 7\n", "tui.toml:1: here should be a text in quotes"),
            ("\nlang = \"fr\"\n", "tui.toml:2: here should be en or zh"),
            ("chart = \"dots\"\n", "tui.toml:1: here should be braille, block or ascii"),
        ] {
            std::fs::write(&path, text).expect("write");
            let error = load(&path).expect_err("a wrong value");
            assert!(error.ends_with(end), "{error}");
        }
    }

    #[test]
    fn a_saved_theme_leaves_the_rest_of_the_file_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("cmdr/tui.toml");
        save_theme(&path, "nord").expect("new file");
        assert_eq!(load(&path).expect("reads").theme.as_deref(), Some("nord"));
        std::fs::write(&path, "# mine\nlang = \"zh\"\ntheme = \"nord\"\n").expect("write");
        save_theme(&path, "light").expect("old file");
        let text = std::fs::read_to_string(&path).expect("read");
        assert_eq!(text, "# mine\nlang = \"zh\"\ntheme = \"light\"\n");
    }

    #[test]
    fn a_missing_file_is_an_empty_one() {
        assert_eq!(load(Path::new("/nonexistent/tui.toml")), Ok(Config::default()));
    }
}
