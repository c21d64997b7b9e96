//! Requests to an HTTP proxy: CONNECT, and the absolute form, which is rewritten to what the origin
//! expects. One request a connection: `Connection: close` goes to the origin, because the next one on
//! the same connection could be for another host. Called by the event loop of `http-proxy` listeners.

use super::{Read, Target, is_host_name};
use std::net::IpAddr;

/// Longest head of a request.
pub const LONGEST: usize = 16 * 1024;
const MOST_FIELDS: usize = 96;

/// A request whose head is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub target: Target,
    /// Bytes of the head as it came.
    pub consumed: usize,
    /// The head for the origin; none for CONNECT, which is answered here.
    pub head: Option<Vec<u8>>,
    /// The value of `Proxy-Authorization`, as it came.
    pub login: Option<Vec<u8>>,
}

/// What is answered when a tunnel stands.
pub const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// A short answer that ends the connection. `reason` is text of ours.
pub fn refusal(status: u16, reason: &str) -> Vec<u8> {
    let extra = if status == 407 { "Proxy-Authenticate: Basic realm=\"gateway\"\r\n" } else { "" };
    let length = reason.len() + 1;
    format!("HTTP/1.1 {status} {reason}\r\n{extra}Content-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{reason}\n").into_bytes()
}

/// Reads the head of a request at the head of `bytes`.
pub fn read(bytes: &[u8]) -> Read<Request> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let consumed = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= LONGEST => length,
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST => return Read::More,
        Ok(_) => return Read::Bad("the head of an HTTP request is too long"),
        Err(_) => return Read::Bad("an HTTP request that cannot be read"),
    };
    let (Some(method), Some(path), Some(version)) = (request.method, request.path, request.version)
    else {
        return Read::Bad("an HTTP request that cannot be read");
    };
    let login = request.headers.iter().find(|h| h.name.eq_ignore_ascii_case("proxy-authorization"));
    let login = login.map(|h| h.value.to_vec());
    if method == "CONNECT" {
        return match authority(path, None) {
            Some(target) => Read::Whole(Request { target, consumed, head: None, login }),
            None => Read::Bad("CONNECT to what is no host and port"),
        };
    }
    let scheme = path.get(..7).filter(|s| s.eq_ignore_ascii_case("http://"));
    let Some(rest) = scheme.and_then(|_| path.get(7..)) else {
        return Read::Bad("an HTTP request for something else than http://");
    };
    let (host, way) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let Some(target) = authority(host, Some(80)) else {
        return Read::Bad("an HTTP request for what is no host");
    };
    let mut head = Vec::with_capacity(consumed);
    let slash = if way.starts_with('/') { "" } else { "/" };
    head.extend(format!("{method} {slash}{way} HTTP/1.{version}\r\nHost: {host}\r\n").into_bytes());
    for field in request.headers.iter() {
        let dropped =
            ["host", "connection", "keep-alive"].iter().any(|n| field.name.eq_ignore_ascii_case(n));
        let proxy = field.name.get(..6).is_some_and(|n| n.eq_ignore_ascii_case("proxy-"));
        if !dropped && !proxy {
            head.extend([field.name.as_bytes(), b": ", field.value, b"\r\n"].concat());
        }
    }
    head.extend(b"Connection: close\r\n\r\n");
    Read::Whole(Request { target, consumed, head: Some(head), login })
}

fn authority(text: &str, usual: Option<u16>) -> Option<Target> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            (host, Some(port.parse().ok().filter(|_| digits)?))
        }
        _ => (text, usual),
    };
    let port = port.filter(|p| *p != 0)?;
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(host).parse::<IpAddr>() {
        return (ip.is_ipv6() == bare.is_some()).then(|| Target::Address((ip, port).into()));
    }
    is_host_name(host.as_bytes()).then(|| Target::Name(host.to_owned(), port))
}

/// Whether a value of `Proxy-Authorization` is of a user that `may` come in.
pub fn allowed(login: Option<&[u8]>, may: super::May<'_>) -> bool {
    let Some((kind, code)) = login.and_then(|l| l.split_at_checked(6)) else { return false };
    let Ok(words) = data_encoding::BASE64.decode(code.trim_ascii()) else { return false };
    let Some(at) = words.iter().position(|b| *b == b':') else { return false };
    kind.eq_ignore_ascii_case(b"basic ") && may(&words[..at], &words[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn connect_names_its_target_and_the_absolute_form_is_rewritten() {
        let connect = b"CONNECT [::1]:443 HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic YW5uOnM6dA==\r\n\r\nTLS";
        for cut in 0..connect.len() - 3 {
            assert_eq!(read(&connect[..cut]), Read::More, "{cut}");
        }
        let Read::Whole(request) = read(connect) else { panic!() };
        assert_eq!(request.target, Target::Address("[::1]:443".parse().unwrap()));
        assert_eq!((request.consumed, &request.head), (connect.len() - 3, &None));
        assert!(allowed(request.login.as_deref(), &|user, password| user == b"ann"
            && password == b"s:t"));
        assert!(!allowed(request.login.as_deref(), &|_, _| false));
        assert!(!allowed(None, &|_, _| true));

        let get = b"GET http://example.org:8080?q HTTP/1.1\r\nHost: other\r\nConnection: keep-alive\r\nProxy-Authorization: Basic x\r\nA: b\r\n\r\n";
        let Read::Whole(request) = read(get) else { panic!() };
        assert_eq!(request.target, Target::Name("example.org".into(), 8080));
        let head = String::from_utf8(request.head.unwrap()).unwrap();
        assert_eq!(
            head,
            "GET /?q HTTP/1.1\r\nHost: example.org:8080\r\nA: b\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn malformed_requests_are_refused() {
        let long = [b"GET http://a/ HTTP/1.1\r\nA: ".as_slice(), &[b'x'; LONGEST]].concat();
        for bytes in [
            b"\x16\x03\x01".as_slice(),
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET https://a/ HTTP/1.1\r\n\r\n",
            b"GET http:// HTTP/1.1\r\n\r\n",
            b"GET http://user:pw@a/ HTTP/1.1\r\n\r\n",
            b"CONNECT example.org HTTP/1.1\r\n\r\n",
            b"CONNECT example.org:0 HTTP/1.1\r\n\r\n",
            b"CONNECT ::1:443 HTTP/1.1\r\n\r\n",
            &long,
        ] {
            assert!(matches!(read(bytes), Read::Bad(_)), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_within_bounds(bytes in "(GET http://|CONNECT )[ -~\r\n]{0,200}") {
            if let Read::Whole(request) = read(bytes.as_bytes()) {
                prop_assert!(request.consumed <= bytes.len());
            }
        }
    }
}
