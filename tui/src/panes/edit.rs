//! The editor of a text file of a host: typed in like any editor, saved after a look at what changes, and what was
//! not saved is never lost: a draft on this machine has it.
//!
//! [`open`] is the way in, from wherever a file is named.

mod acts;
mod draft;
mod head;
mod hosts_file;
mod lexer;
mod text;
mod typing;

use super::{Context, Pane, Subscription};
use crate::action::Action;
use crate::keymap::{Binding, Command, key};
use crate::overlays::menu::Menu;
use crate::overlays::prompt::Prompt;
use crate::store::Update;
use crate::store::edits::{Draft, Key, News};
use crate::theme::Role;
pub(in crate::panes) use acts::{difference, merged};
pub use acts::{open, waiting};
use cmdr_protocol::Call as _;
use cmdr_protocol::HostId;
use cmdr_protocol::edits::{
    Armed, ArmedEnd, Confirm, Pending, Problem, Restore, Revert, Save, Versions,
};
use cmdr_protocol::files::FilePath;
use cmdr_protocol::hosts::HostState;
use crossterm::event::{KeyEvent, MouseButton, MouseEvent, MouseEventKind};
pub use hosts_file::columns as host_columns;
pub(in crate::panes) use hosts_file::{HostsFile, TABLES as HOSTS_FILE_TABLES};
pub(in crate::panes) use lexer::Kind;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use std::path::PathBuf;
pub(in crate::panes) use text::Text;

const SAVE: Command = Command::Own(0);
const UNDO: Command = Command::Own(2);
const REDO: Command = Command::Own(3);
const FIND: Command = Command::Own(4);
const REPLACE: Command = Command::Own(5);
const GOTO: Command = Command::Own(6);
const SELECT: Command = Command::Own(7);
const CUT: Command = Command::Own(8);
const COPY: Command = Command::Own(9);
const PASTE: Command = Command::Own(10);
const VERSIONS: Command = Command::Own(11);
const CHANGES: Command = Command::Own(12);
const KEEP: Command = Command::Own(13);
const REVERT: Command = Command::Own(14);
const NEXT: Command = Command::Own(15);
const PREVIOUS: Command = Command::Own(16);
/// Answers of questions; no key has them.
const MERGE: Command = Command::Own(30);
const THEIRS: Command = Command::Own(31);
const MINE: Command = Command::Own(32);
const FORCE: Command = Command::Own(33);
const TAKE_UP: Command = Command::Own(34);
const LOAD: Command = Command::Own(35);
const DROP: Command = Command::Own(36);

static TABLES: &[&[Binding]] = &[BINDINGS];

const BINDINGS: &[Binding] = &[
    key(&["C-s", "<f2>"], SAVE, "edit.key.save").danger(Save::METHOD).hint(),
    key(&["C-u"], UNDO, "edit.key.undo").hint(),
    key(&["C-y"], REDO, "edit.key.redo"),
    key(&["C-f"], FIND, "edit.key.find").hint(),
    key(&["<f3>", "C-n"], NEXT, "edit.key.next"),
    key(&["<f4>"], PREVIOUS, "edit.key.previous"),
    key(&["C-r"], REPLACE, "edit.key.replace"),
    key(&["C-g"], GOTO, "edit.key.goto"),
    key(&["C-e"], SELECT, "edit.key.select_all"),
    key(&["C-x"], CUT, "edit.key.cut"),
    key(&["<f7>"], COPY, "edit.key.copy"),
    key(&["C-v"], PASTE, "edit.key.paste"),
    key(&["<f5>"], CHANGES, "edit.key.changes"),
    key(&["<f6>"], VERSIONS, "edit.key.versions").needs(Versions::METHOD).hint(),
    key(&["<f10>"], REVERT, "edit.key.revert").danger(Revert::METHOD),
    key(&["<f9>"], KEEP, "edit.key.keep").danger(Confirm::METHOD),
];

/// Texts that were not saved are kept in this folder; those that are there are known from now on.
pub fn drafts(folder: Option<PathBuf>) -> Update {
    let drafts = folder.as_deref().map(draft::all).unwrap_or_default();
    Update::new(move |store| {
        store.edits.drafts = drafts;
        store.edits.folder = folder;
    })
}

/// The number of a file, for the place where it is edited.
pub fn number(path: &FilePath) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    path.as_str().hash(&mut hasher);
    hasher.finish()
}

/// What was there when the text was opened, or saved last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Base {
    text: String,
    /// There is a file.
    exists: bool,
}

impl Base {
    fn known(&self) -> Option<String> {
        self.exists.then(|| self.text.clone())
    }
}

/// The pane.
pub struct EditPane {
    host: HostId,
    host_name: String,
    path: FilePath,
    text: Text,
    base: Base,
    /// What comes back when the armed edit of this name is undone.
    before: Option<(String, Base)>,
    problems: Vec<Problem>,
    /// News up to this number were taken in.
    seen: u64,
    /// How the last save was asked for: seconds to confirm in, also with warnings.
    asked: (Option<u32>, bool),
    /// It is on its way.
    saving: bool,
    /// It could not be reached: asked again when the host is there.
    away: bool,
    /// What others made of the file.
    theirs: Option<Base>,
    folder: Option<PathBuf>,
    /// The text as the draft has it, and when that was written.
    drafted: (String, u64),
    now_ms: u64,
}

impl Drop for EditPane {
    fn drop(&mut self) {
        self.write_draft();
    }
}

impl EditPane {
    /// A file as it was found.
    fn new(context: &Context<'_>, host: HostId, path: FilePath, base: Base) -> Self {
        let mut pane = Self::empty(host, path);
        pane.host_name = context.store.hosts.name(host);
        pane.folder.clone_from(&context.store.edits.folder);
        pane.now_ms = context.store.now_ms;
        // What came of saves of an earlier editor is nothing to this one.
        pane.seen = context.store.edits.news(&pane.key()).map_or(0, |(serial, _)| serial);
        pane.set_base(base);
        pane
    }

    /// Nothing yet: for the tables of keys.
    pub fn empty(host: HostId, path: FilePath) -> Self {
        Self {
            host,
            host_name: String::new(),
            path,
            text: Text::new("", Kind::Plain),
            base: Base::default(),
            before: None,
            problems: Vec::new(),
            seen: 0,
            asked: (None, false),
            saving: false,
            away: false,
            theirs: None,
            folder: None,
            drafted: (String::new(), 0),
            now_ms: 0,
        }
    }

    fn set_base(&mut self, base: Base) {
        let kind = Kind::of(&self.path, base.text.lines().next().unwrap_or(""));
        self.text = Text::new(&base.text, kind);
        if matches!(kind, Kind::Yaml | Kind::Python | Kind::Json) {
            self.text.area.set_hard_tab_indent(false);
            self.text.area.set_tab_length(if kind == Kind::Python { 4 } else { 2 });
        }
        self.drafted = (base.text.clone(), 0);
        self.base = base;
    }

    fn key(&self) -> Key {
        (self.host, self.path.clone())
    }

    fn name(&self) -> String {
        format!("{}:{}", self.host_name, self.path)
    }

    fn is_dirty(&self) -> bool {
        let lines = self.text.area.lines();
        let mut base = self.base.text.split('\n');
        let same = lines.iter().all(|line| base.next() == Some(line)) && base.next().is_none();
        !same || (!self.base.exists && lines != [""])
    }

    fn draft(&self) -> Draft {
        Draft {
            host: self.host,
            host_name: self.host_name.clone(),
            path: self.path.clone(),
            base: self.base.known(),
            text: self.text.whole(),
            at_ms: self.now_ms,
        }
    }

    /// Brings the draft on this machine up to what was typed; says whether there is one.
    fn write_draft(&mut self) -> bool {
        let Some(folder) = &self.folder else { return false };
        let dirty = self.is_dirty();
        let draft = self.draft();
        if draft.text == self.drafted.0 && self.drafted.1 > 0 {
            return dirty;
        }
        if dirty {
            if let Err(e) = draft::write(folder, &draft) {
                tracing::error!(error = %e, "draft");
            }
        } else if self.drafted.1 > 0 {
            draft::forget(folder, &self.key());
        }
        self.drafted = (draft.text, self.now_ms.max(1));
        dirty
    }

    /// It is where it belongs.
    fn drop_draft(&mut self) -> Action {
        if let Some(folder) = &self.folder {
            draft::forget(folder, &self.key());
        }
        self.drafted = (self.text.whole(), 0);
        Action::Apply(crate::store::edits::drafted(self.key(), None))
    }

    fn take_news(&mut self, context: &Context<'_>) -> Action {
        let Some((serial, news)) = context.store.edits.news(&self.key()) else {
            return Action::None;
        };
        if serial <= self.seen {
            return Action::None;
        }
        self.seen = serial;
        self.saving = false;
        match &*news {
            News::Saved(text, armed) => self.saved(context, text, armed.as_ref()),
            News::Conflict(theirs) => {
                let exists = theirs.is_some();
                self.theirs = Some(Base { text: theirs.clone().unwrap_or_default(), exists });
                acts::conflict(context, self)
            }
            News::Invalid(problems) => {
                self.problems.clone_from(problems);
                if let Some(first) = problems.iter().find(|p| p.line > 0) {
                    self.text.go(first.line as usize - 1, 0);
                }
                acts::invalid(context, problems)
            }
            News::Away => {
                self.away = true;
                self.write_draft();
                Action::None
            }
            News::Failed => Action::None,
        }
    }

    fn saved(&mut self, context: &Context<'_>, text: &str, armed: Option<&Armed>) -> Action {
        let base = Base { text: text.to_owned(), exists: true };
        let old = std::mem::replace(&mut self.base, base);
        self.problems.clear();
        self.before = armed.map(|armed| (armed.id.clone(), old));
        let name = self.name();
        let said = match armed {
            Some(armed) => context
                .texts
                .fill("edit.saved_armed", &[&name, &armed.left_ms.div_ceil(1000).to_string()]),
            None => context.texts.fill("edit.saved", &[&name]),
        };
        Action::All(vec![self.drop_draft(), Action::Say(said)])
    }

    /// An armed edit of ours may have been undone: what is there is what was before, and our text is unsaved.
    fn look_back(&mut self, context: &Context<'_>) {
        let Some((id, _)) = &self.before else { return };
        let Some(ended) = context.store.edits.ended(self.host, id) else { return };
        let undone = matches!(ended.how, ArmedEnd::Undone | ArmedEnd::Reverted);
        if let Some((_, base)) = self.before.take()
            && undone
        {
            self.base = base;
            self.write_draft();
        }
    }

    fn is_there(&self, context: &Context<'_>) -> bool {
        let row = context.store.hosts.get(self.host);
        context.store.is_up() && row.is_some_and(|row| row.host.state == HostState::Online)
    }

    fn armed<'a>(&self, context: &Context<'a>) -> Option<(&'a Armed, u64)> {
        context.store.edits.armed(self.host, &self.path, context.store.now_ms)
    }

    fn ask(title: String, text: String, hint: &'static str, command: Command) -> Action {
        Action::Open(Box::new(Prompt::new(title, text, hint, move |text| {
            Ok(Action::Give(command, text.to_owned()))
        })))
    }

    /// What was typed may be lost by a crash for so long.
    fn typed(&mut self, context: &Context<'_>) -> Action {
        self.now_ms = context.store.now_ms;
        if self.now_ms.saturating_sub(self.drafted.1) >= 2000 {
            self.write_draft();
        }
        Action::None
    }

    fn may_save(&self, context: &Context<'_>) -> bool {
        use crate::store::rights::Offer;
        context.store.offer(Save::METHOD, true, &[self.host]) != Offer::No
    }
}

impl Pane for EditPane {
    fn bindings(&self) -> &'static [&'static [Binding]] {
        TABLES
    }

    fn feeds(&self) -> Vec<Subscription> {
        let pending = Subscription::new(Some(self.host), Pending::default());
        vec![super::hosts::feed(), pending]
    }

    fn at_hand(&self) -> Vec<HostId> {
        vec![self.host]
    }

    fn is_writing(&self) -> bool {
        true
    }

    fn poll(&mut self, context: &Context<'_>) -> Action {
        self.now_ms = context.store.now_ms;
        self.look_back(context);
        let action = self.take_news(context);
        if !matches!(action, Action::None) {
            return action;
        }
        if self.away && self.is_there(context) {
            self.away = false;
            if !self.is_dirty() {
                return Action::None;
            }
            let title = context.texts.fill("edit.back.title", &[&self.name()]);
            let items = ["edit.back.save", "edit.back.later"];
            let items = items.map(|key| (context.texts.get(key).to_owned(), String::new()));
            let again = self.asked.0.unwrap_or(0).to_string();
            return Action::Open(Box::new(Menu::new(title, items.to_vec(), 0, move |at| {
                if at == 0 { Action::Give(SAVE, again.clone()) } else { Action::None }
            })));
        }
        Action::None
    }

    fn on(&mut self, context: &Context<'_>, command: Command) -> Action {
        self.now_ms = context.store.now_ms;
        match command {
            SAVE => acts::review(context, self),
            CHANGES => acts::changes(context, self),
            // Whoever has selected something means to copy it by this key.
            Command::Quit if self.text.area.is_selecting() => self.on(context, COPY),
            Command::Back => {
                if self.text.area.is_selecting() {
                    self.text.area.cancel_selection();
                    return Action::None;
                }
                let had = self.drafted.1 > 0;
                if !self.write_draft() {
                    // What it had kept of itself is of no use any more.
                    let forget = crate::store::edits::drafted(self.key(), None);
                    let forget = had.then_some(Action::Apply(forget));
                    return Action::All(forget.into_iter().chain([Action::Back]).collect());
                }
                let draft = Some(self.draft());
                let keep = Action::Apply(crate::store::edits::drafted(self.key(), draft));
                let said = Action::Say(context.texts.fill("edit.kept", &[&self.name()]));
                Action::All(vec![keep, Action::Back, said])
            }
            UNDO => {
                self.text.area.undo();
                self.typed(context)
            }
            REDO => {
                self.text.area.redo();
                self.typed(context)
            }
            FIND => {
                let title = context.texts.get("edit.find.title").to_owned();
                Self::ask(title, String::new(), "edit.find.hint", FIND)
            }
            NEXT => self.find(context, true),
            PREVIOUS => self.find(context, false),
            REPLACE if self.text.area.search_pattern().is_none() => {
                Action::Say(context.texts.get("edit.find.nothing").to_owned())
            }
            REPLACE => {
                let title = context.texts.fill("edit.replace.title", &[&self.sought()]);
                Self::ask(title, String::new(), "edit.replace.hint", REPLACE)
            }
            GOTO => {
                let title = context.texts.get("edit.goto.title").to_owned();
                Self::ask(title, String::new(), "edit.goto.hint", GOTO)
            }
            SELECT => {
                self.text.area.select_all();
                Action::None
            }
            CUT | COPY => {
                if !self.text.area.is_selecting() {
                    return Action::Say(context.texts.get("edit.nothing_selected").to_owned());
                }
                if command == CUT {
                    self.text.area.cut();
                } else {
                    self.text.area.copy();
                }
                Action::Copy(self.text.area.yank_text())
            }
            PASTE => {
                self.text.area.paste();
                self.typed(context)
            }
            VERSIONS => acts::versions(context, self),
            KEEP | REVERT => {
                let armed = self.armed(context).map(|(armed, _)| armed);
                acts::settle(context, self.host, armed, command == KEEP)
            }
            _ => Action::Pass,
        }
    }

    fn take(&mut self, context: &Context<'_>, command: Command, text: &str) -> Action {
        self.now_ms = context.store.now_ms;
        match command {
            SAVE => {
                self.asked = (text.parse().ok().filter(|s| *s > 0), false);
                self.saving = true;
                acts::save(self)
            }
            FORCE => {
                self.asked.1 = true;
                self.saving = true;
                acts::save(self)
            }
            MERGE => {
                if let Some(theirs) = self.theirs.take() {
                    let mine = self.text.whole();
                    let merged = acts::merged(&self.base.text, &mine, &theirs.text);
                    self.text.replace(&merged);
                    self.base = theirs;
                    if let Some(at) = merged.lines().position(|l| l.starts_with("<<<<<<< ")) {
                        self.text.go(at, 0);
                        return Action::Say(context.texts.get("edit.merged_marks").to_owned());
                    }
                }
                Action::Say(context.texts.get("edit.merged").to_owned())
            }
            THEIRS => {
                if let Some(theirs) = self.theirs.take() {
                    self.set_base(theirs);
                }
                self.drop_draft()
            }
            MINE => {
                let said = acts::keep_mine(context, &self.path, &self.text.whole());
                if let Some(theirs) = self.theirs.take() {
                    self.set_base(theirs);
                }
                Action::All(vec![self.drop_draft(), said])
            }
            TAKE_UP => {
                if let Some(draft) = context.store.edits.draft(&self.key()) {
                    let text = draft.text.clone();
                    self.text.replace(&text);
                }
                Action::None
            }
            DROP => self.drop_draft(),
            LOAD => {
                self.text.replace(text);
                self.typed(context)
            }
            FIND => match self.set_pattern(text) {
                Ok(()) if text.is_empty() => Action::None,
                Ok(()) => self.find(context, true),
                Err(error) => Action::Complain(error),
            },
            REPLACE => self.replace_all(context, text),
            GOTO => {
                if let Ok(line) = text.trim().parse::<usize>() {
                    self.text.go(line.saturating_sub(1), 0);
                }
                Action::None
            }
            _ => Action::None,
        }
    }

    fn write(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action {
        self.type_key(context, key)
    }

    fn paste(&mut self, context: &Context<'_>, text: &str) -> Action {
        let room = cmdr_protocol::edits::MOST.saturating_sub(self.text.whole().len());
        if text.len() > room || text.contains('\0') {
            return Action::Complain(context.texts.get("edit.too_large").to_owned());
        }
        self.text.area.insert_str(text.replace("\r\n", "\n").replace('\r', "\n"));
        self.typed(context)
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
        let ratatui_textarea::DataCursor(row, column) = self.text.area.cursor();
        let place = format!("{}:{} ", row + 1, column + 1);
        let place = Line::styled(place, context.theme.style(Role::Soft));
        self.head(context, frame, Rect { height: 1, ..area }, &place);
        let body = self.below(context, frame, area);
        self.text.draw(context, frame, body, &self.problems, context.focused);
    }
}

/// The restore of a version, in the place of what is known to be there.
fn restore(pane: &EditPane, number: u64) -> Restore {
    let expect = pane.base.known().map(|text| cmdr_link::packed::hash(text.as_bytes()));
    Restore { path: pane.path.clone(), number, expect, ..Restore::default() }
}
