//! What this host's owner allows, whatever the hub asks: a file only they can change.
//!
//! Read once at start. `agent.rs` asks it before any request is looked at, `services/exec` before a
//! program is begun.

use crate::services;
use cmdr_protocol::CallError;
use std::collections::BTreeSet;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Read when no file is named, if it exists.
pub const DEFAULT_FILE: &str = "/etc/cmdr/agent.toml";
/// Programs that run at once when the file says nothing.
const PROGRAMS: usize = 128;

/// What the owner allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The file it came from; absent when there is none.
    file: Option<PathBuf>,
    /// Features that are switched off.
    off: BTreeSet<&'static str>,
    /// Limits of what operators run.
    pub exec: Exec,
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

/// Why a policy file is not used. The agent does not start without what its owner wrote.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("policy file {path}: {what}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// A line of it is wrong.
    #[error("{path}:{line}: {what}")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
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
        let reader = Reader { path, text };
        let root = DeTable::parse(text)
            .map_err(|e| reader.wrong(e.span().map_or(0, |s| s.start), e.message().to_owned()))?;
        let mut policy = Self { file: Some(path.to_owned()), ..Self::default() };
        for (key, value) in root.get_ref() {
            match key.get_ref().as_ref() {
                "services" => policy.services(&reader, value)?,
                "exec" => policy.exec.read(&reader, value)?,
                _ => return Err(reader.unknown(key, &["services", "exec"])),
            }
        }
        Ok(policy)
    }

    fn services(&mut self, reader: &Reader<'_>, value: &Value<'_>) -> Result<(), PolicyError> {
        for (key, value) in reader.table(value)? {
            let name = services::NAMES.iter().find(|name| **name == key.get_ref().as_ref());
            let name = name.ok_or_else(|| reader.unknown(key, services::NAMES))?;
            let on = value.get_ref().as_bool();
            if !on.ok_or_else(|| reader.expected(value, "true or false"))? {
                self.off.insert(name);
            }
        }
        Ok(())
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

    /// Whether programs may run as this user.
    pub fn allows_user(&self, user: &str) -> Result<(), CallError> {
        match &self.exec.users {
            Some(users) if !users.iter().any(|allowed| allowed == user) => {
                Err(CallError::denied(format!(
                    "this host's policy {} lets nobody run programs as '{}'",
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

type Value<'t> = Spanned<DeValue<'t>>;

impl Exec {
    const KEYS: &'static [&'static str] =
        &["users", "programs", "denied_programs", "max_runtime_s", "max_concurrent"];

    fn read(&mut self, reader: &Reader<'_>, value: &Value<'_>) -> Result<(), PolicyError> {
        for (key, value) in reader.table(value)? {
            match key.get_ref().as_ref() {
                "users" => self.users = Some(reader.texts(value)?),
                "programs" => self.programs = Some(reader.paths(value)?),
                "denied_programs" => self.denied_programs = reader.paths(value)?,
                "max_runtime_s" => {
                    self.max_runtime = Some(Duration::from_secs(reader.count(value)?));
                }
                "max_concurrent" => {
                    self.max_concurrent = usize::try_from(reader.count(value)?)
                        .unwrap_or(usize::MAX)
                        .min(tokio::sync::Semaphore::MAX_PERMITS);
                }
                _ => return Err(reader.unknown(key, Self::KEYS)),
            }
        }
        Ok(())
    }
}

/// Turns values into ours, and what is wrong into a file and a line.
struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    fn wrong(&self, at: usize, what: String) -> PolicyError {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let line = before.matches('\n').count() + 1;
        PolicyError::Line { path: self.path.to_owned(), line, what }
    }

    fn expected(&self, value: &Value<'_>, what: &str) -> PolicyError {
        self.wrong(value.span().start, format!("here should be {what}"))
    }

    fn unknown(&self, key: &Spanned<std::borrow::Cow<'_, str>>, known: &[&str]) -> PolicyError {
        let name = key.get_ref();
        let near = known
            .iter()
            .map(|k| (strsim::damerau_levenshtein(k, name), k))
            .min()
            .map_or(String::new(), |(_, near)| format!("; did you mean '{near}'?"));
        let name = cmdr_protocol::display::clean_to_width(name, 80);
        self.wrong(key.span().start, format!("unknown key '{name}'{near}"))
    }

    fn table<'v, 't>(&self, value: &'v Value<'t>) -> Result<&'v DeTable<'t>, PolicyError> {
        value.get_ref().as_table().ok_or_else(|| self.expected(value, "a table"))
    }

    fn texts(&self, value: &Value<'_>) -> Result<Vec<String>, PolicyError> {
        let wrong = |value: &Value<'_>| self.expected(value, "a list of texts");
        let list = value.get_ref().as_array().ok_or_else(|| wrong(value))?;
        list.iter()
            .map(|v| v.get_ref().as_str().map(str::to_owned).ok_or_else(|| wrong(v)))
            .collect()
    }

    fn paths(&self, value: &Value<'_>) -> Result<Vec<PathBuf>, PolicyError> {
        let paths = self.texts(value)?;
        match paths.iter().find(|path| !path.starts_with('/')) {
            Some(_) => Err(self.expected(value, "a list of paths that begin with '/'")),
            None => Ok(paths.into_iter().map(PathBuf::from).collect()),
        }
    }

    fn count(&self, value: &Value<'_>) -> Result<u64, PolicyError> {
        let number = value.get_ref().as_integer().filter(|n| n.radix() == 10);
        number
            .and_then(|n| n.as_str().replace('_', "").parse().ok())
            .filter(|n| *n >= 1)
            .ok_or_else(|| self.expected(value, "a whole number of at least 1"))
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
