//! What stands around each record on disk, so that damage is noticed.
//!
//! Version (1 byte), sequence (8), checksum of key, sequence and value (16), value.

const VERSION: u8 = 1;
const SUM: usize = 16;
const HEAD: usize = 1 + 8 + SUM;

fn checksum(key: &str, seq: [u8; 8], value: &[u8]) -> [u8; SUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_be_bytes());
    hasher.update(key.as_bytes());
    hasher.update(&seq);
    hasher.update(value);
    let mut sum = [0; SUM];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

pub(super) fn seal(key: &str, seq: u64, value: &[u8]) -> Vec<u8> {
    let seq = seq.to_be_bytes();
    let mut sealed = Vec::with_capacity(HEAD + value.len());
    sealed.push(VERSION);
    sealed.extend_from_slice(&seq);
    sealed.extend_from_slice(&checksum(key, seq, value));
    sealed.extend_from_slice(value);
    sealed
}

pub(super) fn open<'a>(key: &str, sealed: &'a [u8]) -> Result<&'a [u8], &'static str> {
    let (version, rest) = sealed.split_first().ok_or("it is empty")?;
    if *version != VERSION {
        return Err("it was written by a newer release");
    }
    let (seq, rest) = rest.split_first_chunk::<8>().ok_or("it is cut short")?;
    let (sum, value) = rest.split_first_chunk::<SUM>().ok_or("it is cut short")?;
    if *sum == checksum(key, *seq, value) { Ok(value) } else { Err("its checksum does not match") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_or_another_key_is_noticed() {
        let sealed = seal("host/a", 7, b"value");
        assert_eq!(open("host/a", &sealed), Ok(&b"value"[..]));
        assert!(open("host/b", &sealed).is_err());
        for at in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[at / 8] ^= 1 << (at % 8);
            assert!(open("host/a", &bad).is_err(), "bit {at}");
        }
        for cut in 0..sealed.len() {
            assert!(open("host/a", &sealed[..cut]).is_err(), "cut to {cut}");
        }
    }
}
