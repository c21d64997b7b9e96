//! `packages`: packages of hosts through their own package managers, as runs.

use super::runs;
use super::runs::flags::RunFlags;
use crate::App;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use clap::{Args, Subcommand};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::orders::is_package;
use cmdr_protocol::runs::{Action, Order, Packages};

/// Install, remove and upgrade packages on hosts: apt, dnf, zypper, apk, pacman.
///
/// Nobody is asked anything there, configuration that was changed by hand stays, and what is so already is said to
/// be so. `cmdr system packages` shows what is installed.
#[derive(Debug, Args)]
pub struct PackagesArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Have packages
    Install(Named),
    /// Have them not; what needs them goes with them, and is named
    Remove(Named),
    /// Have their newest version, or that of all packages when none is named
    Upgrade(Upgraded),
}

#[derive(Debug, Args)]
struct Named {
    /// Names, as the hosts' package manager has them
    #[arg(required = true, value_name = "NAME", value_parser = name)]
    names: Vec<String>,

    #[command(flatten)]
    on: On,
}

#[derive(Debug, Args)]
struct Upgraded {
    /// Names, as the hosts' package manager has them; all packages when absent
    #[arg(value_name = "NAME", value_parser = name)]
    names: Vec<String>,

    #[command(flatten)]
    on: On,
}

#[derive(Debug, Args)]
struct On {
    /// Which hosts
    #[arg(long, value_name = "HOSTS")]
    on: String,

    #[command(flatten)]
    run: RunFlags,
}

fn name(text: &str) -> Result<String, String> {
    if is_package(text) { Ok(text.to_owned()) } else {
        Err(format!("'{}' is not how a package is named", clean_to_width(text, 80)))
    }
}

/// Does it.
pub async fn run(app: &App, args: PackagesArgs) -> Result<Exit, Failure> {
    let (action, names, on) = match args.verb {
        Verb::Install(Named { names, on }) => (Action::Install, names, on),
        Verb::Remove(Named { names, on }) => (Action::Remove, names, on),
        Verb::Upgrade(Upgraded { names, on }) => (Action::Upgrade, names, on),
    };
    let hub = Hub::connect(app).await?;
    hub.check(&on.on, false).await?;
    let order = Order { packages: Some(Packages { action, names }), ..Order::default() };
    let start = on.run.start(&on.on, order, None)?;
    runs::begin(app, hub, start, &on.run).await
}
