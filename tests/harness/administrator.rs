//! A standing link of an administrator to a hub that may be killed under it.

use crate::process::HubProcess;
use cmdr_link::SecretKey;
use cmdr_link::session::Session;
use cmdr_protocol::version::PeerKind;
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
        let (key, token) = (SecretKey::generate().unwrap(), hub.token(Some("administrator"), 1));
        let mut dialer = hub.dialer(PeerKind::Client, &key, Some(&token), "test");
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
