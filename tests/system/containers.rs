//! Containers of a real engine, through the hub and an agent; and of a host that has none.

use cmdr_agentd::agent::Config;
use cmdr_agentd::policy::Policy;
use cmdr_link::Client;
use cmdr_link::client::FeedStream;
use cmdr_protocol::containers::change::{Commit, CopyIn, CopyOut, Export, Recreate, Update};
use cmdr_protocol::containers::stats::{Figures, Stats};
use cmdr_protocol::containers::{
    Became, Container, Create, CreatePrivileged, Diff, Done, Inspect, Kill, Like, List, MASK,
    Pause, Remove, Rename, Restart, Spec, Start, State, Stop, Top, Unpause, Values, Watch,
};
use cmdr_protocol::files::{Chunk, Sum};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Definition, Grant};
use cmdr_protocol::{Call, CallError, ErrorKind, HostId};
use harness::engine::{Engine, IMAGE, Name};
use harness::{World, until_some};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_mins(2);

async fn ask<C: Call>(client: &Client, host: HostId, call: C) -> Result<C::Reply, CallError> {
    client.call(Some(host), &call, PATIENCE).await
}

async fn done<C: Call<Reply = Done>>(client: &Client, host: HostId, call: C) -> Done {
    ask(client, host, call).await.unwrap()
}

/// The engine, and what the real program says; neither stops the hub in this process meanwhile.
async fn engine() -> Engine {
    tokio::task::spawn_blocking(Engine::up).await.unwrap()
}

async fn docker(engine: &Engine, args: &[&str]) -> String {
    let (engine, args) = (engine.clone(), args.iter().map(|&a| a.to_owned()).collect::<Vec<_>>());
    let run = move || engine.docker(&args.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// A container that does nothing until it is ended, with more of `docker run`'s words.
async fn sleeper(engine: &Engine, name: &Name, words: &[&str]) -> String {
    let run = ["run", "-d", "--init", "--network", "none", "--name", name.as_str()];
    docker(engine, &[&run[..], words, &[IMAGE, "sleep", "86400"]].concat()).await
}

fn config(world: &World, engine: &Engine, name: &str) -> Config {
    let mut config = Config::new(world.path(name));
    config.docker_socket = engine.socket();
    config
}

fn spec(name: &Name) -> Spec {
    Spec {
        name: name.to_string(),
        image: IMAGE.into(),
        command: ["sleep", "86400"].map(str::to_owned).into(),
        network: "none".into(),
        init: true,
        ..Spec::default()
    }
}

#[tokio::test]
async fn containers_are_listed_and_looked_at_and_their_secrets_struck_out() {
    let engine = engine().await;
    let name = engine.name("look");
    let words = ["-e", "DB_PASSWORD=hunter2", "-e", "PLAIN=seen", "--label", "odd=\u{1b}[2J"];
    let id = sleeper(&engine, &name, &words).await;
    docker(&engine, &["exec", name.as_str(), "touch", "/new"]).await;
    let world = World::start().await;
    let agent = world.agent_with("web1", config(&world, &engine, "web1")).await;
    let host = agent.id;
    let client = world.client(Role::OPERATOR).await;

    let filters = || BTreeMap::from([("name".to_owned(), vec![name.to_string()])]);
    let list = List { filters: filters(), ..List::default() };
    let listing = ask(&client, host, list).await.unwrap();
    let [container] = listing.containers.as_slice() else { panic!("{listing:?}") };
    assert_eq!((container.id.as_str(), container.name.as_str()), (id.as_str(), name.as_str()));
    assert_eq!((container.state, container.image.as_str()), (State::Running, IMAGE));
    assert!(container.status.starts_with("Up ") && container.since_s > 0, "{container:?}");
    assert_eq!(container.labels["odd"], "\u{1b}[2J");
    assert_eq!(container.networks, ["none"]);

    let look = Inspect { container: name.to_string(), size: true };
    let inspected = ask(&client, host, look).await.unwrap();
    assert_eq!(
        (inspected.id.as_str(), inspected.masked.as_slice()),
        (id.as_str(), &["DB_PASSWORD".to_owned()][..])
    );
    assert!(!inspected.json.contains("hunter2") && inspected.json.contains("PLAIN=seen"));
    assert!(inspected.json.contains(&format!("DB_PASSWORD={MASK}")) && inspected.powers.is_empty());
    let values = ask(&client, host, Values { container: id[..12].to_owned() }).await.unwrap();
    assert!(values.json.contains("hunter2") && values.masked.is_empty());

    let processes = ask(&client, host, Top { container: name.to_string() }).await.unwrap();
    assert!(
        processes.rows.iter().flatten().any(|cell| cell.contains("sleep 86400")),
        "{processes:?}"
    );
    let diff = ask(&client, host, Diff { container: name.to_string() }).await.unwrap();
    let new = diff.paths.iter().find(|difference| difference.path == "/new");
    assert_eq!(new.map(|difference| difference.became), Some(Became::Added));

    let observer = world.client(Role::OBSERVER).await;
    assert!(
        ask(&observer, host, Inspect { container: name.to_string(), size: false }).await.is_ok()
    );
    for denied in [
        ask(&observer, host, Values { container: name.to_string() }).await.err(),
        ask(&observer, host, Stop { container: name.to_string(), ..Stop::default() }).await.err(),
    ] {
        assert_eq!(denied.unwrap().kind, ErrorKind::Denied);
    }
    for (container, kind) in
        [("no-such-container", ErrorKind::NotFound), ("../images/json?x=", ErrorKind::Malformed)]
    {
        let container = container.to_owned();
        let error = ask(&client, host, Inspect { container, size: false }).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
    }
}

#[tokio::test]
async fn acts_on_containers_are_done_and_told_to_all_who_watch() {
    let engine = engine().await;
    let (name, other) = (engine.name("act"), engine.name("other"));
    let id = sleeper(&engine, &name, &[]).await;
    sleeper(&engine, &other, &[]).await;
    let world = World::start().await;
    let agent = world.agent_with("web1", config(&world, &engine, "web1")).await;
    let host = agent.id;
    let client = world.client(Role::OPERATOR).await;
    let called = || name.to_string();

    let mut feed = client.feed(Some(host), &Watch {}).await.unwrap();
    let mut table: BTreeMap<String, Container> = BTreeMap::new();
    let first = feed.next().await.unwrap().unwrap();
    assert!(first.reset);
    first.apply(&mut table);
    assert_eq!(table[&id].state, State::Running);
    let mut until = async |what: &str, fits: &dyn Fn(Option<&Container>) -> bool| {
        until_some(what, async || {
            if fits(table.get(&id)) {
                return Some(());
            }
            let change = timeout(Duration::from_secs(30), feed.next()).await;
            change.expect("a change is told").unwrap().unwrap().apply(&mut table);
            fits(table.get(&id)).then_some(())
        })
        .await;
    };

    let stopped =
        done(&client, host, Stop { container: called(), timeout_s: Some(5), ..Stop::default() })
            .await;
    assert_eq!(
        (stopped.id.as_str(), stopped.state, stopped.already),
        (id.as_str(), State::Exited, false)
    );
    assert!(stopped.exit_code.is_some());
    until("the end is told", &|row| {
        row.is_some_and(|row| row.state == State::Exited && row.exit_code.is_some())
    })
    .await;
    assert!(done(&client, host, Stop { container: called(), ..Stop::default() }).await.already);

    assert_eq!(done(&client, host, Start { container: called() }).await.state, State::Running);
    assert!(done(&client, host, Start { container: called() }).await.already);
    until("the beginning is told", &|row| row.is_some_and(|row| row.state == State::Running)).await;
    assert_eq!(done(&client, host, Pause { container: called() }).await.state, State::Paused);
    until("the pause is told", &|row| row.is_some_and(|row| row.state == State::Paused)).await;
    assert_eq!(done(&client, host, Unpause { container: called() }).await.state, State::Running);
    let restart = Restart { container: called(), timeout_s: Some(1), ..Restart::default() };
    assert_eq!(done(&client, host, restart).await.state, State::Running);

    let taken = Rename { container: called(), name: other.to_string() };
    let error = ask(&client, host, taken).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    let renamed = format!("{name}-renamed");
    let rename = Rename { container: called(), name: renamed.clone() };
    assert_eq!(done(&client, host, rename).await.name, renamed);
    until("the new name is told", &|row| row.is_some_and(|row| row.name == renamed)).await;

    let error = ask(&client, host, Remove { container: renamed.clone(), ..Remove::default() })
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    done(&client, host, Kill { container: id.clone(), ..Kill::default() }).await;
    until("that it was killed is told", &|row| row.is_some_and(|row| row.exit_code == Some(137)))
        .await;
    let remove = Remove { container: renamed.clone(), force: true, volumes: true };
    assert_eq!(done(&client, host, remove).await.state, State::Unknown);
    until("that it is gone is told", &|row| row.is_none()).await;
    let error = ask(&client, host, Start { container: renamed }).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn a_container_is_made_as_it_was_said_and_another_like_it() {
    let engine = engine().await;
    let (name, twin) = (engine.name("made"), engine.name("twin"));
    let world = World::start().await;
    let agent = world.agent_with("web1", config(&world, &engine, "web1")).await;
    let host = agent.id;
    let client = world.client(Role::OPERATOR).await;

    let mut spec = spec(&name);
    spec.environment = [("COLOUR".to_owned(), "red".to_owned())].into();
    spec.labels = [("tier".to_owned(), "front".to_owned())].into();
    spec.restart = "on-failure:3".into();
    spec.tmpfs = vec!["/scratch:size=1m".into()];
    spec.stop_timeout_s = Some(1);
    let made = done(&client, host, Create { spec: spec.clone(), start: true }).await;
    assert_eq!((made.name.as_str(), made.state), (name.as_str(), State::Running));
    let format =
        "{{.Config.Env}} {{.Config.Labels}} {{.HostConfig.RestartPolicy}} {{.HostConfig.Tmpfs}}";
    let told = docker(&engine, &["inspect", "--format", format, name.as_str()]).await;
    for part in ["COLOUR=red", "tier:front", "on-failure 3", "/scratch:size=1m"] {
        assert!(told.contains(part), "{part}: {told}");
    }

    let likeness = ask(&client, host, Like { container: name.to_string() }).await.unwrap();
    assert_eq!(likeness.beyond, Vec::<String>::new());
    assert_eq!(likeness.spec, spec);
    let again = Spec { name: twin.to_string(), ..likeness.spec };
    assert_eq!(
        done(&client, host, Create { spec: again, start: false }).await.state,
        State::Created
    );

    let error = ask(&client, host, Create { spec: spec.clone(), start: true }).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    let nowhere =
        Spec { image: "no-such-image:1".into(), name: format!("{name}-x"), ..spec.clone() };
    let error = ask(&client, host, Create { spec: nowhere, start: true }).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    let wrong = Spec { mem_limit: "lots".into(), ..spec.clone() };
    let error = ask(&client, host, Create { spec: wrong, start: true }).await.unwrap_err();
    assert!(error.kind == ErrorKind::Malformed && error.message.contains("mem_limit"), "{error}");

    // What cannot be started is not left behind.
    let broken = Spec {
        name: format!("{name}-broken"),
        command: vec!["/nothing".into()],
        init: false,
        ..spec
    };
    let error = ask(&client, host, Create { spec: broken, start: true }).await.unwrap_err();
    assert!(error.message.contains("it was taken away again"), "{error}");
    let left = docker(&engine, &["ps", "-a", "--format", "{{.Names}}"]).await;
    assert!(!left.contains(&format!("{name}-broken")), "{left}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_found_before_the_engine_is_asked() {
    let engine = engine().await;
    let name = engine.name("port");
    let world = World::start().await;
    let agent = world.agent_with("web1", config(&world, &engine, "web1")).await;
    let host = agent.id;
    let client = world.client(Role::OPERATOR).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let spec = Spec {
        network: "bridge".into(),
        ports: vec![format!("127.0.0.1:{port}:80")],
        ..spec(&name)
    };
    let error = ask(&client, host, Create { spec, start: true }).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    assert!(error.message.contains(&format!("port {port}/tcp of the host is taken by")), "{error}");
}

#[tokio::test]
async fn what_reaches_the_host_is_a_right_of_its_own_and_the_hosts_owner_has_the_last_word() {
    let engine = engine().await;
    let (name, mounted) = (engine.name("power"), engine.name("mount"));
    let world = World::start().await;
    let folder = world.path("shared");
    std::fs::create_dir(&folder).unwrap();
    let folder = folder.canonicalize().unwrap().display().to_string();
    let mut with_policy = config(&world, &engine, "web1");
    let text = format!("[containers]\npowers = [\"mount:{folder}*\"]\n");
    with_policy.policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), &text).unwrap();
    let agent = world.agent_with("web1", with_policy).await;
    let host = agent.id;
    let operator = world.client(Role::OPERATOR).await;

    let spec = Spec { volumes: vec![format!("{folder}:/x:ro")], ..spec(&mounted) };
    let create = Create { spec: spec.clone(), start: true };
    let error = ask(&operator, host, create).await.unwrap_err();
    assert!(error.kind == ErrorKind::Denied && error.message.contains("mount:"), "{error}");
    let create = || CreatePrivileged { spec: spec.clone(), start: true };
    let error = ask(&operator, host, create()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");

    // A role for just these folders, and no others.
    let role = Role::parse("mounters").unwrap();
    let grants = vec![Grant {
        verbs: vec!["containers.create-privileged".into()],
        resources: vec!["container:*".into(), format!("mount:{folder}")],
        ..Grant::default()
    }];
    let role_of = Definition { name: role, grants, ..Definition::default() };
    world.hub.rights.put(role_of).await.unwrap();
    let mounter = world.client(role).await;
    assert_eq!(done(&mounter, host, create()).await.state, State::Running);
    let inspect = Inspect { container: mounted.to_string(), size: false };
    let inspected = ask(&operator, host, inspect).await.unwrap();
    assert_eq!(inspected.powers, [format!("mount:{folder}")]);
    let elsewhere = Spec { volumes: vec!["/etc:/x".into()], ..spec.clone() };
    let elsewhere = CreatePrivileged { spec: elsewhere, start: true };
    let error = ask(&mounter, host, elsewhere).await.unwrap_err();
    assert!(error.message.contains("not allowed"), "{error}");

    // Nobody at the hub gets around the host's own file.
    let administrator = world.client(Role::ADMINISTRATOR).await;
    let privileged = Spec { privileged: true, ..self::spec(&name) };
    let create = CreatePrivileged { spec: privileged, start: true };
    let error = ask(&administrator, host, create).await.unwrap_err();
    assert!(
        error.message.contains("agent.toml does not let a container have 'privileged'"),
        "{error}"
    );
    let left = docker(&engine, &["ps", "-a", "--format", "{{.Names}}"]).await;
    assert!(!left.contains(name.as_str()), "{left}");
}

#[tokio::test]
async fn a_host_without_an_engine_says_so_plainly() {
    let world = World::start().await;
    let mut config = Config::new(world.path("bare"));
    config.docker_socket = world.path("no-docker.sock");
    let agent = world.agent_with("bare", config).await;
    let host = agent.id;
    let client = world.client(Role::OPERATOR).await;
    let error = ask(&client, host, List::default()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    assert!(error.message.contains("no Docker engine"), "{error}");
    let mut feed = client.feed(Some(host), &Watch {}).await.unwrap();
    assert!(feed.next().await.unwrap().is_err());
    let start = Start { container: "web".into() };
    assert_eq!(ask(&client, host, start).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn what_containers_use_is_told_while_they_run() {
    let engine = engine().await;
    let (busy, idle) = (engine.name("busy"), engine.name("idle"));
    let work = "while :; do i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; sleep 0.1; done";
    let run = ["run", "-d", "--init", "--network", "none", "--name", busy.as_str(), IMAGE];
    let id = docker(&engine, &[&run[..], &["sh", "-c", work]].concat()).await;
    let resting = sleeper(&engine, &idle, &[]).await;
    let world = World::start().await;
    let agent = world.agent_with("web1", config(&world, &engine, "web1")).await;
    let host = agent.id;
    let client = world.client(Role::OBSERVER).await;

    let mut feed = client.feed(Some(host), &Stats { interval_ms: 1000 }).await.unwrap();
    let mut table: BTreeMap<String, Figures> = BTreeMap::new();
    let mut until = async |what: &str, fits: &dyn Fn(&BTreeMap<String, Figures>) -> bool| {
        until_some(what, async || {
            let change = timeout(Duration::from_secs(30), feed.next()).await;
            change.expect("a sample is told").unwrap().unwrap().apply(&mut table);
            fits(&table).then_some(())
        })
        .await;
    };
    until("both are told, and one works", &|table| {
        let works = table.get(&id).is_some_and(|row| row.cpu > 0 && row.name == busy.as_str());
        works
            && table
                .get(&resting)
                .is_some_and(|row| row.memory > 0 && row.pids > 0 && row.limit > 0)
    })
    .await;
    docker(&engine, &["kill", busy.as_str()]).await;
    until("one that has ended is told no more", &|table| !table.contains_key(&id)).await;
}

#[tokio::test]
async fn limits_change_while_a_container_goes_on_and_an_image_is_made_of_it() {
    let engine = engine().await;
    let name = engine.name("change");
    sleeper(&engine, &name, &[]).await;
    docker(&engine, &["exec", name.as_str(), "touch", "/kept"]).await;
    let world = World::start().await;
    let agent = world.agent_with("web1", config(&world, &engine, "web1")).await;
    let host = agent.id;
    let client = world.client(Role::OPERATOR).await;
    let called = || name.to_string();

    let update = Update {
        container: called(),
        cpu_shares: 512,
        restart: "on-failure:2".into(),
        ..Update::default()
    };
    assert_eq!(done(&client, host, update).await.state, State::Running);
    let format = "{{.HostConfig.CpuShares}} {{.HostConfig.RestartPolicy.Name}}";
    let told = docker(&engine, &["inspect", "--format", format, name.as_str()]).await;
    assert_eq!(told, "512 on-failure");
    let nothing = Update { container: called(), ..Update::default() };
    assert_eq!(ask(&client, host, nothing).await.unwrap_err().kind, ErrorKind::Malformed);

    let image = format!("{name}:7");
    let commit = Commit { container: called(), image: image.clone(), ..Commit::default() };
    let made = ask(&client, host, commit).await.unwrap();
    let told = docker(&engine, &["image", "inspect", "--format", "{{.Id}}", &image]).await;
    assert_eq!(made.id, told);
    let again = engine.name("again");
    let spec = Spec { image, ..spec(&again) };
    done(&client, host, Create { spec, start: true }).await;
    docker(&engine, &["exec", again.as_str(), "test", "-f", "/kept"]).await;
}

#[tokio::test]
async fn another_takes_the_place_of_one_and_what_does_not_run_is_put_back() {
    let engine = engine().await;
    let name = engine.name("place");
    let world = World::start().await;
    let agent = world.agent_with("web1", config(&world, &engine, "web1")).await;
    let host = agent.id;
    let client = world.client(Role::OPERATOR).await;
    let mut spec = spec(&name);
    spec.volumes = vec!["/data".into()];
    spec.stop_timeout_s = Some(1);
    let old = done(&client, host, Create { spec: spec.clone(), start: true }).await;
    docker(&engine, &["exec", name.as_str(), "touch", "/data/kept"]).await;

    let mut changed = spec.clone();
    changed.environment = [("COLOUR".to_owned(), "blue".to_owned())].into();
    let recreate = |spec: &Spec| Recreate { container: name.to_string(), spec: spec.clone() };
    let new = done(&client, host, recreate(&changed)).await;
    assert!(
        new.id != old.id && new.state == State::Running && new.name == name.as_str(),
        "{new:?}"
    );
    let told =
        docker(&engine, &["exec", name.as_str(), "sh", "-c", "echo $COLOUR; ls /data"]).await;
    assert_eq!(told, "blue\nkept");

    for command in [["/nothing", "x"], ["sh", "-c"]] {
        let broken = Spec { command: command.map(str::to_owned).into(), ..changed.clone() };
        let error = ask(&client, host, recreate(&broken)).await.unwrap_err();
        assert!(error.message.contains("the old one is back in its place"), "{error}");
        let format = "{{.Id}} {{.State.Running}}";
        let told = docker(&engine, &["inspect", "--format", format, name.as_str()]).await;
        assert_eq!(told, format!("{} true", new.id));
    }
    let absent = Spec { image: "no-such-image:1".into(), ..changed.clone() };
    assert_eq!(ask(&client, host, recreate(&absent)).await.unwrap_err().kind, ErrorKind::NotFound);
    // What the new one may do is asked for beside the act itself.
    let sharing = Spec { network: "host".into(), ..changed };
    let error = ask(&client, host, recreate(&sharing)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    let left = docker(&engine, &["ps", "-a", "--format", "{{.Names}}"]).await;
    assert_eq!(left.lines().filter(|line| line.starts_with(name.as_str())).count(), 1, "{left}");
}

#[tokio::test]
async fn files_come_out_of_a_container_and_go_into_one_as_archives() {
    let engine = engine().await;
    let (from, into) = (engine.name("from"), engine.name("into"));
    sleeper(&engine, &from, &[]).await;
    sleeper(&engine, &into, &[]).await;
    let write =
        "mkdir -p /site && yes line | head -n 400000 > /site/big && echo hello > /site/small";
    docker(&engine, &["exec", from.as_str(), "sh", "-c", write]).await;
    let world = World::start().await;
    let agent = world.agent_with("web1", config(&world, &engine, "web1")).await;
    let host = agent.id;
    let client = world.client(Role::OPERATOR).await;

    let whole = async |mut feed: FeedStream<CopyOut>| {
        let mut archive = Vec::new();
        let mut size = None;
        while let Some(chunk) = feed.next().await {
            let chunk = chunk?;
            archive.extend(chunk.data);
            size = chunk.sum.map(|sum| sum.size);
        }
        assert_eq!(size, Some(archive.len() as u64));
        Ok::<_, CallError>(archive)
    };
    let out = |path: &str| CopyOut { container: from.to_string(), path: path.to_owned() };
    let archive = whole(client.feed(Some(host), &out("/site")).await.unwrap()).await.unwrap();
    assert!(archive.len() > 2_000_000);
    let error = whole(client.feed(Some(host), &out("/none")).await.unwrap()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");

    let put = async |path: &str| {
        let call = CopyIn { container: into.to_string(), path: path.to_owned() };
        let (mut items, mut inputs) = client.feed(Some(host), &call).await.unwrap().split();
        let sending = async {
            for data in archive.chunks(200_000) {
                let chunk = Chunk { data: data.to_vec(), ..Chunk::default() };
                if inputs.send(&chunk).await.is_err() {
                    return;
                }
            }
            let sum = Some(Sum { size: archive.len() as u64, ..Sum::default() });
            // One that was refused takes no more.
            drop(inputs.send(&Chunk { sum, ..Chunk::default() }).await);
        };
        let ended = async {
            match items.next().await {
                Some(Err(error)) => Err(error),
                Some(Ok(_)) => panic!("it has nothing to say"),
                None => Ok(()),
            }
        };
        tokio::join!(sending, ended).1
    };
    put("/tmp-none").await.unwrap_err();
    docker(&engine, &["exec", into.as_str(), "mkdir", "/place"]).await;
    put("/place").await.unwrap();
    let sums = "cat /*/big /*/site/big /*/small /*/site/small 2>/dev/null | md5sum";
    let sum = async |name: &Name| docker(&engine, &["exec", name.as_str(), "sh", "-c", sums]).await;
    assert_eq!(sum(&into).await, sum(&from).await);

    let call = Export { container: from.to_string() };
    let mut feed = client.feed(Some(host), &call).await.unwrap();
    let mut exported = Vec::new();
    while let Some(chunk) = feed.next().await {
        exported.extend(chunk.unwrap().data);
    }
    assert!(exported.windows(10).any(|bytes| bytes == b"site/small"));
}
