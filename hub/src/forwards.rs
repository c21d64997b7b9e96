//! Forwards that are kept: which there are, how each stands, and the way of a connection from the host that listens to the one
//! that connects.
//!
//! `forwards/follow.rs` gives each host its own and hears it, `forwards/figures.rs` what they carry; `forwards/join.rs` joins one connection; `forwards/login.rs` keeps
//! the passwords of proxies sealed. Changed by
//! `services/forwards.rs`. Hosts are asked and never ask: one says that somebody has connected, and the hub takes that
//! connection, if the forward is one that it gave that host.

mod figures;
mod follow;
mod join;
mod login;

pub(crate) use login::KEEPER;

use crate::records::prefix;
use crate::server::Hub;
use crate::store::{Batch, Store, StoreError};
use crate::who::Who;
use cmdr_link::clock;
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::forwards::kept::{
    Done, Forward, Given, Kind, Listing, MAX_FORWARDS, MAX_NOTE, MAX_ON_HOST, Password, Row, Stand,
    Switch, check_name,
};
use cmdr_protocol::forwards::{Carries, Dial, Place, resource};
use cmdr_protocol::{CallError, ErrorKind, Feed as _, HostId, KeyId, methods};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A forward, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ForwardRecord {
    /// Its name.
    pub name: String,
    /// What it understands.
    pub kind: Kind,
    /// The host that listens.
    pub host: Option<HostId>,
    /// Where.
    pub listen: String,
    /// The host that connects.
    pub via: Option<HostId>,
    /// Where to.
    pub to: Place,
    /// Who may use a proxy.
    pub user: String,
    /// Over SSH: who logs in, and where.
    pub ssh: String,
    /// The password, sealed.
    #[serde(with = "serde_bytes")]
    pub sealed: Vec<u8>,
    /// The key, sealed.
    #[serde(with = "serde_bytes")]
    pub sealed_key: Vec<u8>,
    /// For people.
    pub note: String,
    /// It does not listen.
    pub stopped: bool,
    /// Counts its changes, from 1.
    pub revision: u64,
    /// Milliseconds since 1970.
    pub created_ms: u64,
    /// The operator whose rights it goes by.
    pub by: String,
    /// The key with which they made it.
    pub key: Option<KeyId>,
}

#[derive(Debug, Default)]
struct Inner {
    known: BTreeMap<String, ForwardRecord>,
    stands: HashMap<String, Stand>,
    /// Forwards whose connections are to end, by the host that has to be told.
    cuts: HashMap<HostId, Vec<String>>,
}

/// All forwards.
#[derive(Debug)]
pub struct Forwards {
    store: Store,
    inner: Mutex<Inner>,
    /// One change after the other.
    changing: tokio::sync::Mutex<()>,
    /// Another number when hosts have other forwards, or something to end.
    handed: watch::Sender<u64>,
}

fn key(name: &str) -> String {
    format!("{}{name}", prefix::FORWARD)
}

fn missing(name: &str) -> CallError {
    let name = cmdr_protocol::display::clean_to_width(name, 80);
    CallError::not_found(format!("there is no forward '{name}'; cmdr forward ls lists them"))
}

fn busy(e: impl std::fmt::Display) -> CallError {
    CallError::new(ErrorKind::Busy, e.to_string())
}

/// Whether somebody may have a host connect there: asked when a forward is made, and of each connection. Through a proxy that
/// is anywhere.
fn may(hub: &Hub, who: &Who, via: HostId, kind: Kind, to: &Place) -> Result<(), CallError> {
    let index = methods::index(Dial::METHOD)
        .ok_or_else(|| CallError::failed("the hub does not know its own method"))?;
    let carries = match kind {
        Kind::Udp => Carries::Udp,
        // Of both: datagrams are another right than connections.
        Kind::Socks5Udp => {
            may(hub, who, via, Kind::Socks5, to)?;
            Carries::Udp
        }
        _ => Carries::Tcp,
    };
    // What a machine connects over SSH nobody here judges.
    let to = if kind.is_ssh() { &Place::default() } else { to };
    let about = resource(carries, to);
    hub.decide(who, index, Some(&about), Some(via)).map(drop).map_err(|missing| {
        let via = hub.fleet.name(via).unwrap_or_else(|| via.to_string());
        let name = if who.operator.is_empty() { "nobody" } else { &who.operator };
        CallError::denied(format!(
            "{} on {via} is not allowed for {name}, whose rights the forward goes by: {}",
            Dial::METHOD,
            missing.told(who, Dial::METHOD, &about)
        ))
    })
}

impl Forwards {
    /// Reads what is kept; a damaged one is logged and left out.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        let mut inner = Inner::default();
        for record in store.scan::<ForwardRecord>(prefix::FORWARD)? {
            match record {
                Ok((_, record)) => drop(inner.known.insert(record.name.clone(), record)),
                Err(e) => tracing::error!("a forward is left out: {e}"),
            }
        }
        Ok(Self {
            store,
            inner: Mutex::new(inner),
            changing: tokio::sync::Mutex::default(),
            handed: watch::Sender::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_hosts(&self) {
        self.handed.send_modify(|number| *number = number.wrapping_add(1));
    }

    /// All of hosts that `sees` says yes of, by name.
    pub fn list(&self, hub: &Hub, sees: impl Fn(HostId) -> bool) -> Listing {
        let inner = self.lock();
        let name = |id: Option<HostId>| {
            id.map(|id| hub.fleet.name(id).unwrap_or_else(|| id.to_string())).unwrap_or_default()
        };
        let shown = |record: &ForwardRecord| Row {
            forward: Forward {
                name: record.name.clone(),
                kind: record.kind,
                host: name(record.host),
                listen: record.listen.clone(),
                via: if record.via == record.host { String::new() } else { name(record.via) },
                to: record.to.clone(),
                user: record.user.clone(),
                ssh: record.ssh.clone(),
                password: Password::default(),
                key: Password::default(),
                note: record.note.clone(),
            },
            stopped: record.stopped,
            revision: record.revision,
            created_ms: record.created_ms,
            by: record.by.clone(),
            stand: inner.stands.get(&record.name).cloned(),
            away: record.host.is_none_or(|host| hub.fleet.link(host).is_err()),
        };
        let own = inner.known.values().filter(|record| record.host.is_some_and(&sees));
        Listing { forwards: own.map(shown).collect() }
    }

    /// Keeps one, new or changed.
    pub async fn put(
        &self,
        hub: &Hub,
        caller: &Caller,
        forward: &Forward,
    ) -> Result<Done, CallError> {
        let _one = self.changing.lock().await;
        check_name(&forward.name).map_err(CallError::malformed)?;
        forward.check().map_err(CallError::malformed)?;
        let listen: SocketAddr = forward.listen.parse().map_err(|_| {
            CallError::malformed(
                "a forward listens at an address with a port, such as 127.0.0.1:8080",
            )
        })?;
        if listen.port() == 0 {
            return Err(CallError::malformed(
                "a forward that is kept listens at a port of its own",
            ));
        }
        if forward.note.len() > MAX_NOTE || forward.note.contains(char::is_control) {
            return Err(CallError::malformed("a note is one line of at most 400 bytes"));
        }
        let named = |name: &str| {
            hub.fleet.named(name).ok_or_else(|| {
                let name = cmdr_protocol::display::clean_to_width(name, 80);
                CallError::not_found(format!("there is no host '{name}' in this fleet"))
            })
        };
        let host = named(&forward.host)?;
        let via = if forward.via.is_empty() { host } else { named(&forward.via)? };
        may(hub, &hub.who_is(&caller.operator), via, forward.kind, &forward.to)?;
        let before = self.lock().known.get(&forward.name).cloned();
        let _sealing = hub.vault.sealing().await;
        let (sealed, sealed_key) = login::sealed(hub, forward, before.as_ref())?;
        let wanted = ForwardRecord {
            name: forward.name.clone(),
            kind: forward.kind,
            user: forward.user.clone(),
            ssh: forward.ssh.clone(),
            sealed,
            sealed_key,
            host: Some(host),
            listen: listen.to_string(),
            via: Some(via),
            to: forward.to.clone(),
            note: forward.note.clone(),
            by: caller.operator.clone(),
            key: Some(caller.key),
            stopped: before.as_ref().is_some_and(|before| before.stopped),
            revision: before.as_ref().map_or(1, |before| before.revision + 1),
            created_ms: before.as_ref().map_or_else(clock::now_ms, |before| before.created_ms),
        };
        if before.is_none() {
            let inner = self.lock();
            let there = inner.known.values().filter(|record| record.host == Some(host)).count();
            if inner.known.len() >= MAX_FORWARDS || there >= MAX_ON_HOST {
                let what = format!(
                    "there are {MAX_FORWARDS} forwards, or {MAX_ON_HOST} of one host, already; delete some first"
                );
                return Err(CallError::new(ErrorKind::Busy, what));
            }
        }
        self.write(hub, before, wanted).await
    }

    /// Changes one that is there.
    async fn change(
        &self,
        hub: &Hub,
        name: &str,
        what: impl FnOnce(&mut ForwardRecord) -> Result<(), CallError>,
    ) -> Result<Done, CallError> {
        let _one = self.changing.lock().await;
        let before = self.lock().known.get(name).cloned().ok_or_else(|| missing(name))?;
        let mut wanted = before.clone();
        what(&mut wanted)?;
        wanted.revision += 1;
        self.write(hub, Some(before), wanted).await
    }

    async fn write(
        &self,
        hub: &Hub,
        before: Option<ForwardRecord>,
        wanted: ForwardRecord,
    ) -> Result<Done, CallError> {
        let away = wanted.host.is_none_or(|host| hub.fleet.link(host).is_err());
        if let Some(before) = &before {
            let same =
                ForwardRecord { revision: before.revision, key: before.key, ..wanted.clone() };
            if same == *before {
                return Ok(Done { revision: before.revision, unchanged: true, away });
            }
        }
        self.store.apply(Batch::new().put(key(&wanted.name), &wanted)).await.map_err(busy)?;
        let revision = wanted.revision;
        self.lock().known.insert(wanted.name.clone(), wanted);
        self.tell_hosts();
        Ok(Done { revision, unchanged: false, away })
    }

    /// Stops one, or lets it go on.
    pub async fn stop(&self, hub: &Hub, name: &str, stopped: bool) -> Result<Done, CallError> {
        self.change(hub, name, |record| {
            record.stopped = stopped;
            Ok(())
        })
        .await
    }

    /// Lets new connections of one lead elsewhere.
    pub async fn switch(
        &self,
        hub: &Hub,
        caller: &Caller,
        switch: &Switch,
    ) -> Result<Done, CallError> {
        switch.to.check().map_err(CallError::malformed)?;
        self.change(hub, &switch.name, |record| {
            if record.kind.is_proxy() {
                return Err(CallError::malformed(
                    "a proxy leads where its clients say: there is nothing to switch",
                ));
            }
            if !switch.via.is_empty() {
                let via = hub.fleet.named(&switch.via);
                record.via = Some(via.ok_or_else(|| {
                    let name = cmdr_protocol::display::clean_to_width(&switch.via, 80);
                    CallError::not_found(format!("there is no host '{name}' in this fleet"))
                })?);
            }
            record.to = switch.to.clone();
            (record.by, record.key) = (caller.operator.clone(), Some(caller.key));
            let via = record.via.ok_or_else(|| missing(&switch.name))?;
            if record.kind != Kind::Tcp && record.via != record.host {
                return Err(CallError::malformed(
                    "through another host go forwards of kind tcp alone",
                ));
            }
            may(hub, &hub.who_is(&record.by), via, record.kind, &record.to)
        })
        .await
    }

    /// Ends the connections of one.
    pub fn cut(&self, hub: &Hub, name: &str) -> Result<(), CallError> {
        let host = self.lock().known.get(name).ok_or_else(|| missing(name))?.host;
        let host = host.ok_or_else(|| missing(name))?;
        // One whose host is away is told so: nobody knows of its connections.
        hub.fleet.link(host)?;
        self.lock().cuts.entry(host).or_default().push(name.to_owned());
        self.tell_hosts();
        Ok(())
    }

    /// Takes one away.
    pub async fn delete(&self, name: &str) -> Result<(), CallError> {
        let _one = self.changing.lock().await;
        if !self.lock().known.contains_key(name) {
            return Err(missing(name));
        }
        self.store.apply(Batch::new().delete(key(name))).await.map_err(busy)?;
        {
            let mut inner = self.lock();
            inner.known.remove(name);
            inner.stands.remove(name);
        }
        self.tell_hosts();
        Ok(())
    }

    /// What a host is given. Of what it connects for itself the hub sees no connection: whether it may be is said here.
    fn given(&self, hub: &Hub, host: HostId) -> Vec<Given> {
        let own: Vec<ForwardRecord> = {
            let inner = self.lock();
            inner.known.values().filter(|record| record.host == Some(host)).cloned().collect()
        };
        let given = own.into_iter().map(|record| {
            let own = record.via == record.host;
            let allowed = if own {
                may(hub, &hub.who_is(&record.by), host, record.kind, &record.to)
            } else {
                Ok(())
            };
            let login = allowed.and_then(|()| login::login(hub, &record));
            Given {
                kind: record.kind,
                to: (own && !record.kind.is_proxy()).then(|| record.to.clone()),
                refused: login.as_ref().err().map(|e| e.message.clone()).unwrap_or_default(),
                password: login.as_ref().map(|(password, _)| password.clone()).unwrap_or_default(),
                key: login.map(|(_, key)| key).unwrap_or_default(),
                ssh: record.ssh,
                name: record.name,
                revision: record.revision,
                listen: record.listen,
                user: record.user,
                stopped: record.stopped,
            }
        });
        given.collect()
    }

    /// A forward, if it is one of this host.
    fn of(&self, host: HostId, name: &str) -> Option<ForwardRecord> {
        let record = self.lock().known.get(name).cloned();
        record.filter(|record| record.host == Some(host))
    }
}
