//! How a content is sent out of a file: by a client to the hub, by the hub to a host.

use super::{blocking, joined, wrong};
use crate::client::Client;
use cmdr_protocol::blobs::{CHUNK, Piece, Stored};
use cmdr_protocol::{CallError, ErrorKind, Feed, HostId};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

/// Sends a content out of a file that does not change, over one link. `tell` hears how many bytes are there. Says how
/// many were sent.
pub async fn send<F>(
    client: &Client,
    to: Option<HostId>,
    feed: &F,
    (file, size): (File, u64),
    tell: &(dyn Fn(u64) + Send + Sync),
) -> Result<u64, CallError>
where
    F: Feed<Input = Piece, Item = Stored>,
{
    let broken = || CallError::lost("it was ended half-way");
    let (mut items, mut inputs) = client.feed(to, feed).await?.split();
    let first = items.next().await.ok_or_else(broken)??;
    tell(first.have);
    if first.whole {
        return Ok(0);
    }
    let begin = first.have;
    let file = Arc::new(file);
    let sending = async move {
        let mut at = begin;
        let mut reading = tokio::spawn(piece(file.clone(), at, size));
        while at < size {
            let data = joined(reading.await)?;
            if data.is_empty() {
                return Err(CallError::new(
                    ErrorKind::Conflict,
                    "the file became shorter while it was sent",
                ));
            }
            let next = at + data.len() as u64;
            reading = tokio::spawn(piece(file.clone(), next, size));
            inputs.send(&Piece { at, data }).await?;
            at = next;
        }
        // Held open: to drop it would mean to give up.
        Ok::<_, CallError>(inputs)
    };
    let mut sending = std::pin::pin!(sending);
    let mut sent = None;
    loop {
        tokio::select! {
            biased;
            item = items.next() => {
                let item = item.ok_or_else(broken)??;
                tell(item.have);
                if item.whole {
                    return Ok(size - begin);
                }
            }
            done = &mut sending, if sent.is_none() => match done {
                Ok(inputs) => sent = Some(inputs),
                Err(e) if e.kind == ErrorKind::Lost => {
                    // The other side has said why, if it was the other side.
                    let said = async {
                        loop {
                            match items.next().await {
                                Some(Ok(_)) => {}
                                Some(Err(said)) => return Some(said),
                                None => return None,
                            }
                        }
                    };
                    let said = tokio::time::timeout(Duration::from_secs(1), said).await;
                    return Err(said.ok().flatten().unwrap_or(e));
                }
                Err(e) => return Err(e),
            },
        }
    }
}

async fn piece(file: Arc<File>, at: u64, size: u64) -> Result<Vec<u8>, CallError> {
    if at >= size {
        return Ok(Vec::new());
    }
    blocking(move || {
        let length = usize::try_from(size - at).unwrap_or(CHUNK).min(CHUNK);
        let mut data = vec![0; length];
        let mut got = 0;
        while got < length {
            match file.read_at(&mut data[got..], at + got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(wrong("reading a content", &e)),
            }
        }
        data.truncate(got);
        Ok(data)
    })
    .await
}
