//! The hub's own key is replaced while the hub or the agent is killed at each step: the hub starts with a
//! definite state, and everybody comes back without joining again.

use crate::hostkeys::Scene;
use cmdr_link::hubkeys::HubKeys;
use cmdr_link::pins::Pins;
use harness::process::{pause, program, run};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn phase(scene: &Scene) -> String {
    let begin = Instant::now();
    loop {
        let shown = scene.done(&["hub", "rotate-key", "status", "-o", "json"]);
        if shown.status.success() {
            let told: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
            return told["phase"].as_str().unwrap().to_owned();
        }
        let error = String::from_utf8_lossy(&shown.stderr).into_owned();
        assert!(begin.elapsed() < Duration::from_secs(20), "{error}");
        pause();
    }
}

/// Goes on with a step until it is done.
fn insist(scene: &Scene, step: &str, after: &str) {
    let begin = Instant::now();
    while phase(scene) != after {
        let mut arguments = vec!["hub", "rotate-key", step, "-q"];
        if step != "begin" {
            arguments.push("--yes");
        }
        let done = scene.done(&arguments);
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(begin.elapsed() < Duration::from_secs(30), "{step}: {error}");
        pause();
    }
}

#[test]
fn everybody_stays_joined_whoever_is_killed_while_the_hub_gets_another_key() {
    let mut scene = Scene::start();
    let key = |scene: &Scene| HubKeys::load(&scene.hub.data().join("hub.key")).unwrap();
    let first = key(&scene).current.public();
    let mut old = first;
    let file = scene.hub.dir.path().join("before");
    scene.hub.command(&["backup", file.to_str().unwrap()]);
    for round in 0..6 {
        let steps = [("begin", "announced"), ("switch", "switched"), ("finish", "none")];
        let mut before = "none";
        for (step, after) in steps {
            let mut rotating = scene.cmdr(&["hub", "rotate-key", step, "-q"]);
            if step != "begin" {
                rotating.arg("--yes");
            }
            let mut rotating =
                rotating.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            for _ in 0..(round / 2) * 2 {
                pause();
            }
            if round % 2 == 0 {
                scene.hub.kill();
                scene.hub.start_again();
            } else {
                scene.agent.take().unwrap().kill();
                scene.start_agent();
            }
            rotating.wait().unwrap();
            let phase = phase(&scene);
            assert!(phase == before || phase == after, "{step} in round {round}: {phase}");
            insist(&scene, step, after);
            scene.until_online();
            before = after;
        }
        let now = key(&scene);
        assert_ne!(now.current.public(), old, "round {round}");
        assert_eq!((now.coming(), now.sealing().public()), (None, first), "round {round}");
        old = now.current.public();
    }
    for dir in [scene.state.clone(), scene.home.join("client")] {
        let begin = Instant::now();
        while Pins::load(&dir).map(|pins| (pins.key, pins.next)).unwrap() != (old, None) {
            assert!(begin.elapsed() < Duration::from_secs(20), "{}", dir.display());
            assert!(scene.done(&["hub"]).status.success());
            pause();
        }
    }
    scene.hub.command(&["token", "list"]);
    scene.hub.command(&["audit", "verify"]);
    scene.hub.kill();
    scene.hub.command(&["audit", "verify"]);
    scene.hub.command(&["check"]);
    // A backup from before the first of these, in a new folder, with the key file of today.
    let place = scene.hub.dir.path().join("restored");
    let mut restore = Command::new(program("cmdr-hub"));
    restore.arg("--data").arg(&place).arg("restore").arg(&file);
    let done = run(restore.arg("--key").arg(scene.hub.data().join("hub.key")));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(HubKeys::load(&place.join("hub.key")).unwrap().current.public(), old);
}

/// Runs `cmdr` as a program does: with nothing but its key, in a home that may be new.
fn as_program(home: &Path, key: &str, arguments: &[&str]) -> (i32, String, String) {
    let ran = run(Command::new(program("cmdr"))
        .args(arguments)
        .env("CMDR_HOME", home)
        .env("CMDR_KEY", key)
        .stdin(Stdio::null()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (ran.status.code().unwrap(), text(&ran.stdout), text(&ran.stderr))
}

#[test]
fn keys_for_programs_go_on_after_the_hub_got_another_key() {
    let scene = Scene::start();
    scene.until_online();
    let made = |name: &str| {
        let made = scene.done(&["keys", "create", name, "--verb", "hosts.list"]);
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    };
    let (kept, renewed) = (made("kept"), made("renewed"));
    let home = tempfile::tempdir().unwrap();
    let new_home = || tempfile::tempdir().unwrap();
    let works = |home: &Path, key: &str| {
        let (code, _, error) = as_program(home, key, &["hosts"]);
        assert_eq!(code, 0, "{error}");
    };
    works(home.path(), &kept);

    insist(&scene, "begin", "announced");
    let (code, text, error) = as_program(new_home().path(), &renewed, &["keys", "renew"]);
    assert_eq!((code, text.as_str()), (1, ""), "{error}");
    assert!(error.contains("does not have its next key yet"), "{error}");
    insist(&scene, "switch", "switched");

    let finish = || {
        let refused = scene.done(&["hub", "rotate-key", "finish", "--yes"]);
        assert!(!refused.status.success());
        String::from_utf8(refused.stderr).unwrap()
    };
    let both = finish();
    assert!(both.contains("kept of") && both.contains("renewed of"), "{both}");
    // The first learns it over the old key, and comes with the new one from then on.
    works(home.path(), &kept);
    works(home.path(), &kept);
    // The other forgets what it learns, and has learnt nothing as far as the hub is concerned.
    works(new_home().path(), &renewed);
    let begin = Instant::now();
    loop {
        let one = finish();
        assert!(one.contains("renewed of"), "{one}");
        if !one.contains("kept of") {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{one}");
        pause();
    }
    let (code, text, error) = as_program(new_home().path(), &renewed, &["keys", "renew"]);
    assert_eq!(code, 0, "{error}");
    assert!(text.starts_with("cmdrkey1-") && text != renewed, "{error}");
    insist(&scene, "finish", "none");

    works(home.path(), &kept);
    works(new_home().path(), &text);
    let (code, again, _) = as_program(new_home().path(), &text, &["keys", "renew"]);
    assert_eq!((code, again.as_str()), (0, text.as_str()));
    let (code, _, error) = as_program(new_home().path(), &renewed, &["hosts"]);
    assert_eq!(code, 5, "the key of before is nobody's: {error}");
}
