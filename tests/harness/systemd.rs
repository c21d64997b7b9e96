//! A host with a real systemd, in a container that shares this machine's network: agents in it reach
//! a hub of the test's. `scripts/docker` sees to an engine and to the image.

use crate::process::{pause, program, run};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The container; removed when dropped.
#[derive(Debug)]
pub struct Host {
    engine: String,
    id: String,
}

impl Host {
    /// Boots one, and waits until its service manager is done with that.
    pub fn boot() -> Self {
        Self::boot_with(&["--network", "host"])
    }

    /// Boots one without any network, for whose package manager everything is in two folders, as
    /// `scripts/catalogue fetch` leaves them.
    pub fn boot_apart(packages: &Path) -> Self {
        let mount = |from: &str, to: &str| format!("{}:{to}", packages.join(from).display());
        let lists = mount("lists", "/var/lib/apt/lists");
        let archives = mount("archives", "/var/cache/apt/archives");
        let host = Self::boot_with(&["--network", "none", "-v", &lists, "-v", &archives]);
        // What the image leaves out, and packages put links into; and a name for itself.
        let script = "mkdir -p /usr/share/man/man1 /usr/share/man/man5 /usr/share/man/man7 \
                      /usr/share/man/man8 /usr/share/doc && echo 127.0.1.1 $(hostname) >> /etc/hosts";
        host.run(&["sh", "-c", script]);
        host
    }

    fn boot_with(more: &[&str]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/docker");
        // The first time the image is built, which takes a minute or two.
        let output = Command::new(&script).arg("up").output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} up: {words}", script.display());
        let engine = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let agent = format!("{}:/usr/sbin/cmdr-agentd:ro", program("cmdr-agentd").display());
        let mut command = Command::new("docker");
        command.args(["-H", &engine, "run", "-d"]).args(more);
        // What systemd needs to be the first process of a container.
        command.args(["--cap-add", "SYS_ADMIN", "--cgroupns=host"]);
        command.args(["--security-opt", "seccomp=unconfined"]);
        command.args(["--security-opt", "apparmor=unconfined"]);
        command.args(["-v", "/sys/fs/cgroup:/sys/fs/cgroup", "-v", &agent]);
        command.args(["--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"]);
        let output = run(command.args(["commander-systemd:2", "/sbin/init"]));
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "docker run: {words}");
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let host = Self { engine, id };
        let begin = Instant::now();
        loop {
            let (_, said) = host.try_run(&["systemctl", "is-system-running"]);
            if ["running", "degraded"].contains(&said.trim()) {
                return host;
            }
            assert!(begin.elapsed() < Duration::from_mins(1), "systemd is not up: {said}");
            pause();
        }
    }

    /// What a program says in it, and whether it succeeded.
    pub fn try_run(&self, argv: &[&str]) -> (bool, String) {
        let mut command = Command::new("docker");
        let output = run(command.args(["-H", &self.engine, "exec", &self.id]).args(argv));
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    }

    /// What a program says in it; it must succeed.
    pub fn run(&self, argv: &[&str]) -> String {
        let (done, said) = self.try_run(argv);
        assert!(done, "{argv:?}: {said}");
        said
    }

    /// Runs a program in it with these variables and this input: its exit code, and what it says.
    pub fn exec(
        &self,
        argv: &[String],
        env: &BTreeMap<String, String>,
        input: &[u8],
    ) -> (i32, String) {
        let mut command = Command::new("docker");
        command.args(["-H", &self.engine, "exec", "-i"]);
        for (name, value) in env {
            command.args(["-e", &format!("{name}={value}")]);
        }
        command.arg(&self.id).args(argv);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that reads nothing may be gone before it has all.
        drop(child.stdin.take().map(|mut stdin| stdin.write_all(input)));
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap_or(128), said)
    }

    /// Writes a unit that everybody may read.
    pub fn unit(&self, name: &str, text: &str) {
        let path = format!("/etc/systemd/system/{name}");
        self.run(&[
            "sh",
            "-c",
            "printf '%s' \"$2\" > \"$1\" && chmod 644 \"$1\"",
            "sh",
            &path,
            text,
        ]);
        self.run(&["systemctl", "daemon-reload"]);
    }

    /// Joins with this token and runs the agent as a unit of its own.
    pub fn start_agent(&self, token: &str, name: &str) {
        self.run(&["cmdr-agentd", "join", "--name", name, "--state", "/var/lib/cmdr", token]);
        let text = "[Unit]\nDescription=Commander's agent\n[Service]\n\
                    ExecStart=/usr/sbin/cmdr-agentd run --state /var/lib/cmdr\n\
                    [Install]\nWantedBy=multi-user.target\n";
        self.unit("cmdr-agentd.service", text);
        self.run(&["systemctl", "start", "cmdr-agentd.service"]);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let mut command = Command::new("docker");
        command.args(["-H", &self.engine, "rm", "--force", "--volumes", &self.id]);
        drop(command.output());
    }
}
