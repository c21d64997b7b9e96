//! Opens a device's key, asking whom it must: nobody, the agent, or somebody at the terminal. For
//! programs that people start; called by [`crate::context`].

use crate::keys::{KeyError, SecretKey};
use crate::prompt;
use crate::seal::{By, SealError, Sealed};
use crate::ssh_agent::Agent;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use zeroize::Zeroizing;

/// Names a program that prints the passphrase, and its arguments, with spaces between them.
pub const COMMAND: &str = "CMDR_PASSPHRASE_COMMAND";
const TRIES: u32 = 3;

/// The key in `path`, opened.
pub fn key(path: &Path) -> Result<SecretKey, KeyError> {
    let Some(sealed) = SecretKey::load_sealed(path)? else { return SecretKey::load(path) };
    let fault = |source: SealError| KeyError::Seal { path: path.to_owned(), source };
    match &sealed.by {
        By::SshAgent { .. } => Agent::of_environment()
            .map_err(SealError::from)
            .and_then(|agent| sealed.open_by_agent(&agent))
            .map_err(fault),
        By::Passphrase { .. } => by_passphrase(path, &sealed),
    }
}

fn by_passphrase(path: &Path, sealed: &Sealed) -> Result<SecretKey, KeyError> {
    let fault = |source: SealError| KeyError::Seal { path: path.to_owned(), source };
    if let Some(command) = std::env::var(COMMAND).ok().filter(|c| !c.trim().is_empty()) {
        let passphrase = printed(&command).map_err(|why| fault(SealError::System(why)))?;
        return sealed.open_by_passphrase(&passphrase).map_err(fault);
    }
    let mut question = format!("passphrase of {}: ", path.display());
    for left in (0..TRIES).rev() {
        let passphrase = ask(&question).map_err(fault)?;
        match sealed.open_by_passphrase(&passphrase) {
            Err(SealError::Wrong) if left > 0 => {
                question = format!("wrong; passphrase of {}: ", path.display());
            }
            opened => return opened.map_err(fault),
        }
    }
    Err(fault(SealError::Wrong))
}

fn ask(question: &str) -> Result<Zeroizing<String>, SealError> {
    prompt::passphrase(question).map_err(|e| {
        SealError::System(match e.kind() {
            io::ErrorKind::NotFound => format!(
                "it is sealed by a passphrase, and there is no terminal to ask on; run this in one, \
                 have {COMMAND} name a program that prints the passphrase, or seal the key by \
                 ssh-agent: cmdr device-key seal ssh-agent"
            ),
            io::ErrorKind::Interrupted => "no passphrase was given".to_owned(),
            _ => format!("reading the passphrase: {}", crate::files::reason(&e)),
        })
    })
}

/// A new passphrase, typed twice.
pub fn new_passphrase() -> Result<Zeroizing<String>, SealError> {
    let first = ask("new passphrase: ")?;
    if first.is_empty() {
        return Err(SealError::System("an empty passphrase seals nothing".to_owned()));
    }
    if *ask("once more: ")? == *first {
        Ok(first)
    } else {
        Err(SealError::System("the two were not the same".to_owned()))
    }
}

/// The first line that a program prints. No shell is between.
fn printed(command: &str) -> Result<Zeroizing<String>, String> {
    let what = |why: &str| format!("running {COMMAND}: {why}");
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or_default();
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| what(&crate::files::reason(&e)))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * prompt::LONGEST));
    let limit = prompt::LONGEST as u64;
    let read = child.stdout.take().map(|out| out.take(limit).read_to_end(&mut bytes));
    let ended = child.wait().map_err(|e| what(&crate::files::reason(&e)))?;
    if !ended.success() {
        return Err(what(&format!("it ended with {ended}")));
    }
    if !matches!(read, Some(Ok(_))) {
        return Err(what("what it printed cannot be read"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| what("what it printed is not UTF-8"))?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_prints_the_passphrase_and_no_shell_reads_its_name() {
        assert_eq!(printed("printf %s\\n secret").unwrap().as_str(), "secret");
        assert_eq!(printed("echo $HOME;ls").unwrap().as_str(), "$HOME;ls");
        assert!(printed("false").unwrap_err().contains("it ended with"));
        assert!(printed("/nowhere/at-all").unwrap_err().contains("No such file"));
    }
}
