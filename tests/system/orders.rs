//! Orders on a real host, told to a hub that is the test itself: each begins once, ends in one state, and is told
//! until it is confirmed.

mod alone;
mod kinds;
mod packages;
mod push;

use cmdr_agentd::agent::{Agent, Config};
use cmdr_link::FeedStream;
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::orders::*;
use cmdr_protocol::role::Role;
use cmdr_protocol::runs::{Command, Line, Order, TargetState};
use cmdr_protocol::{CallError, KeyId};
use harness::{Lone, Up};
use std::collections::HashMap;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn line(text: &str) -> Order {
    Order { line: Some(Line { text: text.into() }), ..Order::default() }
}

fn command(argv: &[&str]) -> Order {
    let argv = argv.iter().map(|&arg| arg.to_owned()).collect();
    Order { command: Some(Command { argv }), ..Order::default() }
}

fn take(id: &str, order: Order) -> Take {
    Take { id: id.into(), order, ..Take::default() }
}

async fn ask(up: &Up, lone: &Lone, take: &Take) -> Result<Taken, CallError> {
    let caller = Caller {
        key: KeyId([1; 16]),
        name: "a test".into(),
        operator: "ann".into(),
        role: Role::OPERATOR,
        address: String::new(),
    };
    up.client.call_for(&caller, Some(lone.id), take, PATIENCE).await
}

/// What a hub knows of orders by being told.
struct Watching {
    feed: FeedStream<Watch>,
    output: HashMap<String, Vec<(u64, bool, Vec<u8>)>>,
    reports: HashMap<String, Report>,
    all: bool,
}

impl Watching {
    async fn new(up: &Up, lone: &Lone, have: Vec<Have>) -> Self {
        let feed = up.client.feed(Some(lone.id), &Watch { have }).await.unwrap();
        Self { feed, output: HashMap::new(), reports: HashMap::new(), all: false }
    }

    async fn next(&mut self) -> Result<(), CallError> {
        let next = tokio::time::timeout(PATIENCE, self.feed.next()).await.expect("news of orders");
        let Told { pieces, reports, all } = next.expect("the feed goes on")?;
        self.all |= all;
        for Piece { id, at, stderr, data } in pieces {
            self.output.entry(id).or_default().push((at, stderr, data));
        }
        for report in reports {
            let old = self.reports.insert(report.id.clone(), report);
            assert!(old.is_none_or(|old| !old.state.is_end()), "an end is told once");
        }
        Ok(())
    }

    /// All that there was when the feed began.
    async fn until_all(&mut self) {
        while !self.all {
            self.next().await.unwrap();
        }
    }

    /// How an order ended.
    async fn end(&mut self, id: &str) -> Report {
        loop {
            if let Some(report) = self.reports.get(id).filter(|report| report.state.is_end()) {
                return report.clone();
            }
            self.next().await.unwrap();
        }
    }

    /// The output of an order, both together.
    fn text(&self, id: &str) -> String {
        let pieces = self.output.get(id).into_iter().flatten();
        let bytes: Vec<u8> = pieces.flat_map(|(_, _, data)| data.clone()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Confirms orders, and waits until the host has heard it.
    async fn confirm(&mut self, up: &Up, lone: &Lone, over: &[&str]) {
        let names = over.iter().map(|&id| id.to_owned()).collect();
        self.feed.send(&Confirm { over: names, ..Confirm::default() }).await.unwrap();
        harness::until("it is confirmed", async || {
            let mut watching = Self::new(up, lone, Vec::new()).await;
            watching.until_all().await;
            !over.iter().any(|&id| watching.reports.contains_key(id))
        })
        .await;
    }
}

/// An agent in this process with its link and a hub that watches.
struct Host {
    lone: Lone,
    up: Up,
    agent: Agent,
    watching: Watching,
}

impl Host {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let lone = Lone::new().await;
        let mut config = Config::new(lone.state.clone());
        change(&mut config);
        let (agent, up) = lone.serve(config).await;
        let watching = Watching::new(&up, &lone, Vec::new()).await;
        Self { lone, up, agent, watching }
    }

    async fn ask(&self, take: &Take) -> Result<Taken, CallError> {
        ask(&self.up, &self.lone, take).await
    }

    /// Has an order done to its end.
    async fn run(&mut self, id: &str, order: Order) -> Report {
        let taken = self.ask(&take(id, order)).await.unwrap();
        assert_eq!(taken.state, TargetState::Sent);
        self.watching.end(id).await
    }

    /// Cuts the link and has another one.
    async fn again(&mut self, have: Vec<Have>) {
        self.up.link.close("cut");
        self.up = self.lone.link(&self.agent).await;
        self.watching = Watching::new(&self.up, &self.lone, have).await;
    }
}

#[tokio::test]
async fn an_order_ends_with_its_code_and_output_and_is_told_until_it_is_confirmed() {
    let mut host = Host::new().await;
    let report = host.run("r.0.0", line("echo out; echo err >&2; exit 3")).await;
    assert_eq!((report.state, report.code, report.output), (TargetState::Failed, Some(3), 8));
    assert!(report.began_ms.is_some() && report.took_ms.is_some());
    assert_eq!(host.run("r.0.1", command(&["true"])).await.state, TargetState::Ok);
    let pieces = &host.watching.output["r.0.0"];
    let of = |stderr| -> Vec<u8> {
        let of = pieces.iter().filter(|(_, err, _)| *err == stderr);
        of.flat_map(|(_, _, data)| data.clone()).collect()
    };
    assert_eq!((of(false), of(true)), (b"out\n".to_vec(), b"err\n".to_vec()));
    // Nobody has confirmed: all of it again, on each new link.
    for _ in 0..2 {
        host.again(Vec::new()).await;
        host.watching.until_all().await;
        assert_eq!(host.watching.reports["r.0.0"], report);
        assert_eq!(host.watching.text("r.0.0").len(), 8);
    }
    host.watching.confirm(&host.up, &host.lone, &["r.0.0"]).await;
    host.again(Vec::new()).await;
    host.watching.until_all().await;
    let left: Vec<_> = host.watching.reports.keys().cloned().collect();
    assert_eq!(left, ["r.0.1"]);
}

#[tokio::test]
async fn a_link_that_is_cut_in_the_middle_changes_nothing_and_the_rest_is_told_on_the_next() {
    let mut host = Host::new().await;
    let fifo = host.lone.dir.join("go");
    let order = line(&format!("mkfifo {0}; echo one; cat {0}; echo two", fifo.display()));
    host.ask(&take("r.0.0", order)).await.unwrap();
    while host.watching.text("r.0.0") != "one\n" {
        host.watching.next().await.unwrap();
    }
    assert_eq!(host.watching.reports["r.0.0"].state, TargetState::Running);
    host.up.link.close("cut");
    std::fs::write(&fifo, "go\n").unwrap();
    host.again(vec![Have { id: "r.0.0".into(), bytes: 4 }]).await;
    let report = host.watching.end("r.0.0").await;
    assert_eq!((report.state, report.output), (TargetState::Ok, 11));
    assert_eq!(host.watching.text("r.0.0"), "go\ntwo\n");
    assert_eq!(host.watching.output["r.0.0"][0].0, 4);
}

#[tokio::test]
async fn one_name_begins_once_however_often_it_is_asked() {
    let mut host = Host::new().await;
    let ran = host.lone.dir.join("ran");
    let order = line(&format!("echo ran >> {}", ran.display()));
    let once = take("r.0.0", order);
    let (a, b, c) = tokio::join!(host.ask(&once), host.ask(&once), host.ask(&once));
    let again = [a, b, c].map(|taken| taken.unwrap().again);
    assert_eq!(again.iter().filter(|again| !**again).count(), 1);
    host.watching.end("r.0.0").await;
    assert!(host.ask(&once).await.unwrap().again);
    host.watching.confirm(&host.up, &host.lone, &["r.0.0"]).await;
    let taken = host.ask(&once).await.unwrap();
    assert_eq!((taken.state, taken.again), (TargetState::Ok, true));
    assert_eq!(std::fs::read_to_string(ran).unwrap(), "ran\n");
}

#[tokio::test]
async fn an_order_is_ended_by_a_cancel_its_time_limit_or_its_deadline_with_all_it_has_started() {
    let mut host = Host::new().await;
    let pid = host.lone.dir.join("pid");
    let order = line(&format!("sleep 1000 & echo $! > {}; wait", pid.display()));
    host.ask(&take("r.0.0", order)).await.unwrap();
    harness::until("it runs", async || {
        std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    let cancel = Cancel { ids: vec!["r.0.0".into()], why: "the run was stopped".into() };
    host.up.client.call(Some(host.lone.id), &cancel, PATIENCE).await.unwrap();
    let report = host.watching.end("r.0.0").await;
    assert_eq!(
        (report.state, report.message.as_str()),
        (TargetState::Cancelled, "the run was stopped")
    );
    let stat = format!("/proc/{}/stat", std::fs::read_to_string(&pid).unwrap().trim());
    let gone = std::fs::read_to_string(stat).is_ok_and(|stat| !stat.contains(") Z"));
    assert!(!gone, "what it started is ended with it");
    let limited = Order { timeout_ms: Some(200), ..command(&["sleep", "1000"]) };
    let report = host.run("r.0.1", limited).await;
    assert_eq!(report.state, TargetState::TimedOut);
    assert!(report.message.contains("0.2 s"), "{}", report.message);
    let late = Take { deadline_ms: Some(200), ..take("r.0.2", command(&["sleep", "1000"])) };
    host.ask(&late).await.unwrap();
    assert_eq!(host.watching.end("r.0.2").await.state, TargetState::TimedOut);
}

#[tokio::test]
async fn an_order_waits_for_its_turn_and_one_that_waits_too_long_never_begins() {
    let path = std::path::Path::new("agent.toml");
    let policy = cmdr_agentd::policy::Policy::parse(path, "[exec]\nmax_concurrent = 1\n").unwrap();
    let mut host = Host::with(|config| config.policy = policy).await;
    host.ask(&take("r.0.0", command(&["sleep", "1000"]))).await.unwrap();
    let late = Take { deadline_ms: Some(100), ..take("r.0.1", command(&["true"])) };
    host.ask(&late).await.unwrap();
    host.ask(&take("r.0.2", command(&["true"]))).await.unwrap();
    let report = host.watching.end("r.0.1").await;
    assert_eq!((report.state, report.began_ms), (TargetState::TimedOut, None));
    let cancel = Cancel { ids: vec!["r.0.0".into()], why: String::new() };
    host.up.client.call(Some(host.lone.id), &cancel, PATIENCE).await.unwrap();
    assert_eq!(host.watching.end("r.0.0").await.state, TargetState::Cancelled);
    assert_eq!(host.watching.end("r.0.2").await.state, TargetState::Ok);
}

#[tokio::test]
async fn of_an_endless_output_the_beginning_and_the_end_are_kept_and_the_loss_is_said() {
    let mut host = Host::new().await;
    let order = line("echo first; head -c 300000000 /dev/zero; echo last");
    let bounded = Take { output: Some(100_000), ..take("r.0.0", order) };
    host.ask(&bounded).await.unwrap();
    let report = host.watching.end("r.0.0").await;
    assert_eq!((report.state, report.output), (TargetState::Ok, 300_000_011));
    let pieces = &host.watching.output["r.0.0"];
    let kept: usize = pieces.iter().map(|(_, _, data)| data.len()).sum();
    assert_eq!((kept as u64, report.lost), (100_000, 300_000_011 - 100_000));
    assert!(pieces[0].2.starts_with(b"first\n"));
    let (at, _, data) = pieces.last().unwrap();
    assert!(data.ends_with(b"last\n") && at + data.len() as u64 == 300_000_011);
}

#[tokio::test]
async fn a_full_disk_refuses_an_order_with_the_reason_and_one_that_runs_is_told_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("small");
    let _small = harness::disk::Small::mount(&at, 2);
    let state = at.join("agent");
    let mut host = Host::with(|config| config.state_dir = state).await;
    let (go, fill) = (host.lone.dir.join("go"), at.join("fill"));
    let order = line(&format!(
        "mkfifo {0}; cat {0}; head -c 500000 /dev/zero; echo last; exit 4",
        go.display()
    ));
    host.ask(&take("r.0.0", order)).await.unwrap();
    harness::until("it runs", async || go.exists()).await;
    let full = || {
        let mut file = std::fs::File::options().create(true).append(true).open(&fill).unwrap();
        for size in [64 * 1024, 4096, 1] {
            while std::io::Write::write_all(&mut file, &vec![1; size]).is_ok() {}
        }
    };
    full();
    let ran = host.lone.dir.join("ran");
    let script = cmdr_protocol::runs::Script {
        name: "x".into(),
        content: [format!("touch {}\n#", ran.display()).into_bytes(), vec![b'x'; 100_000]].concat(),
        ..Default::default()
    };
    let large = take("r.0.1", Order { script: Some(script), ..Order::default() });
    let refused = host.ask(&large).await.unwrap_err();
    assert!(refused.message.contains("disk") && refused.message.contains("full"), "{refused}");
    std::fs::write(&go, "").unwrap();
    let report = host.watching.end("r.0.0").await;
    assert_eq!((report.state, report.code), (TargetState::Failed, Some(4)));
    assert!(report.lost > 0 && report.output == 500_005, "{report:?}");
    assert!(!ran.exists());
    std::fs::remove_file(&fill).unwrap();
    assert_eq!(host.ask(&large).await.unwrap().state, TargetState::Sent);
    assert_eq!(host.watching.end("r.0.1").await.state, TargetState::Ok);
    assert!(ran.exists());
}
