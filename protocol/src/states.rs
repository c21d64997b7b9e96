//! How things on a host stand, as far as rules ask for it ([`crate::rules`]): units that are not as usual, containers,
//! the Docker engine. Asked by the hub alone, of each agent for as long as its link lasts.

use crate::call::{Access, Feed, Nothing};
use serde::{Deserialize, Serialize};

/// Units and containers in one item, of each.
pub const MOST: usize = 500;

/// How things stand, whole, at first and whenever that is another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Units that are told of however they stand, `*` being anything. Others are told of while they are neither active
    /// nor inactive.
    pub units: Vec<String>,
}

impl Feed for Watch {
    const METHOD: &'static str = "states.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = States;
}

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct States {
    /// Units; absent where there is no service manager, or it does not answer.
    pub units: Option<Vec<Unit>>,
    /// `running`, `missing` (there is no socket), `unreachable`.
    pub docker: String,
    /// Containers; absent where no engine answers.
    pub containers: Option<Vec<Container>>,
}

/// A unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unit {
    /// `nginx.service`.
    #[serde(rename = "n")]
    pub name: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating`, `reloading`.
    #[serde(rename = "s")]
    pub state: String,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its name.
    #[serde(rename = "n")]
    pub name: String,
    /// `running`, `exited` and so on.
    #[serde(rename = "s")]
    pub state: String,
    /// `starting`, `healthy`, `unhealthy`; empty without a check.
    #[serde(rename = "h", skip_serializing_if = "String::is_empty")]
    pub health: String,
    /// How often it was started again since the agent looks.
    #[serde(rename = "r")]
    pub restarts: u32,
}
