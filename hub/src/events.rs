//! The newest events of the fleet, in memory and bounded: written by [`crate::fleet`], read by the service
//! `events`. A reader names the last event it has seen; numbers of another start of the hub mean nothing
//! here, and it is told so.

use cmdr_link::clock;
use cmdr_protocol::HostId;
use cmdr_protocol::events::{Event, What};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// Events kept; the oldest go.
const KEPT: usize = 10_000;

/// The events since the hub's start.
#[derive(Debug)]
pub struct Events {
    /// Tells this start of the hub from others.
    start: u64,
    state: Mutex<State>,
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the newest; the first is 1.
    newest: u64,
    kept: VecDeque<(u64, Event)>,
}

/// Where a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the last event that was read.
    pub after: u64,
    /// What was between that and the next is not known.
    pub missed: bool,
}

impl Default for Events {
    fn default() -> Self {
        let start = drawn();
        Self { start, state: Mutex::default(), newest: watch::Sender::new(0) }
    }
}

/// Different at each start of the hub.
fn drawn() -> u64 {
    let mut bytes = [0; 8];
    let drawn = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    if drawn.is_ok() { u64::from_le_bytes(bytes) >> 16 } else { clock::now_ms() }
}

impl Events {
    fn cursor(&self, number: u64) -> String {
        format!("{:x}-{number}", self.start)
    }

    /// Something happened to a host.
    pub fn put(&self, what: What, host: HostId, name: &str, message: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.newest += 1;
        let number = state.newest;
        if state.kept.len() >= KEPT {
            state.kept.pop_front();
        }
        let event = Event {
            cursor: self.cursor(number),
            at_ms: clock::now_ms(),
            what,
            host: Some(host),
            host_name: name.to_owned(),
            message: message.to_owned(),
        };
        state.kept.push_back((number, event));
        self.newest.send_replace(number);
    }

    /// Where a reader is who has seen this cursor last; an error when it never was one.
    pub fn place(&self, cursor: &str) -> Result<Place, String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = state.kept.front().map_or(state.newest + 1, |(number, _)| *number);
        if cursor.is_empty() {
            return Ok(Place { after: oldest - 1, missed: false });
        }
        let parsed = cursor.split_once('-').and_then(|(start, number)| {
            Some((u64::from_str_radix(start, 16).ok()?, number.parse::<u64>().ok()?))
        });
        let Some((start, number)) = parsed else {
            return Err(
                "that is no cursor of this hub's events; give the one of the last event, or none"
                    .to_owned(),
            );
        };
        if start != self.start || number > state.newest {
            return Ok(Place { after: oldest - 1, missed: true });
        }
        let missed = number + 1 < oldest;
        Ok(Place { after: if missed { oldest - 1 } else { number }, missed })
    }

    /// The next events after a number, at most so many, and whether some before them are gone.
    pub fn after(&self, number: u64, most: usize) -> (Vec<Event>, bool) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let at = state.kept.partition_point(|(n, _)| *n <= number);
        let gone = state.kept.get(at).is_some_and(|(n, _)| *n > number + 1);
        (state.kept.iter().skip(at).take(most).map(|(_, event)| event.clone()).collect(), gone)
    }

    /// What tells a reader where to go on after the events that it was given.
    pub fn number(event: &Event) -> u64 {
        event.cursor.split_once('-').and_then(|(_, n)| n.parse().ok()).unwrap_or(0)
    }

    /// The cursor of a place.
    pub fn cursor_of(&self, place: u64) -> String {
        self.cursor(place)
    }

    /// The number of the newest event, and every newer one.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(events: &Events, count: usize) {
        for _ in 0..count {
            events.put(What::HostOnline, HostId([1; 16]), "web1", "");
        }
    }

    #[test]
    fn a_reader_goes_on_after_its_cursor() {
        let events = Events::default();
        put(&events, 3);
        let (all, gone) = events.after(0, 100);
        assert_eq!((all.len(), gone), (3, false));
        let place = events.place(&all[1].cursor).unwrap();
        assert_eq!(place, Place { after: 2, missed: false });
        assert_eq!(events.after(place.after, 100).0, all[2..]);
        assert_eq!(events.place("").unwrap(), Place { after: 0, missed: false });
    }

    #[test]
    fn who_was_away_too_long_or_comes_from_another_start_is_told() {
        let events = Events::default();
        put(&events, KEPT + 10);
        let old = events.cursor(3);
        assert_eq!(events.place(&old).unwrap(), Place { after: 10, missed: true });
        assert_eq!(events.place(&events.cursor(10)).unwrap(), Place { after: 10, missed: false });
        let other = Events::default();
        put(&other, 1);
        assert!(other.place(&old).unwrap().missed);
        assert!(other.place("x").is_err() && other.place("zz-1").is_err());
        assert!(events.after(3, 1).1, "they went while it read");
        assert!(!events.after(10, 1).1);
    }
}
