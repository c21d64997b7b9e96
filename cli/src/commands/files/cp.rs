//! `cp`: between this machine and hosts, and from host to host through the hub. What is cut goes on by itself, and
//! by running it again.

mod across;

use super::place::{Remote, Role, parse};
use super::progress::Bar;
use super::{list_of, real, stat_of};
use crate::App;
use crate::connect::{Hub, Target, VERSION, dial};
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::Column;
use across::across;
use clap::Args;
use cmdr_link::Client;
use cmdr_link::session::Dialer;
use cmdr_link::transfer::{self, Dialing, Wanted, Way};
use cmdr_protocol::files::{
    Copy, Entry, FileKind, FilePath, MakeFolder, Version, Write, escape, shown,
};
use cmdr_protocol::{CallError, ErrorKind};
use futures::StreamExt as _;
use serde::Serialize;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Files on their way at once.
const AT_ONCE: usize = 8;
/// Files of one order.
const MOST: usize = 1_000_000;
/// Folders in folders.
const DEPTH: usize = 200;

/// Copy files between this machine and hosts, and from host to host.
///
/// A file is whole and right, or not there: it is written beside its place, compared by its checksum, then put in
/// place. When a link is cut the copy waits and goes on; run again, it goes on where it was. From host to host the
/// data goes through the hub and not through this machine.
#[derive(Debug, Args)]
pub struct CpArgs {
    /// What: paths of this machine, or HOST:PATH.
    #[arg(required = true, value_name = "SRC")]
    from: Vec<OsString>,

    /// Whereto: a path of this machine, or SELECTOR:PATH; every host that matches gets it.
    #[arg(value_name = "DST")]
    to: OsString,

    /// Folders with all that is in them.
    #[arg(short, long)]
    recursive: bool,

    /// With permissions and time of the last change.
    #[arg(short, long)]
    preserve: bool,

    /// Only files that are not there yet; one that is there is an error.
    #[arg(long, conflicts_with = "force")]
    if_absent: bool,

    /// Also over a file that is changed by somebody else while this copies.
    #[arg(long)]
    force: bool,
}

/// A link that is dialed again when it is down.
struct Redial {
    app: App,
    client: Mutex<Client>,
}

impl Redial {
    async fn client(&self) -> Result<Client, CallError> {
        let mut client = self.client.lock().await;
        if client.link().ended().is_some() {
            let away =
                |e: &dyn std::fmt::Display| CallError::new(ErrorKind::Unreachable, e.to_string());
            let context = self.app.context().map_err(|e| CallError::denied(e.message))?;
            let dialer = Dialer::client(context, VERSION);
            let dialed = dial(&dialer, Duration::from_secs(1)).await;
            *client = dialed
                .map_err(
                    |e| if e.is_lasting() { CallError::denied(e.to_string()) } else { away(&e) },
                )?
                .0;
        }
        Ok(client.clone())
    }
}

/// One file from here to there.
#[derive(Debug)]
struct Job {
    from: From,
    to: To,
    size: u64,
    there: There,
}

/// What is in the place of a copy before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    /// Nobody has looked.
    Unseen,
    Nothing,
    File(Version),
}

#[derive(Debug)]
enum From {
    Local(PathBuf),
    Remote(Target, FilePath),
}

#[derive(Debug)]
enum To {
    Local(PathBuf),
    Remote(Target, FilePath),
}

/// A copied file as data: the field names are a promise.
#[derive(Debug, Serialize)]
struct Copied {
    from: String,
    to: String,
    size: u64,
    /// Bytes that this order carried: fewer when a part was there.
    carried: u64,
    hash: String,
    seconds: f64,
}

struct Planner<'a> {
    hub: &'a Hub,
    app: &'a App,
    args: &'a CpArgs,
    jobs: Vec<Job>,
}

fn last_name(path: &Path) -> Result<OsString, Failure> {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().or_else(|| whole.file_name()).map(OsString::from);
    name.ok_or_else(|| Failure::usage(format!("{} has no name to copy it by", path.display())))
}

fn native(name: &str) -> OsString {
    OsString::from_vec(cmdr_protocol::files::unescape(name).unwrap_or_default())
}

fn path_error(e: impl std::fmt::Display) -> Failure {
    Failure::failed(e.to_string())
}

pub(in crate::commands) async fn cp(app: &App, args: &CpArgs) -> Result<Exit, Failure> {
    let role = |text: &OsString| parse(text).map_err(Failure::usage);
    let from: Vec<Role> = args.from.iter().map(role).collect::<Result<_, _>>()?;
    let to = role(&args.to)?;
    let all_local = from.iter().chain([&to]).all(|role| matches!(role, Role::Local(_)));
    if all_local {
        return Err(Failure::usage("neither side names a host; write HOST:PATH"));
    }
    let hub = Hub::connect(app).await?;
    let mut planner = Planner { hub: &hub, app, args, jobs: Vec::new() };
    match to {
        Role::Local(path) => planner.plan_here(&from, &path).await?,
        Role::Remote(remote) => {
            for target in hub.resolve(&remote.host).await? {
                planner.plan_host(&from, &remote, target).await?;
            }
        }
    }
    let jobs = planner.jobs;
    let exit = carry(app, args, &hub, jobs).await?;
    Ok(exit)
}

impl Planner<'_> {
    /// Whether several things, or a folder that is there, or a slash at the end make the target a folder.
    async fn source(&self, remote: &Remote) -> Result<(Target, FilePath, Entry), Failure> {
        let target = self.hub.one_host(&remote.host).await?;
        let seen = stat_of(self.hub, target.id, &remote.path).await;
        let (path, entry) = match seen {
            Ok(entry) if entry.kind != FileKind::Link => (remote.path.clone(), entry),
            Err(e) if e.kind != ErrorKind::Elsewhere => return Err(e.into()),
            // What a link leads to is what is copied.
            _ => {
                let path = real(self.hub, target.id, &remote.path, true).await?;
                let entry = stat_of(self.hub, target.id, &path).await?;
                (path, entry)
            }
        };
        Ok((target, path, entry))
    }

    fn refuse_folder(&self, what: &str) -> Result<(), Failure> {
        if self.args.recursive {
            return Ok(());
        }
        Err(Failure::usage(format!("{what} is a folder"))
            .hint("with all that is in it: cmdr cp -r"))
    }

    fn add(&mut self, job: Job) -> Result<(), Failure> {
        if self.jobs.len() >= MOST {
            return Err(Failure::failed(format!("there are more than {MOST} files to copy"))
                .hint("a folder as one stream: cmdr archive"));
        }
        self.jobs.push(job);
        Ok(())
    }

    async fn plan_here(&mut self, from: &[Role], to: &Path) -> Result<(), Failure> {
        let slash = to.as_os_str().as_bytes().ends_with(b"/");
        let into = from.len() > 1 || to.is_dir() || slash;
        if from.len() > 1 && !to.is_dir() {
            return Err(Failure::usage(format!("{} is no folder", to.display())));
        }
        for role in from {
            let Role::Remote(remote) = role else {
                return Err(Failure::usage("neither side names a host; write HOST:PATH"));
            };
            let (target, path, entry) = self.source(remote).await?;
            // By the name that was asked for, whatever it leads to.
            let place = if into { to.join(native(remote.path.name())) } else { to.to_owned() };
            match entry.kind {
                FileKind::Folder => {
                    self.refuse_folder(&remote.path.to_string())?;
                    self.folder_here(&target, path, place).await?;
                }
                FileKind::File => {
                    let from = From::Remote(target, path);
                    self.add(Job {
                        from,
                        to: To::Local(place),
                        size: entry.size,
                        there: There::Unseen,
                    })?;
                }
                kind => return Err(Failure::failed(format!("{} is a {kind}", remote.path))),
            }
        }
        Ok(())
    }

    async fn folder_here(
        &mut self,
        target: &Target,
        path: FilePath,
        to: PathBuf,
    ) -> Result<(), Failure> {
        let mut left = vec![(path, to, 0)];
        while let Some((path, to, depth)) = left.pop() {
            std::fs::create_dir_all(&to).map_err(|e| crate::exit::unwritten(&to, &e))?;
            for entry in list_of(self.hub, target.id, path.clone()).await? {
                let inner = path.join(&entry.name).map_err(path_error)?;
                let place = to.join(native(&entry.name));
                match entry.kind {
                    FileKind::Folder if depth < DEPTH => left.push((inner, place, depth + 1)),
                    FileKind::File => self.add(Job {
                        from: From::Remote(target.clone(), inner),
                        to: To::Local(place),
                        size: entry.size,
                        there: There::Unseen,
                    })?,
                    kind => self.app.out.warn(&format!("left out: {inner} is a {kind}")),
                }
            }
        }
        Ok(())
    }

    async fn plan_host(
        &mut self,
        from: &[Role],
        to: &Remote,
        target: Target,
    ) -> Result<(), Failure> {
        let seen = match stat_of(self.hub, target.id, &to.path).await {
            Err(e) if e.kind == ErrorKind::NotFound => None,
            seen => Some(seen),
        };
        let mut base = to.path.clone();
        let mut there = match seen {
            None => None,
            Some(Ok(entry)) if entry.kind != FileKind::Link => Some(entry),
            Some(Err(e)) if e.kind != ErrorKind::Elsewhere => return Err(e.into()),
            Some(_) => {
                base = real(self.hub, target.id, &to.path, true).await?;
                match stat_of(self.hub, target.id, &base).await {
                    Ok(entry) => Some(entry),
                    Err(e) if e.kind == ErrorKind::NotFound => None,
                    Err(e) => return Err(e.into()),
                }
            }
        };
        let folder = there.as_ref().is_some_and(|entry| entry.kind == FileKind::Folder);
        if (from.len() > 1 || to.folder) && !folder {
            return Err(Failure::failed(format!("{} is no folder on {}", to.path, target.name))
                .hint(format!("make it: cmdr mkdir {}:{}", target.name, to.path)));
        }
        for role in from {
            let (name, source) = match role {
                Role::Local(path) => (escape(last_name(path)?.as_bytes()), None),
                Role::Remote(remote) => {
                    let source = self.source(remote).await?;
                    (remote.path.name().to_owned(), Some(source))
                }
            };
            let mut place = base.clone();
            if folder {
                place = base.join(&name).map_err(path_error)?;
                there = stat_of(self.hub, target.id, &place).await.ok();
            }
            let version = match there.as_ref().filter(|e| e.kind == FileKind::File) {
                Some(entry) => There::File(entry.version()),
                None => There::Nothing,
            };
            match (role, source) {
                (_, Some((host, path, entry))) => match entry.kind {
                    FileKind::Folder => {
                        self.refuse_folder(&path.to_string())?;
                        self.folder_across(&host, path, &target, place).await?;
                    }
                    _ => self.add(Job {
                        from: From::Remote(host, path),
                        to: To::Remote(target.clone(), place),
                        size: entry.size,
                        there: version,
                    })?,
                },
                (Role::Local(path), None) => {
                    let meta = std::fs::metadata(path)
                        .map_err(|e| Failure::failed(format!("{}: {e}", path.display())))?;
                    if meta.is_dir() {
                        self.refuse_folder(&path.display().to_string())?;
                        self.folder_up(path, &target, place).await?;
                    } else {
                        self.add(Job {
                            from: From::Local(path.clone()),
                            to: To::Remote(target.clone(), place),
                            size: meta.len(),
                            there: version,
                        })?;
                    }
                }
                (Role::Remote(_), None) => {}
            }
        }
        Ok(())
    }

    async fn make(&self, target: &Target, path: &FilePath) -> Result<(), Failure> {
        let make = MakeFolder { path: path.clone(), parents: true, mode: None };
        self.hub.ask_host(target.id, &make).await.map(drop)
    }

    async fn folder_across(
        &mut self,
        host: &Target,
        path: FilePath,
        target: &Target,
        to: FilePath,
    ) -> Result<(), Failure> {
        let mut left = vec![(path, to, 0)];
        while let Some((path, to, depth)) = left.pop() {
            self.make(target, &to).await?;
            for entry in list_of(self.hub, host.id, path.clone()).await? {
                let inner = path.join(&entry.name).map_err(path_error)?;
                let place = to.join(&entry.name).map_err(path_error)?;
                match entry.kind {
                    FileKind::Folder if depth < DEPTH => left.push((inner, place, depth + 1)),
                    FileKind::File => self.add(Job {
                        from: From::Remote(host.clone(), inner),
                        to: To::Remote(target.clone(), place),
                        size: entry.size,
                        there: There::Unseen,
                    })?,
                    kind => self.app.out.warn(&format!("left out: {inner} is a {kind}")),
                }
            }
        }
        Ok(())
    }

    async fn folder_up(
        &mut self,
        path: &Path,
        target: &Target,
        to: FilePath,
    ) -> Result<(), Failure> {
        let mut left = vec![(path.to_owned(), to, 0)];
        while let Some((path, to, depth)) = left.pop() {
            self.make(target, &to).await?;
            let wrong = |e: std::io::Error| Failure::failed(format!("{}: {e}", path.display()));
            for entry in std::fs::read_dir(&path).map_err(wrong)? {
                let entry = entry.map_err(wrong)?;
                let meta = entry.metadata().map_err(wrong)?;
                let place = to.join(&escape(entry.file_name().as_bytes())).map_err(path_error)?;
                if meta.is_dir() && depth < DEPTH {
                    left.push((entry.path(), place, depth + 1));
                } else if meta.is_file() {
                    self.add(Job {
                        from: From::Local(entry.path()),
                        to: To::Remote(target.clone(), place),
                        size: meta.len(),
                        there: There::Unseen,
                    })?;
                } else {
                    self.app.out.warn(&format!("left out: {} is no file", entry.path().display()));
                }
            }
        }
        Ok(())
    }
}

async fn carry(app: &App, args: &CpArgs, hub: &Hub, jobs: Vec<Job>) -> Result<Exit, Failure> {
    let redial = Arc::new(Redial { app: app.clone(), client: Mutex::new(hub.client.clone()) });
    let sizes: Vec<u64> = jobs.iter().map(|job| job.size).collect();
    let bar = Arc::new(Bar::new(&app.out, &sizes));
    let count = jobs.len();
    let (mut rows, mut exit) = (Vec::new(), Exit::Ok);
    let mut failures = Vec::new();
    {
        let (redial, bar) = (&redial, &bar);
        let running = futures::stream::iter(jobs.into_iter().enumerate())
            .map(|(at, job)| async move {
                let result = one(args, redial, bar, at, &job).await;
                (job, result)
            })
            .buffer_unordered(AT_ONCE);
        let mut running = std::pin::pin!(running);
        while let Some((job, result)) = running.next().await {
            match result {
                Ok((row, lost)) => {
                    for what in lost {
                        app.out.warn(&format!("{}: not kept: {what}", row.to));
                    }
                    rows.push(row);
                }
                Err(e) => {
                    let failure = Failure::from(e);
                    exit = exit.worst(failure.exit);
                    bar.end();
                    if count > 1 {
                        app.out.warn(&format!("{}: {}", told_to(&job.to), failure.message));
                    }
                    failures.push(failure);
                }
            }
        }
    }
    bar.end();
    if count == 1
        && let Some(failure) = failures.pop()
    {
        return Err(failure);
    }
    if app.out.format.is_table() {
        let (size, carried) = rows.iter().fold((0, 0), |(s, c), r| (s + r.size, c + r.carried));
        let part = if carried < size {
            format!(", {} of it now", human::bytes(carried))
        } else {
            String::new()
        };
        let files = human::count(rows.len() as u64, "file");
        app.out.note(&format!("copied {files}, {}{part}", human::bytes(size)));
    } else {
        app.out.list(&rows, &columns(), |row| row.to.clone())?;
    }
    Ok(exit)
}

fn columns() -> Vec<Column<Copied>> {
    vec![
        Column::text("FROM", |r: &Copied| r.from.as_str().into()),
        Column::text("TO", |r| r.to.as_str().into()),
        Column::figure("SIZE", |r| r.size.to_string().into()),
        Column::figure("CARRIED", |r| r.carried.to_string().into()),
        Column::text("HASH", |r| r.hash.as_str().into()),
        Column::figure("SECONDS", |r| format!("{:.3}", r.seconds).into()),
    ]
}

fn told_from(from: &From) -> String {
    match from {
        From::Local(path) => path.display().to_string(),
        From::Remote(host, path) => format!("{}:{}", host.name, shown(path.as_str())),
    }
}

fn told_to(to: &To) -> String {
    match to {
        To::Local(path) => path.display().to_string(),
        To::Remote(host, path) => format!("{}:{}", host.name, shown(path.as_str())),
    }
}

/// Carries one file; what of its attributes could not be kept comes beside.
async fn one(
    args: &CpArgs,
    redial: &Arc<Redial>,
    bar: &Arc<Bar>,
    at: usize,
    job: &Job,
) -> Result<(Copied, Vec<String>), CallError> {
    let begun = Instant::now();
    let patience = redial.app.timeout.unwrap_or(Duration::from_mins(1));
    let way = {
        let (redial, bar) = (redial.clone(), bar.clone());
        let client = move || -> Dialing {
            let redial = redial.clone();
            Box::pin(async move { redial.client().await })
        };
        let tell = move |p: &transfer::Progress| bar.tell(at, p.have, p.carried, &p.waiting);
        Way { client: Arc::new(client), tell: Arc::new(tell), patience }
    };
    let unchanged = match job.there {
        There::File(version) if !args.force && !args.if_absent => Some(version),
        _ => None,
    };
    // What was not there when this began is not to be overwritten either.
    let absent = args.if_absent || (!args.force && job.there == There::Nothing);
    let mut lost = Vec::new();
    let (size, carried, hash) = match (&job.from, &job.to) {
        (From::Local(from), To::Remote(host, path)) => {
            let write = Write { path: path.clone(), absent, unchanged, ..Write::default() };
            let (written, progress) =
                transfer::upload(&way, from, host.id, write, args.preserve).await?;
            lost = written.lost;
            (written.file.size, progress.carried, written.hash)
        }
        (From::Remote(host, path), To::Local(to)) => {
            let wanted = Wanted { absent: args.if_absent, preserve: args.preserve };
            let fetched = transfer::download(&way, host.id, path, to, wanted).await?;
            if fetched.sum.changed {
                lost.push("its sameness: the file was changed while it was read".to_owned());
            }
            (fetched.sum.size, fetched.progress.carried, fetched.sum.hash)
        }
        (From::Remote(host, path), To::Remote(to, target)) => {
            let copy = Copy {
                from: host.id,
                path: path.clone(),
                to: to.id,
                target: target.clone(),
                absent,
                unchanged,
                preserve: args.preserve,
                patience_s: Some(patience.as_secs().max(1)),
            };
            across(&way, &copy, &mut lost).await?
        }
        (From::Local(_), To::Local(_)) => return Err(CallError::failed("neither side is a host")),
    };
    let seconds = (begun.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    let row =
        Copied { from: told_from(&job.from), to: told_to(&job.to), size, carried, hash, seconds };
    Ok((row, lost))
}
