//! `replay`: a recording in this terminal, as it was, with seeking and at any speed.

use super::recordings::{self, span};
use super::shell::passage::{Modes, Passage};
use super::shell::terminal::{self, Paper, Raw};
use crate::App;
use crate::args;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use clap::Args;
use cmdr_protocol::display;
use cmdr_protocol::recordings::{Event, EventKind, Read};
use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Replay a recording in this terminal.
///
/// It is shown as the terminal showed it, at its own pace. Space stops and goes on, the arrows left and
/// right go 5 seconds back and on, down and up a minute, + and - change the speed, 0 begins anew, q
/// ends it. A terminal as large as the recorded one shows it best.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// A recording's number, or an asciicast v2 file.
    #[arg(value_name = "ID|FILE")]
    what: String,

    /// So many times as fast.
    #[arg(long, default_value_t = 1.0, value_name = "N", value_parser = recordings::speed)]
    speed: f64,

    /// No pause longer than this.
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    idle_limit: Option<Duration>,
}

/// The most that is held of one recording.
const LARGEST: usize = 512 << 20;
/// How far the arrows go.
const STEP: Duration = Duration::from_secs(5);
const LEAP: Duration = Duration::from_mins(1);
/// Bytes written between two looks at the keyboard.
const PIECE: usize = 64 * 1024;

/// What is replayed: output with its times, pauses cut to the limit.
#[derive(Debug, Default)]
struct Film {
    events: Vec<(Duration, Vec<u8>)>,
    /// The recorded terminal, or a command without one.
    has_terminal: bool,
    size: Option<(u16, u16)>,
    bytes: usize,
    last: Duration,
    shown: Duration,
}

impl Film {
    /// False when there is no room for more.
    fn add(&mut self, event: Event, limit: Option<Duration>) -> bool {
        if event.kind != EventKind::Output {
            return true;
        }
        let at = Duration::from_micros(event.at_us).max(self.last);
        let pause = at.saturating_sub(self.last);
        self.last = at;
        self.shown += limit.map_or(pause, |limit| pause.min(limit));
        self.bytes += event.data.len();
        self.events.push((self.shown, event.data));
        self.bytes <= LARGEST
    }

    fn length(&self) -> Duration {
        self.events.last().map_or(Duration::ZERO, |(at, _)| *at)
    }
}

fn too_long() -> Failure {
    Failure::failed("the recording is too long to go back and on in")
        .hint("see it once, from front to back: cmdr recordings play ID")
}

async fn from_hub(app: &App, id: u64, limit: Option<Duration>) -> Result<Film, Failure> {
    let hub = Hub::connect(app).await?;
    let read = Read { id, from_ms: 0 };
    let mut feed = hub.client.feed(None, &read).await.map_err(Failure::from_hub)?;
    let mut film = Film::default();
    while let Some(item) = feed.next().await {
        let item = item.map_err(Failure::from_hub)?;
        if let Some(recording) = item.recording {
            film.has_terminal = recording.terminal.is_some();
            film.size = recording.terminal.map(|size| (size.columns, size.rows));
        }
        for event in item.events {
            if !film.add(event, limit) {
                return Err(too_long());
            }
        }
        if !item.damage.is_empty() {
            app.out.warn(&format!("the recording does not go on: {}", item.damage));
        }
    }
    Ok(film)
}

fn from_file(path: &Path, limit: Option<Duration>) -> Result<Film, Failure> {
    #[derive(serde::Deserialize)]
    struct Head {
        version: u32,
        width: u16,
        height: u16,
        #[serde(default)]
        method: String,
    }
    let bad = |what: String| Failure::usage(format!("{}: {what}", path.display()));
    let file = std::fs::File::open(path).map_err(|e| bad(e.to_string()))?;
    let mut lines = BufReader::new(std::io::Read::take(file, LARGEST as u64)).lines();
    let first = lines.next().transpose().map_err(|e| bad(e.to_string()))?.unwrap_or_default();
    let head: Head =
        serde_json::from_str(&first).map_err(|e| bad(format!("is no asciicast file: {e}")))?;
    if head.version != 2 {
        return Err(bad(format!("is asciicast version {}; version 2 is read", head.version)));
    }
    let has_terminal = head.method != "exec.start";
    let size = Some((head.width, head.height));
    let mut film = Film { has_terminal, size, ..Film::default() };
    for (number, line) in lines.enumerate() {
        let line = line.map_err(|e| bad(e.to_string()))?;
        if line.trim().is_empty() {
            continue;
        }
        let (at, kind, data): (f64, String, String) = serde_json::from_str(&line)
            .map_err(|e| bad(format!("line {} is no event: {e}", number + 2)))?;
        let at_us = (at.clamp(0.0, 1e9) * 1e6) as u64;
        let event = Event { at_us, kind: EventKind::parse(&kind), data: data.into_bytes() };
        if !film.add(event, limit) {
            return Err(too_long());
        }
    }
    Ok(film)
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wish {
    Pause,
    Back(Duration),
    On(Duration),
    Faster,
    Slower,
    Begin,
    Quit,
}

/// Reads keys; those that mean nothing, and what the terminal answers to programs that are long over,
/// are passed over.
fn wishes(typed: &[u8]) -> Vec<Wish> {
    let mut wishes = Vec::new();
    let mut rest = typed;
    while let Some((&key, after)) = rest.split_first() {
        rest = after;
        wishes.extend(match key {
            0x1b => {
                let sequence = matches!(after.first(), Some(b'[' | b'O'));
                let end = after.iter().skip(1).position(|b| (0x40..=0x7e).contains(b));
                let Some(end) = end.filter(|_| sequence) else { continue };
                let last = (end == 0).then(|| after[1]);
                rest = &after[end + 2..];
                match last {
                    Some(b'C') => Some(Wish::On(STEP)),
                    Some(b'D') => Some(Wish::Back(STEP)),
                    Some(b'A') => Some(Wish::On(LEAP)),
                    Some(b'B') => Some(Wish::Back(LEAP)),
                    _ => None,
                }
            }
            b' ' => Some(Wish::Pause),
            b'+' | b'=' => Some(Wish::Faster),
            b'-' => Some(Wish::Slower),
            b'0' => Some(Wish::Begin),
            b'q' | 0x03 => Some(Wish::Quit),
            _ => None,
        });
    }
    wishes
}

/// Where we are in a film.
#[derive(Debug)]
struct Player {
    film: Film,
    /// The next event.
    next: usize,
    /// What moment of the film it is, and since when.
    at: Duration,
    since: Instant,
    speed: f64,
    paused: bool,
}

impl Player {
    fn now(&self) -> Duration {
        if self.paused {
            return self.at;
        }
        self.at + self.since.elapsed().mul_f64(self.speed)
    }

    /// When the next event is due.
    fn due(&self) -> Option<Instant> {
        let (at, _) = self.film.events.get(self.next)?;
        let left = at.saturating_sub(self.at).div_f64(self.speed);
        (!self.paused).then(|| self.since + left)
    }

    /// Takes in a wish; whether all begins anew, with an empty screen.
    fn wish(&mut self, wish: Wish) -> bool {
        let now = self.now().min(self.film.length());
        (self.at, self.since) = (now, Instant::now());
        match wish {
            Wish::Pause => self.paused = !self.paused,
            Wish::On(step) => self.at = (now + step).min(self.film.length()),
            Wish::Back(step) => self.at = now.saturating_sub(step),
            Wish::Begin => self.at = Duration::ZERO,
            Wish::Faster => self.speed = (self.speed * 2.0).min(1000.0),
            Wish::Slower => self.speed = (self.speed / 2.0).max(0.01),
            Wish::Quit => {}
        }
        let back = self.film.events[..self.next].last().is_some_and(|(at, _)| *at > self.at);
        if back {
            self.next = 0;
        }
        back
    }

    /// What is due by now, as far as it fits into one piece.
    fn piece(&mut self) -> Vec<u8> {
        let now = self.now();
        let mut piece = Vec::new();
        while let Some((at, data)) = self.film.events.get(self.next)
            && *at <= now
            && piece.len() < PIECE
        {
            piece.extend_from_slice(data);
            self.next += 1;
        }
        piece
    }

    fn is_over(&self) -> bool {
        self.next == self.film.events.len()
    }
}

pub(super) async fn run(app: &App, args: &ReplayArgs) -> Result<Exit, Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::usage("a replay needs a terminal, and this is none")
            .hint("what was written, at once: cmdr recordings cat ID"));
    }
    let film = match args.what.parse() {
        Ok(id) => from_hub(app, id, args.idle_limit).await?,
        Err(_) => from_file(Path::new(&args.what), args.idle_limit)?,
    };
    let ours = terminal::size();
    if let Some((columns, rows)) = film.size
        && film.has_terminal
        && (columns > ours.columns || rows > ours.rows)
    {
        app.out.warn(&format!(
            "it was recorded in {columns}x{rows}, and this terminal has {}x{}",
            ours.columns, ours.rows
        ));
    }
    app.out.hint("space stops, arrows seek, + and - change the speed, q ends");
    let player = Player {
        film,
        next: 0,
        at: Duration::ZERO,
        since: Instant::now(),
        speed: args.speed,
        paused: false,
    };
    play(player).await?;
    Ok(Exit::Ok)
}

async fn play(mut player: Player) -> Result<(), Failure> {
    let modes = Arc::new(Mutex::new(Modes::default()));
    let held = || modes.lock().unwrap_or_else(PoisonError::into_inner);
    let mut keyboard = terminal::keyboard()?;
    let mut paper = Paper::new()?;
    let raw = Raw::enter(modes.clone())?;
    let mut passage = Passage::new(false);
    let mut filter = display::Filter::new();
    loop {
        let piece = player.piece();
        if !piece.is_empty() {
            let shown = if player.film.has_terminal {
                passage.push(&piece, &mut held())
            } else {
                filter.push(&piece).replace('\n', "\r\n").into_bytes()
            };
            if !paper.write(shown, 0).await {
                break;
            }
        }
        if player.is_over() && !player.paused {
            break;
        }
        let due = player.due();
        let typed = tokio::select! {
            biased;
            typed = keyboard.recv() => typed,
            () = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            } => continue,
        };
        let wishes = wishes(&typed.unwrap_or_else(|| b"q".to_vec()));
        if wishes.contains(&Wish::Quit) {
            break;
        }
        for wish in wishes {
            if player.wish(wish) {
                let mut reset = held().undo();
                reset.extend_from_slice(b"\x1b[H\x1b[2J");
                passage = Passage::new(false);
                if !paper.write(reset, 0).await {
                    break;
                }
            }
            if wish == Wish::Pause && player.paused {
                let word = format!(
                    "\x1b7\x1b[999;1H\x1b[0;7m {} of {} \x1b[0m\x1b8",
                    span(player.at.as_millis() as u64),
                    span(player.film.length().as_millis() as u64)
                );
                paper.write(word.into_bytes(), 0).await;
            }
        }
    }
    paper.finish().await;
    drop(raw);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn player(times: &[u64]) -> Player {
        let mut film = Film::default();
        for at in times {
            let event = Event {
                at_us: at * 1_000_000,
                kind: EventKind::Output,
                data: format!("{at};").into_bytes(),
            };
            assert!(film.add(event, Some(Duration::from_secs(10))));
        }
        let since = Instant::now();
        Player { film, next: 0, at: Duration::ZERO, since, speed: 1.0, paused: true }
    }

    #[tokio::test(start_paused = true)]
    async fn going_back_begins_anew_and_going_on_shows_what_lies_between() {
        let mut player = player(&[0, 1, 7, 100]);
        assert_eq!(player.film.length(), Duration::from_secs(17), "long pauses are cut");
        assert_eq!(player.piece(), b"0;");
        assert!(!player.wish(Wish::On(STEP)));
        assert_eq!(player.piece(), b"1;");
        assert!(!player.wish(Wish::On(STEP)));
        assert_eq!(player.piece(), b"7;");
        assert!(player.wish(Wish::Back(STEP)));
        assert_eq!(player.piece(), b"0;1;");
        assert!(!player.wish(Wish::On(LEAP)));
        assert_eq!(player.piece(), b"7;100;");
        assert!(player.is_over());
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_at_its_speed_and_stands_while_it_is_stopped() {
        let mut player = player(&[0, 4]);
        player.wish(Wish::Pause);
        player.wish(Wish::Faster);
        player.piece();
        assert_eq!(player.due().unwrap() - Instant::now(), Duration::from_secs(2));
        tokio::time::advance(Duration::from_secs(1)).await;
        player.wish(Wish::Pause);
        tokio::time::advance(Duration::from_mins(1)).await;
        assert_eq!(player.now(), Duration::from_secs(2));
        assert_eq!(player.due(), None);
    }

    #[test]
    fn keys_are_read_and_answers_of_the_terminal_are_not() {
        assert_eq!(wishes(b" +-q"), [Wish::Pause, Wish::Faster, Wish::Slower, Wish::Quit]);
        assert_eq!(wishes(b"\x1b[C\x1bOD"), [Wish::On(STEP), Wish::Back(STEP)]);
        assert_eq!(wishes(b"\x1b[?62;1;6c\x1b[5;10R\x1b"), []);
    }

    #[test]
    fn an_asciicast_file_is_read_and_another_is_named() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{{\"version\":2,\"width\":100,\"height\":30}}").unwrap();
        writeln!(file, "[0.5,\"o\",\"a\\u001b[31m\"]\n[0.6,\"i\",\"x\"]\n[1.5,\"r\",\"80x24\"]")
            .unwrap();
        let film = from_file(file.path(), None).unwrap();
        assert_eq!((film.size, film.events.len()), (Some((100, 30)), 1));
        writeln!(file, "not an event").unwrap();
        assert!(from_file(file.path(), None).unwrap_err().message.contains("line 5"));
    }
}
