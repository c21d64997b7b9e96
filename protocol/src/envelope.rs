//! The part of every request the hub may read. What follows it on the stream is opaque to the hub.

use crate::call::Access;
use crate::ids::{HostId, KeyId};
use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize};

open_enum! {
    /// How a stream goes on after its header and body.
    pub enum Kind {
        /// One reply, then the end.
        Call = "call",
        /// Items until either side ends it; inputs the other way.
        Feed = "feed",
    }
}

/// Opens every stream. Read and checked by the hub, then handed on with `caller` filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The host asked; absent when the hub itself is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<HostId>,
    /// [`crate::Call::METHOD`] or [`crate::Feed::METHOD`].
    pub method: String,
    /// Call or feed.
    pub kind: Kind,
    /// [`crate::Call::resource`]; the host checks it against the body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// Milliseconds the caller waits, counted from arrival (clocks differ); absent for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Ties log lines of all parts together; chosen by the caller, never trusted.
    #[serde(default)]
    pub trace: u64,
    /// Who asks. Written by the hub from the link's key; what a client puts here is thrown away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
}

/// Who asks, as the hub knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The device's key.
    pub key: KeyId,
    /// The operator's name; for logs, never for decisions.
    #[serde(default)]
    pub name: String,
    /// What the hub lets them do.
    #[serde(default)]
    pub role: Role,
}

open_enum! {
    /// What an operator may do.
    pub enum Role {
        /// Everything.
        Administrator = "administrator",
        /// Looks and acts on hosts; cannot change who belongs to the fleet.
        Operator = "operator",
        /// Looks only.
        Observer = "observer",
    }
}

impl Role {
    /// Whether this role covers what a method needs. An unknown role covers nothing.
    pub const fn allows(self, access: Access) -> bool {
        match self {
            Self::Administrator => true,
            Self::Operator => !matches!(access, Access::Admin),
            Self::Observer => matches!(access, Access::Read),
            Self::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_covers_exactly_what_its_name_says() {
        use Access::{Act, Admin, Read};
        let covered = |role: Role| [Read, Act, Admin].map(|access| role.allows(access));
        assert_eq!(covered(Role::Administrator), [true, true, true]);
        assert_eq!(covered(Role::Operator), [true, true, false]);
        assert_eq!(covered(Role::Observer), [true, false, false]);
        assert_eq!(covered(Role::Unknown), [false, false, false]);
    }
}
