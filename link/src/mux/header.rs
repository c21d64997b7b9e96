//! The twelve bytes before every frame, as the yamux specification has them.

/// Bytes a stream may send before it is given more.
pub(super) const INITIAL_WINDOW: u32 = 256 * 1024;
/// Bytes of a header.
pub(super) const HEADER: usize = 12;

/// What a frame is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bytes of a stream follow, as many as `length` says.
    Data = 0,
    /// The peer may send `length` more bytes on the stream.
    WindowUpdate = 1,
    /// Wants `length` back.
    Ping = 2,
    /// The connection ends; `length` is a code.
    GoAway = 3,
}

/// Opens a stream.
pub(super) const SYN: u16 = 1;
/// Takes an opened stream.
pub(super) const ACK: u16 = 2;
/// The sender sends no more on the stream.
pub(super) const FIN: u16 = 4;
/// The stream is given up.
pub(super) const RST: u16 = 8;

/// What stands before a frame's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) flags: u16,
    /// The stream; 0 is the connection itself.
    pub(super) stream: u32,
    pub(super) length: u32,
}

impl Header {
    pub(super) const fn new(kind: Kind, flags: u16, stream: u32, length: u32) -> Self {
        Self { kind, flags, stream, length }
    }

    pub(super) fn encode(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[1] = self.kind as u8;
        bytes[2..4].copy_from_slice(&self.flags.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.stream.to_be_bytes());
        bytes[8..].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// `None` when the version or the kind is not known.
    pub(super) fn decode(bytes: [u8; HEADER]) -> Option<Self> {
        let [version, kind, f0, f1, s0, s1, s2, s3, l0, l1, l2, l3] = bytes;
        let kind = match (version, kind) {
            (0, 0) => Kind::Data,
            (0, 1) => Kind::WindowUpdate,
            (0, 2) => Kind::Ping,
            (0, 3) => Kind::GoAway,
            _ => return None,
        };
        Some(Self {
            kind,
            flags: u16::from_be_bytes([f0, f1]),
            stream: u32::from_be_bytes([s0, s1, s2, s3]),
            length: u32::from_be_bytes([l0, l1, l2, l3]),
        })
    }

    pub(super) const fn has(self, flag: u16) -> bool {
        self.flags & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back_as_written() {
        for kind in [Kind::Data, Kind::WindowUpdate, Kind::Ping, Kind::GoAway] {
            let header = Header::new(kind, SYN | FIN, 0x0102_0304, 0xfffe_0001);
            assert_eq!(Header::decode(header.encode()), Some(header));
        }
    }

    #[test]
    fn unknown_versions_and_kinds_are_no_header() {
        let good = Header::new(Kind::Data, 0, 1, 0).encode();
        for (at, byte) in [(0, 1), (1, 4), (1, 255)] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(Header::decode(bad), None);
        }
    }
}
