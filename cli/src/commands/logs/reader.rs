//! One source of one host, read to its end. When the way there is cut it is taken up again behind the
//! last line that came.

use cmdr_link::Client;
use cmdr_link::session::Session;
use cmdr_protocol::logs::{Follow, Item};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Items of one source that wait for their turn; then the host waits.
const WAITING: usize = 4;
/// Pauses between tries, from the first to the longest.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// How a host is asked.
#[derive(Clone)]
pub(super) enum Way {
    Client(Client),
    Session(Session),
}

/// What a reader tells.
pub(super) enum Event {
    /// Lines; the permit is given back when the last of them was written.
    Item(Box<Item>, OwnedSemaphorePermit),
    /// The way is cut, and tried again.
    Down(CallError),
    /// It is there again.
    Up,
    /// Nothing more comes.
    End(Result<(), CallError>),
}

/// A reader.
pub(super) struct Reader {
    at: usize,
    host: HostId,
    ask: Follow,
    way: Way,
    events: mpsc::Sender<(usize, Event)>,
    room: Arc<Semaphore>,
    /// Lines that came after the place to go on from.
    ahead: usize,
    /// Of those that come again, so many came before.
    again: usize,
    down: bool,
    tries: usize,
}

/// Whether it may be there again later.
const fn is_passing(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Lost
            | ErrorKind::Unreachable
            | ErrorKind::TimedOut
            | ErrorKind::Busy
            | ErrorKind::Cancelled
    )
}

impl Reader {
    pub(super) fn new(
        at: usize,
        host: HostId,
        ask: Follow,
        way: Way,
        events: mpsc::Sender<(usize, Event)>,
    ) -> Self {
        let room = Arc::new(Semaphore::new(WAITING));
        Self { at, host, ask, way, events, room, ahead: 0, again: 0, down: false, tries: 0 }
    }

    async fn tell(&self, event: Event) {
        // Nobody listens when all is being ended.
        self.events.send((self.at, event)).await.ok();
    }

    /// Reads to the end.
    pub(super) async fn run(mut self) {
        loop {
            let end = self.once().await;
            match end {
                Err(error) if self.ask.follow && is_passing(error.kind) => {
                    if !self.down {
                        self.down = true;
                        self.tell(Event::Down(error)).await;
                    }
                    self.again = if self.ask.from.is_some() { self.ahead } else { 0 };
                    tokio::time::sleep(PAUSES[self.tries.min(PAUSES.len() - 1)]).await;
                    self.tries += 1;
                }
                end => return self.tell(Event::End(end)).await,
            }
        }
    }

    async fn once(&mut self) -> Result<(), CallError> {
        let mut feed = match &self.way {
            Way::Client(client) => client.feed(Some(self.host), &self.ask).await?,
            Way::Session(session) => session.feed(Some(self.host), self.ask.clone()).await?,
        };
        while let Some(item) = feed.next().await {
            let mut item = item?;
            if self.down {
                (self.down, self.tries) = (false, 0);
                self.tell(Event::Up).await;
            }
            self.count(&mut item);
            let Ok(permit) = self.room.clone().acquire_owned().await else { return Ok(()) };
            self.tell(Event::Item(Box::new(item), permit)).await;
        }
        Ok(())
    }

    /// Notes where to go on from, and takes out what came before the cut.
    fn count(&mut self, item: &mut Item) {
        let came = item.lines.len();
        let known = self.again.min(came);
        item.lines.drain(..known);
        self.again -= known;
        match &item.place {
            Some(place) => {
                self.ask.from = Some(place.clone());
                (self.ahead, self.again) = (0, 0);
            }
            None => self.ahead += came - known,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::logs::{At, Line};

    fn item(lines: &[&str], place: Option<u64>) -> Item {
        let line = |text: &&str| Line { bytes: text.as_bytes().to_vec(), ..Line::default() };
        let place = place.map(|offset| At { offset: Some(offset), ..At::default() });
        Item { lines: lines.iter().map(line).collect(), place, ..Item::default() }
    }

    #[test]
    fn what_came_before_a_cut_without_a_place_is_not_shown_twice() {
        let (events, _kept) = mpsc::channel(1);
        let client = Follow { follow: true, ..Follow::default() };
        let room = Arc::new(Semaphore::new(1));
        let way = Way::Session(fake());
        let mut reader = Reader {
            at: 0,
            host: HostId([0; 16]),
            ask: client,
            way,
            events,
            room,
            ahead: 0,
            again: 0,
            down: false,
            tries: 0,
        };
        reader.count(&mut item(&["1"], Some(1)));
        reader.count(&mut item(&["2", "3"], None));
        // The cut: from place 1 all comes again.
        reader.again = reader.ahead;
        let mut first = item(&["2"], None);
        reader.count(&mut first);
        assert!(first.lines.is_empty());
        let mut second = item(&["3", "4"], Some(4));
        reader.count(&mut second);
        assert_eq!(second.lines.len(), 1);
        assert_eq!((reader.ahead, reader.again), (0, 0));
    }

    fn fake() -> Session {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let key = cmdr_link::SecretKey::generate().unwrap();
        let target = cmdr_link::link::Target { address: "127.0.0.1:1".into(), hub: key.public() };
        let context = cmdr_link::context::Context { target, key, dir: None };
        Session::start(cmdr_link::session::Dialer::client(context, "test"))
    }
}
