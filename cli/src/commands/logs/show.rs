//! Turns lines into bytes for standard output. No I/O here.

use super::{Chosen, Stamps};
use crate::commands::exec::pipe::{Piece, To};
use crate::human;
use crate::output::{self, Format, Output, Paint};
use cmdr_link::zone::Zone;
use cmdr_protocol::display::{Filter, clean, clean_to_width};
use cmdr_protocol::human::moment;
use cmdr_protocol::logs::{Kind, Level, Line, TimeFrom, parts};
use data_encoding::BASE64;
use serde::Serialize;
use std::collections::BTreeSet;
use unicode_width::UnicodeWidthStr as _;

/// Colours that tell hosts apart, by turns.
const COLOURS: [&str; 6] = ["\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[31m"];
/// The widest name before a line, in cells.
const WIDEST: usize = 40;

/// How lines are shown.
pub(super) struct Show {
    format: Format,
    terminal: bool,
    colour: bool,
    stamps: Option<Stamps>,
    zone: Zone,
    sources: Vec<Named>,
    first: bool,
}

struct Named {
    host: String,
    id: String,
    source: String,
    /// Before each line; empty where all lines are of one source.
    mark: String,
    journal: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    host: &'a str,
    id: &'a str,
    source: &'a str,
    time: Option<String>,
    time_from: Option<TimeFrom>,
    level: Option<Level>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line_base64: Option<String>,
    context: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    whole_bytes: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    by: &'a str,
}

/// The name of a source in few cells: a file's, or a unit's.
fn short(source: &str) -> &str {
    let (_, name) = parts(source);
    name.rsplit('/').next().unwrap_or(name).trim_end_matches(".service")
}

impl Show {
    pub(super) fn new(out: &Output, chosen: &[Chosen], stamps: Option<Stamps>) -> Self {
        let hosts: BTreeSet<_> = chosen.iter().map(|c| c.target.id).collect();
        let many = hosts.len() < chosen.len();
        let name = |c: &Chosen| match (hosts.len() > 1, many) {
            (true, true) => format!("{} {}", c.target.name, short(&c.source)),
            (true, false) => c.target.name.clone(),
            (false, true) => short(&c.source).to_owned(),
            (false, false) => String::new(),
        };
        let names: Vec<_> = chosen.iter().map(|c| clean_to_width(&name(c), WIDEST)).collect();
        let width = names.iter().map(|name| name.width()).max().unwrap_or(0);
        let order: Vec<_> = hosts.iter().collect();
        let sources = chosen.iter().zip(names).map(|(c, name)| {
            let gap = " ".repeat(width - name.width());
            let turn = if hosts.len() > 1 {
                order.iter().position(|id| **id == c.target.id).unwrap_or(0)
            } else {
                chosen.iter().position(|other| other.source == c.source).unwrap_or(0)
            };
            let mark = match (name.is_empty(), out.colour_out) {
                (true, _) => String::new(),
                (_, true) => format!("{}{name}\x1b[0m{gap} | ", COLOURS[turn % COLOURS.len()]),
                (_, false) => format!("{name}{gap} | "),
            };
            Named {
                host: c.target.name.clone(),
                id: c.target.id.to_string(),
                source: c.source.clone(),
                mark,
                journal: parts(&c.source).0 != Kind::File,
            }
        });
        Self {
            format: out.format,
            terminal: out.tty_out,
            colour: out.colour_out,
            stamps,
            zone: Zone::local(),
            sources: sources.collect(),
            first: true,
        }
    }

    /// What people call a source.
    pub(super) fn name(&self, at: usize) -> String {
        let Named { host, source, .. } = &self.sources[at];
        format!("{host} {}", parts(source).1)
    }

    /// What stands before all lines.
    pub(super) fn begin(&self) -> Piece {
        let bytes = if self.format == Format::Json { b"[".to_vec() } else { Vec::new() };
        Piece { to: To::Stdout, bytes }
    }

    /// What stands behind them.
    pub(super) fn end(&self, out: &mut Vec<u8>) {
        if self.format == Format::Json {
            out.extend(if self.first { &b"]\n"[..] } else { b"\n]\n" });
        }
    }

    /// One line.
    pub(super) fn line(&mut self, at: usize, line: &Line, out: &mut Vec<u8>) {
        match self.format {
            Format::Json => {
                out.extend(if self.first { &b"\n  "[..] } else { b",\n  " });
                let row = self.row(at, line);
                out.extend(row.trim_end().as_bytes());
            }
            Format::Ndjson => out.extend(self.row(at, line).as_bytes()),
            _ => self.text(at, line, out),
        }
        self.first = false;
    }

    fn row(&self, at: usize, line: &Line) -> String {
        let Named { host, id, source, .. } = &self.sources[at];
        let text = std::str::from_utf8(&line.bytes).ok();
        let row = Row {
            host,
            id,
            source,
            time: line.at_ms.map(exact),
            time_from: line.at_ms.map(|_| line.time_from),
            level: Some(line.level).filter(|level| *level != Level::Unknown),
            line: text,
            line_base64: text.is_none().then(|| BASE64.encode(&line.bytes)),
            context: line.context,
            whole_bytes: line.whole,
            by: &line.by,
        };
        // Nothing in it that could fail.
        output::json_line(&row).unwrap_or_default()
    }

    fn text(&mut self, at: usize, line: &Line, out: &mut Vec<u8>) {
        if line.apart && !self.first {
            out.extend(b"--\n");
        }
        let stamp = self.stamp(at, line);
        let Self { sources, terminal, colour, .. } = self;
        let named = &sources[at];
        out.extend(named.mark.as_bytes());
        if !stamp.is_empty() {
            out.extend(Paint::Dim.on(&stamp, *colour).as_bytes());
            out.push(b' ');
        }
        if !line.by.is_empty() {
            let by = clean(line.by.trim_end_matches(".service"));
            out.extend(Paint::Dim.on(&by, *colour).as_bytes());
            out.extend(b": ");
        }
        if *terminal {
            let mut filter = Filter::new();
            let text = filter.push(&line.bytes) + &filter.finish();
            // Without colours the host's are shown as text, too.
            let text = if *colour { text } else { clean(&text).into_owned() };
            out.extend(text.as_bytes());
            if text.contains('\u{1b}') {
                out.extend(b"\x1b[0m");
            }
        } else {
            out.extend(&line.bytes);
        }
        if let Some(whole) = line.whole {
            let cut = format!(" … ({} in all)", human::bytes(whole));
            out.extend(Paint::Dim.on(&cut, *colour).as_bytes());
        }
        out.push(b'\n');
    }

    fn stamp(&mut self, at: usize, line: &Line) -> String {
        let usual = if self.sources[at].journal { Stamps::Local } else { Stamps::None };
        let Some(ms) = line.at_ms else { return String::new() };
        match self.stamps.unwrap_or(usual) {
            Stamps::None => String::new(),
            Stamps::Utc => exact(ms),
            Stamps::Local => {
                let offset = i64::from(self.zone.offset_s((ms / 1000).cast_signed()));
                let local = (ms.cast_signed() + offset * 1000).max(0).cast_unsigned();
                let text = exact(local);
                text.trim_end_matches('Z').replace('T', " ")
            }
        }
    }
}

/// A moment with its milliseconds.
fn exact(ms: u64) -> String {
    let text = moment(ms);
    format!("{}.{:03}Z", text.trim_end_matches('Z'), ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::Target;
    use cmdr_protocol::HostId;
    use cmdr_protocol::hosts::HostState;

    fn chosen(host: u8, source: &str) -> Chosen {
        let (id, name) = (HostId([host; 16]), format!("web{host}"));
        let target = Target { id, name, state: HostState::Online };
        Chosen { target, source: source.into() }
    }

    fn shown(format: Format, tty: bool, chosen: &[Chosen], lines: &[(usize, Line)]) -> String {
        let out = Output {
            format,
            quiet: false,
            verbose: 0,
            tty_out: tty,
            tty_err: tty,
            colour_out: tty,
            colour_err: tty,
        };
        let mut show = Show::new(&out, chosen, None);
        let mut bytes = show.begin().bytes;
        for (at, line) in lines {
            show.line(*at, line, &mut bytes);
        }
        show.end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn line(text: &[u8]) -> Line {
        Line { bytes: text.to_vec(), ..Line::default() }
    }

    #[test]
    fn one_source_into_a_pipe_is_its_bytes() {
        let one = [chosen(1, "file:/var/log/a")];
        let text = shown(Format::Table, false, &one, &[(0, line(b"\x1b[2Jx"))]);
        assert_eq!(text, "\u{1b}[2Jx\n");
    }

    #[test]
    fn on_a_terminal_colours_pass_and_end_with_their_line() {
        let one = [chosen(1, "file:/var/log/a")];
        let text = shown(Format::Table, true, &one, &[(0, line(b"\x1b[31mred\x1b]0;x\x07"))]);
        assert_eq!(text, "\u{1b}[31mred␛]0;x␇\u{1b}[0m\n");
    }

    #[test]
    fn names_stand_before_lines_where_they_tell_something_and_are_aligned() {
        let two = [chosen(1, "file:/var/log/a"), chosen(10, "unit:nginx.service")];
        let text = shown(Format::Table, false, &two, &[(0, line(b"x")), (1, line(b"y"))]);
        assert_eq!(text, "web1  | x\nweb10 | y\n");
        let files = [chosen(1, "file:/var/log/a.log"), chosen(1, "file:/var/log/b")];
        let text = shown(Format::Table, false, &files, &[(1, line(b"y"))]);
        assert_eq!(text, "b     | y\n");
    }

    #[test]
    fn json_is_a_document_and_ndjson_an_object_a_line() {
        let one = [chosen(1, "file:/var/log/a")];
        let at = Line { at_ms: Some(1_795_183_320_123), level: Level::Error, ..line(b"x") };
        let lines = [(0, at), (0, line(b"\xff"))];
        let text = shown(Format::Json, false, &one, &lines);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["time"], "2026-11-20T14:02:00.123Z");
        assert_eq!(value[0]["level"], "error");
        assert_eq!(value[1]["line_base64"], "/w==");
        assert_eq!(shown(Format::Json, false, &one, &[]), "[]\n");
        assert_eq!(shown(Format::Ndjson, false, &one, &lines).lines().count(), 2);
    }

    #[test]
    fn gaps_of_context_and_cut_lines_are_shown() {
        let one = [chosen(1, "file:/var/log/a")];
        let apart = Line { apart: true, ..line(b"b") };
        let cut = Line { whole: Some(40 << 20), ..line(b"c") };
        let text = shown(Format::Table, false, &one, &[(0, line(b"a")), (0, apart), (0, cut)]);
        assert!(text.starts_with("a\n--\nb\nc … (40"), "{text}");
    }
}
