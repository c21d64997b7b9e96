//! Networks that lose packets, and one that goes away for a while: the gateway stands in a network namespace that the test makes,
//! its clients and upstreams on this side of the wire.

use crate::harness::{Gateway, Upstream, wait_until};
use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// A namespace with a wire to it.
struct Net {
    name: String,
    ours: Ipv4Addr,
    its: Ipv4Addr,
}

fn run(words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Net {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, n) = (std::process::id(), COUNT.fetch_add(1, Relaxed));
        let own = pid.wrapping_mul(61).wrapping_add(n);
        let (high, low) = ((own / 64 % 256) as u8, (own % 64 * 4) as u8);
        let net = Self {
            name: format!("cmdrgw{own:x}"),
            ours: Ipv4Addr::new(10, 213, high, low + 1),
            its: Ipv4Addr::new(10, 213, high, low + 2),
        };
        let (here, there) = (format!("g{own:x}a"), format!("g{own:x}b"));
        run(&["ip", "netns", "add", &net.name]);
        run(&[
            "ip", "link", "add", &here, "type", "veth", "peer", "name", &there, "netns", &net.name,
        ]);
        run(&["ip", "addr", "add", &format!("{}/30", net.ours), "dev", &here]);
        run(&["ip", "link", "set", &here, "up"]);
        let its = format!("{}/30", net.its);
        net.inside(&["ip", "addr", "add", &its, "dev", &there]);
        net.inside(&["ip", "link", "set", &there, "up"]);
        net
    }

    fn inside(&self, words: &[&str]) {
        run(&[&["ip", "netns", "exec", &self.name], words].concat());
    }

    /// Of what comes to the gateway, this share is lost.
    fn loses(&self, share: &str) {
        let statistic = ["-m", "statistic", "--mode", "random", "--probability", share];
        self.inside(&[&["iptables", "-A", "INPUT"], &statistic[..], &["-j", "DROP"]].concat());
    }

    /// The wire is there, or not.
    fn wire(&self, state: &str) {
        let own = self.name.strip_prefix("cmdrgw").unwrap();
        self.inside(&["ip", "link", "set", &format!("g{own}b"), state]);
    }

    fn gateway(&self, transport: &str, group: &str, upstream: SocketAddr) -> Gateway {
        let config = format!(
            "workers = 2\n[[listener]]\nname = \"l\"\naddress = \"{}:7000\"\ntransport = \"{transport}\"\ngroup = \"g\"\n\
             [[group]]\nname = \"g\"\n{group}\nupstream = [{{ address = \"{upstream}\" }}]\n",
            self.its
        );
        Gateway::start_with(&config, &[], &["ip", "netns", "exec", &self.name])
    }

    fn at(&self) -> SocketAddr {
        (self.its, 7000).into()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // Its end of the wire goes with it, and so does ours.
        Command::new("ip").args(["netns", "del", &self.name]).status().ok();
    }
}

/// Sends back what comes, on this side of the wire.
fn echo(net: &Net) -> Upstream {
    let listener = TcpListener::bind((net.ours, 0)).unwrap();
    Upstream::on(listener, |mut stream| {
        let mut buffer = vec![0; 65536];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..n]).is_err() {
                return;
            }
        }
    })
}

/// Sends so much and takes it back at the same time; what came has to be what went.
fn there_and_back(stream: &TcpStream, megabytes: usize) {
    let sent: Vec<u8> = (0..megabytes << 20).map(|n| (n / 7 % 251) as u8).collect();
    let mut got = vec![0; sent.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = stream;
            writer.write_all(&sent).unwrap();
        });
        let mut reader = stream;
        reader.read_exact(&mut got).unwrap();
    });
    assert!(got == sent, "other bytes came back than went");
}

fn connect(at: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&at, Duration::from_secs(30)).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream
}

#[test]
fn what_passes_over_a_wire_that_loses_packets_comes_whole() {
    let net = Net::new();
    let upstream = echo(&net);
    let gateway = net.gateway("tcp", "", upstream.address);
    net.loses("0.02");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| there_and_back(&connect(net.at()), 1));
        }
    });
    assert_eq!(gateway.listener("l")["failed"], 0);
}

#[test]
fn connections_outlive_a_wire_that_is_cut_and_its_upstream_is_down_meanwhile() {
    let net = Net::new();
    let upstream = echo(&net);
    let check = "check = { kind = \"tcp\", interval = \"100ms\", timeout = \"200ms\" }";
    let gateway = net.gateway("tcp", check, upstream.address);
    let stream = connect(net.at());
    there_and_back(&stream, 1);
    net.wire("down");
    let mut writer = &stream;
    writer.write_all(b"while it is away").unwrap();
    let is = |state: &str| (gateway.upstream(upstream.address)["state"] == *state).then_some(());
    wait_until("the upstream is down", || is("down"));
    net.wire("up");
    wait_until("the upstream is up", || is("up"));
    let mut got = [0; 16];
    let mut reader = &stream;
    reader.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"while it is away");
    there_and_back(&connect(net.at()), 1);
}

#[test]
fn datagrams_that_arrive_are_never_anothers_and_never_twice() {
    let net = Net::new();
    let far = UdpSocket::bind((net.ours, 0)).unwrap();
    let address = far.local_addr().unwrap();
    let gateway = net.gateway("udp", "", address);
    net.loses("0.05");
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        // Ends with the test's process.
        while let Ok((n, from)) = far.recv_from(&mut buffer) {
            far.send_to(&buffer[..n], from).ok();
        }
    });
    let mut came = 0;
    for client in 0..4u32 {
        let socket = UdpSocket::bind((net.ours, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(40))).unwrap();
        socket.connect(net.at()).unwrap();
        let (mut seen, mut buffer) = (HashSet::new(), [0; 64]);
        for n in 0..250u32 {
            socket.send(&[client.to_be_bytes(), n.to_be_bytes()].concat()).unwrap();
            // Half of them wait for each other, so that no queue is what loses them.
            if n % 2 == 1 {
                continue;
            }
            while let Ok(8) = socket.recv(&mut buffer) {
                assert_eq!(buffer[..4], client.to_be_bytes(), "another client's");
                assert!(seen.insert(buffer[4..8].to_vec()), "twice");
                if buffer[4..8] == n.to_be_bytes() {
                    break;
                }
            }
        }
        while let Ok(8) = socket.recv(&mut buffer) {
            assert!(seen.insert(buffer[4..8].to_vec()), "twice");
        }
        came += seen.len();
    }
    assert!((700..1000).contains(&came), "{came} of 1000 with 5 % lost on each way");
    assert_eq!(gateway.listener("l")["accepted"], 4);
}
