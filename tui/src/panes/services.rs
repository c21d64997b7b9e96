//! The services of a host: their states as they change, acts on them, the files that say what they
//! are.

mod acts;

use super::logs::LogsPane;
use super::overview::nothing_yet;
use super::sheet::{self, View, column, figure, number, rest};
use super::{Context, Entry, Pane, Place, Subscription, TABS};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::store::services::units;
use crate::store::sheets::{Record, Target};
use crate::theme::Role;
use crate::widgets::table::{self, Column};
use cmdr_protocol::logs::Follow;
use cmdr_protocol::services::{
    Disable, Enable, Mask, Reload, ResetFailed, Restart, Show, Start, Stop, Unmask, Watch,
};
use cmdr_protocol::{Call as _, Feed as _, HostId};
use ratatui::Frame;
use ratatui::layout::Rect;

const START: Command = Command::Own(0);
const STOP: Command = Command::Own(1);
const RESTART: Command = Command::Own(2);
const RELOAD: Command = Command::Own(3);
const ENABLE: Command = Command::Own(4);
const DISABLE: Command = Command::Own(5);
const MASK: Command = Command::Own(6);
const UNMASK: Command = Command::Own(7);
const RESET_FAILED: Command = Command::Own(8);
const FAILED: Command = Command::Own(9);
const COPY_LIST: Command = Command::Own(10);
const LOGS: Command = Command::Own(11);

static TABLES: &[&[Binding]] = &[BINDINGS, LIST];

const BINDINGS: &[Binding] = &[
    // Letters that other such programs use for something harmless do nothing else here: `d` describes.
    key(&["<enter>", "d"], Command::Open, "services.key.open").needs(Show::METHOD).row().hint(),
    key(&["l"], LOGS, "services.key.logs").needs(Follow::METHOD).row().hint(),
    key(&["s"], START, "services.key.start").danger(Start::METHOD).row().hint(),
    key(&["x", "<delete>"], STOP, "services.key.stop").danger(Stop::METHOD).row().hint(),
    key(&["R"], RESTART, "services.key.restart").danger(Restart::METHOD).row().hint(),
    key(&["u"], RELOAD, "services.key.reload").danger(Reload::METHOD),
    key(&["+"], ENABLE, "services.key.enable").danger(Enable::METHOD),
    key(&["-"], DISABLE, "services.key.disable").danger(Disable::METHOD),
    key(&["Z"], MASK, "services.key.mask").danger(Mask::METHOD),
    key(&["z"], UNMASK, "services.key.unmask").danger(Unmask::METHOD),
    key(&["F"], RESET_FAILED, "services.key.reset_failed").danger(ResetFailed::METHOD),
    key(&["f"], FAILED, "services.key.failed").hint(),
    key(&["C-y"], COPY_LIST, "services.key.copy_list"),
];

const COLUMNS: &[Column] = &[
    Column { most: 40, ..rest("services.col.unit", 22, 0) },
    column("services.col.active", 12, 0),
    column("services.col.sub", 10, 3),
    Column { grows: true, most: 15, ..column("services.col.enabled", 10, 1) },
    number("services.col.pid", 7, 5),
    figure("services.col.memory", 6, 4),
    Column { descending: true, ..column("services.col.since", 11, 6) },
    rest("services.col.description", 16, 2),
];

/// The columns of the table.
pub fn columns() -> Vec<Column> {
    COLUMNS.to_vec()
}

/// The pane.
pub struct Services {
    host: HostId,
    view: View,
}

fn has_failed(row: &Record) -> bool {
    matches!(&row.target, Target::Unit { active, .. } if active == "failed")
}

impl Services {
    /// Of this host.
    pub fn new(host: HostId) -> Self {
        Self { host, view: View::new(units(host), COLUMNS, 0) }
    }

    /// The logs of the units at hand.
    fn logs(&self, rows: &[&Record]) -> Action {
        let sources = rows.iter().filter_map(|row| match &row.target {
            Target::Unit { name, .. } => Some(format!("unit:{name}")),
            _ => None,
        });
        let sources: Vec<String> = sources.collect();
        if sources.is_empty() {
            return Action::None;
        }
        let tab = TABS.iter().position(|tab| tab.title == "logs.title").unwrap_or(0);
        let pane = LogsPane::reading(self.host, sources);
        Action::Enter(Place::Host(self.host, tab), Box::new(pane))
    }

    fn list_line(&self, context: &Context<'_>) -> String {
        let host = super::hosts::quoted(&context.store.hosts.name(self.host));
        let failed = if self.view.only.is_some() { " --failed" } else { "" };
        format!("cmdr services {host}{failed}")
    }
}

/// Units of all hosts whose services were looked at, for the finder.
pub fn everywhere(context: &Context<'_>) -> Vec<Entry> {
    sheet::everywhere(context, &["services"], "palette.service", "services.title")
}

impl Pane for Services {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn feeds(&self) -> Vec<Subscription> {
        vec![super::hosts::feed(), Subscription::new(Some(self.host), Watch {})]
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.view.order(context);
        let rows = self.view.targets(context);
        match command {
            Command::Open => acts::show(context, self.view.selected(context)),
            START => acts::act(context, &rows, "start", |unit| Start { unit }),
            STOP => acts::act(context, &rows, "stop", |unit| Stop { unit }),
            RESTART => acts::act(context, &rows, "restart", |unit| Restart { unit }),
            RELOAD => acts::act(context, &rows, "reload", |unit| Reload { unit }),
            ENABLE => acts::act(context, &rows, "enable", |unit| Enable { unit }),
            DISABLE => acts::act(context, &rows, "disable", |unit| Disable { unit }),
            MASK => acts::act(context, &rows, "mask", |unit| Mask { unit }),
            UNMASK => acts::act(context, &rows, "unmask", |unit| Unmask { unit }),
            RESET_FAILED => acts::act(context, &rows, "reset-failed", |unit| ResetFailed { unit }),
            LOGS => self.logs(&rows),
            FAILED => {
                self.view.only = match self.view.only {
                    None => Some(has_failed),
                    Some(_) => None,
                };
                Action::None
            }
            COPY_LIST => Action::Copy(self.list_line(context)),
            Command::CopyCommand => match self.view.selected(context).map(|row| &row.target) {
                Some(Target::Unit { name, .. }) => {
                    let host = super::hosts::quoted(&context.store.hosts.name(self.host));
                    let name = super::hosts::quoted(name);
                    Action::Copy(format!("cmdr services show {host} {name}"))
                }
                _ => Action::None,
            },
            _ => self.view.on(context, command),
        }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        Some(("services", &self.view.table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        Some(&mut self.view.table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { store, theme, texts, .. } = *context;
        let (head, body) = sheet::split(area);
        let Some(sheet) = self.view.sheet(context).filter(|sheet| sheet.known) else {
            let loading = texts.get("sheet.loading");
            let lines = nothing_yet::<Watch>(context, self.host, loading, theme, store);
            return super::notice(frame, area, &sheet::wrapped(lines, area.width));
        };
        let count = |wanted: &str| {
            let is = |row: &&Record| matches!(&row.target, Target::Unit { active, .. } if active == wanted);
            sheet.rows.values().filter(is).count()
        };
        let (active, failed) = (count("active"), count("failed"));
        let role = if failed > 0 { Role::Bad } else { Role::Soft };
        let mut pieces = vec![
            (format!("{} {}", sheet.rows.len(), texts.get("services.units")), Role::Strong),
            (format!("{active} {}", texts.get("services.active")), Role::Ok),
            (format!("{failed} {}", texts.get("services.failed")), role),
        ];
        if self.view.only.is_some() {
            pieces.push((texts.get("services.only_failed").to_owned(), Role::Accent));
        }
        let line = sheet::dotted(context, pieces);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        self.view.draw(context, frame, body, ["services.none", "services.none_failed"]);
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        self.view.entries(context, "palette.service")
    }

    fn pick(&mut self, number: u64) {
        self.view.table.select(number);
    }
}
