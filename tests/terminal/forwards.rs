//! Forwards of one host from end to end: the real curl through proxies, connections and datagrams that go on while the agent,
//! the hub and the program that carries them come and go.

use crate::local::text;
use harness::process::{HubProcess, Running, program, run, until};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What is asked of the service for a long answer, and how long that is.
const LONG: usize = 12_000_000;
const PASSWORD: &str = "correct horse 7";

/// A hub and a host, whose owner lets forwards lead to one service.
struct Story {
    hub: HubProcess,
    agent: Option<Running>,
    service: u16,
}

impl Drop for Story {
    fn drop(&mut self) {
        drop(self.agent.take());
        // What outlives its agent on purpose: asked to end, by its socket.
        self.ask(r#"{"request":"stop"}"#);
    }
}

impl Story {
    fn begin() -> Self {
        let story = Self { hub: HubProcess::start(), agent: None, service: service() };
        let policy = format!(
            "[forwards]\ntargets = [\"127.0.0.1:{}\"]\nlisten = [\"127.0.0.1:1024-65535\"]\n",
            story.service
        );
        std::fs::write(story.path("agent.toml"), policy).unwrap();
        let mut join = Command::new(program("cmdr-agentd"));
        join.args(["join", "--name", "edge", "--state"]).arg(story.path("edge"));
        let joined = run(join.arg(story.hub.token(None, 1)));
        assert!(joined.status.success(), "{}", text(&joined.stderr));
        let admin = story.hub.token(Some("administrator"), 1);
        story.says(&["login", &admin]);
        story
    }

    fn path(&self, name: &str) -> PathBuf {
        self.hub.dir.path().join(name)
    }

    fn ask(&self, what: &str) -> String {
        let mut ask = Command::new(program("cmdr-gateway"));
        let socket = self.path("edge").join("dataplane/control.sock");
        text(&ask.arg("ask").arg(socket).arg(what).output().unwrap().stdout)
    }

    fn start_agent(&mut self) {
        let mut command = Command::new(program("cmdr-agentd"));
        command.args(["run", "--state"]).arg(self.path("edge"));
        command.arg("--policy").arg(self.path("agent.toml"));
        self.agent = Some(Running::start(&mut command, &self.path("agent.log")));
    }

    fn cmdr(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("cmdr"));
        run(command.args(arguments).env("CMDR_HOME", self.path("home")))
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.cmdr(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// The same with a line on standard input.
    fn told(&self, arguments: &[&str], line: &str) {
        let mut command = Command::new(program("cmdr"));
        command.args(arguments).env("CMDR_HOME", self.path("home"));
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{line}").unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    }

    fn row(&self, name: &str) -> serde_json::Value {
        let all = self.says(&["forward", "status", "-o", "json"]);
        let all: serde_json::Value = serde_json::from_str(&all).unwrap();
        let all = all.as_array().unwrap().clone();
        all.into_iter().find(|row| row["forward"]["name"] == name).unwrap()
    }

    /// Waits until a forward listens.
    fn until_listens(&self, name: &str) {
        // Before its host has said anything there is no word of it at all.
        until(&format!("{name} listens"), || {
            self.row(name)["stand"]["listening"].as_str().is_some_and(|at| !at.is_empty())
        });
    }

    fn keep(&self, name: &str, kind: &str, port: u16) {
        let (at, to) = (format!("edge:{port}"), format!("edge:{}", self.service));
        let mut words = vec!["forward", "add", name, &at];
        if !["http", "socks5", "socks5-udp"].contains(&kind) {
            words.push(&to);
        }
        self.says(&[&words[..], &["--kind", kind]].concat());
        self.until_listens(name);
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.service)
    }
}

/// Something that answers each request over TCP, and each datagram.
fn service() -> u16 {
    let (tcp, udp) = loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            break (tcp, udp);
        }
    };
    let port = tcp.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut room = [0; 2048];
        while let Ok((n, from)) = udp.recv_from(&mut room) {
            udp.send_to(&room[..n], from).ok();
        }
    });
    std::thread::spawn(move || {
        for mut stream in tcp.incoming().flatten() {
            std::thread::spawn(move || serve(&mut stream).ok());
        }
    });
    port
}

/// Echoes lines; one that asks for something by HTTP is answered with that.
fn serve(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut heard = Vec::new();
    let mut room = [0; 2048];
    loop {
        let read = stream.read(&mut room)?;
        if read == 0 {
            return Ok(());
        }
        heard.extend_from_slice(&room[..read]);
        if heard.starts_with(b"GET ") {
            let Some(end) = heard.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let long = String::from_utf8_lossy(&heard[..end]).contains("/long");
            let body = if long { vec![b'x'; LONG] } else { b"from the service".to_vec() };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes())?;
            stream.write_all(&body)?;
        } else {
            stream.write_all(&heard)?;
        }
        heard.clear();
    }
}

fn ports<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| cmdr_link::port::choose())
}

fn curl(arguments: &[&str]) -> Output {
    // What the environment says of proxies is none of this.
    let mut command = Command::new("curl");
    run(command.env_clear().args(["-sS", "--max-time", "20"]).args(arguments))
}

fn through(arguments: &[&str]) -> String {
    let output = curl(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Says something on a connection and hears it again.
fn echoes(stream: &mut TcpStream, what: &str) -> bool {
    let mut heard = vec![0; what.len()];
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(what.as_bytes()).is_ok()
        && stream.read_exact(&mut heard).is_ok()
        && heard == what.as_bytes()
}

fn datagram(port: u16) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    let mut room = [0; 16];
    socket.send(b"hello").is_ok() && socket.recv(&mut room).is_ok_and(|n| room[..n] == *b"hello")
}

#[test]
fn curl_goes_through_proxies_with_the_right_password_to_where_their_owner_lets_it() {
    let mut story = Story::begin();
    let [http, socks, other] = ports();
    story.start_agent();
    let add = ["forward", "add", "web", &format!("edge:{http}"), "--kind", "http", "--user", "ann"];
    story.told(&add, PASSWORD);
    let file = story.path("socks.yaml");
    std::fs::write(story.path("secret"), PASSWORD).unwrap();
    let yaml = format!(
        "name: socks\nkind: socks5\nhost: edge\nlisten: 127.0.0.1:{socks}\nuser: ann\npassword_file: secret\n"
    );
    std::fs::write(&file, yaml).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let planned = story.says(&["forward", "plan", &file]);
    assert!(planned.contains("+ socks: socks5 edge"), "{planned}");
    story.says(&["forward", "apply", &file]);
    let again = story.cmdr(&["forward", "apply", &file]);
    assert!(text(&again.stderr).contains("nothing changed"), "{}", text(&again.stderr));
    story.until_listens("web");
    story.until_listens("socks");

    let web = format!("http://127.0.0.1:{http}");
    let socks_at = format!("socks5h://127.0.0.1:{socks}");
    let login = format!("ann:{PASSWORD}");
    let url = story.url("");
    for proxy in [&web, &socks_at] {
        assert_eq!(through(&["-x", proxy, "-U", &login, &url]), "from the service");
        let named = url.replace("127.0.0.1", "localhost");
        assert_eq!(through(&["-x", proxy, "-U", &login, &named]), "from the service");
    }
    assert_eq!(through(&["-p", "-x", &web, "-U", &login, &url]), "from the service", "by CONNECT");

    // Who does not know the password gets nowhere, and neither does anybody where the owner lets nobody.
    let code = |proxy: &str, login: &str, url: &str| {
        text(
            &curl(&["-o", "/dev/null", "-w", "%{http_code}", "-x", proxy, "-U", login, url]).stdout,
        )
    };
    assert_eq!(code(&web, "ann:wrong", &url), "407");
    assert_eq!(code(&web, "bob:correct horse 7", &url), "407");
    assert_eq!(code(&web, &login, &format!("http://127.0.0.1:{other}/")), "403");
    assert_eq!(curl(&["-x", &socks_at, "-U", "ann:wrong", &url]).status.code(), Some(97));
    let elsewhere = format!("http://127.0.0.1:{other}/");
    assert_eq!(curl(&["-x", &socks_at, "-U", &login, &elsewhere]).status.code(), Some(97));
    let hub_itself = format!("http://{}/", story.hub.address);
    assert_eq!(code(&web, &login, &hub_itself), "403");
    until("it is said why", || {
        let row = story.row("web");
        row["stand"]["failed"].as_u64() >= Some(3)
            && row["stand"]["last_error"].as_str().unwrap().contains("may not go there")
    });

    // Another password holds from now on; one that is not said again stays.
    std::fs::write(story.path("secret"), "another one").unwrap();
    story.says(&["forward", "apply", &file]);
    until("the new one holds", || {
        curl(&["-x", &socks_at, "-U", "ann:another one", &url]).status.success()
    });
    assert!(!curl(&["-x", &socks_at, "-U", &login, &url]).status.success());
    let without =
        std::fs::read_to_string(&file).unwrap().replace("password_file: secret\n", "note: x\n");
    std::fs::write(&file, without).unwrap();
    story.says(&["forward", "apply", &file]);
    until("its host has heard of it", || {
        let row = story.row("socks");
        row["revision"] == row["stand"]["revision"]
    });
    assert!(curl(&["-x", &socks_at, "-U", "ann:another one", &url]).status.success());

    // Nobody is shown it.
    let mut shown = String::new();
    for words in [
        &["forward", "show", "web"][..],
        &["forward", "ls", "-o", "json"],
        &["forward", "status", "-o", "yaml"],
        &["audit", "-o", "json"],
    ] {
        shown += &story.says(words);
    }
    for log in ["agent.log", "hub.log"] {
        shown += &std::fs::read_to_string(story.path(log)).unwrap_or_default();
    }
    assert!(shown.contains("forwards.put") && shown.contains("‹secret›"), "{shown}");
    assert!(!shown.contains(PASSWORD) && !shown.contains("another one"), "{shown}");
}

#[test]
fn what_one_host_carries_goes_on_while_its_agent_and_the_hub_come_and_go() {
    let mut story = Story::begin();
    let [tcp, udp, socks] = ports();
    story.start_agent();
    story.keep("tcp", "tcp", tcp);
    story.keep("udp", "udp", udp);
    story.keep("socks", "socks5", socks);
    let mut kept = TcpStream::connect(("127.0.0.1", tcp)).unwrap();
    assert!(echoes(&mut kept, "first") && datagram(udp));

    // A download that takes some seconds, and meanwhile agent and hub are killed and the agent comes back alone.
    let out = story.path("long");
    let mut command = Command::new("curl");
    command.env_clear().args(["-sS", "--limit-rate", "4M", "--max-time", "40", "-o"]).arg(&out);
    command.args(["-x", &format!("socks5h://127.0.0.1:{socks}"), &story.url("long")]);
    let mut download = Running::start(&mut command, &story.path("curl.log"));
    let arrived = || std::fs::metadata(&out).map_or(0, |about| about.len());
    until("some of it is there", || arrived() > 500_000);
    story.agent.take().unwrap().kill();
    assert!(echoes(&mut kept, "nobody looks after it") && datagram(udp));
    story.hub.kill();
    story.start_agent();
    let log = story.path("agent.log");
    until("the agent is back", || {
        std::fs::read_to_string(&log).unwrap_or_default().matches("the agent starts").count() == 2
    });
    let then = arrived();
    until("it goes on", || arrived() > then);
    assert!(echoes(&mut kept, "the agent is there again") && datagram(udp));
    let mut new = TcpStream::connect(("127.0.0.1", tcp)).unwrap();
    assert!(echoes(&mut new, "new"));
    let mut end = None;
    until("all is there", || {
        end = end.or_else(|| download.ended());
        end.is_some()
    });
    assert!(end.unwrap().success(), "{}", download.text());
    assert_eq!(arrived(), LONG as u64);

    story.hub.start_again();
    until("the hub hears of it", || story.row("tcp")["stand"]["open"] == 2);

    // The program that carries them dies as well: what it had is lost, and all listens again.
    let status: serde_json::Value =
        serde_json::from_str(&story.ask(r#"{"request":"status"}"#)).unwrap();
    let pid = i32::try_from(status["pid"].as_i64().unwrap()).unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    until("it listens again", || {
        TcpStream::connect(("127.0.0.1", tcp)).is_ok_and(|mut tcp| echoes(&mut tcp, "again"))
    });
    until("and the others", || datagram(udp));
    assert!(
        through(&["-x", &format!("socks5h://127.0.0.1:{socks}"), &story.url("")]).contains("from")
    );
    until("what was counted stays", || story.row("tcp")["stand"]["total"].as_u64() >= Some(3));
}

#[test]
fn a_forward_of_one_host_is_stopped_resumed_cut_and_removed() {
    let mut story = Story::begin();
    let [tcp, moved] = ports();
    story.start_agent();
    story.keep("x", "tcp", tcp);
    let connect = |port: u16| TcpStream::connect(("127.0.0.1", port));
    let mut first = connect(tcp).unwrap();
    assert!(echoes(&mut first, "first"));
    story.says(&["forward", "stop", "x"]);
    until("nobody listens", || connect(tcp).is_err());
    assert!(echoes(&mut first, "still"), "what is there goes on");
    until("it is counted", || story.row("x")["stand"]["open"] == 1);
    assert!(story.says(&["forward", "ls"]).contains("stopped"));
    story.says(&["forward", "resume", "x"]);
    until("it listens", || connect(tcp).is_ok());
    let mut second = connect(tcp).unwrap();
    assert!(echoes(&mut first, "both") && echoes(&mut second, "both"));
    story.says(&["forward", "cut", "x", "--yes"]);
    until("they end", || !echoes(&mut first, "over") && !echoes(&mut second, "over"));

    // Somebody else has the port.
    let taken = TcpListener::bind(("127.0.0.1", moved)).unwrap();
    let yaml = story.says(&["forward", "show", "x"]).replace(&tcp.to_string(), &moved.to_string());
    let file = story.path("x.yaml");
    std::fs::write(&file, yaml).unwrap();
    story.says(&["forward", "apply", file.to_str().unwrap()]);
    until("it is said who", || {
        let row = story.row("x");
        let told = row["stand"]["problem"].as_str().unwrap().to_owned();
        told.contains("in use") && told.contains(&std::process::id().to_string())
    });
    assert!(connect(tcp).is_ok_and(|mut tcp| echoes(&mut tcp, "meanwhile")));
    drop(taken);
    until("it listens there", || connect(moved).is_ok_and(|mut tcp| echoes(&mut tcp, "there")));
    until("and no more where it was", || connect(tcp).is_err());

    // Who loses the right to have the host connect there loses the connections.
    let mut third = connect(moved).unwrap();
    assert!(echoes(&mut third, "third"));
    let admin = story.hub.token(Some("administrator"), 1);
    let mut login = Command::new(program("cmdr"));
    let login = run(login.args(["login", &admin]).env("CMDR_HOME", story.path("other")));
    assert!(login.status.success(), "{}", text(&login.stderr));
    let by = story.row("x")["by"].as_str().unwrap().to_owned();
    let mut disable = Command::new(program("cmdr"));
    disable.args(["operators", "disable", &by, "--yes"]).env("CMDR_HOME", story.path("other"));
    let began = Instant::now();
    let disabled = run(&mut disable);
    assert!(disabled.status.success(), "{}", text(&disabled.stderr));
    until("they end", || !echoes(&mut third, "over"));
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    until("nobody listens", || connect(moved).is_err());
}

#[test]
fn a_forward_that_was_deleted_while_its_host_was_away_does_not_come_back() {
    let mut story = Story::begin();
    let [port] = ports();
    story.start_agent();
    story.keep("local", "tcp", port);
    let mut first = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert!(echoes(&mut first, "first"));
    story.agent.take().unwrap().kill();
    until("the host is away", || story.says(&["hosts", "-o", "json"]).contains("\"away\""));
    let mut meanwhile = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert!(echoes(&mut meanwhile, "it needs neither agent nor hub"));
    story.says(&["forward", "rm", "local", "--yes"]);
    story.hub.kill();
    story.hub.start_again();
    story.start_agent();
    until("they are over", || !echoes(&mut first, "x") && !echoes(&mut meanwhile, "x"));
    until("nobody listens", || TcpStream::connect(("127.0.0.1", port)).is_err());
    assert_eq!(story.says(&["forward", "ls", "-o", "name"]).trim(), "");
}

/// Asks a SOCKS5 proxy for a relay of datagrams: its answer, the connection that it lives by, and the relay's port.
fn associate(proxy: u16) -> (u8, TcpStream, u16) {
    let mut stream = TcpStream::connect(("127.0.0.1", proxy)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"\x05\x01\x00\x05\x03\x00\x01\0\0\0\0\0\0").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    (answer[3], stream, u16::from_be_bytes([answer[10], answer[11]]))
}

#[test]
fn datagrams_go_through_a_socks_proxy_of_that_kind_where_the_owner_lets_them() {
    let mut story = Story::begin();
    let [both, plain, other] = ports();
    story.start_agent();
    story.keep("both", "socks5-udp", both);
    story.keep("plain", "socks5", plain);
    assert_eq!(associate(plain).0, 7, "a proxy of connections alone");

    let (code, stream, relay) = associate(both);
    assert_eq!(code, 0);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let to = |port: u16, what: &[u8]| {
        let head = [&[0, 0, 0, 1, 127, 0, 0, 1][..], &port.to_be_bytes()].concat();
        let whole = [&head[..], what].concat();
        socket.send_to(&whole, ("127.0.0.1", relay)).unwrap();
        whole
    };
    // What its owner does not name gets nothing: what comes back first is of the second one.
    to(other, b"not there");
    let sent = to(story.service, b"hello");
    let mut room = [0; 64];
    let n = socket.recv(&mut room).unwrap();
    assert_eq!(room[..n], sent);
    let url = story.url("");
    assert!(through(&["-x", &format!("socks5h://127.0.0.1:{both}"), &url]).contains("from"));
    // It is over with its connection.
    drop(stream);
    until("the relay is gone", || {
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
        gone.connect(("127.0.0.1", relay)).unwrap();
        gone.send(b"x").ok();
        gone.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        gone.recv(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused)
    });
}
