//! One command on one host: from the order to exactly one named end.

use crate::connect::Target;
use cmdr_link::Client;
use cmdr_protocol::exec::{Exit, Input, Item, Outcome, Start};
use cmdr_protocol::recordings::Notice;
use cmdr_protocol::{CallError, ErrorKind};
use serde::Serialize;
use std::time::Duration;
use tokio::sync::mpsc;

/// A host that does not report the end of a command this long after its timeout is given up.
const OVERDUE: Duration = Duration::from_secs(15);

/// The state a target ends in. The names are a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Ok,
    Failed,
    TimedOut,
    Cancelled,
    Lost,
    Unreachable,
    Refused,
}

impl State {
    /// All, from best to worst.
    pub(super) const ALL: [Self; 7] = [
        Self::Ok,
        Self::Failed,
        Self::TimedOut,
        Self::Lost,
        Self::Unreachable,
        Self::Refused,
        Self::Cancelled,
    ];

    /// The name in summaries and JSON.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
        }
    }
}

/// How it ended on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct End {
    pub(super) state: State,
    /// The exit code, when the command ended by itself.
    pub(super) code: Option<i32>,
    /// The signal that ended it.
    pub(super) signal: Option<i32>,
    pub(super) took_ms: Option<u64>,
    /// What went wrong, when it is not the command's own doing.
    pub(super) error: Option<String>,
    /// What a shell would say when the command could not be started at all: 126 or 127; 2 when the
    /// host could make no sense of the order.
    #[serde(skip)]
    pub(super) not_started: Option<u8>,
}

impl End {
    pub(super) fn error(state: State, error: impl Into<String>) -> Self {
        let error = Some(error.into());
        Self { state, code: None, signal: None, took_ms: None, error, not_started: None }
    }

    fn exit(exit: Exit) -> Self {
        let (state, code, signal) = match (exit.outcome, exit.code) {
            (Outcome::Exited, 0) => (State::Ok, Some(0), None),
            (Outcome::Exited, code) => (State::Failed, Some(code), None),
            // Only sessions are closed; a command is not.
            (Outcome::Signalled | Outcome::Closed, signal) => (State::Failed, None, Some(signal)),
            (Outcome::TimedOut, _) => (State::TimedOut, None, None),
            (Outcome::Unknown, _) => {
                return Self::error(State::Failed, "ended in a way this release does not know");
            }
        };
        let took_ms = Some(exit.took_ms);
        Self { state, code, signal, took_ms, error: None, not_started: None }
    }
}

impl From<CallError> for End {
    fn from(error: CallError) -> Self {
        let state = match error.kind {
            ErrorKind::Denied
            | ErrorKind::OnRequest
            | ErrorKind::UnknownMethod
            | ErrorKind::Malformed
            | ErrorKind::Busy => State::Refused,
            ErrorKind::Unreachable => State::Unreachable,
            ErrorKind::Lost => State::Lost,
            ErrorKind::TimedOut => State::TimedOut,
            ErrorKind::Cancelled => State::Cancelled,
            _ => State::Failed,
        };
        let not_started = match (state, error.kind) {
            (_, ErrorKind::Malformed) => Some(2),
            (State::Failed, ErrorKind::NotFound) => Some(127),
            (State::Failed, _) => Some(126),
            _ => None,
        };
        let message = if error.message.is_empty() { error.kind.to_string() } else { error.message };
        Self { not_started, ..Self::error(state, message) }
    }
}

/// What happens on one host, in order; `End` is the last.
#[derive(Debug)]
pub(super) enum Event {
    Start(u32),
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    /// The hub says something about it: whether that is only for those who want to know more.
    Word(bool, String),
    End(End),
}

/// The order for one host.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) at: usize,
    pub(super) target: Target,
    pub(super) client: Client,
    pub(super) start: Start,
    /// Our input; its end is the end of the command's.
    pub(super) input: Option<mpsc::Receiver<Vec<u8>>>,
    pub(super) events: mpsc::Sender<(usize, Event)>,
}

impl Job {
    /// Runs it to its end. Dropping the future ends the command.
    pub(super) async fn run(mut self) {
        let end = match super::not_asked(self.target.state, &self.target.name) {
            Some(end) => end,
            None => self.ask().await,
        };
        // Nobody listens any more only when everything is being cancelled.
        self.events.send((self.at, Event::End(end))).await.ok();
    }

    async fn ask(&mut self) -> End {
        let Some(ms) = self.start.timeout_ms else { return self.follow().await };
        let limit = Duration::from_millis(ms).saturating_add(OVERDUE);
        tokio::time::timeout(limit, self.follow()).await.unwrap_or_else(|_| {
            End::error(State::Lost, "did not report the end of the command after its timeout")
        })
    }

    async fn follow(&mut self) -> End {
        let feed = match self.client.feed(Some(self.target.id), &self.start).await {
            Ok(feed) => feed,
            Err(e) => return e.into(),
        };
        let (mut items, mut inputs) = feed.split();
        let input = self.input.take();
        let feeding = async {
            if let Some(mut input) = input {
                while let Some(data) = input.recv().await {
                    if inputs.send(&Input { data, ..Input::default() }).await.is_err() {
                        break;
                    }
                }
                // A command that has ended needs no end of its input.
                inputs.send(&Input { eof: true, ..Input::default() }).await.ok();
            }
            std::future::pending::<()>().await;
        };
        let reading = async {
            loop {
                match items.next().await {
                    Some(Ok(item)) => {
                        if let Some(end) = self.take(item).await {
                            return end;
                        }
                    }
                    Some(Err(e)) => return e.into(),
                    None => return End::error(State::Lost, "the host did not say how it ended"),
                }
            }
        };
        tokio::select! {
            end = reading => end,
            () = feeding => End::error(State::Lost, "the input ended the command"),
        }
    }

    /// Hands on what an item tells; its end, if it has one.
    async fn take(&self, item: Item) -> Option<End> {
        let tell = async |event| drop(self.events.send((self.at, event)).await);
        for word in item.notice.into_iter().flat_map(|notice| words(&self.target.name, notice)) {
            tell(word).await;
        }
        if let Some(pid) = item.pid {
            tell(Event::Start(pid)).await;
        }
        if !item.stdout.is_empty() {
            tell(Event::Stdout(item.stdout)).await;
        }
        if !item.stderr.is_empty() {
            tell(Event::Stderr(item.stderr)).await;
        }
        item.exit.map(End::exit)
    }
}

/// What the hub says about a command.
fn words(host: &str, notice: Notice) -> impl Iterator<Item = Event> {
    let recorded = notice.recording.map(|id| {
        Event::Word(true, format!("{host}: recorded as {id} (cmdr recordings play {id})"))
    });
    let watched = notice.watchers.map(|watchers| match watchers.join(", ").as_str() {
        "" => Event::Word(false, format!("{host}: nobody watches this command any more")),
        who => Event::Word(false, format!("{host}: {who} watches this command")),
    });
    recorded.into_iter().chain(watched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_end_has_its_state() {
        let exit = |outcome, code| End::exit(Exit { outcome, code, took_ms: 5 });
        assert_eq!(exit(Outcome::Exited, 0).state, State::Ok);
        assert_eq!(exit(Outcome::Exited, 3).code, Some(3));
        assert_eq!(exit(Outcome::Signalled, 9).signal, Some(9));
        assert_eq!(exit(Outcome::TimedOut, 9).state, State::TimedOut);
        let of = |kind| End::from(CallError::new(kind, "")).state;
        assert_eq!(of(ErrorKind::Denied), State::Refused);
        assert_eq!(of(ErrorKind::OnRequest), State::Refused);
        assert_eq!(of(ErrorKind::Busy), State::Refused);
        assert_eq!(of(ErrorKind::Unreachable), State::Unreachable);
        assert_eq!(of(ErrorKind::Lost), State::Lost);
        assert_eq!(of(ErrorKind::NotFound), State::Failed);
        assert_eq!(End::from(CallError::not_found("")).not_started, Some(127));
        assert_eq!(End::from(CallError::failed("")).not_started, Some(126));
        assert_eq!(End::from(CallError::malformed("")).not_started, Some(2));
    }
}
