//! The log of a container, as its engine has kept it. The engine tells when each line was written and nothing else that one
//! could go on from: a place is the time of the newest line, and how many lines have it.

mod cut;
mod kept;

use super::file::Out;
use super::sieve::{Raw, Sieve, Wanted};
use super::tell::Teller;
use super::times::Times;
use crate::Agent;
use crate::engine::told;
use crate::inside::{self, line};
use bollard::query_parameters::ListContainersOptions;
use cmdr_link::clock;
use cmdr_link::service::Feeding;
use cmdr_link::zone::Zone;
use cmdr_protocol::CallError;
use cmdr_protocol::inside::{CONTAINER, check_container};
use cmdr_protocol::logs::{
    At, Follow, Gap, GapKind, Input, Kind, Line, MAX_LAST, Older, Sift, Source,
};
use cmdr_protocol::selector::glob;
use cut::{Cutter, Place, Written};
use futures::FutureExt as _;
use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What the patterns of containers begin with.
pub(super) const PREFIX: &str = CONTAINER;
/// Lines looked at, going back, for lines that are wanted.
const FARTHEST: u32 = 500_000;
/// Bytes of lines that are held while going back.
const HELD: usize = 8 << 20;
/// Bytes of lines that are sent together, when so many are there.
const TOGETHER: usize = 64 << 10;
/// Containers that are listed.
const MOST: usize = 4000;
/// An engine that does not answer is left out of a list.
const PATIENCE: Duration = Duration::from_secs(3);

/// The containers of this host, as far as one of the patterns means them.
pub(super) async fn all(agent: &Agent, patterns: &[String]) -> (Vec<Source>, bool) {
    let asking = async {
        let engine = agent.engine().await.ok()?;
        let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
        engine.list_containers(Some(options)).await.ok()
    };
    let found = timeout(PATIENCE, asking).await.ok().flatten().unwrap_or_default();
    let mut names: Vec<String> = found
        .into_iter()
        .filter_map(|container| own_name(container.names?))
        .map(|name| format!("{CONTAINER}{name}"))
        .filter(|name| patterns.is_empty() || patterns.iter().any(|pattern| glob(pattern, name)))
        .filter(|name| agent.policy().allows_container_log(&name[CONTAINER.len()..]).is_ok())
        .collect();
    names.sort_unstable();
    let more = names.len() > MOST;
    names.truncate(MOST);
    let source = |source| Source { source, kind: Kind::Container, ..Source::default() };
    (names.into_iter().map(source).collect(), more)
}

/// A container's own name among those that it has, which others give it too.
fn own_name(names: Vec<String>) -> Option<String> {
    let mut names = names.into_iter().filter_map(|name| Some(name.strip_prefix('/')?.to_owned()));
    names.find(|name| check_container(name).is_ok())
}

/// A log, and how it is asked for.
struct Log<'a> {
    agent: &'a Agent,
    /// The whole one.
    id: String,
    attempted: String,
    since_ms: Option<u64>,
    until_ms: Option<u64>,
    container: inside::Container,
}

/// What an answer is read from.
enum Body {
    Engine(Incoming),
    /// The engine's own files.
    Kept(mpsc::Receiver<std::io::Result<Bytes>>),
}

/// From where on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// Behind a place.
    Place(Place),
    /// So many of the newest.
    Newest(u32),
    /// All, as far as the log is asked for.
    All,
}

/// Answers a feed of a container's log.
pub(super) async fn follow(
    agent: &Agent,
    name: String,
    asked: Follow,
    mut feeding: Feeding<Follow>,
) -> Result<(), CallError> {
    let mut wanted = Wanted::new(&asked.filter)?;
    let log = Log::find(agent, &name, &asked).await?;
    let mut teller = Teller::new(feeding.sender());
    let mut at = None;
    if let Some(from) = &asked.from {
        at = Place::parse(&from.cursor, &log.id);
        if at.is_none() {
            // Another container has the name now.
            let gap = Gap { kind: GapKind::Missed, what: String::new() };
            teller.tell(Out { gaps: vec![gap], ..Out::default() }, false).await?;
        }
    }
    let mut need = if asked.from.is_some() { None } else { asked.last };
    let mut nothing = asked.from.is_none() && asked.last.is_none() && asked.since_ms.is_none();
    loop {
        let mut from = at.map_or(Begin::All, Begin::Place);
        if let Some(last) = need.take() {
            let last = last.min(MAX_LAST);
            from = Begin::Newest(last);
            if !wanted.is_open() && last > 0 {
                let past = log.back(wanted.clone(), None, last as usize).await?;
                from = Begin::Place(past.newest);
                teller.tell(past.out(&log.id), false).await?;
            }
        } else if nothing {
            from = Begin::Newest(0);
        }
        nothing = false;
        let mut reading =
            Reading { log: &log, wanted: &mut wanted, feeding: &mut feeding, teller: &mut teller };
        let then = reading.forward(from, asked.follow).await?;
        let Some((place, last)) = then else { return Ok(()) };
        (at, need) = (Some(place), Some(last));
    }
}

impl<'a> Log<'a> {
    async fn find(agent: &'a Agent, name: &str, asked: &Follow) -> Result<Self, CallError> {
        let attempted = format!("read the log of the container {name}");
        let found = inside::container(agent, &attempted, name).await?;
        agent.policy().allows_container_log(found.name())?;
        let id = found.id.clone();
        let (since_ms, until_ms) = (asked.since_ms, asked.until_ms);
        Ok(Self { agent, id, attempted, since_ms, until_ms, container: found })
    }

    fn sieve(&self, wanted: Wanted) -> Sieve {
        let times = Times::new(Zone::utc(), clock::now_ms());
        Sieve::new(wanted, times, self.since_ms, self.until_ms)
    }

    /// Asks the engine for lines.
    async fn ask(&self, from: Begin, follow: bool) -> Result<Body, CallError> {
        if from == Begin::All
            && !follow
            && let Some(files) = kept::open(&self.container)
        {
            return Ok(Body::Kept(kept::read(files, self.container.has_terminal())));
        }
        let mut path = format!("/containers/{}/logs?stdout=1&stderr=1&timestamps=1", self.id);
        let seconds = |ms: u64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let mut since = self.since_ms.map(seconds);
        match from {
            Begin::Place(place) => since = Some(place.seconds()),
            Begin::Newest(count) => path.extend(["&tail=", &count.to_string()]),
            Begin::All => {}
        }
        for (name, moment) in [("since", since), ("until", self.until_ms.map(seconds))] {
            if let Some(moment) = moment {
                path.extend(["&", name, "=", &moment]);
            }
        }
        if follow {
            path += "&follow=1";
        }
        let stream = line::stream(&self.agent.config().docker_socket, &path).await;
        stream.map(Body::Engine).map_err(|e| told(&self.attempted, &e))
    }

    /// What is cut into lines.
    fn cutter(&self, from: Begin) -> Cutter {
        let place = match from {
            Begin::Place(place) => place,
            Begin::Newest(_) | Begin::All => Place::default(),
        };
        Cutter::new(self.container.has_terminal(), place)
    }

    /// Reads all there is before a place, and keeps the newest lines that are wanted.
    async fn back(
        &self,
        wanted: Wanted,
        before: Option<Place>,
        need: usize,
    ) -> Result<Past, CallError> {
        // How many of the newest stand before a place is not known.
        let from = if before.is_some() { Begin::All } else { Begin::Newest(FARTHEST) };
        let mut body = self.ask(from, false).await?;
        let (mut cutter, mut sieve) = (self.cutter(from), self.sieve(wanted));
        let mut past = Past { need, ..Past::default() };
        let mut over = false;
        let mut found = Vec::new();
        while let Some(bytes) = self.next(&mut body).await? {
            cutter.push(&bytes, |written| {
                over |= before.is_some_and(|before| written.before >= before);
                if !over {
                    sieve.take(raw(&written), &mut found);
                    past.take(&written, &mut found);
                }
            });
            past.cut();
            if over {
                break;
            }
        }
        if !over {
            cutter.finish(|written| {
                sieve.take(raw(&written), &mut found);
                past.take(&written, &mut found);
            });
        }
        sieve.settle(&mut found);
        past.keep(&mut found, past.newest);
        past.cut();
        // One that was looked through from its first line on has none before.
        past.beginning =
            past.left_out == 0 && (before.is_some() || past.seen < u64::from(FARTHEST));
        Ok(past)
    }

    async fn next(&self, body: &mut Body) -> Result<Option<Bytes>, CallError> {
        let body = match body {
            Body::Engine(body) => body,
            Body::Kept(pieces) => {
                let piece = pieces.recv().await.transpose();
                return piece.map_err(|e| CallError::failed(format!("{}: {e}", self.attempted)));
            }
        };
        loop {
            match body.frame().await.transpose() {
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Err(e) => {
                    return Err(CallError::lost(format!(
                        "{}: the Docker engine broke it off: {e}",
                        self.attempted
                    )));
                }
            }
        }
    }
}

fn raw<'w>(written: &Written<'w>) -> Raw<'w> {
    Raw {
        bytes: written.bytes,
        whole: written.whole,
        told: written.at_ms.map(|ms| (ms, super::level_of(written.bytes))),
        by: "",
        stderr: written.stderr,
    }
}

/// What going back has found.
#[derive(Debug, Default)]
struct Past {
    need: usize,
    /// Each with where it begins; of one that stands beside another, where that does.
    lines: VecDeque<(Line, Place)>,
    hits: usize,
    held: usize,
    left_out: u64,
    newest: Place,
    oldest: Option<Place>,
    beginning: bool,
    seen: u64,
}

impl Past {
    /// A line was looked at, and so much was found.
    fn take(&mut self, written: &Written<'_>, found: &mut Vec<Line>) {
        self.newest = written.after;
        self.oldest.get_or_insert(written.before);
        self.seen += 1;
        self.keep(found, written.before);
    }

    fn keep(&mut self, found: &mut Vec<Line>, at: Place) {
        for line in found.drain(..) {
            self.hits += usize::from(!line.context);
            self.held += line.bytes.len() + 64;
            self.lines.push_back((line, at));
        }
    }

    /// Keeps no more than is needed.
    fn cut(&mut self) {
        while self.hits > self.need || self.held > HELD {
            let Some((line, _)) = self.lines.pop_front() else { return };
            self.hits -= usize::from(!line.context);
            self.held -= line.bytes.len() + 64;
            self.left_out += 1;
        }
    }

    fn out(self, id: &str) -> Out {
        let first = match self.lines.front() {
            Some((_, place)) if self.left_out > 0 => Some(*place),
            _ => self.oldest,
        };
        let lines: Vec<Line> = self.lines.into_iter().map(|(line, _)| line).collect();
        let mut gaps = Vec::new();
        if !self.beginning && self.left_out == 0 {
            let what = format!("{} lines", self.seen);
            gaps.push(Gap { kind: GapKind::Searched, what });
        }
        let at = |place: Place| At { cursor: place.cursor(id), ..At::default() };
        Out {
            gaps,
            lines,
            seen: self.seen,
            place: Some(at(self.newest)),
            first: first.map(at),
            ..Out::default()
        }
    }
}

/// Reads on.
struct Reading<'r, 'a> {
    log: &'r Log<'a>,
    wanted: &'r mut Wanted,
    feeding: &'r mut Feeding<Follow>,
    teller: &'r mut Teller,
}

impl Reading<'_, '_> {
    /// Reads to the end of what is there, and then what is written. Ends with the log, or says that so many of the newest
    /// are to be looked for.
    async fn forward(
        &mut self,
        mut from: Begin,
        follow: bool,
    ) -> Result<Option<(Place, u32)>, CallError> {
        let mut sieve = self.log.sieve(self.wanted.clone());
        let mut first = true;
        for live in [false, true] {
            // Of what is not wanted, none is asked for.
            let skips = from == Begin::Newest(0) && !live;
            let mut cutter = self.log.cutter(from);
            if !skips {
                let mut body = self.log.ask(from, live).await?;
                let again = self.read(&mut body, &mut cutter, &mut sieve, &mut first, live).await?;
                if again.is_some() {
                    return Ok(again);
                }
            }
            let place = cutter.place();
            if !live {
                let at = At { cursor: place.cursor(&self.log.id), ..At::default() };
                self.teller.caught_up((place != Place::default()).then_some(at)).await?;
            }
            if !follow || sieve.is_over() {
                return Ok(None);
            }
            if !skips {
                from = if place == Place::default() { Begin::All } else { Begin::Place(place) };
            }
        }
        Ok(None)
    }

    /// Reads one answer to its end.
    async fn read(
        &mut self,
        body: &mut Body,
        cutter: &mut Cutter,
        sieve: &mut Sieve,
        first: &mut bool,
        live: bool,
    ) -> Result<Option<(Place, u32)>, CallError> {
        let (mut paused, mut out, mut held) = (false, Out::default(), 0);
        loop {
            // What is there already goes together.
            let ready = if paused { None } else { self.log.next(body).now_or_never() };
            let bytes = match ready {
                Some(bytes) => bytes?,
                None if live && !out.lines.is_empty() => {
                    self.tell(&mut out, &mut held, cutter, sieve).await?;
                    continue;
                }
                None => tokio::select! {
                    biased;
                    input = self.feeding.input() => {
                        let Input { sift, pause, older } = input?;
                        paused = pause.unwrap_or(paused);
                        if let Some(older) = older {
                            self.older(&older).await?;
                        }
                        if let Some(Sift { filter, number, last }) = sift {
                            self.tell(&mut out, &mut held, cutter, sieve).await?;
                            *self.wanted = Wanted::new(&filter)?;
                            sieve.change(self.wanted.clone());
                            self.teller.sifted(number);
                            if let Some(last) = last {
                                return Ok(Some((cutter.place(), last)));
                            }
                            self.teller.tell(Out::default(), false).await?;
                        }
                        continue;
                    }
                    bytes = self.log.next(body), if !paused => bytes?,
                    () = self.teller.beat() => {
                        self.tell(&mut out, &mut held, cutter, sieve).await?;
                        continue;
                    }
                },
            };
            let before = out.lines.len();
            let mut begins = None;
            let mut take = |written: Written<'_>| {
                begins.get_or_insert(written.before);
                sieve.take(raw(&written), &mut out.lines);
            };
            match &bytes {
                Some(bytes) => cutter.push(bytes, &mut take),
                None => cutter.finish(&mut take),
            }
            if let Some(place) = begins.filter(|_| std::mem::take(first)) {
                out.first = Some(At { cursor: place.cursor(&self.log.id), ..At::default() });
            }
            let over = bytes.is_none();
            if over {
                sieve.settle(&mut out.lines);
            }
            held += out.lines[before..].iter().map(|line| line.bytes.len() + 32).sum::<usize>();
            if over || held >= TOGETHER || sieve.is_over() {
                self.tell(&mut out, &mut held, cutter, sieve).await?;
            }
            if over || sieve.is_over() {
                return Ok(None);
            }
        }
    }

    async fn tell(
        &mut self,
        out: &mut Out,
        held: &mut usize,
        cutter: &Cutter,
        sieve: &mut Sieve,
    ) -> Result<(), CallError> {
        let mut out = std::mem::take(out);
        *held = 0;
        out.seen = sieve.take_seen();
        let place = cutter.place();
        if place != Place::default() {
            out.place = Some(At { cursor: place.cursor(&self.log.id), ..At::default() });
        }
        self.teller.tell(out, false).await
    }

    /// Sends what stands before a place, also before the moment that lines were asked from.
    async fn older(&mut self, asked: &Older) -> Result<(), CallError> {
        let Log { agent, until_ms, .. } = *self.log;
        let (id, attempted) = (self.log.id.clone(), self.log.attempted.clone());
        let container = self.log.container.clone();
        let log = Log { agent, id, attempted, since_ms: None, until_ms, container };
        let Some(before) = Place::parse(&asked.before.cursor, &log.id) else {
            return Err(CallError::malformed(
                "the place before which to look is none of this container",
            ));
        };
        let need = asked.lines.min(MAX_LAST) as usize;
        let past = log.back(self.wanted.clone(), Some(before), need).await?;
        let beginning = past.beginning;
        self.teller.older(past.out(&log.id)).await?;
        self.teller.older_end(beginning).await
    }
}
