//! What agents say, judged together.

use cmdr_probes::Quorum;
use cmdr_protocol::probes::{State, Terms, Verdict};
use proptest::prelude::*;

const EVERY: u64 = 10_000;

fn quorum(at_least: u32, quorum: u32, retries: u32) -> Quorum<u8> {
    Quorum::new(Terms { at_least, quorum, retries }, EVERY, 1000)
}

fn state(quorum: &mut Quorum<u8>, at: u64) -> State {
    quorum.judge(at).0.state
}

#[test]
fn it_is_down_only_when_a_quorum_says_so_after_its_retries() {
    let mut q = quorum(1, 2, 1);
    assert_eq!(state(&mut q, 0), State::Unknown);
    for by in 0..3 {
        q.told(by, Verdict::Up, 0);
    }
    assert_eq!(state(&mut q, 0), State::Up);
    q.told(0, Verdict::Down, EVERY);
    assert_eq!(state(&mut q, EVERY), State::Up, "it may be chance");
    q.told(0, Verdict::Down, 2 * EVERY);
    assert_eq!(state(&mut q, 2 * EVERY), State::Degraded, "one of two that have to say so");
    q.told(1, Verdict::Down, 2 * EVERY);
    q.told(1, Verdict::Down, 3 * EVERY);
    let (standing, changed) = q.judge(3 * EVERY);
    assert_eq!((standing.state, standing.since_ms, changed), (State::Down, 3 * EVERY, true));
    assert_eq!((standing.votes.against, standing.votes.needed), (2, 2));
    q.told(1, Verdict::Warning, 3 * EVERY);
    assert_eq!(state(&mut q, 3 * EVERY), State::Degraded);
    q.told(0, Verdict::Up, 3 * EVERY);
    q.told(1, Verdict::Up, 3 * EVERY);
    assert_eq!(state(&mut q, 3 * EVERY), State::Up);
}

#[test]
fn agents_that_are_away_do_not_count_and_too_few_say_nothing() {
    let mut q = quorum(2, 0, 0);
    for by in 0..3 {
        q.told(by, Verdict::Down, 0);
    }
    assert_eq!(state(&mut q, 0), State::Down);
    q.gone(&0);
    assert_eq!(state(&mut q, 0), State::Down, "both that are left say so");
    q.gone(&1);
    assert_eq!(state(&mut q, 0), State::Unknown, "one alone is too few");
    q.told(1, Verdict::Up, 0);
    assert_eq!(state(&mut q, 0), State::Degraded, "one of two is not more than half");
    // What nobody has looked at for a while is not known.
    assert_eq!(state(&mut q, 10 * EVERY), State::Unknown);
}

#[test]
fn a_look_that_says_nothing_changes_nothing() {
    let mut q = quorum(1, 0, 0);
    q.told(0, Verdict::Unknown, 0);
    assert_eq!(state(&mut q, 0), State::Unknown);
    q.told(0, Verdict::Up, 0);
    q.told(0, Verdict::Unknown, EVERY);
    assert_eq!(state(&mut q, EVERY), State::Up);
}

#[test]
fn what_goes_up_and_down_stays_down_until_it_has_been_calm() {
    let mut q = quorum(1, 0, 0);
    let mut now = 0;
    q.told(0, Verdict::Up, now);
    state(&mut q, now);
    let mut changes = 0;
    for round in 0..40 {
        now += EVERY;
        let verdict = if round % 2 == 0 { Verdict::Down } else { Verdict::Up };
        q.told(0, verdict, now);
        changes += u32::from(q.judge(now).1);
    }
    assert!(changes <= 8, "{changes} changes of 40 looks were told");
    assert!(q.judge(now).0.flapping);
    assert_eq!(state(&mut q, now), State::Down);
    for _ in 0..12 {
        now += EVERY;
        q.told(0, Verdict::Up, now);
        q.judge(now);
    }
    assert_eq!(state(&mut q, now), State::Up);
}

#[derive(Clone, Debug)]
enum Step {
    Told(u8, Verdict),
    Gone(u8),
    Later(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let verdict = prop_oneof![
        Just(Verdict::Up),
        Just(Verdict::Down),
        Just(Verdict::Warning),
        Just(Verdict::Unknown)
    ];
    let step = prop_oneof![
        6 => (0_u8..5, verdict).prop_map(|(by, verdict)| Step::Told(by, verdict)),
        1 => (0_u8..5).prop_map(Step::Gone),
        3 => (1_u64..20_000).prop_map(Step::Later),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn it_goes_down_only_by_a_quorum_of_those_that_answer(
        steps in steps(), at_least in 1_u32..4, needs in 0_u32..4, retries in 0_u32..3,
    ) {
        let mut q = quorum(at_least, needs, retries);
        let (mut now, mut before) = (0, State::Unknown);
        for step in steps {
            match step {
                Step::Told(by, verdict) => q.told(by, verdict, now),
                Step::Gone(by) => q.gone(&by),
                Step::Later(ms) => now += ms,
            }
            let (standing, changed) = q.judge(now);
            let votes = standing.votes;
            prop_assert_eq!(changed, standing.state != before);
            prop_assert!(votes.against + votes.failing <= votes.answering);
            prop_assert!(votes.answering <= 5);
            match standing.state {
                // It stays down beyond its quorum only while it goes up and down.
                State::Down => prop_assert!(
                    votes.against >= votes.needed && votes.against > 0
                        || before == State::Down && standing.flapping
                ),
                State::Up => prop_assert!(votes.against == 0 && votes.warning == 0),
                State::Degraded => prop_assert!(votes.answering >= at_least),
                State::Unknown => prop_assert!(votes.answering < at_least.max(1)),
            }
            if votes.answering >= at_least && votes.against >= votes.needed && votes.against > 0 {
                prop_assert_eq!(standing.state, State::Down);
            }
            // Asked again at once, nothing is new.
            prop_assert!(!q.judge(now).1);
            before = standing.state;
        }
    }

    #[test]
    fn it_comes_back_when_all_say_so_for_long_enough(steps in steps()) {
        let mut q = quorum(1, 0, 1);
        let mut now = 0;
        for step in steps {
            match step {
                Step::Told(by, verdict) => q.told(by, verdict, now),
                Step::Gone(by) => q.gone(&by),
                Step::Later(ms) => now += ms,
            }
            q.judge(now);
        }
        for _ in 0..12 {
            now += EVERY;
            (0..5).for_each(|by| q.told(by, Verdict::Up, now));
            q.judge(now);
        }
        prop_assert_eq!(q.judge(now).0.state, State::Up);
    }
}
