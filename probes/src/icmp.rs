//! Echoes come back. A socket for datagrams is used where the system lets this user have one, else a raw one.

use crate::look::{Ended, Fault, Look, since};
use crate::reach::addresses;
use cmdr_protocol::probes::{Icmp, Verdict};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

/// What each echo carries: it is told apart from those of others by it.
const MARK: usize = 16;
const PAUSE: Duration = Duration::from_millis(200);

struct Echoes {
    socket: UdpSocket,
    v6: bool,
    /// The system gives whole packets, and those of everybody.
    raw: bool,
    mark: [u8; MARK],
}

fn open(address: IpAddr) -> io::Result<(Socket, bool)> {
    let (domain, protocol) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let datagrams = Socket::new(domain, Type::DGRAM, Some(protocol)).map(|socket| (socket, false));
    datagrams.or_else(|_| Socket::new(domain, Type::RAW, Some(protocol)).map(|s| (s, true)))
}

impl Echoes {
    fn new(address: IpAddr, (socket, raw): (Socket, bool)) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.connect(&SocketAddr::new(address, 0).into())?;
        let mut mark = [0; MARK];
        // Where the mark is read from matters little: nobody is kept out by it.
        let seed = std::hash::BuildHasher::hash_one(
            &std::collections::hash_map::RandomState::new(),
            address,
        );
        mark[..8].copy_from_slice(&seed.to_be_bytes());
        mark[8..].copy_from_slice(b"cmdrecho");
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, v6: address.is_ipv6(), raw, mark })
    }

    fn request(&self, sequence: u8) -> Vec<u8> {
        let mut packet = vec![if self.v6 { 128 } else { 8 }, 0, 0, 0, self.mark[0], self.mark[1]];
        packet.extend_from_slice(&[0, sequence]);
        packet.extend_from_slice(&self.mark);
        if !self.v6 {
            // Of ICMPv6 the system makes it itself.
            let sum = checksum(&packet);
            packet[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        packet
    }

    /// The sequence of an echo of ours, if that is one.
    fn echo(&self, packet: &[u8]) -> Option<u8> {
        let packet = if self.raw && !self.v6 {
            let length = usize::from(packet.first()? & 0x0f) * 4;
            packet.get(length..)?
        } else {
            packet
        };
        let reply = if self.v6 { 129 } else { 0 };
        let ours = *packet.first()? == reply && packet.get(8..8 + MARK)? == self.mark;
        ours.then(|| packet.get(7).copied()).flatten()
    }
}

fn checksum(packet: &[u8]) -> u16 {
    let mut sum: u32 = packet
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

pub(crate) async fn ask(look: &mut Look<'_>, icmp: &Icmp) -> Ended {
    let addresses = addresses(look, &icmp.host, 0).await?;
    let Some(address) = addresses.first().map(SocketAddr::ip) else {
        return Err(Fault::Down(format!("{} has no address", icmp.host)));
    };
    look.seen.address = address.to_string();
    let wrong = |e: io::Error| Fault::Down(format!("sending an echo to {address}: {e}"));
    let opened = open(address).map_err(|e| match e.kind() {
        io::ErrorKind::PermissionDenied => Fault::Unsaid(
            "this agent may not send echoes: let it have CAP_NET_RAW, or its group into net.ipv4.ping_group_range".to_owned(),
        ),
        _ => wrong(e),
    })?;
    let echoes = Echoes::new(address, opened).map_err(wrong)?;
    look.doing(format!("an echo of {address}"));
    let mut last = None;
    let count = icmp.count.max(1);
    for sequence in 0..count {
        let begun = Instant::now();
        if let Err(e) = echoes.socket.send(&echoes.request(sequence)).await {
            last = Some(e);
        } else {
            // The last one may take what is left of the time.
            let wait = look.left() / u32::from(count - sequence);
            match timeout(wait.max(PAUSE), heard(&echoes, sequence)).await {
                Ok(Ok(())) => {
                    look.seen.phases.first_us = Some(since(begun));
                    let lost = if sequence == 0 {
                        String::new()
                    } else {
                        format!(", after {sequence} that did not")
                    };
                    return Ok((Verdict::Up, format!("an echo of {address} came back{lost}")));
                }
                Ok(Err(e)) => last = Some(e),
                Err(_) => last = None,
            }
        }
    }
    Err(Fault::Down(match last {
        Some(e) => format!("sending an echo to {address}: {e}"),
        None => format!("none of {count} echoes of {address} came back"),
    }))
}

async fn heard(echoes: &Echoes, sequence: u8) -> io::Result<()> {
    let mut packet = [0; 1500];
    loop {
        let read = echoes.socket.recv(&mut packet).await?;
        if echoes.echo(&packet[..read]) == Some(sequence) {
            return Ok(());
        }
    }
}
