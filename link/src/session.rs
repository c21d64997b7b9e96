//! A link that heals itself, for programs that stay: the agent, and the full-screen client.

use crate::backoff::Backoff;
use crate::client::{Client, FeedStream};
use crate::context::{Context, ContextError};
use crate::link::{self, DialError, Link, Target};
use crate::mux::{Limits, Stream};
use crate::pins::{self, Pins};
use crate::{SecretKey, clock};
use cmdr_protocol::login::Renew;
use cmdr_protocol::version::{Health, Hello, Join, PROTOCOL, PeerKind, Welcome};
use cmdr_protocol::{Call, CallError, Feed, HostId, PublicKey};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// All that is needed to dial.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// Whom.
    pub target: Target,
    /// As whom.
    pub key: SecretKey,
    /// What we are.
    pub kind: PeerKind,
    /// The name we would like.
    pub name: String,
    /// Program version.
    pub version: &'static str,
    /// Optional abilities.
    pub capabilities: Vec<String>,
    /// Asks to be taken in.
    pub join: Option<Join>,
    /// Limits of each connection.
    pub limits: Limits,
    /// The longest wait between tries.
    pub patience: Duration,
    /// The address of ours to dial from; by default the system picks one.
    pub from: Option<IpAddr>,
    /// The folder whose [`pins`] are gone by and kept true; without one the target's key is all.
    pub dir: Option<PathBuf>,
}

impl Dialer {
    /// A client's dialer.
    pub fn client(context: Context, version: &'static str) -> Self {
        Self {
            target: context.target,
            key: context.key,
            kind: PeerKind::Client,
            name: String::new(),
            version,
            capabilities: Vec::new(),
            join: None,
            limits: Limits::default(),
            patience: Duration::from_secs(5),
            from: None,
            dir: context.dir,
        }
    }

    /// Dials once.
    pub async fn dial(&self) -> Result<(Link, Welcome, mpsc::Receiver<Stream>), DialError> {
        let hello = Hello {
            protocol: PROTOCOL,
            kind: self.kind,
            version: self.version.to_owned(),
            name: self.name.clone(),
            capabilities: self.capabilities.clone(),
            at_ms: clock::now_ms(),
            join: self.join.clone(),
        };
        let address = &self.target.address;
        let pins = self.pins();
        let dial = async |hub| {
            let target = Target { address: address.clone(), hub };
            link::dial(&target, self.from, &self.key, &hello, self.limits).await
        };
        if let Some(next) = pins.as_ref().and_then(|pins| pins.next) {
            match dial(next).await {
                // The hub has not changed over yet.
                Err(DialError::Impostor { .. }) => {}
                Ok(dialed) => {
                    self.keep(next, &dialed.0, |dir| pins::settle(dir, &next));
                    return Ok(dialed);
                }
                Err(e) => return Err(e),
            }
        }
        let hub = pins.map_or(self.target.hub, |pins| pins.key);
        let dialed = dial(hub).await?;
        self.keep(hub, &dialed.0, |dir| pins::learn(dir, &hub, dialed.1.next_hub_key));
        Ok(dialed)
    }

    /// What is kept of the hub that is dialed.
    fn pins(&self) -> Option<Pins> {
        let pins = self.dir.as_deref().and_then(|dir| Pins::load(dir).ok());
        pins.filter(|pins| pins.address == self.target.address)
    }

    /// Keeps what the hub has said of its key, and goes on doing so while the link lasts.
    fn keep(
        &self,
        proved: PublicKey,
        link: &Link,
        told: impl FnOnce(&Path) -> Result<(), ContextError>,
    ) {
        let Some(dir) = self.dir.as_ref().filter(|_| self.pins().is_some()) else { return };
        if let Err(e) = told(dir) {
            tracing::warn!("what the hub says of its key was not kept: {e}");
        }
        tokio::spawn(pins::follow(dir.clone(), proved, link.clone()));
    }

    /// Dials once, as a client that nobody calls back.
    pub async fn connect(&self) -> Result<(Client, Welcome), DialError> {
        let (link, welcome, _) = self.dial().await?;
        Ok((Client::new(link), welcome))
    }
}

/// How a session is doing.
#[derive(Clone, Debug)]
pub enum State {
    /// No link; trying.
    Connecting {
        /// Tries since the last link.
        attempt: u32,
        /// Why the last link or try ended; absent before the first.
        last_error: Option<String>,
        /// When the next try begins; absent while one is on its way.
        retry_at: Option<Instant>,
    },
    /// The link is up.
    Up {
        /// What the hub said.
        welcome: Box<Welcome>,
        /// Since when.
        since: Instant,
    },
    /// The hub said no, or is not the hub: only a person can help. Tries go on, seldom.
    Refused {
        /// What happened and what to do.
        refusal: String,
    },
    /// [`Session::close`] was called.
    Closed,
}

/// A client's link that is dialed anew whenever it ends. Clones share it.
#[derive(Clone, Debug)]
pub struct Session {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: watch::Receiver<State>,
    client: watch::Receiver<Option<Client>>,
    closing: watch::Sender<bool>,
}

/// Whoever can dial again and again.
pub trait Redial {
    /// Dials once.
    fn redial(
        &self,
    ) -> impl Future<Output = Result<(Link, Welcome, mpsc::Receiver<Stream>), DialError>> + Send;
    /// The longest wait between tries.
    fn patience(&self) -> Duration;
}

impl Redial for Dialer {
    async fn redial(&self) -> Result<(Link, Welcome, mpsc::Receiver<Stream>), DialError> {
        self.dial().await
    }

    fn patience(&self) -> Duration {
        self.patience
    }
}

/// A login is not lengthened more often than this.
const RENEW_PAUSE_MS: u64 = 1000;
/// How long a renewal may take: a directory may be asked.
const RENEW_PATIENCE: Duration = Duration::from_secs(30);

/// What is wrong with a hub that refuses is looked at again after so long.
const REFUSED_WAIT: Duration = Duration::from_secs(15);

/// Keeps one link up for good, telling `state` how it goes and `up` each time there is one; `up`
/// returns when the link is over.
pub async fn keep<By, Up, Fut>(dialer: &By, state: &watch::Sender<State>, mut up: Up)
where
    By: Redial,
    Up: FnMut(Link, Welcome, mpsc::Receiver<Stream>) -> Fut,
    Fut: Future<Output = ()>,
{
    let mut backoff = Backoff::new(dialer.patience());
    let mut last_error = None;
    loop {
        state.send_replace(State::Connecting {
            attempt: backoff.attempt(),
            last_error: last_error.clone(),
            retry_at: None,
        });
        let error = match dialer.redial().await {
            Ok((link, welcome, streams)) => {
                let begun = Instant::now();
                state.send_replace(State::Up { welcome: Box::new(welcome.clone()), since: begun });
                up(link.clone(), welcome, streams).await;
                let reason = link.ended().unwrap_or_else(|| "closed".to_owned());
                // A link that ends at once again and again must not be dialed without pause.
                if begun.elapsed() > Duration::from_secs(5) {
                    backoff.reset();
                }
                tracing::info!(reason, "the link to the hub is down");
                format!("link lost: {reason}")
            }
            Err(e) => {
                let text = e.to_string();
                if last_error.as_ref() != Some(&text) {
                    tracing::warn!("{text}");
                }
                if e.is_lasting() {
                    state.send_replace(State::Refused { refusal: text.clone() });
                    last_error = Some(text);
                    tokio::time::sleep(REFUSED_WAIT).await;
                    continue;
                }
                text
            }
        };
        let wait = backoff.next_wait();
        last_error = Some(error);
        state.send_replace(State::Connecting {
            attempt: backoff.attempt(),
            last_error: last_error.clone(),
            retry_at: Some(Instant::now() + wait),
        });
        tokio::time::sleep(wait).await;
    }
}

/// Lengthens the login for as long as the link lasts, each time half of what is left has passed. A
/// renewal that fails is tried again: the login holds meanwhile, and the hub says when it has ended.
async fn renew(client: &Client, welcome: &Welcome) {
    let (Some(expires_ms), Some(renew_ms)) = (welcome.expires_ms, welcome.renew_ms) else {
        return std::future::pending().await;
    };
    let mut wait_ms = renew_ms.saturating_sub(welcome.at_ms);
    let mut left_ms = expires_ms.saturating_sub(welcome.at_ms);
    loop {
        tokio::time::sleep(Duration::from_millis(wait_ms.max(RENEW_PAUSE_MS))).await;
        left_ms = left_ms.saturating_sub(wait_ms);
        match client.call(None, &Renew {}, RENEW_PATIENCE).await {
            Ok(renewed) => left_ms = renewed.expires_ms.saturating_sub(clock::now_ms()),
            Err(e) => tracing::debug!("the login was not lengthened: {e}"),
        }
        wait_ms = left_ms / 2;
    }
}

impl Session {
    /// Begins to dial, on the current runtime.
    pub fn start(dialer: Dialer) -> Self {
        let first = State::Connecting { attempt: 0, last_error: None, retry_at: None };
        let (set_state, state) = watch::channel(first);
        let (set_client, client) = watch::channel(None);
        let (closing, mut closed) = watch::channel(false);
        tokio::spawn(async move {
            let kept = keep(&dialer, &set_state, |link, welcome, streams| {
                let client = Client::new(link.clone());
                set_client.send_replace(Some(client.clone()));
                let set_client = set_client.clone();
                async move {
                    // Nobody calls a client; streams of the hub's would be dropped one by one.
                    let _streams = streams;
                    tokio::select! {
                        _ = link.down() => {}
                        () = renew(&client, &welcome) => {}
                    }
                    set_client.send_replace(None);
                }
            });
            tokio::select! {
                () = kept => {}
                _ = closed.wait_for(|closed| *closed) => {}
            }
            let client = set_client.send_replace(None);
            if let Some(client) = client {
                client.link().close("the client left");
            }
            set_state.send_replace(State::Closed);
        });
        Self { inner: Arc::new(Inner { state, client, closing }) }
    }

    /// How it is doing, and every change of that.
    pub fn state(&self) -> watch::Receiver<State> {
        self.inner.state.clone()
    }

    /// The client of the link that is up now.
    pub fn client(&self) -> Option<Client> {
        self.inner.client.borrow().clone()
    }

    fn up(&self) -> Result<Client, CallError> {
        self.client().ok_or_else(|| {
            CallError::new(cmdr_protocol::ErrorKind::Unreachable, "there is no link to the hub now")
        })
    }

    /// As [`Client::call`], over the link that is up now.
    pub async fn call<C: Call>(
        &self,
        to: Option<HostId>,
        call: C,
        patience: Duration,
    ) -> Result<C::Reply, CallError> {
        self.up()?.call(to, &call, patience).await
    }

    /// As [`Client::feed`], over the link that is up now.
    pub async fn feed<F: Feed>(
        &self,
        to: Option<HostId>,
        feed: F,
    ) -> Result<FeedStream<F>, CallError> {
        self.up()?.feed(to, &feed).await
    }

    /// How the link is doing; `None` while there is none.
    pub fn health(&self) -> Option<Health> {
        self.client().map(|client| client.link().health())
    }

    /// Ends the link and stops dialing.
    pub fn close(&self) {
        self.inner.closing.send_replace(true);
    }
}
