//! What a client of `-D` says before its bytes: SOCKS5, without a password, because only who may listen here gets in.
//! How it is written is read by the gateway's decoder.

use cmdr_gateway::decode::Target;
use cmdr_gateway::decode::socks::{LONGEST, Request, Stage, Step, answer, code, step};
use cmdr_protocol::forwards::Place;
use cmdr_protocol::{CallError, ErrorKind};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const NOWHERE: (Ipv4Addr, u16) = (Ipv4Addr::UNSPECIFIED, 0);

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// Where a client wants to go, and what it has said beyond that.
pub(super) async fn asked(tcp: &mut TcpStream) -> io::Result<(Place, Vec<u8>)> {
    let (mut bytes, mut stage) = (Vec::new(), Stage::Greeting);
    loop {
        match step(stage, &bytes, None) {
            Step::More => {
                let mut room = [0; LONGEST];
                let n = tcp.read(&mut room).await?;
                if n == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                bytes.extend_from_slice(&room[..n]);
                if bytes.len() > 2 * LONGEST {
                    return Err(refused("a SOCKS request without an end"));
                }
            }
            Step::Next { consumed, answer, stage: next } => {
                bytes.drain(..consumed);
                stage = next;
                tcp.write_all(&answer).await?;
            }
            Step::Whole { consumed, request } => {
                bytes.drain(..consumed);
                let Request::Connect(target) = request else {
                    tcp.write_all(&answer(code::COMMAND, NOWHERE.into())).await?;
                    return Err(refused("a SOCKS command that is not served"));
                };
                let place = match target {
                    Target::Address(at) => Place { host: at.ip().to_string(), port: at.port() },
                    Target::Name(host, port) => Place { host, port },
                };
                let place = place.plain();
                if let Err(why) = place.check() {
                    tcp.write_all(&answer(code::ADDRESS, NOWHERE.into())).await?;
                    return Err(refused(&why));
                }
                return Ok((place, bytes));
            }
            Step::Bad { answer, reason } => {
                tcp.write_all(&answer).await?;
                return Err(refused(reason));
            }
        }
    }
}

/// What a client is told of where it wanted to go.
pub(super) fn told(opened: &Result<String, CallError>) -> Vec<u8> {
    let code = match opened {
        Ok(_) => code::OK,
        Err(e) => match e.kind {
            ErrorKind::Denied | ErrorKind::OnRequest => code::DENIED,
            ErrorKind::Unreachable | ErrorKind::Lost | ErrorKind::TimedOut => code::UNREACHABLE,
            _ => code::FAILED,
        },
    };
    let at = opened.as_ref().ok().and_then(|at| at.parse::<SocketAddr>().ok());
    answer(code, at.unwrap_or_else(|| NOWHERE.into()))
}
