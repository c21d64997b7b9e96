//! `edit` and `hosts-file`: a text file of a host in one's own editor, or from a script.
//!
//! What was written is never lost: it is a private file of this machine until it is in its place.

mod ask;
mod desk;
mod flow;
pub(in crate::commands) mod shown;
pub(in crate::commands) mod told;

use super::files::octal;
use super::files::place::{Remote, remote};
use super::files::real;
use crate::App;
use crate::args;
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use clap::Args;
use cmdr_link::packed::{pack, unpack};
use cmdr_protocol::edits::{Open, Opened, Save, Saving};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::ffi::OsString;
use std::io::Read as _;
use std::time::Duration;

/// Edit a text file of a host with your own editor, and save it whole or not at all.
///
/// The text before is kept on the host (cmdr edits shows what there is and puts it back). With --confirm the host
/// undoes the edit alone unless you say in time that it stays: for what may cut you off.
#[derive(Debug, Args)]
pub struct EditArgs {
    /// Which file: HOST:PATH. One that is not there is made.
    #[arg(value_name = "HOST:PATH", value_parser = remote())]
    what: Remote,

    #[command(flatten)]
    how: How,

    /// Permissions of a new file, octal [default: 644].
    #[arg(short, long, value_name = "MODE", value_parser = octal)]
    mode: Option<u32>,
}

/// Edit the hosts file of a host. What would leave the host without names is refused.
#[derive(Debug, Args)]
pub struct HostsFileArgs {
    /// Which host.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    host: String,

    #[command(flatten)]
    how: How,
}

#[derive(Debug, Args)]
struct How {
    /// No editor: the new text is in this file, or comes on standard input with '-'.
    #[arg(long, value_name = "FILE|-")]
    from: Option<OsString>,

    /// Save only in the place of the text with this hash ('new' for a file that is not there); without it, in the
    /// place of what is there now.
    #[arg(long, value_name = "HASH", requires = "from")]
    if_hash: Option<String>,

    #[command(flatten)]
    saved: Saved,
}

/// What is said with every change of a file.
#[derive(Clone, Debug, Args)]
pub(in crate::commands) struct Saved {
    /// The host undoes it alone unless it is confirmed within this time (5s to 24h).
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    pub(in crate::commands) confirm: Option<Duration>,

    /// Why, for those who look at the versions.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(in crate::commands) note: String,

    /// Also with warnings about lines; never with errors.
    #[arg(long)]
    pub(in crate::commands) force: bool,
}

impl Saved {
    pub(in crate::commands) fn confirm_s(&self) -> Option<u32> {
        let s = |after: Duration| after.as_secs_f64().ceil() as u32;
        self.confirm.map(s)
    }
}

/// A file of a host, by its own name.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Place {
    pub(in crate::commands) host: HostId,
    pub(in crate::commands) name: String,
    pub(in crate::commands) path: FilePath,
}

impl Place {
    /// As `HOST:PATH`.
    pub(in crate::commands) fn shown(&self) -> String {
        format!("{}:{}", self.name, self.path)
    }
}

/// A text and where it was found.
#[derive(Clone, Debug)]
struct Found {
    place: Place,
    opened: Opened,
    text: String,
}

impl Found {
    /// What a save has to find; none for a file that is not there.
    fn expect(&self) -> Option<String> {
        self.opened.file.is_some().then(|| self.opened.content.hash.clone())
    }
}

async fn open(hub: &Hub, target: &Target, path: &FilePath) -> Result<Found, Failure> {
    let ask = async |path: &FilePath| {
        let open = Open { path: path.clone() };
        hub.client.call(Some(target.id), &open, hub.patience()).await
    };
    let mut path = path.clone();
    let opened = match ask(&path).await {
        Err(e) if e.kind == ErrorKind::Elsewhere => {
            path = real(hub, target.id, &path, true).await?;
            ask(&path).await?
        }
        opened => opened?,
    };
    let text = text_of(unpack(&opened.content)?)?;
    Ok(Found { place: Place { host: target.id, name: target.name.clone(), path }, opened, text })
}

fn text_of(bytes: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Failure::failed(format!("that is no text: byte {at} is not UTF-8"))
    })
}

/// One try to save a text.
async fn save(
    hub: &Hub,
    place: &Place,
    text: &str,
    expect: Option<String>,
    mode: Option<u32>,
    how: &Saved,
) -> Result<Saving, CallError> {
    let save = Save {
        path: place.path.clone(),
        content: pack(text.as_bytes())?,
        expect,
        mode,
        confirm_s: how.confirm_s(),
        note: how.note.clone(),
        force: how.force,
    };
    hub.client.call(Some(place.host), &save, hub.patience()).await
}

/// A file that is read whole, up to the largest that is edited.
fn given(from: &OsString) -> Result<String, Failure> {
    let most = cmdr_protocol::edits::MOST as u64 + 1;
    let mut bytes = Vec::new();
    let name = from.to_string_lossy();
    let read = if from == "-" {
        std::io::stdin().lock().take(most).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(from).and_then(|file| file.take(most).read_to_end(&mut bytes))
    };
    read.map_err(|e| Failure::failed(format!("reading {name}: {}", cmdr_link::files::reason(&e))))?;
    text_of(bytes)
}

pub(super) async fn edit(app: &App, args: &EditArgs) -> Result<Exit, Failure> {
    run(app, &args.what.host, &args.what.path, args.mode, &args.how).await
}

pub(super) async fn hosts_file(app: &App, args: &HostsFileArgs) -> Result<Exit, Failure> {
    let path =
        FilePath::parse("/etc/hosts").map_err(|e| Failure::new(Exit::Fault, e.to_string()))?;
    run(app, &args.host, &path, None, &args.how).await
}

async fn run(
    app: &App,
    host: &str,
    path: &FilePath,
    mode: Option<u32>,
    how: &How,
) -> Result<Exit, Failure> {
    let text = match &how.from {
        Some(from) => {
            let from = from.clone();
            let reading = tokio::task::spawn_blocking(move || given(&from));
            Some(reading.await.map_err(|e| Failure::new(Exit::Fault, e.to_string()))??)
        }
        None => None,
    };
    let hub = Hub::connect(app).await?;
    let target = hub.one_host(host).await?;
    let Some(text) = text else {
        return flow::run(app, hub, &target, path, mode, &how.saved).await;
    };
    let found = open(&hub, &target, path).await?;
    let expect = match how.if_hash.as_deref() {
        Some("new") => None,
        Some(hash) => Some(hash.to_owned()),
        None => found.expect(),
    };
    let saving = save(&hub, &found.place, &text, expect, mode, &how.saved).await?;
    told::saving(app, &found.place, &saving)
}
