//! What lets the hub ask an OpenID Connect provider again about somebody who has logged in: the refresh
//! token of a device, sealed by the vault. Kept and used by the service `login`.

use crate::records::DeviceRecord;
use crate::server::Hub;
use crate::vault::VaultError;
use crate::vault::keepers::Keeper;
use cmdr_protocol::KeyId;
use zeroize::Zeroizing;

fn context(device: KeyId) -> String {
    format!("oidc/{device}")
}

/// Seals a device's refresh token. Hold [`crate::vault::Vault::sealing`] until it is on disk.
pub fn seal(hub: &Hub, device: KeyId, token: &str) -> Result<Vec<u8>, VaultError> {
    hub.vault.seal(&context(device), token.as_bytes())
}

/// A device's refresh token; nothing when the provider has given none.
pub fn open(
    hub: &Hub,
    device: KeyId,
    record: &DeviceRecord,
) -> Result<Option<Zeroizing<String>>, VaultError> {
    if record.refresh.is_empty() {
        return Ok(None);
    }
    let bytes = hub.vault.open(&context(device), &record.refresh)?;
    Ok(Some(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())))
}

/// Seals every refresh token with the newest data key.
async fn reseal(hub: &Hub) -> Result<u64, VaultError> {
    let mut count = 0;
    for (key, _) in hub.keyring.devices() {
        let _changing = hub.keyring.changing().await;
        let Some(device) = hub.keyring.device(key).filter(|d| !d.refresh.is_empty()) else {
            continue;
        };
        let Some(sealed) = hub.vault.reseal(&context(key), &device.refresh)? else { continue };
        hub.keyring.change_device(key, |device| device.refresh = sealed).await?;
        count += 1;
    }
    Ok(count)
}

fn check(hub: &Hub) -> Vec<String> {
    let opened = |(key, device): (KeyId, DeviceRecord)| open(hub, key, &device).err();
    hub.keyring.devices().into_iter().filter_map(opened).map(|e| e.to_string()).collect()
}

/// Refresh tokens, for a rotation of data keys.
pub(crate) const KEEPER: Keeper = Keeper {
    what: "refresh tokens",
    reseal: |hub| Box::pin(reseal(hub)),
    check: |hub| Ok(check(hub)),
};
