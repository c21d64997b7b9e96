//! Lists and watches of a fleet whose hosts say as much of themselves as they may.

use super::*;
use crate::config::Config;
use crate::store::Store;
use crate::vault::Vault;
use cmdr_link::SecretKey;
use cmdr_link::frame::MAX_FRAME;
use cmdr_protocol::PublicKey;
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::facts::{Disk, Facts};
use cmdr_protocol::metrics::Metrics;
use cmdr_protocol::role::Role;

/// A hub with so many hosts, each of which says as much of itself as it may.
fn large(count: u16) -> (tempfile::TempDir, Shared) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (key, config) = (SecretKey::generate().unwrap(), Config::default());
    let audit = dir.path().join("audit");
    let hub = Hub::new(key, store, Vault::locked(), &audit, config, String::new(), String::new());
    let hub = hub.unwrap();
    let text = || "x".repeat(100);
    let disk = Disk { device: text(), mount: text(), kind: text(), ..Disk::default() };
    let mut facts = Facts {
        hostname: text(),
        addresses: vec![text(); 5],
        disks: vec![disk; 5],
        ..Facts::default()
    };
    facts.bound();
    for n in 0..count {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&n.to_be_bytes());
        let labels = [("address".to_owned(), format!("10.0.0.{n}"))].into();
        let mut record = hub.fleet.propose(PublicKey(key), &format!("web{n}"), labels, false);
        record.facts = Some(facts.clone());
        hub.fleet.admit(record);
        hub.fleet.sample(cmdr_link::keys::host_id(&PublicKey(key)), &Metrics::default());
    }
    (dir, hub)
}

/// A question of the hub's own administrator.
fn asked(hub: &Hub) -> Asked {
    let caller = Caller {
        key: cmdr_link::keys::key_id(&hub.keys.public()),
        name: String::new(),
        operator: String::new(),
        role: Role::ADMINISTRATOR,
        address: String::new(),
    };
    Asked { caller: Some(caller), trace: 0 }
}

fn fits<T: serde::Serialize>(answer: &T) {
    let size = codec::size(answer);
    assert!(size < MAX_FRAME, "{size} bytes in one answer");
}

#[tokio::test]
async fn a_large_fleet_is_listed_in_pages_to_its_end() {
    const COUNT: u16 = 3000;
    let (_dir, hub) = large(COUNT);
    let (hub, pages) = (&hub, &std::cell::Cell::new(0));
    let all = cmdr_link::client::all_pages(List::of(""), |call| async move {
        let listing = list(hub.clone(), asked(hub), call).await?;
        fits(&listing);
        pages.set(pages.get() + 1);
        Ok::<_, CallError>(listing)
    });
    let names: Vec<_> = all.await.unwrap().hosts.into_iter().map(|host| host.name).collect();
    let expected: Vec<_> = hub.fleet.hosts().into_iter().map(|host| host.name).collect();
    assert_eq!((names.len(), names), (usize::from(COUNT), expected));
    assert!(pages.get() > 3, "{} pages", pages.get());

    let resolve = Resolve { limit: 1000, ..Resolve::of("web*") };
    let all = cmdr_link::client::all_pages(resolve, |call| async move {
        let targets = super::resolve(hub.clone(), asked(hub), call).await?;
        assert!(targets.targets.len() <= 1000);
        fits(&targets);
        Ok::<_, CallError>(targets)
    });
    assert_eq!(all.await.unwrap().targets.len(), usize::from(COUNT));
}

#[tokio::test]
async fn all_at_once_is_answered_whole_or_not_at_all() {
    let (_dir, hub) = large(300);
    let listing = list(hub.clone(), asked(&hub), List::default()).await.unwrap();
    fits(&listing);
    assert_eq!((listing.hosts.len(), listing.next.as_str()), (300, ""));
    let one = List { selector: "web7".into(), ..List::default() };
    assert_eq!(list(hub.clone(), asked(&hub), one).await.unwrap().hosts.len(), 1);

    let (_dir, hub) = large(3000);
    let error = list(hub.clone(), asked(&hub), List::default()).await.unwrap_err();
    assert!(error.message.contains("pages"), "{error}");
    let few = List { limit: 5, after: "web1000".into(), ..List::default() };
    let listing = list(hub.clone(), asked(&hub), few).await.unwrap();
    let names: Vec<_> = listing.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["web1001", "web1002", "web1003", "web1004", "web1005"]);
    assert_eq!(listing.next, "web1005");
    let brief = List { brief: true, ..List::of("") };
    let listing = list(hub.clone(), asked(&hub), brief).await.unwrap();
    assert_eq!((listing.hosts.len(), listing.hosts[0].facts.as_ref()), (1000, None));
}

#[tokio::test]
async fn whoever_watches_a_large_fleet_is_told_it_in_items_that_fit() {
    let (_dir, hub) = large(3000);
    let mut view = View {
        who: viewer(&hub, &asked(&hub)).unwrap(),
        selector: parse("").unwrap(),
        all: true,
        sent: HashMap::new(),
        change: 0,
    };
    let first = view.changes(&hub, true);
    let mut known = std::collections::HashSet::new();
    for (n, change) in first.iter().enumerate() {
        fits(change);
        assert_eq!((change.reset, change.more), (n == 0, n + 1 < first.len()));
        known.extend(change.put.iter().filter_map(|host| host.id));
        assert!(change.history.iter().all(|history| known.contains(&history.id)));
    }
    assert!(known.len() == 3000 && first.len() > 3, "{} in {}", known.len(), first.len());
    assert!(view.changes(&hub, false).is_empty());
    // All at once, so that the store writes them together.
    let forgotten = known.into_iter().map(|id| hub.fleet.forget(id));
    for one in futures::future::join_all(forgotten).await {
        assert!(one.unwrap());
    }
    let gone = view.changes(&hub, false);
    gone.iter().for_each(fits);
    assert_eq!(gone.iter().map(|change| change.gone.len()).sum::<usize>(), 3000);
    assert!(!gone.last().unwrap().more);
}

#[tokio::test]
async fn a_host_that_says_far_too_much_of_itself_is_kept_within_bounds() {
    let (_dir, hub) = large(20);
    let long = "x".repeat(50_000);
    for host in hub.fleet.hosts() {
        let addresses = vec!["2001:db8::1".to_owned(); 3000];
        let facts = Facts { addresses, cpu: long.clone(), ..Facts::default() };
        hub.fleet.set_facts(host.id.unwrap(), facts).await.unwrap();
    }
    let listing = list(hub.clone(), asked(&hub), List::default()).await.unwrap();
    assert_eq!(listing.hosts.len(), 20);
    assert!(codec::size(&listing) < 100_000);
    assert_eq!(listing.hosts[0].facts.as_ref().unwrap().cpu.len(), 256);
}
