//! What stands around the text: which file it is and how it is with it, the time of an armed edit, what is wrong.

use super::{EditPane, KEEP, REVERT, TABLES};
use crate::panes::Context;
use crate::theme::Role;
use crate::widgets::format::ending;
use crate::widgets::table;
use cmdr_protocol::display::clean;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui_textarea::DataCursor;
use unicode_width::UnicodeWidthStr as _;

impl EditPane {
    fn bar(&self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) {
        let Context { theme, texts, keys, .. } = *context;
        let Some((armed, left)) = self.armed(context) else { return };
        let s = left.div_ceil(1000).to_string();
        let shown = |command| keys.of(TABLES, command);
        let mut words = texts.fill("edit.armed", &[&s, &shown(KEEP), &shown(REVERT)]);
        if !armed.trouble.is_empty() {
            words = texts.fill("edit.armed.trouble", &[&clean(&armed.trouble), &words]);
        }
        let room = usize::from(area.width).saturating_sub(words.width() + 5).min(40);
        let whole = u64::from(armed.confirm_s).max(1) * 1000;
        let full = (room as u64 * left.min(whole)).div_ceil(whole) as usize;
        let role = if left < 10_000 { Role::Bad } else { Role::Warn };
        let line = Line::from(vec![
            Span::styled(format!(" {words}  "), theme.style(role)),
            Span::styled("█".repeat(full), theme.style(role)),
            Span::styled("░".repeat(room - full), theme.style(Role::Faint)),
        ]);
        table::put(frame.buffer_mut(), area.x, area.y, area.width, &line, false);
    }

    /// `place` stands at the right.
    pub(super) fn head(
        &self,
        context: &Context<'_>,
        frame: &mut Frame<'_>,
        area: Rect,
        place: &Line<'_>,
    ) {
        let Context { theme, texts, .. } = *context;
        let mut marks = Vec::new();
        let mut mark = |key: &'static str, role| {
            marks.push(Span::styled(format!("  {}", texts.get(key)), theme.style(role)));
        };
        if !self.base.exists {
            mark("edit.new", Role::Info);
        }
        if self.is_dirty() {
            mark("edit.dirty", Role::Warn);
        }
        if !self.may_save(context) {
            mark("edit.read_only", Role::Soft);
        }
        if self.saving {
            mark("edit.saving", Role::Info);
        }
        if !self.is_there(context) {
            mark("edit.away", Role::Bad);
        }
        let width = place.width() as u16;
        // How it is with the file is worth more than the beginning of its path.
        let taken = marks.iter().map(Span::width).sum::<usize>() + usize::from(width) + 2;
        let room = usize::from(area.width).saturating_sub(taken);
        let mut spans = vec![Span::styled(
            format!(" {}", ending(&self.name(), room)),
            theme.style(Role::Title),
        )];
        spans.extend(marks);
        let left = area.width.saturating_sub(width);
        table::put(frame.buffer_mut(), area.x, area.y, left, &Line::from(spans), false);
        let x = area.right().saturating_sub(width);
        table::put(frame.buffer_mut(), x, area.y, width, place, false);
    }

    /// What stands below the first line and above the text, and below it; says what is left of the area.
    pub(super) fn below(&self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) -> Rect {
        let mut body = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        if self.armed(context).is_some() {
            self.bar(context, frame, Rect { height: 1, ..body });
            body = Rect { y: body.y + 1, height: body.height.saturating_sub(1), ..body };
        }
        self.problem(context, frame, body)
    }

    /// The problem of the line that one is in, else the first; says what is left of the area.
    fn problem(&self, context: &Context<'_>, frame: &mut Frame<'_>, area: Rect) -> Rect {
        let mut body = area;
        if !self.problems.is_empty() {
            let DataCursor(row, _) = self.text.area.cursor();
            let here = self.problems.iter().find(|p| p.line as usize == row + 1);
            let problem = here.or(self.problems.first());
            let rest = Rect { y: body.bottom().saturating_sub(1), height: 1, ..body };
            if let Some(problem) = problem {
                let role = if problem.warning { Role::Warn } else { Role::Bad };
                let what = cmdr_protocol::display::clean(&problem.what).into_owned();
                let text = context.texts.fill(
                    "edit.problem",
                    &[&problem.line.to_string(), &what, &self.problems.len().to_string()],
                );
                let line = Line::styled(format!(" {text}"), context.theme.style(role));
                table::put(frame.buffer_mut(), rest.x, rest.y, rest.width, &line, false);
                body.height = body.height.saturating_sub(1);
            }
        }
        body
    }
}
