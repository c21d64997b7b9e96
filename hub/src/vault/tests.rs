use super::*;
use cmdr_link::files;

fn store(dir: &tempfile::TempDir) -> Store {
    Store::open(&dir.path().join("store")).unwrap()
}

async fn unlock(store: &Store, dir: &tempfile::TempDir) -> Result<Vault, VaultError> {
    Vault::unlock(store, &Source::Own(dir.path().join("secrets.key"))).await
}

fn told<T: std::fmt::Debug>(result: Result<T, VaultError>) -> String {
    result.unwrap_err().to_string()
}

#[tokio::test]
async fn what_was_sealed_opens_after_a_restart_and_only_for_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let sealed = unlock(&store, &dir).await.unwrap().seal("totp/ann", b"value").unwrap();
    let again = unlock(&store, &dir).await.unwrap();
    assert_eq!(again.open("totp/ann", &sealed).unwrap().as_slice(), b"value");
    assert!(told(again.open("totp/bob", &sealed)).contains("totp/bob does not open"));
    assert!(told(again.open("totp/ann", b"")).contains("does not open"));
    let mut of_another = sealed;
    of_another[4] = 9;
    assert!(told(again.open("totp/ann", &of_another)).contains("the data key 9"));
}

#[tokio::test]
async fn a_master_key_that_is_missing_or_another_is_refused_and_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    unlock(&store, &dir).await.unwrap();
    let key = dir.path().join("secrets.key");
    let right = files::read_private(&key, 100).unwrap();
    std::fs::remove_file(&key).unwrap();
    let error = told(unlock(&store, &dir).await);
    assert!(error.contains("missing") && error.contains("put it back"), "{error}");
    assert!(!key.exists());
    files::write_private(&key, b"another key that is long enough, is it not?\n").unwrap();
    let error = told(unlock(&store, &dir).await);
    assert!(error.contains("not the one") && !error.contains('\n'), "{error}");
    files::write_private(&key, &right).unwrap();
    unlock(&store, &dir).await.unwrap();
}

#[tokio::test]
async fn a_locked_vault_neither_seals_nor_opens() {
    let vault = Vault::locked();
    assert!(told(vault.seal("a", b"b")).contains("locked"));
}

#[tokio::test]
async fn neither_the_value_nor_the_master_key_is_in_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let vault = unlock(&store, &dir).await.unwrap();
    let sealed = vault.seal("a", b"canary-value").unwrap();
    let stored: Vec<u8> =
        store.scan_raw("").unwrap().into_iter().flat_map(|r| r.unwrap().1).collect();
    let master = files::read_private(&dir.path().join("secrets.key"), 100).unwrap();
    for secret in [&b"canary-value"[..], master.trim_ascii()] {
        assert!(!stored.windows(secret.len()).any(|w| w == secret));
        assert!(!sealed.windows(secret.len()).any(|w| w == secret));
    }
}

#[test]
fn an_empty_command_for_the_master_key_is_a_mistake_and_not_the_hubs_own_file() {
    let secrets = crate::config::Secrets { key_command: Some(Vec::new()), ..Default::default() };
    let error = Source::of(&secrets, std::path::Path::new("/nowhere")).unwrap_err().to_string();
    assert!(error.contains("key_command is empty"), "{error}");
}
