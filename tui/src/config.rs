//! What the operator chose and the client remembers: `$XDG_CONFIG_HOME/cmdr/tui.toml`.

mod edit;

use crate::i18n::Lang;
use crate::keymap::{self, Keymap};
use crate::view::{View, columns_of};
use crate::widgets::chart::Glyphs;
use crate::widgets::table::Layout;
use cmdr_link::settings::{self, SettingsError};
use cmdr_protocol::alerts::Severity;
pub use edit::{Change, save};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub theme: Option<String>,
    pub lang: Option<Lang>,
    pub chart: Option<Glyphs>,
    /// Few bytes before all else.
    pub thin: bool,
    /// How much is drawn is shown; unless it is said, on a thin line.
    pub meter: Option<bool>,
    /// No hints are given.
    pub no_hints: bool,
    /// Nothing of the last time is shown again at the start.
    pub no_restore: bool,
    pub keys: Keymap,
    pub terminal: Terminal,
    /// What is said of alerts.
    pub alerts: Alerts,
    /// For a table the columns that are shown.
    pub columns: BTreeMap<String, Vec<String>>,
    pub views: Vec<View>,
}

/// What a session may do with the operator's clipboard; reading it is never allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clipboard {
    /// The operator is asked each time.
    #[default]
    Ask,
    /// It may put text there.
    Always,
    /// It may not.
    Never,
}

/// From which severity on something is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Least {
    Info,
    #[default]
    Warning,
    Critical,
    /// Never.
    Never,
}

impl Least {
    /// Whether it is done for this severity; for one that is not known as for a warning.
    pub const fn takes(self, severity: Severity) -> bool {
        match self {
            Self::Info => true,
            Self::Warning => !matches!(severity, Severity::Info),
            Self::Critical => matches!(severity, Severity::Critical),
            Self::Never => false,
        }
    }
}

/// What is said of alerts that begin to fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// In the line at the bottom.
    pub toast: Least,
    /// By the terminal's bell.
    pub bell: Least,
}

impl Default for Alerts {
    fn default() -> Self {
        Self { toast: Least::Info, bell: Least::Warning }
    }
}

/// How sessions are shown.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Terminal {
    /// Whether a session may put text into the clipboard.
    pub clipboard: Clipboard,
    /// The key before a command while keys go to a session.
    #[serde(deserialize_with = "prefix")]
    pub prefix: String,
}

impl Default for Terminal {
    fn default() -> Self {
        Self { clipboard: Clipboard::Ask, prefix: "C-\\".to_owned() }
    }
}

fn prefix<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match keymap::parse(&text) {
        Some(_) => Ok(text),
        None => Err(D::Error::custom(keymap::no_key(&text))),
    }
}

/// The file as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    theme: Option<String>,
    #[serde(deserialize_with = "lang")]
    lang: Option<Lang>,
    #[serde(deserialize_with = "chart")]
    chart: Option<Glyphs>,
    thin: bool,
    meter: Option<bool>,
    hints: Option<bool>,
    restore: Option<bool>,
    keys: keymap::Written,
    terminal: Terminal,
    alerts: Alerts,
    columns: BTreeMap<Spanned<String>, Spanned<Vec<String>>>,
    views: Vec<Spanned<View>>,
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
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text).map_err(|error| error.to_string()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
        Err(e) => Err(format!("reading {}: {e}", path.display())),
    }
}

fn parse(path: &Path, text: &str) -> Result<Config, SettingsError> {
    let written: Written = settings::parse(path, text)?;
    let wrong = |(offset, what)| SettingsError::at(path, text, offset, what);
    for (table, columns) in &written.columns {
        columns_of(table.get_ref())
            .map_err(|what| (table.span().start, what))
            .and_then(|known| {
                let read = Layout::read(columns.get_ref(), &known);
                read.map_err(|what| (columns.span().start, what))
            })
            .map_err(wrong)?;
    }
    for (n, view) in written.views.iter().enumerate() {
        let start = view.span().start;
        view.get_ref().check().map_err(|what| wrong((start, what)))?;
        let View { table, name, .. } = view.get_ref();
        if written.views[..n].iter().any(|other| other.get_ref().is(table, name)) {
            return Err(wrong((start, format!("there are two views '{name}' of {table}"))));
        }
    }
    Ok(Config {
        keys: Keymap::new(&written.keys, &written.views).map_err(wrong)?,
        terminal: written.terminal,
        alerts: written.alerts,
        theme: written.theme,
        lang: written.lang,
        chart: written.chart,
        thin: written.thin,
        meter: written.meter,
        no_hints: written.hints == Some(false),
        no_restore: written.restore == Some(false),
        columns: written
            .columns
            .into_iter()
            .map(|(table, columns)| (table.into_inner(), columns.into_inner()))
            .collect(),
        views: written.views.into_iter().map(Spanned::into_inner).collect(),
    })
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
            (
                "[columns]\nhosts = [\"nme\"]\n",
                "tui.toml:2: there is no column 'nme'; did you mean 'name'?",
            ),
            (
                "[columns]\nhost = []\n",
                "tui.toml:2: there is no table 'host'; did you mean 'hosts'?",
            ),
            (
                "\n[[views]]\nname = \"a\"\ntable = \"hosts\"\nsort = \"cpi\"\n",
                "tui.toml:2: there is no column 'cpi' to sort by; did you mean 'cpu'?",
            ),
            (
                "[keys]\n# mine\nfilter = \"q\"\n",
                "tui.toml:3: q would mean both filter and quit in hosts; \
                 give one of them another key",
            ),
        ] {
            std::fs::write(&path, text).expect("write");
            let error = load(&path).expect_err("a wrong value");
            assert!(error.ends_with(end), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_an_empty_one() {
        assert_eq!(load(Path::new("/nonexistent/tui.toml")), Ok(Config::default()));
    }
}
