//! `pushes`: who is told when a run is over.

use crate::App;
use crate::args::{self, Yes};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Paint};
use clap::{Args, Subcommand};
use cmdr_link::clock;
use cmdr_protocol::display::clean;
use cmdr_protocol::pushes::{Delete, Form, List, Post, PostState, Put, Rule, Test, When};
use cmdr_protocol::secrets;

/// Rules: who is told when a run is over, in Slack or at any webhook.
///
/// Where to post is a secret that the hub keeps: cmdr secrets put NAME < FILE.
#[derive(Debug, Args)]
pub struct PushesArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List rules.
    #[command(alias = "list")]
    Ls,
    /// List what waits to be posted, callbacks of programs too, and what was given up.
    Waiting,
    /// Make a rule, or replace the one of this name.
    Put(PutArgs),
    /// Remove a rule; what waits because of it is not posted any more.
    Rm {
        /// Which.
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Post a line for a try, now.
    Test {
        /// Which rule.
        name: String,
    },
}

#[derive(Debug, Args)]
struct PutArgs {
    /// What lists call it.
    name: String,
    /// As a message for people, at an incoming webhook of Slack; its address is this secret.
    #[arg(long, value_name = "SECRET", value_parser = secret, required_unless_present = "webhook")]
    slack: Option<String>,
    /// The result as JSON, for a program; the address is this secret.
    #[arg(long, value_name = "SECRET", value_parser = secret, conflicts_with = "slack", requires = "signed_by")]
    webhook: Option<String>,
    /// What is posted to a webhook is signed with this secret.
    #[arg(long, value_name = "SECRET", value_parser = secret, conflicts_with = "slack")]
    signed_by: Option<String>,
    /// Only when something did not end well.
    #[arg(long)]
    failed: bool,
    /// Only of runs on these hosts [default: on any].
    #[arg(long, value_name = "SELECTOR", default_value = "", value_parser = args::selector)]
    hosts: String,
    /// Only of this operator's runs [default: everybody's].
    #[arg(long, value_name = "NAME", default_value = "")]
    operator: String,
}

fn secret(text: &str) -> Result<String, String> {
    secrets::check_name(text).map(|()| text.to_owned())
}

pub(super) async fn run(app: &App, args: &PushesArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    match args.verb.as_ref().unwrap_or(&Verb::Ls) {
        Verb::Ls => list(app, &hub.ask(&List {}).await?.rules)?,
        Verb::Waiting => waiting(app, &hub.ask(&List {}).await?.posts)?,
        Verb::Put(args) => {
            let put = hub.ask(&Put { rule: args.rule() }).await?;
            let word = if put.replaced { "replaced" } else { "made" };
            app.out.note(&format!("rule {} {word}; try it: cmdr pushes test {0}", args.name));
        }
        Verb::Rm { name, yes } => {
            let delete = Delete { name: name.clone() };
            let question = format!("Remove the rule {name}?");
            hub.confirm(app, *yes, (&delete, None), (&question, "yes")).await?;
            hub.ask(&delete).await?;
            app.out.note(&format!("rule {name} removed"));
        }
        Verb::Test { name } => {
            let tested = hub.ask(&Test { name: name.clone() }).await?;
            app.out.note(&format!("posted; the answer was {}", tested.status));
            if !(200..300).contains(&tested.status) {
                return Ok(Exit::Failed);
            }
        }
    }
    Ok(Exit::Ok)
}

impl PutArgs {
    fn rule(&self) -> Rule {
        let form = if self.slack.is_some() { Form::Slack } else { Form::Webhook };
        let url_secret = self.slack.as_ref().or(self.webhook.as_ref()).cloned().unwrap_or_default();
        Rule {
            name: self.name.clone(),
            form,
            url_secret,
            signing_secret: self.signed_by.clone().unwrap_or_default(),
            when: if self.failed { When::Failed } else { When::Always },
            hosts: self.hosts.clone(),
            operator: self.operator.clone(),
        }
    }
}

fn any(text: &str) -> Cell {
    if text.is_empty() { "any".into() } else { clean(text).into_owned().into() }
}

fn list(app: &App, rules: &[Rule]) -> Result<(), Failure> {
    let columns = [
        Column::text("NAME", |r: &Rule| clean(&r.name).into_owned().into()),
        Column::text("FORM", |r| r.form.as_str().into()),
        Column::text("WHEN", |r| r.when.as_str().into()),
        Column::text("HOSTS", |r: &Rule| any(&r.hosts)),
        Column::text("OPERATOR", |r: &Rule| any(&r.operator)),
        Column::text("ADDRESS IN", |r| r.url_secret.as_str().into()),
        Column::text("SIGNED BY", |r: &Rule| r.signing_secret.as_str().into()).wide(),
    ];
    app.out.list(rules, &columns, |r| r.name.clone())
}

fn waiting(app: &App, posts: &[Post]) -> Result<(), Failure> {
    let columns = [
        Column::text("RUN", |r: &Post| r.run.map(|id| id.to_string()).unwrap_or_default().into()),
        Column::text("RULE", |r| {
            if r.rule.is_empty() { "(callback)".into() } else { clean(&r.rule).into_owned().into() }
        }),
        Column::text("STATE", |r| {
            let paint = if r.state == PostState::GivenUp { Paint::Bad } else { Paint::Dim };
            Cell::painted(r.state.as_str(), paint)
        }),
        Column::text("TRIES", |r| r.tries.to_string().into()),
        Column::text("NEXT", |r: &Post| {
            let next = r.state == PostState::Waiting && r.next_ms > clock::now_ms();
            if next { human::moment(r.next_ms).into() } else { "".into() }
        }),
        Column::text("WHY", |r: &Post| clean(&r.last).into_owned().into()),
    ];
    app.out.list(posts, &columns, |r| r.run.map(|id| id.to_string()).unwrap_or_default())
}
