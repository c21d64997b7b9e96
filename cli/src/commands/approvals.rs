//! `approvals`: rights that have to be asked for, and saying yes or no to others who ask.

use crate::App;
use crate::args;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Paint};
use clap::{Args, Subcommand};
use cmdr_link::clock;
use cmdr_protocol::approvals::{Approval, Ask, Decide, End, List, State, Wanted};
use cmdr_protocol::display::clean;
use std::time::Duration;

/// Ask for rights that hold for a time, and decide about those others ask for.
#[derive(Debug, Args)]
pub struct ApprovalsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List your requests and those that you may decide, open ones first.
    #[command(alias = "ls")]
    List,
    /// Ask for something that your role has on request.
    Ask {
        /// What, by whole names: exec.start (cmdr roles verbs).
        #[arg(required = true)]
        verbs: Vec<String>,
        /// Why; others decide by it.
        #[arg(long, short)]
        reason: String,
        /// On which hosts [default: on all that the role has it for].
        #[arg(long, value_name = "SELECTOR", default_value = "", value_parser = args::selector)]
        hosts: String,
        /// On what, with * and ?: command:/usr/bin/systemctl [default: on everything].
        #[arg(long = "on", value_name = "RESOURCE")]
        resources: Vec<String>,
        /// For how long.
        #[arg(long = "for", value_name = "DURATION", default_value = "15m", value_parser = args::duration)]
        time: Duration,
        /// Wait until it is decided; exits 5 when the answer is no.
        #[arg(long, short)]
        wait: bool,
    },
    /// Say yes.
    Approve {
        /// Number of the request.
        id: u64,
        /// Why.
        #[arg(long, short, default_value = "")]
        reason: String,
    },
    /// Say no.
    Deny {
        /// Number of the request.
        id: u64,
        /// Why.
        #[arg(long, short)]
        reason: String,
    },
    /// End what was approved for you, or take a request back.
    End {
        /// Number of the request.
        id: u64,
    },
}

pub(super) async fn run(app: &App, args: &ApprovalsArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    match args.verb.as_ref().unwrap_or(&Verb::List) {
        Verb::List => list(app, &hub.ask(&List {}).await?.approvals)?,
        Verb::Ask { verbs, reason, hosts, resources, time, wait } => {
            let minutes = u32::try_from(time.as_secs().div_ceil(60)).unwrap_or(u32::MAX);
            let wanted = Wanted {
                verbs: verbs.clone(),
                resources: resources.clone(),
                hosts: hosts.clone(),
                minutes,
            };
            let asked = hub.ask(&Ask { wanted, reason: reason.clone() }).await?;
            app.out.data(&format!("{}\n", asked.id))?;
            app.out.note(&told(&asked));
            if *wait && asked.state == State::Waiting {
                return decided(app, &hub, asked.id).await;
            }
        }
        Verb::Approve { id, reason } => decide(app, &hub, *id, true, reason).await?,
        Verb::Deny { id, reason } => decide(app, &hub, *id, false, reason).await?,
        Verb::End { id } => {
            hub.ask(&End { id: *id }).await?;
            app.out.note(&format!("request {id} is ended"));
        }
    }
    Ok(Exit::Ok)
}

async fn decide(app: &App, hub: &Hub, id: u64, approve: bool, reason: &str) -> Result<(), Failure> {
    let decided = hub.ask(&Decide { id, approve, reason: reason.to_owned() }).await?;
    app.out.note(&told(&decided));
    Ok(())
}

/// Waits until somebody has decided.
async fn decided(app: &App, hub: &Hub, id: u64) -> Result<Exit, Failure> {
    let watch = cmdr_protocol::approvals::Watch {};
    let mut feed = hub.client.feed(None, &watch).await.map_err(Failure::from_hub)?;
    while let Some(listing) = feed.next().await {
        let listing = listing.map_err(Failure::from_hub)?;
        let one = listing.approvals.iter().find(|approval| approval.id == id);
        if let Some(one) = one.filter(|approval| approval.state != State::Waiting) {
            app.out.note(&told(one));
            return Ok(if one.state == State::Active { Exit::Ok } else { Exit::Denied });
        }
    }
    Err(Failure::failed("the hub ended the list before anybody had decided"))
}

fn told(approval: &Approval) -> String {
    let Approval { id, until_ms, .. } = approval;
    let last = approval.decisions.last();
    let by = last.map_or_else(String::new, |d| {
        let reason =
            if d.reason.is_empty() { String::new() } else { format!(": {}", clean(&d.reason)) };
        format!(" by {}{reason}", clean(&d.by))
    });
    match approval.state {
        State::Waiting => {
            let yes = approval.decisions.iter().filter(|decision| decision.approve).count();
            let left = approval.needs.saturating_sub(yes as u32);
            format!("request {id} waits for {} to approve", human::count(u64::from(left), "person"))
        }
        State::Active => {
            format!("request {id} is approved{by}; it holds until {}", human::moment(*until_ms))
        }
        State::Denied => format!("request {id} is denied{by}"),
        state => format!("request {id} is {state}"),
    }
}

/// What is wanted, in one line.
fn what(approval: &Approval) -> String {
    let Wanted { verbs, resources, hosts, .. } = &approval.wanted;
    let on =
        if resources.is_empty() { String::new() } else { format!(" on {}", resources.join(" ")) };
    let at = if hosts.is_empty() { String::new() } else { format!(" at {hosts}") };
    clean(&format!("{}{on}{at}", verbs.join(" "))).into_owned()
}

fn left(approval: &Approval) -> Cell {
    match approval.state {
        State::Waiting | State::Active => {
            human::span(approval.until_ms.saturating_sub(clock::now_ms()) / 1000).into()
        }
        _ => "-".into(),
    }
}

fn list(app: &App, all: &[Approval]) -> Result<(), Failure> {
    let columns = [
        Column::figure("ID", |r: &Approval| r.id.to_string().into()),
        Column::text("STATE", |r| {
            let paint = match r.state {
                State::Active => Paint::Good,
                State::Waiting => Paint::Warn,
                State::Denied => Paint::Bad,
                _ => Paint::Dim,
            };
            Cell::painted(r.state.as_str(), paint)
        }),
        Column::text("OPERATOR", |r| clean(&r.operator).into_owned().into()),
        Column::text("WANTS", |r| what(r).into()),
        Column::text("FOR", |r| human::span(u64::from(r.wanted.minutes) * 60).into()),
        Column::text("LEFT", left),
        Column::text("YOURS TO DECIDE", |r| if r.may_decide { "yes".into() } else { "-".into() }),
        Column::text("REASON", |r| clean(&r.reason).into_owned().into()),
    ];
    app.out.list(all, &columns, |r| r.id.to_string())
}
