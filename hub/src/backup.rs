//! Everything durable as text, and back.
//!
//! One JSON object a line: a head, the records by key, and a foot with their count, a hash over all
//! that stands before it, and a seal made with the hub's key. Two backups of the same records are the
//! same bytes. The hub's key is not in it: whoever has a backup can read it, but not be the hub.

use crate::records::{AuditHead, HostRecord, OperatorRecord, TokenRecord, prefix};
use crate::store::{Batch, Store, StoreError};
use anyhow::{Context as _, bail, ensure};
use cmdr_link::{SecretKey, codec};
use cmdr_protocol::hub::Checked;
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

const FORMAT: u32 = 1;
/// Records restored in one batch.
const GROUP: usize = 256;

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    cmdr_backup: u32,
    hub: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    key: String,
    value: String,
    hash: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Foot {
    records: usize,
    hash: String,
    seal: String,
}

fn record_hash(key: &str, value: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_be_bytes()).update(key.as_bytes()).update(value);
    HEXLOWER.encode(&hasher.finalize().as_bytes()[..16])
}

fn seal(key: &SecretKey, hash: &blake3::Hash) -> String {
    HEXLOWER.encode(key.keyed_hash("cmdr backup seal v1", hash.as_bytes()).as_slice())
}

/// Everything as text. A damaged record fails it: a backup that lacks something must not look whole.
pub fn export(store: &Store, key: &SecretKey) -> anyhow::Result<String> {
    let mut out =
        serde_json::to_string(&Head { cmdr_backup: FORMAT, hub: key.public().to_string() })?;
    out.push('\n');
    let mut records = store.scan_raw("")?;
    // How far the audit log has come is a matter of the log beside the store, not of a copy.
    records.retain(|record| !matches!(record, Ok((key, _)) if key.starts_with(prefix::AUDIT)));
    let count = records.len();
    for record in records {
        let (key, value) = record?;
        let line = Line { hash: record_hash(&key, &value), value: BASE64.encode(&value), key };
        writeln!(out, "{}", serde_json::to_string(&line)?)?;
    }
    let hash = blake3::hash(out.as_bytes());
    let foot = Foot { records: count, hash: hash.to_hex().to_string(), seal: seal(key, &hash) };
    writeln!(out, "{}", serde_json::to_string(&foot)?)?;
    Ok(out)
}

/// Reads a backup whole, checks all of it, and only then writes. The store must be empty.
pub async fn restore(store: &Store, key: &SecretKey, text: &str) -> anyhow::Result<usize> {
    ensure!(
        store.scan_raw("")?.is_empty(),
        "the store is not empty; restore into a fresh data folder"
    );
    let records = read(key, text)?;
    let count = records.len();
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() {
        let batch = records
            .by_ref()
            .take(GROUP)
            .fold(Batch::new(), |batch, (key, value)| batch.put_raw(key, value));
        store.apply(batch).await?;
    }
    Ok(count)
}

/// Reads a backup whole and checks all of it.
pub fn read(key: &SecretKey, text: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let body =
        text.strip_suffix('\n').context("the backup is cut short: its last line is not whole")?;
    let (rest, foot) = body.rsplit_once('\n').context("the backup is empty")?;
    let foot: Foot =
        serde_json::from_str(foot).context("the backup is cut short: its last line is missing")?;
    let content = &text[..=rest.len()];
    let hash = blake3::hash(content.as_bytes());
    ensure!(
        foot.hash == hash.to_hex().as_str(),
        "the backup was changed or damaged: its hash does not match"
    );
    let mut lines = content.lines();
    let head: Head =
        serde_json::from_str(lines.next().unwrap_or("")).context("this is no backup of a hub")?;
    ensure!(
        head.cmdr_backup == FORMAT,
        "the backup has format {}, this release reads {FORMAT}",
        head.cmdr_backup
    );
    if head.hub != key.public().to_string() {
        bail!(
            "the backup is of the hub with key {}, but this data folder has another; \
             put that hub's key file in place first, or its agents will take this hub for an impostor",
            cmdr_protocol::display::clean_to_width(&head.hub, 60)
        );
    }
    ensure!(
        foot.seal == seal(key, &hash),
        "the backup's seal does not match: it was not made by this hub"
    );
    let mut records = Vec::new();
    for (number, line) in lines.enumerate() {
        let at = || format!("line {} of the backup", number + 2);
        let line: Line = serde_json::from_str(line).with_context(at)?;
        let value = BASE64.decode(line.value.as_bytes()).with_context(at)?;
        ensure!(line.hash == record_hash(&line.key, &value), "{} is damaged", at());
        ensure!(value.len() <= crate::store::MAX_VALUE, "{} is too large", at());
        records.push((line.key, value));
    }
    ensure!(
        records.len() == foot.records,
        "the backup has {} records, but should have {}",
        records.len(),
        foot.records
    );
    Ok(records)
}

/// Reads every record, checks its checksum, and that it is what its key says.
pub fn check(store: &Store) -> Result<Checked, StoreError> {
    let mut checked = Checked::default();
    for record in store.scan_raw("")? {
        checked.records += 1;
        let wrong = match record {
            Err(e) => Some(e.to_string()),
            Ok((key, value)) => {
                shape(&key, &value).err().map(|e| format!("the record '{key}' {e}"))
            }
        };
        checked.damage.extend(wrong.map(|text| cmdr_protocol::display::clean_to_width(&text, 300)));
    }
    Ok(checked)
}

fn shape(key: &str, value: &[u8]) -> Result<(), String> {
    let result = if key.starts_with(prefix::HOST) {
        codec::decode::<HostRecord>(value).map(drop)
    } else if key.starts_with(prefix::TOKEN) {
        codec::decode::<TokenRecord>(value).map(drop)
    } else if key.starts_with(prefix::OPERATOR) {
        codec::decode::<OperatorRecord>(value).map(drop)
    } else if key.starts_with(prefix::AUDIT) {
        codec::decode::<AuditHead>(value).map(drop)
    } else {
        return Err("has a key of no known kind".to_owned());
    };
    result.map_err(|e| format!("cannot be read: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::role::Role;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    async fn filled() -> (tempfile::TempDir, Store, SecretKey) {
        let (dir, store) = store();
        for n in 0..600 {
            let record = OperatorRecord {
                key: cmdr_protocol::PublicKey([n as u8; 32]),
                name: format!("op{n}"),
                role: Role::OBSERVER,
                joined_ms: n,
                revoked: false,
            };
            store.apply(Batch::new().put(format!("operator/{n:04}"), &record)).await.unwrap();
        }
        (dir, store, SecretKey::generate().unwrap())
    }

    #[tokio::test]
    async fn a_restored_store_exports_the_same_bytes() {
        let (_dir, full, key) = filled().await;
        let text = export(&full, &key).unwrap();
        let (_dir2, empty) = store();
        assert_eq!(restore(&empty, &key, &text).await.unwrap(), 600);
        assert_eq!(export(&empty, &key).unwrap(), text);
        assert_eq!(check(&empty).unwrap(), Checked { records: 600, damage: vec![] });
    }

    #[tokio::test]
    async fn a_backup_changed_anywhere_restores_nothing() {
        let (_dir, full, key) = filled().await;
        let text = export(&full, &key).unwrap();
        let (_dir2, empty) = store();
        for at in (0..text.len()).step_by(4999) {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(restore(&empty, &key, &changed).await.is_err(), "byte {at}");
        }
        for cut in [0, 1, text.len() / 2, text.len() - 1] {
            assert!(restore(&empty, &key, &text[..cut]).await.is_err(), "cut to {cut}");
        }
        let other = SecretKey::generate().unwrap();
        assert!(restore(&empty, &other, &text).await.unwrap_err().to_string().contains("key file"));
        assert_eq!(check(&empty).unwrap().records, 0);
        assert!(restore(&full, &key, &text).await.unwrap_err().to_string().contains("not empty"));
    }
}
