//! Gateways from end to end: nginx behind one that `cmdr gateway` makes, under load while its upstreams, its agent, its
//! program and the hub come and go.

use crate::local::text;
use harness::process::{HubProcess, Running, program, run, until};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A hub, a host with its agent, and whatever of its gateway is left to be ended.
struct Story {
    hub: HubProcess,
    agent: Option<Running>,
    nginx: Vec<Running>,
}

impl Drop for Story {
    fn drop(&mut self) {
        drop(self.agent.take());
        // What outlives its agent on purpose: asked to end, by its socket.
        let stop = r#"{"request":"stop"}"#;
        let mut ask = Command::new(self.gateway_program());
        drop(ask.arg("ask").arg(self.state().join("dataplane/control.sock")).arg(stop).output());
    }
}

impl Story {
    fn begin() -> Self {
        let hub = HubProcess::start();
        let story = Self { hub, agent: None, nginx: Vec::new() };
        // Programs of its own, so that they can be replaced.
        for name in ["cmdr-agentd", "cmdr-gateway"] {
            std::fs::copy(program(name), story.path(name)).unwrap();
        }
        let mut join = Command::new(story.path("cmdr-agentd"));
        join.args(["join", "--name", "lb1", "--state"]).arg(story.state());
        let joined = run(join.arg(story.hub.token(None, 1)));
        assert!(joined.status.success(), "{}", text(&joined.stderr));
        let admin = story.hub.token(Some("administrator"), 1);
        story.says(&["login", &admin]);
        story
    }

    fn path(&self, name: &str) -> PathBuf {
        self.hub.dir.path().join(name)
    }

    fn state(&self) -> PathBuf {
        self.path("lb1")
    }

    fn gateway_program(&self) -> PathBuf {
        self.path("cmdr-gateway")
    }

    fn start_agent(&mut self) {
        let mut command = Command::new(self.path("cmdr-agentd"));
        command.args(["run", "--state"]).arg(self.state());
        self.agent = Some(Running::start(&mut command, &self.path("agent.log")));
    }

    fn start_nginx(&mut self, port: u16) {
        let dir = self.path(&format!("nginx-{port}"));
        std::fs::create_dir_all(&dir).unwrap();
        let config = format!(
            "daemon off; master_process off; pid nginx.pid; error_log error.log;\nevents {{}}\nhttp {{ access_log off; \
             client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;\n\
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 \"from {port}\\n\"; }} }} }}\n"
        );
        std::fs::write(dir.join("nginx.conf"), config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&dir).args(["-e", "error.log", "-c", "nginx.conf"]);
        self.nginx.push(Running::start(&mut command, &dir.join("log")));
        until("nginx listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    fn cmdr(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(program("cmdr"));
        run(command.args(arguments).env("CMDR_HOME", self.path("home")))
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.cmdr(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn write(&self, port: u16, upstreams: &[u16]) -> String {
        let upstreams: Vec<String> = upstreams
            .iter()
            .map(|port| format!("  - {{ address: '127.0.0.1:{port}' }}\n"))
            .collect();
        let content = format!(
            "name: web\nhost: lb1\nlisteners:\n- {{ name: http, address: '127.0.0.1:{port}', group: web }}\ngroups:\n\
             - name: web\n  retries: 3\n  check: {{ kind: tcp, interval: 250ms, fall: 2, rise: 1 }}\n  upstreams:\n{}",
            upstreams.concat()
        );
        let file = self.path("web.yaml");
        std::fs::write(&file, content).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// The process that carries the connections.
    fn pid(&self) -> u64 {
        let told = self.says(&["gateway", "status", "web", "-o", "json"]);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told["figures"]["pid"].as_u64().unwrap()
    }

    fn upstream(&self, port: u16) -> String {
        let told = self.says(&["gateway", "status", "web", "-o", "json"]);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        let upstreams = told["figures"]["groups"][0]["upstreams"].as_array().unwrap().clone();
        let address = format!("127.0.0.1:{port}");
        let one = upstreams.iter().find(|one| one["address"] == address.as_str());
        one.map_or_else(|| "none".to_owned(), |one| one["state"].as_str().unwrap().to_owned())
    }
}

fn ports<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| cmdr_link::port::choose())
}

/// One request on a connection of its own; which upstream answered.
fn request(port: u16) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let from = answer.rsplit_once("from ").and_then(|(_, port)| port.trim().parse().ok());
    from.ok_or_else(|| std::io::Error::other(format!("no answer: {answer:?}")))
}

/// Requests without end, from several clients; and a connection that is kept all the time.
struct Load {
    done: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
    kept: TcpStream,
}

impl Load {
    fn begin(port: u16) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let good = Arc::new(AtomicU64::new(0));
        let client = |_| {
            let (done, good) = (done.clone(), good.clone());
            std::thread::spawn(move || {
                let mut bad = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    match request(port) {
                        Ok(_) => drop(good.fetch_add(1, Ordering::Relaxed)),
                        Err(e) => bad.push(e.to_string()),
                    }
                }
                bad
            })
        };
        let clients = (0..4).map(client).collect();
        let mut kept = TcpStream::connect(("127.0.0.1", port)).unwrap();
        kept.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        ask_kept(&mut kept);
        Self { done, good, clients, kept }
    }

    /// Waits until so many more requests were answered.
    fn goes_on(&mut self) {
        let target = self.good.load(Ordering::Relaxed) + 200;
        until("requests are answered", || self.good.load(Ordering::Relaxed) >= target);
        ask_kept(&mut self.kept);
    }

    /// What failed.
    fn end(self) -> Vec<String> {
        self.done.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

/// A request on a connection that stays.
fn ask_kept(stream: &mut TcpStream) {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut byte = [0; 512];
    while !String::from_utf8_lossy(&answer).contains("\r\n\r\nfrom ") {
        let read = stream.read(&mut byte).unwrap();
        assert!(read > 0, "it was cut");
        answer.extend_from_slice(&byte[..read]);
    }
}

#[test]
fn upstreams_agent_and_program_come_and_go_under_load_and_no_request_fails() {
    let mut story = Story::begin();
    let [port, one, two, three] = ports();
    story.start_agent();
    story.start_nginx(one);
    story.start_nginx(two);
    let file = story.write(port, &[one, two]);
    let planned = story.says(&["gateway", "plan", &file]);
    assert!(planned.contains("+ web: new, on lb1"), "{planned}");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "a plan changes nothing");
    story.says(&["gateway", "apply", &file]);
    let first = story.pid();
    let mut load = Load::begin(port);
    load.goes_on();

    // Drained and taken back, and one put in place of the other: nothing is lost.
    let address = |port: u16| format!("127.0.0.1:{port}");
    story.says(&["gateway", "drain", "web", "web", &address(two)]);
    assert_eq!(story.upstream(two), "drained");
    assert_eq!(request(port).unwrap(), one);
    load.goes_on();
    story.says(&["gateway", "undrain", "web", "web", &address(two)]);
    story.start_nginx(three);
    let file = story.write(port, &[one, two, three]);
    story.says(&["gateway", "apply", &file]);
    load.goes_on();
    story.says(&["gateway", "switch", "web", "web", &address(three)]);
    assert!((0..20).all(|_| request(port).unwrap() == three));
    story.says(&["gateway", "switch", "web", "web", "back"]);

    // The agent is killed again and again: who carries the connections does not notice.
    for _ in 0..5 {
        story.agent.take().unwrap().kill();
        load.goes_on();
        story.start_agent();
        load.goes_on();
    }
    until("the agent is back", || story.cmdr(&["gateway", "status", "web"]).status.success());
    assert_eq!(story.pid(), first);

    // Another program lies in its place: that one takes over.
    let new = story.path("cmdr-gateway.new");
    std::fs::copy(program("cmdr-gateway"), &new).unwrap();
    std::fs::rename(&new, story.gateway_program()).unwrap();
    until("it takes over", || story.pid() != first);
    load.goes_on();

    // The hub is away.
    story.hub.kill();
    load.goes_on();
    story.hub.start_again();
    assert_eq!(load.end(), Vec::<String>::new());
}

#[test]
fn an_upstream_that_dies_is_left_alone_and_comes_back() {
    let mut story = Story::begin();
    let [port, one, two] = ports();
    story.start_agent();
    story.start_nginx(one);
    story.start_nginx(two);
    story.says(&["gateway", "apply", &story.write(port, &[one, two])]);
    let dead = story.nginx.pop().unwrap();
    dead.kill();
    until("it is down", || story.upstream(two) == "down");
    assert!((0..20).all(|_| request(port).unwrap() == one));
    story.start_nginx(two);
    until("it is up", || story.upstream(two) == "up");
    until("it serves", || request(port).unwrap() == two);
}

#[test]
fn a_gateway_goes_on_without_the_hub_and_one_that_was_removed_meanwhile_does_not_come_back() {
    let mut story = Story::begin();
    let [port, one] = ports();
    story.start_agent();
    story.start_nginx(one);
    story.says(&["gateway", "apply", &story.write(port, &[one])]);
    // Neither hub nor agent, and then the agent alone; the program dies too, and is started again.
    story.hub.kill();
    story.agent.take().unwrap().kill();
    assert_eq!(request(port).unwrap(), one);
    let stop = r#"{"request":"stop"}"#;
    let mut ask = Command::new(story.gateway_program());
    run(ask.arg("ask").arg(story.state().join("dataplane/control.sock")).arg(stop));
    until("it has ended", || TcpStream::connect(("127.0.0.1", port)).is_err());
    story.start_agent();
    until("it serves again", || request(port).is_ok());

    // It is removed while its host is away: it is gone once that is back.
    story.agent.take().unwrap().kill();
    story.hub.start_again();
    until("the host is away", || story.says(&["hosts", "-o", "json"]).contains("\"away\""));
    story.says(&["gateway", "rm", "web", "--yes"]);
    assert_eq!(request(port).unwrap(), one);
    story.start_agent();
    until("it listens no more", || TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn what_does_not_go_is_said_and_what_was_there_goes_on() {
    let mut story = Story::begin();
    let [port, one, taken] = ports();
    let _taken = std::net::TcpListener::bind(("127.0.0.1", taken)).unwrap();
    story.start_nginx(one);
    // The host is away: it is kept, and said.
    let apply = story.cmdr(&["gateway", "apply", &story.write(port, &[one])]);
    assert_eq!(apply.status.code(), Some(4), "{}", text(&apply.stderr));
    assert!(text(&apply.stderr).contains("waits for lb1"), "{}", text(&apply.stderr));
    story.start_agent();
    until("its host has heard of it", || request(port).is_ok());
    let apply = story.cmdr(&["gateway", "apply", &story.write(taken, &[one])]);
    let said = text(&apply.stderr);
    assert_eq!(apply.status.code(), Some(1), "{said}");
    let pid = std::process::id().to_string();
    assert!(
        said.contains("refused by lb1") && said.contains("in use") && said.contains(&pid),
        "{said}"
    );
    assert!(said.contains("version 1 goes on there"), "{said}");
    assert_eq!(request(port).unwrap(), one);
    let file = story.write(port, &[one]);
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap() + "nonsense: 1\n").unwrap();
    let apply = story.cmdr(&["gateway", "apply", &file]);
    let said = text(&apply.stderr);
    assert_eq!(apply.status.code(), Some(2), "{said}");
    assert!(said.contains("unknown key `nonsense`") && said.contains("web.yaml:"), "{said}");
}

#[test]
fn nginx_and_haproxy_understand_the_text_that_is_made_for_them() {
    let mut story = Story::begin();
    story.start_agent();
    until("its host is there", || story.says(&["hosts", "-o", "json"]).contains("\"online\""));
    let [http, tls, udp] = ports();
    let content = format!(
        "name: web\nhost: lb1\nlisteners:\n- {{ name: http, address: '127.0.0.1:{http}', group: web, policy: edge }}\n\
         - {{ name: tls, address: '127.0.0.1:{tls}', mode: sni, sni: {{ shop.example.org: web, '*.example.org': rest }}, group: rest }}\n\
         - {{ name: dns, address: '127.0.0.1:{udp}', transport: udp, group: rest }}\ngroups:\n\
         - {{ name: web, balance: least-connections, check: {{ kind: http, path: /health }}, send_proxy: v2, upstreams: [{{ address: '10.0.0.1:80', weight: 3, max_connections: 9 }}, {{ address: '10.0.0.2:80', backup: true }}] }}\n\
         - {{ name: rest, balance: source-hash, upstreams: [{{ address: '10.0.0.3:443' }}] }}\n\
         policies:\n- {{ name: edge, default: deny, allow: [10.0.0.0/8], deny: [10.66.0.0/16] }}\n"
    );
    let file = story.path("web.yaml");
    std::fs::write(&file, content).unwrap();
    story.says(&["gateway", "apply", file.to_str().unwrap()]);
    let written = |peer: &str, to: &Path, before: &str| {
        let text = story.says(&["gateway", "config", "web", "--for", peer]);
        std::fs::write(to, format!("{before}{text}")).unwrap();
        text
    };
    let to = story.path("nginx.conf");
    let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
    let text = written("nginx", &to, &format!("load_module {module};\nevents {{}}\npid p;\n"));
    assert!(text.contains("least_conn;") && text.contains("ssl_preread on;"), "{text}");
    let mut test = Command::new("nginx");
    test.args(["-t", "-e", "stderr", "-p"]).arg(story.hub.dir.path()).arg("-c").arg(&to);
    let tested = run(&mut test);
    assert!(tested.status.success(), "{}", self::text(&tested.stderr));
    let to = story.path("haproxy.cfg");
    let text = written("haproxy", &to, "");
    assert!(text.contains("which haproxy does not carry"), "{text}");
    let mut test = Command::new("haproxy");
    let tested = run(test.args(["-c", "-f"]).arg(&to));
    assert!(tested.status.success(), "{}", self::text(&tested.stderr));
}

#[test]
fn one_gateway_that_does_not_go_at_a_start_costs_no_other_and_is_said() {
    let mut story = Story::begin();
    let [port, one, other] = ports();
    story.start_agent();
    story.start_nginx(one);
    let file = story.write(port, &[one]);
    story.says(&["gateway", "apply", &file]);
    let second = std::fs::read_to_string(&file).unwrap().replacen("name: web", "name: also", 1);
    std::fs::write(&file, second.replace(&port.to_string(), &other.to_string())).unwrap();
    story.says(&["gateway", "apply", &file]);
    // While nobody carries connections somebody else takes the port.
    story.agent.take().unwrap().kill();
    let stop = r#"{"request":"stop"}"#;
    let mut ask = Command::new(story.gateway_program());
    run(ask.arg("ask").arg(story.state().join("dataplane/control.sock")).arg(stop));
    until("it has ended", || TcpStream::connect(("127.0.0.1", other)).is_err());
    let taken = std::net::TcpListener::bind(("127.0.0.1", other)).unwrap();
    story.start_agent();
    until("the other one serves", || request(port).is_ok());
    until("it is said", || {
        let list = story.says(&["gateway"]);
        list.lines().any(|l| l.starts_with("also") && l.contains("refused") && l.contains("in use"))
    });
    drop(taken);
    until("it goes once it can", || request(other).is_ok());
    until("that is said too", || !story.says(&["gateway"]).contains("refused"));
}

#[test]
fn a_gateway_that_is_made_while_the_last_one_ends_stays() {
    let mut story = Story::begin();
    let [port, one, other] = ports();
    story.start_agent();
    story.start_nginx(one);
    story.says(&["gateway", "apply", &story.write(port, &[one])]);
    let first = story.pid();
    let mut kept = TcpStream::connect(("127.0.0.1", port)).unwrap();
    kept.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    ask_kept(&mut kept);
    story.says(&["gateway", "rm", "web", "--yes"]);
    until("it listens no more", || TcpStream::connect(("127.0.0.1", port)).is_err());
    // It goes on for as long as somebody is connected.
    ask_kept(&mut kept);
    story.says(&["gateway", "apply", &story.write(other, &[one])]);
    assert_ne!(story.pid(), first);
    assert_eq!(request(other).unwrap(), one);
    ask_kept(&mut kept);
    drop(kept);
    until("the first one is gone", || !Path::new(&format!("/proc/{first}/root")).exists());
    assert_eq!(request(other).unwrap(), one);
}
