//! Projects that the hub keeps.

use super::{NameArgs, PutArgs, RmArgs, RollbackArgs, ShowArgs};
use crate::App;
use crate::commands::runbook;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use crate::human;
use crate::output::{Column, Format};
use cmdr_protocol::compose::kept::{Delete, Kept, List, Restore, Save, Show, Versions};
use cmdr_protocol::compose::{MAX_TEXT, MAX_VARIABLES};
use cmdr_protocol::display::clean;
use cmdr_protocol::runbooks::Saved;
use std::io::Read as _;
use std::path::Path;

/// A text of at most so many bytes.
fn read(path: &Path, most: usize) -> Result<String, Failure> {
    let source: std::io::Result<Box<dyn std::io::Read>> = if path == Path::new("-") {
        Ok(Box::new(std::io::stdin()))
    } else {
        std::fs::File::open(path).map(|f| Box::new(f) as _)
    };
    let mut text = String::new();
    source
        .and_then(|source| source.take(most as u64 + 1).read_to_string(&mut text))
        .map_err(|e| Failure::usage(format!("reading {}: {e}", path.display())))?;
    if text.len() > most {
        let what = format!("{} is longer than {} KiB", path.display(), most / 1024);
        return Err(Failure::usage(what));
    }
    Ok(text)
}

/// A compose file.
pub(super) fn file(path: &Path) -> Result<String, Failure> {
    read(path, MAX_TEXT)
}

/// A file of variables.
pub(super) fn variables(path: &Path) -> Result<String, Failure> {
    read(path, MAX_VARIABLES)
}

pub(super) async fn list(app: &App) -> Result<Exit, Failure> {
    let projects = Hub::connect(app).await?.ask(&List {}).await?.projects;
    let columns = [
        Column::text("PROJECT", |r: &Kept| r.name.as_str().into()),
        Column::text("VERSION", |r| r.version.to_string().into()),
        Column::text("HOSTS", |r| clean(&r.hosts).into_owned().into()),
        Column::text("SAVED", |r| human::moment(r.saved_ms).into()),
        Column::text("BY", |r| clean(&r.saved_by).into_owned().into()),
        Column::text("NOTE", |r: &Kept| clean(&r.note).into_owned().into()).wide(),
    ];
    app.out.list(&projects, &columns, |r| r.name.clone())?;
    Ok(Exit::Ok)
}

pub(super) async fn put(app: &App, args: &PutArgs) -> Result<Exit, Failure> {
    let env = match &args.env {
        Some(path) => Some(variables(path)?),
        None => args.no_env.then(String::new),
    };
    let save = Save {
        name: args.name.clone(),
        text: file(&args.file)?,
        variables: env,
        hosts: args.hosts.clone(),
        note: args.note.clone(),
        was: args.was,
    };
    let saved = Hub::connect(app).await?.ask(&save).await?;
    tell(app, &args.name, &saved);
    Ok(Exit::Ok)
}

fn tell(app: &App, name: &str, saved: &Saved) {
    let version = saved.version;
    app.out.note(&if saved.unchanged {
        format!("{name} is all that already, as version {version}")
    } else {
        format!("{name} is kept as version {version}; hosts have it after: cmdr docker compose up {name}")
    });
}

pub(super) async fn show(app: &App, args: &ShowArgs) -> Result<Exit, Failure> {
    let show = Show { name: args.name.clone(), version: args.version };
    let shown = Hub::connect(app).await?.ask(&show).await?;
    if matches!(app.out.format, Format::Table | Format::Wide | Format::Name) {
        app.out.data(&shown.text)?;
        if !shown.variables.is_empty() {
            app.out.note(&format!("variables: {}", clean(&shown.variables.join(", "))));
        }
    } else {
        app.out.one(&shown, &[], &args.name)?;
    }
    Ok(Exit::Ok)
}

pub(super) async fn versions(app: &App, args: &NameArgs) -> Result<Exit, Failure> {
    let asked = Versions { name: args.name.clone() };
    let versions = Hub::connect(app).await?.ask(&asked).await?.versions;
    runbook::versions(app, &versions)?;
    Ok(Exit::Ok)
}

pub(super) async fn rollback(app: &App, args: &RollbackArgs) -> Result<Exit, Failure> {
    let restore = Restore { name: args.name.clone(), version: args.version };
    let saved = Hub::connect(app).await?.ask(&restore).await?;
    tell(app, &args.name, &saved);
    Ok(Exit::Ok)
}

pub(super) async fn remove(app: &App, args: &RmArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let delete = Delete { name: args.name.clone() };
    let question =
        format!("The project {} is deleted from the hub with all its versions.", args.name);
    hub.confirm(app, args.yes, (&delete, None), (&question, &args.name)).await?;
    hub.ask(&delete).await?;
    app.out.note(&format!("the project {} is deleted; hosts keep their containers", args.name));
    Ok(Exit::Ok)
}
