//! The one place that reads the wall clock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

/// How far the clocks of this process are from the machine's, in milliseconds.
static AHEAD_MS: AtomicI64 = AtomicI64::new(0);

/// Milliseconds since 1970. For showing, for expiry and for skew; durations are measured with
/// `Instant` or [`mono_ms`], which nobody can set.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now_ms() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
    now.saturating_add_signed(AHEAD_MS.load(Ordering::Relaxed))
}

/// Milliseconds on a clock that only goes forward, from some moment of this process on.
pub fn mono_ms() -> u64 {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let passed = BEGAN.get_or_init(Instant::now).elapsed();
    let passed = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
    // So far that clocks set back by a simulation do not come before its beginning.
    let begin = 1_u64 << 48;
    begin.saturating_add(passed).saturating_add_signed(AHEAD_MS.load(Ordering::Relaxed))
}

/// Puts the clocks of this process so far ahead of the machine's, or behind: simulations let hours pass in seconds.
/// No program of ours calls it.
pub fn put_ahead(ms: i64) {
    AHEAD_MS.store(ms, Ordering::Relaxed);
}
