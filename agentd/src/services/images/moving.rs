//! Pulls and pushes: what the engine tells of each layer, thinned out to what somebody can see.

use super::lines::{Line, Lines, post};
use super::note;
use crate::Agent;
use cmdr_link::service::{Asked, Feeding};
use cmdr_protocol::images::{Layer, Login, Moved, Progress, Pull, PullAs, Push, PushAs, Reference};
use cmdr_protocol::{CallError, Feed};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often it is told how far layers are.
const TELL: Duration = Duration::from_millis(100);
/// Layers that are told of; no image has nearly as many.
const LAYERS: usize = 1000;
/// How much of the engine's last words is told.
const WORDS: usize = 300;

pub(super) async fn pull(
    agent: Arc<Agent>,
    asked: Asked,
    pull: Pull,
    feeding: Feeding<Pull>,
) -> Result<(), CallError> {
    pulling(&agent, &asked, &pull, None, feeding).await
}

pub(super) async fn pull_as(
    agent: Arc<Agent>,
    asked: Asked,
    call: PullAs,
    feeding: Feeding<PullAs>,
) -> Result<(), CallError> {
    pulling(&agent, &asked, &call.pull, Some(&call.login), feeding).await
}

pub(super) async fn push(
    agent: Arc<Agent>,
    asked: Asked,
    push: Push,
    feeding: Feeding<Push>,
) -> Result<(), CallError> {
    pushing(&agent, &asked, &push, None, feeding).await
}

pub(super) async fn push_as(
    agent: Arc<Agent>,
    asked: Asked,
    call: PushAs,
    feeding: Feeding<PushAs>,
) -> Result<(), CallError> {
    pushing(&agent, &asked, &call.push, Some(&call.login), feeding).await
}

/// Words that may stand in a query.
fn plain(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_alphanumeric() || b"/._-".contains(&c))
}

async fn pulling<F: Feed<Item = Progress>>(
    agent: &Agent,
    asked: &Asked,
    pull: &Pull,
    login: Option<&Login>,
    feeding: Feeding<F>,
) -> Result<(), CallError> {
    let name = Reference::parse(&pull.image).map_err(CallError::malformed)?;
    if !plain(&pull.platform) {
        return Err(CallError::malformed("a platform is written like linux/arm64"));
    }
    let attempted = format!("pull {name}");
    let engine = agent.engine().await?;
    // Of a name with both the digest counts.
    let which = name.digest.as_deref().or(name.tag.as_deref()).unwrap_or("latest");
    let mut path = format!("/images/create?fromImage={}&tag={which}", name.name());
    if !pull.platform.is_empty() {
        path = format!("{path}&platform={}", pull.platform);
    }
    let socket = &agent.config().docker_socket;
    let lines = post(&engine, socket, &attempted, &path, login).await?;
    tell(lines, &feeding).await?;
    note(asked, &attempted);
    Ok(())
}

async fn pushing<F: Feed<Item = Progress>>(
    agent: &Agent,
    asked: &Asked,
    push: &Push,
    login: Option<&Login>,
    feeding: Feeding<F>,
) -> Result<(), CallError> {
    let name = Reference::parse(&push.image).map_err(CallError::malformed)?;
    let Some(tag) = name.tag.clone().filter(|_| name.digest.is_none()) else {
        return Err(CallError::malformed("what is pushed is named by a tag, not by a digest"));
    };
    let attempted = format!("push {name}");
    let engine = agent.engine().await?;
    let path = format!("/images/{}/push?tag={tag}", name.name());
    let socket = &agent.config().docker_socket;
    let lines = post(&engine, socket, &attempted, &path, login).await?;
    tell(lines, &feeding).await?;
    note(asked, &attempted);
    Ok(())
}

/// What is known, and what of it was not told yet.
#[derive(Default)]
struct Known {
    layers: BTreeMap<String, Layer>,
    fresh: BTreeSet<String>,
    moved: Moved,
}

impl Known {
    fn take(&mut self, line: Line) {
        if let Some(aux) = line.aux.filter(|aux| !aux.digest.is_empty()) {
            self.moved.digest = aux.digest;
        }
        if let Some(digest) = line.status.strip_prefix("Digest: ") {
            digest.clone_into(&mut self.moved.digest);
        } else if line.id.is_empty() {
            if !line.status.is_empty() {
                let status = line.status.strip_prefix("Status: ").unwrap_or(&line.status);
                self.moved.status = cmdr_protocol::display::clean_to_width(status, WORDS);
            }
        } else if !line.status.starts_with("Pulling from")
            && (self.layers.len() < LAYERS || self.layers.contains_key(&line.id))
        {
            let far = line.progress.unwrap_or_default();
            let layer = Layer {
                id: line.id.clone(),
                status: line.status,
                current: u64::try_from(far.current).unwrap_or(0),
                total: u64::try_from(far.total).unwrap_or(0),
            };
            if self.layers.get(&line.id) != Some(&layer) {
                self.layers.insert(line.id.clone(), layer);
                self.fresh.insert(line.id);
            }
        }
    }

    fn fresh(&mut self) -> Vec<Layer> {
        let fresh = std::mem::take(&mut self.fresh);
        fresh.iter().filter_map(|id| self.layers.get(id)).cloned().collect()
    }
}

async fn tell<F: Feed<Item = Progress>>(
    mut lines: Lines,
    feeding: &Feeding<F>,
) -> Result<(), CallError> {
    let mut known = Known::default();
    let mut tick = interval(TELL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            line = lines.next() => match line? {
                Some(line) => known.take(line),
                None => break,
            },
            _ = tick.tick(), if !known.fresh.is_empty() => {
                feeding.send(&Progress { layers: known.fresh(), moved: None }).await?;
            }
        }
    }
    let layers = known.fresh();
    feeding.send(&Progress { layers, moved: Some(known.moved) }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn each_layer_is_told_as_it_is_last_and_the_end_has_the_digest() {
        let mut known = Known::default();
        for text in [
            r#"{"status":"Pulling from web","id":"1"}"#,
            r#"{"status":"Downloading","progressDetail":{"current":5,"total":9},"id":"aaa"}"#,
            r#"{"status":"Downloading","progressDetail":{"current":9,"total":9},"id":"aaa"}"#,
            r#"{"status":"Already exists","progressDetail":{},"id":"bbb"}"#,
            r#"{"status":"Digest: sha256:d"}"#,
            r#"{"status":"Status: Downloaded newer image for web:1"}"#,
        ] {
            known.take(line(text));
        }
        let layers = known.fresh();
        let told: Vec<_> = layers.iter().map(|l| (l.id.as_str(), l.current, l.total)).collect();
        assert_eq!(told, [("aaa", 9, 9), ("bbb", 0, 0)]);
        assert!(known.fresh().is_empty());
        assert_eq!(known.moved.digest, "sha256:d");
        assert_eq!(known.moved.status, "Downloaded newer image for web:1");
    }

    #[test]
    fn what_was_pushed_has_its_digest_beside_the_words() {
        let mut known = Known::default();
        known.take(line(r#"{"status":"1: digest: sha256:x size: 5"}"#));
        known.take(line(r#"{"progressDetail":{},"aux":{"Tag":"1","Digest":"sha256:x","Size":5}}"#));
        assert_eq!(known.moved.digest, "sha256:x");
    }
}
