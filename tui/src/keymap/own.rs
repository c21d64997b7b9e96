//! The keys that are in force: those of the tables, unless the settings file names others. Two
//! meanings of one key in one place are refused when the file is read.

use super::{Binding, Command, label, no_key, parse, same};
use crate::i18n::Texts;
use crate::panes;
use crate::view::View;
use cmdr_link::settings::nearest;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use toml::Spanned;

/// The keys of one action as a file names them: a text, or a list of such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(Vec<String>);

/// The `[keys]` of a file.
pub type Written = BTreeMap<Spanned<String>, Spanned<Names>>;

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Names;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a key in quotes, or a list of such")
            }
            fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Names, E> {
                Self::check(vec![key.to_owned()])
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut keys = Vec::new();
                while let Some(key) = list.next_element()? {
                    keys.push(key);
                }
                Self::check(keys)
            }
        }
        impl Keys {
            fn check<E: serde::de::Error>(keys: Vec<String>) -> Result<Names, E> {
                match keys.iter().find(|key| parse(key).is_none()) {
                    Some(key) => Err(E::custom(no_key(key))),
                    None if keys.is_empty() => Err(E::custom("an action needs a key")),
                    None => Ok(Names(keys)),
                }
            }
        }
        deserializer.deserialize_any(Keys).map_err(D::Error::custom)
    }
}

/// The keys in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keymap {
    own: HashMap<String, Vec<String>>,
}

/// A place where keys mean something: its name and its tables.
type Place = (&'static str, Vec<&'static [Binding]>);

impl Keymap {
    /// With the keys of a file and the views that have keys. An error comes with where in the file
    /// it is.
    pub fn new(written: &Written, views: &[Spanned<View>]) -> Result<Self, (usize, String)> {
        let places = panes::places();
        let mut names: Vec<String> = bindings(&places).map(Binding::name).collect();
        names.sort_unstable();
        names.dedup();
        let mut keymap = Self::default();
        for (name, keys) in written {
            let known = name.get_ref();
            if !names.contains(known) {
                let near = nearest(known, names.iter().map(String::as_str));
                let shown = cmdr_protocol::display::clean_to_width(known, 40);
                let what = format!("there is no action '{shown}'{near}");
                return Err((name.span().start, what));
            }
            keymap.own.insert(known.clone(), keys.get_ref().0.clone());
        }
        let at = |name: &str| {
            let entry = written.iter().find(|(known, _)| known.get_ref() == name);
            entry.map(|(name, _)| name.span().start)
        };
        for place in &places {
            keymap.check(place, views, &at)?;
        }
        Ok(keymap)
    }

    /// Refuses two meanings of one key in a place.
    fn check(
        &self,
        (place, tables): &Place,
        views: &[Spanned<View>],
        at: &impl Fn(&str) -> Option<usize>,
    ) -> Result<(), (usize, String)> {
        let mut taken: Vec<((KeyCode, KeyModifiers), String)> = Vec::new();
        for binding in tables.iter().copied().flatten() {
            let name = binding.name();
            if binding.command == Command::Tabs {
                let digits = ('1'..='9').map(|c| (KeyCode::Char(c), KeyModifiers::NONE));
                taken.extend(digits.map(|key| (key, name.clone())));
                continue;
            }
            for text in self.keys(binding) {
                let Some(key) = parse(text) else { continue };
                match taken.iter().find(|(known, by)| *known == key && *by != name) {
                    Some((_, by)) => {
                        let start = at(&name).or_else(|| at(by)).unwrap_or(0);
                        return Err((start, conflict(text, place, by, &name)));
                    }
                    None => taken.push((key, name.clone())),
                }
            }
        }
        for view in views.iter().filter(|view| view.get_ref().table == *place) {
            let Some(text) = &view.get_ref().key else { continue };
            let Some(key) = parse(text) else { continue };
            let name = format!("the view '{}'", view.get_ref().name);
            match taken.iter().find(|(known, _)| *known == key) {
                Some((_, by)) => return Err((view.span().start, conflict(text, place, by, &name))),
                None => taken.push((key, name)),
            }
        }
        Ok(())
    }

    /// Says what else a key means where this view would be recalled with it.
    pub fn taken(&self, view: &View, others: &[View]) -> Result<(), String> {
        let others = others.iter().filter(|other| !other.is(&view.table, &view.name));
        let views: Vec<_> =
            others.chain([view]).map(|view| Spanned::new(0..0, view.clone())).collect();
        let place = panes::places().into_iter().find(|(place, _)| *place == view.table);
        place
            .map_or(Ok(()), |place| self.check(&place, &views, &|_| None))
            .map_err(|(_, what)| what)
    }

    /// The keys of an action.
    pub fn keys<'a>(&'a self, binding: &Binding) -> Vec<&'a str> {
        match self.own.get(&binding.name()) {
            Some(own) => own.iter().map(String::as_str).collect(),
            None => binding.keys.to_vec(),
        }
    }

    /// An action's keys for people.
    pub fn shown(&self, binding: &Binding) -> String {
        self.keys(binding).into_iter().map(label).collect::<Vec<_>>().join(" ")
    }

    /// The first of them.
    pub fn first(&self, binding: &Binding) -> String {
        self.keys(binding).first().map_or_else(String::new, |key| label(key))
    }

    /// As [`Keymap::shown`], where characters are written: without the keys that are characters.
    pub fn shown_beside_text(&self, binding: &Binding) -> String {
        self.beside_text(binding).collect::<Vec<_>>().join(" ")
    }

    /// The first of them that is no character, where characters are written.
    pub fn first_beside_text(&self, binding: &Binding) -> String {
        self.beside_text(binding).next().unwrap_or_default()
    }

    fn beside_text(&self, binding: &Binding) -> impl Iterator<Item = String> {
        let keys = self.keys(binding).into_iter();
        let writes =
            |key: &&str| key.chars().count() == 1 || matches!(*key, "<space>" | "<backspace>");
        keys.filter(move |key| !writes(key)).map(label)
    }

    /// Every action with its keys and what it does, as a settings file would name them.
    pub fn written(&self, texts: &Texts) -> String {
        let mut lines: BTreeMap<String, (Vec<&str>, &str)> = BTreeMap::new();
        for binding in bindings(&panes::places()) {
            let keys = self.keys(binding);
            lines.entry(binding.name()).or_insert((keys, texts.get(binding.text)));
        }
        let mut out = "[keys]\n".to_owned();
        for (name, (keys, text)) in lines {
            let name = if name.contains('.') { format!("\"{name}\"") } else { name };
            let entry = format!("{name} = {keys:?}");
            // Writing to a String cannot fail.
            writeln!(out, "{entry:<42} # {text}").unwrap_or_default();
        }
        out
    }

    /// The first key of a command in these tables.
    pub fn of(&self, tables: &[&[Binding]], command: Command) -> String {
        let mut bindings = tables.iter().flat_map(|table| table.iter());
        bindings.find(|b| b.command == command).map_or_else(String::new, |b| self.first(b))
    }

    /// What a key asks for in these tables, first hit wins.
    pub fn find(&self, tables: &[&[Binding]], event: &KeyEvent) -> Option<Binding> {
        let has = |b: &&Binding| {
            self.keys(b).iter().any(|text| parse(text).is_some_and(|key| same(key, event)))
        };
        tables.iter().flat_map(|table| table.iter()).find(has).copied()
    }
}

/// Whether a key event is the key of this name.
pub fn is(text: &str, event: &KeyEvent) -> bool {
    parse(text).is_some_and(|key| same(key, event))
}

fn bindings(places: &[Place]) -> impl Iterator<Item = &Binding> {
    let all = places.iter().flat_map(|(_, tables)| tables.iter().copied().flatten());
    all.filter(|binding| binding.command != Command::Tabs)
}

fn conflict(key: &str, place: &str, by: &str, name: &str) -> String {
    format!("{key} would mean both {by} and {name} in {place}; give one of them another key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        keys: Written,
        #[serde(default)]
        views: Vec<Spanned<View>>,
    }

    fn keymap(text: &str) -> Result<Keymap, String> {
        let file: File = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        Keymap::new(&file.keys, &file.views).map_err(|(_, what)| what)
    }

    fn meaning(keymap: &Keymap, place: &str, key: &str) -> Option<String> {
        let (_, tables) = panes::places().into_iter().find(|(name, _)| *name == place)?;
        let event = super::super::parse_keys(key)?.pop()?;
        keymap.find(&tables, &event).map(|binding| binding.name())
    }

    #[test]
    fn without_settings_no_key_has_two_meanings() {
        assert_eq!(keymap(""), Ok(Keymap::default()));
    }

    #[test]
    fn the_printed_keys_are_settings_that_change_nothing() {
        let usual = Keymap::default();
        let printed = usual.written(&Texts::new(crate::i18n::Lang::En));
        let read = keymap(&printed).expect("reads");
        assert_eq!(read.written(&Texts::new(crate::i18n::Lang::En)), printed);
    }

    #[test]
    fn own_keys_take_the_place_of_the_usual_ones() {
        let keymap = keymap("[keys]\nsort_next = \"b\"\n\"hosts.rename\" = [\"<f2>\", \"i\"]\n");
        let keymap = keymap.expect("reads");
        assert_eq!(meaning(&keymap, "hosts", "b").as_deref(), Some("sort_next"));
        assert_eq!(meaning(&keymap, "hosts", ">"), None);
        assert_eq!(meaning(&keymap, "hosts", "<f2>").as_deref(), Some("hosts.rename"));
        assert_eq!(meaning(&keymap, "processes", "b").as_deref(), Some("sort_next"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_to_do() {
        let cases = [
            (
                "[keys]\nsort_nxt = \"s\"",
                "there is no action 'sort_nxt'; did you mean 'sort_next'?",
            ),
            ("[keys]\nfilter = \"xx\"", "'xx' is no key"),
            ("[keys]\nfilter = []", "an action needs a key"),
            ("[keys]\nfilter = 7", "a key in quotes, or a list of such"),
            (
                "[keys]\nfilter = \"D\"",
                "D would mean both hosts.forget and filter in hosts; give one of them another key",
            ),
            ("[keys]\nhelp = \"7\"", "7 would mean both tab and help in overview"),
            (
                "[[views]]\nname = \"a\"\ntable = \"hosts\"\nkey = \"q\"",
                "q would mean both quit and the view 'a' in hosts",
            ),
        ];
        for (text, wanted) in cases {
            let error = keymap(text).expect_err(text);
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn a_key_that_is_taken_in_one_place_is_free_in_another() {
        assert!(keymap("[keys]\n\"processes.tree\" = \"D\"").is_ok());
    }
}
