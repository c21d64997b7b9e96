//! `tokens`: how new hosts and operators come into the fleet.

use crate::App;
use crate::args;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Paint};
use clap::{Args, Subcommand, ValueEnum};
use cmdr_link::clock;
use cmdr_protocol::envelope::Role;
use cmdr_protocol::hosts::Labels;
use cmdr_protocol::ids::TokenId;
use cmdr_protocol::tokens::{Create, List, Revoke, Token, TokenKind, TokenState};
use serde::Serialize;
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
    List,
    /// Make a token and print it; it is shown once and kept nowhere.
    Create(CreateArgs),
    /// Withdraw a token; who joined with it stays.
    Revoke {
        /// The token's id.
        #[arg(value_name = "ID")]
        id: TokenId,
    },
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// For a host: cmdr-agentd join TOKEN.
    #[arg(long, required_unless_present = "operator", conflicts_with = "operator")]
    host: bool,

    /// For an operator: cmdr login TOKEN. ROLE is administrator, operator or observer.
    #[arg(long, value_enum, value_name = "ROLE", hide_possible_values = true)]
    operator: Option<RoleName>,

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
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    Administrator,
    Operator,
    Observer,
}

#[derive(Serialize)]
struct Row {
    id: String,
    kind: TokenKind,
    role: Option<Role>,
    state: TokenState,
    uses_left: u32,
    uses: u32,
    labels: Labels,
    created: String,
    created_by: String,
    expires: String,
    #[serde(skip)]
    left: String,
}

impl Row {
    fn new(token: Token, now: u64) -> Self {
        let left = token.expires_ms.saturating_sub(now) / 1000;
        Self {
            id: token.id.to_string(),
            kind: token.kind,
            role: (token.kind == TokenKind::Operator).then_some(token.role),
            state: token.state,
            uses_left: token.uses_left,
            uses: token.uses,
            labels: token.labels,
            created: human::moment(token.created_ms),
            created_by: token.created_by,
            expires: human::moment(token.expires_ms),
            left: if token.state == TokenState::Valid { human::span(left) } else { "-".into() },
        }
    }
}

fn columns() -> [Column<Row>; 8] {
    [
        Column::text("ID", |r: &Row| r.id.as_str().into()),
        Column::text("FOR", |r: &Row| {
            r.role.map_or(r.kind.as_str(), cmdr_protocol::envelope::Role::as_str).into()
        }),
        Column::text("STATE", |r: &Row| {
            let paint = if r.state == TokenState::Valid { Paint::Good } else { Paint::Dim };
            Cell::painted(r.state.as_str(), paint)
        }),
        Column::figure("USES", |r: &Row| {
            format!("{}/{}", r.uses - r.uses_left.min(r.uses), r.uses).into()
        }),
        Column::figure("LEFT", |r: &Row| r.left.as_str().into()),
        Column::text("BY", |r: &Row| r.created_by.as_str().into()),
        Column::text("CREATED", |r: &Row| r.created.as_str().into()).wide(),
        Column::text("LABELS", |r: &Row| {
            let pairs: Vec<_> = r.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            pairs.join(",").into()
        }),
    ]
}

pub(super) async fn run(app: &App, args: &TokensArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    match args.verb.as_ref().unwrap_or(&Verb::List) {
        Verb::List => {
            let now = clock::now_ms();
            let tokens = hub.ask(&List {}).await?.tokens;
            let rows: Vec<_> = tokens.into_iter().map(|token| Row::new(token, now)).collect();
            app.out.list(&rows, &columns(), |r| r.id.clone())?;
        }
        Verb::Create(args) => create(app, &hub, args).await?,
        Verb::Revoke { id } => {
            hub.ask(&Revoke { id: *id }).await?;
            app.out.note(&format!("token {id} is revoked"));
        }
    }
    Ok(Exit::Ok)
}

async fn create(app: &App, hub: &Hub, args: &CreateArgs) -> Result<(), Failure> {
    let role = match args.operator {
        Some(RoleName::Administrator) => Role::Administrator,
        Some(RoleName::Operator) => Role::Operator,
        Some(RoleName::Observer) => Role::Observer,
        None => Role::Unknown,
    };
    let created = hub
        .ask(&Create {
            kind: if args.host { TokenKind::Host } else { TokenKind::Operator },
            role,
            ttl_s: args.ttl.as_secs().max(1),
            uses: args.uses,
            labels: args.label.iter().cloned().collect(),
            address: args.address.clone().unwrap_or_default(),
        })
        .await?;
    let expires = human::moment(created.expires_ms);
    if app.out.format.is_table() {
        // The token alone, so that a script can take it as it is.
        app.out.data(&format!("{}\n", cmdr_protocol::display::clean(&created.text)))?;
    } else {
        let value = serde_json::json!({ "text": created.text, "expires": expires });
        app.out.one(&value, &[], &created.text)?;
    }
    let how = if args.host { "cmdr-agentd join TOKEN" } else { "cmdr login TOKEN" };
    app.out.note(&format!("to be used with: {how}; until {expires}, {} times", args.uses));
    Ok(())
}
