//! The newest events of the fleet, in memory and bounded: written by [`crate::fleet`], [`crate::runs`], the services
//! and, of what is relayed, by `relayed`, with `sessions` for those that end when nobody is there; read by the service `events`, which shows each reader what `rights` lets it
//! know. A reader names the last event it has seen; numbers of another start of the hub mean nothing here, and it is
//! told so.

pub(crate) mod relayed;
pub(crate) mod rights;
pub(crate) mod sessions;

use cmdr_link::clock;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::events::{Event, What};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// Events kept; the oldest go.
const KEPT: usize = 10_000;
/// Cells of a text in one.
const TEXT: usize = 300;
/// Bytes of what an event is about: a path, escaped.
const ABOUT: usize = 16 * 1024;
/// The same end is heard from everybody who was there: among so many of the newest it is looked for.
const SAME: usize = 64;

/// The events since the hub's start.
#[derive(Debug)]
pub struct Events {
    /// Tells this start of the hub from others.
    start: u64,
    state: Mutex<State>,
    newest: watch::Sender<u64>,
    sessions: sessions::Sessions,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the newest; the first is 1.
    newest: u64,
    kept: VecDeque<Kept>,
}

/// An event as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub number: u64,
    /// The event, all of it.
    pub event: Event,
    /// Whose it was, of what is not there any more: the operator's name, and since when there is one.
    pub owner: Option<(String, u64)>,
}

/// Where a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the last event that was read.
    pub after: u64,
    /// What was between that and the next is not known.
    pub missed: bool,
    /// That was told by another start of the hub.
    pub other: bool,
}

impl Default for Events {
    fn default() -> Self {
        let start = drawn();
        Self {
            start,
            state: Mutex::default(),
            newest: watch::Sender::new(0),
            sessions: sessions::Sessions::default(),
        }
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
        let (host_name, message) = (name.to_owned(), message.to_owned());
        self.tell(Event { what, host: Some(host), host_name, message, ..Event::default() });
    }

    /// Something happened.
    pub fn tell(&self, event: Event) {
        self.tell_of(event, None);
    }

    /// Something happened to what is not there any more.
    pub fn tell_of(&self, mut event: Event, owner: Option<(String, u64)>) {
        let texts = [&mut event.host_name, &mut event.operator, &mut event.message];
        for text in texts.into_iter().filter(|text| text.len() > TEXT) {
            *text = clean_to_width(text, TEXT);
        }
        // Rights are decided by this, so it is whole; nothing that is named in a resource is longer.
        if event.about.len() > ABOUT {
            return;
        }
        self.sessions.heard(&event);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |kept: &Kept| {
            let before = &kept.event;
            (before.what, before.host, &before.about) == (event.what, event.host, &event.about)
        };
        if event.what == What::SessionEnded && state.kept.iter().rev().take(SAME).any(same) {
            return;
        }
        state.newest += 1;
        let number = state.newest;
        if state.kept.len() >= KEPT {
            state.kept.pop_front();
        }
        (event.cursor, event.at_ms) = (self.cursor(number), clock::now_ms());
        state.kept.push_back(Kept { number, event, owner });
        self.newest.send_replace(number);
    }

    /// The number of the newest event there is.
    pub fn newest(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).newest
    }

    /// Where a reader is who has seen this cursor last; an error when it never was one.
    pub fn place(&self, cursor: &str) -> Result<Place, String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = state.kept.front().map_or(state.newest + 1, |kept| kept.number);
        if cursor.is_empty() {
            return Ok(Place { after: oldest - 1, missed: false, other: false });
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
            return Ok(Place { after: oldest - 1, missed: true, other: true });
        }
        let missed = number + 1 < oldest;
        Ok(Place { after: if missed { oldest - 1 } else { number }, missed, other: false })
    }

    /// The next events after a number, at most so many, and whether some before them are gone.
    pub fn after(&self, number: u64, most: usize) -> (Vec<Kept>, bool) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let at = state.kept.partition_point(|kept| kept.number <= number);
        let gone = state.kept.get(at).is_some_and(|kept| kept.number > number + 1);
        (state.kept.iter().skip(at).take(most).cloned().collect(), gone)
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
        let place = events.place(&all[1].event.cursor).unwrap();
        assert_eq!(place, Place { after: 2, missed: false, other: false });
        assert_eq!(events.after(place.after, 100).0, all[2..]);
        assert_eq!(events.place("").unwrap(), Place { after: 0, missed: false, other: false });
    }

    #[test]
    fn who_was_away_too_long_or_comes_from_another_start_is_told() {
        let events = Events::default();
        put(&events, KEPT + 10);
        let old = events.cursor(3);
        assert_eq!(events.place(&old).unwrap(), Place { after: 10, missed: true, other: false });
        assert_eq!(
            events.place(&events.cursor(10)).unwrap(),
            Place { after: 10, missed: false, other: false }
        );
        let other = Events::default();
        put(&other, 1);
        assert_eq!(other.place(&old).unwrap(), Place { after: 0, missed: true, other: true });
        assert!(other.place("x").is_err() && other.place("zz-1").is_err());
        assert!(events.after(3, 1).1, "they went while it read");
        assert!(!events.after(10, 1).1);
    }

    #[test]
    fn the_end_of_a_session_is_told_once_whoever_heard_it() {
        let events = Events::default();
        let event = |what, host| Event {
            what,
            host: Some(HostId([host; 16])),
            about: "session:abc".to_owned(),
            ..Event::default()
        };
        events.tell(event(What::SessionBegun, 1));
        events.tell(event(What::SessionEnded, 1));
        events.tell(event(What::SessionEnded, 1));
        events.tell(event(What::SessionEnded, 2));
        assert_eq!(events.newest(), 3);
    }

    #[test]
    fn no_text_in_an_event_is_long() {
        let events = Events::default();
        events.put(What::HostAway, HostId([1; 16]), "web1", &"e\u{301}".repeat(40_000));
        let kept = events.after(0, 1).0;
        assert!(kept[0].event.message.len() < 8 * TEXT, "{}", kept[0].event.message.len());
    }
}
