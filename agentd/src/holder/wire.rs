//! What agents and holders say to each other over a holder's socket, in frames as on links. Either may be
//! older than the other: fields are only ever added.
//!
//! The agent asks once. A look is answered by [`News`] until one side hangs up. An attachment is answered
//! by the protocol's own items, and takes its inputs.

use cmdr_protocol::exec::Exit;
use cmdr_protocol::sessions::{Mode, Session, Size};
use serde::{Deserialize, Serialize};

/// What this program speaks. A holder answers whoever speaks at least [`OLDEST`].
pub(crate) const VERSION: u32 = 1;
/// The oldest that is understood.
pub(crate) const OLDEST: u32 = 1;

/// What an agent wants. Exactly one of `attach` and `end` is set, or none for a look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ask {
    /// What the agent speaks.
    pub(crate) version: u32,
    /// Attach somebody.
    pub(crate) attach: Option<Attach>,
    /// End the session.
    pub(crate) end: bool,
}

/// Who attaches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Attach {
    pub(crate) operator: String,
    pub(crate) mode: Mode,
    pub(crate) size: Size,
    /// May never drive.
    pub(crate) only_watch: bool,
    /// Who has just begun it, and is sent all from the first byte on, as it came.
    pub(crate) new: bool,
}

/// How a session stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct News {
    /// What the holder speaks.
    pub(crate) version: u32,
    pub(crate) session: Session,
    /// How it ended.
    pub(crate) exit: Option<Exit>,
}
