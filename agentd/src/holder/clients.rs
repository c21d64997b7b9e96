//! Who is attached to a session, and what each has been sent.

use super::output::Output;
use super::wire::Attach;
use cmdr_protocol::exec::Exit;
use cmdr_protocol::sessions::{Begun, CHUNK, Client, Item, Mode, Size, WINDOW};
use cmdr_protocol::{CallError, ErrorKind};

/// At once.
const MOST: usize = 32;
/// The least that a client may say it takes.
const NARROW: u32 = 4096;
/// Less than this is not worth sending for itself while more is to come.
const WORTH: usize = 1024;

/// Somebody who is attached.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) client: Client,
    /// May never drive.
    only_watches: bool,
    begun: bool,
    /// It is sent what came from the first byte on instead of a picture.
    from_start: bool,
    /// Who is attached has changed since it was told.
    news: bool,
    /// Bytes of output that it was sent, and those that it has taken in.
    sent: u64,
    taken: u64,
    window: u32,
    /// What draws the screen anew and was not sent yet.
    redraw: Vec<u8>,
    /// How far of that it is.
    drawn: usize,
    /// The place in the output that follows; none before the first screen and when it has fallen behind.
    at: Option<u64>,
    /// The place from which on it was left out.
    behind_since: Option<u64>,
    /// The size it was told last.
    size: Option<Size>,
    /// It has more keys than the terminal takes.
    pub(super) stalled: bool,
    over: bool,
}

impl Attached {
    fn room(&self) -> usize {
        u64::from(self.window).saturating_sub(self.sent - self.taken) as usize
    }

    /// Bytes on their way to it.
    fn under_way(&self, output: &Output) -> u64 {
        let redraw = self.redraw.len() - self.drawn;
        let waiting = self.at.map_or(0, |at| output.end() - at);
        (self.sent - self.taken) + redraw as u64 + waiting
    }
}

/// What a client gets next.
#[derive(Debug)]
pub(super) enum Next {
    Item(Box<Item>),
    /// Nothing yet.
    Wait,
    /// It has everything, to the end.
    Over,
}

/// All who are attached.
#[derive(Debug, Default)]
pub(super) struct Clients {
    all: Vec<Attached>,
    last: u32,
}

impl Clients {
    /// Whether anybody has ever been attached.
    pub(super) const fn had_any(&self) -> bool {
        self.last > 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// As others see them, the driver first.
    pub(super) fn shown(&self) -> Vec<Client> {
        let mut shown: Vec<_> = self.all.iter().map(|a| a.client.clone()).collect();
        shown.sort_by_key(|client| (client.mode != Mode::Drive, client.id));
        shown
    }

    pub(super) fn driver(&self) -> Option<&Attached> {
        self.all.iter().find(|a| a.client.mode == Mode::Drive)
    }

    pub(super) fn get(&mut self, id: u32) -> Option<&mut Attached> {
        self.all.iter_mut().find(|a| a.client.id == id)
    }

    pub(super) fn drives(&self, id: u32) -> bool {
        self.driver().is_some_and(|driver| driver.client.id == id)
    }

    pub(super) fn add(&mut self, who: &Attach, now_ms: u64) -> Result<u32, CallError> {
        if self.all.len() >= MOST {
            let what = format!("{MOST} clients are attached to this session already");
            return Err(CallError::new(ErrorKind::Busy, what));
        }
        self.last = self.last.wrapping_add(1).max(1);
        let client = Client {
            id: self.last,
            operator: who.operator.clone(),
            mode: Mode::Watch,
            since_ms: now_ms,
        };
        self.all.push(Attached {
            client,
            only_watches: who.only_watch,
            begun: false,
            from_start: who.new,
            news: true,
            sent: 0,
            taken: 0,
            window: WINDOW,
            redraw: Vec::new(),
            drawn: 0,
            at: None,
            behind_since: None,
            size: None,
            stalled: false,
            over: false,
        });
        if who.mode == Mode::Drive {
            self.hand_over(self.last);
        }
        self.tell();
        Ok(self.last)
    }

    pub(super) fn remove(&mut self, id: u32) {
        self.all.retain(|a| a.client.id != id);
        self.tell();
    }

    fn tell(&mut self) {
        for attached in &mut self.all {
            attached.news = true;
        }
    }

    /// Lets this one drive, if it may; whether that changed anything.
    pub(super) fn hand_over(&mut self, to: u32) -> bool {
        let may = |a: &Attached| a.client.id == to && !a.only_watches;
        if self.drives(to) || !self.all.iter().any(may) {
            return false;
        }
        for attached in &mut self.all {
            let drives = attached.client.id == to;
            attached.client.mode = if drives { Mode::Drive } else { Mode::Watch };
            attached.stalled = false;
        }
        self.tell();
        true
    }

    /// What a client says of itself: what it has taken in, and how much may be under way to it.
    pub(super) fn pace(&mut self, id: u32, taken: Option<u64>, window: Option<u32>) {
        let Some(attached) = self.get(id) else { return };
        if let Some(taken) = taken {
            attached.taken = attached.taken.max(taken.min(attached.sent));
        }
        if let Some(window) = window {
            attached.window = window.clamp(NARROW, WINDOW);
        }
    }

    /// How many bytes may be read from the terminal: nobody waits for those who only watch.
    pub(super) fn room(&self, output: &Output, most: usize) -> usize {
        let Some(driver) = self.driver().filter(|driver| !driver.stalled) else { return most };
        let room = u64::from(driver.window).saturating_sub(driver.under_way(output)) as usize;
        if room < WORTH { 0 } else { room.min(most) }
    }

    /// What this one gets next. `draw` draws the screen, the first one with all its scrollback.
    pub(super) fn next(
        &mut self,
        id: u32,
        output: &Output,
        exit: Option<Exit>,
        session: &str,
        draw: impl FnOnce(bool) -> Vec<u8>,
    ) -> Next {
        let shown = self.shown();
        let Some(attached) = self.get(id) else { return Next::Over };
        if attached.over {
            return Next::Over;
        }
        let mut item = Item::default();
        let mut says = false;
        let first = !attached.begun;
        if first {
            attached.begun = true;
            let mode = attached.client.mode;
            item.begun = Some(Begun { id: session.to_owned(), client: id, mode });
            says = true;
        }
        if std::mem::take(&mut attached.news) {
            item.clients = Some(shown);
            says = true;
        }
        if attached.at.is_some_and(|at| at < output.begin()) {
            attached.behind_since = attached.at.take();
            (attached.redraw, attached.drawn) = (Vec::new(), 0);
        }
        let room = attached.room();
        // Whoever has fallen behind is drawn the screen when it can take some of it.
        if attached.at.is_none() && (first || room >= attached.window as usize / 2) {
            let whole = std::mem::take(&mut attached.from_start) && output.begin() == 0;
            attached.redraw = if whole { Vec::new() } else { draw(first) };
            attached.drawn = 0;
            attached.at = Some(if whole { 0 } else { output.end() });
            attached.size = None;
            item.fresh = true;
            item.lost = attached.behind_since.take().map(|since| output.end() - since);
            says = true;
        }
        let most = CHUNK.min(room);
        let left = attached.redraw.len() - attached.drawn;
        if left > 0 {
            if most >= WORTH.min(left) {
                let end = attached.drawn + most.min(left);
                item.output = attached.redraw[attached.drawn..end].to_vec();
                attached.drawn = end;
                if attached.drawn == attached.redraw.len() {
                    (attached.redraw, attached.drawn) = (Vec::new(), 0);
                }
                let (_, size) = output.piece(attached.at.unwrap_or_default(), 0);
                item.size = (attached.size != Some(size)).then_some(size);
                attached.size = Some(size);
                says = true;
            }
        } else if let Some(at) = attached.at {
            let waiting = (output.end() - at) as usize;
            let most = if most >= WORTH.min(waiting) { most } else { 0 };
            let (piece, size) = output.piece(at, most);
            if attached.size != Some(size) {
                item.size = Some(size);
                attached.size = Some(size);
                says = true;
            }
            says |= !piece.is_empty();
            attached.at = Some(at + piece.len() as u64);
            item.output = piece;
        }
        attached.sent += item.output.len() as u64;
        let has_all = attached.redraw.is_empty() && attached.at == Some(output.end());
        if let Some(exit) = exit.filter(|_| has_all) {
            item.exit = Some(exit);
            attached.over = true;
            says = true;
        }
        if says { Next::Item(Box::new(item)) } else { Next::Wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size() -> Size {
        Size { columns: 80, rows: 24 }
    }

    fn who(mode: Mode) -> Attach {
        Attach { operator: "ann".into(), mode, size: size(), only_watch: false, new: false }
    }

    fn next(clients: &mut Clients, id: u32, output: &Output) -> Option<Item> {
        match clients.next(id, output, None, "s", |first| {
            if first { b"all".to_vec() } else { b"new".to_vec() }
        }) {
            Next::Item(item) => Some(*item),
            _ => None,
        }
    }

    #[test]
    fn the_driver_is_waited_for_and_gets_every_byte() {
        let (mut clients, mut output) = (Clients::default(), Output::new(size()));
        let id = clients.add(&who(Mode::Drive), 0).unwrap();
        let first = next(&mut clients, id, &output).unwrap();
        assert!(first.fresh && first.begun.is_some() && first.clients.is_some());
        assert_eq!((first.output.as_slice(), first.size), (&b"all"[..], Some(size())));
        let mut got = 3;
        // It takes nothing in: so much is read and no more.
        loop {
            let room = clients.room(&output, 10_000);
            if room == 0 {
                break;
            }
            output.push(&vec![b'x'; room]);
            while let Some(item) = next(&mut clients, id, &output) {
                assert!(item.lost.is_none() && !item.fresh);
                got += item.output.len() as u64;
            }
        }
        assert!(got <= u64::from(WINDOW) && got > u64::from(WINDOW) - 2048, "{got}");
        clients.pace(id, Some(got), Some(8192));
        assert_eq!(clients.room(&output, 100_000), 8192);
    }

    #[test]
    fn who_watches_too_slowly_is_told_what_it_missed_and_drawn_the_screen() {
        let (mut clients, mut output) = (Clients::default(), Output::new(size()));
        let id = clients.add(&who(Mode::Watch), 0).unwrap();
        next(&mut clients, id, &output).unwrap();
        output.push(&vec![b'x'; 300_000]);
        let mut got = 3;
        while let Some(item) = next(&mut clients, id, &output) {
            got += item.output.len() as u64;
        }
        for _ in 0..10 {
            assert_eq!(clients.room(&output, 100_000), 100_000);
            output.push(&vec![b'x'; 100_000]);
            assert_eq!(next(&mut clients, id, &output), None);
        }
        clients.pace(id, Some(got), None);
        let item = next(&mut clients, id, &output).unwrap();
        assert_eq!((item.fresh, item.output.as_slice()), (true, &b"new"[..]));
        assert_eq!(item.lost, Some(1_300_000 - (got - 3)));
    }

    #[test]
    fn one_drives_and_who_joined_to_watch_never_does() {
        let mut clients = Clients::default();
        let first = clients.add(&who(Mode::Drive), 0).unwrap();
        let second = clients.add(&who(Mode::Drive), 0).unwrap();
        assert!(clients.drives(second) && !clients.drives(first));
        assert!(clients.hand_over(first));
        let looker = Attach { only_watch: true, ..who(Mode::Watch) };
        let looker = clients.add(&looker, 0).unwrap();
        assert!(!clients.hand_over(looker));
        assert!(!clients.hand_over(4711));
        let modes: Vec<_> = clients.shown().iter().map(|c| (c.id, c.mode)).collect();
        assert_eq!(modes[0], (first, Mode::Drive));
        clients.remove(first);
        assert!(clients.driver().is_none());
    }
}
