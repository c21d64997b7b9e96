//! A config group: its files, and how the hosts that it is for stand to them. Its list is beside the runs
//! ([`super::runs`]); what can be done to a group is offered in both.

pub(super) mod acts;
mod diff;
mod head;
mod look;

use super::sheet::{self, View, column, figure, number, rest};
use super::{Choice, Context, Entry, Pane, Place, Subscription};
use crate::action::{Action, PATIENCE};
use crate::keymap::{Binding, Command, LIST, key};
use crate::store::configs::{self as store, CONFIGS, Look, Row};
use crate::store::sheets::{Record, Value};
use crate::theme::Role;
use crate::widgets::frame as boxes;
use crate::widgets::table::{self, Column};
use cmdr_protocol::configs::{Delete, Expect, List, Save, Show, Shown, Versions};
use cmdr_protocol::runs::{Plan, Start};
use cmdr_protocol::{Call as _, HostId};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

const NEXT: Command = Command::Own(20);
const ONLY: Command = Command::Own(21);
const AGAIN: Command = Command::Own(22);
const HOST: Command = Command::Own(23);
/// Puts the files on the hosts.
pub const PUSH: Command = Command::Own(24);
/// The same in the composer.
pub const COMPOSE: Command = Command::Own(25);
/// Shows the text.
pub const TEXT: Command = Command::Own(26);
/// Writes the text.
pub const WRITE: Command = Command::Own(27);
/// Shows the versions.
pub const VERSIONS: Command = Command::Own(28);
/// Writes a new group.
pub const NEW: Command = Command::Own(29);
/// Deletes a group.
pub const DELETE: Command = Command::Own(30);

static TABLES: &[&[Binding]] = &[OF_PAGE, GROUP, OF_LOOK, LIST];

const OF_PAGE: &[Binding] = &[
    key(&["<enter>", "<right>"], Command::Open, "configs.key.look").row().hint(),
    key(&["<tab>"], NEXT, "configs.key.next").hint(),
];

const OF_LOOK: &[Binding] = &[
    key(&["R"], AGAIN, "configs.key.again").needs(Expect::METHOD).hint(),
    key(&["f"], ONLY, "configs.key.only").hint(),
    key(&["H"], HOST, "run.key.host").row(),
];

/// What can be done to a group, wherever it is.
pub const GROUP: &[Binding] = &[
    key(&["p"], PUSH, "configs.key.push").danger(Start::METHOD).hint(),
    key(&["t"], TEXT, "configs.key.text").needs(Show::METHOD).hint(),
    key(&["w"], WRITE, "configs.key.write").danger(Save::METHOD).hint(),
    key(&["u"], VERSIONS, "configs.key.versions").needs(Versions::METHOD).hint(),
    key(&["e"], COMPOSE, "configs.key.compose").needs(Plan::METHOD),
];

/// In the list of groups.
pub const OF_LIST: &[Binding] = &[
    key(&["<enter>", "<right>"], Command::Open, "configs.key.open")
        .needs(Show::METHOD)
        .row()
        .hint(),
    key(&["a"], NEW, "configs.key.new").danger(Save::METHOD).hint(),
    key(&["x", "<delete>"], DELETE, "configs.key.delete").danger(Delete::METHOD).row(),
];

const COLUMNS: &[Column] = &[
    Column { most: 30, ..rest("configs.col.name", 14, 0) },
    number("runbooks.col.version", 8, 3),
    figure("configs.col.files", 6, 2),
    Column { descending: true, ..column("configs.col.drift", 15, 0) },
    Column { most: 40, ..rest("configs.col.hosts", 12, 1) },
    Column { descending: true, ..column("runbooks.col.saved", 11, 4) },
    column("runbooks.col.by", 12, 5),
    rest("configs.col.description", 16, 6),
];

const FILE_COLUMNS: &[Column] = &[
    column("configs.col.state", 10, 0),
    rest("configs.col.file", 20, 0),
    column("configs.col.mode", 5, 7),
    column("configs.col.owner", 10, 8),
    figure("configs.col.equal", 7, 3),
    figure("configs.col.differs", 8, 1),
    figure("configs.col.missing", 8, 2),
    figure("configs.col.hidden", 7, 5),
    figure("configs.col.unknown", 8, 4),
];

const HOST_COLUMNS: &[Column] = &[
    column("configs.col.state", 10, 0),
    Column { most: 24, ..rest("configs.col.host", 10, 0) },
    Column { most: 50, ..rest("configs.col.file", 16, 0) },
    rest("configs.col.what", 16, 1),
];

/// The columns of the list of groups.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// The columns of a group's files.
pub fn file_columns() -> Vec<Column> {
    FILE_COLUMNS.to_vec()
}

/// The columns of a group's files on each host.
pub fn host_columns() -> Vec<Column> {
    HOST_COLUMNS.to_vec()
}

/// The list of groups.
pub(super) fn view() -> View {
    View::new(CONFIGS, COLUMNS, 0)
}

/// After this long what was asked for is asked for again.
const AGAIN_MS: u64 = 5000;

/// The pane.
pub struct ConfigPane {
    number: u64,
    /// Empty while only the number is known.
    name: String,
    files: View,
    hosts: View,
    /// The hosts are listed, not the files.
    by_host: bool,
    /// The group, or the list of all, was asked for then.
    asked_ms: u64,
    /// The row to go to as soon as it is there.
    sought: Option<u64>,
}

/// Config groups that are known, for the finder.
pub fn entries(context: &Context<'_>) -> Vec<Entry> {
    let entry = |row: &Record| {
        let cell = |at: usize| row.values.get(at).map_or("", Value::plain).to_owned();
        let name = context.store.configs.known.get(&row.id)?.name.clone();
        Some(Entry {
            kind: "palette.config",
            text: cell(0),
            note: cell(7),
            choice: Choice::Open(Place::Config(row.id), name),
        })
    };
    let rows = context.store.sheet(CONFIGS).into_iter().flat_map(|sheet| sheet.rows.values());
    let mut entries: Vec<Entry> = rows.filter_map(entry).collect();
    entries.sort_by(|a, b| a.text.cmp(&b.text));
    entries
}

/// Whether a row is about something that is not as it shall be.
fn is_off(row: &Record) -> bool {
    let equal = store::Standing::Equal.rank();
    !matches!(row.values.first(), Some(Value::Ranked(rank, ..)) if *rank == equal as u64)
}

impl ConfigPane {
    /// Of the group that has this number.
    pub fn of_number(number: u64) -> Self {
        Self {
            number,
            name: String::new(),
            files: View::new(store::files_of(number), FILE_COLUMNS, 0),
            hosts: View::new(store::hosts_of(number), HOST_COLUMNS, 0),
            by_host: false,
            asked_ms: 0,
            sought: None,
        }
    }

    /// Of this group.
    pub fn of(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::of_number(store::number(name)) }
    }

    fn view(&self) -> &View {
        if self.by_host { &self.hosts } else { &self.files }
    }

    fn view_mut(&mut self) -> &mut View {
        if self.by_host { &mut self.hosts } else { &mut self.files }
    }

    fn shown<'a>(&self, context: &Context<'a>) -> Option<&'a Shown> {
        context.store.configs.shown(self.number)?.as_ref().ok()
    }

    fn look<'a>(&self, context: &Context<'a>) -> Option<&'a Look> {
        context.store.configs.look(self.number)
    }

    /// The file of a host under the cursor.
    fn row<'a>(&self, context: &Context<'a>) -> Option<&'a Row> {
        if !self.by_host {
            return None;
        }
        self.look(context)?.row(self.hosts.table.selected()?)
    }

    /// The hosts that were marked.
    fn marked(&self, context: &Context<'_>) -> Vec<HostId> {
        let Some(look) = self.look(context).filter(|_| self.by_host) else { return Vec::new() };
        if self.hosts.table.marks().is_empty() {
            return Vec::new();
        }
        let rows = self.hosts.table.targets().into_iter().filter_map(|id| look.row(id));
        let mut hosts: Vec<HostId> = rows.map(|row| row.host).collect();
        hosts.sort_unstable_by_key(|host| host.0);
        hosts.dedup();
        hosts
    }

    /// Asks for what is not known: the name, the text, then the hosts.
    fn ask(&mut self, context: &Context<'_>) -> Action {
        let (store, number) = (context.store, self.number);
        let rested = store.now_ms.saturating_sub(self.asked_ms) >= AGAIN_MS;
        if self.name.is_empty() {
            if let Some(config) = store.configs.known.get(&number) {
                self.name.clone_from(&config.name);
            } else if rested && !store.sheet(CONFIGS).is_some_and(|sheet| sheet.known) {
                self.asked_ms = store.now_ms;
                return Action::fetch(None, List {}, PATIENCE, |listing| {
                    (Some(store::listed(listing)), Action::None)
                });
            }
            return Action::None;
        }
        let wants = match store.configs.shown(number) {
            None => true,
            Some(Err(error)) => crate::link::is_passing(error) && rested,
            Some(Ok(_)) => false,
        };
        if wants && (self.asked_ms == 0 || rested) {
            self.asked_ms = store.now_ms;
            return acts::fetch(&self.name);
        }
        if !look::may_ask(context) {
            return Action::None;
        }
        if store.configs.look(number).is_none() {
            return Action::Apply(store::began(number, false));
        }
        look::drive(context, number, &self.name)
    }

    fn again(&mut self, context: &Context<'_>) -> Action {
        // Who sees that not all were looked at, and asks again, means all.
        let all = self.look(context).is_some_and(|look| look.all || look::is_held(look));
        self.asked_ms = context.store.now_ms;
        let begin = match self.look(context).filter(|look| look::is_held(look)) {
            Some(_) => Action::Apply(store::whole(self.number)),
            None => Action::Apply(store::began(self.number, all)),
        };
        Action::All(vec![begin, acts::fetch(&self.name)])
    }

    fn open(&mut self, context: &Context<'_>) -> Action {
        if self.by_host {
            let Some(look) = self.look(context) else { return Action::None };
            return match self.row(context) {
                _ if !look::may_look(context) => {
                    Action::Say(context.texts.get("configs.no_right").to_owned())
                }
                Some(row) => diff::open(&self.name, look.version, row),
                None => Action::Say(context.texts.get("configs.looking").to_owned()),
            };
        }
        let Some(row) = self.files.selected(context) else { return Action::None };
        let path = row.values.get(1).map_or("", Value::plain).to_owned();
        self.by_host = true;
        self.hosts.of = Some((2, path));
        self.hosts.table.unmark();
        Action::None
    }

    fn back(&mut self, context: &Context<'_>) -> Action {
        match self.view_mut().on(context, Command::Back) {
            Action::Pass if self.by_host && self.hosts.of.take().is_some() => {
                self.by_host = false;
                Action::None
            }
            action => action,
        }
    }

    /// Why there is nothing to see yet.
    fn missing(&self, context: &Context<'_>) -> Vec<Line<'static>> {
        let Context { store, theme, texts, .. } = *context;
        let list = store.sheet(CONFIGS);
        if self.name.is_empty() && list.is_some_and(|sheet| sheet.known) {
            return vec![Line::styled(texts.get("configs.gone"), theme.style(Role::Soft))];
        }
        if let Some(Err(error)) = store.configs.shown(self.number)
            && store.is_up()
        {
            let why = crate::action::reason(error);
            return vec![Line::styled(why, theme.style(Role::Bad))];
        }
        sheet::missing(context, list.filter(|_| self.name.is_empty()))
    }
}

impl Pane for ConfigPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn feeds(&self) -> Vec<Subscription> {
        vec![super::hosts::feed()]
    }

    fn can(&self, _context: &Context<'_>, command: Command) -> bool {
        command != HOST || self.by_host
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        if let Some(sought) = self.sought
            && self.view().sheet(context).is_some_and(|sheet| sheet.rows.contains_key(&sought))
        {
            self.sought = None;
            self.view_mut().order(context);
            self.view_mut().table.select(sought);
        }
        if context.store.is_up() { self.ask(context) } else { Action::None }
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.view_mut().order(context);
        match command {
            Command::Open => self.open(context),
            Command::Back => self.back(context),
            NEXT => {
                self.by_host = !self.by_host;
                self.hosts.of = None;
                Action::None
            }
            ONLY => {
                let view = self.view_mut();
                view.only = if view.only.is_none() { Some(is_off) } else { None };
                Action::None
            }
            AGAIN if self.name.is_empty() => Action::None,
            AGAIN => self.again(context),
            HOST => match self.row(context).map(|row| row.host) {
                Some(host) if context.store.hosts.get(host).is_some() => {
                    Action::Go(Place::Host(host, 0))
                }
                Some(_) => Action::Say(context.texts.get("run.no_host").to_owned()),
                None => Action::None,
            },
            Command::CopyCommand => {
                let name = super::hosts::quoted(&self.name);
                let host = self.row(context).map(|row| super::hosts::quoted(&row.name));
                Action::Copy(match host {
                    Some(host) => format!("cmdr config drift {name} {host} --diff"),
                    None => format!("cmdr config drift {name} --all"),
                })
            }
            _ if !self.name.is_empty() && acts::is_one(command) => {
                acts::on(context, command, &self.name, &self.marked(context))
            }
            _ => self.view_mut().on(context, command),
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        let name = if self.by_host { "config_hosts" } else { "config_files" };
        Some((name, &self.view().table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.view_mut().table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Some(shown) = self.shown(context) else {
            let lines = sheet::wrapped(self.missing(context), area.width);
            return super::notice(frame, area, &lines);
        };
        let used = self.head(context, shown, frame, area);
        let body = Rect { y: area.y + used, height: area.height.saturating_sub(used), ..area };
        let look = self.look(context);
        if self.view().sheet(context).is_none_or(|sheet| !sheet.known) {
            let Context { store, theme, .. } = *context;
            let lines = match look.and_then(|look| look.error.as_ref()) {
                Some(error) if store.is_up() => {
                    let why = crate::action::reason(error);
                    vec![Line::styled(why, theme.style(Role::Bad))]
                }
                _ if !look::may_ask(context) => {
                    let text = context.texts.get("configs.no_expect");
                    vec![Line::styled(text, theme.style(Role::Warn))]
                }
                _ => sheet::missing(context, None),
            };
            return super::notice(frame, body, &sheet::wrapped(lines, area.width));
        }
        self.view_mut().draw(context, frame, body, ["configs.no_hosts", "configs.all_equal"]);
        if !context.store.is_up() {
            boxes::fade(frame.buffer_mut(), area, context.theme);
        }
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        self.view().entries(context, "palette.row")
    }

    fn pick(&mut self, number: u64) {
        self.sought = Some(number);
        self.view_mut().table.select(number);
    }

    fn take(&mut self, _context: &Context<'_>, command: Command, text: &str) -> Action {
        // Made by its number, before its name was told.
        if command == Command::Open && store::number(text) == self.number {
            text.clone_into(&mut self.name);
        }
        Action::None
    }

    fn keepsake(&self) -> Option<String> {
        let view = if self.by_host { "hosts" } else { "files" };
        (!self.name.is_empty()).then(|| format!("{view} {}", self.name))
    }

    fn recall(&mut self, keepsake: &str) {
        let Some((view, name)) = keepsake.split_once(' ') else { return };
        if store::number(name) == self.number {
            self.by_host = view == "hosts";
            name.clone_into(&mut self.name);
        }
    }
}

/// The list is asked for anew, and what is known of this group.
pub(super) fn renewed(name: &str) -> Action {
    Action::All(vec![Action::Apply(store::stale()), acts::fetch(name)])
}
