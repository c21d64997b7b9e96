//! States and severities in the protocol's words.

use crate::alerts::State;
use crate::rule::Severity;
use cmdr_protocol::alerts as told;

impl From<State> for told::State {
    fn from(state: State) -> Self {
        match state {
            State::Pending => Self::Pending,
            State::Firing => Self::Firing,
            State::Acknowledged => Self::Acknowledged,
            State::Flapping => Self::Flapping,
            State::Suppressed => Self::Suppressed,
            State::Silenced => Self::Silenced,
            State::Resolved => Self::Resolved,
        }
    }
}

impl From<Severity> for told::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Critical,
        }
    }
}
