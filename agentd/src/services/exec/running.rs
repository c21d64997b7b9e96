//! A program from its beginning to its end: output, time limit, signals, and that nothing of it is left.
//!
//! `exec` runs one for a caller who listens, `orders` for nobody in particular.

use super::group::{self, Group, Spawned};
use super::order::Order;
use super::output::{Ending, Output, Sink};
use crate::Agent;
use cmdr_protocol::CallError;
use cmdr_protocol::exec::{Exit, Outcome};
use rustix::process::Signal;
use std::future::Future;
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// From the polite signal to the final one.
const MERCY: Duration = Duration::from_secs(2);
/// Programs left in the background may hold the output open so long after the one that was asked
/// for has ended.
const STRAGGLERS: Duration = Duration::from_secs(1);
/// Signals that are under way.
const SIGNALS: usize = 4;

/// A program that has begun. Dropping it ends it and everything it has started.
pub(in crate::services) struct Running {
    group: Group,
    stdin: Option<pipe::Sender>,
    output: Output,
    begun: Instant,
    timeout: Option<Duration>,
}

impl Running {
    /// Begins it.
    pub(in crate::services) async fn start(
        agent: &Agent,
        order: &Order,
    ) -> Result<Self, CallError> {
        let Spawned { group, stdin, output } = group::spawn(agent, order).await?;
        Ok(Self { group, stdin, output, begun: Instant::now(), timeout: order.timeout })
    }

    /// The number of the program.
    pub(in crate::services) const fn pid(&self) -> u32 {
        self.group.pid()
    }

    /// Follows it to its end. `control` gets its input and the way by which signals reach it, and ends only
    /// with a fault; when `stop` is over it is ended like one whose time is.
    pub(in crate::services) async fn follow<S, C, F>(
        self,
        sink: &S,
        control: C,
        stop: impl Future<Output = ()>,
    ) -> Result<Exit, CallError>
    where
        S: Sink,
        C: FnOnce(Option<pipe::Sender>, mpsc::Sender<Signal>) -> F,
        F: Future<Output = CallError>,
    {
        let Self { mut group, stdin, output, begun, timeout } = self;
        let ending = Ending::default();
        let mut output = std::pin::pin!(output.pump(sink, &ending));
        let (signals, mut signalled) = mpsc::channel(SIGNALS);
        let mut control = std::pin::pin!(control(stdin, signals));
        let mut stop = std::pin::pin!(stop);
        let mut end_at = timeout.map(|after| (begun + after, Signal::TERM));
        let (mut timed_out, mut stopped) = (false, false);
        let mut exited = None;
        let mut stragglers = None;
        let mut output_over = false;
        while !(output_over && exited.is_some()) {
            tokio::select! {
                sent = &mut output, if !output_over => {
                    sent?;
                    output_over = true;
                }
                told = group.exited(), if exited.is_none() => {
                    told?;
                    exited = Some(Instant::now());
                    stragglers = Some(Instant::now() + STRAGGLERS);
                }
                fault = &mut control => return Err(fault),
                Some(signal) = signalled.recv() => group.signal(signal),
                () = &mut stop, if !stopped && exited.is_none() => {
                    stopped = true;
                    if !timed_out {
                        end_at = Some((Instant::now(), Signal::TERM));
                    }
                }
                () = at(end_at.map(|(when, _)| when)), if exited.is_none() => {
                    let Some((when, signal)) = end_at else { continue };
                    timed_out |= !stopped;
                    if signal == Signal::KILL {
                        group.end();
                    } else {
                        group.signal(signal);
                    }
                    end_at = (signal == Signal::TERM).then_some((when + MERCY, Signal::KILL));
                }
                () = at(stragglers) => {
                    // Nobody writes any more after this; what is in the pipes still goes out.
                    stragglers = None;
                    group.end();
                    ending.begin();
                }
            }
        }
        let status = group.finish().await?;
        let took_ms = exited.map_or(0, |at| at.saturating_duration_since(begun).as_millis() as u64);
        Ok(describe(status, timed_out, took_ms))
    }
}

async fn at(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

fn describe(status: std::process::ExitStatus, timed_out: bool, took_ms: u64) -> Exit {
    use std::os::unix::process::ExitStatusExt as _;
    let (outcome, code) = match (status.code(), status.signal()) {
        (Some(code), _) => (Outcome::Exited, code),
        (None, signal) => (Outcome::Signalled, signal.unwrap_or(0)),
    };
    Exit { outcome: if timed_out { Outcome::TimedOut } else { outcome }, code, took_ms }
}
