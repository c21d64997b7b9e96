//! Callbacks and pushes: what is posted, to whom, how often, and to whom never.

use super::{PATIENCE, Scene};
use cmdr_hub::network::Network;
use cmdr_protocol::ErrorKind;
use cmdr_protocol::pushes::{Delete, Form, List, PostState, Put, Rule, Test, When};
use cmdr_protocol::secrets;
use harness::receiver::Receiver;
use harness::until;
use serde_json::{Value, json};

async fn scene() -> Scene {
    Scene::with(|config| {
        config.api.callbacks.networks = vec![Network::parse("127.0.0.0/8").unwrap()];
        config.api.callbacks.allow_plain = true;
    })
    .await
}

async fn start(scene: &Scene, body: &Value) -> Value {
    let answer = scene.program.json("POST", "/v1/runs", body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert!(answer.header("location").unwrap().starts_with("/v1/runs/"));
    answer.json()
}

fn line(text: &str, url: &str) -> Value {
    json!({"hosts": "*", "order": {"line": {"text": text}}, "callback": {"url": url, "id": "7 ä"}})
}

#[tokio::test]
async fn a_callback_is_tried_again_until_it_is_taken_and_has_the_same_name_each_time() {
    let (scene, receiver) = (scene().await, Receiver::start().await);
    let _web = scene.world.agent("web1").await;
    receiver.answers("503 Service Unavailable");
    start(&scene, &line("echo out; echo err >&2; exit 3", &receiver.url)).await;
    until("it was tried twice", async || receiver.heard().len() >= 2).await;
    let posts = scene.administrator.call(None, &List {}, PATIENCE).await.unwrap().posts;
    assert_eq!((posts.len(), posts[0].state), (1, PostState::Waiting));
    assert!(posts[0].last.contains("answered 503"), "{posts:?}");
    receiver.answers("204 No Content");
    until("nothing waits", async || {
        scene.administrator.call(None, &List {}, PATIENCE).await.unwrap().posts.is_empty()
    })
    .await;
    let heard = receiver.heard();
    assert!(heard.iter().all(|h| h.header("cmdr-delivery") == heard[0].header("cmdr-delivery")));
    let told = heard.last().unwrap().json();
    assert_eq!((&told["id"], &told["run"]["state"]), (&json!("7 ä"), &json!("done")));
    let result = &told["results"][0];
    assert_eq!(
        (&result["host"], &result["state"], &result["code"], &result["stdout"], &result["stderr"]),
        (&json!("web1"), &json!("failed"), &json!(3), &json!("out\n"), &json!("err\n"))
    );
}

#[tokio::test]
async fn a_callback_that_hangs_holds_up_no_other_and_one_that_is_gone_is_not_asked_again() {
    let scene = scene().await;
    let (hanging, good, gone) =
        (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let _web = scene.world.agent("web1").await;
    hanging.hangs(true);
    gone.answers("410 Gone");
    for _ in 0..4 {
        start(&scene, &line("true", &hanging.url)).await;
    }
    start(&scene, &line("true", &gone.url)).await;
    start(&scene, &line("true", &good.url)).await;
    good.until("the others come through", |_| true).await;
    gone.until("it was asked", |_| true).await;
    until("it is given up", async || {
        let posts = scene.administrator.call(None, &List {}, PATIENCE).await.unwrap().posts;
        posts.iter().any(|post| post.state == PostState::GivenUp && post.last.contains("410"))
    })
    .await;
    assert_eq!(gone.heard().len(), 1);
    assert!(hanging.heard().len() <= 2, "no more than two at once to one server");
}

#[tokio::test]
async fn places_that_are_not_public_are_refused_before_anything_is_begun() {
    let scene = Scene::new().await;
    let _web = scene.world.agent("web1").await;
    for (url, words) in [
        ("http://example.com/", "not encrypted"),
        ("https://127.0.0.1:1/", "no public address"),
        ("https://169.254.169.254/latest", "no public address"),
        ("https://[::1]/", "no public address"),
        ("https://10.0.0.1/", "no public address"),
        ("nonsense", "callback"),
    ] {
        let answer = scene.program.json("POST", "/v1/runs", &line("true", url)).await;
        assert_eq!(answer.status, 400, "{url}: {}", answer.text());
        assert!(answer.problem().contains(words), "{url}: {}", answer.text());
    }
    assert_eq!(scene.program.get("/v1/runs").await.json()["runs"], json!([]));
    // A name is judged by what it means when it is posted to.
    start(&scene, &line("true", "https://localhost:1/")).await;
    until("it was refused", async || {
        let posts = scene.administrator.call(None, &List {}, PATIENCE).await.unwrap().posts;
        posts.iter().any(|post| post.last.contains("no public address"))
    })
    .await;
    // Who has nothing to sign with has no callbacks.
    let start = cmdr_protocol::runs::Start {
        hosts: "*".into(),
        order: cmdr_protocol::runs::Order {
            line: Some(cmdr_protocol::runs::Line { text: "true".into() }),
            ..Default::default()
        },
        callback: Some(cmdr_protocol::runs::Callback {
            url: "https://example.com/".into(),
            id: String::new(),
        }),
        ..Default::default()
    };
    let refused = scene.administrator.call(None, &start, PATIENCE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Malformed);
    assert!(refused.message.contains("--http"), "{refused}");
}

#[tokio::test]
async fn rules_tell_channels_and_programs_what_they_are_for() {
    let scene = scene().await;
    let (slack, hook) = (Receiver::start().await, Receiver::start().await);
    let _web = scene.world.agent("web1").await;
    let put = async |name: &str, value: &str| {
        let put = secrets::Put { name: name.into(), value: value.as_bytes().to_vec() };
        scene.administrator.call(None, &put, PATIENCE).await.unwrap();
    };
    put("slack", &format!("{}\n", slack.url)).await;
    put("hook", &hook.url).await;
    put("hook-key", "a secret of some length").await;
    let rule = |name: &str, form, url: &str, signed: &str, when| Rule {
        name: name.into(),
        form,
        url_secret: url.into(),
        signing_secret: signed.into(),
        when,
        ..Rule::default()
    };
    let ask = async |rule: Rule| scene.administrator.call(None, &Put { rule }, PATIENCE).await;
    ask(rule("failures", Form::Slack, "slack", "", When::Failed)).await.unwrap();
    ask(rule("all", Form::Webhook, "hook", "hook-key", When::Always)).await.unwrap();
    let elsewhere =
        Rule { hosts: "db*".into(), ..rule("db", Form::Slack, "slack", "", When::Always) };
    ask(elsewhere).await.unwrap();
    for wrong in [
        rule("x", Form::Webhook, "hook", "", When::Always),
        rule("x", Form::Slack, "", "", When::Always),
        rule("x y", Form::Slack, "slack", "", When::Always),
        rule("x", Form::Unknown, "slack", "", When::Always),
    ] {
        assert_eq!(ask(wrong).await.unwrap_err().kind, ErrorKind::Malformed);
    }
    let test = Test { name: "failures".into() };
    assert_eq!(scene.administrator.call(None, &test, PATIENCE).await.unwrap().status, 200);
    assert!(slack.heard()[0].json()["text"].as_str().unwrap().contains("a try"));

    let run = |text: &str| json!({"hosts": "*", "order": {"line": {"text": text}}});
    let good = start(&scene, &run("echo fine")).await;
    let bad = start(&scene, &run("echo 'no <such> thing'; exit 9")).await;
    let told = hook.until("the failure is told", |h| h.json()["run"]["id"] == bad["run"]).await;
    assert_eq!(told.json()["event"], "run.ended");
    assert_eq!(told.json()["results"][0]["code"], 9);
    assert!(told.header("cmdr-signature").starts_with("v1="));
    hook.until("so is what went well", |h| h.json()["run"]["id"] == good["run"]).await;
    let id = bad["run"].as_str().unwrap();
    let text = |h: &harness::receiver::Heard| h.json()["text"].as_str().unwrap().to_owned();
    let message = slack.until("the channel hears of the failure", |h| text(h).contains(id)).await;
    let message = text(&message);
    assert!(message.contains("1 failed") && message.contains("(exit code 9): web1"), "{message}");
    assert!(message.contains("no &lt;such&gt; thing"), "{message}");
    assert_eq!(slack.heard().len(), 2, "of nothing else");
    let delete = Delete { name: "failures".into() };
    scene.administrator.call(None, &delete, PATIENCE).await.unwrap();
    let rules = scene.administrator.call(None, &List {}, PATIENCE).await.unwrap().rules;
    assert_eq!(rules.len(), 2);
    assert_eq!(scene.world.hub.check().await.unwrap().damage, Vec::<String>::new());
}
