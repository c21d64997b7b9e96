//! A session in a container: what the container itself runs, or a program that was begun in it. The engine has the terminal;
//! here bytes, sizes and signals are carried to it and back.

use super::remote::{Begun, Line, Remote, ends};
use crate::engine::told;
use crate::inside::{self, Demux, NO_DETACHING, Output, Piece, line, process};
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::exec::Outcome;
use cmdr_protocol::sessions::Size;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

/// The code of a session whose connection was lost, as that of one over SSH.
const LOST: i32 = 255;
/// A farewell is not waited for longer.
const FAREWELL: Duration = Duration::from_secs(1);
/// A program that was just begun has no size yet; it is told for so long until it takes one.
const SIZING: Duration = Duration::from_secs(5);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(10);
/// The engine knows within so long that a container has ended.
const ENDING: Duration = Duration::from_secs(5);

/// Where a session is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Inside {
    /// The engine's.
    pub(crate) socket: PathBuf,
    pub(crate) proc_root: PathBuf,
    /// As it was asked for, for people.
    pub(crate) container: String,
    pub(crate) at: At,
}

/// At what in the container.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum At {
    /// A program that the engine knows by this number and has not begun yet.
    Exec(String),
    /// What the container itself runs.
    Main { id: String, tty: bool },
}

type Stream = TokioIo<Upgraded>;

/// What the engine says of a container that has ended.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Waited {
    status_code: i32,
}

/// Begins the program, or attaches.
pub(super) async fn begin(inside: Inside, size: Size) -> Result<Begun, CallError> {
    let stream = match &inside.at {
        At::Exec(id) => {
            let start = json!({
                "Detach": false, "Tty": true, "ConsoleSize": [size.rows, size.columns],
            });
            line::upgrade(&inside.socket, &format!("/exec/{id}/start"), Some(&start)).await
        }
        At::Main { id, .. } => {
            let path = format!(
                "/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1&detachKeys={}",
                NO_DETACHING.replace('^', "%5E").replace('@', "%40").replace(',', "%2C")
            );
            line::upgrade(&inside.socket, &path, None).await
        }
    };
    let attempted = format!("begin a session in the container {}", inside.container);
    let stream = stream.map_err(|e| told(&attempted, &e))?;
    let made = ends(size);
    let (terminal, line) =
        made.map_err(|e| CallError::failed(format!("making the session's terminal: {e}")))?;
    let stop = Arc::new(Notify::new());
    let carrying = tokio::spawn(run(inside, stream, line, size, stop.clone()));
    Ok((terminal, Remote::new(carrying, stop)))
}

/// How carrying ended.
enum Over {
    /// The engine ended the connection.
    Stream,
    /// It is not wanted any more, and what is at the other end was left alone.
    Left,
    /// What is at the other end shall go.
    Stopped,
}

async fn run(
    inside: Inside,
    stream: Stream,
    line: Line,
    size: Size,
    stop: Arc<Notify>,
) -> (Outcome, i32) {
    let Line { stream: pipe, sizes, signals } = line;
    let (keys, mut screen) = pipe.into_split();
    let (from, to) = tokio::io::split(stream);
    let over = tokio::select! {
        () = inside.back(from, &mut screen) => Over::Stream,
        () = inside.typed(to, keys) => Over::Stream,
        () = inside.sized(size, sizes) => Over::Stream,
        () = inside.signalled(signals) => Over::Left,
        () = stop.notified() => Over::Stopped,
    };
    match over {
        Over::Left => return (Outcome::Signalled, Signal::HUP.as_raw()),
        Over::Stopped => {
            inside.kill().await;
            return (Outcome::Signalled, Signal::KILL.as_raw());
        }
        Over::Stream => {}
    }
    if let Some(code) = inside.code().await {
        return (Outcome::Exited, code);
    }
    let name = clean_to_width(&inside.container, 100);
    let words =
        format!("\r\n\x1b[0;2mcmdr: the connection to the container {name} was lost\x1b[0m\r\n");
    // Nobody may be reading any more.
    timeout(FAREWELL, screen.write_all(words.as_bytes())).await.ok();
    (Outcome::Exited, LOST)
}

impl Inside {
    fn is_terminal(&self) -> bool {
        matches!(self.at, At::Exec(_) | At::Main { tty: true, .. })
    }

    /// What is written, until there is no more.
    async fn back(&self, mut from: ReadHalf<Stream>, screen: &mut OwnedWriteHalf) {
        let (mut demux, mut buffer) = (Demux::default(), vec![0; 16 * 1024]);
        let mut lines = Lines::default();
        loop {
            let Ok(n @ 1..) = from.read(&mut buffer).await else { return };
            let written = if self.is_terminal() {
                screen.write_all(&buffer[..n]).await
            } else {
                let mut shown = Vec::with_capacity(n + 64);
                demux.push(&buffer[..n], |piece| {
                    if let Piece::Bytes(Output::Out | Output::Err, bytes) = piece {
                        lines.push(bytes, &mut shown);
                    }
                });
                screen.write_all(&shown).await
            };
            if written.is_err() {
                return;
            }
        }
    }

    /// Carries keys; ends never, because what comes back tells why they cannot be.
    async fn typed(&self, mut to: WriteHalf<Stream>, mut keys: OwnedReadHalf) {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(n @ 1..) = keys.read(&mut buffer).await {
            if !self.is_terminal() {
                // Without a terminal nobody makes line ends of these.
                buffer[..n].iter_mut().filter(|b| **b == b'\r').for_each(|b| *b = b'\n');
            }
            if to.write_all(&buffer[..n]).await.is_err() || to.flush().await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Tells sizes; never ends.
    async fn sized(&self, first: Size, mut sizes: watch::Receiver<Size>) {
        if !self.is_terminal() {
            return std::future::pending().await;
        }
        if matches!(self.at, At::Main { .. }) {
            // A program draws itself anew only for a size that is another one.
            self.resize(Size { rows: first.rows.saturating_add(1), ..first }).await;
        }
        let until = Instant::now() + SIZING;
        loop {
            let size = *sizes.borrow_and_update();
            if self.resize(size).await || Instant::now() >= until {
                break;
            }
            sleep(AGAIN).await;
        }
        while sizes.changed().await.is_ok() {
            let size = *sizes.borrow_and_update();
            self.resize(size).await;
        }
        std::future::pending::<()>().await;
    }

    async fn resize(&self, size: Size) -> bool {
        let what = match &self.at {
            At::Exec(id) => format!("/exec/{id}"),
            At::Main { id, .. } => format!("/containers/{id}"),
        };
        let path = format!("{what}/resize?h={}&w={}", size.rows, size.columns);
        line::tell(&self.socket, "POST", &path).await.is_ok()
    }

    /// Passes signals on; ends when it is hung up and nothing has to go with it.
    async fn signalled(&self, mut signals: mpsc::Receiver<Signal>) {
        while let Some(signal) = signals.recv().await {
            let hangs_up = signal == Signal::HUP;
            match &self.at {
                At::Main { .. } if hangs_up => return,
                // Whoever may type to a container may not end it otherwise.
                At::Main { .. } => {}
                At::Exec(id) => {
                    if let Some(exec) = inside::running(&self.socket, id).await {
                        process::signal(&self.proc_root, exec.pid, &exec.container, signal);
                    }
                }
            }
        }
        std::future::pending::<()>().await;
    }

    async fn kill(&self) {
        let At::Exec(id) = &self.at else { return };
        if let Some(exec) = inside::running(&self.socket, id).await {
            process::kill(&self.proc_root, exec.pid, &exec.container);
        }
    }

    /// How what was at the other end has ended.
    async fn code(&self) -> Option<i32> {
        let id = match &self.at {
            At::Exec(id) => return inside::exec_code(&self.socket, id).await,
            At::Main { id, .. } => id,
        };
        let path = format!("/containers/{id}/wait");
        let waiting = line::json::<Waited>(&self.socket, "POST", &path, None);
        timeout(ENDING, waiting).await.ok()?.ok().map(|waited| waited.status_code)
    }
}

/// Line ends as a terminal would make them.
#[derive(Debug, Default)]
struct Lines {
    returned: bool,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], into: &mut Vec<u8>) {
        for byte in bytes {
            if *byte == b'\n' && !self.returned {
                into.push(b'\r');
            }
            self.returned = *byte == b'\r';
            into.push(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_those_of_a_terminal_once() {
        let (mut lines, mut shown) = (Lines::default(), Vec::new());
        for bytes in [&b"a\nb\r"[..], b"\nc", b"\n\n"] {
            lines.push(bytes, &mut shown);
        }
        assert_eq!(shown, b"a\r\nb\r\nc\r\n\r\n");
    }
}
