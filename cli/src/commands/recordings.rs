//! `recordings`: what commands wrote, listed, shown again, searched, exported, watched; and the rules by
//! which it is recorded.

mod play;
mod rules;

pub(super) use play::speed;

use crate::App;
use crate::args::{self, When, Yes};
use crate::connect::Hub;
use crate::exit::{Exit, Failure, unwritten};
use crate::human;
use crate::output::{Cell, Column, Paint};
use clap::{Args, Subcommand};
use cmdr_link::clock;
use cmdr_link::files::Partial;
use cmdr_protocol::display::clean;
use cmdr_protocol::recordings::{
    Delete, EventKind, Events, Filter, Hit, Level, List, PAGE, Read, Recording, Search, SetMark,
    State, Stop, Verified, Verify, cast,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// See what commands wrote: list, play, search, export and watch recordings.
///
/// Nothing is recorded that no rule asks for: 'cmdr recordings rules'. A recording has the number of
/// the audit record of what it holds. Only administrators, and roles that are given these verbs, see
/// recordings.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct RecordingsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

const EXAMPLES: &str = "\
Examples:
  cmdr recordings rules set prod --hosts env=prod --keep 90d --strict
  cmdr recordings --since 1d --level warning      what struck since yesterday
  cmdr recordings play 4711 --speed 2 --idle-limit 1s
  cmdr recordings search 'connection refused' --host 'web*'
  cmdr recordings export 4711 4711.cast           for asciinema and other players
  cmdr recordings watch 4711                      what it writes now; its operator is told
  cmdr recordings verify                          0 when every byte is as it was recorded";

#[derive(Debug, Subcommand)]
enum Verb {
    /// List recordings, newest first.
    #[command(alias = "list")]
    Ls(ListArgs),
    /// Show what is known of a recording, its marks too.
    Show(One),
    /// Print what a recording holds, at once.
    Cat(One),
    /// Play a recording with the pauses it was made with.
    Play(play::PlayArgs),
    /// Find text inside recordings.
    Search(SearchArgs),
    /// Write a recording as an asciicast v2 file, for asciinema and other players.
    Export {
        #[command(flatten)]
        one: One,
        /// The file; one that is there is replaced when the export is whole.
        file: PathBuf,
    },
    /// Mark a recording by hand.
    Mark {
        #[command(flatten)]
        one: One,
        /// How grave: none, notice, warning or danger; clear takes the mark away.
        #[arg(value_parser = mark_level)]
        level: Level,
        /// Why.
        #[arg(default_value = "", hide_default_value = true)]
        remark: String,
    },
    /// Remove recordings for good.
    Rm {
        /// Their numbers.
        #[arg(required = true)]
        ids: Vec<u64>,
        #[command(flatten)]
        yes: Yes,
    },
    /// Have the hub read recordings whole and prove them.
    Verify {
        /// Which; all when none is named.
        id: Option<u64>,
    },
    /// Watch what a recorded command writes, as it comes; Ctrl-C ends the watching alone.
    Watch {
        #[command(flatten)]
        one: One,
        /// Only what comes from now on.
        #[arg(long)]
        from_now: bool,
    },
    /// End a recorded command that runs; its operator is told who did.
    Stop {
        #[command(flatten)]
        one: One,
        /// Why; its operator is told.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// List the rules by which things are recorded, make and remove them.
    Rules(rules::RulesArgs),
}

#[derive(Clone, Copy, Debug, Args)]
struct One {
    /// The recording's number.
    id: u64,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,

    /// So many at most.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

#[derive(Debug, Args)]
struct FilterArgs {
    /// Begun not longer ago than this: a duration (2h, 7d) or a moment in UTC (2026-11-20T19:30).
    #[arg(long, value_name = "WHEN", value_parser = args::when)]
    since: Option<When>,

    /// Begun before.
    #[arg(long, value_name = "WHEN", value_parser = args::when)]
    until: Option<When>,

    /// Who: a name or glob, or the beginning of a key.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    operator: String,

    /// Where: a host's name or glob, or the beginning of its id.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    host: String,

    /// Stands in the command.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    command: String,

    /// Marked at least so: notice, warning or danger.
    #[arg(long, value_name = "WORD", value_parser = level)]
    level: Option<Level>,

    /// How it stands: running, whole, gaps, cut or missing.
    #[arg(long, value_name = "WORD", value_parser = state)]
    state: Option<State>,
}

#[derive(Debug, Args)]
struct SearchArgs {
    /// What stands in a line.
    text: String,

    /// TEXT is a regular expression.
    #[arg(long, short = 'E')]
    regex: bool,

    /// Large and small letters are different.
    #[arg(long)]
    case: bool,

    /// Look through what was sent to commands too, where that was recorded.
    #[arg(long)]
    input: bool,

    /// In this recording alone.
    #[arg(long, value_name = "ID")]
    id: Option<u64>,

    /// So many lines at most.
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,

    #[command(flatten)]
    filter: FilterArgs,
}

fn word<T: Copy>(all: &[T], shown: fn(T) -> &'static str, text: &str) -> Result<T, String> {
    let found = all.iter().copied().find(|one| shown(*one) == text);
    found.ok_or_else(|| {
        let known: Vec<_> = all.iter().map(|one| shown(*one)).collect();
        format!("'{text}' is none of {}", known.join(", "))
    })
}

fn level(text: &str) -> Result<Level, String> {
    word(Level::ALL, Level::as_str, text)
}

fn mark_level(text: &str) -> Result<Level, String> {
    if text == "clear" { Ok(Level::Unknown) } else { level(text) }
}

fn state(text: &str) -> Result<State, String> {
    word(State::ALL, State::as_str, text)
}

impl FilterArgs {
    fn filter(&self) -> Filter {
        let now = clock::now_ms();
        Filter {
            from_ms: self.since.map(|when| when.ms(now)),
            until_ms: self.until.map(|when| when.ms(now)),
            operator: self.operator.clone(),
            host: self.host.clone(),
            command: self.command.clone(),
            level: self.level.unwrap_or_default(),
            state: self.state.unwrap_or_default(),
        }
    }
}

/// A recording as it is shown.
#[derive(Serialize)]
struct Row {
    time: String,
    #[serde(flatten)]
    recording: Recording,
}

impl From<Recording> for Row {
    fn from(recording: Recording) -> Self {
        Self { time: human::moment(recording.at_ms), recording }
    }
}

fn painted(level: Level) -> Cell {
    match level {
        Level::Danger => Cell::painted(level.as_str(), Paint::Bad),
        Level::Warning => Cell::painted(level.as_str(), Paint::Warn),
        Level::None | Level::Unknown => "".into(),
        Level::Notice => level.as_str().into(),
    }
}

fn stands(state: State) -> Cell {
    let paint = match state {
        State::Whole => Paint::Good,
        State::Running => Paint::Plain,
        State::Gaps | State::Cut => Paint::Warn,
        State::Missing | State::Unknown => Paint::Bad,
    };
    Cell::painted(state.as_str(), paint)
}

/// `1:05.2`: minutes, seconds and tenths.
pub(super) fn span(ms: u64) -> String {
    format!("{}:{:02}.{}", ms / 60_000, ms / 1000 % 60, ms / 100 % 10)
}

fn columns() -> [Column<Row>; 12] {
    [
        Column::figure("ID", |r: &Row| r.recording.id.to_string().into()),
        Column::text("TIME", |r| r.time.as_str().into()),
        Column::text("WHO", |r| r.recording.operator.as_str().into()),
        Column::text("HOST", |r| r.recording.host_name.as_str().into()),
        Column::text("STATE", |r| stands(r.recording.state)),
        Column::text("ENDED", |r: &Row| r.recording.ended.as_str().into()).wide(),
        Column::figure("LENGTH", |r| span(r.recording.took_ms).into()),
        Column::figure("OUTPUT", |r| human::bytes(r.recording.bytes).into()),
        Column::figure("ON DISK", |r: &Row| human::bytes(r.recording.size).into()).wide(),
        Column::text("RULES", |r: &Row| r.recording.rules.join(",").into()).wide(),
        Column::text("MARK", |r| painted(r.recording.level)),
        Column::text("COMMAND", |r| r.recording.command.as_str().into()),
    ]
}

pub(super) async fn run(app: &App, args: &RecordingsArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    match &args.verb {
        None => list(app, &hub, &args.list).await,
        Some(Verb::Ls(args)) => list(app, &hub, args).await,
        Some(Verb::Show(one)) => show(app, &hub, one.id).await,
        Some(Verb::Cat(one)) => play::cat(app, &hub, one.id).await,
        Some(Verb::Play(args)) => play::play(app, &hub, args).await,
        Some(Verb::Search(args)) => search(app, &hub, args).await,
        Some(Verb::Export { one, file }) => export(app, &hub, one.id, file).await,
        Some(Verb::Mark { one, level, remark }) => {
            let mark = SetMark { id: one.id, level: *level, remark: remark.clone() };
            hub.ask(&mark).await?;
            app.out.note(&format!("recording {} is marked", one.id));
            Ok(Exit::Ok)
        }
        Some(Verb::Rm { ids, yes }) => remove(app, &hub, ids, *yes).await,
        Some(Verb::Verify { id }) => verify(app, &hub, *id).await,
        Some(Verb::Watch { one, from_now }) => play::watch(app, &hub, one.id, *from_now).await,
        Some(Verb::Stop { one, reason, yes }) => {
            let question = format!("End the command of recording {}?", one.id);
            let stop = Stop { id: one.id, reason: reason.clone() };
            hub.confirm(app, *yes, (&stop, None), (&question, "yes")).await?;
            hub.ask(&stop).await?;
            app.out.note(&format!("the command of recording {} is ended", one.id));
            Ok(Exit::Ok)
        }
        Some(Verb::Rules(args)) => rules::run(app, &hub, args).await,
    }
}

async fn list(app: &App, hub: &Hub, args: &ListArgs) -> Result<Exit, Failure> {
    let (filter, limit) = (args.filter.filter(), args.limit as usize);
    let (mut rows, mut before) = (Vec::new(), None);
    loop {
        let missing = (limit - rows.len()).min(PAGE as usize) as u32;
        let page = hub.ask(&List { filter: filter.clone(), before, limit: missing }).await?;
        rows.extend(page.recordings.into_iter().map(Row::from));
        before = page.next;
        if before.is_none() || rows.len() >= limit {
            let used = human::bytes(page.used);
            app.out.detail(&format!("all recordings take {used} on the hub's disk"));
            break;
        }
    }
    app.out.list(&rows, &columns(), |row| row.recording.id.to_string())?;
    Ok(Exit::Ok)
}

async fn show(app: &App, hub: &Hub, id: u64) -> Result<Exit, Failure> {
    let mut feed = hub.client.feed(None, &Read { id, from_ms: 0 }).await;
    let first = match &mut feed {
        Ok(feed) => feed.next().await,
        Err(e) => return Err(Failure::from_hub(e.clone())),
    };
    let recording = first.transpose().map_err(Failure::from_hub)?.and_then(|item| item.recording);
    let Some(recording) = recording else {
        return Err(Failure::failed(format!("the hub told nothing of recording {id}")));
    };
    let row = Row::from(recording);
    let r = &row.recording;
    let mut fields = vec![
        ("ID", r.id.to_string()),
        ("STATE", r.state.to_string()),
        ("TIME", row.time.clone()),
        ("LENGTH", span(r.took_ms)),
        ("WHO", format!("{} ({})", r.operator, r.role)),
        ("HOST", r.host_name.clone()),
        ("COMMAND", r.command.clone()),
        ("ENDED", r.ended.clone()),
        ("RULES", r.rules.join(", ")),
        ("OUTPUT", human::bytes(r.bytes)),
        ("ON DISK", human::bytes(r.size)),
        ("INPUT", if r.input { "recorded" } else { "not recorded" }.to_owned()),
        ("KEPT UNTIL", r.until_ms.map_or_else(|| "there is no room".to_owned(), human::moment)),
    ];
    if r.lost > 0 {
        fields.push(("MISSING", human::bytes(r.lost)));
    }
    if !r.watchers.is_empty() {
        fields.push(("WATCHED BY", r.watchers.join(", ")));
    }
    for mark in &r.marks {
        fields.push(("MARK", format!("{}: {}", mark.level, mark.what)));
    }
    if let Some(remark) = &r.remark {
        fields.push(("REMARK", format!("{} by {}: {}", remark.level, remark.by, remark.text)));
    }
    app.out.one(&row, &fields, &r.id.to_string())?;
    Ok(Exit::Ok)
}

/// A line that was found, as it is shown.
#[derive(Serialize)]
struct Found {
    at: String,
    #[serde(flatten)]
    hit: Hit,
}

async fn search(app: &App, hub: &Hub, args: &SearchArgs) -> Result<Exit, Failure> {
    let search = Search {
        filter: args.filter.filter(),
        id: args.id,
        text: args.text.clone(),
        regex: args.regex,
        case: args.case,
        input: args.input,
        limit: args.limit,
    };
    let mut feed = hub.client.feed(None, &search).await.map_err(Failure::from_hub)?;
    let (mut rows, mut searched) = (Vec::new(), 0);
    let mut damaged = false;
    while let Some(item) = feed.next().await {
        let item = item.map_err(Failure::from_hub)?;
        rows.extend(item.hits.into_iter().map(|hit| Found { at: span(hit.at_ms), hit }));
        searched = item.searched;
        for damage in &item.damage {
            app.out.warn(damage);
            damaged = true;
        }
        if !item.unfinished.is_empty() {
            app.out.warn(&item.unfinished);
        }
    }
    let columns = [
        Column::figure("ID", |r: &Found| r.hit.id.to_string().into()),
        Column::figure("AT", |r| r.at.as_str().into()),
        Column::figure("LINE", |r| r.hit.line.to_string().into()),
        Column::text("TEXT", |r| {
            if r.hit.input {
                format!("(input) {}", r.hit.text).into()
            } else {
                r.hit.text.as_str().into()
            }
        }),
    ];
    app.out.list(&rows, &columns, |row| row.hit.id.to_string())?;
    let looked = human::count(searched, "recording");
    app.out.note(&format!("{} in {looked}", human::count(rows.len() as u64, "line")));
    Ok(match (damaged, rows.is_empty()) {
        (true, _) => Exit::Failed,
        (_, true) => Exit::NoMatch,
        _ => Exit::Ok,
    })
}

async fn export(app: &App, hub: &Hub, id: u64, path: &Path) -> Result<Exit, Failure> {
    let wrong = |e| unwritten(path, &e);
    let mut file = Partial::create(path).map_err(wrong)?;
    let mut feed =
        hub.client.feed(None, &Read { id, from_ms: 0 }).await.map_err(Failure::from_hub)?;
    let (mut lines, mut events) = (Vec::new(), 0);
    while let Some(item) = feed.next().await {
        let item: Events = item.map_err(Failure::from_hub)?;
        if let Some(r) = &item.recording {
            let id = r.id.to_string();
            let extra = [
                ("commander_id", id.as_str()),
                ("operator", &r.operator),
                ("host", &r.host_name),
                ("method", &r.method),
            ];
            cast::header(&mut lines, r.at_ms, &r.command, r.terminal, &extra);
        }
        for event in &item.events {
            events += 1;
            cast::write(&mut lines, event);
        }
        if !item.damage.is_empty() {
            return Err(Failure::failed(format!("recording {id} is damaged: {}", item.damage))
                .hint("cmdr recordings cat prints what is whole of it"));
        }
        file.write(&lines).map_err(wrong)?;
        lines.clear();
    }
    let bytes = file.finish().map_err(wrong)?;
    let events = human::count(events, "event");
    app.out.note(&format!("{}: {events}, {bytes} bytes", path.display()));
    Ok(Exit::Ok)
}

async fn remove(app: &App, hub: &Hub, ids: &[u64], yes: Yes) -> Result<Exit, Failure> {
    let all = human::count(ids.len() as u64, "recording");
    if let Some(&id) = ids.first() {
        let question = format!("Remove {all} for good?");
        hub.confirm(app, yes, (&Delete { id }, None), (&question, "yes")).await?;
    }
    for &id in ids {
        hub.ask(&Delete { id }).await?;
        app.out.note(&format!("recording {id} is removed"));
    }
    Ok(Exit::Ok)
}

async fn verify(app: &App, hub: &Hub, id: Option<u64>) -> Result<Exit, Failure> {
    let mut feed = hub.client.feed(None, &Verify { id }).await.map_err(Failure::from_hub)?;
    let mut rows: Vec<Verified> = Vec::new();
    while let Some(item) = feed.next().await {
        rows.push(item.map_err(Failure::from_hub)?);
    }
    let columns = [
        Column::figure("ID", |r: &Verified| r.id.to_string().into()),
        Column::text("STATE", |r| stands(r.state)),
        Column::figure("PIECES", |r| r.chunks.to_string().into()),
        Column::figure("BYTES", |r| r.bytes.to_string().into()),
        Column::text("PROOF", |r| match r.broken.as_str() {
            "" => Cell::painted("as it was recorded", Paint::Good),
            broken => Cell::painted(clean(broken).into_owned(), Paint::Bad),
        }),
    ];
    app.out.list(&rows, &columns, |row| row.id.to_string())?;
    Ok(if rows.iter().all(|row| row.broken.is_empty()) { Exit::Ok } else { Exit::Failed })
}

/// Which events a player shows.
fn is_output(kind: EventKind) -> bool {
    kind == EventKind::Output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_do_not_exist_are_answered_with_those_that_do() {
        assert_eq!(level("danger"), Ok(Level::Danger));
        assert!(level("high").unwrap_err().contains("none, notice, warning, danger"));
        assert_eq!(mark_level("clear"), Ok(Level::Unknown));
        assert_eq!(state("gaps"), Ok(State::Gaps));
        assert!(state("unknown").is_err());
    }

    #[test]
    fn spans_are_minutes_seconds_and_tenths() {
        assert_eq!(span(0), "0:00.0");
        assert_eq!(span(65_250), "1:05.2");
        assert_eq!(span(7_200_000), "120:00.0");
    }
}
