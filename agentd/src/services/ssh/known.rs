//! Which machines are known by which host keys: a file of the form of OpenSSH's `known_hosts` in the agent's
//! folder. Its owner may write into it too; lines with hashed names are read and never written.

use cmdr_link::{clock, files};
use cmdr_protocol::ssh::{self, Changed, HostKey, Known, Listing, PORT, Standing, Trust};
use cmdr_protocol::{CallError, ErrorKind};
use russh::keys::known_hosts::known_host_keys_path;
use russh::keys::{HashAlg, PublicKey};
use std::path::{Path, PathBuf};
use tokio::sync::Mutex;

/// A file that is longer is not ours.
const LONGEST: u64 = 4 << 20;

/// What an agent knows of machines without one.
#[derive(Debug)]
pub struct Ssh {
    path: PathBuf,
    /// Held while the file is changed.
    changing: Mutex<()>,
}

/// How a key stands.
pub(crate) enum Found {
    Right,
    Unknown(Standing),
}

/// How a machine is written in the file.
fn written(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == PORT { host } else { format!("[{host}]:{port}") }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn names(line: &str) -> Option<&str> {
    line.split_whitespace().next().filter(|names| !names.starts_with(['#', '@']))
}

impl Ssh {
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join("ssh_known_hosts"), changing: Mutex::default() }
    }

    fn broken(&self, what: impl std::fmt::Display) -> CallError {
        CallError::failed(format!("the file of known hosts {}: {what}", self.path.display()))
    }

    fn text(&self) -> Result<String, CallError> {
        match std::fs::metadata(&self.path) {
            Ok(meta) if meta.len() > LONGEST => return Err(self.broken("is longer than 4 MiB")),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
            Err(e) => return Err(self.broken(e)),
        }
        std::fs::read_to_string(&self.path).map_err(|e| self.broken(e))
    }

    /// The keys of a machine.
    fn keys(&self, host: &str, port: u16) -> Result<Vec<PublicKey>, CallError> {
        // A file that cannot be read is not one without keys.
        self.text()?;
        let found = known_host_keys_path(&host.to_ascii_lowercase(), port, &self.path);
        Ok(found.map_err(|e| self.broken(e))?.into_iter().map(|(_, key)| key).collect())
    }

    /// Of which kinds the keys of a machine are, so that it shows one of those.
    pub(crate) async fn algorithms(&self, host: &str, port: u16) -> Result<Vec<String>, CallError> {
        let _whole = self.changing.lock().await;
        let keys = self.keys(host, port)?;
        Ok(keys.iter().map(|key| key.algorithm().as_str().to_owned()).collect())
    }

    /// How a key stands. An error when the machine had another one.
    pub(crate) async fn find(&self, shown: &HostKey) -> Result<Found, CallError> {
        let _whole = self.changing.lock().await;
        let key = read(&shown.key)?;
        let revoked = |line: &str| {
            let key_of = line.strip_prefix("@revoked").and_then(|rest| key_of(rest.trim_start()));
            key_of.is_some_and(|revoked| revoked.key_data() == key.key_data())
        };
        if self.text()?.lines().any(revoked) {
            return Err(CallError::denied(format!(
                "the key that {} shows is marked as revoked in {}: whoever has it is not to be trusted",
                ssh::place(&shown.host, shown.port),
                self.path.display()
            )));
        }
        let keys = self.keys(&shown.host, shown.port)?;
        if keys.iter().any(|known| known.key_data() == key.key_data()) {
            return Ok(Found::Right);
        }
        match keys.iter().find(|known| known.algorithm() == key.algorithm()) {
            Some(known) => Err(changed(&shown.host, shown.port, known, &key)),
            None if keys.is_empty() => Ok(Found::Unknown(Standing::New)),
            None => Ok(Found::Unknown(Standing::Other)),
        }
    }

    pub(super) async fn list(&self) -> Result<Listing, CallError> {
        let _whole = self.changing.lock().await;
        let text = self.text()?;
        let known = text.lines().flat_map(|line| {
            let (Some(names), Some(key)) = (names(line), key_of(line)) else { return Vec::new() };
            let (by, at_ms) = remark(key.comment().as_str_lossy());
            let of = |name: &str| {
                let (host, port) = place_of(name);
                Known {
                    host,
                    port,
                    algorithm: key.algorithm().as_str().to_owned(),
                    fingerprint: fingerprint(&key),
                    by: by.clone(),
                    at_ms,
                }
            };
            names.split(',').map(of).collect()
        });
        Ok(Listing { known: known.collect() })
    }

    /// Adds a key that somebody has confirmed.
    pub(super) async fn trust(&self, trust: &Trust, by: &str) -> Result<Changed, CallError> {
        let _alone = self.changing.lock().await;
        let key = read(&trust.key)?;
        if fingerprint(&key) != trust.fingerprint {
            return Err(CallError::malformed("the fingerprint is not that of the key"));
        }
        let keys = self.keys(&trust.host, trust.port)?;
        if keys.iter().any(|known| known.key_data() == key.key_data()) {
            return Ok(Changed { keys: 0 });
        }
        if let Some(known) = keys.iter().find(|known| known.algorithm() == key.algorithm()) {
            return Err(changed(&trust.host, trust.port, known, &key));
        }
        let mut text = self.text()?;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let by: String = by.chars().map(|c| if c.is_whitespace() { '_' } else { c }).collect();
        let mut key = key;
        key.set_comment(format!("by={by} at_ms={}", clock::now_ms()));
        let key = key.to_openssh().map_err(|e| self.broken(e))?;
        text.extend([&written(&trust.host, trust.port), " ", &key, "\n"]);
        self.save(text).await?;
        Ok(Changed { keys: 1 })
    }

    pub(super) async fn forget(&self, host: &str, port: u16) -> Result<Changed, CallError> {
        let _alone = self.changing.lock().await;
        let (text, name) = (self.text()?, written(host, port));
        let is_it = |line: &&str| names(line).is_some_and(|names| names == name);
        let gone = text.lines().filter(is_it).count();
        if gone > 0 {
            let rest = text.lines().filter(|line| !is_it(line));
            let rest: Vec<_> = rest.flat_map(|line| [line, "\n"]).collect();
            self.save(rest.concat()).await?;
        }
        if !self.keys(host, port)?.is_empty() {
            return Err(CallError::new(
                ErrorKind::Conflict,
                format!(
                    "{} is named in {} together with others or by a hash; only the host's owner can take it out there",
                    ssh::place(host, port),
                    self.path.display()
                ),
            ));
        }
        Ok(Changed { keys: u32::try_from(gone).unwrap_or(u32::MAX) })
    }

    async fn save(&self, text: String) -> Result<(), CallError> {
        let path = self.path.clone();
        let saving = tokio::task::spawn_blocking(move || {
            path.parent().map_or(Ok(()), files::private_dir)?;
            files::write_private(&path, text.as_bytes())
        });
        let saved = saving.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
        saved.map_err(|e| self.broken(e))
    }
}

fn read(key: &str) -> Result<PublicKey, CallError> {
    PublicKey::from_openssh(key)
        .map_err(|e| CallError::malformed(format!("the host key cannot be read: {e}")))
}

/// The key of a line.
fn key_of(line: &str) -> Option<PublicKey> {
    let (_, key) = line.trim_start().split_once(char::is_whitespace)?;
    PublicKey::from_openssh(key.trim()).ok()
}

/// Who said so, and when.
fn remark(comment: &str) -> (String, u64) {
    let part = |name: &str| comment.split(' ').find_map(|part| part.strip_prefix(name));
    let at_ms = part("at_ms=").and_then(|at| at.parse().ok()).unwrap_or_default();
    (part("by=").unwrap_or_default().to_owned(), at_ms)
}

fn place_of(name: &str) -> (String, u16) {
    let split = name.strip_prefix('[').and_then(|rest| rest.split_once("]:"));
    let split = split.and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    split.unwrap_or_else(|| {
        let name = if name.starts_with('|') { "(hashed)" } else { name };
        (name.to_owned(), PORT)
    })
}

/// What is said when a machine is another one than it was.
fn changed(host: &str, port: u16, known: &PublicKey, shown: &PublicKey) -> CallError {
    let place = ssh::place(host, port);
    CallError::new(
        ErrorKind::Conflict,
        format!(
            "THE HOST KEY OF {place} HAS CHANGED: this host knows {} and was shown {} ({}). Somebody may be in \
         between; nothing was sent. If the machine was set up anew, find out its fingerprint in another way, \
         and then let the old one be forgotten: cmdr ssh-hosts forget --via HOST {place}",
            fingerprint(known),
            fingerprint(shown),
            shown.algorithm(),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const TWO: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILIG2T/B0l0gaqj3puu510tu9N1OkQ4znY3LYuEm5zCF";

    fn shown(host: &str, port: u16, key: &str) -> HostKey {
        let fingerprint = fingerprint(&PublicKey::from_openssh(key).unwrap());
        HostKey { host: host.into(), port, key: key.into(), fingerprint, ..HostKey::default() }
    }

    fn trust(shown: &HostKey) -> Trust {
        let HostKey { host, port, key, fingerprint, .. } = shown.clone();
        Trust { host, port, key, fingerprint }
    }

    #[tokio::test]
    async fn a_key_that_was_confirmed_is_right_and_another_one_in_its_place_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let ssh = Ssh::new(dir.path());
        let one = shown("DB7", 2222, ONE);
        assert!(matches!(ssh.find(&one).await, Ok(Found::Unknown(Standing::New))));
        assert_eq!(ssh.trust(&trust(&one), "ann b").await.unwrap().keys, 1);
        assert_eq!(ssh.trust(&trust(&one), "ann b").await.unwrap().keys, 0);
        assert!(matches!(ssh.find(&shown("db7", 2222, ONE)).await, Ok(Found::Right)));
        assert!(matches!(ssh.find(&shown("db7", 22, ONE)).await, Ok(Found::Unknown(_))));
        let two = shown("db7", 2222, TWO);
        let error = ssh.find(&two).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::Conflict);
        assert!(
            error.message.contains(&one.fingerprint) && error.message.contains(&two.fingerprint)
        );
        assert!(ssh.trust(&trust(&two), "ann").await.is_err(), "one key does not replace another");
        let listed = ssh.list().await.unwrap().known;
        assert_eq!(
            (listed[0].host.as_str(), listed[0].port, listed[0].by.as_str()),
            ("db7", 2222, "ann_b")
        );
        // A new agent finds the same.
        let ssh = Ssh::new(dir.path());
        assert_eq!(ssh.forget("db7", 2222).await.unwrap().keys, 1);
        assert_eq!(ssh.forget("db7", 2222).await.unwrap().keys, 0);
        assert!(matches!(ssh.find(&two).await, Ok(Found::Unknown(Standing::New))));
    }

    #[tokio::test]
    async fn a_fingerprint_that_is_not_the_keys_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let ssh = Ssh::new(dir.path());
        let wrong = Trust { fingerprint: "SHA256:x".into(), ..trust(&shown("db7", 22, ONE)) };
        assert_eq!(ssh.trust(&wrong, "ann").await.unwrap_err().kind, ErrorKind::Malformed);
        assert!(ssh.list().await.unwrap().known.is_empty());
    }

    #[tokio::test]
    async fn lines_that_the_owner_has_written_are_read_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ssh_known_hosts");
        let text = format!("# ours\ndb1,db2 {ONE}\n@revoked db3 {TWO}\ndb4 {TWO}");
        std::fs::write(&path, &text).unwrap();
        let ssh = Ssh::new(dir.path());
        assert!(matches!(ssh.find(&shown("db2", 22, ONE)).await, Ok(Found::Right)));
        assert_eq!(ssh.find(&shown("db4", 22, TWO)).await.err().unwrap().kind, ErrorKind::Denied);
        assert_eq!(ssh.forget("db2", 22).await.unwrap_err().kind, ErrorKind::Conflict);
        ssh.trust(&trust(&shown("db5", 22, ONE)), "ann").await.unwrap();
        let now = std::fs::read_to_string(&path).unwrap();
        assert!(now.starts_with(&format!("{text}\ndb5 ssh-ed25519 ")), "{now}");
        assert_eq!(ssh.list().await.unwrap().known.len(), 4);
    }
}
