//! Datagrams.

use crate::harness::{Gateway, simple, wait_until};
use serde_json::json;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

struct Echo {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Echo {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let (address, stop) = (socket.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            while !stopped.load(Relaxed) {
                if let Ok((n, from)) = socket.recv_from(&mut buffer) {
                    socket.send_to(&buffer[..n], from).ok();
                }
            }
        });
        Self { address, stop }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

fn client(gateway: &Gateway) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.connect(gateway.address("l")).unwrap();
    socket
}

#[test]
fn datagrams_of_every_size_come_back_to_their_own_client() {
    let echo = Echo::new();
    let gateway = Gateway::start(&simple("transport = \"udp\"", "", &[echo.address]));
    let clients: Vec<UdpSocket> = (0..20).map(|_| client(&gateway)).collect();
    let mut buffer = vec![0; 65536];
    for size in [0, 1, 200, 1400, 10_240, 60_000] {
        for (n, client) in clients.iter().enumerate() {
            let sent = vec![n as u8; size];
            client.send(&sent).unwrap();
            let got = client.recv(&mut buffer).unwrap();
            assert!(buffer[..got] == sent, "{size}");
        }
    }
    assert_eq!(gateway.listener("l")["active"], 20);
    assert_eq!(gateway.upstream(echo.address)["active"], 20);
}

#[test]
fn flows_end_when_they_are_silent_and_are_bounded() {
    let echo = Echo::new();
    let gateway = Gateway::start(&simple(
        "transport = \"udp\"\nidle_timeout = \"300ms\"\nmax_connections = 2",
        "",
        &[echo.address],
    ));
    let clients: Vec<UdpSocket> = (0..3).map(|_| client(&gateway)).collect();
    for client in &clients {
        client.send(b"x").unwrap();
    }
    wait_until("one to be dropped", || (gateway.listener("l")["dropped"] == 1).then_some(()));
    wait_until("flows to end", || (gateway.listener("l")["active"] == 0).then_some(()));
    gateway.wait_for_reason("idle for too long");
    assert_eq!(gateway.upstream(echo.address)["active"], 0);
    clients[2].send(b"y").unwrap();
    let mut byte = [0];
    assert_eq!(clients[2].recv(&mut byte).unwrap(), 1);
}

#[test]
fn an_upstream_where_nobody_listens_is_left_for_another() {
    let echo = Echo::new();
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let group = "passive = { failures = 1, eject = \"1h\" }";
    let gateway = Gateway::start(&simple("transport = \"udp\"", group, &[gone, echo.address]));
    let client = client(&gateway);
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut byte = [0];
    wait_until("an answer", || {
        client.send(b"x").unwrap();
        client.recv(&mut byte).ok()
    });
    gateway.ask(&json!({ "request": "status" }));
}

#[test]
fn fifty_thousand_a_second_pass_without_loss() {
    let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&sink, 8 << 20)
        .or_else(|_| rustix::net::sockopt::set_socket_recv_buffer_size(&sink, 8 << 20))
        .unwrap();
    sink.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let gateway = Gateway::start(&simple("transport = \"udp\"", "", &[sink.local_addr().unwrap()]));
    let client = client(&gateway);
    let count = 20_000;
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut buffer = [0; 300];
            (0..count).take_while(|_| sink.recv(&mut buffer).is_ok()).count()
        });
        let start = std::time::Instant::now();
        for n in 0..count {
            while start.elapsed().as_micros() < n * 20 {
                std::hint::spin_loop();
            }
            client.send(&[1; 200]).unwrap();
        }
        assert_eq!(reader.join().unwrap() as u128, count);
    });
    assert_eq!(gateway.listener("l")["dropped"], 0);
}
