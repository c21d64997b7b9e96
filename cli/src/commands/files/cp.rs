//! `cp`: between this machine and hosts, and from host to host through the hub. What is cut goes on by itself, and
//! by running it again.

use super::place::{Remote, Role, parse};
use super::progress::Bar;
use super::{real, stat_of};
use crate::App;
use crate::connect::{Hub, Target, VERSION, dial};
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::Column;
use clap::Args;
use cmdr_link::Client;
use cmdr_link::session::Dialer;
use cmdr_link::transfer::tree::{self, Carried, How, Item, Left, MOST, Place, Plan};
use cmdr_link::transfer::{Dialing, Progress, Way};
use cmdr_protocol::files::{Entry, FileKind, FilePath, Version, escape, shown};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use serde::Serialize;
use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

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
    way: Way,
    /// What hosts are called.
    names: HashMap<HostId, String>,
    items: Vec<Item>,
    /// What could not be looked at.
    left: Vec<Left>,
}

/// What is in the place of a copy before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    /// It is in a folder that nobody has looked into.
    Unseen,
    Nothing,
    File(Version),
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
    let redial = Arc::new(Redial { app: app.clone(), client: Mutex::new(hub.client.clone()) });
    let client = move || -> Dialing {
        let redial = redial.clone();
        Box::pin(async move { redial.client().await })
    };
    let patience = app.timeout.unwrap_or(Duration::from_mins(1));
    let way = Way { client: Arc::new(client), tell: Arc::new(|_| ()), patience };
    let (names, items, left) = (HashMap::new(), Vec::new(), Vec::new());
    let mut planner = Planner { hub: &hub, app, args, way, names, items, left };
    match to {
        Role::Local(path) => planner.plan_here(&from, &path).await?,
        Role::Remote(remote) => {
            for target in hub.resolve(&remote.host).await? {
                planner.plan_host(&from, &remote, target).await?;
            }
        }
    }
    planner.carry().await
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

    fn add(&mut self, from: Place, to: Place, size: u64, there: There) -> Result<(), Failure> {
        let args = self.args;
        let unchanged = match there {
            There::File(version) if !args.force && !args.if_absent => Some(version),
            _ => None,
        };
        // What was not there when this began is not to be overwritten either.
        let absent = args.if_absent || (!args.force && there == There::Nothing);
        self.put(vec![Item { from, to, size, absent, unchanged, seen: None }])
    }

    fn put(&mut self, items: Vec<Item>) -> Result<(), Failure> {
        self.items.extend(items);
        if self.items.len() > MOST {
            return Err(Failure::failed(format!("there are more than {MOST} files to copy"))
                .hint("a folder as one stream: cmdr archive"));
        }
        Ok(())
    }

    /// A folder with all that is in it. What is no file is left out, and said.
    async fn folder(&mut self, from: Place, to: Place) -> Result<(), Failure> {
        let how =
            How { preserve: self.args.preserve, absent: self.args.if_absent, skip_same: false };
        let Plan { items, left, .. } = tree::plan(&self.way, &from, &to, how).await?;
        for left in left {
            if left.error.kind == ErrorKind::Conflict {
                self.app.out.warn(&format!("left out: {}: {}", left.what, left.error.message));
            } else {
                self.left.push(left);
            }
        }
        self.put(items)
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
                    let from = self.at(&target, path);
                    self.folder(from, Place::Here(place)).await?;
                }
                FileKind::File => {
                    let from = self.at(&target, path);
                    self.add(from, Place::Here(place), entry.size, There::Unseen)?;
                }
                kind => return Err(Failure::failed(format!("{} is a {kind}", remote.path))),
            }
        }
        Ok(())
    }

    fn at(&mut self, host: &Target, path: FilePath) -> Place {
        self.names.insert(host.id, host.name.clone());
        Place::There(host.id, path)
    }

    fn told(&self, place: &Place) -> String {
        match place {
            Place::Here(path) => path.display().to_string(),
            Place::There(host, path) => {
                let name = self.names.get(host).map_or("?", String::as_str);
                format!("{name}:{}", shown(path.as_str()))
            }
        }
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
                        let (from, to) = (self.at(&host, path), self.at(&target, place));
                        self.folder(from, to).await?;
                    }
                    _ => {
                        let (from, to) = (self.at(&host, path), self.at(&target, place));
                        self.add(from, to, entry.size, version)?;
                    }
                },
                (Role::Local(path), None) => {
                    let meta = std::fs::metadata(path)
                        .map_err(|e| Failure::failed(format!("{}: {e}", path.display())))?;
                    if meta.is_dir() {
                        self.refuse_folder(&path.display().to_string())?;
                        let to = self.at(&target, place);
                        self.folder(Place::Here(path.clone()), to).await?;
                    } else {
                        let to = self.at(&target, place);
                        self.add(Place::Here(path.clone()), to, meta.len(), version)?;
                    }
                }
                (Role::Remote(_), None) => {}
            }
        }
        Ok(())
    }

    /// Carries the files and says how that went.
    async fn carry(self) -> Result<Exit, Failure> {
        let app = self.app;
        let sizes: Vec<u64> = self.items.iter().map(|item| item.size).collect();
        let bar = Arc::new(Bar::new(&app.out, &sizes));
        let many = self.items.len() + self.left.len() > 1;
        let (mut rows, mut exit, mut failures) = (Vec::new(), Exit::Ok, Vec::new());
        let mut failed = |what: String, error: CallError| {
            let failure = Failure::from(error);
            exit = exit.worst(failure.exit);
            bar.end();
            if many {
                app.out.warn(&format!("{what}: {}", failure.message));
            }
            failures.push(failure);
        };
        for Left { what, error } in &self.left {
            failed(self.told(what), error.clone());
        }
        let teller = bar.clone();
        let tell = move |at: usize, p: &Progress| teller.tell(at, p.have, p.carried, &p.waiting);
        let done = |at: usize, ended: Result<Carried, CallError>| {
            let (from, to) = (self.told(&self.items[at].from), self.told(&self.items[at].to));
            match ended {
                Ok(Carried { size, carried, hash, lost, took }) => {
                    for what in lost {
                        app.out.warn(&format!("{to}: not kept: {what}"));
                    }
                    let seconds = (took.as_secs_f64() * 1000.0).round() / 1000.0;
                    rows.push(Copied { from, to, size, carried, hash, seconds });
                }
                Err(e) => failed(to, e),
            }
        };
        tree::carry_all(&self.way, &self.items, self.args.preserve, Arc::new(tell), done).await;
        bar.end();
        if !many && let Some(failure) = failures.pop() {
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
