//! The chapter of containers: figures beside the list, details, acts, sessions in them, their logs, files out of them.

use super::{at_docker, container, some_containers, told};
use crate::support::pictures::each;
use crate::support::{Setup, World, id, pass, some_hosts};
use cmdr_protocol::containers::change::{CopyIn, CopyOut};
use cmdr_protocol::containers::stats::{Figures, Stats};
use cmdr_protocol::containers::{State, Watch};
use cmdr_protocol::files::Chunk;
use cmdr_protocol::table::Change;
use cmdr_protocol::{CallError, ErrorKind, HostId, inside, sessions};
use serde_json::{Value, json};

async fn at_containers(setup: Setup) -> World {
    let mut world = at_docker(setup).await;
    world.far.push::<Watch>(Some(id(1)), &told(some_containers()));
    world.idle().await;
    world
}

fn figures(n: u8, cpu: u32, memory: u64, moved: u64) -> Figures {
    Figures {
        id: format!("{n:02x}").repeat(32),
        cpu,
        memory,
        limit: 2 << 30,
        received: moved * 3,
        sent: moved,
        read: moved / 2,
        written: moved * 7,
        pids: 4,
        ..Figures::default()
    }
}

async fn sample(world: &mut World, moved: u64) {
    let put = vec![figures(1, 14_250, 1_990 << 20, moved), figures(2, 31, 48 << 20, 0)];
    let item = Change { reset: false, gone: Vec::new(), put };
    world.far.push::<Stats>(Some(id(1)), &item);
    world.idle().await;
}

#[tokio::test]
async fn what_containers_use_stands_beside_them() {
    for setup in each() {
        let mut world = at_containers(setup).await;
        sample(&mut world, 1000).await;
        pass(2);
        sample(&mut world, 9_000_000).await;
        snap!("containers_live", world);
    }
}

fn sampled(world: &World) -> Vec<Option<HostId>> {
    let feeds = world.feeds().into_iter();
    feeds.filter(|(_, method)| *method == "containers.stats").map(|(host, _)| host).collect()
}

#[tokio::test]
async fn figures_are_followed_of_hosts_whose_running_containers_are_seen() {
    let mut world = World::new(Setup { size: (120, 20), ..Setup::default() }).await;
    world.fleet(some_hosts()).await;
    world.press("#").await;
    world.idle().await;
    assert_eq!(sampled(&world), []);
    let many =
        |from: u8| (from..from + 30).map(|n| container(n, &format!("c{n:03}"), State::Running));
    world.far.push::<Watch>(Some(id(1)), &told(many(10).collect()));
    world.far.push::<Watch>(Some(id(2)), &told(many(60).collect()));
    world.far.push::<Watch>(Some(id(3)), &told(vec![container(1, "a", State::Exited)]));
    world.idle().await;
    world.idle().await;
    assert_eq!(sampled(&world), [Some(id(1))]);
    world.press("G").await;
    world.idle().await;
    assert_eq!(sampled(&world), [Some(id(2))]);
    // Where they decide about the order, those of all are needed.
    world.press(">>").await;
    world.idle().await;
    assert_eq!(sampled(&world), [Some(id(1)), Some(id(2))]);
    world.press("<esc>").await;
    assert_eq!(sampled(&world), []);
}

#[tokio::test]
async fn only_those_that_run_are_shown_on_a_key_and_all_again() {
    let mut world = at_containers(Setup::default()).await;
    world.press("o").await;
    world.check_shows("shop-web-1");
    world.check_hides("worker");
    world.check_shows("only those that run");
    world.press("o").await;
    world.check_shows("worker");
}

fn inspected(masked: bool) -> Value {
    let password = if masked { "***" } else { "hunter2" };
    let json = json!({
        "Id": "01".repeat(32),
        "Name": "/shop-web-1",
        "Created": "2026-11-20T12:00:00.123456789Z",
        "Image": format!("sha256:{}", "ab".repeat(32)),
        "Path": "/docker-entrypoint.sh",
        "Args": ["nginx", "-g", "daemon off;"],
        "RestartCount": 3,
        "State": {
            "Status": "running", "Running": true, "Pid": 4711, "ExitCode": 0, "OOMKilled": false,
            "StartedAt": "2026-11-20T12:00:01.5Z", "FinishedAt": "0001-01-01T00:00:00Z",
            "Health": { "Status": "healthy", "Log": [{ "ExitCode": 0, "Output": "ok \u{1b}[31mred" }] },
        },
        "Config": {
            "Image": "nginx:1.27", "Hostname": "web", "User": "", "WorkingDir": "/srv",
            "Env": ["PATH=/usr/bin", format!("DB_PASSWORD={password}"), "EVIL=\u{1b}]0;owned\u{7}"],
            "Labels": { "com.docker.compose.project": "shop", "名前": "値" },
            "Healthcheck": { "Test": ["CMD-SHELL", "curl -f http://localhost"] },
        },
        "HostConfig": {
            "NanoCpus": 1_500_000_000, "Memory": 536_870_912, "PidsLimit": 200,
            "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": 5 },
            "LogConfig": { "Type": "json-file" },
        },
        "NetworkSettings": {
            "Ports": { "80/tcp": [{ "HostIp": "0.0.0.0", "HostPort": "8080" }], "443/tcp": null },
            "Networks": { "shop_default": { "IPAddress": "172.18.0.2", "MacAddress": "02:42:ac:12:00:02" } },
        },
        "Mounts": [
            { "Type": "bind", "Source": "/srv/site", "Destination": "/usr/share/nginx/html", "RW": false },
            { "Type": "volume", "Name": "cache", "Source": "/x", "Destination": "/var/cache", "RW": true },
        ],
    });
    json!({
        "id": "01".repeat(32),
        "name": "shop-web-1",
        "json": json.to_string(),
        "masked": if masked { vec!["DB_PASSWORD"] } else { vec![] },
        "powers": ["mount:/srv/site"],
    })
}

#[tokio::test]
async fn all_about_a_container_is_read_and_its_secrets_only_once_that_was_asked_about() {
    for setup in each() {
        let mut world = at_containers(setup).await;
        world.far.answer(|asked| Ok(inspected(asked.method != "containers.values")));
        world.press("/shop<enter><enter>").await;
        snap!("container_detail", world);
        world.check_hides("hunter2");
        world.press("v").await;
        snap!("container_reveal", world);
        let methods: Vec<_> = world.calls().iter().map(|call| call.method).collect();
        assert_eq!(methods, ["containers.inspect"]);
        world.press("y").await;
        let methods: Vec<_> = world.calls().iter().map(|call| call.method).collect();
        assert_eq!(methods, ["containers.values"]);
        world.press("/hunter2<enter>").await;
        world.check_shows("DB_PASSWORD=hunter2");
    }
}

#[tokio::test]
async fn its_processes_and_changed_files_are_shown_harmless() {
    for setup in each() {
        let mut world = at_containers(setup).await;
        world.far.answer(|asked| {
            Ok(match asked.method {
                "containers.top" => json!({
                    "titles": ["UID", "PID", "CMD"],
                    "rows": [["root", "4711", "nginx: master"], ["33", "4720", "evil\u{1b}[2J 名"]],
                    "left_out": 7,
                }),
                _ => json!({
                    "paths": [
                        { "p": "/etc/nginx", "k": "changed" },
                        { "p": "/tmp/new\u{1b}]0;x\u{7}", "k": "added" },
                        { "p": "/old", "k": "deleted" },
                    ],
                    "left_out": 0,
                }),
            })
        });
        world.press("/shop<enter>t").await;
        snap!("container_top", world);
        world.press("<esc>w").await;
        snap!("container_diff", world);
    }
}

#[tokio::test]
async fn a_container_that_vanished_is_told_in_the_words_of_its_engine() {
    let mut world = at_containers(Setup::default()).await;
    world.far.answer(|_| Err(CallError::not_found("no such container: shop-web-1")));
    world.press("/shop<enter><enter>").await;
    world.check_shows("shop-web-1: no such container: shop-web-1");
    world.far.push::<Watch>(
        Some(id(1)),
        &Change { reset: false, gone: vec!["01".repeat(32)], put: Vec::new() },
    );
    world.press("<esc>").await;
    world.check_hides("0.0.0.0:8080");
}

#[tokio::test]
async fn those_that_run_are_taken_away_only_when_the_name_was_typed() {
    let mut world = at_containers(Setup::default()).await;
    world.press("/worker<enter>D").await;
    world.check_shows("What it wrote goes with it");
    world.press("y").await;
    let calls = world.calls();
    assert_eq!((calls.len(), calls[0].method), (1, "containers.remove"));
    assert_eq!(calls[0].body["force"], false);
    world.press("<esc>/api<enter>D").await;
    world.check_shows("It runs: it is killed");
    world.press("y<enter>").await;
    assert_eq!(world.calls().len(), 0);
    world.press("<backspace>api<enter>").await;
    let calls = world.calls();
    assert_eq!((calls[0].method, &calls[0].body["force"]), ("containers.remove", &json!(true)));
}

#[tokio::test]
async fn a_signal_is_chosen_and_asked_about() {
    for setup in each() {
        let mut world = at_containers(setup).await;
        world.press("/api<enter>C-k").await;
        snap!("container_signals", world);
        world.press("jj<enter>").await;
        assert_eq!(world.calls().len(), 0);
        world.press("y").await;
        let calls = world.calls();
        assert_eq!((calls[0].method, &calls[0].body["signal"]), ("containers.kill", &json!("HUP")));
    }
}

#[tokio::test]
async fn what_is_paused_goes_on_with_the_same_key() {
    let mut world = at_containers(Setup::default()).await;
    world.press("/evil<enter>py").await;
    assert_eq!(world.calls()[0].method, "containers.unpause");
    world.press("<esc>/api<enter>py").await;
    assert_eq!(world.calls()[0].method, "containers.pause");
}

#[tokio::test]
async fn a_name_conflict_is_told_and_a_name_that_cannot_be_is_not_sent() {
    let mut world = at_containers(Setup::default()).await;
    world.far.answer(|_| Err(CallError::failed("renaming api: the name worker is in use")));
    world.press("/api<enter><f2>C-u../x<enter>").await;
    world.check_shows("a name is two or more letters");
    assert_eq!(world.calls().len(), 0);
    world.press("C-uworker<enter>").await;
    assert_eq!(world.calls()[0].body, json!({ "container": "02".repeat(32), "name": "worker" }));
    world.check_shows("the name worker is in use");
}

#[tokio::test]
async fn limits_are_filled_in_looked_through_and_asked_about() {
    for setup in each() {
        let mut world = at_containers(setup).await;
        world.press("/api<enter>u").await;
        snap!("container_limits", world);
        world.press("lots<enter>").await;
        assert_eq!(world.calls().len(), 0);
        world.press("C-u512m<tab>1.5<enter>").await;
        world.check_shows("512m");
        assert_eq!(world.calls().len(), 0);
        world.press("Y").await;
        world.press("y").await;
        let calls = world.calls();
        assert_eq!((calls.len(), calls[0].method), (1, "containers.update"));
        assert_eq!(
            (&calls[0].body["mem_limit"], &calls[0].body["cpus"]),
            (&json!("512m"), &json!("1.5"))
        );
        assert_eq!(world.control.copied, ["cmdr docker update web1 api --memory=512m --cpus=1.5"]);
    }
}

fn opened(world: &World) -> Vec<Value> {
    let asked = world.far.take_asked().into_iter();
    asked.filter(|asked| asked.method == "inside.open").map(|asked| asked.body).collect()
}

#[tokio::test]
async fn one_key_leads_into_a_container_and_what_is_not_there_can_be_chosen_anew() {
    let mut world = at_containers(Setup::default()).await;
    world.press("/worker<enter>e").await;
    world.check_shows("It does not run.");
    world.press("<esc>/api<enter>e").await;
    world.idle().await;
    let open = opened(&world);
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!((&open[0]["container"], &open[0]["argv"]), (&json!("api"), &json!(["sh"])));
    world
        .far
        .fail::<inside::Open>(Some(id(1)), &CallError::failed("exec: \"sh\": not found in $PATH"));
    world.idle().await;
    world.check_shows("A session in api");
    world.check_shows("not found in $PATH");
    world.press("C-u/bin/busybox sh<tab>nobody<enter>").await;
    world.idle().await;
    let open = opened(&world);
    assert_eq!(open[0]["argv"], json!(["/bin/busybox", "sh"]));
    assert_eq!(open[0]["user"], "nobody");
    let begun = sessions::Begun { id: "abcdefg".into(), ..sessions::Begun::default() };
    let item = sessions::Item { begun: Some(begun), ..sessions::Item::default() };
    world.far.push::<inside::Open>(Some(id(1)), &item);
    world.idle().await;
    world.idle().await;
    world.check_hides("A session in api");
}

#[tokio::test]
async fn what_a_container_runs_itself_is_attached_to() {
    let mut world = at_containers(Setup::default()).await;
    world.press("/api<enter>a").await;
    world.idle().await;
    assert_eq!(opened(&world)[0]["argv"], json!([]));
}

#[tokio::test]
async fn a_session_in_a_container_is_asked_for_with_program_and_user() {
    for setup in each() {
        let mut world = at_containers(setup).await;
        world.press("/api<enter>$").await;
        snap!("container_session", world);
        world.press("<tab>a b<enter>").await;
        assert_eq!(opened(&world).len(), 0);
    }
}

#[tokio::test]
async fn logs_of_containers_of_several_hosts_are_read_together() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    world.press("#").await;
    world.far.push::<Watch>(Some(id(1)), &told(some_containers()));
    world.far.push::<Watch>(Some(id(2)), &told(vec![container(9, "api-two", State::Running)]));
    world.idle().await;
    world.press("/api<enter>*l").await;
    world.idle().await;
    let asked = world.far.take_asked().into_iter().filter(|asked| asked.method == "logs.follow");
    let mut asked: Vec<_> = asked.map(|asked| (asked.to, asked.body["source"].clone())).collect();
    asked.sort_by_key(|(host, _)| *host);
    let wanted = [(Some(id(1)), json!("container:api")), (Some(id(2)), json!("container:api-two"))];
    assert_eq!(asked, wanted);
}

#[tokio::test]
async fn files_come_out_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = at_containers(Setup::default()).await;
    let data = vec![7u8; 3000];
    let (piece, sum) = (data.clone(), 3000);
    world.far.answer_feeds(move |asked| {
        (asked.method == "containers.copy-out").then(|| {
            let whole = asked.body["path"] == "/etc";
            let one = Chunk { data: piece.clone(), ..Chunk::default() };
            let size = if whole { sum } else { sum + 1 };
            let end = Chunk {
                sum: Some(cmdr_protocol::files::Sum { size, ..Default::default() }),
                ..Chunk::default()
            };
            [one, end].iter().map(|chunk| serde_json::to_value(chunk).expect("a chunk")).collect()
        })
    });
    for (path, whole) in [("/etc", true), ("/var", false)] {
        let file = folder.path().join(if whole { "etc.tar" } else { "var.tar" });
        world.press("/C-uapi<enter>c").await;
        world.press(&format!("C-u{path}<tab>C-u{}<tab>y<enter>", file.display())).await;
        // It is written on another thread.
        while world.app.store().files.running().is_some() {
            world.idle().await;
            tokio::task::yield_now().await;
        }
        assert_eq!(std::fs::read(&file).ok(), whole.then(|| data.clone()));
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 1, "{path}");
    }
}

#[tokio::test]
async fn an_archive_goes_into_a_container_piece_by_piece_and_a_host_that_takes_no_more_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("site.tar");
    std::fs::write(&file, vec![5u8; 300_000]).expect("an archive");
    for refused in [false, true] {
        let mut world = at_containers(Setup::default()).await;
        world.press("/api<enter>i").await;
        world.press(&format!("C-u{}<tab>C-u/srv<tab>y<enter>", file.display())).await;
        let mut came: Vec<Value> = Vec::new();
        // It is read on another thread.
        while came.last().is_none_or(|last| last["s"].is_null()) {
            world.idle().await;
            tokio::task::yield_now().await;
            came.extend(world.far.take_inputs().into_iter().map(|input| input.body));
        }
        assert_eq!(came.iter().map(|piece| &piece["a"]).collect::<Vec<_>>()[..2], [0, 262_144]);
        assert_eq!(came.last().expect("an end")["s"]["size"], 300_000);
        let asked = world.calls().into_iter().find(|asked| asked.method == "containers.copy-in");
        let body = json!({ "container": "02".repeat(32), "path": "/srv" });
        assert_eq!(asked.expect("asked").body, body);
        if refused {
            let why = CallError::failed("the Docker engine says: no such folder /srv");
            world.far.fail::<CopyIn>(Some(id(1)), &why);
        } else {
            world.far.end::<CopyIn>(Some(id(1)));
        }
        while world.app.store().files.running().is_some() {
            world.idle().await;
            tokio::task::yield_now().await;
        }
        world.idle().await;
        world.check_shows(if refused {
            "no such folder /srv"
        } else {
            "site.tar → web1:api:/srv"
        });
    }
}

/// The archive that holds a folder here, as a host sends it or is to get it.
fn packed(folder: &std::path::Path, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let source = cmdr_link::laid::Source::find(folder).expect("a folder");
    source.pack(std::ffi::OsStr::new(name), &mut bytes).expect("an archive");
    bytes
}

async fn all_carried(world: &mut World) {
    // It is read and written on other threads.
    while world.app.store().files.running().is_some() {
        world.idle().await;
        tokio::task::yield_now().await;
    }
    world.idle().await;
}

#[tokio::test]
async fn a_folder_comes_out_of_a_container_as_it_is_and_a_cut_one_leaves_nothing() {
    let (there, here) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    std::fs::create_dir_all(there.path().join("etc/app")).expect("a folder");
    std::fs::write(there.path().join("etc/app/conf"), "on").expect("a file");
    let data = packed(&there.path().join("etc"), "etc");
    let mut world = at_containers(Setup::default()).await;
    world.far.answer_feeds(move |asked| {
        (asked.method == "containers.copy-out").then(|| {
            let cut = asked.body["path"] == "/var";
            let one = Chunk { data: data.clone(), ..Chunk::default() };
            let size = data.len() as u64 + u64::from(cut);
            let end = Chunk {
                sum: Some(cmdr_protocol::files::Sum { size, ..Default::default() }),
                ..Chunk::default()
            };
            [one, end].iter().map(|chunk| serde_json::to_value(chunk).expect("a chunk")).collect()
        })
    });
    for path in ["/var", "/etc"] {
        world.press("/C-uapi<enter>c").await;
        world.press(&format!("C-u{path}<tab>C-u{}<enter>", here.path().display())).await;
        all_carried(&mut world).await;
        let left = std::fs::read_dir(here.path()).expect("a folder").count();
        assert_eq!(left, usize::from(path == "/etc"));
    }
    let text = std::fs::read_to_string(here.path().join("etc/app/conf"));
    assert_eq!(text.expect("it is there"), "on");
}

#[tokio::test]
async fn a_folder_goes_into_a_folder_of_a_container_and_gets_a_new_name_where_there_is_none() {
    let here = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(here.path().join("site")).expect("a folder");
    std::fs::write(here.path().join("site/index"), "hello").expect("a file");
    let site = here.path().join("site");
    for (is_there, to, name) in [(true, "/srv/new", "site"), (false, "/srv", "new")] {
        let mut world = at_containers(Setup::default()).await;
        world.far.answer_feeds(move |asked| {
            (asked.method == "containers.copy-out" && is_there)
                .then(|| vec![serde_json::to_value(Chunk::default()).expect("a chunk")])
        });
        world.press("/api<enter>i").await;
        world.press(&format!("C-u{}<tab>C-u/srv/new<enter>", site.display())).await;
        if !is_there {
            let why = CallError::new(ErrorKind::NotFound, "there is no /srv/new/. in it");
            world.far.fail::<CopyOut>(Some(id(1)), &why);
        }
        let mut came: Vec<Value> = Vec::new();
        while came.last().is_none_or(|last| last["s"].is_null()) {
            world.idle().await;
            tokio::task::yield_now().await;
            came.extend(world.far.take_inputs().into_iter().map(|input| input.body));
        }
        let calls = world.calls();
        let asked = calls.into_iter().find(|asked| asked.method == "containers.copy-in");
        assert_eq!(asked.expect("asked").body["path"], to);
        let size = packed(&site, name).len();
        assert_eq!(came.last().expect("an end")["s"]["size"], size);
        world.far.end::<CopyIn>(Some(id(1)));
        all_carried(&mut world).await;
        world.check_shows("site → web1:api:/srv/new");
    }
}

#[tokio::test]
async fn an_image_is_made_of_what_a_container_has_become() {
    for setup in each() {
        let mut world = at_containers(setup).await;
        world.far.answer(|_| Ok(json!({ "id": format!("sha256:{}", "cd".repeat(32)) })));
        world.press("/api<enter>C-s").await;
        snap!("container_commit", world);
        world.press("shop/api:2<tab>before the move<enter>").await;
        let calls = world.calls();
        assert_eq!(
            (calls[0].method, &calls[0].body["image"]),
            ("containers.commit", &json!("shop/api:2"))
        );
        world.check_shows("cdcdcdcdcdcd");
    }
}

#[tokio::test]
async fn whoever_may_only_look_is_offered_nothing_that_changes() {
    let setup = Setup { role: cmdr_protocol::role::Role::OBSERVER, ..Setup::default() };
    let mut world = at_containers(setup).await;
    world.press("/api<enter>xyD+u=C-kpR").await;
    assert_eq!(world.calls().len(), 0);
    world.check_hides("A session in");
}
