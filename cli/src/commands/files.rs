//! `ls`, `cat`, `stat`, `mkdir`, `mv`, `rm`, `chmod`, `archive`, `unpack` and `cp`: files of hosts, written `HOST:PATH`.

pub(super) mod cp;
pub(super) mod place;
pub(super) mod progress;
mod row;

use crate::App;
use crate::args::Yes;
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::unwritable;
use clap::Args;
use cmdr_protocol::display::Filter;
use cmdr_protocol::files::{
    Archive, Chmod, Delete, Entry, FileKind, FilePath, List, MakeFolder, Packed, Read, Real,
    Rename, Stat, Unpack,
};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use place::{Remote, Role, remote};
use row::Row;
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::time::Duration;

/// Bytes of one piece that is sent.
const PIECE: usize = 256 * 1024;
/// A folder may take so long to be looked through, a large file to be summed up.
const LONG: Duration = Duration::from_hours(1);

/// List files of a host.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Which files or folders: HOST:PATH, the path from the root on.
    #[arg(required = true, value_name = "HOST:PATH", value_parser = remote())]
    what: Vec<Remote>,

    /// With permissions, owner, size and time.
    #[arg(short)]
    long: bool,

    /// Also names that begin with a dot.
    #[arg(short, long)]
    all: bool,

    /// The folder itself, not what is in it.
    #[arg(short, long)]
    directory: bool,
}

/// Write files of hosts to standard output: as they are into a pipe, harmless on a terminal.
#[derive(Debug, Args)]
pub struct CatArgs {
    /// Which files.
    #[arg(required = true, value_name = "HOST:PATH", value_parser = remote())]
    what: Vec<Remote>,

    /// From this byte on.
    #[arg(long, default_value_t = 0, value_name = "BYTE")]
    offset: u64,

    /// So many bytes.
    #[arg(long, value_name = "BYTES")]
    length: Option<u64>,
}

/// Show what is known of files of hosts.
#[derive(Debug, Args)]
pub struct StatArgs {
    /// Which files.
    #[arg(required = true, value_name = "HOST:PATH", value_parser = remote())]
    what: Vec<Remote>,
}

/// Make folders on hosts.
#[derive(Debug, Args)]
pub struct MkdirArgs {
    /// Which folders.
    #[arg(required = true, value_name = "HOST:PATH", value_parser = remote())]
    what: Vec<Remote>,

    /// With those above them; one that is there already is no error.
    #[arg(short, long)]
    parents: bool,

    /// Permissions, octal.
    #[arg(short, long, value_name = "MODE", value_parser = octal)]
    mode: Option<u32>,
}

/// Give a file or folder of a host another name there.
#[derive(Debug, Args)]
pub struct MvArgs {
    /// What.
    #[arg(value_name = "HOST:PATH", value_parser = remote())]
    from: Remote,

    /// Its new path on the same host.
    #[arg(value_name = "PATH")]
    to: OsString,

    /// Also in the place of a file that is there.
    #[arg(short, long)]
    force: bool,
}

/// Delete files of hosts. A link goes, not what it leads to.
#[derive(Debug, Args)]
pub struct RmArgs {
    /// What.
    #[arg(required = true, value_name = "HOST:PATH", value_parser = remote())]
    what: Vec<Remote>,

    /// Folders with all that is in them.
    #[arg(short, long)]
    recursive: bool,

    /// Nothing is deleted if it would be more than so many files and folders.
    #[arg(long, value_name = "N")]
    most: Option<u64>,

    /// Only show what would go.
    #[arg(long)]
    plan: bool,

    #[command(flatten)]
    yes: Yes,
}

/// Change permissions or owner of files of hosts.
#[derive(Debug, Args)]
pub struct ChmodArgs {
    /// Permissions, octal; - leaves them.
    #[arg(value_name = "MODE", value_parser = octal_or_none)]
    mode: Mode,

    /// Which files.
    #[arg(required = true, value_name = "HOST:PATH", value_parser = remote())]
    what: Vec<Remote>,

    /// Their owner from now on: a name or number of the host.
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// Their group from now on.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
}

/// Write a folder of a host to standard output as one tar.zst.
#[derive(Debug, Args)]
pub struct ArchiveArgs {
    /// Which folder.
    #[arg(value_name = "HOST:PATH", value_parser = remote())]
    what: Remote,
}

/// Lay a tar from standard input out in a folder of a host, and nowhere else.
///
/// It may be packed by gzip, xz or zstd.
#[derive(Debug, Args)]
pub struct UnpackArgs {
    /// Into which folder; it has to be there.
    #[arg(value_name = "HOST:PATH", value_parser = remote())]
    what: Remote,

    /// The archive lies there on the same host, and nothing of it travels.
    #[arg(long, value_name = "PATH", value_parser = path)]
    from: Option<FilePath>,

    /// Also in the place of files that are there.
    #[arg(short, long)]
    force: bool,

    /// What is laid out belongs to whom the archive says, by number.
    #[arg(long)]
    owners: bool,
}

impl LsArgs {
    /// All that is known of what is in this folder.
    pub(super) fn of(what: Remote) -> Self {
        Self { what: vec![what], long: true, all: true, directory: false }
    }
}

impl ArchiveArgs {
    /// Of this folder.
    pub(super) const fn of(what: Remote) -> Self {
        Self { what }
    }
}

impl UnpackArgs {
    /// Into this folder, what comes from standard input, to whom it belonged.
    pub(super) const fn of(what: Remote, force: bool) -> Self {
        Self { what, from: None, force, owners: true }
    }
}

/// Permissions that are given, or left.
#[derive(Clone, Copy, Debug)]
struct Mode(Option<u32>);

pub(super) fn octal(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| format!("'{text}' are no permissions such as 644 or 0755"))
}

fn path(text: &str) -> Result<FilePath, String> {
    FilePath::from_bytes(text.as_bytes()).map_err(|e| e.to_string())
}

fn octal_or_none(text: &str) -> Result<Mode, String> {
    if text == "-" { Ok(Mode(None)) } else { octal(text).map(|mode| Mode(Some(mode))) }
}

/// Does `op`; once more with the place that is meant when the path leads through a link. `last` says whether
/// a link at the end of the path is followed too.
pub(super) async fn follow<T>(
    hub: &Hub,
    host: HostId,
    path: &FilePath,
    last: bool,
    op: impl AsyncFn(FilePath) -> Result<T, CallError>,
) -> Result<T, CallError> {
    match op(path.clone()).await {
        Err(e) if e.kind == ErrorKind::Elsewhere => op(real(hub, host, path, last).await?).await,
        done => done,
    }
}

/// The place that a path with links means.
pub(super) async fn real(
    hub: &Hub,
    host: HostId,
    path: &FilePath,
    last: bool,
) -> Result<FilePath, CallError> {
    let ask = async |last| {
        let real = Real { path: path.clone(), last };
        hub.client.call(Some(host), &real, hub.patience()).await.map(|real| real.path)
    };
    match ask(last).await {
        // What is yet to be made leads nowhere itself.
        Err(e) if last && e.kind == ErrorKind::NotFound => ask(false).await,
        done => done,
    }
}

/// One after the other; what goes wrong with one is told and the others are done.
async fn each(
    app: &App,
    what: &[Remote],
    mut op: impl AsyncFnMut(&Hub, &Target, &Remote) -> Result<(), Failure>,
) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let mut exit = Exit::Ok;
    for remote in what {
        let target = hub.one_host(&remote.host).await?;
        if let Err(failure) = op(&hub, &target, remote).await {
            if what.len() == 1 {
                return Err(failure);
            }
            app.out.warn(&format!("{}: {}", target.name, failure.message));
            exit = exit.worst(failure.exit);
        }
    }
    Ok(exit)
}

async fn stat_of(hub: &Hub, host: HostId, path: &FilePath) -> Result<Entry, CallError> {
    hub.client.call(Some(host), &Stat { path: path.clone() }, hub.patience()).await
}

/// All names in a folder, by name.
async fn list_of(hub: &Hub, host: HostId, path: FilePath) -> Result<Vec<Entry>, CallError> {
    let mut feed = hub.client.feed(Some(host), &List { path }).await?;
    let mut entries = Vec::new();
    while let Some(page) = feed.next().await {
        entries.extend(page?.entries);
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

pub(super) async fn ls(app: &App, args: &LsArgs) -> Result<Exit, Failure> {
    let mut rows = Vec::new();
    let many = args.what.len() > 1;
    let exit = each(app, &args.what, async |hub, target, remote| {
        // A folder that is named by a link to it is what is meant.
        let seen = follow(hub, target.id, &remote.path, false, async |path| {
            stat_of(hub, target.id, &path).await.map(|entry| (path, entry))
        });
        let (mut path, mut entry) = seen.await?;
        if entry.kind == FileKind::Link
            && !args.directory
            && let Ok(to) = real(hub, target.id, &path, true).await
            && let Ok(there) = stat_of(hub, target.id, &to).await
            && there.kind == FileKind::Folder
        {
            (path, entry) = (to, there);
        }
        if entry.kind != FileKind::Folder || args.directory {
            rows.push(Row::new(&target.name, &path, entry));
            return Ok(());
        }
        for entry in list_of(hub, target.id, path.clone()).await? {
            if args.all || !entry.name.starts_with('.') {
                let inner = path.join(&entry.name).map_err(|e| Failure::failed(e.to_string()))?;
                rows.push(Row::new(&target.name, &inner, entry));
            }
        }
        Ok(())
    })
    .await?;
    let columns = if args.long { row::long(many) } else { row::short(many) };
    app.out.list(&rows, &columns, Row::name)?;
    Ok(exit)
}

pub(super) async fn stat(app: &App, args: &StatArgs) -> Result<Exit, Failure> {
    let mut rows = Vec::new();
    let exit = each(app, &args.what, async |hub, target, remote| {
        let row = follow(hub, target.id, &remote.path, false, async |path| {
            let entry = stat_of(hub, target.id, &path).await?;
            Ok(Row::new(&target.name, &path, entry))
        });
        rows.push(row.await?);
        Ok(())
    })
    .await?;
    app.out.list(&rows, &row::long(true), Row::name)?;
    Ok(exit)
}

/// Writes on a thread that may wait: a reader that stands still must not hold up the link.
async fn write_out(data: Vec<u8>) -> Result<(), Failure> {
    let written = tokio::task::spawn_blocking(move || {
        let mut out = std::io::stdout().lock();
        out.write_all(&data).and_then(|()| out.flush())
    });
    match written.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(e)) => Err(unwritable(&e)),
        Err(e) => Err(Failure::new(Exit::Fault, e.to_string())),
    }
}

pub(super) async fn cat(app: &App, args: &CatArgs) -> Result<Exit, Failure> {
    let terminal = app.out.tty_out;
    each(app, &args.what, async |hub, target, remote| {
        let feed = follow(hub, target.id, &remote.path, true, async |path| {
            let read = Read { path, offset: args.offset, length: args.length, ..Read::default() };
            let mut feed = hub.client.feed(Some(target.id), &read).await?;
            // The first item says whether there is anything to come.
            match feed.next().await {
                Some(first) => first.map(|_| feed),
                None => Err(CallError::lost("the host said nothing")),
            }
        });
        let mut feed = feed.await?;
        let mut filter = Filter::new();
        while let Some(chunk) = feed.next().await {
            let chunk = chunk?;
            let data = if terminal { filter.push(&chunk.data).into_bytes() } else { chunk.data };
            if !data.is_empty() {
                write_out(data).await?;
            }
            if chunk.sum.is_some_and(|sum| sum.cut) {
                app.out.warn(&format!("{}: it is longer; the host stops here", remote.path));
            }
        }
        if terminal {
            write_out(filter.finish().into_bytes()).await?;
        }
        Ok(())
    })
    .await
}

pub(super) async fn mkdir(app: &App, args: &MkdirArgs) -> Result<Exit, Failure> {
    each(app, &args.what, async |hub, target, remote| {
        let made = follow(hub, target.id, &remote.path, false, async |path| {
            let make = MakeFolder { path, parents: args.parents, mode: args.mode };
            hub.client.call(Some(target.id), &make, hub.patience()).await
        });
        made.await?;
        Ok(())
    })
    .await
}

pub(super) async fn mv(app: &App, args: &MvArgs) -> Result<Exit, Failure> {
    let Remote { host, path, .. } = &args.from;
    let to = match place::parse(&args.to).map_err(Failure::usage)? {
        Role::Local(path) => FilePath::from_bytes(path.as_os_str().as_encoded_bytes())
            .map_err(|e| Failure::usage(e.to_string()))?,
        Role::Remote(to) if to.host == *host => to.path,
        Role::Remote(_) => {
            return Err(Failure::usage("a file stays on its host when it is moved")
                .hint("from host to host: cmdr cp, then cmdr rm"));
        }
    };
    let hub = Hub::connect(app).await?;
    let target = hub.one_host(host).await?;
    let mut rename = Rename { from: path.clone(), to, replace: args.force };
    let ask =
        async |rename: &Rename| hub.client.call(Some(target.id), rename, hub.patience()).await;
    match ask(&rename).await {
        Err(e) if e.kind == ErrorKind::Elsewhere => {
            rename.from = real(&hub, target.id, &rename.from, false).await?;
            rename.to = real(&hub, target.id, &rename.to, false).await?;
            ask(&rename).await?;
        }
        done => drop(done?),
    }
    Ok(Exit::Ok)
}

pub(super) async fn rm(app: &App, args: &RmArgs) -> Result<Exit, Failure> {
    each(app, &args.what, async |hub, target, remote| {
        let ask = async |plan: bool| {
            follow(hub, target.id, &remote.path, false, async |path| {
                let delete = Delete {
                    path,
                    recursive: args.recursive,
                    most: args.most,
                    plan,
                    ..Delete::default()
                };
                hub.client.call(Some(target.id), &delete, LONG).await
            })
            .await
        };
        let plan = ask(true).await?;
        let what = format!(
            "{} on {}: {}, {}, {}",
            remote.path,
            target.name,
            human::count(plan.files, "file"),
            human::count(plan.folders, "folder"),
            human::bytes(plan.bytes)
        );
        if args.plan {
            for name in &plan.first {
                app.out.data(&format!("{}\n", cmdr_protocol::files::shown(name)))?;
            }
            app.out.note(&format!("would go: {what}"));
            return Ok(());
        }
        if args.recursive {
            app.out.confirm(args.yes.yes, &format!("Delete {what}?"), "yes").await?;
        }
        ask(false).await?;
        app.out.detail(&format!("gone: {what}"));
        Ok(())
    })
    .await
}

pub(super) async fn chmod(app: &App, args: &ChmodArgs) -> Result<Exit, Failure> {
    each(app, &args.what, async |hub, target, remote| {
        let changed = follow(hub, target.id, &remote.path, true, async |path| {
            let chmod = Chmod {
                path,
                mode: args.mode.0,
                user: args.user.clone(),
                group: args.group.clone(),
                mtime_ns: None,
            };
            hub.client.call(Some(target.id), &chmod, hub.patience()).await
        });
        changed.await?;
        Ok(())
    })
    .await
}

pub(super) async fn archive(app: &App, args: &ArchiveArgs) -> Result<Exit, Failure> {
    if app.out.tty_out {
        return Err(Failure::usage("an archive is nothing for a terminal")
            .hint("write it into a file: > x.tar.zst"));
    }
    let hub = Hub::connect(app).await?;
    let target = hub.one_host(&args.what.host).await?;
    let opened = follow(&hub, target.id, &args.what.path, true, async |path| {
        let mut feed = hub.client.feed(Some(target.id), &Archive { path }).await?;
        match feed.next().await {
            Some(first) => first.map(|first| (first, feed)),
            None => Err(CallError::lost("the host said nothing")),
        }
    });
    let (first, mut feed) = opened.await?;
    let mut next = Some(Ok(first));
    let mut packed = None;
    while let Some(item) = next {
        let item: Packed = item?;
        if !item.data.is_empty() {
            write_out(item.data).await?;
        }
        packed = item.packed.or(packed);
        next = feed.next().await;
    }
    let counted = packed.ok_or_else(|| CallError::lost("the archive ended half-way"))?;
    for word in &counted.words {
        app.out.warn(word);
    }
    app.out.note(&format!(
        "{}, {}; {} left out",
        human::count(counted.entries, "entry").replace("entrys", "entries"),
        human::bytes(counted.bytes),
        counted.skipped
    ));
    Ok(Exit::Ok)
}

pub(super) async fn unpack(app: &App, args: &UnpackArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let target = hub.one_host(&args.what.host).await?;
    let path = match stat_of(&hub, target.id, &args.what.path).await {
        Err(e) if e.kind == ErrorKind::Elsewhere => {
            real(&hub, target.id, &args.what.path, true).await?
        }
        Ok(entry) if entry.kind == FileKind::Link => {
            real(&hub, target.id, &args.what.path, true).await?
        }
        _ => args.what.path.clone(),
    };
    let from = args.from.clone();
    let lies_there = from.is_some();
    let (replace, owners) = (args.force, args.owners);
    let unpack = Unpack { path, replace, owners, from, ..Unpack::default() };
    let (mut items, mut inputs) = hub.client.feed(Some(target.id), &unpack).await?.split();
    let sending = async move {
        loop {
            let piece = tokio::task::spawn_blocking(move || {
                let mut piece = Vec::new();
                if lies_there {
                    return Ok(piece);
                }
                let read = std::io::stdin().lock().take(PIECE as u64).read_to_end(&mut piece);
                read.map(|_| piece)
            });
            let data = piece.await.map_err(|e| CallError::failed(e.to_string()))?;
            let data =
                data.map_err(|e| CallError::failed(format!("reading standard input: {e}")))?;
            let packed = data.is_empty().then(Default::default);
            let over = packed.is_some();
            inputs.send(&Packed { data, packed }).await?;
            if over {
                return Ok::<_, CallError>(inputs);
            }
        }
    };
    let mut sending = std::pin::pin!(sending);
    let (mut sent, mut done) = (None, None);
    loop {
        tokio::select! {
            biased;
            item = items.next() => match item {
                Some(item) => done = item?.done.or(done),
                None => break,
            },
            // A host that takes no more says why.
            result = &mut sending, if sent.is_none() => sent = Some(result),
        }
    }
    let counted = done.ok_or_else(|| CallError::lost("the host ended it half-way"))?;
    for word in &counted.words {
        app.out.warn(word);
    }
    let entries = human::count(counted.entries, "entry").replace("entrys", "entries");
    app.out.note(&format!(
        "{entries} laid out, {}; {} left out",
        human::bytes(counted.bytes),
        counted.skipped
    ));
    Ok(if counted.skipped > 0 { Exit::Failed } else { Exit::Ok })
}
