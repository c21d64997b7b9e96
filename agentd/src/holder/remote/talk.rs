//! What holder and agent say to each other while a session over SSH is being begun, and the guard that looks
//! at the machine's key.

use cmdr_link::local::{Reader, Writer};
use cmdr_protocol::CallError;
use cmdr_protocol::ssh::{self, Answer, HostKey, Question, Standing};
use russh::client::Handler;
use russh::keys::{HashAlg, PublicKey, PublicKeyOrCertificate};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Mutex;

/// What the holder says.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Said {
    /// It has to know this; answered by an [`Answer`].
    pub(crate) ask: Option<Question>,
    /// The session runs, and the holder's own socket is there. Nothing follows.
    pub(crate) begun: bool,
}

/// The holder's end of the conversation.
#[derive(Debug)]
pub(crate) struct Talk(Mutex<(Reader, Writer)>);

impl Talk {
    pub(crate) fn new(socket: (Reader, Writer)) -> Self {
        Self(Mutex::new(socket))
    }

    /// Asks and waits. An error when nobody is there to answer any more.
    pub(super) async fn ask(&self, question: Question) -> Result<Answer, CallError> {
        let mut socket = self.0.lock().await;
        let (reader, writer) = &mut *socket;
        writer.send(&Said { ask: Some(question), begun: false }).await?;
        let answer = reader.next::<Answer>().await?;
        answer.ok_or_else(|| CallError::lost("whoever began the session has left"))
    }

    /// Says how it went.
    pub(crate) async fn tell(&self, result: &Result<(), CallError>) {
        let mut socket = self.0.lock().await;
        // An agent that has gone finds the session by its socket.
        match result {
            Ok(()) => drop(socket.1.send(&Said { ask: None, begun: true }).await),
            Err(_) => drop(socket.1.end(result).await),
        }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Failure {
    /// In words for people already.
    Said(CallError),
    Ssh(russh::Error),
}

impl From<russh::Error> for Failure {
    fn from(e: russh::Error) -> Self {
        Self::Ssh(e)
    }
}

/// Lets only the right machine through.
#[derive(Debug)]
pub(super) struct Gatekeeper {
    talk: Arc<Talk>,
    host: String,
    port: u16,
    /// A key has been shown.
    pub(super) shown: Arc<AtomicBool>,
    /// The one that was let through.
    right: Option<PublicKey>,
}

impl Gatekeeper {
    pub(super) fn new(talk: Arc<Talk>, open: &ssh::Open) -> Self {
        let (host, port) = (open.host.clone(), open.port());
        Self { talk, host, port, shown: Arc::default(), right: None }
    }
}

impl Handler for Gatekeeper {
    type Error = Failure;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        self.shown.store(true, Ordering::Release);
        let said = |what: String| Failure::Said(CallError::failed(what));
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Err(said(format!(
                "{} shows a certificate in place of a host key, which this agent does not check",
                self.host
            )));
        };
        // While the session lasts, keys are agreed upon anew, by the same machine.
        if let Some(right) = &self.right {
            return Ok(right.key_data() == key.key_data());
        }
        let mut plain = key.clone();
        plain.set_comment("");
        let text =
            plain.to_openssh().map_err(|e| said(format!("the host key cannot be written: {e}")))?;
        let host_key = HostKey {
            host: self.host.clone(),
            port: self.port,
            key: text,
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            standing: Standing::New,
        };
        let question = Question { host_key: Some(host_key), ..Question::default() };
        let answer = self.talk.ask(question).await.map_err(Failure::Said)?;
        if answer.go_on {
            self.right = Some(plain);
        }
        Ok(answer.go_on)
    }
}
