//! Runs that begin by the clock.

use super::start::Start;
use crate::call::{Access, Call, Revoked};
use crate::ids::RunId;
use serde::{Deserialize, Serialize};

/// What stands in answers in the place of a value that nobody is told.
pub const UNTOLD: &str = "\u{2039}secret\u{203a}";

/// When a schedule begins runs. Exactly one of the first two is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct When {
    /// Each so many milliseconds, counted from when the schedule was made; 10 seconds at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u64>,
    /// Minute, hour, day of the month, month, day of the week, as in a crontab.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cron: String,
    /// The time zone that `cron` is read in, as `Europe/Berlin`; empty for UTC.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub zone: String,
}

/// One schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedule {
    /// Its name, unique in the fleet: letters, digits, `.`, `-`, `_`.
    pub name: String,
    /// When.
    pub when: When,
    /// What. Hosts are picked anew each time, and rights decided anew for who made the schedule.
    pub start: Start,
    /// It begins nothing until this is false again.
    pub paused: bool,
    /// Who made it, and as whom it runs. Written by the hub.
    pub operator: String,
    /// When it was made, milliseconds since 1970. Written by the hub.
    pub made_ms: u64,
    /// When it begins a run next, milliseconds since 1970; absent while paused. Written by the hub.
    pub next_ms: Option<u64>,
    /// The run it began last. Written by the hub.
    pub last: Option<RunId>,
    /// Why it could not begin one when it should have; empty for none. Written by the hub.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trouble: String,
    /// Why hosts do not do it by themselves while the hub is away; empty when they do. Written by the hub.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hub_only: String,
    /// So many hosts have it, or may have it, for when the hub is away. Written by the hub.
    #[serde(skip_serializing_if = "is_none")]
    pub at_hosts: u32,
    /// It was deleted or replaced; those of its hosts that are away may still do it until they are back. Written by
    /// the hub.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_none(number: &u32) -> bool {
    *number == 0
}

/// Makes a schedule, or replaces one of the caller's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PutSchedule {
    /// What the hub writes itself counts for nothing here.
    pub schedule: Schedule,
}

impl Call for PutSchedule {
    const METHOD: &'static str = "runs.schedules.put";
    const ACCESS: Access = Access::Act;
    const SECRETS: &'static [&'static str] =
        &["schedule.start.order.env.*", "schedule.start.callback.url"];
    type Reply = Schedule;
    fn resource(&self) -> String {
        self.schedule.start.order.resource()
    }
}

/// Lets a schedule begin nothing, or begin runs again: one's own, or as an administrator anybody's. Whose it is, what it
/// does and when stays as it is, with the values of its variables, which nobody is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PauseSchedule {
    /// Which.
    pub name: String,
    /// Whether it begins nothing from now on.
    pub paused: bool,
}

impl Call for PauseSchedule {
    const METHOD: &'static str = "runs.schedules.pause";
    const ACCESS: Access = Access::Act;
    type Reply = Schedule;
    fn resource(&self) -> String {
        format!("schedule:{}", self.name)
    }
}

/// All schedules that the caller may know of: their own, and as an administrator everybody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListSchedules {}

impl Call for ListSchedules {
    const METHOD: &'static str = "runs.schedules.list";
    const ACCESS: Access = Access::Read;
    type Reply = ScheduleListing;
}

/// The answer to a [`ListSchedules`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScheduleListing {
    /// By name.
    pub schedules: Vec<Schedule>,
}

/// Takes a schedule away: one's own, or as an administrator anybody's. Runs that it began go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeleteSchedule {
    /// Which.
    pub name: String,
}

impl Call for DeleteSchedule {
    const METHOD: &'static str = "runs.schedules.delete";
    const ACCESS: Access = Access::Act;
    type Reply = Revoked;
    fn resource(&self) -> String {
        format!("schedule:{}", self.name)
    }
}
