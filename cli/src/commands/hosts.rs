//! `hosts`: which hosts there are, and who belongs to the fleet.

use crate::App;
use crate::args::{self, Watch, Yes};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::fleet::{Row, Watching};
use crate::human;
use crate::output::{Cell, Column, Paint};
use crate::screen::Screen;
use clap::{Args, Subcommand};
use cmdr_link::clock;
use cmdr_protocol::hostkeys::Rotate;
use cmdr_protocol::hosts::{Approve, Forget, HostState, Label, Reject, Rename};
use cmdr_protocol::selector;
use std::time::Duration;

/// List hosts, and manage which belong to the fleet.
///
/// Without a verb it lists. A host is named by its name, the beginning of its id, or a selector that
/// picks exactly one.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct HostsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,

    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List hosts with their newest figures.
    #[command(alias = "ls")]
    List(ListArgs),
    /// Show all that is known of one host.
    Show {
        /// Which.
        host: String,
    },
    /// Give a host another name.
    Rename {
        /// Which.
        host: String,
        /// Letters, digits, dots, dashes and underscores.
        name: String,
    },
    /// Set labels (KEY=VALUE) and remove them (KEY-).
    Label {
        /// Which.
        host: String,
        /// KEY=VALUE or KEY-.
        #[arg(required = true, value_name = "CHANGE")]
        changes: Vec<String>,
    },
    /// Give a host a new key; it stays the same host, and the old key is refused from then on.
    ///
    /// The agent makes it, and its link is cut once: what runs on the host through the hub is ended.
    RotateKey {
        /// Which.
        host: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Remove a host from the fleet: its key is unknown from then on.
    Forget {
        /// Which.
        host: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Take in a host whose key waits.
    Approve {
        /// Which.
        host: String,
        /// Label to begin with.
        #[arg(long, value_name = "KEY=VALUE", value_parser = args::label)]
        label: Vec<(String, String)>,
        #[command(flatten)]
        yes: Yes,
    },
    /// Say no to a key that waits.
    Reject {
        /// Which.
        host: String,
        #[command(flatten)]
        yes: Yes,
    },
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Which hosts [default: all].
    #[arg(value_parser = args::selector)]
    selector: Option<String>,

    /// Only hosts that wait for approval.
    #[arg(long, conflicts_with = "selector")]
    pending: bool,

    #[command(flatten)]
    watch: Watch,
}

/// Figures of hosts that have just come may be waited for so long.
const FIGURES_WAIT: Duration = Duration::from_millis(300);

pub(super) async fn run(app: &App, args: HostsArgs) -> Result<Exit, Failure> {
    let verb = args.verb.unwrap_or(Verb::List(args.list));
    match &verb {
        Verb::Rename { name, .. } => selector::check_name(name).map_err(Failure::usage)?,
        Verb::Label { changes, .. } => drop(parse_changes(changes)?),
        _ => {}
    }
    let hub = Hub::connect(app).await?;
    match verb {
        Verb::List(list) => return self::list(app, &hub, &list).await,
        Verb::Show { host } => return show(app, &hub, &host).await,
        Verb::Rename { host, name } => {
            let host = hub.one_host(&host).await?;
            hub.ask(&Rename { host: host.id, name: name.clone() }).await?;
            app.out.note(&format!("{} is now {name}", host.name));
        }
        Verb::Label { host, changes } => {
            let host = hub.one_host(&host).await?;
            let (set, remove) = parse_changes(&changes)?;
            let set = set.into_iter().collect();
            let labels = hub.ask(&Label { host: host.id, set, remove }).await?;
            app.out.note(&format!("{}: {}", host.name, shown_labels(&labels)));
        }
        Verb::RotateKey { host, yes } => {
            let host = hub.one_host(&host).await?;
            let question = format!(
                "Give {} a new key? Its link is cut once, and what runs there through the hub is ended.",
                host.name
            );
            let rotate = Rotate { host: host.id };
            hub.confirm(app, yes, (&rotate, None), (&question, &host.name)).await?;
            let rotated = hub.ask(&rotate).await?;
            app.out.note(&format!("{} has the new key {}", host.name, rotated.key));
        }
        Verb::Forget { host, yes } => {
            let host = hub.one_host_or_pending(&host).await?;
            let question = format!(
                "Forget {} with its name and labels? It has to join again with a token.",
                host.shown()
            );
            let forget = Forget { host: host.id };
            hub.confirm(app, yes, (&forget, None), (&question, &host.name)).await?;
            hub.ask(&forget).await?;
            app.out.note(&format!(
                "{} is forgotten, with its name and labels; when it joins again it begins under the \
                 name that its agent asks for",
                host.name
            ));
        }
        Verb::Approve { host, label, .. } => {
            let host = hub.one_host_or_pending(&host).await?;
            let labels = label.into_iter().collect();
            hub.ask(&Approve { host: host.id, labels }).await?;
            app.out.note(&format!("{} belongs to the fleet", host.name));
        }
        Verb::Reject { host, yes } => {
            let host = hub.one_host_or_pending(&host).await?;
            let (reject, question) =
                (Reject { host: host.id }, format!("Reject {}, now and later?", host.shown()));
            hub.confirm(app, yes, (&reject, None), (&question, "yes")).await?;
            hub.ask(&reject).await?;
            app.out.note(&format!("{} is rejected", host.name));
        }
    }
    Ok(Exit::Ok)
}

type Changes = (Vec<(String, String)>, Vec<String>);

/// Labels to set and keys to remove.
fn parse_changes(changes: &[String]) -> Result<Changes, Failure> {
    let (mut set, mut remove) = (Vec::new(), Vec::new());
    for change in changes {
        match change.strip_suffix('-').filter(|key| !key.contains('=')) {
            Some(key) => {
                selector::check_key(key).map_err(|e| Failure::usage(format!("'{change}': {e}")))?;
                remove.push(key.to_owned());
            }
            None => set.push(args::label(change).map_err(Failure::usage)?),
        }
    }
    Ok((set, remove))
}

fn shown_labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    pairs.join(",")
}

fn state(row: &Row) -> Cell {
    let paint = match row.state {
        HostState::Online => Paint::Good,
        // One that has joined and whose agent never ran has not failed.
        HostState::Away if row.facts.is_some() => Paint::Bad,
        _ => Paint::Warn,
    };
    Cell::painted(row.state.as_str(), paint)
}

fn columns() -> Vec<Column<Row>> {
    vec![
        Column::text("NAME", |r: &Row| r.name.as_str().into()),
        Column::text("STATE", state),
        Column::figure("CPU", |r: &Row| super::top::cpu(r)),
        Column::figure("MEM", |r: &Row| super::top::memory(r)),
        Column::figure("LOAD", |r: &Row| super::top::load(r)),
        Column::figure("DISK", |r: &Row| super::top::disk(r)),
        Column::figure("RTT", |r: &Row| super::top::rtt(r)),
        Column::text("SEEN", |r: &Row| r.seen.as_str().into()),
        Column::text("AGENT", |r: &Row| r.agent.as_str().into()),
        Column::text("ID", |r: &Row| r.id.as_str().into()).wide(),
        Column::text("ADDRESS", |r: &Row| r.address.as_str().into()).wide(),
        Column::text("OS", |r: &Row| {
            r.facts.as_ref().map(|f| f.os_version.as_str()).unwrap_or_default().into()
        })
        .wide(),
        Column::text("LAST DROP", |r: &Row| r.last_drop.as_str().into()).wide(),
        Column::text("LABELS", |r: &Row| shown_labels(&r.labels).into()),
    ]
}

async fn list(app: &App, hub: &Hub, args: &ListArgs) -> Result<Exit, Failure> {
    let selector = match (&args.selector, args.pending) {
        (_, true) => "state=pending",
        (Some(selector), _) => selector,
        (None, _) => "",
    };
    let interval = args.watch.watch.unwrap_or(Duration::from_millis(250));
    let mut screen = Screen::new(app, args.watch.watch.is_some())?;
    if args.selector.is_some() {
        hub.check(selector, args.watch.watch.is_some()).await?;
    }
    let mut watching = Watching::start(hub, selector, interval).await?;
    if args.watch.watch.is_none() {
        watching.settle(FIGURES_WAIT).await?;
        app.out.list(&watching.fleet.rows(clock::now_ms()), &columns(), |r| r.name.clone())?;
        return Ok(Exit::Ok);
    }
    let mut rows = watching.fleet.rows(clock::now_ms());
    loop {
        screen.show(&app.out.render(&rows, &columns(), |r| r.name.clone())?)?;
        rows = watching.next_rows(app.out.format).await?;
    }
}

async fn show(app: &App, hub: &Hub, text: &str) -> Result<Exit, Failure> {
    let host = hub.one_host_or_pending(text).await?;
    let selector = match host.state {
        HostState::Pending => format!("id={},state=pending", host.id),
        _ => format!("id={}", host.id),
    };
    let mut watching = Watching::start(hub, &selector, Duration::from_millis(250)).await?;
    watching.settle(FIGURES_WAIT).await?;
    let row = watching
        .fleet
        .row(&host.id, clock::now_ms())
        .ok_or_else(|| Failure::new(Exit::NoMatch, format!("{} has just gone", host.name)))?;
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let mut fields = vec![
        ("NAME", row.name.clone()),
        ("ID", row.id.clone()),
        ("STATE", row.state.to_string()),
        ("LABELS", shown_labels(&row.labels)),
        ("ADDRESS", row.address.clone()),
        ("AGENT", row.agent.clone()),
        ("JOINED", text(&row.joined)),
        ("ONLINE SINCE", text(&row.online_since)),
        ("LAST SEEN", text(&row.last_seen)),
        ("LAST DROP", row.last_drop.clone()),
        ("RTT", row.rtt_ms.map_or_else(|| "-".into(), |ms| format!("{ms} ms"))),
        ("CLOCK SKEW", row.skew_ms.map_or_else(|| "-".into(), |ms| format!("{ms} ms"))),
    ];
    if let Some(f) = &row.figures {
        fields.push(("CPU", format!("{}%", f.cpu_percent)));
        let (used, total) = (human::bytes(f.memory_used), human::bytes(f.memory_total));
        fields.push(("MEMORY", format!("{used} of {total}")));
        fields.push(("LOAD", f.load1.to_string()));
        fields.push(("FULLEST DISK", format!("{}%", f.disk_percent)));
        let (rx, tx) = (human::bytes(f.rx_bps), human::bytes(f.tx_bps));
        fields.push(("NETWORK", format!("{rx}/s in, {tx}/s out")));
    }
    if let Some(f) = &row.facts {
        fields.push(("HOST NAME", f.hostname.clone()));
        fields.push(("ADDRESSES", f.addresses.join(", ")));
        fields.push(("SYSTEM", f.os_version.clone()));
        fields.push(("KERNEL", format!("{} {}", f.kernel, f.arch)));
        fields.push(("PROCESSOR", format!("{} x {}", f.cores, f.cpu)));
        fields.push(("BOARD", f.board.clone()));
        fields.push(("VIRTUALIZATION", f.virtualization.clone()));
        fields.push(("MACHINE ID", f.machine_id.clone()));
        fields.push(("DOCKER", f.docker.clone().unwrap_or_else(|| "-".into())));
        fields.push(("BOOTED", human::moment(f.booted_at_ms)));
        for disk in &f.disks {
            let (free, total) = (human::bytes(disk.free), human::bytes(disk.total));
            fields.push((
                "DISK",
                format!("{} ({}, {}): {free} of {total} free", disk.mount, disk.device, disk.kind),
            ));
        }
    }
    app.out.one(&row, &fields, &row.name)?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_changes_set_and_remove() {
        let changes = ["role=web", "old-", "range=a-"].map(str::to_owned);
        let (set, remove) = parse_changes(&changes).unwrap();
        assert_eq!(set, [("role".into(), "web".into()), ("range".to_owned(), "a-".to_owned())]);
        assert_eq!(remove, ["old"]);
        for wrong in ["role", "a b-", "=x", "-"] {
            let failure = parse_changes(&[wrong.to_owned()]).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{wrong}");
        }
    }
}
