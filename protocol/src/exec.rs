//! One command on one host, its output as it comes.

use crate::call::{Access, Feed};
use crate::open_enum::open_enum;
use crate::recordings::Notice;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The largest script that one order may carry, in bytes.
pub const MAX_SCRIPT: usize = 512 * 1024;
/// The largest chunk of output in one item, in bytes.
pub const CHUNK: usize = 16 * 1024;

/// Runs a program. Exactly one of `argv` and `script` is set. Ending the feed early ends the program
/// and everything that it has started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Start {
    /// Program and arguments, used as they are: no shell comes near them.
    pub argv: Vec<String>,
    /// A script that is written to a private file and run, with `argv` as its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// Whether inputs will come; otherwise the program's input is empty.
    pub stdin: bool,
    /// Added to the environment of the program.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// User to run as; absent for the agent's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory; absent for the user's home, or `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// After so many milliseconds the program and all it has started is ended; absent for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// A script to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Script {
    /// File name, for error messages of the interpreter.
    pub name: String,
    /// The file; its `#!` line picks the interpreter, `/bin/sh` when it has none.
    #[serde(with = "serde_bytes")]
    pub content: Vec<u8>,
}

impl Feed for Start {
    const METHOD: &'static str = "exec.start";
    const ACCESS: Access = Access::Act;
    const SECRETS: &'static [&'static str] = &["env.*"];
    const RESULT: &'static str = "x";
    type Input = Input;
    type Item = Item;
    /// `command:PROGRAM` or `script:NAME`. Before it stands what the caller chooses besides, because any of
    /// it can make another program of the same one: `env+`, `cwd+`, `as=USER+`.
    fn resource(&self) -> String {
        let mut text = String::new();
        if !self.env.is_empty() {
            text += "env+";
        }
        if self.cwd.is_some() {
            text += "cwd+";
        }
        if let Some(user) = &self.user {
            text.extend(["as=", user, "+"]);
        }
        match (&self.script, self.argv.first()) {
            (Some(script), _) => text + "script:" + &script.name,
            (None, Some(program)) => text + "command:" + program,
            (None, None) => text,
        }
    }
}

/// The program or script of a resource, without what the caller has chosen besides.
pub fn program_of(resource: &str) -> &str {
    let starts = ["command:", "script:"].into_iter().filter_map(|kind| resource.find(kind));
    starts.min().map_or(resource, |at| &resource[at..])
}

/// What the caller sends while the program runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Input {
    /// Bytes for the program's input.
    #[serde(rename = "d", with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<u8>,
    /// No more input follows.
    #[serde(rename = "e", skip_serializing_if = "std::ops::Not::not")]
    pub eof: bool,
    /// A signal for the process group.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
}

/// What happens, in order. Every item has one or more of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Item {
    /// The program runs and has this number.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Bytes it wrote to its standard output.
    #[serde(rename = "o", with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub stdout: Vec<u8>,
    /// Bytes it wrote to its standard error.
    #[serde(rename = "e", with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub stderr: Vec<u8>,
    /// How it ended; always in the last item.
    #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Of the hub: that this is recorded, who watches. Comes between the host's own items.
    #[serde(rename = "n", skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
}

open_enum! {
    /// How a program ended.
    pub enum Outcome {
        /// By itself, with a code.
        Exited = "exited",
        /// By a signal.
        Signalled = "signalled",
        /// Its time was over and the agent ended it; of a session, nobody had used it for so long.
        TimedOut = "timed-out",
        /// A session that was ended on purpose, not by its program.
        Closed = "closed",
    }
}

/// The end of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exit {
    /// How.
    pub outcome: Outcome,
    /// The exit code when it exited, else the number of the signal that ended it.
    pub code: i32,
    /// Milliseconds from start to end.
    pub took_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_another_program_of_the_same_one_is_in_its_resource() {
        let plain = Start { argv: vec!["/bin/deploy".into()], ..Start::default() };
        assert_eq!(plain.resource(), "command:/bin/deploy");
        let bent = Start {
            env: [("BASH_ENV".to_owned(), "x".to_owned())].into(),
            cwd: Some("/tmp".into()),
            user: Some("nobody".into()),
            ..plain
        };
        assert_eq!(bent.resource(), "env+cwd+as=nobody+command:/bin/deploy");
        assert_eq!(program_of(&bent.resource()), "command:/bin/deploy");
        assert_eq!(program_of("process:1"), "process:1");
    }
}
