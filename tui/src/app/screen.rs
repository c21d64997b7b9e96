//! What is asked of the terminal, and how everything looks on it.

use super::{App, Dirty};
use crate::config;
use crate::terminal::Control;
use crate::theme::{AUTO, Theme, for_ground};
use crate::widgets::terminal::Caret;
use ratatui::Terminal;
use ratatui::backend::Backend;

/// What only the terminal can do, until the loop does it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Copy(String),
    Mouse(bool),
    Caret(Caret),
    Suspend,
    Resume,
    Redraw,
    Bell,
}

impl App {
    /// What is on the screen, outermost last: the type of the pane with the keys, what settings call its table,
    /// and the types of what lies on it. Tests ask it of the pictures they take.
    pub fn shown(&self) -> Vec<&'static str> {
        let name = |kind: &'static str| kind.rsplit("::").next().unwrap_or(kind);
        let table = self.pane.list().map(|(table, _)| table);
        let over = self.overlays.iter().map(|overlay| name(overlay.kind()));
        let within = self.pane.within().map(name);
        std::iter::once(name(self.pane.kind())).chain(within).chain(table).chain(over).collect()
    }

    pub(super) fn use_theme(&mut self, name: &str, keep: bool) {
        let shown = if name == AUTO { self.ground.map_or("dark", for_ground) } else { name };
        match Theme::load(shown, self.options.depth) {
            Ok(theme) => self.face.theme = theme,
            Err(error) => return self.say(&error, true),
        }
        if keep {
            name.clone_into(&mut self.options.theme);
        }
        if let (true, Some(path)) = (keep, &self.options.config) {
            match config::save(path, config::Change::Theme(name)) {
                Ok(()) => self.say(&self.face.texts.fill("note.theme_kept", &[name]), false),
                Err(error) => self.say(&error, true),
            }
        }
    }

    /// The terminal told its ground: of the two themes the fitting one is used, unless one was named.
    pub(super) fn on_ground(&mut self, colour: [u8; 3]) {
        self.ground = Some(colour);
        self.first_at = None;
        let fits = for_ground(colour);
        if self.options.theme == AUTO && self.face.theme.name != fits && self.overlays.is_empty() {
            self.use_theme(AUTO, false);
            self.soil(Dirty::Quick);
        }
    }

    pub(super) fn grant<B: Backend>(
        &mut self,
        terminal: &mut Terminal<B>,
        control: &mut dyn Control,
    ) -> anyhow::Result<()>
    where
        B::Error: Send + Sync + 'static,
    {
        for wish in std::mem::take(&mut self.wishes) {
            match wish {
                Wish::Copy(text) => control.copy(&text)?,
                Wish::Mouse(on) => control.mouse(on)?,
                Wish::Caret(caret) => control.caret(caret)?,
                Wish::Suspend => {
                    control.suspend()?;
                    self.repaint(terminal)?;
                }
                Wish::Resume => {
                    control.resume()?;
                    self.repaint(terminal)?;
                }
                Wish::Redraw => self.repaint(terminal)?,
                Wish::Bell => control.bell()?,
            }
        }
        Ok(())
    }

    /// Draws everything anew, at the size that the terminal has now.
    pub(super) fn repaint<B: Backend>(&mut self, terminal: &mut Terminal<B>) -> anyhow::Result<()>
    where
        B::Error: Send + Sync + 'static,
    {
        terminal.resize(terminal.size()?.into())?;
        self.soil(Dirty::Quick);
        Ok(())
    }
}
