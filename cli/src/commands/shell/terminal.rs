//! Our own terminal: raw while a session is in it, and given back as it was however that ends.

use super::passage::Modes;
use cmdr_protocol::sessions::{Size, WINDOW};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Pieces that wait to be written.
const PIECES: usize = 16;
/// Bytes read from the keyboard at once.
const KEYS: usize = 4096;
/// What is under way is shown within so long, when a key stops the rest.
const SHOWN: Duration = Duration::from_millis(40);
/// So much has to be written before its pace says anything.
const MEASURED: u64 = 64 * 1024;

/// The terminal's size, or the usual one.
pub(in crate::commands) fn size() -> Size {
    let size = tcgetwinsize(rustix::stdio::stdout()).ok();
    let size = size.filter(|size| size.ws_col > 0 && size.ws_row > 0);
    size.map_or_else(Size::default, |size| Size {
        columns: size.ws_col.min(1000),
        rows: size.ws_row.min(1000),
    })
}

/// A raw terminal. Dropping it gives it back.
#[derive(Debug)]
pub(in crate::commands) struct Raw {
    before: Termios,
    modes: Arc<Mutex<Modes>>,
}

impl Raw {
    /// Makes the terminal raw; `modes` are what the session has set in it.
    pub(in crate::commands) fn enter(modes: Arc<Mutex<Modes>>) -> io::Result<Self> {
        let before = tcgetattr(rustix::stdio::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self { before, modes })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let undo = self.modes.lock().unwrap_or_else(PoisonError::into_inner).undo();
        // A terminal that is gone needs nothing back.
        let mut out = io::stdout().lock();
        out.write_all(&undo).and_then(|()| out.flush()).ok();
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.before).ok();
    }
}

/// What is typed. Read by a thread of its own, because a keyboard may give nothing for hours.
pub(in crate::commands) fn keyboard() -> io::Result<mpsc::Receiver<Vec<u8>>> {
    let mut keyboard = File::from(rustix::io::dup(rustix::stdio::stdin())?);
    let (send, keys) = mpsc::channel(4);
    std::thread::Builder::new().name("keyboard".into()).spawn(move || {
        let mut buffer = vec![0; KEYS];
        loop {
            match keyboard.read(&mut buffer) {
                Ok(n @ 1..) if send.blocking_send(buffer[..n].to_vec()).is_ok() => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    })?;
    Ok(keys)
}

/// What was written, and how fast.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct Pace {
    /// Bytes of output that are on the terminal.
    pub(in crate::commands) taken: u64,
    /// Bytes that may be under way.
    pub(in crate::commands) window: u32,
}

/// The way to the terminal. A thread writes, so that one that stands still holds up nothing else.
#[derive(Debug)]
pub(in crate::commands) struct Paper {
    pieces: mpsc::Sender<(Vec<u8>, u64)>,
    /// How far it is.
    pub(in crate::commands) pace: watch::Receiver<Pace>,
    /// Bytes of output handed over.
    pub(in crate::commands) given: u64,
}

impl Paper {
    pub(in crate::commands) fn new() -> io::Result<Self> {
        let mut out = File::from(rustix::io::dup(rustix::stdio::stdout())?);
        let (pieces, mut waiting) = mpsc::channel::<(Vec<u8>, u64)>(PIECES);
        let (tell, pace) = watch::channel(Pace { taken: 0, window: WINDOW });
        std::thread::Builder::new().name("terminal".into()).spawn(move || {
            let (mut written, mut took) = (0, Duration::ZERO);
            while let Some((bytes, stands_for)) = waiting.blocking_recv() {
                let begun = Instant::now();
                if out.write_all(&bytes).is_err() {
                    return;
                }
                written += bytes.len() as u64;
                took += begun.elapsed();
                let mut window = tell.borrow().window;
                if written >= MEASURED {
                    let fits = written as f64 / took.as_secs_f64() * SHOWN.as_secs_f64();
                    window = fits.clamp(4096.0, f64::from(WINDOW)) as u32;
                    (written, took) = (0, Duration::ZERO);
                }
                tell.send_modify(|pace| {
                    *pace = Pace { taken: pace.taken + stands_for, window };
                });
            }
        })?;
        Ok(Self { pieces, pace, given: 0 })
    }

    /// Hands over bytes that stand for so many of the session's; false when nobody can see them.
    pub(in crate::commands) async fn write(&mut self, bytes: Vec<u8>, stands_for: u64) -> bool {
        self.given += stands_for;
        self.pieces.send((bytes, stands_for)).await.is_ok()
    }

    /// Waits until all is written, but not for good.
    pub(in crate::commands) async fn finish(self) {
        let Self { pieces, mut pace, .. } = self;
        drop(pieces);
        let written = async { while pace.changed().await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(2), written).await.ok();
    }
}
