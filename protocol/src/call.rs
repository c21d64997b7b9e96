//! The shape of everything one part may ask of another: a [`Call`] has one reply, a [`Feed`] is
//! answered by a stream of items and may take input meanwhile.

use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What a method needs. The hub compares it with the caller's role; a method without one does not
/// compile, so nothing can be reachable by omission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Lets a key in: also asked by keys that the hub does not know yet.
    Open,
    /// Concerns nobody but the caller: every operator may, whatever the role; programs' keys may not.
    Own,
    /// Looks, changes nothing.
    Read,
    /// Changes something on a host.
    Act,
    /// Changes who and what belongs to the fleet.
    Admin,
}

/// A request with exactly one reply.
pub trait Call: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name on the wire, `feature.verb`.
    const METHOD: &'static str;
    /// What the caller must be allowed.
    const ACCESS: Access;
    /// Whether it changes anything. What does is not done while it cannot be recorded.
    const CHANGES: bool = !matches!(Self::ACCESS, Access::Read);
    /// Fields of the request that the audit log must not hold: `password`, `env.*` for every entry.
    const SECRETS: &'static [&'static str] = &[];
    /// The field of the answer that says how it ended, for the audit log; empty for none.
    const RESULT: &'static str = "";
    /// What comes back.
    type Reply: Serialize + DeserializeOwned + Send + 'static;

    /// The thing acted on, as the hub sees it in the header (`process:4711`); empty when the host
    /// itself is meant. The agent refuses a call whose header names another one.
    fn resource(&self) -> String {
        String::new()
    }
}

/// A request answered by a stream of items, with a stream of inputs the other way.
pub trait Feed: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name on the wire, `feature.verb`.
    const METHOD: &'static str;
    /// What the caller must be allowed.
    const ACCESS: Access;
    /// As [`Call::CHANGES`].
    const CHANGES: bool = !matches!(Self::ACCESS, Access::Read);
    /// As [`Call::SECRETS`], for the request alone: inputs and items are never recorded.
    const SECRETS: &'static [&'static str] = &[];
    /// The field of the last item that says how it ended, for the audit log; empty for none.
    const RESULT: &'static str = "";
    /// What the caller may send while the feed lasts; [`Nothing`] for most.
    type Input: Serialize + DeserializeOwned + Send + 'static;
    /// What comes back, as often as there is news.
    type Item: Serialize + DeserializeOwned + Send + 'static;

    /// As [`Call::resource`].
    fn resource(&self) -> String {
        String::new()
    }
}

/// The input of feeds that take none, and the reply of calls that only succeed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {}

/// The reply of calls that take something away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Revoked {
    /// It had been taken away before, and nothing changed.
    pub already: bool,
}

impl Revoked {
    /// What people read, about `what`.
    pub fn told(self, what: &str) -> String {
        let words =
            if self.already { "was revoked already; nothing changed" } else { "is revoked" };
        format!("{what} {words}")
    }
}

open_enum! {
    /// Why a call did not succeed. Programs decide by this; people read the message beside it.
    pub enum ErrorKind {
        /// The other side has no such method: it is older, or the feature is not built in.
        UnknownMethod = "unknown-method",
        /// The request could not be decoded, or header and body disagree.
        Malformed = "malformed",
        /// The caller may not do this, or the host's own policy forbids it.
        Denied = "denied",
        /// The caller may do this once they have asked for it ([`crate::approvals`]).
        OnRequest = "on-request",
        /// It takes the code of the second factor as well.
        NeedsCode = "needs-code",
        /// It takes a new password as well: the old one is right and has served its time.
        NeedsPassword = "needs-password",
        /// What the request names does not exist.
        NotFound = "not-found",
        /// What the request names is there, but not as the caller believes (a reused pid, a taken name).
        Conflict = "conflict",
        /// The path leads through a link: the place is another one, to be asked for by its own name.
        Elsewhere = "elsewhere",
        /// The host has no link now; nothing was sent to it.
        Unreachable = "unreachable",
        /// The link ended before the answer was complete; what happened on the host is not known.
        Lost = "lost",
        /// The deadline passed.
        TimedOut = "timed-out",
        /// The caller gave up.
        Cancelled = "cancelled",
        /// A limit is reached: too many streams, queues full, disk full. Later may work.
        Busy = "busy",
        /// It was tried and did not work.
        Failed = "failed",
    }
}

/// What a call answers when it does not succeed. Crosses the wire as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// The class, for exit codes and retries.
    pub kind: ErrorKind,
    /// What was attempted, what went wrong and what to do next, in one or two sentences.
    #[serde(default)]
    pub message: String,
}

impl CallError {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
    /// It was tried and did not work.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }
    /// The caller may not.
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Denied, message)
    }
    /// What the request names does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }
    /// The link ended half-way.
    pub fn lost(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Lost, message)
    }
    /// The request could not be understood.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, message)
    }
}

/// What is as it would be without a word is not sent, and not in the audit log either.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
