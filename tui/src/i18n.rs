//! The client's texts in English and Chinese: two tables with the same keys, compiled in.

pub mod reasons;

use std::collections::HashMap;

/// A language of the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    #[default]
    En,
    Zh,
}

impl Lang {
    /// `en` or `zh`, also with a country (`zh_CN.UTF-8`).
    pub fn parse(text: &str) -> Option<Self> {
        match text.get(..2)?.to_ascii_lowercase().as_str() {
            "en" => Some(Self::En),
            "zh" => Some(Self::Zh),
            _ => None,
        }
    }

    const fn source(self) -> &'static str {
        match self {
            Self::En => include_str!("i18n/en.toml"),
            Self::Zh => include_str!("i18n/zh.toml"),
        }
    }
}

/// The texts of one language.
#[derive(Clone)]
pub struct Texts {
    /// Which.
    pub lang: Lang,
    texts: HashMap<&'static str, &'static str>,
}

impl Texts {
    /// Reads the compiled-in table: lines of `key = "text"` under `[section]`. A table is ours, so
    /// the little of TOML it uses is read in place, without copying a text.
    pub fn new(lang: Lang) -> Self {
        let mut texts = HashMap::new();
        for line in lang.source().lines() {
            if let Some((key, text)) = line.split_once(" = ")
                && let Some(text) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'))
            {
                texts.insert(key.trim_matches('"'), text);
            }
        }
        Self { lang, texts }
    }

    /// The text of a key; the key itself when there is none, so that a gap is seen and harms nothing.
    pub fn get(&self, key: &'static str) -> &'static str {
        self.texts.get(key).copied().unwrap_or(key)
    }

    /// What the hub or a host gives as a reason, harmless and in this language as far as it is known.
    pub fn reason(&self, reason: &str) -> String {
        reasons::told(self.lang, cmdr_protocol::display::clean(reason).into_owned())
    }

    /// The text of a key with `{}`s filled in, in order. `{one|more}` is the first after a value of 1, else the second.
    pub fn fill(&self, key: &'static str, values: &[&str]) -> String {
        let mut out = String::new();
        let mut values = values.iter();
        let (mut rest, mut last) = (self.get(key), "");
        while let Some((before, (inside, after))) =
            rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            out.push_str(before);
            match inside.split_once('|') {
                Some((one, more)) => out.push_str(if last == "1" { one } else { more }),
                None if inside.is_empty() => {
                    last = values.next().copied().unwrap_or_default();
                    out.push_str(last);
                }
                None => out.extend(["{", inside, "}"]),
            }
            rest = after;
        }
        out + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn keys(lang: Lang) -> BTreeSet<&'static str> {
        Texts::new(lang).texts.keys().copied().collect()
    }

    #[test]
    fn a_word_after_a_one_is_singular() {
        let texts = Texts::new(Lang::En);
        assert_eq!(texts.fill("projects.many", &["1"]), "1 project");
        assert_eq!(texts.fill("projects.many", &["0"]), "0 projects");
        assert_eq!(texts.fill("registries.many", &["1"]), "1 registry that the hub knows");
        assert_eq!(texts.fill("registries.many", &["21"]), "21 registries that the hub knows");
    }

    #[test]
    fn both_languages_have_the_same_keys_and_places_to_fill() {
        assert_eq!(keys(Lang::En), keys(Lang::Zh));
        let (en, zh) = (Texts::new(Lang::En), Texts::new(Lang::Zh));
        for key in keys(Lang::En) {
            let places = |t: &Texts| t.get(key).matches("{}").count();
            assert_eq!(places(&en), places(&zh), "{key}");
        }
    }

    #[test]
    fn both_tables_are_toml_that_reads_the_same() {
        for lang in [Lang::En, Lang::Zh] {
            let table: toml::Table = lang.source().parse().expect("TOML");
            let texts = Texts::new(lang);
            assert_eq!(table.len(), texts.texts.len());
            for (key, value) in &table {
                assert_eq!(texts.texts.get(key.as_str()).copied(), value.as_str(), "{key}");
            }
        }
    }

    #[test]
    fn every_text_the_code_names_is_there_and_every_text_is_named() {
        let mut code = String::new();
        let mut folders =
            vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("src") {
                let path = entry.expect("entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs") {
                    code.push_str(&std::fs::read_to_string(path).expect("source"));
                }
            }
        }
        let known = keys(Lang::En);
        for key in &known {
            assert!(code.contains(&format!("\"{key}\"")), "no code uses {key}");
        }
        let named = regex::Regex::new(r#"(?:get|fill)\(\s*"([a-z_.]+)""#).expect("regex");
        for found in named.captures_iter(&code) {
            let key = found.get(1).expect("group").as_str();
            assert!(!key.contains('.') || known.contains(key), "no text for {key}");
        }
    }

    #[test]
    fn what_panes_and_overlays_show_is_in_the_tables_and_not_in_the_code() {
        let words = regex::Regex::new("[A-Za-z]{2,} [a-z]{2,}").expect("regex");
        let src = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
        let mut folders: Vec<_> =
            ["panes", "overlays", "app"].iter().map(|folder| src.join(folder)).collect();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("src") {
                let path = entry.expect("entry").path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let code = std::fs::read_to_string(&path).expect("source");
                let shown = code.split("#[cfg(test)]").next().unwrap_or_default();
                let lines = shown.lines().filter(|line| !line.trim_start().starts_with("//"));
                // What stands between two quotes, the second of each pair.
                let texts = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
                for text in texts.filter(|text| words.is_match(text)) {
                    // Command lines are the same in every language.
                    let file = path.display();
                    assert!(text.starts_with("cmdr "), "{file}: '{text}' belongs into both tables");
                }
            }
        }
    }

    #[test]
    fn a_language_is_read_from_a_locale() {
        assert_eq!(Lang::parse("zh_CN.UTF-8"), Some(Lang::Zh));
        assert_eq!(Lang::parse("en"), Some(Lang::En));
        assert_eq!(Lang::parse("C"), None);
        assert_eq!(Lang::parse("de_DE"), None);
    }
}
