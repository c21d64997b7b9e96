use super::channel::{REKEY_BYTES, REKEY_TIME};
use super::*;
use crate::SecretKey;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, DuplexStream, ReadBuf};
use tokio::time::Instant;

/// One end: its socket and its channel.
type End = (DuplexStream, Channel);

async fn pair(suite: Suite) -> (End, End) {
    let (a, b) = tokio::io::duplex(1 << 20);
    let (ours, theirs) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let public = theirs.public();
    let (x, y) = tokio::join!(initiate(a, &ours, &public, suite), respond(b, &theirs));
    let (x, y) = (x.unwrap(), y.unwrap());
    assert_eq!((x.1.peer(), y.1.peer()), (theirs.public(), ours.public()));
    (x, y)
}

async fn send((io, channel): &mut End, bytes: &[u8]) {
    channel.write(bytes).unwrap();
    poll_fn(|cx| channel.poll_send(io, cx)).await.unwrap();
}

/// All that comes, up to `len` bytes or the end.
async fn receive<S: AsyncRead + Unpin>(
    io: &mut S,
    channel: &mut Channel,
    len: usize,
) -> io::Result<Vec<u8>> {
    let (mut got, mut opened) = (Vec::new(), VecDeque::new());
    while got.len() < len && poll_fn(|cx| channel.poll_receive(io, cx, &mut opened)).await? {
        opened.drain(..).for_each(|piece| got.extend_from_slice(&piece));
    }
    Ok(got)
}

#[tokio::test]
async fn bytes_cross_in_both_suites_and_both_ends_know_each_other() {
    for suite in [Suite::ChaChaPoly, Suite::AesGcm] {
        let (mut a, (mut io, mut channel)) = pair(suite).await;
        let sent: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
        let (head, tail) = sent.split_at(700);
        send(&mut a, head).await;
        send(&mut a, tail).await;
        drop(a);
        assert_eq!(receive(&mut io, &mut channel, usize::MAX).await.unwrap(), sent);
    }
}

#[tokio::test]
async fn a_hub_with_another_key_is_never_accepted() {
    let (a, b) = tokio::io::duplex(4096);
    let [ours, expected, actual] = [(); 3].map(|()| SecretKey::generate().unwrap());
    let public = expected.public();
    let (x, y) = tokio::join!(initiate(a, &ours, &public, Suite::ChaChaPoly), respond(b, &actual));
    assert!(matches!(x, Err(HandshakeError::WrongKey)));
    assert!(matches!(y, Err(HandshakeError::WrongKey)));
}

#[tokio::test]
async fn a_hub_answers_for_each_of_its_keys_and_for_no_third() {
    let keys = [(); 3].map(|()| SecretKey::generate().unwrap());
    let ours = SecretKey::generate().unwrap();
    for (place, suite) in [(0, Suite::AesGcm), (1, Suite::ChaChaPoly), (1, Suite::AesGcm)] {
        let (a, b) = tokio::io::duplex(4096);
        let public = keys[place].public();
        let (x, y) = tokio::join!(initiate(a, &ours, &public, suite), respond_as(b, &keys));
        assert_eq!(x.unwrap().1.peer(), public);
        let (_, channel, proved) = y.unwrap();
        assert_eq!((channel.peer(), proved), (ours.public(), public));
    }
    let (a, b) = tokio::io::duplex(4096);
    let public = keys[2].public();
    let (x, y) = tokio::join!(initiate(a, &ours, &public, Suite::AesGcm), respond_as(b, &keys));
    assert!(matches!(x, Err(HandshakeError::WrongKey)));
    assert!(matches!(y, Err(HandshakeError::WrongKey)));
}

#[tokio::test]
async fn a_key_of_small_order_proves_nothing_and_is_refused() {
    let (a, b) = tokio::io::duplex(4096);
    let (ours, theirs) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let zero = PublicKey([0; 32]);
    let (x, _) = tokio::join!(initiate(a, &ours, &zero, Suite::ChaChaPoly), respond(b, &theirs));
    assert!(x.is_err());
}

#[tokio::test]
async fn a_changed_preface_breaks_the_handshake() {
    let (a, b) = tokio::io::duplex(4096);
    let (mut dialer, hub_side) = tokio::io::duplex(4096);
    let (ours, theirs) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
    let public = theirs.public();
    let tamper = async {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut b = b;
        let mut first = [0; 104];
        b.read_exact(&mut first).await.unwrap();
        first[5] = Suite::AesGcm as u8;
        dialer.write_all(&first).await.unwrap();
        drop(dialer);
        drop(b);
    };
    let (x, y, ()) = tokio::join!(
        initiate(a, &ours, &public, Suite::ChaChaPoly),
        respond(hub_side, &theirs),
        tamper
    );
    assert!(x.is_err());
    assert!(matches!(y, Err(HandshakeError::WrongKey)), "{:?}", y.err());
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_dribbles_is_given_up_after_ten_seconds() {
    let (a, b) = tokio::io::duplex(64);
    let key = SecretKey::generate().unwrap();
    let begin = Instant::now();
    let result = respond(b, &key).await;
    assert!(matches!(result, Err(HandshakeError::Timeout)));
    assert_eq!(begin.elapsed(), HANDSHAKE_TIMEOUT);
    drop(a);
}

#[tokio::test]
async fn something_that_speaks_http_gets_no_answer() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (mut a, b) = tokio::io::duplex(4096);
    let key = SecretKey::generate().unwrap();
    a.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert!(matches!(respond(b, &key).await, Err(HandshakeError::Version)));
    let mut answer = Vec::new();
    a.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"");
}

/// Seals `messages`, lets `change` do its worst to the ciphertext, and reads the result.
async fn read_after(
    messages: &[&[u8]],
    change: impl FnOnce(&mut Vec<Vec<u8>>),
) -> io::Result<Vec<u8>> {
    let ((_, mut a), (_, mut b)) = pair(Suite::ChaChaPoly).await;
    let mut sealed = Vec::new();
    for message in messages {
        a.write(message).unwrap();
        a.seal_pending().unwrap();
        sealed.push(a.out.bytes().to_vec());
        a.out.advance(a.out.len());
    }
    change(&mut sealed);
    receive(&mut &sealed.concat()[..], &mut b, usize::MAX).await
}

#[tokio::test]
async fn sealed_messages_that_arrive_as_sent_are_read() {
    assert_eq!(read_after(&[b"one", b"two"], |_| {}).await.unwrap(), b"onetwo");
}

#[tokio::test]
async fn a_flipped_bit_anywhere_ends_the_link() {
    for at in 0..21 {
        let result = read_after(&[b"one"], |m| m[0][at] ^= 1).await;
        assert!(result.is_err(), "byte {at}");
    }
}

#[tokio::test]
async fn replayed_reordered_and_cut_messages_end_the_link() {
    assert!(read_after(&[b"one"], |m| m.push(m[0].clone())).await.is_err());
    assert!(read_after(&[b"one", b"two"], |m| m.swap(0, 1)).await.is_err());
    assert!(read_after(&[b"one", b"two"], |m| drop(m.remove(0))).await.is_err());
    for keep in 1..21 {
        let error = read_after(&[b"one"], |m| m[0].truncate(keep)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut to {keep}");
    }
}

#[tokio::test]
async fn the_key_changes_after_an_hour_and_nothing_is_lost() {
    let (mut a, (mut io, mut b)) = pair(Suite::AesGcm).await;
    send(&mut a, b"one").await;
    assert_eq!(receive(&mut io, &mut b, 3).await.unwrap(), b"one");
    a.1.rekeyed = Instant::now().checked_sub(REKEY_TIME).unwrap_or_else(Instant::now);
    a.1.since_rekey = REKEY_BYTES;
    send(&mut a, b"two").await;
    assert_eq!(a.1.since_rekey, 3);
    assert_eq!(receive(&mut io, &mut b, 3).await.unwrap(), b"two");
}

#[tokio::test]
async fn an_idle_channel_owns_no_buffers() {
    let (mut a, (mut io, mut b)) = pair(Suite::best()).await;
    for bytes in [&vec![0; 100_000][..], b"x", b"y"] {
        send(&mut a, bytes).await;
        receive(&mut io, &mut b, bytes.len()).await.unwrap();
    }
    let owned = |c: &Channel| [&c.partial, &c.unsealed, &c.out].map(super::queue::Queue::owned);
    assert_eq!((owned(&a.1), owned(&b)), ([0; 3], [0; 3]));
}

/// Gives out its bytes in pieces of the sizes it is told.
struct Pieces<'a>(&'a [u8], Vec<usize>);

impl tokio::io::AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = self.1.pop().unwrap_or(1).min(self.0.len()).min(buf.remaining());
        let (now, later) = self.0.split_at(n);
        buf.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn however_the_network_cuts_the_bytes_they_arrive_the_same() {
    let ((_, mut a), (_, mut b)) = pair(Suite::AesGcm).await;
    let mut sent = Vec::new();
    for size in [1, 2, 700, 40_000, 3] {
        let message = vec![size as u8; size];
        a.write(&message).unwrap();
        a.seal_pending().unwrap();
        sent.extend(message);
    }
    let wire = a.out.bytes().to_vec();
    for pieces in [vec![], vec![1; 60], vec![1, 2, 3, 50, 5000, 19, 20, 21], vec![30_000, 1, 18]] {
        assert_eq!(receive(&mut Pieces(&wire, pieces), &mut b, usize::MAX).await.unwrap(), sent);
        b.state.set_receiving_nonce(0);
    }
}
