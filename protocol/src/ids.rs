//! Names that cannot be forged or confused: every peer *is* its key, and its id is a hash of it.

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadId(String);

macro_rules! id_type {
    ($(#[$meta:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                BASE32_NOPAD
                    .decode(text.to_ascii_uppercase().as_bytes())
                    .ok()
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or_else(|| BadId(format!(concat!("'{}' is not ", $what), crate::display::clean(text))))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() { s.collect_str(self) } else { s.serialize_bytes(&self.0) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                if d.is_human_readable() {
                    String::deserialize(d)?.parse().map_err(D::Error::custom)
                } else {
                    let bytes = serde_bytes::ByteArray::<$len>::deserialize(d)?;
                    Ok(Self(bytes.into_array()))
                }
            }
        }
    };
}

id_type!(
    /// A host: the hash of its agent's public key.
    HostId, 16, "a host id (26 letters and digits)"
);
id_type!(
    /// An operator's device: the hash of its public key.
    KeyId, 16, "a key id (26 letters and digits)"
);
id_type!(
    /// An X25519 public key, which is what a peer is.
    PublicKey, 32, "a public key (52 letters and digits)"
);
id_type!(
    /// The public half of the Ed25519 key that a device signs with.
    SigningKey, 32, "a key for signatures (52 letters and digits)"
);
id_type!(
    /// The public half of a join token; the secret half never leaves the token.
    TokenId, 8, "a token id (13 letters and digits)"
);
id_type!(
    /// A run; made at random, so that no hub gives one twice, whatever backup it was made from.
    RunId, 8, "a run's id (13 letters and digits)"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text_in_either_case() {
        let id = HostId([7; 16]);
        assert_eq!(id.to_string().parse::<HostId>(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse::<HostId>(), Ok(id));
    }

    #[test]
    fn a_text_of_the_wrong_length_is_refused_with_its_text_made_harmless() {
        let error = "ab\u{1b}[2J".parse::<HostId>().unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }
}
