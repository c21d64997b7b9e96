//! The very bytes of a recorded session, for a terminal to be shown again. Bounded: of a long one what
//! was shown first goes.

use crate::store::audit;
use cmdr_protocol::recordings::{Event, EventKind, Recording};
use cmdr_protocol::sessions::Size;
use std::collections::VecDeque;

/// Whether a terminal was recorded.
pub fn is_terminal(recording: &Recording) -> bool {
    recording.method.starts_with("sessions.")
}

/// Bytes that are kept: an emulator takes them in again within the blink of an eye, so that going back
/// needs nothing else.
pub const MOST: usize = 8 << 20;
/// What a piece takes beside its bytes.
const PIECE: usize = 48;

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
        let size = Size::default();
        is_terminal(recording).then(|| Self {
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

    fn event(data: &[u8]) -> Event {
        Event { kind: EventKind::Output, data: data.to_vec(), ..Event::default() }
    }

    fn reel() -> Reel {
        let recording = Recording { method: "sessions.open".into(), ..Recording::default() };
        Reel::of(&recording).expect("a session")
    }

    #[test]
    fn only_sessions_have_a_terminal() {
        let recording = Recording { method: "exec.start".into(), ..Recording::default() };
        assert!(Reel::of(&recording).is_none());
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
