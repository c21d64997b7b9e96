//! `run`: orders that the hub keeps: what becomes of them, and a hand on them.

pub(super) mod flags;
mod fold;
mod schedules;
mod stop_all;

use super::exec::follow::{Whose, follow, stop, whole};
use super::interrupted;
use crate::App;
use crate::args::Yes;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Format, Paint, json, json_line};
use clap::{Args, Subcommand};
use cmdr_link::clock;
use cmdr_protocol::RunId;
use cmdr_protocol::display::clean;
use cmdr_protocol::runs::{
    Counts, Delete, List, Output, Pause, Resume, Retry, Run, RunState, Start, Started, Stop,
    Target, TargetState,
};
use flags::RunFlags;
use serde::Serialize;

/// Runs: orders to many hosts that the hub keeps until each host has its end.
///
/// They are made with cmdr exec on several hosts or with one of its options for runs (--detach, --waves,
/// --halt, …), cmdr push, cmdr packages, cmdr runbook run and cmdr config push; by the clock with
/// --schedule of each. A run goes on when we leave, when a link is cut and when the hub begins anew; no host
/// is forgotten and none does it twice. An ID may be cut short as long as it means one run.
#[derive(Debug, Args)]
#[command(visible_alias = "runs")]
pub struct RunArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List runs, newest first.
    #[command(alias = "list")]
    Ls {
        /// Only those that go on.
        #[arg(long)]
        open: bool,
        /// Only this operator's.
        #[arg(long, value_name = "NAME", default_value = "")]
        operator: String,
        /// How many.
        #[arg(short = 'n', long, default_value_t = 50, value_name = "N")]
        limit: u32,
    },
    /// Show a run and each of its hosts.
    Show {
        /// Which.
        id: String,
        /// Only hosts that did not end well.
        #[arg(long)]
        failed: bool,
        /// Equal results once, and how the others differ.
        #[arg(long)]
        fold: bool,
    },
    /// Follow a run until it is over, from its beginning; the exit code is that of the run.
    Watch {
        /// Which.
        id: String,
    },
    /// Print what hosts of a run have printed.
    Output {
        /// Which.
        id: String,
        /// Only these hosts.
        hosts: Vec<String>,
        /// Go on until the run is over.
        #[arg(short, long)]
        follow: bool,
    },
    /// End a run everywhere at once, or all runs.
    Stop {
        /// Which.
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// All that go on, as far as you may stop them; which they were is listed.
        #[arg(long, conflicts_with = "id")]
        all: bool,
        /// Why; kept with the run.
        #[arg(long, short, default_value = "")]
        reason: String,
    },
    /// Runs that begin by the clock.
    Schedule(schedules::ScheduleArgs),
    /// Send nothing more until it is resumed; what runs goes on.
    Pause {
        /// Which.
        id: String,
    },
    /// Go on with a run that was paused.
    Resume {
        /// Which.
        id: String,
    },
    /// Delete runs that are over, with all that was kept of them. Their idempotency keys stay used.
    #[command(visible_alias = "delete")]
    Rm {
        /// Which.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        yes: Yes,
    },
    /// Try again on hosts where it failed, was lost or could not be reached.
    Retry {
        /// Which.
        id: String,
        /// Also on hosts that were never reached because it was stopped or halted.
        #[arg(long)]
        cancelled: bool,
        /// The number of hosts, where the hub wants it confirmed.
        #[arg(long, value_name = "N")]
        confirm: Option<u32>,
        /// Do not follow it.
        #[arg(long)]
        detach: bool,
    },
}

pub(super) async fn run(app: &App, args: &RunArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let list = Verb::Ls { open: false, operator: String::new(), limit: 50 };
    match args.verb.as_ref().unwrap_or(&list) {
        Verb::Ls { open, operator, limit } => {
            let mut list =
                List { open: *open, operator: operator.clone(), limit: *limit, ..List::default() };
            let mut listing = hub.ask(&list).await?;
            // A page may have fewer than were asked for.
            while listing.more && !listing.next.is_empty() && list.limit > listing.runs.len() as u32
            {
                (list.after, list.limit) = (listing.next, *limit - listing.runs.len() as u32);
                let page = hub.ask(&list).await?;
                list.limit = *limit;
                (listing.more, listing.next) = (page.more, page.next);
                listing.runs.extend(page.runs);
            }
            table(app, &listing.runs)?;
            if listing.more {
                app.out.hint("there are older ones: -n N shows more");
            }
        }
        Verb::Show { id, failed, fold } => {
            let id = find(&hub, id).await?;
            let mut shown = whole(&hub, id).await?;
            if *fold {
                fold::fold(app, &hub, id, &shown.targets).await?;
                return Ok(Exit::Ok);
            }
            if *failed {
                shown
                    .targets
                    .retain(|target| target.state.is_end() && target.state != TargetState::Ok);
            }
            if app.out.format.is_table() {
                head(app, &shown.run)?;
            }
            if matches!(app.out.format, Format::Json | Format::Yaml) {
                app.out.one(&shown, &[], &id.to_string())?;
            } else {
                hosts(app, &shown.targets)?;
            }
        }
        Verb::Watch { id } => {
            let id = find(&hub, id).await?;
            return watch(app, hub, id).await;
        }
        Verb::Output { id, hosts, follow } => {
            let id = find(&hub, id).await?;
            print(app, &hub, id, hosts, *follow).await?;
        }
        Verb::Schedule(args) => return schedules::run(app, &hub, args).await,
        Verb::Stop { id: None, reason, .. } => return stop_all::run(app, &hub, reason).await,
        Verb::Stop { id: Some(id), reason, .. } => {
            let run = find(&hub, id).await?;
            let run = hub.ask(&Stop { run, why: reason.clone() }).await?;
            told(app, &run)?;
        }
        Verb::Pause { id } => {
            let run = find(&hub, id).await?;
            told(app, &hub.ask(&Pause { run }).await?)?;
        }
        Verb::Resume { id } => {
            let run = find(&hub, id).await?;
            told(app, &hub.ask(&Resume { run }).await?)?;
        }
        Verb::Rm { ids, yes } => return remove(app, &hub, ids, *yes).await,
        Verb::Retry { id, cancelled, confirm, detach } => {
            let run = find(&hub, id).await?;
            let (cancelled, confirm) = (*cancelled, *confirm);
            let retry = Retry { run, targets: Vec::new(), cancelled, confirm };
            let started = hub.ask(&retry).await?;
            app.out.note(&format!(
                "trying again on {}",
                human::count(u64::from(started.targets), "host")
            ));
            if *detach {
                return answer(app, started);
            }
            return watch(app, hub, run).await;
        }
    }
    Ok(Exit::Ok)
}

async fn remove(app: &App, hub: &Hub, ids: &[String], yes: Yes) -> Result<Exit, Failure> {
    let mut runs = Vec::new();
    for id in ids {
        let run = find(hub, id).await?;
        if !runs.contains(&run) {
            runs.push(run);
        }
    }
    if let Some(&run) = runs.first() {
        let all = human::count(runs.len() as u64, "run");
        let question = format!("Delete {all} for good, with what hosts have printed?");
        hub.confirm(app, yes, (&Delete { run }, None), (&question, "yes")).await?;
    }
    let mut worst = Exit::Ok;
    for run in runs {
        match hub.client.call(None, &Delete { run }, hub.patience()).await {
            Ok(_) => app.out.note(&format!("run {run} is deleted")),
            Err(e) => {
                let failure = Failure::from_hub(e);
                worst = worst.worst(failure.exit);
                app.out.failure(&failure);
            }
        }
    }
    Ok(worst)
}

/// Makes a run of an order and shows what comes of it, as far as the flags want: a plan alone, or a schedule, too.
pub(super) async fn begin(
    app: &App,
    hub: Hub,
    mut start: Start,
    flags: &RunFlags,
) -> Result<Exit, Failure> {
    if flags.plan {
        return super::exec::planned(app, &flags::plan(&hub, &start).await?);
    }
    flags::confirm(app, &hub, &mut start).await?;
    if let Some(schedule) = flags.schedule(&start) {
        return schedules::put(app, &hub, schedule).await;
    }
    let started = hub.ask(&start).await?;
    if flags.detach {
        return answer(app, started);
    }
    let run = started.run.ok_or_else(|| Failure::failed("the hub did not say which run it is"))?;
    let hosts = human::count(u64::from(started.targets), "host");
    app.out.detail(&format!("run {run} on {hosts}"));
    if flags.fold {
        return folded(app, hub, run).await;
    }
    follow(app, hub, run, true, Whose::Here).await
}

/// Waits until a run is over and writes its results folded.
async fn folded(app: &App, hub: Hub, run: RunId) -> Result<Exit, Failure> {
    let watch =
        cmdr_protocol::runs::Watch { run, since: String::new(), output: false, stay: false };
    let mut feed = hub.client.feed(None, &watch).await.map_err(Failure::from_hub)?;
    let mut stopped = false;
    loop {
        tokio::select! {
            biased;
            () = interrupted() => {
                if stopped || !stop(app, &hub, run).await {
                    return Ok(Exit::Cancelled);
                }
                stopped = true;
            }
            item = feed.next() => {
                let Some(item) = item else { break };
                if item.map_err(Failure::from_hub)?.over {
                    break;
                }
            }
        }
    }
    let shown = whole(&hub, run).await?;
    fold::fold(app, &hub, run, &shown.targets).await?;
    let ends = shown.targets.iter().map(|target| exit_of(target.state));
    let worst = ends.fold(Exit::Ok, Exit::worst);
    Ok(if stopped { Exit::Cancelled } else { worst })
}

const fn exit_of(state: TargetState) -> Exit {
    match state {
        TargetState::Ok => Exit::Ok,
        TargetState::Failed => Exit::Failed,
        TargetState::Refused => Exit::Denied,
        TargetState::Cancelled => Exit::Cancelled,
        _ => Exit::Unreachable,
    }
}

async fn watch(app: &App, hub: Hub, run: RunId) -> Result<Exit, Failure> {
    let own = hub.ask(&cmdr_protocol::runs::Show { run, from: u32::MAX }).await?.run.operator;
    let me = hub.ask(&cmdr_protocol::operators::WhoAmI {}).await?.name;
    follow(app, hub, run, own == me, Whose::Watched).await
}

#[derive(Serialize)]
struct Answer {
    run: String,
    targets: u32,
    already: bool,
}

fn answer(app: &App, started: Started) -> Result<Exit, Failure> {
    let run = started.run.map(|run| run.to_string()).unwrap_or_default();
    let answer = Answer { run: run.clone(), targets: started.targets, already: started.already };
    match app.out.format {
        Format::Json => app.out.data(&(json(&answer)? + "\n"))?,
        Format::Ndjson => app.out.data(&json_line(&answer)?)?,
        Format::Yaml => app.out.one(&answer, &[], &run)?,
        _ => app.out.data(&format!("{run}\n"))?,
    }
    let hosts = human::count(u64::from(started.targets), "host");
    app.out.note(&if started.already {
        format!("the run was there already, on {hosts}; nothing was begun now")
    } else {
        format!("on {hosts}; to follow it: cmdr run watch {run}")
    });
    Ok(Exit::Ok)
}

/// The run that an id, or a unique beginning of one, means.
pub(super) async fn find(hub: &Hub, text: &str) -> Result<RunId, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let text = text.to_ascii_lowercase();
    let runs = hub.ask(&List { id: text.clone(), limit: 10, ..List::default() }).await?.runs;
    let mut ids = runs.iter().filter_map(|run| run.id);
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => {
            Err(Failure::new(Exit::NoMatch, format!("there is no run '{}'", clean(&text)))
                .hint("to see which there are: cmdr run ls"))
        }
        (Some(_), Some(_)) => {
            let all: Vec<_> =
                runs.iter().filter_map(|run| run.id).map(|id| id.to_string()).collect();
            Err(Failure::usage(format!("'{}' means several runs", clean(&text)))
                .hint(all.join(", ")))
        }
    }
}

fn paint(state: RunState) -> Paint {
    match state {
        RunState::Running => Paint::Good,
        RunState::Paused | RunState::Halting | RunState::Stopping => Paint::Warn,
        RunState::Halted | RunState::Stopped => Paint::Bad,
        _ => Paint::Plain,
    }
}

fn id(run: &Run) -> String {
    run.id.map(|id| id.to_string()).unwrap_or_default()
}

/// How the targets stand, in a few words.
fn standing(run: &Run) -> String {
    counted(&run.counts)
}

/// The same of counts alone.
pub(super) fn counted(counts: &Counts) -> String {
    let all = [
        (counts.queued, "queued"),
        (counts.sent, "sent"),
        (counts.running, "running"),
        (counts.ok, "ok"),
        (counts.failed, "failed"),
        (counts.timed_out, "timed_out"),
        (counts.cancelled, "cancelled"),
        (counts.lost, "lost"),
        (counts.unreachable, "unreachable"),
        (counts.refused, "refused"),
    ];
    let some = all.iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
}

fn table(app: &App, runs: &[Run]) -> Result<(), Failure> {
    let columns = [
        Column::text("ID", |r: &Run| id(r).into()),
        Column::text("STATE", |r: &Run| Cell::painted(r.state.as_str(), paint(r.state))),
        Column::text("AGE", |r: &Run| human::ago(Some(r.created_ms), clock::now_ms()).into()),
        Column::text("OPERATOR", |r: &Run| clean(&r.operator).into_owned().into()),
        Column::figure("HOSTS", |r: &Run| r.counts.targets.to_string().into()),
        Column::text("STAND", |r: &Run| {
            let bad = r.counts.bad() > 0;
            Cell::painted(standing(r), if bad { Paint::Bad } else { Paint::Plain })
        }),
        Column::text("ORDER", |r: &Run| clean(&r.what).into_owned().into()),
        Column::text("SELECTOR", |r: &Run| clean(&r.hosts).into_owned().into()).wide(),
        Column::text("NOTE", |r: &Run| clean(&r.note).into_owned().into()).wide(),
    ];
    app.out.list(runs, &columns, id)
}

fn told(app: &App, run: &Run) -> Result<(), Failure> {
    if app.out.format.is_table() {
        app.out.note(&format!("run {} is {}: {}", id(run), run.state, standing(run)));
        return Ok(());
    }
    app.out.one(run, &[], &id(run))
}

fn head(app: &App, run: &Run) -> Result<(), Failure> {
    let mut fields = vec![
        ("run", id(run)),
        ("state", run.state.to_string()),
        ("order", run.what.clone()),
        ("hosts", run.hosts.clone()),
        ("operator", run.operator.clone()),
        ("begun", human::moment(run.created_ms)),
        ("targets", standing(run)),
    ];
    if !run.why.is_empty() {
        fields.insert(2, ("why", run.why.clone()));
    }
    if !run.note.is_empty() {
        fields.push(("note", run.note.clone()));
    }
    if !run.schedule.is_empty() {
        let due = run.due_ms.map(|due| format!(", due {}", human::moment(due))).unwrap_or_default();
        fields.push(("schedule", format!("{}{due}", run.schedule)));
    }
    if run.alone {
        let how = "its hosts did it by themselves: the hub was away when it was due";
        fields.push(("without hub", how.to_owned()));
    }
    if run.waves.len() > 1 {
        let wave = (run.wave + 1).min(run.waves.len() as u32);
        let sizes: Vec<_> = run.waves.iter().take(20).map(u32::to_string).collect();
        fields.push(("wave", format!("{wave} of {} ({})", run.waves.len(), sizes.join(", "))));
    }
    if run.lost > 0 {
        fields.push((
            "output",
            format!("{} kept, {} not", human::bytes(run.output), human::bytes(run.lost)),
        ));
    }
    app.out.one(run, &fields, &id(run))
}

fn hosts(app: &App, targets: &[Target]) -> Result<(), Failure> {
    let columns = [
        Column::text("HOST", |r: &Target| r.name.as_str().into()),
        Column::text("STATE", |r: &Target| {
            let paint = match r.state {
                TargetState::Ok => Paint::Good,
                state if state.is_end() => Paint::Bad,
                _ if r.away => Paint::Warn,
                _ => Paint::Plain,
            };
            let away = if r.away { " (away)" } else { "" };
            Cell::painted(format!("{}{away}", r.state), paint)
        }),
        Column::figure("CODE", |r: &Target| {
            r.code.map_or_else(|| "-".to_owned(), |c| c.to_string()).into()
        }),
        Column::figure("TOOK", |r: &Target| {
            r.took_ms
                .map_or_else(|| "-".to_owned(), |ms| format!("{:.1}s", ms as f64 / 1000.0))
                .into()
        }),
        Column::figure("OUTPUT", |r: &Target| human::bytes(r.stdout + r.stderr).into()),
        Column::figure("LOST", |r: &Target| human::bytes(r.lost).into()).wide(),
        Column::figure("TRY", |r: &Target| (r.attempt + 1).to_string().into()).wide(),
        Column::figure("WAVE", |r: &Target| (r.wave + 1).to_string().into()).wide(),
        Column::text("WHY", |r: &Target| {
            let late = r.late.map(|state| format!(" (told later: {state})")).unwrap_or_default();
            format!("{}{late}", clean(&r.why)).into()
        }),
    ];
    app.out.list(targets, &columns, |r: &Target| r.name.clone())
}

/// Writes what hosts have printed, as it is; of several, each line behind its host's name.
async fn print(
    app: &App,
    hub: &Hub,
    run: RunId,
    names: &[String],
    follow: bool,
) -> Result<(), Failure> {
    let shown = whole(hub, run).await?;
    let mut targets = Vec::new();
    for name in names {
        let target = shown.targets.iter().find(|target| target.name == *name);
        let target = target.ok_or_else(|| {
            Failure::new(Exit::NoMatch, format!("the run is not for '{}'", clean(name)))
        })?;
        targets.push(target.index);
    }
    let single = targets.len() == 1 || shown.targets.len() == 1;
    let output = Output { run, targets, since: String::new(), follow };
    let mut feed = hub.client.feed(None, &output).await.map_err(Failure::from_hub)?;
    let mut lines: std::collections::HashMap<u32, Vec<u8>> = std::collections::HashMap::new();
    let name = |index: u32| {
        let target = shown.targets.iter().find(|target| target.index == index);
        target.map_or_else(String::new, |target| target.name.clone())
    };
    let write = |index: u32, line: &[u8]| -> Result<(), Failure> {
        let text = [name(index).as_bytes(), b": ", line].concat();
        if app.out.tty_out {
            app.out.data(&(clean(&String::from_utf8_lossy(&text)).into_owned() + "\n"))
        } else {
            app.out.bytes(&[text.as_slice(), b"\n"].concat())
        }
    };
    while let Some(item) = feed.next().await {
        for piece in item.map_err(Failure::from_hub)?.output {
            if piece.lost > 0 {
                app.out.note(&format!(
                    "{}: {} bytes of output were not kept",
                    name(piece.target),
                    piece.lost
                ));
            }
            let bytes = [piece.stdout, piece.stderr].concat();
            if single {
                if app.out.tty_out {
                    let mut filter = cmdr_protocol::display::Filter::new();
                    app.out.data(&(filter.push(&bytes) + &filter.finish()))?;
                } else {
                    app.out.bytes(&bytes)?;
                }
                continue;
            }
            let held = lines.entry(piece.target).or_default();
            held.extend_from_slice(&bytes);
            while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = held.drain(..=end).collect();
                write(piece.target, &line[..end])?;
            }
        }
    }
    for (index, rest) in lines {
        if !rest.is_empty() {
            write(index, &rest)?;
        }
    }
    Ok(())
}
