//! One session in our terminal, from the first byte to the last, over as many links as it takes.

use super::keys::{Keys, Wish};
use super::passage::{Modes, Passage};
use super::terminal::{self, Pace, Paper, Raw};
use super::{refused, remote};
use crate::App;
use crate::connect::Hub;
use crate::exit::{Exit, Failure};
use cmdr_link::FeedStream;
use cmdr_link::backoff::Backoff;
use cmdr_protocol::display::clean;
use cmdr_protocol::exec;
use cmdr_protocol::sessions::{Attach, Client, Input, Item, Join, Mode, Open, Size, WINDOW};
use cmdr_protocol::{CallError, ErrorKind, Feed, HostId};
use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};

/// Between tries to get back, at most.
const PATIENCE: Duration = Duration::from_secs(5);
/// Ctrl-C.
const INTERRUPT: u8 = 3;

/// What to attach to.
pub(super) enum What {
    Open(Open),
    Attach(String),
}

/// Whose session, where, and how.
pub(super) struct Attached {
    pub(super) app: App,
    pub(super) host: HostId,
    pub(super) host_name: String,
    pub(super) clipboard: bool,
    /// The session is the operator's own.
    pub(super) mine: bool,
    /// What it was opened as.
    pub(super) opened: String,
    pub(super) mode: Mode,
}

/// How an attachment ended.
enum Over {
    Exit(exec::Exit),
    Detached,
    /// The way there was lost.
    Cut(CallError),
    Refused(CallError),
    /// Nobody can see what is written.
    Unseen,
}

/// What lasts as long as we are at it, whatever becomes of links.
struct Desk {
    keyboard: mpsc::Receiver<Vec<u8>>,
    keys: Keys,
    resized: Signal,
    paper: Paper,
    passage: Passage,
    modes: Arc<Mutex<Modes>>,
    /// The session's id, once it is known.
    id: Option<String>,
    /// We have opened it and seen nothing of it yet.
    new: bool,
    driving: bool,
    /// What had been written when it was cut off.
    back_at: u64,
}

fn held(modes: &Mutex<Modes>) -> MutexGuard<'_, Modes> {
    modes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the two directions share.
#[derive(Default)]
struct Both {
    /// Tell our size.
    tell_size: Notify,
    driving: Cell<bool>,
    over: RefCell<Option<Over>>,
}

impl Attached {
    /// What lasts, for one that we begin or that runs.
    fn desk(&self, new: bool) -> Result<(Desk, Arc<Mutex<Modes>>), Failure> {
        let modes = Arc::new(Mutex::new(Modes::default()));
        let desk = Desk {
            keyboard: terminal::keyboard()?,
            keys: Keys::default(),
            resized: signal(SignalKind::window_change())?,
            paper: Paper::new()?,
            passage: Passage::new(self.clipboard),
            modes: modes.clone(),
            id: None,
            new,
            driving: self.mode == Mode::Drive,
            back_at: 0,
        };
        Ok((desk, modes))
    }

    /// Goes on with one that was begun, from its first item on.
    pub(super) async fn go_on<F>(
        self,
        hub: Hub,
        feed: FeedStream<F>,
        first: Item,
    ) -> Result<Exit, Failure>
    where
        F: Feed<Item = Item, Input = Input>,
    {
        let (mut desk, modes) = self.desk(true)?;
        let raw = Raw::enter(modes)?;
        let over = self.carry(feed, Some(first), &mut desk).await;
        self.to_the_end(hub, desk, raw, over).await
    }

    /// Carries the session until it ends or is left.
    pub(super) async fn run(mut self, hub: Hub, what: What) -> Result<Exit, Failure> {
        let (mut desk, modes) = self.desk(matches!(what, What::Open(_)))?;
        if let What::Attach(id) = &what {
            desk.id = Some(id.clone());
            self.greet(id);
        }
        let raw = Raw::enter(modes)?;
        let over = match what {
            What::Open(open) => self.follow(&hub, &mut desk, &open).await,
            What::Attach(_) => self.attach(&hub, &mut desk).await,
        };
        self.to_the_end(hub, desk, raw, over).await
    }

    /// Comes back to it as often as it is cut off.
    async fn to_the_end(
        mut self,
        mut hub: Hub,
        mut desk: Desk,
        raw: Raw,
        mut over: Over,
    ) -> Result<Exit, Failure> {
        while let Over::Cut(why) = &over
            && desk.id.is_some()
        {
            let why = clean(&why.message).into_owned();
            desk.say(&format!("cut off: {why}; Ctrl-C gives up"), true).await;
            over = self.again(&mut hub, &mut desk).await.unwrap_or(Over::Detached);
        }
        let Desk { paper, id, .. } = desk;
        paper.finish().await;
        drop(raw);
        self.ended(over, id)
    }

    /// Says, once, how to get out.
    fn greet(&self, id: &str) {
        let what = if self.mode == Mode::Drive { "" } else { ", watching" };
        let text = format!("session {id} on {}{what}; Ctrl-\\ d leaves it running", self.host_name);
        self.app.out.hint(&text);
    }

    fn ended(&self, over: Over, id: Option<String>) -> Result<Exit, Failure> {
        let id = id.unwrap_or_default();
        match over {
            Over::Exit(exit) => Ok(remote(exit)),
            Over::Detached => {
                self.app
                    .out
                    .note(&format!("left session {id} running; back to it: cmdr attach {id}"));
                Ok(Exit::Ok)
            }
            Over::Unseen => Ok(Exit::Unread),
            Over::Cut(e) => Err(Failure::from(e)),
            Over::Refused(e) => Err(refused(e)),
        }
    }

    /// Tries until it is attached again and that ends too; none when the operator gives up.
    async fn again(&mut self, hub: &mut Hub, desk: &mut Desk) -> Option<Over> {
        let mut backoff = Backoff::new(PATIENCE);
        loop {
            let tried = async {
                if hub.client.link().ended().is_some() {
                    match hub.again().await {
                        Ok(new) => *hub = new,
                        Err(e) if e.is_lasting() => {
                            return Err(CallError::denied(e.to_string()));
                        }
                        Err(_) => return Ok(false),
                    }
                }
                Ok(true)
            };
            let linked = tokio::select! {
                linked = tried => linked,
                () = desk.given_up() => return None,
            };
            match linked {
                Err(e) => return Some(Over::Refused(e)),
                Ok(true) => match self.attach(hub, desk).await {
                    Over::Cut(_) if !desk.was_back() => {}
                    over => return Some(over),
                },
                Ok(false) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next_wait()) => {}
                () = desk.given_up() => return None,
            }
        }
    }

    async fn attach(&mut self, hub: &Hub, desk: &mut Desk) -> Over {
        let (id, mode, size) = (desk.id.clone().unwrap_or_default(), self.mode, terminal::size());
        if self.mine {
            let opened = self.opened.clone();
            self.follow(hub, desk, &Attach { id, mode, size, opened }).await
        } else {
            self.follow(hub, desk, &Join { id, mode, size }).await
        }
    }

    async fn follow<F>(&mut self, hub: &Hub, desk: &mut Desk, ask: &F) -> Over
    where
        F: Feed<Item = Item, Input = Input>,
    {
        let feed = match hub.client.feed(Some(self.host), ask).await {
            Ok(feed) => feed,
            Err(e) => return sort(e),
        };
        let over = self.carry(feed, None, desk).await;
        self.mode = if desk.driving { Mode::Drive } else { self.mode };
        over
    }

    /// Carries both directions of one attachment.
    async fn carry<F>(&self, feed: FeedStream<F>, mut first: Option<Item>, desk: &mut Desk) -> Over
    where
        F: Feed<Item = Item, Input = Input>,
    {
        let (mut items, mut inputs) = feed.split();
        let both = Both::default();
        both.driving.set(desk.driving);
        let before = desk.paper.given;
        let Desk { keyboard, keys, resized, paper, passage, modes, id, new, driving, .. } = desk;
        let mut pace = paper.pace.clone();
        let mut writer = Writer { paper, passage, modes: modes.clone(), client: 0, new };
        let back = async {
            loop {
                let item = match first.take() {
                    Some(item) => item,
                    None => match items.next().await {
                        Some(Ok(item)) => item,
                        Some(Err(e)) => return sort(e),
                        None => return Over::Cut(CallError::lost("the host ended the attachment")),
                    },
                };
                if let Some(begun) = &item.begun {
                    writer.client = begun.client;
                    if id.is_none() {
                        self.greet(&begun.id);
                        *id = Some(begun.id.clone());
                    }
                }
                let exit = item.exit;
                if !writer.take(item, &both, self).await {
                    return Over::Unseen;
                }
                if let Some(exit) = exit {
                    return Over::Exit(exit);
                }
            }
        };
        let forth = async {
            let mut told = (0, WINDOW);
            loop {
                let input = tokio::select! {
                    typed = keyboard.recv() => {
                        // A keyboard that is gone types no more.
                        let Some(typed) = typed else { return Over::Detached };
                        let (data, wishes) = keys.push(&typed);
                        let mut input = Input { data, ..Input::default() };
                        for wish in wishes {
                            match wish {
                                Wish::Detach => return Over::Detached,
                                Wish::Take => {
                                    input.take = true;
                                    input.size = Some(terminal::size());
                                }
                                Wish::Help => self.app.out.hint(
                                    "\r\nCtrl-\\ d leaves it running, t takes it over, Ctrl-\\ sends itself\r",
                                ),
                            }
                        }
                        input
                    }
                    changed = pace.changed() => {
                        if changed.is_err() {
                            return Over::Unseen;
                        }
                        match progress(&mut pace, before, &mut told) {
                            Some(input) => input,
                            None => continue,
                        }
                    }
                    _ = resized.recv() => sized(terminal::size()),
                    () = both.tell_size.notified() => sized(terminal::size()),
                };
                if input != Input::default() && inputs.send(&input).await.is_err() {
                    // What comes back says why.
                    std::future::pending::<()>().await;
                }
            }
        };
        let over = tokio::select! {
            over = back => over,
            over = forth => over,
        };
        *driving = both.driving.get();
        both.over.take().unwrap_or(over)
    }
}

/// What the far end is told of how far we are.
fn progress(pace: &mut watch::Receiver<Pace>, before: u64, told: &mut (u64, u32)) -> Option<Input> {
    let Pace { taken, window } = *pace.borrow_and_update();
    let taken = taken.saturating_sub(before);
    let differs = window / 2 > told.1 || told.1 / 2 > window;
    if taken == told.0 && !differs {
        return None;
    }
    let input = Input { taken: Some(taken), window: differs.then_some(window), ..Input::default() };
    *told = (taken, if differs { window } else { told.1 });
    Some(input)
}

fn sized(size: Size) -> Input {
    Input { size: Some(size), ..Input::default() }
}

/// Whether it is worth coming back after this.
fn sort(error: CallError) -> Over {
    match error.kind {
        ErrorKind::Lost | ErrorKind::Unreachable | ErrorKind::TimedOut => Over::Cut(error),
        _ => Over::Refused(error),
    }
}

/// Writes what comes.
struct Writer<'a> {
    paper: &'a mut Paper,
    passage: &'a mut Passage,
    modes: Arc<Mutex<Modes>>,
    client: u32,
    new: &'a mut bool,
}

impl Writer<'_> {
    /// False when nobody can see it.
    async fn take(&mut self, item: Item, both: &Both, of: &Attached) -> bool {
        if item.fresh && !std::mem::take(self.new) {
            let mut reset = held(&self.modes).undo();
            reset.extend_from_slice(b"\x1b[H\x1b[2J");
            *self.passage = Passage::new(of.clipboard);
            if !self.paper.write(reset, 0).await {
                return false;
            }
        }
        if !item.output.is_empty() {
            let shown = self.passage.push(&item.output, &mut held(&self.modes));
            if !self.paper.write(shown, item.output.len() as u64).await {
                return false;
            }
        }
        let mut words = Vec::new();
        if let Some(clients) = &item.clients {
            let drives = clients.iter().any(|c| c.id == self.client && c.mode == Mode::Drive);
            if drives && !both.driving.get() {
                both.tell_size.notify_one();
            }
            both.driving.set(drives);
            words.extend(others(clients, self.client));
        }
        if let Some(notice) = &item.notice {
            if let Some(id) = notice.recording {
                words.push(format!("this session is recorded, as {id}"));
            }
            match notice.watchers.as_ref().map(|who| who.join(", ")).as_deref() {
                Some("") => words.push("nobody watches this session any more".to_owned()),
                Some(who) => words.push(format!("{who} watches this session")),
                None => {}
            }
        }
        for word in words.iter().filter(|_| !of.app.out.quiet) {
            let text = spoken(word, held(&self.modes).is_full_screen());
            if !self.paper.write(text, 0).await {
                return false;
            }
        }
        true
    }
}

/// Who else is there, when somebody is.
fn others(clients: &[Client], own: u32) -> Option<String> {
    let others = clients.iter().filter(|client| client.id != own);
    let told: Vec<_> = others
        .map(|client| {
            let does = if client.mode == Mode::Drive { "drives" } else { "watches" };
            format!("{} {does}", clean(&client.operator))
        })
        .collect();
    (!told.is_empty()).then(|| format!("also attached: {}", told.join(", ")))
}

/// Our own words between the session's: on a line of their own, or, over a program that has the whole
/// screen, on its last line until it is drawn over.
fn spoken(word: &str, full_screen: bool) -> Vec<u8> {
    let word = clean(word);
    let text = if full_screen {
        format!("\x1b7\x1b[999;1H\x1b[0;7m cmdr: {word} \x1b[0m\x1b8")
    } else {
        format!("\r\n\x1b[0;2mcmdr: {word}\x1b[0m\r\n")
    };
    text.into_bytes()
}

impl Desk {
    async fn say(&mut self, word: &str, new_line: bool) {
        // The programs' modes are not theirs while nobody carries keys to them.
        let mut text = held(&self.modes).undo();
        text.extend(spoken(word, !new_line));
        // Nobody left to read it is found out by what comes next.
        self.paper.write(text, 0).await;
        self.new = false;
        self.back_at = self.paper.given;
    }

    /// Whether anything has come since it was cut off.
    fn was_back(&self) -> bool {
        self.paper.given > self.back_at
    }

    /// Waits until the operator has enough of waiting.
    async fn given_up(&mut self) {
        while let Some(typed) = self.keyboard.recv().await {
            let (keys, wishes) = self.keys.push(&typed);
            if keys.contains(&INTERRUPT) || wishes.contains(&Wish::Detach) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(id: u32, operator: &str, mode: Mode) -> Client {
        Client { id, operator: operator.into(), mode, since_ms: 0 }
    }

    #[test]
    fn who_else_is_there_is_told_and_who_is_alone_hears_nothing() {
        let own = client(1, "ann", Mode::Drive);
        assert_eq!(others(std::slice::from_ref(&own), 1), None);
        let told = others(&[own, client(2, "eve\x1b[2J", Mode::Watch)], 1).unwrap();
        assert_eq!(told, "also attached: eve␛[2J watches");
    }

    #[test]
    fn progress_is_told_when_there_is_some() {
        let (tell, mut pace) = watch::channel(Pace { taken: 100, window: WINDOW });
        let mut told = (0, WINDOW);
        let first = progress(&mut pace, 40, &mut told).unwrap();
        assert_eq!((first.taken, first.window), (Some(60), None));
        assert_eq!(progress(&mut pace, 40, &mut told), None);
        tell.send_replace(Pace { taken: 100, window: 8192 });
        assert_eq!(progress(&mut pace, 40, &mut told).unwrap().window, Some(8192));
    }

    #[test]
    fn what_is_worth_coming_back_for_is_a_lost_way_and_nothing_else() {
        assert!(matches!(sort(CallError::lost("x")), Over::Cut(_)));
        assert!(matches!(sort(CallError::denied("x")), Over::Refused(_)));
        assert!(matches!(sort(CallError::not_found("x")), Over::Refused(_)));
    }
}
