//! Steps that are playbooks: the hub does them itself, for one target each, and tells the keeper what a host would
//! tell of an order. So they are kept, watched, stopped, tried again and told like every other step.
//!
//! A playbook needs the link of its host all the time, and the hub. What was under way when either went is not known, and
//! is not done again unless somebody asks for that: it is `lost`.

use super::dispatch::may;
use super::hearing::Room;
use super::links::Confirms;
use super::live::Live;
use super::{Author, Runs, order_id};
use crate::audit::trail::Trail;
use crate::playbooks::{Carrier, Child, Counts, Ended, Play, Said, clear, clear_locks};
use crate::runbooks::Next;
use crate::server::Hub;
use cmdr_link::{clock, codec};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::envelope::{Header, Kind};
use cmdr_protocol::orders::{Piece, Report, Told};
use cmdr_protocol::runs::{RunState, TargetState};
use cmdr_protocol::{CallError, Feed as _, HostId, exec};
use serde::Serialize;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

/// Why a playbook is lost that an earlier hub may have begun.
pub(super) const UNKNOWN: &str =
    "the hub ended while the playbook ran, or before it began; what it has done is not known";

/// Playbooks that run or wait for their turn, by the names of their attempts, and how each is told to end.
#[derive(Debug, Default)]
pub(super) struct Playing {
    all: Mutex<HashMap<String, oneshot::Sender<String>>>,
    places: OnceLock<Arc<Semaphore>>,
}

impl Playing {
    fn all(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<String>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is in the audit log of a playbook.
#[derive(Debug, Serialize)]
struct Noted<'a> {
    run: String,
    target: u32,
    attempt: u32,
    step: &'a str,
    /// Of its text.
    playbook: String,
    vars: Vec<&'a String>,
    check: bool,
}

/// One attempt of a step.
struct Turn {
    runs: Arc<Runs>,
    live: Arc<Live>,
    index: u32,
    attempt: u32,
    id: String,
    host: HostId,
    name: String,
    author: Author,
    resource: String,
    step: String,
    play: Play,
    confirms: Arc<Confirms>,
    room: Room,
    /// Bytes of output so far.
    told: AtomicU64,
}

/// How a turn ended.
struct Outcome {
    state: TargetState,
    code: Option<i32>,
    message: String,
    already: bool,
}

impl Runs {
    fn playbooks_dir(&self) -> PathBuf {
        self.dir.parent().unwrap_or(&self.dir).join("playbooks")
    }

    /// Removes the folders of playbooks that an earlier hub has left.
    pub(super) async fn clear_playbooks(&self) {
        let dir = self.playbooks_dir();
        if let Err(e) = tokio::task::spawn_blocking(move || clear(&dir)).await {
            tracing::error!("removing what playbooks left: {e}");
        }
    }

    /// Begins a playbook, unless the target is somewhere else by now. An end when it is known that it never will.
    pub(super) fn play(
        self: &Arc<Self>,
        hub: &Arc<Hub>,
        live: &Arc<Live>,
        index: u32,
        attempt: u32,
        play: Play,
    ) -> Option<(TargetState, String)> {
        let (host, name, author, resource, step) = {
            let inner = live.lock();
            let seat = &inner.seats[index as usize];
            let step = match (&inner.book, &seat.stand) {
                (Some(Ok(book)), Some(stand)) => book.step(stand),
                _ => String::new(),
            };
            let resource = inner.record.start.order.resource();
            (seat.host, seat.name.to_string(), inner.record.author.clone(), resource, step)
        };
        if hub.fleet.link(host).is_err() {
            // When it is back, this is taken up again.
            self.note_away(live, index);
            return None;
        }
        if let Err(e) = hub.config.ansible.check() {
            return Some((TargetState::Failed, e.message));
        }
        if let Err(why) = may(hub, live, &author, &resource, host) {
            return Some((TargetState::Refused, why));
        }
        let id = order_id(live.id, index, attempt);
        let (end, ends) = oneshot::channel();
        {
            let mut inner = live.lock();
            if inner.record.state == RunState::Stopping || inner.overdue.is_some() {
                return Some((TargetState::Cancelled, "the run was stopped".to_owned()));
            }
            let seat = &mut inner.seats[index as usize];
            if seat.ending || seat.attempt != attempt || seat.here {
                return None;
            }
            (seat.asked, seat.here) = (true, true);
            // Under this lock: whoever ends what is out finds it.
            self.playing.all().insert(id.clone(), end);
        }
        let turn = Turn {
            runs: self.clone(),
            live: live.clone(),
            index,
            attempt,
            id,
            host,
            name,
            author,
            resource,
            step,
            play,
            confirms: Arc::default(),
            room: self.rooms.apart(),
            told: AtomicU64::new(0),
        };
        let hub = hub.clone();
        tokio::spawn(async move { turn.go(&hub, ends).await });
        None
    }

    /// Ends those of these orders that are playbooks here; gives back the others.
    pub(super) fn end_playbooks(&self, ids: Vec<String>, why: &str) -> Vec<String> {
        let mut playing = self.playing.all();
        let mut others = Vec::new();
        for id in ids {
            match playing.remove(&id) {
                // It may be ending by itself.
                Some(end) => drop(end.send(why.to_owned())),
                None => others.push(id),
            }
        }
        others
    }

    /// Whether what an earlier hub may have begun for a target is a playbook.
    pub(super) fn may_have_played(&self, live: &Live, index: u32) -> bool {
        let (book, mut progress, host) = {
            let inner = live.lock();
            let Some(seat) = inner.seats.get(index as usize) else { return false };
            let (Some(Ok(book)), Some(stand)) = (&inner.book, &seat.stand) else { return false };
            if !seat.asked || seat.here || seat.acked.is_some() {
                return false;
            }
            (book.clone(), stand.progress(), seat.host)
        };
        let Some(hub) = self.hub() else { return false };
        let Some(host) = hub.fleet.host(host) else { return false };
        matches!(book.next(&hub, &host, &mut progress), Next::Do { task, .. } if task.play.is_some())
    }

    /// What playbooks leave beside their folders goes when none of them runs; none begins meanwhile.
    async fn clear_locks(&self, hub: &Hub, places: &Semaphore) {
        let all = hub.config.ansible.at_once.get();
        let Ok(_all) = places.try_acquire_many(all) else { return };
        if let Err(e) = tokio::task::spawn_blocking(clear_locks).await {
            tracing::error!("removing what playbooks left: {e}");
        }
    }

    fn places(&self, hub: &Hub) -> Arc<Semaphore> {
        let most = hub.config.ansible.at_once.get() as usize;
        self.playing.places.get_or_init(|| Arc::new(Semaphore::new(most))).clone()
    }
}

impl Turn {
    /// The whole of it.
    async fn go(self, hub: &Arc<Hub>, mut ends: oneshot::Receiver<String>) {
        let places = self.runs.places(hub);
        let place = tokio::select! {
            place = places.acquire() => place,
            why = &mut ends => return self.over(cancelled(why), None).await,
        };
        let began = Instant::now();
        let running = Report {
            state: TargetState::Running,
            began_ms: Some(clock::now_ms()),
            ..self.report()
        };
        self.tell(Told { reports: vec![running], ..Told::default() }).await;
        let result = match self.note(hub).await {
            Err(e) => Outcome::failed(e.message),
            Ok(trail) => {
                let result = self.run(hub, &mut ends).await;
                let noted = match result.state {
                    TargetState::Ok => Ok(()),
                    _ => Err(CallError::failed(result.message.clone())),
                };
                match trail {
                    Some(trail) => match trail.end(cmdr_link::relay::Ended::with(noted)).await {
                        // It was done and cannot be recorded.
                        Err(e) if result.state == TargetState::Ok => Outcome::failed(e.message),
                        _ => result,
                    },
                    None => result,
                }
            }
        };
        drop(place);
        self.runs.clear_locks(hub, &places).await;
        self.over(result, Some(began.elapsed())).await;
    }

    /// Records that it is about to be done.
    async fn note(&self, hub: &Hub) -> Result<Option<Trail>, CallError> {
        // For the hub's own runs there is nobody to name.
        let Some(caller) = self.author.caller() else { return Ok(None) };
        let noted = Noted {
            run: self.live.id.to_string(),
            target: self.index,
            attempt: self.attempt,
            step: &self.step,
            playbook: blake3::hash(self.play.playbook.as_bytes()).to_hex().to_string(),
            vars: self.play.vars.keys().collect(),
            check: self.play.check,
        };
        let body = codec::encode(&noted).map_err(|e| CallError::failed(e.to_string()))?;
        let header = Header {
            to: Some(self.host),
            method: exec::Start::METHOD.to_owned(),
            kind: Kind::Feed,
            resource: self.resource.clone(),
            deadline_ms: None,
            trace: 0,
            caller: None,
        };
        Trail::part(hub, &caller, &header, &body).await
    }

    async fn run(&self, hub: &Arc<Hub>, ends: &mut oneshot::Receiver<String>) -> Outcome {
        let settings = &hub.config.ansible;
        let place = self.runs.playbooks_dir();
        let child = Child::start(place, &self.id, &self.name, &self.play, settings);
        let mut child = match child.await {
            Ok(child) => child,
            Err(why) => return Outcome::failed(why),
        };
        let carrier = Arc::new(self.carrier(hub));
        let timeout = self.play.timeout_ms.map(Duration::from_millis);
        let over = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let (say, mut said) = mpsc::channel(4);
        let saying = async {
            while let Some(said) = said.recv().await {
                self.say(said).await;
            }
        };
        let result = tokio::select! {
            (ended, ()) = async { tokio::join!(child.follow(&carrier, say), saying) } => {
                come_to(&ended, carrier.cut.load(Ordering::Relaxed))
            }
            why = ends => cancelled(why),
            () = over => Outcome {
                state: TargetState::TimedOut,
                message: "its time was over, and it was ended".to_owned(),
                ..Outcome::failed(String::new())
            },
        };
        child.end().await;
        while let Ok(said) = said.try_recv() {
            self.say(said).await;
        }
        tracing::info!(
            run = %self.live.id, host = %self.name, step = %self.step, programs = carrier.programs.load(Ordering::Relaxed),
            state = %result.state, "a playbook is over"
        );
        result
    }

    fn carrier(&self, hub: &Arc<Hub>) -> Carrier {
        let (live, index, attempt) = (self.live.clone(), self.index as usize, self.attempt);
        let (author, resource, host) = (self.author.clone(), self.resource.clone(), self.host);
        let goes_on = {
            let live = live.clone();
            move || {
                let inner = live.lock();
                let seat = &inner.seats[index];
                !seat.ending && seat.attempt == attempt
            }
        };
        Carrier {
            hub: Arc::downgrade(hub),
            host,
            caller: self.author.caller(),
            may: Box::new(move |hub| {
                if goes_on() {
                    may(hub, &live, &author, &resource, host)
                } else {
                    Err("the step is over".to_owned())
                }
            }),
            patience: self.runs.settings.rejoin.min(self.runs.settings.patience),
            cut: AtomicBool::new(false),
            programs: AtomicU64::new(0),
        }
    }

    fn report(&self) -> Report {
        Report { id: self.id.clone(), ..Report::default() }
    }

    /// Tells the keeper, as if the host did.
    async fn tell(&self, told: Told) {
        let of = (self.host, &self.live);
        // Without a keeper the hub is stopping.
        drop(self.runs.tell_here(&self.room, of, told, &self.confirms).await);
    }

    async fn say(&self, said: Said) {
        let at = self.told.fetch_add(said.data.len() as u64, Ordering::Relaxed);
        let piece = Piece { id: self.id.clone(), at, stderr: said.stderr, data: said.data };
        self.tell(Told { pieces: vec![piece], ..Told::default() }).await;
    }

    async fn over(&self, result: Outcome, took: Option<Duration>) {
        self.runs.playing.all().remove(&self.id);
        let report = Report {
            state: result.state,
            code: result.code,
            took_ms: took.map(|took| took.as_millis() as u64),
            message: result.message,
            already: result.already,
            output: self.told.load(Ordering::Relaxed),
            ..self.report()
        };
        self.tell(Told { reports: vec![report], ..Told::default() }).await;
    }
}

impl Outcome {
    const fn failed(message: String) -> Self {
        Self { state: TargetState::Failed, code: None, message, already: false }
    }
}

/// Why it was to end; without a word, because the hub stops.
fn cancelled(why: Result<String, oneshot::error::RecvError>) -> Outcome {
    let message = why.unwrap_or_else(|_| "the hub is stopping".to_owned());
    Outcome { state: TargetState::Cancelled, ..Outcome::failed(message) }
}

/// What the end of `ansible-playbook` means for its target.
fn come_to(ended: &Ended, cut: bool) -> Outcome {
    let clean = |text: &str| clean_to_width(text, 400);
    let state = |state, message| Outcome { state, ..Outcome::failed(message) };
    if ended.is_refused() {
        return state(TargetState::Refused, clean(&ended.complaint));
    }
    let code = Some(ended.code);
    let Some(counts) = &ended.counts else {
        let said = match clean(&ended.complaint) {
            said if said.is_empty() => "without a word".to_owned(),
            said => format!("it said: {said}"),
        };
        let message = format!("ansible-playbook ended with code {}; {said}", ended.code);
        return Outcome { code, ..Outcome::failed(message) };
    };
    let Counts { hosts, changed, failures, unreachable, task, message, .. } = counts;
    if *failures == 0 && *unreachable == 0 && ended.code == 0 {
        if *hosts == 0 {
            let what =
                "no play of the playbook is for this host; 'hosts: all' is every host of the step";
            return Outcome { code, ..Outcome::failed(what.to_owned()) };
        }
        let (state, already) = (TargetState::Ok, *changed == 0);
        return Outcome { state, code, message: counts.told(), already };
    }
    let (task, message) = (clean(task), clean(message));
    if cut && *unreachable > 0 {
        let what = format!(
            "the link to the host was cut in task '{task}'; what that has done is not known"
        );
        return state(TargetState::Lost, what);
    }
    let said = match (task.is_empty(), message.is_empty()) {
        (true, _) => format!("ansible-playbook ended with code {}", ended.code),
        (false, true) => format!("task '{task}' failed"),
        (false, false) => format!("task '{task}': {message}"),
    };
    Outcome { code, ..Outcome::failed(said) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(code: i32, counts: Counts) -> Ended {
        Ended { code, counts: Some(counts), complaint: String::new() }
    }

    #[test]
    fn the_end_of_a_playbook_is_told_as_that_of_an_order() {
        let well = Counts { hosts: 1, ok: 3, changed: 1, ..Counts::default() };
        let result = come_to(&ended(0, well.clone()), false);
        assert_eq!((result.state, result.already), (TargetState::Ok, false));
        assert_eq!(result.message, "ok=3 changed=1 skipped=0");
        assert!(come_to(&ended(0, Counts { changed: 0, ..well.clone() }), false).already);
        // Nothing that was asked for was done.
        let none = come_to(&ended(0, Counts::default()), false);
        assert!(none.state == TargetState::Failed && none.message.contains("hosts: all"));
        let failed =
            Counts { failures: 1, task: "copy".into(), message: "no\u{1b} room".into(), ..well };
        let result = come_to(&ended(2, failed), false);
        assert_eq!((result.state, result.code), (TargetState::Failed, Some(2)));
        assert!(
            result.message.starts_with("task 'copy': no") && !result.message.contains('\u{1b}')
        );
    }

    #[test]
    fn a_link_that_was_cut_under_it_leaves_it_lost_and_no_cage_leaves_it_refused() {
        let away = Counts { hosts: 1, unreachable: 1, task: "x".into(), ..Counts::default() };
        assert_eq!(come_to(&ended(4, away.clone()), true).state, TargetState::Lost);
        assert_eq!(come_to(&ended(4, away), false).state, TargetState::Failed);
        let complaint = "a playbook cannot be kept in".to_owned();
        let caged = Ended { code: 125, counts: None, complaint: complaint.clone() };
        let result = come_to(&caged, false);
        assert_eq!((result.state, result.message), (TargetState::Refused, complaint));
        let broken = Ended { code: 4, counts: None, complaint: "ERROR! a tab".into() };
        let result = come_to(&broken, false);
        assert!(result.state == TargetState::Failed && result.message.contains("ERROR! a tab"));
    }
}
