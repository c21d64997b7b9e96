//! Copies from host to host, carried by the hub.

use crate::files::{Desk, PATIENCE, noise};
use cmdr_link::Client;
use cmdr_link::transfer::tree::{self, Carried, How, Place};
use cmdr_link::transfer::{Dialing, Way, archive};
use cmdr_protocol::files::{CHUNK, Copy, Copying};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Definition, Grant};
use cmdr_protocol::{CallError, ErrorKind};
use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

async fn copied(client: &Client, copy: &Copy) -> Result<Copying, CallError> {
    let mut feed = client.feed(None, copy).await?;
    let mut last = Copying::default();
    while let Some(item) = feed.next().await {
        last = item?;
    }
    Ok(last)
}

#[tokio::test]
async fn a_copy_from_host_to_host_needs_reading_there_and_writing_here_and_is_recorded_as_both() {
    let desk = Desk::new().await;
    let other = desk.world.agent("there").await;
    for name in ["from", "to"] {
        std::fs::create_dir(desk.dir.join(name)).unwrap();
    }
    let bytes = noise(3 * CHUNK + 9);
    std::fs::write(desk.dir.join("from/a"), &bytes).unwrap();
    std::fs::set_permissions(desk.dir.join("from/a"), std::fs::Permissions::from_mode(0o600))
        .unwrap();
    let copy = Copy {
        from: desk.host,
        path: desk.at("from/a"),
        to: other.id,
        target: desk.at("to/a"),
        absent: true,
        unchanged: None,
        preserve: true,
        patience_s: Some(2),
    };
    let done = copied(&desk.client, &copy).await.unwrap();
    assert_eq!((done.size, done.carried >= done.size), (bytes.len() as u64, true));
    assert_eq!(done.written.unwrap().file.mode, 0o600);
    assert!(std::fs::read(desk.dir.join("to/a")).unwrap() == bytes);
    // It is there now, and nothing is overwritten.
    assert_eq!(copied(&desk.client, &copy).await.unwrap_err().kind, ErrorKind::Conflict);
    // Whoever may do one of the two may not do both.
    for (n, (verb, path)) in [("files.read", "from"), ("files.write", "to")].into_iter().enumerate()
    {
        let role = Role::parse(&format!("half-{n}")).unwrap();
        let grants = vec![Grant {
            verbs: vec!["files.copy".into(), verb.into()],
            resources: vec![format!("path:{}/*", desk.dir.join(path).display())],
            ..Grant::default()
        }];
        desk.world
            .hub
            .rights
            .put(Definition { name: role, grants, ..Definition::default() })
            .await
            .unwrap();
        let half = desk.world.client(role).await;
        let copy = Copy { absent: false, ..copy.clone() };
        let denied = copied(&half, &copy).await.unwrap_err();
        assert_eq!(denied.kind, ErrorKind::Denied, "{denied}");
    }
    let log = cmdr_protocol::audit::List::default();
    let admin = desk.world.client(Role::ADMINISTRATOR).await;
    let records = admin.call(None, &log, PATIENCE).await.unwrap().records;
    for method in ["files.copy", "files.read", "files.write"] {
        let of = |r: &&cmdr_protocol::audit::Record| {
            r.method == method && r.outcome == Some(cmdr_protocol::audit::Outcome::Ok)
        };
        assert_eq!(records.iter().filter(of).count(), 1, "{method}");
    }
    let missing = Copy { path: desk.at("from/none"), absent: false, ..copy.clone() };
    assert_eq!(copied(&desk.client, &missing).await.unwrap_err().kind, ErrorKind::NotFound);
    let folder = Copy { path: desk.at("from"), absent: false, ..copy };
    assert_eq!(copied(&desk.client, &folder).await.unwrap_err().kind, ErrorKind::Conflict);
}

/// As the clients have it: the link that is there, and nobody who is told.
fn way(client: &Client) -> Way {
    let client = client.clone();
    let dialed = move || -> Dialing { Box::pin(std::future::ready(Ok(client.clone()))) };
    Way { client: Arc::new(dialed), tell: Arc::new(|_| ()), patience: PATIENCE }
}

/// Carries a folder as the clients do: how many files came, and what was left out.
async fn folder(way: &Way, from: &Place, to: &Place, take: bool) -> (usize, Vec<String>) {
    let how = How { preserve: true, absent: true, skip_same: true };
    let plan = tree::plan(way, from, to, how).await.unwrap();
    let mut left: Vec<String> =
        plan.left.iter().map(|l| format!("{}: {}", l.what, l.error.message)).collect();
    let (mut came, mut failed) = (0, HashSet::new());
    let done = |at: usize, ended: Result<Carried, CallError>| match ended {
        Ok(_) => came += 1,
        Err(e) => {
            failed.insert(at);
            left.push(format!("{}: {}", plan.items[at].from, e.message));
        }
    };
    tree::carry_all(way, &plan.items, true, Arc::new(|_, _| ()), done).await;
    if take {
        let stayed = tree::take_away(way, &plan, &failed).await;
        left.extend(stayed.iter().map(|l| format!("{}: {}", l.what, l.error.message)));
    }
    (came, left)
}

#[tokio::test]
async fn a_folder_is_carried_with_all_in_it_begun_again_only_what_is_missing_and_faults_are_told() {
    let desk = Desk::new().await;
    let other = desk.world.agent("there").await;
    std::fs::create_dir_all(desk.dir.join("tree/in/deep")).unwrap();
    std::fs::create_dir(desk.dir.join("here")).unwrap();
    for (name, text) in [("tree/a", "1"), ("tree/in/b\n\u{1b}", "22"), ("tree/in/deep/c", "")] {
        std::fs::write(desk.dir.join(name), text).unwrap();
    }
    std::os::unix::fs::symlink("a", desk.dir.join("tree/link")).unwrap();
    let way = way(&desk.client);
    let from = Place::There(desk.host, desk.at("tree"));
    let across = Place::There(other.id, desk.at("across"));
    let (came, left) = folder(&way, &from, &across, false).await;
    assert_eq!(came, 3);
    assert!(left.len() == 1 && left[0].contains("link"), "{left:?}");
    // Down and up again, into a name that is not there yet.
    let here = Place::Here(desk.dir.join("here/tree"));
    assert_eq!(folder(&way, &across, &here, false).await, (3, Vec::new()));
    let up = Place::There(other.id, desk.at("up"));
    assert_eq!(folder(&way, &here, &up, false).await, (3, Vec::new()));
    let odd = std::fs::read(desk.dir.join("up/in/b\n\u{1b}")).unwrap();
    assert_eq!(odd, b"22");
    // Begun again: what is there is left alone, and what is something else there is told.
    std::fs::remove_file(desk.dir.join("up/in/deep/c")).unwrap();
    std::fs::write(desk.dir.join("up/a"), "another").unwrap();
    let (came, left) = folder(&way, &here, &up, false).await;
    assert_eq!(came, 1);
    assert!(left.len() == 1 && left[0].contains("here/tree/a"), "{left:?}");
    assert_eq!(std::fs::read(desk.dir.join("up/a")).unwrap(), b"another");
    // A move takes away only what is there now.
    let (came, left) = folder(&way, &across, &up, true).await;
    assert!(came == 0 && left.iter().any(|l| l.contains("across/a")), "{left:?}");
    assert!(desk.dir.join("across/a").exists() && !desk.dir.join("across/in").exists());
    // Nothing is copied into itself.
    let inner = Place::There(desk.host, desk.at("tree/in/copy"));
    let how = How::default();
    assert_eq!(tree::plan(&way, &from, &inner, how).await.unwrap_err().kind, ErrorKind::Conflict);
    let packed = desk.dir.join("here/tree.tar.zst");
    let counted = archive(&way, desk.host, desk.at("tree"), &packed).await.unwrap();
    assert!(counted.entries >= 5, "{counted:?}");
    assert_eq!(std::fs::read(&packed).unwrap()[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    let again = archive(&way, desk.host, desk.at("tree"), &packed).await.unwrap_err();
    assert_eq!(again.kind, ErrorKind::Conflict);
}
