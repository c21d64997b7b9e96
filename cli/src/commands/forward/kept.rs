//! Forwards that are kept at the hub: list, add, switch, stop, resume, cut, remove; and files with several.

use crate::App;
use crate::args::Yes;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Format, Paint};
use clap::{Args, Subcommand};
use cmdr_protocol::display::clean;
use cmdr_protocol::forwards::Place;
use cmdr_protocol::forwards::kept::{
    Cut, Delete, Done, Forward, List, Put, Resume, Row, Stand, Stop, Switch,
};
use serde::Deserialize as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List the forwards that are kept.
    #[command(alias = "list")]
    Ls,
    /// Print a forward that is kept, as 'forward apply' reads it.
    Show {
        /// Which.
        name: String,
    },
    /// Say how forwards stand: connections, bytes, what failed and why.
    Status {
        /// Which [default: all].
        name: Option<String>,
        /// Say it again and again.
        #[arg(short, long)]
        watch: bool,
    },
    /// Keep a forward: a host listens, and what comes leads to a place that it or another host sees.
    Add(AddArgs),
    /// Say what 'forward apply' would change.
    Plan {
        /// The file; - reads standard input.
        #[arg(short, long)]
        file: PathBuf,
    },
    /// Keep the forwards of a file, a YAML document each. Those that it does not name stay.
    Apply {
        /// The file; - reads standard input.
        #[arg(short, long)]
        file: PathBuf,
    },
    /// Take no more connections; those that are there go on.
    Stop {
        /// Which.
        name: String,
    },
    /// Take connections again.
    Resume {
        /// Which.
        name: String,
    },
    /// Let new connections lead elsewhere; those that are there go on where they lead.
    Switch {
        /// Which.
        name: String,
        /// Where to: PORT or ADDRESS:PORT as its host sees it, or HOST=ADDRESS:PORT through another host.
        target: String,
    },
    /// End the connections that are there.
    Cut {
        /// Which.
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Remove a forward for good, and end its connections.
    #[command(alias = "delete")]
    Rm {
        /// Which.
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Its name.
    name: String,
    /// The host that listens, and where: HOST:PORT (its 127.0.0.1) or HOST:ADDRESS:PORT.
    listen: String,
    /// What is reached: HOST:PORT or HOST:ADDRESS:PORT, as that host sees it.
    target: String,
    /// For people.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

async fn rows(hub: &Hub) -> Result<Vec<Row>, Failure> {
    Ok(hub.ask(&List {}).await?.forwards)
}

fn missing(name: &str) -> Failure {
    Failure::new(Exit::NoMatch, format!("there is no forward '{}'", clean(name)))
        .hint("cmdr forward ls")
}

fn of(rows: Vec<Row>, name: Option<&str>) -> Result<Vec<Row>, Failure> {
    let Some(name) = name else { return Ok(rows) };
    let row = rows.into_iter().find(|row| row.forward.name == name);
    row.map(|row| vec![row]).ok_or_else(|| missing(name))
}

fn told(app: &App, name: &str, what: &str, done: Done) {
    app.out.note(&if done.unchanged {
        format!("{name} was so already; nothing changed")
    } else if done.away {
        format!("{name} {what}; its host is away and hears of it when it is back")
    } else {
        format!("{name} {what}")
    });
}

pub(super) async fn run(app: &App, verb: &Verb) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    match verb {
        Verb::Ls => list(app, &rows(&hub).await?)?,
        Verb::Show { name } => {
            let row = of(rows(&hub).await?, Some(name))?.remove(0);
            if matches!(app.out.format, Format::Table | Format::Wide | Format::Name) {
                app.out.data(&crate::output::yaml(&row.forward)?)?;
            } else {
                app.out.one(&row, &[], name)?;
            }
        }
        Verb::Status { name, watch } => loop {
            status(app, &of(rows(&hub).await?, name.as_deref())?)?;
            if !watch {
                break;
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        },
        Verb::Add(args) => {
            let (host, listen) = super::target(&args.listen)?;
            let (via, to) = super::target(&args.target)?;
            let host = hub.one_host(host).await?.name;
            let via = hub.one_host(via).await?.name;
            if rows(&hub).await?.iter().any(|row| row.forward.name == args.name) {
                return Err(Failure::failed(format!("there is a forward '{}' already", args.name))
                    .hint("cmdr forward switch, or cmdr forward apply, changes it"));
            }
            let forward = Forward {
                name: args.name.clone(),
                via: if via == host { String::new() } else { via },
                host,
                listen: listen.to_string(),
                to,
                note: args.note.clone(),
            };
            told(app, &args.name, "is kept", hub.ask(&Put(forward)).await?);
        }
        Verb::Plan { file } => {
            let wanted = read(file)?;
            let (lines, _) = compare(&wanted, &rows(&hub).await?);
            app.out.data(&lines.concat())?;
        }
        Verb::Apply { file } => {
            let wanted = read(file)?;
            let (lines, changed) = compare(&wanted, &rows(&hub).await?);
            for (forward, line) in changed.into_iter().zip(&lines) {
                let name = forward.name.clone();
                let done = hub.ask(&Put(forward)).await?;
                app.out.detail(line.trim_end());
                told(app, &name, "is kept", done);
            }
            if lines.is_empty() {
                app.out.note("all is as the file says; nothing changed");
            }
        }
        Verb::Stop { name } => {
            let done = hub.ask(&Stop { name: name.clone() }).await?;
            told(app, name, "takes no more connections", done);
        }
        Verb::Resume { name } => {
            let done = hub.ask(&Resume { name: name.clone() }).await?;
            told(app, name, "takes connections again", done);
        }
        Verb::Switch { name, target } => {
            let (via, to) = match target.split_once('=') {
                Some((host, to)) => (hub.one_host(host).await?.name, to),
                None => (String::new(), target.as_str()),
            };
            let to = Place::parse(to).map_err(Failure::usage)?;
            let what = format!("leads to {to}");
            let done = hub.ask(&Switch { name: name.clone(), to, via }).await?;
            told(app, name, &what, done);
        }
        Verb::Cut { name, yes } => {
            let cut = Cut { name: name.clone() };
            let question = format!("All connections of the forward {name} end now.");
            hub.confirm(app, *yes, (&cut, None), (&question, name)).await?;
            hub.ask(&cut).await?;
            app.out.note(&format!("the connections of {name} are cut"));
        }
        Verb::Rm { name, yes } => {
            let delete = Delete { name: name.clone() };
            let question = format!("The forward {name} is removed, and its connections end.");
            hub.confirm(app, *yes, (&delete, None), (&question, name)).await?;
            hub.ask(&delete).await?;
            app.out.note(&format!("the forward {name} is removed"));
        }
    }
    Ok(Exit::Ok)
}

/// The forwards of a file.
fn read(file: &Path) -> Result<Vec<Forward>, Failure> {
    let text = crate::commands::runbook::read(file)?;
    let mut all: Vec<Forward> = Vec::new();
    for document in text.split("\n---") {
        let document = document.trim_start_matches("---").trim();
        if document.is_empty() {
            continue;
        }
        let wrong = |e: String| Failure::usage(format!("{}: {e}", file.display()));
        let value: serde_json::Value =
            serde_saphyr::from_str(document).map_err(|e| wrong(e.to_string()))?;
        let known = ["name", "host", "listen", "via", "to", "note"];
        let fields = value.as_object().ok_or_else(|| wrong("a forward is a map".to_owned()))?;
        if let Some(odd) = fields.keys().find(|key| !known.contains(&key.as_str())) {
            let known = known.join(", ");
            return Err(wrong(format!("a forward has no '{}'; it has {known}", clean(odd))));
        }
        let forward = Forward::deserialize(&value).map_err(|e| wrong(e.to_string()))?;
        if all.iter().any(|other| other.name == forward.name) {
            return Err(wrong(format!("the forward '{}' stands there twice", forward.name)));
        }
        all.push(forward);
    }
    Ok(all)
}

/// What is to change, a line each, and what those are to be.
fn compare(wanted: &[Forward], there: &[Row]) -> (Vec<String>, Vec<Forward>) {
    let way = |f: &Forward| {
        let via = if f.via.is_empty() { &f.host } else { &f.via };
        format!("{} {} -> {via} {}", f.host, f.listen, f.to)
    };
    let mut changes = (Vec::new(), Vec::new());
    for forward in wanted {
        let line = match there.iter().find(|row| row.forward.name == forward.name) {
            Some(row) if row.forward == *forward => continue,
            Some(row) => {
                format!("~ {}: {}, now {}\n", forward.name, way(forward), way(&row.forward))
            }
            None => format!("+ {}: {}\n", forward.name, way(forward)),
        };
        changes.0.push(clean(line.trim_end()).into_owned() + "\n");
        changes.1.push(forward.clone());
    }
    changes
}

fn state(row: &Row) -> Cell {
    let paint = match row.state() {
        "listening" if !row.away => Paint::Good,
        "failing" => Paint::Bad,
        "stopped" => Paint::Dim,
        _ => Paint::Warn,
    };
    let away = if row.away { " (away)" } else { "" };
    Cell::painted(format!("{}{away}", row.state()), paint)
}

fn text(of: &str) -> Cell {
    clean(of).into_owned().into()
}

fn list(app: &App, rows: &[Row]) -> Result<(), Failure> {
    let columns = [
        Column::text("FORWARD", |r: &Row| text(&r.forward.name)),
        Column::text("STATE", state),
        Column::text("HOST", |r: &Row| text(&r.forward.host)),
        Column::text("LISTEN", |r: &Row| text(&r.forward.listen)),
        Column::text("VIA", |r: &Row| text(&r.forward.via)),
        Column::text("TO", |r: &Row| text(&r.forward.to.to_string())),
        Column::text("NOTE", |r: &Row| text(&r.forward.note)),
        Column::text("BY", |r: &Row| text(&r.by)).wide(),
        Column::text("MADE", |r: &Row| human::moment(r.created_ms).into()).wide(),
    ];
    app.out.list(rows, &columns, |r| r.forward.name.clone())
}

fn figure(row: &Row, of: fn(&Stand) -> String) -> Cell {
    row.stand.as_ref().map(of).unwrap_or_default().into()
}

fn status(app: &App, rows: &[Row]) -> Result<(), Failure> {
    let columns = [
        Column::text("FORWARD", |r: &Row| text(&r.forward.name)),
        Column::text("STATE", state),
        Column::text("WAY", |r: &Row| {
            if r.forward.via.is_empty() { "on its host" } else { "through the hub" }.into()
        }),
        Column::figure("OPEN", |r: &Row| figure(r, |s| s.open.to_string())),
        Column::figure("TOTAL", |r: &Row| figure(r, |s| s.total.to_string())),
        Column::figure("FAILED", |r: &Row| figure(r, |s| s.failed.to_string())),
        Column::figure("THERE", |r: &Row| figure(r, |s| human::bytes(s.sent))),
        Column::figure("BACK", |r: &Row| figure(r, |s| human::bytes(s.received))),
        Column::text("WHY", |r: &Row| {
            let Some(stand) = &r.stand else { return Cell::default() };
            text(if stand.problem.is_empty() { &stand.last_error } else { &stand.problem })
        }),
    ];
    app.out.list(rows, &columns, |r| r.forward.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_what_is_new_and_what_is_another_and_leaves_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f.yaml");
        let text = "name: db\nhost: edge\nlisten: 127.0.0.1:5432\nvia: db1\nto: 127.0.0.1:5432\n---\n\
                    name: web\nhost: edge\nlisten: 127.0.0.1:80\nto: 10.0.0.7:80\n";
        std::fs::write(&file, text).unwrap();
        let wanted = read(&file).unwrap();
        let there = Row { forward: wanted[0].clone(), ..Row::default() };
        let (lines, _) = compare(&wanted, std::slice::from_ref(&there));
        assert_eq!(lines, ["+ web: edge 127.0.0.1:80 -> edge 10.0.0.7:80\n"]);
        let mut other = there;
        other.forward.to = Place::parse("10.0.0.9:5432").unwrap();
        let (lines, changed) = compare(&wanted[..1], &[other]);
        assert_eq!(changed.len(), 1);
        assert!(lines[0].contains("now edge 127.0.0.1:5432 -> db1 10.0.0.9:5432"), "{lines:?}");
        std::fs::write(&file, "name: db\nport: 1\n").unwrap();
        assert!(read(&file).unwrap_err().message.contains("no 'port'"));
        std::fs::write(&file, "name: db\nto: nowhere\n").unwrap();
        assert!(read(&file).is_err());
    }
}
