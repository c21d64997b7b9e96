//! Forwards that are kept at the hub: list, add, switch, stop, resume, cut, remove; and files with several (`kept/file.rs`).

mod file;

use crate::App;
use crate::args::Yes;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Format, Paint};
use crate::secret;
use clap::{Args, Subcommand};
use cmdr_protocol::display::clean;
use cmdr_protocol::forwards::Place;
use cmdr_protocol::forwards::kept::{
    Cut, Delete, Done, Forward, Kind, List, Password, Put, Resume, Row, Stand, Stop, Switch,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

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
    /// Keep a forward: a host listens, and what comes leads to a place that it or another host sees; or it is a proxy,
    /// whose clients say where to.
    Add(AddArgs),
    /// Say what 'forward apply' would change.
    Plan {
        /// Files; - reads standard input.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Keep the forwards of files, a YAML document each. Those that they do not name stay.
    #[command(after_help = file::FILE)]
    Apply {
        /// Files; - reads standard input.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
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
    /// What is reached: HOST:PORT or HOST:ADDRESS:PORT, as that host sees it; over SSH PORT or ADDRESS:PORT, as that end
    /// sees it. None for a proxy.
    target: Option<String>,
    /// What it understands: tcp and udp lead to TARGET, http, socks5 and socks5-udp are proxies; ssh-local, ssh-remote and ssh-dynamic
    /// go over SSH as -L, -R and -D of ssh do. All but tcp on one host.
    #[arg(long, value_name = "KIND", default_value = "tcp", value_parser = kind)]
    kind: Kind,
    /// Who may use a proxy [default: everyone who reaches it]; the password is read from standard input, or asked for
    /// without being shown.
    #[arg(long, value_name = "USER", default_value = "", hide_default_value = true)]
    user: String,
    /// Over SSH: as whom to log in, and where. Without --key the password is read from standard input, or asked for.
    #[arg(long, value_name = "USER@HOST[:PORT]", default_value = "", hide_default_value = true)]
    ssh: String,
    /// The private key for --ssh, without a passphrase.
    #[arg(long, value_name = "FILE", requires = "ssh")]
    key: Option<PathBuf>,
    /// For people.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

fn kind(text: &str) -> Result<Kind, String> {
    let known = Kind::ALL.iter().find(|kind| kind.as_str() == text);
    known.copied().ok_or_else(|| {
        let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("the kinds of forwards are {}", known.join(", "))
    })
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
        Verb::Status { name, watch } => {
            let mut rates = Rates::default();
            loop {
                let rows = of(rows(&hub).await?, name.as_deref())?;
                status(app, &rates.look(rows), *watch)?;
                if !watch {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        }
        Verb::Add(args) => {
            let (host, listen) = super::target(&args.listen)?;
            let host = hub.one_host(host).await?.name;
            let (via, to) = match args.target.as_deref() {
                Some(target) if args.kind.is_ssh() => {
                    (host.clone(), Place::parse(target).map_err(Failure::usage)?)
                }
                Some(target) => {
                    let (via, to) = super::target(target)?;
                    (hub.one_host(via).await?.name, to)
                }
                None => (host.clone(), Place::default()),
            };
            if rows(&hub).await?.iter().any(|row| row.forward.name == args.name) {
                return Err(Failure::failed(format!("there is a forward '{}' already", args.name))
                    .hint("cmdr forward switch, or cmdr forward apply, changes it"));
            }
            let mut forward = Forward {
                name: args.name.clone(),
                kind: args.kind,
                user: args.user.clone(),
                password: Password::default(),
                ssh: args.ssh.clone(),
                key: args
                    .key
                    .as_deref()
                    .map(file::secret)
                    .transpose()
                    .map_err(Failure::usage)?
                    .unwrap_or_default(),
                via: if via == host { String::new() } else { via },
                host,
                listen: listen.to_string(),
                to,
                note: args.note.clone(),
            };
            forward.check().map_err(Failure::usage)?;
            let who = if forward.ssh.is_empty() { &forward.user } else { &forward.ssh };
            if !who.is_empty() && forward.key.is_empty() {
                let question = format!("The password of {}", clean(who));
                forward.password = Password(secret::ask_new(&question).await?.to_string());
            }
            told(app, &args.name, "is kept", hub.ask(&Put(forward)).await?);
        }
        Verb::Plan { files } => {
            let wanted = file::read(files)?;
            let plan = file::compare(&wanted, &rows(&hub).await?);
            app.out.data(&plan.iter().map(|(_, line)| line.as_str()).collect::<String>())?;
        }
        Verb::Apply { files } => {
            let wanted = file::read(files)?;
            let plan = file::compare(&wanted, &rows(&hub).await?);
            if plan.is_empty() {
                app.out.note("all is as the files say; nothing changed");
            }
            for (forward, line) in plan {
                let name = forward.name.clone();
                let done = hub.ask(&Put(forward)).await?;
                app.out.detail(line.trim_end());
                told(app, &name, "is kept", done);
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
        Column::text("KIND", |r: &Row| r.forward.kind.as_str().into()),
        Column::text("HOST", |r: &Row| text(&r.forward.host)),
        Column::text("LISTEN", |r: &Row| text(&r.forward.listen)),
        Column::text("VIA", |r: &Row| text(&r.forward.via)),
        Column::text("TO", |r: &Row| match r.forward.kind.is_proxy() {
            _ if r.forward.kind.is_ssh() && r.forward.to.is_none() => {
                text(&format!("anywhere, over {}", r.forward.ssh))
            }
            _ if r.forward.kind.is_ssh() => {
                text(&format!("{} over {}", r.forward.to, r.forward.ssh))
            }
            true if r.forward.user.is_empty() => "anywhere".into(),
            true => text(&format!("anywhere, for {}", r.forward.user)),
            false => text(&r.forward.to.to_string()),
        }),
        Column::text("NOTE", |r: &Row| text(&r.forward.note)),
        Column::text("BY", |r: &Row| text(&r.by)).wide(),
        Column::text("MADE", |r: &Row| human::moment(r.created_ms).into()).wide(),
    ];
    app.out.list(rows, &columns, |r| r.forward.name.clone())
}

/// A forward, and what it carries now.
#[derive(Serialize)]
struct Live {
    #[serde(flatten)]
    row: Row,
    /// Bytes a second from those who connect and to them; known from the second look on.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<(u64, u64)>,
}

/// What forwards had carried at the last look.
#[derive(Default)]
struct Rates {
    before: BTreeMap<String, (u64, u64)>,
    looked: Option<Instant>,
}

impl Rates {
    fn look(&mut self, rows: Vec<Row>) -> Vec<Live> {
        let seconds = self.looked.replace(Instant::now()).map(|then| then.elapsed().as_secs_f64());
        let seconds = seconds.filter(|seconds| *seconds > 0.1);
        let live = |row: Row| {
            let now = row.stand.as_ref().map(|stand| (stand.sent, stand.received));
            let before = now.and_then(|now| self.before.insert(row.forward.name.clone(), now));
            let rate = |(now, before): (u64, u64), seconds: f64| {
                (now.saturating_sub(before) as f64 / seconds) as u64
            };
            let rate = now.zip(before).zip(seconds).map(|((now, before), seconds)| {
                (rate((now.0, before.0), seconds), rate((now.1, before.1), seconds))
            });
            Live { row, rate }
        };
        rows.into_iter().map(live).collect()
    }
}

fn figure(live: &Live, of: fn(&Stand) -> String) -> Cell {
    live.row.stand.as_ref().map(of).unwrap_or_default().into()
}

fn per_second(bytes: u64) -> String {
    format!("{}/s", human::bytes(bytes))
}

fn status(app: &App, rows: &[Live], watch: bool) -> Result<(), Failure> {
    let mut columns = vec![
        Column::text("FORWARD", |r: &Live| text(&r.row.forward.name)),
        Column::text("STATE", |r| state(&r.row)),
        Column::text("WAY", |r| {
            let own = r.row.forward.via.is_empty();
            let direct = r.row.stand.as_ref().is_some_and(|stand| stand.is_direct);
            match own {
                _ if r.row.forward.kind.is_ssh() => "over SSH".into(),
                true => "on its host".into(),
                false if direct => "directly".into(),
                false => "through the hub".into(),
            }
        }),
        Column::figure("OPEN", |r| figure(r, |s| s.open.to_string())),
        Column::figure("TOTAL", |r| figure(r, |s| s.total.to_string())),
        Column::figure("FAILED", |r| figure(r, |s| s.failed.to_string())),
        Column::figure("THERE", |r| figure(r, |s| human::bytes(s.sent))),
        Column::figure("BACK", |r| figure(r, |s| human::bytes(s.received))),
    ];
    if watch {
        columns.push(Column::figure("THERE NOW", |r| {
            r.rate.map(|(there, _)| per_second(there)).unwrap_or_default().into()
        }));
        columns.push(Column::figure("BACK NOW", |r| {
            r.rate.map(|(_, back)| per_second(back)).unwrap_or_default().into()
        }));
    }
    columns.push(Column::text("WHY", |r| {
        let Some(stand) = &r.row.stand else { return Cell::default() };
        if stand.problem.is_empty() && stand.last_error.is_empty() && !stand.not_direct.is_empty() {
            return text(&format!("not directly: {}", stand.not_direct));
        }
        text(if stand.problem.is_empty() { &stand.last_error } else { &stand.problem })
    }));
    app.out.list(rows, &columns, |r| r.row.forward.name.clone())
}
