//! Each picture is there at each size in both languages, and each pane, table and overlay is in pictures: what is new
//! and has none does not pass.

use crate::support::pictures::{LANGS, SIZES, folder, name};
use cmdr_tui::i18n::Lang;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The pictures that have a size in their name: what follows the test's module, and what they show.
fn taken() -> BTreeMap<String, BTreeSet<String>> {
    let mut taken = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).expect("pictures") {
        let entry = entry.expect("an entry");
        let file = entry.file_name().into_string().expect("a name");
        let Some(picture) = file.strip_suffix(".snap").filter(|file| file.contains('@')) else {
            continue;
        };
        let (_, picture) = picture.rsplit_once("__").expect("a module");
        let text = std::fs::read_to_string(entry.path()).expect("a picture");
        let shows = text.lines().find_map(|line| line.strip_prefix("description: "));
        let shows = shows.unwrap_or_default().split(' ').map(str::to_owned);
        let other = taken.insert(picture.to_owned(), shows.collect());
        assert!(other.is_none(), "two modules have pictures {picture}");
    }
    assert!(taken.len() > 500, "{}", taken.len());
    taken
}

/// All text of the Rust files below a folder.
fn code(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).expect("sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            text.push_str(&code(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&std::fs::read_to_string(path).expect("a source"));
        }
    }
    text
}

/// What this finds in the Rust files of a folder of this crate.
fn found(pattern: &str, folder: &str) -> BTreeSet<String> {
    let text = code(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    let pattern = regex::Regex::new(pattern).expect("a pattern");
    pattern.captures_iter(&text).map(|found| found[1].to_owned()).collect()
}

/// Each way in which a picture is taken.
fn ways() -> impl Iterator<Item = (Lang, (u16, u16))> {
    LANGS.into_iter().flat_map(|lang| SIZES.map(|size| (lang, size)))
}

#[test]
fn each_picture_is_there_at_each_size_in_both_languages_and_none_is_left_over() {
    let names = found(r#"\bsnap!\(\s*"(\w+)""#, "tests");
    let of = |(lang, size)| names.iter().map(move |what| name(what, lang, size));
    let wanted: BTreeSet<String> = ways().flat_map(of).collect();
    let there: BTreeSet<String> = taken().into_keys().collect();
    let lacking: Vec<_> = wanted.difference(&there).collect();
    assert!(lacking.is_empty(), "there are no pictures {lacking:#?}");
    let left: Vec<_> = there.difference(&wanted).collect();
    assert!(left.is_empty(), "no test takes {left:#?}");
}

#[test]
fn each_pane_table_and_overlay_is_in_pictures_at_each_size_in_both_languages() {
    // A type is what is implemented; a table is what settings can have columns for.
    let mut words = found(r"impl (?:Pane|Overlay) for (\w+)", "src");
    assert!(words.len() > 30, "the sources are written in another way: {words:?}");
    words.extend(cmdr_tui::panes::TABLES.iter().map(|(table, _)| (*table).to_owned()));
    let taken = taken();
    let mut lacking = Vec::new();
    for (lang, size) in ways() {
        let (chinese, end) = (lang == Lang::Zh, name("", Lang::En, size));
        let of = taken.iter().filter(|(picture, _)| {
            picture.starts_with("zh_") == chinese && picture.ends_with(&end)
        });
        let shown: BTreeSet<&String> = of.flat_map(|(_, shows)| shows).collect();
        let lacks = words.iter().filter(|word| !shown.contains(word));
        lacking.extend(lacks.map(|word| format!("{word}: {}", name("", lang, size))));
    }
    assert!(lacking.is_empty(), "there are no pictures of {lacking:#?}");
}
