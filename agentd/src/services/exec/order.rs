//! From what the caller asked to what is run: everything is checked here, before anything begins.

use super::script::{self, Written};
use crate::supervise::Rights;
use crate::users::{self, User};
use crate::{Agent, program};
use cmdr_protocol::CallError;
use cmdr_protocol::exec::{MAX_SCRIPT, Start};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What is run.
#[derive(Debug)]
pub(in crate::services) struct Order {
    /// The file.
    pub(super) program: PathBuf,
    /// Its name for itself.
    pub(super) arg0: String,
    pub(super) args: Vec<String>,
    /// The whole environment.
    pub(super) env: BTreeMap<String, String>,
    pub(in crate::services) user: User,
    /// Whether that is somebody else than the agent.
    pub(super) switch: bool,
    /// All groups of that somebody.
    groups: Vec<u32>,
    pub(super) cwd: PathBuf,
    pub(super) stdin: bool,
    pub(super) timeout: Option<Duration>,
    /// The script's file, removed when this is dropped.
    _script: Option<Written>,
}

impl Order {
    /// The rights that the program gets, if they are not the agent's.
    pub(super) fn rights(&self) -> Option<Rights> {
        let User { uid, gid, .. } = self.user;
        self.switch.then(|| Rights { uid, gid, groups: self.groups.clone() })
    }

    /// Checks a request against sense, the host and its owner's policy. A script is run by `with` instead of
    /// what its first line names, unless that is empty.
    pub(in crate::services) fn check(
        agent: &Agent,
        start: Start,
        with: &[String],
    ) -> Result<Self, CallError> {
        check_shape(&start)?;
        let Start { argv, script, stdin, env: added, user, cwd, timeout_ms } = start;
        let (user, switch) = program::whom(agent, user.as_deref())?;
        let mut env = program::environment(&user);
        env.extend(added);
        let cwd = program::where_to(cwd, &user)?;
        let mut argv = argv.into_iter();
        let (program, arg0, args, written) = match script {
            None => {
                let name = argv.next().unwrap_or_default();
                let program = program::find(&name, &env, &cwd).map_err(|e| e.refuse(&name, ""))?;
                (program, name, argv.collect(), None)
            }
            Some(script) => {
                let owner = switch.then_some(&user);
                let named = match with.split_first() {
                    Some((program, args)) => (program.clone(), args.to_vec()),
                    None => script::interpreter(&script.content)?,
                };
                let (interpreter, mut args) = named;
                let written = agent.scripts().write(&script, owner)?;
                let program = program::find(&interpreter, &env, &cwd).map_err(|e| {
                    e.refuse(&interpreter, "the interpreter that the script names: ")
                })?;
                args.push(written.path().to_string_lossy().into_owned());
                args.extend(argv);
                (program, interpreter, args, Some(written))
            }
        };
        let program = program::judged(agent, program)?;
        let asked = timeout_ms.map(Duration::from_millis);
        let timeout = asked.into_iter().chain(agent.policy().exec.max_runtime).min();
        let groups =
            if switch { users::groups(&agent.config().etc_root, &user) } else { Vec::new() };
        Ok(Self {
            program,
            arg0,
            args,
            env,
            user,
            switch,
            groups,
            cwd,
            stdin,
            timeout,
            _script: written,
        })
    }
}

fn check_shape(start: &Start) -> Result<(), CallError> {
    let wrong = |what: &str| Err(CallError::malformed(what.to_owned()));
    match (&start.script, start.argv.first()) {
        (None, None) => return wrong("nothing to run: neither a command nor a script was given"),
        (None, Some(program)) if program.is_empty() => {
            return wrong("the command is an empty text");
        }
        (Some(script), _) if script.content.is_empty() => return wrong("the script is empty"),
        (Some(script), _) if script.content.len() > MAX_SCRIPT => {
            return Err(CallError::malformed(format!(
                "the script has {} bytes; at most {MAX_SCRIPT} are run",
                script.content.len()
            )));
        }
        _ => {}
    }
    program::check_texts(&start.argv, &start.env, start.user.iter().chain(&start.cwd))
}
