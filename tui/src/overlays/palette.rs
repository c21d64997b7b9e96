//! Finds anything by a few letters: commands, hosts, rows of the pane.

use super::Overlay;
use super::chooser::{Chooser, Did, Looks, Row};
use crate::action::Action;
use crate::panes::{Context, Entry};
use crossterm::event::{KeyEvent, MouseEvent};
use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use ratatui::Frame;
use ratatui::layout::Rect;

/// The palette.
pub struct Palette {
    entries: Vec<Entry>,
    chooser: Chooser,
    /// Indices into `entries`, best first.
    found: Vec<usize>,
    matcher: Matcher,
}

impl Palette {
    /// Everything that can be found.
    pub fn new(entries: Vec<Entry>) -> Self {
        let found = (0..entries.len()).collect();
        let matcher = Matcher::new(Config::DEFAULT);
        Self { entries, chooser: Chooser::default(), found, matcher }
    }

    fn search(&mut self) {
        let pattern = pattern(self.chooser.text());
        let mut buffer = Vec::new();
        let mut scored: Vec<((bool, u32), usize)> = Vec::new();
        for (index, entry) in self.entries.iter().enumerate() {
            // By what stands behind it only where its own name does not fit.
            for (own, text) in [(true, &entry.text), (false, &entry.note)] {
                let haystack = Utf32Str::new(text, &mut buffer);
                if let Some(score) = pattern.score(haystack, &mut self.matcher) {
                    scored.push(((own, score), index));
                    break;
                }
            }
        }
        scored.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        self.found = scored.into_iter().map(|(_, index)| index).collect();
    }

    fn choose(&self) -> Action {
        let entry = self.found.get(self.chooser.at).and_then(|index| self.entries.get(*index));
        match entry.map(|entry| entry.choice.clone()) {
            None => Action::None,
            Some(choice) => Action::CloseAnd(Box::new(choice.action())),
        }
    }

    fn did(&mut self, did: Did) -> Action {
        match did {
            Did::Moved => return Action::None,
            Did::Left => return Action::Close,
            Did::Chose => return self.choose(),
            Did::Typed => self.search(),
        }
        Action::None
    }
}

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text, CaseMatching::Smart, Normalization::Smart)
}

impl Overlay for Palette {
    fn key(&mut self, _context: &Context<'_>, key: &KeyEvent) -> Action {
        let did = self.chooser.key(key, self.found.len());
        self.did(did)
    }

    fn paste(&mut self, text: &str) {
        self.chooser.paste(text);
        self.search();
    }

    fn mouse(&mut self, _context: &Context<'_>, mouse: &MouseEvent) -> Action {
        let did = self.chooser.mouse(*mouse, self.found.len());
        self.did(did)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        let Self { entries, chooser, found, matcher } = self;
        let counts = [found.len(), entries.len()];
        let (title, said) = ("palette.title", String::new());
        let looks = Looks {
            title,
            size: (72, 20),
            kind: 10,
            counts,
            more: 0,
            said,
            nothing: "palette.nothing",
        };
        let pattern = pattern(chooser.text());
        chooser.draw(context, frame, screen, &looks, |at| {
            let entry = entries.get(*found.get(at)?)?;
            let (mut hits, mut chars) = (Vec::new(), Vec::new());
            pattern.indices(Utf32Str::new(&entry.text, &mut chars), matcher, &mut hits);
            Some(Row {
                kind: context.texts.get(entry.kind).to_owned(),
                text: &entry.text,
                note: &entry.note,
                hits,
            })
        });
    }
}
