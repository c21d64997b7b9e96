//! The text with which a program uses its key over the hub's HTTP interface (`Authorization: Bearer …`).
//!
//! It names the key and proves that whoever sends it has its secret. The hub keeps two things of it, from
//! neither of which it can be had: a hash, and what signs callbacks.

use cmdr_protocol::KeyId;
use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

const PREFIX: &str = "cmdrhttp1-";
const CHECK: usize = 4;
/// The longest text that is looked at.
const LONGEST: usize = 256;

/// A program's key with its secret.
#[derive(Clone)]
pub struct Bearer {
    /// Which key.
    pub key: KeyId,
    secret: Zeroizing<[u8; 32]>,
}

/// Why a text is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBearer {
    /// It does not look like one.
    #[error(
        "this is not a key for HTTP: one begins with 'cmdrhttp1-'; make one with: cmdr keys create --http"
    )]
    Shape,
    /// It is cut short or mistyped.
    #[error("this key for HTTP is damaged: it was cut short or mistyped; copy it again, whole")]
    Damaged,
}

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bearer").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Bearer {
    /// A fresh secret for a key.
    pub fn generate(key: KeyId) -> Result<Self, getrandom::Error> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut())?;
        Ok(Self { key, secret })
    }

    /// The text to hand over.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(16 + 32 + CHECK));
        bytes.extend_from_slice(&self.key.0);
        bytes.extend_from_slice(self.secret.as_ref());
        let check = blake3::hash(&bytes);
        bytes.extend_from_slice(&check.as_bytes()[..CHECK]);
        let encoded = Zeroizing::new(BASE32_NOPAD.encode(&bytes));
        Zeroizing::new(format!("{PREFIX}{}", encoded.to_ascii_lowercase()))
    }

    /// Reads a text.
    pub fn parse(text: &str) -> Result<Self, BadBearer> {
        let body = text.strip_prefix(PREFIX).ok_or(BadBearer::Shape)?;
        if body.len() > LONGEST {
            return Err(BadBearer::Damaged);
        }
        // Only as it was written: what signs callbacks is made of the text.
        if body.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(BadBearer::Damaged);
        }
        let upper = Zeroizing::new(body.to_ascii_uppercase());
        let bytes =
            Zeroizing::new(BASE32_NOPAD.decode(upper.as_bytes()).map_err(|_| BadBearer::Damaged)?);
        let split = bytes.len().checked_sub(CHECK).ok_or(BadBearer::Damaged)?;
        let (content, check) = bytes.split_at(split);
        if &blake3::hash(content).as_bytes()[..CHECK] != check {
            return Err(BadBearer::Damaged);
        }
        let (key, secret) = content.split_first_chunk::<16>().ok_or(BadBearer::Damaged)?;
        let secret: [u8; 32] = secret.try_into().map_err(|_| BadBearer::Damaged)?;
        Ok(Self { key: KeyId(*key), secret: Zeroizing::new(secret) })
    }

    /// What the hub keeps to know it again.
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key("cmdr http key secret v1", self.secret.as_ref())
    }

    /// The key with which callbacks to this program are signed: the SHA-256 of the text, so that every
    /// language can make it.
    pub fn signing(&self) -> Zeroizing<[u8; 32]> {
        let digest = ring::digest::digest(&ring::digest::SHA256, self.to_text().as_bytes());
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(digest.as_ref());
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bearer() -> Bearer {
        Bearer::generate(KeyId([7; 16])).unwrap()
    }

    #[test]
    fn one_reads_back_from_its_text_and_from_no_other() {
        let one = bearer();
        let text = one.to_text();
        let back = Bearer::parse(&text).unwrap();
        assert_eq!((back.key, back.hash()), (one.key, one.hash()));
        assert_eq!(back.signing(), one.signing());
        for cut in PREFIX.len()..text.len() {
            assert_eq!(Bearer::parse(&text[..cut]).unwrap_err(), BadBearer::Damaged);
        }
        assert_eq!(Bearer::parse("cmdrkey1-abc").unwrap_err(), BadBearer::Shape);
        let (head, body) = text.split_at(PREFIX.len());
        let shouted = format!("{head}{}", body.to_uppercase());
        assert_eq!(Bearer::parse(&shouted).unwrap_err(), BadBearer::Damaged);
    }

    #[test]
    fn what_the_hub_keeps_differs_from_what_signs_and_neither_shows_in_print() {
        let one = bearer();
        assert_ne!(one.hash(), *one.signing());
        assert_ne!(one.hash(), bearer().hash(), "each has a secret of its own");
        assert!(!format!("{one:?}").contains(&format!("{:?}", one.secret.as_ref())));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            drop(Bearer::parse(&text));
            drop(Bearer::parse(&format!("{PREFIX}{text}")));
        }
    }
}
