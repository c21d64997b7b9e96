//! What the operator chose and the client remembers: `$XDG_CONFIG_HOME/cmdr/tui.toml`.

use crate::i18n::Lang;
use crate::widgets::chart::Glyphs;
use std::path::{Path, PathBuf};

const KEYS: [&str; 3] = ["theme", "lang", "chart"];

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub theme: Option<String>,
    pub lang: Option<Lang>,
    pub chart: Option<Glyphs>,
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
        Ok(text) => parse(&text).map_err(|(line, why)| format!("{}:{line}: {why}", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
        Err(e) => Err(format!("reading {}: {e}", path.display())),
    }
}

fn parse(text: &str) -> Result<Config, (usize, String)> {
    let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        (e.span().map_or(1, |span| line_of(span.start)), e.message().to_owned())
    })?;
    let mut config = Config::default();
    for (key, value) in &table {
        let line = text.lines().position(|l| l.trim_start().starts_with(key.as_str()));
        let line = line.map_or(1, |n| n + 1);
        let Some(value) = value.as_str().filter(|_| KEYS.contains(&key.as_str())) else {
            return Err((
                line,
                if KEYS.contains(&key.as_str()) {
                    format!("'{key}' wants a text in quotes")
                } else {
                    format!("unknown key '{key}'{}", nearest(key, KEYS))
                },
            ));
        };
        let bad = |what: &str| (line, format!("{key} = '{value}' is not {what}"));
        match key.as_str() {
            "theme" => config.theme = Some(value.to_owned()),
            "lang" => config.lang = Some(Lang::parse(value).ok_or_else(|| bad("en or zh"))?),
            _ => {
                config.chart =
                    Some(Glyphs::parse(value).ok_or_else(|| bad("braille, block or ascii"))?);
            }
        }
    }
    Ok(config)
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

/// `, did you mean 'x'?`, or nothing when no known name is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(name, k), k))
        .min()
        .filter(|(distance, k)| *distance <= k.len().max(name.len()) / 2)
        .map_or_else(String::new, |(_, k)| format!("; did you mean '{k}'?"))
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
