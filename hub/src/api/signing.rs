//! What signs callbacks to a program: made on the program's side from the text of its key, kept sealed by the
//! vault. Used by [`crate::outbox`].

use crate::records::DeviceRecord;
use crate::server::Hub;
use crate::vault::VaultError;
use crate::vault::keepers::Keeper;
use cmdr_protocol::KeyId;
use zeroize::Zeroizing;

fn context(key: KeyId) -> String {
    format!("http-signing/{key}")
}

/// Seals it. Hold [`crate::vault::Vault::sealing`] until it is on disk.
pub(crate) fn seal(hub: &Hub, key: KeyId, signing: &[u8]) -> Result<Vec<u8>, VaultError> {
    hub.vault.seal(&context(key), signing)
}

/// What signs callbacks to a program; nothing when its key is not for HTTP.
pub(crate) fn open(hub: &Hub, key: KeyId) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
    match hub.keyring.device(key).and_then(sealed) {
        Some(sealed) => hub.vault.open(&context(key), &sealed).map(Some),
        None => Ok(None),
    }
}

fn sealed(device: DeviceRecord) -> Option<Vec<u8>> {
    Some(device.program?.http?.signing)
}

async fn reseal(hub: &Hub) -> Result<u64, VaultError> {
    let mut count = 0;
    for (key, _) in hub.keyring.devices() {
        let _changing = hub.keyring.changing().await;
        let Some(old) = hub.keyring.device(key).and_then(sealed) else { continue };
        let Some(new) = hub.vault.reseal(&context(key), &old)? else { continue };
        let put = |device: &mut DeviceRecord| {
            if let Some(http) = device.program.as_mut().and_then(|p| p.http.as_mut()) {
                http.signing = new;
            }
        };
        hub.keyring.change_device(key, put).await?;
        count += 1;
    }
    Ok(count)
}

fn check(hub: &Hub) -> Vec<String> {
    let keys = hub.keyring.devices().into_iter().map(|(key, _)| key);
    keys.filter_map(|key| open(hub, key).err()).map(|e| e.to_string()).collect()
}

/// Keys that sign callbacks, for a rotation of data keys.
pub(crate) const KEEPER: Keeper = Keeper {
    what: "keys that sign callbacks",
    reseal: |hub| Box::pin(reseal(hub)),
    check: |hub| Ok(check(hub)),
};
