//! Sessions through a hub over real links: left and found again, handed over, joined, recorded, ended.

mod keys;

use cmdr_agentd::{agent, policy::Policy};
use cmdr_link::{Client, FeedStream, SecretKey};
use cmdr_protocol::audit::{Outcome as Answered, Record};
use cmdr_protocol::exec::{Exit, Outcome};
use cmdr_protocol::recordings::{self, EventKind, PutRule, Recording, Rule, Stop};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Grant, Put};
use cmdr_protocol::sessions::*;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::PeerKind;
use cmdr_protocol::{CallError, ErrorKind, Feed, HostId};
use harness::{World, until, until_some};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn sh(script: &str) -> Open {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    Open { argv, size: Size { columns: 80, rows: 24 }, ..Open::default() }
}

/// Somebody at a session, with all they have seen since the screen was drawn last.
pub(crate) struct Seat<F: Feed> {
    pub(crate) feed: FeedStream<F>,
    pub(crate) id: String,
    pub(crate) client: u32,
    pub(crate) seen: Vec<u8>,
    pub(crate) taken: u64,
    pub(crate) lost: u64,
    pub(crate) fresh: u32,
    pub(crate) size: Option<Size>,
    pub(crate) clients: Vec<cmdr_protocol::sessions::Client>,
    pub(crate) recording: Option<u64>,
    pub(crate) exit: Option<Exit>,
}

impl<F: Feed<Item = Item, Input = Input>> Seat<F> {
    pub(crate) async fn take(client: &Client, host: HostId, ask: F) -> Result<Self, CallError> {
        let mut seat = Self::new(client.feed(Some(host), &ask).await?);
        while seat.id.is_empty() {
            seat.next().await?;
        }
        Ok(seat)
    }

    pub(crate) fn new(feed: FeedStream<F>) -> Self {
        Self {
            feed,
            id: String::new(),
            client: 0,
            seen: Vec::new(),
            taken: 0,
            lost: 0,
            fresh: 0,
            size: None,
            clients: Vec::new(),
            recording: None,
            exit: None,
        }
    }

    /// Takes in the next item; false at the end.
    pub(crate) async fn next(&mut self) -> Result<bool, CallError> {
        let next = tokio::time::timeout(PATIENCE, self.feed.next()).await;
        let next = next.unwrap_or_else(|_| panic!("nothing comes after {}", self.text()));
        let Some(item) = next.transpose()? else { return Ok(false) };
        self.apply(item).await;
        Ok(true)
    }

    pub(crate) async fn apply(&mut self, item: Item) {
        if let Some(begun) = item.begun {
            (self.id, self.client) = (begun.id, begun.client);
        }
        if item.fresh {
            self.seen.clear();
            self.fresh += 1;
        }
        self.seen.extend_from_slice(&item.output);
        self.taken += item.output.len() as u64;
        self.lost += item.lost.unwrap_or(0);
        self.size = item.size.or(self.size);
        self.clients = item.clients.unwrap_or(std::mem::take(&mut self.clients));
        self.recording = item.notice.and_then(|notice| notice.recording).or(self.recording);
        self.exit = item.exit;
        if self.exit.is_none() && !item.output.is_empty() {
            self.send(Input { taken: Some(self.taken), ..Input::default() }).await;
        }
    }

    pub(crate) async fn send(&mut self, input: Input) {
        // What has ended takes nothing more.
        self.feed.send(&input).await.ok();
    }

    pub(crate) async fn types(&mut self, keys: &str) {
        self.send(Input { data: keys.into(), ..Input::default() }).await;
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Waits for a text. What was looked through once is not looked through again: there may be a flood.
    pub(crate) async fn until(&mut self, text: &str) {
        let (mut from, mut fresh) = (0, self.fresh);
        while !String::from_utf8_lossy(&self.seen[from..]).contains(text) {
            from = self.seen.len().saturating_sub(text.len());
            assert!(self.next().await.unwrap(), "ended without {text}: {}", self.text());
            if std::mem::replace(&mut fresh, self.fresh) != self.fresh {
                from = 0;
            }
        }
    }

    pub(crate) async fn until_that(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            assert!(self.next().await.unwrap(), "ended without {what}: {}", self.text());
        }
    }

    pub(crate) async fn exit(&mut self) -> Exit {
        self.until_that("an exit", |seat| seat.exit.is_some()).await;
        self.exit.unwrap()
    }
}

pub(crate) fn attach(id: &str, mode: Mode) -> Attach {
    let (size, opened) = (Size { columns: 80, rows: 24 }, sh("").resource());
    Attach { id: id.into(), mode, size, opened }
}

fn join(id: &str, mode: Mode) -> Join {
    Join { id: id.into(), mode, size: Size { columns: 80, rows: 24 } }
}

pub(crate) async fn list(client: &Client, host: HostId) -> Vec<Session> {
    client.call(Some(host), &List {}, PATIENCE).await.unwrap().sessions
}

#[tokio::test]
async fn a_program_that_reads_no_keys_holds_up_nobody_who_looks_or_ends_it() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let ann = world.client(Role::OPERATOR).await;
    // For a moment nothing has the terminal open: from then on it is called ready for keys even when it is full.
    let script = "own=$(tty); exec <&- >&- 2>&-; sleep 0.3; exec <$own >$own 2>&1; echo there; exec sleep 1000";
    let mut seat = Seat::take(&ann, agent.id, sh(script)).await.unwrap();
    seat.until("there").await;
    let id = seat.id.clone();
    for _ in 0..8 {
        seat.types(&"a line of keys\r".repeat(500)).await;
    }
    drop(seat);
    let mut seat = Seat::take(&ann, agent.id, attach(&id, Mode::Watch)).await.unwrap();
    seat.until("there").await;
    drop(seat);
    ann.call(Some(agent.id), &End { id }, PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_full_screen_program_is_left_and_found_again_as_it_was() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let ann = world.client(Role::OPERATOR).await;
    let script = "printf 'before\\r\\n\\033[?1049h\\033[2J\\033[5;10Hfull screen\\033]2;a title\\007'; \
                  read x; printf '\\033[?1049l'; echo \"got $x\"; exit 3";
    let mut seat = Seat::take(&ann, agent.id, sh(script)).await.unwrap();
    seat.until("a title").await;
    let id = seat.id.clone();
    drop(seat);
    until("nobody is attached, and its title is told", async || {
        let listed = list(&ann, agent.id).await;
        listed.iter().all(|one| one.clients.is_empty() && one.title == "a title")
    })
    .await;
    assert_eq!(list(&ann, agent.id).await[0].id, id);
    let mut seat = Seat::take(&ann, agent.id, attach(&id, Mode::Drive)).await.unwrap();
    seat.until("full screen").await;
    let text = seat.text();
    assert!(text.contains("before") && text.contains("\x1b[?1049h"), "{text:?}");
    seat.types("x\r").await;
    seat.until("got x").await;
    let exit = seat.exit().await;
    assert_eq!((exit.outcome, exit.code), (Outcome::Exited, 3));
    // Who comes later learns how it ended.
    let mut late = Seat::take(&ann, agent.id, attach(&id, Mode::Drive)).await.unwrap();
    assert_eq!(late.exit().await.code, 3);
    assert!(list(&ann, agent.id).await.is_empty());
}

#[tokio::test]
async fn a_session_outlives_its_agent_and_the_next_one_finds_it() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let ann = world.client(Role::OPERATOR).await;
    let mut seat = Seat::take(&ann, agent.id, sh("echo still here; read x; exit 5")).await.unwrap();
    seat.until("still here").await;
    let id = seat.id.clone();
    drop(agent);
    while seat.next().await.is_ok_and(|more| more) {}
    // Another link, and the same folder; beside it lies the socket of one that is gone.
    let dead = world.path("here").join("sessions/deadsocket");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    let config = agent::Config::new(world.path("here"));
    let agent = world.agent_with("again", config).await;
    let listed = list(&ann, agent.id).await;
    assert_eq!((listed.len(), listed[0].id.as_str()), (1, id.as_str()));
    assert!(!dead.exists(), "what is left of one that is gone is removed");
    let mut seat = Seat::take(&ann, agent.id, attach(&id, Mode::Drive)).await.unwrap();
    seat.until("still here").await;
    seat.types("\r").await;
    assert_eq!(seat.exit().await.code, 5);
}

#[tokio::test]
async fn one_drives_and_hands_over_and_the_size_is_the_drivers() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let ann = world.client(Role::OPERATOR).await;
    let script = "while read x; do stty size; echo \"<$x>\"; done";
    let mut first = Seat::take(&ann, agent.id, sh(script)).await.unwrap();
    let id = first.id.clone();
    let mut second = Seat::take(&ann, agent.id, attach(&id, Mode::Watch)).await.unwrap();
    first.until_that("both", |seat| seat.clients.len() == 2).await;
    // Keys of who watches go nowhere.
    second.types("no\r").await;
    first.types("one\r").await;
    second.until("<one>").await;
    assert!(!second.text().contains("<no>"), "{}", second.text());
    let size = Size { columns: 100, rows: 30 };
    first.send(Input { give: Some(second.client), ..Input::default() }).await;
    second
        .until_that("to drive", |s| {
            s.clients.first().is_some_and(|c| c.id == s.client && c.mode == Mode::Drive)
        })
        .await;
    second.send(Input { size: Some(size), data: b"two\r".to_vec(), ..Input::default() }).await;
    first.until("<two>").await;
    assert!(first.text().contains("30 100"), "{}", first.text());
    assert_eq!(first.size, Some(size));
    first.send(Input { take: true, data: b"three\r".to_vec(), ..Input::default() }).await;
    second.until("<three>").await;
}

#[tokio::test]
async fn only_the_owner_attaches_and_an_administrator_joins_and_everybody_is_told() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let (ann, bob) = (world.client(Role::OPERATOR).await, world.client(Role::OPERATOR).await);
    let admin = world.client(Role::ADMINISTRATOR).await;
    let mut seat =
        Seat::take(&ann, agent.id, sh("while read x; do echo \"<$x>\"; done")).await.unwrap();
    let id = seat.id.clone();
    let refused = Seat::take(&bob, agent.id, attach(&id, Mode::Watch)).await.err().unwrap();
    assert_eq!(refused.kind, ErrorKind::Denied);
    let refused = Seat::take(&bob, agent.id, join(&id, Mode::Watch)).await.err().unwrap();
    assert_eq!(refused.kind, ErrorKind::Denied);
    let refused = bob.call(Some(agent.id), &End { id: id.clone() }, PATIENCE).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied);
    // To watch: told, and no key goes in, taken over or not.
    let mut watcher = Seat::take(&admin, agent.id, join(&id, Mode::Watch)).await.unwrap();
    seat.until_that("who watches", |seat| seat.clients.len() == 2).await;
    assert_ne!(seat.clients[1].operator, seat.clients[0].operator);
    assert_eq!(seat.clients[0].mode, Mode::Drive);
    watcher.send(Input { take: true, data: b"no\r".to_vec(), ..Input::default() }).await;
    seat.types("yes\r").await;
    watcher.until("<yes>").await;
    assert!(!watcher.text().contains("<no>"));
    drop(watcher);
    seat.until_that("alone again", |seat| seat.clients.len() == 1).await;
    // To take it over: the owner watches, and is told who drives.
    let mut taken = Seat::take(&admin, agent.id, join(&id, Mode::Drive)).await.unwrap();
    seat.until_that("taken over", |seat| {
        seat.clients.len() == 2
            && seat.clients.iter().any(|c| c.id == seat.client && c.mode == Mode::Watch)
    })
    .await;
    taken.types("mine\r").await;
    seat.until("<mine>").await;
    admin.call(Some(agent.id), &EndAny { id }, PATIENCE).await.unwrap();
    assert_eq!(seat.exit().await.outcome, Outcome::Closed);
}

/// Kilobytes that the holder of a session takes.
fn memory(session: &Session) -> u64 {
    let field = |pid: &str, name: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    let holder = field(&session.pid.to_string(), "PPid:");
    field(&holder, "VmRSS:").parse().unwrap()
}

#[tokio::test]
async fn a_flood_waits_for_who_drives_and_passes_over_who_watches_too_slowly() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let ann = world.client(Role::OPERATOR).await;
    let mut seat =
        Seat::take(&ann, agent.id, sh("stty -echo; read x; seq 1 700000; echo over; read x"))
            .await
            .unwrap();
    let mut slow = Seat::take(&ann, agent.id, attach(&seat.id.clone(), Mode::Watch)).await.unwrap();
    seat.types("\r").await;
    let (mut lines, mut last) = (Vec::new(), 0u32);
    while !String::from_utf8_lossy(&lines).contains("over") {
        assert!(seat.next().await.unwrap());
        lines.append(&mut seat.seen);
        // Every line came, in order.
        let whole = lines.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let text = String::from_utf8(lines.drain(..whole).collect()).unwrap();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if line == "over" {
                lines.extend_from_slice(b"over");
                break;
            }
            last += 1;
            assert_eq!(line, last.to_string());
        }
    }
    assert_eq!((last, seat.lost, seat.fresh), (700_000, 0, 1));
    let session = list(&ann, agent.id).await.remove(0);
    assert!(memory(&session) < 64 * 1024, "{} KiB", memory(&session));
    // Who did not look meanwhile is told what it missed, and sees the end.
    slow.until("over").await;
    assert!(slow.lost > 1_000_000 && slow.fresh >= 2, "{} {}", slow.lost, slow.fresh);
    seat.types("\r").await;
    seat.exit().await;
}

#[tokio::test]
async fn what_nobody_comes_back_to_ends_and_the_hosts_owner_has_the_last_word() {
    let world = World::start().await;
    let mut config = agent::Config::new(world.path("here"));
    let own = rustix::process::geteuid().as_raw();
    let text = "[sessions]\nmax = 2\n[exec]\ndenied_programs = [\"/usr/bin/env\"]\n";
    config.policy = Policy::parse(Path::new("/etc/cmdr/agent.toml"), text).unwrap();
    let agent = world.agent_with("here", config).await;
    let ann = world.client(Role::OPERATOR).await;
    let idle = Open { idle_s: Some(1), ..sh("sleep 600") };
    let seat = Seat::take(&ann, agent.id, idle).await.unwrap();
    let detached = Open { detached: true, ..sh("sleep 600") };
    let mut feed = ann.feed(Some(agent.id), &detached).await.unwrap();
    let id = feed.next().await.unwrap().unwrap().begun.unwrap().id;
    assert!(feed.next().await.is_none());
    let refused = Seat::take(&ann, agent.id, sh("true")).await.err().unwrap();
    assert_eq!(refused.kind, ErrorKind::Busy, "{refused}");
    drop(seat);
    until("it has ended", async || list(&ann, agent.id).await.len() == 1).await;
    ann.call(Some(agent.id), &End { id }, PATIENCE).await.unwrap();
    until("the other too", async || list(&ann, agent.id).await.is_empty()).await;
    let denied = Open { argv: vec!["env".into()], ..Open::default() };
    let refused = Seat::take(&ann, agent.id, denied).await.err().unwrap();
    assert_eq!(refused.kind, ErrorKind::Denied, "as {own}: {refused}");
    let missing = Open { argv: vec!["/no/such".into()], ..Open::default() };
    let refused = Seat::take(&ann, agent.id, missing).await.err().unwrap();
    assert_eq!(refused.kind, ErrorKind::NotFound);
}

pub(crate) async fn rule(admin: &Client) {
    let rule = Rule { name: "all".into(), input: true, ..Rule::default() };
    admin.call(None, &PutRule { rule }, PATIENCE).await.unwrap();
}

pub(crate) async fn recorded(admin: &Client, id: u64) -> (Recording, Vec<recordings::Event>) {
    let mut feed = admin.feed(None, &recordings::Read { id, from_ms: 0 }).await.unwrap();
    let (mut recording, mut events) = (None, Vec::new());
    while let Some(item) = feed.next().await {
        let item = item.unwrap();
        recording = item.recording.or(recording);
        events.extend(item.events);
    }
    (recording.unwrap(), events)
}

/// The audit record of how this ended.
pub(crate) async fn answered(world: &World, id: u64) -> Record {
    until_some("the end is in the audit log", async || {
        let mut tail = world.hub.audit.follow(Some(0));
        let last = world.hub.audit.point().seq;
        while tail.seq() < last {
            let records = tail.read().await.unwrap();
            let found = records.into_iter().find(|record| record.asked == Some(id));
            if found.is_some() {
                return found;
            }
        }
        None
    })
    .await
}

pub(crate) fn of(kind: EventKind, events: &[recordings::Event]) -> String {
    let of_kind = events.iter().filter(|event| event.kind == kind);
    of_kind.map(|event| String::from_utf8_lossy(&event.data).into_owned() + "|").collect()
}

#[tokio::test]
async fn each_seat_is_a_recording_of_its_own_that_names_the_session_and_leaving_is_no_error() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let (admin, ann) =
        (world.client(Role::ADMINISTRATOR).await, world.client(Role::OPERATOR).await);
    rule(&admin).await;
    let script = "while read x; do echo \"<$x>\"; done";
    let open = Open { size: Size { columns: 90, rows: 20 }, ..sh(script) };
    let mut seat = Seat::take(&ann, agent.id, open).await.unwrap();
    let first = seat.recording.expect("who is recorded is told first");
    seat.types("rm -rf /\r").await;
    seat.until("<rm -rf />").await;
    let size = Size { columns: 100, rows: 30 };
    seat.send(Input { size: Some(size), ..Input::default() }).await;
    seat.until_that("the size", |seat| seat.size == Some(size)).await;
    let id = seat.id.clone();
    drop(seat);
    let record = answered(&world, first).await;
    assert_eq!(record.outcome, Some(Answered::Ok));
    assert!(record.message.starts_with("detached; recorded"), "{}", record.message);
    let (recording, events) = recorded(&admin, first).await;
    assert_eq!((recording.session.as_str(), recording.ended.as_str()), (id.as_str(), "detached"));
    assert_eq!(recording.terminal, Some(Size { columns: 90, rows: 20 }));
    assert!(of(EventKind::Output, &events).contains("<rm -rf />"));
    assert_eq!(of(EventKind::Input, &events), "rm -rf /\r|");
    assert!(of(EventKind::Resize, &events).ends_with("100x30|"));
    assert_eq!(recording.level, recordings::Level::Danger);
    assert!(of(EventKind::Mark, &events).contains("danger: "));
    // Joined by somebody else: another recording, which begins with the screen.
    let mut seat = Seat::take(&admin, agent.id, join(&id, Mode::Drive)).await.unwrap();
    seat.until("<rm -rf />").await;
    let second = seat.recording.unwrap();
    seat.types("\x04").await;
    assert_eq!(seat.exit().await.code, 0);
    let record = answered(&world, second).await;
    assert_eq!((record.outcome, record.method.as_str()), (Some(Answered::Ok), "sessions.join"));
    let (recording, events) = recorded(&admin, second).await;
    assert_eq!((recording.session.as_str(), recording.ended.as_str()), (id.as_str(), "exit 0"));
    assert!(of(EventKind::Output, &events).contains("<rm -rf />"));
}

#[tokio::test]
async fn a_session_that_ends_is_no_failure_whatever_its_last_command_said() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    rule(&admin).await;
    let mut seat = Seat::take(&admin, agent.id, sh("read x; exit 3")).await.unwrap();
    let left = seat.recording.unwrap();
    seat.types("\r").await;
    assert_eq!(seat.exit().await.code, 3);
    let mut seat = Seat::take(&admin, agent.id, sh("read x")).await.unwrap();
    let (closed, id) = (seat.recording.unwrap(), seat.id.clone());
    admin.call(Some(agent.id), &End { id }, PATIENCE).await.unwrap();
    assert_eq!(seat.exit().await.outcome, Outcome::Closed);
    for (asked, how) in [(left, "exit 3"), (closed, "closed")] {
        let record = answered(&world, asked).await;
        assert_eq!(record.outcome, Some(Answered::Ok), "{how}");
        assert_eq!(record.exit().as_deref(), Some(how));
        assert_eq!(recorded(&admin, asked).await.0.ended, how);
    }
}

#[tokio::test]
async fn an_administrator_watches_the_recording_of_a_session_and_cuts_it_off() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let (admin, ann) =
        (world.client(Role::ADMINISTRATOR).await, world.client(Role::OPERATOR).await);
    rule(&admin).await;
    let mut seat =
        Seat::take(&ann, agent.id, sh("while read x; do echo \"<$x>\"; done")).await.unwrap();
    let id = seat.recording.unwrap();
    let watch = recordings::Watch { id, from_start: true };
    let mut watching = admin.feed(None, &watch).await.unwrap();
    seat.types("live\r").await;
    let mut seen = String::new();
    while !seen.contains("<live>") {
        let item = watching.next().await.unwrap().unwrap();
        seen += &of(EventKind::Output, &item.events);
    }
    let stop = Stop { id, reason: "enough".into() };
    admin.call(None, &stop, PATIENCE).await.unwrap();
    let error = loop {
        if let Err(e) = seat.next().await {
            break e;
        }
    };
    assert!(error.message.contains("enough"), "{error}");
}

#[tokio::test]
async fn a_grant_of_shells_as_one_user_opens_none_as_another() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let role = Role::parse("shells").unwrap();
    let grant = Grant {
        verbs: vec!["sessions.open".into()],
        resources: vec!["as=nobody+shell".into()],
        ..Grant::default()
    };
    let put = Put { name: role, description: String::new(), grants: vec![grant] };
    admin.call(None, &put, PATIENCE).await.unwrap();
    let bob = world.client(role).await;
    let open = |user: Option<&str>, argv: &[&str]| Open {
        user: user.map(str::to_owned),
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        detached: true,
        ..Open::default()
    };
    for wrong in [open(None, &[]), open(Some("root"), &[]), open(Some("nobody"), &["/bin/sh"])] {
        let mut feed = bob.feed(Some(agent.id), &wrong).await.unwrap();
        let refused = feed.next().await.unwrap().unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Denied, "{}: {refused}", wrong.resource());
    }
    // That it is allowed says nothing of what the host makes of it: this agent may be no root.
    let right = open(Some("nobody"), &[]);
    let mut feed = bob.feed(Some(agent.id), &right).await.unwrap();
    if let Err(e) = feed.next().await.unwrap() {
        assert!(!e.message.contains("not allowed for"), "{e}");
    }
}

#[tokio::test]
async fn who_may_not_open_such_a_session_any_more_does_not_come_back_to_theirs() {
    let world = World::start().await;
    let agent = world.agent("here").await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let name = Role::parse("shells").unwrap();
    let put = |opens: &str| {
        let grant = |verbs: &[&str], resources: &[&str]| Grant {
            verbs: verbs.iter().map(|verb| format!("sessions.{verb}")).collect(),
            resources: resources.iter().map(|&one| one.to_owned()).collect(),
            ..Grant::default()
        };
        let grants = vec![
            grant(&["open"], &[opens]),
            grant(&["attach"], &["session:*"]),
            grant(&["list"], &[]),
        ];
        Put { name, description: String::new(), grants }
    };
    admin.call(None, &put("as=@agent+command:/bin/sh"), PATIENCE).await.unwrap();
    let token = world.token(TokenKind::Operator, name, 1).await;
    let key = SecretKey::generate().unwrap();
    let mut dialer = world.dialer(PeerKind::Client, key, Some(&token));
    let (bob, ..) = dialer.connect().await.unwrap();
    dialer.join = None;
    let mut seat = Seat::take(&bob, agent.id, sh("echo here; read x; exit 4")).await.unwrap();
    seat.until("here").await;
    let id = seat.id.clone();
    // They come back to it as long as they may open such a one, saying truly what it was opened as.
    drop(Seat::take(&bob, agent.id, attach(&id, Mode::Drive)).await.unwrap());
    admin.call(None, &put("as=nobody+shell"), PATIENCE).await.unwrap();
    let cut = async { while seat.next().await.is_ok_and(|more| more) {} };
    tokio::time::timeout(PATIENCE, cut).await.expect("whoever is attached is cut off");
    let (bob, ..) = dialer.connect().await.unwrap();
    for (opened, why) in [
        ("as=@agent+command:/bin/sh", "sessions.attach is not allowed"),
        ("as=nobody+shell", "not as as=nobody+shell"),
        ("", "does not say so"),
    ] {
        let again = Attach { opened: opened.into(), ..attach(&id, Mode::Drive) };
        let refused = Seat::take(&bob, agent.id, again).await.err().unwrap();
        assert_eq!(refused.kind, ErrorKind::Denied);
        assert!(refused.message.contains(why), "{opened}: {refused}");
    }
    // It is still there for who may.
    let mut seat = Seat::take(&admin, agent.id, join(&id, Mode::Drive)).await.unwrap();
    seat.types("\r").await;
    assert_eq!(seat.exit().await.code, 4);
}
