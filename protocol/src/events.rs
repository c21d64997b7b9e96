//! What happens in the fleet, one event after the other, for programs that follow it. Answered by the hub.
//!
//! The newest events are kept in the hub's memory, so that a reader that was away for a while goes on
//! where it was. One that was away for longer, or meets a hub that was started anew, gets
//! [`What::Missed`] first and has to look at everything again.
//!
//! An event says that something happened and to what: never what was run, written or asked for. Who reads has
//! those that the lists of the same things would show them, and no others.

use crate::call::{Access, Feed, Nothing};
use crate::ids::{HostId, RunId};
use crate::open_enum::open_enum;
use crate::runs::Counts;
use serde::{Deserialize, Serialize};

open_enum! {
    /// What happened.
    pub enum What {
        /// A host's link is up.
        HostOnline = "host.online",
        /// A host's link is down.
        HostAway = "host.away",
        /// A host was taken in.
        HostJoined = "host.joined",
        /// A key waits for an administrator.
        HostWaits = "host.waits",
        /// A host has another name or other labels.
        HostChanged = "host.changed",
        /// A host was removed, or its key was rejected.
        HostGone = "host.gone",
        /// A run was begun.
        RunBegun = "run.begun",
        /// Nothing more of a run is sent until it is resumed.
        RunPaused = "run.paused",
        /// A run that was paused goes on.
        RunResumed = "run.resumed",
        /// Somebody stopped a run: what runs of it is being ended.
        RunStopped = "run.stopped",
        /// Too many targets of a run failed: nothing more of it is sent.
        RunHalted = "run.halted",
        /// Targets of a run that was over are tried again.
        RunRetried = "run.retried",
        /// Every target of a run has its end.
        RunEnded = "run.ended",
        /// A run that was over was deleted.
        RunDeleted = "run.deleted",
        /// A session was begun.
        SessionBegun = "session.begun",
        /// A session ended while somebody was attached to it, or was ended.
        SessionEnded = "session.ended",
        /// A file of a host has another text.
        EditSaved = "edit.saved",
        /// An edit that waited to be confirmed stays.
        EditConfirmed = "edit.confirmed",
        /// An edit that waited to be confirmed was undone.
        EditReverted = "edit.reverted",
        /// A runbook has a new version.
        RunbookSaved = "runbook.saved",
        /// A runbook was deleted.
        RunbookDeleted = "runbook.deleted",
        /// A config group has a new version.
        ConfigSaved = "config.saved",
        /// A config group was deleted.
        ConfigDeleted = "config.deleted",
        /// An alert fires.
        AlertFired = "alert.fired",
        /// Somebody said that they know of an alert.
        AlertAcknowledged = "alert.acknowledged",
        /// An alert is over.
        AlertResolved = "alert.resolved",
        /// An alert rule has a new version.
        RuleSaved = "rule.saved",
        /// An alert rule was deleted.
        RuleDeleted = "rule.deleted",
        /// Alerts are told by other policies.
        PoliciesSaved = "policies.saved",
        /// A notifier has a new version.
        NotifierSaved = "notifier.saved",
        /// A notifier was deleted.
        NotifierDeleted = "notifier.deleted",
        /// A notifier does not take notices any more.
        NotifierFailed = "notifier.failed",
        /// A server to which samples are sent on does not take them any more.
        TargetFailed = "target.failed",
        /// It takes them again.
        TargetTakes = "target.takes",
        /// Something old was purged.
        DataPurged = "data.purged",
        /// The history of figures cannot be written. When the disk is full its oldest goes to make room.
        HistoryFailed = "history.failed",
        /// A probe has a new version.
        ProbeSaved = "probe.saved",
        /// A gateway was saved; its name is `about`.
        GatewaySaved = "gateway.saved",
        /// A gateway was removed.
        GatewayDeleted = "gateway.deleted",
        /// An upstream of a gateway is down.
        UpstreamDown = "upstream.down",
        /// It is up again.
        UpstreamUp = "upstream.up",
        /// A probe was deleted.
        ProbeDeleted = "probe.deleted",
        /// A quorum of agents says that a far end is down.
        ProbeDown = "probe.down",
        /// A far end that was down is so no more.
        ProbeUp = "probe.up",
        /// Somebody asked for rights.
        ApprovalAsked = "approval.asked",
        /// Somebody decided about such a request.
        ApprovalAnswered = "approval.answered",
        /// Such a request, or what was approved by it, was ended.
        ApprovalEnded = "approval.ended",
        /// Events between the reader's cursor and the next event are not known any more.
        Missed = "missed",
        /// Nothing happened for a while.
        Alive = "alive",
    }
}

impl What {
    /// Whether one of these words means it: its own name, or what that begins with (`run` for every `run.…`). No words
    /// mean everything. [`What::Missed`] and [`What::Alive`] are about the feed itself and always meant.
    pub fn is_one_of(self, kinds: &[String]) -> bool {
        let name = self.as_str();
        let is = |kind: &String| {
            name.strip_prefix(kind.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        kinds.is_empty() || matches!(self, Self::Missed | Self::Alive) || kinds.iter().any(is)
    }

    /// Whether words mean events that there are; the first that does not, for people.
    pub fn check(kinds: &[String]) -> Result<(), String> {
        for kind in kinds {
            let means = |what: &Self| what.is_one_of(std::slice::from_ref(kind));
            let own = |what: &&Self| !matches!(what, Self::Missed | Self::Alive);
            if kind.is_empty() || !Self::ALL.iter().filter(own).any(means) {
                let all: Vec<_> = Self::ALL.iter().filter(own).map(|what| what.as_str()).collect();
                return Err(format!(
                    "there are no events '{}'; there are {}, and their beginnings: run means every run.…",
                    crate::display::clean_to_width(kind, 40),
                    all.join(", ")
                ));
            }
        }
        Ok(())
    }
}

/// Words in [`Watch::kinds`] at most.
pub const MAX_KINDS: usize = 64;

/// Events after a cursor, then those that come. The caller sees those of hosts that it may see, and of what it would
/// find in lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// The last event's [`Event::cursor`]; empty for everything that is kept.
    pub after: String,
    /// Ends the feed when all that is kept was sent.
    pub once: bool,
    /// Only what happens from now on: what is kept is passed over, and the first item is [`What::Alive`] with the
    /// cursor of this place. Only without `after`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub new: bool,
    /// Only these: names of [`What`], or what they begin with (`run`). Empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<String>,
    /// Only those of hosts that match this selector, and of runs with a target on one. Empty for all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub hosts: String,
}

impl Feed for Watch {
    const METHOD: &'static str = "events.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = Event;
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// To go on after it.
    pub cursor: String,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub what: What,
    /// To which host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// The host's name then.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host_name: String,
    /// Who did it; empty for nobody, and for a run: who began it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operator: String,
    /// To which run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// How the targets of a run that has ended stand: of those on hosts that the reader may know of. Absent when the
    /// run goes on again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// To what else, as resources are named: `session:ID`, `path:PATH`, `runbook:NAME`, `config:NAME`, `approval:ID`,
    /// `alert:ID`, `rule:NAME`, `notifier:NAME`, `probe:NAME`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// More about it: why a link ended, what the name was before.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_meant_by_its_name_or_by_what_that_begins_with() {
        let of = |kinds: &[&str]| kinds.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(What::RunEnded.is_one_of(&of(&[])) && What::RunEnded.is_one_of(&of(&["run"])));
        assert!(What::RunEnded.is_one_of(&of(&["host", "run.ended"])));
        assert!(!What::RunbookSaved.is_one_of(&of(&["run"])), "another feature");
        assert!(!What::RunEnded.is_one_of(&of(&["run.begun"])));
        assert!(What::Missed.is_one_of(&of(&["run"])), "whoever reads is always told");
        assert!(What::check(&of(&["run", "host.away"])).is_ok());
        for wrong in ["", "ru", "run.", "missed", "alive", "run.ended.x", "unknown"] {
            assert!(What::check(&of(&[wrong])).is_err(), "{wrong}");
        }
    }
}
