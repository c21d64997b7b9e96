//! `cmdr ssh` on a real terminal, to a real server that has no agent; and from the hub's own machine.

use crate::local::{Home, text};
use harness::process::{HubProcess, pause, program, run};
use harness::sshd::{Lets, PASSWORD, Sshd, USER};
use harness::tmux::Terminal;
use std::process::Command;
use std::time::{Duration, Instant};

fn open(home: &Home, name: &str, words: &str) -> Terminal {
    let dir = home.dir.path().join(name);
    std::fs::create_dir(&dir).unwrap();
    let cmdr = program("cmdr").to_string_lossy().into_owned();
    let home_dir = home.dir.path().to_string_lossy().into_owned();
    let env = [("CMDR_HOME", home_dir.as_str()), ("LANG", "C.UTF-8"), ("HOME", &home_dir)];
    let line = format!("{cmdr} {words}; echo left with $?; exec sleep 600");
    Terminal::start(&dir, (100, 24), &env, &["sh", "-c", &line])
}

#[tokio::test]
async fn a_machine_without_an_agent_is_confirmed_logged_in_to_left_and_found_again() {
    let home = Home::up();
    let mut sshd = Sshd::start(&home.dir.path().join("sshd"), Lets::Password).await;
    let target = format!("{USER}@127.0.0.1:{}", sshd.port);
    let first = open(&home, "first", &format!("ssh {target}"));
    // The terminal breaks the line within it.
    first.until(&[&sshd.fingerprint()[..20], "Type yes to go on"]);
    first.line("yes");
    first.until(&[&format!("Password of {target}")]);
    first.line("wrong");
    first.until(&["that was not right"]);
    first.line(PASSWORD);
    first.until(&["leaves it running"]);
    first.line("echo i am $(id -un)");
    let screen = first.until(&[&format!("i am {USER}")]);
    assert!(!screen.contains(PASSWORD), "{screen}");
    first.keys(&["C-\\"]);
    first.keys(&["d"]);
    first.until(&["left with 0", "cmdr attach"]);
    let sessions = home.json(&["sessions", "-o", "json"]);
    assert_eq!(sessions[0]["command"], serde_json::json!(["ssh", target]), "{sessions}");
    assert_eq!(sessions[0]["ssh"], target);
    let id = sessions[0]["id"].as_str().unwrap();
    let second = open(&home, "second", &format!("attach {id}"));
    second.until(&[&format!("i am {USER}")]);
    second.line("exit 7");
    second.until(&["left with 7"]);
    // Where one was is remembered, and the machine is known.
    let known = home.json(&["ssh-hosts", "-o", "json"]);
    assert_eq!(known[0]["fingerprint"], sshd.fingerprint(), "{known}");
    let third = open(&home, "third", "ssh 127.0.0.1");
    third.until(&[&format!("Password of {target}")]);
    third.line(PASSWORD);
    third.until(&["leaves it running"]);
    third.line("exit");
    third.until(&["left with 0"]);
    // Set up anew, it is another machine.
    sshd.renew().await;
    let fourth = open(&home, "fourth", "ssh 127.0.0.1");
    let screen = fourth.until(&["HAS CHANGED", "left with 255"]);
    assert!(screen.replace('\n', "").contains(&sshd.fingerprint()), "{screen}");
    let via = home.json(&["hosts", "-o", "json"])[0]["name"].as_str().unwrap().to_owned();
    let place = format!("127.0.0.1:{}", sshd.port);
    let output = home.cmdr(&["ssh-hosts", "forget", "--via", &via, "--yes", &place]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[tokio::test]
async fn the_hubs_own_machine_opens_sessions_and_is_no_target_of_commands_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let sshd = Sshd::start(&at("sshd"), Lets::KeysOnly).await;
    let settings =
        format!("[ssh]\nprogram = {:?}\nnetworks = [\"127.0.0.0/8\"]\n", program("cmdr-agentd"));
    std::fs::write(at("hub.toml"), settings).unwrap();
    let mut hub = HubProcess::unstarted(tempfile::tempdir().unwrap());
    hub.options = vec!["--config".into(), at("hub.toml").to_str().unwrap().into()];
    hub.start_again();
    let until = |what: &str, holds: &mut dyn FnMut() -> bool| {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_mins(1), "never: {what}");
            pause();
        }
    };
    let token = hub.command(&["token", "-q", "--operator", "administrator"]);
    let token =
        token.split_whitespace().find(|word| word.starts_with("cmdr1-")).unwrap().to_owned();
    let cmdr = |args: &[&str]| {
        run(Command::new(program("cmdr"))
            .args(args)
            .env("CMDR_HOME", at("home"))
            .env("HOME", at("home")))
    };
    let login = cmdr(&["login", &token]);
    assert!(login.status.success(), "{}", text(&login.stderr));
    until("the hub's host is online", &mut || {
        let hosts = text(&cmdr(&["hosts", "-o", "json"]).stdout);
        hosts.contains("\"hub\"") && hosts.contains("online")
    });
    let (target, key) = (format!("{USER}@127.0.0.1:{}", sshd.port), sshd.key());
    let fingerprint = sshd.fingerprint();
    let words = ["ssh", "--via", "hub", "--detach", "-i", key.to_str().unwrap()];
    // A wrong one is refused, the right one goes without a question.
    let wrong = cmdr(&[&words[..], &["--fingerprint", "SHA256:other", &target]].concat());
    assert_eq!(wrong.status.code(), Some(255), "{}", text(&wrong.stderr));
    let begun = cmdr(&[&words[..], &["--fingerprint", &fingerprint, &target]].concat());
    assert!(begun.status.success(), "{}", text(&begun.stderr));
    let id = text(&begun.stdout).trim().to_owned();
    let listed = text(&cmdr(&["sessions"]).stdout);
    assert!(listed.contains(&id) && listed.contains(&target), "{listed}");
    // Nothing else is offered there, and a command for all does not mean it.
    let refused = cmdr(&["exec", "hub", "--", "true"]);
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
    let refused = cmdr(&["shell", "hub", "--detach"]);
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
    assert_eq!(cmdr(&["exec", "*", "--", "true"]).status.code(), Some(3));
    let ended = cmdr(&["sessions", "end", "--yes", "--host", "hub", &id]);
    assert!(ended.status.success(), "{}", text(&ended.stderr));
    // A hub that is killed takes it along: nothing is left that holds the folder.
    let agent = hub.data().join("ssh/agent");
    assert!(is_held(&agent));
    hub.kill();
    until("the hub's own agent has ended, too", &mut || !is_held(&agent));
}

/// Whether an agent runs on this folder.
fn is_held(state: &std::path::Path) -> bool {
    let file = std::fs::File::open(state.join("lock")).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err()
}
