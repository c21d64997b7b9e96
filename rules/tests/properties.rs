//! What holds whatever comes.

use crate::world::{Fleet, NOON, Trial, change, key, policy, rules};
use cmdr_rules::alerts::{
    Happening, Key, Level, Machine, Matcher, Notice, Now, Policy, Said, State,
};
use cmdr_rules::{Catalog, Compiled, Span, Verdict, text};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
enum Deed {
    Say(usize, usize, Verdict),
    Wait(u64),
    Ack(usize, usize),
    Silence(&'static str, u64),
    Jump(i64),
}

const HOSTS: [&str; 4] = ["gate", "child", "twin", "zed"];
const RULES: [&str; 3] = ["busy", "full", "down"];

fn verdict() -> impl Strategy<Value = Verdict> {
    use Verdict::{Between, Clear, Gone, True, Unknown};
    prop_oneof![
        4 => Just(True), 3 => Just(Clear), 2 => Just(Unknown), 1 => Just(Between), 1 => Just(Gone)
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => (0..4_usize, 0..3_usize, verdict()).prop_map(|(h, r, v)| Deed::Say(h, r, v)),
        4 => (0..120_u64).prop_map(Deed::Wait),
        1 => (200..4000_u64).prop_map(Deed::Wait),
        1 => (0..4_usize, 0..3_usize).prop_map(|(h, r)| Deed::Ack(h, r)),
        1 => (prop_oneof![Just("rule=full"), Just("host=Z*"), Just("")], 1..2000_u64)
            .prop_map(|(text, s)| Deed::Silence(text, s)),
        1 => (-10_000_000..10_000_000_i64).prop_map(Deed::Jump),
    ]
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let level = || Level { after: Span::minutes(10), to: vec!["boss".to_owned()] };
    (0..60_u64, 0..300_u64, 0..300_u64, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        move |(wait, interval, cooldown, repeat, escalate, rule)| {
            vec![Policy {
                group_by: vec![if rule { "rule" } else { "host" }.to_owned()],
                group_wait: Span::seconds(wait),
                group_interval: Span::seconds(interval),
                cooldown: Span::seconds(cooldown),
                repeat: if repeat { Span::minutes(30) } else { Span::default() },
                escalate: if escalate { vec![level()] } else { vec![] },
                ..policy()
            }]
        },
    )
}

/// A machine with all that it ever said.
struct Run {
    trial: Trial,
    happened: Vec<Happening>,
    policies: Vec<Policy>,
    said: BTreeMap<(usize, usize), Verdict>,
}

impl Run {
    fn new(policies: Vec<Policy>) -> Self {
        let trial = Trial::new(policies.clone());
        Self { trial, happened: Vec::new(), policies, said: BTreeMap::new() }
    }

    fn take(&mut self, outcome: cmdr_rules::alerts::Outcome) {
        self.happened.extend(outcome.happened.clone());
        self.trial.take(outcome);
    }

    fn deed(&mut self, deed: &Deed) {
        match deed {
            Deed::Say(h, r, v) => {
                self.said.insert((*h, *r), *v);
                let change = change(&key(HOSTS[*h], RULES[*r], ""), *v);
                let outcome = self.trial.machine.step(&[change], self.trial.now, &Fleet);
                self.take(outcome);
            }
            // Second by second, so that it does not matter when the machine asks to be woken.
            Deed::Wait(seconds) => {
                for _ in 0..*seconds {
                    self.trial.now.mono_ms += 1000;
                    self.trial.now.wall_ms += 1000;
                    let outcome = self.trial.machine.step(&[], self.trial.now, &Fleet);
                    self.take(outcome);
                }
            }
            Deed::Ack(h, r) => {
                let key = key(HOSTS[*h], RULES[*r], "");
                let machine = &mut self.trial.machine;
                if let Ok(outcome) = machine.acknowledge(&key, "eve", "", self.trial.now, &Fleet) {
                    self.take(outcome);
                }
            }
            Deed::Silence(text, seconds) => {
                let matcher = Matcher::parse(text).unwrap();
                let machine = &mut self.trial.machine;
                let made =
                    machine.silence(matcher, seconds * 1000, "eve", "", self.trial.now, &Fleet);
                self.take(made.unwrap().1);
            }
            Deed::Jump(ms) => {
                self.trial.now.wall_ms = self.trial.now.wall_ms.saturating_add_signed(*ms);
            }
        }
    }

    /// Another process goes on from what was written, and rules say again what they said.
    fn restart(&mut self, snapshot: bool) {
        let stored =
            if snapshot { self.trial.machine.snapshot() } else { self.trial.stored.clone() };
        // As it is stored and read back.
        let stored = serde_json::from_str(&serde_json::to_string(&stored).unwrap()).unwrap();
        self.trial.machine =
            Machine::resume("t", rules(), self.policies.clone(), Vec::from_iter::<Vec<_>>(stored));
        self.trial.now.mono_ms = 77;
        let said: Vec<_> = self
            .said
            .iter()
            .map(|((h, r), v)| change(&key(HOSTS[*h], RULES[*r], ""), *v))
            .filter(|c| {
                let key = key(&c.host, &c.rule, "");
                self.trial.machine.alert(&key).is_some_and(|a| a.state() != State::Resolved)
            })
            .collect();
        let outcome = self.trial.machine.step(&said, self.trial.now, &Fleet);
        self.take(outcome);
    }
}

type Told = (String, usize, Vec<(Said, String)>);

fn told(notices: &[Notice]) -> Vec<Told> {
    let items = |n: &Notice| n.items.iter().map(|i| (i.said, i.alert.clone())).collect();
    notices.iter().map(|n| (n.id.clone(), n.level, items(n))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_notice_has_the_id_of_another_and_none_tells_of_an_end_without_a_beginning(
        deeds in vec(deed(), 1..60), policies in policies(),
    ) {
        let mut run = Run::new(policies);
        for deed in &deeds {
            run.deed(deed);
        }
        let mut ids = BTreeSet::new();
        // What was said last of each alert to those of each level.
        let mut last: BTreeMap<(Key, usize), Said> = BTreeMap::new();
        for notice in &run.trial.notices {
            prop_assert!(ids.insert(&notice.id), "{} twice", notice.id);
            prop_assert!(!notice.items.is_empty());
            for item in &notice.items {
                let before = last.insert((item.key.clone(), notice.level), item.said);
                let over = matches!(before, None | Some(Said::Resolved));
                let right = match item.said {
                    Said::Fired => notice.level == 0 && over || before == Some(Said::Flapping),
                    Said::Escalated => notice.level > 0 && over,
                    Said::Repeated => !over && before != Some(Said::Flapping),
                    Said::Flapping => before != Some(Said::Flapping),
                    Said::Resolved => !over,
                };
                prop_assert!(right, "{:?} after {before:?} on level {}", item.said, notice.level);
            }
        }
    }

    #[test]
    fn nothing_fires_before_its_time_and_nothing_unknown_ends(
        deeds in vec(deed(), 1..80), policies in policies(),
    ) {
        let mut run = Run::new(policies);
        // Seconds for which `busy` of each host has been true, without those in which it was unknown.
        let mut held: BTreeMap<usize, u64> = BTreeMap::new();
        for deed in &deeds {
            let before = run.happened.len();
            if let Deed::Wait(seconds) = deed {
                for ((h, _), _) in run.said.iter().filter(|((_, r), v)| *r == 0 && **v == Verdict::True) {
                    *held.entry(*h).or_default() += seconds;
                }
            }
            run.deed(deed);
            for happening in &run.happened[before..] {
                let host = HOSTS.iter().position(|h| *h == happening.key.host).unwrap();
                let rule = RULES.iter().position(|r| *r == happening.key.rule).unwrap();
                let last = run.said.get(&(host, rule)).copied();
                if happening.state == State::Resolved && happening.why.is_empty() {
                    prop_assert!(last != Some(Verdict::Unknown), "{happening:?}");
                }
                // That a silence ends is told as well; what fired just then is meant here.
                let fired = run.trial.machine.alert(&happening.key).and_then(|a| a.fired_ms);
                if happening.state == State::Firing && rule == 0 && fired == Some(happening.at_ms) {
                    prop_assert!(held.get(&host).copied().unwrap_or_default() >= 60, "{happening:?} {held:?}");
                }
            }
            for ((h, r), v) in &run.said {
                if *r == 0 && !matches!(v, Verdict::True | Verdict::Unknown) {
                    held.insert(*h, 0);
                }
            }
        }
    }

    #[test]
    fn a_restart_at_any_point_changes_nothing_that_is_told(
        deeds in vec(deed(), 2..50), at in any::<prop::sample::Index>(), policies in policies(),
    ) {
        let (mut straight, mut broken) = (Run::new(policies.clone()), Run::new(policies));
        let at = at.index(deeds.len());
        for (n, deed) in deeds.iter().enumerate() {
            if matches!(deed, Deed::Jump(_)) {
                continue; // the wall clock alone tells how long nobody looked
            }
            straight.deed(deed);
            broken.deed(deed);
            if n == at {
                broken.restart(true);
            }
        }
        prop_assert_eq!(told(&straight.trial.notices), told(&broken.trial.notices));
    }

    #[test]
    fn a_kill_at_any_point_tells_nothing_twice_and_forgets_nothing(
        deeds in vec(deed(), 2..50), at in any::<prop::sample::Index>(), policies in policies(),
    ) {
        let mut run = Run::new(policies);
        let at = at.index(deeds.len());
        for (n, deed) in deeds.iter().enumerate() {
            if n == at {
                run.restart(false);
            }
            run.deed(deed);
        }
        let ids: BTreeSet<&String> = run.trial.notices.iter().map(|n| &n.id).collect();
        prop_assert_eq!(ids.len(), run.trial.notices.len());
        let stored = Machine::resume("t", rules(), run.policies.clone(), run.trial.stored.clone());
        let keys = |m: &Machine| m.alerts().map(|a| (a.key.clone(), a.phase, a.ack.clone())).collect::<Vec<_>>();
        prop_assert_eq!(keys(&stored), keys(&run.trial.machine));
    }

    #[test]
    fn after_all_silences_everything_that_fires_was_told(
        deeds in vec(deed(), 1..60), policies in policies(),
    ) {
        let mut run = Run::new(policies);
        for deed in &deeds {
            run.deed(deed);
        }
        for host in HOSTS {
            let outcome = run.trial.machine.step(&[change(&key(host, "down", ""), Verdict::Clear)], run.trial.now, &Fleet);
            run.take(outcome);
        }
        run.deed(&Deed::Wait(4000));
        let mut firing = BTreeMap::new();
        for item in run.trial.notices.iter().filter(|n| n.level == 0).flat_map(|n| &n.items) {
            firing.insert(item.key.clone(), item.said != Said::Resolved);
        }
        for alert in run.trial.machine.alerts().filter(|a| a.ack.is_none()) {
            let told = firing.get(&alert.key).copied().unwrap_or_default();
            match alert.state() {
                State::Firing => prop_assert!(told, "{alert:?} was not told"),
                State::Resolved => prop_assert!(!told, "{alert:?}: its end was not told"),
                State::Pending => {}
                other => prop_assert!(false, "{other:?} after all that"),
            }
        }
    }

    #[test]
    fn the_same_inputs_always_give_the_same_outputs(deeds in vec(deed(), 1..40), policies in policies()) {
        let (mut a, mut b) = (Run::new(policies.clone()), Run::new(policies));
        for deed in &deeds {
            a.deed(deed);
            b.deed(deed);
        }
        prop_assert_eq!(&a.trial.stored, &b.trial.stored);
        prop_assert_eq!(&a.trial.notices, &b.trial.notices);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_of_expressions_panic(when in ".{0,300}") {
        drop(Compiled::new(&when, Some(&when), &Catalog::standard()));
    }

    #[test]
    fn nor_does_one_made_of_its_own_words(words in vec(prop_oneof![
        Just("cpu.busy"), Just("mount.free{*}"), Just("("), Just(")"), Just("avg("), Just("state("), Just("host"),
        Just("=="), Just(">"), Just("-"), Just("/"), Just("5m"), Just("90%"), Just("1/s"), Just(","), Just("not"),
        Just("and"), Just("or"), Just("offline"), Just("0"), Just("{"), Just("}"), Just("\""), Just("°"), Just("forecast("),
    ], 0..60)) {
        let when = words.join(" ");
        if let Err((_, wrong)) = Compiled::new(&when, None, &Catalog::standard()) {
            prop_assert!(wrong.at <= when.chars().count());
            prop_assert!(wrong.what.chars().count() < 500);
        }
    }

    #[test]
    fn no_text_makes_the_reader_of_rules_panic(text in "(rules:|  - name: a|    when: |    for: |cpu.busy > 1%|\n|[ -~]|[^a]){0,40}") {
        drop(text::read(&text, &Catalog::standard()));
    }
}

#[test]
fn a_clock_that_goes_backwards_is_no_panic() {
    let mut trial = Trial::new(vec![policy()]);
    trial.say("a", "busy", Verdict::True);
    for now in [(0, 0), (NOON, u64::MAX), (u64::MAX, 0)] {
        let (wall_ms, mono_ms) = now;
        drop(trial.machine.step(&[], Now { wall_ms, mono_ms }, &Fleet));
    }
}
