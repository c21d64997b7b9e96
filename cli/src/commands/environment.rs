//! `env`: variables that a host gives to everybody who logs in.

use super::edit::{Place, Saved, told};
use super::system::{Of, show};
use crate::App;
use crate::args;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Column, Paint};
use clap::{Args, Subcommand};
use cmdr_protocol::environment::{self, List, Set, Unset, Values, Variable};

/// Show and change the variables of a host (/etc/environment), each as a line of its own.
#[derive(Debug, Args)]
pub struct EnvArgs {
    /// Which host; to list also more of them, by a selector.
    #[arg(value_name = "HOST", value_parser = args::selector)]
    host: String,

    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the variables; what looks like a secret is struck out.
    #[command(alias = "list")]
    Ls {
        /// With what looks like secrets; who has asked for them is in the audit log.
        #[arg(long)]
        secrets: bool,
    },
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

pub(super) async fn run(app: &App, args: &EnvArgs) -> Result<Exit, Failure> {
    let verb = args.verb.as_ref().unwrap_or(&Verb::Ls { secrets: false });
    match verb {
        Verb::Ls { secrets: false } => return show(app, &args.host, List {}, columns()).await,
        Verb::Ls { secrets: true } => return show(app, &args.host, Values {}, columns()).await,
        Verb::Set { .. } | Verb::Unset { .. } => {}
    }
    let hub = Hub::connect(app).await?;
    let target = hub.one_host(&args.host).await?;
    let place = Place { host: target.id, name: target.name.clone(), path: environment::path() };
    match verb {
        Verb::Ls { .. } => Ok(Exit::Ok),
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

fn columns() -> Vec<Column<Of<Variable>>> {
    vec![
        Column::text("NAME", |r: &Of<Variable>| r.row.name.as_str().into()),
        Column::text("SOURCE", |r: &Of<Variable>| r.row.source.as_str().into()),
        Column::figure("LINE", |r: &Of<Variable>| match r.row.line {
            0 => String::new().into(),
            line => line.to_string().into(),
        })
        .wide(),
        Column::text("VALUE", |r: &Of<Variable>| {
            if r.row.masked {
                Cell::painted("(struck out)", Paint::Dim)
            } else {
                r.row.value.as_str().into()
            }
        }),
    ]
}
