//! Texts that are being written (config groups, alert rules, notifiers, probes, policies): what was not saved waits here, and what
//! the hub said to each editor. Used by [`crate::panes::write`].

use super::Update;
use super::seats::{Owned, Seats};
use cmdr_protocol::runbooks::Problem;
use std::collections::HashMap;

/// Texts that were not saved and are kept.
const DRAFTS: usize = 20;

/// What is written.
#[derive(Default)]
pub struct Written {
    /// Texts that were not saved, by the number of what they are the text of.
    pub drafts: HashMap<u64, Draft>,
    /// What the hub said to texts that are being written, of each editor its own.
    pub news: Seats<News>,
}

/// A text that was not saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// What was written.
    pub text: String,
    /// What it was made from.
    pub base: String,
    /// The version of that; 0 for something new.
    pub was: u64,
}

/// What the hub said to a text.
pub struct News {
    /// The editor's number.
    pub owner: u64,
    /// Goes up, so that nothing is taken in twice.
    pub serial: u64,
    /// What it said.
    pub said: Said,
}

/// What is there now, saved by somebody else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Theirs {
    pub text: String,
    pub version: u64,
    /// Who; may be empty.
    pub by: String,
}

/// What came of a question about a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// What is wrong; where nothing is, the name that the text gives itself, if it does, and what there is to say of it.
    Checked { problems: Vec<Problem>, name: Option<String>, about: String },
    /// It is kept as this version.
    Saved(u64, String),
    /// Somebody else was quicker.
    Conflict(Theirs),
    /// It failed, which was said.
    Failed,
}

impl Owned for News {
    fn owner(&self) -> u64 {
        self.owner
    }
}

/// A text is kept as it was written, or no longer.
pub fn drafted(number: u64, draft: Option<Draft>) -> Update {
    Update::new(move |store| {
        let drafts = &mut store.written.drafts;
        match draft {
            Some(draft) => {
                if drafts.len() < DRAFTS || drafts.contains_key(&number) {
                    drafts.insert(number, draft);
                }
            }
            None => drop(drafts.remove(&number)),
        }
    })
}

/// The hub said something to a text that is being written.
pub fn said(owner: u64, said: Said) -> Update {
    Update::new(move |store| {
        let serial = store.written.news.get(owner).map_or(1, |news| news.serial + 1);
        store.written.news.put(News { owner, serial, said });
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn what_the_hub_says_to_an_editor_is_told_apart_by_its_number() {
        let mut store = Store::new(0, 0, false);
        for n in 1..=3 {
            store.apply(said(7, Said::Failed));
            assert_eq!(store.written.news.get(7).map(|news| news.serial), Some(n));
        }
        assert!(store.written.news.get(8).is_none());
    }
}
