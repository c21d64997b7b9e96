//! Alerts: from pending to told to over.

use crate::world::{Fleet, NOON, Trial, change, key, policy, rule, rules, said};
use cmdr_rules::alerts::{Hours, Level, Machine, Matcher, Now, Policy, Said, State};
use cmdr_rules::{Severity, Span, Verdict};
use std::sync::Arc;

use Verdict::{Between, Clear, Gone, True, Unknown};

/// `busy` has to hold for 60 s and to be clear for 30 s. What is said, and for how long; what it is then.
#[test]
fn an_alert_goes_from_state_to_state_by_the_table() {
    const NONE: Option<State> = None;
    const PENDING: Option<State> = Some(State::Pending);
    const FIRING: Option<State> = Some(State::Firing);
    const RESOLVED: Option<State> = Some(State::Resolved);
    type Row = (&'static str, &'static [(Verdict, u64)], Option<State>);
    let table: &[Row] = &[
        ("not yet", &[(True, 59)], PENDING),
        ("long enough", &[(True, 60)], FIRING),
        ("never true", &[(Clear, 60), (Unknown, 60), (Between, 60)], NONE),
        ("interrupted", &[(True, 59), (Clear, 1), (True, 59)], PENDING),
        ("interrupted between", &[(True, 59), (Between, 1), (True, 59)], PENDING),
        ("unknown is not counted", &[(True, 30), (Unknown, 60), (True, 29)], PENDING),
        ("nor forgotten", &[(True, 30), (Unknown, 60), (True, 30)], FIRING),
        ("unknown for long", &[(True, 30), (Unknown, 300)], NONE),
        ("unknown does not resolve", &[(True, 60), (Unknown, 1_000_000)], FIRING),
        ("not clear for long enough", &[(True, 60), (Clear, 29)], FIRING),
        ("clear for long enough", &[(True, 60), (Clear, 30)], RESOLVED),
        ("between is not clear", &[(True, 60), (Clear, 29), (Between, 9), (Clear, 29)], FIRING),
        ("unknown is not clear", &[(True, 60), (Clear, 20), (Unknown, 60), (Clear, 9)], FIRING),
        (
            "and does not count anew",
            &[(True, 60), (Clear, 20), (Unknown, 60), (Clear, 10)],
            RESOLVED,
        ),
        ("gone", &[(True, 60), (Gone, 0)], RESOLVED),
        ("gone before", &[(True, 30), (Gone, 0)], NONE),
        ("again", &[(True, 60), (Clear, 30), (True, 60)], FIRING),
        ("in the end forgotten", &[(True, 60), (Clear, 30 + 1800)], NONE),
    ];
    for (name, steps, expected) in table {
        let mut trial = Trial::new(vec![policy()]);
        for (verdict, seconds) in *steps {
            trial.say("a", "busy", *verdict);
            trial.wait(*seconds);
        }
        assert_eq!(trial.state("a", "busy"), *expected, "{name}");
    }
}

#[test]
fn what_somebody_else_saw_to_hold_counts_from_when_it_began_to() {
    let vouch = |trial: &mut Trial, held_s: u64| {
        let outcome = trial.machine.vouch(&key("a", "busy", ""), held_s * 1000, trial.now, &Fleet);
        trial.take(outcome)
    };
    // Before it is heard of here, and after; what is known better here counts.
    let mut before = Trial::new(vec![policy()]);
    assert_eq!(vouch(&mut before, 20), []);
    before.wait(10);
    before.say("a", "busy", True);
    assert_eq!(before.wait(29), []);
    assert_eq!(said(&before.wait(1)), [(0, Said::Fired, "a/busy".into())]);
    let mut after = Trial::new(vec![policy()]);
    after.say("a", "busy", True);
    after.wait(30);
    assert_eq!(vouch(&mut after, 20), []);
    assert_eq!(after.state("a", "busy"), Some(State::Pending));
    assert_eq!(vouch(&mut after, 70).len(), 1, "it has held for long enough");
    // What does not hold any more, and what was said long ago, counts for nothing.
    for (verdict, seconds) in [(Clear, 1), (Unknown, 601)] {
        let mut over = Trial::new(vec![policy()]);
        vouch(&mut over, 59);
        over.say("a", "busy", verdict);
        over.wait(seconds);
        over.say("a", "busy", True);
        assert_eq!(over.wait(59), [], "{verdict:?}");
    }
}

#[test]
fn what_fires_and_what_is_over_is_told_once() {
    let mut trial = Trial::new(vec![policy()]);
    trial.say("a", "busy", True);
    assert_eq!(trial.wait(59), []);
    let notices = trial.wait(1);
    assert_eq!(said(&notices), [(0, Said::Fired, "a/busy".into())]);
    let item = &notices[0].items[0];
    assert_eq!((item.message.as_str(), item.fired_ms), ("A", NOON + 60_000));
    assert_eq!((notices[0].to.clone(), item.alert.as_str()), (vec!["ops".to_owned()], "t-a1"));
    assert_eq!(trial.say("a", "busy", True), []);
    assert_eq!(trial.wait(100_000), []);
    trial.say("a", "busy", Clear);
    assert_eq!(said(&trial.wait(30)), [(0, Said::Resolved, "a/busy".into())]);
    assert_eq!(trial.wait(100_000), []);
}

#[test]
fn alerts_of_one_group_are_one_notice() {
    let grouped = Policy {
        group_by: vec!["rule".into()],
        group_wait: Span::seconds(30),
        group_interval: Span::minutes(5),
        ..policy()
    };
    let mut trial = Trial::new(vec![grouped]);
    for host in ["b", "a"] {
        assert_eq!(trial.say(host, "full", True), []);
        assert_eq!(trial.wait(10), []);
    }
    trial.say("a", "down", True);
    let both = [(0, Said::Fired, "b/full".into())];
    assert_eq!(said(&trial.wait(10)), both, "full of a is suppressed, down is another group");
    assert_eq!(said(&trial.wait(20)), [(0, Said::Fired, "a/down".into())]);
    trial.say("c", "full", True);
    trial.say("b", "full", Clear);
    assert_eq!(trial.wait(279), [], "not more often than each five minutes");
    let later = [(0, Said::Fired, "c/full".into()), (0, Said::Resolved, "b/full".into())];
    assert_eq!(said(&trial.wait(1)), later);
}

#[test]
fn nobody_who_acknowledges_is_asked_again() {
    let asking = Policy {
        repeat: Span::minutes(60),
        escalate: vec![Level { after: Span::minutes(15), to: vec!["boss".into()] }],
        ..policy()
    };
    let mut trial = Trial::new(vec![asking.clone()]);
    let full = || "a/full".to_owned();
    assert_eq!(said(&trial.say("a", "full", True)), [(0, Said::Fired, full())]);
    assert_eq!(trial.wait(899), []);
    let escalated = trial.wait(1);
    assert_eq!(said(&escalated), [(1, Said::Escalated, full())]);
    assert_eq!(escalated[0].to, ["boss"]);
    let repeated = [(0, Said::Repeated, full()), (1, Said::Repeated, full())];
    assert_eq!(said(&trial.wait(3600)), repeated);
    let of = key("a", "full", "");
    assert!(
        trial.machine.acknowledge(&key("a", "busy", ""), "eve", "", trial.now, &Fleet).is_err()
    );
    let outcome = trial.machine.acknowledge(&of, "eve", "a known leak", trial.now, &Fleet).unwrap();
    assert_eq!(outcome.happened[0].why, "eve: a known leak");
    assert_eq!(trial.take(outcome), []);
    assert_eq!(trial.state("a", "full"), Some(State::Acknowledged));
    assert_eq!(trial.wait(100_000), []);
    assert!(
        trial.machine.acknowledge(&of, "joe", "", trial.now, &Fleet).unwrap_err().contains("eve")
    );
    let outcome = trial.machine.unacknowledge(&of, "eve", trial.now, &Fleet).unwrap();
    assert_eq!(said(&trial.take(outcome)), repeated);
    let over = [(0, Said::Resolved, full()), (1, Said::Resolved, full())];
    assert_eq!(
        said(&trial.say("a", "full", Clear)),
        over,
        "whoever was told it fires hears it is over"
    );
    // Whoever acknowledges before the escalation keeps it from coming.
    let mut trial = Trial::new(vec![asking]);
    trial.say("a", "full", True);
    let outcome = trial.machine.acknowledge(&of, "eve", "", trial.now, &Fleet).unwrap();
    trial.take(outcome);
    assert_eq!(trial.wait(100_000), []);
    assert_eq!(said(&trial.say("a", "full", Clear)), [(0, Said::Resolved, full())]);
}

#[test]
fn a_silence_keeps_alerts_quiet_and_loses_none() {
    let mut trial = Trial::new(vec![policy()]);
    trial.say("a", "full", True);
    let matcher = Matcher::parse("rule=full,env=prod").unwrap();
    let (id, outcome) =
        trial.machine.silence(matcher, 600_000, "eve", "moving disks", trial.now, &Fleet).unwrap();
    assert_eq!(trial.take(outcome), []);
    assert_eq!(trial.state("a", "full"), Some(State::Silenced));
    assert_eq!(trial.say("b", "full", True), []);
    assert_eq!(trial.say("z", "full", True).len(), 1, "its host is no host of prod");
    assert_eq!(trial.say("a", "full", Clear), [], "its end is told later too");
    assert_eq!(trial.say("c", "full", True), []);
    assert_eq!(trial.say("c", "full", Clear), []);
    assert_eq!(trial.wait(599), []);
    let expected = [(0, Said::Fired, "b/full".into()), (0, Said::Resolved, "a/full".into())];
    assert_eq!(said(&trial.wait(1)), expected, "what came and went meanwhile is not told");
    assert_eq!(trial.machine.silences().count(), 0);
    assert!(trial.machine.unsilence(id, trial.now, &Fleet).is_err());
}

#[test]
fn a_host_that_is_down_speaks_for_all_that_is_behind_it() {
    let mut trial = Trial::new(vec![policy()]);
    assert_eq!(said(&trial.say("gate", "down", True)), [(0, Said::Fired, "gate/down".into())]);
    for host in ["gate", "child"] {
        assert_eq!(trial.say(host, "full", True), []);
        assert_eq!(trial.state(host, "full"), Some(State::Suppressed));
    }
    assert_eq!(trial.say("child", "down", True), [], "it cannot be reached through its parent");
    assert_eq!(trial.say("twin", "full", True).len(), 1, "it has another way");
    let over = said(&trial.say("gate", "down", Clear));
    let fired = |name: &str| (0, Said::Fired, name.to_owned());
    assert_eq!(
        over,
        [fired("child/down"), fired("gate/full"), (0, Said::Resolved, "gate/down".into())]
    );
    assert_eq!(said(&trial.say("child", "down", Clear)).len(), 2);
}

#[test]
fn what_flaps_is_told_once_until_it_settles() {
    let mut trial = Trial::new(vec![policy()]);
    let mut notices = Vec::new();
    for _ in 0..20 {
        notices.extend(trial.say("a", "full", True));
        notices.extend(trial.wait(60));
        notices.extend(trial.say("a", "full", Clear));
        notices.extend(trial.wait(60));
    }
    let words: Vec<Said> = said(&notices).into_iter().map(|(_, said, _)| said).collect();
    assert_eq!(
        words,
        [Said::Fired, Said::Resolved, Said::Fired, Said::Resolved, Said::Fired, Said::Flapping]
    );
    assert_eq!(trial.state("a", "full"), Some(State::Flapping));
    assert_eq!(said(&trial.wait(839)), []);
    assert_eq!(said(&trial.wait(1)), [(0, Said::Resolved, "a/full".into())]);
}

#[test]
fn what_was_over_a_moment_ago_is_not_told_again_at_once() {
    let mut trial = Trial::new(vec![Policy { cooldown: Span::minutes(10), ..policy() }]);
    trial.say("a", "full", True);
    trial.say("a", "full", Clear);
    assert_eq!(trial.say("a", "full", True), []);
    assert_eq!(trial.state("a", "full"), Some(State::Firing));
    assert_eq!(trial.wait(599), []);
    assert_eq!(said(&trial.wait(1)), [(0, Said::Fired, "a/full".into())]);
}

#[test]
fn quiet_hours_hold_back_what_can_wait() {
    let quiet =
        Hours { from: 20 * 60, to: 21 * 60, zone: "Asia/Shanghai".into(), ..Hours::default() };
    let mut trial = Trial::new(vec![Policy { quiet: vec![quiet], ..policy() }]);
    assert_eq!(trial.say("a", "full", True), [], "noon in UTC is eight in the evening there");
    assert_eq!(trial.say("b", "full", True), []);
    assert_eq!(trial.say("b", "full", Clear), []);
    assert_eq!(trial.say("c", "down", True).len(), 1, "what is critical cannot wait");
    assert_eq!(trial.wait(3599), []);
    assert_eq!(said(&trial.wait(1)), [(0, Said::Fired, "a/full".into())]);
}

#[test]
fn a_policy_counts_in_its_hours_and_ends_what_it_began() {
    let hours = Hours { from: 12 * 60, to: 13 * 60, ..Hours::default() };
    let noon = Policy { name: "noon".into(), hours: vec![hours], ..policy() };
    let noon = Policy { to: vec!["kitchen".into()], ..noon };
    let mut trial = Trial::new(vec![noon.clone(), policy()]);
    assert_eq!(trial.say("a", "full", True)[0].to, ["kitchen"]);
    assert_eq!(trial.wait(3600), []);
    assert_eq!(trial.say("b", "full", True)[0].to, ["ops"], "its hour is over");
    // Rules that are read anew change nothing of that.
    let outcome = trial.machine.set_rules(rules(), trial.now, &Fleet);
    assert_eq!(trial.take(outcome), []);
    assert_eq!(trial.say("a", "full", Clear)[0].to, ["kitchen"]);
    assert_eq!(trial.say("b", "full", Clear)[0].to, ["ops"]);
    // Where no other one matches nobody is told out of hours.
    let mut alone = Trial::new(vec![noon]);
    alone.wait(3600);
    let told = alone.say("a", "full", True);
    assert!(told.iter().all(|notice| notice.to.is_empty()), "{told:?}");
}

#[test]
fn the_first_policy_that_matches_counts() {
    let critical = Policy {
        name: "critical".into(),
        matcher: Matcher::parse("severity=critical").unwrap(),
        to: vec!["phone".into()],
        ..Policy::default()
    };
    let mut trial = Trial::new(vec![critical, policy()]);
    assert_eq!(trial.say("a", "down", True)[0].to, ["phone"]);
    assert_eq!(trial.say("b", "full", True)[0].to, ["ops"]);
    // Others later: what was told stays told.
    let outcome = trial.machine.set_policies(vec![policy()], trial.now, &Fleet);
    assert_eq!(trial.take(outcome), []);
    assert_eq!(trial.say("a", "down", Clear)[0].to, ["ops"]);
}

#[test]
fn a_rule_that_goes_ends_its_alerts() {
    let mut trial = Trial::new(vec![policy()]);
    trial.say("a", "full", True);
    trial.say("a", "busy", True);
    let outcome = trial.machine.set_rules(vec![Arc::new(rule("other", 0, 0))], trial.now, &Fleet);
    assert_eq!(said(&trial.take(outcome)), [(0, Said::Resolved, "a/full".into())]);
    assert_eq!(trial.wait(10_000), []);
    assert_eq!(trial.machine.alerts().count(), 0);
}

#[test]
fn a_jump_of_the_wall_clock_changes_nothing_but_what_is_shown() {
    for jump in [-86_400_000 * 365_i64, 86_400_000 * 365] {
        let mut trial = Trial::new(vec![Policy { repeat: Span::minutes(60), ..policy() }]);
        trial.say("a", "full", True);
        trial.say("a", "busy", True);
        let matcher = Matcher::parse("rule=down").unwrap();
        let (_, outcome) =
            trial.machine.silence(matcher, 600_000, "eve", "", trial.now, &Fleet).unwrap();
        trial.take(outcome);
        trial.now.wall_ms = trial.now.wall_ms.saturating_add_signed(jump);
        assert_eq!(trial.wait(59), [], "no repeat, and no hold time that is over");
        assert_eq!(said(&trial.wait(1)), [(0, Said::Fired, "a/busy".into())]);
        assert_eq!(trial.say("b", "down", True), [], "the silence lasts as long as it was to");
        assert_eq!(trial.wait(539), []);
        assert_eq!(said(&trial.wait(1)), [(0, Said::Fired, "b/down".into())]);
    }
}

#[test]
fn after_a_restart_it_goes_on_and_tells_nothing_twice() {
    let mut trial = Trial::new(vec![Policy { repeat: Span::minutes(60), ..policy() }]);
    trial.say("a", "full", True);
    trial.say("b", "busy", True);
    trial.wait(30);
    // Killed: only what was written is there, and half an hour later another process goes on.
    let policies = vec![Policy { repeat: Span::minutes(60), ..policy() }];
    trial.machine = Machine::resume("t", rules(), policies, trial.stored.clone());
    trial.now = Now { wall_ms: trial.now.wall_ms + 1_800_000 - 30_000, mono_ms: 7 };
    assert_eq!(trial.wait(0), []);
    trial.say("a", "full", True);
    trial.say("b", "busy", True);
    assert_eq!(trial.state("b", "busy"), Some(State::Pending), "nobody knows what was meanwhile");
    assert_eq!(said(&trial.wait(60)), [(0, Said::Fired, "b/busy".into())]);
    assert_eq!(trial.wait(1739), []);
    assert_eq!(said(&trial.wait(1)), [(0, Said::Repeated, "a/full".into())]);
    let mut ids: Vec<String> = trial.notices.iter().map(|n| n.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), trial.notices.len());
}

#[test]
fn what_nobody_knows_any_more_is_ended_by_hand() {
    let mut trial = Trial::new(vec![policy()]);
    trial.say("a", "full", True);
    trial.say("a", "full", Unknown);
    let of = key("a", "full", "");
    let outcome = trial.machine.dismiss(&of, "eve", "it was sold", trial.now, &Fleet).unwrap();
    assert_eq!(outcome.happened[0].why, "eve: it was sold");
    assert_eq!(said(&trial.take(outcome)), [(0, Said::Resolved, "a/full".into())]);
    assert!(trial.machine.dismiss(&of, "eve", "", trial.now, &Fleet).is_err());
}

#[test]
fn a_thousand_hosts_that_go_down_at_once_are_one_notice() {
    let grouped =
        Policy { group_by: vec!["rule".into()], group_wait: Span::seconds(30), ..policy() };
    let mut trial = Trial::new(vec![grouped]);
    let changes: Vec<_> = (0..1000)
        .flat_map(|n| {
            ["down", "full"].map(|rule| change(&key(&format!("h{n:04}"), rule, ""), True))
        })
        .collect();
    let outcome = trial.machine.step(&changes, trial.now, &Fleet);
    assert_eq!(trial.take(outcome), []);
    let notices = trial.wait(30);
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].items.len(), notices[0].more), (100, 900));
    assert!(notices[0].items.iter().all(|item| item.severity == Severity::Critical));
}

#[test]
fn policies_that_cannot_be_are_refused() {
    policy().check().unwrap();
    for bad in [
        Policy::default(),
        Policy { repeat: Span::seconds(1), ..policy() },
        Policy { quiet: vec![Hours { from: 1440, ..Hours::default() }], ..policy() },
        Policy { quiet: vec![Hours { days: vec![7], ..Hours::default() }], ..policy() },
        Policy { hours: vec![Hours { to: 1441, ..Hours::default() }], ..policy() },
        Policy {
            escalate: [5, 1].map(|m| Level { after: Span::minutes(m), to: vec![] }).to_vec(),
            ..policy()
        },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
}
