//! A far end made by a test: it answers calls with what the test says and sends the items the test
//! pushes. Bodies cross as JSON, so every type is really encoded and decoded.

use super::LinkState;
use cmdr_protocol::version::Health;
use cmdr_protocol::{Call, CallError, Feed, HostId};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};

/// A call or a feed that reached the far end.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The host, or the hub.
    pub to: Option<HostId>,
    /// The method.
    pub method: &'static str,
    /// The body.
    pub body: Value,
}

type Answer = Result<Value, CallError>;
type Answers = Box<dyn Fn(&Asked) -> Answer + Send>;
type Refuses = Box<dyn Fn(&Asked) -> Option<CallError> + Send>;
type Whole = Box<dyn Fn(&Asked) -> Option<Vec<Value>> + Send>;

#[derive(Default)]
struct Inner {
    asked: Vec<Asked>,
    answers: Option<Answers>,
    refuses: Option<Refuses>,
    wholes: Option<Whole>,
    feeds: Vec<(Asked, mpsc::Sender<Answer>)>,
    /// Items for feeds that are not there yet.
    waiting: VecDeque<(Option<HostId>, &'static str, Value)>,
    health: Option<Health>,
    /// What was sent to feeds, in order.
    inputs: Vec<Asked>,
}

/// The far end.
#[derive(Clone)]
pub struct Far {
    inner: Arc<Mutex<Inner>>,
    state: watch::Sender<LinkState>,
}

/// Items as the test pushed them.
pub struct FarItems {
    answers: mpsc::Receiver<Answer>,
}

/// Takes what is sent to a feed.
pub struct FarInputs {
    far: Far,
    to: Option<HostId>,
}

impl Default for Far {
    fn default() -> Self {
        Self { inner: Arc::default(), state: watch::Sender::new(LinkState::Starting) }
    }
}

impl Far {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers every call from now on; without it each one gets `{}`.
    pub fn answer(&self, answers: impl Fn(&Asked) -> Answer + Send + 'static) {
        self.inner().answers = Some(Box::new(answers));
    }

    /// Refuses calls and feeds for which it gives a reason, before anything else is looked at.
    pub fn refuse(&self, refuses: impl Fn(&Asked) -> Option<CallError> + Send + 'static) {
        self.inner().refuses = Some(Box::new(refuses));
    }

    /// Answers feeds that come to an end of themselves with all of their items; those for which it has
    /// nothing stay open and get what is pushed.
    pub fn answer_feeds(&self, items: impl Fn(&Asked) -> Option<Vec<Value>> + Send + 'static) {
        self.inner().wholes = Some(Box::new(items));
    }

    /// Sets the state of the link. Losing it ends all feeds.
    pub fn set_state(&self, state: LinkState) {
        if !matches!(state, LinkState::Up(_)) {
            self.inner().feeds.clear();
        }
        self.state.send_replace(state);
    }

    /// Sets what the link says of its health.
    pub fn set_health(&self, health: Health) {
        self.inner().health = Some(health);
    }

    /// Sends an item to all feeds of this kind, or to the first one that comes.
    pub fn push<F: Feed>(&self, to: Option<HostId>, item: &F::Item) {
        let Ok(value) = serde_json::to_value(item) else { return };
        let mut inner = self.inner();
        let mut sent = false;
        inner.feeds.retain(|(asked, sender)| {
            if asked.to == to && asked.method == F::METHOD {
                sent = true;
                !matches!(
                    sender.try_send(Ok(value.clone())),
                    Err(mpsc::error::TrySendError::Closed(_))
                )
            } else {
                !sender.is_closed()
            }
        });
        if !sent {
            inner.waiting.push_back((to, F::METHOD, value));
        }
    }

    /// Ends all feeds of this kind with an error.
    pub fn fail<F: Feed>(&self, to: Option<HostId>, error: &CallError) {
        self.inner().feeds.retain(|(asked, sender)| {
            let hit = asked.to == to && asked.method == F::METHOD;
            if hit {
                drop(sender.try_send(Err(error.clone())));
            }
            !hit
        });
    }

    /// Everything asked since the last time, in order.
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.inner().asked)
    }

    /// Everything sent to feeds since the last time, in order.
    pub fn take_inputs(&self) -> Vec<Asked> {
        std::mem::take(&mut self.inner().inputs)
    }

    pub(super) fn inputs(&self, to: Option<HostId>) -> FarInputs {
        FarInputs { far: self.clone(), to }
    }

    /// Ends all feeds of this kind.
    pub fn end<F: Feed>(&self, to: Option<HostId>) {
        self.inner().feeds.retain(|(asked, _)| asked.to != to || asked.method != F::METHOD);
    }

    /// The feeds that someone still reads.
    pub fn open_feeds(&self) -> Vec<(Option<HostId>, &'static str)> {
        let mut inner = self.inner();
        inner.feeds.retain(|(_, sender)| !sender.is_closed());
        inner.feeds.iter().map(|(asked, _)| (asked.to, asked.method)).collect()
    }

    pub(super) fn health(&self) -> Option<Health> {
        self.inner().health.clone()
    }

    pub(super) fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    // The same shape as the real link's, which does wait.
    #[expect(clippy::unused_async, reason = "stands in for a call that waits")]
    pub(super) async fn call<C: Call>(
        &self,
        to: Option<HostId>,
        call: &C,
    ) -> Result<C::Reply, CallError> {
        let asked = Asked { to, method: C::METHOD, body: json(call)? };
        let mut inner = self.inner();
        inner.asked.push(asked.clone());
        if let Some(refused) = inner.refuses.as_ref().and_then(|refuses| refuses(&asked)) {
            return Err(refused);
        }
        let answer = match &inner.answers {
            Some(answers) => answers(&asked)?,
            None => Value::Object(serde_json::Map::new()),
        };
        serde_json::from_value(answer).map_err(|e| CallError::malformed(e.to_string()))
    }

    pub(super) fn feed<F: Feed>(
        &self,
        to: Option<HostId>,
        feed: &F,
    ) -> Result<FarItems, CallError> {
        if !matches!(*self.state.borrow(), LinkState::Up(_)) {
            return Err(CallError::lost("the link is down"));
        }
        let asked = Asked { to, method: F::METHOD, body: json(feed)? };
        let (sender, receiver) = mpsc::channel(1024);
        let mut inner = self.inner();
        if let Some(refused) = inner.refuses.as_ref().and_then(|refuses| refuses(&asked)) {
            inner.asked.push(asked);
            drop(sender.try_send(Err(refused)));
            return Ok(FarItems { answers: receiver });
        }
        inner.waiting.retain(|(host, method, value)| {
            let hit = *host == to && *method == F::METHOD;
            if hit {
                drop(sender.try_send(Ok(value.clone())));
            }
            !hit
        });
        inner.asked.push(asked.clone());
        if let Some(items) = inner.wholes.as_ref().and_then(|wholes| wholes(&asked)) {
            for item in items {
                drop(sender.try_send(Ok(item)));
            }
            return Ok(FarItems { answers: receiver });
        }
        inner.feeds.push((asked, sender));
        Ok(FarItems { answers: receiver })
    }
}

fn json(body: &impl serde::Serialize) -> Result<Value, CallError> {
    serde_json::to_value(body).map_err(|e| CallError::malformed(e.to_string()))
}

impl FarInputs {
    pub(super) fn send<F: Feed>(&self, input: &F::Input) -> Result<(), CallError> {
        let asked = Asked { to: self.to, method: F::METHOD, body: json(input)? };
        self.far.inner().inputs.push(asked);
        Ok(())
    }
}

impl FarItems {
    pub(super) async fn next<F: Feed>(&mut self) -> Option<Result<F::Item, CallError>> {
        let item = self.answers.recv().await?;
        Some(item.and_then(|value| {
            serde_json::from_value(value).map_err(|e| CallError::malformed(e.to_string()))
        }))
    }
}
