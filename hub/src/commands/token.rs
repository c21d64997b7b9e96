//! `cmdr-hub token`: makes, lists and withdraws join tokens, on a hub that runs or one that does not.

use super::serve::advertised;
use super::{Done, ask, print, say};
use crate::audit::trail;
use crate::config::Config;
use crate::keyring::Revocation;
use crate::local::{self, Local};
use crate::server::Hub;
use crate::services;
use clap::{Args, Subcommand, ValueEnum};
use cmdr_link::clock;
use cmdr_link::token::JoinToken;
use cmdr_protocol::human::count;
use cmdr_protocol::ids::TokenId;
use cmdr_protocol::pages::Paged as _;
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::shown::{HEADS, Made, Shown};
use cmdr_protocol::tokens::{Create, List, Listing, Revoke, TokenKind};
use cmdr_protocol::{CallError, ErrorKind, Revoked, address, selector};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

#[derive(Debug, Args)]
pub(super) struct Token {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    create: NewToken,
    /// How to print: table or json
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    #[arg(hide_possible_values = true)]
    output: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all tokens, newest first
    List,
    /// Withdraw a token
    Revoke {
        /// Its id, from the list
        id: TokenId,
    },
}

#[derive(Debug, Args)]
struct NewToken {
    /// For a host (the default)
    #[arg(long, conflicts_with = "operator")]
    host: bool,
    /// For an operator with this role: administrator, operator or observer
    #[arg(long, value_name = "ROLE", value_parser = role)]
    operator: Option<Role>,
    /// How long it can be used: 30m, 12h, 7d; 30 days at most
    #[arg(long, default_value = "30m", value_parser = duration)]
    ttl: Duration,
    /// How often it can be used
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,
    /// A label for hosts that join with it; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label, conflicts_with = "operator")]
    labels: Vec<(String, String)>,
    /// Where peers shall dial, instead of the hub's own idea of it
    #[arg(long, value_name = "HOST:PORT", value_parser = address::parse)]
    address: Option<String>,
    /// Print the token alone
    #[arg(long, short)]
    quiet: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..split].parse().map_err(|_| "a number and a unit, such as 30m".to_owned())?;
    let unit = match &text[split..] {
        "s" => 1,
        "" | "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err("the unit is s, m, h or d".to_owned()),
    };
    let seconds = number.checked_mul(unit).filter(|s| (1..=services::LONGEST_TTL_S).contains(s));
    seconds.map(Duration::from_secs).ok_or_else(|| "from 1 second to 30 days".to_owned())
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is KEY=VALUE")?;
    selector::check_key(key).and_then(|()| selector::check_value(value))?;
    Ok((key.to_owned(), value.to_owned()))
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).map_err(|e| e.to_string())
}

pub(super) async fn run(dir: &Path, config: &Config, args: Token) -> anyhow::Result<Done> {
    let address = match (&args.create.address, config.address.as_str()) {
        (Some(given), _) => given.clone(),
        (None, "") => advertised(SocketAddr::from(([0, 0, 0, 0], 7700))),
        (None, configured) => configured.to_owned(),
    };
    let local = local::reach(dir, &address).await?;
    match args.verb {
        None => create(&local, &args.create, args.output).await?,
        Some(Verb::List) => {
            let mut asked = List::all();
            let mut listing: Listing = match (ask(&local, &asked).await, &local) {
                (Some(answer), _) => answer?,
                (None, Local::Stopped(hub, _)) => services::list_tokens(hub),
                (None, Local::Running(_)) => anyhow::bail!("the hub did not answer"),
            };
            while let Some(next) = asked.following(&listing) {
                let Some(page) = ask(&local, &next).await else { break };
                List::join(&mut listing, page?);
                asked = next;
            }
            let now = clock::now_ms();
            let rows: Vec<_> = listing.tokens.into_iter().map(|t| Shown::new(t, now)).collect();
            match args.output {
                Format::Table => print(&table(&rows))?,
                Format::Json => print(&(serde_json::to_string_pretty(&rows)? + "\n"))?,
            }
        }
        Some(Verb::Revoke { id }) => {
            let revoked: Revoked = match (ask(&local, &Revoke { id }).await, &local) {
                (Some(answer), _) => answer?,
                (None, Local::Stopped(hub, _)) => {
                    trail::local(&hub.audit, "cmdr-hub token", &Revoke { id }, revoke(hub, id))
                        .await?
                }
                (None, Local::Running(_)) => anyhow::bail!("the hub did not answer"),
            };
            say(&revoked.told(&format!("token {id}")));
        }
    }
    Ok(Done::Well)
}

async fn revoke(hub: &Hub, id: TokenId) -> Result<Revoked, CallError> {
    let done = hub.keyring.revoke_token(id).await;
    match done.map_err(|e| CallError::new(ErrorKind::Busy, e.to_string()))? {
        Revocation::Unknown => Err(CallError::not_found(format!("there is no token {id}"))),
        Revocation::Already => Ok(Revoked { already: true }),
        Revocation::Now => Ok(Revoked { already: false }),
    }
}

async fn create(local: &Local, args: &NewToken, output: Format) -> anyhow::Result<()> {
    let create = Create {
        kind: if args.operator.is_some() { TokenKind::Operator } else { TokenKind::Host },
        role: args.operator.unwrap_or(Role::NONE),
        operator: String::new(),
        ttl_s: args.ttl.as_secs(),
        uses: args.uses,
        labels: args.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
        address: args.address.clone().unwrap_or_default(),
    };
    let created = match (ask(local, &create).await, local) {
        (Some(answer), _) => answer?,
        (None, Local::Stopped(hub, _)) => {
            services::make_token(hub, &create, "cmdr-hub token").await?
        }
        (None, Local::Running(_)) => anyhow::bail!("the hub did not answer"),
    };
    let id = JoinToken::parse(&created.text).map_err(|e| CallError::failed(e.to_string()))?.id;
    let made = Made::new(id, &create, &created);
    if output == Format::Json {
        print(&(serde_json::to_string_pretty(&made)? + "\n"))?;
    } else if args.quiet {
        print(&format!("{}\n", made.token))?;
    } else {
        print(&format!("{} {}\n", made.used_with(), made.token))?;
        let (uses, minutes) = (u64::from(create.uses), args.ttl.as_secs().div_ceil(60));
        say(&format!(
            "It can be used {}, for {}. It is shown only now.",
            count(uses, "time"),
            count(minutes, "minute")
        ));
    }
    Ok(())
}

/// Columns two blanks apart, as `cmdr tokens list` prints them.
fn table(rows: &[Shown]) -> String {
    let cells: Vec<_> = rows.iter().map(Shown::cells).collect();
    let width = |at: usize| {
        let longest = cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        longest.max(HEADS[at].len())
    };
    let line = |row: [&str; HEADS.len()]| {
        let padded = row.iter().enumerate().map(|(at, text)| format!("{text:0$}", width(at)));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let mut out = line(HEADS);
    for row in &cells {
        out += &line(std::array::from_fn(|at| row[at].as_str()));
    }
    out
}
