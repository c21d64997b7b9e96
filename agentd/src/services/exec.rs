//! Runs one program for an operator, its output as it comes.
//!
//! However this ends, by itself, by its timeout, by the caller's leave or the agent's end: nothing that
//! the program has started is left, whatever sessions and groups it made.

mod group;
mod order;
mod output;
mod running;
mod script;

pub(super) use order::Order;
pub(super) use output::Sink;
pub(super) use running::Running;
pub use script::Scripts;
pub(super) use script::interpreter;

use crate::Agent;
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::exec::{Exit, Input, Item, Start};
use cmdr_protocol::{CallError, ErrorKind};
use rustix::process::Signal;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::time::Instant;

/// Pieces of input held while the program reads none, so that a signal behind them gets through.
const PIECES: usize = 4;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.feed(start)
}

async fn start(
    agent: Arc<Agent>,
    asked: Asked,
    start: Start,
    feeding: Feeding<Start>,
) -> Result<(), CallError> {
    let caller = asked.caller.as_ref().map_or("", |caller| caller.name.as_str());
    let mut log = Log {
        caller: clean_to_width(caller, 64),
        trace: asked.trace,
        program: clean_to_width(&named(&start), 120),
        begun: Instant::now(),
        end: None,
    };
    let result = run(&agent, start, feeding, &mut log).await;
    log.end = Some(match &result {
        Ok(exit) => format!("{} {}", exit.outcome, exit.code),
        Err(e) => format!("{}: {e}", e.kind),
    });
    result.map(drop)
}

fn named(start: &Start) -> String {
    match (&start.script, start.argv.first()) {
        (Some(script), _) => format!("script {}", script.name),
        (None, program) => program.cloned().unwrap_or_default(),
    }
}

/// Says once how it ended, also when the caller left and nobody else says anything.
struct Log {
    caller: String,
    trace: u64,
    program: String,
    begun: Instant,
    end: Option<String>,
}

impl Drop for Log {
    fn drop(&mut self) {
        let Self { caller, trace, program, begun, end } = self;
        let outcome = end.as_deref().unwrap_or("given up by the caller");
        let took_ms = begun.elapsed().as_millis() as u64;
        tracing::info!(caller, trace, program, took_ms, outcome, "exec ended");
    }
}

async fn run(
    agent: &Agent,
    start: Start,
    feeding: Feeding<Start>,
    log: &mut Log,
) -> Result<Exit, CallError> {
    let most = agent.policy().exec.max_concurrent;
    let _running = agent.programs().clone().try_acquire_owned().map_err(|_| {
        let what =
            format!("this host runs {most} programs already; try again when some have ended");
        CallError::new(ErrorKind::Busy, what)
    })?;
    let order = Order::check(agent, start, &[])?;
    let spawned = Running::start(agent, &order).await?;
    tracing::info!(
        caller = log.caller,
        trace = log.trace,
        program = log.program,
        pid = spawned.pid(),
        user = order.user.name,
        "exec started"
    );
    let sender = feeding.sender();
    sender.send(&Item { pid: Some(spawned.pid()), ..Item::default() }).await?;
    let input = |stdin, signals| take_input(feeding, stdin, signals);
    let exit = spawned.follow(&sender, input, std::future::pending()).await?;
    sender.send(&Item { exit: Some(exit), ..Item::default() }).await?;
    Ok(exit)
}

/// Takes the caller's inputs for as long as the program runs, and ends only with a fault.
async fn take_input(
    mut feeding: Feeding<Start>,
    mut stdin: Option<pipe::Sender>,
    signals: tokio::sync::mpsc::Sender<Signal>,
) -> CallError {
    let mut pieces: VecDeque<bytes::Bytes> = VecDeque::new();
    let mut ended = false;
    loop {
        if pieces.is_empty() && ended {
            stdin = None;
        }
        let has_work = stdin.is_some() && !pieces.is_empty();
        tokio::select! {
            written = write_some(stdin.as_mut(), pieces.front_mut()), if has_work => {
                let done = pieces.front().is_none_or(bytes::Bytes::is_empty);
                if written.is_err() {
                    // It reads no more; what is left for it means nothing.
                    (stdin, ended) = (None, true);
                    pieces.clear();
                } else if done {
                    pieces.pop_front();
                }
            }
            input = feeding.input(), if pieces.len() < PIECES => {
                let Input { data, eof, signal } = match input {
                    Ok(input) => input,
                    Err(e) => return e,
                };
                if !data.is_empty() && !ended {
                    pieces.push_back(data.into());
                }
                ended |= eof;
                if let Some(number) = signal {
                    match Signal::from_named_raw(number) {
                        // The group is gone when nobody listens.
                        Some(signal) => drop(signals.send(signal).await),
                        None => return CallError::malformed(format!("there is no signal {number}")),
                    }
                }
            }
        }
    }
}

async fn write_some(
    stdin: Option<&mut pipe::Sender>,
    piece: Option<&mut bytes::Bytes>,
) -> std::io::Result<()> {
    let (Some(stdin), Some(piece)) = (stdin, piece) else { return Ok(()) };
    let n = stdin.write(piece).await?;
    bytes::Buf::advance(piece, n);
    Ok(())
}
