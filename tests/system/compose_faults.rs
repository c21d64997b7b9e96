//! Compose projects where something is wrong: files, images, ports, programs, engines, hosts, and ends in the middle.

use crate::compose::{deploy, file, hub, look, plan, save, service, to_end, will};
use crate::images::{agent, ask};
use cmdr_agentd::agent::Config;
use cmdr_agentd::policy::Policy;
use cmdr_protocol::ErrorKind;
use cmdr_protocol::compose::kept::{Deploy, Save};
use cmdr_protocol::compose::{Check, Down, Look, Will};
use cmdr_protocol::role::Role;
use harness::engine::{Engine, IMAGE};
use harness::{World, until_some};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn check(project: &str, text: &str) -> Check {
    Check { project: project.to_owned(), text: text.to_owned(), ..Check::default() }
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_said_with_its_place_and_nothing_stays_behind() {
    let (engine, world) = (Engine::up(), World::start().await);
    let here = agent(&world, "here", engine.socket()).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let ask = async |project: &str, text: &str| ask(&admin, here.id, check(project, text)).await;
    let torn = ask("web", "services:\n  web:\n    image: \"x\n").await.unwrap_err();
    assert_eq!(torn.kind, ErrorKind::Malformed, "{torn}");
    assert!(torn.message.contains("line"), "{torn}");
    // The compose program itself says this.
    let odd = ask("web", "services:\n  web:\n    imagee: x\n").await.unwrap_err();
    assert_eq!(odd.kind, ErrorKind::Malformed, "{odd}");
    assert!(odd.message.contains("services.web") && odd.message.contains("imagee"), "{odd}");
    assert!(!odd.message.contains(&*world.path("here").to_string_lossy()), "{odd}");
    for name in ["", "Web", "../web", "a b", "-x"] {
        let error = ask(name, &file(&[service("web", "")])).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed, "{name}: {error}");
    }
    let variables = Check {
        variables: "DOCKER_HOST=tcp://elsewhere:1\n".into(),
        ..check("web", &file(&[service("web", "")]))
    };
    let error = crate::images::ask(&admin, here.id, variables).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Malformed, "{error}");
    let error = hub(&admin, Save { name: "x".into(), ..Save::default() }).await.unwrap_err();
    assert!(error.message.contains("is empty"), "{error}");
    assert!(!world.path("here").join("compose/web").exists());
}

#[tokio::test]
async fn what_the_engine_refuses_is_said_and_the_next_time_goes_on() {
    let (engine, world) = (Engine::up(), World::start().await);
    let here = agent(&world, "here", engine.socket()).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let name = engine.name("refused");
    let missing = file(&[service("web", "")]).replace(IMAGE, "commander-none:9");
    hub(&admin, save(&name, &missing)).await.unwrap();
    let error = to_end(&admin, None, deploy(here.id, &name)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    assert!(error.message.contains("commander-none:9"), "{error}");

    // One service is refused, the other is there: what there is, is told.
    let bad =
        file(&[service("a", ""), service("b", "    depends_on: [a]\n    sysctls: {no.such: 1}\n")]);
    hub(&admin, save(&name, &bad)).await.unwrap();
    let error = to_end(&admin, None, deploy(here.id, &name)).await.unwrap_err();
    assert!(error.message.contains("no.such"), "{error}");
    let looked = ask(&admin, here.id, look(&name)).await.unwrap();
    assert_eq!(looked.services[0].will, Will::Leave, "{looked:?}");
    assert!(looked.drifted() == 1 && looked.version == 2, "{looked:?}");
    hub(&admin, save(&name, &file(&[service("a", ""), service("b", "")]))).await.unwrap();
    let (_, up) = to_end(&admin, None, deploy(here.id, &name)).await.unwrap();
    assert_eq!(will(&up), [("a", Will::Leave), ("b", Will::Leave)]);

    // A name that another container has.
    let other = engine.name("taken");
    engine.sleeper(&other);
    let more = format!("    container_name: {other}\n");
    hub(&admin, save(&name, &file(&[service("a", &more)]))).await.unwrap();
    let error = to_end(&admin, None, deploy(here.id, &name)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    let down = Down { project: name.to_string(), timeout_s: Some(1), ..Down::default() };
    to_end(&admin, Some(here.id), down).await.unwrap();
}

#[tokio::test]
async fn a_host_without_a_program_an_engine_or_a_link_is_said_and_others_go_on() {
    let (engine, world) = (Engine::up(), World::start().await);
    let here = agent(&world, "here", engine.socket()).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let name = engine.name("lonely");
    hub(&admin, save(&name, &file(&[service("web", "")]))).await.unwrap();

    let mut config = Config::new(world.path("bare"));
    config.docker_socket = engine.socket();
    config.program_path = Some(world.path("bare").into());
    let bare = world.agent_with("bare", config).await;
    let error = hub(&admin, plan(bare.id, &name)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    assert!(error.message.contains("cmdr packages install docker-compose"), "{error}");

    let dead = agent(&world, "dead", world.path("no.sock")).await;
    let error = to_end(&admin, None, deploy(dead.id, &name)).await.unwrap_err();
    assert!(
        error.message.contains("no Docker engine") || error.message.contains("docker"),
        "{error}"
    );

    let gone = agent(&world, "gone", engine.socket()).await;
    let id = gone.id;
    drop(gone);
    let error = until_some("the host is away", async || {
        hub(&admin, plan(id, &name)).await.err().filter(|e| e.kind == ErrorKind::Unreachable)
    })
    .await;
    assert!(!error.message.is_empty());
    let (_, up) = to_end(&admin, None, deploy(here.id, &name)).await.unwrap();
    assert_eq!(up.drifted(), 0);
    let down = Down { project: name.to_string(), timeout_s: Some(1), ..Down::default() };
    to_end(&admin, Some(here.id), down).await.unwrap();
}

#[tokio::test]
async fn what_the_owner_of_a_host_does_not_allow_no_project_gets() {
    let (engine, world) = (Engine::up(), World::start().await);
    let admin = world.client(Role::ADMINISTRATOR).await;
    let name = engine.name("owned");
    let more = "    volumes: ['/etc:/host:ro']\n";
    hub(&admin, save(&name, &file(&[service("web", more)]))).await.unwrap();
    for (which, policy) in [
        ("none", "[services]\ncontainers = false\n"),
        ("some", "[containers]\npowers = [\"mount:/srv/*\"]\n"),
        ("off", "[services]\ncompose = false\n"),
    ] {
        let mut config = Config::new(world.path(which));
        config.docker_socket = engine.socket();
        config.policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), policy).unwrap();
        let host = world.agent_with(which, config).await;
        let error = to_end(&admin, None, deploy(host.id, &name)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{which}: {error}");
        assert!(error.message.contains("agent.toml"), "{which}: {error}");
    }
    let filter = format!("label=com.docker.compose.project={name}");
    assert_eq!(engine.docker(&["ps", "-aq", "--filter", &filter]), "");
}

/// A compose program that answers as the real one, but for `up`, which waits until it is ended.
fn slow_program(dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    let at = |name: &str| dir.join(name).display().to_string();
    let text = format!(
        "#!/bin/sh\nfor word; do\n  if [ \"$word\" = up ] && [ ! -e {} ]; then\n    echo $$ > {}\n    \
         echo 'Creating \u{1b}[2Jweb'\n    sleep 86400 &\n    wait\n  fi\ndone\nexec /usr/bin/docker-compose \"$@\"\n",
        at("quick"),
        at("pid"),
    );
    let path = dir.join("docker-compose");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn who_goes_away_half_way_leaves_no_program_behind_and_the_next_one_goes_on() {
    let (engine, world) = (Engine::up(), World::start().await);
    let programs = world.path("programs");
    slow_program(&programs);
    let mut config = Config::new(world.path("here"));
    config.docker_socket = engine.socket();
    config.program_path = Some(programs.clone().into());
    let here = world.agent_with("here", config).await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let name = engine.name("half");
    hub(&admin, save(&name, &file(&[service("web", "")]))).await.unwrap();

    let mut feed = admin.feed(None, &deploy(here.id, &name)).await.unwrap();
    let said = feed.next().await.unwrap().unwrap().lines;
    assert!(said[0].contains("Creating") && !said[0].contains('\u{1b}'), "{said:?}");
    let pid = std::fs::read_to_string(programs.join("pid")).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    assert!(process.exists());
    // Meanwhile nobody else changes it, and it can be looked at.
    let error = to_end(&admin, None, deploy(here.id, &name)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy, "{error}");
    let looked = ask(&admin, here.id, Look { project: name.to_string() }).await.unwrap();
    assert_eq!((will(&looked), looked.version), (vec![("web", Will::Create)], 1));
    drop(feed);
    until_some("the program is ended", async || (!process.exists()).then_some(())).await;

    std::fs::write(programs.join("quick"), "").unwrap();
    let (_, up) = until_some("the project is free again", async || {
        to_end(&admin, None, Deploy { recreate: true, ..deploy(here.id, &name) }).await.ok()
    })
    .await;
    assert_eq!(will(&up), [("web", Will::Leave)]);
    let down = Down { project: name.to_string(), timeout_s: Some(1), ..Down::default() };
    to_end(&admin, Some(here.id), down).await.unwrap();
}
