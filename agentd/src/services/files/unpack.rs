//! Lays an archive out in a folder, and nowhere else: a hostile one is the rule. Every name is walked from the
//! folder on without following links, so nothing that the archive brings can lead out of it.

mod lying;

use super::archive::skip;
use super::blocking;
use super::walk::{Guard, Step, step};
use crate::Agent;
use crate::policy::Want;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::files::{Counted, FilePath, Packed, Unpack, Unpacked, escape};
use cmdr_protocol::{CallError, ErrorKind};
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Uid, chownat, fchmod, fchown, linkat, mkdirat, openat, symlinkat,
    unlinkat,
};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use tar::EntryType;
use tokio::sync::mpsc;

/// Bytes laid out when nothing is said.
const MOST_BYTES: u64 = 16 << 30;
/// Entries when nothing is said.
const MOST_ENTRIES: u64 = 1_000_000;
/// The longest name, and all that is said about an entry.
const LONGEST: u64 = 64 * 1024;
/// Folders in folders.
const DEPTH: usize = 100;
/// How much memory unpacking may take: windows of 128 MiB and less.
const WINDOW: u32 = 27;
/// The same for xz in KiB, with what its reader needs for itself.
const XZ_KIB: u32 = (128 + 8) << 10;
/// How often the caller hears how far it is.
const TOLD: u64 = 8 << 20;

/// What an archive may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of its files.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// Whether it may replace files.
    pub replace: bool,
    /// Whether what is laid out belongs to whom the archive says.
    pub owners: bool,
}

pub(super) async fn unpack(
    agent: Arc<Agent>,
    _: Asked,
    unpack: Unpack,
    mut feeding: Feeding<Unpack>,
) -> Result<(), CallError> {
    let _turn = agent.files().begin()?;
    let sender = feeding.sender();
    let limits = Limits {
        bytes: unpack.most_bytes.unwrap_or(MOST_BYTES),
        entries: unpack.most_entries.unwrap_or(MOST_ENTRIES),
        replace: unpack.replace,
        owners: unpack.owners,
    };
    let path = unpack.path;
    if let Some(from) = unpack.from {
        return lying::unpack(agent, from, path, limits, feeding).await;
    }
    let (send, pieces) = mpsc::channel::<Vec<u8>>(2);
    let opened = agent.clone();
    let (guard, root) = blocking(move || {
        let guard = Guard::new(&opened);
        let root = guard.folder(Want::Write, &path)?;
        guard.allows_whole(&path)?;
        Ok((guard, (root, path)))
    })
    .await?;
    let laying = blocking(move || {
        let pieces = Pieces { from: pieces, piece: Vec::new(), at: 0 };
        lay_out(&root.0, pieces, limits, |dir| guard.not_own(dir, &root.1))
    });
    let taking = async move {
        let (mut taken, mut told) = (0, 0);
        loop {
            let Packed { data, packed } = feeding.input().await?;
            taken += data.len() as u64;
            if !data.is_empty() && send.send(data).await.is_err() {
                // The laying out has ended, and says why.
                return Ok::<u64, CallError>(taken);
            }
            if packed.is_some() {
                return Ok(taken);
            }
            if taken - told >= TOLD {
                told = taken;
                feeding.send(&Unpacked { taken, done: None }).await?;
            }
        }
    };
    let mut laying = std::pin::pin!(laying);
    let taken = tokio::select! {
        done = &mut laying => {
            // Before the end of the archive was told: what follows its last entry means nothing.
            return sender.send(&Unpacked { taken: 0, done: Some(done?) }).await;
        }
        taken = taking => taken?,
    };
    let done = laying.await?;
    sender.send(&Unpacked { taken, done: Some(done) }).await
}

/// Reads what comes in pieces.
struct Pieces {
    from: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.len() {
            match self.from.blocking_recv() {
                Some(piece) => (self.piece, self.at) = (piece, 0),
                None => return Ok(0),
            }
        }
        let n = buf.len().min(self.piece.len() - self.at);
        buf[..n].copy_from_slice(&self.piece[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

fn bad(what: impl std::fmt::Display) -> CallError {
    CallError::new(ErrorKind::Malformed, format!("the archive cannot be read: {what}"))
}

fn full(what: &str, most: u64) -> CallError {
    CallError::new(
        ErrorKind::Busy,
        format!(
            "the archive has more than {most} {what}, which is the limit; what was laid out so far stays"
        ),
    )
}

/// Lays an archive out in the folder `root`. `allowed` is asked about each folder that is entered.
pub fn lay_out(
    root: &OwnedFd,
    archive: impl Read,
    limits: Limits,
    allowed: impl Fn(BorrowedFd<'_>) -> Result<(), CallError>,
) -> Result<Counted, CallError> {
    let mut archive = BufReader::with_capacity(128 * 1024, archive);
    let magic = archive.fill_buf().map_err(bad)?;
    let laying = Laying::new(root, limits, &allowed);
    if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut unpacked = zstd::Decoder::with_buffer(archive).map_err(bad)?;
        unpacked.window_log_max(WINDOW).map_err(bad)?;
        laying.all(unpacked)
    } else if magic.starts_with(&[0x1f, 0x8b]) {
        laying.all(flate2::bufread::MultiGzDecoder::new(archive))
    } else if magic.starts_with(b"\xfd7zXZ\0") {
        laying.all(lzma_rust2::XzReader::new_mem_limit(archive, true, XZ_KIB))
    } else {
        laying.all(archive)
    }
}

/// What an entry of its own says about the one that follows.
#[derive(Default)]
struct Said {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

struct Laying<'a, A> {
    root: &'a OwnedFd,
    limits: Limits,
    allowed: &'a A,
    counted: Counted,
    /// Folders get their permissions last: one that nobody may write to is filled before.
    modes: Vec<(PathBuf, u32, Owner)>,
}

impl<'a, A: Fn(BorrowedFd<'_>) -> Result<(), CallError>> Laying<'a, A> {
    fn new(root: &'a OwnedFd, limits: Limits, allowed: &'a A) -> Self {
        Self { root, limits, allowed, counted: Counted::default(), modes: Vec::new() }
    }

    fn all(mut self, from: impl Read) -> Result<Counted, CallError> {
        // What is said about entries counts as well, so that names alone cannot go on for ever.
        let most = self.limits.bytes.saturating_add(self.limits.entries.saturating_mul(4096));
        let mut archive = tar::Archive::new(from.take(most.saturating_add(1 << 20)));
        let mut said = Said::default();
        let mut seen = 0u64;
        for entry in archive.entries().map_err(bad)?.raw(true) {
            let mut entry = entry.map_err(bad)?;
            seen += 1;
            if seen > self.limits.entries.saturating_mul(3) {
                return Err(full("entries", self.limits.entries));
            }
            match entry.header().entry_type() {
                EntryType::GNULongName => said.name = Some(long(&mut entry)?),
                EntryType::GNULongLink => said.link = Some(long(&mut entry)?),
                EntryType::XHeader => extended(&mut entry, &mut said)?,
                EntryType::XGlobalHeader => drop(long(&mut entry)?),
                _ => {
                    let said = std::mem::take(&mut said);
                    self.counted.entries += 1;
                    if self.counted.entries > self.limits.entries {
                        return Err(full("entries", self.limits.entries));
                    }
                    self.entry(&mut entry, said)?;
                }
            }
        }
        for (path, mode, owner) in std::mem::take(&mut self.modes).into_iter().rev() {
            if let Ok(dir) = self.folder(&path, false)
                && let Ok(dir) = reopen(&dir)
            {
                give(&dir, owner).ok();
                fchmod(&dir, Mode::from_raw_mode(mode)).ok();
            }
        }
        self.counted.entries -= self.counted.skipped.min(self.counted.entries);
        Ok(self.counted)
    }

    fn entry<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        said: Said,
    ) -> Result<(), CallError> {
        let name = said.name.unwrap_or_else(|| entry.header().path_bytes().into_owned());
        let name = OsString::from_vec(name);
        let shown = escape(name.as_bytes());
        let mode = entry.header().mode().unwrap_or(0o644) & 0o777;
        let owner = self.owner(entry.header());
        let path = match inner(Path::new(&name)) {
            Ok(Some(path)) => path,
            // The folder itself.
            Ok(None) => {
                self.counted.entries -= 1;
                if owner.is_some() {
                    self.modes.push((PathBuf::new(), mode, owner));
                }
                return Ok(());
            }
            Err(why) => {
                skip(&mut self.counted, &shown, why);
                return Ok(());
            }
        };
        let kind = entry.header().entry_type();
        let link = || {
            let link = said.link.clone();
            link.or_else(|| entry.header().link_name_bytes().map(std::borrow::Cow::into_owned))
        };
        let laid = match kind {
            EntryType::Directory => self.folder(&path, true).map(|_| {
                self.modes.push((path.clone(), mode, owner));
            }),
            EntryType::Regular | EntryType::Continuous => self.file(&path, (mode, owner), entry),
            EntryType::Symlink => {
                let target = OsString::from_vec(link().unwrap_or_default());
                self.link(&path, &target, owner)
            }
            EntryType::Link => {
                let target = OsString::from_vec(link().unwrap_or_default());
                self.hard_link(&path, &target)
            }
            _ => Err(Not::Laid("it is neither a file, a folder nor a link".to_owned())),
        };
        match laid {
            Ok(()) => Ok(()),
            Err(Not::Laid(why)) => {
                skip(&mut self.counted, &shown, &why);
                Ok(())
            }
            Err(Not::Any(e)) => Err(e),
        }
    }

    /// To whom it belongs, if that is kept.
    fn owner(&self, header: &tar::Header) -> Owner {
        // The highest number means nobody's to the kernel: leave it as it is.
        let number = |n: io::Result<u64>| {
            n.ok().and_then(|n| u32::try_from(n).ok()).filter(|n| *n != u32::MAX)
        };
        let ids = number(header.uid()).zip(number(header.gid()));
        ids.filter(|_| self.limits.owners).map(|(u, g)| (Uid::from_raw(u), Gid::from_raw(g)))
    }

    /// Opens a folder below the root, making those that are not there.
    fn folder(&self, path: &Path, make: bool) -> Result<OwnedFd, Not> {
        let mut dir = self.root.try_clone().map_err(|e| Not::Laid(e.to_string()))?;
        for name in path {
            let next = match step(&dir, name) {
                Err(Step::Errno(Errno::NOENT)) if make => {
                    mkdirat(&dir, name, Mode::from_raw_mode(0o755)).map_err(errno)?;
                    step(&dir, name)
                }
                next => next,
            };
            dir = next.map_err(|e| match e {
                Step::Link => Not::Laid("a link is in its way".to_owned()),
                Step::Errno(e) => errno(e),
            })?;
            (self.allowed)(dir.as_fd()).map_err(Not::Any)?;
        }
        Ok(dir)
    }

    /// The folder of a path and the name in it, which is free or may be replaced.
    fn place<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr), Not> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Not::Laid("it has no name".to_owned()));
        };
        let dir = self.folder(parent, true)?;
        if self.limits.replace {
            match unlinkat(&dir, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(errno(e)),
            }
        }
        Ok((dir, name))
    }

    fn file<R: Read>(
        &mut self,
        path: &Path,
        (mode, owner): (u32, Owner),
        from: &mut tar::Entry<'_, R>,
    ) -> Result<(), Not> {
        let size = from.size();
        self.counted.bytes = self.counted.bytes.saturating_add(size);
        if self.counted.bytes > self.limits.bytes {
            return Err(Not::Any(full("bytes", self.limits.bytes)));
        }
        let (dir, name) = self.place(path)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&dir, name, flags, Mode::RUSR | Mode::WUSR).map_err(errno)?;
        let mut file = File::from(file);
        let written = io::copy(from, &mut file).and_then(|n| {
            if n == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        });
        if let Err(e) = written {
            unlinkat(&dir, name, AtFlags::empty()).ok();
            return Err(Not::Any(match e.raw_os_error() {
                Some(_) => super::fault::fault("laying out an archive in", &FilePath::root(), e),
                None => bad(e),
            }));
        }
        give(&file, owner).map_err(errno)?;
        fchmod(&file, Mode::from_raw_mode(mode)).map_err(errno)
    }

    fn link(&self, path: &Path, target: &OsStr, owner: Owner) -> Result<(), Not> {
        if !stays(path, Path::new(target)) {
            return Err(Not::Laid("the link leads out of the folder".to_owned()));
        }
        let (dir, name) = self.place(path)?;
        symlinkat(target, &dir, name).map_err(errno)?;
        let Some((user, group)) = owner else { return Ok(()) };
        let how = AtFlags::SYMLINK_NOFOLLOW;
        chownat(&dir, name, Some(user), Some(group), how).map_err(errno)
    }

    fn hard_link(&self, path: &Path, target: &OsStr) -> Result<(), Not> {
        let Ok(Some(target)) = inner(Path::new(target)) else {
            return Err(Not::Laid("the link leads out of the folder".to_owned()));
        };
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(Not::Laid("it is a link to nothing".to_owned()));
        };
        let from = self.folder(parent, false)?;
        let regular = super::entry::Looked::at(&from, name)
            .is_ok_and(|looked| looked.kind() == cmdr_protocol::files::FileKind::File);
        if !regular {
            return Err(Not::Laid("it is a link to what is no file".to_owned()));
        }
        let (to, new) = self.place(path)?;
        linkat(&from, name, &to, new, AtFlags::empty()).map_err(errno)
    }
}

/// Whose something is, when that is kept.
type Owner = Option<(Uid, Gid)>;

/// Gives it to whom the archive says. Its permissions are set afterwards: this takes some of them away.
fn give(what: impl rustix::fd::AsFd, owner: Owner) -> Result<(), Errno> {
    let Some((user, group)) = owner else { return Ok(()) };
    fchown(what, Some(user), Some(group))
}

fn reopen(dir: &OwnedFd) -> Result<OwnedFd, Errno> {
    openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Why an entry is not there.
enum Not {
    /// It is left out.
    Laid(String),
    /// And nothing that follows is laid out either.
    Any(CallError),
}

fn errno(e: Errno) -> Not {
    match e {
        Errno::EXIST => Not::Laid("there is something of this name already".to_owned()),
        Errno::NOSPC | Errno::DQUOT => Not::Any(CallError::new(
            ErrorKind::Busy,
            "there is no room left on the disk; what was laid out so far stays",
        )),
        e => Not::Laid(io::Error::from(e).to_string()),
    }
}

/// Reads what an entry says about the next one.
fn long<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Vec<u8>, CallError> {
    if entry.size() > LONGEST {
        return Err(bad(format!("a name of {} bytes", entry.size())));
    }
    let mut bytes = Vec::new();
    entry.take(LONGEST).read_to_end(&mut bytes).map_err(bad)?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(bytes)
}

fn extended<R: Read>(entry: &mut tar::Entry<'_, R>, said: &mut Said) -> Result<(), CallError> {
    let bytes = long(entry)?;
    for one in tar::PaxExtensions::new(&bytes) {
        let one = one.map_err(bad)?;
        match one.key_bytes() {
            b"path" => said.name = Some(one.value_bytes().to_vec()),
            b"linkpath" => said.link = Some(one.value_bytes().to_vec()),
            // A length that the reader of the archive does not know of would put it out of step.
            b"size" => {
                return Err(bad(
                    "it has a file of more than 8 GiB, in a form that is not read here",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The path below the root; none for the root itself.
fn inner(path: &Path) -> Result<Option<PathBuf>, &'static str> {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) if name.len() > 255 => return Err("a name in it is too long"),
            Component::Normal(name) if name.as_bytes().contains(&0) => {
                return Err("it has a zero byte");
            }
            Component::Normal(name) => out.push(name),
            Component::CurDir => {}
            Component::ParentDir => return Err("it leads out of the folder by '..'"),
            Component::RootDir | Component::Prefix(_) => return Err("it begins at the root"),
        }
    }
    if out.iter().count() > DEPTH {
        return Err("it is too many folders deep");
    }
    Ok(if out.as_os_str().is_empty() { None } else { Some(out) })
}

/// Whether a link at `path` leads to somewhere below the root. It may go up only at its beginning: what goes
/// up further on could do so behind another link, where its letters mean something else.
fn stays(path: &Path, target: &Path) -> bool {
    let mut up = path.iter().count().saturating_sub(1);
    let mut down = false;
    for part in target.components() {
        match part {
            Component::Normal(_) => down = true,
            Component::CurDir => {}
            Component::ParentDir if up > 0 && !down => up -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    !target.as_os_str().is_empty()
}

#[cfg(test)]
mod tests;
