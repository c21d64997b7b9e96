//! Colours of a line of a configuration file or a script. Each line is looked at by itself and only up to a bound:
//! what stands over several lines (a text in quotes) may be coloured wrong, and nothing is ever slow.

use crate::theme::Role;
use cmdr_protocol::files::FilePath;
use std::ops::Range;

/// Bytes of a line that are looked at.
const LOOKED: usize = 2000;

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::panes) enum Kind {
    Plain,
    Shell,
    Python,
    /// Also units of systemd and TOML.
    Ini,
    Yaml,
    Json,
    Nginx,
    Hosts,
    Crontab,
}

impl Kind {
    /// By its name, else by its first line.
    pub(super) fn of(path: &FilePath, first: &str) -> Self {
        let (name, text) = (path.name(), path.as_str());
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        if first.starts_with("#!") {
            return if first.contains("python") { Self::Python } else { Self::Shell };
        }
        match name {
            "hosts" => return Self::Hosts,
            "crontab" => return Self::Crontab,
            "environment" | ".bashrc" | ".profile" | "profile" => return Self::Shell,
            _ => {}
        }
        if text.contains("/cron.") || text.contains("/cron/") {
            return Self::Crontab;
        }
        if text.contains("/nginx/") {
            return Self::Nginx;
        }
        match ending {
            "sh" | "bash" | "env" => Self::Shell,
            "py" => Self::Python,
            "ini" | "toml" | "cfg" | "service" | "timer" | "socket" | "mount" | "target"
            | "network" | "conf" | "path" | "slice" => Self::Ini,
            "yaml" | "yml" => Self::Yaml,
            "json" => Self::Json,
            _ => Self::Plain,
        }
    }

    const fn comments(self) -> &'static [&'static str] {
        match self {
            Self::Plain | Self::Json => &[],
            Self::Ini => &["#", ";"],
            _ => &["#"],
        }
    }

    const fn keywords(self) -> &'static [&'static str] {
        match self {
            Self::Shell => &[
                "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case",
                "esac", "in", "function", "return", "exit", "export", "local", "set", "trap",
                "shift",
            ],
            Self::Python => &[
                "def", "class", "if", "elif", "else", "for", "while", "in", "not", "and", "or",
                "return", "import", "from", "as", "with", "try", "except", "finally", "raise",
                "pass", "None", "True", "False", "lambda", "yield", "async", "await", "is",
            ],
            Self::Yaml | Self::Json | Self::Ini => {
                &["true", "false", "null", "yes", "no", "on", "off"]
            }
            Self::Nginx => &[
                "server", "location", "upstream", "http", "events", "if", "include", "return",
                "on", "off",
            ],
            _ => &[],
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The pieces of a line that have a colour, in order.
pub(super) fn colours(kind: Kind, line: &str) -> Vec<(Range<usize>, Role)> {
    let line = &line[..line.floor_char_boundary(LOOKED)];
    let mut pieces = Vec::new();
    if kind == Kind::Plain {
        return pieces;
    }
    let trimmed = line.trim_start();
    let begin = line.len() - trimmed.len();
    if kind == Kind::Ini && trimmed.starts_with('[') {
        pieces.push((begin..line.len(), Role::Title));
        return pieces;
    }
    let mut at = begin;
    if let Some(end) = key_end(kind, trimmed) {
        pieces.push((begin..begin + end, Role::Label));
        at = begin + end;
    }
    let mut before = ' ';
    while at < line.len() {
        let rest = &line[at..];
        let Some(c) = rest.chars().next() else { break };
        let starts = |sign: &&&str| rest.starts_with(**sign);
        let (len, role) = if kind.comments().iter().find(starts).is_some()
            && (before.is_whitespace() || matches!(before, ';' | '{' | '}'))
        {
            (rest.len(), Some(Role::Faint))
        } else if matches!(c, '"' | '\'') && kind != Kind::Hosts {
            (quoted(rest, c), Some(Role::Ok))
        } else if c == '$' && matches!(kind, Kind::Shell | Kind::Nginx | Kind::Crontab) {
            let braced = rest.starts_with("${").then(|| rest.find('}')).flatten();
            let word = rest[1..].find(|c| !is_word(c)).map_or(rest.len(), |n| n + 1);
            (braced.map_or(word, |n| n + 1), Some(Role::LineB))
        } else if c.is_ascii_digit() && !is_word(before) {
            let number = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '/' | '%');
            (rest.find(|c| !number(c)).unwrap_or(rest.len()), Some(Role::Info))
        } else if is_word(c) {
            let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let known = !is_word(before) && kind.keywords().contains(&&rest[..len]);
            (len, known.then_some(Role::Accent))
        } else {
            (c.len_utf8(), None)
        };
        let len = len.max(c.len_utf8());
        if let Some(role) = role {
            pieces.push((at..at + len, role));
        }
        before = line[at..at + len].chars().next_back().unwrap_or(' ');
        at += len;
    }
    pieces
}

/// Where the name at the beginning of a line ends, in files of names and values.
fn key_end(kind: Kind, line: &str) -> Option<usize> {
    let sign = match kind {
        Kind::Ini => '=',
        Kind::Yaml => ':',
        Kind::Shell => {
            let end = line.find('=')?;
            return line[..end].chars().all(is_word).then_some(end).filter(|end| *end > 0);
        }
        Kind::Json => {
            let end = quoted(line, '"');
            let key = line.starts_with('"') && line[end..].trim_start().starts_with(':');
            return key.then_some(end);
        }
        _ => return None,
    };
    let end = line.find(sign)?;
    let name = line[..end].trim_end();
    let plain = |c: char| is_word(c) || matches!(c, '-' | '.' | ' ' | '"' | '/');
    (!name.is_empty() && name.chars().all(plain)).then_some(name.len())
}

/// How long a text in quotes is, with them.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (n, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return n + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: Kind, line: &str) -> Vec<(&str, Role)> {
        colours(kind, line).into_iter().map(|(range, role)| (&line[range], role)).collect()
    }

    #[test]
    fn the_kind_of_a_file_is_told_by_its_name_or_its_first_line() {
        let kind = |path: &str, first: &str| Kind::of(&FilePath::parse(path).unwrap(), first);
        assert_eq!(kind("/etc/hosts", ""), Kind::Hosts);
        assert_eq!(kind("/etc/systemd/system/a.service", "[Unit]"), Kind::Ini);
        assert_eq!(kind("/etc/nginx/sites-enabled/default", ""), Kind::Nginx);
        assert_eq!(kind("/etc/cron.d/backup", ""), Kind::Crontab);
        assert_eq!(kind("/opt/run", "#!/usr/bin/env python3"), Kind::Python);
        assert_eq!(kind("/opt/run", "#!/bin/sh"), Kind::Shell);
        assert_eq!(kind("/srv/a.yml", ""), Kind::Yaml);
        assert_eq!(kind("/srv/notes", ""), Kind::Plain);
    }

    #[test]
    fn names_values_and_remarks_have_their_colours() {
        assert_eq!(
            told(Kind::Ini, "ExecStart=/bin/a \"b\" # no"),
            [("ExecStart", Role::Label), ("\"b\"", Role::Ok), ("# no", Role::Faint)]
        );
        assert_eq!(told(Kind::Ini, "[Unit]"), [("[Unit]", Role::Title)]);
        assert_eq!(
            told(Kind::Shell, "if [ $x = 3 ]; then # why"),
            [
                ("if", Role::Accent),
                ("$x", Role::LineB),
                ("3", Role::Info),
                ("then", Role::Accent),
                ("# why", Role::Faint)
            ]
        );
        assert_eq!(told(Kind::Yaml, "  port: 80"), [("port", Role::Label), ("80", Role::Info)]);
        assert_eq!(
            told(Kind::Json, "\"a\": \"b\\\"c\","),
            [("\"a\"", Role::Label), ("\"b\\\"c\"", Role::Ok)]
        );
        assert_eq!(told(Kind::Hosts, "10.0.0.1 db1#no"), [("10.0.0.1", Role::Info)]);
    }

    #[test]
    fn any_line_is_coloured_in_order_and_a_long_one_costs_no_more() {
        for kind in [Kind::Shell, Kind::Python, Kind::Ini, Kind::Yaml, Kind::Json, Kind::Nginx] {
            for line in ["'", "\"\\", "$", "${", "é=节点", "[", ":", "=", "#", "節\"x", "$節"]
            {
                let pieces = colours(kind, line);
                assert!(pieces.windows(2).all(|two| two[0].0.end <= two[1].0.start), "{line}");
                assert!(pieces.iter().all(|(range, _)| line.get(range.clone()).is_some()));
            }
            let long = "x=\"节\" ".repeat(1_000_000);
            assert!(colours(kind, &long).iter().all(|(range, _)| range.end <= LOOKED));
        }
    }
}
