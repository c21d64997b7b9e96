//! Sockets out of a made-up `/proc`, and out of this machine's own.

use super::*;
use proptest::prelude::*;
use std::fmt::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;

const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

/// A made-up `/proc`.
struct Host {
    dir: tempfile::TempDir,
    collector: Collector,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("net")).unwrap();
        std::fs::write(dir.path().join("passwd"), "root:x:0:0::/root:/bin/sh\nwww:x:33:33::/:\n")
            .unwrap();
        let collector = Collector::new(dir.path(), dir.path());
        Self { dir, collector }
    }

    fn net(&self, file: &str, lines: &str) {
        std::fs::write(self.dir.path().join("net").join(file), format!("{HEAD}{lines}")).unwrap();
    }

    fn process(&self, pid: u32, start: u64, name: &str, inodes: &[u64]) {
        let folder = self.dir.path().join(pid.to_string());
        std::fs::create_dir_all(folder.join("fd")).unwrap();
        let stat = format!("{pid} ({name}) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0 0 0");
        std::fs::write(folder.join("stat"), stat).unwrap();
        std::fs::write(folder.join("status"), "Uid:\t33\t33\t33\t33\n").unwrap();
        std::fs::write(folder.join("cmdline"), format!("/usr/sbin/{name}\0-g\0")).unwrap();
        for (fd, inode) in inodes.iter().enumerate() {
            std::os::unix::fs::symlink(
                format!("socket:[{inode}]"),
                folder.join("fd").join(fd.to_string()),
            )
            .unwrap();
        }
    }

    fn take(&mut self, list: &List) -> Taken {
        let sifted = Sifted::new(&list.sift).unwrap();
        self.collector.take(&Wanted::from(list).sifted(sifted))
    }
}

fn tcp(local: &str, remote: &str, state: &str, inode: u64) -> String {
    format!(
        "   0: {local} {remote} {state} 00000005:00000007 00:00000000 00000000    33        0 {inode} 1 0 100\n"
    )
}

#[test]
fn a_listening_socket_is_told_with_its_address_its_queues_and_who_holds_it() {
    let mut host = Host::new();
    host.net("tcp", &tcp("0100007F:1F90", "00000000:0000", "0A", 77));
    host.process(500, 9, "nginx", &[77]);
    host.process(501, 10, "nginx", &[77]);
    let taken = host.take(&List::default());
    let [socket] = &taken.sockets[..] else { panic!("{taken:?}") };
    assert_eq!(socket.here(), "127.0.0.1:8080");
    assert_eq!((socket.received, socket.sending), (7, 5));
    assert_eq!((socket.pid, socket.start, socket.holders), (500, 9, 2));
    assert_eq!((socket.user.as_str(), socket.program.as_str()), ("www", "nginx"));
    assert_eq!(socket.command, "/usr/sbin/nginx -g");
    assert_eq!(taken.summary.listening, 1);
}

#[test]
fn both_families_and_both_protocols_are_read_and_udp_that_is_bound_listens() {
    let mut host = Host::new();
    host.net(
        "tcp6",
        &tcp(&format!("{}:0016", "0".repeat(32)), &format!("{}:0000", "0".repeat(32)), "0A", 1),
    );
    host.net("udp", &tcp("00000000:0035", "00000000:0000", "07", 2));
    host.net(
        "udp6",
        &tcp(
            &format!("{}01000000:007B", "0".repeat(24)),
            &format!("{}:0000", "0".repeat(32)),
            "07",
            3,
        ),
    );
    let taken = host.take(&List::default());
    let mut shown: Vec<_> = taken.sockets.iter().map(|s| (s.protocol.as_str(), s.here())).collect();
    shown.sort();
    let expected = [("tcp6", "[::]:22"), ("udp", "0.0.0.0:53"), ("udp6", "[::1]:123")];
    assert_eq!(shown, expected.map(|(p, a)| (p, a.to_owned())));
    assert_eq!((taken.summary.listening, taken.summary.bound), (1, 2));
}

#[test]
fn connected_sockets_are_counted_and_listed_only_when_asked_for() {
    let mut host = Host::new();
    host.net(
        "tcp",
        &[
            tcp("0100007F:1F90", "00000000:0000", "0A", 1),
            tcp("0100007F:1F90", "0200007F:A000", "01", 2),
            tcp("0100007F:1F90", "0200007F:A001", "06", 0),
            tcp("0100007F:1F90", "0200007F:A002", "06", 0),
            tcp("0100007F:C350", "0300007F:01BB", "08", 3),
        ]
        .concat(),
    );
    let taken = host.take(&List::default());
    assert_eq!(taken.sockets.len(), 1);
    let Summary { listening, established, time_wait, close_wait, .. } = taken.summary;
    assert_eq!((listening, established, time_wait, close_wait), (1, 1, 2, 1));
    assert_eq!(host.take(&List { connected: true, ..List::default() }).sockets.len(), 5);
    let https = List { connected: true, port: Some(443), ..List::default() };
    let found = host.take(&https).sockets;
    assert_eq!(found.iter().map(Socket::there).collect::<Vec<_>>(), ["127.0.0.3:443"]);
}

#[test]
fn a_process_is_asked_for_by_name_number_or_user() {
    let mut host = Host::new();
    let two = [
        tcp("00000000:0050", "00000000:0000", "0A", 1),
        tcp("00000000:0051", "00000000:0000", "0A", 2),
    ];
    host.net("tcp", &two.concat());
    host.process(500, 9, "nginx", &[1]);
    host.process(600, 9, "caddy", &[2]);
    let mut ports = |process: &str| -> Vec<u16> {
        let list = List { process: process.into(), ..List::default() };
        host.take(&list).sockets.iter().map(|s| s.port).collect()
    };
    assert_eq!(ports("ngin"), [80]);
    assert_eq!(ports("600"), [81]);
    assert_eq!(ports("www").len(), 2);
    assert!(ports("sshd").is_empty());
}

#[test]
fn any_listener_is_found_by_what_a_table_shows_of_it() {
    let mut host = Host::new();
    let many = (0..600)
        .map(|n| tcp(&format!("0100007F:{:04X}", 20_000 + n), "00000000:0000", "0A", 1000 + n));
    host.net("tcp", &many.collect::<String>());
    host.process(500, 9, "caddy", &[1599]);
    let mut ports = |pattern: &str| -> Vec<u16> {
        let sift = cmdr_protocol::sift::Sift { fits: vec![pattern.into()], ..Default::default() };
        let list = List { sift, ..List::default() };
        host.take(&list).sockets.iter().map(|s| s.port).collect()
    };
    assert_eq!(ports("20599"), [20_599]);
    assert_eq!(ports("(?i)CADDY -g$"), [20_599]);
    assert_eq!(ports("tcp listen 127\\.0\\.0\\.1 www 500").len(), 1);
    assert!(ports("nginx").is_empty());
}

#[test]
fn lines_that_make_no_sense_are_counted_and_the_rest_is_read() {
    let mut host = Host::new();
    let long = "x".repeat(5000);
    let bad = format!("garbage\n{long}\n   1: 0100007F:ZZZZ 00000000:0000 0A 0:0 0 0 0 0 1\n");
    host.net("tcp", &(bad + &tcp("0100007F:0050", "00000000:0000", "0A", 1)));
    let taken = host.take(&List::default());
    assert_eq!((taken.sockets.len(), taken.summary.unread), (1, 3));
}

#[test]
fn unix_sockets_keep_odd_paths_and_only_those_that_accept_are_shown() {
    let mut host = Host::new();
    host.net(
        "unix",
        "0000: 00000002 00000000 00010000 0001 01 41 /run/my socket\u{1b}.sock\n\
         0000: 00000002 00000000 00010000 0001 01 42 @abstract\n\
         0000: 00000003 00000000 00000000 0001 03 43\n",
    );
    host.process(9, 1, "dbus", &[41]);
    let taken = host.take(&List { unix: true, ..List::default() });
    let shown: Vec<_> = taken.sockets.iter().map(Socket::here).collect();
    assert_eq!(shown, ["/run/my socket\u{1b}.sock", "@abstract"]);
    assert_eq!((taken.summary.unix, taken.sockets[0].user.as_str()), (2, "www"));
}

#[test]
fn a_socket_whose_holder_ended_is_looked_up_again() {
    let mut host = Host::new();
    host.net("tcp", &tcp("00000000:0050", "00000000:0000", "0A", 1));
    host.process(500, 9, "parent", &[1]);
    host.process(700, 9, "child", &[1]);
    assert_eq!(host.take(&List::default()).sockets[0].pid, 500);
    std::fs::remove_dir_all(host.dir.path().join("500")).unwrap();
    assert_eq!(host.take(&List::default()).sockets[0].pid, 700);
}

#[test]
fn a_hundred_thousand_connections_are_counted_in_bounded_memory() {
    let mut host = Host::new();
    let mut text = String::new();
    for n in 0..100_000u32 {
        write!(
            text,
            "{}",
            tcp(
                "0100007F:1F90",
                &format!("{n:08X}:{:04X}", n % 60_000 + 1),
                "01",
                1 + u64::from(n)
            )
        )
        .unwrap();
    }
    host.net("tcp", &text);
    let taken = host.take(&List::default());
    assert_eq!((taken.sockets.len(), taken.summary.established), (0, 100_000));
    let all = host.take(&List { connected: true, ..List::default() });
    assert_eq!(all.sockets.len() as u64 + all.left_out, 100_000);
}

#[test]
fn this_machines_own_sockets_have_those_of_this_process() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("[::1]:0").or_else(|_| UdpSocket::bind("127.0.0.1:0")).unwrap();
    let path = dir.path().join("a socket");
    let unix = UnixListener::bind(&path).unwrap();
    let mut collector = Collector::new(Path::new("/proc"), Path::new("/etc"));
    let taken = collector.take(&Wanted::listening());
    let own =
        |port: u16| taken.sockets.iter().find(|s| s.port == port && s.pid == std::process::id());
    assert!(own(listener.local_addr().unwrap().port()).is_some_and(Socket::listens));
    assert!(own(udp.local_addr().unwrap().port()).is_some());
    let here = path.to_string_lossy();
    assert!(taken.sockets.iter().any(|s| s.local == here && s.pid == std::process::id()));
    drop(unix);
}

proptest! {
    #[test]
    fn any_line_is_read_or_counted(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for protocol in Protocol::ALL {
            let _ = parse(*protocol, &bytes);
        }
        each_line(&bytes[..], |_| {});
    }
}
