//! The keys that devices sign with, as the hub knows them: told with the first signature of a device, over a link that
//! the device's own key has proved, and kept sealed by the vault, so that who can write to the store alone adds none.

use crate::records::DeviceRecord;
use crate::server::Hub;
use crate::vault::VaultError;
use crate::vault::keepers::Keeper;
use cmdr_protocol::{CallError, ErrorKind, KeyId, SigningKey};

/// A key stands for one device of one operator: moved to another record it opens no more.
fn context(device: KeyId, operator: &str) -> String {
    format!("runbook-signing/{device}/{operator}")
}

/// The key that a device signs with; nothing when it never has.
pub(super) fn known(hub: &Hub, id: KeyId, device: &DeviceRecord) -> Option<SigningKey> {
    if device.signing.is_empty() {
        return None;
    }
    match hub.vault.open(&context(id, &device.operator), &device.signing) {
        Ok(key) => key.as_slice().try_into().ok().map(SigningKey),
        Err(e) => {
            tracing::error!(device = %id, "the key that a device signs with: {e}");
            None
        }
    }
}

/// Remembers the key of a device that signs for the first time. Another one than before is refused.
pub(super) async fn tell(hub: &Hub, id: KeyId, key: SigningKey) -> Result<(), CallError> {
    let failed = |e: &dyn std::fmt::Display| {
        CallError::failed(format!("keeping the key that this device signs with: {e}"))
    };
    let _changing = hub.keyring.changing().await;
    let Some(device) = hub.keyring.device(id) else {
        return Err(CallError::denied(
            "a signature is made with the device of an operator: log in with one (cmdr login)",
        ));
    };
    match known(hub, id, &device) {
        Some(known) if known == key => return Ok(()),
        Some(_) => {
            return Err(CallError::new(
                ErrorKind::Conflict,
                "this device has signed with another key before; log in anew with another device key (cmdr login --replace)",
            ));
        }
        None => {}
    }
    let _sealing = hub.vault.sealing().await;
    let sealed = hub.vault.seal(&context(id, &device.operator), &key.0).map_err(|e| failed(&e))?;
    hub.keyring
        .change_device(id, |device| device.signing = sealed)
        .await
        .map_err(|e| failed(&e))?;
    tracing::info!(device = %id, operator = device.operator, %key, "a device signs from now on");
    Ok(())
}

async fn reseal(hub: &Hub) -> Result<u64, VaultError> {
    let mut count = 0;
    for (id, _) in hub.keyring.devices() {
        let _changing = hub.keyring.changing().await;
        let Some(device) = hub.keyring.device(id).filter(|device| !device.signing.is_empty())
        else {
            continue;
        };
        let context = context(id, &device.operator);
        let Some(new) = hub.vault.reseal(&context, &device.signing)? else { continue };
        hub.keyring.change_device(id, |device| device.signing = new).await?;
        count += 1;
    }
    Ok(count)
}

fn check(hub: &Hub) -> Vec<String> {
    let devices = hub.keyring.devices().into_iter();
    let sealed = devices.filter(|(_, device)| !device.signing.is_empty());
    let open = |(id, device): (KeyId, DeviceRecord)| {
        hub.vault.open(&context(id, &device.operator), &device.signing).err()
    };
    sealed.filter_map(open).map(|e| e.to_string()).collect()
}

/// Keys that devices sign with, for a rotation of data keys.
pub(crate) const KEEPER: Keeper = Keeper {
    what: "keys that runbooks are signed with",
    reseal: |hub| Box::pin(reseal(hub)),
    check: |hub| Ok(check(hub)),
};
