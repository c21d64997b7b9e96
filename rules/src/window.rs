//! Windows over the samples of a metric, one for all rules that look at the same metric in the same way. A window is a
//! ring of 30 sums for each row, so that its memory does not depend on how many samples come, and a new sample is one
//! addition. It slides by a thirtieth of its length.

use crate::check::Over;
use crate::columns::Cells;
use crate::unit::Span;

/// Parts of a window.
const PARTS: usize = 30;
/// Samples that a forecast goes by at least.
const POINTS: f64 = 8.0;

/// Windows of all rows of a column.
#[derive(Debug)]
pub(crate) struct Window {
    pub metric: usize,
    pub over: Over,
    pub span: Span,
    /// What it comes to for each row.
    pub cells: Cells,
    /// Milliseconds of one part.
    width: u64,
    /// How long the newest sample is good for.
    lasts: u64,
    /// Numbers that one part consists of.
    stride: usize,
    parts: Vec<f64>,
    rows: Vec<State>,
    touched: Vec<u32>,
    /// The part that the last cycle was in.
    rolled: u64,
}

/// What is known of one row.
#[derive(Clone, Copy, Debug)]
struct State {
    /// Number of the newest part: time by width.
    part: u64,
    first_at: u64,
    last_at: u64,
    last: f64,
    /// Of all parts together; what it means depends on what is done.
    sums: [f64; 2],
}

impl State {
    const EMPTY: Self = Self { part: 0, first_at: 0, last_at: 0, last: f64::NAN, sums: [0.0, 0.0] };

    fn empty(&self) -> bool {
        self.last.is_nan()
    }
}

impl Window {
    pub(crate) fn new(metric: usize, over: Over, span: Span, lasts: Span) -> Self {
        let stride = if matches!(over, Over::Forecast(_)) { 5 } else { 2 };
        Self {
            metric,
            over,
            span,
            cells: Cells::default(),
            width: (span.0 / PARTS as u64).max(1),
            lasts: lasts.0,
            stride,
            parts: Vec::new(),
            rows: Vec::new(),
            touched: Vec::new(),
            rolled: 0,
        }
    }

    fn ring(&mut self, row: usize) -> &mut [f64] {
        let size = PARTS * self.stride;
        &mut self.parts[row * size..(row + 1) * size]
    }

    /// A sample of a row, not older than the one before.
    pub(crate) fn add(&mut self, row: u32, value: f64, at: u64) {
        let index = row as usize;
        if index >= self.rows.len() {
            self.rows.resize(index + 1, State::EMPTY);
            self.parts.resize((index + 1) * PARTS * self.stride, 0.0);
        }
        self.advance(index, at / self.width);
        let (stride, width, over) = (self.stride, self.width, self.over);
        let mut state = self.rows[index];
        let begun = (at / width) * width;
        let slot = (at / width) as usize % PARTS * stride;
        let cell = &mut self.ring(index)[slot..slot + stride];
        let fresh = cell[0] == 0.0;
        match over {
            Over::Avg => {
                cell[0] += 1.0;
                cell[1] += value;
                state.sums = [state.sums[0] + 1.0, state.sums[1] + value];
            }
            Over::Min | Over::Max => {
                let worse = |a: f64, b: f64| if over == Over::Min { a.min(b) } else { a.max(b) };
                cell[1] = if fresh { value } else { worse(cell[1], value) };
                cell[0] = 1.0;
                let all = if state.sums[0] == 0.0 { value } else { worse(state.sums[1], value) };
                state.sums = [1.0, all];
            }
            Over::Rate => {
                // Of a counter that fell nobody knows how far it had come before.
                let grown = if value >= state.last { value - state.last } else { value.max(0.0) };
                if !state.empty() && at > state.last_at {
                    let seconds = (at - state.last_at) as f64 / 1000.0;
                    cell[0] += seconds;
                    cell[1] += grown;
                    state.sums = [state.sums[0] + seconds, state.sums[1] + grown];
                }
            }
            Over::Delta | Over::Change => {
                if fresh {
                    cell[1] = value;
                    cell[0] = 1.0;
                }
                if state.sums[0] == 0.0 {
                    state.sums = [1.0, value];
                }
            }
            Over::Forecast(_) => {
                let t = (at - begun) as f64 / 1000.0;
                for (sum, more) in cell.iter_mut().zip([1.0, t, t * t, value, t * value]) {
                    *sum += more;
                }
            }
        }
        if state.empty() {
            state.first_at = at;
        }
        (state.last, state.last_at) = (value, at);
        self.rows[index] = state;
        if self.touched.len() > 2 * self.rows.len() {
            // Nobody cycles between samples: then all of them are looked at.
            self.touched.clear();
            self.rolled = u64::MAX;
        }
        self.touched.push(row);
    }

    /// Empties the parts that lie too far back when the newest is `part`.
    fn advance(&mut self, index: usize, part: u64) {
        let state = self.rows[index];
        if part <= state.part && !state.empty() {
            return;
        }
        let stride = self.stride;
        if state.empty() || part - state.part >= PARTS as u64 {
            self.ring(index).fill(0.0);
            self.rows[index] = State { part, ..State::EMPTY };
            return;
        }
        let ring = self.ring(index);
        for gone in state.part + 1..=part {
            let slot = gone as usize % PARTS * stride;
            ring[slot..slot + stride].fill(0.0);
        }
        let sums = self.summed(index, part);
        let state = &mut self.rows[index];
        (state.part, state.sums) = (part, sums);
    }

    /// What all parts come to, summed anew so that no error of rounding stays.
    fn summed(&mut self, index: usize, part: u64) -> [f64; 2] {
        let over = self.over;
        let ring = self.ring(index);
        let mut sums = [0.0, 0.0];
        match over {
            Over::Avg | Over::Rate => {
                for cell in ring.chunks_exact(2) {
                    sums[0] += cell[0];
                    sums[1] += cell[1];
                }
            }
            Over::Min | Over::Max => {
                for cell in ring.chunks_exact(2).filter(|cell| cell[0] != 0.0) {
                    let first = sums[0] == 0.0;
                    sums[1] = match over {
                        _ if first => cell[1],
                        Over::Min => cell[1].min(sums[1]),
                        _ => cell[1].max(sums[1]),
                    };
                    sums[0] = 1.0;
                }
            }
            Over::Delta | Over::Change => {
                let oldest = (1..=PARTS as u64)
                    .map(|n| (part + n) as usize % PARTS * 2)
                    .find(|slot| ring[*slot] != 0.0);
                if let Some(slot) = oldest {
                    sums = [1.0, ring[slot + 1]];
                }
            }
            Over::Forecast(_) => {}
        }
        sums
    }

    /// Brings what it comes to up to `now`: of all rows when a part has passed, else of those with new samples.
    pub(crate) fn cycle(&mut self, now: u64) {
        let part = now / self.width;
        if part != self.rolled {
            self.rolled = part;
            self.touched.clear();
            for row in 0..self.rows.len() {
                if !self.rows[row].empty() {
                    // A clock that is a little behind the newest sample changes nothing.
                    self.advance(row, part.max(self.rows[row].part));
                    self.tell(row, now);
                }
            }
            return;
        }
        for row in std::mem::take(&mut self.touched) {
            self.tell(row as usize, now);
        }
        let oldest = now.saturating_sub(self.lasts);
        for row in 0..self.rows.len() {
            if self.rows[row].last_at < oldest && !self.cells.get(row as u32).is_nan() {
                self.cells.set(row as u32, f64::NAN);
            }
        }
    }

    fn tell(&mut self, row: usize, now: u64) {
        let value = self.value(row, now);
        self.cells.set(row as u32, if value.is_finite() { value } else { f64::NAN });
    }

    fn value(&mut self, row: usize, now: u64) -> f64 {
        let state = self.rows[row];
        if state.empty() || now.saturating_sub(state.last_at) > self.lasts {
            return f64::NAN;
        }
        let covered = state.last_at.saturating_sub(state.first_at);
        let [a, b] = state.sums;
        let enough = match self.over {
            Over::Avg | Over::Min | Over::Max | Over::Forecast(_) => self.span.0 / 2,
            Over::Delta | Over::Change => self.span.0.saturating_sub(2 * self.width),
            Over::Rate => 0,
        };
        if covered < enough || (a == 0.0 && !matches!(self.over, Over::Forecast(_))) {
            return f64::NAN;
        }
        match self.over {
            Over::Avg | Over::Rate => b / a,
            Over::Min | Over::Max => b,
            Over::Delta => state.last - b,
            Over::Change => (state.last - b) / b.abs(),
            Over::Forecast(ahead) => self.line(row, state.part, now, ahead),
        }
    }

    /// The line with the least squares through all samples, `ahead` milliseconds from now. Times are seconds from
    /// now, so that they stay small.
    fn line(&mut self, row: usize, part: u64, now: u64, ahead: u64) -> f64 {
        let width = self.width;
        let ring = self.ring(row);
        let (mut n, mut t, mut tt, mut x, mut tx) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for back in 0..(PARTS as u64).min(part + 1) {
            let number = part - back;
            let slot = number as usize % PARTS * 5;
            let [pn, pt, ptt, px, ptx] =
                [ring[slot], ring[slot + 1], ring[slot + 2], ring[slot + 3], ring[slot + 4]];
            let shift = ((number * width) as f64 - now as f64) / 1000.0;
            n += pn;
            t += pt + pn * shift;
            tt += ptt + 2.0 * shift * pt + pn * shift * shift;
            x += px;
            tx += ptx + shift * px;
        }
        let spread = n * tt - t * t;
        if n < POINTS || spread <= 0.0 {
            return f64::NAN;
        }
        let slope = (n * tx - t * x) / spread;
        let level = (x - slope * t) / n;
        level + slope * (ahead as f64 / 1000.0)
    }

    /// A row that is another's from now on.
    pub(crate) fn lose(&mut self, row: u32) {
        if let Some(state) = self.rows.get_mut(row as usize) {
            *state = State::EMPTY;
            self.ring(row as usize).fill(0.0);
            self.cells.set(row, f64::NAN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples `value(second)` each 5 s over so many seconds; what it comes to then.
    fn check(over: Over, span_s: u64, seconds: u64, value: impl Fn(f64) -> f64) -> f64 {
        let mut window = Window::new(0, over, Span::seconds(span_s), Span::seconds(60));
        let mut now = 10_000_000;
        for second in (0..=seconds).step_by(5) {
            now = 10_000_000 + second * 1000;
            window.add(0, value(second as f64), now);
            window.cycle(now);
        }
        window.cycle(now);
        window.cells.get(0)
    }

    #[expect(clippy::float_cmp, reason = "or both are exact")]
    fn near(value: f64, expected: f64) {
        let off = (value - expected).abs();
        assert!(value == expected || off <= expected.abs() * 0.02, "{value} is not {expected}");
    }

    #[test]
    fn a_window_is_as_long_as_it_says() {
        near(check(Over::Avg, 300, 3000, |s| s), 3000.0 - 147.5);
        near(check(Over::Min, 300, 3000, |s| s), 2705.0);
        near(check(Over::Max, 300, 3000, |s| 3000.0 - s), 295.0);
        near(check(Over::Rate, 60, 3000, |s| s * 7.0), 7.0);
        near(check(Over::Delta, 600, 3000, |s| s * 2.0), 1170.0);
        near(check(Over::Change, 600, 3000, |s| 100.0 + s), 585.0 / 2515.0);
        near(
            check(Over::Forecast(3_600_000), 3600, 7200, |s| 1e9 - 1000.0 * s),
            1e9 - 10_800_000.0,
        );
    }

    #[test]
    fn a_counter_that_begins_again_did_not_fall() {
        // What it had grown in the last 5 s before nobody knows.
        near(check(Over::Rate, 60, 3000, |s| (s % 1000.0) * 7.0), 7.0 * 55.0 / 60.0);
    }

    #[test]
    fn too_few_samples_are_not_enough() {
        assert!(check(Over::Avg, 300, 100, |_| 1.0).is_nan());
        assert!(check(Over::Delta, 300, 200, |_| 1.0).is_nan());
        assert!(check(Over::Rate, 300, 0, |_| 1.0).is_nan());
        assert!(check(Over::Forecast(1000), 3600, 600, |_| 1.0).is_nan());
        near(check(Over::Avg, 300, 160, |_| 1.0), 1.0);
    }

    #[test]
    fn no_error_of_rounding_stays_behind() {
        let value = check(Over::Avg, 60, 600, |s| if s < 300.0 { 1e18 } else { 0.5 });
        near(value, 0.5);
    }

    #[test]
    fn what_is_told_no_more_is_unknown() {
        let mut window = Window::new(0, Over::Avg, Span::seconds(60), Span::seconds(30));
        for s in 0..20 {
            window.add(0, 1.0, s * 5000);
        }
        window.cycle(95_000);
        assert!(!window.cells.get(0).is_nan());
        window.cycle(126_000);
        assert!(window.cells.get(0).is_nan());
    }
}
