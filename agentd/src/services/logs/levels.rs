//! How grave a line is, from its words.

use cmdr_protocol::logs::Level;

/// Words behind so many bytes are what happened, not how grave it is.
const LOOKED_AT: usize = 256;

/// The level of a number as syslog has them.
pub(super) const fn of_priority(priority: u8) -> Level {
    match priority % 8 {
        0..=2 => Level::Fatal,
        3 => Level::Error,
        4 => Level::Warning,
        5 => Level::Notice,
        6 => Level::Info,
        _ => Level::Debug,
    }
}

/// The level that a line names, if it does.
pub fn level_of(line: &[u8]) -> Level {
    let line = &line[..line.len().min(LOOKED_AT)];
    if let Some(level) = klog(line).or_else(|| priority(line)) {
        return level;
    }
    let mut at = 0;
    while at < line.len() {
        if !line[at].is_ascii_alphabetic() {
            at += 1;
            continue;
        }
        let len = line[at..].iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let (word, before, after) =
            (&line[at..at + len], at.checked_sub(1).map(|n| line[n]), line.get(at + len).copied());
        // In the middle of a text it is a word like others.
        let upper = word.iter().all(u8::is_ascii_uppercase);
        let marked = matches!(before, Some(b'[' | b'=' | b'"' | b'<' | b'(' | b'|'))
            || matches!(after, Some(b':' | b']'));
        let part = matches!(before, Some(b'_' | b'-' | b'/' | b'.'))
            || matches!(after, Some(b'_' | b'-' | b'/' | b'='));
        if (upper || marked)
            && !part
            && let Some(level) = named(word)
        {
            return level;
        }
        at += len;
    }
    Level::Unknown
}

fn named(word: &[u8]) -> Option<Level> {
    let mut lower = [0; 11];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word);
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"fatal" | b"panic" | b"emerg" | b"emergency" | b"alert" | b"crit" | b"critical" => {
            Level::Fatal
        }
        b"error" | b"err" | b"severe" | b"exception" => Level::Error,
        b"warning" | b"warn" => Level::Warning,
        b"notice" => Level::Notice,
        b"info" | b"information" => Level::Info,
        b"debug" | b"fine" => Level::Debug,
        b"trace" | b"verbose" | b"finest" => Level::Trace,
        _ => return None,
    })
}

/// `E1120 14:02:00.123456`.
fn klog(line: &[u8]) -> Option<Level> {
    let [letter, digits @ .., b' '] = line.get(..6)? else { return None };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(match letter {
        b'F' => Level::Fatal,
        b'E' => Level::Error,
        b'W' => Level::Warning,
        b'I' => Level::Info,
        _ => return None,
    })
}

/// `<34>1 2026-11-20T14:02:00Z`.
fn priority(line: &[u8]) -> Option<Level> {
    let rest = line.strip_prefix(b"<")?;
    let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if len == 0 || len > 3 || rest.get(len) != Some(&b'>') {
        return None;
    }
    let number: u16 = std::str::from_utf8(&rest[..len]).ok()?.parse().ok()?;
    u8::try_from(number).ok().filter(|n| *n <= 191).map(of_priority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn levels_are_found_where_programs_write_them() {
        let cases = [
            ("2026-11-20T14:02:00Z ERROR db: gone", Level::Error),
            ("2026/11/20 14:02:00 [error] 7#7: *1 open() failed", Level::Error),
            ("time=2026 level=warning msg=\"an error came\"", Level::Warning),
            ("{\"level\":\"info\",\"msg\":\"error\"}", Level::Info),
            ("Nov 20 14:02:00 web1 app[7]: WARN slow", Level::Warning),
            ("E1120 14:02:00.123456 7 x.go:1] no", Level::Error),
            ("<11>Nov 20 14:02:00 x", Level::Error),
            ("error: could not", Level::Error),
            ("GET /error/page HTTP/1.1 200", Level::Unknown),
            ("the errors of the past", Level::Unknown),
            ("an error happened", Level::Unknown),
            ("ERROR_CODE=7", Level::Unknown),
            ("", Level::Unknown),
        ];
        for (line, level) in cases {
            assert_eq!(level_of(line.as_bytes()), level, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_level_or_none(line in prop::collection::vec(any::<u8>(), 0..300)) {
            level_of(&line);
        }
    }
}
