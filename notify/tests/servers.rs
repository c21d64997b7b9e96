//! Servers for tests: one that answers requests as a function says, and some that do not behave.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Came {
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A parameter of the address, its percent signs read.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let (_, query) = self.path.split_once('?')?;
        let raw = query.split('&').find_map(|p| p.strip_prefix(name)?.strip_prefix('='))?;
        assert!(!raw.contains(['+', '/', '=']), "it is not encoded: {raw}");
        Some(raw.replace("%2B", "+").replace("%2F", "/").replace("%3D", "="))
    }
}

/// A server that answers as it is told to; stops when it is dropped.
pub(crate) struct Server {
    pub url: String,
    pub came: Arc<Mutex<Vec<Came>>>,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    pub(crate) fn last(&self) -> Came {
        self.came.lock().unwrap().last().unwrap().clone()
    }
}

/// Status, headers, body.
pub(crate) type Reply = (u16, Vec<(&'static str, String)>, String);

pub(crate) fn ok(body: &str) -> Reply {
    (200, Vec::new(), body.to_owned())
}

pub(crate) async fn answers(with: impl Fn(&Came) -> Reply + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let came = Arc::new(Mutex::new(Vec::new()));
    let (heard, with) = (came.clone(), Arc::new(with));
    let serving = tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let (heard, with) = (heard.clone(), with.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (heard, with) = (heard.clone(), with.clone());
                async move {
                    assert_eq!(request.method(), "POST");
                    let path = request.uri().to_string();
                    let text = |v: &hyper::header::HeaderValue| v.to_str().unwrap().to_owned();
                    let headers =
                        request.headers().iter().map(|(n, v)| (n.to_string(), text(v))).collect();
                    let body = request.into_body().collect().await.unwrap().to_bytes().to_vec();
                    let came = Came { path, headers, body };
                    let (status, more, body) = with(&came);
                    heard.lock().unwrap().push(came);
                    let mut reply = Response::builder().status(status);
                    for (name, value) in more {
                        reply = reply.header(name, value);
                    }
                    Ok::<_, Infallible>(reply.body(Full::new(Bytes::from(body))).unwrap())
                }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            connection.serve_connection(TokioIo::new(tcp), service).await.ok();
        }
    });
    Server { url, came, serving }
}

/// Speaks TCP: reads a little, then writes this many times over, then hangs or closes.
pub(crate) async fn raw(
    first: bool,
    say: &'static [u8],
    times: usize,
    hang: bool,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        if !first {
            let mut bytes = [0; 4096];
            let read = tcp.read(&mut bytes).await.unwrap();
            assert!(read > 0);
        }
        for _ in 0..times {
            // Whoever hangs up has heard enough.
            if tcp.write_all(say).await.is_err() {
                return;
            }
        }
        if hang {
            std::future::pending::<()>().await;
        }
    });
    (address, serving)
}
