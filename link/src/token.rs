//! Join tokens as text: where the hub is, which key it has, and the secret that lets a new key in.

use cmdr_protocol::PublicKey;
use cmdr_protocol::ids::TokenId;
use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

/// A join token. Its text is `cmdr1-…`; it begins with a letter, has no character a shell would
/// change, and ends in a checksum, so a cut or mistyped one is named as such and not as wrong.
#[derive(Clone)]
pub struct JoinToken {
    /// Where to dial, `host:port`.
    pub address: String,
    /// The key the hub must prove.
    pub hub: PublicKey,
    /// The public half.
    pub id: TokenId,
    /// The secret half.
    pub secret: Zeroizing<[u8; 16]>,
}

/// Why a text is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It does not look like one.
    #[error("this is not a join token: one begins with 'cmdr1-'")]
    Shape,
    /// It is cut short or mistyped.
    #[error("this join token is damaged: it was cut short or mistyped; copy it again, whole")]
    Damaged,
}

const PREFIX: &str = "cmdr1-";
const CHECK: usize = 4;

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinToken")
            .field("address", &self.address)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl JoinToken {
    /// A token with a fresh id and secret.
    pub fn generate(address: String, hub: PublicKey) -> Result<Self, getrandom::Error> {
        let (mut id, mut secret) = ([0; 8], Zeroizing::new([0; 16]));
        getrandom::fill(&mut id)?;
        getrandom::fill(secret.as_mut())?;
        Ok(Self { address, hub, id: TokenId(id), secret })
    }

    /// The text to hand over.
    pub fn to_text(&self) -> String {
        let mut bytes = Zeroizing::new(Vec::with_capacity(96));
        bytes.extend_from_slice(&self.hub.0);
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(self.secret.as_ref());
        bytes.extend_from_slice(self.address.as_bytes());
        let check = blake3::hash(&bytes);
        bytes.extend_from_slice(&check.as_bytes()[..CHECK]);
        format!("{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }

    /// Reads a token's text.
    pub fn parse(text: &str) -> Result<Self, BadToken> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(BadToken::Shape)?;
        if body.len() > 1024 {
            return Err(BadToken::Damaged);
        }
        let upper = Zeroizing::new(body.to_ascii_uppercase());
        let bytes =
            Zeroizing::new(BASE32_NOPAD.decode(upper.as_bytes()).map_err(|_| BadToken::Damaged)?);
        let split = bytes.len().checked_sub(CHECK).ok_or(BadToken::Damaged)?;
        let (content, check) = bytes.split_at(split);
        if &blake3::hash(content).as_bytes()[..CHECK] != check {
            return Err(BadToken::Damaged);
        }
        let (hub, rest) = content.split_first_chunk::<32>().ok_or(BadToken::Damaged)?;
        let (id, rest) = rest.split_first_chunk::<8>().ok_or(BadToken::Damaged)?;
        let (secret, address) = rest.split_first_chunk::<16>().ok_or(BadToken::Damaged)?;
        let address = std::str::from_utf8(address).map_err(|_| BadToken::Damaged)?;
        Ok(Self {
            address: address.to_owned(),
            hub: PublicKey(*hub),
            id: TokenId(*id),
            secret: Zeroizing::new(*secret),
        })
    }

    /// What the hub keeps instead of the secret.
    pub fn hash_secret(secret: &[u8]) -> [u8; 32] {
        blake3::derive_key("cmdr join token secret v1", secret)
    }
}

/// Compares in a time that does not depend on where the two differ.
pub fn same_hash(a: &[u8; 32], b: &[u8; 32]) -> bool {
    blake3::Hash::from_bytes(*a) == blake3::Hash::from_bytes(*b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> JoinToken {
        JoinToken::generate("hub.example:7700".into(), PublicKey([9; 32])).unwrap()
    }

    #[test]
    fn a_token_reads_back_from_its_text() {
        let token = token();
        let back = JoinToken::parse(&format!(" {}\n", token.to_text())).unwrap();
        assert_eq!((back.address, back.hub, back.id), (token.address, token.hub, token.id));
        assert_eq!(back.secret, token.secret);
    }

    #[test]
    fn a_cut_or_changed_token_is_called_damaged() {
        let text = token().to_text();
        for cut in 6..text.len() {
            assert_eq!(
                JoinToken::parse(&text[..cut]).unwrap_err(),
                BadToken::Damaged,
                "cut at {cut}"
            );
        }
        let swapped = text.replacen(text.chars().nth(20).unwrap(), "7", 1);
        if swapped != text {
            assert!(JoinToken::parse(&swapped).is_err());
        }
        assert_eq!(JoinToken::parse("hello").unwrap_err(), BadToken::Shape);
    }

    #[test]
    fn printing_a_token_does_not_show_its_secret() {
        let token = token();
        let secret = format!("{:?}", token.secret.as_ref());
        assert!(!format!("{token:?}").contains(&secret));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            drop(JoinToken::parse(&text));
            drop(JoinToken::parse(&format!("{PREFIX}{text}")));
        }
    }
}
