//! `key`: how the key of this home is kept. `login --seal` seals through [`SealBy`] as well.

use crate::App;
use crate::exit::{Exit, Failure, unwritten};
use clap::{Args, Subcommand};
use cmdr_link::context::{ContextError, key_file};
use cmdr_link::keys::{KeyError, key_id};
use cmdr_link::seal::{By, SealError, Sealed};
use cmdr_link::ssh_agent::Agent;
use cmdr_link::{SecretKey, unlock};
use cmdr_protocol::PublicKey;
use std::path::Path;

/// See to the key of this home: show it, seal it, unseal it.
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Show which key this home has and what opens it.
    Show,
    /// Seal the key, or seal it anew: also to change the passphrase.
    ///
    /// By a passphrase, which is asked for on the terminal (or printed by the program that
    /// CMDR_PASSPHRASE_COMMAND names, when the key is opened); or by an Ed25519 or RSA key that ssh-agent
    /// holds, without which the key cannot be opened again.
    Seal {
        /// What shall open it: passphrase, ssh-agent, or ssh-agent=FINGERPRINT.
        #[arg(default_value = "passphrase", value_parser = seal_by)]
        by: SealBy,
    },
    /// Keep the key as it is, for whoever reads the file.
    Unseal,
}

/// What shall open a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SealBy {
    Passphrase,
    /// The key of this fingerprint, or the only one that ssh-agent holds.
    SshAgent(Option<String>),
}

/// Reads `passphrase`, `ssh-agent` or `ssh-agent=SHA256:...`.
pub(super) fn seal_by(text: &str) -> Result<SealBy, String> {
    match (text, text.strip_prefix("ssh-agent=")) {
        ("passphrase", _) => Ok(SealBy::Passphrase),
        ("ssh-agent", _) => Ok(SealBy::SshAgent(None)),
        (_, Some(fingerprint)) if fingerprint.starts_with("SHA256:") => {
            Ok(SealBy::SshAgent(Some(fingerprint.to_owned())))
        }
        _ => {
            Err("give passphrase, ssh-agent, or ssh-agent=SHA256:... as ssh-add -l shows it"
                .to_owned())
        }
    }
}

impl SealBy {
    /// Seals a key, asking for what is needed.
    pub(super) fn seal(&self, key: &SecretKey) -> Result<Sealed, Failure> {
        let sealed = match self {
            Self::Passphrase => {
                unlock::new_passphrase().and_then(|typed| Sealed::by_passphrase(key, &typed))
            }
            Self::SshAgent(wanted) => by_agent(key, wanted.as_deref()),
        };
        sealed.map_err(|e| Failure::failed(format!("sealing the key: {e}")))
    }
}

fn by_agent(key: &SecretKey, wanted: Option<&str>) -> Result<Sealed, SealError> {
    let agent = Agent::of_environment()?;
    let chosen = agent.choose(wanted)?;
    Sealed::by_agent(key, &agent, &chosen.fingerprint)
}

pub(super) fn run(app: &App, args: &KeyArgs) -> Result<Exit, Failure> {
    let path = key_file(&app.client_dir());
    if !path.exists() {
        return Err(Failure::new(
            Exit::NoHub,
            format!("there is no key here ({})", path.display()),
        )
        .hint("one is made by: cmdr login TOKEN"));
    }
    match &args.command {
        KeyCommand::Show => show(app, &path),
        KeyCommand::Seal { by } => {
            let sealed = by.seal(&open(&path)?)?;
            sealed.save(&path).map_err(|e| unwritten(&path, &e))?;
            app.out.note(&format!("the key is sealed by {}", words(Some(&sealed))));
            Ok(Exit::Ok)
        }
        KeyCommand::Unseal => {
            open(&path)?.save(&path).map_err(of)?;
            app.out.note("the key is no longer sealed: whoever can read the file has it");
            Ok(Exit::Ok)
        }
    }
}

fn of(error: KeyError) -> Failure {
    ContextError::from(error).into()
}

fn open(path: &Path) -> Result<SecretKey, Failure> {
    unlock::key(path).map_err(of)
}

fn words(sealed: Option<&Sealed>) -> String {
    match sealed.map(|sealed| &sealed.by) {
        None => "nothing".to_owned(),
        Some(By::Passphrase { .. }) => "a passphrase".to_owned(),
        Some(By::SshAgent { fingerprint, .. }) => format!("ssh-agent, {fingerprint}"),
    }
}

fn show(app: &App, path: &Path) -> Result<Exit, Failure> {
    let sealed = SecretKey::load_sealed(path).map_err(of)?;
    let public: PublicKey = match &sealed {
        Some(sealed) => sealed.public,
        None => SecretKey::load(path).map_err(of)?.public(),
    };
    let (id, by) = (key_id(&public).to_string(), words(sealed.as_ref()));
    let fields = [
        ("KEY", id.clone()),
        ("PUBLIC", public.to_string()),
        ("SEALED BY", by.clone()),
        ("FILE", path.display().to_string()),
    ];
    let value = serde_json::json!({
        "key": id, "public": public, "sealed_by": sealed.as_ref().map(|_| by),
        "file": path.display().to_string(),
    });
    app.out.one(&value, &fields, &id)?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shall_open_a_key_is_read_as_it_is_written() {
        assert_eq!(seal_by("passphrase"), Ok(SealBy::Passphrase));
        assert_eq!(seal_by("ssh-agent"), Ok(SealBy::SshAgent(None)));
        let named = SealBy::SshAgent(Some("SHA256:abc".to_owned()));
        assert_eq!(seal_by("ssh-agent=SHA256:abc"), Ok(named));
        for wrong in ["", "ssh-agent=", "ssh-agent=MD5:00", "secret", "passphrase=x"] {
            assert!(seal_by(wrong).is_err(), "{wrong}");
        }
    }
}
