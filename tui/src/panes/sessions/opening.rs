//! Asks how a new session is to be: as whom, which program, where, by which name.

use super::NEW;
use crate::action::Action;
use crate::overlays::Overlay;
use crate::overlays::form::{Ended, Field, Form};
use crate::panes::Context;
use cmdr_protocol::sessions::{MAX_NAME, Open};
use crossterm::event::KeyEvent;
use ratatui::Frame;
use ratatui::layout::Rect;

const USER: usize = 0;
const COMMAND: usize = 1;
const FOLDER: usize = 2;
const NAME: usize = 3;

/// What stands between the answers when they are handed to the pane.
const BETWEEN: char = '\n';

/// The form.
pub(super) struct Opening {
    form: Form,
}

impl Opening {
    /// Empty, or with what was wanted and why that was not to be.
    pub(super) fn new(context: &Context<'_>, wanted: &Open, why: Option<String>) -> Self {
        let user = wanted.user.clone().unwrap_or_default();
        let command = wanted.argv.join(" ");
        let fields = vec![
            Field::new("shell.user", "shell.user_hint", user),
            Field::new("shell.command", "shell.command_hint", command),
            Field::new("shell.folder", "shell.folder_hint", wanted.cwd.clone().unwrap_or_default()),
            Field::new("shell.name", "shell.name_hint", wanted.name.clone()),
        ];
        let mut form = Form::new(context.texts.get("shell.new_title").to_owned(), fields);
        form.about = why.into_iter().collect();
        Self { form }
    }
}

/// Reads what the form handed over.
pub(super) fn read(text: &str) -> Option<Open> {
    let mut parts = text.split(BETWEEN).map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let (user, command, folder, name) = (next(), next(), next(), next());
    let some = |text: String| (!text.is_empty()).then_some(text);
    let argv = words(&command)?;
    Some(Open { user: some(user), argv, cwd: some(folder), name, ..Open::default() })
}

/// What the pane is told so that it opens this again.
pub(super) fn written(open: &Open) -> String {
    let quoted = |word: &String| crate::panes::hosts::quoted(word);
    let command = open.argv.iter().map(quoted).collect::<Vec<_>>().join(" ");
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    [part(&open.user), command, part(&open.cwd), open.name.clone()].join(&BETWEEN.to_string())
}

/// A line as program and arguments: blanks between, quotes hold together. `None` when one is left open.
pub(in crate::panes) fn words(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().push(chars.next()?),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

impl Overlay for Opening {
    fn key(&mut self, context: &Context<'_>, key: &KeyEvent) -> Action {
        match self.form.key(key) {
            Ended::No => Action::None,
            Ended::Left => Action::Close,
            Ended::Sent => {
                if words(self.form.text(COMMAND)).is_none() {
                    let error = context.texts.get("shell.open_quote").to_owned();
                    self.form.complain(COMMAND, error);
                    return Action::None;
                }
                if self.form.text(NAME).len() > MAX_NAME {
                    let error = context.texts.fill("shell.long_name", &[&MAX_NAME.to_string()]);
                    self.form.complain(NAME, error);
                    return Action::None;
                }
                let texts = [USER, COMMAND, FOLDER, NAME].map(|at| self.form.text(at).to_owned());
                let text = texts.join(&BETWEEN.to_string());
                Action::CloseAnd(Box::new(Action::Give(NEW, text)))
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
    fn a_line_is_split_as_a_person_means_it_and_written_so_that_it_reads_the_same() {
        let line = "vim 'a b.txt' \"c'd\" e\\ f ''";
        assert_eq!(words(line).expect("reads"), ["vim", "a b.txt", "c'd", "e f", ""]);
        assert_eq!(words("vim 'a"), None);
        assert_eq!(words("  "), Some(Vec::new()));
        let open = Open {
            user: Some("deploy".into()),
            argv: vec!["sh".into(), "-c".into(), "echo 'x y'".into()],
            name: "build".into(),
            ..Open::default()
        };
        assert_eq!(read(&written(&open)), Some(open));
    }
}
