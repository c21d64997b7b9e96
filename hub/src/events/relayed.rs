//! What happens on hosts and passes through here: sessions and edits. Told when the host has said that it was done,
//! and nothing of what passes is told but that.

use crate::server::Hub;
use bytes::{Buf as _, Bytes, BytesMut};
use cmdr_link::codec;
use cmdr_link::frame::Tag;
use cmdr_link::relay::{Ended, Tap, Tapped};
use cmdr_protocol::edits::{self, ArmedEnd, SaveEnd, Saving};
use cmdr_protocol::envelope::{Caller, Header};
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::sessions::{self, Item};
use cmdr_protocol::{Call as _, CallError, Feed as _, inside, ssh};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// A session tells that it has begun within so many items, each of at most so many bytes.
const ITEMS: usize = 32;
const LARGEST: usize = 512;

/// These begin sessions, and these come back to one.
const BEGIN: [&str; 3] = [sessions::Open::METHOD, ssh::Open::METHOD, inside::Open::METHOD];
const COME_BACK: [&str; 2] = [sessions::Attach::METHOD, sessions::Join::METHOD];

/// What is followed of one request.
pub(crate) struct Following<'a> {
    hub: &'a Arc<Hub>,
    header: &'a Header,
    event: Event,
    /// The session that it is about, once that is known.
    session: Arc<Mutex<String>>,
}

impl<'a> Following<'a> {
    /// Follows a request to a host, when it is one of which something is told.
    pub(crate) fn of(hub: &'a Arc<Hub>, caller: &Caller, header: &'a Header) -> Option<Self> {
        let method = header.method.as_str();
        let told = ["sessions.", "edits."].iter().any(|feature| method.starts_with(feature));
        if header.to.is_none() || !(told || BEGIN.contains(&method)) {
            return None;
        }
        let event = Event {
            host: header.to,
            host_name: header.to.and_then(|host| hub.fleet.name(host)).unwrap_or_default(),
            operator: caller.operator.clone(),
            ..Event::default()
        };
        // One that is begun says later which it is.
        let known = !BEGIN.contains(&method);
        let session = header.resource.rsplit_once("session:").filter(|_| known);
        let session = session.map(|(_, id)| id.to_owned());
        let session = Arc::new(Mutex::new(session.unwrap_or_default()));
        Some(Self { hub, header, event, session })
    }

    /// Listens for the beginning of a session, beside whoever listens already.
    pub(crate) fn tap(&self, inner: Tapped) -> Tapped {
        if !BEGIN.contains(&self.header.method.as_str()) {
            return inner;
        }
        Some(Box::new(Hearing {
            inner,
            hub: self.hub.clone(),
            event: Event { what: What::SessionBegun, ..self.event.clone() },
            session: self.session.clone(),
            frames: Some(Frames::default()),
        }))
    }

    /// It has ended.
    pub(crate) fn ended(&self, ended: &Ended) -> Option<Event> {
        let last = ended.last.as_deref();
        let method = self.header.method.as_str();
        if BEGIN.contains(&method) || COME_BACK.contains(&method) {
            let item: Item = codec::decode(last?).ok()?;
            item.exit.as_ref()?;
            return self.session_ended();
        }
        ended.result.as_ref().ok()?;
        let event = |what, message: &str| {
            let (about, message) = (self.header.resource.clone(), message.to_owned());
            Some(Event { what, about, message, ..self.event.clone() })
        };
        match method {
            sessions::End::METHOD | sessions::EndAny::METHOD => self.session_ended(),
            edits::Save::METHOD | edits::Restore::METHOD => {
                let again =
                    if method == edits::Restore::METHOD { "an earlier version again" } else { "" };
                let Some(last) = last else {
                    return event(
                        What::EditSaved,
                        "or tried: what came of it was too long to be looked at",
                    );
                };
                let saving: Saving = codec::decode(last).ok()?;
                let armed =
                    if saving.armed.is_some() { "undone unless it is confirmed" } else { "" };
                let words: Vec<_> = [again, armed].into_iter().filter(|w| !w.is_empty()).collect();
                (saving.result.how == SaveEnd::Saved)
                    .then(|| event(What::EditSaved, &words.join(", ")))?
            }
            edits::Confirm::METHOD => event(What::EditConfirmed, ""),
            edits::Revert::METHOD => {
                let how =
                    last.and_then(|last| codec::decode::<edits::Ended>(last).ok()).map(|e| e.how);
                match how {
                    Some(ArmedEnd::Changed | ArmedEnd::Failed | ArmedEnd::Never) => None,
                    _ => event(What::EditReverted, ""),
                }
            }
            _ => None,
        }
    }

    fn session_ended(&self) -> Option<Event> {
        let id = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let about = format!("session:{id}");
        (!id.is_empty()).then(|| Event { what: What::SessionEnded, about, ..self.event.clone() })
    }
}

/// Listens until the session has begun.
struct Hearing {
    inner: Tapped,
    hub: Arc<Hub>,
    event: Event,
    session: Arc<Mutex<String>>,
    /// Absent when it has begun, or will not.
    frames: Option<Frames>,
}

impl Tap for Hearing {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.as_mut().map_or(Poll::Ready(()), |tap| tap.poll_room(cx))
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<CallError> {
        self.inner.as_mut().map_or(Poll::Pending, |tap| tap.poll_stop(cx))
    }

    fn poll_say(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        self.inner.as_mut().map_or(Poll::Pending, |tap| tap.poll_say(cx))
    }

    fn back(&mut self, piece: &Bytes) {
        if let Some(frames) = &mut self.frames {
            match frames.push(piece) {
                Heard::Begun(id) => {
                    self.frames = None;
                    let about = format!("session:{id}");
                    *self.session.lock().unwrap_or_else(PoisonError::into_inner) = id;
                    self.hub.fleet.events.tell(Event { about, ..self.event.clone() });
                }
                Heard::Never => self.frames = None,
                Heard::Nothing => {}
            }
        }
        if let Some(tap) = &mut self.inner {
            tap.back(piece);
        }
    }

    fn forth(&mut self, piece: &Bytes) {
        if let Some(tap) = &mut self.inner {
            tap.forth(piece);
        }
    }
}

/// What the first items said.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    Begun(String),
    Never,
}

/// The first frames of an answer, put together.
#[derive(Default)]
struct Frames {
    held: BytesMut,
    items: usize,
}

impl Frames {
    fn push(&mut self, piece: &Bytes) -> Heard {
        self.held.extend_from_slice(piece);
        loop {
            let Some(head) = self.held.first_chunk::<5>() else { return Heard::Nothing };
            let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
            if head[4] != Tag::Body as u8 || len == 0 || len > LARGEST || self.items >= ITEMS {
                return Heard::Never;
            }
            if self.held.len() < 4 + len {
                return Heard::Nothing;
            }
            let mut frame = self.held.split_to(4 + len);
            frame.advance(5);
            self.items += 1;
            match codec::decode::<Item>(&frame) {
                Ok(Item { begun: Some(begun), .. }) if sane(&begun.id) => {
                    return Heard::Begun(begun.id);
                }
                Ok(_) => {}
                Err(_) => return Heard::Never,
            }
        }
    }
}

fn sane(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::sessions::Begun;

    fn frame(item: &Item) -> Vec<u8> {
        let body = codec::encode(item).unwrap();
        let mut frame = (body.len() as u32 + 1).to_be_bytes().to_vec();
        frame.push(Tag::Body as u8);
        frame.extend(body);
        frame
    }

    fn begun(id: &str) -> Item {
        let begun = Begun { id: id.to_owned(), ..Begun::default() };
        Item { begun: Some(begun), ..Item::default() }
    }

    #[test]
    fn a_session_has_begun_when_its_host_says_so_however_the_bytes_come() {
        let all =
            [frame(&Item { fresh: true, ..Item::default() }), frame(&begun("abc234"))].concat();
        for size in 1..all.len() {
            let mut frames = Frames::default();
            let mut heard: Vec<_> =
                all.chunks(size).map(|piece| frames.push(&Bytes::copy_from_slice(piece))).collect();
            assert_eq!(heard.pop(), Some(Heard::Begun("abc234".to_owned())), "{size}");
            assert!(heard.iter().all(|heard| *heard == Heard::Nothing));
        }
    }

    #[test]
    fn what_a_host_sends_instead_is_not_listened_to() {
        let long = Item { output: vec![0; 2 * LARGEST], ..Item::default() };
        let not = begun("a b\u{1b}");
        let many = frame(&Item { fresh: true, ..Item::default() }).repeat(ITEMS + 1);
        for bytes in [frame(&long), vec![0; 64], vec![255; 64], many] {
            assert_eq!(Frames::default().push(&bytes.into()), Heard::Never);
        }
        assert_eq!(Frames::default().push(&frame(&not).into()), Heard::Nothing);
        let error = [0, 0, 0, 2, Tag::Error as u8, 0];
        assert_eq!(Frames::default().push(&Bytes::copy_from_slice(&error)), Heard::Never);
    }
}
