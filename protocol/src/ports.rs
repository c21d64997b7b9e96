//! Sockets of a host: what listens, what is connected, and which process holds each.

use crate::call::{Access, Call, Feed, Nothing};
use crate::open_enum::open_enum;
use crate::sift::Sift;
use crate::table;
use serde::{Deserialize, Serialize};

/// Sockets that fit what is asked for; the host filters, so that an answer about one port is small
/// however many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct List {
    /// Also sockets that are connected; otherwise those that listen.
    pub connected: bool,
    /// Also listening sockets of the UNIX family.
    pub unix: bool,
    /// Only those with this local port; with [`List::connected`] also those with it at the far side.
    pub port: Option<u16>,
    /// Only those whose program, process number or user is or contains this.
    pub process: String,
    /// At most so many; 0 for as many as fit into a reply.
    pub limit: u32,
    /// Only those that fit this, too.
    #[serde(skip_serializing_if = "Sift::is_empty")]
    pub sift: Sift,
}

impl Call for List {
    const METHOD: &'static str = "ports.list";
    const ACCESS: Access = Access::Read;
    type Reply = Listing;
}

/// The answer to a [`List`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// Listening ones first, then by address.
    pub sockets: Vec<Socket>,
    /// So many more fit, and were left out.
    pub left_out: u64,
    /// Figures over all of them.
    pub summary: Summary,
    /// They were sifted by [`List::sift`]; an agent that does not know it leaves that to whoever asked.
    pub sifted: bool,
}

/// Listening sockets, then what changes about them, with figures over the connected ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Milliseconds between samples, 1000 to 60000; others are brought into that range.
    pub interval_ms: u64,
}

impl Feed for Watch {
    const METHOD: &'static str = "ports.watch";
    const ACCESS: Access = Access::Read;
    type Input = Nothing;
    type Item = Change;
}

/// What changed since this watcher's last item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// The table.
    #[serde(rename = "t")]
    pub table: table::Change<Socket>,
    /// Figures now; absent when they are as they were.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

open_enum! {
    /// A family of sockets.
    pub enum Protocol {
        /// TCP over IPv4.
        Tcp = "tcp",
        /// TCP over IPv6.
        Tcp6 = "tcp6",
        /// UDP over IPv4.
        Udp = "udp",
        /// UDP over IPv6.
        Udp6 = "udp6",
        /// Within the host.
        Unix = "unix",
    }
}

open_enum! {
    /// Where a socket stands, in the kernel's words.
    pub enum State {
        /// Takes connections; of UDP: bound, and takes from anybody.
        Listen = "listen",
        /// Connected.
        Established = "established",
        /// Waits for the answer to its call.
        SynSent = "syn-sent",
        /// Was called, and waits for the last word.
        SynRecv = "syn-recv",
        /// Closed here first, waits.
        FinWait1 = "fin-wait-1",
        /// Closed here first, waits for the far side.
        FinWait2 = "fin-wait-2",
        /// Over; kept so that late packets harm nothing.
        TimeWait = "time-wait",
        /// Closed.
        Close = "close",
        /// The far side has closed; the program has not.
        CloseWait = "close-wait",
        /// Waits for the last acknowledgement.
        LastAck = "last-ack",
        /// Both sides close.
        Closing = "closing",
    }
}

/// One socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Socket {
    /// The kernel's number for it; 0 for those that no process holds any more.
    #[serde(rename = "i")]
    pub inode: u64,
    /// Its family.
    #[serde(rename = "f")]
    pub protocol: Protocol,
    /// Where it stands.
    #[serde(rename = "st")]
    pub state: State,
    /// Address here; of the UNIX family the path, `@` before an abstract one.
    #[serde(rename = "l")]
    pub local: String,
    /// Port here; 0 for the UNIX family.
    #[serde(rename = "lp")]
    pub port: u16,
    /// Address of the far side; empty when it has none.
    #[serde(rename = "r", skip_serializing_if = "String::is_empty")]
    pub remote: String,
    /// Port of the far side.
    #[serde(rename = "rp")]
    pub remote_port: u16,
    /// Bytes that wait to be read; of a listening TCP socket: connections that wait to be taken.
    #[serde(rename = "rq")]
    pub received: u32,
    /// Bytes that wait to be sent or acknowledged.
    #[serde(rename = "sq")]
    pub sending: u32,
    /// User who made it, by name, or number when it has none.
    #[serde(rename = "u")]
    pub user: String,
    /// The process that holds it; 0 when the agent does not see it.
    #[serde(rename = "p")]
    pub pid: u32,
    /// Start of that process, as [`crate::processes::Process::start`].
    #[serde(rename = "b")]
    pub start: u64,
    /// Short name of that process.
    #[serde(rename = "n")]
    pub program: String,
    /// Full command line of that process.
    #[serde(rename = "c", skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// How many processes hold it; the one above has the lowest number.
    #[serde(rename = "h")]
    pub holders: u32,
}

impl Socket {
    /// Whether it waits for others to call.
    pub fn listens(&self) -> bool {
        self.state == State::Listen
    }

    /// Address and port here, as people write them.
    pub fn here(&self) -> String {
        join(self.protocol, &self.local, self.port)
    }

    /// Address and port of the far side; empty when it has none.
    pub fn there(&self) -> String {
        if self.remote.is_empty() {
            return String::new();
        }
        join(self.protocol, &self.remote, self.remote_port)
    }
}

fn join(protocol: Protocol, address: &str, port: u16) -> String {
    match protocol {
        Protocol::Unix => address.to_owned(),
        _ if address.contains(':') => format!("[{address}]:{port}"),
        _ => format!("{address}:{port}"),
    }
}

/// What a socket is known by: sockets without a number are told apart by their ends.
pub type Key = (u64, Protocol, String, u16, String, u16);

impl table::Row for Socket {
    type Key = Key;
    fn key(&self) -> Key {
        if self.inode > 0 {
            return (self.inode, self.protocol, String::new(), 0, String::new(), 0);
        }
        let (local, remote) = (self.local.clone(), self.remote.clone());
        (0, self.protocol, local, self.port, remote, self.remote_port)
    }
    fn weight(&self) -> usize {
        let texts = [&self.local, &self.remote, &self.user, &self.program, &self.command];
        110 + texts.iter().map(|text| text.len()).sum::<usize>()
    }
}

/// Figures over all sockets of a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Listening TCP sockets.
    pub listening: u32,
    /// Bound UDP sockets.
    pub bound: u32,
    /// Listening sockets of the UNIX family.
    pub unix: u32,
    /// Connected TCP sockets.
    pub established: u32,
    /// TCP sockets that are over and wait.
    pub time_wait: u32,
    /// TCP sockets that the far side has closed and the program has not.
    pub close_wait: u32,
    /// Other TCP sockets.
    pub other: u32,
    /// Connected UDP sockets.
    pub udp_connected: u32,
    /// Of those shown, so many whose process the agent may not see.
    pub hidden: u32,
    /// Lines of the kernel that made no sense, and were left out.
    pub unread: u32,
}
