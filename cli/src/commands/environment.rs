//! `env`: variables that a host gives to everybody who logs in.

use super::edit::{Place, Saved, told};
use crate::App;
use crate::args;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Column, Paint};
use clap::{Args, Subcommand};
use cmdr_protocol::environment::{self, List, Listing, Set, Unset, Values, Variable};
use cmdr_protocol::{CallError, ErrorKind};
use serde::Serialize;

/// Show and change the variables of a host (/etc/environment), each as a line of its own.
#[derive(Debug, Args)]
pub struct EnvArgs {
    /// Which host.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    host: String,

    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the variables; values only for those who may read the file.
    #[command(alias = "list")]
    Ls,
    /// Give a variable a value. Other lines stay as they are.
    Set {
        /// The variable and its value; a value that is a secret is better put there with cmdr edit.
        #[arg(value_name = "NAME=VALUE", value_parser = args::variable)]
        variable: (String, String),
        #[command(flatten)]
        how: Saved,
    },
    /// Take a variable away.
    Unset {
        /// Which.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        how: Saved,
    },
}

#[derive(Serialize)]
struct Row {
    name: String,
    value: Option<String>,
    line: u32,
}

pub(super) async fn run(app: &App, args: &EnvArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let target = hub.one_host(&args.host).await?;
    let place = Place { host: target.id, name: target.name.clone(), path: environment::path() };
    match args.verb.as_ref().unwrap_or(&Verb::Ls) {
        Verb::Ls => list(app, &hub, &place).await,
        Verb::Set { variable: (name, value), how } => {
            let set = Set {
                name: name.clone(),
                value: value.clone(),
                confirm_s: how.confirm_s(),
                note: how.note.clone(),
                force: how.force,
            };
            told::saving(app, &place, &hub.ask_host(target.id, &set).await?)
        }
        Verb::Unset { name, how } => {
            let unset = Unset {
                name: name.clone(),
                confirm_s: how.confirm_s(),
                note: how.note.clone(),
                force: how.force,
            };
            told::saving(app, &place, &hub.ask_host(target.id, &unset).await?)
        }
    }
}

/// With values where that is allowed, else without.
async fn look(hub: &Hub, place: &Place) -> Result<(Listing, bool), CallError> {
    let patience = hub.patience();
    match hub.client.call(Some(place.host), &Values {}, patience).await {
        Err(e) if matches!(e.kind, ErrorKind::Denied | ErrorKind::OnRequest) => {
            let listing = hub.client.call(Some(place.host), &List {}, patience).await?;
            Ok((listing, true))
        }
        values => values.map(|listing| (listing, false)),
    }
}

async fn list(app: &App, hub: &Hub, place: &Place) -> Result<Exit, Failure> {
    let (listing, masked) = look(hub, place).await?;
    let row = |Variable { name, value, line }| Row { name, value, line };
    let rows: Vec<_> = listing.variables.into_iter().map(row).collect();
    let columns = [
        Column::text("NAME", |r: &Row| r.name.as_str().into()),
        Column::figure("LINE", |r: &Row| r.line.to_string().into()).wide(),
        Column::text("VALUE", |r: &Row| match &r.value {
            Some(value) => value.as_str().into(),
            None => Cell::painted("•••", Paint::Dim),
        }),
    ];
    app.out.list(&rows, &columns, |row| row.name.clone())?;
    if masked {
        app.out.note("values are for those who may read the file (environment.values)");
    }
    for line in listing.odd {
        app.out.warn(&format!("line {line} of {} says nothing", place.shown()));
    }
    Ok(Exit::Ok)
}
