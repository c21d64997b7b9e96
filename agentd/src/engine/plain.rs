//! One plain question to the engine, answered with JSON of any shape: what the library would read by the
//! shape that newer engines give it.

use super::{PATIENCE, told};
use bytes::Bytes;
use cmdr_protocol::CallError;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::Path;
use tokio::net::UnixStream;

/// The longest answer that is read.
const MOST: usize = 32 * 1024 * 1024;

/// What it answers to `GET path`.
pub(super) async fn get(socket: &Path, attempted: &str, path: &str) -> Result<Value, CallError> {
    let asked = tokio::time::timeout(PATIENCE, ask(socket, attempted, path)).await;
    asked.unwrap_or_else(|_| Err(told::silent(attempted)))
}

async fn ask(socket: &Path, attempted: &str, path: &str) -> Result<Value, CallError> {
    let failed = |what: String| {
        CallError::failed(format!("{attempted}: the Docker engine's answer cannot be used: {what}"))
    };
    let stream = UnixStream::connect(socket).await;
    let stream = stream
        .map_err(|error| told::unreachable(attempted, &error, &socket.display().to_string()))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(e.to_string()))?;
    let request = Request::get(path).header("host", "docker").body(Empty::<Bytes>::new());
    let request = request.map_err(|e| failed(e.to_string()))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|e| failed(e.to_string()))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MOST).collect().await;
        let body = body.map_err(|e| failed(e.to_string()))?.to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|e| failed(e.to_string()));
        }
        let said: Option<Value> = serde_json::from_slice(&body).ok();
        let said = said.as_ref().and_then(|said| said.get("message")?.as_str());
        Err(told::answered(attempted, status.as_u16(), said.unwrap_or_default()))
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // It ends before the answer only when that was cut off, which the answer then says.
        _ = connection => answer.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::ErrorKind;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    async fn answers(what: &'static [u8]) -> Result<Value, CallError> {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let engine = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 256];
            let read = stream.read(&mut asked).await.unwrap();
            stream.write_all(what).await.unwrap();
            String::from_utf8_lossy(&asked[..read]).into_owned()
        });
        let answer = get(&socket, "look", "/v1.41/system/df").await;
        assert!(engine.await.unwrap().starts_with("GET /v1.41/system/df HTTP/1.1\r\n"));
        answer
    }

    #[tokio::test]
    async fn an_answer_is_read_whatever_its_shape_and_a_refusal_has_its_words() {
        let good = answers(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}").await.unwrap();
        assert_eq!(good["a"], 1);
        let refused =
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 24\r\n\r\n{\"message\":\"no such x\"}  ";
        let refused = answers(refused).await.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::NotFound);
        assert!(refused.message.ends_with("no such x"), "{refused}");
    }

    #[tokio::test]
    async fn half_an_answer_and_none_are_errors_with_words() {
        for bytes in
            [&b"HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n{\"a\""[..], b"", b"\0\0\0\r\n\r\n"]
        {
            let error = answers(bytes).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Failed, "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let error = get(&dir.path().join("none"), "look", "/").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
    }
}
