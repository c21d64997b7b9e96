//! Runs as somebody may see them: lists, one with its targets, and what changes while they look.

use super::briefs::Brief;
use super::live::{Inner, Live};
use super::records::{PieceRecord, RunRecord};
use super::segments::{Place, Reader};
use super::{Runs, busy};
use crate::server::Hub;
use crate::who::Who;
use cmdr_link::codec;
use cmdr_link::frame::MAX_FRAME;
use cmdr_protocol::role::Role;
use cmdr_protocol::runs::{
    CHUNK, Counts, Group, List, Listing, OUTPUT_CHUNK, Order, Printed, Progress, Run, Show, Shown,
    Target, UNTOLD, fold,
};
use cmdr_protocol::{Call as _, CallError, RunId, methods};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What is told of a line to those who may not know it.
const A_LINE: &str = "a line for the shell";
/// Runs in one list.
const MOST: usize = 500;
/// And their bytes, in one list or item: selectors may be long, and waves many.
pub(super) const BYTES: usize = MAX_FRAME / 2;
/// Runs that one list reads from disk to see whether who asks may know of them.
const LOOKS: usize = 256;
/// Items of output at a time.
const ITEMS: usize = 8;

/// Which targets of a run somebody may know of.
#[derive(Debug)]
pub enum Sees {
    /// All: it is their own run, or they are an administrator.
    All,
    /// These, by index.
    Some(Vec<bool>),
}

impl Sees {
    pub(crate) fn has(&self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some(some) => some.get(index).copied().unwrap_or(false),
        }
    }

    /// What both see.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, sees) | (sees, Self::All) => sees,
            (Self::Some(some), other @ Self::Some(_)) => Self::Some(
                some.into_iter().enumerate().map(|(at, sees)| sees && other.has(at)).collect(),
            ),
        }
    }

    fn any(&self) -> bool {
        match self {
            Self::All => true,
            Self::Some(some) => some.iter().any(|sees| *sees),
        }
    }
}

/// A run for a list.
enum Known {
    Open(Arc<Live>),
    Over(Arc<RunRecord>),
}

fn is_administrator(who: &Who) -> bool {
    who.role == Role::ADMINISTRATOR && !who.owes_factor
}

/// How a run that is over ended on those of its hosts that somebody may look at; none when there are none.
fn counted(hub: &Hub, who: &Who, id: RunId, brief: &Brief) -> Option<Counts> {
    let method = methods::index(List::METHOD)?;
    let resource = format!("run:{id}");
    let mut counts = Counts::default();
    for (host, state) in brief.iter() {
        if hub.decide(who, method, Some(&resource), Some(*host)).is_ok() {
            counts.add(*state);
        }
    }
    (counts.targets > 0).then_some(counts)
}

/// Whether it is their own; older than whoever asks, it is of somebody else who had the name.
pub(super) fn is_own(who: &Who, run: &Run) -> bool {
    run.operator == who.operator && run.created_ms >= who.since_ms
}

/// Where a page of a list ends: when its last run was made, and which that was.
fn place(text: &str) -> Option<(u64, RunId)> {
    let (created, id) = text.split_once('.')?;
    Some((created.parse().ok()?, id.parse().ok()?))
}

fn unknown(id: RunId) -> CallError {
    CallError::not_found(format!("there is no run {id}; to see which there are: cmdr run ls"))
}

impl Runs {
    /// What somebody may know of a run, by a right on its hosts.
    fn sees(hub: &Hub, who: &Who, live: &Live, method: &str) -> Sees {
        let inner = live.lock();
        // A program's key sees all of what this very key began, and no more of its operator's other runs than of
        // anybody's: what its scope lets it read.
        let own = match who.program {
            Some(_) => inner.record.author.is_key(who),
            None => inner.record.author.is(who) || is_administrator(who),
        };
        if own {
            return Sees::All;
        }
        let Some(method) = methods::index(method) else { return Sees::Some(Vec::new()) };
        let resource = format!("run:{}", live.id);
        let may = |host| hub.decide(who, method, Some(&resource), Some(host)).is_ok();
        Sees::Some(inner.seats.iter().map(|seat| may(seat.host)).collect())
    }

    /// A run, and what somebody may see of it by this method; one of which that is nothing is not there.
    pub(crate) fn look(
        &self,
        hub: &Hub,
        who: &Who,
        id: RunId,
        method: &str,
    ) -> Result<(Arc<Live>, Sees), CallError> {
        let live = self.find(id).map_err(busy)?.ok_or_else(|| unknown(id))?;
        let sees = Self::sees(hub, who, &live, method);
        if sees.any() { Ok((live, sees)) } else { Err(unknown(id)) }
    }

    /// A run that somebody wants to change: their own, or one whose every host they have this right on.
    pub(crate) fn own(
        &self,
        hub: &Hub,
        who: &Who,
        id: RunId,
        method: &str,
    ) -> Result<Arc<Live>, CallError> {
        let (live, sees) = self.look(hub, who, id, method)?;
        match sees {
            Sees::All => Ok(live),
            Sees::Some(some) if some.iter().all(|may| *may) => Ok(live),
            Sees::Some(_) => Err(CallError::denied(format!(
                "{method} is not allowed for {}: the run has hosts on which they may not",
                who.operator
            ))),
        }
    }

    /// Runs, newest first. A page is empty only when there is none that who asks may know of.
    pub(crate) async fn list(
        &self,
        hub: &Hub,
        who: &Who,
        list: &List,
    ) -> Result<Listing, CallError> {
        let after = match list.after.as_str() {
            "" => None,
            text => Some(place(text).ok_or_else(|| {
                CallError::malformed(
                    "that is no place in a list of runs; give what the page before said, or nothing",
                )
            })?),
        };
        let limit = match list.limit as usize {
            0 => MOST,
            limit => limit.min(MOST),
        };
        let wanted = |run: &Run| {
            (list.operator.is_empty() || run.operator == list.operator)
                && run
                    .id
                    .is_some_and(|id| list.id.is_empty() || id.to_string().starts_with(&list.id))
        };
        let (open, over) = {
            let state = self.state();
            let open: Vec<_> = state.open.values().cloned().collect();
            let over = state.over.iter().filter(|_| !list.open);
            (open, over.map(|(id, record)| (*id, record.clone())).collect::<Vec<_>>())
        };
        let open = open.into_iter().map(|live| {
            let created = live.lock().record.created_ms;
            (created, live.id, Known::Open(live))
        });
        let over =
            over.into_iter().map(|(id, record)| (record.created_ms, id, Known::Over(record)));
        let mut all: Vec<(u64, RunId, Known)> = open.chain(over).collect();
        all.retain(|(created, id, _)| {
            list.before_ms.is_none_or(|before| *created < before)
                && after.is_none_or(|(at, run)| *created < at || *created == at && id.0 > run.0)
        });
        all.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.0.cmp(&b.1.0)));
        let runs = all.into_iter().map(|(_, id, known)| match known {
            Known::Open(live) => {
                let is_line = live.lock().record.start.order.line.is_some();
                (is_line, live.shown())
            }
            Known::Over(record) => (record.start.order.line.is_some(), record.shown(id)),
        });
        let mut listing = Listing::default();
        let (mut looks, mut size) = (0, 0);
        for (is_line, run) in runs.filter(|(_, run)| wanted(run)) {
            if self.is_read(who, &run) {
                if looks >= LOOKS && !listing.runs.is_empty() {
                    // The next page goes on from here: what was read is remembered.
                    listing.more = true;
                    break;
                }
                looks += 1;
                // Others have their turn: it may take many until there is one for who asks.
                tokio::task::yield_now().await;
            }
            let Some(run) = self.in_list(hub, who, (is_line, run)) else { continue };
            size += codec::size(&run);
            if listing.runs.len() >= limit || size > BYTES && !listing.runs.is_empty() {
                // This one is for the next page.
                listing.more = true;
                break;
            }
            listing.runs.push(run);
        }
        if let (true, Some(last)) = (listing.more, listing.runs.last()) {
            let id = last.id.map(|id| id.to_string()).unwrap_or_default();
            listing.next = format!("{}.{id}", last.created_ms);
        }
        Ok(listing)
    }

    /// Whether a run is read from disk to know what of it somebody may see.
    fn is_read(&self, who: &Who, run: &Run) -> bool {
        let all = who.program.is_none() && (is_own(who, run) || is_administrator(who));
        !all && run.ended_ms.is_some() && run.id.is_some_and(|id| self.brief(id).is_none())
    }

    /// A run as somebody may see it in a list, if they may; with whether its order is a line.
    pub(super) fn in_list(
        &self,
        hub: &Hub,
        who: &Who,
        (is_line, mut run): (bool, Run),
    ) -> Option<Run> {
        if is_own(who, &run) && who.program.is_none() {
            return Some(run);
        }
        // Of others' runs, and of all for a program's key, what concerns hosts that they may look at.
        let id = run.id?;
        run.counts = if run.ended_ms.is_none() {
            let (live, sees) = self.look(hub, who, id, List::METHOD).ok()?;
            counts(&live.lock(), &sees)
        } else if who.program.is_none() && is_administrator(who) {
            run.counts
        } else {
            let brief = match self.brief(id) {
                Some(brief) => brief,
                None => self.read_brief(id).ok().flatten()?,
            };
            counted(hub, who, id, &brief)?
        };
        if is_line && (who.program.is_some() || !is_administrator(who)) {
            A_LINE.clone_into(&mut run.what);
        }
        Some(run)
    }

    /// One run with its targets.
    pub(crate) fn show(&self, hub: &Hub, who: &Who, show: Show) -> Result<Shown, CallError> {
        let (live, sees) = self.look(hub, who, show.run, Show::METHOD)?;
        let inner = live.lock();
        let mut start = inner.record.start.clone();
        if let Some(runbook) = &mut start.order.runbook {
            runbook.texts.clear();
            runbook.signatures.clear();
        }
        start.callback = start.callback.filter(|_| matches!(sees, Sees::All));
        for value in start.order.env.values_mut() {
            UNTOLD.clone_into(value);
        }
        let mut shown = Shown { run: inner.shown(live.id), start, ..Shown::default() };
        known_by(&mut shown.run, &inner, &sees);
        if !matches!(sees, Sees::All) {
            strike(&mut shown.start.order);
            shown.start.only.clear();
        }
        let mut index = show.from as usize;
        while index < inner.seats.len() && shown.targets.len() < CHUNK {
            if sees.has(index) {
                shown.targets.push(inner.target(index));
            }
            index += 1;
        }
        shown.next = (index < inner.seats.len()).then_some(index as u32);
        if show.from == 0 {
            shown.groups = groups(&inner, &sees);
            // The order may be large; whoever wants its bytes has them.
            if let Some(script) = &mut shown.start.order.script {
                script.content.truncate(16 * 1024);
            }
        } else {
            shown.start = cmdr_protocol::runs::Start::default();
        }
        Ok(shown)
    }

    /// A view of a run from where somebody left off.
    pub(crate) fn view(&self, live: Arc<Live>, sees: Sees, since: &str, output: bool) -> View {
        let mut view = View {
            reader: Reader::new(&self.dir),
            epoch: self.epoch,
            live,
            sees,
            only: None,
            want: None,
            output,
            targets: true,
            change: 0,
            piece: 0,
            first: true,
            told_over: false,
        };
        let mut parts = since.split('.').map(str::parse::<u64>);
        if let (Some(Ok(epoch)), Some(Ok(change)), Some(Ok(piece))) =
            (parts.next(), parts.next(), parts.next())
        {
            view.piece = usize::try_from(piece).unwrap_or(0);
            if epoch == self.epoch {
                view.change = change;
                view.first = false;
            }
        }
        view
    }
}

/// Leaves of an order what may be known of it with the right to look at one of its hosts: not what it put there, nor
/// by which hash that is asked for.
fn strike(order: &mut Order) {
    if let Some(push) = &mut order.push {
        push.file.clear();
    }
    if let Some(script) = &mut order.script {
        script.content.clear();
    }
    if let Some(line) = &mut order.line {
        "\u{2039}not shown\u{203a}".clone_into(&mut line.text);
    }
}

/// Leaves of a run what somebody may know of it.
fn known_by(run: &mut Run, inner: &Inner, sees: &Sees) {
    run.counts = counts(inner, sees);
    if !matches!(sees, Sees::All) && inner.record.start.order.line.is_some() {
        A_LINE.clone_into(&mut run.what);
    }
}

fn counts(inner: &Inner, sees: &Sees) -> Counts {
    if matches!(sees, Sees::All) {
        return inner.counts;
    }
    let mut counts = Counts::default();
    for (index, seat) in inner.seats.iter().enumerate() {
        if sees.has(index) {
            counts.add(seat.state);
        }
    }
    counts
}

/// Equal ends in one, the largest group first.
fn groups(inner: &Inner, sees: &Sees) -> Vec<Group> {
    let seats = inner.seats.iter().enumerate();
    let ended = seats.filter(|(index, seat)| sees.has(*index) && seat.state.is_end());
    let mut groups =
        fold(ended.map(|(index, seat)| (index as u32, seat.state, seat.code, &*seat.sum)));
    groups.truncate(CHUNK);
    // Their members are too many for one message when the groups are many.
    let mut left = 4 * CHUNK;
    for group in &mut groups {
        group.targets.truncate(left.min(CHUNK));
        left -= group.targets.len();
    }
    groups
}

/// How far somebody who watches a run has been told.
#[derive(Debug)]
pub struct View {
    live: Arc<Live>,
    sees: Sees,
    reader: Reader,
    epoch: u64,
    /// Output of these targets alone.
    only: Option<HashSet<u32>>,
    /// Output of these targets alone, of one attempt each; what is no more wanted is taken out.
    pub(crate) want: Option<HashMap<u32, u32>>,
    output: bool,
    /// Tell of targets and the run, not only output.
    pub(crate) targets: bool,
    change: u64,
    piece: usize,
    first: bool,
    told_over: bool,
}

impl View {
    /// Wakes with each change of the run.
    pub(crate) fn news(&self) -> tokio::sync::watch::Receiver<u64> {
        self.live.news.subscribe()
    }

    /// Tells output of these targets alone; of all when there are none.
    pub(crate) fn only(&mut self, targets: &[u32]) {
        self.only = (!targets.is_empty()).then(|| targets.iter().copied().collect());
    }

    /// What is new, in as many items as it takes; empty when nothing is.
    pub(crate) fn items(&mut self) -> Vec<Progress> {
        let live = self.live.clone();
        let mut items = Vec::new();
        loop {
            let inner = live.lock();
            let pieces = if self.output { self.pick(&inner) } else { Vec::new() };
            if pieces.is_empty() {
                // All output was told, so what ended by it may be.
                self.standing(&inner, &mut items);
                return items;
            }
            drop(inner);
            let output = pieces.into_iter().map(|piece| self.read(piece)).collect();
            items.push(Progress { output, cursor: self.cursor(), ..Progress::default() });
            if items.len() >= ITEMS {
                return items;
            }
        }
    }

    /// How the run and its targets stand.
    fn standing(&mut self, inner: &Inner, items: &mut Vec<Progress>) {
        let over = inner.is_over();
        if !self.targets {
            if over && !self.told_over {
                self.told_over = true;
                items.push(Progress { over: true, cursor: self.cursor(), ..Progress::default() });
            }
            return;
        }
        let mut targets: Vec<Target> = Vec::new();
        for (index, seat) in inner.seats.iter().enumerate() {
            if (self.first || seat.changed > self.change) && self.sees.has(index) {
                targets.push(inner.target(index));
            }
        }
        let run = self.first || inner.change > self.change;
        let fresh = self.first;
        (self.change, self.first) = (inner.change, false);
        if !run && (!over || self.told_over) {
            return;
        }
        let cursor = self.cursor();
        let mut parts: Vec<Progress> = Vec::new();
        let mut left = targets.into_iter().peekable();
        while left.peek().is_some() {
            let part = left.by_ref().take(CHUNK).collect();
            parts.push(Progress { targets: part, ..Progress::default() });
        }
        if parts.is_empty() {
            parts.push(Progress::default());
        }
        parts[0].reset = fresh;
        if let Some(last) = parts.last_mut() {
            let mut shown = inner.shown(self.live.id);
            known_by(&mut shown, inner, &self.sees);
            last.run = Some(shown);
            // Only what is whole can be gone on from.
            last.cursor = cursor;
            last.over = over;
        }
        self.told_over = over;
        items.extend(parts);
    }

    fn cursor(&self) -> String {
        format!("{}.{}.{}", self.epoch, if self.first { 0 } else { self.change }, self.piece)
    }

    /// As much output as one item holds: where it is.
    fn pick(&mut self, inner: &Inner) -> Vec<PieceRecord> {
        let (mut picked, mut size) = (Vec::new(), 0);
        while let Some(piece) = inner.pieces.get(self.piece) {
            if size > 0 && size + piece.len as usize > OUTPUT_CHUNK || picked.len() >= CHUNK {
                break;
            }
            self.piece += 1;
            let wanted = self.only.as_ref().is_none_or(|only| only.contains(&piece.target));
            let attempt = self.want.as_ref().map(|want| want.get(&piece.target).copied());
            let wanted = wanted && attempt.is_none_or(|attempt| attempt == Some(piece.attempt));
            if wanted && self.sees.has(piece.target as usize) {
                size += piece.len as usize;
                picked.push(*piece);
            }
        }
        picked
    }

    /// A piece with its bytes. Asked with nothing locked: it reads and unpacks.
    fn read(&mut self, piece: PieceRecord) -> Printed {
        let PieceRecord { target, attempt, gap: lost, .. } = piece;
        let mut one = Printed { target, attempt, lost, ..Printed::default() };
        if piece.len > 0 {
            let place = Place { segment: piece.segment, offset: piece.offset };
            match self.reader.read(place) {
                Ok(data) if piece.stderr => one.stderr = data,
                Ok(data) => one.stdout = data,
                Err(e) => {
                    tracing::warn!(run = %self.live.id, "{e}");
                    one.lost = one.lost.saturating_add(u64::from(piece.len));
                }
            }
        }
        one
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::runs::{Line, Push, Script};

    #[test]
    fn others_learn_neither_what_an_order_put_somewhere_nor_its_hash() {
        let push = Push { file: "ab".repeat(32), path: "/opt/x".into(), ..Push::default() };
        let script =
            Script { name: "x.sh".into(), content: b"token=1".to_vec(), ..Script::default() };
        let line = Line { text: "login --token 1".into() };
        let mut order =
            Order { push: Some(push), script: Some(script), line: Some(line), ..Order::default() };
        strike(&mut order);
        let told = format!("{order:?}");
        assert!(!told.contains("abab") && !told.contains("token"), "{told}");
        assert!(order.script.unwrap().content.is_empty());
        assert!(told.contains("/opt/x") && told.contains("x.sh"), "{told}");
    }
}
