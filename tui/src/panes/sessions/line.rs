//! The feed of a session that is shown: begun when the pane is seen, ended when it is not, begun anew by
//! itself after the link was away.

use super::far::Far;
use crate::event::Event;
use crate::link::Link;
use crate::panes::{Subscription, Task};
use crate::store::sessions::{WAITING, asks, item, joined, opening, over};
use crate::store::{FeedKey, FeedState, Update};
use cmdr_link::ssh_agent::Agent;
use cmdr_link::ssh_keys::{Key, KeyError};
use cmdr_link::ssh_places::{self, Place};
use cmdr_protocol::sessions::{Attach, Input, Item, Join, Mode, Open, Size};
use cmdr_protocol::ssh::{self, Answer, MAX_KEYS, Prompt, Question, Sign, Typed};
use cmdr_protocol::{CallError, ErrorKind, Feed, HostId, inside};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// How one comes to a session.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum How {
    /// It is made.
    New(Open),
    /// It is made in a container.
    Inside(Box<inside::Open>),
    /// It is made on another machine.
    Far(Box<Far>),
    /// It is one's own; with what it was opened as.
    Own(String, Mode, String),
    /// It is somebody else's.
    Other(String, Mode),
}

/// The feed, for a pane of this number; another `turn` begins it anew.
pub(super) fn subscription(
    host: HostId,
    owner: u64,
    turn: u64,
    how: How,
    size: Size,
) -> Subscription {
    let key = FeedKey::own::<Attach>(Some(host), owner);
    Subscription::own(key, turn, move |_, link, events| -> Task {
        let at = At { key, host, owner, size, events };
        match how {
            How::New(open) => Box::pin(at.follow(link, Open { size, ..open })),
            How::Inside(open) => Box::pin(at.follow(link, inside::Open { size, ..*open })),
            How::Far(far) => Box::pin(at.begin(link, *far)),
            How::Own(id, mode, opened) => {
                Box::pin(at.follow(link, Attach { id, mode, size, opened }))
            }
            How::Other(id, mode) => Box::pin(at.follow(link, Join { id, mode, size })),
        }
    })
}

struct At {
    key: FeedKey,
    host: HostId,
    owner: u64,
    size: Size,
    events: mpsc::Sender<Event>,
}

impl At {
    async fn tell(&self, update: Update) -> bool {
        self.events.send(Event::Update(update)).await.is_ok()
    }

    async fn follow<F: Feed<Input = Input, Item = Item>>(self, link: Link, feed: F) {
        self.tell(opening(self.owner)).await;
        let end = self.run(link, feed, None).await;
        self.over(end).await;
    }

    /// As [`At::follow`], but that there is much to be asked before.
    async fn begin(self, link: Link, far: Far) {
        self.tell(opening(self.owner)).await;
        let identity = far.identity.clone();
        let reading = tokio::task::spawn_blocking(move || own_keys(&identity)).await;
        let end = match reading.unwrap_or_else(|e| Err(e.to_string())) {
            Ok(keys) => {
                let open = ssh::Open {
                    size: self.size,
                    keys: keys.iter().take(MAX_KEYS).map(Key::public).collect(),
                    ..far.open.clone()
                };
                self.run(link, open, Some(Asked { far, keys })).await
            }
            Err(why) => Some(CallError::failed(why)),
        };
        self.over(end).await;
    }

    async fn over(self, end: Option<CallError>) {
        let (key, owner) = (self.key, self.owner);
        let failed = end.clone().unwrap_or_else(|| CallError::lost(""));
        self.tell(Update::new(move |store| {
            store.feeds.insert(key, FeedState::Failed(failed));
        }))
        .await;
        // The app is gone when nobody takes it: then nobody needs it.
        self.tell(over(owner, end)).await;
    }

    /// Until it ends: properly, or with an error.
    async fn run<F: Feed<Input = Input, Item = Item>>(
        &self,
        link: Link,
        feed: F,
        mut asked: Option<Asked>,
    ) -> Option<CallError> {
        let (mut items, mut inputs) = match link.both(Some(self.host), feed).await {
            Ok(both) => both,
            Err(error) => return Some(error),
        };
        let (line, mut typed) = mpsc::channel(WAITING);
        self.tell(joined(self.owner, self.size, line)).await;
        // What is for the session itself waits until there is one.
        let mut kept = Vec::new();
        if let Some(asked) = &mut asked {
            loop {
                let item = match items.next().await {
                    Some(Ok(item)) => item,
                    Some(Err(error)) => return Some(error),
                    None => return None,
                };
                let begun = item.begun.is_some();
                match &item.ask {
                    Some(question) => {
                        let answering = self.answer(asked, question, &mut typed, &mut kept);
                        // Who asks may lose patience.
                        let answer = tokio::select! {
                            answer = answering => match answer {
                                Ok(answer) => answer,
                                Err(end) => return end,
                            },
                            next = items.next() => match next {
                                Some(Err(error)) => return Some(error),
                                _ => return Some(CallError::lost("")),
                            },
                        };
                        let answer = Some(answer);
                        inputs.send(&Input { answer, ..Input::default() }).await.ok();
                    }
                    None => {
                        self.tell(self::item(self.owner, item)).await;
                    }
                }
                if begun {
                    break;
                }
            }
            remember(asked).await;
            for input in &kept {
                inputs.send(input).await.ok();
            }
        }
        let key = self.key;
        let read = async {
            loop {
                match items.next().await {
                    Some(Ok(item)) => {
                        let owner = self.owner;
                        let live = Update::new(move |store| {
                            store.feeds.insert(key, FeedState::Live);
                            store.apply(self::item(owner, item));
                        });
                        if !self.tell(live).await {
                            return None;
                        }
                    }
                    Some(Err(error)) => return Some(error),
                    None => return None,
                }
            }
        };
        let write = async {
            while let Some(input) = typed.recv().await {
                if inputs.send(&input).await.is_err() {
                    break;
                }
            }
            // Why it broke is told by what is read.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            end = read => end,
            () = write => None,
        }
    }
}

/// With what a session over SSH is begun.
struct Asked {
    far: Far,
    keys: Vec<Key>,
}

/// A passphrase may be wrong so often.
const TRIES: usize = 3;

/// The key in this file; without one those that are there.
fn own_keys(identity: &str) -> Result<Vec<Key>, String> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    if !identity.is_empty() {
        let path = match (identity.strip_prefix("~/"), &home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(identity),
        };
        return Key::load(&path).map(|key| vec![key]).map_err(|e| e.to_string());
    }
    let held = Agent::of_environment().ok().and_then(|agent| Key::held(&agent).ok());
    let mut keys = held.unwrap_or_default();
    for key in home.iter().flat_map(|home| Key::usual(home)) {
        if keys.iter().all(|held| held.public() != key.public()) {
            keys.push(key);
        }
    }
    Ok(keys)
}

async fn remember(asked: &Asked) {
    let Far { open, places, via, .. } = &asked.far;
    let Some(folder) = places.clone() else { return };
    let place = Place {
        user: open.user.clone(),
        host: open.host.clone(),
        port: open.port(),
        via: via.clone(),
    };
    let writing = tokio::task::spawn_blocking(move || ssh_places::remember(&folder, &place));
    if let Ok(Err(e)) = writing.await {
        tracing::warn!("{e}");
    }
}

impl At {
    /// What is said to a question: signatures by ourselves, all else by who looks on.
    async fn answer(
        &self,
        asked: &mut Asked,
        question: &Question,
        typed: &mut mpsc::Receiver<Input>,
        kept: &mut Vec<Input>,
    ) -> Result<Answer, Option<CallError>> {
        match &question.sign {
            Some(sign) => self.sign(asked, sign, typed, kept).await,
            None => self.ask(question.clone(), typed, kept).await,
        }
    }

    /// Shows a question and waits for what is said to it.
    async fn ask(
        &self,
        question: Question,
        typed: &mut mpsc::Receiver<Input>,
        kept: &mut Vec<Input>,
    ) -> Result<Answer, Option<CallError>> {
        self.tell(asks(self.owner, question)).await;
        // Nobody looks on any more when the line ends.
        while let Some(input) = typed.recv().await {
            match input.answer {
                Some(answer) => return Ok(answer),
                None if kept.len() < WAITING => kept.push(input),
                None => {}
            }
        }
        Err(None)
    }

    /// Signs; an empty signature when that key cannot, and the next one is tried.
    async fn sign(
        &self,
        asked: &mut Asked,
        sign: &Sign,
        typed: &mut mpsc::Receiver<Input>,
        kept: &mut Vec<Input>,
    ) -> Result<Answer, Option<CallError>> {
        let Some(at) = asked.keys.iter().position(|key| key.public() == sign.key) else {
            return Ok(Answer::default());
        };
        let mut tries = 0;
        while let Some(path) = asked.keys[at].locked() {
            let text = path.display().to_string();
            let prompts = vec![Prompt { text, echo: false }];
            let about = Typed { about: String::new(), again: tries > 0, prompts };
            let question = Question { typed: Some(about), ..Question::default() };
            let mut answer = self.ask(question, typed, kept).await?;
            tries += 1;
            let Some(passphrase) = answer.typed.pop() else { return Ok(Answer::default()) };
            match asked.keys[at].unlock(&passphrase) {
                Err(_) if tries == TRIES => return Ok(Answer::default()),
                _ => {}
            }
        }
        let key = asked.keys.swap_remove(at);
        let (sign, user) = (sign.clone(), asked.far.open.user.clone());
        // An ssh-agent may wait for somebody who presses a button.
        let signing = tokio::task::spawn_blocking(move || (key.sign(&sign, &user), key)).await;
        let (signature, key) = signing.map_err(|e| Some(CallError::failed(e.to_string())))?;
        asked.keys.push(key);
        match signature {
            Ok(signature) => Ok(Answer { signature, ..Answer::default() }),
            Err(e @ KeyError::NoLogin(_)) => {
                Err(Some(CallError::new(ErrorKind::Malformed, e.to_string())))
            }
            Err(e) => {
                tracing::warn!("{e}");
                Ok(Answer::default())
            }
        }
    }
}
