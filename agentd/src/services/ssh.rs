//! Sessions over SSH to machines that have no agent: they are kept by holders like all others (see
//! [`crate::holder`]), and are attached to, listed and ended by `sessions`.
//!
//! Here is decided where one may go, and which machine is the right one (`known`). What else the machine wants
//! to know is asked of the client and passed to the holder; nothing of it stays here.

mod known;

pub(crate) use known::Found;
pub use known::Ssh;

use super::sessions::{carry, note, operator, order};
use crate::Agent;
use crate::holder::{Far, Said, What, wire};
use cmdr_link::local;
use cmdr_link::service::{Asked, Feeding, Service};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::sessions::{self, Begun, Item, Mode, Session};
use cmdr_protocol::ssh::{
    self, Answer, Changed, Forget, HostKey, List, Listing, MAX_KEYS, Open, Question, Trust,
};
use cmdr_protocol::{CallError, ErrorKind, Feed as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// A name must be found within so long.
const RESOLVING: Duration = Duration::from_secs(10);
/// Somebody who is asked has so long to answer; servers wait no longer either.
const THINKING: Duration = Duration::from_mins(2);
/// From one thing that the holder says to the next.
const WORKING: Duration = Duration::from_mins(2);
/// The longest command, in bytes.
const LONGEST: usize = 64 * 1024;

pub(super) fn register(service: Service<Agent>) -> Service<Agent> {
    service.feed(open).on(list).on(trust).on(forget)
}

async fn open(
    agent: Arc<Agent>,
    asked: Asked,
    open: Open,
    mut feeding: Feeding<Open>,
) -> Result<(), CallError> {
    let (size, detached) = (open.size, open.detached);
    let operator = operator(&asked)?;
    let target = clean_to_width(&open.target(), 300);
    let begun = begin(&agent, open, operator.clone(), &mut feeding).await;
    note(
        &asked,
        &format!("over SSH to {target} opened"),
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

async fn begin(
    agent: &Agent,
    open: Open,
    operator: String,
    feeding: &mut Feeding<Open>,
) -> Result<String, CallError> {
    let wrong = |what: &str| Err(CallError::malformed(what.to_owned()));
    // Who wants no sessions here wants none of these.
    agent.policy().allows_method(sessions::Open::METHOD)?;
    ssh::check(&open.user, &open.host).map_err(CallError::malformed)?;
    order::check_terminal(open.size, &open.name, &open.term)?;
    if open.command.len() > LONGEST || open.command.contains('\0') {
        return wrong("a command has at most 64 KiB and no NUL bytes");
    }
    if open.keys.len() > MAX_KEYS {
        return wrong("at most 8 keys can be tried");
    }
    let addresses = addresses(agent, &open).await?;
    let algorithms = agent.ssh().algorithms(&open.host, open.port()).await?;
    let command = match open.command.as_str() {
        "" => vec!["ssh".to_owned(), open.target()],
        command => vec!["ssh".to_owned(), open.target(), command.to_owned()],
    };
    let session = Session {
        id: order::new_id()?,
        name: open.name.clone(),
        operator,
        command,
        size: open.size,
        opened: open.resource(),
        ssh: open.target(),
        ..Session::default()
    };
    let most = agent.policy().sessions.idle;
    let idle = open.idle_s.map_or(most, |asked| Duration::from_secs(asked.max(1)).min(most));
    let awaited = !open.detached;
    let what = What::Far(Far { addresses, algorithms, open });
    agent
        .sessions()
        .hold(agent, what, session, idle, awaited, async |socket| {
            converse(agent, socket, feeding).await
        })
        .await
}

/// What the machine's name stands for, as far as the policy lets sessions go there.
async fn addresses(agent: &Agent, open: &Open) -> Result<Vec<SocketAddr>, CallError> {
    let unknown = |why: String| {
        CallError::new(
            ErrorKind::Unreachable,
            format!("this host finds no machine called '{}': {why}", open.host),
        )
    };
    let looking = tokio::net::lookup_host((open.host.as_str(), open.port()));
    let found: Vec<SocketAddr> = match timeout(RESOLVING, looking).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(e)) => return Err(unknown(e.to_string())),
        Err(_) => return Err(unknown(format!("no answer within {} s", RESOLVING.as_secs()))),
    };
    if found.is_empty() {
        return Err(unknown("its name stands for no address".to_owned()));
    }
    agent.policy().allows_ssh(&open.host, found)
}

/// Answers what the holder asks, from what is known here or from what the client says, until the session runs.
async fn converse(
    agent: &Agent,
    socket: UnixStream,
    feeding: &mut Feeding<Open>,
) -> Result<(), CallError> {
    let (mut reader, mut writer) = local::split(socket);
    loop {
        let said = timeout(WORKING, reader.next::<Said>()).await;
        let said =
            said.unwrap_or_else(|_| Err(CallError::lost("the session's holder is silent")))?;
        let Some(Said { ask, begun }) = said else {
            return Err(CallError::lost("the session's holder has left"));
        };
        if begun {
            return Ok(());
        }
        let Some(question) = ask else { continue };
        let answer = match question.host_key {
            Some(key) => host_key(agent, key, feeding).await?,
            None => ask_client(question, feeding).await?,
        };
        writer.send(&answer).await?;
    }
}

/// Whether this machine is the right one.
async fn host_key(
    agent: &Agent,
    mut key: HostKey,
    feeding: &mut Feeding<Open>,
) -> Result<Answer, CallError> {
    let right = Answer { go_on: true, ..Answer::default() };
    match agent.ssh().find(&key).await? {
        Found::Right => return Ok(right),
        Found::Unknown(standing) => key.standing = standing,
    }
    let question = Question { host_key: Some(key.clone()), ..Question::default() };
    let answer = ask_client(question, feeding).await?;
    let place = ssh::place(&key.host, key.port);
    if !answer.go_on {
        let what = format!("the key of {place} was not confirmed; nothing was sent to it");
        return Err(CallError::new(ErrorKind::Cancelled, what));
    }
    // Only who may say which machine is the right one has made it known meanwhile.
    match agent.ssh().find(&key).await? {
        Found::Right => Ok(right),
        Found::Unknown(_) => {
            Err(CallError::denied(format!("this host still does not know the key of {place}")))
        }
    }
}

async fn ask_client(question: Question, feeding: &mut Feeding<Open>) -> Result<Answer, CallError> {
    feeding.send(&Item { ask: Some(question), ..Item::default() }).await?;
    let thinking = async {
        loop {
            // A size that has changed meanwhile is told again by whoever drives.
            if let Some(answer) = feeding.input().await?.answer {
                return Ok(answer);
            }
        }
    };
    timeout(THINKING, thinking).await.unwrap_or_else(|_| {
        let s = THINKING.as_secs();
        Err(CallError::new(ErrorKind::TimedOut, format!("nobody has answered for {s} s")))
    })
}

async fn list(agent: Arc<Agent>, _: Asked, _: List) -> Result<Listing, CallError> {
    agent.ssh().list().await
}

async fn trust(agent: Arc<Agent>, asked: Asked, trust: Trust) -> Result<Changed, CallError> {
    ssh::check("x", &trust.host).map_err(CallError::malformed)?;
    let by = operator(&asked)?;
    let place = ssh::place(&trust.host, trust.port);
    let result = agent.ssh().trust(&trust, &by).await;
    let outcome = result.as_ref().map_or_else(ToString::to_string, |_| "ok".to_owned());
    let fingerprint = clean_to_width(&trust.fingerprint, 64);
    tracing::info!(by = %clean_to_width(&by, 64), place, %fingerprint, outcome, "an SSH host key is said to be right");
    result
}

async fn forget(agent: Arc<Agent>, asked: Asked, forget: Forget) -> Result<Changed, CallError> {
    ssh::check("x", &forget.host).map_err(CallError::malformed)?;
    let by = operator(&asked)?;
    let place = ssh::place(&forget.host, forget.port);
    let result = agent.ssh().forget(&forget.host, forget.port).await;
    let outcome = result.as_ref().map_or_else(ToString::to_string, |_| "ok".to_owned());
    tracing::info!(by = %clean_to_width(&by, 64), place, outcome, "an SSH host key is forgotten");
    result
}
