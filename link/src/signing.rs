//! Signatures: an Ed25519 key that is made from a device's own key, and the check of what it signed. The device's key
//! itself (X25519) cannot sign.

use crate::SecretKey;
use cmdr_protocol::SigningKey;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// What the key is derived for.
const PURPOSE: &str = "cmdr device signing key v1";

/// Signs for a device.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: SigningKey,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.public)
    }
}

/// The key cannot sign.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this device's key cannot be made into one that signs")]
pub struct CannotSign;

impl Signer {
    /// What signs for the device that has this key: always the same.
    pub fn of(key: &SecretKey) -> Result<Self, CannotSign> {
        let seed = key.derived(PURPOSE);
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).map_err(|_| CannotSign)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| CannotSign)?;
        Ok(Self { pair, public: SigningKey(public) })
    }

    /// The half that others may know.
    pub const fn public(&self) -> SigningKey {
        self.public
    }

    /// A signature, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// Whether this key signed this message so.
pub fn verifies(key: &SigningKey, message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, &key.0).verify(message, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_signs_with_the_same_key_each_time_and_nobody_else_does() {
        let key = SecretKey::generate().unwrap();
        let (one, again) = (Signer::of(&key).unwrap(), Signer::of(&key).unwrap());
        assert_eq!(one.public(), again.public());
        assert_ne!(one.public().0, key.public().0);
        let signature = one.sign(b"said");
        assert!(verifies(&again.public(), b"said", &signature));
        assert!(!verifies(&one.public(), b"said!", &signature));
        let other = Signer::of(&SecretKey::generate().unwrap()).unwrap();
        assert!(!verifies(&other.public(), b"said", &signature));
        assert!(!verifies(&one.public(), b"said", &other.sign(b"said")));
    }

    #[test]
    fn what_is_cut_longer_or_bent_is_no_signature() {
        let signer = Signer::of(&SecretKey::generate().unwrap()).unwrap();
        let signature = signer.sign(b"said");
        for length in [0, 1, 32, 63] {
            assert!(!verifies(&signer.public(), b"said", &signature[..length]), "{length}");
        }
        assert!(!verifies(&signer.public(), b"said", &[&signature[..], b"\0"].concat()));
        for at in 0..signature.len() {
            let mut bent = signature.clone();
            bent[at] ^= 1;
            assert!(!verifies(&signer.public(), b"said", &bent), "{at}");
        }
        // Keys and signatures of small order prove nothing.
        for key in [[0; 32], [0xff; 32], std::array::from_fn(|at| u8::from(at == 0))] {
            assert!(!verifies(&SigningKey(key), b"said", &signature));
        }
        assert!(!verifies(&signer.public(), b"said", &[0; 64]));
    }

    #[test]
    fn printing_one_shows_only_its_public_half() {
        let signer = Signer::of(&SecretKey::generate().unwrap()).unwrap();
        assert_eq!(format!("{signer:?}"), format!("Signer({})", signer.public()));
    }
}
