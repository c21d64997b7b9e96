//! Logins that hold for a time: by [`password`] and second factor ([`totp`]), or because a directory vouches
//! for somebody: [`ldap`] by their password, [`oidc`] by what they confirm in a browser. A directory
//! answers with a [`person`] and their groups; [`groups`] turns those into a role. Asked by the services
//! `login`, `operators` and `totp`.
//!
//! Of directories nothing is kept but what [`refresh`] has: each question dials anew, so one that is down
//! takes nobody else with it.

pub mod directory;
pub mod groups;
pub mod ldap;
pub mod oidc;
pub mod password;
pub mod person;
pub mod refresh;
pub mod totp;

pub(crate) mod tls;

use crate::config;
use crate::gate::{Bounds, Gate};
use crate::lockout::Lockout;
use cmdr_link::clock;
use password::Hasher;
use std::path::Path;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Strangers who are logging in at once, in all and from one address.
const GUESTS: Bounds = Bounds { per_address: 20, total: 500 };

/// Logins that wait for a browser at once.
const BROWSERS: usize = 50;

/// What logins share.
#[derive(Debug)]
pub struct Login {
    /// Places for those who have yet to log in.
    pub guests: Gate,
    /// Wrong tries, by the name that was given.
    pub wrong: Lockout<String>,
    /// Hashes passwords.
    pub hasher: Hasher,
    /// Places for those who confirm in a browser: the hub asks the provider for each of them.
    pub browsers: Semaphore,
    /// One after the other asks the provider again: a refresh token that it has replaced ends the login when
    /// it is used once more, and a device may have several clients.
    pub renewing: tokio::sync::Mutex<()>,
    lasts_ms: u64,
    renewable_ms: u64,
}

/// How long a login holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When it ends, milliseconds since 1970.
    pub expires_ms: u64,
    /// Until when it can be renewed.
    pub renewable_ms: u64,
}

const HOUR_MS: u64 = 3_600_000;

impl Login {
    /// As configured.
    pub fn new(config: &config::Login) -> Self {
        Self {
            guests: Gate::new(GUESTS),
            wrong: Lockout::new(config.wrong),
            hasher: Hasher::default(),
            browsers: Semaphore::new(BROWSERS),
            renewing: tokio::sync::Mutex::new(()),
            lasts_ms: u64::from(config.lasts_h.max(1)) * HOUR_MS,
            renewable_ms: u64::from(config.renewable_h.max(config.lasts_h).max(1)) * HOUR_MS,
        }
    }

    /// Of a login that begins now.
    pub fn span(&self) -> Span {
        let now = clock::now_ms();
        Span { expires_ms: now + self.lasts_ms, renewable_ms: now + self.renewable_ms }
    }

    /// When a login ends that is renewed now.
    pub fn renewed(&self, renewable_ms: u64) -> u64 {
        (clock::now_ms() + self.lasts_ms).min(renewable_ms)
    }

    /// From when it is worth while to renew a login.
    pub const fn renew_from(&self, expires_ms: u64) -> u64 {
        expires_ms.saturating_sub(self.lasts_ms / 2)
    }
}

/// The secret in a file for its owner alone, without the line's end.
fn secret_in(path: &Path) -> Result<Zeroizing<String>, String> {
    let what = |why: &str| format!("reading the secret in {}: {why}", path.display());
    let bytes = cmdr_link::files::read_private(path, 4096).map_err(|e| what(&e.to_string()))?;
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes).map_err(|_| what("it is not text"))?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}
