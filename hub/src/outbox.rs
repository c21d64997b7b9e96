//! What is posted when runs are over: callbacks of those who began them, pushes by rule. Kept in the store until
//! it was taken or is given up, so that no crash forgets one; what was on its way in a crash is posted again, with
//! the same name ([`HEADER`]).
//!
//! Told of ends by [`crate::runs`]; what it was not told, because the hub was away or it was behind, it finds in
//! the list of runs.

mod callbacks;
mod pushes;
mod results;
mod sign;

pub(crate) use pushes::test;

use crate::api::Callbacks as Settings;
use crate::outward::{Outward, Place};
use crate::records::{PostRecord, post_key, prefix};
use crate::server::Hub;
use crate::store::{Batch, Store, StoreError};
use bytes::Bytes;
use cmdr_link::clock;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::pushes::{Post, PostState, Rule};
use cmdr_protocol::runs::Callback;
use cmdr_protocol::{CallError, ErrorKind, KeyId, RunId};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

/// Tells one post from another: the same when it is posted again.
pub const HEADER: &str = "Cmdr-Delivery";
/// Posts that may wait. Beyond it no run with a callback begins, and rules are passed over.
const MOST: usize = 10_000;
/// Posts on their way at once, and to one server.
const AT_ONCE: usize = 16;
const TO_ONE: usize = 2;
/// The longest pause between two tries.
const LONGEST_MS: u64 = 3600 * 1000;
/// After so long it is given up.
const GIVEN_UP_MS: u64 = 24 * 3600 * 1000;
/// So long it is known what became of a post: longer than any is tried.
const KEPT_MS: u64 = 7 * GIVEN_UP_MS;
/// How often what is old is looked for.
const TIDY: Duration = Duration::from_hours(1);
/// The longest sleep.
const LOOK: Duration = Duration::from_mins(1);

/// All posts.
#[derive(Debug)]
pub struct Outbox {
    store: Store,
    settings: Settings,
    /// Made when it is needed first: it reads whom the system trusts.
    outward: OnceLock<Result<Outward, String>>,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    posts: BTreeMap<String, PostRecord>,
    /// Those on their way, with the server that they go to once that is known.
    under_way: HashMap<String, String>,
}

/// Something to post.
struct Letter {
    place: Place,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

/// Why something was not posted.
enum Fate {
    /// It may work later.
    Later(String),
    /// It never will.
    Never(String),
}

impl From<StoreError> for Fate {
    fn from(error: StoreError) -> Self {
        Self::Later(error.to_string())
    }
}

/// When a post that failed so often is tried again: doubled each time, a little apart from others.
fn pause_ms(tries: u32) -> u64 {
    let pause = 1000u64.checked_shl(tries.min(30)).unwrap_or(LONGEST_MS).min(LONGEST_MS);
    let mut byte = [0];
    // Without chance they come together; that is no reason not to come.
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut byte).ok();
    pause + pause * u64::from(byte[0]) / 1024
}

impl Outbox {
    /// Reads what waits.
    pub fn load(store: Store, settings: &Settings) -> Result<Self, StoreError> {
        let mut state = State::default();
        for record in store.scan::<PostRecord>(prefix::POST)? {
            match record {
                Ok((key, post)) => drop(state.posts.insert(key, post)),
                Err(e) => tracing::error!("left out: {e}"),
            }
        }
        Ok(Self {
            store,
            settings: settings.clone(),
            outward: OnceLock::new(),
            state: Mutex::new(state),
            wake: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outward(&self) -> Result<&Outward, String> {
        self.outward.get_or_init(|| Outward::new(&self.settings)).as_ref().map_err(Clone::clone)
    }

    /// Whether a run may begin that shall be told there: an error says why not.
    pub fn check(
        &self,
        hub: &Hub,
        callback: &Callback,
        key: Option<KeyId>,
    ) -> Result<(), CallError> {
        let wrong = |why: String| CallError::malformed(format!("callback: {why}"));
        self.outward().and_then(|outward| outward.place(&callback.url)).map_err(wrong)?;
        let signing = key.map(|key| crate::api::signing::open(hub, key));
        if !matches!(signing, Some(Ok(Some(_)))) {
            return Err(CallError::malformed(
                "callback: it is signed with what a program's key for HTTP has, and this caller has none; make one: cmdr keys create NAME --verb VERB --http",
            ));
        }
        if self.lock().posts.values().filter(|post| post.is_waiting()).count() >= MOST {
            return Err(CallError::new(
                ErrorKind::Busy,
                "too many callbacks wait to be taken; try again later",
            ));
        }
        Ok(())
    }

    /// What waits and what was given up, oldest first.
    pub fn posts(&self) -> Vec<Post> {
        let state = self.lock();
        let mut posts: Vec<_> =
            state.posts.values().filter(|post| post.state != PostState::Taken).collect();
        posts.sort_by_key(|post| post.made_ms);
        posts.into_iter().take(500).map(PostRecord::shown).collect()
    }

    /// A run is over: what is to be posted is on disk when this returns.
    async fn over(&self, hub: &Hub, run: RunId) -> Result<(), StoreError> {
        let Some(end) = results::end(hub, run) else { return Ok(()) };
        let rules: Vec<Rule> = pushes::rules(&self.store)?;
        let mut names = Vec::new();
        if end.callback {
            names.push(String::new());
        }
        names.extend(rules.into_iter().filter(|rule| pushes::fits(hub, rule, run)).map(|r| r.name));
        let mut batch = Batch::new();
        let mut new = Vec::new();
        for rule in names {
            let key = post_key(run, end.ended_ms, &rule);
            let full = !rule.is_empty() && self.lock().posts.len() >= MOST;
            if full {
                tracing::warn!(%run, rule, "too much waits to be posted: this is not");
                continue;
            }
            if self.lock().posts.contains_key(&key) {
                continue;
            }
            let made_ms = clock::now_ms();
            let post = PostRecord {
                run: Some(run),
                rule,
                state: PostState::Waiting,
                made_ms,
                next_ms: made_ms,
                ..PostRecord::default()
            };
            batch = batch.put(key.clone(), &post);
            new.push((key, post));
        }
        if new.is_empty() {
            return Ok(());
        }
        self.store.apply(batch).await?;
        self.lock().posts.extend(new);
        self.wake.notify_one();
        Ok(())
    }

    /// The next post whose time has come, unless too many are on their way.
    fn take_due(&self, now_ms: u64) -> Option<(String, PostRecord)> {
        let mut state = self.lock();
        if state.under_way.len() >= AT_ONCE {
            return None;
        }
        let due = |(key, post): &(&String, &PostRecord)| {
            post.is_waiting() && post.next_ms <= now_ms && !state.under_way.contains_key(*key)
        };
        let (key, post) = state.posts.iter().filter(due).min_by_key(|(_, post)| post.next_ms)?;
        let (key, post) = (key.clone(), post.clone());
        state.under_way.insert(key.clone(), String::new());
        Some((key, post))
    }

    /// Takes a place among those on their way to a server.
    fn may_go(&self, key: &str, server: &str) -> bool {
        let mut state = self.lock();
        let there = state.under_way.values().filter(|to| *to == server).count();
        if there >= TO_ONE {
            return false;
        }
        state.under_way.insert(key.to_owned(), server.to_owned());
        true
    }

    /// How long until the next post is due.
    fn sleep(&self, now_ms: u64) -> Duration {
        let state = self.lock();
        let waiting = state
            .posts
            .iter()
            .filter(|(key, post)| post.is_waiting() && !state.under_way.contains_key(*key));
        let next = waiting.map(|(_, post)| post.next_ms).min();
        next.map_or(LOOK, |next| Duration::from_millis(next.saturating_sub(now_ms)).min(LOOK))
    }

    /// What came of a try, on disk.
    async fn tried(&self, key: &str, mut post: PostRecord, came: Result<u16, Fate>) {
        let now_ms = clock::now_ms();
        post.tries += 1;
        let run = post.run.map(|run| run.to_string()).unwrap_or_default();
        match came {
            Ok(_) => {
                post.state = PostState::Taken;
                post.last.clear();
            }
            Err(Fate::Later(why)) if now_ms.saturating_sub(post.made_ms) < GIVEN_UP_MS => {
                if post.tries == 1 {
                    tracing::info!(run, rule = post.rule, "a result waits to be posted: {why}");
                }
                post.next_ms = now_ms + pause_ms(post.tries - 1);
                post.last = clean_to_width(&why, 300);
            }
            Err(Fate::Later(why) | Fate::Never(why)) => {
                tracing::warn!(run, rule = post.rule, "a result will not be posted: {why}");
                post.state = PostState::GivenUp;
                post.last = clean_to_width(&why, 300);
            }
        }
        if let Err(e) = self.store.apply(Batch::new().put(key.to_owned(), &post)).await {
            // It is posted again, with the same name.
            tracing::warn!(run, "what came of posting a result was not kept: {e}");
        }
        let mut state = self.lock();
        state.under_way.remove(key);
        // A rule that was deleted meanwhile took its posts along.
        if let Some(known) = state.posts.get_mut(key) {
            *known = post;
        }
    }

    /// Takes the posts of a rule away.
    pub(crate) async fn forget(&self, rule: &str) -> Result<(), StoreError> {
        let keys: Vec<_> = {
            let state = self.lock();
            let of = state.posts.iter().filter(|(_, post)| post.rule == rule);
            of.map(|(key, _)| key.clone()).collect()
        };
        self.remove(keys).await
    }

    async fn remove(&self, keys: Vec<String>) -> Result<(), StoreError> {
        for some in keys.chunks(500) {
            let batch = some.iter().fold(Batch::new(), |batch, key| batch.delete(key.clone()));
            self.store.apply(batch).await?;
        }
        let mut state = self.lock();
        for key in &keys {
            state.posts.remove(key);
        }
        Ok(())
    }

    /// Forgets what became of posts long ago.
    async fn tidy(&self) {
        let now_ms = clock::now_ms();
        let old: Vec<_> = {
            let state = self.lock();
            let old = |post: &PostRecord| now_ms.saturating_sub(post.made_ms) > KEPT_MS;
            let of = state.posts.iter().filter(|(_, post)| !post.is_waiting() && old(post));
            of.map(|(key, _)| key.clone()).collect()
        };
        if let Err(e) = self.remove(old).await {
            tracing::warn!("old posts were not removed: {e}");
        }
    }
}

/// Posts what is to be posted, until it is dropped.
pub async fn serve(hub: Arc<Hub>) {
    tokio::join!(listen(&hub), deliver(&hub), async {
        let mut tick = tokio::time::interval(TIDY);
        loop {
            tick.tick().await;
            hub.outbox.tidy().await;
        }
    });
}

/// Hears of runs that are over.
async fn listen(hub: &Arc<Hub>) {
    let mut ends = hub.runs.ends();
    let mut behind = true;
    loop {
        if std::mem::take(&mut behind) {
            // Longer ago than posts are tried it is too late.
            let since = clock::now_ms().saturating_sub(GIVEN_UP_MS);
            for run in results::ended_since(hub, since) {
                over(hub, run).await;
            }
        }
        match ends.recv().await {
            Ok(run) => over(hub, run).await,
            Err(RecvError::Lagged(_)) => behind = true,
            Err(RecvError::Closed) => return,
        }
    }
}

async fn over(hub: &Arc<Hub>, run: RunId) {
    while let Err(e) = hub.outbox.over(hub, run).await {
        tracing::warn!(%run, "that a run is over could not be kept to be told: {e}");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

async fn deliver(hub: &Arc<Hub>) {
    let mut under_way = JoinSet::new();
    loop {
        while let Some((key, post)) = hub.outbox.take_due(clock::now_ms()) {
            under_way.spawn(attempt(hub.clone(), key, post));
        }
        let sleep = hub.outbox.sleep(clock::now_ms());
        tokio::select! {
            Some(_) = under_way.join_next() => {}
            () = hub.outbox.wake.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

async fn attempt(hub: Arc<Hub>, key: String, post: PostRecord) {
    let composed = if post.rule.is_empty() {
        callbacks::compose(&hub, &post)
    } else {
        pushes::compose(&hub, &post)
    };
    let came = match composed {
        Ok(letter) if !hub.outbox.may_go(&key, &letter.place.server()) => {
            // Others are on their way there; it waits without having been tried.
            let mut state = hub.outbox.lock();
            state.under_way.remove(&key);
            if let Some(post) = state.posts.get_mut(&key) {
                post.next_ms = clock::now_ms() + 500;
            }
            return;
        }
        Ok(letter) => send(&hub, &key, letter).await,
        Err(fate) => Err(fate),
    };
    hub.outbox.tried(&key, post, came).await;
}

async fn send(hub: &Hub, key: &str, letter: Letter) -> Result<u16, Fate> {
    let outward = hub.outbox.outward().map_err(Fate::Later)?;
    let mut headers = letter.headers;
    headers.push((HEADER, key.strip_prefix(prefix::POST).unwrap_or(key).to_owned()));
    let server = letter.place.server();
    match outward.post(&letter.place, &headers, letter.body).await {
        Ok(status @ 200..=299) => Ok(status),
        Ok(410) => Err(Fate::Never(format!("{server} answered 410: it wants no more of this"))),
        Ok(status @ 300..=399) => {
            Err(Fate::Later(format!("{server} answered {status}; redirects are not followed")))
        }
        Ok(status) => Err(Fate::Later(format!("{server} answered {status}"))),
        Err(why) => Err(Fate::Later(why)),
    }
}

impl PostRecord {
    fn is_waiting(&self) -> bool {
        self.state == PostState::Waiting
    }

    fn shown(&self) -> Post {
        Post {
            run: self.run,
            rule: self.rule.clone(),
            state: self.state,
            tries: self.tries,
            next_ms: self.next_ms,
            last: self.last.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        for tries in 0..40 {
            let pause = pause_ms(tries);
            let least = 1000u64.checked_shl(tries).unwrap_or(u64::MAX).min(LONGEST_MS);
            assert!((least..=least + least / 4).contains(&pause), "{tries}: {pause}");
        }
    }
}
