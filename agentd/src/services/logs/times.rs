//! When a line was written, as it says itself. Reads the ways in which most programs write that, from
//! bytes that nobody has looked at before.

use cmdr_link::zone::Zone;

/// A time stands among the first bytes of a line, if it has one.
const LOOKED_AT: usize = 320;
const DAY_MS: i64 = 86_400_000;
const MONTHS: [&[u8; 3]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

/// Reads times of lines of this host.
#[derive(Clone, Debug)]
pub struct Times {
    zone: Zone,
    now_ms: u64,
}

/// What stands in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    /// Milliseconds since 1970.
    Exact(i64),
    /// The same, as the clock on the host's wall shows it.
    Local(i64),
    /// A day of the year, counted as if in 1972, and the time of that day: no year is written.
    Yearless { month: i64, day: i64, of_day: i64 },
}

impl Times {
    /// Of a host in this zone, at this moment.
    pub fn new(zone: Zone, now_ms: u64) -> Self {
        Self { zone, now_ms }
    }

    /// The clock goes on: what has no year is of the last twelve months.
    pub fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Milliseconds since 1970 of the time that a line begins with, or names early on.
    pub fn of(&mut self, line: &[u8]) -> Option<u64> {
        let ms = match stamp(&line[..line.len().min(LOOKED_AT)])? {
            Stamp::Exact(ms) => ms,
            Stamp::Local(ms) => self.local(ms),
            Stamp::Yearless { month, day, of_day } => {
                let now = i64::try_from(self.now_ms).ok()?;
                let year = year_of(now);
                let in_year = |year| Some(days(year, month, day)? * DAY_MS + of_day);
                let ms = [year + 1, year, year - 1, year - 4].into_iter().filter_map(in_year);
                // A clock that runs ahead a little writes no lines of last year.
                ms.map(|ms| self.local(ms)).find(|ms| *ms <= now + DAY_MS)?
            }
        };
        u64::try_from(ms).ok()
    }

    fn local(&mut self, ms: i64) -> i64 {
        let guess = ms.div_euclid(1000);
        let offset = i64::from(self.zone.offset_s(guess));
        let offset = i64::from(self.zone.offset_s(guess - offset));
        ms - offset * 1000
    }
}

/// Days since 1970 of a date of the Gregorian calendar, after Howard Hinnant's `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1970..10_000).contains(&year) || !(1..=longest).contains(&day) {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

fn year_of(ms: i64) -> i64 {
    let day = ms.div_euclid(DAY_MS) + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    era * 400 + year + i64::from((5 * of_year + 2) / 153 >= 10)
}

fn stamp(line: &[u8]) -> Option<Stamp> {
    let mut at = Cursor(line);
    at.priority();
    if at.0.first() == Some(&b'{') {
        return in_json(at.0);
    }
    while matches!(at.0.first(), Some(b'[' | b'(' | b' ' | b'"')) {
        at.0 = &at.0[1..];
    }
    beginning(&at).or_else(|| after_key(line)).or_else(|| in_brackets(line))
}

/// A time that the bytes begin with.
fn beginning(at: &Cursor<'_>) -> Option<Stamp> {
    let ways = [iso, named_month, epoch, klog];
    ways.into_iter().find_map(|way| way(&mut Cursor(at.0)))
}

/// `"time":"…"` of a line that is a JSON object.
fn in_json(line: &[u8]) -> Option<Stamp> {
    let keys: [&[u8]; 6] =
        [b"\"time\":", b"\"ts\":", b"\"timestamp\":", b"\"@timestamp\":", b"\"t\":", b"\"date\":"];
    keys.into_iter().find_map(|key| {
        let found = memchr::memmem::find(line, key)?;
        let value = line[found + key.len()..].trim_ascii_start();
        beginning(&Cursor(value.strip_prefix(b"\"").unwrap_or(value)))
    })
}

/// `time=…`, `ts=…` near the beginning.
fn after_key(line: &[u8]) -> Option<Stamp> {
    let head = &line[..line.len().min(96)];
    [&b"time="[..], b"ts="].into_iter().find_map(|key| {
        let found = memchr::memmem::find(head, key)?;
        let value = &line[found + key.len()..];
        beginning(&Cursor(value.strip_prefix(b"\"").unwrap_or(value)))
    })
}

/// `[20/Nov/2026:14:02:00 +0000]`, which stands behind other things.
fn in_brackets(line: &[u8]) -> Option<Stamp> {
    memchr::memchr_iter(b'[', line).take(4).find_map(|found| {
        let mut at = Cursor(&line[found + 1..]);
        let day = at.number(2)?;
        at.one_of(b"/")?;
        let month = at.month()?;
        at.one_of(b"/")?;
        let year = at.number(4)?;
        at.one_of(b":")?;
        let of_day = at.of_day()?;
        at.skip(b' ');
        Some(at.placed(days(year, month, day)? * DAY_MS + of_day))
    })
}

/// `2026-11-20T14:02:00.123+01:00`, `2026/11/20 14:02:00,123`, `2026-11-20 14:02`.
fn iso(at: &mut Cursor<'_>) -> Option<Stamp> {
    let year = at.number(4)?;
    let between = at.one_of(b"-/.")?;
    let month = at.number(2)?;
    at.one_of(&[between])?;
    let day = at.number(2)?;
    at.one_of(b"T t_:")?;
    let of_day = at.of_day()?;
    // A blank may stand before a zone, and before anything else.
    let mut zoned = Cursor(at.0);
    zoned.skip(b' ');
    let ms = days(year, month, day)? * DAY_MS + of_day;
    let stamp = at.placed(ms);
    if matches!(stamp, Stamp::Local(_))
        && matches!(zoned.0, [b'+' | b'-', b'0'..=b'9', b'0'..=b'9', ..])
    {
        return Some(zoned.placed(ms));
    }
    Some(stamp)
}

/// `Nov 20 14:02:00`, `Fri Nov 20 14:02:00.123456 2026`, `Nov 20 2026 14:02:00`, `20 Nov 2026 14:02:00`.
fn named_month(at: &mut Cursor<'_>) -> Option<Stamp> {
    if at.month_ahead().is_none() && at.0.len() > 4 && at.0[..3].iter().all(u8::is_ascii_alphabetic)
    {
        // A day of the week.
        at.0 = &at.0[3..];
        at.skip(b',');
        at.one_of(b" ")?;
    }
    let (month, day) = if let Some(month) = at.month() {
        at.one_of(b" ")?;
        at.skip(b' ');
        (month, at.short()?)
    } else {
        let day = at.short()?;
        at.one_of(b" -")?;
        (at.month()?, day)
    };
    at.one_of(b" -,")?;
    at.skip(b' ');
    let year = at.year();
    let of_day = at.of_day()?;
    let year = year.or_else(|| {
        let mut rest = Cursor(at.0);
        rest.one_of(b" ")?;
        let year = rest.number(4).filter(|year| (1970..3000).contains(year))?;
        (!rest.0.first().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b':')).then_some(year)
    });
    match year {
        Some(year) => {
            at.skip(b' ');
            Some(at.placed(days(year, month, day)? * DAY_MS + of_day))
        }
        None => Some(Stamp::Yearless { month, day, of_day }),
    }
}

/// `1795183320`, `1795183320.123`, `1795183320123`.
fn epoch(at: &mut Cursor<'_>) -> Option<Stamp> {
    let len = at.0.iter().take_while(|b| b.is_ascii_digit()).count();
    let number = at.digits(len)?;
    let ms = match len {
        10 => number * 1000 + at.fraction(),
        13 => number,
        _ => return None,
    };
    let ends = !at.0.first().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/'));
    // From 2001 to 2096: other numbers are other things.
    (ends && (1_000_000_000_000..4_000_000_000_000).contains(&ms)).then_some(Stamp::Exact(ms))
}

/// `E1120 14:02:00.123456`.
fn klog(at: &mut Cursor<'_>) -> Option<Stamp> {
    at.one_of(b"IWEF")?;
    let (month, day) = (at.number(2)?, at.number(2)?);
    at.one_of(b" ")?;
    let of_day = at.of_day()?;
    (1..=12).contains(&month).then_some(Stamp::Yearless { month, day, of_day })
}

/// What is left of a line.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn one_of(&mut self, wanted: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        wanted.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    fn skip(&mut self, byte: u8) {
        if self.0.first() == Some(&byte) {
            self.0 = &self.0[1..];
        }
    }

    fn digits(&mut self, len: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(len).filter(|_| (1..=18).contains(&len))?;
        let mut number = 0;
        for digit in digits {
            number = number * 10 + i64::from(digit.checked_sub(b'0').filter(|d| *d < 10)?);
        }
        self.0 = rest;
        Some(number)
    }

    /// A number of exactly so many digits.
    fn number(&mut self, len: usize) -> Option<i64> {
        self.digits(len)
    }

    /// A number of one or two digits.
    fn short(&mut self) -> Option<i64> {
        self.digits(2).or_else(|| self.digits(1))
    }

    fn year(&mut self) -> Option<i64> {
        let mut rest = Cursor(self.0);
        let year = rest.number(4).filter(|year| (1970..3000).contains(year))?;
        rest.one_of(b" :,")?;
        self.0 = rest.0;
        Some(year)
    }

    fn month_ahead(&self) -> Option<i64> {
        let name = self.0.get(..3)?.to_ascii_lowercase();
        MONTHS.iter().position(|month| month[..] == name).map(|at| at as i64 + 1)
    }

    fn month(&mut self) -> Option<i64> {
        let month = self.month_ahead()?;
        self.0 = &self.0[3..];
        Some(month)
    }

    /// `14:02`, `14:02:00`, `14:02:00.123`, in milliseconds.
    fn of_day(&mut self) -> Option<i64> {
        let hour = self.number(2).filter(|n| *n < 24)?;
        self.one_of(b":")?;
        let minute = self.number(2).filter(|n| *n < 60)?;
        let mut ms = (hour * 60 + minute) * 60_000;
        let mut rest = Cursor(self.0);
        if rest.one_of(b":").is_some() {
            // A leap second is the last one of its minute here.
            let second = rest.number(2).filter(|n| *n <= 60)?.min(59);
            ms += second * 1000 + rest.fraction();
            self.0 = rest.0;
        }
        Some(ms)
    }

    /// `.123456` in milliseconds; nothing is none.
    fn fraction(&mut self) -> i64 {
        let [b'.' | b',', digits @ ..] = self.0 else { return 0 };
        let len = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        if len == 0 {
            return 0;
        }
        let digit = |n: usize| i64::from(digits.get(n).filter(|_| n < len).map_or(0, |d| d - b'0'));
        self.0 = &digits[len..];
        digit(0) * 100 + digit(1) * 10 + digit(2)
    }

    /// With the zone that follows, if one does.
    fn placed(&mut self, ms: i64) -> Stamp {
        match self.0 {
            [b'Z' | b'z', ..] | [b'U', b'T', b'C', ..] | [b'G', b'M', b'T', ..] => Stamp::Exact(ms),
            [sign @ (b'+' | b'-'), rest @ ..] => {
                let mut at = Cursor(rest);
                let Some(hours) = at.number(2).filter(|n| *n <= 18) else {
                    return Stamp::Local(ms);
                };
                at.skip(b':');
                let minutes = at.number(2).filter(|n| *n < 60).unwrap_or(0);
                let east = (hours * 60 + minutes) * 60_000;
                Stamp::Exact(if *sign == b'+' { ms - east } else { ms + east })
            }
            _ => Stamp::Local(ms),
        }
    }

    /// `<34>` and a version behind it.
    fn priority(&mut self) {
        let Some(rest) = self.0.strip_prefix(b"<") else { return };
        let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        if (1..=3).contains(&len) && rest.get(len) == Some(&b'>') {
            let rest = &rest[len + 1..];
            self.0 = rest.strip_prefix(b"1 ").unwrap_or(rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::human;
    use proptest::prelude::*;

    /// 2026-11-20 14:02:00 UTC.
    const NOW: u64 = 1_795_183_320_000;

    fn times() -> Times {
        Times::new(Zone::utc(), NOW)
    }

    #[test]
    fn times_are_read_as_programs_write_them() {
        let cases = [
            ("2026-11-20T14:02:00Z x", NOW),
            ("2026-11-20T15:02:00.123456+01:00 x", NOW + 123),
            ("2026-11-20 14:02:00,5 INFO", NOW + 500),
            ("2026-11-20 15:02:00 +0100 x", NOW),
            ("2026/11/20 14:02:00 [error] 1#1", NOW),
            ("[2026-11-20 14:02:00] x", NOW),
            ("2026-11-20 14:02 x", NOW),
            ("Nov 20 14:02:00 web1 cron[1]: x", NOW),
            ("Nov  2 14:02:00 web1 x", NOW - 18 * 86_400_000),
            ("Dec 24 14:02:00 web1 x", NOW - 331 * 86_400_000),
            ("Nov 20 2026 14:02:00 x", NOW),
            ("20 Nov 2026 14:02:00 x", NOW),
            ("Fri Nov 20 14:02:00 2026 x", NOW),
            ("[Fri Nov 20 14:02:00.250000 2026] [core:error] x", NOW + 250),
            ("Fri, 20 Nov 2026 14:02:00 GMT", NOW),
            ("1.2.3.4 - - [20/Nov/2026:14:02:00 +0000] \"GET / HTTP/1.1\" 200 1", NOW),
            ("1.2.3.4 - - [20/Nov/2026:16:02:00 +0200] \"GET /\"", NOW),
            ("1795183320 x", NOW),
            ("1795183320.125 x", NOW + 125),
            ("1795183320125 x", NOW + 125),
            ("E1120 14:02:00.125000 7 a.go:1] x", NOW + 125),
            ("<34>1 2026-11-20T14:02:00Z h a - - - x", NOW),
            ("<34>Nov 20 14:02:00 h a: x", NOW),
            ("{\"level\":\"info\",\"ts\":1795183320.125,\"msg\":\"x\"}", NOW + 125),
            ("{\"time\": \"2026-11-20T14:02:00Z\"}", NOW),
            ("time=\"2026-11-20T14:02:00Z\" level=info", NOW),
            ("level=info ts=2026-11-20T14:02:00Z", NOW),
        ];
        for (line, wanted) in cases {
            let got = times().of(line.as_bytes());
            assert_eq!(got.map(human::moment), Some(human::moment(wanted)), "{line}");
            assert_eq!(got, Some(wanted), "{line}");
        }
        for line in [
            "",
            " at java.lang.Thread.run",
            "hello 2026",
            "2026-13-01T00:00:00Z",
            "2026-02-30 10:00:00",
            "12345 x",
            "17951833201 x",
            "Nov",
            "Nov 40 14:02:00",
            "[1/2/3]",
            "Nov 20 25:00:00 x",
        ] {
            assert_eq!(times().of(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn without_a_zone_it_is_the_hosts() {
        let berlin = Zone::of(&|_| Some("Europe/Berlin".into()));
        if berlin.clone().offset_s(1_795_183_320) == 0 {
            // This machine has no files of zones; the arithmetic is the same with any.
            return;
        }
        let mut times = Times::new(berlin, NOW);
        assert_eq!(times.of(b"2026-11-20 15:02:00 x"), Some(NOW));
        assert_eq!(times.of(b"2026-07-20 16:02:00 x"), times.of(b"2026-07-20 14:02:00Z x"));
    }

    #[test]
    fn a_leap_day_without_a_year_is_of_the_last_leap_year() {
        let mut in_2024 = Times::new(Zone::utc(), 1_709_251_200_000);
        assert_eq!(in_2024.of(b"Feb 29 00:00:00 x"), Some(1_709_164_800_000));
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_time_or_none(line in prop::collection::vec(any::<u8>(), 0..400)) {
            times().of(&line);
        }

        #[test]
        fn a_written_time_reads_back(s in 0u64..4_102_444_800) {
            let text = human::moment(s * 1000);
            prop_assert_eq!(times().of(format!("{text} x").as_bytes()), Some(s * 1000));
            prop_assert_eq!(times().of(format!("{} x", text.replace('T', " ")).as_bytes()), Some(s * 1000));
        }

        #[test]
        fn bytes_like_times_are_survived(line in "[-0-9:./TZ +<>\\[\\]{}\"a-zA-Z,]{0,60}") {
            times().of(line.as_bytes());
        }
    }
}
