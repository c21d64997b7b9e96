//! A network namespace that a test makes, with one wire to it that loses packets or goes away.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A namespace, and both ends of its wire. Gone when it is dropped.
#[derive(Debug)]
pub struct Net {
    name: String,
    its_end: String,
    /// The address on this side.
    pub ours: Ipv4Addr,
    /// The one inside.
    pub its: Ipv4Addr,
}

fn run(words: &[&str]) {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Default for Net {
    fn default() -> Self {
        Self::new()
    }
}

impl Net {
    /// A fresh one.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, n) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let own = pid.wrapping_mul(61).wrapping_add(n);
        let (high, low) = ((own / 64 % 256) as u8, (own % 64 * 4) as u8);
        let net = Self {
            name: format!("cmdrfw{own:x}"),
            its_end: format!("f{own:x}b"),
            ours: Ipv4Addr::new(10, 214, high, low + 1),
            its: Ipv4Addr::new(10, 214, high, low + 2),
        };
        let here = format!("f{own:x}a");
        run(&["ip", "netns", "add", &net.name]);
        let peer = ["type", "veth", "peer", "name", &net.its_end, "netns", &net.name];
        run(&[&["ip", "link", "add", &here], &peer[..]].concat());
        run(&["ip", "addr", "add", &format!("{}/30", net.ours), "dev", &here]);
        run(&["ip", "link", "set", &here, "up"]);
        net.does(&["ip", "link", "set", "lo", "up"]);
        net.does(&["ip", "addr", "add", &format!("{}/30", net.its), "dev", &net.its_end]);
        net.does(&["ip", "link", "set", &net.its_end, "up"]);
        net
    }

    /// A program that will run inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a program inside, which must succeed.
    pub fn does(&self, words: &[&str]) {
        run(&[&["ip", "netns", "exec", &self.name], words].concat());
    }

    /// Of what comes in, this share is lost.
    pub fn loses(&self, share: &str) {
        let statistic = ["-m", "statistic", "--mode", "random", "--probability", share];
        self.does(&[&["iptables", "-A", "INPUT"], &statistic[..], &["-j", "DROP"]].concat());
    }

    /// What comes from this port on our side is lost, or no more.
    pub fn loses_port(&self, port: u16, lost: bool) {
        let (verb, port) = (if lost { "-A" } else { "-D" }, port.to_string());
        self.does(&["iptables", verb, "INPUT", "-p", "tcp", "--sport", &port, "-j", "DROP"]);
    }

    /// The wire is there, or not.
    pub fn wire(&self, state: &str) {
        self.does(&["ip", "link", "set", &self.its_end, state]);
    }

    /// Whether something was sent from our side so many times again, and nobody has answered.
    pub fn sends_again(&self, times: u64) -> bool {
        let text = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let its = format!("{:08X}:", u32::from_le_bytes(self.its.octets()));
        text.lines().skip(1).any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let again = words.get(6).and_then(|count| u64::from_str_radix(count, 16).ok());
            words.get(2).is_some_and(|far| far.starts_with(&its)) && again >= Some(times)
        })
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        // Its end of the wire goes with it, and so does ours.
        Command::new("ip").args(["netns", "del", &self.name]).status().ok();
    }
}
