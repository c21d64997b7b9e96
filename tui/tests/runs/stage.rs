//! What the hub answers to the panes of runs, in these tests.

use crate::support::{NOW_MS, Setup, World, id, some_hosts};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::runbooks::{self, ParamKind};
use cmdr_protocol::runs::{
    self, Amount, Command, Counts, Guarded, Halt, Line, Order, Planned, PlannedHost, Printed,
    Progress, Run, RunState, Schedule, Shown, Start, Started, Target, TargetState, Watch, When,
};
use cmdr_protocol::{CallError, RunId};
use cmdr_tui::link::fake::Asked;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

pub(super) fn run_id(n: u8) -> RunId {
    RunId([n; 8])
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<Value, CallError> {
    serde_json::to_value(value).map_err(|e| CallError::failed(e.to_string()))
}

pub(super) fn counted(run: Run, states: &[(TargetState, u32)]) -> Run {
    let mut counts = Counts::default();
    for (state, n) in states {
        (0..*n).for_each(|_| counts.add(*state));
    }
    Run { counts, ..run }
}

pub(super) fn a_run(n: u8, state: RunState, what: &str) -> Run {
    Run {
        id: Some(run_id(n)),
        state,
        operator: ["li@laptop", "ann@desk"][usize::from(n % 2)].into(),
        what: what.into(),
        hosts: "role=web".into(),
        created_ms: NOW_MS - u64::from(n) * 733_000,
        ended_ms: state.is_over().then_some(NOW_MS - u64::from(n) * 700_000),
        ..Run::default()
    }
}

pub(super) fn some_runs() -> Vec<Run> {
    use TargetState as T;
    vec![
        counted(
            a_run(1, RunState::Running, "apt-get upgrade -y"),
            &[(T::Ok, 205), (T::Failed, 3), (T::Lost, 1), (T::Running, 5), (T::Queued, 186)],
        ),
        counted(a_run(2, RunState::Done, "runbook nginx"), &[(T::Ok, 1200)]),
        counted(a_run(3, RunState::Done, "uptime"), &[(T::Ok, 40), (T::Unreachable, 2)]),
        Run {
            why: "more than 5 % failed".into(),
            note: "修补 openssl".into(),
            ..counted(
                a_run(4, RunState::Halted, "install openssl \u{1b}]0;owned\u{7}"),
                &[(T::Ok, 10), (T::Failed, 2), (T::Cancelled, 30)],
            )
        },
        counted(a_run(5, RunState::Stopped, "sleep 600"), &[(T::Cancelled, 3)]),
        counted(a_run(6, RunState::Paused, "script rotate.sh"), &[(T::Ok, 2), (T::Queued, 7)]),
    ]
}

pub(super) fn books() -> runbooks::Listing {
    let book = |name: &str, version, description: &str| runbooks::Runbook {
        name: name.into(),
        description: description.into(),
        version,
        shipped: version == 0,
        steps: 4,
        saved_ms: if version == 0 { 0 } else { NOW_MS - 86_400_000 },
        saved_by: if version == 0 { String::new() } else { "ann@desk".into() },
        signed: (version > 0).then(|| runbooks::Signed {
            by: "bob".into(),
            at_ms: NOW_MS - 3_600_000,
            holds: true,
            ..runbooks::Signed::default()
        }),
    };
    runbooks::Listing {
        runbooks: vec![
            book("docker", 0, "Installs Docker from the distribution"),
            book("nginx", 0, "Installs nginx and lets it begin with the host"),
            book("rotate-logs", 3, "转储日志"),
        ],
    }
}

pub(super) fn nginx() -> runbooks::Shown {
    let param = |name: &str, kind, default: Option<&str>, what: &str| runbooks::Param {
        name: name.into(),
        kind,
        default: default.map(str::to_owned),
        description: what.into(),
        ..runbooks::Param::default()
    };
    let step = |name: &str, what: &str, when: &str| runbooks::Step {
        name: name.into(),
        what: what.into(),
        when: when.into(),
        ..runbooks::Step::default()
    };
    runbooks::Shown {
        runbook: books().runbooks.remove(1),
        text: "name: nginx\n# a note\nsteps: []\n".into(),
        params: vec![
            param("port", ParamKind::Number, Some("80"), "where it listens"),
            param("tls", ParamKind::YesNo, Some("no"), "serve https too"),
            runbooks::Param {
                of: vec!["stable".into(), "mainline".into()],
                ..param("channel", ParamKind::Choice, Some("stable"), "which one")
            },
            param("site", ParamKind::Text, None, "name of the site"),
        ],
        steps: vec![
            step("install", "packages install nginx", ""),
            step("configure", "push /etc/nginx/conf.d/site.conf", ""),
            step("open-port", "ufw allow", "fact.os == debian"),
        ],
        ..runbooks::Shown::default()
    }
}

pub(super) fn schedules() -> runs::ScheduleListing {
    let line = Order { line: Some(Line { text: "apt-get update".into() }), ..Order::default() };
    let start = Start { hosts: "*".into(), order: line, ..Start::default() };
    let nightly = Schedule {
        name: "nightly".into(),
        when: When {
            cron: "30 3 * * MON-FRI".into(),
            zone: "Europe/Berlin".into(),
            ..When::default()
        },
        start,
        operator: "li@laptop".into(),
        next_ms: Some(NOW_MS + 3_600_000),
        last: Some(run_id(2)),
        ..Schedule::default()
    };
    let often = Schedule {
        name: "often".into(),
        when: When { every_ms: Some(300_000), ..When::default() },
        paused: true,
        last: None,
        next_ms: None,
        ..nightly.clone()
    };
    runs::ScheduleListing { schedules: vec![nightly, often] }
}

pub(super) fn planned(confirm: bool) -> Planned {
    let host = |n: u16, name: &str, state, wave, protected| PlannedHost {
        host: Some(id(n)),
        name: name.into(),
        state,
        wave,
        protected,
    };
    Planned {
        count: 3,
        online: 2,
        guard: Guarded {
            confirm,
            why: if confirm { "1 of the 3 hosts are protected".into() } else { String::new() },
            protected: u32::from(confirm),
            first_of_one: confirm,
        },
        waves: if confirm { vec![1, 2] } else { vec![3] },
        hosts: vec![
            host(1, "web1", HostState::Online, 0, confirm),
            host(2, "web2", HostState::Away, u32::from(confirm), false),
            host(3, "edge-北京-1", HostState::Online, u32::from(confirm), false),
        ],
        ..Planned::default()
    }
}

/// What the hub answers, which tests can change.
#[derive(Clone)]
pub(super) struct Hub {
    pub(super) planned: Arc<Mutex<Planned>>,
    pub(super) begun: Arc<Mutex<Result<Started, CallError>>>,
    pub(super) runs: Arc<Mutex<Result<Vec<Run>, CallError>>>,
}

impl Hub {
    pub(super) fn of(world: &World) -> Self {
        let hub = Self {
            planned: Arc::new(Mutex::new(planned(false))),
            begun: Arc::new(Mutex::new(Ok(Started {
                run: Some(run_id(1)),
                targets: 3,
                already: false,
            }))),
            runs: Arc::new(Mutex::new(Ok(some_runs()))),
        };
        let answers = hub.clone();
        world.far.answer(move |asked| answers.answer(asked));
        world.far.answer_feeds(|asked| {
            (asked.method == "runs.output" && asked.body["follow"].as_bool() != Some(true))
                .then(|| output(asked))
        });
        hub
    }

    fn answer(&self, asked: &Asked) -> Result<Value, CallError> {
        match asked.method {
            "runs.list" => {
                let runs = self.runs.lock().expect("runs").clone()?;
                json(&runs::Listing { runs, ..runs::Listing::default() })
            }
            "runs.show" => json(&Shown {
                run: some_runs().remove(0),
                start: Start {
                    hosts: "role=web".into(),
                    order: Order {
                        command: Some(Command {
                            argv: ["apt-get", "upgrade", "-y"].map(str::to_owned).to_vec(),
                        }),
                        ..Order::default()
                    },
                    waves: runs::Waves::parse("1,25%").ok(),
                    halt: Some(Halt { failures: Amount::parse("5%").expect("amount") }),
                    deadline_ms: Some(1_800_000),
                    ..Start::default()
                },
                ..Shown::default()
            }),
            "runs.plan" => json(&*self.planned.lock().expect("planned")),
            "hosts.resolve" => json(&cmdr_protocol::hosts::Targets {
                targets: vec![(id(1), "web1".into(), HostState::Online)],
                ..Default::default()
            }),
            "runs.start" | "runs.retry" => json(&self.begun.lock().expect("begun").clone()?),
            "runs.stop" | "runs.pause" | "runs.resume" => json(&some_runs().remove(0)),
            "runs.delete" => json(&cmdr_protocol::Nothing {}),
            "runs.schedules.list" => json(&schedules()),
            "runs.schedules.put" | "runs.schedules.pause" => json(&Schedule::default()),
            "runbooks.list" => json(&books()),
            "runbooks.show" => json(&nginx()),
            _ => Ok(json!({})),
        }
    }
}

/// What the hosts of the run printed: most the same, those after them something else.
pub(super) fn output(asked: &Asked) -> Vec<Value> {
    let target = asked.body["targets"][0].as_u64().unwrap_or(0) as u32;
    let most =
        "Reading package lists...\nBuilding dependency tree...\n0 upgraded, 0 newly installed\n";
    let text = match target {
        0..5 => most.to_owned(),
        5 => most.replace("0 upgraded", "3 upgraded"),
        _ => "E: Could not get lock \u{1b}[31m/var/lib/dpkg/lock\u{1b}[0m\u{1b}]0;owned\u{7}\n"
            .into(),
    };
    let (stdout, stderr) =
        if target < 6 { (text.into_bytes(), Vec::new()) } else { (Vec::new(), text.into_bytes()) };
    let printed = Printed { target, stdout, stderr, ..Printed::default() };
    let item = Progress { output: vec![printed], cursor: "1.1.1".into(), ..Progress::default() };
    vec![serde_json::to_value(item).expect("json")]
}

pub(super) fn target(
    index: u32,
    wave: u32,
    state: TargetState,
    code: Option<i32>,
    sum: u8,
) -> Target {
    let names = ["web1", "web2", "db1", "db2", "edge-北京-1", "edge-北京-2", "app1", "app2"];
    let name = names.get(index as usize).map_or(format!("node{index:03}"), |n| (*n).to_owned());
    let ended = state.is_end();
    Target {
        index,
        host: Some(id(index as u16 + 1)),
        name,
        state,
        code,
        wave,
        sent_ms: (state != TargetState::Queued).then_some(NOW_MS - 60_000),
        took_ms: (ended && code.is_some()).then_some(1240 + u64::from(index) * 310),
        stdout: u64::from(sum) * 40,
        sum: if sum == 0 { Vec::new() } else { vec![sum; 16] },
        ..Target::default()
    }
}

pub(super) fn some_targets() -> Vec<Target> {
    use TargetState as T;
    let mut targets = vec![
        target(0, 0, T::Ok, Some(0), 1),
        target(1, 1, T::Ok, Some(0), 1),
        target(2, 1, T::Ok, Some(0), 1),
        target(3, 1, T::Ok, Some(0), 1),
        target(4, 1, T::Ok, Some(0), 1),
        target(5, 1, T::Ok, Some(0), 2),
        target(6, 1, T::Failed, Some(100), 3),
        Target {
            why: "the link broke at 13:59:02 and did not come back \u{1b}[2J".into(),
            ..target(7, 1, T::Lost, None, 0)
        },
    ];
    targets.extend((8..12).map(|n| target(n, 2, T::Running, None, 0)));
    targets.push(Target { away: true, ..target(12, 2, T::Running, None, 0) });
    targets.extend((13..29).map(|n| target(n, 2 + (n - 8) / 8, T::Queued, None, 0)));
    targets
}

pub(super) fn the_run() -> Run {
    use TargetState as T;
    let mut run = counted(
        a_run(1, RunState::Running, "apt-get upgrade -y"),
        &[(T::Ok, 6), (T::Failed, 1), (T::Lost, 1), (T::Running, 5), (T::Queued, 16)],
    );
    run.created_ms = NOW_MS - 65_000;
    run.waves = vec![1, 7, 8, 8, 5];
    run.wave = 2;
    run.note = "monthly".into();
    run
}

pub(super) fn told(cursor: &str, run: Run, targets: Vec<Target>) -> Progress {
    Progress { cursor: cursor.into(), targets, run: Some(run), ..Progress::default() }
}

pub(super) async fn at_runs(setup: Setup) -> (World, Hub) {
    let mut world = World::new(setup).await;
    let hub = Hub::of(&world);
    world.fleet(some_hosts()).await;
    world.press("J").await;
    (world, hub)
}

pub(super) async fn at_run(setup: Setup) -> (World, Hub) {
    let (mut world, hub) = at_runs(setup).await;
    world.press("<enter>").await;
    let first = Progress { reset: true, ..told("1.5.0", the_run(), some_targets()) };
    world.far.push::<Watch>(None, &first);
    world.idle().await;
    (world, hub)
}

pub(super) async fn composing(setup: Setup) -> (World, Hub) {
    let mut world = World::new(setup).await;
    let hub = Hub::of(&world);
    world.fleet(some_hosts()).await;
    world.press("/web1<enter>e").await;
    world.later(1).await;
    (world, hub)
}

pub(super) fn asked(world: &World, method: &str) -> Vec<Value> {
    let calls = world.far.take_asked().into_iter();
    calls.filter(|call| call.method == method).map(|call| call.body).collect()
}
