//! The audit log: who did what, when, from where, and what came of it. Kept and answered by the hub.
//!
//! Everything that changes something leaves two records: `asked` before it is done, `answered` before
//! its caller is told. What was refused leaves one.

mod value;

pub use value::Value;

use crate::call::{Access, Call, CallError, ErrorKind, Feed, Nothing};
use crate::ids::{HostId, KeyId};
use crate::open_enum::open_enum;
use crate::selector::glob;
use serde::{Deserialize, Serialize};

/// The most records in one page or item.
pub const PAGE: u32 = 500;

open_enum! {
    /// What a record is about.
    pub enum Event {
        /// A request was let through and is about to be done.
        Asked = "asked",
        /// How a request ended.
        Answered = "answered",
        /// A request was refused by the hub.
        Denied = "denied",
        /// An agent did something on its own, which nobody asked it for then.
        Acted = "acted",
        /// A peer was refused before it could ask anything.
        Refused = "refused",
        /// The hub has started.
        Started = "started",
        /// The hub stops in good order.
        Stopped = "stopped",
        /// A crash had left half a record at the end of the log, which was cut off.
        Cut = "cut",
        /// The log was found damaged; it goes on in a new segment, and the damage stays for all to see.
        Damaged = "damaged",
        /// Old segments are removed; the record vouches for what was in them.
        Checkpoint = "checkpoint",
    }
}

open_enum! {
    /// How a request ended.
    pub enum Outcome {
        /// It was done.
        Ok = "ok",
        /// It was tried and did not work, or the command ended with an error.
        Failed = "failed",
        /// The caller may not, or the host's own policy forbids it.
        Denied = "denied",
        /// The caller may once they have asked for it.
        OnRequest = "on-request",
        /// A login went on to ask for the second factor's code.
        NeedsCode = "needs-code",
        /// A login went on to ask for a new password.
        NeedsPassword = "needs-password",
        /// The caller gave it up.
        Cancelled = "cancelled",
        /// The link broke; what happened is not known.
        Lost = "lost",
        /// The host had no link.
        Unreachable = "unreachable",
        /// Its time was over.
        TimedOut = "timed-out",
        /// What it names does not exist.
        NotFound = "not-found",
        /// What it names is not as the caller believed.
        Conflict = "conflict",
        /// The path leads through a link, and has to be asked for by its own name.
        Elsewhere = "elsewhere",
        /// A limit was reached, or a disk is full.
        Busy = "busy",
        /// It could not be understood.
        Malformed = "malformed",
        /// There is no such method.
        UnknownMethod = "unknown-method",
    }
}

impl Outcome {
    /// The outcome of a request that ended with this error.
    pub fn of(kind: ErrorKind) -> Self {
        // The words are the same; one that this release does not know has failed all the same.
        match Self::parse(kind.as_str()) {
            Self::Unknown => Self::Failed,
            outcome => outcome,
        }
    }
}

/// One record. Texts are as they came, control characters included: whoever shows them makes them
/// harmless first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Its number; they follow each other without a gap.
    pub seq: u64,
    /// When it was written, milliseconds since 1970, by the hub's clock.
    pub at_ms: u64,
    /// What it is about.
    pub event: Event,
    /// Who, by name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operator: String,
    /// Who, by key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyId>,
    /// From which address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// What: the method, or `login` and `join`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// On what.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// On which host; absent for the hub itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// The host's name at that time.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host_name: String,
    /// The request, its secrets struck out, cut to 4 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// In `answered`: the number of its `asked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<u64>,
    /// In `answered`, `denied` and `refused`: how it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The words of an error, or of the hub.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// In `answered`: milliseconds since `asked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// What the last item said of the end, such as an exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// In `checkpoint`: what was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<Removed>,
}

impl Record {
    /// How the command of this record ended, in words: `exit 3`, `signal 9`, `closed`.
    pub fn exit(&self) -> Option<String> {
        let result = self.result.as_ref()?;
        let code = result.get("code")?;
        match result.get("outcome") {
            Some(Value::Text(how)) if how == "signalled" => Some(format!("signal {code}")),
            Some(Value::Text(how)) if how == "timed-out" => Some("timed out".to_owned()),
            Some(Value::Text(how)) if how == "closed" => Some("closed".to_owned()),
            _ => Some(format!("exit {code}")),
        }
    }
}

/// What a `checkpoint` vouches for: segments that were whole when they were removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Removed {
    /// All segments up to this one.
    pub segment: u64,
    /// All records up to this one.
    pub seq: u64,
    /// The hash that the chain had reached with it.
    #[serde(with = "serde_bytes")]
    pub hash: Vec<u8>,
    /// How many records this removal took away.
    pub records: u64,
    /// When the first of them was written.
    pub first_ms: u64,
    /// When the last of them was written.
    pub last_ms: u64,
}

/// Which records. Every field that is set must hold; empty ones hold always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Not before, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<u64>,
    /// Before, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// The operator's name as a glob, or the beginning of the key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operator: String,
    /// The method as a glob: `exec.*`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// The host's name as a glob, or the beginning of its id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// How it ended.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// What it is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub event: String,
    /// Stands somewhere in the record, whatever the case of the letters.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
}

impl Filter {
    /// Whether a record is one of those asked for.
    pub fn matches(&self, record: &Record) -> bool {
        let named = |pattern: &str, name: &str, id: Option<String>| {
            pattern.is_empty()
                || (!name.is_empty() && glob(pattern, name))
                || id.is_some_and(|id| pattern.len() >= 4 && id.starts_with(pattern))
        };
        self.from_ms.is_none_or(|from| record.at_ms >= from)
            && self.until_ms.is_none_or(|until| record.at_ms < until)
            && named(&self.operator, &record.operator, record.key.map(|k| k.to_string()))
            && named(&self.host, &record.host_name, record.host.map(|h| h.to_string()))
            && (self.method.is_empty() || glob(&self.method, &record.method))
            && (self.outcome.is_empty()
                || record.outcome.is_some_and(|outcome| outcome.as_str() == self.outcome))
            && (self.event.is_empty() || self.event == record.event.as_str())
            && (self.text.is_empty() || self.has_text(record))
    }

    fn has_text(&self, record: &Record) -> bool {
        let wanted = self.text.to_lowercase();
        let within = |text: &str| text.to_lowercase().contains(&wanted);
        [
            record.operator.as_str(),
            &record.address,
            &record.method,
            &record.resource,
            &record.host_name,
            &record.message,
        ]
        .into_iter()
        .any(within)
            || record.body.as_ref().is_some_and(|body| body.any_text(&within))
            || record.result.as_ref().is_some_and(|result| result.any_text(&within))
    }
}

/// Records, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// Which.
    pub filter: Filter,
    /// Only records with a smaller number: [`Page::next`] of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// How many at most; 0 and more than [`PAGE`] mean [`PAGE`].
    pub limit: u32,
}

/// A piece of a [`List`]. It may hold fewer records than asked for, even none, and still not be the
/// last: the hub looks through so much of the log at once and no more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// Newest first.
    pub records: Vec<Record>,
    /// Where the next page begins; absent when this is the last.
    pub next: Option<u64>,
    /// What is wrong with the part of the log that was looked at; empty when nothing is.
    pub damage: String,
}

impl Call for List {
    const METHOD: &'static str = "audit.list";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Reply = Page;
}

/// Records in the order in which they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Which.
    pub filter: Filter,
    /// Those after this number; absent for those that are still to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// End where the log ends now, instead of waiting for more.
    pub once: bool,
}

/// The next records of a [`Watch`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Items {
    /// In order.
    pub records: Vec<Record>,
    /// So many were removed by the hub's retention before they could be sent.
    pub missed: u64,
}

impl Feed for Watch {
    const METHOD: &'static str = "audit.watch";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Input = Nothing;
    type Item = Items;
}

/// Walks the whole log and proves it, or names the first record that is not as it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verify {}

/// The answer to a [`Verify`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verified {
    /// Records that are as they were written.
    pub records: u64,
    /// Segments they stand in.
    pub segments: u64,
    /// Number of the first of them; the ones before were removed by retention.
    pub first_seq: u64,
    /// Number of the last of them.
    pub last_seq: u64,
    /// When the first was written.
    pub first_ms: u64,
    /// When the last was written.
    pub last_ms: u64,
    /// Bytes of a record that a crash has cut short, behind the last whole one. No damage.
    pub torn: u64,
    /// The first thing that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broken: Option<Broken>,
}

/// Where the log is broken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Broken {
    /// Number of the segment.
    pub segment: u64,
    /// Number of the record.
    pub seq: u64,
    /// Where in the segment's file it begins.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "segment {}, record {}, byte {}: {}",
            self.segment, self.seq, self.offset, self.what
        )
    }
}

impl Verified {
    /// What people read.
    pub fn told(&self) -> String {
        match &self.broken {
            Some(broken) => format!("the audit log is broken: {broken}"),
            None => format!(
                "the audit log is whole: {} in {}, from {} to {}",
                crate::human::count(self.records, "record"),
                crate::human::count(self.segments, "segment"),
                crate::human::moment(self.first_ms),
                crate::human::moment(self.last_ms)
            ),
        }
    }
}

impl Call for Verify {
    const METHOD: &'static str = "audit.verify";
    const ACCESS: Access = Access::Admin;
    const CHANGES: bool = false;
    type Reply = Verified;
}

/// The error of a call that was refused because it cannot be recorded.
pub fn unrecorded(why: &str) -> CallError {
    CallError::new(
        ErrorKind::Busy,
        format!(
            "it cannot be recorded in the audit log, so it was not done: {why}; \
             free some space on the hub's disk and try again"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            seq: 7,
            at_ms: 1000,
            operator: "ann@desk".into(),
            key: Some(KeyId([1; 16])),
            method: "exec.start".into(),
            host: Some(HostId([2; 16])),
            host_name: "web1".into(),
            outcome: Some(Outcome::Failed),
            body: Some(Value::Map(vec![(
                "argv".into(),
                Value::List(vec![Value::Text("Uptime".into())]),
            )])),
            ..Record::default()
        }
    }

    #[test]
    fn every_field_of_a_filter_that_is_set_must_hold() {
        let yes = |filter: Filter| assert!(filter.matches(&record()), "{filter:?}");
        let no = |filter: Filter| assert!(!filter.matches(&record()), "{filter:?}");
        let f = Filter::default;
        yes(f());
        yes(Filter { from_ms: Some(1000), until_ms: Some(1001), ..f() });
        no(Filter { from_ms: Some(1001), ..f() });
        no(Filter { until_ms: Some(1000), ..f() });
        yes(Filter { operator: "ann*".into(), host: "web*".into(), ..f() });
        no(Filter { operator: "ann*".into(), host: "db*".into(), ..f() });
        yes(Filter { operator: KeyId([1; 16]).to_string()[..6].into(), ..f() });
        yes(Filter { host: HostId([2; 16]).to_string(), ..f() });
        yes(Filter { method: "exec.*".into(), outcome: "failed".into(), ..f() });
        no(Filter { method: "hosts.*".into(), ..f() });
        no(Filter { outcome: "ok".into(), ..f() });
        yes(Filter { text: "UPTIME".into(), ..f() });
        no(Filter { text: "reboot".into(), ..f() });
    }

    #[test]
    fn each_kind_of_error_has_an_outcome_of_its_name() {
        for kind in ErrorKind::ALL {
            assert_eq!(Outcome::of(*kind).as_str(), kind.as_str());
        }
        assert_eq!(Outcome::of(ErrorKind::Unknown), Outcome::Failed);
    }

    #[test]
    fn a_record_reads_back_from_json_with_its_body_as_it_was() {
        let text = serde_json::to_string(&record()).unwrap();
        assert!(text.contains(r#""body":{"argv":["Uptime"]}"#), "{text}");
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record());
    }

    #[test]
    fn the_end_of_a_command_is_told_in_words() {
        let with = |how: &str, code: i64| {
            let fields = vec![
                ("outcome".to_owned(), Value::Text(how.to_owned())),
                ("code".to_owned(), Value::Int(code)),
            ];
            Record { result: Some(Value::Map(fields)), ..Record::default() }.exit()
        };
        assert_eq!(with("exited", 3).as_deref(), Some("exit 3"));
        assert_eq!(with("signalled", 9).as_deref(), Some("signal 9"));
        assert_eq!(with("timed-out", 15).as_deref(), Some("timed out"));
        assert_eq!(record().exit(), None);
    }
}
