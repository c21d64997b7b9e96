//! The folder of a project on its host: the same one for good, because what is written relatively in a compose file, and
//! labels of containers, name it. For the agent's user alone.

use crate::Agent;
use cmdr_link::files::{private_dir, read_private, reason, write_private};
use cmdr_protocol::CallError;
use cmdr_protocol::images::Login;
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};

/// The longest file here that is read.
const LONGEST: u64 = 8 << 20;
/// What programs call the registry that names without one mean.
const USUAL: &str = "https://index.docker.io/v1/";

/// The folder of one project.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    dir: PathBuf,
}

/// What was brought up last.
#[derive(Serialize, Deserialize)]
struct About {
    version: u64,
    /// Of the file that it is about: another one has another version, which is not known.
    hash: String,
}

/// A file that is there for a moment.
#[derive(Debug)]
pub(super) struct Passing {
    paths: Vec<PathBuf>,
}

impl Passing {
    /// The first of them.
    pub(super) fn path(&self) -> &Path {
        self.paths.first().map_or(Path::new(""), PathBuf::as_path)
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        for path in &self.paths {
            // One that was never written is as good as gone.
            std::fs::remove_file(path).ok();
        }
        // Of a project that was only looked at nothing stays.
        if let Some(dir) = self.paths.first().and_then(|path| path.parent()) {
            std::fs::remove_dir(dir).ok();
        }
    }
}

fn root(state_dir: &Path) -> PathBuf {
    state_dir.join("compose")
}

fn logins(dir: &Path) -> PathBuf {
    dir.join("docker/config.json")
}

/// Removes what an agent has left that was killed while it had passwords of registries there.
pub(super) fn remove_logins(state_dir: &Path) {
    for dir in std::fs::read_dir(root(state_dir)).into_iter().flatten().flatten() {
        if let Err(e) = std::fs::remove_file(logins(&dir.path()))
            && e.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("removing {}: {e}", logins(&dir.path()).display());
        }
    }
}

impl Folder {
    /// Of a project whose name was checked.
    pub(super) fn of(agent: &Agent, project: &str) -> Self {
        Self { dir: root(&agent.config().state_dir).join(project) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.dir
    }

    fn fault(&self, what: &str, error: &io::Error) -> CallError {
        let words = format!("{what} in {}: {}", self.dir.display(), reason(error));
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                CallError::new(cmdr_protocol::ErrorKind::Busy, words)
            }
            _ => CallError::failed(words),
        }
    }

    fn make(&self) -> io::Result<()> {
        private_dir(&root_of(&self.dir))?;
        private_dir(&self.dir)
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, CallError> {
        let path = self.dir.join(name);
        let written = self.make().and_then(|()| write_private(&path, content));
        written.map_err(|e| self.fault(&format!("write {name}"), &e))?;
        Ok(path)
    }

    /// Where the compose program finds what it is to read, while the answer is held.
    pub(super) fn input(&self, text: &str, variables: &str) -> Result<Passing, CallError> {
        let passing = Passing { paths: vec![self.text(), self.variables()] };
        self.write("compose.yaml", text.as_bytes())?;
        self.write(".env", variables.as_bytes())?;
        Ok(passing)
    }

    /// The compose file, as somebody wrote it.
    pub(super) fn text(&self) -> PathBuf {
        self.dir.join("compose.yaml")
    }

    /// Variables for it.
    pub(super) fn variables(&self) -> PathBuf {
        self.dir.join(".env")
    }

    /// What was judged and is brought up.
    pub(super) fn resolved(&self) -> PathBuf {
        self.dir.join("resolved.json")
    }

    /// A file without variables: what was judged has them in it.
    pub(super) fn none(&self) -> Result<PathBuf, CallError> {
        self.write("none.env", b"")
    }

    /// What was judged, for a moment.
    pub(super) fn wanted(&self, value: &Value) -> Result<Passing, CallError> {
        let paths = vec![self.dir.join("wanted.json"), self.dir.join("none.env")];
        let laid = self.resolved().exists();
        let paths = if laid { paths[..1].to_vec() } else { paths };
        let passing = Passing { paths };
        self.write("wanted.json", value.to_string().as_bytes())?;
        Ok(passing)
    }

    /// Keeps what was judged as what this host has been told to bring up.
    pub(super) fn lay(&self, value: &Value, version: u64) -> Result<(), CallError> {
        let text = value.to_string();
        let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
        let about = serde_json::to_vec(&About { version, hash });
        let about = about.map_err(|e| CallError::failed(e.to_string()))?;
        self.write("resolved.json", text.as_bytes())?;
        self.write("about.json", &about).map(drop)
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, CallError> {
        match read_private(path, LONGEST) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.fault("read what was brought up", &e)),
        }
    }

    /// What this host has been told to bring up, and in which version; nothing when it was never told.
    pub(super) fn laid(&self) -> Result<Option<(Value, u64)>, CallError> {
        let Some(text) = self.read(&self.resolved())? else { return Ok(None) };
        let value = serde_json::from_slice(&text).map_err(|e| {
            let path = self.resolved();
            CallError::failed(format!(
                "{} is damaged: {e}; bring the project up again",
                path.display()
            ))
        })?;
        let about = self.read(&self.dir.join("about.json"))?.unwrap_or_default();
        let about: Option<About> = serde_json::from_slice(&about).ok();
        let hash = blake3::hash(&text).to_hex().to_string();
        let version = about.filter(|about| about.hash == hash).map_or(0, |about| about.version);
        Ok(Some((value, version)))
    }

    /// Who programs are to registries, while the answer is held.
    pub(super) fn logins(&self, all: &[Login]) -> Result<Passing, CallError> {
        let path = logins(&self.dir);
        let passing = Passing { paths: vec![path.clone()] };
        let auths: serde_json::Map<String, Value> = all
            .iter()
            .map(|login| {
                let word =
                    BASE64.encode(format!("{}:{}", login.username, login.password).as_bytes());
                let registry = if login.registry == "docker.io" { USUAL } else { &login.registry };
                (registry.to_owned(), json!({ "auth": word }))
            })
            .collect();
        let text = json!({ "auths": auths }).to_string();
        let parent = self.dir.join("docker");
        let written = self.make().and_then(|()| private_dir(&parent));
        written
            .and_then(|()| write_private(&path, text.as_bytes()))
            .map_err(|e| self.fault("write logins of registries", &e))?;
        Ok(passing)
    }

    /// The folder for settings of the compose program.
    pub(super) fn settings(&self) -> PathBuf {
        self.dir.join("docker")
    }

    /// Forgets what was brought up. Files that somebody has put there stay.
    pub(super) fn forget(&self) -> Result<(), CallError> {
        for name in
            ["resolved.json", "about.json", "none.env", "wanted.json", "compose.yaml", ".env"]
        {
            match std::fs::remove_file(self.dir.join(name)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(self.fault(&format!("remove {name}"), &e));
                }
                _ => {}
            }
        }
        for dir in [self.settings(), self.dir.clone()] {
            // Not empty means that somebody has put something there.
            std::fs::remove_dir(dir).ok();
        }
        Ok(())
    }
}

fn root_of(dir: &Path) -> PathBuf {
    dir.parent().unwrap_or(dir).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Config;

    fn made() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let agent = Agent::new(Config::new(dir.path().to_owned()));
        let folder = Folder::of(&agent, "web");
        (dir, folder)
    }

    #[test]
    fn what_is_written_for_a_moment_is_gone_afterwards_and_so_is_its_folder() {
        let (_dir, folder) = made();
        let input = folder.input("services: {}", "A=1").unwrap();
        assert_eq!(std::fs::read(folder.text()).unwrap(), b"services: {}");
        drop(input);
        let wanted = folder.wanted(&json!({})).unwrap();
        folder.none().unwrap();
        drop(wanted);
        assert!(!folder.path().exists());
    }

    #[test]
    fn a_version_belongs_to_the_very_file_it_was_kept_with() {
        let (_dir, folder) = made();
        assert!(folder.laid().unwrap().is_none());
        folder.lay(&json!({"services": {}}), 3).unwrap();
        assert_eq!(folder.laid().unwrap(), Some((json!({"services": {}}), 3)));
        write_private(&folder.resolved(), b"{}").unwrap();
        assert_eq!(folder.laid().unwrap(), Some((json!({}), 0)));
        write_private(&folder.resolved(), b"{").unwrap();
        assert!(folder.laid().unwrap_err().message.contains("damaged"));
        folder.forget().unwrap();
        assert!(!folder.path().exists());
    }

    #[test]
    fn passwords_are_private_and_gone_after_use_and_when_an_agent_was_killed() {
        use std::os::unix::fs::PermissionsExt as _;
        let (dir, folder) = made();
        let login = Login { registry: "r:5000".into(), username: "a".into(), password: "b".into() };
        let held = folder.logins(std::slice::from_ref(&login)).unwrap();
        let path = held.path().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, r#"{"auths":{"r:5000":{"auth":"YTpi"}}}"#);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(folder.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        drop(held);
        assert!(!path.exists());
        std::mem::forget(folder.logins(&[login]).unwrap());
        assert!(path.exists());
        remove_logins(dir.path());
        assert!(!path.exists());
    }
}
