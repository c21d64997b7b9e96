//! The file `hub.key`: the hub's key, and what belongs to it while and after it is replaced.
//!
//! The first line is the key. A hub that has never had another has no more lines. Then come, each behind
//! its word: `seal`, the first key this hub ever had, which audit log and backups are sealed with; `next`,
//! the key that shall follow; `previous`, the one before, which still answers. It is one file so that a crash
//! leaves the state before a step or the one after it.

use crate::files;
use crate::keys::{KeyError, SecretKey};
use cmdr_protocol::PublicKey;
use std::path::Path;
use zeroize::Zeroizing;

/// What the file holds.
#[derive(Clone, Debug)]
pub struct HubKeys {
    /// What the hub proves.
    pub current: SecretKey,
    /// What seals, where it is another.
    pub seal: Option<SecretKey>,
    /// What it shall prove next.
    pub next: Option<SecretKey>,
    /// What it still proves to those who ask for it.
    pub previous: Option<SecretKey>,
}

impl From<SecretKey> for HubKeys {
    fn from(current: SecretKey) -> Self {
        Self { current, seal: None, next: None, previous: None }
    }
}

impl HubKeys {
    /// Reads the file. Refuses one that others may read, and one with a line that it does not know.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let content = SecretKey::content(path)?;
        let wrong = || KeyError::Content(path.to_owned());
        let mut lines = content.trim_ascii().split(|byte| *byte == b'\n');
        let first = lines.next().and_then(SecretKey::from_text);
        let mut keys = Self::from(first.ok_or_else(wrong)?);
        for line in lines {
            let mut parts = line.splitn(2, |byte| *byte == b' ');
            let place = match parts.next() {
                Some(b"seal") => &mut keys.seal,
                Some(b"next") => &mut keys.next,
                Some(b"previous") => &mut keys.previous,
                _ => return Err(wrong()),
            };
            let key = parts.next().and_then(SecretKey::from_text).ok_or_else(wrong)?;
            if place.replace(key).is_some() {
                return Err(wrong());
            }
        }
        Ok(keys)
    }

    /// Replaces the file, on disk when this returns.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        // Never grown, so that no copy of a key is left behind in memory.
        let mut text = Zeroizing::new(String::with_capacity(512));
        text.push_str(&self.current.to_text());
        text.push('\n');
        let more = [("seal", &self.seal), ("next", &self.next), ("previous", &self.previous)];
        for (word, key) in more {
            if let Some(key) = key {
                text.push_str(word);
                text.push(' ');
                text.push_str(&key.to_text());
                text.push('\n');
            }
        }
        files::write_private(path, text.as_bytes())
            .map_err(|source| KeyError::File { path: path.to_owned(), source })
    }

    /// Reads the file, or makes a key and the file.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        if path.exists() {
            return Self::load(path);
        }
        let keys = Self::from(SecretKey::generate()?);
        keys.save(path)?;
        Ok(keys)
    }

    /// What seals the audit log and backups. It stays when the hub's key is replaced.
    pub fn sealing(&self) -> &SecretKey {
        self.seal.as_ref().unwrap_or(&self.current)
    }

    /// What the hub proves, at most two, the present one first.
    pub fn answering(&self) -> impl Iterator<Item = &SecretKey> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    /// The key that everybody shall have pinned at the end; none when nothing is being replaced.
    pub fn coming(&self) -> Option<PublicKey> {
        match (&self.next, &self.previous) {
            (Some(next), _) => Some(next.public()),
            (None, Some(_)) => Some(self.current.public()),
            (None, None) => None,
        }
    }

    /// Whether it is any of these.
    pub fn has(&self, key: &PublicKey) -> bool {
        self.answering().chain(&self.next).any(|ours| ours.public() == *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SecretKey {
        SecretKey::generate().unwrap()
    }

    #[test]
    fn the_file_reads_back_and_its_first_line_is_what_a_hub_without_another_key_has() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.key");
        let mut keys = HubKeys::load_or_create(&path).unwrap();
        assert_eq!(SecretKey::load(&path).unwrap().public(), keys.current.public());
        assert_eq!((keys.coming(), keys.answering().count()), (None, 1));
        keys = HubKeys { seal: Some(key()), next: Some(key()), previous: Some(key()), ..keys };
        keys.save(&path).unwrap();
        let read = HubKeys::load(&path).unwrap();
        let publics = |keys: &HubKeys| {
            [Some(&keys.current), keys.seal.as_ref(), keys.next.as_ref(), keys.previous.as_ref()]
                .map(|key| key.unwrap().public())
        };
        assert_eq!(publics(&read), publics(&keys));
        assert_eq!(read.sealing().public(), keys.seal.unwrap().public());
    }

    #[test]
    fn a_line_that_is_not_known_or_comes_twice_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hub.key");
        let (a, b) = (key().to_text(), key().to_text());
        for more in [
            format!("other {}", *b),
            (*b).clone(),
            "next".to_owned(),
            "next abc".to_owned(),
            format!("next {}\nnext {}", *a, *b),
        ] {
            files::write_private(&path, format!("{}\n{more}\n", *a).as_bytes()).unwrap();
            assert!(matches!(HubKeys::load(&path), Err(KeyError::Content(_))), "{more}");
        }
    }
}
