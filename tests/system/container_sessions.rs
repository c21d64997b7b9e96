//! Sessions in containers of a real engine, at what a container itself runs, and commands whose outputs come apart.

use crate::sessions::{Seat, answered, list, of, recorded, rule};
use cmdr_agentd::agent::Config;
use cmdr_agentd::policy::Policy;
use cmdr_link::Client;
use cmdr_protocol::exec::{self, Outcome};
use cmdr_protocol::inside::{Exec, Open};
use cmdr_protocol::recordings::EventKind;
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Grant, Put};
use cmdr_protocol::sessions::{Attach, End, Input, Mode, Size};
use cmdr_protocol::{CallError, ErrorKind, Feed as _, HostId};
use harness::engine::{Engine, IMAGE, Name};
use harness::{BareAgent, World, until};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// A host with the engine.
pub(crate) async fn host(world: &World, name: &str, engine: &Engine) -> BareAgent {
    let mut config = Config::new(world.path(name));
    config.docker_socket = engine.socket();
    world.agent_with(name, config).await
}

fn words(argv: &[&str]) -> Vec<String> {
    argv.iter().map(|&word| word.to_owned()).collect()
}

fn open(container: &Name, argv: &[&str]) -> Open {
    let size = Size { columns: 80, rows: 24 };
    Open { container: container.to_string(), argv: words(argv), size, ..Open::default() }
}

fn run(container: &str, argv: &[&str]) -> Exec {
    Exec { container: container.into(), argv: words(argv), ..Exec::default() }
}

/// What a command has written and how it ended.
#[derive(Debug, Default)]
struct Ran {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    exit: exec::Exit,
}

async fn ran(
    client: &Client,
    host: HostId,
    exec: &Exec,
    input: &[&[u8]],
) -> Result<Ran, CallError> {
    let feed = client.feed(Some(host), exec).await?;
    let (mut items, mut inputs) = feed.split();
    let typing = async {
        for data in input {
            inputs.send(&exec::Input { data: data.to_vec(), ..exec::Input::default() }).await.ok();
        }
        inputs.send(&exec::Input { eof: true, ..exec::Input::default() }).await.ok();
        std::future::pending().await
    };
    let reading = async {
        let mut ran = Ran::default();
        while let Some(item) = items.next().await {
            let item = item?;
            ran.stdout.extend(item.stdout);
            ran.stderr.extend(item.stderr);
            ran.exit = item.exit.unwrap_or(ran.exit);
        }
        Ok(ran)
    };
    let both = async {
        tokio::select! {
            ran = reading => ran,
            never = typing => never,
        }
    };
    tokio::time::timeout(PATIENCE, both).await.expect("it ends")
}

/// What runs in a container.
fn processes(engine: &Engine, name: &Name) -> String {
    engine.docker(&["exec", name.as_str(), "ps", "-o", "args"])
}

#[tokio::test]
async fn a_session_in_a_container_is_left_found_again_by_the_next_agent_and_ends_with_the_shells_code()
 {
    let (engine, world) = (Engine::up(), World::start().await);
    let name = engine.name("s");
    engine.sleeper(&name);
    let agent = host(&world, "web", &engine).await;
    let ann = world.client(Role::OPERATOR).await;
    let ask = Open {
        env: [("COLOUR".to_owned(), "blue".to_owned())].into(),
        cwd: Some("/tmp".into()),
        ..open(&name, &["sh"])
    };
    let opened = ask.resource();
    let mut seat = Seat::take(&ann, agent.id, ask).await.unwrap();
    seat.types("echo in $(pwd) $COLOUR $TERM\r").await;
    seat.until("in /tmp blue xterm-256color").await;
    let size = Size { columns: 100, rows: 30 };
    seat.send(Input { size: Some(size), ..Input::default() }).await;
    seat.until_that("the size", |seat| seat.size == Some(size)).await;
    // The engine is told of it a moment later.
    seat.types("until [ \"$(stty size)\" = '30 100' ]; do sleep 0.05; done; echo si''zed\r").await;
    seat.until("sized").await;
    let listed = list(&ann, agent.id).await;
    assert_eq!(listed[0].command, words(&["docker", "exec", name.as_str(), "sh"]));
    assert_eq!((listed[0].opened.as_str(), listed[0].user.as_str()), (opened.as_str(), ""));
    let id = seat.id.clone();
    drop(seat);
    until("nobody is attached", async || list(&ann, agent.id).await[0].clients.is_empty()).await;
    drop(agent);
    let mut config = Config::new(world.path("web"));
    config.docker_socket = engine.socket();
    let agent = world.agent_with("web2", config).await;
    let again = Attach { id, mode: Mode::Drive, size, opened };
    let mut seat = Seat::take(&ann, agent.id, again).await.unwrap();
    seat.until("sized").await;
    seat.types("exit 7\r").await;
    let exit = seat.exit().await;
    assert_eq!((exit.outcome, exit.code), (Outcome::Exited, 7), "{}", seat.text());
    until("it is listed no more", async || list(&ann, agent.id).await.is_empty()).await;
}

#[tokio::test]
async fn a_session_that_is_ended_takes_its_program_with_it_and_the_container_goes_on() {
    let (engine, world) = (Engine::up(), World::start().await);
    let name = engine.name("e");
    engine.sleeper(&name);
    let agent = host(&world, "web", &engine).await;
    let ann = world.client(Role::OPERATOR).await;
    // Deaf to what is polite.
    let script = "trap '' HUP; echo re''ady; while :; do sleep 4321; done";
    let mut seat = Seat::take(&ann, agent.id, open(&name, &["sh", "-c", script])).await.unwrap();
    seat.until("ready").await;
    until("it runs", async || processes(&engine, &name).contains("sleep 4321")).await;
    let id = seat.id.clone();
    ann.call(Some(agent.id), &End { id }, PATIENCE).await.unwrap();
    let exit = seat.exit().await;
    assert_eq!(exit.outcome, Outcome::Closed);
    until("nothing of it is left", async || !processes(&engine, &name).contains("4321")).await;
    let state = engine.docker(&["inspect", "-f", "{{.State.Running}}", name.as_str()]);
    assert_eq!(state, "true");
}

#[tokio::test]
async fn what_a_container_itself_runs_is_attached_to_and_goes_on_when_the_session_ends() {
    let (engine, world) = (Engine::up(), World::start().await);
    let (shell, plain) = (engine.name("tty"), engine.name("plain"));
    let run = |name: &Name, how: &str, argv: &[&str]| {
        let begin = ["run", "-d", how, "--network", "none", "--name", name.as_str(), IMAGE];
        engine.docker(&[&begin[..], argv].concat());
    };
    run(&shell, "-it", &["sh"]);
    run(
        &plain,
        "-i",
        &["sh", "-c", "while read line; do echo got $line; [ $line = end ] && exit 5; done"],
    );
    let agent = host(&world, "web", &engine).await;
    let ann = world.client(Role::OPERATOR).await;
    let mut seat = Seat::take(&ann, agent.id, open(&shell, &[])).await.unwrap();
    seat.types("echo at'' the main\r").await;
    seat.until("at the main").await;
    seat.types("until [ \"$(stty size)\" = '24 80' ]; do sleep 0.05; done; echo si''zed\r").await;
    seat.until("sized").await;
    let id = seat.id.clone();
    ann.call(Some(agent.id), &End { id }, PATIENCE).await.unwrap();
    assert_eq!(seat.exit().await.outcome, Outcome::Closed);
    let state = engine.docker(&["inspect", "-f", "{{.State.Running}}", shell.as_str()]);
    assert_eq!(state, "true", "the container goes on");
    // Without a terminal there are lines, and the end of the container is that of the session.
    let mut seat = Seat::take(&ann, agent.id, open(&plain, &[])).await.unwrap();
    seat.types("one\r").await;
    seat.until("got one\r\n").await;
    seat.types("end\r").await;
    let exit = seat.exit().await;
    assert_eq!((exit.outcome, exit.code), (Outcome::Exited, 5), "{}", seat.text());
    let refused = Seat::take(&ann, agent.id, open(&plain, &[])).await.err().unwrap();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert!(refused.message.contains("start it first"), "{refused}");
}

#[tokio::test]
async fn a_session_in_a_container_is_recorded_where_sessions_are_and_its_end_is_in_the_audit_log() {
    let (engine, world) = (Engine::up(), World::start().await);
    let name = engine.name("r");
    engine.sleeper(&name);
    let agent = host(&world, "web", &engine).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    rule(&admin).await;
    let ann = world.client(Role::OPERATOR).await;
    let ask = Open {
        env: [("TOKEN".to_owned(), "s3cret".to_owned())].into(),
        ..open(&name, &["sh", "-c", "echo hel''lo; exit 3"])
    };
    let mut seat = Seat::take(&ann, agent.id, ask).await.unwrap();
    assert_eq!(seat.exit().await.code, 3);
    let id = seat.recording.expect("it is recorded, and said to be");
    drop(seat);
    let record = answered(&world, id).await;
    assert_eq!(record.resource, format!("container:{name}+env+command:sh"));
    let result = serde_json::to_string(&record.result).unwrap();
    assert!(result.contains('3') && !result.contains("s3cret"), "{result}");
    let (recording, events) = recorded(&admin, id).await;
    assert_eq!(recording.command, format!("sh -c 'echo hel'\\'''\\''lo; exit 3' in {name}"));
    assert!(of(EventKind::Output, &events).contains("hello"), "{events:?}");
}

#[tokio::test]
async fn a_command_has_its_outputs_apart_its_input_and_its_code() {
    let (engine, world) = (Engine::up(), World::start().await);
    let name = engine.name("x");
    engine.sleeper(&name);
    let agent = host(&world, "web", &engine).await;
    let ann = world.client(Role::OPERATOR).await;
    let script = "printf 'o\\001ut\\n'; printf '\\002err' >&2; exit 9";
    let exec = run(name.as_str(), &["sh", "-c", script]);
    let done = ran(&ann, agent.id, &exec, &[]).await.unwrap();
    assert_eq!(
        (done.stdout.as_slice(), done.stderr.as_slice()),
        (&b"o\x01ut\n"[..], &b"\x02err"[..])
    );
    assert_eq!((done.exit.outcome, done.exit.code), (Outcome::Exited, 9));
    // Much goes in and comes back, and the end of the input is one.
    let exec = Exec { stdin: true, ..run(name.as_str(), &["md5sum"]) };
    let piece = vec![b'x'; 60_000];
    let done = ran(&ann, agent.id, &exec, &vec![piece.as_slice(); 50]).await.unwrap();
    let shell = "head -c 3000000 /dev/zero | tr '\\0' x | md5sum";
    let wanted = engine.docker(&["exec", name.as_str(), "sh", "-c", shell]);
    assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), wanted);
    let exec = Exec { stdin: true, ..run(name.as_str(), &["cat"]) };
    let done = ran(&ann, agent.id, &exec, &vec![piece.as_slice(); 50]).await.unwrap();
    assert_eq!(done.stdout.len(), 3_000_000);
    let exec = Exec {
        user: Some("65534".into()),
        cwd: Some("/tmp".into()),
        env: [("A".to_owned(), "b c".to_owned())].into(),
        ..run(name.as_str(), &["sh", "-c", "id -u; pwd; echo $A"])
    };
    let done = ran(&ann, agent.id, &exec, &[]).await.unwrap();
    assert_eq!(done.stdout, b"65534\n/tmp\nb c\n");
}

#[tokio::test]
async fn a_command_ends_with_whoever_wanted_it_and_a_signal_reaches_it() {
    let (engine, world) = (Engine::up(), World::start().await);
    let name = engine.name("l");
    engine.sleeper(&name);
    let agent = host(&world, "web", &engine).await;
    let ann = world.client(Role::OPERATOR).await;
    let exec = run(name.as_str(), &["sh", "-c", "sleep 5432 & sleep 5433; true"]);
    let feed = ann.feed(Some(agent.id), &exec).await.unwrap();
    until("it runs", async || processes(&engine, &name).contains("sleep 5433")).await;
    drop(feed);
    until("it has gone", async || !processes(&engine, &name).contains("sleep 543")).await;
    let exec = run(
        name.as_str(),
        &["sh", "-c", "trap 'exit 6' USR1; echo go; while :; do sleep 0.1; done"],
    );
    let mut feed = ann.feed(Some(agent.id), &exec).await.unwrap();
    assert_eq!(feed.next().await.unwrap().unwrap().stdout, b"go\n");
    feed.send(&exec::Input { signal: Some(10), ..exec::Input::default() }).await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, feed.next()).await.expect("it ends");
    assert_eq!(ended.unwrap().unwrap().exit.unwrap().code, 6);
}

#[tokio::test]
async fn what_cannot_be_run_is_told_in_the_engines_own_words() {
    let (engine, world) = (Engine::up(), World::start().await);
    let (name, stopped) = (engine.name("w"), engine.name("stopped"));
    engine.sleeper(&name);
    engine.docker(&["create", "--network", "none", "--name", stopped.as_str(), IMAGE]);
    let agent = host(&world, "web", &engine).await;
    let ann = world.client(Role::OPERATOR).await;
    let refused = async |exec: Exec| ran(&ann, agent.id, &exec, &[]).await.unwrap_err();
    let none = refused(run("no-such-container", &["true"])).await;
    assert_eq!(none.kind, ErrorKind::NotFound);
    assert!(none.message.contains("No such container"), "{none}");
    let still = refused(run(stopped.as_str(), &["true"])).await;
    assert_eq!(still.kind, ErrorKind::Conflict);
    for bad in ["../images/json", "a b", "", "x\u{1b}[2J"] {
        assert_eq!(refused(run(bad, &["true"])).await.kind, ErrorKind::Malformed, "{bad:?}");
    }
    assert_eq!(refused(run(name.as_str(), &[])).await.kind, ErrorKind::Malformed);
    let missing = ran(&ann, agent.id, &run(name.as_str(), &["/no/such"]), &[]).await.unwrap();
    assert!(matches!(missing.exit.code, 126 | 127), "{missing:?}");
    let said = [missing.stdout, missing.stderr].concat();
    assert!(String::from_utf8_lossy(&said).contains("/no/such"), "{said:?}");
    // An engine that is not there.
    let mut config = Config::new(world.path("bare"));
    config.docker_socket = world.path("no.sock");
    let bare = world.agent_with("bare", config).await;
    let absent = ran(&ann, bare.id, &run("web", &["true"]), &[]).await.unwrap_err();
    assert!(absent.message.contains("no Docker engine"), "{absent}");
    let absent = Seat::take(&ann, bare.id, open(&name, &["sh"])).await.err().unwrap();
    assert!(absent.message.contains("no Docker engine"), "{absent}");
}

#[tokio::test]
async fn a_grant_names_the_container_and_the_command_and_the_hosts_owner_has_the_last_word() {
    let (engine, world) = (Engine::up(), World::start().await);
    let (name, other) = (engine.name("g"), engine.name("o"));
    engine.sleeper(&name);
    engine.sleeper(&other);
    let agent = host(&world, "web", &engine).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let role = Role::parse("doctors").unwrap();
    let grant = Grant {
        verbs: vec!["inside.*".into()],
        resources: vec![format!("container:{name}+command:id")],
        ..Grant::default()
    };
    let put = Put { name: role, description: String::new(), grants: vec![grant] };
    admin.call(None, &put, PATIENCE).await.unwrap();
    let bob = world.client(role).await;
    assert_eq!(ran(&bob, agent.id, &run(name.as_str(), &["id"]), &[]).await.unwrap().exit.code, 0);
    let by_root = Exec { user: Some("root".into()), ..run(name.as_str(), &["id"]) };
    let elsewhere = run(other.as_str(), &["id"]);
    for wrong in [by_root, elsewhere, run(name.as_str(), &["sh"])] {
        let refused = ran(&bob, agent.id, &wrong, &[]).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Denied, "{}", wrong.resource());
    }
    let ann = world.client(Role::OPERATOR).await;
    for (n, (text, runs, opens)) in [
        ("[services]\ninside = false\n", false, false),
        ("[services]\nsessions = false\n", true, false),
        ("[services]\nexec = false\n", false, true),
        ("[exec]\nusers = [\"nobody\"]\n", false, false),
        ("[exec]\nusers = [\"nobody\"]\n[services]\ninside = true\n", true, true),
    ]
    .into_iter()
    .enumerate()
    {
        let mut config = Config::new(world.path(&format!("p{n}")));
        config.docker_socket = engine.socket();
        config.policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), text).unwrap();
        let agent = world.agent_with(&format!("p{n}"), config).await;
        let ran = ran(&ann, agent.id, &run(name.as_str(), &["true"]), &[]).await;
        assert_eq!(ran.is_ok(), runs, "{text}: {ran:?}");
        let seat = Seat::take(&ann, agent.id, open(&name, &["true"])).await;
        assert_eq!(seat.is_ok(), opens, "{text}");
        if let Err(e) = ran {
            assert!(e.message.contains("agent.toml"), "{e}");
        }
    }
}
