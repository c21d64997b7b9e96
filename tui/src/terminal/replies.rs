//! What the terminal answers when it is asked for the colour of its ground (OSC 11). The answer comes
//! among the keys; it is taken out here, and whatever only began like one goes on as keys: at once when it
//! reads on differently, after a moment when nothing follows it.

use super::flow::Flow;
use crate::event::Event;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures::{Stream, StreamExt as _};
use std::collections::VecDeque;
use std::time::Duration;

/// How an answer begins behind its `ESC ]`.
const HEAD: &str = "11;rgb";
/// The longest answer: `11;rgba:` and four times four digits, with what stands between them.
const LONGEST: usize = 28;
/// The parts of an answer are no further apart; a key that somebody pressed is not held longer.
const APART: Duration = Duration::from_millis(150);

/// Takes answers out of the keys.
pub(super) struct Replies {
    flow: Flow,
    /// Keys that may be a part of one.
    held: Vec<KeyEvent>,
    text: String,
}

impl Replies {
    /// To the questions that this flow asked.
    pub(super) const fn new(flow: Flow) -> Self {
        Self { flow, held: Vec::new(), text: String::new() }
    }

    /// Events without the answers among them.
    pub(super) fn taken_out(self, events: impl Stream<Item = Event>) -> impl Stream<Item = Event> {
        let start = (Box::pin(events.fuse()), self, VecDeque::new());
        futures::stream::unfold(start, async |(mut events, mut replies, mut ready)| {
            loop {
                if let Some(event) = ready.pop_front() {
                    return Some((event, (events, replies, ready)));
                }
                let next = if replies.held.is_empty() {
                    Ok(events.next().await)
                } else {
                    tokio::time::timeout(APART, events.next()).await
                };
                match next {
                    Ok(Some(event)) => ready.extend(replies.take(event)),
                    Ok(None) if replies.held.is_empty() => return None,
                    Ok(None) | Err(_) => ready.extend(replies.give_back()),
                }
            }
        })
    }

    /// What comes of an event.
    fn take(&mut self, event: Event) -> Vec<Event> {
        let Event::Key(key) = event else {
            let mut all = self.give_back();
            all.push(event);
            return all;
        };
        if key.kind == KeyEventKind::Release {
            return vec![Event::Key(key)];
        }
        if key.code == KeyCode::Char(']') && self.flow.is_asked() {
            // What was held was a key: no answer has this in it.
            let all = self.give_back();
            self.held.push(key);
            return all;
        }
        if self.held.is_empty() {
            return vec![Event::Key(key)];
        }
        self.held.push(key);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            // BEL, or ESC \.
            KeyCode::Char('g') if control => self.end(),
            KeyCode::Char('\\') if alt => self.end(),
            KeyCode::Char(c) if !control && !alt => {
                self.text.push(c);
                let fits = if self.text.len() <= HEAD.len() {
                    HEAD.starts_with(&self.text)
                } else {
                    self.text.len() <= LONGEST
                        && (c.is_ascii_hexdigit() || matches!(c, '/' | ':' | 'a'))
                };
                if fits { Vec::new() } else { self.give_back() }
            }
            _ => self.give_back(),
        }
    }

    fn give_back(&mut self) -> Vec<Event> {
        self.text.clear();
        self.held.drain(..).map(Event::Key).collect()
    }

    fn end(&mut self) -> Vec<Event> {
        let Some(colour) = colour(&self.text) else { return self.give_back() };
        self.give_back();
        self.flow.answered();
        vec![Event::Ground(colour)]
    }
}

/// Reads `11;rgb:ffff/ffff/ffff`, with one to four digits a part.
fn colour(text: &str) -> Option<[u8; 3]> {
    let (_, parts) = text.strip_prefix(HEAD)?.split_once(':')?;
    let mut colour = [0; 3];
    let mut parts = parts.split('/');
    for part in &mut colour {
        let digits = parts.next()?;
        let value = u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() <= 4)?;
        let most = (1u32 << (4 * digits.len() as u32)) - 1;
        *part = u8::try_from(value * 255 / most.max(1)).ok()?;
    }
    Some(colour)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<Event> {
        let key = |c, modifiers| Event::Key(KeyEvent::new(KeyCode::Char(c), modifiers));
        let mut events = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            events.push(match c {
                '\x1b' => key(chars.next().expect("a letter"), KeyModifiers::ALT),
                '\x07' => key('g', KeyModifiers::CONTROL),
                c => key(c, KeyModifiers::NONE),
            });
        }
        events
    }

    /// Keys that come through, and colours.
    fn through(replies: &mut Replies, text: &str) -> (String, Vec<[u8; 3]>) {
        let (mut left, mut colours) = (String::new(), Vec::new());
        for event in keys(text).into_iter().flat_map(|event| replies.take(event)) {
            match event {
                Event::Key(key) => left.extend(key.code.as_char()),
                Event::Ground(colour) => colours.push(colour),
                _ => panic!("something else came"),
            }
        }
        (left, colours)
    }

    fn asked() -> Replies {
        let flow = Flow::to(std::io::sink());
        flow.ask();
        Replies::new(flow)
    }

    #[test]
    fn an_answer_is_taken_out_of_the_keys_around_it() {
        for (answer, colour) in [
            ("\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\", [0x1e, 0x1e, 0x2e]),
            ("\x1b]11;rgb:ff/80/00\x07", [255, 128, 0]),
            ("\x1b]11;rgba:ffff/0000/0000/ffff\x07", [255, 0, 0]),
            // Its first byte was taken for the key Esc.
            ("]11;rgb:f/f/f\x07", [255; 3]),
        ] {
            let all = format!("jj{answer}k");
            assert_eq!(through(&mut asked(), &all), ("jjk".to_owned(), vec![colour]), "{answer:?}");
        }
    }

    #[test]
    fn keys_that_only_began_like_one_come_through() {
        for text in ["]k", "]11k", "]11;rgb:zz", "]]", "]11;rgb:123/4\x07", "]11;rgb:11111/2/3\x07"]
        {
            let mut replies = asked();
            let (left, colours) = through(&mut replies, &format!("{text}!"));
            let plain: String = text.replace('\x07', "g");
            assert_eq!((left, colours), (format!("{plain}!"), Vec::new()));
        }
    }

    #[test]
    fn an_answer_behind_a_key_that_it_could_begin_with_is_taken_out() {
        let all = "]\x1b]11;rgb:ff/80/00\x07k";
        assert_eq!(through(&mut asked(), all), ("]k".to_owned(), vec![[255, 128, 0]]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_an_answer_could_begin_with_is_not_held_until_the_next_one() {
        let (sender, events) = tokio::sync::mpsc::channel(8);
        let events = futures::stream::unfold(events, async |mut events| {
            let next = events.recv().await?;
            Some((next, events))
        });
        let mut out = Box::pin(asked().taken_out(events));
        for text in ["]", "]11;r"] {
            for event in keys(text) {
                sender.send(event).await.unwrap();
            }
            let mut came = String::new();
            while came.len() < text.len() {
                let Some(Event::Key(key)) = out.next().await else { panic!("no key came") };
                came.extend(key.code.as_char());
            }
            assert_eq!(came, text);
        }
        drop(sender);
        assert!(out.next().await.is_none());
    }

    #[test]
    fn without_a_question_nothing_is_held_back() {
        let mut replies = Replies::new(Flow::to(std::io::sink()));
        assert_eq!(through(&mut replies, "]").0, "]");
    }
}
