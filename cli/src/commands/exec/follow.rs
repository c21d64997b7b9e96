//! A run of the hub's as `exec` shows a command: the same lines, the same events, the same codes. A link to
//! the hub that is cut is dialed anew, and the run is followed from where it was.

use super::report::Report;
use super::show::Show;
use super::target::{End, Event, State};
use super::{pipe, relay};
use crate::App;
use crate::commands::interrupted;
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use crate::output;
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::runs::{Progress, Run, Show as ShowRun, Shown, Stop, TargetState, Watch};
use cmdr_protocol::{CallError, ErrorKind, HostId, RunId, runs};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A hub that is gone is dialed for so long.
const GONE: Duration = Duration::from_mins(2);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(300);
/// Events between the hub and the output; when it is full the hub waits.
const EVENTS: usize = 64;

/// All targets of a run, and the run.
pub(in crate::commands) async fn whole(hub: &Hub, run: RunId) -> Result<Shown, Failure> {
    let mut shown = hub.ask(&ShowRun { run, from: 0 }).await?;
    while let Some(from) = shown.next {
        let more = hub.ask(&ShowRun { run, from }).await?;
        shown.targets.extend(more.targets);
        shown.next = more.next;
    }
    Ok(shown)
}

/// Whose run is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Whose {
    /// What was just ordered here: Ctrl-C ends it everywhere.
    Here,
    /// Some run that is looked at: it goes on without us.
    Watched,
}

/// Shows a run until it is over. `output` is false when that of others may not be watched.
pub(in crate::commands) async fn follow(
    app: &App,
    hub: Hub,
    run: RunId,
    output: bool,
    whose: Whose,
) -> Result<Exit, Failure> {
    let shown = whole(&hub, run).await?;
    let none = HostId([0; 16]);
    let places: Vec<u32> = shown.targets.iter().map(|target| target.index).collect();
    let targets: Vec<_> = shown
        .targets
        .iter()
        .map(|target| Target {
            id: target.host.unwrap_or(none),
            name: target.name.clone(),
            state: HostState::Online,
        })
        .collect();
    let mut show = Show::new(&app.out, &targets);
    let mut report = Report::new(targets);
    let (pipe, written) = pipe::start()?;
    let (send, mut events) = mpsc::channel(EVENTS);
    let watching =
        Watching { run, output, places, cursor: String::new(), send, last: None }.run(hub.clone());
    let watching = tokio::spawn(watching);
    let mut stopped = false;
    let complete = {
        let mut work = std::pin::pin!(relay(&app.out, &mut events, &mut show, &mut report, &pipe));
        loop {
            tokio::select! {
                biased;
                () = interrupted() => {
                    if stopped || whose == Whose::Watched {
                        break false;
                    }
                    stopped = stop(app, &hub, run).await;
                    if !stopped {
                        break false;
                    }
                }
                complete = &mut work => break complete,
            }
        }
    };
    if !complete {
        watching.abort();
        // Nobody reads what comes: as with a command here, it is for nobody then.
        if !stopped && whose == Whose::Here {
            stopped = stop(app, &hub, run).await;
        }
        if !stopped {
            app.out.note(&format!(
                "the run goes on without us: cmdr run watch {run}; to stop it: cmdr run stop {run}"
            ));
        }
        return Ok(Exit::Cancelled);
    }
    for piece in show.finish(&report) {
        if !pipe.send(piece).await {
            break;
        }
    }
    drop(pipe);
    if let Ok(Err(e)) = written.await {
        return Err(output::unwritable(&e));
    }
    let last = watching.await.map_err(|e| Failure::new(Exit::Fault, e.to_string()))??;
    report.tell(&app.out);
    if let Some(last) = last.filter(|last| !last.why.is_empty()) {
        app.out.note(&format!("the run is {}: {}", last.state, last.why));
    }
    Ok(if stopped { Exit::Cancelled } else { report.exit() })
}

/// Ends a run on all hosts at once because of Ctrl-C here; false when that could not be said to the hub, or a second
/// one did not wait for it.
pub(in crate::commands) async fn stop(app: &App, hub: &Hub, run: RunId) -> bool {
    app.out.note("ending it on all hosts; Ctrl-C once more does not wait for that");
    let asked = async {
        let ask = Stop { run, why: "Ctrl-C where it was begun".into() };
        match hub.ask(&ask).await {
            // The link may be the one that was just cut.
            Err(_) => match hub.again().await {
                Ok(again) => again.ask(&ask).await,
                Err(error) => Err(Failure::new(Exit::Unreachable, error.to_string())),
            },
            done => done,
        }
    };
    let asked = tokio::select! {
        biased;
        () = interrupted() => return false,
        asked = asked => asked,
    };
    if let Err(failure) = &asked {
        app.out.warn(&format!("the hub was not told to end it: {}", failure.message));
    }
    asked.is_ok()
}

/// Follows a run over as many links as it takes.
struct Watching {
    run: RunId,
    output: bool,
    places: Vec<u32>,
    cursor: String,
    send: mpsc::Sender<(usize, Event)>,
    last: Option<Run>,
}

impl Watching {
    async fn run(mut self, mut hub: Hub) -> Result<Option<Run>, Failure> {
        let mut gone: Option<Instant> = None;
        loop {
            let error = match self.follow(&hub, &mut gone).await {
                Ok(()) => return Ok(self.last),
                Err(error) => error,
            };
            if !matches!(
                error.kind,
                ErrorKind::Lost | ErrorKind::Unreachable | ErrorKind::Cancelled
            ) {
                return Err(Failure::from_hub(error));
            }
            let since = *gone.get_or_insert_with(Instant::now);
            loop {
                if since.elapsed() > GONE {
                    let hint = format!("the run goes on; later: cmdr run watch {}", self.run);
                    return Err(Failure::from_hub(error).hint(hint));
                }
                tokio::time::sleep(AGAIN).await;
                if let Ok(again) = hub.again().await {
                    hub = again;
                    break;
                }
            }
        }
    }

    async fn follow(&mut self, hub: &Hub, gone: &mut Option<Instant>) -> Result<(), CallError> {
        let watch =
            Watch { run: self.run, since: self.cursor.clone(), output: self.output, stay: false };
        let mut feed = hub.client.feed(None, &watch).await?;
        while let Some(item) = feed.next().await {
            let item = item?;
            *gone = None;
            let over = item.over;
            if !item.cursor.is_empty() {
                self.cursor.clone_from(&item.cursor);
            }
            self.tell(item).await;
            if over {
                return Ok(());
            }
        }
        Err(CallError::lost("the hub ended the feed of the run before the run was over"))
    }

    fn place(&self, index: u32) -> Option<usize> {
        self.places.binary_search(&index).ok()
    }

    async fn tell(&mut self, item: Progress) {
        for printed in item.output {
            let Some(at) = self.place(printed.target) else { continue };
            if printed.lost > 0 {
                let what = format!("{} bytes of output were not kept", printed.lost);
                self.send.send((at, Event::Word(false, what))).await.ok();
            }
            if !printed.stdout.is_empty() {
                self.send.send((at, Event::Stdout(printed.stdout))).await.ok();
            }
            if !printed.stderr.is_empty() {
                self.send.send((at, Event::Stderr(printed.stderr))).await.ok();
            }
        }
        for target in item.targets {
            let Some(at) = self.place(target.index) else { continue };
            if let Some(end) = end_of(&target) {
                self.send.send((at, Event::End(end))).await.ok();
            } else if target.away {
                let what = format!("{} is away; it is waited for", target.name);
                self.send.send((at, Event::Word(true, what))).await.ok();
            }
        }
        self.last = item.run.or(self.last.take());
    }
}

/// How a target ended, if it has.
fn end_of(target: &runs::Target) -> Option<End> {
    let state = match target.state {
        TargetState::Ok => State::Ok,
        TargetState::Failed => State::Failed,
        TargetState::TimedOut => State::TimedOut,
        TargetState::Cancelled => State::Cancelled,
        TargetState::Lost => State::Lost,
        TargetState::Unreachable => State::Unreachable,
        TargetState::Refused => State::Refused,
        TargetState::Queued | TargetState::Sent | TargetState::Running | TargetState::Unknown => {
            return None;
        }
    };
    let error = (!target.why.is_empty()).then(|| target.why.clone());
    let (code, took_ms) = (target.code, target.took_ms);
    Some(End { state, code, signal: None, took_ms, error, not_started: None })
}
