//! An agent in this process, asked over a real link, as a hub asks it.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use cmdr_agentd::{Agent, Config, join, serve};
use cmdr_link::link::{self, Link, Target};
use cmdr_link::mux::Limits;
use cmdr_link::service::Service;
use cmdr_link::{Client, SecretKey, keys};
use cmdr_protocol::envelope::{Caller, Header, Kind};
use cmdr_protocol::role::Role;
use cmdr_protocol::version::{PROTOCOL, Welcome};
use cmdr_protocol::{Call, CallError, Feed, KeyId};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) agent: Agent,
    pub(crate) state: tempfile::TempDir,
    agent_link: Link,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_, _| {}).await
    }

    /// An agent whose configuration `change` has seen.
    pub(crate) async fn with(change: impl FnOnce(&mut Config, &Path)) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut config = Config::new(state.path().to_owned());
        config.supervisor = env!("CARGO_BIN_EXE_cmdr-agentd").into();
        change(&mut config, state.path());
        let agent = Agent::new(config);
        let service: Arc<Service<Agent>> = Arc::new(agent.clone().into_service());
        let hub_key = SecretKey::generate().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let target = Target { address, hub: hub_key.public() };
        let key = SecretKey::generate().unwrap();
        let id = keys::host_id(&key.public());
        let dialer = join::dialer(target, key, "test".into(), None);
        let accept = async {
            let (tcp, _) = listener.accept().await.unwrap();
            let incoming = link::accept(tcp, &hub_key, Limits::default()).await.unwrap();
            let welcome = Welcome {
                protocol: PROTOCOL,
                version: String::new(),
                capabilities: Vec::new(),
                name: "test".into(),
                host: Some(id),
                key: None,
                role: Role::NONE,
                expires_ms: None,
                renew_ms: None,
                verbs: Vec::new(),
                at_ms: 0,
                next_hub_key: None,
            };
            incoming.welcome(welcome).await.unwrap()
        };
        let (dialed, (hub_link, hub_streams)) = tokio::join!(dialer.dial(), accept);
        let (agent_link, _, streams) = dialed.unwrap();
        tokio::spawn(async move {
            let _kept = hub_streams;
            std::future::pending::<()>().await;
        });
        tokio::spawn(serve(service, agent_link.clone(), streams));
        Self { client: Client::new(hub_link), agent, state, agent_link }
    }

    /// Calls as an operator.
    pub(crate) async fn call<C: Call>(&self, call: &C) -> Result<C::Reply, CallError> {
        self.client.call_for(&operator(), None, call, Duration::from_secs(20)).await
    }

    /// Asks as an operator. The client sets no caller, the hub does, so this writes the header.
    pub(crate) async fn feed<F: Feed>(&self, feed: &F) -> Result<Items<F>, CallError> {
        Items::open(self.client.link(), feed).await
    }
}

/// A feed asked for with a caller.
pub(crate) struct Items<F: Feed> {
    pub(crate) reader: cmdr_link::frame::FrameReader<cmdr_link::mux::Stream>,
    pub(crate) writer: cmdr_link::frame::FrameWriter<cmdr_link::mux::Stream>,
    kind: std::marker::PhantomData<fn(F)>,
}

pub(crate) fn operator() -> Caller {
    Caller {
        key: KeyId([1; 16]),
        name: "ann@desk".into(),
        operator: "ann".into(),
        role: Role::OPERATOR,
        address: String::new(),
    }
}

impl<F: Feed> Items<F> {
    async fn open(link: &Link, feed: &F) -> Result<Self, CallError> {
        let header = Header {
            to: None,
            method: F::METHOD.into(),
            kind: Kind::Feed,
            resource: feed.resource(),
            deadline_ms: None,
            trace: 7,
            caller: Some(operator()),
        };
        let (reader, writer) = request(link, &header, feed).await;
        Ok(Self { reader, writer, kind: std::marker::PhantomData })
    }

    /// The next item, the proper end, or the error.
    pub(crate) async fn next(&mut self) -> Result<Option<F::Item>, CallError> {
        use cmdr_link::frame::Tag;
        let frame = tokio::time::timeout(Duration::from_secs(20), self.reader.next()).await;
        match frame.expect("no item for 20 s").unwrap() {
            Some(frame) if frame.tag == Tag::Body => {
                Ok(Some(cmdr_link::codec::decode(&frame.payload).unwrap()))
            }
            Some(frame) if frame.tag == Tag::Error => {
                Err(cmdr_link::codec::decode(&frame.payload).unwrap())
            }
            _ => Ok(None),
        }
    }

    pub(crate) async fn send(&mut self, input: &F::Input) {
        let bytes = cmdr_link::codec::encode(input).unwrap();
        self.writer.send(cmdr_link::frame::Tag::Body, &bytes).await.unwrap();
    }
}

type Halves = (
    cmdr_link::frame::FrameReader<cmdr_link::mux::Stream>,
    cmdr_link::frame::FrameWriter<cmdr_link::mux::Stream>,
);

pub(crate) async fn request<T: serde::Serialize>(link: &Link, header: &Header, body: &T) -> Halves {
    use cmdr_link::frame::{FrameReader, FrameWriter, Tag};
    let stream = link.open().unwrap();
    let mut writer = FrameWriter::new(stream.clone());
    writer.queue(Tag::Header, &cmdr_link::codec::encode(header).unwrap()).unwrap();
    writer.queue(Tag::Body, &cmdr_link::codec::encode(body).unwrap()).unwrap();
    writer.flush().await.unwrap();
    (FrameReader::new(stream), writer)
}

/// Polls until it holds, 10 s at most.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
