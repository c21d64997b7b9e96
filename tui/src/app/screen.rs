//! What is asked of the terminal, and how everything looks on it.

use super::{App, Dirty};
use crate::config;
use crate::terminal::Control;
use crate::theme::Theme;
use ratatui::Terminal;
use ratatui::backend::Backend;

/// What only the terminal can do, until the loop does it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Copy(String),
    Mouse(bool),
    Suspend,
    Resume,
    Redraw,
}

impl App {
    pub(super) fn use_theme(&mut self, name: &str, keep: bool) {
        match Theme::load(name, self.options.depth) {
            Ok(theme) => self.face.theme = theme,
            Err(error) => return self.say(&error, true),
        }
        if let (true, Some(path)) = (keep, &self.options.config) {
            match config::save(path, config::Change::Theme(name)) {
                Ok(()) => self.say(&self.face.texts.fill("note.theme_kept", &[name]), false),
                Err(error) => self.say(&error, true),
            }
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
                Wish::Suspend => {
                    control.suspend()?;
                    self.repaint(terminal)?;
                }
                Wish::Resume => {
                    control.resume()?;
                    self.repaint(terminal)?;
                }
                Wish::Redraw => self.repaint(terminal)?,
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
