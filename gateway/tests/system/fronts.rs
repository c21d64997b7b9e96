//! Forward front ends: SOCKS5 and HTTP proxy, with curl as their client.

use crate::harness::{Gateway, Upstream, nobody, read_all, wait_until};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

fn web() -> Upstream {
    Upstream::new(|mut stream| {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
            head.push(byte[0]);
        }
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            head.len()
        );
        stream.write_all(&[text.as_bytes(), &head].concat()).ok();
    })
}

fn front(mode: &str, rest: &str) -> Gateway {
    Gateway::start(&format!(
        "workers = 1\n[[listener]]\nname = \"l\"\naddress = \"127.0.0.1:0\"\nmode = \"{mode}\"\n{rest}\n"
    ))
}

const ALL: &str = "targets = [\"127.0.0.0/8\", \"::1\"]";

fn curl(proxy: &str, words: &[&str], address: &str) -> (Option<i32>, String) {
    let output = Command::new("curl")
        .args(["-s", "-m", "15", "-x", proxy])
        .args(words)
        .arg(format!("http://{address}/way"))
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn curl_goes_through_socks_by_address_and_by_name_with_a_password() {
    let web = web();
    let gateway = front("socks5", &format!("{ALL}\nusers = {{ ann = \"secret\" }}"));
    let proxy = gateway.address("l");
    let (code, body) = curl(&format!("socks5://ann:secret@{proxy}"), &[], &web.address.to_string());
    assert!(code == Some(0) && body.starts_with("GET /way"), "{code:?} {body}");
    let (code, _) = curl(
        &format!("socks5h://ann:secret@{proxy}"),
        &[],
        &format!("localhost:{}", web.address.port()),
    );
    assert_eq!(code, Some(0), "{:?}", gateway.reasons());
    let (code, _) = curl(&format!("socks5://ann:wrong@{proxy}"), &[], &web.address.to_string());
    assert_eq!(code, Some(97));
    gateway.wait_for_reason("a wrong user or password");
    let (code, _) = curl(&format!("socks5://ann:secret@{proxy}"), &[], &nobody().to_string());
    assert_eq!(code, Some(97));
    let (code, _) = curl(&format!("socks5://ann:secret@{proxy}"), &[], "192.0.2.1:80");
    assert_eq!(code, Some(97));
    gateway.wait_for_reason("the client may not go there");
}

#[test]
fn curl_goes_through_the_http_proxy_by_tunnel_and_by_absolute_form() {
    let web = web();
    let gateway = front("http-proxy", &format!("{ALL}\nusers = {{ ann = \"secret\" }}"));
    let proxy = format!("http://ann:secret@{}", gateway.address("l"));
    let address = web.address.to_string();
    let (code, body) = curl(&proxy, &[], &address);
    assert!(code == Some(0) && body.starts_with("GET /way HTTP/1.1\r\n"), "{code:?} {body}");
    assert!(!body.to_lowercase().contains("proxy-"), "{body}");
    let (code, body) = curl(&proxy, &["-p"], &address);
    assert!(code == Some(0) && body.starts_with("GET /way"), "{code:?} {body}");
    let status = ["-o", "/dev/null", "-w", "%{http_code}"];
    let bare = format!("http://{}", gateway.address("l"));
    assert_eq!(curl(&bare, &status, &address).1, "407");
    assert_eq!(curl(&proxy, &status, "192.0.2.1").1, "403");
    assert_eq!(curl(&proxy, &status, &nobody().to_string()).1, "502");
}

#[test]
fn malformed_requests_to_front_ends_are_answered_and_ended() {
    let socks = front("socks5", ALL);
    let mut client = socks.connect("l");
    client.write_all(b"\x04\x01").unwrap();
    assert_eq!(read_all(&client).unwrap_or_default(), b"");
    socks.wait_for_reason("not SOCKS5");
    let http = front("http-proxy", ALL);
    let mut client = http.connect("l");
    client.write_all(b"NONSENSE\r\n\r\n").unwrap();
    let answer = read_all(&client).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{answer:?}");
}

/// A SOCKS5 client that has a relay: the connection that it lives by, its socket, and where to send to.
fn associate(gateway: &Gateway) -> (TcpStream, UdpSocket, SocketAddr) {
    let mut stream = gateway.connect("l");
    stream.write_all(b"\x05\x01\x00\x05\x03\x00\x01\0\0\0\0\0\0").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..7], [5, 0, 5, 0, 0, 1, 127]);
    let relay = SocketAddr::from(([127, 0, 0, 1], u16::from_be_bytes([answer[10], answer[11]])));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (stream, socket, relay)
}

fn wrapped(to: SocketAddr, content: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 1, 127, 0, 0, 1][..], &to.port().to_be_bytes(), content].concat()
}

/// Sends back what comes, and to whom it is told as well.
fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let at = socket.local_addr().unwrap();
    // Ends with the test's process.
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..n], from).ok();
        }
    });
    at
}

#[test]
fn datagrams_over_socks_go_where_the_client_says_and_come_back_with_where_they_are_from() {
    let (echo, gateway) = (echo(), front("socks5", &format!("{ALL}\nudp = true")));
    let (stream, socket, relay) = associate(&gateway);
    let mut buffer = vec![0; 65_536];
    for size in [0, 1, 1400, 30_000] {
        let content = vec![7; size];
        socket.send_to(&wrapped(echo, &content), relay).unwrap();
        let (n, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!(from, relay);
        assert!(buffer[..n] == wrapped(echo, &content), "{size}");
    }
    let named = [&b"\0\0\0\x03\x09localhost"[..], &echo.port().to_be_bytes(), b"by name"].concat();
    socket.send_to(&named, relay).unwrap();
    let (n, _) = socket.recv_from(&mut buffer).unwrap();
    assert!(buffer[..n].ends_with(b"by name"));
    let listener = gateway.listener("l");
    assert_eq!((&listener["active"], &listener["failed"]), (&1.into(), &0.into()));
    // It is over with the connection.
    let files = gateway.files();
    drop(stream);
    wait_until("the relay ends", || (gateway.status()["open"] == 0).then_some(()));
    assert!(gateway.files() <= files - 3, "its sockets are closed");
    gateway.wait_for_reason("done");
}

#[test]
fn a_relay_serves_its_own_client_alone_and_leads_nowhere_that_is_not_allowed() {
    let (echo, other) = (echo(), echo());
    let targets = format!("targets = [\"127.0.0.0/8:{}\"]\nudp = true", echo.port());
    let gateway = front("socks5", &targets);
    let (_stream, socket, relay) = associate(&gateway);
    let mut buffer = [0; 2048];
    socket.send_to(&wrapped(echo, b"mine"), relay).unwrap();
    let (n, _) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(buffer[..n], wrapped(echo, b"mine"));
    // Another port is another client, a fragment is none, and nonsense neither.
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(&wrapped(echo, b"not mine"), relay).unwrap();
    let mut fragment = wrapped(echo, b"half");
    fragment[2] = 1;
    socket.send_to(&fragment, relay).unwrap();
    socket.send_to(b"x", relay).unwrap();
    wait_until("these are dropped", || (gateway.listener("l")["dropped"] == 3).then_some(()));
    socket.send_to(&wrapped(other, b"not there"), relay).unwrap();
    wait_until("that is refused", || (gateway.listener("l")["refused"] == 1).then_some(()));
    socket.send_to(&wrapped(echo, b"again"), relay).unwrap();
    let (n, _) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(buffer[..n], wrapped(echo, b"again"), "nothing came in between");
}

#[test]
fn without_a_word_of_its_configuration_datagrams_are_not_relayed() {
    let gateway = front("socks5", ALL);
    let mut stream = gateway.connect("l");
    stream.write_all(b"\x05\x01\x00\x05\x03\x00\x01\0\0\0\0\0\0").unwrap();
    let answer = read_all(&stream).unwrap();
    assert_eq!(answer[..4], [5, 0, 5, 7]);
    gateway.wait_for_reason("datagrams over SOCKS are not relayed");
}
