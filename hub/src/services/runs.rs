//! Runs: made, looked at, stopped, tried again. What a run may do where is decided host by host, as for a
//! command on that host.

use super::{HubService, nobody};
use crate::runs::{Author, Origin, View};
use crate::server::Hub;
use crate::who::Who;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::runs::{
    CHUNK, Delete, DeleteSchedule, List, ListSchedules, ListWatch, Listing, Output, Pause,
    PauseSchedule, Plan, Planned, PlannedHost, PutSchedule, Resume, Retry, Run, Schedule,
    ScheduleListing, Show, Shown, Start, Started, Stop, Watch,
};
use cmdr_protocol::{Call as _, CallError, Feed, Nothing, Revoked};
use std::sync::Arc;
use std::time::Duration;

/// A watcher is told no more often than this, after the first time.
const PACE: Duration = Duration::from_millis(20);

/// Who watches lists is told no more often than this.
const LIST_PACE: Duration = Duration::from_millis(500);

pub(super) fn register(service: HubService) -> HubService {
    service
        .on(start)
        .on(plan)
        .on(list)
        .feed(watch_lists)
        .on(show)
        .feed(watch)
        .feed(output)
        .on(stop)
        .on(pause)
        .on(resume)
        .on(retry)
        .on(delete)
        .on(put_schedule)
        .on(pause_schedule)
        .on(list_schedules)
        .on(delete_schedule)
}

fn who(hub: &Hub, asked: &Asked) -> Result<(Caller, Arc<Who>), CallError> {
    let caller = asked.caller.clone().ok_or_else(nobody)?;
    let who = hub.who(&caller);
    Ok((caller, who))
}

async fn start(hub: Arc<Hub>, asked: Asked, start: Start) -> Result<Started, CallError> {
    let (caller, who) = who(&hub, &asked)?;
    let author = Author::of(&caller, &who);
    hub.runs.start(&hub, &who, author, start, Origin::default()).await
}

async fn plan(hub: Arc<Hub>, asked: Asked, plan: Plan) -> Result<Planned, CallError> {
    let (_, who) = who(&hub, &asked)?;
    let mut plan = plan;
    let made = hub.runs.plan_pinned(&hub, &who, &mut plan.start)?;
    let online =
        |host: &&crate::runs::Picked| host.state == cmdr_protocol::hosts::HostState::Online;
    let from = plan.from as usize;
    let mut planned = Planned {
        count: made.hosts.len() as u32,
        online: made.hosts.iter().filter(online).count() as u32,
        guard: made.guard,
        next: (made.hosts.len() > from + CHUNK).then_some((from + CHUNK) as u32),
        refused: made.refused.into_iter().take(CHUNK).collect(),
        ..Planned::default()
    };
    let hosts = made.hosts.into_iter().enumerate().skip(from).take(CHUNK);
    planned.hosts = hosts
        .map(|(at, host)| PlannedHost {
            host: Some(host.id),
            name: host.name,
            state: host.state,
            wave: crate::runs::wave_of(&made.waves, at as u32),
            protected: host.protected,
        })
        .collect();
    planned.waves = made.waves;
    Ok(planned)
}

async fn list(hub: Arc<Hub>, asked: Asked, list: List) -> Result<Listing, CallError> {
    let (caller, who) = who(&hub, &asked)?;
    let mut list = list;
    if !list.key.is_empty() {
        let of = hub.runs.with_key(&Author::of(&caller, &who), &list.key)?;
        let Some(id) = of.map(|id| id.to_string()).filter(|id| id.starts_with(&list.id)) else {
            return Ok(Listing::default());
        };
        list.id = id;
    }
    hub.runs.list(&hub, &who, &list).await
}

async fn watch_lists(
    hub: Arc<Hub>,
    asked: Asked,
    watch: ListWatch,
    feeding: Feeding<ListWatch>,
) -> Result<(), CallError> {
    let caller = asked.caller.clone().ok_or_else(nobody)?;
    let (mut news, mut view) = (hub.runs.list_news(), hub.runs.list_view(watch.brief));
    loop {
        news.borrow_and_update();
        for item in hub.runs.list_changes(&hub, &caller, &mut view) {
            feeding.send(&item).await?;
        }
        tokio::time::sleep(LIST_PACE).await;
        if news.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn show(hub: Arc<Hub>, asked: Asked, show: Show) -> Result<Shown, CallError> {
    let (_, who) = who(&hub, &asked)?;
    hub.runs.show(&hub, &who, show)
}

async fn watch(
    hub: Arc<Hub>,
    asked: Asked,
    watch: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let (_, who) = who(&hub, &asked)?;
    let (live, mut sees) = hub.runs.look(&hub, &who, watch.run, Watch::METHOD)?;
    if watch.output && who.program.is_some() {
        sees = sees.and(hub.runs.look(&hub, &who, watch.run, Output::METHOD)?.1);
    }
    if watch.output && !live.is_of(&who) {
        return Err(CallError::denied(format!(
            "the output of a run of somebody else is not watched but read: cmdr run output {}",
            watch.run
        )));
    }
    let view = hub.runs.view(live, sees, &watch.since, watch.output);
    tell(view, &feeding, watch.stay, true).await
}

async fn output(
    hub: Arc<Hub>,
    asked: Asked,
    output: Output,
    feeding: Feeding<Output>,
) -> Result<(), CallError> {
    let (_, who) = who(&hub, &asked)?;
    let (live, sees) = hub.runs.look(&hub, &who, output.run, Output::METHOD)?;
    let mut view = hub.runs.view(live, sees, &output.since, true);
    view.targets = false;
    view.only(&output.targets);
    tell(view, &feeding, false, output.follow).await
}

async fn tell<F>(
    mut view: View,
    feeding: &Feeding<F>,
    stay: bool,
    follow: bool,
) -> Result<(), CallError>
where
    F: Feed<Input = Nothing, Item = cmdr_protocol::runs::Progress>,
{
    let mut news = view.news();
    loop {
        news.borrow_and_update();
        let (mut over, mut some) = (false, false);
        for item in view.items() {
            over |= item.over;
            some = true;
            feeding.send(&item).await?;
        }
        if over && !stay {
            return Ok(());
        }
        if some {
            if follow {
                tokio::time::sleep(PACE).await;
            }
            // There may be more than was told at once.
            continue;
        }
        if !follow {
            return Ok(());
        }
        if news.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn stop(hub: Arc<Hub>, asked: Asked, stop: Stop) -> Result<Run, CallError> {
    let (caller, who) = who(&hub, &asked)?;
    let live = hub.runs.own(&hub, &who, stop.run, Stop::METHOD)?;
    let why = cmdr_protocol::display::clean_to_width(&stop.why, 200);
    let by = format!("stopped by {}", caller.operator);
    let why = if why.is_empty() { by } else { format!("{by}: {why}") };
    hub.runs.stop(&live, &why).await?;
    Ok(live.shown())
}

async fn pause(hub: Arc<Hub>, asked: Asked, pause: Pause) -> Result<Run, CallError> {
    let (caller, who) = who(&hub, &asked)?;
    let live = hub.runs.own(&hub, &who, pause.run, Pause::METHOD)?;
    hub.runs.pause(&live, &format!("paused by {}", caller.operator)).await?;
    Ok(live.shown())
}

async fn resume(hub: Arc<Hub>, asked: Asked, resume: Resume) -> Result<Run, CallError> {
    let (_, who) = who(&hub, &asked)?;
    let live = hub.runs.own(&hub, &who, resume.run, Resume::METHOD)?;
    hub.runs.resume(&live).await?;
    Ok(live.shown())
}

async fn retry(hub: Arc<Hub>, asked: Asked, retry: Retry) -> Result<Started, CallError> {
    let (_, who) = who(&hub, &asked)?;
    let live = hub.runs.own(&hub, &who, retry.run, Retry::METHOD)?;
    hub.runs.retry(&hub, &who, &live, &retry).await
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Nothing, CallError> {
    let (caller, who) = who(&hub, &asked)?;
    let live = hub.runs.own(&hub, &who, delete.run, Delete::METHOD)?;
    hub.runs.delete(&hub, &caller, live).await?;
    Ok(Nothing {})
}

async fn put_schedule(
    hub: Arc<Hub>,
    asked: Asked,
    put: PutSchedule,
) -> Result<Schedule, CallError> {
    let (caller, who) = who(&hub, &asked)?;
    let author = Author::of(&caller, &who);
    hub.runs.put_schedule(&hub, &who, author, put).await
}

async fn pause_schedule(
    hub: Arc<Hub>,
    asked: Asked,
    pause: PauseSchedule,
) -> Result<Schedule, CallError> {
    let (caller, who) = who(&hub, &asked)?;
    hub.runs.pause_schedule(&who, caller.key, &pause.name, pause.paused).await
}

async fn list_schedules(
    hub: Arc<Hub>,
    asked: Asked,
    _: ListSchedules,
) -> Result<ScheduleListing, CallError> {
    let (caller, who) = who(&hub, &asked)?;
    Ok(hub.runs.list_schedules(&who, caller.key))
}

async fn delete_schedule(
    hub: Arc<Hub>,
    asked: Asked,
    delete: DeleteSchedule,
) -> Result<Revoked, CallError> {
    let (caller, who) = who(&hub, &asked)?;
    hub.runs.delete_schedule(&who, caller.key, &delete.name).await
}
