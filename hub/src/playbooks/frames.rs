//! How a playbook's side of a connection and the hub talk: a letter, a length, as many bytes.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The largest frame that is taken.
const LONGEST: u32 = 1 << 20;

/// A program is to be run: JSON.
pub(super) const RUN: u8 = b'x';
/// Bytes for its input, and the end of those.
pub(super) const INPUT: u8 = b'i';
pub(super) const INPUT_ENDS: u8 = b'z';
/// Bytes of its outputs.
pub(super) const STDOUT: u8 = b'o';
pub(super) const STDERR: u8 = b'e';
/// Its exit code: JSON.
pub(super) const EXIT: u8 = b'c';
/// It was not run, or nobody knows how it ended: JSON.
pub(super) const FAILED: u8 = b'f';

/// The next frame; nothing at the end between two.
pub(super) async fn read<R: AsyncRead + Unpin>(
    reader: &mut R,
) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 5];
    if let Err(e) = reader.read_exact(&mut head[..1]).await {
        return if e.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(e) };
    }
    reader.read_exact(&mut head[1..]).await?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is too long"));
    }
    let mut bytes = vec![0; length as usize];
    reader.read_exact(&mut bytes).await?;
    Ok(Some((head[0], bytes)))
}

/// Writes one.
pub(super) async fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    kind: u8,
    bytes: &[u8],
) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?.to_be_bytes();
    let frame = [&[kind][..], &length, bytes].concat();
    writer.write_all(&frame).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_reads_back_and_what_is_too_long_is_refused() {
        let mut bytes = Vec::new();
        write(&mut bytes, RUN, b"{}").await.unwrap();
        write(&mut bytes, INPUT_ENDS, b"").await.unwrap();
        let mut reader = &bytes[..];
        assert_eq!(read(&mut reader).await.unwrap(), Some((RUN, b"{}".to_vec())));
        assert_eq!(read(&mut reader).await.unwrap(), Some((INPUT_ENDS, Vec::new())));
        assert_eq!(read(&mut reader).await.unwrap(), None);
        assert!(read(&mut &[RUN, 0xff, 0, 0, 0][..]).await.is_err());
        assert!(read(&mut &[RUN, 0, 0][..]).await.is_err());
    }
}
