//! The client's side of the link, as the app sees it: calls, feeds, state and health. The app never
//! names what carries them, so that a test can stand at the far end (`fake`, behind the feature of that name).

#[cfg(feature = "fake")]
pub mod fake;

use crate::i18n::{Lang, reasons};
use cmdr_link::client::all_pages;
use cmdr_protocol::pages::Paged;
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

/// A link to the hub. Reasons come out of it in the operator's language.
#[derive(Clone)]
pub struct Link {
    way: Way,
    lang: Lang,
}

#[derive(Clone)]
enum Way {
    /// The real one.
    Session(cmdr_link::session::Session),
    /// A test at the far end.
    #[cfg(feature = "fake")]
    Fake(fake::Far),
}

/// The items of a feed. Dropping it cancels the work at the far end.
pub struct Items<F: Feed> {
    from: Source<F>,
    lang: Lang,
}

enum Source<F: Feed> {
    /// Over the real link.
    Session(cmdr_link::FeedStream<F>),
    /// Over the real link, of a feed that is also sent to.
    Half(cmdr_link::client::Items<F>),
    /// From a test.
    #[cfg(feature = "fake")]
    Fake(fake::FarItems),
}

/// What one sends to a feed. It is cancelled when this and its items are dropped.
pub enum Inputs<F: Feed> {
    /// Over the real link.
    Session(cmdr_link::client::Inputs<F>),
    /// To a test.
    #[cfg(feature = "fake")]
    Fake(fake::FarInputs),
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
    /// The real one.
    pub const fn session(session: cmdr_link::session::Session) -> Self {
        Self { way: Way::Session(session), lang: Lang::En }
    }

    /// With a test at the far end.
    #[cfg(feature = "fake")]
    pub const fn fake(far: fake::Far) -> Self {
        Self { way: Way::Fake(far), lang: Lang::En }
    }

    /// Tells reasons in this language.
    #[must_use]
    pub fn speaking(self, lang: Lang) -> Self {
        Self { lang, ..self }
    }

    /// A reason that did not come out of this link, in the same language.
    pub fn told(&self, error: CallError) -> CallError {
        told(self.lang, error)
    }

    /// Asks the hub (`None`) or a host.
    pub async fn call<C: Call>(
        &self,
        to: Option<HostId>,
        call: C,
        timeout: Duration,
    ) -> Result<C::Reply, CallError> {
        let reply = match &self.way {
            Way::Session(session) => session.call(to, call, timeout).await,
            #[cfg(feature = "fake")]
            Way::Fake(far) => far.call(to, &call).await,
        };
        reply.map_err(|error| self.told(error))
    }

    /// Asks for all pages of a list.
    pub async fn call_all<C: Paged>(
        &self,
        to: Option<HostId>,
        call: C,
        timeout: Duration,
    ) -> Result<C::Reply, CallError> {
        all_pages(call, |call| self.call(to, call, timeout)).await
    }

    /// Begins a feed from the hub (`None`) or a host.
    pub async fn feed<F: Feed>(&self, to: Option<HostId>, feed: F) -> Result<Items<F>, CallError> {
        let from = match &self.way {
            Way::Session(session) => session.feed(to, feed).await.map(Source::Session),
            #[cfg(feature = "fake")]
            Way::Fake(far) => far.feed(to, &feed).map(Source::Fake),
        };
        let from = from.map_err(|error| self.told(error))?;
        Ok(Items { from, lang: self.lang })
    }

    /// Begins a feed that is also sent to.
    pub async fn both<F: Feed>(
        &self,
        to: Option<HostId>,
        feed: F,
    ) -> Result<(Items<F>, Inputs<F>), CallError> {
        let both = match &self.way {
            Way::Session(session) => session.feed(to, feed).await.map(|stream| {
                let (items, inputs) = stream.split();
                (Source::Half(items), Inputs::Session(inputs))
            }),
            #[cfg(feature = "fake")]
            Way::Fake(far) => {
                far.feed(to, &feed).map(|items| (Source::Fake(items), Inputs::Fake(far.inputs(to))))
            }
        };
        let (from, inputs) = both.map_err(|error| self.told(error))?;
        Ok((Items { from, lang: self.lang }, inputs))
    }

    /// The link itself, when it is up: for what goes on over many of them.
    pub fn client(&self) -> Result<cmdr_link::Client, CallError> {
        let client = match &self.way {
            Way::Session(session) => session.client(),
            #[cfg(feature = "fake")]
            Way::Fake(_) => None,
        };
        let none = || CallError::new(ErrorKind::Unreachable, "there is no link to the hub now");
        client.ok_or_else(|| self.told(none()))
    }

    /// How much went over the link and how long a round trip takes, when it is up.
    pub fn health(&self) -> Option<Health> {
        match &self.way {
            Way::Session(session) => session.health(),
            #[cfg(feature = "fake")]
            Way::Fake(far) => far.health(),
        }
    }

    /// A watch over the link's state.
    pub fn watch(&self) -> StateWatch {
        match &self.way {
            Way::Session(session) => StateWatch::Session(session.state()),
            #[cfg(feature = "fake")]
            Way::Fake(far) => StateWatch::Fake(far.state()),
        }
    }
}

fn told(lang: Lang, error: CallError) -> CallError {
    CallError { message: reasons::told(lang, error.message), ..error }
}

impl<F: Feed> Items<F> {
    /// The next item; `None` when the far end is done.
    pub async fn next(&mut self) -> Option<Result<F::Item, CallError>> {
        let item = match &mut self.from {
            Source::Session(stream) => stream.next().await,
            Source::Half(items) => items.next().await,
            #[cfg(feature = "fake")]
            Source::Fake(items) => items.next::<F>().await,
        };
        item.map(|item| item.map_err(|error| told(self.lang, error)))
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

/// The same of a host's.
pub fn cut_short_there() -> CallError {
    CallError::lost("the host ended it half-way")
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
