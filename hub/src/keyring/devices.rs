//! Devices and programs' keys: which operator each acts for, and until when.

use super::tokens::refuse;
use super::{Keyring, Revocation, State, both};
use crate::records::{AccountRecord, DeviceRecord, TokenRecord, device_key};
use crate::store::{Batch, StoreError};
use cmdr_link::clock;
use cmdr_protocol::operators::{By, Source};
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::{Join, Refusal, RefusalKind};
use cmdr_protocol::{KeyId, PublicKey};

/// Devices of one operator that are remembered; beyond it those whose time was over longest ago go.
const MAX_DEVICES: usize = 200;

/// What a key is to this hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Unknown,
    /// It acted for somebody, and its rights were taken away.
    Revoked(Box<DeviceRecord>),
    /// Its login has ended.
    Expired(Box<DeviceRecord>),
    /// Its operator is shut out.
    Disabled(Box<DeviceRecord>),
    /// It acts for an operator.
    Active(Box<DeviceRecord>, Box<AccountRecord>),
}

impl DeviceRecord {
    /// Whether its time is over.
    pub fn has_expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|end| now_ms >= end)
    }
}

impl State {
    /// What a device of an operator's signs with, sealed, when the same one comes again.
    fn signing_of(&self, id: KeyId, operator: &str) -> Vec<u8> {
        let known = self.devices.get(&id);
        let same = known.filter(|device| !device.revoked && device.operator == operator);
        same.map(|device| device.signing.clone()).unwrap_or_default()
    }
}

impl Keyring {
    /// What a key is now.
    pub fn standing(&self, id: KeyId) -> Standing {
        let state = self.lock();
        let Some(device) = state.devices.get(&id) else { return Standing::Unknown };
        if device.revoked {
            return Standing::Revoked(Box::new(device.clone()));
        }
        match state.accounts.get(&device.operator) {
            None => Standing::Revoked(Box::new(device.clone())),
            Some(_) if device.has_expired(clock::now_ms()) => {
                Standing::Expired(Box::new(device.clone()))
            }
            Some(account) if account.disabled => Standing::Disabled(Box::new(device.clone())),
            Some(account) => Standing::Active(Box::new(device.clone()), Box::new(account.clone())),
        }
    }

    /// A device, unless it was taken away.
    pub fn device(&self, id: KeyId) -> Option<DeviceRecord> {
        self.lock().devices.get(&id).filter(|device| !device.revoked).cloned()
    }

    /// All devices and programs' keys of an operator, those that were taken away too.
    pub fn devices_of(&self, operator: &str) -> Vec<(KeyId, DeviceRecord)> {
        let state = self.lock();
        let of = state.devices.iter().filter(|(_, device)| device.operator == operator);
        of.map(|(id, device)| (*id, device.clone())).collect()
    }

    /// Every device and program's key.
    pub fn devices(&self) -> Vec<(KeyId, DeviceRecord)> {
        self.lock().devices.iter().map(|(id, device)| (*id, device.clone())).collect()
    }

    /// Takes in an operator's device with a token; the operator is made when the token names none.
    pub async fn login(
        &self,
        key: PublicKey,
        name: &str,
        join: &Join,
    ) -> Result<(DeviceRecord, AccountRecord), Refusal> {
        let id = cmdr_link::keys::key_id(&key);
        let name: String = cmdr_protocol::display::clean_to_width(name, 64);
        let name = if name.is_empty() { "operator".to_owned() } else { name };
        // Of two who come at once with the same name, the second has to see the first.
        let _changing = self.changing().await;
        let now_ms = clock::now_ms();
        let whose = |token: &TokenRecord| {
            let state = self.lock();
            if !token.operator.is_empty() {
                return state
                    .accounts
                    .get(&token.operator)
                    .cloned()
                    .map(|account| (account, false));
            }
            // A device whose rights were taken away comes back as the same operator, unless others act
            // for them: those would get what the token gives.
            let before = state.devices.get(&id).and_then(|device| {
                let mut others = state.devices.iter().filter(|(other, _)| **other != id);
                let alone = !others.any(|(_, d)| d.operator == device.operator && !d.revoked);
                let account = state.accounts.get(&device.operator)?;
                (alone && account.password.is_none() && !account.disabled).then(|| account.clone())
            });
            if let Some(account) = before {
                return Some((AccountRecord { role: token.role, ..account }, true));
            }
            let account = AccountRecord {
                name: state.free_name(&name),
                role: token.role,
                source: Source::Local,
                created_ms: now_ms,
                created_by: token.created_by.clone(),
                ..AccountRecord::default()
            };
            Some((account, true))
        };
        let make = |account: &AccountRecord| DeviceRecord {
            key,
            name: name.clone(),
            operator: account.name.clone(),
            role: Role::NONE,
            by: By::Token,
            joined_ms: now_ms,
            expires_ms: None,
            renewable_ms: None,
            program: None,
            revoked: false,
            refresh: Vec::new(),
            signing: self.lock().signing_of(id, &account.name),
        };
        // Looked at before the token is used: nobody loses one because of what an administrator did.
        let named =
            join.token.and_then(|id| self.lock().tokens.get(&id).map(|t| t.operator.clone()));
        if let Some(operator) = named.filter(|operator| !operator.is_empty())
            && self.account(&operator).is_some_and(|account| account.disabled)
        {
            return Err(refuse(
                RefusalKind::Disabled,
                "the operator whom the token is for was shut out; ask an administrator",
            ));
        }
        let mut made = None;
        let redeemed = self.redeem(join, TokenKind::Operator, |token| {
            made = whose(token);
            match &made {
                Some((account, new)) => both(id, &make(account), new.then_some(account)),
                None => Batch::new(),
            }
        });
        redeemed.await?;
        let Some((account, _)) = made else {
            return Err(refuse(
                RefusalKind::RevokedToken,
                "the operator whom the token is for does not exist any more; ask for a new one",
            ));
        };
        let device = make(&account);
        let mut state = self.write();
        state.accounts.insert(account.name.clone(), account.clone());
        state.devices.insert(id, device.clone());
        drop(state);
        Ok((device, account))
    }

    /// Lets a key act for an operator.
    pub async fn bind(&self, device: DeviceRecord) -> Result<(), StoreError> {
        let id = cmdr_link::keys::key_id(&device.key);
        let signing = self.lock().signing_of(id, &device.operator);
        let device = DeviceRecord { signing, ..device };
        let old = self.superfluous(&device.operator, id);
        let batch =
            old.iter().fold(both(id, &device, None), |batch, id| batch.delete(device_key(*id)));
        self.store.apply(batch).await?;
        let mut state = self.write();
        for id in &old {
            state.devices.remove(id);
        }
        state.devices.insert(id, device);
        Ok(())
    }

    /// Devices of an operator to forget when one more comes: nobody misses those that have ended.
    fn superfluous(&self, operator: &str, coming: KeyId) -> Vec<KeyId> {
        let now = clock::now_ms();
        let mut all = self.devices_of(operator);
        all.retain(|(id, _)| *id != coming);
        let beyond = (all.len() + 1).saturating_sub(MAX_DEVICES);
        all.retain(|(_, device)| device.revoked || device.has_expired(now));
        all.sort_by_key(|(_, device)| device.expires_ms.unwrap_or(device.joined_ms));
        all.into_iter().take(beyond).map(|(id, _)| id).collect()
    }

    /// Changes a device; false when there is none that is not taken away.
    pub async fn change_device(
        &self,
        id: KeyId,
        change: impl FnOnce(&mut DeviceRecord),
    ) -> Result<bool, StoreError> {
        let Some(mut device) = self.device(id) else { return Ok(false) };
        change(&mut device);
        self.store.apply(Batch::new().put(device_key(id), &device)).await?;
        self.write().devices.insert(id, device);
        Ok(true)
    }

    /// Takes a device's rights away.
    pub async fn revoke_device(&self, id: KeyId) -> Result<Revocation, StoreError> {
        let Some(mut device) = self.lock().devices.get(&id).cloned() else {
            return Ok(Revocation::Unknown);
        };
        if device.revoked {
            return Ok(Revocation::Already);
        }
        device.revoked = true;
        device.refresh.clear();
        device.signing.clear();
        self.store.apply(Batch::new().put(device_key(id), &device)).await?;
        self.write().devices.insert(id, device);
        Ok(Revocation::Now)
    }
}
