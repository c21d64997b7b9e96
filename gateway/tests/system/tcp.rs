//! Forwarding and balancing of TCP.

use crate::harness::{Gateway, Upstream, nobody, read_all, simple, wait_until};
use serde_json::json;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

fn hello(gateway: &Gateway) -> String {
    String::from_utf8(read_all(&gateway.connect("l")).unwrap()).unwrap()
}

#[test]
fn bytes_pass_both_ways_and_a_half_close_is_carried() {
    let echo = Upstream::new(|mut stream| {
        // Answers only when the client has said that it is done.
        let all = read_all(&stream).unwrap();
        stream.write_all(&all).unwrap();
    });
    let gateway = Gateway::start(&simple("", "", &[echo.address]));
    let mut client = gateway.connect("l");
    client.write_all(b"half").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&client).unwrap(), b"half");
    gateway.wait_for_reason("done");
    let listener = gateway.listener("l");
    assert_eq!(
        (&listener["bytes_in"], &listener["bytes_out"], &listener["active"]),
        (&json!(4), &json!(4), &json!(0))
    );
}

#[test]
fn much_passes_unchanged_through_splices_and_copies() {
    let echo = Upstream::echo();
    let gateway = Gateway::start(&simple("", "", &[echo.address]));
    let (count, step) = (64usize, 1 << 20);
    let piece =
        |n: usize| -> Vec<u8> { (0..step).map(|at| (at * 7 + at / 251 + n * 13) as u8).collect() };
    let clients: Vec<_> = (0..4).map(|_| gateway.connect("l")).collect();
    std::thread::scope(|scope| {
        for client in &clients {
            let mut writer = client.try_clone().unwrap();
            scope.spawn(move || {
                for n in 0..count {
                    // Of all sizes, so that both ways are gone.
                    let piece = piece(n);
                    let cut = if n % 2 == 0 { step } else { 1000 };
                    writer.write_all(&piece[..cut]).unwrap();
                }
                writer.shutdown(Shutdown::Write).unwrap();
            });
            scope.spawn(move || {
                let mut reader = client;
                for n in 0..count {
                    let mut got = vec![0; if n % 2 == 0 { step } else { 1000 }];
                    reader.read_exact(&mut got).unwrap();
                    assert!(got == piece(n)[..got.len()], "piece {n} differs");
                }
                assert_eq!(read_all(client).unwrap(), b"");
            });
        }
    });
    wait_until("all to be ended", || (gateway.status()["open"] == 0).then_some(()));
}

#[test]
fn an_upstream_that_refuses_costs_no_request_and_is_ejected() {
    let (bad, good) = (nobody(), Upstream::named("good"));
    let group = "passive = { failures = 3, eject = \"1h\" }";
    let gateway = Gateway::start(&simple("", group, &[bad, good.address]));
    for _ in 0..20 {
        assert_eq!(hello(&gateway), "good");
    }
    let state = gateway.upstream(bad);
    assert_eq!(state["state"], "ejected");
    assert!(state["failed"].as_u64().unwrap() <= 8, "{state}");
    // When nobody is left the client hears so at once.
    gateway.ask(&json!({ "request": "drain", "group": "g", "upstream": good.address }));
    assert!(read_all(&gateway.connect("l")).is_err());
    gateway.wait_for_reason("no upstream can be used");
}

#[test]
fn an_upstream_that_hangs_is_given_up_for_another() {
    // A queue of nothing that is full: the kernel answers no more.
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&hanging, 0).unwrap();
    let address = hanging.local_addr().unwrap();
    let mut fill = Vec::new();
    while let Ok(stream) =
        TcpStream::connect_timeout(&address, std::time::Duration::from_millis(200))
    {
        fill.push(stream);
        assert!(fill.len() < 100);
    }
    let good = Upstream::named("good");
    let gateway =
        Gateway::start(&simple("", "connect_timeout = \"100ms\"", &[address, good.address]));
    for _ in 0..4 {
        assert_eq!(hello(&gateway), "good");
    }
    assert!(gateway.upstream(address)["failed"].as_u64().unwrap() >= 1);
}

#[test]
fn how_long_upstreams_take_and_who_is_busiest_is_told() {
    let good = Upstream::named("good");
    let gateway = Gateway::start(&simple("", "", &[good.address]));
    for _ in 0..20 {
        assert_eq!(hello(&gateway), "good");
    }
    let told = wait_until("all are counted", || {
        let told = gateway.upstream(good.address);
        (told["first_byte"]["count"] == 20).then_some(told)
    });
    for of in ["connect", "first_byte"] {
        let (p50, p99) =
            (told[of]["p50_us"].as_u64().unwrap(), told[of]["p99_us"].as_u64().unwrap());
        assert!(p50 <= p99 && p99 < 5_000_000, "{told}");
    }
    let listener = wait_until("its bytes are counted", || {
        let listener = gateway.listener("l");
        (listener["active"] == 0).then_some(listener)
    });
    let talker = &listener["talkers"][0];
    assert_eq!((&talker["address"], &talker["connections"]), (&"127.0.0.1".into(), &20.into()));
    let moved = listener["bytes_in"].as_u64().unwrap() + listener["bytes_out"].as_u64().unwrap();
    assert_eq!(talker["bytes"], moved, "{listener}");
}

#[test]
fn weights_and_drains_change_while_it_runs() {
    let (a, b) = (Upstream::named("a"), Upstream::named("b"));
    let gateway = Gateway::start(
        &simple("", "", &[a.address, b.address]).replace("workers = 2", "workers = 1"),
    );
    let count = |n: usize| {
        let mut got: HashMap<String, usize> = HashMap::new();
        (0..n).for_each(|_| *got.entry(hello(&gateway)).or_default() += 1);
        (got.get("a").copied().unwrap_or(0), got.get("b").copied().unwrap_or(0))
    };
    assert_eq!(count(20), (10, 10));
    gateway.ask(&json!({ "request": "weight", "group": "g", "upstream": b.address, "weight": 9 }));
    let (few, many) = count(40);
    assert!((2..=6).contains(&few) && many == 40 - few, "{few} {many}");
    gateway.ask(&json!({ "request": "drain", "group": "g", "upstream": b.address }));
    assert_eq!(count(10), (10, 0));
    gateway.ask(&json!({ "request": "drain", "group": "g", "upstream": b.address, "off": true }));
    assert!(count(20).1 > 10);
}

#[test]
fn a_drained_upstreams_connections_end_at_the_deadline_and_not_before() {
    let echo = Upstream::echo();
    let gateway = Gateway::start(&simple("", "", &[echo.address]));
    let mut client = gateway.connect("l");
    let mut byte = [0];
    client.write_all(b"a").unwrap();
    client.read_exact(&mut byte).unwrap();
    gateway
        .ask(&json!({ "request": "drain", "group": "g", "upstream": echo.address, "seconds": 1 }));
    client.write_all(b"b").unwrap();
    client.read_exact(&mut byte).unwrap();
    assert_eq!(read_all(&client).unwrap_or_default(), b"");
    gateway.wait_for_reason("the upstream's time to drain ran out");
}

#[test]
fn who_finds_every_upstream_full_waits_in_a_bounded_queue() {
    let echo = Upstream::echo();
    let config = simple("", "queue = 1\nqueue_timeout = \"10s\"", &[echo.address])
        .replace("\" }]", "\", max_connections = 1 }]");
    let gateway = Gateway::start(&config);
    let mut byte = [0];
    let mut first = gateway.connect("l");
    first.write_all(b"1").unwrap();
    first.read_exact(&mut byte).unwrap();
    let mut second = gateway.connect("l");
    wait_until("the queue", || (gateway.status()["groups"][0]["waiting"] == 1).then_some(()));
    assert!(read_all(&gateway.connect("l")).is_err());
    gateway.wait_for_reason("every upstream is full, and so is the queue");
    second.write_all(b"2").unwrap();
    drop(first);
    second.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"2");
    assert_eq!(gateway.status()["groups"][0]["waiting"], 0);
}

#[test]
fn who_connected_is_told_by_both_versions_of_the_proxy_protocol() {
    for version in ["v1", "v2"] {
        let inner = Upstream::echo();
        let behind = Gateway::start(&simple(
            "accept_proxy = true",
            &format!("send_proxy = \"{version}\""),
            &[inner.address],
        ));
        let front = Gateway::start(&simple(
            "",
            &format!("send_proxy = \"{version}\""),
            &[behind.address("l")],
        ));
        let mut client = front.connect("l");
        client.write_all(b"x").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let head = read_all(&client).unwrap();
        let cmdr_gateway::decode::Read::Whole(read) = cmdr_gateway::decode::proxy::read(&head)
        else {
            panic!("{head:?}")
        };
        // The outermost client, where it came to, and its byte behind.
        let told: (SocketAddr, SocketAddr) = (client.local_addr().unwrap(), front.address("l"));
        assert_eq!((read.from_to, &head[read.length..]), (Some(told), b"x".as_slice()));
    }
}

#[test]
fn names_in_tls_hellos_lead_to_their_groups() {
    let (a, b, rest) = (Upstream::named("a"), Upstream::named("b"), Upstream::named("rest"));
    let mut config = simple(
        "mode = \"sni\"\nsni = { \"a.test\" = \"a\", \"*.b.test\" = \"b\" }",
        "",
        &[rest.address],
    );
    for (name, upstream) in [("a", &a), ("b", &b)] {
        writeln!(
            config,
            "[[group]]\nname = \"{name}\"\nupstream = [{{ address = \"{}\" }}]",
            upstream.address
        )
        .unwrap();
    }
    let gateway = Gateway::start(&config);
    for (name, expected) in [("A.test", "a"), ("x.b.test", "b"), ("b.test", "rest"), ("", "rest")] {
        let mut client = gateway.connect("l");
        client.set_nodelay(true).unwrap();
        let hello = cmdr_gateway::decode::sni::hello(name, 30);
        for part in hello.chunks(17) {
            client.write_all(part).unwrap();
        }
        let mut got = vec![0; expected.len()];
        client.read_exact(&mut got).unwrap();
        assert_eq!(String::from_utf8(got).unwrap(), expected, "{name}");
    }
    let mut client = gateway.connect("l");
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(read_all(&client).unwrap_or_default(), b"");
    gateway.wait_for_reason("no TLS handshake");
}
