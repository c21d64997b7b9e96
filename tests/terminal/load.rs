//! Writers that keep a hub busy and remember what it has acknowledged.

use cmdr_link::SecretKey;
use cmdr_link::link::Target;
use cmdr_link::mux::Limits;
use cmdr_link::session::{Dialer, Session};
use cmdr_link::token::JoinToken;
use cmdr_protocol::hosts::{self, Label, Labels};
use cmdr_protocol::version::{Join, PeerKind};
use cmdr_protocol::{HostId, PublicKey};
use harness::process::HubProcess;
use harness::until_some;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(5);

/// The numbers, in order.
type Acknowledged = Arc<Mutex<BTreeMap<HostId, Vec<u64>>>>;

/// One writer a host, all as one administrator.
pub(crate) struct Load {
    session: Session,
    key: SecretKey,
    hosts: usize,
    acknowledged: Acknowledged,
    writers: Vec<tokio::task::JoinHandle<()>>,
}

fn dialer(
    address: &str,
    hub: PublicKey,
    kind: PeerKind,
    key: &SecretKey,
    token: Option<&str>,
) -> Dialer {
    let token = token.map(|text| JoinToken::parse(text).unwrap());
    Dialer {
        target: Target { address: address.to_owned(), hub },
        key: key.clone(),
        kind,
        name: "writer".to_owned(),
        version: "test",
        capabilities: Vec::new(),
        join: token.map(|t| Join { token: Some(t.id), secret: t.secret.to_vec() }),
        limits: Limits::default(),
        patience: Duration::from_secs(2),
        from: None,
        dir: None,
    }
}

/// Writes one label after the other to its host and notes each number that was acknowledged.
async fn write(session: Session, host: HostId, acknowledged: Acknowledged) {
    for number in 1u64.. {
        let set = Labels::from([("number".to_owned(), number.to_string())]);
        let label = Label { host, set, remove: Vec::new() };
        match session.call(None, label, PATIENCE).await {
            Ok(_) => {
                acknowledged.lock().unwrap().entry(host).or_default().push(number);
            }
            // Not acknowledged: it may be there or not. The link comes back by itself.
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

impl Load {
    /// Begins to write.
    pub(crate) async fn on(hub: &HubProcess) -> Self {
        let (admin, hosts_token) = (hub.token(Some("administrator"), 1), hub.token(None, 8));
        let (address, public) = (hub.address.as_str(), hub.key());
        let key = SecretKey::generate().unwrap();
        dialer(address, public, PeerKind::Client, &key, Some(&admin)).connect().await.unwrap();
        let mut ids = Vec::new();
        for _ in 0..8 {
            let agent = SecretKey::generate().unwrap();
            let dialer = dialer(address, public, PeerKind::Agent, &agent, Some(&hosts_token));
            ids.push(dialer.dial().await.unwrap().1.host.unwrap());
        }
        let session = Session::start(dialer(address, public, PeerKind::Client, &key, None));
        let acknowledged = Acknowledged::default();
        let writers = ids
            .iter()
            .map(|id| tokio::spawn(write(session.clone(), *id, acknowledged.clone())))
            .collect();
        Self { session, key, hosts: ids.len(), acknowledged, writers }
    }

    /// What was acknowledged so far.
    pub(crate) fn promised(&self) -> BTreeMap<HostId, u64> {
        let acknowledged = self.acknowledged.lock().unwrap();
        acknowledged.iter().map(|(id, numbers)| (*id, numbers[numbers.len() - 1])).collect()
    }

    /// Every write that was acknowledged is in the hub's audit log, as asked and as answered.
    pub(crate) fn assert_recorded(&self, hub: &HubProcess) {
        let file = hub.dir.path().join("audit.jsonl");
        std::fs::remove_file(&file).ok();
        // Before the log is read: what is acknowledged later is not looked for.
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        hub.command(&["audit", "export", file.to_str().unwrap()]);
        let (mut asked, mut recorded) = (BTreeMap::new(), BTreeSet::new());
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            if record["method"] != "hosts.label" {
                continue;
            }
            if record["event"] == "asked" {
                let host: HostId = record["body"]["host"].as_str().unwrap().parse().unwrap();
                let number: u64 =
                    record["body"]["set"]["number"].as_str().unwrap().parse().unwrap();
                asked.insert(record["seq"].as_u64().unwrap(), (host, number));
            } else if record["outcome"] == "ok" {
                recorded.extend(asked.get(&record["asked"].as_u64().unwrap()).copied());
            }
        }
        for (host, numbers) in acknowledged {
            let lost: Vec<_> =
                numbers.iter().filter(|n| !recorded.contains(&(host, **n))).collect();
            assert!(lost.is_empty(), "the audit log lacks writes to {host}: {lost:?}");
        }
        assert!(hub.command(&["audit", "verify"]).contains("is whole"));
    }

    /// Waits until so many more writes were acknowledged.
    pub(crate) async fn goes_on_for(&self, more: u64) {
        let enough = self.promised().values().sum::<u64>() + more;
        until_some("writes are acknowledged", async || {
            (self.promised().values().sum::<u64>() >= enough).then_some(())
        })
        .await;
    }

    /// Waits until the writers' own link answers again; how long that took, and what is stored.
    pub(crate) async fn back(&self) -> (Duration, Vec<hosts::Host>) {
        let begin = Instant::now();
        let listing = until_some("the client is back", async || {
            self.session.call(None, hosts::List::default(), PATIENCE).await.ok()
        })
        .await;
        (begin.elapsed(), listing.hosts)
    }

    /// What another hub on the same data has stored.
    pub(crate) async fn stored_at(&self, hub: &HubProcess) -> Vec<hosts::Host> {
        let dialer = dialer(&hub.address, hub.key(), PeerKind::Client, &self.key, None);
        let (client, _) = dialer.connect().await.unwrap();
        client.call_all(None, &hosts::List::of(""), PATIENCE).await.unwrap().hosts
    }

    /// Every host is there, with a number not below the promised one.
    pub(crate) fn assert_kept(
        &self,
        what: &str,
        promised: &BTreeMap<HostId, u64>,
        stored: Vec<hosts::Host>,
    ) {
        assert_eq!(stored.len(), self.hosts);
        for host in stored {
            let id = host.id.unwrap();
            let kept: u64 = host.labels.get("number").map_or(0, |n| n.parse().unwrap());
            let least = promised.get(&id).copied().unwrap_or(0);
            assert!(kept >= least, "{what}: {id} has {kept}, but {least} was acknowledged");
        }
    }

    /// Stops writing.
    pub(crate) fn stop(self) {
        for writer in &self.writers {
            writer.abort();
        }
        self.session.close();
    }
}
