//! What output goes through on its way to the terminal: as it is, but for what would write to the
//! clipboard; and what it does to the terminal is remembered, so that it can be undone.

/// The longest beginning of a sequence that is looked at before it goes on.
const LONGEST: usize = 64;

/// What a session's programs have set in the terminal.
#[derive(Debug, Default)]
pub(in crate::commands) struct Modes {
    /// Private modes that differ from those of a fresh terminal, by number.
    changed: Vec<u16>,
    keypad: bool,
    region: bool,
    keyboard: u8,
    cursor: bool,
}

/// Private modes that matter, and whether they are on in a fresh terminal.
const PRIVATE: [(u16, bool); 17] = [
    (1, false),
    (6, false),
    (7, true),
    (9, false),
    (25, true),
    (47, false),
    (1000, false),
    (1002, false),
    (1003, false),
    (1004, false),
    (1005, false),
    (1006, false),
    (1015, false),
    (1047, false),
    (1049, false),
    (2004, false),
    (2026, false),
];

impl Modes {
    /// Whether the other screen is shown, that of full-screen programs.
    pub(in crate::commands) fn is_full_screen(&self) -> bool {
        [47, 1047, 1049].iter().any(|mode| self.changed.contains(mode))
    }

    fn private(&mut self, mode: u16, on: bool) {
        let Some((_, usual)) = PRIVATE.iter().find(|(number, _)| *number == mode) else { return };
        self.changed.retain(|number| *number != mode);
        if on != *usual {
            self.changed.push(mode);
        }
    }

    fn sequence(&mut self, text: &[u8]) {
        let (Some(last), Ok(text)) = (text.last(), str::from_utf8(&text[..text.len() - 1])) else {
            return;
        };
        let numbers = |text: &str| -> Vec<u16> {
            text.split(';').filter_map(|number| number.parse().ok()).collect()
        };
        match (last, text.as_bytes().first()) {
            (b'h' | b'l', Some(b'?')) => {
                for mode in numbers(&text[1..]) {
                    self.private(mode, *last == b'h');
                }
            }
            (b'r', None | Some(b'0'..=b'9')) => self.region = true,
            (b'u', Some(b'>')) => self.keyboard = self.keyboard.saturating_add(1),
            (b'u', Some(b'<')) => {
                let count = numbers(&text[1..]).first().copied().unwrap_or(1);
                self.keyboard =
                    self.keyboard.saturating_sub(u8::try_from(count).unwrap_or(u8::MAX));
            }
            (b'q', _) if text.ends_with(' ') => self.cursor = true,
            (b'p', Some(b'!')) => *self = Self::default(),
            _ => {}
        }
    }

    /// What makes the terminal as it was; after it nothing is set any more.
    pub(in crate::commands) fn undo(&mut self) -> Vec<u8> {
        let modes = std::mem::take(self);
        let mut text = String::new();
        if modes.keyboard > 0 {
            text.extend(["\x1b[<", &modes.keyboard.to_string(), "u"]);
        }
        if modes.region {
            // Setting it moves the cursor.
            text += "\x1b7\x1b[r\x1b8";
        }
        for mode in modes.changed {
            let usual = PRIVATE.iter().any(|(number, usual)| *number == mode && *usual);
            text.extend(["\x1b[?", &mode.to_string(), if usual { "h" } else { "l" }]);
        }
        if modes.keypad {
            text += "\x1b>";
        }
        if modes.cursor {
            text += "\x1b[0 q";
        }
        text += "\x1b(B\x0f\x1b[m";
        text.into_bytes()
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    /// Behind ESC.
    Escape,
    /// In a control sequence.
    Sequence,
    /// In the beginning of a string, whose kind decides.
    Opening,
    /// In a string that goes on as it is.
    Through,
    /// In one that is left out.
    Out,
    /// Behind an ESC in a string; whether that is left out.
    Closing(bool),
    /// Behind the first byte of a control character of two.
    Second,
}

/// Takes output and gives what the terminal shall get.
#[derive(Debug)]
pub(in crate::commands) struct Passage {
    clipboard: bool,
    state: State,
    /// What has come of a sequence and is not decided yet.
    held: Vec<u8>,
}

impl Passage {
    /// With `clipboard` programs may write to it.
    pub(in crate::commands) fn new(clipboard: bool) -> Self {
        Self { clipboard, state: State::Ground, held: Vec::new() }
    }

    /// What goes on of these bytes.
    pub(in crate::commands) fn push(&mut self, bytes: &[u8], modes: &mut Modes) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + self.held.len());
        let mut at = 0;
        while at < bytes.len() {
            if self.state == State::Ground {
                let rest = &bytes[at..];
                let plain = rest.iter().position(|b| matches!(b, 0x1b | 0xc2));
                let plain = plain.unwrap_or(rest.len());
                out.extend_from_slice(&rest[..plain]);
                at += plain;
                if at == bytes.len() {
                    break;
                }
            }
            self.byte(bytes[at], &mut out, modes);
            at += 1;
        }
        out
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>, modes: &mut Modes) {
        match self.state {
            State::Ground => {
                self.held.push(byte);
                self.state = if byte == 0x1b { State::Escape } else { State::Second };
            }
            State::Second => {
                self.held.push(byte);
                // The same controls as one character: U+0090 and U+009D.
                if matches!(byte, 0x90 | 0x9d) {
                    self.state = State::Opening;
                } else {
                    self.state = State::Ground;
                    self.release(out);
                }
            }
            State::Escape => {
                self.held.push(byte);
                self.state = match byte {
                    b'[' => State::Sequence,
                    b']' | b'P' => State::Opening,
                    0x1b => {
                        self.held.pop();
                        self.release(out);
                        self.held.push(byte);
                        State::Escape
                    }
                    _ => {
                        match byte {
                            b'=' => modes.keypad = true,
                            b'>' => modes.keypad = false,
                            b'c' => *modes = Modes::default(),
                            _ => {}
                        }
                        State::Ground
                    }
                };
                if self.state == State::Ground {
                    self.release(out);
                }
            }
            State::Sequence => match byte {
                0x1b => {
                    self.release(out);
                    self.held.push(byte);
                    self.state = State::Escape;
                }
                0x40..=0x7e => {
                    self.held.push(byte);
                    modes.sequence(&self.held[2..]);
                    self.release(out);
                    self.state = State::Ground;
                }
                _ => {
                    self.held.push(byte);
                    if self.held.len() > LONGEST || matches!(byte, 0x18 | 0x1a) {
                        self.release(out);
                        self.state = State::Ground;
                    }
                }
            },
            State::Opening => self.opening(byte, out),
            State::Through | State::Out => {
                let through = self.state == State::Through;
                match byte {
                    0x07 | 0x18 | 0x1a => self.state = State::Ground,
                    0x1b => {
                        self.state = State::Closing(!through);
                        return;
                    }
                    _ => {}
                }
                if through {
                    out.push(byte);
                }
            }
            State::Closing(left_out) => {
                if byte == b'\\' {
                    if !left_out {
                        out.extend([0x1b, byte]);
                    }
                    self.state = State::Ground;
                } else {
                    // The string is over, and another sequence begins.
                    self.held.push(0x1b);
                    self.state = State::Escape;
                    self.byte(byte, out, modes);
                }
            }
        }
    }

    /// Decides what becomes of a string as soon as its beginning tells.
    fn opening(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.held.push(byte);
        let device = matches!(self.held[1], b'P' | 0x90);
        let text = &self.held[2..];
        let ends = matches!(byte, 0x07 | 0x18 | 0x1a | 0x1b);
        let (decided, lets) = if device {
            // What other terminals would take out and read again: there could be anything in it.
            let wraps = b"tmux;".starts_with(&text[..text.len().min(5)]) || byte == 0x1b;
            (!wraps || text.len() >= 5 || byte == 0x1b, !wraps)
        } else {
            let number = text.iter().take_while(|b| b.is_ascii_digit()).count();
            let of_clipboard = text[..number].iter().skip_while(|b| **b == b'0').eq(b"52");
            (number < text.len() || text.len() > LONGEST, !of_clipboard)
        };
        if !decided && !ends {
            return;
        }
        let lets = lets || self.clipboard;
        let last = if byte == 0x1b { self.held.pop() } else { None };
        if lets {
            self.release(out);
        } else {
            self.held.clear();
        }
        self.state = match (last, ends) {
            (Some(_), _) => State::Closing(!lets),
            (None, true) => State::Ground,
            (None, false) if lets => State::Through,
            (None, false) => State::Out,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn passed(bytes: &[u8], cut: usize) -> (Vec<u8>, Modes) {
        let (mut passage, mut modes) = (Passage::new(false), Modes::default());
        let pieces = bytes.chunks(cut).map(|piece| passage.push(piece, &mut modes));
        (pieces.collect::<Vec<_>>().concat(), modes)
    }

    #[test]
    fn the_clipboard_is_not_written_whatever_way_it_is_tried() {
        for tried in [
            &b"\x1b]52;c;aGVsbG8=\x07"[..],
            b"\x1b]52;c;aGVsbG8=\x1b\\",
            b"\x1b]052;c;aGVsbG8=\x07",
            b"\xc2\x9d52;c;aGVsbG8=\x07",
            b"\x1bPtmux;\x1b\x1b]52;c;aGVsbG8=\x07\x1b\\",
            b"\x1bP\x1b]52;c;aGVsbG8=\x07\x1b\\",
            b"\x1b\x1b]52;c;aGVsbG8=\x07",
            b"\x1b]0;x\x1b]52;c;aGVsbG8=\x07",
        ] {
            for cut in 1..tried.len() {
                let text = [b"a", tried, b"b"].concat();
                let (out, _) = passed(&text, cut);
                assert!(!out.windows(3).any(|w| w == b"aGV"), "{tried:?} {cut}");
                assert!(out.starts_with(b"a") && out.ends_with(b"b"), "{tried:?} {cut} {out:?}");
            }
        }
        let (mut passage, mut modes) = (Passage::new(true), Modes::default());
        let copy = b"\x1b]52;c;aGVsbG8=\x07";
        assert_eq!(passage.push(copy, &mut modes), copy);
    }

    #[test]
    fn everything_else_goes_on_as_it_is() {
        let text = "plain 容器 \u{a0}é\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b]8;;http://x\x1b\\link\
                    \x1b]8;;\x1b\\\x1bP+q544e\x1b\\\x1b(0\x1b[?1049h\x1b[2J\x1b]521;x\x07\x1b]5;2\x07";
        for cut in 1..40 {
            let (out, _) = passed(text.as_bytes(), cut);
            assert_eq!(String::from_utf8_lossy(&out), text, "{cut}");
        }
    }

    #[test]
    fn what_was_set_is_undone_and_nothing_else() {
        let (_, mut modes) =
            passed(b"\x1b[?1049h\x1b[?25l\x1b[?1000;1006h\x1b=\x1b[>1u\x1b[2;5r", 3);
        assert!(modes.is_full_screen());
        let undone = String::from_utf8(modes.undo()).unwrap();
        for part in [
            "\x1b[?1049l",
            "\x1b[?25h",
            "\x1b[?1000l",
            "\x1b[?1006l",
            "\x1b>",
            "\x1b[<1u",
            "\x1b[r",
        ] {
            assert!(undone.contains(part), "{part:?} in {undone:?}");
        }
        let (_, mut modes) = passed(b"\x1b[?1049h\x1b[?25l\x1b[?25h\x1b[?1049l", 5);
        assert_eq!(modes.undo(), b"\x1b(B\x0f\x1b[m");
    }

    proptest! {
        #[test]
        fn any_bytes_pass_and_how_they_are_cut_changes_nothing(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(0x1b), Just(b']'), Just(b'5'), Just(b'2'), Just(b';')], 0..200),
            cut in 1usize..20,
        ) {
            let (one, _) = passed(&bytes, bytes.len().max(1));
            let (other, _) = passed(&bytes, cut);
            prop_assert_eq!(one, other);
        }
    }
}
