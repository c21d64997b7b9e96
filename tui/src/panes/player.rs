//! What a command wrote, shown again with its timing, or as it comes. Only a piece of the recording is
//! here at a time; what one goes to is read from there.

mod bar;
mod clock;
mod pan;
mod played;
mod screen;
mod sought;
mod status;

use super::records::acts::{self, Reader};
use super::{Context, Pane, Place, Subscription};
use crate::action::{Action, reason};
use crate::keymap::{Binding, Command, key};
use crate::overlays::prompt::Prompt;
use crate::store::recordings::tape::{self, Tape};
use crate::store::recordings::{is_end, reel};
use crate::store::{FeedKey, FeedState, Update, audit};
use crate::theme::Role;
use crate::widgets::{frame as boxes, table};
use clock::Clock;
use cmdr_protocol::recordings::{Hit, Recording, Search, SetMark, State, Stop, Watch};
use cmdr_protocol::{Call as _, Feed as _};
use crossterm::event::{MouseEvent, MouseEventKind};
use pan::Part;
use played::Played;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use screen::Look;
use sought::Sought;
use std::time::Duration;

const PLAY: Command = Command::Own(0);
const FASTER: Command = Command::Own(1);
const SLOWER: Command = Command::Own(2);
const NEXT_MARK: Command = Command::Own(3);
const PREVIOUS_MARK: Command = Command::Own(4);
const PAUSES: Command = Command::Own(5);
const JUMP: Command = Command::Own(6);
const WATCH: Command = Command::Own(7);
const STOP: Command = Command::Own(8);
const MARK: Command = Command::Own(9);
const HOST: Command = Command::Own(10);
const ASIDE: Command = Command::Own(11);
const BESIDE: Command = Command::Own(12);
const CURSOR: Command = Command::Own(13);

static TABLES: &[&[Binding]] = &[BINDINGS, MOVING];

const BINDINGS: &[Binding] = &[
    key(&["<space>"], PLAY, "player.key.play").hint(),
    key(&["<left>"], Command::Left, "player.key.left").hint(),
    key(&["<right>"], Command::Right, "player.key.right"),
    key(&["]"], NEXT_MARK, "player.key.next_mark").hint(),
    key(&["["], PREVIOUS_MARK, "player.key.previous_mark"),
    key(&["+", "="], FASTER, "player.key.faster").hint(),
    key(&["-"], SLOWER, "player.key.slower"),
    key(&["i"], PAUSES, "player.key.pauses"),
    key(&["t"], JUMP, "player.key.jump").hint(),
    key(&["/"], Command::Filter, "player.key.search").needs(Search::METHOD).hint(),
    key(&["n"], Command::NextMatch, "key.next_match"),
    key(&["N"], Command::PreviousMatch, "key.previous_match"),
    key(&["w"], WATCH, "recordings.key.watch").needs(Watch::METHOD).hint(),
    key(&["x"], STOP, "recordings.key.stop").danger(Stop::METHOD),
    key(&["m"], MARK, "recordings.key.mark").danger(SetMark::METHOD),
    key(&["H"], HOST, "audit.key.host"),
    key(&["Y"], Command::CopyCommand, "key.copy_command"),
];

/// Moving in what is shown.
const MOVING: &[Binding] = &[
    key(&["j", "<down>"], Command::Down, "key.down"),
    key(&["k", "<up>"], Command::Up, "key.up"),
    key(&["C-d"], Command::HalfDown, "key.half_down"),
    key(&["C-u"], Command::HalfUp, "key.half_up"),
    key(&["<pagedown>", "C-f"], Command::PageDown, "key.page_down"),
    key(&["<pageup>", "C-b"], Command::PageUp, "key.page_up"),
    key(&["<"], ASIDE, "player.key.aside"),
    key(&[">"], BESIDE, "player.key.beside"),
    key(&["c"], CURSOR, "player.key.cursor"),
    key(&["g", "<home>"], Command::Top, "player.key.begin"),
    key(&["G", "<end>"], Command::Bottom, "player.key.end"),
];

/// How far the arrow keys go.
const SEEK_US: u64 = 10_000_000;
/// So many bytes are read ahead.
const AHEAD: usize = 256 << 10;
/// A recording up to this size is read from its beginning wherever one goes.
const SMALL: u64 = 2 << 20;
/// How much before a place is read at first, so that it does not stand on an empty screen.
const BEFORE_MS: u64 = 30_000;
/// After an error that may pass it is tried again when so much time went by.
const AGAIN_MS: u64 = 3000;

/// The pane.
pub struct PlayerPane {
    id: u64,
    /// This pane among those that play something.
    owner: u64,
    clock: Clock,
    /// Lines up from the newest.
    back: usize,
    live: bool,
    /// Begun so far before the place, when it was not read from the beginning.
    before_ms: u64,
    sought: Option<Sought>,
    reader: Reader,
    /// Cells of the lines, as they were drawn last; and up to when.
    seen: (u16, u16),
    drawn_us: u64,
    /// The terminal, when one was recorded.
    played: Option<Played>,
    /// What was seen of it, and from where it is to be seen when it was moved by hand.
    part: Part,
    panned: Option<(u16, u16)>,
}

impl PlayerPane {
    /// Plays it from its beginning.
    pub fn of(id: u64) -> Self {
        Self {
            id,
            owner: audit::owner(),
            clock: Clock::at(0, true),
            back: 0,
            live: false,
            before_ms: BEFORE_MS,
            sought: None,
            reader: Reader::default(),
            seen: (80, 20),
            drawn_us: 0,
            played: None,
            part: Part::default(),
            panned: None,
        }
    }

    /// Stands at something that was found, so many hits after the first of the same moment.
    #[must_use]
    pub fn at(text: &str, hit: &Hit, earlier: usize) -> Self {
        let sought = acts::pattern(text)
            .ok()
            .map(|regex| Sought { pending: Some((hit.clone(), earlier)), ..Sought::of(regex) });
        let clock = Clock::at(hit.at_ms * 1000 + 999, false);
        Self { clock, sought, ..Self::of(hit.id) }
    }

    /// Watches it as it runs.
    #[must_use]
    pub fn live(id: u64) -> Self {
        Self { live: true, clock: Clock::at(0, false), ..Self::of(id) }
    }

    fn tape<'a>(&self, context: &Context<'a>) -> Option<&'a Tape> {
        context.store.recordings.tapes.get(self.owner)
    }

    fn key(&self) -> FeedKey {
        FeedKey::own::<Watch>(None, self.owner)
    }

    /// A watch that ended begins anew at once when it is wanted again.
    fn forget_feed(&self) -> Action {
        let key = self.key();
        Action::Apply(Update::new(move |store| drop(store.feeds.remove(&key))))
    }

    fn recording<'a>(&self, context: &Context<'a>) -> Option<&'a Recording> {
        self.tape(context)?.recording.as_ref()
    }

    /// Up to when lines are shown.
    fn until_us(&self, tape: &Tape) -> u64 {
        if self.live { tape.end_us() } else { self.clock.at_us }
    }

    /// From where to read for a place.
    fn begin_ms(&self, recording: Option<&Recording>, to_us: u64) -> u64 {
        let small = recording.is_some_and(is_small);
        if small { 0 } else { (to_us / 1000).saturating_sub(self.before_ms) }
    }

    /// Goes to a time.
    fn seek(&mut self, context: &Context<'_>, to_us: u64) -> Action {
        let Some(tape) = self.tape(context) else { return Action::None };
        let to_us = to_us.min(tape.total_us());
        self.live = false;
        self.clock.at_us = to_us;
        self.back = 0;
        self.before_ms = BEFORE_MS;
        if let Some(sought) = &mut self.sought {
            sought.line = None;
        }
        let large = tape.recording.as_ref().is_some_and(|recording| !is_small(recording));
        let far = large && to_us > tape.end_us() + BEFORE_MS * 1000 && !tape.is_whole;
        if to_us < tape.begin_us() || far {
            let from_ms = self.begin_ms(tape.recording.as_ref(), to_us);
            return Action::Apply(tape::open(self.owner, from_ms));
        }
        Action::None
    }

    fn seek_by(&mut self, context: &Context<'_>, by_us: i64) -> Action {
        let at_us = self.tape(context).map_or(0, |tape| self.until_us(tape));
        self.seek(context, at_us.saturating_add_signed(by_us))
    }

    fn seek_mark(&mut self, context: &Context<'_>, forward: bool) -> Action {
        let Some(tape) = self.tape(context) else { return Action::None };
        let at_us = self.until_us(tape);
        let marks = tape.recording.as_ref().map_or(&[][..], |recording| &recording.marks);
        let times = marks.iter().map(|mark| mark.at_ms * 1000);
        let to = if forward {
            times.filter(|at| *at > at_us).min()
        } else {
            // Whoever stands at a mark for a moment wants the one before it.
            times.filter(|at| at + 1_000_000 < at_us).max()
        };
        match to {
            Some(to) => self.seek(context, to),
            None => Action::Say(context.texts.get("player.no_mark").to_owned()),
        }
    }

    fn end(&mut self, context: &Context<'_>) -> Action {
        let Some(tape) = self.tape(context) else { return Action::None };
        self.clock.playing = false;
        let seek = self.seek(context, tape.total_us());
        let runs = tape.recording.as_ref().is_some_and(|r| r.state == State::Running);
        // It has gone on since it was read.
        if runs {
            Action::All(vec![seek, Action::Apply(tape::look_again(self.owner))])
        } else {
            seek
        }
    }

    fn scroll(&mut self, context: &Context<'_>, by: isize) -> Action {
        let Some(tape) = self.tape(context) else { return Action::None };
        if self.live {
            self.leave_live(tape);
        }
        self.clock.playing = false;
        let at_us = self.clock.at_us;
        let shown = tape.shown(at_us);
        // The oldest lines here fill the screen, and it stays full.
        let (width, height) = (usize::from(self.seen.0), usize::from(self.seen.1));
        let mut used = 0;
        let fit = tape.lines().iter().take(shown).take_while(|line| {
            let fits = used < height;
            used += screen::rows(line.text(at_us), width).len();
            fits
        });
        let most = shown - fit.count();
        self.back = self.back.saturating_add_signed(by).min(most);
        Action::None
    }

    /// Stays where it is while the rest goes on.
    fn leave_live(&mut self, tape: &Tape) {
        self.live = false;
        self.clock.playing = false;
        self.clock.at_us = tape.end_us();
    }

    fn play(&mut self, context: &Context<'_>) -> Action {
        let Some(tape) = self.tape(context) else { return Action::None };
        if self.live {
            self.leave_live(tape);
            return Action::None;
        }
        self.back = 0;
        self.clock.playing = !self.clock.playing;
        if self.clock.playing && tape.is_whole && self.clock.at_us >= tape.total_us() {
            return self.seek(context, 0);
        }
        Action::None
    }

    fn watch(&mut self, context: &Context<'_>) -> Action {
        let Some(recording) = self.recording(context) else { return Action::None };
        if self.live {
            return Action::None;
        }
        if recording.state != State::Running {
            return Action::Say(context.texts.get("recordings.not_running").to_owned());
        }
        self.live = true;
        self.back = 0;
        Action::All(vec![self.forget_feed(), Action::Apply(tape::open(self.owner, 0))])
    }

    /// What is to be read now, if anything.
    fn wants(&self, context: &Context<'_>, tape: &Tape) -> Option<Action> {
        if self.live || tape.is_whole || tape.loading || !tape.damage.is_empty() {
            return None;
        }
        if let Some((error, at_ms)) = &tape.failed {
            let soon = context.store.now_ms.saturating_sub(*at_ms) < AGAIN_MS;
            if soon || !crate::link::is_passing(error) {
                return None;
            }
        }
        if tape.ahead(self.clock.at_us) >= AHEAD {
            return None;
        }
        let read = self.reader.read(context, self.id, self.owner, tape.rest());
        Some(Action::All(vec![Action::Apply(tape::asking(self.owner)), read]))
    }

    /// Reads from further back when too little stands before the place to fill a screen.
    fn further_back(&mut self, tape: &Tape) -> Option<Action> {
        let from_ms = (self.clock.at_us / 1000).saturating_sub(self.before_ms);
        let here = tape.is_whole || tape.end_us() > self.clock.at_us;
        let few = tape.shown(self.clock.at_us) < usize::from(self.seen.1);
        let went = tape.begin_us() > (from_ms + self.before_ms) * 1000;
        if self.live || tape.from_start || tape.loading || !here || !few || from_ms == 0 || went {
            return None;
        }
        self.before_ms = self.before_ms.saturating_mul(8);
        let from_ms = (self.clock.at_us / 1000).saturating_sub(self.before_ms);
        Some(Action::Apply(tape::open(self.owner, from_ms)))
    }

    /// What became of watching, when it ended.
    fn unwatched(&mut self, context: &Context<'_>, tape: &Tape) -> Option<Action> {
        let Some(FeedState::Failed(error)) = context.store.feeds.get(&self.key()) else {
            return None;
        };
        self.leave_live(tape);
        let said = if is_end(error) {
            Action::Say(context.texts.get("player.over").to_owned())
        } else {
            Action::Complain(reason(error))
        };
        Some(Action::All(vec![
            self.forget_feed(),
            Action::Apply(tape::look_again(self.owner)),
            said,
        ]))
    }
}

/// Whether it is read from its beginning wherever one goes. A terminal is right only from there on.
fn is_small(recording: &Recording) -> bool {
    let most = if reel::is_terminal(recording) { reel::MOST as u64 } else { SMALL };
    recording.bytes <= most
}

/// Reads a place: `90` or `90s`, `1:05`, `1:02:03`, `50%`.
fn place(text: &str, total_us: u64) -> Option<u64> {
    let text = text.trim();
    if let Some(share) = text.strip_suffix('%') {
        let share: u64 = share.trim().parse().ok().filter(|share| *share <= 100)?;
        return Some(total_us / 100 * share);
    }
    let text = text.strip_suffix('s').unwrap_or(text);
    let parts: Vec<&str> = text.split(':').collect();
    let (last, before) = parts.split_last()?;
    let seconds: f64 = last.parse().ok().filter(|n: &f64| (0.0..1e9).contains(n))?;
    let mut minutes = 0u64;
    for part in before {
        minutes = minutes.checked_mul(60)?.checked_add(part.parse::<u32>().ok()?.into())?;
    }
    (before.len() <= 2).then_some(())?;
    minutes.checked_mul(60_000_000)?.checked_add((seconds * 1e6) as u64)
}

impl Pane for PlayerPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn can(&self, context: &Context<'_>, command: Command) -> bool {
        let runs = |r: &Recording| r.state == State::Running && !self.live;
        match command {
            WATCH => self.recording(context).is_some_and(runs),
            ASIDE | BESIDE | CURSOR => {
                self.tape(context).and_then(|tape| self.part(tape)).is_some_and(Part::is_cut)
            }
            _ => true,
        }
    }

    fn feeds(&self) -> Vec<Subscription> {
        let mut feeds = vec![super::hosts::feed()];
        if self.live {
            let watch = Watch { id: self.id, from_start: true };
            let owner = self.owner;
            feeds.push(Subscription::of_pane(self.key(), watch, move |store, item| {
                if let Some(tape) = store.recordings.tapes.get_mut(owner) {
                    tape.watched(item);
                }
            }));
        }
        feeds
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        let Some(tape) = self.tape(context) else {
            let from_ms = if self.live { 0 } else { self.begin_ms(None, self.clock.at_us) };
            let open = Action::Apply(tape::open(self.owner, from_ms));
            return if self.live { Action::All(vec![self.forget_feed(), open]) } else { open };
        };
        if self.live {
            return self.unwatched(context, tape).unwrap_or_default();
        }
        self.clock.advance(context.store.now_ms, tape);
        if let Some(sought) = &mut self.sought
            && sought.fresh
            && (!tape.found.running || !tape.found.hits.is_empty())
        {
            sought.fresh = false;
            return self.next(context, true);
        }
        self.show_hit(tape);
        let back = self.further_back(tape);
        back.or_else(|| self.wants(context, tape)).unwrap_or_default()
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        let page = isize::try_from(self.seen.1).unwrap_or(1);
        match command {
            PLAY => self.play(context),
            FASTER => {
                self.clock.faster();
                Action::None
            }
            SLOWER => {
                self.clock.slower();
                Action::None
            }
            PAUSES => {
                self.clock.short = !self.clock.short;
                Action::None
            }
            Command::Left => self.seek_by(context, -SEEK_US.cast_signed()),
            Command::Right => self.seek_by(context, SEEK_US.cast_signed()),
            NEXT_MARK => self.seek_mark(context, true),
            PREVIOUS_MARK => self.seek_mark(context, false),
            Command::Top => self.seek(context, 0),
            Command::Bottom => self.end(context),
            Command::Up => self.up(context, 1),
            Command::Down => self.up(context, -1),
            Command::HalfUp => self.up(context, page / 2),
            Command::HalfDown => self.up(context, -page / 2),
            Command::PageUp => self.up(context, page),
            Command::PageDown => self.up(context, -page),
            ASIDE => self.aside(context, -1),
            BESIDE => self.aside(context, 1),
            CURSOR => {
                (self.panned, self.back) = (None, 0);
                Action::None
            }
            JUMP => {
                let title = context.texts.get("player.jump").to_owned();
                let wrong = context.texts.get("player.jump_wrong");
                let prompt = Prompt::new(title, String::new(), "player.jump_hint", move |text| {
                    let known = place(text, 0).is_some();
                    let give = || Action::Give(JUMP, text.to_owned());
                    known.then(give).ok_or_else(|| wrong.to_owned())
                });
                Action::Open(Box::new(prompt))
            }
            Command::Filter => acts::ask_search(context, Command::Filter),
            Command::NextMatch => self.next(context, true),
            Command::PreviousMatch => self.next(context, false),
            WATCH => self.watch(context),
            STOP => self.recording(context).map_or(Action::None, |r| acts::stop(context, r)),
            MARK => self.recording(context).map_or(Action::None, |r| acts::mark(context, r)),
            HOST => {
                let host = self.recording(context).and_then(|recording| recording.host);
                let host = host.filter(|host| context.store.hosts.get(*host).is_some());
                host.map_or_else(
                    || Action::Say(context.texts.get("audit.no_host").to_owned()),
                    |host| Action::Go(Place::Host(host, 0)),
                )
            }
            Command::CopyCommand => Action::Copy(format!("cmdr replay {}", self.id)),
            _ => Action::Pass,
        }
    }

    fn take(&mut self, context: &Context<'_>, command: Command, text: &str) -> Action {
        match command {
            JUMP => {
                let total_us = self.tape(context).map_or(0, Tape::total_us);
                place(text, total_us).map_or(Action::None, |to| self.seek(context, to))
            }
            _ => self.search(context, text),
        }
    }

    fn wakes(&self, context: &Context<'_>) -> Option<Duration> {
        let tape = self.tape(context).filter(|_| context.store.is_up())?;
        if self.live {
            // What came is shown soon.
            return (tape.end_us() != self.drawn_us).then_some(Duration::from_millis(33));
        }
        self.clock.wakes(tape)
    }

    fn mouse(&mut self, context: &Context<'_>, mouse: &MouseEvent, _double: bool) -> Action {
        match mouse.kind {
            MouseEventKind::ScrollUp => self.up(context, 3),
            MouseEventKind::ScrollDown => self.up(context, -3),
            MouseEventKind::ScrollLeft => self.aside(context, -1),
            MouseEventKind::ScrollRight => self.aside(context, 1),
            _ => Action::Pass,
        }
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { store, theme, texts, .. } = *context;
        let Some(tape) = self.tape(context) else { return };
        let (x, width) = (area.x + 1, area.width.saturating_sub(2));
        let lines = Rect { y: area.y + 1, height: area.height.saturating_sub(3), ..area };
        self.seen = (width, lines.height);
        if let Some(recording) = &tape.recording {
            let (left, right) = Self::head(context, recording);
            let room = (right.width() as u16).min(width / 2);
            table::put(frame.buffer_mut(), x, area.y, width - room, &left, false);
            table::put(frame.buffer_mut(), x + width - room, area.y, room, &right, true);
        }
        let at_us = self.until_us(tape);
        self.drawn_us = at_us;
        let bottom = tape.shown(at_us).saturating_sub(self.back);
        let found = self.sought.as_ref().and_then(|sought| sought.line);
        let found = found.and_then(|id| tape.lines().iter().position(|line| line.id() == id));
        let sought = self.sought.as_ref().map(|sought| &sought.regex);
        let look = Look { at_us, bottom, sought, found };
        let free = if let Some(reel) = tape.reel().filter(|_| self.back == 0) {
            Played::show(&mut self.played, reel, at_us);
            if let Some(played) = &self.played {
                self.part = played.draw(frame.buffer_mut(), lines, theme, self.panned);
                self.edges(context, frame, lines);
            }
            0
        } else {
            screen::draw(context, frame, lines, tape, &look)
        };
        if bottom == 0 {
            let key = if tape.failed.is_some() || !tape.damage.is_empty() {
                "player.nothing"
            } else if tape.is_whole && tape.lines().is_empty() {
                "player.wrote_nothing"
            } else if tape.recording.is_none() || !tape.is_whole && tape.end_us() < at_us {
                "player.loading"
            } else {
                "player.nothing_yet"
            };
            let line = Line::styled(texts.get(key), theme.style(Role::Soft));
            super::notice(frame, lines, &[line]);
        } else if free > 0 && !tape.from_start {
            let line = Line::styled(texts.get("player.earlier"), theme.style(Role::Faint));
            let y = lines.bottom() - 1;
            table::put(frame.buffer_mut(), x, y, width, &line, false);
        }
        let marks = tape.recording.as_ref().map_or(&[][..], |recording| &recording.marks);
        let bar = bar::bar(context, (at_us, tape.total_us()), marks, usize::from(width));
        table::put(frame.buffer_mut(), x, area.bottom() - 2, width, &bar, false);
        let status = self.status(context, tape);
        table::put(frame.buffer_mut(), x, area.bottom() - 1, width, &status, false);
        if !store.is_up() {
            boxes::fade(frame.buffer_mut(), lines, theme);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_time_or_a_share() {
        let cases = [
            ("90", Some(90_000_000)),
            ("1.5s", Some(1_500_000)),
            ("1:05", Some(65_000_000)),
            ("1:02:03", Some(3_723_000_000)),
            ("50%", Some(1_000_000)),
            ("101%", None),
            ("-3", None),
            ("1:2:3:4", None),
            ("soon", None),
            ("", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(place(text, 2_000_000), wanted, "{text}");
        }
    }
}
