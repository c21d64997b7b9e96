//! A new data key for everything, and a new master key for the data keys.
//!
//! The new data key is on disk before it seals, and the old ones are deleted only after every keeper has
//! nothing left that is sealed with them. Wherever this stops, everything opens, and the next rotation
//! finishes it.

use super::keepers::KEEPERS;
use super::master::Source;
use super::{Keys, Vault, VaultError, blob, read_records, unwrap, wrap};
use crate::records::{data_key, prefix};
use crate::server::Hub;
use crate::store::{Batch, Store, StoreError};
use std::sync::PoisonError;
use tokio::sync::mpsc;

/// Passes over everything before a rotation gives up; from the second on there should be nothing to do.
const PASSES: usize = 3;

impl Vault {
    /// Makes a data key and seals with it from now on. When this returns, nothing that holds
    /// [`Vault::sealing`] is on its way that was sealed with an older one.
    pub(crate) async fn renew(&self) -> Result<u32, VaultError> {
        let vault = self.clone();
        // Finished even when the caller is gone: the store must not know a key that the memory does not.
        let adding = tokio::spawn(async move { vault.add_key().await });
        let number = adding.await.map_err(|_| VaultError::Busy)??;
        drop(self.shared.sealing.write().await);
        Ok(number)
    }

    async fn add_key(&self) -> Result<u32, VaultError> {
        let _one = self.shared.adding.lock().await;
        let number = self.with(|keys| Ok(keys.newest))?.saturating_add(1);
        let key = blob::random::<32>()?;
        let record = {
            let master = self.shared.master.read().unwrap_or_else(PoisonError::into_inner);
            wrap(master.as_ref().ok_or(VaultError::Locked)?, number, &key)?
        };
        let batch = Batch::new().if_absent(data_key(number)).put(data_key(number), &record);
        self.store()?.apply(batch).await?;
        self.change(|keys| {
            keys.all.insert(number, key);
            keys.newest = number;
        });
        Ok(number)
    }

    /// Deletes the data keys before `number`.
    pub(crate) async fn forget_before(&self, number: u32) -> Result<usize, VaultError> {
        let old =
            self.with(|keys| Ok(keys.all.range(..number).map(|(n, _)| *n).collect::<Vec<_>>()))?;
        let batch = old.iter().fold(Batch::new(), |batch, old| batch.delete(data_key(*old)));
        self.store()?.apply(batch).await?;
        self.change(|keys| keys.all.retain(|n, _| *n >= number));
        Ok(old.len())
    }

    fn change(&self, what: impl FnOnce(&mut Keys)) {
        let mut keys = self.shared.keys.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = keys.as_mut() {
            what(keys);
        }
    }
}

/// Rotates. `told` hears of each part and how many of its values were sealed anew; the rotation waits for
/// whoever listens. The number of values in all, and how it ended in words.
pub async fn rotate(
    hub: &Hub,
    told: mpsc::Sender<(&'static str, u64)>,
) -> Result<(u64, String), VaultError> {
    let vault = &hub.vault;
    let _one = vault.shared.rotating.lock().await;
    let newest = vault.renew().await?;
    let mut all = 0;
    for pass in 1..=PASSES {
        let mut found = 0;
        for keeper in KEEPERS {
            let resealed = (keeper.reseal)(hub).await?;
            found += resealed;
            if pass == 1 || resealed > 0 {
                // Nobody has to listen.
                told.send((keeper.what, resealed)).await.ok();
            }
        }
        all += found;
        if found == 0 {
            let old = vault.forget_before(newest).await?;
            let keys = cmdr_protocol::human::count(old as u64, "older key");
            return Ok((all, format!("data key {newest} seals everything now, {keys} deleted")));
        }
    }
    Err(VaultError::Busy)
}

/// Wraps all data keys with the master key of another source, in one batch. For a hub that does not run.
pub async fn rewrap(store: &Store, from: &Source, to: &Source) -> Result<usize, VaultError> {
    let records = read_records(store)?;
    if records.is_empty() {
        return Err(VaultError::Master(
            "nothing is sealed yet: name the new source in [secrets] of the configuration, and the hub begins with it".to_owned(),
        ));
    }
    let old = from.read().await?.ok_or_else(|| VaultError::missing(from))?;
    let keys = unwrap(&old, from, &records)?;
    // The hub's own new key is beside the old one first, and in its place when the store knows it.
    let new = match to {
        Source::Own(_) => to.make_next()?,
        other => other.read().await?.ok_or_else(|| VaultError::missing(other))?,
    };
    let mut batch = Batch::new();
    for (number, key) in &keys.all {
        batch = batch.put(data_key(*number), &wrap(&new, *number, key)?);
    }
    store.apply(batch).await?;
    to.settle(&new)?;
    Ok(keys.all.len())
}

/// Deletes all named secrets and all data keys, for when the master key is lost. Says how many records.
pub async fn forget(store: &Store) -> Result<usize, VaultError> {
    let mut batch = Batch::new();
    let mut records = 0;
    for prefix in [prefix::DATA_KEY, prefix::SECRET, prefix::SECRET_USE] {
        for found in store.scan_raw(prefix)? {
            let key = match found {
                Ok((key, _)) | Err(StoreError::Damaged { key, .. }) => key,
                Err(e) => return Err(e.into()),
            };
            batch = batch.delete(key);
            records += 1;
        }
    }
    store.apply(batch).await?;
    Ok(records)
}
