//! A part of the week in which a grant holds, in UTC.

use cmdr_protocol::roles::Hours;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u64 = 24 * 60;

/// A checked [`Hours`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// One bit a day, Monday the lowest.
    days: u8,
    /// Minutes of the day.
    from: u64,
    to: u64,
}

fn minutes(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, below| {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|n: &u64| digits && *n < below)
    };
    Some(number(hours, 24)? * 60 + number(minutes, 60)?)
}

impl Window {
    pub(super) fn parse(hours: &Hours) -> Result<Self, String> {
        let mut days = 0;
        for day in &hours.days {
            let at = DAYS.iter().position(|known| known == day).ok_or_else(|| {
                format!(
                    "'{}' is no day; they are {}",
                    cmdr_protocol::display::clean_to_width(day, 20),
                    DAYS.join(", ")
                )
            })?;
            days |= 1 << at;
        }
        if days == 0 {
            days = 0x7f;
        }
        let time = |text: &str| {
            minutes(text).ok_or_else(|| {
                format!(
                    "'{}' is no time of day; write it as 08:30",
                    cmdr_protocol::display::clean_to_width(text, 20)
                )
            })
        };
        Ok(Self { days, from: time(&hours.from)?, to: time(&hours.to)? })
    }

    /// Whether it is open at this time, milliseconds since 1970. A window over midnight belongs to the
    /// day on which it begins.
    pub(super) fn holds(self, at_ms: u64) -> bool {
        let minute = at_ms / 60_000;
        let (day, minute) = (minute / DAY, minute % DAY);
        // The first of January 1970 was a Thursday.
        let open = |day: u64| self.days & (1 << ((day + 3) % 7)) != 0;
        if self.from < self.to {
            return open(day) && self.from <= minute && minute < self.to;
        }
        (open(day) && minute >= self.from) || (open(day + 6) && minute < self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &[&str], from: &str, to: &str) -> Window {
        let days = days.iter().map(|&d| d.to_owned()).collect();
        Window::parse(&Hours { days, from: from.to_owned(), to: to.to_owned() }).unwrap()
    }

    /// Of the first week of 2024, which began with a Monday.
    fn at(day: u64, hour: u64, minute: u64) -> u64 {
        1_704_067_200_000 + ((day * 24 + hour) * 60 + minute) * 60_000
    }

    #[test]
    fn a_window_is_open_from_its_first_minute_to_before_its_last() {
        let office = window(&["mon", "fri"], "08:00", "18:00");
        assert!(office.holds(at(0, 8, 0)) && office.holds(at(4, 17, 59)));
        assert!(!office.holds(at(0, 7, 59)) && !office.holds(at(0, 18, 0)));
        assert!(!office.holds(at(1, 12, 0)));
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_begins_on() {
        let night = window(&["sun"], "22:00", "06:00");
        assert!(night.holds(at(6, 23, 0)) && night.holds(at(7, 5, 59)));
        assert!(!night.holds(at(6, 5, 0)) && !night.holds(at(7, 22, 30)));
        let always = window(&[], "00:00", "00:00");
        assert!((0..7).all(|day| always.holds(at(day, 0, 0)) && always.holds(at(day, 23, 59))));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for (from, day) in
            [("8:00", "mon"), ("24:00", "mon"), ("08:60", "mon"), ("", "mon"), ("08:00", "Monday")]
        {
            let hours = Hours { days: vec![day.into()], from: from.into(), to: "09:00".into() };
            assert!(Window::parse(&hours).is_err(), "{from} {day}");
        }
    }
}
