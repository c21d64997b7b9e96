//! Variables of orders at rest. Their values are sealed by the vault in a record of their own, beside the run or
//! the schedule they belong to; everything else, in memory and on disk, has the names alone. Opened when an order is
//! sent, and when a schedule begins a run.

use crate::records::prefix;
use crate::server::Hub;
use crate::store::{Batch, MAX_VALUE, Store};
use crate::vault::Vault;
use crate::vault::keepers::{Keeper, Sealed, check_records, reseal_records};
use cmdr_link::codec;
use cmdr_protocol::runs::Order;
use cmdr_protocol::{CallError, RunId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use zeroize::Zeroize;

/// The values of the variables of one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvRecord {
    /// The run's or the schedule's.
    pub whose: String,
    /// All of them, sealed.
    #[serde(with = "serde_bytes")]
    pub sealed: Vec<u8>,
}

/// How a run's are named.
pub(super) fn of_run(run: RunId) -> String {
    format!("run/{run}")
}

/// How a schedule's are named.
pub(super) fn of_schedule(name: &str) -> String {
    format!("schedule/{name}")
}

pub(super) fn key(whose: &str) -> String {
    format!("{}{whose}", prefix::RUN_ENV)
}

fn context(whose: &str) -> String {
    format!("run-env/{whose}")
}

/// Takes the values out of an order and adds them, sealed, to a batch. Hold [`Vault::sealing`] until that is on
/// disk.
pub(super) fn seal(
    vault: &Vault,
    batch: Batch,
    whose: &str,
    order: &mut Order,
) -> Result<Batch, CallError> {
    let failed = |what: String| CallError::failed(format!("sealing the order's variables: {what}"));
    let plain = codec::encode(&order.env).map_err(|e| failed(e.to_string()))?;
    let sealed = vault.seal(&context(whose), &plain).map_err(|e| failed(e.to_string()))?;
    let record = EnvRecord { whose: whose.to_owned(), sealed };
    if sealed_size(&record) > MAX_VALUE {
        return Err(CallError::malformed(format!(
            "the variables are larger than {} KiB; put what is large into a file and push it",
            MAX_VALUE / 1024
        )));
    }
    order.env.values_mut().for_each(Zeroize::zeroize);
    Ok(batch.put(key(whose), &record))
}

fn sealed_size(record: &EnvRecord) -> usize {
    // The names of the fields and what frames them.
    record.sealed.len() + record.whose.len() + 64
}

/// Puts the values back into an order that has the names of its variables alone.
pub(super) fn open(
    store: &Store,
    vault: &Vault,
    whose: &str,
    order: &mut Order,
) -> Result<(), String> {
    if order.env.is_empty() {
        return Ok(());
    }
    let failed = |what: String| format!("the order's variables cannot be read: {what}");
    let record = store.get::<EnvRecord>(&key(whose)).map_err(|e| failed(e.to_string()))?;
    let record = record.ok_or_else(|| failed("they are not in the store".to_owned()))?;
    let plain = vault.open(&context(whose), &record.sealed).map_err(|e| failed(e.to_string()))?;
    let env: BTreeMap<String, String> = codec::decode(&plain).map_err(|e| failed(e.to_string()))?;
    order.env = env;
    Ok(())
}

fn sealed(record: &mut EnvRecord) -> Sealed<'_> {
    vec![(context(&record.whose), &mut record.sealed)]
}

/// Variables of orders, for a rotation of data keys.
pub(crate) const KEEPER: Keeper = Keeper {
    what: "variables of runs and schedules",
    reseal: |hub: &Hub| Box::pin(reseal_records(hub, prefix::RUN_ENV, sealed)),
    check: |hub| check_records(hub, prefix::RUN_ENV, sealed),
};
