//! Orders between the hub and its agents: each is done at most once, and how it ended is told until the hub has
//! it on disk.
//!
//! The hub asks [`Take`]; when that is answered the order is on the host's disk. States, output and results come
//! over [`Watch`], which the hub holds open on every link: first of all orders that it has not confirmed, then as
//! they change. What it has on disk it confirms over the same feed, and then the agent forgets it, but for its name.
//! No client asks any of these: the hub authorises an order by [`Order::resource`] when somebody makes a run.

use crate::call::{Access, Call, Feed};
use crate::runs::{Order, TargetState};
use serde::{Deserialize, Serialize};

/// The longest name of an order.
pub const MAX_ID: usize = 128;
/// Bytes of output that are kept of an order when nothing is said.
pub const OUTPUT: u64 = 1 << 20;
/// Bytes of output that are kept of an order at most, whatever is said.
pub const MAX_OUTPUT: u64 = 64 << 20;
/// The largest piece of output in one item.
pub const PIECE: usize = 32 * 1024;
/// Moments of one schedule that an agent is told at once.
pub const MAX_TIMES: usize = 2000;
/// Schedules that an agent keeps.
pub const MAX_SCHEDULES: usize = 256;

/// Whether a text can be the name of a package anywhere: no option, no path, no pattern, nothing that a
/// package manager reads as more than a name with a version or an architecture.
pub fn is_package(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"+-._:=~@^".contains(&b);
    name.len() <= 200
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(fits)
        // apt reads these endings as "remove", "install" and "task", whatever else it was told.
        && !name.ends_with(['-', '^'])
        && (!name.ends_with('+') || name.ends_with("++"))
}

/// Whether a text can name a blob.
pub fn is_blob(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a text can name an order: `RUN.TARGET.ATTEMPT` and what agents make of schedules.
pub fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len())
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Takes an order. When this is answered it is on the host's disk; whoever asks twice with one name gets the
/// same answer, and nothing begins twice. Asked by the hub, for whoever made the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Take {
    /// Its name: `RUN.TARGET.ATTEMPT`.
    pub id: String,
    /// What is to be done.
    pub order: Order,
    /// Bytes of its output to keep; absent for [`OUTPUT`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// It is over within so many milliseconds from now, waiting included, or it is ended; absent for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The moment of the schedule that it is for: the agent may have done it while the hub was away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurrence: Option<Occurrence>,
}

impl Call for Take {
    const METHOD: &'static str = "orders.take";
    const ACCESS: Access = Access::Act;
    const SECRETS: &'static [&'static str] = &["order.env.*"];
    const RESULT: &'static str = "state";
    type Reply = Taken;
    fn resource(&self) -> String {
        self.order.resource()
    }
}

/// The answer to a [`Take`]. An order that is refused here has left nothing behind, and may be asked again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Taken {
    /// Where it is now: further on than `sent` when it had been taken before.
    pub state: TargetState,
    /// The host had it already.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// It is over, and nothing is told of it over [`Watch`]: its end was confirmed, or it was cancelled before it came.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub confirmed: bool,
    /// The agent did this occurrence by itself, as the order of this name: its reports count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
}

/// One moment of a schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Occurrence {
    /// The schedule's name, as in [`Schedule::id`].
    pub schedule: String,
    /// When it was due, milliseconds since 1970.
    pub due_ms: u64,
}

/// States, output and results of all orders that are not confirmed, then what becomes of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// How far the hub has the output of orders that are not over: the rest follows. Of others all follows that
    /// was not confirmed.
    pub have: Vec<Have>,
}

impl Feed for Watch {
    const METHOD: &'static str = "orders.watch";
    const ACCESS: Access = Access::Read;
    type Input = Confirm;
    type Item = Told;
}

/// How far the output of an order is at the hub, on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Have {
    /// Which order.
    #[serde(rename = "i")]
    pub id: String,
    /// All bytes before this one, counted from the first that the program wrote.
    #[serde(rename = "b")]
    pub bytes: u64,
}

/// What the hub has on disk: the agent need not keep it any longer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Confirm {
    /// Output.
    #[serde(rename = "h", skip_serializing_if = "Vec::is_empty")]
    pub have: Vec<Have>,
    /// Orders whose end and whole output it has.
    #[serde(rename = "o", skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<String>,
}

/// News of orders: in one item what there was at one time. Output of an order comes before the report of its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// Output, in order.
    #[serde(rename = "p", skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<Piece>,
    /// Orders whose state is new.
    #[serde(rename = "r", skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<Report>,
    /// All that was there when the feed began has been told: the host does not have any other order.
    #[serde(rename = "a", skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// A piece of output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Piece {
    /// Of which order.
    #[serde(rename = "i")]
    pub id: String,
    /// Where it begins, counted in bytes of both outputs together. Where it does not begin at the end of the one
    /// before, what is between was not kept.
    #[serde(rename = "a")]
    pub at: u64,
    /// It went to the standard error.
    #[serde(rename = "e", skip_serializing_if = "std::ops::Not::not")]
    pub stderr: bool,
    /// The bytes.
    #[serde(rename = "d", with = "serde_bytes")]
    pub data: Vec<u8>,
}

/// Where an order is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Which.
    #[serde(rename = "i")]
    pub id: String,
    /// Its state.
    #[serde(rename = "s")]
    pub state: TargetState,
    /// The code of what ran; 127 and 126 for what could not be run, as shells have it. Absent while it runs, and
    /// when nothing ran or a signal ended it.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended it.
    #[serde(rename = "g", skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// When it began by the host's clock, milliseconds since 1970; absent for one that did not begin.
    #[serde(rename = "b", skip_serializing_if = "Option::is_none")]
    pub began_ms: Option<u64>,
    /// Milliseconds from its beginning to its end.
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// What people read: why, or what was done; empty when the code says all.
    #[serde(rename = "m", skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Nothing had to be done: the file, or the packages, were so already.
    #[serde(rename = "y", skip_serializing_if = "std::ops::Not::not")]
    pub already: bool,
    /// Bytes that it wrote, kept or not. The agent's last word with the end.
    #[serde(rename = "o", skip_serializing_if = "is_zero")]
    pub output: u64,
    /// So many of them were not kept.
    #[serde(rename = "l", skip_serializing_if = "is_zero")]
    pub lost: u64,
    /// What the agent did by itself while the hub was away is for this.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub occurrence: Option<Occurrence>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Ends orders, with all they have started; those that have not begun, or not even come, never begin. How each
/// ended is told as ever, but for those that the answer names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cancel {
    /// Which.
    pub ids: Vec<String>,
    /// Why, for people.
    pub why: String,
}

impl Call for Cancel {
    const METHOD: &'static str = "orders.cancel";
    const ACCESS: Access = Access::Act;
    type Reply = Cancelled;
}

/// The answer to a [`Cancel`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cancelled {
    /// Those of which nothing is told over [`Watch`], because the host has nothing of them to tell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<Gone>,
}

/// An order that a host keeps by its name alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gone {
    /// Which.
    #[serde(rename = "i")]
    pub id: String,
    /// `cancelled` for one that had not come, and never begins; else how it ended, which was confirmed.
    #[serde(rename = "s")]
    pub state: TargetState,
}

/// All schedules that are for this host, in the place of those it had. It keeps them on disk, and does them by
/// itself while no hub watches it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedules {
    /// All of them.
    pub schedules: Vec<Schedule>,
}

impl Call for Schedules {
    const METHOD: &'static str = "orders.schedules";
    const ACCESS: Access = Access::Act;
    const SECRETS: &'static [&'static str] = &["schedules"];
    type Reply = Kept;
}

/// The answer to [`Schedules`]: all are kept but these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Those that the host's owner does not let be done, or that make no sense there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Unkept>,
}

/// A schedule that a host does not keep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unkept {
    /// Which.
    #[serde(rename = "i")]
    pub id: String,
    /// Why.
    #[serde(rename = "w")]
    pub why: String,
}

/// An order that is done again and again. The hub works out when: hosts know nothing of calendars.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedule {
    /// Its name, a new one whenever it changes.
    pub id: String,
    /// What is to be done.
    pub order: Order,
    /// Bytes of output to keep each time; absent for [`OUTPUT`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// Each time it is over within so many milliseconds; absent for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The next moments, milliseconds since 1970, ascending; at most [`MAX_TIMES`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<u64>,
    /// For those without a calendar: every so many milliseconds, counted from `from_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u64>,
    /// From when on `every_ms` is counted; nothing is due then itself.
    #[serde(skip_serializing_if = "is_zero")]
    pub from_ms: u64,
    /// After this moment the host does nothing of it by itself, milliseconds since 1970; absent for no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Whose it is; for the host's log.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub by: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_order_is_that_of_a_harmless_file() {
        for id in ["r7.12.1", "schedule-x.1700000000", "A_b"] {
            assert!(is_id(id), "{id}");
        }
        for id in ["", ".", "..", ".x", "a/b", "a b", "a\0", &"x".repeat(MAX_ID + 1)] {
            assert!(!is_id(id), "{id}");
        }
    }

    #[test]
    fn a_package_is_named_by_a_name_and_nothing_else() {
        for name in
            ["nginx", "libc6:i386", "nginx=1.22.1-9", "g++", "python3.11", "kernel-5.14~rc1"]
        {
            assert!(is_package(name), "{name}");
        }
        for name in
            ["", "-y", "--force-yes", "./x.deb", "/tmp/x.deb", "a b", "nginx*", "x-", "x+", "a;b"]
        {
            assert!(!is_package(name), "{name}");
        }
    }
}
