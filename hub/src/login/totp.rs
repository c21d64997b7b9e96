//! The second factor: secrets for authenticators, their codes, and recovery codes.

use cmdr_protocol::CallError;
use data_encoding::BASE32_NOPAD;
use totp_rs::{Algorithm, TOTP};
use zeroize::Zeroizing;

/// Seconds of one code.
const STEP_S: u64 = 30;
/// Recovery codes at once.
const CODES: usize = 10;
/// What authenticators show beside the code.
const ISSUER: &str = "Commander";

/// A secret that an authenticator shares with the hub.
pub struct Secret(Zeroizing<Vec<u8>>);

fn random(bytes: &mut [u8]) -> Result<(), CallError> {
    use ring::rand::SecureRandom as _;
    ring::rand::SystemRandom::new()
        .fill(bytes)
        .map_err(|_| CallError::failed("the system has no random numbers"))
}

impl Secret {
    /// A new one.
    pub fn generate() -> Result<Self, CallError> {
        let mut secret = Zeroizing::new(vec![0; 20]);
        random(&mut secret)?;
        Ok(Self(secret))
    }

    /// One that was kept.
    pub const fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// To keep it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn totp(&self, operator: &str) -> Result<TOTP, CallError> {
        let (issuer, account) = (Some(ISSUER.to_owned()), operator.replace(':', "_"));
        TOTP::new(Algorithm::SHA1, 6, 1, STEP_S, self.0.to_vec(), issuer, account)
            .map_err(|e| CallError::failed(format!("making a second factor: {e}")))
    }

    /// To type in, and to scan.
    pub fn shown(&self, operator: &str) -> Result<(String, String), CallError> {
        let totp = self.totp(operator)?;
        Ok((totp.get_secret_base32(), totp.get_url()))
    }

    /// The time step whose code this is: one step around now, and after the last that was taken.
    pub fn step_of(&self, code: &str, last_step: u64, now_ms: u64) -> Option<u64> {
        let totp = self.totp("").or_else(|_| self.totp("x")).ok()?;
        let now = now_ms / 1000 / STEP_S;
        (now.saturating_sub(1)..=now + 1).filter(|step| *step > last_step).find(|step| {
            let expected = totp.generate(step * STEP_S);
            same(code.as_bytes(), expected.as_bytes())
        })
    }

    /// The code of this time, as the authenticator shows it.
    #[cfg(test)]
    fn code(&self, now_ms: u64) -> String {
        self.totp("x").unwrap().generate(now_ms / 1000)
    }
}

/// Compares in a time that does not depend on where the two differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    blake3::hash(a) == blake3::hash(b)
}

/// New recovery codes and the hashes to keep of them.
pub fn recovery(operator: &str) -> Result<(Vec<String>, Vec<String>), CallError> {
    let mut codes = Vec::with_capacity(CODES);
    for _ in 0..CODES {
        let mut bytes = [0; 10];
        random(&mut bytes)?;
        let text = BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
        codes.push(format!("{}-{}-{}-{}", &text[..4], &text[4..8], &text[8..12], &text[12..]));
    }
    let hashes = codes.iter().map(|code| recovery_hash(operator, code)).collect();
    Ok((codes, hashes))
}

/// What is kept of a recovery code.
pub fn recovery_hash(operator: &str, code: &str) -> String {
    let code: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    let text = format!("{operator}\0{}", code.to_ascii_lowercase());
    // 80 random bits need no slow hash.
    let hash = blake3::derive_key("cmdr recovery code v1", text.as_bytes());
    BASE32_NOPAD.encode(&hash).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_works_a_step_around_its_time_and_never_twice() {
        let secret = Secret::generate().unwrap();
        let now = 1_800_000_000_000;
        let code = secret.code(now);
        let step = secret.step_of(&code, 0, now).unwrap();
        assert_eq!(step, 1_800_000_000 / 30);
        assert_eq!(secret.step_of(&code, step, now), None, "taken already");
        assert_eq!(secret.step_of(&code, 0, now + 29_000), Some(step), "a slow typist");
        assert_eq!(secret.step_of(&code, 0, now + 90_000), None);
        for wrong in ["", "12345", "abcdef", "1234567", "000000\n"] {
            assert!(wrong == code || secret.step_of(wrong, 0, now).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_codes_are_those_of_the_standard() {
        // RFC 6238, appendix B, SHA-1, the last six digits.
        let secret = Secret::from_bytes(Zeroizing::new(b"12345678901234567890".to_vec()));
        for (at, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(secret.step_of(code, 0, at * 1000), Some(at / 30), "{at}");
        }
    }

    #[test]
    fn recovery_codes_are_read_as_people_write_them() {
        let (codes, hashes) = recovery("ann").unwrap();
        assert_eq!((codes.len(), hashes.len()), (CODES, CODES));
        let sloppy = codes[3].to_uppercase().replace('-', " ");
        assert_eq!(recovery_hash("ann", &sloppy), hashes[3]);
        assert_ne!(recovery_hash("bob", &codes[3]), hashes[3]);
    }
}
