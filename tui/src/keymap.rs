//! Keys to commands. Each layer (overlay, pane, everywhere) has a table of [`Binding`]s; help and
//! the key line are made from the same tables, so they cannot disagree with what a key does.

pub mod desk;
mod own;

use cmdr_protocol::forwards::kept;
use cmdr_protocol::{
    Call as _, Feed as _, alerts, approvals, audit, configs, containers, data, gateways, history,
    ports, probes, processes, recorder, roles, runbooks, runs, sessions,
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
pub use own::{Keymap, Written, is};

/// What a key asks for. Panes add their own through [`Command::Own`], so this does not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    HalfUp,
    HalfDown,
    Top,
    Bottom,
    Open,
    Back,
    Mark,
    Range,
    MarkAll,
    Filter,
    NextMatch,
    PreviousMatch,
    Columns,
    Views,
    SortNext,
    SortPrevious,
    SortReverse,
    CopyValue,
    CopyCommand,
    /// Stands in the key table for the digits.
    Tabs,
    TabNext,
    TabPrevious,
    Help,
    Palette,
    Themes,
    /// Asks which of the keys of [`desk`].
    Desks,
    /// One of these.
    Desk(u8),
    /// Print the table.
    Print,
    /// Show how much is drawn, or no longer.
    Meter,
    /// Find anything.
    Find,
    /// What waits to be confirmed, and texts that were not saved.
    Edits,
    /// Go to the audit log.
    Audit,
    /// Go to what was done.
    Records,
    /// Go to who may do what.
    Rights,
    /// Go to rights that were asked for.
    Approvals,
    /// Go to who listens, on all hosts.
    FleetPorts,
    /// Go to the busiest processes of all hosts.
    FleetProcesses,
    /// Go to Docker of all hosts.
    Docker,
    /// Go to the charts of the hosts at hand.
    Charts,
    /// Go to what the hub keeps.
    Data,
    /// Go to the status board of probes.
    Probes,
    /// Go to the gateways.
    Gateways,
    /// Go to the forwards that are kept.
    Forwards,
    /// Go to the flight recorder of the host at hand.
    Recorder,
    /// Go to the sessions of the fleet.
    Sessions,
    /// Compose an order over the hosts at hand.
    Compose,
    /// Go to the runs.
    Runs,
    /// Go to the runbooks.
    Runbooks,
    /// Go to the config groups.
    Configs,
    /// Go to the alerts.
    Alerts,
    /// Ask for rights.
    Ask,
    /// Do again what was refused before it was asked for.
    Again,
    Log,
    Mouse,
    Redraw,
    Suspend,
    Quit,
    /// A command of the pane that has the table.
    Own(u8),
}

/// One line of a key table.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Keys, as [`parse`] reads them, unless the settings name others.
    pub keys: &'static [&'static str],
    /// What they do.
    pub command: Command,
    /// Key of the text that says so.
    pub text: &'static str,
    /// The method that the operator must be allowed; those who are not do not see the binding at all.
    /// Empty for none.
    pub verb: &'static str,
    /// Changes or ends something: off with `--read-only`, and asks first.
    pub danger: bool,
    /// Whether the key line at the bottom of the screen names it (if there is room).
    pub hint: bool,
    /// Does something with the row under the cursor or with those that are marked: where there is none, the
    /// key line does not name it.
    pub row: bool,
}

/// A binding that only looks.
pub const fn key(keys: &'static [&'static str], command: Command, text: &'static str) -> Binding {
    Binding { keys, command, text, verb: "", danger: false, hint: false, row: false }
}

impl Binding {
    /// As it is, and named in the key line.
    #[must_use]
    pub const fn hint(mut self) -> Self {
        self.hint = true;
        self
    }
    /// As it is, but for a row.
    #[must_use]
    pub const fn row(mut self) -> Self {
        self.row = true;
        self
    }
    /// As it is, but only for those who may use this method.
    #[must_use]
    pub const fn needs(mut self, verb: &'static str) -> Self {
        self.verb = verb;
        self
    }
    /// As it is, but changes something with this method.
    #[must_use]
    pub const fn danger(mut self, verb: &'static str) -> Self {
        self.verb = verb;
        self.danger = true;
        self
    }
    /// What settings call it: `sort_next`, or with its pane `hosts.rename`.
    pub fn name(&self) -> String {
        match self.text.split_once("key.") {
            Some((pane, name)) => format!("{pane}{name}"),
            None => self.text.to_owned(),
        }
    }
}

/// Moving in a list: every list has these.
pub static LIST: &[Binding] = &[
    key(&["j", "<down>"], Command::Down, "key.down"),
    key(&["k", "<up>"], Command::Up, "key.up"),
    key(&["C-d"], Command::HalfDown, "key.half_down"),
    key(&["C-u"], Command::HalfUp, "key.half_up"),
    key(&["<pagedown>", "C-f"], Command::PageDown, "key.page_down"),
    key(&["<pageup>", "C-b"], Command::PageUp, "key.page_up"),
    key(&["g", "<home>"], Command::Top, "key.top"),
    key(&["G", "<end>"], Command::Bottom, "key.bottom"),
    key(&["<space>"], Command::Mark, "key.mark").row().hint(),
    key(&["v"], Command::Range, "key.range"),
    key(&["*"], Command::MarkAll, "key.mark_all"),
    key(&["/"], Command::Filter, "key.filter").hint(),
    key(&["n"], Command::NextMatch, "key.next_match"),
    key(&["N"], Command::PreviousMatch, "key.previous_match"),
    key(&[">"], Command::SortNext, "key.sort_next"),
    key(&["<"], Command::SortPrevious, "key.sort_previous"),
    key(&["r"], Command::SortReverse, "key.sort_reverse"),
    key(&["C"], Command::Columns, "key.columns"),
    key(&["V"], Command::Views, "key.views"),
    key(&["X"], Command::Print, "key.print"),
    key(&["y"], Command::CopyValue, "key.copy_value"),
    key(&["Y"], Command::CopyCommand, "key.copy_command"),
];

/// Works everywhere, unless a pane or an overlay uses the key itself.
pub static EVERYWHERE: &[Binding] = &[
    key(&[":"], Command::Palette, "key.palette").hint(),
    key(&["C-p"], Command::Find, "key.find").hint(),
    key(&["?", "<f1>"], Command::Help, "key.help").hint(),
    key(&["<esc>", "<backspace>"], Command::Back, "key.back"),
    key(&["A"], Command::Audit, "key.audit").needs(audit::List::METHOD),
    key(&["O"], Command::Records, "key.records").needs(audit::List::METHOD),
    key(&["I"], Command::Rights, "key.rights").needs(roles::List::METHOD),
    key(&["P"], Command::Approvals, "key.approvals").needs(approvals::Watch::METHOD),
    key(&["W"], Command::FleetPorts, "key.fleet_ports").needs(ports::List::METHOD),
    key(&["E"], Command::FleetProcesses, "key.fleet_processes").needs(processes::List::METHOD),
    key(&["#"], Command::Docker, "key.docker").needs(containers::Watch::METHOD),
    key(&["~"], Command::Charts, "key.charts").needs(history::Query::METHOD),
    key(&["Q"], Command::Data, "key.data").needs(data::Sizes::METHOD),
    key(&[";"], Command::Probes, "key.probes").needs(probes::List::METHOD),
    key(&["%"], Command::Gateways, "key.gateways").needs(gateways::List::METHOD),
    key(&["|"], Command::Forwards, "key.forwards").needs(kept::List::METHOD),
    key(&[","], Command::Recorder, "key.recorder").needs(recorder::At::METHOD),
    key(&["S"], Command::Sessions, "key.sessions").needs(sessions::Watch::METHOD),
    key(&["K"], Command::Compose, "key.compose").needs(runs::Plan::METHOD),
    key(&["J"], Command::Runs, "key.runs").needs(runs::List::METHOD),
    key(&["B"], Command::Runbooks, "key.runbooks").needs(runbooks::List::METHOD),
    key(&["U"], Command::Configs, "key.configs").needs(configs::List::METHOD),
    key(&["&"], Command::Alerts, "key.alerts").needs(alerts::Watch::METHOD),
    key(&["C-a"], Command::Ask, "key.ask").danger(approvals::Ask::METHOD),
    key(&["."], Command::Again, "key.again"),
    key(&["C-w"], Command::Desks, "key.desks"),
    key(&["!"], Command::Edits, "key.edits"),
    key(&["T"], Command::Themes, "key.themes"),
    key(&["<f8>"], Command::Meter, "key.meter"),
    key(&["L"], Command::Log, "key.log"),
    key(&["M"], Command::Mouse, "key.mouse"),
    key(&["C-l"], Command::Redraw, "key.redraw"),
    key(&["C-z"], Command::Suspend, "key.suspend"),
    key(&["q", "C-c"], Command::Quit, "key.quit").hint(),
];

/// On the pages of a host.
pub static PAGE: &[Binding] = &[
    // Digits are told apart by the app, because how many there are depends on the tabs.
    key(&["1-9"], Command::Tabs, "key.tab"),
    key(&["<tab>"], Command::TabNext, "key.tab_next"),
    key(&["<backtab>"], Command::TabPrevious, "key.tab_previous"),
];

/// Reads `j`, `G`, `C-d`, `<enter>`, `<f5>`. `None` when the text names no key.
pub fn parse(text: &str) -> Option<(KeyCode, KeyModifiers)> {
    if let Some(named) = text.strip_prefix("S-").filter(|rest| rest.starts_with('<')) {
        // Of a letter Shift makes another one.
        let (code, _) = parse(named).filter(|(code, _)| !matches!(code, KeyCode::Char(_)))?;
        return Some((code, KeyModifiers::SHIFT));
    }
    if let Some(rest) = text.strip_prefix("C-") {
        let mut chars = rest.chars();
        return match (chars.next(), chars.next()) {
            (Some(c), None) => Some((KeyCode::Char(c), KeyModifiers::CONTROL)),
            _ => None,
        };
    }
    if let Some(name) = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')) {
        let code = match name {
            "enter" => KeyCode::Enter,
            "esc" => KeyCode::Esc,
            "tab" => KeyCode::Tab,
            "backtab" => KeyCode::BackTab,
            "space" => KeyCode::Char(' '),
            "backspace" => KeyCode::Backspace,
            "delete" => KeyCode::Delete,
            "up" => KeyCode::Up,
            "down" => KeyCode::Down,
            "left" => KeyCode::Left,
            "right" => KeyCode::Right,
            "home" => KeyCode::Home,
            "end" => KeyCode::End,
            "pageup" => KeyCode::PageUp,
            "pagedown" => KeyCode::PageDown,
            _ => KeyCode::F(name.strip_prefix('f')?.parse().ok()?),
        };
        return Some((code, KeyModifiers::NONE));
    }
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Some((KeyCode::Char(c), KeyModifiers::NONE)),
        _ => None,
    }
}

/// Says that a text names no key, and how one is written.
pub fn no_key(text: &str) -> String {
    let text = cmdr_protocol::display::clean_to_width(text, 30);
    format!("'{text}' is no key; write x, X, C-x, <f5>, <enter>, <tab>, <space> or the like")
}

/// Splits `2jj<enter>C-p` into key events, for tests that type.
pub fn parse_keys(text: &str) -> Option<Vec<KeyEvent>> {
    let mut keys = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let len = if rest.len() > 2 && rest.starts_with("C-") {
            3
        } else if let Some(end) = rest.strip_prefix("S-<").and_then(|r| r.find('>'))
            && parse(&rest[..end + 4]).is_some()
        {
            end + 4
        } else if let Some(end) = rest.strip_prefix('<').and_then(|r| r.find('>'))
            && parse(&rest[..end + 2]).is_some()
        {
            end + 2
        } else {
            rest.chars().next().map_or(0, char::len_utf8)
        };
        let (code, modifiers) = parse(rest.get(..len)?)?;
        keys.push(KeyEvent::new(code, modifiers));
        rest = &rest[len..];
    }
    Some(keys)
}

/// Whether a key event is this key. Terminals tell capital letters with or without Shift, and only
/// the character counts.
fn same((code, modifiers): (KeyCode, KeyModifiers), event: &KeyEvent) -> bool {
    let mut held = event.modifiers & (KeyModifiers::CONTROL | KeyModifiers::ALT);
    if modifiers.contains(KeyModifiers::SHIFT) {
        held |= event.modifiers & KeyModifiers::SHIFT;
    }
    let event_code = match event.code {
        // Terminals send the same byte for both, and it is told by the digit.
        KeyCode::Char(digit @ '4'..='7') if held == KeyModifiers::CONTROL => {
            KeyCode::Char(['\\', ']', '^', '_'][digit as usize - '4' as usize])
        }
        code => code,
    };
    held == modifiers && (event_code == code || event.code == code)
}

/// A key's name for people: short, and the same in every language.
pub fn label(text: &str) -> String {
    match text {
        "<enter>" => "⏎".into(),
        "<space>" => "Space".into(),
        "<up>" => "↑".into(),
        "<down>" => "↓".into(),
        "<left>" => "←".into(),
        "<right>" => "→".into(),
        "<esc>" => "Esc".into(),
        "<tab>" => "Tab".into(),
        "<backtab>" => "Shift-Tab".into(),
        "<pageup>" => "PgUp".into(),
        "<pagedown>" => "PgDn".into(),
        "<backspace>" => "Bksp".into(),
        _ => {
            if let Some(named) = text.strip_prefix("S-") {
                return format!("Shift-{}", label(named));
            }
            if let Some(letter) = text.strip_prefix("C-") {
                return format!("Ctrl-{}", letter.to_uppercase());
            }
            let name = text.strip_prefix('<').and_then(|t| t.strip_suffix('>'));
            match name.and_then(|n| n.split_at_checked(1)) {
                Some((first, rest)) => first.to_uppercase() + rest,
                None => text.to_owned(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_string_splits_into_keys() {
        let keys = parse_keys("2j<enter>C-pk<").expect("reads");
        let codes: Vec<_> = keys.iter().map(|k| k.code).collect();
        let expected = [
            KeyCode::Char('2'),
            KeyCode::Char('j'),
            KeyCode::Enter,
            KeyCode::Char('p'),
            KeyCode::Char('k'),
            KeyCode::Char('<'),
        ];
        assert_eq!(codes, expected);
        assert_eq!(keys[3].modifiers, KeyModifiers::CONTROL);
    }

    #[test]
    fn every_key_of_the_common_tables_parses() {
        for binding in LIST.iter().chain(EVERYWHERE) {
            for text in binding.keys {
                assert!(parse(text).is_some(), "{text}");
            }
        }
    }
}
