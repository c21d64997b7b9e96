//! How the composer is drawn: hosts at the left, the order at the right, below it how it is to go; one above
//! the other on a narrow screen.

use super::fields::{self, Field, Sort};
use super::{ComposePane, acts};
use crate::overlays::pager::Piece;
use crate::overlays::transfers;
use crate::overlays::{rows, wrap};
use crate::panes::Context;
use crate::panes::runs::signature;
use crate::store::runs::{BOOKS, Kind};
use crate::store::sheets::id_of;
use crate::theme::Role;
use crate::widgets::{frame as boxes, table};
use cmdr_protocol::configs::ORDER;
use cmdr_protocol::display::clean;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

/// From this width on hosts and order stand beside each other.
const WIDE: u16 = 76;
/// Cells that an option needs.
const OPTION: u16 = 34;

fn line(context: &Context<'_>, pieces: Vec<Piece>) -> Line<'static> {
    let theme = context.theme;
    pieces.into_iter().map(|(role, text)| Span::styled(text, theme.style(role))).collect()
}

impl ComposePane {
    pub(super) fn paint(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        self.areas.clear();
        let body = Rect { height: area.height.saturating_sub(1), ..area };
        if area.width >= WIDE {
            let width = (body.width * 2 / 5).clamp(30, 64);
            let left = Rect { width, ..body };
            let right = Rect { x: body.x + width, width: body.width - width, ..body };
            self.hosts(context, frame, left);
            let options = self.options_height(context, right.width).min(right.height / 2);
            let order = Rect { height: right.height - options, ..right };
            self.order(context, frame, order);
            let below = Rect { y: order.bottom(), height: options, ..right };
            self.draw_options(context, frame, below);
        } else {
            let hosts = (body.height / 4).clamp(4, 9);
            let options = self.options_height(context, body.width).min(body.height / 3);
            let order = body.height.saturating_sub(hosts + options);
            self.hosts(context, frame, Rect { height: hosts, ..body });
            self.order(context, frame, Rect { y: body.y + hosts, height: order, ..body });
            let below = Rect { y: body.y + hosts + order, height: options, ..body };
            self.draw_options(context, frame, below);
        }
        self.say(context, frame, Rect { y: body.bottom(), height: 1, ..area });
    }

    /// What is said about the place one is at, or what is wrong there.
    fn say(&self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { theme, texts, .. } = *context;
        if let Some(transfer) = self.sent(context) {
            let mut line = Line::styled(transfer.what.clone(), theme.style(Role::Accent));
            line.spans.extend(transfers::state(context, transfer).spans);
            table::put(
                frame.buffer_mut(),
                area.x + 1,
                area.y,
                area.width.saturating_sub(2),
                &line,
                false,
            );
            return;
        }
        let hint = self.field(context).map(|field| field.hint).unwrap_or_default();
        let (text, role) = match &self.lack {
            Some(lack) => {
                let values: Vec<&str> = lack.values.iter().map(String::as_str).collect();
                (format!("✗ {}", texts.fill(lack.text, &values)), Role::Bad)
            }
            None => (hint, Role::Info),
        };
        let line = Line::styled(clean(&text).into_owned(), theme.style(role));
        let width = area.width.saturating_sub(2);
        table::put(frame.buffer_mut(), area.x + 1, area.y, width, &line, false);
    }

    /// What is typed; the caret is there while nothing lies on top.
    fn draw_input(&self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        if context.focused {
            self.input.draw(frame, area, context.theme);
        } else {
            self.input.draw_still(frame, area, context.theme);
        }
    }

    fn panel(
        context: &Context<'_>,
        frame: &mut Frame<'_>,
        area: Rect,
        title: Line<'_>,
        is_here: bool,
    ) -> Rect {
        let Context { theme, glyphs, .. } = *context;
        let draw = if is_here { boxes::panel_here } else { boxes::panel };
        let inner = draw(frame.buffer_mut(), area, title, Line::default(), theme, glyphs);
        Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
    }

    fn hosts(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { theme, texts, .. } = *context;
        let is_here = self.at == fields::HOSTS;
        let role = if is_here { Role::Accent } else { Role::Title };
        let title = Line::styled(format!(" {} ", texts.get("compose.targets")), theme.style(role));
        let inner = Self::panel(context, frame, area, title, is_here);
        self.areas.push((Rect { height: 2, ..area }, fields::HOSTS.to_owned()));
        let first = Rect { height: 1, ..inner };
        if is_here {
            self.draw_input(context, frame, first);
        } else if self.draft.hosts.is_empty() {
            let text = Line::styled(texts.get("compose.hosts.none"), theme.style(Role::Faint));
            table::put(frame.buffer_mut(), inner.x, inner.y, inner.width, &text, false);
        } else {
            let text = clean(&self.draft.hosts).into_owned();
            let text = Line::styled(text, theme.style(Role::Strong));
            table::put(frame.buffer_mut(), inner.x, inner.y, inner.width, &text, false);
        }
        let below = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1), ..inner };
        self.hosts_area = below;
        let lines = self.host_lines(context, usize::from(inner.width));
        let most = lines.len().saturating_sub(usize::from(below.height));
        self.top = self.top.min(most);
        for (y, text) in (below.y..below.bottom()).zip(lines.into_iter().skip(self.top)) {
            let text = line(context, text);
            table::put(frame.buffer_mut(), below.x, y, below.width, &text, false);
        }
    }

    /// What the hub says about the hosts.
    fn host_lines(&self, context: &Context<'_>, width: usize) -> Vec<Vec<Piece>> {
        let texts = context.texts;
        if self.draft.hosts.trim().is_empty() {
            return Vec::new();
        }
        let Some(answer) = self.answer(context) else {
            let key = if context.store.is_up() { "sheet.loading" } else { "overview.no_hub" };
            return vec![vec![(Role::Soft, texts.get(key).to_owned())]];
        };
        let planned = match &answer.answer {
            Ok(planned) => planned,
            Err(error) => {
                let why = vec![(Role::Bad, crate::action::reason(error))];
                return wrap(&why, width.max(10));
            }
        };
        let mut summary = acts::summary(context, planned);
        if self.question(context).is_none_or(|(asked, _)| asked != answer.asked) {
            // Of what was there before the last key.
            summary.push((Role::Faint, " …".to_owned()));
        }
        let mut lines = vec![summary];
        if !self.draft.only.is_empty() {
            let count = self.draft.only.len().to_string();
            let only = vec![(Role::Accent, texts.fill("compose.only", &[&count]))];
            lines.extend(wrap(&only, width.max(10)));
        }
        for guard in acts::guards(context, planned) {
            lines.extend(wrap(&guard, width.max(10)));
        }
        for refused in &planned.refused {
            lines.push(vec![
                (Role::Bad, "⊘ ".to_owned()),
                (Role::Text, clean(&refused.name).into_owned()),
                (Role::Bad, format!("  {}", texts.reason(&refused.why))),
            ]);
        }
        let when_online = self.draft.is_on("when_online");
        let waves = planned.waves.len() > 1;
        let hosts = planned.hosts.iter();
        lines.extend(hosts.map(|host| acts::host(context, host, when_online, waves)));
        let left = (planned.count as usize).saturating_sub(planned.hosts.len());
        if left > 0 {
            lines.push(vec![(Role::Soft, texts.fill("confirm.more", &[&left.to_string()]))]);
        }
        lines
    }

    /// The kinds beside each other, the chosen one lit.
    fn kinds(
        &self,
        context: &Context<'_>,
        width: u16,
    ) -> (Line<'static>, Vec<(u16, u16, &'static str)>) {
        let Context { theme, texts, .. } = *context;
        let mut title = Line::default();
        let mut places = Vec::new();
        let all: usize = Kind::ALL.iter().map(|kind| texts.get(kind.name()).width() + 1).sum();
        let room = usize::from(width.saturating_sub(4));
        let (roomy, fits) = (all + Kind::ALL.len() <= room, all + 2 <= room);
        for (n, kind) in Kind::ALL.into_iter().enumerate() {
            let is_it = kind == self.draft.kind;
            let name = texts.get(kind.name());
            let text = match (roomy, is_it) {
                (false, _) if !fits && !is_it => continue,
                // Of those that are not seen it is told that they are there.
                (false, true) if !fits => format!(" {name} {}/{} ", n + 1, Kind::ALL.len()),
                (false, false) if n > 0 => format!("{name} "),
                _ => format!(" {name} "),
            };
            let from = title.width() as u16 + 1;
            let role = if is_it { Role::TabActive } else { Role::Tab };
            title.push_span(Span::styled(text, theme.style(role)));
            places.push((from, title.width() as u16 + 1, kind.name()));
        }
        (title, places)
    }

    fn order(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let (title, places) = self.kinds(context, area.width);
        for (from, to, name) in places {
            let spot = Rect { x: area.x + from, width: to - from, y: area.y, height: 1 };
            self.areas.push((spot, format!("kind {name}")));
        }
        let own = self.of_order(context);
        let is_here = self.at == fields::TEXT
            || self.at == fields::KIND
            || own.iter().any(|field| field.name == self.at);
        let inner = Self::panel(context, frame, area, title, is_here);
        if self.at == fields::KIND {
            let text = context.texts.get("compose.kind.choose");
            let text = Line::styled(text, context.theme.style(Role::Key));
            let x = area.right().saturating_sub(text.width() as u16 + 2);
            table::put(frame.buffer_mut(), x, area.y, text.width() as u16, &text, false);
        }
        let mut rest = inner;
        let labels = own.iter().map(|field| field.label.width()).max().unwrap_or(0) as u16;
        // The place one is at is always seen.
        let here = own.iter().position(|field| field.name == self.at).unwrap_or(0);
        let room = usize::from(if self.draft.kind.is_text() {
            (inner.height / 2).max(1)
        } else {
            inner.height.saturating_sub(1)
        });
        let first = (here + 1).saturating_sub(room.max(1));
        for field in own.iter().skip(first).take(room) {
            let place = Rect { height: 1, ..rest };
            self.draw_field(context, frame, place, field, labels);
            rest = Rect { y: rest.y + 1, height: rest.height.saturating_sub(1), ..rest };
        }
        match self.draft.kind {
            Kind::Book => self.about_book(context, frame, rest),
            Kind::Packages | Kind::Push => {}
            _ => self.draw_text(context, frame, rest),
        }
    }

    fn draw_text(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let mut rest = area;
        if self.draft.kind == Kind::Command && area.height > 2 {
            // What becomes of it: nobody should have to guess where one argument ends.
            rest.height -= 1;
            let texts = context.texts;
            let line = match crate::panes::sessions::words(&self.text.whole()) {
                None => {
                    Line::styled(texts.get("compose.lack.quote"), context.theme.style(Role::Bad))
                }
                Some(words) => {
                    let mut line = Line::default();
                    for word in &words {
                        let text = clean(word).into_owned();
                        line.push_span(Span::styled("[", context.theme.style(Role::Faint)));
                        line.push_span(Span::styled(text, context.theme.style(Role::Soft)));
                        line.push_span(Span::styled("] ", context.theme.style(Role::Faint)));
                    }
                    line
                }
            };
            table::put(frame.buffer_mut(), rest.x, rest.bottom(), rest.width, &line, false);
        }
        self.areas.push((rest, fields::TEXT.to_owned()));
        self.text.draw(context, frame, rest, &[], self.at == fields::TEXT && context.focused);
        if self.text.is_empty() && self.at != fields::TEXT {
            let key = match self.draft.kind {
                Kind::Command => "compose.command.hint",
                Kind::Script => "compose.script.hint",
                _ => "compose.line.hint",
            };
            let text = Line::styled(context.texts.get(key), context.theme.style(Role::Faint));
            let (x, width) = (rest.x + 5, rest.width.saturating_sub(5));
            table::put(frame.buffer_mut(), x, rest.y, width, &text, false);
        }
    }

    /// What the runbook does, or why it is none.
    fn about_book(&self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let texts = context.texts;
        let name = self.draft.get("book").trim();
        if name.is_empty() {
            return;
        }
        let sheet = context.store.sheet(BOOKS).filter(|sheet| sheet.known);
        let is_one = sheet.map(|sheet| sheet.rows.contains_key(&id_of(&name)));
        let mut lines: Vec<Vec<Piece>> = vec![Vec::new()];
        match (context.store.runs.book(name), is_one) {
            (_, Some(false)) if name.starts_with(ORDER) => {
                let group = clean(&name[ORDER.len()..]).into_owned();
                lines.push(vec![(Role::Soft, texts.fill("compose.book.config", &[&group]))]);
            }
            (_, Some(false)) => {
                lines.push(vec![(Role::Bad, texts.get("compose.book.unknown").to_owned())]);
            }
            (Some(Ok(shown)), _) => {
                let width = usize::from(area.width.max(10));
                let what = clean(&shown.runbook.description).into_owned();
                lines.extend(rows(&what, width).into_iter().map(|row| vec![(Role::Soft, row)]));
                if shown.runbook.signed.is_some() {
                    let signed = signature(context, shown.runbook.signed.as_ref());
                    lines.extend(wrap(&[signed], width));
                }
                for problem in &shown.problems {
                    let problem = clean(&problem.to_string()).into_owned();
                    lines.extend(wrap(&[(Role::Bad, problem)], width));
                }
                lines.push(Vec::new());
                for (n, step) in shown.steps.iter().enumerate() {
                    let mut words = vec![
                        (Role::Faint, format!("{:>2} ", n + 1)),
                        (Role::Text, clean(&step.name).into_owned()),
                        (Role::Soft, format!("  {}", clean(&step.what))),
                    ];
                    if !step.when.is_empty() {
                        let when = texts.fill("compose.book.when", &[&clean(&step.when)]);
                        words.push((Role::Accent, format!("  {when}")));
                    }
                    lines.push(words);
                }
            }
            (Some(Err(error)), _) => lines.push(vec![(Role::Bad, crate::action::reason(error))]),
            (None, _) => lines.push(vec![(Role::Soft, texts.get("sheet.loading").to_owned())]),
        }
        for (y, text) in (area.y..area.bottom()).zip(lines) {
            let text = line(context, text);
            table::put(frame.buffer_mut(), area.x, y, area.width, &text, false);
        }
    }

    fn across(width: u16) -> u16 {
        (width.saturating_sub(4) / OPTION).clamp(1, 3)
    }

    fn options_height(&self, context: &Context<'_>, width: u16) -> u16 {
        (self.options(context).len() as u16).div_ceil(Self::across(width)) + 2
    }

    fn draw_options(&mut self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { theme, texts, .. } = *context;
        let options = self.options(context);
        let here = options.iter().position(|field| field.name == self.at);
        let role = if here.is_some() { Role::Accent } else { Role::Title };
        let title = Line::styled(format!(" {} ", texts.get("compose.options")), theme.style(role));
        let inner = Self::panel(context, frame, area, title, here.is_some());
        let across = Self::across(area.width);
        let width = inner.width / across.max(1);
        let labels = options.iter().map(|field| field.label.width()).max().unwrap_or(0) as u16;
        let rows = inner.height.max(1);
        let row_here = here.unwrap_or(0) as u16 / across;
        let first = (row_here + 1).saturating_sub(rows);
        for (n, field) in options.iter().enumerate() {
            let (row, column) = (n as u16 / across, n as u16 % across);
            let Some(row) = row.checked_sub(first).filter(|row| *row < rows) else { continue };
            let place = Rect {
                x: inner.x + column * width,
                y: inner.y + row,
                width: width.saturating_sub(u16::from(across > 1)),
                height: 1,
            };
            self.draw_field(context, frame, place, field, labels);
        }
    }

    fn draw_field(
        &mut self,
        context: &Context<'_>,
        frame: &mut Frame<'_>,
        area: Rect,
        field: &Field,
        labels: u16,
    ) {
        let Context { theme, texts, .. } = *context;
        let is_here = field.name == self.at;
        self.areas.push((area, field.name.clone()));
        let role = if is_here { Role::Accent } else { Role::Soft };
        let label = Line::styled(field.label.clone(), theme.style(role));
        let labels = labels.min(area.width / 2);
        table::put(frame.buffer_mut(), area.x, area.y, labels, &label, false);
        let place =
            Rect { x: area.x + labels + 1, width: area.width.saturating_sub(labels + 1), ..area };
        let value = self.draft.get(&field.name);
        let chosen = match &field.sort {
            Sort::Switch if value.is_empty() => None,
            Sort::Switch => Some(
                texts.get(if value == "yes" { "compose.yes" } else { "compose.no" }).to_owned(),
            ),
            _ => Some(clean(value).into_owned()).filter(|text| !text.is_empty()),
        };
        if is_here && matches!(field.sort, Sort::Line | Sort::Book) {
            self.draw_input(context, frame, place);
            if value.is_empty() {
                let text = Line::styled(field.empty.clone(), theme.style(Role::Faint));
                let (x, width) = (place.x + 3, place.width.saturating_sub(3));
                table::put(frame.buffer_mut(), x, place.y, width, &text, false);
            }
            return;
        }
        let role = match (&chosen, is_here) {
            (None, false) => Role::Faint,
            (_, true) => Role::Input,
            (Some(_), false) => Role::Text,
        };
        let text = chosen.unwrap_or_else(|| field.empty.clone());
        let text = if is_here { format!("‹ {text} ›") } else { format!("  {text}") };
        let text = Line::styled(text, theme.style(role));
        table::put(frame.buffer_mut(), place.x, place.y, place.width, &text, false);
    }
}
