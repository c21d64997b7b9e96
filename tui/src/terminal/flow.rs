//! The way of bytes to the terminal. A thread writes what would not go at once, so that a slow line
//! never stops the loop; while it writes, nothing new is drawn, and what is drawn next shows what is
//! then. Beyond what the system tells, a question to the terminal now and then tells how long bytes
//! are on their way: frames follow each other no faster than the line takes them.

use super::line::Line;
use std::io::{self, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Asks for the colour of the ground; nearly every terminal answers.
const QUESTION: &[u8] = b"\x1b]11;?\x07";
/// What goes at once when the terminal says that it can take something.
const SMALL: usize = 1024;
/// How long the end waits for what is still to be written.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// A handle to it.
#[derive(Clone)]
pub struct Flow(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Told when nothing is being written any more: to those who wait, and to the loop.
    done: Condvar,
    free: Notify,
    writer: SyncSender<Vec<u8>>,
    /// To write on the spot, and to ask whether that would wait.
    direct: Option<OwnedFd>,
}

struct State {
    busy: bool,
    /// What went wrong when it was written.
    error: Option<io::Error>,
    line: Line,
}

impl Flow {
    /// To the terminal on standard output.
    pub fn stdout() -> Self {
        let direct = io::stdout().as_fd().try_clone_to_owned().ok();
        Self::new(io::stdout(), direct)
    }

    /// To anything else, for tests and measurements.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        Self::new(out, None)
    }

    fn new(out: impl Write + Send + 'static, direct: Option<OwnedFd>) -> Self {
        let (writer, frames) = sync_channel(1);
        let state = State { busy: false, error: None, line: Line::default() };
        let inner = Inner {
            state: Mutex::new(state),
            done: Condvar::new(),
            free: Notify::new(),
            writer,
            direct,
        };
        let flow = Self(Arc::new(inner));
        let told = Arc::downgrade(&flow.0);
        // Ends with the last handle. Without the thread, all is written on the spot.
        let thread = std::thread::Builder::new().name("terminal".to_owned());
        drop(thread.spawn(move || {
            write_all(out, &frames, |result, bytes, took| {
                let Some(inner) = told.upgrade() else { return };
                let mut state = lock(&inner.state);
                state.busy = false;
                state.error = result.err();
                state.line.wrote(bytes, took);
                drop(state);
                inner.done.notify_all();
                inner.free.notify_one();
            });
        }));
        flow
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// Whether something is still being written.
    pub fn is_busy(&self) -> bool {
        self.state().busy
    }

    /// Waits until nothing is.
    pub async fn free(&self) {
        while self.is_busy() {
            self.0.free.notified().await;
        }
    }

    /// When the line will have taken what was sent.
    pub fn clear_at(&self) -> Option<Instant> {
        self.state().line.clear_at(Instant::now())
    }

    /// Whether the line is so slow that frames wait for it.
    pub fn is_slow(&self) -> bool {
        self.state().line.is_slow()
    }

    /// Bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.state().line.sent
    }

    /// Asks the terminal for its ground, and so how long an answer takes.
    pub fn ask(&self) {
        let mut state = self.state();
        state.line.asked(Instant::now());
        drop(state);
        // A terminal that is gone is told of by the next frame.
        drop(self.write(QUESTION));
    }

    /// Whether an answer may still come.
    pub fn is_asked(&self) -> bool {
        self.state().line.is_asked(Instant::now())
    }

    /// An answer came.
    pub fn answered(&self) {
        self.state().line.answered(Instant::now());
    }

    /// Writes a frame, and a question behind it when one is due.
    fn frame(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let now = Instant::now();
        let mut state = self.state();
        if state.line.frame(bytes.len(), now) {
            bytes.extend_from_slice(QUESTION);
        }
        drop(state);
        self.write(bytes)
    }

    /// Writes behind everything else.
    pub fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        state.line.sent += bytes.len() as u64;
        if !state.busy
            && bytes.len() <= SMALL
            && let Some(fd) = &self.0.direct
            && would_take(fd)
        {
            let n = rustix::io::write(fd, bytes)?;
            if n == bytes.len() {
                return Ok(());
            }
            state.busy = true;
            drop(state);
            return self.hand_over(bytes[n..].to_vec());
        }
        while state.busy {
            state = self.0.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.busy = true;
        drop(state);
        self.hand_over(bytes.to_vec())
    }

    fn hand_over(&self, bytes: Vec<u8>) -> io::Result<()> {
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "nothing writes to the terminal");
        self.0.writer.send(bytes).map_err(gone)
    }

    /// Waits a little for what is still to be written; false when it is not.
    pub fn drain(&self) -> bool {
        let state = self.state();
        let wait = self.0.done.wait_timeout_while(state, LAST_WAIT, |state| state.busy);
        wait.map_or_else(|error| !error.into_inner().0.busy, |(state, _)| !state.busy)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a small write would not wait.
fn would_take(fd: &OwnedFd) -> bool {
    let mut fds = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::OUT)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|n| n == 1)
        && fds[0].revents() == rustix::event::PollFlags::OUT
}

fn write_all(
    mut out: impl Write,
    frames: &Receiver<Vec<u8>>,
    done: impl Fn(io::Result<()>, usize, Duration),
) {
    while let Ok(bytes) = frames.recv() {
        let begin = Instant::now();
        let result = out.write_all(&bytes).and_then(|()| out.flush());
        done(result, bytes.len(), begin.elapsed());
    }
}

/// Where the encoder writes its frames.
pub struct Outlet {
    flow: Flow,
    bytes: Vec<u8>,
}

impl Outlet {
    /// Into this flow.
    pub const fn new(flow: Flow) -> Self {
        Self { flow, bytes: Vec::new() }
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.flow.frame(&mut self.bytes);
        self.bytes.clear();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Takes a piece only when it is told to.
    struct Slow(mpsc::Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.lock().expect("lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_terminal_that_takes_nothing_does_not_stop_the_loop() {
        let (go, wait) = mpsc::sync_channel(1);
        let taken = Arc::new(Mutex::new(Vec::new()));
        let flow = Flow::to(Slow(wait, taken.clone()));
        let mut outlet = Outlet::new(flow.clone());
        outlet.write_all(b"frame").expect("write");
        outlet.flush().expect("does not wait");
        assert!(flow.is_busy());
        go.send(()).expect("send");
        flow.free().await;
        assert_eq!(*taken.lock().expect("lock"), b"frame");
        assert_eq!(flow.sent(), 5);
    }

    #[tokio::test]
    async fn a_terminal_that_is_gone_is_told_of_with_the_next_frame() {
        let (go, wait) = mpsc::sync_channel::<()>(1);
        drop(go);
        let flow = Flow::to(Slow(wait, Arc::default()));
        flow.write(b"x").expect("is handed over");
        flow.free().await;
        assert!(flow.write(b"x").is_err());
    }
}
