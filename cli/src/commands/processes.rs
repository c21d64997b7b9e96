//! `ps`, `kill` and `renice`: processes of hosts.

mod table;

use crate::App;
use crate::args::{self, Watch, Yes, signal_name};
use crate::connect::{AT_ONCE, Hub, Target};
use crate::exit::{Exit, Failure};
use crate::output::Format;
use crate::screen::Screen;
use clap::Args;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::processes::{self, Change, List, Process, Renice, Signal};
use cmdr_protocol::{CallError, HostId};
use std::collections::BTreeMap;
use table::{Row, Sort, View};
use tokio::sync::mpsc;

/// Show processes of one host or more.
#[derive(Debug, Args)]
pub struct PsArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Only those whose command, name, user or number matches this regular expression.
    #[arg(short, long, value_name = "REGEX")]
    filter: Option<regex::Regex>,

    /// Children below their parents.
    #[arg(long, conflicts_with = "sort")]
    tree: bool,

    /// What comes first: cpu, mem, pid, user, start, threads or command.
    #[arg(long, value_enum, default_value_t, value_name = "KEY", hide_possible_values = true)]
    sort: Sort,

    /// Only the first N of each host.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,

    #[command(flatten)]
    watch: Watch,
}

/// Send a signal to processes of a host.
///
/// The process is looked up first, and the signal goes to that one only: never to another that has
/// got its number since.
#[derive(Debug, Args)]
pub struct KillArgs {
    /// Which host.
    host: String,

    /// Its numbers.
    #[arg(required = true, value_parser = clap::value_parser!(u32).range(1..))]
    pid: Vec<u32>,

    /// Signal, by name or number.
    #[arg(short, long, default_value = "TERM", value_parser = args::signal)]
    signal: i32,

    #[command(flatten)]
    yes: Yes,
}

/// Set the niceness of a process.
#[derive(Debug, Args)]
pub struct ReniceArgs {
    /// Which host.
    host: String,

    /// Its number.
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pid: u32,

    /// From -20 (first served) to 19.
    #[arg(allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-20..=19))]
    nice: i32,

    #[command(flatten)]
    yes: Yes,
}

/// The table of one host, kept up to date.
#[derive(Debug, Default)]
struct Table {
    processes: BTreeMap<u32, Process>,
}

impl Table {
    fn apply(&mut self, change: Change) {
        if change.reset {
            self.processes.clear();
        }
        for pid in change.gone {
            self.processes.remove(&pid);
        }
        for process in change.put {
            self.processes.insert(process.pid, process);
        }
        let all = &mut self.processes;
        each(all, change.cpu, |p, v| p.cpu = v);
        each(all, change.memory, |p, v| p.memory = v);
        each(all, change.read, |p, v| p.read = Some(v));
        each(all, change.written, |p, v| p.written = Some(v));
        each(all, change.threads, |p, v| p.threads = v);
        each(all, change.state, |p, v| p.state = v);
    }
}

fn each<V>(all: &mut BTreeMap<u32, Process>, news: Vec<(u32, V)>, set: impl Fn(&mut Process, V)) {
    for (pid, value) in news {
        if let Some(process) = all.get_mut(&pid) {
            set(process, value);
        }
    }
}

pub(super) async fn ps(app: &App, args: &PsArgs) -> Result<Exit, Failure> {
    let screen = Screen::new(app, args.watch.watch.is_some())?;
    let hub = Hub::connect(app).await?;
    let targets = hub.resolve(&args.selector).await?;
    let view = View {
        filter: args.filter.clone(),
        tree: args.tree,
        sort: args.sort,
        limit: args.limit,
        many: targets.len() > 1,
    };
    if args.watch.watch.is_some() {
        return watch(app, &hub, &targets, args, &view, screen).await;
    }
    let (mut rows, mut exit) = (Vec::new(), Exit::Ok);
    for (target, answer) in hub.ask_hosts(&targets, &List::default()).await {
        match answer {
            Ok(listing) => rows.extend(view.rows(&target.name, listing.processes)),
            Err(failure) => {
                app.out.warn(&about(&target.name, &failure.message));
                exit = exit.worst(failure.exit);
            }
        }
    }
    // Heads without rows would look like a host without processes.
    if exit == Exit::Ok || !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(&rows, &view.columns(), Row::name)?;
    }
    Ok(exit)
}

/// A message with the host's name before it, unless it begins with that itself.
pub(super) fn about(name: &str, message: &str) -> String {
    if message.starts_with(&format!("{name} ")) {
        return message.to_owned();
    }
    format!("{name}: {message}")
}

type Told = (usize, Option<Result<Change, CallError>>);

async fn watch(
    app: &App,
    hub: &Hub,
    targets: &[Target],
    args: &PsArgs,
    view: &View,
    mut screen: Screen,
) -> Result<Exit, Failure> {
    let interval = args.watch.watch.unwrap_or_default();
    let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    let (send, mut news) = mpsc::channel::<Told>(AT_ONCE);
    for (at, target) in targets.iter().enumerate() {
        let (send, client, id) = (send.clone(), hub.client.clone(), target.id);
        // Ends with the program, or when its host does.
        tokio::spawn(async move {
            let mut feed = match client.feed(Some(id), &processes::Watch { interval_ms }).await {
                Ok(feed) => feed,
                Err(e) => return drop(send.send((at, Some(Err(e)))).await),
            };
            loop {
                let item = feed.next().await;
                let over = !matches!(item, Some(Ok(_)));
                if send.send((at, item)).await.is_err() || over {
                    return;
                }
            }
        });
    }
    drop(send);
    let mut tables: Vec<Table> = targets.iter().map(|_| Table::default()).collect();
    let mut exit = Exit::Ok;
    while let Some(first) = news.recv().await {
        let mut changed = Vec::new();
        let mut next = Some(first);
        // All that is there, then one redraw.
        while let Some((at, told)) = next {
            let name = &targets[at].name;
            match told {
                Some(Ok(change)) => {
                    tables[at].apply(change);
                    changed.push(at);
                }
                Some(Err(e)) => {
                    app.out.warn(&about(name, &e.message));
                    exit = exit.worst(Exit::of(e.kind));
                }
                None => {
                    app.out.warn(&format!("{name}: ended the table"));
                    exit = exit.worst(Exit::Unreachable);
                }
            }
            next = news.try_recv().ok();
        }
        changed.dedup();
        let shown: Vec<usize> = match app.out.format {
            Format::Ndjson => changed,
            _ => (0..targets.len()).collect(),
        };
        if tables.iter().all(|table| table.processes.is_empty()) && app.out.format.is_table() {
            continue;
        }
        let rows: Vec<_> = shown
            .into_iter()
            .flat_map(|at| {
                view.rows(&targets[at].name, tables[at].processes.values().cloned().collect())
            })
            .collect();
        screen.show(&app.out.render(&rows, &view.columns(), Row::name)?)?;
    }
    Ok(exit)
}

/// The process that has this number now.
async fn find(hub: &Hub, host: &Target, pids: &[u32]) -> Result<Vec<Process>, Failure> {
    let listing = hub.ask_host::<List>(host.id, &List::default()).await?;
    pids.iter()
        .map(|pid| {
            listing
                .processes
                .iter()
                .find(|p| p.pid == *pid)
                .cloned()
                .ok_or_else(|| Failure::failed(format!("{} has no process {pid}", host.name)))
        })
        .collect()
}

fn shown(process: &Process) -> String {
    let command = if process.command.is_empty() { &process.name } else { &process.command };
    format!("{} of {}: {}", process.pid, process.user, clean_to_width(command, 60))
}

pub(super) async fn kill(app: &App, args: &KillArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    let processes = find(&hub, &host, &args.pid).await?;
    let name = signal_name(args.signal);
    let list: Vec<_> = processes.iter().map(shown).collect();
    let question = format!("Send {name} on {} to {}?", host.name, list.join("; "));
    if let Some(first) = processes.first() {
        let call = Signal { pid: first.pid, start: first.start, signal: args.signal };
        hub.confirm(app, args.yes, (&call, Some(host.id)), (&question, "yes")).await?;
    }
    let mut exit = Exit::Ok;
    for process in &processes {
        match signal(&hub, host.id, process, args.signal).await {
            Ok(()) => app.out.note(&format!("{}: {name} to {}", host.name, shown(process))),
            Err(failure) => {
                app.out.warn(&format!("{}: {}: {}", host.name, process.pid, failure.message));
                exit = exit.worst(failure.exit);
            }
        }
    }
    Ok(exit)
}

async fn signal(hub: &Hub, host: HostId, process: &Process, signal: i32) -> Result<(), Failure> {
    hub.ask_host(host, &Signal { pid: process.pid, start: process.start, signal }).await?;
    Ok(())
}

pub(super) async fn renice(app: &App, args: &ReniceArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(&args.host).await?;
    for process in find(&hub, &host, &[args.pid]).await? {
        let call = Renice { pid: process.pid, start: process.start, nice: args.nice };
        hub.ask_host(host.id, &call).await?;
        app.out.note(&format!(
            "{}: niceness {} to {} for {}",
            host.name,
            process.nice,
            args.nice,
            shown(&process)
        ));
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_follows_every_kind_of_change() {
        let process = |pid, cpu| Process { pid, cpu, ..Process::default() };
        let mut table = Table::default();
        table.apply(Change {
            reset: true,
            put: vec![process(1, 10), process(2, 20)],
            ..Change::default()
        });
        table.apply(Change {
            gone: vec![1],
            put: vec![process(3, 30)],
            cpu: vec![(2, 25), (9, 1)],
            memory: vec![(3, 7)],
            state: vec![(2, "R".into())],
            ..Change::default()
        });
        let expected = [
            Process { state: "R".into(), ..process(2, 25) },
            Process { memory: 7, ..process(3, 30) },
        ];
        assert_eq!(table.processes.into_values().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_host_is_named_once() {
        assert_eq!(about("web1", "web1 is away"), "web1 is away");
        assert_eq!(about("web1", "web10 is away"), "web1: web10 is away");
    }
}
