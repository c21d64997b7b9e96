//! `secrets`: what the hub needs to know and nobody shall read: put, list, remove, seal anew.

use crate::App;
use crate::args::Yes;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::Column;
use clap::{Args, Subcommand};
use cmdr_link::clock;
use cmdr_protocol::secrets::{Delete, List, MAX_VALUE, Put, Rotate, check_name};
use serde::Serialize;

mod value;

/// Secrets that the hub uses: passwords of registries, tokens of notifiers.
///
/// They are sealed before they are stored, and nothing ever shows their values again.
#[derive(Debug, Args)]
pub struct SecretsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List names, when each was put and last used; never the values.
    #[command(alias = "list")]
    Ls,
    /// Keep a secret; its value is read from standard input, or asked for without being shown.
    ///
    /// The end of the last line is not part of it. A value in the arguments is refused: everybody on
    /// this machine can read those.
    Put {
        /// What it is known by: small letters, digits, '-', '_' and '.'.
        #[arg(value_parser = name)]
        name: String,
        /// What must not be there.
        #[arg(hide = true, allow_hyphen_values = true, trailing_var_arg = true)]
        value: Vec<String>,
    },
    /// Forget a secret.
    Rm {
        /// Which.
        #[arg(value_parser = name)]
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
    /// Make a new data key, seal everything anew with it and delete the older ones.
    Rotate,
}

/// Not told back in the error: a value may have been given for a name.
fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

#[derive(Serialize)]
struct Row {
    name: String,
    put: String,
    put_by: String,
    used: Option<String>,
    used_by: String,
    #[serde(skip)]
    ago: String,
}

#[derive(Serialize)]
struct Sealed {
    part: String,
    resealed: u64,
}

pub(super) async fn run(app: &App, args: &SecretsArgs) -> Result<Exit, Failure> {
    match args.verb.as_ref().unwrap_or(&Verb::Ls) {
        Verb::Ls => list(app).await,
        Verb::Put { name, value } => {
            if !value.is_empty() {
                return Err(Failure::usage("a secret must not stand in the arguments: everybody on this machine can read them, and the shell keeps them")
                    .hint(format!("change that secret, then: cmdr secrets put {name} < FILE")));
            }
            let value = value::read(MAX_VALUE).await?;
            let kept = Hub::connect(app).await?.ask(&Put { name: name.clone(), value }).await?;
            let word = if kept.replaced { "replaced" } else { "kept" };
            app.out.note(&format!("secret {name} {word}"));
            Ok(Exit::Ok)
        }
        Verb::Rm { name, yes } => {
            let hub = Hub::connect(app).await?;
            let question =
                format!("The secret {name} is forgotten, and what uses it stops working.");
            let delete = Delete { name: name.clone() };
            hub.confirm(app, *yes, (&delete, None), (&question, name)).await?;
            hub.ask(&delete).await?;
            app.out.note(&format!("secret {name} forgotten"));
            Ok(Exit::Ok)
        }
        Verb::Rotate => rotate(app).await,
    }
}

async fn list(app: &App) -> Result<Exit, Failure> {
    let listing = Hub::connect(app).await?.ask(&List {}).await?;
    let now = clock::now_ms();
    let rows: Vec<_> = listing
        .secrets
        .into_iter()
        .map(|secret| Row {
            put: human::moment(secret.set_ms),
            put_by: secret.set_by,
            used: secret.used_ms.map(human::moment),
            used_by: secret.used_by,
            ago: human::ago(secret.used_ms, now),
            name: secret.name,
        })
        .collect();
    let columns = [
        Column::text("NAME", |r: &Row| r.name.as_str().into()),
        Column::text("PUT", |r| r.put.as_str().into()),
        Column::text("BY", |r| r.put_by.as_str().into()),
        Column::text("USED", |r| r.ago.as_str().into()),
        Column::text("USED BY", |r| r.used_by.as_str().into()),
    ];
    app.out.list(&rows, &columns, |r| r.name.clone())?;
    if listing.data_keys.len() > 1 {
        app.out.note("a rotation was not finished; to finish it: cmdr secrets rotate");
    }
    Ok(Exit::Ok)
}

async fn rotate(app: &App) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let mut feed = hub.client.feed(None, &Rotate {}).await.map_err(Failure::from_hub)?;
    let (mut rows, mut outcome) = (Vec::<Sealed>::new(), String::new());
    while let Some(step) = feed.next().await {
        let step = step.map_err(Failure::from_hub)?;
        if step.outcome.is_empty() {
            rows.push(Sealed { part: step.part, resealed: step.resealed });
        } else {
            outcome = step.outcome;
        }
    }
    let columns = [
        Column::text("PART", |r: &Sealed| r.part.as_str().into()),
        Column::text("SEALED ANEW", |r| r.resealed.to_string().into()),
    ];
    app.out.list(&rows, &columns, |r| r.part.clone())?;
    app.out.note(&outcome);
    Ok(Exit::Ok)
}
