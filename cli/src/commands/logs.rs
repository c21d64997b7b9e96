//! `logs`: lines of logs of the hosts that selectors pick, in the order of their times.
//!
//! [`reader`] follows one source of one host and takes it up again after a cut, [`merge`] brings what
//! they read into one order, [`show`] turns it into bytes.

mod merge;
mod reader;
mod show;

use crate::App;
use crate::args::{self, When};
use crate::commands::exec::pipe;
use crate::commands::interrupted;
use crate::connect::{Hub, Target, VERSION};
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{self, Column, Format};
use clap::{Args, ValueEnum};
use cmdr_link::clock;
use cmdr_link::session::{Dialer, Session};
use cmdr_protocol::ErrorKind;
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::logs::{
    Filter, Follow, GapKind, Kind, Level, Line, Listing, MAX_CONTEXT, MAX_LAST, MAX_PATTERN,
    Source, Sources, parts,
};
use merge::Merge;
use reader::{Event, Reader, Way};
use serde::Serialize;
use show::Show;
use std::time::Duration;
use tokio::sync::mpsc;

/// Lines that are shown when nothing says how many.
const USUAL: u32 = 100;
/// Sources that are read at once: each is a stream, and a link has some hundreds.
const MOST: usize = 200;
/// Bytes that are written together.
const TOGETHER: usize = 256 << 10;
/// Events between the readers and the output.
const EVENTS: usize = 64;

/// Show lines of logs of hosts, and follow them as they are written.
///
/// Each argument picks hosts, and behind a colon what to read there: a file, with * ? and ** for several,
/// a unit of the service manager, or a container (container:NAME, with * and ?). Without that it is the journal, or the system's log where there is
/// none. Filters run on the hosts: only what is wanted crosses the network.
///
/// Lines of several sources come in the order of their times. A host that tells nothing is not waited for
/// long. With --follow, what is lost is said and taken up again where it was, and Ctrl-C ends with 0.
#[derive(Debug, Default, Args)]
pub struct LogsArgs {
    /// Which hosts, and what to read there: 'web*', 'web*:/var/log/nginx/*.log', db1:postgresql.
    #[arg(required = true, value_name = "SELECTOR[:PATH|:UNIT]")]
    what: Vec<String>,

    /// Stay, and show what is written.
    #[arg(short, long)]
    follow: bool,

    /// Begin with so many lines of each source [default: 100, or all with --since].
    #[arg(short = 'n', long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_LAST)))]
    lines: Option<u32>,

    /// From this moment on: 2h, 7d, 2026-11-20T19:30:00Z.
    #[arg(long, value_name = "WHEN", value_parser = args::when)]
    since: Option<When>,

    /// Up to this moment.
    #[arg(long, value_name = "WHEN", value_parser = args::when)]
    until: Option<When>,

    /// Only lines that match; any of several.
    #[arg(short, long, value_name = "REGEX", value_parser = pattern)]
    include: Vec<String>,

    /// No lines that match.
    #[arg(short = 'x', long, value_name = "REGEX", value_parser = pattern)]
    exclude: Vec<String>,

    /// Only lines that say to be at least so grave: error, warning, info and so on.
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    level: Option<Level>,

    /// Show so many lines before and after each, too.
    #[arg(short = 'C', long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    #[arg(value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_CONTEXT)))]
    context: u32,

    /// Lines that begin with a blank belong to the one before, as in stack traces.
    #[arg(long)]
    joined: bool,

    /// Read this unit on every host.
    #[arg(short, long, value_name = "UNIT")]
    unit: Vec<String>,

    /// Read this file on every host.
    #[arg(long, value_name = "PATH")]
    file: Vec<String>,

    /// Show the time of each line: in local time, in UTC, or not [default: local for the journal, whose
    /// lines have none of their own].
    #[arg(long, value_enum, value_name = "ZONE")]
    timestamps: Option<Stamps>,

    /// List what can be read, and read nothing.
    #[arg(long)]
    sources: bool,

    /// All lines, when nothing says how many.
    #[arg(skip)]
    all: bool,

    /// What was written to the standard error goes to ours.
    #[arg(skip)]
    apart: bool,
}

/// As [`LogsArgs`], of containers, which other verbs ask for.
pub(super) struct OfContainers {
    /// `SELECTOR:container:NAME`.
    pub(super) what: Vec<String>,
    pub(super) follow: bool,
    /// All, when absent.
    pub(super) lines: Option<u32>,
    pub(super) since: Option<When>,
    pub(super) until: Option<When>,
    pub(super) timestamps: bool,
}

/// Reads the logs of containers, their two outputs apart.
pub(super) async fn of_containers(app: &App, of: OfContainers) -> Result<Exit, Failure> {
    let OfContainers { what, follow, lines, since, until, timestamps } = of;
    let stamps = if timestamps { Stamps::Utc } else { Stamps::None };
    let args = LogsArgs {
        what,
        follow,
        lines,
        since,
        until,
        timestamps: Some(stamps),
        all: lines.is_none(),
        apart: true,
        ..LogsArgs::default()
    };
    run(app, args).await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stamps {
    Local,
    Utc,
    None,
}

fn pattern(text: &str) -> Result<String, String> {
    if text.len() > MAX_PATTERN {
        return Err(format!("longer than {MAX_PATTERN} bytes"));
    }
    match regex::bytes::Regex::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(e) => {
            let words = e.to_string();
            Err(words.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned())
        }
    }
}

fn level(text: &str) -> Result<Level, String> {
    let names = || Level::ALL.iter().map(|l| l.as_str()).collect::<Vec<_>>().join(", ");
    let found = match text.to_ascii_lowercase().as_str() {
        "warn" => Level::Warning,
        "err" => Level::Error,
        other => Level::parse(other),
    };
    if found == Level::Unknown {
        Err(format!("'{text}' is none of {}", names()))
    } else {
        Ok(found)
    }
}

/// What is to be read on hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wish {
    /// The system's own log.
    Main,
    Source(String),
    /// Files that a pattern means.
    Files(String),
}

/// A wish from the text behind the colon.
fn wish(text: &str) -> Result<Wish, Failure> {
    if text.starts_with('/') {
        let pattern = text.contains(['*', '?']);
        return Ok(if pattern {
            Wish::Files(text.into())
        } else {
            Wish::Source(format!("file:{text}"))
        });
    }
    match text {
        "" => Err(Failure::usage("nothing stands behind the colon").hint("give a file or a unit")),
        "journal" => Ok(Wish::Source("journal:all".into())),
        "kernel" => Ok(Wish::Source("journal:kernel".into())),
        _ if parts(text).0 == Kind::Container && text.contains(['*', '?']) => {
            Ok(Wish::Files(text.into()))
        }
        _ if parts(text).0 != Kind::Unknown => Ok(Wish::Source(text.into())),
        unit if unit.contains('.') => Ok(Wish::Source(format!("unit:{unit}"))),
        unit => Ok(Wish::Source(format!("unit:{unit}.service"))),
    }
}

fn split(text: &str) -> Result<(&str, Option<Wish>), Failure> {
    match text.split_once(':') {
        Some((hosts, what)) => Ok((hosts, Some(wish(what)?))),
        None => Ok((text, None)),
    }
}

/// One source of one host.
#[derive(Clone, Debug)]
struct Chosen {
    target: Target,
    source: String,
}

/// What was chosen, and the worst that happened to the rest.
#[derive(Default)]
struct Choice {
    chosen: Vec<Chosen>,
    exit: Option<Exit>,
}

impl Choice {
    fn put(&mut self, target: &Target, source: &str) {
        let known = |c: &Chosen| c.target.id == target.id && c.source == source;
        if !self.chosen.iter().any(known) {
            self.chosen.push(Chosen { target: target.clone(), source: source.to_owned() });
        }
    }

    fn failed(&mut self, exit: Exit) {
        self.exit = Some(self.exit.map_or(exit, |worst| worst.worst(exit)));
    }
}

/// Reads them.
pub(super) async fn run(app: &App, args: LogsArgs) -> Result<Exit, Failure> {
    tokio::select! {
        biased;
        result = all(app, &args) => result,
        () = interrupted() => Ok(if args.follow { Exit::Ok } else { Exit::Cancelled }),
    }
}

async fn all(app: &App, args: &LogsArgs) -> Result<Exit, Failure> {
    let format = app.out.format;
    if !args.sources && matches!(format, Format::Yaml | Format::Csv | Format::Name | Format::Wide) {
        return Err(Failure::usage("logs are written as table, json or ndjson"));
    }
    if !args.sources && args.follow && format == Format::Json {
        return Err(Failure::usage("a document has an end, and --follow has none")
            .hint("one object a line: -o ndjson"));
    }
    let hub = Hub::connect(app).await?;
    if args.sources {
        return list(app, &hub, args).await;
    }
    let choice = choose(app, &hub, args).await?;
    if choice.chosen.is_empty() {
        return match choice.exit {
            Some(exit) => Ok(exit),
            None => Err(Failure::new(Exit::NoMatch, "no log matches")
                .hint("what there is: cmdr logs HOST --sources")),
        };
    }
    if choice.chosen.len() > MOST {
        return Err(Failure::usage(format!(
            "{} sources are too many; at most {MOST} are read at once",
            choice.chosen.len()
        )));
    }
    read(app, hub, args, choice).await
}

async fn listing(hub: &Hub, target: &Target, paths: Vec<String>) -> Result<Listing, Failure> {
    if target.state != HostState::Online {
        return Err(Failure::new(Exit::Unreachable, "has no link to the hub now"));
    }
    hub.ask_host(target.id, &Sources { paths }).await
}

/// Finds out which sources are meant.
async fn choose(app: &App, hub: &Hub, args: &LogsArgs) -> Result<Choice, Failure> {
    let mut everywhere = Vec::new();
    for unit in &args.unit {
        everywhere.push(wish(unit)?);
    }
    for file in &args.file {
        if !file.starts_with('/') {
            return Err(Failure::usage(format!("the file '{file}' must begin with '/'")));
        }
        everywhere.push(wish(file)?);
    }
    let mut choice = Choice::default();
    for what in &args.what {
        let (hosts, own) = split(what)?;
        let mut wishes: Vec<Wish> = own.into_iter().chain(everywhere.iter().cloned()).collect();
        if wishes.is_empty() {
            wishes.push(Wish::Main);
        }
        for target in hub.resolve(hosts).await? {
            for wish in &wishes {
                if let Err(failure) = choose_one(hub, &target, wish, &mut choice).await {
                    app.out.warn(&format!("{}: {}", target.name, failure.message));
                    choice.failed(failure.exit);
                }
            }
        }
    }
    Ok(choice)
}

async fn choose_one(
    hub: &Hub,
    target: &Target,
    wish: &Wish,
    choice: &mut Choice,
) -> Result<(), Failure> {
    match wish {
        Wish::Source(source) => choice.put(target, source),
        Wish::Files(pattern) => {
            let listing = listing(hub, target, vec![pattern.clone()]).await?;
            if listing.sources.is_empty() {
                return Err(Failure::failed(format!("no log matches {pattern}")));
            }
            listing.sources.iter().for_each(|found| choice.put(target, &found.source));
        }
        Wish::Main => {
            let listing = listing(hub, target, Vec::new()).await?;
            if listing.main.is_empty() {
                return Err(Failure::failed(format!(
                    "has neither a journal nor a system's log; what it has: cmdr logs {} --sources",
                    target.name
                )));
            }
            choice.put(target, &listing.main);
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Listed {
    host: String,
    #[serde(flatten)]
    source: Source,
}

async fn list(app: &App, hub: &Hub, args: &LogsArgs) -> Result<Exit, Failure> {
    let mut rows = Vec::new();
    let mut exit = Exit::Ok;
    for what in &args.what {
        let (hosts, own) = split(what)?;
        let pattern = match own {
            Some(Wish::Files(pattern)) => vec![pattern],
            _ => Vec::new(),
        };
        for target in hub.resolve(hosts).await? {
            match listing(hub, &target, pattern.clone()).await {
                Ok(listing) => {
                    if listing.more {
                        app.out.note(&format!("{}: there are more than are listed", target.name));
                    }
                    let host = target.name.clone();
                    let row = |source| Listed { host: host.clone(), source };
                    rows.extend(listing.sources.into_iter().map(row));
                }
                Err(failure) => {
                    app.out.warn(&format!("{}: {}", target.name, failure.message));
                    exit = exit.worst(failure.exit);
                }
            }
        }
    }
    let columns = [
        Column::text("HOST", |r: &Listed| r.host.as_str().into()),
        Column::figure("SIZE", |r: &Listed| {
            r.source.bytes.map_or_else(String::new, human::bytes).into()
        }),
        Column::figure("ROTATED", |r: &Listed| r.source.rotated.to_string().into()),
        Column::text("CHANGED", |r: &Listed| {
            r.source.changed_ms.map_or_else(String::new, cmdr_protocol::human::moment).into()
        }),
        Column::text("SOURCE", |r: &Listed| r.source.source.as_str().into()),
    ];
    app.out.list(&rows, &columns, |r| r.source.source.clone())?;
    Ok(exit)
}

fn asking(args: &LogsArgs) -> Follow {
    let now = clock::now_ms();
    let since_ms = args.since.map(|when| when.ms(now)).or(args.all.then_some(0));
    let filter = Filter {
        include: args.include.clone(),
        exclude: args.exclude.clone(),
        level: args.level,
        before: args.context,
        after: args.context,
        joined: args.joined,
    };
    Follow {
        source: String::new(),
        filter,
        since_ms,
        until_ms: args.until.map(|when| when.ms(now)),
        last: args.lines.or(since_ms.is_none().then_some(USUAL)),
        follow: args.follow,
        from: None,
    }
}

/// Reads all sources and writes their lines until they end, or nobody reads ours.
async fn read(app: &App, hub: Hub, args: &LogsArgs, choice: Choice) -> Result<Exit, Failure> {
    let Choice { chosen, exit } = choice;
    let way = if args.follow {
        // A link that heals itself, for what stays.
        Way::Session(Session::start(Dialer::client(app.context()?, VERSION)))
    } else {
        Way::Client(hub.client.clone())
    };
    drop(hub);
    let (send, mut events) = mpsc::channel(EVENTS);
    let mut running = tokio::task::JoinSet::new();
    for (at, one) in chosen.iter().enumerate() {
        let ask = Follow { source: one.source.clone(), ..asking(args) };
        running.spawn(Reader::new(at, one.target.id, ask, way.clone(), send.clone()).run());
    }
    drop(send);
    let mut show = Show::new(&app.out, &chosen, args.timestamps);
    let mut merge = Merge::new(chosen.len());
    let (pipe, written) = pipe::start()?;
    let mut exit = exit.unwrap_or(Exit::Ok);
    let read = pipe.send(show.begin()).await;
    let apart = args.apart && app.out.format == Format::Table;
    let mut lines = Lines { pipe, apart, to: pipe::To::Stdout, bytes: Vec::new(), read };
    while lines.read {
        let now = clock::now_ms();
        let wait = merge.due(now).map(|ms| Duration::from_millis(ms.saturating_sub(now)));
        let event = tokio::select! {
            event = events.recv() => match event {
                Some((at, event)) => Some((at, event)),
                None => break,
            },
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => None,
        };
        if let Some((at, event)) = event {
            let name = show.name(at);
            take(app, &name, at, event, &mut merge, &mut exit);
        }
        let now = clock::now_ms();
        while let Some((at, line)) = merge.take(now) {
            lines.put(&mut show, at, &line).await;
        }
        for at in merge.take_lagging() {
            app.out.note(&format!("{}: is late, and is not waited for", show.name(at)));
        }
        lines.flush().await;
    }
    while let Some((at, line)) = merge.take_any() {
        lines.put(&mut show, at, &line).await;
    }
    lines.flush().await;
    show.end(&mut lines.bytes);
    lines.to = pipe::To::Stdout;
    lines.flush().await;
    drop(lines);
    if let Ok(Err(e)) = written.await {
        return Err(output::unwritable(&e));
    }
    Ok(exit)
}

/// Lines on their way to our outputs.
struct Lines {
    pipe: pipe::Pipe,
    /// Those of the standard error go to ours.
    apart: bool,
    to: pipe::To,
    bytes: Vec<u8>,
    /// Somebody reads them.
    read: bool,
}

impl Lines {
    async fn put(&mut self, show: &mut Show, at: usize, line: &Line) {
        let to = if self.apart && line.stderr { pipe::To::Stderr } else { pipe::To::Stdout };
        if to != self.to {
            self.flush().await;
            self.to = to;
        }
        show.line(at, line, &mut self.bytes);
        if self.bytes.len() >= TOGETHER {
            self.flush().await;
        }
    }

    async fn flush(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.read &= self.pipe.send(pipe::Piece { to: self.to, bytes }).await;
    }
}

fn take(app: &App, name: &str, at: usize, event: Event, merge: &mut Merge, exit: &mut Exit) {
    match event {
        Event::Item(item, permit) => {
            for gap in &item.gaps {
                let what =
                    if gap.what.is_empty() { String::new() } else { format!(": {}", gap.what) };
                let words = format!("{name}: {}{what}", words(gap.kind));
                match gap.kind {
                    GapKind::Rotated => app.out.detail(&words),
                    _ => app.out.note(&words),
                }
            }
            merge.put(at, *item, permit, clock::now_ms());
        }
        Event::Down(error) => {
            merge.set_down(at, true);
            app.out
                .warn(&format!("{name}: {}; it is taken up again when it is back", error.message));
        }
        Event::Up => {
            merge.set_down(at, false);
            app.out.note(&format!("{name}: is back"));
        }
        Event::End(end) => {
            merge.end(at);
            let Err(error) = end else { return };
            // What a host does not know is an older agent.
            let message = match error.kind {
                ErrorKind::UnknownMethod => "its agent is too old to read logs".to_owned(),
                _ => error.message.clone(),
            };
            app.out.warn(&format!("{name}: {message}"));
            *exit = exit.worst(Exit::of(error.kind));
        }
    }
}

/// What happened between lines, for people.
fn words(kind: GapKind) -> &'static str {
    match kind {
        GapKind::Rotated => "rotated",
        GapKind::Truncated => "was emptied or written anew",
        GapKind::Gone => "is not there any more; its name is watched",
        GapKind::Missed => "it is not known what was written meanwhile",
        GapKind::Unreadable => "a rotated file could not be read",
        GapKind::NoTimes => "its lines tell no times",
        GapKind::Searched => "searched only so far back",
        GapKind::Unknown => "something happened that this release does not know",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_hosts_and_what_to_read_there() {
        let read = |text| split(text).unwrap();
        assert_eq!(read("web*"), ("web*", None));
        assert_eq!(
            read("web1:/var/log/a:b"),
            ("web1", Some(Wish::Source("file:/var/log/a:b".into())))
        );
        assert_eq!(read("web1:/l/*.log"), ("web1", Some(Wish::Files("/l/*.log".into()))));
        assert_eq!(
            read("role=db:nginx"),
            ("role=db", Some(Wish::Source("unit:nginx.service".into())))
        );
        assert_eq!(read("a:cron.timer"), ("a", Some(Wish::Source("unit:cron.timer".into()))));
        assert_eq!(read("a:kernel"), ("a", Some(Wish::Source("journal:kernel".into()))));
        assert_eq!(read("a:unit:b.c"), ("a", Some(Wish::Source("unit:b.c".into()))));
        assert!(split("web1:").is_err());
    }

    #[test]
    fn patterns_and_levels_are_checked_before_anything_is_asked() {
        assert!(pattern("a|b").is_ok());
        assert!(pattern("a(").unwrap_err().contains("unclosed group"));
        assert_eq!(level("WARN"), Ok(Level::Warning));
        assert!(level("loud").unwrap_err().contains("error"));
    }
}
