//! Schedules over HTTP: kept, shown as they were put, paused and taken away, by the key that they belong to.

use super::*;
use serde_json::Value;

fn order(every_ms: u64) -> Value {
    json!({
        "when": {"every_ms": every_ms},
        "run": {
            "hosts": "web*", "note": "who is there",
            "order": {"script": {"name": "who.sh", "content": "uname -n\n", "args": ["now"]}, "env": {"TOKEN": "s3cret"}},
            "waves": {"first": {"count": 1}, "then": {"percent": 50}},
            "halt": {"failures": {"percent": 5}},
        },
    })
}

async fn send(program: &Program, method: &str, path: &str) -> http::Answer {
    program.send(method, &format!("/v1/schedules/{path}"), &[], Vec::new()).await
}

#[tokio::test]
async fn a_schedule_is_kept_shown_as_it_was_put_paused_resumed_and_taken_away() {
    let scene = Scene::new().await;
    let (_web, _more) = (scene.world.agent("web1").await, scene.world.agent("web2").await);
    let put = scene.program.json("PUT", "/v1/schedules/who", &order(3_600_000)).await;
    assert_eq!(put.status, 200, "{}", put.text());
    let shown = scene.program.get("/v1/schedules/who").await.json();
    assert_eq!((&shown["name"], &shown["when"]["every_ms"]), (&json!("who"), &json!(3_600_000)));
    assert_eq!(shown["run"]["order"]["script"]["content"], "uname -n\n", "{shown}");
    assert_eq!(shown["run"]["waves"]["then"]["percent"], 50, "{shown}");
    assert!(shown["next_ms"].is_u64() && shown["last"].is_null(), "{shown}");
    assert!(!shown.to_string().contains("s3cret"), "{shown}");
    let listed = scene.program.get("/v1/schedules").await.json();
    assert_eq!(listed["schedules"], json!([shown]));

    // What was not told cannot be put back by mistake.
    let back = json!({"when": {"every_ms": 60_000}, "run": shown["run"]});
    let refused = scene.program.json("PUT", "/v1/schedules/who", &back).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.problem().contains("TOKEN"), "{}", refused.text());

    let paused = send(&scene.program, "POST", "who/pause").await.json();
    assert_eq!((&paused["paused"], &paused["next_ms"]), (&json!(true), &json!(null)));
    let resumed = send(&scene.program, "POST", "who/resume").await.json();
    assert_eq!((&resumed["paused"], &resumed["next_ms"]), (&json!(false), &shown["next_ms"]));

    // It belongs to the key that put it.
    let other = scene.program.with(Some(&scene.key(&["runs.*", "exec.start"], "").await));
    assert_eq!(other.get("/v1/schedules").await.json()["schedules"], json!([]));
    assert_eq!(other.get("/v1/schedules/who").await.status, 404);
    assert_eq!(send(&other, "DELETE", "who").await.status, 403);
    assert_eq!(send(&other, "POST", "who/pause").await.status, 403);
    assert_eq!(other.json("PUT", "/v1/schedules/who", &order(60_000)).await.status, 403);
    // And the right to look is none to put.
    let looks = scene.program.with(Some(&scene.key(&["runs.schedules.list"], "").await));
    assert_eq!(looks.json("PUT", "/v1/schedules/mine", &order(60_000)).await.status, 403);

    assert_eq!(send(&scene.program, "DELETE", "who").await.status, 204);
    let gone = send(&scene.program, "DELETE", "who").await;
    assert_eq!(gone.status, 404);
    assert!(gone.problem().contains("GET /v1/schedules"), "{}", gone.text());
    for (put, words) in [
        (order(10), "10 s at most"),
        (json!({"when": {}, "run": order(1)["run"]}), "how often or when"),
        (json!({"when": {"cron": "61 * * * *"}, "run": order(1)["run"]}), "crontab"),
        (json!({"when": {"every_ms": 60_000}}), "missing field `run`"),
    ] {
        let wrong = scene.program.json("PUT", "/v1/schedules/who", &put).await;
        assert_eq!(wrong.status, 400, "{}", wrong.text());
        assert!(wrong.problem().contains(words), "{}", wrong.text());
    }
}
