//! A file, written beside its place and renamed once it is whole, right and on disk. What is in the place is as it
//! was until then, and stays so when anything goes wrong.

use super::blocking;
use super::entry::{Looked, Names};
use super::fault::{changed, fault};
use super::partial::{Transfer, Turn, hex};
use super::read::{joined, open_file};
use super::walk::{Guard, Place, is_link};
use crate::Agent;
use bytes::{Bytes, BytesMut};
use cmdr_link::piece::Piece;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::files::{CHUNK, FileKind, Sum, Write, Writing, Written};
use cmdr_protocol::{CallError, ErrorKind};
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_NOW, Uid, fchmod, fchown,
    fdatasync, fgetxattr, flistxattr, fsetxattr, fstatvfs, fsync, futimens, openat, renameat_with,
    unlinkat,
};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often the caller hears how far it is.
const TOLD: u64 = 8 << 20;
/// After so much more the disk begins to take it in, so that the end is not waited for long.
const AHEAD: u64 = 32 << 20;
/// What a new file may be when nothing is said.
const NEW: u32 = 0o644;
/// Pieces shorter than this are joined.
const SMALL: usize = 4 * 1024;
/// The largest attribute that is kept.
const ATTRIBUTE: usize = 64 * 1024;

pub(super) async fn write(
    agent: Arc<Agent>,
    _: Asked,
    write: Write,
    mut feeding: Feeding<Write>,
) -> Result<(), CallError> {
    let _turn = agent.files().begin()?;
    let turn = agent.files().partials.take(Transfer::parse(&write.transfer)?).await?;
    let give_way = turn.give_way.clone();
    let opened = agent.clone();
    let target = blocking(move || Target::open(&opened, turn, write)).await?;
    let mut told = target.have;
    feeding.send(&Writing { have: told, written: None }).await?;
    // While one block is written the next one comes in.
    let (mut at, mut block) = (told, Block::default());
    let mut writing = tokio::spawn(std::future::ready(Ok(target)));
    loop {
        let piece = tokio::select! {
            biased;
            () = give_way.notified() => Err(CallError::new(
                ErrorKind::Conflict,
                "this transfer goes on over another link",
            )),
            piece = feeding.input_piece(), if block.len < CHUNK => piece,
            // Nothing more has come, or enough.
            target = &mut writing, if block.len > 0 => {
                let target = joined(target)?;
                if target.have - told >= TOLD {
                    told = target.have;
                    feeding.send(&Writing { have: told, written: None }).await?;
                }
                let block = std::mem::take(&mut block);
                writing = tokio::spawn(blocking(move || target.write_all(block)));
                continue;
            }
        };
        let Piece { at: begin, data, sum } = piece?;
        if begin != at || data.len() > 2 * CHUNK {
            let what = format!("a piece begins at byte {begin}, and {at} are here");
            return Err(CallError::malformed(what));
        }
        at += data.len() as u64;
        block.push(data);
        if let Some(sum) = sum {
            let target = joined(writing.await)?;
            let written = blocking(move || target.write_all(block)?.finish(&agent, &sum)).await?;
            let have = sum_of(&written);
            return feeding.send(&Writing { have, written: Some(written) }).await;
        }
    }
}

/// Pieces that came while those before them were written, as they came.
#[derive(Default)]
struct Block {
    pieces: Vec<Bytes>,
    /// Small ones that came last, joined: each by itself would hold much more memory than it has bytes.
    tail: BytesMut,
    /// Bytes of all of them.
    len: usize,
}

impl Block {
    fn push(&mut self, data: Bytes) {
        self.len += data.len();
        if data.len() < SMALL {
            self.tail.extend_from_slice(&data);
            return;
        }
        self.close();
        self.pieces.push(data);
    }

    fn close(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(std::mem::take(&mut self.tail).freeze());
        }
    }
}

const fn sum_of(written: &Written) -> u64 {
    written.file.size
}

/// A file on its way into its place.
struct Target {
    write: Write,
    place: Place,
    turn: Turn,
    agent: Arc<Agent>,
    file: File,
    have: u64,
    hasher: blake3::Hasher,
    /// How much the disk has begun to take in, and whether it is at it.
    begun: u64,
    busy: Arc<AtomicBool>,
    /// What is there has to go when this is dropped: it is of no use to anybody.
    spoilt: bool,
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.spoilt {
            unlinkat(&self.place.dir, self.turn.transfer.file_name(), AtFlags::empty()).ok();
            self.agent.files().partials.forget(&self.turn.transfer);
        }
    }
}

impl Target {
    fn open(agent: &Arc<Agent>, turn: Turn, write: Write) -> Result<Self, CallError> {
        let guard = Guard::new(agent);
        let place = guard.to_write(&write.path)?;
        expected(&place, &write)?;
        let partials = &agent.files().partials;
        let name = turn.transfer.file_name();
        let resumed =
            if partials.is_noted(&turn.transfer, &place) { part(&place, &name) } else { None };
        let mut hasher = blake3::Hasher::new();
        // A part that was there counts its age from now on.
        partials.note(&guard, &turn.transfer, &place)?;
        let (file, have) = if let Some(mut file) = resumed {
            let have = hash(&mut file, &mut hasher)
                .map_err(|e| fault("reading what is there of", &place.path, e))?;
            (file, have)
        } else {
            unlinkat(&place.dir, &name, AtFlags::empty()).ok();
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = openat(&place.dir, &name, flags, Mode::RUSR | Mode::WUSR).map_err(|e| {
                partials.forget(&turn.transfer);
                fault("writing beside", &place.path, e)
            })?;
            (File::from(made), 0)
        };
        let mut target = Self {
            write,
            place,
            turn,
            agent: agent.clone(),
            file,
            have,
            hasher,
            begun: have,
            busy: Arc::default(),
            spoilt: false,
        };
        target.room()?;
        Ok(target)
    }

    /// Refuses at once what the disk has no room for.
    fn room(&mut self) -> Result<(), CallError> {
        let Some(size) = self.write.size else { return Ok(()) };
        if self.have > size {
            self.spoilt = true;
            return Err(CallError::new(
                ErrorKind::Conflict,
                "there is more of this transfer than it shall have; begin it anew",
            ));
        }
        let Ok(system) = fstatvfs(&self.file) else { return Ok(()) };
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        if size - self.have > free && system.f_blocks > 0 {
            self.spoilt = true;
            let mib = |bytes: u64| bytes.div_ceil(1 << 20);
            return Err(CallError::new(
                ErrorKind::Busy,
                format!(
                    "writing {}: it takes {} MiB more and the disk has room for {} MiB",
                    self.write.path,
                    mib(size - self.have),
                    free >> 20
                ),
            ));
        }
        Ok(())
    }

    fn write_all(mut self, mut block: Block) -> Result<Self, CallError> {
        block.close();
        for data in block.pieces {
            self.write(&data)?;
        }
        self.sync_ahead();
        Ok(self)
    }

    fn write(&mut self, data: &[u8]) -> Result<(), CallError> {
        if data.is_empty() {
            return Ok(());
        }
        let end = self.have + data.len() as u64;
        // Holes stay holes: what is beyond the end of a file reads as zeros.
        let written = if data.iter().all(|b| *b == 0) {
            self.file.set_len(end).and_then(|()| self.file.seek(SeekFrom::Start(end)).map(drop))
        } else {
            self.file.write_all(data)
        };
        if let Err(e) = written {
            self.spoilt = true;
            return Err(fault("writing", &self.write.path, e));
        }
        self.hasher.update(data);
        self.have = end;
        Ok(())
    }

    /// Lets the disk take in what there is, beside what comes. What goes wrong shows at the end once more.
    fn sync_ahead(&mut self) {
        if self.have - self.begun < AHEAD || self.busy.load(Ordering::Relaxed) {
            return;
        }
        let Ok(file) = self.file.try_clone() else { return };
        self.busy.store(true, Ordering::Relaxed);
        let busy = self.busy.clone();
        self.begun = self.have;
        tokio::task::spawn_blocking(move || {
            fdatasync(&file).ok();
            busy.store(false, Ordering::Relaxed);
        });
    }

    /// Checks it, gives it what the old one had, and puts it in place.
    fn finish(mut self, agent: &Agent, sum: &Sum) -> Result<Written, CallError> {
        let hash = hex(self.hasher.finalize().as_bytes());
        if sum.size != self.have || sum.hash != hash {
            self.spoilt = true;
            return Err(CallError::new(
                ErrorKind::Conflict,
                format!(
                    "{} did not arrive as it was sent, or was changed under way; nothing was replaced: try again",
                    self.write.path
                ),
            ));
        }
        let old = expected(&self.place, &self.write)?;
        let path = &self.write.path;
        let wrong = |doing: &str| {
            let path = path.clone();
            let doing = doing.to_owned();
            move |e: Errno| fault(&doing, &path, e)
        };
        let lost = self.keep(old.as_ref())?;
        if let Some(ns) = self.write.mtime_ns {
            let times = Timestamps {
                last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
                last_modification: timespec(ns),
            };
            futimens(&self.file, &times).map_err(wrong("setting the time of"))?;
        }
        if let Err(e) = fsync(&self.file) {
            self.spoilt = true;
            return Err(wrong("writing")(e));
        }
        // Once more: that took its time.
        expected(&self.place, &self.write)?;
        self.rename().map_err(wrong("putting in place"))?;
        self.agent.files().partials.forget(&self.turn.transfer);
        sync_folder(&self.place).map_err(wrong("writing the folder of"))?;
        let looked = Looked::open(&self.file, &self.place.name).map_err(wrong("looking at"))?;
        Ok(Written { file: looked.entry(&mut Names::new(agent)), hash, lost })
    }

    fn rename(&self) -> Result<(), Errno> {
        let (dir, name) = (&self.place.dir, self.turn.transfer.file_name());
        let to = |flags| renameat_with(dir, &name, dir, &self.place.name, flags);
        if !self.write.absent {
            return to(RenameFlags::empty());
        }
        match to(RenameFlags::NOREPLACE) {
            // Not every file system can; that nothing is there was looked at a moment ago.
            Err(Errno::INVAL | Errno::NOSYS) => to(RenameFlags::empty()),
            result => result,
        }
    }

    /// Gives the new file the owner, permissions and attributes of the old one; says what could not be kept.
    fn keep(&self, old: Option<&Looked>) -> Result<Vec<String>, CallError> {
        let mut lost = Vec::new();
        let mut mode = self.write.mode.unwrap_or(NEW);
        if let Some(old) = old {
            mode = self.write.mode.unwrap_or(old.mode());
            let (uid, gid) = (Uid::from_raw(old.uid()), Gid::from_raw(old.gid()));
            if fchown(&self.file, Some(uid), Some(gid)).is_err() {
                let mine = self.file.metadata().map(|meta| (meta.uid(), meta.gid()));
                if !mine.is_ok_and(|mine| mine == (old.uid(), old.gid())) {
                    lost.push(format!("the owner {}:{}", old.uid(), old.gid()));
                    // What another owner could do with it is not theirs any more.
                    mode &= 0o777;
                }
            }
            if let Ok((old, _)) = open_file(&self.place, OFlags::RDONLY) {
                attributes(&old, &self.file, &mut lost);
            }
        }
        fchmod(&self.file, Mode::from_raw_mode(mode & 0o7777))
            .map_err(|e| fault("setting the permissions of", &self.write.path, e))?;
        Ok(lost)
    }
}

pub(super) const fn timespec(ns: i64) -> Timespec {
    Timespec { tv_sec: ns.div_euclid(1_000_000_000), tv_nsec: ns.rem_euclid(1_000_000_000) as _ }
}

pub(super) fn sync_folder(place: &Place) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fsync(openat(&place.dir, ".", flags, Mode::empty())?)
}

/// What is in the place now, if it is what the caller takes it to be.
fn expected(place: &Place, write: &Write) -> Result<Option<Looked>, CallError> {
    if write.path.is_root() {
        return Err(CallError::new(ErrorKind::Conflict, "/ is a folder"));
    }
    let there = place.look_if_there()?;
    match &there {
        None if write.unchanged.is_some() => return Err(changed(&write.path)),
        None => {}
        Some(there) => match there.kind() {
            FileKind::Link => return Err(is_link(&write.path)),
            FileKind::File if write.absent => {
                let what = format!("{} is there already", write.path);
                return Err(CallError::new(ErrorKind::Conflict, what));
            }
            FileKind::File => {
                if write.unchanged.is_some_and(|version| version != there.version()) {
                    return Err(changed(&write.path));
                }
            }
            kind => {
                return Err(CallError::new(
                    ErrorKind::Conflict,
                    format!("{} is a {kind}; it is not replaced by a file", write.path),
                ));
            }
        },
    }
    Ok(there)
}

/// The part that is there, if it is one of ours.
fn part(place: &Place, name: &str) -> Option<File> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(openat(&place.dir, name, flags, Mode::empty()).ok()?);
    let meta = file.metadata().ok()?;
    let mine = meta.is_file()
        && meta.nlink() == 1
        && meta.uid() == rustix::process::geteuid().as_raw()
        && meta.mode().trailing_zeros() >= 6;
    mine.then_some(file)
}

/// Reads all that is there into the sum; the file stands at its end then.
fn hash(file: &mut File, hasher: &mut blake3::Hasher) -> std::io::Result<u64> {
    let mut buf = vec![0; CHUNK];
    let mut have = 0;
    loop {
        match file.read(&mut buf)? {
            0 => return Ok(have),
            n => {
                hasher.update(&buf[..n]);
                have += n as u64;
            }
        }
    }
}

/// Copies what systems and people attach to files (labels, access lists), as far as it can be.
pub(super) fn attributes(old: &File, new: &File, lost: &mut Vec<String>) {
    let mut names = vec![0; ATTRIBUTE];
    let Ok(len) = flistxattr(old, &mut names[..]) else { return };
    for name in names[..len].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        // What a program may do belongs to its content, which is another now.
        if name == b"security.capability" {
            continue;
        }
        let mut value = vec![0; ATTRIBUTE];
        let copied = fgetxattr(old, name, &mut value[..])
            .and_then(|len| fsetxattr(new, name, &value[..len], rustix::fs::XattrFlags::empty()));
        if copied.is_err() {
            lost.push(format!("the attribute {}", String::from_utf8_lossy(name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_comes_byte_by_byte_is_held_as_few_pieces_in_their_order() {
        let mut block = Block::default();
        let mut expected = Vec::new();
        for n in 0..2000u32 {
            let piece = vec![n as u8; if n % 500 == 499 { SMALL } else { n as usize % 2 }];
            expected.extend_from_slice(&piece);
            block.push(piece.into());
        }
        block.close();
        assert_eq!((block.len, block.pieces.len()), (expected.len(), 8));
        assert!(block.pieces.concat() == expected);
    }
}
