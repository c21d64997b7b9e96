//! `runbook run`, `runbook steps` and `config push`: a runbook as a run of the hub's, and what came of its steps.

use crate::App;
use crate::commands::runs;
use crate::commands::runs::flags::RunFlags;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Column, Paint};
use clap::Args;
use cmdr_protocol::RunId;
use cmdr_protocol::display::clean;
use cmdr_protocol::runbooks::{StepResult, StepState, Steps};
use cmdr_protocol::runs::{Order, Param, Runbook, Show};
use serde::Serialize;
use std::collections::BTreeMap;

/// How a runbook is run.
#[derive(Debug, Args)]
pub(in crate::commands) struct How {
    /// A parameter; a list is a,b,c or a JSON array.
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = param)]
    params: Vec<(String, String)>,
    /// Which version [default: the newest].
    #[arg(long, value_name = "N")]
    version: Option<u32>,
    /// Hosts at once [default: as the runbook says, else all of a wave].
    #[arg(long, value_name = "N")]
    parallel: Option<u16>,
    #[command(flatten)]
    run: RunFlags,
}

fn param(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("'{}' is not NAME=VALUE", clean(text))),
    }
}

/// A step of a target, for tables.
#[derive(Serialize)]
struct Row {
    host: String,
    #[serde(flatten)]
    step: StepResult,
}

pub(in crate::commands) async fn run(
    app: &App,
    hub: Hub,
    name: &str,
    hosts: &str,
    how: &How,
) -> Result<Exit, Failure> {
    let mut params = BTreeMap::new();
    for (name, value) in &how.params {
        if params.insert(name.clone(), Param::Text(value.clone())).is_some() {
            return Err(Failure::usage(format!("the parameter {} is given twice", clean(name))));
        }
    }
    let version = how.version.unwrap_or(0);
    let runbook = Runbook { name: name.to_owned(), version, params, ..Runbook::default() };
    let order = Order { runbook: Some(runbook), ..Order::default() };
    let start = how.run.start(hosts, order, how.parallel)?;
    // A name that is written out and is no host's is not left out in silence.
    hub.check(hosts, false).await?;
    runs::begin(app, hub, start, &how.run).await
}

/// What came of the steps of a run, host by host.
pub(super) async fn steps(
    app: &App,
    hub: &Hub,
    run: RunId,
    host: Option<&str>,
) -> Result<Exit, Failure> {
    let (mut rows, mut from) = (Vec::new(), 0);
    loop {
        let shown = hub.ask(&Show { run, from }).await?;
        for target in shown.targets {
            if host.is_some_and(|host| host != target.name) {
                continue;
            }
            let listing = hub.ask(&Steps { run, target: target.index }).await?;
            let row = |step| Row { host: target.name.clone(), step };
            rows.extend(listing.steps.into_iter().map(row));
        }
        match shown.next {
            Some(next) => from = next,
            None => break,
        }
    }
    if rows.is_empty() {
        return Err(Failure::new(Exit::NoMatch, "the run has no such host"));
    }
    let columns = [
        Column::text("HOST", |r: &Row| clean(&r.host).into_owned().into()),
        Column::text("STEP", |r| r.step.name.as_str().into()),
        Column::text("STATE", |r| match r.step.state {
            StepState::Ok => Cell::painted("ok", Paint::Good),
            StepState::Failed => Cell::painted("failed", Paint::Bad),
            StepState::Ignored => Cell::painted("ignored", Paint::Warn),
            state => state.as_str().into(),
        }),
        Column::text("CODE", |r| r.step.code.map_or("-".into(), |code| code.to_string().into())),
        Column::figure("TRIES", |r| r.step.tries.to_string().into()),
        Column::text("WHY", |r| clean(&r.step.why).into_owned().into()),
        Column::text("OUTPUT", |r: &Row| {
            let last = r.step.output.lines().last().unwrap_or_default();
            clean(last).into_owned().into()
        })
        .wide(),
    ];
    app.out.list(&rows, &columns, |r| r.host.clone())?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_a_name_and_whatever_follows_the_first_sign() {
        assert_eq!(param("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(param("a").is_err() && param("=b").is_err());
    }
}
