//! Writes output from a thread of its own. A reader that stands still (`| less`) then holds up the
//! hosts, through bounded queues, but never the heartbeat of the link.

use std::fs::File;
use std::io::{self, Write as _};
use tokio::sync::{mpsc, oneshot};

/// Pieces that wait to be written.
const PIECES: usize = 16;

/// Where a piece goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum To {
    Stdout,
    Stderr,
}

/// Bytes to write.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::commands) struct Piece {
    pub(in crate::commands) to: To,
    pub(in crate::commands) bytes: Vec<u8>,
}

/// The way to the thread.
#[derive(Debug)]
pub(in crate::commands) struct Pipe {
    pieces: mpsc::Sender<Piece>,
}

impl Pipe {
    /// Hands a piece over; false when nobody reads standard output any more.
    pub(in crate::commands) async fn send(&self, piece: Piece) -> bool {
        piece.bytes.is_empty() || self.pieces.send(piece).await.is_ok()
    }
}

/// Starts the thread. The receiver tells when all is written after the pipe is dropped.
pub(in crate::commands) fn start() -> io::Result<(Pipe, oneshot::Receiver<io::Result<()>>)> {
    // Copies of the descriptors, without the line buffer of the standard library in between.
    let mut stdout = File::from(rustix::io::dup(rustix::stdio::stdout())?);
    let mut stderr = File::from(rustix::io::dup(rustix::stdio::stderr())?);
    let (pieces, mut waiting) = mpsc::channel::<Piece>(PIECES);
    let (tell, written) = oneshot::channel();
    std::thread::Builder::new().name("output".into()).spawn(move || {
        let mut write = || {
            while let Some(piece) = waiting.blocking_recv() {
                match piece.to {
                    To::Stdout => stdout.write_all(&piece.bytes)?,
                    // Words that nobody reads are no reason to stop.
                    To::Stderr => drop(stderr.write_all(&piece.bytes)),
                }
            }
            Ok(())
        };
        let result: io::Result<()> = write();
        // Whoever asked may have been interrupted.
        drop(tell.send(result));
    })?;
    Ok((Pipe { pieces }, written))
}
