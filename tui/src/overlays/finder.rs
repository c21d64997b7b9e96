//! Finds anything: hosts, processes, pages, commands, whatever offers itself. Few entries are searched
//! on the spot, many by a thread, so that a key is never waited for.

use super::{Overlay, leaves, step};
use crate::action::{Action, Wanted};
use crate::event::Event;
use crate::finds::search::{Answer, Items, Search, hits};
use crate::finds::sign;
use crate::panes::{Context, Entry};
use crate::theme::Role;
use crate::widgets::input::Input;
use crate::widgets::{format, frame as boxes, table};
use cmdr_protocol::HostId;
use cmdr_protocol::files::FilePath;
use crossterm::event::{KeyCode, KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use nucleo_matcher::{Config, Matcher};
use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use unicode_width::UnicodeWidthStr as _;

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
    input: Input,
    answer: Answer,
    seeker: Seeker,
    matcher: Matcher,
    at: usize,
    offset: usize,
    area: Rect,
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
        let (input, area) = (Input::default(), Rect::default());
        let matcher = Matcher::new(Config::DEFAULT);
        Self { entries, input, answer, seeker, matcher, at: 0, offset: 0, area, below: None }
    }

    /// With a last row that looks for files of this name below a folder.
    #[must_use]
    pub fn searching(mut self, below: Option<(HostId, FilePath)>) -> Self {
        self.below = below;
        self
    }

    /// Rows that can be chosen.
    fn rows(&self) -> usize {
        let searches = self.below.is_some() && !self.input.text().trim().is_empty();
        self.answer.best.len() + usize::from(searches)
    }

    fn search(&mut self) {
        let text = self.input.text();
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
        self.at = 0;
    }

    /// Takes an answer that has come.
    fn take(&mut self) {
        let Seeker::There { shared, .. } = &self.seeker else { return };
        let answer = shared.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(answer) = answer {
            self.answer = answer;
            self.move_to(self.at);
        }
    }

    fn choose(&mut self, context: &Context<'_>) -> Action {
        self.take();
        // What is on the screen may be the answer to an earlier text; that one is not meant.
        if self.answer.text != self.input.text() {
            return Action::None;
        }
        if self.at == self.answer.best.len()
            && self.at < self.rows()
            && let Some((host, folder)) = self.below.clone()
        {
            let text = self.input.text().trim().to_owned();
            let search = crate::panes::files::finds::search(context, host, folder, text);
            return Action::CloseAnd(Box::new(search));
        }
        let entry = self.answer.best.get(self.at).and_then(|at| self.entries.get(*at as usize));
        let Some(entry) = entry else { return Action::None };
        let found = Action::Want(Wanted::Found(name(entry)));
        let action = entry.choice.clone().action();
        Action::CloseAnd(Box::new(Action::All(vec![found, action])))
    }

    fn move_to(&mut self, to: usize) {
        self.at = to.min(self.rows().saturating_sub(1));
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
        if leaves(key) {
            return Action::Close;
        }
        if let Some(by) = step(key) {
            self.move_to(self.at.saturating_add_signed(by));
        } else if key.code == KeyCode::Enter {
            return self.choose(context);
        } else if key.code == KeyCode::Backspace && self.input.text().is_empty() {
            return Action::Close;
        } else if self.input.key(key) {
            self.search();
        }
        Action::None
    }

    fn paste(&mut self, text: &str) {
        self.input.insert(text);
        self.search();
    }

    fn mouse(&mut self, context: &Context<'_>, mouse: &MouseEvent) -> Action {
        match mouse.kind {
            MouseEventKind::ScrollDown => self.move_to(self.at + 1),
            MouseEventKind::ScrollUp => self.move_to(self.at.saturating_sub(1)),
            MouseEventKind::Down(MouseButton::Left)
                if self.area.contains(Position::new(mouse.column, mouse.row)) =>
            {
                let to = self.offset + usize::from(mouse.row - self.area.y);
                if to < self.rows() {
                    self.at = to;
                    return self.choose(context);
                }
            }
            _ => {}
        }
        Action::None
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        self.take();
        let Context { theme, texts, glyphs, .. } = *context;
        let size = (90, 26.min(screen.height.saturating_sub(4)));
        let title = format!(" {} ", texts.get("finder.title"));
        let title = Line::styled(title, theme.style(Role::Title));
        let inner = boxes::popup(frame.buffer_mut(), screen, size, title, false, theme, glyphs);
        if inner.height < 3 {
            return;
        }
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        self.input.draw(frame, Rect { x, width, ..inner }, theme);
        let buffer = frame.buffer_mut();
        let counts = [format::count(self.answer.count), format::count(self.entries.len())];
        let of = texts.fill("palette.of", &[&counts[0], &counts[1]]);
        buffer.set_string(x, inner.bottom(), format!(" {of} "), theme.style(Role::Soft));
        self.area = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
        let rows = usize::from(self.area.height);
        self.offset = self.offset.min(self.at).max((self.at + 1).saturating_sub(rows));
        let shown = self.answer.best.iter().enumerate().skip(self.offset);
        for (y, (row, at)) in (self.area.top()..self.area.bottom()).zip(shown) {
            let Some(entry) = self.entries.get(*at as usize) else { continue };
            let hits = hits(&self.answer.text, &entry.text, &mut self.matcher);
            let kind = format!("{} {}", sign(entry.kind), texts.get(entry.kind));
            let pad = " ".repeat(12usize.saturating_sub(kind.width()).max(1));
            let mut spans = vec![Span::styled(kind, theme.style(Role::Soft)), Span::raw(pad)];
            let graphemes =
                unicode_segmentation::UnicodeSegmentation::graphemes(entry.text.as_str(), true);
            for (n, grapheme) in graphemes.enumerate() {
                let role = if hits.contains(&(n as u32)) { Role::Match } else { Role::Strong };
                spans.push(Span::styled(grapheme, theme.style(role)));
            }
            spans.push(Span::styled(format!("  {}", entry.note), theme.style(Role::Soft)));
            table::put(buffer, x, y, width, &Line::from(spans), false);
            if row == self.at {
                buffer.set_style(Rect { y, height: 1, ..inner }, theme.style(Role::Selected));
                buffer.set_string(inner.x, y, "▌", theme.style(Role::Accent));
            }
        }
        let last = self.answer.best.len();
        let y = self.area.y
            + u16::try_from(last.saturating_sub(self.offset))
                .unwrap_or(u16::MAX)
                .min(self.area.height);
        if last < self.rows()
            && y < self.area.bottom()
            && let Some((host, folder)) = &self.below
        {
            let place = format!("{}:{folder}", context.store.hosts.name(*host));
            let text = texts.fill("finder.search", &[self.input.text().trim(), &place]);
            let line = Line::styled(format!("⌕ {text}"), theme.style(Role::Accent));
            table::put(buffer, x, y, width, &line, false);
            if self.at == last {
                buffer.set_style(Rect { y, height: 1, ..inner }, theme.style(Role::Selected));
                buffer.set_string(inner.x, y, "▌", theme.style(Role::Accent));
            }
        } else if self.answer.count == 0 {
            let line = Line::styled(texts.get("finder.nothing"), theme.style(Role::Soft));
            table::put(buffer, x, self.area.y, width, &line, false);
        }
    }
}
