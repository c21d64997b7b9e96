//! `probes`: far ends that several hosts look at.

use crate::App;
use crate::args::{self, Yes};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Format, Paint};
use clap::{Args, Subcommand};
use cmdr_link::clock;
use cmdr_protocol::display::clean;
use cmdr_protocol::probes::{
    Check, Delete, Lately, List, Measured, Row, Save, Seen, Show, Stands, State, Status, Try,
    Verdict, Versions,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILE: &str = "\
A file with a probe is like this; it asks one thing: http, tcp, icmp, dns, tls or script.

  name: shop
  description: the front page of the shop
  http:
    url: https://shop.example/health
    status: 200-299
    contains: ok
  every: 30s
  timeout: 10s
  from: env=edge       # the hosts that ask, a selector [default: all]
  agents: 5            # so many of them at once
  at_least: 3          # so many have to answer, or nothing is said
  quorum: 2            # so many have to say that it is down [default: more than half]
  retries: 1           # looks that fail beyond the first one before a host says so

  tcp:    { host: db1.example, port: 5432 }
  icmp:   { host: 192.0.2.1 }
  dns:    { name: shop.example, record: A, server: 192.0.2.53, expect: [192.0.2.7] }
  tls:    { host: shop.example, warn: 14d }
  script: { command: [/usr/lib/nagios/plugins/check_disk, -w, '10%'] }";

/// Probes: far ends that several hosts look at; down only when enough of them say so.
#[derive(Debug, Args)]
#[command(after_long_help = FILE)]
pub struct ProbesArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List probes and how they stand.
    #[command(alias = "list")]
    Ls,
    /// Say how a probe stands, by what each host sees, and how it was.
    Status {
        /// Which.
        name: String,
    },
    /// Print a probe's text, as 'probes save' reads it.
    Show {
        /// Which.
        name: String,
        /// Which version [default: the newest].
        #[arg(long, value_name = "N")]
        version: Option<u64>,
    },
    /// See whether a file has a probe; what is wrong is told with file, line and column.
    Check {
        /// The file; - reads standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Save the probe of a file as the newest version of its name. It is run so from then on.
    #[command(alias = "put")]
    Save {
        /// The file; - reads standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// What changed.
        #[arg(long, default_value = "")]
        note: String,
        /// Save it only if this is the newest version now.
        #[arg(long, value_name = "N")]
        was: Option<u64>,
    },
    /// Run a probe once and say what each host sees. Nothing is kept.
    Try {
        /// A probe that is kept, or a file with one; - reads standard input.
        #[arg(value_name = "PROBE|FILE")]
        what: String,
        /// From these hosts [default: those that the probe says].
        #[arg(long, value_name = "SELECTOR", default_value = "", value_parser = args::selector)]
        from: String,
    },
    /// List the versions of a probe.
    Versions {
        /// Which.
        name: String,
    },
    /// Save an older version again, as the newest.
    Restore {
        /// Which.
        name: String,
        /// Which version.
        version: u64,
    },
    /// Delete a probe with all its versions; what the history has of it stays.
    #[command(alias = "delete")]
    Rm {
        /// Which.
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
}

/// The longest look, and more.
const PATIENCE: Duration = Duration::from_secs(90);

pub(super) async fn run(app: &App, args: &ProbesArgs) -> Result<Exit, Failure> {
    match args.verb.as_ref().unwrap_or(&Verb::Ls) {
        Verb::Ls => list(app, &Hub::connect(app).await?.ask(&List::default()).await?.probes)?,
        Verb::Status { name } => {
            let stands = Hub::connect(app).await?.ask(&Status { name: name.clone() }).await?;
            status(app, &stands)?;
        }
        Verb::Show { name, version } => {
            let show = Show { name: name.clone(), version: *version };
            let shown = Hub::connect(app).await?.ask(&show).await?;
            if matches!(app.out.format, Format::Table | Format::Wide | Format::Name) {
                app.out.data(&shown.text)?;
            } else {
                app.out.one(&shown, &[], name)?;
            }
            for problem in &shown.problems {
                app.out.warn(&clean(&problem.to_string()));
            }
        }
        Verb::Check { file } => {
            let text = super::runbook::read(file)?;
            let (name, agents) = check(&Hub::connect(app).await?, file, &text).await?;
            let agents = human::count(agents.into(), "host");
            app.out.note(&format!("{name}: a probe, which {agents} would run now"));
        }
        Verb::Save { file, note, was } => {
            let text = super::runbook::read(file)?;
            let hub = Hub::connect(app).await?;
            let (name, agents) = check(&hub, file, &text).await?;
            let save = Save { name: name.clone(), text, note: note.clone(), was: *was };
            let saved = hub.ask(&save).await?;
            let version = saved.version;
            if saved.unchanged {
                app.out.note(&format!("{name} is version {version} already; nothing is new"));
            } else {
                let agents = human::count(agents.into(), "host");
                app.out.note(&format!("{name} is saved as version {version}; {agents} run it"));
            }
        }
        Verb::Try { what, from } => return attempt(app, what, from).await,
        Verb::Versions { name } => {
            let asked = Versions { name: name.clone() };
            super::runbook::versions(app, &Hub::connect(app).await?.ask(&asked).await?.versions)?;
        }
        Verb::Restore { name, version } => {
            let hub = Hub::connect(app).await?;
            let show = Show { name: name.clone(), version: Some(*version) };
            let (text, note) = (hub.ask(&show).await?.text, format!("version {version} again"));
            let saved = hub.ask(&Save { name: name.clone(), text, note, was: None }).await?;
            app.out.note(&format!("{name} is saved as version {}", saved.version));
        }
        Verb::Rm { name, yes } => {
            let hub = Hub::connect(app).await?;
            let delete = Delete { name: name.clone() };
            let question = format!("The probe {name} is deleted with all its versions.");
            hub.confirm(app, *yes, (&delete, None), (&question, name)).await?;
            hub.ask(&delete).await?;
            app.out.note(&format!("the probe {name} is deleted"));
        }
    }
    Ok(Exit::Ok)
}

/// The name of the probe in a text, and how many hosts it is for.
async fn check(hub: &Hub, file: &Path, text: &str) -> Result<(String, u32), Failure> {
    let checked = hub.ask(&Check { text: text.to_owned() }).await?;
    if !checked.problems.is_empty() {
        return Err(Failure::usage(super::runbook::told(file, &checked.problems)));
    }
    Ok((checked.name, checked.agents))
}

fn state(row: &Row) -> Cell {
    let (word, paint) = word(row);
    Cell::painted(word, paint)
}

fn word(row: &Row) -> (&'static str, Paint) {
    match row.state {
        _ if !row.problem.is_empty() => ("broken", Paint::Bad),
        _ if row.off => ("off", Paint::Dim),
        State::Up => ("up", Paint::Good),
        State::Degraded => ("degraded", Paint::Warn),
        State::Down => ("down", Paint::Bad),
        State::Unknown => ("unknown", Paint::Dim),
    }
}

fn verdict(measured: &Measured) -> Cell {
    let paint = match measured.verdict {
        Verdict::Up => Paint::Good,
        Verdict::Warning => Paint::Warn,
        Verdict::Down => Paint::Bad,
        Verdict::Unknown => Paint::Dim,
    };
    Cell::painted(measured.verdict.as_str(), paint)
}

fn took(us: Option<u64>) -> String {
    us.map(|us| human::round_trip(Duration::from_micros(us))).unwrap_or_default()
}

fn list(app: &App, probes: &[Row]) -> Result<(), Failure> {
    let columns = [
        Column::text("PROBE", |r: &Row| r.name.as_str().into()),
        Column::text("STATE", state),
        Column::text("SINCE", |r| match r.since_ms {
            0 => "".into(),
            since => human::span(clock::now_ms().saturating_sub(since) / 1000).into(),
        }),
        Column::text("KIND", |r: &Row| r.kind.as_str().into()),
        Column::text("TARGET", |r| clean(&r.target).into_owned().into()),
        Column::figure("TIME", |r| took(r.took_us).into()),
        Column::figure("DOWN", |r| format!("{}/{}", r.against, r.answering).into()),
        Column::text("WHY", |r| clean(&r.why).into_owned().into()),
        Column::figure("AGENTS", |r: &Row| r.agents.to_string().into()).wide(),
        Column::text("EVERY", |r: &Row| human::span(r.every_ms / 1000).into()).wide(),
        Column::text("FROM", |r: &Row| clean(&r.from).into_owned().into()).wide(),
        Column::text("CERTIFICATE", |r: &Row| {
            r.certificate_ends_ms.map(human::moment).unwrap_or_default().into()
        })
        .wide(),
        Column::text("VERSION", |r: &Row| r.version.to_string().into()).wide(),
        Column::text("BY", |r: &Row| clean(&r.saved_by).into_owned().into()).wide(),
    ];
    app.out.list(probes, &columns, |r| r.name.clone())
}

fn seen(app: &App, agents: &[Seen]) -> Result<(), Failure> {
    let columns = [
        Column::text("HOST", |s: &Seen| s.name.as_str().into()),
        Column::text("SEES", |s| verdict(&s.measured)),
        Column::figure("TIME", |s| took(Some(s.measured.took_us).filter(|us| *us > 0)).into()),
        Column::figure("LOOKUP", |s| took(s.measured.phases.lookup_us).into()),
        Column::figure("CONNECT", |s| took(s.measured.phases.connect_us).into()),
        Column::figure("TLS", |s| took(s.measured.phases.tls_us).into()),
        Column::figure("FIRST", |s| took(s.measured.phases.first_us).into()),
        Column::text("WHY", |s| clean(&s.measured.why).into_owned().into()),
        Column::text("ADDRESS", |s: &Seen| clean(&s.measured.address).into_owned().into()).wide(),
        Column::figure("FAILED", |s: &Seen| s.failures.to_string().into()).wide(),
        Column::text("AT", |s: &Seen| match s.at_ms {
            0 => "".into(),
            at => human::moment(at).into(),
        })
        .wide(),
    ];
    app.out.list(agents, &columns, |s| s.name.clone())
}

/// The last hour as bars, one for each minute: how much of it was up.
fn bars(lately: &[Lately]) -> String {
    let bar = |minute: &Lately| match minute.up {
        Some(1000) => '█',
        Some(500..) => '▆',
        Some(1..) => '▃',
        Some(0) => '▁',
        None => ' ',
    };
    lately.iter().map(bar).collect()
}

fn status(app: &App, stands: &Stands) -> Result<(), Failure> {
    if !matches!(app.out.format, Format::Table | Format::Wide | Format::Name) {
        return app.out.one(stands, &[], &stands.probe.name);
    }
    seen(app, &stands.agents)?;
    let row = &stands.probe;
    app.out.note(&format!("{}: {}, {}", row.name, word(row).0, clean(&row.why)));
    let share = |tenths: Option<u16>| {
        tenths.map_or_else(|| "not known".to_owned(), |share| human::percent(share.into()))
    };
    let [day, week, month] = stands.uptime.map(share);
    app.out.note(&format!("up over a day {day}, a week {week}, a month {month}"));
    if !stands.lately.is_empty() {
        app.out.note(&format!("the last hour, by minutes: {}", bars(&stands.lately)));
    }
    Ok(())
}

async fn attempt(app: &App, what: &str, from: &str) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let path = PathBuf::from(what);
    let (name, text) = if what == "-" || path.exists() {
        let text = super::runbook::read(&path)?;
        (check(&hub, &path, &text).await?.0, text)
    } else {
        (what.to_owned(), String::new())
    };
    let ask = Try { name, text, from: from.to_owned() };
    let tried = hub.client.call(None, &ask, app.patience_or(PATIENCE)).await?;
    seen(app, &tried.agents)?;
    let verdicts = || tried.agents.iter().map(|agent| agent.measured.verdict);
    Ok(if verdicts().any(|verdict| verdict == Verdict::Down) {
        Exit::Failed
    } else if verdicts().any(|verdict| verdict == Verdict::Unknown) {
        Exit::Unreachable
    } else {
        Exit::Ok
    })
}
