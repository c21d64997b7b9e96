//! The host's sockets: what listens, what is connected, and who holds each.
//!
//! Listening ones are sampled once for all who watch; connected ones are listed when somebody asks.
//! Both are those of the agent's own network namespace. Acts on an owner are `processes.signal`.

mod linux;
mod owners;

pub use linux::Taken;
#[doc(hidden)]
pub use linux::read_line;

use crate::items;
use crate::sampler::{Sampler, Take};
use crate::sifted::Sifted;
use crate::{Agent, Config};
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::CallError;
use cmdr_protocol::ports::{Change, List, Listing, Socket, Watch};
use cmdr_protocol::table::Row as _;
use linux::{Collector, Wanted};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A reply must stay under the largest frame.
const REPLY: usize = 700 * 1024;
/// Ports that are looked for one by one.
const FEW: usize = 8;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.on(list).feed(watch)
}

/// The sampler of this host's listening sockets.
pub fn sampler(config: &Config) -> Sampler<Taken> {
    let (proc_root, etc_root) = (config.proc_root.clone(), config.etc_root.clone());
    Sampler::new(move || -> Take<Taken> {
        let mut collector = Collector::new(&proc_root, &etc_root);
        Box::new(move || collector.take(&Wanted::listening()))
    })
}

/// Who listens on these ports of the host. Looks through files of the kernel.
pub(super) fn listening_on(config: &Config, ports: &BTreeSet<u16>) -> Vec<Socket> {
    let mut collector = Collector::new(&config.proc_root, &config.etc_root);
    let one = |port: &u16| Wanted::from(&List { port: Some(*port), ..List::default() });
    // Many at once are found with one look at all.
    let wanted: Vec<Wanted> =
        if ports.len() > FEW { vec![Wanted::listening()] } else { ports.iter().map(one).collect() };
    let found = wanted.iter().flat_map(|wanted| collector.take(wanted).sockets);
    found.filter(|socket| ports.contains(&socket.port)).collect()
}

async fn list(agent: Arc<Agent>, _: Asked, list: List) -> Result<Listing, CallError> {
    let (proc_root, etc_root) = (agent.config().proc_root.clone(), agent.config().etc_root.clone());
    let wanted = Wanted::from(&list).sifted(Sifted::new(&list.sift)?);
    // A host with very many sockets takes its time, and others are answered meanwhile.
    tokio::task::spawn_blocking(move || {
        let taken = Collector::new(&proc_root, &etc_root).take(&wanted);
        listing(taken, list.limit)
    })
    .await
    .map_err(|e| CallError::failed(format!("reading the sockets: {e}")))
}

/// As many as fit, the listening ones first.
fn listing(taken: Taken, limit: u32) -> Listing {
    let Taken { mut sockets, mut left_out, summary } = taken;
    sockets.sort_by_cached_key(|s| {
        (!s.listens(), s.port, s.protocol, s.local.clone(), s.remote.clone(), s.remote_port)
    });
    let most = if limit == 0 { usize::MAX } else { limit as usize };
    let mut room = REPLY;
    let fits = |socket: &&Socket| {
        room = room.saturating_sub(socket.weight());
        room > 0
    };
    let keep = sockets.iter().take(most).take_while(fits).count();
    left_out += (sockets.len() - keep) as u64;
    sockets.truncate(keep);
    Listing { sockets, left_out, summary, sifted: true }
}

async fn watch(
    agent: Arc<Agent>,
    _: Asked,
    watch: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let mut watcher = agent.ports().watch(Duration::from_millis(watch.interval_ms));
    let mut sent: Option<Arc<Taken>> = None;
    loop {
        let newest = watcher.next().await;
        let summary = sent.as_ref().is_none_or(|sent| sent.summary != newest.summary);
        let mut changes: Vec<_> =
            items::changes(sent.as_deref().map(|t| t.sockets.as_slice()), &newest.sockets)
                .into_iter()
                .map(|table| Change { table, summary: None })
                .collect();
        if summary {
            match changes.last_mut() {
                Some(last) => last.summary = Some(newest.summary),
                None => changes.push(Change { summary: Some(newest.summary), ..Change::default() }),
            }
        }
        for change in changes {
            feeding.send(&change).await?;
        }
        sent = Some(newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::ports::{Protocol, State};

    #[test]
    fn a_listing_has_the_listening_ones_first_and_says_what_it_left_out() {
        let socket = |port, state| Socket {
            port,
            state,
            protocol: Protocol::Tcp,
            command: "x".repeat(400),
            ..Socket::default()
        };
        let mut sockets: Vec<_> = (1..3000).map(|p| socket(p, State::Established)).collect();
        sockets.push(socket(9000, State::Listen));
        let taken = Taken { sockets, left_out: 7, ..Taken::default() };
        let all = listing(taken.clone(), 0);
        assert_eq!(all.sockets[0].port, 9000);
        assert_eq!(all.sockets.len() as u64 + all.left_out, 3007);
        let bytes = cmdr_link::codec::encode(&all).unwrap();
        assert!(bytes.len() < cmdr_link::frame::MAX_FRAME, "{}", bytes.len());
        let few = listing(taken, 5);
        assert_eq!((few.sockets.len(), few.left_out), (5, 3002));
    }
}
