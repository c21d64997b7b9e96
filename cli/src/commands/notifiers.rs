//! `notifiers`: the places that alerts are told at.

use crate::App;
use crate::args::Yes;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Cell, Column, Format, Paint};
use clap::{Args, Subcommand};
use cmdr_protocol::display::clean;
use cmdr_protocol::notifiers::{
    Check, Delete, Fate, List, Notice, Notices, Notifier, Save, Show, Test, Tested,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILE: &str = "\
A notifier is a file like this; names stand for secrets that the hub keeps (cmdr secrets put NAME < FILE):

  lang: en                       # or zh
  to:
    kind: email
    host: mail.example.com
    from: Commander <cmdr@example.com>
    to: [ops@example.com]
    user: cmdr
    password: mail.password      # a secret

Kinds and their keys: email (host, port, encryption: starttls|tls|none, user, password, from, to), dingtalk \
(webhook, sign, at_all), slack (webhook), feishu (webhook, sign), wecom (webhook), telegram (token, chat, thread, \
api), ntfy (server, topic, token), webhook (address, key), command (argv, timeout_s).";

/// Notifiers: the places that alerts are told at.
///
/// Which alerts are told where: cmdr alerts policies.
#[derive(Debug, Args)]
#[command(after_long_help = FILE)]
pub struct NotifiersArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List notifiers, and how they do.
    #[command(alias = "list")]
    Ls,
    /// Print a notifier's text, as 'notifiers save' reads it.
    Show {
        /// Which.
        name: String,
    },
    /// See whether a file is a notifier, and what it would say.
    Check {
        /// The file; - reads standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Save a file as a notifier, or as the newest version of it.
    Save {
        /// What policies call it.
        name: String,
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
    /// Send a notice for a try, now.
    Test {
        /// Which.
        name: String,
    },
    /// List the newest notices, and what became of them.
    Notices {
        /// Of this notifier [default: all].
        #[arg(default_value = "")]
        name: String,
    },
    /// Delete a notifier; what waits for it is not sent any more.
    #[command(alias = "delete")]
    Rm {
        /// Which.
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
}

/// A program or a slow server may take so long.
const PATIENCE: Duration = Duration::from_mins(6);

pub(super) async fn run(app: &App, args: &NotifiersArgs) -> Result<Exit, Failure> {
    match args.verb.as_ref().unwrap_or(&Verb::Ls) {
        Verb::Ls => list(app, &Hub::connect(app).await?.ask(&List {}).await?.notifiers)?,
        Verb::Show { name } => {
            let shown = Hub::connect(app).await?.ask(&Show { name: name.clone() }).await?;
            if matches!(app.out.format, Format::Table | Format::Wide | Format::Name) {
                app.out.data(&shown.text)?;
            } else {
                app.out.one(&shown, &[], name)?;
            }
            for problem in &shown.problems {
                app.out.warn(&clean(&problem.to_string()));
            }
        }
        Verb::Check { file } => {
            let text = super::runbook::read(file)?;
            let hub = Hub::connect(app).await?;
            let (title, body) = check(&hub, file, &text).await?;
            let title = if title.is_empty() { title } else { format!("{}\n\n", clean(&title)) };
            app.out.data(&format!("{title}{}", human::clean_lines(&body)))?;
        }
        Verb::Save { name, file, note, was } => {
            let text = super::runbook::read(file)?;
            let hub = Hub::connect(app).await?;
            check(&hub, file, &text).await?;
            let save = Save { name: name.clone(), text, note: note.clone(), was: *was };
            let saved = hub.ask(&save).await?;
            app.out.note(&if saved.unchanged {
                format!("{name} has this text already, as version {}", saved.version)
            } else {
                format!(
                    "{name} is saved as version {}; try it: cmdr notifiers test {name}",
                    saved.version
                )
            });
        }
        Verb::Test { name } => {
            let hub = Hub::connect(app).await?;
            let test = Test { name: name.clone() };
            let tested: Tested = hub.client.call(None, &test, app.patience_or(PATIENCE)).await?;
            app.out.note(&format!("{name} took it after {} ms", tested.took_ms));
            for refused in &tested.refused {
                app.out.warn(&clean(refused));
            }
            if !tested.refused.is_empty() {
                return Ok(Exit::Failed);
            }
        }
        Verb::Notices { name } => {
            let asked = Notices { name: name.clone() };
            notices(app, &Hub::connect(app).await?.ask(&asked).await?.notices)?;
        }
        Verb::Rm { name, yes } => {
            let hub = Hub::connect(app).await?;
            let delete = Delete { name: name.clone() };
            let question =
                format!("The notifier {name} is deleted; what waits for it is not sent.");
            hub.confirm(app, *yes, (&delete, None), (&question, name)).await?;
            hub.ask(&delete).await?;
            app.out.note(&format!("the notifier {name} is deleted"));
        }
    }
    Ok(Exit::Ok)
}

async fn check(hub: &Hub, file: &Path, text: &str) -> Result<(String, String), Failure> {
    let checked = hub.ask(&Check { text: text.to_owned() }).await?;
    if !checked.problems.is_empty() {
        return Err(Failure::usage(super::runbook::told(file, &checked.problems)));
    }
    Ok((checked.title, checked.body))
}

fn list(app: &App, notifiers: &[Notifier]) -> Result<(), Failure> {
    let columns = [
        Column::text("NOTIFIER", |n: &Notifier| n.name.as_str().into()),
        Column::text("KIND", |n| n.kind.as_str().into()),
        Column::text("STATE", |n| match (n.failing_ms, n.last.is_empty()) {
            (Some(_), _) => Cell::painted("failing", Paint::Bad),
            (None, false) => Cell::painted("broken", Paint::Bad),
            (None, true) if n.policies.is_empty() => Cell::painted("unused", Paint::Dim),
            (None, true) => Cell::painted("ok", Paint::Good),
        }),
        Column::figure("WAITING", |n| n.waiting.to_string().into()),
        Column::text("TAKEN", |n| n.taken_ms.map(human::moment).unwrap_or_default().into()),
        Column::text("POLICIES", |n| clean(&n.policies.join(", ")).into_owned().into()),
        Column::text("WHY", |n: &Notifier| clean(&n.last).into_owned().into()),
        Column::text("TO", |n: &Notifier| clean(&n.to).into_owned().into()).wide(),
        Column::text("VERSION", |n: &Notifier| n.version.to_string().into()).wide(),
        Column::text("BY", |n: &Notifier| clean(&n.saved_by).into_owned().into()).wide(),
    ];
    app.out.list(notifiers, &columns, |n| n.name.clone())
}

fn notices(app: &App, notices: &[Notice]) -> Result<(), Failure> {
    let columns = [
        Column::text("MADE", |n: &Notice| human::moment(n.made_ms).into()),
        Column::text("NOTIFIER", |n| n.notifier.as_str().into()),
        Column::text("STATE", |n| {
            let paint = match n.fate {
                Fate::Taken => Paint::Good,
                Fate::GivenUp => Paint::Bad,
                Fate::Waiting | Fate::Unknown => Paint::Warn,
            };
            Cell::painted(n.fate.as_str(), paint)
        }),
        Column::figure("TRIES", |n| n.tries.to_string().into()),
        Column::text("WHAT", |n| clean(&n.title).into_owned().into()),
        Column::text("WHY", |n: &Notice| clean(&n.last).into_owned().into()),
        Column::text("POLICY", |n: &Notice| clean(&n.policy).into_owned().into()).wide(),
        Column::text("ID", |n: &Notice| n.id.as_str().into()).wide(),
    ];
    app.out.list(notices, &columns, |n| n.id.clone())
}
