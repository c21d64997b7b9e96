//! What verbs about images, volumes and networks have in common: asking many hosts for lists, acting on things there,
//! and showing what an engine says about one.

use crate::App;
use crate::args::Yes;
use crate::commands::processes::about;
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Column, Paint};
use cmdr_protocol::Call;
use cmdr_protocol::display::clean;
use cmdr_protocol::images::Inspected;
use serde::Serialize;
use std::time::Duration;

/// How long an act may take unless `--timeout` says otherwise.
const PATIENCE: Duration = Duration::from_mins(2);

/// The columns of a list, and what each row is called.
type Shown<'a, R> = (&'a [Column<R>], fn(&R) -> String);

/// Asks all of these hosts for a list and shows the rows that `rows` makes of each answer.
pub(super) async fn list<C: Call, R: Serialize>(
    app: &App,
    hub: &Hub,
    targets: &[Target],
    call: &C,
    mut rows: impl FnMut(&str, C::Reply) -> Vec<R>,
    (columns, name): Shown<'_, R>,
) -> Result<Exit, Failure> {
    let (mut all, mut exit) = (Vec::new(), Exit::Ok);
    for (target, answer) in hub.ask_hosts(targets, call).await {
        match answer {
            Ok(reply) => all.extend(rows(&target.name, reply)),
            Err(failure) => {
                app.out.warn(&about(&target.name, &failure.message));
                exit = exit.worst(failure.exit);
            }
        }
    }
    if exit == Exit::Ok || !all.is_empty() || !app.out.format.is_table() {
        app.out.list(&all, columns, name)?;
    }
    Ok(exit)
}

/// Says that a list was cut.
pub(super) fn left_out(app: &App, host: &str, count: u64, what: &str) {
    if count > 0 {
        app.out.note(&format!("{host}: {count} more {what} are left out"));
    }
}

/// What came of an act on one thing of one host.
#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(rename = "Host")]
    host: String,
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Result")]
    result: String,
}

/// Does the same to these things of these hosts, one after the other on each, and tells what came of it in words.
pub(super) async fn act<C: Call>(
    app: &App,
    hub: &Hub,
    targets: &[Target],
    acts: &[(String, C)],
    told: impl Fn(C::Reply) -> String,
) -> Result<Exit, Failure> {
    let patience = app.patience_or(PATIENCE);
    let (mut rows, mut exit) = (Vec::new(), Exit::Ok);
    for (name, call) in acts {
        for (target, answer) in hub.ask_hosts_within(targets, call, patience).await {
            let host = target.name.clone();
            match answer {
                Ok(reply) => rows.push(Outcome { host, name: name.clone(), result: told(reply) }),
                Err(failure) => {
                    app.out.warn(&about(&host, &failure.message));
                    exit = exit.worst(failure.exit);
                }
            }
        }
    }
    let columns = [
        Column::text("HOST", |o: &Outcome| o.host.as_str().into()),
        Column::text("NAME", |o: &Outcome| o.name.as_str().into()),
        Column::text("RESULT", |o: &Outcome| o.result.as_str().into()),
    ];
    if !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(&rows, &columns, |o| format!("{}/{}", o.host, o.name))?;
    }
    Ok(exit)
}

/// Asks before something is taken away from hosts.
pub(super) async fn confirm(
    app: &App,
    yes: Yes,
    targets: &[Target],
    what: &str,
) -> Result<(), Failure> {
    let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
    let (question, word) = match names.as_slice() {
        [one] => (format!("{what} on {one}?"), "yes".to_owned()),
        many => (
            format!("{what} on {} hosts: {}?", many.len(), names.join(", ")),
            many.len().to_string(),
        ),
    };
    app.out.confirm(yes.yes, &question, &word).await
}

/// Shows what the engine of one host says about something.
pub(super) async fn inspect<C: Call<Reply = Inspected>>(
    app: &App,
    host: &str,
    name: &str,
    call: &C,
) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let host = hub.one_host(host).await?;
    let found = hub.ask_host(host.id, call).await?;
    let value: serde_json::Value = serde_json::from_str(&found.json)
        .map_err(|e| Failure::failed(format!("{}: {name}: {e}", host.name)))?;
    if app.out.format.is_table() {
        let text = crate::output::json(&value)?;
        let lines = text.lines().map(|line| clean(line).into_owned() + "\n");
        app.out.data(&lines.collect::<String>())?;
    } else {
        app.out.one(&value, &[("json", found.json.clone())], name)?;
    }
    Ok(Exit::Ok)
}

/// How long ago that was.
pub(super) fn since(then_s: i64) -> String {
    let ms = u64::try_from(then_s).ok().filter(|s| *s > 0).map(|s| s * 1000);
    ms.map_or_else(String::new, |ms| human::ago(Some(ms), cmdr_link::clock::now_ms()))
}

/// When that was, as data.
pub(super) fn moment(then_s: i64) -> Option<String> {
    let ms = u64::try_from(then_s).ok().filter(|s| *s > 0).map(|s| s * 1000);
    ms.map(human::moment)
}

/// Labels as docker prints them: `a=1,b=2`.
pub(super) fn labels(labels: &std::collections::BTreeMap<String, String>) -> String {
    labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
}

/// `-` dimmed in place of nothing.
pub(super) fn or_none(text: &str) -> crate::output::Cell {
    if text.is_empty() { crate::output::Cell::painted("<none>", Paint::Dim) } else { text.into() }
}

/// The id as people read it.
pub(super) fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}
