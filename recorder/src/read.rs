//! Reads the ring: what was at a moment, and what there is to scroll over. Files are read without holding up the
//! writer; a segment that goes meanwhile is one that has gone.

use crate::Error;
use crate::block::{self, Header, Summary};
use crate::ring::{Ring, Segment, path};
use crate::sample::Sample;
use std::fs::File;

/// More steps are not given at once.
const STEPS: u32 = 2000;

/// A piece of a span: what is shown of it while one scrolls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Its beginning, milliseconds since 1970.
    pub at_ms: u64,
    /// Samples in it; 0 when nothing was recorded then, and all else is empty.
    pub samples: u32,
    /// Processor time not idle on average, permille of all processors.
    pub cpu: u32,
    /// The most memory in use.
    pub memory: u64,
    /// The busiest sample in it.
    pub peak: Peak,
}

/// The busiest sample of a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// When.
    pub at_ms: u64,
    /// Permille of all processors.
    pub cpu: u32,
    /// The process that used most of it.
    pub busiest: String,
}

struct Place {
    sequence: u64,
    at: u64,
    header: Header,
}

impl Ring {
    /// The newest sample at or before a moment; none when there is none that old.
    pub fn at(&self, at_ms: u64) -> Result<Option<Sample>, Error> {
        let (segments, live) = self.look();
        let newest = |samples: Vec<Sample>| {
            samples.into_iter().filter(|s| s.at_ms <= at_ms).max_by_key(|s| s.at_ms)
        };
        let mut best = block::samples(&live).ok().and_then(newest);
        let mut places = self.places(&segments, |first, _| first <= at_ms)?;
        // The most that each can have, best first: of two at the same time, what was written last.
        let most = |place: &Place| place.header.summary.last_ms.min(at_ms);
        places.sort_by_key(|place| (most(place), place.sequence, place.at));
        for place in places.iter().rev() {
            if best.as_ref().is_some_and(|best| best.at_ms >= most(place)) {
                break;
            }
            let found = self.load(place)?.and_then(newest);
            if found.as_ref().map(|s| s.at_ms) > best.as_ref().map(|s| s.at_ms) {
                best = found;
            }
        }
        Ok(best)
    }

    /// A span, its end left out, in at most so many steps of the same length.
    pub fn range(&self, from_ms: u64, to_ms: u64, steps: u32) -> Result<Vec<Step>, Error> {
        let length = to_ms.saturating_sub(from_ms);
        if length == 0 {
            return Ok(Vec::new());
        }
        let step_ms = length.div_ceil(u64::from(steps.clamp(1, STEPS))).max(1);
        let count = length.div_ceil(step_ms) as usize;
        let mut sums = vec![Summary::default(); count];
        let step_of = |at_ms: u64| {
            let since = at_ms.checked_sub(from_ms).filter(|since| *since < length)?;
            usize::try_from(since / step_ms).ok()
        };
        let (segments, live) = self.look();
        let within = |first: u64, last: u64| first < to_ms && last >= from_ms;
        for place in self.places(&segments, within)? {
            let summary = &place.header.summary;
            match (step_of(summary.first_ms), step_of(summary.last_ms)) {
                // All of it is in one step: its header says enough.
                (Some(first), Some(last)) if first == last => sums[first].join(summary.clone()),
                _ => {
                    for sample in self.load(&place)?.unwrap_or_default() {
                        if let Some(step) = step_of(sample.at_ms) {
                            sums[step].add(&sample);
                        }
                    }
                }
            }
        }
        for sample in block::samples(&live).unwrap_or_default() {
            if let Some(step) = step_of(sample.at_ms) {
                sums[step].add(&sample);
            }
        }
        let steps = sums.into_iter().enumerate().map(|(i, sum)| Step {
            at_ms: from_ms + step_ms * i as u64,
            samples: sum.count,
            cpu: sum.cpu.checked_div(sum.count.into()).unwrap_or(0) as u32,
            memory: sum.memory,
            peak: Peak { at_ms: sum.peak_ms, cpu: sum.peak_cpu, busiest: sum.busiest },
        });
        Ok(steps.collect())
    }

    fn look(&self) -> (Vec<Segment>, Vec<u8>) {
        let state = self.lock();
        (state.segments.iter().cloned().collect(), state.live.clone())
    }

    /// The blocks of the segments that may have what is looked for, by the times of their first and last samples.
    fn places(
        &self,
        segments: &[Segment],
        may: impl Fn(u64, u64) -> bool,
    ) -> Result<Vec<Place>, Error> {
        let mut places = Vec::new();
        for segment in segments.iter().filter(|s| s.samples > 0 && may(s.first_ms, s.last_ms)) {
            let Some(file) = self.segment(segment.sequence)? else { continue };
            let walked = block::walk(&file, segment.length, |at, header| {
                if may(header.summary.first_ms, header.summary.last_ms) {
                    places.push(Place { sequence: segment.sequence, at, header });
                }
            });
            walked.map_err(Error::io("reading", &path(&self.dir, segment.sequence)))?;
        }
        Ok(places)
    }

    fn segment(&self, sequence: u64) -> Result<Option<File>, Error> {
        let path = path(&self.dir, sequence);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("opening", &path)(e)),
        }
    }

    /// The samples of a block; none when they are not what was written.
    fn load(&self, place: &Place) -> Result<Option<Vec<Sample>>, Error> {
        let Some(file) = self.segment(place.sequence)? else { return Ok(None) };
        let loaded = place.header.load(&file, place.at);
        let loaded = loaded.map_err(Error::io("reading", &path(&self.dir, place.sequence)))?;
        if loaded.is_err() {
            self.lock().health.damaged += 1;
        }
        Ok(loaded.ok())
    }
}
