//! Runbooks and config groups through a real hub: kept, looked at, refused to who may not.

use cmdr_protocol::configs::{self, Expect};
use cmdr_protocol::role::Role;
use cmdr_protocol::runbooks::{Check, Delete, List, Save, Show, Versions};
use cmdr_protocol::{Call as _, ErrorKind, audit};
use harness::World;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn save(line: &str) -> Save {
    let text = format!(
        "name: hello\ndescription: says {line}\nsteps:\n- name: say\n  line: echo {line}\n"
    );
    Save { name: "hello".into(), text, ..Save::default() }
}

#[tokio::test]
async fn an_administrator_saves_what_others_look_at_and_it_outlives_the_hub() {
    let world = World::start().await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    assert_eq!(admin.call(None, &save("one"), PATIENCE).await.unwrap().version, 1);
    assert_eq!(admin.call(None, &save("two"), PATIENCE).await.unwrap().version, 2);
    let observer = world.client(Role::OBSERVER).await;
    let denied = observer.call(None, &save("three"), PATIENCE).await.unwrap_err();
    assert_eq!(denied.kind, ErrorKind::Denied);
    let world = world.restart().await;
    let observer = world.client(Role::OBSERVER).await;
    let all = observer.call(None, &List {}, PATIENCE).await.unwrap().runbooks;
    let hello = all.iter().find(|book| book.name == "hello").unwrap();
    assert_eq!((hello.version, hello.steps, hello.shipped), (2, 1, false));
    assert!(all.iter().any(|book| book.name == "nginx" && book.shipped));
    let show = Show { name: "hello".into(), version: Some(1) };
    assert!(observer.call(None, &show, PATIENCE).await.unwrap().text.contains("echo one"));
    let versions = Versions { name: "hello".into() };
    assert_eq!(observer.call(None, &versions, PATIENCE).await.unwrap().versions.len(), 2);
    let admin = world.client(Role::ADMINISTRATOR).await;
    admin.call(None, &Delete { name: "hello".into() }, PATIENCE).await.unwrap();
    assert_eq!(admin.call(None, &show, PATIENCE).await.unwrap_err().kind, ErrorKind::NotFound);
    let list = audit::List { limit: 100, ..audit::List::default() };
    let page = admin.call(None, &list, PATIENCE).await.unwrap();
    let about = |method: &str| page.records.iter().filter(|record| record.method == method).count();
    assert!(about(Save::METHOD) >= 2 && about(Delete::METHOD) >= 1);
}

#[tokio::test]
async fn a_text_that_is_none_is_told_with_line_and_column() {
    let world = World::start().await;
    let client = world.client(Role::OBSERVER).await;
    let text = "name: x\nsteps:\n- name: a\n  lien: ls\n".to_owned();
    let problems = client.call(None, &Check { text }, PATIENCE).await.unwrap().problems;
    assert_eq!(problems[0].to_string(), "4:3: unknown key 'lien'; did you mean 'line'?");
    let text = "name: x\nsteps:\n- name: a\n  when: fact.so == 'x'\n  line: ls\n".to_owned();
    let problems = client.call(None, &Check { text }, PATIENCE).await.unwrap().problems;
    assert_eq!(problems[0].to_string(), "4:9: unknown fact 'so'; did you mean 'os'?");
}

#[tokio::test]
async fn a_config_group_says_what_its_hosts_shall_have_and_nothing_of_others() {
    let world = World::start().await;
    let web = world.agent("web1").await;
    let _db = world.agent("db1").await;
    let admin = world.client(Role::ADMINISTRATOR).await;
    let text = "name: web\nhosts: web*\nfiles:\n- to: /etc/web.conf\n  content: |\n    I am {{host.name}}\n";
    let save = configs::Save { name: "web".into(), text: text.into(), ..configs::Save::default() };
    assert_eq!(admin.call(None, &save, PATIENCE).await.unwrap().version, 1);
    let observer = world.client(Role::OBSERVER).await;
    let expect = Expect { name: "web".into(), ..Expect::default() };
    let expected = observer.call(None, &expect, PATIENCE).await.unwrap();
    assert_eq!(expected.hosts.len(), 1);
    assert_eq!(expected.hosts[0].host, Some(web.id));
    assert_eq!(expected.hosts[0].files[0].content.as_deref(), Some(&b"I am web1\n"[..]));
    let all = observer.call(None, &configs::List {}, PATIENCE).await.unwrap().configs;
    assert_eq!((all[0].hosts.as_str(), all[0].files), ("web*", 1));
}
