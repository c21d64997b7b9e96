//! Waiting has a name and a limit; nothing here sleeps for a time that is merely hoped to suffice.

use std::time::Duration;
use tokio::time::Instant;

/// Far more than anything takes, even on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until `holds` is true; fails the test with `what` when it does not become so.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    until_some(what, async || holds().await.then_some(())).await;
}

/// Waits until `find` finds something.
pub async fn until_some<T>(what: &str, mut find: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = find().await {
            return found;
        }
        assert!(begin.elapsed() < LIMIT, "waited {LIMIT:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
