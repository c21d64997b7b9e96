//! Decides what a peer that has proved its key is: a host of the fleet, an operator, one who waits,
//! or nobody.

use crate::audit::trail::{self, Joining};
use crate::fleet::Standing as HostStanding;
use crate::keyring::Standing;
use crate::network::Network;
use crate::records::{DeviceRecord, host_key};
use crate::server::Hub;
use crate::store::Batch;
use crate::who::Who;
use cmdr_link::keys;
use cmdr_protocol::envelope::Caller;
use cmdr_protocol::hosts::Labels;
use cmdr_protocol::operators::By;
use cmdr_protocol::role::Role;
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::{Hello, OLDEST, PROTOCOL, PeerKind, Refusal, RefusalKind};
use cmdr_protocol::{HostId, KeyId, PublicKey, login};
use std::net::IpAddr;

/// What a peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A host of the fleet.
    Host {
        /// Which.
        id: HostId,
        /// Under which name.
        name: String,
    },
    /// An operator's program.
    Operator(Caller),
    /// A program whose key acts for nobody (any more) and that wants to log in.
    Guest(Caller),
}

fn refuse<T>(kind: RefusalKind, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { kind, message: message.into() })
}

/// Decides. `address` is where it dials from, for the list of those who wait.
pub async fn decide(
    hub: &Hub,
    key: PublicKey,
    hello: &Hello,
    address: &str,
) -> Result<Peer, Refusal> {
    if hello.protocol < OLDEST {
        return refuse(
            RefusalKind::Version,
            format!(
                "it speaks protocol {}, this hub {OLDEST} to {PROTOCOL}; upgrade that program",
                hello.protocol
            ),
        );
    }
    match hello.kind {
        PeerKind::Agent => agent(hub, key, hello, address).await,
        PeerKind::Client => client(hub, key, hello, address).await,
        PeerKind::Unknown => refuse(
            RefusalKind::Version,
            "this hub does not know that kind of peer; upgrade the hub",
        ),
    }
}

async fn agent(hub: &Hub, key: PublicKey, hello: &Hello, address: &str) -> Result<Peer, Refusal> {
    let id = hub.fleet.id_of(&key);
    let standing = hub.fleet.standing(&key);
    let by_token = hello.join.as_ref().filter(|join| join.token.is_some());
    match (standing, by_token) {
        (HostStanding::Member(name), _) => match hub.fleet.drop_next(id).await {
            Ok(()) => Ok(Peer::Host { id, name }),
            Err(e) => refuse(RefusalKind::Busy, e.to_string()),
        },
        // Before it is welcomed: the agent throws the old key away then.
        (HostStanding::Next(name), None) => match hub.fleet.take_key(id, key).await {
            Ok(()) => {
                tracing::info!(host = name, %id, address, "the host has proved its new key");
                trail::new_key(&hub.audit, id, &name, &key, address).await;
                Ok(Peer::Host { id, name })
            }
            Err(e) => refuse(RefusalKind::Busy, e.to_string()),
        },
        (HostStanding::Next(_) | HostStanding::Replaced, _) => refuse(
            RefusalKind::UnknownKey,
            "this key belongs to a host that has another one; if that is this machine, remove the key in its state folder and join with a token: cmdr-agentd join TOKEN",
        ),
        (HostStanding::Rejected, _) => refuse(
            RefusalKind::Rejected,
            format!(
                "an administrator rejected this host's key; to let it ask again: cmdr hosts forget {id}"
            ),
        ),
        (HostStanding::Pending | HostStanding::Unknown, Some(join)) => {
            let joining =
                Joining::begin(hub, TokenKind::Host, join, &key, &hello.name, address).await?;
            // The name is held before the token is used up, and let go of if that fails.
            let proposed = hub.fleet.propose(key, &hello.name, Labels::new(), false);
            let mut record = proposed.clone();
            crate::fleet::short(&hello.version).clone_into(&mut record.agent);
            let redeemed = hub
                .keyring
                .redeem(join, TokenKind::Host, |token| {
                    record.labels.clone_from(&token.labels);
                    Batch::new().put(host_key(id), &record)
                })
                .await;
            if let Err(refusal) = redeemed {
                hub.fleet.withdraw(&proposed);
                joining.end(Err(&refusal)).await;
                return Err(refusal);
            }
            let name = record.name.clone();
            hub.fleet.admit(record);
            joining.end(Ok(format!("taken in as {name}"))).await;
            tracing::info!(host = name, %id, address, "a host joined with a token");
            Ok(Peer::Host { id, name })
        }
        (HostStanding::Pending, None) => refuse(
            RefusalKind::Pending,
            format!("the host waits for approval; an administrator runs: cmdr hosts approve {id}"),
        ),
        (HostStanding::Unknown, None) if hello.join.is_some() => {
            match hub.fleet.enlist(key, &hello.name, &hello.version, address).await {
                Ok(()) => {
                    tracing::info!(name = %cmdr_protocol::display::clean(&hello.name), %id, address, "a host asks to join");
                    refuse(
                        RefusalKind::Pending,
                        format!(
                            "the host waits for approval; an administrator runs: cmdr hosts approve {id}"
                        ),
                    )
                }
                Err(e) => refuse(RefusalKind::Busy, e.to_string()),
            }
        }
        (HostStanding::Unknown, None) => refuse(
            RefusalKind::UnknownKey,
            "the hub does not know this host's key (any more); join with a token: cmdr-agentd join TOKEN",
        ),
    }
}

async fn client(hub: &Hub, key: PublicKey, hello: &Hello, address: &str) -> Result<Peer, Refusal> {
    let id = keys::key_id(&key);
    let caller = |name: &str, role| Caller {
        key: id,
        name: name.to_owned(),
        // Looked up for each request.
        operator: String::new(),
        role,
        address: address.to_owned(),
    };
    if key == hub.keys.public() {
        // Whoever can read the hub's key file owns the hub already.
        let Who { operator, role, .. } = Who::local();
        return Ok(Peer::Operator(caller(&operator, role)));
    }
    let join = hello.join.as_ref().filter(|join| join.token.is_some());
    let wants_to_log_in = hello.capabilities.iter().any(|c| c == login::CAPABILITY);
    let (device, account) = match (hub.keyring.standing(id), join) {
        // A device that is known stays what it is, and its token stays unused: nobody shall lose or
        // gain rights by logging in again.
        (Standing::Active(device, account), _) => (*device, *account),
        (Standing::Disabled(device), _) => return shut_out(&device),
        (_, Some(join)) => {
            let kind = TokenKind::Operator;
            let joining = Joining::begin(hub, kind, join, &key, &hello.name, address).await?;
            let taken = hub.keyring.login(key, &hello.name, join).await;
            let told = taken.as_ref().map(|(device, account)| {
                format!("{} taken in for {} ({})", device.name, account.name, account.role)
            });
            joining.end(told).await;
            let (device, account) = taken?;
            tracing::info!(operator = account.name, device = device.name, key = %id, role = %account.role, "a device logged in with a token");
            (device, account)
        }
        (_, None) if wants_to_log_in => return Ok(Peer::Guest(caller("", Role::NONE))),
        (Standing::Expired(device), None) if device.program.is_some() => return expired(&device),
        (Standing::Expired(device), None) => {
            return refuse(
                RefusalKind::LoginExpired,
                format!("the login of {} has ended; log in again: cmdr login", device.operator),
            );
        }
        (Standing::Revoked(device), None) => {
            return refuse(RefusalKind::UnknownKey, taken_away(hub, &device));
        }
        (Standing::Unknown, None) => {
            return refuse(
                RefusalKind::UnknownKey,
                "the hub does not know this device's key (any more); log in: cmdr login, or with a token: cmdr login TOKEN",
            );
        }
    };
    may_come(&device, address)?;
    Ok(Peer::Operator(caller(&account.name, account.role)))
}

/// Lets in a program that has proved its key otherwise than with a link: by what the same key would be let
/// in with one.
pub(crate) fn program(
    hub: &Hub,
    key: KeyId,
    standing: Standing,
    address: IpAddr,
) -> Result<Caller, Refusal> {
    let allow = &hub.config.login.allow;
    if !allow.is_empty() && !allow.iter().any(|network| network.contains(address)) {
        return refuse(
            RefusalKind::Locked,
            format!(
                "operators may not come from {address}; the hub's configuration ([login] allow) lists from where"
            ),
        );
    }
    let address = address.to_string();
    match standing {
        Standing::Active(device, account) => {
            may_come(&device, &address)?;
            let role = account.role;
            Ok(Caller { key, name: account.name, operator: String::new(), role, address })
        }
        Standing::Disabled(device) => shut_out(&device),
        Standing::Expired(device) => expired(&device),
        Standing::Revoked(device) => refuse(RefusalKind::UnknownKey, taken_away(hub, &device)),
        Standing::Unknown => refuse(RefusalKind::UnknownKey, "the hub does not know this key"),
    }
}

fn shut_out<T>(device: &DeviceRecord) -> Result<T, Refusal> {
    let message = format!("the operator {} was shut out; ask an administrator", device.operator);
    refuse(RefusalKind::Disabled, message)
}

fn expired<T>(device: &DeviceRecord) -> Result<T, Refusal> {
    let DeviceRecord { name, operator, .. } = device;
    refuse(
        RefusalKind::LoginExpired,
        format!(
            "the program's key '{name}' has expired; {operator} can make a new one: cmdr keys create"
        ),
    )
}

/// Whether a program's key may be used from there.
fn may_come(device: &DeviceRecord, address: &str) -> Result<(), Refusal> {
    match &device.program {
        Some(program) if !in_networks(&program.networks, address) => refuse(
            RefusalKind::Elsewhere,
            format!(
                "the key '{}' may not be used from {address}; its operator can make one that may: cmdr keys create --from",
                device.name
            ),
        ),
        _ => Ok(()),
    }
}

/// What was taken away from a device, and how it comes back.
fn taken_away(hub: &Hub, device: &DeviceRecord) -> String {
    let DeviceRecord { operator, name, .. } = device;
    if hub.keyring.account(operator).is_none() {
        return format!("the operator {operator} was removed; ask an administrator");
    }
    match device.by {
        By::Key => format!(
            "the program's key '{name}' was revoked; {operator} can make a new one: cmdr keys create"
        ),
        By::Token | By::Unknown => {
            "this device's rights were taken away; with a new token it may come back: cmdr login TOKEN"
                .to_owned()
        }
        By::Password => format!(
            "this login was ended, as all others are when the password is changed, or by an administrator; log in again: cmdr login --user {operator}"
        ),
        By::Ldap => format!(
            "this login was ended; log in again: cmdr login --user {operator}"
        ),
        By::Oidc => "this login was ended; log in again: cmdr login --oidc".to_owned(),
    }
}

/// Whether an address is in one of these networks; in none when one of them cannot be read.
fn in_networks(networks: &[String], address: &str) -> bool {
    let Ok(address) = address.parse() else { return false };
    networks.is_empty()
        || networks.iter().any(|n| Network::parse(n).is_ok_and(|network| network.contains(address)))
}
