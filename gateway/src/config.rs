//! The gateway's configuration as it is written in TOML. Read here, judged in `plan`; docs/gateway.md
//! describes every key. Unknown keys are refused, so that a mistyped limit is not silently absent.
//!
//! What supervises a gateway reads and writes the same, in other forms: lists may be called by their plurals there.

use crate::decode::proxy::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// A whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Event loops; 0: one for each core. Only read at a start.
    pub workers: usize,
    /// Connections at once over all listeners; 0: what the limit of open files allows.
    pub max_connections: usize,
    #[serde(rename = "listener", alias = "listeners")]
    pub listeners: Vec<Listener>,
    #[serde(rename = "group", alias = "groups")]
    pub groups: Vec<Group>,
    #[serde(rename = "policy", alias = "policies")]
    pub policies: Vec<Policy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    #[default]
    Tcp,
    Udp,
}

/// How a listener finds where a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// To its group.
    #[default]
    Forward,
    /// To the group of the name in the TLS hello.
    Sni,
    /// Where the client says, by SOCKS5.
    Socks5,
    /// Where the client says, by HTTP.
    HttpProxy,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    pub name: String,
    pub address: SocketAddr,
    #[serde(default)]
    pub transport: Transport,
    #[serde(default)]
    pub mode: Mode,
    /// Name of the group that connections go to; with `sni` those without a name that is listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Server name (or `*.name`) to group.
    #[serde(default)]
    pub sni: BTreeMap<String, String>,
    /// A PROXY header is required of every client; who sends one must be limited by a policy.
    #[serde(default)]
    pub accept_proxy: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// User to password, of forward front ends.
    #[serde(default)]
    pub users: BTreeMap<String, String>,
    /// Networks that forward front ends may lead to, with ports or with all.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Of SOCKS5: datagrams as well. Each client that asks gets a relay on a free port of the address that it came to.
    #[serde(default)]
    pub udp: bool,
    /// 0: no limit but the gateway's.
    #[serde(default)]
    pub max_connections: usize,
    #[serde(default = "backlog")]
    pub backlog: u16,
    /// Neither side has sent for so long; 10 minutes for TCP and one for UDP when it does not say.
    #[serde(default, with = "some_time", skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<Duration>,
    #[serde(default = "seconds_10", with = "time")]
    pub preface_timeout: Duration,
    #[serde(default = "minute", with = "time")]
    pub half_close_timeout: Duration,
}

impl Listener {
    /// Milliseconds of silence after which a connection or flow is ended.
    pub fn idle(&self) -> u64 {
        let usual = if self.transport == Transport::Tcp { minutes_10() } else { minute() };
        self.idle_timeout.unwrap_or(usual).as_millis() as u64
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    #[default]
    RoundRobin,
    LeastConnections,
    RandomTwo,
    SourceHash,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    pub name: String,
    #[serde(default)]
    pub balance: Balance,
    #[serde(default = "seconds_5", with = "time")]
    pub connect_timeout: Duration,
    /// Further upstreams that are tried when a connection cannot be made.
    #[serde(default = "two")]
    pub retries: u8,
    /// Connections that may wait when every upstream is full.
    #[serde(default)]
    pub queue: usize,
    #[serde(default = "seconds_5", with = "time")]
    pub queue_timeout: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_proxy: Option<Version>,
    /// From nothing to its whole weight after an upstream has come back.
    #[serde(default, with = "time")]
    pub slow_start: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passive: Option<Passive>,
    #[serde(rename = "upstream", alias = "upstreams", default)]
    pub upstreams: Vec<Upstream>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    Tcp,
    Http,
    Tls,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub kind: CheckKind,
    #[serde(default = "slash")]
    pub path: String,
    /// `Host` of HTTP, server name of TLS.
    #[serde(default)]
    pub host: String,
    #[serde(default = "seconds_2", with = "time")]
    pub interval: Duration,
    #[serde(default = "seconds_2", with = "time")]
    pub timeout: Duration,
    #[serde(default = "two_u32")]
    pub rise: u32,
    #[serde(default = "three")]
    pub fall: u32,
}

/// Ejection by what connections meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passive {
    /// Failed connections in a row.
    #[serde(default = "three")]
    pub failures: u32,
    #[serde(default = "seconds_10", with = "time")]
    pub eject: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    pub address: SocketAddr,
    #[serde(default = "one")]
    pub weight: u32,
    #[serde(default)]
    pub backup: bool,
    /// 0: no limit.
    #[serde(default)]
    pub max_connections: usize,
    /// Takes no new connections.
    #[serde(default)]
    pub drain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    #[default]
    Allow,
    Deny,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub name: String,
    /// For addresses that no network holds.
    #[serde(default)]
    pub default: Verdict,
    #[serde(default)]
    pub allow: Vec<String>,
    #[serde(default)]
    pub deny: Vec<String>,
    /// Files with a network a line; `#` begins a comment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_file: Option<std::path::PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny_file: Option<std::path::PathBuf>,
    /// Of one address (IPv6: of one /64); 0: no limit.
    #[serde(default)]
    pub connections_per_second: u32,
    /// Connections that may come at once; 0: as many as in a second.
    #[serde(default)]
    pub burst: u32,
    #[serde(default)]
    pub bytes_per_second: u64,
    #[serde(default)]
    pub concurrent: u32,
    /// Refusals within a minute after which an address is banned; 0: never.
    #[serde(default)]
    pub ban_after: u32,
    #[serde(default = "minutes_10", with = "time")]
    pub ban_for: Duration,
}

fn backlog() -> u16 {
    4096
}
fn minutes_10() -> Duration {
    Duration::from_mins(10)
}
fn minute() -> Duration {
    Duration::from_mins(1)
}
fn seconds_10() -> Duration {
    Duration::from_secs(10)
}
fn seconds_5() -> Duration {
    Duration::from_secs(5)
}
fn seconds_2() -> Duration {
    Duration::from_secs(2)
}
fn one() -> u32 {
    1
}
fn two() -> u8 {
    2
}
fn two_u32() -> u32 {
    2
}
fn three() -> u32 {
    3
}
fn slash() -> String {
    "/".to_owned()
}

/// `"250ms"`, `"5s"`, `"10m"`, `"1h"`.
mod time {
    use super::{Deserialize, Deserializer, Duration, Serializer, parse_duration};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{}ms", time.as_millis()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        parse_duration(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "\"{text}\" is no time such as \"250ms\", \"5s\" or \"10m\""
            ))
        })
    }
}

mod some_time {
    use super::{Deserializer, Duration, Serializer, time};

    #[expect(clippy::ref_option, reason = "what is written is given so")]
    pub(super) fn serialize<S: Serializer>(
        some: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match some {
            Some(some) => time::serialize(some, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        time::deserialize(from).map(Some)
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(at);
    let number: u64 = number.parse().ok().filter(|n| *n <= 36_000_000_000_000)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        "h" => Some(Duration::from_secs(number * 3600)),
        _ => None,
    }
}
