//! Texts of files on their way: packed, so that they fit a message and a thin line, and checked when they arrive.
//! And large answers whose parts are much alike.

use crate::codec;
use cmdr_protocol::edits::{Content, MOST, MOST_PACKED};
use cmdr_protocol::{CallError, ErrorKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Read as _;

/// BLAKE3 of a text, hexadecimal.
pub fn hash(text: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(blake3::hash(text).as_bytes())
}

/// Packs a text; one that does not fit a message is refused.
pub fn pack(text: &[u8]) -> Result<Content, CallError> {
    if text.len() > MOST {
        return Err(too_large(text.len() as u64));
    }
    let data = zstd::bulk::compress(text, 3)
        .map_err(|e| CallError::failed(format!("packing a text: {e}")))?;
    if data.len() > MOST_PACKED {
        return Err(CallError::new(
            ErrorKind::Conflict,
            format!(
                "the text takes {} KiB when packed, and a message holds {} KiB: fetch the file, edit it and put it back",
                data.len() >> 10,
                MOST_PACKED >> 10
            ),
        ));
    }
    Ok(Content { size: text.len() as u64, hash: hash(text), data })
}

/// The refusal of a file of so many bytes.
pub fn too_large(size: u64) -> CallError {
    CallError::new(
        ErrorKind::Conflict,
        format!(
            "it has {} KiB, and files of at most {} KiB are edited: fetch it, edit it and put it back",
            size >> 10,
            MOST >> 10
        ),
    )
}

/// The text that was packed, if it arrived as it was sent.
pub fn unpack(content: &Content) -> Result<Vec<u8>, CallError> {
    let wrong = |what: &str| CallError::malformed(format!("a text cannot be read: {what}"));
    if content.size > MOST as u64 {
        return Err(too_large(content.size));
    }
    let mut text = Vec::new();
    if !content.data.is_empty() {
        // One byte more than was said is enough to know that it is not true.
        zstd::stream::read::Decoder::new(&content.data[..])
            .and_then(|decoder| decoder.take(content.size + 1).read_to_end(&mut text))
            .map_err(|e| wrong(&e.to_string()))?;
    }
    if text.len() as u64 != content.size || hash(&text) != content.hash {
        return Err(wrong("it did not arrive as it was sent"));
    }
    Ok(text)
}

/// Packs a value whose parts are much alike.
pub fn pack_value(value: &impl Serialize) -> Result<Vec<u8>, CallError> {
    let fault = |e: &dyn std::fmt::Display| CallError::failed(format!("packing a value: {e}"));
    let bytes = codec::encode(value).map_err(|e| fault(&e))?;
    zstd::bulk::compress(&bytes, 9).map_err(|e| fault(&e))
}

/// The value that was packed, when it has at most so many bytes.
pub fn unpack_value<T: DeserializeOwned>(packed: &[u8], most: usize) -> Result<T, CallError> {
    let wrong = |what: &dyn std::fmt::Display| {
        CallError::malformed(format!("a packed value cannot be read: {what}"))
    };
    let mut bytes = Vec::new();
    zstd::stream::read::Decoder::new(packed)
        .and_then(|decoder| decoder.take(most as u64 + 1).read_to_end(&mut bytes))
        .map_err(|e| wrong(&e))?;
    if bytes.len() > most {
        return Err(wrong(&format!("it has more than {} KiB", most >> 10)));
    }
    codec::decode(&bytes).map_err(|e| wrong(&e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_too_large_or_does_not_pack_is_refused() {
        assert!(pack(&vec![b'a'; MOST]).is_ok());
        let refusal = pack(&vec![b'a'; MOST + 1]).unwrap_err();
        assert!(refusal.message.contains("4096 KiB"), "{refusal}");
        let mut noise = vec![0; MOST_PACKED + 1000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert!(pack(&noise).unwrap_err().message.contains("when packed"));
    }

    #[test]
    fn a_packed_value_is_read_again_and_one_that_swells_or_is_none_is_refused() {
        let value = vec!["much alike".to_owned(); 2000];
        let packed = pack_value(&value).unwrap();
        assert!(packed.len() < 200, "{}", packed.len());
        assert_eq!(unpack_value::<Vec<String>>(&packed, 64 << 10).unwrap(), value);
        let error = unpack_value::<Vec<String>>(&packed, 10_000).unwrap_err();
        assert!(error.message.contains("more than"), "{error}");
        assert!(unpack_value::<Vec<String>>(b"nonsense", 10_000).is_err());
        assert!(unpack_value::<u64>(&packed, 64 << 10).is_err());
    }

    #[test]
    fn a_text_that_says_it_is_small_and_is_not_costs_nothing() {
        let mut bomb = pack(&vec![b'a'; MOST]).unwrap();
        bomb.size = 10;
        assert!(unpack(&bomb).is_err());
        bomb.size = MOST as u64 + 1;
        assert!(unpack(&bomb).is_err());
    }

    proptest! {
        #[test]
        fn any_text_comes_back_and_a_changed_one_does_not(
            text in proptest::collection::vec(any::<u8>(), 0..400), at in any::<usize>(), bit in 0..8u8,
        ) {
            let content = pack(&text).unwrap();
            prop_assert_eq!(unpack(&content).unwrap(), text.clone());
            let mut other = content;
            let at = at % other.data.len();
            other.data[at] ^= 1u8 << bit;
            if let Ok(back) = unpack(&other) {
                prop_assert_eq!(back, text);
            }
        }
    }
}
