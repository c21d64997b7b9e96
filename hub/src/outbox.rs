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
mod state;

pub(crate) use pushes::test;

use crate::api::Callbacks as Settings;
use crate::outward::{Outward, Place};
use crate::records::{PostRecord, post_key, prefix};
use crate::runs::Author;
use crate::server::Hub;
use crate::store::{Batch, Store, StoreError};
use bytes::Bytes;
use cmdr_link::clock;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::pushes::{Post, PostState, Rule};
use cmdr_protocol::runs::Callback;
use cmdr_protocol::{CallError, ErrorKind, RunId};
use state::State;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

/// Tells one post from another: the same when it is posted again.
pub const HEADER: &str = "Cmdr-Delivery";
/// The longest pause between two tries.
const LONGEST_MS: u64 = 3600 * 1000;
/// After so long it is given up.
const GIVEN_UP_MS: u64 = 24 * 3600 * 1000;
/// What has ended so lately may not have been looked at.
const JUST_MS: u64 = 60 * 1000;
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
                Ok((key, post)) => state.insert(key, post),
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
    pub fn check(&self, hub: &Hub, callback: &Callback, author: &Author) -> Result<(), CallError> {
        let wrong = |why: String| CallError::malformed(format!("callback: {why}"));
        self.outward().and_then(|outward| outward.place(&callback.url)).map_err(wrong)?;
        let signing = author.key.map(|key| crate::api::signing::open(hub, key));
        if !matches!(signing, Some(Ok(Some(_)))) {
            return Err(CallError::malformed(
                "callback: it is signed with what a program's key for HTTP has, and this caller has none; make one: cmdr keys create NAME --verb VERB --http",
            ));
        }
        let state = self.lock();
        if !state.has_room(&author.operator, false) {
            let (own, others) = state.wait_of(&author.operator);
            return Err(CallError::new(
                ErrorKind::Busy,
                format!(
                    "too many results wait to be taken, {own} of them about runs of {}, {others} about runs of others; try again later",
                    author.operator
                ),
            ));
        }
        Ok(())
    }

    /// What waits and what was given up, oldest first.
    pub fn posts(&self) -> Vec<Post> {
        let state = self.lock();
        let of = state.waiting.values().chain(state.over.values());
        let mut posts: Vec<_> = of.filter(|post| post.state != PostState::Taken).collect();
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
            let has_room = {
                let state = self.lock();
                if state.knows(&key) {
                    continue;
                }
                state.has_room(&end.by, rule.is_empty())
            };
            if !has_room {
                tracing::warn!(%run, rule, "too much waits to be posted: this is not");
                continue;
            }
            let made_ms = clock::now_ms();
            let post = PostRecord {
                run: Some(run),
                rule,
                by: end.by.clone(),
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
        {
            let mut state = self.lock();
            for (key, post) in new {
                state.insert(key, post);
            }
        }
        self.wake.notify_one();
        Ok(())
    }

    /// An error while what came of a run still waits to be posted: it is put together from the run.
    pub(crate) async fn settled(&self, hub: &Hub, run: RunId) -> Result<(), CallError> {
        // One that has just ended may not have been looked at yet.
        let since = clock::now_ms().saturating_sub(JUST_MS);
        if results::end(hub, run).is_some_and(|end| end.ended_ms > since) {
            let busy = |e: StoreError| CallError::new(ErrorKind::Busy, e.to_string());
            self.over(hub, run).await.map_err(busy)?;
        }
        if self.lock().waiting.values().any(|post| post.run == Some(run)) {
            return Err(CallError::new(
                ErrorKind::Conflict,
                format!(
                    "what came of run {run} waits to be posted; to see where to: cmdr pushes waiting"
                ),
            ));
        }
        Ok(())
    }

    /// The next post whose time has come, unless too many are on their way.
    fn take_due(&self, now_ms: u64) -> Option<(String, PostRecord)> {
        self.lock().take_due(now_ms)
    }

    /// How long until the next post is due that would find a place.
    fn sleep(&self, now_ms: u64) -> Duration {
        let next = self.lock().next().map(|(next_ms, _)| *next_ms);
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
        let too_many = {
            let mut state = self.lock();
            state.tried(key, post);
            state.too_many()
        };
        if !too_many.is_empty()
            && let Err(e) = self.remove(too_many).await
        {
            tracing::warn!("old posts were not removed: {e}");
        }
    }

    /// Takes the posts of a rule away.
    pub(crate) async fn forget(&self, rule: &str) -> Result<(), StoreError> {
        let keys: Vec<_> = {
            let state = self.lock();
            let all = state.waiting.iter().chain(&state.over);
            all.filter(|(_, post)| post.rule == rule).map(|(key, _)| key.clone()).collect()
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
            state.remove(key);
        }
        Ok(())
    }

    /// Forgets what became of posts long ago.
    async fn tidy(&self) {
        let now_ms = clock::now_ms();
        let old = self.lock().before(now_ms.saturating_sub(KEPT_MS));
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
    let place = if post.rule.is_empty() {
        callbacks::place(&hub, &post)
    } else {
        pushes::place(&hub, &post)
    };
    let found = match place {
        Ok(place) => find(&hub, &place).await.map(|to| (place, to)),
        Err(fate) => Err(fate),
    };
    let came = match found {
        Ok((place, to)) => {
            {
                let mut state = hub.outbox.lock();
                if !state.may_go(&key, &to) {
                    // Others are on their way there; it waits without having been tried, the longer the more wait.
                    let pause = 500 + state.waiting.len().min(30_000) as u64;
                    return state.put_back(&key, clock::now_ms() + pause);
                }
            }
            // Only what goes now is put together: all that a run has printed may have to be read for it.
            match compose(&hub, &post, place).await {
                Ok(letter) => send(&hub, &key, letter, &to).await,
                Err(fate) => Err(fate),
            }
        }
        Err(fate) => Err(fate),
    };
    hub.outbox.tried(&key, post, came).await;
}

/// The addresses of its server.
async fn find(hub: &Hub, place: &Place) -> Result<Vec<SocketAddr>, Fate> {
    let outward = hub.outbox.outward().map_err(Fate::Later)?;
    outward.find(place).await.map_err(Fate::Later)
}

async fn compose(hub: &Arc<Hub>, post: &PostRecord, place: Place) -> Result<Letter, Fate> {
    let (hub, post) = (hub.clone(), post.clone());
    let composing = tokio::task::spawn_blocking(move || {
        if post.rule.is_empty() {
            callbacks::compose(&hub, &post, place)
        } else {
            pushes::compose(&hub, &post, place)
        }
    });
    composing.await.unwrap_or_else(|e| Err(Fate::Later(format!("a fault of the hub: {e}"))))
}

async fn send(hub: &Hub, key: &str, letter: Letter, to: &[SocketAddr]) -> Result<u16, Fate> {
    let outward = hub.outbox.outward().map_err(Fate::Later)?;
    let mut headers = letter.headers;
    headers.push((HEADER, key.strip_prefix(prefix::POST).unwrap_or(key).to_owned()));
    let server = letter.place.named();
    match outward.post_to(&letter.place, to, &headers, letter.body).await {
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
