//! What a container shall be: a form, the same as YAML, and what `docker run` says, between which one changes freely. It
//! is looked through before anything is sent; what a host has against it opens it again. For a new container, one that is
//! like another, and one in the place of another.

mod fields;
mod send;
mod yaml;

use super::One;
use super::acts::LONG;
use crate::action::{Action, Make};
use crate::overlays::confirm::Confirm;
use crate::overlays::{Overlay, leaves, rows};
use crate::panes::Context;
use crate::panes::edit::{Kind, Text};
use crate::panes::sheet;
use crate::store::containers::goes_over;
use crate::theme::Role;
use crate::widgets::input::Input;
use crate::widgets::{frame as boxes, table};
use cmdr_protocol::HostId;
use cmdr_protocol::containers::{Like, Likeness, Spec};
use cmdr_protocol::display::clean;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use fields::LINES;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use send::Order;
use unicode_width::UnicodeWidthStr as _;

/// Rows of complaints that are shown.
const COMPLAINTS: usize = 6;

/// What it is for.
#[derive(Clone)]
pub(super) enum Purpose {
    /// A new one on each of these hosts.
    New(Vec<HostId>),
    /// One in the place of another, under its name.
    Instead { host: HostId, container: String, name: String },
}

impl Purpose {
    fn hosts(&self) -> Vec<HostId> {
        match self {
            Self::New(hosts) => hosts.clone(),
            Self::Instead { host, .. } => vec![*host],
        }
    }

    /// For these of its hosts.
    fn only(&self, hosts: &[HostId]) -> Self {
        match self {
            Self::New(_) => Self::New(hosts.to_vec()),
            instead @ Self::Instead { .. } => instead.clone(),
        }
    }
}

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Form,
    Yaml,
    Words,
}

const SHAPES: [(Shape, &str); 3] = [
    (Shape::Form, "containers.run.form"),
    (Shape::Yaml, "containers.run.yaml"),
    (Shape::Words, "containers.run.words"),
];

/// The form.
pub(super) struct RunForm {
    purpose: Purpose,
    /// As of when one shape was changed for another; the form changes what was typed in it.
    spec: Spec,
    shape: Shape,
    /// Of each line what stands in it, and what stood in it.
    inputs: Vec<(Input, String)>,
    at: usize,
    top: usize,
    yaml: Text,
    words: Text,
    /// What there is to know, and what is wrong.
    about: Vec<String>,
    why: Vec<String>,
    /// Something was typed.
    touched: bool,
}

fn editor(text: &str, kind: Kind) -> Text {
    let mut text = Text::new(text, kind);
    text.area.set_hard_tab_indent(false);
    text.area.set_tab_length(2);
    text
}

fn inputs(spec: &Spec) -> Vec<(Input, String)> {
    let line = |line: &fields::Line| {
        let mut input = Input::default();
        // What a terminal would obey is left out of what is shown; what is not changed stays as it is.
        input.insert(&line.text(spec));
        let text = input.text().to_owned();
        (input, text)
    };
    LINES.iter().map(line).collect()
}

impl RunForm {
    fn new(purpose: Purpose, spec: &Spec) -> Self {
        Self {
            purpose,
            spec: spec.clone(),
            shape: Shape::Form,
            inputs: inputs(spec),
            at: 0,
            top: 0,
            yaml: editor("", Kind::Yaml),
            words: editor("", Kind::Shell),
            about: Vec::new(),
            why: Vec::new(),
            touched: false,
        }
    }

    /// Another container stands in it from now on.
    fn set(&mut self, spec: Spec) {
        self.inputs = inputs(&spec);
        self.yaml = editor(&yaml::written(&spec), Kind::Yaml);
        self.spec = spec;
    }

    /// What stands in it as a container; else what is wrong, and in which line of the form.
    fn read(&self, context: &Context<'_>) -> Result<Spec, (Option<usize>, String)> {
        let texts = context.texts;
        let told = |(key, of): fields::Wrong| texts.fill(key, &[&clean(&of)]);
        let mut spec = match self.shape {
            Shape::Form => {
                let mut spec = self.spec.clone();
                for (at, (line, (input, was))) in LINES.iter().zip(&self.inputs).enumerate() {
                    if input.text() != was {
                        line.put(&mut spec, input.text()).map_err(|wrong| {
                            (Some(at), format!("{}: {}", texts.get(line.name), told(wrong)))
                        })?;
                    }
                }
                spec
            }
            Shape::Yaml => yaml::read(&self.yaml.whole()).map_err(|wrong| (None, told(wrong)))?,
            // With nothing said there, what stood in the other shapes is meant.
            Shape::Words if self.words.is_empty() => self.spec.clone(),
            Shape::Words => yaml::said(&self.words.whole()).map_err(|wrong| (None, told(wrong)))?,
        };
        if let Purpose::Instead { name, .. } = &self.purpose {
            if spec.name.is_empty() {
                spec.name.clone_from(name);
            }
            if spec.name != *name {
                return Err((Some(1), texts.fill("containers.run.keeps_name", &[&clean(name)])));
            }
        }
        Ok(spec)
    }

    fn complain(&mut self, at: Option<usize>, why: Vec<String>) -> Action {
        if let Some(at) = at.filter(|_| self.shape == Shape::Form) {
            self.at = at;
        }
        self.why = why;
        Action::None
    }

    /// Shows the same in another shape.
    fn turn(&mut self, context: &Context<'_>, to: Shape) -> Action {
        match self.read(context) {
            Err((at, why)) => self.complain(at, vec![why]),
            Ok(spec) => {
                self.set(spec);
                self.words = editor("", Kind::Shell);
                self.why.clear();
                self.shape = to;
                Action::None
            }
        }
    }

    fn beside(&self) -> Shape {
        let at = SHAPES.iter().position(|(shape, _)| *shape == self.shape).unwrap_or(0);
        SHAPES[(at + 1) % SHAPES.len()].0
    }

    fn submit(&mut self, context: &Context<'_>, start: bool) -> Action {
        let spec = match self.read(context) {
            Ok(spec) => spec,
            Err((at, why)) => return self.complain(at, vec![why]),
        };
        let problems = spec.problems();
        if let Some(first) = problems.first() {
            let at = LINES.iter().position(|line| line.setting == first.field);
            let why = problems.iter().map(|problem| clean(&problem.to_string()).into_owned());
            return self.complain(at, why.collect());
        }
        self.why.clear();
        let order = Order { purpose: self.purpose.clone(), spec, start };
        order.asked(context)
    }

    fn leave(&self, context: &Context<'_>) -> Action {
        if !self.touched {
            return Action::Close;
        }
        let title = context.texts.get("containers.run.leave").to_owned();
        Action::Open(Box::new(Confirm::one(title, Action::Close)))
    }

    fn typed(&mut self, key: &KeyEvent) {
        let count = LINES.len();
        match key.code {
            KeyCode::Tab | KeyCode::Down | KeyCode::Enter => self.at = (self.at + 1) % count,
            KeyCode::BackTab | KeyCode::Up => self.at = (self.at + count - 1) % count,
            KeyCode::PageDown => self.at = (self.at + 8).min(count - 1),
            KeyCode::PageUp => self.at = self.at.saturating_sub(8),
            _ if LINES[self.at].is_switch() => {
                if let KeyCode::Char(_) | KeyCode::Left | KeyCode::Right = key.code {
                    let input = &mut self.inputs[self.at].0;
                    *input = Input::new(if input.text().is_empty() { "x" } else { "" });
                    self.touched = true;
                }
            }
            _ => self.touched |= self.inputs[self.at].0.key(key),
        }
    }

    fn title(&self, context: &Context<'_>) -> String {
        let texts = context.texts;
        let name = |host: &HostId| context.store.hosts.name(*host);
        match &self.purpose {
            Purpose::New(hosts) => {
                let names: Vec<_> = hosts.iter().map(name).collect();
                texts.fill("containers.run.title", &[&names.join(", ")])
            }
            Purpose::Instead { host, name: called, .. } => {
                texts.fill("containers.recreate.title", &[&clean(called), &name(host)])
            }
        }
    }

    fn draw_form(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { theme, texts, .. } = *context;
        let names = LINES.iter().map(|line| texts.get(line.name).width()).max().unwrap_or(0) as u16;
        let shown = usize::from(area.height);
        self.top = self.top.min(self.at).max((self.at + 1).saturating_sub(shown));
        let lines = LINES.iter().zip(&self.inputs).enumerate().skip(self.top);
        for (y, (at, (line, (input, _)))) in (area.y..area.bottom()).zip(lines) {
            let current = at == self.at;
            let role = if current { Role::Accent } else { Role::Soft };
            let name = Line::styled(texts.get(line.name), theme.style(role));
            table::put(frame.buffer_mut(), area.x, y, names, &name, false);
            let x = area.x + names + 1;
            let width = area.width.saturating_sub(names + 1);
            if line.is_switch() {
                let mark = if input.text().is_empty() { "[ ]" } else { "[x]" };
                let role = if current { Role::Input } else { Role::Text };
                let mark = Line::styled(mark, theme.style(role));
                table::put(frame.buffer_mut(), x + 2, y, width.saturating_sub(2), &mark, false);
                if current {
                    frame.set_cursor_position((x + 3, y));
                }
            } else if current {
                input.draw(frame, Rect { x, y, width, height: 1 }, theme);
            } else {
                let (text, _) = input.view(usize::from(width.saturating_sub(2)));
                let text = Line::styled(text, theme.style(Role::Text));
                table::put(frame.buffer_mut(), x + 2, y, width.saturating_sub(2), &text, false);
            }
        }
    }
}

impl Overlay for RunForm {
    fn key(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let new = matches!(self.purpose, Purpose::New(_));
        match key.code {
            _ if leaves(key) => return self.leave(context),
            KeyCode::Char('s') if control => return self.submit(context, true),
            KeyCode::F(2) => return self.submit(context, true),
            KeyCode::F(4) if new => return self.submit(context, false),
            KeyCode::F(3) => return self.turn(context, self.beside()),
            KeyCode::Char('t') if control => return self.turn(context, self.beside()),
            _ => {}
        }
        match self.shape {
            Shape::Form => self.typed(key),
            Shape::Yaml => self.touched |= self.yaml.key(key) == Some(true),
            Shape::Words => self.touched |= self.words.key(key) == Some(true),
        }
        Action::None
    }

    fn paste(&mut self, text: &str) {
        self.touched = true;
        if yaml::is_said(text) {
            // It is read when one goes on from there, and says then what it cannot read.
            self.shape = Shape::Words;
            self.words.replace(text.trim_end());
            return;
        }
        match self.shape {
            Shape::Form => self.inputs[self.at].0.insert(text),
            Shape::Yaml => drop(self.yaml.area.insert_str(text)),
            Shape::Words => drop(self.words.area.insert_str(text)),
        }
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        let Context { theme, texts, glyphs, .. } = *context;
        let size = (screen.width.saturating_sub(4).min(120), screen.height.saturating_sub(2));
        let title = Line::styled(format!(" {} ", self.title(context)), theme.style(Role::Title));
        let inner = boxes::popup(frame.buffer_mut(), screen, size, title, false, theme, glyphs);
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        let room = usize::from(width);
        let titles = SHAPES.map(|(_, title)| title);
        let at = SHAPES.iter().position(|(shape, _)| *shape == self.shape).unwrap_or(0);
        sheet::titles(context, frame, Rect { x, y: inner.y, width, height: 1 }, &titles, at);
        let of = |lines: &[String], role| -> Vec<(Role, String)> {
            lines.iter().flat_map(|line| rows(line, room)).map(|row| (role, row)).collect()
        };
        let mut told = of(&self.why, Role::Bad);
        told.extend(of(&self.about, Role::Warn));
        told.truncate(COMPLAINTS.min(usize::from(inner.height / 3)));
        let mut y = inner.y + 1;
        for (role, row) in &told {
            let line = Line::styled(row.as_str(), theme.style(*role));
            table::put(frame.buffer_mut(), x, y, width, &line, false);
            y += 1;
        }
        let hint = match self.shape {
            Shape::Form => texts.get(LINES[self.at].hint),
            Shape::Yaml => texts.get("containers.run.yaml_hint"),
            Shape::Words => texts.get("containers.run.words_hint"),
        };
        let hints = rows(hint, room);
        let hints = &hints[..hints.len().min(2)];
        let keys = match self.purpose {
            Purpose::New(_) => texts.get("containers.run.keys"),
            Purpose::Instead { .. } => texts.get("containers.recreate.keys"),
        };
        let keys = rows(keys, room);
        let below = keys.len() as u16 + 2;
        let body = Rect { x, y, width, height: inner.bottom().saturating_sub(y + below) };
        match self.shape {
            Shape::Form => self.draw_form(context, frame, body),
            Shape::Yaml => self.yaml.draw(context, frame, body, &[], true),
            Shape::Words => self.words.draw(context, frame, body, &[], true),
        }
        let said = hints.iter().map(|row| (Role::Info, row));
        for (y, (role, row)) in (inner.bottom().saturating_sub(below)..).zip(said) {
            let line = Line::styled(row.as_str(), theme.style(role));
            table::put(frame.buffer_mut(), x, y, width, &line, false);
        }
        for (y, row) in (inner.bottom().saturating_sub(keys.len() as u16)..).zip(&keys) {
            let line = Line::from(Span::styled(row.as_str(), theme.style(Role::Faint)));
            table::put(frame.buffer_mut(), x, y, width, &line, false);
        }
    }
}

/// An empty form for new ones on these hosts.
pub(super) fn run(context: &Context<'_>, hosts: Vec<HostId>) -> Action {
    if hosts.is_empty() {
        return Action::Say(context.texts.get("containers.run.no_host").to_owned());
    }
    Action::Open(Box::new(RunForm::new(Purpose::New(hosts), &Spec::default())))
}

/// Asks what a container was made with; the form is made of the answer.
fn liken(context: &Context<'_>, one: &One, instead: bool) -> Action {
    let (host, id) = (one.host, one.id.clone());
    let what = context.texts.fill("containers.like.what", &[&clean(&one.name)]);
    let call = Like { container: id.clone() };
    Action::call_within(what, Some(host), call, LONG, move |likeness| {
        (None, Action::Make(Box::new(Likened { host, container: id, likeness, instead })))
    })
}

/// A form for more like this one.
pub(super) fn like(context: &Context<'_>, one: &One) -> Action {
    liken(context, one, false)
}

/// A form for another one in the place of this.
pub(super) fn recreate(context: &Context<'_>, one: &One) -> Action {
    liken(context, one, true)
}

struct Likened {
    host: HostId,
    container: String,
    likeness: Likeness,
    instead: bool,
}

impl Make for Likened {
    fn make(self: Box<Self>, context: &Context<'_>) -> Action {
        let texts = context.texts;
        let Self { host, container, likeness: Likeness { mut spec, beyond }, instead } = *self;
        let name = spec.name.clone();
        let beyond: Vec<String> = beyond
            .iter()
            .filter(|what| !instead || !goes_over(what))
            .map(|what| clean(what).into_owned())
            .collect();
        let called = clean(&name).into_owned();
        if instead && !beyond.is_empty() {
            let lost = beyond.join(", ");
            return Action::Complain(texts.fill("containers.recreate.lost", &[&called, &lost]));
        }
        let purpose = if instead {
            Purpose::Instead { host, container, name }
        } else {
            spec.name.clear();
            Purpose::New(vec![host])
        };
        let mut form = RunForm::new(purpose, &spec);
        form.at = usize::from(!instead);
        if !beyond.is_empty() {
            let lost = beyond.join(", ");
            form.about.push(texts.fill("containers.like.beyond", &[&called, &lost]));
        }
        Action::Open(Box::new(form))
    }
}
