//! Probes from several agents of one fleet: a real nginx that is killed, agents that are cut off, policies, rights.

use cmdr_agentd::agent::Config as AgentConfig;
use cmdr_agentd::policy::Policy;
use cmdr_hub::config::Config;
use cmdr_link::Client;
use cmdr_protocol::ErrorKind;
use cmdr_protocol::events::{Watch, What};
use cmdr_protocol::history::Query;
use cmdr_protocol::probes::{
    Delete, List, Row, Save, Show, Stands, State, Status, Try, Verdict, Versions,
};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Grant, Put};
use harness::{World, until_some};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(15);

/// nginx on a port of this machine, ended with the test.
struct Nginx {
    child: Child,
    at: SocketAddr,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn nginx(world: &World) -> Nginx {
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = world.path("nginx");
    std::fs::create_dir_all(&folder).unwrap();
    let here = folder.display();
    let config = format!(
        "daemon off; master_process off; pid {here}/pid; error_log stderr; events {{}}\n\
         http {{ access_log off; client_body_temp_path {here}/a; proxy_temp_path {here}/b; fastcgi_temp_path {here}/c;\n\
         uwsgi_temp_path {here}/d; scgi_temp_path {here}/e;\n\
         server {{ listen {at}; location / {{ return 200 'well'; }} }} }}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config).unwrap();
    let child = Command::new("/usr/sbin/nginx")
        .args(["-e", "stderr", "-p"])
        .arg(&folder)
        .arg("-c")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until_some("nginx listens", async || TcpStream::connect(at).ok()).await;
    Nginx { child, at }
}

async fn save(client: &Client, text: &str) {
    let name = text.lines().next().unwrap().trim_start_matches("name: ").to_owned();
    let save = Save { name, text: text.to_owned(), ..Save::default() };
    client.call(None, &save, PATIENCE).await.unwrap();
}

async fn until(client: &Client, name: &str, what: &str, fits: impl Fn(&Row) -> bool) -> Row {
    until_some(what, async || {
        let probes = client.call(None, &List::default(), PATIENCE).await.ok()?.probes;
        probes.into_iter().find(|row| row.name == name).filter(|row| fits(row))
    })
    .await
}

async fn stands(client: &Client, name: &str) -> Stands {
    client.call(None, &Status { name: name.to_owned() }, PATIENCE).await.unwrap()
}

/// A hub that keeps a figure each second.
fn config() -> Config {
    let mut config = Config::default();
    config.history.step_s = 1.try_into().unwrap();
    config
}

#[tokio::test]
async fn a_far_end_is_down_when_a_quorum_of_agents_says_so_and_not_when_an_agent_is_cut_off() {
    let world = World::start_with(config()).await;
    let mut nginx = nginx(&world).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let one = world.agent("edge1").await;
    let _two = world.agent("edge2").await;
    let watch = Watch { new: true, kinds: vec!["probe".into()], ..Watch::default() };
    let mut events = client.feed(None, &watch).await.unwrap();
    let at = nginx.at;
    let text = format!(
        "name: shop\nhttp: {{ url: 'http://{at}/', contains: well }}\nevery: 5s\nquorum: 2\nretries: 0\n"
    );
    save(&client, &text).await;
    let up = until(&client, "shop", "both say it is up", |row| row.answering == 2).await;
    assert_eq!((up.state, up.against, up.agents), (State::Up, 0, 2), "{}", up.why);
    assert!(up.took_us.is_some() && up.kind == "http" && up.since_ms > 0);

    // Both see it go.
    nginx.child.kill().unwrap();
    let down = until(&client, "shop", "it is down", |row| row.state == State::Down).await;
    assert_eq!((down.answering, down.against), (2, 2), "{}", down.why);
    assert!(down.why.starts_with("2 of 2 agents say it is down: connecting to"), "{}", down.why);
    let told = until_some("it is told", async || {
        let event = events.next().await?.ok()?;
        (event.what == What::ProbeDown).then_some(event)
    })
    .await;
    assert_eq!(told.about, "probe:shop");
    let seen = stands(&client, "shop").await;
    let agents: Vec<_> =
        seen.agents.iter().map(|a| (a.name.as_str(), a.measured.verdict)).collect();
    assert_eq!(agents, [("edge1", Verdict::Down), ("edge2", Verdict::Down)]);

    // What they saw is in the history, under their names.
    let metrics = vec!["probe.up{shop}".to_owned(), "probe.time{shop}".to_owned()];
    let from_ms = cmdr_link::clock::now_ms() - 600_000;
    let query = Query { metrics, from_ms, step_ms: 1000, ..Query::default() };
    let lines = until_some("it is in the history", async || {
        let lines = client.call(None, &query, PATIENCE).await.ok()?.lines;
        let ups = lines.iter().filter(|line| line.metric == "probe.up{shop}");
        let values: Vec<f64> = ups.flat_map(|line| line.points.iter().flatten().copied()).collect();
        (values.contains(&0.0)).then_some(lines)
    })
    .await;
    assert!(
        lines.iter().any(|line| line.name == "edge1") && lines.iter().any(|l| l.name == "edge2")
    );

    // An agent that is cut off says nothing: one is too few to call it down.
    drop(one);
    let left = until(&client, "shop", "one is left", |row| row.agents == 1).await;
    assert_ne!(left.state, State::Up, "{}", left.why);
    let left = until(&client, "shop", "it is not down", |row| row.state != State::Down).await;
    assert_eq!((left.state, left.answering, left.against), (State::Degraded, 1, 1), "{}", left.why);
    assert!(left.why.contains("2 have to"), "{}", left.why);
}

#[tokio::test]
async fn an_agent_that_is_cut_off_while_all_is_well_changes_nothing() {
    let world = World::start().await;
    let nginx = nginx(&world).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let one = world.agent("edge1").await;
    let _two = world.agent("edge2").await;
    save(
        &client,
        &format!("name: shop\ntcp: {{ host: 127.0.0.1, port: {} }}\nevery: 5s\n", nginx.at.port()),
    )
    .await;
    until(&client, "shop", "both say it is up", |row| row.answering == 2).await;
    let since = until(&client, "shop", "it is up", |row| row.state == State::Up).await.since_ms;
    drop(one);
    let left = until(&client, "shop", "one is left", |row| row.agents == 1).await;
    assert_eq!((left.state, left.since_ms, left.answering), (State::Up, since, 1), "{}", left.why);
}

#[tokio::test]
async fn a_probe_is_tried_before_it_is_kept_and_each_host_goes_by_its_own_policy() {
    let world = World::start().await;
    let nginx = nginx(&world).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let _free = world.agent("free").await;
    let limits = "[probes]\ndenied_networks = [\"127.0.0.0/8\"]\n[exec]\ndenied_programs = [\"/bin/\", \"/usr/bin/\"]\n";
    let mut config = AgentConfig::new(world.path("strict"));
    config.policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), limits).unwrap();
    let _strict = world.agent_with("strict", config).await;
    let at = nginx.at;
    let attempt = async |text: String| {
        let attempt = Try { text, ..Try::default() };
        let tried = client.call(None, &attempt, PATIENCE).await.unwrap();
        let said = tried.agents.into_iter();
        said.map(|a| (a.name, a.measured.verdict, a.measured.why)).collect::<Vec<_>>()
    };
    let page = attempt(format!("name: shop\nhttp: {{ url: 'http://{at}/' }}\n")).await;
    assert_eq!(page[0], ("free".to_owned(), Verdict::Up, "status 200".to_owned()));
    assert_eq!((page[1].0.as_str(), page[1].1), ("strict", Verdict::Unknown));
    assert!(
        page[1].2.contains("/etc/cmdr/agent.toml lets no probe go to 127.0.0.1"),
        "{}",
        page[1].2
    );
    let script =
        "name: disk\nscript: { command: [/bin/sh, -c, 'echo \"DISK LOW | a=1\"; exit 1'] }\n";
    let disk = attempt(script.to_owned()).await;
    assert_eq!(disk[0], ("free".to_owned(), Verdict::Warning, "DISK LOW".to_owned()));
    assert!(disk[1].1 == Verdict::Unknown && disk[1].2.contains("does not let"), "{}", disk[1].2);
    // One that does not end is ended, and one that wants too much memory does not get it.
    let long =
        "name: long\ntimeout: 500ms\nscript: { command: [/bin/sh, -c, 'echo begun; sleep 600'] }\n";
    let long = attempt(long.to_owned()).await;
    assert!(
        long[0].1 == Verdict::Down && long[0].2.contains("did not end within"),
        "{}",
        long[0].2
    );
    let hungry = |mb: u32| {
        let program =
            "BEGIN { x = \"x\"; while (length(x) < 100000000) x = x x; print \"it got all\" }";
        format!("name: big\nscript:\n  memory_mb: {mb}\n  command: [/usr/bin/awk, '{program}']\n")
    };
    assert_eq!(attempt(hungry(1024)).await[0].2, "it got all");
    let refused = attempt(hungry(64)).await;
    assert!(refused[0].1 != Verdict::Up && refused[0].2 != "it got all", "{:?}", refused[0]);
    assert!(client.call(None, &List::default(), PATIENCE).await.unwrap().probes.is_empty());
}

#[tokio::test]
async fn probes_are_kept_by_administrators_over_a_start_and_programs_need_their_own_right() {
    let world = World::start().await;
    let _agent = world.agent("edge1").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let text = "name: here\nicmp: { host: 127.0.0.1 }\nevery: 5s\n";
    save(&client, text).await;
    save(&client, &format!("{text}retries: 3\n")).await;
    let observer = world.client(Role::OBSERVER).await;
    let rows = observer.call(None, &List::default(), PATIENCE).await.unwrap().probes;
    assert_eq!((rows.len(), rows[0].version), (1, 2));
    let refused = Save { name: "here".into(), text: text.into(), ..Save::default() };
    let refused = observer.call(None, &refused, PATIENCE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied);

    // Who may keep probes may not by that have programs run.
    let role = Role::parse("prober").unwrap();
    let verbs = vec!["probes.save".into(), "probes.try".into()];
    let grants = vec![Grant { verbs, ..Grant::default() }];
    client.call(None, &Put { name: role, grants, ..Put::default() }, PATIENCE).await.unwrap();
    let prober = world.client(role).await;
    save(&prober, "name: other\nicmp: { host: 127.0.0.1 }\n").await;
    let script = "name: id\nscript: { command: [/usr/bin/id] }\n";
    let keep = Save { name: "id".into(), text: script.into(), ..Save::default() };
    let refused = prober.call(None, &keep, PATIENCE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied);
    assert!(refused.message.contains("exec.start"), "{refused}");
    let attempt = Try { text: script.into(), ..Try::default() };
    let refused = prober.call(None, &attempt, PATIENCE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied);

    drop((client, observer, prober));
    let world = world.restart_with(Config::default()).await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let rows = client.call(None, &List::default(), PATIENCE).await.unwrap().probes;
    let names: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.version)).collect();
    assert_eq!(names, [("here", 2), ("other", 1)]);
    let show = Show { name: "here".into(), version: Some(1) };
    assert_eq!(client.call(None, &show, PATIENCE).await.unwrap().text, text);
    let versions = Versions { name: "here".into() };
    assert_eq!(client.call(None, &versions, PATIENCE).await.unwrap().versions.len(), 2);
    client.call(None, &Delete { name: "here".into() }, PATIENCE).await.unwrap();
    let gone = client.call(None, &show, PATIENCE).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::NotFound);
}
