//! SOCKS5 as a server (RFC 1928, user and password by RFC 1929): CONNECT and UDP ASSOCIATE. The
//! event loop feeds the bytes so far and writes the answers; connecting is its business.

use super::{Target, is_host_name};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest conversation before the request is whole: greeting, login and request at their longest.
pub const LONGEST: usize = 257 + 513 + 262;

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Connect(Target),
    /// A relay for datagrams; where the client will send from is not relied upon.
    Associate,
}

/// Where a conversation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    #[default]
    Greeting,
    Login,
    Request,
}

/// What one message of the client leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The message is not whole.
    More,
    /// `consumed` bytes are dealt with; `answer` goes to the client; the conversation goes on.
    Next { consumed: usize, answer: [u8; 2], stage: Stage },
    /// The request is whole.
    Whole { consumed: usize, request: Request },
    /// The conversation is over: `answer` goes to the client before it is closed.
    Bad { answer: Vec<u8>, reason: &'static str },
}

/// Codes of the answer to a request.
pub mod code {
    pub const OK: u8 = 0;
    pub const FAILED: u8 = 1;
    pub const DENIED: u8 = 2;
    pub const UNREACHABLE: u8 = 4;
    pub const REFUSED: u8 = 5;
    pub const COMMAND: u8 = 7;
    pub const ADDRESS: u8 = 8;
}

/// The answer to a request with the address that the connection or relay has on this side.
pub fn answer(code: u8, bound: SocketAddr) -> Vec<u8> {
    let mut out = vec![5, code, 0];
    put(&mut out, bound);
    out
}

fn put(out: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.push(1);
            out.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(4);
            out.extend(ip.octets());
        }
    }
    out.extend(address.port().to_be_bytes());
}

const UNBOUND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The next message at the head of `bytes`. `may` says whether a user with that password may come in;
/// none when everyone may.
pub fn step(stage: Stage, bytes: &[u8], may: Option<super::May<'_>>) -> Step {
    let bad = |answer: &[u8], reason| Step::Bad { answer: answer.to_vec(), reason };
    match stage {
        Stage::Greeting => {
            if bytes.first().is_some_and(|version| *version != 5) {
                return bad(&[], "not SOCKS5");
            }
            let Some(count) = bytes.get(1) else { return Step::More };
            let consumed = 2 + usize::from(*count);
            let Some(methods) = bytes.get(2..consumed) else { return Step::More };
            let (method, stage) =
                if may.is_some() { (2, Stage::Login) } else { (0, Stage::Request) };
            if !methods.contains(&method) {
                return bad(
                    &[5, 0xff],
                    "a SOCKS client without the way to log in that is asked for",
                );
            }
            Step::Next { consumed, answer: [5, method], stage }
        }
        Stage::Login => {
            if bytes.first().is_some_and(|version| *version != 1) {
                return bad(&[1, 1], "a SOCKS login that cannot be read");
            }
            let Some(length) = bytes.get(1).map(|n| usize::from(*n)) else { return Step::More };
            let Some(second) = bytes.get(2 + length).map(|n| usize::from(*n)) else {
                return Step::More;
            };
            let consumed = 3 + length + second;
            let Some(password) = bytes.get(3 + length..consumed) else { return Step::More };
            if may.is_some_and(|may| !may(&bytes[2..2 + length], password)) {
                return bad(&[1, 1], "a wrong user or password");
            }
            Step::Next { consumed, answer: [1, 0], stage: Stage::Request }
        }
        Stage::Request => {
            if bytes.first().is_some_and(|version| *version != 5) {
                return bad(&answer(code::FAILED, UNBOUND), "a SOCKS request that cannot be read");
            }
            let Some(command) = bytes.get(1) else { return Step::More };
            let (target, length) = match address(bytes.get(3..).unwrap_or_default()) {
                Ok(Some(found)) => found,
                Ok(None) => return Step::More,
                Err(reason) => return bad(&answer(code::ADDRESS, UNBOUND), reason),
            };
            let consumed = 3 + length;
            match command {
                1 => Step::Whole { consumed, request: Request::Connect(target) },
                3 => Step::Whole { consumed, request: Request::Associate },
                _ => bad(&answer(code::COMMAND, UNBOUND), "a SOCKS command that is not served"),
            }
        }
    }
}

/// An address at the head of `bytes` and its length; none when it is not whole.
fn address(bytes: &[u8]) -> Result<Option<(Target, usize)>, &'static str> {
    let Some(kind) = bytes.first() else { return Ok(None) };
    let (start, length) = match kind {
        1 => (1, 4),
        4 => (1, 16),
        3 => match bytes.get(1) {
            Some(length) => (2, usize::from(*length)),
            None => return Ok(None),
        },
        _ => return Err("a SOCKS address of an unknown kind"),
    };
    let end = start + length;
    let Some(host) = bytes.get(start..end) else { return Ok(None) };
    let Some(port) = bytes.get(end..end + 2).map(|b| u16::from_be_bytes([b[0], b[1]])) else {
        return Ok(None);
    };
    let ip = match *host {
        [a, b, c, d] if *kind == 1 => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        _ if *kind == 4 => {
            let mut octets = [0; 16];
            octets.copy_from_slice(host);
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => {
            let text = String::from_utf8_lossy(host);
            match text.parse::<IpAddr>() {
                Ok(ip) => ip,
                Err(_) if is_host_name(host) => {
                    return Ok(Some((Target::Name(text.into_owned(), port), end + 2)));
                }
                Err(_) => return Err("a SOCKS request for an impossible name"),
            }
        }
    };
    Ok(Some((Target::Address(SocketAddr::new(ip, port)), end + 2)))
}

/// What is in a datagram of a relay's client: where it shall go and what. None for fragments and
/// what cannot be read, which are dropped.
pub fn datagram(bytes: &[u8]) -> Option<(Target, &[u8])> {
    if bytes.get(..3)? != [0, 0, 0] {
        return None;
    }
    let (target, length) = address(&bytes[3..]).ok()??;
    Some((target, &bytes[3 + length..]))
}

/// The head of a datagram to a relay's client that came `from` somewhere.
pub fn datagram_head(from: SocketAddr) -> Vec<u8> {
    let mut out = vec![0, 0, 0];
    put(&mut out, from);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_conversation_leads_to_its_request_at_every_cut() {
        let login: &dyn Fn(&[u8], &[u8]) -> bool =
            &|user, password| user == b"ann" && password == b"secret";
        let talk =
            b"\x05\x02\x00\x02\x01\x03ann\x06secret\x05\x01\x00\x03\x0bexample.org\x00\x50rest";
        for cut in 0..talk.len() {
            let (mut stage, mut at) = (Stage::Greeting, 0);
            let ended = loop {
                match step(stage, &talk[at..cut], Some(login)) {
                    Step::Next { consumed, stage: next, .. } => (stage, at) = (next, at + consumed),
                    other => break other,
                }
            };
            if cut < talk.len() - 4 {
                assert_eq!(ended, Step::More, "{cut}");
            } else {
                let request = Request::Connect(Target::Name("example.org".into(), 80));
                assert_eq!(ended, Step::Whole { consumed: 18, request });
            }
        }
    }

    #[test]
    fn what_is_not_served_is_refused_with_its_code() {
        let refused = |stage, bytes: &[u8]| match step(stage, bytes, Some(&|_, _| false)) {
            Step::Bad { answer, .. } => answer,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(Stage::Greeting, b"\x04\x01"), b"");
        assert_eq!(refused(Stage::Greeting, b"\x05\x01\x00"), b"\x05\xff");
        assert_eq!(refused(Stage::Login, b"\x01\x01a\x01b"), b"\x01\x01");
        assert_eq!(
            refused(Stage::Request, b"\x05\x02\x00\x01\x7f\0\0\x01\0\x50")[1],
            code::COMMAND
        );
        assert_eq!(refused(Stage::Request, b"\x05\x01\x00\x09")[1], code::ADDRESS);
        assert_eq!(refused(Stage::Request, b"\x05\x01\x00\x03\x02a\n\0\x50")[1], code::ADDRESS);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_within_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..300), which in 0..3) {
            let stage = [Stage::Greeting, Stage::Login, Stage::Request][which as usize];
            match step(stage, &bytes, Some(&|_, _| true)) {
                Step::Next { consumed, .. } | Step::Whole { consumed, .. } => prop_assert!(consumed <= bytes.len()),
                Step::More => prop_assert!(bytes.len() < LONGEST),
                Step::Bad { .. } => {}
            }
            if let Some((_, rest)) = datagram(&bytes) { prop_assert!(rest.len() < bytes.len()); }
        }

        #[test]
        fn a_datagram_is_what_was_put_together(four in any::<[u8; 4]>(), port in any::<u16>(), body in any::<[u8; 9]>()) {
            let from = SocketAddr::from((four, port));
            let whole = [datagram_head(from), body.to_vec()].concat();
            prop_assert_eq!(datagram(&whole), Some((Target::Address(from), body.as_slice())));
        }
    }
}
