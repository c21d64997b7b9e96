//! What numbers are measured in, how they are written and shown. The checker of expressions goes by it, and
//! whoever shows a value.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a number without bytes, seconds or degrees counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Nothing said: a literal, or what remains when units cancel out.
    Bare,
    /// Things: processes, sockets, errors.
    Count,
    /// A part of a whole, 1.0 is all of it.
    Share,
}

/// What a number is measured in: powers of bytes, seconds and degrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    pub(crate) bytes: i8,
    pub(crate) seconds: i8,
    pub(crate) degrees: i8,
    pub(crate) flavour: Flavour,
}

impl Unit {
    /// A literal without a unit.
    pub const BARE: Self = Self::of(0, 0, 0, Flavour::Bare);
    /// How many.
    pub const COUNT: Self = Self::of(0, 0, 0, Flavour::Count);
    /// A part of a whole; 1.0 is 100 %.
    pub const SHARE: Self = Self::of(0, 0, 0, Flavour::Share);
    /// Bytes.
    pub const BYTES: Self = Self::of(1, 0, 0, Flavour::Bare);
    /// Seconds.
    pub const SECONDS: Self = Self::of(0, 1, 0, Flavour::Bare);
    /// Degrees Celsius.
    pub const DEGREES: Self = Self::of(0, 0, 1, Flavour::Bare);

    const fn of(bytes: i8, seconds: i8, degrees: i8, flavour: Flavour) -> Self {
        Self { bytes, seconds, degrees, flavour }
    }

    /// The same a second.
    #[must_use]
    pub const fn per_second(self) -> Self {
        Self { seconds: self.seconds.saturating_sub(1), ..self }
    }

    pub(crate) const fn same_powers(self, other: Self) -> bool {
        self.bytes == other.bytes && self.seconds == other.seconds && self.degrees == other.degrees
    }

    const fn plain(self) -> bool {
        self.bytes == 0 && self.seconds == 0 && self.degrees == 0
    }

    /// Whether both can be added and compared.
    pub(crate) fn fits(self, other: Self) -> bool {
        self.same_powers(other)
            && (self.flavour == other.flavour
                || self.flavour == Flavour::Bare
                || other.flavour == Flavour::Bare)
    }

    /// Of a product; nothing where powers run away.
    pub(crate) fn times(self, other: Self) -> Option<Self> {
        let flavour = match (self.flavour, other.flavour) {
            (Flavour::Count, _) | (_, Flavour::Count) => Flavour::Count,
            (Flavour::Share, _) | (_, Flavour::Share) => Flavour::Share,
            _ => Flavour::Bare,
        };
        Self {
            bytes: self.bytes + other.bytes,
            seconds: self.seconds + other.seconds,
            degrees: self.degrees + other.degrees,
            flavour,
        }
        .sane()
    }

    /// Of a quotient. One size by another is a share; of counts it is only a number, which may well be more than 1.
    pub(crate) fn over(self, other: Self) -> Option<Self> {
        let like = self.same_powers(other) && !self.plain();
        let flavour = match (self.flavour, other.flavour) {
            _ if like => Flavour::Share,
            (Flavour::Share, Flavour::Share) | (Flavour::Count, Flavour::Count) => Flavour::Bare,
            (Flavour::Share, _) => Flavour::Share,
            (Flavour::Count, _) => Flavour::Count,
            _ => Flavour::Bare,
        };
        Self {
            bytes: self.bytes - other.bytes,
            seconds: self.seconds - other.seconds,
            degrees: self.degrees - other.degrees,
            flavour,
        }
        .sane()
    }

    fn sane(mut self) -> Option<Self> {
        let sane = [self.bytes, self.seconds, self.degrees].iter().all(|p| (-4..=4).contains(p));
        if !self.plain() && self.flavour == Flavour::Share {
            self.flavour = Flavour::Bare; // half of so many bytes is bytes
        }
        sane.then_some(self)
    }

    /// In words, for errors.
    pub fn named(self) -> String {
        let one = match (self.bytes, self.degrees, self.flavour) {
            (1, 0, _) => "bytes",
            (0, 1, _) => "degrees",
            (0, 0, Flavour::Share) => "a share",
            (0, 0, Flavour::Count) => "a count",
            (0, 0, Flavour::Bare) => "a number",
            _ => return format!("B^{} s^{} °C^{}", self.bytes, self.seconds, self.degrees),
        };
        match (self.seconds, one) {
            (0, one) => one.to_owned(),
            (-1, "a number") => "a number per second".to_owned(),
            (-1, one) => format!("{one} per second"),
            (1, "a number") => "a duration".to_owned(),
            (n, one) => format!("{one} times s^{n}"),
        }
    }
}

/// Units of numbers as they are written: the word, what one of it is, and in what.
const UNITS: &[(&str, f64, Unit)] = &[
    ("%", 0.01, Unit::SHARE),
    ("B", 1.0, Unit::BYTES),
    ("KB", 1e3, Unit::BYTES),
    ("kB", 1e3, Unit::BYTES),
    ("MB", 1e6, Unit::BYTES),
    ("GB", 1e9, Unit::BYTES),
    ("TB", 1e12, Unit::BYTES),
    ("KiB", 1024.0, Unit::BYTES),
    ("MiB", 1_048_576.0, Unit::BYTES),
    ("GiB", 1_073_741_824.0, Unit::BYTES),
    ("TiB", 1_099_511_627_776.0, Unit::BYTES),
    ("ms", 0.001, Unit::SECONDS),
    ("s", 1.0, Unit::SECONDS),
    ("m", 60.0, Unit::SECONDS),
    ("h", 3600.0, Unit::SECONDS),
    ("d", 86_400.0, Unit::SECONDS),
    ("w", 604_800.0, Unit::SECONDS),
    ("°C", 1.0, Unit::DEGREES),
];

/// What a word behind a number means.
pub(crate) fn written(word: &str) -> Option<(f64, Unit)> {
    UNITS.iter().find(|(known, ..)| *known == word).map(|(_, factor, unit)| (*factor, *unit))
}

/// All of them, for errors.
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    UNITS.iter().map(|(word, ..)| *word)
}

/// A value for people: `93.2 %`, `1.21 GiB`, `3 d 4 h`, `12 KiB/s`.
pub fn shown(value: f64, unit: Unit) -> String {
    let per = if unit.seconds == -1 { "/s" } else { "" };
    match (unit.bytes, unit.seconds, unit.degrees, unit.flavour) {
        (1, 0 | -1, 0, _) => format!("{}{per}", bytes(value)),
        (0, 1, 0, _) => duration(value),
        (0, 0, 1, _) => format!("{} °C", three(value)),
        (0, 0, 0, Flavour::Share) => format!("{} %", three(value * 100.0)),
        (0, -1, 0, _) => format!("{}/s", three(value)),
        _ => three(value),
    }
}

/// Three digits that matter, and no more than are there.
fn three(value: f64) -> String {
    let size = value.abs();
    let places = match size {
        _ if size >= 100.0 || size == 0.0 => 0,
        _ if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.places$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn bytes(value: f64) -> String {
    let mut rest = value;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if rest.abs() < 1000.0 {
            return format!("{} {unit}", three(rest));
        }
        rest /= 1024.0;
    }
    format!("{} TiB", three(rest))
}

fn duration(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "" };
    let size = seconds.abs();
    if size < 60.0 {
        return format!("{sign}{} s", three(size));
    }
    // Whole parts; a number that is too large for that is long enough either way.
    let whole = size.min(1e15) as u64;
    let (d, h, m) = (whole / 86_400, whole % 86_400 / 3600, whole % 3600 / 60);
    match (d, h, m) {
        (0, 0, m) => format!("{sign}{m} min"),
        (0, h, m) => format!("{sign}{h} h {m} min"),
        (d, h, _) => format!("{sign}{d} d {h} h"),
    }
}

/// A length of time in milliseconds, written as `30s`, `5m`, `4h`, `7d`; as that it is stored and travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub u64);

impl Span {
    /// The longest that can be written: a year.
    pub const LONGEST: Self = Self(366 * 86_400_000);

    /// So many seconds.
    pub const fn seconds(s: u64) -> Self {
        Self(s * 1000)
    }

    /// So many minutes.
    pub const fn minutes(m: u64) -> Self {
        Self(m * 60_000)
    }

    /// Reads it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || {
            let shown = crate::problem::cut(text, 20);
            format!("`{shown}` is no duration; write for example 30s, 5m, 4h, 7d")
        };
        let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = text[..end].parse().map_err(|_| bad())?;
        let one = match &text[end..] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return Err(bad()),
        };
        let span = Self(number.checked_mul(one).ok_or_else(bad)?);
        if span > Self::LONGEST {
            return Err(format!("`{}` is longer than 366 days", crate::problem::cut(text, 20)));
        }
        Ok(span)
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (unit, one) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
            if self.0 >= one && self.0.is_multiple_of(one) {
                return write!(f, "{}{unit}", self.0 / one);
            }
        }
        if self.0 == 0 { write!(f, "0s") } else { write!(f, "{}ms", self.0) }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_people_write_them() {
        assert_eq!(shown(0.932, Unit::SHARE), "93.2 %");
        assert_eq!(shown(1.3e9, Unit::BYTES), "1.21 GiB");
        assert_eq!(shown(12_288.0, Unit::BYTES.per_second()), "12 KiB/s");
        assert_eq!(shown(273_600.0, Unit::SECONDS), "3 d 4 h");
        assert_eq!(shown(-5.5, Unit::SECONDS), "-5.5 s");
        assert_eq!(shown(1000.0, Unit::COUNT), "1000");
        assert_eq!(shown(2.0, Unit::COUNT.per_second()), "2/s");
    }

    #[test]
    fn spans_are_read_and_written_alike() {
        for text in ["0s", "30s", "5m", "90s", "36h", "7d", "250ms"] {
            assert_eq!(Span::parse(text).map(|s| s.to_string()), Ok(text.to_owned()));
        }
        for bad in ["", "5", "m", "5 m", "1e9d", "99999999999999999999d", "500d"] {
            assert!(Span::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_divided_by_its_like_is_a_share() {
        assert_eq!(Unit::BYTES.over(Unit::BYTES), Some(Unit::SHARE));
        assert_eq!(Unit::BYTES.over(Unit::SECONDS), Some(Unit::BYTES.per_second()));
        assert_eq!(Unit::SHARE.times(Unit::BYTES), Some(Unit::BYTES));
        assert!(!Unit::SHARE.fits(Unit::COUNT) && !Unit::SHARE.fits(Unit::BYTES));
    }
}
