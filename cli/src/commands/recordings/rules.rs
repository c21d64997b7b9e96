//! `recordings rules`: what is recorded.

use crate::App;
use crate::args::{self, Yes};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::output::Column;
use clap::{Args, Subcommand};
use cmdr_protocol::recordings::{DeleteRule, PutRule, Rule, Rules};
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

#[derive(Debug, Args)]
pub(super) struct RulesArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List rules.
    #[command(alias = "list")]
    Ls,
    /// Make a rule or replace it; holds for what begins from then on.
    Set(SetArgs),
    /// Remove a rule; what it has recorded stays.
    Rm {
        /// Its name.
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
}

#[derive(Debug, Args)]
struct SetArgs {
    /// A name: a-z, 0-9, '-', '_' and '.'.
    name: String,

    /// On which hosts; all when left out.
    #[arg(long, value_name = "SELECTOR", default_value = "", hide_default_value = true, value_parser = args::selector)]
    hosts: String,

    /// Of which roles, with * and ?; may be given several times.
    #[arg(long = "role", value_name = "GLOB")]
    roles: Vec<String>,

    /// Of which operators, with * and ?; may be given several times.
    #[arg(long = "operator", value_name = "GLOB")]
    operators: Vec<String>,

    /// Which methods, with * and ?; all that can be recorded when left out.
    #[arg(long = "method", value_name = "GLOB")]
    methods: Vec<String>,

    /// What they act on, for instance 'command:/usr/bin/psql'; may be given several times.
    #[arg(long = "on", value_name = "GLOB")]
    resources: Vec<String>,

    /// Keep recordings so long at most (90d); for as long as there is room when left out.
    #[arg(long, value_name = "DURATION", value_parser = args::duration)]
    keep: Option<Duration>,

    /// Refuse what cannot be recorded, and end what no longer can be.
    #[arg(long)]
    strict: bool,

    /// Record what is sent to commands too. It may hold passwords.
    #[arg(long)]
    input: bool,

    /// For people.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    description: String,
}

pub(super) async fn run(app: &App, hub: &Hub, args: &RulesArgs) -> Result<Exit, Failure> {
    match &args.verb {
        None | Some(Verb::Ls) => {
            let rules = hub.ask(&Rules {}).await?.rules;
            let columns = [
                Column::text("RULE", |r: &Rule| r.name.as_str().into()),
                Column::text("HOSTS", |r| or_any(&r.hosts).into()),
                Column::text("OPERATORS", |r| of(&r.operators).into()),
                Column::text("ROLES", |r| of(&r.roles).into()),
                Column::text("METHODS", |r: &Rule| of(&r.methods).into()).wide(),
                Column::text("ON", |r| of(&r.resources).into()),
                Column::text("KEPT", |r| match r.keep_days {
                    0 => "while there is room".into(),
                    days => format!("{days} d").into(),
                }),
                Column::text("STRICT", |r| if r.strict { "yes" } else { "no" }.into()),
                Column::text("INPUT", |r| if r.input { "yes" } else { "no" }.into()),
                Column::text("DESCRIPTION", |r| r.description.as_str().into()),
            ];
            app.out.list(&rules, &columns, |r| r.name.clone())?;
        }
        Some(Verb::Set(args)) => {
            let rule = rule(args);
            hub.ask(&PutRule { rule }).await?;
            app.out.note(&format!("the rule {} holds for what begins from now on", args.name));
        }
        Some(Verb::Rm { name, yes }) => {
            let question = format!("Remove the rule {name}? What it names is recorded no more.");
            let delete = DeleteRule { name: name.clone() };
            hub.confirm(app, *yes, (&delete, None), (&question, "yes")).await?;
            hub.ask(&delete).await?;
            app.out.note(&format!("the rule {name} is removed"));
        }
    }
    Ok(Exit::Ok)
}

fn or_any(text: &str) -> String {
    if text.is_empty() { "any".to_owned() } else { text.to_owned() }
}

fn of(list: &[String]) -> String {
    or_any(&list.join(","))
}

fn rule(args: &SetArgs) -> Rule {
    let days = args.keep.map_or(0, |keep| keep.as_secs().div_ceil(DAY.as_secs()));
    Rule {
        name: args.name.clone(),
        description: args.description.clone(),
        hosts: args.hosts.clone(),
        roles: args.roles.clone(),
        operators: args.operators.clone(),
        methods: args.methods.clone(),
        resources: args.resources.clone(),
        keep_days: u32::try_from(days).unwrap_or(u32::MAX),
        strict: args.strict,
        input: args.input,
    }
}
