//! Runbooks over HTTP: their versions, what came of their steps; and runs that are deleted.

use super::Scene;
use harness::until_some;
use serde_json::json;

fn book(word: &str) -> serde_json::Value {
    let text = format!(
        "name: book\nsteps:\n- name: say\n  line: echo {word}\n- name: fail\n  line: echo no; exit 3\n- name: never\n  line: echo x\n"
    );
    json!({"text": text, "note": word})
}

#[tokio::test]
async fn what_came_of_each_step_on_a_host_is_told_to_who_may_know_it() {
    let scene = Scene::new().await;
    let _web = scene.world.agent("web1").await;
    let saved = scene.program.json("PUT", "/v1/runbooks/book", &book("hello")).await;
    assert_eq!(saved.status, 200, "{}", saved.text());
    let body = json!({"hosts": "web1", "order": {"runbook": {"name": "book"}}});
    let begun = scene.program.json("POST", "/v1/runs", &body).await.json();
    let run = format!("/v1/runs/{}", begun["run"].as_str().unwrap());
    scene.program.get(&format!("{run}/events?follow_s=60")).await;
    let steps = scene.program.get(&format!("{run}/targets/0/steps")).await.json();
    let told: Vec<_> = steps["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| {
            let text = |name: &str| step[name].as_str().unwrap().trim().to_owned();
            (text("name"), text("state"), step["code"].as_i64(), text("output"))
        })
        .collect();
    let word = |text: &str| text.to_owned();
    assert_eq!(
        told[..2],
        [
            (word("say"), word("ok"), Some(0), word("hello")),
            (word("fail"), word("failed"), Some(3), word("no"))
        ],
        "{steps}"
    );
    assert_eq!((told.len(), told[2].0.as_str(), told[2].2), (3, "never", None));
    for (path, status) in [
        (format!("{run}/targets/1/steps"), 404),
        (format!("{run}/targets/x/steps"), 400),
        ("/v1/runs/0000000000000000/targets/0/steps".to_owned(), 404),
    ] {
        assert_eq!(scene.program.get(&path).await.status, status, "{path}");
    }
    let less = scene.program.with(Some(&scene.key(&["runs.*", "runbooks.*"], "env=none").await));
    assert_eq!(less.get(&format!("{run}/targets/0/steps")).await.status, 404);
    let no_steps = scene.program.with(Some(&scene.key(&["runs.*"], "").await));
    assert_eq!(no_steps.get(&format!("{run}/targets/0/steps")).await.status, 403);
    // An order that is no runbook has no steps, and it is said so.
    let body = json!({"hosts": "web1", "order": {"line": {"text": "true"}}});
    let begun = scene.program.json("POST", "/v1/runs", &body).await.json();
    let plain = format!("/v1/runs/{}", begun["run"].as_str().unwrap());
    let none = scene.program.get(&format!("{plain}/targets/0/steps")).await;
    assert!((400..500).contains(&none.status), "{}", none.text());
}

#[tokio::test]
async fn a_runbook_has_versions_and_an_older_one_becomes_the_newest_again() {
    let scene = Scene::new().await;
    for word in ["one", "two"] {
        scene.program.json("PUT", "/v1/runbooks/book", &book(word)).await;
    }
    let versions = scene.program.get("/v1/runbooks/book/versions").await.json();
    let numbers: Vec<_> = versions["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["version"].as_u64())
        .collect();
    assert_eq!(numbers, [Some(2), Some(1)], "{versions}");
    assert_eq!(versions["versions"][1]["note"], "one");
    let restore = async |body| scene.program.json("POST", "/v1/runbooks/book/restore", &body).await;
    let late = restore(json!({"version": 1, "was": 1})).await;
    assert_eq!(late.status, 409, "{}", late.text());
    let restored = restore(json!({"version": 1, "was": 2})).await.json();
    assert_eq!((&restored["version"], &restored["unchanged"]), (&json!(3), &json!(false)));
    let shown = scene.program.get("/v1/runbooks/book").await.json();
    assert!(shown["text"].as_str().unwrap().contains("echo one"), "{shown}");
    assert_eq!(shown["note"], "version 1 again");
    assert_eq!(restore(json!({"version": 9})).await.status, 404);
    assert_eq!(scene.program.get("/v1/runbooks/none/versions").await.status, 404);
    // One that comes with the hub is version 0.
    let shipped =
        scene.program.json("POST", "/v1/runbooks/nginx/restore", &json!({"version": 0})).await;
    assert_eq!(shipped.json()["version"], 1, "{}", shipped.text());
    let look = scene.program.with(Some(&scene.key(&["@read"], "").await));
    assert_eq!(look.get("/v1/runbooks/book/versions").await.status, 200);
    let refused = look.json("POST", "/v1/runbooks/book/restore", &json!({"version": 1})).await;
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn a_run_that_is_over_is_deleted_over_http_and_its_events_are_told() {
    let scene = Scene::new().await;
    let _web = scene.world.agent("web1").await;
    let cursor = scene.program.get("/v1/events?new=true").await.lines()[0]["cursor"].clone();
    let body = json!({"hosts": "web1", "order": {"line": {"text": "read x"}}});
    let begun = scene.program.json("POST", "/v1/runs", &body).await.json();
    let id = begun["run"].as_str().unwrap();
    let run = format!("/v1/runs/{id}");
    scene.program.get(&format!("{run}/events?follow_s=60")).await;
    let look = scene.program.with(Some(&scene.key(&["@read"], "").await));
    assert_eq!(look.send("DELETE", &run, &[], Vec::new()).await.status, 403);
    let deleted = scene.program.send("DELETE", &run, &[], Vec::new()).await;
    assert_eq!(deleted.status, 204, "{}", deleted.text());
    assert_eq!(scene.program.get(&run).await.status, 404);
    assert_eq!(scene.program.send("DELETE", &run, &[], Vec::new()).await.status, 404);
    let kinds = format!("/v1/events?after={}&kind=run", cursor.as_str().unwrap());
    // What became of it is not for a key whose scope cannot be asked of it any more.
    assert!(scene.program.get(&kinds).await.lines().is_empty());
    let wrong = scene.program.get("/v1/events?kind=rum").await;
    assert!(wrong.status == 400 && wrong.problem().contains("run.ended"), "{}", wrong.text());

    let begun = scene.program.json("POST", "/v1/runs", &body).await.json();
    let id = begun["run"].as_str().unwrap();
    let told = until_some("its end is told", async || {
        let told = scene.program.get(&format!("{kinds}&hosts=web1")).await.lines();
        (told.len() > 1).then_some(told)
    })
    .await;
    let of: Vec<_> = told.iter().map(|event| event["what"].as_str().unwrap()).collect();
    assert_eq!(of, ["run.begun", "run.ended"], "{told:?}");
    assert!(told.iter().all(|event| event["run"] == id));
    assert_eq!(told[1]["counts"]["targets"], 1);
    assert!(scene.program.get(&format!("{kinds}&hosts=db*")).await.lines().is_empty());
}
