//! Units as rows: what the manager lists, what has only a file, and the few figures that cost a
//! question each, which are asked of units that do something and kept while they do the same.

use crate::Config;
use crate::sifted::Sifted;
use crate::systemd::{self, Listed, Manager, Properties, figure};
use cmdr_protocol::CallError;
use cmdr_protocol::services::Unit;
use std::collections::HashMap;

/// The most units that are told of.
const MOST: usize = 5000;
/// Kinds that are shown when none are named.
const USUAL: [&str; 5] = ["service", "socket", "timer", "target", "path"];

/// What was asked about a unit, and in which state it was then.
struct Known {
    state: (String, String),
    pid: u32,
    memory: Option<u64>,
    since_s: u64,
}

/// Reads units again and again.
pub(super) struct Reader {
    kinds: Vec<String>,
    sifted: Sifted,
    /// At most so many; 0 for all.
    limit: usize,
    own: String,
    known: HashMap<String, Known>,
    reads: u32,
}

/// Figures of units that go on doing the same are asked for each so many reads.
const REFRESH: u32 = 4;

impl Reader {
    pub(super) fn new(config: &Config, kinds: Vec<String>) -> Self {
        let own = systemd::own_unit(&config.proc_root);
        let (sifted, limit) = (Sifted::default(), 0);
        Self { kinds, sifted, limit, own, known: HashMap::new(), reads: 0 }
    }

    /// Only those that fit these patterns, and so many; the others are not asked about.
    pub(super) fn sifted(self, sifted: Sifted, limit: usize) -> Self {
        Self { sifted, limit, ..self }
    }

    fn keeps(&self, unit: &Unit) -> bool {
        let Unit { name, active, sub, enabled, description, .. } = unit;
        self.sifted.keeps(&[name, active, sub, enabled, description])
    }

    fn wants(&self, name: &str) -> bool {
        let kind = name.rsplit('.').next().unwrap_or_default();
        if self.kinds.is_empty() {
            return USUAL.contains(&kind);
        }
        self.kinds.iter().any(|wanted| wanted == "*" || wanted == kind)
    }

    /// All units, by name, and how many were left out.
    pub(super) async fn read(&mut self, manager: &Manager) -> Result<(Vec<Unit>, u64), CallError> {
        let (listed, files) = (manager.units().await?, manager.files().await?);
        let paths: HashMap<String, String> =
            listed.iter().map(|unit| (unit.0.clone(), unit.6.as_str().to_owned())).collect();
        let (mut units, mut left_out) = units(listed, files, |name| self.wants(name), &self.own);
        units.retain(|unit| self.keeps(unit));
        if self.limit > 0 && units.len() > self.limit {
            left_out += (units.len() - self.limit) as u64;
            units.truncate(self.limit);
        }
        let all = self.reads.is_multiple_of(REFRESH);
        self.reads = self.reads.wrapping_add(1);
        for unit in &mut units {
            let state = (unit.active.clone(), unit.sub.clone());
            let does = unit.active != "inactive" && !unit.active.is_empty();
            let Some(path) = paths.get(&unit.name).filter(|_| does) else {
                self.known.remove(&unit.name);
                continue;
            };
            let fresh = self.known.get(&unit.name).is_some_and(|known| known.state == state);
            let counts = unit.name.ends_with(".service");
            if !fresh || all && counts && unit.active == "active" {
                let known = ask(manager, path, counts, state).await;
                self.known.insert(unit.name.clone(), known);
            }
            if let Some(known) = self.known.get(&unit.name) {
                (unit.pid, unit.memory, unit.since_s) = (known.pid, known.memory, known.since_s);
            }
        }
        self.known.retain(|name, _| paths.contains_key(name));
        Ok((units, left_out))
    }
}

/// A unit may be gone before it is asked about; then nothing is known of it.
async fn ask(manager: &Manager, path: &str, counts: bool, state: (String, String)) -> Known {
    let of_unit = manager.properties(path, "Unit").await.unwrap_or_default();
    let of_service = if counts {
        manager.properties(path, "Service").await.unwrap_or_default()
    } else {
        Properties::new()
    };
    Known {
        state,
        pid: figure(&of_service, "MainPID").and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
        memory: figure(&of_service, "MemoryCurrent"),
        since_s: figure(&of_unit, "StateChangeTimestamp").unwrap_or(0) / 1_000_000,
    }
}

/// One unit as it is now, with its figures.
pub(super) async fn one(
    config: &Config,
    manager: &Manager,
    name: &str,
) -> Result<(Unit, String), CallError> {
    let listed = manager.named(&[name]).await?;
    let path = listed.first().map(|unit| unit.6.as_str().to_owned()).unwrap_or_default();
    let enabled: String = manager.call("GetUnitFileState", &(name,)).await.unwrap_or_default();
    let own = systemd::own_unit(&config.proc_root);
    let file = vec![(name.to_owned(), enabled)];
    let (units, _) = units(listed, file, |_| true, &own);
    let unit = units.into_iter().find(|unit| unit.name == name);
    let Some(mut unit) = unit.filter(|unit| unit.load != "not-found" || unit.active != "inactive")
    else {
        return Err(CallError::not_found(format!("there is no unit {name} on this host")));
    };
    let known = ask(manager, &path, name.ends_with(".service"), Default::default()).await;
    (unit.pid, unit.memory, unit.since_s) = (known.pid, known.memory, known.since_s);
    Ok((unit, path))
}

/// What the manager listed and what it has files of, as rows by name.
fn units(
    listed: Vec<Listed>,
    files: Vec<(String, String)>,
    wants: impl Fn(&str) -> bool,
    own: &str,
) -> (Vec<Unit>, u64) {
    let enabled: HashMap<String, String> = files
        .into_iter()
        .filter_map(|(path, state)| Some((path.rsplit('/').next()?.to_owned(), state)))
        .collect();
    let mut units: HashMap<String, Unit> = HashMap::new();
    for (name, description, load, active, sub, ..) in listed {
        // What is only spoken of and is nowhere is of no use to anybody.
        if !wants(&name) || load == "not-found" && active == "inactive" {
            continue;
        }
        let state = enabled.get(&name).cloned().unwrap_or_default();
        let protected = protected(&name, own).to_owned();
        let unit = Unit {
            name: name.clone(),
            description,
            load,
            active,
            sub,
            enabled: state,
            protected,
            ..Unit::default()
        };
        units.insert(name, unit);
    }
    for (name, state) in enabled {
        // A template is no unit before it is given a name.
        if wants(&name) && !name.contains("@.") && !name.is_empty() {
            units.entry(name.clone()).or_insert_with(|| Unit {
                protected: protected(&name, own).to_owned(),
                load: if state == "masked" { "masked" } else { "" }.to_owned(),
                active: "inactive".into(),
                sub: "dead".into(),
                enabled: state,
                name,
                ..Unit::default()
            });
        }
    }
    let mut units: Vec<Unit> = units.into_values().collect();
    units.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let left_out = units.len().saturating_sub(MOST) as u64;
    units.truncate(MOST);
    (units, left_out)
}

/// What hangs on a unit, when stopping it may cut off those who ask.
fn protected(name: &str, own: &str) -> &'static str {
    if name == own || name == "cmdr-agentd.service" {
        return "agent";
    }
    let base = name.rsplit_once('.').map_or(name, |(base, _)| base);
    let base = base.split('@').next().unwrap_or(base);
    match base {
        "cmdr-hub" => "hub",
        "dbus" | "dbus-broker" => "bus",
        "ssh" | "sshd" => "ssh",
        "systemd-networkd" | "systemd-resolved" | "NetworkManager" | "networking" | "ifup"
        | "wpa_supplicant" | "dhcpcd" | "connman" | "network" | "network-online" => "network",
        "systemd-logind" => "login",
        "basic" | "sysinit" | "multi-user" | "graphical" | "default" | "init" | "system"
        | "sockets" | "local-fs" | "systemd-journald" | "systemd-udevd" => "system",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::OwnedObjectPath;

    fn listed(name: &str, load: &str, active: &str) -> Listed {
        let path = || OwnedObjectPath::try_from("/org/x").unwrap();
        let text = str::to_owned;
        (
            text(name),
            text("d"),
            text(load),
            text(active),
            text("s"),
            text(""),
            path(),
            0,
            text(""),
            path(),
        )
    }

    fn names(units: &[Unit]) -> Vec<&str> {
        units.iter().map(|unit| unit.name.as_str()).collect()
    }

    #[test]
    fn loaded_units_and_those_with_only_a_file_are_told_once_each() {
        let all = vec![
            listed("b.service", "loaded", "active"),
            listed("gone.service", "not-found", "inactive"),
            listed("lost.service", "not-found", "active"),
            listed("x.slice", "loaded", "active"),
        ];
        let files = [
            ("/etc/systemd/system/b.service", "enabled"),
            ("/lib/systemd/system/a.service", "disabled"),
            ("/lib/systemd/system/m.service", "masked"),
            ("/lib/systemd/system/getty@.service", "enabled"),
            ("", ""),
        ];
        let files = files.map(|(path, state)| (path.to_owned(), state.to_owned())).to_vec();
        let (units, left_out) = units(all, files, |name| name.ends_with(".service"), "");
        assert_eq!(names(&units), ["a.service", "b.service", "lost.service", "m.service"]);
        assert_eq!((units[0].active.as_str(), units[1].enabled.as_str()), ("inactive", "enabled"));
        assert_eq!((units[3].load.as_str(), left_out), ("masked", 0));
    }

    #[test]
    fn odd_answers_are_told_as_they_are_and_many_are_cut() {
        let odd = listed("\u{1b}[2J.service", "\u{202e}", "");
        let mut all = vec![odd];
        all.extend((0..6000).map(|n| listed(&format!("u{n}.service"), "loaded", "active")));
        let (units, left_out) = units(all, Vec::new(), |_| true, "");
        assert_eq!((units.len(), left_out), (MOST, 1001));
        assert_eq!(units[0].name, "\u{1b}[2J.service");
    }

    #[test]
    fn what_others_hang_on_is_told() {
        for (name, why) in [
            ("agent-here.service", "agent"),
            ("cmdr-agentd.service", "agent"),
            ("dbus.socket", "bus"),
            ("ssh@1.service", "ssh"),
            ("NetworkManager.service", "network"),
            ("nginx.service", ""),
        ] {
            assert_eq!(protected(name, "agent-here.service"), why, "{name}");
        }
    }
}
