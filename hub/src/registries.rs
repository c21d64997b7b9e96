//! Registries of images: who the hub is to them (`services/registries.rs` asks), and what it finds out there.
//! Passwords are sealed by the vault and leave the hub for the registry, or for the host that pulls or pushes.

mod web;

pub(crate) use web::Web;

use crate::records::{RegistryRecord, prefix};
use crate::server::Hub;
use crate::store::Batch;
use crate::vault::VaultError;
use crate::vault::keepers::{Keeper, Sealed, check_records, reseal_records};
use cmdr_link::clock;
use cmdr_protocol::CallError;
use cmdr_protocol::images::Login;
use cmdr_protocol::registries::{Put, Registry};
use zeroize::Zeroizing;

/// The passwords.
pub(crate) const KEEPER: Keeper = Keeper {
    what: "logins of registries",
    reseal: |hub| Box::pin(reseal_records(hub, prefix::REGISTRY, sealed)),
    check: |hub| check_records(hub, prefix::REGISTRY, sealed),
};

fn sealed(record: &mut RegistryRecord) -> Sealed<'_> {
    if record.sealed.is_empty() {
        return Vec::new();
    }
    vec![(context(&record.registry), &mut record.sealed)]
}

/// What a password is sealed for.
fn context(registry: &str) -> String {
    format!("registry/{registry}")
}

fn key(registry: &str) -> String {
    format!("{}{registry}", prefix::REGISTRY)
}

/// A registry with what proves who the hub is there.
pub(crate) struct Known {
    pub(crate) record: RegistryRecord,
    pub(crate) password: Zeroizing<String>,
}

impl Known {
    /// What a host is handed to pull or push.
    pub(crate) fn login(&self) -> Login {
        Login {
            registry: self.record.registry.clone(),
            username: self.record.username.clone(),
            password: self.password.as_str().to_owned(),
        }
    }
}

/// Keeps who the hub is there; true when it was known before.
pub(crate) async fn put(hub: &Hub, put: &Put, by: &str) -> Result<bool, VaultError> {
    let _sealing = hub.vault.sealing().await;
    let replaced = hub.store.get::<RegistryRecord>(&key(&put.registry)).is_ok_and(|r| r.is_some());
    let sealed = if put.password.is_empty() {
        Vec::new()
    } else {
        hub.vault.seal(&context(&put.registry), put.password.as_bytes())?
    };
    let record = RegistryRecord {
        registry: put.registry.clone(),
        username: put.username.clone(),
        sealed,
        plain: put.plain,
        set_ms: clock::now_ms(),
        set_by: by.to_owned(),
    };
    hub.store.apply(Batch::new().put(key(&put.registry), &record)).await?;
    Ok(replaced)
}

/// Forgets it; false when it was not known.
pub(crate) async fn delete(hub: &Hub, registry: &str) -> Result<bool, VaultError> {
    // One that is damaged is there as well.
    let there = !matches!(hub.store.get::<RegistryRecord>(&key(registry)), Ok(None));
    hub.store.apply(Batch::new().delete(key(registry))).await?;
    Ok(there)
}

/// All of them by name.
pub(crate) fn list(hub: &Hub) -> Result<Vec<Registry>, VaultError> {
    let found = hub.store.scan::<RegistryRecord>(prefix::REGISTRY)?;
    let shown = |record: RegistryRecord| Registry {
        registry: record.registry,
        username: record.username,
        plain: record.plain,
        set_ms: record.set_ms,
        set_by: record.set_by,
    };
    Ok(found.into_iter().flatten().map(|(_, record)| shown(record)).collect())
}

/// One of them with its password; nothing when it is not known.
pub(crate) fn known(hub: &Hub, registry: &str) -> Result<Option<Known>, CallError> {
    let found = hub.store.get::<RegistryRecord>(&key(registry)).map_err(VaultError::from)?;
    let Some(record) = found else { return Ok(None) };
    let mut password = Zeroizing::new(String::new());
    if !record.sealed.is_empty() {
        let opened = hub.vault.open(&context(registry), &record.sealed)?;
        let text = std::str::from_utf8(&opened);
        password.push_str(text.map_err(|e| CallError::failed(e.to_string()))?);
    }
    Ok(Some(Known { record, password }))
}
