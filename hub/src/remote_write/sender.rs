//! One target's thread: reads on in the history, sends, waits, and keeps how far it has come.

use super::encode::{self, Series};
use super::post::{self, Answer, Post};
use super::{Stop, Target};
use crate::exposition;
use crate::server::Hub;
use cmdr_history::{Follower, Part, Position, Source, Store, Unread};
use cmdr_link::backoff::Backoff;
use cmdr_link::{clock, files};
use cmdr_protocol::history::names;
use cmdr_protocol::{HostId, display};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Samples of one request, about.
const SAMPLES: u64 = 5000;
/// Pauses between tries grow to this.
const LONGEST: Duration = Duration::from_mins(1);
/// Samples may come so long after the end of their step and are in order nevertheless.
const SETTLE_MS: i64 = 4000;
/// It is looked again after this where there is no history yet: a new target begins with what comes.
const OPENING: Duration = Duration::from_millis(200);
/// When there is nothing to send, it is looked again after this at most.
const IDLE: Duration = Duration::from_secs(5);
/// So often what was refused is taken apart to find what of it is.
const PARTS: u32 = 64;
/// And so often after nothing of what came before was taken.
const FEW_PARTS: u32 = 3;
/// What came late is kept this often while a target takes nothing.
const KEEP: Duration = Duration::from_mins(1);
/// The longest cursor that is read: that of a large fleet with much that came late.
const CURSOR: u64 = 64 << 20;

pub(super) struct Sender {
    target: Arc<Target>,
    hub: Weak<Hub>,
    stop: Arc<Stop>,
    post: Option<Post>,
    follower: Option<Follower>,
    /// What is on its way, in parts; the last is the next.
    parts: Vec<Vec<Series>>,
    /// Something was read since it was kept how far it had come.
    flying: bool,
    about: Way,
    /// How far it had come before that.
    before: Position,
    backoff: Backoff,
    budget: u32,
    kept: Instant,
}

/// About what is on its way.
#[derive(Debug, Default)]
struct Way {
    first_ms: i64,
    last_ms: i64,
    taken: u64,
    refused: u64,
    why: String,
}

/// What a turn comes to.
enum Turn {
    /// A body to send, of so many samples.
    Send(Vec<u8>, Option<zeroize::Zeroizing<String>>),
    Wait(Duration),
    On,
}

/// The cursor as a file: JSON, by the ids of hosts.
#[derive(Debug, Serialize, Deserialize)]
struct Cursor {
    from_ms: i64,
    read: BTreeMap<String, i64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    late: BTreeMap<String, BTreeSet<i64>>,
}

fn source(text: &str) -> Option<Source> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

impl Cursor {
    fn of(position: &Position) -> Self {
        let name = |source: &Source| HEXLOWER.encode(source);
        Self {
            from_ms: position.from_ms,
            read: position.read.iter().map(|(s, t)| (name(s), *t)).collect(),
            late: position.late.iter().map(|(s, t)| (name(s), t.clone())).collect(),
        }
    }

    fn position(self) -> Option<Position> {
        let read = self.read.into_iter().map(|(s, t)| Some((source(&s)?, t)));
        let late = self.late.into_iter().map(|(s, t)| Some((source(&s)?, t)));
        Some(Position {
            from_ms: self.from_ms,
            read: read.collect::<Option<_>>()?,
            late: late.collect::<Option<_>>()?,
        })
    }
}

fn samples(part: &[Series]) -> u64 {
    part.iter().map(|series| series.samples.len() as u64).sum()
}

/// Takes apart what a target refuses: by time first, because what is too old is older than the rest; then by series.
fn halves(part: Vec<Series>) -> Result<[Vec<Series>; 2], Vec<Series>> {
    let times = || part.iter().flat_map(|s| &s.samples).map(|(at, _)| *at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Err(part) };
    if first < last {
        let middle = first + (last - first) / 2;
        let of = |meant: &dyn Fn(i64) -> bool| -> Vec<Series> {
            let some = part.iter().map(|series| Series {
                labels: series.labels.clone(),
                samples: series.samples.iter().copied().filter(|(at, _)| meant(*at)).collect(),
            });
            some.filter(|series| !series.samples.is_empty()).collect()
        };
        return Ok([of(&|at| at <= middle), of(&|at| at > middle)]);
    }
    if part.len() < 2 {
        return Err(part);
    }
    let mut part = part;
    let rest = part.split_off(part.len() / 2);
    Ok([part, rest])
}

impl Sender {
    pub(super) fn new(target: Arc<Target>, hub: Weak<Hub>, stop: Arc<Stop>) -> Self {
        Self {
            target,
            hub,
            stop,
            post: None,
            follower: None,
            parts: Vec::new(),
            flying: false,
            about: Way::default(),
            before: Position::default(),
            backoff: Backoff::new(LONGEST),
            budget: PARTS,
            kept: Instant::now(),
        }
    }

    pub(super) fn run(mut self) {
        loop {
            let Some(hub) = self.hub.upgrade() else { return };
            let turn = self.turn(&hub);
            // A hub that ends does not wait for one that does not answer.
            drop(hub);
            let wait = match turn {
                Turn::On => Duration::ZERO,
                Turn::Wait(wait) => wait,
                Turn::Send(body, authorization) => {
                    let Some(post) = &self.post else { return };
                    let authorization = authorization.as_ref().map(|text| text.as_str());
                    let answer = post.send(&self.target.settings, authorization, &body);
                    self.answered(answer)
                }
            };
            if !self.stop.pause(wait) {
                return;
            }
        }
    }

    fn turn(&mut self, hub: &Arc<Hub>) -> Turn {
        let Ok(store) = hub.history.store() else { return Turn::Wait(OPENING) };
        if self.post.is_none() {
            match Post::new(&self.target.settings) {
                Ok(post) => self.post = Some(post),
                Err(why) => return self.fails(&why, None),
            }
        }
        let follower = match self.follower.take() {
            Some(follower) => follower,
            None => store.follow(self.begin(&store)),
        };
        let turn = self.next(hub, &store, &follower);
        self.follower = Some(follower);
        turn
    }

    fn next(&mut self, hub: &Arc<Hub>, store: &Store, follower: &Follower) -> Turn {
        let now = clock::now_ms().cast_signed();
        let step = hub.history.step_ms();
        if self.parts.is_empty() && std::mem::take(&mut self.flying) {
            self.done();
            self.keep(&store.position(follower));
        }
        if self.parts.is_empty() {
            self.before = store.position(follower);
            // A step is told when it is over, and a link or a host's clock may be a little behind.
            match store.read_on(follower, now - step - step.max(SETTLE_MS), SAMPLES) {
                Ok(Some(unread)) => self.take(hub, &unread),
                Ok(None) => {
                    self.left_out(store.take_lost(follower));
                    self.behind(now, None, step);
                    return Turn::Wait(IDLE.min(Duration::from_millis(step.unsigned_abs())));
                }
                Err(e) => return self.fails(&e.to_string(), None),
            }
        }
        let waiting = (!self.parts.is_empty()).then_some(self.about.first_ms);
        self.behind(now, waiting.into_iter().chain(store.oldest_unread(follower)).min(), step);
        let bound = i64::from(self.target.settings.behind_h.get()) * 3_600_000;
        if self.about.last_ms < now - bound {
            let old: u64 = self.parts.iter().map(|part| samples(part)).sum();
            self.left_out(old);
            self.parts.clear();
        }
        if self.parts.is_empty() {
            return Turn::On;
        }
        if self.target.lock().shown.failing_ms > 0 && self.kept.elapsed() > KEEP {
            let mut position = self.before.clone();
            for (source, times) in store.position(follower).late {
                position.late.entry(source).or_default().extend(times);
            }
            self.keep(&position);
        }
        let authorization = match post::authorization(&self.target.settings, &hub.vault) {
            Ok(authorization) => authorization,
            Err(why) => return self.fails(&why, None),
        };
        let part = self.parts.last().map_or(&[][..], Vec::as_slice);
        match encode::body(part) {
            Ok(body) => Turn::Send(body, authorization),
            Err(why) => {
                self.refused(why);
                Turn::On
            }
        }
    }

    /// What was read, as it is sent.
    fn take(&mut self, hub: &Hub, unread: &Unread) {
        self.flying = true;
        let all = shown(hub, &self.target, &unread.series);
        let first = all.iter().filter_map(|s| s.samples.first()).map(|(at, _)| *at).min();
        let nothing = self.about.taken == 0 && self.about.refused > 0;
        self.budget = if nothing { FEW_PARTS } else { PARTS };
        self.about = Way {
            first_ms: first.unwrap_or(unread.last_ms),
            last_ms: unread.last_ms,
            ..Way::default()
        };
        if !all.is_empty() {
            self.parts.push(all);
        }
    }

    fn answered(&mut self, answer: Answer) -> Duration {
        match answer {
            Answer::Taken => {
                let taken = self.parts.pop().map_or(0, |part| samples(&part));
                self.about.taken += taken;
                self.backoff.reset();
                self.target.takes(self.hub.upgrade().as_ref(), taken);
                Duration::ZERO
            }
            Answer::Refused(why) => {
                // It answers, so nothing is wrong with it.
                self.backoff.reset();
                self.target.takes(self.hub.upgrade().as_ref(), 0);
                self.refused(why);
                Duration::ZERO
            }
            Answer::Later(why, wait) => match self.fails(&why, wait) {
                Turn::Wait(wait) => wait,
                _ => Duration::ZERO,
            },
        }
    }

    /// What a target will never take is taken apart, so that the rest of it is not lost.
    fn refused(&mut self, why: String) {
        let Some(part) = self.parts.pop() else { return };
        self.about.why = why;
        let apart = if self.budget > 0 { halves(part) } else { Err(part) };
        match apart {
            Ok([older, newer]) => {
                self.budget -= 1;
                self.parts.extend([newer, older]);
            }
            Err(part) => self.about.refused += samples(&part),
        }
    }

    fn fails(&mut self, why: &str, wait: Option<Duration>) -> Turn {
        self.target.fails(self.hub.upgrade().as_ref(), &display::clean_to_width(why, 300));
        Turn::Wait(wait.unwrap_or_default().max(self.backoff.next_wait()))
    }

    /// All that was on its way was taken, refused or left out.
    fn done(&mut self) {
        let Way { refused, why, .. } = &self.about;
        if *refused > 0 {
            tracing::warn!(target = self.target.name, refused, "samples were refused: {why}");
            let mut standing = self.target.lock();
            standing.shown.refused += refused;
            standing.shown.last = display::clean_to_width(why, 300);
        }
    }

    fn left_out(&self, samples: u64) {
        if samples > 0 {
            let target = &self.target.name;
            tracing::warn!(target, samples, "samples waited for too long and were not sent");
            self.target.lock().shown.left_out += samples;
        }
    }

    /// Notes how far behind it is; what every sample waits for is not counted.
    fn behind(&self, now: i64, oldest: Option<i64>, step: i64) {
        let behind = oldest.map_or(0, |oldest| now - oldest);
        let usual = 3 * step + 2 * SETTLE_MS;
        let behind = if behind > usual { behind } else { 0 };
        self.target.lock().shown.behind_ms = behind.unsigned_abs();
    }

    /// Where it stopped; a new target begins with what comes.
    fn begin(&self, store: &Store) -> Position {
        let now = clock::now_ms().cast_signed();
        let path = &self.target.cursor;
        let what = match files::read_private(path, CURSOR) {
            Ok(bytes) => {
                let cursor = serde_json::from_slice::<Cursor>(&bytes).ok();
                if let Some(position) = cursor.and_then(Cursor::position) {
                    return position;
                }
                "it is no cursor".to_owned()
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => e.to_string(),
        };
        if !what.is_empty() {
            let target = &self.target.name;
            tracing::error!(
                target,
                "{} cannot be used: {what}; only what comes now is sent",
                path.display()
            );
        }
        let end = store.end(now);
        self.keep_at(&end);
        end
    }

    fn keep(&mut self, position: &Position) {
        self.kept = Instant::now();
        self.keep_at(position);
    }

    fn keep_at(&self, position: &Position) {
        let path = &self.target.cursor;
        let text = serde_json::to_vec(&Cursor::of(position)).unwrap_or_default();
        let made = path.parent().map_or(Ok(()), files::private_dir);
        if let Err(e) = made.and_then(|()| files::write_private(path, &text)) {
            // They will be sent again after a restart.
            tracing::warn!(target = self.target.name, "writing {}: {e}", path.display());
        }
    }
}

/// Series as they are sent: those of hosts and figures that are meant, with names and labels as they are scraped.
fn shown(hub: &Hub, target: &Target, parts: &[Part]) -> Vec<Series> {
    let settings = &target.settings;
    let selector = settings.selector().ok().flatten();
    let mut hosts = HashMap::new();
    let mut all = Vec::new();
    for part in parts {
        let host = hosts.entry(part.source).or_insert_with(|| {
            // One that has left the fleet has no name any more.
            let host = hub.fleet.host(HostId(part.source))?;
            let meant = selector.as_ref().is_none_or(|selector| selector.matches(&host));
            meant.then(|| (exposition::of_host(&host.labels), host.name))
        });
        let Some((own, host)) = host else { continue };
        let figure = &*part.name.text;
        let patterns = &settings.metrics;
        if !patterns.is_empty() && !patterns.iter().any(|p| cmdr_history::matches(p, figure)) {
            continue;
        }
        let Some(metric) = names::find(figure) else { continue };
        let (name, over) = exposition::named(metric);
        let over = over * f64::from(part.name.scale);
        let samples = part.points.iter().map(|(at, value)| (*at, *value as f64 / over)).collect();
        let added = settings.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let own = exposition::labels(host, metric, figure, own);
        // Ours go before those that are added.
        let labels: BTreeMap<&str, &str> =
            added.chain(own).chain([("__name__", name.as_str())]).collect();
        let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        all.push(Series { labels, samples });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, times: &[i64]) -> Series {
        let samples = times.iter().map(|at| (*at, 1.0)).collect();
        Series { labels: vec![("__name__".to_owned(), name.to_owned())], samples }
    }

    #[test]
    fn what_is_refused_is_taken_apart_by_time_then_by_series_until_one_sample_is_left() {
        let whole = vec![series("a", &[10, 20]), series("b", &[20]), series("c", &[30])];
        let [older, newer] = halves(whole).unwrap();
        assert_eq!(older, [series("a", &[10, 20]), series("b", &[20])]);
        assert_eq!(newer, [series("c", &[30])]);
        let [first, then] = halves(older).unwrap();
        assert_eq!((first, then.len()), (vec![series("a", &[10])], 2));
        let [one, other] = halves(then).unwrap();
        assert_eq!((one, other), (vec![series("a", &[20])], vec![series("b", &[20])]));
        assert_eq!(halves(newer), Err(vec![series("c", &[30])]));
        assert_eq!(halves(Vec::new()), Err(Vec::new()));
    }

    #[test]
    fn a_cursor_comes_back_from_its_file() {
        let position = Position {
            from_ms: 5,
            read: BTreeMap::from([([7; 16], 1000)]),
            late: BTreeMap::from([([8; 16], BTreeSet::from([1, 2]))]),
        };
        let text = serde_json::to_string(&Cursor::of(&position)).unwrap();
        let back: Cursor = serde_json::from_str(&text).unwrap();
        assert_eq!(back.position(), Some(position));
        let bad: Cursor = serde_json::from_str(r#"{"from_ms":1,"read":{"zz":1}}"#).unwrap();
        assert_eq!(bad.position(), None);
    }
}
