//! A real registry of images on this machine, Debian's, with one user.

use crate::process::{Running, until};
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

/// Who may come in.
pub const USER: &str = "ann";
/// Their password, with letters that two alphabets write differently.
pub const PASSWORD: &str = "a pass:word+/";
/// What the registry knows of it (bcrypt).
const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuGyvk0QHGZZ5kRWzIYOPEDUYMBJad.Ki";

/// A registry; ended when dropped.
#[derive(Debug)]
pub struct Registry {
    /// As names of images in it begin.
    pub address: String,
    _running: Running,
}

impl Registry {
    /// Starts one, with all that it keeps in `dir`.
    pub fn start(dir: &Path) -> Self {
        fs::create_dir_all(dir).unwrap();
        let address = format!("127.0.0.1:{}", cmdr_link::port::choose());
        fs::write(dir.join("users"), format!("{USER}:{HASH}\n")).unwrap();
        let at = dir.display();
        let text = format!(
            "version: 0.1\nlog:\n  level: warn\nstorage:\n  filesystem:\n    rootdirectory: {at}/data\n  \
             delete:\n    enabled: true\nhttp:\n  addr: {address}\nauth:\n  htpasswd:\n    realm: tests\n    \
             path: {at}/users\n"
        );
        fs::write(dir.join("config.yml"), text).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(dir.join("config.yml"));
        let running = Running::start(&mut command, &dir.join("log"));
        until("the registry listens", || TcpStream::connect(&address).is_ok());
        Self { address, _running: running }
    }
}
