//! Notices that wait, and what became of the others: whose turn it is, and sending them. One after the other at each
//! notifier, so that what is over is not told before what fired; several notifiers at once.

use super::Notifiers;
use crate::records::{NoticeRecord, prefix};
use crate::server::Hub;
use crate::store::Batch;
use cmdr_link::clock;
use cmdr_notify::{Backoff, Content, Entry, Failure, Said, Sent, Severity};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::events::{Event, What};
use cmdr_protocol::notifiers::{Fate, MAX_NOTICES, Notice};
use cmdr_rules::alerts;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Notices of one notifier that may wait; the oldest make room.
const WAITING: usize = 1000;
/// Notifiers that are spoken to at once.
const AT_ONCE: usize = 8;
/// Bytes of the texts of a notice: a record has its bound.
const BYTES: usize = 40 * 1024;
/// The longest sleep.
const LOOK: Duration = Duration::from_mins(1);

/// A notice for one notifier.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub record: NoticeRecord,
}

impl Letter {
    /// Its key in the store: by time, so that those of a notifier are told in their order.
    pub(crate) fn key(&self) -> String {
        let content = &self.record.content;
        let hash = blake3::hash(format!("{}\0{}", content.id, self.record.notifier).as_bytes());
        format!("{}{:015}/{}", prefix::NOTICE, content.made_ms, &hash.to_hex()[..24])
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// By notifier, then by key.
    waiting: HashMap<String, BTreeMap<String, NoticeRecord>>,
    /// Newest last.
    over: VecDeque<(String, NoticeRecord)>,
    standing: HashMap<String, Standing>,
}

/// How a notifier does.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    busy: bool,
    /// Nothing is sent there before.
    free_ms: u64,
    pub waiting: u32,
    pub taken_ms: Option<u64>,
    pub failing_ms: Option<u64>,
    pub last: String,
}

impl Queue {
    pub(super) fn insert(&mut self, key: String, record: NoticeRecord) {
        if record.fate == Fate::Waiting {
            self.waiting.entry(record.notifier.clone()).or_default().insert(key, record);
        } else {
            let standing = self.standing.entry(record.notifier.clone()).or_default();
            if record.fate == Fate::Taken {
                standing.taken_ms = standing.taken_ms.max(Some(record.at_ms));
            }
            self.over.push_back((key, record));
        }
    }

    pub(super) fn stands(&self, name: &str) -> Standing {
        let waiting = self.waiting.get(name).map_or(0, BTreeMap::len);
        let standing = self.standing.get(name).cloned().unwrap_or_default();
        Standing { waiting: u32::try_from(waiting).unwrap_or(u32::MAX), ..standing }
    }

    /// What came of a try; true when it fails from now on.
    pub(super) fn heard(&mut self, name: &str, failed: Option<String>, now: u64) -> bool {
        let standing = self.standing.entry(name.to_owned()).or_default();
        let Some(why) = failed else {
            (standing.taken_ms, standing.failing_ms) = (Some(now), None);
            standing.last.clear();
            return false;
        };
        standing.last = why;
        let new = standing.failing_ms.is_none();
        standing.failing_ms.get_or_insert(now);
        new
    }

    /// What waits for a notifier is tried at once.
    pub(super) fn hurry(&mut self, name: &str, now: u64) {
        if let Some(standing) = self.standing.get_mut(name) {
            standing.free_ms = 0;
        }
        for record in self.waiting.get_mut(name).into_iter().flat_map(BTreeMap::values_mut) {
            record.at_ms = record.at_ms.min(now);
        }
    }

    /// The newest, of one notifier or of all.
    pub(super) fn newest(&self, name: &str) -> Vec<Notice> {
        let is = |record: &&NoticeRecord| name.is_empty() || record.notifier == name;
        let waiting = self.waiting.values().flatten();
        let over = self.over.iter().map(|(key, record)| (key, record));
        let mut all: Vec<_> = waiting.chain(over).filter(|(_, record)| is(record)).collect();
        all.sort_by(|a, b| b.0.cmp(a.0));
        all.truncate(MAX_NOTICES);
        all.into_iter().map(|(key, record)| notice(key, record)).collect()
    }

    /// Those whose turn it is, each with its key; and when the next one's is.
    fn due(&mut self, now: u64, room: usize) -> (Vec<(String, NoticeRecord)>, Option<u64>) {
        let (mut due, mut next) = (Vec::new(), None);
        for (name, waiting) in &self.waiting {
            let Some((key, first)) = waiting.first_key_value() else { continue };
            let standing = self.standing.entry(name.clone()).or_default();
            if standing.busy {
                continue;
            }
            let at = first.at_ms.max(standing.free_ms);
            if at > now {
                next = Some(next.map_or(at, |next: u64| next.min(at)));
            } else if due.len() < room {
                standing.busy = true;
                due.push((key.clone(), first.clone()));
            }
        }
        (due, next)
    }
}

fn notice(key: &str, record: &NoticeRecord) -> Notice {
    let made = key.strip_prefix(prefix::NOTICE).and_then(|rest| rest.split_once('/'));
    Notice {
        id: record.content.id.clone(),
        notifier: record.notifier.clone(),
        policy: record.policy.clone(),
        title: record.title.clone(),
        fate: record.fate,
        tries: record.tries,
        made_ms: made.and_then(|(ms, _)| ms.parse().ok()).unwrap_or_default(),
        at_ms: record.at_ms,
        last: record.last.clone(),
    }
}

const fn said(of: alerts::Said) -> Said {
    match of {
        alerts::Said::Fired => Said::Fired,
        alerts::Said::Resolved => Said::Resolved,
        alerts::Said::Repeated => Said::Repeated,
        alerts::Said::Escalated => Said::Escalated,
        alerts::Said::Flapping => Said::Flapping,
    }
}

const fn severity(of: cmdr_rules::Severity) -> Severity {
    match of {
        cmdr_rules::Severity::Info => Severity::Info,
        cmdr_rules::Severity::Warning => Severity::Warning,
        cmdr_rules::Severity::Critical => Severity::Critical,
    }
}

/// A notice in the words of cmdr-notify, as much of it as a record holds.
fn content(of: &alerts::Notice) -> Content {
    let mut bytes = 0;
    let mut entries = Vec::new();
    for item in &of.items {
        let labels: usize = item.labels.iter().map(|(name, value)| name.len() + value.len()).sum();
        let key = &item.key;
        bytes += 200 + item.message.len() + item.shown.len() + item.host_name.len() + labels;
        bytes += key.rule.len() + key.instance.len();
        if bytes > BYTES && !entries.is_empty() {
            break;
        }
        entries.push(Entry {
            said: said(item.said),
            severity: severity(item.severity),
            alert: item.alert.clone(),
            rule: key.rule.clone(),
            host: item.host_name.clone(),
            instance: key.instance.clone(),
            message: item.message.clone(),
            value: item.shown.clone(),
            since_ms: item.fired_ms,
            until_ms: item.resolved_ms,
            labels: item.labels.clone(),
        });
    }
    let more = of.more + of.items.len() - entries.len();
    Content {
        id: of.id.clone(),
        group: of.group.clone(),
        made_ms: of.made_ms,
        level: of.level,
        entries,
        more,
        link: None,
    }
}

/// What a notice says, in a line.
fn title(content: &Content) -> String {
    let Some(first) = content.entries.first() else { return String::new() };
    let more = content.entries.len() - 1 + content.more;
    let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    let over = if first.said == Said::Resolved { "over: " } else { "" };
    clean_to_width(&format!("{over}{}{more}", first.message), 200)
}

impl Notifiers {
    /// What is to be sent where, of some notices. Notifiers that there are not are said.
    pub(crate) fn letters(&self, notices: &[alerts::Notice]) -> Vec<Letter> {
        let names = self.names();
        let mut letters = Vec::new();
        for notice in notices {
            let content = content(notice);
            let title = title(&content);
            if notice.to.is_empty() {
                tracing::warn!(
                    policy = notice.policy,
                    "nobody is told of an alert: its policy names no notifier: {title}"
                );
            }
            for to in &notice.to {
                if !names.contains(to) {
                    tracing::error!(notifier = to, "there is no such notifier: {title}");
                    continue;
                }
                letters.push(Letter {
                    record: NoticeRecord {
                        notifier: to.clone(),
                        policy: notice.policy.clone(),
                        content: content.clone(),
                        title: title.clone(),
                        fate: Fate::Waiting,
                        ..NoticeRecord::default()
                    },
                });
            }
        }
        letters
    }

    /// Whether a letter waits to be taken.
    pub(crate) fn waits(&self, letter: &Letter) -> bool {
        let queue = self.lock();
        let waiting = queue.waiting.get(&letter.record.notifier);
        waiting.is_some_and(|waiting| waiting.contains_key(&letter.key()))
    }

    /// Has letters sent that are stored.
    pub(crate) fn post(&self, letters: Vec<Letter>) {
        if letters.is_empty() {
            return;
        }
        let mut queue = self.lock();
        for letter in letters {
            queue.insert(letter.key(), letter.record);
        }
        drop(queue);
        self.wake.notify_one();
    }

    /// Gives up what waits for a notifier.
    pub(super) async fn give_up(&self, name: &str, why: &str) {
        let waiting = self.lock().waiting.remove(name).unwrap_or_default();
        for (key, record) in waiting {
            self.is_over(&key, record, Fate::GivenUp, why.to_owned()).await;
        }
    }

    async fn is_over(&self, key: &str, record: NoticeRecord, fate: Fate, last: String) {
        let id = record.content.id.clone();
        let record = NoticeRecord {
            content: Content { id, ..Content::default() },
            fate,
            last,
            at_ms: clock::now_ms(),
            ..record
        };
        let mut batch = Batch::new().put(key, &record);
        {
            let mut queue = self.lock();
            if let Some(waiting) = queue.waiting.get_mut(&record.notifier) {
                waiting.remove(key);
            }
            queue.over.push_back((key.to_owned(), record));
            while queue.over.len() > MAX_NOTICES {
                if let Some((old, _)) = queue.over.pop_front() {
                    batch = batch.delete(old);
                }
            }
        }
        if let Err(e) = self.store.apply(batch).await {
            tracing::warn!("what became of a notice is not stored; it may be sent again: {e}");
        }
    }

    async fn tried(
        &self,
        hub: &Hub,
        key: String,
        record: NoticeRecord,
        sent: Result<Sent, Failure>,
    ) {
        let (name, now) = (record.notifier.clone(), clock::now_ms());
        let began = if record.since_ms == 0 { now } else { record.since_ms };
        let record = NoticeRecord { tries: record.tries + 1, since_ms: began, ..record };
        let failed = sent.as_ref().err().map(ToString::to_string);
        let fails_now = self.lock().heard(&name, failed.clone(), now);
        if let Some(why) = &failed {
            tracing::warn!(notifier = name, tries = record.tries, "a notice was not taken: {why}");
        }
        if fails_now {
            let message = clean_to_width(failed.as_deref().unwrap_or_default(), 200);
            let about = format!("notifier:{name}");
            let what = What::NotifierFailed;
            hub.fleet.events.tell(Event { what, about, message, ..Event::default() });
        }
        match sent {
            Ok(sent) => {
                let pause = u64::try_from(sent.pause.as_millis()).unwrap_or(u64::MAX);
                let last = sent.refused.join("; ");
                self.is_over(&key, record, Fate::Taken, last).await;
                self.free(&name, now.saturating_add(pause));
            }
            Err(failure) => {
                let asked = match &failure {
                    Failure::Later { after, .. } => *after,
                    Failure::Never { .. } => None,
                };
                let mut random = [0; 8];
                // Without chance they come together; that is no reason not to come.
                getrandom::fill(&mut random).ok();
                let since = now.saturating_sub(began);
                let backoff = Backoff::default();
                let next = backoff.next(record.tries, since, u64::from_ne_bytes(random), asked);
                let again = matches!(failure, Failure::Later { .. });
                if let Some(pause) = next.filter(|_| again) {
                    let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                    self.again(&key, record, now.saturating_add(pause), &failure).await;
                } else {
                    tracing::error!(notifier = name, "a notice is given up: {failure}");
                    self.is_over(&key, record, Fate::GivenUp, failure.to_string()).await;
                }
                self.free(&name, 0);
            }
        }
    }

    async fn again(&self, key: &str, record: NoticeRecord, at_ms: u64, failure: &Failure) {
        let record = NoticeRecord { at_ms, last: failure.to_string(), ..record };
        let stored = self.store.apply(Batch::new().put(key, &record)).await;
        if let Err(e) = stored {
            tracing::debug!("when a notice is tried again is not stored: {e}");
        }
        let over = {
            let mut queue = self.lock();
            let Some(waiting) = queue.waiting.get_mut(&record.notifier) else { return };
            if let Some(there) = waiting.get_mut(key) {
                *there = record;
            }
            let mut over = Vec::new();
            while waiting.len() > WAITING {
                over.extend(waiting.pop_first());
            }
            over
        };
        for (key, record) in over {
            let why = format!("more than {WAITING} notices wait for this notifier");
            self.is_over(&key, record, Fate::GivenUp, why).await;
        }
    }

    fn free(&self, name: &str, at_ms: u64) {
        let mut queue = self.lock();
        let standing = queue.standing.entry(name.to_owned()).or_default();
        (standing.busy, standing.free_ms) = (false, at_ms);
    }
}

/// Sends what is due until it is dropped.
pub(super) async fn serve(hub: Arc<Hub>) {
    let mut sending = JoinSet::new();
    loop {
        let room = AT_ONCE.saturating_sub(sending.len());
        let (due, next) = hub.notifiers.lock().due(clock::now_ms(), room);
        for (key, record) in due {
            let hub = hub.clone();
            sending.spawn(async move {
                let notifiers = &hub.notifiers;
                let sent = match notifiers.place(&record.notifier) {
                    Ok(place) => notifiers.send(&hub, &place, &record.content).await,
                    Err(what) => Err(Failure::Later { after: None, what }),
                };
                notifiers.tried(&hub, key, record, sent).await;
            });
        }
        let pause = next.map(|at| Duration::from_millis(at.saturating_sub(clock::now_ms())));
        let pause = pause.unwrap_or(LOOK).min(LOOK);
        tokio::select! {
            () = hub.notifiers.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
            Some(done) = sending.join_next() => {
                if let Err(e) = done {
                    tracing::error!("sending a notice broke: {e}");
                }
            }
        }
    }
}
