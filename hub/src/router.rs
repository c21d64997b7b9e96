//! Takes a client's stream where it belongs: authorises it on its header alone, then answers it here
//! or joins it, unread, to a stream of the host it names. Knows no feature.

use crate::audit::trail;
use crate::rights::Missing;
use crate::server::Hub;
use crate::who::Who;
use cmdr_link::frame::{FrameReader, FrameWriter, Tag};
use cmdr_link::mux::{OpenError, Stream};
use cmdr_link::service::{self, Service};
use cmdr_link::{codec, relay};
use cmdr_protocol::envelope::{Caller, Header};
use cmdr_protocol::methods::{self, About, Place};
use cmdr_protocol::{CallError, ErrorKind, HostId};
use std::sync::Arc;
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
    // Who asks is known from the link; what the stream claims about it counts for nothing. What they may
    // do is looked up each time: it may have changed since the link began.
    let who = hub.who(&caller);
    let operator = who.operator.clone();
    let caller = Caller { operator, role: who.role, ..Caller::clone(&caller) };
    header.caller = Some(caller.clone());
    if let Err(e) = authorise(&hub, &who, &header) {
        tracing::warn!(
            operator = caller.name,
            key = %caller.key,
            method = %cmdr_protocol::display::clean_to_width(&header.method, 80),
            resource = %cmdr_protocol::display::clean_to_width(&header.resource, 80),
            "refused: {e}"
        );
        if who.operator.is_empty() {
            // A stranger shall not fill the log.
            trail::refused_guest(&hub, &caller, &header.method, &e);
        } else {
            trail::denied(&hub, &caller, &header, &e).await;
        }
        return service::refuse(&stream, &e).await;
    }
    if let Some(method) = methods::find(&header.method).filter(|method| method.is_recorded()) {
        let asked = trail::Asked { method, caller: &caller, header: &header };
        return trail::serve(&hub, &service, asked, reader, stream).await;
    }
    match header.to {
        None => service.answer(&header, reader, stream).await,
        Some(host) => match onward(&hub, host, &header).await {
            Ok(onward) => hub.counters.carried(relay::relay(stream, onward).await),
            Err(e) => service::refuse(&stream, &e).await,
        },
    }
}

/// Whether the caller's role covers the method, on this resource and host, and the method is for that
/// place.
pub(crate) fn authorise(hub: &Hub, who: &Who, header: &Header) -> Result<(), CallError> {
    let shown = cmdr_protocol::display::clean_to_width(&header.method, 80);
    let unknown = |place: &str| {
        CallError::new(
            ErrorKind::UnknownMethod,
            format!("{place} has no method '{shown}'; is this program newer than the hub?"),
        )
    };
    let index = methods::index(&header.method).ok_or_else(|| unknown("the hub"))?;
    let method = &methods::METHODS[index];
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
    let about = match (header.to, method.about) {
        (Some(host), _) => Some(host),
        (None, About::Host) => host_of(&header.resource),
        _ => None,
    };
    let (wider, own) = method.parts(&header.resource);
    let refused = |missing: Missing, method: &str, resource: &str| {
        let why = missing.told(who, method, resource);
        let kind = match missing {
            Missing::Request => ErrorKind::OnRequest,
            _ => ErrorKind::Denied,
        };
        let name = if who.operator.is_empty() { "a stranger" } else { &who.operator };
        CallError::new(kind, format!("{shown} is not allowed for {name}: {why}"))
    };
    if let Some((other, wider)) = wider {
        let index = methods::index(other).ok_or_else(|| unknown("the hub"))?;
        hub.decide(who, index, Some(wider), about)
            .map_err(|missing| refused(missing, other, wider))?;
    }
    let resource = (method.about != About::Parts).then_some(own);
    let allowed = hub
        .decide(who, index, resource, about)
        .map_err(|missing| refused(missing, &header.method, own))?;
    if hub.rights.take(who, &allowed, about) {
        return Ok(());
    }
    let limit = allowed.limit.unwrap_or_default();
    Err(CallError::denied(format!(
        "{shown} is not allowed for {}: the limit of {} hosts within {} minutes is reached",
        who.operator, limit.hosts, limit.minutes
    )))
}

/// The host that a resource names.
pub(crate) fn host_of(resource: &str) -> Option<HostId> {
    resource.strip_prefix("host:")?.parse().ok()
}

/// Opens a stream to the host and hands the header on.
pub(crate) async fn onward(hub: &Hub, host: HostId, header: &Header) -> Result<Stream, CallError> {
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
    writer.send(Tag::Header, &bytes).await.map_err(|e| broke(&e))?;
    Ok(onward)
}

/// The error of a host whose link breaks while it is being asked.
pub(crate) fn broke(e: &std::io::Error) -> CallError {
    CallError::new(ErrorKind::Unreachable, format!("the host's link broke: {e}"))
}

#[cfg(test)]
mod tests;
