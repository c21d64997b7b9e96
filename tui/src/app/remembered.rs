//! From the screens into what is kept of them, and back at the start.

use super::App;
use super::desk::tree::{MOST, Tree};
use super::desk::{DESKS, Desk, Desks, NAME, Part};
use crate::memory::{self, Memory};
use crate::panes::{self, Pane, Place};
use crate::view::View;
use std::time::Duration;
use tokio::time::Instant;

/// Between two looks at whether something changed.
const PAUSE: Duration = Duration::from_secs(5);

/// What the file says now.
#[derive(Default)]
pub(super) struct Kept {
    written: String,
    looked: Option<Instant>,
    /// What was found and chosen last.
    pub(super) found: Vec<String>,
    /// Writing failed, and it was said.
    told: bool,
}

impl App {
    /// Reads what was kept and shows it again.
    pub(super) fn read_memory(&mut self) {
        self.kept.thin = self.options.thin;
        self.store.thin = self.options.thin;
        self.pane = self.kept.pane(self.place);
        let Some(path) = &self.options.memory else { return };
        let memory = Memory::read(path).unwrap_or_else(|why| {
            let text = self.face.texts.fill("memory.ignored", &[&why]);
            self.say(&text, true);
            Memory::default()
        });
        self.begin_hints(&memory);
        self.meter.asked(memory.meter);
        self.memory.found.clone_from(&memory.found);
        if self.options.restore {
            self.kept.seen.clone_from(&memory.tables);
            self.pane = self.kept.pane(self.place);
            self.restore(&memory);
        }
        self.memory.written = self.recollect().written().unwrap_or_default();
    }

    fn restore(&mut self, memory: &Memory) {
        let mut desks = Desks::default();
        desks.all.clear();
        for kept in memory.desks.iter().take(DESKS) {
            let Some(tree) = read_shape(&kept.shape) else { continue };
            let ids = tree.parts();
            if ids.len() != kept.parts.len() {
                continue;
            }
            let focus = ids.get(kept.focus).copied().unwrap_or(0);
            let parts = ids.iter().zip(&kept.parts).map(|(id, part)| (*id, self.part_of(part)));
            let parts = parts.collect();
            let name = cmdr_protocol::display::clean_to_width(kept.name.trim(), NAME);
            let zoomed = kept.zoomed && ids.len() > 1;
            desks.all.push(Desk { name, tree, focus, zoomed, parts });
        }
        desks.at = memory.desk.min(desks.all.len().saturating_sub(1));
        let Some(desk) = desks.all.get_mut(desks.at) else { return };
        let Some(part) = desk.parts.remove(&desk.focus) else { return };
        (self.place, self.pane) = (part.place, part.pane);
        self.history = part.history;
        self.desks = desks;
    }

    fn part_of(&self, kept: &memory::Part) -> Part {
        let place = Place::of_word(&kept.place).unwrap_or(Place::Hosts);
        let mut pane = self.kept.pane(place);
        if let Some(view) = &kept.view {
            panes::set_view(&mut *pane, view);
        }
        if !kept.keepsake.is_empty() {
            pane.recall(&kept.keepsake);
        }
        let mut part = Part::new(place, pane);
        // From everywhere there is a way back to the fleet.
        if place != Place::Hosts {
            part.history.push((Place::Hosts, self.kept.pane(Place::Hosts)));
        }
        part
    }

    /// What is to be kept of everything that is there.
    fn recollect(&mut self) -> Memory {
        self.kept.note(self.place, &*self.pane);
        let desks = self.desks.all.iter().map(|desk| {
            let ids = desk.tree.parts();
            let part = |id: &u32| match desk.parts.get(id) {
                Some(part) => kept(part.place, &*part.pane),
                None => kept(self.place, &*self.pane),
            };
            memory::Desk {
                name: desk.name.clone(),
                shape: shape(&desk.tree),
                focus: ids.iter().position(|id| *id == desk.focus).unwrap_or(0),
                zoomed: desk.zoomed,
                parts: ids.iter().map(part).collect(),
            }
        });
        Memory {
            desks: desks.collect(),
            desk: self.desks.at,
            meter: self.meter.asked,
            hints: self.hints_given(),
            found: self.memory.found.clone(),
            tables: self.kept.seen.clone(),
            ..Memory::default()
        }
    }

    /// Writes what changed, now and then.
    pub(super) fn keep_now_and_then(&mut self) {
        let now = Instant::now();
        if self.memory.looked.is_some_and(|at| now - at < PAUSE) {
            return;
        }
        self.memory.looked = Some(now);
        if let Some((path, text)) = self.changed() {
            // A disk that is slow must not stop the screen.
            drop(tokio::task::spawn_blocking(move || memory::write(&path, &text)));
        }
    }

    fn changed(&mut self) -> Option<(std::path::PathBuf, String)> {
        let path = self.options.memory.clone()?;
        let text = self.recollect().written().ok()?;
        if text == self.memory.written {
            return None;
        }
        self.memory.written.clone_from(&text);
        Some((path, text))
    }

    /// The client ends: what is on the screens is written for the next start.
    pub fn leave(&mut self) {
        // Written in any case: an earlier try may still be on its way.
        let Some(path) = self.options.memory.clone() else { return };
        let Ok(text) = self.recollect().written() else { return };
        if let Err(error) = memory::write(&path, &text) {
            let said = self.face.texts.fill("memory.failed", &[&error]);
            if !std::mem::replace(&mut self.memory.told, true) {
                tracing::warn!("{said}");
            }
        }
    }

    /// Something was found and chosen.
    pub(super) fn found(&mut self, name: String) {
        self.memory.found.retain(|known| *known != name);
        self.memory.found.insert(0, name);
        self.memory.found.truncate(memory::FOUND);
    }
}

fn kept(place: Place, pane: &dyn Pane) -> memory::Part {
    let view = panes::view(pane).filter(|view| *view != View::default());
    memory::Part {
        place: place.word().unwrap_or_else(|| "hosts".to_owned()),
        keepsake: pane.keepsake().unwrap_or_default(),
        view,
    }
}

fn shape(tree: &Tree) -> String {
    match tree {
        Tree::Part(_) => ".".to_owned(),
        Tree::Split { across, share, both } => {
            let sign = if *across { '|' } else { '-' };
            format!("{sign}{share} {} {}", shape(&both.0), shape(&both.1))
        }
    }
}

/// The tree of a shape, with parts numbered from the first; `None` when it is none or too large.
fn read_shape(text: &str) -> Option<Tree> {
    let mut words = text.split(' ');
    let mut next = 0;
    let tree = read_tree(&mut words, &mut next, 1)?;
    words.next().is_none().then_some(tree)
}

fn read_tree<'a>(
    words: &mut impl Iterator<Item = &'a str>,
    next: &mut u32,
    depth: usize,
) -> Option<Tree> {
    let word = words.next().filter(|_| depth <= MOST)?;
    if word == "." {
        *next += 1;
        return (*next as usize <= MOST).then_some(Tree::Part(*next - 1));
    }
    let across = match word.chars().next()? {
        '|' => true,
        '-' => false,
        _ => return None,
    };
    let share: u16 = word[1..].parse().ok().filter(|share| (1..1000).contains(share))?;
    let first = read_tree(words, next, depth + 1)?;
    let second = read_tree(words, next, depth + 1)?;
    Some(Tree::Split { across, share: share.clamp(100, 900), both: Box::new((first, second)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_read_as_it_was_written() {
        for text in [".", "|500 . .", "-300 |700 . . .", "|500 . -500 . |200 . ."] {
            assert_eq!(read_shape(text).as_ref().map(shape).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_shape_that_makes_no_sense_is_none() {
        for text in ["", "x", "|500 .", ". .", "|x . .", "|0 . .", "|500  . .", "-500 . . ."] {
            assert_eq!(read_shape(text), None, "{text:?}");
        }
        assert_eq!(read_shape("|500 |500 |500 |500 . . . . ."), None, "five parts");
        assert_eq!(read_shape(&"|500 ".repeat(100_000)), None, "nested without end");
    }
}
