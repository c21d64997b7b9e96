//! A folder as one stream: tar, packed by zstd, made while it is sent.

use super::blocking;
use super::delete::{deep, names, open};
use super::entry::{Looked, Names};
use super::fault::fault;
use super::read::open_file;
use super::walk::{Guard, Place, below};
use crate::Agent;
use crate::policy::Want;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::CallError;
use cmdr_protocol::files::{Archive, CHUNK, Counted, FileKind, FilePath, Packed, unescape};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::OFlags;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

/// How hard it is packed: the level at which it is still faster than most disks.
const LEVEL: i32 = 3;
/// What is told of what was left out.
pub(super) const WORDS: usize = 100;

pub(super) async fn archive(
    agent: Arc<Agent>,
    _: Asked,
    archive: Archive,
    feeding: Feeding<Archive>,
) -> Result<(), CallError> {
    let _turn = agent.files().begin()?;
    let (send, mut pieces) = mpsc::channel(2);
    let packing = blocking(move || pack(&agent, &archive.path, send));
    let sender = feeding.sender();
    let sending = async move {
        while let Some(data) = pieces.recv().await {
            sender.send(&Packed { data, packed: None }).await?;
        }
        Ok::<(), CallError>(())
    };
    let (packed, sent) = tokio::join!(packing, sending);
    sent?;
    feeding.send(&Packed { data: Vec::new(), packed: Some(packed?) }).await
}

/// Hands on what is written to it in pieces of one size.
struct Pieces {
    to: mpsc::Sender<Vec<u8>>,
    piece: Vec<u8>,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(CHUNK));
        self.to.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(CHUNK - self.piece.len());
        self.piece.extend_from_slice(&bytes[..n]);
        if self.piece.len() >= CHUNK {
            self.send()?;
        }
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Packing {
    guard: Guard,
    names: Names,
    tar: tar::Builder<zstd::Encoder<'static, Pieces>>,
    counted: Counted,
}

fn pack(agent: &Agent, path: &FilePath, to: mpsc::Sender<Vec<u8>>) -> Result<Counted, CallError> {
    let wrong = |e: io::Error| fault("packing", path, e);
    let guard = Guard::new(agent);
    let folder = guard.folder(Want::Read, path)?;
    let pieces = Pieces { to, piece: Vec::with_capacity(CHUNK) };
    let zstd = zstd::Encoder::new(pieces, LEVEL).map_err(wrong)?;
    let mut tar = tar::Builder::new(zstd);
    tar.follow_symlinks(false);
    let mut packing = Packing { guard, names: Names::new(agent), tar, counted: Counted::default() };
    packing.folder(&folder, path, Path::new(""), 0)?;
    let mut pieces = packing.tar.into_inner().and_then(zstd::Encoder::finish).map_err(wrong)?;
    if !pieces.piece.is_empty() {
        pieces.send().map_err(wrong)?;
    }
    Ok(packing.counted)
}

/// Notes what is left out.
pub(super) fn skip(counted: &mut Counted, what: &str, why: &str) {
    counted.skipped += 1;
    if counted.words.len() < WORDS {
        counted.words.push(format!("{}: {why}", cmdr_protocol::display::clean_to_width(what, 200)));
    }
}

impl Packing {
    fn folder(
        &mut self,
        folder: &OwnedFd,
        path: &FilePath,
        shown: &Path,
        depth: usize,
    ) -> Result<(), CallError> {
        deep(path, depth)?;
        if let Err(e) = self.guard.not_own(folder.as_fd(), path) {
            skip(&mut self.counted, &path.to_string(), &e.message);
            return Ok(());
        }
        for name in names(folder, path)? {
            let inner = below(path, name.as_bytes())?;
            let shown = shown.join(&name);
            let Ok(looked) = Looked::at(folder, &name) else { continue };
            if self.guard.allows(Want::Read, &inner).is_err() {
                skip(
                    &mut self.counted,
                    &inner.to_string(),
                    "this host's policy does not let it be read",
                );
                continue;
            }
            match looked.kind() {
                FileKind::Folder => match open(folder, &name, &inner) {
                    Ok(deeper) => {
                        self.plain(looked, &shown, tar::EntryType::Directory, &inner)?;
                        self.folder(&deeper, &inner, &shown, depth + 1)?;
                    }
                    Err(e) => skip(&mut self.counted, &inner.to_string(), &e.message),
                },
                FileKind::Link => self.plain(looked, &shown, tar::EntryType::Symlink, &inner)?,
                FileKind::File => self.file(folder, name, &inner, &shown)?,
                kind => skip(&mut self.counted, &inner.to_string(), &format!("it is a {kind}")),
            }
        }
        Ok(())
    }

    fn header(&mut self, looked: Looked, kind: tar::EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(looked.mode());
        header.set_uid(looked.uid().into());
        header.set_gid(looked.gid().into());
        header.set_mtime(u64::try_from(looked.mtime_ns() / 1_000_000_000).unwrap_or(0));
        let entry = looked.entry(&mut self.names);
        // A name that does not fit is left out; the number is there.
        header.set_username(&entry.user).ok();
        header.set_groupname(&entry.group).ok();
        header
    }

    fn plain(
        &mut self,
        looked: Looked,
        shown: &Path,
        kind: tar::EntryType,
        path: &FilePath,
    ) -> Result<(), CallError> {
        let wrong = |e: io::Error| fault("packing", path, e);
        let target = unescape(looked.target()).unwrap_or_default();
        let mut header = self.header(looked, kind, 0);
        if kind.is_symlink() {
            let target = PathBuf::from(OsString::from_vec(target));
            self.tar.append_link(&mut header, shown, target).map_err(wrong)?;
        } else {
            self.tar.append_data(&mut header, shown, io::empty()).map_err(wrong)?;
        }
        self.counted.entries += 1;
        Ok(())
    }

    fn file(
        &mut self,
        folder: &OwnedFd,
        name: OsString,
        path: &FilePath,
        shown: &Path,
    ) -> Result<(), CallError> {
        let wrong = |e: io::Error| fault("packing", path, e);
        let dir = folder.try_clone().map_err(wrong)?;
        let place = Place { dir, name, path: path.clone() };
        let (file, looked) = match open_file(&place, OFlags::RDONLY) {
            Ok(opened) => opened,
            Err(e) => {
                skip(&mut self.counted, &path.to_string(), &e.message);
                return Ok(());
            }
        };
        let size = looked.size();
        let mut header = self.header(looked, tar::EntryType::Regular, size);
        let mut exact = Exact { file, left: size, short: false };
        self.tar.append_data(&mut header, shown, &mut exact).map_err(wrong)?;
        self.counted.entries += 1;
        self.counted.bytes += size;
        if exact.short && self.counted.words.len() < WORDS {
            self.counted.words.push(format!(
                "{path}: it became shorter while it was read; zeros stand for the rest"
            ));
        }
        Ok(())
    }
}

/// Gives as many bytes as were promised, whatever happens to the file meanwhile.
struct Exact {
    file: std::fs::File,
    left: u64,
    short: bool,
}

impl Read for Exact {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let mut n = if self.short { 0 } else { self.file.read(&mut buf[..most])? };
        if n == 0 {
            self.short = true;
            buf[..most].fill(0);
            n = most;
        }
        self.left -= n as u64;
        Ok(n)
    }
}
