//! Answers: a table of methods with one handler each. Used by agents, and by the hub for what it
//! answers itself.
//!
//! A handler is an async function; it is dropped, and with it everything it holds, as soon as the
//! caller gives up. What it returns as an error crosses the wire as it is.

use crate::client::put;
use crate::codec;
use crate::frame::{FrameReader, FrameWriter, Tag};
use crate::mux::Stream;
use crate::piece::Piece;
use crate::relay::{Ended, GIVEN_UP};
use cmdr_protocol::envelope::{Caller, Header, Kind};
use cmdr_protocol::files::Chunk;
use cmdr_protocol::{Call, CallError, ErrorKind, Feed};
use futures::StreamExt as _;
// Of a channel of tokio's each has room for 32 messages from the beginning on: too much for what mostly says nothing.
use futures::channel::mpsc;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// A stream must say what it wants within so long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// After the end the caller hangs up; so long we wait for it, so that the end is not cut off.
const LINGER: Duration = Duration::from_secs(5);
/// The largest header: it may name two paths.
const MAX_HEADER: usize = 12 * 1024;
/// While a handler takes no inputs it is looked so often whether its caller is there.
const LOOK: Duration = Duration::from_secs(1);
/// Inputs of a feed that its handler has not taken yet.
const INPUTS: usize = 8;

/// Who asks for what, beside the body.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who, as the hub knows them.
    pub caller: Option<Caller>,
    /// Ties log lines together.
    pub trace: u64,
}

type Answered = Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>;
type Handler<T> =
    Box<dyn Fn(Arc<T>, Asked, &[u8], &str, Wire) -> Result<Answered, CallError> + Send + Sync>;

/// What a handler gets to answer with.
struct Wire {
    writer: Arc<Mutex<FrameWriter<Stream>>>,
    inputs: mpsc::Receiver<bytes::Bytes>,
}

/// A table of methods over a shared context.
pub struct Service<T> {
    context: Arc<T>,
    handlers: HashMap<&'static str, (Kind, Handler<T>)>,
}

impl<T> std::fmt::Debug for Service<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("methods", &self.handlers.keys()).finish_non_exhaustive()
    }
}

/// Sends the items of a feed and takes its inputs.
#[derive(Debug)]
pub struct Feeding<F: Feed> {
    writer: Arc<Mutex<FrameWriter<Stream>>>,
    /// Absent in a handle that only sends.
    inputs: Option<mpsc::Receiver<bytes::Bytes>>,
    kind: PhantomData<fn(F) -> F>,
}

impl<F: Feed> Feeding<F> {
    /// Sends an item, waiting for the caller's credit where needed.
    pub async fn send(&self, item: &F::Item) -> Result<(), CallError> {
        let mut writer = self.writer.lock().await;
        let gone = |_| CallError::new(ErrorKind::Cancelled, "the caller has gone");
        writer.flush().await.map_err(gone)?;
        put(&mut writer, Tag::Body, item)?;
        writer.flush().await.map_err(gone)
    }

    /// As [`Feeding::send`], with a frame that is whole already.
    pub(crate) async fn send_framed(&self, frame: bytes::Bytes) -> Result<(), CallError> {
        let mut writer = self.writer.lock().await;
        let gone = |_| CallError::new(ErrorKind::Cancelled, "the caller has gone");
        writer.flush().await.map_err(gone)?;
        writer.queue_framed(frame);
        writer.flush().await.map_err(gone)
    }

    /// A second handle that only sends: its inputs never come. For handlers in which neither
    /// direction may wait for the other.
    #[must_use]
    pub fn sender(&self) -> Self {
        Self { writer: self.writer.clone(), inputs: None, kind: PhantomData }
    }

    /// The caller's next input. Waits for good when none comes: a caller that goes away ends the
    /// handler from outside.
    pub async fn input(&mut self) -> Result<F::Input, CallError> {
        self.input_as(|bytes| codec::decode(bytes)).await
    }

    /// As [`Feeding::input`], read in another way.
    pub(crate) async fn input_as<T>(
        &mut self,
        read: impl Fn(&bytes::Bytes) -> Result<T, codec::DecodeError>,
    ) -> Result<T, CallError> {
        let next = match &mut self.inputs {
            Some(inputs) => inputs.next().await,
            None => None,
        };
        match next {
            Some(bytes) => read(&bytes).map_err(|e| {
                CallError::malformed(format!("an input of {} cannot be read: {e}", F::METHOD))
            }),
            None => std::future::pending().await,
        }
    }
}

impl<F: Feed<Item = Chunk>> Feeding<F> {
    /// As [`Feeding::send`], with a frame of a piece, which [`crate::piece::head`] begins.
    pub async fn send_piece(&self, frame: bytes::Bytes) -> Result<(), CallError> {
        self.send_framed(frame).await
    }
}

impl<F: Feed<Input = Chunk>> Feeding<F> {
    /// As [`Feeding::input`], its bytes uncopied.
    pub async fn input_piece(&mut self) -> Result<Piece, CallError> {
        self.input_as(Piece::read).await
    }
}

impl<T: Send + Sync + 'static> Service<T> {
    /// No methods yet.
    pub fn new(context: T) -> Self {
        Self::over(Arc::new(context))
    }

    /// No methods yet, over a context that others hold too.
    pub fn over(context: Arc<T>) -> Self {
        Self { context, handlers: HashMap::new() }
    }

    /// What the handlers share.
    pub const fn context(&self) -> &Arc<T> {
        &self.context
    }

    /// The names of all methods.
    pub fn methods(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.handlers.keys().copied()
    }

    /// Takes out every method for which `keep` is false.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.handlers.retain(|name, _| keep(name));
    }

    /// Answers `C` with `handler`.
    #[must_use]
    pub fn on<C: Call, Fut>(mut self, handler: fn(Arc<T>, Asked, C) -> Fut) -> Self
    where
        Fut: Future<Output = Result<C::Reply, CallError>> + Send + 'static,
    {
        let run: Handler<T> = Box::new(move |context, asked, body, resource, wire| {
            let call: C = read_body(C::METHOD, body)?;
            check_resource(&call.resource(), resource)?;
            let reply = handler(context, asked, call);
            Ok(Box::pin(async move {
                let reply = reply.await?;
                put(&mut *wire.writer.lock().await, Tag::Body, &reply)
            }))
        });
        self.handlers.insert(C::METHOD, (Kind::Call, run));
        self
    }

    /// Answers `F` with `handler`.
    #[must_use]
    pub fn feed<F: Feed, Fut>(mut self, handler: fn(Arc<T>, Asked, F, Feeding<F>) -> Fut) -> Self
    where
        Fut: Future<Output = Result<(), CallError>> + Send + 'static,
    {
        let run: Handler<T> = Box::new(move |context, asked, body, resource, wire| {
            let feed: F = read_body(F::METHOD, body)?;
            check_resource(&feed.resource(), resource)?;
            let inputs = Some(wire.inputs);
            let feeding = Feeding { writer: wire.writer, inputs, kind: PhantomData };
            Ok(Box::pin(handler(context, asked, feed, feeding)))
        });
        self.handlers.insert(F::METHOD, (Kind::Feed, run));
        self
    }

    /// Reads the request on a stream and answers it.
    pub async fn serve(&self, stream: Stream) {
        let mut reader = FrameReader::new(stream.clone());
        match timeout(REQUEST_TIMEOUT, read_header(&mut reader)).await {
            Ok(Ok(header)) => self.answer(&header, reader, stream).await,
            Ok(Err(e)) => {
                tracing::debug!("a stream without a proper request: {e}");
                refuse(&stream, &CallError::malformed(e.to_string())).await;
            }
            Err(_) => tracing::debug!("a stream without a request for 10 s"),
        }
    }

    /// Answers a request whose header is read.
    pub async fn answer(&self, header: &Header, mut reader: FrameReader<Stream>, stream: Stream) {
        match read_request(&mut reader).await {
            Ok(body) => {
                let witness = |ended: Ended| std::future::ready(ended.result);
                self.answer_witnessed(header, body, reader, stream, witness).await;
            }
            Err(e) => refuse(&stream, &e).await,
        }
    }

    /// Answers a request whose body is read as well. The last word to the caller, and of a call the
    /// whole answer, waits until `witness` has returned; when that is an error the caller gets it.
    pub async fn answer_witnessed<F, Fut>(
        &self,
        header: &Header,
        body: bytes::Bytes,
        mut reader: FrameReader<Stream>,
        stream: Stream,
        witness: F,
    ) where
        F: FnOnce(Ended) -> Fut + Send,
        Fut: Future<Output = Result<(), CallError>> + Send,
    {
        let writer = Arc::new(Mutex::new(FrameWriter::new(stream.clone())));
        let (mut send_input, inputs) = mpsc::channel(INPUTS);
        let wire = Wire { writer: writer.clone(), inputs };
        let running = match self.begin(header, &body, wire) {
            Ok(running) => running,
            Err(e) => {
                let said = witness(Ended::with(Err(e.clone()))).await.err();
                return refuse(&stream, &said.unwrap_or(e)).await;
            }
        };
        drop(body);
        let limited = async {
            match header.deadline_ms {
                Some(ms) => {
                    timeout(Duration::from_millis(ms), running).await.unwrap_or_else(|_| {
                        let what =
                            format!("{}: not done within its deadline of {ms} ms", header.method);
                        Err(CallError::new(ErrorKind::TimedOut, what))
                    })
                }
                None => running.await,
            }
        };
        let result = tokio::select! {
            biased;
            result = limited => result,
            () = pump(&mut reader, &stream, &mut send_input) => {
                tracing::debug!(method = header.method, trace = header.trace, "given up by the caller");
                let gone = CallError::new(ErrorKind::Cancelled, GIVEN_UP);
                // There is nobody left to be told that this was not put down.
                drop(witness(Ended::with(Err(gone))).await);
                return;
            }
        };
        let said = witness(Ended::with(result.clone())).await;
        let mut writer = writer.lock().await;
        if said.is_err() && header.kind == Kind::Call {
            writer.discard();
        }
        let result = result.and(said);
        let last = match result {
            Ok(()) => writer.queue(Tag::End, &[]),
            Err(e) => match codec::encode(&e) {
                Ok(bytes) => writer.queue(Tag::Error, &bytes),
                Err(e) => Err(io::Error::other(e)),
            },
        };
        if last.is_ok() {
            finish(&mut writer, &mut reader).await;
        }
    }

    fn begin(&self, header: &Header, body: &[u8], wire: Wire) -> Result<Answered, CallError> {
        let unknown = || {
            let method = cmdr_protocol::display::clean_to_width(&header.method, 80);
            CallError::new(ErrorKind::UnknownMethod, format!("there is no method '{method}' here"))
        };
        let (kind, handler) = self.handlers.get(header.method.as_str()).ok_or_else(unknown)?;
        if *kind != header.kind {
            return Err(CallError::malformed(format!(
                "{} is a {kind}, not a {}",
                header.method, header.kind
            )));
        }
        let asked = Asked { caller: header.caller.clone(), trace: header.trace };
        handler(self.context.clone(), asked, body, &header.resource, wire)
    }
}

fn read_body<T: serde::de::DeserializeOwned>(method: &str, body: &[u8]) -> Result<T, CallError> {
    codec::decode(body)
        .map_err(|e| CallError::malformed(format!("the request {method} cannot be read: {e}")))
}

fn check_resource(named: &str, header: &str) -> Result<(), CallError> {
    if named == header {
        return Ok(());
    }
    let clean = |text| cmdr_protocol::display::clean_to_width(text, 80);
    Err(CallError::malformed(format!(
        "the request is about '{}', but its header says '{}'",
        clean(named),
        clean(header)
    )))
}

/// Reads the header that begins every stream.
pub async fn read_header(reader: &mut FrameReader<Stream>) -> io::Result<Header> {
    let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    match reader.next().await? {
        Some(frame) if frame.tag == Tag::Header && frame.payload.len() <= MAX_HEADER => {
            codec::decode(&frame.payload)
                .map_err(|e| bad(format!("the header cannot be read: {e}")))
        }
        Some(_) => Err(bad("the stream does not begin with a header of at most 12 KiB".to_owned())),
        None => Err(bad("the stream ended before its header".to_owned())),
    }
}

/// Reads the body that follows the header.
pub async fn read_request(reader: &mut FrameReader<Stream>) -> Result<bytes::Bytes, CallError> {
    match timeout(REQUEST_TIMEOUT, reader.next()).await {
        Ok(Ok(Some(frame))) if frame.tag == Tag::Body => Ok(frame.payload),
        _ => Err(CallError::malformed("the request has no body")),
    }
}

/// Answers a stream with an error and nothing else.
pub async fn refuse(stream: &Stream, error: &CallError) {
    let mut writer = FrameWriter::new(stream.clone());
    let Ok(bytes) = codec::encode(error) else { return };
    if writer.queue(Tag::Error, &bytes).is_ok() {
        finish(&mut writer, &mut FrameReader::new(stream.clone())).await;
    }
}

/// Sends what is queued, closes, and waits for the caller to hang up.
async fn finish(writer: &mut FrameWriter<Stream>, reader: &mut FrameReader<Stream>) {
    let rest = async {
        writer.close().await?;
        while reader.next().await?.is_some() {}
        io::Result::Ok(())
    };
    // Everything that can go wrong here means that the caller is gone.
    drop(timeout(LINGER, rest).await);
}

/// Hands inputs on until the caller ends the stream. While the handler does not take them, the
/// stream is looked at each second, because a reset does not show without reading.
async fn pump(
    reader: &mut FrameReader<Stream>,
    stream: &Stream,
    inputs: &mut mpsc::Sender<bytes::Bytes>,
) {
    while let Ok(Some(frame)) = reader.next().await {
        if frame.tag != Tag::Body {
            return;
        }
        let room = loop {
            match timeout(LOOK, poll_fn(|cx| inputs.poll_ready(cx))).await {
                Ok(room) => break room,
                Err(_) if stream.is_closed() => return,
                Err(_) => {}
            }
        };
        // A method that takes no inputs has dropped its end; what it is sent means nothing.
        if room.is_ok() {
            inputs.start_send(frame.payload).ok();
        }
    }
}
