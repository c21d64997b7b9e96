//! Runs: the list of them, one that is watched, and the composer: driven by keys, and their pictures.

use crate::support::{NOW_MS, Setup, World, id, some_hosts};
use cmdr_protocol::hosts::HostState;
use cmdr_protocol::role::Role;
use cmdr_protocol::runbooks::{self, ParamKind};
use cmdr_protocol::runs::{
    self, Amount, Command, Counts, Guarded, Halt, Line, Order, Planned, PlannedHost, Printed,
    Progress, Refused, Run, RunState, Schedule, Shown, Start, Started, Target, TargetState, Watch,
    When,
};
use cmdr_protocol::{CallError, RunId};
use cmdr_tui::event::Event;
use cmdr_tui::i18n::Lang;
use cmdr_tui::link::fake::Asked;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (160, 45), (60, 18)];

fn snap(name: &str, world: &World) {
    let size = world.terminal.backend().buffer().area;
    insta::assert_snapshot!(format!("{name}@{}x{}", size.width, size.height), world.screen());
}

/// Both languages at every size, with the beginning of the picture's name.
fn each() -> impl Iterator<Item = (&'static str, Setup)> {
    [("", Lang::En), ("zh_", Lang::Zh)]
        .into_iter()
        .flat_map(|(name, lang)| SIZES.map(|size| (name, Setup { size, lang, ..Setup::default() })))
}

fn run_id(n: u8) -> RunId {
    RunId([n; 8])
}

fn json(value: &impl serde::Serialize) -> Result<Value, CallError> {
    Ok(serde_json::to_value(value).expect("json"))
}

fn counted(run: Run, states: &[(TargetState, u32)]) -> Run {
    let mut counts = Counts::default();
    for (state, n) in states {
        (0..*n).for_each(|_| counts.add(*state));
    }
    Run { counts, ..run }
}

fn a_run(n: u8, state: RunState, what: &str) -> Run {
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

fn some_runs() -> Vec<Run> {
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

fn books() -> runbooks::Listing {
    let book = |name: &str, version, description: &str| runbooks::Runbook {
        name: name.into(),
        description: description.into(),
        version,
        shipped: version == 0,
        steps: 4,
        saved_ms: if version == 0 { 0 } else { NOW_MS - 86_400_000 },
        saved_by: if version == 0 { String::new() } else { "ann@desk".into() },
    };
    runbooks::Listing {
        runbooks: vec![
            book("docker", 0, "Installs Docker from the distribution"),
            book("nginx", 0, "Installs nginx and lets it begin with the host"),
            book("rotate-logs", 3, "转储日志"),
        ],
    }
}

fn nginx() -> runbooks::Shown {
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

fn schedules() -> runs::ScheduleListing {
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

fn planned(confirm: bool) -> Planned {
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
            why: if confirm {
                "1 of 3 hosts is protected (env=prod)".into()
            } else {
                String::new()
            },
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
struct Hub {
    planned: Arc<Mutex<Planned>>,
    begun: Arc<Mutex<Result<Started, CallError>>>,
    runs: Arc<Mutex<Result<Vec<Run>, CallError>>>,
}

impl Hub {
    fn of(world: &World) -> Self {
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
                json(&runs::Listing { runs, more: false })
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
            }),
            "runs.start" | "runs.retry" => json(&self.begun.lock().expect("begun").clone()?),
            "runs.stop" | "runs.pause" | "runs.resume" => json(&some_runs().remove(0)),
            "runs.schedules.list" => json(&schedules()),
            "runs.schedules.put" => json(&Schedule::default()),
            "runbooks.list" => json(&books()),
            "runbooks.show" => json(&nginx()),
            _ => Ok(json!({})),
        }
    }
}

/// What the hosts of the run printed: most the same, those after them something else.
fn output(asked: &Asked) -> Vec<Value> {
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

fn target(index: u32, wave: u32, state: TargetState, code: Option<i32>, sum: u8) -> Target {
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

fn some_targets() -> Vec<Target> {
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

fn the_run() -> Run {
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

fn told(cursor: &str, run: Run, targets: Vec<Target>) -> Progress {
    Progress { cursor: cursor.into(), targets, run: Some(run), ..Progress::default() }
}

async fn at_runs(setup: Setup) -> (World, Hub) {
    let mut world = World::new(setup).await;
    let hub = Hub::of(&world);
    world.fleet(some_hosts()).await;
    world.press("J").await;
    (world, hub)
}

async fn at_run(setup: Setup) -> (World, Hub) {
    let (mut world, hub) = at_runs(setup).await;
    world.press("<enter>").await;
    let first = Progress { reset: true, ..told("1.5.0", the_run(), some_targets()) };
    world.far.push::<Watch>(None, &first);
    world.idle().await;
    (world, hub)
}

async fn composing(setup: Setup) -> (World, Hub) {
    let mut world = World::new(setup).await;
    let hub = Hub::of(&world);
    world.fleet(some_hosts()).await;
    world.press("/web1<enter>e").await;
    world.later(1).await;
    (world, hub)
}

fn asked(world: &World, method: &str) -> Vec<Value> {
    let calls = world.far.take_asked().into_iter();
    calls.filter(|call| call.method == method).map(|call| call.body).collect()
}

#[tokio::test]
async fn runs_runbooks_and_schedules_in_every_state() {
    for (lang, setup) in each() {
        let (mut world, hub) = at_runs(setup.clone()).await;
        snap(&format!("{lang}runs"), &world);
        world.press("2").await;
        snap(&format!("{lang}runbooks"), &world);
        world.press("3").await;
        snap(&format!("{lang}schedules"), &world);
        world.press("1").await;
        world.lose().await;
        world.later(30).await;
        snap(&format!("{lang}runs_hub_lost"), &world);
        let mut world = World::new(setup.clone()).await;
        let none = Hub::of(&world);
        *none.runs.lock().expect("runs") = Ok(Vec::new());
        world.fleet(some_hosts()).await;
        world.press("J").await;
        snap(&format!("{lang}runs_none"), &world);
        let mut world = World::new(setup).await;
        let denied = Hub::of(&world);
        *denied.runs.lock().expect("runs") = Err(CallError::denied("runs are off here"));
        world.fleet(some_hosts()).await;
        world.press("J").await;
        snap(&format!("{lang}runs_denied"), &world);
        drop(hub);
    }
}

#[tokio::test]
async fn a_run_in_every_state() {
    for (lang, setup) in each() {
        let (mut world, _) = at_runs(setup.clone()).await;
        world.press("<enter>").await;
        snap(&format!("{lang}run_waiting"), &world);
        let (mut world, _) = at_run(setup).await;
        snap(&format!("{lang}run_groups"), &world);
        // The group that differs a little from the largest one.
        world.press("/3 upgraded<enter>").await;
        snap(&format!("{lang}run_diff"), &world);
        world.press("<esc><tab>").await;
        snap(&format!("{lang}run_hosts"), &world);
        world.press("o").await;
        snap(&format!("{lang}run_output"), &world);
        world.press("<esc>").await;
        world.lose().await;
        world.later(30).await;
        snap(&format!("{lang}run_hub_lost"), &world);
    }
}

#[tokio::test]
async fn a_composer_in_every_state() {
    for (lang, setup) in each() {
        let (mut world, hub) = composing(setup.clone()).await;
        snap(&format!("{lang}compose"), &world);
        *hub.planned.lock().expect("planned") = Planned {
            refused: vec![Refused { name: "db1".into(), why: "not yours \u{1b}[2J".into() }],
            ..planned(true)
        };
        world.press("systemctl restart nginx").await;
        world.later(1).await;
        snap(&format!("{lang}compose_line"), &world);
        *hub.planned.lock().expect("planned") = planned(true);
        world.press("<tab>1,50%").await;
        world.later(1).await;
        world.press("C-s").await;
        snap(&format!("{lang}compose_confirm"), &world);
        world.press("<esc><f5>").await;
        snap(&format!("{lang}compose_plan"), &world);
        let (mut world, _) = composing(setup).await;
        world.press("C-o").await;
        world.press("C-o").await;
        snap(&format!("{lang}compose_books"), &world);
        world.press("j<enter>").await;
        world.later(1).await;
        world.press("C-s").await;
        snap(&format!("{lang}compose_book"), &world);
    }
}

#[tokio::test]
async fn an_order_over_marked_hosts_is_planned_asked_about_and_begun() {
    let mut world = World::new(Setup::default()).await;
    Hub::of(&world);
    world.fleet(some_hosts()).await;
    world.press("/web<enter>*e").await;
    world.later(1).await;
    world.far.take_asked();
    world.press("uptime -p").await;
    world.later(1).await;
    let plans = asked(&world, "runs.plan");
    assert_eq!(plans.len(), 1, "one question after the last key, none for each");
    let hosts = plans[0]["start"]["hosts"].as_str().expect("a selector").to_owned();
    assert!(hosts.contains("web1") && hosts.contains("web2"), "{hosts}");
    assert_eq!(plans[0]["start"]["order"]["line"]["text"], "uptime -p");
    world.press("C-s").await;
    world.check_shows("uptime -p on 3 hosts");
    assert!(asked(&world, "runs.start").is_empty(), "asks first");
    world.press("y").await;
    let begun = asked(&world, "runs.start");
    assert_eq!(begun.len(), 1);
    assert!(begun[0]["key"].as_str().is_some_and(|key| key.starts_with("tui-")));
    world.check_shows("Begun on 3 hosts");
    assert!(world.feeds().contains(&(None, "runs.watch")));
    world.press("<esc>").await;
    world.check_shows("uptime -p");
}

#[tokio::test]
async fn above_the_limit_of_the_hub_the_count_is_typed() {
    let (mut world, hub) = composing(Setup::default()).await;
    *hub.planned.lock().expect("planned") = planned(true);
    world.press("id").await;
    world.press("C-s").await;
    world.press("y<enter>").await;
    assert!(asked(&world, "runs.start").is_empty());
    world.press("<backspace>3<enter>").await;
    let begun = asked(&world, "runs.start");
    assert_eq!(begun.first().map(|start| start["confirm"].clone()), Some(json!(3)));
}

#[tokio::test]
async fn what_was_typed_outlives_errors_and_leaving_and_is_begun_once() {
    let (mut world, hub) = composing(Setup::default()).await;
    *hub.begun.lock().expect("begun") = Err(CallError::lost("the link broke"));
    world.press("echo hello").await;
    world.press("C-sy").await;
    world.check_shows("the link broke");
    world.check_shows("echo hello");
    world.press("<esc>").await;
    world.check_hides("echo hello");
    world.press("e").await;
    world.check_shows("echo hello");
    let first = asked(&world, "runs.start");
    // Left and come back to, it is the same order all the same.
    *hub.begun.lock().expect("begun") = Err(CallError::lost("the link broke"));
    world.press("C-sy").await;
    *hub.begun.lock().expect("begun") =
        Ok(Started { run: Some(run_id(1)), targets: 3, already: true });
    world.press("C-sy").await;
    let keys: Vec<Value> =
        asked(&world, "runs.start").into_iter().map(|start| start["key"].clone()).collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1], "the same order is the same run until it is begun");
    assert_eq!(first[0]["key"], keys[0]);
    world.press("<esc>").await;
    world.press("C-sy").await;
    let again = asked(&world, "runs.start");
    assert_ne!(again[0]["key"], keys[0], "once begun, it is a run of its own");
}

#[tokio::test]
async fn what_lacks_is_said_at_its_place_before_the_hub_is_asked() {
    let (mut world, _) = composing(Setup::default()).await;
    world.far.take_asked();
    world.press("C-s").await;
    world.check_shows("the line is empty");
    world.press("C-t'a").await;
    world.press("C-s").await;
    world.check_shows("a quote is left open");
    assert!(asked(&world, "runs.start").is_empty());
    world.press("'").await;
    world.check_shows("[a]");
}

#[tokio::test]
async fn a_runbook_is_composed_from_its_list_with_typed_parameters() {
    let (mut world, _) = at_runs(Setup::default()).await;
    world.press("2j<enter>").await;
    world.later(1).await;
    world.check_shows("lets it begin with the host");
    world.press("web1<tab><tab><tab>8080<tab><space><tab><space><tab>shop").await;
    world.later(1).await;
    world.far.take_asked();
    world.press("C-s").await;
    let plans = asked(&world, "runs.plan");
    let expected = json!({"port": 8080, "tls": true, "channel": "mainline", "site": "shop"});
    assert_eq!(plans[0]["start"]["order"]["runbook"]["params"], expected);
    assert_eq!(plans[0]["start"]["hosts"], "web1");
}

#[tokio::test]
async fn a_run_is_stopped_paused_and_tried_again_from_its_pane() {
    let (mut world, _) = at_run(Setup::default()).await;
    world.far.take_asked();
    world.press("p").await;
    assert_eq!(asked(&world, "runs.pause").len(), 1);
    world.press("x").await;
    world.check_shows("186 hosts will not get it any more");
    assert!(asked(&world, "runs.stop").is_empty());
    world.press("y").await;
    assert_eq!(asked(&world, "runs.stop").len(), 1);
    world.press("R").await;
    world.check_shows("it still goes on");
    let over = Run { state: RunState::Stopped, ..the_run() };
    world.far.push::<Watch>(None, &told("1.6.0", over, Vec::new()));
    world.idle().await;
    world.press("R").await;
    world.check_shows("on 2 hosts");
    world.press("2<enter>").await;
    world.press("/could not<enter><enter>").await;
    world.check_shows("those of the group 1");
    let again = Target { attempt: 1, ..target(6, 1, TargetState::Running, None, 0) };
    world.far.push::<Watch>(None, &told("1.7.0", the_run(), vec![again]));
    world.idle().await;
    world.check_hides("those of the group");
    world.check_shows("app1");
    let retried = asked(&world, "runs.retry");
    assert_eq!(retried.first().map(|retry| retry["confirm"].clone()), Some(json!(2)));
}

#[tokio::test]
async fn a_group_leads_to_its_hosts_and_back_and_states_are_gone_through() {
    let (mut world, _) = at_run(Setup::default()).await;
    world.press("/could not<enter><enter>").await;
    world.check_shows("those of the group 1");
    world.check_shows("app1");
    world.press("<esc>").await;
    world.check_hides("those of the group");
    world.press("<esc>f").await;
    world.check_shows("those that did not end well 2");
    world.press("f").await;
    world.check_shows("those without an end 21");
    world.press("f").await;
    world.check_shows("those that ended well 6");
    world.press("f/北京<enter>").await;
    world.check_shows("edge-北京-2");
    world.check_hides("app1");
}

#[tokio::test]
async fn output_of_hosts_cannot_steer_the_terminal() {
    let (mut world, _) = at_run(Setup::default()).await;
    world.press("<tab>/app1<enter>").await;
    world.press("o").await;
    world.check_shows("Could not get lock /var/lib/dpkg/lock");
    world.check_hides("\u{1b}");
    world.press("y").await;
    let copied = world.control.copied.last().expect("copied");
    assert!(!copied.contains('\u{1b}'), "{copied:?}");
}

#[tokio::test]
async fn a_link_that_was_lost_goes_on_where_the_run_was() {
    let (mut world, _) = at_run(Setup::default()).await;
    let feeds: Vec<Value> = asked(&world, "runs.watch");
    assert_eq!(feeds.first().map(|feed| feed.get("since").cloned()), Some(None));
    world.lose().await;
    world.up(Role::ADMINISTRATOR);
    world.idle().await;
    world.later(4).await;
    let again = asked(&world, "runs.watch");
    assert_eq!(again.last().map(|feed| feed["since"].clone()), Some(json!("1.5.0")));
    let done = target(8, 2, TargetState::Ok, Some(0), 1);
    let mut run = the_run();
    run.counts.change(TargetState::Running, TargetState::Ok);
    world.far.push::<Watch>(None, &told("1.6.0", run, vec![done]));
    world.idle().await;
    world.check_shows("ok 7");
}

#[tokio::test]
async fn a_host_at_work_is_followed_while_it_is_looked_at_and_no_longer() {
    let (mut world, _) = at_run(Setup::default()).await;
    world.press("<tab>/node009<enter>").await;
    assert!(world.feeds().contains(&(None, "runs.output")), "{:?}", world.feeds());
    let printed = Printed { target: 9, stdout: b"at 40 %\n".to_vec(), ..Printed::default() };
    let item = Progress { output: vec![printed], cursor: "1.1.9".into(), ..Progress::default() };
    world.far.push::<runs::Output>(None, &item);
    world.idle().await;
    world.check_shows("at 40 %");
    world.press("<esc>/node020<enter>").await;
    assert!(!world.feeds().contains(&(None, "runs.output")));
}

#[tokio::test]
async fn thousands_of_hosts_are_folded_and_listed() {
    let (mut world, _) = at_runs(Setup::default()).await;
    world.press("<enter>").await;
    let mut run = the_run();
    run.waves = vec![1, 4999];
    run.counts = Counts { targets: 5000, ok: 4999, failed: 1, ..Counts::default() };
    let all = (0..5000).map(|n| match n {
        4321 => target(n, 1, TargetState::Failed, Some(2), 9),
        n => target(n, u32::from(n > 0), TargetState::Ok, Some(0), 1),
    });
    let all: Vec<Target> = all.collect();
    for (n, some) in all.chunks(runs::CHUNK).enumerate() {
        let item =
            Progress { reset: n == 0, ..told(&format!("1.{n}.0"), run.clone(), some.to_vec()) };
        world.far.push::<Watch>(None, &item);
        world.idle().await;
    }
    world.check_shows("4,999");
    world.check_shows("failed 2");
    world.press("<tab>").await;
    world.check_shows("node4321");
}

#[tokio::test]
async fn what_one_may_not_do_is_not_offered() {
    let (mut world, _) = at_run(Setup { role: Role::OBSERVER, ..Setup::default() }).await;
    world.far.take_asked();
    world.press("xpRo").await;
    assert!(world.calls().is_empty());
    world.check_hides("retry failed");
    world.press("<esc><esc>e").await;
    world.check_hides("How it goes");
    assert!(!world.feeds().iter().any(|(_, method)| *method == "runs.output"));
}

#[tokio::test]
async fn runs_and_runbooks_are_found_by_name_and_by_words() {
    let (mut world, _) = at_runs(Setup::default()).await;
    world.press("2").await;
    world.press("<esc>").await;
    world.press("C-pnginx").await;
    world.check_shows("nginx");
    world.check_shows("runbook");
    world.press("<esc>:run an order<enter>").await;
    world.check_shows("How it goes");
}

#[tokio::test]
async fn a_run_is_composed_again_as_it_was() {
    let (mut world, _) = at_run(Setup::default()).await;
    world.press("e").await;
    world.later(1).await;
    world.check_shows("apt-get upgrade -y");
    world.check_shows("1,25%");
    world.check_shows("role=web");
}

#[tokio::test]
async fn a_schedule_is_paused_and_deleted_after_a_question() {
    let (mut world, _) = at_runs(Setup::default()).await;
    world.press("3").await;
    world.far.take_asked();
    world.press("p").await;
    let put = asked(&world, "runs.schedules.put");
    assert_eq!(put.first().map(|put| put["schedule"]["paused"].clone()), Some(json!(true)));
    world.press("x").await;
    assert!(asked(&world, "runs.schedules.delete").is_empty());
    world.press("y").await;
    let deleted = asked(&world, "runs.schedules.delete");
    assert_eq!(deleted.first().map(|one| one["name"].clone()), Some(json!("nightly")));
}

#[tokio::test]
async fn a_long_text_is_pasted_whole_and_one_that_is_too_long_not_at_all() {
    let (mut world, _) = composing(Setup::default()).await;
    world.events([Event::Paste("echo a\r\necho b".into())]).await;
    world.check_shows("echo b");
    world.events([Event::Paste("x".repeat(70_000))]).await;
    world.check_hides("xxxx");
}
