//! Sessions: those of the hosts that were looked at, and those that are open in this client with their
//! screens. A screen is kept when nobody looks at it, but nothing is sent for it then.

pub mod flow;

use super::{FeedKey, Store, Stored, Update};
use crate::widgets::terminal::Screen;
use cmdr_protocol::display::clean;
use cmdr_protocol::exec::Exit;
use cmdr_protocol::sessions::{
    Attach, CHUNK, Client, Input, Item, Listing, Mode, Session, Size, Watch,
};
use cmdr_protocol::ssh::{Answer, Question};
use cmdr_protocol::{CallError, HostId};
use flow::Flow;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;
use tokio::sync::mpsc;

/// Screens that are kept.
const SCREENS: usize = 4;
/// Hosts whose lists are kept.
const HOSTS: usize = 500;
/// Pieces of input that may wait for the link.
pub const WAITING: usize = 1024;
/// Bytes typed before a session is there that are kept for it.
const EARLY: usize = 4096;
/// The longest text taken for the clipboard, in bytes.
const CLIPBOARD: usize = 256 << 10;

/// What is known of sessions.
#[derive(Default)]
pub struct Sessions {
    lists: HashMap<HostId, Listed>,
    open: Vec<Attached>,
    /// Goes up with every list that comes.
    pub version: u64,
    /// The folder in which machines reached over SSH are remembered.
    pub places: Option<PathBuf>,
}

/// The sessions of a host.
#[derive(Default)]
pub struct Listed {
    /// The oldest first; texts made harmless.
    pub sessions: Vec<Session>,
    /// When they came.
    pub came_ms: u64,
}

/// How an open session is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum State {
    /// Asked for; nothing came yet.
    #[default]
    Opening,
    /// Its output comes.
    Live,
    /// The link to it broke, or it was refused.
    Cut(CallError),
    /// Its program has ended, so when that is known.
    Ended(Option<Exit>),
}

/// A session that is open here.
pub struct Attached {
    /// Which pane it is open for.
    pub owner: u64,
    /// Where it runs.
    pub host: HostId,
    /// What it shows.
    pub screen: Screen,
    /// Its id; empty until that is known.
    pub id: String,
    /// Our number among its clients.
    pub client: u32,
    /// Whether we drive.
    pub mode: Mode,
    /// Who is attached, the driver first.
    pub clients: Vec<Client>,
    /// How it is.
    pub state: State,
    /// Bytes that were left out for us since we attached.
    pub lost: u64,
    /// Under which number it is recorded.
    pub recording: Option<u64>,
    /// Who watches the recording.
    pub watchers: Vec<String>,
    /// What its program wants in the clipboard.
    pub clipboard: Option<String>,
    /// What its host asks before it begins, and how often it has asked.
    pub ask: Option<Question>,
    /// Goes up with every question.
    pub asked: u64,
    /// Keys went nowhere because the link was too slow for them.
    pub unsent: bool,
    /// What was typed before it was there.
    early: Vec<u8>,
    flow: Flow,
    line: Option<mpsc::Sender<Input>>,
    /// The size that was sent last.
    sent: Size,
}

impl Sessions {
    /// The sessions of a host.
    pub fn list(&self, host: HostId) -> Option<&Listed> {
        self.lists.get(&host)
    }

    /// All that are known, with their hosts.
    pub fn all(&self) -> impl Iterator<Item = (HostId, &Session)> {
        self.lists.iter().flat_map(|(host, list)| list.sessions.iter().map(|one| (*host, one)))
    }

    /// The one that is open for a pane.
    pub fn open(&self, owner: u64) -> Option<&Attached> {
        self.open.iter().find(|one| one.owner == owner)
    }

    fn open_mut(&mut self, owner: u64) -> Option<&mut Attached> {
        self.open.iter_mut().find(|one| one.owner == owner)
    }

    fn listed(&mut self, now_ms: u64, host: HostId, listing: Listing) {
        if !self.lists.contains_key(&host) && self.lists.len() >= HOSTS {
            let oldest = self.lists.iter().min_by_key(|(_, list)| list.came_ms).map(|(id, _)| *id);
            oldest.and_then(|id| self.lists.remove(&id));
        }
        let sessions = listing.sessions.into_iter().map(harmless).collect();
        self.lists.insert(host, Listed { sessions, came_ms: now_ms });
        self.version += 1;
    }
}

/// A session with texts that can be shown.
pub(crate) fn harmless(mut session: Session) -> Session {
    let s = &mut session;
    for text in [&mut s.id, &mut s.name, &mut s.operator, &mut s.user, &mut s.title, &mut s.ssh]
        .into_iter()
        .chain(&mut s.command)
        .chain(s.clients.iter_mut().map(|client| &mut client.operator))
    {
        if let std::borrow::Cow::Owned(cleaned) = clean(text) {
            *text = cleaned;
        }
    }
    session
}

impl Attached {
    fn new(owner: u64, host: HostId, size: Size) -> Self {
        Self {
            owner,
            host,
            screen: Screen::new((size.columns, size.rows)),
            id: String::new(),
            client: 0,
            mode: Mode::Drive,
            clients: Vec::new(),
            state: State::Opening,
            lost: 0,
            recording: None,
            watchers: Vec::new(),
            clipboard: None,
            ask: None,
            asked: 0,
            unsent: false,
            early: Vec::new(),
            flow: Flow::default(),
            line: None,
            sent: size,
        }
    }

    /// Those who look on beside us and the driver.
    pub fn watching(&self) -> usize {
        self.clients.iter().filter(|client| client.mode != Mode::Drive).count()
    }

    /// Who drives, when it is not us.
    pub fn driver(&self) -> Option<&Client> {
        self.clients.iter().find(|one| one.mode == Mode::Drive && one.id != self.client)
    }

    /// Whether what is typed arrives.
    pub fn is_live(&self) -> bool {
        self.state == State::Live && self.line.as_ref().is_some_and(|line| !line.is_closed())
    }

    fn send(&mut self, input: Input) {
        let Some(line) = &self.line else { return };
        match line.try_send(input) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => self.unsent = true,
            Err(mpsc::error::TrySendError::Closed(_)) => self.line = None,
        }
    }

    /// Whether what is typed arrives, or will when the session is there.
    pub fn takes_keys(&self) -> bool {
        self.is_live() || self.state == State::Opening
    }

    fn type_in(&mut self, bytes: &[u8]) {
        if self.state == State::Opening {
            if self.early.len() + bytes.len() > EARLY {
                self.unsent = true;
            } else {
                self.early.extend_from_slice(bytes);
            }
            return;
        }
        for piece in bytes.chunks(CHUNK) {
            self.send(Input { data: piece.to_vec(), ..Input::default() });
        }
    }

    fn take(&mut self, item: Item, rtt_us: Option<u64>) {
        if let Some(begun) = item.begun {
            self.id = clean(&begun.id).into_owned();
            (self.client, self.mode) = (begun.client, begun.mode);
            self.state = State::Live;
            let early = std::mem::take(&mut self.early);
            // Who only watches has typed for nobody.
            if self.mode == Mode::Drive {
                self.type_in(&early);
            }
        }
        if let Some(mut clients) = item.clients {
            for client in &mut clients {
                client.operator = clean(&client.operator).into_owned();
            }
            if let Some(own) = clients.iter().find(|client| client.id == self.client) {
                self.mode = own.mode;
            }
            self.clients = clients;
        }
        if item.fresh {
            let ground = self.screen.ground();
            self.screen = Screen::new(self.screen.size());
            self.screen.set_ground(ground);
        }
        if let Some(size) = item.size {
            self.screen.resize((size.columns, size.rows));
        }
        self.lost += item.lost.unwrap_or(0);
        if let Some(notice) = item.notice {
            self.recording = notice.recording.or(self.recording);
            if let Some(watchers) = notice.watchers {
                self.watchers =
                    watchers.iter().map(|watcher| clean(watcher).into_owned()).collect();
            }
        }
        if !item.output.is_empty() {
            self.screen.feed(&item.output);
            let answers = self.screen.answers();
            if self.mode == Mode::Drive && !answers.is_empty() {
                self.type_in(&answers);
            }
            // Only for who drives; and what was copied before is not copied anew.
            let ours = self.mode == Mode::Drive && !item.fresh;
            let text = self.screen.clipboard().filter(|text| ours && text.len() <= CLIPBOARD);
            if let Some(text) = text {
                self.clipboard = Some(text);
            }
            let credit = self.flow.took(item.output.len(), Instant::now(), rtt_us);
            if let Some(credit) = credit {
                self.send(credit);
            }
        }
        if let Some(exit) = item.exit {
            self.state = State::Ended(Some(exit));
            self.line = None;
        }
    }
}

/// A change to the session that is open for a pane.
fn change(owner: u64, change: impl FnOnce(&mut Attached) + Send + 'static) -> Update {
    Update::new(move |store| {
        if let Some(open) = store.sessions.open_mut(owner) {
            change(open);
        }
    })
}

/// The sessions of a host, as they were asked for once.
pub fn listed(host: HostId, listing: Listing) -> Update {
    Update::new(move |store| {
        let now_ms = store.now_ms;
        store.sessions.listed(now_ms, host, listing);
    })
}

/// A pane begins to hold a session; what it held before goes.
pub fn hold(owner: u64, host: HostId, size: Size) -> Update {
    Update::new(move |store| {
        // How the one before ended is nothing for this one.
        store.feeds.remove(&FeedKey::own::<Attach>(Some(host), owner));
        let open = &mut store.sessions.open;
        open.retain(|one| one.owner != owner);
        if open.len() >= SCREENS {
            open.remove(0);
        }
        open.push(Attached::new(owner, host, size));
    })
}

/// A pane holds none any more.
pub fn drop_it(owner: u64) -> Update {
    Update::new(move |store| store.sessions.open.retain(|one| one.owner != owner))
}

/// It is asked for.
pub fn opening(owner: u64) -> Update {
    change(owner, |open| {
        // What was typed while it was first asked for is still meant.
        if open.state != State::Opening {
            open.early.clear();
        }
        (open.state, open.line, open.lost) = (State::Opening, None, 0);
        open.clients.clear();
    })
}

/// It answers: what is typed goes here.
pub fn joined(owner: u64, size: Size, line: mpsc::Sender<Input>) -> Update {
    change(owner, move |open| {
        (open.line, open.sent) = (Some(line), size);
        open.flow = Flow::default();
        let window = Some(open.flow.window());
        open.send(Input { window, ..Input::default() });
    })
}

/// Something came of it.
pub fn item(owner: u64, item: Item) -> Update {
    Update::new(move |store| {
        let rtt_us = store.rtt_us.get();
        if let Some(open) = store.sessions.open_mut(owner) {
            open.take(item, rtt_us);
            store.hurried = true;
        }
    })
}

/// Its host asks something before it begins.
pub fn asks(owner: u64, question: Question) -> Update {
    change(owner, move |open| {
        open.ask = Some(question);
        open.asked += 1;
    })
}

/// What is said to that.
pub fn answer(owner: u64, answer: Answer) -> Update {
    change(owner, move |open| {
        open.ask = None;
        open.send(Input { answer: Some(answer), ..Input::default() });
    })
}

/// It is over, or the link to it is.
pub fn over(owner: u64, error: Option<CallError>) -> Update {
    Update::new(move |store| {
        let Some(open) = store.sessions.open_mut(owner) else { return };
        open.line = None;
        if !matches!(open.state, State::Ended(_)) {
            open.state = error.map_or(State::Ended(None), State::Cut);
        }
        store.hurried = true;
    })
}

/// Bytes for it.
pub fn type_in(owner: u64, bytes: Vec<u8>) -> Update {
    change(owner, move |open| {
        if open.screen.back() > 0 && !open.screen.is_looked_at() {
            open.screen.to_bottom();
        }
        open.type_in(&bytes);
    })
}

/// The pane has this size.
pub fn resize(owner: u64, size: Size) -> Update {
    Update::new(move |store| {
        let Some(open) = store.sessions.open_mut(owner) else { return };
        if open.sent == size {
            return;
        }
        open.sent = size;
        if open.mode == Mode::Drive {
            open.screen.resize((size.columns, size.rows));
        }
        open.send(Input { size: Some(size), ..Input::default() });
        store.hurried = true;
    })
}

/// Drives from now on.
pub fn take_over(owner: u64) -> Update {
    change(owner, |open| {
        let size = Some(open.sent);
        open.send(Input { take: true, size, ..Input::default() });
    })
}

/// Lets another client drive.
pub fn give(owner: u64, client: u32) -> Update {
    change(owner, move |open| open.send(Input { give: Some(client), ..Input::default() }))
}

/// Looks at another part of the screen, selects in it, or the like.
pub fn look(owner: u64, look: impl FnOnce(&mut Screen) + Send + 'static) -> Update {
    Update::new(move |store| {
        if let Some(open) = store.sessions.open_mut(owner) {
            look(&mut open.screen);
            store.hurried = true;
        }
    })
}

/// What was for the clipboard is dealt with.
pub fn clipboard_done(owner: u64) -> Update {
    change(owner, |open| open.clipboard = None)
}

/// That keys went nowhere was told.
pub fn unsent_told(owner: u64) -> Update {
    change(owner, |open| open.unsent = false)
}

impl Attached {
    /// The size that the host was told last.
    pub const fn sent(&self) -> Size {
        self.sent
    }
}

impl Stored for Watch {
    fn apply(store: &mut Store, host: Option<HostId>, item: Listing) {
        if let Some(host) = host {
            store.sessions.listed(store.now_ms, host, item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: HostId = HostId([1; 16]);

    fn size(columns: u16, rows: u16) -> Size {
        Size { columns, rows }
    }

    fn joined_store() -> (Store, mpsc::Receiver<Input>) {
        let mut store = Store::new(0, 0, false);
        let (line, typed) = mpsc::channel(WAITING);
        store.apply(hold(1, HOST, size(20, 4)));
        store.apply(joined(1, size(20, 4), line));
        (store, typed)
    }

    fn inputs(typed: &mut mpsc::Receiver<Input>) -> Vec<Input> {
        std::iter::from_fn(|| typed.try_recv().ok()).collect()
    }

    fn came(store: &mut Store, item: Item) {
        store.apply(super::item(1, item));
    }

    #[test]
    fn output_is_shown_and_what_it_asks_is_answered_only_by_who_drives() {
        let (mut store, mut typed) = joined_store();
        let begun =
            |mode| Some(cmdr_protocol::sessions::Begun { id: "abc".into(), client: 7, mode });
        inputs(&mut typed);
        came(&mut store, Item { begun: begun(Mode::Drive), ..Item::default() });
        came(&mut store, Item { output: b"hi\x1b[6n".to_vec(), ..Item::default() });
        let open = store.sessions.open(1).expect("open");
        assert_eq!((open.screen.line(0).trim(), open.is_live()), ("hi", true));
        assert_eq!(inputs(&mut typed)[0].data, b"\x1b[1;3R");
        came(&mut store, Item { begun: begun(Mode::Watch), ..Item::default() });
        came(&mut store, Item { output: b"\x1b[6n".to_vec(), ..Item::default() });
        assert_eq!(inputs(&mut typed), []);
    }

    #[test]
    fn a_screen_that_is_drawn_anew_forgets_the_old_one() {
        let (mut store, _typed) = joined_store();
        came(&mut store, Item { output: b"old\r\nlines".to_vec(), ..Item::default() });
        let output = b"new\x1b]52;c;aGk=\x07".to_vec();
        came(&mut store, Item { fresh: true, output, ..Item::default() });
        let open = store.sessions.open(1).expect("open");
        assert_eq!([open.screen.line(0).trim(), open.screen.line(1).trim()], ["new", ""]);
        assert_eq!(open.clipboard, None, "what was copied then is not copied now");
    }

    #[test]
    fn what_is_typed_while_a_session_is_asked_for_is_sent_when_it_is_there_and_is_bounded() {
        let (mut store, mut typed) = joined_store();
        inputs(&mut typed);
        for text in ["make", " test\r"] {
            store.apply(type_in(1, text.into()));
        }
        store.apply(type_in(1, vec![b'x'; EARLY]));
        assert_eq!(inputs(&mut typed), [], "nobody is there to take it");
        assert!(store.sessions.open(1).expect("open").unsent, "what is too much is told of");
        let begun = |mode| cmdr_protocol::sessions::Begun { id: "abc".into(), client: 7, mode };
        came(&mut store, Item { begun: Some(begun(Mode::Drive)), ..Item::default() });
        assert_eq!(inputs(&mut typed)[0].data, b"make test\r");
        store.apply(type_in(1, b"y".to_vec()));
        assert_eq!(inputs(&mut typed)[0].data, b"y", "and then each key by itself");
        // Asked for again, and another drives by then: what was typed is for nobody.
        store.apply(opening(1));
        store.apply(type_in(1, b"z".to_vec()));
        let (line, mut typed) = mpsc::channel(WAITING);
        store.apply(joined(1, size(20, 4), line));
        came(&mut store, Item { begun: Some(begun(Mode::Watch)), ..Item::default() });
        let data: Vec<_> = inputs(&mut typed).into_iter().map(|input| input.data).collect();
        assert!(data.iter().all(Vec::is_empty), "who watches types for nobody: {data:?}");
    }

    #[test]
    fn taken_bytes_are_credited_and_at_most_so_many_screens_are_kept() {
        let (mut store, mut typed) = joined_store();
        inputs(&mut typed);
        for _ in 0..8 {
            came(&mut store, Item { output: vec![b'x'; 4096], ..Item::default() });
        }
        let last = inputs(&mut typed).into_iter().filter_map(|input| input.taken).max();
        assert!(last.is_some_and(|taken| taken >= 24 * 1024), "{last:?}");
        for owner in 2..20 {
            store.apply(hold(owner, HOST, size(20, 4)));
        }
        assert_eq!(store.sessions.open.len(), SCREENS);
    }

    #[test]
    fn an_end_stays_known_and_a_cut_link_is_no_end() {
        let (mut store, _typed) = joined_store();
        came(&mut store, Item { output: b"x".to_vec(), ..Item::default() });
        store.apply(over(1, Some(CallError::lost("cut"))));
        assert!(matches!(store.sessions.open(1).expect("open").state, State::Cut(_)));
        let exit = Exit { code: 3, ..Exit::default() };
        came(&mut store, Item { exit: Some(exit), ..Item::default() });
        store.apply(over(1, Some(CallError::lost("the feed ended"))));
        assert_eq!(store.sessions.open(1).expect("open").state, State::Ended(Some(exit)));
    }

    #[test]
    fn only_who_drives_has_the_size_of_its_own_screen() {
        let (mut store, mut typed) = joined_store();
        inputs(&mut typed);
        store.apply(resize(1, size(30, 5)));
        assert_eq!(store.sessions.open(1).expect("open").screen.size(), (30, 5));
        assert_eq!(inputs(&mut typed)[0].size, Some(size(30, 5)));
        let clients = vec![Client { id: 0, mode: Mode::Watch, ..Client::default() }];
        came(
            &mut store,
            Item { clients: Some(clients), size: Some(size(90, 9)), ..Item::default() },
        );
        store.apply(resize(1, size(40, 6)));
        assert_eq!(store.sessions.open(1).expect("open").screen.size(), (90, 9));
    }
}
