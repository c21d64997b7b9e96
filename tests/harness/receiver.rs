//! A web server that hears what the hub posts, and answers as a test wants.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request that came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The path.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Heard {
    /// A header.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Debug)]
struct State {
    heard: Vec<Heard>,
    answer: String,
    hangs: bool,
}

/// The server; it ends when dropped.
#[derive(Debug)]
pub struct Receiver {
    /// Where it is.
    pub url: String,
    state: Arc<Mutex<State>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Receiver {
    /// Starts one that takes everything.
    pub async fn start() -> Self {
        Self::at(0).await
    }

    /// Starts one on this port.
    pub async fn at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            heard: Vec::new(),
            answer: "200 OK".into(),
            hangs: false,
        }));
        let shared = state.clone();
        let serving = tokio::spawn(async move {
            loop {
                let Ok((tcp, _)) = listener.accept().await else { return };
                tokio::spawn(serve(tcp, shared.clone()));
            }
        });
        Self { url, state, serving }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers so from now on: `503 Service Unavailable`.
    pub fn answers(&self, answer: &str) {
        answer.clone_into(&mut self.lock().answer);
    }

    /// Says nothing from now on.
    pub fn hangs(&self, hangs: bool) {
        self.lock().hangs = hangs;
    }

    /// What came.
    pub fn heard(&self) -> Vec<Heard> {
        self.lock().heard.clone()
    }

    /// The first request that fits, once it has come.
    pub async fn until(&self, what: &str, fits: impl Fn(&Heard) -> bool) -> Heard {
        crate::until_some(what, async || self.heard().into_iter().find(|heard| fits(heard))).await
    }
}

async fn serve(mut tcp: TcpStream, state: Arc<Mutex<State>>) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        match tcp.read(&mut piece).await {
            Ok(n) if n > 0 => bytes.extend_from_slice(&piece[..n]),
            _ => return,
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.lines();
    let path = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    while bytes.len() < head + length {
        match tcp.read(&mut piece).await {
            Ok(n) if n > 0 => bytes.extend_from_slice(&piece[..n]),
            _ => return,
        }
    }
    let body = bytes[head..].to_vec();
    let (answer, hangs) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.heard.push(Heard { path, headers, body });
        (state.answer.clone(), state.hangs)
    };
    if hangs {
        tokio::time::sleep(Duration::from_hours(1)).await;
    }
    let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    // Who has gone does not need it.
    drop(tcp.write_all(answer.as_bytes()).await);
}
