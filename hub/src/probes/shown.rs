//! What operators are told of probes.

use super::{Known, Probes, listed};
use crate::history::source;
use crate::server::Hub;
use cmdr_history::{Aggregate, Line, Over, Query};
use cmdr_link::clock;
use cmdr_probes::{Standing, text};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::probes::{
    Checked, Lately, List, MAX_BLOCKS, Measured, Row, Seen, Shown, Stands, State,
};
use cmdr_protocol::{CallError, HostId};

const MINUTE: i64 = 60_000;
const DAY_MS: u64 = 24 * 60 * 60_000;
/// Happenings that are told of one probe.
const HAPPENED: usize = 50;
/// Texts of one result, names and answers that are kept of it.
const WORDS: usize = 400;
const MANY: usize = 32;

/// A result of an agent that may say anything, as far as it is kept.
pub(super) fn bounded(mut measured: Measured) -> Measured {
    let short = |text: &mut String| *text = clean_to_width(text, WORDS);
    short(&mut measured.why);
    short(&mut measured.address);
    measured.answers.truncate(MANY);
    measured.answers.iter_mut().for_each(short);
    if let Some(certificate) = &mut measured.certificate {
        short(&mut certificate.subject);
        short(&mut certificate.issuer);
        for texts in [&mut certificate.names, &mut certificate.problems] {
            texts.truncate(MANY);
            texts.iter_mut().for_each(short);
        }
    }
    measured
}

/// Shares of time over a day, a week and a month.
fn uptime(known: &Known) -> [Option<u16>; 3] {
    let now = clock::now_ms();
    [1, 7, 30].map(|days| known.past.share(now.saturating_sub(days * DAY_MS), now))
}

/// Why it stands so, in a line.
pub(super) fn why(known: &Known) -> String {
    if let Some(before) = &known.before {
        return before.why.clone();
    }
    let votes = known.standing.votes;
    let said = |up: Option<bool>| {
        let mut looks = known.seen.values();
        looks.find(|look| look.measured.verdict.up() == up).map(|look| look.measured.why.clone())
    };
    let of = |count: u32| format!("{count} of {} agents", votes.answering);
    match known.standing.state {
        State::Down => {
            let what = said(Some(false)).unwrap_or_else(|| "it goes up and down".to_owned());
            format!("{} say it is down: {what}", of(votes.against))
        }
        State::Degraded if votes.against > 0 => format!(
            "{} say it is down, {} have to: {}",
            of(votes.against),
            votes.needed,
            said(Some(false)).unwrap_or_default()
        ),
        State::Degraded if votes.warning > 0 => {
            let mut looks = known.seen.values();
            let warns =
                looks.find(|l| l.measured.verdict == cmdr_protocol::probes::Verdict::Warning);
            warns.map(|look| look.measured.why.clone()).unwrap_or_default()
        }
        State::Degraded => "it went up and down lately".to_owned(),
        State::Up => said(Some(true)).unwrap_or_default(),
        State::Unknown if !known.problem.is_empty() => known.problem.clone(),
        State::Unknown if known.written.off => "it is switched off".to_owned(),
        State::Unknown if known.agents.is_empty() => {
            "no agent that is online is meant by `from`, or those that are have as many probes as they can run".to_owned()
        }
        State::Unknown => {
            let least = known.written.terms.at_least.max(1);
            let why = said(None).map(|why| format!(": {why}")).unwrap_or_default();
            format!("{} agents have answered, at least {least} have to{why}", votes.answering)
        }
    }
}

impl Probes {
    fn row(&self, name: &str, known: &Known) -> Row {
        let (kind, target) = known.written.probe.about();
        let about = self.shelf.get(name).and_then(|record| record.versions.last().cloned());
        let about = about.unwrap_or_default();
        let took = known.seen.values().filter(|look| look.measured.verdict.up() == Some(true));
        let ends = known.seen.values().filter_map(|look| look.measured.certificate.as_ref());
        let Standing { state, since_ms, flapping, votes } = known.standing;
        Row {
            name: name.to_owned(),
            description: known.written.description.clone(),
            kind: kind.to_owned(),
            target,
            from: known.written.from.clone(),
            every_ms: known.written.probe.every_ms,
            off: known.written.off,
            version: about.version,
            saved_ms: about.saved_ms,
            saved_by: about.saved_by,
            problem: known.problem.clone(),
            state,
            since_ms,
            why: why(known),
            flapping,
            answering: votes.answering,
            against: votes.against,
            agents: known.agents.len() as u32,
            took_us: took.max_by_key(|look| look.at_ms).map(|look| look.measured.took_us),
            certificate_ends_ms: ends.map(|certificate| certificate.ends_ms).min(),
            uptime: uptime(known),
            blocks: Vec::new(),
        }
    }

    /// All of them, by name; of each as many parts of a stretch of time as were asked for.
    pub fn all(&self, list: &List) -> Vec<Row> {
        let now = clock::now_ms();
        let (from, blocks) = (now.saturating_sub(list.span_ms), list.blocks.min(MAX_BLOCKS));
        let row = |(name, known): (&String, &Known)| Row {
            blocks: known.past.blocks(from, now, blocks),
            ..self.row(name, known)
        };
        self.lock().known.iter().map(row).collect()
    }

    /// One with its text; what may be secret in that is struck out unless the reader `may_save` it.
    pub fn show(
        &self,
        name: &str,
        version: Option<u64>,
        may_save: bool,
    ) -> Result<Shown, CallError> {
        let (about, text) = self.shelf.text(name, version)?;
        let inner = self.lock();
        let known = inner.known.get(name).ok_or_else(|| self.shelf.missing(name))?;
        let mut probe = self.row(name, known);
        (probe.version, probe.saved_ms) = (about.version, about.saved_ms);
        probe.saved_by = about.saved_by;
        let problems = text::read(&text).err().unwrap_or_default();
        let hidden = if may_save { None } else { text::struck(&text) };
        let struck = hidden.is_some();
        Ok(Shown { probe, note: about.note, text: hidden.unwrap_or(text), struck, problems })
    }

    /// Whether a text is a probe, and how many hosts that are online it is for.
    pub fn check(hub: &Hub, text: &str) -> Checked {
        match text::read(text) {
            Err(problems) => Checked { problems, ..Checked::default() },
            Ok(written) => {
                let known = Known::of(&written.probe.name, text, 0);
                let hosts = hub.fleet.hosts().into_iter().filter(|host| {
                    known.is_for(host) && host.id.is_some_and(|id| hub.fleet.link(id).is_ok())
                });
                let agents = (hosts.count() as u32).min(written.agents);
                Checked { problems: Vec::new(), name: written.probe.name, agents }
            }
        }
    }

    /// What is to be run of a text, or of the newest text of a name, and where.
    pub fn meant(&self, name: &str, text: &str) -> Result<text::Written, CallError> {
        let newest = if text.is_empty() { self.shelf.text(name, None)?.1 } else { text.to_owned() };
        text::read(&newest).map_err(|problems| CallError::malformed(listed(&problems)))
    }

    /// How one stands, with what each agent says; `sees` says of which hosts the reader may know.
    pub fn stands(
        &self,
        hub: &Hub,
        name: &str,
        sees: impl Fn(HostId) -> bool,
    ) -> Result<(Stands, Vec<HostId>), CallError> {
        let inner = self.lock();
        let known = inner.known.get(name).ok_or_else(|| self.shelf.missing(name))?;
        let mut agents: Vec<Seen> = Vec::new();
        for id in known.agents.iter().filter(|id| sees(**id)) {
            let look = known.seen.get(id);
            agents.push(Seen {
                host: Some(*id),
                name: hub.fleet.name(*id).unwrap_or_default(),
                online: hub.fleet.link(*id).is_ok(),
                at_ms: look.map_or(0, |look| look.at_ms),
                failures: known.quorum.failures(id),
                measured: look.map(|look| look.measured.clone()).unwrap_or_default(),
            });
        }
        agents.sort_by(|a, b| a.name.cmp(&b.name));
        let ran = known.agents.iter().copied().collect();
        let probe = self.row(name, known);
        let (uptime, happened) = (probe.uptime, known.past.happened(HAPPENED));
        Ok((Stands { probe, agents, uptime, happened, ..Stands::default() }, ran))
    }
}

/// The last hour, by minutes. It may wait for a disk.
pub(crate) fn lately(hub: &Hub, name: &str, agents: &[HostId]) -> Vec<Lately> {
    let Ok(store) = hub.history.store() else { return Vec::new() };
    let now = clock::now_ms().cast_signed();
    let ask = |figure: &str| {
        let query = Query {
            sources: agents.iter().map(|id| source(*id)).collect(),
            names: vec![format!("{figure}{{{name}}}")],
            from_ms: now - 60 * MINUTE,
            to_ms: now + MINUTE,
            step_ms: MINUTE,
            aggregate: Aggregate::Mean,
            over: Over::Mean,
        };
        let lines = store.query(&query).map(|answer| answer.lines).unwrap_or_default();
        lines.into_iter().next().map(|line: Line| line.points).unwrap_or_default()
    };
    let took = ask("probe.time");
    let minute = |(at, up): (i64, f64)| Lately {
        at_ms: at.unsigned_abs(),
        took_us: took.iter().find(|(t, _)| *t == at).map(|(_, s)| (s * 1e6) as u64),
        up: Some((up * 10.0).round() as u16),
    };
    ask("probe.up").into_iter().map(minute).collect()
}
