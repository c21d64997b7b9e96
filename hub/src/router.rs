//! Takes a client's stream where it belongs: authorises it on its header alone, then answers it here
//! or joins it, unread, to a stream of the host it names. Knows no feature.

use crate::server::Hub;
use cmdr_link::frame::{FrameReader, FrameWriter, Tag};
use cmdr_link::mux::{OpenError, Stream};
use cmdr_link::service::{self, Service};
use cmdr_link::{codec, relay};
use cmdr_protocol::envelope::{Caller, Header};
use cmdr_protocol::methods::{self, Place};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A stream must say what it wants within so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves one stream of a client's.
pub async fn route(hub: Arc<Hub>, service: Arc<Service<Hub>>, caller: Arc<Caller>, stream: Stream) {
    let mut reader = FrameReader::new(stream.clone());
    let mut header = match tokio::time::timeout(PATIENCE, service::read_header(&mut reader)).await {
        Ok(Ok(header)) => header,
        Ok(Err(e)) => return service::refuse(&stream, &CallError::malformed(e.to_string())).await,
        Err(_) => return,
    };
    // Who asks is known from the link; what the stream claims about it counts for nothing.
    header.caller = Some(Caller::clone(&caller));
    if let Err(e) = authorise(&caller, &header) {
        tracing::warn!(
            operator = caller.name,
            key = %caller.key,
            method = %cmdr_protocol::display::clean_to_width(&header.method, 80),
            resource = %cmdr_protocol::display::clean_to_width(&header.resource, 80),
            "refused: {e}"
        );
        return service::refuse(&stream, &e).await;
    }
    match header.to {
        None => service.answer(&header, reader, stream).await,
        Some(host) => {
            if let Err(e) = forward(&hub, host, &header, &stream).await {
                service::refuse(&stream, &e).await;
            }
        }
    }
}

/// Whether the caller's role covers the method, and the method is for that place.
fn authorise(caller: &Caller, header: &Header) -> Result<(), CallError> {
    let shown = cmdr_protocol::display::clean_to_width(&header.method, 80);
    let unknown = |place: &str| {
        CallError::new(
            ErrorKind::UnknownMethod,
            format!("{place} has no method '{shown}'; is this program newer than the hub?"),
        )
    };
    let method = methods::find(&header.method).ok_or_else(|| unknown("the hub"))?;
    match (header.to, method.place) {
        (None, Place::Host) => return Err(unknown("the hub itself")),
        (Some(_), Place::Hub) => return Err(unknown("a host")),
        _ => {}
    }
    if method.kind != header.kind {
        return Err(CallError::malformed(format!(
            "{shown} is a {}, not a {}",
            method.kind, header.kind
        )));
    }
    if caller.role.allows(method.access) {
        return Ok(());
    }
    Err(CallError::denied(format!(
        "{shown} is not allowed for the role '{}' of {}",
        caller.role, caller.name
    )))
}

/// Opens a stream to the host, hands the header on, and joins the two until either ends.
async fn forward(
    hub: &Hub,
    host: HostId,
    header: &Header,
    stream: &Stream,
) -> Result<(), CallError> {
    let link = hub.fleet.link(host)?;
    let onward = link.open().map_err(|e| match e {
        OpenError::Gone => CallError::new(ErrorKind::Unreachable, "the host's link is going down"),
        OpenError::TooMany => CallError::new(
            ErrorKind::Busy,
            "the host has as many streams open as it may; try again later",
        ),
    })?;
    let bytes = codec::encode(header).map_err(|e| CallError::failed(e.to_string()))?;
    let mut writer = FrameWriter::new(onward.clone());
    // Only queued: it leaves together with the first piece of the body.
    let sent = writer.send(Tag::Header, &bytes).await;
    sent.map_err(|e| {
        CallError::new(ErrorKind::Unreachable, format!("the host's link broke: {e}"))
    })?;
    let relayed = relay::relay(stream.clone(), onward).await;
    hub.counters.relayed.fetch_add(1, Ordering::Relaxed);
    hub.counters.relayed_bytes.fetch_add(relayed.forth + relayed.back, Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::envelope::{Kind, Role};
    use cmdr_protocol::methods::METHODS;
    use cmdr_protocol::{Access, KeyId};

    fn allowed(role: Role, method: &methods::Method, to: Option<HostId>) -> Result<(), ErrorKind> {
        let caller = Caller { key: KeyId([0; 16]), name: "li".into(), role };
        let header = Header {
            to,
            method: method.name.into(),
            kind: method.kind,
            resource: String::new(),
            deadline_ms: None,
            trace: 0,
            caller: None,
        };
        authorise(&caller, &header).map_err(|e| e.kind)
    }

    #[test]
    fn every_method_is_open_to_exactly_the_roles_its_access_names() {
        for method in METHODS {
            let to = (method.place == Place::Host).then_some(HostId([1; 16]));
            let open: Vec<_> = Role::ALL
                .iter()
                .copied()
                .filter(|&role| allowed(role, method, to).is_ok())
                .collect();
            let expected = match method.access {
                Access::Read => vec![Role::Administrator, Role::Operator, Role::Observer],
                Access::Act => vec![Role::Administrator, Role::Operator],
                Access::Admin => vec![Role::Administrator],
            };
            assert_eq!(open, expected, "{}", method.name);
            assert_eq!(
                allowed(Role::Unknown, method, to),
                Err(ErrorKind::Denied),
                "{}",
                method.name
            );
        }
    }

    #[test]
    fn a_method_asked_in_the_wrong_place_or_manner_is_refused_even_for_administrators() {
        for method in METHODS {
            let wrong = match method.place {
                Place::Hub => Some(HostId([1; 16])),
                Place::Host => None,
                Place::Both => continue,
            };
            assert_eq!(allowed(Role::Administrator, method, wrong), Err(ErrorKind::UnknownMethod));
        }
        let bogus = methods::Method { name: "no.such", ..METHODS[0] };
        assert_eq!(allowed(Role::Administrator, &bogus, None), Err(ErrorKind::UnknownMethod));
        let call_as_feed = methods::Method { kind: Kind::Feed, ..METHODS[0] };
        assert_eq!(allowed(Role::Administrator, &call_as_feed, None), Err(ErrorKind::Malformed));
    }
}
