//! Archives of real hosts through the hub: a folder as one stream, and what is laid out where.

use crate::files::{Desk, noise};
use cmdr_protocol::files::{Archive, CHUNK, Counted, FilePath, Packed, Unpack};
use cmdr_protocol::role::Role;
use cmdr_protocol::roles::{Definition, Grant};
use cmdr_protocol::{CallError, ErrorKind};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

pub(crate) async fn archive(desk: &Desk, path: FilePath) -> (Vec<u8>, u64) {
    let mut feed = desk.client.feed(Some(desk.host), &Archive { path }).await.unwrap();
    let (mut bytes, mut packed) = (Vec::new(), None);
    while let Some(item) = feed.next().await {
        let item: Packed = item.unwrap();
        bytes.extend(item.data);
        packed = item.packed;
    }
    (bytes, packed.unwrap().skipped)
}

#[tokio::test]
async fn a_folder_goes_through_an_archive_as_it_was() {
    let desk = Desk::new().await;
    let tree = desk.dir.join("tree");
    std::fs::create_dir_all(tree.join("a/b")).unwrap();
    let bytes = noise(2 * CHUNK);
    std::fs::write(tree.join("a/b/big"), &bytes).unwrap();
    std::fs::write(tree.join(OsStr::from_bytes(b"odd\xff\n")), "odd").unwrap();
    std::fs::write(tree.join("n".repeat(200)), "long").unwrap();
    symlink("a/b/big", tree.join("link")).unwrap();
    let (packed, skipped) = archive(&desk, desk.at("tree")).await;
    assert_eq!(skipped, 0);
    std::fs::create_dir(desk.dir.join("to")).unwrap();
    let unpack = Unpack { path: desk.at("to"), ..Unpack::default() };
    let mut feed = desk.client.feed(Some(desk.host), &unpack).await.unwrap();
    for data in packed.chunks(CHUNK) {
        feed.send(&Packed { data: data.to_vec(), packed: None }).await.unwrap();
    }
    feed.send(&Packed { packed: Some(Counted::default()), ..Packed::default() }).await.unwrap();
    let mut done = None;
    while let Some(item) = feed.next().await {
        done = item.unwrap().done;
    }
    let done = done.unwrap();
    assert_eq!((done.entries, done.skipped), (6, 0), "{done:?}");
    let to = desk.dir.join("to");
    assert!(std::fs::read(to.join("link")).unwrap() == bytes);
    assert_eq!(std::fs::read(to.join(OsStr::from_bytes(b"odd\xff\n"))).unwrap(), b"odd");
    assert_eq!(std::fs::read(to.join("n".repeat(200))).unwrap(), b"long");
}

/// Lays an archive out that lies on the host.
async fn lay_out(desk: &Desk, from: FilePath, to: FilePath) -> Result<(u64, Counted), CallError> {
    let unpack = Unpack { path: to, from: Some(from), ..Unpack::default() };
    let mut feed = desk.client.feed(Some(desk.host), &unpack).await?;
    let mut last = None;
    while let Some(item) = feed.next().await {
        last = Some(item?);
    }
    let last = last.ok_or_else(|| CallError::lost("nothing came"))?;
    Ok((last.taken, last.done.unwrap_or_default()))
}

#[tokio::test]
async fn an_archive_that_lies_on_the_host_is_laid_out_there_and_replaces_nothing() {
    let desk = Desk::with_policy(
        "[files]\nread = [\"DIR/\"]\nwrite = [\"DIR/\"]\ndenied = [\"DIR/no/\"]\n",
    )
    .await;
    std::fs::create_dir_all(desk.dir.join("tree/a")).unwrap();
    std::fs::write(desk.dir.join("tree/a/one"), "1").unwrap();
    std::fs::write(desk.dir.join("tree/two"), "22").unwrap();
    let (packed, _) = archive(&desk, desk.at("tree")).await;
    for name in ["to", "no"] {
        std::fs::create_dir(desk.dir.join(name)).unwrap();
        std::fs::write(desk.dir.join(format!("{name}/tree.tar.zst")), &packed).unwrap();
    }
    std::fs::rename(desk.dir.join("to/tree.tar.zst"), desk.dir.join("tree.tar.zst")).unwrap();
    std::fs::write(desk.dir.join("to/two"), "mine").unwrap();
    let (taken, done) = lay_out(&desk, desk.at("tree.tar.zst"), desk.at("to")).await.unwrap();
    assert_eq!(taken, packed.len() as u64);
    assert_eq!((done.entries, done.skipped), (2, 1), "{done:?}");
    assert!(done.words[0].contains("there is something of this name already"), "{done:?}");
    assert_eq!(std::fs::read(desk.dir.join("to/two")).unwrap(), b"mine");
    assert_eq!(std::fs::read(desk.dir.join("to/a/one")).unwrap(), b"1");
    // Both places are the policy's business, and the archive has to be one.
    for (from, to) in [("no/tree.tar.zst", "to"), ("tree.tar.zst", "no")] {
        let error = lay_out(&desk, desk.at(from), desk.at(to)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    }
    let error = lay_out(&desk, desk.at("tree.tar.zst"), desk.at("none")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    let error = lay_out(&desk, desk.at("tree"), desk.at("to")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    std::fs::write(desk.dir.join("none.tar"), "this is no archive at all".repeat(100)).unwrap();
    let error = lay_out(&desk, desk.at("none.tar"), desk.at("to")).await.unwrap_err();
    assert!(error.message.contains("the archive cannot be read"), "{error}");
}

#[tokio::test]
async fn an_archive_is_laid_out_only_by_whom_both_of_its_places_are_given() {
    let mut desk = Desk::new().await;
    let (inside, outside) = (desk.dir.join("srv"), desk.dir.join("etc"));
    for dir in [&inside, &outside] {
        std::fs::create_dir(dir).unwrap();
    }
    for dir in [&inside, &outside] {
        // The end of an archive, and nothing before it.
        std::fs::write(dir.join("x.tar"), [0; 1024]).unwrap();
    }
    let role = Role::parse("webmasters").unwrap();
    let grants = vec![Grant {
        verbs: vec!["files.*".into()],
        resources: vec![
            format!("path:{}/*", inside.display()),
            format!("path:{}", inside.display()),
        ],
        ..Grant::default()
    }];
    let definition = Definition { name: role, grants, ..Definition::default() };
    desk.world.hub.rights.put(definition).await.unwrap();
    desk.client = desk.world.client(role).await;
    lay_out(&desk, desk.at("srv/x.tar"), desk.at("srv")).await.unwrap();
    for (from, to) in [("etc/x.tar", "srv"), ("srv/x.tar", "etc")] {
        let error = lay_out(&desk, desk.at(from), desk.at(to)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    }
}
