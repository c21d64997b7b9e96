//! What fills the screen: the list of panes and what each of them must be able to do. A pane reads
//! the store, answers commands with actions, draws, and knows no other pane.

// One line per feature.
pub mod alerts;
pub mod approvals;
pub mod audit;
pub mod compose;
pub mod configs;
pub mod data;
pub mod docker;
pub mod edit;
pub mod files;
pub mod fleet;
pub mod forwards;
pub mod gateways;
pub mod history;
pub mod hosts;
pub mod logs;
pub mod overview;
pub mod player;
pub mod ports;
pub mod probes;
pub mod processes;
pub mod recorder;
pub mod records;
pub mod rights;
pub mod run;
pub mod runs;
pub mod services;
pub mod sessions;
mod sheet;
pub mod system;
mod traffic;

pub(crate) mod gather;
mod notice;
mod words;
pub mod write;

pub use crate::subscription::{Subscription, Task};
pub use notice::notice;

use crate::action::{Action, Wanted};
use crate::config;
use crate::i18n::Texts;
use crate::keymap::{Binding, Command, EVERYWHERE, Keymap, PAGE, desk};
use crate::store::Store;
use crate::theme::Theme;
use crate::view::{View, columns_of};
use crate::widgets::chart::Glyphs;
use crate::widgets::table::{Column, List, Seek};
use crate::widgets::terminal::Caret;
use cmdr_protocol::files::FilePath;
use cmdr_protocol::{HostId, RunId};
use crossterm::event::{KeyEvent, MouseEvent};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A tab of a host's page.
pub struct Tab {
    /// Key of its title.
    pub title: &'static str,
    /// Makes its pane.
    pub make: fn(HostId) -> Box<dyn Pane>,
}

/// The tabs of a host's page, one line per feature.
pub const TABS: &[Tab] = &[
    Tab { title: "overview.title", make: |host| Box::new(overview::Overview::new(host)) },
    Tab { title: "processes.title", make: |host| Box::new(processes::Processes::new(host)) },
    Tab { title: "ports.title", make: |host| Box::new(ports::Ports::new(host)) },
    Tab { title: "services.title", make: |host| Box::new(services::Services::new(host)) },
    Tab { title: "system.title", make: |host| Box::new(system::System::new(host)) },
    Tab {
        title: "docker.title",
        make: |host| Box::new(docker::DockerPane::new(docker::Scope::Host(host))),
    },
    Tab { title: "files.title", make: |host| Box::new(files::Files::new(host)) },
    Tab { title: "logs.title", make: |host| Box::new(logs::LogsPane::new(host)) },
    Tab { title: "shell.title", make: |host| Box::new(sessions::shell::ShellPane::new(host)) },
];

/// The tab of a host's sessions: the last one.
pub const SHELL: usize = TABS.len() - 1;

/// Gives the columns of a table.
pub type AllColumns = fn() -> Vec<Column>;

/// The tables there are: what settings call each, and its columns.
pub const TABLES: &[(&str, AllColumns)] = &[
    ("hosts", hosts::columns),
    ("processes", processes::columns),
    ("ports", ports::columns),
    ("services", services::columns),
    ("mounts", system::mounts),
    ("interfaces", system::interfaces),
    ("logins", system::logins),
    ("packages", system::packages),
    ("jobs", system::jobs),
    ("environment", system::environment),
    ("hosts_file", edit::host_columns),
    ("fleet_ports", fleet::ports),
    ("fleet_processes", fleet::processes),
    ("containers", docker::containers::columns),
    ("images", docker::images::columns),
    ("volumes", docker::volumes::columns),
    ("networks", docker::networks::columns),
    ("engines", docker::engine::columns),
    ("engine_events", docker::engine::event_columns),
    ("registries", docker::registries::columns),
    ("repositories", docker::registries::repository_columns),
    ("tags", docker::registries::tag_columns),
    ("projects", docker::compose::columns),
    ("logs", logs::columns),
    ("files", files::columns),
    ("audit", audit::columns),
    ("probes", probes::columns),
    ("gateways", gateways::columns),
    ("upstreams", gateways::one::columns),
    ("forwards", forwards::columns),
    ("data", data::columns),
    ("recorder", recorder::columns),
    ("records", records::columns),
    ("recordings", records::recordings::columns),
    ("found", records::found::columns),
    ("approvals", approvals::columns),
    ("alerts", alerts::columns),
    ("past_alerts", alerts::past_columns),
    ("silences", alerts::silence_columns),
    ("rules", alerts::rule_columns),
    ("notifiers", alerts::notifier_columns),
    ("runs", runs::columns),
    ("runbooks", runs::book_columns),
    ("schedules", runs::schedule_columns),
    ("configs", configs::columns),
    ("config_files", configs::file_columns),
    ("config_hosts", configs::host_columns),
    ("run_groups", run::group_columns),
    ("run_hosts", run::host_columns),
    ("sessions", sessions::columns),
    ("shell", sessions::shell::columns),
];

/// Every place where keys mean something, with its key tables.
pub fn places() -> Vec<(&'static str, Vec<&'static [Binding]>)> {
    let of = |place: Place| place.pane().bindings().to_vec();
    let fleet = [
        ("hosts", Place::Hosts),
        ("audit", Place::Audit),
        ("records", Place::Records),
        ("rights", Place::Rights),
        ("approvals", Place::Approvals),
        ("alerts", Place::Alerts),
        ("alert_text", Place::AlertText(0)),
        ("fleet_ports", Place::FleetPorts),
        ("fleet_processes", Place::FleetProcesses),
        ("docker", Place::Docker(0)),
        ("history", Place::Charts),
        ("recorder", Place::Recorder(HostId([0; 16]))),
        ("probes", Place::Probes),
        ("data", Place::Data),
        ("probe_text", Place::ProbeText(0)),
        ("gateways", Place::Gateways),
        ("gateway", Place::Gateway(0)),
        ("gateway_text", Place::GatewayText(0)),
        ("forwards", Place::Forwards),
        ("recording", Place::Recording(0)),
        ("sessions", Place::Sessions),
        ("runs", Place::Runs),
        ("run", Place::Run(RunId([0; 8]))),
        ("compose", Place::Compose),
        ("config", Place::Config(0)),
        ("config_text", Place::ConfigText(0)),
        ("edit", Place::Edit(HostId([0; 16]), 0)),
    ];
    let with = |(name, place)| (name, [of(place), vec![EVERYWHERE]].concat());
    let mut places: Vec<_> = fleet.into_iter().map(with).collect();
    let beside = records::TABLES_BESIDE.into_iter().chain(runs::TABLES_BESIDE);
    let beside = beside.chain(alerts::TABLES_BESIDE).chain(write::TABLES_BESIDE);
    for (name, tables) in beside.chain(run::TABLES_BESIDE) {
        places.push((name, [tables.to_vec(), vec![EVERYWHERE]].concat()));
    }
    // They come before what holds everywhere: while lines run, some of those keys mean something else.
    for (name, tables) in logs::TABLES_BESIDE {
        places.push((name, tables.to_vec()));
    }
    for (n, tab) in TABS.iter().enumerate() {
        let name = tab.title.split('.').next().unwrap_or(tab.title);
        let tables = of(Place::Host(HostId([0; 16]), n));
        places.push((name, [tables, vec![PAGE, EVERYWHERE]].concat()));
    }
    for (name, tables) in system::TABLES_BESIDE.into_iter().chain(docker::TABLES_BESIDE) {
        places.push((name, [tables.to_vec(), vec![PAGE, EVERYWHERE]].concat()));
    }
    // Where these hold, they come before what holds everywhere.
    for (name, tables) in sessions::shell::TABLES_BESIDE {
        places.push((name, tables.to_vec()));
    }
    places.push(("desk", vec![desk::CHORD]));
    places
}

/// Somewhere to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The fleet.
    Hosts,
    /// A tab of a host's page.
    Host(HostId, usize),
    /// Logs of hosts that were marked.
    Logs,
    /// The audit log.
    Audit,
    /// What was done.
    Records,
    /// Who may do what.
    Rights,
    /// Rights that were asked for.
    Approvals,
    /// Alerts, what happened to them, silences, rules and notifiers.
    Alerts,
    /// The text of a rule, of a notifier or of the policies that is written, by its number.
    AlertText(u64),
    /// Who listens, on all hosts.
    FleetPorts,
    /// The busiest processes of all hosts.
    FleetProcesses,
    /// Docker of the fleet, or of hosts that were chosen, by the number of the choice.
    Docker(u64),
    /// Charts of what figures were.
    Charts,
    /// The flight recorder of a host.
    Recorder(HostId),
    /// What the hub keeps.
    Data,
    /// The status board of probes.
    Probes,
    /// The text of a probe that is written, by the probe's number.
    ProbeText(u64),
    /// Gateways of the fleet.
    Gateways,
    /// One gateway, by its number.
    Gateway(u64),
    /// The text of a gateway that is written, by the gateway's number.
    GatewayText(u64),
    /// Forwards that are kept.
    Forwards,
    /// What a command wrote, by its number.
    Recording(u64),
    /// The sessions of the fleet.
    Sessions,
    /// Runs, runbooks, schedules and config groups.
    Runs,
    /// One run.
    Run(RunId),
    /// The composer of an order.
    Compose,
    /// A config group, by its number.
    Config(u64),
    /// The text of a config group that is written, by the group's number.
    ConfigText(u64),
    /// The editor of a file of a host, by its number ([`edit::number`]).
    Edit(HostId, u64),
}

impl Place {
    /// The pane that shows it.
    pub fn pane(self) -> Box<dyn Pane> {
        match self {
            Self::Hosts => Box::new(hosts::HostsPane::default()),
            Self::Host(id, tab) => (TABS[tab.min(TABS.len() - 1)].make)(id),
            Self::Logs => Box::new(logs::LogsPane::of(Vec::new())),
            Self::Audit => Box::new(audit::AuditPane::default()),
            Self::Records => Box::new(records::RecordsPane::default()),
            Self::Rights => Box::new(rights::RightsPane::default()),
            Self::Approvals => Box::new(approvals::ApprovalsPane::default()),
            Self::Alerts => Box::new(alerts::AlertsPane::default()),
            Self::AlertText(_) => Box::new(write::WritePane::of_rule()),
            Self::FleetPorts => Box::new(fleet::Fleet::ports()),
            Self::FleetProcesses => Box::new(fleet::Fleet::processes()),
            Self::Docker(_) => Box::new(docker::DockerPane::new(docker::Scope::Fleet)),
            Self::Charts => Box::new(history::HistoryPane::all()),
            Self::Recorder(host) => Box::new(recorder::RecorderPane::new(host)),
            Self::Data => Box::new(data::DataPane::default()),
            Self::Probes => Box::new(probes::ProbesPane::default()),
            Self::ProbeText(_) => Box::new(write::WritePane::of_probe()),
            Self::Gateways => Box::new(gateways::GatewaysPane::default()),
            Self::Gateway(number) => Box::new(gateways::one::GatewayPane::new(number)),
            Self::GatewayText(_) => Box::new(write::WritePane::of_gateway()),
            Self::Forwards => Box::new(forwards::ForwardsPane::default()),
            Self::Recording(id) => Box::new(player::PlayerPane::of(id)),
            Self::Sessions => Box::new(sessions::SessionsPane::default()),
            Self::Runs => Box::new(runs::RunsPane::default()),
            Self::Run(id) => Box::new(run::RunPane::of(id)),
            Self::Compose => Box::new(compose::ComposePane::default()),
            Self::Config(number) => Box::new(configs::ConfigPane::of_number(number)),
            Self::ConfigText(_) => Box::new(write::WritePane::empty()),
            Self::Edit(host, _) => Box::new(edit::EditPane::empty(host, FilePath::root())),
        }
    }

    /// Key of its title; a host's page has tabs instead.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Hosts | Self::Host(..) => "hosts.title",
            Self::Logs => "logs.title",
            Self::Audit => "audit.title",
            Self::Records => "records.title",
            Self::Rights => "rights.title",
            Self::Approvals => "approvals.title",
            Self::Alerts => "alerts.title",
            Self::AlertText(_) => "alerts.write.title",
            Self::FleetPorts => "fleet.ports",
            Self::FleetProcesses => "fleet.processes",
            Self::Docker(_) => "docker.title",
            Self::Charts => "history.title",
            Self::Recorder(_) => "recorder.title",
            Self::Data => "data.title",
            Self::Probes => "probes.title",
            Self::ProbeText(_) => "probes.write.title",
            Self::Gateways => "gateways.title",
            Self::Gateway(_) => "gateways.one.title",
            Self::GatewayText(_) => "gateways.write.title",
            Self::Forwards => "forwards.title",
            Self::Recording(_) => "player.title",
            Self::Sessions => "sessions.title",
            Self::Runs => "runs.title",
            Self::Run(_) => "run.title",
            Self::Compose => "compose.title",
            Self::Config(_) => "configs.title",
            Self::ConfigText(_) => "configs.write.title",
            Self::Edit(..) => "edit.title",
        }
    }
}

/// What panes and overlays read.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub store: &'a Store,
    pub theme: &'a Theme,
    pub texts: &'a Texts,
    pub glyphs: Glyphs,
    pub keys: &'a Keymap,
    pub terminal: &'a config::Terminal,
    /// What opens links here, where that can be done.
    pub opener: Option<&'a Path>,
    /// Whether the keys go there.
    pub focused: bool,
}

/// How everything looks and which keys there are: what a [`Context`] has beside the store.
pub struct Face {
    pub theme: Theme,
    pub texts: Texts,
    pub glyphs: Glyphs,
    pub keys: Keymap,
    pub terminal: config::Terminal,
    pub opener: Option<PathBuf>,
}

impl Face {
    /// With the store, all that panes and overlays read.
    pub fn context<'a>(&'a self, store: &'a Store) -> Context<'a> {
        let Self { theme, texts, glyphs, keys, terminal, opener } = self;
        let (glyphs, opener) = (*glyphs, opener.as_deref());
        Context { store, theme, texts, glyphs, keys, terminal, opener, focused: true }
    }
}

/// Something the palette can find.
pub struct Entry {
    /// Key of the word for its kind.
    pub kind: &'static str,
    /// What is searched and shown.
    pub text: String,
    /// Shown beside it: keys, state.
    pub note: String,
    /// What choosing it does.
    pub choice: Choice,
}

/// What choosing an [`Entry`] does.
#[derive(Clone, Debug)]
pub enum Choice {
    /// As if its key had been pressed.
    Command(Command),
    /// Goes there.
    Go(Place),
    /// Goes there, to what is called so.
    Open(Place, String),
    /// Puts the pane's cursor on the row of this number.
    Pick(u64),
    /// Shows the pane's table so.
    Look(View),
    /// Goes there and puts the cursor on the row of this number.
    At(Place, u64),
    /// Shows the desk of this number.
    Desk(usize),
}

impl Choice {
    /// Does it.
    pub fn action(self) -> Action {
        match self {
            Self::Command(command) => Action::Run(command),
            Self::Go(place) => Action::Go(place),
            Self::Pick(number) => Action::Pick(number),
            Self::Look(view) => Action::Look(view),
            Self::At(place, number) => Action::All(vec![Action::Go(place), Action::Pick(number)]),
            Self::Desk(at) => Action::Want(Wanted::Desk(at)),
            Self::Open(place, what) => {
                Action::All(vec![Action::Go(place), Action::Give(Command::Open, what)])
            }
        }
    }
}

/// What reaches a pane as it is.
pub enum Raw<'a> {
    /// A key.
    Key(&'a KeyEvent),
    /// The mouse; `true` with the second click on the same cell.
    Mouse(&'a MouseEvent, bool),
    /// Pasted text.
    Paste(&'a str),
    /// Whether the terminal is the one that is typed in.
    Focus(bool),
}

/// A pane.
pub trait Pane: Send {
    /// Its type, for whoever asks what is on the screen.
    fn kind(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
    /// The type of the part of it that has the keys, where it is made of parts.
    fn within(&self) -> Option<&'static str> {
        None
    }
    /// Its key tables, its own first.
    fn bindings(&self) -> &'static [&'static [Binding]];
    /// Whether a command could do anything now; the key line does not name one that could not.
    fn can(&self, _context: &Context<'_>, _command: Command) -> bool {
        true
    }
    /// The feeds it needs while it is seen.
    fn feeds(&self) -> Vec<Subscription>;
    /// Does a command of its tables.
    fn on(&mut self, context: &Context<'_>, command: Command) -> Action;
    /// Draws. May change only what it remembers about its own looks.
    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect);
    /// What it wants to know beside its feeds. Asked after everything that happens while the link is
    /// up, so it must be quick to say nothing.
    fn poll(&mut self, _context: &Context<'_>) -> Action {
        Action::None
    }
    /// The folder that one looks at, where a search for files begins.
    fn folder(&self) -> Option<(HostId, FilePath)> {
        None
    }
    /// The hosts that an act would be about.
    fn at_hand(&self) -> Vec<HostId> {
        Vec::new()
    }
    /// The table that it is about, and what settings call that; `None` for a pane without one.
    fn list(&self) -> Option<(&'static str, &dyn List)> {
        None
    }
    /// The table that it is about.
    fn list_mut(&mut self) -> Option<&mut dyn List> {
        None
    }
    /// Whether keys are text for it now, not commands.
    fn is_typing(&self) -> bool {
        self.list().is_some_and(|(_, list)| list.is_editing())
    }
    /// Whether keys, pastes and the mouse go to it as they are: all but a prefix, behind which its key
    /// tables hold.
    fn is_raw(&self, _context: &Context<'_>) -> bool {
        false
    }
    /// Something for it as it is.
    fn raw(&mut self, _context: &Context<'_>, _input: &Raw<'_>) -> Action {
        Action::Pass
    }
    /// Whether it has the whole screen for itself.
    fn fills(&self) -> bool {
        false
    }
    /// How the cursor is to look.
    fn caret(&self, _context: &Context<'_>) -> Caret {
        Caret::Own
    }
    /// Whether one writes in it: keys that its own table does not name go to [`Pane::write`] first.
    fn is_writing(&self) -> bool {
        false
    }
    /// A key of what one writes; [`Action::Pass`] for one that means nothing there.
    fn write(&mut self, _context: &Context<'_>, _key: &KeyEvent) -> Action {
        Action::Pass
    }
    /// A text that was pasted into what one writes.
    fn paste(&mut self, _context: &Context<'_>, _text: &str) -> Action {
        Action::None
    }
    /// The mouse within it; `double` with the second click on the same cell.
    fn mouse(&mut self, context: &Context<'_>, mouse: &MouseEvent, double: bool) -> Action {
        let Some(list) = self.list_mut() else { return Action::Pass };
        if !list.mouse(mouse) {
            return Action::Pass;
        }
        let opens = double && list.is_row(mouse.column, mouse.row);
        if opens { self.on(context, Command::Open) } else { Action::None }
    }
    /// Where a click leads to from here.
    fn leads(&self, _at: Position) -> Option<Place> {
        None
    }
    /// What the palette can find here.
    fn entries(&self, _context: &Context<'_>) -> Vec<Entry> {
        Vec::new()
    }
    /// Puts the cursor on the row of this number.
    fn pick(&mut self, _number: u64) {}
    /// Takes a text that was typed for one of its commands.
    fn take(&mut self, _context: &Context<'_>, _command: Command, _text: &str) -> Action {
        Action::None
    }
    /// What of itself it wants to find again at the next start, beside its place and table: a short
    /// text.
    fn keepsake(&self) -> Option<String> {
        None
    }
    /// Takes what it kept; a text that makes no sense is passed over.
    fn recall(&mut self, _keepsake: &str) {}
    /// After how long it looks different although nothing happened; `None` when it stands still.
    fn wakes(&self, _context: &Context<'_>) -> Option<Duration> {
        None
    }
}

/// How a pane's table looks, as a view without a name.
pub fn view(pane: &dyn Pane) -> Option<View> {
    let (name, list) = pane.list()?;
    Some(list.view(name, &columns_of(name).ok()?))
}

/// Lets a pane's table look so.
pub fn set_view(pane: &mut dyn Pane, view: &View) {
    let name = pane.list().map(|(name, _)| name);
    if name == Some(view.table.as_str())
        && let (Some(list), Ok(columns)) = (pane.list_mut(), columns_of(&view.table))
    {
        list.set_view(view, &columns);
    }
}

/// What is said about a search for the next match.
fn sought(context: &Context<'_>, found: Seek, text: &str) -> Action {
    let key = match found {
        Seek::Found => return Action::None,
        Seek::Only => "table.only_match",
        Seek::None => "table.no_match",
        Seek::Nothing => "table.no_search",
    };
    Action::Say(context.texts.fill(key, &[text]))
}
