//! Sessions over SSH to a machine without an agent: a real server, through a hub and an agent over real links.

use crate::sessions::{Seat, answered, attach, list, of, recorded, rule};
use cmdr_agentd::{agent, policy::Policy};
use cmdr_link::Client;
use cmdr_link::ssh_keys::Key;
use cmdr_protocol::exec::Outcome;
use cmdr_protocol::recordings::EventKind;
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Grant, Put};
use cmdr_protocol::sessions::{Attach, Input, Mode, Size};
use cmdr_protocol::ssh::*;
use cmdr_protocol::{CallError, ErrorKind, HostId};
use harness::sshd::{Lets, PASSWORD, Sshd, USER};
use harness::{World, until};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn to(sshd: &Sshd) -> Open {
    Open {
        host: "127.0.0.1".into(),
        port: sshd.port,
        user: USER.into(),
        size: Size { columns: 80, rows: 24 },
        ..Open::default()
    }
}

/// Somebody who opens a session, and what they answer.
struct Person<'a> {
    client: &'a Client,
    host: HostId,
    /// What is typed, one after the other.
    types: Vec<&'a str>,
    key: Option<Key>,
    /// Says that a machine is the right one.
    trusts: bool,
    /// Host keys that they were shown.
    shown: Vec<HostKey>,
    /// What they were asked to type.
    asked: Vec<Typed>,
}

impl<'a> Person<'a> {
    fn new(client: &'a Client, host: HostId) -> Self {
        let (types, shown, asked) = (vec![PASSWORD], Vec::new(), Vec::new());
        Self { client, host, types, key: None, trusts: true, shown, asked }
    }

    async fn answer(&mut self, question: Question, user: &str) -> Answer {
        if let Some(key) = question.host_key {
            self.shown.push(key.clone());
            if self.trusts {
                let HostKey { host, port, key, fingerprint, .. } = key;
                let trust = Trust { host, port, key, fingerprint };
                self.client.call(Some(self.host), &trust, PATIENCE).await.unwrap();
            }
            return Answer { go_on: self.trusts, ..Answer::default() };
        }
        if let Some(typed) = question.typed {
            let count = typed.prompts.len();
            self.asked.push(typed);
            let typed =
                self.types.drain(..count.min(self.types.len())).map(str::to_owned).collect();
            return Answer { typed, ..Answer::default() };
        }
        let (sign, key) = (question.sign.unwrap(), self.key.as_ref().unwrap());
        assert_eq!(sign.key, key.public());
        Answer { signature: key.sign(&sign, user).unwrap(), ..Answer::default() }
    }

    async fn opens(&mut self, open: Open) -> Result<Seat<Open>, CallError> {
        let keys = self.key.iter().map(Key::public).collect();
        let open = Open { keys, ..open };
        let mut seat = Seat::new(self.client.feed(Some(self.host), &open).await?);
        while seat.id.is_empty() {
            let next = tokio::time::timeout(PATIENCE, seat.feed.next()).await;
            let item = next.expect("something comes").transpose()?;
            let mut item = item.expect("it begins or is refused");
            if let Some(question) = item.ask.take() {
                let answer = self.answer(question, &open.user).await;
                seat.send(Input { answer: Some(answer), ..Input::default() }).await;
            }
            seat.apply(item).await;
        }
        Ok(seat)
    }
}

fn of_the_error(opened: Result<Seat<Open>, CallError>) -> CallError {
    match opened {
        Ok(seat) => panic!("session {} was opened", seat.id),
        Err(e) => e,
    }
}

#[tokio::test]
async fn a_session_by_password_is_listed_left_found_again_and_ends_with_the_shells_code() {
    let world = World::start().await;
    let sshd = Sshd::start(&world.path("sshd"), Lets::Password).await;
    let agent = world.agent("gate").await;
    let ann = world.client(Role::OPERATOR).await;
    let mut person = Person::new(&ann, agent.id);
    let mut seat = person.opens(to(&sshd)).await.unwrap();
    assert_eq!(person.shown[0].fingerprint, sshd.fingerprint());
    assert_eq!((person.asked.len(), person.asked[0].prompts[0].echo), (1, false));
    seat.types("stty size; echo i am $(id -un) $TERM\r").await;
    seat.until(&format!("i am {USER} xterm-256color")).await;
    assert!(seat.text().contains("24 80"), "{}", seat.text());
    let size = Size { columns: 100, rows: 30 };
    seat.send(Input { size: Some(size), ..Input::default() }).await;
    seat.until_that("the size", |seat| seat.size == Some(size)).await;
    seat.types("stty size\r").await;
    seat.until("30 100").await;
    let id = seat.id.clone();
    let listed = list(&ann, agent.id).await;
    let target = format!("{USER}@127.0.0.1:{}", sshd.port);
    assert_eq!((listed[0].id.as_str(), listed[0].ssh.as_str()), (id.as_str(), target.as_str()));
    assert_eq!(
        (listed[0].command.as_slice(), listed[0].user.as_str()),
        (&["ssh".to_owned(), target][..], "")
    );
    drop(seat);
    until("nobody is attached", async || list(&ann, agent.id).await[0].clients.is_empty()).await;
    // The agent ends, and the next one finds it.
    drop(agent);
    let agent = world.agent_with("gate2", agent::Config::new(world.path("gate"))).await;
    let again = Attach { opened: format!("ssh:{}", listed[0].ssh), ..attach(&id, Mode::Drive) };
    let mut seat = Seat::take(&ann, agent.id, again).await.unwrap();
    seat.until("30 100").await;
    seat.types("exit 7\r").await;
    let exit = seat.exit().await;
    assert_eq!((exit.outcome, exit.code), (Outcome::Exited, 7));
    until("it is listed no more", async || list(&ann, agent.id).await.is_empty()).await;
}

#[tokio::test]
async fn a_key_that_stays_with_the_operator_lets_in_and_no_password_is_asked_for() {
    let world = World::start().await;
    let sshd = Sshd::start(&world.path("sshd"), Lets::KeysOnly).await;
    let agent = world.agent("gate").await;
    let ann = world.client(Role::OPERATOR).await;
    let mut person = Person::new(&ann, agent.id);
    person.key = Some(Key::load(&sshd.key()).unwrap());
    let open = Open { command: "echo by key; exit 3".into(), ..to(&sshd) };
    let mut seat = person.opens(open).await.unwrap();
    assert_eq!(seat.exit().await.code, 3);
    assert!(seat.text().contains("by key"), "{}", seat.text());
    assert!(person.asked.is_empty());
    // Without one: what it takes is said.
    person.key = None;
    let refused = of_the_error(person.opens(to(&sshd)).await);
    assert_eq!(refused.kind, ErrorKind::Denied);
    assert!(refused.message.contains("takes only keys"), "{refused}");
}

#[tokio::test]
async fn a_wrong_password_may_be_typed_again_and_three_are_refused() {
    let world = World::start().await;
    let sshd = Sshd::start(&world.path("sshd"), Lets::Password).await;
    let agent = world.agent("gate").await;
    let ann = world.client(Role::OPERATOR).await;
    let mut person = Person::new(&ann, agent.id);
    person.types = vec!["wrong", PASSWORD];
    let mut seat = person.opens(to(&sshd)).await.unwrap();
    assert_eq!(person.asked.iter().map(|typed| typed.again).collect::<Vec<_>>(), [false, true]);
    seat.types("exit\r").await;
    seat.exit().await;
    person.types = vec!["wrong"; 3];
    let refused = of_the_error(person.opens(to(&sshd)).await);
    assert_eq!(refused.kind, ErrorKind::Denied);
    assert!(refused.message.contains("did not let us in"), "{refused}");
    person.types = Vec::new();
    let given_up = of_the_error(person.opens(to(&sshd)).await);
    assert_eq!(given_up.kind, ErrorKind::Cancelled, "{given_up}");
    // Nothing of it is left.
    let folder = world.path("gate").join("sessions");
    until("no holder is left", async || {
        std::fs::read_dir(&folder).unwrap().count() <= 1 && list(&ann, agent.id).await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn what_a_machine_asks_is_passed_on_and_answered() {
    let world = World::start().await;
    let sshd = Sshd::start(&world.path("sshd"), Lets::Questions).await;
    let agent = world.agent("gate").await;
    let ann = world.client(Role::OPERATOR).await;
    let mut person = Person::new(&ann, agent.id);
    person.types = vec!["wrong", PASSWORD];
    let mut seat = person.opens(to(&sshd)).await.unwrap();
    let prompt = &person.asked[0].prompts[0];
    assert!(prompt.text.contains("Password:") && !prompt.echo, "{prompt:?}");
    assert!(prompt.text.starts_with(USER), "who asks is said first: {prompt:?}");
    seat.types("exit 4\r").await;
    assert_eq!(seat.exit().await.code, 4);
}

#[tokio::test]
async fn a_machine_is_asked_about_once_and_one_whose_key_has_changed_is_refused() {
    let world = World::start().await;
    let mut sshd = Sshd::start(&world.path("sshd"), Lets::Password).await;
    let agent = world.agent("gate").await;
    let ann = world.client(Role::OPERATOR).await;
    let mut person = Person::new(&ann, agent.id);
    // Who does not confirm sends nothing, and nothing is remembered.
    person.trusts = false;
    let refused = of_the_error(person.opens(to(&sshd)).await);
    assert_eq!((refused.kind, person.asked.len()), (ErrorKind::Cancelled, 0), "{refused}");
    let known = async || ann.call(Some(agent.id), &List {}, PATIENCE).await.unwrap().known;
    assert!(known().await.is_empty());
    person.trusts = true;
    for _ in 0..2 {
        person.types = vec![PASSWORD];
        let mut seat = person.opens(to(&sshd)).await.unwrap();
        seat.types("exit\r").await;
        seat.exit().await;
    }
    assert_eq!(person.shown.len(), 2, "the third time it is known");
    let before = sshd.fingerprint();
    let listed = known().await;
    assert_eq!((listed[0].fingerprint.as_str(), listed[0].port), (before.as_str(), sshd.port));
    sshd.renew().await;
    let refused = of_the_error(person.opens(to(&sshd)).await);
    assert_eq!(refused.kind, ErrorKind::Conflict, "{refused}");
    for text in [before.as_str(), &sshd.fingerprint(), "cmdr ssh-hosts forget"] {
        assert!(refused.message.contains(text), "{refused}");
    }
    assert_eq!(person.shown.len(), 2, "nobody is asked about a changed key");
    let forget = Forget { host: "127.0.0.1".into(), port: sshd.port };
    assert_eq!(ann.call(Some(agent.id), &forget, PATIENCE).await.unwrap().keys, 1);
    person.types = vec![PASSWORD];
    person.opens(to(&sshd)).await.unwrap();
    assert_eq!(person.shown[2].fingerprint, sshd.fingerprint());
}

#[tokio::test]
async fn a_server_that_dies_ends_the_session_with_words() {
    let world = World::start().await;
    let mut sshd = Sshd::start(&world.path("sshd"), Lets::Password).await;
    let agent = world.agent("gate").await;
    let ann = world.client(Role::OPERATOR).await;
    let mut seat = Person::new(&ann, agent.id).opens(to(&sshd)).await.unwrap();
    seat.types("echo al''ive\r").await;
    seat.until("alive").await;
    sshd.kill();
    let exit = seat.exit().await;
    assert_eq!((exit.outcome, exit.code), (Outcome::Exited, 255));
    assert!(seat.text().contains("cmdr: the connection to "), "{}", seat.text());
}

#[tokio::test]
async fn what_cannot_be_reached_is_said_in_words_and_the_policy_has_the_last_one() {
    let world = World::start().await;
    let agent = world.agent("gate").await;
    let ann = world.client(Role::OPERATOR).await;
    let open =
        |host: &str, port| Open { host: host.into(), port, user: "x".into(), ..Open::default() };
    let tries =
        async |host: HostId, open: Open| of_the_error(Person::new(&ann, host).opens(open).await);
    let nowhere = cmdr_link::port::choose();
    let refused = tries(agent.id, open("127.0.0.1", nowhere)).await;
    assert_eq!(refused.kind, ErrorKind::Unreachable);
    assert!(refused.message.contains("refused"), "{refused}");
    let unknown = tries(agent.id, open("no-such-machine.invalid", 22)).await;
    assert_eq!(unknown.kind, ErrorKind::Unreachable, "{unknown}");
    assert!(unknown.message.contains("no-such-machine.invalid"), "{unknown}");
    let malformed = tries(agent.id, open("-oProxyCommand=x", 22)).await;
    assert_eq!(malformed.kind, ErrorKind::Malformed);
    // Something that listens and does not speak SSH.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let says = std::thread::spawn(move || {
        use std::io::Write as _;
        let (mut socket, _) = other.accept().unwrap();
        socket.write_all(b"220 mail.example ESMTP\r\n\r\n").unwrap();
    });
    let other = tries(agent.id, open("127.0.0.1", port)).await;
    says.join().unwrap();
    assert!(other.message.contains("SSH"), "{other}");
    let mut config = agent::Config::new(world.path("strict"));
    let text = "[ssh]\nnetworks = [\"10.0.0.0/8\"]\n";
    config.policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), text).unwrap();
    let strict = world.agent_with("strict", config).await;
    let refused = tries(strict.id, open("127.0.0.1", nowhere)).await;
    assert_eq!(refused.kind, ErrorKind::Denied);
    assert!(refused.message.contains("/etc/cmdr/agent.toml"), "{refused}");
}

#[tokio::test]
async fn a_grant_names_targets_and_what_it_does_not_name_is_refused() {
    let world = World::start().await;
    let agent = world.agent("gate").await;
    let (admin, observer) =
        (world.client(Role::ADMINISTRATOR).await, world.client(Role::OBSERVER).await);
    let role = Role::parse("db-people").unwrap();
    let grant = Grant {
        verbs: vec!["ssh.open".into()],
        hosts: String::new(),
        resources: vec!["ssh:deploy@127.0.0.*:*".into()],
        ..Grant::default()
    };
    let put = Put { name: role, description: String::new(), grants: vec![grant] };
    admin.call(None, &put, PATIENCE).await.unwrap();
    let bob = world.client(role).await;
    let nowhere = cmdr_link::port::choose();
    let open = |user: &str, host: &str| Open {
        host: host.into(),
        port: nowhere,
        user: user.into(),
        ..Open::default()
    };
    let kind = async |client: &Client, open: Open| {
        of_the_error(Person::new(client, agent.id).opens(open).await).kind
    };
    assert_eq!(kind(&bob, open("deploy", "127.0.0.1")).await, ErrorKind::Unreachable);
    assert_eq!(kind(&bob, open("root", "127.0.0.1")).await, ErrorKind::Denied);
    assert_eq!(kind(&bob, open("deploy", "localhost")).await, ErrorKind::Denied);
    assert_eq!(kind(&observer, open("deploy", "127.0.0.1")).await, ErrorKind::Denied);
    let trust = Trust { host: "127.0.0.1".into(), port: 22, ..Trust::default() };
    let refused = bob.call(Some(agent.id), &trust, PATIENCE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied, "whoever may go there may not say who that is");
}

#[tokio::test]
async fn it_is_recorded_and_audited_and_the_password_is_in_neither() {
    let world = World::start().await;
    let sshd = Sshd::start(&world.path("sshd"), Lets::Password).await;
    let agent = world.agent("gate").await;
    let (admin, ann) =
        (world.client(Role::ADMINISTRATOR).await, world.client(Role::OPERATOR).await);
    rule(&admin).await;
    let mut seat = Person::new(&ann, agent.id).opens(to(&sshd)).await.unwrap();
    let id = seat.recording.expect("who is recorded is told");
    seat.types("echo on re''cord; exit\r").await;
    seat.exit().await;
    let record = answered(&world, id).await;
    assert_eq!(record.method, "ssh.open");
    let (recording, events) = recorded(&admin, id).await;
    assert_eq!(recording.ended, "exit 0");
    assert!(
        recording.command.starts_with(&format!("ssh {USER}@127.0.0.1:")),
        "{}",
        recording.command
    );
    assert!(of(EventKind::Output, &events).contains("on record"));
    let typed = of(EventKind::Input, &events);
    assert!(typed.contains("echo on") && !typed.contains(PASSWORD), "{typed}");
    // Nowhere in what hub and agent have on disk.
    let mut folders = vec![world.data().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                files += 1;
                let found = bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
                assert!(!found, "{} holds the password", entry.path().display());
            }
        }
    }
    assert!(files > 5, "files were looked at");
}

#[test]
fn the_hubs_own_machine_offers_nothing_but_sessions_over_ssh() {
    let off = cmdr_hub::ssh::off();
    let on: Vec<_> =
        cmdr_agentd::services::NAMES.iter().filter(|name| !off.contains(*name)).collect();
    assert_eq!(on, [&"ping", &"sessions", &"ssh"]);
    assert!(off.iter().all(|name| cmdr_agentd::services::NAMES.contains(name)));
}
