//! Verbs of `cmdr docker` typed as people type them: copies into and out of containers, images from and to a registry and
//! to another host, volumes into files and back.

use crate::docker_proxy::{Scene, text};
use cmdr_protocol::role::Role;
use harness::engine::{Engine, IMAGE};
use harness::registry::{PASSWORD, Registry, USER};
use std::fs;
use std::process::{Output, Stdio};

fn ok(done: &Output) -> String {
    assert!(done.status.success(), "{}{}", text(&done.stdout), text(&done.stderr));
    text(&done.stdout)
}

/// Runs it with this on its standard input.
fn fed(scene: &Scene, args: &[&str], input: &[u8]) -> Output {
    use std::io::Write as _;
    let mut command = scene.command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    tokio::task::block_in_place(|| {
        let mut running = command.spawn().unwrap();
        // Whoever refuses it says so, and reads no more.
        running.stdin.take().unwrap().write_all(input).ok();
        running.wait_with_output().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_folders_go_into_a_container_and_out_as_docker_copies_them() {
    let scene = Scene::new(Role::ADMINISTRATOR).await;
    let name = scene.engine.name("cp");
    scene.engine.sleeper(&name);
    let dir = scene.dir.path().join("work");
    fs::create_dir_all(dir.join("site/sub")).unwrap();
    fs::write(dir.join("site/sub/page"), "hello").unwrap();
    std::os::unix::fs::symlink("sub/page", dir.join("site/link")).unwrap();
    let here = |path: &str| dir.join(path).display().to_string();
    let there = |path: &str| format!("{name}:{path}");
    let cp = |from: &str, to: &str| scene.cmdr(&["docker", "cp", "web", from, to]);
    let look = |script: &str| scene.engine.docker(&["exec", name.as_str(), "sh", "-c", script]);

    ok(&cp(&here("site"), &there("/root")));
    ok(&cp(&here("site"), &there("/tmp/new")));
    ok(&cp(&here("site/."), &there("/tmp")));
    ok(&cp(&here("site/sub/page"), &there("/tmp/renamed")));
    let seen = look(
        "cat /root/site/link /tmp/new/sub/page /tmp/sub/page /tmp/renamed; stat -c %u:%g /tmp/renamed",
    );
    assert_eq!(seen, "hellohellohellohello0:0");

    ok(&cp(&there("/root/site"), &here("back")));
    ok(&cp(&there("/root/site"), &here(".")));
    ok(&cp(&there("/root/site/sub/page"), &here("back/other")));
    assert_eq!(fs::read_to_string(dir.join("back/sub/page")).unwrap(), "hello");
    assert_eq!(fs::read_to_string(dir.join("back/other")).unwrap(), "hello");
    assert_eq!(fs::read_link(dir.join("site/link")).unwrap().to_str(), Some("sub/page"));

    let archive = cp(&there("/root/site"), "-");
    assert!(archive.status.success() && archive.stdout.len() > 1024);
    ok(&fed(&scene, &["docker", "cp", "web", "-", &there("/")], &archive.stdout));
    assert_eq!(look("cat /site/sub/page"), "hello");

    for (from, to, why) in [
        (there("/none"), here("x"), "none"),
        ("nobody:/etc".to_owned(), here("x"), "No such container"),
        (here("none"), there("/tmp"), "No such file"),
        (here("site"), "nobody:/tmp".to_owned(), "No such container"),
        (here("site/sub/page"), there("/none/deep/"), "/none/deep/"),
        (there("/root/site"), here("none/deep"), "there is no such folder"),
        (there("/root/site"), here("back/other"), "a folder cannot take its place"),
    ] {
        let refused = cp(&from, &to);
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && said.contains(why), "{from} {to}: {said}");
    }
    // Nothing that was laid out half-way stays.
    let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_goes_to_a_registry_and_is_fetched_by_whoever_runs_it() {
    let scene = Scene::new(Role::ADMINISTRATOR).await;
    let registry = Registry::start(&scene.world.path("registry"));
    let name = scene.engine.name("fetched");
    let image = format!("{}/verbs/{name}:1", registry.address);
    let add = ["docker", "registry", "add", "--plain", "-u", USER, &registry.address];
    ok(&fed(&scene, &add, format!("{PASSWORD}\n").as_bytes()));
    let listed = ok(&scene.cmdr(&["docker", "registry", "ls"]));
    assert!(listed.contains(&registry.address) && !listed.contains(PASSWORD), "{listed}");

    ok(&scene.cmdr(&["docker", "tag", "web", IMAGE, &image]));
    let pushed = ok(&scene.cmdr(&["docker", "push", "web", &image]));
    assert!(pushed.contains("sha256:"), "{pushed}");
    ok(&scene.cmdr(&["docker", "rmi", "--yes", "web", &image]));
    let run = |pull: &str| {
        let words = ["docker", "run", "--pull", pull, "web", "-d", "--name", name.as_str()];
        scene.cmdr(&[&words[..], &["--network", "none", &image, "sleep", "1000"]].concat())
    };
    let refused = run("never");
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("No such image"), "{said}");
    ok(&run("missing"));
    assert_eq!(scene.engine.docker(&["inspect", "-f", "{{.Config.Image}}", name.as_str()]), image);
    ok(&scene.cmdr(&["docker", "pull", "web", &image]));
    let none = format!("{}/verbs/none:1", registry.address);
    let refused = scene.cmdr(&["docker", "pull", "web", &none]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("none"));
    let repository = format!("{}/verbs/{name}", registry.address);
    let tags = ok(&scene.cmdr(&["docker", "registry", "tags", &repository]));
    assert!(tags.lines().any(|line| line.trim() == "1"), "{tags}");
    ok(&scene.cmdr(&["docker", "rm", "--yes", "--force", "web", name.as_str()]));
    ok(&scene.cmdr(&["docker", "rmi", "--yes", "web", &image]));
    ok(&scene.cmdr(&["docker", "registry", "rm", "--yes", &registry.address]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_goes_from_host_to_host_and_a_volume_into_a_file_and_back() {
    let scene = Scene::new(Role::ADMINISTRATOR).await;
    let name = scene.engine.name("kept");
    let second = tokio::task::block_in_place(|| Engine::another(&scene.world.path("second")));
    let _other = crate::container_sessions::host(&scene.world, "other", &second).await;
    ok(&scene.cmdr(&["docker", "image", "cp", "web", "other", IMAGE]));
    assert!(second.docker(&["images", "-q", IMAGE]).len() == 12);

    let volume = name.as_str();
    ok(&scene.cmdr(&["docker", "volume", "create", "web", volume]));
    let mount = format!("{volume}:/data");
    let write = ["run", "--rm", "--network", "none", "-v", &mount, IMAGE];
    scene.engine.docker(&[&write[..], &["sh", "-c", "echo precious > /data/file"]].concat());
    let archive = scene.cmdr(&["docker", "volume", "backup", "web", volume]);
    assert!(archive.status.success(), "{}", text(&archive.stderr));
    ok(&fed(&scene, &["docker", "volume", "restore", "other", volume], &archive.stdout));
    let seen = second.docker(&[&write[..], &["cat", "/data/file"]].concat());
    assert_eq!(seen, "precious");
    let again = fed(&scene, &["docker", "volume", "restore", "other", volume], &archive.stdout);
    assert!(!again.status.success(), "what is there was written over: {}", text(&again.stdout));
    let broken = fed(&scene, &["docker", "volume", "restore", "other", "broken"], b"no archive");
    assert!(!broken.status.success());
    ok(&scene.cmdr(&["docker", "volume", "rm", "--yes", "web", volume]));
}
