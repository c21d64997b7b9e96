//! The real programs as processes of their own.

use cmdr_link::SecretKey;
use cmdr_link::link::Target;
use cmdr_link::mux::Limits;
use cmdr_link::session::Dialer;
use cmdr_link::token::JoinToken;
use cmdr_protocol::version::{Join, PeerKind};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// The program of this name, built beside the tests.
pub fn program(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let dir = exe.parent().and_then(Path::parent).unwrap();
    let path = dir.join(name);
    assert!(path.exists(), "{} is not built; run: cargo build --workspace --bins", path.display());
    path
}

/// A running program; ended by its pid when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// What it wrote to its standard error.
    pub log: PathBuf,
}

impl Running {
    /// Starts a command, its standard error going to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let file = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let out = file.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(out).stderr(file).spawn().unwrap();
        Self { child, log: log.to_owned() }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// What it wrote.
    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs a command to its end, which must come within a minute.
pub fn run(command: &mut Command) -> Output {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).ok();
        bytes
    });
    let errors = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        err.read_to_end(&mut bytes).ok();
        bytes
    });
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > Duration::from_mins(1) {
            child.kill().ok();
            panic!("{command:?} did not end within a minute");
        }
        pause();
    };
    Output { status, stdout: reader.join().unwrap(), stderr: errors.join().unwrap() }
}

/// A short pause between two looks at something outside of this process.
pub fn pause() {
    #[expect(clippy::disallowed_methods, reason = "polling another process from a plain thread")]
    std::thread::sleep(Duration::from_millis(10));
}

/// Waits until something outside of this process holds; fails the test with `what` when it never does.
pub fn until(what: &str, holds: impl FnMut() -> bool) {
    assert!(until_within(Duration::from_secs(30), holds), "waited in vain: {what}");
}

/// Waits until something outside of this process holds; false when it does not within this time.
pub fn until_within(time: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while !holds() {
        if begin.elapsed() >= time {
            return false;
        }
        pause();
    }
    true
}

/// A hub of its own, as a process.
#[derive(Debug)]
pub struct HubProcess {
    /// Its data folder and whatever else the test keeps.
    pub dir: tempfile::TempDir,
    /// Where it listens, the same after each start.
    pub address: String,
    /// The process, while it runs.
    pub running: Option<Running>,
    /// More options for it.
    pub options: Vec<String>,
    /// More for its environment.
    pub environment: Vec<(String, String)>,
}

impl HubProcess {
    /// Starts a hub on a free port.
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    /// Starts a hub on a free port, its data in the folder `hub` of this one.
    pub fn start_in(dir: tempfile::TempDir) -> Self {
        let mut hub = Self::unstarted(dir);
        hub.start_again();
        hub
    }

    /// One that [`HubProcess::start_again`] starts.
    pub fn unstarted(dir: tempfile::TempDir) -> Self {
        let address = format!("127.0.0.1:{}", cmdr_link::port::choose());
        Self { dir, address, running: None, options: Vec::new(), environment: Vec::new() }
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("hub")
    }

    /// The hub's public key.
    pub fn key(&self) -> cmdr_protocol::PublicKey {
        cmdr_link::hubkeys::HubKeys::load(&self.data().join("hub.key")).unwrap().current.public()
    }

    /// Starts it on the same data and address, and waits until it listens.
    pub fn start_again(&mut self) {
        let ready = self.dir.path().join("ready");
        std::fs::remove_file(&ready).ok();
        let mut command = Command::new(program("cmdr-hub"));
        command
            .args(&self.options)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args(["serve", "--no-first-token", "--data"])
            .arg(self.data())
            .args(["--listen", &self.address, "--ready-file"])
            .arg(&ready);
        let mut running = Running::start(&mut command, &self.dir.path().join("hub.log"));
        let begin = Instant::now();
        while !ready.exists() {
            let ended = running.ended();
            assert!(ended.is_none(), "the hub ended with {ended:?}:\n{}", running.text());
            assert!(
                begin.elapsed() < Duration::from_secs(30),
                "the hub is not up:\n{}",
                running.text()
            );
            pause();
        }
        let text = std::fs::read_to_string(&ready).unwrap();
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        told["address"].as_str().unwrap().clone_into(&mut self.address);
        self.running = Some(running);
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        self.running.take().expect("the hub runs").kill();
    }

    /// What `cmdr-hub ARGS` prints; it must succeed.
    pub fn command(&self, args: &[&str]) -> String {
        let output =
            run(Command::new(program("cmdr-hub")).arg("--data").arg(self.data()).args(args));
        assert!(
            output.status.success(),
            "cmdr-hub {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// What dials it, with a token when it is not known yet.
    pub fn dialer(
        &self,
        kind: PeerKind,
        key: &SecretKey,
        token: Option<&str>,
        name: &str,
    ) -> Dialer {
        let token = token.map(|text| JoinToken::parse(text).unwrap());
        Dialer {
            target: Target { address: self.address.clone(), hub: self.key() },
            key: key.clone(),
            kind,
            name: name.to_owned(),
            version: "test",
            capabilities: Vec::new(),
            join: token.map(|t| Join { token: Some(t.id), secret: t.secret.to_vec() }),
            limits: Limits::default(),
            patience: Duration::from_millis(500),
            from: None,
            dir: None,
        }
    }

    /// A token for an operator (with this role) or a host.
    pub fn token(&self, role: Option<&str>, uses: u32) -> String {
        let uses = uses.to_string();
        let mut args = vec!["token", "-q", "--uses", &uses, "--address", &self.address];
        match role {
            Some(role) => args.extend(["--operator", role]),
            None => args.push("--host"),
        }
        self.command(&args).trim().to_owned()
    }
}
