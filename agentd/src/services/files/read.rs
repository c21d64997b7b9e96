//! The content of a file: while one block is on its way, in pieces, the next is read.

use super::entry::{Looked, Names};
use super::fault::{changed, fault};
use super::walk::{Guard, Place, is_link};
use super::{blocking, partial};
use crate::Agent;
use bytes::BytesMut;
use cmdr_link::piece;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::files::{CHUNK, Chunk, Entry, FileKind, FilePath, PIECE, Read, Sum, Version};
use cmdr_protocol::{CallError, ErrorKind};
use rustix::fs::{OFlags, fstatfs};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

/// How much is read of a file that says nothing true about its length: those of `/proc` may have no end.
const ENDLESS: u64 = 16 << 20;
/// The file systems of such files: proc, sysfs, debugfs, tracefs, securityfs, cgroup.
pub(super) const MADE_UP: [u64; 7] =
    [0x9fa0, 0x6265_6572, 0x6462_6720, 0x7472_6163, 0x7363_6673, 0x0027_e0eb, 0x6367_7270];
const PROC: u64 = 0x9fa0;

pub(super) async fn read(
    agent: Arc<Agent>,
    _: Asked,
    read: Read,
    feeding: Feeding<Read>,
) -> Result<(), CallError> {
    let _turn = agent.files().begin()?;
    let opened = agent.clone();
    let (mut source, entry) = blocking(move || {
        let (mut source, entry) = Source::open(&opened, &read.path, read.unchanged)?;
        source.limit(&read);
        Ok((source, entry))
    })
    .await?;
    feeding.send(&Chunk { file: Some(entry), ..Chunk::default() }).await?;
    if source.hasher.is_some() && source.begin > 0 {
        source = blocking(move || source.hash_before()).await?;
    }
    let mut next = tokio::spawn(blocking(move || source.next(BytesMut::new())));
    // Two blocks take turns: one is read while the other is sent.
    let mut other = BytesMut::new();
    loop {
        let (source, block) = joined(next.await)?;
        let Some(block) = block else {
            let sum = blocking(move || source.sum()).await?;
            let at = sum.size;
            return feeding.send(&Chunk { at, sum: Some(sum), ..Chunk::default() }).await;
        };
        next = tokio::spawn(blocking(move || source.next(other)));
        let block = block.freeze();
        for begin in (0..block.len()).step_by(FRAME) {
            feeding.send_piece(block.slice(begin..block.len().min(begin + FRAME))).await?;
        }
        other = block.try_into_mut().unwrap_or_default();
    }
}

pub(super) fn joined<T>(
    ended: Result<Result<T, CallError>, tokio::task::JoinError>,
) -> Result<T, CallError> {
    ended.unwrap_or_else(|e| Err(CallError::failed(format!("a fault of the agent: {e}"))))
}

/// The sum of a file, without its content.
pub(super) fn sum(agent: &Agent, path: &FilePath) -> Result<Sum, CallError> {
    let (mut source, _) = Source::open(agent, path, None)?;
    source.hasher = Some(blake3::Hasher::new());
    let mut room = BytesMut::new();
    loop {
        let (back, block) = source.next(room)?;
        source = back;
        match block {
            Some(block) => room = block,
            None => return source.sum(),
        }
    }
}

/// A file that is being read.
pub(super) struct Source {
    file: File,
    path: FilePath,
    version: Version,
    begin: u64,
    at: u64,
    end: u64,
    /// What the agent reads of it is not all.
    bounded: bool,
    cut: bool,
    hasher: Option<blake3::Hasher>,
}

/// What is read at once, as frames: each is as long as [`FRAME`], but for the last one. None at the end.
type Block = Option<BytesMut>;

/// A piece with what goes before it.
const FRAME: usize = piece::HEAD + PIECE;

/// Opens a regular file, and nothing else.
pub(super) fn open_file(place: &Place, flags: OFlags) -> Result<(File, Looked), CallError> {
    let wrong = |e: Errno| match e {
        Errno::LOOP => is_link(&place.path),
        e => fault("opening", &place.path, e),
    };
    let no_file = |kind: FileKind| {
        CallError::new(
            ErrorKind::Conflict,
            format!("{} is a {}, not a file", place.path, kind.as_str().replace('-', " ")),
        )
    };
    // Looked at first: to open a device can do something.
    match place.look()?.kind() {
        FileKind::File => {}
        FileKind::Link => return Err(is_link(&place.path)),
        kind => return Err(no_file(kind)),
    }
    let file = place.open(flags).map_err(wrong)?;
    let looked = Looked::open(&file, &place.name).map_err(wrong)?;
    match looked.kind() {
        FileKind::File => Ok((file.into(), looked)),
        kind => Err(no_file(kind)),
    }
}

/// Reads until it is full or the file is over.
fn fill(file: &mut File, data: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < data.len() {
        match file.read(&mut data[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

impl Source {
    pub(super) fn open(
        agent: &Agent,
        path: &FilePath,
        unchanged: Option<Version>,
    ) -> Result<(Self, Entry), CallError> {
        let place = Guard::new(agent).to_read(path)?;
        let (file, looked) = open_file(&place, OFlags::RDONLY)?;
        let version = looked.version();
        if unchanged.is_some_and(|expected| expected != version) {
            return Err(changed(path));
        }
        let system = fstatfs(&file).map_or(0, |system| system.f_type as u64);
        if system == PROC && place.name == "mem" {
            return Err(CallError::denied(format!("{path} is a program's memory, not a file")));
        }
        let bounded = looked.size() == 0 || MADE_UP.contains(&system);
        let source = Self {
            file,
            path: path.clone(),
            version,
            begin: 0,
            at: 0,
            end: if bounded { ENDLESS } else { version.size },
            bounded,
            cut: false,
            hasher: None,
        };
        Ok((source, looked.entry(&mut Names::new(agent))))
    }

    /// From where to where.
    fn limit(&mut self, read: &Read) {
        self.begin = read.offset;
        self.at = read.offset;
        if let Some(length) = read.length {
            let end = read.offset.saturating_add(length);
            // Whoever asks for a piece is not told that there is more.
            self.bounded &= end > self.end;
            self.end = self.end.min(end);
        }
        self.hasher = read.hash.then(blake3::Hasher::new);
    }

    fn wrong(&self, error: io::Error) -> CallError {
        fault("reading", &self.path, error)
    }

    /// Reads what comes before the beginning, for the sum.
    fn hash_before(mut self) -> Result<Self, CallError> {
        let mut buf = vec![0; CHUNK];
        let mut left = self.begin;
        while left > 0 {
            let most = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match self.file.read(&mut buf[..most]) {
                Ok(0) => break,
                Ok(n) => {
                    if let Some(hasher) = &mut self.hasher {
                        hasher.update(&buf[..n]);
                    }
                    left -= n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.wrong(e)),
            }
        }
        Ok(self)
    }

    /// Reads on, into a block that has been sent, whatever is in it.
    pub(super) fn next(mut self, mut block: BytesMut) -> Result<(Self, Block), CallError> {
        if self.at == self.begin && self.begin > 0 {
            self.file.seek(SeekFrom::Start(self.at)).map_err(|e| self.wrong(e))?;
        }
        let most = CHUNK.min(usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(CHUNK));
        block.resize(most + most.div_ceil(PIECE) * piece::HEAD, 0);
        let mut filled = 0;
        for frame in block.chunks_mut(FRAME) {
            let (head, data) = frame.split_at_mut(piece::HEAD);
            let got = fill(&mut self.file, data).map_err(|e| self.wrong(e))?;
            if got == 0 {
                break;
            }
            head.copy_from_slice(&piece::head(self.at, got as u32));
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&data[..got]);
            }
            self.at += got as u64;
            filled += piece::HEAD + got;
            if got < data.len() {
                break;
            }
        }
        block.truncate(filled);
        if filled > 0 {
            return Ok((self, Some(block)));
        }
        self.cut = self.bounded
            && self.at >= self.end
            && self.file.read(&mut [0]).is_ok_and(|more| more > 0);
        Ok((self, None))
    }

    /// What it was altogether.
    pub(super) fn sum(self) -> Result<Sum, CallError> {
        let now = Looked::open(&self.file, "".as_ref()).map_err(|e| self.wrong(e.into()))?;
        Ok(Sum {
            size: self.at,
            hash: self
                .hasher
                .map(|hasher| partial::hex(hasher.finalize().as_bytes()))
                .unwrap_or_default(),
            cut: self.cut,
            // Such files say nothing true about themselves.
            changed: !self.bounded && now.version() != self.version,
        })
    }
}
