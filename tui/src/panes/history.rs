//! Charts of what hosts' figures were: any figure that the hub keeps, over any stretch of time, of one host, of
//! several as a line each or together, beside the same stretch a day or a week before. The newest points follow
//! while the right edge is now.
//!
//! ```text
//! web1, web2 · 6h · 08:02–14:02 · mean · live
//! ╭ cpu.busy ──────────────╮
//! │ 100% │    ⢀⡠⠔⠊⠉⠑        │
//! │    0 │⠤⠤⠔⠁               │
//! │      └──┴10:00──▲──12:00│   alerts are marked on the axis
//! │ ━ web1 12.0%  ━ web2 3% │   the values at the cursor, or the last ones
//! ╰─────────────────────────╯
//! ╭ memory.share … one below the other, as many as there is room for
//! ```

mod acts;
mod asks;
mod draw;
mod meanings;
mod window;

use super::{Context, Entry, Pane, Place, Subscription};
use crate::action::Action;
use crate::keymap::{Binding, Command, key};
use crate::store::audit;
use crate::store::history::{Look, Question, seen};
use cmdr_chart::scale;
use cmdr_protocol::history::{Aggregate, List, Over};
use cmdr_protocol::{Call as _, HostId};
use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
pub(in crate::panes) use draw::{axis, column, times};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
pub(in crate::panes) use window::Window;

const IN: Command = Command::Own(0);
const OUT: Command = Command::Own(1);
const EARLIER: Command = Command::Own(2);
const LATER: Command = Command::Own(3);
const NOW: Command = Command::Own(4);
const SPAN: Command = Command::Own(5);
const FIGURE: Command = Command::Own(6);
const ADD: Command = Command::Own(7);
const REMOVE: Command = Command::Own(8);
const AGGREGATE: Command = Command::Own(9);
const TOGETHER: Command = Command::Own(10);
const BEFORE: Command = Command::Own(11);
const HOSTS: Command = Command::Own(12);
const SAVE: Command = Command::Own(13);
const CURSOR: Command = Command::Own(14);

static TABLES: &[&[Binding]] = &[BINDINGS];

const BINDINGS: &[Binding] = &[
    key(&["f"], FIGURE, "history.key.figure").needs(List::METHOD).hint(),
    key(&["t"], SPAN, "history.key.span").hint(),
    key(&["+", "="], IN, "history.key.in").hint(),
    key(&["-"], OUT, "history.key.out").hint(),
    key(&["<left>"], Command::Left, "history.key.left"),
    key(&["<right>"], Command::Right, "history.key.right"),
    key(&["["], EARLIER, "history.key.earlier").hint(),
    key(&["]"], LATER, "history.key.later").hint(),
    key(&["0", "<end>"], NOW, "history.key.now"),
    key(&["c"], CURSOR, "history.key.cursor"),
    key(&["m"], TOGETHER, "history.key.together").hint(),
    key(&["a"], AGGREGATE, "history.key.aggregate").hint(),
    key(&["b"], BEFORE, "history.key.before").hint(),
    key(&["n"], ADD, "history.key.add").needs(List::METHOD),
    key(&["x", "<delete>"], REMOVE, "history.key.remove"),
    key(&["j", "<down>"], Command::Down, "history.key.down"),
    key(&["k", "<up>"], Command::Up, "history.key.up"),
    key(&["s"], HOSTS, "history.key.hosts"),
    key(&["e"], SAVE, "history.key.save").hint(),
    key(&["y"], Command::CopyValue, "history.key.copy"),
    key(&["Y"], Command::CopyCommand, "key.copy_command"),
];

/// What is shown first.
const FIRST: [&str; 3] = ["cpu.busy", "memory.share", "load.1"];
/// Charts on one page.
const CHARTS: usize = 8;
/// More hosts than this are drawn together unless lines were asked for.
const EACH: usize = 24;
/// The spans that keys go through.
const USUAL_MS: u64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;
/// So much is compared with.
const SHIFTS: [u64; 3] = [0, DAY_MS, 7 * DAY_MS];

/// Where one chart was drawn.
#[derive(Clone, Copy, Debug)]
struct Seen {
    chart: usize,
    plot: Rect,
    whole: Rect,
}

/// The pane.
pub struct HistoryPane {
    /// What it has in the store.
    owner: u64,
    /// The hosts that were chosen; none for all, or for those that `selector` picks.
    hosts: Vec<HostId>,
    selector: String,
    figures: Vec<String>,
    /// The chart that keys are for.
    focus: usize,
    window: Window,
    aggregate: Aggregate,
    /// How hosts become lines; what suits their number when nobody said.
    over: Option<Over>,
    shift: usize,
    cursor_ms: Option<u64>,
    /// The choice that was made of what is offered, and whether it is to be a chart of its own.
    picked: Option<u64>,
    adds: bool,
    seen: Vec<Seen>,
    /// Cells of a plot from left to right.
    cells: u64,
    /// Where the mouse went down.
    drag: Option<(u16, i64)>,
    /// What is looked at is looked at again when these hosts' charts are opened the next time.
    remembers: bool,
}

impl HistoryPane {
    /// Of all hosts.
    pub fn all() -> Self {
        Self {
            owner: audit::owner(),
            hosts: Vec::new(),
            selector: String::new(),
            figures: FIRST.map(str::to_owned).to_vec(),
            focus: 0,
            window: Window { span_ms: USUAL_MS, end_ms: None },
            aggregate: Aggregate::Mean,
            over: None,
            shift: 0,
            cursor_ms: None,
            picked: None,
            adds: false,
            seen: Vec::new(),
            cells: 100,
            drag: None,
            remembers: false,
        }
    }

    /// How hosts become lines.
    fn over(&self, context: &Context<'_>) -> Over {
        let fleet = || context.store.hosts.rows.len();
        let count = match (self.hosts.len(), self.selector.is_empty()) {
            (0, true) => fleet(),
            (0, false) => 1,
            (count, _) => count,
        };
        self.over.unwrap_or(if count > EACH { Over::Mean } else { Over::Each })
    }

    fn question(&self, context: &Context<'_>) -> Question {
        Question {
            selector: self.selector.clone(),
            figures: self.figures.clone(),
            aggregate: self.aggregate,
            over: self.over(context),
            step_ms: scale::step(self.window.span_ms, self.cells * 2),
        }
    }

    fn bounds(&self, context: &Context<'_>) -> (u64, u64) {
        self.window.bounds(context.store.now_ms, self.cells)
    }

    const fn shift_ms(&self) -> u64 {
        SHIFTS[self.shift]
    }

    /// Moves the cursor by cells; at an edge the picture moves.
    fn step(&mut self, context: &Context<'_>, by: i64) {
        let now_ms = context.store.now_ms;
        let (from, to) = self.bounds(context);
        let cell = (self.window.span_ms / self.cells.max(1)).max(1);
        let middle = |ms: u64| from + (ms.saturating_sub(from) / cell) * cell + cell / 2;
        let start = self.cursor_ms.unwrap_or_else(|| now_ms.min(to.saturating_sub(1)));
        let moved = match self.cursor_ms {
            Some(_) => start.saturating_add_signed(by * cell.cast_signed()),
            None => start,
        };
        let moved = moved.min(now_ms);
        if moved < from || moved >= to {
            self.window.pan(by * cell.cast_signed(), now_ms);
            self.cursor_ms = Some(moved);
        } else {
            self.cursor_ms = Some(middle(moved));
        }
    }

    /// Where zooming holds still: the cursor, or the right edge.
    fn held(&self, context: &Context<'_>) -> f64 {
        let (from, to) = self.bounds(context);
        let at = self.cursor_ms.filter(|at| (from..to).contains(at));
        at.map_or(1.0, |at| (at - from) as f64 / (to - from).max(1) as f64)
    }

    fn at(&self, column: u16, row: u16) -> Option<Seen> {
        let at = Position::new(column, row);
        self.seen.iter().copied().find(|seen| seen.whole.contains(at))
    }

    fn share(seen: Seen, column: u16) -> f64 {
        let x = f64::from(column.saturating_sub(seen.plot.x)) + 0.5;
        (x / f64::from(seen.plot.width.max(1))).clamp(0.0, 1.0)
    }
}

impl Pane for HistoryPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn can(&self, _context: &Context<'_>, command: Command) -> bool {
        match command {
            REMOVE => self.figures.len() > 1,
            ADD => self.figures.len() < CHARTS,
            _ => true,
        }
    }

    fn feeds(&self) -> Vec<Subscription> {
        vec![super::hosts::feed()]
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        let now_ms = context.store.now_ms;
        let half = (self.window.span_ms / 2).cast_signed();
        match command {
            IN => self.window.zoom(0.5, self.held(context), now_ms),
            OUT => self.window.zoom(2.0, self.held(context), now_ms),
            EARLIER => self.window.pan(-half, now_ms),
            LATER => self.window.pan(half, now_ms),
            NOW => (self.window.end_ms, self.cursor_ms) = (None, None),
            Command::Left => self.step(context, -1),
            Command::Right => self.step(context, 1),
            CURSOR => self.cursor_ms = None,
            Command::Down => self.focus = (self.focus + 1).min(self.figures.len() - 1),
            Command::Up => self.focus = self.focus.saturating_sub(1),
            REMOVE if self.figures.len() > 1 => {
                self.figures.remove(self.focus);
                self.focus = self.focus.min(self.figures.len() - 1);
            }
            REMOVE => return Action::Say(context.texts.get("history.last").to_owned()),
            AGGREGATE => self.next_aggregate(),
            TOGETHER => self.next_over(context),
            BEFORE => self.shift = (self.shift + 1) % SHIFTS.len(),
            FIGURE => return self.choose(context, false),
            ADD if self.figures.len() >= CHARTS => {
                let most = CHARTS.to_string();
                return Action::Say(context.texts.fill("history.enough", &[&most]));
            }
            ADD => return self.choose(context, true),
            SPAN => return self.ask_span(context),
            HOSTS => return self.ask_hosts(context),
            SAVE => return self.save(context),
            Command::Recorder => {
                return super::recorder::open_one(context, &self.hosts, self.cursor_ms);
            }
            Command::CopyValue => return self.copy(context),
            Command::CopyCommand => return Action::Copy(self.line(context)),
            _ => return Action::Pass,
        }
        Action::None
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        self.resolve(context);
        let look = Look { figures: self.figures.clone(), span_ms: self.window.span_ms };
        // What another page has opened here is of that page.
        if self.remembers && context.store.chart_looks.get(&self.selector) != Some(&look) {
            return Action::Apply(seen(self.selector.clone(), look));
        }
        self.next_question(context)
    }

    fn at_hand(&self) -> Vec<HostId> {
        self.hosts.clone()
    }

    fn mouse(&mut self, context: &Context<'_>, mouse: &MouseEvent, _double: bool) -> Action {
        let now_ms = context.store.now_ms;
        let Some(seen) = self.at(mouse.column, mouse.row) else { return Action::Pass };
        let cell = (self.window.span_ms / u64::from(seen.plot.width.max(1))).cast_signed();
        match mouse.kind {
            MouseEventKind::ScrollUp => {
                self.window.zoom(0.8, Self::share(seen, mouse.column), now_ms);
            }
            MouseEventKind::ScrollDown => {
                self.window.zoom(1.25, Self::share(seen, mouse.column), now_ms);
            }
            MouseEventKind::ScrollLeft => self.window.pan(-4 * cell, now_ms),
            MouseEventKind::ScrollRight => self.window.pan(4 * cell, now_ms),
            MouseEventKind::Down(MouseButton::Left) => {
                self.focus = seen.chart;
                let (from, to) = self.bounds(context);
                let into = (to - from) as f64 * Self::share(seen, mouse.column);
                self.cursor_ms = Some((from + into as u64).min(now_ms));
                self.drag = Some((mouse.column, 0));
            }
            MouseEventKind::Drag(MouseButton::Left) => {
                let Some((start, done)) = self.drag else { return Action::Pass };
                let wanted = i64::from(start) - i64::from(mouse.column);
                self.window.pan((wanted - done) * cell, now_ms);
                self.drag = Some((start, wanted));
            }
            _ => return Action::Pass,
        }
        Action::None
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        self.offers(context)
    }

    fn pick(&mut self, number: u64) {
        self.picked = Some(number);
    }

    fn take(&mut self, context: &Context<'_>, command: Command, text: &str) -> Action {
        match command {
            SPAN => {
                let store = context.store;
                match self.window.read(text, store.now_ms, store.utc_offset_s) {
                    Ok(window) => (self.window, self.cursor_ms) = (window, None),
                    Err(why) => return Action::Say(context.texts.get(why).to_owned()),
                }
            }
            HOSTS => {
                text.trim().clone_into(&mut self.selector);
                self.hosts.clear();
                self.over = None;
            }
            _ => {}
        }
        Action::None
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.paint(context, frame, area);
    }
}

/// The charts of these hosts; of all when there are none.
pub fn open(context: &Context<'_>, hosts: Vec<HostId>) -> Action {
    let mut pane = HistoryPane::all();
    let Some(selector) = acts::selector(context, &hosts) else {
        let count = hosts.len().to_string();
        return Action::Say(context.texts.fill("history.too_many", &[&count]));
    };
    if let Some(look) = context.store.chart_looks.get(&selector) {
        (pane.figures, pane.window.span_ms) = (look.figures.clone(), look.span_ms);
    }
    (pane.hosts, pane.selector, pane.remembers) = (hosts, selector, true);
    Action::Enter(Place::Charts, Box::new(pane))
}

/// The same of one host at a moment: what was before it, and what came after.
pub fn open_at(context: &Context<'_>, host: HostId, figures: Vec<String>, at_ms: u64) -> Action {
    let mut pane = HistoryPane::all();
    let hosts = vec![host];
    pane.selector = acts::selector(context, &hosts).unwrap_or_default();
    pane.hosts = hosts;
    if !figures.is_empty() {
        pane.figures = figures;
        pane.figures.truncate(CHARTS);
    }
    let end_ms = at_ms.saturating_add(USUAL_MS / 3);
    pane.window.end_ms = (end_ms < context.store.now_ms).then_some(end_ms);
    pane.cursor_ms = (at_ms > 0).then_some(at_ms);
    Action::Enter(Place::Charts, Box::new(pane))
}

/// Reads `6h`, `2w`, `-3h..-1h`, `2026-11-20 10:00 .. 12:00`: how long, and until when if not until now; else the key of
/// what is wrong with it. Where only an end is said it is as long as before.
pub fn span(
    text: &str,
    span_ms: u64,
    now_ms: u64,
    utc_offset_s: i32,
) -> Result<(u64, Option<u64>), &'static str> {
    let window = Window { span_ms, end_ms: None }.read(text, now_ms, utc_offset_s)?;
    Ok((window.span_ms, window.end_ms))
}

/// Charts of these figures, of all hosts that have them.
pub fn open_figures(figures: Vec<String>) -> Action {
    let mut pane = HistoryPane::all();
    pane.figures = figures;
    pane.figures.truncate(CHARTS);
    Action::Enter(Place::Charts, Box::new(pane))
}
