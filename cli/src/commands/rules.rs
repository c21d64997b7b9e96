//! `rules`: conditions over the fleet's figures and states of which alerts come.

use crate::App;
use crate::args::{self, When, Yes};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Format, Paint};
use clap::{Args, Subcommand};
use cmdr_link::clock;
use cmdr_protocol::alerts::Severity;
use cmdr_protocol::display::clean;
use cmdr_protocol::rules::{
    Check, Delete, Fired, List, Rule, Save, Show, Switch, Tried, Try, Versions,
};
use std::path::PathBuf;
use std::time::Duration;

const FILE: &str = "\
A file of rules is like this; the figures that there are: cmdr history ls.

  rules:
  - name: disk-filling
    description: a file system will be full within four hours
    hosts: env=prod                  # a selector [default: all hosts]
    when: forecast(mount.free{*}, 4h) < 0
    clear: forecast(mount.free{*}, 8h) > 0
    for: 10m                         # so long it has to hold
    severity: critical               # info, warning, critical
    labels: { team: storage }
    message: '{host}: {instance} will be full within four hours'

Conditions: avg, min, max, rate, delta, change, forecast and absent over figures, state(host) == offline, \
state(unit{ssh.service}) == failed, + - * /, comparisons, and, or, not; units such as 90%, 10GiB, 5MB/s, 5m.";

/// Rules: conditions over figures and states of hosts, of which alerts come.
///
/// Who is told of them: cmdr alerts policies, cmdr notifiers.
#[derive(Debug, Args)]
#[command(after_long_help = FILE)]
pub struct RulesArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List rules.
    #[command(alias = "list")]
    Ls,
    /// Print a rule's text, as 'rules save' reads it.
    Show {
        /// Which.
        name: String,
        /// Which version [default: the newest].
        #[arg(long, value_name = "N")]
        version: Option<u64>,
    },
    /// See whether a file has rules; what is wrong is told with file, line and column.
    Check {
        /// The file; - reads standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Save the rules of a file, each as the newest version of its name. They count from then on.
    Save {
        /// The file; - reads standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// What changed.
        #[arg(long, default_value = "")]
        note: String,
        /// Save it only if this is the newest version now; for a file with one rule.
        #[arg(long, value_name = "N")]
        was: Option<u64>,
    },
    /// Say when a rule would have fired, by the history of figures.
    Try(TryArgs),
    /// Switch a rule on.
    On {
        /// Which.
        name: String,
    },
    /// Switch a rule off; its alerts end.
    Off {
        /// Which.
        name: String,
    },
    /// List the versions of a rule.
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
    /// Delete a rule with all its versions; its alerts end.
    #[command(alias = "delete")]
    Rm {
        /// Which.
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
}

#[derive(Debug, Args)]
struct TryArgs {
    /// A rule that is kept, or a file with one; - reads standard input.
    #[arg(value_name = "RULE|FILE")]
    what: String,
    /// On these hosts [default: those that the rule is for].
    #[arg(long, value_name = "SELECTOR", default_value = "", value_parser = args::selector)]
    hosts: String,
    /// How much time.
    #[arg(long, value_name = "DURATION", default_value = "7d", value_parser = args::duration)]
    span: Duration,
    /// Until when: 2h ago as 2h, or a moment [default: now].
    #[arg(long, value_name = "WHEN", value_parser = args::when)]
    until: Option<When>,
}

/// Reading much history takes its time.
const PATIENCE: Duration = Duration::from_mins(2);

pub(super) async fn run(app: &App, args: &RulesArgs) -> Result<Exit, Failure> {
    match args.verb.as_ref().unwrap_or(&Verb::Ls) {
        Verb::Ls => list(app, &Hub::connect(app).await?.ask(&List {}).await?.rules)?,
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
            let names = check(&Hub::connect(app).await?, file, &text).await?;
            app.out.note(&format!(
                "{}: {}",
                human::count(names.len() as u64, "rule"),
                names.join(", ")
            ));
        }
        Verb::Save { file, note, was } => {
            let text = super::runbook::read(file)?;
            let hub = Hub::connect(app).await?;
            let names = check(&hub, file, &text).await?;
            let name = match names.as_slice() {
                [name] => name.clone(),
                _ if was.is_some() => {
                    return Err(Failure::usage("--was is for a file with one rule"));
                }
                _ => String::new(),
            };
            let save = Save { name, text, note: note.clone(), was: *was };
            let saved = hub.ask(&save).await?;
            let names = names.join(", ");
            app.out.note(&match (saved.unchanged, saved.version) {
                (true, _) => format!("{names}: nothing is new"),
                (false, 0) => format!("{names}: saved"),
                (false, version) => format!("{names} is saved as version {version}"),
            });
        }
        Verb::Try(args) => return attempt(app, args).await,
        Verb::On { name } => switch(app, name, false).await?,
        Verb::Off { name } => switch(app, name, true).await?,
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
            let question = format!("The rule {name} is deleted with all its versions.");
            hub.confirm(app, *yes, (&delete, None), (&question, name)).await?;
            hub.ask(&delete).await?;
            app.out.note(&format!("the rule {name} is deleted"));
        }
    }
    Ok(Exit::Ok)
}

async fn check(hub: &Hub, file: &std::path::Path, text: &str) -> Result<Vec<String>, Failure> {
    let checked = hub.ask(&Check { text: text.to_owned() }).await?;
    if !checked.problems.is_empty() {
        return Err(Failure::usage(super::runbook::told(file, &checked.problems)));
    }
    Ok(checked.names)
}

async fn switch(app: &App, name: &str, off: bool) -> Result<(), Failure> {
    let saved = Hub::connect(app).await?.ask(&Switch { name: name.to_owned(), off }).await?;
    let word = if off { "off" } else { "on" };
    let already = if saved.unchanged { " already" } else { "" };
    app.out.note(&format!("the rule {name} is {word}{already}"));
    Ok(())
}

pub(super) fn severity(of: Severity) -> Cell {
    let paint = match of {
        Severity::Critical => Paint::Bad,
        Severity::Warning => Paint::Warn,
        Severity::Info | Severity::Unknown => Paint::Plain,
    };
    Cell::painted(of.as_str(), paint)
}

fn list(app: &App, rules: &[Rule]) -> Result<(), Failure> {
    let columns = [
        Column::text("RULE", |r: &Rule| r.name.as_str().into()),
        Column::text("STATE", |r| match (r.problem.is_empty(), r.off) {
            (false, _) => Cell::painted("broken", Paint::Bad),
            (true, true) => Cell::painted("off", Paint::Dim),
            (true, false) => Cell::painted("on", Paint::Good),
        }),
        Column::text("SEVERITY", |r| severity(r.severity)),
        Column::figure("HOSTS", |r| r.matched.to_string().into()),
        Column::figure("PENDING", |r| r.pending.to_string().into()),
        Column::figure("FIRING", |r| {
            let paint = if r.firing > 0 { Paint::Bad } else { Paint::Dim };
            Cell::painted(r.firing.to_string(), paint)
        }),
        Column::text("WHEN", |r| {
            let why = if r.problem.is_empty() { &r.when } else { &r.problem };
            clean(why).into_owned().into()
        }),
        Column::text("FOR", |r: &Rule| human::span(r.hold_ms / 1000).into()).wide(),
        Column::text("ON", |r: &Rule| clean(&r.hosts).into_owned().into()).wide(),
        Column::text("VERSION", |r: &Rule| r.version.to_string().into()).wide(),
        Column::text("SAVED", |r: &Rule| human::moment(r.saved_ms).into()).wide(),
        Column::text("BY", |r: &Rule| clean(&r.saved_by).into_owned().into()).wide(),
    ];
    app.out.list(rules, &columns, |r| r.name.clone())
}

async fn attempt(app: &App, args: &TryArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let path = PathBuf::from(&args.what);
    let text = if args.what == "-" || path.exists() {
        let text = super::runbook::read(&path)?;
        check(&hub, &path, &text).await?;
        text
    } else {
        hub.ask(&Show { name: args.what.clone(), version: None }).await?.text
    };
    let to_ms = args.until.map_or_else(clock::now_ms, |when| when.ms(clock::now_ms()));
    let span = u64::try_from(args.span.as_millis()).unwrap_or(u64::MAX);
    let from_ms = to_ms.saturating_sub(span);
    let ask = Try { text, hosts: args.hosts.clone(), from_ms, to_ms };
    let tried: Tried = hub.client.call(None, &ask, app.patience_or(PATIENCE)).await?;
    let columns = [
        Column::text("HOST", |f: &Fired| f.name.as_str().into()),
        Column::text("WHAT", |f| clean(&f.instance).into_owned().into()),
        Column::text("FROM", |f| human::moment(f.from_ms).into()),
        Column::text("UNTIL", |f: &Fired| {
            f.until_ms.map_or_else(|| "it goes on".into(), |ms| human::moment(ms).into())
        }),
        Column::text("LASTED", |f: &Fired| {
            let lasted = f.until_ms.map(|until| until.saturating_sub(f.from_ms) / 1000);
            lasted.map(human::span).unwrap_or_default().into()
        }),
    ];
    if matches!(app.out.format, Format::Table | Format::Wide | Format::Name | Format::Csv) {
        app.out.list(&tried.fired, &columns, |f| f.name.clone())?;
    } else {
        app.out.one(&tried, &[], "")?;
    }
    if tried.hosts == 0 {
        app.out.note("no host that it is for has these figures in that time");
        return Ok(Exit::NoMatch);
    }
    let times = match tried.times {
        0 => "it would not have fired".to_owned(),
        1 => "it would have fired once".to_owned(),
        n => format!("it would have fired {n} times"),
    };
    app.out.note(&format!(
        "{times} on {} between {} and {}",
        human::count(tried.hosts.into(), "host"),
        human::moment(tried.from_ms),
        human::moment(tried.to_ms)
    ));
    Ok(Exit::Ok)
}
