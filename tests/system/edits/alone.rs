//! A real agent as a process: killed at any moment, without a hub, too late.

use super::{Asking, LATER, SOON, left, named};
use cmdr_link::packed::pack;
use cmdr_protocol::edits::{ArmedEnd, Confirm, KEPT, Revert, Save, Versions};
use cmdr_protocol::role::Role;
use harness::{World, until, until_some};
use std::path::PathBuf;
use std::time::Duration;

/// A real agent as a process, joined to a hub in this one.
struct Alone {
    world: World,
    ask: Asking,
    state: PathBuf,
    dir: PathBuf,
    _folder: tempfile::TempDir,
    running: Option<harness::process::Running>,
}

impl Alone {
    async fn new() -> Self {
        use cmdr_protocol::tokens::TokenKind;
        let world = World::start().await;
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().canonicalize().unwrap().join("files");
        std::fs::create_dir(&dir).unwrap();
        let state = folder.path().join("agent");
        let token = world.token(TokenKind::Host, Role::NONE, 1).await;
        let program = harness::process::program("cmdr-agentd");
        let (at, join) = (state.clone(), program.clone());
        let joined = tokio::task::spawn_blocking(move || {
            let mut command = std::process::Command::new(join);
            command.args(["join", "--name", "alone", "--state"]).arg(at).arg(token);
            harness::process::run(&mut command)
        });
        let joined = joined.await.unwrap();
        assert!(joined.status.success(), "{joined:?}");
        let host = until_some("the host is known", async || {
            world.hub.fleet.hosts().iter().find_map(|host| host.id)
        })
        .await;
        let ask = Asking { client: world.client(Role::OPERATOR).await, host };
        let mut alone = Self { world, ask, state, dir, _folder: folder, running: None };
        alone.start();
        alone.until_online().await;
        alone
    }

    fn start(&mut self) {
        let mut command = std::process::Command::new(harness::process::program("cmdr-agentd"));
        command.args(["run", "--state"]).arg(&self.state);
        let log = self.state.with_extension("log");
        self.running = Some(harness::process::Running::start(&mut command, &log));
    }

    async fn until_online(&self) {
        until("the agent answers", async || {
            let versions = Versions { path: named(&self.dir.join("conf")) };
            let patience = Duration::from_secs(2);
            self.ask.client.call(Some(self.ask.host), &versions, patience).await.is_ok()
        })
        .await;
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.dir.join("conf")).unwrap()
    }
}

#[tokio::test]
async fn an_agent_that_is_killed_at_any_moment_leaves_one_text_or_the_other_and_keeps_its_word() {
    let mut alone = Alone::new().await;
    let path = named(&alone.dir.join("conf"));
    std::fs::write(alone.dir.join("conf"), "text 0\n".repeat(3000)).unwrap();
    let mut before = alone.text();
    let (mut made, mut not_made) = (0, 0);
    for round in 1..=16_u64 {
        let mut random = [0; 2];
        getrandom(&mut random);
        let after = format!("text {round}\n").repeat(3000);
        let ask = alone.ask.clone();
        let (to, text) = (path.clone(), after.clone());
        let (opened, _) = ask.open(&path).await.unwrap();
        let saving = tokio::spawn(async move {
            let expect = Some(opened.content.hash);
            let content = pack(text.as_bytes()).unwrap();
            let save = Save { path: to, content, expect, confirm_s: LATER, ..Save::default() };
            ask.call(save).await
        });
        // From before anything is done to after everything is.
        let moment = Duration::from_micros(u64::from(u16::from_le_bytes(random)) * 40_000 / 65_536);
        tokio::time::sleep(moment).await;
        alone.running.take().unwrap().kill();
        drop(saving.await.unwrap());
        let there = alone.text();
        assert!(there == before || there == after, "round {round}: a text that nobody wrote");
        alone.start();
        alone.until_online().await;
        assert_eq!(left(&alone.dir), 0, "round {round}");
        let state = alone.ask.state().await;
        let there = alone.text();
        if there == after {
            // It was done, so it is known and can be undone.
            made += 1;
            let armed = &state.armed[0];
            assert!(armed.left_ms <= 600_000 && armed.left_ms > 0, "{armed:?}");
            let id = armed.id.clone();
            if round % 2 == 0 {
                alone.ask.call(Confirm { path: path.clone(), id }).await.unwrap();
                before = after;
            } else {
                alone.ask.call(Revert { path: path.clone(), id }).await.unwrap();
            }
        } else {
            not_made += 1;
            assert_eq!(state.armed, [], "round {round}");
        }
        assert!(alone.text() == before, "round {round}");
    }
    println!("killed after the change {made} times, before it {not_made} times");
    let numbers = alone.ask.versions(&path).await;
    assert!(numbers.len() <= KEPT);
}

fn getrandom(bytes: &mut [u8]) {
    use std::io::Read as _;
    std::fs::File::open("/dev/urandom").unwrap().read_exact(bytes).unwrap();
}

#[tokio::test]
async fn an_edit_is_undone_without_a_hub_and_across_the_agents_death() {
    let mut alone = Alone::new().await;
    let path = named(&alone.dir.join("conf"));
    std::fs::write(alone.dir.join("conf"), "old\n").unwrap();
    // The hub goes: the agent does it alone.
    alone.ask.armed(&path, "new\n", SOON).await;
    assert_eq!(alone.text(), "new\n");
    alone.world = alone.world.restart().await;
    let host = alone.ask.host;
    alone.ask = Asking { client: alone.world.client(Role::OPERATOR).await, host };
    until("it is undone", async || alone.text() == "old\n").await;
    alone.until_online().await;
    assert_eq!(alone.ask.state().await.ended[0].how, ArmedEnd::Undone);
    // The agent dies and comes back while there is time: it goes on waiting.
    alone.ask.armed(&path, "new\n", LATER).await;
    alone.running.take().unwrap().kill();
    alone.start();
    alone.until_online().await;
    let state = alone.ask.state().await;
    assert!(alone.text() == "new\n" && state.armed[0].left_ms <= 600_000);
    let revert = Revert { path: path.clone(), id: state.armed[0].id.clone() };
    alone.ask.call(revert).await.unwrap();
    // It comes back too late: the first that it does is to undo it, whether there is a hub or not.
    alone.ask.armed(&path, "new\n", SOON).await;
    alone.running.take().unwrap().kill();
    let over = cmdr_link::clock::now_ms() + 5000;
    until("the time is over", async || cmdr_link::clock::now_ms() > over).await;
    assert_eq!(alone.text(), "new\n");
    drop(std::mem::replace(&mut alone.world, World::start().await));
    alone.start();
    until("it is undone", async || alone.text() == "old\n").await;
}
