//! The one place that reads the wall clock.

/// Milliseconds since 1970. For showing, for expiry and for skew; durations are measured with
/// `Instant`, which nobody can set.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
