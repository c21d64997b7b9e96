//! Keys as the bytes that programs know from xterm.

use super::Modes;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyEventState, KeyModifiers};

/// The bytes of a key; none for one that a terminal sends nothing for.
pub fn encode(key: &KeyEvent, modes: Modes) -> Vec<u8> {
    if key.kind == KeyEventKind::Release {
        return Vec::new();
    }
    let held = key.modifiers & (KeyModifiers::SHIFT | KeyModifiers::ALT | KeyModifiers::CONTROL);
    let (alt, control) = (held.contains(KeyModifiers::ALT), held.contains(KeyModifiers::CONTROL));
    let keypad = key.state.contains(KeyEventState::KEYPAD) && modes.contains(Modes::APP_KEYPAD);
    let mut bytes = Vec::with_capacity(8);
    let escaped = |bytes: &mut Vec<u8>, byte: u8| {
        if alt {
            bytes.push(0x1b);
        }
        bytes.push(byte);
    };
    match key.code {
        KeyCode::Char(c) if keypad && held.is_empty() && keypad_letter(c).is_some() => {
            bytes.extend([0x1b, b'O', keypad_letter(c).unwrap_or_default()]);
        }
        KeyCode::Enter if keypad && held.is_empty() => bytes.extend(b"\x1bOM"),
        KeyCode::Char(c) => {
            if alt {
                bytes.push(0x1b);
            }
            match control_byte(c).filter(|_| control) {
                Some(byte) => bytes.push(byte),
                None => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        KeyCode::Enter => escaped(&mut bytes, b'\r'),
        KeyCode::Backspace => escaped(&mut bytes, if control { 0x08 } else { 0x7f }),
        KeyCode::Esc => escaped(&mut bytes, 0x1b),
        KeyCode::BackTab => bytes.extend(b"\x1b[Z"),
        KeyCode::Tab if held.contains(KeyModifiers::SHIFT) => bytes.extend(b"\x1b[Z"),
        KeyCode::Tab => escaped(&mut bytes, b'\t'),
        KeyCode::Null => bytes.push(0),
        KeyCode::F(number) => function(&mut bytes, number, held),
        code => {
            if let Some(letter) = cursor_letter(code) {
                let application = modes.contains(Modes::APP_CURSOR);
                cursor(&mut bytes, letter, held, application);
            } else if let Some(number) = editing_number(code) {
                tilde(&mut bytes, number, held);
            }
        }
    }
    bytes
}

/// What Control makes of a character. Terminals tell four of them by a digit.
fn control_byte(c: char) -> Option<u8> {
    Some(match c {
        'a'..='z' => c as u8 - b'a' + 1,
        '@'..='_' => c as u8 - b'@',
        ' ' | '2' | '`' => 0,
        '3' => 0x1b,
        '4' => 0x1c,
        '5' => 0x1d,
        '6' | '~' => 0x1e,
        '7' | '/' => 0x1f,
        '8' | '?' => 0x7f,
        _ => return None,
    })
}

fn keypad_letter(c: char) -> Option<u8> {
    Some(match c {
        '0'..='9' => b'p' + (c as u8 - b'0'),
        '*' => b'j',
        '+' => b'k',
        ',' => b'l',
        '-' => b'm',
        '.' => b'n',
        '/' => b'o',
        '=' => b'X',
        _ => return None,
    })
}

/// The number that stands for held keys: one more than the sum of their bits.
fn number(held: KeyModifiers) -> u8 {
    1 + u8::from(held.contains(KeyModifiers::SHIFT))
        + 2 * u8::from(held.contains(KeyModifiers::ALT))
        + 4 * u8::from(held.contains(KeyModifiers::CONTROL))
}

fn cursor_letter(code: KeyCode) -> Option<u8> {
    Some(match code {
        KeyCode::Up => b'A',
        KeyCode::Down => b'B',
        KeyCode::Right => b'C',
        KeyCode::Left => b'D',
        KeyCode::KeypadBegin => b'E',
        KeyCode::End => b'F',
        KeyCode::Home => b'H',
        _ => return None,
    })
}

const fn editing_number(code: KeyCode) -> Option<u8> {
    Some(match code {
        KeyCode::Insert => 2,
        KeyCode::Delete => 3,
        KeyCode::PageUp => 5,
        KeyCode::PageDown => 6,
        KeyCode::Menu => 29,
        _ => return None,
    })
}

fn cursor(bytes: &mut Vec<u8>, letter: u8, held: KeyModifiers, application: bool) {
    if held.is_empty() {
        bytes.extend([0x1b, if application { b'O' } else { b'[' }, letter]);
    } else {
        bytes.extend([0x1b, b'[', b'1', b';', b'0' + number(held), letter]);
    }
}

fn tilde(bytes: &mut Vec<u8>, key: u8, held: KeyModifiers) {
    bytes.extend(format!("\x1b[{key}").as_bytes());
    if !held.is_empty() {
        bytes.extend([b';', b'0' + number(held)]);
    }
    bytes.push(b'~');
}

/// Function keys; beyond the twelfth they are those with held keys.
fn function(bytes: &mut Vec<u8>, key: u8, held: KeyModifiers) {
    let (key, held) = match key {
        13..=24 => (key - 12, held | KeyModifiers::SHIFT),
        25..=36 => (key - 24, held | KeyModifiers::CONTROL),
        37..=48 => (key - 36, held | KeyModifiers::SHIFT | KeyModifiers::CONTROL),
        49..=60 => (key - 48, held | KeyModifiers::ALT),
        _ => (key, held),
    };
    match key {
        1..=4 => cursor(bytes, b'P' + key - 1, held, true),
        5..=12 => tilde(bytes, [15, 17, 18, 19, 20, 21, 23, 24][usize::from(key - 5)], held),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_sent_as_xterm_sends_it() {
        const NONE: KeyModifiers = KeyModifiers::NONE;
        const S: KeyModifiers = KeyModifiers::SHIFT;
        const A: KeyModifiers = KeyModifiers::ALT;
        const C: KeyModifiers = KeyModifiers::CONTROL;
        let plain = Modes::default();
        let cases: &[(KeyCode, KeyModifiers, Modes, &[u8])] = &[
            (KeyCode::Char('a'), NONE, plain, b"a"),
            (KeyCode::Char('A'), S, plain, b"A"),
            (KeyCode::Char('节'), NONE, plain, "节".as_bytes()),
            (KeyCode::Char('a'), A, plain, b"\x1ba"),
            (KeyCode::Char('节'), A, plain, "\x1b节".as_bytes()),
            (KeyCode::Char('a'), C, plain, b"\x01"),
            (KeyCode::Char('z'), C, plain, b"\x1a"),
            (KeyCode::Char('a'), C.union(A), plain, b"\x1b\x01"),
            (KeyCode::Char(' '), C, plain, b"\0"),
            (KeyCode::Char('['), C, plain, b"\x1b"),
            (KeyCode::Char('\\'), C, plain, b"\x1c"),
            (KeyCode::Char('4'), C, plain, b"\x1c"),
            (KeyCode::Char('5'), C, plain, b"\x1d"),
            (KeyCode::Char('6'), C, plain, b"\x1e"),
            (KeyCode::Char('7'), C, plain, b"\x1f"),
            (KeyCode::Char('_'), C, plain, b"\x1f"),
            (KeyCode::Char('?'), C, plain, b"\x7f"),
            (KeyCode::Char('1'), C, plain, b"1"),
            (KeyCode::Enter, NONE, plain, b"\r"),
            (KeyCode::Enter, A, plain, b"\x1b\r"),
            (KeyCode::Tab, NONE, plain, b"\t"),
            (KeyCode::BackTab, S, plain, b"\x1b[Z"),
            (KeyCode::Backspace, NONE, plain, b"\x7f"),
            (KeyCode::Backspace, C, plain, b"\x08"),
            (KeyCode::Backspace, A, plain, b"\x1b\x7f"),
            (KeyCode::Esc, NONE, plain, b"\x1b"),
            (KeyCode::Esc, A, plain, b"\x1b\x1b"),
            (KeyCode::Up, NONE, plain, b"\x1b[A"),
            (KeyCode::Up, NONE, Modes::APP_CURSOR, b"\x1bOA"),
            (KeyCode::Down, S, Modes::APP_CURSOR, b"\x1b[1;2B"),
            (KeyCode::Right, C, plain, b"\x1b[1;5C"),
            (KeyCode::Left, A, plain, b"\x1b[1;3D"),
            (KeyCode::Left, C.union(S).union(A), plain, b"\x1b[1;8D"),
            (KeyCode::Home, NONE, plain, b"\x1b[H"),
            (KeyCode::Home, NONE, Modes::APP_CURSOR, b"\x1bOH"),
            (KeyCode::End, C, plain, b"\x1b[1;5F"),
            (KeyCode::KeypadBegin, NONE, plain, b"\x1b[E"),
            (KeyCode::Insert, NONE, plain, b"\x1b[2~"),
            (KeyCode::Delete, C, plain, b"\x1b[3;5~"),
            (KeyCode::PageUp, NONE, plain, b"\x1b[5~"),
            (KeyCode::PageDown, S, plain, b"\x1b[6;2~"),
            (KeyCode::F(1), NONE, plain, b"\x1bOP"),
            (KeyCode::F(4), C, plain, b"\x1b[1;5S"),
            (KeyCode::F(5), NONE, plain, b"\x1b[15~"),
            (KeyCode::F(6), NONE, plain, b"\x1b[17~"),
            (KeyCode::F(10), S, plain, b"\x1b[21;2~"),
            (KeyCode::F(11), NONE, plain, b"\x1b[23~"),
            (KeyCode::F(12), A, plain, b"\x1b[24;3~"),
            (KeyCode::F(13), NONE, plain, b"\x1b[1;2P"),
            (KeyCode::F(30), NONE, plain, b"\x1b[17;5~"),
            (KeyCode::CapsLock, NONE, plain, b""),
        ];
        for (code, held, modes, wanted) in cases {
            let sent = encode(&KeyEvent::new(*code, *held), *modes);
            assert_eq!(sent, *wanted, "{code:?} {held:?}");
        }
        for (number, letter) in [(1u8, b'P'), (2, b'Q'), (3, b'R'), (4, b'S')] {
            let sent = encode(&KeyEvent::new(KeyCode::F(number), NONE), plain);
            assert_eq!(sent, [0x1b, b'O', letter]);
        }
        for (at, number) in [15, 17, 18, 19, 20, 21, 23, 24].into_iter().enumerate() {
            let sent = encode(&KeyEvent::new(KeyCode::F(at as u8 + 5), NONE), plain);
            assert_eq!(sent, format!("\x1b[{number}~").into_bytes());
        }
    }

    #[test]
    fn the_keypad_is_told_apart_when_its_program_asks_for_it() {
        let mut key = KeyEvent::new(KeyCode::Char('7'), KeyModifiers::NONE);
        key.state = KeyEventState::KEYPAD;
        assert_eq!(encode(&key, Modes::APP_KEYPAD), b"\x1bOw");
        assert_eq!(encode(&key, Modes::default()), b"7");
    }

    #[test]
    fn a_key_that_goes_up_is_nothing() {
        let mut key = KeyEvent::new(KeyCode::Char('a'), KeyModifiers::NONE);
        key.kind = KeyEventKind::Release;
        assert_eq!(encode(&key, Modes::default()), b"");
    }
}
