//! Edits of real files through the hub: what is kept and put back, what is refused, and the dead-man switch.

mod alone;

use cmdr_agentd::agent;
use cmdr_link::Client;
use cmdr_link::packed::{hash, pack, unpack};
use cmdr_protocol::audit::{Event, Record, Value};
use cmdr_protocol::edits::{
    ArmedEnd, Came, Confirm, KEPT, MOST, OfVersion, Open, Opened, Pending, Restore, Revert, Save,
    SaveEnd, Saving, State, Versions,
};
use cmdr_protocol::environment;
use cmdr_protocol::files::FilePath;
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Definition, Grant};
use cmdr_protocol::{Call, CallError, ErrorKind, HostId};
use harness::{World, until};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
/// The shortest time to confirm in.
const SOON: Option<u32> = Some(5);
const LATER: Option<u32> = Some(600);

fn named(path: &Path) -> FilePath {
    FilePath::from_bytes(path.as_os_str().as_bytes()).unwrap()
}

/// Asks this host.
#[derive(Clone)]
struct Asking {
    client: Client,
    host: HostId,
}

impl Asking {
    async fn call<C: Call>(&self, call: C) -> Result<C::Reply, CallError> {
        self.client.call(Some(self.host), &call, PATIENCE).await
    }

    async fn open(&self, path: &FilePath) -> Result<(Opened, String), CallError> {
        let opened = self.call(Open { path: path.clone() }).await?;
        let text = String::from_utf8(unpack(&opened.content)?).unwrap();
        Ok((opened, text))
    }

    /// Saves over what is there now.
    async fn save(&self, path: &FilePath, text: &str) -> Result<Saving, CallError> {
        self.save_as(path, text, Save::default()).await
    }

    async fn save_as(&self, path: &FilePath, text: &str, save: Save) -> Result<Saving, CallError> {
        let (opened, _) = self.open(path).await?;
        let expect = opened.file.is_some().then_some(opened.content.hash);
        let content = pack(text.as_bytes()).unwrap();
        self.call(Save { path: path.clone(), content, expect, ..save }).await
    }

    async fn armed(&self, path: &FilePath, text: &str, confirm_s: Option<u32>) -> String {
        let save = Save { confirm_s, note: "try".into(), ..Save::default() };
        let saving = self.save_as(path, text, save).await.unwrap();
        assert_eq!(saving.result.how, SaveEnd::Saved, "{saving:?}");
        saving.armed.unwrap().id
    }

    async fn state(&self) -> State {
        let mut feed = self.client.feed(Some(self.host), &Pending::default()).await.unwrap();
        feed.next().await.unwrap().unwrap()
    }

    async fn versions(&self, path: &FilePath) -> Vec<cmdr_protocol::edits::Version> {
        self.call(Versions { path: path.clone() }).await.unwrap().versions
    }
}

/// A hub, an agent on this machine, an operator, and a folder without links in its path.
struct Desk {
    world: World,
    ask: Asking,
    dir: PathBuf,
    _folder: tempfile::TempDir,
    _agent: harness::BareAgent,
}

impl Desk {
    async fn new() -> Self {
        Self::with_policy("").await
    }

    /// `DIR` in the policy stands for the folder; `etc` in it is the host's configuration.
    async fn with_policy(policy: &str) -> Self {
        let world = World::start().await;
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().canonicalize().unwrap();
        let mut config = agent::Config::new(world.path("here"));
        config.etc_root = dir.join("etc");
        for dir in [&config.state_dir, &config.etc_root] {
            std::fs::create_dir(dir).unwrap();
        }
        if !policy.is_empty() {
            let file = world.path("agent.toml");
            std::fs::write(&file, policy.replace("DIR", dir.to_str().unwrap())).unwrap();
            config.policy = cmdr_agentd::policy::Policy::load(&file).unwrap();
        }
        let agent = world.agent_with("here", config).await;
        let ask = Asking { client: world.client(Role::OPERATOR).await, host: agent.id };
        Self { world, ask, dir, _folder: folder, _agent: agent }
    }

    fn at(&self, name: &str) -> FilePath {
        named(&self.dir.join(name))
    }

    fn put(&self, name: &str, text: &str) -> FilePath {
        std::fs::write(self.dir.join(name), text).unwrap();
        self.at(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(name)).unwrap()
    }

    /// What is left of edits beside the files.
    fn left(&self) -> usize {
        left(&self.dir)
    }

    async fn audit(&self, method: &str) -> Vec<Record> {
        let last = self.world.hub.audit.point().seq;
        let mut tail = self.world.hub.audit.follow(Some(0));
        let mut all = Vec::new();
        while tail.seq() < last {
            all.extend(tail.read().await.unwrap());
        }
        all.retain(|record: &Record| record.method == method);
        all
    }
}

fn left(dir: &Path) -> usize {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with(".cmdr-")).count()
}

#[tokio::test]
async fn a_file_is_edited_and_every_text_before_is_kept() {
    let desk = Desk::new().await;
    let path = desk.put("conf", "one\n");
    let place = desk.dir.join("conf");
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o640)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&place, Some(12), Some(34)).unwrap();
    }
    let owner = std::fs::metadata(&place).map(|meta| (meta.uid(), meta.gid())).unwrap();
    let (opened, text) = desk.ask.open(&path).await.unwrap();
    assert_eq!((text.as_str(), opened.file.unwrap().mode), ("one\n", 0o640));
    let save = Save { note: "because".into(), ..Save::default() };
    let saving = desk.ask.save_as(&path, "one\ntwo\n", save).await.unwrap();
    assert_eq!((saving.result.how, saving.result.code), (SaveEnd::Saved, 0));
    assert_eq!((saving.result.added, saving.result.removed), (1, 0));
    assert_eq!(saving.result.hash, hash(b"one\ntwo\n"));
    desk.ask.save(&path, "three\n").await.unwrap();
    let meta = std::fs::metadata(&place).unwrap();
    assert_eq!((meta.mode() & 0o7777, (meta.uid(), meta.gid())), (0o640, owner));
    let versions = desk.ask.versions(&path).await;
    let shown: Vec<_> = versions.iter().map(|v| (v.number, v.came, v.note.as_str())).collect();
    let wanted = [(3, Came::Saved, ""), (2, Came::Saved, "because"), (1, Came::Found, "")];
    assert_eq!(shown, wanted);
    assert!(!versions[0].by.is_empty() && versions[2].by.is_empty());
    let kept = desk.ask.call(OfVersion { path: path.clone(), number: 2 }).await.unwrap();
    assert_eq!(unpack(&kept.content).unwrap(), b"one\ntwo\n");
    let restore = Restore { path: path.clone(), number: 1, ..Restore::default() };
    let restored = desk.ask.call(restore).await.unwrap();
    assert_eq!((restored.result.how, desk.text("conf").as_str()), (SaveEnd::Saved, "one\n"));
    let newest = desk.ask.versions(&path).await.remove(0);
    assert_eq!((newest.came, newest.note.as_str()), (Came::Restored, "version 1"));
    let same = desk.ask.save(&path, "one\n").await.unwrap();
    assert_eq!((same.result.how, same.result.code), (SaveEnd::Same, 0));
    assert_eq!((desk.ask.versions(&path).await.len(), desk.left()), (4, 0));
}

#[tokio::test]
async fn the_audit_log_has_size_hash_and_lines_and_no_text() {
    let desk = Desk::new().await;
    let path = desk.put("conf", "a\nb\n");
    desk.ask.save(&path, "a\nhidden word\nc\n").await.unwrap();
    let records = desk.audit("edits.save").await;
    assert_eq!(
        records.iter().map(|r| r.event).collect::<Vec<_>>(),
        [Event::Asked, Event::Answered]
    );
    assert_eq!(records[0].resource, format!("path:{path}"));
    let asked = format!("{:?}", records[0].body);
    assert!(asked.contains(&hash(b"a\nhidden word\nc\n")) && asked.contains("secret"), "{asked}");
    let result = records[1].result.clone().unwrap();
    assert_eq!(result.get("added"), Some(&Value::Int(2)));
    assert_eq!(result.get("removed"), Some(&Value::Int(1)));
    assert_eq!(result.get("size"), Some(&Value::Int(16)));
    assert!(!format!("{records:?}").contains("hidden"));
    assert_eq!(desk.audit("edits.open").await.len(), 2);
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_is_a_conflict_and_is_not_overwritten() {
    let desk = Desk::new().await;
    let path = desk.put("conf", "one\n");
    let seen = Some(hash(b"one\n"));
    desk.put("conf", "theirs\n");
    let content = pack(b"mine\n").unwrap();
    let save = Save { path: path.clone(), content, expect: seen, ..Save::default() };
    let conflict = desk.ask.call(save.clone()).await.unwrap().result;
    assert_eq!((conflict.how, conflict.hash), (SaveEnd::Conflict, hash(b"theirs\n")));
    // A new file where there is one by now, and a file that is gone.
    let new = Save { expect: None, ..save.clone() };
    assert_eq!(desk.ask.call(new).await.unwrap().result.how, SaveEnd::Conflict);
    assert_eq!(desk.text("conf"), "theirs\n");
    std::fs::remove_file(desk.dir.join("conf")).unwrap();
    let gone = desk.ask.call(save).await.unwrap().result;
    assert_eq!((gone.how, gone.hash.as_str()), (SaveEnd::Conflict, ""));
    assert!(!desk.dir.join("conf").exists());
}

#[tokio::test]
async fn what_the_system_does_not_let_anybody_read_is_not_written_over() {
    let desk = Desk::new().await;
    // Not even root reads the first; the second breaks off while it is read.
    let own = format!("/proc/{}/mem", std::process::id());
    let cases = [
        ("/proc/sys/vm/compact_memory", ErrorKind::Denied, "does not let its agent do that"),
        (own.as_str(), ErrorKind::Failed, "its kernel's log may say why"),
    ];
    for (path, kind, words) in cases {
        let path = named(Path::new(path));
        let refused = desk.ask.open(&path).await.unwrap_err();
        assert_eq!(refused.kind, kind, "{refused}");
        assert!(refused.message.contains(words), "{refused}");
        // What was typed elsewhere is refused before anything is written beside or over it.
        for expect in [None, Some(hash(b"one\n"))] {
            let content = pack(b"mine\n").unwrap();
            let save = Save { path: path.clone(), content, expect, ..Save::default() };
            let refused = desk.ask.call(save).await.unwrap_err();
            assert_eq!(refused.kind, kind, "{refused}");
        }
        assert!(desk.ask.versions(&path).await.is_empty());
    }
}

#[tokio::test]
async fn what_cannot_be_edited_says_why_and_stays_as_it_is() {
    let desk = Desk::new().await;
    std::fs::write(desk.dir.join("binary"), b"ELF\0\x01").unwrap();
    std::fs::write(desk.dir.join("latin"), b"caf\xe9\n").unwrap();
    std::fs::write(desk.dir.join("large"), vec![b'a'; MOST + 1]).unwrap();
    std::fs::create_dir(desk.dir.join("real")).unwrap();
    std::fs::write(desk.dir.join("real/file"), "x").unwrap();
    symlink("real/file", desk.dir.join("link")).unwrap();
    symlink("real", desk.dir.join("way")).unwrap();
    assert!(
        std::process::Command::new("mkfifo").arg(desk.dir.join("pipe")).status().unwrap().success()
    );
    let cases = [
        ("binary", ErrorKind::Conflict, "zero byte"),
        ("latin", ErrorKind::Conflict, "not UTF-8"),
        ("large", ErrorKind::Conflict, "4096 KiB"),
        ("real", ErrorKind::Conflict, "folder"),
        ("pipe", ErrorKind::Conflict, "pipe"),
        ("link", ErrorKind::Elsewhere, "real/file"),
        ("way/file", ErrorKind::Elsewhere, "real/file"),
        ("no/file", ErrorKind::NotFound, "no such"),
    ];
    for (name, kind, word) in cases {
        for expect in [None, Some(String::new())] {
            let content = pack(b"mine").unwrap();
            let save = Save { path: desk.at(name), content, expect, ..Save::default() };
            let refused = desk.ask.call(save).await.unwrap_err();
            assert_eq!(refused.kind, kind, "{name}: {refused}");
        }
        let refused = desk.ask.open(&desk.at(name)).await.unwrap_err();
        assert_eq!(refused.kind, kind, "{name}: {refused}");
        assert!(refused.message.contains(word), "{name}: {refused}");
    }
    let path = desk.at("new");
    let refused = desk.ask.save(&path, "a\0b").await.unwrap_err();
    assert!(refused.message.contains("zero byte"), "{refused}");
    assert!(!desk.dir.join("new").exists() && desk.left() == 0);
}

#[tokio::test]
async fn names_of_any_bytes_and_new_files_work() {
    let desk = Desk::new().await;
    for name in [&b"line\nbreak"[..], b"esc\x1b[31m", b"\xff\xfe", b"100%", "节点".as_bytes()] {
        let place = desk.dir.join(OsStr::from_bytes(name));
        let path = named(&place);
        let save = Save { mode: Some(0o600), ..Save::default() };
        let saving = desk.ask.save_as(&path, "新\n", save).await.unwrap();
        assert_eq!(saving.result.how, SaveEnd::Saved);
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "新\n");
        assert_eq!(std::fs::metadata(&place).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(desk.ask.versions(&path).await.len(), 1);
    }
}

#[tokio::test]
async fn a_text_of_the_largest_size_goes_there_and_back() {
    let desk = Desk::new().await;
    let path = desk.at("hosts");
    let text = "10.0.0.1 host-with-a-name.example.org\n".repeat(MOST / 38);
    let saving = desk.ask.save(&path, &text).await.unwrap();
    assert_eq!(saving.result.how, SaveEnd::Saved);
    assert!(desk.ask.open(&path).await.unwrap().1 == text);
    let other = text.replacen("10.0.0.1", "10.0.0.2", 1);
    assert_eq!(desk.ask.save(&path, &other).await.unwrap().result.added, 1);
}

#[tokio::test]
async fn no_more_versions_are_kept_than_there_is_room_for() {
    let desk = Desk::new().await;
    let path = desk.put("conf", "0");
    for n in 1..=KEPT + 5 {
        desk.ask.save(&path, &n.to_string()).await.unwrap();
    }
    let versions = desk.ask.versions(&path).await;
    assert_eq!((versions.len(), versions[0].number), (KEPT, KEPT as u64 + 6));
    let gone = OfVersion { path, number: 1 };
    assert_eq!(desk.ask.call(gone).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_file_and_nothing_beside_it() {
    let desk = Desk::new().await;
    let _disk = harness::disk::Small::mount(&desk.dir.join("disk"), 1);
    let path = desk.put("disk/a", "old");
    let text = "many words in a line\n".repeat(100_000);
    let full = desk.ask.save(&path, &text).await.unwrap_err();
    assert_eq!(full.kind, ErrorKind::Busy, "{full}");
    assert!(full.message.contains("room"), "{full}");
    assert_eq!(desk.text("disk/a"), "old");
    assert_eq!(std::fs::read_dir(desk.dir.join("disk")).unwrap().count(), 1);
    // What never came to its place is no version of it.
    let versions = desk.ask.versions(&path).await;
    assert_eq!(versions.iter().map(|v| v.came).collect::<Vec<_>>(), [Came::Found]);
}

#[tokio::test]
async fn the_hosts_file_is_looked_at_before_it_is_replaced() {
    let desk = Desk::with_policy("[edits]\nhosts_files = [\"DIR/more\"]\n").await;
    for name in ["etc/hosts", "more"] {
        let path = desk.put(name, "127.0.0.1 localhost\n");
        let bad = "127.0.0.1 localhost\n10.0.0 db1\n10.0.0.1 a\n10.0.0.2 a\n";
        let saving = desk.ask.save(&path, bad).await.unwrap();
        assert_eq!((saving.result.how, saving.result.code), (SaveEnd::Invalid, 1));
        let lines: Vec<_> = saving.problems.iter().map(|p| (p.line, p.warning)).collect();
        assert_eq!(lines, [(2, false), (4, true)]);
        // Warnings can be saved all the same, errors cannot.
        let force = Save { force: true, ..Save::default() };
        let saving = desk.ask.save_as(&path, bad, force.clone()).await.unwrap();
        assert_eq!(saving.result.how, SaveEnd::Invalid);
        let warned = bad.replace("10.0.0 db1\n", "");
        assert_eq!(desk.ask.save(&path, &warned).await.unwrap().result.how, SaveEnd::Invalid);
        let saving = desk.ask.save_as(&path, &warned, force.clone()).await.unwrap();
        assert_eq!((saving.result.how, saving.problems.len()), (SaveEnd::Saved, 1));
        let lost = desk.ask.save_as(&path, "10.0.0.1 a\n", force).await.unwrap();
        assert_eq!(lost.result.how, SaveEnd::Invalid);
        assert!(lost.problems[0].what.contains("localhost"), "{lost:?}");
        assert_eq!(desk.text(name), warned);
    }
}

#[tokio::test]
async fn variables_are_set_and_taken_away_and_their_values_are_for_those_who_may_read_them() {
    let desk = Desk::new().await;
    desk.put("etc/environment", "# all\nPATH=/bin\nTOKEN=\"old word\"\nodd\n");
    let set = |name: &str, value: &str| environment::Set {
        name: name.into(),
        value: value.into(),
        force: true,
        ..environment::Set::default()
    };
    let refused = desk.ask.call(set("TOKEN", "x")).await.unwrap();
    assert_eq!(refused.result.how, SaveEnd::Invalid, "a line that is wrong already is told");
    desk.put("etc/environment", "# all\nPATH=/bin\nTOKEN=\"old word\"\n");
    desk.ask.call(set("TOKEN", "hidden word")).await.unwrap();
    desk.ask.call(set("LANG", "zh_CN.UTF-8")).await.unwrap();
    let text = "# all\nPATH=/bin\nTOKEN=\"hidden word\"\nLANG=zh_CN.UTF-8\n";
    assert_eq!(desk.text("etc/environment"), text);
    for (name, value) in [("1X", "a"), ("X", "a\nPATH=")] {
        assert_eq!(desk.ask.call(set(name, value)).await.unwrap_err().kind, ErrorKind::Malformed);
    }
    let unset = environment::Unset { name: "LANG".into(), ..environment::Unset::default() };
    desk.ask.call(unset.clone()).await.unwrap();
    assert_eq!(desk.ask.call(unset).await.unwrap_err().kind, ErrorKind::NotFound);
    let all = desk.ask.call(environment::Values {}).await.unwrap().rows;
    assert_eq!(all[1].value, "hidden word");
    let observer = Asking { client: desk.world.client(Role::OBSERVER).await, ..desk.ask.clone() };
    let masked = observer.call(environment::List {}).await.unwrap().rows;
    let shown: Vec<_> =
        masked.iter().map(|v| (v.name.as_str(), v.line, v.value.as_str())).collect();
    assert_eq!(shown, [("PATH", 2, "/bin"), ("TOKEN", 3, "")]);
    let denied = observer.call(environment::Values {}).await.unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied);
    assert!(!format!("{:?}", desk.audit("environment.set").await).contains("hidden"));
    assert_eq!(desk.ask.versions(&desk.at("etc/environment")).await[0].note, "unset LANG");
}

#[tokio::test]
async fn rights_policy_and_the_agents_own_folder_hold_for_edits() {
    let desk = Desk::with_policy("[files]\ndenied = [\"DIR/shut/\"]\n").await;
    std::fs::create_dir(desk.dir.join("shut")).unwrap();
    std::fs::create_dir(desk.dir.join("srv")).unwrap();
    let (shut, open) = (desk.put("shut/a", "a"), desk.put("srv/a", "a"));
    let own = named(&desk.world.path("here").canonicalize().unwrap().join("note"));
    for path in [&shut, &own] {
        for kind in [
            desk.ask.open(path).await.unwrap_err().kind,
            desk.ask.call(Versions { path: path.clone() }).await.unwrap_err().kind,
            desk.ask
                .call(Save { path: path.clone(), content: pack(b"b").unwrap(), ..Save::default() })
                .await
                .unwrap_err()
                .kind,
        ] {
            assert_eq!(kind, ErrorKind::Denied, "{path}");
        }
    }
    let role = Role::parse("webmasters").unwrap();
    let grants = vec![Grant {
        verbs: vec!["edits.*".into()],
        resources: vec![format!("path:{}/srv/*", desk.dir.display())],
        ..Grant::default()
    }];
    let definition = Definition { name: role, grants, ..Definition::default() };
    desk.world.hub.rights.put(definition).await.unwrap();
    let narrow = Asking { client: desk.world.client(role).await, ..desk.ask.clone() };
    narrow.save(&open, "b").await.unwrap();
    let other = desk.put("other", "a");
    assert_eq!(narrow.open(&other).await.unwrap_err().kind, ErrorKind::Denied);
    let observer = Asking { client: desk.world.client(Role::OBSERVER).await, ..desk.ask.clone() };
    assert_eq!(observer.versions(&open).await.len(), 2);
    assert_eq!(observer.open(&open).await.unwrap_err().kind, ErrorKind::Denied);
    let off = Desk::with_policy("[services]\nfiles = false\n").await;
    let path = off.put("a", "a");
    assert_eq!(off.ask.open(&path).await.unwrap_err().kind, ErrorKind::Denied);
}

#[tokio::test]
async fn an_edit_that_is_confirmed_stays_and_one_that_is_reverted_goes_at_once() {
    let desk = Desk::new().await;
    let path = desk.put("conf", "old\n");
    let id = desk.ask.armed(&path, "new\n", LATER).await;
    let state = desk.ask.state().await;
    let armed = &state.armed[0];
    assert_eq!((&armed.id, &armed.path, armed.before), (&id, &path, 1));
    assert!((500_000..=600_000).contains(&armed.left_ms) && armed.note == "try", "{armed:?}");
    // One after the other.
    let second = desk.ask.save(&path, "newer\n").await.unwrap_err();
    assert!(second.kind == ErrorKind::Conflict && second.message.contains(&id), "{second}");
    let wrong = Confirm { path: desk.at("other"), id: id.clone() };
    assert_eq!(desk.ask.call(wrong).await.unwrap_err().kind, ErrorKind::NotFound);
    let confirm = Confirm { path: path.clone(), id };
    assert_eq!(desk.ask.call(confirm.clone()).await.unwrap().how, ArmedEnd::Confirmed);
    assert_eq!(desk.ask.call(confirm).await.unwrap_err().kind, ErrorKind::Conflict);
    let id = desk.ask.armed(&path, "newer\n", LATER).await;
    let revert = Revert { path: path.clone(), id };
    assert_eq!(desk.ask.call(revert).await.unwrap().how, ArmedEnd::Reverted);
    assert_eq!(desk.text("conf"), "new\n");
    let state = desk.ask.state().await;
    let ends: Vec<_> = state.ended.iter().map(|ended| ended.how).collect();
    assert_eq!((state.armed.len(), ends), (0, vec![ArmedEnd::Reverted, ArmedEnd::Confirmed]));
    assert!(!state.ended[0].who.is_empty());
    for confirm_s in [Some(0), Some(4), Some(24 * 3600 + 1)] {
        let save = Save { confirm_s, ..Save::default() };
        let refused = desk.ask.save_as(&path, "x", save).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Malformed);
    }
}

#[tokio::test]
async fn an_edit_that_nobody_confirms_is_undone_and_everybody_who_watches_is_told() {
    let desk = Desk::new().await;
    let path = desk.put("conf", "old\n");
    std::fs::set_permissions(desk.dir.join("conf"), std::fs::Permissions::from_mode(0o600))
        .unwrap();
    let new = desk.at("new");
    let observer = desk.world.client(Role::OBSERVER).await;
    let mut feed = observer.feed(Some(desk.ask.host), &Pending::default()).await.unwrap();
    assert_eq!(feed.next().await.unwrap().unwrap(), State::default());
    let begun = std::time::Instant::now();
    let ids = [desk.ask.armed(&path, "new\n", SOON).await, desk.ask.armed(&new, "n", SOON).await];
    assert_eq!((desk.text("conf").as_str(), desk.text("new").as_str()), ("new\n", "n"));
    let ended = loop {
        let state = feed.next().await.unwrap().unwrap();
        if state.ended.len() == 2 {
            break state.ended;
        }
    };
    assert!(begun.elapsed() >= Duration::from_secs(5));
    assert!(
        ended.iter().all(|e| e.how == ArmedEnd::Undone && e.who.is_empty() && ids.contains(&e.id))
    );
    assert_eq!(desk.text("conf"), "old\n");
    assert_eq!(std::fs::metadata(desk.dir.join("conf")).unwrap().mode() & 0o7777, 0o600);
    assert!(!desk.dir.join("new").exists(), "a file that was new is gone again");
    assert_eq!(desk.left(), 0);
}

#[tokio::test]
async fn an_edit_of_a_file_that_somebody_else_changed_is_not_undone_over_them() {
    let desk = Desk::new().await;
    let path = desk.put("conf", "old\n");
    let id = desk.ask.armed(&path, "new\n", LATER).await;
    desk.put("conf", "theirs\n");
    let ended = desk.ask.call(Revert { path: path.clone(), id }).await.unwrap();
    assert_eq!(ended.how, ArmedEnd::Changed);
    assert!(ended.words.contains("version 1") && ended.words.contains("version 3"), "{ended:?}");
    assert_eq!(desk.text("conf"), "theirs\n");
    let versions = desk.ask.versions(&path).await;
    assert_eq!(versions.iter().map(|v| v.number).collect::<Vec<_>>(), [3, 2, 1]);
    let kept = desk.ask.call(OfVersion { path: path.clone(), number: 1 }).await.unwrap();
    assert_eq!(unpack(&kept.content).unwrap(), b"old\n");
    // What is gone meanwhile stays gone, too.
    let id = desk.ask.armed(&path, "newer\n", LATER).await;
    std::fs::remove_file(desk.dir.join("conf")).unwrap();
    let ended = desk.ask.call(Revert { path, id }).await.unwrap();
    assert_eq!(ended.how, ArmedEnd::Changed);
    assert!(!desk.dir.join("conf").exists());
}

#[tokio::test]
async fn an_undo_that_finds_no_room_is_tried_until_there_is_some() {
    let desk = Desk::new().await;
    let _disk = harness::disk::Small::mount(&desk.dir.join("disk"), 1);
    let old = "words of old\n".repeat(20_000);
    let path = desk.put("disk/a", &old);
    desk.ask.armed(&path, "new\n", SOON).await;
    std::fs::write(desk.dir.join("disk/fill"), vec![b'x'; 900 * 1024]).unwrap();
    until("an undo failed and says why", async || {
        desk.ask.state().await.armed[0].trouble.contains("no room left")
    })
    .await;
    assert_eq!(desk.text("disk/a"), "new\n");
    std::fs::remove_file(desk.dir.join("disk/fill")).unwrap();
    until("it is undone", async || !desk.ask.state().await.ended.is_empty()).await;
    assert!(desk.text("disk/a") == old);
}
