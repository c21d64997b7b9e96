//! Sessions over SSH to machines that have no agent. Answered by the agent that they go through.
//!
//! [`Open`] begins one; from then on it is a session of that host like any other ([`crate::sessions`]).
//! Before it begins, the agent asks ([`Question`], in the items) and the client answers ([`Answer`], in the
//! inputs): passwords are in no request, and so in no audit log. A key stays with the operator: their client
//! signs. A machine whose host key the agent does not know is asked about; [`Trust`] lets the agent know it.

use crate::call::{Access, Call, Feed};
use crate::open_enum::open_enum;
use crate::sessions::{Input, Item, Size};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where an SSH server listens when nobody says otherwise.
pub const PORT: u16 = 22;
/// The longest name of a machine or a user, in bytes.
pub const MAX_NAME: usize = 255;
/// Public keys that a client may offer at once.
pub const MAX_KEYS: usize = 8;

/// `HOST:PORT`, with brackets around what has colons itself.
pub fn place(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Reads `[user@]host[:port]`; user and port are none when they are not said. The error is for people.
pub fn target(text: &str) -> Result<(Option<String>, String, Option<u16>), String> {
    let (user, rest) = match text.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, text),
    };
    let (host, port) = if let Some(inner) = rest.strip_prefix('[') {
        let (host, after) = inner.split_once(']').ok_or("the ']' is missing")?;
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => return Err("after ']' comes ':' and the port".to_owned()),
        }
    } else if rest.matches(':').count() > 1 {
        (rest, None)
    } else {
        rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)))
    };
    let port = match port {
        None => None,
        Some(port) => Some(
            port.parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or("a port is a number from 1 to 65535")?,
        ),
    };
    check(user.as_deref().unwrap_or("x"), host)?;
    Ok((user, host.to_owned(), port))
}

/// Whether these can be a user and a machine; else why not.
pub fn check(user: &str, host: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:%".contains(c);
    if host.is_empty() || host.len() > MAX_NAME || !host.chars().all(plain) || host.starts_with('-')
    {
        return Err(
            "a machine is named by letters, digits, '-', '_' and '.', or by its address".to_owned()
        );
    }
    let bad = |c: char| c.is_control() || c.is_whitespace();
    if user.is_empty() || user.len() > MAX_NAME || user.contains(bad) {
        return Err("a user's name has 1 to 255 bytes and no blanks".to_owned());
    }
    Ok(())
}

/// Begins a session on another machine and attaches to it as its driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Open {
    /// The machine: a name that the agent's host resolves, or an address.
    pub host: String,
    /// Its port; 0 for [`PORT`].
    pub port: u16,
    /// As whom.
    pub user: String,
    /// What that machine's shell is given to run; empty for a login shell.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// Public keys (`ssh-ed25519 AAAA…`) that the client can sign with, the first one tried first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// What `TERM` says; empty for `xterm-256color`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub term: String,
    /// The terminal's size at first.
    pub size: Size,
    /// For people; empty for none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// So many seconds without a key and without anybody attached end it; absent for the host's own limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_s: Option<u64>,
    /// Do not attach: the feed ends as soon as it runs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub detached: bool,
}

impl Open {
    /// The port that is meant.
    pub const fn port(&self) -> u16 {
        if self.port == 0 { PORT } else { self.port }
    }

    /// `USER@HOST:PORT`.
    pub fn target(&self) -> String {
        format!("{}@{}", self.user, place(&self.host, self.port()))
    }
}

impl Feed for Open {
    const METHOD: &'static str = "ssh.open";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "x";
    type Input = Input;
    type Item = Item;
    /// `ssh:USER@HOST:PORT`. A command is not told from a shell, which runs any command.
    fn resource(&self) -> String {
        format!("ssh:{}", self.target())
    }
}

open_enum! {
    /// How an agent knows a machine's key.
    pub enum Standing {
        /// It does not: somebody has to say that it is the right one.
        New = "new",
        /// It knows other keys of this machine, of other kinds.
        Other = "other",
    }
}

/// A machine's key that the agent does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostKey {
    /// The machine, as it was asked for.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The key (`ssh-ed25519 AAAA…`).
    pub key: String,
    /// What people compare (`SHA256:…`).
    pub fingerprint: String,
    /// How it stands.
    pub standing: Standing,
}

/// Something that is typed in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Prompt {
    /// What is asked for, in the words of the machine or our own.
    pub text: String,
    /// Whether it may be seen while it is typed.
    pub echo: bool,
}

/// Something to be signed with one of the keys that were offered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sign {
    /// The public key.
    pub key: String,
    /// For RSA: `sha2-256` or `sha2-512`; else empty.
    pub hash: String,
    /// What is signed.
    #[serde(with = "serde_bytes")]
    pub data: Vec<u8>,
}

/// What the agent has to know before the session begins. Exactly one of the fields is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Question {
    /// Whether this is the right machine: answered by [`Trust`], and then [`Answer::go_on`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_key: Option<HostKey>,
    /// A password, or whatever the machine asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typed: Option<Typed>,
    /// A signature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign: Option<Sign>,
}

/// Things to be typed in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Typed {
    /// What the machine says before; texts of its own are hostile.
    pub about: String,
    /// What was answered before was wrong.
    pub again: bool,
    /// One for each answer.
    pub prompts: Vec<Prompt>,
}

/// The answer to a [`Question`].
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// The host key is known now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub go_on: bool,
    /// What was typed, one for each prompt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub typed: Vec<String>,
    /// The signature as SSH writes it; empty when the client does not sign.
    #[serde(with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub signature: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("go_on", &self.go_on).finish_non_exhaustive()
    }
}

/// A machine that an agent knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    /// The machine.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `ssh-ed25519` and the like.
    pub algorithm: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    /// Who said that it is the right one; empty for whoever wrote the file by hand.
    pub by: String,
    /// When, milliseconds since 1970; 0 for unknown.
    pub at_ms: u64,
}

/// Which machines an agent knows by their keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// In the order of the file.
    pub known: Vec<Known>,
}

impl Call for List {
    const METHOD: &'static str = "ssh.known";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// Says that a key is the right one of a machine. Does not replace another one of the same kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Trust {
    /// The machine.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The key (`ssh-ed25519 AAAA…`).
    pub key: String,
    /// Its fingerprint, as it was shown: has to be that of the key.
    pub fingerprint: String,
}

/// The answer to [`Trust`] and [`Forget`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changed {
    /// Keys that were added or taken away.
    pub keys: u32,
}

impl Call for Trust {
    const METHOD: &'static str = "ssh.trust";
    const ACCESS: Access = Access::Act;
    type Reply = Changed;
    /// `ssh-host:HOST:PORT`.
    fn resource(&self) -> String {
        format!("ssh-host:{}", place(&self.host, self.port))
    }
}

/// Forgets all keys of a machine, so that the next session asks anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forget {
    /// The machine.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Call for Forget {
    const METHOD: &'static str = "ssh.forget";
    const ACCESS: Access = Access::Act;
    type Reply = Changed;
    /// `ssh-host:HOST:PORT`.
    fn resource(&self) -> String {
        format!("ssh-host:{}", place(&self.host, self.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_as_people_write_it() {
        let read = |text: &str| target(text).unwrap();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read("db7"), (None, "db7".into(), None));
        assert_eq!(read("deploy@db7:2222"), (some("deploy"), "db7".into(), Some(2222)));
        assert_eq!(read("a@b@10.0.0.1"), (some("a@b"), "10.0.0.1".into(), None));
        assert_eq!(read("root@[fe80::1%eth0]:22"), (some("root"), "fe80::1%eth0".into(), Some(22)));
        assert_eq!(read("::1"), (None, "::1".into(), None));
        for bad in ["", "@db7", "db7:", "db7:0", "db7:70000", "[::1", "[::1]x", "a b", "-oProxy=x"]
        {
            assert!(target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_resource_names_user_machine_and_port() {
        let open = Open { host: "::1".into(), user: "root".into(), ..Open::default() };
        assert_eq!(open.resource(), "ssh:root@[::1]:22");
        let open = Open { command: "uptime".into(), host: "db7".into(), port: 2222, ..open };
        assert_eq!(open.resource(), "ssh:root@db7:2222");
    }

    #[test]
    fn printing_an_answer_shows_nothing_that_was_typed() {
        let answer = Answer { typed: vec!["canary".into()], ..Answer::default() };
        assert!(!format!("{answer:?}").contains("canary"));
    }
}
