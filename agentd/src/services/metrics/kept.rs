//! Samples on disk, taken while the hub is away: so that they can be told when it is back although the agent was
//! started again meanwhile. Bounded: of two files the older one goes when the newer one is full.
//!
//! A record is its length (2 bytes), a check of it (4 bytes) and a sample as it would be sent, little end first.

use super::history::read;
use cmdr_link::files;
use cmdr_protocol::metrics::Metrics;
use flate2::Crc;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Bytes of a file: a day and a half of a small host.
const FULL: u64 = 4 << 20;
/// The newer file and the older one.
const NAMES: [&str; 2] = ["new", "old"];
/// Length and check.
const HEAD: usize = 6;
/// A sample that is older than the newest one by more than this is of a clock that was put back.
const BACK_MS: u64 = 10 * 60 * 1000;
/// Samples on their way from disk to the link.
const AHEAD: usize = 16;

/// Writes samples, while the hub is away.
#[derive(Debug)]
pub(super) struct Keeper {
    dir: PathBuf,
    file: Option<File>,
    len: u64,
    /// Of the newest that is kept.
    last_ms: u64,
    failed: bool,
}

impl Keeper {
    /// Goes on behind what is kept in this folder.
    pub(super) fn new(dir: &Path) -> Self {
        let mut keeper =
            Self { dir: dir.to_owned(), file: None, len: 0, last_ms: 0, failed: false };
        for name in ["old", "new"] {
            let mut records = Records::open(&dir.join(name));
            for sample in records.by_ref() {
                keeper.last_ms = sample.at_ms;
            }
            keeper.len = records.good;
        }
        keeper
    }

    /// Keeps those of these samples, oldest first, that are newer than what is kept.
    pub(super) fn keep(&mut self, samples: &[Vec<u8>]) {
        for bytes in samples {
            let Some(at_ms) = read(bytes).map(|sample| sample.at_ms) else { continue };
            if at_ms <= self.last_ms && self.last_ms - at_ms <= BACK_MS {
                continue;
            }
            match self.append(bytes) {
                Ok(()) => {
                    (self.last_ms, self.failed) = (at_ms, false);
                }
                Err(e) => {
                    // Begun anew: what was written in part is cut off then.
                    self.file = None;
                    if !std::mem::replace(&mut self.failed, true) {
                        tracing::warn!(
                            "samples are not kept on disk while the hub is away: {}: {}",
                            self.dir.display(),
                            files::reason(&e)
                        );
                    }
                    return;
                }
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Ok(len) = u16::try_from(bytes.len()) else { return Ok(()) };
        if self.len + (HEAD + bytes.len()) as u64 > FULL {
            self.file = None;
            std::fs::rename(self.dir.join(NAMES[0]), self.dir.join(NAMES[1]))?;
            self.len = 0;
        }
        if self.file.is_none() {
            files::private_dir(&self.dir)?;
            let mut options = OpenOptions::new();
            let path = self.dir.join(NAMES[0]);
            let file = options.create(true).append(true).mode(0o600).open(path)?;
            // What a crash has left half written is no record.
            file.set_len(self.len)?;
            self.file = Some(file);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut record = Vec::with_capacity(HEAD + bytes.len());
        record.extend(len.to_le_bytes());
        record.extend(check(bytes).to_le_bytes());
        record.extend(bytes);
        file.write_all(&record)?;
        self.len += record.len() as u64;
        Ok(())
    }
}

fn check(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The samples of a file, up to the first that is not what was written.
struct Records {
    file: Option<BufReader<File>>,
    /// Bytes of what was read and is right.
    good: u64,
}

impl Records {
    fn open(path: &Path) -> Self {
        let file = File::open(path).inspect_err(|e| {
            if e.kind() != io::ErrorKind::NotFound {
                tracing::warn!("samples that were kept are not read: {}: {e}", path.display());
            }
        });
        Self { file: file.ok().map(BufReader::new), good: 0 }
    }
}

impl Iterator for Records {
    type Item = Metrics;

    fn next(&mut self) -> Option<Metrics> {
        let file = self.file.as_mut()?;
        let mut head = [0; HEAD];
        file.read_exact(&mut head).ok()?;
        let [low, high, check_bytes @ ..] = head;
        let len = u16::from_le_bytes([low, high]);
        let mut bytes = vec![0; usize::from(len)];
        file.read_exact(&mut bytes).ok()?;
        if check(&bytes) != u32::from_le_bytes(check_bytes) {
            self.file = None;
            return None;
        }
        let sample = read(&bytes)?;
        self.good += HEAD as u64 + u64::from(len);
        Some(sample)
    }
}

/// The samples that are kept of a time, until before its end, at least so far apart, oldest first.
pub(super) fn between(
    dir: PathBuf,
    from_ms: u64,
    until_ms: u64,
    step_ms: u64,
) -> mpsc::Receiver<Metrics> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut last = None::<u64>;
        for name in NAMES.iter().rev() {
            for sample in Records::open(&dir.join(name)) {
                let at = sample.at_ms;
                let apart = last.is_none_or(|last| at.abs_diff(last) >= step_ms);
                if (from_ms..until_ms).contains(&at) && apart {
                    last = Some(at);
                    if sender.blocking_send(sample).is_err() {
                        return;
                    }
                }
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_link::codec;

    fn bytes(at_ms: u64) -> Vec<u8> {
        codec::encode(&Metrics { at_ms, ..Metrics::default() }).unwrap().to_vec()
    }

    async fn times(dir: &Path, from: u64, until: u64, step: u64) -> Vec<u64> {
        let mut kept = between(dir.to_owned(), from, until, step);
        let mut times = Vec::new();
        while let Some(sample) = kept.recv().await {
            times.push(sample.at_ms);
        }
        times
    }

    #[tokio::test]
    async fn samples_are_there_after_a_restart_each_once_and_what_a_crash_left_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("samples");
        assert_eq!(times(&path, 0, 100, 0).await, [0; 0]);
        Keeper::new(&path).keep(&[bytes(10), bytes(20), bytes(30)]);
        let file = path.join("new");
        let mut torn = std::fs::read(&file).unwrap();
        let whole = torn.len();
        torn.extend([9, 0, 1, 2]);
        std::fs::write(&file, &torn).unwrap();
        let mut again = Keeper::new(&path);
        again.keep(&[bytes(20), bytes(30), bytes(40)]);
        assert_eq!(times(&path, 0, 100, 0).await, [10, 20, 30, 40]);
        assert_eq!(times(&path, 15, 40, 0).await, [20, 30]);
        assert_eq!(times(&path, 0, 100, 20).await, [10, 30]);
        // A flipped bit ends what is believed there, and what comes next is kept behind what is right.
        let mut flipped = std::fs::read(&file).unwrap();
        flipped[whole - 1] ^= 1;
        std::fs::write(&file, &flipped).unwrap();
        Keeper::new(&path).keep(&[bytes(50)]);
        assert_eq!(times(&path, 0, 100, 0).await, [10, 20, 50]);
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut keeper = Keeper::new(dir.path());
        let large = |at_ms| {
            let cores = vec![500; 1000];
            codec::encode(&Metrics { at_ms, cores, ..Metrics::default() }).unwrap().to_vec()
        };
        let each = large(1).len() as u64;
        let count = 3 * FULL / each;
        for at in 1..=count {
            keeper.keep(&[large(at)]);
        }
        let on_disk: u64 =
            NAMES.iter().map(|name| dir.path().join(name).metadata().unwrap().len()).sum();
        assert!(on_disk <= 2 * FULL, "{on_disk}");
        let kept = times(dir.path(), 0, u64::MAX, 0).await;
        assert!(kept.len() as u64 > FULL / each && kept[0] > 1, "{}", kept.len());
        assert_eq!(kept.last(), Some(&count));
    }

    #[tokio::test]
    async fn a_clock_that_was_put_back_is_no_reason_to_keep_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let ahead = 3_600_000;
        Keeper::new(dir.path()).keep(&[bytes(ahead + 10), bytes(ahead + 20)]);
        Keeper::new(dir.path()).keep(&[bytes(ahead + 20), bytes(30), bytes(40)]);
        assert_eq!(times(dir.path(), 0, ahead, 10).await, [30, 40]);
        assert_eq!(times(dir.path(), 0, u64::MAX, 10).await.len(), 4);
    }

    #[test]
    fn a_disk_that_takes_nothing_costs_nothing_else() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut keeper = Keeper::new(&file.path().join("below-a-file"));
        keeper.keep(&[bytes(1), bytes(2)]);
        assert!(keeper.failed && keeper.last_ms == 0);
    }
}
