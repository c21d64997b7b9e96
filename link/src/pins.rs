//! The file `hub.toml` of a program's folder: where its hub is, which key the hub must prove, and which
//! key shall follow that one.
//!
//! A hub that gets another key tells it over links that its present key has proved. It is kept
//! beside the present one, tried first from then on, and alone once the hub has proved it. Several programs may
//! share the folder: the file is read for each dial, and replaced whole.

use crate::context::ContextError;
use crate::files::{self, Partial};
use crate::link::Link;
use crate::settings;
use cmdr_protocol::PublicKey;
use cmdr_protocol::version::Beat;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What the file holds. A later release may have written more.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Pins {
    /// `host:port`.
    pub address: String,
    /// The key that the hub must prove.
    pub key: PublicKey,
    /// The key that it may prove as well.
    #[serde(default)]
    pub next: Option<PublicKey>,
}

fn place(dir: &Path) -> PathBuf {
    dir.join("hub.toml")
}

impl Pins {
    /// Reads the file in `dir`.
    pub fn load(dir: &Path) -> Result<Self, ContextError> {
        let path = place(dir);
        let wrong = |what: String| ContextError::File { path: path.clone(), what };
        let content = match files::read_private(&path, 64 * 1024) {
            Ok(content) => content,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(ContextError::None(path));
            }
            Err(e) => return Err(wrong(files::reason(&e))),
        };
        let text = String::from_utf8(content).map_err(|_| wrong("not UTF-8".to_owned()))?;
        Ok(settings::parse(&path, &text)?)
    }

    /// Replaces the file in `dir`.
    pub fn save(&self, dir: &Path) -> Result<(), ContextError> {
        let path = place(dir);
        let mut table = toml::Table::new();
        table.insert("address".to_owned(), self.address.clone().into());
        table.insert("key".to_owned(), self.key.to_string().into());
        if let Some(next) = &self.next {
            table.insert("next".to_owned(), next.to_string().into());
        }
        let text = format!("# The hub of this folder's key. Written when joining.\n{table}");
        // Several programs of one user may do this at once, each with a file of its own.
        let written = Partial::create(&path).and_then(|mut file| {
            file.write(text.as_bytes())?;
            file.finish()
        });
        written.map(drop).map_err(|e| ContextError::File { path, what: files::reason(&e) })
    }

    /// Whether a hub with this key is the one that is meant.
    pub fn accepts(&self, key: &PublicKey) -> bool {
        self.key == *key || self.next.as_ref() == Some(key)
    }
}

/// Changes the file in `dir` if there is something to change.
fn change(dir: &Path, how: impl FnOnce(&mut Pins)) -> Result<(), ContextError> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = Pins::load(dir)?;
    let mut pins = kept.clone();
    how(&mut pins);
    if pins == kept { Ok(()) } else { pins.save(dir) }
}

/// Keeps the key that the hub has told beside the one that it has proved; drops another one.
pub fn learn(dir: &Path, proved: &PublicKey, next: Option<PublicKey>) -> Result<(), ContextError> {
    change(dir, |pins| {
        // Another program may have gone on with the new key meanwhile.
        if pins.key == *proved {
            pins.next = next.filter(|next| next != proved);
        }
    })
}

/// Makes a key that is kept in `dir` the only one.
pub fn settle(dir: &Path, key: &PublicKey) -> Result<(), ContextError> {
    change(dir, |pins| {
        if pins.accepts(key) {
            (pins.key, pins.next) = (*key, None);
        }
    })
}

/// Does what the hub says about its key while a link lasts.
pub(crate) async fn follow(dir: PathBuf, proved: PublicKey, link: Link) {
    let mut heard = link.heard();
    loop {
        let said = *heard.borrow_and_update();
        if let Some(next) = said.next {
            let learnt = learn(&dir, &proved, Some(next)).and_then(|()| Pins::load(&dir));
            match learnt {
                Ok(pins) if pins.accepts(&next) => {
                    link.say(Beat { pinned_hub_key: Some(next), ..Beat::default() });
                }
                Ok(_) => {}
                Err(e) => tracing::warn!("the hub's next key was not kept: {e}"),
            }
        }
        if let Some(only) = said.only
            && let Err(e) = settle(&dir, &only)
        {
            tracing::warn!("the hub's new key was not made the only one: {e}");
        }
        tokio::select! {
            changed = heard.changed() => if changed.is_err() { return },
            _ = link.down() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PublicKey = PublicKey([1; 32]);
    const B: PublicKey = PublicKey([2; 32]);
    const C: PublicKey = PublicKey([3; 32]);

    #[test]
    fn a_key_that_was_told_is_kept_beside_until_it_is_proved_or_void() {
        let dir = tempfile::tempdir().unwrap();
        let pins = |key, next| Pins { address: "hub:7700".to_owned(), key, next };
        let kept = || Pins::load(dir.path()).unwrap();
        pins(A, None).save(dir.path()).unwrap();
        learn(dir.path(), &A, Some(B)).unwrap();
        assert_eq!(kept(), pins(A, Some(B)));
        learn(dir.path(), &A, None).unwrap();
        assert_eq!(kept(), pins(A, None));
        learn(dir.path(), &A, Some(C)).unwrap();
        // A stranger's key is never made the only one, nor kept on the word of another key.
        settle(dir.path(), &B).unwrap();
        learn(dir.path(), &B, Some(B)).unwrap();
        assert_eq!(kept(), pins(A, Some(C)));
        settle(dir.path(), &C).unwrap();
        assert_eq!(kept(), pins(C, None));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
