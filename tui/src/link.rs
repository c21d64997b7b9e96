//! The client's side of the link, as the app sees it: calls, feeds, state and health. The app never
//! names what carries them, so that a test can stand at the far end (`fake`, behind the feature of that name).

#[cfg(feature = "fake")]
pub mod fake;

use cmdr_protocol::role::Role;
use cmdr_protocol::version::{Health, Welcome};
use cmdr_protocol::{Call, CallError, ErrorKind, Feed, HostId};
use std::time::Duration;
use tokio::sync::watch;

/// How the link to the hub is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// Not there; the session keeps trying.
    #[default]
    Starting,
    /// Not there; tried so often, failed so, and tries again then.
    Connecting { attempt: u32, last_error: Option<String>, retry_in: Option<Duration> },
    /// There.
    Up(Peer),
    /// The hub said no for good, or is not the hub we know.
    Refused(String),
    /// Ended by us.
    Closed,
}

/// What the hub said about itself and us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The name the hub knows us by.
    pub name: String,
    /// What we may do.
    pub role: Role,
    /// The methods that we can use on something.
    pub verbs: Vec<String>,
    /// The hub's program version.
    pub version: String,
}

impl From<Welcome> for Peer {
    fn from(welcome: Welcome) -> Self {
        Self {
            name: welcome.name,
            role: welcome.role,
            verbs: welcome.verbs,
            version: welcome.version,
        }
    }
}

/// A link to the hub.
#[derive(Clone)]
pub enum Link {
    /// The real one.
    Session(cmdr_link::session::Session),
    /// A test at the far end.
    #[cfg(feature = "fake")]
    Fake(fake::Far),
}

/// The items of a feed. Dropping it cancels the work at the far end.
pub enum Items<F: Feed> {
    /// Over the real link.
    Session(cmdr_link::FeedStream<F>),
    /// Over the real link, of a feed that is also sent to.
    Half(cmdr_link::client::Items<F>),
    /// From a test.
    #[cfg(feature = "fake")]
    Fake(fake::FarItems),
}

/// Both directions of a feed. It is cancelled when both are dropped.
pub enum Both<F: Feed> {
    /// Over the real link.
    Session(cmdr_link::FeedStream<F>),
    /// From a test.
    #[cfg(feature = "fake")]
    Fake(fake::FarItems, fake::FarInputs),
}

/// What one sends to a feed.
pub enum Inputs<F: Feed> {
    /// Over the real link.
    Session(cmdr_link::client::Inputs<F>),
    /// To a test.
    #[cfg(feature = "fake")]
    Fake(fake::FarInputs),
}

impl<F: Feed> Both<F> {
    /// The directions apart.
    pub fn split(self) -> (Items<F>, Inputs<F>) {
        match self {
            Self::Session(stream) => {
                let (items, inputs) = stream.split();
                (Items::Half(items), Inputs::Session(inputs))
            }
            #[cfg(feature = "fake")]
            Self::Fake(items, inputs) => (Items::Fake(items), Inputs::Fake(inputs)),
        }
    }
}

impl<F: Feed> Inputs<F> {
    /// Sends one, waiting for the far end's credit where needed.
    pub async fn send(&mut self, input: &F::Input) -> Result<(), CallError> {
        match self {
            Self::Session(inputs) => inputs.send(input).await,
            #[cfg(feature = "fake")]
            Self::Fake(inputs) => inputs.send::<F>(input),
        }
    }
}

impl Link {
    /// Asks the hub (`None`) or a host.
    pub async fn call<C: Call>(
        &self,
        to: Option<HostId>,
        call: C,
        timeout: Duration,
    ) -> Result<C::Reply, CallError> {
        match self {
            Self::Session(session) => session.call(to, call, timeout).await,
            #[cfg(feature = "fake")]
            Self::Fake(far) => far.call(to, &call).await,
        }
    }

    /// Begins a feed from the hub (`None`) or a host.
    pub async fn feed<F: Feed>(&self, to: Option<HostId>, feed: F) -> Result<Items<F>, CallError> {
        match self {
            Self::Session(session) => Ok(Items::Session(session.feed(to, feed).await?)),
            #[cfg(feature = "fake")]
            Self::Fake(far) => Ok(Items::Fake(far.feed(to, &feed)?)),
        }
    }

    /// Begins a feed that is also sent to.
    pub async fn both<F: Feed>(&self, to: Option<HostId>, feed: F) -> Result<Both<F>, CallError> {
        match self {
            Self::Session(session) => Ok(Both::Session(session.feed(to, feed).await?)),
            #[cfg(feature = "fake")]
            Self::Fake(far) => Ok(Both::Fake(far.feed(to, &feed)?, far.inputs::<F>(to))),
        }
    }

    /// The link itself, when it is up: for what goes on over many of them.
    pub fn client(&self) -> Result<cmdr_link::Client, CallError> {
        let client = match self {
            Self::Session(session) => session.client(),
            #[cfg(feature = "fake")]
            Self::Fake(_) => None,
        };
        let none = || CallError::new(ErrorKind::Unreachable, "there is no link to the hub");
        client.ok_or_else(none)
    }

    /// How much went over the link and how long a round trip takes, when it is up.
    pub fn health(&self) -> Option<Health> {
        match self {
            Self::Session(session) => session.health(),
            #[cfg(feature = "fake")]
            Self::Fake(far) => far.health(),
        }
    }

    /// A watch over the link's state.
    pub fn watch(&self) -> StateWatch {
        match self {
            Self::Session(session) => StateWatch::Session(session.state()),
            #[cfg(feature = "fake")]
            Self::Fake(far) => StateWatch::Fake(far.state()),
        }
    }
}

impl<F: Feed> Items<F> {
    /// The next item; `None` when the far end is done.
    pub async fn next(&mut self) -> Option<Result<F::Item, CallError>> {
        match self {
            Self::Session(stream) => stream.next().await,
            Self::Half(items) => items.next().await,
            #[cfg(feature = "fake")]
            Self::Fake(items) => items.next::<F>().await,
        }
    }
}

/// A watch over the link's state.
pub enum StateWatch {
    /// Of the real link.
    Session(watch::Receiver<cmdr_link::session::State>),
    /// Of a test.
    #[cfg(feature = "fake")]
    Fake(watch::Receiver<LinkState>),
}

impl StateWatch {
    /// The state now; marks it as seen.
    pub fn now(&mut self) -> LinkState {
        match self {
            Self::Session(receiver) => from_session(&receiver.borrow_and_update()),
            #[cfg(feature = "fake")]
            Self::Fake(receiver) => receiver.borrow_and_update().clone(),
        }
    }

    /// Waits for a state not seen yet; false when there will be no more.
    pub async fn changed(&mut self) -> bool {
        match self {
            Self::Session(receiver) => receiver.changed().await.is_ok(),
            #[cfg(feature = "fake")]
            Self::Fake(receiver) => receiver.changed().await.is_ok(),
        }
    }
}

/// The error of a feed of the hub's that ends before it is done.
pub fn cut_short() -> CallError {
    CallError::lost("the hub ended it half-way")
}

fn from_session(state: &cmdr_link::session::State) -> LinkState {
    use cmdr_link::session::State;
    match state {
        State::Connecting { attempt, last_error, retry_at } => LinkState::Connecting {
            attempt: *attempt,
            last_error: last_error.clone(),
            retry_in: retry_at.map(|at| at.saturating_duration_since(tokio::time::Instant::now())),
        },
        State::Up { welcome, .. } => LinkState::Up((**welcome).clone().into()),
        State::Refused { refusal } => LinkState::Refused(refusal.clone()),
        State::Closed => LinkState::Closed,
    }
}

/// Whether asking again later, without a person doing something, can help.
pub fn is_passing(error: &CallError) -> bool {
    !matches!(
        error.kind,
        ErrorKind::UnknownMethod | ErrorKind::Malformed | ErrorKind::Denied | ErrorKind::OnRequest
    )
}
