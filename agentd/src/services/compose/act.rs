//! Bringing projects up, stopping them and taking them away: what the compose program says goes to the caller as it comes,
//! and at the end what there is.

use super::folder::Folder;
use super::program::Program;
use super::{judge, look, resolve};
use crate::Agent;
use crate::engine::told;
use crate::services::images::note;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::compose::{
    Down, Looked, MAX_STOP_S, NOT_TOLD, Progress, Pull, Stop, Up, UpAs, UpPrivileged, check_project,
};
use cmdr_protocol::containers::Create;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::images::check_image;
use cmdr_protocol::{Call as _, CallError, ErrorKind, Feed};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Lines that wait for the caller.
const WAITING: usize = 64;
/// Lines in one item.
const AT_ONCE: usize = 32;
/// The most lines of one act that are told.
const MOST: usize = 5000;

pub(super) async fn up(
    agent: Arc<Agent>,
    asked: Asked,
    call: Up,
    feeding: Feeding<Up>,
) -> Result<(), CallError> {
    let (folder, value, version) = laid(&agent, &call.project)?;
    let powers = judge::powers(&value)?;
    if !powers.is_empty() {
        return Err(CallError::denied(format!(
            "the containers of {} may do something to their host ({}): that takes the right to compose.up-privileged",
            call.project,
            clean_to_width(&powers.join(", "), 300)
        )));
    }
    let work = Work { agent: &agent, asked: &asked, folder: &folder, up: &call };
    work.bring_up(&value, version, &feeding).await
}

pub(super) async fn up_privileged(
    agent: Arc<Agent>,
    asked: Asked,
    call: UpPrivileged,
    feeding: Feeding<UpPrivileged>,
) -> Result<(), CallError> {
    let (folder, value, version) = laid(&agent, &call.up.project)?;
    allowed(&agent, &judge::powers(&value)?, &call.powers)?;
    let work = Work { agent: &agent, asked: &asked, folder: &folder, up: &call.up };
    work.bring_up(&value, version, &feeding).await
}

pub(super) async fn up_as(
    agent: Arc<Agent>,
    asked: Asked,
    call: UpAs,
    feeding: Feeding<UpAs>,
) -> Result<(), CallError> {
    let UpAs { up, powers, text, variables, logins } = &call;
    check_project(&up.project).map_err(CallError::malformed)?;
    let folder = Folder::of(&agent, &up.project);
    let program = Program::find(&agent).await?;
    let resolved = resolve(&agent, &program, &folder, text, variables).await?;
    allowed(&agent, &resolved.powers, powers)?;
    let _logins = if logins.is_empty() { None } else { Some(folder.logins(logins)?) };
    if !resolved.remarks.is_empty() {
        feeding.send(&Progress { lines: resolved.remarks, done: None }).await?;
    }
    let work = Work { agent: &agent, asked: &asked, folder: &folder, up };
    work.bring_up(&resolved.value, up.version, &feeding).await
}

/// Whether all that containers may do was decided on, and the host's owner lets them.
fn allowed(agent: &Agent, powers: &[String], decided: &[String]) -> Result<(), CallError> {
    if let Some(hidden) = powers.iter().find(|power| !decided.contains(power)) {
        return Err(CallError::denied(format!(
            "'{}' would be given without being named; look at the project once more",
            clean_to_width(hidden, 200)
        )));
    }
    agent.policy().containers.allows(powers, agent.policy())
}

/// What this host was told to bring up last.
fn laid(agent: &Agent, project: &str) -> Result<(Folder, Value, u64), CallError> {
    check_project(project).map_err(CallError::malformed)?;
    let folder = Folder::of(agent, project);
    let (value, version) = folder.laid()?.ok_or_else(|| {
        CallError::not_found(format!(
            "{NOT_TOLD} {project} is; bring it up first: cmdr docker compose up {project}"
        ))
    })?;
    Ok((folder, value, version))
}

pub(super) async fn stop(
    agent: Arc<Agent>,
    asked: Asked,
    call: Stop,
    feeding: Feeding<Stop>,
) -> Result<(), CallError> {
    let (folder, value, version) = laid(&agent, &call.project)?;
    let mut verb = vec!["stop".to_owned()];
    patience(&mut verb, call.timeout_s)?;
    let attempted = format!("stop the project {}", call.project);
    let _busy = agent.composing().begin(&call.project)?;
    let program = Program::find(&agent).await?;
    let result = follow(&agent, &program, &folder, (&attempted, &verb), &feeding).await;
    note_end(&asked, &attempted, &result);
    result?;
    let looked = look_after(&agent, &program, &folder, &call.project, &value, version).await?;
    feeding.send(&Progress { lines: Vec::new(), done: Some(looked) }).await
}

pub(super) async fn down(
    agent: Arc<Agent>,
    asked: Asked,
    call: Down,
    feeding: Feeding<Down>,
) -> Result<(), CallError> {
    let (folder, _, version) = laid(&agent, &call.project)?;
    let mut verb = vec!["down".to_owned(), "--remove-orphans".to_owned()];
    patience(&mut verb, call.timeout_s)?;
    if call.volumes {
        verb.push("--volumes".to_owned());
    }
    let attempted = format!("take the project {} away", call.project);
    let _busy = agent.composing().begin(&call.project)?;
    let program = Program::find(&agent).await?;
    let result = follow(&agent, &program, &folder, (&attempted, &verb), &feeding).await;
    note_end(&asked, &attempted, &result);
    result?;
    folder.forget()?;
    let project = call.project;
    let done = Looked { project, program: program.name, version, ..Looked::default() };
    feeding.send(&Progress { lines: Vec::new(), done: Some(done) }).await
}

fn patience(verb: &mut Vec<String>, timeout_s: Option<u32>) -> Result<(), CallError> {
    match timeout_s {
        None => Ok(()),
        Some(seconds) if seconds <= MAX_STOP_S => {
            verb.extend(["--timeout".to_owned(), seconds.to_string()]);
            Ok(())
        }
        Some(_) => Err(CallError::malformed(format!(
            "containers stop within {MAX_STOP_S} s, or are killed"
        ))),
    }
}

fn note_end(asked: &Asked, attempted: &str, result: &Result<(), CallError>) {
    match result {
        Ok(()) => note(asked, attempted),
        Err(e) => note(asked, &format!("{attempted}, without success: {e}")),
    }
}

async fn look_after(
    agent: &Agent,
    program: &Program,
    folder: &Folder,
    project: &str,
    value: &Value,
    version: u64,
) -> Result<Looked, CallError> {
    let hashes = program.hashes(agent, folder, &folder.resolved()).await?;
    let looked = look::at(agent, project, value, &hashes).await?;
    let (program, powers) = (program.name.clone(), judge::powers(value)?);
    Ok(Looked { program, version, powers, ..looked })
}

/// Does one act and passes its lines on, no faster than the caller takes them.
async fn follow<F: Feed<Item = Progress>>(
    agent: &Agent,
    program: &Program,
    folder: &Folder,
    (attempted, verb): (&str, &[String]),
    feeding: &Feeding<F>,
) -> Result<(), CallError> {
    let verb: Vec<&str> = verb.iter().map(String::as_str).collect();
    let (sender, mut lines) = mpsc::channel(WAITING);
    let acting = async {
        let done = program.act(agent, folder, (attempted, &verb), &sender).await;
        drop(sender);
        done
    };
    let telling = async {
        let (mut batch, mut told) = (Vec::new(), 0);
        while lines.recv_many(&mut batch, AT_ONCE).await > 0 {
            let room = MOST.saturating_sub(told);
            let cut = batch.len() > room;
            told += batch.len();
            batch.truncate(room);
            if cut && room > 0 {
                batch.push("more lines are left out".to_owned());
            }
            let lines = std::mem::take(&mut batch);
            if !lines.is_empty() {
                feeding.send(&Progress { lines, done: None }).await?;
            }
        }
        Ok(())
    };
    let (done, told) = tokio::join!(acting, telling);
    done.and(told)
}

/// A project that is brought up.
struct Work<'a> {
    agent: &'a Agent,
    asked: &'a Asked,
    folder: &'a Folder,
    up: &'a Up,
}

impl Work<'_> {
    async fn bring_up<F: Feed<Item = Progress>>(
        &self,
        value: &Value,
        version: u64,
        feeding: &Feeding<F>,
    ) -> Result<(), CallError> {
        let Self { agent, asked, folder, up } = self;
        let attempted = format!("bring the project {} up", up.project);
        // Where the owner lets nobody make containers, a project makes none either.
        agent.policy().allows_method(Create::METHOD)?;
        if up.pull == Pull::Never {
            self.has_images(&attempted, value).await?;
        }
        let program = Program::find(agent).await?;
        let _busy = agent.composing().begin(&up.project)?;
        // From here on the host shall have this, whatever comes of it: what is missing then is seen.
        folder.lay(value, version)?;
        let verb = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        if up.pull == Pull::Always {
            let attempted = format!("bring the images of the project {}", up.project);
            let pull = verb(&["pull", "--quiet"]);
            follow(agent, &program, folder, (&attempted, &pull), feeding).await?;
        }
        let mut words = verb(&["up", "--detach", "--no-build", "--quiet-pull"]);
        if !up.keep_orphans {
            words.push("--remove-orphans".to_owned());
        }
        if up.recreate {
            words.push("--force-recreate".to_owned());
        }
        let result = follow(agent, &program, folder, (&attempted, &words), feeding).await;
        note_end(asked, &attempted, &result);
        result?;
        let looked = look_after(agent, &program, folder, &up.project, value, version).await?;
        feeding.send(&Progress { lines: Vec::new(), done: Some(looked) }).await
    }

    /// Whether the host has all images.
    async fn has_images(&self, attempted: &str, value: &Value) -> Result<(), CallError> {
        let engine = self.agent.engine().await?;
        let services = value.get("services").and_then(Value::as_object);
        for service in services.into_iter().flat_map(serde_json::Map::values) {
            let Some(image) = service.get("image").and_then(Value::as_str) else { continue };
            check_image(image).map_err(CallError::malformed)?;
            if let Err(error) = engine.inspect_image(image).await {
                let error = told(attempted, &error);
                return Err(match error.kind {
                    ErrorKind::NotFound => CallError::not_found(format!(
                        "{attempted}: this host has no image {}, and none is to be brought",
                        clean_to_width(image, 200)
                    )),
                    _ => error,
                });
            }
        }
        Ok(())
    }
}
