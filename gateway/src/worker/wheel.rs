//! When connections have to be looked after: a wheel of slots. An entry may be out of date (the
//! connection has gone, or moved on); whoever is told looks. At most half a minute ahead: what is due
//! later is looked at in between.

/// Milliseconds of a slot.
const STEP: u64 = 32;
const SLOTS: u64 = 1024;

#[derive(Debug)]
pub(super) struct Wheel {
    slots: Vec<Vec<u64>>,
    /// Slots before this one are done.
    next: u64,
    count: usize,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), next: 0, count: 0 }
    }

    /// Puts a token down for a time; tells the time that it got.
    pub(super) fn put(&mut self, token: u64, due: u64) -> u64 {
        let slot = (due / STEP + 1).clamp(self.next, self.next + SLOTS - 1);
        self.slots[(slot % SLOTS) as usize].push(token);
        self.count += 1;
        slot * STEP
    }

    /// Milliseconds until the next entry; none when there is none.
    pub(super) fn wait(&self, now: u64) -> Option<u64> {
        if self.count == 0 {
            return None;
        }
        let slot = (self.next..self.next + SLOTS)
            .find(|s| !self.slots[(s % SLOTS) as usize].is_empty())?;
        Some((slot * STEP).saturating_sub(now))
    }

    /// Takes what is due.
    pub(super) fn take(&mut self, now: u64, due: &mut Vec<u64>) {
        let last = now / STEP;
        if self.count == 0 {
            self.next = self.next.max(last + 1);
            return;
        }
        let end = last.min(self.next + SLOTS - 1);
        while self.next <= end {
            let slot = &mut self.slots[(self.next % SLOTS) as usize];
            self.count -= slot.len();
            due.append(slot);
            if slot.capacity() > 1024 {
                *slot = Vec::new();
            }
            self.next += 1;
        }
        self.next = self.next.max(last + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_when_they_are_due_and_not_before() {
        let mut wheel = Wheel::new();
        let mut due = Vec::new();
        assert_eq!(wheel.wait(0), None);
        let at = wheel.put(1, 100);
        assert!((100..100 + 2 * STEP).contains(&at));
        wheel.put(2, 1_000_000);
        wheel.take(99, &mut due);
        assert!(due.is_empty());
        assert!(wheel.wait(99).is_some_and(|wait| wait <= 2 * STEP));
        wheel.take(at, &mut due);
        assert_eq!(due, [1]);
        wheel.take(at + STEP * SLOTS, &mut due);
        assert_eq!(due, [1, 2]);
        wheel.take(5_000_000, &mut due);
        wheel.put(3, 10);
        wheel.take(5_000_000 + 2 * STEP, &mut due);
        assert_eq!(due, [1, 2, 3]);
    }
}
