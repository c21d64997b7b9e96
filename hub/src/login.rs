//! Logins that hold for a time: by password, second factor, directory. Asked by the services `login`,
//! `operators` and `totp`.

pub mod password;
pub mod totp;

use crate::config;
use crate::gate::{Bounds, Gate};
use crate::lockout::Lockout;
use cmdr_link::clock;
use password::Hasher;

/// Strangers who are logging in at once, in all and from one address.
const GUESTS: Bounds = Bounds { per_address: 20, total: 500 };

/// What logins share.
#[derive(Debug)]
pub struct Login {
    /// Places for those who have yet to log in.
    pub guests: Gate,
    /// Wrong tries, by the name that was given.
    pub wrong: Lockout<String>,
    /// Hashes passwords.
    pub hasher: Hasher,
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
