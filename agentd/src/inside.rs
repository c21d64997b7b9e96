//! What goes on within containers, as far as streams of bytes are concerned: one connection to the engine each (`line`),
//! the two outputs of a program taken apart (`Demux`), and its process on this host (`process`).
//!
//! Beside the client library because that guesses from the first byte of each piece whether it comes from a terminal, and
//! a program may write any byte. Used by holders of sessions, by plain commands, by logs and by requests of others.

mod demux;
pub(crate) mod line;
pub(crate) mod process;

pub(crate) use demux::{Demux, Output, Piece};

use crate::Agent;
use crate::engine::told;
use bollard::errors::Error;
use cmdr_protocol::CallError;
use cmdr_protocol::inside::check_container;
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// When all that a program wrote is here, its engine knows within so long how it ended.
const ENDING: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);
/// Keys that leave what is attached to, of which nobody types the whole: the engine has others in their place when none are
/// given, which programs would miss.
pub(crate) const NO_DETACHING: &str = "ctrl-^,ctrl-@,ctrl-^,ctrl-@,ctrl-^,ctrl-@,ctrl-^,ctrl-@";

/// What the engine says of a program that was begun in a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Exec {
    pub(crate) running: bool,
    pub(crate) exit_code: Option<i64>,
    /// On the engine's machine; 0 when it does not run.
    pub(crate) pid: i32,
    #[serde(rename = "ContainerID")]
    pub(crate) container: String,
}

/// What the engine says of a container, as far as its streams are concerned: whatever else it says, in whatever shape.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Container {
    /// All of its number.
    pub(crate) id: String,
    name: String,
    state: State,
    config: Config,
    host_config: HostConfig,
    log_path: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct State {
    running: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Config {
    tty: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct HostConfig {
    log_config: LogConfig,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct LogConfig {
    #[serde(rename = "Type")]
    kind: String,
}

impl Container {
    /// The engine's own name for it.
    pub(crate) fn name(&self) -> &str {
        self.name.trim_start_matches('/')
    }

    pub(crate) const fn runs(&self) -> bool {
        self.state.running
    }

    /// Where the engine keeps its log as JSON lines; none where it keeps it in another way.
    pub(crate) fn kept_at(&self) -> Option<&str> {
        let is_json = self.host_config.log_config.kind == "json-file" && !self.log_path.is_empty();
        is_json.then_some(self.log_path.as_str())
    }

    /// Whether it has a terminal of its own.
    pub(crate) const fn has_terminal(&self) -> bool {
        self.config.tty
    }
}

/// Looks at a container, whose name or number means nothing else in a path.
pub(crate) async fn container(
    agent: &Agent,
    attempted: &str,
    name: &str,
) -> Result<Container, CallError> {
    check_container(name).map_err(CallError::malformed)?;
    // Says why there is none.
    agent.engine().await?;
    let path = format!("/containers/{name}/json");
    let found = line::json::<Container>(&agent.config().docker_socket, "GET", &path, None).await;
    let found = found.map_err(|e| told(attempted, &e))?;
    if found.id.len() == 64 && check_container(&found.id).is_ok() {
        return Ok(found);
    }
    Err(CallError::failed(format!("{attempted}: the Docker engine tells no proper number of it")))
}

/// Looks at a program.
async fn exec(socket: &Path, id: &str) -> Result<Exec, Error> {
    line::json(socket, "GET", &format!("/exec/{id}/json"), None).await
}

/// A program that runs, with its process: what it writes may be here before the engine knows of that. None when it has
/// ended, or nobody can tell.
pub(crate) async fn running(socket: &Path, id: &str) -> Option<Exec> {
    let until = Instant::now() + ENDING;
    loop {
        let exec = exec(socket, id).await.ok()?;
        if exec.running && exec.pid > 0 {
            return Some(exec);
        }
        let ended = !exec.running && exec.exit_code.is_some();
        if ended || Instant::now() >= until {
            return None;
        }
        sleep(LOOK).await;
    }
}

/// The exit code of a program all of whose output is here; none when nobody can tell any more.
pub(crate) async fn exec_code(socket: &Path, id: &str) -> Option<i32> {
    let until = Instant::now() + ENDING;
    loop {
        let exec = exec(socket, id).await.ok()?;
        if let (false, Some(code)) = (exec.running, exec.exit_code) {
            return i32::try_from(code).ok();
        }
        if Instant::now() >= until {
            return None;
        }
        sleep(LOOK).await;
    }
}

/// Takes bytes apart as those of an engine: it makes no difference in which pieces they come. For tests.
pub fn untrusted(data: &[u8]) {
    let apart = |at_once: usize| {
        let (mut demux, mut taken) = (Demux::default(), [Vec::new(), Vec::new()]);
        for bytes in data.chunks(at_once) {
            demux.push(bytes, |piece| match piece {
                Piece::Bytes(Output::Out, bytes) => taken[0].extend_from_slice(bytes),
                Piece::Bytes(Output::Err, bytes) => taken[1].extend_from_slice(bytes),
                Piece::End(_) => {}
            });
        }
        taken
    };
    let whole = apart(data.len().max(1));
    assert!(whole[0].len() + whole[1].len() <= data.len());
    assert_eq!(apart(1), whole);
}
