//! The table on show as a file on this machine or in the clipboard.

use super::App;
use crate::action::{Action, Wanted};
use crate::event::Event;
use crate::overlays::confirm::Confirm;
use crate::overlays::menu::Menu;
use crate::overlays::prompt::Prompt;
use crate::printed::{Form, Printed};
use crate::terminal::LONGEST_COPY;
use cmdr_link::files::Partial;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::path::{Path, PathBuf};

impl App {
    /// Asks where the table goes.
    pub(super) fn print(&self) -> Action {
        let texts = &self.face.texts;
        let Some((name, _)) = self.pane.list() else {
            return Action::Say(texts.get("print.no_table").to_owned());
        };
        let keys = ["print.text_file", "print.csv_file", "print.text_copy", "print.csv_copy"];
        let items = keys.map(|key| (texts.get(key).to_owned(), String::new())).to_vec();
        let title = texts.get("print.title").to_owned();
        let heads = [keys[0], keys[1]].map(|key| texts.get(key).to_owned());
        Action::Open(Box::new(Menu::new(title, items, 0, move |at| {
            let form = if at % 2 == 0 { Form::Text } else { Form::Csv };
            if at >= 2 {
                return Action::Want(Wanted::Print(form, None));
            }
            let end = if form == Form::Text { "txt" } else { "csv" };
            let usual = format!("~/{name}.{end}");
            let head = heads[at].clone();
            Action::Open(Box::new(Prompt::new(head, usual, "print.hint", move |path| {
                Ok(Action::Want(Wanted::Print(form, Some(path.to_owned()))))
            })))
        })))
    }

    /// Writes it there. What is there already is replaced only when that was asked.
    pub(super) fn print_as(&mut self, form: Form, path: Option<String>, over: bool) -> Action {
        let texts = &self.face.texts;
        let Some(path) = path else {
            let Some(printed) = self.printed() else { return Action::None };
            let (rows, text) = (printed.rows.len().to_string(), printed.written(form));
            let texts = &self.face.texts;
            if text.len() > LONGEST_COPY {
                return Action::Complain(texts.fill("print.too_long", &[&rows]));
            }
            let said = Action::Say(texts.fill("print.copied", &[&rows]));
            return Action::All(vec![Action::Copy(text), said]);
        };
        let file = expand(&path);
        if !over && file.symlink_metadata().is_ok() {
            let shown = cmdr_protocol::display::clean_to_width(&path, 50);
            let title = texts.fill("print.there", &[&shown]);
            let act = Action::Want(Wanted::PrintOver(form, path));
            return Action::Open(Box::new(Confirm::one(title, act)));
        }
        let Some(printed) = self.printed() else { return Action::None };
        let rows = printed.rows.len().to_string();
        let (texts, shown) = (&self.face.texts, file.display().to_string());
        let said = texts.fill("print.saved", &[&rows, &shown]);
        // What went wrong is put in when it is known.
        let failed = texts.fill("print.failed", &[&shown, "\0"]);
        Action::Errand(Box::new(move |_| {
            Box::pin(async move {
                let task = tokio::task::spawn_blocking(move || save(&file, &printed.written(form)));
                let action = match task.await.unwrap_or_else(|e| Err(std::io::Error::other(e))) {
                    Ok(()) => Action::Say(said),
                    Err(error) => Action::Complain(failed.replace('\0', &error.to_string())),
                };
                Event::Done(None, action)
            })
        }))
    }

    /// All rows of the table as they would be shown. Only the pane knows what stands in its cells, and
    /// only while it draws: so it is drawn once where nobody sees it.
    fn printed(&mut self) -> Option<Printed> {
        self.pane.list_mut()?.print();
        let mut unseen = Terminal::new(TestBackend::new(200, 50)).ok()?;
        let context = self.face.context(&self.store);
        unseen.draw(|frame| self.pane.draw(&context, frame, frame.area())).ok()?;
        self.pane.list_mut()?.printed()
    }
}

fn save(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = Partial::create(path)?;
    file.write(text.as_bytes())?;
    file.finish().map(drop)
}

/// A path with `~` for the home folder.
pub(crate) fn expand(path: &str) -> PathBuf {
    let path = path.trim();
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    match path.strip_prefix("~/") {
        Some(rest) => home().map_or_else(|| PathBuf::from(path), |home| home.join(rest)),
        None => PathBuf::from(path),
    }
}
