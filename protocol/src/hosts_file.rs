//! Lines of a hosts file: which names an address has. The agent looks at them before it saves one, and the client shows
//! and changes them; of a changed line all that was not meant keeps its bytes.

use std::net::IpAddr;

/// The address of an entry; also one that holds on one interface (`fe80::1%eth0`).
pub fn address(text: &str) -> Option<IpAddr> {
    let bare = match text.split_once('%') {
        Some((bare, zone)) if bare.contains(':') && !zone.is_empty() => bare,
        Some(_) => return None,
        None => text,
    };
    bare.parse().ok()
}

/// Whether this can be the name of a host.
pub fn is_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// What stands in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// It is switched off: it stands behind a `#`.
    pub off: bool,
    /// The address.
    pub address: &'a str,
    /// The names as they stand there, with what is between them.
    pub names: &'a str,
    /// What is said about it, without the `#`.
    pub comment: &'a str,
    /// Before the address: blanks, and the `#` of one that is off.
    lead: &'a str,
    gap: &'a str,
    /// After the names, to the end of the line.
    tail: &'a str,
}

impl<'a> Entry<'a> {
    /// The entry in a line; `None` for a line that is none: an empty one, a remark, or something odd. A remark that
    /// reads like an entry is one that is switched off.
    pub fn of(line: &'a str) -> Option<Self> {
        let off = line.trim_start().starts_with('#');
        let body = if off {
            line.trim_start_matches(|c: char| c == '#' || c.is_whitespace())
        } else {
            line.trim_start()
        };
        let lead = &line[..line.len() - body.len()];
        let (fields, remark) = body.split_at(body.find('#').unwrap_or(body.len()));
        let fields = fields.trim_end();
        let (first, rest) = fields.split_at(fields.find(char::is_whitespace)?);
        let names = rest.trim_start();
        let is_entry = address(first).is_some() && names.split_whitespace().all(is_name);
        is_entry.then_some(Self {
            off,
            address: first,
            names,
            comment: remark.trim_start_matches('#').trim(),
            lead,
            gap: &rest[..rest.len() - names.len()],
            tail: &body[fields.len()..],
        })
    }

    /// The entry as somebody would type it: `10.0.0.7 db1 # the database`.
    pub fn typed(&self) -> String {
        let names: Vec<&str> = self.names.split_whitespace().collect();
        let mut text = format!("{} {}", self.address, names.join(" "));
        if !self.comment.is_empty() {
            text.push_str(" # ");
            text.push_str(self.comment);
        }
        text
    }

    /// The line with this address, these names and this comment; what is as it was keeps its bytes.
    #[must_use]
    pub fn with(&self, new: &Self) -> String {
        let same = self.names.split_whitespace().eq(new.names.split_whitespace());
        let names = if same { self.names } else { new.names };
        let mut line = [self.lead, new.address, self.gap, names].concat();
        if new.comment == self.comment {
            line.push_str(self.tail);
            return line;
        }
        if !new.comment.is_empty() {
            let before = self.tail.split('#').next().unwrap_or_default();
            let before = before.trim_end_matches('\r');
            line.push_str(if before.is_empty() { " " } else { before });
            line.push_str("# ");
            line.push_str(new.comment);
        }
        if self.tail.ends_with('\r') {
            line.push('\r');
        }
        line
    }

    /// The line of it switched on or off.
    #[must_use]
    pub fn switched(&self, line: &str, off: bool) -> String {
        if off == self.off {
            return line.to_owned();
        }
        if off {
            return format!("# {line}");
        }
        // As it was before it was switched off.
        let (before, after) = self.lead.split_at(self.lead.rfind('#').map_or(0, |at| at + 1));
        let indent = &before[..before.find('#').unwrap_or(0)];
        let after = after.strip_prefix(' ').unwrap_or(after);
        [indent, after, &line[self.lead.len()..]].concat()
    }
}

/// Why a text is no entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Nothing stands there.
    Nothing,
    /// This is no address.
    Address(String),
    /// The address has no name.
    NoName,
    /// This is no name of a host.
    Name(String),
    /// There is a character that is no text.
    Control,
}

/// What somebody typed as an entry, or the first thing that is wrong with it.
pub fn typed(text: &str) -> Result<Entry<'_>, Wrong> {
    let text = text.trim();
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Wrong::Control);
    }
    let fields = text.split('#').next().unwrap_or_default();
    let mut words = fields.split_whitespace();
    let Some(first) = words.next() else {
        return Err(if text.is_empty() { Wrong::Nothing } else { Wrong::Address("#".to_owned()) });
    };
    if address(first).is_none() {
        return Err(Wrong::Address(first.to_owned()));
    }
    if let Some(name) = words.clone().find(|name| !is_name(name)) {
        return Err(Wrong::Name(name.to_owned()));
    }
    Entry::of(text).ok_or(Wrong::NoName)
}

/// A text with one more entry at its end, in a line of its own, and the number of that line, from 0 on.
pub fn added(lines: &[String], entry: &Entry<'_>) -> (Vec<String>, usize) {
    let mut lines = lines.to_vec();
    // The last of the pieces of a text that ends with a line end is empty.
    let ends = lines.last().is_none_or(String::is_empty);
    let at = if ends { lines.len().saturating_sub(1) } else { lines.len() };
    let carriage = at > 0 && lines[at - 1].ends_with('\r');
    let mut line = format!("{}\t{}", entry.address, entry.names);
    if !entry.comment.is_empty() {
        line.push_str(" # ");
        line.push_str(entry.comment);
    }
    if carriage {
        line.push('\r');
    }
    lines.truncate(at);
    lines.extend([line, String::new()]);
    (lines, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(line: &str) -> Option<(bool, &str, &str, &str)> {
        Entry::of(line).map(|e| (e.off, e.address, e.names, e.comment))
    }

    #[test]
    fn an_entry_has_an_address_names_and_perhaps_a_comment() {
        assert_eq!(said("127.0.0.1\tlocalhost"), Some((false, "127.0.0.1", "localhost", "")));
        let line = "  10.0.0.7   db1.example  db1   # the database \r";
        assert_eq!(said(line), Some((false, "10.0.0.7", "db1.example  db1", "the database")));
        assert_eq!(said("fe80::1%eth0 r#x"), Some((false, "fe80::1%eth0", "r", "x")));
    }

    #[test]
    fn an_entry_behind_a_hash_is_one_that_is_switched_off() {
        assert_eq!(said("#10.0.0.7 db1"), Some((true, "10.0.0.7", "db1", "")));
        assert_eq!(said(" ## 10.0.0.7 db1 # old"), Some((true, "10.0.0.7", "db1", "old")));
    }

    #[test]
    fn what_is_no_entry_is_left_alone() {
        for line in [
            "",
            "  ",
            "# the hosts of the shop",
            "#",
            "10.0.0 db1",
            "10.0.0.7",
            "10.0.0.7 #",
            "10.0.0.7 -bad",
            "10.0.0.7 名前",
            "nonsense",
            "\r",
        ] {
            assert_eq!(said(line), None, "{line:?}");
        }
    }

    #[test]
    fn switching_off_and_on_again_gives_back_the_same_bytes() {
        for line in ["10.0.0.7 db1", "\t10.0.0.7\tdb1  #x\r", "  ::1 localhost"] {
            let off = Entry::of(line).unwrap().switched(line, true);
            let entry = Entry::of(&off).unwrap();
            assert!(entry.off, "{off:?}");
            assert_eq!(entry.switched(&off, true), off);
            assert_eq!(entry.switched(&off, false), line);
        }
        for (line, on) in [("#10.0.0.7 a", "10.0.0.7 a"), (" ##\t10.0.0.7 a", " \t10.0.0.7 a")] {
            assert_eq!(Entry::of(line).unwrap().switched(line, false), on);
        }
    }

    #[test]
    fn a_change_touches_only_what_is_meant() {
        let line = "#  10.0.0.7\t\tdb1   db2  #old\r";
        let with = |text: &str| Entry::of(line).unwrap().with(&typed(text).unwrap());
        assert_eq!(with("10.0.0.7 db1 db2 # old"), line);
        assert_eq!(with("10.0.0.8 db1 db2 # old"), "#  10.0.0.8\t\tdb1   db2  #old\r");
        assert_eq!(with("10.0.0.7 db3 # old"), "#  10.0.0.7\t\tdb3  #old\r");
        assert_eq!(with("10.0.0.7 db1 db2 # new"), "#  10.0.0.7\t\tdb1   db2  # new\r");
        assert_eq!(with("10.0.0.7 db1 db2"), "#  10.0.0.7\t\tdb1   db2\r");
        let plain = Entry::of("10.0.0.7 db1").unwrap();
        assert_eq!(plain.with(&typed("10.0.0.7 db1 # new").unwrap()), "10.0.0.7 db1 # new");
    }

    #[test]
    fn what_is_typed_wrong_is_told() {
        let wrong = |text| typed(text).unwrap_err();
        assert_eq!(wrong(" "), Wrong::Nothing);
        assert_eq!(wrong("# 10.0.0.7 a"), Wrong::Address("#".into()));
        assert_eq!(wrong("10.0.0 a"), Wrong::Address("10.0.0".into()));
        assert_eq!(wrong("10.0.0.7"), Wrong::NoName);
        assert_eq!(wrong("10.0.0.7 # a"), Wrong::NoName);
        assert_eq!(wrong("10.0.0.7 a -b"), Wrong::Name("-b".into()));
        assert_eq!(wrong("10.0.0.7 a\u{1b}[m"), Wrong::Control);
        assert_eq!(typed(" 10.0.0.7  a  b ").unwrap().typed(), "10.0.0.7 a b");
    }

    #[test]
    fn an_entry_is_added_in_a_line_of_its_own_at_the_end() {
        let add = |text: &str| {
            let lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
            let (lines, at) = added(&lines, &typed("10.0.0.9 c # x").unwrap());
            (lines.join("\n"), at)
        };
        assert_eq!(add("a\n"), ("a\n10.0.0.9\tc # x\n".into(), 1));
        assert_eq!(add("a"), ("a\n10.0.0.9\tc # x\n".into(), 1));
        assert_eq!(add(""), ("10.0.0.9\tc # x\n".into(), 0));
        assert_eq!(add("a\r\n"), ("a\r\n10.0.0.9\tc # x\r\n".into(), 1));
    }

    proptest! {
        #[test]
        fn any_line_is_read_and_one_that_is_not_changed_stays(line in "[0-9a-f.:# %\t\r-]{0,60}") {
            if let Some(entry) = Entry::of(&line) {
                prop_assert_eq!(entry.with(&entry), line.clone());
                let other = entry.switched(&line, !entry.off);
                prop_assert_eq!(Entry::of(&other).map(|e| e.off), Some(!entry.off));
                prop_assert!(entry.comment.contains('\r') || typed(&entry.typed()).is_ok());
            }
        }
    }
}
