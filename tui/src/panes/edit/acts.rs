//! What the editor asks of hosts, and the questions it asks of people: before a save, when others were quicker, when
//! something is wrong with the text.

use super::{
    Base, DROP, EditPane, FORCE, LOAD, MERGE, MINE, SAVE, TAKE_UP, THEIRS, number, restore,
};
use crate::action::{Action, Refused, reason};
use crate::event::Event;
use crate::link::Link;
use crate::overlays::confirm::Confirm as Asked;
use crate::overlays::menu::Menu;
use crate::overlays::pager::{Pager, Piece};
use crate::overlays::prompt::Prompt;
use crate::panes::hosts::quoted;
use crate::panes::{Context, Place};
use crate::store::edits::{Key, News, Read, came};
use crate::theme::Role;
use crate::widgets::format;
use cmdr_link::packed::{hash, pack, unpack};
use cmdr_protocol::display::clean;
use cmdr_protocol::edits::{
    Armed, Came, Confirm, LONGEST_S, OfVersion, Open, Problem, Revert, SHORTEST_S, Save, SaveEnd,
    Version, Versions,
};
use cmdr_protocol::files::{FilePath, Real};
use cmdr_protocol::{Call as _, CallError, ErrorKind, HostId};
use similar::{ChangeTag, TextDiff};
use std::time::Duration;

/// A text of some MiB may take its time on a thin line.
const PATIENCE: Duration = Duration::from_mins(1);
/// So long the smallest difference is looked for.
const LOOKING: Duration = Duration::from_millis(300);
/// Lines of a difference that are shown.
const SHOWN: usize = 5000;
/// The largest texts that are merged.
const MERGED: usize = 1 << 20;

/// Opens a file of a host in the editor. What was not saved of it before is offered.
pub fn open(context: &Context<'_>, host: HostId, path: FilePath) -> Action {
    let what = format!("{}:{path}", context.store.hosts.name(host));
    let real = Real { path: path.clone(), last: true };
    let draft = |path: &FilePath| context.store.edits.draft(&(host, path.clone())).is_some();
    let has_draft = draft(&path);
    let pane = move |path: FilePath, base| Opened { host, path, base, has_draft };
    // Through links to where the file is.
    Action::fetch(Some(host), real, PATIENCE, move |real| {
        let path = real.map_or(path, |real| real.path);
        let call = Open { path: path.clone() };
        let opened = Action::call(what, Some(host), call, move |opened| {
            let text = unpack(&opened.content).and_then(|bytes| {
                String::from_utf8(bytes).map_err(|e| CallError::malformed(e.to_string()))
            });
            match text {
                Ok(text) => {
                    let base = Base { text, exists: opened.file.is_some() };
                    (None, Action::Make(Box::new(pane(path, base))))
                }
                Err(e) => (None, Action::Complain(reason(&e))),
            }
        });
        (None, opened)
    })
}

/// A file of a host, behind links too, for a page that shows it in its own way.
pub(super) async fn found(link: &Link, host: HostId, path: FilePath) -> Read {
    let real = Real { path: path.clone(), last: true };
    let path = link.call(Some(host), real, PATIENCE).await.map_or(path, |real| real.path);
    let opened = link.call(Some(host), Open { path: path.clone() }, PATIENCE).await?;
    let text = String::from_utf8(unpack(&opened.content)?);
    let text = text.map_err(|e| CallError::malformed(format!("{path}: {e}")))?;
    Ok((path, opened.file.map(|_| text)))
}

/// A file that was opened, until there is a context to make its pane with.
struct Opened {
    host: HostId,
    path: FilePath,
    base: Base,
    has_draft: bool,
}

impl crate::action::Make for Opened {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let Self { host, path, base, has_draft } = *self;
        let place = Place::Edit(host, number(&path));
        let key = (host, path.clone());
        let pane = EditPane::new(context, host, path, base);
        let offer = has_draft.then(|| take_up(context, &pane, &key)).flatten();
        let enter = Action::Enter(place, Box::new(pane));
        Action::All([Some(enter), offer].into_iter().flatten().collect())
    }
}

/// Offers the text that was not saved.
pub(super) fn take_up(context: &Context<'_>, pane: &EditPane, key: &Key) -> Option<Action> {
    let draft = context.store.edits.draft(key)?;
    if draft.text == pane.base.text {
        return None;
    }
    let (now_s, offset) = (context.store.now_ms / 1000, context.store.utc_offset_s);
    let when = format::moment(draft.at_ms / 1000, now_s, offset);
    let title = context.texts.fill("edit.draft.title", &[&when]);
    let mut lines = Vec::new();
    if draft.base.as_ref() != pane.base.known().as_ref() {
        lines.push(vec![(Role::Warn, context.texts.get("edit.draft.changed").to_owned())]);
        lines.push(Vec::new());
    }
    lines.extend(difference(&pane.base.text, &draft.text));
    let texts = context.texts;
    let pager = Pager::new(title, lines)
        .with_key('t', texts.get("edit.draft.take"), Action::Give(TAKE_UP, String::new()))
        .with_key('d', texts.get("edit.draft.drop"), Action::Give(DROP, String::new()));
    Some(Action::Open(Box::new(pager)))
}

/// What differs between two texts, as lines to read.
pub(in crate::panes) fn difference(old: &str, new: &str) -> Vec<Vec<Piece>> {
    let diff = TextDiff::configure().timeout(LOOKING).diff_lines(old, new);
    let (mut lines, mut left) = (Vec::new(), 0);
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        if lines.len() < SHOWN {
            lines.push(vec![(Role::Info, hunk.header().to_string().trim_end().to_owned())]);
        }
        for change in hunk.iter_changes() {
            if lines.len() > SHOWN {
                left += 1;
                continue;
            }
            let (sign, role) = match change.tag() {
                ChangeTag::Delete => ('-', Role::Bad),
                ChangeTag::Insert => ('+', Role::Ok),
                ChangeTag::Equal => (' ', Role::Text),
            };
            let value = change.value();
            let value = value.strip_suffix('\n').unwrap_or(value).replace('\t', "    ");
            lines.push(vec![(role, format!("{sign}{}", clean(&value)))]);
        }
    }
    if left > 0 {
        lines.push(vec![(Role::Warn, format!("… +{}", format::count(left)))]);
    }
    lines
}

/// Shows what a save would change, and asks how.
pub(super) fn review(context: &Context<'_>, pane: &EditPane) -> Action {
    let texts = context.texts;
    if pane.saving {
        return Action::Say(texts.get("edit.saving").to_owned());
    }
    if !pane.is_dirty() {
        return Action::Say(texts.get("edit.same").to_owned());
    }
    if pane.armed(context).is_some() {
        return Action::Say(texts.get("edit.armed_first").to_owned());
    }
    let text = pane.text.whole();
    let mut lines = vec![vec![(Role::Soft, texts.get("edit.review.hint").to_owned())], Vec::new()];
    lines.extend(difference(&pane.base.text, &text));
    if text.lines().any(|line| line.starts_with("<<<<<<< ")) {
        let marks = texts.get("edit.has_marks").to_owned();
        lines.splice(0..0, [vec![(Role::Bad, marks)], Vec::new()]);
    }
    let own = Prompt::new(
        texts.get("edit.arm.own_title").to_owned(),
        "300".to_owned(),
        "edit.arm.own_hint",
        |text| match text.trim().parse::<u32>() {
            Ok(s) if (SHORTEST_S..=LONGEST_S).contains(&s) => Ok(Action::Give(SAVE, s.to_string())),
            _ => Err(format!("{SHORTEST_S} … {LONGEST_S}")),
        },
    );
    let give = |s: &str| Action::Give(SAVE, s.to_owned());
    let pager = Pager::new(texts.fill("edit.review.title", &[&pane.name()]), lines)
        .with_key('s', texts.get("edit.review.save"), give("0"))
        .with_key('a', texts.get("edit.review.arm30"), give("30"))
        .with_key('b', texts.get("edit.review.arm120"), give("120"))
        .with_key('o', texts.get("edit.review.own"), Action::Open(Box::new(own)));
    Action::Open(Box::new(pager))
}

/// Shows what differs from what is on the host.
pub(super) fn changes(context: &Context<'_>, pane: &EditPane) -> Action {
    if !pane.is_dirty() {
        return Action::Say(context.texts.get("edit.same").to_owned());
    }
    let lines = difference(&pane.base.text, &pane.text.whole());
    Action::Open(Box::new(Pager::new(
        context.texts.fill("edit.changes.title", &[&pane.name()]),
        lines,
    )))
}

/// What is asked for, so that it can be asked for again.
#[derive(Clone)]
struct Order {
    host: HostId,
    name: String,
    save: Save,
    text: String,
}

/// Saves the text.
pub(super) fn save(pane: &EditPane) -> Action {
    let text = pane.text.whole();
    let content = match pack(text.as_bytes()) {
        Ok(content) => content,
        Err(e) => {
            let failed = Action::Apply(came(pane.key(), News::Failed));
            return Action::All(vec![failed, Action::Complain(reason(&e))]);
        }
    };
    let expect = pane.base.known().map(|text| hash(text.as_bytes()));
    let (confirm_s, force) = pane.asked;
    let path = pane.path.clone();
    let save = Save { path, content, expect, confirm_s, force, ..Save::default() };
    errand(Order { host: pane.host, name: pane.name(), save, text })
}

fn errand(order: Order) -> Action {
    Action::Errand(Box::new(move |link| {
        Box::pin(async move {
            let key = (order.host, order.save.path.clone());
            let (news, action) = ask(link, order).await;
            Event::Done(Some(came(key, news)), action)
        })
    }))
}

async fn ask(link: Link, order: Order) -> (News, Action) {
    let host = Some(order.host);
    let saving = match link.call(host, order.save.clone(), PATIENCE).await {
        Ok(saving) => saving,
        Err(e) if e.kind == ErrorKind::OnRequest => {
            let refused = Refused {
                verb: Save::METHOD,
                resource: order.save.resource(),
                host,
                what: order.name.clone(),
                why: reason(&e),
                again: errand(order),
            };
            return (News::Failed, Action::Refused(Box::new(refused)));
        }
        Err(e) => {
            let away =
                matches!(e.kind, ErrorKind::Lost | ErrorKind::Unreachable | ErrorKind::TimedOut);
            let news = if away { News::Away } else { News::Failed };
            return (news, Action::Complain(format!("{}: {}", order.name, reason(&e))));
        }
    };
    match saving.result.how {
        SaveEnd::Saved | SaveEnd::Same => {
            let lost = saving.lost.iter().map(|lost| clean(lost).into_owned()).collect::<Vec<_>>();
            let told = if lost.is_empty() {
                Action::None
            } else {
                Action::Complain(format!("{}: {}", order.name, lost.join(", ")))
            };
            (News::Saved(order.text, saving.armed), told)
        }
        SaveEnd::Invalid => (News::Invalid(saving.problems), Action::None),
        SaveEnd::Conflict => {
            // Perhaps it is ours, and only the answer was lost.
            if saving.result.hash == hash(order.text.as_bytes()) {
                return (News::Saved(order.text, None), Action::None);
            }
            let open = Open { path: order.save.path.clone() };
            let theirs = link.call(host, open, PATIENCE).await.and_then(|opened| {
                let text = unpack(&opened.content)?;
                Ok(opened.file.map(|_| String::from_utf8_lossy(&text).into_owned()))
            });
            match theirs {
                Ok(theirs) => (News::Conflict(theirs), Action::None),
                Err(e) => {
                    (News::Failed, Action::Complain(format!("{}: {}", order.name, reason(&e))))
                }
            }
        }
        SaveEnd::Unknown => (News::Failed, Action::Complain(format!("{}: ?", order.name))),
    }
}

/// Both changes in one text, with marks where they touch the same lines.
pub(in crate::panes) fn merged(base: &str, mine: &str, theirs: &str) -> String {
    if [base, mine, theirs].iter().any(|text| text.len() > MERGED) {
        // Too large to be put together: all of both, for a person to look at.
        return format!("<<<<<<< ours\n{mine}\n=======\n{theirs}\n>>>>>>> theirs\n");
    }
    match diffy::merge(base, mine, theirs) {
        Ok(merged) | Err(merged) => merged,
    }
}

/// Others were quicker: a choice of three, with what they did and what we did.
pub(super) fn conflict(context: &Context<'_>, pane: &EditPane) -> Action {
    let texts = context.texts;
    let Some(theirs) = &pane.theirs else { return Action::None };
    let mine = pane.text.whole();
    let head = |key: &'static str| vec![(Role::Title, texts.get(key).to_owned())];
    let hint = vec![(Role::Soft, texts.get("edit.conflict.hint").to_owned())];
    let mut lines = vec![hint, Vec::new(), head("edit.conflict.theirs")];
    if !theirs.exists {
        lines.push(vec![(Role::Warn, texts.get("edit.conflict.gone").to_owned())]);
    }
    lines.extend(difference(&pane.base.text, &theirs.text));
    lines.extend([Vec::new(), head("edit.conflict.mine")]);
    lines.extend(difference(&pane.base.text, &mine));
    lines.extend([Vec::new(), head("edit.conflict.merged")]);
    lines.extend(difference(&theirs.text, &merged(&pane.base.text, &mine, &theirs.text)));
    let give = |command| Action::Give(command, String::new());
    let pager = Pager::new(texts.fill("edit.conflict.title", &[&pane.name()]), lines)
        .with_key('m', texts.get("edit.conflict.merge"), give(MERGE))
        .with_key('k', texts.get("edit.conflict.keep"), give(MINE))
        .with_key('t', texts.get("edit.conflict.take"), give(THEIRS));
    Action::Open(Box::new(pager))
}

/// Something is wrong with the text.
pub(super) fn invalid(context: &Context<'_>, problems: &[Problem]) -> Action {
    let texts = context.texts;
    let lines: Vec<Vec<Piece>> = problems
        .iter()
        .map(|problem| {
            let role = if problem.warning { Role::Warn } else { Role::Bad };
            let line = if problem.line == 0 { String::new() } else { problem.line.to_string() };
            vec![(Role::Soft, format!("{line:>6}  ")), (role, clean(&problem.what).into_owned())]
        })
        .collect();
    let only_warnings = problems.iter().all(|problem| problem.warning);
    let key = if only_warnings { "edit.invalid.warnings" } else { "edit.invalid.errors" };
    let mut pager = Pager::new(texts.get(key).to_owned(), lines);
    if only_warnings {
        let force = Action::Give(FORCE, String::new());
        pager = pager.with_key('s', texts.get("edit.invalid.save"), force);
    }
    Action::Open(Box::new(pager))
}

/// Keeps our text as a file of this machine.
pub(super) fn keep_mine(context: &Context<'_>, path: &FilePath, text: &str) -> Action {
    let name = format!("{}.mine", path.name().replace('/', "_"));
    let place = std::env::current_dir().unwrap_or_default().join(name);
    match cmdr_link::files::write_private(&place, text.as_bytes()) {
        Ok(()) => Action::Say(context.texts.fill("edit.mine", &[&place.display().to_string()])),
        Err(e) => Action::Complain(format!("{}: {e}", place.display())),
    }
}

/// Asks whether an armed edit is to be kept, or undone.
pub(super) fn settle(
    context: &Context<'_>,
    host: HostId,
    armed: Option<&Armed>,
    keep: bool,
) -> Action {
    let texts = context.texts;
    let Some(armed) = armed else {
        return Action::Say(texts.get("edit.nothing_armed").to_owned());
    };
    let (title, act) = if keep {
        ("edit.keep.ask", confirm(host, armed))
    } else {
        ("edit.revert.ask", revert(host, armed))
    };
    let path = format!("{}:{}", context.store.hosts.name(host), armed.path);
    let verb = if keep { "confirm" } else { "revert" };
    let command = format!("cmdr edits {verb} {} {}", quoted(&path), quoted(&armed.id));
    let asked = Asked::one(texts.fill(title, &[&clean(&path)]), act);
    Action::Open(Box::new(asked.copying(command)))
}

fn confirm(host: HostId, armed: &Armed) -> Action {
    let call = Confirm { path: armed.path.clone(), id: armed.id.clone() };
    Action::call(armed.path.to_string(), Some(host), call, |_| (None, Action::None))
}

fn revert(host: HostId, armed: &Armed) -> Action {
    let call = Revert { path: armed.path.clone(), id: armed.id.clone() };
    Action::call(armed.path.to_string(), Some(host), call, |_| (None, Action::None))
}

/// The versions of the file: what each of them changes, and putting it back.
pub(super) fn versions(context: &Context<'_>, pane: &EditPane) -> Action {
    let (host, path, name) = (pane.host, pane.path.clone(), pane.name());
    let title = context.texts.fill("edit.versions.title", &[&name]);
    let none = context.texts.fill("edit.versions.none", &[&name]);
    let keys = ["edit.versions.load", "edit.versions.restore"];
    let [load, put_back] = keys.map(|key| context.texts.get(key).to_owned());
    let texts = context.texts.clone();
    let (now_s, offset) = (context.store.now_ms / 1000, context.store.utc_offset_s);
    let mine = pane.text.whole();
    let back = restore(pane, 0);
    let call = Versions { path: path.clone() };
    Action::call(name.clone(), Some(host), call, move |listing| {
        if listing.versions.is_empty() {
            return (None, Action::Say(none));
        }
        let item = |version: &Version| {
            let when = format::moment(version.at_ms / 1000, now_s, offset);
            let by = clean(&version.by).into_owned();
            let note = clean(&version.note).into_owned();
            let came = texts.get(match version.came {
                Came::Saved => "edit.came.saved",
                Came::Restored => "edit.came.restored",
                _ => "edit.came.found",
            });
            (format!("{:>3}  {when}", version.number), format!("{came} {by}  {note}"))
        };
        let items = listing.versions.iter().map(item).collect();
        let numbers: Vec<u64> = listing.versions.iter().map(|version| version.number).collect();
        let menu = Menu::new(title, items, 0, move |at| {
            let Some(number) = numbers.get(at).copied() else { return Action::None };
            let of = OfVersion { path: path.clone(), number };
            let (mine, load, put_back) = (mine.clone(), load.clone(), put_back.clone());
            let texts = texts.clone();
            let (name, mut back) = (name.clone(), back.clone());
            Action::call(name.clone(), Some(host), of, move |kept| {
                let text = match unpack(&kept.content) {
                    Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                    Err(e) => return (None, Action::Complain(reason(&e))),
                };
                back.number = number;
                let key = (host, back.path.clone());
                let restored = text.clone();
                let again = Action::call(name.clone(), Some(host), back, move |saving| {
                    let armed = saving.armed;
                    match saving.result.how {
                        SaveEnd::Saved | SaveEnd::Same => {
                            let load = Action::Give(LOAD, restored.clone());
                            (Some(came(key, News::Saved(restored, armed))), load)
                        }
                        how => (None, Action::Complain(how.to_string())),
                    }
                });
                let ask = texts.fill("edit.versions.ask", &[&number.to_string(), &name]);
                let again = Action::Open(Box::new(Asked::one(ask, again)));
                let mut lines = difference(&mine, &text);
                if lines.is_empty() {
                    lines.push(vec![(Role::Soft, texts.get("edit.versions.same").to_owned())]);
                }
                let pager = Pager::new(format!("{name}  {number}"), lines)
                    .copying(text.clone())
                    .with_key('l', &load, Action::Give(LOAD, text))
                    .with_key('r', &put_back, again);
                (None, Action::Open(Box::new(pager)))
            })
        });
        (None, Action::Open(Box::new(menu)))
    })
}

/// What waits to be confirmed anywhere, and texts that were not saved.
pub fn waiting(context: &Context<'_>) -> Action {
    enum Choice {
        Settle(HostId, Armed, bool),
        Open(HostId, FilePath),
    }
    let Context { store, texts, .. } = *context;
    let (mut items, mut choices) = (Vec::new(), Vec::new());
    for (host, armed, left) in store.edits.waiting(store.now_ms) {
        let name = format!("{}:{}", store.hosts.name(host), armed.path);
        let left = texts.fill("edit.waiting.left", &[&left.div_ceil(1000).to_string()]);
        items.push((texts.fill("edit.waiting.keep", &[&name]), left.clone()));
        choices.push(Choice::Settle(host, armed.clone(), true));
        items.push((texts.fill("edit.waiting.undo", &[&name]), left));
        choices.push(Choice::Settle(host, armed.clone(), false));
    }
    for draft in &store.edits.drafts {
        let name = format!("{}:{}", clean(&draft.host_name), draft.path);
        let when = format::moment(draft.at_ms / 1000, store.now_ms / 1000, store.utc_offset_s);
        items.push((texts.fill("edit.waiting.draft", &[&name]), when));
        choices.push(Choice::Open(draft.host, draft.path.clone()));
    }
    if items.is_empty() {
        return Action::Say(texts.get("edit.waiting.none").to_owned());
    }
    let menu = Menu::new(texts.get("edit.waiting.title").to_owned(), items, 0, move |at| {
        match choices.get(at) {
            Some(Choice::Settle(host, armed, keep)) => {
                Action::Make(Box::new(Settled(*host, armed.clone(), *keep)))
            }
            Some(Choice::Open(host, path)) => Action::Make(Box::new(Wanted(*host, path.clone()))),
            None => Action::None,
        }
    });
    Action::Open(Box::new(menu))
}

/// An edit that is to be kept or undone, until there is a context.
struct Settled(HostId, Armed, bool);

impl crate::action::Make for Settled {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        settle(context, self.0, Some(&self.1), self.2)
    }
}

/// A file that is to be opened, until there is a context.
struct Wanted(HostId, FilePath);

impl crate::action::Make for Wanted {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        open(context, self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_has_both_changes_and_marks_where_they_meet() {
        assert_eq!(merged("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n"), "A\nb\nC\n");
        let marked = merged("a\n", "mine\n", "theirs\n");
        assert!(marked.starts_with("<<<<<<< ours\nmine\n"), "{marked}");
        let large = "x\n".repeat(MERGED);
        assert!(merged(&large, "mine", "theirs").contains("mine\n=======\ntheirs"));
    }

    #[test]
    fn a_difference_is_harmless_and_bounded() {
        let lines = difference("a\n", "a\n\u{1b}[31mb\n");
        assert!(lines.iter().flatten().any(|(_, text)| text == "+␛[31mb"), "{lines:?}");
        let many: Vec<_> = (0..20_000).map(|n| n.to_string()).collect();
        let lines = difference("", &many.join("\n"));
        assert!(lines.len() <= SHOWN + 2);
        // How much is not shown is said.
        let last = lines.last().and_then(|line| line.first());
        assert_eq!(last.map(|(_, text)| text.as_str()), Some("… +15,000"));
    }
}
