//! A real SSH server on this machine with a user of its own: in namespaces, so that no file of the machine's
//! is changed and everything of it ends with it.

use crate::process::Running;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The user who may log in.
pub const USER: &str = "cmdr-deploy";
/// Their password.
pub const PASSWORD: &str = "correct horse 7";

/// A server; ended when dropped.
#[derive(Debug)]
pub struct Sshd {
    running: Option<Running>,
    dir: PathBuf,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
}

/// By what it lets in, beside keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lets {
    /// Passwords.
    Password,
    /// Questions of its own.
    Questions,
    /// Nothing.
    KeysOnly,
}

fn keygen(path: &Path) {
    let done = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .status();
    assert!(done.unwrap().success());
}

impl Sshd {
    /// Starts one, with all that it needs in `dir`.
    pub async fn start(dir: &Path, lets: Lets) -> Self {
        let dir = dir.to_owned();
        fs::create_dir_all(dir.join("home")).unwrap();
        for above in [&dir, &dir.join("home")] {
            fs::set_permissions(above, fs::Permissions::from_mode(0o755)).unwrap();
        }
        keygen(&dir.join("host"));
        keygen(&dir.join("key"));
        let hashed = Command::new("openssl").args(["passwd", "-6", PASSWORD]).output().unwrap();
        let hash = String::from_utf8(hashed.stdout).unwrap();
        let line = format!("{USER}:x:64321:64321::{}:/bin/sh\n", dir.join("home").display());
        let added = |file: &str, line: &str| {
            let mut text = fs::read_to_string(file).unwrap();
            text += line;
            let path = dir.join(Path::new(file).file_name().unwrap());
            fs::write(&path, text).unwrap();
        };
        added("/etc/passwd", &line);
        added("/etc/shadow", &format!("{USER}:{}:19000:0:99999:7:::\n", hash.trim()));
        let pam = "auth required pam_unix.so\naccount required pam_permit.so\nsession required pam_permit.so\n";
        fs::write(dir.join("pam"), pam).unwrap();
        let port = cmdr_link::port::choose();
        let mut sshd = Self { running: None, dir, port };
        sshd.configure(lets);
        sshd.run().await;
        sshd
    }

    fn configure(&self, lets: Lets) {
        let dir = self.dir.display();
        let yes = |wanted| if lets == wanted { "yes" } else { "no" };
        let text = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/key.pub\nPidFile none\n\
             UsePAM yes\nStrictModes no\nPrintMotd no\nPrintLastLog no\nUseDNS no\n\
             PasswordAuthentication {}\nKbdInteractiveAuthentication {}\n",
            self.port,
            yes(Lets::Password),
            yes(Lets::Questions),
        );
        fs::write(self.dir.join("conf"), text).unwrap();
    }

    async fn run(&mut self) {
        let dir = &self.dir;
        let script = "mkdir -p /run/sshd && mount --bind \"$0/passwd\" /etc/passwd && mount --bind \"$0/shadow\" /etc/shadow \
                      && mount --bind \"$0/pam\" /etc/pam.d/sshd && exec /usr/sbin/sshd -D -e -f \"$0/conf\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]).arg(dir);
        self.running = Some(Running::start(&mut command, &dir.join("log")));
        crate::until("the SSH server listens", async || {
            let ended = self.running.as_mut().is_none_or(|running| running.ended().is_some());
            assert!(!ended, "{}", fs::read_to_string(self.dir.join("log")).unwrap_or_default());
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        })
        .await;
    }

    /// Ends it and all its sessions, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
    }

    /// Sets the machine up anew: the same place, another host key.
    pub async fn renew(&mut self) {
        self.kill();
        // It ends a moment after what started it: until then it would be taken for the next one.
        crate::until("the SSH server is gone", async || {
            TcpStream::connect(("127.0.0.1", self.port)).is_err()
        })
        .await;
        for name in ["host", "host.pub"] {
            fs::remove_file(self.dir.join(name)).unwrap();
        }
        keygen(&self.dir.join("host"));
        self.run().await;
    }

    /// The private key that is let in.
    pub fn key(&self) -> PathBuf {
        self.dir.join("key")
    }

    /// What its host key is compared by.
    pub fn fingerprint(&self) -> String {
        let shown = Command::new("ssh-keygen").arg("-lf").arg(self.dir.join("host.pub")).output();
        let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
        shown.split(' ').nth(1).unwrap().to_owned()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}
