//! Texts that carry a hub: its card, with which people find it before they log in, and a program's
//! key, which is the same with a secret key beside it.

use crate::SecretKey;
use crate::context::Context;
use crate::link::Target;
use cmdr_protocol::PublicKey;
use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

const CARD: &str = "cmdrhub1-";
const KEY: &str = "cmdrkey1-";
const CHECK: usize = 4;
/// The longest text that is looked at.
const LONGEST: usize = 1024;

/// Why a text is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadText {
    /// It does not look like a card.
    #[error(
        "this is not a hub's card: one begins with 'cmdrhub1-'; the hub's administrator prints it with: cmdr hub card"
    )]
    NoCard,
    /// It does not look like a program's key.
    #[error("this is not a program's key: one begins with 'cmdrkey1-'; cmdr keys create makes one")]
    NoKey,
    /// It is cut short or mistyped.
    #[error("this text is damaged: it was cut short or mistyped; copy it again, whole")]
    Damaged,
}

/// Whether a text means to be a card.
pub fn is_card(text: &str) -> bool {
    text.trim().starts_with(CARD)
}

/// The card of a hub: where it is, and the key that it must prove. No secret.
pub fn write_card(target: &Target) -> String {
    write(CARD, &[&target.hub.0, target.address.as_bytes()])
}

/// Reads a hub's card.
pub fn read_card(text: &str) -> Result<Target, BadText> {
    let bytes = read(CARD, text, BadText::NoCard)?;
    let (hub, address) = bytes.split_first_chunk::<32>().ok_or(BadText::Damaged)?;
    let address = std::str::from_utf8(address).map_err(|_| BadText::Damaged)?.to_owned();
    Ok(Target { address, hub: PublicKey(*hub) })
}

/// A program's key, with all that it needs to find its hub.
pub fn write_key(context: &Context) -> Zeroizing<String> {
    let Context { target, key, .. } = context;
    Zeroizing::new(write(KEY, &[key.secret(), &target.hub.0, target.address.as_bytes()]))
}

/// Reads a program's key.
pub fn read_key(text: &str) -> Result<Context, BadText> {
    let bytes = read(KEY, text, BadText::NoKey)?;
    let (secret, rest) = bytes.split_first_chunk::<32>().ok_or(BadText::Damaged)?;
    let (hub, address) = rest.split_first_chunk::<32>().ok_or(BadText::Damaged)?;
    let address = std::str::from_utf8(address).map_err(|_| BadText::Damaged)?.to_owned();
    let key = SecretKey::from_secret(Zeroizing::new(*secret));
    Ok(Context { target: Target { address, hub: PublicKey(*hub) }, key, dir: None })
}

fn write(prefix: &str, parts: &[&[u8]]) -> String {
    let mut bytes = Zeroizing::new(Vec::with_capacity(256));
    for part in parts {
        bytes.extend_from_slice(part);
    }
    let check = blake3::hash(&bytes);
    bytes.extend_from_slice(&check.as_bytes()[..CHECK]);
    format!("{prefix}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

fn read(prefix: &str, text: &str, other: BadText) -> Result<Zeroizing<Vec<u8>>, BadText> {
    let body = text.trim().strip_prefix(prefix).ok_or(other)?;
    if body.len() > LONGEST {
        return Err(BadText::Damaged);
    }
    let upper = Zeroizing::new(body.to_ascii_uppercase());
    let mut bytes =
        Zeroizing::new(BASE32_NOPAD.decode(upper.as_bytes()).map_err(|_| BadText::Damaged)?);
    let split = bytes.len().checked_sub(CHECK).ok_or(BadText::Damaged)?;
    let (content, check) = bytes.split_at(split);
    if &blake3::hash(content).as_bytes()[..CHECK] != check {
        return Err(BadText::Damaged);
    }
    bytes.truncate(split);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn target() -> Target {
        Target { address: "hub.example:7700".to_owned(), hub: PublicKey([9; 32]) }
    }

    #[test]
    fn a_card_and_a_key_read_back_and_are_not_taken_for_each_other() {
        let card = write_card(&target());
        assert_eq!(read_card(&format!(" {card}\n")).unwrap(), target());
        let key = SecretKey::generate().unwrap();
        let text = write_key(&Context { target: target(), key: key.clone(), dir: None });
        let back = read_key(&text).unwrap();
        assert_eq!((back.target, back.key.public()), (target(), key.public()));
        assert_eq!(read_key(&card).unwrap_err(), BadText::NoKey);
        assert_eq!(read_card(&text).unwrap_err(), BadText::NoCard);
        for cut in CARD.len()..card.len() {
            assert_eq!(read_card(&card[..cut]).unwrap_err(), BadText::Damaged, "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            drop(read_card(&format!("{CARD}{text}")));
            drop(read_key(&format!("{KEY}{text}")));
        }
    }
}
