//! Links of operators' programs: of those who are known, and of those who have yet to log in.

use super::{GUEST, Hub, LOOK};
use crate::hubkey;
use crate::router;
use crate::who::Who;
use cmdr_link::link::Incoming;
use cmdr_link::service::Service;
use cmdr_link::{Link, clock};
use cmdr_protocol::KeyId;
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::version::{Refusal, RefusalKind, Welcome};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

impl Hub {
    pub(super) async fn client(
        self: Arc<Self>,
        incoming: Incoming,
        caller: Caller,
        address: SocketAddr,
        service: &Arc<Service<Self>>,
    ) {
        let who = self.who(&caller);
        let welcome = Welcome {
            name: caller.name.clone(),
            key: Some(caller.key),
            role: caller.role,
            verbs: self.rights.verbs(&who),
            expires_ms: who.expires_ms,
            renew_ms: who.expires_ms.map(|end| self.login.renew_from(end)),
            ..self.welcome(&incoming)
        };
        let proved = incoming.proved;
        let Ok((link, mut streams)) = incoming.welcome(welcome).await else { return };
        let number = self.present(caller.key, &link);
        let (id, program) = (caller.key.to_string(), self.is_program(caller.key));
        tokio::spawn(hubkey::attend(self.clone(), id, program, proved, link.clone()));
        tracing::debug!(operator = caller.name, %address, "a client is connected");
        self.note_use(caller.key, address.ip());
        let caller = Arc::new(caller);
        let serving = async {
            while let Some(stream) = streams.recv().await {
                let (hub, service) = (self.clone(), service.clone());
                tokio::spawn(router::route(hub, service, caller.clone(), stream));
            }
        };
        let reason = tokio::select! {
            reason = link.down() => reason,
            () = self.login_ends(caller.key) => {
                link.close(if program {
                    "this program's key has expired; its operator makes another: cmdr keys create"
                } else {
                    "the login has ended; log in again: cmdr login"
                });
                link.down().await
            }
            () = serving => link.down().await,
        };
        self.absent(number);
        tracing::debug!(operator = caller.name, %address, reason, "a client is gone");
    }

    fn is_program(&self, key: KeyId) -> bool {
        self.keyring.device(key).is_some_and(|device| device.program.is_some())
    }

    /// Waits until the login ends, if it has an end. Looks at the clock again and again: it may be set.
    pub(crate) async fn login_ends(&self, key: KeyId) {
        loop {
            let Some(end) = self.keyring.device(key).and_then(|device| device.expires_ms) else {
                return std::future::pending().await;
            };
            let now = clock::now_ms();
            if now >= end {
                return;
            }
            tokio::time::sleep(LOOK.min(Duration::from_millis(end - now))).await;
        }
    }

    /// Remembers when and from where a program's key was used, to the minute.
    pub(crate) fn note_use(self: &Arc<Self>, key: KeyId, address: IpAddr) {
        let now = clock::now_ms();
        let program = self.keyring.device(key).and_then(|device| device.program);
        if program.is_none_or(|p| p.used_ms.is_some_and(|at| now.saturating_sub(at) < 60_000)) {
            return;
        }
        let hub = self.clone();
        tokio::spawn(async move {
            let used = hub.keyring.change_device(key, |device| {
                if let Some(program) = &mut device.program {
                    (program.used_ms, program.used_from) = (Some(now), address.to_string());
                }
            });
            if let Err(e) = used.await {
                tracing::warn!(%key, "that a program's key was used could not be written down: {e}");
            }
        });
    }

    /// Serves somebody who has yet to log in, for a while.
    pub(super) async fn guest(
        self: Arc<Self>,
        incoming: Incoming,
        caller: Caller,
        address: SocketAddr,
        service: &Arc<Service<Self>>,
    ) {
        let Some(_place) = self.login.guests.enter_if_free(address.ip()) else {
            let message = "too many are logging in now; try again in a moment".to_owned();
            return incoming.refuse(Refusal { kind: RefusalKind::Busy, message }).await;
        };
        let verbs = self.rights.verbs(&Who::default());
        let welcome = Welcome { key: Some(caller.key), verbs, ..self.welcome(&incoming) };
        let Ok((link, mut streams)) = incoming.welcome(welcome).await else { return };
        let number = self.present(caller.key, &link);
        let caller = Arc::new(caller);
        let serving = async {
            // One thing after the other: a stranger gets no more of the hub than that.
            while let Some(stream) = streams.recv().await {
                router::route(self.clone(), service.clone(), caller.clone(), stream).await;
            }
        };
        tokio::select! {
            _ = link.down() => {}
            () = tokio::time::sleep(GUEST) => link.close("logging in took too long; try again"),
            () = serving => {}
        }
        link.down().await;
        self.absent(number);
    }

    /// Puts a client on the list of those who are there.
    fn present(&self, key: KeyId, link: &Link) -> u64 {
        let number = self.counters.links.fetch_add(1, Ordering::Relaxed);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.insert(number, (key, link.clone()));
        number
    }

    fn absent(&self, number: u64) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }
}
