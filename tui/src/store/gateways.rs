//! Gateways as their pages have them: the list with what the history says of each lately, and all about the one that is
//! looked at, from its host.

use super::sheets::{Record, SheetKey, Target, Value, id_of, of_number};
use super::traffic::Traffic;
use super::{Store, Update};
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::display::clean;
use cmdr_protocol::gateways::{Banned, Ended, Figures, Listing, Logged, Row, State, Times};
use cmdr_protocol::history::Answer;
use cmdr_protocol::{CallError, HostId};
use std::collections::{BTreeMap, HashMap};

/// The sheet of all of them.
pub const GATEWAYS: SheetKey = (None, "gateways");
/// Connections that have ended, bans and parts of a gateway that are kept at most, whatever a host says.
const MOST: usize = 20_000;
/// Busiest clients of a listener.
const TALKERS: usize = 20;
/// Gateways that are kept at most, whatever a hub says.
const ROWS: usize = 5000;

/// All that is known of gateways.
#[derive(Default)]
pub struct Gateways {
    /// By number; texts made harmless.
    pub rows: BTreeMap<u64, Row>,
    /// What the history says of each, by name.
    lately: HashMap<String, Lately>,
    /// When that was asked for.
    pub lately_ms: u64,
    /// A question beside the list is under way.
    pub busy: bool,
    /// The one that is looked at.
    pub one: Option<One>,
}

/// Means of the newest steps, all listeners of a gateway together.
#[derive(Clone, Copy, Default)]
struct Lately {
    open: f64,
    accepted: f64,
    errors: f64,
    received: f64,
    sent: f64,
}

/// All about one.
pub struct One {
    /// Which.
    pub number: u64,
    /// What its host said last.
    pub figures: Result<Figures, CallError>,
    /// What it said before.
    before: Option<Figures>,
    /// When it came.
    pub came_ms: u64,
    /// Connections that have ended, newest first; nothing while nobody asked.
    pub ended: Option<Result<Vec<Ended>, CallError>>,
    /// Banned addresses: policy, address, milliseconds still.
    pub bans: Vec<(String, String, u64)>,
    /// When these two were asked for.
    pub asked_ms: u64,
    /// Bytes a second of all listeners lately.
    pub traffic: Traffic,
}

/// The number of a gateway's row, and of its pages.
pub fn number(name: &str) -> u64 {
    id_of(&("gateway", name))
}

/// The number of an upstream's row.
pub fn upstream(group: &str, address: &str) -> u64 {
    id_of(&("upstream", group, address))
}

/// The sheet of a gateway's upstreams.
pub fn upstreams(number: u64) -> SheetKey {
    of_number(number, "upstreams")
}

/// Sign, key of the word, colour, place among the others.
pub fn state(state: State) -> (&'static str, Role, u64) {
    match state {
        State::Broken => ("gateways.state.broken", Role::Bad, 0),
        State::Refused => ("gateways.state.refused", Role::Bad, 1),
        State::Waits => ("gateways.state.waits", Role::Warn, 2),
        State::Unknown => ("gateways.state.unknown", Role::Soft, 3),
        State::Running => ("gateways.state.running", Role::Ok, 4),
        State::Off => ("gateways.state.off", Role::Soft, 5),
    }
}

/// The same of an upstream, in its host's word.
pub fn upstream_state(word: &str) -> Value {
    let (place, key, role) = match word {
        "down" => (0, "gateways.up.down", Role::Bad),
        "ejected" => (1, "gateways.up.ejected", Role::Warn),
        "drained" => (2, "gateways.up.drained", Role::Soft),
        "up" => (3, "gateways.up.up", Role::Ok),
        other => return Value::text(other, Role::Warn),
    };
    Value::Ranked(place, key, role)
}

/// So many a second, from tenths of one.
fn per_second(tenths: u64) -> Value {
    let text = match tenths {
        0 => return Value::Figure(0, "-".to_owned(), Role::Faint),
        1..1000 => format!("{}.{}", tenths / 10, tenths % 10),
        _ => format::count((tenths / 10) as usize),
    };
    Value::Figure(tenths, text, Role::Text)
}

fn bytes_per_second(n: u64) -> Value {
    Value::Figure(n, format::rate(n), if n == 0 { Role::Faint } else { Role::Text })
}

/// The median of times; the rest is in what is told of the one under the cursor.
fn took(times: Option<Times>) -> Value {
    let none = || Value::Figure(0, "-".to_owned(), Role::Faint);
    times.map_or_else(none, |times| {
        let us = u32::try_from(times.p50_us).unwrap_or(u32::MAX);
        Value::Figure(times.p50_us, format::round_trip(us), Role::Text)
    })
}

fn errors(tenths: u64) -> Value {
    match per_second(tenths) {
        Value::Figure(n, text, _) if n > 0 => Value::Figure(n, text, Role::Bad),
        none => none,
    }
}

fn tenths(value: f64) -> u64 {
    (value.max(0.0) * 10.0).round() as u64
}

fn harmless(text: &mut String) {
    if let std::borrow::Cow::Owned(clean) = clean(text) {
        *text = clean;
    }
}

/// Where one listens, in short: that it is TCP is the usual.
fn listens(all: &[String]) -> String {
    let short = |listener: &String| listener.strip_prefix("tcp ").unwrap_or(listener).to_owned();
    all.iter().map(short).collect::<Vec<_>>().join(", ")
}

fn record(row: &Row, lately: Option<&Lately>) -> Record {
    let (word, role, place) = state(row.state);
    let figure = |of: fn(&Lately) -> Value| {
        lately.map_or_else(|| Value::Figure(0, "-".to_owned(), Role::Faint), of)
    };
    let version = match row.at_host {
        at if at == row.version || row.state == State::Off => {
            Value::Figure(row.version, row.version.to_string(), Role::Soft)
        }
        at => Value::Figure(row.version, format!("{at}→{}", row.version), Role::Warn),
    };
    let why = if row.why.is_empty() {
        Value::soft(&row.description)
    } else {
        let role = if role == Role::Bad { Role::Bad } else { Role::Soft };
        Value::text(&row.why, role)
    };
    Record {
        id: number(&row.name),
        host: row.host.unwrap_or(HostId([0; 16])),
        values: vec![
            Value::Ranked(place, word, role),
            Value::text(&row.name, Role::Strong),
            Value::text(&row.host_name, Role::Text),
            Value::text(&listens(&row.listeners), Role::Text),
            Value::count(u64::from(row.upstreams)),
            figure(|lately| Value::count(lately.open.round() as u64)),
            figure(|lately| per_second(tenths(lately.accepted))),
            figure(|lately| bytes_per_second(lately.received as u64)),
            figure(|lately| bytes_per_second(lately.sent as u64)),
            figure(|lately| errors(tenths(lately.errors))),
            version,
            why,
        ],
        more: vec![
            ("gateways.more.description", clean(&row.description).into_owned()),
            ("gateways.more.by", clean(&row.saved_by).into_owned()),
        ],
        target: Target::Named(row.name.clone()),
    }
}

fn rebuild(store: &mut Store) {
    let now_ms = store.now_ms;
    let gateways = &store.gateways;
    let records = gateways.rows.values().map(|row| record(row, gateways.lately.get(&row.name)));
    let records: Vec<Record> = records.collect();
    let sheet = store.sheet_mut(GATEWAYS);
    let (came_ms, asked_ms) = (sheet.came_ms, sheet.asked_ms);
    sheet.set(now_ms, records.into_iter());
    // Only the list itself counts as its coming.
    (sheet.came_ms, sheet.asked_ms) = (came_ms, asked_ms);
}

/// The list is asked for.
pub fn asking() -> Update {
    Update::new(|store| {
        let now_ms = store.now_ms;
        store.sheet_mut(GATEWAYS).asked_ms = now_ms.max(1);
    })
}

/// Something beside the list is asked for.
pub fn busy() -> Update {
    Update::new(|store| store.gateways.busy = true)
}

/// The list came.
pub fn listed(answer: Result<Listing, CallError>) -> Update {
    Update::new(move |store: &mut Store| {
        let now_ms = store.now_ms;
        match answer {
            Err(error) => store.sheet_mut(GATEWAYS).fail(error, now_ms),
            Ok(listing) => {
                let mut rows = listing.gateways;
                rows.truncate(ROWS);
                for row in &mut rows {
                    let Row { name, description, host_name, why, saved_by, .. } = row;
                    [name, description, host_name, why, saved_by].into_iter().for_each(harmless);
                    row.listeners.iter_mut().for_each(harmless);
                }
                store.gateways.rows =
                    rows.into_iter().map(|row| (number(&row.name), row)).collect();
                rebuild(store);
                store.sheet_mut(GATEWAYS).came(now_ms);
            }
        }
    })
}

/// What the history says came.
pub fn measured(answer: Result<Answer, CallError>) -> Update {
    Update::new(move |store: &mut Store| {
        let now_ms = store.now_ms;
        let gateways = &mut store.gateways;
        (gateways.busy, gateways.lately_ms) = (false, now_ms);
        let Ok(answer) = answer else { return };
        let mut lately: HashMap<String, Lately> = HashMap::new();
        for line in answer.lines {
            let Some((metric, of)) = line.metric.split_once('{') else { continue };
            let name = of.split(['/', '}']).next().unwrap_or_default();
            let Some(value) = line.points.iter().rev().find_map(|point| *point) else { continue };
            let of = lately.entry(name.to_owned()).or_default();
            match metric {
                "gateway.connections" => of.open += value,
                "gateway.accepted" => of.accepted += value,
                "gateway.errors" => of.errors += value,
                "gateway.received" => of.received += value,
                "gateway.sent" => of.sent += value,
                _ => {}
            }
        }
        gateways.lately = lately;
        if store.sheet(GATEWAYS).is_some_and(|sheet| sheet.known) {
            rebuild(store);
        }
    })
}

/// What is counted of a part between two answers: so many tenths a second.
fn rate(now: u64, before: u64, elapsed_ms: u64) -> u64 {
    let more = u128::from(now.saturating_sub(before));
    (more * 10_000 / u128::from(elapsed_ms.max(1))).try_into().unwrap_or(u64::MAX)
}

impl One {
    /// How long before its figures the ones before were taken, with those; none where a program began meanwhile.
    fn since(&self) -> Option<(&Figures, u64)> {
        let (now, before) = (self.figures.as_ref().ok()?, self.before.as_ref()?);
        let elapsed = now.at_ms.checked_sub(before.at_ms).filter(|elapsed| *elapsed > 0)?;
        (now.pid == before.pid).then_some((before, elapsed))
    }

    /// Of a listener: new connections a second in tenths, bytes a second from and to clients.
    pub fn listener_rates(&self, at: usize) -> Option<(u64, u64, u64)> {
        let (before, elapsed) = self.since()?;
        let now = self.figures.as_ref().ok()?.listeners.get(at)?;
        let was = before.listeners.iter().find(|was| was.name == now.name)?;
        Some((
            rate(now.accepted, was.accepted, elapsed),
            rate(now.bytes_in, was.bytes_in, elapsed) / 10,
            rate(now.bytes_out, was.bytes_out, elapsed) / 10,
        ))
    }

    /// Bytes a second of all listeners, from clients and to them.
    fn rates(&self) -> Option<(u64, u64)> {
        let count = self.figures.as_ref().ok()?.listeners.len();
        self.since()?;
        let rates = (0..count).filter_map(|at| self.listener_rates(at));
        let add = |(to, from): (u64, u64), (_, more, back): (u64, u64, u64)| {
            (to.saturating_add(more), from.saturating_add(back))
        };
        Some(rates.fold((0, 0), add))
    }

    fn records(&self) -> Vec<Record> {
        let Ok(figures) = &self.figures else { return Vec::new() };
        let since = self.since();
        let mut records = Vec::new();
        for group in &figures.groups {
            let before = since.and_then(|(before, elapsed)| {
                Some((before.groups.iter().find(|was| was.name == group.name)?, elapsed))
            });
            for now in &group.upstreams {
                let was = before.and_then(|(group, elapsed)| {
                    let same = group.upstreams.iter().find(|was| was.address == now.address);
                    Some((same?, elapsed))
                });
                let none = || Value::Figure(0, "-".to_owned(), Role::Faint);
                let weight = if now.weight == 0 { Role::Warn } else { Role::Text };
                let backup = if now.backup {
                    Value::Word("gateways.backup", Role::Soft)
                } else {
                    Value::soft("")
                };
                let failed = if now.failed == 0 { Role::Faint } else { Role::Bad };
                records.push(Record {
                    id: upstream(&group.name, &now.address),
                    host: HostId([0; 16]),
                    values: vec![
                        Value::text(&group.name, Role::Text),
                        Value::text(&now.address, Role::Strong),
                        upstream_state(&now.state),
                        Value::Figure(u64::from(now.weight), now.weight.to_string(), weight),
                        Value::count(now.active),
                        was.map_or_else(none, |(was, ms)| {
                            per_second(rate(now.total, was.total, ms))
                        }),
                        was.map_or_else(none, |(was, ms)| {
                            bytes_per_second(rate(now.bytes_in, was.bytes_in, ms) / 10)
                        }),
                        was.map_or_else(none, |(was, ms)| {
                            bytes_per_second(rate(now.bytes_out, was.bytes_out, ms) / 10)
                        }),
                        took(now.connect),
                        took(now.first_byte),
                        Value::count(now.total),
                        Value::Figure(now.failed, now.failed.to_string(), failed),
                        backup,
                    ],
                    more: Vec::new(),
                    target: Target::Named(now.address.clone()),
                });
            }
        }
        records
    }
}

impl Gateways {
    /// All about one, if that is the one that was asked about last.
    pub fn one(&self, number: u64) -> Option<&One> {
        self.one.as_ref().filter(|one| one.number == number)
    }
}

fn harmless_figures(figures: &mut Figures) {
    figures.listeners.truncate(MOST);
    for listener in &mut figures.listeners {
        [&mut listener.name, &mut listener.address, &mut listener.transport]
            .into_iter()
            .for_each(harmless);
        listener.talkers.truncate(TALKERS);
        listener.talkers.iter_mut().for_each(|talker| harmless(&mut talker.address));
    }
    let mut left = MOST;
    for group in &mut figures.groups {
        harmless(&mut group.name);
        group.upstreams.truncate(left);
        left -= group.upstreams.len();
        for upstream in &mut group.upstreams {
            harmless(&mut upstream.address);
            harmless(&mut upstream.state);
        }
    }
}

/// What a gateway's host says of it came.
pub fn told(number: u64, answer: Result<Figures, CallError>) -> Update {
    Update::new(move |store: &mut Store| {
        let now_ms = store.now_ms;
        let gateways = &mut store.gateways;
        gateways.busy = false;
        let figures = answer.map(|mut figures| {
            harmless_figures(&mut figures);
            figures
        });
        let was = gateways.one.take().filter(|one| one.number == number);
        let mut one = One {
            number,
            figures,
            before: None,
            came_ms: now_ms,
            ended: None,
            bans: Vec::new(),
            asked_ms: 0,
            traffic: Traffic::default(),
        };
        if let Some(was) = was {
            (one.ended, one.bans, one.asked_ms) = (was.ended, was.bans, was.asked_ms);
            one.before = was.figures.ok();
            one.traffic = was.traffic;
            if let Some((to, from)) = one.rates() {
                one.traffic.push(now_ms, to, from);
            }
        }
        let records = one.records();
        let error = one.figures.as_ref().err().cloned();
        gateways.one = Some(one);
        let sheet = store.sheet_mut(upstreams(number));
        match error {
            Some(error) => sheet.fail(error, now_ms),
            None => sheet.set(now_ms, records.into_iter()),
        }
    })
}

/// Connections of a gateway that have ended, and its bans, came.
pub fn happened(number: u64, answer: Result<(Logged, Banned), CallError>) -> Update {
    Update::new(move |store: &mut Store| {
        let now_ms = store.now_ms;
        store.gateways.busy = false;
        let Some(one) = store.gateways.one.as_mut().filter(|one| one.number == number) else {
            return;
        };
        one.asked_ms = now_ms;
        one.ended = Some(answer.map(|(mut logged, mut banned)| {
            banned.bans.truncate(MOST);
            for (policy, address, _) in &mut banned.bans {
                harmless(policy);
                harmless(address);
            }
            one.bans = banned.bans;
            let skip = logged.ended.len().saturating_sub(MOST);
            logged.ended.drain(..skip);
            logged.ended.reverse();
            for ended in &mut logged.ended {
                let Ended { listener, source, upstream, reason, .. } = ended;
                [listener, source, upstream, reason].into_iter().for_each(harmless);
            }
            logged.ended
        }));
    })
}

/// All is asked for anew: something was changed.
pub fn stale() -> Update {
    Update::new(|store| {
        store.sheet_mut(GATEWAYS).came_ms = 0;
        if let Some(one) = &mut store.gateways.one {
            (one.came_ms, one.asked_ms) = (0, 0);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::gateways::{GroupFigures, ListenerFigures, UpstreamFigures};

    fn figures(at_ms: u64, pid: u32, count: u64) -> Figures {
        let listener = ListenerFigures {
            name: "http\u{1b}[2J".into(),
            accepted: count,
            bytes_in: count * 100,
            ..ListenerFigures::default()
        };
        let upstream = UpstreamFigures {
            address: "10.0.0.1:80".into(),
            state: "up".into(),
            total: count,
            ..UpstreamFigures::default()
        };
        let group = GroupFigures { name: "web".into(), waiting: 0, upstreams: vec![upstream] };
        Figures { at_ms, pid, listeners: vec![listener], groups: vec![group], ..Figures::default() }
    }

    #[test]
    fn rates_are_what_was_counted_between_two_answers_of_the_same_program() {
        let mut store = Store::new(9, 0, false);
        store.apply(told(7, Ok(figures(1000, 5, 10))));
        assert!(store.gateways.one(7).and_then(|one| one.listener_rates(0)).is_none());
        store.apply(told(7, Ok(figures(3000, 5, 30))));
        let rates = store.gateways.one(7).and_then(|one| one.listener_rates(0));
        assert_eq!(rates, Some((100, 1000, 0)));
        // Another program has counted anew.
        store.apply(told(7, Ok(figures(100, 6, 2))));
        assert!(store.gateways.one(7).and_then(|one| one.listener_rates(0)).is_none());
        store.apply(told(8, Ok(figures(4000, 6, 2))));
        assert!(store.gateways.one(7).is_none());
    }

    #[test]
    fn what_hubs_and_hosts_say_is_harmless_and_bounded() {
        let mut store = Store::new(9, 0, false);
        let evil = |n: usize| Row {
            name: format!("g{n}\u{1b}[2J"),
            why: "\u{9b}31m".into(),
            ..Row::default()
        };
        store.apply(listed(Ok(Listing { gateways: (0..ROWS + 9).map(evil).collect() })));
        assert_eq!(store.gateways.rows.len(), ROWS);
        assert!(store.gateways.rows.values().all(|row| !row.name.contains('\u{1b}')));
        store.apply(told(7, Ok(figures(1, 1, 1))));
        let one = store.gateways.one(7).and_then(|one| one.figures.as_ref().ok());
        assert!(one.is_some_and(|one| !one.listeners[0].name.contains('\u{1b}')));
    }

    #[test]
    fn what_the_history_says_is_the_sum_of_all_listeners() {
        let mut store = Store::new(9, 0, false);
        let row = Row { name: "web".into(), ..Row::default() };
        store.apply(listed(Ok(Listing { gateways: vec![row] })));
        let line = |of: &str, value: f64| cmdr_protocol::history::Line {
            metric: format!("gateway.connections{{{of}}}"),
            points: vec![Some(1.0), Some(value), None],
            ..Default::default()
        };
        let lines = vec![line("web/http", 3.0), line("web/https", 4.0), line("other/x", 9.0)];
        store.apply(measured(Ok(Answer { lines, ..Answer::default() })));
        let row = &store.sheet(GATEWAYS).expect("a sheet").rows[&number("web")];
        assert_eq!(row.values[5].plain(), "7");
    }
}
