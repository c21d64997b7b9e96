//! Recordings as far as they were looked at: their list, what a search found in them, and the one that
//! is played. Texts are made harmless where they come in.

pub mod reel;
pub mod tape;

use super::seats::Seats;
use super::{Store, Update};
use cmdr_protocol::display::clean;
use cmdr_protocol::recordings::{Hit, Hits, Level, Page, Recording, Remark};
use cmdr_protocol::{CallError, ErrorKind};
use tape::Tape;

/// Recordings kept of the list.
const MOST: usize = 20_000;
/// After an error that may pass it is tried again when so much time went by.
const AGAIN_MS: u64 = 3000;
/// The list is asked for again not sooner.
const FRESH_MS: u64 = 1000;

/// What is known of recordings.
#[derive(Default)]
pub struct Recordings {
    /// Those there are.
    pub list: Listed,
    /// What was found in all of them.
    pub found: Found,
    /// Those that are played, of each pane its own.
    pub tapes: Seats<Tape>,
}

/// The list, newest first.
#[derive(Default)]
pub struct Listed {
    rows: Vec<Recording>,
    next: Option<u64>,
    /// False until the first page came.
    pub known: bool,
    loading: bool,
    failed: Option<(CallError, u64)>,
    /// Bytes on the hub's disk, and how many there may be.
    pub room: (u64, u64),
    /// When the newest were asked for, and after which record of the audit log. Asking is in that log
    /// itself, so it is not done for nothing.
    asked: (u64, u64),
    /// Goes up with every change.
    pub version: u64,
}

/// What a search found.
#[derive(Default)]
pub struct Found {
    /// What was searched for; empty for nothing.
    pub text: String,
    /// In the order of the hub: the newest recordings first.
    pub hits: Vec<Hit>,
    /// Recordings looked through.
    pub searched: u64,
    /// Why it ended before all was looked through, or what could not be read.
    pub trouble: String,
    /// It goes on.
    pub running: bool,
    /// Goes up with every change.
    pub version: u64,
    generation: u64,
}

/// In what is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// In all recordings.
    All,
    /// In the one that this pane plays.
    Tape(u64),
}

impl Recordings {
    fn found_mut(&mut self, place: Where) -> Option<&mut Found> {
        match place {
            Where::All => Some(&mut self.found),
            Where::Tape(owner) => self.tapes.get_mut(owner).map(|tape| &mut tape.found),
        }
    }
}

impl Listed {
    /// Newest first.
    pub fn rows(&self) -> &[Recording] {
        &self.rows
    }

    /// The one of this number.
    pub fn get(&self, id: u64) -> Option<&Recording> {
        let at = self.rows.binary_search_by(|row| id.cmp(&row.id)).ok()?;
        self.rows.get(at)
    }

    /// Why the last page did not come.
    pub fn error(&self) -> Option<&CallError> {
        self.failed.as_ref().map(|(error, _)| error)
    }

    /// Whether a page is on its way.
    pub fn is_loading(&self) -> bool {
        self.loading
    }

    /// What to ask for now, if anything: the newest when something happened since, else what follows when
    /// more is wanted. `Some(None)` is the newest.
    pub fn wanted(&self, now_ms: u64, touched: u64, more: bool) -> Option<Option<u64>> {
        if self.loading {
            return None;
        }
        if let Some((error, at_ms)) = &self.failed
            && (!crate::link::is_passing(error) || now_ms.saturating_sub(*at_ms) < AGAIN_MS)
        {
            return None;
        }
        let (at_ms, seq) = self.asked;
        let stale = touched != seq && now_ms.saturating_sub(at_ms) >= FRESH_MS;
        if !self.known || stale {
            return Some(None);
        }
        (more && self.rows.len() < MOST).then_some(self.next.map(Some)).flatten()
    }

    fn paged(&mut self, now_ms: u64, before: Option<u64>, page: Result<Page, CallError>) {
        self.loading = false;
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                self.version += 1;
                return self.failed = Some((error, now_ms));
            }
        };
        let rows: Vec<Recording> = page.recordings.into_iter().map(harmless).collect();
        self.failed = None;
        self.room = (page.used, page.limit);
        if before.is_some() {
            let last = self.rows.last().map_or(u64::MAX, |row| row.id);
            self.rows.extend(rows.into_iter().filter(|row| row.id < last));
            self.next = page.next;
        } else {
            // What is older than this page stays, when nothing can lie between.
            let last = rows.last().map_or(0, |row| row.id);
            let old = std::mem::take(&mut self.rows);
            let meets = old.first().is_some_and(|row| row.id >= last) && page.next.is_some();
            self.rows = rows;
            if meets {
                self.rows.extend(old.into_iter().filter(|row| row.id < last));
            } else {
                self.next = page.next;
            }
        }
        self.known = true;
        self.version += 1;
    }
}

/// A page is asked for; of the newest with the last record of the audit log that touches them.
pub fn asking(before: Option<u64>, touched: u64) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        let list = &mut store.recordings.list;
        list.loading = true;
        if before.is_none() {
            list.asked = (now_ms, touched);
        }
    })
}

/// A page came, or did not.
pub fn paged(before: Option<u64>, page: Result<Page, CallError>) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        store.recordings.list.paged(now_ms, before, page);
    })
}

/// The newest are asked for again as soon as somebody looks.
pub fn forget() -> Update {
    Update::new(|store| store.recordings.list.known = false)
}

/// A search begins; its items come with this number.
pub fn searching(place: Where, generation: u64, text: String) -> Update {
    Update::new(move |store| {
        let Some(found) = store.recordings.found_mut(place) else { return };
        let (version, running) = (found.version + 1, !text.is_empty());
        *found = Found { text, running, version, generation, ..Found::default() };
    })
}

/// Something was found, or the search is over.
pub fn hits(place: Where, generation: u64, item: Option<Result<Hits, CallError>>) -> Update {
    Update::new(move |store| {
        let Some(found) = store.recordings.found_mut(place) else { return };
        if found.generation != generation {
            return;
        }
        found.version += 1;
        match item {
            None => found.running = false,
            Some(Err(error)) => {
                found.running = false;
                found.trouble = crate::action::reason(&error);
            }
            Some(Ok(item)) => {
                found.searched = item.searched;
                let trouble = [item.unfinished, item.damage.join("; ")];
                if let Some(trouble) = trouble.iter().find(|text| !text.is_empty()) {
                    found.trouble = clean(trouble).into_owned();
                }
                let room = MOST.saturating_sub(found.hits.len());
                let harmless = |hit: Hit| Hit { text: clean(&hit.text).into_owned(), ..hit };
                found.hits.extend(item.hits.into_iter().take(room).map(harmless));
            }
        }
    })
}

/// A recording was marked by hand, by us.
pub fn marked(id: u64, level: Level, text: String) -> Update {
    Update::new(move |store: &mut Store| {
        let by = store.hosts.me.as_ref().map_or_else(String::new, |me| me.name.clone());
        let text = clean(&text).into_owned();
        let at_ms = store.now_ms;
        let remark = (level != Level::Unknown).then_some(Remark { level, text, by, at_ms });
        let list = &mut store.recordings.list;
        if let Ok(at) = list.rows.binary_search_by(|row| id.cmp(&row.id)) {
            list.rows[at].set_remark(remark.clone());
            list.version += 1;
        }
        let played = store.recordings.tapes.iter_mut().filter_map(|tape| tape.recording.as_mut());
        for played in played.filter(|recording| recording.id == id) {
            played.set_remark(remark.clone());
        }
    })
}

/// A recording with texts that can be shown.
fn harmless(mut recording: Recording) -> Recording {
    let r = &mut recording;
    for text in [&mut r.operator, &mut r.host_name, &mut r.command, &mut r.ended, &mut r.resource]
        .into_iter()
        .chain(&mut r.rules)
        .chain(&mut r.watchers)
        .chain(r.marks.iter_mut().map(|mark| &mut mark.what))
        .chain(r.remark.iter_mut().flat_map(|remark| [&mut remark.text, &mut remark.by]))
    {
        if let std::borrow::Cow::Owned(cleaned) = clean(text) {
            *text = cleaned;
        }
    }
    recording
}

/// Whether an error says that a feed came to its end.
pub fn is_end(error: &CallError) -> bool {
    matches!(error.kind, ErrorKind::Lost | ErrorKind::Conflict)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(ids: &[u64], next: Option<u64>) -> Page {
        let recordings = ids.iter().map(|id| Recording { id: *id, ..Recording::default() });
        Page { recordings: recordings.collect(), next, ..Page::default() }
    }

    fn ids(list: &Listed) -> Vec<u64> {
        list.rows().iter().map(|row| row.id).collect()
    }

    #[test]
    fn newer_ones_come_before_the_older_ones_that_are_known() {
        let mut list = Listed::default();
        list.paged(0, None, Ok(page(&[9, 8, 7], Some(7))));
        list.paged(0, Some(7), Ok(page(&[6, 5], None)));
        list.paged(0, None, Ok(page(&[11, 9, 8], Some(8))));
        assert_eq!(ids(&list), [11, 9, 8, 7, 6, 5]);
        // Too many at once: what lies between is read again.
        list.paged(0, None, Ok(page(&[30, 29, 28], Some(28))));
        assert_eq!((ids(&list), list.next), (vec![30, 29, 28], Some(28)));
    }

    #[test]
    fn a_list_that_got_shorter_is_shown_so() {
        let mut list = Listed::default();
        list.paged(0, None, Ok(page(&[9, 8, 7], None)));
        list.paged(0, None, Ok(page(&[9, 7], None)));
        assert_eq!(ids(&list), [9, 7]);
    }

    #[test]
    fn the_newest_are_asked_for_only_when_something_happened() {
        let mut list = Listed::default();
        assert_eq!(list.wanted(0, 0, false), Some(None));
        list.paged(0, None, Ok(page(&[9, 8], Some(8))));
        list.asked = (10_000, 4);
        assert_eq!(list.wanted(10_500, 5, false), None, "not at once");
        assert_eq!(list.wanted(11_500, 5, false), Some(None));
        assert_eq!(list.wanted(90_000, 4, false), None);
        assert_eq!(list.wanted(90_000, 4, true), Some(Some(8)));
    }
}
