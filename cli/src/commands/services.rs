//! `services`: units of hosts, and acts on them that wait for their end.

use super::processes::about;
use crate::App;
use crate::args::{self, Yes};
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Paint};
use clap::{Args, Subcommand};
use cmdr_protocol::Call;
use cmdr_protocol::services::{
    Disable, Done, Enable, List, Mask, Reload, ResetFailed, Restart, Show, Start, Stop, Unit,
    Unmask,
};
use regex::Regex;
use serde::Serialize;
use std::time::Duration;

/// Show services (units of systemd) of one host or more, and act on them.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ServicesArgs {
    #[command(subcommand)]
    act: Option<Act>,

    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector, required = true)]
    selector: Option<String>,

    /// Only those that have failed.
    #[arg(long)]
    failed: bool,

    /// Only those that are in this state: active, inactive, failed, activating and so on.
    #[arg(long, value_name = "STATE")]
    state: Vec<String>,

    /// Only these kinds: service, socket, timer, mount and so on, or all [default: the first three,
    /// targets and paths].
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,

    /// Only those whose name or description matches this regular expression.
    #[arg(short, long, value_name = "REGEX")]
    filter: Option<Regex>,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Start it.
    Start(OnUnit),
    /// Stop it.
    Stop(OnUnit),
    /// Stop and start it.
    Restart(OnUnit),
    /// Let it read its settings anew.
    Reload(OnUnit),
    /// Let it begin with the host.
    Enable(OnUnit),
    /// Let it begin with the host no more.
    Disable(OnUnit),
    /// Keep it from being started at all.
    Mask(OnUnit),
    /// Take that back.
    Unmask(OnUnit),
    /// Forget that it has failed.
    ResetFailed(OnUnit),
    /// Show the files that say what it is.
    Show(ShowArgs),
}

#[derive(Debug, Args)]
struct OnUnit {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Its name; without an ending it is a service.
    #[arg(value_parser = whole)]
    unit: String,

    /// Also when what one needs to reach the host hangs on it.
    #[arg(long)]
    protected: bool,

    #[command(flatten)]
    yes: Yes,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Which host.
    host: String,

    /// Its name; without an ending it is a service.
    #[arg(value_parser = whole)]
    unit: String,
}

/// How long an act may take unless `--timeout` says otherwise: the host waits a little less.
const PATIENCE: Duration = Duration::from_mins(2);

/// The whole name of a unit.
fn whole(text: &str) -> Result<String, String> {
    const KINDS: [&str; 11] = [
        "service",
        "socket",
        "target",
        "timer",
        "path",
        "mount",
        "automount",
        "swap",
        "slice",
        "scope",
        "device",
    ];
    if text.is_empty() || text.contains(['/', ' ']) {
        return Err(format!("'{text}' is not the name of a unit such as nginx or backup.timer"));
    }
    let kind = text.rsplit_once('.').map(|(_, kind)| kind);
    if kind.is_some_and(|kind| KINDS.contains(&kind)) {
        return Ok(text.to_owned());
    }
    Ok(format!("{text}.service"))
}

/// One unit as data: the field names are a promise.
#[derive(Debug, Serialize)]
struct Row {
    host: String,
    unit: String,
    load: String,
    active: String,
    sub: String,
    enabled: String,
    pid: Option<u32>,
    memory: Option<u64>,
    since: Option<String>,
    protected: Option<String>,
    description: String,
    #[serde(skip)]
    age: String,
}

impl Row {
    fn new(host: &str, unit: Unit) -> Self {
        let since_ms = (unit.since_s > 0).then_some(unit.since_s * 1000);
        Self {
            host: host.to_owned(),
            unit: unit.name,
            load: unit.load,
            active: unit.active,
            sub: unit.sub,
            enabled: unit.enabled,
            pid: (unit.pid > 0).then_some(unit.pid),
            memory: unit.memory,
            since: since_ms.map(human::moment),
            protected: (!unit.protected.is_empty()).then_some(unit.protected),
            description: unit.description,
            age: since_ms
                .map_or_else(String::new, |ms| human::ago(Some(ms), cmdr_link::clock::now_ms())),
        }
    }

    fn name(&self) -> String {
        self.unit.clone()
    }
}

fn columns(many: bool) -> Vec<Column<Row>> {
    let mut columns = Vec::new();
    if many {
        columns.push(Column::text("HOST", |r: &Row| r.host.as_str().into()));
    }
    columns.extend([
        Column::text("UNIT", |r: &Row| r.unit.as_str().into()),
        Column::text("LOAD", |r: &Row| r.load.as_str().into()).wide(),
        Column::text("ACTIVE", |r: &Row| {
            let paint = match r.active.as_str() {
                "active" => Paint::Good,
                "failed" => Paint::Bad,
                "activating" | "deactivating" | "reloading" => Paint::Warn,
                _ => Paint::Dim,
            };
            Cell::painted(r.active.as_str(), paint)
        }),
        Column::text("SUB", |r: &Row| r.sub.as_str().into()),
        Column::text("ENABLED", |r: &Row| r.enabled.as_str().into()),
        Column::figure("PID", |r: &Row| r.pid.map(|p| p.to_string().into()).unwrap_or_default()),
        Column::figure("MEM", |r: &Row| {
            r.memory.map(|n| human::bytes(n).into()).unwrap_or_default()
        }),
        Column::figure("SINCE", |r: &Row| r.age.as_str().into()),
        Column::text("DESCRIPTION", |r: &Row| r.description.as_str().into()),
    ]);
    columns
}

pub(super) async fn run(app: &App, args: &ServicesArgs) -> Result<Exit, Failure> {
    match &args.act {
        None => list(app, &args.list).await,
        Some(Act::Show(args)) => show(app, args).await,
        Some(Act::Start(on)) => act(app, on, "start", |unit| Start { unit }).await,
        Some(Act::Stop(on)) => act(app, on, "stop", |unit| Stop { unit }).await,
        Some(Act::Restart(on)) => act(app, on, "restart", |unit| Restart { unit }).await,
        Some(Act::Reload(on)) => act(app, on, "reload", |unit| Reload { unit }).await,
        Some(Act::Enable(on)) => act(app, on, "enable", |unit| Enable { unit }).await,
        Some(Act::Disable(on)) => act(app, on, "disable", |unit| Disable { unit }).await,
        Some(Act::Mask(on)) => act(app, on, "mask", |unit| Mask { unit }).await,
        Some(Act::Unmask(on)) => act(app, on, "unmask", |unit| Unmask { unit }).await,
        Some(Act::ResetFailed(on)) => {
            act(app, on, "reset-failed", |unit| ResetFailed { unit }).await
        }
    }
}

async fn list(app: &App, args: &ListArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(args.selector.as_deref().unwrap_or_default()).await?;
    let kinds = args.kind.iter().map(|k| if k == "all" { "*".to_owned() } else { k.clone() });
    let call = List { kinds: kinds.collect(), ..List::default() };
    let wants = |unit: &Unit| {
        (!args.failed || unit.active == "failed")
            && (args.state.is_empty() || args.state.contains(&unit.active))
            && args
                .filter
                .as_ref()
                .is_none_or(|f| f.is_match(&unit.name) || f.is_match(&unit.description))
    };
    let (mut rows, mut exit) = (Vec::new(), Exit::Ok);
    for (target, answer) in hub.ask_hosts(&targets, &call).await {
        match answer {
            Ok(listing) => {
                if listing.left_out > 0 {
                    let n = listing.left_out;
                    app.out.note(&format!("{}: {n} more units are left out", target.name));
                }
                let units = listing.units.into_iter().filter(wants);
                rows.extend(units.map(|unit| Row::new(&target.name, unit)));
            }
            Err(failure) => {
                app.out.warn(&about(&target.name, &failure.message));
                exit = exit.worst(failure.exit);
            }
        }
    }
    if exit == Exit::Ok || !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(&rows, &columns(targets.len() > 1), Row::name)?;
    }
    Ok(exit)
}

/// What came of an act on one host as data.
#[derive(Debug, Serialize)]
struct Outcome {
    host: String,
    unit: String,
    verb: String,
    result: String,
    active: String,
    sub: String,
    enabled: String,
    lines: Vec<String>,
}

fn outcomes() -> Vec<Column<Outcome>> {
    vec![
        Column::text("HOST", |o: &Outcome| o.host.as_str().into()),
        Column::text("UNIT", |o: &Outcome| o.unit.as_str().into()),
        Column::text("RESULT", |o: &Outcome| {
            let good = matches!(o.result.as_str(), "done" | "skipped" | "already");
            Cell::painted(o.result.as_str(), if good { Paint::Good } else { Paint::Bad })
        }),
        Column::text("ACTIVE", |o: &Outcome| o.active.as_str().into()),
        Column::text("SUB", |o: &Outcome| o.sub.as_str().into()),
        Column::text("ENABLED", |o: &Outcome| o.enabled.as_str().into()),
    ]
}

async fn act<C: Call<Reply = Done>>(
    app: &App,
    on: &OnUnit,
    verb: &str,
    make: impl Fn(String) -> C,
) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&on.selector).await?;
    confirm(app, &hub, on, verb, &targets).await?;
    let patience = app.patience_or(PATIENCE);
    let (mut rows, mut exit) = (Vec::new(), Exit::Ok);
    let call = make(on.unit.clone());
    for (target, answer) in hub.ask_hosts_within(&targets, &call, patience).await {
        match answer {
            Ok(done) => {
                if !done.is_ok() {
                    exit = exit.worst(Exit::Failed);
                    app.out.warn(&format!("{}: {verb} {}: {}", target.name, on.unit, done.result));
                    for line in &done.lines {
                        app.out.note(&format!("  {line}"));
                    }
                }
                let result = if done.already { "already".to_owned() } else { done.result };
                rows.push(Outcome {
                    host: target.name.clone(),
                    unit: on.unit.clone(),
                    verb: verb.to_owned(),
                    result,
                    active: done.unit.active,
                    sub: done.unit.sub,
                    enabled: done.unit.enabled,
                    lines: done.lines,
                });
            }
            Err(failure) => {
                app.out.warn(&about(&target.name, &failure.message));
                exit = exit.worst(failure.exit);
            }
        }
    }
    if !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(&rows, &outcomes(), |o| format!("{}/{}", o.host, o.unit))?;
    }
    Ok(exit)
}

/// Asks before anything is done; what one needs to reach the host is asked about by its name.
async fn confirm(
    app: &App,
    hub: &Hub,
    on: &OnUnit,
    verb: &str,
    targets: &[Target],
) -> Result<(), Failure> {
    let harms = ["stop", "restart", "disable", "mask"].contains(&verb);
    let mut hangs = Vec::new();
    if harms && !on.protected {
        for (target, answer) in hub.ask_hosts(targets, &Show { unit: on.unit.clone() }).await {
            if let Ok(shown) = answer
                && !shown.unit.protected.is_empty()
            {
                hangs.push((target, shown.unit.protected));
            }
        }
    }
    if let Some((target, what)) = hangs.first() {
        let question = format!(
            "{} on {} is what the {what} of that host hangs on: to {verb} it may cut it off.",
            on.unit, target.name
        );
        if on.yes.yes {
            return Err(Failure::usage(question).hint("if that is meant, add --protected"));
        }
        return app.out.confirm(false, &question, &on.unit).await;
    }
    let names: Vec<_> = targets.iter().map(|t| t.name.as_str()).collect();
    match targets.len() {
        1 => {
            let question = format!("{verb} {} on {}?", on.unit, names[0]);
            app.out.confirm(on.yes.yes, &question, "yes").await
        }
        many => {
            let question = format!("{verb} {} on {many} hosts: {}?", on.unit, names.join(", "));
            app.out.confirm(on.yes.yes, &question, &many.to_string()).await
        }
    }
}

async fn show(app: &App, args: &ShowArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    let shown = hub.ask_host(host.id, &Show { unit: args.unit.clone() }).await?;
    if !app.out.format.is_table() {
        app.out.one(&shown, &[], &shown.unit.name)?;
        return Ok(Exit::Ok);
    }
    let unit = &shown.unit;
    let mut text = format!("# {}: {} ({}), {}\n", unit.name, unit.active, unit.sub, unit.enabled);
    for file in &shown.files {
        text.extend(["# ", &file.path, "\n"]);
        if !file.note.is_empty() {
            text.extend(["# ", &file.note, "\n"]);
        }
        text.push_str(file.text.trim_end());
        text.push('\n');
    }
    let lines = text.lines().map(|line| cmdr_protocol::display::clean(line).into_owned() + "\n");
    app.out.data(&lines.collect::<String>())?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_an_ending_is_a_service() {
        assert_eq!(whole("nginx").unwrap(), "nginx.service");
        assert_eq!(whole("backup.timer").unwrap(), "backup.timer");
        assert_eq!(whole("org.x").unwrap(), "org.x.service");
        assert!(whole("").is_err() && whole("../x").is_err());
    }
}
