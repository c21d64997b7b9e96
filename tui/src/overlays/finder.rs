//! Finds anything: hosts, processes, pages, commands, whatever offers itself. Few entries are searched
//! on the spot, many by a thread, so that a key is never waited for. Hosts are asked for what fits, and what
//! they tell is added below the cursor.

use super::Overlay;
use super::chooser::{Chooser, Did, Looks, Row};
use crate::action::{Action, Wanted};
use crate::event::Event;
use crate::finds::search::{Answer, BEST, Items, Search, hits};
use crate::finds::{everywhere, sign};
use crate::panes::{Context, Entry, Subscription};
use crate::store::audit;
use crate::store::everywhere::What;
use cmdr_protocol::HostId;
use cmdr_protocol::files::FilePath;
use crossterm::event::{KeyEvent, MouseEvent};
use nucleo_matcher::{Config, Matcher};
use ratatui::Frame;
use ratatui::layout::Rect;
use std::collections::HashSet;
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
    /// Texts that have come since.
    more: Mutex<Vec<String>>,
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
    newest: Arc<AtomicU64>,
    events: mpsc::Sender<Event>,
    /// This finder among others, and which of its questions hosts are asked.
    owner: u64,
    turn: u64,
    /// How many of the finds in the store are among the entries.
    taken: usize,
    /// What the entries that were there from the beginning are about.
    known: Option<HashSet<(&'static str, HostId, What)>>,
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
            apart(search, newest.clone(), events.clone())
        };
        Self {
            entries,
            chooser: Chooser::default(),
            answer,
            seeker,
            matcher: Matcher::new(Config::DEFAULT),
            below: None,
            newest,
            events,
            owner: audit::owner(),
            turn: 0,
            taken: 0,
            known: None,
        }
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
                if let Some(answer) = search.find(u64::MAX, text) {
                    self.settle(answer);
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
            self.settle(answer);
        }
    }

    /// Takes an answer. One to the same text has more in it: what stands down to the cursor stays there.
    fn settle(&mut self, mut answer: Answer) {
        let (at, last) = (self.chooser.at, self.answer.best.len());
        if answer.text != self.answer.text {
            self.answer = answer;
            return self.chooser.move_to(at, self.rows());
        }
        let stays = &self.answer.best[..(at + 1).min(last)];
        let rest = answer.best.iter().copied().filter(|entry| !stays.contains(entry));
        answer.best = stays.iter().copied().chain(rest).take(BEST.max(stays.len())).collect();
        self.answer = answer;
        // The row below all others stays below them.
        let to = if at == last && last > 0 { self.answer.best.len() } else { at };
        self.chooser.move_to(to, self.rows());
    }

    /// Takes in what hosts have told since.
    fn grow(&mut self, context: &Context<'_>) {
        let told = &context.store.everywhere;
        if told.owner != self.owner || told.found.len() <= self.taken {
            return;
        }
        let known = self
            .known
            .get_or_insert_with(|| self.entries.iter().filter_map(everywhere::about).collect());
        let new = told.found[self.taken..].iter().map(everywhere::entry);
        let new =
            new.filter(|entry| everywhere::about(entry).is_none_or(|it| !known.contains(&it)));
        let new: Vec<Entry> = new.collect();
        self.taken = told.found.len();
        let texts = new.iter().map(|entry| entry.text.as_str());
        match &mut self.seeker {
            Seeker::Here(search) => search.extend(texts),
            Seeker::There { shared, .. } => {
                let mut more = shared.more.lock().unwrap_or_else(PoisonError::into_inner);
                more.extend(texts.map(str::to_owned));
            }
        }
        self.entries.extend(new);
        if let Seeker::Here(search) = &mut self.seeker
            && self.entries.len() > FEW
        {
            let none = Search::new(Arc::default(), Arc::default());
            let search = std::mem::replace(&mut **search, none);
            self.seeker = apart(search, self.newest.clone(), self.events.clone());
        }
        self.search();
    }

    /// How many hosts have answered, where they are asked.
    fn told(&self, context: &Context<'_>) -> String {
        let told = &context.store.everywhere;
        let asks = everywhere::asks(self.chooser.text());
        if told.owner != self.owner || !asks || told.of == 0 {
            return String::new();
        }
        let [answered, of] = [told.answered.len(), told.of].map(|n| n.to_string());
        let mut text = context.texts.fill("finder.answered", &[&answered, &of]);
        if !told.failed.is_empty() {
            text += ", ";
            text += &context.texts.fill("fleet.failed", &[&told.failed.len().to_string()]);
        }
        if !told.more.is_empty() {
            text += ", ";
            text += &context.texts.fill("finder.more", &[&told.more.len().to_string()]);
        }
        text
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

    /// Another text stands there.
    fn typed(&mut self) {
        self.turn += 1;
        self.search();
    }

    fn did(&mut self, context: &Context<'_>, did: Did) -> Action {
        match did {
            Did::Moved => return Action::None,
            Did::Left => return Action::Close,
            Did::Chose => return self.choose(context),
            Did::Typed => self.typed(),
        }
        Action::None
    }
}

/// Has a thread search.
fn apart(search: Search, newest: Arc<AtomicU64>, events: mpsc::Sender<Event>) -> Seeker {
    let (wake, woken) = sync_channel(1);
    let shared = Arc::new(Shared::default());
    let (own, latest) = (shared.clone(), newest.clone());
    // Ends when the overlay has gone.
    let thread = std::thread::Builder::new().name("finder".to_owned());
    drop(thread.spawn(move || seek(search, &woken, &own, &latest, &events)));
    Seeker::There { wake, shared, newest }
}

fn seek(
    mut search: Search,
    woken: &Receiver<()>,
    shared: &Shared,
    newest: &AtomicU64,
    events: &mpsc::Sender<Event>,
) {
    while woken.recv().is_ok() {
        let more = {
            let mut more = shared.more.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *more)
        };
        search.extend(more.iter().map(String::as_str));
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
        self.typed();
    }

    fn feeds(&self) -> Vec<Subscription> {
        everywhere::subscription(self.owner, self.turn, self.chooser.text()).into_iter().collect()
    }

    fn mouse(&mut self, context: &Context<'_>, mouse: &MouseEvent) -> Action {
        let did = self.chooser.mouse(*mouse, self.rows());
        self.did(context, did)
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        self.grow(context);
        self.take();
        let said = self.told(context);
        let searched = self.chooser.text().trim().to_owned();
        let search = self.below.as_ref().filter(|_| !searched.is_empty()).map(|(host, folder)| {
            let place = format!("{}:{folder}", context.store.hosts.name(*host));
            context.texts.fill("finder.search", &[&searched, &place])
        });
        let Self { entries, chooser, answer, matcher, .. } = self;
        let counts = [answer.count, entries.len()];
        let more = usize::from(search.is_some());
        let (title, size) = ("finder.title", (90, 26));
        let looks = Looks { title, size, kind: 12, counts, more, said, nothing: "finder.nothing" };
        let texts = context.texts;
        chooser.draw(context, frame, screen, &looks, |at| {
            if at == answer.best.len() {
                let kind = "⌕".to_owned();
                return search.as_ref().map(|text| Row { kind, text, note: "", hits: Vec::new() });
            }
            let entry = entries.get(*answer.best.get(at)? as usize)?;
            let hits = hits(&answer.text, &entry.text, matcher);
            let kind = format!("{} {}", sign(entry.kind), texts.get(entry.kind));
            Some(Row { kind, text: &entry.text, note: &entry.note, hits })
        });
    }
}
