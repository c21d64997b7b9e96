//! Sessions over SSH: the form that asks where to, the places where one has been, and what the host asks
//! before such a session begins.

use super::FAR;
use crate::action::Action;
use crate::overlays::form::{Ended, Field, Form};
use crate::overlays::menu::Menu;
use crate::overlays::{Overlay, leaves};
use crate::panes::Context;
use crate::store::Update;
use crate::store::sessions::answer;
use crate::theme::Role;
use crate::widgets::{frame as boxes, table};
use cmdr_link::ssh_places::{self, Place};
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::sessions::MAX_NAME;
use cmdr_protocol::ssh::{self, Answer, HostKey, Open, PORT, Question, Standing, Trust, Typed};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use std::path::PathBuf;

const TARGET: usize = 0;
const KEY: usize = 1;
const COMMAND: usize = 2;
const NAME: usize = 3;

/// What stands between the answers when they are handed to the pane.
const BETWEEN: char = '\n';
/// Questions that are passed on have at most so many lines to fill in.
const PROMPTS: usize = 16;

/// A session over SSH that is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Far {
    pub(super) open: Open,
    /// The file with the private key; empty for those that are there.
    pub(super) identity: String,
    /// Where it is remembered that one was there, and through which host.
    pub(super) places: Option<PathBuf>,
    pub(super) via: String,
}

/// Where places are remembered.
pub fn remembers(folder: Option<PathBuf>) -> Update {
    Update::new(move |store| store.sessions.places = folder)
}

/// Asks where to: one of the places where one was through this host, or another one.
pub(super) fn ask(context: &Context<'_>, host: HostId) -> Action {
    let via = context.store.hosts.name(host);
    let folder = context.store.sessions.places.as_deref();
    let places: Vec<Place> = folder.map(ssh_places::all).unwrap_or_default();
    let places: Vec<Place> = places.into_iter().filter(|place| place.via == via).collect();
    if places.is_empty() {
        return Action::Open(Box::new(Asking::new(context, &Far::default(), None)));
    }
    let other = (context.texts.get("ssh.other").to_owned(), String::new());
    let items = places.iter().map(|place| (place.target(), String::new())).chain([other]).collect();
    let title = context.texts.fill("ssh.where", &[&via]);
    Action::Open(Box::new(Menu::new(title, items, 0, move |at| {
        Action::Give(FAR, places.get(at).map_or("?".to_owned(), Place::target))
    })))
}

/// Reads what the form handed over; none when it is to be asked.
pub(super) fn read(text: &str) -> Option<Far> {
    let mut parts = text.split(BETWEEN).map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let (target, identity, command, name) = (next(), next(), next(), next());
    let (user, host, port) = ssh::target(&target).ok()?;
    let open =
        Open { user: user?, host, port: port.unwrap_or(PORT), command, name, ..Open::default() };
    Some(Far { open, identity, ..Far::default() })
}

/// What the pane is told so that it opens this again.
pub(super) fn written(far: &Far) -> String {
    let Open { command, name, .. } = &far.open;
    let target = if far.open.host.is_empty() { String::new() } else { far.open.target() };
    [target, far.identity.clone(), command.clone(), name.clone()].join(&BETWEEN.to_string())
}

/// The form.
pub(super) struct Asking {
    form: Form,
}

impl Asking {
    /// Empty, or with what was wanted and why that was not to be.
    pub(super) fn new(context: &Context<'_>, wanted: &Far, why: Option<String>) -> Self {
        let text = written(wanted);
        let mut parts = text.split(BETWEEN).map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let fields = vec![
            Field::new("ssh.target", "ssh.target_hint", next()),
            Field::new("ssh.key", "ssh.key_hint", next()),
            Field::new("shell.command", "ssh.command_hint", next()),
            Field::new("shell.name", "shell.name_hint", next()),
        ];
        let mut form = Form::new(context.texts.get("ssh.title").to_owned(), fields);
        form.about = why.into_iter().collect();
        Self { form }
    }
}

impl Overlay for Asking {
    fn key(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action {
        match self.form.key(key) {
            Ended::No => Action::None,
            Ended::Left => Action::Close,
            Ended::Sent => {
                let wrong = match ssh::target(self.form.text(TARGET)) {
                    Ok((Some(_), ..)) => None,
                    Ok((None, ..)) => Some(context.texts.get("ssh.no_user").to_owned()),
                    Err(_) => Some(context.texts.get("ssh.no_target").to_owned()),
                };
                if let Some(wrong) = wrong {
                    self.form.complain(TARGET, wrong);
                    return Action::None;
                }
                if self.form.text(NAME).len() > MAX_NAME {
                    let error = context.texts.fill("shell.long_name", &[&MAX_NAME.to_string()]);
                    self.form.complain(NAME, error);
                    return Action::None;
                }
                let texts = [TARGET, KEY, COMMAND, NAME].map(|at| self.form.text(at).to_owned());
                let text = texts.join(&BETWEEN.to_string());
                Action::CloseAnd(Box::new(Action::Give(FAR, text)))
            }
        }
    }

    fn paste(&mut self, text: &str) {
        self.form.paste(text);
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        self.form.draw(context, frame, screen);
    }
}

/// Shows what a host asks for the session that is open for `owner`.
pub(super) fn question(
    context: &Context<'_>,
    owner: u64,
    host: HostId,
    question: &Question,
) -> Action {
    if let Some(key) = &question.host_key {
        return Action::Open(Box::new(IsRight { owner, host, key: key.clone() }));
    }
    match &question.typed {
        Some(typed) => Action::Open(Box::new(TypeIn::new(context, owner, typed))),
        None => Action::None,
    }
}

/// Whether a machine is the right one.
struct IsRight {
    owner: u64,
    host: HostId,
    key: HostKey,
}

impl Overlay for IsRight {
    fn key(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action {
        let owner = self.owner;
        match key.code {
            KeyCode::Char('y') => {
                let HostKey { host, port, key, fingerprint, .. } = self.key.clone();
                let what = context.texts.fill("ssh.trust_what", &[&ssh::place(&host, port)]);
                let trust = Trust { host, port, key, fingerprint };
                let call = Action::call(what, Some(self.host), trust, move |_| {
                    let right = Answer { go_on: true, ..Answer::default() };
                    (Some(answer(owner, right)), Action::None)
                });
                Action::CloseAnd(Box::new(call))
            }
            KeyCode::Char('n') => {
                Action::CloseAnd(Box::new(Action::Apply(answer(owner, Answer::default()))))
            }
            _ if leaves(key) => {
                Action::CloseAnd(Box::new(Action::Apply(answer(owner, Answer::default()))))
            }
            _ => Action::None,
        }
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        let Context { theme, texts, glyphs, .. } = *context;
        let place = ssh::place(&self.key.host, self.key.port);
        let kind = self.key.key.split(' ').next().unwrap_or_default();
        let via = context.store.hosts.name(self.host);
        let unknown = match self.key.standing {
            Standing::Other => "ssh.known_otherwise",
            _ => "ssh.unknown",
        };
        let texts_of = [
            (Role::Text, texts.fill(unknown, &[&via, &clean_to_width(&place, 100)])),
            (Role::Soft, clean_to_width(kind, 40)),
            (Role::Strong, clean_to_width(&self.key.fingerprint, 100)),
            (Role::Text, texts.get("ssh.compare").to_owned()),
        ];
        let width = 76.min(screen.width.saturating_sub(4));
        let lines: Vec<_> = texts_of
            .into_iter()
            .flat_map(|line| {
                crate::overlays::pager::wrap(&[line], usize::from(width.saturating_sub(4)))
            })
            .collect();
        let title =
            Line::styled(format!(" {} ", texts.get("ssh.is_right")), theme.style(Role::Title));
        let size = (width, lines.len() as u16 + 4);
        let inner = boxes::popup(frame.buffer_mut(), screen, size, title, true, theme, glyphs);
        let (x, width) = (inner.x + 1, inner.width.saturating_sub(2));
        let last = inner.bottom().saturating_sub(1);
        for (y, row) in (inner.y..last).zip(&lines) {
            let spans = row.iter().map(|(role, text)| Span::styled(text, theme.style(*role)));
            table::put(frame.buffer_mut(), x, y, width, &spans.collect(), false);
        }
        let keys = Line::styled(texts.get("ssh.right_keys"), theme.style(Role::Faint));
        table::put(frame.buffer_mut(), x, last, width, &keys, false);
    }
}

/// What a machine asks to be typed.
struct TypeIn {
    owner: u64,
    count: usize,
    form: Form,
}

impl TypeIn {
    fn new(context: &Context<'_>, owner: u64, typed: &Typed) -> Self {
        let count = typed.prompts.len().min(PROMPTS);
        let fields = typed.prompts.iter().take(PROMPTS).map(|prompt| {
            let field = Field::new("ssh.answer", "ssh.answer_hint", String::new());
            if prompt.echo { field } else { field.secret() }
        });
        let title = context.texts.get("ssh.asked").to_owned();
        let mut form = Form::new(title, fields.collect());
        let again = typed.again.then(|| context.texts.get("ssh.again").to_owned());
        let said = (!typed.about.is_empty()).then(|| clean_to_width(&typed.about, 400));
        let asks = typed.prompts.iter().map(|prompt| clean_to_width(&prompt.text, 200));
        form.about = again.into_iter().chain(said).chain(asks).collect();
        Self { owner, count, form }
    }
}

impl Overlay for TypeIn {
    fn key(&mut self, _: &Context<'_>, key: &KeyEvent) -> Action {
        let given =
            |typed| Action::Apply(answer(self.owner, Answer { typed, ..Answer::default() }));
        match self.form.key(key) {
            Ended::No => Action::None,
            Ended::Left => Action::CloseAnd(Box::new(given(Vec::new()))),
            Ended::Sent => {
                let typed = (0..self.count).map(|at| self.form.whole(at).to_owned()).collect();
                Action::CloseAnd(Box::new(given(typed)))
            }
        }
    }

    fn paste(&mut self, text: &str) {
        self.form.paste(text);
    }

    fn draw(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, screen: Rect) {
        self.form.draw(context, frame, screen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_filled_in_is_written_so_that_it_reads_the_same() {
        let far = read("deploy@db7:2222\n~/.ssh/db\nuptime\nlook").expect("reads");
        assert_eq!(
            (far.open.target().as_str(), far.identity.as_str()),
            ("deploy@db7:2222", "~/.ssh/db")
        );
        assert_eq!((far.open.command.as_str(), far.open.name.as_str()), ("uptime", "look"));
        assert_eq!(read(&written(&far)), Some(far));
        assert_eq!(read("deploy@db7").map(|far| far.open.port), Some(22));
        assert_eq!(read("?"), None);
        assert_eq!(read("db7"), None, "as whom is said");
    }
}
