//! `runbook`: ordered steps with parameters that the hub keeps: look at them, check, save.

use crate::App;
use crate::args::Yes;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Column, Format};
use clap::{Args, Subcommand};
use cmdr_protocol::SigningKey;
use cmdr_protocol::display::clean;
use cmdr_protocol::runbooks::{
    Check, Delete, List, MAX_TEXT, Param, Problem, Runbook, Save, Show, Shown, Step, Version,
    Versions, check_name,
};
use std::io::Read as _;
use std::path::{Path, PathBuf};

pub(super) mod run;
mod sign;

const FILE: &str = "\
A runbook is a file like this:

  name: shop
  description: The shop behind its web server.
  params:
  - name: port
    type: number            # text, number, yes-no, choice, list or secret
    min: 1
    max: 65535
    default: 8080
  - name: password
    type: secret            # the name of a secret: cmdr secrets put runbook.shop
    default: runbook.shop
  requires: fact.manager == 'apt'
  steps:
  - name: server
    runbook: nginx          # the steps of another runbook
  - name: settings
    push:
      to: /etc/shop.conf
      mode: '0600'
      content: |
        port {{port}}
        password {{password}}
  - name: restart
    when: step.settings.changed
    command: [systemctl, restart, shop]
  - name: look
    line: curl -fsS http://localhost:{{port}}/ | grep -q welcome
    retries: 5
    pause: 2s

A step is a command (words), a line or a script (of a shell), a push (a file), packages (install, remove or \
upgrade), a playbook of Ansible or another runbook. A parameter in a command stays one word; in lines and scripts it is \
a variable in quotes: no value is ever run. 'when' knows parameters, fact.os, fact.family, fact.manager, \
host.name, label.KEY, and of the steps before step.NAME.ok, failed, skipped, changed, code and output.

A playbook is played from the hub's machine by the real ansible-playbook, for each host by itself, over the \
hub's link; the hub's configuration has to name the program ([ansible] program):

  - name: web
    user: deploy                # on the host; left out: the agent's own user
    timeout: 10m
    ansible:
      playbook: |
        - hosts: all            # the host of the step
          become: true
          tasks:
          - template: {src: motd.j2, dest: /etc/motd}
      files:                    # beside the playbook: templates/, files/, roles/…
        templates/motd.j2: |
          {{ inventory_hostname }} listens on {{ port }}
      vars:                     # the only way in for values; their braces mean nothing
        port: '{{port}}'
      tags: [motd]              # also skip_tags
      check: true               # say what would change
      diff: true

Braces in the playbook and in its files are Ansible's, not the runbook's.";

/// Runbooks: ordered steps with parameters, kept by the hub in versions.
#[derive(Debug, Args)]
#[command(after_long_help = FILE)]
pub struct RunbookArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of it, from the command line")]
enum Verb {
    /// List runbooks: saved ones, and those that come with the hub.
    #[command(alias = "list")]
    Ls,
    /// Show what a runbook does: its parameters and steps.
    Show {
        /// Which.
        #[arg(value_parser = name)]
        name: String,
        /// Which version; 0 is the one that comes with the hub [default: the newest].
        #[arg(long, value_name = "N")]
        version: Option<u64>,
        /// Print its text, as 'runbook save' reads it.
        #[arg(long)]
        text: bool,
    },
    /// See whether a file is a runbook; what is wrong is told with file, line and column.
    Check {
        /// The file; - reads standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Save a file as the newest version of the runbook that it names.
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
        /// Sign it as well, as 'runbook sign' does.
        #[arg(long)]
        sign: bool,
    },
    /// Sign a version of a runbook: you have read it and stand for it. Whoever may run signed runbooks alone can run it then.
    #[command(after_long_help = sign::HELP)]
    Sign {
        /// Which.
        #[arg(value_parser = name)]
        name: String,
        /// Which version [default: the newest].
        #[arg(long, value_name = "N")]
        version: Option<u64>,
        /// Sign only what is the same as this file; - reads standard input.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Check the signature of a runbook here, with the text that the hub gives, and ask the hub whether who signed it may do so
    /// still. Ends with 1 when it does not hold.
    Verify {
        /// Which.
        #[arg(value_parser = name)]
        name: String,
        /// Which version [default: the newest].
        #[arg(long, value_name = "N")]
        version: Option<u64>,
        /// It has to be signed with this key, whatever the hub says whose that is.
        #[arg(long, value_name = "KEY")]
        key: Option<SigningKey>,
    },
    /// Run a runbook on hosts: a run of the hub's, planned and guarded like any other.
    Run {
        /// Which.
        #[arg(value_parser = name)]
        name: String,
        /// The hosts.
        hosts: String,
        #[command(flatten)]
        how: run::How,
    },
    /// Show what came of each step of a run, host by host.
    Steps {
        /// Which run; its id may be cut short.
        run: String,
        /// This host alone.
        host: Option<String>,
    },
    /// List the versions of a runbook.
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
    /// Delete a runbook with all its versions.
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

pub(super) async fn run(app: &App, args: &RunbookArgs) -> Result<Exit, Failure> {
    match args.verb.as_ref().unwrap_or(&Verb::Ls) {
        Verb::Ls => list(app, &Hub::connect(app).await?.ask(&List {}).await?.runbooks)?,
        Verb::Show { name, version, text } => {
            let show = Show { name: name.clone(), version: *version };
            let shown = Hub::connect(app).await?.ask(&show).await?;
            if *text { app.out.data(&shown.text)? } else { tell(app, &shown)? }
        }
        Verb::Check { file } => {
            let text = read(file)?;
            let checked = Hub::connect(app).await?.ask(&Check { text }).await?;
            let columns = [
                Column::text("LINE", |p: &Problem| p.line.to_string().into()),
                Column::text("COLUMN", |p| p.column.to_string().into()),
                Column::text("WHAT", |p| clean(&p.what).into_owned().into()),
            ];
            if !matches!(app.out.format, Format::Table | Format::Wide | Format::Name) {
                app.out.list(&checked.problems, &columns, |p| p.line.to_string())?;
            }
            if !checked.problems.is_empty() {
                return Err(Failure::usage(told(file, &checked.problems)));
            }
            let (steps, params) = (checked.steps.len() as u64, checked.params.len() as u64);
            app.out.note(&format!(
                "{} is a runbook: {}, {}",
                checked.name,
                human::count(params, "parameter"),
                human::count(steps, "step")
            ));
        }
        Verb::Save { file, note, was, sign } => {
            let text = read(file)?;
            let hub = Hub::connect(app).await?;
            let checked = hub.ask(&Check { text: text.clone() }).await?;
            if !checked.problems.is_empty() {
                return Err(Failure::usage(told(file, &checked.problems)));
            }
            let asked = Save { name: checked.name, text, note: note.clone(), was: *was };
            let version = save(app, &hub, &asked).await?;
            if *sign {
                sign::sign(app, &hub, &asked.name, version, &asked.text).await?;
            }
        }
        Verb::Sign { name, version, file } => {
            let hub = Hub::connect(app).await?;
            let shown = hub.ask(&Show { name: name.clone(), version: *version }).await?;
            let file = file.as_deref().map(|path| read(path).map(|text| (path, text)));
            if let Some((path, _)) = file.transpose()?.filter(|(_, text)| *text != shown.text) {
                return Err(Failure::failed(format!(
                    "version {} of {name} is not what is in {}; nothing was signed",
                    shown.runbook.version,
                    path.display()
                ))
                .hint(format!("to see it: cmdr runbook show {name} --text")));
            }
            sign::sign(app, &hub, name, shown.runbook.version, &shown.text).await?;
        }
        Verb::Verify { name, version, key } => {
            let show = Show { name: name.clone(), version: *version };
            let shown = Hub::connect(app).await?.ask(&show).await?;
            return sign::verify(app, &shown, *key);
        }
        Verb::Run { name, hosts, how } => {
            let hub = Hub::connect(app).await?;
            return run::run(app, hub, name, hosts, how).await;
        }
        Verb::Steps { run, host } => {
            let hub = Hub::connect(app).await?;
            let id = super::runs::find(&hub, run).await?;
            return run::steps(app, &hub, id, host.as_deref()).await;
        }
        Verb::Versions { name } => {
            let asked = Versions { name: name.clone() };
            versions(app, &Hub::connect(app).await?.ask(&asked).await?.versions)?;
        }
        Verb::Restore { name, version } => {
            let hub = Hub::connect(app).await?;
            let show = Show { name: name.clone(), version: Some(*version) };
            let text = hub.ask(&show).await?.text;
            let note = format!("version {version} again");
            save(app, &hub, &Save { name: name.clone(), text, note, was: None }).await?;
        }
        Verb::Rm { name, yes } => {
            let hub = Hub::connect(app).await?;
            let delete = Delete { name: name.clone() };
            let question = format!("The runbook {name} is deleted with all its versions.");
            hub.confirm(app, *yes, (&delete, None), (&question, name)).await?;
            hub.ask(&delete).await?;
            app.out.note(&format!("the runbook {name} is deleted"));
        }
    }
    Ok(Exit::Ok)
}

async fn save(app: &App, hub: &Hub, save: &Save) -> Result<u64, Failure> {
    let saved = hub.ask(save).await?;
    app.out.note(&if saved.unchanged {
        format!("{} has this text already, as version {}", save.name, saved.version)
    } else {
        format!("{} is saved as version {}", save.name, saved.version)
    });
    Ok(saved.version)
}

/// Problems as compilers tell them.
pub(super) fn told(file: &Path, problems: &[Problem]) -> String {
    let file = if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    };
    let line = |problem: &Problem| match problem.line {
        0 => format!("{file}: {}", clean(&problem.what)),
        _ => format!("{file}:{}", clean(&problem.to_string())),
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn list(app: &App, runbooks: &[Runbook]) -> Result<(), Failure> {
    let columns = [
        Column::text("RUNBOOK", |r: &Runbook| r.name.as_str().into()),
        Column::text("VERSION", |r| match (r.version, r.shipped) {
            (0, _) => "-".into(),
            (version, true) => format!("{version} (instead of the hub's)").into(),
            (version, false) => version.to_string().into(),
        }),
        Column::text("STEPS", |r| r.steps.to_string().into()),
        Column::text("DESCRIPTION", |r| clean(&r.description).into_owned().into()),
        Column::text("SAVED", |r: &Runbook| match r.saved_ms {
            0 => "with the hub".into(),
            ms => human::moment(ms).into(),
        })
        .wide(),
        Column::text("BY", |r: &Runbook| clean(&r.saved_by).into_owned().into()).wide(),
        Column::text("SIGNED", |r: &Runbook| sign::cell(r.signed.as_ref())).wide(),
    ];
    app.out.list(runbooks, &columns, |r| r.name.clone())
}

pub(super) fn versions(app: &App, versions: &[Version]) -> Result<(), Failure> {
    let columns = [
        Column::text("VERSION", |v: &Version| v.version.to_string().into()),
        Column::text("SAVED", |v| match v.saved_ms {
            0 => "-".into(),
            ms => human::moment(ms).into(),
        }),
        Column::text("BY", |v| clean(&v.saved_by).into_owned().into()),
        Column::text("BYTES", |v| v.size.to_string().into()),
        Column::text("SIGNED", |v: &Version| sign::cell(v.signed.as_ref())),
        Column::text("NOTE", |v| clean(&v.note).into_owned().into()),
        Column::text("HASH", |v: &Version| v.hash.as_str().into()).wide(),
    ];
    app.out.list(versions, &columns, |v| v.version.to_string())
}

fn tell(app: &App, shown: &Shown) -> Result<(), Failure> {
    if !matches!(app.out.format, Format::Table | Format::Wide) {
        return app.out.one(shown, &[], &shown.runbook.name);
    }
    let runbook = &shown.runbook;
    let version = match runbook.version {
        0 => "comes with the hub".to_owned(),
        n => format!(
            "version {n}, {} by {}",
            human::moment(runbook.saved_ms),
            clean(&runbook.saved_by)
        ),
    };
    app.out.note(&format!("{}: {} ({version})", runbook.name, clean(&runbook.description)));
    if let Some(signed) = &runbook.signed {
        app.out.note(&sign::told(signed));
    }
    let columns = [
        Column::text("PARAMETER", |p: &Param| p.name.as_str().into()),
        Column::text("TYPE", |p| p.kind.as_str().into()),
        Column::text("DEFAULT", |p| match &p.default {
            Some(default) => clean(default).into_owned().into(),
            None => "(to be given)".into(),
        }),
        Column::text("LIMITS", |p| clean(&p.limits).into_owned().into()),
        Column::text("DESCRIPTION", |p| clean(&p.description).into_owned().into()),
    ];
    if !shown.params.is_empty() {
        app.out.list(&shown.params, &columns, |p| p.name.clone())?;
        app.out.data("\n")?;
    }
    let columns = [
        Column::text("STEP", |s: &Step| s.name.as_str().into()),
        Column::text("WHAT", |s| clean(&s.what).into_owned().into()),
        Column::text("WHEN", |s| clean(&s.when).into_owned().into()),
        Column::text("RETRIES", |s: &Step| s.retries.to_string().into()).wide(),
    ];
    app.out.list(&shown.steps, &columns, |s| s.name.clone())?;
    for problem in &shown.problems {
        app.out.warn(&clean(&problem.to_string()));
    }
    Ok(())
}

pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let source: std::io::Result<Box<dyn std::io::Read>> = if path == Path::new("-") {
        Ok(Box::new(std::io::stdin()))
    } else {
        std::fs::File::open(path).map(|f| Box::new(f) as _)
    };
    source
        .and_then(|source| source.take(2 * MAX_TEXT as u64).read_to_string(&mut text))
        .map_err(|e| Failure::usage(format!("reading {}: {e}", path.display())))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_with_the_name_of_the_file() {
        let problems = [
            Problem { line: 3, column: 1, what: "unknown key 'stepz'".into() },
            Problem { what: "too long\u{1b}[2J".into(), ..Problem::default() },
        ];
        let said = told(Path::new("a.yaml"), &problems);
        assert!(said.starts_with("a.yaml:3:1: unknown key 'stepz'\na.yaml: too long"), "{said}");
        assert!(!said.contains('\u{1b}'));
    }
}
