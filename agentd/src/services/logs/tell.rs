//! Sends what was found, in items of a bounded size, no faster than the reader takes them.

use super::file::Out;
use cmdr_link::service::Feeding;
use cmdr_protocol::CallError;
use cmdr_protocol::logs::{At, Follow, Item, Line};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Lines of one item.
const LINES: usize = 2000;
/// Bytes of them, so that a thin line shows something soon.
const BYTES: usize = 32 << 10;
/// Lines that are not wanted are told about so often.
const BEAT: Duration = Duration::from_secs(1);

/// The way to the reader.
pub(super) struct Teller {
    sender: Feeding<Follow>,
    seen: u64,
    place: Option<At>,
    sifted: Option<u32>,
    told: Instant,
}

impl Teller {
    pub(super) fn new(sender: Feeding<Follow>) -> Self {
        Self { sender, seen: 0, place: None, sifted: None, told: Instant::now() }
    }

    /// The next item is sifted by the filter of this number.
    pub(super) fn sifted(&mut self, number: u32) {
        self.sifted = Some(number);
    }

    /// When something is to be told although nothing was found.
    pub(super) async fn beat(&self) {
        if self.seen == 0 {
            return std::future::pending().await;
        }
        sleep_until(self.told + BEAT).await;
    }

    /// Sends what a step brought; what is only a count waits for its time.
    pub(super) async fn tell(&mut self, out: Out, caught_up: bool) -> Result<(), CallError> {
        self.seen += out.seen;
        self.place = out.place.or(self.place.take());
        let silent = out.lines.is_empty() && out.gaps.is_empty() && !caught_up;
        if silent && self.sifted.is_none() && (self.seen == 0 || self.told.elapsed() < BEAT) {
            return Ok(());
        }
        let mut rest = Item {
            gaps: out.gaps,
            first: out.first,
            sifted: self.sifted.take(),
            ..Item::default()
        };
        let mut pieces = pieces(out.lines).peekable();
        while let Some(lines) = pieces.next() {
            rest.lines = lines;
            if pieces.peek().is_some() {
                self.sender.send(&std::mem::take(&mut rest)).await?;
            }
        }
        rest.seen = (self.seen > 0).then_some(self.seen);
        rest.place = self.place.take();
        rest.caught_up = caught_up;
        (self.seen, self.told) = (0, Instant::now());
        self.sender.send(&rest).await
    }

    /// Says that all was looked at that is written so far.
    pub(super) async fn caught_up(&mut self, place: Option<At>) -> Result<(), CallError> {
        self.tell(Out { place, ..Out::default() }, true).await
    }

    /// Sends lines that stand before all others.
    pub(super) async fn older(&mut self, out: Out) -> Result<(), CallError> {
        let (mut gaps, mut first) = (out.gaps, out.first);
        for lines in pieces(out.lines) {
            let (gaps, first) = (std::mem::take(&mut gaps), first.take());
            self.sender.send(&Item { lines, gaps, first, older: true, ..Item::default() }).await?;
        }
        if !gaps.is_empty() || first.is_some() {
            self.sender.send(&Item { gaps, first, older: true, ..Item::default() }).await?;
        }
        Ok(())
    }

    /// Says that these were all, and whether there are none before them.
    pub(super) async fn older_end(&mut self, beginning: bool) -> Result<(), CallError> {
        let item = Item { older: true, older_end: true, beginning, ..Item::default() };
        self.sender.send(&item).await
    }
}

/// Lines in pieces for one item each.
fn pieces(lines: Vec<Line>) -> impl Iterator<Item = Vec<Line>> {
    let mut lines = lines.into_iter().peekable();
    std::iter::from_fn(move || {
        let (mut piece, mut bytes) = (Vec::new(), 0);
        while let Some(line) = lines.next_if(|line| {
            piece.is_empty() || (piece.len() < LINES && bytes + line.bytes.len() <= BYTES)
        }) {
            bytes += line.bytes.len();
            piece.push(line);
        }
        (!piece.is_empty()).then_some(piece)
    })
}

/// Puts the marks of lines left out where they belong, after lines found going back were turned around.
pub(super) fn turn_marks(lines: &mut [Line]) {
    // On the way back a mark stood on the line behind which something is left out.
    for n in (0..lines.len()).rev() {
        let apart = n > 0 && lines[n - 1].apart;
        lines[n].apart = apart;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_in_pieces_of_bounded_size() {
        let line = |len: usize| Line { bytes: vec![b'x'; len], ..Line::default() };
        let sizes = |lines: Vec<Line>| pieces(lines).map(|p| p.len()).collect::<Vec<_>>();
        assert_eq!(sizes(vec![line(16 << 10); 5]), [2, 2, 1]);
        assert_eq!(sizes(vec![line(0); 4001]), [2000, 2000, 1]);
        assert_eq!(sizes(vec![line(64 << 10); 2]), [1, 1]);
        assert!(sizes(Vec::new()).is_empty());
    }
}
