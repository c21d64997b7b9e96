//! What is to be done on a host, as programs write it.

use super::super::problem::Problem;
use cmdr_protocol::runs;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What to do. Exactly one of the first six is given.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Order {
    /// Run a program; no shell comes near its arguments.
    command: Option<Command>,
    /// Have the host's shell run a line.
    line: Option<Line>,
    /// Run a script that comes along.
    script: Option<Script>,
    /// Put a file there, and run something then.
    push: Option<Push>,
    /// Install, remove or upgrade packages.
    packages: Option<Packages>,
    /// Go through a runbook.
    runbook: Option<Runbook>,
    /// Added to the environment of what is run.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// User to run as; by default the agent's own.
    user: Option<String>,
    /// Working directory.
    cwd: Option<String>,
    /// After so many milliseconds on the host it is ended.
    timeout_ms: Option<u64>,
}

/// A program.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Command {
    /// Program and arguments.
    #[schema(min_items = 1, max_items = 4096, example = json!(["uname", "-r"]))]
    argv: Vec<String>,
}

/// A line for `/bin/sh -c`.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Line {
    /// The line.
    #[schema(min_length = 1, max_length = 65536)]
    text: String,
}

/// A script.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Script {
    /// File name.
    #[schema(min_length = 1, pattern = "^[^/]+$")]
    name: String,
    /// The file as text.
    content: Option<String>,
    /// The file in Base64, when it is no text.
    content_base64: Option<String>,
    /// Program and arguments that get the file's name and `args`; by default what its `#!` line says.
    #[serde(default)]
    interpreter: Vec<String>,
    /// Arguments of the script.
    #[serde(default)]
    args: Vec<String>,
}

/// A file that the hub has (`POST /v1/files`), put in its place on the host.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Push {
    /// Its content, by the hash that the upload answered.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    file: String,
    /// Where to, an absolute path.
    #[schema(pattern = "^/")]
    path: String,
    /// Permission bits, as a number: 420 is 0644.
    #[schema(minimum = 0, maximum = 4095)]
    mode: Option<u32>,
    /// `user`, `user:group` or `:group`.
    #[serde(default)]
    owner: String,
    /// Run this when the file is in its place.
    then: Option<Vec<String>>,
}

/// What to do with packages.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Action {
    /// Have them.
    Install,
    /// Have them not.
    Remove,
    /// Have their newest version; all packages when none is named.
    Upgrade,
}

/// Packages, through the host's own package manager.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Packages {
    action: Action,
    /// Their names there.
    #[serde(default)]
    #[schema(max_items = 500)]
    names: Vec<String>,
}

/// A runbook of the hub's.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Runbook {
    name: String,
    /// Which version; 0 for the newest.
    #[serde(default)]
    version: u32,
    /// Its parameters: each is a boolean, a whole number, a text or a list of texts.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    params: BTreeMap<String, runs::Param>,
}

/// A content that was given as text or in Base64.
pub(in crate::api) fn content(
    text: Option<String>,
    base64: Option<String>,
    what: &str,
) -> Result<Vec<u8>, Problem> {
    match (text, base64) {
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(coded)) => BASE64
            .decode(coded.as_bytes())
            .map_err(|e| Problem::malformed(format!("{what}: this is no Base64: {e}"))),
        _ => {
            Err(Problem::malformed(format!("{what}: give the content either as text or in Base64")))
        }
    }
}

impl Order {
    /// As the hub says it.
    pub(in crate::api) fn into_order(self) -> Result<runs::Order, Problem> {
        let script = match self.script {
            Some(script) => Some(runs::Script {
                name: script.name,
                content: content(script.content, script.content_base64, "order.script")?,
                interpreter: script.interpreter,
                args: script.args,
            }),
            None => None,
        };
        let order = runs::Order {
            command: self.command.map(|command| runs::Command { argv: command.argv }),
            line: self.line.map(|line| runs::Line { text: line.text }),
            script,
            push: self.push.map(|push| runs::Push {
                file: push.file,
                path: push.path,
                mode: push.mode,
                owner: push.owner,
                then: push.then,
            }),
            packages: self.packages.map(|packages| runs::Packages {
                action: match packages.action {
                    Action::Install => runs::Action::Install,
                    Action::Remove => runs::Action::Remove,
                    Action::Upgrade => runs::Action::Upgrade,
                },
                names: packages.names,
            }),
            runbook: self.runbook.map(|runbook| runs::Runbook {
                name: runbook.name,
                version: runbook.version,
                params: runbook.params,
                ..runs::Runbook::default()
            }),
            env: self.env,
            user: self.user,
            cwd: self.cwd,
            timeout_ms: self.timeout_ms,
        };
        order.check().map_err(|why| Problem::malformed(format!("order: {why}")))?;
        Ok(order)
    }
}

impl From<runs::Order> for Order {
    fn from(order: runs::Order) -> Self {
        let script = |script: runs::Script| {
            let (content, content_base64) = match String::from_utf8(script.content) {
                Ok(text) => (Some(text), None),
                Err(e) => (None, Some(BASE64.encode(e.as_bytes()))),
            };
            let runs::Script { name, interpreter, args, .. } = script;
            Script { name, content, content_base64, interpreter, args }
        };
        let packages = |packages: runs::Packages| {
            let action = match packages.action {
                runs::Action::Install => Action::Install,
                runs::Action::Remove => Action::Remove,
                // An action that is not known here is none that the hub keeps.
                _ => Action::Upgrade,
            };
            Packages { action, names: packages.names }
        };
        Self {
            command: order.command.map(|command| Command { argv: command.argv }),
            line: order.line.map(|line| Line { text: line.text }),
            script: order.script.map(script),
            push: order.push.map(|push| Push {
                file: push.file,
                path: push.path,
                mode: push.mode,
                owner: push.owner,
                then: push.then,
            }),
            packages: order.packages.map(packages),
            runbook: order.runbook.map(|runbook| Runbook {
                name: runbook.name,
                version: runbook.version,
                params: runbook.params,
            }),
            env: order.env,
            user: order.user,
            cwd: order.cwd,
            timeout_ms: order.timeout_ms,
        }
    }
}
