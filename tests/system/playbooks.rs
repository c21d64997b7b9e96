//! Playbooks of Ansible as steps of runbooks: the real `ansible-playbook` on the hub's machine, real agents, and nothing
//! but the host of the step within its reach.

mod cage;

use crate::sim::{ask, over};
use cmdr_agentd::agent::{self, Agent};
use cmdr_hub::config::{Config, Runs};
use cmdr_hub::playbooks::Settings;
use cmdr_link::link::Target as At;
use cmdr_link::mux::Limits;
use cmdr_link::session::Dialer;
use cmdr_link::token::JoinToken;
use cmdr_link::{Client, SecretKey};
use cmdr_protocol::audit;
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Grant, Put};
use cmdr_protocol::runbooks::{Save, StepListing, StepResult, StepState, Steps};
use cmdr_protocol::runs::{
    Order, Output, Param, Plan, Retry, Runbook, Start, Stop, Target, TargetState,
};
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::{Join, PeerKind};
use cmdr_protocol::{ErrorKind, RunId, secrets};
use harness::process::{HubProcess, program};
use harness::{BareAgent, World, until, until_some};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn settings() -> Settings {
    Settings {
        program: Some("/usr/bin/ansible-playbook".into()),
        own_program: Some(program("cmdr-hub")),
        ..Settings::default()
    }
}

fn config() -> Config {
    let runs = Runs { rejoin_s: 1, ..Runs::default() };
    Config { ansible: settings(), runs, ..Config::default() }
}

/// A hub with one real agent, `web1`, and an administrator.
struct Scene {
    world: World,
    client: Client,
    agent: BareAgent,
    /// Where its playbooks write.
    dir: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let world = World::start_with(config()).await;
        let agent = world.agent("web1").await;
        let client = world.client(Role::ADMINISTRATOR).await;
        Self { world, client, agent, dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// Saves a runbook with one step that is this playbook, and runs it to its end.
    async fn play(&self, tasks: &str) -> (Target, String) {
        self.play_with(tasks, "").await
    }

    async fn play_with(&self, tasks: &str, more: &str) -> (Target, String) {
        save(&self.client, &book(tasks, more)).await;
        let run = start(&self.client).await;
        let target = over(&self.client, run).await.targets.remove(0);
        (target, output(&self.client, run).await)
    }
}

fn indented(text: &str, by: usize) -> String {
    let before = " ".repeat(by);
    text.lines().flat_map(|line| [&before, line, "\n"]).collect()
}

/// A runbook whose one step plays these tasks on all hosts.
fn book(tasks: &str, more: &str) -> String {
    let plays = format!("- hosts: all\n  gather_facts: false\n  tasks:\n{}", indented(tasks, 2));
    plays_of(&plays, more)
}

fn plays_of(plays: &str, more: &str) -> String {
    format!(
        "name: book\nparams:\n- name: word\n  lines: true\n  default: hello\n- name: port\n  type: number\n  default: 80\n\
         - name: names\n  type: list\n  default: [a, b]\nsteps:\n- name: play\n  ansible:\n    playbook: |\n{}{more}",
        indented(plays, 6)
    )
}

async fn save(client: &Client, text: &str) {
    let save = Save { name: "book".into(), text: text.to_owned(), ..Save::default() };
    ask(client, &save).await.unwrap();
}

fn order(params: &[(&str, &str)]) -> Order {
    let params = params.iter().map(|(k, v)| ((*k).to_owned(), Param::Text((*v).to_owned())));
    let runbook = Runbook { name: "book".into(), params: params.collect(), ..Runbook::default() };
    Order { runbook: Some(runbook), ..Order::default() }
}

async fn start_with(client: &Client, params: &[(&str, &str)]) -> RunId {
    let start = Start { hosts: "*".into(), order: order(params), ..Start::default() };
    ask(client, &start).await.unwrap().run.unwrap()
}

async fn start(client: &Client) -> RunId {
    start_with(client, &[]).await
}

async fn output(client: &Client, run: RunId) -> String {
    let output = Output { run, targets: Vec::new(), since: String::new(), follow: false };
    let mut feed = client.feed(None, &output).await.unwrap();
    let mut text = Vec::new();
    while let Some(item) = feed.next().await {
        for printed in item.unwrap().output {
            text.extend(printed.stdout);
            text.extend(printed.stderr);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

async fn steps(client: &Client, run: RunId) -> Vec<StepResult> {
    let StepListing { steps } = ask(client, &Steps { run, target: 0 }).await.unwrap();
    steps
}

#[tokio::test]
async fn a_playbook_does_its_work_on_the_host_and_the_second_time_finds_nothing_to_do() {
    let scene = Scene::new().await;
    let (motd, conf, made, told) =
        (scene.path("motd"), scene.path("conf"), scene.path("made"), scene.path("told"));
    let tasks = format!(
        "- copy: {{content: 'one\n\n    two', dest: {conf}}}\n\
         - lineinfile: {{path: {conf}.2, line: 'three={{{{ port }}}}', create: true}}\n\
         - template: {{src: motd.j2, dest: {motd}, mode: '0640'}}\n  notify: tell\n\
         - command: {{cmd: 'touch {made}', creates: {made}}}\n\
         - fetch: {{src: {conf}, dest: 'fetched/', flat: true}}\n  changed_when: false\n"
    );
    let plays = format!(
        "- hosts: all\n  tasks:\n{}  handlers:\n  - name: tell\n    shell: 'echo told >> {told}'\n",
        indented(&tasks, 2)
    );
    let more = "    files:\n      templates/motd.j2: |\n        {{ inventory_hostname }} {{ port + 1 }} {{ names | join('+') }} {{ ansible_system }}\n    \
                vars: {port: '{{port}}', names: '{{names}}'}\n";
    save(&scene.client, &plays_of(&plays, more)).await;
    let run = start(&scene.client).await;
    let target = over(&scene.client, run).await.targets.remove(0);
    let printed = output(&scene.client, run).await;
    assert_eq!(target.state, TargetState::Ok, "{target:?}\n{printed}");
    assert_eq!(scene.text("motd"), "web1 81 a+b Linux\n");
    assert_eq!(scene.text("conf"), "one\ntwo", "{printed}");
    assert_eq!(scene.text("conf.2"), "three=80\n", "{printed}");
    assert!(scene.text("told") == "told\n" && Path::new(&made).exists(), "{printed}");
    assert!(printed.contains("PLAY RECAP") && printed.contains("TASK [template]"), "{printed}");
    let step = steps(&scene.client, run).await.remove(0);
    assert!(step.state == StepState::Ok && step.changed, "{step:?}");
    let run = start(&scene.client).await;
    let target = over(&scene.client, run).await.targets.remove(0);
    assert_eq!(target.state, TargetState::Ok);
    assert!(target.why.contains("changed=0"), "{target:?}");
    assert!(!steps(&scene.client, run).await[0].changed);
    assert_eq!(scene.text("told"), "told\n");
    let left = std::fs::read_dir(scene.world.path("playbooks")).unwrap().count();
    assert_eq!(left, 0, "folders of playbooks are gone when these are over");
}

#[tokio::test]
async fn a_task_that_fails_fails_its_host_with_its_words_and_a_retry_plays_again() {
    let scene = Scene::new().await;
    let gate = scene.path("gate");
    let tasks = format!(
        "- name: look for the gate\n  command: cat {gate}\n- copy: {{content: x, dest: '{gate}.2'}}\n"
    );
    let (target, printed) = scene.play(&tasks).await;
    assert_eq!((target.state, target.code), (TargetState::Failed, Some(2)), "{printed}");
    assert!(
        target.why.contains("step play failed: task 'look for the gate'")
            && target.why.contains("No such file"),
        "{target:?}"
    );
    std::fs::write(&gate, "open").unwrap();
    let runs = ask(&scene.client, &cmdr_protocol::runs::List::default()).await.unwrap().runs;
    let run = runs[0].id.unwrap();
    let retry = Retry { run, targets: Vec::new(), cancelled: false, confirm: None };
    ask(&scene.client, &retry).await.unwrap();
    let target = over(&scene.client, run).await.targets.remove(0);
    assert_eq!(target.state, TargetState::Ok, "{target:?}");
    assert_eq!(scene.text("gate.2"), "x");
    // What is wrong with a playbook itself is told as Ansible says it.
    let (target, _) = scene.play("- nosuchmodule: {}\n").await;
    assert!(
        target.state == TargetState::Failed && target.why.contains("nosuchmodule"),
        "{target:?}"
    );
    save(&scene.client, &plays_of("- hosts: others\n  tasks: []\n", "")).await;
    let run = start(&scene.client).await;
    let target = over(&scene.client, run).await.targets.remove(0);
    assert!(target.why.contains("no play of the playbook is for this host"), "{target:?}");
}

#[tokio::test]
async fn a_check_says_what_would_change_and_changes_nothing() {
    let scene = Scene::new().await;
    let tasks = format!(
        "- copy: {{content: \"new\\n\", dest: {}}}\n  tags: [one]\n- command: /bin/false\n  tags: [two]\n",
        scene.path("file")
    );
    let more = "    check: true\n    diff: true\n    tags: [one]\n";
    let (target, printed) = scene.play_with(&tasks, more).await;
    assert_eq!(target.state, TargetState::Ok, "{printed}");
    assert!(target.why.contains("changed=1") && printed.contains("+new"), "{target:?} {printed}");
    assert!(!Path::new(&scene.path("file")).exists());
}

#[tokio::test]
async fn values_arrive_as_they_are_whatever_is_in_them() {
    let scene = Scene::new().await;
    let hostile = "{{ lookup('pipe', 'touch /tmp/never') }} {% if x %} $(id) `id` \"'\\ 容器 😀\nsecond: line\n#x";
    let tasks = format!("- copy: {{content: '{{{{ given }}}}', dest: {}}}\n", scene.path("given"));
    let more = "    vars: {given: '{{word}}'}\n";
    save(&scene.client, &book(&tasks, more)).await;
    let run = start_with(&scene.client, &[("word", hostile)]).await;
    let target = over(&scene.client, run).await.targets.remove(0);
    assert_eq!(target.state, TargetState::Ok, "{target:?} {}", output(&scene.client, run).await);
    assert_eq!(scene.text("given"), hostile);
    // A secret is put in when the step begins, and stands nowhere in the run.
    let secret = secrets::Put { name: "runbook.word".into(), value: b"s3cr3t {{ x }}".to_vec() };
    ask(&scene.client, &secret).await.unwrap();
    let text = book(&tasks, "    vars: {given: '{{key}}'}\n")
        .replace("params:\n", "params:\n- name: key\n  type: secret\n  default: runbook.word\n");
    save(&scene.client, &text).await;
    let run = start(&scene.client).await;
    let target = over(&scene.client, run).await.targets.remove(0);
    assert_eq!(target.state, TargetState::Ok, "{target:?}");
    assert_eq!(scene.text("given"), "s3cr3t {{ x }}");
}

#[tokio::test]
async fn become_is_done_by_the_agent_and_a_step_may_say_as_whom_it_works() {
    let scene = Scene::new().await;
    let tasks = "- command: id -un\n  register: plain\n- command: id -un\n  become: true\n  become_user: nobody\n  register: other\n\
                 - debug: {msg: 'plain={{ plain.stdout }} other={{ other.stdout }}'}\n";
    let (target, printed) = scene.play(tasks).await;
    assert_eq!(target.state, TargetState::Ok, "{target:?}\n{printed}");
    let own = std::process::Command::new("id").arg("-un").output().unwrap();
    let own = String::from_utf8(own.stdout).unwrap();
    assert!(printed.contains(&format!("plain={} other=nobody", own.trim())), "{printed}");
    let text = book(tasks, "").replace("- name: play\n", "- name: play\n  user: daemon\n");
    save(&scene.client, &text).await;
    let run = start(&scene.client).await;
    over(&scene.client, run).await;
    let printed = output(&scene.client, run).await;
    assert!(printed.contains("plain=daemon"), "{printed}");
}

#[tokio::test]
async fn nothing_of_the_hubs_machine_is_within_reach_of_a_playbook() {
    let scene = Scene::new().await;
    let key = scene.world.path("hub.key");
    let key = cmdr_hub::data::key_path(key.parent().unwrap());
    assert!(key.exists());
    let (key, trace) = (key.display().to_string(), scene.path("trace"));
    let secret = "-----nobody reads this-----";
    std::fs::write(scene.path("hidden"), secret).unwrap();
    let hidden = scene.path("hidden");
    let key_was = std::fs::read(&key).unwrap();
    let local = "vars: {ansible_connection: ansible.builtin.local}";
    let pipe =
        |program: String| format!("- debug: {{msg: \"{{{{ lookup('pipe', '{program}') }}}}\"}}\n");
    // Each is a way round the connection to the host.
    for (tasks, why) in [
        (format!("- command: touch {trace}\n  connection: local\n"), "does nothing on the hub"),
        (
            format!("- command: touch {trace}\n  delegate_to: localhost\n"),
            "does nothing on the hub",
        ),
        (format!("- local_action: command touch {trace}\n"), "does nothing on the hub"),
        (format!("- command: touch {trace}\n  delegate_to: web2\n"), "the host of the step alone"),
        (format!("- command: touch {trace}\n  {local}\n"), ""),
        (format!("- command: cat {key}\n  {local}\n"), ""),
        (format!("- debug: {{msg: \"{{{{ lookup('file', '{hidden}') }}}}\"}}\n"), ""),
        (pipe(format!("cat {hidden}")), "returned 1"),
        (pipe(format!("touch {trace}")), "returned 1"),
        (pipe(format!("chmod 777 {key}")), "returned 1"),
        (pipe(format!("truncate -s 0 {key}")), "returned 1"),
        (format!("- copy: {{src: {hidden}, dest: {trace}}}\n"), "denied"),
    ] {
        let (target, printed) = scene.play(&tasks).await;
        assert_eq!(target.state, TargetState::Failed, "{tasks}{printed}");
        assert!(target.why.contains(why) || printed.contains(why), "{tasks}{target:?}\n{printed}");
        assert!(!printed.contains("nobody reads this"), "{tasks}{printed}");
        assert!(!Path::new(&trace).exists(), "{tasks}{printed}");
    }
    assert_eq!(std::fs::read(&key).unwrap(), key_was);
    // What programs say that run there all the same.
    let python = |code: &str| format!("python3 -c \\\"{code}\\\" 2>&1 || true");
    let pid = std::process::id();
    let mut tasks = String::new();
    let looks = [
        (format!("cat /proc/{pid}/environ 2>&1 || true"), "Permission denied"),
        ("ls /root 2>&1 || true".to_owned(), "Permission denied"),
        ("ls /etc 2>&1 || true".to_owned(), "Permission denied"),
        (format!("kill -0 {pid} 2>&1 || true"), "ot permitted"),
        (format!("chmod 777 {key} 2>&1 || true"), "not permitted"),
        (python("import socket; socket.socket()"), "PermissionError"),
        (python("import socket; socket.socket(socket.AF_UNIX)"), "PermissionError"),
        (python("import os; os.sched_setaffinity(1, [0])"), "PermissionError"),
        ("unshare -r true 2>&1 || true".to_owned(), "not permitted"),
        ("env | sort".to_owned(), "ANSIBLE_CONFIG="),
    ];
    for (program, _) in &looks {
        tasks += &pipe(program.clone());
    }
    let (target, printed) = scene.play(&tasks).await;
    assert_eq!(target.state, TargetState::Ok, "{target:?}\n{printed}");
    let told: Vec<_> = printed.lines().filter(|line| line.contains("\"msg\":")).collect();
    assert_eq!(told.len(), looks.len(), "{printed}");
    for ((program, what), told) in looks.iter().zip(told) {
        assert!(told.contains(what), "{program}: {told}");
        assert!(!told.contains("CARGO"), "the hub's environment is not for it: {told}");
    }
}

#[tokio::test]
async fn two_hosts_at_once_each_go_their_own_way() {
    let scene = Scene::new().await;
    let _other = scene.world.agent("web2").await;
    let dir = scene.path("");
    let tasks = format!(
        "- copy: {{content: '{{{{ inventory_hostname }}}}', dest: '{dir}{{{{ inventory_hostname }}}}'}}\n\
         - fail: {{msg: not here}}\n  when: inventory_hostname == 'web2'\n"
    );
    save(&scene.client, &book(&tasks, "")).await;
    let run = start(&scene.client).await;
    let targets = over(&scene.client, run).await.targets;
    let told: Vec<_> = targets.iter().map(|t| (t.name.as_str(), t.state)).collect();
    assert_eq!(told, [("web1", TargetState::Ok), ("web2", TargetState::Failed)], "{targets:?}");
    assert!(targets[1].why.contains("not here"), "{targets:?}");
    assert_eq!((scene.text("web1"), scene.text("web2")), ("web1".into(), "web2".into()));
    // One record for each, with the run in it.
    let page = ask(&scene.client, &audit::List::default()).await.unwrap();
    let of_run = |record: &&cmdr_protocol::audit::Record| {
        let body = format!("{:?}", record.body);
        record.method == "exec.start" && body.contains(&run.to_string()) && body.contains("play")
    };
    let asked: Vec<_> = page.records.iter().filter(of_run).collect();
    assert_eq!(asked.len(), 2, "{:?}", page.records);
    assert!(
        asked
            .iter()
            .all(|record| record.event == audit::Event::Asked && record.resource == "runbook:book")
    );
}

/// A playbook that waits on the host until it is ended, and says when it does.
fn waiting(scene: &Scene) -> String {
    format!("- shell: 'echo $$ > {}; exec sleep 600'\n", scene.path("pid"))
}

fn runs(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z ")
}

#[tokio::test]
async fn a_stop_ends_the_playbook_and_what_it_runs_on_the_host() {
    let scene = Scene::new().await;
    save(&scene.client, &book(&waiting(&scene), "")).await;
    let run = start(&scene.client).await;
    until("the task runs", async || scene.text("pid").ends_with('\n')).await;
    let pid = scene.text("pid");
    assert!(runs(&pid));
    ask(&scene.client, &Stop { run, why: String::new() }).await.unwrap();
    let target = over(&scene.client, run).await.targets.remove(0);
    assert_eq!(target.state, TargetState::Cancelled, "{target:?}");
    until("what it ran has ended", async || !runs(&pid)).await;
    assert_eq!(std::fs::read_dir(scene.world.path("playbooks")).unwrap().count(), 0);
    // So does a time that is over, of the step and of the run.
    let text =
        book(&waiting(&scene), "").replace("- name: play\n", "- name: play\n  timeout: 3s\n");
    save(&scene.client, &text).await;
    let run = start(&scene.client).await;
    let target = over(&scene.client, run).await.targets.remove(0);
    assert_eq!(target.state, TargetState::TimedOut, "{target:?}");
    save(&scene.client, &book(&waiting(&scene), "")).await;
    let start =
        Start { hosts: "*".into(), order: order(&[]), deadline_ms: Some(3000), ..Start::default() };
    let run = ask(&scene.client, &start).await.unwrap().run.unwrap();
    let target = over(&scene.client, run).await.targets.remove(0);
    assert_eq!(target.state, TargetState::TimedOut, "{target:?}");
}

#[tokio::test]
async fn a_host_that_goes_away_under_a_playbook_is_lost() {
    let scene = Scene::new().await;
    let Scene { world, client, agent, dir } = scene;
    let pid = dir.path().join("pid");
    let tasks = format!("- shell: 'echo $$ > {}; exec sleep 600'\n", pid.display());
    save(&client, &book(&tasks, "")).await;
    let run = start(&client).await;
    until("the task runs", async || pid.exists()).await;
    drop(agent);
    let target = over(&client, run).await.targets.remove(0);
    assert_eq!(target.state, TargetState::Lost, "{target:?}");
    assert!(target.why.contains("the link"), "{target:?}");
    until("its folder is gone", async || {
        std::fs::read_dir(world.path("playbooks")).unwrap().next().is_none()
    })
    .await;
}

#[tokio::test]
async fn a_hub_that_is_not_told_where_ansible_is_refuses_before_anything_is_begun() {
    let world = World::start().await;
    let _agent = world.agent("web1").await;
    let client = world.client(Role::ADMINISTRATOR).await;
    save(&client, &book("- command: id\n", "")).await;
    let start = Start { hosts: "*".into(), order: order(&[]), ..Start::default() };
    let plan = Plan { start: start.clone(), ..Plan::default() };
    for refused in [ask(&client, &start).await.err(), ask(&client, &plan).await.err()] {
        let told = refused.unwrap().message;
        assert!(told.contains("[ansible]") && told.contains("program ="), "{told}");
    }
}

#[tokio::test]
async fn whoever_may_save_runbooks_by_name_may_not_save_playbooks_with_that() {
    let scene = Scene::new().await;
    let role = Role::parse("writers").unwrap();
    let grant = |resource: &str| Grant {
        verbs: vec!["runbooks.save".into()],
        resources: vec![resource.into()],
        ..Grant::default()
    };
    let put = |grants: Vec<Grant>| Put { name: role, description: String::new(), grants };
    ask(&scene.client, &put(vec![grant("runbook:*")])).await.unwrap();
    let token = scene.world.token(TokenKind::Operator, role, 1).await;
    let key = SecretKey::generate().unwrap();
    let first = scene.world.dialer(PeerKind::Client, key.clone(), Some(&token));
    let (writer, _) = first.connect().await.unwrap();
    let save = |text: &str| Save { name: "book".into(), text: text.to_owned(), ..Save::default() };
    let plain = "name: book\nsteps:\n- name: a\n  line: x\n";
    ask(&writer, &save(plain)).await.unwrap();
    let text = book("- command: id\n", "");
    let refused = ask(&writer, &save(&text)).await.unwrap_err();
    assert!(
        refused.kind == ErrorKind::Denied && refused.message.contains("ansible:book"),
        "{refused}"
    );
    ask(&scene.client, &put(vec![grant("runbook:*"), grant("ansible:book")])).await.unwrap();
    // Who has other rights now dials again.
    writer.link().down().await;
    let again = scene.world.dialer(PeerKind::Client, key, None);
    let (writer, _) = again.connect().await.unwrap();
    ask(&writer, &save(&text)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_killed_takes_its_playbooks_with_it_and_says_that_they_are_lost() {
    let mut hub = HubProcess::unstarted(tempfile::tempdir().unwrap());
    let file = hub.dir.path().join("hub.toml");
    std::fs::write(&file, "[ansible]\nprogram = '/usr/bin/ansible-playbook'\n").unwrap();
    hub.options = vec!["--config".into(), file.display().to_string()];
    hub.start_again();
    let (address, public) = (hub.address.clone(), hub.key());
    let dial = |kind, token: Option<&str>, key| {
        let token = token.map(|text| JoinToken::parse(text).unwrap());
        Dialer {
            target: At { address: address.clone(), hub: public },
            key,
            kind,
            name: "web1".to_owned(),
            version: "test",
            capabilities: Vec::new(),
            join: token.map(|t| Join { token: Some(t.id), secret: t.secret.to_vec() }),
            limits: Limits::default(),
            patience: Duration::from_secs(1),
            from: None,
            dir: None,
        }
    };
    let operator = SecretKey::generate().unwrap();
    let token = hub.token(Some("administrator"), 1);
    let client = dial(PeerKind::Client, Some(&token), operator.clone()).connect().await.unwrap().0;
    let mut dialer =
        dial(PeerKind::Agent, Some(&hub.token(None, 1)), SecretKey::generate().unwrap());
    let mut config = agent::Config::new(hub.dir.path().join("agent"));
    config.supervisor = program("cmdr-agentd");
    let service = Arc::new(Agent::service(config));
    let serve = async |dialer: &Dialer| {
        let (link, _, streams) = dialer.dial().await.ok()?;
        Some(tokio::spawn(agent::serve(service.clone(), link, streams)))
    };
    let serving = serve(&dialer).await.unwrap();
    let trace = hub.dir.path().join("trace");
    let tasks = format!("- shell: 'echo x >> {}; exec sleep 600'\n", trace.display());
    save(&client, &book(&tasks, "")).await;
    let run = start(&client).await;
    until("the task runs", async || trace.exists()).await;
    let folders = hub.data().join("playbooks");
    assert_eq!(std::fs::read_dir(&folders).unwrap().count(), 1);
    hub.kill();
    serving.abort();
    until("its keeper has ended it", async || {
        std::fs::read_dir(&folders).unwrap().next().is_none()
    })
    .await;
    let named = |entry: std::fs::DirEntry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&folders.display().to_string())
    };
    let left = || std::fs::read_dir("/proc").unwrap().flatten().any(named);
    until("nothing of it is left", async || !left()).await;
    hub.start_again();
    dialer.join = None;
    dialer.target.address.clone_from(&hub.address);
    let mut again = dial(PeerKind::Client, None, operator);
    again.target.address.clone_from(&hub.address);
    let client = until_some("the hub is back", async || again.connect().await.ok()).await.0;
    let _serving = until_some("so is the agent", async || serve(&dialer).await).await;
    let target = over(&client, run).await.targets.remove(0);
    assert_eq!(target.state, TargetState::Lost, "{target:?}");
    assert!(target.why.contains("what it has done is not known"), "{target:?}");
    assert_eq!(std::fs::read_to_string(&trace).unwrap(), "x\n", "it was not played again");
}

/// What `cmdr-hub` says and how it ends when it is to go into the cage, on a kernel that lacks a call of Landlock.
fn caged(lacks: Option<i64>) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let job = serde_json::json!({"program": "/bin/true", "args": [], "env": {}, "reads": []});
    cmdr_link::files::private_dir(dir.path()).unwrap();
    cmdr_link::files::write_private(&dir.path().join("job.json"), job.to_string().as_bytes())
        .unwrap();
    std::fs::create_dir(dir.path().join("tmp")).unwrap();
    // A filter is for the thread that asks for it, and for all that it starts.
    let run = move || {
        if let Some(call) = lacks {
            let errno = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
            let arch = std::env::consts::ARCH.try_into().unwrap();
            let rules = [(call, Vec::new())].into();
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, errno, arch).unwrap();
            seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
        }
        let mut command = std::process::Command::new(program("cmdr-hub"));
        let output = command.arg("cage-playbook").arg(dir.path()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    std::thread::spawn(run).join().unwrap()
}

#[test]
fn where_a_playbook_cannot_be_kept_in_it_is_not_run() {
    assert_eq!(caged(None), (Some(0), String::new()));
    let (code, told) = caged(Some(libc::SYS_landlock_create_ruleset));
    assert!(code == Some(125) && told.contains("not run") && told.contains("Landlock"), "{told}");
    let (code, told) = caged(Some(libc::SYS_seccomp));
    assert!(code == Some(125) && told.contains("not run"), "{told}");
}
