//! What the stories share: a gateway of one's own with its control socket, upstreams, waiting.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_cmdr-gateway");

pub(crate) fn pause() {
    std::thread::park_timeout(Duration::from_millis(5));
}

/// Waits until something is so; panics with its name when it takes too long.
pub(crate) fn wait_until<T>(what: &str, mut test: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(got) = test() {
            return got;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        pause();
    }
}

pub(crate) struct Gateway {
    pub(crate) child: Child,
    pub(crate) dir: Arc<tempfile::TempDir>,
}

impl Gateway {
    pub(crate) fn start(config: &str) -> Self {
        Self::start_with(config, &[], &[])
    }

    /// With words of its own, run by other words (`prlimit …`).
    pub(crate) fn start_with(config: &str, words: &[&str], by: &[&str]) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(dir.path().join("c.toml"), config).unwrap();
        let gateway = Self::spawn(&dir, words, by);
        wait_until("the control socket", || UnixStream::connect(gateway.socket()).ok());
        gateway
    }

    fn spawn(dir: &Arc<tempfile::TempDir>, words: &[&str], by: &[&str]) -> Self {
        let mut all: Vec<String> = by.iter().map(|w| (*w).to_owned()).collect();
        all.extend([PROGRAM, "run", "--control"].map(str::to_owned));
        all.push(dir.path().join("s").display().to_string());
        all.extend(words.iter().map(|w| (*w).to_owned()));
        all.push(dir.path().join("c.toml").display().to_string());
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.path().join("log"))
            .unwrap();
        let child = Command::new(&all[0])
            .args(&all[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, dir: dir.clone() }
    }

    /// A successor that takes this one's sockets.
    pub(crate) fn successor(&self) -> Self {
        let next = Self::spawn(&self.dir, &["--take-over"], &[]);
        let pid = next.child.id();
        wait_until(&format!("successor {pid}; log so far {}", self.log()), || {
            let answer = self.try_ask(&json!({ "request": "status" }))?;
            (answer["pid"] == pid).then_some(())
        });
        next
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    fn try_ask(&self, request: &Value) -> Option<Value> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        stream.write_all(format!("{request}\n").as_bytes()).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    pub(crate) fn ask(&self, request: &Value) -> Value {
        self.try_ask(request)
            .unwrap_or_else(|| panic!("no answer to {request}; log: {}", self.log()))
    }

    pub(crate) fn status(&self) -> Value {
        self.ask(&json!({ "request": "status" }))
    }

    pub(crate) fn listener(&self, name: &str) -> Value {
        let status = self.status();
        status["listeners"].as_array().unwrap().iter().find(|l| l["name"] == name).unwrap().clone()
    }

    pub(crate) fn upstream(&self, address: SocketAddr) -> Value {
        let status = self.status();
        let all = status["groups"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|g| g["upstreams"].as_array().unwrap());
        let found = all.clone().find(|u| u["address"] == address.to_string());
        found.unwrap().clone()
    }

    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        self.listener(listener)["address"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn connect(&self, listener: &str) -> TcpStream {
        let stream = TcpStream::connect(self.address(listener)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Reasons in the log of connections.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let log = self.ask(&json!({ "request": "log" }));
        log["log"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["reason"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn wait_for_reason(&self, reason: &str) {
        wait_until(reason, || self.reasons().iter().any(|r| r == reason).then_some(()));
    }

    pub(crate) fn apply(&self, config: &str) {
        assert_eq!(
            self.ask(&json!({ "request": "apply", "config": config })),
            json!({ "ok": true })
        );
    }

    pub(crate) fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    pub(crate) fn threads(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap().count()
    }

    /// KiB of its own memory.
    pub(crate) fn memory(&self) -> u64 {
        let text =
            std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap();
        // Not what the program's file is mapped to: others that run it share that.
        let line = text.lines().find(|l| l.starts_with("Anonymous:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An upstream: each connection is given to a function on a thread of its own.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) served: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Upstream {
    pub(crate) fn new(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Self::on(listener, serve)
    }

    pub(crate) fn on(
        listener: TcpListener,
        serve: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let (served, stop, serve) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)), Arc::new(serve));
        let (count, stopped) = (served.clone(), stop.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Relaxed) {
                    return;
                }
                let (Ok(stream), serve) = (stream, serve.clone()) else { continue };
                count.fetch_add(1, Relaxed);
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { address, served, stop }
    }

    /// Sends back what comes, until the end, and then ends.
    pub(crate) fn echo() -> Self {
        Self::new(|mut stream| {
            let mut buffer = vec![0; 65536];
            while let Ok(n @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..n]).is_err() {
                    return;
                }
            }
        })
    }

    /// Says its name and ends.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::new(move |mut stream| {
            stream.write_all(name.as_bytes()).ok();
        })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        TcpStream::connect(self.address).ok();
    }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A configuration with one listener "l" and one group "g" of upstreams.
pub(crate) fn simple(listener: &str, group: &str, upstreams: &[SocketAddr]) -> String {
    let all: Vec<String> = upstreams.iter().map(|a| format!("{{ address = \"{a}\" }}")).collect();
    format!(
        "workers = 2\n[[listener]]\nname = \"l\"\naddress = \"127.0.0.1:0\"\ngroup = \"g\"\n{listener}\n[[group]]\nname = \"g\"\n{group}\nupstream = [{}]\n",
        all.join(", ")
    )
}

pub(crate) fn read_all(mut stream: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    Ok(all)
}
