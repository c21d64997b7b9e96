//! Runbooks as the orders of runs: what is kept of each step, and where a target goes on.

use super::super::keeper::News;
use super::super::links::Confirms;
use super::super::records::Author;
use super::super::{Origin, order_id, records, restore};
use super::*;
use crate::config::Config;
use crate::store::Store;
use crate::who::Who;
use cmdr_link::SecretKey;
use cmdr_protocol::orders::{Piece, Told};
use cmdr_protocol::runbooks::{Save, StepState};
use cmdr_protocol::runs::{Retry, Runbook};
use cmdr_protocol::{HostId, PublicKey, RunId};

/// A hub with one host that has no link: what the host would tell is put into the keeper's queue.
struct Lab {
    hub: Arc<Hub>,
    host: HostId,
    _dir: tempfile::TempDir,
}

async fn lab(steps: &str) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let (key, vault) = (SecretKey::generate().unwrap(), crate::vault::Vault::locked());
    let (config, audit) = (Config::default(), dir.path().join("audit"));
    let hub = Hub::new(key, store, vault, &audit, config, String::new(), String::new()).unwrap();
    let key = PublicKey([1; 32]);
    hub.fleet.admit(hub.fleet.propose(key, "web1", std::collections::BTreeMap::new(), false));
    let text = format!("name: book\nsteps:\n{steps}");
    let save = Save { name: "book".into(), text, ..Save::default() };
    hub.runbooks.save(&save, "ann").await.unwrap();
    let serving = hub.clone();
    tokio::spawn(async move { serving.runs.serve(&serving).await });
    Lab { hub, host: cmdr_link::keys::host_id(&key), _dir: dir }
}

impl Lab {
    async fn start(&self) -> Arc<Live> {
        let runbook = Runbook { name: "book".into(), ..Runbook::default() };
        let order = Order { runbook: Some(runbook), ..Order::default() };
        let start = Start { hosts: "*".into(), order, when_online: true, ..Start::default() };
        let (author, origin) = (Author::default(), Origin::default());
        let who = Who::local();
        let started = self.hub.runs.start(&self.hub, &who, author, start, origin);
        let run = started.await.unwrap().run.unwrap();
        self.hub.runs.find(run).unwrap().unwrap()
    }

    async fn news(&self, news: News) {
        self.hub.runs.queue.send(news).await.unwrap();
    }

    /// As if the host had a link for long enough to take the attempt, and told how it ended.
    async fn attempt(&self, live: &Arc<Live>, attempt: u32, said: &str, code: i32) {
        until(live, |inner| inner.seats[0].attempt == attempt && !inner.seats[0].taken).await;
        self.news(News::Mark { live: live.clone(), targets: vec![0], first: 0 }).await;
        until(live, |inner| inner.seats[0].marked && !inner.seats[0].sending).await;
        let id = order_id(live.id, 0, attempt);
        let state = if code == 0 { TargetState::Ok } else { TargetState::Failed };
        let piece = Piece { id: id.clone(), data: said.into(), ..Piece::default() };
        let report = Report { id, state, code: Some(code), ..Report::default() };
        let told = Told { pieces: vec![piece], reports: vec![report], ..Told::default() };
        let confirms = Arc::new(Confirms::default());
        let mut hears = self.hub.runs.hearing(self.host, &confirms);
        self.hub.runs.hear(&mut hears, told).await.unwrap();
    }
}

async fn until(live: &Arc<Live>, holds: impl Fn(&Inner) -> bool) {
    for _ in 0..3000 {
        if holds(&live.lock()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come about: {:?}", live.lock().seats);
}

fn states(live: &Live) -> Vec<StepState> {
    Runs::steps(live, 0).unwrap().into_iter().map(|step| step.state).collect()
}

/// The run as another hub would read it.
fn again(lab: &Lab, run: RunId) -> Arc<Live> {
    let head = records::head(&lab.hub.store, run).unwrap().unwrap();
    restore(&lab.hub.store, run, head).unwrap()
}

const TWO: &str = "- name: a\n  line: one\n- name: b\n  when: step.a.output == 'said'\n  line: two\n- name: c\n  \
                   when: step.b.failed\n  line: three\n";

#[tokio::test]
async fn a_step_follows_the_other_under_a_name_of_its_own_and_all_is_on_disk() {
    let lab = lab(TWO).await;
    let live = lab.start().await;
    lab.attempt(&live, 0, "said\n", 0).await;
    // It goes on when that is on disk.
    until(&live, |inner| inner.seats[0].attempt == 1 && !inner.seats[0].taken).await;
    assert_eq!(
        states(&again(&lab, live.id)),
        [StepState::Ok, StepState::Waiting, StepState::Waiting]
    );
    lab.attempt(&live, 1, "", 0).await;
    // The last one is skipped when its turn comes.
    until(&live, |inner| inner.seats[0].attempt == 2 && !inner.seats[0].taken).await;
    lab.news(News::Mark { live: live.clone(), targets: vec![0], first: 0 }).await;
    until(&live, Inner::is_over).await;
    let expected = [StepState::Ok, StepState::Ok, StepState::Skipped];
    assert_eq!((states(&live), live.lock().seats[0].state), (expected.to_vec(), TargetState::Ok));
    assert_eq!(states(&again(&lab, live.id)), expected);
}

#[tokio::test]
async fn a_retry_goes_on_at_the_step_that_failed_with_the_texts_it_began_with() {
    let lab = lab(TWO).await;
    let live = lab.start().await;
    lab.attempt(&live, 0, "said", 0).await;
    lab.attempt(&live, 1, "no", 7).await;
    until(&live, Inner::is_over).await;
    let seat = live.lock().target(0);
    assert_eq!((seat.state, seat.code, seat.step.as_str()), (TargetState::Failed, Some(7), "b"));
    assert_eq!(seat.why, "step b failed: exit code 7");
    let failed = [StepState::Ok, StepState::Failed, StepState::Waiting];
    assert_eq!(states(&again(&lab, live.id)), failed);
    let other = Save {
        name: "book".into(),
        text: "name: book\nsteps:\n- name: z\n  line: z\n".into(),
        ..Save::default()
    };
    lab.hub.runbooks.save(&other, "ann").await.unwrap();
    let retry = Retry { run: live.id, targets: Vec::new(), cancelled: false, confirm: None };
    lab.hub.runs.retry(&lab.hub, &Who::local(), &live, &retry).await.unwrap();
    assert_eq!(states(&live), [StepState::Ok, StepState::Waiting, StepState::Waiting]);
    assert_eq!(states(&again(&lab, live.id)), states(&live));
    lab.attempt(&live, 2, "", 0).await;
    until(&live, |inner| inner.seats[0].attempt == 3 && !inner.seats[0].taken).await;
    lab.news(News::Mark { live: live.clone(), targets: vec![0], first: 0 }).await;
    until(&live, Inner::is_over).await;
    assert_eq!(states(&live), [StepState::Ok, StepState::Ok, StepState::Skipped]);
}
