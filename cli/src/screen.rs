//! Shows the same thing again as it changes: in place on a terminal, one block after the other
//! elsewhere. Used by every verb with `--watch`.

use crate::App;
use crate::exit::Failure;
use crate::output::{Format, Output};

/// Where blocks are shown.
#[derive(Debug)]
pub struct Screen {
    out: Output,
    lines: usize,
    begun: bool,
}

impl Screen {
    /// Refuses formats that are one document, when it shall be shown more than once.
    pub fn new(app: &App, watching: bool) -> Result<Self, Failure> {
        if watching && matches!(app.out.format, Format::Json | Format::Yaml) {
            return Err(Failure::usage("one document cannot be watched")
                .hint("use -o ndjson: one object for each change"));
        }
        Ok(Self { out: app.out.clone(), lines: 0, begun: false })
    }

    /// Shows the next block.
    pub fn show(&mut self, block: &str) -> Result<(), Failure> {
        let text = self.next(block, self.out.height());
        self.out.data(&text)
    }

    fn next(&mut self, block: &str, height: Option<usize>) -> String {
        if !self.out.format.is_table() {
            return block.to_owned();
        }
        let before = match (self.begun, height) {
            (true, Some(_)) if self.lines > 0 => format!("\x1b[{}A\x1b[J", self.lines),
            (true, None) => "\n".to_owned(),
            _ => String::new(),
        };
        self.begun = true;
        // What has scrolled away cannot be drawn over.
        let lines: Vec<_> = block.lines().take(height.map_or(usize::MAX, |h| h - 1)).collect();
        self.lines = lines.len();
        lines.iter().fold(before, |text, line| text + line + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(format: Format) -> Screen {
        let mut out = Output::new(format, true, false, 0);
        out.tty_out = false;
        Screen { out, lines: 0, begun: false }
    }

    #[test]
    fn a_terminal_is_drawn_over_and_a_file_gets_blocks() {
        let mut tty = screen(Format::Table);
        assert_eq!(tty.next("a\nb\n", Some(24)), "a\nb\n");
        assert_eq!(tty.next("c\n", Some(24)), "\x1b[2A\x1b[Jc\n");
        assert_eq!(tty.next("d\ne\n", Some(24)), "\x1b[1A\x1b[Jd\ne\n");
        let mut file = screen(Format::Table);
        assert_eq!(file.next("a\n", None), "a\n");
        assert_eq!(file.next("b\n", None), "\nb\n");
        let mut lines = screen(Format::Ndjson);
        assert_eq!(lines.next("{}\n", None) + &lines.next("{}\n", None), "{}\n{}\n");
    }

    #[test]
    fn a_block_higher_than_the_terminal_is_cut() {
        let mut tty = screen(Format::Table);
        let block = "x\n".repeat(50);
        assert_eq!(tty.next(&block, Some(10)).lines().count(), 9);
        assert!(tty.next(&block, Some(10)).starts_with("\x1b[9A\x1b[J"));
    }
}
