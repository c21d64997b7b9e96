//! What hosts tell, brought to an [`Engine`]: figures by the table of them, states of units and containers. What a host
//! told of before and tells of no more has gone. The hub uses it for its fleet, an agent for its own host.

use crate::catalog::base;
use crate::engine::{Cell, Engine, Host};
use cmdr_protocol::display;
use cmdr_protocol::history::names;
use cmdr_protocol::states::States;
use std::collections::BTreeSet;

/// The longest name of a device or a unit that rules know, in bytes.
const INSTANCE: usize = 160;

/// The way from the table of figures into one engine.
#[derive(Debug)]
pub struct Teller {
    /// For each figure of the table its cell.
    cells: Vec<Option<Cell>>,
}

/// What a host has told of last.
#[derive(Debug, Default)]
pub struct Told {
    /// By figure.
    instances: Vec<(usize, String)>,
    units: BTreeSet<String>,
    containers: BTreeSet<String>,
}

impl Told {
    /// Nobody knows any more how things stand there.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

/// Figures of one moment: the place of each in [`names::ALL`], which of several, its value.
#[derive(Clone, Copy, Debug)]
pub struct Figures<'a> {
    /// By their names.
    pub figures: &'a [(usize, Box<str>, f64)],
    /// What is in every sample is among them: what of it is not, is not there any more.
    pub steady: bool,
    /// Likewise the heaviest programs and the containers.
    pub usages: bool,
}

impl Teller {
    /// The way into this engine.
    pub fn new(engine: &Engine) -> Self {
        Self { cells: names::ALL.iter().map(|metric| engine.metric(metric.name)).collect() }
    }

    /// Tells figures of a host as of `now`.
    pub fn figures(
        &self,
        engine: &mut Engine,
        host: Host,
        told: &mut Told,
        of: Figures<'_>,
        now: u64,
    ) {
        let mut instances = Vec::new();
        for (at, name, value) in of.figures {
            let (Some(metric), Some(Some(cell))) = (names::ALL.get(*at), self.cells.get(*at))
            else {
                continue;
            };
            let instance = instance(name);
            engine.tell(host, *cell, &instance, base(metric, *value), now);
            if !name.is_empty() {
                instances.push((*at, instance));
            }
        }
        // What a host tells of no more, while it tells of others, has gone: a file system, a device.
        let before = std::mem::take(&mut told.instances);
        let (due, silent): (Vec<_>, Vec<_>) = before.into_iter().partition(|(at, _)| {
            let usage = names::ALL.get(*at).is_some_and(names::Metric::is_usage);
            if usage { of.usages } else { of.steady }
        });
        let gone: Vec<_> = due.into_iter().filter(|was| !instances.contains(was)).collect();
        instances.extend(silent);
        for (at, instance) in gone {
            let Some(metric) = names::ALL.get(at) else { continue };
            let still = instances.iter().any(|(other, name)| {
                *name == instance && names::ALL.get(*other).is_some_and(|m| m.per == metric.per)
            });
            if !still {
                engine.remove_instance(host, metric.per, &instance);
            }
        }
        told.instances = instances;
    }

    /// Tells one figure by its name in the table; others are left out.
    pub fn figure(
        &self,
        engine: &mut Engine,
        host: Host,
        (name, of): (&str, &str),
        value: f64,
        now: u64,
    ) {
        let Some(at) = names::ALL.iter().position(|metric| metric.name == name) else { return };
        if let (Some(metric), Some(Some(cell))) = (names::ALL.get(at), self.cells.get(at)) {
            engine.tell(host, *cell, &instance(of), base(metric, value), now);
        }
    }

    /// Tells how things stand on a host.
    pub fn states(
        &self,
        engine: &mut Engine,
        host: Host,
        told: &mut Told,
        states: &States,
        now: u64,
    ) {
        state(engine, host, ("docker", ""), &states.docker, now);
        if let Some(units) = &states.units {
            let there: BTreeSet<String> = units.iter().map(|unit| unit.name.clone()).collect();
            for gone in told.units.difference(&there) {
                // It is as usual again, or it has gone; both end what was wrong with it.
                engine.remove_instance(host, "unit", &instance(gone));
            }
            for unit in units {
                state(engine, host, ("unit", &unit.name), &unit.state, now);
            }
            told.units = there;
        }
        if let Some(containers) = &states.containers {
            let there: BTreeSet<String> = containers.iter().map(|c| c.name.clone()).collect();
            for gone in told.containers.difference(&there) {
                engine.remove_instance(host, "container", &instance(gone));
            }
            for container in containers {
                let name = container.name.as_str();
                let restarts = f64::from(container.restarts);
                self.figure(engine, host, ("container.restarts", name), restarts, now);
                state(engine, host, ("container", name), &container.state, now);
                if !container.health.is_empty() {
                    state(engine, host, ("health", name), &container.health, now);
                }
            }
            told.containers = there;
        }
    }
}

/// Tells the state of something on a host, such as `unit`, `ssh.service`, `failed`; of what rules do not know, nothing.
pub fn state(engine: &mut Engine, host: Host, (thing, of): (&str, &str), state: &str, now: u64) {
    if let Some(cell) = engine.thing(thing) {
        engine.tell_state(host, cell, &instance(of), state, now);
    }
}

/// What a device or a unit is called in rules.
pub fn instance(of: &str) -> String {
    let end = of.floor_char_boundary(INSTANCE);
    display::clean(&of[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalog, Verdict, text};
    use cmdr_protocol::states::Unit;
    use std::sync::Arc;

    fn looking(rule: &str) -> (Engine, Teller, Host) {
        let mut engine = Engine::new(Catalog::standard());
        let teller = Teller::new(&engine);
        let host = engine.host("a", 0);
        let text = format!("rules:\n- name: r\n  when: '{rule}'\n");
        let (_, compiled) = text::read(&text, &Catalog::standard()).unwrap().remove(0);
        engine.put_rule("r", &Arc::new(compiled), &[host]);
        (engine, teller, host)
    }

    fn verdicts(engine: &mut Engine, now: u64) -> Vec<(String, Verdict)> {
        engine.cycle(now).into_iter().map(|change| (change.instance, change.verdict)).collect()
    }

    #[test]
    fn a_file_system_that_is_told_of_no_more_has_gone_unless_the_sample_had_no_room_for_it() {
        let (mut engine, teller, host) = looking("mount.used{*} > 1B");
        let at = names::ALL.iter().position(|m| m.name == "mount.used").unwrap();
        let mut told = Told::default();
        let both: Vec<(usize, Box<str>, f64)> =
            vec![(at, "/".into(), 10.0), (at, "/home".into(), 10.0)];
        let mut tell = |engine: &mut Engine, count: usize, steady: bool, now: u64| {
            let of = Figures { figures: &both[..count], steady, usages: false };
            teller.figures(engine, host, &mut told, of, now);
            verdicts(engine, now)
        };
        assert_eq!(tell(&mut engine, 2, true, 1000).len(), 2);
        assert_eq!(tell(&mut engine, 1, false, 2000), []);
        assert_eq!(tell(&mut engine, 1, true, 3000), [("/home".to_owned(), Verdict::Gone)]);
    }

    #[test]
    fn a_unit_that_is_as_usual_again_ends_what_was_wrong_with_it() {
        let (mut engine, teller, host) = looking("state(unit{*}) == failed");
        let mut told = Told::default();
        let unit = Unit { name: "a.service".into(), state: "failed".into() };
        for (units, verdict, now) in [(vec![unit], Verdict::True, 1), (vec![], Verdict::Gone, 2)] {
            let states = States { units: Some(units), ..States::default() };
            teller.states(&mut engine, host, &mut told, &states, now);
            assert_eq!(verdicts(&mut engine, now), [("a.service".to_owned(), verdict)]);
        }
    }
}
