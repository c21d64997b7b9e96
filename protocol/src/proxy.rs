//! Requests of programs that speak to a host's container engine themselves, carried one by one, so that the hub
//! authorises and records each. Answered by agents.
//!
//! A request is a feed of its own: its body comes in inputs, the answer in items, and a connection that both sides go on
//! with (`docker exec`, `docker attach`) the same way. Plain looking ([`Look`]) is told from all else ([`Request`]): whoever
//! may make any request can do on the host whatever root can.

use crate::call::{Access, Feed};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The largest piece of a body in one message, in bytes.
pub const CHUNK: usize = 64 * 1024;
/// The longest path, in bytes.
pub const MAX_PATH: usize = 4096;
/// The longest query, in bytes.
pub const MAX_QUERY: usize = 64 * 1024;
/// All headers together, in bytes.
pub const MAX_HEADERS: usize = 64 * 1024;

/// What may be looked at: none of it shows an environment, a file, a log or a credential, which options of volumes may
/// have. `*` stands for one name.
const LOOKS: &[&[&str]] = &[
    &["_ping"],
    &["version"],
    &["info"],
    &["events"],
    &["containers", "json"],
    &["containers", "*", "changes"],
    &["containers", "*", "stats"],
    &["containers", "*", "top"],
    &["images", "json"],
    &["images", "search"],
    &["images", "*", "history"],
    &["networks"],
    &["networks", "*"],
];

/// A path as it is authorised: what stands for other characters is read, and the version of the interface is left
/// out. The error is for people: paths that the engine would take for another one are refused.
pub fn path_of(path: &str) -> Result<String, String> {
    let wrong = |what: &str| Err(format!("the path of this request {what}"));
    if path.len() > MAX_PATH {
        return wrong("is too long");
    }
    let mut bytes = path.bytes();
    let mut read = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            read.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
            return wrong("has a '%' without two digits");
        };
        read.push((high * 16 + low) as u8);
    }
    let Ok(read) = String::from_utf8(read) else { return wrong("is no text") };
    let Some(rest) = read.strip_prefix('/') else { return wrong("does not begin with '/'") };
    if read.chars().any(char::is_control) || read.contains(['?', '#']) {
        return wrong("has characters that no name has");
    }
    // One slash at the end means nothing, all else that is empty or goes up means another path.
    let rest = rest.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(rest);
    if rest.split('/').any(|part| matches!(part, "" | "." | "..")) && !rest.is_empty() {
        return wrong("is not written plainly");
    }
    let (first, others) = rest.split_once('/').unwrap_or((rest, ""));
    let is_version = first.strip_prefix('v').is_some_and(|version| {
        version.starts_with(|c: char| c.is_ascii_digit())
            && version.chars().all(|c| c.is_ascii_digit() || c == '.')
    });
    Ok(format!("/{}", if is_version { others } else { rest }))
}

/// Whether a request only looks at what everybody who may look may see.
pub fn is_look(method: &str, path: &str) -> bool {
    let Ok(path) = path_of(path) else { return false };
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let fits = |look: &&[&str]| {
        look.len() == parts.len() && look.iter().zip(&parts).all(|(a, b)| *a == "*" || a == b)
    };
    // Names of images have slashes.
    let history = parts.len() > 3 && parts[0] == "images" && parts.last() == Some(&"history");
    matches!(method, "GET" | "HEAD") && (history || LOOKS.iter().any(fits))
}

/// Whether what stands behind the `?` may hold what nobody else shall read: arguments of builds, addresses to fetch from.
pub fn has_private_query(path: &str) -> bool {
    path_of(path).is_ok_and(|path| matches!(path.as_str(), "/build" | "/images/create"))
}

/// A request without its body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// Its path, as it was written.
    pub path: String,
    /// What stands behind the `?`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// The same, where it is nobody else's business ([`has_private_query`]).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub private_query: String,
    /// Its headers, by their small names, but for those about the connection itself.
    pub headers: BTreeMap<String, String>,
    /// What the connection shall become (`tcp`, `h2c`); empty for a request with an answer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub upgrade: String,
    /// Whether a body comes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub body: bool,
}

impl Asked {
    /// `GET /containers/json`: the method, and the path as it is authorised.
    pub fn named(&self) -> String {
        // A path that is refused is named as it is; it is not let through.
        let path = path_of(&self.path).unwrap_or_else(|_| self.path.clone());
        format!("{} {path}", self.method)
    }
}

/// Looks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Look(pub Asked);

/// Asks for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Request(pub Asked);

/// What must not be in the audit log.
const SECRETS: &[&str] = &["headers.*", "private_query"];

impl Feed for Look {
    const METHOD: &'static str = "proxy.look";
    const ACCESS: Access = Access::Read;
    const SECRETS: &'static [&'static str] = SECRETS;
    const RESULT: &'static str = "x";
    type Input = Input;
    type Item = Item;
    fn resource(&self) -> String {
        self.0.named()
    }
}

impl Feed for Request {
    const METHOD: &'static str = "proxy.request";
    const ACCESS: Access = Access::Admin;
    const SECRETS: &'static [&'static str] = SECRETS;
    const RESULT: &'static str = "x";
    type Input = Input;
    type Item = Item;
    fn resource(&self) -> String {
        self.0.named()
    }
}

/// A piece of the body, or of what is said over a connection that goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Input {
    /// Bytes.
    #[serde(rename = "d", with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<u8>,
    /// No more follow.
    #[serde(rename = "e", skip_serializing_if = "std::ops::Not::not")]
    pub eof: bool,
}

/// What the engine answers, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Item {
    /// How it answers; the first item.
    #[serde(rename = "h", skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// Bytes of the body, or of a connection that goes on.
    #[serde(rename = "d", with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<u8>,
    /// The status again; in the last item.
    #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

/// The head of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Head {
    /// The status; 101 when the connection goes on.
    pub status: u16,
    /// Headers, but for those about the connection itself.
    pub headers: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_authorised_as_the_engine_reads_it() {
        for (written, read) in [
            ("/v1.41/containers/json", "/containers/json"),
            ("/containers/web/start", "/containers/web/start"),
            ("/v1.41/images/docker.io/library/a:1/json", "/images/docker.io/library/a:1/json"),
            ("/containers/%77eb/json", "/containers/web/json"),
            ("/containers/json/", "/containers/json"),
            ("/v1.24", "/"),
            ("/version", "/version"),
        ] {
            assert_eq!(path_of(written).as_deref(), Ok(read));
        }
        for refused in [
            "",
            "x",
            "/a/../b",
            "/a//b",
            "/a/./b",
            "/a/%2e%2e/b",
            "/%",
            "/%zz",
            "/a%0ab",
            "//",
            "/%ff",
            "/a%3fb",
        ] {
            assert!(path_of(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn looking_is_what_shows_no_secret_and_nothing_else() {
        for (method, path) in [
            ("GET", "/v1.41/containers/json"),
            ("HEAD", "/_ping"),
            ("GET", "/images/docker.io/library/a/history"),
            ("GET", "/networks/x"),
        ] {
            assert!(is_look(method, path), "{method} {path}");
        }
        for (method, path) in [
            ("POST", "/containers/json"),
            ("GET", "/containers/web/json"),
            ("GET", "/containers/web/logs"),
            ("GET", "/containers/web/archive"),
            ("GET", "/containers/web/export"),
            ("GET", "/images/a/get"),
            ("GET", "/images/get"),
            ("GET", "/exec/x/json"),
            ("GET", "/secrets"),
            ("GET", "/volumes"),
            ("GET", "/system/df"),
            ("GET", "/containers/../containers/json"),
        ] {
            assert!(!is_look(method, path), "{method} {path}");
        }
    }

    #[test]
    fn a_request_is_named_by_its_method_and_path_alone() {
        let asked = Asked {
            method: "POST".into(),
            path: "/v1.41/containers/create".into(),
            query: "name=web".into(),
            ..Asked::default()
        };
        assert_eq!(Request(asked).resource(), "POST /containers/create");
    }
}
