//! Keys of hosts, and how one follows another while the host stays who it is.
//!
//! A host's id is the hash of the key that it joined with, and stays when the key does not. The next key is
//! told by the agent over a link that the present one has proved; it counts from the moment somebody
//! proves it, and the old one is refused from then on. Each step is on disk before the next: whoever is
//! killed in between, the agent gets in with one of the two.

use super::{Fleet, State, busy};
use crate::records::HostRecord;
use crate::store::StoreError;
use cmdr_link::keys;
use cmdr_protocol::{CallError, ErrorKind, HostId, PublicKey};

/// The id under which a record is kept.
pub(super) fn id_of(record: &HostRecord) -> HostId {
    record.id.unwrap_or_else(|| keys::host_id(&record.key))
}

impl State {
    /// The host that this key belongs to, or would belong to.
    pub(super) fn holder(&self, key: &PublicKey) -> HostId {
        let hash = keys::host_id(key);
        self.keys.get(&hash).copied().unwrap_or(hash)
    }

    /// Finds the host by the keys of its record that its id does not tell.
    pub(super) fn learn(&mut self, id: HostId, record: &HostRecord) {
        let known = [Some(record.key), record.next];
        let others = known.iter().flatten().map(keys::host_id).filter(|hash| *hash != id);
        self.keys.extend(others.map(|hash| (hash, id)));
    }

    /// Forgets all keys of a host.
    pub(super) fn unlearn(&mut self, id: HostId) {
        self.keys.retain(|_, holder| *holder != id);
    }
}

impl Fleet {
    /// The host that this key belongs to, or would belong to.
    pub fn id_of(&self, key: &PublicKey) -> HostId {
        self.lock().holder(key)
    }

    /// The key that a host has to prove.
    pub fn key(&self, id: HostId) -> Option<PublicKey> {
        self.lock().hosts.get(&id).map(|entry| entry.record.key)
    }

    /// The host has told its next key: from now on it may prove either.
    pub async fn expect_key(&self, id: HostId, next: PublicKey) -> Result<(), CallError> {
        self.known(id)?;
        {
            let mut state = self.lock();
            let hash = keys::host_id(&next);
            // A host must not lay claim to another's key: it would be taken for this one.
            if state.hosts.contains_key(&hash) || state.keys.get(&hash).is_some_and(|h| *h != id) {
                return Err(CallError::new(
                    ErrorKind::Conflict,
                    "the key that the host has told is not new, so it was not taken; look at that machine",
                ));
            }
            state.keys.insert(hash, id);
        }
        let saved = self.save(id, |record| record.next = Some(next)).await;
        self.index(id);
        saved.map_err(busy)
    }

    /// The host has proved its next key: the one before is refused from now on.
    pub async fn take_key(&self, id: HostId, key: PublicKey) -> Result<(), StoreError> {
        self.save(id, |record| {
            record.id = Some(id);
            record.key = key;
            record.next = None;
        })
        .await?;
        self.index(id);
        Ok(())
    }

    /// The host has come with its present key, so it does not have the next one.
    pub async fn drop_next(&self, id: HostId) -> Result<(), StoreError> {
        let expects = self.lock().hosts.get(&id).is_some_and(|entry| entry.record.next.is_some());
        if expects {
            self.save(id, |record| record.next = None).await?;
            self.index(id);
        }
        Ok(())
    }

    fn index(&self, id: HostId) {
        let mut state = self.lock();
        state.unlearn(id);
        if let Some(record) = state.hosts.get(&id).map(|entry| entry.record.clone()) {
            state.learn(id, &record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Standing;
    use super::*;
    use crate::store::{Batch, Store};
    use cmdr_protocol::hosts::Labels;

    const KEYS: [PublicKey; 4] =
        [PublicKey([1; 32]), PublicKey([2; 32]), PublicKey([3; 32]), PublicKey([4; 32])];

    async fn join(fleet: &Fleet, key: PublicKey, name: &str) -> HostId {
        let record = fleet.propose(key, name, Labels::new(), false);
        let id = keys::host_id(&key);
        let batch = Batch::new().put(crate::records::host_key(id), &record);
        fleet.store.apply(batch).await.unwrap();
        fleet.admit(record);
        id
    }

    #[tokio::test]
    async fn a_host_stays_itself_while_one_key_follows_another() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut fleet = Fleet::load(store.clone()).unwrap();
        let id = join(&fleet, KEYS[0], "web1").await;
        for pair in KEYS.windows(2) {
            let (old, new) = (pair[0], pair[1]);
            fleet.expect_key(id, new).await.unwrap();
            for step in 0..2 {
                // A restart in between changes nothing.
                fleet = Fleet::load(store.clone()).unwrap();
                assert_eq!((fleet.id_of(&old), fleet.id_of(&new)), (id, id), "step {step}");
                assert_eq!(fleet.standing(&old), Standing::Member("web1".into()));
                assert_eq!(fleet.standing(&new), Standing::Next("web1".into()));
            }
            fleet.take_key(id, new).await.unwrap();
            fleet = Fleet::load(store.clone()).unwrap();
            assert_eq!(fleet.standing(&new), Standing::Member("web1".into()));
            assert_eq!(fleet.id_of(&new), id);
            let refused = [Standing::Replaced, Standing::Unknown];
            assert!(refused.contains(&fleet.standing(&old)), "{:?}", fleet.standing(&old));
        }
        assert_eq!(fleet.standing(&KEYS[0]), Standing::Replaced, "its id is still the host's");
        fleet.forget(id).await.unwrap();
        for key in &KEYS {
            assert_eq!(fleet.standing(key), Standing::Unknown);
        }
    }

    #[tokio::test]
    async fn a_key_of_another_host_or_of_its_own_past_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let fleet = Fleet::load(Store::open(dir.path()).unwrap()).unwrap();
        let (a, b) = (join(&fleet, KEYS[0], "a").await, join(&fleet, KEYS[1], "b").await);
        for claimed in [KEYS[0], KEYS[1]] {
            assert_eq!(fleet.expect_key(a, claimed).await.unwrap_err().kind, ErrorKind::Conflict);
        }
        fleet.expect_key(b, KEYS[2]).await.unwrap();
        assert!(fleet.expect_key(a, KEYS[2]).await.is_err());
        fleet.drop_next(b).await.unwrap();
        assert_eq!(fleet.standing(&KEYS[2]), Standing::Unknown);
        fleet.expect_key(a, KEYS[2]).await.unwrap();
        assert_eq!(fleet.id_of(&KEYS[2]), a);
    }
}
