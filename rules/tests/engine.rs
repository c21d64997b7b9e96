//! Rules over figures: what the engine says, and when.

use cmdr_rules::backtest::{self, Sample};
use cmdr_rules::{Catalog, Change, Compiled, Engine, Rule, Span, Verdict};
use std::sync::Arc;

fn engine(rules: &[(&str, &str, Option<&str>)], hosts: &[&str]) -> Engine {
    let catalog = Catalog::standard();
    let mut engine = Engine::new(catalog.clone());
    let hosts: Vec<_> = hosts.iter().map(|host| engine.host(host, 0)).collect();
    for (name, when, clear) in rules {
        let compiled = Arc::new(Compiled::new(when, *clear, &catalog).unwrap());
        engine.put_rule(name, &compiled, &hosts);
    }
    engine
}

fn told(changes: &[Change]) -> Vec<(String, Verdict)> {
    let name = |c: &Change| format!("{}/{}{}", c.rule, c.host, c.instance);
    changes.iter().map(|c| (name(c), c.verdict)).collect()
}

fn tell(engine: &mut Engine, host: &str, metric: &str, instance: &str, value: f64, at: u64) {
    let (host, cell) = (engine.host(host, at), engine.metric(metric).unwrap());
    engine.tell(host, cell, instance, value, at);
}

#[test]
fn only_what_changes_is_told_and_each_instance_for_itself() {
    let mut e = engine(&[("full", "mount.used{*} / mount.total{*} > 90%", None)], &["a", "b"]);
    for (host, mount, used) in [("a", "/", 50.0), ("a", "/home", 95.0), ("b", "/", 99.0)] {
        tell(&mut e, host, "mount.used", mount, used, 1000);
        tell(&mut e, host, "mount.total", mount, 100.0, 1000);
    }
    let changes = e.cycle(1000);
    assert_eq!(
        told(&changes),
        [("full/a/home".into(), Verdict::True), ("full/b/".into(), Verdict::True)]
    );
    let reading = changes[0].reading.as_ref().unwrap();
    assert_eq!((reading.shown.as_str(), reading.limit.as_str()), ("95 %", "90 %"));
    assert_eq!(told(&e.cycle(2000)), []);
    tell(&mut e, "a", "mount.used", "/home", 10.0, 3000);
    assert_eq!(told(&e.cycle(3000)), [("full/a/home".into(), Verdict::Clear)]);
}

#[test]
fn what_is_missing_is_unknown_and_neither_true_nor_clear() {
    let mut e = engine(&[("busy", "cpu.busy > 90%", None)], &["a"]);
    tell(&mut e, "a", "cpu.busy", "", 0.95, 1000);
    assert_eq!(told(&e.cycle(1000)), [("busy/a".into(), Verdict::True)]);
    assert_eq!(told(&e.cycle(151_000)), [], "a figure is good for 150 s");
    assert_eq!(told(&e.cycle(151_001)), [("busy/a".into(), Verdict::Unknown)]);
    tell(&mut e, "a", "cpu.busy", "", f64::NAN, 152_000);
    assert_eq!(told(&e.cycle(152_000)), []);
    tell(&mut e, "a", "cpu.busy", "", 0.1, 153_000);
    tell(&mut e, "a", "cpu.busy", "", 0.99, 152_999);
    assert_eq!(
        told(&e.cycle(153_000)),
        [("busy/a".into(), Verdict::Clear)],
        "older ones are left out"
    );
}

#[test]
fn between_the_two_conditions_of_a_hysteresis_is_neither() {
    let mut e = engine(&[("busy", "cpu.busy > 90%", Some("cpu.busy < 80%"))], &["a"]);
    for (at, value, verdict) in
        [(1, 0.95, Verdict::True), (2, 0.85, Verdict::Between), (3, 0.7, Verdict::Clear)]
    {
        tell(&mut e, "a", "cpu.busy", "", value, at * 1000);
        assert_eq!(told(&e.cycle(at * 1000)), [("busy/a".into(), verdict)]);
    }
}

#[test]
fn absence_is_known_where_figures_are_not() {
    let mut e = engine(&[("gone", "absent(cpu.busy, 2m)", None)], &["a", "b"]);
    tell(&mut e, "a", "cpu.busy", "", 0.5, 60_000);
    assert_eq!(told(&e.cycle(60_000)), []);
    assert_eq!(told(&e.cycle(120_000)), [("gone/b".into(), Verdict::True)], "it never told any");
    assert_eq!(told(&e.cycle(180_000)), [("gone/a".into(), Verdict::True)]);
    tell(&mut e, "a", "cpu.busy", "", 0.5, 181_000);
    assert_eq!(told(&e.cycle(181_000)), [("gone/a".into(), Verdict::Clear)]);
}

#[test]
fn states_hold_until_told_otherwise_and_are_lost_with_the_link() {
    let rules =
        [("failed", "state(unit{*}) == failed", None), ("off", "state(host) == offline", None)];
    let mut e = engine(&rules, &["a"]);
    let (host, unit, of_host) =
        (e.host("a", 0), e.thing("unit").unwrap(), e.thing("host").unwrap());
    e.tell_state(host, unit, "ssh.service", "failed", 1000);
    e.tell_state(host, of_host, "", "online", 1000);
    assert_eq!(told(&e.cycle(1000)), [("failed/assh.service".into(), Verdict::True)]);
    assert_eq!(told(&e.cycle(9_000_000)), []);
    e.silent(host);
    e.tell_state(host, of_host, "", "offline", 9_000_000);
    assert_eq!(
        told(&e.cycle(9_000_001)),
        [("failed/assh.service".into(), Verdict::Unknown), ("off/a".into(), Verdict::True)]
    );
    e.tell_state(host, unit, "ssh.service", "nonsense", 9_000_002);
    assert_eq!(told(&e.cycle(9_000_002)), []);
}

#[test]
fn one_instance_and_figures_of_the_host_stand_beside_each_other() {
    let when = "mount.free{/} < 1GB and cpu.busy > 50% and container.memory{*} > 1MB";
    let mut e = engine(&[("r", when, None)], &["a", "b"]);
    for host in ["a", "b"] {
        tell(&mut e, host, "mount.free", "/", if host == "a" { 1e6 } else { 1e12 }, 1000);
        tell(&mut e, host, "cpu.busy", "", 0.6, 1000);
        tell(&mut e, host, "container.memory", "shop", 2e6, 1000);
    }
    assert_eq!(told(&e.cycle(1000)), [("r/ashop".into(), Verdict::True)]);
    // A row that comes later finds the same.
    tell(&mut e, "a", "container.memory", "till", 3e6, 2000);
    assert_eq!(told(&e.cycle(2000)), [("r/atill".into(), Verdict::True)]);
}

#[test]
fn what_goes_is_told_as_gone_and_a_place_that_is_used_again_knows_nothing() {
    let mut e = engine(
        &[("c", "container.memory{*} > 1MB", None), ("busy", "cpu.busy > 1%", None)],
        &["a"],
    );
    let host = e.host("a", 0);
    tell(&mut e, "a", "container.memory", "old", 2e6, 1000);
    tell(&mut e, "a", "cpu.busy", "", 0.5, 1000);
    assert_eq!(e.cycle(1000).len(), 2);
    e.remove_instance(host, "container", "old");
    tell(&mut e, "a", "container.memory", "new", 1.0, 2000);
    assert_eq!(told(&e.cycle(2000)), [("c/aold".into(), Verdict::Gone)]);
    e.remove_host("a");
    assert_eq!(told(&e.cycle(3000)), [("busy/a".into(), Verdict::Gone)]);
    let other = e.host("z", 3000);
    assert_eq!(told(&e.cycle(4000)), []);
    tell(&mut e, "z", "cpu.busy", "", 0.5, 4000);
    assert_eq!(told(&e.cycle(4000)), [], "no rule is for it, {other:?}");
}

#[test]
fn rules_come_and_go_and_change_while_alerts_go_on() {
    let catalog = Catalog::standard();
    let mut e = engine(&[("r", "avg(cpu.busy, 1m) > 50%", None)], &["a"]);
    for s in 0..60 {
        tell(&mut e, "a", "cpu.busy", "", 0.9, s * 1000);
    }
    assert_eq!(told(&e.cycle(59_000)), [("r/a".into(), Verdict::True)]);
    let host = e.host("a", 0);
    let other = Arc::new(Compiled::new("avg(cpu.busy, 1m) > 95%", None, &catalog).unwrap());
    e.put_rule("r", &other, &[host]);
    assert_eq!(told(&e.cycle(60_000)), [("r/a".into(), Verdict::Clear)], "its window went on");
    e.put_rule("r", &other, &[]);
    assert_eq!(told(&e.cycle(61_000)), [("r/a".into(), Verdict::Gone)]);
    e.put_rule("r", &other, &[host]);
    e.remove_rule("r");
    assert_eq!(told(&e.cycle(62_000)), []);
}

#[test]
fn what_is_followed_is_told_although_it_was_never_true_here() {
    let mut e = engine(&[("c", "container.memory{*} > 1MB", None)], &["a"]);
    e.follow("c", "a", "shop");
    tell(&mut e, "a", "container.memory", "other", 1.0, 1000);
    assert_eq!(told(&e.cycle(1000)), []);
    tell(&mut e, "a", "container.memory", "shop", 1.0, 2000);
    assert_eq!(told(&e.cycle(2000)), [("c/ashop".into(), Verdict::Clear)]);
    assert_eq!(told(&e.all()), [("c/ashop".into(), Verdict::Clear)]);
    // Also what is known already when somebody begins to follow it, once.
    for expected in [vec![("c/aother".to_owned(), Verdict::Clear)], Vec::new()] {
        e.follow("c", "a", "other");
        assert_eq!(told(&e.cycle(3000)), expected);
    }
}

#[test]
fn a_host_with_endless_instances_is_not_endlessly_remembered() {
    let mut e = engine(&[("c", "container.memory{*} > 1MB", None)], &["a"]);
    for n in 0..5000 {
        tell(&mut e, "a", "container.memory", &format!("c{n}"), 2e6, 1000);
    }
    assert_eq!(e.cycle(1000).len(), 4096);
    assert_eq!(e.refused(), 904);
}

fn samples(hosts: &[&str], seconds: u64, busy: impl Fn(&str, u64) -> Option<f64>) -> Vec<Sample> {
    let at = |s: u64| hosts.iter().map(move |h| (*h, s));
    (0..seconds)
        .step_by(10)
        .flat_map(at)
        .filter_map(|(host, s)| {
            let values = vec![("cpu.busy".to_owned(), String::new(), busy(host, s)?)];
            Some(Sample {
                host: host.to_owned(),
                at_ms: 1_000_000 + s * 1000,
                values,
                states: vec![],
            })
        })
        .collect()
}

#[test]
fn a_rule_is_tried_on_what_was() {
    let rule = Rule {
        name: "busy".into(),
        when: "cpu.busy > 90%".into(),
        hold: Span::minutes(5),
        ..Rule::default()
    };
    // Ten minutes of every hour, and once only four.
    let busy = |_: &str, s: u64| {
        let (hour, minute) = (s / 3600, s / 60 % 60);
        Some(if minute < if hour == 2 { 4 } else { 10 } { 0.95 } else { 0.2 })
    };
    let report =
        backtest::run(&rule, &Catalog::standard(), samples(&["a"], 4 * 3600, busy)).unwrap();
    assert_eq!(report.times, 3, "{report:?}");
    let first = &report.fired[0];
    assert_eq!((first.from_ms, first.until_ms), (1_300_000, Some(1_600_000)));
    assert_eq!(report.firing_ms, 900_000);
    let hasty = Rule { hold: Span::default(), ..rule.clone() };
    let report =
        backtest::run(&hasty, &Catalog::standard(), samples(&["a"], 4 * 3600, busy)).unwrap();
    assert_eq!(report.times, 4);
}

#[test]
fn a_gap_in_what_was_is_no_time_in_which_the_condition_held() {
    let rule = Rule {
        name: "busy".into(),
        when: "cpu.busy > 90%".into(),
        hold: Span::minutes(10),
        ..Rule::default()
    };
    let gap = |_: &str, s: u64| (!(120..7200).contains(&s)).then_some(0.99);
    let report = backtest::run(&rule, &Catalog::standard(), samples(&["a"], 7400, gap)).unwrap();
    assert_eq!(report.times, 0, "{report:?}");
}
