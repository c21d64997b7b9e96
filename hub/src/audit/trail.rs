//! What leaves a trail: requests that are not plain reading, requests that are refused, peers that
//! join, log in or are turned away. Called by the router, by admission and by `cmdr-hub` itself.
//!
//! The order is the promise: `asked` is on disk before anything is done, `answered` before the caller
//! is told. Of a request that is relayed only its one body frame is looked at, and of the answer only
//! the heads of frames and the last small item.

mod refusals;

pub use refusals::Refusals;

use super::{Audit, body};
use crate::events::relayed::Following;
use crate::recording::Session;
use crate::router;
use crate::server::Hub;
use bytes::Bytes;
use cmdr_link::codec;
use cmdr_link::frame::{FrameReader, FrameWriter, Tag};
use cmdr_link::mux::Stream;
use cmdr_link::relay::{self, Ended, GIVEN_UP, Tapped};
use cmdr_link::service::{self, Service};
use cmdr_protocol::audit::{Event, Outcome, Record, Value, unrecorded};
use cmdr_protocol::envelope::{Caller, Header, Kind};
use cmdr_protocol::methods::Method;
use cmdr_protocol::recordings::Recording;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::{Hello, Join, Refusal, RefusalKind};
use cmdr_protocol::{Call, CallError, ErrorKind, HostId, PublicKey};
use std::sync::Arc;
use tokio::time::Instant;

/// Bytes kept of a name, a resource, a message.
const TEXT: usize = 512;

/// A request that has been recorded and has not ended.
#[derive(Debug)]
pub struct Trail {
    audit: Audit,
    asked: u64,
    began: Instant,
    record: Record,
    changes: bool,
    /// The field of the last item that says how it ended.
    result: &'static str,
    /// Its caller may go away from it.
    leaves: bool,
}

fn about(hub: &Hub, caller: &Caller, header: &Header) -> Record {
    Record {
        operator: body::cut(&caller.name, TEXT),
        key: Some(caller.key),
        address: caller.address.clone(),
        method: body::cut(&header.method, 100),
        resource: body::cut(&header.resource, TEXT),
        host: header.to,
        host_name: header.to.and_then(|id| hub.fleet.name(id)).unwrap_or_default(),
        ..Record::default()
    }
}

fn with_error(record: Record, error: &CallError) -> Record {
    let mut message = body::cut(&error.message, TEXT);
    if !record.message.is_empty() {
        message = format!("{message}; {}", record.message);
    }
    Record { outcome: Some(Outcome::of(error.kind)), message, ..record }
}

/// Who goes away from what goes on has done nothing wrong.
fn detached(record: Record) -> Record {
    let message = match record.message.as_str() {
        "" => "detached".to_owned(),
        told => format!("detached; {told}"),
    };
    Record { message, ..record }
}

/// Records that the hub refuses a request.
pub async fn denied(hub: &Hub, caller: &Caller, header: &Header, error: &CallError) {
    let record = with_error(about(hub, caller, header), error);
    if let Err(e) = hub.audit.append(Record { event: Event::Denied, ..record }).await {
        tracing::error!("a refusal could not be recorded in the audit log: {e}");
    }
}

/// A request, let through by its header.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What is asked for.
    pub method: &'static Method,
    /// Who asks.
    pub caller: &'a Caller,
    /// The header, the caller in it.
    pub header: &'a Header,
}

/// Serves a request that leaves a trail: reads its body, records it, has it answered here or by its
/// host, records how it ended, and only then passes on the last word.
pub async fn serve(
    hub: &Arc<Hub>,
    service: &Service<Hub>,
    asked: Asked<'_>,
    mut reader: FrameReader<Stream>,
    stream: Stream,
) {
    let Asked { method, caller, header } = asked;
    let request = match service::read_request(&mut reader).await {
        Ok(request) => request,
        Err(e) => {
            denied(hub, caller, header, &e).await;
            return service::refuse(&stream, &e).await;
        }
    };
    let record =
        Record { body: Some(body::value(&request, method.secrets)), ..about(hub, caller, header) };
    let trail = match Trail::begin(&hub.audit, record, method).await {
        Ok(trail) => trail,
        Err(e) => return service::refuse(&stream, &e).await,
    };
    let recorded = match &trail {
        Some(trail) => recorded(hub, asked, trail, &request).await,
        None => Ok(Recorded::Not),
    };
    let (recorded, refused) = match recorded {
        Ok(recorded) => (recorded, None),
        Err(e) => (Recorded::Not, Some(e)),
    };
    let following = Following::of(hub, caller, header);
    let tap = match &following {
        Some(following) => following.tap(recorded.tap()),
        None => recorded.tap(),
    };
    let witness = |ended: Ended| async move {
        let told = recorded.end(&ended).await;
        let event = following.and_then(|following| following.ended(&ended));
        let said = match trail {
            Some(mut trail) => {
                trail.record.message = told;
                trail.end(ended).await
            }
            None => ended.result,
        };
        if let Some(event) = event {
            hub.fleet.events.tell(event);
        }
        said
    };
    if let Some(e) = refused {
        drop(witness(Ended::with(Err(e.clone()))).await);
        return service::refuse(&stream, &e).await;
    }
    let Some(host) = header.to else {
        let _answering = (header.kind == Kind::Call).then(|| hub.answers.enter(caller.key));
        return service.answer_witnessed(header, request, reader, stream, witness).await;
    };
    let sent = async {
        let onward = router::onward(hub, host, header).await?;
        let mut writer = FrameWriter::new(onward.clone());
        writer.send(Tag::Body, &request).await.map_err(|e| router::broke(&e))?;
        Ok(onward)
    };
    drop(match sent.await {
        Ok(onward) => {
            let caller = reader.into_inner();
            let relayed = relay::relay_witnessed(caller, onward, header.kind, tap, witness).await;
            hub.counters.carried(relayed);
            Ok(())
        }
        Err(e) => {
            let e: CallError = e;
            let said = witness(Ended::with(Err(e.clone()))).await;
            service::refuse(&stream, &e).await;
            said
        }
    });
}

/// Whether what is asked for is recorded.
enum Recorded {
    /// No rule asks for it.
    Not,
    /// It should be and cannot; no rule insists.
    Failed(String),
    /// It is.
    By(Session),
}

impl Recorded {
    fn tap(&self) -> Tapped {
        if let Self::By(session) = self { session.tap() } else { None }
    }

    /// What the audit log shall know of it.
    async fn end(self, ended: &Ended) -> String {
        match self {
            Self::Not => String::new(),
            Self::Failed(why) => format!("not recorded: {why}"),
            Self::By(session) => session.end(ended).await,
        }
    }
}

/// Begins a recording where a rule asks for it; an error where one insists and it cannot be.
async fn recorded(
    hub: &Hub,
    asked: Asked<'_>,
    trail: &Trail,
    request: &Bytes,
) -> Result<Recorded, CallError> {
    let Asked { caller, header, .. } = asked;
    let Some(host) = header.to else { return Ok(Recorded::Not) };
    let wanted = hub.recorder.rules.wanted(caller, header, || hub.fleet.host(host));
    let Some(wanted) = wanted else { return Ok(Recorded::Not) };
    let recording = Recording {
        id: trail.asked,
        operator: trail.record.operator.clone(),
        key: trail.record.key,
        role: caller.role,
        host: trail.record.host,
        host_name: trail.record.host_name.clone(),
        method: trail.record.method.clone(),
        resource: trail.record.resource.clone(),
        ..Recording::default()
    };
    match hub.recorder.begin(recording, &wanted, request.clone()).await {
        Ok(session) => Ok(Recorded::By(session)),
        Err(why) if wanted.strict => Err(CallError::new(
            ErrorKind::Busy,
            format!("it has to be recorded and cannot be, so it was not done: {why}"),
        )),
        Err(why) => {
            tracing::warn!(rules = wanted.rules.join(", "), "not recorded: {why}");
            Ok(Recorded::Failed(body::cut(&why, TEXT)))
        }
    }
}

impl Trail {
    /// Records a part of a larger request, decided and recorded like one of its own.
    pub(crate) async fn part(
        hub: &Hub,
        caller: &Caller,
        header: &Header,
        request: &Bytes,
    ) -> Result<Option<Self>, CallError> {
        let method = cmdr_protocol::methods::find(&header.method).ok_or_else(|| {
            CallError::failed(format!("{} is not in the table of methods", header.method))
        })?;
        let record = Record {
            body: Some(body::value(request, method.secrets)),
            ..about(hub, caller, header)
        };
        Self::begin(&hub.audit, record, method).await
    }

    /// Records what the hub begins for somebody because its time has come; `why` says so.
    pub(crate) async fn by_clock(
        hub: &Hub,
        caller: &Caller,
        header: &Header,
        request: &Bytes,
        why: &str,
    ) -> Result<Option<Self>, CallError> {
        let method = cmdr_protocol::methods::find(&header.method).ok_or_else(|| {
            CallError::failed(format!("{} is not in the table of methods", header.method))
        })?;
        let record = Record {
            body: Some(body::value(request, method.secrets)),
            message: body::cut(why, TEXT),
            ..about(hub, caller, header)
        };
        Self::begin(&hub.audit, record, method).await
    }

    /// Records that something is about to be done. What changes nothing is let through even when it
    /// cannot be recorded: a hub with a full disk can still be looked at.
    pub async fn begin(
        audit: &Audit,
        record: Record,
        method: &Method,
    ) -> Result<Option<Self>, CallError> {
        let began = Instant::now();
        let asked = Record { event: Event::Asked, ..record.clone() };
        let written = if method.changes {
            audit.open_request(asked).await
        } else {
            audit.append(asked).await
        };
        match written {
            Ok(asked) => Ok(Some(Self {
                audit: audit.clone(),
                asked,
                began,
                record: Record { body: None, ..record },
                changes: method.changes,
                result: method.result,
                leaves: method.leaves,
            })),
            Err(e) if method.changes => Err(unrecorded(&e.to_string())),
            Err(e) => {
                tracing::warn!(method = method.name, "let through without an audit record: {e}");
                Ok(None)
            }
        }
    }

    /// Records how it ended; an error when that cannot be recorded of something that was done.
    pub async fn end(self, ended: Ended) -> Result<(), CallError> {
        let mut record = Record {
            event: Event::Answered,
            asked: Some(self.asked),
            took_ms: Some(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)),
            outcome: Some(Outcome::Ok),
            ..self.record
        };
        if !self.result.is_empty()
            && let Some(last) = &ended.last
        {
            record.result = body::field(last, self.result);
        }
        if let Err(e) = &ended.result {
            record = if self.leaves && e.kind == ErrorKind::Cancelled && e.message == GIVEN_UP {
                detached(record)
            } else {
                with_error(record, e)
            };
        } else if !self.leaves {
            // How a session's last command went is not how the session went.
            let code = record.result.as_ref().and_then(|result| result.get("code"));
            if code.is_some_and(|code| *code != Value::Int(0)) {
                record.outcome = Some(Outcome::Failed);
            }
        }
        let written = self.audit.append(record).await;
        match (written, ended.result) {
            (Err(e), Ok(())) if self.changes => Err(CallError::failed(format!(
                "it was done, but how it ended could not be recorded in the audit log: {e}"
            ))),
            (Err(e), result) => {
                tracing::error!("how a request ended could not be recorded: {e}");
                result
            }
            (Ok(_), result) => result,
        }
    }
}

/// Does something that `cmdr-hub` itself asks for, with a trail.
pub async fn local<C: Call>(
    audit: &Audit,
    by: &str,
    call: &C,
    done: impl Future<Output = Result<C::Reply, CallError>>,
) -> Result<C::Reply, CallError> {
    let method = cmdr_protocol::methods::find(C::METHOD).ok_or_else(|| {
        CallError::failed(format!("{} is not in the table of methods", C::METHOD))
    })?;
    let request = codec::encode(call).map_err(|e| CallError::failed(e.to_string()))?;
    let record = Record {
        operator: by.to_owned(),
        method: C::METHOD.to_owned(),
        resource: call.resource(),
        body: Some(body::value(&request, C::SECRETS)),
        ..Record::default()
    };
    let trail = Trail::begin(audit, record, method).await?;
    let result = done.await;
    if let Some(trail) = trail {
        let told = result.as_ref().map(drop).map_err(CallError::clone);
        // Not recorded is an error only of what has succeeded.
        if let Err(e) = trail.end(Ended::with(told)).await
            && result.is_ok()
        {
            return Err(e);
        }
    }
    result
}

/// A peer that uses a token: recorded before the token is.
#[derive(Debug)]
pub struct Joining(Option<Trail>);

impl Joining {
    /// Records that a peer with a token that works is about to be taken in. One whose token does not
    /// work is refused in a moment, and recorded then.
    pub async fn begin(
        hub: &Hub,
        kind: TokenKind,
        join: &Join,
        key: &PublicKey,
        name: &str,
        address: &str,
    ) -> Result<Self, Refusal> {
        if !hub.keyring.would_redeem(join, kind) {
            return Ok(Self(None));
        }
        let host = kind == TokenKind::Host;
        let record = Record {
            operator: if host { String::new() } else { body::cut(name, TEXT) },
            key: (!host).then(|| cmdr_link::keys::key_id(key)),
            host: host.then(|| cmdr_link::keys::host_id(key)),
            host_name: if host { body::cut(name, TEXT) } else { String::new() },
            address: address.to_owned(),
            method: if host { "join" } else { "login" }.to_owned(),
            resource: join.token.map(|id| format!("token:{id}")).unwrap_or_default(),
            ..Record::default()
        };
        Self::open(hub, record).await
    }

    /// Records that a login is right and is about to count.
    pub async fn login(
        hub: &Hub,
        caller: &Caller,
        method: &str,
        operator: &str,
    ) -> Result<Self, Refusal> {
        let record = Record { operator: operator.to_owned(), ..of_login(caller, method, operator) };
        Self::open(hub, record).await
    }

    async fn open(hub: &Hub, record: Record) -> Result<Self, Refusal> {
        let began = Instant::now();
        let asked = Record { event: Event::Asked, ..record.clone() };
        match hub.audit.open_request(asked).await {
            Ok(asked) => Ok(Self(Some(Trail {
                audit: hub.audit.clone(),
                asked,
                began,
                record,
                changes: true,
                result: "",
                leaves: false,
            }))),
            Err(e) => {
                let message = unrecorded(&e.to_string()).message;
                Err(Refusal { kind: RefusalKind::Busy, message })
            }
        }
    }

    /// Records what came of it; `told` is what the hub says of one whom it took in.
    pub async fn end(self, result: Result<String, &Refusal>) {
        let Some(mut trail) = self.0 else { return };
        let result = match result {
            Ok(told) => {
                trail.record.message = told;
                Ok(())
            }
            Err(refusal) => Err(CallError::new(kind_of(refusal.kind), refusal.message.clone())),
        };
        if let Err(e) = trail.end(Ended::with(result)).await {
            // It is taken in already, and that it asked is on disk.
            tracing::error!("{e}");
        }
    }
}

/// Records that a host proves another key from now on. An administrator has asked for it, which is on disk.
pub async fn new_key(audit: &Audit, host: HostId, name: &str, key: &PublicKey, address: &str) {
    let record = Record {
        event: Event::Answered,
        outcome: Some(Outcome::Ok),
        host: Some(host),
        host_name: name.to_owned(),
        address: address.to_owned(),
        method: "hostkeys.taken".to_owned(),
        message: format!("the host has the new key {key}; the one before is refused"),
        ..Record::default()
    };
    if let Err(e) = audit.append(record).await {
        tracing::error!("the audit log did not take the new key of {name}: {e}");
    }
}

const fn kind_of(refusal: RefusalKind) -> ErrorKind {
    match refusal {
        RefusalKind::Busy => ErrorKind::Busy,
        RefusalKind::Version => ErrorKind::Malformed,
        _ => ErrorKind::Denied,
    }
}

fn of_login(caller: &Caller, method: &str, name: &str) -> Record {
    Record {
        key: Some(caller.key),
        address: caller.address.clone(),
        method: body::cut(method, 100),
        resource: body::cut(&format!("operator:{name}"), TEXT),
        ..Record::default()
    }
}

/// Records a login that does not succeed, if there were not too many. `name` is what was given as one,
/// and may be nobody's.
pub fn wrong_login(hub: &Hub, caller: &Caller, method: &str, name: &str, error: &CallError) {
    let Some(silent) = hub.audit.refusals.admit(caller.key, RefusalKind::BadToken, true) else {
        return;
    };
    let record = with_error(of_login(caller, method, name), error);
    let message = told_with(record.message.clone(), silent);
    hub.audit.note(Record { event: Event::Refused, message, ..record });
}

/// Records that a program showed a key that is not known, if there were not too many.
pub fn wrong_bearer(hub: &Hub, caller: &Caller, error: &CallError) {
    let Some(silent) = hub.audit.refusals.admit(caller.key, RefusalKind::BadToken, true) else {
        return;
    };
    let record = Record {
        key: Some(caller.key),
        address: caller.address.clone(),
        method: "http".to_owned(),
        ..Record::default()
    };
    let record = with_error(record, error);
    let message = told_with(record.message.clone(), silent);
    hub.audit.note(Record { event: Event::Refused, message, ..record });
}

/// Records that a stranger asked for something, if there were not too many.
pub fn refused_guest(hub: &Hub, caller: &Caller, method: &str, error: &CallError) {
    let Some(silent) = hub.audit.refusals.admit(caller.key, RefusalKind::UnknownKey, false) else {
        return;
    };
    let record = with_error(
        Record {
            key: Some(caller.key),
            address: caller.address.clone(),
            method: body::cut(method, 100),
            ..Record::default()
        },
        error,
    );
    let message = told_with(record.message.clone(), silent);
    hub.audit.note(Record { event: Event::Refused, message, ..record });
}

fn told_with(message: String, silent: u64) -> String {
    match silent {
        0 => message,
        _ => format!("{message} ({silent} other refusals before it are not in this log)"),
    }
}

/// Records that a peer is turned away. Does not wait: strangers shall not have it to wait for.
pub fn refused(hub: &Hub, key: &PublicKey, hello: &Hello, address: &str, refusal: &Refusal) {
    let id = cmdr_link::keys::key_id(key);
    let token = hello.join.as_ref().and_then(|join| join.token);
    let Some(silent) = hub.audit.refusals.admit(id, refusal.kind, token.is_some()) else { return };
    let message = told_with(body::cut(&refusal.message, TEXT), silent);
    let host = hello.kind == cmdr_protocol::version::PeerKind::Agent;
    let name = body::cut(&hello.name, TEXT);
    hub.audit.note(Record {
        event: Event::Refused,
        operator: if host { String::new() } else { name.clone() },
        key: (!host).then_some(id),
        host: host.then(|| cmdr_link::keys::host_id(key)),
        host_name: if host { name } else { String::new() },
        address: address.to_owned(),
        method: if host { "join" } else { "login" }.to_owned(),
        resource: token.map(|id| format!("token:{id}")).unwrap_or_default(),
        outcome: Some(Outcome::of(kind_of(refusal.kind))),
        message,
        ..Record::default()
    });
}
