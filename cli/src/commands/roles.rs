//! `roles`, `can-i`, `who-can`: what each role allows, and who may do what.

mod file;

use crate::App;
use crate::args::Yes;
use crate::connect::{Hub, near_names};
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Format, Paint};
use clap::{Args, Subcommand};
use cmdr_protocol::display::clean;
use cmdr_protocol::methods::{METHODS, Place};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{
    Allowed, Answer, Assign, CanI, Definition, Delete, List, Matrix, Put, Question, Row, Table,
    WhoCan,
};
use cmdr_protocol::{Call, ErrorKind};
use serde::Serialize;
use std::path::PathBuf;

const FILE: &str = "\
A role is a list of grants, and a file of them looks like this:

  description = \"restarts web servers that are not in production\"

  [[grant]]
  verbs = [\"@read\"]                          # cmdr roles verbs lists them

  [[grant]]
  verbs = [\"exec.start\"]
  resources = [\"command:/usr/bin/systemctl\"] # left out: everything
  hosts = \"role=web,env!=prod\"               # a selector; left out: all
  hours = { days = [\"mon\", \"tue\"], from = \"08:00\", to = \"18:00\" } # UTC; left out: always
  limit = { hosts = 20, minutes = 60 }       # on so many hosts in that time; left out: any number
  on_request = { approvals = 1, longest_minutes = 60 } # holds once it was asked for and others approved

  [[grant]]
  verbs = [\"exec.start\"]
  resources = [\"signed-runbook:*\"]           # runbooks whose signature holds, and no others

Whatever no grant allows is denied. The right to start a shell is the right to everything that the
agent may do.";

/// What operators may do: list roles, make your own, give them to operators.
#[derive(Debug, Args)]
#[command(after_long_help = FILE)]
pub struct RolesArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List roles, the built-in ones first.
    #[command(alias = "ls")]
    List,
    /// Print a role as the file that 'roles set' reads.
    Show {
        /// Which.
        role: Role,
    },
    /// Make a role, or replace its grants; holds at once.
    Set {
        /// A name of its own: a-z, 0-9 and '-'.
        role: Role,
        /// The grants, as TOML; - reads standard input.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Remove a role; operators who have it may do nothing by it from then on.
    Delete {
        /// Which.
        role: Role,
        #[command(flatten)]
        yes: Yes,
    },
    /// Give an operator another role.
    Assign {
        /// The operator.
        operator: String,
        /// Which; none for an operator who has rights by groups alone.
        #[arg(value_parser = role_or_none)]
        role: Role,
    },
    /// Show which role allows what, as a table.
    Matrix {
        /// On this host [default: on the fleet as a whole].
        host: Option<String>,
    },
    /// List the verbs that grants can name.
    Verbs,
}

/// Say whether something is allowed, and why; exits 0 when it is and 5 when not.
#[derive(Debug, Args)]
pub struct CanIArgs {
    #[command(flatten)]
    question: QuestionArgs,

    /// As if you had this role.
    #[arg(long = "as", value_name = "ROLE")]
    role: Option<Role>,

    /// As if you were this operator.
    #[arg(long, value_name = "NAME", conflicts_with = "role")]
    operator: Option<String>,
}

/// Say who may do something.
#[derive(Debug, Args)]
pub struct WhoCanArgs {
    #[command(flatten)]
    question: QuestionArgs,
}

#[derive(Debug, Args)]
struct QuestionArgs {
    /// What, for instance exec.start.
    verb: String,

    /// The host that it would be done on.
    host: Option<String>,

    /// What it would be done with, for instance command:/usr/bin/systemctl.
    #[arg(long, value_name = "RESOURCE", default_value = "")]
    on: String,
}

fn role_or_none(text: &str) -> Result<Role, String> {
    if text == "none" { Ok(Role::NONE) } else { Role::parse(text).map_err(|e| e.to_string()) }
}

#[derive(Serialize)]
struct VerbRow {
    verb: &'static str,
    class: &'static str,
    answered_by: &'static str,
}

pub(super) async fn run(app: &App, args: &RolesArgs) -> Result<Exit, Failure> {
    if matches!(args.verb, Some(Verb::Verbs)) {
        return verbs(app);
    }
    let hub = Hub::connect(app).await?;
    match &args.verb {
        None | Some(Verb::List) => list(app, &hub.ask(&List {}).await?.roles)?,
        Some(Verb::Show { role }) => {
            let roles = hub.ask(&List {}).await?.roles;
            let found = roles.iter().find(|one| one.name == *role).ok_or_else(|| {
                Failure::new(Exit::NoMatch, format!("there is no role {role}"))
                    .hint("all of them: cmdr roles")
            })?;
            if matches!(app.out.format, Format::Table | Format::Wide | Format::Name) {
                app.out.data(&file::write(found)?)?;
            } else {
                app.out.one(found, &[], role.as_str())?;
            }
        }
        Some(Verb::Set { role, file }) => {
            let read = file::read(file)?;
            let count = human::count(read.grants.len() as u64, "grant");
            let put = Put { name: *role, description: read.description, grants: read.grants };
            hub.ask(&put).await?;
            app.out.note(&format!("the role {role} has {count} now"));
        }
        Some(Verb::Delete { role, yes }) => {
            let question =
                format!("Delete the role {role}? Operators who have it may do nothing by it then.");
            let delete = Delete { name: *role };
            hub.confirm(app, *yes, (&delete, None), (&question, "yes")).await?;
            hub.ask(&delete).await?;
            app.out.note(&format!("the role {role} is deleted"));
        }
        Some(Verb::Assign { operator, role }) => {
            hub.ask(&Assign { operator: operator.clone(), role: *role }).await?;
            app.out.note(&match *role {
                Role::NONE => format!("{operator} has no role of their own now"),
                role => format!("{operator} has the role {role} now"),
            });
        }
        Some(Verb::Matrix { host }) => {
            let host = match host {
                Some(host) => Some(hub.one_host(host).await?.id),
                None => None,
            };
            matrix(app, &hub.ask(&Matrix { host, ..Matrix::default() }).await?)?;
        }
        Some(Verb::Verbs) => {}
    }
    Ok(Exit::Ok)
}

fn list(app: &App, roles: &[Definition]) -> Result<(), Failure> {
    let columns = [
        Column::text("ROLE", |r: &Definition| r.name.to_string().as_str().into()),
        Column::figure("GRANTS", |r| r.grants.len().to_string().into()),
        Column::figure("OPERATORS", |r| r.operators.to_string().into()),
        Column::text("KIND", |r| if r.built_in { "built-in".into() } else { "own".into() }),
        Column::text("DESCRIPTION", |r| clean(&r.description).into_owned().into()),
    ];
    app.out.list(roles, &columns, |r| r.name.to_string())
}

fn verbs(app: &App) -> Result<Exit, Failure> {
    let rows: Vec<_> = METHODS
        .iter()
        .map(|method| VerbRow {
            verb: method.name,
            class: match method.access {
                cmdr_protocol::Access::Open | cmdr_protocol::Access::Own => "everybody",
                cmdr_protocol::Access::Read => "@read",
                cmdr_protocol::Access::Act => "@act",
                cmdr_protocol::Access::Admin => "@admin",
            },
            answered_by: match method.place {
                Place::Hub => "hub",
                Place::Host => "host",
                Place::Both => "both",
            },
        })
        .collect();
    let columns = [
        Column::text("VERB", |r: &VerbRow| r.verb.into()),
        Column::text("CLASS", |r| r.class.into()),
        Column::text("ANSWERED BY", |r| r.answered_by.into()),
    ];
    app.out.list(&rows, &columns, |r| r.verb.to_owned())?;
    Ok(Exit::Ok)
}

/// The column of one role.
fn allowed<const AT: usize>(row: &Row) -> Cell {
    let allowed = row.cells.get(AT).map(|cell| cell.allowed).unwrap_or_default();
    let paint = match allowed {
        Allowed::Yes => Paint::Good,
        Allowed::Some | Allowed::OnRequest => Paint::Warn,
        _ => Paint::Dim,
    };
    Cell::painted(allowed.as_str(), paint)
}

/// As many roles as fit side by side on a wide terminal.
const SHOWN: [fn(&Row) -> Cell; 10] = [
    allowed::<0>,
    allowed::<1>,
    allowed::<2>,
    allowed::<3>,
    allowed::<4>,
    allowed::<5>,
    allowed::<6>,
    allowed::<7>,
    allowed::<8>,
    allowed::<9>,
];

fn matrix(app: &App, table: &Table) -> Result<(), Failure> {
    let mut columns = vec![
        Column::text("VERB", |r: &Row| r.verb.as_str().into()),
        Column::text("CLASS", |r| r.class.as_str().into()),
    ];
    for (role, cell) in table.roles.iter().zip(SHOWN) {
        columns.push(Column::named(role.to_string().to_uppercase(), cell));
    }
    app.out.list(&table.rows, &columns, |r| r.verb.clone())?;
    if table.roles.len() > SHOWN.len() {
        app.out.note(&format!(
            "{} more roles are in the output of -o json",
            table.roles.len() - SHOWN.len()
        ));
    }
    Ok(())
}

async fn question(hub: &Hub, args: &QuestionArgs) -> Result<Question, Failure> {
    let host = match &args.host {
        Some(host) => Some(hub.one_host(host).await?.id),
        None => None,
    };
    Ok(Question { verb: args.verb.clone(), resource: args.on.clone(), host })
}

/// Asks what is about a verb. One that nobody knows is a slip of the pen, and told as such.
async fn asked<C: Call>(hub: &Hub, verb: &str, call: &C) -> Result<C::Reply, Failure> {
    match hub.client.call(None, call, hub.patience()).await {
        Err(e) if e.kind == ErrorKind::NotFound && cmdr_protocol::methods::find(verb).is_none() => {
            let near = near_names(verb, METHODS.iter().map(|method| method.name));
            Err(Failure::usage(e.message).hint(match near.as_slice() {
                [] => "all of them: cmdr roles verbs".to_owned(),
                near => format!("did you mean: {}", near.join(", ")),
            }))
        }
        done => done.map_err(Failure::from_hub),
    }
}

pub(super) async fn can_i(app: &App, args: &CanIArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let question = question(&hub, &args.question).await?;
    let can_i = CanI { question, role: args.role, operator: args.operator.clone() };
    let answer = asked(&hub, &args.question.verb, &can_i).await?;
    let word = |r: &Answer| match (r.allowed, r.on_request) {
        (true, _) => Cell::painted("yes", Paint::Good),
        (false, true) => Cell::painted("on request", Paint::Warn),
        (false, false) => Cell::painted("no", Paint::Bad),
    };
    let columns = [
        Column::text("ALLOWED", word),
        Column::text("ROLE", |r| r.role.to_string().as_str().into()),
        Column::text("WHY", |r| clean(&r.reason).into_owned().into()),
    ];
    app.out.list(std::slice::from_ref(&answer), &columns, |r| r.allowed.to_string())?;
    Ok(if answer.allowed { Exit::Ok } else { Exit::Denied })
}

#[derive(Serialize)]
struct AbleRow {
    operator: String,
    role: Role,
    grant: Option<u32>,
    on_request: bool,
    reason: String,
}

pub(super) async fn who_can(app: &App, args: &WhoCanArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let question = question(&hub, &args.question).await?;
    let able = asked(&hub, &args.question.verb, &WhoCan { question }).await?;
    let row = |(operator, answer): &(String, Answer)| AbleRow {
        operator: operator.clone(),
        role: answer.role,
        grant: answer.grant,
        on_request: answer.on_request,
        reason: answer.reason.clone(),
    };
    let rows: Vec<_> = able.operators.iter().map(row).collect();
    let columns = [
        Column::text("OPERATOR", |r: &AbleRow| clean(&r.operator).into_owned().into()),
        Column::text("ROLE", |r| r.role.to_string().as_str().into()),
        Column::figure("GRANT", |r| {
            r.grant.map_or_else(|| "-".to_owned(), |n| n.to_string()).into()
        }),
        Column::text("NOW", |r| if r.on_request { "on request".into() } else { "yes".into() }),
        Column::text("WHY", |r| clean(&r.reason).into_owned().into()),
    ];
    app.out.list(&rows, &columns, |r| r.operator.clone())?;
    let names: Vec<_> = able.roles.iter().map(|one| one.role.to_string()).collect();
    app.out.note(&match names.len() {
        0 => "no role allows it".to_owned(),
        _ => format!("allowed by {}", names.join(", ")),
    });
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_the_help_is_one() {
        let text: String = FILE
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .flat_map(|line| [line, "\n"])
            .collect();
        let read = file::parse(std::path::Path::new("help"), &text).unwrap();
        assert_eq!(read.grants.len(), 3);
        assert!(read.grants[1].hours.is_some());
        assert_eq!(read.grants[2].resources, ["signed-runbook:*"]);
    }
}
