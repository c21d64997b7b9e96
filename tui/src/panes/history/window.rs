//! Which stretch of time is seen: so long, until then or until now, by which it goes on.

use cmdr_protocol::human;

/// The shortest and the longest.
const SHORTEST_MS: u64 = 60_000;
const LONGEST_MS: u64 = 400 * DAY_MS;
const DAY_MS: u64 = 86_400_000;

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::panes) struct Window {
    /// How long.
    pub(in crate::panes) span_ms: u64,
    /// Until when; `None` for now.
    pub(in crate::panes) end_ms: Option<u64>,
}

/// Why a text is no stretch of time: the key of what is said.
pub(in crate::panes) type Wrong = &'static str;

impl Window {
    /// From where to where, in a picture so many cells wide: one that follows moves by whole cells.
    pub(in crate::panes) fn bounds(&self, now_ms: u64, cells: u64) -> (u64, u64) {
        let end = self.end_ms.unwrap_or_else(|| {
            let cell = (self.span_ms / cells.max(1)).max(1);
            (now_ms / cell + 1) * cell
        });
        (end.saturating_sub(self.span_ms), end)
    }

    /// Whether it goes on with the time.
    pub(in crate::panes) const fn follows(&self) -> bool {
        self.end_ms.is_none()
    }

    /// Moves it; what would lie in the future is now.
    pub(in crate::panes) fn pan(&mut self, by_ms: i64, now_ms: u64) {
        let end = self.end_ms.unwrap_or(now_ms).saturating_add_signed(by_ms);
        self.end_ms = (end < now_ms).then_some(end.max(self.span_ms));
    }

    /// Makes it so many times as long; what is at this share of it from the left stays where it is.
    pub(in crate::panes) fn zoom(&mut self, times: f64, share: f64, now_ms: u64) {
        let old = self.span_ms as f64;
        let span = (old * times).clamp(SHORTEST_MS as f64, LONGEST_MS as f64);
        // With its right edge at now that is where it stays, unless somebody points elsewhere.
        if !(self.follows() && share >= 1.0) {
            let end = self.end_ms.unwrap_or(now_ms) as f64;
            let fixed = end - old + old * share;
            let end = (fixed + span * (1.0 - share)).max(span) as u64;
            self.end_ms = (end < now_ms).then_some(end);
        }
        self.span_ms = span as u64;
    }

    /// Reads `6h`, `2w`, `1y`, `-3h..-1h`, `2026-11-20 10:00 .. 12:00`.
    pub(in crate::panes) fn read(
        &self,
        text: &str,
        now_ms: u64,
        utc_offset_s: i32,
    ) -> Result<Self, Wrong> {
        let text = text.trim();
        let long = |span_ms: u64, end_ms: Option<u64>| {
            let is_known = (SHORTEST_MS..=LONGEST_MS).contains(&span_ms);
            is_known.then_some(Self { span_ms, end_ms }).ok_or("history.span.length")
        };
        if let Some(span_ms) = length(text) {
            return long(span_ms, None);
        }
        let (since, until) =
            human::between(text, now_ms, utc_offset_s).ok_or("history.span.wrong")?;
        if since.is_some_and(|since| since >= now_ms) {
            return Err("history.span.future");
        }
        let end_ms = until.filter(|until| *until < now_ms);
        let end = end_ms.unwrap_or(now_ms);
        match since {
            Some(since) => long(end.saturating_sub(since), end_ms),
            None => long(self.span_ms, end_ms),
        }
    }
}

/// A length of time, also in weeks and years.
fn length(text: &str) -> Option<u64> {
    let days = |text: &str, each: u64| text.trim().parse::<u64>().ok()?.checked_mul(each * DAY_MS);
    if let Some(weeks) = text.strip_suffix('w') {
        return days(weeks, 7);
    }
    if let Some(years) = text.strip_suffix('y') {
        return days(years, 365);
    }
    let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
    let span = human::duration(text).ok().filter(|_| has_unit)?;
    u64::try_from(span.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-20 14:02:00 UTC.
    const NOW: u64 = 1_795_183_320_000;
    const HOUR: u64 = 3_600_000;
    const LAST: Window = Window { span_ms: HOUR, end_ms: None };

    #[test]
    fn spans_are_read_as_people_write_them() {
        let read = |text: &str| LAST.read(text, NOW, 0);
        assert_eq!(read(" 6h "), Ok(Window { span_ms: 6 * HOUR, end_ms: None }));
        assert_eq!(read("1y"), Ok(Window { span_ms: 365 * DAY_MS, end_ms: None }));
        let noon = NOW - 2 * HOUR - 120_000;
        let typed = Window { span_ms: 2 * HOUR, end_ms: Some(noon) };
        assert_eq!(read("2026-11-20 10:00 .. 12:00"), Ok(typed));
        assert_eq!(read("..12:00"), Ok(Window { end_ms: Some(noon), ..LAST }));
        assert_eq!(read("2027-01-01..2027-01-02"), Err("history.span.future"));
        assert_eq!(read("soon"), Err("history.span.wrong"));
        assert_eq!(read("2s"), Err("history.span.length"));
        assert_eq!(read("99999999999999999y"), Err("history.span.wrong"));
        assert_eq!(read("9y"), Err("history.span.length"));
    }

    #[test]
    fn what_is_pointed_at_stays_there_and_the_future_is_never_shown() {
        let mut window = Window { span_ms: 4 * HOUR, end_ms: Some(NOW - 10 * HOUR) };
        window.zoom(0.5, 0.5, NOW);
        let expected = Window { span_ms: 2 * HOUR, end_ms: Some(NOW - 11 * HOUR) };
        assert_eq!(window, expected);
        window.pan(100 * HOUR as i64, NOW);
        assert!(window.follows());
        window.zoom(2.0, 1.0, NOW);
        assert_eq!(window, Window { span_ms: 4 * HOUR, end_ms: None });
        window.pan(-(HOUR as i64), NOW);
        assert_eq!(window.end_ms, Some(NOW - HOUR));
        window.zoom(1e9, 0.5, NOW);
        assert_eq!(window.span_ms, LONGEST_MS);
    }

    #[test]
    fn one_that_follows_moves_by_whole_cells() {
        assert_eq!(LAST.bounds(NOW, 60), LAST.bounds(NOW + 59_000, 60));
        assert_ne!(LAST.bounds(NOW, 60), LAST.bounds(NOW + 60_000, 60));
        let (from, to) = LAST.bounds(NOW, 60);
        assert!(to > NOW && to - from == HOUR);
    }
}
