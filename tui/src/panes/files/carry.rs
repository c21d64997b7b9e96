//! Files on their way, in the background of the client: uploads, downloads, copies from host to host. Each is a task
//! of its own that tells how far it is; what it changes comes back as updates.

use crate::action::{Action, Errand, reason};
use crate::event::Event;
use crate::link::{Link, cut_short};
use crate::store::files::{self, State};
use cmdr_link::transfer::{self, Dialing, Progress, Wanted, Way};
use cmdr_protocol::files::{Copy, Delete, FilePath, Write};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often a transfer is drawn anew.
const TELL: Duration = Duration::from_millis(250);
/// How long it goes on trying without getting any further.
const PATIENCE: Duration = Duration::from_mins(10);

/// A file from here to there.
pub(super) enum Job {
    Up {
        from: PathBuf,
        host: HostId,
        to: FilePath,
        replace: bool,
    },
    Down {
        host: HostId,
        from: FilePath,
        to: PathBuf,
        replace: bool,
    },
    /// `take` also deletes it where it was, once it is there.
    Across {
        copy: Copy,
        take: bool,
    },
}

impl Job {
    /// The folder of a host that it changes.
    fn changes(&self) -> Option<(HostId, FilePath)> {
        match self {
            Self::Up { host, to, .. } => Some((*host, to.parent())),
            Self::Down { .. } => None,
            Self::Across { copy, .. } => Some((copy.to, copy.target.parent())),
        }
    }
}

/// Begins a transfer with this number.
pub(super) fn start(id: u64, what: String, job: Job) -> Action {
    let errand: Errand = Box::new(move |link| {
        Box::pin(async move {
            let (tell, told) = watch::channel(Progress::default());
            let changes = job.changes();
            let task = tokio::spawn(run(link, job, tell));
            let begun = files::begun(id, task.abort_handle());
            let rest: Errand = Box::new(move |_| step(id, told, task, changes));
            Event::Done(Some(begun), Action::Errand(rest))
        })
    });
    Action::All(vec![Action::Apply(files::begin(id, what)), Action::Errand(errand)])
}

/// Waits for news of a transfer.
fn step(
    id: u64,
    told: watch::Receiver<Progress>,
    task: JoinHandle<Result<(), CallError>>,
    changes: Option<(HostId, FilePath)>,
) -> Pin<Box<dyn Future<Output = Event> + Send>> {
    Box::pin(news(id, told, task, changes))
}

async fn news(
    id: u64,
    mut told: watch::Receiver<Progress>,
    mut task: JoinHandle<Result<(), CallError>>,
    changes: Option<(HostId, FilePath)>,
) -> Event {
    let news = async {
        if told.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(TELL).await;
    };
    tokio::select! {
        ended = &mut task => {
            let state = match ended {
                Ok(Ok(())) => State::Done,
                Ok(Err(e)) => State::Failed(reason(&e)),
                Err(e) if e.is_cancelled() => State::Stopped,
                Err(e) => State::Failed(e.to_string()),
            };
            Event::Done(Some(files::ended(id, state, changes)), Action::None)
        }
        () = news => {
            let progress = told.borrow_and_update().clone();
            let rest: Errand = Box::new(move |_| step(id, told, task, changes));
            Event::Done(Some(files::told(id, progress)), Action::Errand(rest))
        }
    }
}

async fn run(link: Link, job: Job, tell: watch::Sender<Progress>) -> Result<(), CallError> {
    let (dialed, tell) = (link.clone(), Arc::new(tell));
    let client = move || -> Dialing { Box::pin(std::future::ready(dialed.client())) };
    let teller = tell.clone();
    let told = move |progress: &Progress| drop(teller.send_replace(progress.clone()));
    let way = Way { client: Arc::new(client), tell: Arc::new(told), patience: PATIENCE };
    match job {
        Job::Up { from, host, to, replace } => {
            let write = Write { path: to, absent: !replace, ..Write::default() };
            transfer::upload(&way, &from, host, write, true).await.map(drop)
        }
        Job::Down { host, from, to, replace } => {
            let wanted = Wanted { absent: !replace, preserve: true };
            transfer::download(&way, host, &from, &to, wanted).await.map(drop)
        }
        Job::Across { copy, take } => {
            across(&link, &copy, &tell).await?;
            if take {
                let delete = Delete { path: copy.path.clone(), ..Delete::default() };
                link.call(Some(copy.from), delete, Duration::from_secs(30)).await?;
            }
            Ok(())
        }
    }
}

/// The hub does it; when our link to it is cut it is asked again, and goes on.
async fn across(link: &Link, copy: &Copy, tell: &watch::Sender<Progress>) -> Result<(), CallError> {
    let mut since = tokio::time::Instant::now();
    loop {
        let tried = async {
            let mut items = link.feed(None, copy.clone()).await?;
            while let Some(item) = items.next().await {
                let item = item?;
                if item.have > tell.borrow().have {
                    since = tokio::time::Instant::now();
                }
                tell.send_replace(Progress {
                    size: item.size,
                    have: item.have,
                    carried: item.carried,
                    waiting: item.waiting,
                });
                if item.written.is_some() {
                    return Ok(());
                }
            }
            Err(cut_short())
        };
        match tried.await {
            Err(e)
                if matches!(e.kind, ErrorKind::Lost | ErrorKind::Unreachable)
                    && since.elapsed() < PATIENCE =>
            {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            done => return done,
        }
    }
}
