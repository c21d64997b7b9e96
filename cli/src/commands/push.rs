//! `push`: files of this machine to hosts, as runs: each file goes to the hub once, and from there to every host that
//! does not have it.

use super::files::progress::Bar;
use super::runs::flags::{self, RunFlags};
use super::{exec, runs};
use crate::App;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use clap::Args;
use cmdr_link::blobs;
use cmdr_protocol::ErrorKind;
use cmdr_protocol::blobs::Upload;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::files::FilePath;
use cmdr_protocol::runs::{Order, Planned, Push};
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// How often an upload that was cut is gone on with.
const TRIES: u32 = 20;

/// Put files on hosts: sent to the hub once, to each host only where it is not there already.
///
/// Each file is a run of its own: it goes on when this program is ended, its hosts end in one state each, and
/// `cmdr run` shows what became of it. A file is checked on the host and put in its place as a whole.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// The files, and the hosts at the end
    #[arg(required = true, num_args = 2.., value_name = "FILE... HOSTS")]
    what: Vec<PathBuf>,

    /// Where to: a path on the hosts, or a folder there that ends in '/'; by default the same path as here
    #[arg(long, value_name = "PATH")]
    to: Option<String>,

    /// Permissions there, in octal; by default those of the file that is replaced, else those of the file here
    #[arg(long, value_name = "MODE", value_parser = mode)]
    mode: Option<u32>,

    /// Owner there: user, user:group or :group; by default that of the file that is replaced
    #[arg(long, value_name = "OWNER", default_value = "")]
    owner: String,

    /// Run this on each host once the file is there: a program and its arguments, to the end of the line
    #[arg(long, num_args = 1.., allow_hyphen_values = true, value_name = "PROGRAM")]
    then: Option<Vec<String>>,

    #[command(flatten)]
    run: RunFlags,
}

fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| format!("'{text}' is no mode in octal, as 644 or 0755"))
}

/// One file and where it goes.
struct One {
    file: PathBuf,
    to: FilePath,
}

/// Does it.
pub(super) async fn run(app: &App, args: PushArgs) -> Result<Exit, Failure> {
    let PushArgs { mut what, to, mode, owner, then, run } = args;
    let hosts = what.pop().unwrap_or_default();
    let hosts = hosts.to_str().ok_or_else(|| Failure::usage("the hosts are no text"))?.to_owned();
    if run.key.is_some() && what.len() > 1 {
        return Err(Failure::usage("--key goes with one file: each file is a run of its own"));
    }
    if then.is_some() && what.len() > 1 {
        return Err(Failure::usage("--then goes with one file: which of them should it wait for?"));
    }
    if run.clock.schedule.is_some() && what.len() > 1 {
        return Err(Failure::usage(
            "--schedule goes with one file: each needs a schedule of its own",
        ));
    }
    run.check()?;
    let all: Result<Vec<_>, _> =
        what.iter().map(|file| place(file, to.as_deref(), what.len())).collect();
    let all = all?;
    let mut worst = Exit::Ok;
    let mut whole: Option<Planned> = None;
    for One { file, to } in all {
        let hub = Hub::connect(app).await?;
        hub.check(&hosts, false).await?;
        let Content { hash, size, mode: here } = look(&file).await?;
        if !run.plan {
            upload(app, &hub, &file, Upload { hash: hash.clone(), size }).await?;
        }
        let push = Push {
            file: hash,
            path: to.as_str().to_owned(),
            // A program stays one; a file that is replaced keeps what it had, if nothing is said.
            mode: mode.or_else(|| (here & 0o111 != 0).then_some(here & 0o777)),
            owner: owner.clone(),
            then: then.clone(),
        };
        let order = Order { push: Some(push), ..Order::default() };
        let start = run.start(&hosts, order, None)?;
        if run.plan {
            let planned = flags::plan(&hub, &start).await?;
            match &mut whole {
                // All go to the same hosts; where one may not be put is said of each.
                Some(whole) => whole.refused.extend(planned.refused),
                None => whole = Some(planned),
            }
            continue;
        }
        worst = worst.worst(runs::begin(app, hub, start, &run).await?);
    }
    match whole {
        Some(whole) => exec::planned(app, &whole),
        None => Ok(worst),
    }
}

fn place(file: &Path, to: Option<&str>, count: usize) -> Result<One, Failure> {
    let wrong = |e: &dyn std::fmt::Display| Failure::usage(e.to_string());
    let name = file.file_name().ok_or_else(|| {
        Failure::usage(format!("{} is no file", clean_to_width(&file.display().to_string(), 200)))
    })?;
    let to = match to {
        None => {
            let here = std::path::absolute(file).map_err(|e| wrong(&e))?;
            FilePath::from_bytes(here.as_os_str().as_bytes()).map_err(|e| wrong(&e))?
        }
        Some(folder) if folder.ends_with('/') => {
            let whole = [folder.as_bytes(), name.as_bytes()].concat();
            FilePath::from_bytes(&whole).map_err(|e| wrong(&e))?
        }
        Some(_) if count > 1 => {
            return Err(Failure::usage("several files go to a folder: end --to with '/'"));
        }
        Some(path) => FilePath::from_bytes(path.as_bytes()).map_err(|e| wrong(&e))?,
    };
    Ok(One { file: file.to_owned(), to })
}

/// What a file is here.
struct Content {
    hash: String,
    size: u64,
    mode: u32,
}

fn shown(file: &Path) -> String {
    clean_to_width(&file.display().to_string(), 200)
}

fn unread(file: &Path, e: &std::io::Error) -> Failure {
    Failure::failed(format!("reading {}: {}", shown(file), cmdr_link::files::reason(e)))
}

async fn look(file: &Path) -> Result<Content, Failure> {
    let meta = file.metadata().map_err(|e| unread(file, &e))?;
    if !meta.is_file() {
        return Err(Failure::failed(format!("{} is no regular file", shown(file)))
            .hint("cmdr cp -r copies folders"));
    }
    let path = file.to_owned();
    let summed = tokio::task::spawn_blocking(move || blobs::sum(&path)).await;
    let summed = summed.map_err(|e| Failure::new(Exit::Fault, e.to_string()))?;
    let (hash, size) = summed.map_err(|e| unread(file, &e))?;
    Ok(Content { hash, size, mode: meta.permissions().mode() })
}

/// Has a file at the hub.
async fn upload(app: &App, hub: &Hub, file: &Path, upload: Upload) -> Result<(), Failure> {
    let size = upload.size;
    let bar = Bar::new(&app.out, &[size]);
    let mut client = hub.client.clone();
    let mut tries = 0;
    let sent = loop {
        let source = (File::open(file).map_err(|e| unread(file, &e))?, size);
        let tell = |have| bar.tell(0, have, have, "");
        match blobs::send(&client, None, &upload, source, &tell).await {
            Ok(sent) => break sent,
            Err(e) if e.kind == ErrorKind::Lost && tries < TRIES => {
                tries += 1;
                bar.tell(0, 0, 0, "the hub is away");
                if let Ok(again) = hub.again().await {
                    client = again.client;
                } else {
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
            Err(e) => {
                bar.end();
                return Err(Failure::from_hub(e));
            }
        }
    };
    bar.end();
    let shown = shown(file);
    app.out.detail(&match sent {
        0 => format!("{shown}: the hub has it already"),
        sent => format!("{shown}: {} sent to the hub", human::bytes(sent)),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_file_goes_is_a_path_a_folder_or_the_path_it_has_here() {
        let of = |file: &str, to: Option<&str>, count| {
            place(Path::new(file), to, count).map(|one| one.to.as_str().to_owned()).ok()
        };
        assert_eq!(of("a/tool", Some("/opt/x"), 1).as_deref(), Some("/opt/x"));
        assert_eq!(of("a/tool", Some("/opt/"), 2).as_deref(), Some("/opt/tool"));
        assert_eq!(of("/a/./tool", None, 1).as_deref(), Some("/a/tool"));
        assert_eq!(of("tool", Some("/opt/x"), 2), None);
        assert_eq!(of("..", Some("/opt/"), 1), None);
        assert_eq!(of("tool", Some("opt/x"), 1), None);
        assert_eq!((mode("755"), mode("0640").unwrap()), (Ok(0o755), 0o640));
        assert!(mode("rwx").is_err() && mode("17777").is_err());
    }
}
