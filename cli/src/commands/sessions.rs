//! `sessions`: the terminals that are open on hosts.

use crate::App;
use crate::args::{self, Yes};
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::Column;
use clap::{Args, Subcommand};
use cmdr_link::clock;
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::operators::WhoAmI;
use cmdr_protocol::sessions::{End, EndAny, List, Mode, Session};
use futures::StreamExt as _;
use serde::Serialize;

/// List open sessions, and end them.
///
/// A session is a terminal on a host: cmdr shell opens one, cmdr attach finds it again.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SessionsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List sessions, the oldest of each host first.
    #[command(alias = "list")]
    Ls(ListArgs),
    /// End sessions with all that runs in them: one's own, or with sessions.end-any those of others.
    End {
        /// Their ids, or the beginnings of them.
        #[arg(required = true)]
        ids: Vec<String>,
        /// On which hosts to look for them.
        #[arg(long, value_name = "SELECTOR", value_parser = args::selector)]
        #[arg(default_value = "", hide_default_value = true)]
        host: String,
        #[command(flatten)]
        yes: Yes,
    },
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Of which hosts [default: all].
    #[arg(value_parser = args::selector, default_value = "", hide_default_value = true)]
    selector: String,
}

/// Hosts asked at once.
const AT_ONCE: usize = 64;

/// A session and where it is.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) host: Target,
    pub(super) session: Session,
}

/// All sessions of the hosts that a selector picks, and whether every host could be asked.
async fn all(app: &App, hub: &Hub, selector: &str) -> Result<(Vec<Found>, bool), Failure> {
    let targets =
        if selector.is_empty() { hub.everywhere().await? } else { hub.resolve(selector).await? };
    let online = targets.into_iter().filter(|target| target.state == HostState::Online);
    let mut answers = futures::stream::iter(online)
        .map(|target| async move {
            let listing = hub.ask_host(target.id, &List {}).await;
            (target, listing)
        })
        .buffered(AT_ONCE);
    let (mut found, mut whole) = (Vec::new(), true);
    while let Some((host, listing)) = answers.next().await {
        match listing {
            Ok(listing) => {
                let of = |session| Found { host: host.clone(), session };
                found.extend(listing.sessions.into_iter().map(of));
            }
            Err(e) => {
                whole = false;
                app.out.warn(&format!("{}: {}", host.name, e.message));
            }
        }
    }
    Ok((found, whole))
}

/// The one session whose id begins so.
pub(super) async fn find(app: &App, hub: &Hub, selector: &str, id: &str) -> Result<Found, Failure> {
    let (sessions, _) = all(app, hub, selector).await?;
    pick(sessions, id)
}

fn pick(sessions: Vec<Found>, id: &str) -> Result<Found, Failure> {
    let begins = |found: &Found| !id.is_empty() && found.session.id.starts_with(id);
    let mut fit: Vec<_> = sessions.into_iter().filter(begins).collect();
    match fit.len() {
        1 => Ok(fit.remove(0)),
        0 => Err(Failure::new(
            Exit::NoMatch,
            format!("there is no session '{id}'; it may have ended"),
        )
        .hint("those that run: cmdr sessions")),
        n => {
            let ids: Vec<_> = fit.iter().map(|found| found.session.id.as_str()).collect();
            Err(Failure::usage(format!("{n} sessions begin with '{id}'")).hint(ids.join(", ")))
        }
    }
}

/// A session as data: the field names are a promise.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    host: String,
    name: String,
    operator: String,
    user: String,
    command: Vec<String>,
    ssh: String,
    title: String,
    pid: u32,
    started: String,
    active: String,
    columns: u16,
    rows: u16,
    clients: Vec<Seat>,
    #[serde(skip)]
    age: String,
    #[serde(skip)]
    idle: String,
}

#[derive(Debug, Serialize)]
struct Seat {
    operator: String,
    mode: Mode,
    since: String,
}

impl Row {
    fn new(found: Found, now_ms: u64) -> Self {
        let Session {
            id,
            name,
            operator,
            user,
            command,
            ssh,
            title,
            pid,
            started_ms,
            active_ms,
            ..
        } = found.session;
        let seats = found.session.clients.into_iter().map(|client| Seat {
            operator: client.operator,
            mode: client.mode,
            since: human::moment(client.since_ms),
        });
        Self {
            id,
            host: found.host.name,
            name,
            operator,
            user,
            command,
            ssh,
            title,
            pid,
            started: human::moment(started_ms),
            active: human::moment(active_ms),
            columns: found.session.size.columns,
            rows: found.session.size.rows,
            clients: seats.collect(),
            age: human::ago(Some(started_ms), now_ms),
            idle: human::ago(Some(active_ms), now_ms),
        }
    }

    fn attached(&self) -> String {
        let shown = self.clients.iter().map(|seat| match seat.mode {
            Mode::Drive => seat.operator.clone(),
            _ => format!("({})", seat.operator),
        });
        shown.collect::<Vec<_>>().join(" ")
    }
}

fn columns() -> [Column<Row>; 10] {
    [
        Column::text("ID", |r: &Row| r.id.as_str().into()),
        Column::text("HOST", |r| r.host.as_str().into()),
        Column::text("WHO", |r| r.operator.as_str().into()),
        Column::text("USER", |r| r.user.as_str().into()),
        Column::text("STARTED", |r| r.age.as_str().into()),
        Column::text("ACTIVE", |r| r.idle.as_str().into()),
        Column::text("CLIENTS", |r| r.attached().into()),
        Column::text("NAME", |r| r.name.as_str().into()),
        Column::text("TITLE", |r: &Row| r.title.as_str().into()).wide(),
        Column::text("COMMAND", |r| r.command.join(" ").into()),
    ]
}

pub(super) async fn run(app: &App, args: &SessionsArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    match &args.verb {
        None => list(app, &hub, &args.list).await,
        Some(Verb::Ls(args)) => list(app, &hub, args).await,
        Some(Verb::End { ids, host, yes }) => end(app, &hub, ids, host, *yes).await,
    }
}

async fn list(app: &App, hub: &Hub, args: &ListArgs) -> Result<Exit, Failure> {
    let (sessions, whole) = all(app, hub, &args.selector).await?;
    let now = clock::now_ms();
    let rows: Vec<_> = sessions.into_iter().map(|found| Row::new(found, now)).collect();
    app.out.list(&rows, &columns(), |row| row.id.clone())?;
    Ok(if whole { Exit::Ok } else { Exit::Unreachable })
}

async fn end(
    app: &App,
    hub: &Hub,
    ids: &[String],
    selector: &str,
    yes: Yes,
) -> Result<Exit, Failure> {
    let (sessions, _) = all(app, hub, selector).await?;
    let mut chosen = Vec::new();
    for id in ids {
        chosen.push(pick(sessions.clone(), id)?);
    }
    let shown: Vec<_> = chosen
        .iter()
        .map(|found| {
            format!("{} of {} on {}", found.session.id, found.session.operator, found.host.name)
        })
        .collect();
    let question = format!("End {} with all that runs in it?", shown.join(", "));
    app.out.confirm(yes.yes, &question, "yes").await?;
    let me = hub.ask(&WhoAmI {}).await?.name;
    for found in &chosen {
        let id = found.session.id.clone();
        if found.session.operator == me {
            hub.ask_host(found.host.id, &End { id }).await?;
        } else {
            hub.ask_host(found.host.id, &EndAny { id }).await?;
        }
        app.out.note(&format!("session {} is ended", found.session.id));
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::HostId;
    use cmdr_protocol::sessions::{Client, Size};

    fn found(id: &str) -> Found {
        let host = Target { id: HostId([1; 16]), name: "web1".into(), state: HostState::Online };
        let client = |operator: &str, mode| Client {
            id: 1,
            operator: operator.into(),
            mode,
            since_ms: 1000,
        };
        let session = Session {
            id: id.into(),
            operator: "ann".into(),
            user: "root".into(),
            command: vec!["/bin/bash".into()],
            pid: 7,
            started_ms: 1000,
            active_ms: 2000,
            size: Size { columns: 80, rows: 24 },
            clients: vec![client("ann", Mode::Drive), client("eve", Mode::Watch)],
            ..Session::default()
        };
        Found { host, session }
    }

    #[test]
    fn the_json_of_a_session_has_its_promised_fields() {
        let row = Row::new(found("abc"), 3000);
        assert_eq!(row.attached(), "ann (eve)");
        let value = serde_json::to_value(&row).unwrap();
        let expected = serde_json::json!({
            "id": "abc", "host": "web1", "name": "", "operator": "ann", "user": "root",
            "command": ["/bin/bash"], "ssh": "", "title": "", "pid": 7, "started": "1970-01-01T00:00:01Z",
            "active": "1970-01-01T00:00:02Z", "columns": 80, "rows": 24,
            "clients": [
                {"operator": "ann", "mode": "drive", "since": "1970-01-01T00:00:01Z"},
                {"operator": "eve", "mode": "watch", "since": "1970-01-01T00:00:01Z"},
            ],
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn a_session_is_meant_by_the_beginning_of_its_id_when_that_is_unique() {
        let all = || vec![found("abcd"), found("abxy")];
        assert_eq!(pick(all(), "abc").unwrap().session.id, "abcd");
        assert_eq!(pick(all(), "ab").unwrap_err().exit, Exit::Usage);
        assert_eq!(pick(all(), "z").unwrap_err().exit, Exit::NoMatch);
        assert_eq!(pick(all(), "").unwrap_err().exit, Exit::NoMatch);
    }
}
