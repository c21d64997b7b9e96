//! Many agents in one process, each with a key, a name, an address and a link of its own, that take orders
//! ([`crate::orders`]). Their links heal by themselves, can be cut, and can stay away for good.

use crate::orders::Orders;
use cmdr_link::link::Target;
use cmdr_link::mux::Limits;
use cmdr_link::session::{self, Dialer, State};
use cmdr_link::token::JoinToken;
use cmdr_link::{Link, SecretKey};
use cmdr_protocol::version::{Join, PeerKind};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// One agent.
#[derive(Debug)]
pub struct Member {
    /// Its orders.
    pub orders: Orders,
    link: Arc<Mutex<Option<Link>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.vanish();
    }
}

impl Member {
    /// Joins with a token that can be used often enough, and stays.
    pub fn join(
        token: &JoinToken,
        name: String,
        number: usize,
        online: &Arc<watch::Sender<usize>>,
    ) -> Self {
        let orders = Orders::new(&name);
        let dialer = Dialer {
            target: Target { address: token.address.clone(), hub: token.hub },
            key: SecretKey::generate().unwrap(),
            kind: PeerKind::Agent,
            name,
            version: env!("CARGO_PKG_VERSION"),
            capabilities: Vec::new(),
            join: Some(Join { token: Some(token.id), secret: token.secret.to_vec() }),
            limits: Limits { streams: 64, window: 16 << 20 },
            patience: Duration::from_secs(2),
            from: source(&token.address, number),
            dir: None,
        };
        let link: Arc<Mutex<Option<Link>>> = Arc::default();
        let (service, held, online) = (Arc::new(orders.service()), link.clone(), online.clone());
        let task = tokio::spawn(async move {
            let state = watch::channel(State::Closed).0;
            session::keep(&dialer, &state, |link, _, mut streams| {
                let (service, held, online) = (service.clone(), held.clone(), online.clone());
                async move {
                    *held.lock().unwrap_or_else(PoisonError::into_inner) = Some(link.clone());
                    online.send_modify(|n| *n += 1);
                    while let Some(stream) = streams.recv().await {
                        let service = service.clone();
                        tokio::spawn(async move { service.serve(stream).await });
                    }
                    online.send_modify(|n| *n -= 1);
                }
            })
            .await;
        });
        Self { orders, link, task }
    }

    /// Cuts its link; it dials anew.
    pub fn cut(&self) {
        if let Some(link) = &*self.link.lock().unwrap_or_else(PoisonError::into_inner) {
            link.close("cut");
        }
    }

    /// It is gone and does not come back.
    pub fn vanish(&mut self) {
        self.task.abort();
        self.cut();
    }
}

/// As many real servers would, each dials from an address of its own; loopback has plenty.
pub fn source(hub: &str, number: usize) -> Option<IpAddr> {
    hub.starts_with("127.")
        .then(|| Ipv4Addr::new(127, 42, (number / 250) as u8, (number % 250 + 1) as u8).into())
}
