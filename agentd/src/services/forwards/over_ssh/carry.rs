//! One connection of a forward over SSH: what its client says first (SOCKS5), and bytes both ways.

use crate::services::forwards::held::Counts;
use cmdr_gateway::decode::Target;
use cmdr_gateway::decode::socks::{self, Request, Stage, Step};
use cmdr_link::tunnel;
use cmdr_protocol::forwards::Place;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes taken at once.
const CHUNK: usize = 32 * 1024;
/// A client says where to within so long.
const ASKING: Duration = Duration::from_secs(10);

/// Where a client wants to go, by SOCKS5.
pub(super) async fn asked(tcp: &mut TcpStream) -> Result<Place, String> {
    let asking = async {
        let (mut heard, mut stage) = (Vec::new(), Stage::default());
        loop {
            match socks::step(stage, &heard, None) {
                Step::More if heard.len() >= socks::LONGEST => {
                    return Err("a SOCKS5 request of no end".to_owned());
                }
                Step::More => match tcp.read_buf(&mut heard).await {
                    Ok(0) => return Err("the client went before it said where to".to_owned()),
                    Ok(_) => {}
                    Err(e) => return Err(e.to_string()),
                },
                Step::Next { consumed, answer, stage: next } => {
                    heard.drain(..consumed);
                    tcp.write_all(&answer).await.map_err(|e| e.to_string())?;
                    stage = next;
                }
                Step::Whole { consumed, request: Request::Connect(target) }
                    if consumed == heard.len() =>
                {
                    let (host, port) = match target {
                        Target::Address(at) => (at.ip().to_canonical().to_string(), at.port()),
                        Target::Name(name, port) => (name, port),
                    };
                    return Ok(Place { host, port });
                }
                Step::Whole { .. } => {
                    refuse(tcp, socks::code::COMMAND).await;
                    return Err(
                        "only connections are carried, and nothing is said before they are there"
                            .to_owned(),
                    );
                }
                Step::Bad { answer, reason } => {
                    tcp.write_all(&answer).await.ok();
                    return Err(reason.to_owned());
                }
            }
        }
    };
    timeout(ASKING, asking)
        .await
        .unwrap_or_else(|_| Err("the client was too slow to say where to".to_owned()))
}

async fn refuse(tcp: &mut TcpStream, code: u8) {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    tcp.write_all(&socks::answer(code, nowhere)).await.ok();
}

/// Says whether the way is open.
pub(super) async fn answer(tcp: &mut TcpStream, open: bool) -> io::Result<()> {
    let code = if open { socks::code::OK } else { socks::code::UNREACHABLE };
    tcp.write_all(&socks::answer(code, (Ipv4Addr::UNSPECIFIED, 0).into())).await
}

/// Carries what is said both ways. `from_here`: whoever connected did so at `tcp`.
pub(super) async fn both(
    mut tcp: TcpStream,
    far: impl AsyncRead + AsyncWrite,
    counts: &Counts,
    from_here: bool,
) {
    let (far_from, far_to) = tokio::io::split(far);
    let carried = async {
        let (from, to) = tcp.split();
        let counted = &counts.carried;
        let (there, back) = if from_here {
            (&counted.sent, &counted.received)
        } else {
            (&counted.received, &counted.sent)
        };
        tokio::try_join!(copy(from, far_to, there), copy(far_from, to, back))
    };
    let done = tokio::select! {
        done = carried => done.map(drop),
        () = counts.is_cut() => return,
    };
    match done {
        // Both have said all: what is on its way shall come there.
        Ok(()) => tunnel::release(&tcp),
        Err(e) => counts.failed(&e.to_string()),
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    bytes: &AtomicU64,
) -> io::Result<()> {
    let mut room = Vec::with_capacity(CHUNK);
    loop {
        room.clear();
        match from.read_buf(&mut room).await? {
            0 => return to.shutdown().await,
            n => {
                to.write_all(&room).await?;
                bytes.fetch_add(n as u64, Ordering::Relaxed);
            }
        }
    }
}
