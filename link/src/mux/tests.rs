//! Two ends of ours, ours with the yamux crate at the other end, and ours with a peer that breaks
//! the rules.

use super::header::{ACK, FIN, HEADER, Header, INITIAL_WINDOW, Kind, RST, SYN};
use super::*;
use crate::SecretKey;
use crate::noise::{self, Suite};
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use std::collections::VecDeque;
use tokio::io::DuplexStream;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

type Secured = (DuplexStream, Channel);

async fn secured() -> (Secured, Secured) {
    let (a, b) = tokio::io::duplex(64 * 1024);
    let (ours, theirs) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let public = theirs.public();
    let (x, y) =
        tokio::join!(noise::initiate(a, &ours, &public, Suite::best()), noise::respond(b, &theirs));
    (x.unwrap(), y.unwrap())
}

struct End {
    opener: Opener,
    streams: mpsc::Receiver<Stream>,
    driver: Driver,
}

fn end((io, channel): Secured, mode: Mode, limits: Limits) -> End {
    let (opener, streams, driver) = start(io, channel, mode, limits);
    End { opener, streams, driver }
}

async fn pair() -> (End, End) {
    let (a, b) = secured().await;
    (end(a, Mode::Client, Limits::default()), end(b, Mode::Server, Limits::default()))
}

/// A stream from `a` to `b` that has carried one byte.
async fn opened(a: &End, b: &mut End) -> (Stream, Stream) {
    let mut near = a.opener.open().unwrap();
    near.write_all(b"!").await.unwrap();
    let mut far = b.streams.recv().await.unwrap();
    far.read_exact(&mut [0]).await.unwrap();
    (near, far)
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

#[tokio::test]
async fn bytes_cross_both_ways_and_an_end_is_an_end() {
    let (a, mut b) = pair().await;
    let (near, far) = opened(&a, &mut b).await;
    let sent = bytes(3_000_000);
    let echo = async move {
        let (mut read, mut write) = (far.clone(), far);
        futures::io::copy(&mut read, &mut write).await.unwrap();
        write.close().await.unwrap();
    };
    let (mut write, mut read) = (near.clone(), near);
    let say = async {
        write.write_all(&sent).await.unwrap();
        write.close().await.unwrap();
    };
    let mut got = Vec::new();
    let (_, (), ()) = tokio::join!(read.read_to_end(&mut got), say, echo);
    assert!(got == sent, "{} of {} bytes came back as sent", got.len(), sent.len());
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_its_own_stream_only() {
    let (a, mut b) = pair().await;
    let (mut stuck, _unread) = opened(&a, &mut b).await;
    let flood = tokio::spawn(async move { stuck.write_all(&bytes(1_000_000)).await });
    for _ in 0..20 {
        let (mut near, mut far) = opened(&a, &mut b).await;
        near.write_all(b"beat").await.unwrap();
        let mut got = [0; 4];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"beat");
    }
    assert!(!flood.is_finished(), "more was taken than the window allows");
}

#[tokio::test]
async fn the_window_of_a_busy_stream_grows_but_all_together_stay_under_their_limit() {
    let (x, y) = secured().await;
    let limits = Limits { window: 3 << 20, ..Limits::default() };
    let (a, mut b) = (end(x, Mode::Client, limits), end(y, Mode::Server, limits));
    let mut held = Vec::new();
    for _ in 0..2 {
        let (mut near, mut far) = opened(&a, &mut b).await;
        let sent = bytes(8 << 20);
        let mut got = vec![0; sent.len()];
        let (wrote, read) = tokio::join!(near.write_all(&sent), far.read_exact(&mut got));
        wrote.and(read).unwrap();
        held.push((near, far));
    }
    let windows = b.opener.shared.lock().windows();
    assert!((1 << 20..=3 << 20).contains(&windows), "{windows}");
    drop(held);
    assert_eq!(b.opener.shared.lock().windows(), 0);
}

#[tokio::test]
async fn dropping_a_stream_resets_it_at_the_other_end() {
    let (a, mut b) = pair().await;
    let (near, mut far) = opened(&a, &mut b).await;
    drop(near);
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    assert!(far.is_closed());
    assert!(far.write_all(b"x").await.is_err());
}

#[tokio::test]
async fn an_end_that_was_answered_with_an_end_is_no_reset() {
    let (a, mut b) = pair().await;
    let (mut near, mut far) = opened(&a, &mut b).await;
    near.close().await.unwrap();
    assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    assert!(!far.is_closed());
    far.write_all(b"late").await.unwrap();
    far.close().await.unwrap();
    drop(far);
    let mut got = Vec::new();
    near.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"late");
}

#[tokio::test]
async fn what_was_sent_before_a_stream_was_given_up_can_still_be_read() {
    let (a, mut b) = pair().await;
    let (mut near, mut far) = opened(&a, &mut b).await;
    near.write_all(b"last words").await.unwrap();
    drop(near);
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"last words");
}

#[tokio::test]
async fn a_stream_that_was_never_used_is_never_seen_by_the_other_end() {
    let (a, mut b) = pair().await;
    drop(a.opener.open().unwrap());
    let (_near, _far) = opened(&a, &mut b).await;
    assert!(b.streams.try_recv().is_err());
}

#[tokio::test]
async fn as_many_streams_as_the_limit_says_and_room_again_when_one_ends() {
    let (x, y) = secured().await;
    let limits = Limits { streams: 3, ..Limits::default() };
    let (a, mut b) = (end(x, Mode::Client, limits), end(y, Mode::Server, limits));
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(opened(&a, &mut b).await);
    }
    assert!(matches!(a.opener.open(), Err(OpenError::TooMany)));
    held.pop();
    let (_near, _far) = opened(&a, &mut b).await;
}

#[tokio::test]
async fn a_burst_of_streams_is_handed_out_whole() {
    let (a, mut b) = pair().await;
    let mut near = Vec::new();
    for n in 0..250u8 {
        let mut stream = a.opener.open().unwrap();
        stream.write_all(&[n]).await.unwrap();
        near.push(stream);
    }
    for n in 0..250u8 {
        let mut got = [0];
        b.streams.recv().await.unwrap().read_exact(&mut got).await.unwrap();
        assert_eq!(got, [n]);
    }
}

#[tokio::test]
async fn streams_beyond_what_the_other_end_takes_are_reset_there() {
    let (x, y) = secured().await;
    let few = Limits { streams: 2, ..Limits::default() };
    let (a, mut b) = (end(x, Mode::Client, Limits::default()), end(y, Mode::Server, few));
    let _held = [opened(&a, &mut b).await, opened(&a, &mut b).await];
    let mut third = a.opener.open().unwrap();
    third.write_all(b"?").await.unwrap();
    assert_eq!(third.read(&mut [0]).await.unwrap(), 0);
    assert!(third.is_closed());
}

#[tokio::test]
async fn closing_sends_what_is_queued_and_both_ends_know_why() {
    let (mut a, mut b) = pair().await;
    let (mut near, mut far) = opened(&a, &mut b).await;
    near.write_all(b"goodbye").await.unwrap();
    a.driver.close();
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"goodbye");
    assert_eq!(b.driver.finished().await, "closed by the other end");
    assert_eq!(a.driver.finished().await, "closed");
    assert!(near.write_all(b"x").await.is_err());
    assert!(matches!(a.opener.open(), Err(OpenError::Gone)));
}

#[tokio::test]
async fn a_connection_that_is_cut_ends_every_stream() {
    let (x, y) = secured().await;
    let mut a = end(x, Mode::Client, Limits::default());
    drop(y);
    let mut stream = a.opener.open().unwrap();
    assert_eq!(a.driver.finished().await, "cut by the other end");
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert!(stream.is_closed());
}

/// Speaks to one end of ours frame by frame.
struct Rude {
    io: DuplexStream,
    channel: Channel,
    heard: Vec<u8>,
}

impl Rude {
    async fn say(&mut self, header: Header, body: &[u8]) {
        self.channel.write(&header.encode()).unwrap();
        self.channel.write(body).unwrap();
        poll_fn(|cx| self.channel.poll_send(&mut self.io, cx)).await.unwrap();
    }

    /// The next header; bodies are never sent to it here.
    async fn hear(&mut self) -> Header {
        let mut opened = VecDeque::new();
        while self.heard.len() < HEADER {
            poll_fn(|cx| self.channel.poll_receive(&mut self.io, cx, &mut opened)).await.unwrap();
            opened.drain(..).for_each(|piece| self.heard.extend_from_slice(&piece));
        }
        let head: Vec<u8> = self.heard.drain(..HEADER).collect();
        Header::decode(head.try_into().unwrap()).unwrap()
    }
}

async fn rude() -> (Rude, End) {
    let ((io, channel), y) = secured().await;
    let rude = Rude { io, channel, heard: Vec::new() };
    (rude, end(y, Mode::Server, Limits::default()))
}

#[tokio::test]
async fn a_peer_that_breaks_the_rules_is_cut_off_with_the_reason() {
    let cases: [(&str, Vec<Header>); 5] = [
        ("a frame of no stream", vec![Header::new(Kind::Data, SYN, 0, 0)]),
        ("with a number that is not free", vec![Header::new(Kind::Data, SYN, 2, 0)]),
        (
            "with a number that is not free",
            vec![Header::new(Kind::Data, SYN, 1, 0), Header::new(Kind::Data, SYN, 1, 0)],
        ),
        (
            "more bytes than the stream's window allows",
            vec![Header::new(Kind::Data, SYN, 1, INITIAL_WINDOW + 1)],
        ),
        (
            "more bytes than the stream's window allows",
            vec![Header::new(Kind::Data, 0, 77, u32::MAX)],
        ),
    ];
    for (reason, headers) in cases {
        let (mut rude, mut ours) = rude().await;
        for header in headers {
            rude.say(header, &[]).await;
        }
        let why = ours.driver.finished().await;
        assert!(why.contains(reason), "{why}");
    }
}

#[tokio::test]
async fn an_unknown_frame_ends_the_connection() {
    let (mut rude, mut ours) = rude().await;
    rude.channel.write(&[9; HEADER]).unwrap();
    poll_fn(|cx| rude.channel.poll_send(&mut rude.io, cx)).await.unwrap();
    assert!(ours.driver.finished().await.contains("an unknown frame"));
}

#[tokio::test]
async fn a_peer_that_provokes_answers_and_reads_none_is_cut_off() {
    let (mut rude, mut ours) = rude().await;
    let mut pings = Vec::new();
    for n in 0..4000 {
        pings.extend(Header::new(Kind::Ping, SYN, 0, n).encode());
    }
    let flood = async {
        loop {
            rude.channel.write(&pings).unwrap();
            if poll_fn(|cx| rude.channel.poll_send(&mut rude.io, cx)).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let why = tokio::select! {
        why = ours.driver.finished() => why,
        () = flood => unreachable!("the flood never ends by itself"),
    };
    assert!(why.contains("provoked"), "{why}");
}

#[tokio::test]
async fn pings_come_back_and_frames_of_forgotten_streams_are_passed_over() {
    let (mut rude, ours) = rude().await;
    rude.say(Header::new(Kind::Data, 0, 33, 5), b"stale").await;
    rude.say(Header::new(Kind::WindowUpdate, 0, 33, 5), &[]).await;
    rude.say(Header::new(Kind::Data, RST, 35, 0), &[]).await;
    rude.say(Header::new(Kind::Ping, SYN, 0, 4711), &[]).await;
    assert_eq!(rude.hear().await, Header::new(Kind::Ping, ACK, 0, 4711));
    drop(ours);
}

#[tokio::test]
async fn an_end_may_come_with_the_last_bytes() {
    let (mut rude, mut ours) = rude().await;
    rude.say(Header::new(Kind::Data, SYN | FIN, 1, 5), b"hello").await;
    let mut stream = ours.streams.recv().await.unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"hello");
}

/// The socket under an independent implementation of the same frames: our channel as a byte stream.
fn tunnel(secured: Secured) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (mut io, mut channel) = secured;
    let (mut near, mut opened) = (near, VecDeque::new());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut buf = vec![0; 16 * 1024];
        loop {
            tokio::select! {
                n = near.read(&mut buf) => {
                    let Ok(n @ 1..) = n else { return };
                    channel.write(&buf[..n]).unwrap();
                    poll_fn(|cx| channel.poll_send(&mut io, cx)).await.unwrap();
                }
                more = poll_fn(|cx| channel.poll_receive(&mut io, cx, &mut opened)) => {
                    for piece in opened.drain(..) {
                        near.write_all(&piece).await.unwrap();
                    }
                    if !more.unwrap_or(false) {
                        return;
                    }
                }
            }
        }
    });
    far
}

#[tokio::test]
async fn an_independent_implementation_of_the_frames_understands_ours_and_we_it() {
    let (x, y) = secured().await;
    let a = end(x, Mode::Client, Limits::default());
    let mut theirs =
        yamux::Connection::new(tunnel(y).compat(), yamux::Config::default(), yamux::Mode::Server);
    // It echoes what it gets on every stream, and asks one thing of its own.
    tokio::spawn(async move {
        while let Some(Ok(stream)) = poll_fn(|cx| theirs.poll_next_inbound(cx)).await {
            tokio::spawn(async move {
                let (mut read, mut write) = futures::AsyncReadExt::split(stream);
                futures::io::copy(&mut read, &mut write).await.unwrap();
                write.close().await.unwrap();
            });
        }
    });
    let each = futures::stream::iter([0, 1, 5000, 2_000_000]).map(|len| {
        let near = a.opener.open().unwrap();
        async move {
            let sent = bytes(len);
            let (mut read, mut write) = futures::AsyncReadExt::split(near);
            let mut got = Vec::new();
            let say = async {
                write.write_all(&sent).await.unwrap();
                write.close().await.unwrap();
            };
            let (read, ()) = tokio::join!(read.read_to_end(&mut got), say);
            read.unwrap();
            assert!(got == sent, "{} of {len} bytes came back", got.len());
        }
    });
    each.buffer_unordered(4).collect::<()>().await;
}

#[tokio::test]
async fn we_answer_an_independent_implementation_of_the_frames() {
    let (x, y) = secured().await;
    let mut b = end(y, Mode::Server, Limits::default());
    tokio::spawn(async move {
        while let Some(stream) = b.streams.recv().await {
            tokio::spawn(async move {
                let (mut read, mut write) = (stream.clone(), stream);
                futures::io::copy(&mut read, &mut write).await.unwrap();
                write.close().await.unwrap();
            });
        }
        drop(b.driver);
    });
    let mut theirs =
        yamux::Connection::new(tunnel(x).compat(), yamux::Config::default(), yamux::Mode::Client);
    let stream = poll_fn(|cx| theirs.poll_new_outbound(cx)).await.unwrap();
    tokio::spawn(
        async move { while poll_fn(|cx| theirs.poll_next_inbound(cx)).await.is_some() {} },
    );
    let sent = bytes(2_000_000);
    let (mut read, mut write) = futures::AsyncReadExt::split(stream);
    let mut got = Vec::new();
    let say = async {
        write.write_all(&sent).await.unwrap();
        write.close().await.unwrap();
    };
    let (read, ()) = tokio::join!(read.read_to_end(&mut got), say);
    read.unwrap();
    assert!(got == sent, "{} of {} bytes came back", got.len(), sent.len());
}

/// Whether the far end of a stream that has said all knows that the near one was dropped.
async fn hears_the_goodbye_within(far: &Stream, most: Duration) -> bool {
    let begin = Instant::now();
    while begin.elapsed() <= most {
        if far.is_closed() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    false
}

/// A stream whose far end has said all and whose near end was dropped, or ended, then.
async fn left(a: &End, b: &mut End, ends: bool) -> Stream {
    let (mut near, mut far) = opened(a, b).await;
    far.close().await.unwrap();
    assert_eq!(near.read(&mut [0]).await.unwrap(), 0);
    if ends {
        near.close().await.unwrap();
    }
    far
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_nobody_waits_for_leaves_by_itself_after_a_moment() {
    let (a, mut b) = pair().await;
    for ends in [false, true] {
        let far = left(&a, &mut b, ends).await;
        assert!(!hears_the_goodbye_within(&far, Duration::from_millis(40)).await, "it left alone");
        assert!(hears_the_goodbye_within(&far, Duration::from_millis(20)).await, "it never left");
    }
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_that_nobody_waits_for_leaves_with_the_next_request() {
    let (a, mut b) = pair().await;
    let far = left(&a, &mut b, true).await;
    let _others = opened(&a, &mut b).await;
    assert!(far.is_closed(), "the bytes of another stream came without it");
}

#[tokio::test(start_paused = true)]
async fn work_that_nobody_wants_any_more_is_given_up_at_once() {
    let (a, mut b) = pair().await;
    let (near, far) = opened(&a, &mut b).await;
    drop(near);
    assert!(hears_the_goodbye_within(&far, Duration::from_millis(10)).await);
}
