//! Killing the hub in the middle of its work loses nothing that it had acknowledged.

use cmdr_link::SecretKey;
use cmdr_link::link::Target;
use cmdr_link::mux::Limits;
use cmdr_link::session::{Dialer, Session};
use cmdr_link::token::JoinToken;
use cmdr_protocol::hosts::{Label, Labels};
use cmdr_protocol::version::{Join, PeerKind};
use cmdr_protocol::{HostId, hosts};
use harness::process::HubProcess;
use harness::until_some;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often the gate kills the hub; the long form of this test sets more.
fn kills() -> usize {
    std::env::var("CMDR_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(15)
}

fn dialer(hub: &HubProcess, kind: PeerKind, key: &SecretKey, token: Option<&str>) -> Dialer {
    let token = token.map(|text| JoinToken::parse(text).unwrap());
    Dialer {
        target: Target { address: hub.address.clone(), hub: hub.key() },
        key: key.clone(),
        kind,
        name: "writer".to_owned(),
        version: "test",
        capabilities: Vec::new(),
        join: token.map(|t| Join { token: Some(t.id), secret: t.secret.to_vec() }),
        limits: Limits::default(),
        patience: Duration::from_secs(2),
        from: None,
    }
}

/// Writes one label after the other to its host and notes each number that was acknowledged.
async fn write(session: Session, host: HostId, acknowledged: Arc<Mutex<BTreeMap<HostId, u64>>>) {
    for number in 1u64.. {
        let set = Labels::from([("number".to_owned(), number.to_string())]);
        let label = Label { host, set, remove: Vec::new() };
        match session.call(None, label, Duration::from_secs(5)).await {
            Ok(_) => {
                acknowledged.lock().unwrap().insert(host, number);
            }
            // Not acknowledged: it may be there or not. The link comes back by itself.
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

#[tokio::test]
async fn no_acknowledged_write_is_lost_when_the_hub_is_killed_and_everyone_comes_back() {
    let mut hub = HubProcess::start();
    let (admin, hosts_token) = (hub.token(Some("administrator"), 1), hub.token(None, 8));
    let key = SecretKey::generate().unwrap();
    dialer(&hub, PeerKind::Client, &key, Some(&admin)).connect().await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..8 {
        let dialer =
            dialer(&hub, PeerKind::Agent, &SecretKey::generate().unwrap(), Some(&hosts_token));
        ids.push(dialer.dial().await.unwrap().1.host.unwrap());
    }
    let session = Session::start(dialer(&hub, PeerKind::Client, &key, None));
    let acknowledged = Arc::new(Mutex::new(BTreeMap::new()));
    let writers: Vec<_> = ids
        .iter()
        .map(|id| tokio::spawn(write(session.clone(), *id, acknowledged.clone())))
        .collect();
    let mut slowest = Duration::ZERO;
    for round in 0..kills() {
        // Let it work for a while that differs from round to round.
        let before: u64 = acknowledged.lock().unwrap().values().sum();
        let enough = before + 20 + (round as u64 * 37) % 100;
        until_some("writes are acknowledged", async || {
            (acknowledged.lock().unwrap().values().sum::<u64>() >= enough).then_some(())
        })
        .await;
        hub.kill();
        let promised = acknowledged.lock().unwrap().clone();
        hub.start_again();
        let begin = Instant::now();
        let listing = until_some("the client is back", async || {
            session.call(None, hosts::List::default(), Duration::from_secs(5)).await.ok()
        })
        .await;
        slowest = slowest.max(begin.elapsed());
        assert_eq!(listing.hosts.len(), ids.len());
        for host in listing.hosts {
            let id = host.id.unwrap();
            let kept: u64 = host.labels.get("number").map_or(0, |n| n.parse().unwrap());
            let least = promised.get(&id).copied().unwrap_or(0);
            assert!(kept >= least, "round {round}: {id} has {kept}, but {least} was acknowledged");
        }
    }
    assert!(slowest < Duration::from_secs(15), "a client needed {slowest:?} to come back");
    for writer in writers {
        writer.abort();
    }
    session.close();
    assert!(hub.command(&["check"]).contains(" 0 damaged"));
}
