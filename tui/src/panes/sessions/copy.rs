//! Looking around in a session by keys, as in vi: move, search, select, copy.

use super::shell::ShellPane;
use crate::action::Action;
use crate::keymap::{Binding, Command, key};
use crate::overlays::prompt::Prompt;
use crate::panes::Context;
use crate::store::sessions::look;
use crate::widgets::terminal::{Find, Jump, Kind, Screen};

const LINE_START: Command = Command::Own(30);
const LINE_END: Command = Command::Own(31);
const FIRST: Command = Command::Own(32);
const WORD: Command = Command::Own(33);
const WORD_BACK: Command = Command::Own(34);
const WORD_END: Command = Command::Own(35);
const BLANK_WORD: Command = Command::Own(36);
const BLANK_WORD_BACK: Command = Command::Own(37);
const BRACKET: Command = Command::Own(38);
const PARAGRAPH_UP: Command = Command::Own(39);
const PARAGRAPH_DOWN: Command = Command::Own(40);
const SELECT: Command = Command::Own(41);
const SELECT_LINES: Command = Command::Own(42);
const SELECT_BLOCK: Command = Command::Own(43);
const COPY: Command = Command::Own(44);

/// The keys while one looks around.
pub(super) static TABLES: &[&[Binding]] = &[LOOKING];

const LOOKING: &[Binding] = &[
    key(&["y", "<enter>"], COPY, "look.key.copy").hint(),
    key(&["v"], SELECT, "look.key.select").hint(),
    key(&["V"], SELECT_LINES, "look.key.select_lines").hint(),
    key(&["C-v"], SELECT_BLOCK, "look.key.select_block"),
    key(&["/"], Command::Filter, "look.key.search").hint(),
    key(&["n"], Command::NextMatch, "look.key.next_match").hint(),
    key(&["N"], Command::PreviousMatch, "look.key.previous_match"),
    key(&["h", "<left>"], Command::Left, "look.key.left"),
    key(&["j", "<down>"], Command::Down, "look.key.down"),
    key(&["k", "<up>"], Command::Up, "look.key.up"),
    key(&["l", "<right>"], Command::Right, "look.key.right"),
    key(&["w"], WORD, "look.key.word"),
    key(&["b"], WORD_BACK, "look.key.word_back"),
    key(&["e"], WORD_END, "look.key.word_end"),
    key(&["W"], BLANK_WORD, "look.key.blank_word"),
    key(&["B"], BLANK_WORD_BACK, "look.key.blank_word_back"),
    key(&["0", "<home>"], LINE_START, "look.key.line_start"),
    key(&["^"], FIRST, "look.key.first"),
    key(&["$", "<end>"], LINE_END, "look.key.line_end"),
    key(&["%"], BRACKET, "look.key.bracket"),
    key(&["{"], PARAGRAPH_UP, "look.key.paragraph_up"),
    key(&["}"], PARAGRAPH_DOWN, "look.key.paragraph_down"),
    key(&["C-d"], Command::HalfDown, "look.key.half_down"),
    key(&["C-u"], Command::HalfUp, "look.key.half_up"),
    key(&["<pagedown>", "C-f"], Command::PageDown, "look.key.page_down"),
    key(&["<pageup>", "C-b"], Command::PageUp, "look.key.page_up"),
    key(&["g"], Command::Top, "look.key.top"),
    key(&["G"], Command::Bottom, "look.key.bottom"),
];

fn jump(command: Command) -> Option<Jump> {
    Some(match command {
        Command::Left => Jump::Left,
        Command::Right => Jump::Right,
        Command::Up => Jump::Up,
        Command::Down => Jump::Down,
        LINE_START => Jump::First,
        LINE_END => Jump::Last,
        FIRST => Jump::FirstOccupied,
        WORD => Jump::SemanticRight,
        WORD_BACK => Jump::SemanticLeft,
        WORD_END => Jump::SemanticRightEnd,
        BLANK_WORD => Jump::WordRight,
        BLANK_WORD_BACK => Jump::WordLeft,
        BRACKET => Jump::Bracket,
        PARAGRAPH_UP => Jump::ParagraphUp,
        PARAGRAPH_DOWN => Jump::ParagraphDown,
        _ => return None,
    })
}

impl ShellPane {
    pub(super) fn on_look(&mut self, context: &Context<'_>, command: Command) -> Action {
        let Some(at) = &mut self.at else { return Action::None };
        let Some(open) = at.open(context) else { return self.look(false) };
        let owner = at.owner;
        let change = |change: fn(&mut Screen)| Action::Apply(look(owner, change));
        if let Some(jump) = jump(command) {
            return Action::Apply(look(owner, move |screen| screen.jump(jump)));
        }
        let page = at.area.map_or(1, |area| i32::from(area.height.max(2)));
        let lines = |by: i32| Action::Apply(look(owner, move |screen| screen.jump_lines(by)));
        match command {
            Command::PageDown => lines(page - 1),
            Command::PageUp => lines(1 - page),
            Command::HalfDown => lines(page / 2),
            Command::HalfUp => lines(-page / 2),
            Command::Top => change(|screen| screen.jump_end(false)),
            Command::Bottom => change(|screen| screen.jump_end(true)),
            SELECT => change(|screen| screen.select(Kind::Simple)),
            SELECT_LINES => change(|screen| screen.select(Kind::Lines)),
            SELECT_BLOCK => change(|screen| screen.select(Kind::Block)),
            COPY => match open.screen.selected() {
                Some(text) => Action::All(vec![self.look(false), Action::Copy(text)]),
                None => Action::Say(context.texts.get("look.nothing").to_owned()),
            },
            Command::Filter => {
                let text = at.find.as_ref().map_or("", Find::text).to_owned();
                let title = context.texts.get("look.search").to_owned();
                let wrong = context.texts.get("look.no_regex");
                let prompt = Prompt::new(title, text, "look.search_hint", move |text| {
                    let known = Find::new(text).is_some();
                    let give = || Action::Give(Command::Filter, text.to_owned());
                    known.then(give).ok_or_else(|| wrong.to_owned())
                });
                Action::Open(Box::new(prompt))
            }
            Command::NextMatch | Command::PreviousMatch => {
                self.found(context, command == Command::NextMatch)
            }
            // What leaves the program elsewhere leaves only this.
            Command::Back | Command::Quit => self.look(false),
            _ => Action::Pass,
        }
    }

    /// Looks for a text: upwards at first, where what was written before stands.
    pub(super) fn seek(&mut self, context: &Context<'_>, text: &str) -> Action {
        if let Some(at) = &mut self.at {
            at.find = Find::new(text);
        }
        self.found(context, false)
    }

    fn found(&mut self, context: &Context<'_>, forward: bool) -> Action {
        let Some(at) = &mut self.at else { return Action::None };
        let (open, owner) = (at.open(context), at.owner);
        let (Some(open), Some(find)) = (open, &mut at.find) else {
            return Action::Say(context.texts.get("table.no_search").to_owned());
        };
        match find.next(&open.screen, forward) {
            Some(place) => Action::Apply(look(owner, move |screen| screen.go(place))),
            None => Action::Say(context.texts.fill("table.no_match", &[find.text()])),
        }
    }
}
