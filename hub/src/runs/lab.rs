//! A hub with two hosts that have no link, for tests of what it keeps of runs: what hosts would tell is put into the
//! keeper's queue.

use super::handed::moment;
use super::keeper::News;
use super::links::Confirms;
use super::live::{Inner, Live};
use super::records::{self, Author};
use super::{Origin, ScheduleRecord, order_id, restore};
use crate::config::Config;
use crate::server::Hub;
use crate::store::Store;
use crate::who::Who;
use cmdr_link::{SecretKey, clock};
use cmdr_protocol::orders::{Piece, Report, Told};
use cmdr_protocol::runs::{Command, Order, Schedule, Start, TargetState, When};
use cmdr_protocol::{HostId, PublicKey, RunId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Lab {
    pub(super) hub: Arc<Hub>,
    pub(super) hosts: Vec<HostId>,
    pub(super) confirms: Arc<Confirms>,
    _dir: tempfile::TempDir,
}

/// A command for the first host, which is waited for.
pub(super) fn waits() -> Start {
    let command = Some(Command { argv: vec!["true".into()] });
    let order = Order { command, ..Order::default() };
    Start { hosts: "web1".into(), order, when_online: true, ..Start::default() }
}

impl Lab {
    pub(super) fn new() -> Self {
        let lab = Self::idle();
        let serving = lab.hub.clone();
        tokio::spawn(async move { serving.runs.serve(&serving).await });
        lab
    }

    /// One that does nothing yet.
    pub(super) fn idle() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let (key, vault) = (SecretKey::generate().unwrap(), crate::vault::Vault::locked());
        let (config, audit) = (Config::default(), dir.path().join("audit"));
        let hub =
            Hub::new(key, store, vault, &audit, config, String::new(), String::new()).unwrap();
        hub.runs.hub.set(Arc::downgrade(&hub)).unwrap();
        let admit = |number: u8| {
            let key = PublicKey([number; 32]);
            let name = format!("web{number}");
            let host = hub.fleet.propose(key, &name, BTreeMap::new(), false);
            hub.fleet.admit(host);
            cmdr_link::keys::host_id(&key)
        };
        let hosts = vec![admit(1), admit(2)];
        Self { hub, hosts, confirms: Arc::default(), _dir: dir }
    }

    /// A run of this.
    pub(super) async fn begin(&self, start: Start, origin: Origin) -> Arc<Live> {
        let (author, who) = (Author::default(), Who::local());
        let started = self.hub.runs.start(&self.hub, &who, author, start, origin).await.unwrap();
        self.hub.runs.find(started.run.unwrap()).unwrap().unwrap()
    }

    /// A run that waits for its host.
    pub(super) async fn start(&self) -> Arc<Live> {
        self.begin(waits(), Origin::default()).await
    }

    /// The same, as if its host had it.
    pub(super) async fn sent(&self) -> Arc<Live> {
        let live = self.start().await;
        self.mark(&live).await;
        live
    }

    pub(super) async fn mark(&self, live: &Arc<Live>) {
        until(live, |inner| !inner.seats[0].taken).await;
        self.news(News::Mark { live: live.clone(), targets: vec![0], first: 0 }).await;
        until(live, |inner| inner.seats[0].state == TargetState::Sent).await;
    }

    pub(super) async fn news(&self, news: News) {
        self.hub.runs.queue.send(news).await.unwrap();
    }

    pub(super) async fn tells(&self, host: usize, pieces: Vec<Piece>, reports: Vec<Report>) {
        let told = Told { pieces, reports, ..Told::default() };
        let mut hears = self.hub.runs.hearing(self.hosts[host], &self.confirms);
        self.hub.runs.hear(&mut hears, told).await.unwrap();
    }

    pub(super) async fn ends(&self, live: &Arc<Live>, report: Report) {
        self.tells(0, Vec::new(), vec![report]).await;
        until(live, Inner::is_over).await;
    }

    /// The run as another hub would read it.
    pub(super) fn again(&self, run: RunId) -> Arc<Live> {
        let head = records::head(&self.hub.store, run).unwrap().unwrap();
        restore(&self.hub.store, run, head).unwrap()
    }

    /// A schedule that comes every ten seconds, and is next due at this moment of it.
    pub(super) fn schedule(made_ms: u64, next: u64) -> ScheduleRecord {
        let when = When { every_ms: Some(10_000), ..When::default() };
        let next_ms = Some(made_ms + next * 10_000);
        let schedule = Schedule {
            name: "tick".into(),
            when,
            start: waits(),
            made_ms,
            next_ms,
            ..Schedule::default()
        };
        ScheduleRecord { schedule, ..ScheduleRecord::default() }
    }

    /// It holds, and the first host has it.
    pub(super) fn holds(&self, record: &ScheduleRecord) {
        self.hub.runs.schedules().all.insert("tick".into(), record.clone());
        self.has(record);
    }

    /// The first host may have it.
    pub(super) fn has(&self, record: &ScheduleRecord) {
        self.also_on(0, record);
    }

    /// This one may have it.
    pub(super) fn also_on(&self, host: usize, record: &ScheduleRecord) {
        let mut handed = self.hub.runs.handed();
        handed.hosts.entry(self.hosts[host]).or_default().insert(moment(record));
    }

    /// It was replaced or deleted this moment, and the first host may have it.
    pub(super) fn is_gone(&self, record: &ScheduleRecord) {
        let gone = ScheduleRecord { gone_ms: Some(clock::now_ms()), ..record.clone() };
        self.hub.runs.handed().gone.insert(moment(record), gone);
        self.has(record);
    }

    /// Runs of a moment, oldest first.
    pub(super) fn of_moment(&self, due: u64) -> Vec<Arc<Live>> {
        let heads = records::heads(&self.hub.store).unwrap();
        let mut found: Vec<_> = heads.into_iter().filter(|one| one.1.due_ms == Some(due)).collect();
        found.sort_by_key(|one| one.1.created_ms);
        found.into_iter().map(|(id, _)| self.hub.runs.find(id).unwrap().unwrap()).collect()
    }
}

pub(super) async fn until(live: &Arc<Live>, holds: impl Fn(&Inner) -> bool) {
    for _ in 0..3000 {
        if holds(&live.lock()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come about: {:?}", live.lock().seats);
}

pub(super) fn report(live: &Live) -> Report {
    let attempt = live.lock().seats[0].attempt;
    let id = order_id(live.id, 0, attempt);
    Report { id, state: TargetState::Ok, code: Some(0), ..Report::default() }
}

pub(super) fn piece(live: &Live, at: u64, data: &[u8]) -> Piece {
    Piece { id: order_id(live.id, 0, 0), at, data: data.to_vec(), ..Piece::default() }
}
