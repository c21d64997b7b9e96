//! Schedules that hosts do by themselves while the hub is away: real hubs and agents as processes, killed and cut off
//! around the moment. What ran is counted on the host.

use cmdr_link::link::Target;
use cmdr_link::mux::Limits;
use cmdr_link::session::{Dialer, Session};
use cmdr_link::token::JoinToken;
use cmdr_link::{SecretKey, clock, context};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::runs::{
    DeleteSchedule, Line, List, ListSchedules, Order, Output, PutSchedule, Run, Schedule, Show,
    Shown, Start, TargetState, When,
};
use cmdr_protocol::version::{Join, PeerKind};
use cmdr_protocol::{Call, RunId, hosts};
use harness::process::{HubProcess, Running, program};
use harness::{Fault, Proxy, until_some};
use std::path::PathBuf;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);
const EVERY_MS: u64 = 12_000;

/// A hub and an administrator at it.
struct Stage {
    hub: HubProcess,
    session: Session,
}

/// A real agent as a process, and what its orders write.
struct Host {
    state: PathBuf,
    ran: PathBuf,
    running: Option<Running>,
}

fn dialer(hub: &HubProcess, kind: PeerKind, key: &SecretKey, token: &str, name: &str) -> Dialer {
    let token = JoinToken::parse(token).unwrap();
    Dialer {
        target: Target { address: hub.address.clone(), hub: hub.key() },
        key: key.clone(),
        kind,
        name: name.to_owned(),
        version: "test",
        capabilities: Vec::new(),
        join: Some(Join { token: Some(token.id), secret: token.secret.to_vec() }),
        limits: Limits::default(),
        patience: Duration::from_millis(500),
        from: None,
        dir: None,
    }
}

impl Host {
    /// Joins and starts one that dials the hub at this address.
    async fn start(stage: &Stage, name: &str, address: &str) -> Self {
        let dir = stage.hub.dir.path();
        let (state, ran) = (dir.join(name), dir.join(format!("{name}.ran")));
        let key = SecretKey::generate().unwrap();
        let token = stage.hub.token(None, 1);
        dialer(&stage.hub, PeerKind::Agent, &key, &token, name).dial().await.unwrap();
        cmdr_link::files::private_dir(&state).unwrap();
        key.save(&context::key_file(&state)).unwrap();
        context::Context::save_target(&state, address, &stage.hub.key()).unwrap();
        let mut host = Self { state, ran, running: None };
        host.start_again();
        host
    }

    fn start_again(&mut self) {
        let mut command = std::process::Command::new(program("cmdr-agentd"));
        command.args(["run", "--state"]).arg(&self.state);
        self.running = Some(Running::start(&mut command, &self.state.with_extension("log")));
    }

    fn kill(&mut self) {
        self.running.take().unwrap().kill();
    }

    /// Waits until it has the schedule on its disk: the hub counts those that may have it.
    async fn until_handed(&self) {
        let kept = self.state.join("orders/schedules");
        until_some("the host has it", async || kept.exists().then_some(())).await;
    }

    /// How often the order of the schedule was done here.
    fn count(&self) -> usize {
        std::fs::read_to_string(&self.ran).map_or(0, |text| text.lines().count())
    }
}

impl Stage {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("hub.toml");
        std::fs::write(&config, "[runs]\nlate_s = 1\npatience_s = 60\nrejoin_s = 0\n").unwrap();
        let mut hub = HubProcess::unstarted(dir);
        hub.options = vec!["--config".to_owned(), config.to_str().unwrap().to_owned()];
        hub.start_again();
        let key = SecretKey::generate().unwrap();
        let token = hub.token(Some("administrator"), 1);
        let mut dialer = dialer(&hub, PeerKind::Client, &key, &token, "test");
        dialer.connect().await.unwrap();
        dialer.join = None;
        Self { hub, session: Session::start(dialer) }
    }

    async fn ask<C: Call + Clone>(&self, call: &C) -> C::Reply {
        until_some("the hub answers", async || {
            self.session.call(None, call.clone(), PATIENCE).await.ok()
        })
        .await
    }

    /// Has every host count the moments, in the file of its own name.
    async fn put(&self) -> Schedule {
        let dir = self.hub.dir.path().display();
        // Which host it is, the agent knows: its folder stands in the command above this one.
        let text = format!(
            "p=$PPID; while ! tr '\\0' ' ' < /proc/$p/cmdline | grep -q -e --state; do \
             p=$(awk '/^PPid/ {{print $2}}' /proc/$p/status); done; \
             name=$(basename $(tr '\\0' '\\n' < /proc/$p/cmdline | tail -n 1)); \
             echo ran >> {dir}/$name.ran; echo by myself"
        );
        let order = Order { line: Some(Line { text }), ..Order::default() };
        let start = Start { hosts: "*".into(), order, ..Start::default() };
        let when = When { every_ms: Some(EVERY_MS), ..When::default() };
        let schedule = Schedule { name: "tick".into(), when, start, ..Schedule::default() };
        self.ask(&PutSchedule { schedule }).await
    }

    async fn schedule(&self, is: impl Fn(&Schedule) -> bool) -> Schedule {
        until_some("the schedule comes to it", async || {
            self.ask(&ListSchedules {}).await.schedules.into_iter().find(&is)
        })
        .await
    }

    /// The schedule, when so many hosts have it, nothing of it goes on, and its moment is not this one.
    async fn handed(&self, hosts: u32) -> Schedule {
        let far = |one: &Schedule| one.next_ms.is_some_and(|at| at > clock::now_ms() + 7000);
        until_some("nothing goes on", async || {
            let schedule = self.schedule(|one| one.at_hosts == hosts && far(one)).await;
            let over = self.runs().await.iter().all(|run| run.ended_ms.is_some());
            (over && far(&schedule)).then_some(schedule)
        })
        .await
    }

    async fn until_online(&self, count: usize) {
        until_some("all hosts are there", async || {
            let hosts = self.ask(&hosts::List::default()).await.hosts;
            (hosts.iter().filter(|host| host.state == HostState::Online).count() == count)
                .then_some(())
        })
        .await;
    }

    async fn runs(&self) -> Vec<Run> {
        self.ask(&List::default()).await.runs
    }

    /// The run of a moment, when it is over.
    async fn of_moment(&self, due: u64) -> Shown {
        let run = until_some("the run of the moment is over", async || {
            let of = |run: &&Run| run.due_ms == Some(due) && run.ended_ms.is_some();
            self.runs().await.iter().find(of).and_then(|run| run.id)
        });
        let run: RunId = run.await;
        self.ask(&Show { run, from: 0 }).await
    }

    /// Nothing begins any more: takes the schedule away, and waits for what goes on.
    async fn settle(&self) -> Vec<Shown> {
        self.ask(&DeleteSchedule { name: "tick".into() }).await;
        let all = until_some("all runs are over", async || {
            let runs = self.runs().await;
            runs.iter().all(|run| run.ended_ms.is_some()).then_some(runs)
        });
        let mut shown = Vec::new();
        for run in all.await {
            shown.push(self.ask(&Show { run: run.id.unwrap(), from: 0 }).await);
        }
        shown
    }
}

/// How often runs say that a host has done it.
fn told(shown: &[Shown], name: &str) -> usize {
    let targets = shown.iter().flat_map(|shown| &shown.targets);
    targets.filter(|target| target.name == name && target.state == TargetState::Ok).count()
}

async fn until_ms(at: u64) {
    tokio::time::sleep(Duration::from_millis(at.saturating_sub(clock::now_ms()))).await;
}

#[tokio::test]
async fn a_moment_without_the_hub_is_done_by_the_hosts_themselves_and_told_when_it_is_back() {
    let mut stage = Stage::new().await;
    let address = stage.hub.address.clone();
    let plain = Host::start(&stage, "plain", &address).await;
    let mut restarted = Host::start(&stage, "restarted", &address).await;
    let mut down = Host::start(&stage, "down", &address).await;
    stage.until_online(3).await;
    stage.put().await;
    for host in [&plain, &restarted, &down] {
        host.until_handed().await;
    }
    let put = stage.handed(3).await;
    assert_eq!(put.hub_only, "");
    let due = put.next_ms.unwrap();
    // After it has been handed out, and before the moment.
    let before = [plain.count() + 1, restarted.count() + 1];
    stage.hub.kill();
    restarted.kill();
    down.kill();
    restarted.start_again();
    assert!(clock::now_ms() < due, "the moment is yet to come");
    until_some("both have done it", async || {
        ([plain.count(), restarted.count()] == before).then_some(())
    })
    .await;
    until_ms(due + 1500).await;
    stage.hub.start_again();
    down.start_again();
    let shown = stage.of_moment(due).await;
    assert!(shown.run.alone && shown.run.schedule == "tick", "{:?}", shown.run);
    let states: Vec<_> = shown.targets.iter().map(|one| (one.name.as_str(), one.state)).collect();
    assert_eq!(
        states,
        [
            ("down", TargetState::Unreachable),
            ("plain", TargetState::Ok),
            ("restarted", TargetState::Ok)
        ],
        "{:?}",
        shown.targets
    );
    assert!(shown.targets[0].why.contains("did not do it by itself"), "{:?}", shown.targets[0]);
    let run = shown.run.id.unwrap();
    let output = Output { run, targets: vec![1], since: String::new(), follow: false };
    let mut feed = stage.session.feed(None, output).await.unwrap();
    let mut text = Vec::new();
    while let Some(Ok(item)) = feed.next().await {
        text.extend(item.output.into_iter().flat_map(|one| one.stdout));
    }
    assert_eq!(String::from_utf8_lossy(&text), "by myself\n");
    // Nothing twice, nothing forgotten: what ran is what is told, on each host.
    let all = stage.settle().await;
    for (name, host) in [("plain", &plain), ("restarted", &restarted), ("down", &down)] {
        assert_eq!(host.count(), told(&all, name), "{name}: {all:?}");
    }
    // And once more after a restart of the hub: it is on its disk.
    stage.hub.kill();
    stage.hub.start_again();
    let again = stage.of_moment(due).await;
    assert_eq!(again.targets, shown.targets);
}

#[tokio::test]
async fn a_host_that_is_cut_off_does_it_by_itself_once_and_goes_on_until_it_hears_that_it_was_deleted()
 {
    let stage = Stage::new().await;
    let proxy = Proxy::start(stage.hub.address.parse().unwrap()).await;
    let host = Host::start(&stage, "cut", &proxy.address().to_string()).await;
    stage.until_online(1).await;
    stage.put().await;
    host.until_handed().await;
    let due = stage.handed(1).await.next_ms.unwrap();
    let before = host.count() + 1;
    proxy.set(Fault::Cut);
    // The hub is there, and begins the run; the host does it on its own.
    until_some("it has done it", async || (host.count() == before).then_some(())).await;
    proxy.set(Fault::None);
    let shown = stage.of_moment(due).await;
    assert!(!shown.run.alone, "{:?}", shown.run);
    assert_eq!(shown.targets[0].state, TargetState::Ok, "{:?}", shown.targets);
    // Now it is cut off, and the schedule is taken away.
    stage.until_online(1).await;
    proxy.set(Fault::Cut);
    stage.ask(&DeleteSchedule { name: "tick".into() }).await;
    let gone = stage.schedule(|one| one.gone).await;
    assert_eq!((gone.at_hosts, gone.next_ms), (1, None), "it may still do it");
    let before = host.count();
    until_some("it does not know yet", async || (host.count() > before).then_some(())).await;
    proxy.set(Fault::None);
    until_some("it is told", async || {
        stage.ask(&ListSchedules {}).await.schedules.is_empty().then_some(())
    })
    .await;
    let all = stage.settle().await;
    assert_eq!(host.count(), told(&all, "cut"), "{all:?}");
    assert!(all.iter().any(|shown| shown.run.alone), "{all:?}");
    // It does nothing of it any more.
    let (done, next) = (host.count(), clock::now_ms() + EVERY_MS + 1000);
    proxy.set(Fault::Cut);
    until_ms(next).await;
    assert_eq!(host.count(), done);
}
