//! From what is on a host to what shall be there. Hosts are hostile, and so is what they have: nothing of it may keep
//! the hub's one thread from its links, and none of it may cost more than its bounds.

use similar::TextDiff;
use std::time::Duration;

/// Comparing takes at most so long; what is not found by then is told as left out and put in.
const LOOKING: Duration = Duration::from_millis(500);
/// Lines of one side; more are not compared.
const LINES: usize = 20_000;

/// What differs, as a unified difference, or why that is not told. Blocks.
pub(super) fn difference(there: &[u8], shall: &[u8]) -> String {
    let (Ok(there), Ok(shall)) = (std::str::from_utf8(there), std::str::from_utf8(shall)) else {
        return "it is binary".to_owned();
    };
    if [there, shall].iter().any(|text| text.lines().nth(LINES).is_some()) {
        return format!("it has too many lines to be compared: more than {LINES}");
    }
    let diff = TextDiff::configure().timeout(LOOKING).diff_lines(there, shall);
    let mut unified = diff.unified_diff();
    unified.context_radius(3).header("on the host", "in the group").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_difference_leads_from_what_is_there_to_what_shall_be() {
        let said = difference(b"a\nb\n", b"a\nc\n");
        assert!(said.contains("-b\n+c\n") && said.contains("--- on the host"), "{said}");
        assert_eq!(difference(b"\xff", b"a"), "it is binary");
        let many = "\n".repeat(LINES + 1);
        assert!(difference(many.as_bytes(), b"a").contains("too many lines"));
        assert!(difference(b"a", many.as_bytes()).contains("too many lines"));
    }

    #[test]
    fn what_a_host_made_to_be_hard_to_compare_is_compared_in_time() {
        // Each line stands on the other side too, far from its place: the search has no end in reach.
        let line = |n: usize| format!("{}\n", n * 7919 % 10_007);
        let there: String = (0..LINES).map(|n| line(n * n)).collect();
        let shall: String = (0..LINES).rev().map(|n| line(n * n * n)).collect();
        let began = Instant::now();
        assert!(difference(there.as_bytes(), shall.as_bytes()).len() > 1000);
        assert!(began.elapsed() < 20 * LOOKING, "{:?}", began.elapsed());
    }
}
