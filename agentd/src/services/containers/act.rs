//! Acts on exactly one container: what it is is looked up first, then it is acted on by its id, so that a name that
//! changes hands meanwhile never hits another one.

use crate::Agent;
use crate::engine::{Engine, PATIENCE, told};
use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    KillContainerOptions, RemoveContainerOptions, RenameContainerOptions, RestartContainerOptions,
    StopContainerOptions,
};
use cmdr_protocol::CallError;
use cmdr_protocol::containers::{Done, State};
use std::time::Duration;

/// The longest that a container may be asked to stop.
const LONGEST_S: u32 = 3600;
/// What it gets when nobody says otherwise, as the engine has it.
const USUAL_S: i64 = 10;

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Stop { timeout_s: Option<u32>, signal: String },
    Restart { timeout_s: Option<u32>, signal: String },
    Pause,
    Unpause,
    Kill { signal: String },
    Rename { name: String },
    Remove { force: bool, volumes: bool },
}

impl Verb {
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop { .. } => "stop",
            Self::Restart { .. } => "restart",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Kill { .. } => "kill",
            Self::Rename { .. } => "rename",
            Self::Remove { .. } => "remove",
        }
    }

    fn signal(&self) -> &str {
        match self {
            Self::Stop { signal, .. } | Self::Restart { signal, .. } | Self::Kill { signal } => {
                signal
            }
            _ => "",
        }
    }
}

/// What is known of a container that is acted on.
pub(super) struct Known {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) state: State,
    pub(super) exit_code: Option<i64>,
    stop_timeout_s: i64,
}

impl Known {
    /// How long it may take to stop.
    pub(super) fn stop_patience(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.stop_timeout_s).unwrap_or_default())
    }
}

impl From<ContainerInspectResponse> for Known {
    fn from(inspected: ContainerInspectResponse) -> Self {
        let state = inspected.state.unwrap_or_default();
        let named = state.status.map(|status| State::parse(status.as_ref())).unwrap_or_default();
        let timeout = inspected.config.and_then(|config| config.stop_timeout);
        Self {
            id: inspected.id.unwrap_or_default(),
            name: inspected.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            state: named,
            exit_code: state.exit_code.filter(|_| matches!(named, State::Exited | State::Dead)),
            stop_timeout_s: timeout.unwrap_or(USUAL_S),
        }
    }
}

/// Looks a container up.
pub(super) async fn known(
    engine: &Engine,
    attempted: &str,
    container: &str,
) -> Result<Known, CallError> {
    let inspected = engine.inspect_container(container, None).await;
    Ok(inspected.map_err(|error| told(attempted, &error))?.into())
}

/// The engine with patience for a container that takes so long to stop.
fn patient(engine: &Engine, seconds: i64) -> Docker {
    let more = u64::try_from(seconds).unwrap_or_default();
    Docker::clone(engine).with_timeout(PATIENCE + Duration::from_secs(more))
}

pub(super) async fn act(agent: &Agent, container: &str, verb: Verb) -> Result<Done, CallError> {
    let engine = agent.engine().await?;
    let attempted = format!("{} the container {container}", verb.word());
    check(&verb)?;
    let before = known(&engine, &attempted, container).await?;
    let (id, state) = (before.id.as_str(), before.state);
    let already = match &verb {
        Verb::Start => state == State::Running,
        Verb::Stop { .. } => !state.runs() && state != State::Removing,
        Verb::Pause => state == State::Paused,
        Verb::Rename { name } => *name == before.name,
        _ => false,
    };
    if already {
        let Known { id, name, state, exit_code, .. } = before;
        return Ok(Done { id, name, state, exit_code, already, ..Done::default() });
    }
    let some = |signal: &str| (!signal.is_empty()).then(|| signal.to_owned());
    let seconds = |timeout: Option<u32>| timeout.map_or(before.stop_timeout_s, i64::from);
    let t = |timeout: Option<u32>| timeout.and_then(|t| i32::try_from(t).ok());
    let result: Result<(), Error> = match &verb {
        Verb::Start => engine.start_container(id, None).await,
        Verb::Stop { timeout_s, signal } => {
            let options = StopContainerOptions { signal: some(signal), t: t(*timeout_s) };
            patient(&engine, seconds(*timeout_s)).stop_container(id, Some(options)).await
        }
        Verb::Restart { timeout_s, signal } => {
            let options = RestartContainerOptions { signal: some(signal), t: t(*timeout_s) };
            patient(&engine, seconds(*timeout_s)).restart_container(id, Some(options)).await
        }
        Verb::Pause => engine.pause_container(id).await,
        Verb::Unpause => engine.unpause_container(id).await,
        Verb::Kill { signal } => {
            let signal = some(signal).unwrap_or_else(|| "KILL".to_owned());
            engine.kill_container(id, Some(KillContainerOptions { signal })).await
        }
        Verb::Rename { name } => {
            engine.rename_container(id, RenameContainerOptions { name: name.clone() }).await
        }
        Verb::Remove { force, volumes } => {
            let options = RemoveContainerOptions { v: *volumes, force: *force, link: false };
            engine.remove_container(id, Some(options)).await
        }
    };
    result.map_err(|error| told(&attempted, &error))?;
    if matches!(verb, Verb::Remove { .. }) {
        return Ok(Done { id: before.id, name: before.name, ..Done::default() });
    }
    // One that takes itself away when it ends may be gone by now.
    let Ok(now) = known(&engine, &attempted, id).await else {
        return Ok(Done { id: before.id, name: before.name, ..Done::default() });
    };
    let Known { id, name, state, exit_code, .. } = now;
    Ok(Done { id, name, state, exit_code, ..Done::default() })
}

/// What the engine would make something else of.
fn check(verb: &Verb) -> Result<(), CallError> {
    match verb {
        Verb::Stop { timeout_s: Some(s), .. } | Verb::Restart { timeout_s: Some(s), .. }
            if *s > LONGEST_S =>
        {
            return Err(CallError::malformed(format!(
                "a container gets at most {LONGEST_S} s to stop"
            )));
        }
        Verb::Rename { name } => super::check(name)?,
        _ => {}
    }
    let signal = verb.signal();
    if signal.len() > 20 || !signal.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-".contains(&b))
    {
        return Err(CallError::malformed("a signal is a name such as TERM, or a number"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_before_the_engine_hears_of_it() {
        let signal = |signal: &str| Verb::Kill { signal: signal.to_owned() };
        assert!(check(&signal("SIGRTMIN+3")).is_ok() && check(&signal("")).is_ok());
        assert!(check(&signal("TERM&x=y")).is_err());
        assert!(check(&Verb::Rename { name: "../x".into() }).is_err());
        let stop = |s| Verb::Stop { timeout_s: Some(s), signal: String::new() };
        assert!(check(&stop(3600)).is_ok() && check(&stop(3601)).is_err());
    }
}
