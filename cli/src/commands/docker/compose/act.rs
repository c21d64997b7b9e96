//! Bringing projects up on hosts, stopping them and taking them away.

use super::look::{There, sorted};
use super::{DownArgs, StopArgs, UpArgs, told};
use crate::App;
use crate::commands::processes::about;
use crate::connect::{AT_ONCE, Hub, Target};
use crate::exit::{Exit, Failure};
use crate::output::Column;
use cmdr_protocol::compose::kept::Deploy;
use cmdr_protocol::compose::{Down, Looked, Progress, Stop};
use cmdr_protocol::{CallError, Feed, HostId};
use futures::StreamExt as _;

/// Follows one host to its end; what its compose program says is told as it comes.
async fn follow<F: Feed<Item = Progress>>(
    app: &App,
    hub: &Hub,
    target: &Target,
    (to, order): (Option<HostId>, &F),
) -> Result<Looked, CallError> {
    let mut feed = hub.client.feed(to, order).await?;
    while let Some(item) = feed.next().await {
        let item = item?;
        for line in &item.lines {
            app.out.note(&about(&target.name, line));
        }
        if let Some(looked) = item.done {
            return Ok(looked);
        }
    }
    Err(CallError::lost("it ended half-way; cmdr docker compose ps shows what there is"))
}

/// Has all these hosts do something, many at once, and shows what there is then.
async fn all<F: Feed<Item = Progress>>(
    app: &App,
    hub: &Hub,
    targets: &[Target],
    order: impl Fn(&Target) -> (Option<HostId>, F),
) -> Result<Exit, Failure> {
    let one = async |target| {
        let (to, order) = order(target);
        let done = follow(app, hub, target, (to, &order)).await;
        (target, done.map_err(Failure::from))
    };
    let ended: Vec<_> = futures::stream::iter(targets).map(one).buffered(AT_ONCE).collect().await;
    let (good, exit) = sorted(app, ended);
    let rows: Vec<There> = good.into_iter().map(|(host, l)| There::new(&host, l)).collect();
    let columns = [
        Column::text("HOST", |r: &There| r.host.as_str().into()),
        Column::text("VERSION", |r| r.version().into()),
        Column::text("RUNNING", |r| r.running().into()),
        Column::text("PROGRAM", |r: &There| r.program().into()).wide(),
    ];
    if !rows.is_empty() || !app.out.format.is_table() {
        app.out.list(&rows, &columns, |r| r.host.clone())?;
    }
    Ok(exit)
}

pub(super) async fn up(app: &App, args: &UpArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = args.on.targets(&hub).await?;
    let order = |target: &Target| {
        let deploy = Deploy {
            host: target.id,
            name: args.on.name.clone(),
            version: args.version,
            pull: args.pull.into(),
            recreate: args.recreate,
            keep_orphans: args.keep_orphans,
        };
        (None, deploy)
    };
    all(app, &hub, &targets, order).await
}

pub(super) async fn stop(app: &App, args: &StopArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = args.on.targets(&hub).await?;
    let what = format!("stop the project {}", args.on.name);
    told::confirm(app, args.yes, &targets, &what).await?;
    let stop = Stop { project: args.on.name.clone(), timeout_s: args.wait };
    all(app, &hub, &targets, |target| (Some(target.id), stop.clone())).await
}

pub(super) async fn down(app: &App, args: &DownArgs) -> Result<Exit, Failure> {
    let hub = Hub::connect(app).await?;
    let targets = args.on.targets(&hub).await?;
    let with = if args.volumes { " with all that is in its volumes" } else { "" };
    let what = format!("take the project {} away{with}", args.on.name);
    told::confirm(app, args.yes, &targets, &what).await?;
    let down = Down { project: args.on.name.clone(), volumes: args.volumes, timeout_s: args.wait };
    all(app, &hub, &targets, |target| (Some(target.id), down.clone())).await
}
