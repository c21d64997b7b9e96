//! The command line: options that every verb has, and how values are read. Parsed once by
//! [`crate::main`]; the verbs' own arguments are beside the verbs.

use crate::commands::Command;
use crate::output::Format;
use clap::Parser;
use cmdr_protocol::selector::{self, Selector};
use std::path::PathBuf;
use std::time::Duration;

/// Commander: one terminal for a whole fleet.
///
/// Hosts are picked by selectors: names and globs (web*,db1), labels (role=web,env!=prod), facts
/// (os=debian), states (state=away), exceptions (!db1) and alternatives (a=1 | b=2).
#[derive(Debug, Parser)]
#[command(name = "cmdr", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// Folder of the context and of a local hub's state [default: $CMDR_HOME, or cmdr in the user's
    /// state folder when that is unset or empty].
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,

    /// How data is written to standard output.
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    #[arg(
        hide_possible_values = true,
        help = "Output: table, wide, json, ndjson, yaml, csv or name"
    )]
    pub output: Format,

    /// No colours, as with NO_COLOR.
    #[arg(long, global = true)]
    pub no_color: bool,

    /// Only data and errors: no summaries, no hints.
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// Say more on standard error; twice for the link's own log.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// Give up after this long: a command run by exec, or each question of another verb [default:
    /// none for exec, else 10s].
    #[arg(short, long, global = true, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<Duration>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 all ok; 1 some target failed, or something on this machine (a full disk); 2 usage: also \
a home that knows no hub or is damaged, and a question where nobody can be asked; 3 no target matched, \
or what was named is not there; 4 some unreachable, lost or timed out; 5 denied, also when the hub is \
not the one whose key is known, or a key is used from where it may not; 6 halted or cancelled; 7 hub \
not reachable; 70 a fault of ours; 141 the reader of the output left, as in '| head -1'. When targets \
end differently the worst decides: 70, 6, 7, 5, 4, 1, 0. With exactly one target, exec gives the \
remote exit code: 128+n after signal n, 124 when --timeout ended it, 126 or 127 when it could not be \
run or does not exist.";

pub use cmdr_protocol::human::{When, duration, when};

const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// Reads a signal of Linux: `TERM`, `SIGTERM`, `term`, `15`.
pub fn signal(text: &str) -> Result<i32, String> {
    let bad =
        || format!("'{text}' is no signal; give a name such as TERM or a number from 1 to 64");
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().filter(|n| (1..=64).contains(n)).ok_or_else(bad);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    SIGNALS.iter().position(|s| *s == name).map(|at| at as i32 + 1).ok_or_else(bad)
}

/// The name of a signal, `SIGTERM`, or its number when it has none.
pub fn signal_name(number: i32) -> String {
    usize::try_from(number - 1)
        .ok()
        .and_then(|at| SIGNALS.get(at))
        .map_or_else(|| format!("signal {number}"), |name| format!("SIG{name}"))
}

/// Checks a selector before anything is asked.
pub fn selector(text: &str) -> Result<String, String> {
    Selector::parse(text).map(|_| text.to_owned()).map_err(|e| e.to_string())
}

/// Reads `key=value` of a label.
pub fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("'{text}' is not KEY=VALUE"))?;
    selector::check_key(key).map_err(|e| format!("'{text}': {e}"))?;
    selector::check_value(value).map_err(|e| format!("'{text}': {e}"))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Reads `NAME=VALUE` of an environment.
pub fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !text.contains('\0') => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err(format!("'{text}' is not NAME=VALUE")),
    }
}

/// Shows again whenever something changes.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Watch {
    /// Stay and show again at this interval; --watch alone is every second.
    #[arg(long, value_name = "SECS", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "1s", value_parser = duration)]
    pub watch: Option<Duration>,
}

/// The answer to a question, for where nobody can be asked. Every verb that changes who belongs to
/// the fleet, or what runs in it, takes it: a script need not know which of them ask.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Yes {
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_with_their_units() {
        let ms = |text: &str| duration(text).map(|d| d.as_millis());
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("30"), Ok(30_000));
        assert_eq!(ms("30s"), Ok(30_000));
        assert_eq!(ms("1h30m"), Ok(5_400_000));
        assert_eq!(ms("7d"), Ok(604_800_000));
        for wrong in ["", "s", "5x", "1h30", "-5s", "0", "0s", "99999999999999999999d", "1.5s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn moments_are_durations_that_have_passed_or_dates() {
        assert_eq!(when("2h").unwrap().ms(10_000_000), 2_800_000);
        assert_eq!(when("1970-01-02"), Ok(When::At(86_400_000)));
        assert_eq!(when("1970-01-01T00:01:30Z"), Ok(When::At(90_000)));
        for wrong in ["", "yesterday", "2026-13-01", "2026-02-30", "2026-11-20T25:00"] {
            assert!(when(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn signals_are_read_by_name_and_number() {
        for text in ["TERM", "SIGTERM", "term", "sigterm", "15"] {
            assert_eq!(signal(text), Ok(15), "{text}");
        }
        assert_eq!(signal("KILL"), Ok(9));
        assert_eq!(signal("SYS"), Ok(31));
        for wrong in ["0", "65", "", "TERMX", "-9", "SIG"] {
            assert!(signal(wrong).is_err(), "{wrong}");
        }
        assert_eq!(signal_name(9), "SIGKILL");
        assert_eq!(signal_name(40), "signal 40");
    }

    #[test]
    fn labels_that_selectors_could_not_pick_are_refused() {
        assert_eq!(label("role=web"), Ok(("role".into(), "web".into())));
        assert!(label("role").is_err());
        assert!(label("ro le=web").is_err());
        assert!(label("role=a,b").is_err());
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_says_all() {
        insta::assert_snapshot!("help", Cli::command().term_width(100).render_long_help());
    }

    #[test]
    fn the_help_of_exec_says_all() {
        let mut command = Cli::command().term_width(100);
        command.build();
        let exec = command.find_subcommand_mut("exec").unwrap();
        insta::assert_snapshot!("help_exec", exec.clone().term_width(100).render_long_help());
    }

    proptest! {
        #[test]
        fn any_text_is_a_duration_and_a_signal_or_refused(text in ".{0,30}") {
            drop(duration(&text));
            drop(signal(&text));
            drop(label(&text));
            drop(variable(&text));
        }
    }
}
