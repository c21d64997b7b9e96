//! One edit: looked at, kept, noted, put in place; and how it is undone. The order of the steps is what makes it
//! safe to end the agent between any two of them.

use super::check;
use super::intents::Intent;
use super::kept::{Arrival, Needed, owned_of};
use super::{ARMED, Ledger, Waiting};
use crate::Agent;
use crate::services::files::whole::{Owned, Present, Whole, is_text, native};
use cmdr_link::clock::now_ms;
use cmdr_link::packed::hash;
use cmdr_protocol::edits::{
    Armed, ArmedEnd, Came, Ended, LONGEST_S, Outcome, Problem, SHORTEST_S, SaveEnd, Saving,
};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::{CallError, ErrorKind};
use std::time::Duration;
use tokio::time::Instant;

/// What a new file may be when nothing is said.
const NEW: u32 = 0o644;
/// After so long an undo that did not work (a full disk) is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// So long the lines that changed are counted at most; what is not counted by then is told as replaced.
const COUNTING: Duration = Duration::from_millis(300);

/// What has to be there for a text to take its place.
#[derive(Debug)]
pub(in crate::services) enum Expected {
    /// Whatever is.
    Any,
    /// The text with this hash; nothing, when absent.
    Only(Option<String>),
}

/// A text for a file.
#[derive(Debug)]
pub(in crate::services) struct Order {
    pub(in crate::services) path: FilePath,
    pub(in crate::services) text: Vec<u8>,
    pub(in crate::services) expect: Expected,
    /// Permissions of a new file.
    pub(in crate::services) mode: Option<u32>,
    /// Permissions and owner also of one that is there.
    pub(in crate::services) owned: Option<Owned>,
    pub(in crate::services) confirm_s: Option<u32>,
    pub(in crate::services) note: String,
    pub(in crate::services) by: String,
    pub(in crate::services) came: Came,
    /// Whether mistakes in files of the system are looked for.
    pub(in crate::services) is_checked: bool,
    pub(in crate::services) force: bool,
}

/// What the file is now, and nothing done.
fn left(how: SaveEnd, present: Option<&Present>, problems: Vec<Problem>) -> Saving {
    let result = Outcome {
        code: i32::from(how != SaveEnd::Same),
        how,
        hash: present.map(|present| hash(&present.text)).unwrap_or_default(),
        size: present.map_or(0, |present| present.text.len() as u64),
        ..Outcome::default()
    };
    let file = present.map(|present| present.entry.clone());
    Saving { result, file, problems, ..Saving::default() }
}

/// Lines that are new and lines that are gone.
fn counted(old: &[u8], new: &[u8]) -> (u64, u64) {
    let (old, new) = (String::from_utf8_lossy(old), String::from_utf8_lossy(new));
    let diff = similar::TextDiff::configure().timeout(COUNTING).diff_lines(&*old, &*new);
    diff.ops().iter().filter(|op| op.tag() != similar::DiffTag::Equal).fold(
        (0, 0),
        |(added, removed), op| {
            (added + op.new_range().len() as u64, removed + op.old_range().len() as u64)
        },
    )
}

/// What is wrong with a text for a file of the system.
fn problems(agent: &Agent, order: &Order, present: Option<&Present>) -> Vec<Problem> {
    let (path, etc) = (native(&order.path), &agent.config().etc_root);
    let text = String::from_utf8_lossy(&order.text);
    let before = present.map(|present| String::from_utf8_lossy(&present.text));
    if path == etc.join("hosts") || agent.policy().edits.hosts_files.contains(&path) {
        check::hosts(&text, before.as_deref())
    } else if path == etc.join("environment") {
        check::environment(&text, before.as_deref())
    } else {
        Vec::new()
    }
}

impl Ledger {
    fn needed(&self) -> Needed {
        let one = |waiting: &Waiting| {
            let Intent { path, before, after, .. } = &waiting.intent;
            [(path.clone(), *before), (path.clone(), *after)]
        };
        self.waiting.iter().flat_map(one).collect()
    }

    pub(in crate::services) fn save(
        &mut self,
        agent: &Agent,
        order: &Order,
    ) -> Result<Saving, CallError> {
        self.may_be_saved(order)?;
        let whole = Whole::to_write(agent, &order.path)?;
        let present = whole.read()?;
        let there = present.as_ref().map(|present| hash(&present.text));
        if matches!(&order.expect, Expected::Only(expect) if *expect != there) {
            return Ok(left(SaveEnd::Conflict, present.as_ref(), Vec::new()));
        }
        let new = Owned { mode: order.mode.unwrap_or(NEW) & 0o7777, owner: None };
        let owned = order.owned.or_else(|| present.as_ref().map(Present::owned)).unwrap_or(new);
        if present.as_ref().is_some_and(|p| p.text == order.text && p.owned() == owned) {
            return Ok(left(SaveEnd::Same, present.as_ref(), Vec::new()));
        }
        if order.confirm_s.is_some() && there.as_ref() == Some(&hash(&order.text)) {
            let what =
                "the text is the one that is there; other permissions or owners are not armed";
            return Err(CallError::new(ErrorKind::Conflict, what));
        }
        let mut found = Vec::new();
        if order.is_checked {
            found = problems(agent, order, present.as_ref());
            if found.iter().any(|problem| !problem.warning || !order.force) {
                return Ok(left(SaveEnd::Invalid, present.as_ref(), found));
            }
        }
        let intent = self.intend(order, present.as_ref(), owned)?;
        let put = (|| {
            let staged = whole.stage(intent.part(), &order.text, owned)?;
            staged.put(present.as_ref())
        })();
        let (lost, synced) = match put {
            Ok(put) => put,
            Err(e) => {
                self.never(&intent);
                return Err(e);
            }
        };
        let armed = self.changed(intent.clone());
        synced?;
        let caller = &order.by;
        let path = &order.path;
        let confirm_s = order.confirm_s;
        tracing::info!(caller, %path, version = intent.after, confirm_s, "a file was edited");
        let old = present.as_ref().map_or(&[][..], |present| &present.text);
        let (added, removed) = counted(old, &order.text);
        // It is done: that it cannot be looked at now does not undo it.
        let now = whole.read().ok().flatten();
        let mut saving = left(SaveEnd::Saved, now.as_ref(), found);
        saving.result = Outcome {
            code: 0,
            hash: intent.after_hash,
            size: order.text.len() as u64,
            added,
            removed,
            version: intent.after,
            armed: armed.as_ref().map(|armed| armed.id.clone()).unwrap_or_default(),
            ..saving.result
        };
        Ok(Saving { armed, lost, ..saving })
    }

    /// What can be refused before anything is looked at.
    fn may_be_saved(&self, order: &Order) -> Result<(), CallError> {
        let conflict = |what: String| Err(CallError::new(ErrorKind::Conflict, what));
        let path = &order.path;
        if path.is_root() {
            return conflict("/ is a folder".to_owned());
        }
        if let Err(what) = is_text(&order.text) {
            return conflict(format!("what {path} shall be is no text: {what}"));
        }
        if let Some(armed) = self.armed(path) {
            return conflict(format!(
                "an edit of {path} by {} waits to be confirmed ({}); confirm it or undo it first",
                armed.by, armed.id
            ));
        }
        if let Some(s) = order.confirm_s {
            if !(SHORTEST_S..=LONGEST_S).contains(&s) {
                return Err(CallError::malformed(format!(
                    "the time to confirm an edit is {SHORTEST_S} to {LONGEST_S} seconds"
                )));
            }
            if self.waiting.len() >= ARMED {
                let what = format!("{ARMED} edits wait to be confirmed on this host already");
                return Err(CallError::new(ErrorKind::Busy, what));
            }
        }
        Ok(())
    }

    /// Keeps both texts and notes what is about to be done. All of that is on disk when this returns.
    fn intend(
        &mut self,
        order: &Order,
        present: Option<&Present>,
        owned: Owned,
    ) -> Result<Intent, CallError> {
        let (path, at_ms) = (&order.path, now_ms());
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|e| CallError::failed(format!("a random name: {e}")))?;
        let mut needed = self.needed();
        let mut intent = Intent {
            id: data_encoding::HEXLOWER.encode(&id),
            path: path.clone(),
            by: order.by.clone(),
            note: order.note.clone(),
            at_ms,
            confirm_s: order.confirm_s,
            after_hash: hash(&order.text),
            ..Intent::default()
        };
        if let Some(present) = present {
            intent.before = self.versions.keep(path, present, at_ms, &needed)?;
            intent.before_hash = Some(hash(&present.text));
            needed.insert((path.clone(), intent.before));
        }
        let (came, by, note) = (order.came, order.by.clone(), order.note.clone());
        let arrival = Arrival { came, by, note, at_ms };
        intent.after = self.versions.add(path, &order.text, owned, arrival, &needed)?;
        if let Err(e) = self.intents.write(&intent) {
            self.never(&intent);
            return Err(e);
        }
        Ok(intent)
    }

    /// Nothing came of it.
    fn never(&mut self, intent: &Intent) {
        self.versions.forget(&intent.path, intent.after);
        self.forget(&intent.id);
    }

    fn forget(&self, id: &str) {
        if let Err(e) = self.intents.forget(id) {
            // At the next start it is seen that there is nothing to do.
            tracing::warn!("{e}");
        }
    }

    /// The file is another now.
    fn changed(&mut self, intent: Intent) -> Option<Armed> {
        let Some(confirm_s) = intent.confirm_s else {
            self.forget(&intent.id);
            return None;
        };
        let until = Instant::now() + Duration::from_secs(confirm_s.into());
        self.waiting.push(Waiting { intent, until, trouble: String::new(), has_task: false });
        self.waiting.last().map(|one| one.armed(Instant::now()))
    }

    /// Says how an edit ended, when it does not wait any more.
    pub(super) fn waits(&self, path: &FilePath, id: &str) -> Result<(), CallError> {
        let is_it = |one: &Waiting| one.intent.id == id && one.intent.path == *path;
        if self.waiting.iter().any(is_it) {
            return Ok(());
        }
        match self.ends.iter().find(|ended| ended.id == id && ended.path == *path) {
            Some(ended) => Err(CallError::new(
                ErrorKind::Conflict,
                format!("that edit of {path} does not wait any more: {}", ended.how),
            )),
            None => Err(CallError::not_found(format!("no such edit of {path} waits"))),
        }
    }

    fn take(&mut self, id: &str) -> Option<Waiting> {
        let at = self.waiting.iter().position(|one| one.intent.id == id)?;
        Some(self.waiting.remove(at))
    }

    fn end(&mut self, intent: &Intent, how: ArmedEnd, who: String, words: String) -> Ended {
        let Intent { id, path, by, .. } = intent.clone();
        tracing::info!(%path, by, who, words, "an armed edit ended: {how}");
        let ended = Ended { id, path, by, how, at_ms: now_ms(), who, words };
        self.intents.end(&mut self.ends, ended.clone());
        ended
    }

    /// It stays. On disk when this returns: an agent that starts anew must not undo it.
    pub(super) fn confirm(&mut self, id: &str, who: String) -> Result<Ended, CallError> {
        self.intents.forget(id)?;
        let gone = || CallError::not_found("no such edit waits");
        let one = self.take(id).ok_or_else(gone)?;
        Ok(self.end(&one.intent, ArmedEnd::Confirmed, who, String::new()))
    }

    /// Its time may be over.
    pub(super) fn due(&mut self, agent: &Agent, id: &str) {
        let is_due = |one: &&mut Waiting| one.intent.id == id && one.until <= Instant::now();
        if self.waiting.iter_mut().find(is_due).is_none() {
            return;
        }
        if let Err(e) = self.undo(agent, id, ArmedEnd::Undone, String::new()) {
            tracing::error!("an edit could not be undone and is tried again: {e}");
            if let Some(one) = self.waiting.iter_mut().find(|one| one.intent.id == id) {
                one.until = Instant::now() + AGAIN;
                one.trouble = e.message;
            }
        }
    }

    /// Puts back what was there. An error means that it waits on.
    pub(super) fn undo(
        &mut self,
        agent: &Agent,
        id: &str,
        how: ArmedEnd,
        who: String,
    ) -> Result<Ended, CallError> {
        let one = self.waiting.iter_mut().find(|one| one.intent.id == id);
        let one = one.ok_or_else(|| CallError::not_found("no such edit waits"))?;
        if one.intent.undoing.is_none() {
            one.intent.undoing = Some(how);
            // Without it, a start in the middle would only find that there is nothing to undo.
            self.intents.write(&one.intent).ok();
        }
        let intent = one.intent.clone();
        let (how, words) = match self.put_back(agent, &intent) {
            Ok(None) => (how, String::new()),
            Ok(Some(words)) => (ArmedEnd::Changed, words),
            // Later may work.
            Err(e) if matches!(e.kind, ErrorKind::Busy | ErrorKind::Failed) => return Err(e),
            Err(e) => (ArmedEnd::Failed, e.message),
        };
        self.take(id);
        // Its end is written first: killed in between, the agent comes to the same end once more.
        let ended = self.end(&intent, how, who, words);
        self.forget(id);
        Ok(ended)
    }

    /// Says so when somebody else has changed the file meanwhile: it stays as it is then.
    fn put_back(&mut self, agent: &Agent, intent: &Intent) -> Result<Option<String>, CallError> {
        let path = &intent.path;
        let whole = Whole::to_write(agent, path)?;
        let present = match whole.read() {
            Ok(present) => present,
            Err(e) if matches!(e.kind, ErrorKind::Conflict | ErrorKind::Elsewhere) => {
                return Ok(Some(format!(
                    "{}; version {} was there before",
                    e.message, intent.before
                )));
            }
            Err(e) => return Err(e),
        };
        let there = present.as_ref().map(|present| hash(&present.text));
        if there == intent.before_hash {
            return Ok(None);
        }
        if there.as_ref() != Some(&intent.after_hash) {
            let mut words = format!("version {} was there before", intent.before);
            if let Some(present) = &present {
                let needed = self.needed();
                match self.versions.keep(path, present, now_ms(), &needed) {
                    Ok(number) => {
                        words = format!("{words}, what is there now is version {number}");
                    }
                    Err(e) => words = format!("{words}; what is there now could not be kept: {e}"),
                }
            }
            return Ok(Some(words));
        }
        if intent.before == 0 {
            whole.remove()?;
            return Ok(None);
        }
        let (version, text) = self.versions.get(path, intent.before)?;
        whole.clear(&intent.part());
        let staged = whole.stage(intent.part(), &text, owned_of(&version))?;
        let (_, synced) = staged.put(present.as_ref())?;
        synced?;
        Ok(None)
    }

    /// Takes up what an earlier agent left.
    pub(super) fn wake(&mut self, agent: &Agent) {
        self.is_awake = true;
        self.ends = self.intents.ends();
        for intent in self.intents.all() {
            self.take_up(agent, intent);
        }
    }

    fn take_up(&mut self, agent: &Agent, intent: Intent) {
        let path = &intent.path;
        let whole = Whole::to_write(agent, path);
        if let Ok(whole) = &whole {
            whole.clear(&intent.part());
        }
        // What cannot be read now may be so when its time is over.
        let there = whole.and_then(|whole| whole.read());
        let there = there.map(|present| present.map(|present| hash(&present.text)));
        let as_before = there.as_ref().is_ok_and(|there| *there == intent.before_hash);
        if as_before && intent.undoing.is_none() {
            self.never(&intent);
            if intent.confirm_s.is_some() {
                self.end(&intent, ArmedEnd::Never, String::new(), String::new());
            }
            return;
        }
        let Some(_) = intent.confirm_s else {
            self.forget(&intent.id);
            return;
        };
        let left = if intent.undoing.is_some() { 0 } else { intent.left_ms(now_ms()) };
        tracing::info!(%path, by = intent.by, left_ms = left, "an armed edit was found");
        let id = intent.id.clone();
        let until = Instant::now() + Duration::from_millis(left);
        let how = intent.undoing.unwrap_or(ArmedEnd::Undone);
        self.waiting.push(Waiting { intent, until, trouble: String::new(), has_task: false });
        if left == 0
            && let Err(e) = self.undo(agent, &id, how, String::new())
        {
            tracing::error!("an edit could not be undone and is tried again: {e}");
        }
    }
}
