//! What stands above the files of a group: which it is and whom it is for, how many files stand how, and how far
//! the look has come.

use super::{ConfigPane, look};
use crate::panes::Context;
use crate::panes::sheet::dotted;
use crate::store::configs::{Look, STANDS, Standing};
use crate::theme::Role;
use crate::widgets::{format, table};
use cmdr_protocol::configs::Shown;
use cmdr_protocol::display::{clean, clean_to_width};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// From this height on what the group is for has a line of its own.
const HIGH: u16 = 12;

impl ConfigPane {
    /// Draws it; says how many lines it took.
    pub(super) fn head(
        &self,
        context: &Context<'_>,
        shown: &Shown,
        frame: &mut Frame<'_>,
        area: Rect,
    ) -> u16 {
        let Context { store, texts, .. } = *context;
        let config = &shown.config;
        let room = usize::from(area.width.saturating_sub(2));
        let at = |ms: u64| format::moment(ms / 1000, store.now_ms / 1000, store.utc_offset_s);
        let name = clean(&config.name).into_owned();
        let version = texts.fill("configs.version", &[&config.version.to_string()]);
        let saved = [at(config.saved_ms), clean(&config.saved_by).into_owned()];
        let saved = texts.fill("configs.saved_at", &[&saved[0], &saved[1]]);
        let mut pieces = vec![(name, Role::Strong), (version, Role::Text), (saved, Role::Soft)];
        if store.written.drafts.contains_key(&self.number) {
            pieces.push((texts.get("configs.unsaved").to_owned(), Role::Warn));
        }
        let description = clean(&config.description).into_owned();
        if !description.is_empty() {
            pieces.push((description, Role::Soft));
        }
        let mut lines = vec![dotted(context, pieces)];
        if let Some(problem) = shown.problems.first() {
            let text = clean(&problem.to_string()).into_owned();
            lines.push(dotted(context, [(format!("✗ {text}"), Role::Bad)]));
        } else if area.height >= HIGH {
            let hosts = clean_to_width(&config.hosts, room.saturating_sub(8));
            lines.push(dotted(context, [(texts.fill("configs.for", &[&hosts]), Role::Text)]));
        }
        let look = store.configs.look(self.number);
        lines.push(Self::standings(context, look));
        let news = Self::news(context, look);
        // Beside the tabs, where there is room; it must not be cut off.
        let mut tabs = self.tabs(context);
        if tabs.width() + news.width() + 2 <= room || news.width() == 0 {
            tabs.push_span(Span::raw("  "));
            tabs.extend(news);
            lines.push(tabs);
        } else {
            lines.extend(crate::panes::sheet::wrapped(vec![flat(&news)], area.width));
            lines.push(tabs);
        }
        let used = (lines.len() as u16).min(area.height);
        for (y, line) in (area.y..area.y + used).zip(&lines) {
            let width = area.width.saturating_sub(2);
            table::put(frame.buffer_mut(), area.x + 1, y, width, line, false);
        }
        used
    }

    /// How many files of hosts stand how.
    fn standings(context: &Context<'_>, look: Option<&Look>) -> Line<'static> {
        let texts = context.texts;
        let Some(look) = look.filter(|look| look.is_known()) else { return Line::default() };
        let hosts = look.hosts + look.more.len() + look.left_out;
        let count = format::count(hosts);
        let word = if hosts == 1 { "hosts.host" } else { "hosts.hosts" };
        let mut pieces = vec![(format!("{count} {}", texts.get(word)), Role::Strong)];
        for (standing, word, role) in STANDS {
            let n = look.sum[standing.rank()];
            if n > 0 && standing != Standing::Waiting {
                let text = format!("{} {}", texts.get(word), format::count(n as usize));
                pieces.push((text, role));
            }
        }
        dotted(context, pieces)
    }

    /// How far the look has come, or what keeps it.
    fn news(context: &Context<'_>, look: Option<&Look>) -> Line<'static> {
        let Context { store, texts, .. } = *context;
        let Some(look) = look else { return Line::default() };
        let mut pieces = Vec::new();
        let waiting = look.sum[Standing::Waiting.rank()];
        if !look::may_look(context) {
            pieces.push((texts.get("configs.no_right").to_owned(), Role::Warn));
        } else if look::is_held(look) {
            let key = context.keys.of(super::TABLES, super::AGAIN);
            let hosts = format::count(look.hosts + look.more.len());
            pieces.push((texts.fill("configs.held", &[&hosts, &key]), Role::Info));
        } else if look.is_known() && (waiting > 0 || !look.more.is_empty()) {
            let all = look.hosts + look.more.len();
            let done = look.hosts.saturating_sub(look.left_to_ask());
            let values = [format::count(done), format::count(all)];
            pieces.push((texts.fill("configs.so_far", &[&values[0], &values[1]]), Role::Info));
        } else if look.is_known() {
            let age = store.now_ms.saturating_sub(look.came_ms) / 1000;
            pieces.push((texts.fill("configs.looked", &[&format::age(age)]), Role::Faint));
        }
        if look.left_out > 0 {
            let n = format::count(look.left_out);
            pieces.push((texts.fill("configs.left_out", &[&n]), Role::Warn));
        }
        if let Some(error) = look.error.as_ref().filter(|_| look.is_known()) {
            pieces.push((format!("✗ {}", crate::action::reason(error)), Role::Bad));
        }
        dotted(context, pieces)
    }

    fn tabs(&self, context: &Context<'_>) -> Line<'static> {
        let Context { store, theme, texts, .. } = *context;
        let mut line = Line::default();
        for (by_host, word, view) in
            [(false, "configs.tab.files", &self.files), (true, "configs.tab.hosts", &self.hosts)]
        {
            let role = if by_host == self.by_host { Role::TabActive } else { Role::Tab };
            let count = store.sheet(view.key).filter(|sheet| sheet.known);
            let count = count.map(|sheet| format!(" {}", format::count(sheet.rows.len())));
            let text = format!(" {}{} ", texts.get(word), count.unwrap_or_default());
            line.push_span(Span::styled(text, theme.style(role)));
        }
        if let Some((_, path)) = self.hosts.of.as_ref().filter(|_| self.by_host) {
            let path = format::ending(path, 40);
            line.push_span(Span::styled(format!("  {path}"), theme.style(Role::Accent)));
        }
        if self.view().only.is_some() {
            let text = format!("  {}", texts.get("configs.only_off"));
            line.push_span(Span::styled(text, theme.style(Role::Accent)));
        }
        line
    }
}

/// A line with one style, to be broken.
fn flat(line: &Line<'static>) -> Line<'static> {
    let style = line.spans.first().map_or(line.style, |span| span.style);
    let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
    Line::styled(text, style)
}
