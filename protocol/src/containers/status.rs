//! The engine's words for where a container stands (`Up 3 minutes (healthy)`), read and made.

use super::{Container, State};

/// What such words say beside the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// So many seconds ago it came to run or ended.
    pub ago_s: Option<u64>,
    /// They are exact to so many seconds.
    pub grain_s: u64,
    /// The exit code.
    pub exit_code: Option<i64>,
    /// What the health check says.
    pub health: String,
}

/// Units as the engine rounds to them, in seconds.
const UNITS: [(&str, u64); 7] = [
    ("second", 1),
    ("minute", 60),
    ("hour", 3600),
    ("day", 86_400),
    ("week", 7 * 86_400),
    ("month", 30 * 86_400),
    ("year", 365 * 86_400),
];

/// Reads the words; what is not understood is absent.
pub fn read(status: &str) -> Read {
    let mut read = Read::default();
    let parts = status.split(['(', ')']).skip(1).step_by(2);
    for part in parts {
        match part.trim().trim_start_matches("health: ") {
            "Paused" => {}
            code if code.parse::<i64>().is_ok() => read.exit_code = code.parse().ok(),
            health if matches!(health, "healthy" | "unhealthy" | "starting") => {
                health.clone_into(&mut read.health);
            }
            _ => {}
        }
    }
    let plain: String = status.split(['(', ')']).step_by(2).collect();
    let words: Vec<&str> = plain
        .split_whitespace()
        .filter(|word| !matches!(*word, "Up" | "Exited" | "Restarting" | "ago"))
        .collect();
    let (number, unit) = match words.as_slice() {
        ["Less", "than", "a", "second"] => (0, "second"),
        ["About", "a" | "an", unit] => (1, *unit),
        [number, unit] => (number.parse().unwrap_or(u64::MAX), *unit),
        _ => return read,
    };
    let unit = unit.trim_end_matches('s');
    let grain = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, seconds)| *seconds);
    if let (Some(grain), true) = (grain, number < 1_000_000) {
        (read.ago_s, read.grain_s) = (Some(number * grain), grain);
    }
    read
}

/// How long ago, as the engine rounds it.
pub fn rounded(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3600 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// The words for a container at this moment, seconds since 1970: the engine's own where it has told them.
pub fn words(container: &Container, now_s: u64) -> String {
    if !container.status.is_empty() {
        return container.status.clone();
    }
    let ago = rounded(now_s.saturating_sub(container.since_s));
    let code = container.exit_code.unwrap_or_default();
    let health = match container.health.as_str() {
        "" => String::new(),
        "starting" => " (health: starting)".to_owned(),
        health => format!(" ({health})"),
    };
    match container.state {
        State::Running | State::Stopping => format!("Up {ago}{health}"),
        State::Paused => format!("Up {ago} (Paused)"),
        State::Restarting => format!("Restarting ({code}) {ago} ago"),
        State::Exited => format!("Exited ({code}) {ago} ago"),
        State::Created => "Created".to_owned(),
        State::Removing => "Removal In Progress".to_owned(),
        State::Dead => "Dead".to_owned(),
        State::Unknown => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_engines_words_are_read() {
        let up = read("Up 3 minutes (healthy)");
        assert_eq!((up.ago_s, up.grain_s, up.health.as_str()), (Some(180), 60, "healthy"));
        let exited = read("Exited (137) About an hour ago");
        assert_eq!((exited.ago_s, exited.exit_code), (Some(3600), Some(137)));
        assert_eq!(read("Up Less than a second").ago_s, Some(0));
        assert_eq!(read("Up 2 weeks (health: starting)").health, "starting");
        assert_eq!(read("Up 5 hours (Paused)").ago_s, Some(5 * 3600));
        assert_eq!(read("Restarting (1) 4 seconds ago").exit_code, Some(1));
        for odd in
            ["", "Created", "Dead", "Up", "Up \u{1b}[2J", "Up -3 hours", "(((", "Up 9 fortnights"]
        {
            assert_eq!(read(odd).ago_s, None, "{odd}");
        }
    }

    #[test]
    fn words_are_made_as_the_engine_makes_them() {
        let mut container =
            Container { state: State::Running, since_s: 1000, ..Container::default() };
        assert_eq!(words(&container, 1190), "Up 3 minutes");
        container.health = "unhealthy".into();
        assert_eq!(words(&container, 1000), "Up Less than a second (unhealthy)");
        (container.state, container.exit_code) = (State::Exited, Some(3));
        assert_eq!(words(&container, 1000 + 7200), "Exited (3) 2 hours ago");
        container.status = "as the engine said".into();
        assert_eq!(words(&container, 0), "as the engine said");
    }

    proptest! {
        #[test]
        fn any_words_are_read_and_own_words_come_back(text in ".{0,60}", ago in 0u64..400_000_000) {
            read(&text);
            let again = read(&format!("Up {}", rounded(ago)));
            let told = again.ago_s.unwrap();
            prop_assert!(told.abs_diff(ago) <= again.grain_s.max(1), "{} {} {}", ago, told, again.grain_s);
        }
    }
}
