//! `config`: files that hosts shall have: kept in versions, compared with what is there, pushed.

use super::runbook::run::{self, How};
use crate::App;
use crate::args::Yes;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Column, Format};
use clap::{Args, Subcommand};
use cmdr_protocol::configs::{Check, Config, Delete, List, ORDER, Save, Show, Versions};
use cmdr_protocol::display::clean;
use cmdr_protocol::runbooks::{Version, check_name};
use std::path::PathBuf;

mod drift;

const FILE: &str = "\
A config group is a file like this:

  name: shop-web
  description: What the shop's web servers have.
  hosts: role=web,app=shop        # a selector: nobody else gets these files
  params:
  - name: port                    # as in runbooks
    type: number
    default: 8080
  files:
  - to: /etc/nginx/conf.d/shop.conf
    mode: '0644'
    owner: root
    content: |
      server {
        listen {{port}};
        server_name {{host.name}}.{{label.zone}};
      }
  then:                           # done where a file has changed
  - name: test
    command: [nginx, -t]
  - name: reload
    command: [systemctl, reload, nginx]

'config drift' shows what hosts have instead, 'config push' is a run like any other: planned, in waves, halted \
when too many fail.";

/// Config groups: files that hosts shall have, kept by the hub in versions.
#[derive(Debug, Args)]
#[command(after_long_help = FILE)]
pub struct ConfigArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of it, from the command line")]
enum Verb {
    /// List config groups.
    #[command(alias = "list")]
    Ls,
    /// Print a group's text, as 'config save' reads it.
    Show {
        /// Which.
        #[arg(value_parser = name)]
        name: String,
        /// Which version [default: the newest].
        #[arg(long, value_name = "N")]
        version: Option<u64>,
    },
    /// See whether a file is a config group; what is wrong is told with file, line and column.
    Check {
        /// The file; - reads standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Save a file as the newest version of the group that it names. No host is changed by that.
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
    /// List the versions of a group.
    Versions {
        /// Which.
        #[arg(value_parser = name)]
        name: String,
    },
    /// Save an older version again, as the newest.
    Restore {
        /// Which.
        #[arg(value_parser = name)]
        name: String,
        /// Which version.
        version: u64,
    },
    /// Compare what hosts have with what they shall have: equal, differs, missing.
    Drift(drift::DriftArgs),
    /// Put the files of a group on its hosts: a run of the hub's, planned and guarded like any other.
    Push {
        /// Which.
        #[arg(value_parser = name)]
        name: String,
        /// Only these of its hosts [default: all].
        hosts: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// Delete a group with all its versions. No host is changed by that.
    #[command(alias = "delete")]
    Rm {
        /// Which.
        #[arg(value_parser = name)]
        name: String,
        #[command(flatten)]
        yes: Yes,
    },
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

pub(super) async fn run(app: &App, args: &ConfigArgs) -> Result<Exit, Failure> {
    match args.verb.as_ref().unwrap_or(&Verb::Ls) {
        Verb::Ls => list(app, &Hub::connect(app).await?.ask(&List {}).await?.configs)?,
        Verb::Show { name, version } => {
            let show = Show { name: name.clone(), version: *version };
            let shown = Hub::connect(app).await?.ask(&show).await?;
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
            let checked = Hub::connect(app).await?.ask(&Check { text }).await?;
            if !checked.problems.is_empty() {
                return Err(Failure::usage(super::runbook::told(file, &checked.problems)));
            }
            let files = human::count(checked.files.into(), "file");
            app.out.note(&format!("{} is a config group of {files}", checked.name));
        }
        Verb::Save { file, note, was } => {
            let text = super::runbook::read(file)?;
            let hub = Hub::connect(app).await?;
            let checked = hub.ask(&Check { text: text.clone() }).await?;
            if !checked.problems.is_empty() {
                return Err(Failure::usage(super::runbook::told(file, &checked.problems)));
            }
            let save = Save { name: checked.name, text, note: note.clone(), was: *was };
            keep(app, &hub, &save).await?;
        }
        Verb::Versions { name } => {
            let asked = Versions { name: name.clone() };
            let versions: Vec<Version> = Hub::connect(app).await?.ask(&asked).await?.versions;
            super::runbook::versions(app, &versions)?;
        }
        Verb::Restore { name, version } => {
            let hub = Hub::connect(app).await?;
            let show = Show { name: name.clone(), version: Some(*version) };
            let (text, note) = (hub.ask(&show).await?.text, format!("version {version} again"));
            keep(app, &hub, &Save { name: name.clone(), text, note, was: None }).await?;
        }
        Verb::Drift(args) => return drift::run(app, args).await,
        Verb::Push { name, hosts, how } => {
            let hub = Hub::connect(app).await?;
            let hosts = if let Some(hosts) = hosts {
                hosts.clone()
            } else {
                let show = Show { name: name.clone(), version: None };
                hub.ask(&show).await?.config.hosts
            };
            return run::run(app, hub, &format!("{ORDER}{name}"), &hosts, how).await;
        }
        Verb::Rm { name, yes } => {
            let hub = Hub::connect(app).await?;
            let delete = Delete { name: name.clone() };
            let question = format!("The config group {name} is deleted with all its versions.");
            hub.confirm(app, *yes, (&delete, None), (&question, name)).await?;
            hub.ask(&delete).await?;
            app.out.note(&format!("the config group {name} is deleted; hosts keep their files"));
        }
    }
    Ok(Exit::Ok)
}

async fn keep(app: &App, hub: &Hub, save: &Save) -> Result<(), Failure> {
    let saved = hub.ask(save).await?;
    let (name, version) = (&save.name, saved.version);
    app.out.note(&if saved.unchanged {
        format!("{name} has this text already, as version {version}")
    } else {
        format!("{name} is saved as version {version}")
    });
    Ok(())
}

fn list(app: &App, configs: &[Config]) -> Result<(), Failure> {
    let columns = [
        Column::text("GROUP", |r: &Config| r.name.as_str().into()),
        Column::text("VERSION", |r| r.version.to_string().into()),
        Column::text("FILES", |r| r.files.to_string().into()),
        Column::text("HOSTS", |r| clean(&r.hosts).into_owned().into()),
        Column::text("DESCRIPTION", |r| clean(&r.description).into_owned().into()),
        Column::text("SAVED", |r: &Config| human::moment(r.saved_ms).into()).wide(),
        Column::text("BY", |r: &Config| clean(&r.saved_by).into_owned().into()).wide(),
    ];
    app.out.list(configs, &columns, |r| r.name.clone())
}
