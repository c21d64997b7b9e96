//! `join`: makes this machine's key, and asks the hub once to be taken in.

use crate::VERSION;
use crate::state::{self, Failure};
use cmdr_link::context::{self, Context};
use cmdr_link::keys::{self, SecretKey};
use cmdr_link::link::{DialError, Target};
use cmdr_link::mux::Limits;
use cmdr_link::pins;
use cmdr_link::session::Dialer;
use cmdr_link::token::JoinToken;
use cmdr_protocol::HostId;
use cmdr_protocol::display::clean;
use cmdr_protocol::version::{JOINED, Join, PeerKind, RefusalKind};
use std::path::Path;
use std::time::Duration;

/// With what this machine asks.
#[derive(Debug)]
pub enum Ask {
    /// A token, which lets it in at once.
    Token(JoinToken),
    /// Nothing but the hub's address and key: an administrator decides.
    Hub(Target),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// Taken in, under this name.
    Welcome {
        /// Where.
        hub: String,
        /// The name the hub knows this host by.
        name: String,
        /// Its id.
        id: HostId,
    },
    /// An administrator has to say yes.
    Pending {
        /// Where.
        hub: String,
        /// The id to approve.
        id: HostId,
        /// What the key must read.
        key: String,
    },
}

impl std::fmt::Display for Joined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Welcome { hub, name, id } => {
                write!(f, "joined {} as {} (id {id})", clean(hub), clean(name))
            }
            Self::Pending { hub, id, key } => write!(
                f,
                "the hub at {} has this host on its list; an administrator must run: \
                 cmdr hosts approve {id}\nthis host's key is {key}",
                clean(hub)
            ),
        }
    }
}

/// A failed dial as a line and an exit code, the same as of `cmdr`: 5 when the hub says no or is not
/// the one whose key is known, which takes a person to put right; 7 when trying again may help.
pub fn failure(error: &DialError) -> Failure {
    let code = if error.is_lasting() { 5 } else { 7 };
    Failure { code, message: error.to_string() }
}

/// Makes the key in `dir` if there is none, asks, and keeps the hub's address when it was not
/// refused. Holds the folder meanwhile.
pub async fn join(dir: &Path, name: String, ask: Ask) -> Result<Joined, Failure> {
    let _lock = state::take(dir)?;
    let key = SecretKey::load_or_create(&context::key_file(dir))
        .map_err(|e| Failure::local(e.to_string()))?;
    let public = key.public();
    let (target, request) = match ask {
        Ask::Token(token) => (
            Target { address: token.address.clone(), hub: token.hub },
            Join { token: Some(token.id), secret: token.secret.to_vec() },
        ),
        Ask::Hub(target) => (target, Join { token: None, secret: Vec::new() }),
    };
    let save = || {
        Context::save_target(dir, &target.address, &target.hub)
            .map_err(|e| Failure::local(e.to_string()))
    };
    let hub = target.address.clone();
    let id = keys::host_id(&public);
    match dialer(target.clone(), key.clone(), name, Some(request)).dial().await {
        Ok((link, welcome, _)) => {
            save()?;
            pins::learn(dir, &target.hub, welcome.next_hub_key)
                .map_err(|e| Failure::local(e.to_string()))?;
            context::keep_host_id(dir, &key, welcome.host)
                .map_err(|e| Failure::local(format!("keeping the host's id: {e}")))?;
            link.close(JOINED);
            link.down().await;
            Ok(Joined::Welcome { hub, name: welcome.name, id: welcome.host.unwrap_or(id) })
        }
        Err(DialError::Refused { refusal, .. }) if refusal.kind == RefusalKind::Pending => {
            save()?;
            Ok(Joined::Pending { hub, id, key: public.to_string() })
        }
        Err(e) => Err(failure(&e)),
    }
}

/// An agent's dialer.
pub fn dialer(target: Target, key: SecretKey, name: String, join: Option<Join>) -> Dialer {
    Dialer {
        target,
        key,
        kind: PeerKind::Agent,
        name,
        version: VERSION,
        capabilities: Vec::new(),
        join,
        limits: Limits::default(),
        patience: Duration::from_secs(10),
        from: None,
        dir: None,
    }
}
