//! What hosts have of a project, and what bringing it up would do.

use super::{CheckArgs, DiffArgs, OnArgs, kept};
use crate::App;
use crate::commands::processes::about;
use crate::connect::{AT_ONCE, Hub, Target};
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Column, Paint};
use cmdr_protocol::compose::kept::Plan;
use cmdr_protocol::compose::{Check, Look, Looked, Service, Will};
use cmdr_protocol::display::clean;
use futures::StreamExt as _;
use serde::Serialize;
use std::time::Duration;

/// A compose program takes its time.
const PATIENCE: Duration = Duration::from_mins(2);

/// A project on a host, as data.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct There {
    pub(super) host: String,
    #[serde(flatten)]
    pub(super) looked: Shown,
}

/// As [`Looked`], with names as docker writes them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown {
    project: String,
    program: String,
    version: u64,
    drifted: usize,
    powers: Vec<String>,
    remarks: Vec<String>,
    services: Vec<Service>,
}

impl From<Looked> for Shown {
    fn from(looked: Looked) -> Self {
        let drifted = looked.drifted();
        let Looked { project, program, version, powers, services, remarks } = looked;
        Self { project, program, version, drifted, powers, remarks, services }
    }
}

impl There {
    pub(super) fn new(host: &str, looked: Looked) -> Self {
        Self { host: host.to_owned(), looked: looked.into() }
    }

    /// `2 of 3`: containers that run.
    pub(super) fn running(&self) -> String {
        let services = &self.looked.services;
        let all = services.iter().flat_map(|service| &service.containers);
        let (run, count) = all.fold((0, 0), |(run, count), member| {
            (run + usize::from(member.state.runs()), count + 1)
        });
        format!("{run} of {count}")
    }

    pub(super) fn version(&self) -> String {
        match self.looked.version {
            0 => "-".to_owned(),
            version => version.to_string(),
        }
    }

    pub(super) fn program(&self) -> &str {
        &self.looked.program
    }
}

/// Says why hosts did not answer.
pub(super) fn sorted<T>(
    app: &App,
    answers: Vec<(&Target, Result<T, Failure>)>,
) -> (Vec<(String, T)>, Exit) {
    let (mut good, mut exit) = (Vec::new(), Exit::Ok);
    for (target, answer) in answers {
        match answer {
            Ok(reply) => good.push((target.name.clone(), reply)),
            Err(failure) => {
                app.out.warn(&about(&target.name, &failure.message));
                exit = exit.worst(failure.exit);
            }
        }
    }
    (good, exit)
}

/// What a version would do on all these hosts.
async fn plans<'t>(
    app: &App,
    hub: &Hub,
    targets: &'t [Target],
    (name, version): (&str, Option<u64>),
) -> Vec<(&'t Target, Result<Looked, Failure>)> {
    let patience = app.patience_or(PATIENCE);
    let ask = async |target: &'t Target| {
        let plan = Plan { host: target.id, name: name.to_owned(), version };
        let reply = hub.client.call(None, &plan, patience).await;
        (target, reply.map_err(Failure::from))
    };
    futures::stream::iter(targets).map(ask).buffered(AT_ONCE).collect().await
}

pub(super) async fn check(app: &App, args: &CheckArgs) -> Result<Exit, Failure> {
    let given = match &args.file {
        Some(path) => Some((
            kept::file(path)?,
            args.env.as_deref().map(kept::variables).transpose()?.unwrap_or_default(),
        )),
        None => None,
    };
    let hub = Hub::connect(app).await?;
    let targets = args.on.targets(&hub).await?;
    let answers = match given {
        Some((text, variables)) => {
            let check = Check { project: args.on.name.clone(), text, variables };
            hub.ask_hosts_within(&targets, &check, app.patience_or(PATIENCE)).await
        }
        None => plans(app, &hub, &targets, (&args.on.name, args.version)).await,
    };
    let (good, exit) = sorted(app, answers);
    let rows: Vec<There> = good.into_iter().map(|(host, l)| There::new(&host, l)).collect();
    for row in &rows {
        for remark in &row.looked.remarks {
            app.out.note(&about(&row.host, remark));
        }
    }
    let columns = [
        Column::text("HOST", |r: &There| r.host.as_str().into()),
        Column::text("SERVICES", |r| r.looked.services.len().to_string().into()),
        Column::text("POWERS", |r| match r.looked.powers.as_slice() {
            [] => Cell::painted("none", Paint::Dim),
            powers => clean(&powers.join(" ")).into_owned().into(),
        }),
        Column::text("PROGRAM", |r: &There| clean(r.program()).into_owned().into()),
    ];
    if !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(&rows, &columns, |r| r.host.clone())?;
    }
    Ok(exit)
}

/// A service on a host, as a row.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    host: String,
    service: String,
    image: String,
    will: Will,
    why: String,
}

pub(super) async fn diff(app: &App, args: &DiffArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = args.on.targets(&hub).await?;
    let (good, mut exit) =
        sorted(app, plans(app, &hub, &targets, (&args.on.name, args.version)).await);
    let mut rows = Vec::new();
    for (host, looked) in good {
        for Service { name: service, image, will, why, .. } in looked.services {
            if will != Will::Leave {
                exit = exit.worst(Exit::Failed);
            }
            rows.push(Row { host: host.clone(), service, image, will, why });
        }
    }
    let columns = [
        Column::text("HOST", |r: &Row| r.host.as_str().into()),
        Column::text("SERVICE", |r| clean(&r.service).into_owned().into()),
        Column::text("WILL", |r| painted(r.will)),
        Column::text("WHY", |r| clean(&r.why).into_owned().into()),
        Column::text("IMAGE", |r: &Row| clean(&r.image).into_owned().into()).wide(),
    ];
    if !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(&rows, &columns, |r| format!("{}/{}", r.host, r.service))?;
    }
    Ok(exit)
}

fn painted(will: Will) -> Cell {
    let paint = match will {
        Will::Leave => Paint::Dim,
        Will::Remove | Will::Recreate => Paint::Bad,
        _ => Paint::Warn,
    };
    Cell::painted(will.as_str(), paint)
}

/// A container of a service on a host, or a service without any.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Part {
    host: String,
    service: String,
    container: String,
    state: String,
    status: String,
    drift: bool,
    why: String,
    version: u64,
}

pub(super) async fn ps(app: &App, args: &OnArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = args.targets(&hub).await?;
    let look = Look { project: args.name.clone() };
    let answers = hub.ask_hosts_within(&targets, &look, app.patience_or(PATIENCE)).await;
    let (good, exit) = sorted(app, answers);
    let mut rows = Vec::new();
    let mut drifted = 0;
    for (host, looked) in good {
        drifted += looked.drifted();
        for service in looked.services {
            let drift = service.drifted();
            let part = |container: String, state: &str, status: String| Part {
                host: host.clone(),
                service: service.name.clone(),
                container,
                state: state.to_owned(),
                status,
                drift,
                why: service.why.clone(),
                version: looked.version,
            };
            if service.containers.is_empty() {
                rows.push(part(String::new(), "", String::new()));
            }
            for member in &service.containers {
                rows.push(part(member.name.clone(), member.state.as_str(), member.status.clone()));
            }
        }
    }
    let columns = [
        Column::text("HOST", |r: &Part| r.host.as_str().into()),
        Column::text("SERVICE", |r| clean(&r.service).into_owned().into()),
        Column::text("CONTAINER", |r| clean(&r.container).into_owned().into()),
        Column::text("STATUS", |r| clean(&r.status).into_owned().into()),
        Column::text("DRIFT", |r: &Part| match (r.drift, r.why.as_str()) {
            (true, why) => Cell::painted(clean(why).into_owned(), Paint::Bad),
            (false, "") => Cell::painted("none", Paint::Dim),
            (false, why) => clean(why).into_owned().into(),
        }),
        Column::text("VERSION", |r: &Part| r.version.to_string().into()).wide(),
    ];
    if !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(&rows, &columns, |r| format!("{}/{}", r.host, r.container))?;
    }
    if drifted > 0 {
        let count = crate::human::count(drifted as u64, "service");
        app.out.note(&format!(
            "not as they shall be: {count}; cmdr docker compose up {} brings them there",
            args.name
        ));
    }
    Ok(exit)
}
