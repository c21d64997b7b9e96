//! Writing a text that the hub keeps in versions ([`Subject`] says which): the hub says what is wrong in it and where,
//! and before it is saved one sees what changes. What was written outlives errors and leaving, until it is saved or thrown
//! away.

pub(super) mod keys;
mod subject;
mod versions;

use crate::action::Action;
use crate::keymap::{Binding, Command, key};
use crate::overlays::confirm::Confirm;
use crate::overlays::pager::Pager;
use crate::overlays::prompt::Prompt;
use crate::panes::alerts::{form, tried};
use crate::panes::edit::{Kind, Text, difference, merged};
use crate::panes::{Context, Pane, Subscription};
use crate::store::rights::Offer;
use crate::store::written::{self as store, Draft, Said, Theirs};
use crate::theme::Role;
use crate::widgets::table;
use cmdr_protocol::display::clean;
use cmdr_protocol::runbooks::{MAX_NOTE, MAX_TEXT, Problem};
use cmdr_protocol::{Call as _, alerts, configs, edits, gateways, notifiers, probes, rules};
use crossterm::event::{KeyEvent, MouseButton, MouseEvent, MouseEventKind};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui_textarea::DataCursor;
use std::sync::atomic::{AtomicU64, Ordering};
pub use subject::Subject;
pub(super) use versions::open as versions;

const SAVE: Command = Command::Own(0);
const CHECK: Command = Command::Own(1);
const CHANGES: Command = Command::Own(2);
const UNDO: Command = Command::Own(3);
const REDO: Command = Command::Own(4);
const NEXT: Command = Command::Own(5);
const DROP: Command = Command::Own(6);
const TRY: Command = Command::Own(7);
const FORM: Command = Command::Own(8);
/// Answers of questions; no key has them.
const KEEP: Command = Command::Own(10);
const MERGE: Command = Command::Own(11);
const THEIRS: Command = Command::Own(12);

static OF_CONFIG: &[&[Binding]] = &[CONFIG_KEYS, BINDINGS];
static OF_RULE: &[&[Binding]] = &[RULE_KEYS, BINDINGS];
static OF_NOTIFIER: &[&[Binding]] = &[NOTIFIER_KEYS, BINDINGS];
static OF_PROBE: &[&[Binding]] = &[PROBE_KEYS, BINDINGS];
static OF_GATEWAY: &[&[Binding]] = &[GATEWAY_KEYS, BINDINGS];
static OF_POLICIES: &[&[Binding]] = &[POLICY_KEYS, BINDINGS];

/// The key tables of the texts that no place has by itself.
pub const TABLES_BESIDE: [(&str, &[&[Binding]]); 2] =
    [("notifier_text", OF_NOTIFIER), ("policies_text", OF_POLICIES)];

const CONFIG_KEYS: &[Binding] = &[
    key(&["C-s", "<f2>"], SAVE, "edit.key.save").danger(configs::Save::METHOD).hint(),
    key(&["<f9>"], CHECK, "configs.key.check").needs(configs::Check::METHOD).hint(),
];

const RULE_KEYS: &[Binding] = &[
    key(&["C-s", "<f2>"], SAVE, "edit.key.save").danger(rules::Save::METHOD).hint(),
    key(&["<f9>"], CHECK, "configs.key.check").needs(rules::Check::METHOD).hint(),
    key(&["<f6>", "C-t"], TRY, "rules.key.try").needs(rules::Try::METHOD).hint(),
    key(&["<f7>", "C-o"], FORM, "rules.key.form").hint(),
];

const NOTIFIER_KEYS: &[Binding] = &[
    key(&["C-s", "<f2>"], SAVE, "edit.key.save").danger(notifiers::Save::METHOD).hint(),
    key(&["<f9>"], CHECK, "configs.key.check").needs(notifiers::Check::METHOD).hint(),
];

const PROBE_KEYS: &[Binding] = &[
    key(&["C-s", "<f2>"], SAVE, "edit.key.save").danger(probes::Save::METHOD).hint(),
    key(&["<f9>"], CHECK, "configs.key.check").needs(probes::Check::METHOD).hint(),
];

const GATEWAY_KEYS: &[Binding] = &[
    key(&["C-s", "<f2>"], SAVE, "edit.key.save").danger(gateways::Save::METHOD).hint(),
    key(&["<f9>"], CHECK, "configs.key.check").needs(gateways::Check::METHOD).hint(),
];

const POLICY_KEYS: &[Binding] = &[
    key(&["C-s", "<f2>"], SAVE, "edit.key.save").danger(alerts::SavePolicies::METHOD).hint(),
    key(&["<f9>"], CHECK, "configs.key.check").needs(alerts::CheckPolicies::METHOD).hint(),
];

const BINDINGS: &[Binding] = &[
    key(&["<f3>", "C-n"], NEXT, "configs.key.next_problem"),
    key(&["<f5>"], CHANGES, "edit.key.changes").hint(),
    key(&["C-u"], UNDO, "edit.key.undo").hint(),
    key(&["C-y"], REDO, "edit.key.redo"),
    key(&["C-x"], DROP, "configs.key.drop"),
];

/// The pane.
pub struct WritePane {
    subject: Subject,
    /// What it is called on the screen.
    name: String,
    owner: u64,
    draft: Draft,
    text: Text,
    /// The draft as the store has it.
    kept: Option<String>,
    problems: Vec<Problem>,
    /// The same, as they stand beside the text.
    marks: Vec<edits::Problem>,
    /// What is asked now, and whether it is to be saved when nothing is wrong.
    asking: Option<bool>,
    /// What the hub said up to this number was taken in.
    seen: u64,
    /// What others saved meanwhile.
    theirs: Option<Theirs>,
}

impl WritePane {
    fn with(subject: Subject, draft: Draft) -> Self {
        static NEXT_OWNER: AtomicU64 = AtomicU64::new(1);
        let mut text = Text::new(&draft.text, Kind::Yaml);
        text.area.set_hard_tab_indent(false);
        text.area.set_tab_length(2);
        Self {
            name: clean(subject.name()).into_owned(),
            subject,
            owner: NEXT_OWNER.fetch_add(1, Ordering::Relaxed),
            draft,
            text,
            kept: None,
            problems: Vec::new(),
            marks: Vec::new(),
            asking: None,
            seen: 0,
            theirs: None,
        }
    }

    /// Nothing yet: for the tables of keys.
    pub fn empty() -> Self {
        Self::with(Subject::Config(String::new()), Draft::default())
    }

    /// The same of a rule.
    pub fn of_rule() -> Self {
        Self::with(Subject::Rule(String::new()), Draft::default())
    }

    /// The same of a probe.
    pub fn of_probe() -> Self {
        Self::with(Subject::Probe(String::new()), Draft::default())
    }

    /// The same of a gateway.
    pub fn of_gateway() -> Self {
        Self::with(Subject::Gateway(String::new()), Draft::default())
    }

    /// Writes a text as the hub has it.
    pub(super) fn enter(
        subject: Subject,
        text: String,
        version: u64,
        problems: Vec<Problem>,
    ) -> Action {
        let draft = Draft { text: text.clone(), base: text, was: version };
        let place = subject.place();
        let mut pane = Self::with(subject, draft);
        pane.set_problems(problems);
        Action::Enter(place, Box::new(pane))
    }

    /// Goes on with what was written.
    pub(super) fn go_on(subject: Subject, draft: Draft) -> Action {
        let place = subject.place();
        let kept = Some(draft.text.clone());
        Action::Enter(place, Box::new(Self { kept, ..Self::with(subject, draft) }))
    }

    fn number(&self) -> u64 {
        self.subject.number()
    }

    fn may_save(&self, context: &Context<'_>) -> bool {
        context.store.offer(self.subject.save_verb(), true, &[]) != Offer::No
    }

    fn is_dirty(&self) -> bool {
        let text = self.text.whole();
        if self.is_new() { text != self.subject.blank().text } else { text != self.draft.base }
    }

    /// Whether the hub has none of this name. Policies count before anybody saved some.
    fn is_new(&self) -> bool {
        self.draft.was == 0 && self.subject != Subject::Policies
    }

    fn set_problems(&mut self, problems: Vec<Problem>) {
        let mark = |problem: &Problem| edits::Problem {
            line: problem.line,
            what: problem.what.clone(),
            warning: false,
        };
        self.marks = problems.iter().map(mark).collect();
        self.problems = problems;
    }

    /// To a place that something is wrong with.
    fn go_to(&mut self, problem: Option<&Problem>) {
        if let Some(problem) = problem.filter(|problem| problem.line > 0) {
            let column = (problem.column as usize).saturating_sub(1);
            self.text.area.cancel_selection();
            self.text.go(problem.line as usize - 1, column);
        }
    }

    /// The next problem after the cursor, round to the first.
    fn next_problem(&mut self, context: &Context<'_>) -> Action {
        let DataCursor(row, column) = self.text.area.cursor();
        let after = |p: &&Problem| (p.line as usize, p.column as usize) > (row + 1, column + 1);
        let placed = || self.problems.iter().filter(|problem| problem.line > 0);
        let Some(next) = placed().find(after).or_else(|| placed().next()).cloned() else {
            return Action::Say(context.texts.get("configs.write.no_problem").to_owned());
        };
        self.go_to(Some(&next));
        Action::None
    }

    /// Asks the hub what is wrong with the text; where nothing is, it goes on to save it.
    fn check(&mut self, context: &Context<'_>, then_save: bool) -> Action {
        let texts = context.texts;
        if self.asking.is_some() {
            return Action::Say(texts.get("configs.write.asking").to_owned());
        }
        if then_save && !self.is_new() && !self.is_dirty() {
            return Action::Say(texts.get("configs.write.same").to_owned());
        }
        let text = self.text.whole();
        if text.len() > MAX_TEXT {
            return Action::Complain(texts.get("edit.too_large").to_owned());
        }
        self.asking = Some(then_save);
        self.subject.check(self.owner, text)
    }

    /// Takes in what the hub said.
    fn hear(&mut self, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let Some(news) = context.store.written.news.get(self.owner) else { return Action::None };
        if news.serial <= self.seen {
            return Action::None;
        }
        self.seen = news.serial;
        let then_save = self.asking.take().unwrap_or(false);
        match news.said.clone() {
            Said::Failed => Action::None,
            Said::Checked { problems, name, about } => {
                self.set_problems(problems);
                if !self.problems.is_empty() {
                    let first = self.problems.first().cloned();
                    self.go_to(first.as_ref());
                    let count = self.problems.len().to_string();
                    let key =
                        if then_save { "configs.write.not_saved" } else { "configs.write.wrong" };
                    return Action::Complain(texts.fill(key, &[&count]));
                }
                if let Some(name) = name.filter(|name| name != self.subject.name()) {
                    self.text.go(0, 0);
                    let values = [&*clean(&name), &*self.name];
                    return Action::Complain(texts.fill(self.subject.other_name(), &values));
                }
                if then_save {
                    return self.review(context);
                }
                Action::Say(texts.fill(self.subject.fine(), &[&clean(&about)]))
            }
            Said::Saved(version, text) => {
                self.draft.base.clone_from(&text);
                self.draft.was = version;
                let values = [&*self.name, &*version.to_string()];
                let said = Action::Say(texts.fill(self.subject.saved(), &values));
                Action::All(vec![self.subject.renewed(), self.keep(), said])
            }
            Said::Conflict(theirs) => self.conflict(context, theirs),
        }
    }

    /// Shows what a save would change, and asks.
    fn review(&self, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let hint = texts.get(self.subject.hint()).to_owned();
        let mut lines = vec![vec![(Role::Soft, hint)], Vec::new()];
        lines.extend(difference(&self.draft.base, &self.text.whole()));
        let note = Prompt::new(
            texts.get("configs.write.note").to_owned(),
            String::new(),
            "configs.write.note_hint",
            |note| match note.trim() {
                note if note.len() > MAX_NOTE => Err(format!("1 … {MAX_NOTE}")),
                note => Ok(Action::Give(KEEP, note.to_owned())),
            },
        );
        let note = Action::Open(Box::new(note));
        let pager = Pager::new(texts.fill("edit.review.title", &[&self.name]), lines)
            .with_wrap()
            .with_key('s', texts.get("edit.review.save"), Action::Give(KEEP, String::new()))
            .with_key('o', texts.get("configs.write.with_note"), note);
        Action::Open(Box::new(pager))
    }

    fn save(&mut self, context: &Context<'_>, note: &str) -> Action {
        if self.asking.is_some() {
            return Action::Say(context.texts.get("configs.write.asking").to_owned());
        }
        self.asking = Some(true);
        self.subject.save(self.owner, self.text.whole(), note, self.draft.was)
    }

    /// Others were quicker: what they did is shown, and how to go on.
    fn conflict(&mut self, context: &Context<'_>, theirs: Theirs) -> Action {
        let texts = context.texts;
        let by = clean(&theirs.by).into_owned();
        let values = [&*theirs.version.to_string(), &*by];
        let hint = texts.fill("configs.conflict.hint", &values);
        let mut lines = vec![vec![(Role::Warn, hint)], Vec::new()];
        lines.extend(difference(&self.draft.base, &theirs.text));
        self.theirs = Some(theirs);
        let give = |command| Action::Give(command, String::new());
        let title = texts.fill("edit.conflict.title", &[&self.name]);
        let pager = Pager::new(title, lines)
            .with_key('m', texts.get("edit.conflict.merge"), give(MERGE))
            .with_key('t', texts.get("edit.conflict.take"), give(THEIRS));
        Action::Open(Box::new(pager))
    }

    /// Goes on from what others saved, with ours in it or without.
    fn go_on_from(&mut self, context: &Context<'_>, with_ours: bool) -> Action {
        let Some(theirs) = self.theirs.take() else { return Action::None };
        let text = if with_ours {
            merged(&self.draft.base, &self.text.whole(), &theirs.text)
        } else {
            theirs.text.clone()
        };
        self.text.replace(&text);
        (self.draft.base, self.draft.was) = (theirs.text, theirs.version);
        self.set_problems(Vec::new());
        if let Some(at) = text.lines().position(|line| line.starts_with("<<<<<<< ")) {
            self.text.go(at, 0);
            return Action::Say(context.texts.get("edit.merged_marks").to_owned());
        }
        if !with_ours {
            return Action::None;
        }
        Action::Say(context.texts.get("edit.merged").to_owned())
    }

    /// The store has what was written, for when this pane is gone.
    fn keep(&mut self) -> Action {
        let text = self.text.whole();
        if self.kept.as_ref() == Some(&text) && self.is_dirty() {
            return Action::None;
        }
        let dirty = self.is_dirty();
        if !dirty && self.kept.is_none() {
            return Action::None;
        }
        let draft = dirty.then(|| Draft { text: text.clone(), ..self.draft.clone() });
        self.kept = dirty.then_some(text);
        Action::Apply(store::drafted(self.number(), draft))
    }

    /// Throws away what was written, after a question.
    fn ask_drop(&self, context: &Context<'_>) -> Action {
        if !self.is_dirty() {
            return Action::Say(context.texts.get("configs.write.same").to_owned());
        }
        let title = context.texts.fill("configs.write.drop", &[&self.name]);
        Action::Open(Box::new(Confirm::one(title, Action::Give(DROP, String::new()))))
    }

    fn head(&self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { theme, texts, store, .. } = *context;
        let mut spans = vec![Span::styled(format!(" {}", self.name), theme.style(Role::Title))];
        let mut mark = |text: String, role| {
            spans.push(Span::styled(format!("  {text}"), theme.style(role)));
        };
        if self.is_new() {
            mark(texts.get(self.subject.of_new()).to_owned(), Role::Info);
        } else {
            mark(texts.fill("configs.version", &[&self.draft.was.to_string()]), Role::Soft);
        }
        if self.is_dirty() {
            mark(texts.get("edit.dirty").to_owned(), Role::Warn);
        }
        if !self.may_save(context) {
            mark(texts.get("edit.read_only").to_owned(), Role::Soft);
        }
        if self.asking.is_some() {
            mark(texts.get("configs.write.asking").to_owned(), Role::Info);
        }
        if !store.is_up() {
            mark(texts.get("link.none").to_owned(), Role::Bad);
        }
        let DataCursor(row, column) = self.text.area.cursor();
        let place = Line::styled(format!("{}:{} ", row + 1, column + 1), theme.style(Role::Soft));
        let width = place.width() as u16;
        let left = area.width.saturating_sub(width);
        table::put(frame.buffer_mut(), area.x, area.y, left, &Line::from(spans), false);
        let x = area.right().saturating_sub(width);
        table::put(frame.buffer_mut(), x, area.y, width, &place, false);
    }

    /// What is wrong in the line that one is in, else the first of it.
    fn problem(&self) -> Option<&Problem> {
        let DataCursor(row, _) = self.text.area.cursor();
        let here = self.problems.iter().find(|problem| problem.line as usize == row + 1);
        here.or(self.problems.first())
    }
}

impl Pane for WritePane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        match self.subject {
            Subject::Config(_) => OF_CONFIG,
            Subject::Rule(_) => OF_RULE,
            Subject::Notifier(_) => OF_NOTIFIER,
            Subject::Probe(_) => OF_PROBE,
            Subject::Gateway(_) => OF_GATEWAY,
            Subject::Policies => OF_POLICIES,
        }
    }

    fn feeds(&self) -> Vec<Subscription> {
        vec![crate::panes::hosts::feed()]
    }

    fn is_writing(&self) -> bool {
        true
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        match self.hear(context) {
            Action::None => self.keep(),
            action => action,
        }
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        match command {
            SAVE => self.check(context, true),
            CHECK => self.check(context, false),
            NEXT => self.next_problem(context),
            DROP => self.ask_drop(context),
            TRY => tried::ask(context, &self.text.whole()),
            FORM => form::open(context, &self.text.whole()),
            CHANGES => {
                let lines = difference(&self.draft.base, &self.text.whole());
                if lines.is_empty() {
                    return Action::Say(context.texts.get("configs.write.same").to_owned());
                }
                let title = context.texts.fill("edit.changes.title", &[&self.name]);
                Action::Open(Box::new(Pager::new(title, lines).with_wrap()))
            }
            UNDO => {
                self.text.area.undo();
                Action::None
            }
            REDO => {
                self.text.area.redo();
                Action::None
            }
            Command::Back => {
                if self.text.area.is_selecting() {
                    self.text.area.cancel_selection();
                    return Action::None;
                }
                if !self.is_dirty() {
                    return Action::All(vec![self.keep(), Action::Back]);
                }
                let said = context.texts.fill(self.subject.kept(), &[&self.name]);
                Action::All(vec![self.keep(), Action::Back, Action::Say(said)])
            }
            _ => Action::Pass,
        }
    }

    fn write(&mut self, _context: &Context<'_>, key: &KeyEvent) -> Action {
        match self.text.key(key) {
            Some(_) => Action::None,
            None => Action::Pass,
        }
    }

    fn paste(&mut self, context: &Context<'_>, text: &str) -> Action {
        if self.text.whole().len() + text.len() > MAX_TEXT || text.contains('\0') {
            return Action::Complain(context.texts.get("edit.too_large").to_owned());
        }
        self.text.area.insert_str(text.replace("\r\n", "\n").replace('\r', "\n"));
        Action::None
    }

    fn take(&mut self, context: &Context<'_>, command: Command, text: &str) -> Action {
        match command {
            KEEP => self.save(context, text),
            form::FILLED => {
                self.text.replace(text);
                self.set_problems(Vec::new());
                Action::None
            }
            MERGE => self.go_on_from(context, true),
            THEIRS => self.go_on_from(context, false),
            DROP => {
                let gone = Action::Apply(store::drafted(self.number(), None));
                let base = self.draft.base.clone();
                self.text.replace(&base);
                self.set_problems(Vec::new());
                self.kept = None;
                // Of a new group nothing is left.
                let leave = if self.is_new() { Action::Back } else { Action::None };
                Action::All(vec![leave, gone])
            }
            _ => Action::None,
        }
    }

    fn mouse(&mut self, _context: &Context<'_>, mouse: &MouseEvent, _double: bool) -> Action {
        match mouse.kind {
            MouseEventKind::ScrollDown => self.text.scroll(3),
            MouseEventKind::ScrollUp => self.text.scroll(-3),
            MouseEventKind::Down(MouseButton::Left) => {
                if let Some((row, column)) = self.text.at(mouse.column, mouse.row) {
                    self.text.area.cancel_selection();
                    self.text.go(row, column);
                }
            }
            _ => return Action::Pass,
        }
        Action::None
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.head(context, frame, Rect { height: 1, ..area });
        let mut body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        if let Some(problem) = self.problem() {
            let texts = context.texts;
            let what = clean(&problem.what).into_owned();
            let place = match problem.line {
                0 => self.name.clone(),
                line => format!("{}:{line}:{}", self.name, problem.column),
            };
            let count = self.problems.len().to_string();
            let text = texts.fill("configs.write.problem", &[&place, &what, &count]);
            let line = Line::styled(text, context.theme.style(Role::Bad));
            let rows = crate::panes::sheet::wrapped(vec![line], area.width);
            let height = (rows.len() as u16).min(body.height / 3);
            body.height -= height;
            for (y, row) in (body.bottom()..body.bottom() + height).zip(&rows) {
                let (x, width) = (area.x + 1, area.width.saturating_sub(2));
                table::put(frame.buffer_mut(), x, y, width, row, false);
            }
        }
        self.text.draw(context, frame, body, &self.marks, context.focused);
    }
}
