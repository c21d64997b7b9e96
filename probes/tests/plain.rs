//! Ports and echoes.

use crate::lent::look;
use crate::servers::{endless, free, hold, odd, sshd};
use cmdr_protocol::probes::Verdict;

fn tcp(at: std::net::SocketAddr, more: &str) -> String {
    format!("timeout: 2s\ntcp: {{ host: '{}', port: {}{more} }}\n", at.ip(), at.port())
}

#[tokio::test]
async fn sshd_says_what_it_is_and_a_port_without_it_refuses() {
    let sshd = sshd();
    let seen = look(&tcp(sshd.at, ", expect: SSH-2.0-")).await;
    assert_eq!(seen.verdict, Verdict::Up, "{}", seen.why);
    assert!(seen.phases.connect_us.is_some() && seen.phases.first_us.is_some());
    let seen = look(&tcp(sshd.at, ", expect: 'SSH-1'")).await;
    assert_eq!(seen.verdict, Verdict::Down);
    let seen = look(&tcp(free(), "")).await;
    assert_eq!(seen.verdict, Verdict::Down);
    assert!(seen.why.contains("refused"), "{}", seen.why);
}

#[tokio::test]
async fn what_is_sent_is_answered_with_what_is_expected() {
    use std::io::{Read as _, Write as _};
    let at = odd(|mut stream| {
        let mut said = [0; 4];
        stream.read_exact(&mut said).unwrap();
        stream.write_all(if said == *b"ping" { b"pong" } else { b"what" }).unwrap();
        hold(stream);
    });
    assert_eq!(look(&tcp(at, ", send: ping, expect: pong")).await.verdict, Verdict::Up);
    let seen = look(&tcp(at, ", send: pang, expect: pong")).await;
    assert_eq!(seen.verdict, Verdict::Down);
    assert!(seen.why.starts_with("waiting for 'pong'"), "{}", seen.why);
}

#[tokio::test]
async fn an_end_that_resets_or_talks_without_end_is_down() {
    use std::io::Read as _;
    let at = odd(|mut stream| {
        let mut one = [0];
        stream.read_exact(&mut one).ok();
        // Closed with something unread: the system resets the connection.
        drop(stream);
    });
    let seen = look(&tcp(at, ", send: 'much more than one byte', expect: x")).await;
    assert_eq!(seen.verdict, Verdict::Down, "{}", seen.why);
    let at = odd(|stream| endless(stream, "", &[0x1b; 4096]));
    let seen = look(&tcp(at, ", expect: x")).await;
    assert!(seen.why.contains("in its first 64 KiB"), "{}", seen.why);
    assert!(!seen.why.contains('\u{1b}'));
}

#[tokio::test]
async fn echoes_of_this_machine_come_back_over_both_protocols() {
    for host in ["127.0.0.1", "::1", "localhost"] {
        let seen = look(&format!("timeout: 3s\nicmp: {{ host: '{host}' }}\n")).await;
        assert_eq!(seen.verdict, Verdict::Up, "{host}: {}", seen.why);
        assert!(seen.phases.first_us.is_some());
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_sent_to_is_down() {
    // The address of everybody: the system refuses it, and no packet leaves the machine.
    let seen = look("timeout: 700ms\nicmp: { host: 255.255.255.255, count: 2 }\n").await;
    assert_eq!(seen.verdict, Verdict::Down, "{}", seen.why);
}

#[tokio::test]
async fn a_name_that_is_none_is_down_in_words() {
    let seen = look("timeout: 5s\ntcp: { host: no-such-name.invalid, port: 80 }\n").await;
    assert_eq!(seen.verdict, Verdict::Down);
    assert!(seen.why.starts_with("looking up no-such-name.invalid"), "{}", seen.why);
}
