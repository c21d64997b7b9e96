//! The real `docker` program through `cmdr docker proxy`, each of its requests authorised and recorded; and the other verbs
//! of `cmdr docker` that look into containers.

use crate::container_sessions::host;
use cmdr_agentd::agent::Config;
use cmdr_agentd::policy::Policy;
use cmdr_protocol::audit::Record;
use cmdr_protocol::proxy::{Asked, Look, Request};
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::{ErrorKind, Feed as _};
use harness::engine::{Engine, IMAGE, Name};
use harness::process::{Running, program, run, until};
use harness::tmux::Terminal;
use harness::{BareAgent, World};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A hub, a host with the engine, and somebody with the real programs.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) engine: Engine,
    agent: BareAgent,
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Scene {
    pub(crate) async fn new(role: Role) -> Self {
        let (engine, world) = (Engine::up(), World::start().await);
        let agent = host(&world, "web", &engine).await;
        let token = world.token(TokenKind::Operator, role, 1).await;
        let dir = tempfile::tempdir().unwrap();
        let scene = Self { world, engine, agent, dir };
        let login = scene.cmdr(&["login", &token]);
        assert!(login.status.success(), "{}", text(&login.stderr));
        scene
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("cmdr"));
        command.env("CMDR_HOME", self.dir.path().join("me")).args(args);
        command
    }

    pub(crate) fn cmdr(&self, args: &[&str]) -> Output {
        tokio::task::block_in_place(|| run(&mut self.command(args)))
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("d.sock")
    }

    fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The proxy, until it is dropped.
    fn proxy(&self) -> Running {
        let socket = self.socket();
        let mut command =
            self.command(&["docker", "proxy", "web", "--socket", socket.to_str().unwrap()]);
        let proxy = Running::start(&mut command, &self.dir.path().join("proxy.log"));
        tokio::task::block_in_place(|| until("the proxy listens", || socket.exists()));
        proxy
    }

    fn docker(&self, args: &[&str]) -> Command {
        let mut command = Command::new("docker");
        // Its own settings, so that none of this machine's count; a builder that is part of it.
        command.env("DOCKER_CONFIG", self.dir.path()).env("DOCKER_BUILDKIT", "0");
        command.args(["-H", &self.url()]).args(args);
        command
    }

    fn try_docker(&self, args: &[&str]) -> Output {
        tokio::task::block_in_place(|| run(&mut self.docker(args)))
    }

    fn says(&self, args: &[&str]) -> String {
        let output = self.try_docker(args);
        assert!(output.status.success(), "docker {args:?}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    /// All that the audit log has.
    async fn audit(&self) -> Vec<Record> {
        let mut tail = self.world.hub.audit.follow(Some(0));
        let last = self.world.hub.audit.point().seq;
        let mut all = Vec::new();
        while tail.seq() < last {
            all.extend(tail.read().await.unwrap());
        }
        all
    }

    /// What it has of requests: their resources.
    async fn audited(&self, method: &str) -> Vec<String> {
        let all = self.audit().await;
        let asked = all.into_iter().filter(|record| record.method == method);
        asked.map(|record| record.resource).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_docker_program_runs_containers_reads_their_logs_and_copies_and_each_request_is_recorded()
 {
    let scene = Scene::new(Role::ADMINISTRATOR).await;
    let _proxy = scene.proxy();
    let (engine, name) = (&scene.engine, scene.engine.name("p"));
    assert_eq!(
        scene.says(&["version", "-f", "{{.Server.Version}}"]),
        engine.docker(&["version", "-f", "{{.Server.Version}}"])
    );
    let none = ["--network", "none"];
    // Its output, its error and its code, over a connection that goes on.
    let args =
        [&["run", "--rm"][..], &none, &[IMAGE, "sh", "-c", "echo out; echo err >&2; exit 4"]]
            .concat();
    let output = scene.try_docker(&args);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("out\n", "err\n"));
    // Input to the end, and much of it.
    let big: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    fs::write(scene.dir.path().join("big"), &big).unwrap();
    let args = [&["run", "--rm", "-i"][..], &none, &[IMAGE, "cat"]].concat();
    let mut cat = scene.docker(&args);
    cat.stdin(fs::File::open(scene.dir.path().join("big")).unwrap()).stdout(Stdio::piped());
    let output = tokio::task::block_in_place(|| cat.spawn().unwrap().wait_with_output().unwrap());
    assert!(output.stdout == big, "{} bytes came back", output.stdout.len());
    let script = "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.05; done";
    let named = ["run", "-d", "--init", "--name", name.as_str()];
    scene.says(&[&named[..], &none, &[IMAGE, "sh", "-c", script]].concat());
    // Followed until its reader has enough.
    let log = scene.dir.path().join("follow.log");
    let mut following = scene.docker(&["logs", "-f", name.as_str()]);
    let following = Running::start(&mut following, &log);
    tokio::task::block_in_place(|| {
        until("lines come as they are written", || following.text().contains("line 20\n"));
    });
    drop(following);
    assert!(scene.says(&["logs", "--tail", "1", name.as_str()]).starts_with("line "));
    assert_eq!(scene.says(&["exec", name.as_str(), "echo", "inside"]), "inside");
    // There and back.
    let at = |what: &str| format!("{name}:{what}");
    let local = |what: &str| scene.dir.path().join(what).display().to_string();
    scene.says(&["cp", &local("big"), &at("/tmp/big")]);
    scene.says(&["cp", &at("/tmp/big"), &local("back")]);
    assert!(fs::read(local("back")).unwrap() == big);
    assert_eq!(
        scene.says(&["ps", "-q", "--no-trunc", "-f", &format!("name={name}")]),
        engine.docker(&["inspect", "-f", "{{.Id}}", name.as_str()])
    );
    scene.says(&["rm", "-f", name.as_str()]);
    let gone = scene.try_docker(&["logs", name.as_str()]);
    assert!(text(&gone.stderr).contains("No such container"), "{}", text(&gone.stderr));
    let asked = scene.audited(Request::METHOD).await;
    for wanted in [
        "POST /containers/create".to_owned(),
        format!("DELETE /containers/{name}"),
        format!("PUT /containers/{name}/archive"),
        format!("GET /containers/{name}/archive"),
    ] {
        assert!(asked.contains(&wanted), "{wanted} is not in {asked:?}");
    }
    assert!(
        asked.iter().any(|r| r.starts_with("POST /exec/") && r.ends_with("/start")),
        "{asked:?}"
    );
    assert!(scene.audited(Look::METHOD).await.contains(&"GET /containers/json".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_docker_program_builds_and_opens_terminals_through_it() {
    let scene = Scene::new(Role::ADMINISTRATOR).await;
    let proxy = scene.proxy();
    let name = scene.engine.name("b");
    let context = scene.dir.path().join("context");
    fs::create_dir(&context).unwrap();
    let file = format!("FROM {IMAGE}\nARG TOKEN\nCOPY hello /hello\nLABEL made=here\n");
    fs::write(context.join("Dockerfile"), file).unwrap();
    fs::write(context.join("hello"), "hello from the context\n").unwrap();
    let tag = format!("{name}:1");
    let folder = context.display().to_string();
    scene.says(&["build", "-t", &tag, "--build-arg", "TOKEN=s3cret", &folder]);
    let args = ["run", "--rm", "--network", "none", &tag, "cat", "/hello"];
    assert_eq!(scene.says(&args), "hello from the context");
    scene.engine.sleeper(&name);
    let url = scene.url();
    let argv = ["docker", "-H", url.as_str(), "exec", "-it", name.as_str(), "sh"];
    let terminal = Terminal::start(scene.dir.path(), (100, 30), &[], &argv);
    tokio::task::block_in_place(|| {
        until("a prompt", || terminal.screen().contains('#'));
        terminal.keys(&[
            "-l",
            "until [ \"$(stty size)\" = '30 100' ]; do sleep 0.1; done; echo ter''minal",
        ]);
        terminal.keys(&["Enter"]);
        until("the terminal has its size", || terminal.screen().contains("terminal\n"));
    });
    // Whoever goes away without a word leaves nothing behind at the engine.
    drop(terminal);
    let all = serde_json::to_string(&scene.audit().await).unwrap();
    assert!(all.contains("POST /build"), "{all}");
    assert!(!all.contains("s3cret"), "arguments of builds are nobody else's business");
    // It goes as it came.
    proxy.terminate();
    tokio::task::block_in_place(|| until("the socket is gone", || !scene.socket().exists()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_look_looks_and_nothing_else_and_the_hosts_owner_has_the_last_word() {
    let scene = Scene::new(Role::OPERATOR).await;
    let _proxy = scene.proxy();
    let name = scene.engine.name("d");
    scene.engine.sleeper(&name);
    assert!(scene.says(&["ps", "--format", "{{.Names}}"]).contains(name.as_str()));
    for args in [
        &["stop", name.as_str()][..],
        &["run", "--rm", "--network", "none", IMAGE, "true"],
        &["inspect", name.as_str()],
        &["logs", name.as_str()],
    ] {
        let refused = scene.try_docker(args);
        let words = text(&refused.stderr);
        assert!(!refused.status.success() && words.contains("proxy.request"), "{args:?}: {words}");
    }
    // What the agent is asked is what it looks at, whatever it was called.
    let admin = scene.world.client(Role::ADMINISTRATOR).await;
    let host = scene.agent.id;
    let asked = |method: &str, path: &str| Asked {
        method: method.into(),
        path: path.into(),
        ..Asked::default()
    };
    for (method, path) in [("POST", "/containers/json"), ("GET", "/containers/x/json")] {
        let mut feed = admin.feed(Some(host), &Look(asked(method, path))).await.unwrap();
        assert_eq!(feed.next().await.unwrap().unwrap_err().kind, ErrorKind::Malformed);
    }
    for path in ["/containers/../info", "//info", "/info%0d%0aX: y", "info"] {
        let mut feed = admin.feed(Some(host), &Request(asked("GET", path))).await.unwrap();
        assert_eq!(feed.next().await.unwrap().unwrap_err().kind, ErrorKind::Malformed, "{path}");
    }
    for (n, text) in
        ["[services]\nengine = false\n", "[services]\nproxy = false\n", "[exec]\nusers = []\n"]
            .into_iter()
            .enumerate()
    {
        let mut config = Config::new(scene.world.path(&format!("p{n}")));
        config.docker_socket = scene.engine.socket();
        config.policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), text).unwrap();
        let agent = scene.world.agent_with(&format!("p{n}"), config).await;
        let ask = Request(asked("GET", "/containers/x/json"));
        let mut feed = admin.feed(Some(agent.id), &ask).await.unwrap();
        let refused = feed.next().await.unwrap().unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Denied, "{text}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cmdr_docker_exec_and_logs_are_as_one_knows_them() {
    let scene = Scene::new(Role::OPERATOR).await;
    let (name, other) = (scene.engine.name("v"), scene.engine.name("w"));
    scene.engine.sleeper(&name);
    let script = "echo in a container; echo oops >&2; exit 3";
    let done = scene.cmdr(&["docker", "exec", "web", name.as_str(), "sh", "-c", script]);
    assert_eq!(done.status.code(), Some(3));
    assert_eq!(
        (text(&done.stdout).as_str(), text(&done.stderr).as_str()),
        ("in a container\n", "oops\n")
    );
    let mut cat = scene.command(&["docker", "exec", "-i", "web", name.as_str(), "cat"]);
    fs::write(scene.dir.path().join("in"), "typed\n").unwrap();
    cat.stdin(fs::File::open(scene.dir.path().join("in")).unwrap()).stdout(Stdio::piped());
    let done = tokio::task::block_in_place(|| cat.spawn().unwrap().wait_with_output().unwrap());
    assert_eq!(text(&done.stdout), "typed\n");
    let none = scene.cmdr(&["docker", "exec", "web", "no-such-one", "true"]);
    assert!(text(&none.stderr).contains("No such container"), "{}", text(&none.stderr));
    // In a terminal, left and found again.
    let home = scene.dir.path().join("me").display().to_string();
    let cmdr = program("cmdr").display().to_string();
    let argv = [cmdr.as_str(), "docker", "exec", "-it", "web", name.as_str(), "sh"];
    let terminal = Terminal::start(scene.dir.path(), (90, 20), &[("CMDR_HOME", &home)], &argv);
    tokio::task::block_in_place(|| {
        until("a prompt", || terminal.screen().contains('#'));
        terminal.keys(&["-l", "echo in a ter''minal"]);
        terminal.keys(&["Enter"]);
        until("its answer", || terminal.screen().contains("in a terminal\n"));
    });
    drop(terminal);
    let sessions = text(&scene.cmdr(&["sessions", "-o", "json"]).stdout);
    assert!(sessions.contains("docker") && sessions.contains(name.as_str()), "{sessions}");
    // Logs of two, in the order of their times, their outputs apart.
    let run = |name: &Name, script: &str| {
        let begin =
            ["run", "--network", "none", "--name", name.as_str(), IMAGE, "sh", "-c", script];
        scene.engine.try_docker(&begin)
    };
    let second = scene.engine.name("y");
    run(&other, "echo first; echo worst >&2");
    run(&second, "echo second");
    let one = scene.cmdr(&["docker", "logs", "web", other.as_str()]);
    assert_eq!((text(&one.stdout).as_str(), text(&one.stderr).as_str()), ("first\n", "worst\n"));
    let both = scene.cmdr(&["docker", "logs", "web", other.as_str(), second.as_str()]);
    let lines: Vec<_> = text(&both.stdout)
        .lines()
        .map(|line| line.rsplit(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(lines, ["first", "second"]);
    let what = format!("web:container:{second}*");
    let same = scene.cmdr(&["logs", &what, "--timestamps", "none"]);
    assert_eq!(text(&same.stdout), "second\n", "{}", text(&same.stderr));
}
