//! Forwards that are kept, as their page has them: the list, with rates between two of its answers.

use super::sheets::{Record, SheetKey, Target, Value, id_of};
use super::traffic::Traffic;
use super::{Store, Update};
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::display::clean;
use cmdr_protocol::forwards::kept::{Kind, Listing, Row, Stand};
use cmdr_protocol::{CallError, HostId};
use std::collections::{BTreeMap, HashMap};

/// The sheet of all of them.
pub const FORWARDS: SheetKey = (None, "forwards");
/// Forwards that are kept at most, whatever a hub says.
const ROWS: usize = 20_000;

/// Forwards whose traffic is kept at most.
const TRACES: usize = 2000;

/// All that is known of forwards.
#[derive(Default)]
pub struct Forwards {
    /// By number; texts made harmless.
    pub rows: BTreeMap<u64, Row>,
    /// When that list came.
    came_ms: u64,
    /// Bytes a second lately, by number, of those that carried any.
    pub traffic: HashMap<u64, Traffic>,
}

/// The number of a forward's row.
pub fn number(name: &str) -> u64 {
    id_of(&("forward", name))
}

/// Key of the word for how one stands, colour, place among the others.
pub fn state(row: &Row) -> (&'static str, Role, u64) {
    match row.state() {
        "failing" => ("forwards.state.failing", Role::Bad, 0),
        "stopped" => ("forwards.state.stopped", Role::Soft, 4),
        _ if row.away => ("forwards.state.away", Role::Warn, 1),
        "listening" => ("forwards.state.listening", Role::Ok, 3),
        _ => ("forwards.state.waiting", Role::Warn, 2),
    }
}

/// Why it is as it is, or why its last connection failed.
pub fn why(row: &Row) -> &str {
    let stand = row.stand.as_ref();
    match stand {
        Some(stand) if !stand.problem.is_empty() => &stand.problem,
        Some(stand) => &stand.last_error,
        None => "",
    }
}

fn harmless(text: &mut String) {
    if let std::borrow::Cow::Owned(clean) = clean(text) {
        *text = clean;
    }
}

/// What is counted between two answers, a second.
fn rate(row: &Row, was: Option<&Row>, elapsed_ms: u64, of: fn(&Stand) -> u64) -> u64 {
    let now = row.stand.as_ref().map(of).unwrap_or_default();
    // An agent that began anew counts anew.
    let before = was.and_then(|was| was.stand.as_ref()).map(of).filter(|was| *was <= now);
    let more = u128::from(before.map_or(0, |before| now - before));
    u64::try_from(more * 1000 / u128::from(elapsed_ms.max(1))).unwrap_or(u64::MAX)
}

/// Keeps what went since the answer before.
fn trace(
    traces: &mut HashMap<u64, Traffic>,
    rows: &[Row],
    before: &BTreeMap<u64, Row>,
    (now_ms, elapsed_ms): (u64, u64),
) {
    let names: HashMap<u64, &Row> =
        rows.iter().map(|row| (number(&row.forward.name), row)).collect();
    traces.retain(|number, _| names.contains_key(number));
    for (number, row) in names {
        let Some(was) = before.get(&number) else { continue };
        let of = |of: fn(&Stand) -> u64| rate(row, Some(was), elapsed_ms, of);
        let (to, from) = (of(|stand| stand.sent), of(|stand| stand.received));
        // One that never carried anything has nothing to be drawn.
        if let Some(traffic) = traces.get_mut(&number) {
            traffic.push(now_ms, to, from);
        } else if to.max(from) > 0 && traces.len() < TRACES {
            traces.entry(number).or_default().push(now_ms, to, from);
        }
    }
}

fn record(row: &Row, was: Option<&Row>, elapsed_ms: u64) -> Record {
    let (word, role, place) = state(row);
    let stand = row.stand.as_ref();
    let count = |of: fn(&Stand) -> u64| {
        stand.map_or_else(|| Value::Figure(0, "-".to_owned(), Role::Faint), |s| Value::count(of(s)))
    };
    let figure = |of: fn(&Stand) -> u64| {
        let n = rate(row, was, elapsed_ms, of);
        Value::Figure(n, format::rate(n), if n == 0 { Role::Faint } else { Role::Text })
    };
    let failed = stand.map_or(0, |stand| stand.failed);
    let failed_role = if failed == 0 { Role::Faint } else { Role::Warn };
    let forward = &row.forward;
    let to = forward.to.to_string();
    let leads = match (forward.kind, forward.via.as_str()) {
        (Kind::SshLocal | Kind::SshRemote, _) => format!("{} {to}", forward.ssh),
        (Kind::SshDynamic, _) => forward.ssh.clone(),
        (kind, _) if kind.is_proxy() => String::new(),
        (_, "") => to,
        (_, via) => format!("{via} {to}"),
    };
    let leads = if leads.is_empty() {
        Value::Word("forwards.anywhere", Role::Soft)
    } else {
        Value::text(&leads, Role::Text)
    };
    let why = match why(row) {
        "" => Value::soft(&forward.note),
        why => Value::text(why, if role == Role::Bad { Role::Bad } else { Role::Soft }),
    };
    Record {
        id: number(&forward.name),
        host: HostId([0; 16]),
        values: vec![
            Value::Ranked(place, word, role),
            Value::text(&forward.name, Role::Strong),
            Value::text(&format!("{} {}", forward.host, forward.listen), Role::Text),
            leads,
            Value::text(forward.kind.as_str(), Role::Soft),
            count(|stand| u64::from(stand.open)),
            figure(|stand| stand.sent),
            figure(|stand| stand.received),
            count(|stand| stand.total),
            Value::Figure(failed, failed.to_string(), failed_role),
            Value::bytes(stand.map(|stand| stand.sent)),
            Value::bytes(stand.map(|stand| stand.received)),
            why,
        ],
        more: vec![
            ("forwards.more.note", clean(&forward.note).into_owned()),
            ("forwards.more.by", clean(&row.by).into_owned()),
        ],
        target: Target::Named(forward.name.clone()),
    }
}

/// The list is asked for.
pub fn asking() -> Update {
    Update::new(|store| {
        let now_ms = store.now_ms;
        store.sheet_mut(FORWARDS).asked_ms = now_ms.max(1);
    })
}

/// The list came.
pub fn listed(answer: Result<Listing, CallError>) -> Update {
    Update::new(move |store: &mut Store| {
        let now_ms = store.now_ms;
        let mut rows = match answer {
            Err(error) => return store.sheet_mut(FORWARDS).fail(error, now_ms),
            Ok(listing) => listing.forwards,
        };
        rows.truncate(ROWS);
        for row in &mut rows {
            let forward = &mut row.forward;
            let texts = [
                &mut forward.name,
                &mut forward.host,
                &mut forward.listen,
                &mut forward.via,
                &mut forward.note,
                &mut forward.user,
                &mut forward.ssh,
                &mut row.by,
            ];
            texts.into_iter().for_each(harmless);
            if let Some(stand) = &mut row.stand {
                [
                    &mut stand.listening,
                    &mut stand.problem,
                    &mut stand.last_error,
                    &mut stand.not_direct,
                ]
                .into_iter()
                .for_each(harmless);
            }
        }
        let elapsed_ms = now_ms.saturating_sub(store.forwards.came_ms);
        let before = std::mem::take(&mut store.forwards.rows);
        trace(&mut store.forwards.traffic, &rows, &before, (now_ms, elapsed_ms));
        let was = |row: &Row| before.get(&number(&row.forward.name));
        let records: Vec<Record> =
            rows.iter().map(|row| record(row, was(row), elapsed_ms)).collect();
        store.forwards.rows =
            rows.into_iter().map(|row| (number(&row.forward.name), row)).collect();
        store.forwards.came_ms = now_ms;
        store.sheet_mut(FORWARDS).set(now_ms, records.into_iter());
    })
}

/// The list is asked for anew.
pub fn stale() -> Update {
    Update::new(|store| store.sheet_mut(FORWARDS).came_ms = 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::forwards::kept::Forward;

    fn row(sent: u64) -> Row {
        let stand = Stand { sent, last_error: "\u{1b}[2Jno".into(), ..Stand::default() };
        let forward = Forward { name: "db".into(), ..Forward::default() };
        Row { forward, stand: Some(stand), ..Row::default() }
    }

    #[test]
    fn rates_are_between_two_answers_and_nothing_when_an_agent_begins_anew() {
        let mut store = Store::new(10_000, 0, false);
        let sent = |store: &Store| {
            store.sheet(FORWARDS).expect("a sheet").rows[&number("db")].values[6].plain().to_owned()
        };
        store.apply(listed(Ok(Listing { forwards: vec![row(1000)] })));
        assert_eq!(sent(&store), "-");
        store.now_ms += 2000;
        store.apply(listed(Ok(Listing { forwards: vec![row(3000)] })));
        assert_eq!(sent(&store), "1.0K");
        store.now_ms += 2000;
        store.apply(listed(Ok(Listing { forwards: vec![row(5)] })));
        assert_eq!(sent(&store), "-");
        assert!(!why(&store.forwards.rows[&number("db")]).contains('\u{1b}'));
    }
}
