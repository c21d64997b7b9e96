//! How a run begins: what is asked for, what it would come to, and what guards it.

use super::order::Order;
use crate::call::{Access, Call};
use crate::hosts::HostState;
use crate::ids::{HostId, RunId};
use serde::{Deserialize, Serialize};

/// So many, or such a share; both absent for none. Of both, the smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Amount {
    /// So many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Percent of all, rounded up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
}

impl Amount {
    /// So many.
    pub const fn count(count: u32) -> Self {
        Self { count: Some(count), percent: None }
    }

    /// Reads `5` or `10%`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is neither a number nor a percentage, as 5 or 10%");
        let (digits, percent) = match text.strip_suffix('%') {
            Some(digits) => (digits, true),
            None => (text, false),
        };
        let number: u32 = digits.parse().map_err(|_| wrong())?;
        Ok(if percent {
            if number > 100 {
                return Err(format!("'{text}' is more than everything"));
            }
            Self { count: None, percent: Some(number) }
        } else {
            Self::count(number)
        })
    }

    /// How many that is of `all`; absent for no amount.
    pub fn of(self, all: u32) -> Option<u32> {
        let share =
            self.percent.map(|percent| (u64::from(all) * u64::from(percent)).div_ceil(100) as u32);
        match (self.count, share) {
            (Some(count), Some(share)) => Some(count.min(share)),
            (count, share) => count.or(share),
        }
    }
}

/// Hosts one group after the other: the next wave begins when all of the one before have their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waves {
    /// How many hosts the first wave has; absent for as many as each other one.
    pub first: Amount,
    /// How many hosts every other wave has; absent for all that are left.
    pub then: Amount,
}

impl Waves {
    /// Reads `1`, `10%`, `1,10%`: the first wave, and each other one. A number alone is a first wave with all
    /// that are left after it; a percentage alone holds for every wave.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (first, then) = text.split_once(',').unwrap_or((text, text));
        let then = if text.contains(',') || first.contains('%') {
            Amount::parse(then.trim())?
        } else {
            Amount::default()
        };
        Ok(Self { first: Amount::parse(first.trim())?, then })
    }
}

/// When to leave off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Halt {
    /// With so many failures the run is halted: 1 for the first one. A percentage is of all targets.
    pub failures: Amount,
}

/// Whom to tell of results.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Callback {
    /// Where to.
    pub url: String,
    /// Given back as it is.
    pub id: String,
}

/// Begins a run. It is on the hub's disk when the answer comes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Start {
    /// Made by the client, one for each run that it means: asked twice with the same one, the same run is
    /// answered and nothing is begun twice. At most 128 bytes; empty for none.
    pub key: String,
    /// A selector; `*` for all. Which hosts it picks is decided once, when the run begins.
    pub hosts: String,
    /// Only these of the hosts that the selector picks; empty for all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<HostId>,
    /// What to do.
    pub order: Order,
    /// Hosts one group after the other; absent for all at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waves: Option<Waves>,
    /// How many targets are under way at once; 0 for as many as the hub sees fit.
    #[serde(skip_serializing_if = "is_none")]
    pub parallel: u32,
    /// When to leave off; absent for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub halt: Option<Halt>,
    /// Milliseconds from the beginning after which everything that has no end gets `timed_out`; absent for
    /// no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Wait for hosts that are away instead of telling them unreachable.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub when_online: bool,
    /// With `when_online`: milliseconds from the beginning after which hosts that were not there are told
    /// unreachable; absent for 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// How long a host that had its order and has lost its link is waited for, in milliseconds, until it is
    /// told lost; absent for what the hub is configured to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience_ms: Option<u64>,
    /// The number of hosts, as the operator has typed it. The hub wants it above a limit and for protected
    /// hosts, and refuses another number in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm: Option<u32>,
    /// What it is for; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Whom to tell of results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    /// Bytes of output kept of each target; absent for what the hub is configured to, which is also the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_output: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_none(number: &u32) -> bool {
    *number == 0
}

impl Call for Start {
    const METHOD: &'static str = "runs.start";
    const ACCESS: Access = Access::Act;
    const SECRETS: &'static [&'static str] = &["order.env.*", "callback.url"];
    const RESULT: &'static str = "run";
    type Reply = Started;
    fn resource(&self) -> String {
        self.order.resource()
    }
}

/// The answer to a [`Start`] and to a [`super::Retry`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Started {
    /// Which run.
    pub run: Option<RunId>,
    /// How many targets were begun.
    pub targets: u32,
    /// It had been begun before, with the same key; nothing was begun now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub already: bool,
}

/// What a [`Start`] would come to. Nothing is begun or written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// What would be asked for.
    pub start: Start,
    /// Hosts from this place on; [`super::CHUNK`] of them are told at a time.
    pub from: u32,
}

impl Call for Plan {
    const METHOD: &'static str = "runs.plan";
    const ACCESS: Access = Access::Act;
    const CHANGES: bool = false;
    const SECRETS: &'static [&'static str] = &["start.order.env.*", "start.callback.url"];
    type Reply = Planned;
    fn resource(&self) -> String {
        self.start.resource()
    }
}

/// The answer to a [`Plan`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Planned {
    /// How many hosts it would be.
    pub count: u32,
    /// How many of them are online now.
    pub online: u32,
    /// What the guard asks for.
    pub guard: Guarded,
    /// How many hosts each wave would have, in order.
    pub waves: Vec<u32>,
    /// The hosts in their order, from the place that was asked for.
    pub hosts: Vec<PlannedHost>,
    /// The place from which to ask for more; absent when these were the last.
    pub next: Option<u32>,
    /// Hosts that the selector picks and the caller may not use for this, at most [`super::CHUNK`]. While
    /// there are any, the run is refused.
    pub refused: Vec<Refused>,
}

/// What stands between an order and a fleet. The hub holds to it, whatever a client shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Guarded {
    /// The number of hosts has to be typed.
    pub confirm: bool,
    /// Why, in words; empty when nothing has to be typed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// How many of the hosts are protected.
    pub protected: u32,
    /// The first wave is made to be of one host, and the run halted when that one fails.
    pub first_of_one: bool,
}

/// One host of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlannedHost {
    /// Which.
    pub host: Option<HostId>,
    /// Its name.
    pub name: String,
    /// Whether it could be asked now.
    pub state: HostState,
    /// Its wave, from 0.
    pub wave: u32,
    /// It is protected.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub protected: bool,
}

/// A host on which the caller may not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refused {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_are_a_first_and_what_follows() {
        let one = Amount::count(1);
        let tenth = Amount { percent: Some(10), count: None };
        assert_eq!(Waves::parse("1"), Ok(Waves { first: one, then: Amount::default() }));
        assert_eq!(Waves::parse("1, 10%"), Ok(Waves { first: one, then: tenth }));
        assert_eq!(Waves::parse("10%"), Ok(Waves { first: tenth, then: tenth }));
        assert!(Waves::parse("x").is_err() && Waves::parse("1,").is_err());
    }

    #[test]
    fn an_amount_is_a_number_or_a_share_rounded_up() {
        assert_eq!(Amount::parse("5").unwrap().of(100), Some(5));
        assert_eq!(Amount::parse("10%").unwrap().of(101), Some(11));
        assert_eq!(Amount::parse("0%").unwrap().of(101), Some(0));
        assert_eq!(Amount::default().of(100), None);
        assert_eq!(Amount { count: Some(3), percent: Some(1) }.of(100), Some(1));
        for bad in ["", "x", "-1", "101%", "%", "1.5"] {
            assert!(Amount::parse(bad).is_err(), "{bad}");
        }
    }
}
