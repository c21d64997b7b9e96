//! A real ssh-agent, and sockets that are none.

use super::*;
use crate::SecretKey;
use crate::seal::{SealError, Sealed};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// An agent of the test's own, ended by its pid.
struct Real {
    dir: tempfile::TempDir,
    child: Child,
}

impl Drop for Real {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn succeed(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("run scripts/install-tools");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Real {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("agent");
        let child = Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .expect("run scripts/install-tools");
        let begin = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(20), "ssh-agent is not up");
            std::thread::yield_now();
        }
        Self { dir, child }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("agent")
    }

    fn agent(&self) -> Agent {
        Agent::at(self.socket(), Duration::from_secs(20))
    }

    /// Makes a key of this kind and adds it.
    fn add(&self, kind: &str) -> PathBuf {
        let file = self.dir.path().join(kind);
        let bits = if kind == "rsa" { "2048" } else { "256" };
        let mut keygen = Command::new("ssh-keygen");
        succeed(keygen.args(["-q", "-N", "", "-t", kind, "-b", bits, "-f"]).arg(&file));
        succeed(Command::new("ssh-add").arg("-q").arg(&file).env("SSH_AUTH_SOCK", self.socket()));
        file
    }

    fn remove(&self, file: &Path) {
        let mut add = Command::new("ssh-add");
        succeed(add.args(["-q", "-d"]).arg(file).env("SSH_AUTH_SOCK", self.socket()));
    }
}

#[test]
fn a_key_is_sealed_and_opened_through_a_real_agent() {
    let real = Real::start();
    let agent = real.agent();
    assert!(matches!(agent.choose(None), Err(AgentError::Choose(_))));
    for kind in ["ed25519", "rsa"] {
        let file = real.add(kind);
        let chosen = agent.choose(None).unwrap();
        let key = SecretKey::generate().unwrap();
        let sealed = Sealed::by_agent(&key, &agent, &chosen.fingerprint).unwrap();
        assert_eq!(sealed.open_by_agent(&agent).unwrap().public(), key.public());
        // Without the key, with it again.
        real.remove(&file);
        let error = sealed.open_by_agent(&agent).unwrap_err();
        assert!(error.to_string().contains("does not hold the key SHA256:"), "{error}");
        succeed(Command::new("ssh-add").arg("-q").arg(&file).env("SSH_AUTH_SOCK", real.socket()));
        assert_eq!(sealed.open_by_agent(&agent).unwrap().public(), key.public());
        real.remove(&file);
    }
}

#[test]
fn a_key_whose_signatures_are_random_is_refused_and_of_several_one_must_be_named() {
    let real = Real::start();
    let agent = real.agent();
    real.add("ecdsa");
    let error = agent.choose(None).unwrap_err();
    assert!(error.to_string().contains("signs differently each time"), "{error}");
    let named = agent.keys().unwrap()[0].fingerprint.clone();
    assert!(matches!(agent.choose(Some(&named)), Err(AgentError::Fickle(_))));
    let key = SecretKey::generate().unwrap();
    assert!(matches!(
        Sealed::by_agent(&key, &agent, &named),
        Err(SealError::Agent(AgentError::Fickle(_)))
    ));
    real.add("ed25519");
    assert_eq!(agent.choose(None).unwrap().kind, "ssh-ed25519");
    real.add("rsa");
    let error = agent.choose(None).unwrap_err().to_string();
    assert!(error.contains("holds 2 keys") && error.contains("SHA256:"), "{error}");
}

/// A socket that says this once it is asked, then hangs or hangs up.
fn fake(dir: &Path, answer: &[u8], hang: bool) -> Agent {
    let socket = dir.join("fake");
    std::fs::remove_file(&socket).ok();
    let listener = UnixListener::bind(&socket).unwrap();
    let answer = answer.to_vec();
    std::thread::spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let mut asked = [0; 1024];
        let _asked = stream.read(&mut asked);
        stream.write_all(&answer).ok();
        while hang && stream.read(&mut asked).is_ok_and(|n| n > 0) {}
    });
    Agent::at(socket, Duration::from_secs(1))
}

#[test]
fn an_agent_that_is_gone_hangs_or_talks_nonsense_is_told_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let gone = Agent::at(dir.path().join("none"), Duration::from_secs(1)).keys().unwrap_err();
    assert!(gone.to_string().contains("/none: No such file"), "{gone}");
    let hanging = fake(dir.path(), &[], true).keys().unwrap_err();
    assert!(hanging.to_string().contains("no answer within 1 s"), "{hanging}");
    let half = fake(dir.path(), &[0, 0, 0, 9, 12], true).keys().unwrap_err();
    assert!(half.to_string().contains("no answer within 1 s"), "{half}");
    for (answer, what) in [
        (&[][..], "hung up"),
        (&[0, 0, 0, 0], "makes no sense"),
        (&[0xff, 0xff, 0xff, 0xff, 12], "makes no sense"),
        (&[0, 0, 0, 1, 5], "makes no sense"),
        (&[0, 0, 0, 5, 12, 0, 0, 0, 1], "makes no sense"),
        (&[0, 0, 0, 9, 12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "makes no sense"),
        (b"HTTP/1.1 400", "makes no sense"),
    ] {
        let error = fake(dir.path(), answer, false).keys().unwrap_err();
        assert!(error.to_string().contains(what), "{answer:?}: {error}");
    }
}
