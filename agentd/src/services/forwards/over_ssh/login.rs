//! Logging in to a machine: the right one by its key, as the user that is meant, by a key or a password.

use crate::Agent;
use crate::services::forwards::addresses;
use crate::services::ssh::Found;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::forwards::Place;
use cmdr_protocol::forwards::kept::Given;
use cmdr_protocol::ssh::{self, HostKey, Standing};
use cmdr_protocol::{CallError, ErrorKind};
use russh::client::{
    self, AuthResult, ChannelOpenHandle, Config, Handle, Handler,
    KeyboardInteractiveAuthResponse as Interactive, Msg, Session,
};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate, decode_secret_key};
use russh::{Channel, Preferred, SshId};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What servers are told.
const NAME: &str = concat!("SSH-2.0-Commander_", env!("CARGO_PKG_VERSION"));
/// One address must answer within so long.
const DIALING: Duration = Duration::from_secs(10);
/// Login, from the first word to the last.
const ENTERING: Duration = Duration::from_secs(30);
/// A machine that says nothing is asked for a sign of life after so long; three that fail end it.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Bytes that may come on one connection before they are taken.
const WINDOW: u32 = 1024 * 1024;
/// Connections that wait to be led on.
const COME: usize = 64;
/// Rounds of questions.
const ROUNDS: usize = 5;

/// Who is logged in as, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Machine {
    user: String,
    place: Place,
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.user, self.place)
    }
}

impl Machine {
    /// Reads `user@host` or `user@host:port`.
    pub(super) fn parse(text: &str) -> Result<Self, CallError> {
        let (user, place) =
            cmdr_protocol::forwards::kept::machine(text).map_err(CallError::malformed)?;
        Ok(Self { user, place })
    }
}

/// A login, and what the machine has connected for us.
pub(super) struct Entered {
    pub(super) handle: Handle<Door>,
    pub(super) come: mpsc::Receiver<Channel<Msg>>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Failure {
    Said(CallError),
    Ssh(russh::Error),
}

impl From<russh::Error> for Failure {
    fn from(e: russh::Error) -> Self {
        Self::Ssh(e)
    }
}

/// Lets only the right machine through, and takes what it connects.
pub(super) struct Door {
    agent: Agent,
    place: Place,
    come: mpsc::Sender<Channel<Msg>>,
}

impl Handler for Door {
    type Error = Failure;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        let said = |what: String| Failure::Said(CallError::failed(what));
        let place = ssh::place(&self.place.host, self.place.port);
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Err(said(format!(
                "{place} shows a certificate, which this agent does not check"
            )));
        };
        let mut plain = key.clone();
        plain.set_comment("");
        let text =
            plain.to_openssh().map_err(|e| said(format!("the host key cannot be written: {e}")))?;
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let host_key = HostKey {
            host: self.place.host.clone(),
            port: self.place.port,
            key: text,
            fingerprint: fingerprint.clone(),
            standing: Standing::New,
        };
        match self.agent.ssh().find(&host_key).await.map_err(Failure::Said)? {
            Found::Right => Ok(true),
            Found::Unknown(_) => Err(Failure::Said(CallError::not_found(format!(
                "the key of {place} ({fingerprint}) is not known to this host: open a session there from this host once (cmdr ssh), and say \
                 that it is right"
            )))),
        }
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Failure> {
        // One that nobody takes is closed by being dropped.
        if let Ok(place) = self.come.try_reserve() {
            reply.accept().await;
            place.send(channel);
        }
        Ok(())
    }
}

/// Logs in.
pub(super) async fn enter(
    agent: &Agent,
    machine: &Machine,
    given: &Given,
) -> Result<Entered, CallError> {
    let place = &machine.place;
    // Forwards may lead there, and so may SSH.
    let found = addresses(agent, place).await?;
    let found = agent.policy().allows_ssh(&place.host, found)?;
    let tcp = dial(&found, place).await?;
    let known = agent.ssh().algorithms(&place.host, place.port).await?;
    let (send, come) = mpsc::channel(COME);
    let door = Door { agent: agent.clone(), place: place.clone(), come: send };
    let entering = async {
        let mut handle =
            client::connect_stream(config(&known), tcp, door).await.map_err(|e| match e {
                Failure::Said(e) => e,
                Failure::Ssh(e) => CallError::failed(format!(
                    "speaking SSH with {place} failed before a login: {e}"
                )),
            })?;
        login(&mut handle, machine, given).await?;
        Ok(Entered { handle, come })
    };
    timeout(ENTERING, entering).await.unwrap_or_else(|_| {
        let what = format!("{machine} has not let us in for {} s", ENTERING.as_secs());
        Err(CallError::new(ErrorKind::Unreachable, what))
    })
}

async fn dial(addresses: &[SocketAddr], place: &Place) -> Result<TcpStream, CallError> {
    let mut why = String::from("it has no address");
    for address in addresses {
        match timeout(DIALING, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                tcp.set_nodelay(true).ok();
                return Ok(tcp);
            }
            Ok(Err(e)) => why = format!("{address}: {e}"),
            Err(_) => why = format!("{address}: no answer within {} s", DIALING.as_secs()),
        }
    }
    Err(CallError::new(
        ErrorKind::Unreachable,
        format!("this host cannot connect to {place}: {why}"),
    ))
}

fn config(known: &[String]) -> Arc<Config> {
    let mut kinds = Preferred::default().key.to_vec();
    // The key by which it is known is asked for first.
    kinds.sort_by_key(|kind| !known.iter().any(|known| known == kind.as_str()));
    Arc::new(Config {
        client_id: SshId::Standard(Cow::Borrowed(NAME)),
        window_size: WINDOW,
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 3,
        nodelay: true,
        preferred: Preferred { key: Cow::Owned(kinds), ..Preferred::default() },
        ..Config::default()
    })
}

async fn login(
    handle: &mut Handle<Door>,
    machine: &Machine,
    given: &Given,
) -> Result<(), CallError> {
    let broken = |e: russh::Error| {
        CallError::failed(format!("{machine} ended the connection during the login: {e}"))
    };
    let mut takes = String::new();
    if !given.key.is_empty() {
        let key = decode_secret_key(&given.key.0, None).map_err(|e| {
            CallError::malformed(format!("the key for {machine} cannot be read: {e}"))
        })?;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        match handle.authenticate_publickey(machine.user.as_str(), key).await.map_err(broken)? {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure { remaining_methods, .. } => takes = listed(&remaining_methods),
        }
    }
    if !given.password.is_empty() {
        let password = given.password.0.as_str();
        match handle.authenticate_password(machine.user.as_str(), password).await.map_err(broken)? {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure { remaining_methods, .. } => takes = listed(&remaining_methods),
        }
        let begun =
            handle.authenticate_keyboard_interactive_start(machine.user.as_str(), None::<String>);
        let mut told = begun.await.map_err(broken)?;
        for _ in 0..ROUNDS {
            let Interactive::InfoRequest { prompts, .. } = told else { break };
            // A password is what is asked for without being shown; to anything else nobody is there to answer.
            let answers =
                prompts.iter().map(|p| if p.echo { String::new() } else { password.to_owned() });
            let answers = answers.collect();
            told =
                handle.authenticate_keyboard_interactive_respond(answers).await.map_err(broken)?;
        }
        if matches!(told, Interactive::Success) {
            return Ok(());
        }
    }
    let takes = if takes.is_empty() { String::new() } else { format!("; it takes: {takes}") };
    Err(CallError::denied(format!("{machine} did not let us in{takes}")))
}

fn listed(methods: &russh::MethodSet) -> String {
    let all: Vec<&str> = methods.iter().map(<&str>::from).collect();
    clean_to_width(&all.join(", "), 100)
}
