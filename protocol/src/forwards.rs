//! Forwards: connections to places that a host can reach, carried by the hub unread. Answered by agents; those that are kept
//! ([`kept`]) by the hub.
//!
//! A connection is a feed of its own ([`Dial`]): pieces go both ways, as fast as the slower side takes them.

pub mod direct;
pub mod kept;

use crate::call::{Access, Feed};
use crate::open_enum::open_enum;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest name of a far end, in bytes.
pub const MAX_NAME: usize = 253;
/// The largest datagram, in bytes.
pub const DATAGRAM: usize = 65_507;

open_enum! {
    /// What is carried.
    pub enum Carries {
        /// A connection.
        Tcp = "tcp",
        /// Datagrams to one far end and back.
        Udp = "udp",
    }
}

/// A far end, as the host that dials it calls it. Written as `host:port`; an empty text is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Place {
    /// Reads `host:port`, `[::1]:port`, or a port alone, which is one of the host that dials.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("'{text}' is no place such as 10.0.0.5:5432: {what}"));
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port),
            None => ("127.0.0.1", text),
        };
        let Ok(port @ 1..) = port.parse::<u16>() else {
            return wrong("it does not end in a port from 1 to 65535");
        };
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return wrong("an IPv6 address is written in square brackets");
        }
        let place = Self { host: bare.unwrap_or(host).to_owned(), port }.plain();
        place.check()?;
        Ok(place)
    }

    /// The same place, written in the one way by which rights go: small letters, no dot at the end, addresses in their
    /// shortest form and IPv4 as such.
    #[must_use]
    pub fn plain(&self) -> Self {
        let host = self.host.trim_end_matches('.').to_ascii_lowercase();
        let host = match host.parse::<std::net::IpAddr>() {
            Ok(address) => address.to_canonical().to_string(),
            Err(_) => host,
        };
        Self { host, port: self.port }
    }

    /// Whether it is none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it can be one, and is written plainly.
    pub fn check(&self) -> Result<(), String> {
        let is_address = self.host.parse::<std::net::IpAddr>().is_ok();
        let fine = |c: u8| c.is_ascii_alphanumeric() || b"-._".contains(&c);
        let named = !self.host.is_empty() && self.host.bytes().all(fine);
        if !(is_address || named) || self.host.len() > MAX_NAME {
            return Err("a far end is an address, or a name of letters, digits, '-', '.' and '_'"
                .to_owned());
        }
        // `127.1` and `2130706433` are addresses to some readers of names.
        let last = self.host.rsplit('.').next().unwrap_or_default();
        let digits = last.bytes().all(|c| c.is_ascii_digit()) || last.starts_with("0x");
        if !is_address && digits {
            return Err("an address is written with all its parts, such as 10.0.0.5".to_owned());
        }
        if self.port == 0 {
            return Err("a port is from 1 to 65535".to_owned());
        }
        if self.plain() != *self {
            return Err(format!("write this place as {}", self.plain()));
        }
        Ok(())
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_none() {
            return serializer.serialize_str("");
        }
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "" => Ok(Self::default()),
            text => Self::parse(text).map_err(D::Error::custom),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Connects to a place that the host can reach, and carries what is said both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dial {
    /// Where to; a name is looked up at the host.
    pub to: Place,
    /// What.
    pub carries: Carries,
    /// Only says whether it could: the name is looked up and the policy asked, and nothing is dialed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub look: bool,
}

impl Feed for Dial {
    const METHOD: &'static str = "forwards.dial";
    const ACCESS: Access = Access::Act;
    const RESULT: &'static str = "x";
    type Input = Piece;
    type Item = Piece;
    fn resource(&self) -> String {
        resource(self.carries, &self.to)
    }
}

/// What rights are about: `forward:10.0.0.5:5432`, `udp+forward:10.0.0.5:53`.
pub fn resource(carries: Carries, to: &Place) -> String {
    // Where clients say where to: anywhere.
    let to = if to.is_none() { "*".to_owned() } else { to.to_string() };
    match carries {
        Carries::Tcp => format!("forward:{to}"),
        other => format!("{other}+forward:{to}"),
    }
}

/// What goes either way, in order. One with nothing but bytes is a piece of a connection, or one datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Piece {
    /// Bytes.
    #[serde(rename = "d", with = "serde_bytes", skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<u8>,
    /// No more bytes follow this way; the other way may go on.
    #[serde(rename = "e", skip_serializing_if = "std::ops::Not::not")]
    pub eof: bool,
    /// The address that answered; in the first item, which has no bytes.
    #[serde(rename = "o", skip_serializing_if = "String::is_empty")]
    pub opened: String,
    /// Where this host may be dialed for the connection; in the first item.
    #[serde(rename = "a", skip_serializing_if = "Vec::is_empty")]
    pub at: Vec<std::net::SocketAddr>,
    /// What was carried, in words (`12 bytes there, 4096 bytes back`); in the last item.
    #[serde(rename = "x", skip_serializing_if = "String::is_empty")]
    pub carried: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_one_way_to_be_written() {
        for (text, plain) in [
            ("5432", "127.0.0.1:5432"),
            ("10.0.0.5:80", "10.0.0.5:80"),
            ("DB1.Example.:80", "db1.example:80"),
            ("[::ffff:10.0.0.5]:80", "10.0.0.5:80"),
            ("[FD00:0::1]:80", "[fd00::1]:80"),
        ] {
            assert_eq!(Place::parse(text).unwrap().to_string(), plain, "{text}");
        }
        for bad in ["", "x", "db1:0", "db1:65536", "::1:80", "a b:80", ":80", "127.1:80", "*:80"] {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
        let other = Place { host: "LOCALHOST".into(), port: 1 };
        assert!(other.check().is_err(), "rights would be asked about another word");
        let hexadecimal = Place { host: "0x7f000001".into(), port: 1 };
        assert!(hexadecimal.check().is_err());
    }
}
