//! `keys`: keys for programs, which act for you within bounds and for a time.

use crate::App;
use crate::args::{self, Yes};
use crate::connect::{Hub, VERSION};
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Paint};
use clap::{Args, Subcommand};
use cmdr_link::bearer::Bearer;
use cmdr_link::context::Context;
use cmdr_link::link::DialError;
use cmdr_link::session::Dialer;
use cmdr_link::{SecretKey, card};
use cmdr_protocol::Call as _;
use cmdr_protocol::display::clean;
use cmdr_protocol::hosts::Resolve;
use cmdr_protocol::keys::{Create, Http, Key, List, Revoke, State};
use cmdr_protocol::operators::WhoAmI;
use cmdr_protocol::roles::Grant;
use std::time::Duration;

/// Keys for programs: they act for you, within bounds and for a time.
///
/// A program uses one by having its text in the environment variable CMDR_KEY, or, made with --http, by
/// sending it to the hub's HTTP interface: Authorization: Bearer TEXT.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List keys, newest first.
    #[command(alias = "ls")]
    List,
    /// Make a key and print it; it is shown once and kept nowhere.
    Create(CreateArgs),
    /// Print the key in CMDR_KEY once more, with the hub's new key in it.
    ///
    /// For programs whose home does not last, after the hub was given another key (cmdr hub rotate-key switch): the
    /// text of before ends with the old one. What it may do, and until when, stays.
    Renew,
    /// Take a key away and cut its links.
    Revoke {
        /// Key, the beginning of one, or a name that only one has.
        key: String,
        #[command(flatten)]
        yes: Yes,
    },
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// What lists call it.
    name: String,
    /// What it may do, as roles name it: exec.start, processes.*, @read (cmdr roles verbs).
    #[arg(long = "verb", value_name = "VERB", required = true)]
    verbs: Vec<String>,
    /// On what, with * and ?: command:/usr/local/bin/deploy. Left out: on everything.
    #[arg(long = "on", value_name = "RESOURCE")]
    resources: Vec<String>,
    /// On which hosts [default: on all that you may].
    #[arg(long, value_name = "SELECTOR", default_value = "", value_parser = args::selector)]
    hosts: String,
    /// From which networks it may be used [default: from anywhere].
    #[arg(long = "from", value_name = "NETWORK")]
    networks: Vec<String>,
    /// How long it works, at most 366d.
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = args::duration)]
    ttl: Duration,
    /// For the hub's HTTP interface, and for nothing else.
    #[arg(long)]
    http: bool,
}

pub(super) async fn run(app: &App, args: &KeysArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    match args.verb.as_ref().unwrap_or(&Verb::List) {
        Verb::List => list(app, &hub.ask(&List {}).await?.keys)?,
        Verb::Create(args) => create(app, &hub, args).await?,
        Verb::Renew => renew(app, &hub).await?,
        Verb::Revoke { key, yes } => {
            let all = hub.ask(&List {}).await?.keys;
            let one = find(&all, key)?;
            let name = clean(&one.name).into_owned();
            let revoke = Revoke { key: one.key };
            let question = format!("Revoke the key {name} ({})?", one.key);
            hub.confirm(app, *yes, (&revoke, None), (&question, "yes")).await?;
            let revoked = hub.ask(&revoke).await?;
            app.out.note(&revoked.told(&format!("the key {name}")));
        }
    }
    Ok(Exit::Ok)
}

async fn create(app: &App, hub: &Hub, args: &CreateArgs) -> Result<(), Failure> {
    let key = SecretKey::generate().map_err(|e| Failure::failed(e.to_string()))?;
    let id = cmdr_link::keys::key_id(&key.public());
    let bearer = if args.http {
        Some(Bearer::generate(id).map_err(|e| Failure::failed(e.to_string()))?)
    } else {
        None
    };
    let scope = vec![
        Grant {
            verbs: args.verbs.clone(),
            resources: args.resources.clone(),
            hosts: args.hosts.clone(),
            ..Grant::default()
        },
        // Without these it could not find the hosts it is for, nor say who it is.
        Grant {
            verbs: vec![Resolve::METHOD.to_owned(), WhoAmI::METHOD.to_owned()],
            hosts: args.hosts.clone(),
            ..Grant::default()
        },
    ];
    let create = Create {
        key: key.public(),
        name: args.name.clone(),
        scope,
        networks: args.networks.clone(),
        ttl_s: args.ttl.as_secs().max(1),
        http: bearer.as_ref().map(|bearer| Http {
            hash: bearer.hash().to_vec(),
            signing: bearer.signing().to_vec(),
        }),
    };
    let made = hub.ask(&create).await?;
    if let Some(bearer) = bearer {
        // The secret half of the key itself is thrown away: nobody can open a link with it.
        app.out.data(&format!("{}\n", *bearer.to_text()))?;
        app.out.note(&format!(
            "a program sends it as 'Authorization: Bearer TEXT', until {}. It is shown only now",
            human::moment(made.expires_ms)
        ));
        return Ok(());
    }
    let target = app.target()?;
    let text = card::write_key(&Context { target, key, dir: None });
    app.out.data(&format!("{}\n", *text))?;
    app.out.note(&format!(
        "a program uses it as CMDR_KEY, until {}. It is shown only now",
        human::moment(made.expires_ms)
    ));
    Ok(())
}

async fn renew(app: &App, hub: &Hub) -> Result<(), Failure> {
    let Some(before) = app.program_key() else {
        return Err(Failure::usage("there is no key to renew: CMDR_KEY is not set"));
    };
    let mut context = app.context()?;
    if let Some(next) = hub.welcome.next_hub_key {
        context.target.hub = next;
        context.dir = None;
        match Dialer::client(context.clone(), VERSION).connect().await {
            Ok(_) => {}
            Err(DialError::Impostor { .. }) => {
                let message = "the hub does not have its next key yet; this one works until it does, and longer";
                return Err(Failure::failed(message)
                    .hint("once it has been given to it (cmdr hub rotate-key switch), try again"));
            }
            Err(e) => return Err(e.into()),
        }
    }
    let text = card::write_key(&context);
    app.out.data(&format!("{}\n", *text))?;
    app.out.note(if *text == before.trim() {
        "it is the same: the hub's present key is in it"
    } else {
        "it is the same key with the hub's new one; put it where the text of before was"
    });
    Ok(())
}

fn scope(key: &Key) -> String {
    let resolve = [Resolve::METHOD, WhoAmI::METHOD];
    let grants = key.scope.iter().filter(|grant| grant.verbs != resolve);
    let shown = grants.map(|grant| {
        let on = if grant.resources.is_empty() {
            String::new()
        } else {
            format!(" on {}", grant.resources.join(" "))
        };
        let at =
            if grant.hosts.is_empty() { String::new() } else { format!(" at {}", grant.hosts) };
        format!("{}{on}{at}", grant.verbs.join(" "))
    });
    clean(&shown.collect::<Vec<_>>().join("; ")).into_owned()
}

fn list(app: &App, keys: &[Key]) -> Result<(), Failure> {
    let columns = [
        Column::text("NAME", |r: &Key| clean(&r.name).into_owned().into()),
        Column::text("OPERATOR", |r| clean(&r.operator).into_owned().into()),
        Column::text("STATE", |r| {
            let paint = if r.state == State::Active { Paint::Good } else { Paint::Dim };
            Cell::painted(r.state.as_str(), paint)
        }),
        Column::text("FOR", |r| scope(r).into()),
        Column::text("EXPIRES", |r| human::moment(r.expires_ms).into()),
        Column::text("LAST USED", |r: &Key| {
            r.used_ms.map_or("never".into(), |at| human::moment(at).into())
        }),
        Column::text("USED FROM", |r: &Key| clean(&r.used_from).into_owned().into()).wide(),
        Column::text("FROM", |r: &Key| {
            if r.networks.is_empty() { "anywhere".into() } else { r.networks.join(" ").into() }
        })
        .wide(),
        Column::text("HOW", |r: &Key| if r.http { "http".into() } else { "link".into() }).wide(),
        Column::text("KEY", |r| r.key.to_string().into()),
    ];
    app.out.list(keys, &columns, |r| r.key.to_string())
}

fn find<'a>(all: &'a [Key], text: &str) -> Result<&'a Key, Failure> {
    let lower = text.to_ascii_lowercase();
    let fits = |one: &&Key| {
        one.name == text || (text.len() >= 4 && one.key.to_string().starts_with(&lower))
    };
    let active: Vec<_> = all.iter().filter(|k| k.state == State::Active).filter(fits).collect();
    match active.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::new(Exit::NoMatch, format!("no key that works matches '{text}'"))
            .hint("all of them: cmdr keys")),
        many => Err(Failure::usage(format!("'{text}' means {} keys; give the key", many.len()))),
    }
}
