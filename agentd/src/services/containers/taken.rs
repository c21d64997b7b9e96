//! Ports of the host that are taken already, found before the engine is asked for a container that wants them.

use crate::Config;
use crate::engine::{Engine, told};
use crate::services::ports;
use cmdr_protocol::containers::spec::{Published, Spec, port};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::ports::{Protocol, Socket};
use cmdr_protocol::{CallError, ErrorKind};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Says who has a port that this container wants.
pub(super) async fn check(config: &Config, engine: &Engine, spec: &Spec) -> Result<(), CallError> {
    let mut wanted = Vec::new();
    for text in &spec.ports {
        wanted.extend(port(text).map_err(CallError::malformed)?);
    }
    let wanted: Vec<(u16, Published)> =
        wanted.into_iter().filter_map(|published| Some((published.public?, published))).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let attempted = "look which ports are taken";
    let running = engine.list_containers(None).await.map_err(|error| told(attempted, &error))?;
    for container in running {
        let name = container.names.iter().flatten().next().map_or("", |name| name);
        for has in container.ports.iter().flatten() {
            let protocol = has.typ.map_or_else(|| "tcp".to_owned(), |kind| kind.to_string());
            let meets = |(public, published): &&(u16, Published)| {
                Some(*public) == has.public_port
                    && published.protocol == protocol
                    && overlap(&published.address, has.ip.as_deref().unwrap_or_default())
            };
            if let Some((public, _)) = wanted.iter().find(meets) {
                let name = clean_to_width(name.trim_start_matches('/'), 80);
                return Err(taken(*public, &protocol, &format!("the container {name}")));
            }
        }
    }
    let numbers: BTreeSet<u16> = wanted.iter().map(|(public, _)| *public).collect();
    let config = config.clone();
    let sockets = tokio::task::spawn_blocking(move || ports::listening_on(&config, &numbers));
    let sockets = sockets.await.map_err(|e| CallError::failed(format!("{attempted}: {e}")))?;
    for (public, published) in &wanted {
        if let Some(socket) = sockets.iter().find(|socket| meets(socket, *public, published)) {
            let program = clean_to_width(&socket.program, 40);
            let who = match (program.as_str(), socket.pid) {
                ("", _) | (_, 0) => "another program".to_owned(),
                (program, pid) => format!("{program} (process {pid})"),
            };
            return Err(taken(*public, &published.protocol, &who));
        }
    }
    Ok(())
}

fn taken(port: u16, protocol: &str, who: &str) -> CallError {
    CallError::new(
        ErrorKind::Conflict,
        format!("port {port}/{protocol} of the host is taken by {who}; nothing was made"),
    )
}

fn meets(socket: &Socket, public: u16, published: &Published) -> bool {
    let protocol = match socket.protocol {
        Protocol::Tcp | Protocol::Tcp6 => "tcp",
        Protocol::Udp | Protocol::Udp6 => "udp",
        _ => return false,
    };
    socket.port == public
        && protocol == published.protocol
        && overlap(&published.address, &socket.local)
}

/// Whether one cannot listen at both addresses.
fn overlap(one: &str, other: &str) -> bool {
    let read = |text: &str| text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    match (read(one), read(other)) {
        (Some(one), Some(other)) => one == other || one.is_unspecified() || other.is_unspecified(),
        // No address is all of them.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_where_both_addresses_meet() {
        assert!(overlap("", "127.0.0.1") && overlap("0.0.0.0", "10.0.0.1") && overlap("::1", "::"));
        assert!(overlap("127.0.0.1", "::ffff:127.0.0.1"));
        assert!(!overlap("127.0.0.1", "127.0.0.2"));
        let socket =
            Socket { protocol: Protocol::Tcp6, local: "::".into(), port: 80, ..Socket::default() };
        let wants = |text: &str| port(text).unwrap().remove(0);
        assert!(meets(&socket, 80, &wants("80:8080")));
        assert!(!meets(&socket, 81, &wants("81:8080")) && !meets(&socket, 80, &wants("80:80/udp")));
    }
}
