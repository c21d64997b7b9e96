//! An authenticator.

use data_encoding::BASE32_NOPAD;
use ring::hmac;

/// The codes of one secret (RFC 6238).
pub struct Codes(hmac::Key);

impl Codes {
    /// Of a secret in base 32.
    pub fn of(secret: &str) -> Self {
        let secret = BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
        Self(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret))
    }

    fn at(&self, step: u64) -> String {
        let tag = hmac::sign(&self.0, &step.to_be_bytes());
        let bytes = tag.as_ref();
        let offset = usize::from(bytes[19] & 15);
        let number = u32::from_be_bytes(bytes[offset..offset + 4].try_into().unwrap());
        format!("{:06}", (number & 0x7fff_ffff) % 1_000_000)
    }

    fn step() -> u64 {
        cmdr_link::clock::now_ms() / 30_000
    }

    /// The code of now.
    pub fn now(&self) -> String {
        self.at(Self::step())
    }

    /// The one after it, which is taken already.
    pub fn next(&self) -> String {
        self.at(Self::step() + 1)
    }
}
