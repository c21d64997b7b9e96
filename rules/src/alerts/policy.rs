//! Who is told of what, when and how often; and silences.

use super::machine::World;
use crate::glob;
use crate::problem::cut;
use crate::rule::Severity;
use crate::unit::Span;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Picks alerts by their labels and by `host`, `rule`, `severity`, `instance`: `rule=disk-*,team!=ops`. Without
/// a term it picks all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    name: String,
    is: bool,
    glob: String,
}

impl Matcher {
    /// Reads it; values may have `*` and `?`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > 2000 {
            return Err("a matcher has at most 2,000 bytes".to_owned());
        }
        let mut terms = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, is, glob) = match (part.split_once("!="), part.split_once('=')) {
                (Some((name, glob)), _) => (name, false, glob),
                (None, Some((name, glob))) => (name, true, glob),
                (None, None) => {
                    let part = cut(part, 40);
                    return Err(format!("`{part}` is no term; write NAME=VALUE or NAME!=VALUE"));
                }
            };
            let (name, glob) = (name.trim().to_owned(), glob.trim().to_owned());
            if name.is_empty() {
                return Err(format!("before `{}` the name of a label is missing", cut(part, 40)));
            }
            terms.push(Term { name, is, glob });
        }
        Ok(Self { terms })
    }

    /// Whether it picks every alert.
    pub fn is_all(&self) -> bool {
        self.terms.is_empty()
    }

    pub(super) fn picks<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.terms
            .iter()
            .all(|term| glob::matches(&term.glob, label(&term.name).unwrap_or_default()) == term.is)
    }
}

impl std::fmt::Display for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, term) in self.terms.iter().enumerate() {
            let (comma, sign) = (if at > 0 { "," } else { "" }, if term.is { "=" } else { "!=" });
            write!(f, "{comma}{}{sign}{}", term.name, term.glob)?;
        }
        Ok(())
    }
}

impl Serialize for Matcher {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Matcher {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// How the alerts that it matches are told. Of several the first that matches counts when an alert fires, and until it
/// is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Unique.
    pub name: String,
    /// The alerts that it is for.
    #[serde(rename = "match")]
    pub matcher: Matcher,
    /// The hours in which it counts; empty for always.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Hours>,
    /// Names of places that notices go to.
    pub to: Vec<String>,
    /// One notice for all alerts with the same values of these labels, or of `rule`, `host`, `severity`.
    pub group_by: Vec<String>,
    /// How long the first alert of a group waits for others.
    pub group_wait: Span,
    /// The shortest time between two notices of a group.
    pub group_interval: Span,
    /// How long an alert whose end was told is not told again.
    pub cooldown: Span,
    /// How often alerts that nobody acknowledged are told again; 0 for never.
    pub repeat: Span,
    /// Who is told as well, when nobody acknowledges.
    pub escalate: Vec<Level>,
    /// When nothing is told that can wait; it is told at the end, if it is still so.
    pub quiet: Vec<Hours>,
    /// The severity from which on alerts are told in quiet hours too.
    pub quiet_spares: Spared,
}

impl Policy {
    /// Whether it counts now.
    pub(super) fn counts(&self, wall_ms: u64, world: &dyn World) -> bool {
        let within = |h: &Hours| h.left(wall_ms, world.offset_s(&h.zone, wall_ms)).is_some();
        self.hours.is_empty() || self.hours.iter().any(within)
    }

    /// What is wrong with it, if anything.
    pub fn check(&self) -> Result<(), String> {
        if self.name.is_empty() || self.name.contains([',', '=']) {
            return Err("a policy needs a name without `,` and `=`".to_owned());
        }
        if self.repeat.0 > 0 && self.repeat < Span::minutes(1) {
            return Err("repeat: not more often than each minute, or 0s for never".to_owned());
        }
        if self.to.len() > PLACES || self.escalate.iter().any(|level| level.to.len() > PLACES) {
            return Err(format!("a notice goes to at most {PLACES} places"));
        }
        if self.escalate.len() > LEVELS || self.group_by.len() > LEVELS {
            return Err(format!("at most {LEVELS} steps of escalation, and labels to group by"));
        }
        if !self.escalate.is_sorted_by_key(|level| level.after) {
            return Err("escalate: each step comes later than the one before".to_owned());
        }
        let all = [("quiet", &self.quiet), ("hours", &self.hours)];
        for (key, hours) in all.into_iter().flat_map(|(key, all)| all.iter().map(move |h| (key, h)))
        {
            if i64::from(hours.from) >= DAY || i64::from(hours.to) > DAY {
                return Err(format!("{key}: from and to are minutes of a day, up to 1440"));
            }
            if hours.days.iter().any(|day| *day > 6) {
                return Err(format!("{key}: days are 0 (Monday) to 6 (Sunday)"));
            }
        }
        Ok(())
    }
}

/// Places of one notice, and steps of an escalation.
const PLACES: usize = 20;
const LEVELS: usize = 10;

/// From which severity on quiet hours do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spared(pub Severity);

impl Default for Spared {
    fn default() -> Self {
        Self(Severity::Critical)
    }
}

/// A step of an escalation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// How long after the first notice.
    pub after: Span,
    /// Names of places.
    pub to: Vec<String>,
}

/// Hours of the day: those in which nothing is told that can wait, or in which a policy counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hours {
    /// Days on which they begin: 0 is Monday, 6 Sunday; empty for every day. Written `[fri, sat]`.
    #[serde(with = "super::text::days")]
    pub days: Vec<u8>,
    /// Minute of the day at which they begin. Written `"22:00"`.
    #[serde(with = "super::text::minute")]
    pub from: u16,
    /// Minute of the day at which they end, on the next day where that is not later than `from`.
    #[serde(with = "super::text::minute")]
    pub to: u16,
    /// The time zone, whose name the caller understands; empty for UTC.
    pub zone: String,
}

const DAY: i64 = 24 * 60;

impl Hours {
    /// How many milliseconds are left of them, `offset_s` being how many seconds the zone is ahead of UTC.
    pub(super) fn left(&self, wall_ms: u64, offset_s: i32) -> Option<u64> {
        let local = i64::try_from(wall_ms).ok()? + i64::from(offset_s) * 1000;
        let minutes = local.div_euclid(60_000);
        let (today, minute) = (minutes.div_euclid(DAY), minutes.rem_euclid(DAY));
        let (from, to) = (i64::from(self.from), i64::from(self.to));
        let long = if to > from { to - from } else { to + DAY - from };
        [0, 1].into_iter().find_map(|back| {
            // Day 0 of 1970 was a Thursday.
            let weekday = (today - back + 3).rem_euclid(7) as u8;
            let into = minute + back * DAY - from;
            let within =
                (0..long).contains(&into) && (self.days.is_empty() || self.days.contains(&weekday));
            let passed = u64::try_from(local.rem_euclid(60_000)).unwrap_or_default();
            within.then(|| ((long - into) * 60_000) as u64 - passed)
        })
    }
}

/// Keeps alerts quiet for a while. They go on, are shown, and are told afterwards if they still fire.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Its number.
    pub id: u64,
    /// The alerts.
    pub matcher: Matcher,
    /// Who wants it.
    pub who: String,
    /// In their words.
    pub why: String,
    /// Wall clock, milliseconds since 1970.
    pub made_ms: u64,
    /// When it ends, if the wall clock does not jump: how long it lasts is what counts.
    pub until_ms: u64,
    pub(super) ends: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_pick_by_names_patterns_and_their_absence() {
        let label = |name: &str| match name {
            "rule" => Some("disk-used"),
            "team" => Some("ops"),
            _ => None,
        };
        for (text, picks) in [
            ("", true),
            ("rule=disk-*", true),
            ("rule=disk-*, team!=ops", false),
            ("team=dev", false),
            ("env!=prod", true),
            ("env=", true),
        ] {
            assert_eq!(Matcher::parse(text).unwrap().picks(label), picks, "{text}");
        }
        assert!(Matcher::parse("x").unwrap_err().contains("NAME=VALUE"));
        assert!(Matcher::parse("=x").is_err());
        let matcher = Matcher::parse("a=b, c!=d*").unwrap();
        assert_eq!(Matcher::parse(&matcher.to_string()), Ok(matcher));
    }

    #[test]
    fn quiet_hours_go_over_midnight_and_know_the_zone() {
        let quiet = Hours { from: 22 * 60, to: 7 * 60, days: vec![4], ..Hours::default() };
        // 2026-11-20 was a Friday.
        let friday = 1_795_132_800_000;
        let hour = 3_600_000;
        assert_eq!(quiet.left(friday + 21 * hour, 0), None);
        assert_eq!(quiet.left(friday + 22 * hour, 0), Some(9 * hour));
        assert_eq!(quiet.left(friday + 30 * hour + 1, 0), Some(hour - 1));
        assert_eq!(quiet.left(friday + 31 * hour, 0), None);
        assert_eq!(quiet.left(friday + 46 * hour, 0), None, "Saturday evening is not quiet");
        assert_eq!(quiet.left(friday + 14 * hour, 8 * 3600), Some(9 * hour));
        assert_eq!(quiet.left(0, -3600), None);
    }
}
