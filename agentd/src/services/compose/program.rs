//! The compose program of this host: which one there is, and one run of it, beneath a supervisor, so that nothing of it
//! outlives its caller or the agent. It is told all by arguments and files; of the agent's environment it gets nothing.

use super::folder::Folder;
use super::reads::Lines;
use crate::launch::{Launched, NotLaunched, launch};
use crate::supervise::{Job, Told};
use crate::{Agent, program, users};
use cmdr_link::files::reason;
use cmdr_protocol::CallError;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Where the plugin of the `docker` program lies, beside the folder of the user.
const PLUGINS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];
/// Its file, and that of the older program.
const FILE: &str = "docker-compose";
/// How long a question to it may take.
const QUESTION: Duration = Duration::from_mins(1);
/// How long an act may take: images come from far away.
const ACT: Duration = Duration::from_hours(2);
/// The most that it makes of a file.
const OUTPUT: usize = 4 << 20;
/// Lines of its complaint that are kept.
const COMPLAINT: usize = 40;

/// The program as it was last found.
#[derive(Debug)]
pub(super) struct Known {
    path: PathBuf,
    changed: Option<SystemTime>,
    version: String,
}

/// The compose program of this host.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    /// For people: `docker compose 2.26.1`.
    pub(super) name: String,
    /// Not the first one, which was written in Python.
    modern: bool,
}

/// What a run of it came to.
struct Ran {
    good: bool,
    output: Vec<u8>,
    /// The last lines of its complaint.
    words: Vec<String>,
}

fn folders(agent: &Agent) -> Vec<PathBuf> {
    if let Some(path) = &agent.config().program_path {
        return std::env::split_paths(path).collect();
    }
    let home = PathBuf::from(user(agent).home).join(".docker/cli-plugins");
    let plugins = std::iter::once(home).chain(PLUGINS.map(PathBuf::from));
    plugins.chain(program::PATH.split(':').map(PathBuf::from)).collect()
}

fn user(agent: &Agent) -> users::User {
    users::by_uid(&agent.config().etc_root, rustix::process::geteuid().as_raw())
}

fn fault(error: &io::Error) -> CallError {
    CallError::failed(format!("run the compose program of this host: {}", reason(error)))
}

impl Program {
    /// Looks for it.
    pub(super) async fn find(agent: &Agent) -> Result<Self, CallError> {
        let there = folders(agent).into_iter().find_map(|folder| {
            program::find(
                FILE,
                &BTreeMap::from([("PATH".into(), folder.display().to_string())]),
                Path::new("/"),
            )
            .ok()
        });
        let Some(path) = there else {
            return Err(CallError::not_found(
                "this host has no compose program: neither the plugin 'docker compose' nor 'docker-compose'; install one, \
                 for example: cmdr packages install docker-compose --on HOST (Debian, Ubuntu), or docker-compose-plugin \
                 where Docker's own packages are",
            ));
        };
        let changed = path.metadata().and_then(|meta| meta.modified()).ok();
        let known = &agent.composing().known;
        let version = {
            let known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let same =
                known.as_ref().filter(|known| known.path == path && known.changed == changed);
            same.map(|known| known.version.clone())
        };
        if let Some(version) = version {
            return Ok(Self::of(path, &version));
        }
        let args = ["version", "--short"].map(str::to_owned);
        let ran =
            run(agent, &path, Path::new("/"), &args, &BTreeMap::new(), None, QUESTION).await?;
        let said =
            cmdr_protocol::display::clean_to_width(String::from_utf8_lossy(&ran.output).trim(), 40);
        let version = said.trim_start_matches('v').to_owned();
        if !ran.good || !version.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(CallError::failed(format!(
                "{} is there and does not work: {}; install it anew",
                path.display(),
                ran.words.join("; ")
            )));
        }
        let program = Self::of(path.clone(), &version);
        *known.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Known { path, changed, version });
        Ok(program)
    }

    fn of(path: PathBuf, version: &str) -> Self {
        let modern = !version.starts_with("1.");
        let name = if modern { "docker compose" } else { FILE };
        Self { path, name: format!("{name} {version}"), modern }
    }

    fn environment(agent: &Agent, folder: &Folder) -> BTreeMap<String, String> {
        let socket = agent.config().docker_socket.display();
        let mut env = program::environment(&user(agent));
        for (name, value) in [
            ("DOCKER_HOST", format!("unix://{socket}")),
            ("DOCKER_CONFIG", folder.settings().display().to_string()),
            ("COMPOSE_ANSI", "never".to_owned()),
            ("COMPOSE_PROGRESS", "plain".to_owned()),
            ("COMPOSE_INTERACTIVE_NO_CLI", "1".to_owned()),
            ("COMPOSE_HTTP_TIMEOUT", "600".to_owned()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
        ] {
            env.insert(name.to_owned(), value);
        }
        env
    }

    /// What stands before each verb.
    fn words(folder: &Folder, file: &Path, variables: &Path, verb: &[&str]) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let project = folder.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut args = vec!["--project-name".to_owned(), project];
        args.extend(["--project-directory".to_owned(), text(folder.path())]);
        args.extend(["--file".to_owned(), text(file), "--env-file".to_owned(), text(variables)]);
        args.extend(verb.iter().map(|word| (*word).to_owned()));
        args
    }

    /// What it makes of the file that lies in the folder, as YAML or JSON, and what it remarks.
    pub(super) async fn config(
        &self,
        agent: &Agent,
        folder: &Folder,
    ) -> Result<(Vec<u8>, Vec<String>), CallError> {
        let verb: &[&str] = if self.modern { &["config", "--format", "json"] } else { &["config"] };
        let args = Self::words(folder, &folder.text(), &folder.variables(), verb);
        let env = Self::environment(agent, folder);
        let ran = run(agent, &self.path, folder.path(), &args, &env, None, QUESTION).await?;
        let own = format!("{}/", folder.path().display());
        let (remarks, words): (Vec<_>, Vec<_>) = ran
            .words
            .iter()
            .map(|line| line.replace(&own, "").replace("./compose.yaml", "compose.yaml"))
            .partition(|line| line.contains("level=warning") || line.starts_with("WARNING"));
        if !ran.good {
            return Err(CallError::malformed(format!(
                "the compose file is refused by {}: {}",
                self.name,
                words.join("; ")
            )));
        }
        Ok((ran.output, super::reads::remarks(&remarks)))
    }

    /// By which its services are told apart from what they were, as it says it itself.
    pub(super) async fn hashes(
        &self,
        agent: &Agent,
        folder: &Folder,
        file: &Path,
    ) -> Result<BTreeMap<String, String>, CallError> {
        let args = Self::words(folder, file, &folder.none()?, &["config", "--hash", "*"]);
        let env = Self::environment(agent, folder);
        let ran = run(agent, &self.path, folder.path(), &args, &env, None, QUESTION).await?;
        if !ran.good {
            let words = super::reads::complaint(&ran.words);
            return Err(super::reads::kind(format!(
                "{} cannot compare the services: {words}",
                self.name
            )));
        }
        let said = String::from_utf8_lossy(&ran.output);
        let pair = |line: &str| {
            let (name, hash) = line.trim().rsplit_once(' ')?;
            Some((name.trim().to_owned(), hash.to_owned()))
        };
        Ok(said.lines().filter_map(pair).collect())
    }

    /// Does something with what this host has been told to bring up; its lines go to `lines` as they come.
    pub(super) async fn act(
        &self,
        agent: &Agent,
        folder: &Folder,
        (attempted, verb): (&str, &[&str]),
        lines: &mpsc::Sender<String>,
    ) -> Result<(), CallError> {
        let args = Self::words(folder, &folder.resolved(), &folder.none()?, verb);
        let env = Self::environment(agent, folder);
        let ran = run(agent, &self.path, folder.path(), &args, &env, Some(lines), ACT).await?;
        if ran.good {
            return Ok(());
        }
        let words = super::reads::complaint(&ran.words);
        Err(super::reads::kind(format!("{attempted}: {} says: {words}", self.name)))
    }
}

/// Runs it to its end, or ends it when its time is over or nobody waits for it any more.
async fn run(
    agent: &Agent,
    path: &Path,
    cwd: &Path,
    args: &[String],
    env: &BTreeMap<String, String>,
    lines: Option<&mpsc::Sender<String>>,
    patience: Duration,
) -> Result<Ran, CallError> {
    let job = Job {
        program: path.into(),
        arg0: FILE.to_owned(),
        args: args.to_vec(),
        env: env.clone(),
        cwd: cwd.into(),
        rights: None,
    };
    let stdin = OwnedFd::from(File::open("/dev/null").map_err(|e| fault(&e))?);
    let (read_out, stdout) = io::pipe().map_err(|e| fault(&e))?;
    let (read_err, stderr) = io::pipe().map_err(|e| fault(&e))?;
    let launched = launch(agent, &job, [stdin, stdout.into(), stderr.into()]).await;
    let mut launched = launched.map_err(|e| match e {
        NotLaunched::Refused(e) | NotLaunched::Fault(e) => fault(&e),
    })?;
    let pipe = |fd: io::PipeReader| pipe::Receiver::from_owned_fd(fd.into()).map_err(|e| fault(&e));
    let (out, err) = (pipe(read_out)?, pipe(read_err)?);
    let following = follow(&mut launched, out, err, lines);
    timeout(patience, following).await.map_err(|_| {
        let minutes = patience.as_secs() / 60;
        CallError::new(
            cmdr_protocol::ErrorKind::TimedOut,
            format!(
                "the compose program of this host did not end within {minutes} min and was ended"
            ),
        )
    })?
}

async fn follow(
    launched: &mut Launched,
    mut out: pipe::Receiver,
    mut err: pipe::Receiver,
    lines: Option<&mpsc::Sender<String>>,
) -> Result<Ran, CallError> {
    let mut ran = Ran { good: false, output: Vec::new(), words: Vec::new() };
    let (mut from_out, mut from_err) = (Lines::default(), Lines::default());
    let (mut more_out, mut more_err) = (true, true);
    let (mut chunk, mut other) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    while more_out || more_err {
        let mut fresh = Vec::new();
        tokio::select! {
            n = out.read(&mut chunk), if more_out => {
                let n = n.unwrap_or(0);
                more_out = n > 0;
                match lines {
                    Some(_) => from_out.take(&chunk[..n], &mut fresh),
                    None if ran.output.len() + n > OUTPUT => {
                        return Err(CallError::failed(format!(
                            "the compose program makes more than {} MiB of the file", OUTPUT >> 20
                        )));
                    }
                    None => ran.output.extend_from_slice(&chunk[..n]),
                }
            }
            n = err.read(&mut other), if more_err => {
                let n = n.unwrap_or(0);
                more_err = n > 0;
                from_err.take(&other[..n], &mut fresh);
            }
        }
        for line in fresh {
            ran.words.push(line.clone());
            if ran.words.len() > COMPLAINT {
                ran.words.remove(0);
            }
            if let Some(lines) = lines {
                let gone = |_| {
                    CallError::new(cmdr_protocol::ErrorKind::Cancelled, "nobody listens any more")
                };
                lines.send(line).await.map_err(gone)?;
            }
        }
    }
    ran.good = ended(launched).await?.success();
    Ok(ran)
}

async fn ended(launched: &mut Launched) -> Result<ExitStatus, CallError> {
    let mut told = [0; Told::LEN];
    loop {
        launched.socket.read_exact(&mut told).await.map_err(|_| {
            CallError::failed(
                "the compose program's supervisor was ended; look at what it has left behind",
            )
        })?;
        if let Some(Told::Ended { status, .. }) = Told::from_bytes(told) {
            return Ok(ExitStatus::from_raw(status));
        }
    }
}
