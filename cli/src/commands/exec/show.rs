//! Turns what happens on the hosts into bytes for standard output and standard error. No I/O here.

use super::lines::Lines;
use super::pipe::{Piece, To};
use super::report::Report;
use super::target::{End, Event};
use crate::connect::Target;
use crate::output::{self, Format, Output};
use cmdr_protocol::display::{Filter, clean};
use data_encoding::BASE64;
use serde::Serialize;

/// Output of all hosts together that a JSON document holds in memory, in bytes.
const KEPT: usize = 256 << 20;

/// Colours that tell hosts apart, by turns.
const COLOURS: [&str; 6] = ["\x1b[36m", "\x1b[33m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[31m"];

/// How events are shown.
#[derive(Debug)]
pub(super) enum Show {
    /// One host: bytes as they are; a terminal gets them made harmless.
    Raw { stdout: Option<Filter>, stderr: Option<Filter> },
    /// Many hosts: marked lines.
    Marked(Vec<[Lines; 2]>),
    /// One JSON object for each event.
    Events(Vec<Speaker>),
    /// One document at the end.
    Document { format: Format, kept: Vec<Kept>, room: usize },
}

/// Who speaks in an event, and bytes of a character whose rest has not come yet.
#[derive(Debug)]
pub(super) struct Speaker {
    host: String,
    id: String,
    held: [Vec<u8>; 2],
    over: bool,
}

/// What a host wrote.
#[derive(Debug, Default)]
pub(super) struct Kept {
    streams: [Vec<u8>; 2],
    truncated: bool,
}

#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    host: &'a str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(flatten)]
    output: Texts,
    #[serde(flatten)]
    end: Option<&'a End>,
}

#[derive(Serialize)]
struct Result<'a> {
    host: &'a str,
    id: String,
    #[serde(flatten)]
    end: End,
    #[serde(flatten)]
    output: Texts,
    truncated: bool,
}

/// Output as text, or as base64 where it is none.
#[derive(Default, Serialize)]
struct Texts {
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_base64: Option<String>,
}

impl Texts {
    fn put(&mut self, stream: usize, bytes: Vec<u8>) {
        let (text, base64) = match String::from_utf8(bytes) {
            Ok(text) => (Some(text), None),
            Err(e) => (None, Some(BASE64.encode(e.as_bytes()))),
        };
        if stream == 0 {
            (self.stdout, self.stdout_base64) = (text, base64);
        } else {
            (self.stderr, self.stderr_base64) = (text, base64);
        }
    }
}

impl Show {
    pub(super) fn new(out: &Output, targets: &[Target]) -> Self {
        match out.format {
            Format::Ndjson => Self::Events(
                targets
                    .iter()
                    .map(|t| Speaker {
                        host: t.name.clone(),
                        id: t.id.to_string(),
                        held: Default::default(),
                        over: false,
                    })
                    .collect(),
            ),
            Format::Json | Format::Yaml => Self::Document {
                format: out.format,
                kept: targets.iter().map(|_| Kept::default()).collect(),
                room: KEPT,
            },
            _ if targets.len() == 1 => Self::Raw {
                stdout: out.tty_out.then(Filter::new),
                stderr: out.tty_err.then(Filter::new),
            },
            _ => Self::Marked(
                targets
                    .iter()
                    .enumerate()
                    .map(|(at, t)| {
                        [
                            Lines::new(&mark(&t.name, at, out.colour_out), out.tty_out),
                            Lines::new(&mark(&t.name, at, out.colour_err), out.tty_err),
                        ]
                    })
                    .collect(),
            ),
        }
    }

    /// What to write now.
    pub(super) fn on(&mut self, at: usize, event: &Event) -> Vec<Piece> {
        let stream = match event {
            Event::Stdout(bytes) => Some((0, bytes)),
            Event::Stderr(bytes) => Some((1, bytes)),
            _ => None,
        };
        match self {
            Self::Raw { stdout, stderr } => match (stream, event) {
                (Some((n, bytes)), _) => {
                    let filter = if n == 0 { stdout } else { stderr };
                    let bytes = match filter {
                        Some(filter) => filter.push(bytes).into_bytes(),
                        None => bytes.clone(),
                    };
                    vec![piece(n, bytes)]
                }
                (None, Event::End(_)) => [stdout, stderr]
                    .into_iter()
                    .enumerate()
                    .filter_map(|(n, f)| f.as_mut().map(|f| piece(n, f.finish().into_bytes())))
                    .collect(),
                _ => Vec::new(),
            },
            Self::Marked(hosts) => match (stream, event) {
                (Some((n, bytes)), _) => vec![piece(n, hosts[at][n].push(bytes))],
                (None, Event::End(_)) => (0..2).map(|n| piece(n, hosts[at][n].finish())).collect(),
                _ => Vec::new(),
            },
            Self::Events(hosts) => hosts[at].tell(event, stream),
            Self::Document { kept, room, .. } => {
                if let Some((n, bytes)) = stream {
                    let fits = bytes.len().min(*room);
                    kept[at].streams[n].extend_from_slice(&bytes[..fits]);
                    kept[at].truncated |= fits < bytes.len();
                    *room -= fits;
                }
                Vec::new()
            }
        }
    }

    /// What to write when all targets have ended.
    pub(super) fn finish(self, report: &Report) -> Vec<Piece> {
        match self {
            Self::Document { format, kept, .. } => {
                let results: Vec<_> = report
                    .all()
                    .zip(kept)
                    .map(|((target, end), kept)| {
                        let mut output = Texts::default();
                        for (n, bytes) in kept.streams.into_iter().enumerate() {
                            output.put(n, bytes);
                        }
                        let id = target.id.to_string();
                        Result { host: &target.name, id, end, output, truncated: kept.truncated }
                    })
                    .collect();
                let text = match format {
                    Format::Yaml => output::yaml(&results),
                    _ => output::json(&results).map(|text| text + "\n"),
                };
                // Writing a document of texts into memory has nothing that could fail.
                text.map(|text| vec![piece(0, text.into_bytes())]).unwrap_or_default()
            }
            // A host that was cancelled has told no end of its own.
            Self::Events(hosts) => hosts
                .into_iter()
                .zip(report.all())
                .filter(|(host, _)| !host.over)
                .flat_map(|(mut host, (_, end))| host.tell(&Event::End(end), None))
                .collect(),
            Self::Marked(hosts) => hosts
                .into_iter()
                .flat_map(|mut streams| [0, 1].map(|n| piece(n, streams[n].finish())))
                .collect(),
            Self::Raw { .. } => Vec::new(),
        }
    }
}

impl Speaker {
    fn tell(&mut self, event: &Event, stream: Option<(usize, &Vec<u8>)>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        match (event, stream) {
            (_, Some((n, bytes))) => {
                let mut bytes = [std::mem::take(&mut self.held[n]).as_slice(), bytes].concat();
                if let Err(e) = std::str::from_utf8(&bytes)
                    && e.error_len().is_none()
                {
                    // The chunk ends within a character: its rest comes with the next.
                    self.held[n] = bytes.split_off(e.valid_up_to());
                }
                if !bytes.is_empty() {
                    pieces.push(self.output(n, bytes));
                }
            }
            (Event::Start(pid), _) => {
                pieces.push(self.object("start", Some(*pid), Texts::default(), None));
            }
            (Event::End(end), _) => {
                self.over = true;
                for n in 0..2 {
                    let held = std::mem::take(&mut self.held[n]);
                    if !held.is_empty() {
                        pieces.push(self.output(n, held));
                    }
                }
                pieces.push(self.object("end", None, Texts::default(), Some(end)));
            }
            _ => {}
        }
        pieces
    }

    fn output(&self, stream: usize, bytes: Vec<u8>) -> Piece {
        let mut texts = Texts::default();
        texts.put(stream, bytes);
        self.object("output", None, texts, None)
    }

    fn object(
        &self,
        event: &'static str,
        pid: Option<u32>,
        output: Texts,
        end: Option<&End>,
    ) -> Piece {
        let told = Told { event, host: &self.host, id: &self.id, pid, output, end };
        // As above: nothing in it that could fail.
        piece(0, output::json_line(&told).unwrap_or_default().into_bytes())
    }
}

fn piece(stream: usize, bytes: Vec<u8>) -> Piece {
    Piece { to: if stream == 0 { To::Stdout } else { To::Stderr }, bytes }
}

fn mark(name: &str, at: usize, colour: bool) -> String {
    let name = clean(name);
    if colour { format!("{}{name}\x1b[0m", COLOURS[at % COLOURS.len()]) } else { name.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::exec::target::State;
    use cmdr_protocol::HostId;
    use cmdr_protocol::hosts::HostState;

    fn output(format: Format, tty: bool) -> Output {
        Output {
            format,
            quiet: false,
            verbose: 0,
            tty_out: tty,
            tty_err: tty,
            colour_out: false,
            colour_err: false,
        }
    }

    fn targets(n: u8) -> Vec<Target> {
        (0..n)
            .map(|i| Target {
                id: HostId([i; 16]),
                name: format!("web{i}"),
                state: HostState::Online,
            })
            .collect()
    }

    fn ok() -> End {
        End {
            state: State::Ok,
            code: Some(0),
            signal: None,
            took_ms: Some(7),
            error: None,
            not_started: None,
        }
    }

    fn text(pieces: Vec<Piece>) -> String {
        let bytes: Vec<u8> = pieces.into_iter().flat_map(|p| p.bytes).collect();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn one_host_into_a_pipe_is_passed_byte_by_byte() {
        let mut show = Show::new(&output(Format::Table, false), &targets(1));
        let bytes = b"\x1b[2J\xff\x00partial".to_vec();
        let pieces = show.on(0, &Event::Stderr(bytes.clone()));
        assert_eq!(pieces, [Piece { to: To::Stderr, bytes }]);
    }

    #[test]
    fn one_host_on_a_terminal_cannot_steer_it() {
        let mut show = Show::new(&output(Format::Table, true), &targets(1));
        let out = text(show.on(0, &Event::Stdout(b"\x1b[2J\x1b[31mred\x1b[".to_vec())));
        assert_eq!(out, "␛[2J\x1b[31mred");
        assert_eq!(text(show.on(0, &Event::End(ok()))), "␛[");
    }

    #[test]
    fn lines_of_many_hosts_never_mix() {
        let mut show = Show::new(&output(Format::Table, false), &targets(2));
        let mut out = text(show.on(0, &Event::Stdout(b"a".to_vec())));
        out += &text(show.on(1, &Event::Stdout(b"b\n".to_vec())));
        out += &text(show.on(0, &Event::Stdout(b"a\nrest".to_vec())));
        out += &text(show.on(0, &Event::End(ok())));
        assert_eq!(out, "web1 | b\nweb0 | aa\nweb0 | rest\n");
    }

    #[test]
    fn events_carry_text_or_base64_and_characters_stay_whole() {
        let mut show = Show::new(&output(Format::Ndjson, false), &targets(1));
        let id = HostId([0; 16]).to_string();
        let node = "节".as_bytes();
        let mut out = text(show.on(0, &Event::Start(42)));
        out += &text(show.on(0, &Event::Stdout(node[..2].to_vec())));
        out += &text(show.on(0, &Event::Stdout(node[2..].to_vec())));
        out += &text(show.on(0, &Event::Stderr(vec![0xff])));
        out += &text(show.on(0, &Event::End(ok())));
        let head = format!("\"host\":\"web0\",\"id\":\"{id}\"");
        let expected = format!(
            "{{\"event\":\"start\",{head},\"pid\":42}}\n\
             {{\"event\":\"output\",{head},\"stdout\":\"节\"}}\n\
             {{\"event\":\"output\",{head},\"stderr_base64\":\"/w==\"}}\n\
             {{\"event\":\"end\",{head},\"state\":\"ok\",\"code\":0,\"signal\":null,\"took_ms\":7,\
             \"error\":null}}\n"
        );
        assert_eq!(out, expected);
    }

    #[test]
    fn a_document_has_every_host_with_its_output_and_end() {
        let mut show = Show::new(&output(Format::Json, false), &targets(2));
        let mut report = Report::new(targets(2));
        assert!(show.on(0, &Event::Stdout(b"out\x1b".to_vec())).is_empty());
        report.ended(0, ok());
        report.ended(1, End::error(State::Unreachable, "away"));
        let out = text(show.finish(&report));
        assert!(!out.contains('\u{1b}'));
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        let (zero, one) = (HostId([0; 16]).to_string(), HostId([1; 16]).to_string());
        assert_eq!(
            value,
            serde_json::json!([
                {"host": "web0", "id": zero, "state": "ok", "code": 0, "signal": null, "took_ms": 7,
                 "error": null, "stdout": "out\u{1b}", "stderr": "", "truncated": false},
                {"host": "web1", "id": one, "state": "unreachable", "code": null, "signal": null,
                 "took_ms": null, "error": "away", "stdout": "", "stderr": "", "truncated": false},
            ])
        );
    }

    #[test]
    fn a_flood_does_not_fill_the_memory_of_a_document() {
        let mut show =
            Show::Document { format: Format::Json, kept: vec![Kept::default()], room: 5 };
        show.on(0, &Event::Stdout(b"12345678".to_vec()));
        show.on(0, &Event::Stdout(b"9".to_vec()));
        let Show::Document { kept, .. } = &show else { unreachable!() };
        assert_eq!((kept[0].streams[0].as_slice(), kept[0].truncated), (&b"12345"[..], true));
    }
}
