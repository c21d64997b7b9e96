//! Bad input: clients, upstreams and systems that do what they should not.

use crate::harness::{Gateway, PROGRAM, Upstream, nobody, pause, read_all, simple, wait_until};
use serde_json::json;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

fn refusal(config: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    std::fs::write(&path, config).unwrap();
    let output = Command::new(PROGRAM).args(["run", path.to_str().unwrap()]).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_place_that_cannot_be_had_is_told_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = |address: String| simple("", "", &[nobody()]).replace("127.0.0.1:0", &address);
    let said = refusal(&at(taken.local_addr().unwrap().to_string()));
    assert!(
        said.contains("in use by") && said.contains(&format!("(pid {})", std::process::id())),
        "{said}"
    );
    let said = refusal(&at("192.0.2.1:8080".into()));
    assert!(said.contains("does not have the address"), "{said}");
    // A place that another gateway has is no place to be shared.
    let other = Gateway::start(&simple("", "", &[nobody()]));
    let said = refusal(&at(other.address("l").to_string()));
    assert!(said.contains(&format!("cmdr-gateway (pid {})", other.child.id())), "{said}");
}

#[test]
fn a_privileged_port_without_the_right_to_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c");
    std::fs::write(&path, simple("", "", &[nobody()]).replace("127.0.0.1:0", "127.0.0.1:81"))
        .unwrap();
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    // Of a user namespace of its own nobody has a right to ports of the host.
    let output = Command::new("unshare")
        .args(["--user", PROGRAM, "run", path.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("CAP_NET_BIND_SERVICE"), "{said}");
}

#[test]
fn an_upstream_that_resets_half_way_resets_its_client() {
    let rude = Upstream::new(|mut stream| {
        stream.write_all(b"part").unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        rustix::net::sockopt::set_socket_linger(&stream, Some(std::time::Duration::ZERO)).unwrap();
    });
    let gateway = Gateway::start(&simple("", "", &[rude.address]));
    let mut client = gateway.connect("l");
    let mut part = [0; 4];
    client.read_exact(&mut part).unwrap();
    client.write_all(b"x").unwrap();
    assert_eq!(read_all(&client).unwrap_err().kind(), ErrorKind::ConnectionReset);
    gateway.wait_for_reason("a side was reset");
}

#[test]
fn an_upstream_that_floods_takes_bounded_memory_when_its_client_does_not_read() {
    let flood = Upstream::new(|mut stream| while stream.write_all(&vec![0; 65536]).is_ok() {});
    let gateway = Gateway::start(&simple("", "", &[flood.address]));
    let before = gateway.memory();
    let clients: Vec<TcpStream> = (0..20).map(|_| gateway.connect("l")).collect();
    wait_until("all to be full", || {
        let active = gateway.upstream(flood.address)["active"] == 20;
        active.then_some(())
    });
    // Others are served meanwhile.
    let mut other = gateway.connect("l");
    let mut much = vec![0; 8 << 20];
    other.read_exact(&mut much).unwrap();
    assert!(gateway.memory() < before + 2048, "{} KiB, before {before}", gateway.memory());
    drop(clients);
    drop(other);
    wait_until("all to be ended", || (gateway.status()["open"] == 0).then_some(()));
}

#[test]
fn who_says_what_it_wants_too_slowly_is_let_go() {
    let a = Upstream::named("a");
    let gateway = Gateway::start(&simple(
        "mode = \"sni\"\npreface_timeout = \"300ms\"\nsni = { a = \"g\" }",
        "",
        &[a.address],
    ));
    let mut client = gateway.connect("l");
    let hello = cmdr_gateway::decode::sni::hello("a", 1000);
    for byte in hello {
        // A byte at a time keeps nothing open.
        if client.write_all(&[byte]).is_err() {
            break;
        }
        (0..4).for_each(|_| pause());
    }
    gateway.wait_for_reason("the client was too slow to say what it wants");
    assert_eq!(a.served.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn silent_connections_are_ended_and_half_closed_ones_sooner() {
    let echo = Upstream::new(|stream| {
        // Never ends its half.
        let mut buffer = [0; 100];
        while let Ok(1..) = (&stream).read(&mut buffer) {}
        let end = std::time::Instant::now() + std::time::Duration::from_secs(15);
        while std::time::Instant::now() < end {
            pause();
        }
    });
    let gateway = Gateway::start(&simple("idle_timeout = \"400ms\"", "", &[echo.address]));
    let client = gateway.connect("l");
    assert_eq!(read_all(&client).unwrap_or_default(), b"");
    gateway.wait_for_reason("idle for too long");
    gateway.apply(&simple(
        "idle_timeout = \"10m\"\nhalf_close_timeout = \"200ms\"",
        "",
        &[echo.address],
    ));
    let client = gateway.connect("l");
    wait_until("an upstream", || (gateway.status()["open"] == 1).then_some(()));
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&client).unwrap_or_default(), b"");
}

#[test]
fn malformed_proxy_headers_are_refused() {
    let a = Upstream::named("a");
    let gateway = Gateway::start(&simple("accept_proxy = true", "", &[a.address]));
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".as_slice(),
        b"PROXY TCP4 x y 1 2\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
    ] {
        let mut client = gateway.connect("l");
        client.write_all(bytes).unwrap();
        assert_eq!(read_all(&client).unwrap_or_default(), b"");
    }
    assert_eq!(gateway.listener("l")["failed"], 3);
}

#[test]
fn eight_thousand_idle_connections_take_little_memory() {
    let (soft, count) = (rustix::process::getrlimit(rustix::process::Resource::Nofile), 8000u64);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: soft.maximum, ..soft },
    )
    .ok();
    // Both ends of each are this test's.
    let may = soft.maximum.map_or(count, |most| (most.saturating_sub(500) / 2).min(count)) as usize;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 4096).unwrap();
    let gateway = Gateway::start(&simple("", "", &[listener.local_addr().unwrap()]));
    let address = gateway.address("l");
    let held: std::sync::Mutex<Vec<TcpStream>> = std::sync::Mutex::default();
    let before = gateway.memory();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..may {
                let stream = listener.accept().unwrap().0;
                held.lock().unwrap().push(stream);
            }
        });
        let clients: Vec<TcpStream> =
            (0..may).map(|_| TcpStream::connect(address).unwrap()).collect();
        wait_until("all to be open", || (held.lock().unwrap().len() == may).then_some(()));
        let each = (gateway.memory() - before.min(gateway.memory())) * 1024 / may as u64;
        assert!(each <= 1536, "{each} bytes for each of {may}");
        // They work still.
        for at in [0, may / 2, may - 1] {
            (&clients[at]).write_all(b"here").unwrap();
        }
    });
}

#[test]
fn without_file_descriptors_it_stops_accepting_says_so_and_recovers() {
    let echo = Upstream::echo();
    let gateway = Gateway::start_with(
        &simple("", "", &[echo.address]),
        &[],
        &["prlimit", "--nofile=200:200"],
    );
    let most = gateway.status()["max_connections"].as_u64().unwrap() as usize;
    assert!(most < 100);
    let mut clients: Vec<TcpStream> = (0..most + 50).map(|_| gateway.connect("l")).collect();
    wait_until("it to be full", || {
        (gateway.listener("l")["starved"].as_u64().unwrap() > 0).then_some(())
    });
    assert!(gateway.log().contains("accepting pauses"), "{}", gateway.log());
    assert_eq!(gateway.status()["open"], most);
    // Those that wait are served when others go.
    let mut waiting = clients.pop().unwrap();
    clients.clear();
    let mut byte = [0];
    waiting.write_all(b"x").unwrap();
    waiting.read_exact(&mut byte).unwrap();
}

#[test]
fn the_control_socket_answers_nonsense_with_an_error_and_belongs_to_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let gateway = Gateway::start(&simple("", "", &[nobody()]));
    let mode = std::fs::metadata(gateway.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for request in [
        json!(1),
        json!({ "request": "nothing" }),
        json!({ "request": "drain" }),
        json!({ "request": "weight", "group": "x", "upstream": "1.1.1.1:1" }),
    ] {
        assert!(gateway.ask(&request)["error"][0].is_string(), "{request}");
    }
}

#[test]
fn policies_deny_limit_ban_and_change_while_connections_go_on() {
    let echo = Upstream::echo();
    let config = |policy: &str| {
        simple("policy = \"p\"", "", &[echo.address])
            + &format!("[[policy]]\nname = \"p\"\n{policy}\n")
    };
    let gateway = Gateway::start(&config("concurrent = 2\nban_after = 3\nban_for = \"1h\""));
    let mut open: Vec<TcpStream> = (0..2).map(|_| gateway.connect("l")).collect();
    let mut byte = [0];
    for stream in &mut open {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut byte).unwrap();
    }
    for _ in 0..4 {
        assert_eq!(read_all(&gateway.connect("l")).unwrap_or_default(), b"");
    }
    gateway.wait_for_reason("too many connections at once from the address");
    gateway.wait_for_reason("the address is banned");
    let bans = gateway.ask(&json!({ "request": "bans" }));
    assert_eq!(bans["bans"][0]["address"], "127.0.0.1");
    gateway.ask(&json!({ "request": "ban", "policy": "p", "address": "127.0.0.1", "seconds": 0 }));
    gateway.apply(&config("deny = [\"127.0.0.0/8\"]"));
    assert_eq!(read_all(&gateway.connect("l")).unwrap_or_default(), b"");
    gateway.wait_for_reason("the address is on no list that allows it");
    open[0].write_all(b"y").unwrap();
    open[0].read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"y");
}

#[test]
fn a_rate_of_bytes_is_kept() {
    let echo = Upstream::echo();
    let config = simple("policy = \"p\"", "", &[echo.address])
        + "[[policy]]\nname = \"p\"\nbytes_per_second = 200000\n";
    let gateway = Gateway::start(&config);
    let mut client = gateway.connect("l");
    let start = std::time::Instant::now();
    let mut writer = client.try_clone().unwrap();
    let mut got = vec![0; 300_000];
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&vec![7; 300_000]).unwrap());
        client.read_exact(&mut got).unwrap();
    });
    // Both ways count: 600,000 bytes less what may come at once, at 200,000 a second.
    let took = start.elapsed().as_secs_f64();
    assert!((1.5..8.0).contains(&took), "{took}");
}
