//! The HTTP interface, as programs meet it: over TLS, with keys, and with what strangers may try.

mod bounds;
mod commands;
mod contract;
mod documented;
mod older;
mod posting;
mod prometheus;
mod schedules;
mod steps;

pub(crate) use prometheus::free_port;

use cmdr_hub::config::Config;
use cmdr_link::Client;
use cmdr_protocol::audit;
use cmdr_protocol::keys::{List, Revoke};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::Grant;
use harness::http::{self, Program};
use harness::{World, until};
use serde_json::json;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// A hub with an interface, its administrator, and a program that may do all that one may.
struct Scene {
    world: World,
    administrator: Client,
    program: Program,
    key: String,
    dir: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config { api: http::settings(dir.path()), ..Config::default() };
        change(&mut config);
        let world = World::start_with(config).await;
        let administrator = world.client(Role::ADMINISTRATOR).await;
        let key = http::key(&administrator, "everything", http::everything()).await;
        let program = Program::new(&world, dir.path(), Some(&key));
        Self { world, administrator, program, key, dir }
    }

    async fn key(&self, verbs: &[&str], hosts: &str) -> String {
        let verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
        let scope = vec![Grant { verbs, hosts: hosts.to_owned(), ..Grant::default() }];
        http::key(&self.administrator, "less", scope).await
    }
}

#[tokio::test]
async fn a_program_sees_the_hosts_that_its_key_may_and_changes_what_it_may() {
    let scene = Scene::new().await;
    let web = scene.world.agent("web1").await;
    let _db = scene.world.agent("db1").await;
    let hosts = scene.program.get("/v1/hosts").await;
    assert_eq!(hosts.status, 200);
    let hosts = hosts.json();
    let names: Vec<_> = hosts["hosts"].as_array().unwrap().iter().map(|h| &h["name"]).collect();
    assert_eq!(names, ["db1", "web1"]);
    assert_eq!(hosts["next"], json!(null));
    assert_eq!(hosts["hosts"][1]["state"], "online");
    let page = scene.program.get("/v1/hosts?limit=1").await.json();
    assert_eq!((&page["hosts"][0]["name"], &page["next"]), (&json!("db1"), &json!("db1")));
    let page = scene.program.get("/v1/hosts?limit=1&after=db1").await.json();
    assert_eq!((&page["hosts"][0]["name"], &page["next"]), (&json!("web1"), &json!(null)));
    let id = web.id.to_string();
    let one = scene.program.get(&format!("/v1/hosts/{id}")).await.json();
    assert_eq!((&one["name"], &one["id"]), (&json!("web1"), &json!(id)));

    let change = json!({"labels": {"env": "prod", "old": null}, "name": "www1"});
    let changed = scene.program.json("PATCH", "/v1/hosts/web1", &change).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(
        (&changed.json()["name"], &changed.json()["labels"]),
        (&json!("www1"), &json!({"env": "prod"}))
    );

    let less = scene.program.with(Some(&scene.key(&["hosts.list"], "env=prod").await));
    let seen = less.get("/v1/hosts").await.json();
    assert_eq!(seen["hosts"].as_array().unwrap().len(), 1);
    assert_eq!(less.get("/v1/hosts/db1").await.status, 404, "what it may not see is not there");
    let refused = less.json("PATCH", "/v1/hosts/www1", &json!({"name": "x"})).await;
    assert_eq!(refused.status, 403);
    assert!(refused.problem().contains("hosts.rename is not allowed"), "{}", refused.text());
    assert_eq!(less.send("DELETE", "/v1/hosts/www1", &[], Vec::new()).await.status, 403);
    assert_eq!(scene.program.send("DELETE", "/v1/hosts/www1", &[], Vec::new()).await.status, 204);
    assert_eq!(scene.program.get("/v1/hosts/www1").await.status, 404);

    let list = audit::List { limit: 100, ..audit::List::default() };
    let records = scene.administrator.call(None, &list, PATIENCE).await.unwrap().records;
    let of = |method: &str, event| {
        records.iter().filter(|r| r.method == method && r.event == event).collect::<Vec<_>>()
    };
    let renamed = of("hosts.rename", audit::Event::Answered);
    assert_eq!((renamed.len(), renamed[0].address.as_str()), (1, "127.0.0.1"));
    assert_eq!(of("hosts.rename", audit::Event::Denied).len(), 1, "as for links");
}

#[tokio::test]
async fn a_program_sees_of_its_operators_runs_what_its_own_key_may() {
    let scene = Scene::new().await;
    let _web = scene.world.agent("web1").await;
    let _db = scene.world.agent("db1").await;
    let body = json!({"hosts": "*", "order": {"line": {"text": "uname -n; exit 3"}}});
    let begun = scene.program.json("POST", "/v1/runs", &body).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    let run = format!("/v1/runs/{}", begun.json()["run"].as_str().unwrap());
    let followed = scene.program.get(&format!("{run}/events?follow_s=60")).await.lines();
    assert_eq!(followed.last().unwrap()["over"], true, "{followed:?}");
    let whole = scene.program.get(&run).await.json();
    assert_eq!(
        (&whole["run"]["counts"]["failed"], whole["next"].clone()),
        (&json!(2), json!(null))
    );
    let output = |answer: http::Answer| {
        let lines = answer.lines();
        let of = lines.iter().filter_map(|line| line["target"].as_u64());
        of.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(output(scene.program.get(&format!("{run}/output")).await).len(), 2);

    let less = scene.program.with(Some(&scene.key(&["runs.*", "exec.start"], "web1").await));
    let listed = less.get("/v1/runs").await.json();
    assert_eq!(listed["runs"][0]["counts"]["failed"], 1, "{listed}");
    let shown = less.get(&run).await.json();
    let targets = shown["targets"].as_array().unwrap();
    assert_eq!((targets.len(), &targets[0]["name"]), (1, &json!("web1")), "{shown}");
    let index = targets[0]["index"].as_u64().unwrap();
    assert_eq!(output(less.get(&format!("{run}/output")).await), [index].into());
    let retried = less.json("POST", &format!("{run}/retry"), &json!({})).await;
    assert_eq!(retried.status, 403, "the run has a host that is not its own: {}", retried.text());
    // Without the right on output there is none, and without a host in it there is no run.
    let no_output = scene.program.with(Some(&scene.key(&["runs.show"], "web1").await));
    assert_eq!(no_output.get(&format!("{run}/output")).await.status, 403);
    let none = scene.program.with(Some(&scene.key(&["runs.*"], "env=nowhere").await));
    assert_eq!(none.get("/v1/runs").await.json()["runs"], json!([]));
    assert_eq!(none.get(&run).await.status, 404);
}

#[tokio::test]
async fn requests_that_make_no_sense_get_a_sentence_that_says_why() {
    let scene = Scene::new().await;
    let _web = scene.world.agent("web1").await;
    let get = async |path: &str| scene.program.get(path).await;
    for (path, status, words) in [
        ("/v1/nothing", 404, "/v1/openapi.json"),
        ("/v1/hosts?limit=0", 400, "limit is a number from 1 to 1000"),
        ("/v1/hosts?limit=x", 400, "limit"),
        ("/v1/hosts?selektor=x", 400, "selektor"),
        ("/v1/hosts?selector=%3D%3D", 400, ""),
        ("/v1/hosts/no-such", 404, "GET /v1/hosts"),
        ("/v1/hosts/a%2Cb", 404, "no host"),
        ("/v1/hosts/%FF", 400, "path"),
        ("/v1/events?after=x", 400, "cursor"),
        ("/v1/events?follow_s=86401", 400, "86400"),
    ] {
        let answer = get(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.problem().contains(words), "{path}: {}", answer.text());
    }
    let wrong = scene.program.json("PATCH", "/v1/hosts/web1", &json!({"nmae": "x"})).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.problem().contains("unknown field `nmae`"), "{}", wrong.text());
    let untyped = scene.program.send("PATCH", "/v1/hosts/web1", &[], b"{}".to_vec()).await;
    assert_eq!(untyped.status, 415);
    assert!(untyped.problem().contains("application/json"));
    let method = scene.program.send("PUT", "/v1/hosts/web1", &[], Vec::new()).await;
    assert_eq!(method.status, 405);
    assert!(method.header("allow").is_some_and(|allow| allow.contains("PATCH")), "{method:?}");
    assert!(!method.problem().is_empty());
    let large = vec![b' '; (4 << 20) + 1];
    let headers = [("Content-Type", "application/json")];
    let large = scene.program.send("PATCH", "/v1/hosts/web1", &headers, large).await;
    assert_eq!(large.status, 413);
}

#[tokio::test]
async fn a_key_is_needed_known_and_in_force_and_one_for_links_is_none() {
    let scene = Scene::new().await;
    let anybody = scene.program.with(None);
    let health = anybody.get("/v1/health").await;
    assert_eq!((health.status, health.json()), (200, json!({"status": "ok"})));
    assert_eq!(anybody.get("/v1/openapi.json").await.json()["openapi"], "3.1.0");
    let none = anybody.get("/v1/hosts").await;
    assert_eq!(none.status, 401);
    assert!(none.problem().contains("cmdr keys create"));
    assert!(none.header("www-authenticate").is_some_and(|how| how.starts_with("Bearer")));
    for odd in ["x", "cmdrhttp1-abc", "cmdrkey1-abc"] {
        assert_eq!(anybody.with(Some(odd)).get("/v1/hosts").await.status, 401, "{odd}");
    }
    let text = scene.key(&["hosts.list"], "").await;
    let program = scene.program.with(Some(&text));
    assert_eq!(program.get("/v1/hosts").await.status, 200);
    assert_eq!(program.get("/v1/version").await.status, 403, "the key is not for that");
    let keys = async || scene.administrator.call(None, &List {}, PATIENCE).await.unwrap().keys;
    until("its use is known", async || {
        keys().await.iter().any(|key| key.name == "less" && key.used_from == "127.0.0.1")
    })
    .await;
    let key = keys().await.into_iter().find(|key| key.name == "less").unwrap();
    assert!(key.http);
    scene.administrator.call(None, &Revoke { key: key.key }, PATIENCE).await.unwrap();
    let revoked = program.get("/v1/hosts").await;
    assert_eq!(revoked.status, 401);
    assert!(revoked.problem().contains("was revoked"), "{}", revoked.text());
    let check = scene.world.hub.check().await.unwrap();
    assert_eq!(check.damage, Vec::<String>::new(), "what signs callbacks opens");
}

#[tokio::test]
async fn guessing_keys_is_counted_recorded_and_made_to_wait_while_known_keys_go_on() {
    let scene = Scene::new().await;
    // The right key, another secret.
    let key = scene.key(&["hosts.list"], "").await;
    let id = cmdr_link::bearer::Bearer::parse(&key).unwrap().key;
    let guess = || cmdr_link::bearer::Bearer::generate(id).unwrap().to_text().to_string();
    for _ in 0..5 {
        assert_eq!(scene.program.with(Some(&guess())).get("/v1/hosts").await.status, 401);
    }
    let locked = scene.program.with(Some(&guess())).get("/v1/hosts").await;
    assert_eq!(locked.status, 429);
    assert!(locked.problem().contains("cmdr operators unlock 127.0.0.1"), "{}", locked.text());
    let wait: u64 = locked.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait));
    assert_eq!(scene.program.with(Some(&key)).get("/v1/hosts").await.status, 200);
    until("the wrong tries are on record", async || {
        let list = audit::List { limit: 100, ..audit::List::default() };
        let records = scene.administrator.call(None, &list, PATIENCE).await.unwrap().records;
        records.iter().filter(|r| r.event == audit::Event::Refused && r.method == "http").count()
            == 5
    })
    .await;
}

#[tokio::test]
async fn events_are_followed_and_gone_on_with_from_a_cursor() {
    let scene = Scene::new().await;
    let web = scene.world.agent("web1").await;
    let all = scene.program.get("/v1/events").await;
    assert_eq!(all.header("content-type"), Some("application/x-ndjson"));
    let all = all.lines();
    let whats: Vec<_> = all.iter().map(|event| event["what"].as_str().unwrap()).collect();
    assert_eq!(whats, ["host.joined", "host.online"]);
    assert_eq!(all[1]["host"], web.id.to_string());
    let cursor = all[1]["cursor"].as_str().unwrap().to_owned();
    let following = tokio::spawn({
        let (program, cursor) = (scene.program.clone(), cursor.clone());
        async move { program.get(&format!("/v1/events?after={cursor}&follow_s=2")).await.lines() }
    });
    drop(web);
    let more = following.await.unwrap();
    assert_eq!(more[0]["what"], "host.away");
    let again = scene.program.get(&format!("/v1/events?after={cursor}")).await.lines();
    assert_eq!(again[0]["cursor"], more[0]["cursor"]);
    let elsewhere = scene.program.get("/v1/events?after=1-1").await.lines();
    assert_eq!(elsewhere[0]["what"], "missed");
    assert_eq!(elsewhere.len(), 4, "and then all that is kept");
    let less = scene.program.with(Some(&scene.key(&["events.watch"], "env=prod").await));
    assert!(less.get("/v1/events").await.lines().is_empty(), "of hosts that it may not see");
}

#[tokio::test]
async fn what_is_followed_ends_when_the_key_is_taken_away() {
    let scene = Scene::new().await;
    let text = scene.key(&["events.watch"], "").await;
    let program = scene.program.with(Some(&text));
    let following = tokio::spawn(async move { program.get("/v1/events?follow_s=3600").await });
    let key = cmdr_link::bearer::Bearer::parse(&text).unwrap().key;
    until("the program follows", async || scene.world.hub.programs.count() == 1).await;
    // Once, and most likely before the answer has begun.
    scene.administrator.call(None, &Revoke { key }, PATIENCE).await.unwrap();
    until("the feed has ended", async || following.is_finished()).await;
    let answer = following.await.unwrap();
    assert!(answer.text().contains("revoked"), "{} {}", answer.status, answer.text());
    assert_eq!(scene.world.hub.programs.count(), 0);
}

#[tokio::test]
async fn a_hub_that_stops_ends_what_is_followed_with_a_word() {
    let scene = Scene::new().await;
    let _web = scene.world.agent("web1").await;
    let program = scene.program.clone();
    let following =
        tokio::spawn(async move { program.get("/v1/events?follow_s=3600").await.lines() });
    until("the program follows", async || scene.world.hub.programs.count() == 1).await;
    drop(scene.world.restart().await);
    let lines = following.await.unwrap();
    let last = lines.last().unwrap();
    assert!(last["problem"]["detail"].as_str().unwrap().contains("stopping"), "{last}");
}
