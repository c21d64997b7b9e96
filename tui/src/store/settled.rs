//! Figures that never stand still, such as round trips, made to: a screen on which nothing happens
//! sends no bytes, and nobody reads a digit that trembles.

/// After so long the newest value is shown however little it differs.
const LONG_MS: u64 = 10 * 60 * 1000;

/// A figure as it is shown. It follows what is measured only when that differs by more than a
/// quarter and by at least so much, or when it was shown for a long while.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settled {
    shown: Option<(u64, u64)>,
}

impl Settled {
    /// What is shown; absent until something was measured.
    pub fn get(self) -> Option<u64> {
        self.shown.map(|(value, _)| value)
    }

    /// Takes what was measured. Differences below `least` are noise.
    pub fn take(&mut self, now_ms: u64, measured: Option<u64>, least: u64) {
        let Some(measured) = measured else {
            self.shown = None;
            return;
        };
        let stays = self.shown.is_some_and(|(value, since_ms)| {
            let by = value.abs_diff(measured);
            (by < least || by <= value / 4) && now_ms.saturating_sub(since_ms) < LONG_MS
        });
        if !stays {
            self.shown = Some((measured, now_ms));
        }
    }
}

/// Bytes a second over a link: the mean of the last ten seconds or so, settled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    mean: Option<f64>,
    settled: Settled,
}

impl Rate {
    /// Less than this, heartbeats and such, is not told apart.
    const NOISE: u64 = 256;

    /// What is shown.
    pub fn get(self) -> u64 {
        self.settled.get().unwrap_or(0)
    }

    /// Takes how many bytes went over in the last second.
    pub fn take(&mut self, now_ms: u64, bytes: u64) {
        let now = bytes as f64;
        let mean = self.mean.map_or(now, |mean| mean + (now - mean) / 8.0);
        self.mean = Some(mean);
        self.settled.take(now_ms, Some(mean as u64), Self::NOISE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_that_jitters_is_shown_once_and_one_that_changes_is_followed() {
        let mut rtt = Settled::default();
        let mut shown = Vec::new();
        for (second, us) in
            [12_000, 13_900, 10_400, 14_999, 40_000, 38_000, 1_200].iter().enumerate()
        {
            rtt.take(second as u64 * 1000, Some(*us), 2000);
            shown.extend(rtt.get());
        }
        assert_eq!(shown, [12_000, 12_000, 12_000, 12_000, 40_000, 40_000, 1_200]);
        rtt.take(8000, Some(2_900), 2000);
        assert_eq!(rtt.get(), Some(1_200), "more than a quarter, but no difference to anyone");
        rtt.take(8000 + LONG_MS, Some(1_300), 2000);
        assert_eq!(rtt.get(), Some(1_300), "in the end even a small one is told");
        rtt.take(0, None, 2000);
        assert_eq!(rtt.get(), None);
    }

    #[test]
    fn heartbeats_alone_do_not_change_a_rate() {
        let mut rate = Rate::default();
        rate.take(0, 4000);
        for second in 1..120 {
            rate.take(second * 1000, if second % 5 == 0 { 180 } else { 0 });
        }
        let shown = rate.get();
        assert!(shown < 300, "{shown}");
        for second in 120..200 {
            rate.take(second * 1000, if second % 5 == 0 { 180 } else { 0 });
            assert_eq!(rate.get(), shown);
        }
    }
}
