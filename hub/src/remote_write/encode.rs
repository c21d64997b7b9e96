//! Samples as a `WriteRequest` of the remote-write protocol 1.0: protobuf, packed as one block of snappy. Four messages of
//! two fields each are no reason for a code generator.

/// A series with some of its samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Series {
    /// In order of their names, no name twice, no value empty; the figure's is `__name__`.
    pub(super) labels: Vec<(String, String)>,
    /// Times in milliseconds since 1970, ascending, and values.
    pub(super) samples: Vec<(i64, f64)>,
}

/// Fields: a number of one, a length with that many bytes.
const BYTES: u8 = 2;
const DOUBLE: u8 = 1;
const VARINT: u8 = 0;

fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n > 127 {
        out.push(n as u8 | 128);
        n >>= 7;
    }
    out.push(n as u8);
}

const fn varint_len(n: u64) -> usize {
    (64 - (n | 1).leading_zeros() as usize).div_ceil(7)
}

fn head(out: &mut Vec<u8>, field: u8, len: usize) {
    out.push(field << 3 | BYTES);
    varint(out, len as u64);
}

const fn bytes_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

const fn label_len((name, value): (&str, &str)) -> usize {
    bytes_len(name.len()) + bytes_len(value.len())
}

const fn sample_len(at_ms: i64) -> usize {
    9 + 1 + varint_len(at_ms.cast_unsigned())
}

fn series_len(series: &Series) -> usize {
    let labels = series.labels.iter().map(|(n, v)| bytes_len(label_len((n, v)))).sum::<usize>();
    let samples = series.samples.iter().map(|(at, _)| bytes_len(sample_len(*at))).sum::<usize>();
    labels + samples
}

/// The message, not packed.
fn message(all: &[Series]) -> Vec<u8> {
    let mut out = Vec::with_capacity(all.iter().map(|s| bytes_len(series_len(s))).sum());
    for series in all {
        head(&mut out, 1, series_len(series));
        for (name, value) in &series.labels {
            head(&mut out, 1, label_len((name, value)));
            for (field, text) in [(1, name), (2, value)] {
                head(&mut out, field, text.len());
                out.extend_from_slice(text.as_bytes());
            }
        }
        for (at_ms, value) in &series.samples {
            head(&mut out, 2, sample_len(*at_ms));
            out.push(1 << 3 | DOUBLE);
            out.extend_from_slice(&value.to_le_bytes());
            out.push(2 << 3 | VARINT);
            varint(&mut out, at_ms.cast_unsigned());
        }
    }
    out
}

/// The body of a request.
pub(super) fn body(all: &[Series]) -> Result<Vec<u8>, String> {
    let packed = snap::raw::Encoder::new().compress_vec(&message(all));
    packed.map_err(|e| format!("packing samples: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_bytes_that_the_definition_of_the_protocol_gives() {
        let series = Series {
            labels: vec![("__name__".into(), "up".into()), ("host".into(), "a".into())],
            samples: vec![(1000, 1.5), (-1, 0.0)],
        };
        let mut expected = vec![0x0a, 58];
        expected.extend([0x0a, 14, 0x0a, 8]);
        expected.extend(b"__name__");
        expected.extend([0x12, 2]);
        expected.extend(b"up");
        expected.extend([0x0a, 9, 0x0a, 4]);
        expected.extend(b"host");
        expected.extend([0x12, 1, b'a']);
        expected.extend([0x12, 12, 0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x10, 0xe8, 0x07]);
        expected.extend([0x12, 20, 0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0x10]);
        expected.extend([0xff; 9]);
        expected.push(1);
        expected[1] = (expected.len() - 2) as u8;
        assert_eq!(message(std::slice::from_ref(&series)), expected);
        let packed = body(&[series]).unwrap();
        assert_eq!(snap::raw::Decoder::new().decompress_vec(&packed).unwrap(), expected);
    }

    #[test]
    fn lengths_of_numbers_are_those_of_their_bytes() {
        for n in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            varint(&mut out, n);
            assert_eq!(out.len(), varint_len(n), "{n}");
        }
    }
}
