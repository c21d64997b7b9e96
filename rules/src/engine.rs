//! Evaluates all rules over all hosts, again and again, and says what changed. Whoever has figures and states of
//! hosts tells them here and calls [`Engine::cycle`] every few seconds; what it returns goes to the alerts.
//!
//! Times are milliseconds of a clock that only goes forward; where it began does not matter.

mod live;

use crate::catalog::Catalog;
use crate::check::{Compiled, What};
use crate::columns::{Column, HOSTS, NONE, Table};
use crate::program::Stack;
use crate::unit::{Span, shown};
use crate::window::Window;
use live::{Absent, Live, Named};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// What a rule says of one host or instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Not known: something that it needs is missing or too old. Neither fires nor resolves.
    #[default]
    Unknown,
    /// Its condition holds.
    True,
    /// Its condition does not hold, and neither does what would clear it.
    Between,
    /// What clears it holds; where nothing is said that is that its condition does not.
    Clear,
    /// There is nothing to speak of any more: the host, the instance or the rule has gone, or the rule is for
    /// the host no more.
    Gone,
}

/// A verdict that is another than before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The rule's name.
    pub rule: String,
    /// The host's id.
    pub host: String,
    /// The instance, such as `/home`; empty where the rule is about the host.
    pub instance: String,
    /// What it is now.
    pub verdict: Verdict,
    /// What the rule compares, where that is known.
    pub reading: Option<Reading>,
}

/// The value that a rule compares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// In base units: shares of 1, bytes, seconds.
    pub value: f64,
    /// For people.
    pub shown: String,
    /// What it is compared with, for people; empty where that is no fixed number.
    pub limit: String,
}

/// A host, in the numbering of one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Host(u32);

/// A metric or a state, in the numbering of one catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    column: usize,
    thing: Option<usize>,
}

/// Rules, hosts and what is known of them.
#[derive(Debug)]
pub struct Engine {
    catalog: Catalog,
    tables: Vec<Table>,
    by_per: HashMap<String, usize>,
    /// How many rows a host has in each table.
    counts: HashMap<(usize, u32), u32>,
    columns: Vec<Column>,
    windows: Vec<Window>,
    /// For each metric the windows over it.
    over: Vec<Vec<usize>>,
    absents: Vec<Absent>,
    named: Vec<Named>,
    rules: Vec<Live>,
    /// Changes that are told with the next cycle.
    waiting: Vec<Change>,
    refused: u64,
}

impl Engine {
    /// An engine that knows nothing yet.
    pub fn new(catalog: Catalog) -> Self {
        let mut tables = vec![Table::default()];
        let mut by_per = HashMap::new();
        let mut table = |per: Option<&str>| match per {
            None => HOSTS,
            Some(per) => *by_per.entry(per.to_owned()).or_insert_with(|| {
                tables.push(Table::default());
                tables.len() - 1
            }),
        };
        let mut columns = Vec::new();
        for metric in &catalog.metrics {
            columns.push(Column::new(table(metric.per.as_deref()), Some(metric.lasts.0)));
        }
        for thing in &catalog.things {
            columns.push(Column::new(table(thing.per.as_deref()), None));
        }
        let over = vec![Vec::new(); catalog.metrics.len()];
        Self {
            catalog,
            tables,
            by_per,
            counts: HashMap::new(),
            columns,
            windows: Vec::new(),
            over,
            absents: Vec::new(),
            named: Vec::new(),
            rules: Vec::new(),
            waiting: Vec::new(),
            refused: 0,
        }
    }

    /// The metric of this name.
    pub fn metric(&self, name: &str) -> Option<Cell> {
        self.catalog.metric(name).map(|(column, _)| Cell { column, thing: None })
    }

    /// The thing of this name, for [`Engine::tell_state`].
    pub fn thing(&self, name: &str) -> Option<Cell> {
        let (thing, _) = self.catalog.thing(name)?;
        Some(Cell { column: self.catalog.metrics.len() + thing, thing: Some(thing) })
    }

    /// Adds a host, or finds it. Rules are for it when they say so by [`Engine::put_rule`].
    pub fn host(&mut self, id: &str, now: u64) -> Host {
        Host(self.tables[HOSTS].host(id, now))
    }

    /// A host that is not in the fleet any more. What rules said of it is told as gone.
    pub fn remove_host(&mut self, id: &str) {
        let Some(host) = self.tables[HOSTS].find(NONE, id) else { return };
        for table in (0..self.tables.len()).rev() {
            let of_host = |row: &crate::columns::Row| row.alive && row.host == host;
            let rows = &self.tables[table].rows;
            let rows: Vec<u32> =
                (0..rows.len()).filter(|at| of_host(&rows[*at])).map(|at| at as u32).collect();
            for row in rows {
                self.remove_row(table, row, id);
            }
        }
    }

    /// An instance that is not there any more: a container that was removed, a file system that was unmounted
    /// on purpose. What is merely told no more is unknown instead. `per` is what it is one of, such as `mount`.
    pub fn remove_instance(&mut self, host: Host, per: &str, name: &str) {
        let Some(table) = self.by_per.get(per).copied() else { return };
        let Some(id) = self.alive(host).map(str::to_owned) else { return };
        if let Some(row) = self.tables[table].find(host.0, name) {
            self.remove_row(table, row, &id);
        }
    }

    fn remove_row(&mut self, table: usize, row: u32, id: &str) {
        let of = &self.tables[table].rows[row as usize];
        let (host, name) = (of.host, of.name.clone());
        let instance = if table == HOSTS { String::new() } else { name };
        for rule in self.rules.iter_mut().filter(|rule| rule.table == table) {
            if rule.forget(row) {
                self.waiting.push(Change {
                    rule: rule.name.clone(),
                    host: id.to_owned(),
                    instance: instance.clone(),
                    verdict: Verdict::Gone,
                    reading: None,
                });
            }
        }
        if table == HOSTS {
            // Its place may be another host's next.
            self.rules.iter_mut().for_each(|rule| rule.leave(row));
        }
        for column in self.columns.iter_mut().filter(|column| column.table == table) {
            column.lose(row);
        }
        for window in &mut self.windows {
            if self.columns[window.metric].table == table {
                window.lose(row);
            }
        }
        if let Some(count) = self.counts.get_mut(&(table, host)) {
            *count = count.saturating_sub(1);
        }
        self.tables[table].remove(row, if table == HOSTS { NONE } else { host });
    }

    fn alive(&self, host: Host) -> Option<&str> {
        let row = self.tables[HOSTS].rows.get(host.0 as usize)?;
        row.alive.then_some(row.name.as_str())
    }

    fn row(&mut self, host: Host, column: usize, instance: &str, now: u64) -> Option<u32> {
        self.alive(host)?;
        let table = self.columns[column].table;
        if table == HOSTS {
            return instance.is_empty().then_some(host.0);
        }
        if let Some(row) = self.tables[table].find(host.0, instance) {
            return Some(row);
        }
        let counts = self.counts.entry((table, host.0)).or_default();
        let row = self.tables[table].row(host.0, instance, now, counts);
        self.refused += u64::from(row.is_none());
        row
    }

    /// A value of a metric as of `at`; `instance` is empty for what a host has one of. What is not a number, older
    /// than what is known, or about a host that is not there is left out.
    pub fn tell(&mut self, host: Host, metric: Cell, instance: &str, value: f64, at: u64) {
        if !value.is_finite() || metric.thing.is_some() || metric.column >= self.over.len() {
            return;
        }
        let Some(row) = self.row(host, metric.column, instance, at) else { return };
        if self.columns[metric.column].tell(row, value, at) {
            for window in &self.over[metric.column] {
                self.windows[*window].add(row, value, at);
            }
        }
    }

    /// A state as of `at`; it holds until another is told. A word that the catalogue does not have makes it unknown.
    pub fn tell_state(&mut self, host: Host, thing: Cell, instance: &str, state: &str, at: u64) {
        let Some(known) = thing.thing.and_then(|thing| self.catalog.things.get(thing)) else {
            return;
        };
        let code = known.states.iter().position(|known| known == state);
        let value = code.map_or(f64::NAN, |code| code as f64);
        if let Some(row) = self.row(host, thing.column, instance, at) {
            self.columns[thing.column].tell(row, value, at);
        }
    }

    /// Nobody knows any more how things on this host stand, because its link is gone. What it is told to be itself
    /// (`state(host)`) stays.
    pub fn silent(&mut self, host: Host) {
        let metrics = self.catalog.metrics.len();
        for (at, column) in self.columns.iter_mut().enumerate() {
            if self.catalog.things.get(at.wrapping_sub(metrics)).is_some_and(|t| t.name == "host") {
                continue;
            }
            let table = &self.tables[column.table];
            for (row, _) in table.rows.iter().enumerate().filter(|(_, row)| row.host == host.0) {
                column.cells.set(row as u32, f64::NAN);
            }
        }
    }

    /// Values that were left out because a host has more than 4,096 instances of a kind.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Adds a rule, or puts it in the place of the one of its name, for exactly these hosts. Where only the hosts
    /// are others than before, nothing else is forgotten.
    pub fn put_rule(&mut self, name: &str, compiled: &Arc<Compiled>, hosts: &[Host]) {
        let for_hosts = live::set(hosts.iter().map(|host| host.0));
        let same = |rule: &&mut Live| rule.name == name && Arc::ptr_eq(&rule.compiled, compiled);
        if let Some(rule) = self.rules.iter_mut().find(same) {
            rule.hosts = for_hosts;
            rule.version = u64::MAX;
            return;
        }
        let place = self.rules.iter().position(|rule| rule.name == name);
        let table = compiled.per().and_then(|per| self.by_per.get(per)).copied().unwrap_or(HOSTS);
        let refs = compiled.sources.iter().map(|source| self.source(source)).collect();
        let live = Live::new(name, compiled.clone(), table, refs, for_hosts);
        match place {
            None => self.rules.push(live),
            Some(place) => {
                let old = std::mem::replace(&mut self.rules[place], live);
                if old.table == table {
                    self.rules[place].follow(&old);
                } else {
                    self.told_gone(&old);
                }
                self.sweep();
            }
        }
    }

    /// All that changes about this instance is told from now on. Without it only what was true once is followed; after
    /// a restart whoever has alerts asks for each of them, whether host and instance are there yet or not.
    pub fn follow(&mut self, rule: &str, host: &str, instance: &str) {
        if let Some(rule) = self.rules.iter_mut().find(|live| live.name == rule) {
            rule.want(host, instance);
        }
    }

    /// Takes a rule away; what it said is told as gone.
    pub fn remove_rule(&mut self, name: &str) {
        if let Some(place) = self.rules.iter().position(|rule| rule.name == name) {
            let old = self.rules.remove(place);
            self.told_gone(&old);
            self.sweep();
        }
    }

    fn told_gone(&mut self, rule: &Live) {
        for row in rule.known() {
            let change = self.change(rule, row, Verdict::Gone);
            self.waiting.push(change);
        }
    }

    fn change(&self, rule: &Live, row: u32, verdict: Verdict) -> Change {
        let rows = &self.tables[rule.table].rows;
        let of = &rows[row as usize];
        let host = self.tables[HOSTS].rows[of.host as usize].name.clone();
        let instance = if rule.table == HOSTS { String::new() } else { of.name.clone() };
        Change { rule: rule.name.clone(), host, instance, verdict, reading: None }
    }

    fn source(&mut self, source: &crate::check::Source) -> live::Ref {
        let metrics = self.catalog.metrics.len();
        let (from, table) = match source.what {
            What::Now(metric) => (live::From::Column(metric), self.columns[metric].table),
            What::State(thing) => {
                (live::From::Column(metrics + thing), self.columns[metrics + thing].table)
            }
            What::Window(metric, over, span) => {
                (live::From::Window(self.window(metric, over, span)), self.columns[metric].table)
            }
            What::Absent(metric, span) => {
                let like = |a: &Absent| (a.metric, a.span) == (metric, span);
                let at = self.absents.iter().position(like).unwrap_or_else(|| {
                    self.absents.push(Absent::new(metric, span));
                    self.absents.len() - 1
                });
                (live::From::Absent(at), self.columns[metric].table)
            }
        };
        live::Ref { from, pick: self.named(&source.pick, table) }
    }

    fn named(&mut self, pick: &crate::check::Pick, table: usize) -> live::Pick {
        match pick {
            crate::check::Pick::Row => live::Pick::Row,
            crate::check::Pick::Host => live::Pick::Host,
            crate::check::Pick::Named(name) => {
                let like = |n: &Named| n.table == table && n.name == *name;
                live::Pick::Named(self.named.iter().position(like).unwrap_or_else(|| {
                    self.named.push(Named::new(table, name));
                    self.named.len() - 1
                }))
            }
        }
    }

    fn window(&mut self, metric: usize, over: crate::check::Over, span: Span) -> usize {
        let like = |w: &Window| (w.metric, w.over, w.span) == (metric, over, span);
        if let Some(at) = self.windows.iter().position(like) {
            return at;
        }
        let lasts = self.catalog.metrics[metric].lasts;
        self.windows.push(Window::new(metric, over, span, lasts));
        self.over[metric].push(self.windows.len() - 1);
        self.windows.len() - 1
    }

    /// Drops windows that no rule looks at any more.
    fn sweep(&mut self) {
        let mut used = vec![false; self.windows.len()];
        for at in self.rules.iter().flat_map(Live::windows) {
            used[at] = true;
        }
        let mut moved = Vec::with_capacity(used.len());
        let mut kept = 0;
        for used in &used {
            moved.push(kept);
            kept += usize::from(*used);
        }
        let mut flags = used.iter();
        self.windows.retain(|_| flags.next().copied().unwrap_or(false));
        for over in &mut self.over {
            over.retain(|at| used[*at]);
            for at in over {
                *at = moved[*at];
            }
        }
        self.rules.iter_mut().for_each(|rule| rule.renumber(&moved));
    }

    /// Looks at everything that changed since the last time and returns the verdicts that are others now. `now`
    /// never goes back.
    pub fn cycle(&mut self, now: u64) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.waiting);
        for column in &mut self.columns {
            column.age(now);
        }
        for window in &mut self.windows {
            window.cycle(now);
        }
        for absent in &mut self.absents {
            let column = &self.columns[absent.metric];
            absent.cycle(column, &self.tables[column.table], now);
        }
        for named in &mut self.named {
            named.follow(&self.tables[named.table], self.tables[HOSTS].rows.len());
        }
        let mut stack = Stack::default();
        let mut found: Vec<(usize, u32, Verdict)> = Vec::new();
        let mut rules = std::mem::take(&mut self.rules);
        let board = live::Board {
            tables: &self.tables,
            columns: &self.columns,
            windows: &self.windows,
            absents: &self.absents,
            named: &self.named,
        };
        for (at, rule) in rules.iter_mut().enumerate() {
            rule.cycle(&board, &mut stack, |row, verdict| found.push((at, row, verdict)));
        }
        self.rules = rules;
        for (at, row, verdict) in found {
            let mut change = self.change(&self.rules[at], row, verdict);
            change.reading = self.read(&self.rules[at], row, &mut stack);
            changes.push(change);
        }
        self.columns.iter_mut().for_each(|column| column.cells.clean());
        self.windows.iter_mut().for_each(|window| window.cells.clean());
        self.absents.iter_mut().for_each(|absent| absent.cells.clean());
        changes
    }

    /// What every rule says now of what was true once or is followed: for whoever has just begun to listen.
    pub fn all(&self) -> Vec<Change> {
        let mut stack = Stack::default();
        let mut all = Vec::new();
        for rule in &self.rules {
            for row in rule.known() {
                let mut change = self.change(rule, row, rule.verdict(row));
                change.reading = self.read(rule, row, &mut stack);
                all.push(change);
            }
        }
        all
    }

    /// The value that a rule compares on a host now.
    pub fn reading(&self, rule: &str, host: &str, instance: &str) -> Option<Reading> {
        let rule = self.rules.iter().find(|live| live.name == rule)?;
        let host = self.tables[HOSTS].find(NONE, host)?;
        let row = match rule.table {
            HOSTS => host,
            table => self.tables[table].find(host, instance)?,
        };
        self.read(rule, row, &mut Stack::default())
    }

    fn read(&self, rule: &Live, row: u32, stack: &mut Stack) -> Option<Reading> {
        let (program, unit) = rule.compiled.value.as_ref()?;
        let board = live::Board {
            tables: &self.tables,
            columns: &self.columns,
            windows: &self.windows,
            absents: &self.absents,
            named: &self.named,
        };
        let value = rule.one(program, &board, stack, row);
        let limit = rule.compiled.limit.map_or_else(String::new, |limit| shown(limit, *unit));
        value.is_finite().then(|| Reading { value, shown: shown(value, *unit), limit })
    }
}
