//! Data on standard output, words on standard error. The only file that writes to either, except
//! for the live output of `exec`. Texts from hosts are made harmless here, whatever a verb forgot.

use crate::exit::{Exit, Failure};
use clap::ValueEnum;
use cmdr_protocol::display::{clean, clean_to_width, is_harmful};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use unicode_width::UnicodeWidthStr as _;

/// Why something is not written as a picture.
pub fn no_picture() -> Failure {
    Failure::new(Exit::Usage, "only charts are written as a picture")
        .hint("cmdr chart cpu.busy -o svg")
}

/// How data is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people.
    #[default]
    #[value(alias = "text")]
    Table,
    /// More columns, none cut.
    Wide,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// One YAML document.
    Yaml,
    /// A table for spreadsheets, all columns.
    Csv,
    /// Names alone, one a line.
    Name,
    /// A picture: of charts alone.
    #[value(hide = true)]
    Svg,
}

impl Format {
    /// Whether people read it.
    pub const fn is_table(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }
}

/// A colour with a meaning; the text beside it says the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paint {
    /// None.
    #[default]
    Plain,
    /// All is well.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// Of less weight.
    Dim,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[31m",
            Self::Dim => "\x1b[2m",
        }
    }

    /// The text in this colour, when colours are on.
    pub fn on(self, text: &str, colour: bool) -> String {
        if colour && self != Self::Plain {
            format!("{}{text}\x1b[0m", self.code())
        } else {
            text.to_owned()
        }
    }
}

/// A cell of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    text: String,
    paint: Paint,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), paint: Paint::Plain }
    }
}

impl Cell {
    /// A text in a colour.
    pub fn painted(text: impl Into<String>, paint: Paint) -> Self {
        Self { text: text.into(), paint }
    }
}

/// A column: its head, and how a row fills it.
#[derive(Debug)]
pub struct Column<T> {
    head: Cow<'static, str>,
    wide: bool,
    right: bool,
    cell: fn(&T) -> Cell,
}

impl<T> Column<T> {
    /// A column of texts.
    pub const fn text(head: &'static str, cell: fn(&T) -> Cell) -> Self {
        Self { head: Cow::Borrowed(head), wide: false, right: false, cell }
    }
    /// A column of text whose head is known only now.
    pub const fn named(head: String, cell: fn(&T) -> Cell) -> Self {
        Self { head: Cow::Owned(head), wide: false, right: false, cell }
    }

    /// A column of figures, flush right.
    pub const fn figure(head: &'static str, cell: fn(&T) -> Cell) -> Self {
        Self { head: Cow::Borrowed(head), wide: false, right: true, cell }
    }
    /// Shown with `-o wide` only.
    #[must_use]
    pub const fn wide(mut self) -> Self {
        self.wide = true;
        self
    }
}

/// How standard output and standard error are used.
#[derive(Clone, Debug)]
pub struct Output {
    /// `--output`.
    pub format: Format,
    /// `--quiet`.
    pub quiet: bool,
    /// `--verbose`.
    pub verbose: u8,
    /// Standard output is a terminal.
    pub tty_out: bool,
    /// Standard error is a terminal.
    pub tty_err: bool,
    /// Colours on standard output.
    pub colour_out: bool,
    /// Colours on standard error.
    pub colour_err: bool,
}

/// Whether to use colours: the flag and NO_COLOR, then CLICOLOR_FORCE, then what the stream is.
const fn colours(off: bool, force: bool, terminal: bool) -> bool {
    !off && (force || terminal)
}

impl Output {
    /// As the options and the environment say.
    pub fn new(format: Format, no_color: bool, quiet: bool, verbose: u8) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let force = set("CLICOLOR_FORCE") && std::env::var_os("CLICOLOR_FORCE") != Some("0".into());
        let dumb = std::env::var_os("TERM") == Some("dumb".into());
        let (tty_out, tty_err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let colour = |tty| colours(no_color || set("NO_COLOR"), force, tty && !dumb);
        Self {
            format,
            quiet,
            verbose,
            tty_out,
            tty_err,
            colour_out: colour(tty_out),
            colour_err: colour(tty_err),
        }
    }

    /// Writes data as it is.
    pub fn data(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Writes bytes as they are.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|e| unwritable(&e))
    }

    fn words(line: &str) {
        // Nobody can be told that standard error does not work.
        writeln!(io::stderr().lock(), "{line}").ok();
    }

    /// Tells what is going on; not with `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            Self::words(&clean(text));
        }
    }

    /// Tells, dimly, what may help; not with `--quiet`.
    pub fn hint(&self, text: &str) {
        if !self.quiet {
            Self::words(&Paint::Dim.on(&clean(text), self.colour_err));
        }
    }

    /// Tells details, with `--verbose` only.
    pub fn detail(&self, text: &str) {
        if self.verbose > 0 {
            Self::words(&Paint::Dim.on(&clean(text), self.colour_err));
        }
    }

    /// Tells what went wrong with one of several targets.
    pub fn warn(&self, text: &str) {
        Self::words(&format!("{} {}", Paint::Warn.on("cmdr:", self.colour_err), clean(text)));
    }

    /// Tells why the verb stopped.
    pub fn failure(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        let paint = Paint::Bad.on("cmdr:", self.colour_err);
        Self::words(&format!("{paint} {}", clean(&failure.message)));
        if let Some(hint) = failure.hint.as_ref().filter(|_| !self.quiet) {
            Self::words(&format!("  {}", clean(hint)));
        }
    }

    /// Cells in a line of the terminal; `None` when lines need not be cut.
    fn width(&self) -> Option<usize> {
        if !self.tty_out || self.format == Format::Wide {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|w| *w >= 20)
    }

    /// Cells in a line of the terminal, whatever the format; `None` when it is none.
    pub fn columns(&self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|w| self.tty_out && *w >= 20)
    }

    /// Lines of the terminal.
    pub fn height(&self) -> Option<usize> {
        if !self.tty_out {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
        Some(usize::from(size.ws_row)).filter(|h| *h >= 4)
    }

    /// The text of many rows in the chosen format.
    pub fn render<T: Serialize>(
        &self,
        rows: &[T],
        columns: &[Column<T>],
        name: impl Fn(&T) -> String,
    ) -> Result<String, Failure> {
        Ok(match self.format {
            Format::Table | Format::Wide => {
                table(rows, columns, self.format == Format::Wide, self.colour_out, self.width())
            }
            Format::Json => json(&rows)? + "\n",
            Format::Ndjson => {
                let mut text = String::new();
                for row in rows {
                    text.push_str(&json_line(row)?);
                }
                text
            }
            Format::Yaml => yaml(&rows)?,
            Format::Csv => csv(rows, columns),
            Format::Name => rows.iter().map(|row| clean(&name(row)).into_owned() + "\n").collect(),
            Format::Svg => return Err(no_picture()),
        })
    }

    /// Writes many rows in the chosen format.
    pub fn list<T: Serialize>(
        &self,
        rows: &[T],
        columns: &[Column<T>],
        name: impl Fn(&T) -> String,
    ) -> Result<(), Failure> {
        self.data(&self.render(rows, columns, name)?)
    }

    /// Writes one thing: its fields one a line, or one document.
    pub fn one<T: Serialize>(
        &self,
        value: &T,
        fields: &[(&str, String)],
        name: &str,
    ) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table | Format::Wide => {
                let width = fields.iter().map(|(key, _)| key.width()).max().unwrap_or(0);
                let mut text = String::new();
                for (key, value) in fields {
                    let key = Paint::Dim.on(&format!("{key:width$}"), self.colour_out);
                    writeln!(text, "{key}  {}", clean(value)).ok();
                }
                text
            }
            Format::Json => json(value)? + "\n",
            Format::Ndjson => json_line(value)?,
            Format::Yaml => yaml(value)?,
            Format::Csv => {
                csv_line(fields.iter().map(|(key, _)| *key))
                    + &csv_line(fields.iter().map(|(_, value)| value.as_str()))
            }
            Format::Name => clean(name).into_owned() + "\n",
            Format::Svg => return Err(no_picture()),
        };
        self.data(&text)
    }

    /// Asks before something that cannot be undone. Without a terminal to ask on the answer must
    /// come with `--yes`. `word` is what has to be typed.
    pub async fn confirm(&self, yes: bool, question: &str, word: &str) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !self.tty_err {
            return Err(Failure::usage(format!("{question} Not done without a yes"))
                .hint("there is no terminal to ask on: add --yes"));
        }
        let prompt = format!("{} Type {} to go on: ", clean(question), clean(word));
        // Heartbeats go on while a person thinks.
        let answer = tokio::task::spawn_blocking(move || {
            write!(io::stderr().lock(), "{prompt}")?;
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|_| line)
        })
        .await
        .map_err(|e| Failure::new(Exit::Fault, e.to_string()))??;
        if answer.trim() == word {
            return Ok(());
        }
        Err(Failure::new(Exit::Cancelled, "nothing was done"))
    }
}

/// Why standard output takes nothing more. A reader that has what it wanted, as in `| head -1`, is
/// left without a word, as by every program that SIGPIPE ends.
pub fn unwritable(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::new(Exit::Unread, "");
    }
    Failure::failed(format!("cannot write the output: {}", cmdr_link::files::reason(error)))
}

/// Columns two blanks apart, heads in capitals, no borders. Only the last column is cut to `width`.
fn table<T>(
    rows: &[T],
    columns: &[Column<T>],
    wide: bool,
    colour: bool,
    width: Option<usize>,
) -> String {
    let columns: Vec<_> = columns.iter().filter(|c| wide || !c.wide).collect();
    let cells: Vec<Vec<Cell>> = rows
        .iter()
        .map(|row| {
            let one = |c: &&Column<T>| {
                let mut cell = (c.cell)(row);
                if cell.text.is_empty() {
                    cell.text.push('-');
                }
                if let std::borrow::Cow::Owned(text) = clean(&cell.text) {
                    cell.text = text;
                }
                cell
            };
            columns.iter().map(one).collect()
        })
        .collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let longest = cells.iter().map(|row| row[i].text.width()).max().unwrap_or(0);
            longest.max(c.head.width())
        })
        .collect();
    let last = columns.len().saturating_sub(1);
    let before: usize = widths.iter().take(last).map(|w| w + 2).sum();
    let room = width.map(|w| w.saturating_sub(before).max(8));
    let mut out = String::new();
    let mut line = |texts: &mut dyn Iterator<Item = (String, Paint)>| {
        for (i, (text, paint)) in texts.enumerate() {
            let text = match room {
                Some(room) if i == last => clean_to_width(&text, room),
                _ => text,
            };
            let gap = widths[i].saturating_sub(text.width());
            if columns[i].right {
                out.extend(std::iter::repeat_n(' ', gap));
            }
            out.push_str(&paint.on(&text, colour));
            if i < last {
                let gap = if columns[i].right { 2 } else { gap + 2 };
                out.extend(std::iter::repeat_n(' ', gap));
            }
        }
        out.push('\n');
    };
    line(&mut columns.iter().map(|c| (c.head.to_string(), Paint::Dim)));
    for row in cells {
        line(&mut row.into_iter().map(|cell| (cell.text, cell.paint)));
    }
    out
}

/// A table for spreadsheets: all columns, a line a row whatever stands in it.
pub fn csv<T>(rows: &[T], columns: &[Column<T>]) -> String {
    let mut out = csv_line(columns.iter().map(|column| column.head.as_ref()));
    for row in rows {
        let cells: Vec<_> = columns.iter().map(|column| (column.cell)(row).text).collect();
        out += &csv_line(cells.iter().map(String::as_str));
    }
    out
}

fn csv_line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    let quoted = cells.map(|cell| {
        let cell = clean(cell);
        if cell.contains([',', '"']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell.into_owned()
        }
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}

fn fault(e: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Fault, format!("writing the output: {e}"))
}

/// Escapes what JSON may carry as it is but a terminal may not: DEL, C1 and invisible characters.
fn escape(text: String) -> String {
    if !text.chars().any(|c| c != '\n' && is_harmful(c)) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c != '\n' && is_harmful(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").ok();
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// A JSON document over several lines.
pub fn json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map(escape).map_err(fault)
}

/// A JSON document in one line, with its line end.
pub fn json_line<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map(|text| escape(text) + "\n").map_err(fault)
}

/// A YAML document.
pub fn yaml<T: Serialize>(value: &T) -> Result<String, Failure> {
    let text = serde_saphyr::to_string(value).map_err(fault)?;
    if text.chars().any(|c| c != '\n' && is_harmful(c)) {
        // The writer leaves some characters as they are. JSON is YAML too, and ours escapes them.
        return Ok(json(value)? + "\n");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Serialize)]
    struct Row {
        name: String,
        size: u64,
    }

    const COLUMNS: [Column<Row>; 3] = [
        Column::text("NAME", |r: &Row| r.name.as_str().into()),
        Column::figure("SIZE", |r| Cell::painted(r.size.to_string(), Paint::Warn)),
        Column::text("MORE", |_| "more".into()).wide(),
    ];

    fn output(format: Format) -> Output {
        Output {
            format,
            quiet: false,
            verbose: 0,
            tty_out: false,
            tty_err: false,
            colour_out: false,
            colour_err: false,
        }
    }

    fn rows() -> Vec<Row> {
        vec![Row { name: "节点-1".into(), size: 7 }, Row { name: "a\u{1b}[2J".into(), size: 1234 }]
    }

    fn check(format: Format, expected: &str) {
        let text = output(format).render(&rows(), &COLUMNS, |r| r.name.clone()).unwrap();
        assert_eq!(text, expected, "{format:?}");
    }

    #[test]
    fn a_reader_that_left_is_no_failure_to_tell_and_a_full_disk_is() {
        let failure = unwritable(&io::ErrorKind::BrokenPipe.into());
        assert_eq!((failure.exit.code(), failure.message.as_str()), (141, ""));
        let failure = unwritable(&io::Error::from_raw_os_error(28));
        let words = "cannot write the output: No space left on device";
        assert_eq!((failure.exit.code(), failure.message.as_str()), (1, words));
    }

    #[test]
    fn each_format_shows_the_same_rows() {
        check(Format::Table, "NAME    SIZE\n节点-1     7\na␛[2J   1234\n");
        check(Format::Wide, "NAME    SIZE  MORE\n节点-1     7  more\na␛[2J   1234  more\n");
        check(Format::Name, "节点-1\na␛[2J\n");
        check(
            Format::Ndjson,
            "{\"name\":\"节点-1\",\"size\":7}\n{\"name\":\"a\\u001b[2J\",\"size\":1234}\n",
        );
        check(
            Format::Json,
            "[\n  {\n    \"name\": \"节点-1\",\n    \"size\": 7\n  },\n  {\n    \
             \"name\": \"a\\u001b[2J\",\n    \"size\": 1234\n  }\n]\n",
        );
    }

    #[test]
    fn yaml_is_readable_and_carries_no_control_characters() {
        let text = yaml(&[Row { name: "web1".into(), size: 7 }]).unwrap();
        assert_eq!(text, "- name: web1\n  size: 7\n");
        let hostile = yaml(&rows()).unwrap();
        assert!(!hostile.chars().any(|c| c != '\n' && is_harmful(c)), "{hostile:?}");
    }

    #[test]
    fn an_empty_list_is_a_head_or_an_empty_array() {
        let text = |format| output(format).render(&[], &COLUMNS, |r: &Row| r.name.clone()).unwrap();
        assert_eq!(text(Format::Table), "NAME  SIZE\n");
        assert_eq!(text(Format::Json), "[]\n");
        assert_eq!(text(Format::Ndjson), "");
        assert_eq!(text(Format::Yaml), "[]\n");
    }

    #[test]
    fn only_the_last_column_is_cut_to_the_terminal() {
        let columns = [
            Column::figure("SIZE", |r: &Row| r.size.to_string().into()),
            Column::text("NAME", |r: &Row| r.name.as_str().into()),
        ];
        let rows = [Row { name: "x".repeat(40), size: 1 }];
        let text = table(&rows, &columns, false, false, Some(20));
        assert_eq!(text, format!("SIZE  NAME\n   1  {}…\n", "x".repeat(13)));
    }

    #[test]
    fn colours_obey_the_flag_then_the_environment_then_the_terminal() {
        assert!(colours(false, false, true));
        assert!(colours(false, true, false));
        assert!(!colours(true, true, true));
        assert!(!colours(false, false, false));
    }

    proptest! {
        #[test]
        fn json_reads_back_and_has_no_harmful_character(name in any::<String>()) {
            let text = json_line(&Row { name: name.clone(), size: 1 }).unwrap();
            prop_assert!(!text.trim_end().chars().any(is_harmful));
            let back: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(back["name"].as_str(), Some(name.as_str()));
        }

        #[test]
        fn a_table_has_one_line_a_row_whatever_the_texts(names in prop::collection::vec(any::<String>(), 0..5)) {
            let rows: Vec<_> = names.into_iter().map(|name| Row { name, size: 1 }).collect();
            let text = table(&rows, &COLUMNS, true, false, None);
            prop_assert_eq!(text.lines().count(), rows.len() + 1);
            prop_assert!(!text.chars().any(|c| c != '\n' && is_harmful(c)));
        }
    }
}
