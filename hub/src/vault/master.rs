//! Where the master key comes from: a file, a command, the environment.

use super::blob::{Key, random};
use super::{VaultError, environment};
use crate::config::Secrets;
use cmdr_link::files;
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

/// The longest text of a key, whatever it comes from.
const LONGEST: u64 = 4096;
/// The shortest: less cannot have been drawn at random with enough care.
const SHORTEST: usize = 32;
/// How long the command may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the master key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The file in the data folder, which the hub makes when nothing is sealed yet.
    Own(PathBuf),
    /// A file of the administrator's.
    File(PathBuf),
    /// What this program writes on its standard output.
    Command(Vec<String>),
    /// A variable of the hub's environment.
    Env(String),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Own(path) | Self::File(path) => write!(f, "the file {}", path.display()),
            // Its arguments may say more than everybody shall read.
            Self::Command(words) => {
                write!(f, "the command {}", words.first().map_or("", String::as_str))
            }
            Self::Env(name) => write!(f, "the environment's {name}"),
        }
    }
}

/// The key that wraps the data keys.
#[derive(Clone)]
pub(super) struct Master {
    pub(super) key: Key,
    /// Tells one master key from another without telling anything about either.
    pub(super) mark: String,
}

impl Source {
    /// What the configuration of a hub with this data folder says.
    pub fn of(secrets: &Secrets, dir: &Path) -> Result<Self, VaultError> {
        let Secrets { key_file, key_command, key_env } = secrets;
        match (key_file, key_command.as_deref(), key_env.as_str()) {
            (None, None, "") => Ok(Self::Own(dir.join("secrets.key"))),
            (Some(path), None, "") => Ok(Self::File(path.clone())),
            (None, Some(words @ [_, ..]), "") => Ok(Self::Command(words.to_vec())),
            (None, Some([]), "") => Err(VaultError::Source(
                "[secrets] key_command is empty; name a program that prints the key".to_owned(),
            )),
            (None, None, name) => Ok(Self::Env(name.to_owned())),
            _ => Err(VaultError::Source(
                "[secrets] names more than one of key_file, key_command and key_env; keep one"
                    .to_owned(),
            )),
        }
    }

    fn wrong(&self, what: impl std::fmt::Display) -> VaultError {
        VaultError::Source(format!("the secrets' master key cannot be had from {self}: {what}"))
    }

    /// The master key; nothing when it is to be in the hub's own file and there is none.
    pub(super) async fn read(&self) -> Result<Option<Master>, VaultError> {
        let text = match self {
            Self::Own(path) if !path.exists() => return Ok(None),
            Self::Own(path) | Self::File(path) => Zeroizing::new(
                files::read_private(path, LONGEST).map_err(|e| self.wrong(files::reason(&e)))?,
            ),
            Self::Command(words) => self.ask(words).await?,
            Self::Env(name) => {
                environment::read(name).map_err(|e| self.wrong(files::reason(&e)))?
            }
        };
        self.master(&text).map(Some)
    }

    fn master(&self, text: &[u8]) -> Result<Master, VaultError> {
        let text = text.trim_ascii();
        if text.len() < SHORTEST {
            return Err(self.wrong(format!(
                "it has {} characters, but should have at least {SHORTEST}, drawn at random: head -c 32 /dev/urandom | base64",
                text.len()
            )));
        }
        let key = Zeroizing::new(blake3::derive_key("cmdr vault master v1", text));
        let mark = blake3::derive_key("cmdr vault master mark v1", key.as_ref());
        Ok(Master { key, mark: HEXLOWER.encode(&mark[..8]) })
    }

    /// Makes the hub's own file.
    pub(super) fn make(&self) -> Result<Master, VaultError> {
        match self {
            Self::Own(path) => self.draw(path),
            _ => Err(self.wrong("only the hub's own file is made by the hub")),
        }
    }

    /// The file beside the hub's own, which holds the next key until the store knows it.
    fn next(&self) -> Option<PathBuf> {
        match self {
            Self::Own(path) => Some(path.with_extension("key.next")),
            _ => None,
        }
    }

    /// Makes the next key.
    pub(super) fn make_next(&self) -> Result<Master, VaultError> {
        match self.next() {
            Some(path) => self.draw(&path),
            None => self.make(),
        }
    }

    /// Puts the next key in place: the store knows it now.
    pub(super) fn settle(&self, master: &Master) -> Result<(), VaultError> {
        let (Self::Own(path), Some(next)) = (self, self.next()) else { return Ok(()) };
        let text = files::read_private(&next, LONGEST);
        let text = Zeroizing::new(text.map_err(|e| self.wrong(files::reason(&e)))?);
        if self.master(&text)?.mark == master.mark {
            files::write_private(path, &text).map_err(|e| self.wrong(files::reason(&e)))?;
            std::fs::remove_file(&next).map_err(|e| self.wrong(files::reason(&e)))?;
        }
        Ok(())
    }

    /// `master`, unless a change of the hub's own key was cut short after the store knew the next one:
    /// then that, which is put in place. `mark` is the one that the store knows.
    pub(super) fn newer(&self, master: Master, mark: &str) -> Result<Master, VaultError> {
        let Some(next) = self.next().filter(|next| next.exists()) else { return Ok(master) };
        if master.mark == mark {
            // The change was cut short before that.
            std::fs::remove_file(&next).map_err(|e| self.wrong(files::reason(&e)))?;
            return Ok(master);
        }
        let text = files::read_private(&next, LONGEST);
        let text = Zeroizing::new(text.map_err(|e| self.wrong(files::reason(&e)))?);
        let next = self.master(&text)?;
        if next.mark != mark {
            return Ok(master);
        }
        self.settle(&next)?;
        Ok(next)
    }

    fn draw(&self, path: &Path) -> Result<Master, VaultError> {
        let text =
            Zeroizing::new(BASE32_NOPAD.encode(random::<32>()?.as_ref()).to_ascii_lowercase());
        let line = Zeroizing::new(format!("{}\n", *text));
        files::write_private(path, line.as_bytes()).map_err(|e| self.wrong(files::reason(&e)))?;
        self.master(text.as_bytes())
    }

    /// Runs the command: no shell, nothing to read, a bounded time and a bounded answer.
    async fn ask(&self, words: &[String]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (program, arguments) = words.split_first().ok_or_else(|| self.wrong("it is empty"))?;
        let mut child = tokio::process::Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| self.wrong(files::reason(&e)))?;
        let mut text = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 1));
        let answer = async {
            if let Some(out) = child.stdout.take() {
                out.take(LONGEST + 1).read_to_end(&mut text).await?;
            }
            // One that has said too much is not waited for.
            if text.len() as u64 > LONGEST { Ok(None) } else { child.wait().await.map(Some) }
        };
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(Some(status))) if status.success() => Ok(text),
            Ok(Ok(Some(status))) => Err(self.wrong(format!("it ended with {status}"))),
            Ok(Ok(None)) => Err(self.wrong(format!("it wrote more than {LONGEST} bytes"))),
            Ok(Err(e)) => Err(self.wrong(files::reason(&e))),
            Err(_) => Err(self.wrong(format!("it took longer than {} s", PATIENCE.as_secs()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0123456789abcdef0123456789abcdef";

    fn words(script: &str) -> Source {
        Source::Command(["/bin/sh", "-c", script].map(str::to_owned).to_vec())
    }

    async fn refused(source: &Source) -> String {
        match source.read().await {
            Err(e) => e.to_string(),
            Ok(_) => panic!("{source} gave a key"),
        }
    }

    #[tokio::test]
    async fn the_same_text_is_the_same_key_wherever_it_comes_from() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        files::write_private(&path, format!("{TEXT}\n").as_bytes()).unwrap();
        let file = Source::File(path).read().await.unwrap().unwrap();
        let command = words(&format!("echo {TEXT}")).read().await.unwrap().unwrap();
        assert_eq!(*file.key, *command.key);
        assert_eq!(file.mark, command.mark);
        let other = words(&format!("echo {TEXT}x")).read().await.unwrap().unwrap();
        assert_ne!(file.mark, other.mark);
    }

    #[tokio::test]
    async fn a_source_that_gives_no_key_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert!(refused(&Source::File(path.clone())).await.contains("No such file"));
        std::fs::write(&path, TEXT).unwrap();
        assert!(refused(&Source::File(path)).await.contains("chmod 600"));
        assert!(refused(&words("exit 3")).await.contains("exit status: 3"));
        assert!(refused(&words("echo short")).await.contains("5 characters"));
        assert!(refused(&words("yes")).await.contains("more than 4096 bytes"));
        assert!(refused(&Source::Command(vec!["/nowhere".to_owned()])).await.contains("No such"));
        assert!(
            refused(&Source::Env("CMDR_NO_SUCH_VARIABLE".to_owned()))
                .await
                .contains("no such variable")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_does_not_end_is_not_waited_for() {
        assert!(refused(&words("exec tail -f /dev/null")).await.contains("longer than 10 s"));
    }

    #[test]
    fn one_source_may_be_named_and_no_more() {
        let dir = Path::new("/data");
        let none = Secrets::default();
        assert_eq!(Source::of(&none, dir).unwrap(), Source::Own("/data/secrets.key".into()));
        let two = Secrets { key_file: Some("/k".into()), key_env: "K".to_owned(), ..none };
        assert!(Source::of(&two, dir).unwrap_err().to_string().contains("keep one"));
    }
}
