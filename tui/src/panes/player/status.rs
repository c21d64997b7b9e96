//! What is told of a recording while it is played: what it is, and what goes on.

use super::PlayerPane;
use crate::action::reason;
use crate::panes::Context;
use crate::panes::audit::columns::ended;
use crate::panes::records::recordings;
use crate::store::recordings::tape::Tape;
use crate::theme::Role;
use crate::widgets::chart::Glyphs;
use crate::widgets::format;
use cmdr_protocol::recordings::{Recording, State};
use ratatui::text::{Line, Span};

impl PlayerPane {
    pub(super) fn head(
        context: &Context<'_>,
        recording: &Recording,
    ) -> (Line<'static>, Line<'static>) {
        let Context { store, theme, texts, .. } = *context;
        let (sign, word, role) = recordings::state(recording.state);
        let soft = theme.style(Role::Soft);
        let left = Line::from(vec![
            Span::styled(format!("#{} ", recording.id), soft),
            Span::styled(format!("{sign} {}  ", texts.get(word)), theme.style(role)),
            Span::styled(recording.command.clone(), theme.style(Role::Strong)),
        ]);
        let when = format::moment(recording.at_ms / 1000, store.now_ms / 1000, store.utc_offset_s);
        let told = format!("  {} · {} · {when}", recording.operator, recording.host_name);
        let mut right = vec![Span::styled(told, soft)];
        if !recording.ended.is_empty() && recording.ended != "exit 0" {
            let ended = format!("  {}", ended(texts, &recording.ended));
            right.insert(0, Span::styled(ended, theme.style(Role::Warn)));
        }
        (left, Line::from(right))
    }

    /// What goes on, in words.
    pub(super) fn status(&self, context: &Context<'_>, tape: &Tape) -> Line<'static> {
        let Context { theme, texts, glyphs, .. } = *context;
        let mut line = Line::default();
        let mut say = |text: String, role| {
            if !line.spans.is_empty() {
                line.push_span(Span::styled(" · ", theme.style(Role::Faint)));
            }
            line.push_span(Span::styled(text, theme.style(role)));
        };
        let ascii = glyphs == Glyphs::Ascii;
        if let Some((error, _)) = &tape.failed {
            say(format!("✗ {}", reason(error)), Role::Bad);
        } else if !tape.damage.is_empty() {
            say(texts.fill("player.damage", &[&tape.damage]), Role::Bad);
        }
        let over = tape.is_whole && self.clock.at_us >= tape.total_us();
        if self.live {
            say(format!("● {}", texts.get("player.live")), Role::Ok);
        } else if self.clock.playing && tape.next_us(self.clock.at_us).is_none() && !tape.is_whole {
            say(texts.get("player.loading").to_owned(), Role::Soft);
        } else if self.clock.playing {
            let sign = if ascii { ">" } else { "▶" };
            say(format!("{sign} {}", texts.get("player.playing")), Role::Ok);
        } else if over {
            say(format!("◼ {}", texts.get("player.end")), Role::Soft);
            let runs = |recording: &Recording| recording.state == State::Running;
            if tape.recording.as_ref().is_some_and(runs) {
                say(texts.get("player.still").to_owned(), Role::Info);
            }
        } else {
            let sign = if ascii { "=" } else { "‖" };
            say(format!("{sign} {}", texts.get("player.paused")), Role::Warn);
        }
        if let Some(part) = self.part(tape).filter(|part| part.is_cut()) {
            let (columns, rows) = part.size;
            let size = format!("{columns}x{rows}");
            let key = if self.panned.is_some() { "player.part_moved" } else { "player.part" };
            say(texts.fill(key, &[&size]), Role::Warn);
        }
        if !self.live {
            say(texts.fill("player.speed", &[self.clock.speed()]), Role::Text);
            let pauses = if self.clock.short { "player.short" } else { "player.long" };
            say(texts.get(pauses).to_owned(), Role::Soft);
        }
        if self.back > 0 {
            say(texts.fill("player.back", &[&self.back.to_string()]), Role::Warn);
        }
        if let Some(sought) = &self.sought
            && sought.held.is_some()
        {
            let found = &tape.found;
            let of = format::count(found.hits.len());
            let at = sought.at.map_or_else(|| "-".to_owned(), |at| format::count(at + 1));
            say(format!("/{} {at}/{of}", found.text), Role::Match);
            if !found.trouble.is_empty() {
                say(found.trouble.clone(), Role::Warn);
            }
        }
        if let Some(recording) = &tape.recording {
            let passed = |at_ms: u64| at_ms * 1000 <= self.until_us(tape);
            let mark = recording.marks.iter().filter(|mark| passed(mark.at_ms));
            if let Some(mark) = mark.max_by_key(|mark| mark.at_ms) {
                let (sign, _, role) = recordings::level(mark.level);
                say(format!("{sign} {} {}", format::length(mark.at_ms), mark.what), role);
            }
            if let Some(remark) = &recording.remark {
                let (sign, _, role) = recordings::level(remark.level);
                say(format!("{sign} {}: {}", remark.by, remark.text), role);
            }
            if !recording.watchers.is_empty() {
                let watchers = recording.watchers.join(", ");
                say(texts.fill("player.watchers", &[&watchers]), Role::Info);
            }
        }
        line
    }
}
