//! Files that are sent to a host once, checked there, and put in their places.

use super::*;
use cmdr_link::blobs::send;
use cmdr_protocol::ErrorKind;
use cmdr_protocol::blobs::{self, Stored};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::runs::Push;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

struct Content {
    file: PathBuf,
    hash: String,
    size: u64,
}

impl Content {
    fn new(dir: &Path, name: &str, bytes: &[u8]) -> Self {
        let file = dir.join(name);
        std::fs::write(&file, bytes).unwrap();
        let hash = blake3::hash(bytes).to_hex().to_string();
        Self { file, hash, size: bytes.len() as u64 }
    }

    fn push(&self, path: &Path) -> Push {
        Push { file: self.hash.clone(), path: path.display().to_string(), ..Push::default() }
    }
}

impl Host {
    /// Sends what the host does not have; how many bytes that were.
    async fn send(&self, content: &Content, path: Option<&Path>) -> Result<u64, CallError> {
        let path = path.map(|path| FilePath::parse(&path.display().to_string()).unwrap());
        let Content { file, hash, size } = content;
        let have = blobs::Have { hash: hash.clone(), size: *size, path };
        if self.up.client.call(Some(self.lone.id), &have, PATIENCE).await?.whole {
            return Ok(0);
        }
        let put = blobs::Put { hash: hash.clone(), size: *size };
        let source = (std::fs::File::open(file).unwrap(), *size);
        send(&self.up.client, Some(self.lone.id), &put, source, &|_| {}).await
    }
}

fn order(push: Push) -> Order {
    Order { push: Some(push), ..Order::default() }
}

#[tokio::test]
async fn a_file_is_sent_once_put_in_its_place_and_not_sent_where_it_is() {
    let mut host = Host::new().await;
    let dir = host.lone.dir.clone();
    let bytes: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let (content, at) = (Content::new(&dir, "source", &bytes), dir.join("target"));
    assert_eq!(host.send(&content, Some(&at)).await.unwrap(), 3_000_000);
    assert_eq!(host.send(&content, Some(&at)).await.unwrap(), 0);
    let push = Push { mode: Some(0o750), ..content.push(&at) };
    let report = host.run("r.0.0", order(push.clone())).await;
    assert_eq!((report.state, report.already), (TargetState::Ok, false), "{report:?}");
    assert!(std::fs::read(&at).unwrap() == bytes);
    assert_eq!(at.metadata().unwrap().permissions().mode() & 0o7777, 0o750);
    // What was sent has been moved there, and is there already now.
    assert_eq!(host.send(&content, Some(&at)).await.unwrap(), 0);
    let inode = at.metadata().unwrap().ino();
    let report = host.run("r.0.1", order(push.clone())).await;
    assert_eq!((report.state, report.already), (TargetState::Ok, true), "{report:?}");
    // Only its permissions are others.
    let report = host.run("r.0.2", order(Push { mode: Some(0o700), ..push })).await;
    assert_eq!((report.already, at.metadata().unwrap().ino()), (false, inode));
    assert_eq!(at.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains(".part")), "{left:?}");
}

#[tokio::test]
async fn a_file_that_is_replaced_keeps_its_permissions_and_another_content_is_none() {
    let mut host = Host::new().await;
    let dir = host.lone.dir.clone();
    let (content, at) = (Content::new(&dir, "source", b"new"), dir.join("target"));
    std::fs::write(&at, "old").unwrap();
    std::fs::set_permissions(&at, std::fs::Permissions::from_mode(0o640)).unwrap();
    host.send(&content, Some(&at)).await.unwrap();
    let report = host.run("r.0.0", order(content.push(&at))).await;
    assert_eq!(report.state, TargetState::Ok, "{report:?}");
    assert_eq!(std::fs::read(&at).unwrap(), b"new");
    assert_eq!(at.metadata().unwrap().permissions().mode() & 0o7777, 0o640);
    // One that was not sent.
    let never = Content::new(&dir, "other", b"never sent");
    let report = host.run("r.0.1", order(never.push(&at))).await;
    assert_eq!(report.state, TargetState::Refused, "{report:?}");
    assert!(report.message.contains("has not come"), "{}", report.message);
    // One whose bytes are not what its name says.
    let lie = Content { hash: "ab".repeat(32), ..Content::new(&dir, "lie", b"a lie") };
    assert_eq!(host.send(&lie, None).await.unwrap_err().kind, ErrorKind::Conflict);
    let missing = content.push(&dir.join("no/such/folder"));
    host.send(&content, None).await.unwrap();
    let report = host.run("r.0.2", order(missing)).await;
    assert_eq!((report.state, report.code), (TargetState::Failed, None), "{report:?}");
    std::os::unix::fs::symlink(&at, dir.join("link")).unwrap();
    let report = host.run("r.0.3", order(content.push(&dir.join("link")))).await;
    assert_eq!(report.state, TargetState::Refused, "{report:?}");
    assert_eq!(std::fs::read(&at).unwrap(), b"new");
}

#[tokio::test]
async fn a_transfer_that_was_cut_goes_on_where_it_was() {
    let mut host = Host::new().await;
    let dir = host.lone.dir.clone();
    let bytes: Vec<u8> = (0..5_000_000u32).map(|n| (n % 253) as u8).collect();
    let content = Content::new(&dir, "source", &bytes);
    {
        let put = blobs::Put { hash: content.hash.clone(), size: content.size };
        let mut feed = host.up.client.feed(Some(host.lone.id), &put).await.unwrap();
        assert_eq!(feed.next().await.unwrap().unwrap(), Stored::default());
        for (n, data) in bytes.chunks(blobs::CHUNK).take(4).enumerate() {
            let at = (n * blobs::CHUNK) as u64;
            feed.send(&blobs::Piece { at, data: data.to_vec() }).await.unwrap();
        }
        let have = blobs::Have { hash: content.hash.clone(), size: content.size, path: None };
        harness::until("some of it is there", async || {
            let have = host.up.client.call(Some(host.lone.id), &have, PATIENCE).await.unwrap();
            have.have >= 2 * blobs::CHUNK as u64
        })
        .await;
    }
    host.again(Vec::new()).await;
    let sent = host.send(&content, None).await.unwrap();
    assert!(sent <= content.size - 2 * blobs::CHUNK as u64, "{sent} bytes were sent again");
    let at = dir.join("target");
    assert_eq!(host.run("r.0.0", order(content.push(&at))).await.state, TargetState::Ok);
    assert!(std::fs::read(&at).unwrap() == bytes);
}

#[tokio::test]
async fn what_follows_a_push_runs_the_file_and_its_end_is_the_orders() {
    let mut host = Host::new().await;
    let dir = host.lone.dir.clone();
    let (content, at) =
        (Content::new(&dir, "source", b"#!/bin/sh\necho ran $1\nexit $2\n"), dir.join("tool"));
    host.send(&content, Some(&at)).await.unwrap();
    let then = |args: &[&str]| {
        let argv = [&[at.to_str().unwrap()], args].concat();
        let then = Some(argv.iter().map(|&arg| arg.to_owned()).collect());
        order(Push { mode: Some(0o755), then, ..content.push(&at) })
    };
    let report = host.run("r.0.0", then(&["once", "5"])).await;
    assert_eq!((report.state, report.code), (TargetState::Failed, Some(5)), "{report:?}");
    assert_eq!(host.watching.text("r.0.0"), "ran once\n");
    let report = host.run("r.0.1", then(&["again", "0"])).await;
    assert_eq!((report.state, report.already), (TargetState::Ok, false), "{report:?}");
    assert!(report.message.contains("so already"), "{}", report.message);
    assert_eq!(host.watching.text("r.0.1"), "ran again\n");
}

#[tokio::test]
async fn a_disk_without_room_refuses_a_file_and_keeps_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let small = folder.path().canonicalize().unwrap().join("small");
    let _small = harness::disk::Small::mount(&small, 2);
    let mut host = Host::new().await;
    let dir = host.lone.dir.clone();
    let content = Content::new(&dir, "source", &vec![7; 3_000_000]);
    host.send(&content, None).await.unwrap();
    let report = host.run("r.0.0", order(content.push(&small.join("file")))).await;
    assert_eq!(report.state, TargetState::Refused, "{report:?}");
    assert!(report.message.contains("no room"), "{}", report.message);
    assert_eq!(std::fs::read_dir(&small).unwrap().count(), 0);
    // The same for the place where contents wait.
    let state = small.join("agent");
    let tight = Host::with(|config| config.state_dir = state).await;
    let refused = tight.send(&content, None).await.unwrap_err();
    assert!(refused.kind == ErrorKind::Failed && refused.message.contains("room"), "{refused}");
}

#[tokio::test]
async fn a_run_puts_a_file_on_a_host_and_the_hub_is_sent_it_once() {
    use cmdr_protocol::runs::{Show, Start};
    let world = harness::World::start().await;
    let _agent = world.agent("here").await;
    let client = world.client(Role::OPERATOR).await;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().canonicalize().unwrap();
    let (content, at) = (Content::new(&dir, "source", &vec![9; 1_500_000]), dir.join("target"));
    let upload = blobs::Upload { hash: content.hash.clone(), size: content.size };
    for expected in [content.size, 0] {
        let source = (std::fs::File::open(&content.file).unwrap(), content.size);
        assert_eq!(send(&client, None, &upload, source, &|_| {}).await.unwrap(), expected);
    }
    for already in [false, true] {
        let order = order(content.push(&at));
        let start = Start { hosts: "here".into(), order, ..Start::default() };
        let run = client.call(None, &start, PATIENCE).await.unwrap().run.unwrap();
        let show = Show { run, from: 0 };
        let over = harness::until_some("the run is over", async || {
            let shown = client.call(None, &show, PATIENCE).await.unwrap();
            shown.run.state.is_over().then_some(shown)
        })
        .await;
        let target = &over.targets[0];
        assert_eq!(target.state, TargetState::Ok, "{target:?}");
        assert_eq!(target.why.contains("so already"), already, "{target:?}");
        assert_eq!(std::fs::read(&at).unwrap().len() as u64, content.size);
    }
    let missing = Content { hash: "cd".repeat(32), ..Content::new(&dir, "missing", b"x") };
    let order = order(missing.push(&at));
    let start = Start { hosts: "here".into(), order, ..Start::default() };
    // Before any host hears of it.
    let refused = client.call(None, &start, PATIENCE).await.unwrap_err();
    assert!(refused.message.contains("send it first"), "{refused}");
}
