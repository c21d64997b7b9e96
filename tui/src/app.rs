//! The loop: takes what happened in order, lets the layers answer, performs their actions, keeps the
//! wanted feeds running and draws when something changed. Knows no feature.

mod asked;
mod chrome;
mod desk;
mod drawn;
mod feeds;
mod hinted;
mod input;
mod kept;
mod meter;
mod parts;
mod prints;
mod raw;
mod remembered;
mod screen;
mod walk;

use crate::action::{Action, Held};
use crate::config;
use crate::event::Event;
use crate::i18n::{Lang, Texts};
use crate::journal::Journal;
use crate::keymap::{Command, Keymap};
use crate::link::Link;
use crate::overlays::Overlay;
use crate::panes::{self, Context, Face, Pane, Place};
use crate::store::{FeedKey, RTT_NOISE_US, Store, Update};
use crate::terminal::Control;
use crate::terminal::flow::Flow;
use crate::theme::{AUTO, Depth, Theme};
use crate::widgets::chart::Glyphs;
use crate::widgets::terminal::Caret;
use drawn::{Dirty, Drawn};
use futures::{Stream, StreamExt as _};
pub use kept::Kept;
pub(crate) use prints::expand;
use ratatui::Terminal;
use ratatui::backend::Backend;
use screen::Wish;
use std::collections::HashMap;
use std::path::PathBuf;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How long after a change of place or link everything is drawn quickly.
const FRESH: Duration = Duration::from_secs(2);
/// How long the first frame waits for the terminal to tell its ground.
const GROUND: Duration = Duration::from_millis(50);
/// Events waiting at most; feeds wait when it is full.
const QUEUE: usize = 1024;
/// How long a note stays, milliseconds.
const NOTE_MS: u64 = 8000;

/// What the app is started with.
pub struct Options {
    pub read_only: bool,
    pub lang: Lang,
    pub theme: String,
    pub depth: Depth,
    /// Few bytes before all else: the line to the terminal is thin.
    pub thin: bool,
    /// Whether the top line begins with how much is drawn.
    pub meter: bool,
    pub glyphs: Glyphs,
    pub keys: Keymap,
    /// How sessions are shown and what they may do.
    pub terminal: config::Terminal,
    /// What is said of alerts.
    pub alerts: config::Alerts,
    /// The program that opens links, where there is one.
    pub opener: Option<PathBuf>,
    /// Columns and views that were kept.
    pub kept: Kept,
    /// Where what is chosen is remembered.
    pub config: Option<PathBuf>,
    /// Where what was on the screens is kept, and whether it is shown again.
    pub memory: Option<PathBuf>,
    pub restore: bool,
    /// Whether hints are given.
    pub hints: bool,
    /// Where texts are kept that were not saved.
    pub drafts: Option<PathBuf>,
    /// The wall clock.
    pub now_ms: fn() -> u64,
    pub utc_offset_s: i32,
    pub journal: Journal,
}

struct Note {
    text: String,
    bad: bool,
    at_ms: u64,
}

/// The client.
pub struct App {
    store: Store,
    link: Link,
    options: Options,
    face: Face,
    /// Kept columns and views, as the settings file has them.
    kept: Kept,
    place: Place,
    pane: Box<dyn Pane>,
    history: Vec<(Place, Box<dyn Pane>)>,
    /// The other tabs of the host one is at, as they were left.
    tabs: Vec<(Place, Box<dyn Pane>)>,
    desks: desk::Desks,
    memory: remembered::Kept,
    hints: hinted::Hints,
    meter: meter::Meter,
    overlays: Vec<Box<dyn Overlay>>,
    events: mpsc::Receiver<Event>,
    sender: mpsc::Sender<Event>,
    feeds: HashMap<FeedKey, (u64, AbortHandle)>,
    retry: HashMap<FeedKey, Instant>,
    /// What was refused, has been asked for and is done again on a key.
    held: Vec<Held>,
    /// When the hub was asked last what may be done where.
    asked_ms: u64,
    note: Option<Note>,
    wishes: Vec<Wish>,
    /// The way to the terminal, while there is one.
    flow: Option<Flow>,
    /// The terminal's own ground, when it told.
    ground: Option<[u8; 3]>,
    /// Until then the first frame waits for the ground.
    first_at: Option<Instant>,
    mouse: bool,
    /// The key before a command was pressed where keys go elsewhere.
    prefixed: bool,
    /// How the cursor looks.
    caret: Caret,
    clicks: input::Clicks,
    spots: chrome::Spots,
    dirty: Dirty,
    fresh_until: Instant,
    /// Bytes over the link as of the last tick.
    counted: Option<[u64; 2]>,
    /// When the hub let us in, until the first rows are on the screen.
    admitted: Option<Instant>,
    /// When a key was pressed or news came.
    active_at_ms: u64,
    quit: bool,
    /// How often it was drawn.
    frames: u64,
}

impl App {
    /// On the fleet's page, with a link that may still be down. Call it on a runtime: it begins to
    /// watch the link at once.
    pub fn new(options: Options, link: Link) -> Result<Self, String> {
        let automatic = options.theme == AUTO;
        let theme = if automatic { "dark" } else { &options.theme };
        let theme = Theme::load(theme, options.depth)?;
        let (sender, events) = mpsc::channel(QUEUE);
        let mut watch = link.watch();
        let to = sender.clone();
        tokio::spawn(async move {
            loop {
                if to.send(Event::Link(watch.now())).await.is_err() || !watch.changed().await {
                    return;
                }
            }
        });
        let mut store = Store::new((options.now_ms)(), options.utc_offset_s, options.read_only);
        store.alerts.tells = options.alerts;
        store.apply(panes::edit::drafts(options.drafts.clone()));
        let folder = options.memory.as_deref().and_then(std::path::Path::parent);
        store.apply(panes::sessions::remembers(folder.map(Into::into)));
        let meter = meter::Meter::new(options.meter);
        let mut app = Self {
            store,
            link: link.speaking(options.lang),
            face: Face {
                theme,
                texts: Texts::new(options.lang),
                glyphs: options.glyphs,
                keys: options.keys.clone(),
                terminal: options.terminal.clone(),
                opener: options.opener.clone(),
            },
            place: Place::Hosts,
            pane: options.kept.pane(Place::Hosts),
            kept: options.kept.clone(),
            options,
            history: Vec::new(),
            tabs: Vec::new(),
            desks: desk::Desks::default(),
            memory: remembered::Kept::default(),
            hints: hinted::Hints::default(),
            meter,
            overlays: Vec::new(),
            events,
            sender,
            feeds: HashMap::new(),
            retry: HashMap::new(),
            held: Vec::new(),
            asked_ms: 0,
            note: None,
            wishes: Vec::new(),
            flow: None,
            ground: None,
            first_at: automatic.then(|| Instant::now() + GROUND),
            mouse: true,
            prefixed: false,
            caret: Caret::Own,
            clicks: input::Clicks::default(),
            spots: chrome::Spots::default(),
            dirty: Dirty::Quick,
            fresh_until: Instant::now() + FRESH,
            counted: None,
            admitted: None,
            active_at_ms: 0,
            quit: false,
            frames: 0,
        };
        app.read_memory();
        Ok(app)
    }

    /// Runs until the operator leaves. `input` brings keys, the mouse and the end of the terminal.
    pub async fn run<B: Backend>(
        &mut self,
        terminal: &mut Terminal<B>,
        control: &mut dyn Control,
        mut input: impl Stream<Item = Event> + Unpin,
    ) -> anyhow::Result<()>
    where
        B::Error: Send + Sync + 'static,
    {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.flow = control.flow();
        let mut drawn = Drawn::new(control.flow(), self.options.thin);
        while !self.quit {
            self.follow_feeds();
            self.grant(terminal, control)?;
            let due = drawn.due(self.dirty).map(|due| self.first_at.map_or(due, |at| at.max(due)));
            let busy = drawn.is_busy();
            let beat = self.wakes().map(|after| Instant::now() + after);
            if !busy && due.is_some_and(|due| due <= Instant::now()) {
                self.first_at = None;
                drawn.now(self.dirty);
                self.draw(terminal)?;
                continue;
            }
            tokio::select! {
                biased;
                event = input.next() => match event {
                    None => return Ok(()),
                    Some(event) => {
                        self.handle(event);
                        while let Some(event) = ready(&mut input).await {
                            self.handle(event);
                        }
                    }
                },
                Some(event) = self.events.recv() => {
                    self.handle(event);
                    self.drain();
                }
                _ = ticks.tick() => self.handle(Event::Tick),
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && !busy => {}
                () = drawn.free(), if busy => {}
                () = tokio::time::sleep_until(beat.unwrap_or_else(Instant::now)), if beat.is_some() => {
                    self.handle(Event::Beat);
                }
            }
        }
        Ok(())
    }

    /// Takes these events, then everything that follows from them, and draws. For tests: nothing
    /// waits for a clock.
    pub async fn run_until_idle<B: Backend>(
        &mut self,
        terminal: &mut Terminal<B>,
        control: &mut dyn Control,
        input: impl IntoIterator<Item = Event>,
    ) -> anyhow::Result<()>
    where
        B::Error: Send + Sync + 'static,
    {
        for event in input {
            self.handle(event);
            self.settle().await;
        }
        self.settle().await;
        self.grant(terminal, control)?;
        if self.dirty != Dirty::No {
            self.draw(terminal)?;
        }
        Ok(())
    }

    async fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 16 {
            self.follow_feeds();
            // Lets the tasks that were just started get as far as they can.
            tokio::task::yield_now().await;
            quiet = if self.drain() { 0 } else { quiet + 1 };
        }
    }

    fn drain(&mut self) -> bool {
        let mut any = false;
        // At most a queue's worth: a flood must not keep the screen from being drawn.
        for _ in 0..QUEUE {
            let Ok(event) = self.events.try_recv() else { break };
            self.handle(event);
            any = true;
            if self.dirty == Dirty::Now {
                // What was waited for is shown before the rest of it is taken in.
                break;
            }
        }
        any
    }

    /// Whether the operator has left.
    pub fn has_quit(&self) -> bool {
        self.quit
    }

    /// How often the screen was drawn.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Whether few bytes come before all else.
    pub fn is_thin(&self) -> bool {
        self.options.thin
    }

    /// What is known.
    pub fn store(&self) -> &Store {
        &self.store
    }

    fn soil(&mut self, how: Dirty) {
        self.dirty = self.dirty.max(how);
    }

    fn handle(&mut self, event: Event) {
        // What was asked for in the background is nothing that happened.
        if !matches!(
            event,
            Event::Tick | Event::Beat | Event::Ground(_) | Event::Done(_, Action::None)
        ) {
            self.active_at_ms = (self.options.now_ms)();
        }
        match event {
            Event::Key(key) => {
                self.store.now_ms = (self.options.now_ms)();
                let action = if self.is_raw() {
                    // What it comes to is drawn when it comes back, and must not wait for this.
                    self.raw_key(&key)
                } else {
                    self.soil(Dirty::Quick);
                    self.key(&key)
                };
                self.perform(action);
            }
            Event::Mouse(mouse) => {
                let action = self.mouse(mouse);
                self.perform(action);
            }
            Event::Paste(text) => {
                self.soil(Dirty::Quick);
                self.paste(&text);
            }
            Event::Focus(on) => self.gazed(on),
            Event::Resize => self.soil(Dirty::Quick),
            Event::Link(state) => {
                self.fresh_until = Instant::now() + FRESH;
                self.soil(Dirty::Quick);
                self.linked(state);
            }
            Event::Update(update) => {
                let toasts = self.store.toasts.len();
                self.store.now_ms = (self.options.now_ms)();
                let waited = self.store.opening();
                self.store.apply(update);
                self.hurry();
                let fresh = Instant::now() < self.fresh_until;
                self.soil(if self.store.opening() < waited {
                    Dirty::Now
                } else if fresh {
                    Dirty::Quick
                } else {
                    Dirty::Calm
                });
                if self.store.toasts.len() > toasts {
                    self.soil(Dirty::Quick);
                }
                self.tell();
            }
            Event::Done(update, action) => {
                if let Some(update) = update {
                    self.store.now_ms = (self.options.now_ms)();
                    self.store.apply(update);
                }
                self.soil(Dirty::Quick);
                self.perform(action);
                self.tell();
            }
            Event::Ground(colour) => self.on_ground(colour),
            Event::Tick => self.tick(),
            Event::Beat => {
                self.store.now_ms = (self.options.now_ms)();
                self.soil(Dirty::Quick);
            }
            Event::Continued => self.wishes.push(Wish::Resume),
            Event::Stop => self.quit = true,
        }
    }

    fn tick(&mut self) {
        let now_ms = (self.options.now_ms)();
        let health = self.link.health();
        let before = self.counted;
        self.counted = health.as_ref().map(|h| [h.received, h.sent]);
        let went = before.zip(self.counted);
        self.store.apply(Update::new(move |store| {
            store.now_ms = now_ms;
            let rtt = health.and_then(|h| h.rtt_us).map(u64::from);
            store.rtt_us.take(now_ms, rtt, RTT_NOISE_US);
            for (at, rate) in store.traffic.iter_mut().enumerate() {
                rate.take(now_ms, went.map_or(0, |(then, now)| now[at].saturating_sub(then[at])));
            }
        }));
        if self.note.as_ref().is_some_and(|n| now_ms.saturating_sub(n.at_ms) > NOTE_MS) {
            self.note = None;
        }
        self.meter(now_ms);
        self.hint();
        self.keep_now_and_then();
        self.soil(Dirty::Calm);
    }

    fn perform(&mut self, action: Action) {
        use Action::{All, Apply, Errand, None, Pass};
        if !matches!(action, None | Pass | All(_) | Errand(_) | Apply(_)) {
            self.soil(Dirty::Quick);
        }
        match action {
            Action::None | Action::Pass => {}
            Action::All(actions) => actions.into_iter().for_each(|action| self.perform(action)),
            Action::Errand(errand) => {
                let (link, sender) = (self.link.clone(), self.sender.clone());
                tokio::spawn(async move {
                    let event = errand(link).await;
                    // The app is gone when nobody takes it: then nobody needs the answer.
                    drop(sender.send(event).await);
                });
            }
            Action::Apply(update) => {
                self.store.apply(update);
                self.hurry();
            }
            Action::Go(place) => self.go(place),
            Action::Enter(place, pane) => self.enter(place, pane),
            Action::Refused(refused) => self.refused(refused),
            Action::Hold(held) => self.hold(*held),
            Action::Make(what) => {
                let action = what.make(&self.context());
                self.perform(action);
            }
            Action::Back => {
                if let Some((place, pane)) = self.history.pop() {
                    self.show(place, pane);
                } else {
                    self.say(self.face.texts.get("note.home"), false);
                }
            }
            Action::Open(overlay) => self.overlays.push(overlay),
            Action::Close => drop(self.overlays.pop()),
            Action::CloseAnd(action) => {
                self.overlays.pop();
                self.perform(*action);
            }
            Action::Run(command) => {
                let action = self.command(command);
                self.perform(action);
            }
            Action::Pick(number) => self.pane.pick(number),
            Action::Give(command, text) => {
                let action = self.pane.take(&self.face.context(&self.store), command, &text);
                self.perform(action);
            }
            Action::Copy(text) => {
                let shown = cmdr_protocol::display::clean_to_width(&text, 50);
                self.say(&self.face.texts.fill("note.copied", &[&shown]), false);
                self.wishes.push(Wish::Copy(text));
            }
            Action::Say(text) => self.say(&text, false),
            Action::Complain(text) => self.say(&text, true),
            Action::Look(view) => panes::set_view(&mut *self.pane, &view),
            Action::Remember(what) => self.remember(what),
            Action::Theme(name, keep) => self.use_theme(&name, keep),
            Action::Want(wanted) => self.want(wanted),
            Action::Quit => self.quit = true,
        }
    }

    fn say(&mut self, text: &str, bad: bool) {
        let text = cmdr_protocol::display::clean(text).into_owned();
        if bad {
            let clock = self.store.clock((self.options.now_ms)(), true);
            self.options.journal.push(&format!("{clock} {text}"));
        }
        self.note = Some(Note { text, bad, at_ms: (self.options.now_ms)() });
    }

    fn draw<B: Backend>(&mut self, terminal: &mut Terminal<B>) -> anyhow::Result<()>
    where
        B::Error: Send + Sync + 'static,
    {
        self.dirty = Dirty::No;
        self.frames += 1;
        terminal.draw(|frame| self.paint(frame))?;
        self.shape_caret();
        if self.store.hosts.known
            && let Some(admitted) = self.admitted.take()
        {
            let hosts = self.store.hosts.rows.len();
            tracing::info!(hosts, after_us = admitted.elapsed().as_micros(), "first rows drawn");
        }
        Ok(())
    }

    fn context(&self) -> Context<'_> {
        self.face.context(&self.store)
    }

    /// Does a command: the pane first, then the app.
    fn command(&mut self, command: Command) -> Action {
        let context = self.face.context(&self.store);
        match self.pane.on(&context, command) {
            Action::Pass => self.own(command),
            action => action,
        }
    }
}

/// What is there already. Asked with the real waker: a terminal's stream keeps only the first one it
/// gets, and with another it would sleep through the next key.
async fn ready(input: &mut (impl Stream<Item = Event> + Unpin)) -> Option<Event> {
    std::future::poll_fn(|context| match input.poll_next_unpin(context) {
        Poll::Ready(event) => Poll::Ready(event),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
