//! A host's key follows another while the host stays who it is.

use crate::call::{Access, Call};
use crate::ids::{HostId, PublicKey};
use serde::{Deserialize, Serialize};

/// Gives a host a new key. Answered by the hub, which asks the agent for the key ([`Next`]), keeps its public
/// half, cuts the link and waits until the agent has come back with it. What was running over the link is
/// lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotate {
    /// Which.
    pub host: HostId,
}

/// The answer to a [`Rotate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// What the host proves from now on.
    pub key: PublicKey,
}

impl Call for Rotate {
    const METHOD: &'static str = "hostkeys.rotate";
    const ACCESS: Access = Access::Admin;
    type Reply = Rotated;
    fn resource(&self) -> String {
        format!("host:{}", self.host)
    }
}

/// Makes the key that shall follow the present one, and keeps both. Answered by the agent. Nothing changes
/// until a hub knows the new one: who asks this but the hub only makes the agent try it in vain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {}

/// The answer to a [`Next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Its public half; the other stays where it is.
    pub key: PublicKey,
}

impl Call for Next {
    const METHOD: &'static str = "hostkeys.next";
    const ACCESS: Access = Access::Admin;
    type Reply = Told;
}
