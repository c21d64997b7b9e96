//! A host of a test that takes orders and counts what it begins, and what is asked of a hub about runs. For the tests of
//! runs.

use cmdr_link::session::Dialer;
use cmdr_link::{Client, SecretKey};
use cmdr_protocol::role::Role;
use cmdr_protocol::runs::{Command, Order, Show, Shown, Start, TargetState};
use cmdr_protocol::tokens::TokenKind;
use cmdr_protocol::version::PeerKind;
use cmdr_protocol::{Call, CallError, HostId, RunId, hosts};
use harness::orders::Orders;
use harness::{BareAgent, World, until, until_some};
use std::time::Duration;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Sim {
    pub(crate) orders: Orders,
    pub(crate) dialer: Dialer,
    pub(crate) id: HostId,
    /// Its link, unless it is cut.
    pub(crate) agent: Option<BareAgent>,
}

impl Sim {
    pub(crate) async fn new(world: &World, name: &str) -> Self {
        let token = world.token(TokenKind::Host, Role::NONE, 1).await;
        let key = SecretKey::generate().unwrap();
        let mut dialer = world.dialer(PeerKind::Agent, key, Some(&token));
        name.clone_into(&mut dialer.name);
        let orders = Orders::new(name);
        let agent = world.serve_agent(&dialer, orders.service()).await.unwrap();
        dialer.join = None;
        Self { orders, dialer, id: agent.id, agent: Some(agent) }
    }

    /// Cuts its link and waits until the hub has seen it.
    pub(crate) async fn cut(&mut self, world: &World) {
        self.agent = None;
        world.until_state(self.id, hosts::HostState::Away).await;
    }

    /// Dials again.
    pub(crate) async fn heal(&mut self, world: &World) {
        let agent = until_some("the hub takes the host in again", async || {
            world.serve_agent(&self.dialer, self.orders.service()).await.ok()
        });
        self.agent = Some(agent.await);
    }

    /// The order that it is at, once there is one.
    pub(crate) async fn at(&self) -> String {
        until_some("the host is at it", async || self.orders.running().into_iter().next()).await
    }

    /// Ends the order that it is at.
    pub(crate) async fn finish(&self, state: TargetState, code: i32) {
        let id = self.at().await;
        self.orders.finish(&id, state, code);
        until("the host is not at it any more", async || !self.orders.running().contains(&id))
            .await;
    }

    /// How often it began each order.
    pub(crate) fn began(&self) -> Vec<u32> {
        self.orders.began().into_values().collect()
    }

    /// How many orders it has begun, none of them twice.
    pub(crate) fn once(&self) -> usize {
        let began = self.began();
        assert!(began.iter().all(|times| *times == 1), "{:?}", self.orders.began());
        began.len()
    }
}

pub(crate) fn command(argv: &[&str]) -> Order {
    let argv = argv.iter().map(|&word| word.to_owned()).collect();
    Order { command: Some(Command { argv }), ..Order::default() }
}

pub(crate) async fn ask<C: Call>(client: &Client, call: &C) -> Result<C::Reply, CallError> {
    client.call(None, call, PATIENCE).await
}

pub(crate) async fn start(client: &Client, start: &Start) -> RunId {
    ask(client, start).await.unwrap().run.unwrap()
}

pub(crate) async fn show(client: &Client, run: RunId) -> Shown {
    ask(client, &Show { run, from: 0 }).await.unwrap()
}

pub(crate) async fn over(client: &Client, run: RunId) -> Shown {
    until_some("the run is over", async || {
        let shown = show(client, run).await;
        shown.run.ended_ms.is_some().then_some(shown)
    })
    .await
}
