//! Files and folders on their way, in the background of the client: uploads, downloads, copies from host to host. Each is a
//! task of its own that tells how far it is; what it changes comes back as updates.

mod folder;

use crate::action::{Action, Errand, reason};
use crate::event::Event;
use crate::link::{Link, cut_short};
use crate::store::files::{self, State, Told};
use cmdr_link::transfer::tree::Place;
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

/// A file or a folder from here to there.
pub(in crate::panes) enum Job {
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
    /// A folder with all that is in it.
    Folder {
        from: Place,
        to: Place,
        take: bool,
    },
    /// A folder as one `tar.zst` on this machine.
    Archive {
        host: HostId,
        from: FilePath,
        to: PathBuf,
    },
}

impl Job {
    /// The folder of a host that it changes.
    fn changes(&self) -> Option<(HostId, FilePath)> {
        match self {
            Self::Up { host, to, .. } => Some((*host, to.parent())),
            Self::Across { copy, .. } => Some((copy.to, copy.target.parent())),
            Self::Folder { to: Place::There(host, path), .. } => Some((*host, path.parent())),
            Self::Folder { to: Place::Here(_), .. } | Self::Down { .. } | Self::Archive { .. } => {
                None
            }
        }
    }
}

/// Begins a transfer with this number.
pub(in crate::panes) fn start(id: u64, what: String, job: Job) -> Action {
    let changes = job.changes();
    follow(id, what, changes, |link, tell| async move {
        Ok((run(link, job, tell).await?, Action::None))
    })
}

/// How a piece of work ended, and what is to be done then.
pub(in crate::panes) type Ended = Result<(State, Action), CallError>;

/// Does some work as a transfer of this number, which is listed, tells how far it is and can be given up.
/// `changes` is the folder of a host that it changes.
pub(in crate::panes) fn follow<F>(
    id: u64,
    what: String,
    changes: Option<(HostId, FilePath)>,
    work: impl FnOnce(Link, watch::Sender<Told>) -> F + Send + 'static,
) -> Action
where
    F: Future<Output = Ended> + Send + 'static,
{
    let errand: Errand = Box::new(move |link| {
        Box::pin(async move {
            let (tell, told) = watch::channel(Told::default());
            let task = tokio::spawn(work(link, tell));
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
    told: watch::Receiver<Told>,
    task: JoinHandle<Ended>,
    changes: Option<(HostId, FilePath)>,
) -> Pin<Box<dyn Future<Output = Event> + Send>> {
    Box::pin(news(id, told, task, changes))
}

async fn news(
    id: u64,
    mut told: watch::Receiver<Told>,
    mut task: JoinHandle<Ended>,
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
            let last = told.borrow().clone();
            let (state, then) = match ended {
                Ok(Ok(ended)) => ended,
                Ok(Err(e)) => (State::Failed(reason(&e)), Action::None),
                Err(e) if e.is_cancelled() => (State::Stopped, Action::None),
                Err(e) => (State::Failed(e.to_string()), Action::None),
            };
            Event::Done(Some(files::ended(id, state, changes, last)), then)
        }
        () = news => {
            let now = told.borrow_and_update().clone();
            let rest: Errand = Box::new(move |_| step(id, told, task, changes));
            Event::Done(Some(files::told(id, now)), Action::Errand(rest))
        }
    }
}

async fn run(link: Link, job: Job, tell: watch::Sender<Told>) -> Result<State, CallError> {
    let (dialed, tell) = (link.clone(), Arc::new(tell));
    let client = move || -> Dialing { Box::pin(std::future::ready(dialed.client())) };
    let teller = tell.clone();
    let told = move |progress: &Progress| {
        teller.send_modify(|told| told.progress.clone_from(progress));
    };
    let way = Way { client: Arc::new(client), tell: Arc::new(told), patience: PATIENCE };
    match job {
        Job::Up { from, host, to, replace } => {
            let write = Write { path: to, absent: !replace, ..Write::default() };
            transfer::upload(&way, &from, host, write, true).await.map(|_| State::Done)
        }
        Job::Down { host, from, to, replace } => {
            let wanted = Wanted { absent: !replace, preserve: true };
            transfer::download(&way, host, &from, &to, wanted).await.map(|_| State::Done)
        }
        Job::Across { copy, take } => {
            across(&link, &copy, &tell).await?;
            if take {
                let delete = Delete { path: copy.path.clone(), ..Delete::default() };
                link.call(Some(copy.from), delete, Duration::from_secs(30)).await?;
            }
            Ok(State::Done)
        }
        Job::Folder { from, to, take } => folder::carry(&way, &from, &to, take, &tell).await,
        Job::Archive { host, from, to } => folder::archive(&way, host, from, to, &tell).await,
    }
}

/// The hub does it; when our link to it is cut it is asked again, and goes on.
async fn across(link: &Link, copy: &Copy, tell: &watch::Sender<Told>) -> Result<(), CallError> {
    let mut since = tokio::time::Instant::now();
    loop {
        let tried = async {
            let mut items = link.feed(None, copy.clone()).await?;
            while let Some(item) = items.next().await {
                let item = item?;
                if item.have > tell.borrow().progress.have {
                    since = tokio::time::Instant::now();
                }
                let progress = Progress {
                    size: item.size,
                    have: item.have,
                    carried: item.carried,
                    waiting: item.waiting,
                };
                tell.send_modify(|told| told.progress = progress);
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
