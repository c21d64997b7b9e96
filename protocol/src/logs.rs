//! Logs of a host: which there are, and their lines, sifted on the host, as they are written.
//!
//! One feed reads one source, so that a grant may name files and units; whoever wants several opens
//! several and merges them. Bytes of a line are the host's: the reader makes them harmless.

use crate::call::{Access, Call, Feed};
use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize};

/// The longest line that is sent whole, in bytes; of a longer one the rest is counted.
pub const LONGEST_LINE: usize = 16 * 1024;
/// Patterns of one kind in a [`Filter`].
pub const MAX_PATTERNS: usize = 16;
/// The longest pattern, in bytes.
pub const MAX_PATTERN: usize = 1024;
/// Lines of context on either side.
pub const MAX_CONTEXT: u32 = 100;
/// Lines that may be asked for from before.
pub const MAX_LAST: u32 = 100_000;

open_enum! {
    /// Where lines come from. It stands before the colon of a [`Source::source`].
    pub enum Kind {
        /// A file, with those that were rotated away from it.
        File = "file",
        /// A unit of the service manager, from the journal.
        Unit = "unit",
        /// The journal itself: `journal:all`, or what the kernel says, `journal:kernel`.
        Journal = "journal",
        /// A container of the host's Docker engine, by its name or id.
        Container = "container",
    }
}

/// The kind of a source and what is behind the colon.
pub fn parts(source: &str) -> (Kind, &str) {
    match source.split_once(':') {
        Some((kind, name)) if !name.is_empty() => (Kind::parse(kind), name),
        _ => (Kind::Unknown, source),
    }
}

/// What can be read on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sources {
    /// Files whose paths match one of these (`/var/log/nginx/*.log`; `**` is any number of folders), and containers
    /// (`container:web*`); empty for all files, units and containers.
    pub paths: Vec<String>,
}

impl Call for Sources {
    const METHOD: &'static str = "logs.sources";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

open_enum! {
    /// Whether a host has a journal.
    pub enum JournalState {
        /// It can be read.
        Here = "here",
        /// There is none.
        None = "none",
        /// The host's policy keeps it.
        Denied = "denied",
    }
}

/// The answer to [`Sources`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Files by path, then the journal and its units by name.
    pub sources: Vec<Source>,
    /// There are more than are listed.
    pub more: bool,
    /// Whether there is a journal.
    pub journal: JournalState,
    /// The one that tells of the system as a whole; empty for none.
    pub main: String,
}

/// Something to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Source {
    /// `file:/var/log/syslog`, `unit:nginx.service`, `journal:all`, `container:web`.
    pub source: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes of the file that is written now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// When it was written to, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_ms: Option<u64>,
    /// Files rotated away from it that can be read too.
    #[serde(skip_serializing_if = "is_zero")]
    pub rotated: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

open_enum! {
    /// How grave a line is; the gravest first.
    pub enum Level {
        /// Nothing goes on.
        Fatal = "fatal",
        /// Something failed.
        Error = "error",
        /// Something may fail.
        Warning = "warning",
        /// Worth knowing.
        Notice = "notice",
        /// What happens.
        Info = "info",
        /// For those who look for a fault.
        Debug = "debug",
        /// Every step.
        Trace = "trace",
    }
}

impl Level {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
    fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }
}

/// Which lines are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Regular expressions of which one must match; empty for every line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Regular expressions of which none may match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Only lines that are known to be at least so grave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// Lines before each that is wanted.
    pub before: u32,
    /// Lines after each that is wanted.
    pub after: u32,
    /// Lines that begin with a blank belong to the one before and are wanted with it.
    pub joined: bool,
}

/// Lines of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Follow {
    /// [`Source::source`].
    pub source: String,
    /// Which lines.
    pub filter: Filter,
    /// From this moment on, milliseconds since 1970. Lines without a time have that of the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// Up to this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Begin with so many of the newest wanted lines; absent with `since_ms` for all, without it for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
    /// Go on with what is written from now on; else the feed ends where the source does.
    pub follow: bool,
    /// Go on behind this place instead of what the three above say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<At>,
}

impl Feed for Follow {
    const METHOD: &'static str = "logs.follow";
    const ACCESS: Access = Access::Read;
    type Input = Input;
    type Item = Item;
    fn resource(&self) -> String {
        self.source.clone()
    }
}

/// A place in a source, as the host has told it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct At {
    /// The number of the file.
    #[serde(rename = "i", skip_serializing_if = "Option::is_none")]
    pub file: Option<u64>,
    /// Bytes before it in the file.
    #[serde(rename = "o", skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Over some bytes before it: a file that was written anew is another one.
    #[serde(rename = "k", skip_serializing_if = "Option::is_none")]
    pub check: Option<u64>,
    /// The journal's own name for it, or what a container's engine is asked for.
    #[serde(rename = "c", skip_serializing_if = "String::is_empty")]
    pub cursor: String,
}

/// What the reader may say meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Input {
    /// Look with another filter from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sift: Option<Sift>,
    /// Stand still, or go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<bool>,
    /// Show what stands before, also before [`Follow::since_ms`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older: Option<Older>,
}

/// Another filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sift {
    /// The filter.
    pub filter: Filter,
    /// Comes back in the first item that is sifted by it.
    pub number: u32,
    /// Begin anew with so many of the newest lines that it wants; absent to go on from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
}

/// Older lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Older {
    /// Before this place ([`Item::first`]).
    pub before: At,
    /// At most so many.
    pub lines: u32,
}

open_enum! {
    /// What happened between lines.
    pub enum GapKind {
        /// A new file took the old one's place; nothing is lost.
        Rotated = "rotated",
        /// The file was emptied or written anew; what was not read by then is lost.
        Truncated = "truncated",
        /// The file is not there any more; its name is watched.
        Gone = "gone",
        /// It is not known what was written between the place to go on from and the next line.
        Missed = "missed",
        /// A rotated file could not be read.
        Unreadable = "unreadable",
        /// Nothing tells when lines were written: what was asked by time goes by whole files.
        NoTimes = "no-times",
        /// It was searched so far back, and not further.
        Searched = "searched",
    }
}

/// Something that happened before the lines it comes with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gap {
    /// What.
    #[serde(rename = "k")]
    pub kind: GapKind,
    /// More about it: a path, a count of bytes; for people.
    #[serde(rename = "w", skip_serializing_if = "String::is_empty")]
    pub what: String,
}

/// What a feed brings, in order. Lines looked at and not wanted cost a count, and that at most once a
/// second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Item {
    /// What happened before these lines.
    #[serde(rename = "g", skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// Lines, the oldest first.
    #[serde(rename = "n", skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<Line>,
    /// They stand before all that were sent so far: an answer to [`Older`].
    #[serde(rename = "o", skip_serializing_if = "std::ops::Not::not")]
    pub older: bool,
    /// The last answer to one [`Older`].
    #[serde(rename = "e", skip_serializing_if = "std::ops::Not::not")]
    pub older_end: bool,
    /// Nothing stands before them.
    #[serde(rename = "b", skip_serializing_if = "std::ops::Not::not")]
    pub beginning: bool,
    /// Where the oldest of what was looked at begins; comes with the first lines and with older ones.
    #[serde(rename = "a", skip_serializing_if = "Option::is_none")]
    pub first: Option<At>,
    /// Where the newest of what was looked at ends: with this one goes on after a cut.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    pub place: Option<At>,
    /// Lines that were looked at since the last item.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub seen: Option<u64>,
    /// All that is written so far was looked at.
    #[serde(rename = "c", skip_serializing_if = "std::ops::Not::not")]
    pub caught_up: bool,
    /// From here on the filter of this number holds; what was sent before by another is over when
    /// lines were asked for anew.
    #[serde(rename = "f", skip_serializing_if = "Option::is_none")]
    pub sifted: Option<u32>,
}

open_enum! {
    /// How the time of a line is known.
    pub enum TimeFrom {
        /// It stands in the line.
        Line = "line",
        /// The journal has it, or the container's engine.
        Journal = "journal",
        /// It is when the line was read.
        Arrival = "arrival",
    }
}

impl TimeFrom {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
    fn is_line(&self) -> bool {
        *self == Self::Line
    }
    fn line() -> Self {
        Self::Line
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Line {
    /// When it was written, milliseconds since 1970; absent when nothing tells.
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
    /// How that is known.
    #[serde(rename = "h", skip_serializing_if = "TimeFrom::is_line", default = "TimeFrom::line")]
    pub time_from: TimeFrom,
    /// Its bytes without the line end, at most [`LONGEST_LINE`].
    #[serde(rename = "d", with = "serde_bytes")]
    pub bytes: Vec<u8>,
    /// How long it is in truth, when that is more.
    #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
    pub whole: Option<u64>,
    /// How grave it is, when that is known.
    #[serde(rename = "l", skip_serializing_if = "Level::is_unknown")]
    pub level: Level,
    /// It stands beside one that is wanted.
    #[serde(rename = "c", skip_serializing_if = "std::ops::Not::not")]
    pub context: bool,
    /// With context: lines between it and the one before are left out.
    #[serde(rename = "q", skip_serializing_if = "std::ops::Not::not")]
    pub apart: bool,
    /// Who wrote it, where the journal says so and the source does not.
    #[serde(rename = "u", skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// A container wrote it to its standard error.
    #[serde(rename = "r", skip_serializing_if = "std::ops::Not::not")]
    pub stderr: bool,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            at_ms: None,
            time_from: TimeFrom::Line,
            bytes: Vec::new(),
            whole: None,
            level: Level::Unknown,
            context: false,
            apart: false,
            by: String::new(),
            stderr: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_kind_and_a_name() {
        assert_eq!(parts("file:/var/log/a:b"), (Kind::File, "/var/log/a:b"));
        assert_eq!(parts("unit:nginx.service"), (Kind::Unit, "nginx.service"));
        assert_eq!(parts("container:web"), (Kind::Container, "web"));
        assert_eq!(parts("pod:web"), (Kind::Unknown, "web"));
        assert_eq!(parts("file:"), (Kind::Unknown, "file:"));
        assert_eq!(Follow { source: "unit:a".into(), ..Follow::default() }.resource(), "unit:a");
    }

    #[test]
    fn the_gravest_level_is_the_least() {
        assert!(Level::Fatal < Level::Error && Level::Error < Level::Warning);
        assert!(Level::Trace < Level::Unknown);
    }
}
