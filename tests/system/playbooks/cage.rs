//! What a playbook cannot do to the hub's machine, and how much of it it may take.

use super::*;

#[tokio::test]
async fn what_listens_on_the_hubs_machine_and_what_a_playbook_may_read_stay_as_they_are() {
    let library = tempfile::tempdir().unwrap();
    let settings = Settings { library: vec![library.path().to_owned()], ..settings() };
    let world = World::start_with(Config { ansible: settings, ..config() }).await;
    let (_agent, client) = (world.agent("web1").await, world.client(Role::ADMINISTRATOR).await);
    let (sound, shared) = (library.path().join("log"), library.path().join("shared"));
    let listens = std::os::unix::net::UnixDatagram::bind(&sound).unwrap();
    listens.set_nonblocking(true).unwrap();
    std::fs::write(&shared, "roles").unwrap();
    std::fs::set_permissions(&shared, Permissions::from_mode(0o640)).unwrap();
    let (at, of) = (sound.display(), shared.display());
    let says = |kind: &str| {
        format!(
            "import socket as s, sys; s.socketpair(s.AF_UNIX, s.{kind})[0].sendto(bytes(1), sys.argv[1])"
        )
    };
    let does =
        |call: &str| format!("import os, sys; fd = os.open(sys.argv[1], os.O_RDONLY); os.{call}");
    let ipc = |call: &str| {
        format!(
            "import ctypes; c = ctypes.CDLL(None, use_errno=True); exit(c.{call} < 0 and str(ctypes.get_errno()) + chr(33))"
        )
    };
    let looks = [
        (says("SOCK_DGRAM"), at.to_string(), "PermissionError"),
        (says("SOCK_RAW"), at.to_string(), "PermissionError"),
        (
            "import socket as s; s.socketpair(s.AF_TIPC, s.SOCK_STREAM)".into(),
            String::new(),
            "PermissionError",
        ),
        (
            "import socket as s; a, b = s.socketpair(); a.send(bytes(1)); print(len(b.recv(9)), b.family)".into(),
            String::new(),
            "1 ",
        ),
        (does("fchmod(fd, 0o777)"), of.to_string(), "PermissionError"),
        (does("fchown(fd, -1, os.getgid())"), of.to_string(), "PermissionError"),
        (does("setxattr(fd, sys.argv[2], bytes(1))"), format!("{of} user.x"), "PermissionError"),
        (does("removexattr(fd, sys.argv[2])"), format!("{of} user.x"), "PermissionError"),
        // The flags of a file: no atime.
        (
            format!(
                "{}; import fcntl; fcntl.ioctl(fd, 0x40086602, bytes([128, 0, 0, 0]))",
                does("fstat(fd)")
            ),
            of.to_string(),
            "PermissionError",
        ),
        (ipc("shmget(0, 4096, 0o600)"), String::new(), "1!"),
        (ipc("semget(0, 1, 0o600)"), String::new(), "1!"),
        (ipc("msgget(0, 0o600)"), String::new(), "1!"),
    ];
    let tasks: Vec<_> = looks
        .iter()
        .map(|(code, words, _)| {
            format!(
                "- debug: {{msg: \"{{{{ lookup('pipe', 'python3 -c \\\"{code}\\\" {words} 2>&1 || true') }}}}\"}}\n"
            )
        })
        .collect();
    let tasks = tasks.concat();
    save(&client, &book(&tasks, "")).await;
    let run = start(&client).await;
    let target = over(&client, run).await.targets.remove(0);
    let printed = output(&client, run).await;
    assert_eq!(target.state, TargetState::Ok, "{target:?}\n{printed}");
    let told: Vec<_> = printed.lines().filter(|line| line.contains("\"msg\":")).collect();
    assert_eq!(told.len(), looks.len(), "{printed}");
    for ((code, _, what), told) in looks.iter().zip(told) {
        assert!(told.contains(what), "{code}: {told}");
    }
    assert!(listens.recv(&mut [0; 8]).is_err(), "nothing was said to it");
    assert_eq!(std::fs::metadata(&shared).unwrap().permissions().mode() & 0o777, 0o640);
}

#[tokio::test]
async fn a_playbook_that_takes_the_disk_or_more_than_its_memory_is_ended_with_the_reason() {
    let scene = Scene::new().await;
    let fills = "for n in 1 2 3; do fallocate -l 400M $n; done; sleep 600";
    let tasks = format!("- debug: {{msg: \"{{{{ lookup('pipe', '{fills}') }}}}\"}}\n");
    let (target, printed) = scene.play(&tasks).await;
    assert_eq!(target.state, TargetState::Failed, "{printed}");
    assert!(target.why.contains("took more than 1024 MiB"), "{target:?}\n{printed}");
    let left = || std::fs::read_dir(scene.world.path("playbooks")).unwrap().count();
    until("its folder is gone", async || left() == 0).await;
    // A host may say as much as it likes, and a playbook keeps it.
    let (target, printed) = scene.play("- raw: cat /dev/zero\n").await;
    assert_eq!(target.state, TargetState::Failed, "{printed}");
    assert!(target.why.contains("it wrote more than 64 MiB"), "{target:?}\n{printed}");
    // What is fetched is kept in a file.
    std::fs::write(scene.path("large"), vec![b'x'; 70 << 20]).unwrap();
    let tasks = format!("- fetch: {{src: {}, dest: large, flat: true}}\n", scene.path("large"));
    let (target, printed) = scene.play(&tasks).await;
    assert_eq!(target.state, TargetState::Ok, "{target:?}\n{printed}");
}
