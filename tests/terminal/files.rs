//! Copies with the real programs, on links that break: what comes is whole, and nothing is carried twice.

use harness::process::{HubProcess, Running, program, run};
use harness::{Fault, Proxy};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// Of the file that is copied while links are cut.
const BIG: u64 = 1 << 30;
/// It is made, hashed and compared in pieces of this size.
const PIECE: usize = 1 << 20;

/// A hub, two agents that reach it through proxies, and an operator.
struct Fleet {
    hub: HubProcess,
    proxies: Vec<Proxy>,
    _agents: Vec<Running>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Fleet {
    async fn start() -> Self {
        let hub = HubProcess::start();
        let (mut proxies, mut agents) = (Vec::new(), Vec::new());
        for name in ["one", "two"] {
            let proxy = Proxy::start(hub.address.parse().unwrap()).await;
            let state = hub.dir.path().join(name);
            let address = proxy.address().to_string();
            let token =
                hub.command(&["token", "-q", "--uses", "1", "--address", &address, "--host"]);
            let mut join = Command::new(program("cmdr-agentd"));
            join.args(["join", token.trim(), "--name", name, "--state"]).arg(&state);
            let joined = tokio::task::spawn_blocking(move || run(&mut join)).await.unwrap();
            assert!(joined.status.success(), "{}", text(&joined.stderr));
            let mut serve = Command::new(program("cmdr-agentd"));
            serve.args(["run", "--state"]).arg(&state);
            agents.push(Running::start(&mut serve, &hub.dir.path().join(format!("{name}.log"))));
            proxies.push(proxy);
        }
        let fleet = Self { hub, proxies, _agents: agents };
        let token = fleet.hub.token(Some("operator"), 1);
        assert!(fleet.cmdr(&["login", &token]).await.status.success());
        harness::until("both hosts are online", async || fleet.online().await == 2).await;
        fleet
    }

    async fn online(&self) -> usize {
        let hosts = self.cmdr(&["hosts", "-o", "json"]).await;
        text(&hosts.stdout).matches("\"online\"").count()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program("cmdr"));
        command.env("CMDR_HOME", self.hub.dir.path().join("me")).args(args);
        command
    }

    async fn cmdr(&self, args: &[&str]) -> Output {
        let mut command = self.command(args);
        tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap()
    }

    async fn ok(&self, args: &[&str]) -> String {
        let output = self.cmdr(args).await;
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.hub.dir.path().canonicalize().unwrap().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    }
}

fn noise(path: &Path, len: usize) {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_derive_key("a test's file").finalize_xof().fill(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// Writes a file in which no two pieces are alike and nothing can be packed; its checksum. A cipher makes the
/// bytes: nothing else is as quick where the test's own code is not optimised.
fn big(path: &Path, len: u64) -> String {
    let key = ring::aead::UnboundKey::new(&ring::aead::AES_256_GCM, &[7; 32]).unwrap();
    let key = ring::aead::LessSafeKey::new(key);
    let (mut file, mut hasher) = (File::create(path).unwrap(), blake3::Hasher::new());
    let mut piece = vec![0; PIECE];
    for n in 0..len / PIECE as u64 {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&n.to_le_bytes());
        let nonce = ring::aead::Nonce::assume_unique_for_key(nonce);
        let none = ring::aead::Aad::empty();
        let _tag = key.seal_in_place_separate_tag(nonce, none, &mut piece).unwrap();
        hasher.update(&piece);
        file.write_all(&piece).unwrap();
    }
    data_encoding::HEXLOWER.encode(hasher.finalize().as_bytes())
}

/// The checksum of a file, and how long it is.
fn sum(path: &Path) -> (String, u64) {
    let (mut file, mut hasher) = (File::open(path).unwrap(), blake3::Hasher::new());
    let (mut piece, mut len) = (vec![0; PIECE], 0);
    while let n @ 1.. = file.read(&mut piece).unwrap() {
        hasher.update(&piece[..n]);
        len += n as u64;
    }
    (data_encoding::HEXLOWER.encode(hasher.finalize().as_bytes()), len)
}

/// Two of them, and something for all else that writes meanwhile.
fn has_room(dir: &Path) {
    let disk = rustix::fs::statvfs(dir).unwrap();
    let (free, needed) = (disk.f_bavail * disk.f_frsize, 2 * BIG + (BIG >> 1));
    assert!(
        free >= needed,
        "{} has {} MiB free, and this test needs {} MiB for two files of 1 GiB: make room, or set TMPDIR",
        dir.display(),
        free >> 20,
        needed >> 20
    );
}

/// A pause between two looks at other processes, in which the proxies go on.
async fn look_again() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

/// How much of it is there: of the part, while it is on its way.
fn come(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map_while(Result::ok);
    entries.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).max().unwrap_or(0)
}

#[tokio::test]
async fn a_gigabyte_between_two_hosts_whose_links_are_cut_is_whole_and_goes_on_where_it_was() {
    let fleet = Fleet::start().await;
    has_room(fleet.hub.dir.path());
    let (from, to) = (fleet.folder("from"), fleet.folder("to"));
    let (path, copied) = (from.join("big"), to.join("big"));
    let made = tokio::task::spawn_blocking(move || big(&path, BIG)).await.unwrap();
    let (source, target) =
        (format!("one:{}/big", from.display()), format!("two:{}/", to.display()));
    let out = fleet.hub.dir.path().join("copy.log");
    let mut copy =
        Running::start(&mut fleet.command(&["cp", &source, &target, "-o", "json"]), &out);
    // The link of who writes, then that of who reads.
    for (cut, at) in [(1, BIG / 5), (0, BIG / 2)] {
        let begun = Instant::now();
        while come(&to) < at {
            assert!(copy.ended().is_none(), "{}", copy.text());
            assert!(begun.elapsed() < Duration::from_mins(1), "{}", copy.text());
            look_again().await;
        }
        fleet.proxies[cut].set(Fault::Cut);
        harness::until("a host has gone", async || fleet.online().await == 1).await;
        fleet.proxies[cut].set(Fault::None);
    }
    let begun = Instant::now();
    while copy.ended().is_none() {
        assert!(begun.elapsed() < Duration::from_mins(4), "{}", copy.text());
        look_again().await;
    }
    assert!(copy.ended().unwrap().success(), "{}", copy.text());
    let told: serde_json::Value = serde_json::from_str(&copy.text()).unwrap();
    let there = tokio::task::spawn_blocking(move || sum(&copied)).await.unwrap();
    assert_eq!(there, (made.clone(), BIG));
    assert_eq!(told[0]["hash"], made);
    let carried = told[0]["carried"].as_u64().unwrap();
    // What was under way when the link was cut comes again, and no more.
    assert!(carried < BIG + BIG / 8, "{carried} bytes were carried of {BIG}");
    assert_eq!(std::fs::read_dir(&to).unwrap().count(), 1);
}

#[tokio::test]
async fn files_and_folders_go_up_down_and_across_and_bytes_come_as_they_are() {
    let fleet = Fleet::start().await;
    let (here, there) = (fleet.folder("here"), fleet.folder("there"));
    std::fs::create_dir_all(here.join("tree/in")).unwrap();
    std::fs::write(here.join("tree/in/esc\u{1b}[31m\n"), b"\x1b]0;owned\x07\xff").unwrap();
    std::fs::write(here.join("tree/empty"), b"").unwrap();
    noise(&here.join("tree/some"), 3_000_000);
    let (local, base) = (here.join("tree"), there.display().to_string());
    let local = local.to_str().unwrap();
    let refused = fleet.cmdr(&["cp", local, &format!("one:{base}/")]).await;
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));
    fleet.ok(&["cp", "-r", "-p", local, &format!("one:{base}/")]).await;
    fleet.ok(&["cp", "-r", &format!("one:{base}/tree"), &format!("two:{base}/across")]).await;
    let back = here.join("back");
    fleet.ok(&["cp", "-r", &format!("two:{base}/across"), back.to_str().unwrap()]).await;
    for name in ["in/esc\u{1b}[31m\n", "empty", "some"] {
        let first = std::fs::read(here.join("tree").join(name)).unwrap();
        assert!(first == std::fs::read(back.join(name)).unwrap(), "{name:?}");
    }
    let listed = fleet.ok(&["ls", "-l", &format!("one:{base}/tree/in")]).await;
    assert!(listed.contains("esc␛[31m␊") && !listed.contains('\u{1b}'), "{listed}");
    let json = fleet.ok(&["ls", &format!("one:{base}/tree"), "-o", "json"]).await;
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&rows[2]["name"], &rows[2]["size"]), (&"some".into(), &3_000_000.into()));
    let cat = fleet.cmdr(&["cat", &format!("two:{base}/across/in/esc\u{1b}[31m\n")]).await;
    assert_eq!(cat.stdout, b"\x1b]0;owned\x07\xff");
    // Something that is there is kept when that is asked for.
    let again = ["cp", "--if-absent", &format!("{local}/some"), &format!("two:{base}/across/some")];
    let refused = fleet.cmdr(&again).await;
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    let unasked = fleet.cmdr(&["rm", "-r", &format!("two:{base}/across")]).await;
    assert_eq!(unasked.status.code(), Some(2), "{}", text(&unasked.stderr));
    fleet.ok(&["rm", "-r", "--yes", &format!("two:{base}/across")]).await;
    assert!(!there.join("across").exists());
    // A path through a link means the place behind it.
    std::os::unix::fs::symlink("tree", there.join("way")).unwrap();
    fleet.ok(&["mv", &format!("one:{base}/way/some"), &format!("{base}/way/other")]).await;
    assert_eq!(
        fleet.ok(&["cat", "--length", "3", &format!("one:{base}/way/other")]).await.len(),
        text(&std::fs::read(there.join("tree/other")).unwrap()[..3]).len()
    );
    fleet.ok(&["mkdir", "-p", &format!("one:{base}/new/deep")]).await;
    fleet.ok(&["chmod", "700", &format!("one:{base}/new/deep")]).await;
    let packed = fleet.cmdr(&["archive", &format!("one:{base}/tree")]).await.stdout;
    assert_eq!(packed[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    let file = fleet.hub.dir.path().join("tree.tar.zst");
    std::fs::write(&file, packed).unwrap();
    let mut unpack = fleet.command(&["unpack", &format!("two:{base}/new/deep")]);
    let input = std::fs::File::open(&file).unwrap();
    let unpacked = tokio::task::spawn_blocking(move || unpack.stdin(input).status().unwrap());
    let status = unpacked.await.unwrap();
    assert!(status.success());
    assert!(there.join("new/deep/other").exists());
}
