//! The operator's own SSH keys: those in files, and those that their ssh-agent holds. What is to be signed
//! comes from far away, so only what is a login of the very user that was asked for is signed. `cmdr` and
//! `cmdr-tui` use it; a key never leaves this machine.

use crate::ssh_agent::{Agent, AgentError, AgentKey};
use cmdr_protocol::ssh::Sign;
use signature::{SignatureEncoding as _, Signer as _};
use ssh_key::{HashAlg, PrivateKey, PublicKey};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest file that is taken for a key.
const LONGEST: u64 = 64 * 1024;
/// Keys of an ssh-agent that are tried.
const HELD: usize = 4;
/// Files that are tried when none is named.
const USUAL: [&str; 2] = ["id_ed25519", "id_ecdsa"];

/// A key that can sign.
#[derive(Debug)]
pub struct Key {
    public: PublicKey,
    at: At,
}

#[derive(Debug)]
enum At {
    File(PathBuf, Box<PrivateKey>),
    Agent(Agent, AgentKey),
}

/// Why a key cannot be used or did not sign, for people.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file is none, or cannot be read.
    #[error("the key {path}: {what}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// It needs its passphrase, or another one.
    #[error("the key {0} needs its passphrase")]
    Locked(PathBuf),
    /// The ssh-agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// What came is no login of this user.
    #[error("what came to be signed is no login as {0}; it was not signed")]
    NoLogin(String),
}

impl Key {
    /// The key in a file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let wrong = |what: String| KeyError::File { path: path.to_owned(), what };
        let file = std::fs::File::open(path).map_err(|e| wrong(crate::files::reason(&e)))?;
        let mut text = Zeroizing::new(Vec::new());
        file.take(LONGEST + 1).read_to_end(&mut text).map_err(|e| wrong(e.to_string()))?;
        if text.len() as u64 > LONGEST {
            return Err(wrong("is longer than any key".to_owned()));
        }
        if text.starts_with(b"-----BEGIN ") && !text.starts_with(b"-----BEGIN OPENSSH ") {
            let hint =
                format!("is in an older form; ssh-keygen -p -f {} makes it anew", path.display());
            return Err(wrong(hint));
        }
        let key = PrivateKey::from_openssh(&text[..])
            .map_err(|e| wrong(format!("is no private key of OpenSSH's: {e}")))?;
        if key.algorithm().is_rsa() {
            return Err(wrong(
                "is an RSA key; load it into your ssh-agent (ssh-add), which signs with it"
                    .to_owned(),
            ));
        }
        Ok(Self { public: key.public_key().clone(), at: At::File(path.to_owned(), Box::new(key)) })
    }

    /// The usual files of a home that are there and can be read.
    pub fn usual(home: &Path) -> Vec<Self> {
        let paths = USUAL.iter().map(|name| home.join(".ssh").join(name));
        paths.filter_map(|path| Self::load(&path).ok()).collect()
    }

    /// The first ones that an ssh-agent holds.
    pub fn held(agent: &Agent) -> Result<Vec<Self>, KeyError> {
        let known = |key: AgentKey| {
            // Kinds that are not known are left to others.
            let public = PublicKey::from_bytes(key.blob()).ok()?;
            Some(Self { public, at: At::Agent(agent.clone(), key) })
        };
        Ok(agent.keys()?.into_iter().filter_map(known).take(HELD).collect())
    }

    /// As it is offered: kind and key.
    pub fn public(&self) -> String {
        let mut public = self.public.clone();
        public.set_comment("");
        public.to_openssh().unwrap_or_default().trim_end().to_owned()
    }

    /// `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.public.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The file that needs a passphrase before it signs.
    pub fn locked(&self) -> Option<&Path> {
        match &self.at {
            At::File(path, key) if key.is_encrypted() => Some(path),
            _ => None,
        }
    }

    /// Opens a file with its passphrase.
    pub fn unlock(&mut self, passphrase: &str) -> Result<(), KeyError> {
        if let At::File(path, key) = &mut self.at
            && key.is_encrypted()
        {
            **key = key.decrypt(passphrase).map_err(|_| KeyError::Locked(path.clone()))?;
        }
        Ok(())
    }

    /// Signs a login as `user`. May wait for somebody who presses a button.
    pub fn sign(&self, sign: &Sign, user: &str) -> Result<Vec<u8>, KeyError> {
        if !is_login(&sign.data, user) {
            return Err(KeyError::NoLogin(user.to_owned()));
        }
        match &self.at {
            At::File(path, key) => {
                if key.is_encrypted() {
                    return Err(KeyError::Locked(path.clone()));
                }
                let signature: ssh_key::Signature = key.try_sign(&sign.data).map_err(|e| {
                    KeyError::File { path: path.clone(), what: format!("cannot sign: {e}") }
                })?;
                Ok(signature.to_vec())
            }
            At::Agent(agent, key) => {
                let flags: u32 = match sign.hash.as_str() {
                    "sha2-256" => 2,
                    "sha2-512" => 4,
                    _ => 0,
                };
                Ok(agent.sign_by(key, &sign.data, flags)?.to_vec())
            }
        }
    }
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_be_bytes(*number))
}

/// A text with its length before it.
fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = number(bytes)? as usize;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(text)
}

/// Whether these bytes are what SSH has signed for a login of this user (RFC 4252, 7), and nothing else.
fn is_login(data: &[u8], user: &str) -> bool {
    let mut rest = data;
    let mut read = || -> Option<bool> {
        let session = text(&mut rest)?;
        let (kind, after) = rest.split_first()?;
        rest = after;
        let who = text(&mut rest)?;
        let (service, method) = (text(&mut rest)?, text(&mut rest)?);
        let (signed, after) = rest.split_first()?;
        rest = after;
        text(&mut rest)?;
        text(&mut rest)?;
        let right =
            who == user.as_bytes() && service == b"ssh-connection" && method == b"publickey";
        Some(!session.is_empty() && *kind == 50 && right && *signed == 1 && rest.is_empty())
    };
    read().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn keygen(path: &Path, passphrase: &str) {
        let done = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", passphrase, "-C", "a test", "-f"])
            .arg(path)
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(done.success());
    }

    fn login(user: &str, key: &Key) -> Sign {
        let mut data = Vec::new();
        let put = |data: &mut Vec<u8>, part: &[u8]| {
            data.extend((part.len() as u32).to_be_bytes());
            data.extend(part);
        };
        put(&mut data, b"a session");
        data.push(50);
        for part in [user.as_bytes(), b"ssh-connection", b"publickey"] {
            put(&mut data, part);
        }
        data.push(1);
        put(&mut data, b"ssh-ed25519");
        put(&mut data, &key.public.to_bytes().unwrap());
        Sign { key: key.public(), hash: String::new(), data }
    }

    fn verifies(key: &Key, sign: &Sign, signature: &[u8]) -> bool {
        use signature::Verifier as _;
        let signature = ssh_key::Signature::try_from(signature).unwrap();
        key.public.key_data().verify(&sign.data, &signature).is_ok()
    }

    #[test]
    fn a_key_in_a_file_signs_a_login_of_this_user_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        keygen(&path, "");
        let key = Key::load(&path).unwrap();
        assert!(key.public().starts_with("ssh-ed25519 AAAA") && !key.public().contains("a test"));
        let sign = login("deploy", &key);
        assert!(verifies(&key, &sign, &key.sign(&sign, "deploy").unwrap()));
        assert!(matches!(key.sign(&sign, "root"), Err(KeyError::NoLogin(_))));
        for cut in [1, sign.data.len() / 2, sign.data.len() - 1] {
            let less = Sign { data: sign.data[..cut].to_vec(), ..sign.clone() };
            assert!(key.sign(&less, "deploy").is_err());
        }
        let more = Sign { data: [&sign.data[..], b"x"].concat(), ..sign };
        assert!(key.sign(&more, "deploy").is_err());
    }

    #[test]
    fn a_locked_key_shows_its_public_half_and_signs_once_it_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        keygen(&path, "open sesame");
        let mut key = Key::load(&path).unwrap();
        let sign = login("deploy", &key);
        assert_eq!(key.locked(), Some(path.as_path()));
        assert!(matches!(key.sign(&sign, "deploy"), Err(KeyError::Locked(_))));
        assert!(key.unlock("wrong").is_err());
        key.unlock("open sesame").unwrap();
        assert!(verifies(&key, &sign, &key.sign(&sign, "deploy").unwrap()));
    }

    #[test]
    fn a_key_of_an_ssh_agent_signs_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let (path, socket) = (dir.path().join("key"), dir.path().join("agent"));
        keygen(&path, "");
        let mut running = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let agent = Agent::at(socket.clone(), std::time::Duration::from_secs(20));
        while agent.keys().is_err() {
            assert!(running.try_wait().unwrap().is_none(), "the ssh-agent runs");
            std::thread::yield_now();
        }
        let added =
            Command::new("ssh-add").arg("-q").arg(&path).env("SSH_AUTH_SOCK", &socket).status();
        assert!(added.unwrap().success());
        let keys = Key::held(&agent).unwrap();
        assert_eq!(keys[0].public(), Key::load(&path).unwrap().public());
        let sign = login("deploy", &keys[0]);
        assert!(verifies(&keys[0], &sign, &keys[0].sign(&sign, "deploy").unwrap()));
        running.kill().unwrap();
        running.wait().unwrap();
        assert!(matches!(Key::held(&agent), Err(KeyError::Agent(_))));
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_files_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for text in ["", "hello", "-----BEGIN RSA PRIVATE KEY-----\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(Key::load(&path).unwrap_err().to_string().contains("/key"));
        }
        assert!(Key::load(&dir.path().join("none")).is_err());
    }
}
