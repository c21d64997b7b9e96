//! What can be done with recordings, from wherever one stands: played, searched, watched, stopped,
//! marked by hand.

use crate::action::Action;
use crate::event::Event;
use crate::keymap::Command;
use crate::link::{Items, Link};
use crate::overlays::confirm::Confirm;
use crate::overlays::menu::Menu;
use crate::overlays::prompt::Prompt;
use crate::panes::player::PlayerPane;
use crate::panes::{Context, Place};
use crate::store::audit;
use crate::store::recordings::tape::{self, Piece};
use crate::store::recordings::{Where, forget, hits, marked, searching};
use cmdr_protocol::recordings::{
    Hit, Level, List, MAX_REMARK, MAX_SEARCH, Read, Recording, Search, SetMark, State, Stop,
};
use cmdr_protocol::{CallError, ErrorKind};
use regex::{Regex, RegexBuilder};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Bytes of events that are read at once, and how long that may take.
const PIECE: usize = 512 << 10;
const LONGEST: Duration = Duration::from_secs(30);
/// Lines that a search brings.
const HITS: u32 = 2000;
/// Before a regular expression.
const REGEX: char = '~';

/// Plays it.
pub(in crate::panes) fn open(id: u64) -> Action {
    Action::Enter(Place::Recording(id), Box::new(PlayerPane::of(id)))
}

/// Shows what was found in it, so many hits after the first of the same moment.
pub(super) fn open_at(hit: &Hit, text: &str, earlier: usize) -> Action {
    Action::Enter(Place::Recording(hit.id), Box::new(PlayerPane::at(text, hit, earlier)))
}

/// Watches it, when it still runs.
pub(super) fn watch(context: &Context<'_>, recording: &Recording) -> Action {
    if recording.state != State::Running {
        return Action::Say(context.texts.get("recordings.not_running").to_owned());
    }
    let id = recording.id;
    Action::Enter(Place::Recording(id), Box::new(PlayerPane::live(id)))
}

/// Looks whether there is a recording of this number, and goes on with it.
fn find(
    context: &Context<'_>,
    id: u64,
    go_on: impl FnOnce(Recording) -> Action + Send + 'static,
) -> Action {
    let none = context.texts.get("recordings.none_of_it");
    let what = context.texts.get("recordings.looking");
    let list = List { before: id.checked_add(1), limit: 1, ..List::default() };
    Action::call(what.to_owned(), None, list, move |page| {
        let found = page.recordings.into_iter().next().filter(|recording| recording.id == id);
        (None, found.map_or_else(|| Action::Say(none.to_owned()), go_on))
    })
}

/// Plays the recording of what was asked with this number, when there is one.
pub(in crate::panes) fn play(context: &Context<'_>, id: u64) -> Action {
    find(context, id, move |_| open(id))
}

/// Stops what was asked with this number, when it is recorded.
pub(super) fn stop_found(context: &Context<'_>, id: u64) -> Action {
    let (not_running, ask) = (texts_not_running(context), Question::new(context));
    find(context, id, move |recording| {
        if recording.state == State::Running {
            ask.open(&recording)
        } else {
            Action::Say(not_running.to_owned())
        }
    })
}

fn texts_not_running(context: &Context<'_>) -> &'static str {
    context.texts.get("recordings.not_running")
}

/// The texts of the question before a command is stopped.
struct Question {
    title: &'static str,
    what: &'static str,
    done: &'static str,
    told: &'static str,
}

impl Question {
    fn new(context: &Context<'_>) -> Self {
        let get = |key| context.texts.get(key);
        Self {
            title: get("recordings.stop.ask"),
            what: get("recordings.stop.what"),
            done: get("recordings.stop.done"),
            told: get("recordings.stop.told"),
        }
    }

    fn open(&self, recording: &Recording) -> Action {
        let clean = |text: &str| cmdr_protocol::display::clean(text).into_owned();
        let number = recording.id.to_string();
        let fill = |text: &str| text.replacen("{}", &number, 1);
        let (what, done) = (fill(self.what), fill(self.done));
        let call = Stop { id: recording.id, reason: String::new() };
        let act = Action::call(what, None, call, |_| (Some(forget()), Action::Say(done)));
        let about = vec![
            clean(&recording.command),
            format!("{} · {}", clean(&recording.operator), clean(&recording.host_name)),
            self.told.to_owned(),
        ];
        let command = format!("cmdr recordings stop {} --yes", recording.id);
        let confirm = Confirm::one(fill(self.title), act).about(about).copying(command);
        Action::Open(Box::new(confirm))
    }
}

/// Stops it, once that was confirmed.
pub(in crate::panes) fn stop(context: &Context<'_>, recording: &Recording) -> Action {
    if recording.state != State::Running {
        return Action::Say(texts_not_running(context).to_owned());
    }
    Question::new(context).open(recording)
}

/// Marks it by hand: first how grave it is, then why.
pub(in crate::panes) fn mark(context: &Context<'_>, recording: &Recording) -> Action {
    let texts = context.texts;
    let levels = [Level::None, Level::Notice, Level::Warning, Level::Danger, Level::Unknown];
    let item = |level: &Level| {
        let (sign, word, _) = super::recordings::level(*level);
        let (sign, word) = match level {
            Level::None => ("✓", "recordings.mark.harmless"),
            Level::Unknown => ("✗", "recordings.mark.clear"),
            _ => (sign, word),
        };
        (format!("{sign} {}", texts.get(word)), String::new())
    };
    let items = levels.iter().map(item).collect();
    let number = recording.id.to_string();
    let title = texts.fill("recordings.mark.ask", &[&number]);
    let what = texts.fill("recordings.mark.what", &[&number]);
    let done = texts.fill("recordings.mark.done", &[&number]);
    let too_long = texts.get("recordings.mark.too_long");
    let (id, why) = (recording.id, title.clone());
    let old = recording.remark.as_ref().map_or_else(String::new, |remark| remark.text.clone());
    let at = recording.remark.as_ref().and_then(|r| levels.iter().position(|l| *l == r.level));
    let set = move |level: Level, remark: String| {
        let call = SetMark { id, level, remark: remark.clone() };
        let done = done.clone();
        Action::call(what.clone(), None, call, move |_| {
            (Some(marked(id, level, remark)), Action::Say(done))
        })
    };
    let menu = Menu::new(title, items, at.unwrap_or(1), move |at| {
        let level = levels.get(at).copied().unwrap_or_default();
        if level == Level::Unknown {
            return set(level, String::new());
        }
        let set = set.clone();
        let prompt = Prompt::new(why.clone(), old.clone(), "recordings.mark.hint", move |text| {
            let text = text.trim().to_owned();
            if text.len() > MAX_REMARK {
                return Err(too_long.to_owned());
            }
            Ok(set(level, text))
        });
        Action::Open(Box::new(prompt))
    });
    Action::Open(Box::new(menu))
}

/// The expression for a text that is typed: the text itself, or a regular expression after a `~`.
pub(in crate::panes) fn pattern(text: &str) -> Result<Regex, String> {
    let source = text.strip_prefix(REGEX).map_or_else(|| regex::escape(text), str::to_owned);
    let built = RegexBuilder::new(&source).case_insensitive(true).size_limit(1 << 20).build();
    built.map_err(|error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

/// Asks for a text to search for; the pane gets it with this command.
pub(in crate::panes) fn ask_search(context: &Context<'_>, command: Command) -> Action {
    let title = context.texts.get("recordings.search.ask").to_owned();
    let wrong = context.texts.get("recordings.search.wrong");
    let prompt = Prompt::new(title, String::new(), "recordings.search.hint", move |text| {
        if text.trim_start_matches(REGEX).is_empty() || text.len() > MAX_SEARCH {
            return Err(wrong.to_owned());
        }
        pattern(text).map(|_| Action::Give(command, text.to_owned()))
    });
    Action::Open(Box::new(prompt))
}

/// Searches on the hub, until what comes with it is dropped.
pub(in crate::panes) fn search(place: Where, text: &str, id: Option<u64>) -> (Action, Arc<()>) {
    let generation = audit::owner();
    let wanted = Search {
        id,
        text: text.strip_prefix(REGEX).unwrap_or(text).to_owned(),
        regex: text.starts_with(REGEX),
        limit: HITS,
        ..Search::default()
    };
    let held = Arc::new(());
    let follow =
        Action::follow(wanted, Arc::downgrade(&held), move |item| hits(place, generation, item));
    let begin = Action::Apply(searching(place, generation, text.to_owned()));
    (Action::All(vec![begin, follow]), held)
}

/// A reading that goes on where it stopped: the hub's audit log has each one that is begun.
#[derive(Clone, Default)]
pub(in crate::panes) struct Reader(Arc<Mutex<Option<Reading>>>);

struct Reading {
    /// The millisecond it has come to, and how many events of it came.
    at: (u64, usize),
    items: Items<Read>,
}

impl Reader {
    /// Reads the next piece for a pane, from a millisecond on, but for so many events of it that are here
    /// already.
    pub(in crate::panes) fn read(
        &self,
        context: &Context<'_>,
        id: u64,
        owner: u64,
        from: (u64, usize),
    ) -> Action {
        let reader = self.clone();
        let [number, seconds] = [id, LONGEST.as_secs()].map(|n| n.to_string());
        let late = context.texts.fill("player.no_answer", &[&number, &seconds]);
        Action::Errand(Box::new(move |link| {
            Box::pin(async move {
                let reading = tokio::time::timeout(LONGEST, reader.piece(&link, id, from));
                let late = |_| Err(CallError::new(ErrorKind::TimedOut, late));
                let piece = reading.await.unwrap_or_else(late);
                Event::Done(Some(tape::read(owner, from, piece)), Action::None)
            })
        }))
    }

    async fn piece(&self, link: &Link, id: u64, from: (u64, usize)) -> Result<Piece, CallError> {
        let mut held = self.0.lock().await;
        let (mut items, mut known) = match held.take().filter(|reading| reading.at == from) {
            Some(reading) => (reading.items, 0),
            None => (link.feed(None, Read { id, from_ms: from.0 }).await?, from.1),
        };
        let (mut piece, mut size, mut at) = (Piece::default(), 0, from);
        while let Some(item) = items.next().await {
            let item = item?;
            piece.recording = piece.recording.or(item.recording);
            let skip = known.min(item.events.len());
            known -= skip;
            for event in item.events.into_iter().skip(skip) {
                let ms = (event.at_us / 1000).max(at.0);
                at = if ms == at.0 { (ms, at.1 + 1) } else { (ms, 1) };
                size += event.data.len() + 32;
                piece.events.push(event);
            }
            piece.damage = item.damage;
            if size >= PIECE {
                *held = Some(Reading { at, items });
                return Ok(piece);
            }
        }
        piece.is_last = true;
        Ok(piece)
    }
}
