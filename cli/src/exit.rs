//! Exit codes and the error that carries one. Every verb ends in an [`Exit`] or a [`Failure`].
//!
//! When several targets end differently the worst one decides. From worst to best: our own fault
//! (70), cancelled (6), hub not reachable (7), denied (5), unreachable, lost or timed out (4), failed
//! (1), ok (0). Usage (2) and no match (3) are found before anything is asked.

use cmdr_link::context::ContextError;
use cmdr_link::keys::KeyError;
use cmdr_link::link::DialError;
use cmdr_protocol::{CallError, ErrorKind};
use std::io;

/// How `cmdr` ended, for the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for was done.
    Ok,
    /// Some target failed.
    Failed,
    /// The command line is wrong, or there is nothing to connect to, or nobody to ask.
    Usage,
    /// No target matched, or what was named is not there.
    NoMatch,
    /// Some target is unreachable, was lost or timed out.
    Unreachable,
    /// The hub or a host's policy forbids it.
    Denied,
    /// Halted or cancelled.
    Cancelled,
    /// The hub cannot be reached.
    NoHub,
    /// Whoever read our output has left.
    Unread,
    /// A fault of ours.
    Fault,
    /// The exit code of the one remote command.
    Remote(u8),
}

impl Exit {
    /// The number for the shell.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoMatch => 3,
            Self::Unreachable => 4,
            Self::Denied => 5,
            Self::Cancelled => 6,
            Self::NoHub => 7,
            // 128 + SIGPIPE, as shells say it of programs that end so.
            Self::Unread => 141,
            Self::Fault => 70,
            Self::Remote(code) => code,
        }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Ok | Self::Remote(0) => 0,
            Self::Failed | Self::Remote(_) => 1,
            Self::Unreachable => 2,
            Self::Denied => 3,
            Self::NoHub => 4,
            Self::NoMatch => 5,
            Self::Usage => 6,
            Self::Cancelled | Self::Unread => 7,
            Self::Fault => 8,
        }
    }

    /// The worse of two.
    #[must_use]
    pub const fn worst(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }

    /// How an answer of this kind ends a verb.
    pub const fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Denied | ErrorKind::OnRequest => Self::Denied,
            ErrorKind::Unreachable | ErrorKind::Lost | ErrorKind::TimedOut => Self::Unreachable,
            ErrorKind::Cancelled => Self::Cancelled,
            // What the other side could not understand is, nearly always, what was typed.
            ErrorKind::Malformed => Self::Usage,
            // Whatever was named and is not there: a host, a role, a token, a process.
            ErrorKind::NotFound => Self::NoMatch,
            _ => Self::Failed,
        }
    }
}

/// Why a verb stopped: the exit code, one sentence, and what to do next.
#[derive(Debug)]
pub struct Failure {
    /// For the shell.
    pub exit: Exit,
    /// For people; empty when there is nothing to say.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with this code.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// The command line is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// It was tried and did not work.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An answer of the hub itself: without a link there is no hub.
    pub fn from_hub(error: CallError) -> Self {
        match error.kind {
            ErrorKind::Lost | ErrorKind::Unreachable | ErrorKind::TimedOut => {
                Self::new(Exit::NoHub, error.message)
            }
            _ => Self::from(error),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let message = match error.message.as_str() {
            "" => error.kind.to_string(),
            _ => error.message,
        };
        Self::new(Exit::of(error.kind), message)
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        // The hub's own words say what to do next.
        Self::new(if error.is_lasting() { Exit::Denied } else { Exit::NoHub }, error.to_string())
    }
}

impl From<ContextError> for Failure {
    fn from(error: ContextError) -> Self {
        match error {
            // Nothing was tried: there is no hub to reach.
            ContextError::None(_) => Self::usage(error.to_string())
                .hint("log in with: cmdr login TOKEN; or start a hub for yourself: cmdr up"),
            ContextError::Key(KeyError::Seal { .. }) => Self::failed(error.to_string()),
            // The home is as wrong as a mistyped option, and asking again does not help.
            _ => Self::usage(error.to_string()).hint(
                "put it right, choose another home with --home DIR or CMDR_HOME, or make it anew: \
                 cmdr login --replace TOKEN",
            ),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Fault, error.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Fault, format!("{error:#}"))
    }
}

/// A file on this machine could not be written.
pub fn unwritten(file: &std::path::Path, e: &io::Error) -> Failure {
    Failure::failed(format!("writing {}: {}", file.display(), cmdr_link::files::reason(e)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::version::{Refusal, RefusalKind};

    #[test]
    fn the_worst_end_of_many_targets_decides() {
        let order = [
            Exit::Ok,
            Exit::Failed,
            Exit::Unreachable,
            Exit::Denied,
            Exit::NoHub,
            Exit::Cancelled,
            Exit::Fault,
        ];
        for (i, better) in order.iter().enumerate() {
            for worse in &order[i..] {
                assert_eq!(better.worst(*worse), *worse);
                assert_eq!(worse.worst(*better), *worse);
            }
        }
    }

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes = [
            (Exit::Ok, 0),
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::NoMatch, 3),
            (Exit::Unreachable, 4),
            (Exit::Denied, 5),
            (Exit::Cancelled, 6),
            (Exit::NoHub, 7),
            (Exit::Unread, 141),
            (Exit::Fault, 70),
            (Exit::Remote(42), 42),
        ];
        for (exit, code) in codes {
            assert_eq!(exit.code(), code);
        }
    }

    #[test]
    fn a_refused_key_is_denied_and_a_busy_hub_is_not_reachable() {
        let refused = |kind| {
            let refusal = Refusal { kind, message: "no".into() };
            Failure::from(DialError::Refused { address: "hub:1".into(), refusal }).exit
        };
        assert_eq!(refused(RefusalKind::UnknownKey), Exit::Denied);
        assert_eq!(refused(RefusalKind::RevokedToken), Exit::Denied);
        assert_eq!(refused(RefusalKind::Busy), Exit::NoHub);
        assert_eq!(refused(RefusalKind::Version), Exit::Denied);
        let (address, expected) = ("hub:1".into(), cmdr_protocol::PublicKey([1; 32]));
        assert_eq!(Failure::from(DialError::Impostor { address, expected }).exit, Exit::Denied);
    }

    #[test]
    fn what_is_named_and_not_there_is_no_match_and_a_home_without_a_hub_is_usage() {
        assert_eq!(Failure::from(CallError::not_found("no such token")).exit, Exit::NoMatch);
        assert_eq!(Failure::from_hub(CallError::not_found("no such role")).exit, Exit::NoMatch);
        let failure = Failure::from(ContextError::None("/nowhere".into()));
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.hint.unwrap().contains("cmdr login TOKEN"));
        let refusal = Refusal { kind: RefusalKind::Elsewhere, message: "not from there".into() };
        let refused = DialError::Refused { address: "hub:1".into(), refusal };
        assert_eq!(Failure::from(refused).exit, Exit::Denied);
    }

    #[test]
    fn a_lost_hub_and_a_lost_host_have_different_codes() {
        let lost = || CallError::lost("cut");
        assert_eq!(Failure::from_hub(lost()).exit, Exit::NoHub);
        assert_eq!(Failure::from(lost()).exit, Exit::Unreachable);
    }
}
