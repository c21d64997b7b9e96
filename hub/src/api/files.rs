//! Contents of files that the hub keeps to put them on hosts.

use super::bearer::Program;
use super::body::Named;
use super::places::{Place, Places};
use super::problem::{Problem, Problems, ProblemsOfBody, ProblemsOfOne};
use super::room::Full;
use super::settings::Limits;
use crate::audit::trail;
use crate::rights::Missing;
use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use cmdr_protocol::blobs::{self, CHUNK, Delete, Piece, Upload};
use cmdr_protocol::envelope::{Header, Kind};
use cmdr_protocol::{CallError, ErrorKind, Feed as _, KeyId, methods};
use http_body_util::BodyExt as _;
use serde::Serialize;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use utoipa::ToSchema;

/// The next bytes have to come within so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// And all of them.
const ALL: Duration = Duration::from_hours(1);
/// Files on their way at once, and those with one key.
const AT_ONCE: usize = 16;
const WITH_ONE: usize = 4;
/// All together may be so many times as large as the largest one.
const TOGETHER: u64 = 4;

/// Files on their way: how many, with which key, and how many bytes they have.
#[derive(Clone)]
pub(super) struct Spools {
    places: Places,
    bytes: Arc<AtomicU64>,
    most: u64,
}

/// A share of the bytes of all; given back when dropped.
struct Share {
    spools: Spools,
    bytes: u64,
    _place: Place,
}

impl Spools {
    pub(super) fn new(limits: &Limits) -> Self {
        let most = limits.largest_file_mb.get().saturating_mul(TOGETHER << 20);
        Self { places: Places::new(AT_ONCE, WITH_ONE), bytes: Arc::default(), most }
    }

    fn enter(&self, key: KeyId) -> Result<Share, Problem> {
        let place = self.places.take(key).map_err(|full| {
            let what = match full {
                Full::All => format!("{AT_ONCE} files are"),
                Full::Key => format!("{WITH_ONE} files with this key are"),
            };
            let what = format!("{what} on their way already; try again when one is here");
            Problem::from(CallError::new(ErrorKind::Busy, what))
        })?;
        Ok(Share { spools: self.clone(), bytes: 0, _place: place })
    }
}

impl Share {
    /// Takes so many more bytes.
    fn grow(&mut self, bytes: u64) -> Result<(), Problem> {
        let before = self.spools.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before.saturating_add(bytes) > self.spools.most {
            return Err(Problem::from(CallError::new(
                ErrorKind::Busy,
                "the files that are on their way are too large together; try again later",
            )));
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.spools.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A content that the hub has.
#[derive(Serialize, ToSchema)]
pub(super) struct Stored {
    /// BLAKE3 in hexadecimal: how orders name it.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    file: String,
    /// Bytes.
    size: u64,
}

/// A content that the hub has, in a list.
#[derive(Serialize, ToSchema)]
struct Blob {
    #[schema(pattern = "^[0-9a-f]{64}$")]
    file: String,
    size: u64,
    /// When it was last used, milliseconds since 1970.
    used_ms: u64,
    /// It has arrived as a whole.
    whole: bool,
}

/// The contents that the hub has.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "as it is called in the answer")]
pub(super) struct Files {
    /// Those used last come first.
    files: Vec<Blob>,
    /// Bytes of all together.
    bytes: u64,
    /// Bytes that they may have.
    most: u64,
}

/// The folder of uploads that are not whole yet, beside the audit log.
pub(super) fn folder(audit: &Path) -> PathBuf {
    audit.parent().unwrap_or(audit).join("uploads")
}

/// A file on its way; gone when dropped.
struct Spool {
    path: PathBuf,
    file: Arc<File>,
    share: Share,
}

impl Drop for Spool {
    fn drop(&mut self) {
        let (path, file) = (std::mem::take(&mut self.path), self.file.clone());
        let remove = move || {
            // What stays is removed at the next start.
            std::fs::remove_file(path).ok();
            // Whoever closes it last waits for the disk to free all its bytes.
            drop(file);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

fn broke(what: &str, e: &std::io::Error) -> Problem {
    let reason = cmdr_link::files::reason(e);
    Problem::from(CallError::new(ErrorKind::Busy, format!("{what}: {reason}")))
}

/// Does what may wait for the disk where nobody else waits for it.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

impl Spool {
    fn create(folder: &Path, share: Share) -> std::io::Result<Self> {
        cmdr_link::files::private_dir(folder)?;
        let mut name = [0; 16];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut name)
            .map_err(|_| std::io::Error::other("no random numbers"))?;
        let path = folder.join(data_encoding::HEXLOWER.encode(&name));
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file: Arc::new(file), share })
    }

    /// Takes a body; its hash and size.
    async fn take(&mut self, mut body: Body, most: u64) -> Result<(String, u64), Problem> {
        let too_large = || {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                ErrorKind::Malformed,
                format!(
                    "the file is larger than {} MiB; the hub's configuration can allow more ([api.limits] largest_file_mb)",
                    most >> 20
                ),
            )
        };
        if body.size_hint().lower() > most {
            return Err(too_large());
        }
        let (mut hasher, mut size) = (blake3::Hasher::new(), 0u64);
        let mut waiting = Vec::with_capacity(CHUNK);
        loop {
            let frame = timeout(PATIENCE, body.frame()).await.map_err(|_| {
                Problem::new(
                    StatusCode::REQUEST_TIMEOUT,
                    ErrorKind::TimedOut,
                    format!("no bytes of the file came for {} s", PATIENCE.as_secs()),
                )
            })?;
            let Some(frame) = frame else { break };
            let frame =
                frame.map_err(|e| Problem::malformed(format!("the file broke off: {e}")))?;
            let Ok(bytes) = frame.into_data() else { continue };
            size += bytes.len() as u64;
            if size > most {
                return Err(too_large());
            }
            self.share.grow(bytes.len() as u64)?;
            hasher.update(&bytes);
            waiting.extend_from_slice(&bytes);
            if waiting.len() >= CHUNK {
                self.write(std::mem::take(&mut waiting)).await?;
            }
        }
        self.write(waiting).await?;
        Ok((hasher.finalize().to_hex().to_string(), size))
    }

    async fn write(&self, bytes: Vec<u8>) -> Result<(), Problem> {
        let file = self.file.clone();
        let writing = move || {
            cmdr_link::blobs::leaves_room(&file, bytes.len() as u64)?;
            (&*file).write_all(&bytes)
        };
        let written = aside(writing).await;
        written.map_err(|e| broke("writing the file", &e))
    }
}

/// Where the bytes of a content come from.
enum Source {
    File(Arc<File>),
    Bytes(Bytes),
}

impl Source {
    /// The next piece; empty at the end.
    async fn piece(&self, at: u64) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => {
                let from = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                let to = (from + CHUNK).min(bytes.len());
                Ok(bytes[from..to].to_vec())
            }
            Self::File(file) => {
                let file = file.clone();
                aside(move || {
                    let mut piece = vec![0; CHUNK];
                    let n = file.read_at(&mut piece, at)?;
                    piece.truncate(n);
                    Ok(piece)
                })
                .await
            }
        }
    }
}

/// Whether a program may send contents at all: asked before one is taken in. Which one is decided when it is known.
async fn may_upload(program: &Program) -> Result<(), Problem> {
    let (hub, method) = (&program.api.hub, Upload::METHOD);
    let index = methods::index(method).ok_or_else(|| {
        Problem::from(CallError::failed(format!("{method} is not in the table of methods")))
    })?;
    let who = hub.who(&program.caller);
    let Err(missing) = hub.decide(&who, index, None, None) else { return Ok(()) };
    let why = missing.told(&who, method, "blob:*");
    let kind = match missing {
        Missing::Request => ErrorKind::OnRequest,
        _ => ErrorKind::Denied,
    };
    let error = CallError::new(
        kind,
        format!("{method} is not allowed for {}: {why}", program.caller.operator),
    );
    let header = Header {
        to: None,
        method: method.to_owned(),
        kind: Kind::Feed,
        resource: String::new(),
        deadline_ms: None,
        trace: 0,
        caller: None,
    };
    trail::denied(hub, &program.caller, &header, &error).await;
    Err(Problem::from(error))
}

/// Gives a content to the hub.
async fn upload(program: &Program, hash: &str, size: u64, from: Source) -> Result<(), Problem> {
    let lost = || Problem::from(CallError::lost("the hub did not say that it has the file"));
    let mut feed = program.upload(&Upload { hash: hash.to_owned(), size }).await?;
    let first = feed.next().await.ok_or_else(lost)??;
    if first.whole {
        return Ok(());
    }
    let mut at = first.have;
    while at < size {
        let data = from.piece(at).await.map_err(|e| broke("reading the file", &e))?;
        if data.is_empty() {
            return Err(lost());
        }
        let next = at + data.len() as u64;
        feed.send(&Piece { at, data }).await?;
        at = next;
    }
    while let Some(stored) = feed.next().await {
        if stored?.whole {
            return Ok(());
        }
    }
    Err(lost())
}

/// Keeps a content that came with a request; how orders name it.
pub(super) async fn keep(program: &Program, content: Vec<u8>) -> Result<String, Problem> {
    let hash = blake3::hash(&content).to_hex().to_string();
    let size = content.len() as u64;
    upload(program, &hash, size, Source::Bytes(content.into())).await?;
    Ok(hash)
}

/// Uploads a file.
///
/// Its content is kept under its hash, so that orders can name it; one that is there already is not kept twice.
#[utoipa::path(
    post, path = "/v1/files", operation_id = "uploadFile", tag = "files",
    request_body(content = String, content_type = "application/octet-stream", description = "The file's bytes"),
    responses((status = 201, description = "The hub has it", body = Stored), ProblemsOfBody),
    security(("key" = []))
)]
pub(super) async fn store(
    program: Program,
    request: Request,
) -> Result<(StatusCode, axum::Json<Stored>), Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/octet-stream") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorKind::Malformed,
            "send the file's bytes with 'Content-Type: application/octet-stream'",
        ));
    }
    let hub = &program.api.hub;
    let most = hub.config.api.limits.largest_file_mb.get().saturating_mul(1 << 20);
    may_upload(&program).await?;
    let (share, folder) = (program.api.spools.enter(program.caller.key)?, folder(hub.audit.dir()));
    let mut spool = aside(move || Spool::create(&folder, share))
        .await
        .map_err(|e| broke("making a place for the file", &e))?;
    let taken = timeout(ALL, spool.take(request.into_body(), most)).await.map_err(|_| {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            ErrorKind::TimedOut,
            format!("the file did not come within {} min", ALL.as_secs() / 60),
        )
    });
    let (file, size) = taken??;
    upload(&program, &file, size, Source::File(spool.file.clone())).await?;
    Ok((StatusCode::CREATED, axum::Json(Stored { file, size })))
}

/// Lists files that the hub keeps.
#[utoipa::path(
    get, path = "/v1/files", operation_id = "listFiles", tag = "files",
    responses((status = 200, description = "The files", body = Files), Problems),
    security(("key" = []))
)]
pub(super) async fn list(program: Program) -> Result<axum::Json<Files>, Problem> {
    let mut listing = program.ask_all(blobs::List::all()).await?;
    listing.blobs.sort_by(|a, b| b.used_ms.cmp(&a.used_ms).then_with(|| a.hash.cmp(&b.hash)));
    let blob = |blob: blobs::Blob| Blob {
        file: blob.hash,
        size: blob.size,
        used_ms: blob.used_ms,
        whole: blob.whole,
    };
    let files = listing.blobs.into_iter().map(blob).collect();
    Ok(axum::Json(Files { files, bytes: listing.bytes, most: listing.most }))
}

/// Takes a file away.
#[utoipa::path(
    delete, path = "/v1/files/{file}", operation_id = "deleteFile", tag = "files",
    params(("file" = String, Path, description = "Its hash")),
    responses((status = 204, description = "It is gone"), ProblemsOfOne),
    security(("key" = []))
)]
pub(super) async fn delete(
    program: Program,
    Named(file): Named<String>,
) -> Result<StatusCode, Problem> {
    let shown = cmdr_protocol::display::clean_to_width(&file, 64);
    if program.ask(&Delete { hash: file }).await?.already {
        return Err(Problem::not_found(format!(
            "the hub has no file '{shown}'; GET /v1/files lists them"
        )));
    }
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;
    use std::num::NonZeroU64;

    fn spools() -> Spools {
        let largest_file_mb = NonZeroU64::new(1).unwrap();
        Spools::new(&Limits { largest_file_mb, ..Limits::default() })
    }

    #[test]
    fn files_on_their_way_are_few_with_one_key_and_bounded_together() {
        let spools = spools();
        let (one, other) = (KeyId([1; 16]), KeyId([2; 16]));
        let mut own: Vec<_> = (0..WITH_ONE).map(|_| spools.enter(one).ok().unwrap()).collect();
        assert!(spools.enter(one).is_err());
        let mut others = spools.enter(other).ok().unwrap();
        for share in &mut own {
            assert!(share.grow(1 << 20).is_ok());
        }
        assert!(others.grow(1).is_err(), "all together have what they may");
        drop((own, others));
        assert_eq!(spools.bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_file_that_says_it_is_too_large_is_refused_before_its_bytes_come() {
        let dir = tempfile::tempdir().unwrap();
        let share = spools().enter(KeyId([1; 16])).ok().unwrap();
        let mut spool = Spool::create(dir.path(), share).unwrap();
        let refused = spool.take(Body::from(vec![0; 11]), 10).await.unwrap_err();
        assert_eq!(refused.into_response().status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(spool.share.bytes, 0);
        let (_, size) = spool.take(Body::from(vec![0; 10]), 10).await.ok().unwrap();
        assert_eq!((size, spool.share.bytes), (10, 10));
    }
}
