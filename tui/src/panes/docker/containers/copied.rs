//! Files and folders of this machine into a container, and of a container here, as they are: they travel as an archive
//! that is packed and laid out on the way. Used by what asks for it ([`super::archives`]).

use super::archives::{WAITING, bytes};
use crate::action::Action;
use crate::link::Link;
use crate::panes::files::carry;
use crate::store::files::{State, Told};
use cmdr_link::laid::{Place, Source};
use cmdr_protocol::containers::NO_SUCH;
use cmdr_protocol::containers::change::{CopyIn, CopyOut};
use cmdr_protocol::display::clean;
use cmdr_protocol::files::{CHUNK, Chunk, Sum};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::io::{Read, Write as _};
use tokio::sync::{mpsc, watch};

fn broken(error: impl std::fmt::Display) -> CallError {
    CallError::failed(error.to_string())
}

/// Lays what comes out of a container out here, and puts it in its place when all of it is there.
pub(super) async fn out(
    link: Link,
    host: HostId,
    feed: CopyOut,
    place: Place,
    tell: watch::Sender<Told>,
) -> carry::Ended {
    let mut items = link.feed(Some(host), feed).await?;
    let (read, mut write) = std::io::pipe().map_err(broken)?;
    let laying = tokio::task::spawn_blocking(move || place.lay(read));
    let (pieces, mut come) = mpsc::channel::<Vec<u8>>(WAITING);
    let pouring = tokio::task::spawn_blocking(move || {
        while let Some(piece) = come.blocking_recv() {
            // Who lays it out says why when that ends early.
            if write.write_all(&piece).is_err() {
                break;
            }
        }
    });
    let (mut have, mut whole) = (0, None);
    while let Some(item) = items.next().await {
        let Chunk { data, sum, .. } = item?;
        have += data.len() as u64;
        bytes(&tell, have, 0);
        whole = sum.map(|sum| sum.size).or(whole);
        if !data.is_empty() && pieces.send(data).await.is_err() {
            break;
        }
    }
    drop(pieces);
    pouring.await.map_err(broken)?;
    let laid = laying.await.map_err(broken)??;
    if whole != Some(have) {
        return Err(crate::link::cut_short());
    }
    laid.keep()?;
    Ok((State::Done, Action::None))
}

/// Packs what is here and sends it as it is packed. `not_copied` says that there was something that is no file.
pub(super) async fn into(
    link: Link,
    host: HostId,
    feed: CopyIn,
    source: Source,
    not_copied: &'static str,
    tell: watch::Sender<Told>,
) -> carry::Ended {
    let is_folder = is_folder(&link, host, &feed).await?;
    let (folder, name) = source.aim(&feed.path, is_folder)?;
    let feed = CopyIn { path: folder, ..feed };
    let (read, write) = std::io::pipe().map_err(broken)?;
    let packing = tokio::task::spawn_blocking(move || source.pack(&name, write));
    send(&link, host, feed, read, 0, &tell).await?;
    let passed_over = packing.await.map_err(broken)??;
    let said = match &*passed_over {
        [] => Action::None,
        [one] => Action::Complain(not_copied.replacen("{}", &clean(one), 1)),
        [one, rest @ ..] => {
            let those = format!("{} +{}", clean(one), rest.len());
            Action::Complain(not_copied.replacen("{}", &those, 1))
        }
    };
    Ok((State::Done, said))
}

/// Whether a path in a container is a folder; one that is not there is none.
async fn is_folder(link: &Link, host: HostId, call: &CopyIn) -> Result<bool, CallError> {
    let path = format!("{}/.", call.path.trim_end_matches('/'));
    let look = CopyOut { container: call.container.clone(), path };
    let mut feed = link.feed(Some(host), look).await?;
    match feed.next().await {
        Some(Ok(_)) => Ok(true),
        Some(Err(error)) if error.message.contains(NO_SUCH) => Err(error),
        Some(Err(error)) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Malformed) => {
            Ok(false)
        }
        Some(Err(error)) => Err(error),
        None => Err(crate::link::cut_short()),
    }
}

/// Sends an archive of about so many bytes as it is read.
pub(super) async fn send(
    link: &Link,
    host: HostId,
    feed: CopyIn,
    mut source: impl Read + Send + 'static,
    size: u64,
    tell: &watch::Sender<Told>,
) -> Result<(), CallError> {
    let (mut items, mut inputs) = link.both(Some(host), feed).await?;
    let (pieces, mut read) = mpsc::channel::<std::io::Result<Vec<u8>>>(WAITING);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = Vec::new();
            let got = source.by_ref().take(CHUNK as u64 / 2).read_to_end(&mut piece);
            let piece = got.map(|_| piece);
            let over = !matches!(&piece, Ok(piece) if !piece.is_empty());
            // Nobody takes it any more when it was given up.
            if pieces.blocking_send(piece).is_err() || over {
                return;
            }
        }
    });
    let sending = async {
        let mut at = 0;
        while let Some(piece) = read.recv().await {
            let data = piece.map_err(broken)?;
            let length = data.len() as u64;
            let sum = data.is_empty().then(|| Sum { size: at, ..Sum::default() });
            // The host has said why when it takes no more.
            if inputs.send(&Chunk { at, data, sum, ..Chunk::default() }).await.is_err() {
                break;
            }
            at += length;
            bytes(tell, at, size);
        }
        // Held open: the end of what is sent is not the end of what is asked.
        std::future::pending::<Result<(), CallError>>().await
    };
    let ending = async {
        while let Some(item) = items.next().await {
            item?;
        }
        Ok::<(), CallError>(())
    };
    tokio::select! {
        ended = ending => ended,
        broken = sending => broken,
    }
}
