//! From a name to a connection: addresses, whether this host may go there, connecting.

use crate::look::{Fault, Look, since};
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// The addresses of a name that this host may go to, as its own resolver says them.
pub(crate) async fn addresses(
    look: &mut Look<'_>,
    host: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, Fault> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse::<IpAddr>() {
        look.means.allows(address).map_err(Fault::Unsaid)?;
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    look.doing(format!("looking up {host}"));
    let begun = Instant::now();
    let found = lookup_host((bare, port)).await;
    look.seen.phases.lookup_us = Some(since(begun));
    let found: Vec<_> =
        found.map_err(|e| Fault::Down(format!("looking up {host}: {e}")))?.collect();
    if found.is_empty() {
        return Err(Fault::Down(format!("looking up {host}: the name has no address")));
    }
    let mut refusal = None;
    let mut may = Vec::new();
    for address in found {
        match look.means.allows(address.ip()) {
            Ok(()) if may.len() < ADDRESSES && !may.contains(&address) => may.push(address),
            Ok(()) => {}
            Err(why) => refusal = Some(why),
        }
    }
    match refusal {
        Some(why) if may.is_empty() => Err(Fault::Unsaid(why)),
        _ => Ok(may),
    }
}

/// A connection to the first of the addresses that takes one. Each gets its part of the time.
pub(crate) async fn connect(
    look: &mut Look<'_>,
    host: &str,
    port: u16,
) -> Result<TcpStream, Fault> {
    let addresses = addresses(look, host, port).await?;
    let begun = Instant::now();
    let mut wrong = String::new();
    for (at, address) in addresses.iter().enumerate() {
        look.seen.address = address.to_string();
        look.doing(format!("connecting to {address}"));
        let part = look.left() / u32::try_from(addresses.len() - at).unwrap_or(1);
        // The last one has what is left, and the look itself says that it was too little.
        let connecting = TcpStream::connect(address);
        let connected = if at + 1 == addresses.len() {
            Ok(connecting.await)
        } else {
            timeout(part, connecting).await
        };
        look.seen.phases.connect_us = Some(since(begun));
        match connected {
            Ok(Ok(stream)) => {
                // Small writes shall not wait for each other; that it is not so costs time only.
                stream.set_nodelay(true).ok();
                return Ok(stream);
            }
            Ok(Err(e)) => wrong = format!("connecting to {address}: {}", words(&e)),
            Err(_) => wrong = format!("connecting to {address}: no answer"),
        }
    }
    Err(Fault::Down(wrong))
}

/// What went wrong, without the number of the system's error.
pub(crate) fn words(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "the connection is refused: nothing listens there".into(),
        ErrorKind::ConnectionReset => "the far end reset the connection".into(),
        ErrorKind::UnexpectedEof => "the far end closed the connection too early".into(),
        _ => error.to_string(),
    }
}
