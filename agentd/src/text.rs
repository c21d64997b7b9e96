//! Reads the kernel's text files: numbers and fields out of bytes, without allocating and without
//! trusting their shape. A value that is not there is `None`, one too large is the largest.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The number that `bytes` begin with, after blanks.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    let bytes = bytes.trim_ascii_start();
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    (digits > 0).then(|| {
        bytes[..digits]
            .iter()
            .fold(0u64, |n, b| n.saturating_mul(10).saturating_add(u64::from(b - b'0')))
    })
}

/// As [`number`], with a minus sign allowed.
pub(crate) fn signed(bytes: &[u8]) -> Option<i64> {
    let bytes = bytes.trim_ascii_start();
    let magnitude = |b| number(b).map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    match bytes.strip_prefix(b"-") {
        Some(rest) if rest.first().is_some_and(u8::is_ascii_digit) => magnitude(rest).map(|n| -n),
        Some(_) => None,
        None => magnitude(bytes),
    }
}

/// A number with a point, in hundredths: `1.5` is 150.
pub(crate) fn hundredths(bytes: &[u8]) -> Option<u64> {
    let whole = number(bytes)?.saturating_mul(100);
    let bytes = bytes.trim_ascii_start();
    let point = bytes.iter().position(|b| !b.is_ascii_digit()).filter(|&i| bytes[i] == b'.');
    let digit = |i: usize| {
        point
            .and_then(|p| bytes.get(p + i))
            .filter(|b| b.is_ascii_digit())
            .map_or(0, |b| u64::from(b - b'0'))
    };
    let tens = digit(1);
    // Without a first digit behind the point there is no second.
    let ones = match point.and_then(|p| bytes.get(p + 1)) {
        Some(b) if b.is_ascii_digit() => digit(2),
        _ => 0,
    };
    Some(whole.saturating_add(tens * 10 + ones))
}

/// The parts between blanks.
pub(crate) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty())
}

/// The lines, without their ends.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty())
}

/// Bytes of a name as text, whatever they are.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file of the kernel's that stays open and is read anew from its beginning each time.
#[derive(Debug)]
pub(crate) struct Kept {
    file: File,
}

impl Kept {
    /// Opens a file; `None` when this kernel or container has none.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        File::open(path).ok().map(|file| Self { file })
    }

    /// Reads a file of short records into `buffer`, which grows to what the file needs, at most
    /// 1 MiB. Mostly this is one system call.
    pub(crate) fn read<'b>(&self, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
        // The kernel hands out whole records, up to a page at a time: a piece of less than half a
        // page is the last one.
        self.read_until(buffer, 2048)
    }

    /// As [`Kept::read`], for files whose records may be long.
    pub(crate) fn read_to_end<'b>(&self, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
        self.read_until(buffer, 1)
    }

    fn read_until<'b>(&self, buffer: &'b mut Vec<u8>, last: usize) -> io::Result<&'b [u8]> {
        const LARGEST: usize = 1 << 20;
        if buffer.len() < 4096 {
            buffer.resize(4096, 0);
        }
        let mut filled = 0;
        loop {
            let n = self.file.read_at(&mut buffer[filled..], filled as u64)?;
            filled += n;
            if filled == buffer.len() && filled < LARGEST {
                buffer.resize(filled * 2, 0);
            } else if n < last || filled >= LARGEST {
                return Ok(&buffer[..filled]);
            }
        }
    }
}

/// A small text file, trimmed; empty when there is none.
pub(crate) fn small(path: &Path) -> String {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    match File::open(path).and_then(|file| file.take(64 * 1024).read_to_end(&mut bytes)) {
        Ok(_) => lossy(bytes.trim_ascii()),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_and_anything_else_is_none() {
        assert_eq!(number(b"  42 kB"), Some(42));
        assert_eq!(number(b"99999999999999999999999"), Some(u64::MAX));
        assert_eq!(number(b"x1"), None);
        assert_eq!(signed(b"-20"), Some(-20));
        assert_eq!(signed(b"-"), None);
        assert_eq!(hundredths(b"1.5"), Some(150));
        assert_eq!(hundredths(b"0.07 rest"), Some(7));
        assert_eq!(hundredths(b"12"), Some(1200));
        assert_eq!(hundredths(b"3."), Some(300));
    }

    #[test]
    fn a_kept_file_is_read_whole_however_long_it_is() {
        let dir = tempfile::tempdir().unwrap();
        for len in [0usize, 10, 2047, 2048, 4095, 4096, 5000, 100_000] {
            let path = dir.path().join(len.to_string());
            let content: Vec<u8> = (0..len).map(|i| i as u8).collect();
            std::fs::write(&path, &content).unwrap();
            let kept = Kept::open(&path).unwrap();
            let mut buffer = Vec::new();
            assert_eq!(kept.read(&mut buffer).unwrap(), content);
            assert_eq!(kept.read(&mut buffer).unwrap(), content, "the second time");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = (number(&bytes), signed(&bytes), hundredths(&bytes));
            prop_assert!(fields(&bytes).all(|f| !f.is_empty()));
        }
    }
}
