//! The real terminal: the only place that touches raw mode. Enters and leaves the screen, also when
//! the program panics, is suspended, or was stopped by someone else.

pub mod encoder;
pub mod flow;
mod line;
mod replies;

use crate::app::App;
use crate::event::Event;
use crate::widgets::terminal::Caret;
use crossterm::cursor::SetCursorStyle;
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste,
    EnableFocusChange, EnableMouseCapture,
};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use encoder::Encoder;
use flow::{Flow, Outlet};
use futures::{Stream, StreamExt as _};
use ratatui::Terminal;
use replies::Replies;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write as _, stdout};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// The longest text handed to the terminal's clipboard; many terminals take no more.
pub const LONGEST_COPY: usize = 74_000;

/// Asks for clicks and the wheel, not for every movement.
const CLICKS: &str = "\x1b[?1000h\x1b[?1006h";

/// Keys that may wait for the app.
const KEYS: usize = 256;

/// SIGCONT, which has no name among tokio's kinds.
const CONTINUE: i32 = rustix::process::Signal::CONT.as_raw();

/// What the loop asks of a terminal besides drawing on it.
pub trait Control {
    /// Hands text to the clipboard (OSC 52).
    fn copy(&mut self, text: &str) -> io::Result<()>;
    /// Rings.
    fn bell(&mut self) -> io::Result<()>;
    /// Takes the mouse, or leaves it to the terminal.
    fn mouse(&mut self, on: bool) -> io::Result<()>;
    /// Shows the cursor so.
    fn caret(&mut self, caret: Caret) -> io::Result<()>;
    /// Gives the terminal back, stops the program, and takes the terminal again when it goes on.
    fn suspend(&mut self) -> io::Result<()>;
    /// Takes the terminal again after the program was stopped without being asked.
    fn resume(&mut self) -> io::Result<()>;
    /// The way that drawn bytes take, when there is one whose speed matters.
    fn flow(&self) -> Option<Flow> {
        None
    }
}

/// Shows the app on the real terminal until the operator leaves.
pub async fn run(app: &mut App) -> anyhow::Result<()> {
    let flow = Flow::stdout();
    let mut guard = Guard::take(flow.clone(), app.is_thin())?;
    let mut terminal = Terminal::new(Encoder::new(Outlet::new(flow.clone())))?;
    let mut input = Box::pin(input(flow)?);
    // In a task of its own: to ask crossterm for keys while its thread waits for one takes a tenth of a millisecond, and
    // the loop would ask whenever something else has come.
    let (sender, mut keys) = mpsc::channel(KEYS);
    let reading = tokio::spawn(async move {
        while let Some(event) = input.next().await {
            // The app has left when nobody takes it.
            if sender.send(event).await.is_err() {
                break;
            }
        }
    });
    let keys = futures::stream::poll_fn(move |cx| keys.poll_recv(cx));
    let result = app.run(&mut terminal, &mut guard, keys).await;
    reading.abort();
    app.leave();
    result
}

/// Keys and the mouse, and the signals that ask the program to end. Ends when the terminal is gone.
fn input(flow: Flow) -> io::Result<impl Stream<Item = Event>> {
    let stop = futures::stream::select(
        told(signal(SignalKind::terminate())?, || Event::Stop),
        told(signal(SignalKind::hangup())?, || Event::Stop),
    );
    // Whoever stopped us may have used the terminal meanwhile.
    let went_on = told(signal(SignalKind::from_raw(CONTINUE))?, || Event::Continued);
    let stop = futures::stream::select(stop, went_on);
    let keys = crossterm::event::EventStream::new()
        .take_while(|event| std::future::ready(event.is_ok()))
        .filter_map(|event| std::future::ready(event.ok().map(Event::from)));
    let keys = Replies::new(flow)
        .taken_out(keys)
        .chain(futures::stream::once(std::future::ready(Event::Stop)));
    Ok(futures::stream::select(keys, stop))
}

fn told(signal: Signal, event: fn() -> Event) -> impl Stream<Item = Event> {
    futures::stream::unfold(signal, move |mut signal| async move {
        signal.recv().await.map(|()| (event(), signal))
    })
}

/// Holds the terminal; gives it back when dropped.
pub struct Guard {
    mouse: bool,
    /// On a thin line the mouse tells of clicks only.
    thin: bool,
    flow: Flow,
    /// What a panic said: told when the terminal can be read again.
    panic: Arc<Mutex<Option<String>>>,
}

impl Guard {
    /// Takes the terminal. From now on a panic is logged, and told only behind the screen: one in a
    /// task costs that task, and the screen stays; one of the app drops this guard.
    pub fn take(flow: Flow, thin: bool) -> io::Result<Self> {
        let panic = Arc::new(Mutex::new(None));
        let told = panic.clone();
        std::panic::set_hook(Box::new(move |info| {
            // Where it came from is for the log, in which there is room.
            tracing::error!("{info}");
            let trace = Backtrace::capture();
            if trace.status() == BacktraceStatus::Captured {
                trace.to_string().lines().for_each(|line| tracing::error!("{line}"));
            }
            *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(info.to_string());
        }));
        enter(true, thin)?;
        if !std::env::var("TERM").is_ok_and(|term| term == "dumb" || term == "linux") {
            flow.ask();
        }
        Ok(Self { mouse: true, thin, flow, panic })
    }
}

impl Drop for Guard {
    #[expect(clippy::print_stderr, reason = "the screen is down")]
    fn drop(&mut self) {
        self.flow.drain();
        leave();
        let said = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (true, Some(said)) = (std::thread::panicking(), said) {
            eprintln!("a fault of ours: {said}");
        }
    }
}

fn enter(mouse: bool, thin: bool) -> io::Result<()> {
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste, EnableFocusChange)?;
    if mouse {
        stdout().write_all(take_mouse(thin).as_bytes())?;
        stdout().flush()?;
    }
    Ok(())
}

/// What takes the mouse.
fn take_mouse(thin: bool) -> String {
    if thin { CLICKS.to_owned() } else { ansi(&EnableMouseCapture) }
}

fn ansi(command: &impl crossterm::Command) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    command.write_ansi(&mut text).unwrap_or_default();
    text
}

/// Gives the terminal back. Nothing more can be done about errors here.
fn leave() {
    drop(execute!(
        stdout(),
        DisableMouseCapture,
        DisableFocusChange,
        DisableBracketedPaste,
        SetCursorStyle::DefaultUserShape,
        LeaveAlternateScreen,
        crossterm::cursor::Show
    ));
    drop(disable_raw_mode());
}

impl Control for Guard {
    fn copy(&mut self, text: &str) -> io::Result<()> {
        let mut end = text.len().min(LONGEST_COPY);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let encoded = data_encoding::BASE64.encode(&text.as_bytes()[..end]);
        self.flow.write(format!("\x1b]52;c;{encoded}\x07").as_bytes())
    }

    fn bell(&mut self) -> io::Result<()> {
        self.flow.write(b"\x07")
    }

    fn mouse(&mut self, on: bool) -> io::Result<()> {
        self.mouse = on;
        let text = if on { take_mouse(self.thin) } else { ansi(&DisableMouseCapture) };
        self.flow.write(text.as_bytes())
    }

    fn caret(&mut self, caret: Caret) -> io::Result<()> {
        let style = match caret {
            Caret::Own => SetCursorStyle::DefaultUserShape,
            Caret::Block => SetCursorStyle::SteadyBlock,
            Caret::Underline => SetCursorStyle::SteadyUnderScore,
            Caret::Beam => SetCursorStyle::SteadyBar,
        };
        execute!(stdout(), style)
    }

    fn suspend(&mut self) -> io::Result<()> {
        self.flow.drain();
        leave();
        // The whole group, as the terminal itself does it: a shell then sees its job stop.
        rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)?;
        enter(self.mouse, self.thin)
    }

    fn resume(&mut self) -> io::Result<()> {
        // A shell between us and the terminal may have set it for itself: set it for us again.
        disable_raw_mode()?;
        self.flow.drain();
        enter(self.mouse, self.thin)
    }

    fn flow(&self) -> Option<Flow> {
        Some(self.flow.clone())
    }
}
