//! A terminal at the end of a thin line: what a program writes comes late and slowly, as through SSH on
//! a bad network, whose machines along the way keep much of it waiting. Answers what terminals are asked.

use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::{Config, Term};
use alacritty_terminal::vte::ansi::{Processor, StdSyncHandler};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the terminal is asked, and answers.
const QUESTION: &[u8] = b"\x1b]11;?\x07";
const ANSWER: &[u8] = b"\x1b]11;rgb:1010/1414/1919\x07";

/// How thin.
#[derive(Clone, Copy, Debug)]
pub struct Thin {
    /// Bytes a second towards the terminal.
    pub rate: f64,
    /// Each way.
    pub delay: Duration,
    /// Bytes that wait along the way before the program is held up.
    pub buffer: usize,
}

#[derive(Clone, Copy)]
struct Size(u16, u16);

impl Dimensions for Size {
    fn total_lines(&self) -> usize {
        usize::from(self.1)
    }
    fn screen_lines(&self) -> usize {
        usize::from(self.1)
    }
    fn columns(&self) -> usize {
        usize::from(self.0)
    }
}

struct Seen {
    term: Term<VoidListener>,
    parser: Processor<StdSyncHandler>,
    bytes: u64,
}

/// The terminal with a program on it.
pub struct ThinTerminal {
    child: Child,
    size: Size,
    seen: Arc<Mutex<Seen>>,
    keys: SyncSender<(Instant, Vec<u8>)>,
    delay: Duration,
}

impl Drop for ThinTerminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl ThinTerminal {
    /// Starts a program there; its messages that are not for the screen go to `log`.
    pub fn start(size: (u16, u16), thin: Thin, command: &mut Command, log: &Path) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let window =
            rustix::termios::Winsize { ws_col: size.0, ws_row: size.1, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, window).unwrap();
        // The terminal becomes its own, as at a login.
        let mut own = Command::new("setsid");
        own.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => own.env(name, value),
                None => own.env_remove(name),
            };
        }
        let child = own
            .stdin(Stdio::from(slave.try_clone().unwrap()))
            .stdout(Stdio::from(slave))
            .stderr(Stdio::from(File::create(log).unwrap()))
            .spawn()
            .unwrap();
        let size = Size(size.0, size.1);
        let term = Term::new(Config::default(), &size, VoidListener);
        let seen = Seen { term, parser: Processor::new(), bytes: 0 };
        let seen = Arc::new(Mutex::new(seen));
        let master = File::from(master);
        let (keys, typed) = sync_channel::<(Instant, Vec<u8>)>(1024);
        let mut writer = master.try_clone().unwrap();
        std::thread::spawn(move || {
            while let Ok((at, bytes)) = typed.recv() {
                wait_until(at);
                if writer.write_all(&bytes).is_err() {
                    return;
                }
            }
        });
        let (pieces, arriving) = sync_channel::<(Instant, Vec<u8>)>(4096);
        std::thread::spawn(move || carry(master, thin, &pieces));
        let (own, answers) = (seen.clone(), keys.clone());
        std::thread::spawn(move || {
            while let Ok((at, bytes)) = arriving.recv() {
                wait_until(at);
                let mut seen = own.lock().unwrap_or_else(PoisonError::into_inner);
                seen.bytes += bytes.len() as u64;
                let Seen { term, parser, .. } = &mut *seen;
                parser.advance(term, &bytes);
                drop(seen);
                // Questions are written in one piece, at the end of a frame.
                if bytes.windows(QUESTION.len()).any(|window| window == QUESTION) {
                    answers.send((Instant::now() + thin.delay, ANSWER.to_vec())).ok();
                }
            }
        });
        Self { child, size, seen, keys, delay: thin.delay }
    }

    /// What stands on the screen.
    pub fn screen(&self) -> String {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let grid = seen.term.grid();
        let mut text = String::new();
        for line in 0..self.size.1 {
            for column in 0..self.size.0 {
                text.push(grid[Line(line.into())][Column(column.into())].c);
            }
            text.push('\n');
        }
        text
    }

    /// Bytes that arrived so far.
    pub fn bytes(&self) -> u64 {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// Types something.
    pub fn keys(&self, text: &str) {
        self.keys.send((Instant::now() + self.delay, text.as_bytes().to_vec())).unwrap();
    }

    /// Waits until the screen is as wanted; says how long that took.
    pub fn until(&self, what: &str, holds: impl Fn(&str) -> bool) -> Duration {
        let begin = Instant::now();
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return begin.elapsed();
            }
            assert!(
                begin.elapsed() < Duration::from_secs(40),
                "waited in vain for {what}:\n{screen}"
            );
            crate::process::pause();
        }
    }

    /// Waits this long, for counting what arrives meanwhile.
    pub fn watch(&self, time: Duration) -> u64 {
        let (begin, before) = (Instant::now(), self.bytes());
        while begin.elapsed() < time {
            crate::process::pause();
        }
        self.bytes() - before
    }
}

/// Takes from the program what the line has room for, and says of each piece when it arrives.
fn carry(mut from: File, thin: Thin, to: &SyncSender<(Instant, Vec<u8>)>) {
    let mut free = Instant::now();
    let mut buffer = vec![0; 1024];
    loop {
        let queued = free.saturating_duration_since(Instant::now()).as_secs_f64() * thin.rate;
        if queued > thin.buffer as f64 {
            crate::process::pause();
            continue;
        }
        // The end of the program is an error here, not an end.
        let Ok(n @ 1..) = from.read(&mut buffer) else { return };
        let takes = Duration::from_secs_f64(n as f64 / thin.rate);
        free = free.max(Instant::now()) + takes;
        if to.send((free + thin.delay, buffer[..n].to_vec())).is_err() {
            return;
        }
    }
}

fn wait_until(at: Instant) {
    while Instant::now() < at {
        crate::process::pause();
    }
}
