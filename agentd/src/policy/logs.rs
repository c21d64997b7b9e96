//! Which logs may be read.

use super::{Paths, Policy};
use cmdr_protocol::CallError;
use cmdr_protocol::display::clean_to_width;
use cmdr_protocol::selector::glob;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Where logs are when the file says nothing.
const USUAL: &str = "/var/log/";

/// Limits of which logs are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// Files, and folders (ending in `/`) of such.
    pub paths: Vec<PathBuf>,
    /// Files and folders that are not read.
    pub denied: Vec<PathBuf>,
    /// Units whose journal may be read, with `*` and `?`; absent for the whole journal.
    pub units: Option<Vec<String>>,
    /// Containers whose logs may be read, with `*` and `?`; absent for all.
    pub containers: Option<Vec<String>>,
    /// The folder of the journal; absent for the system's own.
    pub journal: Option<PathBuf>,
}

impl Default for Logs {
    fn default() -> Self {
        WrittenLogs::default().into()
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenLogs {
    paths: Option<Paths>,
    denied: Paths,
    units: Option<Vec<String>>,
    containers: Option<Vec<String>>,
    journal: Option<PathBuf>,
}

impl From<WrittenLogs> for Logs {
    fn from(written: WrittenLogs) -> Self {
        Self {
            paths: written.paths.map_or_else(|| vec![USUAL.into()], |paths| paths.0),
            denied: written.denied.0,
            units: written.units,
            containers: written.containers,
            journal: written.journal,
        }
    }
}

fn within(listed: &Path, path: &Path) -> bool {
    if listed.as_os_str().as_encoded_bytes().ends_with(b"/") {
        path.starts_with(listed)
    } else {
        path == listed
    }
}

impl Policy {
    /// Whether this file may be read as a log. Its name is the real one, without links.
    pub fn allows_log(&self, path: &Path) -> Result<(), CallError> {
        let logs = &self.logs;
        let listed = |list: &[PathBuf]| list.iter().any(|listed| within(listed, path));
        if listed(&logs.paths) && !listed(&logs.denied) {
            return Ok(());
        }
        Err(CallError::denied(format!(
            "this host's policy {} does not let {} be read as a log; its owner can list it there under \
             [logs] paths",
            self.place(),
            clean_to_width(&path.to_string_lossy(), 200)
        )))
    }

    /// Whether the journal of this unit may be read; of no unit, whether all of it may.
    pub fn allows_unit(&self, unit: Option<&str>) -> Result<(), CallError> {
        let Some(units) = &self.logs.units else { return Ok(()) };
        if unit.is_some_and(|unit| units.iter().any(|pattern| glob(pattern, unit))) {
            return Ok(());
        }
        Err(CallError::denied(format!(
            "this host's policy {} does not let the journal of {} be read",
            self.place(),
            unit.map_or_else(|| "the whole system".to_owned(), |unit| clean_to_width(unit, 100))
        )))
    }

    /// Whether the log of this container may be read. Its name is the engine's own. Where units are limited and nothing
    /// is said of containers, none may.
    pub fn allows_container_log(&self, name: &str) -> Result<(), CallError> {
        let allowed = match (&self.logs.containers, &self.logs.units) {
            (Some(containers), _) => containers.iter().any(|pattern| glob(pattern, name)),
            (None, units) => units.is_none(),
        };
        if allowed {
            return Ok(());
        }
        Err(CallError::denied(format!(
            "this host's policy {} does not let the log of the container {} be read; its owner can list it there under \
             [logs] containers",
            self.place(),
            clean_to_width(name, 100)
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Policy {
        Policy::parse(Path::new("/etc/cmdr/agent.toml"), text).unwrap()
    }

    #[test]
    fn logs_are_those_of_the_usual_folder_unless_the_owner_says_otherwise() {
        let allows = |policy: &Policy, path: &str| policy.allows_log(Path::new(path)).is_ok();
        let usual = Policy::default();
        assert!(allows(&usual, "/var/log/nginx/access.log"));
        assert!(!allows(&usual, "/etc/shadow") && !allows(&usual, "/var/logs/x"));
        let own = policy(
            "[logs]\npaths = [\"/srv/app/log/\", \"/var/log/syslog\"]\ndenied = [\"/srv/app/log/audit/\"]\n",
        );
        assert!(allows(&own, "/srv/app/log/a.log") && allows(&own, "/var/log/syslog"));
        assert!(!allows(&own, "/srv/app/log/audit/a") && !allows(&own, "/var/log/auth.log"));
        let refusal = own.allows_log(Path::new("/var/log/auth.log")).unwrap_err();
        assert!(refusal.message.contains("agent.toml"), "{refusal}");
    }

    #[test]
    fn containers_are_open_until_their_owner_limits_them_or_units() {
        let allows = |text: &str| policy(text).allows_container_log("web").is_ok();
        assert!(allows("") && allows("[logs]\ncontainers = [\"w*\"]\n"));
        assert!(!allows("[logs]\ncontainers = []\n") && !allows("[logs]\nunits = [\"a*\"]\n"));
        assert!(allows("[logs]\nunits = []\ncontainers = [\"web\"]\n"));
    }

    #[test]
    fn units_may_be_limited_and_then_the_whole_journal_is_not_read() {
        let open = Policy::default();
        assert!(open.allows_unit(None).is_ok() && open.allows_unit(Some("a.service")).is_ok());
        let some = policy("[logs]\nunits = [\"nginx*\"]\n");
        assert!(some.allows_unit(Some("nginx.service")).is_ok());
        assert!(some.allows_unit(Some("ssh.service")).is_err() && some.allows_unit(None).is_err());
    }
}
