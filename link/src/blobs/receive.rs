//! How a content comes in: a part that grows, is checked, and is put in its place.

use super::{Blobs, blocking, hash_into, hex, joined, leaves_room, lock, wrong};
use crate::files::{private_dir, sync_dir};
use crate::service::Feeding;
use cmdr_protocol::blobs::{Piece, Stored};
use cmdr_protocol::orders::is_blob;
use cmdr_protocol::{CallError, ErrorKind, Feed};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// How often whoever sends hears how far it is.
const TOLD: u64 = 8 << 20;
/// Pieces that are longer than ours are read up to so many bytes.
const LONGEST: usize = 1 << 20;
/// Room on the disk is set aside in steps of so many bytes.
const STEP: u64 = 64 << 20;
/// The next piece has to come within so long.
pub(super) const STALL: Duration = Duration::from_mins(2);
/// Whoever sends for longer than so long sends so many bytes in each second of the rest.
pub(super) const ALL: Duration = Duration::from_hours(1);
pub(super) const LEAST: u64 = 32 << 10;

/// A content on its way in.
pub(super) struct Arriving {
    blobs: Blobs,
    hash: String,
    size: u64,
    /// The part that grows.
    pub(super) path: PathBuf,
    file: File,
    pub(super) have: u64,
    /// Bytes from the beginning for which there is room on the disk.
    reserved: u64,
    hasher: blake3::Hasher,
}

impl Blobs {
    /// Begins to take a content in; nothing when it is here as a whole, unless it has to come all the same.
    pub(super) fn begin(
        &self,
        hash: &str,
        size: u64,
        again: bool,
        by: Option<&str>,
        held: impl Fn(&str) -> bool,
    ) -> Result<Option<Arriving>, CallError> {
        if !self.have(hash).whole {
            self.may_come(size, held)?;
        } else if !again {
            return Ok(None);
        }
        Arriving::open(self, hash, size, by).map(Some)
    }

    /// Ends what has come as a whole: now others give way to it. Only now, when it was checked, its sender has it.
    pub(super) fn end(
        &self,
        arriving: Arriving,
        sender: Option<&str>,
        held: impl Fn(&str) -> bool,
    ) -> Result<(), CallError> {
        let (hash, size) = (arriving.hash.clone(), arriving.size);
        arriving.finish(sender)?;
        let held = |other: &str| other == hash || held(other);
        if let Some(sender) = sender {
            self.share(sender, held);
        }
        self.sweep(Duration::MAX, 0, held);
        tracing::debug!(hash, size, "a content has arrived");
        Ok(())
    }

    /// Takes in a content that is at hand; its name.
    pub async fn keep(&self, content: Vec<u8>) -> Result<String, CallError> {
        let hash = blake3::hash(&content).to_hex().to_string();
        let turn = self.turn(&hash, None);
        let _turn = turn.lock().await;
        let (blobs, name) = (self.clone(), hash.clone());
        blocking(move || {
            if blobs.have(&name).whole {
                return Ok(());
            }
            let arriving = Arriving::open(&blobs, &name, content.len() as u64, None)?;
            let from = usize::try_from(arriving.have).unwrap_or(content.len());
            arriving.write(&content[from..])?.finish(None)
        })
        .await?;
        Ok(hash)
    }

    /// Takes a content in, as the handler of a feed. When one sender sends the same twice at once, it is one after the
    /// other, and the second has nothing to send; who sends slowly holds up nobody else. Where it is to be known who sent
    /// a content, a `sender` is one line, and whoever has not sent it before sends it, here or not: its hash may have been
    /// overheard. It has to come at some rate then.
    pub async fn receive<F>(
        &self,
        hash: &str,
        size: u64,
        sender: Option<&str>,
        mut feeding: Feeding<F>,
        held: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<(), CallError>
    where
        F: Feed<Input = Piece, Item = Stored>,
    {
        if !is_blob(hash) {
            return Err(CallError::malformed(
                "a content is named by the 64 hexadecimal digits of its BLAKE3",
            ));
        }
        if size > self.shared.most {
            return Err(CallError::new(
                ErrorKind::Busy,
                format!(
                    "it has {} MiB, and all contents together may have {} MiB here",
                    size >> 20,
                    self.shared.most >> 20
                ),
            ));
        }
        let turn = self.turn(hash, sender);
        let _turn = turn.lock().await;
        let (blobs, name) = (self.clone(), hash.to_owned());
        let by = sender.map(str::to_owned);
        let (arriving, held) = blocking(move || {
            let again = by.as_ref().is_some_and(|by| !blobs.was_sent_by(&name, by));
            let arriving = blobs.begin(&name, size, again, by.as_deref(), &held)?;
            Ok((arriving, held))
        })
        .await?;
        let Some(arriving) = arriving else {
            return feeding.send(&Stored { have: size, whole: true }).await;
        };
        let (mut at, first, began) = (arriving.have, arriving.have, Instant::now());
        let mut told = at;
        if at < size {
            feeding.send(&Stored { have: at, whole: false }).await?;
        }
        // While one piece is written the next one comes in.
        let mut writing = tokio::spawn(std::future::ready(Ok(arriving)));
        while at < size {
            let patience = match sender {
                Some(_) => patience(began.elapsed(), at - first),
                None => STALL,
            };
            let piece = tokio::time::timeout(patience, feeding.input()).await.map_err(|_| {
                let why = if patience < STALL {
                    format!(
                        "the content came too slowly: {} KiB within {} min; send it again, it goes on from there",
                        (at - first) >> 10,
                        began.elapsed().as_secs() / 60
                    )
                } else {
                    format!("no piece of the content came for {} s", STALL.as_secs())
                };
                CallError::new(ErrorKind::TimedOut, why)
            })?;
            let Piece { at: begin, data } = piece?;
            if begin != at
                || data.is_empty()
                || data.len() > LONGEST
                || data.len() as u64 > size - at
            {
                let what = format!(
                    "a piece of {} bytes begins at byte {begin}, and {at} of {size} are here",
                    data.len()
                );
                return Err(CallError::malformed(what));
            }
            at += data.len() as u64;
            let arriving = joined(writing.await)?;
            if at - told >= TOLD && at < size {
                told = at;
                feeding.send(&Stored { have: arriving.have, whole: false }).await?;
            }
            writing = tokio::spawn(blocking(move || arriving.write(&data)));
        }
        let arriving = joined(writing.await)?;
        let (blobs, by) = (self.clone(), sender.map(str::to_owned));
        blocking(move || blobs.end(arriving, by.as_deref(), held)).await?;
        feeding.send(&Stored { have: size, whole: true }).await
    }
}

impl Arriving {
    pub(super) fn open(
        blobs: &Blobs,
        hash: &str,
        size: u64,
        by: Option<&str>,
    ) -> Result<Self, CallError> {
        let dir = &blobs.shared.dir;
        private_dir(dir).map_err(|e| wrong("making the folder of contents", &e))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let path = blobs.part(hash, by);
        let opening = |e: io::Error| wrong("writing a content", &e);
        let mut file = options.open(&path).map_err(opening)?;
        let mut hasher = blake3::Hasher::new();
        let mut have = hash_into(&mut file, &mut hasher).map_err(opening)?;
        if have > size {
            file.set_len(0).map_err(opening)?;
            (have, hasher) = (0, blake3::Hasher::new());
        }
        // What the disk has no room for is refused before it is sent.
        if let Err(e) = leaves_room(&file, size - have) {
            if have == 0 {
                std::fs::remove_file(&path).ok();
            }
            return Err(Self::no_room(size, &e));
        }
        Ok(Self {
            blobs: blobs.clone(),
            hash: hash.to_owned(),
            size,
            path,
            file,
            have,
            reserved: have,
            hasher,
        })
    }

    fn no_room(size: u64, e: &io::Error) -> CallError {
        wrong(&format!("making room for a content of {} MiB", size.div_ceil(1 << 20)), e)
    }

    /// Has room for what comes up to there, and a little further.
    fn reserve(&mut self, to: u64) -> Result<(), CallError> {
        if to <= self.reserved {
            return Ok(());
        }
        let to = to.max(self.reserved.saturating_add(STEP)).min(self.size);
        let (from, more) = (self.reserved, to.saturating_sub(self.reserved));
        self.blobs.part_room(&self.path, to)?;
        leaves_room(&self.file, more).map_err(|e| Self::no_room(self.size, &e))?;
        match rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::KEEP_SIZE, from, more) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(e) => return Err(Self::no_room(self.size, &e.into())),
        }
        self.reserved = to;
        Ok(())
    }

    pub(super) fn write(mut self, data: &[u8]) -> Result<Self, CallError> {
        self.reserve(self.have.saturating_add(data.len() as u64).min(self.size))?;
        self.file.write_all(data).map_err(|e| wrong("writing a content", &e))?;
        self.hasher.update(data);
        self.have += data.len() as u64;
        Ok(self)
    }

    /// Puts what has come in its place, and notes whose it is.
    pub(super) fn finish(self, sender: Option<&str>) -> Result<(), CallError> {
        let part = &self.path;
        if self.have != self.size || hex(&self.hasher) != self.hash {
            std::fs::remove_file(part).ok();
            return Err(CallError::new(
                ErrorKind::Conflict,
                "the content did not arrive as it was named, or was changed under way; send it again",
            ));
        }
        let writing = |e: io::Error| wrong("writing a content", &e);
        if self.blobs.shared.durable {
            self.file.sync_data().map_err(writing)?;
        }
        let moment = self.blobs.moment(&self.hash);
        let _moment = lock(&moment);
        std::fs::rename(part, self.blobs.path(&self.hash)).map_err(writing)?;
        if self.blobs.shared.durable {
            sync_dir(&self.blobs.shared.dir).map_err(writing)?;
        }
        self.blobs.check(&self.hash);
        match sender {
            Some(sender) => self.blobs.sent_by(&self.hash, sender),
            None => Ok(()),
        }
    }
}

/// How long the next piece is waited for when this one began so long ago and so many bytes have come since.
pub(super) fn patience(since: Duration, sent: u64) -> Duration {
    let all = ALL.saturating_add(Duration::from_secs(sent / LEAST));
    all.saturating_sub(since).min(STALL)
}
