//! What a caller lends for sending: a way to post requests, secrets, a clock. The crate connects to nothing by itself
//! but to the address of a mail server that the caller has given it.

use bytes::Bytes;
use futures::future::BoxFuture;
use std::net::SocketAddr;
use zeroize::Zeroizing;

/// Something that goes on.
pub type Doing<'a, T> = BoxFuture<'a, T>;

/// What sending needs.
pub trait Means: Send + Sync {
    /// Posts a request and returns the answer, of whose body no more than the first 64 KiB need be there. Bounds time,
    /// judges where it leads, follows no redirect.
    fn post(&self, request: Request) -> Doing<'_, Result<Answer, Unreachable>>;

    /// The value of a secret. What is wrong names the secret and not its value.
    fn secret(&self, name: &str) -> Result<Secret, String>;

    /// The address of a mail server, which the caller has judged.
    fn mail_server<'a>(&'a self, host: &'a str, port: u16)
    -> Doing<'a, Result<SocketAddr, String>>;

    /// Certificates in PEM form that alone mail servers have to prove themselves by; else it is what the system trusts.
    fn authorities(&self) -> Option<Vec<u8>> {
        None
    }

    /// Wall clock, milliseconds since 1970.
    fn now_ms(&self) -> u64;
}

/// A secret: shown by nothing, wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Of this value, without white space around it.
    pub fn new(value: &str) -> Self {
        Self(Zeroizing::new(value.trim().to_owned()))
    }

    pub(crate) fn value(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A request to be posted. Its address and its headers may be secret, so it is not shown.
#[derive(Clone)]
pub struct Request {
    /// Where to.
    pub url: Zeroizing<String>,
    /// Names and values; the type of the body is among them.
    pub headers: Vec<(&'static str, Zeroizing<String>)>,
    /// What is posted.
    pub body: Bytes,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("body", &self.body.len()).finish_non_exhaustive()
    }
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The beginning of the body.
    pub body: Bytes,
}

/// There is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// In words, without what is secret.
    pub what: String,
    /// Another try changes nothing: the address is none, or none that the hub goes to.
    pub never: bool,
}
