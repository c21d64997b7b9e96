//! How a file on a host stands to what it shall be: decided alike by whoever looks.

use super::FileWanted;
use crate::files::{Entry, FileKind};
use serde::{Deserialize, Serialize};

/// The largest file whose content is looked at.
pub const LARGEST: u64 = 1 << 20;

/// How a file on a host stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stands {
    /// As it shall be.
    Equal,
    /// Otherwise.
    Differs,
    /// It is not there.
    Missing,
    /// There is a secret in it, so its content is not compared.
    Hidden,
    /// It could not be looked at.
    #[default]
    Unknown,
}

/// How one stands, with what is otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// In a word.
    pub state: Stands,
    /// What is otherwise, in words.
    pub what: Vec<String>,
}

/// Whether the content of a file has to be read to know, or for its difference.
pub fn is_read(wanted: &FileWanted, there: &Entry, difference: bool) -> bool {
    let Some(content) = &wanted.content else { return false };
    there.kind == FileKind::File
        && there.size <= LARGEST
        && (difference || there.size == content.len() as u64)
}

/// How a file stands that is there, with its content where that was read.
pub fn drift(wanted: &FileWanted, there: &Entry, read: Option<&[u8]>) -> Drift {
    if there.kind != FileKind::File {
        return Drift { state: Stands::Differs, what: vec![format!("it is a {}", there.kind)] };
    }
    let mut what = Vec::new();
    if let Some(mode) = wanted.mode.filter(|mode| *mode != there.mode) {
        what.push(format!("permissions {:04o}, not {mode:04o}", there.mode));
    }
    let (user, group) = wanted.owner.split_once(':').unwrap_or((&wanted.owner, ""));
    for (wanted, name, number) in [(user, &there.user, there.uid), (group, &there.group, there.gid)]
    {
        if !wanted.is_empty() && wanted != name && *wanted != number.to_string() {
            what.push(format!("of {name}, not {wanted}"));
        }
    }
    let Some(content) = &wanted.content else {
        what.push("there is a secret in it; a push compares it".to_owned());
        return Drift { state: Stands::Hidden, what };
    };
    if read != Some(content.as_slice()) {
        what.push("content".to_owned());
    }
    let state = if what.is_empty() { Stands::Equal } else { Stands::Differs };
    Drift { state, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_otherwise_is_said_and_a_secret_is_never_compared() {
        let wanted = FileWanted {
            mode: Some(0o640),
            owner: "root:33".into(),
            content: Some(b"a".to_vec()),
            ..FileWanted::default()
        };
        let there = Entry {
            kind: FileKind::File,
            mode: 0o640,
            size: 1,
            user: "root".into(),
            group: "www".into(),
            gid: 33,
            ..Entry::default()
        };
        assert!(is_read(&wanted, &there, false));
        assert_eq!(drift(&wanted, &there, Some(b"a")).state, Stands::Equal);
        let differs = drift(&wanted, &Entry { mode: 0o600, ..there.clone() }, Some(b"b"));
        assert_eq!(differs.state, Stands::Differs);
        assert_eq!(differs.what, ["permissions 0600, not 0640", "content"]);
        let longer = Entry { size: 2, ..there.clone() };
        assert!(!is_read(&wanted, &longer, false) && is_read(&wanted, &longer, true));
        assert_eq!(drift(&wanted, &longer, None).state, Stands::Differs);
        let secret = FileWanted { content: None, secret: true, ..wanted };
        assert!(!is_read(&secret, &there, true));
        assert_eq!(drift(&secret, &there, None).state, Stands::Hidden);
    }
}
