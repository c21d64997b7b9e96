//! A configuration judged whole: every error is named, and what is right becomes the plan that the
//! event loops go by. What is known of upstreams and addresses is taken over from the plan before.

use crate::config::{self, Config, Mode, Transport, Verdict};
use crate::group::{Group, State, Upstream};
use crate::policy::networks::{Network, Networks};
use crate::policy::targets::Targets;
use crate::policy::{Known, Policy};
use crate::seen::Talkers;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Where a listener listens: what makes it the same one over a change.
pub type Place = (SocketAddr, Transport);

/// What is counted for a listener, whatever the configuration says of it.
#[derive(Debug, Default)]
pub struct Counters {
    pub active: AtomicUsize,
    pub accepted: AtomicU64,
    pub refused: AtomicU64,
    /// Connections that ended without an upstream.
    pub failed: AtomicU64,
    /// Bytes from clients and to them.
    pub bytes: [AtomicU64; 2],
    /// Datagrams that were dropped: no room, no upstream.
    pub dropped: AtomicU64,
    /// Times that accepting had to stop for want of file descriptors.
    pub starved: AtomicU64,
    /// Said by an operator: no new connections.
    pub drained: AtomicBool,
    /// The busiest clients.
    pub talkers: Talkers,
}

#[derive(Debug)]
pub struct Listener {
    pub settings: config::Listener,
    pub group: Option<Arc<Group>>,
    pub sni: HashMap<String, Arc<Group>>,
    pub policy: Option<Arc<Policy>>,
    /// Where forward front ends may lead to.
    pub targets: Targets,
    pub counters: Arc<Counters>,
}

impl Listener {
    pub fn place(&self) -> Place {
        (self.settings.address, self.settings.transport)
    }

    /// The group for a server name: of the name itself, of `*.` before its parent, or the usual one.
    pub fn group_for(&self, name: Option<&str>) -> Option<&Arc<Group>> {
        let listed = name.and_then(|name| {
            let parent = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
            self.sni.get(name).or_else(|| self.sni.get(&parent?))
        });
        listed.or(self.group.as_ref())
    }
}

#[derive(Debug, Default)]
pub struct Plan {
    pub max_connections: usize,
    pub listeners: Vec<Arc<Listener>>,
    /// Those that listen no more and have connections still.
    pub left: Vec<Arc<Listener>>,
    pub groups: Vec<Arc<Group>>,
    pub policies: Vec<Arc<Policy>>,
}

/// Reads a configuration's text and makes a plan of it; all that is wrong, a line each.
pub fn read(text: &str, before: &Plan) -> Result<Plan, Vec<String>> {
    let config: Config =
        toml::from_str(text).map_err(|e| vec![e.to_string().trim().replace('\n', "\n  ")])?;
    judge(config, before)
}

/// What is wrong with a configuration as far as can be known without binding anything; a line each.
pub fn wrong(config: Config) -> Vec<String> {
    judge(config, &Plan::default()).err().unwrap_or_default()
}

/// The number of event loops that a configuration asks for, 0 when it does not say.
pub fn workers(text: &str) -> usize {
    toml::from_str::<Config>(text).map_or(0, |config| config.workers)
}

fn names<'a>(kind: &str, all: impl Iterator<Item = &'a str>, wrong: &mut Vec<String>) {
    let mut seen = HashSet::new();
    for name in all {
        if name.is_empty() || name.len() > 64 || !name.bytes().all(|b| b.is_ascii_graphic()) {
            wrong.push(format!(
                "{kind} \"{}\": a name is 1 to 64 printable characters without spaces",
                name.escape_debug()
            ));
        } else if !seen.insert(name) {
            wrong.push(format!("{kind} \"{name}\" is there twice"));
        }
    }
}

fn judge(config: Config, before: &Plan) -> Result<Plan, Vec<String>> {
    let mut wrong = Vec::new();
    names("listener", config.listeners.iter().map(|l| l.name.as_str()), &mut wrong);
    names("group", config.groups.iter().map(|g| g.name.as_str()), &mut wrong);
    names("policy", config.policies.iter().map(|p| p.name.as_str()), &mut wrong);
    if config.workers > 64 {
        wrong.push("workers: at most 64".to_owned());
    }
    let groups: BTreeMap<String, Arc<Group>> =
        config.groups.into_iter().map(|g| (g.name.clone(), group(g, before, &mut wrong))).collect();
    let policies: BTreeMap<String, Arc<Policy>> = config
        .policies
        .into_iter()
        .map(|p| (p.name.clone(), policy(p, before, &mut wrong)))
        .collect();
    let mut places = HashSet::new();
    let mut listeners = Vec::new();
    for settings in config.listeners {
        let place = (settings.address, settings.transport);
        if settings.address.port() != 0 && !places.insert(place) {
            wrong.push(format!(
                "listener \"{}\": another one listens on {} already",
                settings.name, settings.address
            ));
        }
        listeners.push(listener(settings, &groups, &policies, before, &mut wrong));
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let (groups, policies) = (groups.into_values().collect(), policies.into_values().collect());
    let left = before.listeners.iter().chain(&before.left).filter(|old| {
        let goes_on = |l: &Arc<Listener>| Arc::ptr_eq(&l.counters, &old.counters);
        old.counters.active.load(Relaxed) > 0 && !listeners.iter().any(goes_on)
    });
    let left = left.cloned().collect();
    Ok(Plan { max_connections: config.max_connections, listeners, left, groups, policies })
}

fn group(settings: config::Group, before: &Plan, wrong: &mut Vec<String>) -> Arc<Group> {
    let known = before.groups.iter().find(|g| g.settings.name == settings.name);
    let mut seen = HashSet::new();
    let mut say = |what: String| wrong.push(format!("group \"{}\": {what}", settings.name));
    if settings.upstreams.is_empty() {
        say("no upstream".into());
    }
    if settings.connect_timeout.is_zero() {
        say("connect_timeout must be more than 0".into());
    }
    if let Some(check) = &settings.check {
        if check.interval.as_millis() < 10 || check.timeout.is_zero() {
            say("check: an interval of at least 10ms and a timeout are needed".into());
        }
        if check.rise == 0 || check.fall == 0 {
            say("check: rise and fall must be at least 1".into());
        }
        let text = [&check.path, &check.host];
        if !check.path.starts_with('/')
            || text.iter().any(|t| t.len() > 1024 || !t.bytes().all(|b| b.is_ascii_graphic()))
        {
            say("check: path begins with \"/\", and path and host have no spaces".into());
        }
    }
    if settings.passive.as_ref().is_some_and(|p| p.failures == 0) {
        say("passive: failures must be at least 1".into());
    }
    for upstream in &settings.upstreams {
        if upstream.address.port() == 0 {
            say(format!("upstream {} has no port", upstream.address));
        }
        if upstream.weight > 100_000 {
            say(format!("upstream {}: a weight is at most 100000", upstream.address));
        }
        if !seen.insert(upstream.address) {
            say(format!("upstream {} is there twice", upstream.address));
        }
    }
    let upstreams = settings.upstreams.iter().map(|upstream| {
        let same =
            known.and_then(|g| g.upstreams.iter().find(|u| u.settings.address == upstream.address));
        let state: Arc<State> = same.map(|u| u.state.clone()).unwrap_or_default();
        if settings.check.is_none() {
            state.set_up(true, 0);
        }
        Arc::new(Upstream { settings: upstream.clone(), state })
    });
    let upstreams = upstreams.collect();
    let waiting = known.map(|g| g.waiting.clone()).unwrap_or_default();
    Arc::new(Group { settings, upstreams, waiting })
}

fn networks(
    list: &[String],
    verdict: Verdict,
    say: &mut dyn FnMut(String),
) -> Vec<(Network, Verdict)> {
    let mut all = Vec::with_capacity(list.len());
    for text in list {
        match text.parse() {
            Ok(network) => all.push((network, verdict)),
            Err(why) => say(why),
        }
    }
    all
}

/// Largest file of networks.
const LARGEST_LIST: u64 = 16 << 20;

fn policy(settings: config::Policy, before: &Plan, wrong: &mut Vec<String>) -> Arc<Policy> {
    let mut say = |what: String| wrong.push(format!("policy \"{}\": {what}", settings.name));
    let mut all = networks(&settings.allow, Verdict::Allow, &mut say);
    all.extend(networks(&settings.deny, Verdict::Deny, &mut say));
    let files = [(&settings.allow_file, Verdict::Allow), (&settings.deny_file, Verdict::Deny)];
    for (path, verdict) in files {
        let Some(path) = path else { continue };
        let small = std::fs::metadata(path).map(|m| m.len() <= LARGEST_LIST);
        match small.and_then(
            |small| if small { std::fs::read_to_string(path).map(Some) } else { Ok(None) },
        ) {
            Ok(Some(text)) => {
                let lines =
                    text.lines().map(|l| l.split('#').next().unwrap_or("").trim().to_owned());
                let lines: Vec<String> = lines.filter(|l| !l.is_empty()).collect();
                all.extend(networks(&lines, verdict, &mut |why| {
                    say(format!("{}: {why}", path.display()));
                }));
            }
            Ok(None) => say(format!("{} is larger than 16 MiB", path.display())),
            Err(e) => say(format!("reading {}: {e}", path.display())),
        }
    }
    if settings.ban_after > 0 && settings.ban_for.is_zero() {
        say("ban_for must be more than 0".into());
    }
    let same = before.policies.iter().find(|p| p.settings.name == settings.name);
    let known: Arc<Known> = same.map(|p| p.known.clone()).unwrap_or_default();
    Arc::new(Policy { networks: Networks::new(all), settings, known })
}

fn listener(
    settings: config::Listener,
    groups: &BTreeMap<String, Arc<Group>>,
    policies: &BTreeMap<String, Arc<Policy>>,
    before: &Plan,
    wrong: &mut Vec<String>,
) -> Arc<Listener> {
    let mut say = |what: String| wrong.push(format!("listener \"{}\": {what}", settings.name));
    let mut find = |name: &String| {
        let found = groups.get(name).cloned();
        if found.is_none() {
            say(format!("there is no group \"{name}\""));
        }
        found
    };
    let group = settings.group.as_ref().and_then(&mut find);
    let sni = settings
        .sni
        .iter()
        .filter_map(|(name, group)| Some((name.to_ascii_lowercase(), find(group)?)));
    let sni: HashMap<String, Arc<Group>> = sni.collect();
    let policy = settings.policy.as_ref().and_then(|name| policies.get(name).cloned());
    if let (Some(name), None) = (&settings.policy, &policy) {
        say(format!("there is no policy \"{name}\""));
    }
    let own = |g: &Arc<Group>| g.upstreams.iter().any(|u| u.settings.address == settings.address);
    if settings.address.port() != 0 && group.iter().chain(sni.values()).any(own) {
        say("an upstream of its group is the listener itself: each connection would make another"
            .into());
    }
    let front = matches!(settings.mode, Mode::Socks5 | Mode::HttpProxy);
    match settings.mode {
        Mode::Forward if settings.group.is_none() => say("a group is needed".into()),
        Mode::Sni if settings.sni.is_empty() => say("mode \"sni\" needs names under sni".into()),
        Mode::Socks5 | Mode::HttpProxy if settings.group.is_some() => {
            say("a forward front end goes where its clients say: a group is of no use".into());
        }
        _ => {}
    }
    if settings.mode != Mode::Sni && !settings.sni.is_empty() {
        say("sni is of use with mode \"sni\" only".into());
    }
    if front && settings.targets.is_empty() {
        say("targets says which networks clients may reach; [\"0.0.0.0/0\", \"::/0\"] is all of them".into());
    }
    if settings.udp && settings.mode != Mode::Socks5 {
        say("udp is of use with mode \"socks5\" only; transport says what a listener is of".into());
    }
    let led = !settings.targets.is_empty() || !settings.users.is_empty();
    if !front && led {
        say("targets and users are for forward front ends".into());
    }
    if settings
        .users
        .iter()
        .any(|(u, p)| u.is_empty() || u.len() > 255 || p.is_empty() || p.len() > 255)
    {
        say("a user and its password are 1 to 255 bytes".into());
    }
    let udp = settings.transport == Transport::Udp;
    if udp && (settings.mode != Mode::Forward || settings.accept_proxy) {
        say("with transport \"udp\" only mode \"forward\" goes, without accept_proxy".into());
    }
    if settings.backlog == 0 || settings.preface_timeout.is_zero() || settings.idle() == 0 {
        say("backlog, preface_timeout and idle_timeout must be more than 0".into());
    }
    let targets = Targets::read(&settings.targets, &mut say);
    let place = (settings.address, settings.transport);
    let known = before.listeners.iter().chain(&before.left);
    let same = known.into_iter().find(|l| l.place() == place && l.settings.name == settings.name);
    let counters = same.map(|l| l.counters.clone()).unwrap_or_default();
    Arc::new(Listener { settings, group, sni, policy, targets, counters })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_configuration_is_refused_with_every_error_named() {
        let text = "[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\ngroup = \"none\"\npolicy = \"none\"\n\
            [[listener]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\nmode = \"socks5\"\n\
            [[group]]\nname = \"empty\"\n[[group]]\nname = \"zero\"\nupstream = [{ address = \"1.1.1.1:0\" }]\n\
            [[policy]]\nname = \"p\"\ndeny = [\"x\"]\ndeny_file = \"/nowhere\"";
        let wrong = read(text, &Plan::default()).unwrap_err().join("\n");
        for said in [
            "no group \"none\"",
            "no policy \"none\"",
            "\"a\" is there twice",
            "listens on 127.0.0.1:1 already",
            "targets says which",
            "no upstream",
            "has no port",
            "\"x\" is no network",
            "reading /nowhere",
        ] {
            assert!(wrong.contains(said), "{said} not in {wrong}");
        }
        let loops = "[[listener]]\nname = \"a\"\naddress = \"127.0.0.1:81\"\ngroup = \"g\"\n[[group]]\nname = \"g\"\nupstream = [{ address = \"127.0.0.1:81\" }]";
        let wrong = read(loops, &Plan::default()).unwrap_err().join("\n");
        assert!(wrong.contains("is the listener itself"), "{wrong}");
        let unknown = read("[[listener]]\nname = \"a\"\nadress = \"x\"", &Plan::default())
            .unwrap_err()
            .join("\n");
        assert!(unknown.contains("adress") && unknown.contains('3'), "{unknown}");
    }

    #[test]
    fn what_is_known_outlives_a_change() {
        let text = "[[group]]\nname = \"g\"\nupstream = [{ address = \"1.1.1.1:1\" }]\n[[policy]]\nname = \"p\"";
        let first = read(text, &Plan::default()).unwrap();
        let second = read(&text.replace("}]", ", weight = 3 }]"), &first).unwrap();
        assert!(Arc::ptr_eq(
            &first.groups[0].upstreams[0].state,
            &second.groups[0].upstreams[0].state
        ));
        assert!(Arc::ptr_eq(&first.policies[0].known, &second.policies[0].known));
        assert_eq!(second.groups[0].upstreams[0].weight(), 3);
    }
}
