//! Files of real hosts through the hub: what is read and written, what is refused, what a cut leaves.

use cmdr_agentd::agent;
use cmdr_link::Client;
use cmdr_protocol::files::{
    CHUNK, Checksum, Chmod, Chunk, Delete, Entry, FileKind, FilePath, List, MakeFolder, Read, Real,
    Rename, Stat, Sum, Write, Writing, Written, escape,
};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Definition, Grant};
use cmdr_protocol::{Call, CallError, ErrorKind, HostId};
use harness::World;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

fn named(path: &Path) -> FilePath {
    FilePath::from_bytes(path.as_os_str().as_bytes()).unwrap()
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Bytes that are not the same anywhere.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// A hub, an agent on this machine, an operator, and a folder without links in its path.
pub(crate) struct Desk {
    pub(crate) world: World,
    pub(crate) host: HostId,
    pub(crate) client: Client,
    pub(crate) dir: PathBuf,
    _folder: tempfile::TempDir,
    _agent: harness::BareAgent,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        Self::with_policy("").await
    }

    /// `DIR` in the policy stands for the folder.
    pub(crate) async fn with_policy(policy: &str) -> Self {
        let world = World::start().await;
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().canonicalize().unwrap();
        let mut config = agent::Config::new(world.path("here"));
        std::fs::create_dir(&config.state_dir).unwrap();
        if !policy.is_empty() {
            let file = world.path("agent.toml");
            std::fs::write(&file, policy.replace("DIR", dir.to_str().unwrap())).unwrap();
            config.policy = cmdr_agentd::policy::Policy::load(&file).unwrap();
        }
        let agent = world.agent_with("here", config).await;
        let client = world.client(Role::OPERATOR).await;
        Self { host: agent.id, world, client, dir, _folder: folder, _agent: agent }
    }

    pub(crate) fn at(&self, name: &str) -> FilePath {
        named(&self.dir.join(name))
    }

    async fn call<C: Call>(&self, call: C) -> Result<C::Reply, CallError> {
        self.client.call(Some(self.host), &call, PATIENCE).await
    }

    async fn list(&self, path: FilePath) -> Result<Vec<Entry>, CallError> {
        let mut feed = self.client.feed(Some(self.host), &List { path }).await?;
        let mut entries = Vec::new();
        while let Some(page) = feed.next().await {
            entries.extend(page?.entries);
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    async fn read(&self, read: Read) -> Result<(Entry, Vec<u8>, Sum), CallError> {
        let mut feed = self.client.feed(Some(self.host), &read).await?;
        let (mut entry, mut bytes, mut sum) = (None, Vec::new(), None);
        while let Some(chunk) = feed.next().await {
            let chunk = chunk?;
            assert!(chunk.data.len() <= CHUNK);
            bytes.extend(chunk.data);
            entry = entry.or(chunk.file);
            sum = chunk.sum;
        }
        Ok((entry.unwrap(), bytes, sum.unwrap()))
    }

    async fn get(&self, path: FilePath) -> Result<Vec<u8>, CallError> {
        self.read(Read { path, ..Read::default() }).await.map(|(_, bytes, _)| bytes)
    }

    /// Writes from where the agent goes on; how many bytes it took, and what it says.
    async fn put(&self, write: Write, bytes: &[u8]) -> Result<(u64, Written), CallError> {
        self.put_as(write, bytes, &hash(bytes)).await
    }

    async fn put_as(
        &self,
        write: Write,
        bytes: &[u8],
        hash: &str,
    ) -> Result<(u64, Written), CallError> {
        let mut feed = self.client.feed(Some(self.host), &write).await?;
        let first = feed.next().await.unwrap()?;
        let have = usize::try_from(first.have).unwrap();
        let (mut items, mut inputs) = feed.split();
        let mut at = have;
        for data in bytes[have..].chunks(CHUNK) {
            let chunk = Chunk { at: at as u64, data: data.to_vec(), ..Chunk::default() };
            if inputs.send(&chunk).await.is_err() {
                break;
            }
            at += data.len();
        }
        let sum = Sum { size: bytes.len() as u64, hash: hash.to_owned(), ..Sum::default() };
        inputs.send(&Chunk { at: at as u64, sum: Some(sum), ..Chunk::default() }).await.ok();
        while let Some(item) = items.next().await {
            if let Writing { written: Some(written), .. } = item? {
                return Ok(((bytes.len() - have) as u64, written));
            }
        }
        panic!("a write ends with what was written, or an error");
    }

    fn parts(&self) -> usize {
        let names = std::fs::read_dir(&self.dir).unwrap().map(|e| e.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".part")).count()
    }
}

/// A write of a transfer of this number.
fn to(path: FilePath, number: u128) -> Write {
    Write { path, transfer: format!("{number:032x}"), ..Write::default() }
}

#[tokio::test]
async fn a_file_is_written_read_and_looked_at() {
    let desk = Desk::new().await;
    let bytes = noise(3 * CHUNK + 77);
    let write = Write {
        mode: Some(0o640),
        mtime_ns: Some(1_600_000_000_123_000_000),
        ..to(desk.at("a"), 1)
    };
    let (_, written) = desk.put(write, &bytes).await.unwrap();
    assert_eq!(written.hash, hash(&bytes));
    assert_eq!((written.file.mode, written.file.mtime_ns), (0o640, 1_600_000_000_123_000_000));
    let read = Read { path: desk.at("a"), hash: true, ..Read::default() };
    let (entry, back, sum) = desk.read(read).await.unwrap();
    assert!(back == bytes);
    assert_eq!((sum.size, sum.hash), (bytes.len() as u64, hash(&bytes)));
    assert_eq!(desk.call(Stat { path: desk.at("a") }).await.unwrap(), entry);
    assert_eq!(desk.call(Checksum { path: desk.at("a") }).await.unwrap().hash, hash(&bytes));
    let some = Read { path: desk.at("a"), offset: 10, length: Some(5), ..Read::default() };
    assert_eq!(desk.read(some).await.unwrap().1, &bytes[10..15]);
    assert_eq!(desk.parts(), 0);
}

#[tokio::test]
async fn a_large_folder_comes_in_pages_and_an_empty_one_is_empty() {
    let desk = Desk::new().await;
    for n in 0..3000 {
        std::fs::write(desk.dir.join(format!("f{n:04}")), "x").unwrap();
    }
    let entries = desk.list(desk.at("")).await.unwrap();
    assert_eq!((entries.len(), entries[2999].name.as_str()), (3000, "f2999"));
    std::fs::create_dir(desk.dir.join("empty")).unwrap();
    assert_eq!(desk.list(desk.at("empty")).await.unwrap(), Vec::new());
}

#[tokio::test]
async fn names_of_any_bytes_work() {
    let desk = Desk::new().await;
    for (n, name) in [&b"line\nbreak"[..], b"esc\x1b[31m", b"\xff\xfe", b"100%", "节点".as_bytes()]
        .into_iter()
        .enumerate()
    {
        let path = named(&desk.dir.join(OsStr::from_bytes(name)));
        desk.put(to(path.clone(), n as u128), name).await.unwrap();
        assert_eq!(std::fs::read(desk.dir.join(OsStr::from_bytes(name))).unwrap(), name);
        assert_eq!(desk.get(path.clone()).await.unwrap(), name);
        assert_eq!(desk.list(desk.at("")).await.unwrap()[0].name, escape(name));
        let gone = desk.call(Delete { path: path.clone(), ..Delete::default() }).await.unwrap();
        assert_eq!(gone.files, 1);
        let missing = desk.get(path).await.unwrap_err();
        assert_eq!(missing.kind, ErrorKind::NotFound);
        assert!(!missing.message.contains(['\n', '\u{1b}']), "{missing:?}");
    }
}

#[tokio::test]
async fn a_path_through_a_link_is_refused_with_the_path_to_ask_for() {
    let desk = Desk::new().await;
    std::fs::create_dir(desk.dir.join("real")).unwrap();
    std::fs::write(desk.dir.join("real/file"), "x").unwrap();
    symlink("real", desk.dir.join("way")).unwrap();
    symlink("real/file", desk.dir.join("last")).unwrap();
    let real = desk.at("real/file");
    for path in [desk.at("way/file"), desk.at("last")] {
        let refused = desk.get(path.clone()).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Elsewhere, "{refused}");
        assert!(refused.message.contains(real.as_str()), "{refused}");
        let found = desk.call(Real { path, last: true }).await.unwrap().path;
        assert_eq!(found, real);
        assert_eq!(desk.get(found).await.unwrap(), b"x");
    }
    let refused = desk.list(desk.at("way")).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Elsewhere, "{refused}");
    for write in [to(desk.at("way/new"), 1), to(desk.at("last"), 2)] {
        assert_eq!(desk.put(write, b"y").await.unwrap_err().kind, ErrorKind::Elsewhere);
    }
    let entry = desk.call(Stat { path: desk.at("last") }).await.unwrap();
    assert_eq!((entry.kind, entry.target.as_str()), (FileKind::Link, "real/file"));
    assert_eq!(std::fs::read(desk.dir.join("real/file")).unwrap(), b"x");
}

#[tokio::test]
async fn a_right_on_a_folder_ends_at_the_folder() {
    let desk = Desk::new().await;
    let (inside, outside) = (desk.dir.join("srv"), desk.dir.join("etc"));
    for dir in [&inside, &outside] {
        std::fs::create_dir(dir).unwrap();
    }
    std::fs::write(outside.join("secret"), "s").unwrap();
    std::fs::write(inside.join("open"), "o").unwrap();
    symlink("../etc", inside.join("way")).unwrap();
    let role = Role::parse("webmasters").unwrap();
    let grants = vec![Grant {
        verbs: vec!["files.*".into()],
        resources: vec![format!("path:{}/*", inside.display())],
        ..Grant::default()
    }];
    desk.world
        .hub
        .rights
        .put(Definition { name: role, grants, ..Definition::default() })
        .await
        .unwrap();
    let desk = Desk { client: desk.world.client(role).await, ..desk };
    assert_eq!(desk.get(desk.at("srv/open")).await.unwrap(), b"o");
    let denied = desk.get(desk.at("etc/secret")).await.unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied, "{denied}");
    let refused = desk.get(desk.at("srv/way/secret")).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Elsewhere, "{refused}");
    // A move is decided on both of its paths.
    for (from, to) in [("srv/open", "etc/open"), ("etc/secret", "srv/mine")] {
        let rename = Rename { from: desk.at(from), to: desk.at(to), replace: true };
        assert_eq!(desk.call(rename).await.unwrap_err().kind, ErrorKind::Denied, "{from}");
    }
    let rename = Rename { from: desk.at("srv/open"), to: desk.at("srv/shut"), replace: false };
    assert_eq!(desk.call(rename).await.unwrap().name, "shut");
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_is_not_overwritten() {
    let desk = Desk::new().await;
    let path = desk.at("conf");
    std::fs::write(desk.dir.join("conf"), "one").unwrap();
    let seen = desk.call(Stat { path: path.clone() }).await.unwrap().version();
    let write = Write { unchanged: Some(seen), ..to(path.clone(), 1) };
    desk.put(write.clone(), b"mine").await.unwrap();
    // It is another file now.
    let again = Write { transfer: format!("{:032x}", 2), ..write };
    let conflict = desk.put(again, b"mine again").await.unwrap_err();
    assert_eq!(conflict.kind, ErrorKind::Conflict, "{conflict}");
    let conflict =
        desk.put(Write { absent: true, ..to(path.clone(), 3) }, b"new").await.unwrap_err();
    assert_eq!(conflict.kind, ErrorKind::Conflict, "{conflict}");
    let delete = Delete { path: path.clone(), unchanged: Some(seen), ..Delete::default() };
    assert_eq!(desk.call(delete).await.unwrap_err().kind, ErrorKind::Conflict);
    assert_eq!(desk.get(path).await.unwrap(), b"mine");
    let stale = Read { path: desk.at("conf"), unchanged: Some(seen), ..Read::default() };
    assert_eq!(desk.read(stale).await.unwrap_err().kind, ErrorKind::Conflict);
}

#[tokio::test]
async fn a_file_that_is_replaced_while_it_is_written_wins() {
    let desk = Desk::new().await;
    std::fs::write(desk.dir.join("conf"), "one").unwrap();
    let seen = desk.call(Stat { path: desk.at("conf") }).await.unwrap().version();
    let write = Write { unchanged: Some(seen), ..to(desk.at("conf"), 1) };
    let mut feed = desk.client.feed(Some(desk.host), &write).await.unwrap();
    feed.next().await.unwrap().unwrap();
    std::fs::write(desk.dir.join("conf"), "two").unwrap();
    let sum = Sum { size: 4, hash: hash(b"mine"), ..Sum::default() };
    feed.send(&Chunk { at: 0, data: b"mine".to_vec(), sum: Some(sum), ..Chunk::default() })
        .await
        .unwrap();
    assert_eq!(feed.next().await.unwrap().unwrap_err().kind, ErrorKind::Conflict);
    assert_eq!(std::fs::read(desk.dir.join("conf")).unwrap(), b"two");
}

#[tokio::test]
async fn what_was_cut_goes_on_where_it_was() {
    let desk = Desk::new().await;
    let bytes = noise(4 * CHUNK + 5);
    let write = Write { size: Some(bytes.len() as u64), ..to(desk.at("big"), 7) };
    let mut feed = desk.client.feed(Some(desk.host), &write).await.unwrap();
    assert_eq!(feed.next().await.unwrap().unwrap().have, 0);
    for n in 0..3 {
        let data = bytes[n * CHUNK..(n + 1) * CHUNK].to_vec();
        feed.send(&Chunk { at: (n * CHUNK) as u64, data, ..Chunk::default() }).await.unwrap();
    }
    // The caller is gone without a word; what had come stays, under another name.
    harness::until("the pieces are on disk", async || {
        let part = std::fs::read_dir(&desk.dir).unwrap().next().and_then(Result::ok);
        part.is_some_and(|part| part.metadata().unwrap().len() >= 2 * CHUNK as u64)
    })
    .await;
    drop(feed);
    assert!(!desk.dir.join("big").exists());
    let (sent, written) = desk.put(write, &bytes).await.unwrap();
    assert!(sent <= (2 * CHUNK + 5) as u64, "{sent} bytes were sent again");
    assert_eq!(written.hash, hash(&bytes));
    assert!(std::fs::read(desk.dir.join("big")).unwrap() == bytes);
    assert_eq!(desk.parts(), 0);
}

#[tokio::test]
async fn what_arrives_wrong_replaces_nothing() {
    let desk = Desk::new().await;
    std::fs::write(desk.dir.join("a"), "old").unwrap();
    let wrong = desk.put_as(to(desk.at("a"), 1), b"new", &hash(b"other")).await.unwrap_err();
    assert_eq!(wrong.kind, ErrorKind::Conflict, "{wrong}");
    assert_eq!(std::fs::read(desk.dir.join("a")).unwrap(), b"old");
    assert_eq!(desk.parts(), 0);
}

#[tokio::test]
async fn a_replaced_file_keeps_its_owner_and_permissions_and_a_hole_stays_a_hole() {
    let desk = Desk::new().await;
    let file = desk.dir.join("a");
    std::fs::write(&file, "old").unwrap();
    std::os::unix::fs::chown(&file, Some(65534), Some(65534)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o4751)).unwrap();
    let mut bytes = vec![0; 8 * CHUNK];
    bytes[0] = 1;
    let (_, written) = desk.put(to(desk.at("a"), 1), &bytes).await.unwrap();
    assert_eq!(written.lost, Vec::<String>::new());
    let meta = std::fs::metadata(&file).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (65534, 65534, 0o4751));
    assert!(meta.blocks() * 512 < 2 * CHUNK as u64, "{} blocks", meta.blocks());
    assert!(std::fs::read(&file).unwrap() == bytes);
}

#[tokio::test]
async fn a_full_disk_leaves_the_old_file_and_nothing_beside_it() {
    let desk = Desk::new().await;
    let _disk = harness::disk::Small::mount(&desk.dir.join("disk"), 2);
    std::fs::write(desk.dir.join("disk/a"), "old").unwrap();
    let bytes = noise(4 << 20);
    // Known beforehand, and found out only by writing.
    for size in [Some(bytes.len() as u64), None] {
        let write = Write { size, ..to(desk.at("disk/a"), 1) };
        let full = desk.put(write, &bytes).await.unwrap_err();
        assert_eq!(full.kind, ErrorKind::Busy, "{full}");
        assert!(full.message.contains("room"), "{full}");
        assert_eq!(std::fs::read(desk.dir.join("disk/a")).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(desk.dir.join("disk")).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn what_is_no_file_cannot_be_read_and_says_why() {
    let desk = Desk::new().await;
    let fifo = desk.dir.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let dev = FilePath::parse("/dev/zero").unwrap();
    for (path, word) in [(desk.at("pipe"), "pipe"), (desk.at(""), "folder"), (dev, "device")] {
        let error = desk.get(path.clone()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
        assert!(error.message.contains(word), "{error}");
        let error = desk.put(to(path, 1), b"x").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    }
    let long = desk.at(&"x".repeat(300));
    let error = desk.put(to(long, 2), b"x").await.unwrap_err();
    assert!(error.message.contains("too long"), "{error}");
    let below = desk.put(to(desk.at("pipe/x"), 3), b"x").await.unwrap_err();
    assert_eq!(below.kind, ErrorKind::Conflict, "{below}");
    let missing = desk.put(to(desk.at("no/x"), 3), b"x").await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound, "{missing}");
}

#[tokio::test]
async fn what_the_system_does_not_let_anybody_read_is_refused_in_clear_words() {
    let desk = Desk::new().await;
    // Not even root reads the first; of the second nothing is there at its beginning.
    let own = format!("/proc/{}/task/{}/mem", std::process::id(), std::process::id());
    let cases = [
        ("/proc/sys/vm/compact_memory", ErrorKind::Denied, "does not let its agent do that"),
        (own.as_str(), ErrorKind::Denied, "a program's memory"),
    ];
    for (path, kind, words) in cases {
        let refused = desk.get(named(Path::new(path))).await.unwrap_err();
        assert_eq!(refused.kind, kind, "{refused}");
        assert!(refused.message.contains(path) && refused.message.contains(words), "{refused}");
        let sum = Checksum { path: named(Path::new(path)) };
        assert_eq!(desk.call(sum).await.unwrap_err().kind, kind, "{path}");
    }
}

#[tokio::test]
async fn files_of_the_kernel_are_read_and_have_an_end() {
    let desk = Desk::new().await;
    let path = |text: &str| FilePath::parse(text).unwrap();
    let version = desk.get(path("/proc/version")).await.unwrap();
    assert_eq!(version, std::fs::read("/proc/version").unwrap());
    let pid = std::process::id();
    let refused = desk.get(path(&format!("/proc/{pid}/mem"))).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Denied, "{refused}");
    // Below /proc many a link leads anywhere.
    let refused = desk.get(path(&format!("/proc/{pid}/root/etc/hostname"))).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Elsewhere, "{refused}");
}

#[tokio::test]
async fn the_hosts_policy_has_the_last_word() {
    let policy =
        "[files]\nread = [\"DIR/\"]\nwrite = [\"DIR/w/\"]\ndenied = [\"DIR/no/\", \"DIR/w/key\"]\n";
    let desk = Desk::with_policy(policy).await;
    for name in ["no", "w", "w/sub"] {
        std::fs::create_dir(desk.dir.join(name)).unwrap();
    }
    for name in ["a", "no/a", "w/key", "w/sub/a"] {
        std::fs::write(desk.dir.join(name), name).unwrap();
    }
    assert_eq!(desk.get(desk.at("a")).await.unwrap(), b"a");
    let passwd = FilePath::parse("/etc/passwd").unwrap();
    for path in [desk.at("no/a"), desk.at("w/key"), passwd] {
        let denied = desk.get(path).await.unwrap_err();
        assert_eq!(denied.kind, ErrorKind::Denied, "{denied}");
        assert!(denied.message.contains("agent.toml"), "{denied}");
    }
    desk.put(to(desk.at("w/new"), 1), b"x").await.unwrap();
    assert_eq!(desk.put(to(desk.at("new"), 2), b"x").await.unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(desk.put(to(desk.at("w/key"), 3), b"x").await.unwrap_err().kind, ErrorKind::Denied);
    // What is denied does not go with the folder that it is in, nor come in from where nobody may read.
    let whole = Delete { path: desk.at("w"), recursive: true, ..Delete::default() };
    assert_eq!(desk.call(whole).await.unwrap_err().kind, ErrorKind::Denied);
    let whole = Delete { path: desk.at("w/sub"), recursive: true, ..Delete::default() };
    assert_eq!(desk.call(whole).await.unwrap().files, 1);
    assert!(desk.dir.join("w/key").exists());
}

#[tokio::test]
async fn nobody_reaches_the_folder_with_the_agents_keys() {
    let desk = Desk::new().await;
    let state = desk.world.path("here").canonicalize().unwrap();
    std::fs::write(state.join("key"), "only the agent").unwrap();
    for path in [named(&state), named(&state.join("key"))] {
        for error in [
            desk.list(path.clone()).await.unwrap_err(),
            desk.call(Delete { path: path.clone(), recursive: true, ..Delete::default() })
                .await
                .unwrap_err(),
            desk.call(Rename { from: path.clone(), to: desk.at("x"), replace: false })
                .await
                .unwrap_err(),
        ] {
            assert_eq!(error.kind, ErrorKind::Denied, "{error}");
        }
    }
    let above = named(state.parent().unwrap());
    let delete = Delete { path: above.clone(), recursive: true, plan: true, ..Delete::default() };
    assert_eq!(desk.call(delete).await.unwrap_err().kind, ErrorKind::Denied);
    let (bytes, skipped) = crate::archives::archive(&desk, above).await;
    assert!(skipped >= 1);
    assert!(!zstd::decode_all(&bytes[..]).unwrap().windows(14).any(|w| w == b"only the agent"));
}

#[tokio::test]
async fn a_folder_is_deleted_only_when_it_is_said_and_links_in_it_are_not_followed() {
    let desk = Desk::new().await;
    std::fs::create_dir_all(desk.dir.join("tree/in")).unwrap();
    std::fs::create_dir(desk.dir.join("keep")).unwrap();
    std::fs::write(desk.dir.join("keep/a"), "a").unwrap();
    symlink("../keep", desk.dir.join("tree/way")).unwrap();
    for n in 0..5 {
        std::fs::write(desk.dir.join(format!("tree/in/{n}")), "12").unwrap();
    }
    let delete = Delete { path: desk.at("tree"), ..Delete::default() };
    assert_eq!(desk.call(delete.clone()).await.unwrap_err().kind, ErrorKind::Conflict);
    let delete = Delete { recursive: true, ..delete };
    let few = desk.call(Delete { most: Some(3), ..delete.clone() }).await.unwrap_err();
    assert_eq!(few.kind, ErrorKind::Busy, "{few}");
    let plan = desk.call(Delete { plan: true, ..delete.clone() }).await.unwrap();
    assert_eq!((plan.files, plan.folders), (6, 2), "{plan:?}");
    assert_eq!(plan.first[1], "in/0");
    assert!(desk.dir.join("tree/in/4").exists());
    assert_eq!(desk.call(delete).await.unwrap(), plan);
    assert!(!desk.dir.join("tree").exists());
    assert!(desk.dir.join("keep/a").exists());
    let root = Delete { path: FilePath::root(), recursive: true, plan: true, ..Delete::default() };
    assert_eq!(desk.call(root).await.unwrap_err().kind, ErrorKind::Denied);
}

#[tokio::test]
async fn folders_names_and_permissions_are_changed() {
    let desk = Desk::new().await;
    let make = MakeFolder { path: desk.at("a/b/c"), ..MakeFolder::default() };
    assert_eq!(desk.call(make.clone()).await.unwrap_err().kind, ErrorKind::NotFound);
    let make = MakeFolder { parents: true, mode: Some(0o750), ..make };
    for _ in 0..2 {
        assert_eq!(desk.call(make.clone()).await.unwrap().mode, 0o750);
    }
    std::fs::write(desk.dir.join("one"), "1").unwrap();
    std::fs::write(desk.dir.join("two"), "2").unwrap();
    let rename = Rename { from: desk.at("one"), to: desk.at("two"), replace: false };
    assert_eq!(desk.call(rename.clone()).await.unwrap_err().kind, ErrorKind::Conflict);
    desk.call(Rename { replace: true, ..rename }).await.unwrap();
    assert_eq!(std::fs::read(desk.dir.join("two")).unwrap(), b"1");
    let into = Rename { from: desk.at("a"), to: desk.at("a/b/d"), replace: false };
    assert_eq!(desk.call(into).await.unwrap_err().kind, ErrorKind::Conflict);
    let chmod = Chmod {
        path: desk.at("two"),
        mode: Some(0o600),
        user: Some("nobody".into()),
        mtime_ns: Some(5_000_000_000),
        ..Chmod::default()
    };
    let entry = desk.call(chmod.clone()).await.unwrap();
    assert_eq!((entry.mode, entry.user.as_str(), entry.mtime_ns), (0o600, "nobody", 5_000_000_000));
    let nobody = Chmod { user: Some("no-such-user".into()), ..chmod };
    assert_eq!(desk.call(nobody).await.unwrap_err().kind, ErrorKind::NotFound);
}
