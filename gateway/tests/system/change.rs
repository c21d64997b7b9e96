//! Changes while it runs: configurations, upstreams that die and come back, a successor.

use crate::harness::{Gateway, Upstream, nobody, read_all, simple, wait_until};
use serde_json::json;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Connections that send a byte and want it back, from some threads until it is said that it is
/// enough; how many there were and what went wrong.
fn load(address: SocketAddr, enough: &AtomicBool) -> (usize, Vec<String>) {
    let (count, wrong) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !enough.load(Relaxed) {
                    let one = || -> std::io::Result<()> {
                        let mut stream = TcpStream::connect(address)?;
                        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
                        stream.write_all(b"x")?;
                        let mut byte = [0];
                        stream.read_exact(&mut byte)
                    };
                    if let Err(e) = one() {
                        wrong.lock().unwrap().push(e.to_string());
                    }
                    count.fetch_add(1, Relaxed);
                }
            });
        }
    });
    (count.into_inner(), wrong.into_inner().unwrap())
}

/// Runs something under load; nothing may fail.
fn check_under_load(address: SocketAddr, change: impl FnOnce()) {
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let loaded = scope.spawn(|| load(address, &enough));
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(change));
        enough.store(true, Relaxed);
        if let Err(panic) = changed {
            std::panic::resume_unwind(panic);
        }
        let (count, wrong) = loaded.join().unwrap();
        assert!(
            wrong.is_empty() && count > 20,
            "{} of {count} failed: {:?}",
            wrong.len(),
            wrong.first()
        );
    });
}

#[test]
fn ten_thousand_changes_under_load_cut_nothing_and_leak_nothing() {
    let (a, b) = (Upstream::echo(), Upstream::echo());
    let first = simple("", "", &[a.address]);
    let gateway = Gateway::start(&first);
    let address = gateway.address("l");
    let mut long: Vec<TcpStream> = (0..500).map(|_| gateway.connect("l")).collect();
    let mut pass = || {
        for stream in &mut long {
            stream.write_all(b"still").unwrap();
            let mut got = [0; 5];
            stream.read_exact(&mut got).unwrap();
            assert_eq!(&got, b"still");
        }
    };
    pass();
    // Another listener comes and goes, upstreams change, a policy too.
    let more = "[[listener]]\nname = \"more\"\naddress = \"127.0.0.1:0\"\ngroup = \"g\"\n[[policy]]\nname = \"p\"\nconcurrent = 5\n".to_owned();
    let second = simple("", "balance = \"least-connections\"", &[b.address, a.address])
        + &more.replace("127.0.0.1:0", "127.0.0.2:0");
    let around = |n: usize| {
        for _ in 0..n {
            gateway.apply(&second);
            gateway.apply(&first);
        }
    };
    around(3);
    wait_until("quiet", || (gateway.status()["open"] == 500).then_some(()));
    let (files, memory, threads) = (gateway.files(), gateway.memory(), gateway.threads());
    check_under_load(address, || around(5000));
    pass();
    wait_until("all connections of the load to end", || {
        (gateway.status()["open"] == 500).then_some(())
    });
    // The pool of pipes is the only thing that may have grown.
    wait_until("files to be closed", || (gateway.files() <= files + 4).then_some(()));
    // One that writes files may be there for a while.
    assert!(gateway.threads() <= threads + 1, "{} threads, before {threads}", gateway.threads());
    assert!(gateway.memory() < memory + 4096, "{} KiB, before {memory}", gateway.memory());
}

#[test]
fn a_configuration_with_mistakes_is_refused_whole() {
    let (a, b) = (Upstream::named("a"), Upstream::named("b"));
    let gateway = Gateway::start(&simple("", "", &[a.address]));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bad = simple("", "", &[b.address])
        + &format!(
            "[[listener]]\nname = \"x\"\naddress = \"{}\"\ngroup = \"g\"\n[[listener]]\nname = \"y\"\naddress = \"192.0.2.1:80\"\ngroup = \"g\"\n",
            taken.local_addr().unwrap()
        );
    let answer = gateway.ask(&json!({ "request": "apply", "config": bad }));
    let wrong = answer["error"].as_array().unwrap();
    let me = format!("(pid {})", std::process::id());
    assert!(wrong.len() == 2 && wrong[0].as_str().unwrap().contains(&me), "{answer}");
    assert!(wrong[1].as_str().unwrap().contains("does not have the address"), "{answer}");
    assert_eq!(read_all(&gateway.connect("l")).unwrap(), b"a");
    let answer = gateway.ask(&json!({ "request": "apply", "config": "[[listener]]\nname = 3" }));
    assert!(answer["error"][0].as_str().unwrap().contains('3'), "{answer}");
    assert_eq!(read_all(&gateway.connect("l")).unwrap(), b"a");
}

#[test]
fn the_last_configuration_is_kept_and_a_start_without_one_uses_it() {
    let (a, b) = (Upstream::named("a"), Upstream::named("b"));
    let state = tempfile::tempdir().unwrap();
    let words = ["--state", state.path().to_str().unwrap()];
    let mut gateway = Gateway::start_with(&simple("", "", &[a.address]), &words, &[]);
    gateway.apply(&simple("", "", &[b.address]));
    gateway.child.kill().unwrap();
    gateway.child.wait().unwrap();
    let kept = std::fs::read_to_string(state.path().join("gateway.toml")).unwrap();
    assert_eq!(kept, simple("", "", &[b.address]));
    let again = Gateway::start_with(&kept, &words, &[]);
    assert_eq!(read_all(&again.connect("l")).unwrap(), b"b");
}

#[test]
fn a_successor_takes_over_under_load_and_the_old_one_ends_with_its_last_connection() {
    let echo = Upstream::echo();
    let mut old = Gateway::start(&simple("", "", &[echo.address]));
    let address = old.address("l");
    let mut long = old.connect("l");
    let mut byte = [0];
    long.write_all(b"1").unwrap();
    long.read_exact(&mut byte).unwrap();
    let mut successors = Vec::new();
    check_under_load(address, || {
        successors.push(old.successor());
        for n in 0..3 {
            let next = successors[n].successor();
            successors.push(next);
        }
    });
    long.write_all(b"2").unwrap();
    long.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"2");
    assert!(old.child.try_wait().unwrap().is_none());
    drop(long);
    wait_until("the old one's end", || old.child.try_wait().unwrap());
    let last = successors.last().unwrap();
    assert_eq!(last.address("l"), address);
}

#[test]
fn a_successor_is_told_what_was_said_to_its_predecessor() {
    let (one, two) = (Upstream::echo(), Upstream::echo());
    let old = Gateway::start(&simple("", "", &[one.address, two.address]));
    let group = old.status()["groups"][0]["name"].clone();
    let (first, second) = (one.address.to_string(), two.address.to_string());
    let drain = json!({"request": "drain", "group": group, "upstream": first});
    assert_eq!(old.ask(&drain)["ok"], true);
    let weight = json!({"request": "weight", "group": group, "upstream": second, "weight": 7});
    assert_eq!(old.ask(&weight)["ok"], true);
    assert_eq!(old.ask(&json!({"request": "drain", "listener": "l"}))["ok"], true);
    let new = old.successor();
    let upstreams = new.status()["groups"][0]["upstreams"].clone();
    assert_eq!((&upstreams[0]["state"], &upstreams[1]["weight"]), (&"drained".into(), &7.into()));
    assert_eq!(new.listener("l")["drained"], true);
    assert_eq!(new.ask(&json!({"request": "drain", "listener": "l", "off": true}))["ok"], true);
    assert!(TcpStream::connect(new.address("l")).is_ok());
}

#[test]
fn told_to_stop_by_its_socket_it_says_so_and_takes_no_changes() {
    let echo = Upstream::echo();
    let config = simple("", "", &[echo.address]);
    let mut gateway = Gateway::start(&config);
    let long = gateway.connect("l");
    wait_until("the connection", || (gateway.status()["open"] == 1).then_some(()));
    assert_eq!(gateway.status()["ending"], false);
    assert_eq!(gateway.ask(&json!({"request": "stop", "seconds": 60}))["ok"], true);
    assert_eq!(gateway.status()["ending"], true);
    let refused = gateway.ask(&json!({"request": "apply", "config": config}));
    assert!(refused["error"][0].as_str().unwrap().contains("--take-over"), "{refused}");
    drop(long);
    assert!(wait_until("its end", || gateway.child.try_wait().unwrap()).success());
}

#[test]
fn told_to_stop_it_refuses_new_clients_and_waits_for_the_old_ones() {
    let echo = Upstream::echo();
    let mut gateway = Gateway::start(&simple("", "", &[echo.address]));
    let address = gateway.address("l");
    let mut long = gateway.connect("l");
    let mut byte = [0];
    long.write_all(b"1").unwrap();
    long.read_exact(&mut byte).unwrap();
    let pid = rustix::process::Pid::from_child(&gateway.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    wait_until("new clients to be refused", || TcpStream::connect(address).err());
    long.write_all(b"2").unwrap();
    long.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"2");
    drop(long);
    assert!(wait_until("its end", || gateway.child.try_wait().unwrap()).success());
}

#[test]
fn who_waits_for_a_place_gets_one_that_a_change_brings() {
    let (a, b) = (Upstream::echo(), Upstream::echo());
    let config = |upstreams: &[SocketAddr]| {
        simple("", "queue = 5\nqueue_timeout = \"1m\"", upstreams)
            .replace("\" }", "\", max_connections = 1 }")
    };
    let gateway = Gateway::start(&config(&[a.address]));
    let mut clients: Vec<TcpStream> = (0..3).map(|_| gateway.connect("l")).collect();
    let waiting = |n: usize| {
        wait_until("the queue", || (gateway.status()["groups"][0]["waiting"] == n).then_some(()));
    };
    waiting(2);
    gateway.apply(&config(&[a.address, b.address]));
    waiting(1);
    // A place that becomes free after the change is given on as well.
    let mut byte = [0];
    let mut served = 0;
    while !clients.is_empty() {
        let at = wait_until("somebody to be served", || {
            clients.iter_mut().position(|c| {
                c.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                c.write_all(b"x").unwrap();
                c.read_exact(&mut byte).is_ok()
            })
        });
        clients.remove(at);
        served += 1;
    }
    assert_eq!(served, 3);
}

#[test]
fn a_successor_that_dies_on_the_way_changes_nothing() {
    let a = Upstream::named("a");
    let gateway = Gateway::start(&simple("", "", &[a.address]));
    let files = gateway.files();
    for asks in 0..2 {
        let stream = std::os::unix::net::UnixStream::connect(gateway.socket()).unwrap();
        (&stream).write_all(b"{\"request\":\"take-over\"}\n").unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        assert!(line.contains("sockets"), "{line}");
        // The second one dies when it has the sockets already.
        (&stream).write_all(&b"t"[..asks]).unwrap();
        drop(stream);
        assert_eq!(read_all(&gateway.connect("l")).unwrap(), b"a");
    }
    gateway.apply(&simple("", "", &[a.address]));
    assert_eq!(read_all(&gateway.connect("l")).unwrap(), b"a");
    wait_until("files to be closed", || (gateway.files() <= files + 1).then_some(()));
}

struct Nginx {
    child: Child,
    _dir: tempfile::TempDir,
}

impl Nginx {
    fn start(address: SocketAddr, name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display().to_string();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|k| format!("{k}_temp_path {path}/{k};"))
            .join(" ");
        let config = format!(
            "daemon off; worker_processes 1; pid {path}/pid; error_log {path}/log; events {{ worker_connections 512; }}\n\
             http {{ access_log off; {temporary} server {{ listen {address} backlog=512; location / {{ return 200 {name}; }} location /gone {{ return 503; }} }} }}\n"
        );
        std::fs::write(dir.path().join("conf"), config).unwrap();
        let program = if std::path::Path::new("/usr/sbin/nginx").exists() {
            "/usr/sbin/nginx"
        } else {
            "nginx"
        };
        let child = Command::new(program)
            .args(["-p", &path, "-c", &format!("{path}/conf")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("nginx", || TcpStream::connect(address).ok());
        Self { child, _dir: dir }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its worker ends with it when it is told; killed, it would be left.
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::TERM,
        )
        .ok();
        self.child.wait().ok();
    }
}

fn get(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let text = String::from_utf8_lossy(&read_all(&stream)?).into_owned();
    let body = text.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    Ok(body.1.to_owned())
}

#[test]
fn nginx_behind_it_is_drained_stopped_healed_and_replaced_without_a_failed_request() {
    let places: Vec<SocketAddr> = (0..3).map(|_| nobody()).collect();
    let mut servers: Vec<Option<Nginx>> =
        vec![Some(Nginx::start(places[0], "a")), Some(Nginx::start(places[1], "b")), None];
    let check = "check = { kind = \"http\", interval = \"50ms\", rise = 2, fall = 2 }\npassive = { failures = 2, eject = \"1s\" }";
    let gateway = Gateway::start(&simple("", check, &places[..2]));
    let address = gateway.address("l");
    let (enough, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let wait_for = |at: usize, state: &str| {
        wait_until(state, || (gateway.upstream(places[at])["state"] == state).then_some(()));
    };
    std::thread::scope(|scope| {
        let loads: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut wrong = Vec::new();
                    while !enough.load(Relaxed) {
                        match get(address) {
                            Ok(body) if ["a", "b", "c"].contains(&body.as_str()) => {}
                            other => wrong.push(format!("{other:?}")),
                        }
                        count.fetch_add(1, Relaxed);
                    }
                    wrong
                })
            })
            .collect();
        // Drained, then stopped: nothing of it was in flight.
        gateway.ask(&json!({ "request": "drain", "group": "g", "upstream": places[0] }));
        wait_until("the drained one to be quiet", || {
            (gateway.upstream(places[0])["active"] == 0).then_some(())
        });
        servers[0] = None;
        gateway
            .ask(&json!({ "request": "drain", "group": "g", "upstream": places[0], "off": true }));
        wait_for(0, "down");
        servers[0] = Some(Nginx::start(places[0], "a"));
        wait_for(0, "up");
        // Replaced: another one comes in, one goes out.
        servers[2] = Some(Nginx::start(places[2], "c"));
        gateway.apply(&simple("", check, &[places[0], places[2]]));
        let before = count.load(Relaxed);
        wait_until("some requests", || (count.load(Relaxed) > before + 20).then_some(()));
        servers[1] = None;
        wait_until("some requests", || (count.load(Relaxed) > before + 60).then_some(()));
        enough.store(true, Relaxed);
        let wrong: Vec<String> = loads.into_iter().flat_map(|l| l.join().unwrap()).collect();
        assert!(
            wrong.is_empty(),
            "{} of {}: {:?}",
            wrong.len(),
            count.load(Relaxed),
            wrong.first()
        );
    });
}

#[test]
fn an_upstream_that_is_killed_fails_what_was_in_flight_on_it_and_nothing_more() {
    let places = [nobody(), nobody()];
    let mut killed = Nginx::start(places[0], "a");
    let _stays = Nginx::start(places[1], "b");
    let check = "check = { kind = \"http\", interval = \"50ms\", rise = 2, fall = 2 }";
    let gateway = Gateway::start(&simple("", check, &places));
    let address = gateway.address("l");
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let loads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut wrong = 0;
                    while !enough.load(Relaxed) {
                        wrong += usize::from(get(address).is_err());
                    }
                    wrong
                })
            })
            .collect();
        // The worker and its master, as a host that dies.
        let worker =
            std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", killed.child.id()))
                .unwrap();
        killed.child.kill().unwrap();
        for pid in worker.split_whitespace() {
            let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        wait_until("it to be found down", || {
            (gateway.upstream(places[0])["state"] == "down").then_some(())
        });
        let total = gateway.upstream(places[1])["total"].as_u64().unwrap();
        wait_until("the other one to serve", || {
            (gateway.upstream(places[1])["total"].as_u64().unwrap() > total + 50).then_some(())
        });
        enough.store(true, Relaxed);
        let wrong: usize = loads.into_iter().map(|l| l.join().unwrap()).sum();
        assert!(wrong <= 4, "{wrong} failed; 4 can have been in flight");
    });
}

#[test]
fn checks_by_status_and_by_tls_find_who_does_not_serve() {
    let place = nobody();
    let _nginx = Nginx::start(place, "a");
    for check in ["kind = \"http\", path = \"/gone\"", "kind = \"tls\""] {
        let gateway = Gateway::start(&simple(
            "",
            &format!("check = {{ {check}, interval = \"20ms\" }}"),
            &[place],
        ));
        wait_until("it to be down", || (gateway.upstream(place)["state"] == "down").then_some(()));
        assert!(gateway.log().contains("is down: answered"), "{}", gateway.log());
    }
}
