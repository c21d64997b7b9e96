//! Images, volumes, networks, registries and the engine on the Docker page: pictures in the states that matter.

mod acts;

use crate::docker::{NONE, at_docker};
use crate::files::until;
use crate::support::pictures::each;
use crate::support::{NOW_MS, Setup, World, id, some_hosts};
use cmdr_protocol::CallError;
use cmdr_protocol::engine::{Event, Events};
use cmdr_protocol::images::{self, Image, Layer, Progress};
use cmdr_protocol::networks::{self, Network, Subnet};
use cmdr_protocol::registries::Pull;
use cmdr_protocol::table::Change;
use cmdr_protocol::volumes::{self, Volume};
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
        "volumes.list" => {
            json!({ "volumes": [{ "n": "shop_pg", "b": 2_400_000_000_u64 }, { "n": "nfs" }] })
        }
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
        assert!(!world.screen().contains(['\u{1b}', '\u{7}', '\u{202e}']), "{}", world.screen());
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
        world.far.fail::<Pull>(
            None,
            &CallError::failed("write /var/lib/docker: no space left on device"),
        );
        until(&mut world, "no space left on device").await;
        snap!("images_pull_failed", world);
    }
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
        world.press("<esc>/shop_pg<enter>aC-u~/pg.tar.zst").await;
        snap!("volumes_restore", world);
    }
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
async fn the_engine_with_what_happens_in_it() {
    for setup in each() {
        let mut world = at_engine(setup.clone()).await;
        snap!("engine", world);
        world.press("c").await;
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
