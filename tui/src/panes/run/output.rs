//! What hosts of a run printed: beside the list, as a difference to what most printed, and whole to read.

use super::{AGAIN_MS, RunPane, columns};
use crate::action::{Action, Make, PATIENCE};
use crate::overlays::pager::{Pager, Piece};
use crate::panes::edit::difference;
use crate::panes::{Context, Place};
use crate::store::Update;
use crate::store::runs::{Printed, Watched, fetched, fetching, printed};
use crate::store::sheets::id_of;
use crate::theme::Role;
use crate::widgets::{format, frame as boxes, table};
use cmdr_protocol::display::clean;
use cmdr_protocol::runbooks::{StepListing, StepState, Steps};
use cmdr_protocol::runs::{Group, Output, Target, TargetState};
use cmdr_protocol::{CallError, RunId};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use std::collections::HashMap;
use std::sync::Arc;

/// Outputs on their way at once.
const AT_ONCE: usize = 2;
/// Outputs of so few lines are compared even if they have none in common.
const SHORT: usize = 2;
/// Longer outputs are not compared in the list.
const COMPARED: usize = 64 * 1024;

/// Which output the largest group has, and which another one.
type Sums = (u64, u64);

/// What is seen of outputs.
#[derive(Default)]
pub(super) struct Shown {
    /// The target that is at work and looked at.
    pub(super) live: Option<u32>,
    /// To be opened to read as soon as it is there.
    pub(super) to_open: Option<u32>,
    /// Also where it differs from what most printed.
    pub(super) whole: bool,
    /// The first line that is shown.
    pub(super) top: usize,
    /// Where it was drawn last.
    pub(super) area: Rect,
    /// Of which target.
    of: Option<u32>,
    /// What was asked for: in which attempt, and when.
    asked: HashMap<u32, (u32, u64)>,
    /// How many lines of groups are others than in the largest one, and the first of them, by the sums of both.
    changes: HashMap<Sums, (usize, Option<String>)>,
    /// The target that stands for the largest group, and which output that has.
    major: Option<(u32, u64)>,
    diff: Option<(Sums, Vec<Vec<Piece>>)>,
    held: Arc<()>,
}

/// Whether a difference has lines that both have.
fn has_common(lines: &[Vec<Piece>]) -> bool {
    lines.iter().any(|line| line.first().is_some_and(|(_, text)| text.starts_with(' ')))
}

fn ready(watched: &Watched, index: u32) -> Option<&Printed> {
    let target = watched.target(index)?;
    watched.output(index).filter(|output| output.is_whole(target.attempt))
}

impl Shown {
    pub(super) fn scroll(&mut self, by: isize) {
        let by = by * (isize::from(self.area.height.cast_signed()) / 2).max(1);
        self.top = self.top.saturating_add_signed(by);
    }

    /// Whether all that can be there of a target's output is there.
    pub(super) fn is_there(watched: &Watched, target: &Target) -> bool {
        !target.state.is_end()
            || target.sum.is_empty()
            || watched.output(target.index).is_some_and(|output| output.error.is_some())
            || ready(watched, target.index).is_some()
    }

    /// Asks for the first of these that is not there.
    pub(super) fn fetch(
        &mut self,
        context: &Context<'_>,
        run: RunId,
        watched: &Watched,
        wanted: &[u32],
    ) -> Action {
        let now_ms = context.store.now_ms;
        let coming = self.asked.iter().filter(|(index, (attempt, _))| {
            watched
                .output(**index)
                .is_some_and(|output| output.coming && !output.is_whole(*attempt))
        });
        if coming.count() >= AT_ONCE {
            return Action::None;
        }
        for &index in wanted {
            let Some(target) = watched.target(index) else { continue };
            if !target.state.is_end() || target.sum.is_empty() || ready(watched, index).is_some() {
                continue;
            }
            let output = watched.output(index);
            if let Some((attempt, at_ms)) = self.asked.get(&index)
                && *attempt == target.attempt
            {
                let error = output.and_then(|output| output.error.as_ref());
                let rested = now_ms.saturating_sub(*at_ms) >= AGAIN_MS;
                let gone = output.is_none();
                if !gone && !error.is_some_and(|e| rested && crate::link::is_passing(e)) {
                    continue;
                }
            }
            let attempt = target.attempt;
            self.asked.insert(index, (attempt, now_ms));
            let since = output.map_or(String::new(), |output| output.cursor.clone());
            let output = Output { run, targets: vec![index], since, follow: false };
            let take = move |item: Option<Result<_, CallError>>| match item {
                Some(Ok(item)) => Update::new(move |store| printed(store, run, index, item)),
                Some(Err(error)) => fetched(run, index, Err(error)),
                None => fetched(run, index, Ok(())),
            };
            let follow = Action::follow(output, Arc::downgrade(&self.held), take);
            return Action::All(vec![Action::Apply(fetching(run, index, attempt)), follow]);
        }
        Action::None
    }

    /// Counts by how many lines each group differs from the largest one.
    pub(super) fn count_changes(&mut self, watched: &Watched, groups: &[(u64, Group)]) {
        let has = |group: &&Group| group.state.is_end() && !group.sum.is_empty();
        let mut groups = groups.iter().map(|(_, group)| group).filter(has);
        let Some(major) = groups.next() else { return };
        let sum = id_of(&major.sum);
        self.major = Some((major.example, sum));
        let Some(most) = ready(watched, major.example) else { return };
        for group in groups.take(super::TOLD_APART) {
            let key = (sum, id_of(&group.sum));
            if self.changes.contains_key(&key) {
                continue;
            }
            let Some(other) = ready(watched, group.example) else { continue };
            let (old, new) = (most.whole_text(), other.whole_text());
            if old.len().max(new.len()) > COMPARED {
                continue;
            }
            let lines = difference(&old, &new);
            let texts = lines.iter().filter_map(|line| line.first()).map(|(_, text)| text);
            let changed = texts.clone().filter(|text| text.starts_with(['+', '-'])).count();
            let first = texts.clone().find_map(|text| text.strip_prefix('+'));
            let first = first.filter(|_| has_common(&lines)).map(str::to_owned);
            self.changes.insert(key, (changed, first));
        }
    }

    /// By how many lines a group differs from the largest one, when that is known.
    pub(super) fn changes(&self, group: &Group) -> Option<usize> {
        self.changes.get(&(self.major?.1, id_of(&group.sum))).map(|(lines, _)| *lines)
    }

    /// The first line of a group that the largest one does not have.
    pub(super) fn differs(&self, group: &Group) -> Option<&str> {
        self.changes.get(&(self.major?.1, id_of(&group.sum)))?.1.as_deref()
    }

    /// The lines to show for a target: a difference where that is shorter to read.
    fn lines(&mut self, watched: &Watched, index: u32) -> (Vec<Vec<Piece>>, bool) {
        let sum = watched.target(index).map(|target| id_of(&target.sum));
        let other = self.major.zip(sum).filter(|((_, major), sum)| major != sum && !self.whole);
        if let Some(((major, of_major), sum)) = other
            && let (Some(most), Some(own)) = (ready(watched, major), ready(watched, index))
        {
            let key = (of_major, sum);
            if self.diff.as_ref().is_none_or(|(known, _)| *known != key) {
                self.diff = Some((key, difference(&most.whole_text(), &own.whole_text())));
            }
            let lines = self.diff.as_ref().map(|(_, lines)| lines.clone()).unwrap_or_default();
            // What has nothing in common is easier to read as it is.
            let short = most.len().max(own.len()) <= SHORT;
            if !lines.is_empty() && (short || has_common(&lines)) {
                return (lines, true);
            }
        }
        let lines = watched.output(index).map(pieces).unwrap_or_default();
        (lines, false)
    }
}

fn pieces(output: &Printed) -> Vec<Vec<Piece>> {
    let role = |is_error| if is_error { Role::Warn } else { Role::Text };
    output.lines().map(|line| vec![(role(line.is_error), line.text)]).collect()
}

/// What is missing of an output, as lines above it.
fn missing(context: &Context<'_>, output: Option<&Printed>) -> Vec<Vec<Piece>> {
    let texts = context.texts;
    let mut lines = Vec::new();
    let Some(output) = output else { return lines };
    if output.lost > 0 {
        let text = texts.fill("run.output.lost", &[&format::size(output.lost)]);
        lines.push(vec![(Role::Warn, text)]);
    }
    if output.dropped > 0 {
        let text = texts.fill("run.output.dropped", &[&format::count(output.dropped)]);
        lines.push(vec![(Role::Warn, text)]);
    }
    lines
}

/// What is said about a target above its output.
fn title(context: &Context<'_>, target: &Target) -> Vec<Piece> {
    let (text, role) = columns::outcome(context, target.state, target.code);
    let mut title = vec![(Role::Title, target.name.clone()), (role, format!("  {text}"))];
    if let Some(took) = target.took_ms {
        title.push((Role::Soft, format!("  {}", columns::seconds(took))));
    }
    if !target.step.is_empty() {
        title.push((Role::Accent, format!("  {}", target.step)));
    }
    title
}

/// All that a host printed, to read and search.
pub(super) fn pager(
    context: &Context<'_>,
    run: RunId,
    watched: &Watched,
    target: &Target,
) -> Action {
    let texts = context.texts;
    let output = watched.output(target.index);
    let mut lines = vec![title(context, target)];
    if !target.why.is_empty() {
        lines.push(vec![(Role::Warn, context.texts.reason(&target.why))]);
    }
    lines.extend(missing(context, output));
    if let Some(error) = output.and_then(|output| output.error.as_ref()) {
        lines.push(vec![(Role::Bad, crate::action::reason(error))]);
    }
    lines.push(Vec::new());
    match output.filter(|output| !output.is_empty()) {
        Some(output) => lines.extend(pieces(output)),
        None => lines.push(vec![(Role::Faint, texts.get("run.silent").to_owned())]),
    }
    let name = crate::panes::hosts::quoted(&target.name);
    let mut pager = Pager::new(target.name.clone(), lines)
        .with_wrap()
        .copying(output.map(Printed::whole_text).unwrap_or_default())
        .copying_command(format!("cmdr run output {run} {name}"));
    if let Some(host) = target.host.filter(|host| context.store.hosts.get(*host).is_some()) {
        let go = Action::Go(Place::Host(host, 0));
        pager = pager.with_key('H', texts.get("run.key.host"), go);
    }
    if !target.state.is_end() {
        pager = pager.from_end();
    }
    Action::Open(Box::new(pager))
}

/// The steps of a runbook on a host, once they came.
struct Told(RunId, u32, Result<StepListing, CallError>);

impl Make for Told {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let Self(run, index, steps) = *self;
        let texts = context.texts;
        let target = context.store.runs.watched(run).and_then(|watched| watched.target(index));
        let (steps, target) = match (steps, target) {
            (Ok(steps), Some(target)) => (steps.steps, target),
            (Err(error), _) => return Action::Complain(crate::action::reason(&error)),
            _ => return Action::None,
        };
        let mut lines = vec![title(context, target)];
        if !target.why.is_empty() {
            lines.push(vec![(Role::Warn, context.texts.reason(&target.why))]);
        }
        for step in &steps {
            let (sign, word, role) = match step.state {
                StepState::Running => ("▶", "run.step.running", Role::Info),
                StepState::Ok if step.changed => ("✓", "run.step.changed", Role::Ok),
                StepState::Ok => ("✓", "run.step.ok", Role::Ok),
                StepState::Failed => ("✗", "run.step.failed", Role::Bad),
                StepState::Ignored => ("!", "run.step.ignored", Role::Warn),
                StepState::Skipped => ("–", "run.step.skipped", Role::Soft),
                StepState::Waiting | StepState::Unknown => ("·", "run.step.waiting", Role::Faint),
            };
            lines.push(Vec::new());
            let code = step.code.filter(|code| *code != 0);
            let code = code.map(|code| format!(" {code}")).unwrap_or_default();
            let mut head = vec![
                (role, format!("{sign} ")),
                (Role::Strong, clean(&step.name).into_owned()),
                (role, format!("  {}{code}", texts.get(word))),
            ];
            if step.took_ms > 0 {
                head.push((Role::Soft, format!("  {}", columns::seconds(step.took_ms))));
            }
            if step.tries > 1 {
                let tries = texts.fill("run.step.tries", &[&step.tries.to_string()]);
                head.push((Role::Soft, format!("  {tries}")));
            }
            lines.push(head);
            if !step.why.is_empty() {
                lines.push(vec![(Role::Warn, format!("  {}", texts.reason(&step.why)))]);
            }
            let output = step.output.lines();
            lines.extend(output.map(|line| {
                vec![(Role::Text, format!("  {}", clean(&line.replace('\t', "    "))))]
            }));
        }
        if steps.is_empty() {
            lines.push(vec![(Role::Faint, texts.get("run.step.none").to_owned())]);
        }
        let mut pager = Pager::new(target.name.clone(), lines).with_wrap();
        if let Some(host) = target.host.filter(|host| context.store.hosts.get(*host).is_some()) {
            let go = Action::Go(Place::Host(host, 0));
            pager = pager.with_key('H', texts.get("run.key.host"), go);
        }
        Action::Open(Box::new(pager))
    }
}

/// Asks for the steps of a runbook on a host, and shows them.
pub(super) fn steps(run: RunId, target: u32) -> Action {
    Action::fetch(None, Steps { run, target }, PATIENCE, move |steps| {
        (None, Action::Make(Box::new(Told(run, target, steps))))
    })
}

impl RunPane {
    pub(super) fn draw_output(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { theme, texts, glyphs, .. } = *context;
        let Some(watched) = self.watched(context) else { return };
        let looked_at = self.looked_at();
        if self.shown.of != looked_at {
            (self.shown.of, self.shown.top) = (looked_at, 0);
        }
        let target = looked_at.and_then(|index| watched.target(index));
        let Some(target) = target else { return };
        let (mut lines, is_diff) = self.shown.lines(watched, target.index);
        let silent = lines.is_empty();
        let mut head = title(context, target);
        if !self.by_host
            && let Some(group) = self.groups.selected().and_then(|number| self.group(number))
            && group.count > 1
        {
            let others = format::count(group.count as usize - 1);
            head.push((Role::Soft, format!("  {}", texts.fill("run.and_others", &[&others]))));
        }
        let note = if is_diff {
            let most = self.majority().and_then(|group| watched.target(group.example));
            let name = most.map_or("", |target| target.name.as_str());
            format!(" {} ", texts.fill("run.diff_to", &[name]))
        } else {
            String::new()
        };
        let span = |(role, text): (Role, String)| Span::styled(text, theme.style(role));
        let mut head: Line<'_> = head.into_iter().map(span).collect();
        head.spans.insert(0, Span::raw(" "));
        head.push_span(Span::raw(" "));
        let note = Line::styled(note, theme.style(Role::Accent));
        let note = if head.width() + note.width() + 4 > usize::from(area.width) {
            Line::default()
        } else {
            note
        };
        let inner = boxes::panel(frame.buffer_mut(), area, head, note, theme, glyphs);
        self.shown.area = inner;
        let output = watched.output(target.index);
        let mut above = missing(context, output);
        if !target.why.is_empty() {
            above.insert(0, vec![(Role::Warn, context.texts.reason(&target.why))]);
        }
        if silent {
            let error = output.and_then(|output| output.error.as_ref());
            above.push(match error {
                Some(error) => vec![(Role::Bad, crate::action::reason(error))],
                None if !Self::may_read(context) => {
                    vec![(Role::Faint, texts.get("run.no_output_right").to_owned())]
                }
                None if target.state.is_end()
                    && !target.sum.is_empty()
                    && output.is_none_or(|o| !o.is_whole(target.attempt)) =>
                {
                    vec![(Role::Faint, texts.get("sheet.loading").to_owned())]
                }
                None => {
                    let key = match target.state {
                        TargetState::Queued => "run.not_begun",
                        TargetState::Sent | TargetState::Running => "run.silent_yet",
                        _ => "run.silent",
                    };
                    vec![(Role::Faint, texts.get(key).to_owned())]
                }
            });
        }
        above.append(&mut lines);
        let width = usize::from(inner.width.saturating_sub(2)).max(1);
        let room = usize::from(inner.height);
        // The newest is looked at while it comes.
        let most = above.len().saturating_sub(room.max(1));
        if !target.state.is_end() && self.shown.top == 0 {
            above.drain(..most);
        } else {
            self.shown.top = self.shown.top.min(most);
            above.drain(..self.shown.top);
        }
        let rows = above.iter().flat_map(|line| crate::overlays::wrap(line, width)).take(room);
        for (y, row) in (inner.y..inner.bottom()).zip(rows) {
            let line: Line<'_> = row.into_iter().map(span).collect();
            table::put(frame.buffer_mut(), inner.x + 1, y, width as u16, &line, false);
        }
    }

    /// What is copied: the output, or the name of the host without one.
    pub(super) fn copy(&self, context: &Context<'_>) -> Action {
        let Some(watched) = self.watched(context) else { return Action::None };
        let Some(index) = self.looked_at() else { return Action::None };
        let output = watched.output(index).map(Printed::whole_text);
        let name = || watched.target(index).map(|target| target.name.clone());
        match output.filter(|text| !text.is_empty()).or_else(name) {
            Some(text) => Action::Copy(text),
            None => Action::None,
        }
    }

    /// The `cmdr` command for what is shown.
    pub(super) fn command(&self, context: &Context<'_>) -> String {
        let run = self.run;
        if !self.by_host {
            return format!("cmdr run show {run} --fold");
        }
        let target = self.hosts.selected();
        let target = target.and_then(|index| self.watched(context)?.target(index));
        match target {
            Some(target) => {
                format!("cmdr run output {run} {}", crate::panes::hosts::quoted(&target.name))
            }
            None => format!("cmdr run show {run}"),
        }
    }
}
