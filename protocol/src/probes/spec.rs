//! What a probe asks. cmdr-probes reads it from YAML and runs it.

use crate::open_enum::open_enum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A probe: exactly one of its kinds is there. One without any is of a kind that this release does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Probe {
    /// Its name.
    pub name: String,
    /// How often, milliseconds.
    pub every_ms: u64,
    /// How long one look may take, milliseconds.
    pub timeout_ms: u64,
    /// A page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
    /// A port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<Tcp>,
    /// An echo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp: Option<Icmp>,
    /// A name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
    /// A certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// A program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
}

impl Probe {
    /// The kind's name and what it asks, for people.
    pub fn about(&self) -> (&'static str, String) {
        if let Some(http) = &self.http {
            ("http", http.url.clone())
        } else if let Some(tcp) = &self.tcp {
            ("tcp", format!("{}:{}", tcp.host, tcp.port))
        } else if let Some(icmp) = &self.icmp {
            ("icmp", icmp.host.clone())
        } else if let Some(dns) = &self.dns {
            let of = dns.server.as_deref().map_or_else(String::new, |s| format!(" @{s}"));
            ("dns", format!("{} {}{of}", dns.record, dns.name))
        } else if let Some(tls) = &self.tls {
            ("tls", format!("{}:{}", tls.host, tls.port))
        } else if let Some(script) = &self.script {
            ("script", script.command.join(" "))
        } else {
            ("unknown", String::new())
        }
    }
}

/// When several agents together say that it is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// Agents that have to say so; 0 for more than half of those that answer.
    pub quorum: u32,
    /// Agents that have to answer, or nothing is said.
    pub at_least: u32,
    /// Looks that fail after the first that did, before an agent counts as saying so.
    pub retries: u32,
}

/// A page is asked for over HTTP/1.1. No proxy of the environment is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Http {
    /// `http://` or `https://`.
    pub url: String,
    /// Such as `GET`.
    pub method: String,
    /// More headers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What is sent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Statuses that are as they should be, from and to.
    pub status: Vec<(u16, u16)>,
    /// Stands in the first 256 KiB of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// A regular expression that is found there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<String>,
    /// So many redirects are followed.
    pub redirects: u8,
    /// The certificate may be any.
    pub insecure: bool,
    /// Certificates in PEM form that the chain leads to; absent for what the host trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
}

/// A port takes connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tcp {
    /// A name or an address.
    pub host: String,
    /// Which.
    pub port: u16,
    /// Sent first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<String>,
    /// Stands in the first 64 KiB of what comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
}

/// Echoes come back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Icmp {
    /// A name or an address.
    pub host: String,
    /// So many are sent; one that comes back is enough.
    pub count: u8,
}

open_enum! {
    /// What is asked of a name.
    pub enum Record {
        /// IPv4 addresses.
        A = "A",
        /// IPv6 addresses.
        Aaaa = "AAAA",
        /// Another name of it.
        Cname = "CNAME",
        /// Mail servers.
        Mx = "MX",
        /// Texts.
        Txt = "TXT",
        /// Name servers.
        Ns = "NS",
    }
}

/// A name has records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Which.
    pub name: String,
    /// What of it.
    pub record: Record,
    /// Who is asked, as an address with or without a port; absent for those that the host asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// All of these are among the answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<String>,
}

/// A certificate is good, and stays so for a while.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// A name or an address.
    pub host: String,
    /// Which.
    pub port: u16,
    /// The name that the certificate is to be for; absent for `host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// It is a warning when less is left, milliseconds.
    pub warn_ms: u64,
    /// It is down when less is left, milliseconds.
    pub least_ms: u64,
    /// Certificates in PEM form that the chain leads to; absent for what the host trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorities: Option<String>,
}

/// A program says how it is: it ends with 0 for up, 1 for a warning, 2 for down, 3 for not known. The first line of its
/// output is why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Script {
    /// The program and its words; no shell reads them.
    pub command: Vec<String>,
    /// As whom; absent for the agent's own user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Bytes of address space that it may have.
    pub memory: u64,
}
