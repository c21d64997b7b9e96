//! What a sealed value looks like, and the two operations on it. Knows keys only as bytes.
//!
//! Version (1 byte), number of the data key (4), salt (24), then the value under ChaCha20-Poly1305 with
//! its tag (16). Each message has a key of its own, derived from the data key and the salt, so the nonce
//! can be zero and no number of messages wears a key out. Head and context are authenticated with it.

use super::VaultError;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

/// A symmetric key.
pub(super) type Key = Zeroizing<[u8; 32]>;

const VERSION: u8 = 1;
const SALT: usize = 24;
const HEAD: usize = 1 + 4 + SALT;
const TAG: usize = 16;

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, VaultError> {
    let mut bytes = Zeroizing::new([0; N]);
    SystemRandom::new().fill(bytes.as_mut()).map_err(|_| VaultError::Random)?;
    Ok(bytes)
}

/// The number of the data key that sealed it; nothing when it was never sealed here.
pub(super) fn number(sealed: &[u8]) -> Option<u32> {
    let (version, rest) = sealed.split_first()?;
    let (number, rest) = rest.split_first_chunk::<4>()?;
    (*version == VERSION && rest.len() >= SALT + TAG).then(|| u32::from_be_bytes(*number))
}

fn message_key(key: &Key, head: &[u8]) -> Option<LessSafeKey> {
    let mut hasher = blake3::Hasher::new_derive_key("cmdr vault message v1");
    hasher.update(key.as_ref()).update(head);
    let derived = Zeroizing::new(*hasher.finalize().as_bytes());
    UnboundKey::new(&CHACHA20_POLY1305, derived.as_ref()).ok().map(LessSafeKey::new)
}

fn associated(head: &[u8], context: &str) -> Aad<Vec<u8>> {
    // The head has a fixed length, so the two cannot be taken for another pair.
    Aad::from([head, context.as_bytes()].concat())
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// Seals.
pub(super) fn seal(
    key: &Key,
    number: u32,
    context: &str,
    plain: &[u8],
) -> Result<Vec<u8>, VaultError> {
    let mut sealed = Vec::with_capacity(HEAD + plain.len() + TAG);
    sealed.push(VERSION);
    sealed.extend_from_slice(&number.to_be_bytes());
    sealed.extend_from_slice(random::<SALT>()?.as_ref());
    sealed.extend_from_slice(plain);
    let (head, body) = sealed.split_at_mut(HEAD);
    let cipher = message_key(key, head).ok_or(VaultError::TooLarge)?;
    let tag = cipher
        .seal_in_place_separate_tag(nonce(), associated(head, context), body)
        .map_err(|_| VaultError::TooLarge)?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

/// Opens; nothing when one bit of it, the key or the context is another than it was.
pub(super) fn open(key: &Key, context: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (head, body) = sealed.split_at_checked(HEAD)?;
    let cipher = message_key(key, head)?;
    let mut body = Zeroizing::new(body.to_vec());
    let len = cipher.open_in_place(nonce(), associated(head, context), &mut body).ok()?.len();
    body.truncate(len);
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_another_key_or_another_context_is_noticed() {
        let key = random::<32>().unwrap();
        let sealed = seal(&key, 7, "totp/ann", b"value").unwrap();
        assert_eq!(open(&key, "totp/ann", &sealed).unwrap().as_slice(), b"value");
        assert_eq!(number(&sealed), Some(7));
        assert!(open(&key, "totp/bob", &sealed).is_none());
        assert!(open(&random::<32>().unwrap(), "totp/ann", &sealed).is_none());
        for at in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(open(&key, "totp/ann", &bad).is_none(), "bit {at}");
        }
        for cut in 0..sealed.len() {
            assert!(open(&key, "totp/ann", &sealed[..cut]).is_none(), "cut to {cut}");
        }
    }

    #[test]
    fn the_same_value_never_looks_the_same_and_is_not_in_the_blob() {
        let key = random::<32>().unwrap();
        let value = b"correct horse battery staple";
        let (one, two) = (seal(&key, 1, "a", value).unwrap(), seal(&key, 1, "a", value).unwrap());
        assert_ne!(one[HEAD..], two[HEAD..]);
        assert!(!one.windows(8).any(|w| value.windows(8).any(|v| v == w)));
        assert!(open(&key, "a", &seal(&key, 1, "a", b"").unwrap()).unwrap().is_empty());
    }
}
