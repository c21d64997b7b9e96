//! Every pane of the client, opened by somebody who may do next to nothing: what may not be seen is said to be so,
//! nothing is waited for that never comes, and nothing is offered that is refused.

use crate::support::{Setup, World, id, some_hosts, some_processes};
use cmdr_protocol::methods::METHODS;
use cmdr_protocol::role::Role;
use cmdr_protocol::{Access, CallError, approvals, processes};
use cmdr_tui::keymap::Command;
use cmdr_tui::panes::{TABS, places};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

type Refused = Arc<Mutex<Vec<&'static str>>>;

/// What everybody may about their own, and what any right on a host brings with it.
fn anybody() -> Vec<&'static str> {
    let all = METHODS.iter();
    let of = all.filter(|m| matches!(m.access, Access::Open | Access::Own) || m.shows_hosts());
    of.map(|method| method.name).collect()
}

/// All that looks and changes nothing.
fn looks() -> Vec<&'static str> {
    let looks = METHODS.iter().filter(|method| method.access == Access::Read);
    looks.map(|method| method.name).collect()
}

/// A client of somebody with these verbs at a hub that refuses all others, and what was refused.
async fn world(verbs: &[&'static str]) -> (World, Refused) {
    let verbs: Vec<&str> = verbs.iter().copied().chain(anybody()).collect();
    let role = Role::parse("narrow").expect("a name");
    let told = verbs.iter().map(|verb| (*verb).to_owned()).collect();
    let setup = Setup { role, verbs: Some(told), size: (120, 40), ..Setup::default() };
    let mut world = World::new(setup).await;
    let refused = Refused::default();
    let (seen, may) = (refused.clone(), verbs.clone());
    world.far.refuse(move |asked| {
        if may.contains(&asked.method) {
            return None;
        }
        seen.lock().expect("whole").push(asked.method);
        Some(CallError::denied(format!(
            "{} is not allowed for li@laptop: no grant of the role narrow has the verb {0}",
            asked.method
        )))
    });
    world.far.answer(move |asked| match asked.method {
        "roles.mine" => {
            let hosts = asked.body["hosts"].as_array().cloned().unwrap_or_default();
            let hosts: Vec<_> = hosts.into_iter().map(|host| (host, verbs.clone())).collect();
            Ok(serde_json::json!({ "hosts": hosts }))
        }
        _ => Ok(serde_json::json!({})),
    });
    world.fleet(some_hosts()).await;
    let nothing = approvals::Listing { may_ask: Some(Vec::new()), ..Default::default() };
    world.far.push::<approvals::Watch>(None, &nothing);
    settle(&mut world).await;
    (world, refused)
}

async fn settle(world: &mut World) {
    for _ in 0..3 {
        world.later(1).await;
    }
}

/// Keys that mean something anywhere, but those that go to another tab or list, or end or stop the client.
fn all_keys() -> BTreeSet<&'static str> {
    use Command::{Quit, Suspend, TabNext, TabPrevious, Tabs};
    let bindings = places().into_iter().flat_map(|(_, tables)| tables).flatten();
    bindings
        .filter(|b| !matches!(b.command, Quit | Suspend | TabNext | TabPrevious | Tabs))
        .flat_map(|binding| binding.keys.iter().copied())
        .filter(|key| {
            let moves = ["2", "3", "4", "5", "<tab>", "<backtab>", "[", "]", "<left>", "<right>"];
            // With Shift they are the same on all pages but the one that has them.
            !moves.contains(&key.trim_start_matches("S-"))
        })
        .collect()
}

/// Nothing on the screen says that something is still to come.
fn check_settled(world: &World, at: &str) {
    const COMES: [&str; 6] =
        ["Waiting for", "waiting for lines", "attaching", "asking what", "reading…", "are coming"];
    let screen = world.screen();
    for word in COMES {
        assert!(!screen.contains(word), "{at} says {word:?}:\n{screen}");
    }
}

#[tokio::test]
async fn the_tabs_of_a_host_say_what_may_not_be_seen_there() {
    let (mut world, _) = world(&["exec.start"]).await;
    world.press("/web1<enter><enter>").await;
    for (n, tab) in TABS.iter().enumerate() {
        world.press(&(n + 1).to_string()).await;
        settle(&mut world).await;
        // Only the system page has more than one list, each with a right of its own.
        let lists = if tab.title == "system.title" { 7 } else { 1 };
        for list in 0..lists {
            check_settled(&world, tab.title);
            let screen = world.screen();
            let said = screen.contains("is not allowed for li@laptop");
            assert!(said, "{} {list}:\n{screen}", tab.title);
            if lists > 1 {
                world.press("]").await;
                settle(&mut world).await;
            }
        }
    }
}

#[tokio::test]
async fn panes_of_the_fleet_that_may_not_be_seen_are_not_gone_to_and_say_so() {
    for key in ["A", "O", "I", "P", "W", "E", "S", "J", "K", "B", "U", "&", "!", "L", "C-p"] {
        let (mut world, refused) = world(&["exec.start"]).await;
        world.press(key).await;
        settle(&mut world).await;
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

#[tokio::test]
async fn no_key_on_any_tab_of_a_host_asks_for_what_is_refused() {
    let mut wrong = Vec::new();
    for (n, tab) in TABS.iter().enumerate() {
        for key in all_keys() {
            let (mut world, refused) = world(&["exec.start"]).await;
            world.press(&format!("/web1<enter><enter>{}", n + 1)).await;
            settle(&mut world).await;
            refused.lock().unwrap().clear();
            world.press(key).await;
            world.press("<enter>").await;
            world.later(60).await;
            settle(&mut world).await;
            if !refused.lock().unwrap().is_empty() {
                wrong.push(format!("{} of {}: {:?}", key, tab.title, refused.lock().unwrap()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn who_only_looks_is_offered_no_change_by_any_key_of_the_fleet_and_of_processes() {
    let mut wrong = Vec::new();
    for (at, way) in [("hosts", "/web1<enter>"), ("processes", "/web1<enter><enter>2")] {
        for key in all_keys() {
            let (mut world, refused) = world(&looks()).await;
            world.press(way).await;
            world.far.push::<processes::Watch>(Some(id(1)), &some_processes());
            settle(&mut world).await;
            world.press(key).await;
            world.press("<enter><enter>").await;
            settle(&mut world).await;
            if !refused.lock().unwrap().is_empty() {
                wrong.push(format!("{key} at {at}: {:?}", refused.lock().unwrap()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
