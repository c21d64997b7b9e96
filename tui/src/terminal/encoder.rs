//! Cells to bytes, as few as possible: only changed attributes, short cursor moves, each frame
//! between the marks of a synchronised update. A frame without changes is no byte at all.

use crossterm::terminal;
use ratatui::backend::{Backend, ClearType, WindowSize};
use ratatui::buffer::Cell;
use ratatui::layout::{Position, Size};
use ratatui::style::{Color, Modifier};
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr as _;

/// Other lines below letters than the straight one, beside [`Modifier::UNDERLINED`]: bits that ratatui
/// does not use. Only for terminals of all colours; others would take them for something else.
pub const DOUBLE: Modifier = Modifier::from_bits_retain(1 << 9);
/// As [`DOUBLE`].
pub const CURLY: Modifier = Modifier::from_bits_retain(1 << 10);
/// As [`DOUBLE`].
pub const DOTTED: Modifier = Modifier::from_bits_retain(1 << 11);
/// As [`DOUBLE`].
pub const DASHED: Modifier = Modifier::from_bits_retain(1 << 12);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attributes {
    fg: Color,
    bg: Color,
    line: Color,
    modifier: Modifier,
}

const PLAIN: Attributes = Attributes {
    fg: Color::Reset,
    bg: Color::Reset,
    line: Color::Reset,
    modifier: Modifier::empty(),
};

/// Neighbouring cells of a row that look alike.
struct Run {
    at: Position,
    attributes: Attributes,
    /// Where its text is in the frame's text.
    text: std::ops::Range<usize>,
    /// Where the cursor is behind it, when that is certain.
    end: Option<Position>,
}

/// What the terminal is set to, and bytes on their way to it.
#[derive(Clone)]
struct Pen {
    bytes: Vec<u8>,
    /// What the terminal draws with now.
    attributes: Attributes,
    /// Where the terminal's cursor is, when that is certain.
    cursor: Option<Position>,
}

/// A backend that writes to `W`.
pub struct Encoder<W: Write> {
    out: W,
    pen: Pen,
    /// Where the cursor should stand between frames, when it is shown.
    caret: Option<Position>,
    shown: bool,
    size: fn() -> io::Result<(u16, u16)>,
}

/// The terminal's columns and rows. Asked before each frame: of the output itself, because to open the terminal by its
/// name takes ten times as long.
fn size() -> io::Result<(u16, u16)> {
    match rustix::termios::tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Ok((size.ws_col, size.ws_row)),
        _ => terminal::size(),
    }
}

impl<W: Write> Encoder<W> {
    /// On the terminal that `out` leads to.
    pub fn new(out: W) -> Self {
        let pen = Pen { bytes: Vec::with_capacity(8 * 1024), attributes: PLAIN, cursor: None };
        Self { out, pen, caret: None, shown: true, size }
    }

    /// On something that is no terminal and has this size, for tests and measurements.
    #[must_use]
    pub fn sized(mut self, size: fn() -> io::Result<(u16, u16)>) -> Self {
        self.size = size;
        self
    }
}

impl Pen {
    fn draw<'a>(&mut self, runs: impl Iterator<Item = &'a Run>, text: &str) -> io::Result<()> {
        for run in runs {
            self.go(run.at.x, run.at.y)?;
            self.dress(run.attributes)?;
            self.bytes.extend_from_slice(&text.as_bytes()[run.text.clone()]);
            self.cursor = run.end;
        }
        Ok(())
    }

    fn go(&mut self, x: u16, y: u16) -> io::Result<()> {
        match self.cursor {
            Some(at) if at == Position::new(x, y) => {}
            Some(at) if at.y == y && x > at.x => match x - at.x {
                1 => self.bytes.extend_from_slice(b"\x1b[C"),
                by => write!(self.bytes, "\x1b[{by}C")?,
            },
            _ if x == 0 => write!(self.bytes, "\x1b[{}H", y + 1)?,
            _ => write!(self.bytes, "\x1b[{};{}H", y + 1, x + 1)?,
        }
        self.cursor = Some(Position::new(x, y));
        Ok(())
    }

    fn dress(&mut self, wanted: Attributes) -> io::Result<()> {
        if wanted == self.attributes {
            return Ok(());
        }
        self.bytes.extend_from_slice(b"\x1b[");
        let start = self.bytes.len();
        let mut now = self.attributes;
        if !(now.modifier - wanted.modifier).is_empty() {
            // Bold and dim share their off code, so taking away begins from plain.
            self.bytes.push(b'0');
            now = PLAIN;
        }
        for (flag, code) in [
            (Modifier::BOLD, "1"),
            (Modifier::DIM, "2"),
            (Modifier::ITALIC, "3"),
            (Modifier::UNDERLINED, "4"),
            (Modifier::REVERSED, "7"),
            (Modifier::CROSSED_OUT, "9"),
        ] {
            if wanted.modifier.contains(flag) && !now.modifier.contains(flag) {
                separate(&mut self.bytes, start);
                self.bytes.extend_from_slice(code.as_bytes());
            }
        }
        if wanted.fg != now.fg {
            separate(&mut self.bytes, start);
            colour(&mut self.bytes, wanted.fg, 30)?;
        }
        if wanted.bg != now.bg {
            separate(&mut self.bytes, start);
            colour(&mut self.bytes, wanted.bg, 40)?;
        }
        if self.bytes.len() > start {
            self.bytes.push(b'm');
        } else {
            self.bytes.truncate(start - 2);
        }
        self.underline(wanted, now)?;
        self.attributes = wanted;
        Ok(())
    }

    /// Lines below letters in sequences of their own: a terminal that does not know them loses nothing
    /// else.
    fn underline(&mut self, wanted: Attributes, now: Attributes) -> io::Result<()> {
        for (flag, code) in [(DOUBLE, 2), (CURLY, 3), (DOTTED, 4), (DASHED, 5)] {
            if wanted.modifier.contains(flag) && !now.modifier.contains(flag) {
                write!(self.bytes, "\x1b[4:{code}m")?;
            }
        }
        if wanted.line != now.line {
            match wanted.line {
                Color::Rgb(r, g, b) => write!(self.bytes, "\x1b[58:2::{r}:{g}:{b}m")?,
                Color::Indexed(n) => write!(self.bytes, "\x1b[58:5:{n}m")?,
                _ => self.bytes.extend_from_slice(b"\x1b[59m"),
            }
        }
        Ok(())
    }
}

fn separate(frame: &mut Vec<u8>, start: usize) {
    if frame.len() > start {
        frame.push(b';');
    }
}

/// A colour's code; `base` is 30 for letters, 40 for the ground.
fn colour(frame: &mut Vec<u8>, colour: Color, base: u8) -> io::Result<()> {
    match colour {
        Color::Rgb(r, g, b) => write!(frame, "{};2;{r};{g};{b}", base + 8),
        Color::Indexed(n @ 0..8) => write!(frame, "{}", base + n),
        Color::Indexed(n @ 8..16) => write!(frame, "{}", base + 60 + n - 8),
        Color::Indexed(n) => write!(frame, "{};5;{n}", base + 8),
        // Themes hold no named colours: what is left is the terminal's own.
        _ => write!(frame, "{}", base + 9),
    }
}

/// The order in which runs of one look follow each other, looks in the order they first appear.
fn by_look(runs: &[Run]) -> Vec<usize> {
    let mut looks: Vec<Attributes> = Vec::new();
    let mut keyed: Vec<(usize, usize)> = Vec::with_capacity(runs.len());
    for (index, run) in runs.iter().enumerate() {
        let look = looks.iter().position(|look| *look == run.attributes).unwrap_or_else(|| {
            looks.push(run.attributes);
            looks.len() - 1
        });
        keyed.push((look, index));
    }
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, index)| index).collect()
}

impl<W: Write> Backend for Encoder<W> {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        let mut text = String::new();
        let mut runs: Vec<Run> = Vec::new();
        for (x, y, cell) in content {
            let symbol = cell.symbol();
            let (fg, bg, line) = (cell.fg, cell.bg, cell.underline_color);
            let attributes = Attributes { fg, bg, line, modifier: cell.modifier };
            let from = text.len();
            text.push_str(symbol);
            // Terminals disagree about wide and composed characters: behind one, the cursor's place
            // is not certain.
            let sure = symbol.len() == 1 || (symbol.chars().count() == 1 && symbol.width() == 1);
            let end = sure.then_some(Position::new(x + 1, y));
            match runs.last_mut() {
                Some(run)
                    if run.attributes == attributes && run.end == Some(Position::new(x, y)) =>
                {
                    run.text.end = text.len();
                    run.end = end;
                }
                _ => runs.push(Run {
                    at: Position::new(x, y),
                    attributes,
                    text: from..text.len(),
                    end,
                }),
            }
        }
        // Few changes here and there are cheapest look by look: a colour costs more than a move. A
        // whole new screen is cheapest from the top down. The shorter one is sent; both look the
        // same, because the terminal shows a frame only when it is complete.
        let mut other = self.pen.clone();
        self.pen.draw(runs.iter(), &text)?;
        if runs.len() > 2 {
            let order = by_look(&runs);
            other.draw(order.iter().map(|index| &runs[*index]), &text)?;
            if other.bytes.len() < self.pen.bytes.len() {
                self.pen = other;
            }
        }
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        if self.shown {
            self.pen.bytes.extend_from_slice(b"\x1b[?25l");
            self.shown = false;
        }
        self.caret = None;
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        if !self.shown {
            self.pen.bytes.extend_from_slice(b"\x1b[?25h");
            self.shown = true;
        }
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        // Never asked of the terminal: some do not answer.
        Ok(self.caret.or(self.pen.cursor).unwrap_or_default())
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, position: P) -> io::Result<()> {
        let at = position.into();
        self.caret = Some(at);
        if self.pen.cursor != Some(at) {
            self.pen.go(at.x, at.y)?;
        }
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.pen.attributes = PLAIN;
        self.pen.cursor = None;
        // Whoever had the terminal meanwhile may have shown the cursor.
        self.pen.bytes.extend_from_slice(b"\x1b[?25l\x1b[0m\x1b[2J");
        self.shown = false;
        Ok(())
    }

    fn clear_region(&mut self, kind: ClearType) -> io::Result<()> {
        match kind {
            ClearType::All => return self.clear(),
            ClearType::AfterCursor => self.pen.bytes.extend_from_slice(b"\x1b[0m\x1b[J"),
            ClearType::BeforeCursor => self.pen.bytes.extend_from_slice(b"\x1b[0m\x1b[1J"),
            ClearType::CurrentLine => self.pen.bytes.extend_from_slice(b"\x1b[0m\x1b[2K"),
            ClearType::UntilNewLine => self.pen.bytes.extend_from_slice(b"\x1b[0m\x1b[K"),
        }
        self.pen.attributes = PLAIN;
        Ok(())
    }

    fn size(&self) -> io::Result<Size> {
        (self.size)().map(|(width, height)| Size::new(width, height))
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        let size = self.size()?;
        Ok(WindowSize { columns_rows: size, pixels: Size::default() })
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pen.bytes.is_empty() {
            return Ok(());
        }
        self.out.write_all(b"\x1b[?2026h")?;
        self.out.write_all(&self.pen.bytes)?;
        self.out.write_all(b"\x1b[?2026l")?;
        self.pen.bytes.clear();
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::style::Style;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("lock").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink {
        fn take(&self) -> String {
            let bytes = std::mem::take(&mut *self.0.lock().expect("lock"));
            String::from_utf8(bytes).expect("UTF-8")
        }
    }

    fn terminal() -> (Terminal<Encoder<Sink>>, Sink) {
        let sink = Sink::default();
        let encoder = Encoder::new(sink.clone()).sized(|| Ok((20, 3)));
        let mut terminal = Terminal::new(encoder).expect("terminal");
        terminal.draw(|_| {}).expect("draw");
        sink.take();
        (terminal, sink)
    }

    #[test]
    fn a_frame_without_changes_is_no_byte() {
        let (mut terminal, sink) = terminal();
        for _ in 0..2 {
            terminal.draw(|f| f.buffer_mut().set_string(0, 0, "x", Style::new())).expect("draw");
        }
        let bytes = sink.take();
        assert_eq!(bytes.matches('x').count(), 1);
        terminal.draw(|f| f.buffer_mut().set_string(0, 0, "x", Style::new())).expect("draw");
        assert_eq!(sink.take(), "");
    }

    #[test]
    fn a_caret_that_stays_is_no_byte_either() {
        let (mut terminal, sink) = terminal();
        let draw = |terminal: &mut Terminal<_>| {
            terminal.draw(|f| f.set_cursor_position((3, 1))).expect("draw");
        };
        draw(&mut terminal);
        assert_eq!(sink.take(), "\x1b[?2026h\x1b[?25h\x1b[2;4H\x1b[?2026l");
        draw(&mut terminal);
        assert_eq!(sink.take(), "");
    }

    #[test]
    fn a_cursor_that_someone_else_showed_is_hidden_again_when_everything_is_drawn_anew() {
        let (mut terminal, sink) = terminal();
        terminal.resize(ratatui::layout::Rect::new(0, 0, 20, 3)).expect("resize");
        terminal.draw(|_| {}).expect("draw");
        assert!(sink.take().contains("\x1b[?25l"));
    }

    #[test]
    fn only_changed_attributes_are_sent_and_neighbours_need_no_move() {
        let (mut terminal, sink) = terminal();
        let red = Style::new().fg(Color::Indexed(1));
        terminal
            .draw(|f| {
                f.buffer_mut().set_string(1, 1, "ab", red);
                f.buffer_mut().set_string(5, 1, "c", red.bg(Color::Rgb(1, 2, 3)));
            })
            .expect("draw");
        let expected = "\x1b[?2026h\x1b[2;2H\x1b[31mab\x1b[2C\x1b[48;2;1;2;3mc\x1b[?2026l";
        assert_eq!(sink.take(), expected);
    }

    #[test]
    fn lines_below_letters_have_sequences_of_their_own() {
        let (mut terminal, sink) = terminal();
        let red = Color::Rgb(9, 8, 7);
        let style = Style::new().add_modifier(Modifier::UNDERLINED | CURLY).underline_color(red);
        terminal.draw(|f| f.buffer_mut().set_string(0, 0, "a", style)).expect("draw");
        let curly = "\x1b[?2026h\x1b[1H\x1b[4m\x1b[4:3m\x1b[58:2::9:8:7ma\x1b[?2026l";
        assert_eq!(sink.take(), curly);
        let other = style.underline_color(Color::Indexed(3));
        terminal.draw(|f| f.buffer_mut().set_string(0, 0, "b", other)).expect("draw");
        assert_eq!(sink.take(), "\x1b[?2026h\x1b[1H\x1b[58:5:3mb\x1b[?2026l");
        terminal.draw(|f| f.buffer_mut().set_string(0, 0, "c", Style::new())).expect("draw");
        assert_eq!(sink.take(), "\x1b[?2026h\x1b[1H\x1b[0mc\x1b[?2026l");
    }

    #[test]
    fn scattered_changes_set_each_colour_once() {
        let (mut terminal, sink) = terminal();
        let styles = [Color::Rgb(200, 1, 1), Color::Rgb(1, 200, 1)].map(|c| Style::new().fg(c));
        terminal
            .draw(|f| {
                for y in 0..3 {
                    f.buffer_mut().set_string(2, y, "a", styles[0]);
                    f.buffer_mut().set_string(9, y, "b", styles[1]);
                }
            })
            .expect("draw");
        assert_eq!(sink.take().matches("38;2;").count(), 2);
    }

    #[test]
    fn behind_a_wide_character_the_cursor_is_placed_anew() {
        let (mut terminal, sink) = terminal();
        terminal.draw(|f| f.buffer_mut().set_string(0, 0, "节x", Style::new())).expect("draw");
        assert_eq!(sink.take(), "\x1b[?2026h\x1b[1H节\x1b[1;3Hx\x1b[?2026l");
    }
}
