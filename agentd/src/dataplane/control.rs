//! What is said to a gateway over its control socket: a line of JSON each way, both bounded in size and time.

use super::Wrong;
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// A change waits for every event loop.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest answer that is read.
const LONGEST: u64 = 64 << 20;

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    /// No process.
    Nobody,
    /// One that does not answer. It may hold all that another one would need.
    Silent,
    /// This one; it may be about to end with its last connection.
    Process { pid: u32, ends: bool },
}

/// The socket.
#[derive(Debug)]
pub(super) struct Control(PathBuf);

impl Control {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Asks one thing; what is wrong with it, a line each.
    pub(super) async fn ask(&self, request: &Value) -> Result<Value, Wrong> {
        let asked = tokio::time::timeout(PATIENCE, self.talk(request)).await;
        let answer = match asked {
            Ok(Ok(answer)) => answer,
            Ok(Err(e)) => return Err(vec![format!("asking this host's gateway: {e}")]),
            Err(_) => {
                return Err(vec![format!(
                    "this host's gateway has not answered for {} s",
                    PATIENCE.as_secs()
                )]);
            }
        };
        match answer.get("error") {
            None => Ok(answer),
            Some(Value::Array(wrong)) => {
                let line = |line: &Value| line.as_str().unwrap_or("it refused").to_owned();
                Err(wrong.iter().map(line).collect())
            }
            Some(other) => Err(vec![other.to_string()]),
        }
    }

    async fn talk(&self, request: &Value) -> io::Result<Value> {
        let mut stream = BufReader::new(UnixStream::connect(&self.0).await?);
        stream.get_mut().write_all(format!("{request}\n").as_bytes()).await?;
        let mut line = Vec::new();
        (&mut stream).take(LONGEST).read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended meanwhile"));
        }
        Ok(serde_json::from_slice(&line)?)
    }

    /// Gives it a whole configuration: `apply`, or `check` to have it judged.
    pub(super) async fn take(&self, text: &str, how: &str) -> Result<(), Wrong> {
        self.ask(&json!({"request": how, "config": text})).await.map(drop)
    }

    /// Who answers there.
    pub(super) async fn there(&self) -> There {
        if UnixStream::connect(&self.0).await.is_err() {
            return There::Nobody;
        }
        let Ok(status) = self.ask(&json!({"request": "status"})).await else {
            // It may have ended between the two.
            let gone = UnixStream::connect(&self.0).await.is_err();
            return if gone { There::Nobody } else { There::Silent };
        };
        let pid = status.get("pid").and_then(Value::as_u64).and_then(|pid| pid.try_into().ok());
        let ends = status.get("ending").and_then(Value::as_bool).unwrap_or(false);
        pid.map_or(There::Silent, |pid| There::Process { pid, ends })
    }
}
