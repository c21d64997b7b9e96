//! Questions to the engine that it answers with lines of JSON as it goes on. The library does not tell which layer a
//! line of a push is about, and writes passwords in an alphabet that the engine does not read.

use crate::engine::{Engine, told};
use bollard::errors::Error;
use bytes::Bytes;
use cmdr_protocol::CallError;
use cmdr_protocol::images::Login;
use data_encoding::BASE64URL;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::path::Path;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

/// The longest line.
const LONGEST: usize = 1 << 20;
/// Bytes of a refusal.
const REFUSAL: usize = 64 * 1024;

/// One line.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Line {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) stream: String,
    pub(super) error: String,
    #[serde(rename = "progressDetail")]
    pub(super) progress: Option<Detail>,
    pub(super) aux: Option<Aux>,
}

/// How far a layer is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Detail {
    pub(super) current: i64,
    pub(super) total: i64,
}

/// What was pushed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Aux {
    pub(super) digest: String,
}

/// The answer, line by line. When it is dropped the engine hears of it, and gives up.
pub(super) struct Lines {
    attempted: String,
    body: Incoming,
    held: Vec<u8>,
    _driving: JoinSet<()>,
}

/// Posts nothing to this path and reads what is answered.
pub(super) async fn post(
    engine: &Engine,
    socket: &Path,
    attempted: &str,
    path: &str,
    login: Option<&Login>,
) -> Result<Lines, CallError> {
    let io = |err: std::io::Error| told(attempted, &Error::IOError { err });
    let http = |err: hyper::Error| told(attempted, &Error::HyperResponseError { err });
    let stream = UnixStream::connect(socket).await.map_err(io)?;
    let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(http)?;
    let mut driving = JoinSet::new();
    driving.spawn(async move { drop(connection.await) });
    let request = Request::post(format!("/v{}{path}", engine.version()))
        .header("host", "docker")
        .header("x-registry-auth", registry_auth(login).as_str())
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|err| told(attempted, &Error::HttpClientError { err }))?;
    let answer = send.send_request(request).await.map_err(http)?;
    if !answer.status().is_success() {
        return Err(refused(attempted, answer).await);
    }
    let attempted = attempted.to_owned();
    Ok(Lines { attempted, body: answer.into_body(), held: Vec::new(), _driving: driving })
}

async fn refused(attempted: &str, answer: Response<Incoming>) -> CallError {
    #[derive(Default, Deserialize)]
    struct Said {
        message: String,
    }
    let status_code = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), REFUSAL).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let said: Said = serde_json::from_slice(&body).unwrap_or_default();
    let status_code = meant(status_code, &said.message);
    told(attempted, &Error::DockerResponseServerError { status_code, message: said.message })
}

/// What a registry says to the engine comes as a fault of the engine's: what it means has to be read from the words.
fn meant(status: u16, words: &str) -> u16 {
    let says = |all: &[&str]| all.iter().any(|said| words.contains(said));
    match status {
        500 if says(&["unauthorized", "denied", "no basic auth", "authentication required"]) => 403,
        500 if says(&["not found", "manifest unknown", "does not exist"]) => 404,
        status => status,
    }
}

/// Who asks, as the engine wants to be told. One that asks as nobody has to say so too.
fn registry_auth(login: Option<&Login>) -> Zeroizing<String> {
    let Some(login) = login.filter(|login| !login.username.is_empty()) else {
        return Zeroizing::new(BASE64URL.encode(b"{}"));
    };
    let json = serde_json::json!({
        "username": login.username,
        "password": login.password,
        "serveraddress": login.registry,
    });
    let json = Zeroizing::new(json.to_string());
    Zeroizing::new(BASE64URL.encode(json.as_bytes()))
}

impl Lines {
    /// The next line; nothing when the engine is done.
    pub(super) async fn next(&mut self) -> Result<Option<Line>, CallError> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.held) {
                let line: Vec<u8> = self.held.drain(..=end).collect();
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return self.read(&line).map(Some);
            }
            if self.held.len() > LONGEST {
                return Err(self.unusable("a line of it has no end"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.held.extend_from_slice(data);
                    }
                }
                Some(Err(err)) => {
                    return Err(told(&self.attempted, &Error::HyperResponseError { err }));
                }
                None if self.held.trim_ascii().is_empty() => return Ok(None),
                None => {
                    let line = std::mem::take(&mut self.held);
                    return self.read(&line).map(Some);
                }
            }
        }
    }

    /// A line that tells an error is one.
    fn read(&self, line: &[u8]) -> Result<Line, CallError> {
        let line: Line = serde_json::from_slice(line).map_err(|e| self.unusable(&e.to_string()))?;
        if line.error.is_empty() {
            return Ok(line);
        }
        // It has sent its status already.
        let status_code = meant(500, &line.error);
        let message = line.error;
        Err(told(&self.attempted, &Error::DockerResponseServerError { status_code, message }))
    }

    fn unusable(&self, why: &str) -> CallError {
        CallError::failed(format!(
            "{}: the Docker engine's answer cannot be used: {why}",
            self.attempted
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_told_in_the_alphabet_that_the_engine_reads() {
        let login = Login {
            registry: "r".into(),
            username: "u".into(),
            password: "\u{fb}\u{ff}>>>???".into(),
        };
        let told = registry_auth(Some(&login));
        assert!(!told.contains(['+', '/']), "{}", told.as_str());
        let json = BASE64URL.decode(told.as_bytes()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["password"], "\u{fb}\u{ff}>>>???");
        assert_eq!(registry_auth(None).as_str(), "e30=");
    }
}
