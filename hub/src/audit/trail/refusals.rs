//! How many refusals are recorded, and which: whoever is refused needed no rights for it. Used by the functions
//! beside it that record one.

use cmdr_protocol::KeyId;
use cmdr_protocol::version::RefusalKind;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Refusals recorded in a burst.
const BURST: f64 = 2000.0;
/// Refusals recorded a second in the long run: strangers must not push the log out of its limits.
const RATE: f64 = 1.0;
/// A key that is refused again for the same reason within so long is not recorded again.
const AGAIN: Duration = Duration::from_mins(10);
/// Keys remembered for this.
const REMEMBERED: usize = 4096;

/// Which refusals are recorded. Peers need no rights to be refused, so this is bounded: who comes again
/// for the same reason is not recorded again for a while, and all together only so fast.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
    /// Refusals since the last that was recorded.
    silent: u64,
    seen: HashMap<(KeyId, RefusalKind), Instant>,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { left: BURST, at: Instant::now(), silent: 0, seen: HashMap::new() }
    }
}

impl Refusals {
    /// Whether to record this one; with how many went before it unrecorded.
    pub(super) fn admit(&self, key: KeyId, kind: RefusalKind, by_token: bool) -> Option<u64> {
        let mut bucket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let gained = now.duration_since(bucket.at).as_secs_f64() * RATE;
        bucket.left = (bucket.left + gained).min(BURST);
        bucket.at = now;
        bucket.seen.retain(|_, at| now.duration_since(*at) < AGAIN);
        // A token is a guess at a secret: each one counts.
        let again = !by_token && bucket.seen.contains_key(&(key, kind));
        if again || bucket.left < 1.0 {
            bucket.silent += 1;
            return None;
        }
        bucket.left -= 1.0;
        if bucket.seen.len() < REMEMBERED {
            bucket.seen.insert((key, kind), now);
        }
        Some(std::mem::take(&mut bucket.silent))
    }
}
