//! Requests for rights that have to be asked for: who asked, who decided, what holds now. Held in
//! memory and changed only together with the store.

use crate::records::{approval_key, prefix};
use crate::rights::Compiled;
use crate::store::{Batch, Store, StoreError};
use crate::who::Approved;
use cmdr_link::clock;
use cmdr_protocol::approvals::{Approval, Decision, State, Wanted};
use cmdr_protocol::call::CallError;
use cmdr_protocol::roles::Grant;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Requests that are remembered; beyond it the oldest that are over go.
const REMEMBERED: usize = 1000;
/// Requests of one operator that wait or hold.
const OPEN: usize = 5;

/// All requests.
#[derive(Debug)]
pub struct Approvals {
    store: Store,
    all: Mutex<BTreeMap<u64, Approval>>,
    changing: tokio::sync::Mutex<()>,
    version: watch::Sender<u64>,
}

/// How a request stands at this time.
pub fn state(approval: &Approval, now_ms: u64) -> State {
    match approval.state {
        State::Waiting if now_ms >= approval.until_ms => State::Expired,
        State::Active if now_ms >= approval.until_ms => State::Lapsed,
        state => state,
    }
}

/// What is asked for, made ready for decisions.
pub fn compile(wanted: &Wanted) -> Result<Compiled, String> {
    let Wanted { verbs, resources, hosts, .. } = wanted.clone();
    Compiled::new(&[Grant { verbs, resources, hosts, ..Grant::default() }])
}

fn busy(error: impl std::fmt::Display) -> CallError {
    CallError::new(cmdr_protocol::ErrorKind::Busy, error.to_string())
}

impl Approvals {
    /// Reads all requests from the store; a damaged one is logged and left out, so it allows nothing.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        let mut all = BTreeMap::new();
        for record in store.scan::<Approval>(prefix::APPROVAL)? {
            match record {
                Ok((_, approval)) => {
                    all.insert(approval.id, approval);
                }
                Err(e) => tracing::error!("left out: {e}"),
            }
        }
        let all = Mutex::new(all);
        Ok(Self {
            store,
            all,
            changing: tokio::sync::Mutex::default(),
            version: watch::Sender::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Approval>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the changes.
    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Hears of every change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// All requests as they stand now, by number.
    pub fn all(&self) -> Vec<Approval> {
        let now = clock::now_ms();
        let with_state = |a: &Approval| Approval { state: state(a, now), ..a.clone() };
        self.lock().values().map(with_state).collect()
    }

    /// One request as it stands now.
    pub fn get(&self, id: u64) -> Option<Approval> {
        let approval = self.lock().get(&id).cloned()?;
        Some(Approval { state: state(&approval, clock::now_ms()), ..approval })
    }

    /// When the next request changes by time alone, milliseconds since 1970.
    pub fn next_end(&self) -> Option<u64> {
        let now = clock::now_ms();
        let open = |a: &&Approval| matches!(state(a, now), State::Waiting | State::Active);
        self.lock().values().filter(open).map(|a| a.until_ms).min()
    }

    /// What was approved for an operator and holds now.
    pub fn of(&self, operator: &str) -> Vec<Approved> {
        let now = clock::now_ms();
        let all = self.lock();
        let holds = |a: &&Approval| a.operator == operator && state(a, now) == State::Active;
        let ready = |a: &Approval| {
            let wanted = compile(&a.wanted).ok()?;
            Some(Approved { id: a.id, wanted, until_ms: a.until_ms })
        };
        all.values().filter(holds).filter_map(ready).collect()
    }

    async fn write(&self, approval: Approval) -> Result<Approval, CallError> {
        let batch = Batch::new().put(approval_key(approval.id), &approval);
        self.store.apply(batch).await.map_err(busy)?;
        self.lock().insert(approval.id, approval.clone());
        self.version.send_modify(|version| *version += 1);
        Ok(approval)
    }

    /// Keeps a new request and gives it its number.
    pub async fn ask(&self, mut approval: Approval) -> Result<Approval, CallError> {
        let _changing = self.changing.lock().await;
        let now = clock::now_ms();
        let (open, over) = {
            let all = self.lock();
            approval.id = all.keys().next_back().map_or(1, |last| last + 1);
            let is_over = |a: &Approval| !matches!(state(a, now), State::Waiting | State::Active);
            let open = all.values().filter(|a| a.operator == approval.operator && !is_over(a));
            let beyond = (all.len() + 1).saturating_sub(REMEMBERED);
            let over = all.values().filter(|a| is_over(a)).map(|a| a.id).take(beyond);
            (open.count(), over.collect::<Vec<_>>())
        };
        if open >= OPEN {
            return Err(busy(format!(
                "{OPEN} requests of yours wait or hold already; end one first: cmdr approvals end ID"
            )));
        }
        for id in over {
            self.store.apply(Batch::new().delete(approval_key(id))).await.map_err(busy)?;
            self.lock().remove(&id);
        }
        self.write(approval).await
    }

    /// Adds a decision; one no ends the request, enough yeses make it hold.
    pub async fn decide(&self, id: u64, decision: Decision) -> Result<Approval, CallError> {
        let _changing = self.changing.lock().await;
        let mut approval = self.waiting(id)?;
        if approval.decisions.iter().any(|before| before.by == decision.by) {
            return Err(CallError::new(
                cmdr_protocol::ErrorKind::Conflict,
                format!("{} has decided about request {id} already", decision.by),
            ));
        }
        let (approve, at_ms) = (decision.approve, decision.at_ms);
        approval.decisions.push(decision);
        let yes = approval.decisions.iter().filter(|decision| decision.approve).count();
        if !approve {
            (approval.state, approval.until_ms) = (State::Denied, at_ms);
        } else if yes >= approval.needs as usize {
            approval.state = State::Active;
            approval.until_ms = at_ms.saturating_add(u64::from(approval.wanted.minutes) * 60_000);
        }
        self.write(approval).await
    }

    /// Ends a request before its time.
    pub async fn end(&self, id: u64) -> Result<Approval, CallError> {
        let _changing = self.changing.lock().await;
        let mut approval = self.found(id)?;
        if !matches!(approval.state, State::Waiting | State::Active) {
            return Err(over(&approval));
        }
        (approval.state, approval.until_ms) = (State::Ended, clock::now_ms());
        self.write(approval).await
    }

    fn found(&self, id: u64) -> Result<Approval, CallError> {
        self.get(id).ok_or_else(|| CallError::not_found(format!("there is no request {id}")))
    }

    fn waiting(&self, id: u64) -> Result<Approval, CallError> {
        let approval = self.found(id)?;
        if approval.state == State::Waiting { Ok(approval) } else { Err(over(&approval)) }
    }
}

fn over(approval: &Approval) -> CallError {
    CallError::new(
        cmdr_protocol::ErrorKind::Conflict,
        format!("request {} is {} already", approval.id, approval.state),
    )
}
