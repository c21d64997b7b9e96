//! Images, volumes, networks, registries and the engine on the Docker page: pictures in the states that matter, what keys
//! ask, what is looked at before anything is sent, and how what is on its way is seen.

use crate::docker::{NONE, at_docker};
use crate::files::until;
use crate::support::pictures::each;
use crate::support::{NOW_MS, Setup, World, id, some_hosts};
use cmdr_protocol::engine::{Event, Events, Kind, Leftover, Prune, Pruned};
use cmdr_protocol::files::{Chunk, Sum};
use cmdr_protocol::images::{self, Image, Layer, Loaded, Loading, Moved, Progress};
use cmdr_protocol::networks::{self, Network, Subnet};
use cmdr_protocol::registries::Pull;
use cmdr_protocol::table::Change;
use cmdr_protocol::volumes::{self, Volume};
use cmdr_protocol::{CallError, ErrorKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const EVIL: &str = "evil\u{1b}]0;owned\u{7}\u{202e}x";

fn label(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

fn some_images() -> Change<Image> {
    let image = |n: u8, tags: &[&str], size| Image {
        id: format!("sha256:{}", format!("{n:02x}").repeat(32)),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        created_s: 1_790_000_000 + i64::from(n) * 86_400,
        size,
        ..Image::default()
    };
    let put = vec![
        Image {
            digests: vec![format!("nginx@sha256:{}", "ab".repeat(32))],
            used_by: vec!["shop-web-1".into(), "shop-web-2".into()],
            users: 3,
            labels: label("maintainer", "NGINX Docker Maintainers"),
            ..image(1, &["nginx:1.27", "registry.example.org:5000/shop/web:8"], 192_000_000)
        },
        Image { used_by: vec!["db".into()], users: 1, ..image(2, &["postgres:17"], 438_000_000) },
        image(3, &[], 81_000_000),
        image(4, &[EVIL], 1_200),
        image(5, &["镜像:最新"], 5_400_000_000),
    ];
    Change { reset: true, gone: Vec::new(), put }
}

fn some_volumes() -> Change<Volume> {
    let volume = |name: &str| Volume {
        name: name.into(),
        driver: "local".into(),
        mountpoint: format!("/var/lib/docker/volumes/{name}/_data"),
        scope: "local".into(),
        created: "2026-11-02T08:30:00Z".into(),
        ..Volume::default()
    };
    let put = vec![
        Volume { used_by: vec!["db".into()], users: 1, ..volume("shop_pg") },
        Volume { labels: label("com.docker.compose.project", "shop"), ..volume("shop_cache") },
        Volume { options: label("device", ":/export"), ..volume("nfs") },
        Volume { driver: "rclone".into(), mountpoint: String::new(), ..volume("cloud") },
        volume(EVIL),
    ];
    Change { reset: true, gone: Vec::new(), put }
}

fn some_networks() -> Change<Network> {
    let network = |n: u8, name: &str, driver: &str, subnet: &str| Network {
        id: format!("{n:02x}").repeat(32),
        name: name.into(),
        driver: driver.into(),
        scope: "local".into(),
        subnets: match subnet {
            "" => Vec::new(),
            subnet => vec![Subnet { subnet: subnet.into(), ..Subnet::default() }],
        },
        ..Network::default()
    };
    let put = vec![
        Network {
            used_by: vec!["shop-web-1".into(), "db".into()],
            users: 2,
            attachable: true,
            ..network(1, "shop_default", "bridge", "172.20.0.0/16")
        },
        Network { internal: true, ..network(2, "inner", "bridge", "10.9.0.0/24") },
        network(3, "host", "host", ""),
        network(4, EVIL, "macvlan", "fd00:1::/64"),
    ];
    Change { reset: true, gone: Vec::new(), put }
}

/// What the hosts and the hub answer.
fn answer(method: &str, body: &Value) -> Value {
    match method {
        "engine.info" => json!({
            "version": "28.2.2", "api": "1.41", "name": "web1", "system": "Debian GNU/Linux 12",
            "kernel": "6.1.0-18", "architecture": "x86_64", "cpus": 8, "memory": 33_554_432_000_u64,
            "root": "/var/lib/docker", "storage": "overlay2", "logging": "json-file",
            "cgroups": "systemd 2", "runtime": "runc", "running": 4, "paused": 1, "stopped": 2,
            "images": 5, "swarm": "inactive", "warnings": ["No swap limit support"],
        }),
        "engine.disk" => json!({ "kinds": [
            { "kind": "image", "total": 5, "active": 2, "size": 6_111_000_000_u64, "reclaimable": 5_481_000_000_u64 },
            { "kind": "container", "total": 7, "active": 4, "size": 91_000_000, "reclaimable": 12_000_000 },
            { "kind": "volume", "total": 5, "active": 1, "size": 2_400_000_000_u64, "reclaimable": 0 },
            { "kind": "cache", "total": 31, "active": 0, "size": 800_000_000, "reclaimable": 800_000_000 },
        ] }),
        "engine.unused" => json!({ "left_out": 2, "things": [
            { "kind": "container", "id": "c1".repeat(32), "name": "worker", "size": 12_000_000, "created_s": NOW_MS / 1000 - 90_000 },
            { "kind": "image", "id": format!("sha256:{}", "03".repeat(32)), "size": 81_000_000 },
            { "kind": "network", "id": "e1".repeat(32), "name": EVIL },
        ] }),
        "images.history" => json!({ "steps": [
            { "created_s": 1_790_000_000, "by": "CMD [\"nginx\" \"-g\" \"daemon off;\"]", "size": 0 },
            { "created_s": 1_790_000_000, "by": "RUN /bin/sh -c apt-get install -y nginx \u{1b}[31mred", "size": 118_000_000 },
        ] }),
        "images.inspect" | "volumes.inspect" | "networks.inspect" => {
            json!({ "json": "{\"Id\":\"abc\",\"Config\":{\"Env\":[\"PATH=/bin\"]}}" })
        }
        "registries.updates" => json!({ "images": [
            { "image": "nginx:1.27", "has": "sha256:a", "registry_has": "sha256:b", "available": true },
            { "image": "postgres:17", "has": "sha256:a", "registry_has": "sha256:a" },
            { "image": "registry.example.org:5000/shop/web:8", "why": "the hub does not know this registry" },
        ] }),
        "volumes.list" => json!({ "volumes": [{ "n": "shop_pg", "b": 2_400_000_000_u64 }, { "n": "nfs" }] }),
        "containers.list" => json!({ "containers": [
            { "i": "01".repeat(32), "n": "shop-web-1" }, { "i": "07".repeat(32), "n": "api" },
        ] }),
        "registries.list" => json!({ "registries": [
            { "registry": "docker.io", "username": "ops", "set_ms": NOW_MS - 86_400_000, "set_by": "li@laptop" },
            { "registry": "registry.example.org:5000", "username": "", "plain": true, "set_ms": NOW_MS, "set_by": EVIL },
        ] }),
        "registries.catalog" => match body["after"].as_str() {
            Some("") => json!({ "names": ["shop/api", "shop/web"], "more": true }),
            _ => json!({ "names": ["tools"], "more": false }),
        },
        "registries.tags" => json!({ "names": ["7", "8", "latest"] }),
        "registries.manifest" => json!({
            "digest": "sha256:abc", "media_type": "application/vnd.oci.image.manifest.v1+json",
            "json": "{\"schemaVersion\":2,\"layers\":[]}",
        }),
        "registries.delete-tag" => json!({ "digest": "sha256:abc", "tags": ["8"] }),
        _ => json!({}),
    }
}

/// At the chapter so many behind the containers.
async fn at(setup: Setup, chapter: usize) -> World {
    let mut world = at_docker(setup).await;
    world.far.answer(|asked| Ok(answer(asked.method, &asked.body)));
    world.press(&"]".repeat(chapter)).await;
    world.idle().await;
    world
}

async fn at_images(setup: Setup) -> World {
    let mut world = at(setup, 1).await;
    world.far.push::<images::Watch>(Some(id(1)), &some_images());
    world.idle().await;
    world.calls();
    world
}

async fn at_volumes(setup: Setup) -> World {
    let mut world = at(setup, 2).await;
    world.far.push::<volumes::Watch>(Some(id(1)), &some_volumes());
    world.idle().await;
    world.calls();
    world
}

async fn at_networks(setup: Setup) -> World {
    let mut world = at(setup, 3).await;
    world.far.push::<networks::Watch>(Some(id(1)), &some_networks());
    world.idle().await;
    world.calls();
    world
}

fn happened(ago_s: u64, action: &str, name: &str) -> Event {
    Event {
        at_ms: NOW_MS - ago_s * 1000,
        kind: "container".into(),
        action: action.into(),
        id: "01".repeat(32),
        name: name.into(),
        more: label("image", "nginx:1.27"),
        lost: 0,
    }
}

async fn at_engine(setup: Setup) -> World {
    let mut world = at(setup, 4).await;
    for event in [
        happened(60, "start", "shop-web-1"),
        happened(12, "health_status: unhealthy", "api"),
        Event { lost: 3, ..happened(2, "die", EVIL) },
    ] {
        world.far.push::<Events>(Some(id(1)), &event);
    }
    world.idle().await;
    world.calls();
    world
}

#[tokio::test]
async fn images_their_history_and_what_registries_say() {
    for setup in each() {
        let mut world = at_images(setup).await;
        snap!("images", world);
        world.press("/nginx<enter><enter>").await;
        snap!("images_history", world);
        world.press("<esc>").await;
        world.press("o").await;
        world.idle().await;
        snap!("images_outdated", world);
        world.press("<esc><esc>").await;
        assert!(!world.screen().contains("owned"), "{}", world.screen());
        snap!("images_compared", world);
    }
}

#[tokio::test]
async fn a_pull_shows_each_layer_and_is_found_again_when_it_was_left() {
    for setup in each() {
        let mut world = at_images(setup).await;
        let layer = |id: &str, status: &str, current, total| Layer {
            id: id.into(),
            status: status.into(),
            current,
            total,
        };
        world.press("/nginx<enter>p<enter>").await;
        let layers = vec![
            layer("a2abf6c4d29d", "Already exists", 0, 0),
            layer("a9edb18cadd1", "Downloading", 9_000_000, 29_000_000),
            layer("589b7251471a", "Pulling fs layer", 0, 0),
            layer("186b1aaa4aa6", "Extracting", 400, 600),
        ];
        world.far.push::<Pull>(None, &Progress { layers, moved: None });
        until(&mut world, "a9edb18cadd1").await;
        snap!("images_pull", world);
        world.press("<esc>").await;
        world.press("t<enter>").await;
        world.check_shows("a9edb18cadd1");
        world.far.fail::<Pull>(None, &CallError::failed("write /var/lib/docker: no space left on device"));
        until(&mut world, "no space left on device").await;
        snap!("images_pull_failed", world);
    }
}

#[tokio::test]
async fn a_pull_is_asked_of_the_hub_and_says_when_it_is_there() {
    let mut world = at_images(Setup::default()).await;
    world.press("pC-uNginX<enter>").await;
    world.check_shows("Pull on web1");
    assert_eq!(world.calls(), []);
    world.press("C-uredis:8 linux/arm64<enter>").await;
    let asked = world.calls();
    assert_eq!((asked.len(), asked[0].method, asked[0].to), (1, "registries.pull", None));
    assert_eq!(asked[0].body["image"], "redis:8");
    assert_eq!(asked[0].body["platform"], "linux/arm64");
    assert_eq!(asked[0].body["host"], json!(id(1)));
    let moved = Some(Moved { digest: "sha256:d".into(), status: String::new() });
    world.far.push::<Pull>(None, &Progress { layers: Vec::new(), moved });
    until(&mut world, "done: pull redis:8 on web1").await;
}

#[tokio::test]
async fn each_name_of_an_image_is_removed_by_itself_and_an_image_without_one_by_its_id() {
    let mut world = at_images(Setup::default()).await;
    world.press("/nginx<enter>x").await;
    world.check_shows("2 names of images");
    world.press("2<enter>").await;
    let bodies: Vec<_> = world.calls().into_iter().map(|call| (call.method, call.body)).collect();
    assert_eq!(bodies.len(), 2);
    for ((method, body), image) in
        bodies.iter().zip(["nginx:1.27", "registry.example.org:5000/shop/web:8"])
    {
        assert_eq!((*method, &body["image"], &body["force"]), ("images.remove", &json!(image), &json!(false)));
    }
    world.press("<esc>/none<enter>xy").await;
    let calls = world.calls();
    assert_eq!(calls[0].body["image"], format!("sha256:{}", "03".repeat(32)));
}

#[tokio::test]
async fn an_image_goes_to_another_host_once_that_was_agreed_to() {
    let mut world = at_images(Setup::default()).await;
    world.press("/postgres<enter>c").await;
    world.check_shows("Copy postgres:17 to");
    world.press("<enter>").await;
    world.check_shows("Without a registry");
    assert_eq!(world.calls(), []);
    world.press("Yy").await;
    let copied = world.control.copied.last().cloned().unwrap_or_default();
    assert!(copied.starts_with("cmdr docker image cp web1 "), "{copied}");
    let calls = world.calls();
    assert_eq!((calls[0].method, calls[0].to), ("images.copy", None));
    assert_eq!(calls[0].body["from"], json!(id(1)));
    assert_eq!(calls[0].body["image"], "postgres:17");
}

#[tokio::test]
async fn an_image_is_saved_into_a_file_and_one_that_is_cut_short_leaves_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pg.tar");
    let mut world = at_images(Setup::default()).await;
    world.press("/postgres<enter>w").await;
    world.press(&format!("C-u{}<enter>", file.display())).await;
    let feed = world.calls();
    assert_eq!((feed[0].method, feed[0].to), ("images.save", Some(id(1))));
    assert_eq!(feed[0].body["images"], json!(["postgres:17"]));
    let piece = |at, data: &[u8], size: Option<u64>| Chunk {
        at,
        data: data.to_vec(),
        sum: size.map(|size| Sum { size, ..Sum::default() }),
        ..Chunk::default()
    };
    world.far.push::<images::Save>(Some(id(1)), &piece(0, b"one", None));
    world.far.push::<images::Save>(Some(id(1)), &piece(3, b"two", Some(6)));
    until(&mut world, "done: postgres:17").await;
    assert_eq!(std::fs::read(&file).expect("the archive"), b"onetwo");
    let other = folder.path().join("other.tar");
    world.press("<esc>w").await;
    world.press(&format!("C-u{}<enter>", other.display())).await;
    world.far.push::<images::Save>(Some(id(1)), &piece(0, b"one", None));
    world.far.fail::<images::Save>(Some(id(1)), &CallError::failed("the engine stopped"));
    until(&mut world, "the engine stopped").await;
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("the folder").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn an_archive_is_loaded_piece_by_piece_and_what_was_in_it_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pg.tar");
    std::fs::write(&file, vec![7; 300 * 1024]).expect("an archive");
    let mut world = at_images(Setup::default()).await;
    world.press("aC-u/nowhere.tar<enter>").await;
    world.check_shows("there is no such file on this machine");
    world.press(&format!("C-u{}<enter>", file.display())).await;
    until(&mut world, "pg.tar → web1").await;
    let loaded = Some(Loaded { images: vec!["postgres:17".into()] });
    let sent = async {
        loop {
            let inputs = world.far.take_inputs();
            if inputs.iter().any(|input| input.body["s"].is_object()) {
                return inputs;
            }
            world.idle().await;
            tokio::task::yield_now().await;
        }
    };
    let sent = tokio::time::timeout(std::time::Duration::from_secs(20), sent).await;
    assert!(sent.is_ok(), "the end was not sent");
    world.far.push::<images::Load>(Some(id(1)), &Loading { taken: 300 * 1024, loaded });
    until(&mut world, "postgres:17").await;
}

#[tokio::test]
async fn volumes_with_their_sizes_and_the_form_that_makes_one() {
    for setup in each() {
        let mut world = at_volumes(setup).await;
        world.press("z").await;
        world.idle().await;
        snap!("volumes", world);
        world.press("+").await;
        snap!("volumes_form", world);
        world.press("<esc>/shop_pg<enter>a").await;
        snap!("volumes_restore", world);
    }
}

#[tokio::test]
async fn files_of_a_volume_are_looked_at_where_it_lies_and_one_that_is_no_folder_says_so() {
    let mut world = at_volumes(Setup::default()).await;
    world.press("/nfs<enter>o").await;
    world.check_shows("nfs is no folder on its host");
    world.press("<esc>/shop_pg<enter>o").await;
    world.idle().await;
    let listed = world.calls().into_iter().filter(|call| call.method == "files.list");
    let paths: Vec<_> = listed.map(|call| call.body["path"].clone()).collect();
    assert!(paths.contains(&json!("/var/lib/docker/volumes/shop_pg/_data")), "{paths:?}");
}

#[tokio::test]
async fn a_volume_with_options_is_made_with_the_other_right_and_a_plain_one_at_once() {
    let mut world = at_volumes(Setup::default()).await;
    world.press("+../x<enter>").await;
    assert_eq!(world.calls(), []);
    world.press("C-udata<tab>team=db<enter>").await;
    let calls = world.calls();
    assert_eq!((calls.len(), calls[0].method), (1, "volumes.create"));
    assert_eq!(calls[0].body, json!({ "volume": "data", "labels": { "team": "db" } }));
    world.press("+nfs2<tab><tab><tab>type=nfs,device=:/x<enter>").await;
    world.check_shows("any folder or device of the host");
    assert_eq!(world.calls(), []);
    world.press("y").await;
    let calls = world.calls();
    assert_eq!((calls.len(), calls[0].method), (1, "volumes.create-special"));
    assert_eq!(calls[0].body["options"], json!({ "type": "nfs", "device": ":/x" }));
}

#[tokio::test]
async fn networks_and_the_form_that_makes_one() {
    for setup in each() {
        let mut world = at_networks(setup).await;
        snap!("networks", world);
        world.press("+shop<tab><tab>10.1.0.0/16<tab>10.2.0.1<enter>").await;
        snap!("networks_form", world);
        world.press("<esc>/shop<enter><enter>").await;
        snap!("networks_details", world);
    }
}

#[tokio::test]
async fn a_network_is_looked_at_line_by_line_before_it_is_asked_for() {
    let mut world = at_networks(Setup::default()).await;
    world.press("+<enter>").await;
    for (line, keys, wrong) in [
        ("name", "shop<tab><tab>10.1.0.0/99<enter>", "is not a subnet"),
        ("subnet", "C-u10.1.0.0/16<tab>10.2.0.1<enter>", "is not in 10.1.0.0/16"),
        ("gateway", "C-u10.1.0.1<tab>10.3.0.0/24<enter>", "is not in 10.1.0.0/16"),
        ("range", "C-u10.1.2.0/24<tab>secret<enter>", "'secret' is none of internal"),
    ] {
        world.press(keys).await;
        assert!(world.screen().contains(wrong), "{line}: {}", world.screen());
        assert_eq!(world.calls(), [], "{line}");
    }
    world.press("C-uinternal attachable<tab>team=shop<enter>").await;
    world.check_shows("make network shop");
    world.press("Yy").await;
    let copied = world.control.copied.last().cloned().unwrap_or_default();
    assert!(copied.contains("--subnet '10.1.0.0/16' --gateway 10.1.0.1"), "{copied}");
    let calls = world.calls();
    assert_eq!((calls.len(), calls[0].method, calls[0].to), (1, "networks.create", Some(id(1))));
    let body = &calls[0].body;
    assert_eq!(body["subnets"], json!([{ "subnet": "10.1.0.0/16", "gateway": "10.1.0.1", "range": "10.1.2.0/24" }]));
    assert_eq!((&body["internal"], &body["attachable"]), (&json!(true), &json!(true)));
    assert_eq!(body["labels"], json!({ "team": "shop" }));
}

#[tokio::test]
async fn a_container_is_put_into_a_network_and_taken_out() {
    let mut world = at_networks(Setup::default()).await;
    world.press("/shop<enter>c").await;
    world.idle().await;
    // Whoever is in it is not offered.
    world.check_shows("Put into shop_default");
    world.check_shows("▌ api");
    world.calls();
    world.press("<enter>nowhere<enter>").await;
    world.check_shows("'nowhere' is no address");
    world.press("C-u172.20.0.9<tab>backend<enter>").await;
    let calls = world.calls();
    assert_eq!((calls.len(), calls[0].method), (1, "networks.connect"));
    assert_eq!(calls[0].body["container"], "07".repeat(32));
    assert_eq!(calls[0].body["network"], "01".repeat(32));
    assert_eq!(calls[0].body["addresses"], json!(["172.20.0.9"]));
    assert_eq!(calls[0].body["aliases"], json!(["backend"]));
    world.press("oj<enter>").await;
    world.check_shows("Take db out of shop_default on web1?");
    world.press("y").await;
    let calls = world.calls();
    assert_eq!((calls[0].method, &calls[0].body["container"]), ("networks.disconnect", &json!("db")));
}

#[tokio::test]
async fn the_engine_with_what_happens_in_it() {
    for setup in each() {
        let mut world = at_engine(setup.clone()).await;
        snap!("engine", world);
        world.press("b").await;
        snap!("engine_prune", world);
        world.press("<enter>").await;
        world.idle().await;
        snap!("engine_prune_preview", world);
        let mut world = World::new(setup).await;
        world.far.answer(|asked| match asked.to {
            Some(host) if host != id(1) => Err(CallError::not_found(NONE)),
            _ => Ok(answer(asked.method, &asked.body)),
        });
        world.fleet(some_hosts()).await;
        world.press("#]]]]").await;
        world.idle().await;
        snap!("fleet_engines", world);
    }
}

#[tokio::test]
async fn events_that_are_paused_are_not_asked_for_and_go_on_from_where_they_were() {
    let mut world = at_engine(Setup::default()).await;
    let follows = |world: &World| world.feeds().contains(&(Some(id(1)), "engine.events"));
    assert!(follows(&world));
    world.press("p").await;
    assert!(!follows(&world));
    world.check_shows("paused");
    world.calls();
    world.press("p").await;
    let asked = world.calls();
    assert_eq!((asked.len(), asked[0].method), (1, "engine.events"));
    // The newest is two seconds old.
    assert_eq!(asked[0].body["back_s"], 4);
    world.far.push::<Events>(Some(id(1)), &happened(12, "health_status: unhealthy", "api"));
    world.idle().await;
    world.check_shows("3 events");
    world.check_shows("3 were left out");
}

#[tokio::test]
async fn exactly_what_was_shown_is_cleared_away_and_what_stays_says_why() {
    let mut world = at_engine(Setup::default()).await;
    world.press("bC-uplanets<enter>").await;
    world.check_shows("'planets' is none of container");
    world.press("C-ucontainers, image, network<tab>y<tab>7 days<enter>").await;
    world.check_shows("'7 days' is no span");
    world.press("C-u7d<enter>").await;
    world.idle().await;
    let calls = world.calls();
    assert_eq!((calls.len(), calls[0].method), (1, "engine.unused"));
    let wanted = json!({
        "kinds": ["container", "image", "network"], "all": true, "older_s": 604_800, "label": "",
    });
    assert_eq!(calls[0].body, wanted);
    world.check_shows("3 things");
    world.check_shows("worker");
    world.check_hides("owned\u{7}");
    world.press("Y").await;
    let copied = world.control.copied.last().cloned().unwrap_or_default();
    assert!(copied.ends_with("--all --older 604800s --plan"), "{copied}");
    world.press("x").await;
    world.check_shows("Remove these 3 on 1 host(s)");
    assert_eq!(world.calls(), []);
    world.press("3<enter>").await;
    let calls = world.calls();
    assert_eq!((calls.len(), calls[0].method, calls[0].to), (1, "engine.prune", Some(id(1))));
    let asked: Vec<Leftover> = serde_json::from_value(calls[0].body["things"].clone()).expect("things");
    assert_eq!(asked.len(), 3);
    for (thing, error) in asked.iter().zip(["", "image is being used by a container", ""]) {
        let (kind, id, error) = (thing.kind, thing.id.clone(), error.to_owned());
        let pruned = Pruned { kind, id, error, done: String::new() };
        world.far.push::<Prune>(Some(crate::support::id(1)), &pruned);
    }
    until(&mut world, "is being used by a container").await;
    world.check_shows("removed");
    world.far.end::<Prune>(Some(id(1)));
    until(&mut world, "1 of 3 left out").await;
    assert_eq!(asked[0].kind, Kind::Container);
}

#[tokio::test]
async fn registries_down_to_what_an_image_is_made_of() {
    for setup in each() {
        let mut world = at(setup, 5).await;
        snap!("registries", world);
        world.press("j<enter>").await;
        world.idle().await;
        snap!("repositories", world);
        world.press("j<enter>").await;
        world.idle().await;
        snap!("tags", world);
        world.press("j<enter>").await;
        world.idle().await;
        snap!("manifest", world);
        world.press("<esc>x").await;
        snap!("tags_delete", world);
        world.press("<esc><esc><esc>+").await;
        snap!("registries_form", world);
    }
}

#[tokio::test]
async fn a_tag_is_deleted_once_its_name_was_typed() {
    let mut world = at(Setup::default(), 5).await;
    world.press("j<enter>").await;
    world.press("j<enter>").await;
    world.idle().await;
    world.calls();
    world.press("jxlatest<enter>").await;
    assert_eq!(world.calls(), []);
    world.press("<esc>x8<enter>").await;
    let calls = world.calls();
    assert_eq!((calls[0].method, calls[0].to), ("registries.delete-tag", None));
    let wanted = json!({
        "registry": "registry.example.org:5000", "repository": "shop/web", "tag": "8", "force": false,
    });
    assert_eq!(calls[0].body, wanted);
    // The list is asked for anew.
    assert!(calls.iter().any(|call| call.method == "registries.tags"), "{calls:?}");
}

#[tokio::test]
async fn a_password_of_a_registry_is_sent_and_never_shown() {
    let mut world = at(Setup::default(), 5).await;
    world.calls();
    world.press("+bad name<enter>").await;
    assert_eq!(world.calls(), []);
    world.press("C-ureg.example.org<tab>ops<tab>hunter2 <tab>").await;
    world.check_hides("hunter2");
    world.press("<enter>").await;
    let calls = world.calls();
    assert_eq!((calls[0].method, calls[0].to), ("registries.put", None));
    let wanted = json!({
        "registry": "reg.example.org", "username": "ops", "password": "hunter2 ", "plain": false,
    });
    assert_eq!(calls[0].body, wanted);
    world.check_hides("hunter2");
}

#[tokio::test]
async fn a_host_without_docker_offers_the_runbook_that_installs_it() {
    let mut world = at_docker(Setup::default()).await;
    for chapter in 0..4 {
        let none = CallError::not_found(NONE);
        world.far.fail::<cmdr_protocol::containers::Watch>(Some(id(1)), &none);
        world.far.fail::<images::Watch>(Some(id(1)), &none);
        world.far.fail::<volumes::Watch>(Some(id(1)), &none);
        world.far.fail::<networks::Watch>(Some(id(1)), &none);
        world.idle().await;
        assert!(world.screen().contains("i opens the composer"), "{chapter}: {}", world.screen());
        world.press("]").await;
    }
    world.press("[i").await;
    world.idle().await;
    world.check_shows("docker");
    let asked = world.calls();
    assert!(!asked.iter().any(|call| call.method == "runs.start"), "{asked:?}");
    assert_eq!(world.app.shown().first().map(String::as_str), Some("ComposePane"));
}

#[tokio::test]
async fn each_list_and_thing_is_copied_as_the_command_that_shows_it() {
    for (chapter, lists) in [
        (1, "cmdr docker images web1"),
        (2, "cmdr docker volume ls web1"),
        (3, "cmdr docker network ls web1"),
        (4, "cmdr docker events web1"),
        (5, "cmdr docker registry ls"),
    ] {
        let mut world = at(Setup::default(), chapter).await;
        world.press("Y").await;
        assert_eq!(world.control.copied.last().map(String::as_str), Some(lists));
    }
    let mut world = at_images(Setup::default()).await;
    world.press("/postgres<enter>Y").await;
    let copied = world.control.copied.last().map(String::as_str);
    assert_eq!(copied, Some("cmdr docker history web1 'postgres:17'"));
}

#[tokio::test]
async fn what_was_looked_at_is_found_from_everywhere() {
    let mut world = at_volumes(Setup::default()).await;
    world.press("1C-p").await;
    world.press("shop_cache").await;
    world.check_shows("shop_cache");
    world.press("<enter>").await;
    world.idle().await;
    world.check_shows("5 volumes");
    world.press("Y").await;
    let copied = world.control.copied.last().map(String::as_str);
    assert_eq!(copied, Some("cmdr docker volume inspect web1 shop_cache"));
}

#[tokio::test]
async fn an_engine_that_says_no_is_heard_and_nothing_is_stuck() {
    let mut world = at_images(Setup::default()).await;
    let said = "conflict: unable to remove repository reference";
    world.far.answer(move |_| Err(CallError::new(ErrorKind::Conflict, said)));
    world.press("/postgres<enter>xy").await;
    world.idle().await;
    world.check_shows(said);
    world.check_shows("postgres:17");
}
