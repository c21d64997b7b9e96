//! Folders with all that is in them: looked through first, then carried file by file, several at once. What fails is
//! told and the rest goes on; begun again it leaves out what is there already and goes on with the parts. Used by the
//! two clients.

use super::{Progress, Tries, Wanted, Way, across, blocking, download, local, upload};
use cmdr_protocol::call::Call;
use cmdr_protocol::display::{clean, clean_to_width};
use cmdr_protocol::files::{
    Copy, Delete, Entry, FileKind, FilePath, List, MakeFolder, Version, Write, escape, unescape,
};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use futures::StreamExt as _;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Files on their way at once.
const AT_ONCE: usize = 8;
/// Files of one order.
pub const MOST: usize = 1_000_000;
/// Folders in folders.
const DEPTH: usize = 200;
/// How long a short question may take.
const QUESTION: Duration = Duration::from_mins(1);

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this machine.
    Here(PathBuf),
    /// On a host.
    There(HostId, FilePath),
}

impl Place {
    /// What is called `name` (as [`escape`] writes it) in this folder.
    fn join(&self, name: &str) -> Result<Self, CallError> {
        let odd = || {
            CallError::malformed(format!("'{}' is no name of a file", clean_to_width(name, 100)))
        };
        let bytes = unescape(name).filter(|b| {
            !matches!(&b[..], b"" | b"." | b"..") && !b.iter().any(|b| matches!(b, b'/' | 0))
        });
        let bytes = bytes.ok_or_else(odd)?;
        Ok(match self {
            Self::Here(path) => Self::Here(path.join(OsString::from_vec(bytes))),
            Self::There(host, path) => {
                let inner = path.join(name);
                Self::There(*host, inner.map_err(|e| CallError::malformed(e.to_string()))?)
            }
        })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Here(path) => f.write_str(&clean(&path.to_string_lossy())),
            Self::There(_, path) => path.fmt(f),
        }
    }
}

/// One file from here to there.
#[derive(Clone, Debug)]
pub struct Item {
    /// Where it is.
    pub from: Place,
    /// Where it goes.
    pub to: Place,
    /// Bytes, as far as is known before it is opened.
    pub size: u64,
    /// Only if there is nothing.
    pub absent: bool,
    /// Only in the place of this one.
    pub unchanged: Option<Version>,
    /// What it was when this was planned.
    pub seen: Option<Version>,
}

/// What was not carried, and why.
#[derive(Clone, Debug)]
pub struct Left {
    /// Which file or folder.
    pub what: Place,
    /// Why.
    pub error: CallError,
}

/// How folders are carried.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// With permissions and time.
    pub preserve: bool,
    /// A file that is there is kept, and told as left out.
    pub absent: bool,
    /// A file of the same size and time is there already.
    pub skip_same: bool,
}

/// What is to be carried.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The files.
    pub items: Vec<Item>,
    /// What is no file, or could not be looked at.
    pub left: Vec<Left>,
    /// Files that were there already, and their bytes.
    pub same: (u64, u64),
    /// The folders that were looked through, each before those in it.
    folders: Vec<Place>,
    /// Files that are there already, as they were seen.
    kept: Vec<(Place, Version)>,
}

/// Asks a host, again while links are away.
async fn ask<C: Call>(way: &Way, host: HostId, call: &C) -> Result<C::Reply, CallError> {
    let (mut progress, mut tries) = (Progress::default(), Tries::new());
    loop {
        let tried = match (way.client)().await {
            Ok(client) => client.call(Some(host), call, QUESTION).await,
            Err(e) => Err(e),
        };
        match tried {
            Ok(reply) => return Ok(reply),
            Err(e) => tries.again(way, &mut progress, e).await?,
        }
    }
}

/// What is in a folder.
async fn list(way: &Way, folder: &Place) -> Result<Vec<Entry>, CallError> {
    let mut entries = match folder {
        Place::Here(path) => {
            let path = path.clone();
            blocking(move || list_here(&path)).await?
        }
        Place::There(host, path) => {
            let (mut progress, mut tries) = (Progress::default(), Tries::new());
            loop {
                let tried = async {
                    let client = (way.client)().await?;
                    let mut feed = client.feed(Some(*host), &List { path: path.clone() }).await?;
                    let mut entries = Vec::new();
                    while let Some(page) = feed.next().await {
                        entries.extend(page?.entries);
                        if entries.len() > MOST {
                            return Err(too_many());
                        }
                    }
                    Ok(entries)
                };
                match tried.await {
                    Ok(entries) => break entries,
                    Err(e) => tries.again(way, &mut progress, e).await?,
                }
            }
        }
    };
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn list_here(path: &std::path::Path) -> Result<Vec<Entry>, CallError> {
    let wrong = |e: &std::io::Error| local("looking at", path, e);
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| wrong(&e))? {
        let entry = entry.map_err(|e| wrong(&e))?;
        let Ok(meta) = entry.metadata() else { continue };
        let kind = match meta.file_type() {
            kind if kind.is_file() => FileKind::File,
            kind if kind.is_dir() => FileKind::Folder,
            kind if kind.is_symlink() => FileKind::Link,
            _ => FileKind::Unknown,
        };
        entries.push(Entry {
            name: escape(entry.file_name().as_bytes()),
            kind,
            size: meta.len(),
            mode: meta.permissions().mode() & 0o7777,
            mtime_ns: meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec()),
            inode: meta.ino(),
            ..Entry::default()
        });
        if entries.len() > MOST {
            return Err(too_many());
        }
    }
    Ok(entries)
}

fn too_many() -> CallError {
    CallError::failed(format!(
        "there are more than {MOST} files to copy; a folder as one stream: cmdr archive"
    ))
}

/// Makes a folder; one that is there is as good.
async fn make(way: &Way, folder: &Place) -> Result<(), CallError> {
    match folder {
        Place::Here(path) => {
            let path = path.clone();
            blocking(move || std::fs::create_dir_all(&path).map_err(|e| local("making", &path, &e)))
                .await
        }
        Place::There(host, path) => {
            let make = MakeFolder { path: path.clone(), parents: true, mode: None };
            ask(way, *host, &make).await.map(drop)
        }
    }
}

/// Looks through a folder and makes the folders that it needs there.
pub async fn plan(way: &Way, from: &Place, to: &Place, how: How) -> Result<Plan, CallError> {
    if let (Place::There(a, from), Place::There(b, to)) = (from, to)
        && a == b
        && to.is_within(from)
    {
        return Err(CallError::new(
            ErrorKind::Conflict,
            format!("{from} cannot be copied into itself"),
        ));
    }
    let mut plan = Plan::default();
    let mut progress = Progress::default();
    let mut open = vec![(from.clone(), to.clone(), 0)];
    while let Some((from, to, depth)) = open.pop() {
        let looked = async {
            let entries = list(way, &from).await?;
            let there =
                if how.skip_same { list(way, &to).await.unwrap_or_default() } else { Vec::new() };
            make(way, &to).await?;
            Ok((entries, there))
        };
        let (entries, there) = match looked.await {
            Ok(looked) => looked,
            // Without the folder itself there is nothing to do.
            Err(e) if depth == 0 => return Err(e),
            Err(error) => {
                plan.left.push(Left { what: from, error });
                continue;
            }
        };
        let there: HashMap<&str, &Entry> = there.iter().map(|e| (e.name.as_str(), e)).collect();
        plan.folders.push(from.clone());
        for entry in &entries {
            let (inner, place) = match (from.join(&entry.name), to.join(&entry.name)) {
                (Ok(inner), Ok(place)) => (inner, place),
                (Err(error), _) | (_, Err(error)) => {
                    plan.left.push(Left { what: from.clone(), error });
                    continue;
                }
            };
            match entry.kind {
                FileKind::Folder if depth < DEPTH => open.push((inner, place, depth + 1)),
                FileKind::File => {
                    let same = there.get(entry.name.as_str()).is_some_and(|there| {
                        there.kind == FileKind::File
                            && (there.size, there.mtime_ns) == (entry.size, entry.mtime_ns)
                    });
                    if same {
                        plan.same = (plan.same.0 + 1, plan.same.1 + entry.size);
                        plan.kept.push((inner, entry.version()));
                        continue;
                    }
                    progress.size += entry.size;
                    plan.items.push(Item {
                        from: inner,
                        to: place,
                        size: entry.size,
                        absent: how.absent,
                        unchanged: None,
                        seen: Some(entry.version()),
                    });
                }
                kind => {
                    let what = format!("it is a {}, which is not copied", word(kind));
                    let error = CallError::new(ErrorKind::Conflict, what);
                    plan.left.push(Left { what: inner, error });
                }
            }
            if plan.items.len() + plan.kept.len() > MOST {
                return Err(too_many());
            }
        }
        (way.tell)(&progress);
    }
    Ok(plan)
}

fn word(kind: FileKind) -> String {
    match kind {
        FileKind::Folder => format!("folder below {DEPTH} others"),
        FileKind::Unknown => "device, pipe or socket".to_owned(),
        kind => kind.as_str().replace('-', " "),
    }
}

/// A file that is in its place.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// Bytes of it.
    pub size: u64,
    /// Bytes that this order has carried.
    pub carried: u64,
    /// BLAKE3 of its content, hexadecimal.
    pub hash: String,
    /// What of it could not be kept.
    pub lost: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Carries one file.
pub async fn carry(way: &Way, item: &Item, preserve: bool) -> Result<Carried, CallError> {
    let begun = tokio::time::Instant::now();
    let changed = || "its sameness: the file was changed while it was read".to_owned();
    let Item { absent, unchanged, .. } = *item;
    match (&item.from, &item.to) {
        (Place::Here(from), Place::There(host, path)) => {
            let write = Write { path: path.clone(), absent, unchanged, ..Write::default() };
            let (written, progress) = upload(way, from, *host, write, preserve).await?;
            let (size, hash) = (written.file.size, written.hash);
            Ok(Carried {
                size,
                carried: progress.carried,
                hash,
                lost: written.lost,
                took: begun.elapsed(),
            })
        }
        (Place::There(host, path), Place::Here(to)) => {
            let wanted = Wanted { absent, preserve };
            let fetched = download(way, *host, path, to, wanted).await?;
            let lost = if fetched.sum.changed { vec![changed()] } else { Vec::new() };
            let (size, hash) = (fetched.sum.size, fetched.sum.hash);
            Ok(Carried {
                size,
                carried: fetched.progress.carried,
                hash,
                lost,
                took: begun.elapsed(),
            })
        }
        (Place::There(host, path), Place::There(to, target)) => {
            let copy = Copy {
                from: *host,
                path: path.clone(),
                to: *to,
                target: target.clone(),
                absent,
                unchanged,
                preserve,
                patience_s: Some(way.patience.as_secs().max(1)),
            };
            let copied = across(way, &copy).await?;
            let mut lost = copied.written.lost;
            lost.extend(copied.changed.then(changed));
            let (size, hash) = (copied.written.file.size, copied.written.hash);
            Ok(Carried {
                size,
                carried: copied.progress.carried,
                hash,
                lost,
                took: begun.elapsed(),
            })
        }
        (Place::Here(_), Place::Here(_)) => Err(CallError::failed("neither side is a host")),
    }
}

/// Carries files, several at once. `tell` hears how far each is, by its number; `done` how it ended.
pub async fn carry_all(
    way: &Way,
    items: &[Item],
    preserve: bool,
    tell: Arc<dyn Fn(usize, &Progress) + Send + Sync>,
    mut done: impl FnMut(usize, Result<Carried, CallError>),
) {
    let running = futures::stream::iter(0..items.len()).map(|at| {
        let (item, tell) = (items[at].clone(), tell.clone());
        let told = Arc::new(move |progress: &Progress| tell(at, progress));
        let way = Way { tell: told, ..way.clone() };
        async move { (at, carry(&way, &item, preserve).await) }
    });
    let mut running = std::pin::pin!(running.buffer_unordered(AT_ONCE));
    while let Some((at, ended)) = running.next().await {
        done(at, ended);
    }
}

/// Takes away what has been carried from a host: the files of the plan but for those of these numbers, each as it was
/// seen, then the folders that nothing was left in.
pub async fn take_away(way: &Way, plan: &Plan, but: &HashSet<usize>) -> Vec<Left> {
    let stays = plan.items.iter().enumerate().filter(|(at, _)| but.contains(at));
    let stays = stays.map(|(_, item)| &item.from).chain(plan.left.iter().map(|left| &left.what));
    let mut above = HashSet::new();
    for place in stays {
        let Place::There(_, path) = place else { continue };
        let mut path = path.clone();
        while above.insert(path.clone()) && !path.is_root() {
            path = path.parent();
        }
    }
    let empties = |place: &&Place| match place {
        Place::There(_, path) => !above.contains(path),
        Place::Here(_) => false,
    };
    let items = plan.items.iter().enumerate().filter(|(at, _)| !but.contains(at));
    let carried = items.map(|(_, item)| (item.from.clone(), item.seen));
    let kept = plan.kept.iter().map(|(place, seen)| (place.clone(), Some(*seen)));
    let folders = plan.folders.iter().rev().filter(empties).map(|place| (place.clone(), None));
    let all: Vec<(Place, Option<Version>)> = carried.chain(kept).chain(folders).collect();
    let mut left = Vec::new();
    for (what, unchanged) in all {
        let Place::There(host, path) = &what else { continue };
        let delete = Delete { path: path.clone(), unchanged, ..Delete::default() };
        if let Err(error) = ask(way, *host, &delete).await {
            left.push(Left { what, error });
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_a_host_never_leads_out_of_the_folder() {
        let here = Place::Here("/tmp/x".into());
        for name in ["..", ".", "", "a/b", "/etc", "../x", "a\0", "%zz"] {
            assert!(here.join(name).is_err(), "{name:?}");
        }
        assert_eq!(
            here.join("%ff").unwrap(),
            Place::Here(PathBuf::from(OsString::from_vec(b"/tmp/x/\xff".to_vec())))
        );
        let there = Place::There(HostId([1; 16]), FilePath::parse("/srv").unwrap());
        assert_eq!(there.join("a b").unwrap().to_string(), "/srv/a b");
    }

    #[test]
    fn a_folder_of_this_machine_is_listed_with_what_is_no_file_named_so() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("b"), "12").unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::os::unix::fs::symlink("b", dir.path().join("c")).unwrap();
        let mut seen: Vec<_> =
            list_here(dir.path()).unwrap().into_iter().map(|e| (e.name, e.kind)).collect();
        seen.sort_by(|a, b| a.0.cmp(&b.0));
        let kinds: Vec<_> = seen.iter().map(|(_, kind)| *kind).collect();
        assert_eq!(kinds, [FileKind::Folder, FileKind::File, FileKind::Link]);
    }
}
