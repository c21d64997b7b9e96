//! What was on the screens, kept between two starts without being asked: desks with their parts, how
//! tables looked, which hints were given. A file of our own; what makes no sense in it is passed over.

use crate::view::View;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

/// The largest file that is read.
const LARGEST: u64 = 256 * 1024;
/// The longest text in it that is used.
const LONGEST: usize = 1024;
/// The form of the file.
const VERSION: u32 = 1;

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Memory {
    pub version: u32,
    /// Which desk was seen.
    pub desk: usize,
    /// Whether it was asked to be shown how much is drawn, or not to be.
    #[serde(rename = "meter_asked", skip_serializing_if = "Option::is_none")]
    pub meter: Option<bool>,
    /// Hints that were given.
    pub hints: Vec<String>,
    /// What was found and chosen last, newest first.
    pub found: Vec<String>,
    pub desks: Vec<Desk>,
    /// How tables looked, where that was not as usual.
    pub tables: BTreeMap<String, View>,
}

/// A desk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Desk {
    pub name: String,
    /// How it is divided: `.` is a part, `|400 A B` two side by side, `-500 A B` one above the other.
    pub shape: String,
    /// Which part had the keys.
    pub focus: usize,
    pub zoomed: bool,
    pub parts: Vec<Part>,
}

/// A part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Part {
    /// As [`crate::panes::Place::word`] says it.
    pub place: String,
    /// What the pane itself wanted to find again.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub keepsake: String,
    /// How its table looked, with the filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<View>,
}

impl Memory {
    /// Reads the file; one that is missing says nothing. An error says in words why it is not used.
    pub fn read(path: &Path) -> Result<Self, String> {
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(format!("{}: {e}", path.display())),
        };
        let mut text = String::new();
        file.take(LARGEST + 1)
            .read_to_string(&mut text)
            .map_err(|e| format!("{}: {e}", path.display()))?;
        if text.len() as u64 > LARGEST {
            return Err(format!("{} is larger than {LARGEST} bytes", path.display()));
        }
        Self::of(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    fn of(text: &str) -> Result<Self, String> {
        let memory: Self = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |span| text[..span.start].lines().count().max(1));
            format!("line {line}: {}", e.message())
        })?;
        if memory.version > VERSION {
            return Err(format!("it is of a newer client (version {})", memory.version));
        }
        Ok(memory.sound())
    }

    /// Without what makes no sense.
    fn sound(mut self) -> Self {
        self.hints.retain(|hint| hint.len() <= LONGEST);
        self.hints.truncate(100);
        self.found.retain(|found| found.len() <= LONGEST);
        self.found.truncate(FOUND);
        let is_sound = |view: &View| {
            let texts = [&view.filter, &view.sort];
            let short = texts.iter().all(|text| text.len() <= LONGEST);
            short && View { name: "x".into(), key: None, ..view.clone() }.check().is_ok()
        };
        self.tables.retain(|table, view| view.table == *table && is_sound(view));
        for part in self.desks.iter_mut().flat_map(|desk| desk.parts.iter_mut()) {
            part.view = part.view.take().filter(is_sound);
            if part.keepsake.len() > LONGEST {
                part.keepsake.clear();
            }
        }
        self
    }

    /// As it is written.
    pub fn written(&self) -> Result<String, String> {
        let memory = Self { version: VERSION, ..self.clone() };
        let text = toml::to_string(&memory).map_err(|e| e.to_string())?;
        let head = "# What was on the screens of cmdr-tui. It is written over; settings are in tui.toml.\n";
        Ok(format!("{head}{text}"))
    }
}

/// Choices that are remembered.
pub const FOUND: usize = 50;

/// Writes the file; a crash leaves the old one or the new one.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    if let Some(folder) = path.parent() {
        cmdr_link::files::private_dir(folder).map_err(failed)?;
    }
    cmdr_link::files::write_private(path, text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Memory {
        let view = View {
            table: "hosts".into(),
            filter: "web".into(),
            sort: "cpu".into(),
            ..View::default()
        };
        let part = |view| Part { place: "hosts".into(), view, ..Part::default() };
        let desk = Desk {
            name: "一 \"quoted\"".into(),
            shape: "|400 . .".into(),
            focus: 1,
            zoomed: true,
            parts: vec![part(Some(view.clone())), part(None)],
        };
        let tables = [("hosts".to_owned(), View { filter: String::new(), ..view })].into();
        Memory { version: 1, desk: 0, desks: vec![desk], tables, ..Memory::default() }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("deep/screens.toml");
        assert_eq!(Memory::read(&path), Ok(Memory::default()), "none is there yet");
        write(&path, &some().written().expect("written")).expect("write");
        assert_eq!(Memory::read(&path), Ok(some()));
    }

    #[test]
    fn a_hostile_file_is_told_of_or_loses_what_makes_no_sense() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("screens.toml");
        let read = |text: &[u8]| {
            std::fs::write(&path, text).expect("write");
            Memory::read(&path)
        };
        for (text, says) in [
            (&b"desk = \"x\"\n"[..], "line 1"),
            (b"\n\ndesk = [", "line 3"),
            (b"\xff\xfe", "UTF-8"),
            (b"version = 99", "newer"),
            (b"desk = -1", "line 1"),
        ] {
            let error = read(text).expect_err("is wrong");
            assert!(error.contains(says), "{error}");
        }
        let large = format!("hints = [\"{}\"]", "x".repeat(300_000));
        assert!(read(large.as_bytes()).expect_err("large").contains("larger"));
        let odd = "[tables.hosts]\ntable = \"hosts\"\nsort = \"moon\"\n[[desks]]\n\
            [[desks.parts]]\nplace = \"hosts\"\nview = { table = \"nothing\" }\n";
        let memory = read(odd.as_bytes()).expect("reads");
        assert!(memory.tables.is_empty());
        assert_eq!(memory.desks[0].parts[0].view, None);
    }
}
