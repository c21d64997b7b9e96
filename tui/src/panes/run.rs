//! One run, live: how its waves stand, which hosts ended alike, and what they printed.

pub(super) mod columns;
mod head;
mod order;
mod output;
mod save;

use super::sought as sought_in;
use super::{Choice, Context, Entry, Pane, Place, Subscription, runs};
use crate::action::{Action, PATIENCE};
use crate::keymap::{Binding, Command, LIST, key};
use crate::store::rights::Offer;
use crate::store::runs::{self as store, Watched};
use crate::store::{FeedKey, FeedState};
use crate::theme::Role;
use crate::widgets::frame as boxes;
use crate::widgets::table::{self, Cell, Column};
use cmdr_protocol::runs::{
    Group, Output, Pause, Plan, Retry, Run, Show, Stop, Target, TargetState, Watch,
};
use cmdr_protocol::{Call as _, Feed as _, HostId, RunId, sessions};
use columns::{GROUPS, HOSTS};
use crossterm::event::{MouseEvent, MouseEventKind};
use output::Shown;
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::Line;

const NEXT: Command = Command::Own(0);
const ONLY: Command = Command::Own(1);
const DIFF: Command = Command::Own(2);
const STOP: Command = Command::Own(3);
const PAUSE: Command = Command::Own(4);
const RETRY: Command = Command::Own(5);
const HOST: Command = Command::Own(6);
const SHELL: Command = Command::Own(7);
const OUTPUT: Command = Command::Own(8);
const OUT_DOWN: Command = Command::Own(9);
const OUT_UP: Command = Command::Own(10);
const AGAIN: Command = Command::Own(11);
const SAVE: Command = Command::Own(12);

static OF_GROUPS: &[&[Binding]] = &[KEYS, LIST];
static OF_HOSTS: &[&[Binding]] = &[KEYS, HOST_KEYS, LIST];

/// The key tables of the list of hosts.
pub const TABLES_BESIDE: [(&str, &[&[Binding]]); 1] = [("run_hosts", OF_HOSTS)];

const KEYS: &[Binding] = &[
    key(&["<enter>", "<right>"], Command::Open, "run.key.open").row().hint(),
    key(&["<tab>"], NEXT, "run.key.next").hint(),
    key(&["f"], ONLY, "run.key.only").hint(),
    key(&["o"], OUTPUT, "run.key.output").needs(Output::METHOD).row().hint(),
    key(&["w"], SAVE, "run.key.save").needs(Output::METHOD).row(),
    key(&["d"], DIFF, "run.key.diff").needs(Output::METHOD).row().hint(),
    key(&["x", "<delete>"], STOP, "runs.key.stop").danger(Stop::METHOD).hint(),
    key(&["p"], PAUSE, "runs.key.pause").danger(Pause::METHOD).hint(),
    key(&["R"], RETRY, "runs.key.retry").danger(Retry::METHOD).hint(),
    key(&["e"], AGAIN, "runs.key.again").needs(Plan::METHOD),
    key(&["]"], OUT_DOWN, "run.key.out_down"),
    key(&["["], OUT_UP, "run.key.out_up"),
];

const HOST_KEYS: &[Binding] = &[
    key(&["H"], HOST, "run.key.host").row().hint(),
    key(&["s"], SHELL, "hosts.key.shell").needs(sessions::Open::METHOD),
];

/// Groups whose output is fetched to be told apart.
const TOLD_APART: usize = 20;
/// After an error that may pass it is tried again when so much time went by.
const AGAIN_MS: u64 = 3000;
/// So many hosts are many.
const MANY: usize = 500;
/// From this width on the output stands beside the list.
const WIDE: u16 = 100;
/// From this height on it stands below the list.
const HIGH: u16 = 17;

/// Which hosts are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Only {
    #[default]
    All,
    /// Of this group.
    Group(u64),
    /// Those that ended otherwise than well.
    Bad,
    /// Those that have no end yet.
    Open,
    /// Those that ended well.
    Ok,
}

/// The pane.
pub struct RunPane {
    run: RunId,
    groups: table::State<u64>,
    hosts: table::State<u32>,
    /// The hosts are listed, not the groups.
    by_host: bool,
    /// Somebody moved in it.
    touched: bool,
    only: Only,
    folded: Vec<(u64, Group)>,
    /// What the rows were made from.
    made: Option<(u64, u64, u64, u64, Only, bool)>,
    /// The outputs by which groups were told apart.
    counted: u64,
    shown: Shown,
    /// The run was asked for what was ordered, and when.
    asked_ms: Option<u64>,
}

/// The columns of the groups.
pub fn group_columns() -> Vec<Column> {
    GROUPS.to_vec()
}

/// The columns of the hosts.
pub fn host_columns() -> Vec<Column> {
    HOSTS.to_vec()
}

/// What a group is known by, whatever becomes of its members.
fn number(group: &Group) -> u64 {
    crate::store::sheets::id_of(&(group.state.as_str(), group.code, &group.sum))
}

impl RunPane {
    /// Of this run.
    pub fn of(run: RunId) -> Self {
        let mut hosts = table::State::default();
        hosts.sort = 1;
        Self {
            run,
            groups: table::State::default(),
            hosts,
            by_host: false,
            touched: false,
            only: Only::All,
            folded: Vec::new(),
            made: None,
            counted: 0,
            shown: Shown::default(),
            asked_ms: None,
        }
    }

    fn watched<'a>(&self, context: &Context<'a>) -> Option<&'a Watched> {
        context.store.runs.watched(self.run)
    }

    fn told<'a>(&self, context: &Context<'a>) -> Option<&'a Run> {
        context.store.runs.known.get(&self.run)
    }

    fn group(&self, number: u64) -> Option<&Group> {
        self.folded.iter().find(|(known, _)| *known == number).map(|(_, group)| group)
    }

    /// The group that most hosts with an output belong to: what the others are compared with.
    fn majority(&self) -> Option<&Group> {
        let ended = |group: &&Group| group.state.is_end() && !group.sum.is_empty();
        self.folded.iter().map(|(_, group)| group).find(ended)
    }

    /// The target whose output is looked at: the host's, or that which stands for the group.
    fn looked_at(&self) -> Option<u32> {
        if self.by_host {
            self.hosts.selected()
        } else {
            self.groups.selected().and_then(|number| self.group(number)).map(|group| group.example)
        }
    }

    fn may_read(context: &Context<'_>) -> bool {
        context.store.offer(Output::METHOD, false, &[]) == Offer::Yes
    }

    /// Outputs that are wanted, the one that is looked at first.
    fn wanted(&self) -> Vec<u32> {
        let mut wanted: Vec<u32> = self.looked_at().into_iter().collect();
        wanted.extend(self.majority().map(|group| group.example));
        let told = self.folded.iter().take(TOLD_APART).map(|(_, group)| group);
        let ended = told.filter(|group| group.state.is_end() && !group.sum.is_empty());
        wanted.extend(ended.map(|group| group.example));
        wanted
    }

    fn list_hosts(&mut self, only: Only) {
        (self.by_host, self.only) = (true, only);
        self.hosts.unmark();
    }

    fn filter_on(&mut self) {
        let next = match self.only {
            Only::All | Only::Group(_) => Only::Bad,
            Only::Bad => Only::Open,
            Only::Open => Only::Ok,
            Only::Ok => Only::All,
        };
        self.list_hosts(next);
    }

    fn open(&mut self, context: &Context<'_>) -> Action {
        if self.by_host {
            return self.open_output(context);
        }
        if let Some(number) = self.groups.selected() {
            self.list_hosts(Only::Group(number));
        }
        Action::None
    }

    /// What was printed, to read and search; of a runbook its steps.
    fn open_output(&mut self, context: &Context<'_>) -> Action {
        let Some(index) = self.looked_at() else { return Action::None };
        if !Self::may_read(context) {
            return Action::Say(context.texts.get("run.no_output_right").to_owned());
        }
        let start = self.watched(context).and_then(|watched| watched.start.as_ref());
        if start.is_some_and(|start| start.order.runbook.is_some()) {
            return output::steps(self.run, index);
        }
        self.shown.to_open = Some(index);
        self.poll(context)
    }

    /// What was printed, into a file on this machine.
    fn save(&self, context: &Context<'_>) -> Action {
        let watched = self.watched(context);
        let looked_at = self.looked_at().and_then(|index| watched?.target(index));
        match looked_at {
            _ if !Self::may_read(context) => {
                Action::Say(context.texts.get("run.no_output_right").to_owned())
            }
            Some(target) => save::save(context, self.run, target),
            None => Action::None,
        }
    }

    fn host(&self, context: &Context<'_>) -> Option<HostId> {
        self.watched(context)?.target(self.hosts.selected()?)?.host
    }

    fn chosen(&self, context: &Context<'_>) -> Vec<(u32, String)> {
        let Some(watched) = self.watched(context) else { return Vec::new() };
        if !self.by_host || self.hosts.marks().is_empty() {
            return Vec::new();
        }
        let targets = self.hosts.targets().into_iter().filter_map(|index| watched.target(index));
        let again = targets.filter(|target| target.state.may_retry());
        again.map(|target| (target.index, target.name.clone())).collect()
    }

    /// Why there is nothing to see yet.
    fn missing(&self, context: &Context<'_>) -> Vec<Line<'static>> {
        let Context { store, theme, texts, .. } = *context;
        let key = FeedKey::own::<Watch>(None, store::number(self.run));
        let failed = match store.feeds.get(&key) {
            Some(FeedState::Failed(error)) => Some(error),
            _ => self.watched(context).and_then(|watched| watched.error.as_ref()),
        };
        let line = match failed {
            Some(error) if store.is_up() => {
                Line::styled(crate::action::reason(error), theme.style(Role::Bad))
            }
            _ if !store.is_up() => {
                Line::styled(texts.get("overview.no_hub"), theme.style(Role::Soft))
            }
            _ => Line::styled(texts.get("sheet.loading"), theme.style(Role::Soft)),
        };
        super::sheet::wrapped(vec![line], 80)
    }

    fn draw_list(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { theme, texts, .. } = *context;
        let Some(watched) = self.watched(context) else { return };
        let line = self.list_head(context);
        table::put(
            frame.buffer_mut(),
            area.x + 1,
            area.y,
            area.width.saturating_sub(2),
            &line,
            false,
        );
        let body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        let empty = if self.by_host {
            self.hosts.draw(frame, body, HOSTS, theme, texts, |index, column, _| {
                match watched.target(index) {
                    Some(target) => columns::host_cell(context, watched, target, column.title),
                    None => Cell::Rest(Line::default()),
                }
            });
            self.hosts.order().is_empty()
        } else {
            let (folded, shown) = (&self.folded, &self.shown);
            self.groups.draw(frame, body, GROUPS, theme, texts, |number, column, _| {
                match folded.iter().find(|(known, _)| *known == number) {
                    Some((_, group)) => {
                        columns::group_cell(context, watched, shown, group, column.title)
                    }
                    None => Cell::Rest(Line::default()),
                }
            });
            self.groups.order().is_empty()
        };
        if empty {
            let text =
                if watched.targets().is_empty() { "run.no_hosts" } else { "table.nothing_left" };
            super::notice(frame, body, &[Line::styled(texts.get(text), theme.style(Role::Soft))]);
        }
    }
}

impl Pane for RunPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        if self.by_host { OF_HOSTS } else { OF_GROUPS }
    }

    fn can(&self, context: &Context<'_>, command: Command) -> bool {
        let Some(run) = self.told(context) else { return true };
        match command {
            STOP | PAUSE => !run.state.is_over(),
            RETRY => {
                let counts = run.counts;
                run.state.is_over() && counts.failed + counts.lost + counts.unreachable > 0
            }
            DIFF => self.folded.len() > 1,
            _ => true,
        }
    }

    fn feeds(&self) -> Vec<Subscription> {
        let run = self.run;
        let mut feeds = vec![super::hosts::feed()];
        feeds.push(Subscription::resuming(
            FeedKey::own::<Watch>(None, store::number(run)),
            move |known| {
                let since = known.runs.watched(run).map_or("", Watched::cursor).to_owned();
                Watch { run, since, output: false, stay: true }
            },
            move |known, item| store::progressed(known, run, item),
        ));
        if let Some(target) = self.shown.live {
            let key = crate::store::sheets::id_of(&(run.0, target));
            feeds.push(Subscription::resuming(
                FeedKey::own::<Output>(None, key),
                move |known| {
                    let watched = known.runs.watched(run);
                    let since = watched.and_then(|watched| watched.output(target));
                    let since = since.map_or(String::new(), |output| output.cursor.clone());
                    Output { run, targets: vec![target], since, follow: true }
                },
                move |known, item| store::printed(known, run, target, item),
            ));
        }
        feeds
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        if !context.store.is_up() {
            return Action::None;
        }
        // Of many hosts each change is one of hundreds a second: they are ordered when they are drawn.
        if self.made.is_none() || self.watched(context).is_some_and(|w| w.targets().len() < MANY) {
            self.order(context);
        }
        let (run, now_ms) = (self.run, context.store.now_ms);
        let watched = self.watched(context);
        let lacks =
            watched.is_none_or(|watched| watched.start.is_none() && watched.error.is_none());
        if lacks && self.asked_ms.is_none_or(|at_ms| now_ms.saturating_sub(at_ms) >= AGAIN_MS) {
            self.asked_ms = Some(now_ms);
            return Action::fetch(None, Show { run, from: 0 }, PATIENCE, move |shown| {
                (Some(store::shown(run, shown)), Action::None)
            });
        }
        let Some(watched) = watched else { return Action::None };
        if !Self::may_read(context) {
            return Action::None;
        }
        self.shown.live = self.looked_at().filter(|index| {
            let goes_on = |t: &Target| matches!(t.state, TargetState::Sent | TargetState::Running);
            watched.target(*index).is_some_and(goes_on)
        });
        if let Some(index) = self.shown.to_open
            && let Some(target) = watched.target(index)
            && Shown::is_there(watched, target)
        {
            self.shown.to_open = None;
            return output::pager(context, self.run, watched, target);
        }
        let wanted = self.wanted();
        self.shown.fetch(context, run, watched, &wanted)
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.order(context);
        // Who goes on to something else does not wait for it any more.
        self.shown.to_open = None;
        let moved = if self.by_host {
            self.hosts.on(command, HOSTS)
        } else {
            self.groups.on(command, GROUPS)
        };
        if moved {
            self.touched = true;
            return Action::None;
        }
        let run = self.told(context);
        match command {
            Command::Open => self.open(context),
            Command::Back if self.by_host && self.only != Only::All => {
                self.by_host = !matches!(self.only, Only::Group(_));
                self.only = Only::All;
                Action::None
            }
            NEXT => {
                (self.by_host, self.only) = (!self.by_host, Only::All);
                Action::None
            }
            ONLY => {
                self.filter_on();
                Action::None
            }
            DIFF => {
                self.shown.whole = !self.shown.whole;
                self.shown.top = 0;
                Action::None
            }
            OUT_DOWN => {
                self.shown.scroll(1);
                Action::None
            }
            OUT_UP => {
                self.shown.scroll(-1);
                Action::None
            }
            OUTPUT => self.open_output(context),
            SAVE => self.save(context),
            STOP => run.map_or(Action::None, |run| runs::stop(context, run)),
            PAUSE => run.map_or(Action::None, |run| runs::pause(context, run)),
            RETRY => {
                let chosen = self.chosen(context);
                run.map_or(Action::None, |run| runs::retry(context, run, &chosen))
            }
            AGAIN => run.map_or(Action::None, |run| runs::again(context, run)),
            HOST => match self.host(context).filter(|id| context.store.hosts.get(*id).is_some()) {
                Some(host) => Action::Go(Place::Host(host, 0)),
                None => Action::Say(context.texts.get("run.no_host").to_owned()),
            },
            SHELL => self.host(context).map_or(Action::None, |host| {
                let give = Action::Give(super::sessions::NEW, String::new());
                Action::All(vec![Action::Go(Place::Host(host, super::SHELL)), give])
            }),
            Command::CopyValue => self.copy(context),
            Command::CopyCommand => Action::Copy(self.command(context)),
            Command::NextMatch | Command::PreviousMatch => {
                let Some(watched) = self.watched(context) else { return Action::None };
                let forward = command == Command::NextMatch;
                if self.by_host {
                    let text = |index, text: &mut String| {
                        if let Some(target) = watched.target(index) {
                            columns::host_text(context, target, text);
                        }
                    };
                    let found = self.hosts.seek(forward, text);
                    return sought_in(context, found, self.hosts.sought());
                }
                let folded = &self.folded;
                let text = |number, text: &mut String| {
                    if let Some((_, group)) = folded.iter().find(|(known, _)| *known == number) {
                        columns::group_text(context, watched, group, text);
                    }
                };
                let found = self.groups.seek(forward, text);
                sought_in(context, found, self.groups.sought())
            }
            _ => Action::Pass,
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(if self.by_host { ("run_hosts", &self.hosts) } else { ("run_groups", &self.groups) })
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(if self.by_host { &mut self.hosts } else { &mut self.groups })
    }

    fn at_hand(&self) -> Vec<HostId> {
        Vec::new()
    }

    fn mouse(&mut self, context: &Context<'_>, mouse: &MouseEvent, double: bool) -> Action {
        if self.shown.area.contains(Position::new(mouse.column, mouse.row)) {
            match mouse.kind {
                MouseEventKind::ScrollDown => self.shown.top = self.shown.top.saturating_add(3),
                MouseEventKind::ScrollUp => self.shown.top = self.shown.top.saturating_sub(3),
                _ => return if double { self.open_output(context) } else { Action::None },
            }
            return Action::None;
        }
        self.touched = true;
        let list: &mut dyn table::List =
            if self.by_host { &mut self.hosts } else { &mut self.groups };
        if !list.mouse(mouse) {
            return Action::Pass;
        }
        let opens = double && list.is_row(mouse.column, mouse.row);
        if opens { self.on(context, Command::Open) } else { Action::None }
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.order(context);
        self.shown.area = Rect::default();
        let (Some(run), Some(watched)) = (self.told(context), self.watched(context)) else {
            return super::notice(frame, area, &self.missing(context));
        };
        let used = head::draw(context, run, watched, frame, area);
        let body = Rect { y: area.y + used, height: area.height.saturating_sub(used), ..area };
        let list = if body.width >= WIDE {
            let width = (body.width * 9 / 20).max(48);
            let right = Rect { x: body.x + width, width: body.width - width, ..body };
            self.draw_output(context, frame, right);
            Rect { width, ..body }
        } else if body.height >= HIGH - 4 {
            let height = (body.height / 2).max(5);
            let below = Rect { y: body.bottom() - height, height, ..body };
            self.draw_output(context, frame, below);
            Rect { height: body.height - height, ..body }
        } else {
            body
        };
        self.draw_list(context, frame, list);
        if !context.store.is_up() {
            boxes::fade(frame.buffer_mut(), area, context.theme);
        }
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        let Some(watched) = self.watched(context) else { return Vec::new() };
        let entry = |target: &Target| Entry {
            kind: "palette.target",
            text: target.name.clone(),
            note: columns::state_text(context, target),
            choice: Choice::Pick(u64::from(target.index)),
        };
        watched.targets().iter().take(20_000).map(entry).collect()
    }

    fn pick(&mut self, number: u64) {
        if let Ok(index) = u32::try_from(number) {
            self.list_hosts(Only::All);
            self.touched = true;
            self.hosts.set_filter("");
            self.hosts.select(index);
        }
    }
}
