//! The local time zone's offset, read from the zone files that every Linux has.

use std::path::PathBuf;

/// Seconds east of UTC at this moment, zero when nothing says.
pub fn offset_s(at_s: u64, var: impl Fn(&str) -> Option<String>) -> i32 {
    Zone::of(&var).offset_s(at_s.cast_signed())
}

fn path(var: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    match var("TZ") {
        Some(zone) if !zone.is_empty() => {
            let zone = zone.trim_start_matches(':');
            // A name from the environment must not lead out of the folder of zones.
            let leads_out = zone.starts_with('/') || zone.contains("..");
            (!leads_out).then(|| PathBuf::from("/usr/share/zoneinfo").join(zone))
        }
        _ => Some(PathBuf::from("/etc/localtime")),
    }
}

/// The local time zone, for many moments.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    file: Vec<u8>,
    /// The quarter of an hour that was asked about last, and its offset.
    last: Option<(i64, i32)>,
}

impl Zone {
    /// The one of this machine.
    pub fn local() -> Self {
        Self::of(&|name: &str| std::env::var(name).ok())
    }

    /// The one that the environment names, else the machine's.
    pub fn of(var: &dyn Fn(&str) -> Option<String>) -> Self {
        let file = path(var).and_then(|path| std::fs::read(path).ok());
        Self { file: file.unwrap_or_default(), last: None }
    }

    /// Universal time.
    pub fn utc() -> Self {
        Self::default()
    }

    /// Seconds east of UTC at this moment.
    pub fn offset_s(&mut self, at_s: i64) -> i32 {
        let quarter = at_s.div_euclid(900);
        match self.last {
            Some((known, offset)) if known == quarter => offset,
            _ => {
                let offset = parse(&self.file, at_s).unwrap_or(0);
                self.last = Some((quarter, offset));
                offset
            }
        }
    }
}

/// Finds the offset in a zone file (RFC 9636). Rules for the time behind the last listed change are
/// not followed; the system's files list changes for years ahead.
fn parse(file: &[u8], at_s: i64) -> Option<i32> {
    let (counts, body) = header(file)?;
    // The first block has 32-bit times; the second, which counts, begins behind it.
    let first = counts.size(4);
    let (counts, body) = header(body.get(first..)?)?;
    let (times, rest) = body.split_at_checked(counts.times.checked_mul(8)?)?;
    let (kinds, rest) = rest.split_at_checked(counts.times)?;
    let (types, _) = rest.split_at_checked(counts.types.checked_mul(6)?)?;
    let before = times
        .chunks_exact(8)
        .take_while(|t| (**t).try_into().map(i64::from_be_bytes).is_ok_and(|t| t <= at_s))
        .count();
    let kind = match before.checked_sub(1) {
        Some(last) => usize::from(*kinds.get(last)?),
        None => 0,
    };
    let entry = types.get(kind.checked_mul(6)?..)?.get(..4)?;
    let offset = i32::from_be_bytes(entry.try_into().ok()?);
    (offset.abs() < 26 * 3600).then_some(offset)
}

struct Counts {
    isut: usize,
    isstd: usize,
    leaps: usize,
    times: usize,
    types: usize,
    chars: usize,
}

impl Counts {
    fn size(&self, time: usize) -> usize {
        self.times * (time + 1)
            + self.types * 6
            + self.chars
            + self.leaps * (time + 4)
            + self.isstd
            + self.isut
    }
}

fn header(file: &[u8]) -> Option<(Counts, &[u8])> {
    let (head, body) = file.split_at_checked(44)?;
    if !head.starts_with(b"TZif") {
        return None;
    }
    let count = |n: usize| {
        let bytes = head.get(20 + n * 4..24 + n * 4)?;
        let value = u32::from_be_bytes(bytes.try_into().ok()?) as usize;
        (value <= body.len()).then_some(value)
    };
    let counts = Counts {
        isut: count(0)?,
        isstd: count(1)?,
        leaps: count(2)?,
        times: count(3)?,
        types: count(4)?,
        chars: count(5)?,
    };
    Some((counts, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with one change: an hour before it, two behind it.
    fn file() -> Vec<u8> {
        let head = |times: u32, types: u32| {
            let mut head = b"TZif2".to_vec();
            head.extend([0; 15]);
            for count in [0, 0, 0, times, types, 4] {
                head.extend(count.to_be_bytes());
            }
            head
        };
        let kind = |offset: i32| [&offset.to_be_bytes()[..], &[0, 0]].concat();
        let mut file = head(0, 1);
        file.extend(kind(0));
        file.extend(b"UTC\0");
        file.extend(head(1, 2));
        file.extend(1000i64.to_be_bytes());
        file.push(1);
        file.extend(kind(3600));
        file.extend(kind(7200));
        file.extend(b"CET\0");
        file
    }

    #[test]
    fn the_last_change_before_a_moment_counts() {
        assert_eq!(parse(&file(), 999), Some(3600));
        assert_eq!(parse(&file(), 1000), Some(7200));
    }

    #[test]
    fn a_file_cut_anywhere_is_refused_not_feared() {
        let file = file();
        for end in 0..file.len() - 4 {
            assert_eq!(parse(&file[..end], 1000), None, "{end}");
        }
    }
}
