//! `run`: keeps the link to the hub up for good and answers what comes over it, until it is told to
//! stop.

use crate::agent::{Agent, Config, serve};
use crate::dialer::Keyed;
use crate::services::{
    alerts, containers, edits, facts, forwards, gateways, metrics, orders, recorder,
};
use crate::state::{self, Failure};
use crate::{VERSION, join};
use cmdr_link::context::{self, Context, ContextError};
use cmdr_link::link::Link;
use cmdr_link::session::{self, State};
use cmdr_protocol::display::clean;
use sd_notify::NotifyState;
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

/// The context of a folder, or the one line that says what to do.
pub fn load_context(dir: &Path) -> Result<Context, Failure> {
    Context::load(dir).map_err(|e| match e {
        ContextError::None(_) => Failure::local(format!(
            "this machine has not joined a hub yet ({} has none); run: cmdr-agentd join TOKEN",
            dir.display()
        )),
        e => Failure::usage(format!(
            "{e}; put it right, or remove it and run: cmdr-agentd join TOKEN"
        )),
    })
}

/// Runs until SIGTERM or SIGINT, or until whoever started it is gone, when that is asked for.
pub async fn run(config: Config, while_stdin: bool) -> Result<(), Failure> {
    let dir = config.state_dir.clone();
    // Before the folder is made: one that has never joined is left alone.
    let context = load_context(&dir)?;
    let _lock = state::take(&dir)?;
    let fail = |e: std::io::Error| Failure::local(format!("listening for signals: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    let stdin = if while_stdin { Some(stdin_end().map_err(fail)?) } else { None };
    let id = context::host_id(&dir, &context.key);
    let basics = facts::basics(&config);
    tracing::info!(
        host = %clean(&basics.hostname),
        platform = %clean(&basics.os),
        os = %clean(&basics.os_version),
        arch = basics.arch,
        cores = basics.cores,
        cpu = %clean(&basics.cpu),
        agent = VERSION,
        %id,
        hub = %context.target.address,
        "the agent starts"
    );
    let agent = Agent::new(config);
    agent.scripts().clear();
    // Before the hub is dialed: an edit that is overdue may be why it cannot be reached.
    edits::resume(&agent).await;
    orders::resume(&agent);
    containers::resume(&agent);
    gateways::resume(&agent).await;
    recorder::begin(&agent);
    forwards::resume(&agent).await;
    tokio::spawn(metrics::remember(agent.clone()));
    tokio::spawn(alerts::look(agent.clone()));
    tokio::spawn(crate::dataplane::keep(agent.clone()));
    let meeting = agent.clone();
    tokio::spawn(async move { meeting.meet_others().await });
    let service = Arc::new(agent.clone().into_service());
    let hub = clean(&context.target.address).into_owned();
    let mut dialer = join::dialer(context.target, context.key, basics.hostname, None);
    // Each connection that is carried is a stream.
    dialer.limits.streams += agent.policy().forwards.max;
    let dialer = Keyed::new(dialer, dir);
    let first = State::Connecting { attempt: 0, last_error: None, retry_at: None };
    let (set_state, state) = watch::channel(first);
    tell(&[NotifyState::Ready]);
    let current: RefCell<Option<Link>> = RefCell::new(None);
    let kept = session::keep(&dialer, &set_state, |link, welcome, streams| {
        tracing::info!(
            hub,
            version = %clean(&welcome.version),
            name = %clean(&welcome.name),
            "the link to the hub is up"
        );
        current.replace(Some(link.clone()));
        agent.prove(dialer.key());
        serve(service.clone(), link, streams)
    });
    let mut kept = std::pin::pin!(kept);
    let why = tokio::select! {
        () = &mut kept => "the link task ended",
        () = report(&agent, state) => "the link task ended",
        () = watchdog() => "the watchdog ended",
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = async {
            match stdin {
                // Its thread may fail to begin to read, which is an end as well.
                Some(end) => drop(end.await),
                None => std::future::pending().await,
            }
        } => "standard input has ended",
    };
    tracing::info!("{why}: the agent stops");
    tell(&[NotifyState::Stopping]);
    agent.recording().end();
    // While the link is there: how they ended is told, if it can be.
    tokio::select! {
        () = orders::stop(&agent) => {}
        () = &mut kept => {}
    }
    let link = current.borrow_mut().take();
    if let Some(link) = link.filter(|link| link.ended().is_none()) {
        link.close("the agent was stopped");
        // The link's end ends every handler, and with it the programs that run for somebody.
        let over = async {
            tokio::select! {
                () = &mut kept => {}
                _ = link.down() => {}
            }
        };
        if timeout(Duration::from_secs(3), over).await.is_err() {
            tracing::warn!("the hub was not told in time");
        }
    }
    Ok(())
}

/// Comes when nobody holds the other end of standard input any more.
fn stdin_end() -> std::io::Result<oneshot::Receiver<()>> {
    let (end, ended) = oneshot::channel();
    // A thread of its own: a read that waits for good must not keep the runtime from ending.
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).ok();
        end.send(()).ok();
    })?;
    Ok(ended)
}

/// Tells the service manager; without one this does nothing.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(states) {
        tracing::debug!("telling the service manager: {e}");
    }
}

/// Keeps the service manager's status line true, and the agent knowing whether the hub is away.
async fn report(agent: &Agent, mut state: watch::Receiver<State>) {
    loop {
        agent.set_away(!matches!(*state.borrow(), State::Up { .. }));
        let status = match &*state.borrow_and_update() {
            State::Connecting { last_error: None, .. } => "dialing the hub".to_owned(),
            State::Connecting { last_error: Some(e), .. } => format!("dialing the hub: {e}"),
            State::Up { .. } => "connected to the hub".to_owned(),
            State::Refused { refusal } => format!("refused: {refusal}"),
            State::Closed => "closed".to_owned(),
        };
        tell(&[NotifyState::Status(&clean(&status))]);
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// Shows the service manager that the event loop turns; waits for good when nobody asks for it.
async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut tick = tokio::time::interval((limit / 2).max(Duration::from_millis(10)));
    loop {
        tick.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}
