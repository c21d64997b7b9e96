//! What is to be done on a host. The same words go from client to hub and from hub to agent.

use crate::open_enum::open_enum;
use crate::runbooks::Signature;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The longest one-line order, in bytes.
pub const MAX_LINE: usize = 64 * 1024;
/// The most arguments of a command.
pub const MAX_ARGV: usize = 4096;
/// The most packages of one order.
pub const MAX_PACKAGES: usize = 500;

/// What to do. Exactly one of the first six is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Order {
    /// Run a program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
    /// Have the host's shell run a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<Line>,
    /// Run a script that comes along.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// Put a file there, and run something then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<Push>,
    /// Install, remove or upgrade packages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<Packages>,
    /// Go through a runbook. Never sent to an agent: the hub takes it apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runbook: Option<Runbook>,
    /// Added to the environment of what is run.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// User to run as; absent for the agent's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory; absent for the user's home, or `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// After so many milliseconds on the host it is ended, and everything that it has started; absent for
    /// no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// A program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Command {
    /// Program and arguments, used as they are: no shell comes near them.
    pub argv: Vec<String>,
}

/// A line for `/bin/sh -c`, as the operator wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// The line; at most [`MAX_LINE`] bytes.
    pub text: String,
}

/// A script, written to a private file on the host and run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Script {
    /// File name, for error messages of the interpreter and for rights.
    pub name: String,
    /// The file; at most [`crate::exec::MAX_SCRIPT`] bytes.
    #[serde(with = "serde_bytes")]
    pub content: Vec<u8>,
    /// Program and arguments that get the file's name and `args`; empty for the file's `#!` line, and
    /// `/bin/sh` when it has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interpreter: Vec<String>,
    /// Arguments of the script.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
}

/// A file that the hub has as a blob, put in its place on the host if it is not there already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Push {
    /// Its content, by its BLAKE3 hash in hex.
    pub file: String,
    /// Where to, an absolute path.
    pub path: String,
    /// Permission bits; absent for those of the file that is replaced, and 0644 for a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// `user`, `user:group` or `:group`; empty for that of the file that is replaced, and the agent's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
    /// Run this when the file is in its place; absent for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<Vec<String>>,
}

open_enum! {
    /// What to do with packages.
    pub enum Action {
        /// Have them.
        Install = "install",
        /// Have them not.
        Remove = "remove",
        /// Have their newest version; all packages when none is named.
        Upgrade = "upgrade",
    }
}

/// Packages, through the host's own package manager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Packages {
    /// What to do.
    pub action: Action,
    /// Their names there.
    pub names: Vec<String>,
}

/// A runbook of the hub's store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runbook {
    /// Which.
    pub name: String,
    /// Which version; 0 for the newest.
    pub version: u32,
    /// Its parameters.
    pub params: BTreeMap<String, Param>,
    /// The texts of it and of all that it includes, by name, as they were when the run began. The hub puts them
    /// in; what a client says here is not looked at, and it is not told.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub texts: BTreeMap<String, String>,
    /// The signatures of those that had one then, by name. The hub puts them in, as it does the texts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub signatures: BTreeMap<String, Signature>,
}

/// A parameter's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Param {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
    /// Several texts.
    List(Vec<String>),
}

impl Order {
    /// What it does on the host, for rights: as in `exec.start`, and `push:PATH`,
    /// `packages:ACTION`, `runbook:NAME`. What does two things has both, with a NUL between them, and needs
    /// rights on both. An interpreter that is chosen makes another program of the script: `with=PROGRAM+`; an owner,
    /// or bits with which a file is run as its owner (and the sticky one), make another file: `mode=4755+owner=USER+`.
    pub fn resource(&self) -> String {
        let mut bent = String::new();
        if !self.env.is_empty() {
            bent += "env+";
        }
        if self.cwd.is_some() {
            bent += "cwd+";
        }
        if let Some(user) = &self.user {
            bent.extend(["as=", user, "+"]);
        }
        if let Some(command) = &self.command {
            return bent + "command:" + command.argv.first().map_or("", String::as_str);
        }
        if self.line.is_some() {
            return bent + "command:/bin/sh";
        }
        if let Some(script) = &self.script {
            if let Some(program) = script.interpreter.first() {
                bent.extend(["with=", program, "+"]);
            }
            return bent + "script:" + &script.name;
        }
        if let Some(push) = &self.push {
            let special = push.mode.filter(|mode| mode & !0o777 != 0);
            let mut place = special.map(|mode| format!("mode={mode:o}+")).unwrap_or_default();
            if !push.owner.is_empty() {
                place.extend(["owner=", &push.owner, "+"]);
            }
            place.extend(["push:", &push.path]);
            return match push.then.as_ref().and_then(|argv| argv.first()) {
                Some(program) => place + "\0" + &bent + "command:" + program,
                None => place,
            };
        }
        if let Some(packages) = &self.packages {
            return format!("packages:{}", packages.action);
        }
        if let Some(runbook) = &self.runbook {
            return format!("runbook:{}", runbook.name);
        }
        bent
    }

    /// What is wrong with it, whatever host it is for.
    pub fn check(&self) -> Result<(), String> {
        let parts = [
            self.command.is_some(),
            self.line.is_some(),
            self.script.is_some(),
            self.push.is_some(),
            self.packages.is_some(),
            self.runbook.is_some(),
        ];
        match parts.iter().filter(|set| **set).count() {
            0 => return Err("the order says nothing to do".to_owned()),
            1 => {}
            _ => return Err("the order says several things to do; it can have one".to_owned()),
        }
        let argv = |argv: &[String]| match argv.first().map(String::as_str) {
            None | Some("") => Err("the command has no program".to_owned()),
            Some(_) if argv.len() > MAX_ARGV => {
                Err(format!("the command has {} arguments; at most {MAX_ARGV}", argv.len()))
            }
            Some(_) if argv.iter().any(|arg| arg.contains('\0')) => {
                Err("an argument has a NUL byte".to_owned())
            }
            Some(_) => Ok(()),
        };
        if let Some(command) = &self.command {
            argv(&command.argv)?;
        }
        if let Some(line) = &self.line {
            if line.text.trim().is_empty() {
                return Err("the line is empty".to_owned());
            }
            if line.text.len() > MAX_LINE {
                return Err(format!("the line is longer than {} KiB", MAX_LINE / 1024));
            }
            if line.text.contains('\0') {
                return Err("the line has a NUL byte".to_owned());
            }
        }
        if let Some(script) = &self.script {
            let most = crate::exec::MAX_SCRIPT;
            if script.content.len() > most {
                return Err(format!(
                    "the script is {} bytes long; at most {most}: push a larger one as a file and run it then",
                    script.content.len()
                ));
            }
            if script.name.is_empty() || script.name.contains(['/', '\0']) {
                return Err("the script needs a name, without '/'".to_owned());
            }
            if !script.interpreter.is_empty() {
                argv(&script.interpreter)?;
            }
        }
        if let Some(push) = &self.push {
            let hex = push.file.len() == 64 && push.file.bytes().all(|b| b.is_ascii_hexdigit());
            if !hex {
                return Err("the file to push is not named by its hash (64 hex digits)".to_owned());
            }
            if !push.path.starts_with('/') || push.path.contains('\0') {
                return Err(format!(
                    "'{}' is no absolute path",
                    crate::display::clean_to_width(&push.path, 80)
                ));
            }
            if let Some(then) = &push.then {
                argv(then)?;
            }
        }
        if let Some(packages) = &self.packages {
            if packages.action == Action::Unknown {
                return Err("packages can be installed, removed and upgraded".to_owned());
            }
            if packages.names.is_empty() && packages.action != Action::Upgrade {
                return Err(format!("no package to {} is named", packages.action));
            }
            if packages.names.len() > MAX_PACKAGES {
                return Err(format!("at most {MAX_PACKAGES} packages at once"));
            }
        }
        if self.timeout_ms == Some(0) {
            return Err("a time limit of 0 ends it before it begins".to_owned());
        }
        Ok(())
    }

    /// The order in a few words, for tables.
    pub fn told(&self) -> String {
        let text = if let Some(command) = &self.command {
            command.argv.join(" ")
        } else if let Some(line) = &self.line {
            line.text.clone()
        } else if let Some(script) = &self.script {
            let args = script.args.join(" ");
            format!("script {} {args}", script.name).trim_end().to_owned()
        } else if let Some(push) = &self.push {
            let then = push.then.as_ref().map(|argv| format!(", then {}", argv.join(" ")));
            format!("push {}{}", push.path, then.unwrap_or_default())
        } else if let Some(packages) = &self.packages {
            format!("{} {}", packages.action, packages.names.join(" ")).trim_end().to_owned()
        } else if let Some(runbook) = &self.runbook {
            format!("runbook {}", runbook.name)
        } else {
            String::new()
        };
        crate::display::clean_to_width(&text, 200)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(argv: &[&str]) -> Order {
        let argv = argv.iter().map(|&arg| arg.to_owned()).collect();
        Order { command: Some(Command { argv }), ..Order::default() }
    }

    #[test]
    fn an_order_has_exactly_one_part() {
        assert!(Order::default().check().unwrap_err().contains("nothing to do"));
        assert_eq!(command(&["uptime"]).check(), Ok(()));
        let both = Order { line: Some(Line { text: "id".into() }), ..command(&["uptime"]) };
        assert!(both.check().unwrap_err().contains("several"));
    }

    #[test]
    fn what_makes_another_program_of_the_same_one_is_in_its_resource() {
        assert_eq!(command(&["/bin/deploy", "x"]).resource(), "command:/bin/deploy");
        let bent = Order { user: Some("nobody".into()), cwd: Some("/".into()), ..command(&["a"]) };
        assert_eq!(bent.resource(), "cwd+as=nobody+command:a");
        let script = Script {
            name: "x.py".into(),
            interpreter: vec!["python3".into()],
            ..Script::default()
        };
        let order = Order { script: Some(script), ..Order::default() };
        assert_eq!(order.resource(), "with=python3+script:x.py");
        let push =
            Push { path: "/opt/x".into(), then: Some(vec!["/opt/x".into()]), ..Push::default() };
        let order = Order { push: Some(push), ..Order::default() };
        assert_eq!(order.resource(), "push:/opt/x\0command:/opt/x");
        let resource = |mode, owner: &str| {
            let push = Push { path: "/opt/x".into(), mode, owner: owner.into(), ..Push::default() };
            Order { push: Some(push), ..Order::default() }.resource()
        };
        assert_eq!(resource(Some(0o755), ""), "push:/opt/x");
        assert_eq!(resource(Some(0o4755), ""), "mode=4755+push:/opt/x");
        assert_eq!(resource(Some(0o1777), "root"), "mode=1777+owner=root+push:/opt/x");
        assert_eq!(resource(None, ":adm"), "owner=:adm+push:/opt/x");
    }

    #[test]
    fn what_no_host_could_do_is_refused_before_any_is_asked() {
        let wrong = |order: Order| order.check().unwrap_err();
        assert!(wrong(command(&[])).contains("no program"));
        assert!(wrong(command(&["a\0b"])).contains("NUL"));
        let line =
            |text: &str| Order { line: Some(Line { text: text.into() }), ..Order::default() };
        assert!(wrong(line("  ")).contains("empty"));
        assert!(wrong(line(&"x".repeat(MAX_LINE + 1))).contains("64 KiB"));
        let push = Push { file: "zz".into(), path: "/x".into(), ..Push::default() };
        assert!(wrong(Order { push: Some(push), ..Order::default() }).contains("hash"));
        let names = Packages { action: Action::Install, names: Vec::new() };
        assert!(wrong(Order { packages: Some(names), ..Order::default() }).contains("install"));
    }
}
