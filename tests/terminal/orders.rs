//! The verbs that give orders, the real program against a real hub and two real agents: what they say, what is done on the
//! hosts, and what scripts read.

use crate::client_runs::{Story, agent};
use crate::local::text;
use harness::process::{run, until};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Output;

impl Story {
    fn said(&self, code: i32, arguments: &[&str]) -> Output {
        let output = run(&mut self.cmdr(arguments));
        let words = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {words}");
        output
    }

    /// What scripts read of a command that ends so.
    fn read(&self, code: i32, arguments: &[&str]) -> Value {
        let output = self.said(code, &[&["-o", "json"], arguments].concat());
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{arguments:?}: {e}: {}", text(&output.stdout)))
    }

    fn path(&self, name: &str) -> String {
        self.hub.dir.path().join(name).to_string_lossy().into_owned()
    }

    fn write(&self, name: &str, content: &str) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// The newest run and its hosts.
    fn newest(&self) -> Value {
        let listed = self.read(0, &["run", "ls", "-n", "1"]);
        self.read(0, &["run", "show", listed[0]["id"].as_str().unwrap()])
    }

    /// Leaves an order to the hub, and says which run it is.
    fn leave(&self, arguments: &[&str]) -> String {
        let answer = self.read(0, &[&["exec", "--detach"], arguments].concat());
        answer["run"].as_str().unwrap().to_owned()
    }

    fn until(&self, run: &str, what: &str, holds: impl Fn(&Value) -> bool) {
        until(what, || holds(&self.read(0, &["run", "show", run])));
    }
}

/// One field of each row, in order of the hosts' names.
fn each<'v>(rows: &'v Value, field: &str) -> Vec<&'v Value> {
    let mut rows: Vec<&Value> = rows.as_array().unwrap().iter().collect();
    rows.sort_by_key(|row| row["host"].to_string());
    rows.into_iter().map(|row| &row[field]).collect()
}

fn planned(plan: &Value) -> Vec<&str> {
    plan["hosts"].as_array().unwrap().iter().map(|host| host["name"].as_str().unwrap()).collect()
}

#[test]
fn files_packages_runbooks_and_config_groups_are_planned_and_then_done() {
    let story = Story::begin();
    let (file, there) = (story.write("motd", "welcome\n"), story.path("there"));
    // Both are one machine, and its files one place: one after the other.
    let push = ["push", &file, "web*", "--to", &there, "--mode", "640", "--waves", "1"];
    let plan = story.read(0, &[&push[..], &["--plan"]].concat());
    assert_eq!((planned(&plan), &plan["waves"]), (vec!["web1", "web2"], &json!([1, 1])));
    assert_eq!(plan["guard"]["confirm"], false, "{plan}");
    assert!(!PathBuf::from(&there).exists(), "nothing was done");
    assert_eq!(story.read(0, &["run", "ls"]), json!([]));
    let pushed = story.said(0, &[&push[..], &["--then", "cat", &there]].concat());
    let mut lines: Vec<_> = text(&pushed.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    assert!(lines[0].contains("web1") && lines[1].ends_with("welcome"), "{lines:?}");
    assert_eq!(std::fs::read_to_string(&there).unwrap(), "welcome\n");
    let again = story.read(0, &push);
    assert_eq!(each(&again, "state"), ["ok", "ok"], "{again}");

    let packages = ["packages", "remove", "cmdr-never-was", "--on", "web*"];
    let plan = story.said(0, &[&packages[..], &["--plan"]].concat());
    assert!(text(&plan.stdout).contains("web2"), "{}", text(&plan.stdout));
    assert!(text(&plan.stderr).contains("would run on 2 hosts"), "{}", text(&plan.stderr));
    let removed = story.read(0, &packages);
    assert_eq!(each(&removed, "host"), ["web1", "web2"]);
    assert_eq!(each(&removed, "state"), ["ok", "ok"], "{removed}");
    let shown = story.newest();
    assert!(shown["targets"][0]["why"].as_str().unwrap().contains("is not installed"), "{shown}");

    let book = "name: greet\nparams:\n- name: whom\nsteps:\n- name: say\n  line: echo hello {{whom}}\n- name: never\n  when: param.whom == 'x'\n  command: [\"false\"]\n";
    let book = book.replace("param.whom", "whom");
    story.said(0, &["runbook", "save", &story.write("greet.yaml", &book)]);
    let greet = ["runbook", "run", "greet", "web*", "-p", "whom=you"];
    assert_eq!(planned(&story.read(0, &[&greet[..], &["--plan"]].concat())), ["web1", "web2"]);
    let greeted = story.read(0, &greet);
    assert_eq!(each(&greeted, "state"), ["ok", "ok"], "{greeted}");
    let run = story.newest()["run"]["id"].as_str().unwrap().to_owned();
    let steps = story.read(0, &["runbook", "steps", &run, "web2"]);
    assert_eq!(each(&steps, "name"), ["say", "never"], "{steps}");
    assert_eq!(each(&steps, "state"), ["ok", "skipped"]);
    assert_eq!(steps[0]["host"], "web2");
    assert_eq!(steps[0]["output"], "hello you", "{steps}");
    let table = text(&story.said(0, &["runbook", "steps", &run]).stdout);
    assert_eq!(table.matches("say").count(), 2, "{table}");

    let place = story.path("shop.conf");
    let group = format!(
        "name: shop\nhosts: web*\nfiles:\n- to: {place}\n  mode: '0644'\n  content: |\n    port 80\n"
    );
    story.said(0, &["config", "save", &story.write("shop.yaml", &group)]);
    std::fs::write(&place, "port 8080\n").unwrap();
    let drift = story.read(1, &["config", "drift", "shop", "--diff"]);
    assert_eq!(each(&drift, "state"), ["differs", "differs"], "{drift}");
    assert!(drift[0]["diff"].as_str().unwrap().contains("-port 8080\n+port 80\n"), "{drift}");
    let pushed = story.read(0, &["config", "push", "shop", "--waves", "1"]);
    assert_eq!(each(&pushed, "state"), ["ok", "ok"], "{pushed}");
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "port 80\n");
    let equal = story.read(0, &["config", "drift", "shop", "--all"]);
    assert_eq!(each(&equal, "state"), ["equal", "equal"], "{equal}");
}

#[test]
fn a_run_is_paused_resumed_read_tried_again_and_stopped_and_all_runs_at_once() {
    let mut story = Story::begin();
    let go = story.path("go");
    let waits = format!("until test -e {go}; do sleep 0.05; done; echo went");
    let run = story.leave(&["--waves", "1", "web*", "--", "sh", "-c", &waits]);
    story.until(&run, "the first host is at it", |shown| shown["run"]["counts"]["running"] == 1);
    let paused = story.read(0, &["run", "pause", &run]);
    assert_eq!((&paused["id"], &paused["state"]), (&json!(run), &json!("paused")));
    std::fs::write(&go, "").unwrap();
    story.until(&run, "the first host is done", |shown| shown["run"]["counts"]["ok"] == 1);
    assert_eq!(story.read(0, &["run", "show", &run])["run"]["counts"]["queued"], 1);
    let resumed = text(&story.said(0, &["run", "resume", &run[..8]]).stderr);
    assert!(resumed.contains("is running"), "{resumed}");
    story.said(0, &["run", "watch", &run]);
    assert_eq!(story.said(0, &["run", "output", &run, "web2"]).stdout, b"went\n");
    let all = text(&story.said(0, &["run", "output", &run]).stdout);
    assert_eq!(all, "web1: went\nweb2: went\n");

    // Half of two is one: the second wave is never sent.
    let flag = story.path("flag");
    let halted = story
        .read(6, &["exec", "--waves", "1", "--halt", "50%", "web*", "--", "test", "-e", &flag]);
    assert_eq!(each(&halted, "state"), ["failed", "cancelled"], "{halted}");
    assert_eq!(each(&halted, "code")[0], 1);
    let run = story.newest()["run"]["id"].as_str().unwrap().to_owned();
    std::fs::write(&flag, "").unwrap();
    let retried = story.read(0, &["run", "retry", &run, "--cancelled"]);
    assert_eq!(each(&retried, "state"), ["ok", "ok"], "{retried}");

    // Whoever is away is waited for, and no longer than was said.
    let web2 = story.agents.pop().unwrap();
    web2.kill();
    let online = || story.read(0, &["hosts", "state=online"]).as_array().unwrap().len();
    until("the hub has seen that it is gone", || online() == 1);
    let late =
        story.read(4, &["exec", "--when-online", "--expires", "1s", "web*", "--", "uname", "-s"]);
    assert_eq!(each(&late, "state"), ["ok", "unreachable"], "{late}");
    assert_eq!(late[0]["stdout"], "Linux\n", "{late}");
    let run = story.leave(&["--when-online", "--expires", "1h", "web*", "--", "uname", "-s"]);
    story.until(&run, "the one that is there is done", |shown| shown["run"]["counts"]["ok"] == 1);
    let back = agent(&story.hub, "web2");
    story.agents.push(back);
    story.said(0, &["run", "watch", &run]);

    let wrong = story.leave(&["web*", "--", "sleep", "600"]);
    let stopped = story.read(0, &["run", "stop", &wrong, "-r", "wrong file"]);
    assert_eq!(stopped["id"], wrong);
    story.until(&wrong, "it is stopped", |shown| shown["run"]["state"] == "stopped");
    let shown = story.read(0, &["run", "show", &wrong]);
    assert!(shown["run"]["why"].as_str().unwrap().contains("wrong file"), "{shown}");
    assert_eq!(shown["run"]["counts"]["cancelled"], 2, "{shown}");

    let mut both: Vec<_> =
        (0..2).map(|_| Value::from(story.leave(&["web*", "--", "sleep", "600"]))).collect();
    story.said(0, &["run", "schedule", "put", "later", "--every", "1h", "web*", "--", "true"]);
    let all = story.said(0, &["-o", "json", "run", "stop", "--all", "-r", "enough"]);
    let told = text(&all.stderr);
    assert!(told.contains("stopped 2 runs") && told.contains("later"), "{told}");
    let all: Value = serde_json::from_slice(&all.stdout).unwrap();
    let mut ids: Vec<_> = each(&all, "id").into_iter().cloned().collect();
    ids.sort_by_key(Value::to_string);
    both.sort_by_key(Value::to_string);
    assert_eq!(ids, both, "{all}");
    for run in &both {
        let run = run.as_str().unwrap();
        story.until(run, "it is stopped", |shown| shown["run"]["state"] == "stopped");
    }
    let none = text(&story.said(0, &["run", "stop", "--all"]).stderr);
    assert!(none.contains("no run goes on"), "{none}");
}

#[test]
fn any_order_is_put_by_the_clock_with_the_verb_that_gives_it() {
    let story = Story::begin();
    let book =
        "name: greet\nparams:\n- name: whom\nsteps:\n- name: say\n  line: echo hello {{whom}}\n";
    story.said(0, &["runbook", "save", &story.write("greet.yaml", book)]);
    let soon = ["--schedule", "greet", "--every", "10s"];
    let greet = ["runbook", "run", "greet", "web*", "-p", "whom=you"];
    let put = story.read(0, &[&greet[..], &soon].concat());
    assert_eq!((&put["name"], &put["when"]["every_ms"]), (&json!("greet"), &json!(10_000)));
    assert_eq!(story.read(0, &["run", "ls"]), json!([]), "nothing is begun now");

    let (file, there) = (story.write("motd", "welcome\n"), story.path("there"));
    let hourly = ["--every", "1h", "--schedule"];
    story.said(0, &[&["push", &file, "web*", "--to", &there], &hourly[..], &["files"]].concat());
    let nightly = ["--cron", "30 3 * * MON-FRI", "--zone", "Europe/Berlin", "--schedule"];
    story.said(
        0,
        &[
            &["packages", "upgrade", "--on", "web*", "--waves", "1", "--halt", "1"],
            &nightly[..],
            &["upgrades"],
        ]
        .concat(),
    );
    let group = format!("name: shop\nhosts: web*\nfiles:\n- to: {there}\n  content: x\n");
    story.said(0, &["config", "save", &story.write("shop.yaml", &group)]);
    story.said(0, &[&["config", "push", "shop"], &hourly[..], &["shop", "--paused"]].concat());
    let script = story.write("who.sh", "#!/bin/sh\nuname -n\n");
    let put =
        ["run", "schedule", "put", "who", "--every", "1h", "--when-online", "--script", &script];
    story.said(0, &[&put[..], &["-e", "A=1", "web*", "--", "now"]].concat());
    // What is planned is put nowhere, and half of it is none.
    let plan =
        story.read(0, &[&greet[..], &["--plan", "--schedule", "no", "--every", "1h"]].concat());
    assert_eq!(planned(&plan), ["web1", "web2"]);
    for (words, arguments) in [
        ("--schedule NAME", &["exec", "web*", "--every", "1h", "--", "true"][..]),
        ("--every 1h", &["exec", "web*", "--schedule", "no", "--", "true"]),
        (
            "begins now",
            &["exec", "web*", "--detach", "--schedule", "no", "--every", "1h", "--", "true"],
        ),
        (
            "each needs a schedule",
            &["push", &file, &script, "web*", "--to", "/tmp/", "--schedule", "no", "--every", "1h"],
        ),
    ] {
        let wrong = text(&story.said(2, arguments).stderr);
        assert!(wrong.contains(words), "{arguments:?}: {wrong}");
    }

    let listed = story.read(0, &["run", "schedule", "ls"]);
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["files", "greet", "shop", "upgrades", "who"], "{listed}");
    let order = |at: usize| &listed[at]["start"]["order"];
    assert_eq!(order(0)["push"]["path"], there, "{listed}");
    assert_eq!(
        (&order(2)["runbook"]["name"], &listed[2]["paused"]),
        (&json!("config.shop"), &json!(true))
    );
    assert_eq!(
        (&order(3)["packages"]["action"], &listed[3]["when"]["zone"]),
        (&json!("upgrade"), &json!("Europe/Berlin"))
    );
    assert_eq!(listed[3]["start"]["halt"]["failures"]["count"], 1, "{listed}");
    assert_eq!(
        (&order(4)["script"]["args"], &listed[4]["start"]["when_online"]),
        (&json!(["now"]), &json!(true))
    );
    assert_ne!(order(4)["env"]["A"], "1", "values are not told");
    let resumed = story.read(0, &["run", "schedule", "resume", "shop"]);
    assert!(resumed["next_ms"].is_u64(), "{resumed}");
    let paused = text(&story.said(0, &["run", "schedule", "pause", "who"]).stderr);
    assert!(paused.contains("who: paused"), "{paused}");
    story.said(3, &["run", "schedule", "pause", "no"]);

    until("a run was begun by the clock", || {
        let newest = &story.read(0, &["run", "ls"])[0];
        newest["schedule"] == "greet" && newest["counts"]["ok"] == 2
    });
    let run = story.newest()["run"]["id"].as_str().unwrap().to_owned();
    let steps = story.read(0, &["runbook", "steps", &run, "web1"]);
    assert_eq!(steps[0]["output"], "hello you", "{steps}");
}

#[test]
fn a_runbook_is_signed_and_checked_by_those_who_read_it() {
    let story = Story::begin();
    let book = |line: &str| format!("name: greet\nsteps:\n- name: say\n  line: echo {line}\n");
    let file = story.write("greet.yaml", &book("hello"));
    story.said(0, &["runbook", "save", &file]);
    let unsigned = story.said(1, &["runbook", "verify", "greet"]);
    assert!(text(&unsigned.stderr).contains("cmdr runbook sign greet"), "{unsigned:?}");
    // Only what was read is signed.
    let other = story.write("other.yaml", &book("something else"));
    let refused = story.said(1, &["runbook", "sign", "greet", "--file", &other]);
    assert!(text(&refused.stderr).contains("nothing was signed"), "{refused:?}");
    let signed = story.said(0, &["runbook", "sign", "greet", "--file", &file]);
    assert!(text(&signed.stderr).contains("version 1 of greet is signed by"), "{signed:?}");
    let verified = story.read(0, &["runbook", "verify", "greet"]);
    assert_eq!((&verified["text"], &verified["holds"]), (&json!(true), &json!(true)));
    let key = verified["key"].as_str().unwrap();
    story.said(0, &["runbook", "verify", "greet", "--key", key]);
    let wrong = story.said(1, &["runbook", "verify", "greet", "--key", &"a".repeat(52)]);
    assert!(text(&wrong.stderr).contains("another key"), "{wrong:?}");
    let listed = story.read(0, &["runbook", "ls"]);
    let greet = |listed: &Value| {
        let all = listed.as_array().unwrap();
        all.iter().find(|book| book["name"] == "greet").unwrap().clone()
    };
    assert_eq!(greet(&listed)["signed"]["by"], verified["by"]);
    let shown = story.said(0, &["runbook", "show", "greet"]);
    assert!(text(&shown.stderr).contains("the signature holds"), "{shown:?}");
    // A new version is another text; saved and signed at once.
    story.write("greet.yaml", &book("hello again"));
    story.said(0, &["runbook", "save", &file]);
    assert_eq!(greet(&story.read(0, &["runbook", "ls"]))["signed"], Value::Null);
    story.write("greet.yaml", &book("good bye"));
    story.said(0, &["runbook", "save", &file, "--sign"]);
    assert_eq!(greet(&story.read(0, &["runbook", "ls"]))["signed"]["holds"], true);
    let versions = story.said(0, &["runbook", "versions", "greet"]);
    let table = text(&versions.stdout);
    assert_eq!(table.matches(verified["by"].as_str().unwrap()).count(), 5, "{table}");
    let log = story.read(0, &["audit", "--method", "runbooks.sign"]);
    assert!(log.to_string().contains(key), "{log}");
}
