//! Sessions: interactive terminals that belong to a host, not to whoever opened them. Answered by agents.
//!
//! [`Open`] begins one and attaches to it, [`Attach`] finds one's own again, [`Join`] is for those of
//! others. A client that goes away leaves the session running. One client at a time drives: its keys go
//! in and its size counts; the others watch.
//!
//! Output is ordered and bounded by what the client has taken in: it sends [`Input::taken`] as it goes
//! on, and the agent stops reading the terminal at [`Input::window`] bytes that are still under way, so
//! that a key is never far behind a flood. Who watches and cannot keep up is not waited for: what was
//! left out is counted ([`Item::lost`]) and the screen is drawn anew.

use crate::call::{Access, Call, Feed, Nothing};
use crate::exec;
use crate::open_enum::open_enum;
use crate::recordings::Notice;
use crate::ssh;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The largest chunk of output or input in one item, in bytes.
pub const CHUNK: usize = 16 * 1024;
/// Bytes that may be under way to a client that has not named a window.
pub const WINDOW: u32 = 256 * 1024;
/// The longest name of a session, in bytes.
pub const MAX_NAME: usize = 64;
/// What stands for the agent's own user in a resource; no user of a host can have this name.
pub const OWN_USER: &str = "@agent";

/// Columns and rows of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Size {
    /// Columns, 1 to 1,000.
    #[serde(rename = "c")]
    pub columns: u16,
    /// Rows, 1 to 1,000.
    #[serde(rename = "r")]
    pub rows: u16,
}

impl Default for Size {
    fn default() -> Self {
        Self { columns: 80, rows: 24 }
    }
}

open_enum! {
    /// What a client does with a session that it is attached to.
    pub enum Mode {
        /// Its keys go in.
        Drive = "drive",
        /// It looks.
        Watch = "watch",
    }
}

/// Begins a session and attaches to it as its driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Open {
    /// Program and arguments, used as they are; empty for the user's login shell.
    pub argv: Vec<String>,
    /// User to run as; absent for the agent's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory; absent for the user's home, or `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Added to the environment of the program.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
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

impl Feed for Open {
    const METHOD: &'static str = "sessions.open";
    const ACCESS: Access = Access::Act;
    const SECRETS: &'static [&'static str] = &["env.*"];
    const RESULT: &'static str = "x";
    type Input = Input;
    type Item = Item;
    /// `as=USER+shell` or `as=USER+command:PROGRAM`, with `env+` and `cwd+` before it as in
    /// [`exec::Start`]. The user is always named ([`OWN_USER`] for the agent's own), so that a grant of
    /// shells never means those of root unless it says so.
    fn resource(&self) -> String {
        let mut text = String::new();
        if !self.env.is_empty() {
            text += "env+";
        }
        if self.cwd.is_some() {
            text += "cwd+";
        }
        text.extend(["as=", self.user.as_deref().unwrap_or(OWN_USER), "+"]);
        match self.argv.first() {
            Some(program) => text + "command:" + program,
            None => text + "shell",
        }
    }
}

/// Attaches to a session of one's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attach {
    /// Its id.
    pub id: String,
    /// To drive (then the driver until now watches), or to watch.
    pub mode: Mode,
    /// The client's size.
    pub size: Size,
    /// What it was opened as ([`Session::opened`]): who may not open such a one any more does not come back
    /// to it either.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub opened: String,
}

impl Feed for Attach {
    const METHOD: &'static str = "sessions.attach";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "x";
    type Input = Input;
    type Item = Item;
    /// `session:ID`, behind what it was opened as: `as=USER+shell+session:ID`.
    fn resource(&self) -> String {
        let between = if self.opened.is_empty() { "" } else { "+" };
        format!("{}{between}session:{}", self.opened, self.id)
    }
}

/// The method that opens sessions of this resource: those over SSH and those in containers have one of their own.
pub fn opener(opened: &str) -> &'static str {
    if opened.starts_with("ssh:") {
        <crate::ssh::Open as Feed>::METHOD
    } else if opened.starts_with(crate::inside::CONTAINER) {
        <crate::inside::Open as Feed>::METHOD
    } else {
        Open::METHOD
    }
}

/// Attaches to a session of anybody. Those who are attached are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Join {
    /// Its id.
    pub id: String,
    /// To take it over, or to watch.
    pub mode: Mode,
    /// The client's size.
    pub size: Size,
}

impl Feed for Join {
    const METHOD: &'static str = "sessions.join";
    const ACCESS: Access = Access::Admin;
    const RESULT: &'static str = "x";
    type Input = Input;
    type Item = Item;
    /// `drive+session:ID` or `watch+session:ID`.
    fn resource(&self) -> String {
        format!("{}+session:{}", self.mode, self.id)
    }
}

/// Ends a session of one's own: its programs get SIGHUP, and SIGKILL if they stay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    /// Its id.
    pub id: String,
}

impl Call for End {
    const METHOD: &'static str = "sessions.end";
    const ACCESS: Access = Access::Act;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("session:{}", self.id)
    }
}

/// Ends a session of anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndAny {
    /// Its id.
    pub id: String,
}

impl Call for EndAny {
    const METHOD: &'static str = "sessions.end-any";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("session:{}", self.id)
    }
}

/// The sessions of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {}

impl Call for List {
    const METHOD: &'static str = "sessions.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The sessions of a host, whenever they change: each item is the whole list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {}

impl Feed for Watch {
    const METHOD: &'static str = "sessions.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = Listing;
}

/// The answer to [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// The oldest first.
    pub sessions: Vec<Session>,
}

/// One session. Texts are as they came, control characters included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Session {
    /// Ten of `a-z` and `2-7`, unique in the fleet.
    pub id: String,
    /// What it was called when it was opened.
    pub name: String,
    /// Whose it is: the operator who opened it.
    pub operator: String,
    /// The host's user that it runs as; empty when it is on another machine or in a container.
    pub user: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// What its program set as the title of the window.
    pub title: String,
    /// Number of its first process.
    pub pid: u32,
    /// When it began, milliseconds since 1970.
    pub started_ms: u64,
    /// When a key or output was seen last, milliseconds since 1970.
    pub active_ms: u64,
    /// The terminal's size.
    pub size: Size,
    /// Who is attached, the driver first.
    pub clients: Vec<Client>,
    /// The resource that it was opened as; empty for one that was opened before agents kept that.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub opened: String,
    /// `USER@HOST:PORT` of the machine that it is on, when it goes on over SSH; empty when it is on the host.
    pub ssh: String,
}

/// Who is attached to a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Client {
    /// Unique within the session.
    pub id: u32,
    /// The operator.
    pub operator: String,
    /// What it does.
    pub mode: Mode,
    /// Since when, milliseconds since 1970.
    pub since_ms: u64,
}

/// What a client sends while it is attached. Keys of those who watch are refused in silence, so that a
/// hand-over in between harms nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Input {
    /// Bytes for the terminal.
    #[serde(rename = "d", with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<u8>,
    /// The client's size has changed.
    #[serde(rename = "z", skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Bytes of output that the client has taken in since it attached.
    #[serde(rename = "a", skip_serializing_if = "Option::is_none")]
    pub taken: Option<u64>,
    /// From now on so many bytes may be under way, at least 4 KiB, at most [`WINDOW`].
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// Drive from now on; refused to who joined to watch.
    #[serde(rename = "t", skip_serializing_if = "std::ops::Not::not")]
    pub take: bool,
    /// Let the client of this number drive.
    #[serde(rename = "g", skip_serializing_if = "Option::is_none")]
    pub give: Option<u32>,
    /// A signal for what runs in the foreground.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The answer to the [`Item::ask`] before.
    #[serde(rename = "y", skip_serializing_if = "Option::is_none")]
    pub answer: Option<ssh::Answer>,
}

/// What happens, in order. Every item has one or more of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Item {
    /// We are attached: to this session, as the client of this number. The first item.
    #[serde(rename = "b", skip_serializing_if = "Option::is_none")]
    pub begun: Option<Begun>,
    /// Forget the screen: what comes now draws it anew, scrollback first.
    #[serde(rename = "f", skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
    /// Bytes that the terminal shows.
    #[serde(rename = "o", with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<u8>,
    /// The terminal has this size now: before the `output` beside it.
    #[serde(rename = "z", skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// So many bytes were left out for us before the `output` beside it.
    #[serde(rename = "l", skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// Who is attached has changed.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    pub clients: Option<Vec<Client>>,
    /// How its program ended; always in the last item of a session that ended.
    #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
    pub exit: Option<exec::Exit>,
    /// Of the hub: that this is recorded, who watches. Comes between the host's own items.
    #[serde(rename = "n", skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
    /// What has to be answered before a session over SSH begins. Comes before `begun`.
    #[serde(rename = "q", skip_serializing_if = "Option::is_none")]
    pub ask: Option<ssh::Question>,
}

/// The start of an attachment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Begun {
    /// The session's id.
    pub id: String,
    /// Our number among its clients.
    pub client: u32,
    /// Whether we drive.
    pub mode: Mode,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_of_a_session_always_names_the_user() {
        let own = Open::default();
        let other = Open {
            argv: vec!["htop".into()],
            user: Some("deploy".into()),
            cwd: Some("/srv".into()),
            ..Open::default()
        };
        assert_eq!(own.resource(), "as=@agent+shell");
        assert_eq!(other.resource(), "cwd+as=deploy+command:htop");
    }

    #[test]
    fn who_joins_names_what_for() {
        let join = Join { id: "abc".into(), mode: Mode::Watch, ..Join::default() };
        assert_eq!(join.resource(), "watch+session:abc");
    }
}
