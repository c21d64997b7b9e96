//! What the hub says when it cannot start or go on: one line, and a failure.

use harness::process::{HubProcess, Running, pause, program, run};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

fn failure(command: &mut Command) -> String {
    let output = run(command);
    assert!(!output.status.success(), "it should have failed");
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("cmdr-hub: ")).collect();
    assert_eq!(lines.len(), 1, "one line expected:\n{text}");
    lines[0].to_owned()
}

fn hub(dir: &std::path::Path) -> Command {
    let mut command = Command::new(program("cmdr-hub"));
    command.args(["--data"]).arg(dir).args(["serve", "--listen", "127.0.0.1:0"]);
    command
}

#[test]
fn a_taken_port_and_a_locked_folder_are_each_named() {
    let running = HubProcess::start();
    let other = tempfile::tempdir().unwrap();
    let line =
        failure(Command::new(program("cmdr-hub")).args(["--data"]).arg(other.path()).args([
            "serve",
            "--listen",
            &running.address,
        ]));
    assert!(line.contains(&running.address) && line.contains("in use"), "{line}");
    let line = failure(&mut hub(&running.data()));
    assert!(line.contains("in use by another cmdr-hub"), "{line}");
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_command_that_mends_it() {
    let mut running = HubProcess::start();
    running.kill();
    let key = running.data().join("hub.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let line = failure(&mut hub(&running.data()));
    assert!(line.contains("chmod 600"), "{line}");
}

#[test]
fn a_mistyped_configuration_names_file_line_and_the_nearest_key() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("hub.toml");
    std::fs::write(&config, "listen = [\"127.0.0.1:0\"]\nadress = \"x:1\"\n").unwrap();
    let line = failure(hub(dir.path()).arg("--config").arg(&config));
    assert!(line.contains("hub.toml:2: unknown key 'adress'; did you mean 'address'?"), "{line}");
    std::fs::write(&config, "address = \"::1:7700\"\n").unwrap();
    let mut command = hub(dir.path());
    let line = failure(command.arg("--config").arg(&config));
    assert!(line.contains("hub.toml: address: ") && line.contains("in brackets"), "{line}");
    assert_eq!(run(&mut command).status.code(), Some(2));
}

#[test]
fn the_first_start_prints_one_token_and_the_second_none() {
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let ready = dir.path().join("ready");
        std::fs::remove_file(&ready).ok();
        let log = dir.path().join("log");
        std::fs::remove_file(&log).ok();
        let mut running =
            Running::start(hub(&dir.path().join("hub")).arg("--ready-file").arg(&ready), &log);
        while !ready.exists() {
            assert!(running.ended().is_none(), "{}", running.text());
            pause();
        }
        running.terminate();
        while running.ended().is_none() {
            pause();
        }
        running.text()
    };
    let first = start();
    assert_eq!(first.matches("cmdr login cmdr1-").count(), 1, "{first}");
    let second = start();
    assert!(!second.contains("cmdr1-"), "{second}");
}

#[test]
fn a_backup_of_a_running_hub_restores_into_a_new_folder() {
    let running = HubProcess::start();
    running.token(None, 3);
    let file = running.dir.path().join("backup");
    let file = file.to_str().unwrap();
    running.command(&["backup", file]);
    let fresh = running.dir.path().join("fresh");
    let key = running.data().join("hub.key");
    let restored = run(Command::new(program("cmdr-hub"))
        .arg("--data")
        .arg(&fresh)
        .args(["restore", file, "--key"])
        .arg(&key));
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let proved =
        run(Command::new(program("cmdr-hub")).arg("--data").arg(&fresh).args(["audit", "verify"]));
    let words = String::from_utf8_lossy(&proved.stdout).into_owned();
    assert!(proved.status.success() && words.contains("is whole: "), "{words}");
    let again = running.dir.path().join("again");
    let backup =
        run(Command::new(program("cmdr-hub")).arg("--data").arg(&fresh).arg("backup").arg(&again));
    assert!(backup.status.success());
    assert_eq!(std::fs::read(file).unwrap(), std::fs::read(again).unwrap());
}

/// Everything below a folder, by name.
fn listing(dir: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        names.push(entry.path().to_string_lossy().into_owned());
        names.extend(listing(&entry.path()));
    }
    names.sort();
    names
}

#[test]
fn a_restore_that_fails_leaves_nothing_behind() {
    let running = HubProcess::start();
    let path = |name: &str| running.dir.path().join(name);
    let backup = path("backup");
    running.command(&["backup", backup.to_str().unwrap()]);
    let key = running.data().join("hub.key");
    let text = std::fs::read_to_string(&backup).unwrap();
    std::fs::write(path("cut"), &text[..text.len() - 9]).unwrap();
    std::fs::write(path("no-key"), "hello").unwrap();
    std::fs::set_permissions(path("no-key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    cmdr_link::SecretKey::generate().unwrap().save(&path("other.key")).unwrap();
    let fresh = path("fresh/deep/hub");
    let restore = |data: &std::path::Path, file: &str, key: Option<&std::path::Path>| {
        let mut command = Command::new(program("cmdr-hub"));
        command.arg("--data").arg(data).arg("restore").arg(path(file));
        failure(
            command.args(key.iter().flat_map(|k| [std::ffi::OsStr::new("--key"), k.as_os_str()])),
        )
    };
    let cases = [
        ("nothing", Some(key.clone()), "reading"),
        ("cut", Some(key.clone()), "cut short"),
        ("backup", Some(path("no-key")), "does not hold a key"),
        ("backup", Some(path("nothing")), "nothing"),
        ("backup", Some(path("other.key")), "another"),
        ("backup", None, "give the hub's key file"),
    ];
    for (file, key, why) in cases {
        let line = restore(&fresh, file, key.as_deref());
        assert!(line.contains(why), "{line}");
        assert!(!path("fresh").exists(), "{why}: {:?}", listing(&path("fresh")));
    }
    // A place that was there stays as it was: here another thing is in the way of the store.
    let blocked = path("blocked");
    std::fs::create_dir(&blocked).unwrap();
    std::fs::write(blocked.join("store"), "no folder").unwrap();
    restore(&blocked, "backup", Some(&key));
    assert_eq!(listing(&blocked), [blocked.join("store").to_string_lossy()]);
    // And one that a hub uses is not touched.
    let line = restore(&running.data(), "backup", Some(&key));
    assert!(line.contains("leave --key out"), "{line}");
    let line = restore(&running.data(), "backup", None);
    assert!(line.contains("in use"), "{line}");
}

#[test]
fn tokens_are_listed_and_made_as_json_and_revoked_once() {
    let running = HubProcess::start();
    let made: serde_json::Value =
        serde_json::from_str(&running.command(&["token", "-o", "json", "--operator", "observer"]))
            .unwrap();
    let id = made["id"].as_str().unwrap();
    assert!(made["token"].as_str().unwrap().starts_with("cmdr1-"), "{made}");
    assert_eq!((&made["kind"], &made["role"]), (&"operator".into(), &"observer".into()));
    let list: serde_json::Value =
        serde_json::from_str(&running.command(&["token", "list", "-o", "json"])).unwrap();
    assert_eq!((&list[0]["id"], &list[0]["state"]), (&id.into(), &"valid".into()));
    let table = running.command(&["token", "list"]);
    let head: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, cmdr_protocol::tokens::shown::HEADS);
    let revoke = || {
        let mut command = Command::new(program("cmdr-hub"));
        let output = run(command.arg("--data").arg(running.data()).args(["token", "revoke", id]));
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(revoke().contains("is revoked"));
    assert!(revoke().contains("was revoked already"));
}

#[test]
fn what_cannot_be_written_is_told_in_one_line() {
    let running = HubProcess::start();
    let list = |out: &str| {
        run(Command::new("sh")
            .args(["-c", &format!("{{ \"$0\" --data \"$1\" token list; echo $? >&2; }} {out}")])
            .arg(program("cmdr-hub"))
            .arg(running.data()))
    };
    let full = String::from_utf8(list("> /dev/full").stderr).unwrap();
    assert_eq!(full, "cmdr-hub: cannot write the output: No space left on device\n1\n");
    let facts = run(Command::new("sh")
        .args(["-c", "\"$0\" facts > /dev/full; echo $? >&2"])
        .arg(program("cmdr-agentd")));
    let full = String::from_utf8(facts.stderr).unwrap();
    assert_eq!(full, "cmdr-agentd: cannot write the output: No space left on device\n1\n");
}

/// A file system of 48 MiB in a mount namespace of its own: fill it, see the hub only read, empty it, see
/// it write again. The script prints what it sees; the test compares.
#[test]
fn a_full_disk_makes_the_hub_read_only_until_there_is_space_again() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("script");
    std::fs::write(
        &script,
        r#"set -eu
hub=$1; dir=$2/disk
mkdir -p "$dir"; mount -t tmpfs -o size=48m none "$dir"
"$hub" --data "$dir/hub" serve --listen 127.0.0.1:0 --no-first-token --ready-file "$2/ready" 2>"$2/log" &
pid=$!; trap 'kill $pid' EXIT
wait_for() { i=0; until "$@" >/dev/null 2>&1; do i=$((i+1)); [ $i -lt 1500 ] || { echo "waited in vain: $*"; cat "$2/log"; exit 1; }; kill -0 $pid || { echo "the hub died"; exit 1; }; sleep 0.02; done; }
wait_for test -s "$2/ready"
token() { "$hub" --data "$dir/hub" token --host -q; }
token >/dev/null && echo "writes at first"
dd if=/dev/zero of="$dir/fill" bs=64k status=none 2>/dev/null || true
fails() { ! token; }
i=0; while token >/dev/null 2>&1 && [ $i -lt 4000 ]; do i=$((i+1)); done
token 2>"$2/err" || echo "then refuses: $(cat "$2/err")"
"$hub" --data "$dir/hub" token list >/dev/null && echo "still reads"
rm "$dir/fill"
wait_for token "$2" && echo "writes again"
kill -0 $pid && echo "never died"
"#,
    )
    .unwrap();
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let begin = Instant::now();
    let output =
        run(command.args(["--mount", "sh"]).arg(&script).arg(program("cmdr-hub")).arg(dir.path()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
    for line in [
        "writes at first",
        "then refuses: cmdr-hub: the hub's store cannot write",
        "still reads",
        "writes again",
        "never died",
    ] {
        assert!(
            text.contains(line),
            "'{line}' is missing after {:?}:\n{text}\n{log}",
            begin.elapsed()
        );
    }
    assert!(begin.elapsed() < Duration::from_mins(1));
}
