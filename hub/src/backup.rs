//! Everything durable as text, and back.
//!
//! One JSON object a line: a head, the records by key, how far the audit log was sent on, its segments in
//! pieces, the output of runs in pieces as well, and a foot with the count of records, a hash over all that stands
//! before it, and a seal made with the hub's key. Two backups of
//! the same state are the same bytes. The hub's key is not in it: whoever has a backup can read it, but
//! not be the hub. Neither way holds the audit log in memory: it may be large. Recordings may be larger
//! still: their files are copied beside it ([`recordings`]), and so is the history of figures ([`history`]).

pub mod history;
pub mod recordings;

use crate::audit::chain::{self, Point};
use crate::audit::forward;
use crate::records::{self, prefix};
use crate::runs;
use crate::store::{Batch, Store, StoreError};
use anyhow::{Context as _, bail, ensure};
use cmdr_link::{SecretKey, files};
use cmdr_protocol::hub::Checked;
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const FORMAT: u32 = 3;
/// The first had no audit log, the second did not know how far that was sent on.
const OLDEST: u32 = 1;
/// Records restored in one batch.
const GROUP: usize = 256;
/// Bytes of a segment in one line.
const PIECE: u64 = 192 * 1024;
/// The longest line that is read.
const LINE: u64 = 1 << 20;

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

/// A piece of the audit log, or of the output of runs.
#[derive(Debug, Serialize, Deserialize)]
struct Segment {
    #[serde(rename = "segment")]
    number: u64,
    at: u64,
    data: String,
    /// It is of the output of runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    runs: bool,
}

/// A file whose pieces are copied.
#[derive(Debug)]
struct Copied {
    path: PathBuf,
    number: u64,
    runs: bool,
    /// It grows while it is copied; only this much counts.
    len: Option<u64>,
}

/// How far the audit log was sent on to a sink.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor {
    cursor: String,
    seq: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Foot {
    records: usize,
    hash: String,
    seal: String,
}

/// What stands in a line between head and foot.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Entry {
    Record(Line),
    Segment(Segment),
    Cursor(Cursor),
}

fn record_hash(key: &str, value: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_be_bytes()).update(key.as_bytes()).update(value);
    HEXLOWER.encode(&hasher.finalize().as_bytes()[..16])
}

fn seal(key: &SecretKey, hash: &blake3::Hash) -> String {
    HEXLOWER.encode(key.keyed_hash("cmdr backup seal v1", hash.as_bytes()).as_slice())
}

/// A backup being written, piece by piece.
#[derive(Debug)]
pub struct Export {
    key: SecretKey,
    hasher: blake3::Hasher,
    records: usize,
    /// The part that comes first.
    begin: Option<String>,
    segments: std::vec::IntoIter<Copied>,
    /// The segment that is being copied, and how far.
    at: Option<(Copied, u64)>,
    over: bool,
}

impl Export {
    /// Begins. A damaged record fails it: a backup that lacks something must not look whole.
    /// `end` says how far the audit log goes; it is asked last, so that the log is not behind the store.
    pub fn begin(
        store: &Store,
        key: &SecretKey,
        audit: &Path,
        end: impl FnOnce() -> Point,
    ) -> anyhow::Result<Self> {
        let mut out =
            serde_json::to_string(&Head { cmdr_backup: FORMAT, hub: key.public().to_string() })?;
        out.push('\n');
        let mut records = store.scan_raw("")?;
        // How far the audit log has come is told by the log, which may have gone on meanwhile.
        records.retain(|record| !matches!(record, Ok((key, _)) if key.starts_with(prefix::AUDIT)));
        let count = records.len();
        for record in records {
            let (key, value) = record?;
            let line = Line { hash: record_hash(&key, &value), value: BASE64.encode(&value), key };
            writeln!(out, "{}", serde_json::to_string(&line)?)?;
        }
        // Before the end is asked for: a sink is never further than the log.
        for (cursor, seq) in forward::cursors(audit).context("reading the audit log's cursors")? {
            writeln!(out, "{}", serde_json::to_string(&Cursor { cursor, seq })?)?;
        }
        let end = end();
        let mut segments = match chain::segments(audit) {
            Ok(segments) => segments,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(e).context("reading the audit log"),
        };
        segments.retain(|number| *number <= end.segment);
        let log = segments.into_iter().map(|number| Copied {
            path: chain::path(audit, number),
            number,
            runs: false,
            len: (number == end.segment).then_some(end.len),
        });
        let mut segments: Vec<_> = log.collect();
        // After the records: whatever they name of it is there by then.
        for (number, path) in runs::output(audit).context("reading the output of runs")? {
            let len = std::fs::metadata(&path).map_or(0, |file| file.len());
            segments.push(Copied { path, number, runs: true, len: Some(len) });
        }
        Ok(Self {
            key: key.clone(),
            hasher: blake3::Hasher::new(),
            records: count,
            begin: Some(out),
            segments: segments.into_iter(),
            at: None,
            over: false,
        })
    }

    /// The next piece of the file; `None` behind the last.
    pub fn piece(&mut self) -> anyhow::Result<Option<String>> {
        let text = match self.begin.take() {
            Some(text) => Some(text),
            None => self.segment().context("reading the audit log and the output of runs")?,
        };
        if let Some(text) = text {
            self.hasher.update(text.as_bytes());
            return Ok(Some(text));
        }
        if std::mem::replace(&mut self.over, true) {
            return Ok(None);
        }
        let hash = self.hasher.finalize();
        let foot = Foot {
            records: self.records,
            hash: hash.to_hex().to_string(),
            seal: seal(&self.key, &hash),
        };
        Ok(Some(serde_json::to_string(&foot)? + "\n"))
    }

    fn segment(&mut self) -> io::Result<Option<String>> {
        loop {
            let (copied, at) = match self.at.take() {
                Some(at) => at,
                None => match self.segments.next() {
                    Some(copied) => (copied, 0),
                    None => return Ok(None),
                },
            };
            let mut file = match File::open(&copied.path) {
                Ok(file) => file,
                // Retention took it before we had begun with it; the log vouches for that.
                Err(e) if e.kind() == io::ErrorKind::NotFound && at == 0 => continue,
                Err(e) => return Err(e),
            };
            let len = match copied.len {
                Some(len) => len,
                None => file.metadata()?.len(),
            };
            if at >= len {
                continue;
            }
            file.seek(SeekFrom::Start(at))?;
            let mut bytes = Vec::new();
            file.take((len - at).min(PIECE)).read_to_end(&mut bytes)?;
            let Copied { number, runs, .. } = copied;
            let piece = Segment { number, at, data: BASE64.encode(&bytes), runs };
            self.at = Some((copied, at + bytes.len() as u64));
            return Ok(Some(serde_json::to_string(&piece)? + "\n"));
        }
    }
}

/// Checks a whole backup, and only then writes. The store and the folder of the log must be empty.
pub async fn restore(
    store: &Store,
    audit: &Path,
    key: &SecretKey,
    file: &Path,
) -> anyhow::Result<usize> {
    ensure!(
        store.scan_raw("")?.is_empty(),
        "the store is not empty; restore into a fresh data folder"
    );
    ensure!(
        !audit.exists() || chain::segments(audit)?.is_empty(),
        "there is an audit log already; restore into a fresh data folder"
    );
    ensure!(
        runs::output(audit)?.is_empty(),
        "there is output of runs already; restore into a fresh data folder"
    );
    let records = read(key, file)?;
    let count = records.len();
    let output = runs::folder(audit);
    for dir in [audit, &output] {
        files::private_dir(dir).with_context(|| format!("making {}", dir.display()))?;
    }
    let writing = || format!("writing into {} and {}", audit.display(), output.display());
    walk(key, file, |entry| match entry {
        Entry::Record(_) => Ok(()),
        Entry::Cursor(Cursor { cursor, seq }) => {
            forward::keep(audit, &cursor, seq).with_context(writing)
        }
        Entry::Segment(piece) => {
            let bytes = BASE64.decode(piece.data.as_bytes())?;
            let mut options = File::options();
            let options = options.create(true).append(true).mode(0o600);
            let path = if piece.runs {
                runs::output_path(audit, piece.number)
            } else {
                chain::path(audit, piece.number)
            };
            let mut out = options.open(path).with_context(writing)?;
            out.write_all(&bytes).and_then(|()| out.sync_all()).with_context(writing)
        }
    })?;
    for dir in [audit, &output] {
        File::open(dir).and_then(|dir| dir.sync_all()).with_context(writing)?;
    }
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

/// Reads a backup whole and checks all of it; the records in it.
pub fn read(key: &SecretKey, file: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut records = Vec::new();
    // Where the next piece of the log must go on.
    let mut at = (false, 0, 0);
    walk(key, file, |entry| {
        match entry {
            Entry::Record(line) => {
                let value = BASE64.decode(line.value.as_bytes())?;
                ensure!(line.hash == record_hash(&line.key, &value), "it is damaged");
                ensure!(value.len() <= crate::store::MAX_VALUE, "it is too large");
                records.push((line.key, value));
            }
            Entry::Segment(piece) => {
                let goes_on = (piece.runs, piece.number, piece.at) == at;
                let begins = (piece.runs, piece.number) > (at.0, at.1) && piece.at == 0;
                ensure!(goes_on || begins, "a piece of the audit log or of output is missing");
                let bytes = BASE64.decode(piece.data.as_bytes())?;
                at = (piece.runs, piece.number, piece.at + bytes.len() as u64);
            }
            Entry::Cursor(Cursor { cursor, .. }) => {
                ensure!(forward::is_sink(&cursor), "it names no sink of the audit log");
            }
        }
        Ok(())
    })
    .and_then(|expected| {
        ensure!(
            records.len() == expected,
            "the backup has {} records, but should have {expected}",
            records.len()
        );
        Ok(())
    })?;
    Ok(records)
}

/// The next line with its end; empty at the end of the file.
fn line(reader: &mut impl BufRead) -> anyhow::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.take(LINE).read_until(b'\n', &mut line).context("reading the backup")?;
    ensure!(
        line.is_empty() || line.ends_with(b"\n"),
        "the backup is cut short: its last line is not whole"
    );
    Ok(line)
}

/// Goes through a backup line by line; the foot's count of records when its hash and seal are right.
fn walk(
    key: &SecretKey,
    file: &Path,
    mut each: impl FnMut(Entry) -> anyhow::Result<()>,
) -> anyhow::Result<usize> {
    let opened = File::open(file).with_context(|| format!("reading {}", file.display()))?;
    let mut reader = BufReader::new(opened);
    let mut hasher = blake3::Hasher::new();
    let first = line(&mut reader)?;
    ensure!(!first.is_empty(), "the backup is empty");
    let head: Head = serde_json::from_slice(&first).context("this is no backup of a hub")?;
    ensure!(
        (OLDEST..=FORMAT).contains(&head.cmdr_backup),
        "the backup has format {}, this release reads {OLDEST} to {FORMAT}",
        head.cmdr_backup
    );
    if head.hub != key.public().to_string() {
        bail!(
            "the backup is of the hub with key {}, but this data folder has another; \
             put that hub's key file in place first, or its agents will take this hub for an impostor",
            cmdr_protocol::display::clean_to_width(&head.hub, 60)
        );
    }
    hasher.update(&first);
    let mut number = 1;
    let mut next = line(&mut reader)?;
    loop {
        number += 1;
        let this = next;
        next = line(&mut reader)?;
        if next.is_empty() {
            let foot: Foot = serde_json::from_slice(&this)
                .context("the backup is cut short: its last line is missing")?;
            let hash = hasher.finalize();
            ensure!(
                foot.hash == hash.to_hex().as_str(),
                "the backup was changed or damaged: its hash does not match"
            );
            ensure!(
                foot.seal == seal(key, &hash),
                "the backup's seal does not match: it was not made by this hub"
            );
            return Ok(foot.records);
        }
        hasher.update(&this);
        let at = || format!("line {number} of the backup");
        each(serde_json::from_slice(&this).with_context(at)?).with_context(at)?;
    }
}

/// Reads every record, checks its checksum, and that it is what its key says.
pub fn check(store: &Store) -> Result<Checked, StoreError> {
    let mut checked = Checked::default();
    for record in store.scan_raw("")? {
        checked.records += 1;
        let wrong = match record {
            Err(e) => Some(e.to_string()),
            Ok((key, value)) => {
                records::check(&key, &value).err().map(|e| format!("the record '{key}' {e}"))
            }
        };
        checked.damage.extend(wrong.map(|text| cmdr_protocol::display::clean_to_width(&text, 300)));
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::AccountRecord;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    async fn filled() -> (tempfile::TempDir, Store, SecretKey) {
        let (dir, store) = store();
        for n in 0..600 {
            let name = format!("op{n:04}");
            let key = records::account_key(&name);
            let account = AccountRecord { name, created_ms: n, ..AccountRecord::default() };
            store.apply(Batch::new().put(key, &account)).await.unwrap();
        }
        (dir, store, SecretKey::generate().unwrap())
    }

    /// A backup of a store and an audit log, as a file.
    fn export(store: &Store, key: &SecretKey, audit: &Path) -> String {
        let numbers = chain::segments(audit).unwrap_or_default();
        let segment = numbers.last().copied().unwrap_or(0);
        let len = std::fs::metadata(chain::path(audit, segment)).map_or(0, |m| m.len());
        let end = Point { segment, len, ..Point::default() };
        let mut export = Export::begin(store, key, audit, || end).unwrap();
        let mut text = String::new();
        while let Some(piece) = export.piece().unwrap() {
            text += &piece;
        }
        text
    }

    async fn restored(
        store: &Store,
        key: &SecretKey,
        dir: &Path,
        text: &str,
    ) -> anyhow::Result<usize> {
        let file = dir.join("backup");
        std::fs::write(&file, text).unwrap();
        restore(store, &dir.join("audit"), key, &file).await
    }

    #[tokio::test]
    async fn a_restored_store_exports_the_same_bytes() {
        let (dir, full, key) = filled().await;
        let from = dir.path().join("audit");
        files::private_dir(&from).unwrap();
        for (number, len) in [(3, 10), (4, 500_000)] {
            std::fs::write(chain::path(&from, number), vec![number as u8; len]).unwrap();
        }
        forward::keep(&from, "syslog", 71).unwrap();
        let text = export(&full, &key, &from);
        let (dir2, empty) = store();
        assert_eq!(restored(&empty, &key, dir2.path(), &text).await.unwrap(), 600);
        assert_eq!(export(&empty, &key, &dir2.path().join("audit")), text);
        let copied = std::fs::read(chain::path(&dir2.path().join("audit"), 4)).unwrap();
        assert_eq!(copied, vec![4; 500_000]);
        let cursor = std::fs::read_to_string(dir2.path().join("audit/syslog.cursor")).unwrap();
        assert_eq!(cursor, "71");
        assert_eq!(check(&empty).unwrap(), Checked { records: 600, damage: vec![] });
    }

    #[tokio::test]
    async fn a_backup_changed_anywhere_restores_nothing() {
        let (dir, full, key) = filled().await;
        let text = export(&full, &key, &dir.path().join("audit"));
        let (dir2, empty) = store();
        let to = dir2.path();
        for at in (0..text.len()).step_by(4999) {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(restored(&empty, &key, to, &changed).await.is_err(), "byte {at}");
        }
        for cut in [0, 1, text.len() / 2, text.len() - 1] {
            assert!(restored(&empty, &key, to, &text[..cut]).await.is_err(), "cut to {cut}");
        }
        let other = SecretKey::generate().unwrap();
        assert!(
            format!("{:#}", restored(&empty, &other, to, &text).await.unwrap_err())
                .contains("key file")
        );
        assert_eq!(check(&empty).unwrap().records, 0);
        assert!(
            restored(&full, &key, to, &text).await.unwrap_err().to_string().contains("not empty")
        );
    }
}
