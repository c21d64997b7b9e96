//! Sessions as a hub sees them: over a real link, with real holders.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use cmdr_protocol::exec::{Exit, Outcome};
use cmdr_protocol::sessions::*;
use cmdr_protocol::{ErrorKind, Feed};
use common::{Items, World};

fn sh(script: &str) -> Open {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    Open { argv, size: Size { columns: 80, rows: 24 }, ..Open::default() }
}

/// Somebody who is attached, with all they have seen.
struct Seat<F: Feed> {
    items: Items<F>,
    seen: Vec<u8>,
    taken: u64,
    last: Item,
}

impl<F: Feed<Item = Item, Input = Input>> Seat<F> {
    /// Takes a seat; says the session's number too.
    async fn take(world: &World, feed: F) -> (Self, String) {
        let items = world.feed(&feed).await.unwrap();
        let mut seat = Self { items, seen: Vec::new(), taken: 0, last: Item::default() };
        assert!(seat.next().await);
        let begun = seat.last.begun.clone().unwrap();
        (seat, begun.id)
    }

    /// Takes in the next item; false at the end.
    async fn next(&mut self) -> bool {
        let Some(item) = self.items.next().await.unwrap() else { return false };
        if item.fresh {
            self.seen.clear();
        }
        self.seen.extend_from_slice(&item.output);
        self.taken += item.output.len() as u64;
        self.last = item;
        if self.last.exit.is_none() {
            self.items.send(&Input { taken: Some(self.taken), ..Input::default() }).await;
        }
        true
    }

    async fn until(&mut self, text: &str) {
        while !self.shows(text) {
            assert!(self.next().await, "no '{text}' in {}", String::from_utf8_lossy(&self.seen));
        }
    }

    fn shows(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.seen).contains(text)
    }

    async fn types(&mut self, keys: &str) {
        self.items.send(&Input { data: keys.into(), ..Input::default() }).await;
    }

    /// Waits for the end.
    async fn exit(&mut self) -> Exit {
        loop {
            if let Some(exit) = self.last.exit {
                assert!(!self.next().await);
                return exit;
            }
            assert!(self.next().await, "it ended without saying how");
        }
    }
}

fn again(id: &str, mode: Mode) -> Attach {
    Attach { id: id.to_owned(), mode, opened: sh("").resource(), ..Attach::default() }
}

#[tokio::test]
async fn a_session_is_typed_into_and_its_end_is_told() {
    let world = World::new().await;
    let (mut ann, id) = Seat::take(&world, sh("read x; echo \"got <$x>\"; exit 3")).await;
    assert_eq!(id.len(), 10);
    ann.types("hello\r").await;
    let exit = ann.exit().await;
    assert!(ann.shows("got <hello>"));
    assert_eq!((exit.outcome, exit.code), (Outcome::Exited, 3));
    // Who comes after the end learns of it, and sees what it showed last.
    let (mut late, _) = Seat::take(&world, again(&id, Mode::Drive)).await;
    assert_eq!(late.exit().await.code, 3);
    assert!(late.shows("got <hello>"));
    assert!(world.call(&List {}).await.unwrap().sessions.is_empty());
}

#[tokio::test]
async fn a_session_is_found_again_by_who_has_left_it_and_ended_when_it_shall() {
    let world = World::new().await;
    let open = sh("echo first; read x; echo \"second $x\"; sleep 60");
    let (mut ann, id) = Seat::take(&world, open).await;
    ann.until("first").await;
    drop(ann);
    let (mut ann, _) = Seat::take(&world, again(&id, Mode::Drive)).await;
    ann.until("first").await;
    ann.types("x\r").await;
    ann.until("second x").await;
    let listed = world.call(&List {}).await.unwrap().sessions;
    assert_eq!((listed.len(), listed[0].id.as_str()), (1, id.as_str()));
    assert_eq!((listed[0].operator.as_str(), listed[0].clients.len()), ("ann", 1));
    world.call(&End { id: id.clone() }).await.unwrap();
    let exit = ann.exit().await;
    assert_eq!((exit.outcome, exit.code), (Outcome::Closed, 1));
    let error = world.call(&End { id: "aaaaaaaaaa".into() }).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}
