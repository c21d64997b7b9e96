//! Compose projects of this host: the host's own compose program reads their files and makes their containers
//! (decision 40). A file is judged in two steps, before that program sees it and by what it makes of it; what runs
//! is exactly what was judged.

mod act;
mod folder;
mod judge;
mod look;
mod program;
mod reads;

use crate::Agent;
use crate::services::images::note;
use cmdr_link::service::{Asked, Service};
use cmdr_protocol::compose::{Check, Look, Looked, MAX_TEXT, MAX_VARIABLES, check_project};
use cmdr_protocol::{CallError, ErrorKind};
use folder::Folder;
use program::Program;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service
        .on(look)
        .on(check)
        .feed(act::up)
        .feed(act::up_privileged)
        .feed(act::up_as)
        .feed(act::stop)
        .feed(act::down)
}

/// What this host does with projects now.
#[derive(Debug, Default)]
pub(crate) struct Composing {
    /// Projects that somebody changes.
    busy: Mutex<BTreeSet<String>>,
    /// One file is read after the other: the program finds it in a folder that others use as well.
    reading: tokio::sync::Mutex<()>,
    known: Mutex<Option<program::Known>>,
}

impl Composing {
    /// Removes passwords of registries that an agent has left which was killed.
    pub(crate) fn new(state_dir: &Path) -> Self {
        folder::remove_logins(state_dir);
        Self::default()
    }

    /// Nobody else may change this project while the answer is held.
    fn begin(&self, project: &str) -> Result<Busy<'_>, CallError> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if !busy.insert(project.to_owned()) {
            return Err(CallError::new(
                ErrorKind::Busy,
                format!(
                    "somebody changes the project {project} on this host now; wait until that is done"
                ),
            ));
        }
        Ok(Busy { of: self, project: project.to_owned() })
    }
}

/// Somebody changes a project.
struct Busy<'a> {
    of: &'a Composing,
    project: String,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut busy = self.of.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.remove(&self.project);
    }
}

/// A file as the compose program reads it.
struct Resolved {
    /// What is run, as JSON.
    value: Value,
    /// What its containers may do to their host.
    powers: Vec<String>,
    /// What the program remarked.
    remarks: Vec<String>,
}

/// Has the program read a file, and judges it.
async fn resolve(
    agent: &Agent,
    program: &Program,
    folder: &Folder,
    text: &str,
    variables: &str,
) -> Result<Resolved, CallError> {
    let too_long = |what: &str, most: usize| {
        CallError::malformed(format!("{what} has at most {} KiB", most / 1024))
    };
    if text.len() > MAX_TEXT {
        return Err(too_long("a compose file", MAX_TEXT));
    }
    if variables.len() > MAX_VARIABLES {
        return Err(too_long("a file of variables", MAX_VARIABLES));
    }
    judge::before(text)?;
    let profiles = judge::variables(variables)?;
    let _one = agent.composing().reading.lock().await;
    let _input = folder.input(text, variables)?;
    let (said, remarks) = program.config(agent, folder).await?;
    let mut value = reads::yaml(&said).map_err(|e| {
        CallError::failed(format!("read what {} makes of the compose file: {e}", program.name))
    })?;
    judge::without_others(&mut value, &profiles);
    let powers = judge::powers(&value)?;
    Ok(Resolved { value, powers, remarks })
}

async fn look(agent: Arc<Agent>, _: Asked, call: Look) -> Result<Looked, CallError> {
    check_project(&call.project).map_err(CallError::malformed)?;
    let folder = Folder::of(&agent, &call.project);
    let Some((value, version)) = folder.laid()? else {
        return look::foreign(&agent, &call.project).await;
    };
    let powers = judge::powers(&value)?;
    let program = Program::find(&agent).await?;
    let hashes = program.hashes(&agent, &folder, &folder.resolved()).await?;
    let mut looked = look::at(&agent, &call.project, &value, &hashes).await?;
    (looked.program, looked.version, looked.powers) = (program.name, version, powers);
    Ok(looked)
}

async fn check(agent: Arc<Agent>, asked: Asked, call: Check) -> Result<Looked, CallError> {
    check_project(&call.project).map_err(CallError::malformed)?;
    let folder = Folder::of(&agent, &call.project);
    let program = Program::find(&agent).await?;
    let resolved = resolve(&agent, &program, &folder, &call.text, &call.variables).await?;
    let hashes = {
        let _one = agent.composing().reading.lock().await;
        let wanted = folder.wanted(&resolved.value)?;
        program.hashes(&agent, &folder, wanted.path()).await?
    };
    let mut looked = look::at(&agent, &call.project, &resolved.value, &hashes).await?;
    looked.version = folder.laid()?.map_or(0, |(_, version)| version);
    (looked.program, looked.powers) = (program.name, resolved.powers);
    looked.remarks = resolved.remarks;
    note(&asked, &format!("look what bringing up the project {} would do", call.project));
    Ok(looked)
}
