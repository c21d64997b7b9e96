//! What can be done to runs and schedules, asked first as far as it can harm; and the text of a runbook.

use crate::action::{Action, Make, PATIENCE};
use crate::overlays::confirm::Confirm;
use crate::overlays::pager::{Pager, Piece};
use crate::panes::compose::ComposePane;
use crate::panes::{Context, Place};
use crate::store::runs::{Draft, changed, gone};
use crate::theme::Role;
use crate::widgets::format;
use cmdr_protocol::CallError;
use cmdr_protocol::display::{clean, clean_to_width};
use cmdr_protocol::runbooks::{self, Signed};
use cmdr_protocol::runs::{
    Delete, DeleteSchedule, List, Listing, Pause, PauseSchedule, Resume, Retry, Run, RunState,
    Show, Shown, Stop,
};

/// Cells of an order in a question.
const TOLD: usize = 60;

fn told(run: &Run) -> String {
    clean_to_width(&run.what, TOLD)
}

/// Ends a run everywhere at once.
pub(in crate::panes) fn stop(context: &Context<'_>, run: &Run) -> Action {
    let texts = context.texts;
    let Some(id) = run.id else { return Action::None };
    if run.state.is_over() {
        return Action::Say(texts.get("runs.is_over").to_owned());
    }
    let what = texts.fill("runs.stop.what", &[&told(run)]);
    let done = texts.get("runs.stop.done").to_owned();
    let call = Action::call(what, None, Stop { run: id, why: String::new() }, move |run| {
        (Some(changed(run)), Action::Say(done))
    });
    let title = texts.fill("runs.stop.title", &[&told(run)]);
    let counts = run.counts;
    let lines = vec![
        texts.fill("runs.stop.queued", &[&counts.queued.to_string()]),
        texts.fill("runs.stop.running", &[&(counts.sent + counts.running).to_string()]),
    ];
    let command = format!("cmdr run stop {id}");
    Action::Open(Box::new(Confirm::one(title, call).about(lines).copying(command)))
}

/// The runs that go on, once they came.
struct All(Result<Listing, CallError>);

impl Make for All {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let mut runs = match self.0 {
            Ok(listing) => listing.runs,
            Err(error) => return Action::Complain(crate::action::reason(&error)),
        };
        runs.retain(|run| run.id.is_some() && run.state != RunState::Stopping);
        if runs.is_empty() {
            return Action::Say(texts.get("runs.stop_all.none").to_owned());
        }
        let count = runs.len().to_string();
        let done = texts.fill("runs.stop_all.done", &[&count]);
        let stop = |run: &Run| {
            let what = texts.fill("runs.stop.what", &[&told(run)]);
            let (stop, done) = (Stop { run: run.id?, why: String::new() }, done.clone());
            Some(Action::call(what, None, stop, |run| (Some(changed(run)), Action::Say(done))))
        };
        let all = Action::All(runs.iter().filter_map(stop).collect());
        let name = |run: &Run| format!("{}  {}", told(run), clean(&run.operator));
        let names = runs.iter().map(name).collect();
        let title = texts.fill("runs.stop_all.title", &[&count]);
        let confirm = Confirm::many(title, names, all).copying("cmdr run stop --all".to_owned());
        Action::Open(Box::new(confirm))
    }
}

/// Ends all runs that go on, as far as the hub tells of them at once.
pub(super) fn stop_all() -> Action {
    let list = List { open: true, ..List::default() };
    Action::fetch(None, list, PATIENCE, |listing| (None, Action::Make(Box::new(All(listing)))))
}

/// Pauses a run that goes on, and lets one that is paused go on.
pub(in crate::panes) fn pause(context: &Context<'_>, run: &Run) -> Action {
    let texts = context.texts;
    let Some(id) = run.id else { return Action::None };
    match run.state {
        RunState::Paused => {
            let what = texts.fill("runs.resume.what", &[&told(run)]);
            let done = texts.get("runs.resume.done").to_owned();
            Action::call(what, None, Resume { run: id }, move |run| {
                (Some(changed(run)), Action::Say(done))
            })
        }
        RunState::Running => {
            let what = texts.fill("runs.pause.what", &[&told(run)]);
            let done = texts.get("runs.pause.done").to_owned();
            Action::call(what, None, Pause { run: id }, move |run| {
                (Some(changed(run)), Action::Say(done))
            })
        }
        _ => Action::Say(texts.get("runs.no_pause").to_owned()),
    }
}

/// Tries again on these targets (index and name); on none: on all that failed, were lost or unreachable.
pub(in crate::panes) fn retry(
    context: &Context<'_>,
    run: &Run,
    chosen: &[(u32, String)],
) -> Action {
    let texts = context.texts;
    let Some(id) = run.id else { return Action::None };
    if !run.state.is_over() {
        return Action::Say(texts.get("runs.not_over").to_owned());
    }
    let counts = run.counts;
    let count = match chosen.len() {
        0 => counts.failed + counts.lost + counts.unreachable,
        some => some as u32,
    };
    if count == 0 {
        return Action::Say(texts.get("runs.retry.none").to_owned());
    }
    let what = texts.fill("runs.retry.what", &[&told(run)]);
    let done = texts.get("runs.retry.done").to_owned();
    let targets = chosen.iter().map(|(index, _)| *index).collect();
    let retry = Retry { run: id, targets, cancelled: false, confirm: Some(count) };
    let call = Action::call(what, None, retry, move |started| {
        (None, Action::Say(done.replacen("{}", &started.targets.to_string(), 1)))
    });
    let title = texts.fill("runs.retry.title", &[&told(run), &count.to_string()]);
    let names: Vec<String> = chosen.iter().map(|(_, name)| name.clone()).collect();
    let confirm = if count == 1 {
        Confirm::one(title, call).about(names)
    } else {
        let names = match names.len() {
            0 => [
                ("runs.target.failed", counts.failed),
                ("runs.target.lost", counts.lost),
                ("runs.target.unreachable", counts.unreachable),
            ]
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .map(|(word, n)| format!("{n} {}", texts.get(word)))
            .collect(),
            _ => names,
        };
        Confirm::many(title, names, call).counting(count as usize)
    };
    Action::Open(Box::new(confirm.copying(format!("cmdr run retry {id}"))))
}

/// Deletes a run that is over, with all that is kept of it.
pub(super) fn delete_run(context: &Context<'_>, run: &Run) -> Action {
    let texts = context.texts;
    let Some(id) = run.id else { return Action::None };
    if !run.state.is_over() {
        return Action::Say(texts.get("runs.not_over").to_owned());
    }
    let what = texts.fill("runs.delete.what", &[&told(run)]);
    let done = texts.get("runs.delete.done").to_owned();
    let call =
        Action::call(what, None, Delete { run: id }, move |_| (Some(gone(id)), Action::Say(done)));
    let title = texts.fill("runs.delete.title", &[&told(run)]);
    let lines = vec![texts.fill("runs.delete.lines", &[&run.counts.targets.to_string()])];
    let command = format!("cmdr run rm {id}");
    Action::Open(Box::new(Confirm::one(title, call).about(lines).copying(command)))
}

/// A run's order as it is in a composer, once it came.
struct Again(Result<Shown, CallError>);

impl Make for Again {
    fn make(self: Box<Self>, _context: &Context<'_>) -> Action {
        match self.0 {
            Ok(shown) => {
                let pane = ComposePane::of(Draft::of_run(&shown.start));
                Action::Enter(Place::Compose, Box::new(pane))
            }
            Err(error) => Action::Complain(crate::action::reason(&error)),
        }
    }
}

/// Composes the same order again.
pub(in crate::panes) fn again(context: &Context<'_>, run: &Run) -> Action {
    let Some(id) = run.id else { return Action::None };
    // What is known already, unless a part of it was held back.
    let known = context.store.runs.watched(id).and_then(|watched| watched.start.as_ref());
    if let Some(start) = known {
        let pane = ComposePane::of(Draft::of_run(start));
        return Action::Enter(Place::Compose, Box::new(pane));
    }
    Action::fetch(None, Show { run: id, from: 0 }, PATIENCE, |shown| {
        (None, Action::Make(Box::new(Again(shown))))
    })
}

/// Lets a schedule begin nothing, or begin runs again.
pub(super) fn pause_schedule(context: &Context<'_>, row: u64) -> Action {
    let texts = context.texts;
    let Some(schedule) = context.store.runs.schedules.get(&row) else { return Action::None };
    let paused = !schedule.paused;
    let name = clean(&schedule.name).into_owned();
    let done = if paused { "schedules.paused" } else { "schedules.resumed" };
    let done = texts.fill(done, &[&name]);
    let what = texts.fill("schedules.pause.what", &[&name]);
    let call = PauseSchedule { name: schedule.name.clone(), paused };
    Action::call(what, None, call, |_| (Some(stale()), Action::Say(done)))
}

/// Takes a schedule away.
pub(super) fn delete_schedule(context: &Context<'_>, row: u64) -> Action {
    let texts = context.texts;
    let Some(schedule) = context.store.runs.schedules.get(&row) else { return Action::None };
    let name = clean(&schedule.name).into_owned();
    let done = texts.fill("schedules.delete.done", &[&name]);
    let what = texts.fill("schedules.delete.what", &[&name]);
    let call = DeleteSchedule { name: schedule.name.clone() };
    let call = Action::call(what, None, call, |_| (Some(stale()), Action::Say(done)));
    let title = texts.fill("schedules.delete.title", &[&name]);
    let command = format!("cmdr run schedule delete {}", crate::panes::hosts::quoted(&name));
    Action::Open(Box::new(Confirm::one(title, call).copying(command)))
}

/// The list of schedules is asked for at once.
fn stale() -> crate::store::Update {
    crate::store::Update::new(|store| {
        let sheet = store.sheet_mut(crate::store::runs::SCHEDULES);
        (sheet.came_ms, sheet.asked_ms) = (0, 0);
    })
}

/// A runbook to read, once it came.
struct Book(Result<runbooks::Shown, CallError>);

impl Make for Book {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let shown = match self.0 {
            Ok(shown) => shown,
            Err(error) => return Action::Complain(crate::action::reason(&error)),
        };
        let mut lines = vec![vec![signature(context, shown.runbook.signed.as_ref())]];
        for problem in &shown.problems {
            lines.push(vec![(Role::Bad, clean(&problem.to_string()).into_owned())]);
        }
        lines.push(Vec::new());
        let text = shown.text.lines().map(|line| {
            let line = clean(&line.replace('\t', "    ")).into_owned();
            let role = if line.trim_start().starts_with('#') { Role::Soft } else { Role::Text };
            vec![(role, line)]
        });
        lines.extend(text);
        let name = clean(&shown.runbook.name).into_owned();
        let compose = crate::panes::Choice::Open(Place::Compose, shown.runbook.name).action();
        let pager = Pager::new(name.clone(), lines)
            .with_wrap()
            .copying(shown.text)
            .copying_command(format!("cmdr runbook show {}", crate::panes::hosts::quoted(&name)))
            .with_key('e', texts.get("runbooks.key.compose"), compose);
        Action::Open(Box::new(pager))
    }
}

/// Who signed a runbook, when, and whether that holds.
pub(in crate::panes) fn signature(context: &Context<'_>, signed: Option<&Signed>) -> Piece {
    let (texts, store) = (context.texts, context.store);
    let Some(signed) = signed else {
        return (Role::Soft, texts.get("runbooks.unsigned").to_owned());
    };
    let at = format::moment(signed.at_ms / 1000, store.now_ms / 1000, store.utc_offset_s);
    let by = clean(&signed.by);
    if signed.holds {
        (Role::Soft, texts.fill("runbooks.holds", &[&by, &at]))
    } else {
        (Role::Bad, texts.fill("runbooks.holds_not", &[&by, &at, &clean(&signed.why)]))
    }
}

/// Shows the text of a runbook.
pub(super) fn book_text(name: &str) -> Action {
    let show = runbooks::Show { name: name.to_owned(), version: None };
    Action::fetch(None, show, PATIENCE, |shown| (None, Action::Make(Box::new(Book(shown)))))
}
