//! What else there is on a host, one list at a time: mounts, interfaces, logins, packages, scheduled
//! jobs, environment. Each is asked for when it is seen, and again after a while. The last one is the hosts file, which
//! is edited there.

mod variables;

use super::edit::{HOSTS_FILE_TABLES, HostsFile};
use super::sheet::{self, View, column, figure, rest};
use super::{Context, Entry, Pane, Subscription};
use crate::action::Action;
use crate::keymap::{Binding, Command, LIST, key};
use crate::link::is_passing;
use crate::store::Update;
use crate::store::sheets::SheetKey;
use crate::store::system::Row;
use crate::theme::Role;
use crate::widgets::table::{self, Column};
use cmdr_protocol::environment::{List, Set, Unset, Values};
use cmdr_protocol::system::{Found, Interfaces, Jobs, Logins, Mounts, Packages};
use cmdr_protocol::{Call, HostId};
use ratatui::Frame;
use ratatui::layout::Rect;
use std::time::Duration;

/// The list beside; the hosts file has these as well, among commands of its own.
pub(super) const NEXT: Command = Command::Own(100);
pub(super) const PREVIOUS: Command = Command::Own(101);
const REFRESH: Command = Command::Own(2);
const UPGRADABLE: Command = Command::Own(3);
const REVEAL: Command = Command::Own(4);
const SET: Command = Command::Own(5);
const UNSET: Command = Command::Own(6);
/// Where the packages are among [`KINDS`].
const UPGRADES: usize = 3;
/// Where the variables are.
const VARIABLES: usize = 5;
/// Where the hosts file is, behind all of them.
const HOSTS_FILE: usize = KINDS.len();

/// Key tables that hold while one of its lists is seen that has more of its own.
pub const TABLES_BESIDE: [(&str, &[&[Binding]]); 1] = [("hosts_file", HOSTS_FILE_TABLES)];

/// The keys of each list: each has a right of its own.
static TABLES: [[&[Binding]; 2]; 6] = {
    const MOUNTS: &[Binding] = &bindings(Mounts::METHOD, 0);
    const INTERFACES: &[Binding] = &bindings(Interfaces::METHOD, 1);
    const LOGINS: &[Binding] = &bindings(Logins::METHOD, 2);
    const PACKAGES: &[Binding] = &bindings(Packages::METHOD, UPGRADES);
    const JOBS: &[Binding] = &bindings(Jobs::METHOD, 4);
    const ENVIRONMENT: &[Binding] = &bindings(List::METHOD, VARIABLES);
    [
        [MOUNTS, LIST],
        [INTERFACES, LIST],
        [LOGINS, LIST],
        [PACKAGES, LIST],
        [JOBS, LIST],
        [ENVIRONMENT, LIST],
    ]
};

/// Those of a list that is asked for with this method. The key line names what can be done to that list.
const fn bindings(verb: &'static str, list: usize) -> [Binding; 8] {
    const fn named(mut binding: Binding, named: bool) -> Binding {
        binding.hint = named;
        binding
    }
    let variables = list == VARIABLES;
    let upgradable = key(&["u"], UPGRADABLE, "system.key.upgradable").needs(Packages::METHOD);
    let reveal = key(&["s"], REVEAL, "system.key.reveal").danger(Values::METHOD);
    let set = key(&["a"], SET, "system.key.set").danger(Set::METHOD);
    let unset = key(&["x", "<delete>"], UNSET, "system.key.unset").danger(Unset::METHOD);
    [
        key(&["<enter>"], Command::Open, "system.key.open").row().hint(),
        key(&["]", "<right>"], NEXT, "system.key.next").hint(),
        key(&["[", "<left>"], PREVIOUS, "system.key.previous"),
        key(&["R"], REFRESH, "system.key.refresh").needs(verb),
        named(upgradable, list == UPGRADES),
        named(set, variables),
        named(unset, variables),
        named(reveal, variables),
    ]
}

const PATIENCE: Duration = Duration::from_secs(45);
/// Packages of one host that are held at most.
const MOST: usize = 50_000;

/// A list: its name, the key of its title, its columns, and after how many seconds it is asked for
/// again.
struct Kind {
    name: &'static str,
    title: &'static str,
    /// Key of what is said when it is empty.
    none: &'static str,
    columns: &'static [Column],
    again_s: u64,
}

const MOUNTS: &[Column] = &[
    Column { most: 40, ..rest("system.col.mount", 14, 0) },
    Column { most: 30, ..rest("system.col.device", 12, 4) },
    column("system.col.kind", 8, 5),
    figure("system.col.size", 6, 1),
    figure("system.col.used", 6, 3),
    figure("system.col.share", 5, 0),
    figure("system.col.inodes", 6, 6),
    column("system.col.mode", 5, 2),
    rest("system.col.options", 12, 7),
];

const INTERFACES: &[Column] = &[
    column("system.col.interface", 12, 0),
    column("system.col.state", 8, 0),
    rest("system.col.addresses", 18, 0),
    figure("system.col.speed", 7, 5),
    figure("system.col.mtu", 6, 6),
    figure("system.col.received", 7, 2),
    figure("system.col.sent", 7, 2),
    figure("system.col.errors", 7, 3),
    figure("system.col.drops", 7, 4),
    column("system.col.mac", 18, 7),
];

const LOGINS: &[Column] = &[
    column("system.col.user", 14, 0),
    column("system.col.terminal", 10, 1),
    rest("system.col.from", 18, 0),
    Column { descending: true, ..column("system.col.since", 12, 2) },
    figure("system.col.idle", 8, 0),
];

const PACKAGES: &[Column] = &[
    Column { most: 40, ..rest("system.col.package", 20, 0) },
    Column { most: 30, ..rest("system.col.version", 14, 0) },
    Column { most: 30, ..rest("system.col.newer", 12, 1) },
    column("system.col.arch", 7, 4),
    rest("system.col.summary", 16, 3),
];

const JOBS: &[Column] = &[
    Column { most: 32, ..rest("system.col.when", 16, 0) },
    column("system.col.kind", 7, 3),
    column("system.col.user", 10, 2),
    column("system.col.next", 12, 1),
    Column { descending: true, ..column("system.col.last", 12, 4) },
    rest("system.col.command", 20, 0),
];

const ENVIRONMENT: &[Column] = &[
    Column { most: 40, ..rest("system.col.name", 18, 0) },
    rest("system.col.value", 24, 0),
    Column { most: 40, ..rest("system.col.source", 14, 1) },
];

const KINDS: [Kind; 6] = [
    Kind {
        name: "mounts",
        title: "system.mounts",
        none: "system.none.mounts",
        columns: MOUNTS,
        again_s: 15,
    },
    Kind {
        name: "interfaces",
        title: "system.interfaces",
        none: "system.none.interfaces",
        columns: INTERFACES,
        again_s: 10,
    },
    Kind {
        name: "logins",
        title: "system.logins",
        none: "system.none.logins",
        columns: LOGINS,
        again_s: 15,
    },
    Kind {
        name: "packages",
        title: "system.packages",
        none: "system.none.packages",
        columns: PACKAGES,
        again_s: 600,
    },
    Kind {
        name: "jobs",
        title: "system.jobs",
        none: "system.none.jobs",
        columns: JOBS,
        again_s: 60,
    },
    Kind {
        name: "environment",
        title: "system.environment",
        none: "system.none.environment",
        columns: ENVIRONMENT,
        again_s: 300,
    },
];

/// The columns of each list, by the name that settings call it.
macro_rules! columns_of {
    ($($name:ident = $columns:ident,)+) => {
        $(
            /// The columns of this list.
            pub fn $name() -> Vec<Column> {
                $columns.to_vec()
            }
        )+
    };
}

columns_of! {
    mounts = MOUNTS,
    interfaces = INTERFACES,
    logins = LOGINS,
    packages = PACKAGES,
    jobs = JOBS,
    environment = ENVIRONMENT,
}

/// The pane.
pub struct System {
    host: HostId,
    /// Which list is shown.
    at: usize,
    /// One view a list, so that each stays as it was left.
    views: Vec<View>,
    hosts_file: HostsFile,
}

impl System {
    /// Of this host.
    pub fn new(host: HostId) -> Self {
        let views = KINDS.iter().map(|kind| View::new((Some(host), kind.name), kind.columns, 0));
        Self { host, at: 0, views: views.collect(), hosts_file: HostsFile::new(host) }
    }

    fn view(&mut self) -> &mut View {
        &mut self.views[self.at]
    }

    fn turn(&mut self, by: usize) -> Action {
        self.at = (self.at + by) % (HOSTS_FILE + 1);
        Action::None
    }

    /// Asks for the list that is shown.
    fn ask(&self, context: &Context<'_>, from: usize) -> Action {
        let (host, now_ms) = (self.host, context.store.now_ms);
        let key = self.views[self.at].key;
        let asked = Update::new(move |store| store.sheet_mut(key).asked_ms = now_ms.max(1));
        let fetch = match self.at {
            0 => fetch(host, key, Mounts::default()),
            1 => fetch(host, key, Interfaces {}),
            2 => fetch(host, key, Logins {}),
            UPGRADES => packages_from(host, key, from, page(context)),
            4 => fetch(host, key, Jobs {}),
            _ => fetch(host, key, List {}),
        };
        Action::All(vec![Action::Apply(asked), fetch])
    }
}

/// Asks for a list that comes whole.
fn fetch<T, C>(host: HostId, key: SheetKey, call: C) -> Action
where
    T: Row + Send + 'static,
    C: Call<Reply = Found<T>>,
{
    Action::fetch(Some(host), call, PATIENCE, move |answer| {
        let update = Update::new(move |store| {
            let now_ms = store.now_ms;
            let sheet = store.sheet_mut(key);
            match answer {
                Ok(found) => {
                    let note = |text: String| {
                        (cmdr_protocol::display::clean(&text).into_owned(), Role::Warn)
                    };
                    sheet.notes = found.notes.into_iter().map(note).collect();
                    let rows = found.rows.iter().enumerate();
                    sheet.set(now_ms, rows.map(|(at, row)| row.record(host, at)));
                }
                Err(error) => sheet.fail(error, now_ms),
            }
        });
        (Some(update), Action::None)
    })
}

/// Packages that are asked for at once: what a thin line brings in a second.
fn page(context: &Context<'_>) -> u32 {
    if context.store.thin { 60 } else { 300 }
}

/// Asks for the packages after this many.
fn packages_from(host: HostId, key: SheetKey, from: usize, limit: u32) -> Action {
    let skip = u32::try_from(from).unwrap_or(u32::MAX);
    let call = Packages { skip, limit, ..Packages::default() };
    Action::fetch(Some(host), call, PATIENCE, move |answer| {
        let update = Update::new(move |store| {
            let now_ms = store.now_ms;
            let sheet = store.sheet_mut(key);
            match answer {
                Ok(page) => {
                    if from == 0 {
                        sheet.rows.clear();
                    }
                    let clean = |text: &str| cmdr_protocol::display::clean(text).into_owned();
                    sheet.notes = vec![(clean(&page.manager), Role::Soft)];
                    if let Some(count) = page.upgradable {
                        let role = if count > 0 { Role::Warn } else { Role::Ok };
                        sheet.notes.push((format!("⇡ {count}"), role));
                    }
                    sheet.notes.extend(page.notes.iter().map(|n| (clean(n), Role::Warn)));
                    let end = page.packages.is_empty();
                    let rows = page.packages.iter().map(|p| p.record(host, 0));
                    sheet.rows.extend(rows.map(|row| (row.id, row)));
                    // A host that promises more than it sends is not asked for ever.
                    sheet.total = if end { sheet.rows.len() } else { page.total as usize };
                    sheet.came(now_ms);
                }
                Err(error) => sheet.fail(error, now_ms),
            }
        });
        (Some(update), Action::None)
    })
}

impl Pane for System {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES.get(self.at).map_or(HOSTS_FILE_TABLES, |tables| tables)
    }

    fn can(&self, context: &Context<'_>, command: Command) -> bool {
        self.at != HOSTS_FILE || self.hosts_file.can(context, command)
    }

    fn feeds(&self) -> Vec<Subscription> {
        let mut feeds = vec![super::hosts::feed()];
        if self.at == HOSTS_FILE {
            feeds.extend(self.hosts_file.feeds());
        }
        feeds
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        match command {
            NEXT => return self.turn(1),
            PREVIOUS => return self.turn(HOSTS_FILE),
            _ if self.at == HOSTS_FILE => return self.hosts_file.on(context, command),
            _ => {}
        }
        self.view().order(context);
        match command {
            REFRESH => self.ask(context, 0),
            UPGRADABLE => {
                self.at = UPGRADES;
                let view = self.view();
                view.only = match view.only {
                    None => Some(|row| !row.values[2].plain().is_empty()),
                    Some(_) => None,
                };
                Action::None
            }
            SET => {
                let row = self.view().selected(context).filter(|_| self.at == VARIABLES);
                let key = self.views[VARIABLES].key;
                let action = variables::set(context, self.host, key, row);
                self.at = VARIABLES;
                action
            }
            UNSET if self.at != VARIABLES => {
                Action::Say(context.texts.get("system.unset.elsewhere").to_owned())
            }
            UNSET => {
                let key = self.views[VARIABLES].key;
                variables::unset(context, self.host, key, self.view().selected(context))
            }
            REVEAL => {
                self.at = VARIABLES;
                variables::reveal(context, self.host, self.views[self.at].key)
            }
            Command::Open => {
                let pager = self.view().detail(context);
                pager.map_or(Action::None, |pager| Action::Open(Box::new(pager)))
            }
            Command::CopyCommand => {
                let host = super::hosts::quoted(&context.store.hosts.name(self.host));
                Action::Copy(match KINDS[self.at].name {
                    "environment" => format!("cmdr env {host}"),
                    name => format!("cmdr system {name} {host}"),
                })
            }
            _ => self.view().on(context, command),
        }
    }

    fn take(&mut self, context: &Context<'_>, command: Command, text: &str) -> Action {
        if self.at == HOSTS_FILE {
            return self.hosts_file.take(context, command, text);
        }
        Action::None
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        if self.at == HOSTS_FILE {
            return self.hosts_file.poll(context);
        }
        let sheet = self.views[self.at].sheet(context);
        let now_ms = context.store.now_ms;
        let Some(sheet) = sheet else { return self.ask(context, 0) };
        if sheet.asked_ms > 0 {
            return Action::None;
        }
        let rows = sheet.rows.len();
        // Over a thin line only what is looked at.
        let table = &self.views[self.at].table;
        let near = !context.store.thin || table.place().1 < table.height();
        let more =
            self.at == UPGRADES && near && sheet.error.is_none() && rows < sheet.total.min(MOST);
        if more {
            return self.ask(context, rows);
        }
        let age = now_ms.saturating_sub(sheet.came_ms);
        let again_s = match &sheet.error {
            // What was refused is not asked for again: whoever may later has the key for it.
            Some(error) if !is_passing(error) => return Action::None,
            // What failed is asked for again sooner, and not at once.
            Some(_) => 10,
            None => KINDS[self.at].again_s,
        };
        if age >= again_s * 1000 { self.ask(context, 0) } else { Action::None }
    }

    fn list(&self) -> Option<(&'static str, &dyn table::List)> {
        let Some(kind) = KINDS.get(self.at) else {
            return Some(("hosts_file", self.hosts_file.list()));
        };
        Some((kind.name, &self.views[self.at].table))
    }

    fn list_mut(&mut self) -> Option<&mut dyn table::List> {
        if self.at == HOSTS_FILE {
            return Some(self.hosts_file.list_mut());
        }
        Some(&mut self.view().table)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let texts = context.texts;
        let (head, below) = sheet::split(area);
        let titles = KINDS.iter().map(|kind| kind.title).chain(["system.hosts_file"]);
        sheet::titles(context, frame, head, &titles.collect::<Vec<_>>(), self.at);
        if self.at == HOSTS_FILE {
            return self.hosts_file.draw(context, frame, below);
        }
        let (head, body) = sheet::split(below);
        let upgradable = self.views[self.at].only.is_some();
        let sheet = self.views[self.at].sheet(context).filter(|sheet| sheet.known);
        let Some(sheet) = sheet else {
            let lines = sheet::missing(context, self.views[self.at].sheet(context));
            return super::notice(frame, below, &sheet::wrapped(lines, below.width));
        };
        let count = if sheet.total > sheet.rows.len() && self.at == UPGRADES {
            format!("{}/{}", sheet.rows.len(), sheet.total)
        } else {
            sheet.rows.len().to_string()
        };
        let count = texts.fill("system.count", &[texts.get(KINDS[self.at].title), &count]);
        let mut pieces = vec![(count, Role::Strong)];
        pieces.extend(sheet.notes.iter().map(|(text, role)| (texts.reason(text), *role)));
        if upgradable {
            pieces.push((texts.get("system.only_upgradable").to_owned(), Role::Accent));
        }
        let line = sheet::dotted(context, pieces);
        table::put(frame.buffer_mut(), head.x, head.y, head.width, &line, false);
        let none = KINDS[self.at].none;
        self.view().draw(context, frame, body, [none, "system.none_upgradable"]);
    }

    fn entries(&self, context: &Context<'_>) -> Vec<Entry> {
        match self.views.get(self.at) {
            Some(view) => view.entries(context, "palette.row"),
            None => self.hosts_file.entries(context),
        }
    }

    fn pick(&mut self, number: u64) {
        if self.at == HOSTS_FILE {
            self.hosts_file.list_mut().select(number);
        } else {
            self.view().table.select(number);
        }
    }
}
