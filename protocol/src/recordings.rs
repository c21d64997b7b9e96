//! Recordings: what a command wrote, when, kept by the hub as asciicast v2 and shown again. Answered by
//! the hub.
//!
//! Nothing is recorded that no [`Rule`] asks for. A recording has the number of the audit record
//! `asked` of what it holds, so one leads to the other. Whoever runs what is recorded is told so, and
//! told who watches it ([`Notice`]).

pub mod cast;

use crate::call::{Access, Call, Feed, Nothing, is_default};
use crate::ids::{HostId, KeyId};
use crate::open_enum::open_enum;
use crate::role::Role;
use crate::selector::glob;
use crate::sessions::Size;
use crate::{exec, inside, sessions, ssh};
use serde::{Deserialize, Serialize};

/// What can be recorded.
pub const RECORDABLE: &[&str] = &[
    exec::Start::METHOD,
    sessions::Open::METHOD,
    sessions::Attach::METHOD,
    sessions::Join::METHOD,
    ssh::Open::METHOD,
    inside::Open::METHOD,
    inside::Exec::METHOD,
];
/// Rules of one hub.
pub const MAX_RULES: usize = 200;
/// The longest name of a rule, in bytes.
pub const MAX_NAME: usize = 64;
/// The longest remark or reason, in bytes.
pub const MAX_REMARK: usize = 1024;
/// The longest pattern that is searched for, in bytes.
pub const MAX_SEARCH: usize = 1024;
/// Recordings in one page.
pub const PAGE: u32 = 200;

/// Says what is recorded. What it leaves out it does not limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Unique: 1 to 64 of `a-z`, `0-9`, `-`, `_` and `.`.
    pub name: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// On which hosts, a selector; empty for all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hosts: String,
    /// Roles, with `*` and `?`; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Operators by name, with `*` and `?`; empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<String>,
    /// Methods (`exec.*`); empty for all that can be recorded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// What they act on, as in a grant (`command:*`); empty for everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// How long recordings are kept at most; 0 for as long as there is room.
    pub keep_days: u32,
    /// What cannot be recorded is refused, and ended when it can no longer be. Otherwise it goes on
    /// without, and the audit log says so.
    pub strict: bool,
    /// What is sent to the command is recorded too. It may hold passwords.
    pub input: bool,
}

/// All rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {}

impl Call for Rules {
    const METHOD: &'static str = "recordings.rules";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Reply = RuleListing;
}

/// The answer to [`Rules`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleListing {
    /// By name.
    pub rules: Vec<Rule>,
}

/// Makes a rule or replaces it; holds for what begins from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PutRule {
    /// The rule.
    pub rule: Rule,
}

impl Call for PutRule {
    const METHOD: &'static str = "recordings.put-rule";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("recording-rule:{}", self.rule.name)
    }
}

/// Removes a rule. What it has recorded stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteRule {
    /// Its name.
    pub name: String,
}

impl Call for DeleteRule {
    const METHOD: &'static str = "recordings.delete-rule";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("recording-rule:{}", self.name)
    }
}

open_enum! {
    /// How a recording stands.
    pub enum State {
        /// What it records still runs.
        Running = "running",
        /// It is whole.
        Whole = "whole",
        /// It is there up to some moment: the hub was killed meanwhile.
        Cut = "cut",
        /// It is there with gaps: the disk was full or too slow, or it grew beyond its limit.
        Gaps = "gaps",
        /// Its file is not there.
        Missing = "missing",
    }
}

open_enum! {
    /// How much something deserves a look.
    pub enum Level {
        /// Nothing struck.
        None = "none",
        /// Worth knowing.
        Notice = "notice",
        /// May do harm.
        Warning = "warning",
        /// Destroys, or opens the door.
        Danger = "danger",
    }
}

/// One recording, without what is in it. Texts are as they came, control characters included: whoever
/// shows them makes them harmless first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recording {
    /// The number of the audit record `asked`.
    pub id: u64,
    /// How it stands.
    pub state: State,
    /// When it began, milliseconds since 1970.
    pub at_ms: u64,
    /// How long it is, in milliseconds; of one that runs, so far.
    pub took_ms: u64,
    /// Who, by name.
    pub operator: String,
    /// Who, by key.
    pub key: Option<KeyId>,
    /// As what.
    pub role: Role,
    /// On which host.
    pub host: Option<HostId>,
    /// The host's name at that time.
    pub host_name: String,
    /// The method.
    pub method: String,
    /// On what.
    pub resource: String,
    /// The command as people read it, cut to 1 KiB.
    pub command: String,
    /// The session that it is an attachment of; empty for a command, and until the host has said it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// The terminal's size at first; absent when there is no terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Size>,
    /// How the command ended, in words: `exit 3`, `signal 9`, or an error; empty while it runs.
    pub ended: String,
    /// The rules it was recorded by.
    pub rules: Vec<String>,
    /// Whether input was recorded.
    pub input: bool,
    /// Bytes recorded, as they came from the command.
    pub bytes: u64,
    /// Bytes on disk.
    pub size: u64,
    /// Bytes that were not recorded.
    pub lost: u64,
    /// Kept until then, milliseconds since 1970; absent for as long as there is room.
    pub until_ms: Option<u64>,
    /// The gravest mark, one made by hand before all others.
    pub level: Level,
    /// What was marked by itself, the gravest first, at most 16.
    pub marks: Vec<Mark>,
    /// The mark made by hand.
    pub remark: Option<Remark>,
    /// Who watches it now.
    pub watchers: Vec<String>,
}

impl Recording {
    /// Sets or clears the mark made by hand, which comes before those made by themselves.
    pub fn set_remark(&mut self, remark: Option<Remark>) {
        let struck = self.marks.first().map_or(Level::None, |mark| mark.level);
        self.level = remark.as_ref().map_or(struck, |remark| remark.level);
        self.remark = remark;
    }
}

/// Something that struck.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mark {
    /// Milliseconds after the beginning.
    pub at_ms: u64,
    /// How grave.
    pub level: Level,
    /// What: `deletes files from the root`.
    pub what: String,
}

/// A mark made by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remark {
    /// How grave; `none` says that there is nothing in it.
    pub level: Level,
    /// Why.
    pub text: String,
    /// Whose.
    pub by: String,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
}

/// Which recordings. Every field that is set must hold; empty ones hold always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Begun not before, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<u64>,
    /// Begun before, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// The operator's name as a glob, or the beginning of the key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operator: String,
    /// The host's name as a glob, or the beginning of its id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Stands in the command, whatever the case of the letters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// Marked at least so; `unknown` for all.
    #[serde(skip_serializing_if = "is_default")]
    pub level: Level,
    /// How it stands; `unknown` for all.
    #[serde(skip_serializing_if = "is_default")]
    pub state: State,
}

impl Filter {
    /// Whether a recording is one of those asked for.
    pub fn matches(&self, recording: &Recording) -> bool {
        let named = |pattern: &str, name: &str, id: Option<String>| {
            pattern.is_empty()
                || (!name.is_empty() && glob(pattern, name))
                || id.is_some_and(|id| pattern.len() >= 4 && id.starts_with(pattern))
        };
        let has = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
        self.from_ms.is_none_or(|from| recording.at_ms >= from)
            && self.until_ms.is_none_or(|until| recording.at_ms < until)
            && named(&self.operator, &recording.operator, recording.key.map(|k| k.to_string()))
            && named(&self.host, &recording.host_name, recording.host.map(|h| h.to_string()))
            && (self.command.is_empty() || has(&recording.command, &self.command))
            && (self.level == Level::Unknown || recording.level >= self.level)
            && (self.state == State::Unknown || recording.state == self.state)
    }
}

/// Recordings, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// Which.
    #[serde(skip_serializing_if = "is_default")]
    pub filter: Filter,
    /// Only recordings with a smaller number: [`Page::next`] of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// How many at most; 0 and more than [`PAGE`] mean [`PAGE`].
    pub limit: u32,
}

/// A piece of a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// Newest first.
    pub recordings: Vec<Recording>,
    /// Where the next page begins; absent when this is the last.
    pub next: Option<u64>,
    /// Bytes that all recordings take on the hub's disk.
    pub used: u64,
    /// Bytes that they may take.
    pub limit: u64,
}

impl Call for List {
    const METHOD: &'static str = "recordings.list";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Reply = Page;
}

open_enum! {
    /// What an event of a recording is.
    pub enum EventKind {
        /// The command wrote it.
        Output = "o",
        /// It was sent to the command.
        Input = "i",
        /// A mark: a dangerous command, a gap, the end.
        Mark = "m",
        /// The terminal has another size: `COLUMNSxROWS`.
        Resize = "r",
    }
}

/// Something that happened in a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Microseconds after the beginning.
    #[serde(rename = "t")]
    pub at_us: u64,
    /// What.
    #[serde(rename = "k")]
    pub kind: EventKind,
    /// The very bytes; of a mark its words.
    #[serde(rename = "d", with = "serde_bytes")]
    pub data: Vec<u8>,
}

/// The events of a recording, in order, at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Read {
    /// Which.
    pub id: u64,
    /// Not before so many milliseconds after its beginning.
    pub from_ms: u64,
}

/// The next events of a [`Read`] or [`Watch`], at most about 256 KiB of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Events {
    /// In the first item: what is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<Recording>,
    /// In order.
    pub events: Vec<Event>,
    /// So many bytes of the recording were skipped before these events, because the reader is slow. They
    /// are not lost: reading shows them.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// In the last item, when the recording does not go on from here as it should: what is wrong.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub damage: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Feed for Read {
    const METHOD: &'static str = "recordings.read";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Input = Nothing;
    type Item = Events;
    fn resource(&self) -> String {
        format!("recording:{}", self.id)
    }
}

/// What a running command writes, as it comes; ends with it. The one who runs it is told who watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Which.
    pub id: u64,
    /// What was written before as well.
    pub from_start: bool,
}

impl Feed for Watch {
    const METHOD: &'static str = "recordings.watch";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Input = Nothing;
    type Item = Events;
    fn resource(&self) -> String {
        format!("recording:{}", self.id)
    }
}

/// Ends a running command that is recorded. The one who runs it is told who did, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stop {
    /// Which.
    pub id: u64,
    /// Why; may be empty.
    pub reason: String,
}

impl Call for Stop {
    const METHOD: &'static str = "recordings.stop";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("recording:{}", self.id)
    }
}

/// Finds text in what commands wrote, escape sequences left aside, in the newest recordings first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Search {
    /// In which recordings.
    #[serde(skip_serializing_if = "is_default")]
    pub filter: Filter,
    /// In this one alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Stands in a line.
    pub text: String,
    /// `text` is a regular expression.
    #[serde(skip_serializing_if = "is_default")]
    pub regex: bool,
    /// Large and small letters are different.
    #[serde(skip_serializing_if = "is_default")]
    pub case: bool,
    /// Input is looked through as well, where it was recorded.
    #[serde(skip_serializing_if = "is_default")]
    pub input: bool,
    /// How many lines at most; 0 and more than 10000 mean 10000.
    #[serde(skip_serializing_if = "is_default")]
    pub limit: u32,
}

/// A line that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hit {
    /// In which recording.
    pub id: u64,
    /// Milliseconds after its beginning, when the line was ended or last added to.
    pub at_ms: u64,
    /// Its number, counted from 1.
    pub line: u64,
    /// The line, cut around what was found; without escape sequences, but not made harmless.
    pub text: String,
    /// It was sent to the command, not written by it.
    pub input: bool,
}

/// The next hits of a [`Search`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hits {
    /// In order.
    pub hits: Vec<Hit>,
    /// Recordings looked through so far.
    pub searched: u64,
    /// In the last item, when the search ended before all was looked through: why, and how to go on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unfinished: String,
    /// What could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<String>,
}

impl Feed for Search {
    const METHOD: &'static str = "recordings.search";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Input = Nothing;
    type Item = Hits;
    fn resource(&self) -> String {
        self.id.map(|id| format!("recording:{id}")).unwrap_or_default()
    }
}

/// Reads recordings whole and proves that every byte is as it was recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verify {
    /// Which; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
}

/// What came of the [`Verify`] of one recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verified {
    /// Which.
    pub id: u64,
    /// How it stands.
    pub state: State,
    /// Pieces that are as they were written.
    pub chunks: u64,
    /// Bytes of output and input in them.
    pub bytes: u64,
    /// The first thing that is wrong; empty when nothing is.
    pub broken: String,
}

impl Feed for Verify {
    const METHOD: &'static str = "recordings.verify";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Input = Nothing;
    type Item = Verified;
    fn resource(&self) -> String {
        self.id.map(|id| format!("recording:{id}")).unwrap_or_default()
    }
}

/// Marks a recording by hand, or takes such a mark away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SetMark {
    /// Which.
    pub id: u64,
    /// How grave; `none` says that there is nothing in it, `unknown` takes the mark by hand away.
    pub level: Level,
    /// Why.
    pub remark: String,
}

impl Call for SetMark {
    const METHOD: &'static str = "recordings.mark";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("recording:{}", self.id)
    }
}

/// Removes a recording for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delete {
    /// Which.
    pub id: u64,
}

impl Call for Delete {
    const METHOD: &'static str = "recordings.delete";
    const ACCESS: Access = Access::Admin;
    type Reply = Nothing;
    fn resource(&self) -> String {
        format!("recording:{}", self.id)
    }
}

/// What the hub tells the one who runs something recorded, as an item among those of the host. Every
/// field that is set is news.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notice {
    /// It is recorded, under this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<u64>,
    /// Who watches it now; empty for nobody any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watchers: Option<Vec<String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_asks_for_what_is_marked_at_least_so() {
        let recording =
            |level| Recording { level, command: "rm -rf /".into(), ..Recording::default() };
        let filter = Filter { level: Level::Warning, command: "RM".into(), ..Filter::default() };
        assert!(filter.matches(&recording(Level::Danger)));
        assert!(filter.matches(&recording(Level::Warning)));
        assert!(!filter.matches(&recording(Level::Notice)));
        assert!(!filter.matches(&recording(Level::None)));
        assert!(Filter::default().matches(&recording(Level::None)));
        assert!(!Filter { command: "mkfs".into(), ..filter }.matches(&recording(Level::Danger)));
    }

    #[test]
    fn what_was_not_asked_for_is_not_sent_and_so_not_in_the_audit_log() {
        let json = |list: &List| serde_json::to_string(list).unwrap();
        assert_eq!(json(&List::default()), r#"{"limit":0}"#);
        let filter = Filter { level: Level::Danger, ..Filter::default() };
        let list = List { filter, ..List::default() };
        assert_eq!(json(&list), r#"{"filter":{"level":"danger"},"limit":0}"#);
        let search = Search { text: "x".into(), ..Search::default() };
        assert_eq!(serde_json::to_string(&search).unwrap(), r#"{"text":"x"}"#);
        assert_eq!(serde_json::from_str::<Search>(r#"{"text":"x"}"#).unwrap(), search);
    }

    #[test]
    fn an_item_of_an_earlier_release_has_no_notice_and_an_earlier_client_sees_an_empty_item() {
        let item: exec::Item = serde_json::from_str("{}").unwrap();
        assert_eq!(item, exec::Item::default());
        let notice = Notice { recording: Some(7), ..Notice::default() };
        let item = exec::Item { notice: Some(notice), ..exec::Item::default() };
        assert_eq!(serde_json::to_string(&item).unwrap(), r#"{"n":{"recording":7}}"#);
    }
}
