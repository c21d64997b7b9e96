//! The features that the hub answers itself, one line each.

pub(crate) mod alerts;
pub(crate) mod approvals;
mod audit;
mod blobs;
mod compose;
mod configs;
mod data;
mod events;
mod files;
mod forwards;
mod gateways;
mod groups;
mod history;
mod hostkeys;
mod hosts;
mod hub;
mod hubkey;
mod images;
mod keys;
mod login;
mod notifiers;
mod operators;
mod pages;
mod parts;
mod ping;
mod probes;
mod pushes;
mod recordings;
mod registries;
mod roles;
mod rules;
mod runbooks;
mod runs;
mod secrets;
mod tokens;
mod totp;

pub use tokens::LONGEST_TTL_S;
pub(crate) use tokens::{listing, make};
pub(crate) use totp::KEEPER as TOTP;

use crate::audit::trail;
use crate::server::Hub;
use cmdr_link::service::Service;
use std::sync::Arc;

type HubService = Service<Hub>;

/// All of them.
pub fn all(hub: Arc<Hub>) -> HubService {
    let service = Service::over(hub);
    let service = ping::register(service);
    let service = hosts::register(service);
    let service = tokens::register(service);
    let service = operators::register(service);
    let service = roles::register(service);
    let service = runs::register(service);
    let service = groups::register(service);
    let service = runbooks::register(service);
    let service = configs::register(service);
    let service = compose::register(service);
    let service = login::register(service);
    let service = totp::register(service);
    let service = keys::register(service);
    let service = approvals::register(service);
    let service = audit::register(service);
    let service = events::register(service);
    let service = blobs::register(service);
    let service = files::register(service);
    let service = history::register(service);
    let service = data::register(service);
    let service = rules::register(service);
    let service = alerts::register(service);
    let service = notifiers::register(service);
    let service = hostkeys::register(service);
    let service = images::register(service);
    let service = hubkey::register(service);
    let service = pushes::register(service);
    let service = gateways::register(service);
    let service = probes::register(service);
    let service = forwards::register(service);
    let service = recordings::register(service);
    let service = registries::register(service);
    let service = secrets::register(service);
    hub::register(service)
}

/// Makes a token without a caller: the first one, or one on a stopped hub's data.
pub async fn make_token(
    hub: &Hub,
    create: &cmdr_protocol::tokens::Create,
    by: &str,
) -> Result<cmdr_protocol::tokens::Created, cmdr_protocol::CallError> {
    trail::local(&hub.audit, by, create, make(hub, create, by)).await
}

/// All tokens, newest first.
pub fn list_tokens(hub: &Hub) -> cmdr_protocol::tokens::Listing {
    listing(hub)
}

/// The error of what could not be written.
fn busy(error: impl std::fmt::Display) -> cmdr_protocol::CallError {
    cmdr_protocol::CallError::new(cmdr_protocol::ErrorKind::Busy, error.to_string())
}

/// The error of a caller without an identity, which only a hub's own fault can bring about.
fn nobody() -> cmdr_protocol::CallError {
    cmdr_protocol::CallError::denied("the caller is not known")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::methods::{METHODS, Place};

    #[tokio::test]
    async fn every_method_of_the_hub_has_a_handler_and_no_other_has() {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::store::Store::open(dir.path()).unwrap();
        let key = cmdr_link::SecretKey::generate().unwrap();
        let (config, audit) = (crate::config::Config::default(), dir.path().join("audit"));
        let vault = crate::vault::Vault::locked();
        let hub =
            Hub::new(key, store, vault, &audit, config, String::new(), String::new()).unwrap();
        let mut handled: Vec<_> = all(hub).methods().collect();
        let mut expected: Vec<_> =
            METHODS.iter().filter(|m| m.place != Place::Host).map(|m| m.name).collect();
        handled.sort_unstable();
        expected.sort_unstable();
        assert_eq!(handled, expected);
    }
}
