//! Runs as somebody may see them: lists, one with its targets, and what changes while they look.

use super::briefs::Brief;
use super::live::{Inner, Live};
use super::records::{PieceRecord, RunRecord};
use super::segments::{Place, Reader};
use super::{Runs, busy};
use crate::server::Hub;
use crate::who::Who;
use cmdr_protocol::role::Role;
use cmdr_protocol::runs::{
    CHUNK, Counts, Group, List, Listing, OUTPUT_CHUNK, Printed, Progress, Run, Show, Shown, Target,
    TargetState,
};
use cmdr_protocol::{Call as _, CallError, RunId, methods};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Runs in one list.
const MOST: usize = 500;
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

fn unknown(id: RunId) -> CallError {
    CallError::not_found(format!("there is no run {id}; to see which there are: cmdr run ls"))
}

impl Runs {
    /// What somebody may know of a run, by a right on its hosts.
    fn sees(hub: &Hub, who: &Who, live: &Live, method: &str) -> Sees {
        let inner = live.lock();
        let own = inner.record.author.operator == who.operator && !who.operator.is_empty();
        // A program's key sees no more of its operator's runs than of others': what its scope lets it read.
        if who.program.is_none() && (own || is_administrator(who)) {
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

    /// Runs, newest first.
    pub(crate) fn list(&self, hub: &Hub, who: &Who, list: &List) -> Listing {
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
        all.retain(|(created, ..)| list.before_ms.is_none_or(|before| *created < before));
        all.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let runs = all.into_iter().map(|(_, id, known)| match known {
            Known::Open(live) => live.shown(),
            Known::Over(record) => record.shown(id),
        });
        let (mut listing, mut left) = (Listing::default(), runs.filter(wanted));
        let mut looks = 0;
        for mut run in left.by_ref() {
            if run.operator != who.operator || who.program.is_some() {
                // Of others' runs, and of all for a program's key, what concerns hosts that they may look at.
                let Some(id) = run.id else { continue };
                let counted = if run.ended_ms.is_none() {
                    let live = self.look(hub, who, id, List::METHOD).ok();
                    live.map(|(live, sees)| counts(&live.lock(), &sees))
                } else if who.program.is_none() && is_administrator(who) {
                    Some(run.counts)
                } else if let Some(brief) = self.brief(id) {
                    counted(hub, who, id, &brief)
                } else if looks < LOOKS {
                    looks += 1;
                    let brief = self.read_brief(id).ok().flatten();
                    brief.and_then(|brief| counted(hub, who, id, &brief))
                } else {
                    // The next list goes on from here: what was read is remembered.
                    listing.more = true;
                    return listing;
                };
                let Some(counted) = counted else { continue };
                run.counts = counted;
            }
            listing.runs.push(run);
            if listing.runs.len() >= limit {
                break;
            }
        }
        listing.more = left.next().is_some();
        listing
    }

    /// One run with its targets.
    pub(crate) fn show(&self, hub: &Hub, who: &Who, show: Show) -> Result<Shown, CallError> {
        let (live, sees) = self.look(hub, who, show.run, Show::METHOD)?;
        let inner = live.lock();
        let mut start = inner.record.start.clone();
        if let Some(runbook) = &mut start.order.runbook {
            runbook.texts.clear();
        }
        start.callback = start.callback.filter(|_| matches!(sees, Sees::All));
        for value in start.order.env.values_mut() {
            "\u{2039}secret\u{203a}".clone_into(value);
        }
        let mut shown = Shown { run: inner.shown(live.id), start, ..Shown::default() };
        shown.run.counts = counts(&inner, &sees);
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
    let mut groups: BTreeMap<(TargetState, Option<i32>, &[u8]), Group> = BTreeMap::new();
    for (index, seat) in inner.seats.iter().enumerate() {
        if !sees.has(index) || !seat.state.is_end() {
            continue;
        }
        let group = groups.entry((seat.state, seat.code, &seat.sum)).or_insert_with(|| Group {
            state: seat.state,
            code: seat.code,
            count: 0,
            example: index as u32,
            sum: seat.sum.clone(),
            targets: Vec::new(),
        });
        group.count += 1;
        if group.targets.len() < CHUNK {
            group.targets.push(index as u32);
        }
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by(|a, b| b.count.cmp(&a.count).then(a.example.cmp(&b.example)));
    groups.truncate(CHUNK);
    // Their members are too many for one message when the groups are many.
    let mut left = 4 * CHUNK;
    for group in &mut groups {
        group.targets.truncate(left);
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
            shown.counts = counts(inner, &self.sees);
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
