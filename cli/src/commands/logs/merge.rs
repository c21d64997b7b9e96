//! Brings the lines of several sources into the order of their times. A line is held until no other source
//! can have an earlier one: because it has a later one, has told that it has come to its end and a moment
//! went by, has ended, or has let us wait too long.

use cmdr_protocol::logs::{Item, Line};
use std::collections::VecDeque;
use tokio::sync::OwnedSemaphorePermit;

/// Lines that are written now may come so much later than one from elsewhere, in milliseconds.
const TOGETHER: u64 = 200;
/// A source that tells nothing is waited for so long.
const PATIENCE: u64 = 3000;

struct Held {
    key: u64,
    came: u64,
    line: Line,
    /// With the last line of an item: its host may send on.
    _permit: Option<OwnedSemaphorePermit>,
}

#[derive(Default)]
struct One {
    held: VecDeque<Held>,
    /// The time of its last line: lines of one source keep their order.
    last: u64,
    caught_up: bool,
    down: bool,
    ended: bool,
    /// It let others wait too long.
    late: bool,
}

/// The merger.
pub(super) struct Merge {
    all: Vec<One>,
    lagging: Vec<usize>,
}

impl Merge {
    pub(super) fn new(count: usize) -> Self {
        Self { all: (0..count).map(|_| One::default()).collect(), lagging: Vec::new() }
    }

    pub(super) fn put(
        &mut self,
        at: usize,
        item: Item,
        permit: impl Into<Option<OwnedSemaphorePermit>>,
        now: u64,
    ) {
        let one = &mut self.all[at];
        one.late = false;
        one.caught_up |= item.caught_up;
        let mut permit = permit.into();
        let count = item.lines.len();
        for (n, line) in item.lines.into_iter().enumerate() {
            one.last = line.at_ms.unwrap_or(one.last).max(one.last);
            let held = if n + 1 == count { permit.take() } else { None };
            one.held.push_back(Held { key: one.last, came: now, line, _permit: held });
        }
    }

    pub(super) fn set_down(&mut self, at: usize, down: bool) {
        self.all[at].down = down;
    }

    pub(super) fn end(&mut self, at: usize) {
        self.all[at].ended = true;
    }

    /// The source whose line is the earliest, and when that line came.
    fn first(&self) -> Option<(usize, u64)> {
        let heads = self.all.iter().enumerate();
        let heads =
            heads.filter_map(|(at, one)| Some((one.held.front()?.key, at, one.held.front()?.came)));
        heads.min().map(|(_, at, came)| (at, came))
    }

    /// Until when the first line waits for the others; whom it waits for.
    fn waits(&self, first: usize, came: u64) -> (u64, Vec<usize>) {
        let (mut until, mut whom) = (came, Vec::new());
        for (at, one) in self.all.iter().enumerate() {
            if at == first || one.ended || one.down || one.late || !one.held.is_empty() {
                continue;
            }
            if one.caught_up {
                until = until.max(came + TOGETHER);
            } else {
                until = until.max(came + PATIENCE);
                whom.push(at);
            }
        }
        (until, whom)
    }

    /// When there may be a line to take although nothing comes.
    pub(super) fn due(&self, now: u64) -> Option<u64> {
        let (at, came) = self.first()?;
        Some(self.waits(at, came).0.max(now))
    }

    /// The next line, when it is certain enough to be the next.
    pub(super) fn take(&mut self, now: u64) -> Option<(usize, Line)> {
        let (at, came) = self.first()?;
        let (until, whom) = self.waits(at, came);
        if now < until {
            return None;
        }
        for late in whom {
            self.all[late].late = true;
            self.lagging.push(late);
        }
        self.pop(at)
    }

    /// The next line, whatever may come.
    pub(super) fn take_any(&mut self) -> Option<(usize, Line)> {
        let (at, _) = self.first()?;
        self.pop(at)
    }

    fn pop(&mut self, at: usize) -> Option<(usize, Line)> {
        Some((at, self.all[at].held.pop_front()?.line))
    }

    /// Sources that are not waited for any more, once each time.
    pub(super) fn take_lagging(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.lagging)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(times: &[Option<u64>], caught_up: bool) -> Item {
        let line = |at_ms: &Option<u64>| Line { at_ms: *at_ms, ..Line::default() };
        Item { lines: times.iter().map(line).collect(), caught_up, ..Item::default() }
    }

    fn taken(merge: &mut Merge, now: u64) -> Vec<(usize, Option<u64>)> {
        std::iter::from_fn(|| merge.take(now)).map(|(at, line)| (at, line.at_ms)).collect()
    }

    #[test]
    fn lines_of_all_come_in_the_order_of_their_times() {
        let mut merge = Merge::new(2);
        merge.put(0, item(&[Some(10), Some(30)], true), None, 0);
        assert_eq!(taken(&mut merge, 0), []);
        merge.put(1, item(&[Some(20), None, Some(40)], true), None, 0);
        assert_eq!(taken(&mut merge, 0), [(0, Some(10)), (1, Some(20)), (1, None), (0, Some(30))]);
        // The other may still write an earlier one, but not for long.
        assert_eq!(merge.due(0), Some(TOGETHER));
        assert_eq!(taken(&mut merge, TOGETHER), [(1, Some(40))]);
    }

    #[test]
    fn a_source_that_tells_nothing_is_waited_for_a_while_and_then_named() {
        let mut merge = Merge::new(2);
        merge.put(0, item(&[Some(10)], true), None, 0);
        assert_eq!(taken(&mut merge, PATIENCE - 1), []);
        assert_eq!(taken(&mut merge, PATIENCE), [(0, Some(10))]);
        assert_eq!(merge.take_lagging(), [1]);
        merge.put(0, item(&[Some(20)], false), None, PATIENCE);
        assert_eq!(taken(&mut merge, PATIENCE), [(0, Some(20))]);
        assert_eq!(merge.take_lagging(), Vec::<usize>::new());
    }

    #[test]
    fn one_alone_and_those_that_are_down_or_have_ended_hold_nobody_up() {
        let mut merge = Merge::new(3);
        merge.set_down(1, true);
        merge.end(2);
        merge.put(0, item(&[Some(10)], false), None, 0);
        assert_eq!(taken(&mut merge, 0), [(0, Some(10))]);
    }

    #[test]
    fn lines_of_one_source_keep_their_order_also_when_their_times_do_not() {
        let mut merge = Merge::new(1);
        merge.put(0, item(&[Some(20), Some(10), Some(30)], true), None, 0);
        assert_eq!(taken(&mut merge, 0), [(0, Some(20)), (0, Some(10)), (0, Some(30))]);
    }
}
