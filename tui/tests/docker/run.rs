//! The form that runs containers: the same as YAML and as `docker run` says it, what is looked through before it is sent,
//! and what a host has against it.

use super::{at_docker, some_containers, told};
use crate::support::pictures::each;
use crate::support::{Setup, World, id, some_hosts};
use cmdr_protocol::CallError;
use cmdr_protocol::containers::Watch;
use cmdr_tui::event::Event;
use serde_json::{Value, json};

async fn at_form(setup: Setup) -> World {
    let mut world = at_docker(setup).await;
    world.far.push::<Watch>(Some(id(1)), &told(some_containers()));
    world.idle().await;
    world.press("+").await;
    world
}

async fn paste(world: &mut World, text: &str) {
    world.events([Event::Paste(text.to_owned())]).await;
}

const SAID: &str =
    "docker run -d --name web \\\n  -p 8080:80 -e 'A=b c' -v data:/data nginx:1.29 -g x";

#[tokio::test]
async fn the_same_container_is_a_form_yaml_and_what_docker_run_says() {
    for setup in each() {
        let mut world = at_form(setup).await;
        snap!("run_empty", world);
        paste(&mut world, SAID).await;
        snap!("run_words", world);
        world.press("<f3>").await;
        snap!("run_form", world);
        world.press("<f3>").await;
        snap!("run_yaml", world);
        world.press("C-s").await;
        let calls = world.calls();
        assert_eq!(
            (calls.len(), calls[0].method, calls[0].to),
            (1, "containers.create", Some(id(1)))
        );
        let spec = json!({
            "name": "web", "image": "nginx:1.29", "command": ["-g", "x"], "ports": ["8080:80"],
            "environment": { "A": "b c" }, "volumes": ["data:/data"],
        });
        assert_eq!(calls[0].body, json!({ "spec": spec, "start": true }));
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_before_anything_is_sent_and_where() {
    for setup in each() {
        let mut world = at_form(setup).await;
        world.press("nginx<tab>../x<tab><tab>80:x<tab>A<f2>").await;
        snap!("run_wrong", world);
        world.press("C-uA=1<f2>").await;
        world.check_shows("80:x");
        assert_eq!(world.calls().len(), 0);
    }
}

#[tokio::test]
async fn yaml_that_cannot_be_read_stays_until_it_can() {
    let mut world = at_form(Setup::default()).await;
    world.press("nginx<f3>").await;
    world.press("prot: x<enter>").await;
    world.press("<f3>").await;
    world.check_shows("'prot' is none of a container's settings");
    world.press("C-s").await;
    assert_eq!(world.calls().len(), 0);
}

#[tokio::test]
async fn what_reaches_the_host_is_named_and_asked_about() {
    for setup in each() {
        let mut world = at_form(setup).await;
        world.press("nginx<f3>").await;
        world.press("volumes: ['/srv:/srv', 'a:/a']<enter>privileged: true<enter>C-s").await;
        snap!("run_powers", world);
        assert_eq!(world.calls().len(), 0);
        world.press("y").await;
        assert_eq!(world.calls()[0].method, "containers.create-privileged");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_opens_the_form_again_with_all_that_stood_in_it() {
    for setup in each() {
        let mut world = at_form(setup).await;
        world.far.answer(|_| {
            Err(CallError::failed(
                "making the container: port 8080/tcp of the host is taken by nginx (pid 40)",
            ))
        });
        world.press("nginx<tab>web<tab><tab>8080:80<f2>").await;
        assert_eq!(world.calls().len(), 1);
        snap!("run_refused", world);
        world.far.answer(|_| Ok(json!({ "id": "ab", "name": "web", "state": "running" })));
        world.press("<tab><tab><tab>C-u8081:80<f4>").await;
        let calls = world.calls();
        assert_eq!(calls[0].body["spec"]["ports"], json!(["8081:80"]));
        assert_eq!(
            (&calls[0].body["spec"]["name"], &calls[0].body["start"]),
            (&json!("web"), &json!(false))
        );
    }
}

#[tokio::test]
async fn over_several_hosts_the_form_comes_back_for_those_that_could_not() {
    let mut world = World::new(Setup::default()).await;
    world.fleet(some_hosts()).await;
    world.press("#").await;
    world.far.push::<Watch>(Some(id(1)), &told(some_containers()));
    world.far.push::<Watch>(Some(id(2)), &told(some_containers()));
    world.idle().await;
    world.far.answer(|asked| match asked.to {
        Some(host) if host == id(2) => Err(CallError::failed("no space left on device")),
        _ => Ok(Value::Object(serde_json::Map::new())),
    });
    world.press("/api<enter>*+").await;
    world.check_shows("Run a container on web1, web2");
    world.press("nginx<f2>").await;
    assert_eq!(world.calls().len(), 0);
    world.press("2<enter>").await;
    let calls = world.calls();
    assert_eq!(calls.iter().map(|call| call.to).collect::<Vec<_>>(), [Some(id(1)), Some(id(2))]);
    world.check_shows("Run a container on web2");
    world.check_shows("web2: no space left on device");
}

fn likeness(beyond: &[&str]) -> Value {
    let spec = json!({
        "name": "api", "image": "shop/api:1", "environment": { "DB_PASSWORD": "hunter2" },
        "hostname": "a\u{1b}]0;owned\u{7}b", "mem_limit": "512m",
    });
    json!({ "spec": spec, "beyond": beyond })
}

#[tokio::test]
async fn more_like_one_has_its_settings_and_needs_a_name_of_its_own() {
    let mut world = at_docker(Setup::default()).await;
    world.far.push::<Watch>(Some(id(1)), &told(some_containers()));
    world.idle().await;
    world.far.answer(|asked| match asked.method {
        "containers.like" => Ok(likeness(&["the network extra"])),
        _ => Ok(json!({ "name": "api2" })),
    });
    world.press("/api<enter>=").await;
    world.check_shows("api also has what cannot be said here: the network extra");
    world.press("api2<f2>").await;
    let calls = world.calls();
    let create = calls.iter().find(|call| call.method == "containers.create").expect("made");
    let spec = &create.body["spec"];
    assert_eq!((&spec["name"], &spec["mem_limit"]), (&json!("api2"), &json!("512m")));
    // What is not shown as it is goes on as it was.
    assert_eq!(spec["hostname"], "a\u{1b}]0;owned\u{7}b");
}

#[tokio::test]
async fn one_is_replaced_with_a_setting_changed_under_its_own_name() {
    for setup in each() {
        let mut world = at_docker(setup).await;
        world.far.push::<Watch>(Some(id(1)), &told(some_containers()));
        world.idle().await;
        world.far.answer(|asked| match asked.method {
            "containers.like" => Ok(likeness(&["the network extra"])),
            _ => Ok(json!({ "name": "api" })),
        });
        world.press("/api<enter>C-e").await;
        world.press("C-ushop/api:2").await;
        snap!("recreate", world);
        world.press("<tab>x<f2>").await;
        world.press("<backspace><f2>").await;
        let calls = world.calls();
        assert_eq!(calls.iter().map(|call| call.method).collect::<Vec<_>>(), ["containers.like"]);
        world.press("y").await;
        let calls = world.calls();
        assert_eq!(
            (calls[0].method, &calls[0].body["container"]),
            ("containers.recreate", &json!("02".repeat(32)))
        );
        assert_eq!(
            (&calls[0].body["spec"]["image"], &calls[0].body["spec"]["name"]),
            (&json!("shop/api:2"), &json!("api"))
        );
    }
}

#[tokio::test]
async fn what_a_new_one_would_lose_keeps_the_old_one() {
    let mut world = at_docker(Setup::default()).await;
    world.far.push::<Watch>(Some(id(1)), &told(some_containers()));
    world.idle().await;
    world.far.answer(|_| Ok(likeness(&["a device cgroup rule"])));
    world.press("/api<enter>C-e").await;
    world.check_shows("a device cgroup rule, which would be lost; nothing was done");
}

#[tokio::test]
async fn what_was_filled_in_is_not_lost_by_one_key() {
    let mut world = at_form(Setup::default()).await;
    world.press("<esc>").await;
    world.check_hides("Run a container");
    world.press("+nginx<esc>").await;
    world.check_shows("Leave it?");
    world.press("n").await;
    world.check_shows("nginx");
    world.press("<esc>y").await;
    world.check_hides("Run a container");
}
