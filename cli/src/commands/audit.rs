//! `audit`: who did what, when, from where, and what came of it.

use crate::App;
use crate::args::{self, When};
use crate::connect::Hub;
use crate::exit::{Exit, Failure, unwritten};
use crate::human;
use crate::output::{self, Cell, Column, Format, Paint};
use clap::{Args, Subcommand, ValueEnum};
use cmdr_link::FeedStream;
use cmdr_link::clock;
use cmdr_link::files::Partial;
use cmdr_protocol::audit::{Event, Filter, List, Outcome, PAGE, Record, Verify, Watch};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A proof may read gigabytes.
const PROOF: Duration = Duration::from_mins(10);

/// Show, follow, prove and export the audit log.
///
/// What changes something leaves two records: 'asked' before it is done and 'answered' with its outcome.
/// What was refused leaves one. Only administrators see the log.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct AuditArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

const EXAMPLES: &str = "\
Examples:
  cmdr audit                                     the newest records
  cmdr audit --since 2h --operator 'ann*'        what ann did in the last two hours
  cmdr audit --method 'exec.*' --host 'web*' --outcome failed
  cmdr audit --text nginx --limit 1000 -o csv
  cmdr audit --follow                            as it happens; Ctrl-C ends it
  cmdr audit verify                              0 when the log is whole, 1 with the first broken record
  cmdr audit export audit.jsonl --since 2026-11-01 --until 2026-12-01";

#[derive(Debug, Subcommand)]
enum Verb {
    /// List records, newest first.
    #[command(alias = "ls")]
    List(ListArgs),
    /// Have the hub walk the whole log and prove it.
    Verify,
    /// Write records into a file that only you can read, oldest first.
    Export(ExportArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,

    /// So many records at most.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,

    /// Show the newest, oldest of them first, and stay for those that come.
    #[arg(long, short)]
    follow: bool,
}

#[derive(Debug, Args)]
struct FilterArgs {
    /// Not older than this: a duration (2h, 7d) or a moment in UTC (2026-11-20, 2026-11-20T19:30).
    #[arg(long, value_name = "WHEN", value_parser = args::when)]
    since: Option<When>,

    /// Older than this.
    #[arg(long, value_name = "WHEN", value_parser = args::when)]
    until: Option<When>,

    /// Who: a name or glob, or the beginning of a key.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    operator: String,

    /// What: a method or glob such as 'exec.*', 'tokens.create', 'login', 'join'.
    #[arg(long, value_name = "GLOB", default_value = "", hide_default_value = true)]
    method: String,

    /// Where: a host's name or glob, or the beginning of its id.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    host: String,

    /// How it ended: ok, failed, denied, cancelled, lost and so on.
    #[arg(long, value_name = "WORD", value_parser = outcome)]
    outcome: Option<Outcome>,

    /// What the record is about: asked, answered, denied, refused, started and so on.
    #[arg(long, value_name = "WORD", value_parser = event)]
    event: Option<Event>,

    /// Stands somewhere in the record.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    text: String,
}

fn words<T: Copy>(all: &[T], word: fn(T) -> &'static str, text: &str) -> Result<T, String> {
    let found = all.iter().copied().find(|one| word(*one) == text);
    found.ok_or_else(|| {
        let known: Vec<_> = all.iter().map(|one| word(*one)).collect();
        format!("'{text}' is none of {}", known.join(", "))
    })
}

fn outcome(text: &str) -> Result<Outcome, String> {
    words(Outcome::ALL, Outcome::as_str, text)
}

fn event(text: &str) -> Result<Event, String> {
    words(Event::ALL, Event::as_str, text)
}

impl FilterArgs {
    fn filter(&self) -> Filter {
        let now = clock::now_ms();
        Filter {
            from_ms: self.since.map(|when| when.ms(now)),
            until_ms: self.until.map(|when| when.ms(now)),
            operator: self.operator.clone(),
            method: self.method.clone(),
            host: self.host.clone(),
            outcome: self.outcome.map_or("", Outcome::as_str).to_owned(),
            event: self.event.map_or("", Event::as_str).to_owned(),
            text: self.text.clone(),
        }
    }
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// The file; one that is there is replaced when the export is whole.
    file: PathBuf,

    /// JSON objects, one a line, with everything; or a table for spreadsheets.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    #[arg(hide_possible_values = true, help = "jsonl (everything) or csv (a table)")]
    format: ExportFormat,

    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    #[default]
    Jsonl,
    Csv,
}

/// A record as it is shown.
#[derive(Serialize)]
struct Row {
    time: String,
    #[serde(flatten)]
    record: Record,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<String>,
}

impl From<Record> for Row {
    fn from(record: Record) -> Self {
        Self { time: human::moment(record.at_ms), exit: record.exit(), record }
    }
}

impl Row {
    /// How it ended: `failed: exit 3`.
    fn ended(&self) -> Cell {
        let record = &self.record;
        let word = record.outcome.map_or_else(|| record.event.as_str(), Outcome::as_str);
        let text = match &self.exit {
            Some(exit) if exit != "exit 0" => format!("{word}: {exit}"),
            _ => word.to_owned(),
        };
        Cell::painted(
            text,
            match (record.outcome, record.event) {
                (Some(Outcome::Ok), _) => Paint::Good,
                (None, Event::Cut) | (Some(Outcome::Cancelled), _) => Paint::Warn,
                (Some(_), _) | (None, Event::Damaged) => Paint::Bad,
                (None, _) => Paint::Dim,
            },
        )
    }

    /// What was asked for, or what was said about it.
    fn details(&self) -> String {
        match (&self.record.body, self.record.message.as_str()) {
            (Some(body), "") => body.to_string(),
            (_, message) => message.to_owned(),
        }
    }
}

fn columns() -> [Column<Row>; 11] {
    [
        Column::figure("SEQ", |r: &Row| r.record.seq.to_string().into()).wide(),
        Column::text("TIME", |r: &Row| r.time.as_str().into()),
        Column::text("WHO", |r: &Row| r.record.operator.as_str().into()),
        Column::text("KEY", |r: &Row| {
            r.record.key.map(|key| key.to_string()).unwrap_or_default().into()
        })
        .wide(),
        Column::text("FROM", |r: &Row| r.record.address.as_str().into()).wide(),
        Column::text("WHAT", |r: &Row| match r.record.method.as_str() {
            "" => r.record.event.as_str().into(),
            method => method.into(),
        }),
        Column::text("HOST", |r: &Row| r.record.host_name.as_str().into()),
        Column::text("ON", |r: &Row| r.record.resource.as_str().into()),
        Column::text("ENDED", Row::ended),
        Column::figure("MS", |r: &Row| {
            r.record.took_ms.map_or_else(String::new, |ms| ms.to_string()).into()
        })
        .wide(),
        Column::text("DETAILS", |r: &Row| r.details().into()),
    ]
}

pub(super) async fn run(app: &App, args: &AuditArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    match &args.verb {
        None => list(app, &hub, &args.list).await,
        Some(Verb::List(args)) => list(app, &hub, args).await,
        Some(Verb::Verify) => verify(app, &hub).await,
        Some(Verb::Export(args)) => export(app, &hub, args).await,
    }
}

async fn list(app: &App, hub: &Hub, args: &ListArgs) -> Result<Exit, Failure> {
    let filter = args.filter.filter();
    if args.follow {
        return follow(app, hub, filter, args.limit).await;
    }
    let rows = newest(app, hub, &filter, args.limit).await?;
    app.out.list(&rows, &columns(), |row| row.record.seq.to_string())?;
    Ok(Exit::Ok)
}

/// The newest records, newest first.
async fn newest(app: &App, hub: &Hub, filter: &Filter, limit: u32) -> Result<Vec<Row>, Failure> {
    let (mut rows, mut before) = (Vec::new(), None);
    loop {
        let missing = (limit as usize - rows.len()).min(PAGE as usize) as u32;
        let page = hub.ask(&List { filter: filter.clone(), before, limit: missing }).await?;
        if !page.damage.is_empty() {
            app.out.warn(&format!("the audit log is damaged: {}", page.damage));
        }
        rows.extend(page.records.into_iter().map(Row::from));
        before = page.next;
        if before.is_none() || rows.len() >= limit as usize {
            return Ok(rows);
        }
    }
}

async fn watch(hub: &Hub, watch: &Watch) -> Result<FeedStream<Watch>, Failure> {
    hub.client.feed(None, watch).await.map_err(Failure::from_hub)
}

/// Shows the newest and then what comes, oldest first.
async fn follow(app: &App, hub: &Hub, filter: Filter, limit: u32) -> Result<Exit, Failure> {
    let mut rows = newest(app, hub, &filter, limit).await?;
    rows.reverse();
    let after = rows.last().map(|row| row.record.seq);
    let mut feed = watch(hub, &Watch { filter, after, once: false }).await?;
    let mut out = app.out.clone();
    if matches!(out.format, Format::Json | Format::Yaml) {
        // A document has no end here.
        out.format = Format::Ndjson;
    }
    let mut begun = false;
    loop {
        let text = out.render(&rows, &columns(), |row| row.record.seq.to_string())?;
        let headed = out.format.is_table() || out.format == Format::Csv;
        match text.split_once('\n') {
            Some((_, rest)) if headed && begun => out.data(rest)?,
            _ => out.data(&text)?,
        }
        begun = true;
        let items = match feed.next().await {
            Some(items) => items.map_err(Failure::from_hub)?,
            None => return Ok(Exit::Ok),
        };
        if items.missed > 0 {
            let gone = human::count(items.missed, "record");
            app.out.warn(&format!("{gone} were removed by the hub before they could be shown"));
        }
        rows = items.records.into_iter().map(Row::from).collect();
    }
}

async fn verify(app: &App, hub: &Hub) -> Result<Exit, Failure> {
    let patience = app.timeout.unwrap_or(PROOF);
    let verified = hub.client.call(None, &Verify {}, patience).await.map_err(Failure::from_hub)?;
    let mut fields = vec![
        ("STATE", if verified.broken.is_some() { "broken" } else { "whole" }.to_owned()),
        ("RECORDS", verified.records.to_string()),
        ("SEGMENTS", verified.segments.to_string()),
        ("FIRST", format!("{} ({})", human::moment(verified.first_ms), verified.first_seq)),
        ("LAST", format!("{} ({})", human::moment(verified.last_ms), verified.last_seq)),
    ];
    fields.extend(verified.broken.as_ref().map(|broken| ("BROKEN", broken.to_string())));
    app.out.one(&verified, &fields, &fields[0].1)?;
    Ok(if verified.broken.is_none() { Exit::Ok } else { Exit::Failed })
}

async fn export(app: &App, hub: &Hub, args: &ExportArgs) -> Result<Exit, Failure> {
    let filter = args.filter.filter();
    let wrong = |e| unwritten(&args.file, &e);
    let mut file = Partial::create(&args.file).map_err(wrong)?;
    let mut feed = watch(hub, &Watch { filter, after: Some(0), once: true }).await?;
    let mut records = 0;
    if args.format == ExportFormat::Csv {
        file.write(output::csv(&[], &columns()).as_bytes()).map_err(wrong)?;
    }
    while let Some(items) = feed.next().await {
        let rows: Vec<_> =
            items.map_err(Failure::from_hub)?.records.into_iter().map(Row::from).collect();
        records += rows.len() as u64;
        file.write(lines(args.format, &rows)?.as_bytes()).map_err(wrong)?;
    }
    let bytes = file.finish().map_err(wrong)?;
    told(app, &args.file, records, bytes);
    Ok(Exit::Ok)
}

fn lines(format: ExportFormat, rows: &[Row]) -> Result<String, Failure> {
    match format {
        ExportFormat::Jsonl => rows.iter().map(output::json_line).collect(),
        ExportFormat::Csv => {
            let table = output::csv(rows, &columns());
            Ok(table.split_once('\n').map_or("", |(_, rest)| rest).to_owned())
        }
    }
}

fn told(app: &App, file: &Path, records: u64, bytes: u64) {
    let records = human::count(records, "record");
    app.out.note(&format!("{}: {records}, {bytes} bytes", file.display()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::audit::Value;

    fn odd() -> Row {
        Row::from(Record {
            seq: 7,
            at_ms: 1_795_202_927_000,
            event: Event::Answered,
            operator: "ann\n\u{1b}[2J,\"x\"".into(),
            method: "exec.start".into(),
            host_name: "web1".into(),
            outcome: Some(Outcome::Failed),
            result: Some(Value::Map(vec![("code".into(), Value::Int(3))])),
            ..Record::default()
        })
    }

    #[test]
    fn a_record_is_one_line_in_every_format_whatever_its_names_hold() {
        for format in [ExportFormat::Jsonl, ExportFormat::Csv] {
            let text = lines(format, &[odd()]).unwrap();
            assert_eq!(text.matches('\n').count(), 1, "{text:?}");
            assert!(!text.contains('\u{1b}'), "{text:?}");
            assert!(text.contains("exit 3") || text.contains("failed: exit 3"), "{text}");
        }
        let csv = lines(ExportFormat::Csv, &[odd()]).unwrap();
        assert!(csv.contains(r#""ann␊␛[2J,""x""""#), "{csv}");
    }

    #[test]
    fn words_that_do_not_exist_are_answered_with_those_that_do() {
        assert_eq!(outcome("timed-out"), Ok(Outcome::TimedOut));
        assert!(outcome("good").unwrap_err().contains("ok, failed, denied"));
        assert_eq!(event("asked"), Ok(Event::Asked));
        assert!(event("unknown").is_err());
    }
}
