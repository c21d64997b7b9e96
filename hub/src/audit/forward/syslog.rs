//! Records as syslog messages of RFC 5424: facility 13 (log audit), the record as JSON.
//!
//! Over TCP each message has its length before it (RFC 6587). Syslog has no acknowledgements: what the
//! other end has taken into its socket counts as delivered.

use super::{Sink, line};
use cmdr_protocol::audit::{Event, Outcome, Record};
use cmdr_protocol::human::moment;
use serde::Deserialize;
use std::io::{self, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Destination {
    /// `udp://host:port`.
    Udp(String),
    /// `tcp://host:port`.
    Tcp(String),
    /// `unix:///dev/log`.
    Unix(PathBuf),
}

impl TryFrom<String> for Destination {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bad =
            || format!("'{text}' is none of udp://HOST:PORT, tcp://HOST:PORT and unix:///PATH");
        let (kind, rest) = text.split_once("://").ok_or_else(bad)?;
        match kind {
            "udp" | "tcp" => {
                cmdr_protocol::address::check(rest)?;
                let address = rest.to_owned();
                Ok(if kind == "udp" { Self::Udp(address) } else { Self::Tcp(address) })
            }
            "unix" if rest.starts_with('/') => Ok(Self::Unix(rest.into())),
            _ => Err(bad()),
        }
    }
}

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Unix(UnixDatagram),
}

/// A sink.
pub(super) struct Syslog {
    to: Destination,
    host: String,
    socket: Option<Socket>,
}

impl Syslog {
    pub(super) fn new(to: Destination) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let printable = !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic());
        Self { to, host: if printable { host } else { "-".to_owned() }, socket: None }
    }

    fn connect(&self) -> io::Result<Socket> {
        let resolve = |address: &str| {
            address
                .to_socket_addrs()?
                .next()
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
        };
        Ok(match &self.to {
            Destination::Udp(address) => {
                let address = resolve(address)?;
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(address)?;
                Socket::Udp(socket)
            }
            Destination::Tcp(address) => {
                let socket = TcpStream::connect_timeout(&resolve(address)?, PATIENCE)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Socket::Tcp(socket)
            }
            Destination::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_write_timeout(Some(PATIENCE))?;
                socket.connect(path)?;
                Socket::Unix(socket)
            }
        })
    }

    fn message(&self, record: &Record) -> Result<String, String> {
        let severity = match (record.event, record.outcome) {
            (Event::Damaged, _) => 2,
            (Event::Denied | Event::Refused | Event::Cut, _) => 4,
            (_, None | Some(Outcome::Ok)) => 5,
            (_, Some(_)) => 4,
        };
        let time = moment(record.at_ms);
        let time = format!("{}.{:03}Z", time.trim_end_matches('Z'), record.at_ms % 1000);
        let id: String = if record.method.is_empty() {
            record.event.as_str().to_owned()
        } else {
            record.method.chars().filter(char::is_ascii_graphic).take(32).collect()
        };
        let id = if id.is_empty() { "-".to_owned() } else { id };
        Ok(format!(
            "<{}>1 {time} {} cmdr-hub {} {id} - {}",
            13 * 8 + severity,
            self.host,
            std::process::id(),
            line(record)?
        ))
    }

    fn write(&mut self, message: &str) -> io::Result<()> {
        let socket = match self.socket.take() {
            // A reader that has hung up takes nothing more, though the first write would seem to work.
            Some(Socket::Tcp(socket)) if hung_up(&socket) => self.connect()?,
            Some(socket) => socket,
            None => self.connect()?,
        };
        match &socket {
            Socket::Udp(socket) => drop(socket.send(message.as_bytes())?),
            Socket::Unix(socket) => drop(socket.send(message.as_bytes())?),
            Socket::Tcp(socket) => {
                let framed = format!("{} {message}", message.len());
                let mut socket = socket;
                socket.write_all(framed.as_bytes())?;
            }
        }
        // Kept only while it works.
        self.socket = Some(socket);
        Ok(())
    }
}

fn hung_up(socket: &TcpStream) -> bool {
    let peeked = socket.set_nonblocking(true).and_then(|()| socket.peek(&mut [0]));
    let back = socket.set_nonblocking(false);
    back.is_err() || matches!(peeked, Ok(0))
}

impl Sink for Syslog {
    fn send(&mut self, records: &[Record]) -> Result<(), String> {
        for record in records {
            let message = self.message(record)?;
            self.write(&message)
                .map_err(|e| format!("sending to {}: {}", self.to, cmdr_link::files::reason(&e)))?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_reads_back_and_a_wrong_one_is_refused() {
        for text in ["udp://log:514", "tcp://[::1]:601", "unix:///dev/log"] {
            assert_eq!(Destination::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for wrong in ["", "log:514", "http://log:1", "udp://log", "unix://dev/log"] {
            assert!(Destination::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_message_is_one_line_of_rfc_5424_whatever_the_names_hold() {
        let syslog = Syslog::new(Destination::Udp("log:514".to_owned()));
        let record = Record {
            seq: 7,
            at_ms: 1_795_202_927_042,
            event: Event::Denied,
            operator: "ann\n<13>1 forged".to_owned(),
            method: "exec.start\n".to_owned(),
            ..Record::default()
        };
        let text = syslog.message(&record).unwrap();
        assert!(text.starts_with("<108>1 2026-11-20T19:28:47.042Z "), "{text}");
        assert!(text.contains(" exec.start - {\"seq\":7"), "{text}");
        assert!(!text.contains('\n') && text.contains("ann\\n<13>1 forged"), "{text}");
    }
}
