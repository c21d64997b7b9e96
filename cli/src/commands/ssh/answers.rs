//! What is said to an agent that asks: that a machine is the right one, a signature, what somebody types.

use crate::App;
use crate::connect::{Hub, Target};
use crate::exit::{Exit, Failure};
use crate::secret;
use cmdr_link::ssh_keys::{Key, KeyError};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::ssh::{self, Answer, HostKey, Open, Question, Sign, Standing, Trust, Typed};

/// A passphrase may be wrong so often.
const TRIES: usize = 3;

/// Who answers.
pub(super) struct Answers<'a> {
    pub(super) app: &'a App,
    pub(super) hub: &'a Hub,
    pub(super) via: &'a Target,
    pub(super) open: &'a Open,
    pub(super) keys: Vec<Key>,
    /// The only key of the machine's that is right, when that was said before.
    pub(super) fingerprint: Option<String>,
}

impl Answers<'_> {
    /// Answers one question.
    pub(super) async fn to(&mut self, question: Question) -> Result<Answer, Failure> {
        if let Some(key) = &question.host_key {
            return self.host_key(key).await;
        }
        if let Some(typed) = &question.typed {
            return self.typed(typed).await;
        }
        match &question.sign {
            Some(sign) => self.sign(sign).await,
            None => Err(Failure::failed("the host asks something that this cmdr does not know")
                .hint("is it older than the agent there?")),
        }
    }

    async fn host_key(&self, key: &HostKey) -> Result<Answer, Failure> {
        let place = ssh::place(&self.open.host, self.open.port());
        let fingerprint = clean_to_width(&key.fingerprint, 100);
        let kind = clean_to_width(key.key.split(' ').next().unwrap_or_default(), 40);
        match &self.fingerprint {
            Some(right) if *right == key.fingerprint => {}
            Some(right) => {
                return Err(Failure::new(
                    Exit::Remote(255),
                    format!(
                        "{place} shows the key {fingerprint}, not {right}; nothing was sent to it"
                    ),
                ));
            }
            None => {
                if key.standing == Standing::Other {
                    self.app.out.warn(&format!(
                        "{} knows {place} by a key of another kind; that it shows this one is unusual",
                        self.via.name
                    ));
                }
                let question = format!(
                    "{} has not seen {place} before. It shows the {kind} key {fingerprint}; is that the right machine?",
                    self.via.name
                );
                self.app.out.confirm(false, &question, "yes").await.map_err(
                    |failure| match failure.exit {
                        Exit::Usage => failure
                            .hint("a script says which key is right: --fingerprint SHA256:..."),
                        _ => failure,
                    },
                )?;
            }
        }
        let trust = Trust {
            host: key.host.clone(),
            port: key.port,
            key: key.key.clone(),
            fingerprint: key.fingerprint.clone(),
        };
        self.hub.ask_host(self.via.id, &trust).await?;
        Ok(Answer { go_on: true, ..Answer::default() })
    }

    async fn typed(&self, typed: &Typed) -> Result<Answer, Failure> {
        if typed.again {
            self.app.out.note("that was not right");
        }
        if !typed.about.is_empty() {
            self.app.out.note(&clean_to_width(&typed.about, 500));
        }
        let mut answers = Vec::new();
        for prompt in &typed.prompts {
            let text = clean_to_width(&prompt.text, 500);
            let text = text.trim_end_matches([':', ' ']);
            let answer = if prompt.echo {
                secret::ask_openly(text).await?
            } else {
                secret::ask(text).await?
            };
            answers.push(answer.to_string());
        }
        Ok(Answer { typed: answers, ..Answer::default() })
    }

    /// Signs; an empty signature when that key cannot, and the next one is tried.
    async fn sign(&mut self, sign: &Sign) -> Result<Answer, Failure> {
        let Some(at) = self.keys.iter().position(|key| key.public() == sign.key) else {
            return Ok(Answer::default());
        };
        let mut tries = 0;
        while let Some(path) = self.keys[at].locked() {
            let question = format!("Passphrase of {}", path.display());
            let passphrase = secret::ask(&question).await?;
            tries += 1;
            match self.keys[at].unlock(&passphrase) {
                Err(KeyError::Locked(_)) if tries < TRIES => {
                    self.app.out.note("that was not right")
                }
                Err(e) => {
                    self.app.out.warn(&e.to_string());
                    return Ok(Answer::default());
                }
                Ok(()) => {}
            }
        }
        let (sign, user) = (sign.clone(), self.open.user.clone());
        let key = self.keys.swap_remove(at);
        // An ssh-agent may wait for somebody who presses a button.
        let signing = tokio::task::spawn_blocking(move || (key.sign(&sign, &user), key));
        let (signature, key) =
            signing.await.map_err(|e| Failure::new(Exit::Fault, e.to_string()))?;
        self.keys.push(key);
        match signature {
            Ok(signature) => Ok(Answer { signature, ..Answer::default() }),
            Err(e @ KeyError::NoLogin(_)) => Err(Failure::new(Exit::Fault, e.to_string())),
            Err(e) => {
                self.app.out.warn(&e.to_string());
                Ok(Answer::default())
            }
        }
    }
}
