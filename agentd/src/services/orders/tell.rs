//! Says to a hub what it does not have: of each order the output from where the hub has it, then how it ended.

use super::Watcher;
use super::ledger::lock;
use super::spool::{Kind, Place};
use crate::Agent;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::CallError;
use cmdr_protocol::orders::{Have, PIECE, Piece, Told, Watch};
use cmdr_protocol::runs::TargetState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// Output in one item.
const ITEM: usize = 256 * 1024;
/// Reports and pieces in one item.
const PARTS: usize = 500;

/// What one hub was told.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// All changes up to this one are told, or in the queue.
    seen: u64,
    queue: VecDeque<String>,
    queued: HashSet<String>,
    told: HashMap<String, OfOrder>,
    have: HashMap<String, u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct OfOrder {
    place: Place,
    state: Option<TargetState>,
}

pub(super) async fn watch(
    agent: Arc<Agent>,
    _: Asked,
    watch: Watch,
    mut feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let _watcher = Watcher::new(&agent);
    let sender = feeding.sender();
    let mut news = agent.orders().news.subscribe();
    let mut telling = Telling::new(watch.have);
    let tell = async {
        let mut all = false;
        loop {
            let told = telling.next(&agent);
            let empty = told.pieces.is_empty() && told.reports.is_empty();
            if !empty {
                sender.send(&told).await?;
                continue;
            }
            if !std::mem::replace(&mut all, true) {
                sender.send(&Told { all: true, ..Told::default() }).await?;
            }
            if news.changed().await.is_err() {
                return Ok(());
            }
        }
    };
    // Neither waits for the other.
    let confirm = async {
        loop {
            let confirm = feeding.input().await?;
            let mut ledger = agent.orders().ledger(&agent);
            for Have { id, bytes } in &confirm.have {
                if let Some(entry) = ledger.orders.get_mut(id) {
                    entry.have = entry.have.max(*bytes);
                }
            }
            for id in &confirm.over {
                ledger.confirm(id);
            }
        }
    };
    tokio::select! {
        told = tell => told,
        fault = confirm => fault,
    }
}

impl Telling {
    pub(super) fn new(have: Vec<Have>) -> Self {
        let have = have.into_iter().map(|have| (have.id, have.bytes)).collect();
        Self { have, ..Self::default() }
    }

    /// The next item; an empty one when there is no more for now.
    pub(super) fn next(&mut self, agent: &Agent) -> Told {
        let mut told = Told::default();
        {
            let ledger = agent.orders().ledger(agent);
            for id in ledger.changed_after(self.seen) {
                if self.queued.insert(id.clone()) {
                    self.queue.push_back(id.clone());
                }
            }
            self.seen = ledger.version();
        }
        let mut room = ITEM;
        while let Some(id) = self.queue.pop_front() {
            if room == 0 || told.pieces.len() >= PARTS || told.reports.len() >= PARTS {
                self.queue.push_front(id);
                return told;
            }
            self.of_order(agent, &id, &mut room, &mut told);
        }
        told
    }

    /// Adds what there is of one order; it stays in the queue while there is more than fits.
    fn of_order(&mut self, agent: &Agent, id: &str, room: &mut usize, told: &mut Told) {
        let found = {
            let ledger = agent.orders().ledger(agent);
            let entry = ledger.orders.get(id);
            entry.map(|entry| (entry.report.clone(), entry.spool.clone(), entry.have))
        };
        let Some((report, spool, have)) = found else {
            // The hub has it.
            self.queued.remove(id);
            self.told.remove(id);
            return;
        };
        let spool = lock(&spool);
        let mut of = self.told.get(id).copied().unwrap_or_else(|| {
            let have = self.have.remove(id).unwrap_or(0).max(have);
            OfOrder { place: spool.seek(have), state: None }
        });
        while *room > 0 && told.pieces.len() < PARTS {
            let (place, piece) = spool.next(of.place, PIECE.min(*room));
            of.place = place;
            let Some(piece) = piece else { break };
            of.place = piece.next;
            *room -= piece.data.len();
            let stderr = piece.kind == Kind::Stderr;
            told.pieces.push(Piece { id: id.to_owned(), at: piece.at, stderr, data: piece.data });
        }
        let over = spool.is_end(of.place);
        let is_new = of.state != Some(report.state);
        if report.state.is_end() && over {
            told.reports.push(report);
            self.told.remove(id);
            self.queued.remove(id);
            return;
        }
        if !report.state.is_end() && is_new {
            of.state = Some(report.state);
            told.reports.push(report);
        }
        self.told.insert(id.to_owned(), of);
        if spool.next(of.place, 1).1.is_some() {
            self.queue.push_back(id.to_owned());
        } else {
            self.queued.remove(id);
        }
    }
}
