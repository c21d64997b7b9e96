//! Who may come in: operators, the devices and programs' keys that act for them, and the tokens that
//! let new keys in.
//!
//! All of it is held in memory and changed only together with the store: what is not on disk has not
//! happened. Asked by [`crate::admission`], by [`crate::who`] and by the services of the same names.

mod accounts;
mod devices;
mod tokens;

pub use accounts::NotMade;
pub use devices::Standing;
pub use tokens::{MAX_TOKENS, token_state};

use crate::records::{AccountRecord, DeviceRecord, TokenRecord, account_key, device_key, prefix};
use crate::store::{Batch, Store, StoreError};
use cmdr_protocol::KeyId;
use cmdr_protocol::ids::TokenId;
use cmdr_protocol::operators::By;
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::{TokenKind, TokenState};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Operators, devices and tokens.
#[derive(Debug)]
pub struct Keyring {
    store: Store,
    state: Mutex<State>,
    changing: tokio::sync::Mutex<()>,
    version: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    accounts: BTreeMap<String, AccountRecord>,
    devices: BTreeMap<KeyId, DeviceRecord>,
    tokens: BTreeMap<TokenId, TokenRecord>,
    /// Devices from before there were accounts, whose operators are not on disk yet.
    unsettled: Vec<KeyId>,
}

/// What came of taking something away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// There is no such thing.
    Unknown,
    /// It had been taken away before.
    Already,
    /// It is taken away now.
    Now,
}

impl Keyring {
    /// Reads everything from the store; a damaged record is logged and left out.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        let mut state = State::default();
        for record in store.scan::<AccountRecord>(prefix::ACCOUNT)? {
            match record {
                Ok((_, account)) => {
                    state.accounts.insert(account.name.clone(), account);
                }
                Err(e) => tracing::error!("left out: {e}"),
            }
        }
        for record in store.scan::<DeviceRecord>(prefix::DEVICE)? {
            match record {
                Ok((_, device)) => {
                    let id = cmdr_link::keys::key_id(&device.key);
                    if device.operator.is_empty() {
                        state.unsettled.push(id);
                    }
                    let device = state.with_operator(device);
                    state.devices.insert(id, device);
                }
                Err(e) => tracing::error!("left out: {e}"),
            }
        }
        for record in store.scan::<TokenRecord>(prefix::TOKEN)? {
            match record.map(|(key, token)| (key[prefix::TOKEN.len()..].parse(), token)) {
                Ok((Ok(id), token)) => {
                    state.tokens.insert(id, token);
                }
                Ok((Err(e), _)) => tracing::error!("a token record without a proper key: {e}"),
                Err(e) => tracing::error!("left out: {e}"),
            }
        }
        Ok(Self {
            store,
            state: Mutex::new(state),
            changing: tokio::sync::Mutex::default(),
            version: AtomicU64::new(0),
        })
    }

    /// Writes the operators that were made for devices from before there were accounts.
    pub async fn settle(&self) -> Result<(), StoreError> {
        let unsettled = std::mem::take(&mut self.lock().unsettled);
        for id in unsettled {
            let Some(device) = self.device(id) else { continue };
            let account = self.account(&device.operator);
            self.store.apply(both(id, &device, account.as_ref())).await?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, to change what somebody may do.
    fn write(&self) -> MutexGuard<'_, State> {
        let state = self.lock();
        self.version.fetch_add(1, Ordering::SeqCst);
        state
    }

    /// Counts the changes of operators and devices.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Held by whoever looks at what somebody may do and then changes it, so that no change undoes
    /// another and no two together take the last administrator away.
    pub async fn changing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Whether anyone may administer this hub, or can still become one who may.
    pub fn has_administrator(&self) -> bool {
        let (now, state) = (cmdr_link::clock::now_ms(), self.lock());
        state.administrators(None, None) > 0
            || state.tokens.values().any(|t| {
                let role = state.accounts.get(&t.operator).map_or(t.role, |account| account.role);
                t.kind == TokenKind::Operator
                    && role == Role::ADMINISTRATOR
                    && token_state(t, now) == TokenState::Valid
            })
    }

    /// Whether this hub could be administered by nobody if the operator were without rights.
    pub fn is_last_administrator(&self, operator: &str) -> bool {
        let state = self.lock();
        state.administrators(None, None) > 0 && state.administrators(Some(operator), None) == 0
    }

    /// Whether this hub could be administered by nobody if the operator had no password.
    pub fn is_last_password(&self, operator: &str) -> bool {
        let state = self.lock();
        let has_device = state
            .devices
            .values()
            .any(|device| device.operator == operator && device.by == By::Token && !device.revoked);
        !has_device
            && state.administrators(None, None) > 0
            && state.administrators(Some(operator), None) == 0
    }

    /// Whether this hub could be administered by nobody if the device were taken away.
    pub fn is_last_way_in(&self, device: KeyId) -> bool {
        let state = self.lock();
        state.administrators(None, None) > 0 && state.administrators(None, Some(device)) == 0
    }
}

impl State {
    /// Administrators who can come in for good: with a device that a token let in, or with a
    /// password of this hub. A directory may be down, and a program is nobody.
    fn administrators(&self, without: Option<&str>, without_device: Option<KeyId>) -> usize {
        let able = |account: &&AccountRecord| {
            let has_device = || {
                self.devices.iter().any(|(id, device)| {
                    device.operator == account.name
                        && device.by == By::Token
                        && !device.revoked
                        && Some(*id) != without_device
                })
            };
            account.role == Role::ADMINISTRATOR
                && !account.disabled
                && Some(account.name.as_str()) != without
                && (account.password.is_some() || has_device())
        };
        self.accounts.values().filter(able).count()
    }

    /// A device of a hub from before there were accounts gets one of its own.
    fn with_operator(&mut self, device: DeviceRecord) -> DeviceRecord {
        if !device.operator.is_empty() {
            return device;
        }
        let name = self.free_name(&device.name);
        let account = AccountRecord {
            name: name.clone(),
            role: device.role,
            source: cmdr_protocol::operators::Source::Local,
            created_ms: device.joined_ms,
            ..AccountRecord::default()
        };
        self.accounts.insert(name.clone(), account);
        DeviceRecord { operator: name, by: By::Token, role: Role::NONE, ..device }
    }
}

/// A batch that writes a device together with its operator.
fn both(id: KeyId, device: &DeviceRecord, account: Option<&AccountRecord>) -> Batch {
    let batch = Batch::new().put(device_key(id), device);
    match account {
        Some(account) => batch.put(account_key(&account.name), account),
        None => batch,
    }
}

#[cfg(test)]
mod tests;
