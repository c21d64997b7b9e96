//! Contents of files that the hub keeps to put them on hosts.

use super::bearer::Program;
use super::body::Named;
use super::problem::{Problem, Problems, ProblemsOfBody, ProblemsOfOne};
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use cmdr_protocol::blobs::{self, CHUNK, Delete, Piece, Upload};
use cmdr_protocol::{CallError, ErrorKind};
use http_body_util::BodyExt as _;
use serde::Serialize;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use utoipa::ToSchema;

/// The next bytes have to come within so long.
const PATIENCE: Duration = Duration::from_secs(30);

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
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What stays is removed at the next start.
        std::fs::remove_file(&self.path).ok();
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
    fn create(folder: &Path) -> std::io::Result<Self> {
        cmdr_link::files::private_dir(folder)?;
        let mut name = [0; 16];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut name)
            .map_err(|_| std::io::Error::other("no random numbers"))?;
        let path = folder.join(data_encoding::HEXLOWER.encode(&name));
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file: Arc::new(file) })
    }

    /// Takes a body; its hash and size.
    async fn take(&self, mut body: Body, most: u64) -> Result<(String, u64), Problem> {
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
                return Err(Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    ErrorKind::Malformed,
                    format!(
                        "the file is larger than {} MiB; the hub's configuration can allow more ([api.limits] largest_file_mb)",
                        most >> 20
                    ),
                ));
            }
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
        let written = aside(move || (&*file).write_all(&bytes)).await;
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

/// Gives a content to the hub.
async fn upload(program: &Program, hash: &str, size: u64, from: Source) -> Result<(), Problem> {
    let lost = || Problem::from(CallError::lost("the hub did not say that it has the file"));
    let mut feed = program.feed(&Upload { hash: hash.to_owned(), size }).await?;
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
    let folder = folder(hub.audit.dir());
    let spool = aside(move || Spool::create(&folder))
        .await
        .map_err(|e| broke("making a place for the file", &e))?;
    let (file, size) = spool.take(request.into_body(), most).await?;
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
    let listing = program.ask(&blobs::List {}).await?;
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
