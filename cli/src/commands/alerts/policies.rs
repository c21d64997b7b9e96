//! `alerts policies`: who is told of which alerts.

use crate::App;
use crate::commands::runbook;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::output::Format;
use clap::{Args, Subcommand};
use cmdr_protocol::alerts::{CheckPolicies, Policies, SavePolicies};
use cmdr_protocol::display::clean;
use std::path::{Path, PathBuf};

const FILE: &str = "\
Policies are a file like this; the first one that matches an alert counts:

  policies:
  - name: urgent
    match: severity=critical, env=prod
    to: [on-call]                # notifiers
    group_by: [rule]             # one notice for all alerts of a rule
    group_wait: 30s
    group_interval: 5m
    cooldown: 5m
    repeat: 1h                   # until somebody acknowledges
    escalate:
    - { after: 15m, to: [boss] }
  - name: others
    to: [mail]
    quiet:
    - { days: [sat, sun], from: '00:00', to: '24:00', zone: Europe/Berlin }
    quiet_spares: critical";

/// By which policies alerts are told; without a verb, prints them.
#[derive(Debug, Args)]
#[command(after_long_help = FILE)]
pub(super) struct PoliciesArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print them, as 'alerts policies save' reads them.
    Show,
    /// See whether a file has policies; what is wrong is told with file, line and column.
    Check {
        /// The file; - reads standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Go by the policies of a file from now on.
    Save {
        /// The file; - reads standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// What changed.
        #[arg(long, default_value = "")]
        note: String,
        /// Save it only if this is the newest version now.
        #[arg(long, value_name = "N")]
        was: Option<u64>,
    },
}

pub(super) async fn run(app: &App, args: &PoliciesArgs) -> Result<Exit, Failure> {
    match args.verb.as_ref().unwrap_or(&Verb::Show) {
        Verb::Show => {
            let shown = Hub::connect(app).await?.ask(&Policies {}).await?;
            if matches!(app.out.format, Format::Table | Format::Wide | Format::Name) {
                app.out.data(&shown.text)?;
            } else {
                app.out.one(&shown, &[], "policies")?;
            }
            for problem in &shown.problems {
                app.out.warn(&clean(&problem.to_string()));
            }
        }
        Verb::Check { file } => {
            let text = runbook::read(file)?;
            check(&Hub::connect(app).await?, file, &text).await?;
            app.out.note("these are policies");
        }
        Verb::Save { file, note, was } => {
            let text = runbook::read(file)?;
            let hub = Hub::connect(app).await?;
            check(&hub, file, &text).await?;
            let saved = hub.ask(&SavePolicies { text, note: note.clone(), was: *was }).await?;
            app.out.note(&if saved.unchanged {
                "these policies count already".to_owned()
            } else {
                format!("alerts are told by these policies now, version {}", saved.version)
            });
        }
    }
    Ok(Exit::Ok)
}

async fn check(hub: &Hub, file: &Path, text: &str) -> Result<(), Failure> {
    let checked = hub.ask(&CheckPolicies { text: text.to_owned() }).await?;
    if checked.problems.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(runbook::told(file, &checked.problems)))
}
