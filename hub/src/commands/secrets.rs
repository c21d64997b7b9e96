//! `cmdr-hub secrets`: the master key of a hub that does not run.

use super::{Done, Misconfigured, keep, say};
use crate::config::{Config, Secrets as Settings};
use crate::data::DataDir;
use crate::store::Store;
use crate::vault::master::Source;
use crate::vault::rotate;
use clap::{Args, Subcommand};
use cmdr_protocol::human::count;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cmdr-hub secrets rewrap
  cmdr-hub --config hub.toml secrets rewrap --key-file /run/keys/cmdr
  cmdr-hub secrets rewrap --key-command /usr/bin/pass show cmdr/master")]
pub(super) struct Secrets {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Change the master key: the one of the configuration opens, the one named here takes its place
    ///
    /// Without an option the hub's own file, secrets.key in the data folder, gets a new key.
    Rewrap {
        /// The new key is in this file
        #[arg(long, value_name = "FILE", group = "to")]
        key_file: Option<PathBuf>,
        /// The new key is in this variable
        #[arg(
            long,
            value_name = "NAME",
            group = "to",
            default_value = "",
            hide_default_value = true
        )]
        key_env: String,
        /// This program writes the new key on its standard output
        #[arg(long, value_name = "PROGRAM [ARGUMENT]", group = "to", num_args = 1.., allow_hyphen_values = true)]
        key_command: Vec<String>,
    },
    /// Delete every named secret and all data keys: the master key is lost for good
    Forget {
        /// Do it
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn run(dir: &Path, config: &Config, args: Secrets) -> anyhow::Result<Done> {
    keep::require(dir)?;
    let of =
        |settings: &Settings| Source::of(settings, dir).map_err(|e| Misconfigured(e.to_string()));
    let data = DataDir::open(dir)?;
    let store = Store::open(&data.store())?;
    match args.verb {
        Verb::Rewrap { key_file, key_command, key_env } => {
            let key_command = (!key_command.is_empty()).then_some(key_command);
            let settings = Settings { key_file, key_command, key_env };
            let (from, to) = (of(&config.secrets)?, of(&settings)?);
            let keys = rotate::rewrap(&store, &from, &to).await?;
            let told =
                format!("{} wrapped anew: {to} opens them now", count(keys as u64, "data key"));
            let next = if from == to {
                String::new()
            } else {
                format!(
                    ". Name it in [secrets] of the hub's configuration before the hub starts; {from} is of no use any more"
                )
            };
            say(&format!("{told}{next}"));
        }
        Verb::Forget { yes } => {
            anyhow::ensure!(
                yes,
                "this deletes every named secret for good, and what other parts have sealed will never open again; to do it: cmdr-hub secrets forget --yes"
            );
            let records = rotate::forget(&store).await?;
            say(&format!(
                "{} deleted; the hub starts with a new data key. Put the secrets again: cmdr secrets put NAME",
                count(records as u64, "record")
            ));
        }
    }
    Ok(Done::Well)
}
