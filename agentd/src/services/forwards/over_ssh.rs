//! Forwards over SSH, to machines that have no agent: this host logs in there, by a key or a password that the hub keeps, and
//! goes on doing so. What connects here leads to what that machine sees (`ssh-local`, `ssh-dynamic`), or what connects there
//! to what this host sees (`ssh-remote`).
//!
//! Which machine is the right one is known from sessions over SSH ([`crate::services::ssh`]): nobody is asked here. Kept by
//! `held`; `over_ssh/login.rs` lets us in, `over_ssh/carry.rs` carries connections.

mod carry;
mod login;

use super::held::{Counts, Seat};
use super::{addresses, connect};
use crate::Agent;
use cmdr_link::backoff::Backoff;
use cmdr_link::tunnel;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::forwards::Place;
use cmdr_protocol::forwards::kept::{Given, Kind};
use cmdr_protocol::{CallError, ErrorKind};
use login::{Entered, Machine};
use russh::client::Handle;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, interval, sleep, timeout};

/// The shortest pause before another try, and the longest.
const LEAST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);
/// Letters of what is wrong with one.
const WHY: usize = 400;
/// After one that was there for so long the next try comes soon.
const STEADY: Duration = Duration::from_mins(1);
/// That a connection has ended is seen within so long.
const LOOK: Duration = Duration::from_millis(500);
/// The machine connects within so long, or not.
const OPENING: Duration = Duration::from_secs(20);
/// After a fault the socket is asked again so much later.
const FAULT: Duration = Duration::from_millis(100);

/// Keeps a forward there for as long as it is to be.
pub(super) async fn keep(agent: &Agent, counts: Arc<Counts>, given: Given) {
    let mut backoff = Backoff::new(LONGEST);
    loop {
        let began = Instant::now();
        let Err(e) = once(agent, &counts, &given).await;
        if began.elapsed() >= STEADY {
            backoff.reset();
        }
        // Whoever is refused again and again is shut out by many machines.
        let least = if e.kind == ErrorKind::Denied { LONGEST } else { LEAST };
        let pause = backoff.next_wait().max(least);
        let again = format!("{}; tried again in {} s", e.message, pause.as_secs());
        counts.listens(String::new(), clean_to_width(&again, WHY));
        sleep(pause).await;
    }
}

/// Logs in and carries until that is over.
async fn once(
    agent: &Agent,
    counts: &Arc<Counts>,
    given: &Given,
) -> Result<std::convert::Infallible, CallError> {
    let machine = Machine::parse(&given.ssh)?;
    if given.kind == Kind::SshRemote {
        return remote(agent, counts, given, &machine).await;
    }
    let at: SocketAddr = given
        .listen
        .parse()
        .map_err(|_| CallError::malformed("this is no address to listen at"))?;
    agent.policy().allows_forward_at(at)?;
    let Entered { handle, .. } = login::enter(agent, &machine, given).await?;
    let handle = Arc::new(handle);
    let listener = TcpListener::bind(at)
        .await
        .map_err(|e| CallError::failed(format!("cannot listen at {at}: {e}")))?;
    counts.listens(at.to_string(), String::new());
    let mut look = interval(LOOK);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    tunnel::prepare(&tcp);
                    let Some(seat) = Seat::take(counts, agent.policy().forwards.max) else { continue };
                    let (to, handle) = (given.to.clone(), handle.clone());
                    tokio::spawn(async move { there(tcp, seat, to, &handle).await });
                }
                Err(e) => {
                    counts.failed(&format!("accepting a connection: {e}"));
                    sleep(FAULT).await;
                }
            },
            _ = look.tick() => if handle.is_closed() {
                return Err(lost(&machine));
            },
        }
    }
}

fn lost(machine: &Machine) -> CallError {
    CallError::new(ErrorKind::Lost, format!("the connection to {machine} was lost"))
}

/// Leads a connection to what the machine sees: to one place, or where the client says.
async fn there(mut tcp: TcpStream, seat: Seat, to: Option<Place>, handle: &Handle<login::Door>) {
    let counts = seat.0.clone();
    let asked = to.is_none();
    let to = match to {
        Some(to) => to,
        None => match carry::asked(&mut tcp).await {
            Ok(to) => to,
            Err(why) => return counts.failed(&why),
        },
    };
    let opening = handle.channel_open_direct_tcpip(&to.host, u32::from(to.port), "127.0.0.1", 0);
    let opened = match timeout(OPENING, opening).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(e)) => Err(format!("the machine does not connect to {to}: {e}")),
        Err(_) => Err(format!("the machine has not connected to {to} for {} s", OPENING.as_secs())),
    };
    if asked && let Err(e) = carry::answer(&mut tcp, opened.is_ok()).await {
        return counts.failed(&e.to_string());
    }
    match opened {
        Ok(channel) => carry::both(tcp, channel.into_stream(), &counts, true).await,
        Err(why) => {
            // Dropped, it is reset.
            counts.failed(&why);
        }
    }
}

/// Has the machine listen, and leads what connects there to what this host sees.
async fn remote(
    agent: &Agent,
    counts: &Arc<Counts>,
    given: &Given,
    machine: &Machine,
) -> Result<std::convert::Infallible, CallError> {
    let to = given.to.clone().ok_or_else(|| CallError::malformed("it leads nowhere"))?;
    // What may not be reached is said before anybody is let in.
    addresses(agent, &to).await?;
    let at: SocketAddr = given
        .listen
        .parse()
        .map_err(|_| CallError::malformed("this is no address to listen at"))?;
    let Entered { handle, mut come } = login::enter(agent, machine, given).await?;
    let listening = handle.tcpip_forward(at.ip().to_string(), u32::from(at.port()));
    let listened = timeout(OPENING, listening).await.map_err(|_| lost(machine))?;
    listened.map_err(|e| {
        CallError::failed(format!("{machine} does not listen at {at} for us: {e}; its AllowTcpForwarding and GatewayPorts say what it lets"))
    })?;
    counts.listens(format!("{at} of {machine}"), String::new());
    let mut look = interval(LOOK);
    loop {
        tokio::select! {
            Some(channel) = come.recv() => {
                let Some(seat) = Seat::take(counts, agent.policy().forwards.max) else { continue };
                let (agent, to) = (agent.clone(), to.clone());
                tokio::spawn(async move {
                    let counts = seat.0.clone();
                    match connect(&agent, &to).await {
                        Ok((tcp, _)) => carry::both(tcp, channel.into_stream(), &counts, false).await,
                        Err(e) => counts.failed(&e.message),
                    }
                    drop(seat);
                });
            }
            _ = look.tick() => if handle.is_closed() {
                return Err(lost(machine));
            },
        }
    }
}
