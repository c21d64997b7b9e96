//! Files between this machine and a host, whatever links do meanwhile: what is cut goes on where it was. Used by
//! the two clients. How a transfer is named is here for the hub too, which copies from host to host.

mod across;
mod archive;
mod beginning;
pub mod tree;

pub use across::{Copied, across};
pub use archive::archive;
pub use beginning::{beginning, gathered};

use crate::client::Client;
use cmdr_protocol::files::{CHUNK, Chunk, Entry, FilePath, Read, Sum, Version, Write, Written};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The pause before a link is asked for again.
const PAUSE: Duration = Duration::from_millis(300);

/// The name of a transfer: the same for the same parts, in this order.
pub fn name(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    data_encoding::HEXLOWER.encode(&hasher.finalize().as_bytes()[..16])
}

/// A version as bytes, for [`name`].
pub fn version(version: &Version) -> Vec<u8> {
    let Version { size, mtime_ns, inode } = version;
    [size.to_le_bytes(), mtime_ns.to_le_bytes(), inode.to_le_bytes()].concat()
}

/// How far a transfer is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the whole.
    pub size: u64,
    /// Bytes that are there.
    pub have: u64,
    /// Bytes carried by this order.
    pub carried: u64,
    /// Why it stands still; empty while it goes on.
    pub waiting: String,
}

/// What a transfer needs: links, somebody who is told, and for how long it bears to get no further.
#[derive(Clone)]
pub struct Way {
    /// A client whose link is up, or why there is none now.
    pub client: Arc<dyn Fn() -> Dialing + Send + Sync>,
    /// Told how far it is.
    pub tell: Arc<dyn Fn(&Progress) + Send + Sync>,
    /// How long it goes on trying without getting any further.
    pub patience: Duration,
}

/// A link on its way.
pub type Dialing = Pin<Box<dyn Future<Output = Result<Client, CallError>> + Send>>;

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// Tries that have failed, and since when nothing has come.
struct Tries {
    had: u64,
    since: Instant,
}

impl Tries {
    fn new() -> Self {
        Self { had: 0, since: Instant::now() }
    }

    /// After a try that failed because a link is away: waits a little, or has had enough.
    async fn again(
        &mut self,
        way: &Way,
        progress: &mut Progress,
        error: CallError,
    ) -> Result<(), CallError> {
        if progress.have > self.had {
            (self.had, self.since) = (progress.have, Instant::now());
        }
        if !away(&error) || self.since.elapsed() >= way.patience {
            return Err(error);
        }
        progress.waiting = error.message;
        (way.tell)(progress);
        tokio::time::sleep(PAUSE).await;
        progress.waiting.clear();
        Ok(())
    }
}

const fn away(error: &CallError) -> bool {
    matches!(error.kind, ErrorKind::Unreachable | ErrorKind::Lost | ErrorKind::TimedOut)
}

fn local(doing: &str, path: &Path, e: &io::Error) -> CallError {
    let path = path.display().to_string();
    let path = cmdr_protocol::display::clean_to_width(&path, 200);
    let kind = match e.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
        io::ErrorKind::StorageFull => ErrorKind::Busy,
        _ => ErrorKind::Failed,
    };
    CallError::new(kind, format!("{doing} {path} on this machine: {e}"))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CallError> + Send + 'static,
) -> Result<T, CallError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|e| Err(CallError::failed(format!("a fault of this program: {e}"))))
}

/// The version of a file of this machine.
fn version_of(file: &File) -> io::Result<(Version, std::fs::Metadata)> {
    let meta = file.metadata()?;
    let mtime_ns = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
    Ok((Version { size: meta.len(), mtime_ns, inode: meta.ino() }, meta))
}

/// A file of this machine to a host. `write` says where and under which conditions; its transfer, size and, if
/// `preserve` is set, permissions and time are filled in.
pub async fn upload(
    way: &Way,
    from: &Path,
    to: HostId,
    write: Write,
    preserve: bool,
) -> Result<(Written, Progress), CallError> {
    let (mut progress, mut tries) = (Progress::default(), Tries::new());
    loop {
        let tried = match (way.client)().await {
            Ok(client) => {
                push(way, &client, from, to, write.clone(), preserve, &mut progress).await
            }
            Err(e) => Err(e),
        };
        match tried {
            Ok(written) => return Ok((written, progress)),
            Err(e) => tries.again(way, &mut progress, e).await?,
        }
    }
}

/// A small content to a host, in one go over this link.
pub async fn put(
    client: &Client,
    to: HostId,
    mut write: Write,
    content: Vec<u8>,
) -> Result<Written, CallError> {
    let hash = blake3::hash(&content);
    let (now, hash) = (crate::clock::now_ms(), data_encoding::HEXLOWER.encode(hash.as_bytes()));
    let path = write.path.as_str().as_bytes();
    write.transfer = name(&[b"put", &now.to_le_bytes(), &to.0, path, hash.as_bytes()]);
    let size = content.len() as u64;
    write.size = Some(size);
    let mut feed = client.feed(Some(to), &write).await?;
    let half = || Err(CallError::lost("the host ended it half-way"));
    feed.next().await.unwrap_or_else(half)?;
    let mut at = 0;
    for data in content.chunks(CHUNK) {
        feed.send(&Chunk { at, data: data.to_vec(), ..Chunk::default() }).await?;
        at += data.len() as u64;
    }
    let sum = Sum { size, hash, ..Sum::default() };
    feed.send(&Chunk { at, sum: Some(sum), ..Chunk::default() }).await?;
    loop {
        if let Some(written) = feed.next().await.unwrap_or_else(half)?.written {
            return Ok(written);
        }
    }
}

async fn push(
    way: &Way,
    client: &Client,
    from: &Path,
    to: HostId,
    mut write: Write,
    preserve: bool,
    progress: &mut Progress,
) -> Result<Written, CallError> {
    let path = from.to_owned();
    let (mut source, meta, seen) = blocking(move || {
        let wrong = |e: &io::Error| local("opening", &path, e);
        let file = File::open(&path).map_err(|e| wrong(&e))?;
        let (seen, meta) = version_of(&file).map_err(|e| wrong(&e))?;
        if !meta.is_file() {
            let what = io::Error::other("it is no regular file");
            return Err(CallError { kind: ErrorKind::Conflict, ..wrong(&what) });
        }
        Ok((Local { file, path, at: 0, hasher: blake3::Hasher::new() }, meta, seen))
    })
    .await?;
    let whole = std::path::absolute(from).unwrap_or_else(|_| from.to_owned());
    write.transfer = name(&[
        b"up",
        &meta.dev().to_le_bytes(),
        whole.as_os_str().as_encoded_bytes(),
        &version(&seen),
        &to.0,
        write.path.as_str().as_bytes(),
    ]);
    write.size = Some(seen.size);
    if preserve {
        write.mode = Some(meta.permissions().mode() & 0o7777);
        write.mtime_ns = Some(seen.mtime_ns);
    }
    let mut feed = client.feed(Some(to), &write).await?;
    let first =
        feed.next().await.unwrap_or_else(|| Err(CallError::lost("the host said nothing")))?;
    (progress.size, progress.have) = (seen.size, first.have);
    (way.tell)(progress);
    let (mut items, mut inputs) = feed.split();
    let begin = progress.carried;
    let (note, mut noted) = tokio::sync::watch::channel(0u64);
    let sending = async move {
        source = blocking(move || source.skip(first.have)).await?;
        let mut reading = tokio::spawn(blocking(move || source.next()));
        loop {
            let (source, piece) = flat(reading.await)?;
            let at = source.at - piece.len() as u64;
            if piece.is_empty() {
                let hash = data_encoding::HEXLOWER.encode(source.hasher.finalize().as_bytes());
                let sum = Sum { size: source.at, hash, ..Sum::default() };
                inputs.send(&Chunk { at, sum: Some(sum), ..Chunk::default() }).await?;
                let (now, _) =
                    version_of(&source.file).map_err(|e| local("reading", &source.path, &e))?;
                // Held open: to drop it would mean to give up.
                return Ok::<_, CallError>((inputs, now != seen));
            }
            reading = tokio::spawn(blocking(move || source.next()));
            note.send_modify(|sent| *sent += piece.len() as u64);
            inputs.send(&Chunk { at, data: piece, ..Chunk::default() }).await?;
        }
    };
    let mut sending = std::pin::pin!(sending);
    let mut sent = None;
    loop {
        tokio::select! {
            biased;
            item = items.next() => {
                let item = item.unwrap_or_else(|| Err(CallError::lost("the host ended it half-way")))?;
                progress.have = item.have.max(progress.have);
                if let Some(mut written) = item.written {
                    progress.have = progress.size;
                    (way.tell)(progress);
                    if matches!(sent, Some((_, true))) {
                        written.lost.push("its sameness: the file here was changed while it was read".to_owned());
                    }
                    return Ok(written);
                }
            }
            done = &mut sending, if sent.is_none() => match done {
                Ok(done) => sent = Some(done),
                Err(e) if away(&e) => {
                    // The host has said why, if it was the host.
                    let last = tokio::time::timeout(Duration::from_secs(1), async {
                        loop {
                            match items.next().await {
                                Some(Ok(_)) => {}
                                Some(Err(told)) => return Some(told),
                                None => return None,
                            }
                        }
                    });
                    return Err(last.await.ok().flatten().unwrap_or(e));
                }
                Err(e) => return Err(e),
            },
            Ok(()) = noted.changed() => {
                progress.carried = begin + *noted.borrow_and_update();
                let sent = first.have + progress.carried - begin;
                (way.tell)(&Progress { have: sent.min(progress.size), ..progress.clone() });
            }
        }
    }
}

fn flat<T>(ended: Result<Result<T, CallError>, tokio::task::JoinError>) -> Result<T, CallError> {
    ended.unwrap_or_else(|e| Err(CallError::failed(format!("a fault of this program: {e}"))))
}

/// A file of this machine that is read.
struct Local {
    file: File,
    path: PathBuf,
    at: u64,
    hasher: blake3::Hasher,
}

impl Local {
    fn skip(mut self, to: u64) -> Result<Self, CallError> {
        while self.at < to {
            let most = usize::try_from(to - self.at).unwrap_or(CHUNK).min(CHUNK);
            let (next, piece) = self.upto(most)?;
            self = next;
            if piece.is_empty() {
                return Err(CallError::new(
                    ErrorKind::Conflict,
                    "the host has more of the file than there is here; try again",
                ));
            }
        }
        Ok(self)
    }

    fn next(self) -> Result<(Self, Vec<u8>), CallError> {
        self.upto(CHUNK)
    }

    fn upto(mut self, most: usize) -> Result<(Self, Vec<u8>), CallError> {
        let mut piece = vec![0; most];
        let mut got = 0;
        while got < most {
            match self.file.read(&mut piece[got..]) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(local("reading", &self.path, &e)),
            }
        }
        piece.truncate(got);
        self.hasher.update(&piece);
        self.at += got as u64;
        Ok((self, piece))
    }
}

/// What is wanted of a download.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Only if there is nothing here.
    pub absent: bool,
    /// With permissions and time.
    pub preserve: bool,
}

/// What has come.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The file there.
    pub file: Entry,
    /// Of the whole.
    pub sum: Sum,
    /// How it went.
    pub progress: Progress,
}

/// A file of a host to this machine, in place once it is whole.
pub async fn download(
    way: &Way,
    from: HostId,
    path: &FilePath,
    to: &Path,
    wanted: Wanted,
) -> Result<Fetched, CallError> {
    let (mut progress, mut tries) = (Progress::default(), Tries::new());
    loop {
        let tried = match (way.client)().await {
            Ok(client) => pull(way, &client, from, path, to, wanted, &mut progress).await,
            Err(e) => Err(e),
        };
        match tried {
            Ok((file, sum)) => return Ok(Fetched { file, sum, progress }),
            Err(e) => tries.again(way, &mut progress, e).await?,
        }
    }
}

/// A file that comes, beside its place.
struct Coming {
    file: File,
    part: PathBuf,
    have: u64,
    hasher: blake3::Hasher,
}

impl Coming {
    fn open(part: PathBuf) -> Result<Self, CallError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32).open(&part);
        let mut coming = Self {
            file: file.map_err(|e| local("writing", &part, &e))?,
            part,
            have: 0,
            hasher: blake3::Hasher::new(),
        };
        let mut buf = vec![0; CHUNK];
        loop {
            let n = coming.file.read(&mut buf).map_err(|e| local("reading", &coming.part, &e))?;
            if n == 0 {
                return Ok(coming);
            }
            coming.hasher.update(&buf[..n]);
            coming.have += n as u64;
        }
    }

    fn write(mut self, data: &[u8]) -> Result<Self, CallError> {
        let end = self.have + data.len() as u64;
        // Holes stay holes.
        let written = if data.iter().all(|b| *b == 0) {
            self.file.set_len(end).and_then(|()| self.file.seek(SeekFrom::Start(end)).map(drop))
        } else {
            self.file.write_all(data)
        };
        if let Err(e) = written {
            // A part on a full disk is in the way of what would make room.
            drop(std::fs::remove_file(&self.part));
            return Err(local("writing", &self.part, &e));
        }
        self.hasher.update(data);
        self.have = end;
        Ok(self)
    }

    fn finish(self, to: &Path, file: &Entry, sum: &Sum, wanted: Wanted) -> Result<(), CallError> {
        let hash = data_encoding::HEXLOWER.encode(self.hasher.finalize().as_bytes());
        if self.have != sum.size || hash != sum.hash {
            drop(std::fs::remove_file(&self.part));
            return Err(CallError::new(
                ErrorKind::Conflict,
                "the file did not arrive as it was sent, or was changed under way; try again",
            ));
        }
        let wrong = |e: io::Error| local("writing", to, &e);
        let mode = if wanted.preserve { file.mode & 0o777 } else { 0o666 & !umask() };
        self.file.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(wrong)?;
        if wanted.preserve {
            let modified = std::time::UNIX_EPOCH
                + Duration::from_nanos(u64::try_from(file.mtime_ns).unwrap_or(0));
            self.file.set_modified(modified).map_err(wrong)?;
        }
        self.file.sync_all().map_err(wrong)?;
        if wanted.absent {
            std::fs::hard_link(&self.part, to).map_err(wrong)?;
            std::fs::remove_file(&self.part).map_err(wrong)?;
        } else {
            std::fs::rename(&self.part, to).map_err(wrong)?;
        }
        let dir = to.parent().filter(|dir| !dir.as_os_str().is_empty());
        crate::files::sync_dir(dir.unwrap_or(Path::new("."))).map_err(wrong)
    }
}

/// What new files of this process may not be.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|text| u32::from_str_radix(text.trim(), 8).ok()).unwrap_or(0o022)
}

async fn pull(
    way: &Way,
    client: &Client,
    from: HostId,
    path: &FilePath,
    to: &Path,
    wanted: Wanted,
    progress: &mut Progress,
) -> Result<(Entry, Sum), CallError> {
    if wanted.absent && to.symlink_metadata().is_ok() {
        return Err(local("writing", to, &io::ErrorKind::AlreadyExists.into()));
    }
    let stat = cmdr_protocol::files::Stat { path: path.clone() };
    let seen = client.call(Some(from), &stat, Duration::from_secs(30)).await?;
    let id = name(&[b"down", &from.0, path.as_str().as_bytes(), &version(&seen.version())]);
    let part = to.with_file_name(format!(".cmdr-{id}.part"));
    let mut coming = blocking(move || Coming::open(part)).await?;
    (progress.size, progress.have) = (seen.size, coming.have);
    (way.tell)(progress);
    let read = Read {
        path: path.clone(),
        offset: coming.have,
        length: None,
        unchanged: (seen.kind == cmdr_protocol::files::FileKind::File).then(|| seen.version()),
        hash: true,
    };
    let mut feed = client.feed(Some(from), &read).await?;
    let mut file = None;
    loop {
        let half = || Err(CallError::lost("the host ended it half-way"));
        let chunk = feed.next().await.unwrap_or_else(half)?;
        file = file.or(chunk.file);
        if let Some(sum) = chunk.sum {
            let file: Entry =
                file.ok_or_else(|| CallError::malformed("the host told nothing of the file"))?;
            let (place, entry, told) = (to.to_owned(), file.clone(), sum.clone());
            blocking(move || coming.finish(&place, &entry, &told, wanted)).await?;
            return Ok((file, sum));
        }
        if chunk.data.is_empty() {
            continue;
        }
        if chunk.at != coming.have {
            return Err(CallError::malformed("the host sent another piece than was asked for"));
        }
        progress.carried += chunk.data.len() as u64;
        coming = blocking(move || coming.write(&chunk.data)).await?;
        progress.have = coming.have;
        (way.tell)(progress);
    }
}
