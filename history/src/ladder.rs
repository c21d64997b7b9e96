//! The ladder: how long samples are kept as they came, and how much thinner they are the older they
//! get. Given to the store by whoever opens it.

use crate::Error;
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// One step of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// One point in so long; of the first tier zero: samples as they came.
    pub step: Duration,
    /// Until samples are so old; `None` for good, in the last tier only.
    pub until: Option<Duration>,
}

/// All steps, finest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ladder {
    tiers: Vec<Tier>,
}

impl Default for Ladder {
    /// As they came for a day, then one a minute to 30 days, one in 10 minutes to 90, one an hour to
    /// 180, one in 3 hours to 365, and one a day for good.
    fn default() -> Self {
        let tier = |step, days: Option<u64>| Tier {
            step: Duration::from_secs(step),
            until: days.map(|n| Duration::from_secs(n * DAY)),
        };
        Self {
            tiers: vec![
                tier(0, Some(1)),
                tier(MINUTE, Some(30)),
                tier(10 * MINUTE, Some(90)),
                tier(HOUR, Some(180)),
                tier(3 * HOUR, Some(365)),
                tier(DAY, None),
            ],
        }
    }
}

impl Ladder {
    /// A ladder of these steps. Each is a multiple of the one before and reaches further back.
    pub fn new(tiers: Vec<Tier>) -> Result<Self, Error> {
        let bad = |what: String| Err(Error::Invalid(what));
        let Some((first, rest)) = tiers.split_first() else {
            return bad("a ladder needs at least one step".into());
        };
        if !first.step.is_zero() {
            return bad("the first step of a ladder has samples as they come: its step is 0".into());
        }
        if tiers.len() > 8 {
            return bad("a ladder has at most 8 steps".into());
        }
        let mut before = *first;
        for tier in rest {
            let (step, finer) = (tier.step.as_millis(), before.step.as_millis());
            if step == 0 || (finer > 0 && (step <= finer || !step.is_multiple_of(finer))) {
                return bad(format!(
                    "{:?} is no multiple of the step before it, {:?}",
                    tier.step, before.step
                ));
            }
            match (before.until, tier.until) {
                (None, _) => {
                    return bad("only the last step of a ladder can be kept for good".into());
                }
                (Some(a), Some(b)) if b <= a => {
                    return bad(format!("{b:?} is not further back than the step before, {a:?}"));
                }
                _ => before = *tier,
            }
        }
        if tiers.iter().any(|t| {
            t.until.is_some_and(|u| u < Duration::from_mins(1) || u.as_secs() > 10_000 * DAY)
                || t.step.as_secs() > 31 * DAY
        }) {
            return bad("a step is kept for a minute to 10,000 days, and is at most 31 days".into());
        }
        Ok(Self { tiers })
    }

    /// The steps, finest first.
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    pub(crate) fn step_ms(&self, tier: usize) -> i64 {
        self.tiers[tier].step.as_millis() as i64
    }

    /// What is older than this is no longer in `tier`.
    pub(crate) fn keep_ms(&self, tier: usize) -> Option<i64> {
        self.tiers[tier].until.map(|u| u.as_millis() as i64)
    }

    /// How much time one file of a thinned tier stands for: long enough for columns that compress,
    /// short enough that thinning it needs little memory and what is kept too long is little.
    pub(crate) fn window_ms(&self, tier: usize) -> i64 {
        let step = self.step_ms(tier);
        let most = (30 * DAY * 1000) as i64;
        (step * 240).min(most / step * step).max(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(step: u64, until: Option<u64>) -> Tier {
        Tier { step: Duration::from_secs(step), until: until.map(Duration::from_secs) }
    }

    #[test]
    fn a_ladder_that_cannot_be_climbed_is_refused_with_the_reason() {
        for (tiers, why) in [
            (vec![], "at least one"),
            (vec![tier(1, None)], "its step is 0"),
            (vec![tier(0, None), tier(60, None)], "only the last"),
            (vec![tier(0, Some(3600)), tier(60, Some(3600))], "further back"),
            (vec![tier(0, Some(3600)), tier(60, Some(7200)), tier(90, None)], "no multiple"),
            (vec![tier(0, Some(1))], "a minute"),
        ] {
            let said = Ladder::new(tiers).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
        let usual = Ladder::default();
        assert_eq!(Ladder::new(usual.tiers().to_vec()).unwrap(), usual);
    }
}
