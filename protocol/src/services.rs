//! Services of a host: the units of its service manager, what they do, and acts on them.

use crate::call::{Access, Call, Feed, Nothing};
use crate::sift::Sift;
use crate::table;
use serde::{Deserialize, Serialize};

/// All units that are loaded, and those that have a file and are not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// Only units of these kinds, such as `service` and `timer`; none for services, sockets,
    /// timers, targets and paths; `*` for all.
    pub kinds: Vec<String>,
    /// Only those that fit this.
    #[serde(skip_serializing_if = "Sift::is_empty")]
    pub sift: Sift,
    /// At most so many; 0 for as many as fit into a reply.
    pub limit: u32,
}

impl Call for List {
    const METHOD: &'static str = "services.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// By name.
    pub units: Vec<Unit>,
    /// So many more there are, and were left out.
    pub left_out: u64,
    /// They were sifted by [`List::sift`]; an agent that does not know it leaves that to whoever asked.
    pub sifted: bool,
}

/// Units of the usual kinds, then what changes, as the service manager tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {}

impl Feed for Watch {
    const METHOD: &'static str = "services.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = table::Change<Unit>;
}

/// One unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unit {
    /// `nginx.service`.
    #[serde(rename = "n")]
    pub name: String,
    /// What it says of itself.
    #[serde(rename = "d", skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// `loaded`, `not-found`, `masked`, `error`; empty when it is not loaded.
    #[serde(rename = "l")]
    pub load: String,
    /// `active`, `inactive`, `failed`, `activating`, `deactivating`, `reloading`.
    #[serde(rename = "a")]
    pub active: String,
    /// What that is in the words of its kind: `running`, `exited`, `dead`, `waiting`.
    #[serde(rename = "s")]
    pub sub: String,
    /// Whether it begins with the host: `enabled`, `disabled`, `static`, `masked`; empty when it has
    /// no file.
    #[serde(rename = "e")]
    pub enabled: String,
    /// Its main process; 0 for none.
    #[serde(rename = "p")]
    pub pid: u32,
    /// Bytes of memory that it uses; absent when that is not accounted for.
    #[serde(rename = "m", skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// When it came to its present state, seconds since 1970; 0 when it never did anything.
    #[serde(rename = "t")]
    pub since_s: u64,
    /// What hangs on it, when stopping it may cut off those who ask: `agent`, `bus`, `network`,
    /// `ssh`, `login`; empty for ordinary ones.
    #[serde(rename = "w", skip_serializing_if = "String::is_empty")]
    pub protected: String,
}

impl table::Row for Unit {
    type Key = String;
    fn key(&self) -> String {
        self.name.clone()
    }
    fn weight(&self) -> usize {
        100 + self.name.len() + self.description.len()
    }
}

/// A unit with its file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Show {
    /// Its name.
    pub unit: String,
}

impl Call for Show {
    const METHOD: &'static str = "services.show";
    const ACCESS: Access = Access::Read;
    type Reply = Shown;
    fn resource(&self) -> String {
        resource(&self.unit)
    }
}

/// The answer to a [`Show`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// The unit.
    pub unit: Unit,
    /// Its file, then what is added to that, as far as everybody on the host may read them.
    pub files: Vec<File>,
}

/// A file that says what a unit is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct File {
    /// Where it is.
    pub path: String,
    /// What it says; empty when that is not shown.
    pub text: String,
    /// Why it is not shown, or that it was cut; empty otherwise.
    pub note: String,
}

/// What came of an act.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Done {
    /// In the service manager's word: `done`, `failed`, `timeout`, `canceled`, `dependency`,
    /// `skipped`; for acts without a job `done`.
    pub result: String,
    /// The unit as it is now.
    pub unit: Unit,
    /// The last lines that it wrote, when it did not work.
    pub lines: Vec<String>,
    /// Nothing had to be done.
    pub already: bool,
}

impl Done {
    /// Whether it worked.
    pub fn is_ok(&self) -> bool {
        matches!(self.result.as_str(), "done" | "skipped")
    }
}

fn resource(unit: &str) -> String {
    format!("unit:{unit}")
}

/// The acts, each a method of its own, so that rights can name them apart.
macro_rules! acts {
    ($($(#[$meta:meta])* $name:ident = $method:literal,)+) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(default)]
            pub struct $name {
                /// Its name, with the ending: `nginx.service`.
                pub unit: String,
            }

            impl Call for $name {
                const METHOD: &'static str = $method;
                const ACCESS: Access = Access::Act;
                type Reply = Done;
                fn resource(&self) -> String {
                    resource(&self.unit)
                }
            }
        )+
    };
}

acts! {
    /// Starts a unit and waits until it has.
    Start = "services.start",
    /// Stops a unit and waits until it has.
    Stop = "services.stop",
    /// Stops and starts a unit, or starts it when it does not run.
    Restart = "services.restart",
    /// Lets a unit read its settings anew.
    Reload = "services.reload",
    /// Lets a unit begin with the host.
    Enable = "services.enable",
    /// Lets it do so no more.
    Disable = "services.disable",
    /// Keeps a unit from being started at all.
    Mask = "services.mask",
    /// Takes that back.
    Unmask = "services.unmask",
    /// Forgets that a unit has failed.
    ResetFailed = "services.reset-failed",
}
