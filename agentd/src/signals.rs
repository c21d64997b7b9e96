//! What is started for somebody begins with signals as after a login, however the agent was started: a
//! script that starts it with `&` or `nohup` has the agent ignore the interrupt key and the hang-up, and what
//! a process ignores, all that descend from it ignore too.
//!
//! Called by `supervise` and by `holder/begin` before they start a program.

use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2,
};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Those that scripts, or whoever started the agent, may have it ignore. `SIGPIPE` is seen to by the
/// standard library.
const SIGNALS: [i32; 9] =
    [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU];

/// Catches what is ignored, because the kernel gives a program that is started what was caught as if nobody
/// had ever said anything about it.
pub(crate) fn by_default() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for signal in SIGNALS.into_iter().filter(|signal| is_ignored(&status, *signal)) {
        let flag = Arc::new(AtomicBool::new(false));
        if let Err(error) = signal_hook::flag::register(signal, flag) {
            tracing::debug!("signal {signal} stays ignored: {error}");
        }
    }
}

/// Whether a process whose `/proc/PID/status` this is ignores a signal.
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_out_of_the_kernels_mask() {
        let status =
            "Name:\tyes\nSigBlk:\t0000000000000003\nSigIgn:\t0000000180000006\nSigCgt:\t0\n";
        let ignored: Vec<i32> = SIGNALS.into_iter().filter(|s| is_ignored(status, *s)).collect();
        assert_eq!(ignored, [SIGINT, SIGQUIT]);
        assert!(!is_ignored("", SIGINT) && !is_ignored("SigIgn:\tno mask\n", SIGINT));
    }
}
