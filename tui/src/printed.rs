//! A table as text for people or for spreadsheets.

use std::fmt::Write as _;
use unicode_width::UnicodeWidthStr as _;

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In columns.
    Text,
    /// Comma separated.
    Csv,
}

/// What stands in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// Titles, and whether the column stands at the right side.
    pub head: Vec<(String, bool)>,
    /// A row has a cell for each title.
    pub rows: Vec<Vec<String>>,
}

impl Printed {
    /// Adds a cell to the last row, without the little drawings in it.
    pub fn cell(&mut self, text: &str) {
        let drawn = |c: char| matches!(c, '\u{2580}'..='\u{259f}' | '\u{2800}'..='\u{28ff}');
        let text = text.replace(drawn, " ");
        if let Some(row) = self.rows.last_mut() {
            row.push(text.trim().to_owned());
        }
    }

    /// In this form.
    pub fn written(&self, form: Form) -> String {
        match form {
            Form::Text => self.text(),
            Form::Csv => self.csv(),
        }
    }

    fn text(&self) -> String {
        let of = |row: &Vec<String>, at: usize| row.get(at).map_or(0, |cell| cell.width());
        let widths: Vec<usize> = (self.head.iter().enumerate())
            .map(|(at, (title, _))| {
                let cells = self.rows.iter().map(|row| of(row, at));
                cells.max().unwrap_or(0).max(title.width())
            })
            .collect();
        let mut out = String::new();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            let begin = out.len();
            for ((cell, width), (_, right)) in cells.zip(&widths).zip(&self.head) {
                let pad = " ".repeat(width.saturating_sub(cell.width()));
                let (before, behind) = if *right { (pad.as_str(), "") } else { ("", pad.as_str()) };
                // Writing to a String cannot fail.
                write!(out, "{before}{cell}{behind}  ").unwrap_or_default();
            }
            out.truncate(begin + out[begin..].trim_end().len());
            out.push('\n');
        };
        line(&mut self.head.iter().map(|(title, _)| title.as_str()));
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str));
        }
        out
    }

    fn csv(&self) -> String {
        let mut out = String::new();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            for (at, cell) in cells.enumerate() {
                if at > 0 {
                    out.push(',');
                }
                field(&mut out, cell);
            }
            out.push_str("\r\n");
        };
        line(&mut self.head.iter().map(|(title, _)| title.as_str()));
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str));
        }
        out
    }
}

/// A field of CSV. What a spreadsheet would take for a formula becomes a text; a number stays one.
fn field(out: &mut String, text: &str) {
    let formula =
        text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    let quoted = text.contains([',', '"', '\n', '\r']);
    if quoted {
        out.push('"');
    }
    if formula {
        out.push('\'');
    }
    if quoted {
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[&[&str]]) -> Printed {
        let head = vec![("NAME".to_owned(), false), ("CPU".to_owned(), true)];
        let mut printed = Printed { head, rows: Vec::new() };
        for row in rows {
            printed.rows.push(Vec::new());
            row.iter().for_each(|cell| printed.cell(cell));
        }
        printed
    }

    #[test]
    fn text_stands_in_columns_also_with_wide_characters() {
        let text = table(&[&["web1", "9.5"], &["北京", "112.0"]]).written(Form::Text);
        assert_eq!(text, "NAME    CPU\nweb1    9.5\n北京  112.0\n");
    }

    #[test]
    fn csv_quotes_what_needs_it_and_runs_no_formula() {
        let rows: [&[&str]; 6] = [
            &["a,b", "1"],
            &["say \"x\"", "2"],
            &["=HYPERLINK(\"http://x\")", "-5"],
            &["@SUM(1)", "+1 ms"],
            &["-1+1|cmd", "3"],
            &["line\nbreak", "4"],
        ];
        let csv = table(&rows).written(Form::Csv);
        let expected = "NAME,CPU\r\n\"a,b\",1\r\n\"say \"\"x\"\"\",2\r\n\
            \"'=HYPERLINK(\"\"http://x\"\")\",-5\r\n'@SUM(1),'+1 ms\r\n'-1+1|cmd,3\r\n\
            \"line\nbreak\",4\r\n";
        assert_eq!(csv, expected);
    }

    #[test]
    fn bars_and_little_charts_are_left_out() {
        let printed = table(&[&["▓▓▓░░ 44%", "⣀⣤⣶ 3"]]);
        assert_eq!(printed.rows, [["44%", "3"]]);
    }
}
