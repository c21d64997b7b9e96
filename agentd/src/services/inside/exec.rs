//! One command in a container, its two outputs as they come. Ends with the feed.

use super::Order;
use crate::Agent;
use crate::engine::told;
use crate::inside::{self, Demux, line, process};
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::exec::{self, CHUNK, Exit, Input, Item, Outcome};
use cmdr_protocol::inside::Exec;
use cmdr_protocol::{CallError, ErrorKind, Feed as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use serde_json::json;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::Instant;

/// Pieces of input held while the program reads none, so that a signal behind them gets through.
const PIECES: usize = 4;

type Line = TokioIo<Upgraded>;

pub(super) async fn exec(
    agent: Arc<Agent>,
    asked: Asked,
    exec: Exec,
    feeding: Feeding<Exec>,
) -> Result<(), CallError> {
    let caller = asked.caller.as_ref().map_or("", |caller| caller.name.as_str());
    let (caller, trace) = (clean_to_width(caller, 64), asked.trace);
    let what = clean_to_width(&exec.resource(), 160);
    tracing::info!(caller, trace, what, "exec in a container");
    let result = run(&agent, exec, feeding).await;
    let outcome = match &result {
        Ok(exit) => format!("{} {}", exit.outcome, exit.code),
        Err(e) => format!("{}: {e}", e.kind),
    };
    tracing::info!(caller, trace, what, outcome, "exec in a container ended");
    result.map(drop)
}

async fn run(agent: &Agent, exec: Exec, feeding: Feeding<Exec>) -> Result<Exit, CallError> {
    // Who wants no programs to be run here wants none of these.
    agent.policy().allows_method(exec::Start::METHOD)?;
    agent.policy().allows_without_limits("inside")?;
    let most = agent.policy().exec.max_concurrent;
    let _running = agent.programs().clone().try_acquire_owned().map_err(|_| {
        let what =
            format!("this host runs {most} programs already; try again when some have ended");
        CallError::new(ErrorKind::Busy, what)
    })?;
    if exec.argv.first().is_none_or(String::is_empty) {
        return Err(CallError::malformed("there is no command to run"));
    }
    let order = Order {
        container: &exec.container,
        argv: &exec.argv,
        user: exec.user.as_ref(),
        cwd: exec.cwd.as_ref(),
        env: &exec.env,
        tty: false,
        stdin: exec.stdin,
    };
    order.check()?;
    let id = order.create(agent).await?;
    let (socket, proc_root) =
        (agent.config().docker_socket.clone(), agent.config().proc_root.clone());
    let begun = Instant::now();
    let start = json!({"Detach": false, "Tty": false});
    let line = line::upgrade(&socket, &format!("/exec/{id}/start"), Some(&start)).await;
    let line =
        line.map_err(|e| told(&format!("run a program in the container {}", exec.container), &e))?;
    let mut program = Program { socket, proc_root, id, over: false };
    let (from, to) = tokio::io::split(line);
    let sender = feeding.sender();
    tokio::select! {
        result = outputs(from, &sender) => result?,
        error = inputs(feeding, exec.stdin.then_some(to), &program) => return Err(error),
    }
    let code = inside::exec_code(&program.socket, &program.id).await.ok_or_else(|| {
        CallError::lost(
            "the Docker engine ended the connection and does not say how the command ended",
        )
    })?;
    program.over = true;
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let exit = Exit { outcome: Outcome::Exited, code, took_ms };
    sender.send(&Item { exit: Some(exit), ..Item::default() }).await?;
    Ok(exit)
}

/// A program that is ended when nobody waits for it any more.
struct Program {
    socket: PathBuf,
    proc_root: PathBuf,
    id: String,
    over: bool,
}

impl Program {
    async fn signal(&self, signal: Signal) {
        // It may have ended, or be out of reach.
        if let Some(exec) = inside::running(&self.socket, &self.id).await {
            process::signal(&self.proc_root, exec.pid, &exec.container, signal);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.over {
            return;
        }
        let (socket, proc_root) =
            (std::mem::take(&mut self.socket), std::mem::take(&mut self.proc_root));
        let id = std::mem::take(&mut self.id);
        runtime.spawn(async move {
            if let Some(exec) = inside::running(&socket, &id).await {
                process::kill(&proc_root, exec.pid, &exec.container);
            }
        });
    }
}

/// Sends what it writes until it has ended, no faster than the caller takes it.
async fn outputs(mut from: ReadHalf<Line>, sender: &Feeding<Exec>) -> Result<(), CallError> {
    let (mut demux, mut buffer) = (Demux::default(), vec![0; CHUNK]);
    loop {
        // An error on the connection is its end too: how the program ended is asked for then.
        let Ok(n @ 1..) = from.read(&mut buffer).await else { return Ok(()) };
        let mut item = Item::default();
        demux.push(&buffer[..n], |piece| match piece {
            inside::Piece::Bytes(inside::Output::Out, bytes) => {
                item.stdout.extend_from_slice(bytes);
            }
            inside::Piece::Bytes(inside::Output::Err, bytes) => {
                item.stderr.extend_from_slice(bytes);
            }
            inside::Piece::End(_) => {}
        });
        if !item.stdout.is_empty() || !item.stderr.is_empty() {
            sender.send(&item).await?;
        }
    }
}

/// Takes the caller's inputs for as long as the program runs, and ends only with a fault.
async fn inputs(
    mut feeding: Feeding<Exec>,
    mut to: Option<WriteHalf<Line>>,
    program: &Program,
) -> CallError {
    let mut pieces: VecDeque<bytes::Bytes> = VecDeque::new();
    let mut ended = false;
    loop {
        if pieces.is_empty()
            && ended
            && let Some(mut to) = to.take()
        {
            // It may have gone, and then needs no end.
            to.shutdown().await.ok();
        }
        let has_work = to.is_some() && !pieces.is_empty();
        tokio::select! {
            written = write_some(to.as_mut(), pieces.front_mut()), if has_work => {
                if written.is_err() {
                    // It reads no more; what is left for it means nothing.
                    (to, ended) = (None, true);
                    pieces.clear();
                } else if pieces.front().is_none_or(bytes::Bytes::is_empty) {
                    pieces.pop_front();
                }
            }
            input = feeding.input(), if pieces.len() < PIECES => {
                let Input { data, eof, signal } = match input {
                    Ok(input) => input,
                    Err(e) => return e,
                };
                if !data.is_empty() && !ended && to.is_some() {
                    pieces.push_back(data.into());
                }
                ended |= eof;
                if let Some(number) = signal {
                    let Some(signal) = Signal::from_named_raw(number) else {
                        return CallError::malformed(format!("there is no signal {number}"));
                    };
                    program.signal(signal).await;
                }
            }
        }
    }
}

async fn write_some(
    to: Option<&mut WriteHalf<Line>>,
    piece: Option<&mut bytes::Bytes>,
) -> std::io::Result<()> {
    let (Some(to), Some(piece)) = (to, piece) else { return Ok(()) };
    let n = to.write(piece).await?;
    bytes::Buf::advance(piece, n);
    Ok(())
}
