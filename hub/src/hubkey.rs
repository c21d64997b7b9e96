//! The hub's own key while another follows it: which keys it proves, and who has pinned the one that comes.
//!
//! What is durable of the keys is one file ([`HubKeys`]); who has pinned which is in the store, so that a
//! hub that starts again still knows it. [`attend`] tells one peer and waits for its answer, for as long as
//! its link lasts. The steps themselves are in `services/hubkey.rs`.

use crate::records::{hub_pin_key, prefix};
use crate::server::Hub;
use crate::store::{Batch, Store, StoreError};
use cmdr_link::SecretKey;
use cmdr_link::hubkeys::HubKeys;
use cmdr_link::keys::KeyError;
use cmdr_link::link::Link;
use cmdr_protocol::PublicKey;
use cmdr_protocol::version::Beat;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{MutexGuard, watch};

/// The hub's keys.
#[derive(Debug)]
pub struct Keys {
    /// Where they are kept; nowhere in tests of other things.
    place: Option<PathBuf>,
    set: watch::Sender<Arc<HubKeys>>,
    version: AtomicU64,
    changing: tokio::sync::Mutex<()>,
}

impl From<SecretKey> for Keys {
    fn from(key: SecretKey) -> Self {
        Self::of(None, HubKeys::from(key))
    }
}

impl Keys {
    fn of(place: Option<PathBuf>, set: HubKeys) -> Self {
        let set = watch::Sender::new(Arc::new(set));
        Self { place, set, version: AtomicU64::new(0), changing: tokio::sync::Mutex::default() }
    }

    /// Those of a file; one that is not there is made.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        Ok(Self::of(Some(path.to_owned()), HubKeys::load_or_create(path)?))
    }

    /// All of them as they are now.
    pub fn now(&self) -> Arc<HubKeys> {
        self.set.borrow().clone()
    }

    /// All of them, and every change.
    pub fn watch(&self) -> watch::Receiver<Arc<HubKeys>> {
        self.set.subscribe()
    }

    /// The key that the hub proves.
    pub fn public(&self) -> PublicKey {
        self.set.borrow().current.public()
    }

    /// How often they have changed.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What a peer shall pin beside the key that was proved to it.
    pub fn next_for(&self, proved: &PublicKey) -> Option<PublicKey> {
        self.set.borrow().coming().filter(|coming| coming != proved)
    }

    /// Held from the look at them to their change: one step after the other.
    pub async fn changing(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Replaces them, on disk before anybody hears of it.
    pub fn replace(&self, set: HubKeys) -> Result<(), KeyError> {
        if let Some(place) = &self.place {
            set.save(place)?;
        }
        self.set.send_replace(Arc::new(set));
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }
}

/// Which key of the hub's each host and device has pinned, by the text of its id.
#[derive(Debug)]
pub struct Pinned {
    store: Store,
    by: Mutex<HashMap<String, PublicKey>>,
}

impl Pinned {
    /// Reads them.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        let mut by = HashMap::new();
        for record in store.scan::<PublicKey>(prefix::HUB_PIN)? {
            match record {
                Ok((key, pinned)) => {
                    by.insert(key[prefix::HUB_PIN.len()..].to_owned(), pinned);
                }
                // Whoever it was says it again when it comes.
                Err(e) => tracing::warn!("who has pinned the hub's next key: {e}"),
            }
        }
        Ok(Self { store, by: Mutex::new(by) })
    }

    /// Whether somebody has pinned this key.
    pub fn has(&self, who: &str, key: &PublicKey) -> bool {
        self.by.lock().unwrap_or_else(PoisonError::into_inner).get(who) == Some(key)
    }

    async fn note(&self, who: &str, key: PublicKey) {
        if self.has(who, &key) {
            return;
        }
        match self.store.apply(Batch::new().put(hub_pin_key(who), &key)).await {
            Ok(()) => {
                let mut by = self.by.lock().unwrap_or_else(PoisonError::into_inner);
                by.insert(who.to_owned(), key);
            }
            Err(e) => tracing::warn!(who, "its pin of the hub's next key was not kept: {e}"),
        }
    }

    /// Somebody does not have this key after all.
    async fn lacks(&self, who: &str, key: &PublicKey) {
        if !self.has(who, key) {
            return;
        }
        self.by.lock().unwrap_or_else(PoisonError::into_inner).remove(who);
        if let Err(e) = self.store.apply(Batch::new().delete(hub_pin_key(who))).await {
            tracing::warn!(who, "that it does not have the hub's new key was not kept: {e}");
        }
    }

    /// Forgets all.
    pub async fn clear(&self) -> Result<(), StoreError> {
        let known: Vec<_> = {
            let mut by = self.by.lock().unwrap_or_else(PoisonError::into_inner);
            by.drain().map(|(who, _)| who).collect()
        };
        let batch = known.iter().fold(Batch::new(), |batch, who| batch.delete(hub_pin_key(who)));
        self.store.apply(batch).await
    }
}

/// Tells a peer which key comes, notes when it has pinned it, and tells it when the older one is gone.
/// Returns when the link is over. What a program says that it keeps may be gone with the machine it runs on:
/// only one that `comes` with the new key has it.
pub async fn attend(hub: Arc<Hub>, who: String, comes: bool, proved: PublicKey, link: Link) {
    if let Some(coming) = hub.keys.now().coming().filter(|coming| comes && *coming != proved) {
        hub.pinned.lacks(&who, &coming).await;
    }
    let (mut keys, mut heard) = (hub.keys.watch(), link.heard());
    let (mut told, mut only) = (None, None);
    loop {
        let (set, pinned) = (keys.borrow_and_update().clone(), heard.borrow_and_update().pinned);
        let current = set.current.public();
        match set.coming() {
            Some(coming) if proved == coming || (pinned == Some(coming) && !comes) => {
                hub.pinned.note(&who, coming).await;
            }
            Some(coming) if told != Some(coming) => {
                told = Some(coming);
                link.say(Beat { next_hub_key: Some(coming), ..Beat::default() });
            }
            None if proved != current && pinned == Some(current) && only != Some(current) => {
                only = Some(current);
                link.say(Beat { only_hub_key: Some(current), ..Beat::default() });
            }
            _ => {}
        }
        tokio::select! {
            changed = keys.changed() => if changed.is_err() { return },
            changed = heard.changed() => if changed.is_err() { return },
            _ = link.down() => return,
        }
    }
}
