//! Who may use a proxy, and who logs in over SSH: password and key are sealed by the vault, shown to nobody, and leave the hub
//! for the host alone.

use super::{ForwardRecord, Forwards, key};
use crate::records::prefix;
use crate::server::Hub;
use crate::store::Batch;
use crate::vault::VaultError;
use crate::vault::keepers::{Keeper, Sealed, check_records};
use cmdr_protocol::CallError;
use cmdr_protocol::forwards::kept::{Forward, Password};

/// The passwords and keys.
pub(crate) const KEEPER: Keeper = Keeper {
    what: "logins of forwards",
    reseal: |hub| Box::pin(hub.forwards.reseal(hub)),
    check: |hub| check_records(hub, prefix::FORWARD, of),
};

fn of(record: &mut ForwardRecord) -> Sealed<'_> {
    let both = [
        (context(&record.name, "password"), &mut record.sealed),
        (context(&record.name, "key"), &mut record.sealed_key),
    ];
    both.into_iter().filter(|(_, sealed)| !sealed.is_empty()).collect()
}

/// What a secret of a forward is sealed for.
fn context(name: &str, what: &str) -> String {
    format!("forward/{name}/{what}")
}

/// Password and key of a forward that is put, sealed: those of before where none is given and the login is the same.
pub(super) fn sealed(
    hub: &Hub,
    forward: &Forward,
    before: Option<&ForwardRecord>,
) -> Result<(Vec<u8>, Vec<u8>), CallError> {
    if forward.user.is_empty() && forward.ssh.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let before = before.filter(|b| b.user == forward.user && b.ssh == forward.ssh);
    let new = |what: &str, given: &Password, known: fn(&ForwardRecord) -> &Vec<u8>| {
        let context = context(&forward.name, what);
        let known = before.map(known).filter(|known| !known.is_empty());
        if let Some(known) = known {
            let same = hub.vault.open(&context, known).is_ok_and(|k| *k == given.0.as_bytes());
            if same || given.is_empty() {
                return Ok(known.clone());
            }
        }
        if given.is_empty() {
            return Ok(Vec::new());
        }
        hub.vault.seal(&context, given.0.as_bytes())
    };
    let password = new("password", &forward.password, |record| &record.sealed)?;
    let key = new("key", &forward.key, |record| &record.sealed_key)?;
    if password.is_empty() && key.is_empty() {
        let (who, what) = if forward.ssh.is_empty() {
            (&forward.user, "a password")
        } else {
            (&forward.ssh, "a password or a key")
        };
        return Err(CallError::malformed(format!("{who} needs {what}")));
    }
    Ok((password, key))
}

/// Password and key of a forward, for its host.
pub(super) fn login(hub: &Hub, record: &ForwardRecord) -> Result<(Password, Password), CallError> {
    let open = |what: &str, sealed: &[u8]| -> Result<Password, CallError> {
        if sealed.is_empty() {
            return Ok(Password::default());
        }
        let plain = hub.vault.open(&context(&record.name, what), sealed)?;
        let text = std::str::from_utf8(&plain).map_err(|e| CallError::failed(e.to_string()))?;
        Ok(Password(text.to_owned()))
    };
    Ok((open("password", &record.sealed)?, open("key", &record.sealed_key)?))
}

impl Forwards {
    /// Seals anew what is sealed with an older data key.
    async fn reseal(&self, hub: &Hub) -> Result<u64, VaultError> {
        let _one = self.changing.lock().await;
        let all: Vec<ForwardRecord> = self.lock().known.values().cloned().collect();
        let mut count = 0;
        for mut record in all {
            let mut changed = 0;
            for (context, sealed) in of(&mut record) {
                if let Some(new) = hub.vault.reseal(&context, sealed)? {
                    *sealed = new;
                    changed += 1;
                }
            }
            if changed > 0 {
                self.store.apply(Batch::new().put(key(&record.name), &record)).await?;
                self.lock().known.insert(record.name.clone(), record);
                count += changed;
            }
        }
        Ok(count)
    }
}
