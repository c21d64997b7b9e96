//! What this host's owner allows, whatever the hub asks: a file only they can change.
//!
//! Read once at start. `agent.rs` asks it before any request is looked at, `services/exec` before a
//! program is begun, `services/logs` before a file is opened.

mod alerts;
mod containers;
mod forwards;
mod gateways;
mod logs;
mod probes;
mod recorder;
mod ssh;

pub use alerts::Alerts;
pub use containers::Containers;
pub use forwards::Forwards;
pub use gateways::Gateways;
pub use logs::Logs;
pub use probes::Probes;
pub use recorder::Recorder;
pub use ssh::{Network, Ssh};

use crate::services;
use cmdr_link::settings::{self, SettingsError};
use cmdr_protocol::CallError;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Read when no file is named, if it exists.
pub const DEFAULT_FILE: &str = "/etc/cmdr/agent.toml";
/// Programs that run at once when the file says nothing.
const PROGRAMS: usize = 128;
/// Sessions at once when it says nothing.
const SESSIONS: usize = 64;
/// How long a session may be left alone when it says nothing.
const IDLE: Duration = Duration::from_hours(7 * 24);

/// What the owner allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The file it came from; absent when there is none.
    file: Option<PathBuf>,
    /// Features that are switched off.
    off: BTreeSet<&'static str>,
    /// Features that are switched on in words.
    on: BTreeSet<&'static str>,
    /// Limits of what operators run.
    pub exec: Exec,
    /// Which logs are read.
    pub logs: Logs,
    /// Limits of their sessions, beside those of `exec`.
    pub sessions: Sessions,
    /// Limits of which files they reach.
    pub files: Files,
    /// Which edits are looked at more closely.
    pub edits: Edits,
    /// Where sessions over SSH may go.
    pub ssh: Ssh,
    /// What new containers may do to the host.
    pub containers: Containers,
    /// What the flight recorder keeps.
    pub recorder: Recorder,
    /// Where probes may go.
    pub probes: Probes,
    /// Where gateways may listen and lead.
    pub gateways: Gateways,
    /// Who is told of alerts while the hub is away.
    pub alerts: Alerts,
    /// Where forwards lead and listen.
    pub forwards: Forwards,
}

/// Which edits are looked at more closely.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Files of the form of `/etc/hosts`, which is one always.
    pub hosts_files: Vec<PathBuf>,
}

/// Limits of which files operators reach: paths, and folders (ending in `/`) with all below them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// What may be looked at and read; absent for anything.
    pub read: Option<Vec<PathBuf>>,
    /// What may be written, made, moved and taken away; absent for anything.
    pub write: Option<Vec<PathBuf>>,
    /// What may be neither.
    pub denied: Vec<PathBuf>,
}

/// What somebody wants with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Look at it or read it.
    Read,
    /// Write it, make it, move it, take it away.
    Write,
}

/// Limits of what operators run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// Names of the users to run as; absent for any.
    pub users: Option<Vec<String>>,
    /// Programs that may run, and folders (ending in `/`) of such; absent for any.
    pub programs: Option<Vec<PathBuf>>,
    /// Programs and folders that may not.
    pub denied_programs: Vec<PathBuf>,
    /// The longest that one may run.
    pub max_runtime: Option<Duration>,
    /// So many at once.
    pub max_concurrent: usize,
}

impl Default for Exec {
    fn default() -> Self {
        Self {
            users: None,
            programs: None,
            denied_programs: Vec::new(),
            max_runtime: None,
            max_concurrent: PROGRAMS,
        }
    }
}

/// Limits of sessions. What [`Exec`] says of users and programs holds for them too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// Names of the users to run as; absent for any.
    pub users: Option<Vec<String>>,
    /// So many at once.
    pub max: usize,
    /// One that nobody is attached to and nobody has typed into for so long is ended.
    pub idle: Duration,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { users: None, max: SESSIONS, idle: IDLE }
    }
}

/// Why a policy file is not used. The agent does not start without what its owner wrote.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It must not be trusted, or is not there.
    #[error("policy file {path}: {what}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// What it says is wrong.
    #[error(transparent)]
    Content(#[from] SettingsError),
}

/// The file as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    services: BTreeMap<Service, bool>,
    exec: WrittenExec,
    logs: logs::WrittenLogs,
    sessions: WrittenSessions,
    files: WrittenFiles,
    edits: WrittenEdits,
    ssh: ssh::WrittenSsh,
    containers: containers::WrittenContainers,
    recorder: recorder::WrittenRecorder,
    probes: probes::WrittenProbes,
    gateways: gateways::WrittenGateways,
    alerts: alerts::WrittenAlerts,
    forwards: forwards::WrittenForwards,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenEdits {
    hosts_files: Paths,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenSessions {
    users: Option<Vec<String>>,
    max: Option<NonZeroUsize>,
    idle_s: Option<NonZeroU64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenFiles {
    read: Option<Paths>,
    write: Option<Paths>,
    denied: Paths,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenExec {
    users: Option<Vec<String>>,
    programs: Option<Paths>,
    denied_programs: Paths,
    max_runtime_s: Option<NonZeroU64>,
    max_concurrent: Option<NonZeroUsize>,
}

/// The name of a service of this agent.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Service(&'static str);

impl<'de> Deserialize<'de> for Service {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = services::NAMES.iter().find(|known| **known == name);
        known
            .map(|known| Self(known))
            .ok_or_else(|| D::Error::unknown_field(&name, services::NAMES))
    }
}

/// Paths from the root on.
#[derive(Default)]
struct Paths(Vec<PathBuf>);

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let paths = Vec::<String>::deserialize(deserializer)?;
        match paths.iter().find(|path| !path.starts_with('/')) {
            Some(path) => Err(D::Error::invalid_value(
                Unexpected::Str(path),
                &"a list of paths that begin with '/'",
            )),
            None => Ok(Self(paths.into_iter().map(PathBuf::from).collect())),
        }
    }
}

impl From<WrittenExec> for Exec {
    fn from(written: WrittenExec) -> Self {
        let most = tokio::sync::Semaphore::MAX_PERMITS;
        Self {
            users: written.users,
            programs: written.programs.map(|paths| paths.0),
            denied_programs: written.denied_programs.0,
            max_runtime: written.max_runtime_s.map(|s| Duration::from_secs(s.get())),
            max_concurrent: written.max_concurrent.map_or(PROGRAMS, |n| n.get().min(most)),
        }
    }
}

impl From<WrittenSessions> for Sessions {
    fn from(written: WrittenSessions) -> Self {
        Self {
            users: written.users,
            max: written.max.map_or(SESSIONS, NonZeroUsize::get),
            idle: written.idle_s.map_or(IDLE, |s| Duration::from_secs(s.get())),
        }
    }
}

impl From<WrittenFiles> for Files {
    fn from(written: WrittenFiles) -> Self {
        Self {
            read: written.read.map(|paths| paths.0),
            write: written.write.map(|paths| paths.0),
            denied: written.denied.0,
        }
    }
}

impl Files {
    /// Whether a path without links is let through.
    pub fn allows(&self, want: Want, path: &Path) -> bool {
        let within = |listed: &PathBuf| {
            let listed = Listed::of(listed);
            if listed.folder { path.starts_with(&listed.path) } else { path == listed.path }
        };
        let list = match want {
            Want::Read => &self.read,
            Want::Write => &self.write,
        };
        !self.denied.iter().any(within) && list.as_ref().is_none_or(|list| list.iter().any(within))
    }

    /// Whether something below this folder is not let through: such a one is not moved or taken away whole.
    pub fn holds_denied(&self, want: Want, folder: &Path) -> bool {
        let below = |listed: &PathBuf| Listed::of(listed).path.starts_with(folder);
        // What is allowed is a prefix: a folder that is allowed is so with all below it.
        self.denied.iter().any(below) || !self.allows(want, folder)
    }
}

/// A path of the file, behind all links that lead to it.
struct Listed {
    path: PathBuf,
    folder: bool,
}

impl Listed {
    fn of(listed: &Path) -> Self {
        let folder = listed.as_os_str().as_encoded_bytes().ends_with(b"/");
        let real = |path: &Path| {
            // What is not there yet is where its nearest folder leads.
            path.ancestors().find_map(|above| {
                let rest = path.strip_prefix(above).ok()?;
                Some(above.canonicalize().ok()?.components().chain(rest.components()).collect())
            })
        };
        Self { path: real(listed).unwrap_or_else(|| listed.to_owned()), folder }
    }
}

impl Policy {
    /// The policy in `file`, or in the usual place; none when that is not there.
    pub fn find(file: Option<&Path>) -> Result<Self, PolicyError> {
        match file {
            Some(file) => Self::load(file),
            None if Path::new(DEFAULT_FILE).exists() => Self::load(Path::new(DEFAULT_FILE)),
            None => Ok(Self::default()),
        }
    }

    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let wrong = |what: String| PolicyError::File { path: path.to_owned(), what };
        let meta = std::fs::metadata(path).map_err(|e| wrong(e.to_string()))?;
        if meta.permissions().mode() & 0o022 != 0 {
            return Err(wrong(format!("others may change it; run: chmod go-w {}", path.display())));
        }
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        Self::parse(path, &text)
    }

    /// Reads the text of `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, PolicyError> {
        let written: Written = settings::parse(path, text)?;
        let services = written.services.into_iter().map(|(service, on)| (service.0, on));
        let (on, off): (BTreeSet<_>, BTreeSet<_>) = services.partition(|(_, on)| *on);
        let names = |set: BTreeSet<(&'static str, bool)>| set.into_iter().map(|(name, _)| name);
        let (on, off) = (names(on).collect(), names(off).collect());
        let (exec, logs) = (written.exec.into(), written.logs.into());
        let (sessions, files) = (written.sessions.into(), written.files.into());
        let edits = Edits { hosts_files: written.edits.hosts_files.0 };
        let (file, ssh) = (Some(path.to_owned()), written.ssh.into());
        let (containers, recorder) = (written.containers.into(), written.recorder.into());
        let (probes, alerts) = (written.probes.into(), written.alerts.into());
        let forwards = written.forwards.into();
        let gateways = written.gateways.into();
        Ok(Self {
            file,
            off,
            on,
            exec,
            logs,
            sessions,
            files,
            edits,
            ssh,
            containers,
            recorder,
            probes,
            gateways,
            alerts,
            forwards,
        })
    }

    /// Whether a method's feature is switched on.
    pub fn allows_method(&self, method: &str) -> Result<(), CallError> {
        let feature = method.split('.').next().unwrap_or(method);
        if self.off.contains(feature) {
            return Err(CallError::denied(format!(
                "the service '{feature}' is switched off on this host by {}; only its owner can \
                 change that",
                self.place()
            )));
        }
        Ok(())
    }

    /// Whether a feature may run programs that no limit of users and programs reaches, because the container engine runs
    /// them: where there are such limits, only when the owner has switched it on in words.
    pub fn allows_without_limits(&self, feature: &str) -> Result<(), CallError> {
        let limited =
            self.exec.users.is_some() || self.sessions.users.is_some() || self.restricts_programs();
        if !limited || self.on.contains(feature) {
            return Ok(());
        }
        Err(CallError::denied(format!(
            "this host's policy {} limits which programs run and as whom, and the Docker engine keeps to no such limit; \
             its owner can allow it all the same with '{feature} = true' under [services]",
            self.place()
        )))
    }

    /// Whether programs may run as this user.
    pub fn allows_user(&self, user: &str) -> Result<(), CallError> {
        self.lets_run(self.exec.users.as_ref(), "run programs", user)
    }

    /// Whether sessions may run as this user, who may run programs.
    pub fn allows_session(&self, user: &str) -> Result<(), CallError> {
        self.lets_run(self.sessions.users.as_ref(), "open sessions", user)
    }

    fn lets_run(
        &self,
        users: Option<&Vec<String>>,
        what: &str,
        user: &str,
    ) -> Result<(), CallError> {
        match users {
            Some(users) if !users.iter().any(|allowed| allowed == user) => {
                Err(CallError::denied(format!(
                    "this host's policy {} lets nobody {what} as '{}'",
                    self.place(),
                    cmdr_protocol::display::clean_to_width(user, 64)
                )))
            }
            _ => Ok(()),
        }
    }

    /// Whether this program may run; `real` is the file behind all its links.
    pub fn allows_program(&self, program: &Path, real: &Path) -> Result<(), CallError> {
        let within = |listed: &PathBuf, program: &Path| {
            if listed.as_os_str().as_encoded_bytes().ends_with(b"/") {
                program.starts_with(listed)
            } else {
                program == listed || listed.canonicalize().is_ok_and(|listed| listed == program)
            }
        };
        let exec = &self.exec;
        // A link may not lead into what is allowed from outside of it, nor around what is denied.
        let denied = exec.denied_programs.iter().any(|d| within(d, program) || within(d, real));
        let listed = |list: &Vec<PathBuf>| list.iter().any(|allowed| within(allowed, real));
        if denied || !exec.programs.as_ref().is_none_or(listed) {
            return Err(CallError::denied(format!(
                "this host's policy {} does not let {} run",
                self.place(),
                cmdr_protocol::display::clean_to_width(&program.to_string_lossy(), 200)
            )));
        }
        Ok(())
    }

    /// Whether operators may do this with this path, which has no links in it.
    pub fn allows_path(&self, want: Want, path: &Path) -> Result<(), CallError> {
        if self.files.allows(want, path) {
            return Ok(());
        }
        let what = match want {
            Want::Read => "looked at or read",
            Want::Write => "changed",
        };
        Err(CallError::denied(format!(
            "this host's policy {} does not let {} be {what}",
            self.place(),
            cmdr_protocol::display::clean_to_width(&path.to_string_lossy(), 200)
        )))
    }

    /// Whether the file that runs must be the very one that was looked at.
    pub fn restricts_programs(&self) -> bool {
        self.exec.programs.is_some() || !self.exec.denied_programs.is_empty()
    }

    fn place(&self) -> String {
        self.file.as_deref().unwrap_or(Path::new("(none)")).display().to_string()
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(file) = &self.file else { return f.write_str("none: every service is on") };
        write!(f, "{}: ", file.display())?;
        if self.off.is_empty() {
            f.write_str("every service is on")
        } else {
            write!(f, "off: {}", self.off.iter().copied().collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmdr_protocol::ErrorKind;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Policy, PolicyError> {
        Policy::parse(Path::new("/etc/cmdr/agent.toml"), text)
    }

    #[test]
    fn a_service_switched_off_is_denied_with_the_name_of_the_file() {
        let policy = parse("[services]\nexec = false\nfacts = true\n").unwrap();
        let refusal = policy.allows_method("exec.start").unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::Denied);
        assert!(refusal.message.contains("/etc/cmdr/agent.toml"), "{refusal}");
        assert!(policy.allows_method("facts.get").is_ok());
    }

    #[test]
    fn what_keeps_to_no_limits_is_denied_where_there_are_some_until_it_is_allowed_in_words() {
        let allows = |text: &str| parse(text).unwrap().allows_without_limits("exec").is_ok();
        assert!(allows("") && allows("[exec]\nmax_concurrent = 2\n"));
        for limits in
            ["[exec]\nusers = []\n", "[exec]\nprograms = []\n", "[sessions]\nusers = []\n"]
        {
            assert!(!allows(limits), "{limits}");
            assert!(allows(&format!("{limits}[services]\nexec = true\n")));
        }
    }

    #[test]
    fn a_wrong_line_is_named_with_the_nearest_known_key() {
        let cases = [
            (
                "[service]\n",
                "/etc/cmdr/agent.toml:1: unknown key 'service'; did you mean 'services'?",
            ),
            (
                "\n[services]\nexce = false\n",
                "/etc/cmdr/agent.toml:3: unknown key 'exce'; did you mean 'exec'?",
            ),
            (
                "[exec]\nuser = []\n",
                "/etc/cmdr/agent.toml:2: unknown key 'user'; did you mean 'users'?",
            ),
            ("[services]\nexec = 1\n", "/etc/cmdr/agent.toml:2: here should be true or false"),
            (
                "[exec]\nmax_concurrent = 0\n",
                "/etc/cmdr/agent.toml:2: here should be a whole number of at least 1",
            ),
            (
                "[exec]\nprograms = [\"ls\"]\n",
                "/etc/cmdr/agent.toml:2: here should be a list of paths that begin with '/'",
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse(text).unwrap_err().to_string(), wanted);
        }
        let broken = parse("[services]\nexec = \n").unwrap_err().to_string();
        assert!(broken.starts_with("/etc/cmdr/agent.toml:2:"), "{broken}");
    }

    #[test]
    fn programs_are_judged_by_the_file_behind_their_links() {
        let policy = parse("[exec]\nprograms = [\"/opt/tools/\", \"/bin/true\"]\ndenied_programs = [\"/opt/tools/rm\"]\n").unwrap();
        let allows = |program: &str, real: &str| {
            policy.allows_program(Path::new(program), Path::new(real)).is_ok()
        };
        let real_true = Path::new("/bin/true").canonicalize().unwrap();
        assert!(allows("/opt/tools/ls", "/opt/tools/ls"));
        assert!(allows("/bin/true", real_true.to_str().unwrap()));
        assert!(!allows("/opt/tools/sh", "/usr/bin/dash"));
        assert!(!allows("/opt/tools/rm", "/opt/tools/rm"));
        assert!(!allows("/opt/tools/x", "/opt/tools/rm"));
        assert!(!allows("/opt/tools-2/ls", "/opt/tools-2/ls"));
    }

    #[test]
    fn a_file_that_others_may_change_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(Policy::load(&path).unwrap_err().to_string().contains("chmod go-w"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Policy::load(&path).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[\\[\\]a-z_=\"\n0-9. ]{0,80}") {
            drop(parse(&text));
        }
    }
}
