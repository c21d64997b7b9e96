//! The audit log, what was done, rights and requests for them: driven by keys, and their pictures.

mod asking;

use crate::support::pictures::each;
use crate::support::{self, NOW_MS, Setup, World, id, log, named_hosts, some_hosts};
use asking::{at_approvals, own};
use cmdr_protocol::approvals::{self, Approval, Decision, State, Wanted};
use cmdr_protocol::audit::{self, Event, Outcome, Record, Value};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{self, Verbs};
use cmdr_protocol::{CallError, ErrorKind};
use cmdr_tui::i18n::Lang;
use cmdr_tui::link::fake::Asked;
use serde_json::{Value as Json, json};
use std::sync::{Arc, Mutex};

fn deployer() -> Role {
    Role::parse("deployer").expect("a name")
}

async fn at_audit(requests: u64) -> World {
    let mut world = World::with_log(Setup::default(), requests).await;
    world.press("A").await;
    world
}

fn push(world: &World, seq: u64, who: &str) {
    let record = Record {
        seq,
        at_ms: NOW_MS,
        event: Event::Asked,
        operator: who.into(),
        method: "hosts.rename".into(),
        ..Record::default()
    };
    let items = audit::Items { records: vec![record], missed: 0 };
    world.far.push::<audit::Watch>(None, &items);
}

fn newest(requests: u64) -> u64 {
    log::records(NOW_MS, &named_hosts(), requests)[0].seq
}

fn lists(world: &World) -> Vec<Json> {
    let calls = world.calls();
    calls.into_iter().filter(|call| call.method == "audit.list").map(|call| call.body).collect()
}

/// An answer of the far end that tests can change.
fn answers(
    world: &World,
    answer: impl Fn(&Asked) -> Option<Result<Json, CallError>> + Send + 'static,
) {
    let hosts = named_hosts();
    let records = log::records(NOW_MS, &hosts, 20);
    world.far.answer(move |asked| {
        answer(asked)
            .or_else(|| log::answer(NOW_MS, &records, &hosts, asked))
            .unwrap_or_else(|| Ok(json!({})))
    });
}

#[tokio::test]
async fn the_log_is_read_page_by_page_as_one_goes_back() {
    let mut world = at_audit(2000).await;
    world.check_shows("following");
    assert_eq!(lists(&world).len(), 1, "one page is enough for the screen");
    for _ in 0..12 {
        world.press("GG").await;
    }
    let befores: Vec<_> = lists(&world).iter().map(|list| list["before"].as_u64()).collect();
    assert!(befores.windows(2).all(|pair| pair[0] > pair[1]), "{befores:?}");
    world.check_shows("back to the beginning");
    world.check_shows("hub started");
}

#[tokio::test]
async fn new_records_are_followed_and_when_one_is_elsewhere_counted() {
    let mut world = at_audit(50).await;
    let newest = newest(50);
    push(&world, newest + 1, "eve@phone");
    world.idle().await;
    world.check_shows("eve@phone");
    world.press("jjj").await;
    push(&world, newest + 2, "mallory@tv");
    world.idle().await;
    world.check_shows("1 new");
    world.press("g").await;
    world.check_shows("mallory@tv");
    world.check_shows("following");
    world.press("f").await;
    world.check_shows("not following");
}

#[tokio::test]
async fn a_request_and_its_answer_are_one_row_until_unfolded_and_lead_to_each_other() {
    let mut world = at_audit(9).await;
    world.check_shows("10 requests");
    world.press("jp").await;
    world.check_shows("17 records");
    world.check_shows("→ asked");
    world.press("u").await;
    world.check_shows("requests");
    world.check_hides("→ asked");
}

#[tokio::test]
async fn a_search_is_done_by_the_hub_shown_in_the_title_and_taken_away_with_esc() {
    let mut world = at_audit(50).await;
    lists(&world);
    world.press("sann*<tab>exec.*<tab><tab>filed<enter>").await;
    world.check_shows("'filed' is not known; did you mean 'failed'?");
    world.press("C-ufailed<tab>2h<enter>").await;
    world.check_shows("following");
    let filter = lists(&world)[0]["filter"].clone();
    assert_eq!(filter["operator"], "ann*");
    assert_eq!(filter["method"], "exec.*");
    assert_eq!(filter["outcome"], "failed");
    assert_eq!(filter["from_ms"], NOW_MS - 7_200_000);
    world.check_shows("who ann* · what exec.* · outcome failed");
    push(&world, newest(50) + 1, "eve@phone");
    world.idle().await;
    world.check_hides("eve@phone");
    world.press("<esc>").await;
    world.check_hides("who ann*");
    assert!(lists(&world)[0]["filter"].as_object().is_some_and(serde_json::Map::is_empty));
}

#[tokio::test]
async fn rows_that_are_loaded_are_filtered_as_everywhere() {
    let mut world = at_audit(50).await;
    world.press("/denied<enter>").await;
    world.check_shows("tokens.create");
    world.check_hides("exec.start");
}

#[tokio::test]
async fn from_a_record_one_gets_to_its_host_and_to_all_of_its_operator() {
    let mut world = at_audit(20).await;
    lists(&world);
    world.press("/exec<enter>oj<enter>").await;
    let lists = lists(&world);
    assert!(lists[0]["filter"]["operator"].as_str().is_some_and(|key| key.len() >= 26));
    world.press("<esc>").await;
    world.check_shows("/exec");
    world.check_hides("who ");
    world.press("H").await;
    world.check_shows("1 overview");
}

#[tokio::test]
async fn a_record_is_shown_whole_with_secrets_struck_out_and_nothing_harmful() {
    let mut world = at_audit(20).await;
    world.press("/rotate<enter><enter>").await;
    world.check_shows("API_TOKEN: ▒▒▒▒▒▒ struck out");
    world.check_shows("- 日志 归档");
    world.press("<esc><esc>/owned<enter><enter>").await;
    world.check_shows("printf '␛]0;owned␇'; exit 3");
}

#[tokio::test]
async fn the_log_is_proved_in_words() {
    let mut world = at_audit(20).await;
    world.press("C-v").await;
    world.check_shows("The log is whole");
    answers(&world, |asked| {
        let broken =
            json!({"broken": {"segment": 2, "seq": 7, "offset": 99, "what": "hash \u{1b}"}});
        (asked.method == "audit.verify").then_some(Ok(broken))
    });
    world.press("<esc>C-v").await;
    world.check_shows("The log is broken: segment 2, record 7, byte 99: hash ␛");
}

#[tokio::test]
async fn a_log_that_one_may_not_read_is_not_offered_and_one_that_is_refused_says_so() {
    let setup = Setup { role: Role::OPERATOR, ..Setup::default() };
    let mut world = World::with_log(setup, 5).await;
    world.press("A").await;
    world.check_shows("your role (operator) does not allow this");
    world.press("?").await;
    world.check_hides("audit log");
    let mut world = World::with_log(Setup::default(), 5).await;
    answers(&world, |_| Some(Err(CallError::denied("only administrators see the log"))));
    world.press("A").await;
    world.check_shows("only administrators see the log");
    assert_eq!(lists(&world).len(), 1, "what is denied is not asked for again");
}

#[tokio::test]
async fn what_was_done_is_told_in_words_and_what_was_refused_is_not_told_as_done() {
    let mut world = World::with_log(Setup::default(), 30).await;
    world.press("O").await;
    world.check_shows("ran systemctl restart nginx.service");
    world.check_shows("sent TERM to process 40");
    world.check_shows("env=prod old-");
    world.check_shows("not done: made a token for a new host");
    world.check_hides("audit.list");
    world.press("<tab>").await;
    world.check_shows("failed exit 3");
    world.check_hides("sent TERM");
    world.press("/rotate<enter><enter>").await;
    world.check_shows("What was asked for");
    world.check_shows("What came of it");
}

#[tokio::test]
async fn a_command_runs_until_it_is_answered() {
    let mut world = World::with_log(Setup::default(), 31).await;
    let records = log::records(NOW_MS, &named_hosts(), 31);
    let running = records.iter().find(|record| record.event == Event::Asked).expect("one");
    assert_eq!(running.method, "exec.start");
    world.press("O2").await;
    world.check_shows("▶ 1 running");
    let answer = Record {
        seq: records[0].seq + 1,
        event: Event::Answered,
        asked: Some(running.seq),
        outcome: Some(Outcome::TimedOut),
        body: None,
        ..running.clone()
    };
    world.far.push::<audit::Watch>(None, &audit::Items { records: vec![answer], missed: 0 });
    world.idle().await;
    world.check_hides("▶ 1 running");
    world.check_shows("timed out");
}

#[tokio::test]
async fn the_matrix_explains_the_cell_under_the_cursor() {
    let mut world = World::with_log(Setup::default(), 5).await;
    world.press("I").await;
    world.check_shows("◆administrator");
    world.press("/exec<enter><right><right><right><right>").await;
    world.check_shows("only with command:/usr/bin/systemctl, on some hosts");
    world.check_shows("mon tue wed thu fri 08:00–18:00 UTC");
    world.press("<enter>").await;
    world.check_shows("restarts what was deployed");
    world.check_shows("ann@desk");
    world.press("<esc>sweb2<enter>").await;
    world.check_shows("on web2");
    let asked = world.far.take_asked();
    let last = asked.iter().rfind(|asked| asked.method == "roles.matrix").expect("asked");
    assert_eq!(last.body["host"], id(2).to_string());
    world.press("f").await;
    world.check_shows("on the fleet");
}

#[tokio::test]
async fn a_hub_without_a_matrix_says_so() {
    let mut world = World::with_log(Setup::default(), 5).await;
    let error =
        || CallError::new(ErrorKind::UnknownMethod, "no method roles.matrix; upgrade the hub");
    answers(&world, move |asked| (asked.method == "roles.matrix").then(|| Err(error())));
    world.press("I").await;
    world.check_shows("no method roles.matrix; upgrade the hub");
}

/// A deployer: on web1 signals are allowed, on db1 they are not; labels have to be asked for.
async fn as_deployer(signal_error: Option<ErrorKind>) -> World {
    let verbs = support::verbs(Role::ADMINISTRATOR);
    let setup = Setup { role: deployer(), verbs: Some(verbs.clone()), ..Setup::default() };
    let mut world = World::new(setup).await;
    answers(&world, move |asked| match asked.method {
        "roles.mine" => {
            let mine: roles::Mine = serde_json::from_value(asked.body.clone()).expect("reads");
            let verbs = |host| {
                let no = |verb: &&String| host == id(5) && *verb == "hosts.forget";
                verbs.iter().filter(|verb| !no(verb)).cloned().collect()
            };
            let hosts = mine.hosts.into_iter().map(|host| (host, verbs(host))).collect();
            Some(Ok(serde_json::to_value(Verbs { hosts }).expect("JSON")))
        }
        "hosts.label" => {
            signal_error.map(|kind| Err(CallError::new(kind, "it has to be asked for")))
        }
        _ => None,
    });
    world.lose().await;
    world.up_as(deployer(), support::verbs(Role::ADMINISTRATOR));
    world.fleet(some_hosts()).await;
    world.later(1).await;
    world
}

#[tokio::test]
async fn only_what_one_may_do_on_the_host_at_hand_is_offered() {
    let mut world = as_deployer(None).await;
    // db1 stands first.
    world.press("?").await;
    world.check_hides("forget");
    world.press("<esc>D").await;
    world.check_shows("your role (deployer) does not allow this on db1");
    world.press("/web1<enter>").await;
    world.later(1).await;
    world.press("?").await;
    world.check_shows("forget");
    world.press("<esc>:forget").await;
    world.check_shows("1 of");
}

#[tokio::test]
async fn what_has_to_be_asked_for_is_offered_with_a_sign() {
    let mut world = as_deployer(None).await;
    world.check_shows("⚐t labels");
    // At the end of the help.
    world.press("?").await;
    world.press("G").await;
    world.check_shows("has to be asked for first");
    let held = Approval { until_ms: NOW_MS + 600_000, ..own(State::Active) };
    world.press("<esc>").await;
    world.far.push::<approvals::Watch>(
        None,
        &approvals::Listing { approvals: vec![held], may_ask: None },
    );
    world.idle().await;
    world.check_hides("⚐t");
    world.check_shows("⚐ 10 min");
}

#[tokio::test]
async fn a_hub_that_knows_nothing_of_it_offers_what_the_welcome_said() {
    let setup =
        Setup { role: deployer(), verbs: Some(vec!["hosts.forget".into()]), ..Setup::default() };
    let mut world = World::new(setup).await;
    let error = || CallError::new(ErrorKind::UnknownMethod, "no such method");
    world.far.answer(move |_| Err(error()));
    world.fleet(some_hosts()).await;
    for _ in 0..4 {
        world.later(1).await;
    }
    let asked = world.far.take_asked();
    assert_eq!(asked.iter().filter(|asked| asked.method == "roles.mine").count(), 1);
    world.press("?").await;
    world.check_shows("forget");
    world.check_hides("rename");
}

#[tokio::test]
async fn hostile_bytes_in_every_field_are_harmless() {
    let evil = "a\u{1b}]52;c;eA==\u{7}\u{202e}b\u{9b}31m\u{200b}";
    let harmful = |c: char| c != '\n' && cmdr_protocol::display::is_harmful(c);
    let check = |world: &World| assert!(!world.screen().contains(harmful), "{}", world.screen());
    let body = Value::Map(vec![
        (evil.to_owned(), Value::Text(evil.into())),
        ("argv".into(), Value::List(vec![Value::Text(evil.into())])),
        ("wanted".into(), Value::Map(vec![("verbs".into(), Value::Text(evil.into()))])),
    ]);
    let record = |seq, method: &str| Record {
        seq,
        event: Event::Asked,
        operator: evil.into(),
        address: evil.into(),
        method: method.into(),
        resource: evil.into(),
        host_name: evil.into(),
        message: evil.into(),
        body: Some(body.clone()),
        result: Some(body.clone()),
        ..Record::default()
    };
    let records = vec![record(3, "exec.start"), record(2, evil), record(1, "approvals.ask")];
    let page = audit::Page { records, next: None, damage: evil.into() };
    let mut matrix = log::matrix(None);
    let mut role = log::roles();
    matrix.rows[0].verb = evil.into();
    matrix.rows[0].cells[0].reason = evil.into();
    role[0].description = evil.into();
    role[0].grants[0].hosts = evil.into();
    let mut world = World::with_log(Setup::default(), 5).await;
    answers(&world, move |asked| match asked.method {
        "audit.list" => Some(Ok(serde_json::to_value(&page).expect("JSON"))),
        "roles.matrix" => Some(Ok(serde_json::to_value(&matrix).expect("JSON"))),
        "roles.list" => Some(Ok(serde_json::to_value(json!({"roles": role})).expect("JSON"))),
        "hosts.resolve" => Some(Err(CallError::failed(evil))),
        _ => None,
    });
    let mut approval = log::approvals(NOW_MS)[0].clone();
    (approval.operator, approval.reason) = (evil.into(), evil.into());
    approval.wanted.verbs = vec![evil.into()];
    approval.wanted.resources = vec![evil.into()];
    approval.wanted.hosts = evil.into();
    let approvals = vec![approval];
    world.far.push::<approvals::Watch>(None, &approvals::Listing { approvals, may_ask: None });
    let walk = [
        "A",
        "<enter>",
        "<esc>j<enter>",
        "<esc>o",
        "<esc>u",
        "O",
        "<enter>",
        "<esc>2",
        "I",
        "<enter>",
        "<esc>P",
        "<enter>",
        "<esc>a",
        "<esc>x",
        "<esc>",
    ];
    for keys in walk {
        world.press(keys).await;
        check(&world);
    }
}

#[tokio::test]
async fn nothing_is_drawn_or_asked_while_nothing_happens() {
    let mut world = at_audit(50).await;
    let frames = world.app.frames();
    lists(&world);
    world.idle().await;
    world.idle().await;
    assert_eq!(world.app.frames(), frames);
    assert_eq!(lists(&world), Vec::<Json>::new());
}

#[tokio::test]
async fn a_page_that_is_lost_with_the_link_is_asked_for_again() {
    let mut world = World::with_log(Setup::default(), 5).await;
    let fails = Arc::new(Mutex::new(true));
    let seen = fails.clone();
    answers(&world, move |asked| {
        let lost = asked.method == "audit.list" && *seen.lock().expect("lock");
        lost.then(|| Err(CallError::lost("the link broke")))
    });
    world.press("A").await;
    world.check_shows("the link broke");
    *fails.lock().expect("lock") = false;
    world.later(4).await;
    world.check_shows("exec.start");
}

#[tokio::test]
async fn pictures_of_the_log() {
    for setup in each() {
        let mut world = World::new(setup.clone()).await;
        world.fleet(some_hosts()).await;
        world.press("A").await;
        snap!("audit_empty", world);
        let mut world = World::with_log(setup.clone(), 1).await;
        world.press("A").await;
        snap!("audit_one", world);
        let mut world = World::with_log(setup, 200).await;
        world.press("Ajj").await;
        snap!("audit_many", world);
        world.press("<enter>").await;
        snap!("audit_detail", world);
        world.press("<esc>s").await;
        snap!("audit_search", world);
        world.press("<esc>O").await;
        snap!("records_operations", world);
        world.press("2").await;
        snap!("records_tasks", world);
    }
}

#[tokio::test]
async fn pictures_of_rights_and_requests() {
    for setup in each() {
        let mut world = at_approvals(setup.clone()).await;
        snap!("approvals", world);
        world.press("a").await;
        snap!("approvals_approve", world);
        world.press("<esc><enter>").await;
        snap!("approvals_detail", world);
        world.press("<esc>+").await;
        snap!("approvals_ask", world);
        world.press("<esc>I/exec<enter><right><right><right><right>").await;
        snap!("rights_filtered", world);
        world.press("<esc>").await;
        snap!("rights", world);
        world.press("<enter>").await;
        snap!("rights_role", world);
        let mut world = World::with_log(setup, 1).await;
        world.far.push::<approvals::Watch>(None, &approvals::Listing::default());
        world.press("P").await;
        snap!("approvals_empty", world);
    }
}

#[tokio::test]
async fn what_was_only_planned_is_not_told_as_done() {
    let mut world = World::with_log(Setup::default(), 5).await;
    world.press("O").await;
    let record = |seq, method: &str, fields: &[(&str, Value)]| Record {
        seq,
        at_ms: NOW_MS,
        event: Event::Asked,
        operator: "li".into(),
        method: method.into(),
        body: Some(Value::Map(
            fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        )),
        ..Record::default()
    };
    let path = |path: &str| ("path", Value::Text(path.into()));
    let unit = ("unit", Value::Text("nginx.service".into()));
    let newest = newest(5);
    let records = vec![
        record(newest + 1, "files.delete", &[path("/kept"), ("plan", Value::Bool(true))]),
        record(newest + 2, "files.delete", &[path("/gone"), ("plan", Value::Bool(false))]),
        record(newest + 3, "services.restart", &[unit]),
    ];
    world.far.push::<audit::Watch>(None, &audit::Items { records, missed: 0 });
    world.idle().await;
    world.check_shows("deleted /gone");
    world.check_hides("/kept");
    world.check_shows("restarted nginx.service");
}

#[tokio::test]
async fn the_names_of_the_roles_stand_on_the_ground_of_the_screen_in_every_language() {
    let setup = Setup { size: (80, 24), lang: Lang::Zh, ..Setup::default() };
    let mut world = World::with_log(setup, 5).await;
    world.press("I").await;
    world.check_shows("administra");
    let buffer = world.terminal.backend().buffer();
    let ground = buffer[(0, 2)].bg;
    let other: Vec<u16> = (0..80).filter(|x| buffer[(*x, 2)].bg != ground).collect();
    // Of a wide character the second cell is never drawn.
    let drawn = other.into_iter().filter(|x| buffer[(x - 1, 2)].symbol().is_ascii());
    assert_eq!(drawn.collect::<Vec<_>>(), Vec::<u16>::new());
}
