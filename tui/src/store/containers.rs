//! Containers as rows, and what they use beside them: a list and figures of it come by two feeds, and stand in one row.

use super::Store;
use super::lists::{Listed, number};
use super::sheets::{Record, Target, Value};
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::HostId;
use cmdr_protocol::containers::stats::Figures;
use cmdr_protocol::containers::{Container, State, Watch, short};
use cmdr_protocol::display::clean;
use cmdr_protocol::table::Change;
use std::collections::HashMap;

/// What sheets of containers are called.
pub const SHEET: &str = "containers";

/// Cells of a row.
pub const HOST: usize = 0;
pub const NAME: usize = 1;
pub const STATE: usize = 2;
pub const CPU: usize = 3;
pub const MEMORY: usize = 4;
pub const NETWORK: usize = 5;
pub const BLOCK: usize = 6;
const IMAGE: usize = 8;
const PORTS: usize = 9;
const PROJECT: usize = 10;

/// Hosts whose figures are kept; of more those go that were told longest ago.
const HOSTS: usize = 256;
/// Two samples that are nearer to each other tell no rate.
const NEAREST_MS: u64 = 300;

/// What containers of hosts use.
#[derive(Debug, Default)]
pub struct Lives(HashMap<HostId, Life>);

/// Of one host.
#[derive(Debug, Default)]
struct Life {
    /// When figures came last.
    at_ms: u64,
    /// How long after those before.
    span_ms: u64,
    of: HashMap<String, Used>,
}

/// Of one container.
#[derive(Debug)]
struct Used {
    figures: Figures,
    /// Bytes a second: received, sent, read, written; none before the second sample.
    rates: Option<[u64; 4]>,
}

impl Used {
    /// As they stand in a row, from [`CPU`] on.
    fn values(&self) -> [Value; 4] {
        let Self { figures, rates } = self;
        let cpu = format!("{}%", format::hundredths(figures.cpu));
        let role = match figures.cpu {
            0..100 => Role::Soft,
            100..9000 => Role::Text,
            _ => Role::Warn,
        };
        let full = match figures.memory_permille() {
            0..900 => Role::Text,
            900..970 => Role::Warn,
            _ => Role::Bad,
        };
        let memory = format!(
            "{} {:>3}",
            format::bytes(figures.memory),
            format::percent(figures.memory_permille())
        );
        let both = |at: usize| match rates {
            None => Value::Figure(0, "-".to_owned(), Role::Faint),
            Some(rates) => {
                let sum = rates[at].saturating_add(rates[at + 1]);
                let text = format!("{}/{}", format::rate(rates[at]), format::rate(rates[at + 1]));
                Value::Figure(sum, text, if sum == 0 { Role::Faint } else { Role::Text })
            }
        };
        [
            Value::Figure(figures.cpu.into(), cpu, role),
            Value::Figure(figures.memory, memory, full),
            both(0),
            both(2),
        ]
    }
}

fn none() -> [Value; 4] {
    [(); 4].map(|()| Value::Figure(0, "-".to_owned(), Role::Faint))
}

/// Writes figures into a row; whether they are others then.
fn put(record: &mut Record, values: [Value; 4]) -> bool {
    let mut changed = false;
    for (cell, value) in record.values.iter_mut().skip(CPU).zip(values) {
        changed |= *cell != value;
        *cell = value;
    }
    changed
}

impl Lives {
    /// Takes a sample of a host in: the containers whose figures are others now, and those that have none any more.
    fn take(&mut self, host: HostId, now_ms: u64, item: Change<Figures>) -> Vec<String> {
        if !self.0.contains_key(&host) && self.0.len() >= HOSTS {
            let oldest = self.0.iter().min_by_key(|(_, life)| life.at_ms).map(|(host, _)| *host);
            oldest.and_then(|host| self.0.remove(&host));
        }
        let life = self.0.entry(host).or_default();
        let Change { reset, gone, put } = item;
        let mut touched: Vec<String> = Vec::new();
        if reset {
            touched.extend(life.of.drain().map(|(id, _)| id));
        }
        for id in gone {
            life.of.remove(&id);
            touched.push(id);
        }
        // What is told in pieces is one sample.
        let since_ms = now_ms.saturating_sub(life.at_ms);
        if since_ms >= NEAREST_MS {
            (life.at_ms, life.span_ms) = (now_ms, since_ms);
            for (id, used) in &mut life.of {
                // Who is not told of has used nothing more.
                if used.rates.is_some_and(|rates| rates != [0; 4]) {
                    used.rates = Some([0; 4]);
                    touched.push(id.clone());
                }
            }
        }
        for figures in put {
            let now = [figures.received, figures.sent, figures.read, figures.written];
            let span_ms = life.span_ms;
            let rates = life.of.get(&figures.id).and_then(|used| {
                let Figures { received, sent, read, written, .. } = used.figures;
                let then = [received, sent, read, written];
                let went = |at: usize| now[at].saturating_sub(then[at]).saturating_mul(1000);
                let rate = |at: usize| went(at).checked_div(span_ms);
                Some([rate(0)?, rate(1)?, rate(2)?, rate(3)?])
            });
            touched.push(figures.id.clone());
            life.of.insert(figures.id.clone(), Used { figures, rates });
        }
        touched
    }
}

/// Takes a sample of a host in, and shows it wherever its containers are listed.
pub fn used(store: &mut Store, host: HostId, item: Change<Figures>) {
    let touched = store.containers.take(host, store.now_ms, item);
    let life = store.containers.0.get(&host);
    let sheets = store.sheets.iter_mut().filter(|((_, name), _)| *name == SHEET);
    for (_, sheet) in sheets {
        let mut changed = false;
        for id in &touched {
            let Some(record) = sheet.rows.get_mut(&number::<Container>(host, id)) else { continue };
            let used = life.and_then(|life| life.of.get(id)).filter(|_| runs(record));
            changed |= put(record, used.map_or_else(none, Used::values));
        }
        sheet.version += u64::from(changed);
    }
}

/// How a container stands: the key of the word, and its colour.
pub fn state(container: &Container) -> (&'static str, Role) {
    match (container.state, container.health.as_str()) {
        (State::Running, "unhealthy") => ("containers.state.unhealthy", Role::Bad),
        (State::Running, "starting") => ("containers.state.starting", Role::Warn),
        (State::Running, _) => ("containers.state.running", Role::Ok),
        (State::Paused, _) => ("containers.state.paused", Role::Warn),
        (State::Restarting, _) => ("containers.state.restarting", Role::Warn),
        (State::Exited, _) => ("containers.state.exited", Role::Soft),
        (State::Created, _) => ("containers.state.created", Role::Soft),
        (State::Dead, _) => ("containers.state.dead", Role::Bad),
        _ => ("containers.state.other", Role::Soft),
    }
}

/// Whether a row is of a container that has processes.
pub fn runs(row: &Record) -> bool {
    row.values.iter().any(|value| matches!(value, Value::Status(of) if of.state.runs()))
}

/// Whether it is one that was paused.
pub fn is_paused(row: &Record) -> bool {
    let paused = |of: &Container| of.state == State::Paused;
    row.values.iter().any(|value| matches!(value, Value::Status(of) if paused(of)))
}

/// What is read of a row where there is no table: without figures, which change.
pub fn words(record: &Record) -> String {
    let texts = [NAME, STATE, IMAGE, PORTS, PROJECT].map(|at| record.values[at].plain());
    texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Whether what a form cannot say of a container goes over to another one in its place all the same: that is in the networks
/// of the one before.
pub fn goes_over(beyond: &str) -> bool {
    beyond.starts_with("the network ")
}

/// A container as a row.
pub fn record(host: HostId, on: &str, container: &Container) -> Record {
    let (word, role) = state(container);
    let ports: Vec<String> = container.ports.iter().map(ToString::to_string).collect();
    let whole = container.image.as_str();
    let image = if whole.starts_with("sha256:") { short(whole) } else { whole };
    // Only what the words are made of: rows are many.
    let status = Container {
        state: container.state,
        status: clean(&container.status).into_owned(),
        since_s: container.since_s,
        exit_code: container.exit_code,
        health: clean(&container.health).into_owned(),
        ..Container::default()
    };
    let [cpu, memory, network, block] = none();
    Record {
        id: number::<Container>(host, &container.id),
        host,
        values: vec![
            Value::text(on, Role::Accent),
            Value::text(&container.name, Role::Strong),
            Value::Word(word, role),
            cpu,
            memory,
            network,
            block,
            Value::Status(Box::new(status)),
            Value::text(image, Role::Text),
            Value::soft(&ports.join(" ")),
            Value::soft(container.project()),
        ],
        more: vec![("containers.detail.id", clean(container.short_id()).into_owned())],
        target: Target::Container { id: container.id.clone(), name: container.name.clone() },
    }
}

impl Listed for Watch {
    type Row = Container;

    fn record(host: HostId, on: &str, container: &Container) -> Record {
        record(host, on, container)
    }

    fn beside(store: &Store, row: &mut Record) {
        let Target::Container { id, .. } = &row.target else { return };
        let used = store.containers.0.get(&row.host).and_then(|life| life.of.get(id));
        // What one used that has ended meanwhile is not so any more.
        if let Some(used) = used.filter(|_| runs(row)) {
            put(row, used.values());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::lists;
    use crate::store::sheets::SheetKey;

    const WEB: HostId = HostId([1; 16]);
    const KEY: SheetKey = (None, SHEET);

    fn store() -> Store {
        let mut store = Store::new(1_000_000, 0, false);
        let one = |id: &str| Container {
            id: id.into(),
            name: id.into(),
            state: State::Running,
            ..Container::default()
        };
        let put = vec![one("a"), one("b")];
        let item = Change { reset: true, gone: vec![], put };
        lists::take::<Watch>(&mut store, KEY, WEB, &item);
        store
    }

    fn sample(store: &mut Store, at_ms: u64, of: &[(&str, u64)]) {
        store.now_ms = at_ms;
        let figures = |(id, received): &(&str, u64)| Figures {
            id: (*id).into(),
            cpu: 150,
            memory: 1 << 20,
            limit: 4 << 20,
            received: *received,
            ..Figures::default()
        };
        let put = of.iter().map(figures).collect();
        used(store, WEB, Change { reset: false, gone: vec![], put });
    }

    fn cell(store: &Store, id: &str, at: usize) -> String {
        let rows = &store.sheet(KEY).expect("a sheet").rows;
        rows[&number::<Container>(WEB, &id.to_owned())].values[at].plain().to_owned()
    }

    #[test]
    fn rates_are_what_came_between_two_samples_and_nothing_for_whom_none_is_told() {
        let mut store = store();
        sample(&mut store, 1_002_000, &[("a", 1000), ("b", 0)]);
        assert_eq!(cell(&store, "a", CPU), "1.50%");
        assert_eq!(
            (cell(&store, "a", MEMORY).as_str(), cell(&store, "a", NETWORK).as_str()),
            ("1.0M 25%", "-")
        );
        sample(&mut store, 1_004_000, &[("a", 3048), ("b", 10)]);
        assert_eq!(cell(&store, "a", NETWORK), "1.0K/-");
        sample(&mut store, 1_006_000, &[("b", 20)]);
        assert_eq!(
            (cell(&store, "a", NETWORK), cell(&store, "b", NETWORK)),
            ("-/-".into(), "5/-".into())
        );
    }

    #[test]
    fn a_row_that_is_told_anew_keeps_its_figures_and_one_that_has_ended_has_none() {
        let mut store = store();
        sample(&mut store, 1_002_000, &[("a", 1000)]);
        let mut tell = |name: &str, state| {
            let again =
                Container { id: "a".into(), name: name.into(), state, ..Container::default() };
            let item = Change { reset: false, gone: vec![], put: vec![again] };
            lists::take::<Watch>(&mut store, KEY, WEB, &item);
            (cell(&store, "a", NAME), cell(&store, "a", CPU))
        };
        assert_eq!(tell("new", State::Running), ("new".into(), "1.50%".into()));
        assert_eq!(tell("new", State::Exited), ("new".into(), "-".into()));
    }

    #[test]
    fn what_changes_nothing_that_is_seen_orders_nothing_anew() {
        let mut store = store();
        for at in [1_002_000, 1_004_000, 1_006_000] {
            sample(&mut store, at, &[("a", 5), ("b", 5)]);
        }
        let version = store.sheet(KEY).expect("a sheet").version;
        sample(&mut store, 1_008_000, &[("a", 5), ("b", 5)]);
        assert_eq!(store.sheet(KEY).expect("a sheet").version, version);
    }
}
