//! Every pane of the client, opened by somebody who may do next to nothing: what may not be seen is said to be so,
//! nothing is waited for that never comes, and nothing is offered that is refused.

mod support;

use cmdr_protocol::CallError;
use cmdr_protocol::role::Role;
use cmdr_tui::panes::TABS;
use std::sync::{Arc, Mutex};
use support::{Setup, World, some_hosts};

/// What everybody may about their own, and what any right on a host brings with it.
const ANYBODY: [&str; 8] = [
    "hosts.list",
    "hosts.resolve",
    "hosts.watch",
    "roles.mine",
    "roles.list",
    "roles.matrix",
    "roles.can-i",
    "operators.whoami",
];

/// A client of somebody with these verbs at a hub that refuses all others, and what was refused.
async fn world(verbs: &[&str]) -> (World, Arc<Mutex<Vec<&'static str>>>) {
    let verbs: Vec<String> = verbs.iter().chain(&ANYBODY).map(|verb| (*verb).to_owned()).collect();
    let role = Role::parse("narrow").expect("a name");
    let setup = Setup { role, verbs: Some(verbs.clone()), size: (120, 40), ..Setup::default() };
    let mut world = World::new(setup).await;
    let refused = Arc::<Mutex<Vec<_>>>::default();
    let (seen, may) = (refused.clone(), verbs.clone());
    world.far.refuse(move |asked| {
        if may.iter().any(|verb| verb == asked.method) {
            return None;
        }
        seen.lock().unwrap().push(asked.method);
        Some(CallError::denied(format!(
            "{} is not allowed for li@laptop: no grant of the role narrow has the verb {0}",
            asked.method
        )))
    });
    let mine = verbs.clone();
    world.far.answer(move |asked| match asked.method {
        "roles.mine" => {
            let hosts = asked.body["hosts"].as_array().cloned().unwrap_or_default();
            let hosts: Vec<_> = hosts.into_iter().map(|host| (host, mine.clone())).collect();
            Ok(serde_json::json!({ "hosts": hosts }))
        }
        _ => Ok(serde_json::json!({})),
    });
    world.fleet(some_hosts()).await;
    for _ in 0..3 {
        world.later(1).await;
    }
    (world, refused)
}

/// Nothing on the screen says that something is still to come.
fn check_settled(world: &World, at: &str) {
    let screen = world.screen();
    for word in ["Waiting for", "waiting for lines", "Reading …", "Loading", "Opening"] {
        assert!(!screen.contains(word), "{at} says {word:?}:\n{screen}");
    }
}

#[tokio::test]
async fn the_tabs_of_a_host_say_what_may_not_be_seen_there() {
    let (mut world, _) = world(&["exec.start"]).await;
    world.press("/web1<enter><enter>").await;
    for (n, tab) in TABS.iter().enumerate() {
        world.press(&(n + 1).to_string()).await;
        for _ in 0..3 {
            world.later(1).await;
        }
        check_settled(&world, tab.title);
        let screen = world.screen();
        assert!(screen.contains("is not allowed for li@laptop"), "{}:\n{screen}", tab.title);
    }
}

#[tokio::test]
async fn panes_of_the_fleet_that_may_not_be_seen_are_not_gone_to_and_say_so() {
    for key in ["A", "O", "I", "P", "W", "E", "S", "!", "L", "C-p"] {
        let (mut world, refused) = world(&["exec.start"]).await;
        world.press(key).await;
        for _ in 0..3 {
            world.later(1).await;
        }
        check_settled(&world, key);
        assert!(refused.lock().unwrap().is_empty(), "{key}: {:?}", refused.lock().unwrap());
    }
}

#[tokio::test]
async fn help_and_palette_offer_nothing_that_is_refused() {
    let (mut world, _) = world(&["exec.start"]).await;
    world.press("?").await;
    for refused in ["forget", "rename", "label", "approve"] {
        world.check_hides(&format!(" {refused} "));
    }
    world.press("<esc>:").await;
    world.check_hides("audit log");
}
