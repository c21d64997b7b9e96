//! Operators.

use super::{Keyring, State};
use crate::records::{AccountRecord, account_key, device_key};
use crate::store::{Batch, StoreError};
use cmdr_protocol::KeyId;
use cmdr_protocol::operators::{MAX_NAME, check_name};
use cmdr_protocol::role::Role;

/// Operators at once.
const MAX_ACCOUNTS: usize = 10_000;

/// Why an operator could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NotMade {
    /// There is one of that name.
    #[error("there is an operator {0} already")]
    Taken(String),
    /// The name is none.
    #[error("{0}")]
    Name(String),
    /// There are too many.
    #[error("there are {MAX_ACCOUNTS} operators already; delete some first")]
    Full,
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl State {
    /// A name for an operator who comes with a device of this name: the part before `@`, or something
    /// like it that is free.
    pub(super) fn free_name(&self, device: &str) -> String {
        let before = device.split('@').next().unwrap_or_default().to_ascii_lowercase();
        let fits = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(*c);
        let base: String = before.chars().take_while(fits).take(MAX_NAME - 6).collect();
        let mut base = base.trim_start_matches(['.', '_', '-']).to_owned();
        if check_name(&base).is_err() {
            "operator".clone_into(&mut base);
        }
        let mut name = base.clone();
        for n in 2.. {
            if !self.accounts.contains_key(&name) {
                break;
            }
            name = format!("{base}-{n}");
        }
        name
    }
}

impl Keyring {
    /// An operator.
    pub fn account(&self, name: &str) -> Option<AccountRecord> {
        self.lock().accounts.get(name).cloned()
    }

    /// All operators, by name.
    pub fn accounts(&self) -> Vec<AccountRecord> {
        self.lock().accounts.values().cloned().collect()
    }

    /// The operators who have this role, by name.
    pub fn with_role(&self, role: Role) -> Vec<String> {
        let state = self.lock();
        let have = state.accounts.values().filter(|account| account.role == role);
        have.map(|account| account.name.clone()).collect()
    }

    /// Makes an operator.
    pub async fn create(&self, account: AccountRecord) -> Result<(), NotMade> {
        check_name(&account.name).map_err(NotMade::Name)?;
        {
            let state = self.lock();
            if state.accounts.contains_key(&account.name) {
                return Err(NotMade::Taken(account.name));
            }
            if state.accounts.len() >= MAX_ACCOUNTS {
                return Err(NotMade::Full);
            }
        }
        let key = account_key(&account.name);
        self.store.apply(Batch::new().if_absent(key.clone()).put(key, &account)).await?;
        self.write().accounts.insert(account.name.clone(), account);
        Ok(())
    }

    /// Changes an operator; false when there is none. Callers hold [`Keyring::changing`].
    pub async fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut AccountRecord),
    ) -> Result<bool, StoreError> {
        let Some(mut account) = self.account(name) else { return Ok(false) };
        change(&mut account);
        self.store.apply(Batch::new().put(account_key(name), &account)).await?;
        self.write().accounts.insert(name.to_owned(), account);
        Ok(true)
    }

    /// Removes an operator with all devices; those, or nothing when there is no such operator.
    pub async fn delete(&self, name: &str) -> Result<Option<Vec<KeyId>>, StoreError> {
        if self.account(name).is_none() {
            return Ok(None);
        }
        let devices: Vec<_> = self.devices_of(name).into_iter().map(|(id, _)| id).collect();
        let batch = devices.iter().fold(Batch::new().delete(account_key(name)), |batch, id| {
            batch.delete(device_key(*id))
        });
        self.store.apply(batch).await?;
        let mut state = self.write();
        state.accounts.remove(name);
        for id in &devices {
            state.devices.remove(id);
        }
        drop(state);
        Ok(Some(devices))
    }
}
