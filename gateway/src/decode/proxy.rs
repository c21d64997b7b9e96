//! PROXY protocol headers, versions 1 and 2, in both directions: read by the event loop at the head
//! of a connection, written by it ahead of the client's bytes. The source is the specification of
//! HAProxy's "PROXY protocol" (versions 1 and 2).

use super::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Begins each header of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Longest line of version 1, line end included.
const LONGEST_LINE: usize = 107;
/// Longest body of version 2 that is taken: addresses and a good deal of extensions.
const LONGEST_BODY: usize = 4096;

/// Which version is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    V1,
    V2,
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Who connected to whom; none when the sender speaks for itself (`LOCAL`, `UNKNOWN`).
    pub from_to: Option<(SocketAddr, SocketAddr)>,
    /// Bytes that the header takes.
    pub length: usize,
}

/// Reads a header of either version at the head of `bytes`.
pub fn read(bytes: &[u8]) -> Read<Header> {
    if bytes.is_empty() {
        return Read::More;
    }
    if bytes.len() < SIGNATURE.len() && SIGNATURE.starts_with(bytes) {
        return Read::More;
    }
    if bytes.starts_with(&SIGNATURE) {
        return second(bytes);
    }
    let start = b"PROXY ";
    let shared = bytes.len().min(start.len());
    if bytes[..shared] != start[..shared] {
        return Read::Bad("no PROXY header where one is required");
    }
    first(bytes)
}

fn first(bytes: &[u8]) -> Read<Header> {
    let Some(end) = bytes.iter().take(LONGEST_LINE).position(|b| *b == b'\n') else {
        return if bytes.len() >= LONGEST_LINE {
            Read::Bad("a PROXY line without an end")
        } else {
            Read::More
        };
    };
    let bad = Read::Bad("a PROXY line that cannot be read");
    let Some(line) = end.checked_sub(1).filter(|at| bytes[*at] == b'\r').map(|at| &bytes[..at])
    else {
        return Read::Bad("a PROXY line that does not end with CR LF");
    };
    let Ok(line) = std::str::from_utf8(line) else { return bad };
    let length = end + 1;
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Read::Whole(Header { from_to: None, length }),
        ["PROXY", family @ ("TCP4" | "TCP6"), from, to, from_port, to_port] => {
            let end = |ip: &str, port: &str| -> Option<SocketAddr> {
                let ip: IpAddr = ip.parse().ok()?;
                let digits = port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
                let port = port.parse().ok().filter(|_| digits)?;
                (ip.is_ipv4() == (*family == "TCP4")).then(|| SocketAddr::new(ip, port))
            };
            match (end(from, from_port), end(to, to_port)) {
                (Some(from), Some(to)) => Read::Whole(Header { from_to: Some((from, to)), length }),
                _ => bad,
            }
        }
        _ => bad,
    }
}

fn second(bytes: &[u8]) -> Read<Header> {
    let Some([kind, family, high, low]) = bytes.get(12..16).map(|b| [b[0], b[1], b[2], b[3]])
    else {
        return match bytes.get(12) {
            Some(kind) if kind >> 4 != 2 => Read::Bad("a PROXY header of an unknown version"),
            _ => Read::More,
        };
    };
    if kind >> 4 != 2 || kind & 0xf > 1 {
        return Read::Bad("a PROXY header of an unknown version or command");
    }
    let body = usize::from(u16::from_be_bytes([high, low]));
    if body > LONGEST_BODY {
        return Read::Bad("a PROXY header with more extensions than are taken");
    }
    let Some(body) = bytes.get(16..16 + body) else { return Read::More };
    let length = 16 + body.len();
    let command = kind & 0xf;
    if command == 0 {
        return Read::Whole(Header { from_to: None, length });
    }
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let from_to = match (family >> 4, body.len()) {
        (1, 12..) => {
            let ip = |at: usize| Ipv4Addr::new(body[at], body[at + 1], body[at + 2], body[at + 3]);
            Some((SocketAddr::from((ip(0), port(8))), SocketAddr::from((ip(4), port(10)))))
        }
        (2, 36..) => {
            let ip = |at: usize| {
                let mut octets = [0; 16];
                octets.copy_from_slice(&body[at..at + 16]);
                Ipv6Addr::from(octets)
            };
            Some((SocketAddr::from((ip(0), port(32))), SocketAddr::from((ip(16), port(34)))))
        }
        (1 | 2, _) => return Read::Bad("a PROXY header too short for its addresses"),
        // Unspecified and UNIX addresses say nothing that is of use here.
        _ => None,
    };
    Read::Whole(Header { from_to, length })
}

/// The header for a connection `from` a client `to` a listener. Addresses of both families are
/// written as IPv6, those of IPv4 mapped into it.
pub fn write(version: Version, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mapped = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let four = match (from.ip().to_canonical(), to.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Some((from, to)),
        _ => None,
    };
    let (from_ip, to_ip) = (mapped(from.ip()), mapped(to.ip()));
    let (from_port, to_port) = (from.port(), to.port());
    match (version, four) {
        (Version::V1, Some((from, to))) => {
            format!("PROXY TCP4 {from} {to} {from_port} {to_port}\r\n").into_bytes()
        }
        (Version::V1, None) => {
            format!("PROXY TCP6 {from_ip} {to_ip} {from_port} {to_port}\r\n").into_bytes()
        }
        (Version::V2, four) => {
            let mut out = SIGNATURE.to_vec();
            if let Some((from, to)) = four {
                out.extend([0x21, 0x11, 0, 12]);
                out.extend(from.octets().into_iter().chain(to.octets()));
            } else {
                out.extend([0x21, 0x21, 0, 36]);
                out.extend(from_ip.octets().into_iter().chain(to_ip.octets()));
            }
            out.extend(from_port.to_be_bytes().into_iter().chain(to_port.to_be_bytes()));
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pair() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
        let four = (any::<[u8; 4]>(), any::<u16>(), any::<[u8; 4]>(), any::<u16>())
            .prop_map(|(a, p, b, q)| (SocketAddr::from((a, p)), SocketAddr::from((b, q))));
        let six = (any::<[u8; 16]>(), any::<u16>(), any::<[u8; 16]>(), any::<u16>())
            .prop_map(|(a, p, b, q)| (SocketAddr::from((a, p)), SocketAddr::from((b, q))))
            .prop_filter("not mapped", |(a, b)| {
                a.ip().to_canonical() == a.ip() && b.ip().to_canonical() == b.ip()
            });
        prop_oneof![four, six]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_at_every_cut((from, to) in pair(), two in any::<bool>(), tail in any::<[u8; 3]>()) {
            let version = if two { Version::V2 } else { Version::V1 };
            let mut bytes = write(version, from, to);
            let length = bytes.len();
            for cut in 0..length {
                prop_assert_eq!(read(&bytes[..cut]), Read::More, "{}", cut);
            }
            bytes.extend(tail);
            prop_assert_eq!(read(&bytes), Read::Whole(Header { from_to: Some((from, to)), length }));
        }

        #[test]
        fn any_bytes_are_read_within_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..200), two in any::<bool>()) {
            let mut whole = if two { SIGNATURE.to_vec() } else { b"PROXY ".to_vec() };
            whole.extend(bytes);
            if let Read::Whole(header) = read(&whole) {
                prop_assert!(header.length <= whole.len());
            }
        }
    }

    #[test]
    fn malformed_headers_are_refused() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 120]].concat();
        let unknown_version = [SIGNATURE.as_slice(), &[0x31, 0x11, 0, 0]].concat();
        let short = [SIGNATURE.as_slice(), &[0x21, 0x11, 0, 4, 1, 2, 3, 4]].concat();
        for bytes in [
            b"GET / HTTP/1.1\r\n".as_slice(),
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
            b"PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n",
            b"PROXY \xff\r\n",
            &long,
            &unknown_version,
            &short,
        ] {
            assert!(matches!(read(bytes), Read::Bad(_)), "{bytes:?}");
        }
        let local = [SIGNATURE.as_slice(), &[0x20, 0, 0, 0]].concat();
        assert_eq!(read(&local), Read::Whole(Header { from_to: None, length: 16 }));
        assert_eq!(read(b"PROXY UNKNOWN\r\n"), Read::Whole(Header { from_to: None, length: 15 }));
    }
}
