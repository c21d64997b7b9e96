//! The journal, read by its own program as a child that ends with the feed. Its output is bytes from
//! outside like any other: each entry is bounded, and what cannot be read is said.

mod child;
mod entry;

use super::file::{Next, Out};
use super::lines::Splitter;
use super::sieve::{Raw, Sieve, Wanted};
use super::tell::Teller;
use super::times::Times;
use crate::Agent;
use child::Child;
use cmdr_link::clock;
use cmdr_link::service::Feeding;
use cmdr_link::zone::Zone;
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::logs::{
    At, Follow, Gap, GapKind, Input, JournalState, Kind, Line, MAX_LAST, Older, Sift, parts,
};
pub(super) use entry::entry_of;
use std::path::Path;
use std::time::Duration;

/// The longest entry that is read, in bytes of its JSON.
const LONGEST_ENTRY: usize = 1 << 20;
/// Entries looked at, going back, for lines that are wanted.
const FARTHEST: u64 = 500_000;
/// Bytes of lines that are held while going back.
const HELD: usize = 8 << 20;
/// What is written within so long is sent as one.
const TOGETHER: Duration = Duration::from_millis(30);
/// Units that are listed.
const MOST_UNITS: usize = 4000;

const PROGRAMS: [&str; 2] = ["/usr/bin/journalctl", "/bin/journalctl"];

fn program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|program| Path::new(program).is_file())
}

/// Whether this host has a journal that may be read.
pub(super) fn state(agent: &Agent) -> JournalState {
    let here = match &agent.policy().logs.journal {
        Some(dir) => dir.is_dir(),
        None => ["/var/log/journal", "/run/log/journal"].iter().any(|dir| Path::new(dir).is_dir()),
    };
    match agent.policy().logs.units.as_deref() {
        _ if program().is_none() || !here => JournalState::None,
        Some([]) => JournalState::Denied,
        _ => JournalState::Here,
    }
}

/// The units that have written to the journal.
pub(super) async fn units(agent: &Agent) -> Result<(Vec<String>, bool), CallError> {
    let mut child = Child::start(agent, &["-F".into(), "_SYSTEMD_UNIT".into()]).await?;
    let (mut splitter, mut units, mut more) = (Splitter::holding(256), Vec::new(), false);
    let mut buffer = Vec::new();
    while child.read(&mut buffer).await? {
        splitter.push(&buffer, |piece| {
            let unit = String::from_utf8_lossy(piece.bytes).into_owned();
            let may = check_unit(&unit).is_ok() && agent.policy().allows_unit(Some(&unit)).is_ok();
            if may && units.len() < MOST_UNITS {
                units.push(unit);
            } else {
                more |= may;
            }
        });
        buffer.clear();
    }
    units.sort_unstable();
    units.dedup();
    Ok((units, more))
}

/// A unit's name that means one unit.
fn check_unit(unit: &str) -> Result<(), CallError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
    if unit.len() <= 256 && unit.contains('.') && unit.bytes().all(plain) {
        return Ok(());
    }
    Err(CallError::malformed(format!(
        "'{}' is no unit's full name, such as nginx.service",
        clean_to_width(unit, 100)
    )))
}

/// What picks the entries of a source.
fn selection(agent: &Agent, source: &str) -> Result<Vec<String>, CallError> {
    match parts(source) {
        (Kind::Unit, unit) => {
            check_unit(unit)?;
            agent.policy().allows_unit(Some(unit))?;
            Ok(vec![format!("--unit={unit}")])
        }
        (Kind::Journal, "all") => agent.policy().allows_unit(None).map(|()| Vec::new()),
        (Kind::Journal, "kernel") => {
            agent.policy().allows_unit(None).map(|()| vec!["_TRANSPORT=kernel".into()])
        }
        _ => Err(CallError::not_found(format!(
            "there is no source '{}'; the journal's are journal:all, journal:kernel and unit:NAME",
            clean_to_width(source, 100)
        ))),
    }
}

/// A source of the journal, and how it is sifted.
struct Source<'a> {
    agent: &'a Agent,
    selection: Vec<String>,
    since_ms: Option<u64>,
    until_ms: Option<u64>,
    /// Entries say who wrote them, where that is not the source itself.
    by: bool,
}

impl Source<'_> {
    fn sieve(&self, wanted: Wanted) -> Sieve {
        let times = Times::new(Zone::utc(), clock::now_ms());
        Sieve::new(wanted, times, self.since_ms, self.until_ms)
    }

    async fn child(&self, more: &[String]) -> Result<Child, CallError> {
        let mut arguments = vec![
            "--output=json".to_owned(),
            "--all".to_owned(),
            "--output-fields=MESSAGE,PRIORITY,_SYSTEMD_UNIT,SYSLOG_IDENTIFIER,_COMM".to_owned(),
        ];
        arguments.extend_from_slice(more);
        arguments.extend_from_slice(&self.selection);
        Child::start(self.agent, &arguments).await
    }

    /// Sifts one entry, or the beginning of one that is cut; its cursor.
    fn sift(
        &self,
        (piece, cut): (&[u8], bool),
        back: bool,
        sieve: &mut Sieve,
        out: &mut Vec<Line>,
    ) -> Option<String> {
        if cut {
            let words = format!("(an entry of more than {} KiB)", LONGEST_ENTRY >> 10);
            let bytes = words.as_bytes();
            sieve.take(
                Raw { bytes, whole: bytes.len() as u64, told: None, by: "", stderr: false },
                out,
            );
            return None;
        }
        let entry = entry_of(piece)?;
        let from = out.len();
        let raw = Raw {
            bytes: &entry.message,
            whole: entry.message.len() as u64,
            told: Some((entry.at_ms, entry.level)),
            by: if self.by { &entry.by } else { "" },
            stderr: false,
        };
        sieve.take(raw, out);
        entry::split(out, from, back);
        Some(entry.cursor)
    }

    /// The newest lines before a place, the oldest first; where the newest entry and the oldest one that
    /// was looked at are; whether it is the beginning.
    async fn back(
        &self,
        wanted: Wanted,
        before: Option<&str>,
        need: usize,
    ) -> Result<Past, CallError> {
        let mut arguments = vec!["--reverse".to_owned(), "--no-tail".to_owned()];
        if let Some(cursor) = before {
            arguments.push(format!("--cursor={cursor}"));
        }
        let mut child = self.child(&arguments).await?;
        // What comes before stands behind on the way back.
        let mut sieve = self.sieve(wanted.reversed());
        let mut past = Past::default();
        let (mut splitter, mut buffer) = (Splitter::holding(LONGEST_ENTRY), Vec::new());
        let (mut hits, mut held, mut seen) = (0, 0, 0);
        'all: while child.read(&mut buffer).await? {
            let mut entries = Vec::new();
            splitter.push(&buffer, |piece| {
                entries.push((piece.bytes.to_vec(), piece.whole > piece.bytes.len() as u64));
            });
            buffer.clear();
            for (entry, cut) in entries {
                let from = past.lines.len();
                let mut lines = Vec::new();
                let Some(cursor) = self.sift((&entry, cut), true, &mut sieve, &mut lines) else {
                    continue;
                };
                if before == Some(cursor.as_str()) {
                    continue;
                }
                seen += 1;
                past.newest.get_or_insert_with(|| cursor.clone());
                past.oldest = Some(cursor);
                hits += usize::from(lines.iter().any(|line| !line.context));
                held += lines.iter().map(|line| line.bytes.len() + 64).sum::<usize>();
                past.lines.append(&mut lines);
                let too_old = self.since_ms.zip(entry_of(&entry)).is_some_and(|(s, e)| e.at_ms < s);
                if too_old {
                    past.lines.truncate(from);
                    break 'all;
                }
                if hits >= need || held >= HELD || seen >= FARTHEST {
                    if hits < need {
                        let what = format!("{seen} entries");
                        past.gaps.push(Gap { kind: GapKind::Searched, what });
                    }
                    past.lines.reverse();
                    past.seen = seen;
                    return Ok(past);
                }
            }
        }
        sieve.settle(&mut past.lines);
        past.lines.reverse();
        past.seen = seen;
        past.beginning = true;
        Ok(past)
    }
}

/// What going back has found.
#[derive(Default)]
struct Past {
    lines: Vec<Line>,
    gaps: Vec<Gap>,
    newest: Option<String>,
    oldest: Option<String>,
    beginning: bool,
    seen: u64,
}

impl Past {
    fn out(self) -> Out {
        let place = self.newest.clone().map(at);
        let first = self.oldest.clone().map(at);
        let mut lines = self.lines;
        super::tell::turn_marks(&mut lines);
        Out { gaps: self.gaps, lines, seen: self.seen, place, first, ..Out::default() }
    }
}

fn at(cursor: String) -> At {
    At { cursor, ..At::default() }
}

/// Answers a feed of the journal.
pub(super) async fn follow(
    agent: &Agent,
    asked: Follow,
    mut feeding: Feeding<Follow>,
) -> Result<(), CallError> {
    let selection = selection(agent, &asked.source)?;
    if state(agent) == JournalState::None {
        return Err(CallError::not_found(
            "this host has no journal; its logs are files: cmdr logs HOST --sources lists them",
        ));
    }
    let mut wanted = Wanted::new(&asked.filter)?;
    let (since_ms, until_ms) = (asked.since_ms, asked.until_ms);
    let by = parts(&asked.source).0 == Kind::Journal;
    let mut source = Source { agent, selection, since_ms, until_ms, by };
    let mut teller = Teller::new(feeding.sender());
    let mut cursor = asked.from.map(|at| at.cursor).filter(|cursor| !cursor.is_empty());
    let mut need = if cursor.is_some() { None } else { asked.last };
    loop {
        if let Some(last) = need.take() {
            let past = source.back(wanted.clone(), None, last.min(MAX_LAST) as usize).await?;
            cursor = past.newest.clone();
            teller.tell(past.out(), false).await?;
        }
        let (new, again) =
            forward(&mut source, &mut wanted, &mut cursor, asked.follow, &mut feeding, &mut teller)
                .await?;
        need = again;
        if !new {
            return Ok(());
        }
    }
}

/// Reads on from a cursor. Ends with the source, or when lines are to be looked for anew.
async fn forward(
    source: &mut Source<'_>,
    wanted: &mut Wanted,
    cursor: &mut Option<String>,
    follow: bool,
    feeding: &mut Feeding<Follow>,
    teller: &mut Teller,
) -> Result<(bool, Option<u32>), CallError> {
    let mut sieve = source.sieve(wanted.clone());
    let begin = |cursor: &Option<String>, since_ms: Option<u64>| match (cursor, since_ms) {
        (Some(cursor), _) => format!("--after-cursor={cursor}"),
        (None, Some(ms)) => format!("--since=@{}", ms / 1000),
        (None, None) => format!("--since=@{}", clock::now_ms() / 1000),
    };
    // First what is there, so that its end can be told.
    let mut live = cursor.is_none() && source.since_ms.is_none();
    if live && !follow {
        return Ok((false, None));
    }
    let mut first = None;
    loop {
        let mut arguments = vec![begin(cursor, source.since_ms), "--no-tail".to_owned()];
        if live {
            arguments.push("--follow".to_owned());
            teller.caught_up(cursor.clone().map(at)).await?;
        }
        let mut child = source.child(&arguments).await?;
        let (mut splitter, mut buffer) = (Splitter::holding(LONGEST_ENTRY), Vec::new());
        let mut paused = false;
        loop {
            let more = tokio::select! {
                biased;
                input = feeding.input() => {
                    let Input { sift, pause, older } = input?;
                    paused = pause.unwrap_or(paused);
                    if let Some(older) = older {
                        self::older(source, wanted, &older, teller).await?;
                    }
                    if let Some(Sift { filter, number, last }) = sift {
                        *wanted = Wanted::new(&filter)?;
                        sieve.change(wanted.clone());
                        teller.sifted(number);
                        if last.is_some() {
                            return Ok((true, last));
                        }
                    }
                    continue;
                }
                more = child.read(&mut buffer), if !paused => more?,
                () = teller.beat() => {
                    teller.tell(Out::default(), false).await?;
                    continue;
                }
            };
            if more && live && buffer.len() < 4096 {
                // A little more may be on its way.
                tokio::time::sleep(TOGETHER).await;
            }
            let mut out = Out { next: Next::Idle, ..Out::default() };
            splitter.push(&buffer, |piece| {
                let cut = piece.whole > piece.bytes.len() as u64;
                if let Some(at) = source.sift((piece.bytes, cut), false, &mut sieve, &mut out.lines)
                {
                    first.get_or_insert_with(|| at.clone());
                    *cursor = Some(at);
                }
            });
            buffer.clear();
            if !more {
                sieve.settle(&mut out.lines);
            }
            out.seen = sieve.take_seen();
            out.place = cursor.clone().map(at);
            if !out.lines.is_empty() {
                out.first = first.take().map(at);
            }
            teller.tell(out, false).await?;
            if sieve.is_over() {
                return Ok((false, None));
            }
            if !more {
                break;
            }
        }
        if live {
            return Err(CallError::failed(child.why("the journal's reader has ended")));
        }
        if !follow {
            return Ok((false, None));
        }
        live = true;
    }
}

async fn older(
    source: &Source<'_>,
    wanted: &Wanted,
    asked: &Older,
    teller: &mut Teller,
) -> Result<(), CallError> {
    let need = asked.lines.min(MAX_LAST) as usize;
    // Also before the moment that lines were asked from.
    let source = &Source { selection: source.selection.clone(), since_ms: None, ..*source };
    let cursor = Some(asked.before.cursor.as_str()).filter(|cursor| !cursor.is_empty());
    let past = source.back(wanted.clone(), cursor, need).await?;
    let beginning = past.beginning;
    teller.older(past.out()).await?;
    teller.older_end(beginning).await
}
