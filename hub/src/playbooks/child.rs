//! One playbook that runs, as the hub holds it: its outputs, the connections that it opens, and how it ended.

use super::carry::Carrier;
use super::{Counts, Ended, Play, Settings, folder, keeper, room};
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::{UnixDatagram, UnixStream};
use tokio::process::{ChildStderr, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Connections of one playbook at a time: it has one worker, and what it has begun in the background.
const CONNECTIONS: usize = 16;
/// Bytes of output that are told at once, and how long is waited for them.
const PIECE: usize = 16 * 1024;
const GATHER: Duration = Duration::from_millis(50);
/// The end of what it wrote to its standard error, for the reason.
const COMPLAINT: usize = 4096;
/// The longest word over the first socket.
const LONGEST: usize = 64 * 1024;
/// How long its keeper may take to end everything.
const ENDS: Duration = Duration::from_secs(20);

/// A piece of its output.
pub(crate) struct Said {
    pub(crate) stderr: bool,
    pub(crate) data: Vec<u8>,
}

/// What comes over the socket that a playbook is born with.
enum Word {
    /// A connection is opened.
    Connection(UnixStream),
    /// What was counted.
    Counts(Box<Counts>),
    /// Nothing that is understood.
    Nothing,
}

/// A playbook that runs.
pub(crate) struct Child {
    process: tokio::process::Child,
    /// Its end is the order to end everything.
    control: UnixDatagram,
    stdout: ChildStdout,
    stderr: ChildStderr,
}

impl Child {
    /// Starts one on this host, in a folder of its own in `place`.
    pub(crate) async fn start(
        place: PathBuf,
        id: &str,
        host: &str,
        play: &Play,
        settings: &Settings,
    ) -> Result<Self, String> {
        let (id, host) = (id.to_owned(), host.to_owned());
        let (play, its) = (play.clone(), settings.clone());
        let making =
            tokio::task::spawn_blocking(move || folder::make(&place, &id, &host, &play, &its));
        let folder = making.await.map_err(|e| format!("a fault of the hub: {e}"))??;
        match Self::spawn(&folder, settings) {
            Ok(child) => Ok(child),
            Err(e) => {
                // Nothing more can be done about it here.
                drop(tokio::task::spawn_blocking(move || room::remove(&folder)).await);
                Err(format!("starting the playbook: {}", cmdr_link::files::reason(&e)))
            }
        }
    }

    fn spawn(folder: &Path, settings: &Settings) -> io::Result<Self> {
        let own = match &settings.own_program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?,
        };
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let mut process = Command::new(own)
            .arg(keeper::WORD)
            .arg(folder)
            // What is in the hub's environment is not for it.
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let gone = || io::Error::other("it has no outputs");
        let stdout = process.stdout.take().ok_or_else(gone)?;
        let stderr = process.stderr.take().ok_or_else(gone)?;
        let control = std::os::unix::net::UnixDatagram::from(ours);
        control.set_nonblocking(true)?;
        let control = UnixDatagram::from_std(control)?;
        Ok(Self { process, control, stdout, stderr })
    }

    /// Serves it to its end; what it says goes there.
    pub(crate) async fn follow(
        &mut self,
        carrier: &Arc<Carrier>,
        say: mpsc::Sender<Said>,
    ) -> Ended {
        let (mut out, mut err) = (vec![0; PIECE], vec![0; PIECE]);
        let (mut out_over, mut err_over, mut silent) = (false, false, false);
        let (mut connections, mut ended) = (JoinSet::new(), Ended::default());
        let (mut gathered, mut due) = (Said { stderr: false, data: Vec::new() }, None);
        let mut complaint = Vec::new();
        while !(out_over && err_over) {
            let (stderr, data) = tokio::select! {
                read = self.stdout.read(&mut out), if !out_over => {
                    let n = read.unwrap_or(0);
                    out_over = n == 0;
                    (false, &out[..n])
                }
                read = self.stderr.read(&mut err), if !err_over => {
                    let n = read.unwrap_or(0);
                    err_over = n == 0;
                    (true, &err[..n])
                }
                () = at(due) => (gathered.stderr, &[][..]),
                word = word(&self.control), if !silent && connections.len() < CONNECTIONS => {
                    match word {
                        Ok(Word::Connection(stream)) => {
                            let carrier = carrier.clone();
                            connections.spawn(async move { carrier.serve(stream).await });
                        }
                        Ok(Word::Counts(counts)) => ended.counts = Some(*counts),
                        Ok(Word::Nothing) => {}
                        Err(_) => silent = true,
                    }
                    continue;
                }
                Some(_) = connections.join_next() => continue,
            };
            if stderr {
                complaint.extend_from_slice(data);
                let over = complaint.len().saturating_sub(COMPLAINT);
                complaint.drain(..over);
            }
            let is_due = due.is_some_and(|due| due <= Instant::now()) || out_over && err_over;
            let turns = stderr != gathered.stderr;
            if (is_due || turns || gathered.data.len() >= PIECE) && !gathered.data.is_empty() {
                let before = std::mem::replace(&mut gathered, Said { stderr, data: Vec::new() });
                due = None;
                drop(say.send(before).await);
            }
            gathered.stderr = stderr;
            gathered.data.extend_from_slice(data);
            if !gathered.data.is_empty() {
                due.get_or_insert_with(|| Instant::now() + GATHER);
            }
        }
        if !gathered.data.is_empty() {
            drop(say.send(gathered).await);
        }
        // The last word may have come together with the end.
        while let Ok(Ok(word)) = tokio::time::timeout(Duration::ZERO, word(&self.control)).await {
            if let Word::Counts(counts) = word {
                ended.counts = Some(*counts);
            }
        }
        ended.code = self.process.wait().await.map_or(-1, code);
        ended.complaint = last_words(&complaint);
        ended
    }

    /// Ends it with all it has started, and waits until nothing is left of it.
    pub(crate) async fn end(self) {
        let Self { mut process, control, stdout, stderr } = self;
        drop((control, stdout, stderr));
        if tokio::time::timeout(ENDS, process.wait()).await.is_err() {
            tracing::error!(pid = process.id(), "what a playbook has started does not end");
        }
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// The next word of it; an error when there is none any more.
async fn word(control: &UnixDatagram) -> io::Result<Word> {
    let mut text = vec![0; LONGEST];
    let (length, sockets) =
        control.async_io(Interest::READABLE, || receive(control, &mut text)).await?;
    match (text.first(), sockets) {
        (Some(b'c'), mut sockets) if sockets.len() == 1 => {
            let is_stream = |socket: &OwnedFd| {
                socket_domain(socket) == Ok(AddressFamily::UNIX)
                    && socket_type(socket) == Ok(SocketType::STREAM)
            };
            let Some(socket) = sockets.pop().filter(is_stream) else { return Ok(Word::Nothing) };
            let stream = std::os::unix::net::UnixStream::from(socket);
            stream.set_nonblocking(true)?;
            Ok(UnixStream::from_std(stream).map_or(Word::Nothing, Word::Connection))
        }
        (Some(b'r'), _) => Ok(serde_json::from_slice(&text[1..length])
            .map_or(Word::Nothing, |counts| Word::Counts(Box::new(counts)))),
        _ => Ok(Word::Nothing),
    }
}

fn receive(control: &UnixDatagram, text: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let got = recvmsg(control, &mut [IoSliceMut::new(text)], &mut ancillary, flags)?;
    let mut sockets = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            sockets.extend(fds);
        }
    }
    if got.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((got.bytes, sockets))
}

/// Why it ended, as far as it says so itself: its first error, else its last line.
fn last_words(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = |line: &&str| line.starts_with("ERROR!") || line.starts_with("[ERROR]");
    lines().find(error).or_else(|| lines().next_back()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_error_or_the_last_line() {
        let text = b"[WARNING]: x\nERROR! the role 'x' was not found\n\nThe error appears\n";
        assert_eq!(last_words(text), "ERROR! the role 'x' was not found");
        assert_eq!(last_words(b"one\ntwo\n\n"), "two");
        assert_eq!(last_words(b""), "");
    }
}
