//! The flight recorder of a host: what its processors, memory, disks and network did, with a cursor, and below who was
//! on top at the cursor's moment. Any page may open it at a time of its own ([`open`]).
//!
//! ```text
//! web1 · 14:02:31 · 3m ago · CPU 83% of 8 · memory 14.1 GiB of 31.9 GiB · 214 processes
//! ╭ CPU  memory  disks  network ──────────────── 13:32 – 14:02 ╮
//! │ 100% │          ⢠⡀ │                                        │
//! │    0 │⠤⠤⠤⠤⠤⠤⠤⠤⠤⠊⠱⠤│⠤⠤⠤⠤                                    │
//! │      └──┴13:40───────┴13:50──                               │
//! ╰─────────────────────────────────────────────────────────────╯
//!   WHAT      CPU%  MEM  READ  WRITE  RX  TX   PID  USER  NAME OR COMMAND
//! ```

mod asks;
mod draw;
mod keys;

use super::history::Window;
use super::sheet::View;
use super::{Context, Entry, Pane, Place, Subscription};
use crate::action::Action;
use crate::keymap::{Binding, Command};
use crate::overlays::prompt::Prompt;
use crate::store::audit;
use crate::store::recorder::{self as store, Held, KIND, KINDS, Stretch};
use crate::store::rights::Offer;
use crate::store::sheets::{Record, Target, Value};
use crate::widgets::table::{self, List as _};
use cmdr_protocol::human;
use cmdr_protocol::recorder::At;
use cmdr_protocol::{Call as _, HostId};
use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
pub use keys::columns;
use keys::{
    COLUMNS, EARLIER, FIGURE, GO, HOUR_EARLIER, HOUR_LATER, IN, KINDS_OF, LATER, LIVE,
    MINUTE_EARLIER, MINUTE_LATER, OLDEST, OUT, SPIKE_AFTER, SPIKE_BEFORE, TABLES, WINDOW_EARLIER,
    WINDOW_LATER,
};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};

/// What is shown first.
const USUAL_MS: u64 = 30 * MINUTE_MS;
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// What is drawn over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    Cpu,
    Memory,
    Disks,
    Network,
}

const FIGURES: [(Figure, &str, usize); 4] = [
    (Figure::Cpu, "word.cpu", 1),
    (Figure::Memory, "recorder.memory", 2),
    (Figure::Disks, "recorder.disks", 4),
    (Figure::Network, "recorder.network", 5),
];

/// Which moment is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// The newest one until then.
    At(u64),
    /// The first one after that.
    After(u64),
    /// The oldest of all.
    First,
}

/// The pane.
pub struct RecorderPane {
    /// What it has in the store.
    owner: u64,
    host: HostId,
    window: Window,
    /// Cells of the plot from left to right.
    cells: u64,
    figure: usize,
    /// The moment that is looked at; `None` for the newest, which goes on with the time.
    cursor_ms: Option<u64>,
    goal: Option<Goal>,
    /// What was asked for last, as long as the answer has not come.
    under: Option<Goal>,
    /// What the hub said up to this number was taken in.
    seen: u64,
    rows: View,
    /// One of the kinds of rows, else all.
    kinds: Option<usize>,
    plot: Rect,
}

fn is_process(row: &Record) -> bool {
    is_kind(row, 0)
}

fn is_program(row: &Record) -> bool {
    is_kind(row, 1)
}

fn is_unit(row: &Record) -> bool {
    is_kind(row, 2)
}

fn is_container(row: &Record) -> bool {
    is_kind(row, 3)
}

fn is_kind(row: &Record, kind: u8) -> bool {
    matches!(row.values.get(KIND), Some(Value::Ranked(rank, ..)) if *rank == u64::from(kind))
}

const ONLY: [fn(&Record) -> bool; 4] = [is_process, is_program, is_unit, is_container];

impl RecorderPane {
    /// Of this host, at the newest moment.
    pub fn new(host: HostId) -> Self {
        let owner = audit::owner();
        Self {
            owner,
            host,
            window: Window { span_ms: USUAL_MS, end_ms: None },
            cells: 100,
            figure: 0,
            cursor_ms: None,
            goal: None,
            under: None,
            seen: 0,
            rows: View::new(store::sheet_of(owner), COLUMNS, FIGURES[0].2),
            kinds: None,
            plot: Rect::default(),
        }
    }

    /// Of this host, at this moment.
    pub fn at(host: HostId, at_ms: u64) -> Self {
        let mut pane = Self::new(host);
        pane.cursor_ms = Some(at_ms);
        pane.goal = Some(Goal::At(at_ms));
        pane.window.end_ms = Some(at_ms.saturating_add(USUAL_MS / 2));
        pane
    }

    fn figure(&self) -> Figure {
        FIGURES[self.figure].0
    }

    fn held<'a>(&self, context: &Context<'a>) -> Option<&'a Held> {
        context.store.recorders.get(self.owner)
    }

    fn stretch<'a>(&self, context: &Context<'a>) -> Option<&'a Stretch> {
        self.held(context)?.stretch.as_ref()?.as_ref().ok()
    }

    /// From one sample to the next.
    fn interval_ms(&self, context: &Context<'_>) -> u64 {
        let listing = self.held(context).and_then(|held| held.listing.as_ref());
        match listing {
            Some((Ok(listing), _)) if listing.interval_ms > 0 => listing.interval_ms,
            _ => 1000,
        }
    }

    /// The newest sample that is known of.
    fn newest_ms(&self, context: &Context<'_>) -> u64 {
        let held = self.held(context);
        let told = held.and_then(|held| held.listing.as_ref());
        let told = told.and_then(|(told, _)| told.as_ref().ok()).map_or(0, |told| told.to_ms);
        let shown = held.and_then(|held| held.moment.as_ref()).map_or(0, |moment| moment.at_ms);
        told.max(shown)
    }

    fn oldest_ms(&self, context: &Context<'_>) -> u64 {
        let told = self.held(context).and_then(|held| held.listing.as_ref());
        told.and_then(|(told, _)| told.as_ref().ok()).map_or(0, |told| told.from_ms)
    }

    /// Where one is: what is wanted, what was asked for, what is shown, or now.
    fn base(&self, context: &Context<'_>) -> u64 {
        let moment = self.held(context).and_then(|held| held.moment.as_ref());
        match self.goal.or(self.under) {
            Some(Goal::At(at) | Goal::After(at)) => at,
            Some(Goal::First) => self.oldest_ms(context),
            None => self
                .cursor_ms
                .or_else(|| moment.map(|moment| moment.at_ms))
                .unwrap_or(context.store.now_ms),
        }
    }

    /// One sample to the left or right; while an answer is awaited, by as much time as lies between two.
    fn step(&mut self, context: &Context<'_>, later: bool) -> Action {
        let base = self.base(context);
        let interval = self.interval_ms(context);
        let waits = self.goal.is_some() || self.under.is_some();
        match (later, waits) {
            (true, _) if self.cursor_ms.is_none() && !waits => {
                return Action::Say(context.texts.get("recorder.is_newest").to_owned());
            }
            (true, false) => self.goal = Some(Goal::After(base)),
            (true, true) => self.goal = Some(Goal::After(base.saturating_add(interval))),
            (false, false) => self.goal = Some(Goal::At(base.saturating_sub(1))),
            (false, true) => self.goal = Some(Goal::At(base.saturating_sub(interval))),
        }
        self.hold(base);
        Action::None
    }

    /// The cursor stays there until the answer comes.
    fn hold(&mut self, at_ms: u64) {
        self.cursor_ms.get_or_insert(at_ms);
    }

    /// To a moment; behind the newest one it goes on with the time, before the oldest it is that one.
    fn go(&mut self, context: &Context<'_>, at_ms: u64) -> Action {
        let (oldest, newest) = (self.oldest_ms(context), self.newest_ms(context));
        if newest > 0 && at_ms >= newest.saturating_add(self.interval_ms(context)) {
            self.live();
            return Action::None;
        }
        if oldest > 0 && at_ms < oldest {
            self.goal = Some(Goal::First);
            self.cursor_ms = Some(oldest);
            self.follow(oldest, context.store.now_ms);
            return Action::Say(context.texts.get("recorder.is_oldest").to_owned());
        }
        self.goal = Some(Goal::At(at_ms));
        self.cursor_ms = Some(at_ms);
        self.follow(at_ms, context.store.now_ms);
        Action::None
    }

    fn live(&mut self) {
        (self.cursor_ms, self.goal, self.window.end_ms) = (None, None, None);
    }

    /// Lets the window show this moment.
    fn follow(&mut self, at_ms: u64, now_ms: u64) {
        let (from, to) = self.window.bounds(now_ms, self.cells);
        if !(from..to).contains(&at_ms) {
            let end = at_ms.saturating_add(self.window.span_ms / 2);
            self.window.end_ms = (end < now_ms).then_some(end.max(self.window.span_ms));
        }
    }

    /// What is drawn: times and values of the first line, gaps as nothing.
    fn values(&self, context: &Context<'_>) -> Vec<(u64, Option<f64>)> {
        let middle = |from: u64, step: u64, n: usize| from + step * n as u64 + step / 2;
        match self.figure() {
            Figure::Cpu | Figure::Memory => {
                let Some(stretch) = self.stretch(context) else { return Vec::new() };
                let cpu = self.figure() == Figure::Cpu;
                let value = |(n, step): (usize, &cmdr_protocol::recorder::Step)| {
                    let at = middle(stretch.from_ms, stretch.step_ms, n);
                    match (step.samples, cpu) {
                        (0, _) => (at, None),
                        (_, true) => (step.peak_ms, Some(f64::from(step.peak_cpu))),
                        (_, false) => (at, Some(step.memory as f64)),
                    }
                };
                stretch.steps.iter().enumerate().map(value).collect()
            }
            Figure::Disks | Figure::Network => {
                let held = self.held(context).and_then(|held| held.traffic.as_ref());
                let disks = self.figure() == Figure::Disks;
                let Some(traffic) = held.filter(|traffic| traffic.disks == disks) else {
                    return Vec::new();
                };
                let [first, second] = &traffic.lines;
                let value = |n: usize| {
                    let of = |line: &[Option<f64>]| line.get(n).copied().flatten();
                    let both = [of(first), of(second)].into_iter().flatten();
                    both.reduce(|a, b| a + b)
                };
                let count = first.len().max(second.len());
                (0..count)
                    .map(|n| (middle(traffic.from_ms, traffic.step_ms, n), value(n)))
                    .collect()
            }
        }
    }

    fn spike(&mut self, context: &Context<'_>, later: bool) -> Action {
        let base = self.base(context);
        let spikes = spikes(&self.values(context));
        // The one that one is at is not the next one.
        let near = self.window.span_ms / self.cells.max(1) + self.interval_ms(context);
        let found = if later {
            spikes.into_iter().find(|at| *at > base.saturating_add(near))
        } else {
            spikes.into_iter().rev().find(|at| at.saturating_add(near) < base)
        };
        match found {
            Some(at) => self.go(context, at),
            None => Action::Say(context.texts.get("recorder.no_spike").to_owned()),
        }
    }

    fn ask_time(context: &Context<'_>) -> Action {
        let title = context.texts.get("recorder.go.title").to_owned();
        let (now_ms, offset_s) = (context.store.now_ms, context.store.utc_offset_s);
        let wrong = context.texts.get("recorder.go.wrong");
        let prompt =
            Prompt::new(
                title,
                String::new(),
                "recorder.go.hint",
                move |text| match human::local_ms(text, now_ms, offset_s) {
                    Some(_) => Ok(Action::Give(GO, text.to_owned())),
                    None => Err(wrong.to_owned()),
                },
            );
        Action::Open(Box::new(prompt))
    }

    fn detail(&self, context: &Context<'_>) -> Action {
        let Some(pager) = self.rows.detail(context) else { return Action::None };
        let row = self.rows.selected(context);
        let pager = match row.map(|row| &row.target) {
            Some(Target::Process { command, .. }) => pager.copying(command.clone()),
            _ => pager,
        };
        Action::Open(Box::new(pager.with_wrap().copying_command(self.line(context))))
    }

    /// The same as the CLI prints it.
    fn line(&self, context: &Context<'_>) -> String {
        let host = super::hosts::quoted(&context.store.hosts.name(self.host));
        match self.cursor_ms {
            Some(at) => format!("cmdr recorder {host} --at {}", human::moment(at)),
            None => format!("cmdr recorder {host}"),
        }
    }

    fn charts(&self, context: &Context<'_>) -> Action {
        let figures: &[&str] = match self.figure() {
            Figure::Cpu => &["cpu.busy"],
            Figure::Memory => &["memory.used"],
            Figure::Disks => &["disk.read{*}", "disk.written{*}"],
            Figure::Network => &["net.received{*}", "net.sent{*}"],
        };
        let figures = figures.iter().map(|figure| (*figure).to_owned()).collect();
        let at_ms = self.cursor_ms.unwrap_or(context.store.now_ms);
        super::history::open_at(context, self.host, figures, at_ms)
    }

    /// Takes in the moment that came.
    fn hear(&mut self, context: &Context<'_>) {
        let Some(held) = self.held(context).filter(|held| held.serial > self.seen) else { return };
        self.seen = held.serial;
        let asked = self.under.take();
        if self.goal.is_some() {
            return;
        }
        if held.at_end {
            self.live();
        } else if asked.is_some()
            && held.refused.is_none()
            && let Some(moment) = &held.moment
        {
            self.cursor_ms = Some(moment.at_ms);
            self.follow(moment.at_ms, context.store.now_ms);
        }
    }
}

/// The highest of each stretch that rises above half of what lies between the mean and the highest of all, by time.
fn spikes(values: &[(u64, Option<f64>)]) -> Vec<u64> {
    let known = || values.iter().filter_map(|(_, value)| *value).filter(|v| v.is_finite());
    let count = known().count();
    if count < 3 {
        return Vec::new();
    }
    let mean = known().sum::<f64>() / count as f64;
    let most = known().fold(f64::MIN, f64::max);
    // What is nearly even has no spikes.
    if most <= mean * 1.05 {
        return Vec::new();
    }
    let above = mean + (most - mean) / 2.0;
    let mut found = Vec::new();
    let mut best: Option<(u64, f64)> = None;
    for (at, value) in values {
        match value.filter(|value| *value >= above) {
            Some(value) if best.is_none_or(|(_, known)| value > known) => best = Some((*at, value)),
            Some(_) => {}
            None => found.extend(best.take().map(|(at, _)| at)),
        }
    }
    found.extend(best.map(|(at, _)| at));
    found
}

impl Pane for RecorderPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn feeds(&self) -> Vec<Subscription> {
        vec![super::hosts::feed()]
    }

    fn can(&self, _context: &Context<'_>, command: Command) -> bool {
        match command {
            LATER | LIVE => self.cursor_ms.is_some(),
            _ => true,
        }
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        let now_ms = context.store.now_ms;
        let base = self.base(context);
        let half = (self.window.span_ms / 2).cast_signed();
        match command {
            EARLIER => return self.step(context, false),
            LATER => return self.step(context, true),
            MINUTE_EARLIER => return self.go(context, base.saturating_sub(MINUTE_MS)),
            MINUTE_LATER => return self.go(context, base.saturating_add(MINUTE_MS)),
            HOUR_EARLIER => return self.go(context, base.saturating_sub(HOUR_MS)),
            HOUR_LATER => return self.go(context, base.saturating_add(HOUR_MS)),
            OLDEST => {
                self.goal = Some(Goal::First);
                let oldest = self.oldest_ms(context);
                self.cursor_ms = Some(oldest);
                self.follow(oldest, now_ms);
            }
            LIVE => self.live(),
            GO => return Self::ask_time(context),
            SPIKE_BEFORE => return self.spike(context, false),
            SPIKE_AFTER => return self.spike(context, true),
            IN | OUT => {
                let (from, to) = self.window.bounds(now_ms, self.cells);
                let at = self.cursor_ms.filter(|at| (from..to).contains(at));
                let share = at.map_or(1.0, |at| (at - from) as f64 / (to - from).max(1) as f64);
                self.window.zoom(if command == IN { 0.5 } else { 2.0 }, share, now_ms);
            }
            WINDOW_EARLIER => self.window.pan(-half, now_ms),
            WINDOW_LATER => self.window.pan(half, now_ms),
            FIGURE => {
                self.figure = (self.figure + 1) % FIGURES.len();
                (self.rows.table.sort, self.rows.table.reverse) = (FIGURES[self.figure].2, false);
                self.rows.table.version += 1;
            }
            KINDS_OF => {
                self.kinds = match self.kinds {
                    None => Some(0),
                    Some(kind) if kind + 1 < KINDS.len() => Some(kind + 1),
                    Some(_) => None,
                };
                self.rows.of = None;
                self.rows.only = self.kinds.map(|kind| ONLY[kind]);
                self.rows.table.version += 1;
            }
            Command::Open => return self.detail(context),
            Command::Charts => return self.charts(context),
            Command::CopyCommand => return Action::Copy(self.line(context)),
            Command::Back if self.kinds.is_some() => {
                (self.kinds, self.rows.only) = (None, None);
                self.rows.table.version += 1;
            }
            _ => return self.rows.on(context, command),
        }
        Action::None
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        self.hear(context);
        if context.store.is_up() { self.next_question(context) } else { Action::None }
    }

    fn at_hand(&self) -> Vec<HostId> {
        vec![self.host]
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("recorder", &self.rows.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.rows.table)
    }

    fn mouse(&mut self, context: &Context<'_>, mouse: &MouseEvent, double: bool) -> Action {
        let now_ms = context.store.now_ms;
        if !self.plot.contains(Position::new(mouse.column, mouse.row)) {
            if !self.rows.table.mouse(mouse) {
                return Action::Pass;
            }
            let opens = double && self.rows.table.is_row(mouse.column, mouse.row);
            return if opens { self.detail(context) } else { Action::None };
        }
        let share =
            (f64::from(mouse.column - self.plot.x) + 0.5) / f64::from(self.plot.width.max(1));
        let cell = (self.window.span_ms / u64::from(self.plot.width.max(1))).cast_signed();
        match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) | MouseEventKind::Drag(MouseButton::Left) => {
                let (from, to) = self.window.bounds(now_ms, self.cells);
                return self.go(context, from + ((to - from) as f64 * share) as u64);
            }
            MouseEventKind::ScrollUp => self.window.zoom(0.8, share, now_ms),
            MouseEventKind::ScrollDown => self.window.zoom(1.25, share, now_ms),
            MouseEventKind::ScrollLeft => self.window.pan(-4 * cell, now_ms),
            MouseEventKind::ScrollRight => self.window.pan(4 * cell, now_ms),
            _ => return Action::Pass,
        }
        Action::None
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        self.rows.entries(context, "palette.row")
    }

    fn pick(&mut self, number: u64) {
        self.rows.table.select(number);
    }

    fn take(&mut self, context: &Context<'_>, command: Command, text: &str) -> Action {
        let store = context.store;
        match (command, human::local_ms(text, store.now_ms, store.utc_offset_s)) {
            (GO, Some(at_ms)) => self.go(context, at_ms),
            _ => Action::None,
        }
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.paint(context, frame, area);
    }
}

/// Goes to the recorder of a host, at a moment or at the newest one.
pub fn open(context: &Context<'_>, host: HostId, at_ms: Option<u64>) -> Action {
    if context.store.hosts.known && context.store.hosts.get(host).is_none() {
        return Action::Say(context.texts.get("overview.gone").to_owned());
    }
    if context.store.offer(At::METHOD, false, &[host]) == Offer::No {
        return Action::Say(context.texts.get("recorder.no_right").to_owned());
    }
    let pane = match at_ms.filter(|at| *at < context.store.now_ms) {
        Some(at) => RecorderPane::at(host, at),
        None => RecorderPane::new(host),
    };
    Action::Enter(Place::Recorder(host), Box::new(pane))
}

/// Goes to the recorder of the one host at hand.
pub fn open_one(context: &Context<'_>, hosts: &[HostId], at_ms: Option<u64>) -> Action {
    match hosts {
        [host] => open(context, *host, at_ms),
        [] => Action::Say(context.texts.get("recorder.which").to_owned()),
        _ => Action::Say(context.texts.get("recorder.one").to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_is_the_highest_of_what_rises_far_above_the_rest() {
        let values = [1.0, 2.0, 50.0, 90.0, 60.0, 2.0, 1.0, 1.0, 80.0, 1.0, 20.0];
        let at = |(n, v): (usize, &f64)| (n as u64, Some(*v));
        let values: Vec<_> = values.iter().enumerate().map(at).collect();
        assert_eq!(spikes(&values), [3, 8]);
    }

    #[test]
    fn a_gap_ends_a_spike_and_what_is_even_has_none() {
        let values = [Some(1.0), Some(9.0), None, Some(9.5), Some(1.0), Some(0.0), Some(0.0)];
        let values: Vec<_> = values.iter().enumerate().map(|(n, v)| (n as u64, *v)).collect();
        assert_eq!(spikes(&values), [1, 3]);
        let even: Vec<_> = (0..9).map(|n| (n, Some(100.0))).collect();
        assert!(spikes(&even).is_empty() && spikes(&[]).is_empty());
    }
}
