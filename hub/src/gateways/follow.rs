//! What a host is given, and how its gateways do: told to the history and to rules.

use super::Gateways;
use crate::server::Hub;
use cmdr_link::Client;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::gateways::{Carry, Figures, Given, Status};
use cmdr_protocol::history::names;
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// A change waits for every event loop of the gateway, which may have to be started first.
const PATIENCE: Duration = Duration::from_secs(45);
/// After a host could not be given its gateways it is tried again so much later.
const PAUSE: Duration = Duration::from_secs(5);
/// An agent from before there were gateways is asked again so seldom.
const SELDOM: Duration = Duration::from_mins(10);
/// How often figures are taken, and what was refused is tried again.
const FIGURES: Duration = Duration::from_secs(10);
/// Upstreams of one host whose figures are kept.
const UPSTREAMS: usize = 200;

/// What a host says to a gateway that it would be given; nothing changes there.
pub(crate) async fn judged(
    client: &Client,
    host: HostId,
    given: Given,
) -> Result<String, CallError> {
    let carry = Carry { gateways: vec![given], judge: true };
    let carried = client.call(Some(host), &carry, PATIENCE).await?;
    let why = carried.gateways.into_iter().next().map(|held| held.why).unwrap_or_default();
    Ok(clean_to_width(&why, 1000))
}

/// What was seen of a host's gateways last.
#[derive(Default)]
struct Seen {
    /// By gateway.
    figures: BTreeMap<String, (Figures, Instant)>,
    /// The states of upstreams.
    states: BTreeMap<String, String>,
}

impl Gateways {
    /// Gives a host its gateways whenever they are others, and hears how they do, until its link is down.
    pub(crate) async fn attend(&self, hub: &Hub, id: HostId, client: &Client) {
        let mut changed = self.given.subscribe();
        let mut given = None;
        let mut seen = Seen::default();
        loop {
            changed.mark_unchanged();
            let wanted = self.carry(id);
            // What was refused is tried again: a port may have become free.
            let refused =
                self.lock().values().any(|k| k.host == Some(id) && !k.held.why.is_empty());
            let mut pause = FIGURES;
            if given.as_ref() != Some(&wanted) || refused {
                match client.call(Some(id), &wanted, PATIENCE).await {
                    Ok(mut carried) => {
                        carried.gateways.iter_mut().for_each(|held| {
                            held.why = clean_to_width(&held.why, 1000);
                        });
                        self.hear(id, carried.gateways);
                        given = Some(wanted.clone());
                    }
                    Err(e) => {
                        tracing::debug!(%id, "its gateways were not given to it: {e}");
                        let missing = e.kind == ErrorKind::NotFound;
                        pause = if missing { SELDOM } else { PAUSE };
                    }
                }
            }
            self.figures(hub, id, client, &wanted, &mut seen).await;
            drop(tokio::time::timeout(pause, changed.changed()).await);
        }
    }

    /// Takes the figures of all gateways of a host.
    async fn figures(
        &self,
        hub: &Hub,
        id: HostId,
        client: &Client,
        carry: &Carry,
        seen: &mut Seen,
    ) {
        let (mut row, mut states) = (Vec::new(), BTreeMap::new());
        let running: BTreeSet<&str> = carry.gateways.iter().map(|g| g.name.as_str()).collect();
        seen.figures.retain(|name, _| running.contains(name.as_str()));
        for name in running {
            let status = Status { name: name.to_owned() };
            let Ok(now) = client.call(Some(id), &status, PATIENCE).await else { continue };
            let before = seen.figures.get(name).filter(|(before, _)| before.pid == now.pid);
            rates(&mut row, name, before.map(|(before, _)| before), &now);
            for group in &now.groups {
                for upstream in &group.upstreams {
                    let full = format!("{name}/{}/{}", group.name, upstream.address);
                    if states.len() < UPSTREAMS {
                        states.insert(full, upstream.state.clone());
                    }
                }
            }
            seen.figures.insert(name.to_owned(), (now, Instant::now()));
        }
        if !row.is_empty() {
            hub.history.tell(id, &row);
        }
        for (at, of, value) in &row {
            if let Some(metric) = names::ALL.get(*at) {
                hub.alerts.tell_one(id, metric.name, of, *value);
            }
        }
        for (name, state) in &states {
            hub.alerts.tell_state(id, "upstream", name, state);
            told(hub, id, name, seen.states.get(name), state);
        }
        for gone in seen.states.keys().filter(|name| !states.contains_key(*name)) {
            hub.alerts.tell_gone(id, "upstream", gone);
        }
        seen.states = states;
    }
}

/// An event where an upstream goes or comes back.
fn told(hub: &Hub, id: HostId, name: &str, before: Option<&String>, state: &str) {
    let was_down = before.map(|before| before == "down");
    let what = match (was_down, state) {
        (Some(false) | None, "down") => What::UpstreamDown,
        (Some(true), "up") => What::UpstreamUp,
        _ => return,
    };
    let about = format!("upstream:{}", clean_to_width(name, 120));
    let host_name = hub.fleet.name(id).unwrap_or_default();
    hub.fleet.events.tell(Event { what, host: Some(id), host_name, about, ..Event::default() });
}

/// Figures of a gateway as the history has them.
fn rates(row: &mut Vec<(usize, String, f64)>, name: &str, before: Option<&Figures>, now: &Figures) {
    let mut push = |figure: &str, of: &str, value: f64| {
        let at = names::ALL.iter().position(|metric| metric.name == figure);
        row.extend(at.map(|at| (at, of.to_owned(), value)));
    };
    let seconds = before.map(|before| now.at_ms.saturating_sub(before.at_ms) as f64 / 1000.0);
    let seconds = seconds.filter(|seconds| *seconds > 0.5);
    for listener in &now.listeners {
        let of = format!("{name}/{}", listener.name);
        push("gateway.connections", &of, listener.active as f64);
        let was = before.and_then(|b| b.listeners.iter().find(|l| l.name == listener.name));
        let (Some(was), Some(seconds)) = (was, seconds) else { continue };
        let per_second = |now: u64, was: u64| now.saturating_sub(was) as f64 / seconds;
        push("gateway.accepted", &of, per_second(listener.accepted, was.accepted));
        let errors = |l: &cmdr_protocol::gateways::ListenerFigures| l.failed + l.refused;
        push("gateway.errors", &of, per_second(errors(listener), errors(was)));
        push("gateway.received", &of, per_second(listener.bytes_in, was.bytes_in));
        push("gateway.sent", &of, per_second(listener.bytes_out, was.bytes_out));
    }
    for group in &now.groups {
        for upstream in group.upstreams.iter().take(UPSTREAMS) {
            let of = format!("{name}/{}/{}", group.name, upstream.address);
            push("upstream.connections", &of, upstream.active as f64);
            let up = if upstream.state == "up" { 100.0 } else { 0.0 };
            push("upstream.up", &of, up);
            let times = [
                ("upstream.connect", upstream.connect),
                ("upstream.first_byte", upstream.first_byte),
            ];
            for (figure, times) in times {
                if let Some(times) = times {
                    push(figure, &of, times.p50_us as f64 / 1e6);
                }
            }
        }
    }
}
