//! Secrets by name: what administrators put for parts of the hub to use.

use super::{Vault, VaultError};
use crate::records::{SecretRecord, SecretUse, prefix, secret_key, secret_use_key};
use crate::store::Batch;
use cmdr_link::clock;
use cmdr_protocol::secrets::Secret;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use zeroize::Zeroizing;

/// A use is written down at most this often, milliseconds.
const NOTED: u64 = 60_000;

/// What a secret's value is sealed for.
pub(super) fn context(name: &str) -> String {
    format!("secret/{name}")
}

impl Vault {
    /// The secret of this name, for the `part` of the hub that uses it ("ldap"); nothing when nobody has
    /// put it. Do not keep it for longer than it is needed: it may be replaced at any time.
    pub fn secret(&self, name: &str, part: &str) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let Some(record) = self.store()?.get::<SecretRecord>(&secret_key(name))? else {
            return Ok(None);
        };
        let value = self.open(&context(name), &record.sealed)?;
        self.note_use(name, part);
        Ok(Some(value))
    }

    /// Remembers a use, and writes it down now and then. Nothing waits for it.
    fn note_use(&self, name: &str, part: &str) {
        let used = SecretUse { at_ms: clock::now_ms(), part: part.to_owned() };
        {
            let mut uses = self.shared.uses.lock().unwrap_or_else(PoisonError::into_inner);
            let noted = uses.get(name).filter(|(noted, before)| {
                before.part == used.part && used.at_ms.saturating_sub(*noted) < NOTED
            });
            let since = noted.map_or(used.at_ms, |(noted, _)| *noted);
            let known = noted.is_some();
            uses.insert(name.to_owned(), (since, used.clone()));
            if known {
                return;
            }
        }
        if let (Ok(store), Ok(runtime)) = (self.store(), tokio::runtime::Handle::try_current()) {
            let (store, batch) = (store.clone(), Batch::new().put(secret_use_key(name), &used));
            runtime.spawn(async move {
                if let Err(e) = store.apply(batch).await {
                    tracing::debug!("the use of a secret was not kept: {e}");
                }
            });
        }
    }

    /// Keeps a secret; true when there was one of this name.
    pub async fn put(&self, name: &str, value: &[u8], by: &str) -> Result<bool, VaultError> {
        let _sealing = self.sealing().await;
        let store = self.store()?;
        let replaced = store.get::<SecretRecord>(&secret_key(name)).is_ok_and(|r| r.is_some());
        let record = SecretRecord {
            name: name.to_owned(),
            sealed: self.seal(&context(name), value)?,
            set_ms: clock::now_ms(),
            set_by: by.to_owned(),
        };
        store.apply(Batch::new().put(secret_key(name), &record)).await?;
        Ok(replaced)
    }

    /// Forgets a secret; false when there was none.
    pub async fn delete(&self, name: &str) -> Result<bool, VaultError> {
        let store = self.store()?;
        // One that is damaged is there as well.
        let there = !matches!(store.get::<SecretRecord>(&secret_key(name)), Ok(None));
        let batch = Batch::new().delete(secret_key(name)).delete(secret_use_key(name));
        store.apply(batch).await?;
        self.shared.uses.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(there)
    }

    /// All secrets by name, without their values.
    pub fn secrets(&self) -> Result<Vec<Secret>, VaultError> {
        let store = self.store()?;
        let mut uses: BTreeMap<String, SecretUse> = store
            .scan::<SecretUse>(prefix::SECRET_USE)?
            .into_iter()
            .flatten()
            .map(|(key, used)| (key[prefix::SECRET_USE.len()..].to_owned(), used))
            .collect();
        for (name, (_, used)) in &*self.shared.uses.lock().unwrap_or_else(PoisonError::into_inner) {
            uses.insert(name.clone(), used.clone());
        }
        let mut secrets = Vec::new();
        for record in store.scan::<SecretRecord>(prefix::SECRET)? {
            let (_, record) = record?;
            let used = uses.remove(&record.name);
            secrets.push(Secret {
                name: record.name,
                set_ms: record.set_ms,
                set_by: record.set_by,
                used_ms: used.as_ref().map(|used| used.at_ms),
                used_by: used.map(|used| used.part).unwrap_or_default(),
            });
        }
        Ok(secrets)
    }
}
