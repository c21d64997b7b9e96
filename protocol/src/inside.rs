//! Inside containers of a host: sessions in them and at them, and commands whose outputs come apart. Answered by agents.
//!
//! [`Open`] begins a session; from then on it is one of that host like any other ([`crate::sessions`]). [`Exec`] runs a
//! command without a terminal and ends it with the feed. What a container's logs say is read as other logs are
//! ([`crate::logs`]), and whole requests to its engine go by [`crate::proxy`].

use crate::call::{Access, Feed};
use crate::exec;
use crate::sessions::{Input, Item, Size};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What resources of containers begin with.
pub const CONTAINER: &str = "container:";
/// The longest name of a user of a container, in bytes.
pub const MAX_USER: usize = 128;

/// Whether this can be a container's name or id; else why not. What is let through has no meaning in a path.
pub fn check_container(name: &str) -> Result<(), String> {
    if crate::containers::is_name(name) {
        return Ok(());
    }
    Err("a container's name is 1 to 255 letters, digits, '_', '.' and '-', a letter or a digit first".to_owned())
}

/// Whether this can be a user within a container (`user`, `user:group`, numbers); else why not.
pub fn check_user(user: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-$@:".contains(&b);
    if !user.is_empty() && user.len() <= MAX_USER && user.bytes().all(plain) {
        return Ok(());
    }
    Err("a container's user is USER, USER:GROUP or their numbers".to_owned())
}

/// What the caller chooses beside the container: any of it can make another program of the same one.
fn resource(
    container: &str,
    user: Option<&str>,
    cwd: bool,
    env: bool,
    program: Option<&String>,
) -> String {
    let mut text = format!("{CONTAINER}{container}");
    if env {
        text += "+env";
    }
    if cwd {
        text += "+cwd";
    }
    if let Some(user) = user {
        text.extend(["+as=", user]);
    }
    match program {
        Some(program) => text + "+command:" + program,
        None => text + "+attach",
    }
}

/// Begins a session in a container, or at its own terminal, and attaches to it as its driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Open {
    /// The container: its name, its id, or the beginning of that.
    pub container: String,
    /// Program and arguments; empty for what the container itself runs, which goes on when the session ends.
    pub argv: Vec<String>,
    /// The container's user to run as; absent for its usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory in the container; absent for its usual one.
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
    const METHOD: &'static str = "inside.open";
    const ACCESS: Access = Access::Act;
    const SECRETS: &'static [&'static str] = &["env.*"];
    const RESULT: &'static str = "x";
    type Input = Input;
    type Item = Item;
    /// `container:NAME+command:PROGRAM`, or `container:NAME+attach`; between them what is chosen besides: `+env`, `+cwd`,
    /// `+as=USER`.
    fn resource(&self) -> String {
        let (env, cwd) = (!self.env.is_empty(), self.cwd.is_some());
        resource(&self.container, self.user.as_deref(), cwd, env, self.argv.first())
    }
}

/// Runs a command in a container. Ending the feed early ends the program, as far as the host can reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exec {
    /// The container: its name, its id, or the beginning of that.
    pub container: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Whether inputs will come; otherwise the program's input is empty.
    pub stdin: bool,
    /// Added to the environment of the program.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The container's user to run as; absent for its usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory in the container; absent for its usual one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
}

impl Feed for Exec {
    const METHOD: &'static str = "inside.exec";
    const ACCESS: Access = Access::Act;
    const SECRETS: &'static [&'static str] = &["env.*"];
    const RESULT: &'static str = "x";
    type Input = exec::Input;
    type Item = exec::Item;
    /// As that of [`Open`].
    fn resource(&self) -> String {
        let (env, cwd) = (!self.env.is_empty(), self.cwd.is_some());
        resource(&self.container, self.user.as_deref(), cwd, env, self.argv.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_begins_with_the_container_and_says_what_is_chosen_besides() {
        let attach = Open { container: "web".into(), ..Open::default() };
        assert_eq!(attach.resource(), "container:web+attach");
        let bent = Exec {
            container: "web".into(),
            argv: vec!["sh".into(), "-c".into()],
            env: [("A".to_owned(), "b".to_owned())].into(),
            user: Some("root".into()),
            cwd: Some("/".into()),
            ..Exec::default()
        };
        assert_eq!(bent.resource(), "container:web+env+cwd+as=root+command:sh");
    }

    #[test]
    fn names_that_mean_something_in_a_path_are_none() {
        for good in ["web", "web_1.a-b", "0a1b2c", &"x".repeat(255)] {
            assert_eq!(check_container(good), Ok(()));
        }
        for bad in ["", ".", "..", "-x", "a/b", "a?b", "a b", "a+b", "ü", "a%2e", &"x".repeat(256)]
        {
            assert!(check_container(bad).is_err(), "{bad}");
        }
        assert!(check_user("app:1000").is_ok() && check_user("a+b").is_err());
    }
}
