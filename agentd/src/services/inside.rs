//! Inside containers: sessions in them and at them, kept by holders like all others (see [`crate::holder`]), and commands
//! whose outputs come apart (`exec`).
//!
//! Here is decided who may, and that the container is there. From then on a session is attached to, listed and ended
//! by `sessions`.

mod exec;

use super::sessions::{carry, note, operator, order};
use crate::Agent;
use crate::engine::told;
use crate::holder::{At, Inside, Said, What, wire};
use crate::inside::{NO_DETACHING, container};
use bollard::models::ExecConfig;
use cmdr_link::local;
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::inside::{Open, check_container, check_user};
use cmdr_protocol::sessions::{self, Begun, Item, Mode, Session};
use cmdr_protocol::{CallError, ErrorKind, Feed as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The terminal that programs are told of when the caller names none.
const TERM: &str = "xterm-256color";
/// From one thing that the holder says to the next.
const WORKING: Duration = Duration::from_mins(1);

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.feed(open).feed(exec::exec)
}

async fn open(
    agent: Arc<Agent>,
    asked: Asked,
    open: Open,
    feeding: Feeding<Open>,
) -> Result<(), CallError> {
    let (size, detached) = (open.size, open.detached);
    let operator = operator(&asked)?;
    let begun = begin(&agent, open, operator.clone()).await;
    note(
        &asked,
        "in a container opened",
        begun.as_deref().unwrap_or(""),
        &begun.as_ref().map(drop).map_err(CallError::clone),
    );
    let id = begun?;
    if detached {
        let begun = Begun { id, client: 0, mode: Mode::Watch };
        return feeding.send(&Item { begun: Some(begun), ..Item::default() }).await;
    }
    let who = wire::Attach { operator, mode: Mode::Drive, size, only_watch: false, new: true };
    let held = agent.sessions().attach(&id, who).await?;
    carry(held, feeding).await
}

/// What is run in a container, checked.
struct Order<'a> {
    container: &'a str,
    argv: &'a [String],
    user: Option<&'a String>,
    cwd: Option<&'a String>,
    env: &'a BTreeMap<String, String>,
    tty: bool,
    stdin: bool,
}

impl Order<'_> {
    fn check(&self) -> Result<(), CallError> {
        check_container(self.container).map_err(CallError::malformed)?;
        self.user.map_or(Ok(()), |user| check_user(user)).map_err(CallError::malformed)?;
        crate::program::check_texts(self.argv, self.env, self.user.into_iter().chain(self.cwd))
    }

    /// Makes it known to the engine; its number there.
    async fn create(&self, agent: &Agent) -> Result<String, CallError> {
        let env: Vec<_> = self.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let config = ExecConfig {
            attach_stdin: Some(self.stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(self.tty),
            detach_keys: self.tty.then(|| NO_DETACHING.to_owned()),
            env: (!env.is_empty()).then_some(env),
            cmd: Some(self.argv.to_vec()),
            user: self.user.cloned(),
            working_dir: self.cwd.cloned(),
            ..ExecConfig::default()
        };
        let attempted = format!("run a program in the container {}", self.container);
        let engine = agent.engine().await?;
        let created = engine.create_exec(self.container, config).await;
        let id = created.map_err(|e| told(&attempted, &e))?.id;
        // It becomes part of a path.
        check_container(&id).map_err(|_| {
            CallError::failed(format!(
                "{attempted}: the Docker engine's answer has no proper number"
            ))
        })?;
        Ok(id)
    }
}

async fn begin(agent: &Agent, open: Open, operator: String) -> Result<String, CallError> {
    // Who wants no sessions here wants none of these.
    agent.policy().allows_method(sessions::Open::METHOD)?;
    agent.policy().allows_without_limits("inside")?;
    if open.argv.first().is_some_and(String::is_empty) {
        return Err(CallError::malformed("the command is an empty text"));
    }
    order::check_terminal(open.size, &open.name, &open.term)?;
    let mut env = open.env.clone();
    let term = if open.term.is_empty() { TERM } else { &open.term };
    env.entry("TERM".to_owned()).or_insert_with(|| term.to_owned());
    let order = Order {
        container: &open.container,
        argv: &open.argv,
        user: open.user.as_ref(),
        cwd: open.cwd.as_ref(),
        env: &env,
        tty: true,
        stdin: true,
    };
    order.check()?;
    let at = if open.argv.is_empty() {
        main_of(agent, &open).await?
    } else {
        At::Exec(order.create(agent).await?)
    };
    let config = agent.config();
    let inside = Inside {
        socket: config.docker_socket.clone(),
        proc_root: config.proc_root.clone(),
        container: open.container.clone(),
        at,
    };
    let does = if open.argv.is_empty() { "attach" } else { "exec" };
    let words = ["docker", does, &open.container].map(str::to_owned);
    let session = Session {
        id: order::new_id()?,
        name: open.name.clone(),
        operator,
        command: words.into_iter().chain(open.argv.iter().cloned()).collect(),
        size: open.size,
        opened: open.resource(),
        ..Session::default()
    };
    let most = agent.policy().sessions.idle;
    let idle = open.idle_s.map_or(most, |asked| Duration::from_secs(asked.max(1)).min(most));
    let what = What::Inside(inside);
    agent.sessions().hold(agent, what, session, idle, !open.detached, begun).await
}

/// What the container itself runs.
async fn main_of(agent: &Agent, open: &Open) -> Result<At, CallError> {
    if open.user.is_some() || open.cwd.is_some() || !open.env.is_empty() {
        return Err(CallError::malformed(
            "user, folder and environment are for a command; what the container runs has its own",
        ));
    }
    let name = &open.container;
    let attempted = format!("attach to the container {name}");
    let found = container(agent, &attempted, name).await?;
    if !found.runs() {
        let what = format!("{attempted}: it does not run; start it first");
        return Err(CallError::new(ErrorKind::Conflict, what));
    }
    let tty = found.has_terminal();
    Ok(At::Main { id: found.id, tty })
}

/// Waits until the holder says that the session runs.
async fn begun(socket: UnixStream) -> Result<(), CallError> {
    let (mut reader, _open) = local::split(socket);
    loop {
        let said = timeout(WORKING, reader.next::<Said>()).await;
        let said =
            said.unwrap_or_else(|_| Err(CallError::lost("the session's holder is silent")))?;
        match said {
            Some(Said { begun: true, .. }) => return Ok(()),
            Some(_) => {}
            None => return Err(CallError::lost("the session's holder has left")),
        }
    }
}
