//! The kernel's text files: numbers and fields out of bytes, without allocating and without trusting their shape.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The number that `bytes` begin with, after blanks; one too large is the largest.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    let bytes = bytes.trim_ascii_start();
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit());
    let mut any = false;
    let n = digits.fold(0u64, |n, b| {
        any = true;
        n.saturating_mul(10).saturating_add(u64::from(b - b'0'))
    });
    any.then_some(n)
}

/// The parts between blanks.
pub(crate) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty())
}

/// The lines, without their ends.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty())
}

/// The number behind `name` in a file of lines such as `name 12`.
pub(crate) fn named(text: &[u8], name: &[u8]) -> Option<u64> {
    lines(text).find_map(|line| number(line.strip_prefix(name)?))
}

/// As much of a file's beginning as `buffer` holds.
pub(crate) fn read<'b>(file: &File, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], filled as u64) {
            // The kernel hands out whole records, up to a page at a time: a short piece is the last.
            Ok(n) => {
                filled += n;
                if n < 2048 {
                    break;
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(&buffer[..filled])
}

/// As [`read`], of a file that is opened for it.
pub(crate) fn read_once<'b>(path: &Path, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    read(&File::open(path).ok()?, buffer)
}
