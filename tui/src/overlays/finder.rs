//! Finds anything: hosts, processes, pages, commands, whatever offers itself. Few entries are searched
//! on the spot, many by a thread, so that a key is never waited for.

use super::Overlay;
use super::chooser::{Chooser, Did, Looks, Row};
use crate::action::{Action, Wanted};
use crate::event::Event;
use crate::finds::search::{Answer, Items, Search, hits};
use crate::finds::sign;
use crate::panes::{Context, Entry};
use crate::theme::Role;
use crate::widgets::table;
use cmdr_protocol::HostId;
use cmdr_protocol::files::FilePath;
use crossterm::event::{KeyEvent, MouseEvent};
use nucleo_matcher::{Config, Matcher};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// So few are searched on the spot.
const FEW: usize = 3000;

/// Who searches.
enum Seeker {
    Here(Box<Search>),
    /// A thread, woken by a question; it takes the newest.
    There {
        wake: SyncSender<()>,
        shared: Arc<Shared>,
        newest: Arc<AtomicU64>,
    },
}

/// Between the overlay and its thread.
#[derive(Default)]
struct Shared {
    question: Mutex<String>,
    answer: Mutex<Option<Answer>>,
}

/// The finder.
pub struct Finder {
    entries: Vec<Entry>,
    chooser: Chooser,
    answer: Answer,
    seeker: Seeker,
    matcher: Matcher,
    /// The folder below which files can be looked for: a last row that is always there.
    below: Option<(HostId, FilePath)>,
}

/// What an entry is remembered by.
pub fn name(entry: &Entry) -> String {
    format!("{} {}", entry.kind, entry.text)
}

impl Finder {
    /// Among these; `found` are the names of those chosen before. `events` is told when an answer is
    /// there.
    pub fn new(entries: Vec<Entry>, found: &[String], events: mpsc::Sender<Event>) -> Self {
        let mut recent = Vec::new();
        if !found.is_empty() {
            // An entry's name is put together only where its text can be one that was chosen.
            let texts: std::collections::HashSet<&str> = found
                .iter()
                .filter_map(|name| name.split_once(' '))
                .map(|(_, text)| text)
                .collect();
            for (at, entry) in entries.iter().enumerate() {
                if texts.contains(entry.text.as_str())
                    && let Some(rank) = found.iter().position(|known| *known == name(entry))
                {
                    recent.push((rank, at as u32));
                }
            }
            recent.sort_unstable();
        }
        let recent: Vec<u32> = recent.into_iter().map(|(_, at)| at).collect();
        let items = Arc::new(Items::new(entries.iter().map(|entry| entry.text.as_str()), &recent));
        let newest = Arc::new(AtomicU64::new(0));
        let mut search = Search::new(items, newest.clone());
        let answer = search.find(0, "").unwrap_or_default();
        let seeker = if entries.len() <= FEW {
            Seeker::Here(Box::new(search))
        } else {
            let (wake, woken) = sync_channel(1);
            let shared = Arc::new(Shared::default());
            let (own, latest) = (shared.clone(), newest.clone());
            // Ends when the overlay has gone.
            let thread = std::thread::Builder::new().name("finder".to_owned());
            drop(thread.spawn(move || seek(search, &woken, &own, &latest, &events)));
            Seeker::There { wake, shared, newest }
        };
        let matcher = Matcher::new(Config::DEFAULT);
        let chooser = Chooser::default();
        Self { entries, chooser, answer, seeker, matcher, below: None }
    }

    /// With a last row that looks for files of this name below a folder.
    #[must_use]
    pub fn searching(mut self, below: Option<(HostId, FilePath)>) -> Self {
        self.below = below;
        self
    }

    /// Rows that can be chosen.
    fn rows(&self) -> usize {
        let searches = self.below.is_some() && !self.chooser.text().trim().is_empty();
        self.answer.best.len() + usize::from(searches)
    }

    fn search(&mut self) {
        let text = self.chooser.text();
        match &mut self.seeker {
            Seeker::Here(search) => {
                if let Some(answer) = search.find(0, text) {
                    self.answer = answer;
                }
            }
            Seeker::There { wake, shared, newest } => {
                text.clone_into(
                    &mut shared.question.lock().unwrap_or_else(PoisonError::into_inner),
                );
                newest.fetch_add(1, Ordering::Relaxed);
                // One that is full wakes it too; without a thread there is no answer to wait for.
                wake.try_send(()).unwrap_or_default();
            }
        }
    }

    /// Takes an answer that has come.
    fn take(&mut self) {
        let Seeker::There { shared, .. } = &self.seeker else { return };
        let answer = shared.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(answer) = answer {
            self.answer = answer;
            self.chooser.move_to(self.chooser.at, self.answer.best.len());
        }
    }

    fn choose(&mut self, context: &Context<'_>) -> Action {
        self.take();
        // What is on the screen may be the answer to an earlier text; that one is not meant.
        if self.answer.text != self.chooser.text() {
            return Action::None;
        }
        let (at, last) = (self.chooser.at, self.answer.best.len());
        if at == last
            && at < self.rows()
            && let Some((host, folder)) = self.below.clone()
        {
            let text = self.chooser.text().trim().to_owned();
            let search = crate::panes::files::finds::search(context, host, folder, text);
            return Action::CloseAnd(Box::new(search));
        }
        let entry = self.answer.best.get(at).and_then(|at| self.entries.get(*at as usize));
        let Some(entry) = entry else { return Action::None };
        let found = Action::Want(Wanted::Found(name(entry)));
        let action = entry.choice.clone().action();
        Action::CloseAnd(Box::new(Action::All(vec![found, action])))
    }

    fn did(&mut self, context: &Context<'_>, did: Did) -> Action {
        match did {
            Did::Moved => return Action::None,
            Did::Left => return Action::Close,
            Did::Chose => return self.choose(context),
            Did::Typed => self.search(),
        }
        Action::None
    }
}

fn seek(
    mut search: Search,
    woken: &Receiver<()>,
    shared: &Shared,
    newest: &AtomicU64,
    events: &mpsc::Sender<Event>,
) {
    while woken.recv().is_ok() {
        let question = newest.load(Ordering::Relaxed);
        let text = shared.question.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(answer) = search.find(question, &text) {
            *shared.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
            // A full queue draws soon anyway.
            drop(events.try_send(Event::Beat));
        }
    }
}

impl Overlay for Finder {
    fn key(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action {
        let did = self.chooser.key(key, self.rows());
        self.did(context, did)
    }

    fn paste(&mut self, text: &str) {
        self.chooser.paste(text);
        self.search();
    }

    fn mouse(&mut self, context: &Context<'_>, mouse: &MouseEvent) -> Action {
        let did = self.chooser.mouse(mouse, self.rows());
        self.did(context, did)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        self.take();
        let searched = self.chooser.text().trim().to_owned();
        let search = self.below.as_ref().filter(|_| !searched.is_empty()).map(|(host, folder)| {
            let place = format!("{}:{folder}", context.store.hosts.name(*host));
            context.texts.fill("finder.search", &[&searched, &place])
        });
        let Self { entries, chooser, answer, matcher, .. } = self;
        let counts = [answer.count, entries.len()];
        let more = usize::from(search.is_some());
        let looks = Looks { title: "finder.title", size: (90, 26), kind: 12, counts, more };
        let texts = context.texts;
        let inner = chooser.draw(context, frame, screen, &looks, |at| {
            if at == answer.best.len() {
                let kind = "⌕".to_owned();
                return search.as_ref().map(|text| Row { kind, text, note: "", hits: Vec::new() });
            }
            let entry = entries.get(*answer.best.get(at)? as usize)?;
            let hits = hits(&answer.text, &entry.text, matcher);
            let kind = format!("{} {}", sign(entry.kind), texts.get(entry.kind));
            Some(Row { kind, text: &entry.text, note: &entry.note, hits })
        });
        if let Some(rows) = inner.filter(|_| answer.count == 0 && search.is_none()) {
            let line = Line::styled(texts.get("finder.nothing"), context.theme.style(Role::Soft));
            let (x, width) = (rows.x + 1, rows.width.saturating_sub(2));
            table::put(frame.buffer_mut(), x, rows.y, width, &line, false);
        }
    }
}
