//! Asks: one call with one reply, or a feed of items, over a link.

use crate::codec;
use crate::frame::{FrameReader, FrameWriter, Tag};
use crate::link::Link;
use crate::mux::{OpenError, Stream};
use bytes::Bytes;
use cmdr_protocol::envelope::{Caller, Header, Kind};
use cmdr_protocol::pages::Paged;
use cmdr_protocol::{Call, CallError, ErrorKind, Feed, HostId};
use futures::io::AsyncWrite;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

/// How much longer than its deadline a call is waited for: the far end answers it first.
const GRACE: Duration = Duration::from_secs(1);

/// Asks over one link. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    link: Link,
}

impl Client {
    /// Over this link.
    pub const fn new(link: Link) -> Self {
        Self { link }
    }

    /// The link beneath.
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// Asks and waits for the reply. `to` is a host, or the hub itself. Dropping the future cancels
    /// the work at the far end.
    pub async fn call<C: Call>(
        &self,
        to: Option<HostId>,
        call: &C,
        patience: Duration,
    ) -> Result<C::Reply, CallError> {
        self.call_as(None, to, call, patience).await
    }

    /// As [`Client::call`], on behalf of somebody. For the hub, which agents believe that.
    pub async fn call_for<C: Call>(
        &self,
        caller: &Caller,
        to: Option<HostId>,
        call: &C,
        patience: Duration,
    ) -> Result<C::Reply, CallError> {
        self.call_as(Some(caller.clone()), to, call, patience).await
    }

    async fn call_as<C: Call>(
        &self,
        caller: Option<Caller>,
        to: Option<HostId>,
        call: &C,
        patience: Duration,
    ) -> Result<C::Reply, CallError> {
        let mut header = header(to, C::METHOD, Kind::Call, call.resource(), Some(patience));
        header.caller = caller;
        ask_call(self.open()?, Some(&self.link), &header, call, patience).await
    }

    /// Asks for all pages of a list, one after the other.
    pub async fn call_all<C: Paged>(
        &self,
        to: Option<HostId>,
        call: &C,
        patience: Duration,
    ) -> Result<C::Reply, CallError> {
        all_pages(call.clone(), |call| async move { self.call(to, &call, patience).await }).await
    }

    /// Asks for a feed. Dropping it cancels the work at the far end.
    pub async fn feed<F: Feed>(
        &self,
        to: Option<HostId>,
        feed: &F,
    ) -> Result<FeedStream<F>, CallError> {
        let header = header(to, F::METHOD, Kind::Feed, feed.resource(), None);
        ask_feed(self.open()?, Some(self.link.clone()), &header, feed).await
    }

    /// As [`Client::feed`], on behalf of somebody. For the hub, which agents believe that.
    pub async fn feed_for<F: Feed>(
        &self,
        caller: Option<&Caller>,
        to: Option<HostId>,
        feed: &F,
    ) -> Result<FeedStream<F>, CallError> {
        let mut header = header(to, F::METHOD, Kind::Feed, feed.resource(), None);
        header.caller = caller.cloned();
        ask_feed(self.open()?, Some(self.link.clone()), &header, feed).await
    }

    fn open(&self) -> Result<Stream, CallError> {
        self.link.open().map_err(|e| match e {
            OpenError::Gone => down(Some(&self.link)),
            OpenError::TooMany => CallError::new(ErrorKind::Busy, e.to_string()),
        })
    }
}

/// All pages of a list, each asked for by `ask`.
pub async fn all_pages<C: Paged, E, F: Future<Output = Result<C::Reply, E>>>(
    first: C,
    mut ask: impl FnMut(C) -> F,
) -> Result<C::Reply, E> {
    let mut all = ask(first.clone()).await?;
    let mut next = first.following(&all);
    while let Some(call) = next {
        let page = ask(call.clone()).await?;
        next = call.following(&page);
        C::join(&mut all, page);
    }
    Ok(all)
}

/// As [`Client::call`], over a stream of the caller's own.
pub async fn call_over<C: Call>(
    stream: Stream,
    to: Option<HostId>,
    call: &C,
    patience: Duration,
) -> Result<C::Reply, CallError> {
    let header = header(to, C::METHOD, Kind::Call, call.resource(), Some(patience));
    ask_call(stream, None, &header, call, patience).await
}

/// As [`Client::feed`], over a stream of the caller's own.
pub async fn feed_over<F: Feed>(
    stream: Stream,
    to: Option<HostId>,
    feed: &F,
) -> Result<FeedStream<F>, CallError> {
    let header = header(to, F::METHOD, Kind::Feed, feed.resource(), None);
    ask_feed(stream, None, &header, feed).await
}

async fn ask_call<C: Call>(
    stream: Stream,
    link: Option<&Link>,
    header: &Header,
    call: &C,
    patience: Duration,
) -> Result<C::Reply, CallError> {
    let asked = async {
        let (mut reader, mut writer) = ask(stream, link, header, call).await?;
        let reply = read(&mut reader, link).await?;
        // The reply is here; how the stream ends does not matter any more.
        drop(writer.close().await);
        reply.ok_or_else(|| CallError::lost("the stream ended without a reply"))
    };
    match tokio::time::timeout(patience + GRACE, asked).await {
        Ok(result) => result,
        Err(_) => Err(CallError::new(
            ErrorKind::TimedOut,
            format!("{}: no answer within {} s", C::METHOD, patience.as_secs_f32()),
        )),
    }
}

async fn ask_feed<F: Feed>(
    stream: Stream,
    link: Option<Link>,
    header: &Header,
    feed: &F,
) -> Result<FeedStream<F>, CallError> {
    let (reader, writer) = ask(stream, link.as_ref(), header, feed).await?;
    Ok(FeedStream {
        items: Items { reader, link, over: false, kind: PhantomData },
        inputs: Inputs { writer, kind: PhantomData },
    })
}

async fn ask<T: Serialize>(
    stream: Stream,
    link: Option<&Link>,
    header: &Header,
    body: &T,
) -> Result<(FrameReader<Stream>, FrameWriter<Stream>), CallError> {
    let mut writer = FrameWriter::new(stream.clone());
    put(&mut writer, Tag::Header, header)?;
    put(&mut writer, Tag::Body, body)?;
    writer.flush().await.map_err(|_| down(link))?;
    Ok((FrameReader::new(stream), writer))
}

fn header(
    to: Option<HostId>,
    method: &str,
    kind: Kind,
    resource: String,
    patience: Option<Duration>,
) -> Header {
    Header {
        to,
        method: method.to_owned(),
        kind,
        resource,
        deadline_ms: patience.map(|p| u64::try_from(p.as_millis()).unwrap_or(u64::MAX)),
        trace: getrandom::u64().unwrap_or(0),
        caller: None,
    }
}

fn down(link: Option<&Link>) -> CallError {
    let reason = link.and_then(Link::ended).unwrap_or_else(|| "the stream was cut".to_owned());
    CallError::lost(format!("the link to the hub is down: {reason}"))
}

pub(crate) fn put<T: Serialize, W: AsyncWrite + Unpin>(
    writer: &mut FrameWriter<W>,
    tag: Tag,
    value: &T,
) -> Result<(), CallError> {
    writer.queue_value(tag, value).map_err(|e| CallError::failed(format!("writing a message: {e}")))
}

/// The next body; `None` at the proper end.
async fn read<T: DeserializeOwned>(
    reader: &mut FrameReader<Stream>,
    link: Option<&Link>,
) -> Result<Option<T>, CallError> {
    read_as(reader, link, |payload| codec::decode(payload)).await
}

async fn read_as<T>(
    reader: &mut FrameReader<Stream>,
    link: Option<&Link>,
    decode: impl Fn(&Bytes) -> Result<T, codec::DecodeError>,
) -> Result<Option<T>, CallError> {
    let frame = match reader.next().await {
        Ok(Some(frame)) => frame,
        Ok(None) => {
            return Err(match link.and_then(Link::ended) {
                Some(_) => down(link),
                None => {
                    CallError::lost("the link to the host broke before the answer was complete")
                }
            });
        }
        Err(e) if e.kind() == io::ErrorKind::InvalidData => {
            return Err(CallError::malformed(format!("the answer is no frame: {e}")));
        }
        Err(e) => return Err(CallError::lost(format!("the answer broke off: {e}"))),
    };
    let bad =
        |e: codec::DecodeError| CallError::malformed(format!("the answer cannot be read: {e}"));
    match frame.tag {
        Tag::Body => decode(&frame.payload).map(Some).map_err(bad),
        Tag::End => Ok(None),
        Tag::Error => Err(codec::decode(&frame.payload).unwrap_or_else(bad)),
        Tag::Header => {
            Err(CallError::malformed("the answer has a header, which only requests have"))
        }
    }
}

/// A running feed.
#[derive(Debug)]
pub struct FeedStream<F: Feed> {
    items: Items<F>,
    inputs: Inputs<F>,
}

impl<F: Feed> FeedStream<F> {
    /// The next item; `None` after the proper end, and after an error.
    pub async fn next(&mut self) -> Option<Result<F::Item, CallError>> {
        self.items.next().await
    }

    /// Sends an input, waiting for the far end's credit where needed.
    pub async fn send(&mut self, input: &F::Input) -> Result<(), CallError> {
        self.inputs.send(input).await
    }

    /// Both directions apart. The feed is cancelled when both are dropped.
    pub fn split(self) -> (Items<F>, Inputs<F>) {
        (self.items, self.inputs)
    }
}

/// The items of a feed.
#[derive(Debug)]
pub struct Items<F: Feed> {
    reader: FrameReader<Stream>,
    link: Option<Link>,
    over: bool,
    kind: PhantomData<fn() -> F>,
}

impl<F: Feed> Items<F> {
    /// As [`FeedStream::next`].
    pub async fn next(&mut self) -> Option<Result<F::Item, CallError>> {
        if self.over {
            return None;
        }
        let item = read(&mut self.reader, self.link.as_ref()).await.transpose();
        self.over = !matches!(item, Some(Ok(_)));
        item
    }

    /// As [`Items::next`], read in another way.
    pub(crate) async fn next_as<T>(
        &mut self,
        decode: impl Fn(&Bytes) -> Result<T, codec::DecodeError>,
    ) -> Option<Result<T, CallError>> {
        if self.over {
            return None;
        }
        let item = read_as(&mut self.reader, self.link.as_ref(), decode).await.transpose();
        self.over = !matches!(item, Some(Ok(_)));
        item
    }
}

/// The inputs of a feed.
#[derive(Debug)]
pub struct Inputs<F: Feed> {
    writer: FrameWriter<Stream>,
    kind: PhantomData<fn(F)>,
}

impl<F: Feed> Inputs<F> {
    /// As [`FeedStream::send`].
    pub async fn send(&mut self, input: &F::Input) -> Result<(), CallError> {
        let gone = |_| CallError::lost("the feed has ended");
        self.writer.flush().await.map_err(gone)?;
        put(&mut self.writer, Tag::Body, input)?;
        self.writer.flush().await.map_err(gone)
    }

    /// As [`Inputs::send`], with an input that is encoded already.
    pub(crate) async fn send_payload(&mut self, payload: Bytes) -> Result<(), CallError> {
        let gone = |_| CallError::lost("the feed has ended");
        self.writer.flush().await.map_err(gone)?;
        self.writer.queue_bytes(Tag::Body, payload).map_err(gone)?;
        self.writer.flush().await.map_err(gone)
    }

    /// As [`Inputs::send`], with a frame that is whole already.
    pub(crate) async fn send_framed(&mut self, frame: Bytes) -> Result<(), CallError> {
        let gone = |_| CallError::lost("the feed has ended");
        self.writer.flush().await.map_err(gone)?;
        self.writer.queue_framed(frame);
        self.writer.flush().await.map_err(gone)
    }
}
