//! `docker cp`: files and folders out of a container and into one, as they are or as an archive.

use super::containers::failed;
use crate::App;
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use clap::Args;
use cmdr_link::laid;
use cmdr_protocol::containers::NO_SUCH;
use cmdr_protocol::containers::change::{CopyIn, CopyOut};
use cmdr_protocol::files::{CHUNK, Chunk, Sum};
use cmdr_protocol::{CallError, ErrorKind, Feed};
use std::io::{IsTerminal as _, Read, Write as _};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Copy files and folders out of a container, or into it.
///
/// One side is CONTAINER:PATH, the other a file or folder here, or '-' for an archive (tar) on standard output or
/// input. As with docker: what is copied to a folder that is there goes into it; a folder that ends in '/.' means
/// what is in it. What comes belongs to whoever runs this, what goes into a container to its root. Into a container from '-'
/// the path is the folder that the archive is laid out in.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cmdr docker cp web1 db:/etc/postgresql .         a folder, into this one
  cmdr docker cp web1 site web:/srv                and into a container
  cmdr docker cp web1 db:/var/lib/x - | tar t      as an archive")]
pub(super) struct CpArgs {
    /// Which host.
    host: String,

    /// From where.
    from: String,

    /// Where to.
    to: String,
}

/// The container and the path in it; none for what is on this machine.
fn inside(text: &str) -> Option<(String, String)> {
    let (container, path) = text.split_once(':')?;
    let here = container.is_empty() || container.contains('/') || container.starts_with('.');
    (!here && !path.is_empty()).then(|| (container.to_owned(), path.to_owned()))
}

pub(super) async fn cp(app: &App, args: &CpArgs) -> Result<Exit, Failure> {
    match (inside(&args.from), inside(&args.to)) {
        (Some((container, path)), None) => out(app, args, CopyOut { container, path }).await,
        (None, Some((container, path))) => into(app, args, CopyIn { container, path }).await,
        _ => Err(Failure::usage("one side is CONTAINER:PATH, the other a file, a folder, or '-'")),
    }
}

pub(super) fn refuse_terminal(app: &App, to: &Path) -> Result<(), Failure> {
    if to == Path::new("-") && app.out.tty_out {
        return Err(Failure::usage("an archive is not for a terminal")
            .hint("name a file, or pass it on: … - | tar t"));
    }
    Ok(())
}

async fn out(app: &App, args: &CpArgs, call: CopyOut) -> Result<Exit, Failure> {
    let to = PathBuf::from(&args.to);
    refuse_terminal(app, &to)?;
    let place = (to != Path::new("-")).then(|| laid::Place::find(&to, &call.path)).transpose()?;
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    let Some(place) = place else {
        return pour(app, &hub, &host, &call, |data| app.out.bytes(data)).await;
    };
    let (read, mut write) = std::io::pipe()?;
    let laying = tokio::task::spawn_blocking(move || place.lay(read));
    let mut over = false;
    let poured = pour(app, &hub, &host, &call, |data| {
        // Who lays it out says why when that ends early.
        over = over || write.write_all(data).is_err();
        if over { Err(Failure::new(Exit::Failed, "it could not be laid out here")) } else { Ok(()) }
    })
    .await;
    drop(write);
    let laid = laying.await.map_err(|e| Failure::new(Exit::Fault, e.to_string()))?;
    match (poured, laid) {
        (Err(_) | Ok(Exit::Ok), Err(why)) => Err(why.into()),
        (Ok(Exit::Ok), Ok(whole)) => Ok(whole.keep().map(|()| Exit::Ok)?),
        // What was not whole goes with what was laid out.
        (poured, _) => poured,
    }
}

/// Hands over an archive as it comes, to its end.
pub(super) async fn pour<F: Feed<Item = Chunk>>(
    app: &App,
    hub: &Hub,
    host: &Target,
    call: &F,
    mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let mut feed = match hub.client.feed(Some(host.id), call).await {
        Ok(feed) => feed,
        Err(e) => return Ok(failed(app, &host.name, e)),
    };
    let (mut length, mut whole) = (0, None);
    loop {
        match feed.next().await {
            Some(Ok(Chunk { data, sum, .. })) => {
                length += data.len() as u64;
                take(&data)?;
                whole = sum.map(|sum| sum.size).or(whole);
            }
            Some(Err(e)) => return Ok(failed(app, &host.name, e)),
            None if whole == Some(length) => return Ok(Exit::Ok),
            None => {
                let what = "the archive was cut off; it is not whole";
                return Err(Failure::new(Exit::Unreachable, what));
            }
        }
    }
}

async fn into(app: &App, args: &CpArgs, call: CopyIn) -> Result<Exit, Failure> {
    let from = PathBuf::from(&args.from);
    let is_archive = from == Path::new("-");
    if is_archive && std::io::stdin().is_terminal() {
        return Err(
            Failure::usage("an archive is not typed").hint("as in: tar c site | cmdr docker cp …")
        );
    }
    let found = (!is_archive).then(|| laid::Source::find(&from)).transpose()?;
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    let Some(source) = found else {
        return send(app, &hub, &host, &call, std::io::stdin()).await;
    };
    let is_folder = match is_folder(app, &hub, &host, &call).await {
        Ok(is_folder) => is_folder,
        Err(e) => return Ok(failed(app, &host.name, e)),
    };
    let (folder, name) = source.aim(&call.path, is_folder)?;
    let call = CopyIn { path: folder, ..call };
    let (read, write) = std::io::pipe()?;
    let packing = tokio::task::spawn_blocking(move || source.pack(&name, write));
    let sent = send(app, &hub, &host, &call, read).await?;
    let packed = packing.await.map_err(|e| Failure::new(Exit::Fault, e.to_string()))?;
    match packed {
        Ok(passed_over) => {
            for what in passed_over {
                app.out.note(&format!("{what}: not copied; it is no file, folder or link"));
            }
            Ok(sent)
        }
        // The host has said why it takes no more.
        Err(_) if sent != Exit::Ok => Ok(sent),
        Err(why) => Err(why.into()),
    }
}

/// Whether a path in a container is a folder; one that is not there is none.
async fn is_folder(app: &App, hub: &Hub, host: &Target, call: &CopyIn) -> Result<bool, CallError> {
    let path = format!("{}/.", call.path.trim_end_matches('/'));
    let look = CopyOut { container: call.container.clone(), path };
    let first = async {
        let mut feed = hub.client.feed(Some(host.id), &look).await?;
        feed.next().await.unwrap_or_else(|| Err(CallError::lost("the answer was cut off")))
    };
    let first = tokio::time::timeout(app.patience(), first).await;
    match first.unwrap_or_else(|_| Err(CallError::new(ErrorKind::TimedOut, "no answer came"))) {
        Ok(_) => Ok(true),
        Err(error) if error.message.contains(NO_SUCH) => Err(error),
        Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Malformed) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sends an archive as it is read.
async fn send(
    app: &App,
    hub: &Hub,
    host: &Target,
    call: &CopyIn,
    mut source: impl Read + Send + 'static,
) -> Result<Exit, Failure> {
    let feed = match hub.client.feed(Some(host.id), call).await {
        Ok(feed) => feed,
        Err(e) => return Ok(failed(app, &host.name, e)),
    };
    let (pieces, mut read) = mpsc::channel::<std::io::Result<Vec<u8>>>(4);
    tokio::task::spawn_blocking(move || {
        loop {
            let mut piece = Vec::new();
            let got = source.by_ref().take(CHUNK as u64 / 2).read_to_end(&mut piece);
            let piece = got.map(|_| piece);
            let over = !matches!(&piece, Ok(piece) if !piece.is_empty());
            if pieces.blocking_send(piece).is_err() || over {
                return;
            }
        }
    });
    let (mut items, mut inputs) = feed.split();
    let sending = async {
        let mut at = 0;
        while let Some(piece) = read.recv().await {
            let data = piece?;
            let length = data.len() as u64;
            let sum = data.is_empty().then(|| Sum { size: at, ..Sum::default() });
            // The host has said why when it takes no more.
            if inputs.send(&Chunk { at, data, sum, ..Chunk::default() }).await.is_err() {
                break;
            }
            at += length;
        }
        // Held open: the end of what is sent is not the end of what is asked.
        std::future::pending::<std::io::Result<Exit>>().await
    };
    let ending = async {
        loop {
            match items.next().await {
                Some(Ok(_)) => {}
                Some(Err(e)) => return failed(app, &host.name, e),
                None => return Exit::Ok,
            }
        }
    };
    tokio::select! {
        exit = ending => Ok(exit),
        broken = sending => broken.map_err(Failure::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_container_is_told_from_what_is_here() {
        assert_eq!(inside("db:/etc"), Some(("db".into(), "/etc".into())));
        for here in ["-", "x.tar", "./db:/etc", "/tmp/a:b", "db:", ":x"] {
            assert_eq!(inside(here), None, "{here}");
        }
    }
}
