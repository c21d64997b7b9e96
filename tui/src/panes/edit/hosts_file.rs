//! The hosts file of a host as a table: entries are added, changed, taken away and switched on and off. What is behind
//! it is the editor's own text, so that saving, versions, the dead-man switch and what was not saved are the editor's.

mod rows;

use super::acts;
use super::{Base, CHANGES, EditPane, KEEP, REDO, REVERT, SAVE, UNDO, VERSIONS, number};
use crate::action::Action;
use crate::event::Event;
use crate::keymap::{Binding, Command, LIST, key};
use crate::link::is_passing;
use crate::overlays::confirm::Confirm as Asked;
use crate::overlays::prompt::Prompt;
use crate::panes::sheet::wrapped;
use crate::panes::system::{NEXT, PREVIOUS};
use crate::panes::{Choice, Context, Entry as Found, Pane as _, Place, Subscription, notice};
use crate::store::edits::{drafted, read};
use crate::theme::Role;
use crate::widgets::{frame as boxes, table};
use cmdr_protocol::display::clean;
use cmdr_protocol::edits::{Confirm, MOST, Open, Pending, Revert, Save, Versions};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::hosts_file::{Entry, Wrong, added, typed};
use cmdr_protocol::{Call as _, CallError, HostId};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
pub use rows::columns;
use rows::{COLUMNS, Rows};

const ADD: Command = Command::Own(50);
const CHANGE: Command = Command::Own(51);
const REMOVE: Command = Command::Own(52);
const SWITCH: Command = Command::Own(53);
const RAW: Command = Command::Own(54);
const OTHER: Command = Command::Own(55);
const AGAIN: Command = Command::Own(56);

/// The keys of it.
pub(in crate::panes) static TABLES: &[&[Binding]] = &[BINDINGS, LIST];

const BINDINGS: &[Binding] = &[
    key(&["<enter>", "e"], CHANGE, "hosts_file.key.change").danger(Save::METHOD).row().hint(),
    key(&["a"], ADD, "hosts_file.key.add").danger(Save::METHOD).hint(),
    key(&["t"], SWITCH, "hosts_file.key.switch").danger(Save::METHOD).row().hint(),
    key(&["x", "<delete>"], REMOVE, "hosts_file.key.remove").danger(Save::METHOD).row().hint(),
    key(&["s", "C-s", "<f2>"], SAVE, "hosts_file.key.save").danger(Save::METHOD).hint(),
    key(&["u"], UNDO, "hosts_file.key.undo").hint(),
    key(&["C-y"], REDO, "hosts_file.key.redo"),
    key(&["d", "<f5>"], CHANGES, "hosts_file.key.changes"),
    key(&["<f6>"], VERSIONS, "hosts_file.key.versions").needs(Versions::METHOD),
    key(&["<f9>"], KEEP, "hosts_file.key.keep").danger(Confirm::METHOD),
    key(&["<f10>"], REVERT, "hosts_file.key.revert").danger(Revert::METHOD),
    key(&["i"], RAW, "hosts_file.key.raw").needs(Open::METHOD).hint(),
    key(&["o"], OTHER, "hosts_file.key.other").needs(Open::METHOD),
    key(&["R"], AGAIN, "hosts_file.key.again").needs(Open::METHOD).hint(),
    key(&["]", "<right>"], NEXT, "system.key.next").hint(),
    key(&["[", "<left>"], PREVIOUS, "system.key.previous"),
];

/// Where it is, unless somebody asks for another.
const USUAL: &str = "/etc/hosts";
/// What failed is asked for again after so many seconds, and what was not answered after so many.
const AGAIN_S: u64 = 10;
const UNANSWERED_S: u64 = 90;
/// Bytes of texts that can be come back to.
const STEPS: usize = 32 << 20;

/// Texts that can be come back to.
#[derive(Default)]
struct Steps {
    back: Vec<String>,
    forth: Vec<String>,
}

impl Steps {
    fn push(&mut self, text: String) {
        self.forth.clear();
        self.back.push(text);
        while self.back.len() > 1 && self.back.iter().map(String::len).sum::<usize>() > STEPS {
            self.back.remove(0);
        }
    }

    /// What was before `now`, or after it again.
    fn step(&mut self, back: bool, now: String) -> Option<String> {
        let (from, to) = if back {
            (&mut self.back, &mut self.forth)
        } else {
            (&mut self.forth, &mut self.back)
        };
        let text = from.pop()?;
        to.push(now);
        Some(text)
    }
}

/// The list.
pub(in crate::panes) struct HostsFile {
    host: HostId,
    /// What is asked for; the text may be elsewhere, behind links.
    path: FilePath,
    edit: Option<EditPane>,
    rows: Rows,
    steps: Steps,
    /// When it was asked for, until something comes.
    asked_ms: u64,
    /// Why nothing came, and when.
    error: Option<(CallError, u64)>,
    /// The text was given to the editor, which has left what it did as a draft.
    lent: bool,
}

impl HostsFile {
    pub(in crate::panes) fn new(host: HostId) -> Self {
        Self {
            host,
            path: FilePath::parse(USUAL).unwrap_or_default(),
            edit: None,
            rows: Rows::default(),
            steps: Steps::default(),
            asked_ms: 0,
            error: None,
            lent: false,
        }
    }

    pub(in crate::panes) fn list(&self) -> &table::State<u64> {
        &self.rows.table
    }

    pub(in crate::panes) fn list_mut(&mut self) -> &mut table::State<u64> {
        &mut self.rows.table
    }

    pub(in crate::panes) fn feeds(&self) -> Vec<Subscription> {
        vec![Subscription::new(Some(self.host), Pending::default())]
    }

    pub(in crate::panes) fn can(&self, context: &Context<'_>, command: Command) -> bool {
        let Some(edit) = &self.edit else { return !matches!(command, ADD | SAVE | UNDO | RAW) };
        match command {
            // There is one already.
            AGAIN => false,
            SAVE => edit.is_dirty(),
            UNDO => !self.steps.back.is_empty(),
            REDO => !self.steps.forth.is_empty(),
            KEEP | REVERT => edit.armed(context).is_some(),
            _ => true,
        }
    }

    /// Begins anew, with what is on the host.
    fn forget(&mut self) {
        (self.edit, self.error, self.asked_ms) = (None, None, 0);
        self.steps = Steps::default();
        self.rows.show(&[]);
    }

    fn ask(&mut self, context: &Context<'_>) -> Action {
        self.asked_ms = context.store.now_ms.max(1);
        let (host, path) = (self.host, self.path.clone());
        Action::Errand(Box::new(move |link| {
            Box::pin(async move {
                let came = acts::found(&link, host, path.clone()).await;
                Event::Done(Some(read((host, path), Some(came))), Action::None)
            })
        }))
    }

    /// Takes what was read.
    fn opened(&mut self, context: &Context<'_>, path: FilePath, text: Option<String>) -> Action {
        let exists = text.is_some();
        let base = Base { text: text.unwrap_or_default(), exists };
        let mut edit = EditPane::new(context, self.host, path, base);
        let key = edit.key();
        let draft = context.store.edits.draft(&key);
        let goes_on = draft.filter(|draft| self.lent && draft.base == edit.base.known());
        let offer = match goes_on {
            Some(draft) => {
                edit.text.replace(&draft.text);
                None
            }
            None => draft.and_then(|_| acts::take_up(context, &edit, &key)),
        };
        self.lent = false;
        self.rows.show(edit.text.area.lines());
        self.edit = Some(edit);
        offer.unwrap_or_default()
    }

    pub(in crate::panes) fn poll(&mut self, context: &Context<'_>) -> Action {
        let now_ms = context.store.now_ms;
        if let Some(edit) = &mut self.edit {
            let wrong = edit.problems.len();
            let action = edit.poll(context);
            if wrong == 0 && !edit.problems.is_empty() {
                self.rows.table.select(edit.text.area.cursor().0 as u64);
            }
            // News of a save make no other text.
            return action;
        }
        let key = (self.host, self.path.clone());
        if let Some(came) = context.store.edits.read(&key) {
            self.asked_ms = 0;
            let taken = Action::Apply(read(key, None));
            return match came.clone() {
                Ok((path, text)) => Action::All(vec![taken, self.opened(context, path, text)]),
                Err(error) => {
                    self.error = Some((error, now_ms));
                    taken
                }
            };
        }
        let since = |at_ms: u64| now_ms.saturating_sub(at_ms) / 1000;
        let due = match (&self.error, self.asked_ms) {
            (_, asked_ms) if asked_ms > 0 => since(asked_ms) >= UNANSWERED_S,
            // What was refused is not asked for again: whoever may later has the key for it.
            (Some((error, at_ms)), _) => is_passing(error) && since(*at_ms) >= AGAIN_S,
            (None, _) => true,
        };
        if due { self.ask(context) } else { Action::None }
    }

    /// What the editor did may have made another text of it.
    fn after(&mut self, action: Action) -> Action {
        if let Some(edit) = &self.edit
            && self.rows.show(edit.text.area.lines())
        {
            // Steps before it would take away what came from elsewhere.
            self.steps = Steps::default();
        }
        action
    }

    /// Another text, which is kept as a draft until it is saved.
    fn set(&mut self, context: &Context<'_>, text: &str) -> Action {
        let Some(edit) = &mut self.edit else { return Action::None };
        edit.text.replace(text);
        edit.problems.clear();
        self.rows.show(edit.text.area.lines());
        self.rows.table.unmark();
        edit.now_ms = context.store.now_ms;
        edit.write_draft();
        let draft = edit.is_dirty().then(|| edit.draft());
        Action::Apply(drafted(edit.key(), draft))
    }

    fn change(&mut self, context: &Context<'_>, lines: &[String]) -> Action {
        let Some(edit) = &self.edit else { return Action::None };
        let text = lines.join("\n");
        if text.len() > MOST {
            return Action::Complain(context.texts.get("edit.too_large").to_owned());
        }
        self.steps.push(edit.text.whole());
        self.set(context, &text)
    }

    fn step(&mut self, context: &Context<'_>, back: bool) -> Action {
        let Some(edit) = &self.edit else { return Action::None };
        match self.steps.step(back, edit.text.whole()) {
            Some(text) => self.set(context, &text),
            None => Action::Say(context.texts.get("hosts_file.no_step").to_owned()),
        }
    }

    fn lines(&self) -> &[String] {
        self.edit.as_ref().map_or(&[], |edit| edit.text.area.lines())
    }

    /// The line under the cursor, with its number.
    fn selected(&self) -> Option<(usize, &String)> {
        let at = usize::try_from(self.rows.table.selected()?).ok()?;
        Some((at, self.lines().get(at)?))
    }

    /// Asks for an entry, or for what is to stand in the place of this line.
    fn prompt(&self, context: &Context<'_>, line: Option<(usize, &String)>) -> Action {
        let texts = context.texts.clone();
        let (title, command) = match line {
            Some(_) => ("hosts_file.change.title", CHANGE),
            None => ("hosts_file.add.title", ADD),
        };
        let name = self.edit.as_ref().map(EditPane::name).unwrap_or_default();
        let title = texts.fill(title, &[&name]);
        let old = line.and_then(|(_, line)| Some(Entry::of(line)?.typed())).unwrap_or_default();
        let place = line.map(|(at, line)| (at, line.clone()));
        Action::Open(Box::new(Prompt::new(title, old, "hosts_file.hint", move |text| {
            let wrong = |wrong: Wrong| match wrong {
                Wrong::Nothing => texts.get("hosts_file.wrong.nothing").to_owned(),
                Wrong::NoName => texts.get("hosts_file.wrong.no_name").to_owned(),
                Wrong::Control => texts.get("hosts_file.wrong.control").to_owned(),
                Wrong::Address(what) => texts.fill("hosts_file.wrong.address", &[&clean(&what)]),
                Wrong::Name(what) => texts.fill("hosts_file.wrong.name", &[&clean(&what)]),
            };
            typed(text).map_err(wrong)?;
            let given = (place.clone(), text.trim());
            let given = serde_json::to_string(&given).map_err(|e| e.to_string())?;
            Ok(Action::Give(command, given))
        })))
    }

    /// Puts in what was typed.
    fn put(&mut self, context: &Context<'_>, given: &str) -> Action {
        let Ok((place, text)) = serde_json::from_str::<(Option<(usize, String)>, String)>(given)
        else {
            return Action::None;
        };
        let Ok(new) = typed(&text) else { return Action::None };
        let Some((at, old)) = place else {
            let (lines, at) = added(self.lines(), &new);
            let action = self.change(context, &lines);
            self.rows.table.select(at as u64);
            return action;
        };
        let mut lines = self.lines().to_vec();
        let entry = Entry::of(&old).filter(|_| lines.get(at) == Some(&old));
        let Some(entry) = entry else {
            return Action::Complain(context.texts.get("hosts_file.moved").to_owned());
        };
        let line = entry.with(&new);
        if line == old {
            return Action::None;
        }
        lines[at] = line;
        self.change(context, &lines)
    }

    /// The lines that an act is about.
    fn targets(&self) -> Vec<usize> {
        let at = self.rows.table.targets().into_iter();
        at.filter_map(|at| usize::try_from(at).ok()).filter(|at| *at < self.lines().len()).collect()
    }

    fn remove(&mut self, context: &Context<'_>) -> Action {
        let mut gone = self.targets();
        if gone.is_empty() {
            return Action::None;
        }
        gone.sort_unstable();
        let lines = self.lines().iter().enumerate();
        let kept = lines.filter(|(at, _)| gone.binary_search(at).is_err());
        let kept: Vec<String> = kept.map(|(_, line)| line.clone()).collect();
        self.change(context, &kept)
    }

    /// Switches entries off; on, when all of them are off.
    fn switch(&mut self, context: &Context<'_>) -> Action {
        let at = self.targets();
        let mut lines = self.lines().to_vec();
        let is_off = |at: &usize| Entry::of(&lines[*at]).is_some_and(|entry| entry.off);
        let off = !at.iter().all(is_off);
        for at in &at {
            let line = &lines[*at];
            if let Some(switched) = Entry::of(line).map(|entry| entry.switched(line, off)) {
                lines[*at] = switched;
            }
        }
        if at.is_empty() { Action::None } else { self.change(context, &lines) }
    }

    pub(in crate::panes) fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        let texts = context.texts;
        self.rows.order();
        match command {
            AGAIN if self.edit.as_ref().is_some_and(EditPane::is_dirty) => {
                let name = self.edit.as_ref().map(EditPane::name).unwrap_or_default();
                let again = Action::Give(AGAIN, String::new());
                let title = texts.fill("hosts_file.again.ask", &[&name]);
                Action::Open(Box::new(Asked::one(title, again)))
            }
            AGAIN => {
                self.forget();
                Action::None
            }
            OTHER => {
                let title = texts.fill("hosts_file.other.title", &[&self.host_name(context)]);
                let path = self.path.to_string();
                Action::Open(Box::new(Prompt::new(title, path, "hosts_file.other.hint", |text| {
                    let path = FilePath::from_bytes(text.trim().as_bytes());
                    let path = path.map_err(|e| e.to_string())?;
                    Ok(Action::Give(OTHER, path.as_str().to_owned()))
                })))
            }
            Command::CopyCommand => {
                let host = self.host_name(context);
                let quoted = crate::panes::hosts::quoted;
                Action::Copy(if self.path.as_str() == USUAL {
                    format!("cmdr hosts-file {}", quoted(&host))
                } else {
                    format!("cmdr edit {}", quoted(&format!("{host}:{}", self.path)))
                })
            }
            Command::CopyValue => {
                let entry = self.selected().and_then(|(_, line)| Entry::of(line));
                entry.map_or(Action::None, |entry| Action::Copy(entry.typed()))
            }
            Command::NextMatch | Command::PreviousMatch => {
                let found = self.rows.seek(command == Command::NextMatch);
                crate::panes::sought(context, found, self.rows.table.sought())
            }
            _ if self.rows.table.on(command, COLUMNS) => Action::None,
            _ if self.edit.is_none() => Action::Pass,
            ADD => self.prompt(context, None),
            // A click is no key that is refused to who may not save.
            Command::Open if self.edit.as_ref().is_none_or(|edit| !edit.may_save(context)) => {
                Action::None
            }
            CHANGE | Command::Open => match self.selected() {
                Some(line) => self.prompt(context, Some(line)),
                None => Action::None,
            },
            REMOVE => self.remove(context),
            SWITCH => self.switch(context),
            UNDO => self.step(context, true),
            REDO => self.step(context, false),
            RAW => {
                let Some(mut edit) = self.edit.take() else { return Action::None };
                // What is wrong may be in a line that is no entry.
                let wrong = edit.problems.iter().find(|problem| problem.line > 0);
                let wrong = wrong.map(|problem| u64::from(problem.line) - 1);
                if let Some(at) = wrong.or_else(|| self.rows.table.selected()) {
                    edit.text.go(usize::try_from(at).unwrap_or(0), 0);
                }
                let draft = edit.is_dirty().then(|| edit.draft());
                let kept = draft.map(|draft| drafted(edit.key(), Some(draft)));
                self.forget();
                self.lent = true;
                let place = Place::Edit(self.host, number(&edit.path));
                let enter = Action::Enter(place, Box::new(edit));
                Action::All(kept.map(Action::Apply).into_iter().chain([enter]).collect())
            }
            SAVE | CHANGES | VERSIONS | KEEP | REVERT => self.by_editor(context, command),
            Command::Back if self.edit.as_ref().is_some_and(EditPane::is_dirty) => {
                self.by_editor(context, command)
            }
            _ => Action::Pass,
        }
    }

    fn by_editor(&mut self, context: &Context<'_>, command: Command) -> Action {
        let Some(edit) = &mut self.edit else { return Action::None };
        let action = edit.on(context, command);
        self.after(action)
    }

    fn host_name(&self, context: &Context<'_>) -> String {
        context.store.hosts.name(self.host)
    }

    pub(in crate::panes) fn take(
        &mut self,
        context: &Context<'_>,
        command: Command,
        text: &str,
    ) -> Action {
        match command {
            ADD | CHANGE => self.put(context, text),
            AGAIN => {
                let dropped = self.edit.as_mut().map(EditPane::drop_draft);
                self.forget();
                dropped.unwrap_or_default()
            }
            OTHER => {
                let Ok(path) = FilePath::parse(text) else { return Action::None };
                let kept = self
                    .edit
                    .as_ref()
                    .filter(|edit| edit.is_dirty())
                    .map(|edit| Action::Say(context.texts.fill("edit.kept", &[&edit.name()])));
                self.path = path;
                self.forget();
                kept.unwrap_or_default()
            }
            _ => {
                let Some(edit) = &mut self.edit else { return Action::None };
                let action = edit.take(context, command, text);
                self.after(action)
            }
        }
    }

    pub(in crate::panes) fn draw(
        &mut self,
        context: &Context<'_>,
        frame: &mut Frame<'_>,
        area: Rect,
    ) {
        let Context { store, theme, texts, .. } = *context;
        let Some(edit) = &mut self.edit else {
            let (text, role) = match &self.error {
                _ if !store.is_up() => (texts.get("overview.no_hub").to_owned(), Role::Soft),
                Some((error, _)) => (crate::action::reason(error), Role::Bad),
                None => (texts.fill("hosts_file.reading", &[&self.path.to_string()]), Role::Soft),
            };
            let lines = wrapped(vec![Line::styled(text, theme.style(role))], area.width);
            return notice(frame, area, &lines);
        };
        self.rows.order();
        let at = self.rows.table.selected().and_then(|at| usize::try_from(at).ok());
        // What is wrong is told of the line that one is in.
        edit.text.go(at.unwrap_or(0), 0);
        let mut place = self.rows.counted(context);
        place.push_span(" ");
        edit.head(context, frame, Rect { height: 1, ..area }, &place);
        let body = edit.below(context, frame, area);
        self.rows.draw(context, frame, body);
        if self.rows.table.order().is_empty() {
            let key = match (self.rows.is_empty(), edit.base.exists) {
                (false, _) => "table.nothing_left",
                (true, true) => "hosts_file.none",
                (true, false) => "hosts_file.missing",
            };
            notice(frame, body, &[Line::styled(texts.get(key), theme.style(Role::Soft))]);
        }
        if !store.is_up() {
            boxes::fade(frame.buffer_mut(), body, theme);
        }
    }

    pub(in crate::panes) fn entries(&self, context: &Context<'_>) -> Vec<Found> {
        let note = self.host_name(context);
        let rows = self.rows.all();
        rows.map(|(id, text)| {
            let (kind, note, choice) = ("palette.row", note.clone(), Choice::Pick(id));
            Found { kind, text, note, choice }
        })
        .collect()
    }
}
