//! Output as hosts tell it: what of it is kept, within all bounds, and where that is.

use super::ends::{Found, free};
use super::{Due, Keeper, Work, work};
use crate::runs::hearing::Lives;
use crate::runs::links::Confirms;
use crate::runs::records::PieceRecord;
use crate::runs::segments;
use cmdr_protocol::orders::Piece;
use cmdr_protocol::{HostId, RunId};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

/// Pieces kept of one attempt, however short they are. What comes after them is counted, and not kept.
pub(super) const PIECES: u32 = 20_000;
/// The disk is asked for its free space once for so many bytes of output.
const LOOK: u64 = 4 << 20;

impl Keeper {
    pub(super) fn piece(
        &mut self,
        host: HostId,
        piece: &Piece,
        confirms: &Arc<Confirms>,
        works: &mut BTreeMap<RunId, Work>,
        due: &mut Due,
    ) {
        if piece.data.is_empty() {
            return;
        }
        let Found::Here(live, index) = self.target_of(host, &piece.id, &Lives::new()) else {
            return;
        };
        let mut inner = live.lock();
        let at = index as usize;
        let upto = piece.at.saturating_add(piece.data.len() as u64);
        let seat = &inner.seats[at];
        if seat.ending || upto <= seat.have {
            return;
        }
        let (have, attempt, keeping, many) =
            (seat.have, seat.attempt, seat.keeping, seat.pieces >= PIECES);
        let skip = have.saturating_sub(piece.at).min(piece.data.len() as u64) as usize;
        let data = &piece.data[skip..];
        let gap = seat.gap.saturating_add(piece.at.saturating_sub(have));
        let room = self
            .runs
            .settings
            .run_output
            .saturating_sub(inner.keeping)
            .min(inner.record.keep_output.saturating_sub(keeping));
        let room = if many || self.is_tight(data.len()) {
            0
        } else {
            usize::try_from(room).unwrap_or(0).min(segments::MOST)
        };
        let kept = &data[..data.len().min(room)];
        let over = (data.len() - kept.len()) as u64;
        if kept.is_empty() {
            // Told with the next piece that is kept, or with the end: it takes no record of its own.
            let seat = &mut inner.seats[at];
            seat.have = upto;
            seat.gap = gap.saturating_add(over);
            seat.dropped = seat.dropped.saturating_add(over);
            return;
        }
        let place = self.segments.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        let sums = inner.sums(at, &mut self.reader);
        if piece.stderr { &mut sums.stderr } else { &mut sums.stdout }.update(kept);
        work(works, &live).log.pieces.push(PieceRecord {
            target: index,
            attempt,
            stderr: piece.stderr,
            gap,
            len: kept.len() as u32,
            segment: place.segment,
            offset: place.offset,
        });
        inner.keeping += kept.len() as u64;
        let seat = &mut inner.seats[at];
        if let (Some(stand), false) = (&mut seat.stand, piece.stderr) {
            stand.printed(kept);
        }
        seat.have = upto;
        seat.keeping += kept.len() as u64;
        seat.pieces += 1;
        seat.gap = over;
        seat.dropped = seat.dropped.saturating_add(over);
        due.have.push((confirms.clone(), piece.id.clone(), upto - over));
    }

    /// Whether there is too little room on the disk for output.
    fn is_tight(&mut self, bytes: usize) -> bool {
        self.since = self.since.saturating_add(bytes as u64);
        if self.since >= LOOK {
            self.since = 0;
            let tight = free(&self.runs.dir).is_some_and(|free| free < self.runs.settings.free);
            if tight && !self.tight {
                tracing::warn!("the disk is nearly full: output of runs is not kept");
            }
            self.tight = tight;
        }
        self.tight
    }
}
