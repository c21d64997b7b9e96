//! Programs on this machine.

use crate::lent::{Lent, content, place};
use cmdr_notify::{Channel, Command, Failure, Sent, send};
use std::time::{Duration, Instant};

async fn run(script: &str, timeout_s: u64) -> Result<Sent, Failure> {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let to = place(Channel::Command(Command { argv, timeout_s: Some(timeout_s) }));
    send(&to, &content(&["disk full; $(rm -rf /) `x`"]), &Lent::new(&[])).await
}

#[tokio::test]
async fn a_program_gets_the_message_on_its_input_and_nothing_of_our_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("got");
    let script = format!("(cat; env) > {}", file.display());
    assert_eq!(run(&script, 30).await, Ok(Sent::default()));
    let got = std::fs::read_to_string(file).unwrap();
    assert!(got.starts_with("[CRITICAL] disk full; $(rm -rf /) `x`\n\nfiring [CRITICAL]"), "{got}");
    assert!(got.contains("CMDR_NOTICE=hub-n7") && !got.contains("CARGO"), "{got}");
}

#[tokio::test]
async fn how_it_ends_says_whether_another_try_makes_sense() {
    for (script, later, what) in [
        ("echo no route >&2; exit 1", true, "ended with 1: “no route”"),
        ("exit 75", true, "ended with 75"),
        ("exit 64", false, "ended with 64"),
        ("kill -9 $$", true, "by a signal"),
        ("printf '\\033[2Jx'; exit 2", true, "“␛[2Jx”"),
    ] {
        let failure = run(script, 30).await.unwrap_err();
        assert_eq!(matches!(failure, Failure::Later { .. }), later, "{failure:?}");
        assert!(failure.what().contains(what), "{what}: {failure}");
    }
    let argv = vec!["/nowhere/to/be/found".to_owned()];
    let to = place(Channel::Command(Command { argv, timeout_s: None }));
    let failure = send(&to, &content(&["x"]), &Lent::new(&[])).await.unwrap_err();
    assert!(matches!(failure, Failure::Never { .. }), "{failure:?}");
}

/// Whether a process with this in its command line is there.
fn is_there(mark: &str) -> bool {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .any(|line| line.split(|b| *b == 0).any(|word| word == mark.as_bytes()))
}

#[tokio::test]
async fn when_its_time_is_over_it_and_all_that_it_began_are_ended() {
    let mark = format!("8{}.5", std::process::id());
    let began = Instant::now();
    let failure = run(&format!("sleep {mark} & sleep {mark}"), 1).await.unwrap_err();
    assert!(failure.what().contains("did not end within 1 s and was killed"), "{failure}");
    assert!(began.elapsed() < Duration::from_secs(20));
    let gone = async {
        while is_there(&mark) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
}

#[tokio::test]
async fn one_that_talks_without_end_or_does_not_listen_is_no_trouble() {
    let failure = run("exec cat /dev/zero", 60).await.unwrap_err();
    assert!(failure.what().contains("more than 16 MiB"), "{failure}");
    assert_eq!(run("exec <&-; exit 0", 30).await, Ok(Sent::default()));
}
