//! Lets us in: by a key that the operator's client signs with, by what the machine asks for, by a password.

use super::talk::{Gatekeeper, Talk};
use super::{answered, silent};
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::ssh::{Open, Prompt, Question, Sign, Typed};
use cmdr_protocol::{CallError, ErrorKind};
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Interactive};
use russh::keys::agent::AgentIdentity;
use russh::keys::{HashAlg, PublicKey};
use russh::{MethodKind, MethodSet};
use std::sync::Arc;
use zeroize::Zeroizing;

/// What is typed may be wrong so often.
const TRIES: usize = 3;
/// Rounds of questions of one machine, and questions of one round.
const ROUNDS: usize = 20;
const PROMPTS: usize = 16;
/// The longest text of a machine's that is passed on, in columns.
const TEXT: usize = 500;

/// How far it is.
enum Step {
    In,
    /// What the machine takes now; whether what was done counts for a part.
    Further(MethodSet, bool),
}

impl From<AuthResult> for Step {
    fn from(result: AuthResult) -> Self {
        match result {
            AuthResult::Success => Self::In,
            AuthResult::Failure { remaining_methods, partial_success } => {
                Self::Further(remaining_methods, partial_success)
            }
        }
    }
}

fn broken(target: &str, e: &russh::Error) -> CallError {
    CallError::failed(format!("{target} ended the connection during the login: {e}"))
}

/// Comes back when we are in.
pub(super) async fn login(
    handle: &mut Handle<Gatekeeper>,
    open: &Open,
    talk: &Arc<Talk>,
) -> Result<(), CallError> {
    let target = open.target();
    let first = answered(handle.authenticate_none(open.user.as_str()), &target).await?;
    let mut step = Step::from(first.map_err(|e| broken(&target, &e))?);
    let mut keys = open.keys.iter();
    let (mut typed, mut tried, mut with_key) = (0, Vec::new(), false);
    loop {
        let methods = match step {
            Step::In => return Ok(()),
            Step::Further(methods, part) => {
                if part {
                    typed = 0;
                }
                methods
            }
        };
        if handle.is_closed() {
            return Err(refused(&target, &methods, with_key, &tried));
        }
        if methods.contains(&MethodKind::PublicKey)
            && let Some(key) = keys.next()
        {
            with_key = true;
            step = by_key(handle, open, key, talk).await?.unwrap_or(Step::Further(methods, false));
            continue;
        }
        if typed == TRIES {
            return Err(refused(&target, &methods, with_key, &tried));
        }
        let again = typed > 0;
        typed += 1;
        if methods.contains(&MethodKind::KeyboardInteractive) {
            tried.push("what it asks for");
            step = interactive(handle, open, talk, again).await?;
        } else if methods.contains(&MethodKind::Password) {
            tried.push("a password");
            step = by_password(handle, open, talk, again).await?;
        } else {
            return Err(refused(&target, &methods, with_key, &tried));
        }
    }
}

fn refused(target: &str, methods: &MethodSet, with_key: bool, tried: &[&str]) -> CallError {
    let takes: Vec<&str> = methods.iter().map(<&str>::from).collect();
    let only_keys = takes == ["publickey"];
    let mut did: Vec<&str> = tried.to_vec();
    did.dedup();
    if with_key {
        did.insert(0, "a key");
    }
    let did = if did.is_empty() { "nothing".to_owned() } else { did.join(" and ") };
    let next = if only_keys && !with_key {
        "; it takes only keys: give one (-i FILE), or load one into your ssh-agent".to_owned()
    } else if takes.is_empty() {
        String::new()
    } else {
        format!("; it takes: {}", takes.join(", "))
    };
    CallError::denied(format!("{target} did not let us in; {did} was tried{next}"))
}

/// Signs where the key is: at the operator's.
struct Signer<'a> {
    talk: &'a Talk,
    key: &'a str,
}

/// Why nothing was signed.
enum Unsigned {
    Said(CallError),
    Gone,
}

impl From<russh::SendError> for Unsigned {
    fn from(_: russh::SendError) -> Self {
        Self::Gone
    }
}

impl russh::Signer for Signer<'_> {
    type Error = Unsigned;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, Unsigned> {
        let hash = match hash {
            Some(HashAlg::Sha256) => "sha2-256",
            Some(_) => "sha2-512",
            None => "",
        };
        let sign = Sign { key: self.key.to_owned(), hash: hash.to_owned(), data: to_sign.clone() };
        let question = Question { sign: Some(sign), ..Question::default() };
        let signature = self.talk.ask(question).await.map_err(Unsigned::Said)?.signature;
        if signature.is_empty() {
            return Err(Unsigned::Gone);
        }
        let length = u32::try_from(signature.len()).map_err(|_| Unsigned::Gone)?;
        to_sign.extend(length.to_be_bytes());
        to_sign.extend(signature);
        Ok(to_sign)
    }
}

/// Tries a key; nothing when the client would not sign with it.
async fn by_key(
    handle: &mut Handle<Gatekeeper>,
    open: &Open,
    text: &str,
    talk: &Talk,
) -> Result<Option<Step>, CallError> {
    let target = open.target();
    let key = PublicKey::from_openssh(text)
        .map_err(|e| CallError::malformed(format!("a key that is offered cannot be read: {e}")))?;
    let hash = if key.algorithm().is_rsa() {
        let best = answered(handle.best_supported_rsa_hash(), &target).await?;
        best.map_err(|e| broken(&target, &e))?.flatten()
    } else {
        None
    };
    let mut signer = Signer { talk, key: text };
    let tried =
        handle.authenticate_publickey_with(open.user.as_str(), key, hash, &mut signer).await;
    match tried {
        Ok(result) => Ok(Some(result.into())),
        Err(Unsigned::Said(e)) => Err(e),
        Err(Unsigned::Gone) => Ok(None),
    }
}

async fn by_password(
    handle: &mut Handle<Gatekeeper>,
    open: &Open,
    talk: &Talk,
    again: bool,
) -> Result<Step, CallError> {
    let target = open.target();
    let prompt = Prompt { text: format!("Password of {target}"), echo: false };
    let typed = Typed { about: String::new(), again, prompts: vec![prompt] };
    let mut typed = ask(talk, typed).await?;
    let password = typed.pop().unwrap_or_default();
    let trying = handle.authenticate_password(open.user.as_str(), password.as_str());
    Ok(answered(trying, &target).await?.map_err(|e| broken(&target, &e))?.into())
}

async fn interactive(
    handle: &mut Handle<Gatekeeper>,
    open: &Open,
    talk: &Talk,
    mut again: bool,
) -> Result<Step, CallError> {
    let target = open.target();
    let starting = handle.authenticate_keyboard_interactive_start(open.user.as_str(), None);
    let mut said = answered(starting, &target).await?;
    for _ in 0..ROUNDS {
        let (name, instructions, prompts) = match said.map_err(|e| broken(&target, &e))? {
            Interactive::Success => return Ok(Step::In),
            Interactive::Failure { remaining_methods, partial_success } => {
                return Ok(Step::Further(remaining_methods, partial_success));
            }
            Interactive::InfoRequest { name, instructions, prompts } => {
                (name, instructions, prompts)
            }
        };
        if prompts.len() > PROMPTS {
            return Err(CallError::failed(format!(
                "{target} asks {} things at once",
                prompts.len()
            )));
        }
        let answers = if prompts.is_empty() {
            Vec::new()
        } else {
            let cut = |text: &str| clean_to_width(text.trim(), TEXT);
            let prompts = prompts
                .iter()
                .map(|prompt| Prompt {
                    text: format!("{target}: {}", cut(&prompt.prompt)),
                    echo: prompt.echo,
                })
                .collect();
            let about = cut(&format!("{name} {instructions}"));
            ask(talk, Typed { about, again, prompts }).await?
        };
        again = false;
        let answers = answers.iter().map(|answer| answer.to_string()).collect();
        let responding = handle.authenticate_keyboard_interactive_respond(answers);
        said = answered(responding, &target).await?;
    }
    Err(silent(&target))
}

/// What the operator types; nothing of it stays here.
async fn ask(talk: &Talk, typed: Typed) -> Result<Vec<Zeroizing<String>>, CallError> {
    let count = typed.prompts.len();
    let question = Question { typed: Some(typed), ..Question::default() };
    let answers = talk.ask(question).await?.typed;
    let answers: Vec<_> = answers.into_iter().map(Zeroizing::new).collect();
    if answers.len() != count {
        return Err(CallError::new(
            ErrorKind::Cancelled,
            "nothing was typed in; the login is given up",
        ));
    }
    Ok(answers)
}
