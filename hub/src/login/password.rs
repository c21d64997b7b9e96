//! Passwords: what they have to be like, and their hashes. Hashing is dear on purpose, so only one is
//! worked on at a time, and few wait.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use cmdr_protocol::login::MAX_PASSWORD;
use cmdr_protocol::{CallError, ErrorKind};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Hashes that wait or are worked on.
const QUEUE: usize = 32;

/// What passwords have to be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Characters that a new one has at least.
    pub least_length: usize,
    /// Days after which it has to be changed; 0 for never.
    pub longest_age_days: u64,
    /// How many of those before it may not come again.
    pub remembered: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { least_length: 12, longest_age_days: 0, remembered: 5 }
    }
}

impl Rules {
    /// Whether somebody may take this password; else, why not.
    pub fn check(&self, operator: &str, password: &str) -> Result<(), String> {
        let characters = password.chars().count();
        if characters < self.least_length.max(1) {
            return Err(format!("a password has at least {} characters", self.least_length.max(1)));
        }
        if password.len() > MAX_PASSWORD {
            return Err(format!("a password has at most {MAX_PASSWORD} bytes"));
        }
        if password.chars().any(char::is_control) {
            return Err("a password has no control characters".to_owned());
        }
        let different = password.chars().collect::<BTreeSet<_>>().len();
        if different < characters.min(5) {
            return Err("a password has at least 5 different characters".to_owned());
        }
        let lower = password.to_lowercase();
        if operator.len() >= 3 && lower.replace(operator, "").chars().count() < 6 {
            return Err("a password is not one's name with a little beside it".to_owned());
        }
        Ok(())
    }

    /// Whether a password of this age has to be changed.
    pub const fn is_old(&self, set_ms: u64, now_ms: u64) -> bool {
        let longest_ms = self.longest_age_days.saturating_mul(24 * 3_600_000);
        longest_ms > 0 && now_ms.saturating_sub(set_ms) >= longest_ms
    }
}

/// Hashes passwords and compares them with hashes.
#[derive(Clone, Debug)]
pub struct Hasher {
    working: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { working: Arc::new(Semaphore::new(1)), places: Arc::new(Semaphore::new(QUEUE)) }
    }
}

impl Hasher {
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CallError> {
        let busy = || {
            let message = "too many log in at this moment; try again in a few seconds";
            CallError::new(ErrorKind::Busy, message)
        };
        let _place = self.places.try_acquire().map_err(|_| busy())?;
        let _working = self.working.acquire().await.map_err(|_| busy())?;
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|e| CallError::failed(format!("hashing a password: {e}")))
    }

    /// The hash of a password, with a salt of its own.
    pub async fn hash(&self, password: &str) -> Result<String, CallError> {
        let password = Zeroizing::new(password.to_owned());
        let hashed = self.work(move || {
            Argon2::default().hash_password(password.as_bytes()).map(|h| h.to_string())
        });
        hashed.await?.map_err(|e| CallError::failed(format!("hashing a password: {e}")))
    }

    /// Whether a password is the one of this hash. Without a hash it is not, and takes as long.
    pub async fn is(&self, password: &str, hash: Option<String>) -> Result<bool, CallError> {
        let password = Zeroizing::new(password.to_owned());
        self.work(move || {
            let there = hash.is_some();
            let hash = hash.unwrap_or_else(|| nobodys().to_owned());
            let right = PasswordHash::new(&hash).is_ok_and(|hash| {
                Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
            });
            there && right
        })
        .await
    }

    /// Whether a password is one of these.
    pub async fn is_any(&self, password: &str, hashes: Vec<String>) -> Result<bool, CallError> {
        for hash in hashes {
            if self.is(password, Some(hash)).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A hash to compare with when there is none, so that the time does not tell.
fn nobodys() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        Argon2::default()
            .hash_password(b"nobody has this one")
            .map(|h| h.to_string())
            .unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_password_is_long_enough_varied_and_not_the_name() {
        let rules = Rules::default();
        assert_eq!(rules.check("ann", "correct horse battery"), Ok(()));
        for wrong in
            ["short", "", "aaaaaaaaaaaaaa", "ababababababab", "twelve\nchars!!", "annannann123"]
        {
            assert!(rules.check("ann", wrong).is_err(), "{wrong:?}");
        }
        assert!(rules.check("ann", &"long pass ".repeat(200)).is_err());
    }

    #[test]
    fn a_password_grows_old_only_when_that_is_configured() {
        let day = 24 * 3_600_000;
        let rules = Rules { longest_age_days: 90, ..Rules::default() };
        assert!(!rules.is_old(0, 90 * day - 1) && rules.is_old(0, 90 * day));
        assert!(!Rules::default().is_old(0, 1000 * day));
        assert!(!rules.is_old(100 * day, 0), "a clock that was put back makes nothing old");
    }

    #[tokio::test]
    async fn a_hash_knows_its_password_and_no_other_and_the_queue_is_bounded() {
        let hasher = Hasher::default();
        let hash = hasher.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(hasher.is("correct horse", Some(hash.clone())).await.unwrap());
        assert!(!hasher.is("correct horsf", Some(hash.clone())).await.unwrap());
        assert!(!hasher.is("nobody has this one", None).await.unwrap());
        assert!(!hasher.is("x", Some("damaged".to_owned())).await.unwrap());
        let tries = (0..QUEUE + 8).map(|_| hasher.is("x", None));
        let done = futures_of(tries).await;
        let busy = done.iter().filter(|r| r.as_ref().is_err_and(|e| e.kind == ErrorKind::Busy));
        assert_eq!(busy.count(), 8);
    }

    async fn futures_of<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
        let mut all: Vec<_> = all.map(Box::pin).collect();
        let mut done = Vec::new();
        std::future::poll_fn(|cx| {
            all.retain_mut(|one| match one.as_mut().poll(cx) {
                std::task::Poll::Ready(result) => {
                    done.push(result);
                    false
                }
                std::task::Poll::Pending => true,
            });
            if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        done
    }
}
