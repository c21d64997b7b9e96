//! What keys of those lists ask, what is looked at before anything is sent, and how what is on its way is seen.

use super::{at, at_engine, at_images, at_networks, at_volumes, happened};
use crate::docker::{NONE, at_docker};
use crate::files::until;
use crate::support::{NOW_MS, Setup, World, id};
use cmdr_protocol::engine::{Event, Events, Kind, Leftover, Prune, Pruned};
use cmdr_protocol::files::{Chunk, Sum};
use cmdr_protocol::images::{self, Loaded, Loading, Moved, Progress};
use cmdr_protocol::registries::Pull;
use cmdr_protocol::{CallError, ErrorKind, networks, volumes};
use cmdr_tui::link::fake::Asked;
use serde_json::json;

/// What reached the far end, once something did: what is on its way begins beside the app.
async fn asked(world: &mut World) -> Vec<Asked> {
    let calls = async {
        loop {
            world.idle().await;
            let calls = world.calls();
            if !calls.is_empty() {
                return calls;
            }
            tokio::task::yield_now().await;
        }
    };
    let calls = tokio::time::timeout(std::time::Duration::from_secs(20), calls).await;
    calls.unwrap_or_default()
}

#[tokio::test]
async fn a_pull_is_asked_of_the_hub_and_says_when_it_is_there() {
    let mut world = at_images(Setup::default()).await;
    world.press("pC-uNginX<enter>").await;
    world.check_shows("Pull on web1");
    assert_eq!(world.calls(), []);
    world.press("C-uredis:8 linux/arm64<enter>").await;
    let asked = asked(&mut world).await;
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
        assert_eq!(
            (*method, &body["image"], &body["force"]),
            ("images.remove", &json!(image), &json!(false))
        );
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
    let calls = asked(&mut world).await;
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
    let feed = asked(&mut world).await;
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
    assert_eq!(
        body["subnets"],
        json!([{ "subnet": "10.1.0.0/16", "gateway": "10.1.0.1", "range": "10.1.2.0/24" }])
    );
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
    assert_eq!(
        (calls[0].method, &calls[0].body["container"]),
        ("networks.disconnect", &json!("db"))
    );
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
async fn the_newest_event_stands_on_top_until_one_goes_down() {
    let mut world = at_engine(Setup::default()).await;
    for n in 0..60 {
        let event = Event { at_ms: NOW_MS + n * 1000, ..happened(0, "start", &format!("job-{n}")) };
        world.far.push::<Events>(Some(id(1)), &event);
        world.idle().await;
    }
    world.check_shows("job-59");
    world.press("jj").await;
    let event = Event { at_ms: NOW_MS + 90_000, ..happened(0, "start", "job-late") };
    world.far.push::<Events>(Some(id(1)), &event);
    world.press("<enter>").await;
    world.check_shows("job-57");
    world.press("<esc>g").await;
    world.check_shows("job-late");
}

#[tokio::test]
async fn exactly_what_was_shown_is_cleared_away_and_what_stays_says_why() {
    let mut world = at_engine(Setup::default()).await;
    world.press("cC-uplanets<enter>").await;
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
    let calls = asked(&mut world).await;
    assert_eq!((calls.len(), calls[0].method, calls[0].to), (1, "engine.prune", Some(id(1))));
    let asked: Vec<Leftover> =
        serde_json::from_value(calls[0].body["things"].clone()).expect("things");
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
    assert_eq!(world.app.shown().first().copied(), Some("ComposePane"));
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
