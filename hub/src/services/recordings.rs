//! Recordings as administrators ask for them: rules, lists, reading, searching, watching, marks.

use super::{HubService, nobody};
use crate::recording::search;
use crate::recording::tail::{Source, Step, Tail};
use crate::server::Hub;
use cmdr_link::clock;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::recordings::{
    Delete, DeleteRule, Event, Events, Level, List, MAX_REMARK, PAGE, Page, PutRule, Read, Remark,
    RuleListing, Rules, Search, SetMark, State, Stop, Verified, Verify, Watch,
};
use cmdr_protocol::{CallError, ErrorKind, Feed, Nothing};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes of events in one item, but for a single larger one.
const ITEM: usize = 256 << 10;
/// Events in one item.
const EVENTS: usize = 4096;

pub(super) fn register(service: HubService) -> HubService {
    let service = service.on(rules).on(put_rule).on(delete_rule).on(list).on(stop).on(mark);
    service.on(delete).feed(read).feed(watch).feed(find).feed(verify)
}

async fn rules(hub: Arc<Hub>, _: Asked, _: Rules) -> Result<RuleListing, CallError> {
    Ok(RuleListing { rules: hub.recorder.rules.all() })
}

async fn put_rule(hub: Arc<Hub>, asked: Asked, put: PutRule) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let name = put.rule.name.clone();
    hub.recorder.rules.put(put.rule).await?;
    tracing::info!(rule = name, by = caller.name, "a rule of what is recorded was changed");
    Ok(Nothing {})
}

async fn delete_rule(
    hub: Arc<Hub>,
    asked: Asked,
    delete: DeleteRule,
) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    if !hub.recorder.rules.delete(&delete.name).await? {
        let name = cmdr_protocol::display::clean_to_width(&delete.name, 64);
        return Err(CallError::not_found(format!(
            "there is no rule '{name}'; cmdr recordings rules lists them"
        )));
    }
    tracing::info!(rule = delete.name, by = caller.name, "a rule of what is recorded was removed");
    Ok(Nothing {})
}

async fn list(hub: Arc<Hub>, _: Asked, list: List) -> Result<Page, CallError> {
    let limit = if list.limit == 0 { PAGE } else { list.limit.min(PAGE) };
    Ok(hub.recorder.page(&list.filter, list.before, limit as usize))
}

async fn delete(hub: Arc<Hub>, asked: Asked, delete: Delete) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    hub.recorder.delete(delete.id).await?;
    tracing::info!(recording = delete.id, by = caller.name, "a recording was removed");
    Ok(Nothing {})
}

async fn mark(hub: Arc<Hub>, asked: Asked, mark: SetMark) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    short(&mark.remark)?;
    let remark = (mark.level != Level::Unknown).then(|| Remark {
        level: mark.level,
        text: mark.remark,
        by: caller.name,
        at_ms: clock::now_ms(),
    });
    hub.recorder.mark(mark.id, remark).await.map(|()| Nothing {})
}

async fn stop(hub: Arc<Hub>, asked: Asked, stop: Stop) -> Result<Nothing, CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    short(&stop.reason)?;
    let live = hub.recorder.live(stop.id)?;
    let reason = if stop.reason.is_empty() { String::new() } else { format!(": {}", stop.reason) };
    let told = format!("{} ended it{reason}", caller.name);
    live.stop(CallError::new(ErrorKind::Cancelled, told));
    Ok(Nothing {})
}

fn short(text: &str) -> Result<(), CallError> {
    if text.len() > MAX_REMARK {
        return Err(CallError::malformed(format!(
            "a remark or a reason has at most {MAX_REMARK} bytes"
        )));
    }
    Ok(())
}

fn unread(id: u64, e: &std::io::Error) -> CallError {
    CallError::failed(format!("reading recording {id}: {e}"))
}

/// Looks once, on a thread where that may block.
async fn step(mut tail: Tail, id: u64) -> Result<(Tail, Result<Step, String>), CallError> {
    let looked = tokio::task::spawn_blocking(move || {
        let step = tail.next();
        (tail, step)
    });
    let (tail, step) = looked.await.map_err(|e| CallError::failed(e.to_string()))?;
    let step = step.map_err(|e| unread(id, &e))?;
    Ok((tail, step.map_err(|flaw| flaw.to_string())))
}

/// Sends events in items of a bounded size.
async fn send<F: Feed<Item = Events>>(
    feeding: &Feeding<F>,
    events: Vec<Event>,
    mut skipped: u64,
) -> Result<(), CallError> {
    let (mut item, mut size) = (Vec::new(), 0);
    for event in events {
        if !item.is_empty() && (size + event.data.len() > ITEM || item.len() == EVENTS) {
            let events = std::mem::take(&mut item);
            let skipped = std::mem::take(&mut skipped);
            feeding.send(&Events { events, skipped, ..Events::default() }).await?;
            size = 0;
        }
        size += event.data.len() + 16;
        item.push(event);
    }
    if !item.is_empty() || skipped > 0 {
        feeding.send(&Events { events: item, skipped, ..Events::default() }).await?;
    }
    Ok(())
}

async fn read(
    hub: Arc<Hub>,
    _: Asked,
    read: Read,
    feeding: Feeding<Read>,
) -> Result<(), CallError> {
    let (id, source) = (read.id, hub.recorder.source(read.id)?);
    let recording = Some(hub.recorder.get(id)?);
    feeding.send(&Events { recording, ..Events::default() }).await?;
    let from_us = read.from_ms.saturating_mul(1000);
    let opened = tokio::task::spawn_blocking(move || Tail::from(source, from_us));
    let opened = opened.await.map_err(|e| CallError::failed(e.to_string()))?;
    let mut tail = opened.map_err(|e| unread(id, &e))?;
    loop {
        let (back, step) = step(tail, id).await?;
        tail = back;
        match step {
            Ok(Step::Events(events, _)) => send(&feeding, events, 0).await?,
            Ok(Step::Idle | Step::Over) => return Ok(()),
            Err(damage) => {
                return feeding.send(&Events { damage, ..Events::default() }).await;
            }
        }
    }
}

async fn watch(
    hub: Arc<Hub>,
    asked: Asked,
    watch: Watch,
    feeding: Feeding<Watch>,
) -> Result<(), CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let (id, live) = (watch.id, hub.recorder.live(watch.id)?);
    let mut news = live.news();
    let source = hub.recorder.source(id)?;
    // Told before anything is seen.
    let _watching = live.watched(hub.recorder.next_watcher(), &caller.name);
    let recording = Some(hub.recorder.get(id)?);
    feeding.send(&Events { recording, ..Events::default() }).await?;
    let from_start = watch.from_start;
    let opened = tokio::task::spawn_blocking(move || Tail::watching(source, from_start));
    let mut tail = opened.await.map_err(|e| CallError::failed(e.to_string()))?;
    loop {
        let (back, step) = step(tail, id).await?;
        tail = back;
        match step {
            Ok(Step::Events(events, skipped)) => send(&feeding, events, skipped).await?,
            Ok(Step::Idle) => {
                if news.changed().await.is_err() {
                    return Ok(());
                }
            }
            Ok(Step::Over) => return Ok(()),
            Err(damage) => {
                return feeding.send(&Events { damage, ..Events::default() }).await;
            }
        }
    }
}

async fn find(
    hub: Arc<Hub>,
    _: Asked,
    wanted: Search,
    feeding: Feeding<Search>,
) -> Result<(), CallError> {
    let pattern = search::pattern(&wanted)?;
    let permit = hub.recorder.searching()?;
    let ids = match wanted.id {
        Some(id) => vec![hub.recorder.get(id)?.id],
        None => hub.recorder.ids(&wanted.filter),
    };
    let (out, mut hits) = mpsc::channel(2);
    let looking = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let sources = ids.into_iter().filter_map(|id| match hub.recorder.source(id) {
            // Removed meanwhile.
            Err(e) if e.kind == ErrorKind::NotFound => None,
            source => Some(source.map_err(|e| e.message)),
        });
        search::run(&wanted, &pattern, sources, &out);
    });
    while let Some(hits) = hits.recv().await {
        feeding.send(&hits).await?;
    }
    looking.await.map_err(|e| CallError::failed(e.to_string()))
}

async fn verify(
    hub: Arc<Hub>,
    _: Asked,
    wanted: Verify,
    feeding: Feeding<Verify>,
) -> Result<(), CallError> {
    let _permit = hub.recorder.searching()?;
    let ids = match wanted.id {
        Some(id) => vec![hub.recorder.get(id)?.id],
        None => hub.recorder.ids(&cmdr_protocol::recordings::Filter::default()),
    };
    for id in ids {
        let source = match hub.recorder.source(id) {
            Err(e) if e.kind == ErrorKind::NotFound => continue,
            source => source,
        };
        let Ok(state) = hub.recorder.get(id).map(|recording| recording.state) else { continue };
        let verified = match source {
            Ok(source) => tokio::task::spawn_blocking(move || prove(source, state))
                .await
                .map_err(|e| CallError::failed(e.to_string()))?,
            Err(e) => Verified { id, state, broken: e.message, ..Verified::default() },
        };
        feeding.send(&verified).await?;
    }
    Ok(())
}

/// Reads a recording whole.
fn prove(source: Source, state: State) -> Verified {
    let mut verified = Verified { id: source.id, state, ..Verified::default() };
    let mut tail = match Tail::from(source, 0) {
        Ok(tail) => tail,
        Err(e) => return Verified { broken: e.to_string(), ..verified },
    };
    loop {
        match tail.next() {
            Ok(Ok(Step::Events(events, _))) => {
                verified.bytes += events.iter().map(|event| event.data.len() as u64).sum::<u64>();
                verified.chunks = tail.number();
            }
            Ok(Ok(Step::Idle | Step::Over)) => return verified,
            Ok(Err(flaw)) => return Verified { broken: flaw.to_string(), ..verified },
            Err(e) => return Verified { broken: e.to_string(), ..verified },
        }
    }
}
