//! Copies of files from one host to another: the hub reads there and writes here, as the caller, and carries the
//! pieces between the two unread. A link that is cut is waited for, and the copy goes on with what is missing.

use super::{HubService, nobody};
use crate::audit::trail::{self, Trail};
use crate::router;
use crate::server::Hub;
use bytes::Bytes;
use cmdr_link::frame::{FrameReader, FrameWriter, Tag};
use cmdr_link::mux::Stream;
use cmdr_link::relay::Ended;
use cmdr_link::service::{Asked, Feeding};
use cmdr_link::{Client, codec, transfer};
use cmdr_protocol::envelope::{Caller, Header, Kind};
use cmdr_protocol::files::{
    Chunk, Copy, Copying, Entry, FileKind, Read, Stat, Write, Writing, Written,
};
use cmdr_protocol::{Call as _, CallError, ErrorKind, Feed, HostId};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a host that is away is waited for when nothing is said, and at most.
const PATIENCE: Duration = Duration::from_mins(1);
const MOST_PATIENCE: Duration = Duration::from_hours(24);
/// How often it is looked whether a host is back.
const LOOK: Duration = Duration::from_millis(250);
/// How long a short question to a host may take.
const QUESTION: Duration = Duration::from_secs(30);
/// How often the caller hears how far it is.
const TELL: Duration = Duration::from_millis(250);
/// Pieces up to this size are looked into: the last one is small.
const SMALL: usize = 1024;

pub(super) fn register(service: HubService) -> HubService {
    service.feed(copy)
}

async fn copy(
    hub: Arc<Hub>,
    asked: Asked,
    copy: Copy,
    feeding: Feeding<Copy>,
) -> Result<(), CallError> {
    let caller = asked.caller.ok_or_else(nobody)?;
    let patience = copy.patience_s.map_or(PATIENCE, Duration::from_secs).min(MOST_PATIENCE);
    let mut order =
        Order { hub, caller, trace: asked.trace, copy, feeding, told: Copying::default() };
    let read = Read { path: order.copy.path.clone(), hash: true, ..Read::default() };
    let write = Write { path: order.copy.target.clone(), ..Write::default() };
    let reading = order.begin(order.copy.from, &read).await?;
    let writing = match order.begin(order.copy.to, &write).await {
        Ok(writing) => writing,
        Err(e) => {
            reading.end(Err(e.clone())).await.ok();
            return Err(e);
        }
    };
    let done = order.run(patience).await;
    let told = done.as_ref().map(drop).map_err(CallError::clone);
    let (read, wrote) = tokio::join!(reading.end(told.clone()), writing.end(told));
    let written = done?;
    read.and(wrote)?;
    order.told.written = Some(written);
    order.told.waiting.clear();
    order.feeding.send(&order.told).await
}

/// A part of the order that is in the audit log, and how it ends: as given up, when nothing else is said.
pub(super) struct Recorded(pub(super) Option<Trail>);

impl Recorded {
    pub(super) async fn end(mut self, result: Result<(), CallError>) -> Result<(), CallError> {
        match self.0.take() {
            Some(trail) => {
                let failed = result.is_err();
                // What failed is told as such; this is about what could not be recorded.
                trail
                    .end(Ended::with(result))
                    .await
                    .or_else(|e| if failed { Ok(()) } else { Err(e) })
            }
            None => Ok(()),
        }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if let Some(trail) = self.0.take() {
            let gone = CallError::new(ErrorKind::Cancelled, "given up by the caller");
            tokio::spawn(trail.end(Ended::with(Err(gone))));
        }
    }
}

/// Why an attempt ended.
enum Stopped {
    /// A host is away; it may come back.
    Away(CallError),
    /// For good.
    For(CallError),
}

impl From<CallError> for Stopped {
    fn from(error: CallError) -> Self {
        match error.kind {
            ErrorKind::Unreachable | ErrorKind::Lost | ErrorKind::TimedOut => Self::Away(error),
            _ => Self::For(error),
        }
    }
}

struct Order {
    hub: Arc<Hub>,
    caller: Caller,
    trace: u64,
    copy: Copy,
    feeding: Feeding<Copy>,
    told: Copying,
}

impl Order {
    fn header(&self, to: HostId, method: &str, kind: Kind, resource: String) -> Header {
        Header {
            to: Some(to),
            method: method.to_owned(),
            kind,
            resource,
            deadline_ms: None,
            trace: self.trace,
            caller: Some(self.caller.clone()),
        }
    }

    /// Whether the caller may do this part there.
    fn allowed(&self, header: &Header) -> Result<(), CallError> {
        router::authorise(&self.hub, &self.hub.who(&self.caller), header)
    }

    /// Decides a part and puts down that it begins.
    async fn begin<F: Feed>(&self, host: HostId, feed: &F) -> Result<Recorded, CallError> {
        let header = self.header(host, F::METHOD, Kind::Feed, feed.resource());
        if let Err(e) = self.allowed(&header) {
            trail::denied(&self.hub, &self.caller, &header, &e).await;
            return Err(e);
        }
        let request = codec::encode(feed).map_err(|e| CallError::failed(e.to_string()))?;
        Ok(Recorded(Trail::part(&self.hub, &self.caller, &header, &request).await?))
    }

    /// Opens a part's stream. That it is allowed is asked each time: hours pass, rights are taken away.
    async fn open<F: Feed>(
        &self,
        host: HostId,
        feed: &F,
    ) -> Result<(FrameReader<Stream>, FrameWriter<Stream>), CallError> {
        let header = self.header(host, F::METHOD, Kind::Feed, feed.resource());
        self.allowed(&header)?;
        let onward = router::onward(&self.hub, host, &header).await?;
        let request = codec::encode(feed).map_err(|e| CallError::failed(e.to_string()))?;
        let mut writer = FrameWriter::new(onward.clone());
        writer.send(Tag::Body, &request).await.map_err(|e| router::broke(&e))?;
        Ok((FrameReader::new(onward), writer))
    }

    /// Tries until it is done, it fails, or a host has been away for too long.
    async fn run(&mut self, patience: Duration) -> Result<Written, CallError> {
        let mut since = None;
        loop {
            let had = self.told.have;
            let error = match self.attempt().await {
                Ok(written) => return Ok(written),
                Err(Stopped::For(e)) => return Err(e),
                Err(Stopped::Away(e)) => e,
            };
            if self.told.have > had {
                since = None;
            }
            let begun = *since.get_or_insert_with(Instant::now);
            self.told.waiting.clone_from(&error.message);
            self.feeding.send(&self.told).await?;
            loop {
                if begun.elapsed() >= patience {
                    return Err(error);
                }
                tokio::time::sleep(LOOK).await;
                let there = |host| self.hub.fleet.link(host).is_ok();
                if there(self.copy.from) && there(self.copy.to) {
                    break;
                }
            }
        }
    }

    async fn stat(&self) -> Result<Entry, CallError> {
        let stat = Stat { path: self.copy.path.clone() };
        // A part of the reading, which is allowed.
        let client = Client::new(self.hub.fleet.link(self.copy.from)?);
        let entry = client.call_for(&self.caller, Some(self.copy.from), &stat, QUESTION).await?;
        match entry.kind {
            FileKind::Link | FileKind::File => Ok(entry),
            kind => Err(CallError::new(
                ErrorKind::Conflict,
                format!("{} is a {kind}, not a file ({})", self.copy.path, Stat::METHOD),
            )),
        }
    }

    async fn attempt(&mut self) -> Result<Written, Stopped> {
        let entry = self.stat().await?;
        let version = entry.version();
        let copy = &self.copy;
        let keep = |value| copy.preserve.then_some(value);
        let write = Write {
            path: copy.target.clone(),
            transfer: transfer::name(&[
                &copy.from.0,
                copy.path.as_str().as_bytes(),
                &transfer::version(&version),
                &copy.to.0,
                copy.target.as_str().as_bytes(),
            ]),
            size: Some(entry.size).filter(|size| *size > 0),
            absent: copy.absent,
            unchanged: copy.unchanged,
            mode: keep(i64::from(entry.mode)).and_then(|mode| u32::try_from(mode).ok()),
            mtime_ns: keep(entry.mtime_ns),
        };
        let (mut from_target, mut to_target) = self.open(copy.to, &write).await?;
        let have = next::<Writing>(&mut from_target).await?.have;
        let read = Read {
            path: copy.path.clone(),
            offset: have,
            length: None,
            unchanged: (entry.kind == FileKind::File).then_some(version),
            hash: true,
        };
        let (mut from_source, _keep_open) = self.open(copy.from, &read).await?;
        self.told =
            Copying { size: entry.size, have, carried: self.told.carried, ..Copying::default() };
        self.feeding.send(&self.told).await?;

        let (note, noted) = watch::channel((0, false));
        let carrying = carry(&mut from_source, &mut to_target, &note);
        let mut carrying = std::pin::pin!(carrying);
        let mut carried = false;
        let mut tick = tokio::time::interval(TELL);
        let before = self.told.carried;
        loop {
            tokio::select! {
                biased;
                item = next::<Writing>(&mut from_target) => {
                    let item = item?;
                    self.told.have = item.have;
                    (self.told.carried, self.told.changed) = {
                        let (bytes, changed) = *noted.borrow();
                        (before + bytes, changed)
                    };
                    if let Some(written) = item.written {
                        return Ok(written);
                    }
                }
                done = &mut carrying, if !carried => {
                    match done {
                        Ok(()) => carried = true,
                        // The one who writes may have said why it takes no more.
                        Err(Broke::Target(e)) => return Err(said(&mut from_target).await.unwrap_or(e).into()),
                        Err(Broke::Source(e)) => return Err(e.into()),
                    }
                }
                _ = tick.tick() => self.feeding.send(&self.told).await?,
            }
        }
    }
}

/// The error that a stream ends with, if it says one.
pub(super) async fn said(reader: &mut FrameReader<Stream>) -> Option<CallError> {
    let wait = async {
        loop {
            if let Err(e) = next::<Writing>(reader).await {
                return e;
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(1), wait).await.ok()?;
    (error.kind != ErrorKind::Lost).then_some(error)
}

pub(super) fn lost(what: &str, e: Option<io::Error>) -> CallError {
    let why = e.map_or_else(|| "it ended half-way".to_owned(), |e| e.to_string());
    CallError::lost(format!("the link to the host that {what} broke: {why}"))
}

/// The next item of a feed.
pub(super) async fn next<T: serde::de::DeserializeOwned>(
    reader: &mut FrameReader<Stream>,
) -> Result<T, CallError> {
    let (tag, payload) = frame(reader, "writes").await?;
    let bad = |e: codec::DecodeError| CallError::malformed(format!("the host's answer: {e}"));
    match tag {
        Tag::Body => codec::decode(&payload).map_err(bad),
        _ => Err(lost("writes", None)),
    }
}

/// The next frame that is no error.
pub(super) async fn frame(
    reader: &mut FrameReader<Stream>,
    what: &str,
) -> Result<(Tag, Bytes), CallError> {
    match reader.next().await {
        Ok(Some(frame)) if frame.tag == Tag::Error => Err(codec::decode(&frame.payload)
            .unwrap_or_else(|e| CallError::malformed(format!("the host's error: {e}")))),
        Ok(Some(frame)) => Ok((frame.tag, frame.payload)),
        Ok(None) => Err(lost(what, None)),
        Err(e) => Err(lost(what, Some(e))),
    }
}

/// Which side broke.
pub(super) enum Broke {
    Source(CallError),
    Target(CallError),
}

/// Carries the pieces as they are. The first item is about the file and stays here.
async fn carry(
    source: &mut FrameReader<Stream>,
    target: &mut FrameWriter<Stream>,
    note: &watch::Sender<(u64, bool)>,
) -> Result<(), Broke> {
    let broke = |e: io::Error| Broke::Target(lost("writes", Some(e)));
    frame(source, "reads").await.map_err(Broke::Source)?;
    loop {
        let (tag, payload) = frame(source, "reads").await.map_err(Broke::Source)?;
        if tag != Tag::Body {
            return Ok(());
        }
        let small =
            (payload.len() <= SMALL).then(|| codec::decode::<Chunk>(&payload).ok()).flatten();
        let changed = small.and_then(|chunk| chunk.sum).is_some_and(|sum| sum.changed);
        let len = payload.len() as u64;
        target.send_bytes(Tag::Body, payload).await.map_err(broke)?;
        note.send_modify(|noted| *noted = (noted.0 + len, noted.1 | changed));
    }
}
