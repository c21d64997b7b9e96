//! Looking at the hosts of a group: a page of them from the hub, then host after host, so many at once. Each is
//! asked with the rights of who looks.

use crate::action::Action;
use crate::event::Event;
use crate::link::Link;
use crate::panes::Context;
use crate::store::Store;
use crate::store::configs::{Look, asked, asking, expected, looked, without};
use crate::store::rights::Offer;
use cmdr_protocol::configs::{
    Drift, Expect, FileWanted, HostFiles, LARGEST, Stands, drift, is_read,
};
use cmdr_protocol::files::{FilePath, Read, Stat};
use cmdr_protocol::{Call as _, CallError, ErrorKind, Feed as _, HostId};
use std::time::Duration;

/// Hosts asked at once.
const AT_ONCE: usize = 16;
/// The hub makes the files of some hosts out of their templates.
const PATIENCE: Duration = Duration::from_secs(20);
/// After an error that may pass it is tried again when so much time went by.
const AGAIN_MS: u64 = 5000;
/// An answer that was lost with its link is not waited for any longer.
const WAITED_MS: u64 = 30_000;

/// Whether hosts may be asked for their files.
pub(super) fn may_look(context: &Context<'_>) -> bool {
    [Stat::METHOD, Read::METHOD]
        .iter()
        .all(|verb| context.store.offer(verb, false, &[]) != Offer::No)
}

/// Whether the hub may be asked what hosts shall have.
pub(super) fn may_ask(context: &Context<'_>) -> bool {
    context.store.offer(Expect::METHOD, false, &[]) != Offer::No
}

/// Whether more hosts are there than are asked without somebody saying so.
pub(super) fn is_held(look: &Look) -> bool {
    look.is_known() && !look.all && !look.more.is_empty()
}

/// The next questions of a look that goes on.
pub(super) fn drive(context: &Context<'_>, number: u64, name: &str) -> Action {
    let store = context.store;
    let Some(look) = store.configs.look(number).filter(|look| look.goes_on()) else {
        return Action::None;
    };
    let mut actions = vec![page(store, look, number, name)];
    if !may_look(context) {
        if !look.queue.is_empty() {
            actions.push(Action::Apply(without(number, look.round)));
        }
    } else if !is_held(look) {
        let next: Vec<HostFiles> =
            look.queue.iter().take(AT_ONCE.saturating_sub(look.waiting.len())).cloned().collect();
        if !next.is_empty() {
            actions.push(Action::Apply(asked(number, look.round, next.len())));
        }
        let round = look.round;
        actions.extend(next.into_iter().map(|host| ask(number, round, host)));
    }
    actions.retain(|action| !matches!(action, Action::None));
    if actions.is_empty() { Action::None } else { Action::All(actions) }
}

/// Asks the hub what the next hosts shall have, when few are left to be asked.
fn page(store: &Store, look: &Look, number: u64, name: &str) -> Action {
    let since = |at_ms: u64| store.now_ms.saturating_sub(at_ms);
    let wants = !look.is_known() || (!look.more.is_empty() && look.all);
    let waits = look.asked_ms > 0 && since(look.asked_ms) < WAITED_MS;
    let rests = match &look.error {
        Some(error) => !crate::link::is_passing(error) || since(look.came_ms) < AGAIN_MS,
        None => false,
    };
    if !wants || waits || rests || look.queue.len() >= AT_ONCE {
        return Action::None;
    }
    let expect = Expect {
        name: name.to_owned(),
        version: look.is_known().then_some(look.version),
        hosts: look.more.clone(),
        ..Expect::default()
    };
    let round = look.round;
    let fetch = Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let mut answer = link.call(None, expect, PATIENCE).await;
            for host in answer.iter_mut().flat_map(|answer| &mut answer.hosts) {
                for file in &mut host.files {
                    file.problem = told(&link, std::mem::take(&mut file.problem));
                }
            }
            Event::Done(Some(expected(number, round, answer)), Action::None)
        })
    }));
    Action::All(vec![Action::Apply(asking(number)), fetch])
}

fn ask(number: u64, round: u64, host: HostFiles) -> Action {
    Action::Errand(Box::new(move |link: Link| {
        Box::pin(async move {
            let mut found = Vec::new();
            for file in host.files.iter().filter(|file| file.problem.is_empty()) {
                found.push(match host.host {
                    Some(id) => stand(&link, id, file, false)
                        .await
                        .map(|(drift, _)| (drift.state, words(&link, drift).join(", "))),
                    None => Ok((Stands::Unknown, String::new())),
                });
            }
            Event::Done(Some(looked(number, round, host, found)), Action::None)
        })
    }))
}

fn told(link: &Link, text: String) -> String {
    if text.is_empty() { text } else { link.told(CallError::failed(text)).message }
}

/// What is otherwise, in words of this client's language.
pub(super) fn words(link: &Link, drift: Drift) -> Vec<String> {
    drift.what.into_iter().map(|what| told(link, what)).collect()
}

/// How a file on a host stands, with its content where that was read. For a `difference` it is read whenever
/// there is one to compare.
pub(super) async fn stand(
    link: &Link,
    host: HostId,
    file: &FileWanted,
    difference: bool,
) -> Result<(Drift, Option<Vec<u8>>), CallError> {
    let path = FilePath::parse(&file.path).map_err(|e| CallError::malformed(e.to_string()))?;
    let stat = match link.call(Some(host), Stat { path: path.clone() }, PATIENCE).await {
        Ok(stat) => stat,
        Err(e) if e.kind == ErrorKind::NotFound => {
            return Ok((Drift { state: Stands::Missing, what: Vec::new() }, None));
        }
        Err(e) => return Err(e),
    };
    let there = if is_read(file, &stat, difference) {
        let reading = tokio::time::timeout(PATIENCE, fetch(link, host, path));
        let late = |_| CallError::new(ErrorKind::TimedOut, String::new());
        Some(reading.await.map_err(late).map_err(|e| link.told(e))??)
    } else {
        None
    };
    Ok((drift(file, &stat, there.as_deref()), there))
}

async fn fetch(link: &Link, host: HostId, path: FilePath) -> Result<Vec<u8>, CallError> {
    let read = Read { path, length: Some(LARGEST), ..Read::default() };
    let mut items = link.feed(Some(host), read).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = items.next().await {
        bytes.extend_from_slice(&chunk?.data);
        if bytes.len() as u64 > LARGEST {
            break;
        }
    }
    Ok(bytes)
}
