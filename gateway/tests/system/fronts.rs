//! Forward front ends: SOCKS5 and HTTP proxy, with curl as their client.

use crate::harness::{Gateway, Upstream, nobody, read_all};
use std::io::{Read as _, Write as _};
use std::process::Command;

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
