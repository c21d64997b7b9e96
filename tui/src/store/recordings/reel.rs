//! The very bytes of a recorded session, for a terminal to be shown again. Bounded: of a long one what
//! was shown first goes.

use crate::store::audit;
use cmdr_protocol::recordings::{Event, EventKind, Recording};
use std::collections::VecDeque;

/// Whether a terminal was recorded.
pub fn is_terminal(recording: &Recording) -> bool {
    recording.terminal.is_some()
}

/// Bytes that are kept: an emulator takes them in again within the blink of an eye, so that going back
/// needs nothing else.
pub const MOST: usize = 8 << 20;
/// What a piece takes beside its bytes.
const PIECE: usize = 48;

/// Reads `80x24`.
fn size(data: &[u8]) -> Option<(u16, u16)> {
    let (columns, rows) = std::str::from_utf8(data).ok()?.split_once('x')?;
    Some((columns.parse().ok()?, rows.parse().ok()?))
}

/// A piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes for the terminal.
    Output(Vec<u8>),
    /// The terminal has another size.
    Size(u16, u16),
}

/// The bytes.
#[derive(Debug)]
pub struct Reel {
    /// No other one has this number.
    pub number: u64,
    /// Columns and rows at first.
    pub size: (u16, u16),
    pieces: VecDeque<(u64, Piece)>,
    /// Pieces that went.
    gone: usize,
    bytes: usize,
}

impl Reel {
    /// For a recording, when it is one of a terminal.
    pub fn of(recording: &Recording) -> Option<Self> {
        let size = recording.terminal?;
        Some(Self {
            number: audit::owner(),
            size: (size.columns, size.rows),
            pieces: VecDeque::new(),
            gone: 0,
            bytes: 0,
        })
    }

    /// Takes what happened at a time.
    pub fn take(&mut self, at_us: u64, event: &Event) {
        let piece = match event.kind {
            EventKind::Output => Piece::Output(event.data.clone()),
            EventKind::Resize => match size(&event.data) {
                Some((columns, rows)) => Piece::Size(columns, rows),
                None => return,
            },
            _ => return,
        };
        self.bytes += event.data.len() + PIECE;
        self.pieces.push_back((at_us, piece));
        while self.bytes > MOST {
            let Some((_, piece)) = self.pieces.pop_front() else { return };
            let size = if let Piece::Output(data) = piece { data.len() } else { 0 };
            self.bytes = self.bytes.saturating_sub(size + PIECE);
            self.gone += 1;
        }
    }

    /// The number of the first piece after a time.
    pub fn until(&self, at_us: u64) -> usize {
        self.gone + self.pieces.partition_point(|(at, _)| *at <= at_us)
    }

    /// The number of the oldest piece here.
    pub const fn first(&self) -> usize {
        self.gone
    }

    /// The pieces from one number up to another.
    pub fn pieces(&self, from: usize, to: usize) -> impl Iterator<Item = &Piece> {
        let (from, to) = (from.saturating_sub(self.gone), to.saturating_sub(self.gone));
        let to = to.min(self.pieces.len());
        self.pieces.range(from.min(to)..to).map(|(_, piece)| piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::sessions::Size;

    fn event(data: &[u8]) -> Event {
        Event { kind: EventKind::Output, data: data.to_vec(), ..Event::default() }
    }

    fn reel() -> Reel {
        let terminal = Some(Size { columns: 100, rows: 30 });
        let reel = Reel::of(&Recording { terminal, ..Recording::default() });
        reel.expect("a terminal")
    }

    #[test]
    fn only_sessions_have_a_terminal() {
        assert!(Reel::of(&Recording::default()).is_none());
        let mut reel = reel();
        assert_eq!(reel.size, (100, 30));
        let resize = |data: &[u8]| Event { kind: EventKind::Resize, data: data.into(), at_us: 0 };
        for data in [&b"90x20"[..], b"x", b"99999x1", b"\xff"] {
            reel.take(0, &resize(data));
        }
        assert_eq!(reel.pieces(0, 9).collect::<Vec<_>>(), [&Piece::Size(90, 20)]);
    }

    #[test]
    fn pieces_are_found_by_time_and_the_oldest_go() {
        let mut reel = reel();
        for at_us in 0..10 {
            reel.take(at_us * 10, &event(b"x"));
        }
        assert_eq!([reel.until(0), reel.until(35), reel.until(1000)], [1, 4, 10]);
        assert_eq!(reel.pieces(2, 5).count(), 3);
        for at_us in 0..100 {
            reel.take(1000 + at_us, &event(&[b'y'; 200_000]));
        }
        assert!(reel.bytes <= MOST && reel.first() > 10);
        assert_eq!(reel.until(u64::MAX), 110);
        assert_eq!(reel.pieces(0, 110).count(), 110 - reel.first());
    }
}
