//! Secrets by name: never shown, sealed wherever they lie, and sealed anew without a gap.

use cmdr_hub::records::{SecretRecord, secret_key};
use cmdr_hub::store::{Batch, Store};
use cmdr_hub::vault::keepers::KEEPERS;
use cmdr_hub::vault::rotate;
use cmdr_link::Client;
use cmdr_protocol::role::Role;
use cmdr_protocol::secrets::{Delete, Kept, List, Listing, Put, Rotate, Step};
use cmdr_protocol::{CallError, ErrorKind, hub};
use harness::World;
use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(10);
const CANARY: &[u8] = b"canary-7f3a91-correct-horse";

async fn put(client: &Client, name: &str, value: &[u8]) -> Result<Kept, CallError> {
    let put = Put { name: name.to_owned(), value: value.to_vec() };
    client.call(None, &put, PATIENCE).await
}

async fn list(client: &Client) -> Listing {
    client.call(None, &List {}, PATIENCE).await.unwrap()
}

async fn rotated(client: &Client) -> Result<Vec<Step>, CallError> {
    let mut feed = client.feed(None, &Rotate {}).await?;
    let mut steps = Vec::new();
    while let Some(step) = feed.next().await {
        steps.push(step?);
    }
    Ok(steps)
}

/// Files below `dir` in which the bytes stand.
pub(crate) fn holding(dir: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, bytes));
        } else if std::fs::read(&path).unwrap().windows(bytes.len()).any(|w| w == bytes) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn a_secret_goes_through_every_verb_and_is_found_in_no_file_and_no_answer() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    assert!(!put(&client, "ldap-bind", CANARY).await.unwrap().replaced);
    assert!(put(&client, "ldap-bind", CANARY).await.unwrap().replaced);
    put(&client, "other", CANARY).await.unwrap();

    let read = world.hub.vault.secret("ldap-bind", "ldap").unwrap().unwrap();
    assert_eq!(read.as_slice(), CANARY);
    assert!(world.hub.vault.secret("nobody", "ldap").unwrap().is_none());

    let steps = rotated(&client).await.unwrap();
    assert_eq!((steps[0].part.as_str(), steps[0].resealed), ("named secrets", 2));
    let last = steps.last().unwrap();
    assert!(last.outcome.contains("data key 2 seals everything now, 1 older key deleted"));
    let listing = list(&client).await;
    assert_eq!(listing.data_keys, [2]);
    let one = &listing.secrets[0];
    assert_eq!((one.name.as_str(), one.used_by.as_str()), ("ldap-bind", "ldap"));
    assert!(one.used_ms.is_some() && one.set_ms > 0 && !one.set_by.is_empty());
    assert_eq!(listing.secrets[1].used_ms, None);
    assert!(!format!("{listing:?}").contains("canary"));

    let delete = Delete { name: "other".to_owned() };
    client.call(None, &delete, PATIENCE).await.unwrap();
    let gone = client.call(None, &delete, PATIENCE).await.unwrap_err();
    assert_eq!(gone.kind, ErrorKind::NotFound);

    let world = world.restart().await;
    assert_eq!(holding(world.data(), CANARY), [""; 0]);
    assert_eq!(holding(world.data(), &CANARY[..12]), [""; 0]);
    let read = world.hub.vault.secret("ldap-bind", "ldap").unwrap().unwrap();
    assert_eq!(read.as_slice(), CANARY, "after the rotation and a restart it opens");
}

#[tokio::test]
async fn only_administrators_may_and_what_cannot_be_a_secret_is_refused() {
    let world = World::start().await;
    let operator = world.client(Role::OPERATOR).await;
    assert_eq!(put(&operator, "a", b"b").await.unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(rotated(&operator).await.unwrap_err().kind, ErrorKind::Denied);
    let client = world.client(Role::ADMINISTRATOR).await;
    for (name, value) in
        [("", &b"x"[..]), ("A", b"x"), ("a/b", b"x"), ("a", b""), ("a", &vec![1; 40_000])]
    {
        assert_eq!(put(&client, name, value).await.unwrap_err().kind, ErrorKind::Malformed);
    }
    assert!(list(&client).await.secrets.is_empty());
}

#[tokio::test]
async fn a_rotation_that_stops_anywhere_loses_nothing_and_the_next_one_finishes_it() {
    let mut world = World::start().await;
    let names: Vec<_> = (0..12).map(|n| format!("s{n}")).collect();
    for name in &names {
        world.hub.vault.put(name, name.as_bytes(), "a test").await.unwrap();
    }
    for stop in (1..=16).rev() {
        {
            // Nobody hears of the parts: there is room for what is said of all of them.
            let (told, _untold) = mpsc::channel(KEEPERS.len());
            let mut rotating = pin!(rotate::rotate(&world.hub, told));
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                if polls > stop {
                    return Poll::Ready(());
                }
                rotating.as_mut().poll(cx).map(|ended| drop(ended.unwrap()))
            })
            .await;
        }
        if stop % 5 == 0 {
            world = world.restart().await;
        }
        for name in &names {
            let value = world.hub.vault.secret(name, "test").unwrap().unwrap();
            assert_eq!(value.as_slice(), name.as_bytes(), "stopped at {stop}");
        }
    }
    assert!(world.hub.vault.data_keys().unwrap().len() > 1, "one was stopped in the middle");
    let client = world.client(Role::ADMINISTRATOR).await;
    rotated(&client).await.unwrap();
    assert_eq!(list(&client).await.data_keys.len(), 1);
    assert!(world.hub.check().await.unwrap().damage.is_empty());
}

#[tokio::test]
async fn what_is_put_while_a_rotation_runs_opens_afterwards() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    let putting = async {
        for n in 0..200 {
            world.hub.vault.put(&format!("s{}", n % 20), &[n; 4], "a test").await.unwrap();
        }
    };
    let rotating = async {
        for _ in 0..8 {
            rotated(&client).await.unwrap();
        }
    };
    tokio::join!(putting, rotating);
    for n in 0..20 {
        let value = world.hub.vault.secret(&format!("s{n}"), "test").unwrap().unwrap();
        assert_eq!(value.as_slice(), [180 + n as u8; 4]);
    }
}

#[tokio::test]
async fn a_sealed_value_that_was_changed_or_moved_is_found_and_keeps_the_old_key() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    put(&client, "a", CANARY).await.unwrap();
    put(&client, "b", CANARY).await.unwrap();
    let mut record: SecretRecord = world.hub.store.get(&secret_key("a")).unwrap().unwrap();
    record.name = "b".to_owned();
    world.hub.store.apply(Batch::new().put(secret_key("b"), &record)).await.unwrap();
    let moved = world.hub.vault.secret("b", "test").unwrap_err().to_string();
    assert!(moved.contains("secret/b does not open"), "{moved}");
    let last = record.sealed.len() - 1;
    record.sealed[last] ^= 1;
    record.name = "a".to_owned();
    world.hub.store.apply(Batch::new().put(secret_key("a"), &record)).await.unwrap();
    let checked: hub::Checked = client.call(None, &hub::Check {}, PATIENCE).await.unwrap();
    assert_eq!(checked.damage.len(), 2, "{checked:?}");
    let refused = rotated(&client).await.unwrap_err();
    assert!(refused.message.contains("secret/a does not open"), "{refused}");
    assert_eq!(list(&client).await.data_keys, [1, 2], "the old key stays");
    for name in ["a", "b"] {
        client.call(None, &Delete { name: name.to_owned() }, PATIENCE).await.unwrap();
    }
    rotated(&client).await.unwrap();
    assert_eq!(list(&client).await.data_keys, [3]);
}

#[tokio::test]
async fn a_backup_has_secrets_sealed_and_neither_key() {
    let world = World::start().await;
    let client = world.client(Role::ADMINISTRATOR).await;
    put(&client, "a", CANARY).await.unwrap();
    let mut text = Vec::new();
    let mut feed = client.feed(None, &hub::Backup {}).await.unwrap();
    while let Some(piece) = feed.next().await {
        text.extend(piece.unwrap().data);
    }
    let master = std::fs::read(world.path("secrets.key")).unwrap();
    // Records are in it as base64, so the values are looked for in what it restores as well.
    let file = world.path("backup");
    std::fs::write(&file, &text).unwrap();
    let records = cmdr_hub::backup::read(world.hub.keys.now().sealing(), &file).unwrap();
    let restored: Vec<u8> = records.into_iter().flat_map(|(_, value)| value).collect();
    for bytes in [&text, &restored] {
        for secret in [CANARY, master.trim_ascii()] {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret));
        }
    }
    // A store restored from it opens with the master key.
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let audit = dir.path().join("audit");
    cmdr_hub::backup::restore(&store, &audit, world.hub.keys.now().sealing(), &file).await.unwrap();
    let source = |path| cmdr_hub::vault::master::Source::Own(path);
    let missing = source(dir.path().join("secrets.key"));
    let missing = cmdr_hub::vault::Vault::unlock(&store, &missing).await;
    assert!(missing.unwrap_err().to_string().contains("missing"));
    let right = source(world.path("secrets.key"));
    let vault = cmdr_hub::vault::Vault::unlock(&store, &right).await.unwrap();
    assert_eq!(vault.secret("a", "test").unwrap().unwrap().as_slice(), CANARY);
}
