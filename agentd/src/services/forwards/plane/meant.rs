//! What a forward is in the words of the data plane: a listener, and a group with the addresses of the one place that it leads
//! to. Where clients say where to, what the owner allows is given as the listener's targets.

use super::super::{addresses, hub_addresses};
use crate::Agent;
use cmdr_gateway::config::{Balance, Config, Group, Listener, Mode, Transport, Upstream};
use cmdr_protocol::CallError;
use cmdr_protocol::forwards::Place;
use cmdr_protocol::forwards::kept::{Given, Kind};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A connection on which nothing is said for so long ends.
const SILENCE: Duration = Duration::from_hours(24);
/// Datagrams that nobody has sent for so long have come to their end.
const QUIET: Duration = Duration::from_mins(2);
/// What a client says first must come within so long.
const PREFACE: Duration = Duration::from_secs(10);
/// One address must answer within so long.
const CONNECTING: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 8;

/// What listener and group are called: as no gateway's are.
pub(super) fn full(name: &str) -> String {
    format!("@{name}")
}

/// The forward that a listener is of; none for one of a gateway.
pub(super) fn short(full: &str) -> Option<&str> {
    full.strip_prefix('@')
}

/// The part, and what was found for its names. `found` is what was found last: it holds while names cannot be looked up.
pub(super) async fn part(
    agent: &Agent,
    given: &Given,
    found: Vec<SocketAddr>,
) -> Result<(Config, Vec<SocketAddr>), CallError> {
    let at: SocketAddr = given
        .listen
        .parse()
        .map_err(|_| CallError::malformed("this is no address to listen at"))?;
    agent.policy().allows_forward_at(at)?;
    match given.kind {
        Kind::Tcp | Kind::Udp => {
            let to = given.to.as_ref().ok_or_else(|| CallError::malformed("it leads nowhere"))?;
            let found = match addresses(agent, to).await {
                Ok(found) => found,
                Err(e) if found.is_empty() || is_address(to) => return Err(e),
                // Judged again: the owner may have changed their mind meanwhile.
                Err(e) => match agent.policy().allows_forward(&to.to_string(), found) {
                    Ok(found) if e.kind == cmdr_protocol::ErrorKind::Unreachable => found,
                    _ => return Err(e),
                },
            };
            Ok((plain(agent, given, at, &found), found))
        }
        Kind::Http | Kind::Socks5 | Kind::Socks5Udp => {
            if given.kind == Kind::Socks5Udp {
                agent.policy().allows_relays_at(at.ip())?;
            }
            let hub = match hub_addresses(agent).await {
                Ok(hub) => hub,
                Err(e) if found.is_empty() => return Err(e),
                Err(_) => found,
            };
            let mut listener = listener(agent, given, at);
            listener.mode = if given.kind == Kind::Http { Mode::HttpProxy } else { Mode::Socks5 };
            listener.udp = given.kind == Kind::Socks5Udp;
            listener.targets = agent.policy().forward_targets(&hub)?;
            if !given.user.is_empty() {
                listener.users = BTreeMap::from([(given.user.clone(), given.password.0.clone())]);
            }
            Ok((Config { listeners: vec![listener], ..Config::default() }, hub))
        }
        _ => Err(CallError::malformed("this agent knows no such kind of forward")),
    }
}

fn is_address(to: &Place) -> bool {
    to.host.parse::<IpAddr>().is_ok()
}

fn plain(agent: &Agent, given: &Given, at: SocketAddr, found: &[SocketAddr]) -> Config {
    let mut listener = listener(agent, given, at);
    if given.kind == Kind::Udp {
        listener.transport = Transport::Udp;
        listener.idle_timeout = Some(QUIET);
    }
    listener.group = Some(full(&given.name));
    // The first that answers, as whoever connects by name does.
    let mut first = true;
    let mut upstreams: Vec<Upstream> = Vec::new();
    for address in found.iter().take(ADDRESSES) {
        if upstreams.iter().all(|one| one.address != *address) {
            let backup = !std::mem::take(&mut first);
            let (address, weight, max_connections, drain) = (*address, 1, 0, false);
            upstreams.push(Upstream { address, weight, backup, max_connections, drain });
        }
    }
    let group = Group {
        name: full(&given.name),
        balance: Balance::RoundRobin,
        connect_timeout: CONNECTING,
        retries: u8::try_from(upstreams.len().saturating_sub(1)).unwrap_or(u8::MAX),
        queue: 0,
        queue_timeout: PREFACE,
        send_proxy: None,
        slow_start: Duration::ZERO,
        check: None,
        passive: None,
        upstreams,
    };
    Config { listeners: vec![listener], groups: vec![group], ..Config::default() }
}

fn listener(agent: &Agent, given: &Given, address: SocketAddr) -> Listener {
    Listener {
        name: full(&given.name),
        address,
        transport: Transport::Tcp,
        mode: Mode::Forward,
        group: None,
        sni: BTreeMap::new(),
        accept_proxy: false,
        policy: None,
        users: BTreeMap::new(),
        targets: Vec::new(),
        udp: false,
        max_connections: agent.policy().forwards.max,
        backlog: 1024,
        idle_timeout: Some(SILENCE),
        preface_timeout: PREFACE,
        half_close_timeout: SILENCE,
    }
}
