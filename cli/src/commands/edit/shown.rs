//! What differs between two texts, as people and `patch` read it.

use crate::output::{Output, Paint};
use cmdr_protocol::display::clean;
use similar::{ChangeTag, TextDiff};
use std::fmt::Write as _;
use std::time::Duration;

/// So long the smallest difference is looked for; a larger one is shown then.
const LOOKING: Duration = Duration::from_secs(2);
/// Lines around a change.
const AROUND: usize = 3;

/// A unified difference; empty when there is none. Harmless and coloured on a terminal, as it is into a pipe.
pub(in crate::commands) fn unified(out: &Output, names: [&str; 2], old: &str, new: &str) -> String {
    let diff = TextDiff::configure().timeout(LOOKING).diff_lines(old, new);
    let colour = out.colour_out;
    let shown = |text: &str| {
        if !out.tty_out {
            return text.to_owned();
        }
        // A tab is no danger, and lines with one are to be told from those with blanks.
        text.split('\t').map(|part| clean(part).into_owned()).collect::<Vec<_>>().join("\t")
    };
    let mut text = String::new();
    let mut line = |paint: Paint, line: &str| {
        // Writing to a String cannot fail.
        writeln!(text, "{}", paint.on(line, colour)).ok();
    };
    for (n, hunk) in diff.unified_diff().context_radius(AROUND).iter_hunks().enumerate() {
        if n == 0 {
            line(Paint::Dim, &format!("--- {}", clean(names[0])));
            line(Paint::Dim, &format!("+++ {}", clean(names[1])));
        }
        line(Paint::Warn, &hunk.header().to_string());
        for change in hunk.iter_changes() {
            let (sign, paint) = match change.tag() {
                ChangeTag::Delete => ('-', Paint::Bad),
                ChangeTag::Insert => ('+', Paint::Good),
                ChangeTag::Equal => (' ', Paint::Plain),
            };
            let value = change.value();
            line(paint, &format!("{sign}{}", shown(value.strip_suffix('\n').unwrap_or(value))));
            if change.missing_newline() {
                line(Paint::Dim, "\\ No newline at end of file");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    fn out(tty_out: bool, colour_out: bool) -> Output {
        Output {
            format: Format::Table,
            quiet: false,
            verbose: 0,
            tty_out,
            tty_err: false,
            colour_out,
            colour_err: false,
        }
    }

    #[test]
    fn a_difference_is_as_patch_reads_it_and_harmless_on_a_terminal() {
        let (old, new) = ("a\nb\nc", "a\nb\u{1b}[31m\tx\nc\n");
        let piped = unified(&out(false, false), ["one", "two"], old, new);
        let wanted = "--- one\n+++ two\n@@ -1,3 +1,3 @@\n a\n-b\n-c\n\\ No newline at end of file\n+b\u{1b}[31m\tx\n+c\n";
        assert_eq!(piped, wanted);
        let shown = unified(&out(true, true), ["one", "two"], old, new);
        assert!(shown.contains("\u{1b}[32m+b␛[31m\tx\u{1b}[0m\n"), "{shown:?}");
        assert_eq!(unified(&out(true, true), ["one", "two"], old, old), "");
    }
}
