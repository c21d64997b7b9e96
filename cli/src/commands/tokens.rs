//! `tokens`: how new hosts and operators come into the fleet.

use crate::App;
use crate::args::{self, Yes};
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Paint};
use clap::{Args, Subcommand};
use cmdr_link::clock;
use cmdr_link::token::JoinToken;
use cmdr_protocol::address;
use cmdr_protocol::ids::TokenId;
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::shown::{HEADS, Made, Shown};
use cmdr_protocol::tokens::{Create, List, Revoke, TokenKind, TokenState};
use std::time::Duration;

/// Make, list and revoke join tokens.
#[derive(Debug, Args)]
#[command(arg_required_else_help = false)]
pub struct TokensArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List tokens, newest first.
    #[command(alias = "ls")]
    List,
    /// Make a token and print it; it is shown once and kept nowhere.
    Create(CreateArgs),
    /// Withdraw a token; who joined with it stays.
    Revoke {
        /// The token's id.
        #[arg(value_name = "ID")]
        id: TokenId,
        #[command(flatten)]
        yes: Yes,
    },
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// For a host: cmdr-agentd join TOKEN.
    #[arg(long, conflicts_with = "operator")]
    host: bool,

    /// For an operator: cmdr login TOKEN. ROLE is administrator, operator, developer, observer or one of
    /// your own (cmdr roles).
    #[arg(long, value_name = "ROLE")]
    operator: Option<Role>,

    /// For one more device of an operator who is there: cmdr login TOKEN.
    #[arg(long = "for", value_name = "NAME", conflicts_with_all = ["operator", "host"])]
    for_operator: Option<String>,

    /// How long it may be used.
    #[arg(long, default_value = "30m", value_name = "DURATION", value_parser = args::duration)]
    ttl: Duration,

    /// How often it may be used.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,

    /// Label of the hosts that join with it.
    #[arg(long, value_name = "KEY=VALUE", value_parser = args::label, conflicts_with = "operator")]
    label: Vec<(String, String)>,

    /// Where they shall dial [default: the hub's own idea of it].
    #[arg(long, value_name = "HOST:PORT", value_parser = address::parse)]
    address: Option<String>,
}

fn columns() -> [Column<Shown>; HEADS.len()] {
    [
        Column::text(HEADS[0], |r: &Shown| r.cells()[0].as_str().into()),
        Column::text(HEADS[1], |r| r.cells()[1].as_str().into()),
        Column::text(HEADS[2], |r| {
            let paint = if r.state == TokenState::Valid { Paint::Good } else { Paint::Dim };
            Cell::painted(r.state.as_str(), paint)
        }),
        Column::text(HEADS[3], |r| r.cells()[3].as_str().into()),
        Column::text(HEADS[4], |r| r.cells()[4].as_str().into()),
        Column::text(HEADS[5], |r| r.cells()[5].as_str().into()),
        Column::text(HEADS[6], |r| r.cells()[6].as_str().into()),
        Column::text(HEADS[7], |r| r.cells()[7].as_str().into()),
    ]
}

pub(super) async fn run(app: &App, args: &TokensArgs) -> Result<Exit, Failure> {
    if let Some(Verb::Create(CreateArgs {
        host: false, operator: None, for_operator: None, ..
    })) = &args.verb
    {
        return Err(Failure::usage("a token is for a host or for an operator: say which").hint(
            "for a server: cmdr tokens create --host; for a person's device: cmdr tokens create \
             --operator ROLE (administrator, operator or observer)",
        ));
    }
    let hub = Hub::connect(app).await?;
    match args.verb.as_ref().unwrap_or(&Verb::List) {
        Verb::List => {
            let now = clock::now_ms();
            let tokens = hub.ask_all(&List::all()).await?.tokens;
            let rows: Vec<_> = tokens.into_iter().map(|token| Shown::new(token, now)).collect();
            app.out.list(&rows, &columns(), |r| r.id.to_string())?;
        }
        Verb::Create(args) => create(app, &hub, args).await?,
        Verb::Revoke { id, yes } => {
            let (revoke, question) = (Revoke { id: *id }, format!("Revoke the token {id}?"));
            hub.confirm(app, *yes, (&revoke, None), (&question, "yes")).await?;
            let revoked = hub.ask(&revoke).await?;
            app.out.note(&revoked.told(&format!("token {id}")));
        }
    }
    Ok(Exit::Ok)
}

async fn create(app: &App, hub: &Hub, args: &CreateArgs) -> Result<(), Failure> {
    let create = Create {
        kind: if args.host { TokenKind::Host } else { TokenKind::Operator },
        role: args.operator.unwrap_or(Role::NONE),
        operator: args.for_operator.clone().unwrap_or_default(),
        ttl_s: args.ttl.as_secs().max(1),
        uses: args.uses,
        labels: args.label.iter().cloned().collect(),
        address: args.address.clone().unwrap_or_default(),
    };
    let created = hub.ask(&create).await?;
    let id = JoinToken::parse(&created.text)
        .map_err(|e| Failure::failed(format!("the hub sent a token that is none: {e}")))?
        .id;
    let made = Made::new(id, &create, &created);
    if app.out.format.is_table() {
        // The token alone, so that a script can take it as it is.
        app.out.data(&format!("{}\n", made.token))?;
    } else {
        app.out.one(&made, &[], &made.token)?;
    }
    app.out.note(&format!(
        "to be used with: {} TOKEN; until {}, {}",
        made.used_with(),
        made.expires,
        human::count(u64::from(args.uses), "time")
    ));
    Ok(())
}
