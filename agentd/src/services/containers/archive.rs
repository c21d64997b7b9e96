//! Files of a container as archives: all of them, one path, and into a folder.

use super::{caller, check};
use crate::Agent;
use crate::engine::told;
use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{DownloadFromContainerOptions, UploadToContainerOptions};
use bytes::Bytes;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::containers::change::{CopyIn, CopyOut, Export};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::files::{CHUNK, Chunk, Sum};
use cmdr_protocol::{CallError, Feed};
use futures::{Stream, StreamExt as _};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// An archive may be under way so long.
const LONGEST: Duration = Duration::from_hours(24);
/// Pieces that wait for the engine.
const WAITING: usize = 4;
/// The longest path.
const PATH: usize = 4096;

pub(super) async fn export(
    agent: Arc<Agent>,
    asked: Asked,
    call: Export,
    feeding: Feeding<Export>,
) -> Result<(), CallError> {
    check(&call.container)?;
    let engine = agent.engine().await?;
    let attempted = format!("export the container {}", call.container);
    tracing::info!(
        caller = caller(&asked),
        trace = asked.trace,
        container = call.container,
        "container: export"
    );
    send(&attempted, engine.export_container(&call.container), &feeding).await
}

pub(super) async fn copy_out(
    agent: Arc<Agent>,
    asked: Asked,
    call: CopyOut,
    feeding: Feeding<CopyOut>,
) -> Result<(), CallError> {
    check(&call.container)?;
    check_path(&call.path)?;
    let engine = agent.engine().await?;
    let attempted = format!("copy {} out of the container {}", call.path, call.container);
    let (container, path) = (&call.container, &call.path);
    tracing::info!(
        caller = caller(&asked),
        trace = asked.trace,
        container,
        path,
        "container: copy out"
    );
    let options = DownloadFromContainerOptions { path: call.path.clone() };
    send(&attempted, engine.download_from_container(&call.container, Some(options)), &feeding).await
}

fn check_path(path: &str) -> Result<(), CallError> {
    if path.is_empty() || path.len() > PATH || path.contains('\0') {
        return Err(CallError::malformed(format!(
            "'{}' is no path in a container",
            clean_to_width(path, 80)
        )));
    }
    Ok(())
}

/// Hands an archive on as it comes; the last item says how long it was.
async fn send<F: Feed<Item = Chunk>>(
    attempted: &str,
    archive: impl Stream<Item = Result<Bytes, Error>>,
    feeding: &Feeding<F>,
) -> Result<(), CallError> {
    let mut archive = std::pin::pin!(archive);
    let mut at = 0;
    while let Some(bytes) = archive.next().await {
        let bytes = bytes.map_err(|error| told(attempted, &error))?;
        for piece in bytes.chunks(CHUNK) {
            let data = piece.to_vec();
            feeding.send(&Chunk { at, data, ..Chunk::default() }).await?;
            at += piece.len() as u64;
        }
    }
    let sum = Some(Sum { size: at, ..Sum::default() });
    feeding.send(&Chunk { at, sum, ..Chunk::default() }).await
}

pub(super) async fn copy_in(
    agent: Arc<Agent>,
    asked: Asked,
    call: CopyIn,
    mut feeding: Feeding<CopyIn>,
) -> Result<(), CallError> {
    check(&call.container)?;
    check_path(&call.path)?;
    let engine = agent.engine().await?;
    let attempted = format!("copy into {} in the container {}", call.path, call.container);
    let (container, path) = (&call.container, &call.path);
    tracing::info!(
        caller = caller(&asked),
        trace = asked.trace,
        container,
        path,
        "container: copy in"
    );
    let (sender, receiver) = mpsc::channel::<Bytes>(WAITING);
    let pump = async move {
        loop {
            let Chunk { data, sum, .. } = feeding.input().await?;
            // When the engine takes no more it has said why.
            let full = !data.is_empty() && sender.send(data.into()).await.is_err();
            if full || sum.is_some() {
                return Ok(());
            }
        }
    };
    let body = futures::stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|bytes| (bytes, receiver))
    });
    let options =
        UploadToContainerOptions { path: call.path.clone(), ..UploadToContainerOptions::default() };
    let patient = Docker::clone(&engine).with_timeout(LONGEST);
    let upload = async {
        let body = bollard::body_stream(body);
        let result = patient.upload_to_container(&call.container, Some(options), body);
        result.await.map_err(|error| told(&attempted, &error))
    };
    tokio::try_join!(upload, pump).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_path_is_refused() {
        assert!(check_path("/etc/hosts").is_ok());
        assert!(["", "a\0b", &"x".repeat(5000)].iter().all(|bad| check_path(bad).is_err()));
    }
}
