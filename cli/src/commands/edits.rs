//! `edits`: versions of files on hosts, and the edits that wait to be confirmed.

use super::edit::told;
use super::edit::{Place, Saved, shown};
use super::files::follow;
use super::files::place::{Remote, Role, parse, remote};
use crate::App;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Paint};
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Subcommand};
use cmdr_link::clock::now_ms;
use cmdr_link::packed::unpack;
use cmdr_protocol::display::Filter;
use cmdr_protocol::edits::{
    Armed, ArmedEnd, Confirm, Ended, OfVersion, Open, Pending, Restore, Revert, State, Version,
    Versions,
};
use cmdr_protocol::{CallError, files::FilePath};
use serde::Serialize;

/// Show what a file was before, put it back, and keep or undo what waits to be confirmed.
///
/// With HOST:PATH alone: the versions of the file. With HOST alone: what waits there and how lately armed edits ended.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct EditsArgs {
    /// A file, or a host.
    #[arg(value_name = "HOST[:PATH]", value_parser = either())]
    what: Option<What>,

    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Clone, Debug)]
enum What {
    File(Remote),
    Host(String),
}

fn either() -> impl TypedValueParser<Value = What> {
    OsStringValueParser::new().try_map(|text| match parse(&text)? {
        Role::Remote(remote) => Ok(What::File(remote)),
        Role::Local(path) => match path.to_str() {
            Some(host) if !host.contains('/') => Ok(What::Host(host.to_owned())),
            _ => Err(format!("'{}' names no host; write HOST or HOST:PATH", path.display())),
        },
    })
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what differs between two versions, or between one and what is there now.
    Diff {
        #[command(flatten)]
        of: Of,
        /// The older one [default: the one before what is there now].
        #[arg(value_name = "NUMBER")]
        from: Option<u64>,
        /// The newer one [default: what is there now].
        #[arg(value_name = "NUMBER")]
        to: Option<u64>,
    },
    /// Write the text of a version to standard output.
    Show {
        #[command(flatten)]
        of: Of,
        /// Which version.
        #[arg(value_name = "NUMBER")]
        number: u64,
    },
    /// Put a version back, with the permissions and owner it had.
    Restore {
        #[command(flatten)]
        of: Of,
        /// Which version.
        #[arg(value_name = "NUMBER")]
        number: u64,
        #[command(flatten)]
        how: Saved,
    },
    /// Keep an edit that waits to be confirmed.
    Confirm {
        #[command(flatten)]
        of: Of,
        /// Which edit, if not the one that waits now.
        #[arg(value_name = "ID")]
        id: Option<String>,
    },
    /// Undo an edit that waits to be confirmed, at once.
    Revert {
        #[command(flatten)]
        of: Of,
        /// Which edit, if not the one that waits now.
        #[arg(value_name = "ID")]
        id: Option<String>,
    },
}

#[derive(Debug, Args)]
struct Of {
    /// Which file.
    #[arg(value_name = "HOST:PATH", value_parser = remote())]
    what: Remote,
}

/// A host's hub, and a file of it by its own name.
struct At {
    hub: Hub,
    place: Place,
}

impl At {
    async fn new(app: &App, what: &Remote) -> Result<Self, Failure> {
        let hub = Hub::connect(app).await?;
        let target = hub.one_host(&what.host).await?;
        // Through links to where versions are kept of.
        let path = follow(&hub, target.id, &what.path, true, async |path| {
            let versions = Versions { path: path.clone() };
            hub.client.call(Some(target.id), &versions, hub.patience()).await.map(|_| path)
        });
        let path = path.await?;
        Ok(Self { place: Place { host: target.id, name: target.name, path }, hub })
    }

    fn path(&self) -> FilePath {
        self.place.path.clone()
    }

    async fn text(&self, number: u64) -> Result<String, Failure> {
        let of = OfVersion { path: self.path(), number };
        let kept = self.hub.ask_host(self.place.host, &of).await?;
        Ok(String::from_utf8_lossy(&unpack(&kept.content)?).into_owned())
    }

    async fn now(&self) -> Result<(String, String), Failure> {
        let opened = self.hub.ask_host(self.place.host, &Open { path: self.path() }).await?;
        let text = String::from_utf8_lossy(&unpack(&opened.content)?).into_owned();
        Ok((text, opened.content.hash))
    }

    async fn versions(&self) -> Result<Vec<Version>, Failure> {
        let listing = self.hub.ask_host(self.place.host, &Versions { path: self.path() }).await?;
        Ok(listing.versions)
    }

    /// The edit that is named, or the one that waits.
    async fn id(&self, id: Option<&String>) -> Result<String, Failure> {
        if let Some(id) = id {
            return Ok(id.clone());
        }
        let pending = Pending { path: Some(self.path()) };
        let state = state(&self.hub, self.place.host, pending).await?;
        let ended = state.ended.first().map(|ended| format!("the last one: {}", ended.how));
        let none = || {
            let failure = Failure::failed(format!("no edit of {} waits", self.place.shown()));
            match ended {
                Some(ended) => failure.hint(ended),
                None => failure,
            }
        };
        state.armed.into_iter().next().map(|armed| armed.id).ok_or_else(none)
    }
}

async fn state(hub: &Hub, host: cmdr_protocol::HostId, pending: Pending) -> Result<State, Failure> {
    let mut feed = hub.client.feed(Some(host), &pending).await?;
    match tokio::time::timeout(hub.patience(), feed.next()).await {
        Ok(Some(state)) => Ok(state?),
        _ => Err(CallError::lost("the host did not say what waits").into()),
    }
}

#[derive(Serialize)]
struct VersionRow {
    number: u64,
    at: String,
    came: &'static str,
    by: String,
    note: String,
    size: u64,
    mode: String,
    hash: String,
    #[serde(skip)]
    ago: String,
}

impl VersionRow {
    fn new(version: Version) -> Self {
        Self {
            number: version.number,
            at: human::moment(version.at_ms),
            came: version.came.as_str(),
            by: version.by,
            note: version.note,
            size: version.size,
            mode: format!("{:04o}", version.mode),
            hash: version.hash,
            ago: human::ago(Some(version.at_ms), now_ms()),
        }
    }
}

/// Something that waits, or has ended.
#[derive(Serialize)]
struct ArmedRow {
    id: String,
    host: String,
    path: String,
    by: String,
    state: &'static str,
    left_s: Option<u64>,
    ended_at: Option<String>,
    who: String,
    words: String,
    #[serde(skip)]
    shown: String,
}

impl ArmedRow {
    fn armed(host: &str, armed: Armed) -> Self {
        Self {
            shown: armed.path.to_string(),
            id: armed.id,
            host: host.to_owned(),
            path: armed.path.into(),
            by: armed.by,
            state: "waits",
            left_s: Some(armed.left_ms.div_ceil(1000)),
            ended_at: None,
            who: String::new(),
            words: if armed.trouble.is_empty() {
                armed.note
            } else {
                format!("could not be undone so far: {}", armed.trouble)
            },
        }
    }

    fn ended(host: &str, ended: Ended) -> Self {
        Self {
            shown: ended.path.to_string(),
            id: ended.id,
            host: host.to_owned(),
            path: ended.path.into(),
            by: ended.by,
            state: ended.how.as_str(),
            left_s: None,
            ended_at: Some(human::moment(ended.at_ms)),
            who: ended.who,
            words: ended.words,
        }
    }

    fn paint(&self) -> Paint {
        match ArmedEnd::parse(self.state) {
            ArmedEnd::Confirmed => Paint::Good,
            ArmedEnd::Changed | ArmedEnd::Failed => Paint::Bad,
            ArmedEnd::Unknown => Paint::Warn,
            _ => Paint::Plain,
        }
    }
}

pub(super) async fn run(app: &App, args: &EditsArgs) -> Result<Exit, Failure> {
    match (&args.verb, &args.what) {
        (Some(verb), _) => verbs(app, verb).await,
        (None, Some(What::File(remote))) => versions(app, remote).await,
        (None, Some(What::Host(host))) => pending(app, host).await,
        (None, None) => Err(Failure::usage("neither a file nor a host is named")),
    }
}

async fn versions(app: &App, remote: &Remote) -> Result<Exit, Failure> {
    let at = At::new(app, remote).await?;
    let rows: Vec<_> = at.versions().await?.into_iter().map(VersionRow::new).collect();
    let columns = [
        Column::figure("VERSION", |r: &VersionRow| r.number.to_string().into()),
        Column::text("AGE", |r: &VersionRow| r.ago.as_str().into()),
        Column::text("CAME", |r: &VersionRow| r.came.into()),
        Column::text("BY", |r: &VersionRow| r.by.as_str().into()),
        Column::figure("SIZE", |r: &VersionRow| human::bytes(r.size).into()),
        Column::text("MODE", |r: &VersionRow| r.mode.as_str().into()).wide(),
        Column::text("HASH", |r: &VersionRow| r.hash.as_str().into()).wide(),
        Column::text("NOTE", |r: &VersionRow| r.note.as_str().into()),
    ];
    app.out.list(&rows, &columns, |row| row.number.to_string())?;
    if rows.is_empty() {
        app.out
            .note(&format!("no versions of {} are kept: it was not edited yet", at.place.shown()));
    }
    Ok(Exit::Ok)
}

async fn pending(app: &App, host: &str) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let target = hub.one_host(host).await?;
    let state = state(&hub, target.id, Pending::default()).await?;
    let armed = state.armed.into_iter().map(|armed| ArmedRow::armed(&target.name, armed));
    let ended = state.ended.into_iter().map(|ended| ArmedRow::ended(&target.name, ended));
    let rows: Vec<_> = armed.chain(ended).collect();
    let columns = [
        Column::text("FILE", |r: &ArmedRow| r.shown.as_str().into()),
        Column::text("STATE", |r: &ArmedRow| Cell::painted(r.state, r.paint())),
        Column::figure("LEFT", |r: &ArmedRow| {
            r.left_s.map(|s| format!("{s} s")).unwrap_or_default().into()
        }),
        Column::text("BY", |r: &ArmedRow| r.by.as_str().into()),
        Column::text("ENDED", |r: &ArmedRow| r.ended_at.clone().unwrap_or_default().into()),
        Column::text("WHO", |r: &ArmedRow| r.who.as_str().into()),
        Column::text("ID", |r: &ArmedRow| r.id.as_str().into()).wide(),
        Column::text("WORDS", |r: &ArmedRow| r.words.as_str().into()),
    ];
    app.out.list(&rows, &columns, |row| row.id.clone())?;
    Ok(Exit::Ok)
}

async fn verbs(app: &App, verb: &Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Diff { of, from, to } => diff(app, &of.what, *from, *to).await,
        Verb::Show { of, number } => {
            let text = At::new(app, &of.what).await?.text(*number).await?;
            if app.out.tty_out {
                let mut filter = Filter::new();
                let shown = filter.push(text.as_bytes()) + &filter.finish();
                app.out.data(&shown)?;
            } else {
                app.out.data(&text)?;
            }
            Ok(Exit::Ok)
        }
        Verb::Restore { of, number, how } => {
            let at = At::new(app, &of.what).await?;
            let restore = Restore {
                path: at.path(),
                number: *number,
                expect: None,
                confirm_s: how.confirm_s(),
                note: how.note.clone(),
            };
            let saving = at.hub.ask_host(at.place.host, &restore).await?;
            told::saving(app, &at.place, &saving)
        }
        Verb::Confirm { of, id } => {
            let at = At::new(app, &of.what).await?;
            let confirm = Confirm { path: at.path(), id: at.id(id.as_ref()).await? };
            ended(app, &at, at.hub.ask_host(at.place.host, &confirm).await?)
        }
        Verb::Revert { of, id } => {
            let at = At::new(app, &of.what).await?;
            let revert = Revert { path: at.path(), id: at.id(id.as_ref()).await? };
            ended(app, &at, at.hub.ask_host(at.place.host, &revert).await?)
        }
    }
}

fn ended(app: &App, at: &At, ended: Ended) -> Result<Exit, Failure> {
    let how = ended.how;
    let row = ArmedRow::ended(&at.place.name, ended);
    let fields =
        [("file", at.place.shown()), ("outcome", how.to_string()), ("words", row.words.clone())];
    app.out.one(&row, &fields, &row.id)?;
    let as_asked = matches!(how, ArmedEnd::Confirmed | ArmedEnd::Reverted);
    Ok(if as_asked { Exit::Ok } else { Exit::Failed })
}

async fn diff(
    app: &App,
    what: &Remote,
    from: Option<u64>,
    to: Option<u64>,
) -> Result<Exit, Failure> {
    let at = At::new(app, what).await?;
    let shown = at.place.shown();
    let (new, hash, new_name) = if let Some(number) = to {
        (at.text(number).await?, None, format!("{shown} version {number}"))
    } else {
        let (text, hash) = at.now().await?;
        (text, Some(hash), shown.clone())
    };
    let from = if let Some(from) = from {
        from
    } else {
        let versions = at.versions().await?;
        let other = versions.iter().find(|version| Some(&version.hash) != hash.as_ref());
        let none = || Failure::failed(format!("no other text of {shown} is kept"));
        other.map(|version| version.number).ok_or_else(none)?
    };
    let old = at.text(from).await?;
    let old_name = format!("{shown} version {from}");
    app.out.data(&shown::unified(&app.out, [&old_name, &new_name], &old, &new))?;
    Ok(Exit::Ok)
}
