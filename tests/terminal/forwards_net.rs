//! Forwards over a wire that loses packets, and one that goes away: the host that listens stands in a network namespace, hub,
//! service and the host that connects on this side.

use crate::local::text;
use harness::net::Net;
use harness::process::{HubProcess, Running, program, run, until};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

struct Story {
    _edge: Running,
    _db1: Running,
    hub: HubProcess,
    net: Net,
    door: u16,
    at: SocketAddr,
}

impl Story {
    /// A forward from the namespace to a service here, past the hub if it may.
    fn begin(direct: bool) -> Self {
        let (net, service, door) = (Net::new(), echo(), cmdr_link::port::choose());
        let mut hub = HubProcess::unstarted(tempfile::tempdir().unwrap());
        hub.address = format!("{}:0", net.ours);
        hub.start_again();
        let at = SocketAddr::from((net.its, 7000));
        let (to, meet) = if direct {
            (
                format!("direct_to = [\"{}:{door}\"]", net.ours),
                format!("direct = \"{}:{door}\"", net.ours),
            )
        } else {
            (String::new(), String::new())
        };
        let edge = format!("listen = [\"{at}\"]\n{to}\n");
        let db1 = format!("targets = [\"127.0.0.1:{service}\"]\n{meet}\n");
        let agent = |command: &dyn Fn() -> Command, name: &str, policy: &str| {
            let path = |end: &str| hub.dir.path().join(format!("{name}{end}"));
            std::fs::write(path(".toml"), format!("[forwards]\n{policy}")).unwrap();
            let mut join = command();
            join.args(["join", "--name", name, "--state"]).arg(path(""));
            let joined = run(join.arg(hub.token(None, 1)));
            assert!(joined.status.success(), "{}", text(&joined.stderr));
            let mut command = command();
            command.args(["run", "--state"]).arg(path(""));
            command.arg("--policy").arg(path(".toml"));
            Running::start(&mut command, &path(".log"))
        };
        let running = (
            agent(&|| net.command(program("cmdr-agentd")), "edge", &edge),
            agent(&|| Command::new(program("cmdr-agentd")), "db1", &db1),
        );
        let story = Self { _edge: running.0, _db1: running.1, hub, net, door, at };
        let admin = story.hub.token(Some("administrator"), 1);
        story.says(&["login", &admin]);
        let from = format!("edge:{at}");
        story.says(&["forward", "add", "db", &from, &format!("db1:{service}")]);
        until("it listens", || {
            story.stand()["listening"].as_str().is_some_and(|at| !at.is_empty())
        });
        story
    }

    fn path(&self, name: &str) -> PathBuf {
        self.hub.dir.path().join(name)
    }

    fn says(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(program("cmdr"));
        command.args(arguments).env("CMDR_HOME", self.path("home")).stdin(Stdio::null());
        let output = run(&mut command);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn stand(&self) -> serde_json::Value {
        let all = self.says(&["forward", "status", "-o", "json"]);
        let all: serde_json::Value = serde_json::from_str(&all).unwrap();
        all[0]["stand"].clone()
    }

    fn until_direct(&self, count: u64) {
        until("it goes directly", || self.stand()["direct"] == count);
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.at, Duration::from_secs(30)).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        stream
    }
}

/// Sends back what comes, on this side of the wire.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = vec![0; 65536];
                while let Ok(n @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..n]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Sends so much and takes it back at the same time; what came has to be what went.
fn there_and_back(stream: &TcpStream, bytes: usize) {
    let sent: Vec<u8> = (0..bytes).map(|n| (n / 7 % 251) as u8).collect();
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

fn loses(direct: bool) {
    let story = Story::begin(direct);
    there_and_back(&story.connect(), 100);
    story.net.loses("0.02");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| there_and_back(&story.connect(), 1 << 20));
        }
    });
    until("all have come to their end", || {
        let stand = story.stand();
        stand["open"] == 0 && stand["total"] == 5
    });
    let stand = story.stand();
    assert_eq!(stand["failed"], 0, "{stand}");
    if direct {
        assert!(stand["direct"].as_u64().unwrap() >= 1, "{stand}");
    } else {
        assert_eq!(stand["direct"], 0, "{stand}");
    }
}

#[test]
fn by_the_hub_over_a_wire_that_loses_packets_all_bytes_come() {
    loses(false);
}

#[test]
fn past_the_hub_over_a_wire_that_loses_packets_all_bytes_come() {
    loses(true);
}

#[test]
fn connections_outlive_a_wire_that_is_away_for_a_moment_and_new_ones_find_another_way() {
    let story = Story::begin(true);
    let direct = story.connect();
    there_and_back(&direct, 100);
    story.until_direct(1);
    // Between the two hosts alone.
    story.net.loses_port(story.door, true);
    let began = Instant::now();
    let by_hub = story.connect();
    there_and_back(&by_hub, 100_000);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    until("it is said why", || {
        story.stand()["not_direct"].as_str().is_some_and(|why| why.contains("did not answer"))
    });
    story.net.loses_port(story.door, false);
    there_and_back(&direct, 100_000);

    // All of it.
    story.net.wire("down");
    for mut stream in [&direct, &by_hub] {
        stream.write_all(b"while it is away").unwrap();
    }
    until("what is said is sent again and again", || story.net.sends_again(2));
    story.net.wire("up");
    for mut stream in [&direct, &by_hub] {
        let mut got = [0; 16];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"while it is away");
        there_and_back(stream, 100_000);
    }
    assert_eq!(story.stand()["failed"], 0);
}

#[test]
fn a_wire_that_stays_away_ends_connections_and_the_forward_is_there_with_it_again() {
    let story = Story::begin(true);
    let first = story.connect();
    there_and_back(&first, 100);
    story.until_direct(1);
    story.net.wire("down");
    until("the hub misses the host", || {
        let hosts = story.says(&["hosts", "-o", "json"]);
        let hosts: serde_json::Value = serde_json::from_str(&hosts).unwrap();
        hosts.as_array().unwrap().iter().any(|h| h["name"] == "edge" && h["state"] != "online")
    });
    story.net.wire("up");
    until("a new one goes through", || {
        let Ok(mut stream) = TcpStream::connect_timeout(&story.at, Duration::from_secs(1)) else {
            return false;
        };
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let mut got = [0; 2];
        stream.write_all(b"hi").is_ok() && stream.read_exact(&mut got).is_ok() && &got == b"hi"
    });
    let mut reader = &first;
    let mut writer = &first;
    writer.write_all(b"x").ok();
    assert!(!matches!(reader.read(&mut [0; 2]), Ok(1..)), "it was over meanwhile");
    until("the failure is counted", || story.stand()["failed"].as_u64().unwrap() >= 1);
}
