//! The sessions of this host: begins holders, finds those that were begun before this agent, and knows how
//! each stands, because each tells it.

use super::order::{self, Order};
use crate::holder::wire::{Ask, Attach, News, VERSION};
use crate::holder::{Hold, WORD, What, open_dir, short};
use crate::supervise::{Told, job_text};
use crate::{Agent, Config};
use cmdr_link::local::{self, Reader, Writer};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::sessions::{Listing, Open, Session};
use cmdr_protocol::{CallError, ErrorKind};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A holder answers within so long, or something is wrong with it.
const PATIENCE: Duration = Duration::from_secs(10);

/// All sessions of this host.
#[derive(Debug)]
pub struct Sessions {
    dir: PathBuf,
    program: PathBuf,
    shared: Arc<Shared>,
    /// Those begun before this agent have been looked for.
    found: OnceCell<()>,
    /// One for each holder; they end with the agent.
    following: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// How each stands; none while it is being begun.
    known: Mutex<BTreeMap<String, Option<News>>>,
    changed: watch::Sender<u64>,
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Option<News>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, id: &str, news: Option<News>) {
        match news {
            Some(news) => drop(self.known().insert(id.to_owned(), Some(news))),
            None => drop(self.known().remove(id)),
        }
        self.changed.send_modify(|n| *n += 1);
    }
}

/// A session that is being begun: it counts.
struct Place<'a> {
    shared: &'a Shared,
    id: &'a str,
    taken: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.taken {
            self.shared.set(self.id, None);
        }
    }
}

fn unknown(id: &str) -> CallError {
    let id = clean_to_width(id, 20);
    CallError::not_found(format!("there is no session '{id}' on this host; it may have ended"))
}

fn is_id(name: &str) -> bool {
    name.len() == 10 && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
}

impl Sessions {
    /// Those of an agent that is configured so. Nothing is looked at before somebody asks.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            dir: config.state_dir.join("sessions"),
            program: config.supervisor.clone(),
            shared: Arc::default(),
            found: OnceCell::new(),
            following: Mutex::default(),
        }
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// All that run, the oldest first.
    pub(super) async fn listing(&self) -> Listing {
        self.find().await;
        let known = self.shared.known();
        let running = known.values().flatten().filter(|news| news.exit.is_none());
        let mut sessions: Vec<_> = running.map(|news| news.session.clone()).collect();
        sessions.sort_by(|a, b| (a.started_ms, &a.id).cmp(&(b.started_ms, &b.id)));
        Listing { sessions }
    }

    /// Begins a session; says its number.
    pub(super) async fn begin(
        &self,
        agent: &Agent,
        open: Open,
        operator: String,
    ) -> Result<String, CallError> {
        let awaited = !open.detached;
        let Order { job, session, idle } = order::check(agent, open, operator)?;
        let (arg0, user, cwd) = (job.arg0.clone(), session.user.clone(), job.cwd.clone());
        let what = What::Here(job);
        self.hold(agent, what, session, idle, awaited, async |mut socket| {
            let mut told = [0; Told::LEN];
            let reading = timeout(PATIENCE, socket.read_exact(&mut told)).await;
            let told = match reading.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
                Ok(_) => Told::from_bytes(told),
                Err(e) => return Err(CallError::failed(format!("starting the session: {e}"))),
            };
            match told {
                Some(Told::Started(_)) => Ok(()),
                Some(Told::Refused(errno)) => {
                    let e = io::Error::from_raw_os_error(errno);
                    Err(CallError::failed(format!(
                        "{}: cannot be started as '{user}' in {}: {e}",
                        clean_to_width(&arg0, 200),
                        clean_to_width(&cwd.to_string_lossy(), 200)
                    )))
                }
                _ => Err(CallError::failed("the session's holder is confused")),
            }
        })
        .await
    }

    /// Begins a holder; `begun` comes back when it says that the session runs.
    pub(in crate::services) async fn hold(
        &self,
        agent: &Agent,
        what: What,
        session: Session,
        idle: Duration,
        awaited: bool,
        begun: impl AsyncFnOnce(UnixStream) -> Result<(), CallError>,
    ) -> Result<String, CallError> {
        self.find().await;
        let id = session.id.clone();
        let most = agent.policy().sessions.max;
        {
            let mut known = self.shared.known();
            let runs = |news: &Option<News>| news.as_ref().is_none_or(|news| news.exit.is_none());
            if known.values().filter(|news| runs(news)).count() >= most {
                let what = format!("this host keeps {most} sessions already; end some of them");
                return Err(CallError::new(ErrorKind::Busy, what));
            }
            known.insert(id.clone(), None);
        }
        let mut place = Place { shared: &self.shared, id: &id, taken: false };
        let (idle_s, dir) = (idle.as_secs(), self.dir.clone());
        let hold = Hold { what, session, idle_s, awaited, dir };
        let socket = timeout(PATIENCE, self.start(&hold)).await;
        let socket = socket.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        begun(socket.map_err(|e| CallError::failed(format!("starting the session: {e}")))?).await?;
        self.follow(&id).await.map_err(|e| {
            CallError::failed(format!("the session was begun and cannot be reached: {e}"))
        })?;
        place.taken = true;
        drop(place);
        Ok(id)
    }

    /// Starts a holder. It is not waited for, and nobody ends it when this agent ends.
    async fn start(&self, hold: &Hold) -> io::Result<UnixStream> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        Command::new(&self.program)
            .arg0(crate::PROGRAM)
            .arg(WORD)
            // For those who list processes.
            .arg(&hold.session.id)
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        ours.set_nonblocking(true)?;
        let mut socket = UnixStream::from_std(ours)?;
        socket.write_all(&job_text(hold)?).await?;
        Ok(socket)
    }

    /// Looks, once, for holders that an agent before this one has begun, and removes what is left of those
    /// that are gone.
    async fn find(&self) {
        self.found
            .get_or_init(|| async {
                let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
                let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
                for id in names.filter(|name| is_id(name)).collect::<Vec<_>>() {
                    match self.follow(&id).await {
                        Ok(()) => tracing::info!(session = id, "a session is found again"),
                        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                            tracing::info!(session = id, "a session has gone with its holder");
                            if let Err(e) = std::fs::remove_file(self.dir.join(&id)) {
                                tracing::warn!("removing what is left of session {id}: {e}");
                            }
                        }
                        Err(e) => tracing::warn!(session = id, "a holder does not answer: {e}"),
                    }
                }
            })
            .await;
    }

    /// Keeps up with one holder. Returns when its first news are here.
    async fn follow(&self, id: &str) -> io::Result<()> {
        let (mut reader, mut writer) = connect(&self.dir, id).await?;
        let ask = Ask { version: VERSION, ..Ask::default() };
        let first = async {
            writer.send(&ask).await.map_err(io::Error::other)?;
            let news = reader.next::<News>().await.map_err(io::Error::other)?;
            news.ok_or_else(|| io::Error::other("it says nothing"))
        };
        let first = timeout(PATIENCE, first)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        self.shared.set(id, Some(first));
        let (shared, id) = (self.shared.clone(), id.to_owned());
        let mut following = self.following.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended need not be kept.
        while following.try_join_next().is_some() {}
        following.spawn(async move {
            let _open = writer;
            while let Ok(Some(news)) = reader.next::<News>().await {
                shared.set(&id, Some(news));
            }
            if shared.known().get(&id).is_some_and(|n| n.as_ref().is_some_and(|n| n.exit.is_none()))
            {
                tracing::warn!(
                    session = id,
                    "a session's holder has gone, and the session with it"
                );
            }
            shared.set(&id, None);
        });
        Ok(())
    }

    /// Whether a session is this operator's.
    pub(super) async fn owned_by(&self, id: &str, operator: &str) -> Result<(), CallError> {
        self.find().await;
        let known = self.shared.known();
        let news = known.get(id).and_then(Option::as_ref).ok_or_else(|| unknown(id))?;
        if news.session.operator != operator {
            return Err(CallError::denied(format!(
                "session {id} is {}'s; only who may join sessions (sessions.join, sessions.end-any) gets at those of others",
                clean_to_width(&news.session.operator, 64)
            )));
        }
        Ok(())
    }

    /// Whether a session was opened as whoever comes back to it says: the hub has asked no more than whether
    /// they may open such a one.
    pub(super) fn opened_as(&self, id: &str, opened: &str) -> Result<(), CallError> {
        let known = self.shared.known();
        let news = known.get(id).and_then(Option::as_ref).ok_or_else(|| unknown(id))?;
        if news.session.opened == opened {
            return Ok(());
        }
        let shown = clean_to_width(&news.session.opened, 120);
        Err(CallError::denied(if opened.is_empty() {
            format!(
                "session {id} was opened as {shown}, and this client does not say so: it is older than the agent"
            )
        } else {
            format!("session {id} was opened as {shown}, not as {}", clean_to_width(opened, 120))
        }))
    }

    /// A way to a session's holder that has asked for this.
    async fn ask(&self, id: &str, ask: Ask) -> Result<(Reader, Writer), CallError> {
        self.find().await;
        if !self.shared.known().contains_key(id) {
            return Err(unknown(id));
        }
        let gone = |e: io::Error| {
            CallError::failed(format!("the holder of session {id} cannot be reached: {e}"))
        };
        let (reader, mut writer) = connect(&self.dir, id).await.map_err(gone)?;
        writer.send(&ask).await?;
        Ok((reader, writer))
    }

    /// Attaches somebody: items come, inputs go.
    pub(in crate::services) async fn attach(
        &self,
        id: &str,
        who: Attach,
    ) -> Result<(Reader, Writer), CallError> {
        self.ask(id, Ask { version: VERSION, attach: Some(who), end: false }).await
    }

    /// Ends a session. Returns when it is told to.
    pub(super) async fn end(&self, id: &str) -> Result<(), CallError> {
        let ask = Ask { version: VERSION, attach: None, end: true };
        let (mut reader, _open) = self.ask(id, ask).await?;
        let ended = timeout(PATIENCE, reader.next::<News>()).await;
        ended
            .unwrap_or_else(|_| Err(CallError::lost("the session's holder does not answer")))
            .map(drop)
    }
}

async fn connect(dir: &Path, id: &str) -> io::Result<(Reader, Writer)> {
    // What comes from outside names no path.
    if !is_id(id) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let folder = open_dir(dir)?;
    let socket = timeout(PATIENCE, UnixStream::connect(short(&folder, id))).await;
    let socket = socket.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    Ok(local::split(socket))
}
