//! What a holder knows, shared by the tasks that read the terminal, write to it and serve clients.

use super::begin;
use super::clients::{Clients, Next};
use super::output::Output;
use super::screen::{LINES, Screen};
use super::wire::{Attach, News, VERSION};
use cmdr_link::clock;
use cmdr_protocol::CallError;
use cmdr_protocol::exec::Exit;
use cmdr_protocol::sessions::{Input, Mode, Session, Size};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

/// Lines of scrollback for who has fallen behind.
const CATCH_UP: usize = 200;
/// Bytes read from the terminal at once.
const READ: usize = 32 * 1024;
/// Keys that wait for the terminal to take them.
const KEYS: usize = 1 << 20;

/// Our end of the terminal, three times: a terminal is waited for as pipes are. So is a socket.
#[derive(Debug)]
pub(super) struct Terminal {
    pub(super) output: pipe::Receiver,
    pub(super) keys: pipe::Sender,
    end: End,
}

/// What knows the size, and whom signals are for.
#[derive(Debug)]
enum End {
    Here(OwnedFd),
    Far(Far),
}

/// The way to a program on another machine.
#[derive(Debug)]
pub(super) struct Far {
    pub(super) sizes: watch::Sender<Size>,
    pub(super) signals: mpsc::Sender<Signal>,
}

impl Terminal {
    /// A terminal of this host.
    pub(super) fn here(itself: OwnedFd) -> io::Result<Self> {
        Self::new(itself.try_clone()?, End::Here(itself))
    }

    /// A socket whose other end leads to a program on another machine.
    pub(super) fn far(socket: OwnedFd, far: Far) -> io::Result<Self> {
        Self::new(socket, End::Far(far))
    }

    fn new(bytes: OwnedFd, end: End) -> io::Result<Self> {
        let output = pipe::Receiver::from_owned_fd_unchecked(bytes.try_clone()?)?;
        let keys = pipe::Sender::from_owned_fd_unchecked(bytes)?;
        Ok(Self { output, keys, end })
    }

    fn resize(&self, size: Size) -> bool {
        match &self.end {
            End::Here(terminal) => begin::resize(terminal, size).is_ok(),
            End::Far(far) => far.sizes.send(size).is_ok(),
        }
    }

    /// Sends a signal to whoever runs in the foreground, and to `first`, if that is somebody else.
    fn signal(&self, signal: Signal, first: Option<Pid>) {
        // Whoever it is for may have ended.
        match &self.end {
            End::Here(terminal) => {
                let foreground = rustix::termios::tcgetpgrp(terminal).ok();
                let first = first.filter(|first| Some(*first) != foreground);
                for group in foreground.into_iter().chain(first) {
                    kill_process_group(group, signal).ok();
                }
            }
            End::Far(far) => drop(far.signals.try_send(signal)),
        }
    }
}

/// A session.
#[derive(Debug)]
pub(super) struct State {
    inner: Mutex<Inner>,
    idle: Duration,
    /// The terminal may be read again.
    pub(super) read_on: Notify,
    /// There are keys for the terminal.
    pub(super) has_keys: Notify,
    /// The terminal has taken keys.
    pub(super) took_keys: Notify,
    /// Output waits to be looked at.
    pub(super) behind: Notify,
    /// Counts up with everything that a client might be sent.
    changed: watch::Sender<u64>,
    /// Counts up with everything that shows in lists, but for times.
    looks: watch::Sender<u64>,
    /// Somebody wants it to end.
    pub(super) end: Notify,
}

#[derive(Debug)]
struct Inner {
    session: Session,
    terminal: Option<Arc<Terminal>>,
    screen: Screen,
    output: Output,
    clients: Clients,
    /// Who has begun it is about to attach.
    awaited: bool,
    keys: VecDeque<u8>,
    exit: Option<Exit>,
    /// Of a session that has ended: what it showed.
    last: Vec<u8>,
    /// When somebody typed, or left, last.
    touched: Instant,
}

impl Inner {
    /// Whether nobody was there yet, but will be at once.
    fn is_awaited(&self) -> bool {
        self.awaited && !self.clients.had_any()
    }

    /// Whether somebody drives: theirs is a terminal that answers for itself.
    fn is_answered_for(&self) -> bool {
        self.clients.driver().is_some() || self.is_awaited()
    }
}

impl State {
    pub(super) fn new(session: Session, terminal: Terminal, idle_s: u64, awaited: bool) -> Self {
        let size = session.size;
        let inner = Inner {
            session,
            terminal: Some(Arc::new(terminal)),
            screen: Screen::new(size),
            output: Output::new(size),
            clients: Clients::default(),
            awaited,
            keys: VecDeque::new(),
            exit: None,
            last: Vec::new(),
            touched: Instant::now(),
        };
        Self {
            inner: Mutex::new(inner),
            idle: Duration::from_secs(idle_s),
            read_on: Notify::new(),
            has_keys: Notify::new(),
            took_keys: Notify::new(),
            behind: Notify::new(),
            changed: watch::Sender::new(0),
            looks: watch::Sender::new(0),
            end: Notify::new(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    fn tell_lists(&self) {
        self.looks.send_modify(|n| *n += 1);
        self.tell();
    }

    pub(super) fn session(&self) -> Session {
        self.inner().session.clone()
    }

    pub(super) fn terminal(&self) -> Option<Arc<Terminal>> {
        self.inner().terminal.clone()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn looks(&self) -> watch::Receiver<u64> {
        self.looks.subscribe()
    }

    /// How it stands, for lists.
    pub(super) fn news(&self) -> News {
        let inner = self.inner();
        let mut session = inner.session.clone();
        session.clients = inner.clients.shown();
        News { version: VERSION, session, exit: inner.exit }
    }

    /// How many bytes may be read from the terminal now.
    pub(super) fn room(&self) -> usize {
        let inner = self.inner();
        inner.clients.room(&inner.output, READ)
    }

    /// The terminal was sent this.
    pub(super) fn output(&self, bytes: &[u8]) {
        let mut inner = self.inner();
        inner.screen.later(bytes);
        if inner.clients.is_empty() && !inner.is_awaited() {
            inner.output.forget();
        }
        inner.output.push(bytes);
        inner.session.active_ms = clock::now_ms();
        if inner.is_answered_for() {
            self.behind.notify_one();
        } else {
            self.look(&mut inner);
        }
        self.tell();
    }

    /// How much the terminal was sent since the beginning.
    pub(super) fn written(&self) -> u64 {
        self.inner().output.end()
    }

    /// Looks at the output that waits for it.
    pub(super) fn catch_up(&self) {
        self.look(&mut self.inner());
    }

    fn look(&self, inner: &mut Inner) {
        inner.screen.catch_up();
        let answers = inner.screen.answers();
        if !inner.is_answered_for() && inner.keys.len() + answers.len() <= KEYS {
            inner.keys.extend(&answers);
            self.has_keys.notify_one();
        }
        if inner.screen.title() != inner.session.title {
            let title = inner.screen.title().to_owned();
            inner.session.title = title;
            self.looks.send_modify(|n| *n += 1);
        }
    }

    pub(super) fn attach(&self, who: &Attach) -> Result<u32, CallError> {
        let mut inner = self.inner();
        let id = inner.clients.add(who, clock::now_ms())?;
        if who.mode == Mode::Drive {
            self.resize(&mut inner, who.size);
        }
        inner.touched = Instant::now();
        self.read_on.notify_one();
        self.tell_lists();
        Ok(id)
    }

    pub(super) fn detach(&self, id: u32) {
        let mut inner = self.inner();
        // What its terminal has answered is not answered once more.
        self.look(&mut inner);
        inner.clients.remove(id);
        inner.touched = Instant::now();
        self.read_on.notify_one();
        self.tell_lists();
    }

    fn resize(&self, inner: &mut Inner, size: Size) {
        let size = Size { columns: size.columns.clamp(1, 1000), rows: size.rows.clamp(1, 1000) };
        if size == inner.session.size {
            return;
        }
        let Some(terminal) = &inner.terminal else { return };
        // A terminal that is gone has no size.
        if terminal.resize(size) {
            inner.session.size = size;
            inner.screen.resize(size);
            inner.output.resized(size);
            self.tell_lists();
        }
    }

    /// What a client says; an error when it makes no sense.
    pub(super) fn input(&self, id: u32, input: Input) -> Result<(), CallError> {
        let Input { data, size, taken, window, take, give, signal, .. } = input;
        let mut inner = self.inner();
        let inner = &mut *inner;
        if taken.is_some() || window.is_some() {
            inner.clients.pace(id, taken, window);
            self.read_on.notify_one();
            self.tell();
        }
        let drives = inner.clients.drives(id);
        if take && inner.clients.hand_over(id) {
            self.tell_lists();
        }
        if let Some(to) = give.filter(|_| drives)
            && inner.clients.hand_over(to)
        {
            self.tell_lists();
        }
        if take || give.is_some() {
            self.read_on.notify_one();
        }
        if !inner.clients.drives(id) {
            return Ok(());
        }
        if let Some(size) = size {
            self.resize(inner, size);
        }
        if let Some(number) = signal {
            let signal = Signal::from_named_raw(number)
                .ok_or_else(|| CallError::malformed(format!("there is no signal {number}")))?;
            if let Some(terminal) = &inner.terminal {
                terminal.signal(signal, None);
            }
        }
        if !data.is_empty() && inner.exit.is_none() {
            inner.keys.extend(&data);
            inner.touched = Instant::now();
            inner.session.active_ms = clock::now_ms();
            self.has_keys.notify_one();
        }
        Ok(())
    }

    /// Whether this client must wait with its keys. While it does, its terminal is read without it:
    /// programs that write before they read would wait for good.
    pub(super) fn stalls(&self, id: u32) -> bool {
        let mut inner = self.inner();
        let full = inner.keys.len() >= KEYS && inner.clients.drives(id);
        if let Some(attached) = inner.clients.get(id)
            && attached.stalled != full
        {
            attached.stalled = full;
            self.read_on.notify_one();
        }
        full
    }

    /// Keys for the terminal; [`State::typed`] says how many it took.
    pub(super) fn keys(&self) -> Vec<u8> {
        let inner = self.inner();
        let (front, back) = inner.keys.as_slices();
        if front.is_empty() { back.to_vec() } else { front.to_vec() }
    }

    pub(super) fn typed(&self, count: usize) {
        self.inner().keys.drain(..count);
        self.took_keys.notify_waiters();
    }

    pub(super) fn next(&self, id: u32) -> Next {
        let mut inner = self.inner();
        let Inner { clients, output, exit, session, screen, last, .. } = &mut *inner;
        let ended = exit.is_some();
        let draw = |first: bool| match (ended, first) {
            (true, _) => last.clone(),
            (false, true) => screen.redraw(LINES),
            (false, false) => screen.redraw(CATCH_UP),
        };
        let next = clients.next(id, output, *exit, &session.id, draw);
        self.read_on.notify_one();
        next
    }

    /// When it has been left alone for too long, if nobody comes.
    pub(super) fn idle_at(&self) -> Option<Instant> {
        let inner = self.inner();
        (inner.clients.is_empty() && !self.idle.is_zero()).then(|| inner.touched + self.idle)
    }

    /// Sends a signal to whoever runs in the foreground, and to the first program.
    pub(super) fn signal(&self, signal: Signal) {
        let inner = self.inner();
        if let Some(terminal) = &inner.terminal {
            terminal.signal(signal, Pid::from_raw(inner.session.pid.cast_signed()));
        }
    }

    /// It has ended, and everything it wrote is here. The terminal closes.
    pub(super) fn ended(&self, exit: Exit) {
        let mut inner = self.inner();
        inner.last = inner.screen.redraw(LINES);
        inner.screen = Screen::new(Size { columns: 2, rows: 1 });
        inner.keys = VecDeque::new();
        inner.exit = Some(exit);
        inner.terminal = None;
        self.tell_lists();
    }

    pub(super) fn is_left(&self) -> bool {
        self.inner().clients.is_empty()
    }
}
