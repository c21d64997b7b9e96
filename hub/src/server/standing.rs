//! Who a caller is and what they may do now; and cutting the links of those whose rights have changed.

use super::{CUT, CUT_AT_LAST, Hub, WHOS};
use crate::keyring::Standing;
use crate::rights::{Allowed, Asked, Compiled, Missing, Request, Rights};
use crate::who::Who;
use cmdr_link::Link;
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::hosts::Host;
use cmdr_protocol::role::Role;
use cmdr_protocol::{Call as _, HostId, KeyId, hosts, methods};
use std::sync::{Arc, PoisonError};

impl Hub {
    /// Who a caller is now. Cheap: it is put together anew only when something about it has changed.
    pub fn who(&self, caller: &Caller) -> Arc<Who> {
        self.who_has(caller.key)
    }

    pub(super) fn who_has(&self, key: KeyId) -> Arc<Who> {
        // Read before what it counts: a change meanwhile makes it be put together once more.
        let versions = [
            self.keyring.version(),
            self.groups.version(),
            self.approvals.version(),
            self.keys.version(),
        ];
        let known = self.whos.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, who)) = known.get(&key)
            && *made == versions
        {
            return who.clone();
        }
        drop(known);
        let who = Arc::new(self.make_who(key));
        let mut whos = self.whos.write().unwrap_or_else(PoisonError::into_inner);
        if whos.len() >= WHOS {
            whos.clear();
        }
        whos.insert(key, (versions, who.clone()));
        who
    }

    fn make_who(&self, key: KeyId) -> Who {
        if key == cmdr_link::keys::key_id(&self.keys.public()) {
            return Who::local();
        }
        let Standing::Active(device, account) = self.keyring.standing(key) else {
            return Who::default();
        };
        let program = match device.program.as_ref().map(|program| Compiled::new(&program.scope)) {
            Some(Err(e)) => {
                tracing::error!(%key, "the scope of a program's key is wrong, so it may do nothing: {e}");
                return Who::default();
            }
            Some(Ok(scope)) => Some(scope),
            None => None,
        };
        let owes_factor = self.config.login.owes_factor(&device, &account);
        Who {
            groups: self.groups.of(&account.name),
            // What a person asked for is not for their programs.
            approved: if program.is_none() { self.approvals.of(&account.name) } else { Vec::new() },
            operator: account.name,
            since_ms: account.created_ms,
            role: account.role,
            key: Some(key),
            program,
            expires_ms: device.expires_ms,
            owes_factor,
        }
    }

    /// An operator's rights, whatever device they come with; nobody's when there is no such operator.
    pub fn who_is(&self, operator: &str) -> Who {
        match self.keyring.account(operator).filter(|account| !account.disabled) {
            Some(account) => Who {
                groups: self.groups.of(operator),
                approved: self.approvals.of(operator),
                operator: account.name,
                since_ms: account.created_ms,
                role: account.role,
                ..Who::default()
            },
            None => Who::default(),
        }
    }

    /// Whether somebody may use a method on something: why, or what is missing.
    pub fn decide(
        &self,
        who: &Who,
        method: usize,
        resource: Option<&str>,
        host: Option<HostId>,
    ) -> Result<Allowed, Missing> {
        self.about(method, resource, host, |request| self.rights.decide(who, request))
    }

    /// Puts a request together and looks at it.
    pub(crate) fn about<T>(
        &self,
        method: usize,
        resource: Option<&str>,
        host: Option<HostId>,
        look: impl FnOnce(&Request<'_>) -> T,
    ) -> T {
        let know = |id: HostId| move || self.fleet.host(id);
        let known = host.map(know);
        let host = host.zip(known.as_ref()).map(|(id, known)| Asked {
            id,
            // A host that is not there has no labels to go by.
            changed: self.fleet.changed(id).unwrap_or(u64::MAX),
            host: known,
        });
        look(&Request { method, resource, host })
    }

    /// Whether somebody may know of a host.
    pub(crate) fn sees(&self, who: &Who, host: HostId) -> bool {
        let known = || self.fleet.host(host);
        let changed = self.fleet.changed(host).unwrap_or(u64::MAX);
        self.sees_asked(who, Asked { id: host, changed, host: &known })
    }

    /// As [`Hub::sees`], of a host that is at hand.
    pub(crate) fn sees_host(&self, who: &Who, id: HostId, changed: u64, host: &Host) -> bool {
        self.sees_asked(who, Asked { id, changed, host: &|| Some(host.clone()) })
    }

    fn sees_asked(&self, who: &Who, host: Asked<'_>) -> bool {
        let Some(method) = methods::index(hosts::List::METHOD) else { return false };
        let request = Request { method, resource: Some(""), host: Some(host) };
        Rights::in_scope(who, &request) && self.rights.by_people(who, &request).is_ok()
    }

    /// Cuts the links of every operator who has a role, so that what they have running is decided anew.
    pub(crate) fn cut_role(&self, role: Role, reason: &str) {
        for account in self.keyring.accounts() {
            let has = account.role == role
                || self.groups.of(&account.name).iter().any(|member| member.role == role);
            if has {
                self.cut_operator(&account.name, reason);
            }
        }
    }

    /// Cuts every link of an operator's devices and programs.
    pub(crate) fn cut_operator(&self, name: &str, reason: &str) {
        for (key, _) in self.keyring.devices_of(name) {
            self.cut(key, reason);
        }
    }

    /// Links from clients, each with its key.
    pub fn clients(&self) -> Vec<(KeyId, Link)> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Cuts every link of an operator's device, as soon as answers that are on their way have left: one
    /// of them may be to the device that asked for this.
    pub fn cut(&self, key: KeyId, reason: &str) {
        self.programs.cut(key, reason);
        let links: Vec<_> = self.clients().into_iter().filter(|(k, _)| *k == key).collect();
        if links.is_empty() {
            return;
        }
        let reason = reason.to_owned();
        let answers = self.answers.clone();
        tokio::spawn(async move {
            tokio::time::sleep(CUT).await;
            // What is written down first may take longer; what hangs shall not keep anybody in.
            drop(tokio::time::timeout(CUT_AT_LAST, answers.have_left(key)).await);
            for (_, link) in links {
                link.close(&reason);
            }
        });
    }
}
