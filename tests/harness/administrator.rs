//! A standing link of an administrator to a hub that may be killed under it.

use crate::process::HubProcess;
use cmdr_link::SecretKey;
use cmdr_link::link::Target;
use cmdr_link::mux::Limits;
use cmdr_link::session::{Dialer, Session};
use cmdr_link::token::JoinToken;
use cmdr_protocol::version::{Join, PeerKind};
use cmdr_protocol::{Call, CallError, ErrorKind};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(10);
/// Far more than a hub needs to come back.
const LIMIT: Duration = Duration::from_mins(5);

/// An administrator whose link heals by itself.
#[derive(Clone, Debug)]
pub struct Administrator(pub Session);

impl Administrator {
    /// One that the hub has let in for good.
    pub async fn of(hub: &HubProcess) -> Self {
        let token = JoinToken::parse(&hub.token(Some("administrator"), 1)).unwrap();
        let mut dialer = Dialer {
            target: Target { address: hub.address.clone(), hub: hub.key() },
            key: SecretKey::generate().unwrap(),
            kind: PeerKind::Client,
            name: "test".to_owned(),
            version: "test",
            capabilities: Vec::new(),
            join: Some(Join { token: Some(token.id), secret: token.secret.to_vec() }),
            limits: Limits::default(),
            patience: Duration::from_millis(500),
            from: None,
            dir: None,
        };
        dialer.connect().await.unwrap();
        dialer.join = None;
        Self(Session::start(dialer))
    }

    /// Asks until it is answered, or refused because of what it asks for.
    pub async fn ask<C: Call + Clone>(&self, call: &C) -> Result<C::Reply, CallError> {
        let begin = Instant::now();
        loop {
            match self.0.call(None, call.clone(), PATIENCE).await {
                Err(e) if !matches!(e.kind, ErrorKind::NotFound | ErrorKind::Conflict) => {
                    assert!(begin.elapsed() < LIMIT, "{}: {e}", C::METHOD);
                }
                answered => return answered,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
