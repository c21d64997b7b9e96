//! What nobody uses: listed before anything is cleared away.

use super::disk::{self, Container, Taken};
use super::word;
use crate::engine::{Engine, told};
use bollard::models::Network;
use bollard::query_parameters::ListNetworksOptions;
use cmdr_link::clock;
use cmdr_protocol::CallError;
use cmdr_protocol::engine::{Kind, Leftover, Leftovers, Unused};
use std::collections::{BTreeMap, BTreeSet};

/// So many go into a reply.
const MOST: usize = 4000;
/// What the engine itself made.
const BUILT_IN: [&str; 5] = ["bridge", "host", "none", "ingress", "docker_gwbridge"];

/// Which of them are asked for.
struct Wanted<'a> {
    kinds: &'a [Kind],
    all: bool,
    label: &'a str,
    /// Only what was made before, seconds since 1970.
    before_s: Option<u64>,
}

impl Wanted<'_> {
    fn is(&self, kind: Kind) -> bool {
        if self.kinds.is_empty() { kind != Kind::Volume } else { self.kinds.contains(&kind) }
    }

    fn is_labelled(&self, labels: &BTreeMap<String, String>) -> bool {
        match self.label.split_once('=') {
            _ if self.label.is_empty() => true,
            Some((name, value)) => labels.get(name).is_some_and(|has| has == value),
            None => labels.contains_key(self.label),
        }
    }

    fn is_old(&self, created_s: u64) -> bool {
        self.before_s.is_none_or(|before| created_s > 0 && created_s <= before)
    }
}

/// Seconds since 1970; 0 when that is no moment.
fn seconds(moment: &str) -> u64 {
    let parsed = moment.parse::<jiff::Timestamp>().ok();
    parsed.and_then(|at| u64::try_from(at.as_second()).ok()).unwrap_or_default()
}

/// Asks the engine for everything and picks what is not used.
pub(super) async fn find(engine: &Engine, call: &Unused) -> Result<Leftovers, CallError> {
    let now_s = clock::now_ms() / 1000;
    let wanted = Wanted {
        kinds: &call.kinds,
        all: call.all,
        label: &call.label,
        before_s: (call.older_s > 0).then(|| now_s.saturating_sub(call.older_s)),
    };
    let taken = disk::read(engine).await?;
    let networks = if wanted.is(Kind::Network) {
        let attempted = "list the networks of the Docker engine";
        let listed = engine.list_networks(None::<ListNetworksOptions>).await;
        listed.map_err(|error| told(attempted, &error))?
    } else {
        Vec::new()
    };
    let mut things = pick(&wanted, &taken, networks);
    things.sort_by(|a, b| (a.kind, &a.name, &a.id).cmp(&(b.kind, &b.name, &b.id)));
    let left_out = things.len().saturating_sub(MOST) as u64;
    things.truncate(MOST);
    Ok(Leftovers { things, left_out })
}

fn pick(wanted: &Wanted<'_>, taken: &Taken, networks: Vec<Network>) -> Vec<Leftover> {
    let mut things = Vec::new();
    let mut put = |kind, id: &str, name: Option<&str>, size, created_s| {
        let name = word(name);
        things.push(Leftover { kind, id: word(Some(id)), name, size, created_s });
    };
    if wanted.is(Kind::Container) {
        for c in taken.containers.iter().filter(|c| !c.is_active() && c.state != "removing") {
            if wanted.is_labelled(&c.labels) && wanted.is_old(c.created) {
                let name = c.names.first().map(|name| name.trim_start_matches('/'));
                put(Kind::Container, &c.id, name, c.size_rw, c.created);
            }
        }
    }
    if wanted.is(Kind::Image) {
        for i in taken.images.iter().filter(|i| i.containers == 0) {
            let meant = wanted.all || i.is_dangling();
            if meant && wanted.is_labelled(&i.labels) && wanted.is_old(i.created) {
                let name = i.repo_tags.first().filter(|_| !i.is_dangling()).map(String::as_str);
                put(Kind::Image, &i.id, name, i.size.saturating_sub(i.shared_size), i.created);
            }
        }
    }
    if wanted.is(Kind::Volume) {
        for v in taken.volumes.iter().filter(|v| !v.is_used()) {
            let created_s = seconds(&v.created_at);
            let meant = wanted.all || v.is_anonymous();
            if meant && wanted.is_labelled(&v.labels) && wanted.is_old(created_s) {
                put(Kind::Volume, &v.name, Some(v.name.as_str()), v.size(), created_s);
            }
        }
    }
    let used: BTreeSet<&str> = taken.containers.iter().flat_map(Container::networks).collect();
    for network in networks {
        let (id, name) = (network.id.unwrap_or_default(), network.name.unwrap_or_default());
        let labels = network.labels.unwrap_or_default().into_iter().collect();
        let created_s = network.created.as_deref().map_or(0, seconds);
        let own = BUILT_IN.contains(&name.as_str()) || network.scope.as_deref() == Some("swarm");
        if !own
            && !used.contains(id.as_str())
            && wanted.is_labelled(&labels)
            && wanted.is_old(created_s)
        {
            put(Kind::Network, &id, Some(name.as_str()), 0, created_s);
        }
    }
    if wanted.is(Kind::Cache) && wanted.label.is_empty() {
        for c in taken.build_cache.iter().filter(|c| !c.in_use) {
            let created_s = seconds(&c.created_at);
            if wanted.is_old(created_s) {
                put(Kind::Cache, &c.id, Some(c.description.as_str()), c.size, created_s);
            }
        }
    }
    things
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: &str = r#"{"Images":[
        {"Id":"i1","Containers":0,"Size":5,"RepoTags":["<none>:<none>"],"Created":100},
        {"Id":"i2","Containers":0,"Size":5,"RepoTags":["x:1"],"Created":100,"Labels":{"team":"a"}},
        {"Id":"i3","Containers":1,"Size":5,"RepoTags":null,"Created":100}],
        "Containers":[
        {"Id":"c1","State":"exited","Names":["/old"],"Created":100,
         "NetworkSettings":{"Networks":{"front":{"NetworkID":"n1"}}}},
        {"Id":"c2","State":"running","Names":["/new"],"Created":100}],
        "Volumes":[{"Name":"data","UsageData":{"Size":9,"RefCount":0},"CreatedAt":"1970-01-01T00:01:40Z"},
                   {"Name":"held","UsageData":{"Size":9,"RefCount":2}},
                   {"Name":"unknown","UsageData":null}]}"#;

    fn picked(kinds: &[Kind], all: bool, label: &str, before_s: Option<u64>) -> Vec<String> {
        let taken: Taken = serde_json::from_str(TAKEN).unwrap();
        let network = |id: &str, name: &str| Network {
            id: Some(id.to_owned()),
            name: Some(name.to_owned()),
            ..Network::default()
        };
        let networks = vec![network("n0", "bridge"), network("n1", "front"), network("n2", "back")];
        let networks = if kinds.is_empty() { networks } else { Vec::new() };
        let wanted = Wanted { kinds, all, label, before_s };
        pick(&wanted, &taken, networks).into_iter().map(|thing| thing.id).collect()
    }

    #[test]
    fn what_has_a_name_stays_unless_all_is_meant_and_what_is_used_always() {
        assert_eq!(picked(&[], false, "", None), ["c1", "i1", "n2"]);
        assert_eq!(picked(&[Kind::Image], true, "", None), ["i1", "i2"]);
        assert!(picked(&[Kind::Volume], false, "", None).is_empty());
        assert_eq!(picked(&[Kind::Volume], true, "", None), ["data"]);
    }

    #[test]
    fn labels_and_age_narrow_it() {
        assert_eq!(picked(&[Kind::Image], true, "team=a", None), ["i2"]);
        assert_eq!(picked(&[Kind::Image], true, "team", None), ["i2"]);
        assert!(picked(&[Kind::Image], true, "team=b", None).is_empty());
        assert_eq!(picked(&[Kind::Volume], true, "", Some(100)), ["data"]);
        assert!(picked(&[Kind::Volume], true, "", Some(99)).is_empty());
        // The engine did not say when the network was made.
        assert_eq!(picked(&[], false, "", Some(100)), ["c1", "i1"]);
    }
}
