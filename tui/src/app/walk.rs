//! From place to place and back.

use super::{App, FRESH};
use crate::panes::{Pane, Place};
use tokio::time::Instant;

/// Places that one can go back to; a walk of hundreds of hosts need not be walked back whole.
const WAY: usize = 50;

impl App {
    pub(super) fn go(&mut self, place: Place) {
        if place == self.place {
            return;
        }
        // Another tab of the same host is no new place to come back from.
        match (self.place, place) {
            (Place::Host(a, _), Place::Host(b, _)) if a == b => {
                let left = self.tabs.iter().position(|(tab, _)| *tab == place);
                let pane =
                    left.map_or_else(|| self.kept.pane(place), |at| self.tabs.swap_remove(at).1);
                let old = (self.place, std::mem::replace(&mut self.pane, pane));
                self.tabs.push(old);
                self.place = place;
                self.fresh_until = Instant::now() + FRESH;
            }
            _ => self.enter(place, self.kept.pane(place)),
        }
    }

    pub(super) fn enter(&mut self, place: Place, pane: Box<dyn Pane>) {
        self.kept.note(self.place, &*self.pane);
        let pane = std::mem::replace(&mut self.pane, pane);
        if self.history.len() >= WAY {
            self.history.remove(1);
        }
        self.history.push((self.place, pane));
        self.show_at(place);
    }

    pub(super) fn show_at(&mut self, place: Place) {
        self.tabs.clear();
        self.place = place;
        self.fresh_until = Instant::now() + FRESH;
    }

    pub(super) fn show(&mut self, place: Place, pane: Box<dyn Pane>) {
        self.kept.note(self.place, &*self.pane);
        self.pane = pane;
        self.show_at(place);
    }
}
