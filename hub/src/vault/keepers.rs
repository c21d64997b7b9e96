//! Who keeps sealed values, one line each: what a rotation has to seal anew, and a check has to open.
//!
//! A part that keeps sealed values in records of its own writes two functions on [`reseal_records`] and
//! [`check_records`] and adds a line to [`KEEPERS`]. One that holds its records in memory as well, or
//! keeps sealed values in files, seals them anew under its own lock, with [`Vault::reseal`]: a value in memory
//! that is still sealed with an old data key must not be written back later. Between sealing a value and
//! having it on disk it holds [`Vault::sealing`].

use super::{Vault, VaultError, named};
use crate::recording;
use crate::records::{SecretRecord, prefix};
use crate::server::Hub;
use crate::store::{Batch, StoreError};
use cmdr_link::codec;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::pin::Pin;

/// How often a record is tried that others change at the same time.
const TRIES: usize = 10;

/// How many values were sealed anew.
pub type Resealed<'a> = Pin<Box<dyn Future<Output = Result<u64, VaultError>> + Send + 'a>>;

/// A part of the hub that keeps sealed values.
pub struct Keeper {
    /// What they are, for people.
    pub what: &'static str,
    /// Seals with the newest data key what is sealed with an older one. Calling it again goes on
    /// where the last call stopped.
    pub reseal: for<'a> fn(&'a Hub) -> Resealed<'a>,
    /// What does not open, one sentence each.
    pub check: fn(&Hub) -> Result<Vec<String>, VaultError>,
}

/// All of them.
pub const KEEPERS: &[Keeper] = &[
    Keeper {
        what: "named secrets",
        reseal: |hub| Box::pin(reseal_records(hub, prefix::SECRET, secret)),
        check: |hub| check_records(hub, prefix::SECRET, secret),
    },
    crate::services::TOTP,
    crate::login::refresh::KEEPER,
    crate::api::signing::KEEPER,
    crate::runbooks::SIGNERS,
    crate::runs::ENVIRONMENT,
    crate::registries::KEEPER,
    crate::compose::KEEPER,
    crate::forwards::KEEPER,
    Keeper {
        what: "keys of recordings",
        reseal: |hub| Box::pin(hub.recorder.reseal()),
        check: |hub| check_records(hub, prefix::RECORDING, recording::sealed),
    },
];

/// The sealed values of a record, each with its context.
pub(crate) type Sealed<'a> = Vec<(String, &'a mut Vec<u8>)>;

fn secret(record: &mut SecretRecord) -> Sealed<'_> {
    vec![(named::context(&record.name), &mut record.sealed)]
}

/// Seals anew the values of all records below `prefix`. A record that is changed meanwhile is read again.
pub async fn reseal_records<T: Serialize + DeserializeOwned + Send + Sync>(
    hub: &Hub,
    prefix: &str,
    sealed: fn(&mut T) -> Sealed<'_>,
) -> Result<u64, VaultError> {
    let mut count = 0;
    let keys: Vec<_> = hub
        .store
        .scan_raw(prefix)?
        .into_iter()
        .map(|found| found.map(|(key, _)| key))
        .collect::<Result<_, _>>()?;
    for key in keys {
        for attempt in 1.. {
            let Some(raw) = hub.store.get_raw(&key)? else { break };
            let damaged = |what: String| StoreError::Damaged { key: key.clone(), what };
            let mut record: T = codec::decode(&raw).map_err(|e| damaged(e.to_string()))?;
            let mut changed = 0;
            for (context, value) in sealed(&mut record) {
                if let Some(new) = hub.vault.reseal(&context, value)? {
                    *value = new;
                    changed += 1;
                }
            }
            if changed == 0 {
                break;
            }
            let batch = Batch::new().if_same(key.clone(), raw).put(key.clone(), &record);
            match hub.store.apply(batch).await {
                Ok(()) => {
                    count += changed;
                    break;
                }
                Err(StoreError::Conflict(_)) if attempt < TRIES => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
    Ok(count)
}

/// Opens the values of all records below `prefix`. Damaged records are told of by the store's own check.
pub fn check_records<T: DeserializeOwned>(
    hub: &Hub,
    prefix: &str,
    sealed: fn(&mut T) -> Sealed<'_>,
) -> Result<Vec<String>, VaultError> {
    let mut wrong = Vec::new();
    for (_, mut record) in hub.store.scan::<T>(prefix)?.into_iter().flatten() {
        for (context, value) in sealed(&mut record) {
            wrong.extend(hub.vault.open(&context, value).err().map(|e| e.to_string()));
        }
    }
    Ok(wrong)
}

/// What does not open, of all keepers.
pub fn check(hub: &Hub) -> Vec<String> {
    let check = |keeper: &Keeper| match (keeper.check)(hub) {
        Ok(wrong) => wrong,
        Err(e) => vec![format!("{}: {e}", keeper.what)],
    };
    if hub.vault.is_locked() { Vec::new() } else { KEEPERS.iter().flat_map(check).collect() }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("what", &self.what).finish_non_exhaustive()
    }
}

impl Vault {
    /// `sealed` with the newest data key; nothing when it has that already.
    pub fn reseal(&self, context: &str, sealed: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
        if super::blob::number(sealed) == Some(self.with(|keys| Ok(keys.newest))?) {
            return Ok(None);
        }
        let plain = self.open(context, sealed)?;
        self.seal(context, &plain).map(Some)
    }
}
