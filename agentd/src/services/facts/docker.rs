//! Finds out whether a Docker engine answers, with one request over its socket.

use std::path::Path;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// The engine's version; `None` when no engine answers.
pub(super) async fn version(socket: &Path) -> Option<String> {
    let mut stream = UnixStream::connect(socket).await.ok()?;
    // The old version of the protocol, because it has no chunks and ends by closing.
    stream.write_all(b"GET /version HTTP/1.0\r\nHost: docker\r\n\r\n").await.ok()?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer).await.ok()?;
    parse(&answer)
}

fn parse(answer: &[u8]) -> Option<String> {
    let head_end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let (head, body) = answer.split_at(head_end + 4);
    let status = head.split(|b| *b == b' ').nth(1)?;
    if status != b"200" {
        return None;
    }
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let version = body.get("Version")?.as_str()?;
    Some(cmdr_protocol::display::clean_to_width(version, 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn an_engine_that_answers_tells_its_version_and_a_missing_one_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        assert_eq!(version(&socket).await, None);
        let listener = UnixListener::bind(&socket).unwrap();
        let engine = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 64];
            let n = stream.read(&mut asked).await.unwrap();
            let answer = b"HTTP/1.0 200 OK\r\nContent-Type: x\r\n\r\n{\"Version\":\"28.2.2\"}";
            stream.write_all(answer).await.unwrap();
            asked[..n].to_vec()
        });
        assert_eq!(version(&socket).await.as_deref(), Some("28.2.2"));
        assert!(engine.await.unwrap().starts_with(b"GET /version "));
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_ignored(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"HTTP/1.1 200 OK\r\n\r\n", bytes.as_slice()].concat());
        }
    }
}
