//! Copies from host to host, carried by the hub.

use crate::files::{Desk, PATIENCE, noise};
use cmdr_link::Client;
use cmdr_protocol::files::{CHUNK, Copy, Copying};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Definition, Grant};
use cmdr_protocol::{CallError, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;

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
