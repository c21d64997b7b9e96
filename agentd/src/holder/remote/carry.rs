//! Carries a session over SSH: bytes between the holder's terminal and the channel, sizes and signals one way,
//! the end the other.

use super::LOST;
use super::talk::Gatekeeper;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::exec::Outcome;
use cmdr_protocol::sessions::Size;
use cmdr_protocol::ssh::Open;
use russh::client::{Handle, Msg};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Disconnect, Sig};
use rustix::process::Signal;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

/// The terminal that programs are told of when the caller names none.
const TERM: &str = "xterm-256color";
/// A farewell is not waited for longer.
const FAREWELL: Duration = Duration::from_secs(1);

/// The other end of the holder's terminal.
pub(in crate::holder) struct Line {
    pub(in crate::holder) stream: UnixStream,
    pub(in crate::holder) sizes: watch::Receiver<Size>,
    pub(in crate::holder) signals: mpsc::Receiver<Signal>,
}

/// Asks for a terminal and a shell or a command on it. The error says what the machine would not do.
pub(super) async fn ask(
    mut channel: Channel<Msg>,
    open: &Open,
    size: Size,
) -> Result<Channel<Msg>, String> {
    let term = if open.term.is_empty() { TERM } else { &open.term };
    let (columns, rows) = (u32::from(size.columns), u32::from(size.rows));
    let lost = |e: russh::Error| format!("go on: {e}");
    channel.request_pty(true, term, columns, rows, 0, 0, &[]).await.map_err(lost)?;
    agreed(&mut channel).await.ok_or("give us a terminal")?;
    if open.command.is_empty() {
        channel.request_shell(true).await.map_err(lost)?;
        agreed(&mut channel).await.ok_or("start a shell")?;
    } else {
        channel.exec(true, open.command.as_bytes()).await.map_err(lost)?;
        agreed(&mut channel).await.ok_or("run the command")?;
    }
    Ok(channel)
}

/// Waits for a yes. Nothing else may come before it that would be lost.
async fn agreed(channel: &mut Channel<Msg>) -> Option<()> {
    loop {
        match channel.wait().await? {
            ChannelMsg::Success => return Some(()),
            ChannelMsg::WindowAdjusted { .. } => {}
            _ => return None,
        }
    }
}

/// Carries until the session is over; says how it ended.
pub(super) async fn run(
    handle: Handle<Gatekeeper>,
    channel: Channel<Msg>,
    line: Line,
    stop: Arc<Notify>,
    target: String,
) -> (Outcome, i32) {
    let Line { stream, sizes, signals } = line;
    let (keys, mut screen) = stream.into_split();
    let (from, to) = channel.split();
    let ended = tokio::select! {
        ended = back(from, &mut screen) => ended,
        () = forth(&to, keys, sizes, signals) => None,
        () = stop.notified() => Some((Outcome::Signalled, Signal::HUP.as_raw())),
    };
    let why = if handle.is_closed() { "was lost" } else { "was ended by the other side" };
    let farewell = async {
        to.close().await.ok();
        handle.disconnect(Disconnect::ByApplication, "", "").await.ok();
    };
    timeout(FAREWELL, farewell).await.ok();
    if let Some(ended) = ended {
        return ended;
    }
    let target = clean_to_width(&target, 300);
    let words = format!("\r\n\x1b[0;2mcmdr: the connection to {target} {why}\x1b[0m\r\n");
    // Nobody may be reading any more.
    timeout(FAREWELL, screen.write_all(words.as_bytes())).await.ok();
    (Outcome::Exited, LOST)
}

/// What the program writes, and how it ends; none when that is not said.
async fn back(mut from: ChannelReadHalf, screen: &mut OwnedWriteHalf) -> Option<(Outcome, i32)> {
    let mut ended = None;
    while let Some(message) = from.wait().await {
        match message {
            ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } => {
                screen.write_all(&data).await.ok()?;
            }
            ChannelMsg::ExitStatus { exit_status } => {
                ended = Some((Outcome::Exited, exit_status.cast_signed()));
            }
            ChannelMsg::ExitSignal { signal_name, .. } => {
                ended = Some((Outcome::Signalled, number(&signal_name)));
            }
            ChannelMsg::Close => break,
            _ => {}
        }
    }
    ended
}

/// Keys, sizes and signals. Comes back when one of them cannot be sent.
async fn forth(
    to: &ChannelWriteHalf<Msg>,
    mut keys: OwnedReadHalf,
    mut sizes: watch::Receiver<Size>,
    mut signals: mpsc::Receiver<Signal>,
) {
    let mut buffer = vec![0; 16 * 1024];
    let typed = async {
        loop {
            match keys.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(n) => {
                    if to.data(&buffer[..n]).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    let told = async {
        loop {
            let sent = tokio::select! {
                changed = sizes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let Size { columns, rows } = *sizes.borrow_and_update();
                    to.window_change(u32::from(columns), u32::from(rows), 0, 0).await
                }
                Some(signal) = signals.recv() => to.signal(named(signal)).await,
            };
            if sent.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = typed => {}
        () = told => {}
    }
    // What comes back says why, as far as anything does.
    std::future::pending::<()>().await;
}

fn named(signal: Signal) -> Sig {
    match signal {
        Signal::HUP => Sig::HUP,
        Signal::INT => Sig::INT,
        Signal::QUIT => Sig::QUIT,
        Signal::KILL => Sig::KILL,
        Signal::USR1 => Sig::USR1,
        Signal::TERM => Sig::TERM,
        Signal::ABORT => Sig::ABRT,
        Signal::ALARM => Sig::ALRM,
        Signal::USR2 => Sig::Custom("USR2".to_owned()),
        Signal::CONT => Sig::Custom("CONT".to_owned()),
        Signal::TSTP => Sig::Custom("TSTP".to_owned()),
        Signal::WINCH => Sig::Custom("WINCH".to_owned()),
        other => Sig::Custom(other.as_raw().to_string()),
    }
}

/// The number that such a signal has here; 0 for one that is not known.
fn number(signal: &Sig) -> i32 {
    let signal = match signal {
        Sig::ABRT => Signal::ABORT,
        Sig::ALRM => Signal::ALARM,
        Sig::FPE => Signal::FPE,
        Sig::HUP => Signal::HUP,
        Sig::ILL => Signal::ILL,
        Sig::INT => Signal::INT,
        Sig::KILL => Signal::KILL,
        Sig::PIPE => Signal::PIPE,
        Sig::QUIT => Signal::QUIT,
        Sig::SEGV => Signal::SEGV,
        Sig::TERM => Signal::TERM,
        Sig::USR1 => Signal::USR1,
        Sig::Custom(_) => return 0,
    };
    signal.as_raw()
}
