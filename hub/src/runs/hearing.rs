//! What hosts tell, on its way to the keeper: bounded in bytes, whatever the disk does, and with the runs that it is of,
//! so that the keeper, for which everybody waits, reads nothing from disk for the sake of one host.

use super::keeper::{News, size};
use super::links::Confirms;
use super::live::Live;
use super::{Runs, busy, parse_id, records};
use crate::store::StoreError;
use cmdr_protocol::orders::{Report, Told, is_id};
use cmdr_protocol::{CallError, ErrorKind, HostId, RunId};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of one place in the queue: what is told is counted in these.
const UNIT: usize = 1024;
/// What all hosts have told and is not on disk yet, in units, and what of it one host may have told.
const ALL: usize = (64 << 20) / UNIT;
const ONE: usize = (2 << 20) / UNIT;
/// Runs that are over and read back at the same time.
const READS: usize = 2;
/// Ends of such runs that are remembered of one feed, so that they are looked up once.
const ENDS: usize = 20_000;

/// The runs that ends are of which hosts tell.
pub(super) type Lives = BTreeMap<RunId, Arc<Live>>;

/// The room that there is.
#[derive(Debug)]
pub(super) struct Rooms {
    all: Arc<Semaphore>,
    hosts: Mutex<HashMap<HostId, Arc<Semaphore>>>,
    reads: Semaphore,
    /// Runs that cannot be read: said once.
    damaged: Mutex<HashSet<RunId>>,
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(ALL)),
            hosts: Mutex::default(),
            reads: Semaphore::new(READS),
            damaged: Mutex::default(),
        }
    }
}

/// Who tells, and how much of it may wait.
#[derive(Clone, Debug)]
pub(super) struct Room {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// Room that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Rooms {
    /// That of a host, over whichever link it tells.
    pub(super) fn of(&self, host: HostId) -> Room {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let own = hosts.entry(host).or_insert_with(|| Arc::new(Semaphore::new(ONE))).clone();
        Room { own, all: self.all.clone() }
    }

    /// That of something which the hub does itself.
    pub(super) fn apart(&self) -> Room {
        Room { own: Arc::new(Semaphore::new(ONE)), all: self.all.clone() }
    }
}

impl Room {
    /// Waits for room for so many bytes.
    async fn take(&self, bytes: usize) -> Result<Held, CallError> {
        let units = bytes.div_ceil(UNIT).clamp(1, ONE) as u32;
        let stopping = |_| CallError::new(ErrorKind::Cancelled, "the hub is stopping");
        let own = self.own.clone().acquire_many_owned(units).await.map_err(stopping)?;
        let all = self.all.clone().acquire_many_owned(units).await.map_err(stopping)?;
        Ok(Held { _own: own, _all: all })
    }
}

/// What is heard over one feed of a host.
#[derive(Debug)]
pub(super) struct Hearing {
    host: HostId,
    confirms: Arc<Confirms>,
    room: Room,
    /// Ends of runs that are not going on: whoever tells one again has told it.
    ends: HashSet<String>,
}

impl Runs {
    /// A feed of a host begins.
    pub(super) fn hearing(&self, host: HostId, confirms: &Arc<Confirms>) -> Hearing {
        let room = self.rooms.of(host);
        Hearing { host, confirms: confirms.clone(), room, ends: HashSet::new() }
    }

    /// Has the keeper hear what a host told.
    pub(super) async fn hear(
        self: &Arc<Self>,
        hearing: &mut Hearing,
        mut told: Told,
    ) -> Result<(), CallError> {
        let (mut lives, host, known) = (Lives::new(), hearing.host, &mut hearing.ends);
        let mut over: BTreeMap<RunId, Vec<(u32, Report)>> = BTreeMap::new();
        let sort = |report: Report| {
            if !report.state.is_end() {
                return Some(report);
            }
            let own = || self.alias(host, &report.id).map(|(run, index)| (run, index, 0));
            let Some((run, index, _)) = parse_id(&report.id).or_else(own) else {
                return Some(report);
            };
            if lives.contains_key(&run) {
                return Some(report);
            }
            if let Some(live) = self.open(run) {
                lives.insert(run, live);
                return Some(report);
            }
            if is_id(&report.id) && is_new(known, &report.id) {
                over.entry(run).or_default().push((index, report));
            }
            None
        };
        told.reports = std::mem::take(&mut told.reports).into_iter().filter_map(sort).collect();
        if !(told.pieces.is_empty() && told.reports.is_empty()) {
            let room = size(&told);
            self.tell_keeper(hearing, told, lives, room).await?;
        }
        for (run, ends) in over {
            self.hear_over(hearing, run, ends).await?;
        }
        Ok(())
    }

    /// Ends of one run that does not go on any more.
    async fn hear_over(
        self: &Arc<Self>,
        hearing: &Hearing,
        run: RunId,
        ends: Vec<(u32, Report)>,
    ) -> Result<(), CallError> {
        let Some((index, _)) = ends.first() else { return Ok(()) };
        match self.look_up(run, Some((hearing.host, *index))).await? {
            Looked::Here(live) => {
                let reports = ends.into_iter().map(|(_, report)| report).collect();
                let told = Told { reports, ..Told::default() };
                // All the room of the host: it has no more than one such run in memory.
                let lives = Lives::from([(run, live)]);
                return self.tell_keeper(hearing, told, lives, usize::MAX).await;
            }
            Looked::Foreign => {
                if let Some((_, report)) = ends.first() {
                    hearing.confirms.is_foreign(hearing.host, &report.id);
                }
            }
            Looked::Gone => {}
        }
        for (_, report) in ends {
            hearing.confirms.over(report.id);
        }
        Ok(())
    }

    async fn tell_keeper(
        &self,
        hearing: &Hearing,
        told: Told,
        lives: Lives,
        room: usize,
    ) -> Result<(), CallError> {
        let (host, confirms) = (hearing.host, hearing.confirms.clone());
        self.tell_of(&hearing.room, host, told, lives, confirms, room).await
    }

    /// What the hub itself tells of what it does for a host.
    pub(super) async fn tell_here(
        &self,
        room: &Room,
        (host, live): (HostId, &Arc<Live>),
        told: Told,
        confirms: &Arc<Confirms>,
    ) -> Result<(), CallError> {
        let (lives, bytes) = (Lives::from([(live.id, live.clone())]), size(&told));
        self.tell_of(room, host, told, lives, confirms.clone(), bytes).await
    }

    async fn tell_of(
        &self,
        room: &Room,
        host: HostId,
        told: Told,
        lives: Lives,
        confirms: Arc<Confirms>,
        bytes: usize,
    ) -> Result<(), CallError> {
        let held = room.take(bytes).await?;
        let news = News::Told { host, told, lives, confirms, held };
        // Without a keeper the hub is stopping.
        let stopping = |_| CallError::new(ErrorKind::Cancelled, "the hub is stopping");
        self.queue.send(news).await.map_err(stopping)
    }

    /// A run with its targets, also one that is over, which is read without holding up anybody else.
    pub(super) async fn look_for(
        self: &Arc<Self>,
        run: RunId,
    ) -> Result<Option<Arc<Live>>, CallError> {
        Ok(match self.look_up(run, None).await? {
            Looked::Here(live) => Some(live),
            Looked::Foreign | Looked::Gone => None,
        })
    }

    /// The same; when a host asks for it as this target, only if it is that.
    async fn look_up(
        self: &Arc<Self>,
        run: RunId,
        asks: Option<(HostId, u32)>,
    ) -> Result<Looked, CallError> {
        {
            let mut state = self.state();
            if let Some(live) = state.here(run) {
                return Ok(Looked::Here(live));
            }
            if !state.over.contains_key(&run) {
                return Ok(Looked::Gone);
            }
        }
        if self.rooms.damaged().contains(&run) {
            return Ok(Looked::Gone);
        }
        let stopping = |_| CallError::new(ErrorKind::Cancelled, "the hub is stopping");
        let _turn = self.rooms.reads.acquire().await.map_err(stopping)?;
        let runs = self.clone();
        let read = tokio::task::spawn_blocking(move || -> Result<Looked, StoreError> {
            if let Some((host, index)) = asks {
                match records::host_of(&runs.store, run, index)? {
                    Some(one) if one == host => {}
                    Some(_) => return Ok(Looked::Foreign),
                    None => return Ok(Looked::Gone),
                }
            }
            Ok(runs.find(run)?.map_or(Looked::Gone, Looked::Here))
        });
        match read.await.map_err(|e| CallError::failed(e.to_string()))? {
            Ok(looked) => Ok(looked),
            // What it has is gone, and its hosts are needed for others.
            Err(StoreError::Damaged { key, what }) => {
                tracing::error!("the run {run} is left out: the record '{key}' is damaged: {what}");
                self.rooms.damaged().insert(run);
                Ok(Looked::Gone)
            }
            Err(e) => Err(busy(e)),
        }
    }
}

/// What became of looking for a run.
enum Looked {
    Here(Arc<Live>),
    /// It is of other hosts.
    Foreign,
    /// It is not kept any more.
    Gone,
}

impl Rooms {
    fn damaged(&self) -> std::sync::MutexGuard<'_, HashSet<RunId>> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an end was not told over this feed before.
fn is_new(known: &mut HashSet<String>, id: &str) -> bool {
    if known.len() >= ENDS {
        known.clear();
    }
    known.insert(id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::lab::{Lab, report, until};
    use cmdr_protocol::orders::{Confirm, Piece};
    use cmdr_protocol::runs::TargetState;
    use futures::FutureExt as _;
    use tokio::task::unconstrained;

    #[tokio::test]
    async fn while_nothing_can_be_written_a_host_and_all_of_them_have_so_much_in_memory_and_no_more()
     {
        let lab = Lab::idle();
        let runs = &lab.hub.runs;
        let said = || {
            let piece =
                Piece { id: "made-up".into(), data: vec![7; 256 << 10], ..Piece::default() };
            Told { pieces: vec![piece], ..Told::default() }
        };
        let one = |number: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            HostId(id)
        };
        let mut taken = 0;
        for number in 0..100 {
            // Over another link it has no more.
            for _ in 0..2 {
                let mut hears = runs.hearing(one(number), &lab.confirms);
                while unconstrained(runs.hear(&mut hears, said())).now_or_never().is_some() {
                    taken += 256 << 10;
                }
            }
            assert!(taken <= (number as usize + 1) * ONE * UNIT, "{taken}");
        }
        assert!(taken > 60 << 20 && taken <= 64 << 20, "{taken}");
        // When that is written there is room again.
        let serving = lab.hub.clone();
        tokio::spawn(async move { serving.runs.serve(&serving).await });
        let mut hears = runs.hearing(one(0), &lab.confirms);
        for _ in 0..20 {
            runs.hear(&mut hears, said()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn the_end_of_a_run_that_is_over_is_looked_up_once_a_feed_and_not_by_the_keeper() {
        let lab = Lab::new();
        let runs = &lab.hub.runs;
        let live = lab.sent().await;
        lab.ends(&live, report(&live)).await;
        let (run, told) = (live.id, report(&live));
        drop(live);
        let confirmed = async |confirms: &Confirms| confirms.next().await.unwrap();
        let all = Confirm { over: vec![told.id.clone()], ..Confirm::default() };
        assert_eq!(confirmed(&lab.confirms).await, all);
        let ends = Told { reports: vec![told.clone(); 3], ..Told::default() };
        let forget = || {
            let mut state = runs.state();
            state.looked.clear();
            state.held.clear();
        };
        forget();
        let mut hears = runs.hearing(lab.hosts[0], &lab.confirms);
        runs.hear(&mut hears, ends.clone()).await.unwrap();
        assert_eq!(confirmed(&lab.confirms).await, all);
        forget();
        runs.hear(&mut hears, ends.clone()).await.unwrap();
        assert!(runs.state().looked.is_empty(), "nothing was read");
        // Of another host: it is confirmed, so that it is not told again, and changes nothing.
        let mut hears = runs.hearing(lab.hosts[1], &lab.confirms);
        runs.hear(&mut hears, ends).await.unwrap();
        assert_eq!(confirmed(&lab.confirms).await, all);
        assert!(runs.state().looked.is_empty());
        assert_eq!(lab.again(run).lock().seats[0].late, None);
    }

    #[tokio::test]
    async fn what_is_told_while_its_run_comes_to_its_end_stands_beside_that() {
        let lab = Lab::new();
        let live = lab.sent().await;
        let end = crate::runs::keeper::End {
            target: 0,
            attempt: 0,
            state: TargetState::Lost,
            why: String::new(),
        };
        lab.news(News::End { live: live.clone(), ends: vec![end] }).await;
        lab.tells(0, Vec::new(), vec![report(&live)]).await;
        until(&live, |inner| inner.seats[0].late == Some(TargetState::Ok)).await;
    }
}
