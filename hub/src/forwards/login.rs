//! Who may use a proxy: the password is sealed by the vault, shown to nobody, and leaves the hub for the host alone.

use super::{ForwardRecord, Forwards, key};
use crate::records::prefix;
use crate::server::Hub;
use crate::store::Batch;
use crate::vault::VaultError;
use crate::vault::keepers::{Keeper, Sealed, check_records};
use cmdr_protocol::CallError;
use cmdr_protocol::forwards::kept::{Forward, Password};

/// The passwords.
pub(crate) const KEEPER: Keeper = Keeper {
    what: "logins of forwards",
    reseal: |hub| Box::pin(hub.forwards.reseal(hub)),
    check: |hub| check_records(hub, prefix::FORWARD, of),
};

fn of(record: &mut ForwardRecord) -> Sealed<'_> {
    if record.sealed.is_empty() {
        return Vec::new();
    }
    vec![(context(&record.name), &mut record.sealed)]
}

/// What a password is sealed for.
fn context(name: &str) -> String {
    format!("forward/{name}")
}

/// The password of a forward that is put, sealed: the one of before where none is given, or the same.
pub(super) fn sealed(
    hub: &Hub,
    forward: &Forward,
    before: Option<&ForwardRecord>,
) -> Result<Vec<u8>, CallError> {
    if forward.user.is_empty() {
        return Ok(Vec::new());
    }
    let before = before.filter(|before| before.user == forward.user && !before.sealed.is_empty());
    if forward.password.is_empty() {
        return before.map(|before| before.sealed.clone()).ok_or_else(|| {
            CallError::malformed(format!("the user '{}' needs a password", forward.user))
        });
    }
    if let Some(before) = before
        && password(hub, before).is_ok_and(|known| known == forward.password)
    {
        return Ok(before.sealed.clone());
    }
    Ok(hub.vault.seal(&context(&forward.name), forward.password.0.as_bytes())?)
}

/// The password of a forward, for its host.
pub(super) fn password(hub: &Hub, record: &ForwardRecord) -> Result<Password, CallError> {
    if record.sealed.is_empty() {
        return Ok(Password::default());
    }
    let plain = hub.vault.open(&context(&record.name), &record.sealed)?;
    let text = std::str::from_utf8(&plain).map_err(|e| CallError::failed(e.to_string()))?;
    Ok(Password(text.to_owned()))
}

impl Forwards {
    /// Seals anew what is sealed with an older data key.
    async fn reseal(&self, hub: &Hub) -> Result<u64, VaultError> {
        let _one = self.changing.lock().await;
        let all: Vec<ForwardRecord> = self.lock().known.values().cloned().collect();
        let mut count = 0;
        for mut record in all.into_iter().filter(|record| !record.sealed.is_empty()) {
            let Some(new) = hub.vault.reseal(&context(&record.name), &record.sealed)? else {
                continue;
            };
            record.sealed = new;
            self.store.apply(Batch::new().put(key(&record.name), &record)).await?;
            self.lock().known.insert(record.name.clone(), record);
            count += 1;
        }
        Ok(count)
    }
}
