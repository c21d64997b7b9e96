//! The mouse as a program inside wants it told, when it wants that at all.

use super::Modes;
use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

/// Whether a program of these modes wants this: not with Shift, which keeps the mouse for ourselves.
pub fn wanted(mouse: &MouseEvent, modes: Modes) -> bool {
    if mouse.modifiers.contains(KeyModifiers::SHIFT) {
        return false;
    }
    match mouse.kind {
        MouseEventKind::Moved => modes.contains(Modes::MOUSE_MOTION),
        MouseEventKind::Drag(_) => modes.intersects(Modes::MOUSE_MOTION | Modes::MOUSE_DRAG),
        _ => modes.intersects(Modes::MOUSE_MODE),
    }
}

/// The bytes for what happened on a cell, counted from 0.
pub fn encode(mouse: &MouseEvent, (column, row): (u16, u16), modes: Modes) -> Vec<u8> {
    let button = |button| match button {
        MouseButton::Left => 0,
        MouseButton::Middle => 1,
        MouseButton::Right => 2,
    };
    let (mut code, up) = match mouse.kind {
        MouseEventKind::Down(which) => (button(which), false),
        MouseEventKind::Up(which) => (button(which), true),
        MouseEventKind::Drag(which) => (button(which) + 32, false),
        MouseEventKind::Moved => (35, false),
        MouseEventKind::ScrollUp => (64, false),
        MouseEventKind::ScrollDown => (65, false),
        MouseEventKind::ScrollLeft => (66, false),
        MouseEventKind::ScrollRight => (67, false),
    };
    for (held, bit) in
        [(KeyModifiers::SHIFT, 4), (KeyModifiers::ALT, 8), (KeyModifiers::CONTROL, 16)]
    {
        if mouse.modifiers.contains(held) {
            code += bit;
        }
    }
    if modes.contains(Modes::SGR_MOUSE) {
        let end = if up { 'm' } else { 'M' };
        return format!("\x1b[<{code};{};{}{end}", column + 1, row + 1).into_bytes();
    }
    // The old form knows no button that goes up, and no cell far away.
    if up {
        code = code & !3 | 3;
    }
    let place = |at: u16| u8::try_from(at + 33).ok();
    match (place(column), place(row)) {
        (Some(x), Some(y)) => vec![0x1b, b'[', b'M', code + 32, x, y],
        _ => Vec::new(),
    }
}

/// What the wheel sends to a program that fills the screen and knows no mouse: arrow keys.
pub fn arrows(up: bool, modes: Modes) -> Vec<u8> {
    let middle = if modes.contains(Modes::APP_CURSOR) { b'O' } else { b'[' };
    [0x1b, middle, if up { b'A' } else { b'B' }].repeat(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: MouseEventKind, modifiers: KeyModifiers) -> MouseEvent {
        MouseEvent { kind, column: 0, row: 0, modifiers }
    }

    #[test]
    fn a_program_is_told_what_it_asked_for_and_no_more() {
        let none = KeyModifiers::NONE;
        let down = event(MouseEventKind::Down(MouseButton::Left), none);
        let drag = event(MouseEventKind::Drag(MouseButton::Left), none);
        let moved = event(MouseEventKind::Moved, none);
        let told = |modes| [&down, &drag, &moved].map(|mouse| wanted(mouse, modes));
        assert_eq!(told(Modes::default()), [false; 3]);
        assert_eq!(told(Modes::MOUSE_REPORT_CLICK), [true, false, false]);
        assert_eq!(told(Modes::MOUSE_DRAG), [true, true, false]);
        assert_eq!(told(Modes::MOUSE_MOTION), [true, true, true]);
        let shift = event(MouseEventKind::Down(MouseButton::Left), KeyModifiers::SHIFT);
        assert!(!wanted(&shift, Modes::MOUSE_MOTION));
    }

    #[test]
    fn both_forms_are_as_xterm_has_them() {
        let none = KeyModifiers::NONE;
        let cases: &[(MouseEventKind, KeyModifiers, &[u8], &[u8])] = &[
            (MouseEventKind::Down(MouseButton::Left), none, b"\x1b[<0;10;3M", b"\x1b[M *#"),
            (MouseEventKind::Up(MouseButton::Right), none, b"\x1b[<2;10;3m", b"\x1b[M#*#"),
            (MouseEventKind::Drag(MouseButton::Middle), none, b"\x1b[<33;10;3M", b"\x1b[MA*#"),
            (MouseEventKind::Moved, KeyModifiers::ALT, b"\x1b[<43;10;3M", b"\x1b[MK*#"),
            (MouseEventKind::ScrollUp, KeyModifiers::CONTROL, b"\x1b[<80;10;3M", b"\x1b[Mp*#"),
            (MouseEventKind::ScrollDown, none, b"\x1b[<65;10;3M", b"\x1b[Ma*#"),
        ];
        for (kind, held, sgr, old) in cases {
            let mouse = event(*kind, *held);
            assert_eq!(encode(&mouse, (9, 2), Modes::SGR_MOUSE), *sgr, "{kind:?}");
            assert_eq!(encode(&mouse, (9, 2), Modes::default()), *old, "{kind:?}");
        }
        let far = event(MouseEventKind::Down(MouseButton::Left), none);
        assert_eq!(encode(&far, (300, 2), Modes::default()), b"");
    }
}
