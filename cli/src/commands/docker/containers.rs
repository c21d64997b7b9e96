//! `docker ps|inspect|top|diff|port`: looking at containers of one host or more.

use super::{Of, ask_each};
use crate::App;
use crate::args;
use crate::commands::processes::about;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Paint};
use clap::Args;
use cmdr_link::clock;
use cmdr_protocol::CallError;
use cmdr_protocol::containers::{
    Became, Container, Diff, Difference, Inspect, Inspected, List, State, Top, Values, short,
    status,
};
use cmdr_protocol::display::clean;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Show containers.
#[derive(Debug, Args)]
pub(super) struct PsArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Also those that do not run.
    #[arg(short, long)]
    all: bool,

    /// Only those that fit, in the engine's words: status=exited, label=a=b, name=web, ancestor=nginx; the same name
    /// again is another value of it.
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = filter)]
    filter: Vec<(String, String)>,

    /// Only the newest N of each host, also those that do not run.
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<u32>,

    /// Also how much each has written; the engine takes its time for that.
    #[arg(short, long)]
    size: bool,

    /// Whole ids and commands.
    #[arg(long)]
    no_trunc: bool,
}

fn filter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("'{text}' is not NAME=VALUE such as status=exited")),
    }
}

/// A container as data, in the words of `docker ps --format json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    #[serde(rename = "ID")]
    id: String,
    names: String,
    image: String,
    command: String,
    created_at: String,
    running_for: String,
    state: String,
    status: String,
    health: String,
    ports: String,
    networks: String,
    mounts: String,
    labels: String,
    size: String,
    project: String,
}

impl Row {
    fn new(container: &Container, now_s: u64, whole: bool) -> Self {
        let id = if whole { &container.id } else { container.short_id() };
        let mut command = format!("\"{}\"", container.command);
        if !whole && command.chars().count() > 20 {
            command = command.chars().take(19).chain(['…']).collect();
        }
        let age = now_s.saturating_sub(container.created_s);
        let created = human::moment(container.created_s * 1000).replace('T', " ");
        let labels = container.labels.iter().map(|(name, value)| format!("{name}={value}"));
        let ports = container.ports.iter().map(ToString::to_string);
        Self {
            id: id.to_owned(),
            names: container.name.clone(),
            image: short_image(&container.image).to_owned(),
            command,
            created_at: created.replace('Z', " +0000 UTC"),
            running_for: format!("{} ago", status::rounded(age)),
            state: container.state.to_string(),
            status: status::words(container, now_s),
            health: container.health.clone(),
            ports: ports.collect::<Vec<_>>().join(", "),
            networks: container.networks.join(","),
            mounts: container.mounts.join(","),
            labels: labels.collect::<Vec<_>>().join(","),
            size: container.size.map(human::bytes).unwrap_or_default(),
            project: container.project().to_owned(),
        }
    }
}

/// An image without a name is told by its id.
fn short_image(image: &str) -> &str {
    if image.starts_with("sha256:") { short(image) } else { image }
}

fn paint(row: &Row) -> Paint {
    match (State::parse(&row.state), row.health.as_str()) {
        (State::Running, "unhealthy") | (State::Dead, _) => Paint::Bad,
        (State::Running, _) => Paint::Good,
        (State::Restarting | State::Paused | State::Removing | State::Stopping, _) => Paint::Warn,
        _ => Paint::Dim,
    }
}

fn columns(many: bool, size: bool) -> Vec<Column<Of<Row>>> {
    let mut columns = Vec::new();
    if many {
        columns.push(Column::text("HOST", |r: &Of<Row>| r.host.as_str().into()));
    }
    columns.extend([
        Column::text("CONTAINER ID", |r: &Of<Row>| r.row.id.as_str().into()),
        Column::text("IMAGE", |r: &Of<Row>| r.row.image.as_str().into()),
        Column::text("COMMAND", |r: &Of<Row>| r.row.command.as_str().into()),
        Column::text("CREATED", |r: &Of<Row>| r.row.running_for.as_str().into()),
        Column::text("STATUS", |r: &Of<Row>| Cell::painted(r.row.status.as_str(), paint(&r.row))),
        Column::text("PORTS", |r: &Of<Row>| r.row.ports.as_str().into()),
        Column::text("NAMES", |r: &Of<Row>| r.row.names.as_str().into()),
        Column::text("PROJECT", |r: &Of<Row>| r.row.project.as_str().into()).wide(),
        Column::text("NETWORKS", |r: &Of<Row>| r.row.networks.as_str().into()).wide(),
        Column::text("MOUNTS", |r: &Of<Row>| r.row.mounts.as_str().into()).wide(),
    ]);
    if size {
        columns.push(Column::figure("SIZE", |r: &Of<Row>| r.row.size.as_str().into()));
    }
    columns
}

pub(super) async fn ps(app: &App, args: &PsArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let mut filters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &args.filter {
        filters.entry(name.clone()).or_default().push(value.clone());
    }
    let list = List {
        all: args.all || args.last.is_some(),
        size: args.size,
        filters,
        limit: args.last.unwrap_or_default(),
        ..List::default()
    };
    let answers = ask_each(app, &hub, &args.selector, &list, hub.patience()).await?;
    let now_s = clock::now_ms() / 1000;
    let mut rows = Vec::new();
    for (target, listing) in &answers.replies {
        if listing.left_out > 0 && args.last.is_none() {
            let what =
                format!("{}: {} more containers are left out", target.name, listing.left_out);
            app.out.note(&what);
        }
        rows.extend(listing.containers.iter().map(|container| Of {
            host: target.name.clone(),
            row: Row::new(container, now_s, args.no_trunc),
        }));
    }
    if answers.exit == Exit::Ok || !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(&rows, &columns(answers.asked > 1, args.size), |r| r.row.names.clone())?;
    }
    Ok(answers.exit)
}

/// Show all that the engine knows of containers, as JSON.
///
/// What looks like a secret in their environment is struck out; --values shows it, which takes a right of its own and
/// is put down in the audit log.
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Names or ids.
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,

    /// Strike nothing out.
    #[arg(long)]
    values: bool,

    /// Also how much each has written.
    #[arg(short, long, conflicts_with = "values")]
    size: bool,
}

pub(super) async fn inspect(app: &App, args: &InspectArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let (mut all, mut exit) = (Vec::new(), Exit::Ok);
    for container in &args.containers {
        let answers = if args.values {
            let call = Values { container: container.clone() };
            ask_each(app, &hub, &args.selector, &call, hub.patience()).await?
        } else {
            let call = Inspect { container: container.clone(), size: args.size };
            ask_each(app, &hub, &args.selector, &call, hub.patience()).await?
        };
        exit = exit.worst(answers.exit);
        for (target, inspected) in answers.replies {
            note_masked(app, &target.name, &inspected);
            all.push(Of { host: target.name, row: json(&inspected)? });
        }
    }
    let columns = [
        Column::text("HOST", |r: &Of<Value>| r.host.as_str().into()),
        Column::text("CONTAINER ID", |r: &Of<Value>| short(word(&r.row, "Id")).into()),
        Column::text("NAMES", |r: &Of<Value>| word(&r.row, "Name").trim_start_matches('/').into()),
    ];
    if app.out.format.is_table() {
        // As docker does: what it is is JSON.
        let text = crate::output::json(&all)?;
        let lines = text.lines().map(|line| clean(line).into_owned() + "\n");
        app.out.data(&lines.collect::<String>())?;
    } else {
        app.out
            .list(&all, &columns, |r| word(&r.row, "Name").trim_start_matches('/').to_owned())?;
    }
    Ok(exit)
}

fn note_masked(app: &App, host: &str, inspected: &Inspected) {
    if !inspected.masked.is_empty() {
        let names = inspected.masked.join(", ");
        app.out.note(&format!(
            "{host}: struck out in {}: {names} (--values shows them)",
            inspected.name
        ));
    }
    if !inspected.powers.is_empty() {
        let powers = inspected.powers.join(", ");
        app.out.detail(&format!("{host}: {} may do to its host: {powers}", inspected.name));
    }
}

/// The engine's JSON.
pub(super) fn json(inspected: &Inspected) -> Result<Value, Failure> {
    serde_json::from_str(&inspected.json).map_err(|e| {
        Failure::failed(format!("what the host told of the container is no JSON: {e}"))
    })
}

fn word<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// One container of one host or more.
#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// Which hosts.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    selector: String,

    /// Its name or id.
    container: String,
}

/// A process or a path, as data: fields by their names.
type Fields = BTreeMap<String, String>;

pub(super) async fn top(app: &App, args: &OneArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let call = Top { container: args.container.clone() };
    let answers = ask_each(app, &hub, &args.selector, &call, hub.patience()).await?;
    let mut rows: Vec<Of<Fields>> = Vec::new();
    let mut text = String::new();
    for (target, processes) in answers.replies {
        if processes.left_out > 0 {
            app.out.note(&format!(
                "{}: {} more processes are left out",
                target.name, processes.left_out
            ));
        }
        let mut lines = vec![processes.titles.clone()];
        lines.extend(processes.rows.iter().cloned());
        if answers.asked > 1 {
            for (n, line) in lines.iter_mut().enumerate() {
                line.insert(0, if n == 0 { "HOST".to_owned() } else { target.name.clone() });
            }
        }
        text.push_str(&aligned(&lines));
        rows.extend(processes.rows.into_iter().map(|row| Of {
            host: target.name.clone(),
            row: processes.titles.iter().cloned().zip(row).collect(),
        }));
    }
    if app.out.format.is_table() {
        app.out.data(&text)?;
    } else {
        let columns = [
            Column::text("HOST", |r: &Of<Fields>| r.host.as_str().into()),
            Column::text("PID", |r: &Of<Fields>| {
                r.row.get("PID").cloned().unwrap_or_default().into()
            }),
            Column::text("CMD", |r: &Of<Fields>| {
                r.row.get("CMD").cloned().unwrap_or_default().into()
            }),
        ];
        app.out.list(&rows, &columns, |r| r.row.get("PID").cloned().unwrap_or_default())?;
    }
    Ok(answers.exit)
}

/// Columns as wide as their widest cell; the last one is left as it is.
fn aligned(lines: &[Vec<String>]) -> String {
    use unicode_width::UnicodeWidthStr as _;
    let cells: Vec<Vec<String>> = lines
        .iter()
        .map(|line| line.iter().map(|cell| clean(cell).into_owned()).collect())
        .collect();
    let width = |n: usize| cells.iter().filter_map(|line| line.get(n)).map(|c| c.width()).max();
    let mut text = String::new();
    for line in &cells {
        for (n, cell) in line.iter().enumerate() {
            text.push_str(cell);
            if n + 1 < line.len() {
                let gap = width(n).unwrap_or_default().saturating_sub(cell.width()) + 2;
                text.extend(std::iter::repeat_n(' ', gap));
            }
        }
        text.push('\n');
    }
    text
}

/// A path as data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PathRow {
    kind: String,
    path: String,
}

pub(super) async fn diff(app: &App, args: &OneArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let call = Diff { container: args.container.clone() };
    let answers = ask_each(app, &hub, &args.selector, &call, hub.patience()).await?;
    let mut rows = Vec::new();
    for (target, differences) in answers.replies {
        if differences.left_out > 0 {
            app.out.note(&format!(
                "{}: {} more paths are left out",
                target.name, differences.left_out
            ));
        }
        let row = |Difference { path, became }: Difference| Of {
            host: target.name.clone(),
            row: PathRow {
                kind: match became {
                    Became::Changed => "C",
                    Became::Added => "A",
                    Became::Deleted => "D",
                    Became::Unknown => "?",
                }
                .to_owned(),
                path,
            },
        };
        rows.extend(differences.paths.into_iter().map(row));
    }
    let mut columns = Vec::new();
    if answers.asked > 1 {
        columns.push(Column::text("HOST", |r: &Of<PathRow>| r.host.as_str().into()));
    }
    columns.extend([
        Column::text("KIND", |r: &Of<PathRow>| r.row.kind.as_str().into()),
        Column::text("PATH", |r: &Of<PathRow>| r.row.path.as_str().into()),
    ]);
    if answers.exit == Exit::Ok || !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(&rows, &columns, |r| r.row.path.clone())?;
    }
    Ok(answers.exit)
}

/// A port as data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PortRow {
    container_port: String,
    host_port: String,
}

pub(super) async fn port(app: &App, args: &OneArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let call = Inspect { container: args.container.clone(), size: false };
    let answers = ask_each(app, &hub, &args.selector, &call, hub.patience()).await?;
    let mut rows = Vec::new();
    for (target, inspected) in answers.replies {
        for (container_port, host_port) in published(&json(&inspected)?) {
            let row = PortRow { container_port, host_port };
            rows.push(Of { host: target.name.clone(), row });
        }
    }
    let mut columns = Vec::new();
    if answers.asked > 1 {
        columns.push(Column::text("HOST", |r: &Of<PortRow>| r.host.as_str().into()));
    }
    columns.extend([
        Column::text("PORT", |r: &Of<PortRow>| r.row.container_port.as_str().into()),
        Column::text("AT", |r: &Of<PortRow>| r.row.host_port.as_str().into()),
    ]);
    if answers.exit == Exit::Ok || !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(&rows, &columns, |r| r.row.host_port.clone())?;
    }
    Ok(answers.exit)
}

/// The ports inside, and where each is reached.
fn published(inspected: &Value) -> Vec<(String, String)> {
    let ports = inspected.pointer("/NetworkSettings/Ports").and_then(Value::as_object);
    let mut found = Vec::new();
    for (inside, at) in ports.into_iter().flatten() {
        for at in at.as_array().into_iter().flatten() {
            let (address, port) = (word(at, "HostIp"), word(at, "HostPort"));
            let address =
                if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
            found.push((inside.clone(), format!("{address}:{port}")));
        }
    }
    found.sort_unstable();
    found
}

/// Why a host did not do it.
pub(super) fn failed(app: &App, host: &str, error: CallError) -> Exit {
    let failure = Failure::from(error);
    app.out.warn(&about(host, &failure.message));
    failure.exit
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_container_is_told_in_dockers_words() {
        let container = Container {
            id: "a".repeat(64),
            name: "web".into(),
            image: format!("sha256:{}", "b".repeat(64)),
            command: "sleep 86400 and much more".into(),
            created_s: 1_764_000_000,
            state: State::Running,
            status: "Up 3 minutes".into(),
            labels: [("a".to_owned(), "b".to_owned()), ("c".to_owned(), "d".to_owned())].into(),
            ..Container::default()
        };
        let row = Row::new(&container, 1_764_000_180, false);
        assert_eq!((row.id.len(), row.image.len(), row.command.chars().count()), (12, 12, 20));
        assert_eq!(row.created_at, "2025-11-24 16:00:00 +0000 UTC");
        assert_eq!((row.running_for.as_str(), row.labels.as_str()), ("3 minutes ago", "a=b,c=d"));
        let json = serde_json::to_value(Of { host: "h".into(), row }).unwrap();
        for field in
            ["Host", "ID", "Names", "Image", "CreatedAt", "RunningFor", "State", "Status", "Ports"]
        {
            assert!(json.get(field).is_some(), "{field}");
        }
    }

    #[test]
    fn ports_are_told_as_they_are_reached() {
        let inspected = json!({"NetworkSettings": {"Ports": {"80/tcp": [
            {"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}], "81/tcp": null}}});
        let expected = [("80/tcp", "0.0.0.0:8080"), ("80/tcp", "[::]:8080")];
        assert_eq!(published(&inspected), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn hostile_cells_stay_in_their_column() {
        let lines =
            vec![vec!["PID".into(), "CMD".into()], vec!["1\u{1b}[2J".into(), "x\ny".into()]];
        let text = aligned(&lines);
        assert_eq!(text.lines().count(), 2);
        assert!(!text.contains('\u{1b}'));
    }
}
