//! Sessions over SSH to machines without an agent: what is asked before one begins.

use crate::shell::{at_list, begun, came, sent, setup, typed};
use crate::support::pictures::each_of;
use crate::support::*;
use cmdr_protocol::sessions::*;
use cmdr_protocol::{CallError, ErrorKind, ssh};

/// At a session over SSH that is being begun.
async fn over_ssh(setup: Setup) -> World {
    let mut world = at_list(setup).await;
    world.press("@").await;
    world.press("deploy@db7:2222<tab><tab>uptime<enter>").await;
    // Keys are looked for on another thread.
    while !world.feeds().contains(&(Some(id(1)), "ssh.open")) {
        world.idle().await;
        tokio::task::yield_now().await;
    }
    world.idle().await;
    world
}

fn host_key() -> ssh::Question {
    let key = ssh::HostKey {
        host: "db7".into(),
        port: 2222,
        key: "ssh-ed25519 AAAA".into(),
        fingerprint: "SHA256:Q3OeyLBcqPfQPk6Mm9TlSaZ2q1oQ1mMFCgkvyUcVHj8".into(),
        standing: ssh::Standing::New,
    };
    ssh::Question { host_key: Some(key), ..ssh::Question::default() }
}

fn password(again: bool) -> ssh::Question {
    let prompt = ssh::Prompt { text: "Password of deploy@db7:2222".into(), echo: false };
    let typed = ssh::Typed { about: "\u{1b}[31mhello".into(), again, prompts: vec![prompt] };
    ssh::Question { typed: Some(typed), ..ssh::Question::default() }
}

async fn asks(world: &mut World, question: ssh::Question) {
    came::<ssh::Open>(world, Item { ask: Some(question), ..Item::default() }).await;
    world.idle().await;
}

#[tokio::test]
async fn a_session_over_ssh_is_asked_for_confirmed_and_logged_in_to() {
    let mut world = over_ssh(setup()).await;
    let asked = world.far.take_asked();
    let open = asked.iter().find(|asked| asked.method == "ssh.open").expect("opened");
    assert_eq!(open.to, Some(id(1)));
    let wanted = ["host", "port", "user", "command"].map(|field| open.body[field].clone());
    assert_eq!(serde_json::json!(wanted), serde_json::json!(["db7", 2222, "deploy", "uptime"]));
    asks(&mut world, host_key()).await;
    world.check_shows("SHA256:Q3OeyLBcqPfQPk6Mm9TlSaZ2q1oQ1mMFCgkvyUcVHj8");
    sent(&world);
    world.press("y").await;
    world.idle().await;
    let asked = world.far.take_asked();
    let trust = asked.iter().find(|asked| asked.method == "ssh.trust").expect("trusted");
    assert_eq!(trust.body["key"], "ssh-ed25519 AAAA");
    let answers: Vec<_> = sent(&world).into_iter().filter_map(|input| input.answer).collect();
    assert!(answers.len() == 1 && answers[0].go_on);
    asks(&mut world, password(false)).await;
    world.press("s3cret <enter>").await;
    world.idle().await;
    let answers: Vec<_> = sent(&world).into_iter().filter_map(|input| input.answer).collect();
    assert_eq!(answers[0].typed, ["s3cret "], "blanks belong to it");
    begun::<ssh::Open>(&mut world, Mode::Drive).await;
    came::<ssh::Open>(&mut world, Item { output: b"$ ".to_vec(), ..Item::default() }).await;
    world.check_shows("you drive");
    world.press("ls<enter>").await;
    assert_eq!(typed(&world), "ls\r");
}

#[tokio::test]
async fn what_is_asked_looks_right_at_each_size_in_each_language_and_hides_what_is_typed() {
    for setup in each_of(setup()) {
        let mut world = at_list(setup.clone()).await;
        world.press("@deploy@db7").await;
        snap!("ssh_form", world);
        let mut world = over_ssh(setup).await;
        asks(&mut world, host_key()).await;
        snap!("ssh_host_key", world);
        world.press("<esc>").await;
        let answers: Vec<_> = sent(&world).into_iter().filter_map(|input| input.answer).collect();
        assert!(!answers[0].go_on, "nothing was confirmed");
        asks(&mut world, password(true)).await;
        world.press("canary").await;
        world.check_hides("canary");
        snap!("ssh_password", world);
    }
}

#[tokio::test]
async fn what_was_refused_over_ssh_is_said_in_the_form_and_may_be_tried_again() {
    let mut world = over_ssh(setup()).await;
    let refused =
        CallError::new(ErrorKind::Unreachable, "db7:2222 cannot be reached from this host");
    world.far.fail::<ssh::Open>(Some(id(1)), &refused);
    world.idle().await;
    world.idle().await;
    world.check_shows("db7:2222 cannot be reached from this host");
    world.check_shows("deploy@db7:2222");
}
