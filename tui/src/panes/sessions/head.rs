//! The line above a session: what it is, who drives, who looks on, and whether it is recorded.

use super::shell::At;
use crate::action::reason;
use crate::panes::Context;
use crate::store::sessions::{Attached, State};
use crate::theme::Role;
use crate::widgets::table;
use cmdr_protocol::exec::{Exit, Outcome};
use cmdr_protocol::sessions::Mode;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// Whether somebody or something else sees what is done.
pub(super) fn must_be_seen(open: &Attached) -> bool {
    open.recording.is_some()
        || !open.watchers.is_empty()
        || open.watching() > usize::from(open.mode != Mode::Drive)
        || !open.is_live()
}

/// How a program ended, in words.
fn ended(context: &Context<'_>, exit: Option<Exit>) -> (String, Role) {
    let texts = context.texts;
    match exit {
        None => (texts.get("shell.ended").to_owned(), Role::Warn),
        Some(Exit { outcome: Outcome::Exited, code: 0, .. }) => {
            (texts.fill("shell.exited", &["0"]), Role::Ok)
        }
        Some(Exit { outcome: Outcome::Exited, code, .. }) => {
            (texts.fill("shell.exited", &[&code.to_string()]), Role::Bad)
        }
        Some(Exit { outcome: Outcome::TimedOut, .. }) => {
            (texts.get("shell.timed_out").to_owned(), Role::Bad)
        }
        Some(Exit { outcome: Outcome::Closed, .. }) => {
            (texts.get("shell.closed").to_owned(), Role::Warn)
        }
        Some(Exit { code, .. }) => (texts.fill("shell.signalled", &[&code.to_string()]), Role::Bad),
    }
}

/// Something that is said at the right.
struct Piece {
    text: String,
    /// What is said where there is no room for that.
    short: Option<String>,
    role: Role,
}

impl Piece {
    fn new(text: String, role: Role) -> Self {
        Self { text, short: None, role }
    }
}

/// The pieces with dots between, shortened from the last one on until they fit: who drives stands at the
/// end and must not be cut.
fn fitted(context: &Context<'_>, mut pieces: Vec<Piece>, room: usize) -> Line<'static> {
    let width = |pieces: &[Piece]| pieces.iter().map(|p| p.text.width() + 3).sum::<usize>();
    for at in (0..pieces.len()).rev() {
        if width(&pieces) <= room + 3 {
            break;
        }
        if let Some(short) = pieces[at].short.take() {
            pieces[at].text = short;
        }
    }
    let mut line = Line::default();
    for Piece { text, role, .. } in pieces {
        if line.width() > 0 {
            line.push_span(Span::styled(" · ", context.theme.style(Role::Faint)));
        }
        line.push_span(Span::styled(text, context.theme.style(role)));
    }
    line
}

/// Draws it.
pub(super) fn draw(
    context: &Context<'_>,
    frame: &mut Frame<'_>,
    area: Rect,
    at: &At,
    open: Option<&Attached>,
) {
    let Context { store, theme, texts, .. } = *context;
    let mut left = Line::default();
    let mut right: Vec<Piece> = Vec::new();
    let (sign, role) = match open.map(|open| &open.state) {
        Some(State::Live) if open.is_some_and(Attached::is_live) => ("●", Role::Ok),
        Some(State::Ended(_)) => ("◼", Role::Soft),
        _ => ("○", Role::Warn),
    };
    left.push_span(Span::styled(format!("{sign} "), theme.style(role)));
    if let Some(open) = open {
        let known = store.sessions.list(open.host);
        let known = known.and_then(|list| list.sessions.iter().find(|one| one.id == open.id));
        let name = known.map_or("", |one| one.name.as_str());
        let name = if name.is_empty() { open.id.as_str() } else { name };
        left.push_span(Span::styled(format!("{name} "), theme.style(Role::Soft)));
        if let Some(known) = known.filter(|one| !one.user.is_empty()) {
            let role = if known.user == "root" { Role::Warn } else { Role::Soft };
            left.push_span(Span::styled(format!("{} ", known.user), theme.style(role)));
        }
        let title = open.screen.title();
        let command = known.map(super::columns::what).unwrap_or_default();
        let what = if title.is_empty() { command } else { title.to_owned() };
        left.push_span(Span::styled(format!(" {what}"), theme.style(Role::Strong)));
        // Where there is little room, who sees what is done comes first.
        if !open.watchers.is_empty() {
            let who = open.watchers.join(", ");
            right.push(Piece::new(texts.fill("player.watchers", &[&who]), Role::Bad));
        }
        if let Some(number) = open.recording {
            let text = format!("◉ {}", texts.fill("shell.recorded", &[&number.to_string()]));
            right.push(Piece {
                short: Some(format!("◉ #{number}")),
                ..Piece::new(text, Role::Warn)
            });
        }
        if at.rings(store.now_ms) {
            let text = format!("♪ {}", texts.get("shell.bell"));
            right.push(Piece { short: Some("♪".to_owned()), ..Piece::new(text, Role::Warn) });
        }
        let mut say = |text: String, role| right.push(Piece::new(text, role));
        if at.looking || open.screen.back() > 0 {
            let (back, all) = (open.screen.back().to_string(), open.screen.history().to_string());
            say(texts.fill("shell.back", &[&back, &all]), Role::Accent);
        }
        if let Some(find) = &at.find {
            let text = cmdr_protocol::display::clean_to_width(find.text(), 20);
            say(format!("/{text}"), Role::Match);
        }
        if open.lost > 0 {
            let lost = crate::widgets::format::size(open.lost);
            say(texts.fill("shell.lost", &[&lost]), Role::Warn);
        }
        match &open.state {
            State::Live if !open.is_live() => {
                say(texts.get("shell.opening").to_owned(), Role::Warn);
            }
            State::Opening => say(texts.get("shell.opening").to_owned(), Role::Warn),
            State::Cut(error) => {
                say(texts.fill("shell.cut", &[&reason(error)]), Role::Bad);
            }
            State::Ended(exit) => {
                let (text, role) = ended(context, *exit);
                say(text, role);
                say(texts.get("shell.ended_keys").to_owned(), Role::Soft);
            }
            State::Live if open.mode == Mode::Drive => {
                say(texts.get("shell.driving").to_owned(), Role::Ok);
            }
            State::Live => {
                let text = match open.driver() {
                    Some(driver) => texts.fill("shell.drives", &[&driver.operator]),
                    None => texts.get("shell.watching").to_owned(),
                };
                say(text, Role::Info);
            }
        }
        let watching = open.watching();
        if watching > 0 && !open.has_ended() {
            say(texts.fill("sessions.watch", &[&watching.to_string()]), Role::Info);
        }
    } else {
        right.push(Piece::new(texts.get("shell.opening").to_owned(), Role::Warn));
    }
    let right = fitted(context, right, usize::from(area.width.saturating_sub(8)));
    let room = (right.width() as u16).min(area.width.saturating_sub(8));
    let width = area.width.saturating_sub(room + 3);
    let buffer = frame.buffer_mut();
    buffer.set_style(area, theme.style(Role::Ground));
    table::put(buffer, area.x + 1, area.y, width, &left, false);
    table::put(buffer, area.right().saturating_sub(room + 1), area.y, room, &right, true);
}
