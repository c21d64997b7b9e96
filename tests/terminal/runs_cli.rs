//! `cmdr run`, the real program, against a real hub whose hosts are simulated.

use cmdr_link::token::JoinToken;
use harness::fleet::Member;
use harness::process::{HubProcess, program, run};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use tokio::sync::watch;

/// A hub with three hosts, and an administrator.
struct Story {
    _hub: HubProcess,
    home: PathBuf,
    _members: Vec<Member>,
}

impl Story {
    async fn begin() -> Self {
        let hub = HubProcess::start();
        let token = JoinToken::parse(&hub.token(None, 3)).unwrap();
        let online = Arc::new(watch::channel(0usize).0);
        let names = ["web1", "web2", "db1"].into_iter().enumerate();
        let members: Vec<_> =
            names.map(|(at, name)| Member::join(&token, name.into(), at, &online)).collect();
        online.subscribe().wait_for(|n| *n == 3).await.unwrap();
        let home = hub.dir.path().join("home");
        let admin = hub.token(Some("administrator"), 1);
        let story = Self { _hub: hub, home, _members: members };
        assert!(story.cmdr(&["login", &admin]).await.status.success());
        story
    }

    async fn cmdr(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(program("cmdr"));
        command.args(arguments).env("CMDR_HOME", &self.home);
        tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap()
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let output = self.cmdr(arguments).await;
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
            panic!("{arguments:?}: {e}: {}", String::from_utf8_lossy(&output.stderr))
        })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_command_left_to_the_hub_is_listed_shown_watched_and_tried_again() {
    let story = Story::begin().await;
    let answer = story.json(&["-o", "json", "exec", "--detach", "*", "--", "fail", "4"]).await;
    let id = answer["run"].as_str().unwrap().to_owned();
    assert_eq!(answer["targets"], 3);
    // The exit code is that of the worst host; the lines say who.
    let watched = story.cmdr(&["run", "watch", &id[..8]]).await;
    assert_eq!(watched.status.code(), Some(1), "{}", text(&watched.stderr));
    assert!(text(&watched.stderr).contains("web2: failed (exit 4)"), "{}", text(&watched.stderr));
    let listed = story.json(&["-o", "json", "run", "ls"]).await;
    assert_eq!((&listed[0]["id"], &listed[0]["state"]), (&Value::from(id.clone()), &"done".into()));
    assert_eq!(listed[0]["counts"]["failed"], 3);
    let shown = story.json(&["-o", "json", "run", "show", &id]).await;
    assert_eq!(shown["targets"][0]["code"], 4);
    let table = text(&story.cmdr(&["run", "show", &id]).await.stdout);
    assert!(table.contains("db1") && table.contains("failed"), "{table}");
    let again = story.cmdr(&["run", "retry", &id]).await;
    assert_eq!(again.status.code(), Some(1));
    let shown = story.json(&["-o", "json", "run", "show", &id]).await;
    assert_eq!(shown["targets"][2]["attempt"], 1);
    let none = story.cmdr(&["run", "show", "zzzzzz"]).await;
    assert_eq!(none.status.code(), Some(3), "{}", text(&none.stderr));
}

#[tokio::test]
async fn equal_results_are_shown_once_and_a_plan_runs_nothing() {
    let story = Story::begin().await;
    let planned =
        story.cmdr(&["exec", "--waves", "1", "--plan", "web*", "--", "echo", "same"]).await;
    assert!(planned.status.success(), "{}", text(&planned.stderr));
    assert!(text(&planned.stdout).contains("web2"), "{}", text(&planned.stdout));
    assert!(text(&planned.stderr).contains("in 2 waves"), "{}", text(&planned.stderr));
    assert_eq!(story.json(&["-o", "json", "run", "ls"]).await, serde_json::json!([]));
    let folded = story.json(&["-o", "json", "exec", "--fold", "*", "--", "echo", "same"]).await;
    assert_eq!(folded.as_array().unwrap().len(), 1);
    assert_eq!((&folded[0]["count"], &folded[0]["output"]), (&3.into(), &"same\n".into()));
    let each = story.cmdr(&["exec", "--fold", "*", "--", "hostname"]).await;
    let each = text(&each.stdout);
    assert!(each.contains("== 1 host ok: web1") && each.contains("db1\n"), "{each}");
    // The same lines as a plain command would give.
    let run = story.cmdr(&["exec", "--note", "who is who", "web*", "--", "hostname"]).await;
    let mut lines: Vec<_> = text(&run.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("web1") && lines[1].ends_with("web2"), "{lines:?}");
    let nobody = story.cmdr(&["exec", "--detach", "nowhere*", "--", "hostname"]).await;
    assert_eq!(nobody.status.code(), Some(3), "{}", text(&nobody.stderr));
}

#[tokio::test]
async fn the_number_of_hosts_is_wanted_where_there_is_nobody_to_type_it() {
    let story = Story::begin().await;
    for name in ["web1", "web2"] {
        let labelled = story.cmdr(&["hosts", "label", name, "env=prod"]).await;
        assert!(labelled.status.success(), "{}", text(&labelled.stderr));
    }
    let refused = story.cmdr(&["exec", "--detach", "web*", "--", "hostname"]).await;
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("--confirm 2"), "{}", text(&refused.stderr));
    // Without a word of runs it is one all the same, and --direct does not get round the question.
    for options in [&["exec"][..], &["exec", "--direct"]] {
        let refused = story.cmdr(&[options, &["web*", "--", "hostname"]].concat()).await;
        assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
        assert!(text(&refused.stderr).contains("--confirm 2"), "{}", text(&refused.stderr));
    }
    assert_eq!(story.json(&["-o", "json", "run", "ls"]).await, serde_json::json!([]));
    let confirmed =
        story.cmdr(&["exec", "--detach", "--confirm", "2", "web*", "--", "hostname"]).await;
    assert!(confirmed.status.success(), "{}", text(&confirmed.stderr));
}

#[tokio::test]
async fn what_goes_to_several_hosts_is_a_run_and_ctrl_c_ends_it_on_all_of_them() {
    let story = Story::begin().await;
    for (extra, folded) in [(&[][..], false), (&["--fold"][..], true)] {
        let mut command = Command::new(program("cmdr"));
        command.arg("exec").args(extra).args(["*", "--", "wait"]).env("CMDR_HOME", &story.home);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        harness::until("all three are at it", async || {
            let listed = story.json(&["-o", "json", "run", "ls"]).await;
            listed[0]["counts"]["running"] == 3
        })
        .await;
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap();
        let ended = ended.unwrap();
        assert_eq!(ended.status.code(), Some(6), "{}", text(&ended.stderr));
        let told = if folded { text(&ended.stdout) } else { text(&ended.stderr) };
        assert!(told.contains("cancelled"), "{told}");
        let listed = story.json(&["-o", "json", "run", "ls"]).await;
        assert_eq!(
            (&listed[0]["state"], &listed[0]["counts"]["cancelled"]),
            (&"stopped".into(), &3.into())
        );
    }
}

#[tokio::test]
async fn a_schedule_begins_runs_by_itself() {
    let story = Story::begin().await;
    let put = ["run", "schedule", "put", "who", "--every", "10s", "web*", "--", "hostname"];
    let made = story.cmdr(&put).await;
    assert!(made.status.success(), "{}", text(&made.stderr));
    let wrong = ["run", "schedule", "put", "x", "--cron", "61 * * * *", "web*", "--", "hostname"];
    let wrong = story.cmdr(&wrong).await;
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
    harness::until("a run was begun by it", async || {
        let listed = story.json(&["-o", "json", "run", "ls"]).await;
        listed[0]["schedule"] == "who" && listed[0]["counts"]["ok"] == 2
    })
    .await;
    let gone = story.cmdr(&["run", "schedule", "delete", "who"]).await;
    assert!(gone.status.success(), "{}", text(&gone.stderr));
    assert_eq!(story.json(&["-o", "json", "run", "schedule"]).await, serde_json::json!([]));
}
