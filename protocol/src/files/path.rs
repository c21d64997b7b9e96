//! Names of files as text: reversible for any bytes, one text for each path, harmless to compare.
//!
//! Names on hosts are bytes. On the wire, in rights and in JSON they are text: what is valid UTF-8 stands as
//! it is, any other byte as `%` and two hexadecimal digits, and `%` itself as `%25`. Nothing else is written
//! that way, so that one path has one text and a right on it cannot be gone around.

use crate::display;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest text of a path.
pub const LONGEST: usize = 4096;

/// The text of a name's bytes.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '%' { out.push_str("%25") } else { out.push(c) }
        }
        for byte in chunk.invalid() {
            push_hex(&mut out, *byte);
        }
    }
    out
}

fn push_hex(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.push('%');
    out.push(DIGITS[usize::from(byte >> 4)].into());
    out.push(DIGITS[usize::from(byte & 15)].into());
}

/// The bytes of a name's text; none for a text that [`escape`] does not write.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            out.push(first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digit = |d: u8| (d as char).to_digit(16);
        out.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
        rest = after;
    }
    (escape(&out) == text).then_some(out)
}

/// Text of a name as it may be shown: readable where it can be, and harmless.
pub fn shown(text: &str) -> String {
    match unescape(text) {
        Some(bytes) => match String::from_utf8(bytes) {
            Ok(name) => display::clean(&name).into_owned(),
            Err(_) => display::clean(text).into_owned(),
        },
        None => display::clean(text).into_owned(),
    }
}

/// Why a text is no path of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It begins somewhere else than at the root.
    #[error("'{0}' is no path from the root on: it has to begin with '/'")]
    Relative(String),
    /// It goes up.
    #[error("'{0}' goes up by '..'; name the folder that is meant")]
    Up(String),
    /// It has a zero byte.
    #[error("'{0}' has a zero byte, which no name can have")]
    Zero(String),
    /// It is not how a path is written.
    #[error("'{0}' is not how a path is written: '%' stands as %25")]
    Escape(String),
    /// It is too long.
    #[error("the path is longer than {LONGEST} bytes")]
    Long,
}

/// A path from the root on, without `.`, `..`, empty parts and a slash at its end.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

impl Default for FilePath {
    fn default() -> Self {
        Self::root()
    }
}

impl FilePath {
    /// `/`.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// The path of these bytes, as a person writes it: repeated slashes and `.` are taken out.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PathError> {
        let text = escape(bytes);
        let clean = || display::clean_to_width(&text, 200);
        if !bytes.starts_with(b"/") {
            return Err(PathError::Relative(clean()));
        }
        if bytes.contains(&0) {
            return Err(PathError::Zero(clean()));
        }
        let mut out = String::with_capacity(text.len());
        for part in text.split('/').filter(|part| !matches!(*part, "" | ".")) {
            if part == ".." {
                return Err(PathError::Up(clean()));
            }
            out.push('/');
            out.push_str(part);
        }
        if out.is_empty() {
            out.push('/');
        }
        if out.len() > LONGEST {
            return Err(PathError::Long);
        }
        Ok(Self(out))
    }

    /// The path of this text; it has to be written exactly as [`FilePath`] writes it.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > LONGEST {
            return Err(PathError::Long);
        }
        let wrong = || PathError::Escape(display::clean_to_width(text, 200));
        let path = Self::from_bytes(&unescape(text).ok_or_else(wrong)?)?;
        if path.0 == text { Ok(path) } else { Err(wrong()) }
    }

    /// The text, as it stands in resources.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes, as the host knows them.
    pub fn bytes(&self) -> Vec<u8> {
        unescape(&self.0).unwrap_or_default()
    }

    /// The names on the way, without the root: texts.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// The last name's text; empty for the root.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or("")
    }

    /// The folder it is in; the root's is the root.
    #[must_use]
    pub fn parent(&self) -> Self {
        match self.0.rsplit_once('/') {
            Some((parent, _)) if !parent.is_empty() => Self(parent.to_owned()),
            _ => Self::root(),
        }
    }

    /// What is called `name` (a text of [`escape`]) in this folder.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        let text = if self.is_root() { format!("/{name}") } else { format!("{}/{name}", self.0) };
        Self::parse(&text)
    }

    /// Whether it is `/`.
    pub fn is_root(&self) -> bool {
        self.0 == "/"
    }

    /// Whether it is `folder` or lies in it.
    pub fn is_within(&self, folder: &Self) -> bool {
        let rest = self.0.strip_prefix(folder.as_str());
        folder.is_root() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl TryFrom<String> for FilePath {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        Self::parse(&text)
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> Self {
        path.0
    }
}

/// As it may be shown to people.
impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&shown(&self.0))
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_are_no_text_and_percent_signs_are_written_reversibly() {
        assert_eq!(escape(b"caf\xc3\xa9 100% \xff\n"), "café 100%25 %ff\n");
        assert_eq!(unescape("%ff%25").unwrap(), b"\xff%");
        for wrong in ["%", "%f", "%zz", "%41", "%FF", "100%"] {
            assert_eq!(unescape(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_shown_is_readable_and_never_steers_a_terminal() {
        assert_eq!(shown("100%25"), "100%");
        assert_eq!(shown("a\u{1b}[31m\n"), "a␛[31m␊");
        assert_eq!(shown("a%ff%25"), "a%ff%25");
    }

    #[test]
    fn a_path_is_written_in_one_way() {
        let path = FilePath::from_bytes(b"//srv/./www//").unwrap();
        assert_eq!(path.as_str(), "/srv/www");
        assert_eq!((path.name(), path.parent().as_str()), ("www", "/srv"));
        assert_eq!(FilePath::from_bytes(b"/").unwrap(), FilePath::root());
        assert_eq!(path.join("a b").unwrap().as_str(), "/srv/www/a b");
        for wrong in ["", "srv", "/srv/", "//srv", "/a/../b", "/a/./b", "/a%41", "/a\0b"] {
            assert!(FilePath::parse(wrong).is_err(), "{wrong}");
        }
        assert!(path.join("..").is_err() && path.join("").is_err());
        assert!(FilePath::parse(&format!("/{}", "x".repeat(LONGEST))).is_err());
    }

    #[test]
    fn a_folder_holds_what_is_below_it_and_not_what_begins_alike() {
        let path = |text| FilePath::parse(text).unwrap();
        assert!(path("/srv/a").is_within(&path("/srv")));
        assert!(path("/srv").is_within(&path("/srv")));
        assert!(!path("/srv2").is_within(&path("/srv")));
        assert!(path("/srv").is_within(&path("/")));
    }

    proptest! {
        #[test]
        fn any_name_comes_back_as_it_was(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let text = escape(&bytes);
            prop_assert_eq!(unescape(&text).unwrap(), bytes);
            prop_assert!(!shown(&text).chars().any(display::is_harmful));
        }

        #[test]
        fn a_path_that_is_taken_comes_back_as_it_was(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(path) = FilePath::from_bytes(&bytes) {
                prop_assert_eq!(FilePath::parse(path.as_str()).unwrap(), path.clone());
                prop_assert_eq!(FilePath::from_bytes(&path.bytes()).unwrap(), path.clone());
                prop_assert!(path.parts().all(|part| !matches!(part, "" | "." | "..")));
            }
        }

        #[test]
        fn any_text_is_refused_or_written_in_its_one_way(text in "[/.%a-f0-9]{0,12}") {
            if let Ok(path) = FilePath::parse(&text) {
                prop_assert_eq!(path.as_str(), &text);
            }
        }
    }
}
