//! How each target ended: the summary on standard error and the exit code.

use super::target::{End, State};
use crate::args::signal_name;
use crate::connect::Target;
use crate::exit::Exit;
use crate::human;
use crate::output::Output;

/// The targets and their ends.
#[derive(Debug)]
pub(super) struct Report {
    targets: Vec<Target>,
    ends: Vec<Option<End>>,
}

impl Report {
    pub(super) fn new(targets: Vec<Target>) -> Self {
        let ends = targets.iter().map(|_| None).collect();
        Self { targets, ends }
    }

    /// A target has ended.
    pub(super) fn ended(&mut self, at: usize, end: End) {
        self.ends[at] = Some(end);
    }

    /// Those that have not ended are cancelled.
    pub(super) fn cancel_rest(&mut self) {
        for end in self.ends.iter_mut().filter(|end| end.is_none()) {
            *end = Some(End::error(State::Cancelled, "cancelled before it ended"));
        }
    }

    /// Each target with its end. One without is a fault that must show as lost, not as nothing.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Target, End)> {
        self.targets.iter().zip(&self.ends).map(|(target, end)| {
            let none = || End::error(State::Lost, "its end was not told");
            (target, end.clone().unwrap_or_else(none))
        })
    }

    /// The exit code: of the one command, else of the worst end.
    pub(super) fn exit(&self) -> Exit {
        let mut ends = self.all().map(|(_, end)| end);
        if let [_] = self.targets.as_slice() {
            return ends.next().map_or(Exit::Fault, |end| single(&end));
        }
        ends.map(|end| of(end.state)).fold(Exit::Ok, Exit::worst)
    }

    /// Says how it went: nothing for one command that ended by itself, as with ssh.
    pub(super) fn tell(&self, out: &Output) {
        for line in self.lines() {
            if self.targets.len() == 1 { out.warn(&line) } else { out.note(&line) }
        }
    }

    fn lines(&self) -> Vec<String> {
        let ends: Vec<_> = self.all().collect();
        if let [(target, end)] = ends.as_slice() {
            let own = end.code.is_some() || end.signal.is_some();
            return if own { Vec::new() } else { vec![line(target, end)] };
        }
        let counts: Vec<_> = State::ALL
            .iter()
            .map(|state| (state, ends.iter().filter(|(_, end)| end.state == *state).count()))
            .filter(|(_, n)| *n > 0)
            .map(|(state, n)| format!("{n} {}", state.as_str()))
            .collect();
        let hosts = human::count(ends.len() as u64, "host");
        let mut lines = vec![format!("{hosts}: {}", counts.join(", "))];
        lines.extend(
            ends.iter()
                .filter(|(_, end)| end.state != State::Ok)
                .map(|(target, end)| format!("  {}", line(target, end))),
        );
        lines
    }
}

fn line(target: &Target, end: &End) -> String {
    let why = match (end.code, end.signal, &end.error) {
        (Some(code), ..) => format!(" (exit {code})"),
        (_, Some(signal), _) => format!(" ({})", signal_name(signal)),
        (_, _, Some(error)) => format!(": {error}"),
        _ => String::new(),
    };
    format!("{}: {}{why}", target.name, end.state.as_str())
}

const fn of(state: State) -> Exit {
    match state {
        State::Ok => Exit::Ok,
        State::Failed => Exit::Failed,
        State::TimedOut | State::Lost | State::Unreachable => Exit::Unreachable,
        State::Cancelled => Exit::Cancelled,
        State::Refused => Exit::Denied,
    }
}

/// The exit code when there is only one target: what a shell would say.
fn single(end: &End) -> Exit {
    let byte = |n: i32| Exit::Remote(u8::try_from(n & 0xff).unwrap_or(u8::MAX));
    match (end.code, end.signal) {
        (Some(code), _) => byte(code),
        (_, Some(signal)) => byte(128 + signal),
        // As GNU timeout does.
        _ if end.state == State::TimedOut && end.error.is_none() => Exit::Remote(124),
        _ => end.not_started.map_or_else(|| of(end.state), Exit::Remote),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::HostId;
    use cmdr_protocol::hosts::HostState;

    fn end(state: State, code: Option<i32>, signal: Option<i32>) -> End {
        End { state, code, signal, took_ms: Some(1), error: None, not_started: None }
    }

    fn report(ends: &[End]) -> Report {
        let targets = (0..ends.len())
            .map(|i| Target {
                id: HostId([i as u8; 16]),
                name: format!("web{i}"),
                state: HostState::Online,
            })
            .collect();
        let mut report = Report::new(targets);
        for (at, end) in ends.iter().enumerate() {
            report.ended(at, end.clone());
        }
        report
    }

    #[test]
    fn one_target_gives_the_code_a_shell_would() {
        let code = |end: End| report(&[end]).exit().code();
        assert_eq!(code(end(State::Ok, Some(0), None)), 0);
        assert_eq!(code(end(State::Failed, Some(42), None)), 42);
        assert_eq!(code(end(State::Failed, None, Some(9))), 137);
        assert_eq!(code(end(State::TimedOut, None, None)), 124);
        assert_eq!(code(End::error(State::Lost, "cut")), 4);
        assert_eq!(code(End::error(State::Refused, "policy")), 5);
        assert_eq!(code(cmdr_protocol::CallError::not_found("no such program").into()), 127);
        assert_eq!(code(cmdr_protocol::CallError::failed("not executable").into()), 126);
    }

    #[test]
    fn of_many_targets_the_worst_decides() {
        let ok = || end(State::Ok, Some(0), None);
        let failed = || end(State::Failed, Some(42), None);
        let timed_out = || end(State::TimedOut, None, None);
        let refused = || End::error(State::Refused, "policy");
        assert_eq!(report(&[ok(), ok()]).exit().code(), 0);
        assert_eq!(report(&[ok(), failed()]).exit().code(), 1);
        assert_eq!(report(&[timed_out(), failed()]).exit().code(), 4);
        assert_eq!(report(&[failed(), refused(), timed_out()]).exit().code(), 5);
    }

    #[test]
    fn the_summary_counts_and_names_those_that_are_not_ok() {
        let report = report(&[
            end(State::Ok, Some(0), None),
            end(State::Failed, Some(3), None),
            end(State::Failed, None, Some(9)),
            End::error(State::Unreachable, "has no link"),
        ]);
        assert_eq!(
            report.lines(),
            [
                "4 hosts: 1 ok, 2 failed, 1 unreachable",
                "  web1: failed (exit 3)",
                "  web2: failed (SIGKILL)",
                "  web3: unreachable: has no link",
            ]
        );
    }

    #[test]
    fn one_command_that_ended_by_itself_needs_no_words() {
        assert!(report(&[end(State::Failed, Some(3), None)]).lines().is_empty());
        assert_eq!(report(&[End::error(State::Lost, "cut")]).lines(), ["web0: lost: cut"]);
    }

    #[test]
    fn after_a_cancel_no_target_is_without_an_end() {
        let mut report = report(&[end(State::Ok, Some(0), None)]);
        report.ends.push(None);
        report.targets.push(report.targets[0].clone());
        report.cancel_rest();
        let states: Vec<_> = report.all().map(|(_, end)| end.state).collect();
        assert_eq!(states, [State::Ok, State::Cancelled]);
    }
}
