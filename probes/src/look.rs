//! One look at a far end: what is lent for it, what it has seen so far, how it ends.

use crate::certificate::Roots;
use crate::{dns, http, icmp, script, tcp, tls};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::probes::{Measured, Probe, Script, Verdict};
use futures::future::BoxFuture;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A look takes at least and at most so long, whatever its probe says.
const PATIENCE: [u64; 2] = [100, 60_000];
/// Cells of what is said about a look.
const WORDS: usize = 400;

/// What a caller lends.
pub trait Means: Send + Sync {
    /// Whether this host may go there; why not, in words.
    fn allows(&self, address: IpAddr) -> Result<(), String>;

    /// Runs a program without a shell and ends it, with all that it has started, when its time is over or the future is
    /// dropped. An error says why it was not begun.
    fn run<'a>(
        &'a self,
        script: &'a Script,
        patience: Duration,
    ) -> BoxFuture<'a, Result<Ran, String>>;

    /// Wall clock, milliseconds since 1970: certificates end by it.
    fn now_ms(&self) -> u64;
}

/// How a program ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// What it ended with; absent when a signal ended it.
    pub code: Option<i32>,
    /// It was ended because its time was over.
    pub timed_out: bool,
    /// The beginning of its output, or of its errors where it has none.
    pub output: Vec<u8>,
}

/// Takes looks.
pub struct Prober<M> {
    means: M,
    roots: Roots,
}

impl<M> std::fmt::Debug for Prober<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prober").finish_non_exhaustive()
    }
}

/// Why a look did not end well.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The far end is not as it should be.
    Down(String),
    /// Nothing is known about the far end: this host may not ask, or cannot.
    Unsaid(String),
}

/// A look that goes on.
pub(crate) struct Look<'a> {
    pub means: &'a dyn Means,
    pub roots: &'a Roots,
    /// What it has seen so far.
    pub seen: Measured,
    /// What it does now, for who is told that it took too long.
    pub doing: String,
    /// When its time is over.
    pub until: Instant,
}

impl Look<'_> {
    /// Says what is done next.
    pub(crate) fn doing(&mut self, what: impl Into<String>) {
        self.doing = what.into();
    }

    /// What is left of its time.
    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// Microseconds since then.
pub(crate) fn since(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// A text of the far end, as it may stand in ours.
pub(crate) fn shown(text: &str) -> String {
    clean_to_width(text, 120)
}

impl<M: Means> Prober<M> {
    /// One that has these means.
    pub fn new(means: M) -> Self {
        Self { means, roots: Roots::default() }
    }

    /// What it was lent.
    pub const fn means(&self) -> &M {
        &self.means
    }

    /// Takes one look. It ends within the probe's time.
    pub async fn run(&self, probe: &Probe) -> Measured {
        let patience = Duration::from_millis(probe.timeout_ms.clamp(PATIENCE[0], PATIENCE[1]));
        let begun = Instant::now();
        let mut look = Look {
            means: &self.means,
            roots: &self.roots,
            seen: Measured::default(),
            doing: String::new(),
            until: begun + patience,
        };
        let ended = timeout(patience, ask(&mut look, probe)).await;
        let Look { mut seen, doing, .. } = look;
        seen.took_us = since(begun);
        let (verdict, why) = match ended {
            Ok(Ok(ended)) => ended,
            Ok(Err(Fault::Down(why))) => (Verdict::Down, why),
            Ok(Err(Fault::Unsaid(why))) => (Verdict::Unknown, why),
            Err(_) => {
                let ms = patience.as_millis();
                (Verdict::Down, format!("{doing} did not end within {ms} ms"))
            }
        };
        seen.verdict = verdict;
        seen.why = clean_to_width(&why, WORDS);
        seen
    }
}

/// What a look comes to: the verdict and why.
pub(crate) type Ended = Result<(Verdict, String), Fault>;

async fn ask(look: &mut Look<'_>, probe: &Probe) -> Ended {
    if let Some(http) = &probe.http {
        http::ask(look, http).await
    } else if let Some(tcp) = &probe.tcp {
        tcp::ask(look, tcp).await
    } else if let Some(icmp) = &probe.icmp {
        icmp::ask(look, icmp).await
    } else if let Some(dns) = &probe.dns {
        dns::ask(look, dns).await
    } else if let Some(tls) = &probe.tls {
        tls::ask(look, tls).await
    } else if let Some(script) = &probe.script {
        script::ask(look, script).await
    } else {
        Err(Fault::Unsaid(
            "this agent knows no probe of this kind; it is older than the hub: upgrade it".into(),
        ))
    }
}
